//! The owner gate: reviews of flagged destinations, the grants they ask for, and decisions on them.
//! One [`Review`] a grant. Who asked and who decided is the API server's word (admission policy);
//! validity is a question of time, cluster and exactly what a policy opens.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    edge::DnsName,
    flow::{Direction, Protocol},
    names::{NsName, Text},
    opened::{Opened, Ports, What},
    policy::Selector,
    ranges::Ranges,
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
    /// A DNS name of an FQDN policy; with `*` in it, a pattern.
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

/// Where a review stands for one cluster at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has decided for this cluster.
    Open,
    /// The grant is valid until then.
    Approved {
        until: Timestamp,
    },
    Rejected(Stamp),
    Revoked(Stamp),
    /// It was approved, or asked for, until then.
    Expired(Timestamp),
    /// Approved by whoever asked for it, under the same or another name: that is no approval.
    SelfApproved(Stamp),
    /// It does not name this cluster.
    OtherCluster,
    /// Approved, and the time is not known by which its expiry is judged.
    TimeUnknown,
}

impl Standing {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved { .. } => "approved",
            Self::Rejected(_) => "rejected",
            Self::Revoked(_) => "revoked",
            Self::Expired(_) => "expired",
            Self::SelfApproved(_) => "self-approved",
            Self::OtherCluster => "other-cluster",
            Self::TimeUnknown => "time-unknown",
        }
    }
}

impl Review {
    /// The newest decision that names the cluster.
    pub fn decided(&self, cluster: &Text) -> Option<&Decision> {
        self.decisions.iter().rev().find(|decision| decision.clusters.contains(cluster))
    }

    /// Is this the user who asked, or another name of the same person?
    pub fn is_by(&self, user: &Text, people: &[Vec<Text>]) -> bool {
        let both = |names: &Vec<Text>| {
            names.contains(user)
                && names.iter().any(|name| *name == self.requested_by || self.aliases.contains(name))
        };
        *user == self.requested_by || self.aliases.contains(user) || people.iter().any(both)
    }

    /// `now` is the API server's time, `people` the names that are of one person each.
    pub fn standing(&self, cluster: &Text, now: Option<Timestamp>, people: &[Vec<Text>]) -> Standing {
        if !self.grant.clusters.contains(cluster) {
            return Standing::OtherCluster;
        }
        let Some(decision) = self.decided(cluster) else {
            let over = now.is_some_and(|now| self.grant.expires <= now);
            return if over { Standing::Expired(self.grant.expires) } else { Standing::Open };
        };
        match decision.verdict {
            DecisionVerdict::Rejected => return Standing::Rejected(decision.stamp.clone()),
            DecisionVerdict::Revoked => return Standing::Revoked(decision.stamp.clone()),
            DecisionVerdict::Approved => {}
        }
        if self.is_by(&decision.stamp.by, people) {
            return Standing::SelfApproved(decision.stamp.clone());
        }
        let until = decision.expires.map_or(self.grant.expires, |own| own.min(self.grant.expires));
        match now {
            None => Standing::TimeUnknown,
            Some(now) if until <= now => Standing::Expired(until),
            Some(_) => Standing::Approved { until },
        }
    }

    /// Was it turned down for this cluster by somebody else than who asked? That makes denials of
    /// exactly it expected, until the decision's own expiry if it has one.
    pub fn is_turned_down(&self, cluster: &Text, now: Option<Timestamp>, people: &[Vec<Text>]) -> bool {
        let named = self.grant.clusters.contains(cluster);
        self.decided(cluster).filter(|_| named).is_some_and(|decision| {
            let lasts = decision.expires.is_none_or(|until| now.is_some_and(|now| now < until));
            decision.verdict == DecisionVerdict::Rejected && lasts && !self.is_by(&decision.stamp.by, people)
        })
    }
}

/// What of an opening goes beyond a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beyond {
    Namespace,
    Direction,
    Destination,
    Workloads,
    Ports,
}

impl Beyond {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Direction => "direction",
            Self::Destination => "destination",
            Self::Workloads => "workloads",
            Self::Ports => "ports",
        }
    }
}

impl Grant {
    /// Everything in which this opening of the namespace goes beyond the grant; empty: it is covered,
    /// as far as clusters and time are not asked. A pattern is covered by the same pattern only, a
    /// selector by the same or by none.
    pub fn beyond(&self, ns: &NsName, opened: &Opened) -> Vec<Beyond> {
        let checks = [
            (Beyond::Namespace, self.ns == *ns),
            (Beyond::Direction, self.direction == opened.direction),
            (Beyond::Destination, self.destination.covers(&opened.what)),
            (Beyond::Workloads, self.selector.is_everything() || self.selector.same(&opened.selector)),
            (Beyond::Ports, self.ports().cover(&opened.ports)),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(beyond, _)| beyond).collect()
    }

    pub fn ports(&self) -> Ports {
        Ports::new(self.ports.iter().copied(), Vec::new())
    }
}

impl Opening {
    pub fn covers(&self, what: &What) -> bool {
        match (self, what) {
            (Self::Name(mine), What::Name(other)) => mine == other,
            (Self::Networks(mine), What::Everything | What::Block { .. }) => {
                what.addresses().is_some_and(|opened| Ranges::of(mine).covers(&opened))
            }
            (Self::Name(_), What::Everything | What::Block { .. })
            | (Self::Networks(_), What::Name(_))
            | (_, What::Inside | What::Unknown(_)) => false,
        }
    }

    /// Do both lead to the same name, or share an address?
    pub fn meets(&self, what: &What) -> bool {
        match (self, what) {
            (Self::Name(mine), What::Name(other)) => mine == other,
            (Self::Networks(mine), What::Everything | What::Block { .. }) => {
                what.addresses().is_some_and(|opened| !Ranges::of(mine).and(&opened).is_empty())
            }
            (Self::Name(_), _) | (Self::Networks(_), _) => false,
        }
    }
}

impl Selector {
    /// The same requirements in any order.
    pub fn same(&self, other: &Self) -> bool {
        let sorted = |selector: &Self| selector.0.iter().cloned().collect::<BTreeSet<_>>();
        sorted(self) == sorted(other)
    }
}
