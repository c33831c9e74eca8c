//! What the two ends of a sighting are called in an edge: whose pods, which peer, which name. Borrows
//! from the record and the tables; makes owned keys only for edges that are new.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use super::{
    addresses::{AddressBook, Owner},
    answers::{Answers, Named},
    edge::{DnsName, Edge, EdgeKey, Grade, Peer, merge_names},
    flow::{Direction, Entity, Protocol},
    names::{NsName, Text, Workload, workload_of},
    sighting::{Outcome, Side, Sighting},
    time::Timestamp,
};

/// An [`EdgeKey`] as the record puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeRef<'a> {
    pub ns: &'a str,
    /// Kind and name.
    pub workload: (&'a str, &'a str),
    pub direction: Direction,
    pub peer: PeerRef<'a>,
    pub name: Option<&'a str>,
    pub protocol: Protocol,
    pub port: u16,
    pub outcome: Outcome,
}

/// Only of what tells most edges apart: a hash is made for every record, and equality looks at the
/// rest.
impl Hash for EdgeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ns.hash(state);
        self.workload.1.hash(state);
        match self.peer {
            PeerRef::Pods { ns, workload: (_, name) } => (ns, name).hash(state),
            PeerRef::Entity(entity) => entity.hash(state),
            PeerRef::Address(IpAddr::V4(address)) => state.write_u32(address.to_bits()),
            PeerRef::Address(IpAddr::V6(address)) => state.write_u128(address.to_bits()),
            PeerRef::Unsaid(class) => class.hash(state),
        }
        self.name.hash(state);
        state.write_u32(u32::from(self.port) << 1 | u32::from(self.direction == Direction::Egress));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRef<'a> {
    Pods { ns: &'a str, workload: (&'a str, &'a str) },
    Entity(Entity),
    Address(IpAddr),
    Unsaid(&'a str),
}

/// The end whose policy judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own<'a> {
    pub ns: &'a str,
    /// Empty where the source knows the workload only.
    pub pod: &'a str,
    pub workload: (&'a str, &'a str),
}

/// The name of a peer and how sure it is.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    pub name: Option<&'a str>,
    grade: Grade,
    /// From the answers, where they gave the name.
    named: Named<'a>,
    /// From the source, where it gave the name; one of them is the name itself.
    told: &'a [Option<&'a str>],
}

pub fn view(key: &EdgeKey) -> EdgeRef<'_> {
    EdgeRef {
        ns: key.ns.as_str(),
        workload: pair(&key.workload),
        direction: key.direction,
        peer: match &key.peer {
            Peer::Pods { ns, workload } => PeerRef::Pods { ns: ns.as_str(), workload: pair(workload) },
            Peer::Entity(entity) => PeerRef::Entity(*entity),
            Peer::Address(address) => PeerRef::Address(*address),
            Peer::Unsaid(class) => PeerRef::Unsaid(class.as_str()),
        },
        name: key.name.as_ref().map(DnsName::as_str),
        protocol: key.protocol,
        port: key.port,
        outcome: key.outcome,
    }
}

/// `None` where a namespace cannot be one.
pub fn key_of(edge: &EdgeRef<'_>) -> Option<EdgeKey> {
    Some(EdgeKey {
        ns: NsName::parse(edge.ns).ok()?,
        workload: Workload::new(edge.workload.0, edge.workload.1),
        direction: edge.direction,
        peer: match edge.peer {
            PeerRef::Pods { ns, workload: (kind, name) } => {
                Peer::Pods { ns: NsName::parse(ns).ok()?, workload: Workload::new(kind, name) }
            }
            PeerRef::Entity(entity) => Peer::Entity(entity),
            PeerRef::Address(address) => Peer::Address(address),
            PeerRef::Unsaid(class) => Peer::Unsaid(Text::new(class)),
        },
        name: edge.name.and_then(DnsName::parse),
        protocol: edge.protocol,
        port: edge.port,
        outcome: edge.outcome,
    })
}

