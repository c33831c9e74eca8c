//! Destinations of a direction, those of all workloads taken together by the other end and the port:
//! the pinned policies select every pod of the namespace. Adds up and words; decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::Evidence;
use crate::domain::{
    destination::{Category, Destination},
    edge::{DnsName, Edge, EdgeKey, Grade, Peer},
    flow::{Direction, Entity, Protocol},
    grant::PortSpan,
    names::{NsName, Text, Workload},
    range,
    sighting::Outcome,
    time::Timestamp,
};

/// The other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Far<'a> {
    Pods(&'a NsName, &'a Workload),
    Entity(Entity),
    Name(&'a DnsName),
    Address(IpAddr),
    Unsaid(&'a Text),
}

/// One of them on one port.
#[derive(Clone, Debug)]
pub(super) struct Seen<'a> {
    pub far: Far<'a>,
    pub protocol: Protocol,
    pub port: u16,
    pub workloads: BTreeSet<&'a Workload>,
    pub flows: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// IPv4 in IPv6 as IPv4.
    pub addresses: BTreeSet<IpAddr>,
    /// Some hours brought an address that was not seen before.
    pub has_new: bool,
    /// The least sure of all workloads.
    pub grade: Grade,
    pub also: BTreeSet<&'a DnsName>,
    pub category: Category,
    /// Some attempt was not denied.
    pub passed: bool,
}

type Place<'a> = (&'a Workload, &'a DnsName, Protocol, u16);

pub(super) fn gather<'a>(evidence: &Evidence<'a>, direction: Direction) -> Vec<Seen<'a>> {
    let by_name = addresses(evidence.edges, direction);
    let mut all: BTreeMap<(Far<'a>, Protocol, u16), Seen<'a>> = BTreeMap::new();
    for one in evidence.destinations.iter().filter(|one| one.direction == direction) {
        let far = far(one);
        let key = (far, one.protocol, one.port);
        let seen = all.entry(key).or_insert_with(|| Seen::new(far, one));
        seen.take(one);
        if let (Far::Name(name), true) = (far, one.outcome != Outcome::Denied) {
            let place = (&one.workload, name, one.protocol, one.port);
            seen.addresses.extend(by_name.get(&place).into_iter().flatten());
        }
    }
    all.into_values().collect()
}

/// All of each name: a destination shows the first of them only.
fn addresses(edges: &[(EdgeKey, Edge)], direction: Direction) -> BTreeMap<Place<'_>, BTreeSet<IpAddr>> {
    let mut out: BTreeMap<Place<'_>, BTreeSet<IpAddr>> = BTreeMap::new();
    let passed = edges.iter().filter(|(key, _)| key.direction == direction && key.outcome != Outcome::Denied);
    for (key, _) in passed {
        if let (Some(name), Peer::Address(address)) = (&key.name, &key.peer) {
            let place = (&key.workload, name, key.protocol, key.port);
            out.entry(place).or_default().insert(range::fold(*address));
        }
    }
    out
}

fn far(one: &Destination) -> Far<'_> {
    match (&one.peer, &one.name) {
        (Peer::Pods { ns, workload }, _) => Far::Pods(ns, workload),
        (Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(Entity::World), Some(name)) => Far::Name(name),
        (Peer::Entity(entity), _) => Far::Entity(*entity),
        (Peer::Address(address), None) => Far::Address(range::fold(*address)),
        (Peer::Unsaid(class), None) => Far::Unsaid(class),
    }
}

impl<'a> Seen<'a> {
    fn new(far: Far<'a>, one: &'a Destination) -> Self {
        Self {
            far,
            protocol: one.protocol,
            port: one.port,
            workloads: BTreeSet::new(),
            flows: 0,
            first: one.seen.first,
            last: one.seen.last,
            addresses: BTreeSet::new(),
            has_new: false,
            grade: Grade::Fresh,
            also: BTreeSet::new(),
            category: one.meaning.category,
            passed: false,
        }
    }

    fn take(&mut self, one: &'a Destination) {
        let passes = one.outcome != Outcome::Denied;
        if passes && !self.passed {
            // What was denied is no evidence: only what passed counts from here on.
            *self = Self { passed: true, ..Self::new(self.far, one) };
        }
        if passes != self.passed {
            return;
        }
        self.workloads.insert(&one.workload);
        self.flows = self.flows.saturating_add(one.seen.flows);
        self.first = self.first.min(one.seen.first);
        self.last = self.last.max(one.seen.last);
        self.has_new |= one.seen.churn.new_share > 0.0;
        self.grade = self.grade.max(one.grade);
        self.category = self.category.min(one.meaning.category);
        self.also.extend(&one.also);
        if let Far::Address(address) = self.far {
            self.addresses.insert(address);
        }
    }

    /// Two addresses are a pair behind a balancer.
    pub(super) fn churns(&self) -> bool {
        self.addresses.len() > 2 && self.has_new
    }

    pub(super) fn span(&self) -> PortSpan {
        PortSpan { protocol: self.protocol, from: self.port, to: self.port }
    }

    pub(super) fn place(&self) -> String {
        let far = match self.far {
            Far::Pods(ns, workload) => format!("{ns}/{workload}"),
            Far::Entity(entity) => entity.as_str().to_owned(),
            Far::Name(name) => name.to_string(),
            Far::Address(address) => address.to_string(),
            Far::Unsaid(class) if class.is_empty() => "an address that the source does not tell".to_owned(),
            Far::Unsaid(class) => format!("addresses of the class {class}"),
        };
        format!("{far} {}/{}", self.protocol, self.port)
    }

    fn users(&self) -> String {
        const SHOWN: usize = 4;
        let shown: Vec<_> = self.workloads.iter().take(SHOWN).map(ToString::to_string).collect();
        match self.workloads.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }

    /// `api.example TCP/443, of cart`.
    pub(super) fn subject(&self) -> Text {
        Text::from(format!("{}, of {}", self.place(), self.users()))
    }

    /// The evidence in one line.
    pub(super) fn evidence(&self) -> String {
        let grade = match (self.far, self.grade) {
            (Far::Name(_), grade) => format!(" ({} name)", grade.as_str()),
            (Far::Pods(..) | Far::Entity(_) | Far::Address(_) | Far::Unsaid(_), _) => String::new(),
        };
        let word = if self.flows == 1 { "flow" } else { "flows" };
        let clock = |at: Timestamp| at.format("%Y-%m-%d %H:%M").to_string();
        let (place, users) = (self.place(), self.users());
        let (flows, first, last) = (self.flows, clock(self.first), clock(self.last));
        format!("{place}{grade}: {flows} {word} of {users}, {first} to {last}")
    }

    pub(super) fn why(&self) -> Text {
        Text::from(self.evidence())
    }
}
