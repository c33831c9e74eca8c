//! Edges -> destinations with their meaning: edges of one workload to one name or address are taken
//! together, cut to the window, given a category and findings, and sorted for review. Pure; the rules
//! come from `workspace`, the fleet's view from the edges of all clusters.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use foldhash::fast::FixedState;

use super::{
    behaviour::{self, Signs},
    category::{self, Categories},
    destination::{Churn, Destination, Finding, Meaning, Seen},
    edge::{DnsName, Edge, EdgeKey, Grades, Hours, Peer, Window, hour_start, merge_names},
    flow::{Direction, Entity, Protocol},
    lookup::spellings,
    names::{NsName, Workload},
    range::{self, Space},
    registrable::registrable,
    sighting::Outcome,
    suspect::{self, Catalogue},
    time::Timestamp,
};

pub use super::everywhere::Everywhere;

/// By what destinations are judged. Read once, shared by reference.
#[derive(Clone, Debug)]
pub struct Rules {
    pub categories: Categories,
    pub catalogue: Catalogue,
    /// Search domains that a name may carry by accident; the first is the cluster's own.
    pub search: Vec<DnsName>,
}

impl Default for Rules {
    /// No rule at all; the cluster's domain is `cluster.local`.
    fn default() -> Self {
        Self {
            categories: Categories::default(),
            catalogue: Catalogue::default(),
            search: DnsName::parse("cluster.local").into_iter().collect(),
        }
    }
}

/// Every destination of the edges' workloads within the window. Edges wholly outside are dropped;
/// of the others the hours are cut, while `flows` counts what the edge counted. The order is that of
/// review: findings by severity, then category and name; equal input gives equal output in any order.
pub fn assemble<'e>(
    edges: impl Iterator<Item = (&'e EdgeKey, &'e Edge)>,
    rules: &Rules,
    everywhere: &Everywhere,
    window: Window,
) -> Vec<Destination> {
    let mut gathered = Gathered::new(window);
    edges.for_each(|(key, edge)| gathered.take(key, edge, rules));
    let tunnels = gathered.tunnels();
    let starts = gathered.starts;
    let judge = Judge { rules, everywhere, window, starts: &starts, tunnels: &tunnels };
    let live = gathered.groups.into_iter().filter(|group| !group.hours.is_empty());
    let mut out: Vec<_> = live.map(|group| judge.destination(group)).collect();
    out.sort_by(|a, b| order(a).cmp(&order(b)));
    out
}

/// The order of review.
fn order(destination: &Destination) -> impl Ord + '_ {
    let urgency = Reverse(destination.suspect().map(|finding| finding.severity));
    let what = (&destination.name, &destination.peer, destination.port, destination.protocol);
    let who = (&destination.ns, &destination.workload, destination.direction, destination.outcome);
    (urgency, destination.meaning.category, what, who)
}

type Map<K, V> = HashMap<K, V, FixedState>;
type Owner<'e> = (&'e NsName, &'e Workload);

/// What makes edges one destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey<'e> {
    owner: Owner<'e>,
    direction: Direction,
    peer: Option<&'e Peer>,
    name: Option<&'e DnsName>,
    protocol: Protocol,
    port: u16,
    outcome: Outcome,
}

struct Group<'e> {
    key: GroupKey<'e>,
    /// The peer that stands for all: the smallest.
    peer: &'e Peer,
    names: Vec<(&'e DnsName, u64)>,
    also: Vec<DnsName>,
    chain: Vec<DnsName>,
    addresses: Vec<(IpAddr, Hours)>,
    grades: Grades,
    ttl_secs: Option<u32>,
    flows: u64,
    hours: Hours,
    /// Not cut: when it was seen first of all.
    since: Timestamp,
    first: Timestamp,
    last: Timestamp,
}

struct Gathered<'e> {
    window: Window,
    hours: std::ops::Range<i64>,
    at: Map<GroupKey<'e>, usize>,
    groups: Vec<Group<'e>>,
    /// When each workload was first seen on any edge.
    starts: Map<Owner<'e>, Timestamp>,
}

impl<'e> Gathered<'e> {
    fn new(window: Window) -> Self {
        let (at, groups, starts) = (Map::default(), Vec::new(), Map::default());
        Self { window, hours: window.hours(), at, groups, starts }
    }

