//! What sluice asks Hubble for, and the same question put again to each answer: an old server
//! ignores a filter it does not know and so widens what it sends.

use crate::{
    domain::{flow::Verdict, names::NsName, time::Timestamp},
    pb::{
        flow::{EventTypeFilter, FlowFilter, Verdict as Wire},
        observer::GetFlowsRequest,
    },
};

use super::decode::{Sighting, event};

/// Fields of `Flow` that are read. `time` and `node_name` must be in it: the outer ones are copied
/// from the masked flow.
const FIELDS: [&str; 22] = [
    "time",
    "uuid",
    "verdict",
    "drop_reason",
    "drop_reason_desc",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "source.workloads",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "destination.workloads",
    "Type",
    "node_name",
    "source_names",
    "destination_names",
    "event_type",
    "is_reply",
    "traffic_direction",
];
/// Fields that came later. A server that lacks one refuses the whole mask.
const LATER: [&str; 4] = ["egress_allowed_by", "ingress_allowed_by", "egress_denied_by", "ingress_denied_by"];

/// Fields of `Flow` that edges are made from. Verdicts name no policy there.
const EDGE_FIELDS: [&str; 3] = ["l7", "source_service", "destination_service"];
/// Beside them, where the server has it.
const EDGE_LATER: [&str; 1] = ["trace_reason"];

/// How much of a flow is asked for. A server too old for one is asked for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Full,
    Early,
    /// Whole flows: costs bandwidth, works everywhere.
    Off,
}

impl Mask {
    pub fn simpler(self) -> Option<Self> {
        match self {
            Self::Full => Some(Self::Early),
            Self::Early => Some(Self::Off),
            Self::Off => None,
        }
    }

    fn paths(self, also: &[&str], later: &[&str]) -> Option<prost_types::FieldMask> {
        let later = match self {
            Self::Full => later,
            Self::Early => &[],
            Self::Off => return None,
        };
        let paths = FIELDS.iter().chain(also).chain(later).map(|path| (*path).to_owned()).collect();
        Some(prost_types::FieldMask { paths })
    }
}

/// Namespaces whose allowed verdicts are asked for at most; beyond, signs come from the counters.
const WANTED: usize = 500;

/// Denied flows a node replays when there is nothing to resume from.
const RECENT: u64 = 100;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    /// A little of what each node remembers, so that a fresh start is not blank.
    Recent,
    Since(Timestamp),
}

/// A stream that goes on.
pub fn follow(wanted: &[NsName], from: From, mask: Mask) -> GetFlowsRequest {
    let (number, since) = match from {
        From::Recent => (RECENT, None),
        From::Since(at) => (0, Some(wire_time(at))),
    };
    GetFlowsRequest {
        number,
        follow: true,
        whitelist: filters(wanted, &[]),
        since,
        field_mask: mask.paths(&[], &LATER),
        ..GetFlowsRequest::default()
    }
}

/// A stream that ends: what these nodes remember since then.
pub fn again(wanted: &[NsName], since: Timestamp, nodes: &[String], mask: Mask) -> GetFlowsRequest {
    GetFlowsRequest {
        whitelist: filters(wanted, nodes),
        since: Some(wire_time(since)),
        field_mask: mask.paths(&[], &LATER),
        ..GetFlowsRequest::default()
    }
}

/// What edges are made from, as a stream that goes on: every verdict, new connections where no
/// policy asks for a verdict, and DNS answers.
pub fn follow_edges(from: From, mask: Mask) -> GetFlowsRequest {
    let (number, since) = match from {
        From::Recent => (0, None),
        From::Since(at) => (0, Some(wire_time(at))),
    };
    GetFlowsRequest {
        number,
        follow: true,
        whitelist: edge_filters(&[]),
        since,
        field_mask: mask.paths(&EDGE_FIELDS, &EDGE_LATER),
        ..GetFlowsRequest::default()
    }
}

/// The same as a stream that ends.
pub fn edges_again(since: Timestamp, nodes: &[String], mask: Mask) -> GetFlowsRequest {
    GetFlowsRequest {
        whitelist: edge_filters(nodes),
        since: Some(wire_time(since)),
        field_mask: mask.paths(&EDGE_FIELDS, &EDGE_LATER),
        ..GetFlowsRequest::default()
    }
}

/// The oldest event that each node still has, and no more of it than when and where.
pub fn oldest() -> GetFlowsRequest {
    GetFlowsRequest { first: true, ..newest(&[]) }
}

/// The newest event of each of these nodes, of any kind, and no more of it than when and where.
pub fn newest(nodes: &[String]) -> GetFlowsRequest {
    GetFlowsRequest {
        number: 1,
        whitelist: vec![FlowFilter { node_name: nodes.to_vec(), ..FlowFilter::default() }],
        field_mask: Some(prost_types::FieldMask { paths: vec!["time".to_owned(), "node_name".to_owned()] }),
        ..GetFlowsRequest::default()
    }
}

/// Whether this flow was asked for.
pub fn asked(wanted: &[NsName], seen: &Sighting) -> bool {
    match &seen.flow.verdict {
        Verdict::Denied { .. } | Verdict::Audit { .. } => true,
        Verdict::Allowed { .. } => [&seen.flow.source, &seen.flow.destination]
            .into_iter()
            .any(|end| end.ns.as_ref().is_some_and(|ns| wanted.contains(ns))),
    }
}

fn filters(wanted: &[NsName], nodes: &[String]) -> Vec<FlowFilter> {
    let of = |verdicts: &[Wire], kind: i32| FlowFilter {
        verdict: verdicts.iter().map(|verdict| *verdict as i32).collect(),
        event_type: vec![EventTypeFilter { r#type: kind, match_sub_type: false, sub_type: 0 }],
        node_name: nodes.to_vec(),
        ..FlowFilter::default()
    };
    let mut filters = vec![
        of(&[Wire::Dropped, Wire::Audit], event::POLICY_VERDICT),
        of(&[Wire::Dropped], event::ACCESS_LOG),
    ];
    if !wanted.is_empty() {
        let pods: Vec<_> = wanted.iter().take(WANTED).map(|ns| format!("{ns}/")).collect();
        let allowed = of(&[Wire::Forwarded, Wire::Redirected], event::POLICY_VERDICT);
        filters.push(FlowFilter { source_pod: pods.clone(), ..allowed.clone() });
        filters.push(FlowFilter { destination_pod: pods, ..allowed });
    }
    filters
}

fn edge_filters(nodes: &[String]) -> Vec<FlowFilter> {
    let of = |kind: i32| FlowFilter {
        event_type: vec![EventTypeFilter { r#type: kind, match_sub_type: false, sub_type: 0 }],
        node_name: nodes.to_vec(),
        ..FlowFilter::default()
    };
    vec![
        of(event::POLICY_VERDICT),
        FlowFilter { reply: vec![false], verdict: vec![Wire::Forwarded as i32], ..of(event::TRACE) },
        FlowFilter { protocol: vec!["dns".to_owned()], ..of(event::ACCESS_LOG) },
        FlowFilter { verdict: vec![Wire::Dropped as i32], ..of(event::ACCESS_LOG) },
    ]
}

fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos().min(999_999_999)).unwrap_or(0),
    }
}
