//! What authoring must know of a cluster, read once: network plugin, resolver, API server, nodes. Each
//! part by itself: what cannot be read stays unknown and is told with the reason. Labels of workloads
//! come from the watch. Changes nothing.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    cockpit::ports::Trouble,
    domain::{
        author::facts::{ApiServer, Callback, Facts, Resolver, ResolverPods},
        names::{NsName, Text, plural},
        policy::Labels,
        preflight::{
            cni, dns,
            reading::{self as preflight, Known, Reading},
        },
    },
    manifest::around,
};

use super::{
    connect::Access,
    failure::Failure,
    preflight::look,
    wire::{Call, Server},
};

/// The facts, and what could not be read of them. `workloads` is left out.
pub async fn read(access: &Access) -> (Facts, Vec<Trouble>) {
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return (Facts::default(), vec![trouble]),
    };
    let mut troubles = Vec::new();
    let reading = look::surroundings(&server).await;
    let mut unread =
        |what: &str, why: Option<&Text>| troubles.extend(why.map(|why| cannot(what, why.as_str())));
    unread("the DaemonSets of all namespaces", reading.daemonsets.why());
    unread("the Services of all namespaces", reading.services.why());
    unread("the nodes", reading.nodes.why());
    let mut note = |what: &str, failure: &Failure| troubles.push(cannot(what, &said(failure)));
    let resolver = match resolver_of(&server, &reading).await {
        Ok(resolver) => resolver,
        Err(failure) => {
            note("the resolver's EndpointSlices", &failure);
            None
        }
    };
    let api = match api_of(&server).await {
        Ok(api) => Some(api).filter(|api| !api.endpoints.is_empty()),
        Err(failure) => {
            note("the Service and EndpointSlices default/kubernetes", &failure);
            None
        }
    };
    let found = cni::cni(&reading);
    let nodes = match &reading.nodes {
        Known::Read(nodes) => Some(nodes.as_slice()),
        Known::Unknown(_) => None,
    };
    let callbacks = match callbacks_of(&server).await {
        Ok(callbacks) => Some(callbacks),
        Err(failure) => {
            note("webhook configurations and APIServices, with their Services", &failure);
            None
        }
    };
    let switches = cni::switches(&reading);
    let facts = Facts {
        blocks_select_nodes: switches.blocks_select_nodes,
        sctp: switches.sctp,
        cni: reading.daemonsets.why().is_none().then_some(found),
        resolver,
        api,
        nodes: nodes.map(addresses),
        pod_networks: nodes.map(pod_networks),
        workloads: None,
        callbacks,
    };
    (facts, troubles)
}

fn said(failure: &Failure) -> String {
    failure.code().map_or_else(|| "no answer".to_owned(), |code| format!("HTTP {code}"))
}

fn cannot(what: &str, why: &str) -> Trouble {
    let next = "Ask for the right to read it, or name it in a facts file (--facts).";
    Trouble::new(what, &format!("cannot be read ({why})"), next)
}