    fn take(&mut self, key: &'e EdgeKey, edge: &'e Edge, rules: &Rules) {
        let owner = (&key.ns, &key.workload);
        let start = self.starts.entry(owner).or_insert(edge.first);
        *start = edge.first.min(*start);
        let group_key = group_key(key, rules);
        let at = *self.at.entry(group_key).or_insert_with(|| {
            self.groups.push(Group::new(group_key, key, edge));
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.since = group.since.min(edge.first);
        let hours = self.cut(edge);
        if !hours.is_empty() {
            self.groups[at].add(key, edge, hours, self.window);
        }
    }

    fn cut(&self, edge: &Edge) -> Hours {
        let inside = self.window.from <= edge.first && edge.last < self.window.to;
        if inside {
            edge.hours.clone()
        } else {
            edge.hours.iter().filter(|h| self.hours.contains(h)).collect()
        }
    }

    /// Parents under which one workload asked for many long labels, with how many.
    fn tunnels(&self) -> Map<(Owner<'e>, &'e str), u32> {
        let mut seen: Map<(Owner<'e>, &'e str), u32> = Map::default();
        let mut told: std::collections::HashSet<(Owner<'e>, &'e str), FixedState> = Default::default();
        for group in &self.groups {
            for (name, _) in &group.names {
                let name = name.as_str();
                let long = behaviour::is_long(name);
                if let Some(parent) = registrable(name).filter(|_| long)
                    && told.insert((group.key.owner, name))
                {
                    *seen.entry((group.key.owner, parent)).or_default() += 1;
                }
            }
        }
        seen
    }
}

/// Pods and nodes stand for themselves, and apart where an outside name led to them; addresses are
/// taken together by the name that was asked.
fn group_key<'e>(key: &'e EdgeKey, rules: &Rules) -> GroupKey<'e> {
    let own = |name: &&DnsName| !rules.is_own(name.as_str());
    let (peer, name) = match (&key.peer, &key.name) {
        (Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(Entity::World), Some(name)) => (None, Some(name)),
        (peer @ (Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(_) | Peer::Pods { .. }), name) => {
            (Some(peer), name.as_ref().filter(own))
        }
    };
    let EdgeKey { ns, workload, direction, protocol, port, outcome, .. } = key;
    let (direction, protocol, port, outcome) = (*direction, *protocol, *port, *outcome);
    GroupKey { owner: (ns, workload), direction, peer, name, protocol, port, outcome }
}

impl Rules {
    /// Is this a name of the cluster's own domain?
    pub fn is_own(&self, name: &str) -> bool {
        self.search.first().is_some_and(|domain| {
            name.strip_suffix(domain.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'))
        })
    }
}

impl<'e> Group<'e> {
    fn new(group: GroupKey<'e>, key: &'e EdgeKey, edge: &'e Edge) -> Self {
        Self {
            key: group,
            peer: &key.peer,
            names: Vec::new(),
            also: Vec::new(),
            chain: Vec::new(),
            addresses: Vec::new(),
            grades: Grades::default(),
            ttl_secs: None,
            flows: 0,
            hours: Hours::default(),
            since: edge.first,
            first: Timestamp::MAX_UTC,
            last: Timestamp::MIN_UTC,
        }
    }

    fn add(&mut self, key: &'e EdgeKey, edge: &'e Edge, hours: Hours, window: Window) {
        self.peer = if self.hours.is_empty() { &key.peer } else { self.peer.min(&key.peer) };
        self.flows = self.flows.saturating_add(edge.flows);
        let (low, high) = hours.bounds().unwrap_or_default();
        let start = hour_start(low).max(window.from);
        let end = hour_start(high.saturating_add(1)).min(window.to);
        self.first = self.first.min(edge.first.max(start));
        self.last = self.last.max(edge.last.min(end));
        if let Some(name) = &key.name {
            match self.names.iter_mut().find(|(other, _)| *other == name) {
                Some((_, flows)) => *flows = flows.saturating_add(edge.flows),
                None => self.names.push((name, edge.flows)),
            }
        }
        if !edge.also.is_empty() {
            merge_names(&mut self.also, &edge.also);
        }
        if !edge.chain.is_empty() {
            merge_names(&mut self.chain, &edge.chain);
        }
        self.grades.add(edge.grades());
        self.ttl_secs = [self.ttl_secs, edge.ttl_secs].into_iter().flatten().min();
        self.hours.union(&hours);
        if let Peer::Address(address) = key.peer {
            self.addresses.push((address, hours));
        }
    }

    /// The name with most flows, and the others.
    fn name(&mut self) -> Option<DnsName> {
        self.names.sort_by(|(a, b), (c, d)| (Reverse(b), a).cmp(&(Reverse(d), c)));
        let mut names = self.names.iter().map(|(name, _)| (*name).clone());
        let best = names.next();
        let others: Vec<_> = names.collect();
        if !others.is_empty() {
            merge_names(&mut self.also, &others);
        }
        self.also.retain(|name| Some(name) != best.as_ref());
        best
    }

    /// Addresses sorted, each once.
    fn settle(&mut self) {
        self.addresses.sort_by_key(|(address, _)| *address);
        self.addresses.dedup_by(|(later, hours), (address, into)| {
            let same = later == address;
            if same {
                into.union(hours);
            }
            same
        });
    }

