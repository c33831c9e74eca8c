//! What the window has seen and what it has not: hours credited per node, gaps by name, jobs that
//! did not run. Decides ready, not yet or blocked; unknown never passes.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    edge::Hours,
    flow::Direction,
    names::{NodeName, NsName, Text},
    time::Timestamp,
};

/// Hours in which a node's telemetry was proved alive and nothing of it was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// A source that cannot say the node counts under `None`.
    pub credited: BTreeMap<Option<NodeName>, Hours>,
    pub gaps: Vec<Hole>,
    /// What is known to be missing for the whole window (`answers: the clients are node addresses`).
    pub doubts: Vec<Text>,
}

impl Coverage {
    /// How doubts begin that concern DNS answers only.
    const ANSWERS: &str = "answers: ";

    /// Doubts that concern a direction: who calls is a pod or an address, and needs no name.
    pub fn doubts_of(&self, direction: Direction) -> impl Iterator<Item = &Text> {
        let concerns =
            move |doubt: &&Text| direction == Direction::Egress || !doubt.as_str().starts_with(Self::ANSWERS);
        self.doubts.iter().filter(concerns)
    }
}

/// A stretch that was not seen, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    pub from: Timestamp,
    pub to: Timestamp,
    /// `None`: all nodes.
    pub node: Option<NodeName>,
    pub lost: Option<u64>,
    pub why: Text,
}

/// A job that runs by schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronJob {
    pub ns: NsName,
    pub name: Text,
    pub schedule: Text,
    /// IANA zone of the schedule, where it sets one.
    pub zone: Option<Text>,
    pub suspended: bool,
    pub last_run: Option<Timestamp>,
    /// Longest time between two runs by the schedule; `None` where it cannot be read.
    pub longest_pause: Option<TimeDelta>,
}

/// May a policy be written from this evidence?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// How much credited time is still missing, at least.
    NotYet {
        left: TimeDelta,
    },
    /// What stands in the way, every reason.
    Blocked {
        why: Vec<Text>,
    },
}
