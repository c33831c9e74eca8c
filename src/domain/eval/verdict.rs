//! What is decided of a connection at each of its ends, by which rule, and why it may be unknown.
//! Small values without names; [`super::answer`] turns them into words.

use super::model::PodId;
use crate::domain::flow::Direction;

/// All that policies say of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Allowed,
    Denied,
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }
}

/// A rule of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// Place among the cluster's policies.
    pub policy: u32,
    /// Place among the rules of its direction, counted from 1.
    pub rule: u32,
}

/// What is decided at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The end is no pod of this cluster.
    NoPod,
    /// A pod of the host's network: no policy selects it.
    HostNetwork,
    /// No policy of this direction selects the pod.
    NotIsolated,
    /// From a pod to itself: it never reaches a policy.
    Itself,
    /// From the pod's own node, which always passes.
    OwnNode,
    Allowed(RuleRef),
    /// Policies isolate the pod, and no rule of theirs lets it pass.
    Denied,
    Unknown(Doubt),
}

/// Why a verdict is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A policy of a kind that is not evaluated, or one that could not be read.
    Foreign(u32),
    /// A rule that is not understood.
    Rule(RuleRef),
    /// Neither TCP, UDP nor SCTP: no rule can name it.
    Protocol,
    /// The plugin is not known to judge SCTP.
    Sctp,
    /// It is denied by the policies, and nothing enforces them, or perhaps nothing does.
    Enforcement,
    /// A rule's network has the address, and it is a pod's.
    BlockHasPod(RuleRef),
    /// A rule's network has the address, and it is a node's.
    BlockHasNode(RuleRef),
    /// It hangs on `endPort`.
    EndPort(RuleRef),
    /// A policy has a named port, which the plugin refuses.
    NamedPorts,
    /// A rule names a port, and the containers of the destination are not known.
    PortName(RuleRef),
    /// A rule's network might have the address of the other end, which is not known.
    NoAddress(RuleRef),
    /// A rule asks for labels of the other end's namespace, which are not known.
    NamespaceLabels(RuleRef),
    /// An empty namespaceSelector may select pods of the hosts' network.
    HostsOfNamespaces(RuleRef),
    /// A node, and it is not known whether it is the pod's own.
    OwnNode,
    /// Several pods have the address.
    SharedAddress,
    /// The destination has finished.
    Finished(PodId),
    /// The two ends have no family of addresses in common.
    Families,
}

/// What is decided of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// At the source.
    pub egress: Decision,
    /// At the destination.
    pub ingress: Decision,
}

impl Decision {
    /// As JSON says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPod => "no pod",
            Self::HostNetwork => "host network",
            Self::NotIsolated => "not isolated",
            Self::Itself => "itself",
            Self::OwnNode => "own node",
            Self::Allowed(_) => "allowed",
            Self::Denied => "denied",
            Self::Unknown(_) => "unknown",
        }
    }

    #[inline]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::NoPod
            | Self::HostNetwork
            | Self::NotIsolated
            | Self::Itself
            | Self::OwnNode
            | Self::Allowed(_) => Verdict::Allowed,
            Self::Denied => Verdict::Denied,
            Self::Unknown(_) => Verdict::Unknown,
        }
    }
}

impl Judged {
    pub fn both(decision: Decision) -> Self {
        Self { egress: decision, ingress: decision }
    }

    /// Both ends have to let it pass; one that denies suffices, whatever the other says.
    #[inline]
    pub fn verdict(self) -> Verdict {
        match (self.egress.verdict(), self.ingress.verdict()) {
            (Verdict::Denied, _) | (_, Verdict::Denied) => Verdict::Denied,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
            (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
        }
    }

    pub fn of(self, direction: Direction) -> Decision {
        match direction {
            Direction::Egress => self.egress,
            Direction::Ingress => self.ingress,
        }
    }
}
