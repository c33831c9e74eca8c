//! Evidence beside the discovery documents of a simulated fleet's workspace, as the team would have
//! written it last: who calls whom, of both ends, by name and address, with a week of hours. Made of the plans; what
//! the product makes of it, and the documents themselves, is its own affair. Texts are pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use chrono::{DateTime, Duration, DurationRound as _, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::sim::fleet::{
    past::{DocumentSpec, Past},
    plan::{Edge, End, Plan, Workload},
    running::{Fleet, Member},
    scenario::Kind,
};

const DAYS: i64 = 7;
/// Written so long before the scenario begins.
const HOURS_OLD: i64 = 12;

/// Writes `network-policies/discovery/<namespace>.edges.jsonl` for clusters of which the team has
/// evidence: those with a collector, and those in which it applied something.
pub fn write(fleet: &Fleet, directory: &Path) -> io::Result<()> {
    let folder = directory.join("network-policies").join("discovery");
    fs::create_dir_all(&folder)?;
    for (namespace, text) in texts(fleet) {
        fs::write(folder.join(format!("{namespace}.edges.jsonl")), text)?;
    }
    Ok(())
}

/// Writes the companions of documents that were written long before, over those of [`write`].
pub fn write_old(fleet: &Fleet, past: &Past, directory: &Path) -> io::Result<()> {
    let folder = directory.join("network-policies").join("discovery");
    for spec in &past.documents {
        let file = folder.join(format!("{}.edges.jsonl", spec.namespace));
        fs::write(file, old_text(fleet, spec))?;
    }
    Ok(())
}

fn old_text(fleet: &Fleet, spec: &DocumentSpec) -> String {
    let start = fleet.options().start;
    let to = start.duration_trunc(Duration::hours(1)).unwrap_or(start) - Duration::days(spec.days_ago.into());
    let has = |member: &&Member| {
        let plan = member.plan();
        let is_there = plan.namespaces.iter().any(|ns| ns.name == spec.namespace);
        spec.clusters.contains(&plan.cluster) || (is_there && has_evidence(member))
    };
    let parts: Vec<_> = fleet
        .clusters()
        .iter()
        .filter(has)
        .map(|member| {
            let mut part = Part::of(member.plan(), &spec.namespace, to);
            part.edges.retain(|line| !spec.unseen.iter().any(|host| line["name"] == host.as_str()));
            if let (Some(host), Some(line)) = (&spec.stopped, part.edges.first().cloned()) {
                part.edges.push(stopped(line, host));
            }
            part.header["edges"] = part.edges.len().into();
            part
        })
        .collect();
    text(&spec.namespace, &parts)
}

/// The line of another call, turned into one of a host that nobody calls any more.
fn stopped(mut line: Value, host: &str) -> Value {
    line["peer"] = json!({ "address": "198.51.100.44" });
    (line["name"], line["port"], line["ttlSecs"]) = (host.into(), 443.into(), 60.into());
    line["fresh"] = line["flows"].clone();
    if let Some(line) = line.as_object_mut() {
        line.remove("chain");
    }
    line
}

/// The files by namespace.
fn texts(fleet: &Fleet) -> BTreeMap<&str, String> {
    let start = fleet.options().start;
    let to = start.duration_trunc(Duration::hours(1)).unwrap_or(start) - Duration::hours(HOURS_OLD);
    let mut parts: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
    for member in fleet.clusters().iter().filter(|member| has_evidence(member)) {
        for namespace in member.plan().namespaces.iter().filter(|ns| !ns.system) {
            parts.entry(&namespace.name).or_default().push(Part::of(member.plan(), &namespace.name, to));
        }
    }
    parts.into_iter().map(|(namespace, parts)| (namespace, text(namespace, &parts))).collect()
}

fn has_evidence(member: &Member) -> bool {
    member.spec().collector.is_some() || member.has_past()
}

fn text(namespace: &str, parts: &[Part]) -> String {
    let clusters: Vec<&Value> = parts.iter().map(|part| &part.header).collect();
    let head = json!({ "schema": "sluice.edges/1", "namespace": namespace, "clusters": clusters });
    let mut out = format!("{head}\n");
    for (part, line) in parts.iter().flat_map(|part| part.edges.iter().map(move |line| (part, line))) {
        // The same hours for all: spelled out once.
        out.push_str(&line.to_string().replacen(HOURS, &part.hours, 1));
        out.push('\n');
    }
    out
}

/// Where the hours of an edge go.
const HOURS: &str = "\"hours\":null";

/// What one cluster saw of a namespace.
struct Part {
    header: Value,
    edges: Vec<Value>,
    /// With their key.
    hours: String,
}

