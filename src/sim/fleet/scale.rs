//! Fleets of any size for benches, made instead of read. Pure.

use crate::sim::fleet::{
    past::Past,
    scenario::{
        AgentSpec, Class, ClusterSpec, Cni, Environment, External, Kind, Pattern, Scenario, WorkloadSpec,
    },
};

/// How large a generated fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub clusters: usize,
    pub namespaces: usize,
    /// Of the five pinned ones, in each namespace from the start.
    pub policies: usize,
    /// Denied flows a second in the first cluster; 0 = hardly any traffic.
    pub denied_per_second: u32,
}

impl Scale {
    /// `13x500x5`, or `13x500x5:50000` with denied flows a second.
    pub fn parse(text: &str) -> Option<Self> {
        let (size, denied) = text.split_once(':').unwrap_or((text, "0"));
        let parts: Option<Vec<usize>> = size.split('x').map(|part| part.parse().ok()).collect();
        let [clusters, namespaces, policies] = <[usize; 3]>::try_from(parts?).ok()?;
        Some(Self { clusters, namespaces, policies, denied_per_second: denied.parse().ok()? })
    }
}

/// A fleet of any size for benches: one or two small workloads a namespace, all on Cilium.
pub fn scaled(scale: Scale) -> Scenario {
    let flood = scale.denied_per_second > 0;
    let rate = if flood {
        f64::from(scale.denied_per_second) / (scale.namespaces.max(1) as f64)
    } else {
        1.0 / 600.0
    };
    let pattern = Pattern {
        name: "bench".to_owned(),
        owner: "team-bench".to_owned(),
        contact: "#bench".to_owned(),
        workloads: vec![WorkloadSpec {
            name: "caller".to_owned(),
            kind: Kind::Deployment,
            replicas: 1,
            ports: Vec::new(),
            host_network: false,
            schedule: None,
            calls: vec![format!("ext:target {rate}/s forgotten")],
            callers: Vec::new(),
        }],
    };
    let target = External {
        name: "target".to_owned(),
        host: None,
        class: Class::Vendor,
        port: 443,
        churns: false,
        cnames: Vec::new(),
        addresses: vec!["203.0.113.200".to_owned()],
    };
    let cluster = |index: usize| ClusterSpec {
        name: format!("bench-{index:02}"),
        environment: if index < 3 { Environment::Staging } else { Environment::Production },
        cni: Cni::Cilium,
        nodes: (scale.namespaces / 50).clamp(2, 40),
        namespaces: (0..scale.namespaces).map(|n| format!("ns-{n:04}=bench")).collect(),
        replicas: 1,
        rate: if index == 0 || !flood { 1.0 } else { 1e-6 },
        policies: scale.policies,
        agent: AgentSpec::default(),
        collector: None,
        state: false,
        granted: Vec::new(),
        probes: false,
        kyverno: None,
        objects: Vec::new(),
        faults: Vec::new(),
    };
    Scenario {
        name: "scaled".to_owned(),
        clusters: (0..scale.clusters).map(cluster).collect(),
        patterns: vec![pattern],
        externals: vec![target],
        past: Past::default(),
    }
}
