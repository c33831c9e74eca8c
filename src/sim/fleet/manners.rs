//! The relay's bad manners: which troubles it has now, and what they do to its answers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    pb::{flow::Flow, observer::GetFlowsResponse},
    sim::fleet::{faults::Fault, flows::mix, plan::Plan, traffic::SECOND},
};

/// What is wrong between the agents and whoever asks the relay.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    /// Nodes whose flows no longer reach the relay, without a word.
    pub silent: BTreeSet<usize>,
    /// Nodes that the relay knows it has lost.
    pub down: BTreeSet<usize>,
    /// Nanoseconds by which a node's clock is ahead.
    pub skews: BTreeMap<usize, i64>,
    pub lost_per_minute: u64,
    pub odd_flows: bool,
    pub disorder: bool,
}

impl Troubles {
    pub fn of(faults: &[Fault], plan: &Plan) -> Self {
        let mut all = Self::default();
        let find = |name: &String| plan.nodes.iter().position(|node| node.name == *name);
        for fault in faults {
            match fault {
                Fault::NodeLost { node } => all.silent.extend(find(node)),
                Fault::NodeDown { node } => all.down.extend(find(node)),
                Fault::ClockSkew { node, seconds } => {
                    all.skews.extend(find(node).map(|node| (node, seconds * SECOND)));
                }
                Fault::LostEvents { count } => all.lost_per_minute += count,
                Fault::OddFlows => all.odd_flows = true,
                Fault::Disorder => all.disorder = true,
                Fault::Dead
                | Fault::Slow { .. }
                | Fault::RelayAway
                | Fault::LogAway { .. }
                | Fault::LogRotated { .. }
                | Fault::SilentLoss { .. }
                | Fault::LateFlows { .. }
                | Fault::WatchExpiry
                | Fault::TooManyRequests
                | Fault::ExpiredCertificate
                | Fault::MissingRights
                | Fault::StuckTerminating { .. }
                | Fault::AnswersLost
                | Fault::Garbage
                | Fault::Restart { .. } => {}
            }
        }
        all
    }

    /// Whether the relay hears of a node.
    pub fn hears(&self, node: usize) -> bool {
        !self.silent.contains(&node) && !self.down.contains(&node)
    }

    pub fn skew(&self, node: usize) -> i64 {
        self.skews.get(&node).copied().unwrap_or(0)
    }
}

/// Every third flow is odd in one of several ways, by its place in the node's stream.
pub fn odd(mut flow: Flow, place: u64) -> Flow {
    let number = mix(place);
    if !number.is_multiple_of(3) {
        return flow;
    }
    match number / 3 % 8 {
        0 => flow.source = None,
        1 => flow.l4 = None,
        2 => flow.ip = None,
        3 => flow.time = None,
        4 => flow.uuid = String::new(),
        5 => flow.drop_reason_desc = 9999,
        6 => flow.traffic_direction = 77,
        _ => hostile(&mut flow),
    }
    flow
}

/// Escapes that clear a screen, and characters that turn a line round.
fn hostile(flow: &mut Flow) {
    for end in [&mut flow.source, &mut flow.destination].into_iter().flatten() {
        end.labels.push("k8s:note=\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}drawkcab".to_owned());
        for workload in &mut end.workloads {
            workload.name.push_str("\u{1b}[31m\r\n\u{202e}");
        }
    }
    flow.destination_names.push("evil\u{9b}2J.example\u{200b}".repeat(200));
}

/// Every fourth answer comes again, and neighbours change places.
pub fn disorder(found: Vec<GetFlowsResponse>) -> Vec<GetFlowsResponse> {
    let mut out = Vec::with_capacity(found.len() + found.len() / 4);
    for (index, response) in found.into_iter().enumerate() {
        if index % 4 == 3 {
            out.push(response.clone());
        }
        out.push(response);
    }
    for group in out.chunks_mut(5) {
        group.reverse();
    }
    out
}
