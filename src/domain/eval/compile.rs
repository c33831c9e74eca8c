//! A cluster's objects -> the compiled [`Model`]. Pods with the same namespace and labels are looked at
//! once; groups that no peer of a rule tells apart become one; pods that the same policies select
//! share their tables. Pure.

use std::net::IpAddr;

use super::{
    classes::{self, Classes},
    cluster::{Cluster, Foreign, NAME_LABEL, Namespaces, Pod},
    model::{Cell, Map, Model, Owner, PodFacts, PodId},
    peers::{PeerSets, Sure},
    rule::PortMatch,
    table::{NONE, Names},
};
use crate::domain::{
    flow::Direction,
    names::{NodeName, NsName},
    policy::{Labels, Requirement, Selector},
};

pub(super) fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

/// A namespace that something stands in.
pub(super) struct Ns<'c> {
    pub name: &'c NsName,
    /// `None`: not known, but for the name.
    labels: Option<&'c Labels>,
}

impl Ns<'_> {
    /// Does the selector select it?
    pub fn selected_by(&self, selector: &Selector) -> Sure {
        if let Some(labels) = self.labels {
            return if selector.matches(labels) { Sure::Yes } else { Sure::No };
        }
        let own = Labels::new(vec![(NAME_LABEL.into(), self.name.as_str().into())]);
        let mut sure = Sure::Yes;
        for requirement in &selector.0 {
            let (Requirement::In { key, .. }
            | Requirement::NotIn { key, .. }
            | Requirement::Exists { key }
            | Requirement::DoesNotExist { key }) = requirement;
            if key != NAME_LABEL {
                sure = Sure::Perhaps;
            } else if !Selector(vec![requirement.clone()]).matches(&own) {
                return Sure::No;
            }
        }
        sure
    }
}

/// Namespaces by place, those of pods and policies without an object of their own too.
fn namespaces(cluster: &Cluster) -> (Vec<Ns<'_>>, Map<&NsName, usize>) {
    let (mut list, mut places) = (Vec::new(), Map::default());
    let told = cluster.namespaces.iter().map(|ns| (&ns.name, Some(&ns.labels)));
    let used = cluster.pods.iter().map(|pod| &pod.ns).chain(cluster.policies.iter().map(|policy| &policy.ns));
    for (name, labels) in told.chain(used.map(|name| (name, None))) {
        places.entry(name).or_insert_with(|| {
            list.push(Ns { name, labels });
            list.len() - 1
        });
    }
    (list, places)
}

/// Pods of one namespace with the same labels: policies cannot tell them apart.
pub(super) struct Kin<'c> {
    pub ns: usize,
    pub labels: &'c Labels,
}

pub(super) fn model(cluster: &Cluster) -> Model {
    let (namespaces, ns_places) = namespaces(cluster);
    let mut policies: Vec<_> = cluster.policies.iter().collect();
    policies.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
    let mut kin_places: Map<(usize, &Labels), usize> = Map::default();
    let mut kins = Vec::new();
    let kin_of: Vec<usize> = cluster
        .pods
        .iter()
        .map(|pod| {
            let ns = ns_places[&pod.ns];
            *kin_places.entry((ns, &pod.labels)).or_insert_with(|| {
                kins.push(Kin { ns, labels: &pod.labels });
                kins.len() - 1
            })
        })
        .collect();
    let policy_ns: Vec<usize> = policies.iter().map(|policy| ns_places[&policy.ns]).collect();
    let peers = PeerSets::new(&policies, &policy_ns, &namespaces, &kins);
    let names = port_names(&policies);
    let mut classes = Classes::new(classes::Given {
        policies: &policies,
        policy_ns: &policy_ns,
        namespaces: &namespaces,
        foreign: &cluster.foreign,
        peers: &peers,
        names: &names,
    });
    let of_kin: Vec<[u32; 2]> =
        kins.iter().map(|kin| Direction::ALL.map(|direction| classes.of(kin, direction))).collect();
    let nodes = node_places(cluster);
    let cells = cluster.pods.iter().zip(&kin_of).map(|(pod, kin)| Cell {
        class: if pod.host_network { [NONE; 2] } else { of_kin[*kin] },
        group: if pod.host_network { NONE } else { peers.group_of(*kin) },
        node: pod.node.as_ref().and_then(|node| nodes.get(node)).copied().unwrap_or(NONE),
        host_network: pod.host_network,
        finished: pod.finished,
    });
    Model {
        traits: cluster.traits,
        cells: cells.collect(),
        pods: cluster.pods.iter().map(|pod| facts(pod, &names)).collect(),
        classes: classes.done(),
        policies: policies.iter().map(|policy| (policy.ns.clone(), policy.name.clone())).collect(),
        foreign: cluster.foreign.clone(),
        services: cluster.services.clone(),
        by_name: cluster
            .pods
            .iter()
            .zip(0..)
            .map(|(pod, id)| ((pod.ns.clone(), pod.name.clone()), PodId(id)))
            .collect(),
        by_address: owners(cluster, &nodes),
    }
}

