//! Spells an event out as Hubble's agent does: names, labels, identities, addresses, the policies
//! that allowed it. Pure: an event and the plan in, a protobuf flow out.

use prost_types::Timestamp;

use crate::{
    pb::flow::{
        self as pb, CiliumEventType, Dns, Endpoint, Flow, FlowType, Ip, IpVersion, Layer4, Layer7,
        TrafficDirection, Verdict, layer4, layer7,
    },
    sim::fleet::{
        event::{Direction, Event, Outcome, POLICY_DENIED, Packet, Place, What},
        plan::{Plan, Protocol, hash64},
        verdict::{PolicyRef, Ruling, Side},
    },
};

pub const EVENT_DROP: i32 = 1;
pub const EVENT_TRACE: i32 = 4;
pub const EVENT_VERDICT: i32 = 5;
pub const EVENT_L7: i32 = 129;
const WORLD: u32 = 2;
const REMOTE_NODE: u32 = 6;
const KUBE_APISERVER: u32 = 7;

/// The flow of an event that is not a loss. `place` is where the event stands in the node's stream:
/// it makes the uuid.
pub fn spell_out(plan: &Plan, node: usize, place: u64, event: &Event) -> Flow {
    if let What::Guest(flow) = &event.what {
        return Flow { uuid: uuid(plan.seed, node, place), ..Flow::clone(flow) };
    }
    let packet = &event.packet;
    let mut flow = Flow {
        time: Some(timestamp(event.at)),
        uuid: uuid(plan.seed, node, place),
        ip: Some(addresses(plan, packet)),
        l4: Some(layer4(packet)),
        source: Some(endpoint(plan, packet.source)),
        destination: Some(endpoint(plan, packet.target)),
        r#type: FlowType::L3L4.into(),
        node_name: node_name(plan, node),
        event_type: Some(CiliumEventType { r#type: event_type(&event.what), sub_type: 0 }),
        destination_service: service(plan, packet.target),
        destination_names: names(plan, packet.target),
        source_names: names(plan, packet.source),
        ..Flow::default()
    };
    match &event.what {
        What::Verdict { direction, ruling, outcome } => {
            flow.traffic_direction = pb_direction(*direction).into();
            match outcome {
                Outcome::Dropped => dropped(&mut flow, POLICY_DENIED),
                Outcome::Audited => flow.verdict = Verdict::Audit.into(),
                Outcome::Allowed => {
                    flow.verdict = Verdict::Forwarded.into();
                    flow.is_reply = Some(false);
                    flow.policy_match_type = 4;
                    allowed_by(plan, packet, *direction, ruling, &mut flow);
                }
            }
        }
        What::Drop { direction, reason } => {
            flow.traffic_direction = pb_direction(*direction).into();
            dropped(&mut flow, *reason);
            flow.event_type = Some(CiliumEventType { r#type: EVENT_DROP, sub_type: i32::from(*reason) });
        }
        What::Trace { direction, reply } => {
            let point = if *direction == Direction::Ingress { 0 } else { 3 };
            flow.verdict = Verdict::Forwarded.into();
            flow.traffic_direction = pb_direction(*direction).into();
            flow.is_reply = Some(*reply);
            flow.event_type = Some(CiliumEventType { r#type: EVENT_TRACE, sub_type: point });
        }
        What::Dns { answer, external } => dns(plan, packet, *answer, *external, &mut flow),
        What::Lost { .. } | What::Guest(_) => {}
    }
    flow
}

/// What kind of event it is, by Cilium's numbers.
pub fn event_type(what: &What) -> i32 {
    match what {
        What::Verdict { .. } => EVENT_VERDICT,
        What::Drop { .. } => EVENT_DROP,
        What::Trace { .. } => EVENT_TRACE,
        What::Dns { .. } => EVENT_L7,
        What::Lost { .. } => 0,
        What::Guest(flow) => flow.event_type.unwrap_or_default().r#type,
    }
}

pub fn verdict(what: &What) -> Verdict {
    match what {
        What::Verdict { outcome: Outcome::Dropped, .. } | What::Drop { .. } => Verdict::Dropped,
        What::Verdict { outcome: Outcome::Audited, .. } => Verdict::Audit,
        What::Verdict { outcome: Outcome::Allowed, .. } | What::Trace { .. } | What::Dns { .. } => {
            Verdict::Forwarded
        }
        What::Lost { .. } => Verdict::Unknown,
        What::Guest(flow) => flow.verdict(),
    }
}

pub fn timestamp(at: i64) -> Timestamp {
    Timestamp { seconds: at.div_euclid(1_000_000_000), nanos: at.rem_euclid(1_000_000_000) as i32 }
}

/// `cluster/node`, as an agent with a cluster name says it.
pub fn node_name(plan: &Plan, node: usize) -> String {
    format!("{}/{}", plan.cluster, plan.nodes[node].name)
}

fn dropped(flow: &mut Flow, reason: u16) {
    flow.verdict = Verdict::Dropped.into();
    flow.drop_reason = u32::from(reason);
    flow.drop_reason_desc = i32::from(reason);
}

fn allowed_by(plan: &Plan, packet: &Packet, direction: Direction, ruling: &Ruling, flow: &mut Flow) {
    let (side, place) = match direction {
        Direction::Egress => (&ruling.egress, packet.source),
        Direction::Ingress => (&ruling.ingress, packet.target),
    };
    // The agent finds policies by the port, which a ping does not have.
    let (Side::Allowed(names), Place::Pod(pod), true) = (side, place, packet.port != 0) else { return };
    let namespace = &plan.pod_workload(pod).namespace;
    let policy = |it: &PolicyRef| pb::Policy {
        name: it.name.clone(),
        namespace: namespace.clone(),
        labels: vec![
            format!("k8s:io.cilium.k8s.policy.name={}", it.name),
            format!("k8s:io.cilium.k8s.policy.namespace={namespace}"),
            format!("k8s:io.cilium.k8s.policy.derived-from={}", it.kind),
        ],
        revision: 2,
        kind: it.kind.to_owned(),
    };
    let policies = names.iter().map(policy).collect();
    match direction {
        Direction::Egress => flow.egress_allowed_by = policies,
        Direction::Ingress => flow.ingress_allowed_by = policies,
    }
}

/// The answer's packet goes back: source and destination change places, the direction does not.
fn dns(plan: &Plan, packet: &Packet, answer: bool, external: usize, flow: &mut Flow) {
    let it = &plan.externals[external];
    let mut record = Dns {
        query: it.host.as_deref().map(|host| format!("{host}.")).unwrap_or_default(),
        observation_source: "proxy".to_owned(),
        qtypes: vec!["A".to_owned()],
        ..Dns::default()
    };
    if answer {
        std::mem::swap(&mut flow.source, &mut flow.destination);
        let back = Packet { source: packet.target, target: packet.source, ..*packet };
        flow.ip = Some(addresses(plan, &back));
        flow.l4 = Some(udp(u32::from(packet.port), u32::from(packet.source_port)));
        flow.destination_service = None;
        record.ips = it.addresses.iter().map(ToString::to_string).collect();
        record.ttl = 30;
        record.cnames = it.cnames.iter().map(|name| format!("{name}.")).collect();
        record.rrtypes = vec!["A".to_owned()];
    }
    let kind = if answer { pb::L7FlowType::Response } else { pb::L7FlowType::Request };
    flow.verdict = Verdict::Forwarded.into();
    flow.r#type = FlowType::L7.into();
    flow.is_reply = Some(answer);
    flow.traffic_direction = TrafficDirection::Egress.into();
    flow.l7 = Some(Layer7 { r#type: kind.into(), latency_ns: 0, record: Some(layer7::Record::Dns(record)) });
}

fn addresses(plan: &Plan, packet: &Packet) -> Ip {
    let address = |place| match place {
        Place::Pod(pod) => plan.pods[pod].address.to_string(),
        Place::Node(node) => plan.nodes[node].address.to_string(),
        Place::External { external, address } => plan.externals[external].addresses[address].to_string(),
    };
    let (source, destination) = (address(packet.source), address(packet.target));
    let version = if destination.contains(':') { IpVersion::IPv6 } else { IpVersion::IPv4 };
    Ip { source, destination, ip_version: version.into() }
}

fn layer4(packet: &Packet) -> Layer4 {
    let (source_port, destination_port) = (u32::from(packet.source_port), u32::from(packet.port));
    let protocol = match packet.protocol {
        Protocol::Udp => return udp(source_port, destination_port),
        Protocol::Tcp => layer4::Protocol::Tcp(pb::Tcp {
            source_port,
            destination_port,
            flags: Some(pb::TcpFlags { syn: true, ..pb::TcpFlags::default() }),
        }),
        Protocol::Sctp => layer4::Protocol::Sctp(pb::Udp { source_port, destination_port }),
        Protocol::Icmp => layer4::Protocol::IcmPv4(pb::Icmp { r#type: 8, code: 0 }),
    };
    Layer4 { protocol: Some(protocol) }
}

fn udp(source_port: u32, destination_port: u32) -> Layer4 {
    Layer4 { protocol: Some(layer4::Protocol::Udp(pb::Udp { source_port, destination_port })) }
}

pub fn endpoint(plan: &Plan, place: Place) -> Endpoint {
    let reserved = |identity, labels: &[&str]| Endpoint {
        identity,
        labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        ..Endpoint::default()
    };
    match place {
        Place::External { .. } => reserved(WORLD, &["reserved:world"]),
        Place::Node(0) => reserved(KUBE_APISERVER, &["reserved:kube-apiserver", "reserved:remote-node"]),
        Place::Node(_) => reserved(REMOTE_NODE, &["reserved:remote-node"]),
        Place::Pod(pod) if plan.pod_workload(pod).host_network => {
            reserved(REMOTE_NODE, &["reserved:remote-node"])
        }
        Place::Pod(pod) => pod_endpoint(plan, pod),
    }
}

fn pod_endpoint(plan: &Plan, pod: usize) -> Endpoint {
    let workload = plan.pod_workload(pod);
    Endpoint {
        id: 100 + pod as u32,
        identity: 256 + plan.pods[pod].workload as u32 * 7 + (plan.seed % 40_000) as u32,
        namespace: workload.namespace.clone(),
        labels: workload.agent_labels.clone(),
        pod_name: plan.pods[pod].name.clone(),
        workloads: vec![pb::Workload {
            name: workload.name.clone(),
            kind: workload.kind.as_str().to_owned(),
        }],
        cluster_name: plan.cluster.clone(),
    }
}

fn service(plan: &Plan, place: Place) -> Option<pb::Service> {
    let Place::Pod(pod) = place else { return None };
    let workload = plan.pod_workload(pod);
    let named = |name: &str| pb::Service { name: name.to_owned(), namespace: workload.namespace.clone() };
    workload.service.map(|_| named(service_name(&workload.name)))
}

/// A Service is called as its workload, but the resolver's is called kube-dns everywhere.
pub fn service_name(workload: &str) -> &str {
    if workload == "coredns" { "kube-dns" } else { workload }
}

fn names(plan: &Plan, place: Place) -> Vec<String> {
    match place {
        Place::External { external, .. } if plan.dns_visibility => {
            plan.externals[external].host.iter().cloned().collect()
        }
        Place::External { .. } | Place::Pod(_) | Place::Node(_) => Vec::new(),
    }
}

fn pb_direction(direction: Direction) -> TrafficDirection {
    match direction {
        Direction::Egress => TrafficDirection::Egress,
        Direction::Ingress => TrafficDirection::Ingress,
    }
}

/// Another one for each event, the same one each time it is asked for.
fn uuid(seed: u64, node: usize, place: u64) -> String {
    let high = mix(seed ^ ((node as u64) << 48));
    let low = mix(high ^ place);
    let version = (low >> 16) & 0xfff;
    format!(
        "{:08x}-{:04x}-4{version:03x}-{:04x}-{:012x}",
        (high >> 32) as u32,
        (high >> 16) as u16,
        ((low >> 48) as u16 & 0x3fff) | 0x8000,
        mix(low) & 0xffff_ffff_ffff
    )
}

/// One step of SplitMix64: any number in, one that looks random out.
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A seed of its own for each name.
pub fn seed_of(seed: u64, name: &str) -> u64 {
    mix(seed ^ hash64(name))
}
