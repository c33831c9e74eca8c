//! What the collector says of itself: its sources, each with lag and losses, what it covers, how
//! many edges it has, and what troubles it. Values in, one value out.

use std::collections::BTreeMap;

use super::desk::Desk;
use crate::{
    cockpit::ports::{CollectorState, Link, SourceState, Trouble},
    domain::{
        edge::{Tally, Window},
        names::{NsName, Text},
        resolver::Askers,
        time::Timestamp,
    },
    flows::baseline::store::{Committed, Resume, Store},
};

/// Holes told at most: the newest.
const HOLES: usize = 1_000;

#[derive(Debug)]
pub struct Sources {
    version: &'static str,
    sources: BTreeMap<Text, SourceState>,
    /// By what they are about.
    troubles: BTreeMap<Text, Trouble>,
    edges: Vec<(NsName, Tally)>,
    /// Flows that found no room for another edge, ever.
    refused: u64,
}

impl Sources {
    pub fn new(version: &'static str, edges: Vec<(NsName, Tally)>, resume: &Resume) -> Self {
        let refused = resume.left_out.get(&Text::new(Store::NO_ROOM)).copied().unwrap_or(0);
        Self { version, sources: BTreeMap::new(), troubles: BTreeMap::new(), edges, refused }
    }

    pub fn put(&mut self, source: Text, state: SourceState) {
        self.sources.insert(source, state);
    }

    pub fn trouble(&mut self, about: Text, trouble: Option<Trouble>) {
        match trouble {
            Some(trouble) => drop(self.troubles.insert(about, trouble)),
            None => drop(self.troubles.remove(&about)),
        }
    }

    pub fn committed(&mut self, store: &Store, done: Committed) {
        self.edges = store.counts();
        self.refused += done.refused;
    }

    pub fn state(&self, desk: &Desk, now: Timestamp) -> CollectorState {
        let mut coverage = desk.coverage().clone();
        let over = coverage.gaps.len().saturating_sub(HOLES);
        coverage.gaps.drain(..over);
        let mut troubles: Vec<_> = self.troubles.values().cloned().collect();
        troubles.extend(self.no_room());
        troubles.extend(lost_in_memory(desk));
        troubles.extend(wrong_clock(desk));
        coverage.doubts.extend(askers(desk).doubt());
        let window = desk.window().map(|window| Window { to: window.to.min(now), ..window });
        CollectorState {
            link: Link::Live,
            version: Some(Text::new(self.version)),
            sources: self.sources.values().cloned().collect(),
            window,
            coverage,
            edges: self.edges.clone(),
            troubles,
        }
    }

    fn no_room(&self) -> Option<Trouble> {
        (self.refused > 0).then(|| {
            Trouble::new(
                "database",
                &format!("{} flows found no room for another edge", self.refused),
                "Look for a namespace with edges beyond number in /v1/state, such as one that is scanned.",
            )
        })
    }
}

fn lost_in_memory(desk: &Desk) -> Option<Trouble> {
    let lost = desk.figures().lost_in_memory;
    (lost > 0).then(|| {
        Trouble::new(
            "memory",
            &format!("{lost} flows were dropped while the disk took nothing"),
            "Make room on the disk; the time is marked as a gap.",
        )
    })
}

fn wrong_clock(desk: &Desk) -> Option<Trouble> {
    let count = desk.figures().wrong_clock;
    (count > 0).then(|| {
        Trouble::new(
            "clock",
            &format!(
                "records with a time more than an hour ahead, or ten weeks ago: {count}; they are not counted"
            ),
            "Check the clocks of the nodes (the gaps name them), of the DNS servers, and of this machine.",
        )
    })
}

/// Whose the clients of DNS answers are.
fn askers(desk: &Desk) -> Askers {
    let names = desk.names();
    let (nodes, unknown) = (names.from_nodes, names.from_nobody);
    Askers { pods: names.answers.saturating_sub(nodes + unknown), nodes, unknown }
}

/// The task that writes stopped on a fault of ours.
pub fn writer_gone() -> Trouble {
    Trouble::new(
        "database",
        "writing stopped on a fault of sluice",
        "Restart sluice collect: it goes on from the last commit; and report its log.",
    )
}
