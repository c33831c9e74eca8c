//! The compiled form of rules: which rule is the first that lets a port pass, and which rules an
//! address meets. Looked up by halving, so that the size of a policy costs little. Pure numbers.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use foldhash::fast::FixedState;

use super::rule::{PortMatch, Rule};
use crate::domain::flow::Protocol;

/// No rule, no table.
pub(super) const NONE: u32 = u32::MAX;

/// The ports of one protocol as steps: from this port on, this rule is the first; [`NONE`]: none.
///
/// Invariant: sorted by port, the first step at 0 where there is any.
#[derive(Debug, Default)]
struct Steps(Box<[(u16, u32)]>);

impl Steps {
    fn of(mut spans: Vec<(u16, u16, u32)>) -> Self {
        spans.sort_unstable();
        let mut starts: Vec<u16> = vec![0];
        for (from, to, _) in &spans {
            starts.push(*from);
            starts.extend(to.checked_add(1));
        }
        starts.sort_unstable();
        starts.dedup();
        let (mut steps, mut next) = (Vec::<(u16, u32)>::new(), 0);
        // The smallest rule on top, with its last port.
        let mut active = BinaryHeap::new();
        for start in starts {
            while let Some((_, to, rule)) = spans.get(next).filter(|span| span.0 <= start) {
                active.push((std::cmp::Reverse(*rule), *to));
                next += 1;
            }
            while active.peek().is_some_and(|(_, to)| *to < start) {
                active.pop();
            }
            let first = active.peek().map_or(NONE, |(rule, _)| rule.0);
            if steps.last().is_none_or(|(_, last)| *last != first) {
                steps.push((start, first));
            }
        }
        if steps.iter().all(|(_, rule)| *rule == NONE) { Self::default() } else { Self(steps.into()) }
    }

    #[inline]
    fn first(&self, port: u16) -> u32 {
        match self.0.partition_point(|(from, _)| *from <= port) {
            0 => NONE,
            at => self.0[at - 1].1,
        }
    }
}

/// TCP, UDP, SCTP, all others.
#[derive(Debug, Default)]
struct Ports([Steps; 4]);

/// What no rule can name has ports that are only in rules for everything.
#[inline]
fn slot(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
        Protocol::Icmp | Protocol::Unknown => 3,
    }
}

/// A named port of some rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub name: u32,
    pub protocol: Protocol,
    pub rule: u32,
}

/// A set of rules that a peer meets, by port.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Ranges count with their first port only.
    heads: Ports,
    /// Ranges whole; `None`: there are none.
    whole: Option<Ports>,
    pub named: Box<[Named]>,
}

impl Table {
    /// Of these rules, by their place in `all`; `names` gives names of ports their numbers.
    fn of(rules: &[u32], all: &[&Rule], names: &Names) -> Self {
        let (mut heads, mut whole, mut named, mut ranges) = (spans(), spans(), Vec::new(), false);
        for rule in rules {
            let ports = &all[*rule as usize].ports;
            if ports.is_empty() {
                for list in heads.iter_mut().chain(&mut whole) {
                    list.push((0, u16::MAX, *rule));
                }
            }
            for port in ports {
                match port {
                    PortMatch::Protocol(protocol) => {
                        for list in [&mut heads, &mut whole] {
                            list[slot(*protocol)].push((0, u16::MAX, *rule));
                        }
                    }
                    PortMatch::Span(span) => {
                        ranges |= span.to > span.from;
                        heads[slot(span.protocol)].push((span.from, span.from, *rule));
                        whole[slot(span.protocol)].push((span.from, span.to, *rule));
                    }
                    PortMatch::Named { name, protocol } => {
                        if let Some(name) = names.get(name) {
                            named.push(Named { name: *name, protocol: *protocol, rule: *rule });
                        }
                    }
                }
            }
        }
        Self {
            heads: Ports(heads.map(Steps::of)),
            whole: ranges.then(|| Ports(whole.map(Steps::of))),
            named: named.into(),
        }
    }

