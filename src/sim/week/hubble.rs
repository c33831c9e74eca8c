//! The week as Hubble's exporter writes it: a file of JSON lines for each node, DNS answers as L7
//! flows. Written by hand after the documented form, and the truth of these very lines beside it:
//! every forwarded record counts one, a question to the resolver's proxy too; of the two records of
//! a denied packet one counts.

use std::{net::IpAddr, ops::Range};

use fastrand::Rng;

use super::{
    event::{Connection, Event, Expect, Fate, Lookup, Place, Question, What},
    inventory::Inventory,
    script::Protocol,
    text::{self, Stamp, number, put, uuid},
    truth::{Hole, Note, Ref, Truth, Way},
};

/// When the proxy sees a question and its answer, nanoseconds after it was asked.
const ASKED: i64 = 90_000;
const ANSWERED: i64 = 1_300_000;

pub struct Hubble {
    /// The lines of each node since they were last taken.
    pub lines: Vec<Vec<u8>>,
    pub truth: Truth,
    /// Members of a pod's endpoint object, braces included.
    endpoints: Vec<String>,
    stamps: Vec<Stamp>,
    rng: Rng,
    /// DNS answers are shown.
    dns: bool,
}

/// One line about packets, before it is text.
struct Line<'a> {
    node: usize,
    at: i64,
    source: Place,
    destination: Place,
    v6: bool,
    protocol: Protocol,
    ports: (u16, u16),
    kind: Kind<'a>,
    way: Way,
}

enum Kind<'a> {
    Trace { reply: Option<bool> },
    Verdict,
    Drop,
    Dns { lookup: &'a Lookup, response: bool },
}

impl Hubble {
    pub fn new(inventory: &Inventory, window: Range<i64>, seed: u64, dns: bool) -> Self {
        Self {
            lines: vec![Vec::new(); inventory.nodes.len()],
            truth: Truth::new(window, true),
            endpoints: (0..inventory.pods.len()).map(|pod| endpoint(inventory, pod)).collect(),
            stamps: vec![Stamp::default(); inventory.nodes.len()],
            rng: Rng::with_seed(seed),
            dns,
        }
    }

    pub fn write(&mut self, inventory: &Inventory, event: &Event) {
        match &event.what {
            What::Connection(it) => self.connection(inventory, event.at, it),
            What::Lookup(it) => self.lookup(inventory, event.at, it),
            What::Lost { node, count } => self.lost(inventory, event.at, *node, *count),
        }
    }

    fn connection(&mut self, inventory: &Inventory, at: i64, it: &Connection) {
        let ends = (it.from, it.to, it.v6, it.protocol, (it.source_port, it.port));
        if let Some(node) = node_of(inventory, it.from) {
            self.report(inventory, node, at, Way::Egress, ends, it);
        }
        let arrives = it.fate != Fate::DeniedLeaving;
        if let (Place::Pod(pod), true) = (it.to, arrives) {
            let late = self.rng.i64(20_000..2_000_000);
            self.report(inventory, inventory.pods[pod].node, at + late, Way::Ingress, ends, it);
        }
    }

