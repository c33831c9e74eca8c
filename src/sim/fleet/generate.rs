//! Makes the inventory of a cluster from a scenario and a seed: the same seed, the same fleet, to
//! the last pod name. Pure; `objects` turns the result into what the API server serves.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;

use crate::sim::fleet::{
    cron::Cron,
    plan::{
        Container, Edge, End, External, Labels, Namespace, Node, Plan, Pod, Port, Protocol, Workload, hash64,
    },
    scenario::{self, Call, ClusterSpec, Kind, Pattern, Records, Scenario, Target, WorkloadSpec},
    system, workspace,
};

/// The cluster number `index` of a scenario.
pub fn plan(scenario: &Scenario, index: usize, seed: u64) -> Plan {
    let spec = &scenario.clusters[index];
    let mut builder = Builder::new(spec, index, seed);
    builder.nodes(spec.nodes);
    for workload in system::workloads(spec.cni) {
        builder.workload(workload);
    }
    for entry in &spec.namespaces {
        let (name, pattern) = scenario::namespace_and_pattern(entry);
        if let Some(pattern) = scenario.pattern(pattern) {
            builder.namespace(name, pattern);
        }
    }
    if spec.agent.records == Some(Records::FlowStream) {
        builder.system(system::aggregator());
        // FlowStreamService came with that release.
        let containers = builder.plan.workloads.iter_mut().flat_map(|it| it.containers.iter_mut());
        let antrea = containers.filter(|container| container.image.starts_with("antrea/"));
        antrea.for_each(|container| container.image = container.image.replace(":v2.5.0", ":v2.7.0"));
    }
    if let Some(prints) = spec.agent.records.and_then(Records::printed) {
        builder.system(system::printer(prints));
    }
    if let Some(collector) = &spec.collector {
        for new in system::collector(collector) {
            builder.system(new);
        }
    }
    builder.externals(scenario);
    builder.edges(scenario, spec);
    builder.plan
}

struct Builder {
    plan: Plan,
    rng: Rng,
    index: u8,
    replicas: usize,
    /// Addresses given out so far, for each node.
    given: Vec<u8>,
    services: u16,
}

impl Builder {
    fn new(spec: &ClusterSpec, index: usize, seed: u64) -> Self {
        let seed = seed ^ hash64(&spec.name);
        let plan = Plan {
            cluster: spec.name.clone(),
            environment: spec.environment,
            cni: spec.cni,
            dns_visibility: spec.agent.dns_visibility,
            audit: spec.agent.audit,
            seed,
            nodes: Vec::new(),
            namespaces: system::namespaces(spec.cni).iter().map(|name| system_namespace(name)).collect(),
            workloads: Vec::new(),
            pods: Vec::new(),
            externals: Vec::new(),
            edges: Vec::new(),
        };
        let index = (index % 60) as u8;
        Self {
            plan,
            rng: Rng::with_seed(seed),
            index,
            replicas: spec.replicas,
            given: Vec::new(),
            services: 20,
        }
    }

    fn nodes(&mut self, workers: usize) {
        for n in 0..=workers {
            let name = if n == 0 { "control-plane-1".to_owned() } else { format!("worker-{n}") };
            let address = Ipv4Addr::new(172, 20, self.index, 10 + n as u8);
            self.plan.nodes.push(Node { name, address, control_plane: n == 0 });
            self.given.push(4);
        }
    }

    /// A workload of the cluster itself, and its namespace where that is new.
    fn system(&mut self, new: NewWorkload) {
        if !self.plan.namespaces.iter().any(|ns| ns.name == new.namespace) {
            self.plan.namespaces.push(system_namespace(&new.namespace));
        }
        self.workload(new);
    }

    fn namespace(&mut self, name: &str, pattern: &Pattern) {
        let mut labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
        labels.insert("team".to_owned(), pattern.owner.clone());
        let annotations = Labels::from([
            (workspace::OWNER.to_owned(), pattern.owner.clone()),
            (workspace::CONTACT.to_owned(), pattern.contact.clone()),
        ]);
        self.plan.namespaces.push(Namespace { name: name.to_owned(), labels, annotations, system: false });
        for spec in &pattern.workloads {
            let workload = self.new_workload(name, spec);
            self.workload(workload);
        }
    }

    fn new_workload(&mut self, namespace: &str, spec: &WorkloadSpec) -> NewWorkload {
        let ports = spec.ports.iter().filter_map(|line| scenario::parse_port(line).ok());
        let ports: Vec<Port> = ports
            .map(|(name, number)| Port { name: name.to_owned(), number, protocol: Protocol::Tcp })
            .collect();
        let version = format!("{}.{}.{}", self.rng.u8(1..4), self.rng.u8(0..30), self.rng.u8(0..10));
        NewWorkload {
            namespace: namespace.to_owned(),
            name: spec.name.clone(),
            kind: spec.kind,
            labels: Labels::from([
                ("app".to_owned(), spec.name.clone()),
                ("app.kubernetes.io/part-of".to_owned(), namespace.to_owned()),
            ]),
            containers: vec![Container {
                name: spec.name.clone(),
                image: format!("registry.corp.example/{namespace}/{}:{version}", spec.name),
            }],
            ports,
            host_network: spec.host_network,
            schedule: spec.schedule.as_deref().and_then(Cron::parse),
            replicas: spec.replicas * self.replicas,
        }
    }

