//! What people see of discovery: destinations, how far the collection is, what the window has not
//! seen. One projection that the screen and `-o json` both read (law 10). Unknown is a value of its
//! own: never zero, never ready.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    coverage::{Coverage, CronJob, Readiness},
    destination::{Category, Churn, Destination, Meaning, Seen},
    edge::{Edge, EdgeKey, Hours, Peer, Window, merge_names},
    fleet::{Cluster, Listed, Namespace},
    names::{NodeName, Text},
};

use super::{discoveries::Discoveries, ports::Baseline};

/// How long is collected before a policy is written.
pub const WANTED: TimeDelta = TimeDelta::days(7);

/// The newest [`WANTED`] of what a collector can answer for.
pub fn wanted(window: Window) -> Window {
    Window { from: window.to - WANTED, to: window.to }
}

/// How far a namespace is.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// `None`: the collector has not said what it saw.
    pub readiness: Option<Readiness>,
    pub window: Option<Window>,
    /// Credited hours of each node that counts for it, worst first.
    pub nodes: Vec<(Option<NodeName>, usize)>,
    /// Hours in which all of them were credited.
    pub credited: Hours,
}

/// `None`: nothing was told of a collector there.
pub fn judge(discoveries: &Discoveries, cluster: &Cluster, ns: &Namespace) -> Option<Judged> {
    let state = &discoveries.collected(&cluster.name)?.state;
    let window = state.window.map(wanted);
    let nodes: BTreeSet<NodeName> = ns.pods.values().filter_map(|pod| pod.node.clone()).collect();
    let known = cluster.listed.contains(&Listed::Pods).then_some(&nodes);
    let (nodes, credited) = window.map(|window| nodes_of(&state.coverage, known, window)).unwrap_or_default();
    let crons: Vec<_> =
        discoveries.crons(&cluster.name, &ns.seen.name).into_iter().flatten().cloned().collect();
    let readiness = window.map(|window| readiness(&state.coverage, &nodes, window, &crons));
    Some(Judged { readiness, window, nodes, credited })
}

/// Credited hours of the nodes that count, worst first, and those of all of them together.
fn nodes_of(
    coverage: &Coverage,
    nodes: Option<&BTreeSet<NodeName>>,
    window: Window,
) -> (Vec<(Option<NodeName>, usize)>, Hours) {
    let hours = window.hours();
    let empty = Hours::default();
    let mut counted: BTreeMap<Option<NodeName>, &Hours> = BTreeMap::new();
    match nodes.filter(|nodes| !nodes.is_empty()) {
        // Where the source cannot say the node, what it saw counts for all of them.
        Some(nodes) if !coverage.credited.contains_key(&None) => {
            for node in nodes {
                let seen = coverage.credited.get(&Some(node.clone())).unwrap_or(&empty);
                counted.insert(Some(node.clone()), seen);
            }
        }
        Some(_) | None => counted.extend(coverage.credited.iter().map(|(node, seen)| (node.clone(), seen))),
    }
    let all = hours.clone().filter(|hour| counted.values().all(|seen| seen.contains(*hour)));
    let all: Hours = if counted.is_empty() { empty.clone() } else { all.collect() };
    let mut rows: Vec<_> =
        counted.into_iter().map(|(node, seen)| (node, seen.count_in(hours.clone()))).collect();
    rows.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    (rows, all)
}

fn readiness(
    coverage: &Coverage,
    nodes: &[(Option<NodeName>, usize)],
    window: Window,
    crons: &[CronJob],
) -> Readiness {
    let hours = window.hours().count();
    let mut why = coverage.doubts.clone();
    for cron in crons.iter().filter(|cron| !cron.suspended) {
        if cron.longest_pause.is_none_or(|pause| pause > WANTED) {
            why.push(Text::from(format!("CronJob {} runs less often than the window is long", cron.name)));
        }
    }
    let least = nodes.first().map_or(0, |(_, hours)| *hours);
    if least < hours {
        return Readiness::NotYet { left: TimeDelta::hours((hours - least) as i64) };
    }
    if why.is_empty() { Readiness::Ready } else { Readiness::Blocked { why } }
}

/// The destinations of one answer.
pub fn destinations(baseline: &Baseline) -> Vec<Destination> {
    let mut out: BTreeMap<_, Destination> = BTreeMap::new();
    for (key, edge) in &baseline.edges {
        let peer = key.name.is_none().then(|| key.peer.clone());
        let id = (
            key.workload.clone(),
            key.direction,
            key.name.clone(),
            peer,
            key.protocol,
            key.port,
            key.outcome,
        );
        out.entry(id).and_modify(|have| merge(have, key, edge)).or_insert_with(|| destination(key, edge));
    }
    out.into_values().collect()
}

fn destination(key: &EdgeKey, edge: &Edge) -> Destination {
    let addresses: Vec<_> = match &key.peer {
        Peer::Address(address) => vec![*address],
        Peer::Pods { .. } | Peer::Entity(_) | Peer::Unsaid(_) => Vec::new(),
    };
    Destination {
        ns: key.ns.clone(),
        workload: key.workload.clone(),
        direction: key.direction,
        peer: key.peer.clone(),
        name: key.name.clone(),
        also: edge.also.clone(),
        chain: edge.chain.clone(),
        addresses_total: addresses.len(),
        addresses,
        protocol: key.protocol,
        port: key.port,
        outcome: key.outcome,
        grade: edge.grade(),
        seen: Seen {
            flows: edge.flows,
            first: edge.first,
            last: edge.last,
            hours: edge.hours.clone(),
            churn: Churn::default(),
        },
        meaning: Meaning { category: Category::Unknown, category_by: Text::default(), findings: Vec::new() },
    }
}

fn merge(have: &mut Destination, key: &EdgeKey, edge: &Edge) {
    if let Peer::Address(address) = &key.peer {
        have.addresses.push(*address);
        have.addresses.sort();
        have.addresses.dedup();
        have.addresses_total = have.addresses.len();
    }
    have.seen.flows = have.seen.flows.saturating_add(edge.flows);
    have.seen.first = have.seen.first.min(edge.first);
    have.seen.last = have.seen.last.max(edge.last);
    have.seen.hours.union(&edge.hours);
    have.grade = have.grade.min(edge.grade());
    merge_names(&mut have.also, &edge.also);
    merge_names(&mut have.chain, &edge.chain);
}
