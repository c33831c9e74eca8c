//! One GetFlowsResponse of Hubble into what edges are made from: a connection with its verdict, or a
//! DNS answer. Pure and total, like `decode`, whose words on nodes and losses it passes on.
//!
//! One connection shows as a verdict where a policy selects its end, and as traces at several points
//! of the data plane; [`Connections`] counts it once.

use std::{
    hash::{BuildHasher, Hash},
    net::IpAddr,
};

use foldhash::fast::FixedState;

use super::decode::{self, Flaws, Malformed, Node, Seen, event};
use crate::{
    domain::{
        flow::{Direction, Protocol},
        sighting::{Answer, Client, Outcome, Side, Sighting, Told},
        time::Timestamp,
    },
    flows::{baseline::owned::Heard, memory::Memory},
    pb::{
        flow::{self as pb, L7FlowType, Layer7, TrafficDirection, Verdict, layer7},
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    },
};

/// `trace_reason` of the first packet of a connection; 0 where the agent does not say.
const NEW: i32 = 1;
const UNSAID: i32 = 0;
/// What a record of a DNS answer may hold.
const ADDRESSES: usize = 256;
const CHAIN: usize = 16;

/// One thing to make edges from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    pub heard: Heard,
    /// What a repeat of it is known by.
    pub id: u64,
    pub at: Timestamp,
    pub node: Option<Node>,
    pub flaw: Option<Malformed>,
    /// The connection, and what kind of event told of it; `None`: it counts whatever else is told.
    pub connection: Option<(u64, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Verdict,
    Trace,
}

/// Never panics, never blocks.
pub fn sight(response: GetFlowsResponse) -> Result<Seen, Malformed> {
    match &response.response_types {
        Some(ResponseTypes::Flow(flow)) => of_flow(flow, &response),
        Some(ResponseTypes::NodeStatus(_) | ResponseTypes::LostEvents(_)) | None => decode::decode(response),
    }
}

fn of_flow(flow: &pb::Flow, response: &GetFlowsResponse) -> Result<Seen, Malformed> {
    let mut flaws = Flaws::default();
    let raw_node = if flow.node_name.is_empty() { &response.node_name } else { &flow.node_name };
    let node = decode::node_of(raw_node);
    if node.is_none() && !raw_node.is_empty() {
        flaws.note(Malformed::Node);
    }
    let at = decode::timestamp(flow.time).or(decode::timestamp(response.time));
    let Some(what) = what_of(flow)? else { return Ok(Seen::Unasked { node, at }) };
    let at = at.ok_or(Malformed::Time)?;
    let l4 = decode::layer4(flow, &mut flaws);
    let id = Memory::hash(&decode::id_of(flow, raw_node, at, &l4));
    let (heard, connection) = match what {
        What::Answer(dns) => match answer_of(flow, dns, at) {
            Some(heard) => (heard, None),
            None => return Ok(Seen::Unasked { node, at: Some(at) }),
        },
        What::Connection(outcome, kind) => {
            let sighting = sighting_of(flow, node.as_ref(), (at, outcome), &l4);
            let key = Key {
                node: raw_node,
                ends: (sighting.source.address, sighting.destination.address),
                ports: (l4.source_port, l4.port),
                protocol: l4.protocol,
                direction: sighting.direction,
            };
            let counted = matches!(outcome, Outcome::Allowed);
            (Heard::of(&Told::Flow(sighting)), counted.then(|| (key.hash(), kind)))
        }
    };
    Ok(Seen::Edge(Box::new(Sight { heard, id, at, node, flaw: flaws.0, connection })))
}

enum What<'a> {
    Connection(Outcome, Kind),
    Answer(&'a pb::Dns),
}

