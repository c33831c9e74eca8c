//! Pods that print a file of their node to their own log, one a node: Antrea's `np.log`, Calico Enterprise's
//! `flows.log`, or the kernel's log with what Calico's `Log` rules leave in it; and Cilium's agents, whose Hubble
//! exports to their own logs. The lines are made of what the node's agent saw, by hand after the documented
//! forms. A rotation forgets; a kubelet that is gone breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};

use crate::{
    pb::flow::{self as pb, Flow, TrafficDirection, Verdict, layer4},
    sim::{
        api::podlog::{Log, Logs, Page, PodContainer},
        fleet::{
            event::What,
            faults::Fault,
            flows::{self, EVENT_VERDICT},
            plan::{Plan, hash64},
            relay::Relay,
            scenario::Records,
            system,
        },
    },
};

/// The printers of one cluster. Clones are the same.
#[derive(Clone)]
pub struct Printer(Arc<Inner>);

struct Inner {
    prints: Records,
    relay: Relay,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nodes whose kubelets are gone.
    away: BTreeSet<String>,
    /// Number of the first event that the log of a node still holds.
    rotated: BTreeMap<String, u64>,
}

impl Printer {
    pub fn new(prints: Records, relay: Relay) -> Self {
        Self(Arc::new(Inner { prints, relay, state: Mutex::default() }))
    }

    pub fn feel(&self, faults: &[Fault]) {
        let away = faults.iter().filter_map(|fault| match fault {
            Fault::LogAway { node } => Some(node.clone()),
            _ => None,
        });
        self.lock().away = away.collect();
    }

    /// What the log of this node held is gone.
    pub fn rotate(&self, node: &str) {
        let agents = self.0.relay.agents();
        let Some(index) = agents.plan().nodes.iter().position(|it| it.name == node) else { return };
        let end = agents.ring(index).end();
        drop(agents);
        self.lock().rotated.insert(node.to_owned(), end);
    }

    /// For the API server.
    pub fn logs(&self) -> Logs {
        let printer = self.clone();
        Arc::new(move |asked: &PodContainer| printer.log(asked))
    }

    fn log(&self, asked: &PodContainer) -> Option<Log> {
        let plan = self.0.relay.agents().plan().clone();
        let workload = match self.0.prints {
            Records::HubbleStdout => plan.workload("kube-system", "cilium")?,
            Records::AntreaLog | Records::KernelLog | Records::CalicoJson => {
                plan.workload(system::PRINTER_NAMESPACE, system::PRINTER)?
            }
            Records::FlowStream => return None,
        };
        let pods = &plan.workloads[workload].pods;
        let pod = pods.iter().find(|pod| plan.pods[**pod].name == asked.pod)?;
        let node = plan.pods[*pod].node;
        let printer = self.clone();
        Some(Arc::new(move |from| printer.page(&plan, node, from)))
    }

    fn page(&self, plan: &Plan, node: usize, from: u64) -> Page {
        let name = &plan.nodes[node].name;
        let (broken, rotated) = {
            let state = self.lock();
            (state.away.contains(name), state.rotated.get(name).copied().unwrap_or(0))
        };
        let agents = self.0.relay.agents();
        let ring = agents.ring(node);
        let first = from.max(rotated).max(ring.first());
        let printed = (first..ring.end()).filter_map(|number| {
            let event = ring.get(number).filter(|event| !matches!(event.what, What::Lost { .. }))?;
            let flow = flows::spell_out(plan, node, number, event);
            let line = self.line(&flow, event.at)?;
            Some((DateTime::from_timestamp_nanos(event.at), line))
        });
        Page { lines: printed.collect(), next: ring.end(), broken }
    }

