//! The owner gate: reviews of flagged destinations, the grants they ask for, and decisions on them.
//! One [`Review`] a grant. Who asked and who decided is the API server's word (admission policy);
//! validity is a question of time, cluster and exactly what a policy opens.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    edge::DnsName,
    flow::{Direction, Protocol},
    names::{NsName, Text},
    policy::Selector,
    rollout::Stamp,
    time::Timestamp,
};

/// What a policy may open: exactly this and nothing beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// UIDs of kube-system namespaces.
    pub clusters: BTreeSet<Text>,
    pub ns: NsName,
    /// Workloads that may use it, by pod labels; empty selects all.
    pub selector: Selector,
    pub direction: Direction,
    pub destination: Opening,
    /// Never empty.
    pub ports: Vec<PortSpan>,
    /// From here on it is not valid.
    pub expires: Timestamp,
}

/// A destination as a policy can open it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opening {
    /// A DNS name of an FQDN policy.
    Name(DnsName),
    /// Networks of `ipBlock`s, sorted.
    Networks(Vec<IpNet>),
}

/// Ports of one protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpan {
    pub protocol: Protocol,
    pub from: u16,
    pub to: u16,
}

/// A question to security, and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// By admission policy the user who created it.
    pub requested_by: Text,
    /// Other user names of that person; none of them may decide.
    pub aliases: Vec<Text>,
    pub grant: Grant,
    /// Why an owner must look: the findings as sentences, most severe first.
    pub findings: Vec<Text>,
    /// Why the destination is needed, in the words of whoever asks.
    pub purpose: Text,
    /// Oldest first; entries are immutable once written.
    pub decisions: Vec<Decision>,
}

/// One decision. Later ones win over earlier ones for the clusters they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: DecisionVerdict,
    /// By admission policy the user who wrote it, at the API server's time.
    pub stamp: Stamp,
    pub reason: Text,
    pub ticket: Option<Text>,
    /// Cluster UIDs that it is for; a subset of the grant's.
    pub clusters: BTreeSet<Text>,
    /// May shorten the grant, never lengthen it.
    pub expires: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionVerdict {
    Approved,
    Rejected,
    Revoked,
}

impl DecisionVerdict {
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Revoked];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == raw)
    }
}
