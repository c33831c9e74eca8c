//! The compiled model of a cluster: who has which address, which policies select a pod, and which of
//! their rules a peer meets. Made once by [`Model::new`], asked often, never changed.

use std::{collections::HashMap, net::IpAddr};

use foldhash::fast::FixedState;

use super::{
    cluster::{Cluster, Foreign, Service},
    plugin::Traits,
    table::{NONE, Segments, Table},
    verdict::RuleRef,
};
use crate::domain::{
    flow::{Direction, Protocol},
    names::{NsName, PodName, PolicyName},
    policy::Labels,
};

pub(super) type Map<K, V> = HashMap<K, V, FixedState>;

/// A pod of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub(super) u32);

/// One end of a connection, looked up once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub(super) who: Who,
    /// The address that the data plane sees; `None`: not known.
    pub(super) address: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Pod(PodId),
    /// A node, or the pod of its network; the node's place, [`NONE`] where it is not known.
    Host(u32),
    Outside,
    /// Several pods have the address.
    Shared,
}

/// The policies of a cluster, ready to judge.
#[derive(Debug)]
pub struct Model {
    pub(super) traits: Traits,
    /// What is read for every verdict, by pod.
    pub(super) cells: Vec<Cell>,
    pub(super) pods: Vec<PodFacts>,
    pub(super) classes: Vec<Class>,
    pub(super) policies: Vec<(NsName, PolicyName)>,
    pub(super) foreign: Vec<Foreign>,
    pub(super) services: Vec<Service>,
    pub(super) by_name: Map<(NsName, PodName), PodId>,
    pub(super) by_address: Map<IpAddr, Owner>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Policies that select it, by direction: a place in `classes`, [`NONE`] for none.
    pub class: [u32; 2],
    /// Pods that the same peers of rules mean; [`NONE`]: none means it.
    pub group: u32,
    /// [`NONE`]: not known.
    pub node: u32,
    pub host_network: bool,
    pub finished: bool,
}

/// What is read of a pod now and then.
#[derive(Debug)]
pub(super) struct PodFacts {
    pub ns: NsName,
    pub name: PodName,
    pub labels: Labels,
    pub addresses: Box<[IpAddr]>,
    /// Named ports that rules name too; `None`: not known.
    pub ports: Option<Box<[(u32, Protocol, u16)]>>,
    /// All named ports, for Services.
    pub named: Box<[super::cluster::NamedPort]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Pod(PodId),
    Shared,
    Node(u32),
    Service(u32),
}

/// All policies of one direction that select the same pods.
#[derive(Debug)]
pub(super) struct Class {
    pub policies: Box<[u32]>,
    pub foreign: Box<[u32]>,
    /// Where a rule's place leads to.
    pub rules: Box<[RuleRef]>,
    pub tables: Box<[Table]>,
    /// Rules for everybody.
    pub anybody: u32,
    /// By group of the peer: rules that mean it, those for everybody among them.
    pub groups: Box<[u32]>,
    /// By group: rules that perhaps mean it. Empty where there are none.
    pub perhaps: Box<[u32]>,
    pub v4: Segments<u32>,
    pub v6: Segments<u128>,
    /// All rules with networks.
    pub blocks: u32,
    /// Rules whose peer is all namespaces, without a podSelector.
    pub hosts: u32,
    /// The first rule that is not understood.
    pub unread: Option<RuleRef>,
    pub has_port_names: bool,
}

impl Class {
    /// The table of rules whose networks have the address.
    #[inline]
    pub fn at(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => self.v4.at(address.to_bits()),
            IpAddr::V6(address) => self.v6.at(address.to_bits()),
        }
    }
}

#[inline]
pub(super) fn side(direction: Direction) -> usize {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}

impl Model {
    /// Compiles what is known of a cluster. Never fails: what is not understood is unknown later.
    pub fn new(cluster: &Cluster) -> Self {
        super::compile::model(cluster)
    }

    pub fn traits(&self) -> Traits {
        self.traits
    }

    pub fn pod(&self, ns: &NsName, name: &PodName) -> Option<PodId> {
        self.by_name.get(&(ns.clone(), name.clone())).copied()
    }

    pub fn pods(&self) -> impl Iterator<Item = (PodId, &NsName, &PodName, &Labels)> {
        let pods = self.pods.iter().zip(0..);
        pods.map(|(pod, id)| (PodId(id), &pod.ns, &pod.name, &pod.labels))
    }

    /// A pod's addresses, as they were told.
    pub fn addresses(&self, pod: PodId) -> &[IpAddr] {
        &self.pods[pod.0 as usize].addresses
    }

    /// A pod, with one of its addresses.
    #[inline]
    pub fn party_of(&self, pod: PodId, address: Option<IpAddr>) -> Party {
        let cell = &self.cells[pod.0 as usize];
        let who = if cell.host_network { Who::Host(cell.node) } else { Who::Pod(pod) };
        Party { who, address: address.map(|address| address.to_canonical()) }
    }

    /// Whoever has the address. A Service's own is an address outside here: see
    /// [`Model::answer`].
    #[inline]
    pub fn party(&self, address: IpAddr) -> Party {
        let address = address.to_canonical();
        let who = match self.by_address.get(&address) {
            Some(Owner::Pod(pod)) => Who::Pod(*pod),
            Some(Owner::Shared) => Who::Shared,
            Some(Owner::Node(node)) => Who::Host(*node),
            Some(Owner::Service(_)) | None => Who::Outside,
        };
        Party { who, address: Some(address) }
    }

    pub fn policy(&self, rule: RuleRef) -> &(NsName, PolicyName) {
        &self.policies[rule.policy as usize]
    }

    pub(super) fn class(&self, pod: PodId, direction: Direction) -> Option<&Class> {
        let class = self.cells[pod.0 as usize].class[side(direction)];
        (class != NONE).then(|| &self.classes[class as usize])
    }
}