    fn line(&self, flow: &Flow, at: i64) -> Option<String> {
        if flow.event_type?.r#type != EVENT_VERDICT {
            return None;
        }
        match self.0.prints {
            Records::HubbleStdout => hubble(flow, DateTime::from_timestamp_nanos(at)),
            Records::AntreaLog => np_log(flow, DateTime::from_timestamp_nanos(at)),
            Records::KernelLog => kernel(flow, at),
            Records::CalicoJson => flows_log(flow, at),
            Records::FlowStream => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn is_egress(flow: &Flow) -> bool {
    flow.traffic_direction == i32::from(TrafficDirection::Egress)
}

/// Protocol and ports; ICMP has none.
pub fn layer4(flow: &Flow) -> (&'static str, u32, u32) {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(layer4::Protocol::Tcp(tcp)) => ("TCP", tcp.source_port, tcp.destination_port),
        Some(layer4::Protocol::Udp(udp)) => ("UDP", udp.source_port, udp.destination_port),
        Some(layer4::Protocol::Sctp(sctp)) => ("SCTP", sctp.source_port, sctp.destination_port),
        Some(layer4::Protocol::IcmPv4(_) | layer4::Protocol::IcmPv6(_)) | None => ("ICMP", 0, 0),
    }
}

/// 16 words; a default drop names no policy.
fn np_log(flow: &Flow, at: DateTime<Utc>) -> Option<String> {
    let (way, enforcing) = match is_egress(flow) {
        true => ("Egress", flow.source.as_ref()?),
        false => ("Ingress", flow.destination.as_ref()?),
    };
    let applied = format!("{}/{}", enforcing.namespace, enforcing.pod_name);
    let by: &[pb::Policy] = if is_egress(flow) { &flow.egress_allowed_by } else { &flow.ingress_allowed_by };
    let verdict = match (Verdict::try_from(flow.verdict).ok()?, by.first()) {
        (Verdict::Dropped, _) => format!("{way}DefaultRule K8sNetworkPolicy <nil> {way} Drop <nil>"),
        (Verdict::Forwarded, Some(by)) => {
            format!("{way}Rule K8sNetworkPolicy:{}/{} <nil> {way} Allow 190", by.namespace, by.name)
        }
        _ => return None,
    };
    let ip = flow.ip.as_ref()?;
    let (protocol, source_port, port) = layer4(flow);
    let number = |port: u32| match protocol {
        "TCP" | "UDP" => port.to_string(),
        _ => "<nil>".to_owned(),
    };
    let (source_port, port) = (number(source_port), number(port));
    Some(format!(
        "{} {verdict} {applied} {} {source_port} {} {port} {protocol} 60 <nil>",
        at.format("%Y/%m/%d %H:%M:%S%.6f"),
        ip.source,
        ip.destination
    ))
}

/// One verdict as a record of its own: the interval is the second in which it fell, and denied
/// connections are not merged. Policies are left out.
fn flows_log(flow: &Flow, at: i64) -> Option<String> {
    let action = match Verdict::try_from(flow.verdict).ok()? {
        Verdict::Dropped => "deny",
        Verdict::Forwarded => "allow",
        _ => return None,
    };
    let ip = flow.ip.as_ref()?;
    let end = |end: Option<&pb::Endpoint>, address: &str| match end.filter(|end| !end.pod_name.is_empty()) {
        Some(end) => {
            let made = end.pod_name.rsplit_once('-').map_or(end.pod_name.as_str(), |(made, _)| made);
            ("wep", end.pod_name.clone(), format!("{made}-*"), end.namespace.clone())
        }
        None => {
            let private = address.starts_with("10.") || address.starts_with("192.168.");
            ("net", "-".to_owned(), if private { "pvt" } else { "pub" }.to_owned(), "-".to_owned())
        }
    };
    let source = end(flow.source.as_ref(), &ip.source);
    let destination = end(flow.destination.as_ref(), &ip.destination);
    let (protocol, source_port, port) = layer4(flow);
    let start = at.div_euclid(1_000_000_000);
    let record = serde_json::json!({
        "start_time": start, "end_time": start + 1,
        "source_ip": ip.source, "source_name": source.1, "source_name_aggr": source.2,
        "source_namespace": source.3, "source_type": source.0, "source_port": source_port,
        "dest_ip": ip.destination, "dest_name": destination.1, "dest_name_aggr": destination.2,
        "dest_namespace": destination.3, "dest_type": destination.0, "dest_port": port,
        "dest_service_namespace": "-", "dest_service_name": "-", "dest_domains": null,
        "proto": protocol.to_ascii_lowercase(), "action": action,
        "reporter": if is_egress(flow) { "src" } else { "dst" }, "policies": null,
        "num_flows": 1, "num_flows_started": 1, "num_flows_completed": 1,
    });
    Some(record.to_string())
}

/// A line of Hubble's exporter, with the fields that make a flow.
fn hubble(flow: &Flow, at: DateTime<Utc>) -> Option<String> {
    let end = |end: Option<&pb::Endpoint>| {
        let end = end.filter(|end| !end.pod_name.is_empty());
        end.map_or(serde_json::json!({ "labels": ["reserved:world"] }), |end| {
            serde_json::json!({ "namespace": end.namespace, "pod_name": end.pod_name, "labels": end.labels })
        })
    };
    let ip = flow.ip.as_ref()?;
    let (protocol, source_port, port) = layer4(flow);
    let layer4 = match protocol {
        "TCP" | "UDP" | "SCTP" => {
            serde_json::json!({ (protocol): { "source_port": source_port, "destination_port": port } })
        }
        _ => serde_json::json!({ "ICMPv4": { "type": 8 } }),
    };
    let time = at.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
    let record = serde_json::json!({
        "flow": {
            "time": time, "uuid": flow.uuid, "verdict": Verdict::try_from(flow.verdict).ok()?.as_str_name(),
            "IP": { "source": ip.source, "destination": ip.destination, "ipVersion": "IPv4" }, "l4": layer4,
            "source": end(flow.source.as_ref()), "destination": end(flow.destination.as_ref()), "Type": "L3_L4",
            "node_name": flow.node_name, "event_type": { "type": EVENT_VERDICT },
            "traffic_direction": if is_egress(flow) { "EGRESS" } else { "INGRESS" },
        },
        "node_name": flow.node_name, "time": time,
    });
    Some(record.to_string())
}

/// What reached the `Log` rule at the end of the tier: everything that no policy allowed.
fn kernel(flow: &Flow, at: i64) -> Option<String> {
    if flow.verdict != i32::from(Verdict::Dropped) {
        return None;
    }
    let interface = |end: Option<&pb::Endpoint>| match end {
        Some(end) if !end.pod_name.is_empty() => {
            format!("cali{:011x}", hash64(&format!("{}.{}", end.namespace, end.pod_name)) >> 20)
        }
        Some(_) | None => "eth0".to_owned(),
    };
    // The other pod is taken to be on another node: its packets go through the host's interface.
    let (from, to) = match is_egress(flow) {
        true => (interface(flow.source.as_ref()), "eth0".to_owned()),
        false => ("eth0".to_owned(), interface(flow.destination.as_ref())),
    };
    let ip = flow.ip.as_ref()?;
    let (protocol, source_port, port) = layer4(flow);
    let tail = match protocol {
        "TCP" => format!("SPT={source_port} DPT={port} WINDOW=64240 RES=0x00 SYN URGP=0"),
        "UDP" | "SCTP" => format!("SPT={source_port} DPT={port} LEN=40"),
        _ => "TYPE=8 CODE=0 ID=1 SEQ=1".to_owned(),
    };
    let seconds = at.rem_euclid(100_000_000_000_000) as f64 / 1e9;
    Some(format!(
        "[{seconds:.6}] calico-packet: IN={from} OUT={to} MAC=ee:ee:ee:ee:ee:ee:5a:11:22:33:44:55:08:00 SRC={} DST={} LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=4711 DF PROTO={protocol} {tail}",
        ip.source, ip.destination
    ))
}
