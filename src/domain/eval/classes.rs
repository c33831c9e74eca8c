//! Pods that the same policies of a direction select share one [`Class`]: its rules in the order of
//! their policies' names, looked up by the peer's group or address. Pure.

use super::{
    cluster::{Foreign, NetworkPolicy},
    compile::{Kin, Ns, may_select, place},
    model::{Class, Map, side},
    peers::{PeerSets, Sure},
    rule::{Peer, PortMatch, Rule},
    table::{NONE, Names, Segments, Tables},
    verdict::RuleRef,
};
use crate::domain::{flow::Direction, ranges::Ranges};

/// What classes are made from.
pub(super) struct Given<'c> {
    /// Sorted by namespace and name.
    pub policies: &'c [&'c NetworkPolicy],
    pub policy_ns: &'c [usize],
    pub namespaces: &'c [Ns<'c>],
    pub foreign: &'c [Foreign],
    pub peers: &'c PeerSets<'c>,
    pub names: &'c Names,
}

pub(super) struct Classes<'c> {
    given: Given<'c>,
    /// Policies by namespace.
    of_ns: Vec<Vec<u32>>,
    known: Map<(usize, Vec<u32>, Vec<u32>), u32>,
    list: Vec<Class>,
}

impl<'c> Classes<'c> {
    pub fn new(given: Given<'c>) -> Self {
        let mut of_ns = vec![Vec::new(); given.namespaces.len()];
        given.policy_ns.iter().zip(0..).for_each(|(ns, policy)| of_ns[*ns].push(policy));
        Self { given, of_ns, known: Map::default(), list: Vec::new() }
    }

    /// The class of these pods; [`NONE`] where nothing selects them.
    pub fn of(&mut self, kin: &Kin<'_>, direction: Direction) -> u32 {
        let selects = |policy: &u32| {
            let rules = &self.given.policies[*policy as usize].rules;
            rules.rules(direction).is_some() && rules.selector.matches(kin.labels)
        };
        let policies: Vec<u32> =
            self.of_ns[kin.ns].iter().filter(|policy| selects(policy)).copied().collect();
        let ns = &self.given.namespaces[kin.ns];
        let foreign = self
            .given
            .foreign
            .iter()
            .zip(0..)
            .filter(|(foreign, _)| foreign.has(direction) && may_select(foreign, ns, kin.labels));
        let foreign: Vec<u32> = foreign.map(|(_, at)| at).collect();
        if policies.is_empty() && foreign.is_empty() {
            return NONE;
        }
        let key = (side(direction), policies, foreign);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let class = self.given.class(&key.1, &key.2, direction);
        self.list.push(class);
        let id = place(self.list.len() - 1);
        self.known.insert(key, id);
        id
    }

    pub fn done(self) -> Vec<Class> {
        self.list
    }
}

impl<'c> Given<'c> {
    fn class(&self, policies: &[u32], foreign: &[u32], direction: Direction) -> Class {
        let (mut refs, mut rules, mut ns_of) = (Vec::new(), Vec::new(), Vec::new());
        let mut unread = None;
        for policy in policies {
            let all = self.policies[*policy as usize].rules.rules(direction).unwrap_or_default();
            for (rule, at) in all.iter().zip(1..) {
                let named = RuleRef { policy: *policy, rule: at };
                match rule {
                    Ok(rule) => {
                        refs.push(named);
                        rules.push(rule);
                        ns_of.push(self.policy_ns[*policy as usize]);
                    }
                    Err(_) => unread = unread.or(Some(named)),
                }
            }
        }
        let mut tables = Tables::new(rules.clone(), self.names);
        let holding = |holds: &dyn Fn(&Rule) -> bool| -> Vec<u32> {
            rules.iter().zip(0..).filter(|(rule, _)| holds(rule)).map(|(_, at)| at).collect()
        };
        let anybody = tables.of(&holding(&|rule| rule.peers.is_empty()));
        let blocks =
            tables.of(&holding(&|rule| rule.peers.iter().any(|peer| matches!(peer, Peer::Block { .. }))));
        let hosts = tables.of(&holding(&|rule| rule.peers.iter().any(means_all_namespaces)));
        let (groups, perhaps) = self.by_group(&rules, &ns_of, &mut tables);
        let [v4, v6] = ranges(&rules);
        let v4 = Segments::of(&v4, &mut tables, |number| u32::try_from(number).ok());
        let v6 = Segments::of(&v6, &mut tables, Some);
        let has_port_names =
            rules.iter().flat_map(|rule| &rule.ports).any(|port| matches!(port, PortMatch::Named { .. }));
        Class {
            policies: policies.into(),
            foreign: foreign.into(),
            rules: refs.into(),
            tables: tables.done(),
            anybody,
            groups,
            perhaps,
            v4,
            v6,
            blocks,
            hosts,
            unread,
            has_port_names,
        }
    }

    /// By group of the peer: the table of rules that mean it, and of those that perhaps do.
    fn by_group(
        &self,
        rules: &[&'c Rule],
        ns_of: &[usize],
        tables: &mut Tables<'_>,
    ) -> (Box<[u32]>, Box<[u32]>) {
        let mut sure: Vec<Vec<u32>> = vec![Vec::new(); self.peers.len()];
        let mut perhaps: Vec<Vec<u32>> = vec![Vec::new(); self.peers.len()];
        let mut is_unsure = false;
        for ((rule, ns), at) in rules.iter().zip(ns_of).zip(0..) {
            if rule.peers.is_empty() {
                sure.iter_mut().for_each(|list| list.push(at));
            }
            for peer in &rule.peers {
                let Peer::Pods(pods) = peer else { continue };
                for (group, how) in self.peers.groups(pods, *ns) {
                    let list = match how {
                        Sure::Yes => &mut sure,
                        Sure::Perhaps | Sure::No => {
                            is_unsure = true;
                            &mut perhaps
                        }
                    };
                    let list = &mut list[*group as usize];
                    if list.last() != Some(&at) {
                        list.push(at);
                    }
                }
            }
        }
        let sure = sure.iter().map(|rules| tables.of(rules)).collect();
        let perhaps =
            if is_unsure { perhaps.iter().map(|rules| tables.of(rules)).collect() } else { Box::default() };
        (sure, perhaps)
    }
}

fn means_all_namespaces(peer: &Peer) -> bool {
    match peer {
        Peer::Pods(pods) => {
            pods.pods.is_none() && pods.namespaces.as_ref().is_some_and(|all| all.is_everything())
        }
        Peer::Block { .. } => false,
    }
}

/// Ranges of each rule, by family. What a block leaves out is left out of that block only.
fn ranges(rules: &[&Rule]) -> [Vec<(u128, u128, u32)>; 2] {
    let mut out = [Vec::new(), Vec::new()];
    for (rule, at) in rules.iter().zip(0..) {
        for peer in &rule.peers {
            let Peer::Block { network, except } = peer else { continue };
            let left = Ranges::of([network]).minus(&Ranges::of(except));
            for (out, ranges) in out.iter_mut().zip(left.numbers()) {
                out.extend(ranges.iter().map(|(first, last)| (*first, *last, at)));
            }
        }
    }
    out
}
