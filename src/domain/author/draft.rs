//! What authoring makes: the pinned policies of one direction as rules with their reasons, and
//! beside them what was left out and why. Texts are made of these in `documents`; decides nothing.

use std::{fmt, net::IpAddr};

use compact_str::CompactString;
use ipnet::IpNet;

use crate::domain::{
    edge::{DnsName, Window},
    names::{NsName, Text},
    opened::Ports,
    policy::{Labels, Pinned, Rule},
    rollout::Target,
};

/// The files of one rollout, before they are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub target: Target,
    /// Of the evidence.
    pub window: Window,
    /// The enforcer honours ranges of ports.
    pub end_port: bool,
    /// In the order of the pinned set.
    pub policies: Vec<Drafted>,
    /// Sorted.
    pub left_out: Vec<LeftOut>,
    /// What a person should know before these are applied. Sorted.
    pub warnings: Vec<Text>,
    /// Traffic that goes past Harbor although it has landed. Sorted.
    pub work: Vec<Text>,
    /// Facts that are not known, with what that leaves out.
    pub missing: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    pub pinned: &'static Pinned,
    pub rules: Vec<Drawn>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Which evidence it comes from, a line each.
    pub why: Vec<Text>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Made {
        /// Never empty.
        peers: Vec<Peer>,
        ports: Ports,
        /// Cilium only: lookups pass its DNS proxy, which names need.
        proxied: bool,
    },
    /// A person's, as it stands in the extra file.
    Given(Rule),
}

/// The other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Every pod of the cluster.
    EveryPod,
    /// Pods of a namespace; no labels: all of them.
    Pods {
        ns: NsName,
        labels: Vec<(CompactString, CompactString)>,
    },
    Block {
        network: IpNet,
        except: Vec<IpNet>,
    },
    /// A word of Cilium for what has no pod.
    Entity(Reserved),
    /// A name whose addresses Cilium learns from lookups.
    Name(DnsName),
}

/// Cilium documentation, "Entities based".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reserved {
    Host,
    RemoteNode,
    KubeApiserver,
    Ingress,
    Unmanaged,
}

impl Reserved {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::RemoteNode => "remote-node",
            Self::KubeApiserver => "kube-apiserver",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
        }
    }
}

impl Peer {
    pub fn pods(ns: &NsName, labels: &Labels) -> Self {
        let labels = labels.iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self::Pods { ns: ns.clone(), labels }
    }

    pub fn address(address: IpAddr) -> Self {
        Self::Block { network: IpNet::from(address), except: Vec::new() }
    }

    /// Only a CiliumNetworkPolicy can name it.
    pub fn is_ciliums(&self) -> bool {
        matches!(self, Self::Entity(_) | Self::Name(_))
    }
}

/// Something that was seen, or asked for, and is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub cause: Cause,
    /// `hooks.example TCP/443 by cart`.
    pub what: Text,
    /// A clause, with the next step where there is one.
    pub why: Text,
}

/// Why something is left out; the order is that of printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No valid grant covers it.
    Flagged,
    /// Its addresses change, and nothing that holds them all is known.
    Churning,
    /// No policy that this network plugin honours can say it.
    Unroutable,
    /// A fact of the cluster is missing that it needs.
    FactMissing,
    /// The source told no address and no name.
    Unsaid,
    /// The address is one of pods, and no record says which.
    UnknownPod,
    /// Only denied attempts were seen.
    DeniedOnly,
    /// It has to go through Harbor.
    PastHarbor,
    /// So many callers from outside that opening to them is a person's decision.
    TooMany,
    /// The name is stale or ambiguous, so nothing is opened by name.
    NameUnsure,
}

impl Cause {
    pub const ALL: [Self; 10] = [
        Self::Flagged,
        Self::Churning,
        Self::Unroutable,
        Self::FactMissing,
        Self::Unsaid,
        Self::UnknownPod,
        Self::DeniedOnly,
        Self::PastHarbor,
        Self::TooMany,
        Self::NameUnsure,
    ];

    /// Stable word for scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::Churning => "churning",
            Self::Unroutable => "unroutable",
            Self::FactMissing => "fact-missing",
            Self::Unsaid => "unsaid",
            Self::UnknownPod => "unknown-pod",
            Self::DeniedOnly => "denied-only",
            Self::PastHarbor => "past-harbor",
            Self::TooMany => "too-many",
            Self::NameUnsure => "name-unsure",
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl Draft {
    pub fn find(&self, name: &str) -> Option<&Drafted> {
        self.policies.iter().find(|drafted| drafted.pinned.name == name)
    }
}
