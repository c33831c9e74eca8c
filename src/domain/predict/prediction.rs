//! What would come of a set of policies, were the recorded week to happen again: values with their
//! evidence, and what they are bound to. Made by [`super::replay::predict`]; judges nothing itself.

use super::stories::{Checked, Mark};
use crate::domain::{
    edge::{DnsName, Peer, Window},
    eval::{isolation::Turned, verdict::Verdict},
    flow::{Direction, Protocol},
    names::{NsName, Text, Workload},
    policy::PolicyDigest,
    time::Timestamp,
};

/// What a prediction was made for. It does not count for anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Of the wanted set.
    pub digest: PolicyDigest,
    /// UID of the cluster's kube-system; `None`: not known.
    pub cluster: Option<Text>,
    /// Of what was recorded.
    pub window: Window,
}

impl Bound {
    /// Does a prediction for this count for that? Without a UID nothing does.
    pub fn holds_for(&self, other: &Self) -> bool {
        self.cluster.is_some() && self == other
    }
}

/// A prediction for one set of policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    pub ns: NsName,
    pub direction: Direction,
    pub bound: Bound,
    /// Recorded edges that passed and were looked at.
    pub edges: usize,
    /// Edges without ports, which no rule can name: what becomes of them is the plugin's choice.
    pub icmp: usize,
    /// What passed and would be denied. What everything hangs on first, then the last seen.
    pub denied: Vec<Hit>,
    /// Edges of which it is not known, each with its reason.
    pub unknown: Vec<Hit>,
    /// Why the evidence as a whole does not suffice.
    pub doubts: Vec<Text>,
    /// Rules of the wanted set that nothing recorded needs.
    pub unused: Vec<Unused>,
    /// Pods whose isolation changes.
    pub turned: Vec<Turned>,
    pub changes: Vec<Change>,
    /// Every check of the direction, in the order of their table.
    pub checks: Vec<Checked>,
}

/// One recorded destination (of ingress: caller), and what would come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub workload: Workload,
    pub peer: Peer,
    pub name: Option<DnsName>,
    pub protocol: Protocol,
    pub port: u16,
    pub family: Family,
    pub flows: u64,
    pub last: Timestamp,
    /// In so many different hours.
    pub hours: usize,
    /// Only between some of the pods.
    pub is_part: bool,
    pub essential: Option<Essential>,
    /// What the policies that are live say of it.
    pub now: Verdict,
    /// Why it is unknown, where it is.
    pub why: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
    /// Alike in both.
    Both,
    /// No address is known.
    Unsaid,
}

impl Family {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Both => "IPv4 and IPv6",
            Self::Unsaid => "no address",
        }
    }
}

/// What nearly every workload needs and a baseline policy is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Essential {
    Dns,
    ApiServer,
    Ntp,
}

impl Essential {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::ApiServer => "API server",
            Self::Ntp => "NTP",
        }
    }
}

/// A peer of a rule that no recorded edge needs, or a policy that selects nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub policy: Text,
    /// Counted from 1; `None`: the whole policy.
    pub rule: Option<u32>,
    pub peer: Text,
    pub ports: Text,
    /// Pods that its selector finds now; `None`: it has none.
    pub pods: Option<usize>,
}

/// One line of the difference to what is live, in meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// For whom: workloads, or a selector.
    pub who: Text,
    pub how: How,
    pub what: Text,
    pub ports: Text,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Closes,
    /// It stays open where all else closes.
    Keeps,
    Opens,
    /// Opened by a policy by name, which is not compared with what is live.
    ByName,
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closes => "closes",
            Self::Keeps => "keeps open",
            Self::Opens => "opens",
            Self::ByName => "opens by name",
        }
    }
}

impl Prediction {
    /// Denied if anything would be, or a check that blocks fails; else unknown if anything is.
    pub fn verdict(&self) -> Verdict {
        let blocks = |mark: Mark| self.checks.iter().any(|one| one.blocks() && one.mark == mark);
        if !self.denied.is_empty() || blocks(Mark::Fail) {
            Verdict::Denied
        } else if !self.unknown.is_empty() || !self.doubts.is_empty() || blocks(Mark::Unknown) {
            Verdict::Unknown
        } else {
            Verdict::Allowed
        }
    }

    /// Would anything be denied that the baseline is there for?
    pub fn essentials(&self) -> Vec<Essential> {
        let mut all: Vec<_> = self.denied.iter().filter_map(|hit| hit.essential).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
