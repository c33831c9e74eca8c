//! Lines of Hubble's exporter and of the hubble CLI, wrapped (`{"flow":{…}}`) or bare, into what they
//! tell. Borrowed from the line; decides nothing about edges.
//!
//! What counts, and how often: every forwarded or redirected record is one (a policy verdict, a
//! trace, an L7 request), for an exporter may hold any part of them. So `flows` of a Hubble edge are
//! records, not connections. Of the two events of one denied packet one counts ([`super::twins`]).
//! Drops that no policy caused and events of sockets are only a sign of their node.

use std::cell::RefCell;

use compact_str::CompactString;

use crate::domain::{
    flow::{Direction, Entity, Protocol},
    sighting::{Answer, Client, Lost, Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{
    Malformed,
    hubble_wire::{Dns, Endpoint, Flow, Layer4, Line, LostEvents, NodeStatus, Ports},
    json::{self, Code, Num, Str},
    known::Known,
    twins::{Event, Packet, Twins},
    words,
};

/// `event_type.type`.
mod event {
    pub const DROP: u64 = 1;
    pub const TRACE: u64 = 4;
    pub const POLICY_VERDICT: u64 = 5;
    pub const ACCESS_LOG: u64 = 129;
}

/// Of a DNS answer without records (NXDOMAIN, empty).
const NO_TTL: u64 = u32::MAX as u64;

/// Reads the lines of one file or stream, in their order.
#[derive(Debug)]
pub struct Decoder {
    known: Known,
    memory: Memory,
    /// The last flow stood bare in its line.
    bare: bool,
}

#[derive(Debug)]
struct Memory {
    twins: Twins,
    node: Option<CompactString>,
}

/// Where and when, as the line around a record says it.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    node: Option<&'a str>,
    at: Option<Timestamp>,
}

impl Decoder {
    pub fn new(node: Option<CompactString>) -> Self {
        let memory = Memory { twins: Twins::default(), node };
        Self { known: Known::new(), memory, bare: false }
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let known = RefCell::new(std::mem::take(&mut self.known));
        let read = self.decode_with(&known, line, tell);
        self.known = known.into_inner();
        read
    }

    fn decode_with(
        &mut self,
        known: &RefCell<Known>,
        line: &[u8],
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), Malformed> {
        let Self { memory, bare, .. } = self;
        let known = Some(known);
        if *bare {
            let mut flow = Flow::default();
            json::fill(&mut flow, line, known)?;
            if !matches!(flow.verdict, Code::Absent) {
                return memory.flow(&flow, &Str::default(), &Str::default(), tell);
            }
        }
        let mut whole = Line::default();
        json::fill(&mut whole, line, known)?;
        if let Some(flow) = &whole.flow {
            *bare = false;
            return memory.flow(flow, &whole.node, &whole.time, tell);
        }
        let stamp = memory.stamp(&whole);
        if let Some(lost) = &whole.lost {
            return losses(lost, stamp, tell);
        }
        if let Some(status) = &whole.status {
            return statuses(status, stamp.at, tell);
        }
        if whole.event.is_some() {
            tell(Told::Other { node: stamp.node, at: stamp.at });
            return Ok(());
        }
        let flow: Flow<'_> = json::line(line)?;
        if matches!(flow.verdict, Code::Absent) {
            return Err(Malformed::Content);
        }
        *bare = true;
        memory.flow(&flow, &Str::default(), &Str::default(), tell)
    }
}

impl Memory {
    fn stamp<'a>(&'a self, line: &'a Line<'_>) -> Stamp<'a> {
        let node = words::node(line.node.as_str()).or(self.node.as_deref());
        Stamp { node, at: words::rfc3339(line.time.as_str()) }
    }

    fn flow(
        &mut self,
        flow: &Flow<'_>,
        outer_node: &Str<'_>,
        outer_time: &Str<'_>,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), Malformed> {
        let node = words::node(flow.node.as_str()).or_else(|| words::node(outer_node.as_str()));
        let node = node.or(self.node.as_deref());
        let at = words::rfc3339(flow.time.as_str()).or_else(|| words::rfc3339(outer_time.as_str()));
        let (Some(what), Some(at)) = (what(flow), at) else {
            if what(flow).is_some() {
                return Err(Malformed::Time);
            }
            tell(Told::Other { node, at });
            return Ok(());
        };
        let outcome = match what {
            What::Outcome(outcome) => outcome,
            What::Answer(dns) => return answer(flow, dns, Stamp { node, at: Some(at) }, tell),
        };
        let sighting = sighting(flow, outcome, node, at)?;
        if outcome == Outcome::Denied
            && let Some(event) = twin_event(flow)
            && self.twins.is_second(&packet(&sighting), event, at)
        {
            tell(Told::Other { node, at: Some(at) });
        } else {
            tell(Told::Flow(sighting));
        }
        Ok(())
    }
}