    fn churn(&self) -> Churn {
        if self.addresses.len() <= 1 {
            return Churn { addresses_a_day: self.addresses.len() as u32, new_share: 0.0 };
        }
        let mut days: Map<i64, u32> = Map::default();
        let mut fresh = Hours::default();
        for (_, hours) in &self.addresses {
            fresh.insert(hours.bounds().map_or(0, |(first, _)| first));
            let mut last = None;
            for day in hours.iter().map(|hour| hour.div_euclid(24)) {
                if last.replace(day) != Some(day) {
                    *days.entry(day).or_default() += 1;
                }
            }
        }
        let later = (self.hours.len().saturating_sub(1)).max(1);
        let new_share = fresh.len().saturating_sub(1) as f32 / later as f32;
        Churn { addresses_a_day: days.values().copied().max().unwrap_or_default(), new_share }
    }
}

/// Gives groups their meaning.
struct Judge<'a, 'e> {
    rules: &'a Rules,
    everywhere: &'a Everywhere,
    window: Window,
    starts: &'a Map<Owner<'e>, Timestamp>,
    tunnels: &'a Map<(Owner<'e>, &'e str), u32>,
}

impl Judge<'_, '_> {
    fn destination(&self, mut group: Group<'_>) -> Destination {
        let name = group.name();
        group.settle();
        let churn = group.churn();
        let addresses: Vec<_> = group.addresses.iter().map(|(address, _)| *address).collect();
        let meaning = self.meaning(&group, name.as_ref(), &addresses, churn);
        let GroupKey { owner: (ns, workload), direction, protocol, port, outcome, .. } = group.key;
        let Group { flows, first, last, hours, .. } = group;
        Destination {
            ns: ns.clone(),
            workload: workload.clone(),
            direction,
            peer: group.peer.clone(),
            name,
            also: group.also,
            chain: group.chain,
            addresses_total: addresses.len(),
            addresses: addresses.into_iter().take(Destination::ADDRESSES).collect(),
            protocol,
            port,
            outcome,
            grade: group.grades.grade(),
            seen: Seen { flows, first, last, hours, churn },
            meaning,
        }
    }

    fn meaning(
        &self,
        group: &Group<'_>,
        name: Option<&DnsName>,
        addresses: &[IpAddr],
        churn: Churn,
    ) -> Meaning {
        let GroupKey { direction, protocol, port, .. } = group.key;
        let plain = name.map(DnsName::as_str);
        let decided = self.rules.categories.decide(&category::Question {
            peer: group.peer,
            name: plain,
            cluster_name: plain.is_some_and(|name| self.rules.is_own(name)),
            addresses,
            protocol,
            port,
        });
        let findings = match direction {
            Direction::Egress => self.findings(group, plain, addresses, churn, &decided),
            Direction::Ingress => Vec::new(),
        };
        Meaning { category: decided.category, category_by: decided.by, findings }
    }

    fn findings(
        &self,
        group: &Group<'_>,
        name: Option<&str>,
        addresses: &[IpAddr],
        churn: Churn,
        decided: &category::Decision,
    ) -> Vec<Finding> {
        let inside = is_inside(group.peer, addresses);
        let own_name = name.is_some_and(|name| self.rules.is_own(name));
        let search = if inside { &[][..] } else { &self.rules.search };
        let spelled: Vec<_> = name.map(|name| spellings(name, search)).unwrap_or_default();
        let also: Vec<_> = group.also.iter().flat_map(|name| spellings(name.as_str(), search)).collect();
        let also: Vec<_> = spelled.iter().skip(1).copied().chain(also).collect();
        let chain: Vec<_> = group.chain.iter().map(DnsName::as_str).collect();
        let asked = name;
        let name = spelled.first().copied();
        let (port, protocol) = (group.key.port, group.key.protocol);
        let question = suspect::Question { asked, name, also: &also, chain: &chain, addresses, port };
        let mut findings = self.rules.catalogue.findings(&question);
        let parent = name.filter(|_| !own_name).and_then(registrable);
        let long = parent.and_then(|parent| self.tunnels.get(&(group.key.owner, parent)));
        let signs = Signs {
            name,
            parent,
            fleet: behaviour::Fleet {
                users: parent.map_or(0, |parent| self.everywhere.users(parent)),
                workloads: self.everywhere.workloads(),
            },
            long_labels: long.copied().unwrap_or_default(),
            peer: group.peer,
            addresses,
            port,
            protocol,
            inside,
            category: decided.category,
            own: decided.own,
            churn,
            ttl_secs: group.ttl_secs,
            times: behaviour::Times {
                window: self.window,
                since: group.since,
                workload: self.starts.get(&group.key.owner).copied().unwrap_or(group.since),
            },
        };
        behaviour::findings(&signs, &self.rules.catalogue, &mut findings);
        suspect::sort(&mut findings);
        findings
    }
}

/// Is the other end surely within the cluster or a private range?
fn is_inside(peer: &Peer, addresses: &[IpAddr]) -> bool {
    match peer {
        Peer::Pods { .. } => true,
        Peer::Entity(entity) => *entity != Entity::World,
        Peer::Unsaid(class) => class.as_str() == "pvt",
        Peer::Address(_) => {
            addresses.iter().all(|address| range::space(range::fold(*address)) == Space::Private)
        }
    }
}
