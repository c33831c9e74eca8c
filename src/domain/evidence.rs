//! What was observed of one rollout since its bytes were live: signs of nodes, losses, verdicts, jobs.
//! One writer a cluster; evidence of two observers joins by union. `soak` judges it. No clock.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    denial::Class,
    hold::DenialKey,
    names::{NodeName, Text},
    policy::PolicyDigest,
    rollout::Target,
    spans::Spans,
    time::Timestamp,
};

/// Evidence for one policy digest on one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub target: Target,
    /// UID of the cluster's kube-system namespace.
    pub uid: Text,
    pub digest: PolicyDigest,
    /// Since when these bytes are live without a break, by the API server's clock.
    pub since: Timestamp,
    /// Up to when the observer looked. What lies between this and a successor's start is a gap.
    pub until: Timestamp,
    /// Who wrote it, for people.
    pub observer: Text,
    pub nodes: BTreeMap<NodeName, Trail>,
    /// Minutes in which everything stood still for a reason that is of no single node.
    pub pauses: Vec<Pause>,
    /// Causes that voided earlier credit, oldest first, at most [`Evidence::RESTARTS`].
    pub restarts: Vec<Restart>,
    pub verdicts: Verdicts,
    /// Denied groups that are not expected, hurting first, at most [`Evidence::GROUPS`].
    pub groups: Vec<OpenGroup>,
    /// Groups that found no room; more than zero withholds clean.
    pub more_groups: u64,
    /// CronJobs that ran under the digest, with the end of their last run.
    pub jobs: BTreeMap<Text, Timestamp>,
    pub exercised: Exercised,
}

impl Evidence {
    pub const RESTARTS: usize = 50;
    pub const GROUPS: usize = 200;
}

/// One node: when it ran the namespace's pods, and when its telemetry was proved alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    pub ran: Spans,
    pub heard: Spans,
    /// Minutes in which it lost something.
    pub void: Spans,
}

/// Why a soak clock stands still. The one table of causes: each is a pause or a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    // Pauses: time that is not credited; what was credited before stays.
    SourceSilent,
    Loss,
    AgentRestart,
    JudgeGone,
    ObserverGone,
    WatchBroken,
    NoHeartbeat,
    // Restarts: all credit is void.
    Digest,
    ClusterUid,
    Cni,
    DnsMode,
    PolicyMissing,
}

/// Whether a cause stops the clock or sets it back to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Pauses,
    Restarts,
}

impl Cause {
    pub const ALL: [Self; 12] = [
        Self::SourceSilent,
        Self::Loss,
        Self::AgentRestart,
        Self::JudgeGone,
        Self::ObserverGone,
        Self::WatchBroken,
        Self::NoHeartbeat,
        Self::Digest,
        Self::ClusterUid,
        Self::Cni,
        Self::DnsMode,
        Self::PolicyMissing,
    ];

    pub fn effect(self) -> Effect {
        match self {
            Self::SourceSilent
            | Self::Loss
            | Self::AgentRestart
            | Self::JudgeGone
            | Self::ObserverGone
            | Self::WatchBroken
            | Self::NoHeartbeat => Effect::Pauses,
            Self::Digest | Self::ClusterUid | Self::Cni | Self::DnsMode | Self::PolicyMissing => {
                Effect::Restarts
            }
        }
    }

    /// As it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceSilent => "source silent",
            Self::Loss => "loss",
            Self::AgentRestart => "agent restart",
            Self::JudgeGone => "judge gone",
            Self::ObserverGone => "observer gone",
            Self::WatchBroken => "watch broken",
            Self::NoHeartbeat => "no heartbeat",
            Self::Digest => "digest changed",
            Self::ClusterUid => "another cluster",
            Self::Cni => "CNI changed",
            Self::DnsMode => "DNS mode changed",
            Self::PolicyMissing => "policy missing",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == raw)
    }
}

/// A stretch that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub cause: Cause,
    pub spans: Spans,
    /// One example in words: which node, what was said.
    pub why: Text,
}

/// Credit before it is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    pub at: Timestamp,
    pub cause: Cause,
    pub why: Text,
}

/// What the data plane was seen to decide under the digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub allowed: u64,
    pub denied: u64,
    /// Nodes on which a verdict named our policies, or a pod that only ours isolate was denied.
    pub in_force: BTreeMap<NodeName, Timestamp>,
    /// Nodes on which the probe was denied.
    pub proved: BTreeMap<NodeName, Timestamp>,
}

/// A denied group as evidence keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGroup {
    pub key: DenialKey,
    pub class: Class,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The data plane's own word.
    pub said: Text,
}

/// How much of the recorded week was seen again since the apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exercised {
    /// Destinations of the week; zero where no week is known.
    pub of: u32,
    /// Of those, seen again, by the destination's key as text; at most [`Exercised::KEPT`].
    pub again: BTreeSet<Text>,
}

impl Exercised {
    pub const KEPT: usize = 2_000;
}
