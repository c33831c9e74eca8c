//! Makes evidence fit into an object, without making it say more than was seen. First nodes are
//! merged: a minute counts only if every node that ran the namespace's pods was heard, so one trail
//! for several nodes, heard when all of them were, gives the same clock. Then what only describes is
//! shortened, each time against the clock's favour. Pure.

use std::collections::BTreeMap;

use crate::domain::{
    evidence::{Evidence, Trail},
    names::NodeName,
    spans::Spans,
};

use super::{evidence, evidence::SpecWire};

/// Bytes of the `spec` as JSON; the rest of the object is small. The whole stays below 256 KiB.
pub const LIMIT: usize = 240 * 1024;

/// The evidence as it is stored. `None`: even shortened it does not fit, and then it must not be
/// written at all.
pub fn fit(evidence: &Evidence) -> Option<SpecWire> {
    let mut spec = evidence::spec(evidence);
    if size(&spec) <= LIMIT {
        return Some(spec);
    }
    let mut smaller = evidence.clone();
    merge(&mut smaller.nodes, LIMIT / 4);
    for step in SHORTEN {
        step(&mut smaller);
        spec = evidence::spec(&smaller);
        if size(&spec) <= LIMIT {
            return Some(spec);
        }
    }
    None
}

fn size(spec: &SpecWire) -> usize {
    serde_json::to_vec(spec).map_or(usize::MAX, |bytes| bytes.len())
}

/// In this order until it fits.
const SHORTEN: [fn(&mut Evidence); 7] = [
    |_| {},
    // Fewer destinations seen again, never more.
    |evidence| {
        while evidence.exercised.again.len() > 500 {
            evidence.exercised.again.pop_last();
        }
    },
    // A group that is only counted withholds clean all the same.
    |evidence| fewer_groups(evidence, 50),
    |evidence| close_gaps(evidence, 5),
    |evidence| {
        evidence.exercised.again.clear();
        fewer_groups(evidence, 20);
        close_gaps(evidence, 30);
    },
    // Every node in one trail.
    |evidence| merge(&mut evidence.nodes, 0),
    |evidence| close_gaps(evidence, 360),
];

fn fewer_groups(evidence: &mut Evidence, most: usize) {
    if let Some(left_out) = evidence.groups.len().checked_sub(most) {
        evidence.groups.truncate(most);
        evidence.more_groups = evidence.more_groups.saturating_add(left_out as u64);
    }
}

/// Pauses, losses and running swallow gaps between them that are no longer than this; hearing loses
/// stretches that are no longer.
fn close_gaps(evidence: &mut Evidence, minutes: i64) {
    for pause in &mut evidence.pauses {
        close(&mut pause.spans, minutes);
    }
    for trail in evidence.nodes.values_mut() {
        close(&mut trail.ran, minutes);
        close(&mut trail.void, minutes);
        let short: Vec<_> = trail.heard.iter().filter(|range| range.end - range.start <= minutes).collect();
        short.into_iter().for_each(|range| trail.heard.remove(range));
    }
}

fn close(spans: &mut Spans, minutes: i64) {
    let ranges: Vec<_> = spans.iter().collect();
    for pair in ranges.windows(2) {
        if pair[1].start - pair[0].end <= minutes {
            spans.insert(pair[0].end..pair[1].start);
        }
    }
}

/// Gives the nodes with the most scattered minutes one trail together, until all trails together
/// are about this short.
fn merge(nodes: &mut BTreeMap<NodeName, Trail>, bytes: usize) {
    let mut equal: BTreeMap<[String; 3], Vec<NodeName>> = BTreeMap::new();
    for (node, trail) in nodes.iter() {
        let minutes = [&trail.ran, &trail.heard, &trail.void].map(super::spans::text);
        equal.entry(minutes).or_default().push(node.clone());
    }
    let mut groups: Vec<(usize, Vec<NodeName>)> =
        equal.into_iter().map(|(minutes, nodes)| (minutes.iter().map(String::len).sum(), nodes)).collect();
    groups.sort();
    let mut total: usize = groups.iter().map(|(length, _)| length).sum();
    let mut merged = Vec::new();
    while total > bytes {
        let Some((length, group)) = groups.pop() else { break };
        total -= length;
        merged.extend(group);
    }
    let trails: Vec<&Trail> = merged.iter().filter_map(|node| nodes.get(node)).collect();
    let together = together(&trails);
    for node in merged {
        nodes.insert(node, together.clone());
    }
}

/// One trail that gives the same clock as all of these: it ran when one of them did, and was heard,
/// without a loss, only when each one that ran was.
fn together(trails: &[&Trail]) -> Trail {
    let mut out = Trail::default();
    let mut missing = Spans::default();
    for trail in trails {
        out.ran.union(&trail.ran);
        let mut unheard = trail.ran.clone();
        unheard.subtract(&trail.heard);
        missing.union(&unheard);
        out.void.union(&trail.void.intersection(&trail.ran));
    }
    out.heard = out.ran.clone();
    out.heard.subtract(&missing);
    out
}
