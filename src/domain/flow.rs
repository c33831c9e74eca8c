//! One observed connection attempt, as every source is translated into. What a source cannot say
//! is `None` or `Unknown`, never guessed.

use std::{fmt, net::IpAddr};

use compact_str::CompactString;

use super::{
    names::{NodeName, NsName, PodName, PolicyName, Text, Workload},
    policy::PolicyKind,
    time::Timestamp,
};

/// The direction of a rollout, of a policy and of a judged flow, seen from the pod that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Egress,
    Ingress,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.as_str() == raw)
    }

    pub fn other(self) -> Self {
        match self {
            Self::Egress => Self::Ingress,
            Self::Ingress => Self::Egress,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    /// ICMP of either family. NetworkPolicy cannot name it.
    Icmp,
    Unknown,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::Unknown => "?",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp, Self::Unknown].into_iter().find(|p| p.as_str() == raw)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the data plane did with the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed {
        /// Policies the data plane says allowed it; empty where it does not say.
        by: Vec<PolicyRef>,
    },
    /// Dropped by policy. `said` is the data plane's own word, such as `POLICY_DENIED`.
    Denied { said: Text, by: Vec<PolicyRef> },
    /// Passed, but enforcement would have dropped it.
    /// `by`: policies that would, audited or staged, where the source names them.
    Audit { said: Text, by: Vec<PolicyRef> },
}

impl Verdict {
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// A policy as a flow names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRef {
    pub kind: PolicyKind,
    pub ns: Option<NsName>,
    pub name: PolicyName,
}

/// A peer without a pod that the data plane has a word for (Cilium's reserved identities).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    World,
    Host,
    RemoteNode,
    KubeApiserver,
    Health,
    Ingress,
    Unmanaged,
}

impl Entity {
    pub const ALL: [Self; 7] = [
        Self::World,
        Self::Host,
        Self::RemoteNode,
        Self::KubeApiserver,
        Self::Health,
        Self::Ingress,
        Self::Unmanaged,
    ];

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.as_str() == raw)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Host => "host",
            Self::RemoteNode => "remote-node",
            Self::KubeApiserver => "kube-apiserver",
            Self::Health => "health",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
        }
    }
}

/// What the other end is called that has an address of a private range, where the source gives no
/// address (Calico's `pvt`).
pub const PRIVATE_NETWORK: &str = "a private network";

/// One end of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub address: Option<IpAddr>,
    pub ns: Option<NsName>,
    pub pod: Option<PodName>,
    pub workload: Option<Workload>,
    pub entity: Option<Entity>,
    /// DNS names the source gives for the address, best first; what Calico calls a network, where it
    /// gives no address. Bounded by the decoder.
    pub names: Vec<Text>,
}

/// Identifies one event of one source, so that a replay is not counted twice (Hubble: `uuid`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub CompactString);

/// One judged connection attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub id: FlowId,
    pub at: Timestamp,
    pub node: Option<NodeName>,
    pub direction: Direction,
    pub verdict: Verdict,
    pub source: End,
    pub destination: End,
    pub protocol: Protocol,
    /// Port at the source, 0 where the protocol has none.
    pub source_port: u16,
    /// Port at the destination, 0 where the protocol has none.
    pub port: u16,
    /// `None` where the source does not say.
    pub reply: Option<bool>,
    /// TCP only: a packet that can only belong to a connection that is over or was never tracked
    /// (RST, or FIN without SYN).
    pub closing: bool,
}

impl Flow {
    /// The end whose policy judged this flow.
    pub fn judged(&self) -> &End {
        match self.direction {
            Direction::Egress => &self.source,
            Direction::Ingress => &self.destination,
        }
    }

    /// The end on the other side.
    pub fn peer(&self) -> &End {
        match self.direction {
            Direction::Egress => &self.destination,
            Direction::Ingress => &self.source,
        }
    }
}