/// Names of ports that rules name.
fn port_names(policies: &[&super::cluster::NetworkPolicy]) -> Names {
    let mut names = Names::default();
    let rules = policies.iter().flat_map(|policy| {
        Direction::ALL.into_iter().flat_map(|direction| policy.rules.rules(direction).unwrap_or_default())
    });
    for port in rules.flatten().flat_map(|rule| &rule.ports) {
        if let PortMatch::Named { name, .. } = port {
            let next = place(names.len());
            names.entry(name.clone()).or_insert(next);
        }
    }
    names
}

fn facts(pod: &Pod, names: &Names) -> PodFacts {
    let named = pod.ports.iter().flatten();
    PodFacts {
        ns: pod.ns.clone(),
        name: pod.name.clone(),
        labels: pod.labels.clone(),
        addresses: pod.addresses.iter().map(IpAddr::to_canonical).collect(),
        ports: pod.ports.is_some().then(|| {
            named
                .clone()
                .filter_map(|port| Some((*names.get(&port.name)?, port.protocol, port.port)))
                .collect()
        }),
        named: named.cloned().collect(),
    }
}

fn node_places(cluster: &Cluster) -> Map<&NodeName, u32> {
    let mut places = Map::default();
    let told = cluster.nodes.iter().map(|node| &node.name);
    for name in told.chain(cluster.pods.iter().filter_map(|pod| pod.node.as_ref())) {
        let next = place(places.len());
        places.entry(name).or_insert(next);
    }
    places
}

/// Who has which address: nodes before pods of their network, pods before Services.
fn owners(cluster: &Cluster, nodes: &Map<&NodeName, u32>) -> Map<IpAddr, Owner> {
    let mut owners = Map::default();
    for node in &cluster.nodes {
        for address in &node.addresses {
            owners.insert(address.to_canonical(), Owner::Node(nodes[&node.name]));
        }
    }
    for pod in cluster.pods.iter().filter(|pod| pod.host_network) {
        let node = pod.node.as_ref().and_then(|node| nodes.get(node)).copied().unwrap_or(NONE);
        for address in &pod.addresses {
            owners.entry(address.to_canonical()).or_insert(Owner::Node(node));
        }
    }
    for (pod, id) in cluster.pods.iter().zip(0..).filter(|(pod, _)| !pod.host_network && !pod.finished) {
        for address in pod.addresses.iter().map(IpAddr::to_canonical) {
            let owner = match owners.get(&address) {
                Some(Owner::Pod(other)) if other.0 != id => Owner::Shared,
                Some(Owner::Shared | Owner::Node(_)) => Owner::Shared,
                Some(Owner::Pod(_) | Owner::Service(_)) | None => Owner::Pod(PodId(id)),
            };
            owners.insert(address, owner);
        }
    }
    for (service, at) in cluster.services.iter().zip(0..) {
        for address in &service.addresses {
            owners.entry(address.to_canonical()).or_insert(Owner::Service(at));
        }
    }
    owners
}

/// May the policy select pods of this kind? Namespaces with unknown labels may be meant.
pub(super) fn may_select(foreign: &Foreign, ns: &Ns<'_>, labels: &Labels) -> bool {
    foreign.reach.iter().any(|reach| {
        let is_there = match &reach.namespaces {
            Namespaces::All => true,
            Namespaces::One(name) => name == ns.name,
            Namespaces::Selected(selector) => ns.selected_by(selector) != Sure::No,
        };
        is_there && reach.pods.matches(labels)
    })
}