    /// What one node writes of one connection.
    fn report(
        &mut self,
        inventory: &Inventory,
        node: usize,
        at: i64,
        way: Way,
        (source, destination, v6, protocol, ports): (Place, Place, bool, Protocol, (u16, u16)),
        it: &Connection,
    ) {
        let line = |kind, at| Line { node, at, source, destination, v6, protocol, ports, kind, way };
        let denied =
            matches!((it.fate, way), (Fate::DeniedLeaving, _) | (Fate::DeniedArriving, Way::Ingress));
        if denied {
            let later = at + self.rng.i64(1_000..30_000);
            self.line(inventory, &line(Kind::Verdict, at));
            self.line(inventory, &line(Kind::Drop, later));
        } else {
            let reply = (it.fate != Fate::Unclear).then_some(false);
            self.line(inventory, &line(Kind::Trace { reply }, at));
        }
        if it.fate != Fate::Unclear {
            self.note(inventory, node, at, way, (source, destination), it, denied);
        }
        if it.replies && !denied {
            let back = Line {
                source: destination,
                destination: source,
                ports: (ports.1, ports.0),
                ..line(Kind::Trace { reply: Some(true) }, at + self.rng.i64(100_000..9_000_000))
            };
            self.line(inventory, &back);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a report's parts, each of its own type")]
    fn note(
        &mut self,
        inventory: &Inventory,
        node: usize,
        at: i64,
        way: Way,
        (source, destination): (Place, Place),
        it: &Connection,
        denied: bool,
    ) {
        let (own, peer) = match way {
            Way::Egress => (source, destination),
            Way::Ingress => (destination, source),
        };
        let at_node = &inventory.nodes[node];
        if at_node.silent.as_ref().is_some_and(|silent| silent.contains(&at)) {
            return;
        }
        let Place::Pod(pod) = own else { return };
        let at = at + at_node.skew;
        let named = way == Way::Egress && matches!(peer, Place::Outside(_));
        self.truth.note(&Note {
            workload: inventory.pods[pod].workload,
            direction: way,
            peer: seen_from(inventory, node, peer),
            protocol: it.protocol,
            port: it.port,
            denied,
            flows: 1,
            from: at,
            until: at,
            expect: if named { it.expect } else { Expect::default() },
        });
    }

    fn lookup(&mut self, inventory: &Inventory, at: i64, it: &Lookup) {
        let question = Connection {
            from: it.asker,
            to: Place::Pod(it.resolver),
            v6: false,
            source_port: it.source_port,
            port: 53,
            protocol: Protocol::Udp,
            fate: Fate::Passes,
            replies: false,
            expect: Expect::default(),
        };
        self.connection(inventory, at, &question);
        let (Place::Pod(pod), true) = (it.asker, self.dns) else { return };
        let (node, (ask, answer)) = (inventory.pods[pod].node, (it.asker, question.to));
        self.note(inventory, node, at + ASKED, Way::Egress, (ask, answer), &question, false);
        for response in [false, true] {
            let ends = if response { (answer, ask) } else { (ask, answer) };
            self.line(
                inventory,
                &Line {
                    node,
                    at: at + if response { ANSWERED + it.late } else { ASKED },
                    source: ends.0,
                    destination: ends.1,
                    v6: false,
                    protocol: Protocol::Udp,
                    ports: if response { (53, it.source_port) } else { (it.source_port, 53) },
                    kind: Kind::Dns { lookup: it, response },
                    way: Way::Egress,
                },
            );
        }
    }

    fn lost(&mut self, inventory: &Inventory, at: i64, node: usize, count: u64) {
        let it = &inventory.nodes[node];
        let out = &mut self.lines[node];
        put(out, "{\"lost_events\":{\"source\":\"HUBBLE_RING_BUFFER\",\"num_events_lost\":\"");
        number(out, count);
        put(out, "\"},\"node_name\":\"");
        node_name(out, inventory, node);
        put(out, "\",\"time\":\"");
        self.stamps[node].rfc3339(out, at + it.skew);
        put(out, "\"}\n");
        self.truth.sign(node, at + it.skew);
        let at = at + it.skew;
        self.truth.holes.push(Hole { node: it.name.clone(), from: at, to: at, lost: Some(count) });
    }

    fn line(&mut self, inventory: &Inventory, line: &Line<'_>) {
        let node = &inventory.nodes[line.node];
        if node.silent.as_ref().is_some_and(|silent| silent.contains(&line.at)) {
            return;
        }
        let at = line.at + node.skew;
        self.truth.sign(line.node, at);
        let (high, low) = (self.rng.u64(..), self.rng.u64(..));
        let mut out = std::mem::take(&mut self.lines[line.node]);
        put(&mut out, "{\"flow\":{\"time\":\"");
        self.stamps[line.node].rfc3339(&mut out, at);
        put(&mut out, "\",\"uuid\":\"");
        uuid(&mut out, high, low);
        let dropped = matches!(line.kind, Kind::Verdict | Kind::Drop);
        put(
            &mut out,
            if dropped {
                "\",\"verdict\":\"DROPPED\",\"drop_reason\":133"
            } else {
                "\",\"verdict\":\"FORWARDED\""
            },
        );
        self.ends(&mut out, inventory, line);
        put(
            &mut out,
            if matches!(line.kind, Kind::Dns { .. }) { ",\"Type\":\"L7\"" } else { ",\"Type\":\"L3_L4\"" },
        );
        put(&mut out, ",\"node_name\":\"");
        node_name(&mut out, inventory, line.node);
        put(&mut out, "\"");
        match &line.kind {
            Kind::Trace { reply } => trace(&mut out, *reply, line.way),
            Kind::Verdict => verdict(&mut out, "{\"type\":5}", line.way),
            Kind::Drop => verdict(&mut out, "{\"type\":1,\"sub_type\":133}", line.way),
            Kind::Dns { lookup, response } => dns(&mut out, inventory, lookup, *response, line.at),
        }
        put(&mut out, "},\"node_name\":\"");
        node_name(&mut out, inventory, line.node);
        put(&mut out, "\",\"time\":\"");
        self.stamps[line.node].rfc3339(&mut out, at);
        put(&mut out, "\"}\n");
        self.lines[line.node] = out;
    }

    /// Addresses, ports and the two endpoints.
    fn ends(&self, out: &mut Vec<u8>, inventory: &Inventory, line: &Line<'_>) {
        put(out, ",\"IP\":{\"source\":\"");
        let source = address(inventory, line.source, line.v6);
        put(out, &source.to_string());
        put(out, "\",\"destination\":\"");
        put(out, &address(inventory, line.destination, line.v6).to_string());
        put(
            out,
            if source.is_ipv6() {
                "\",\"ipVersion\":\"IPv6\"},\"l4\":{"
            } else {
                "\",\"ipVersion\":\"IPv4\"},\"l4\":{"
            },
        );
        let name = match line.protocol {
            Protocol::Tcp => "\"TCP\":{",
            Protocol::Udp => "\"UDP\":{",
            Protocol::Sctp => "\"SCTP\":{",
            Protocol::Icmp => {
                let reply = matches!(line.kind, Kind::Trace { reply: Some(true) });
                put(out, if reply { "\"ICMPv4\":{}}" } else { "\"ICMPv4\":{\"type\":8}}" });
                return self.endpoints(out, inventory, line);
            }
        };
        put(out, name);
        put(out, "\"source_port\":");
        number(out, line.ports.0.into());
        put(out, ",\"destination_port\":");
        number(out, line.ports.1.into());
        put(
            out,
            match (line.protocol, &line.kind) {
                (Protocol::Tcp, Kind::Trace { reply: Some(true) }) => {
                    ",\"flags\":{\"SYN\":true,\"ACK\":true}}}"
                }
                // Of a connection that was open before anybody looked.
                (Protocol::Tcp, Kind::Trace { reply: None }) => ",\"flags\":{\"ACK\":true}}}",
                (Protocol::Tcp, _) => ",\"flags\":{\"SYN\":true}}}",
                (Protocol::Udp | Protocol::Sctp | Protocol::Icmp, _) => "}}",
            },
        );
        self.endpoints(out, inventory, line);
    }

    fn endpoints(&self, out: &mut Vec<u8>, inventory: &Inventory, line: &Line<'_>) {
        for (name, place) in [(",\"source\":", line.source), (",\"destination\":", line.destination)] {
            put(out, name);
            match place {
                Place::Pod(pod) => put(out, &self.endpoints[pod]),
                Place::Outside(_) => put(out, "{\"identity\":2,\"labels\":[\"reserved:world\"]}"),
                Place::Node(_) => put(
                    out,
                    match seen_from(inventory, line.node, place) {
                        Ref::Entity("host") => "{\"identity\":1,\"labels\":[\"reserved:host\"]}",
                        Ref::Entity("kube-apiserver") => {
                            "{\"identity\":7,\"labels\":[\"reserved:kube-apiserver\",\"reserved:remote-node\"]}"
                        }
                        _ => "{\"identity\":6,\"labels\":[\"reserved:remote-node\"]}",
                    },
                ),
            }
        }
    }
}

fn trace(out: &mut Vec<u8>, reply: Option<bool>, way: Way) {
    put(
        out,
        match way {
            Way::Egress => {
                ",\"event_type\":{\"type\":4,\"sub_type\":3},\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_STACK\""
            }
            Way::Ingress => {
                ",\"event_type\":{\"type\":4},\"traffic_direction\":\"INGRESS\",\"trace_observation_point\":\"TO_ENDPOINT\""
            }
        },
    );
    put(
        out,
        match reply {
            Some(true) => ",\"trace_reason\":\"REPLY\",\"is_reply\":true,\"Summary\":\"TCP Flags: SYN, ACK\"",
            Some(false) => ",\"trace_reason\":\"NEW\",\"is_reply\":false,\"Summary\":\"TCP Flags: SYN\"",
            None => "",
        },
    );
}

fn verdict(out: &mut Vec<u8>, kind: &str, way: Way) {
    put(out, ",\"event_type\":");
    put(out, kind);
    put(
        out,
        match way {
            Way::Egress => ",\"traffic_direction\":\"EGRESS\",\"drop_reason_desc\":\"POLICY_DENIED\"",
            Way::Ingress => ",\"traffic_direction\":\"INGRESS\",\"drop_reason_desc\":\"POLICY_DENIED\"",
        },
    );
}

/// The L7 part of a question or its answer.
fn dns(out: &mut Vec<u8>, inventory: &Inventory, it: &Lookup, response: bool, at: i64) {
    let Place::Pod(asker) = it.asker else { return };
    let name = text::question(inventory, &inventory.workload_of(asker).ns, it.question);
    put(
        out,
        if response {
            ",\"l7\":{\"type\":\"RESPONSE\",\"latency_ns\":\"1210000\""
        } else {
            ",\"l7\":{\"type\":\"REQUEST\""
        },
    );
    put(out, ",\"dns\":{\"query\":\"");
    put(out, &name);
    put(out, ".\"");
    if response {
        answer(out, inventory, it, at);
    } else {
        put(out, ",\"observation_source\":\"proxy\"");
    }
    let v6 = matches!(it.question, Question::Site { v6: true, .. } | Question::Empty { .. });
    put(out, if v6 { ",\"qtypes\":[\"AAAA\"]" } else { ",\"qtypes\":[\"A\"]" });
    put(
        out,
        if response {
            "}},\"event_type\":{\"type\":129},\"traffic_direction\":\"EGRESS\",\"is_reply\":true"
        } else {
            "}},\"event_type\":{\"type\":129},\"traffic_direction\":\"EGRESS\",\"is_reply\":false"
        },
    );
}

fn answer(out: &mut Vec<u8>, inventory: &Inventory, it: &Lookup, at: i64) {
    let (addresses, ttl, chain) = answered(inventory, it.question, at - ANSWERED - it.late);
    if addresses.is_empty() {
        put(out, ",\"ttl\":4294967295,\"observation_source\":\"proxy\"");
        if matches!(it.question, Question::Miss { .. }) {
            put(out, ",\"rcode\":3");
        }
        return;
    }
    list(out, ",\"ips\":[", addresses.iter().map(ToString::to_string), "");
    put(out, ",\"ttl\":");
    number(out, ttl.into());
    if !chain.is_empty() {
        list(out, ",\"cnames\":[", chain.iter().cloned(), ".");
    }
    put(out, ",\"observation_source\":\"proxy\",\"rrtypes\":[\"A\"]");
}

fn list(out: &mut Vec<u8>, open: &str, items: impl Iterator<Item = String>, end: &str) {
    put(out, open);
    for (at, item) in items.enumerate() {
        put(out, if at == 0 { "\"" } else { ",\"" });
        put(out, &item);
        put(out, end);
        put(out, "\"");
    }
    put(out, "]");
}

/// What the resolver says: addresses, lifetime, the CNAME chain.
pub(super) fn answered(inventory: &Inventory, question: Question, at: i64) -> (Vec<IpAddr>, u32, &[String]) {
    match question {
        Question::Site { site, v6 } => {
            let it = &inventory.sites[site];
            let addresses = it.at(at).iter().copied().filter(|address| address.is_ipv6() == v6).collect();
            (addresses, it.ttl, &it.chain)
        }
        Question::Service { workload } => {
            let service = inventory.workloads[workload].service;
            (service.into_iter().map(IpAddr::V4).collect(), 30, &[])
        }
        Question::Miss { .. } | Question::Empty { .. } => (Vec::new(), 0, &[]),
    }
}

/// What an agent calls a place. World has an address and no other word.
fn seen_from(inventory: &Inventory, node: usize, place: Place) -> Ref {
    match place {
        Place::Pod(pod) => Ref::Workload(inventory.pods[pod].workload),
        Place::Outside(address) => Ref::Address(address),
        Place::Node(other) if other == node => Ref::Entity("host"),
        Place::Node(0) => Ref::Entity("kube-apiserver"),
        Place::Node(_) => Ref::Entity("remote-node"),
    }
}

pub(super) fn address(inventory: &Inventory, place: Place, v6: bool) -> IpAddr {
    match place {
        Place::Pod(pod) => inventory.address(pod, v6),
        Place::Node(node) => inventory.nodes[node].address.into(),
        Place::Outside(address) => address,
    }
}

/// On which node a place is, if it is in the cluster.
pub(super) fn node_of(inventory: &Inventory, place: Place) -> Option<usize> {
    match place {
        Place::Pod(pod) => Some(inventory.pods[pod].node),
        Place::Node(node) => Some(node),
        Place::Outside(_) => None,
    }
}

fn node_name(out: &mut Vec<u8>, inventory: &Inventory, node: usize) {
    put(out, &inventory.cluster);
    put(out, "/");
    put(out, &inventory.nodes[node].name);
}

fn endpoint(inventory: &Inventory, pod: usize) -> String {
    let (it, workload) = (&inventory.pods[pod], inventory.workload_of(pod));
    format!(
        "{{\"ID\":{},\"identity\":{},\"cluster_name\":\"{cluster}\",\"namespace\":\"{ns}\",\"labels\":[\"k8s:app={name}\",\
         \"k8s:io.cilium.k8s.policy.cluster={cluster}\",\"k8s:io.kubernetes.pod.namespace={ns}\"],\"pod_name\":\"{}\",\
         \"workloads\":[{{\"name\":\"{name}\",\"kind\":\"{}\"}}]}}",
        100 + pod,
        4_000 + it.workload,
        it.name,
        workload.kind.as_str(),
        cluster = inventory.cluster,
        ns = workload.ns,
        name = workload.name,
    )
}