enum What<'a> {
    Outcome(Outcome),
    Answer(&'a Dns<'a>),
}

/// `None`: says nothing about a connection.
fn what<'a>(flow: &'a Flow<'_>) -> Option<What<'a>> {
    let event = flow.event.kind.0;
    let seen = verdict(&flow.verdict)?;
    if let Some(l7) = &flow.l7
        && let Some(dns) = &l7.dns
        && is(&l7.kind, 2, "RESPONSE")
    {
        return (seen == Seen::Passed).then_some(What::Answer(dns));
    }
    let outcome = match (event, seen) {
        (None | Some(event::TRACE | event::POLICY_VERDICT | event::ACCESS_LOG), Seen::Passed) => {
            Outcome::Allowed
        }
        (Some(event::ACCESS_LOG), Seen::Dropped) => Outcome::Denied,
        (None | Some(event::DROP | event::POLICY_VERDICT), Seen::Dropped) if by_policy(flow) => {
            Outcome::Denied
        }
        (None | Some(event::POLICY_VERDICT), Seen::Audit) => Outcome::Audit,
        _ => return None,
    };
    Some(What::Outcome(outcome))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Passed,
    Dropped,
    Audit,
}

/// `None` for what is no verdict on a connection: errors, socket events (TRACED, TRANSLATED), and
/// words newer than this reader.
fn verdict(code: &Code<'_>) -> Option<Seen> {
    match code {
        Code::Number(1 | 5) => Some(Seen::Passed),
        Code::Number(2) => Some(Seen::Dropped),
        Code::Number(4) => Some(Seen::Audit),
        Code::Name(name) => match name.as_str() {
            "FORWARDED" | "REDIRECTED" => Some(Seen::Passed),
            "DROPPED" => Some(Seen::Dropped),
            "AUDIT" => Some(Seen::Audit),
            _ => None,
        },
        Code::Number(_) | Code::Absent => None,
    }
}

/// Only three drop reasons are a policy's outcome; a policy verdict without a reason is one too.
fn by_policy(flow: &Flow<'_>) -> bool {
    let said = match &flow.reason {
        Code::Name(name) => match name.as_str() {
            "POLICY_DENIED" | "POLICY_DENY" | "AUTH_REQUIRED" => return true,
            "DROP_REASON_UNKNOWN" | "" => 0,
            _ => return false,
        },
        Code::Number(number) => *number,
        Code::Absent => 0,
    };
    match (said, flow.event.kind.0) {
        (0, Some(event::DROP)) => matches!(flow.event.sub.0, Some(133 | 181 | 189)),
        (0, Some(event::POLICY_VERDICT)) => true,
        (number, _) => matches!(number, 133 | 181 | 189),
    }
}

fn twin_event(flow: &Flow<'_>) -> Option<Event> {
    match flow.event.kind.0 {
        Some(event::DROP) => Some(Event::Drop),
        Some(event::POLICY_VERDICT) => Some(Event::Verdict),
        _ => None,
    }
}

fn packet<'a>(sighting: &Sighting<'a>) -> Packet<'a> {
    Packet {
        node: sighting.node,
        source: sighting.source.address,
        destination: sighting.destination.address,
        ports: (sighting.source_port, sighting.port),
        protocol: sighting.protocol,
        direction: sighting.direction,
    }
}

