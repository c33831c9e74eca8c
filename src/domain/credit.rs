//! Turns signs of nodes and losses into coverage, and coverage into readiness: 7 days of credited
//! time on every node, jobs that ran, workloads that spoke. Silence is never credited.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    coverage::{Coverage, CronJob, Hole, Readiness},
    edge::Window,
    names::{NodeName, NsName, Text, Workload},
    sighting::Lost,
    time::Timestamp,
};

/// Credited time that a policy may be written from.
pub const NEEDED: TimeDelta = TimeDelta::days(7);

/// Signs and losses in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credit {}

impl Credit {
    /// The node's telemetry was alive. `None`: the source cannot name nodes.
    pub fn sign(&mut self, _node: Option<&str>, _at: Timestamp) {}

    /// Something was lost. Without a node: of all nodes.
    pub fn lost(&mut self, _loss: &Lost<'_>) {}

    /// Something is missing for the whole window.
    pub fn doubt(&mut self, _why: Text) {}

    /// Goes on from what was stored.
    pub fn resume(&mut self, _coverage: &Coverage) {}

    pub fn merge(&mut self, _other: Self) {}

    /// What was seen of the window; hours of a node without a sign are holes too.
    pub fn coverage(&self, _window: Window) -> Coverage {
        Coverage::default()
    }
}

/// What must be known of a namespace to judge it.
#[derive(Clone, Debug)]
pub struct NamespaceFacts<'a> {
    pub ns: &'a NsName,
    /// Nodes that run its pods; `None` where that is not known: all nodes seen count.
    pub nodes: Option<&'a [NodeName]>,
    /// Of this namespace; others are passed over.
    pub crons: &'a [CronJob],
    /// Jobs that somebody takes upon himself, by name.
    pub waived: &'a [Text],
    /// All workloads, and whether any edge is theirs.
    pub workloads: &'a BTreeMap<Workload, bool>,
}

/// What the window has seen of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceCoverage {
    pub needed: TimeDelta,
    /// Of the node with the least.
    pub credited: TimeDelta,
    /// The node with the least; `None` where no node gave a sign or the source cannot name it.
    pub worst: Option<NodeName>,
    /// Holes of its nodes, sorted.
    pub holes: Vec<Hole>,
    pub crons: Vec<CronFinding>,
    /// Workloads without any traffic: no evidence, which is not the same as needing nothing.
    pub silent: Vec<Workload>,
    pub readiness: Readiness,
}

/// One scheduled job and what the window has seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFinding {
    pub job: CronJob,
    pub seen: CronSeen,
    pub waived: bool,
}

/// Did the window see the job run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CronSeen {
    /// It ran inside, and runs more often than the window is long.
    Ran,
    /// Its last run is not inside the window, or it never ran.
    NotInside,
    /// It ran inside, in a stretch that was not seen.
    InHole,
    /// It ran inside, but may pause as long as the window or longer: one run at most was seen.
    Rare,
    /// It ran inside, but the schedule cannot be read.
    Unreadable,
}

/// Judges one namespace.
pub fn readiness(_coverage: &Coverage, _window: Window, _facts: &NamespaceFacts<'_>) -> NamespaceCoverage {
    NamespaceCoverage {
        needed: NEEDED,
        credited: TimeDelta::zero(),
        worst: None,
        holes: Vec::new(),
        crons: Vec::new(),
        silent: Vec::new(),
        readiness: Readiness::NotYet { left: NEEDED },
    }
}
