//! The inventory of one simulated cluster, as values: nodes, namespaces, workloads, pods, who calls
//! whom. Built once from a scenario and a seed by `generate`; never changes while the fleet runs.
//! `objects` writes it as Kubernetes objects, `traffic` makes flows of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use sha2::{Digest, Sha256};

use crate::sim::fleet::{
    cron::Cron,
    scenario::{Class, Cni, Environment, Kind},
};

pub type Labels = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Plan {
    pub cluster: String,
    pub environment: Environment,
    pub cni: Cni,
    pub dns_visibility: bool,
    pub audit: bool,
    pub seed: u64,
    pub nodes: Vec<Node>,
    pub namespaces: Vec<Namespace>,
    pub workloads: Vec<Workload>,
    pub pods: Vec<Pod>,
    pub externals: Vec<External>,
    pub edges: Vec<Edge>,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    pub control_plane: bool,
}

#[derive(Debug)]
pub struct Namespace {
    pub name: String,
    pub labels: Labels,
    pub annotations: Labels,
    /// Part of the cluster itself, not of anybody's product.
    pub system: bool,
}

#[derive(Debug)]
pub struct Workload {
    pub namespace: String,
    pub name: String,
    pub kind: Kind,
    pub labels: Labels,
    /// The labels of its pods as Cilium's agents write them, sorted.
    pub agent_labels: Vec<String>,
    pub containers: Vec<Container>,
    pub ports: Vec<Port>,
    pub host_network: bool,
    pub schedule: Option<Cron>,
    pub service: Option<Ipv4Addr>,
    /// Indices into `Plan::pods`.
    pub pods: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Container {
    pub name: String,
    pub image: String,
}

#[derive(Clone, Debug)]
pub struct Port {
    pub name: String,
    pub number: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        }
    }
}

#[derive(Debug)]
pub struct Pod {
    pub workload: usize,
    pub name: String,
    pub node: usize,
    pub address: Ipv4Addr,
}

#[derive(Debug)]
pub struct External {
    pub host: Option<String>,
    pub class: Class,
    pub churns: bool,
    pub cnames: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

/// Who calls whom, how often, on which port. `port` is the target port behind any Service.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: End,
    pub to: End,
    pub port: u16,
    pub protocol: Protocol,
    /// For each pod of `from`.
    pub per_second: f64,
    pub keep: bool,
    pub forgotten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Workload(usize),
    External(usize),
    /// The API server, at the control plane's address.
    Api,
    /// Every node's own address.
    Nodes,
}

impl Plan {
    pub fn workload(&self, namespace: &str, name: &str) -> Option<usize> {
        self.workloads.iter().position(|w| w.namespace == namespace && w.name == name)
    }

    pub fn pod_workload(&self, pod: usize) -> &Workload {
        &self.workloads[self.pods[pod].workload]
    }

    /// The cluster's resolver, if it has one: pods that answer on port 53.
    pub fn resolver(&self) -> Option<usize> {
        self.workload("kube-system", "coredns")
    }
}

/// A number that is always the same for the same text: names, uids and seeds are made of it.
pub fn hash64(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// A uid in the usual form, always the same for the same text.
pub fn uid(text: &str) -> String {
    let (high, low) = (hash64(text), hash64(&format!("{text}/low")));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