    fn workload(&mut self, new: NewWorkload) {
        let workload = self.plan.workloads.len();
        let nodes: Vec<usize> = match new.kind {
            Kind::DaemonSet => (0..self.plan.nodes.len()).collect(),
            Kind::Deployment => (0..new.replicas).map(|_| self.rng.usize(1..self.plan.nodes.len())).collect(),
            Kind::CronJob => vec![self.rng.usize(1..self.plan.nodes.len())],
        };
        let hash = new.hash(&mut self.rng);
        let first = self.plan.pods.len();
        for node in nodes {
            let name = format!("{}{hash}-{}", new.name, random_name(&mut self.rng, 5));
            let address = self.address(node, new.host_network);
            self.plan.pods.push(Pod { workload, name, node, address });
        }
        let mut agent_labels: Vec<String> = new.labels.iter().map(|(k, v)| format!("k8s:{k}={v}")).collect();
        agent_labels.push(format!("k8s:io.cilium.k8s.policy.cluster={}", self.plan.cluster));
        agent_labels.push(format!("k8s:io.kubernetes.pod.namespace={}", new.namespace));
        agent_labels.sort();
        let service =
            (!new.ports.is_empty() && new.kind == Kind::Deployment).then(|| self.service(&new.name));
        self.plan.workloads.push(Workload {
            namespace: new.namespace,
            name: new.name,
            kind: new.kind,
            labels: new.labels,
            agent_labels,
            containers: new.containers,
            ports: new.ports,
            host_network: new.host_network,
            schedule: new.schedule,
            service,
            pods: (first..self.plan.pods.len()).collect(),
        });
    }

    /// The next free address of a node's pod network; a second network once the first is full.
    fn address(&mut self, node: usize, host_network: bool) -> Ipv4Addr {
        if host_network {
            return self.plan.nodes[node].address;
        }
        let full = self.given[node] == 250;
        if full {
            let taken = self.given.iter().position(|g| *g < 250).unwrap_or(0);
            return self.address(taken, false);
        }
        self.given[node] += 1;
        Ipv4Addr::new(10, 64 + self.index, node as u8, self.given[node])
    }

    fn service(&mut self, name: &str) -> Ipv4Addr {
        if name == "coredns" {
            return Ipv4Addr::new(10, 128 + self.index, 0, 10);
        }
        self.services += 1;
        Ipv4Addr::new(10, 128 + self.index, (self.services >> 8) as u8, (self.services & 0xff) as u8)
    }