    /// The first rule by number of port; `whole`: ranges count.
    #[inline]
    pub fn first(&self, protocol: Protocol, port: u16, whole: bool) -> u32 {
        let ports = match &self.whole {
            Some(all) if whole => all,
            _ => &self.heads,
        };
        ports.0[slot(protocol)].first(port)
    }

    #[inline]
    pub fn has_ranges(&self) -> bool {
        self.whole.is_some()
    }
}

fn spans() -> [Vec<(u16, u16, u32)>; 4] {
    std::array::from_fn(|_| Vec::new())
}

/// Names of ports and their numbers here.
pub(super) type Names = HashMap<compact_str::CompactString, u32, FixedState>;

/// Tables of one set of policies; the same rules share one.
#[derive(Debug)]
pub(super) struct Tables<'r> {
    all: Vec<&'r Rule>,
    names: &'r Names,
    known: HashMap<Vec<u32>, u32, FixedState>,
    tables: Vec<Table>,
}

impl<'r> Tables<'r> {
    pub fn new(all: Vec<&'r Rule>, names: &'r Names) -> Self {
        Self { all, names, known: HashMap::default(), tables: Vec::new() }
    }

    /// The table of these rules, sorted; [`NONE`] for none.
    pub fn of(&mut self, rules: &[u32]) -> u32 {
        if rules.is_empty() {
            return NONE;
        }
        if let Some(known) = self.known.get(rules) {
            return *known;
        }
        let id = u32::try_from(self.tables.len()).unwrap_or(NONE);
        self.tables.push(Table::of(rules, &self.all, self.names));
        self.known.insert(rules.to_vec(), id);
        id
    }

    pub fn done(self) -> Box<[Table]> {
        self.tables.into()
    }
}

/// Which table holds for an address: from this address on, that one.
///
/// Invariant: sorted by address, neighbours differ in their table.
#[derive(Debug)]
pub(super) struct Segments<A> {
    starts: Box<[A]>,
    tables: Box<[u32]>,
}

impl<A: Copy + Ord> Segments<A> {
    /// From the ranges of each rule, first and last included; `number` fits them to the family.
    pub fn of(
        ranges: &[(u128, u128, u32)],
        tables: &mut Tables<'_>,
        number: impl Fn(u128) -> Option<A>,
    ) -> Self {
        let mut edges: BTreeMap<u128, Vec<(u32, bool)>> = BTreeMap::new();
        for (first, last, rule) in ranges {
            edges.entry(*first).or_default().push((*rule, true));
            if let Some(after) = last.checked_add(1) {
                edges.entry(after).or_default().push((*rule, false));
            }
        }
        let (mut starts, mut ids) = (Vec::new(), Vec::new());
        let mut active: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, changes) in edges {
            // What ends with the family's last address ends behind it.
            let Some(at) = number(at) else { break };
            for (rule, begins) in changes {
                let count = active.entry(rule).or_default();
                *count = if begins { *count + 1 } else { count.saturating_sub(1) };
            }
            active.retain(|_, count| *count > 0);
            let rules: Vec<u32> = active.keys().copied().collect();
            let id = tables.of(&rules);
            if ids.last() != Some(&id) {
                starts.push(at);
                ids.push(id);
            }
        }
        Self { starts: starts.into(), tables: ids.into() }
    }

    /// The table of the rules that this address meets; [`NONE`]: it meets none.
    #[inline]
    pub fn at(&self, address: A) -> u32 {
        match self.starts.partition_point(|start| *start <= address) {
            0 => NONE,
            at => self.tables[at - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_of_a_port_wins() {
        let steps = Steps::of(vec![(443, 443, 2), (400, 500, 5), (1, 65535, 9), (443, 450, 3)]);
        for (port, rule) in
            [(0, NONE), (1, 9), (399, 9), (400, 5), (443, 2), (444, 3), (451, 5), (501, 9), (65535, 9)]
        {
            assert_eq!(steps.first(port), rule, "{port}");
        }
        assert_eq!(Steps::of(Vec::new()).first(80), NONE);
        assert_eq!(Steps::of(vec![(0, 65535, 1)]).first(0), 1);
        assert_eq!(Steps::of(vec![(65535, 65535, 1)]).first(65535), 1);
    }
}
