//! Facts of clusters as a file, for authoring where no cluster can be reached: written from what was
//! read once, read back later. What is left out there is unknown. Pure, both ways.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::yaml;
use crate::{
    cockpit::ports::Trouble,
    domain::{
        author::facts::{ApiServer, Callback, Facts, Resolver, ResolverPods, Running, Workloads},
        fleet::{Cni, CniKind, Enforcement},
        names::{BadName, ClusterName, NsName, Text, Workload},
        policy::Labels,
    },
};

const SCHEMA: &str = "sluice.facts/1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    clusters: Vec<WireCluster>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireCluster {
    cluster: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cni: Option<WireCni>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks_select_nodes: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sctp: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resolver: Option<WireResolver>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_server: Option<WireApi>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<BTreeSet<IpAddr>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod_networks: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workloads: Option<Vec<WireRunning>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callbacks: Option<Vec<WireCallback>>,
}

/// What the API server calls.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCallback {
    object: String,
    namespace: String,
    port: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCni {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireResolver {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pods: Option<WirePods>,
    #[serde(default)]
    service: BTreeSet<IpAddr>,
    #[serde(default)]
    node_local: BTreeSet<IpAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePods {
    namespace: String,
    labels: BTreeMap<String, String>,
    ports: BTreeSet<u16>,
    ready: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireApi {
    endpoints: BTreeSet<SocketAddr>,
    #[serde(default)]
    service: BTreeSet<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireRunning {
    namespace: String,
    kind: String,
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    host_network: bool,
}

/// Facts by cluster.
pub type All = BTreeMap<ClusterName, Facts>;

/// The text of a facts file.
pub fn to_text(all: &All) -> String {
    let clusters = all.iter().map(|(name, facts)| cluster_out(name, facts)).collect();
    let file = File { schema: SCHEMA.to_owned(), clusters };
    serde_yaml::to_string(&file).expect("strings, numbers and lists only: it cannot fail")
}

/// Reads a facts file that people know as `shown`.
pub fn parse(shown: &str, text: &str) -> Result<All, Trouble> {
    let cannot =
        |fact: String| Trouble::new(shown, &fact, "Write it with `sluice author --save-facts FILE`.");
    let file: File = serde_yaml::from_str(text).map_err(|error| cannot(yaml::bad(&error).to_string()))?;
    if file.schema != SCHEMA {
        return Err(cannot(format!("its schema is {:?}, not {SCHEMA}", Text::new(&file.schema))));
    }
    let one = |wire: WireCluster| {
        let name = ClusterName::parse(&wire.cluster).map_err(|bad| bad.to_string())?;
        let facts = cluster_in(wire).map_err(|why| format!("cluster {name}: {why}"))?;
        Ok((name, facts))
    };
    file.clusters.into_iter().map(one).collect::<Result<_, String>>().map_err(cannot)
}

fn cluster_out(name: &ClusterName, facts: &Facts) -> WireCluster {
    let plain =
        |labels: &Labels| labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let places = |all: &BTreeSet<(IpAddr, u16)>| all.iter().map(|place| SocketAddr::from(*place)).collect();
    WireCluster {
        cluster: name.to_string(),
        cni: facts.cni.as_ref().map(|cni| WireCni {
            kind: cni.kind.as_str().to_owned(),
            version: cni.version.as_ref().map(ToString::to_string),
        }),
        blocks_select_nodes: facts.blocks_select_nodes,
        sctp: facts.sctp,
        resolver: facts.resolver.as_ref().map(|resolver| WireResolver {
            pods: resolver.pods.as_ref().map(|pods| WirePods {
                namespace: pods.ns.to_string(),
                labels: plain(&pods.labels),
                ports: pods.ports.clone(),
                ready: pods.ready,
            }),
            service: resolver.service.clone(),
            node_local: resolver.node_local.clone(),
        }),
        api_server: facts
            .api
            .as_ref()
            .map(|api| WireApi { endpoints: places(&api.endpoints), service: places(&api.service) }),
        nodes: facts.nodes.clone(),
        pod_networks: facts.pod_networks.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        workloads: facts.workloads.as_ref().map(|all| {
            let one = |(ns, workload, running): (&NsName, &Workload, &Running)| WireRunning {
                namespace: ns.to_string(),
                kind: workload.kind.to_string(),
                name: workload.name.to_string(),
                labels: plain(&running.labels),
                host_network: running.host_network,
            };
            let flat =
                all.iter().flat_map(|(ns, all)| all.iter().map(move |(workload, it)| (ns, workload, it)));
            flat.map(one).collect()
        }),
        callbacks: facts.callbacks.as_ref().map(|all| {
            let one = |it: &Callback| WireCallback {
                object: it.object.to_string(),
                namespace: it.ns.to_string(),
                port: it.port,
            };
            all.iter().map(one).collect()
        }),
    }
}

fn cluster_in(wire: WireCluster) -> Result<Facts, String> {
    Ok(Facts {
        cni: wire.cni.as_ref().map(cni_in).transpose()?,
        blocks_select_nodes: wire.blocks_select_nodes,
        sctp: wire.sctp,
        resolver: wire.resolver.map(resolver_in).transpose()?,
        api: wire.api_server.map(|api| {
            let places =
                |all: BTreeSet<SocketAddr>| all.iter().map(|place| (place.ip(), place.port())).collect();
            ApiServer { endpoints: places(api.endpoints), service: places(api.service) }
        }),
        nodes: wire.nodes,
        pod_networks: wire.pod_networks.map(networks).transpose()?,
        workloads: wire.workloads.map(workloads_in).transpose().map_err(|bad| bad.to_string())?,
        callbacks: wire.callbacks.map(callbacks_in).transpose().map_err(|bad| bad.to_string())?,
    })
}

fn networks(raw: Vec<String>) -> Result<Vec<IpNet>, String> {
    let one = |raw: String| raw.parse::<IpNet>().map_err(|_| format!("{:?} is no network", Text::new(&raw)));
    raw.into_iter().map(one).collect()
}

fn cni_in(wire: &WireCni) -> Result<Cni, String> {
    let kind = CniKind::ALL.into_iter().find(|kind| kind.as_str() == wire.kind);
    let kind = kind.ok_or_else(|| format!("{:?} is no kind of network plugin", Text::new(&wire.kind)))?;
    Ok(Cni {
        kind,
        version: wire.version.as_deref().map(Text::new),
        enforcement: Enforcement::Unknown,
        evidence: Text::new("a facts file"),
    })
}

fn resolver_in(wire: WireResolver) -> Result<Resolver, String> {
    let pods = |pods: WirePods| {
        let ns = NsName::parse(&pods.namespace).map_err(|bad| bad.to_string())?;
        Ok::<_, String>(ResolverPods {
            ns,
            labels: labels(&pods.labels),
            ports: pods.ports,
            ready: pods.ready,
        })
    };
    let pods = wire.pods.map(pods).transpose()?;
    Ok(Resolver { pods, service: wire.service, node_local: wire.node_local })
}

fn workloads_in(wire: Vec<WireRunning>) -> Result<Workloads, BadName> {
    let mut out = Workloads::new();
    for one in wire {
        let ns = NsName::parse(&one.namespace)?;
        let running = Running { labels: labels(&one.labels), host_network: one.host_network };
        out.entry(ns).or_default().insert(Workload::new(&one.kind, &one.name), running);
    }
    Ok(out)
}

fn callbacks_in(wire: Vec<WireCallback>) -> Result<Vec<Callback>, BadName> {
    let one = |it: WireCallback| {
        let ns = NsName::parse(&it.namespace)?;
        Ok(Callback { object: Text::new(&it.object), ns, port: it.port })
    };
    wire.into_iter().map(one).collect()
}

fn labels(raw: &BTreeMap<String, String>) -> Labels {
    Labels::new(raw.iter().map(|(key, value)| (key.into(), value.into())).collect())
}
