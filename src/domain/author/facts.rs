//! What must be known of a cluster to write policies for it: its network plugin, resolver, API
//! server, nodes, and the labels of its workloads. `None` is unknown, and what rests on it is left
//! out. Filled by `k8s::preflight` or from a file; asks nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::domain::{
    eval::plugin::{Holds, Plugin, ServiceView, Traits},
    fleet::{Cni, CniKind, Pod},
    flow::Direction,
    names::{NsName, Text, Workload},
    policy::Labels,
    range,
};

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub cni: Option<Cni>,
    /// Cilium with `policy-cidr-match-mode: nodes`: an ipBlock selects nodes too. `None`: not known,
    /// and then taken as off, which is the default.
    pub blocks_select_nodes: Option<bool>,
    /// Cilium with `enable-sctp`. `None`: not known.
    pub sctp: Option<bool>,
    pub resolver: Option<Resolver>,
    pub api: Option<ApiServer>,
    /// Every address of every node.
    pub nodes: Option<BTreeSet<IpAddr>>,
    /// Networks of the pods, as the nodes tell them.
    pub pod_networks: Option<Vec<IpNet>>,
    pub workloads: Option<Workloads>,
    /// What the API server calls inside the cluster.
    pub callbacks: Option<Vec<Callback>>,
}

/// Pods that the API server calls: a webhook's, or an aggregated API's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Callback {
    /// `ValidatingWebhookConfiguration cert-manager-webhook`.
    pub object: Text,
    pub ns: NsName,
    /// On which the pods listen, whatever port the Service has. TCP.
    pub port: u16,
}

/// What runs in each namespace.
pub type Workloads = BTreeMap<NsName, BTreeMap<Workload, Running>>;

/// The pods of a workload as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Labels that all of its pods have, and that no roll-out changes; empty: none.
    pub labels: Labels,
    /// On the host's network: as peers its pods are the node.
    pub host_network: bool,
}

/// How pods reach names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// The pods behind the Service; `None`: there are none (Cloud DNS, or a resolver on the nodes).
    pub pods: Option<ResolverPods>,
    /// The addresses of the Service.
    pub service: BTreeSet<IpAddr>,
    /// Addresses on which a cache on each node listens; empty: there is no such cache.
    pub node_local: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverPods {
    pub ns: NsName,
    /// The Service's selector.
    pub labels: Labels,
    /// On which the pods listen: 53, of OpenShift 5353.
    pub ports: BTreeSet<u16>,
    /// How many pods there are now.
    pub ready: usize,
}

/// Where the API server is reached from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServer {
    /// Of the EndpointSlices of `default/kubernetes`: what policies see after translation.
    pub endpoints: BTreeSet<(IpAddr, u16)>,
    /// The Service itself.
    pub service: BTreeSet<(IpAddr, u16)>,
}

/// Whether the enforcer sees a Service's address, its endpoints', or nobody knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    Endpoints,
    Either,
}

impl Facts {
    pub fn kind(&self) -> Option<CniKind> {
        self.cni.as_ref().map(|cni| cni.kind)
    }

    pub fn is_cilium(&self) -> bool {
        self.kind() == Some(CniKind::Cilium)
    }

    /// Cilium's identities win over addresses: nodes and the API server are no ipBlock there.
    pub fn nodes_need_entities(&self) -> bool {
        self.is_cilium() && self.blocks_select_nodes != Some(true)
    }

    /// Most enforcers judge after the Service's address was translated; the AWS agent does not.
    pub fn sees(&self) -> Sees {
        // What does not enforce sees nothing, and what comes in its place is not known.
        let enforcer = self.kind().filter(|kind| *kind != CniKind::Flannel).unwrap_or(CniKind::Other);
        match Plugin::of(enforcer).traits().service {
            ServiceView::Backend => Sees::Endpoints,
            ServiceView::Service | ServiceView::Unsure => Sees::Either,
        }
    }

    /// Are ranges of ports honoured? Cilium ignores `endPort` before 1.16 without a word; of an
    /// unknown enforcer nobody knows.
    pub fn honours_end_port(&self) -> bool {
        let enforcer = self.cni.as_ref().filter(|cni| cni.kind != CniKind::Flannel);
        enforcer.is_some_and(|cni| Traits::of(cni).end_port == Holds::Yes)
    }

    pub fn is_node(&self, address: IpAddr) -> bool {
        self.nodes.as_ref().is_some_and(|nodes| nodes.contains(&range::fold(address)))
    }

    pub fn is_pod(&self, address: IpAddr) -> bool {
        self.pod_networks.iter().flatten().any(|network| network.contains(&range::fold(address)))
    }

    pub fn running(&self, ns: &NsName, workload: &Workload) -> Option<&Running> {
        self.workloads.as_ref()?.get(ns)?.get(workload)
    }

