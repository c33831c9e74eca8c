//! What Felix makes of one event: the flow key of the end that saw it, with the trace of policies.
//! Pods become their generate name with a star, everything without a pod a network. Pure.

use std::net::IpAddr;

use prost::Message;

use crate::{
    pb::{
        flow::{self as hubble, layer4},
        goldmane::{Action, EndpointType, Flow, FlowKey, PolicyHit, PolicyKind, PolicyTrace, Reporter},
    },
    sim::fleet::{
        agents::Agents,
        event::{Direction, Event, Outcome, Packet, Place, What},
        plan::{Plan, Protocol},
        traffic::peer,
        verdict::{Side, View},
    },
};

/// A flow with its key's bytes, which tell it from others.
pub struct Seen {
    pub at: i64,
    pub key: Vec<u8>,
    pub flow: Flow,
}

/// `None`: nothing that a policy was asked about.
pub fn keys_of(agents: &mut Agents, event: &Event, staged: Option<&View>) -> Option<Seen> {
    match &event.what {
        What::Verdict { direction, ruling, outcome } => {
            let plan = agents.plan().clone();
            let side = match direction {
                Direction::Egress => &ruling.egress,
                Direction::Ingress => &ruling.ingress,
            };
            let action = if *outcome == Outcome::Dropped { Action::Deny } else { Action::Allow };
            let key = key(&plan, &event.packet, *direction, (action, side), staged)?;
            Some(seen(event.at, key, 1))
        }
        What::Trace { direction, reply: false } => {
            let packet = event.packet;
            let ruling = agents.traffic().ruling(packet.source, packet.target, packet.port, packet.protocol);
            let side = match direction {
                Direction::Egress => &ruling.egress,
                Direction::Ingress => &ruling.ingress,
            };
            // A connection from before a new deny goes on, and nobody asks the policies again.
            if *side != Side::Open {
                return None;
            }
            let plan = agents.plan().clone();
            let key = key(&plan, &packet, *direction, (Action::Allow, side), staged)?;
            Some(seen(event.at, key, 1))
        }
        What::Guest(flow) => guest(event.at, flow),
        What::Trace { .. } | What::Drop { .. } | What::Dns { .. } | What::Lost { .. } => None,
    }
}

fn seen(at: i64, key: FlowKey, connections: i64) -> Seen {
    let bytes = key.encode_to_vec();
    let flow = Flow {
        key: Some(key),
        packets_out: 3,
        bytes_out: 180,
        num_connections_started: connections,
        ..Flow::default()
    };
    Seen { at, key: bytes, flow }
}

fn key(
    plan: &Plan,
    packet: &Packet,
    direction: Direction,
    (action, side): (Action, &Side),
    staged: Option<&View>,
) -> Option<FlowKey> {
    let (judged, reporter) = match direction {
        Direction::Egress => (packet.source, Reporter::Src),
        Direction::Ingress => (packet.target, Reporter::Dst),
    };
    let Place::Pod(pod) = judged else { return None };
    let namespace = &plan.pod_workload(pod).namespace;
    let enforced = hits(namespace, side, PolicyKind::NetworkPolicy);
    let pending = match staged {
        None => enforced.clone(),
        Some(view) => {
            let (source, target) = (peer(plan, packet.source), peer(plan, packet.target));
            let ruling = view.judge(&source, &target, packet.port, packet.protocol);
            let side = match direction {
                Direction::Egress => ruling.egress,
                Direction::Ingress => ruling.ingress,
            };
            hits(namespace, &side, PolicyKind::StagedKubernetesNetworkPolicy)
        }
    };
    let (source, target) = (end(plan, packet.source), end(plan, packet.target));
    Some(FlowKey {
        source_name: source.0,
        source_namespace: source.1,
        source_type: source.2.into(),
        dest_name: target.0,
        dest_namespace: target.1,
        dest_type: target.2.into(),
        dest_port: packet.port.into(),
        dest_service_name: "-".to_owned(),
        dest_service_namespace: "-".to_owned(),
        dest_service_port_name: "-".to_owned(),
        dest_service_port: 0,
        proto: protocol(packet.protocol).to_owned(),
        reporter: reporter.into(),
        action: action.into(),
        policies: Some(PolicyTrace { enforced_policies: enforced, pending_policies: pending }),
    })
}

