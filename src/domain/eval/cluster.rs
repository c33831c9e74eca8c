//! What a verdict is made from: namespaces, pods with their addresses, nodes, Services, policies, and
//! policies of kinds that are not evaluated. Filled from manifests or from a live cluster. Plain data.

use std::net::IpAddr;

use compact_str::CompactString;

use super::{around::Around, plugin::Traits, rule::Network};
use crate::domain::{
    flow::{Direction, Protocol},
    names::{NodeName, NsName, PodName, PolicyName, Text, Workload},
    policy::{Labels, Policy, Selector},
};

/// A cluster at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// UID of its kube-system, which tells clusters apart for good; `None`: not known.
    pub uid: Option<Text>,
    /// How its network plugin enforces policies.
    pub traits: Traits,
    /// A pod's namespace that is not here has unknown labels.
    pub namespaces: Vec<Namespace>,
    pub pods: Vec<Pod>,
    pub nodes: Vec<Node>,
    pub services: Vec<Service>,
    pub policies: Vec<NetworkPolicy>,
    pub foreign: Vec<Foreign>,
    pub around: Around,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub name: NsName,
    pub labels: Labels,
}

/// The label that the API server sets on every namespace, with its name; nobody can change it.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub ns: NsName,
    pub name: PodName,
    pub labels: Labels,
    /// What owns it, as people know it; `None`: not known.
    pub workload: Option<Workload>,
    /// Empty: none is known.
    pub addresses: Vec<IpAddr>,
    pub node: Option<NodeName>,
    /// It has its node's address, and no policy selects it.
    pub host_network: bool,
    /// Succeeded or Failed: its address may be another's by now.
    pub finished: bool,
    /// `None`: its containers are not known.
    pub ports: Option<Vec<NamedPort>>,
}

/// A port that a container gives a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    pub name: CompactString,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: NodeName,
    pub addresses: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub ns: NsName,
    pub name: Text,
    /// Its cluster addresses; a headless one has none.
    pub addresses: Vec<IpAddr>,
    /// `None`: what stands behind it is not chosen by labels.
    pub selector: Option<Selector>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub protocol: Protocol,
    pub port: u16,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Number(u16),
    /// A name among the backend's ports.
    Name(CompactString),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    pub ns: NsName,
    pub name: PolicyName,
    pub rules: Network,
}

impl NetworkPolicy {
    /// A NetworkPolicy of a namespace; `None` for other kinds.
    pub fn of(policy: &Policy) -> Option<Self> {
        Some(Self {
            ns: policy.key.ns.clone()?,
            name: policy.key.name.clone(),
            rules: policy.network.clone()?,
        })
    }
}

/// A policy that is not evaluated, or could not be read, and that may select pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// `AdminNetworkPolicy`, …; or what stands in for it.
    pub kind: Text,
    pub ns: Option<NsName>,
    pub name: Text,
    pub weight: Weight,
    pub egress: bool,
    pub ingress: bool,
    /// Pods that it may select: those of any of these.
    pub reach: Vec<Reach>,
}

impl Foreign {
    pub fn has(&self, direction: Direction) -> bool {
        match direction {
            Direction::Egress => self.egress,
            Direction::Ingress => self.ingress,
        }
    }
}

/// What a policy that is not evaluated can do to a verdict of NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Anything: it may decide before NetworkPolicies do.
    Overrides,
    /// It may isolate and may allow more; what a rule of a NetworkPolicy allows stays allowed.
    Adds,
    /// It may deny more, never allow.
    Narrows,
    /// It counts only where no NetworkPolicy isolates.
    Baseline,
}

/// Pods by namespace and labels; wider where the policy's own words are not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    pub namespaces: Namespaces,
    pub pods: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    All,
    One(NsName),
    Selected(Selector),
}