/// `None`: it says nothing of a connection or a name.
fn what_of(flow: &pb::Flow) -> Result<Option<What<'_>>, Malformed> {
    let kind = flow.event_type.ok_or(Malformed::EventType)?;
    let verdict = Verdict::try_from(flow.verdict).map_err(|_| Malformed::Verdict)?;
    let what = match (kind.r#type, verdict) {
        (event::POLICY_VERDICT, Verdict::Forwarded | Verdict::Redirected) => {
            What::Connection(Outcome::Allowed, Kind::Verdict)
        }
        (event::POLICY_VERDICT, Verdict::Audit) => What::Connection(Outcome::Audit, Kind::Verdict),
        (event::POLICY_VERDICT, Verdict::Dropped) if is_of_policy(flow) => {
            What::Connection(Outcome::Denied, Kind::Verdict)
        }
        (event::TRACE, Verdict::Forwarded) if is_new(flow) => What::Connection(Outcome::Allowed, Kind::Trace),
        (event::ACCESS_LOG, Verdict::Dropped) => What::Connection(Outcome::Denied, Kind::Verdict),
        (event::ACCESS_LOG, _) => return Ok(dns_of(flow).map(What::Answer)),
        _ => return Ok(None),
    };
    Ok(Some(what))
}

fn is_of_policy(flow: &pb::Flow) -> bool {
    let number = match flow.drop_reason_desc {
        0 => i32::try_from(flow.drop_reason).unwrap_or(0),
        number => number,
    };
    number == 0 || decode::policy_reason(number).is_some()
}

/// The first packet of a connection. An agent that does not say why it traced shows it by the flags,
/// where there are any.
fn is_new(flow: &pb::Flow) -> bool {
    let first = match flow.l4.and_then(|l4| l4.protocol) {
        Some(pb::layer4::Protocol::Tcp(tcp)) => tcp.flags.is_some_and(|flags| flags.syn && !flags.ack),
        Some(_) | None => true,
    };
    match flow.trace_reason {
        NEW => flow.is_reply != Some(true),
        UNSAID => flow.is_reply == Some(false) && first,
        _ => false,
    }
}

fn dns_of(flow: &pb::Flow) -> Option<&pb::Dns> {
    let Layer7 { r#type, record: Some(layer7::Record::Dns(dns)), .. } = flow.l7.as_ref()? else {
        return None;
    };
    (*r#type == L7FlowType::Response as i32 && !dns.ips.is_empty()).then_some(dns)
}

/// The answer's packet goes to the client.
fn answer_of(flow: &pb::Flow, dns: &pb::Dns, at: Timestamp) -> Option<Heard> {
    let query = dns.query.trim_end_matches('.').to_ascii_lowercase();
    let cnames: Vec<String> =
        dns.cnames.iter().take(CHAIN).map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
    let cnames: Vec<&str> = cnames.iter().map(String::as_str).collect();
    let addresses: Vec<IpAddr> = dns.ips.iter().take(ADDRESSES).filter_map(|ip| address_of(ip)).collect();
    let end = flow.destination.as_ref();
    let client = match end.filter(|end| !end.namespace.is_empty() && !end.pod_name.is_empty()) {
        Some(end) => Client::Pod { ns: &end.namespace, pod: &end.pod_name },
        None => Client::Address(address_of(&flow.ip.as_ref()?.destination)?),
    };
    let known = !addresses.is_empty() && !query.is_empty();
    let answer =
        Answer { at, client, query: &query, cnames: &cnames, addresses: &addresses, ttl_secs: dns.ttl };
    known.then(|| Heard::of(&Told::Answer(answer)))
}

fn sighting_of<'a>(
    flow: &'a pb::Flow,
    node: Option<&'a Node>,
    (at, outcome): (Timestamp, Outcome),
    l4: &decode::Layer4,
) -> Sighting<'a> {
    let ip = flow.ip.as_ref();
    let mut names = [None; Sighting::NAMES];
    for (name, raw) in names.iter_mut().zip(&flow.destination_names) {
        *name = Some(raw.trim_end_matches('.')).filter(|name| !name.is_empty());
    }
    Sighting {
        at,
        until: at,
        node: node.map(|node| node.name.as_str()),
        direction: match TrafficDirection::try_from(flow.traffic_direction) {
            Ok(TrafficDirection::Ingress) => Some(Direction::Ingress),
            Ok(TrafficDirection::Egress) => Some(Direction::Egress),
            Ok(TrafficDirection::Unknown) | Err(_) => None,
        },
        outcome,
        protocol: l4.protocol,
        source: side_of(flow.source.as_ref(), ip.map(|ip| &*ip.source), flow.source_service.as_ref()),
        destination: side_of(
            flow.destination.as_ref(),
            ip.map(|ip| &*ip.destination),
            flow.destination_service.as_ref(),
        ),
        source_port: l4.source_port,
        port: l4.port,
        reply: flow.is_reply,
        flows: 1,
        names,
    }
}