fn sighting<'a>(
    flow: &'a Flow<'_>,
    outcome: Outcome,
    node: Option<&'a str>,
    at: Timestamp,
) -> Result<Sighting<'a>, Malformed> {
    let direction = direction(&flow.direction);
    let (protocol, ports) = layer4(&flow.l4);
    let port = |number: Num| u16::try_from(number.0.unwrap_or(0)).map_err(|_| Malformed::Port);
    let counted = match direction {
        Some(Direction::Egress) => flow.aggregate.egress.0,
        Some(Direction::Ingress) => flow.aggregate.ingress.0,
        None => None,
    };
    let mut names = [None; Sighting::NAMES];
    for (place, name) in names.iter_mut().zip(flow.names.as_slice()) {
        *place = Some(name.as_str().trim_end_matches('.')).filter(|name| !name.is_empty());
    }
    Ok(Sighting {
        at,
        until: at,
        node,
        direction,
        outcome,
        protocol,
        source: side(&flow.source.0, &flow.ip.0.source)?,
        destination: Side {
            service: pair(&flow.service.ns, &flow.service.name),
            ..side(&flow.destination.0, &flow.ip.0.destination)?
        },
        source_port: ports.map_or(Ok(0), |ports| port(ports.source))?,
        port: ports.map_or(Ok(0), |ports| port(ports.destination))?,
        reply: reply(flow, outcome, ports),
        flows: counted.unwrap_or(1).max(1),
        names,
    })
}

fn direction(code: &Code<'_>) -> Option<Direction> {
    if is(code, 1, "INGRESS") {
        Some(Direction::Ingress)
    } else if is(code, 2, "EGRESS") {
        Some(Direction::Egress)
    } else {
        None
    }
}

fn layer4<'a>(l4: &'a Layer4<'_>) -> (Protocol, Option<&'a Ports<'a>>) {
    match (&l4.tcp, &l4.udp, &l4.sctp, l4.icmp) {
        (Some(tcp), ..) => (Protocol::Tcp, Some(tcp)),
        (_, Some(udp), ..) => (Protocol::Udp, Some(udp)),
        (_, _, Some(sctp), _) => (Protocol::Sctp, Some(sctp)),
        (_, _, _, Some(_)) => (Protocol::Icmp, None),
        (None, None, None, None) => (Protocol::Unknown, None),
    }
}

/// Said by `is_reply`; by older agents only where it is true; else by how TCP opens a connection;
/// else by what is judged: policies judge what conntrack takes for the first packet of a connection,
/// and Hubble's own filter takes a drop of unknown kind for no reply. TCP in mid-stream stays unknown.
fn reply(flow: &Flow<'_>, outcome: Outcome, ports: Option<&Ports<'_>>) -> Option<bool> {
    if flow.reply.0.is_some() {
        return flow.reply.0;
    }
    if flow.legacy_reply.0 == Some(true) {
        return Some(true);
    }
    if let Some(l7) = &flow.l7 {
        return is(&l7.kind, 1, "REQUEST").then_some(false).or(is(&l7.kind, 2, "RESPONSE").then_some(true));
    }
    if let Some(flags) = ports.and_then(|ports| ports.flags.as_ref()) {
        let (syn, ack) = (flags.syn.0 == Some(true), flags.ack.0 == Some(true));
        return syn.then_some(ack);
    }
    let judged = flow.event.kind.0 == Some(event::POLICY_VERDICT) || outcome != Outcome::Allowed;
    judged.then_some(false)
}

fn side<'a>(end: &'a Endpoint<'_>, address: &Str<'_>) -> Result<Side<'a>, Malformed> {
    let address = words::address(address.as_str())?;
    let entity = entity(end.identity.0).or(end.reserved.0);
    let owner = end.workloads.as_slice().first();
    Ok(Side {
        address,
        ns: end.ns.said(),
        pod: end.pod.said(),
        workload: owner.and_then(|owner| Some((owner.kind.as_str(), owner.name.said()?))),
        service: None,
        // "World" says no more than an address that belongs to nobody here.
        entity: entity.filter(|entity| *entity != Entity::World || address.is_none()),
        class: None,
    })
}

