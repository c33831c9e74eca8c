//! Lines of Hubble's exporter and of the hubble CLI, wrapped (`{"flow":{…}}`) or bare, into what they
//! tell. Borrowed from the line; decides nothing about edges. A line of a known shape is read by it
//! ([`super::shapes`]), any other member by member; [`super::meaning`] judges both. Of the two events
//! of one denied packet one counts ([`super::twins`]).

use std::{cell::RefCell, net::IpAddr};

use compact_str::CompactString;

use crate::domain::{
    flow::Entity,
    sighting::{Answer, Client, Lost, Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{
    Malformed,
    hubble_wire::{Dns, Flow, Line, LostEvents, NodeStatus},
    json::{self, Code, Num, Str},
    known::{Known, Meant},
    meaning::{Record, Traits, What, is, layer4},
    shapes::{Miss, Shapes, Values},
    twins::{Packet, Twins},
    words,
};

/// Of a DNS answer without records (NXDOMAIN, empty).
const NO_TTL: u64 = u32::MAX as u64;
/// Most addresses and names of a chain that are taken of one answer.
const ADDRESSES: usize = 64;
const CNAMES: usize = 16;

/// Reads the lines of one file or stream, in their order.
#[derive(Debug)]
pub struct Decoder {
    known: Known,
    shapes: Shapes,
    memory: Memory,
    /// The last flow stood bare in its line.
    bare: bool,
}

#[derive(Debug)]
struct Memory {
    twins: Twins,
    minute: words::Minute,
    node: Option<CompactString>,
}

/// Where and when, as the line around a record says it.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    node: Option<&'a str>,
    at: Option<Timestamp>,
}

/// What a DNS answer says, but for its lists.
struct Heard<'a> {
    stamp: Stamp<'a>,
    client: Option<Client<'a>>,
    query: Option<&'a str>,
    ttl: u64,
}

impl Decoder {
    pub fn new(node: Option<CompactString>) -> Self {
        let memory = Memory { twins: Twins::default(), minute: words::Minute::default(), node };
        Self { known: Known::new(), shapes: Shapes::default(), memory, bare: false }
    }

    /// What is known of shapes and ends stays: it changes nothing.
    pub fn starts_elsewhere(&mut self) {
        self.memory.twins.clear();
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let mut values = Values::default();
        let miss = match self.shapes.read(line, &self.known, &mut values) {
            Ok(traits) => match self.memory.shaped(traits, &values, tell) {
                Some(()) => return Ok(()),
                None => Miss::Value,
            },
            Err(miss) => miss,
        };
        let known = RefCell::new(std::mem::take(&mut self.known));
        let read = self.member_by_member(&known, line, tell);
        self.known = known.into_inner();
        if let (Ok(Some(traits)), Miss::Shape) = (&read, miss) {
            self.shapes.learn(line, *traits);
        }
        read.map(|_| ())
    }

