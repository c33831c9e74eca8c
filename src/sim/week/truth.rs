//! What a perfect reader of a generated week would know: every edge with its counts, times and
//! grades, and every hole. Kept by the writers as they write, because a format can only tell what
//! it has words for. The simulation's own opinion: nothing of the product is asked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    ops::Range,
};

use super::{
    event::{Expect, Grade},
    inventory::{HOUR, Inventory},
    script::Protocol,
};

/// What makes two records the same edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub ns: String,
    /// Kind and name. A format without kinds has an empty one.
    pub workload: (String, String),
    pub direction: &'static str,
    pub peer: Peer,
    pub name: Option<String>,
    pub protocol: &'static str,
    pub port: u16,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Pods { ns: String, workload: (String, String) },
    Entity(&'static str),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub flows: u64,
    /// Nanoseconds since 1970, by the clock of whoever reported it.
    pub first: i64,
    pub last: i64,
    /// Hours since 1970.
    pub hours: BTreeSet<i64>,
    pub fresh: u64,
    pub stale: u64,
    pub ambiguous: u64,
    pub also: BTreeSet<String>,
    pub chain: BTreeSet<String>,
    pub ttl: Option<u32>,
}

/// One record, as the ledger of the truth takes it.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    pub workload: usize,
    pub direction: Way,
    pub peer: Ref,
    pub protocol: Protocol,
    pub port: u16,
    pub denied: bool,
    pub flows: u64,
    pub from: i64,
    pub until: i64,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Egress,
    Ingress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ref {
    Workload(usize),
    Entity(&'static str),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Short {
    workload: usize,
    direction: Way,
    peer: Ref,
    site: Option<usize>,
    protocol: Protocol,
    port: u16,
    denied: bool,
}

#[derive(Debug)]
struct Tally {
    flows: u64,
    first: i64,
    last: i64,
    /// One bit for each hour from the week's first on.
    hours: [u64; 4],
    graded: [u64; 3],
    also: Option<usize>,
}

/// A stretch that a node's reports do not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    pub node: String,
    pub from: i64,
    pub to: i64,
    pub lost: Option<u64>,
}

#[derive(Debug)]
pub struct Truth {
    window: Range<i64>,
    first_hour: i64,
    edges: HashMap<Short, Tally>,
    pub holes: Vec<Hole>,
    /// Hours in which each node wrote something.
    signs: BTreeMap<usize, [u64; 4]>,
    /// Whether the format says what kind of workload it is.
    kinds: bool,
}

impl Truth {
    pub fn new(window: Range<i64>, kinds: bool) -> Self {
        Self {
            first_hour: window.start.div_euclid(HOUR) - 1,
            window,
            edges: HashMap::new(),
            holes: Vec::new(),
            signs: BTreeMap::new(),
            kinds,
        }
    }

    /// Intervals that reach beyond the week count up to its end.
    pub fn note(&mut self, note: &Note) {
        if !self.window.contains(&note.from) {
            return;
        }
        let until = note.until.min(self.window.end - 1);
        let key = Short {
            workload: note.workload,
            direction: note.direction,
            peer: note.peer,
            site: note.expect.site,
            protocol: note.protocol,
            port: note.port,
            denied: note.denied,
        };
        let tally = self.edges.entry(key).or_insert_with(|| Tally {
            flows: 0,
            first: note.from,
            last: until,
            hours: [0; 4],
            graded: [0; 3],
            also: None,
        });
        tally.flows += note.flows;
        tally.first = tally.first.min(note.from);
        tally.last = tally.last.max(until);
        // A record that ends with an hour says nothing of the next one.
        let last = (until - 1).max(note.from).div_euclid(HOUR);
        for hour in note.from.div_euclid(HOUR)..=last {
            set(&mut tally.hours, hour - self.first_hour);
        }
        match note.expect.grade {
            Grade::Fresh => tally.graded[0] += note.flows,
            Grade::Stale => tally.graded[1] += note.flows,
            Grade::Ambiguous => tally.graded[2] += note.flows,
            Grade::None => {}
        }
        tally.also = tally.also.or(note.expect.also);
    }

    /// A node wrote a line at this time of its clock.
    pub fn sign(&mut self, node: usize, at: i64) {
        set(self.signs.entry(node).or_default(), at.div_euclid(HOUR) - self.first_hour);
    }

    /// Hours since 1970 in which a node wrote something.
    pub fn heard(&self, node: usize) -> BTreeSet<i64> {
        self.signs.get(&node).map(|bits| self.hours(bits)).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Records that support an edge.
    pub fn flows(&self) -> u64 {
        self.edges.values().map(|tally| tally.flows).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// All edges, in order.
    pub fn edges(&self, inventory: &Inventory) -> BTreeMap<Key, Seen> {
        self.edges.iter().map(|(key, tally)| self.spell_out(inventory, key, tally)).collect()
    }

    fn spell_out(&self, inventory: &Inventory, key: &Short, tally: &Tally) -> (Key, Seen) {
        let host = |site: usize| inventory.sites[site].host.clone();
        let workload = |index: usize| {
            let it = &inventory.workloads[index];
            let kind = if self.kinds { it.kind.as_str() } else { "" };
            (kind.to_owned(), it.name.clone())
        };
        let spelled = Key {
            ns: inventory.workloads[key.workload].ns.clone(),
            workload: workload(key.workload),
            direction: match key.direction {
                Way::Egress => "egress",
                Way::Ingress => "ingress",
            },
            peer: match key.peer {
                Ref::Workload(other) => {
                    Peer::Pods { ns: inventory.workloads[other].ns.clone(), workload: workload(other) }
                }
                Ref::Entity(entity) => Peer::Entity(entity),
                Ref::Address(address) => Peer::Address(address),
            },
            name: key.site.and_then(host),
            protocol: key.protocol.as_str(),
            port: key.port,
            outcome: if key.denied { "denied" } else { "allowed" },
        };
        let site = key.site.map(|site| &inventory.sites[site]);
        let seen = Seen {
            flows: tally.flows,
            first: tally.first,
            last: tally.last,
            hours: self.hours(&tally.hours),
            fresh: tally.graded[0],
            stale: tally.graded[1],
            ambiguous: tally.graded[2],
            also: tally.also.and_then(host).into_iter().collect(),
            chain: site.into_iter().flat_map(|site| site.chain.iter().cloned()).collect(),
            ttl: site.map(|site| site.ttl),
        };
        (spelled, seen)
    }

    fn hours(&self, bits: &[u64; 4]) -> BTreeSet<i64> {
        let is_set = |bit: &i64| bits[(bit / 64) as usize] >> (bit % 64) & 1 == 1;
        (0..256).filter(is_set).map(|bit| self.first_hour + bit).collect()
    }
}

fn set(bits: &mut [u64; 4], hour: i64) {
    if let Some(word) = usize::try_from(hour / 64).ok().and_then(|word| bits.get_mut(word)) {
        *word |= 1 << (hour % 64);
    }
}