    fn externals(&mut self, scenario: &Scenario) {
        for external in &scenario.externals {
            self.plan.externals.push(External {
                host: external.host.clone(),
                class: external.class,
                churns: external.churns,
                cnames: external.cnames.clone(),
                addresses: external.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()).collect(),
            });
        }
    }

    fn edges(&mut self, scenario: &Scenario, spec: &ClusterSpec) {
        for entry in &spec.namespaces {
            let (namespace, pattern) = scenario::namespace_and_pattern(entry);
            let Some(pattern) = scenario.pattern(pattern) else { continue };
            for workload in &pattern.workloads {
                let Some(own) = self.plan.workload(namespace, &workload.name) else { continue };
                for call in workload.calls.iter().filter_map(|line| Call::parse(line).ok()) {
                    for (to, port, protocol) in self.targets(scenario, namespace, &call) {
                        self.edge(End::Workload(own), to, port, protocol, &call, spec.rate);
                    }
                }
                for call in workload.callers.iter().filter_map(|line| Call::parse(line).ok()) {
                    for (from, port, protocol) in self.targets(scenario, namespace, &call) {
                        self.edge(from, End::Workload(own), port, protocol, &call, spec.rate);
                    }
                }
            }
        }
        for edge in &mut self.plan.edges {
            if let End::External(external) = edge.to {
                edge.forgotten &= !spec.granted.contains(&scenario.externals[external].name);
            }
        }
        self.dns_edges();
    }

    fn edge(&mut self, from: End, to: End, port: u16, protocol: Protocol, call: &Call, rate: f64) {
        if from == to && self.is_single(from) {
            return;
        }
        let per_second = call.per_second * rate;
        let (keep, forgotten) = (call.keep, call.forgotten);
        self.plan.edges.push(Edge { from, to, port, protocol, per_second, keep, forgotten });
    }

    fn is_single(&self, end: End) -> bool {
        matches!(end, End::Workload(w) if self.plan.workloads[w].pods.len() < 2)
    }

    /// What a call's target means in this cluster; empty if the cluster does not have it.
    fn targets(&self, scenario: &Scenario, own: &str, call: &Call) -> Vec<(End, u16, Protocol)> {
        let plan = &self.plan;
        let first_port = |w: usize| plan.workloads[w].ports.first().map(|p| p.number);
        match &call.target {
            Target::Workload { namespace, name } => plan
                .workload(namespace.as_deref().unwrap_or(own), name)
                .and_then(|w| Some((End::Workload(w), call.port.or_else(|| first_port(w))?, Protocol::Tcp)))
                .into_iter()
                .collect(),
            Target::External(name) => scenario
                .externals
                .iter()
                .position(|e| e.name == *name)
                .map(|e| (End::External(e), call.port.unwrap_or(scenario.externals[e].port), Protocol::Tcp))
                .into_iter()
                .collect(),
            Target::Api => vec![(End::Api, call.port.unwrap_or(6443), Protocol::Tcp)],
            Target::Nodes => vec![(End::Nodes, call.port.unwrap_or(10250), Protocol::Tcp)],
            Target::EveryPort(name) => {
                let port_of = |w: &Workload| w.ports.iter().find(|p| p.name == *name).map(|p| p.number);
                let all = plan.workloads.iter().enumerate();
                all.filter_map(|(w, it)| Some((End::Workload(w), port_of(it)?, Protocol::Tcp))).collect()
            }
            Target::Ping { namespace, name } => {
                let found = plan.workload(namespace, name);
                found.map(|w| (End::Workload(w), 0, Protocol::Icmp)).into_iter().collect()
            }
        }
    }

    /// Whoever calls by name asks the resolver now and then.
    fn dns_edges(&mut self) {
        let Some(resolver) = self.plan.resolver() else { return };
        let mut rates = vec![0.0_f64; self.plan.workloads.len()];
        for edge in &self.plan.edges {
            if let (End::Workload(from), true) = (edge.from, self.called_by_name(edge.to)) {
                rates[from] += edge.per_second / 4.0;
            }
        }
        for (workload, per_second) in rates.into_iter().enumerate().filter(|(_, rate)| *rate > 0.0) {
            self.plan.edges.push(Edge {
                from: End::Workload(workload),
                to: End::Workload(resolver),
                port: 53,
                protocol: Protocol::Udp,
                per_second,
                keep: false,
                forgotten: false,
            });
        }
    }

    fn called_by_name(&self, to: End) -> bool {
        match to {
            End::Workload(w) => self.plan.workloads[w].service.is_some(),
            End::External(e) => self.plan.externals[e].host.is_some(),
            End::Api => true,
            End::Nodes => false,
        }
    }
}

/// A workload before it has pods.
pub struct NewWorkload {
    pub namespace: String,
    pub name: String,
    pub kind: Kind,
    pub labels: Labels,
    pub containers: Vec<Container>,
    pub ports: Vec<Port>,
    pub host_network: bool,
    pub schedule: Option<Cron>,
    pub replicas: usize,
}

impl NewWorkload {
    /// What stands between a workload's name and a pod's last five characters.
    fn hash(&self, rng: &mut Rng) -> String {
        match self.kind {
            Kind::Deployment => format!("-{}", random_name(rng, 9)),
            Kind::DaemonSet => String::new(),
            Kind::CronJob => format!("-{}", 29_500_000 + rng.u32(0..9999)),
        }
    }
}

fn system_namespace(name: &str) -> Namespace {
    let labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
    Namespace { name: name.to_owned(), labels, annotations: Labels::new(), system: true }
}

/// Characters as Kubernetes picks them: no vowels, so no words.
fn random_name(rng: &mut Rng, length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn demo(cluster: &str, seed: u64) -> Plan {
        let scenario = Scenario::named("demo").expect("it parses");
        let index = scenario.clusters.iter().position(|c| c.name == cluster).expect(cluster);
        plan(&scenario, index, seed)
    }

    #[test]
    fn the_same_seed_gives_the_same_fleet_and_another_seed_another() {
        let (first, again) = (demo("prod-eu-west", 7), demo("prod-eu-west", 7));
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
        assert_ne!(first.pods[30].name, demo("prod-eu-west", 8).pods[30].name);
    }

    #[test]
    fn every_pod_has_its_own_address_unless_it_uses_its_nodes() {
        let plan = demo("prod-eu-west", 1);
        let mut seen = BTreeSet::new();
        for (index, pod) in plan.pods.iter().enumerate() {
            if !plan.pod_workload(index).host_network {
                assert!(seen.insert(pod.address), "{} has a second {}", pod.name, pod.address);
            }
        }
        assert!(seen.len() > 100, "{} pods", seen.len());
    }

    #[test]
    fn a_call_to_what_the_cluster_does_not_have_is_left_out() {
        let plan = demo("staging-edge", 1);
        assert_eq!(plan.workload("payments", "gateway"), None);
        assert!(plan.workload("shop", "storefront").is_some());
        assert!(plan.edges.iter().all(|e| match e.to {
            End::Workload(w) => w < plan.workloads.len(),
            End::External(_) | End::Api | End::Nodes => true,
        }));
    }
}