    /// What is missing for a direction, in words, with what it leaves out.
    pub fn missing(&self, direction: Direction) -> Vec<&'static str> {
        let parts = [
            (
                self.cni.is_none(),
                "the network plugin: ranges of ports and its own kinds of policy are not used",
            ),
            (
                self.resolver.is_none() && direction == Direction::Egress,
                "the resolver: the baseline has no rule for DNS",
            ),
            (self.api.is_none(), "the endpoints of the API server: no rule leads there or from there"),
            (self.nodes.is_none(), "the addresses of the nodes: no rule leads there or from there"),
            (self.workloads.is_none(), "the labels of workloads: peers are whole namespaces"),
            (
                self.callbacks.is_none() && direction == Direction::Ingress,
                "webhooks and aggregated APIs: the API server reaches only what it was seen to call",
            ),
        ];
        parts.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
    }
}

/// Labels that a controller puts on each pod anew, or that tell pods of one workload apart.
const VOLATILE: [&str; 12] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "rollouts-pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
    "helm.sh/chart",
];
/// Of a version: they change with the next roll-out.
const VERSIONS: [&str; 2] = ["app.kubernetes.io/version", "version"];
/// Labels that people choose to tell workloads apart, best first.
const NAMING: [&str; 6] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app",
    "k8s-app",
    "name",
];

/// Workloads by the pods of a cluster. Of each the fewest naming labels are kept that no other
/// workload of its namespace carries; where those do not suffice, all that are stable.
pub fn workloads<'p>(pods: impl IntoIterator<Item = &'p Pod>) -> Workloads {
    let mut common: BTreeMap<NsName, BTreeMap<Workload, (Labels, bool)>> = BTreeMap::new();
    for pod in pods.into_iter().filter(|pod| !pod.finished) {
        let all = common.entry(pod.ns.clone()).or_default();
        let stable = kept(&pod.labels, |key, _| !VOLATILE.contains(&key) && !VERSIONS.contains(&key));
        match all.get_mut(&pod.workload) {
            Some((labels, host)) => {
                *labels = kept(labels, |key, value| stable.get(key) == Some(value));
                *host |= pod.host_network;
            }
            None => {
                all.insert(pod.workload.clone(), (stable, pod.host_network));
            }
        }
    }
    let narrow = |all: BTreeMap<Workload, (Labels, bool)>| {
        let of = |workload: &Workload| {
            let (labels, host_network) = all[workload].clone();
            let others = || all.iter().filter(|(other, _)| *other != workload).map(|(_, (labels, _))| labels);
            Running { labels: telling(&labels, others), host_network }
        };
        all.keys().map(|workload| (workload.clone(), of(workload))).collect()
    };
    common.into_iter().map(|(ns, all)| (ns, narrow(all))).collect()
}

fn telling<'l, I: Iterator<Item = &'l Labels>>(labels: &Labels, others: impl Fn() -> I) -> Labels {
    let mut chosen = Vec::new();
    for key in NAMING {
        let Some(value) = labels.get(key) else { continue };
        chosen.push((key.into(), value.into()));
        let mine = Labels::new(chosen.clone());
        if !others().any(|other| mine.iter().all(|(key, value)| other.get(key) == Some(value))) {
            return mine;
        }
    }
    labels.clone()
}

fn kept(labels: &Labels, is_kept: impl Fn(&str, &str) -> bool) -> Labels {
    let pairs = labels.iter().filter(|(key, value)| is_kept(key, value));
    Labels::new(pairs.map(|(key, value)| (key.into(), value.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::PodName;

    fn pod(name: &str, workload: &str, labels: &[(&str, &str)]) -> Pod {
        Pod {
            ns: NsName::parse("shop").expect("valid"),
            name: PodName::parse(name).expect("valid"),
            labels: Labels::new(labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
            workload: Workload::new("Deployment", workload),
            node: None,
            host_network: false,
            finished: false,
            started: None,
            ready: None,
        }
    }

    fn told(pods: &[Pod], workload: &str) -> String {
        let all = workloads(pods);
        let running = &all[&pods[0].ns][&Workload::new("Deployment", workload)];
        running.labels.iter().map(|(key, value)| format!("{key}={value} ")).collect()
    }

    #[test]
    fn a_workload_is_told_by_the_fewest_labels_that_no_other_has_and_no_roll_out_changes() {
        let pods = [
            pod("a-1", "a", &[("app", "a"), ("pod-template-hash", "x"), ("tier", "web")]),
            pod("a-2", "a", &[("app", "a"), ("pod-template-hash", "y"), ("tier", "web"), ("debug", "1")]),
            pod("b-1", "b", &[("app", "b"), ("tier", "web")]),
        ];
        assert_eq!(told(&pods, "a"), "app=a ");
        let twins = [
            pod("a-1", "a", &[("app", "shop"), ("role", "a")]),
            pod("b-1", "b", &[("app", "shop"), ("role", "b")]),
        ];
        assert_eq!(told(&twins, "b"), "app=shop role=b ");
        assert_eq!(told(&[pod("c-1", "c", &[])], "c"), "");
    }
}