/// Reserved identities. `init` (5) is a pod that has no labels yet: it has no word of its own.
fn entity(identity: Option<u64>) -> Option<Entity> {
    match identity? {
        1 => Some(Entity::Host),
        2 | 9 | 10 => Some(Entity::World),
        3 => Some(Entity::Unmanaged),
        4 => Some(Entity::Health),
        6 => Some(Entity::RemoteNode),
        7 => Some(Entity::KubeApiserver),
        8 => Some(Entity::Ingress),
        _ => None,
    }
}

fn pair<'a>(ns: &'a Str<'_>, name: &'a Str<'_>) -> Option<(&'a str, &'a str)> {
    Some((ns.as_str(), name.said()?))
}

fn is(code: &Code<'_>, number: u64, name: &str) -> bool {
    match code {
        Code::Absent => false,
        Code::Number(said) => *said == number,
        Code::Name(said) => said.as_str() == name,
    }
}

/// The client of a response is the packet's destination.
fn answer(
    flow: &Flow<'_>,
    dns: &Dns<'_>,
    stamp: Stamp<'_>,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let client = match (flow.destination.0.ns.said(), flow.destination.0.pod.said()) {
        (Some(ns), Some(pod)) => Some(Client::Pod { ns, pod }),
        _ => words::address(flow.ip.0.destination.as_str())?.map(Client::Address),
    };
    let mut addresses = [std::net::IpAddr::from([0, 0, 0, 0]); 64];
    let mut found = 0;
    for raw in dns.ips.as_slice() {
        if let Some(address) = words::address(raw.as_str())? {
            addresses[found] = address;
            found += 1;
        }
    }
    let ttl = dns.ttl.0.unwrap_or(0);
    let (Some(client), Some(query), Some(at)) = (client, dns.query.said(), stamp.at) else {
        tell(Told::Other { node: stamp.node, at: stamp.at });
        return Ok(());
    };
    if found == 0 || ttl >= NO_TTL {
        tell(Told::Other { node: stamp.node, at: stamp.at });
        return Ok(());
    }
    let mut cnames = [""; 16];
    for (place, name) in cnames.iter_mut().zip(dns.cnames.as_slice()) {
        *place = name.as_str().trim_end_matches('.');
    }
    let query = words::lower(query.trim_end_matches('.'));
    tell(Told::Answer(Answer {
        at,
        client,
        query: &query,
        cnames: &cnames[..dns.cnames.as_slice().len()],
        addresses: &addresses[..found],
        ttl_secs: u32::try_from(ttl).unwrap_or(u32::MAX),
    }));
    Ok(())
}

fn losses(lost: &LostEvents<'_>, stamp: Stamp<'_>, tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
    let (first, last) = (words::rfc3339(lost.first.as_str()), words::rfc3339(lost.last.as_str()));
    let until = last.or(stamp.at).or(first).ok_or(Malformed::Time)?;
    let why = if is(&lost.source, 1, "PERF_EVENT_RING_BUFFER") {
        "lost between the kernel and the agent"
    } else if is(&lost.source, 2, "OBSERVER_EVENTS_QUEUE") {
        "lost in the agent's queue"
    } else if is(&lost.source, 3, "HUBBLE_RING_BUFFER") {
        "the reader was slower than the node's ring buffer"
    } else {
        "the agent does not say where"
    };
    let from = first.unwrap_or(until).min(until);
    tell(Told::Lost(Lost { node: stamp.node, from, until, count: lost.count.0, why }));
    Ok(())
}

/// The node of the line is the relay's own. A connection is no sign of life; a broken one is a gap
/// whose other end the line does not know.
fn statuses(
    status: &NodeStatus<'_>,
    at: Option<Timestamp>,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let why = if is(&status.state, 2, "NODE_UNAVAILABLE") {
        "the relay cannot reach the node"
    } else if is(&status.state, 3, "NODE_GONE") {
        "the node has left the relay"
    } else if is(&status.state, 4, "NODE_ERROR") {
        "the relay's stream from the node broke"
    } else {
        tell(Told::Other { node: None, at });
        return Ok(());
    };
    let at = at.ok_or(Malformed::Time)?;
    for node in status.nodes.as_slice().iter().filter_map(|node| words::node(node.as_str())) {
        tell(Told::Lost(Lost { node: Some(node), from: at, until: at, count: None, why }));
    }
    Ok(())
}
