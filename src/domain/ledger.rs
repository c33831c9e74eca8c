//! Sightings become edges: who talks to whom, counted once, with the name the pod asked for. Replies,
//! records of the other end and what a source left unclear are counted as left out, never guessed
//! into an edge. No clock, no I/O.

use std::hash::{Hash, Hasher};

use chrono::TimeDelta;
use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap};

use super::{
    addresses::AddressBook,
    answers::Answers,
    edge::{Edge, EdgeKey, Window, hour_of},
    ends::{EdgeRef, Naming, end_of, key_of, name_of, peer_of, view},
    flow::{Direction, Protocol},
    sighting::{Outcome, Sighting},
    time::Timestamp,
};

/// Why a sighting made no edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// An answer on a connection counted already.
    Reply,
    /// Allowed traffic of which the source does not say whether it was a reply.
    UnclearReply,
    /// The source does not say which end reported it.
    UnclearDirection,
    /// The reporting end is no pod that is known: host network, a node, the world.
    NoPod,
    /// A namespace that cannot be one.
    BadName,
    OutsideWindow,
    /// The ledger is full.
    Full,
}

impl LeftOut {
    pub const ALL: [Self; 7] = [
        Self::Reply,
        Self::UnclearReply,
        Self::UnclearDirection,
        Self::NoPod,
        Self::BadName,
        Self::OutsideWindow,
        Self::Full,
    ];

    /// In words, after a number: `1,204 replies`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "replies",
            Self::UnclearReply => "without a word on whether they are replies",
            Self::UnclearDirection => "without a direction",
            Self::NoPod => "reported for no known pod",
            Self::BadName => "of a namespace that cannot be one",
            Self::OutsideWindow => "outside the window",
            Self::Full => "beyond the limit of edges",
        }
    }
}

/// What became of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The first of its edge.
    New,
    Counted,
    LeftOut(LeftOut),
}

/// Edges in the making.
#[derive(Clone, Debug)]
pub struct Ledger {
    window: Option<Window>,
    limit: usize,
    edges: IndexMap<Stored, Edge, RandomState>,
    left_out: [u64; LeftOut::ALL.len()],
    /// A name being put together.
    scratch: String,
}

/// A key that is found by what a record says of it, without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored(EdgeKey);

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        view(&self.0).hash(state);
    }
}

impl Equivalent<Stored> for EdgeRef<'_> {
    fn equivalent(&self, key: &Stored) -> bool {
        *self == view(&key.0)
    }
}

impl Ledger {
    /// Most edges kept, unless told otherwise: about 400 MB.
    pub const LIMIT: usize = 1_000_000;
    /// Longest time one record may speak of; its end is moved up.
    pub const LONGEST: TimeDelta = TimeDelta::days(7);

    /// Counts what began in the window; everything without one.
    pub fn new(window: Option<Window>) -> Self {
        Self::with_limit(window, Self::LIMIT)
    }

    pub fn with_limit(window: Option<Window>, limit: usize) -> Self {
        Self {
            window,
            limit,
            edges: IndexMap::default(),
            left_out: [0; LeftOut::ALL.len()],
            scratch: String::new(),
        }
    }

    /// Counts one sighting.
    pub fn sight(&mut self, answers: &Answers, book: &AddressBook, sighting: &Sighting<'_>) -> Taken {
        let mut scratch = std::mem::take(&mut self.scratch);
        let taken = self.count(answers, book, sighting, &mut scratch);
        self.scratch = scratch;
        taken.unwrap_or_else(|reason| {
            self.left_out[reason as usize] += 1;
            Taken::LeftOut(reason)
        })
    }