    /// The traits of a flow that stands in its line as exporters write it.
    fn member_by_member(
        &mut self,
        known: &RefCell<Known>,
        line: &[u8],
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<Option<Traits>, Malformed> {
        let Self { memory, bare, .. } = self;
        let known = Some(known);
        if *bare {
            let mut flow = Flow::default();
            json::fill(&mut flow, line, known)?;
            if !matches!(flow.verdict, Code::Absent) {
                return memory.flow(&flow, &Str::default(), &Str::default(), tell).map(|_| None);
            }
        }
        let mut whole = Line::default();
        json::fill(&mut whole, line, known)?;
        if let Some(flow) = &whole.flow {
            *bare = false;
            return memory.flow(flow, &whole.node, &whole.time, tell).map(Some);
        }
        let stamp = memory.stamp(&whole);
        if let Some(lost) = &whole.lost {
            return losses(lost, stamp, tell).map(|()| None);
        }
        if let Some(status) = &whole.status {
            return statuses(status, stamp.at, tell).map(|()| None);
        }
        if whole.event.is_some() {
            tell(Told::Other { node: stamp.node, at: stamp.at });
            return Ok(None);
        }
        let flow: Flow<'_> = json::line(line)?;
        if matches!(flow.verdict, Code::Absent) {
            return Err(Malformed::Content);
        }
        *bare = true;
        memory.flow(&flow, &Str::default(), &Str::default(), tell).map(|_| None)
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
    ) -> Result<Traits, Malformed> {
        let traits = Traits::of(flow);
        let node = words::node(flow.node.as_str()).or_else(|| words::node(outer_node.as_str()));
        let node = node.or(self.node.as_deref());
        let at = words::rfc3339(flow.time.as_str()).or_else(|| words::rfc3339(outer_time.as_str()));
        let stamp = Stamp { node, at };
        match (traits.what, at) {
            (What::Nothing, at) => tell(Told::Other { node, at }),
            (What::Outcome(_) | What::Answer, None) => return Err(Malformed::Time),
            (What::Answer, Some(_)) => {
                let dns = flow.l7.as_ref().and_then(|l7| l7.dns.as_ref()).ok_or(Malformed::Content)?;
                answered(flow, dns, stamp, tell)?;
            }
            (What::Outcome(outcome), Some(at)) => {
                let sighting = traits.sighting(outcome, record(flow, node, at)?);
                count(&mut self.twins, &traits, sighting, tell);
            }
        }
        Ok(traits)
    }

    /// The same of a line that was read by its shape. `None`, and nothing told: a value of it is
    /// unusual.
    fn shaped(
        &mut self,
        traits: &Traits,
        values: &Values<'_>,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Option<()> {
        let Self { twins, minute, .. } = self;
        let text = |raw| std::str::from_utf8(raw).ok();
        let (node, at) = (Some(words::node(text(values.node)?)?), minute.rfc3339(values.time)?);
        match traits.what {
            What::Nothing => tell(Told::Other { node, at: Some(at) }),
            What::Answer => {
                let client = client(&values.ends[1], || words::address_of(values.addresses[1])).ok()?;
                let addresses = values.ips.texts().take(ADDRESSES).map(words::address_of);
                let addresses = some_of(addresses).ok()?;
                let cnames: Option<Vec<_>> = values.cnames.texts().take(CNAMES).map(text).collect();
                let stamp = Stamp { node, at: Some(at) };
                let query = text(values.query).filter(|query| !query.is_empty());
                answer(&Heard { stamp, client, query, ttl: values.ttl }, &addresses, cnames?, tell);
            }
            What::Outcome(outcome) => {
                let mut names = [None; Sighting::NAMES];
                for (place, raw) in names.iter_mut().zip(values.names.texts()) {
                    *place = named(text(raw)?);
                }
                let [ns, service] = values.service;
                let service = if service.is_empty() { None } else { Some((text(ns)?, text(service)?)) };
                let side =
                    |at: usize| Some(side(&values.ends[at], words::address_of(values.addresses[at]).ok()?));
                let record = Record {
                    at,
                    node,
                    source: side(0)?,
                    destination: Side { service, ..side(1)? },
                    source_port: values.ports[0],
                    port: values.ports[1],
                    names,
                };
                count(twins, traits, traits.sighting(outcome, record), tell);
            }
        }
        Some(())
    }
}

/// Tells a flow; of the second event of a denied packet no more than that its node is alive.
fn count(twins: &mut Twins, traits: &Traits, sighting: Sighting<'_>, tell: &mut impl FnMut(Told<'_>)) {
    if sighting.outcome == Outcome::Denied
        && let Some(event) = traits.event
        && twins.is_second(&packet(&sighting), event, sighting.at)
    {
        tell(Told::Other { node: sighting.node, at: Some(sighting.at) });
    } else {
        tell(Told::Flow(sighting));
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

fn record<'a>(flow: &'a Flow<'_>, node: Option<&'a str>, at: Timestamp) -> Result<Record<'a>, Malformed> {
    let (_, ports) = layer4(&flow.l4);
    let port = |number: Num| u16::try_from(number.0.unwrap_or(0)).map_err(|_| Malformed::Port);
    let mut names = [None; Sighting::NAMES];
    for (place, name) in names.iter_mut().zip(flow.names.as_slice()) {
        *place = named(name.as_str());
    }
    let addresses = &flow.ip.0;
    Ok(Record {
        at,
        node,
        source: side(&flow.source.0.meant(), words::address(addresses.source.as_str())?),
        destination: Side {
            service: flow.service.name.said().map(|name| (flow.service.ns.as_str(), name)),
            ..side(&flow.destination.0.meant(), words::address(addresses.destination.as_str())?)
        },
        source_port: ports.map_or(Ok(0), |ports| port(ports.source))?,
        port: ports.map_or(Ok(0), |ports| port(ports.destination))?,
        names,
    })
}

fn side<'a>(end: &Meant<'a>, address: Option<IpAddr>) -> Side<'a> {
    Side {
        address,
        ns: end.ns,
        pod: end.pod,
        workload: end.workload,
        service: None,
        // "World" says no more than an address that belongs to nobody here.
        entity: end.entity.filter(|entity| *entity != Entity::World || address.is_none()),
        class: None,
    }
}

fn named(raw: &str) -> Option<&str> {
    Some(raw.trim_end_matches('.')).filter(|name| !name.is_empty())
}

fn answered(
    flow: &Flow<'_>,
    dns: &Dns<'_>,
    stamp: Stamp<'_>,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let to = flow.destination.0.meant();
    let client = client(&to, || words::address(flow.ip.0.destination.as_str()))?;
    let addresses = some_of(dns.ips.as_slice().iter().map(|raw| words::address(raw.as_str())))?;
    let cnames = dns.cnames.as_slice().iter().map(Str::as_str).collect();
    let ttl = dns.ttl.0.unwrap_or(0);
    answer(&Heard { stamp, client, query: dns.query.said(), ttl }, &addresses, cnames, tell);
    Ok(())
}

fn some_of(
    addresses: impl Iterator<Item = Result<Option<IpAddr>, Malformed>>,
) -> Result<Vec<IpAddr>, Malformed> {
    addresses.filter_map(Result::transpose).collect()
}

/// The client of a response is the packet's destination.
fn client<'a>(
    to: &Meant<'a>,
    address: impl FnOnce() -> Result<Option<IpAddr>, Malformed>,
) -> Result<Option<Client<'a>>, Malformed> {
    match (to.ns, to.pod) {
        (Some(ns), Some(pod)) => Ok(Some(Client::Pod { ns, pod })),
        _ => Ok(address()?.map(Client::Address)),
    }
}

fn answer(heard: &Heard<'_>, addresses: &[IpAddr], mut cnames: Vec<&str>, tell: &mut impl FnMut(Told<'_>)) {
    let Stamp { node, at } = heard.stamp;
    let (Some(client), Some(query), Some(at)) = (heard.client, heard.query, at) else {
        return tell(Told::Other { node, at });
    };
    if addresses.is_empty() || heard.ttl >= NO_TTL {
        return tell(Told::Other { node, at: Some(at) });
    }
    cnames.iter_mut().for_each(|name| *name = name.trim_end_matches('.'));
    let query = words::lower(query.trim_end_matches('.'));
    tell(Told::Answer(Answer {
        at,
        client,
        query: &query,
        cnames: &cnames,
        addresses,
        ttl_secs: u32::try_from(heard.ttl).unwrap_or(u32::MAX),
    }));
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
