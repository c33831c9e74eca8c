//! What a generated week has in it: nodes with their clocks, workloads, pods with their lives, sites
//! outside. Values only; `cases` or `history` fill it, `happen` lets it act, the writers spell it out.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use fastrand::Rng;

pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;

/// All times are nanoseconds since 1970, true time: what a node writes is off by its `skew`.
#[derive(Debug, Default)]
pub struct Inventory {
    pub cluster: String,
    pub nodes: Vec<Node>,
    pub workloads: Vec<Workload>,
    pub pods: Vec<Pod>,
    pub sites: Vec<Site>,
    /// Pods that answer DNS.
    pub resolvers: Vec<usize>,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    /// What its clock is ahead.
    pub skew: i64,
    /// It writes nothing in this time.
    pub silent: Option<Range<i64>>,
}

#[derive(Debug)]
pub struct Workload {
    pub ns: String,
    pub name: String,
    pub kind: Kind,
    pub host_network: bool,
    /// The address of its Service.
    pub service: Option<Ipv4Addr>,
    pub pods: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::CronJob => "CronJob",
        }
    }
}

#[derive(Debug)]
pub struct Pod {
    pub workload: usize,
    pub name: String,
    pub node: usize,
    pub v4: Ipv4Addr,
    pub v6: Option<Ipv6Addr>,
    pub life: Range<i64>,
}

/// Something outside: a name and its addresses, or an address alone.
#[derive(Clone, Debug)]
pub struct Site {
    pub host: Option<String>,
    /// Where the host's CNAME leads, in order.
    pub chain: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub ttl: u32,
    /// Every so often the answer has the next two addresses.
    pub turn: Option<i64>,
}

impl Site {
    /// The addresses that an answer has at this time.
    pub fn at(&self, at: i64) -> &[IpAddr] {
        match self.turn {
            None => &self.addresses,
            Some(turn) => {
                let pairs = (self.addresses.len() / 2).max(1);
                let pair = (at / turn) as usize % pairs;
                &self.addresses[pair * 2..(pair * 2 + 2).min(self.addresses.len())]
            }
        }
    }
}

impl Inventory {
    /// The pods of a workload that are up, and stay up for a while.
    pub fn alive(&self, workload: usize, at: i64) -> impl Iterator<Item = usize> + '_ {
        let up = move |pod: &usize| {
            let life = &self.pods[*pod].life;
            life.start <= at && at + 50 * SECOND < life.end
        };
        self.workloads[workload].pods.iter().copied().filter(up)
    }

    pub fn workload_of(&self, pod: usize) -> &Workload {
        &self.workloads[self.pods[pod].workload]
    }

    /// A pod in the host's network cannot be told from its node.
    pub fn is_host(&self, pod: usize) -> bool {
        self.workload_of(pod).host_network
    }

    pub fn address(&self, pod: usize, v6: bool) -> IpAddr {
        let it = &self.pods[pod];
        if self.is_host(pod) {
            return self.nodes[it.node].address.into();
        }
        match (v6, it.v6) {
            (true, Some(address)) => address.into(),
            (true, None) | (false, _) => it.v4.into(),
        }
    }

    /// Adds a pod, named as its controller would.
    pub fn pod(&mut self, rng: &mut Rng, workload: usize, life: Range<i64>, hash: &str) -> usize {
        let index = self.pods.len();
        let it = &self.workloads[workload];
        let name = match it.kind {
            Kind::Deployment | Kind::CronJob => format!("{}-{hash}-{}", it.name, random_name(rng, 5)),
            Kind::DaemonSet => format!("{}-{}", it.name, random_name(rng, 5)),
            Kind::StatefulSet => format!("{}-{hash}", it.name),
        };
        let node = if self.nodes.len() < 2 { 0 } else { rng.usize(1..self.nodes.len()) };
        let v4 = pod_address(index);
        self.pods.push(Pod { workload, name, node, v4, v6: None, life });
        self.workloads[workload].pods.push(index);
        index
    }
}

/// Pods have addresses of 10.64.0.0/10, each its own.
fn pod_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 64, 0, 0).to_bits() + 4 + index as u32)
}

/// Characters as Kubernetes picks them: no vowels, so no words.
pub fn random_name(rng: &mut Rng, length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}