/// The pods of this end: as the source says, else by their address. An end that the source has
/// another word for is none.
pub fn end_of<'a>(side: &Side<'a>, book: &'a AddressBook, at: Timestamp) -> Option<Own<'a>> {
    let workload = side.workload.filter(|(_, name)| !name.is_empty());
    match (side.ns, side.pod, workload) {
        (Some(ns), Some(pod), workload) => {
            Some(Own { ns, pod, workload: workload.unwrap_or_else(|| ("", workload_of(pod))) })
        }
        (Some(ns), None, Some(workload)) => Some(Own { ns, pod: "", workload }),
        (_, _, _) if side.entity.is_some() => None,
        (_, _, _) => match book.owner(side.address?, at) {
            Owner::Pod { ns, pod } => Some(Own { ns, pod, workload: ("", workload_of(pod)) }),
            Owner::Node | Owner::Nobody => None,
        },
    }
}

/// The other end: pods, else the data plane's word for it, else its address, else its class. `world`
/// is no word for a peer: its address says more.
pub fn peer_of<'a>(side: &Side<'a>, book: &'a AddressBook, at: Timestamp) -> PeerRef<'a> {
    if let Some(end) = end_of(side, book, at) {
        return PeerRef::Pods { ns: end.ns, workload: end.workload };
    }
    match (side.entity, side.address) {
        (Some(Entity::World) | None, Some(address)) => PeerRef::Address(address),
        (Some(Entity::World), None) => PeerRef::Unsaid(side.class.unwrap_or(Entity::World.as_str())),
        (None, None) => PeerRef::Unsaid(side.class.unwrap_or("")),
        (Some(entity), _) => PeerRef::Entity(entity),
    }
}

/// The name of an egress peer that is an address: its Service's (`name.namespace.svc`) where the
/// source knows it, for a Service's address means nothing else; then the pod's own DNS answers; then
/// the names that the source itself has for the address, which are answers that its data plane saw:
/// one is fresh, several are ambiguous.
pub fn name_of<'a>(
    sighting: &'a Sighting<'a>,
    direction: Direction,
    own: &Own<'_>,
    peer: &PeerRef<'_>,
    answers: &'a Answers,
    scratch: &'a mut String,
) -> Naming<'a> {
    let none = Naming { name: None, grade: Grade::None, named: Named::NONE, told: &[] };
    let (Direction::Egress, PeerRef::Address(address)) = (direction, peer) else { return none };
    if let Some((ns, service)) = sighting.destination.service {
        scratch.clear();
        scratch.extend([service, ".", ns, ".svc"]);
        let name = DnsName::check(scratch.as_str());
        return Naming { name, grade: name.map_or(Grade::None, |_| Grade::Fresh), ..none };
    }
    let named = answers.named(own.ns, own.pod, own.workload.1, *address, sighting.at);
    if let Some(name) = named.name {
        return Naming { name: Some(name.as_str()), grade: named.grade, named, told: &[] };
    }
    let told = || sighting.names.iter().flatten().filter_map(|name| DnsName::check(name));
    let Some(first) = told().min() else { return none };
    let grade = if told().all(|name| name == first) { Grade::Fresh } else { Grade::Ambiguous };
    Naming { name: Some(first), grade, named: Named::NONE, told: &sighting.names }
}

impl Naming<'_> {
    /// Counts these flows by their grade and notes names seen beside.
    pub fn add_to(&self, edge: &mut Edge, flows: u64) {
        match self.grade {
            Grade::Fresh => edge.fresh = edge.fresh.saturating_add(flows),
            Grade::Stale => edge.stale = edge.stale.saturating_add(flows),
            Grade::Ambiguous => edge.ambiguous = edge.ambiguous.saturating_add(flows),
            Grade::None => return,
        }
        self.named.also.iter().map_while(|name| *name).for_each(|name| note(&mut edge.also, name.as_str()));
        self.named.chain.iter().for_each(|name| note(&mut edge.chain, name.as_str()));
        let beside = self.told.iter().flatten().filter_map(|name| DnsName::check(name));
        beside.filter(|name| Some(*name) != self.name).for_each(|name| note(&mut edge.also, name));
        if let Some(ttl) = self.named.ttl_secs {
            edge.ttl_secs = Some(edge.ttl_secs.map_or(ttl, |low| low.min(ttl)));
        }
    }
}

/// Puts a name into the set, without a copy where it is in it or would fall off.
fn note(into: &mut Vec<DnsName>, name: &str) {
    let place = into.binary_search_by(|held| held.as_str().cmp(name));
    if place.is_err_and(|place| place < Edge::NAMES) {
        merge_names(into, DnsName::parse(name).as_slice());
    }
}

fn pair(workload: &Workload) -> (&str, &str) {
    (workload.kind.as_str(), workload.name.as_str())
}
