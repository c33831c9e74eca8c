//! A rollout, one (cluster, namespace, direction), and what the team records of it in the state
//! cluster: where it was applied, what soaked clean, what was taken back. Times are the API server's.

use std::fmt;

use super::{
    flow::Direction,
    manifest::Manifests,
    names::{ClusterName, NsName, Text},
    policy::PolicyDigest,
    time::Timestamp,
    valve::Set,
};

/// One rollout: the row of the fleet view and the unit of apply and rollback.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub cluster: ClusterName,
    pub ns: NsName,
    pub direction: Direction,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.cluster, self.ns, self.direction)
    }
}

/// Who and when, as an API server stamped it: never what a client says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    pub by: Text,
    pub at: Timestamp,
}

/// An object of the state cluster, with what optimistic concurrency and law 4 need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// `metadata.name`.
    pub name: Text,
    /// `metadata.resourceVersion`: a write names the one it was decided on.
    pub version: Text,
    /// `metadata.creationTimestamp`: the API server's clock, not ours.
    pub created: Timestamp,
    pub value: T,
}

/// What is recorded of one rollout. Kept by sluice for the team; the watch on the cluster itself
/// stays the truth about what is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub target: Target,
    /// UID of the cluster's kube-system namespace: a rebuilt cluster is another one.
    pub uid: Text,
    /// The wave it was applied in, counted from 1; `None`: it never was.
    pub wave: Option<u32>,
    pub applied: Option<Applied>,
    /// The newest bytes that soaked clean; `revert` applies them again.
    pub clean: Option<Clean>,
    pub rolled_back: Option<RolledBack>,
    /// Somebody overrode a gate for it once: shown for good.
    pub overridden: bool,
}

impl Record {
    /// Since when the bytes that were applied last are recorded as clean. What soaked clean before that
    /// apply does not count: it was taken back or replaced in between.
    pub fn clean_since(&self) -> Option<Timestamp> {
        let (applied, clean) = (self.applied.as_ref()?, self.clean.as_ref()?);
        let is_back = self.rolled_back.as_ref().is_some_and(|back| back.stamp.at >= applied.stamp.at);
        let counts = clean.digest == applied.digest && clean.at >= applied.stamp.at && !is_back;
        counts.then_some(clean.at)
    }
}

/// An apply that came to its end: the set was closed with this digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub digest: PolicyDigest,
    pub stamp: Stamp,
}

/// Bytes that soaked clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    pub digest: PolicyDigest,
    pub at: Timestamp,
    pub set: Set,
    /// The same as JSON text, ready to send, by pinned name.
    pub manifests: Manifests,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    pub stamp: Stamp,
    /// Why, where the person said so.
    pub reason: Option<Text>,
    /// Denials ended and readiness came back. Before that it is never called recovered.
    pub recovered: Option<Timestamp>,
}
