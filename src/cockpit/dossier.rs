//! One destination as people look at it: what it is called, who goes there, in which hours, where
//! else it was seen, what its owner should be asked. Reads destinations that were worked out
//! before; never asks a rule again.

use std::net::IpAddr;

use crate::domain::{
    destination::{Destination, Severity},
    discovery::Rules,
    edge::{DnsName, Hours, Peer, Window},
    flow::{Direction, Entity, Protocol},
    names::{ClusterName, NsName, Text, Workload},
    sighting::Outcome,
};

use super::{discoveries::Discoveries, world::World};

/// What makes a row of the list the same row after a refresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationKey {
    pub workload: Workload,
    pub direction: Direction,
    pub name: Option<DnsName>,
    /// Left out where the name stands for a changing set of addresses.
    pub peer: Option<Peer>,
    pub protocol: Protocol,
    pub port: u16,
    pub outcome: Outcome,
}

impl DestinationKey {
    pub fn of(destination: &Destination) -> Self {
        // As `assemble` takes edges together: by name, unless pods or nodes stand for themselves.
        let is_named = destination.name.is_some()
            && matches!(destination.peer, Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(Entity::World));
        Self {
            workload: destination.workload.clone(),
            direction: destination.direction,
            name: destination.name.clone(),
            peer: (!is_named).then(|| destination.peer.clone()),
            protocol: destination.protocol,
            port: destination.port,
            outcome: destination.outcome,
        }
    }

    /// Spares a clone where only one place is looked for.
    pub fn is(&self, destination: &Destination) -> bool {
        self.port == destination.port && *self == Self::of(destination)
    }
}

/// What is read first of a destination: its name, else what the data plane says.
pub fn label(destination: &Destination) -> String {
    match (&destination.name, &destination.peer) {
        (Some(name), _) => name.to_string(),
        (None, Peer::Pods { ns, workload }) => format!("{ns}/{workload}"),
        (None, Peer::Entity(entity)) => entity.as_str().to_owned(),
        (None, Peer::Address(address)) => address.to_string(),
        (None, Peer::Unsaid(class)) if class.is_empty() => "not said by the source".to_owned(),
        (None, Peer::Unsaid(class)) => format!("{class} (no address told)"),
    }
}

/// Addresses beside the one that the label stands for.
pub fn more(destination: &Destination) -> usize {
    destination.addresses_total.saturating_sub(1)
}

/// `443/TCP`, or the protocol alone where it has no ports.
pub fn port(destination: &Destination) -> String {
    match destination.protocol {
        Protocol::Icmp => "ICMP".to_owned(),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp | Protocol::Unknown => {
            format!("{}/{}", destination.port, destination.protocol)
        }
    }
}

/// What a part of the window shows of a destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heat {
    /// Nothing was seen there, and not all of it was watched.
    Unknown,
    Quiet,
    /// Hours with traffic, of all hours of the part.
    Busy {
        hours: usize,
        of: usize,
    },
}

/// The window in so many parts, oldest first.
pub fn heat(hours: &Hours, credited: &Hours, window: Window, parts: usize) -> Vec<Heat> {
    let all = window.hours();
    let (from, len) = (all.start, all.end - all.start);
    let parts = (parts as i64).clamp(1, len.max(1));
    let part = |nth: i64| {
        let range = from + len * nth / parts..from + len * (nth + 1) / parts;
        let of = (range.end - range.start) as usize;
        match hours.count_in(range.clone()) {
            0 if credited.count_in(range) < of => Heat::Unknown,
            0 => Heat::Quiet,
            hours => Heat::Busy { hours, of },
        }
    };
    (0..parts).map(part).collect()
}

/// Hours of the window with traffic, and hours of the window.
pub fn hours_in(destination: &Destination, window: Window) -> (usize, usize) {
    let all = window.hours();
    (destination.seen.hours.count_in(all.clone()), all.count())
}

/// The same party, whoever goes there.
pub fn is_same_party(a: &Destination, b: &Destination) -> bool {
    a.direction == b.direction
        && match (&a.name, &b.name) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a.peer == b.peer,
            (Some(_), None) | (None, Some(_)) => false,
        }
}

/// Another row with the same party.
#[derive(Clone, Debug)]
pub struct Elsewhere<'w> {
    pub cluster: &'w ClusterName,
    pub ns: &'w NsName,
    pub destination: &'w Destination,
}

/// Every row that goes to the same party, as far as edges are read; the place given comes first.
pub fn everywhere<'w>(
    discoveries: &'w Discoveries,
    (cluster, ns): (&ClusterName, &NsName),
    destination: &Destination,
) -> Vec<Elsewhere<'w>> {
    let rows = |opened: &'w super::discoveries::Opened| {
        let all = opened.answer.iter().flat_map(|answer| &answer.destinations);
        all.map(|destination| Elsewhere { cluster: &opened.cluster, ns: &opened.ns, destination })
    };
    let mut out: Vec<_> = discoveries
        .all_opened()
        .flat_map(rows)
        .filter(|row| is_same_party(row.destination, destination))
        .collect();
    out.sort_by_key(|row| ((row.cluster, row.ns) != (cluster, ns), row.cluster, row.ns));
    out
}

/// Namespaces of the fleet whose edges are not read here, so that nothing is known of them.
pub fn unread(world: &World) -> usize {
    let all: usize = world.clusters().map(|cluster| cluster.namespaces.len()).sum();
    let read = world.discoveries().all_opened().filter(|opened| opened.answer.is_some()).count();
    all.saturating_sub(read)
}

/// What is said of a suspect in one cell: how urgent, then the class.
pub fn suspect_words(destination: &Destination) -> Option<(Severity, &Text)> {
    destination.suspect().map(|finding| (finding.severity, &finding.class))
}

/// What is asked where the class has no question of its own.
pub const ANYWAY: &str = "what is it for, who answers for it, and since when?";

/// What its owner should be asked, by the class of the finding.
pub fn question(rules: Option<&Rules>, class: &str) -> String {
    let class = rules.and_then(|rules| rules.catalogue.class(class));
    match class.filter(|class| !class.ask.is_empty()) {
        Some(class) => format!("{}?", class.ask),
        None => ANYWAY.to_owned(),
    }
}

/// An address that no name stands for.
pub fn raw_address(destination: &Destination) -> Option<IpAddr> {
    match (&destination.name, &destination.peer) {
        (None, Peer::Address(address)) => Some(*address),
        (Some(_), _) | (None, Peer::Pods { .. } | Peer::Entity(_) | Peer::Unsaid(_)) => None,
    }
}
