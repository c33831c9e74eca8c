//! The generated week of tests and benches: a plain fleet of workloads that ask and connect, as large
//! as told, and beside it one workload for each hard case that is switched on (`hard` has those).
//! The same settings give the same week, to the last byte.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use fastrand::Rng;

use super::{
    happen::Week,
    hard,
    inventory::{DAY, HOUR, Inventory, Kind, Node, SECOND, Site, Workload, random_name},
    script::{Manner, Party, Protocol, Rhythm, Script},
};

#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    /// Nanoseconds since 1970; a whole hour.
    pub start: i64,
    pub days: i64,
    pub size: Size,
    pub cases: BTreeSet<Case>,
}

/// How much there is beside the hard cases.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub namespaces: usize,
    /// In each namespace.
    pub workloads: usize,
    /// Of each workload.
    pub pods: usize,
    /// Sites that each workload calls.
    pub sites: usize,
    /// Other workloads that each workload calls.
    pub calls: usize,
    /// Of each workload to each destination.
    pub visits_a_day: f64,
    /// In each visit.
    pub connections: u32,
}

impl Size {
    /// Some thousand lines.
    pub const SMALL: Self = Self {
        nodes: 4,
        namespaces: 3,
        workloads: 3,
        pods: 2,
        sites: 2,
        calls: 2,
        visits_a_day: 6.0,
        connections: 2,
    };
    /// 10 million flows, 2 million answers, 100,000 edges.
    pub const LARGE: Self = Self {
        nodes: 50,
        namespaces: 200,
        workloads: 10,
        pods: 4,
        sites: 40,
        calls: 4,
        visits_a_day: 3.3,
        connections: 3,
    };
}

/// What a reader gets wrong easily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    SearchList,
    CnameChain,
    /// Several names on one address; each workload asked for one.
    SharedAddress,
    /// Several names on one address, and the same pod asked for both.
    AmbiguousAddress,
    /// The other pod of the workload asked, this one did not.
    AskedByOthers,
    /// A pod with the address of one that is gone, which had asked.
    AddressReuse,
    FlowsOverV6,
    ClockSkew,
    LateAnswer,
    LongLived,
    Churn,
    Denied,
    /// 169.254.169.254 by its address.
    Metadata,
    HostNetwork,
    OutsideCallers,
    /// A Deployment's pods replaced in mid-week.
    Rollout,
    Icmp,
    Sctp,
    CronJob,
    NoTraffic,
    LostEvents,
    SilentNode,
    /// The record does not say whether it is a reply.
    Unclear,
}

impl Case {
    pub const ALL: [Self; 23] = [
        Self::SearchList,
        Self::CnameChain,
        Self::SharedAddress,
        Self::AmbiguousAddress,
        Self::AskedByOthers,
        Self::AddressReuse,
        Self::FlowsOverV6,
        Self::ClockSkew,
        Self::LateAnswer,
        Self::LongLived,
        Self::Churn,
        Self::Denied,
        Self::Metadata,
        Self::HostNetwork,
        Self::OutsideCallers,
        Self::Rollout,
        Self::Icmp,
        Self::Sctp,
        Self::CronJob,
        Self::NoTraffic,
        Self::LostEvents,
        Self::SilentNode,
        Self::Unclear,
    ];
}

/// The week of these settings, before it happens.
pub fn week(settings: &Settings) -> Week {
    let mut builder = Builder::new(settings);
    builder.nodes();
    builder.resolver();
    builder.plain();
    for case in &settings.cases {
        hard::add(&mut builder, *case);
    }
    let (window, has) = (builder.window(), |case| settings.cases.contains(&case));
    let mut week = Week::new(builder.inventory, builder.scripts, window, settings.seed);
    week.losses_a_day = if has(Case::LostEvents) { 2.0 } else { 0.0 };
    week
}

pub struct Builder<'a> {
    pub settings: &'a Settings,
    pub inventory: Inventory,
    pub scripts: Vec<Script>,
    pub rng: Rng,
    addresses: u32,
}

impl<'a> Builder<'a> {
    fn new(settings: &'a Settings) -> Self {
        let inventory = Inventory { cluster: "east-1".to_owned(), ..Inventory::default() };
        let rng = Rng::with_seed(settings.seed ^ 0x5eed);
        Self { settings, inventory, scripts: Vec::new(), rng, addresses: 0 }
    }

    pub fn window(&self) -> Range<i64> {
        self.settings.start..self.settings.start + self.settings.days * DAY
    }

    fn has(&self, case: Case) -> bool {
        self.settings.cases.contains(&case)
    }