    /// Takes in what another thread counted, of other records.
    pub fn merge(&mut self, other: Self) {
        for (key, edge) in other.edges {
            if let Some(ours) = self.edges.get_mut(&key) {
                ours.merge(&edge);
            } else if self.edges.len() < self.limit {
                self.edges.insert(key, edge);
            } else {
                self.left_out[LeftOut::Full as usize] += edge.flows;
            }
        }
        self.left_out.iter_mut().zip(other.left_out).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// In no particular order.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        self.edges.iter().map(|(key, edge)| (&key.0, edge))
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// All edges, sorted by key.
    pub fn into_edges(mut self) -> Vec<(EdgeKey, Edge)> {
        self.drain()
    }

    /// All edges since the last time, sorted by key; what was left out stays counted.
    pub fn drain(&mut self) -> Vec<(EdgeKey, Edge)> {
        let mut out: Vec<_> = self.edges.drain(..).map(|(key, edge)| (key.0, edge)).collect();
        out.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Sightings that made no edge, by reason.
    pub fn left_out(&self) -> impl Iterator<Item = (LeftOut, u64)> {
        LeftOut::ALL.into_iter().zip(self.left_out).filter(|(_, count)| *count > 0)
    }

    fn count(
        &mut self,
        answers: &Answers,
        book: &AddressBook,
        sighting: &Sighting<'_>,
        scratch: &mut String,
    ) -> Result<Taken, LeftOut> {
        let direction = self.admitted(sighting)?;
        let (own, other) = match direction {
            Direction::Egress => (&sighting.source, &sighting.destination),
            Direction::Ingress => (&sighting.destination, &sighting.source),
        };
        let own = end_of(own, book, sighting.at).ok_or(LeftOut::NoPod)?;
        let peer = peer_of(other, book, sighting.at);
        let naming = name_of(sighting, direction, &own, &peer, answers, scratch);
        let key = EdgeRef {
            ns: own.ns,
            workload: own.workload,
            direction,
            peer,
            name: naming.name,
            protocol: sighting.protocol,
            port: if sighting.protocol == Protocol::Icmp { 0 } else { sighting.port },
            outcome: sighting.outcome,
        };
        let until = self.until(sighting);
        if let Some(edge) = self.edges.get_mut(&key) {
            add(edge, sighting, until, &naming);
            return Ok(Taken::Counted);
        }
        let key = Stored(key_of(&key).ok_or(LeftOut::BadName)?);
        let known = self.edges.contains_key(&key);
        if !known && self.edges.len() >= self.limit {
            return Err(LeftOut::Full);
        }
        let edge = self.edges.entry(key).or_insert_with(|| blank(sighting, until));
        add(edge, sighting, until, &naming);
        Ok(if known { Taken::Counted } else { Taken::New })
    }

    /// The direction, if the record counts at all. Policies judge new connections only, so what one
    /// denied (or would have) is no reply even where the source does not say so.
    fn admitted(&self, sighting: &Sighting<'_>) -> Result<Direction, LeftOut> {
        if self.window.is_some_and(|window| !window.contains(sighting.at)) {
            return Err(LeftOut::OutsideWindow);
        }
        match (sighting.reply, sighting.outcome) {
            (Some(true), _) => Err(LeftOut::Reply),
            (None, Outcome::Allowed) => Err(LeftOut::UnclearReply),
            (Some(false), _) | (None, Outcome::Denied | Outcome::Audit) => {
                sighting.direction.ok_or(LeftOut::UnclearDirection)
            }
        }
    }

    /// The end of the record, inside the window and not absurdly late.
    fn until(&self, sighting: &Sighting<'_>) -> Timestamp {
        let latest = sighting.at.checked_add_signed(Self::LONGEST).unwrap_or(sighting.at);
        let inside = self.window.map_or(latest, |window| window.to - TimeDelta::nanoseconds(1));
        sighting.until.min(latest).min(inside).max(sighting.at)
    }
}

fn blank(sighting: &Sighting<'_>, until: Timestamp) -> Edge {
    Edge {
        flows: 0,
        first: sighting.at,
        last: until,
        hours: Default::default(),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    }
}

fn add(edge: &mut Edge, sighting: &Sighting<'_>, until: Timestamp, naming: &Naming<'_>) {
    edge.flows = edge.flows.saturating_add(sighting.flows);
    edge.first = edge.first.min(sighting.at);
    edge.last = edge.last.max(until);
    // A record that ends with an hour says nothing of the next one.
    let last = (until - TimeDelta::nanoseconds(1)).max(sighting.at);
    for hour in hour_of(sighting.at)..=hour_of(last) {
        if !edge.hours.contains(hour) {
            edge.hours.insert(hour);
        }
    }
    naming.add_to(edge, sighting.flows);
}
