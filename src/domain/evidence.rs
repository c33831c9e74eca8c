//! What was observed of one rollout since its bytes were live: signs of nodes, losses, verdicts, jobs.
//! One writer a cluster; evidence of two observers joins by union (`merged`). `soak` judges it. No clock.

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
    pub ground: Ground,
    /// Since when these bytes are live without a break, by the API server's clock.
    pub since: Timestamp,
    /// Up to when the observer looked. What lies between this and a successor's start is a gap.
    pub until: Timestamp,
    /// Who wrote it, for people.
    pub observer: Text,
    /// Whole minutes in which the cluster's lists of policies and pods were watched. Outside of them
    /// nobody knows what ran where, which is not the same as nothing having run.
    pub looked: Spans,
    pub nodes: BTreeMap<NodeName, Trail>,
    /// Minutes in which everything stood still for a reason that is of no single node, a cause each.
    pub pauses: Vec<Pause>,
    /// Causes that voided earlier credit, oldest first, at most [`Evidence::RESTARTS`].
    pub restarts: Vec<Restart>,
    pub verdicts: Verdicts,
    /// Denied groups as the data plane told them, hurting first, at most [`Evidence::GROUPS`]. Which of
    /// them are expected is judged later: waivers come and go.
    pub groups: Vec<OpenGroup>,
    /// Hurting or unattributed groups that found no room; more than zero withholds clean.
    pub more_groups: u64,
    /// CronJobs that ran under the digest, with the end of their last run.
    pub jobs: BTreeMap<Text, Timestamp>,
    pub exercised: Exercised,
}

impl Evidence {
    pub const RESTARTS: usize = 50;
    pub const GROUPS: usize = 200;
}

/// What the credit rests on beside the bytes: another ground is a restart. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ground {
    /// The enforcing network plugin and its version.
    pub cni: Option<Text>,
    /// How lookups reach the DNS server.
    pub dns: Option<Text>,
}

/// One node: when it ran the namespace's pods, and when its telemetry was proved alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Minutes in which it ran a pod of the namespace. Of a namespace of CronJobs only: in which it
    /// might have.
    pub ran: Spans,
    /// Minutes of which everything that the node had to say was read.
    pub heard: Spans,
    /// Minutes in which it lost something, a cause each.
    pub void: Vec<Pause>,
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Nodes on which the probe got through.
    pub breached: BTreeMap<NodeName, Timestamp>,
    /// Nodes on which a probe showed nothing, and why.
    pub unproved: BTreeMap<NodeName, (Timestamp, Text)>,
}

impl Verdicts {
    /// Without what was seen on nodes before a moment.
    pub fn since(&self, at: Timestamp) -> Self {
        let newer = |all: &BTreeMap<NodeName, Timestamp>| {
            all.iter().filter(|(_, seen)| **seen >= at).map(clone).collect()
        };
        Self {
            allowed: self.allowed,
            denied: self.denied,
            in_force: newer(&self.in_force),
            proved: newer(&self.proved),
            breached: newer(&self.breached),
            unproved: self.unproved.iter().filter(|(_, (seen, _))| *seen >= at).map(clone).collect(),
        }
    }

    /// Why the newest probe on this node showed nothing; `None`: it showed something, or there was none.
    pub fn unproved(&self, node: &NodeName) -> Option<&Text> {
        let (at, why) = self.unproved.get(node)?;
        let shown = self.proved.get(node).max(self.breached.get(node));
        shown.is_none_or(|shown| shown < at).then_some(why)
    }

    /// Seen to be enforced on this node, and not seen to leak since.
    pub fn is_in_force(&self, node: &NodeName) -> bool {
        let seen = self.in_force.get(node).max(self.proved.get(node));
        seen.is_some() && !self.is_breached(node)
    }

    /// The newest probe on this node got through.
    pub fn is_breached(&self, node: &NodeName) -> bool {
        self.breached.get(node).is_some_and(|breached| self.proved.get(node) <= Some(breached))
    }
}

fn clone<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
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