impl Part {
    fn of(plan: &Plan, namespace: &str, to: DateTime<Utc>) -> Self {
        let from = to - Duration::days(DAYS);
        let hours = [from.timestamp() / 3_600, to.timestamp() / 3_600];
        let ours = plan.edges.iter().flat_map(|edge| {
            let mut both = lines(plan, namespace, edge, (from, to));
            both.extend(callers(plan, namespace, edge, (from, to)));
            both
        });
        // Edges of one caller and callee are one: the first tells of all.
        let mut seen = BTreeSet::new();
        let is_new = |line: &Value| {
            let place = format!("{}{}{}", line["direction"], line["peer"], line["name"]);
            seen.insert(format!("{}{place}{}", line["workload"], line["port"]))
        };
        let edges: Vec<Value> = ours.filter(is_new).collect();
        let credited: Vec<Value> =
            plan.nodes.iter().map(|node| json!({ "node": node.name, "hours": [hours] })).collect();
        let header = json!({
            "cluster": plan.cluster, "from": stamp(from), "to": stamp(to), "generatedAt": stamp(to),
            "edges": edges.len(), "readiness": "ready", "credited": credited, "gaps": [], "doubts": [],
            "cronJobs": Value::Null, "withoutTraffic": Value::Null, "remarks": [],
        });
        let all: Vec<i64> = (hours[0]..hours[1]).collect();
        Self { header, edges, hours: format!("\"hours\":{}", json!(all)) }
    }
}

/// One line for each address that a workload of the namespace calls.
fn lines(plan: &Plan, namespace: &str, edge: &Edge, window: (DateTime<Utc>, DateTime<Utc>)) -> Vec<Value> {
    let End::Workload(from) = edge.from else { return Vec::new() };
    let caller = &plan.workloads[from];
    if caller.namespace != namespace || caller.host_network {
        return Vec::new();
    }
    let line = |peer: Value, name: Option<&str>, chain: &[String]| {
        let flows = flows(edge, caller.pods.len());
        let mut line = bare(plan, edge, (caller, "egress"), &peer, flows, window);
        if let Some(name) = name {
            line["name"] = name.into();
            line["fresh"] = flows.into();
            line["ttlSecs"] = 60.into();
            if !chain.is_empty() {
                line["chain"] = chain.into();
            }
        }
        line
    };
    match edge.to {
        End::External(external) => {
            let external = &plan.externals[external];
            let peers = external.addresses.iter().map(|address| json!({ "address": address }));
            peers.map(|peer| line(peer, external.host.as_deref(), &external.cnames)).collect()
        }
        End::Workload(to) if plan.workloads[to].host_network => {
            vec![line(json!({ "entity": "remote-node" }), None, &[])]
        }
        End::Workload(to) => {
            let callee = &plan.workloads[to];
            let peer = json!({ "pods": { "namespace": callee.namespace, "workload": owner(callee) } });
            vec![line(peer, None, &[])]
        }
        End::Api => vec![line(json!({ "entity": "kube-apiserver" }), None, &[])],
        End::Nodes => vec![line(json!({ "entity": "remote-node" }), None, &[])],
    }
}

/// One line for each address that calls a workload of the namespace.
fn callers(plan: &Plan, namespace: &str, edge: &Edge, window: (DateTime<Utc>, DateTime<Utc>)) -> Vec<Value> {
    let End::Workload(to) = edge.to else { return Vec::new() };
    let callee = &plan.workloads[to];
    if callee.namespace != namespace || callee.host_network {
        return Vec::new();
    }
    let (peers, count) = match edge.from {
        End::Workload(from) if plan.workloads[from].host_network => {
            (vec![json!({ "entity": "remote-node" })], plan.workloads[from].pods.len())
        }
        End::Workload(from) => {
            let caller = &plan.workloads[from];
            let pods = json!({ "pods": { "namespace": caller.namespace, "workload": owner(caller) } });
            (vec![pods], caller.pods.len())
        }
        End::External(external) => {
            let all = &plan.externals[external].addresses;
            (all.iter().map(|address| json!({ "address": address })).collect(), 1)
        }
        End::Api => (vec![json!({ "entity": "kube-apiserver" })], 1),
        End::Nodes => (vec![json!({ "entity": "remote-node" })], plan.nodes.len()),
    };
    let flows = flows(edge, count);
    peers.iter().map(|peer| bare(plan, edge, (callee, "ingress"), peer, flows, window)).collect()
}

fn flows(edge: &Edge, callers: usize) -> u64 {
    (edge.per_second * 86_400.0 * DAYS as f64 * callers as f64).max(1.0) as u64
}

/// A line without a name, of the workload whose end saw it.
fn bare(
    plan: &Plan,
    edge: &Edge,
    (workload, direction): (&Workload, &str),
    peer: &Value,
    flows: u64,
    window: (DateTime<Utc>, DateTime<Utc>),
) -> Value {
    json!({
        "cluster": plan.cluster, "namespace": workload.namespace, "workload": owner(workload),
        "direction": direction, "peer": peer, "protocol": edge.protocol.as_str(), "port": edge.port,
        "outcome": "allowed", "flows": flows, "first": stamp(window.0),
        "last": stamp(window.1 - Duration::minutes(7)), "hours": Value::Null,
    })
}

fn owner(workload: &Workload) -> Value {
    let kind = match workload.kind {
        Kind::Deployment => "Deployment",
        Kind::DaemonSet => "DaemonSet",
        Kind::CronJob => "CronJob",
    };
    json!({ "kind": kind, "name": workload.name })
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