    fn nodes(&mut self) {
        for n in 0..=self.settings.size.nodes {
            let name = if n == 0 { "control-plane-1".to_owned() } else { format!("worker-{n}") };
            let address = Ipv4Addr::from_bits(Ipv4Addr::new(172, 20, 0, 10).to_bits() + n as u32);
            // Two clocks are never more than three seconds apart.
            let half = 3 * SECOND / 2;
            let skew = if self.has(Case::ClockSkew) { self.rng.i64(-half..half) } else { 0 };
            let silent = (n == 1 && self.has(Case::SilentNode)).then(|| {
                let from = self.settings.start + self.settings.days / 2 * DAY + 9 * HOUR;
                from..from + 5 * HOUR
            });
            self.inventory.nodes.push(Node { name, address, skew, silent });
        }
    }

    fn resolver(&mut self) {
        let coredns = self.workload("kube-system", "coredns", Kind::Deployment, 2);
        self.inventory.workloads[coredns].service = Some(Ipv4Addr::new(10, 128, 0, 10));
        self.inventory.resolvers = self.inventory.workloads[coredns].pods.clone();
    }

    /// Workloads that behave well.
    fn plain(&mut self) {
        let size = self.settings.size;
        let first = self.inventory.workloads.len();
        for namespace in 0..size.namespaces {
            for workload in 0..size.workloads {
                let kind = match workload % 4 {
                    2 => Kind::StatefulSet,
                    3 => Kind::DaemonSet,
                    _ => Kind::Deployment,
                };
                let (ns, name) = (format!("team-{namespace}"), format!("service-{workload}"));
                let index = self.workload(&ns, &name, kind, size.pods);
                self.service(index);
            }
        }
        for caller in first..self.inventory.workloads.len() {
            for n in 0..size.sites {
                let host = format!("api{n}.vendor{caller}.example");
                // A large week has an edge for each site, and addresses enough for all of them.
                let addresses = if size.sites > 8 { 1 } else { 1 + n % 3 };
                let site = self.site(&host, addresses);
                self.script(Party::Workload(caller), Party::Site(site), 443, Manner::Asks);
            }
            for n in 1..=size.calls {
                let others = self.inventory.workloads.len() - first;
                let callee = first + (caller - first + n * 7) % others;
                self.script(Party::Workload(caller), Party::Workload(callee), 8080, Manner::Asks);
            }
        }
    }

    /// A workload whose pods live all week.
    pub fn workload(&mut self, ns: &str, name: &str, kind: Kind, pods: usize) -> usize {
        let index = self.inventory.workloads.len();
        self.inventory.workloads.push(Workload {
            ns: ns.to_owned(),
            name: name.to_owned(),
            kind,
            host_network: false,
            service: None,
            pods: Vec::new(),
        });
        let life = self.settings.start - DAY..self.window().end + DAY;
        let hash = random_name(&mut self.rng, 9);
        for ordinal in 0..pods {
            let hash = if kind == Kind::StatefulSet { ordinal.to_string() } else { hash.clone() };
            self.inventory.pod(&mut self.rng, index, life.clone(), &hash);
        }
        index
    }

    pub fn service(&mut self, workload: usize) {
        let base = Ipv4Addr::new(10, 128, 1, 0).to_bits();
        self.inventory.workloads[workload].service = Some(Ipv4Addr::from_bits(base + workload as u32));
    }

    /// A site with addresses that no other has.
    pub fn site(&mut self, host: &str, addresses: usize) -> usize {
        let addresses = (0..addresses).map(|_| self.address()).collect();
        self.add_site(Site { host: Some(host.to_owned()), chain: Vec::new(), addresses, ttl: 30, turn: None })
    }

    pub fn add_site(&mut self, site: Site) -> usize {
        self.inventory.sites.push(site);
        self.inventory.sites.len() - 1
    }

    /// The next one of the network that is kept for tests between machines.
    pub fn address(&mut self) -> IpAddr {
        self.addresses += 1;
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.addresses).into()
    }

    pub fn address_v6(&mut self) -> IpAddr {
        self.addresses += 1;
        let base = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).to_bits();
        Ipv6Addr::from_bits(base + u128::from(self.addresses)).into()
    }

    /// A habit at the pace of the settings, all week long.
    pub fn script(&mut self, from: Party, to: Party, port: u16, manner: Manner) -> &mut Script {
        let at = self.scripts.len();
        self.scripts.push(Script {
            from,
            to,
            protocol: Protocol::Tcp,
            port,
            visits_a_day: self.settings.size.visits_a_day,
            connections: self.settings.size.connections,
            manner,
            rhythm: Rhythm::Always,
            active: self.window(),
        });
        &mut self.scripts[at]
    }
}