#[derive(Deserialize)]
struct List<T> {
    items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slice {
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    addresses: Vec<String>,
    conditions: Conditions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

impl Service {
    fn addresses(&self) -> BTreeSet<IpAddr> {
        let all = self.spec.cluster_ips.iter().flatten().chain([&self.spec.cluster_ip]);
        all.filter_map(|raw| raw.parse().ok()).collect()
    }
}

impl Endpoint {
    /// The API says: unknown counts as ready.
    fn is_ready(&self) -> bool {
        self.conditions.ready != Some(false)
    }
}

async fn list<T: DeserializeOwned>(server: &Server, path: String) -> Result<Vec<T>, Failure> {
    Ok(server.ask::<List<T>>(Call::get(path)).await?.items.unwrap_or_default())
}

async fn slices(server: &Server, ns: &str, service: &str) -> Result<Vec<Slice>, Failure> {
    let selector = format!("kubernetes.io%2Fservice-name%3D{service}");
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices?labelSelector={selector}");
    list(server, path).await
}

/// `Ok(None)`: none was found, and that it does not exist is not sure.
async fn resolver_of(server: &Server, reading: &Reading) -> Result<Option<Resolver>, Failure> {
    let Some(service) = dns::service(reading) else { return Ok(None) };
    let pods = pods(server, service).await?;
    let addresses = service.addresses.iter().filter_map(|raw| raw.parse().ok()).collect();
    Ok(Some(Resolver { pods, service: addresses, node_local: dns::node_local(reading) }))
}

async fn pods(server: &Server, service: &preflight::Service) -> Result<Option<ResolverPods>, Failure> {
    let labels: Vec<_> =
        service.selector.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    let (false, Ok(ns)) = (labels.is_empty(), NsName::parse(service.object.ns.as_str())) else {
        return Ok(None);
    };
    let slices = slices(server, ns.as_str(), service.object.name.as_str()).await?;
    let named = |slice: &Slice| slice.ports.iter().flatten().filter_map(|port| port.port).collect::<Vec<_>>();
    // Metrics stand among them; lookups are on 53 or, of OpenShift, 5353.
    let mut ports: BTreeSet<u16> =
        slices.iter().flat_map(named).filter(|port| matches!(port, 53 | 5353)).collect();
    if ports.is_empty() {
        ports = slices.iter().flat_map(named).collect();
    }
    if ports.is_empty() {
        ports.insert(53);
    }
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| endpoint.is_ready()).count();
    Ok(Some(ResolverPods { ns, labels: Labels::new(labels), ports, ready }))
}

async fn api_of(server: &Server) -> Result<ApiServer, Failure> {
    let service: Service = server.ask(Call::get("/api/v1/namespaces/default/services/kubernetes")).await?;
    let ports: Vec<u16> = service.spec.ports.iter().flatten().filter_map(|port| port.port).collect();
    let places = |address: IpAddr| ports.iter().map(move |port| (address, *port));
    let mut out = ApiServer { endpoints: BTreeSet::new(), service: BTreeSet::new() };
    out.service.extend(service.addresses().into_iter().flat_map(places));
    for slice in slices(server, "default", "kubernetes").await? {
        let ports: Vec<u16> = slice.ports.iter().flatten().filter_map(|port| port.port).collect();
        let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
        for address in addresses.filter_map(|raw| raw.parse::<IpAddr>().ok()) {
            out.endpoints.extend(ports.iter().map(|port| (address, *port)));
        }
    }
    Ok(out)
}

/// Callbacks that are followed to their pods; each Service is one more question.
const CALLBACKS: usize = 200;

async fn callbacks_of(server: &Server) -> Result<Vec<Callback>, Failure> {
    let mut hooks = Vec::new();
    for (group, kind, plural) in around::HOOKS {
        let all: Vec<Value> = list(server, format!("/apis/{group}/v1/{plural}")).await?;
        hooks.extend(all.iter().flat_map(|value| around::hooks(kind, value)));
    }
    hooks.sort();
    hooks.dedup();
    let mut out = BTreeSet::new();
    for hook in hooks.into_iter().take(CALLBACKS) {
        let path = format!("/api/v1/namespaces/{}/services/{}", hook.ns, hook.service);
        let service: Service = match server.ask(Call::get(path)).await {
            Ok(service) => service,
            // Nobody is called where there is no Service.
            Err(failure) if failure.code() == Some(404) => continue,
            Err(failure) => return Err(failure),
        };
        let own = service.spec.ports.iter().flatten().find(|port| port.port == Some(hook.port));
        let Some(own) = own else { continue };
        for slice in slices(server, hook.ns.as_str(), hook.service.as_str()).await? {
            let is_own = |port: &&Port| {
                port.name.as_deref().unwrap_or_default() == own.name.as_deref().unwrap_or_default()
            };
            let ports = slice.ports.iter().flatten().filter(is_own);
            for port in ports.filter_map(|port| port.port) {
                out.insert(Callback { object: hook.object.clone(), ns: hook.ns.clone(), port });
            }
        }
    }
    Ok(out.into_iter().collect())
}

fn addresses(nodes: &[preflight::Node]) -> BTreeSet<IpAddr> {
    nodes.iter().flat_map(|node| &node.addresses).filter_map(|raw| raw.parse().ok()).collect()
}

fn pod_networks(nodes: &[preflight::Node]) -> Vec<IpNet> {
    let all = nodes.iter().flat_map(|node| &node.pod_cidrs);
    let mut out: Vec<IpNet> = all.filter_map(|raw| raw.parse().ok()).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// As `sluice author` prints what it knows.
pub fn words(facts: &Facts) -> Text {
    let cni = facts.cni.as_ref().map_or("an unknown network plugin", |cni| cni.kind.as_str());
    let nodes = facts
        .nodes
        .as_ref()
        .map_or("nodes unknown".to_owned(), |nodes| format!("{} node addresses", nodes.len()));
    let resolver = match facts.resolver.as_ref() {
        None => "resolver unknown".to_owned(),
        Some(resolver) => {
            let pods = resolver
                .pods
                .as_ref()
                .map_or("no pods".to_owned(), |pods| format!("{} pods of {}", pods.ready, pods.ns));
            match resolver.node_local.len() {
                0 => format!("resolver {pods}"),
                count => format!("resolver {pods} behind a cache on the nodes ({count} addresses)"),
            }
        }
    };
    let api = facts
        .api
        .as_ref()
        .map_or("API server unknown".to_owned(), |api| plural(api.endpoints.len(), "API endpoint"));
    Text::from(format!("{cni}, {resolver}, {api}, {nodes}"))
}
