//! Edges to destinations with their meaning, for the namespaces that are open. Stands in for
//! `domain::discovery` until rules arrive: every category is unknown and nothing is suspect.

use std::collections::BTreeMap;

use crate::domain::{
    destination::{Category, Churn, Destination, Meaning, Seen},
    edge::{Edge, EdgeKey, Peer, merge_names},
    names::Text,
};

use super::ports::Baseline;

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