fn side_of<'a>(
    end: Option<&'a pb::Endpoint>,
    address: Option<&str>,
    service: Option<&'a pb::Service>,
) -> Side<'a> {
    let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    let service = service.filter(|service| !service.name.is_empty());
    Side {
        address: address.and_then(address_of),
        ns: end.and_then(|end| some(&end.namespace)),
        pod: end.and_then(|end| some(&end.pod_name)),
        workload: end
            .and_then(|end| end.workloads.first())
            .filter(|owner| !owner.name.is_empty())
            .map(|owner| (owner.kind.as_str(), owner.name.as_str())),
        service: service.map(|service| (service.namespace.as_str(), service.name.as_str())),
        entity: end.and_then(|end| decode::entity(end.identity)),
        class: None,
    }
}

/// IPv4 inside IPv6 is IPv4.
fn address_of(raw: &str) -> Option<IpAddr> {
    raw.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// What all events of one connection at one end have in common.
#[derive(Hash)]
struct Key<'a> {
    node: &'a str,
    ends: (Option<IpAddr>, Option<IpAddr>),
    ports: (u16, u16),
    protocol: Protocol,
    direction: Option<Direction>,
}

impl Key<'_> {
    fn hash(&self) -> u64 {
        FixedState::default().hash_one(self)
    }
}

/// Connections counted a moment ago, in fixed memory. Two that meet in one place are at worst
/// counted twice.
#[derive(Debug)]
pub struct Connections {
    places: Vec<Option<(u64, Kind, i64)>>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { places: vec![None; Self::PLACES] }
    }
}

impl Connections {
    const PLACES: usize = 1 << 15;
    /// Events of one connection's beginning are closer together, and its ports come again later.
    const APART_SECS: i64 = 10;

    /// This event was counted before; a later one of the same connection keeps its place.
    pub fn mark(&mut self, key: u64, kind: Kind, at: Timestamp) {
        let place = &mut self.places[key as usize % Self::PLACES];
        if place.is_none_or(|(old, _, when)| old != key || when < at.timestamp()) {
            *place = Some((key, kind, at.timestamp()));
        }
    }

    /// False: the connection was counted by another event.
    pub fn counts(&mut self, (key, kind): (u64, Kind), at: Timestamp) -> bool {
        let at = at.timestamp();
        let place = &mut self.places[key as usize % Self::PLACES];
        let near = place.filter(|(old, _, when)| *old == key && (at - when).abs() <= Self::APART_SECS);
        let counts = match (near, kind) {
            (None, _) => true,
            (Some(_), Kind::Trace) | (Some((_, Kind::Trace, _)), Kind::Verdict) => false,
            (Some((_, Kind::Verdict, _)), Kind::Verdict) => true,
        };
        if counts || kind == Kind::Verdict {
            *place = Some((key, kind, at));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `v` a verdict, `t` a trace, `.` six seconds: which of them count.
    #[test]
    fn a_connection_counts_once_whatever_tells_of_it() {
        for (events, expected) in [
            ("vt", "v"),
            ("vttt", "v"),
            ("tv", "t"),
            ("tvt", "t"),
            ("vtvt", "vv"),
            ("t..t", "tt"),
            ("t.t", "t"),
        ] {
            let mut connections = Connections::default();
            let mut at = 1_000_000;
            let mut out = String::new();
            for c in events.chars() {
                let kind = match c {
                    'v' => Kind::Verdict,
                    't' => Kind::Trace,
                    _ => {
                        at += 6;
                        continue;
                    }
                };
                let when = Timestamp::from_timestamp(at, 0).expect("in range");
                if connections.counts((7, kind), when) {
                    out.push(c);
                }
            }
            assert_eq!(out, expected, "{events}");
        }
    }
}