/// The trace of one side. Of a tier's end one policy is told that made it apply.
fn hits(namespace: &str, side: &Side, kind: PolicyKind) -> Vec<PolicyHit> {
    let hit = |kind: PolicyKind, name: &str, action: Action, index: i64| PolicyHit {
        kind: kind.into(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        tier: "default".to_owned(),
        action: action.into(),
        policy_index: index,
        rule_index: 0,
        trigger: None,
    };
    match side {
        Side::Open => vec![PolicyHit {
            tier: "__PROFILE__".to_owned(),
            namespace: String::new(),
            ..hit(PolicyKind::Profile, &format!("kns.{namespace}"), Action::Allow, 0)
        }],
        Side::Allowed(by) => {
            let all = by.iter().enumerate();
            all.map(|(index, policy)| hit(kind, &policy.name, Action::Allow, index as i64)).collect()
        }
        Side::Denied(by) => {
            let trigger = by.first().map(|policy| Box::new(hit(kind, &policy.name, Action::Unspecified, 0)));
            vec![PolicyHit {
                name: String::new(),
                namespace: String::new(),
                rule_index: -1,
                trigger,
                ..hit(PolicyKind::EndOfTier, "", Action::Deny, 0)
            }]
        }
    }
}

/// Name, namespace and type of one end.
fn end(plan: &Plan, place: Place) -> (String, String, EndpointType) {
    let network = |address: IpAddr| {
        let name = if is_private(address) { "pvt" } else { "pub" };
        (name.to_owned(), "-".to_owned(), EndpointType::Network)
    };
    match place {
        Place::Pod(pod) if !plan.pod_workload(pod).host_network => {
            let name = &plan.pods[pod].name;
            let prefix = name.rsplit_once('-').map_or(name.as_str(), |(head, _)| head);
            let namespace = plan.pod_workload(pod).namespace.clone();
            (format!("{prefix}-*"), namespace, EndpointType::WorkloadEndpoint)
        }
        Place::Pod(pod) => network(plan.pods[pod].address.into()),
        Place::Node(node) => network(plan.nodes[node].address.into()),
        Place::External { external, address } => network(plan.externals[external].addresses[address]),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        Protocol::Icmp => "icmp",
    }
}

/// A pod that nothing made from a template keeps its name.
fn guest(at: i64, flow: &hubble::Flow) -> Option<Seen> {
    if flow.event_type?.r#type != 5 {
        return None;
    }
    let egress = flow.traffic_direction() == hubble::TrafficDirection::Egress;
    let allowed = flow.verdict() == hubble::Verdict::Forwarded;
    let layer4::Protocol::Tcp(tcp) = flow.l4?.protocol? else { return None };
    let end = |end: Option<&hubble::Endpoint>, address: &str| match end {
        Some(end) if !end.pod_name.is_empty() => {
            let name = match end.workloads.first() {
                Some(owner) if owner.kind != "Pod" => {
                    let head = end.pod_name.rsplit_once('-').map_or(end.pod_name.as_str(), |(head, _)| head);
                    format!("{head}-*")
                }
                Some(_) | None => end.pod_name.clone(),
            };
            (name, end.namespace.clone(), EndpointType::WorkloadEndpoint)
        }
        _ => {
            let private = address.parse().is_ok_and(is_private);
            let name = if private { "pvt" } else { "pub" };
            (name.to_owned(), "-".to_owned(), EndpointType::Network)
        }
    };
    let ip = flow.ip.clone().unwrap_or_default();
    let source = end(flow.source.as_ref(), &ip.source);
    let target = end(flow.destination.as_ref(), &ip.destination);
    let namespace = if egress { &source.1 } else { &target.1 };
    let by = if egress { &flow.egress_allowed_by } else { &flow.ingress_allowed_by };
    let refs = by.iter().map(|policy| crate::sim::fleet::verdict::PolicyRef {
        kind: "NetworkPolicy",
        name: policy.name.clone(),
    });
    let side = if allowed { Side::Allowed(refs.collect()) } else { Side::Denied(Vec::new()) };
    let enforced = hits(namespace, &side, PolicyKind::NetworkPolicy);
    let key = FlowKey {
        source_name: source.0,
        source_namespace: source.1,
        source_type: source.2.into(),
        dest_name: target.0,
        dest_namespace: target.1,
        dest_type: target.2.into(),
        dest_port: tcp.destination_port.into(),
        dest_service_name: "-".to_owned(),
        dest_service_namespace: "-".to_owned(),
        dest_service_port_name: "-".to_owned(),
        dest_service_port: 0,
        proto: "tcp".to_owned(),
        reporter: if egress { Reporter::Src } else { Reporter::Dst }.into(),
        action: if allowed { Action::Allow } else { Action::Deny }.into(),
        policies: Some(PolicyTrace { pending_policies: enforced.clone(), enforced_policies: enforced }),
    };
    Some(seen(at, key, 1))
}
