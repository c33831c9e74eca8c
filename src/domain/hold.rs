//! What people put on rollouts: holds, exclusions, waivers, overrides. Each with reason, author and
//! expiry; the author is the API server's word. None of them touches what is enforced.

use super::{
    flow::Protocol,
    names::{ClusterName, NsName, Text, Workload},
    policy::PolicyDigest,
    rollout::{Stamp, Target},
    time::Timestamp,
};

/// What a hold or a waiver is about, from wide to narrow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Fleet,
    Cluster(ClusterName),
    Namespace(ClusterName, NsName),
    Rollout(Target),
}

impl Scope {
    /// Does it concern this rollout?
    pub fn holds(&self, target: &Target) -> bool {
        match self {
            Self::Fleet => true,
            Self::Cluster(cluster) => *cluster == target.cluster,
            Self::Namespace(cluster, ns) => *cluster == target.cluster && *ns == target.ns,
            Self::Rollout(other) => other == target,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet => f.write_str("the fleet"),
            Self::Cluster(cluster) => write!(f, "cluster {cluster}"),
            Self::Namespace(cluster, ns) => write!(f, "{cluster}/{ns}"),
            Self::Rollout(target) => write!(f, "{target}"),
        }
    }
}

/// Nothing in its scope advances until it is released or expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub scope: Scope,
    pub kind: HoldKind,
    pub reason: Text,
    /// By admission policy the user who created it; the time is the object's creation.
    pub stamp: Stamp,
    /// `None`: until somebody releases it.
    pub expires: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldKind {
    /// It waits; its wave waits with it.
    Hold,
    /// The lead took it out of its wave: the wave goes on without it. Has an expiry.
    Exclusion,
}

impl HoldKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Exclusion => "exclusion",
        }
    }
}

/// Somebody takes something upon himself, until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    pub target: Target,
    /// UID of the cluster's kube-system namespace when it was asked for; `None`: nobody wrote it down, and
    /// then it counts nowhere.
    pub uid: Option<Text>,
    pub subject: Subject,
    pub reason: Text,
    /// By admission policy the user who created it; the time is the object's creation.
    pub stamp: Stamp,
    pub expires: Timestamp,
}

/// Why what was made for one cluster does not count for the one that has its name now; `None`: it does.
/// Both are UIDs: what a cluster that was built anew inherits is nothing.
pub fn not_for(made: Option<&Text>, there: Option<&Text>) -> Option<&'static str> {
    match (made, there) {
        (Some(made), Some(there)) if made == there => None,
        (_, None) => Some("whether it counts is not known: the cluster has not told its UID"),
        (None, Some(_)) => Some("does not count: it does not say for which cluster (clusterUid); ask anew"),
        (Some(_), Some(_)) => Some("does not count: it is for another cluster that had this name; ask anew"),
    }
}

/// What is waived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Denials of exactly this are expected from now on.
    Denial(DenialKey),
    /// A CronJob that did not run inside the window, or under the digest.
    CronJob(Text),
    /// Nothing was judged at all.
    Quiet,
    /// A workload without any evidence.
    NoEvidence(Workload),
}

/// Exactly what a denial group is closed for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DenialKey {
    /// `None` where the source names no workload.
    pub workload: Option<Workload>,
    /// The peer as the denials page names it: a name, an address or `ns/workload`.
    pub destination: Text,
    pub port: u16,
    pub protocol: Protocol,
}

/// The lead goes on although soak, coverage or order say no. Never covers the owner gate, the digest
/// or a CNI that does not enforce (law 2). Counts only with a second person's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub target: Target,
    /// As of a waiver.
    pub uid: Option<Text>,
    /// For these bytes only: those to be applied, as the preview showed them.
    pub digest: PolicyDigest,
    pub covers: Vec<Covers>,
    pub reason: Text,
    /// By admission policy the user who created it.
    pub stamp: Stamp,
    /// By admission policy somebody else.
    pub confirmed: Option<Stamp>,
    pub expires: Timestamp,
}

/// Gates that an override may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Covers {
    Soak,
    Coverage,
    Order,
}

impl Covers {
    pub const ALL: [Self; 3] = [Self::Soak, Self::Coverage, Self::Order];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soak => "soak",
            Self::Coverage => "coverage",
            Self::Order => "order",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|covers| covers.as_str() == raw)
    }
}
