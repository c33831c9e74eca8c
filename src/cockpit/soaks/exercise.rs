//! How much of the recorded week was seen again under the new bytes, and what was not: connections
//! older than the policy go on in most data planes and are refused only when they reconnect. Rests on
//! flows and on the collector's edges, and says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cockpit::dossier,
    domain::{
        denial::Peer,
        destination::Destination,
        edge,
        evidence::Exercised,
        flow::{Direction, End, Flow, Protocol},
        names::{Text, Workload},
        sighting::Outcome,
        time::Timestamp,
    },
};

/// Who goes where: what a flow and a destination of the week have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    workload: Workload,
    peer: Peer,
    port: u16,
    protocol: Protocol,
}

/// A destination of the week.
#[derive(Clone, Debug)]
struct Wanted {
    text: Text,
    label: Text,
    ways: Vec<Way>,
    last: Timestamp,
}

/// Seen before the bytes and not since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    pub workload: Workload,
    pub destination: Text,
    pub port: u16,
    pub protocol: Protocol,
    /// When it was seen last.
    pub last: Timestamp,
}

/// One rollout's traffic since its bytes are live.
#[derive(Clone, Debug, Default)]
pub struct Exercise {
    /// Ways seen since then, with when last; at most [`Exercise::WAYS`].
    seen: BTreeMap<Way, Timestamp>,
    /// Ways seen under earlier bytes.
    before: BTreeMap<Way, Timestamp>,
    /// Only while the week's edges are here.
    week: Option<Vec<Wanted>>,
    pub exercised: Exercised,
}

impl Exercise {
    const WAYS: usize = 4_000;

    /// New bytes: what was seen until now is what went before.
    pub fn anew(self) -> Self {
        let mut before = self.before;
        before.extend(self.seen);
        while before.len() > Self::WAYS {
            before.pop_last();
        }
        Self { before, week: self.week, ..Self::default() }
    }

    /// An allowed flow under the bytes.
    pub fn allowed(&mut self, flow: &Flow) {
        let Some(workload) = flow.judged().workload.clone() else { return };
        let port = if flow.protocol == Protocol::Icmp { 0 } else { flow.port };
        for peer in peers(flow.peer()) {
            let way = Way { workload: workload.clone(), peer, port, protocol: flow.protocol };
            if let Some(last) = self.seen.get_mut(&way) {
                *last = flow.at.max(*last);
                continue;
            }
            if self.seen.len() < Self::WAYS {
                self.seen.insert(way, flow.at);
            }
        }
    }

    /// The week's destinations came, came anew, or are not here any more.
    pub fn know(&mut self, week: Option<(&[Destination], Direction)>) {
        self.week = week.map(|(all, direction)| {
            let wanted = |one: &&Destination| one.direction == direction && one.outcome != Outcome::Denied;
            let week = all.iter().filter(wanted).map(wanted_of);
            // What the source did not say cannot be known again.
            week.filter(|one| !one.ways.is_empty()).take(Exercised::KEPT).collect()
        });
    }

    /// Counts again what of the week was seen.
    pub fn settle(&mut self, began: Timestamp) {
        let Some(week) = &self.week else { return };
        self.exercised.of = week.len() as u32;
        let again = week.iter().filter(|wanted| is_again(wanted, &self.seen, began));
        self.exercised.again = again.map(|wanted| wanted.text.clone()).collect();
    }

    /// `None`: no week was ever known here.
    pub fn figures(&self) -> Option<(usize, usize)> {
        (self.exercised.of > 0).then_some((self.exercised.again.len(), self.exercised.of as usize))
    }

    /// Seen before the bytes and not since, oldest last.
    pub fn unseen(&self, began: Timestamp) -> Vec<Unseen> {
        let week = self.week.iter().flatten().filter(|wanted| !is_again(wanted, &self.seen, began));
        let week = week.filter_map(|wanted| {
            let way = wanted.ways.first()?;
            Some(Unseen {
                workload: way.workload.clone(),
                destination: wanted.label.clone(),
                port: way.port,
                protocol: way.protocol,
                last: wanted.last,
            })
        });
        let known: BTreeSet<&Way> = self.week.iter().flatten().flat_map(|wanted| &wanted.ways).collect();
        let before =
            self.before.iter().filter(|(way, _)| !self.seen.contains_key(way) && !known.contains(way));
        let before = before.map(|(way, last)| Unseen {
            workload: way.workload.clone(),
            destination: Text::from(way.peer.to_string()),
            port: way.port,
            protocol: way.protocol,
            last: *last,
        });
        let mut out: Vec<_> = week.chain(before).collect();
        out.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.destination.cmp(&b.destination)));
        out
    }

    /// What the list above rests on, in words.
    pub fn rests_on(&self) -> &'static str {
        match (&self.week, self.before.is_empty()) {
            (Some(_), true) => "the collector's week, and flows seen since the bytes are live",
            (Some(_), false) => "the collector's week, and flows seen before and since the bytes are live",
            (None, false) => {
                "flows seen before and since the bytes are live; the collector's week is not read here"
            }
            (None, true) => "nothing: the collector's week is not read here, and no flows were seen before",
        }
    }
}

fn is_again(wanted: &Wanted, seen: &BTreeMap<Way, Timestamp>, began: Timestamp) -> bool {
    wanted.last >= began || wanted.ways.iter().any(|way| seen.contains_key(way))
}

/// A name and an address are both ways to know a peer again.
fn peers(end: &End) -> impl Iterator<Item = Peer> {
    let first = match Peer::of(end) {
        Peer::Name(name) => Peer::Name(bare(&name)),
        other @ (Peer::Workload { .. } | Peer::Address(_) | Peer::Entity(_) | Peer::Unknown) => other,
    };
    let also = match (&first, end.address) {
        (Peer::Name(_), Some(address)) => Some(Peer::Address(address)),
        _ => None,
    };
    std::iter::once(first).chain(also)
}

fn bare(name: &Text) -> Text {
    Text::from(name.as_str().trim_end_matches('.').to_ascii_lowercase())
}

fn wanted_of(one: &Destination) -> Wanted {
    let label = Text::from(dossier::label(one));
    let mut peers: Vec<Peer> = one.name.iter().map(|name| Peer::Name(Text::new(name.as_str()))).collect();
    match &one.peer {
        edge::Peer::Pods { ns, workload } => {
            peers.push(Peer::Workload { ns: ns.clone(), workload: workload.clone() });
        }
        edge::Peer::Entity(entity) => peers.push(Peer::Entity(*entity)),
        edge::Peer::Address(_) | edge::Peer::Unsaid(_) => {}
    }
    peers.extend(one.addresses.iter().map(|address| Peer::Address(*address)));
    let way = |peer| Way { workload: one.workload.clone(), peer, port: one.port, protocol: one.protocol };
    Wanted {
        text: Text::from(format!("{:?} {label} {}", one.workload, dossier::port(one))),
        label,
        ways: peers.into_iter().map(way).collect(),
        last: one.seen.last,
    }
}
