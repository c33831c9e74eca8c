//! Peers of rules that select pods, resolved: each different peer is a set of pods, and pods that are
//! in the same sets are one group. A rule is looked up by the group of the other end. Pure.

use super::{
    cluster::NetworkPolicy,
    compile::{Kin, Ns, place},
    model::Map,
    rule::{Peer, Pods},
};
use crate::domain::{flow::Direction, policy::Selector};

/// Is a pod in a set?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sure {
    Yes,
    /// Labels that it hangs on are not known.
    Perhaps,
    No,
}

/// A peer as it stands for a policy of this namespace.
type Key<'c> = (Option<usize>, Option<&'c Selector>, Option<&'c Selector>);

fn key(pods: &Pods, ns: usize) -> Key<'_> {
    let own = pods.namespaces.is_none().then_some(ns);
    (own, pods.namespaces.as_ref(), pods.pods.as_ref())
}

pub(super) struct PeerSets<'c> {
    sets: Map<Key<'c>, u32>,
    /// By set: the groups in it, sorted.
    groups: Vec<Vec<(u32, Sure)>>,
    group_of_kin: Vec<u32>,
    count: usize,
}

impl<'c> PeerSets<'c> {
    pub fn new(
        policies: &[&'c NetworkPolicy],
        policy_ns: &[usize],
        namespaces: &[Ns<'c>],
        kins: &[Kin<'c>],
    ) -> Self {
        let mut sets: Map<Key<'c>, u32> = Map::default();
        let mut list: Vec<Key<'c>> = Vec::new();
        for (policy, ns) in policies.iter().zip(policy_ns) {
            for pods in all_pods(policy) {
                sets.entry(key(pods, *ns)).or_insert_with(|| {
                    list.push(key(pods, *ns));
                    place(list.len() - 1)
                });
            }
        }
        let by_ns = sets_by_namespace(&list, namespaces);
        let mut known: Map<Vec<(u32, Sure)>, u32> = Map::default();
        let mut groups = vec![Vec::new(); list.len()];
        let group_of_kin = kins
            .iter()
            .map(|kin| {
                let is_in =
                    |set: u32| list[set as usize].2.is_none_or(|selector| selector.matches(kin.labels));
                let sets: Vec<(u32, Sure)> =
                    by_ns[kin.ns].iter().filter(|(set, _)| is_in(*set)).copied().collect();
                let next = place(known.len());
                *known.entry(sets).or_insert_with_key(|sets| {
                    sets.iter().for_each(|(set, sure)| groups[*set as usize].push((next, *sure)));
                    next
                })
            })
            .collect();
        Self { sets, groups, group_of_kin, count: known.len() }
    }

    pub fn group_of(&self, kin: usize) -> u32 {
        self.group_of_kin[kin]
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The groups that a peer of a policy of this namespace means.
    pub fn groups(&self, pods: &Pods, ns: usize) -> &[(u32, Sure)] {
        self.sets.get(&key(pods, ns)).map_or(&[], |set| &self.groups[*set as usize])
    }
}

fn all_pods(policy: &NetworkPolicy) -> impl Iterator<Item = &Pods> {
    let rules =
        Direction::ALL.into_iter().flat_map(|direction| policy.rules.rules(direction).unwrap_or_default());
    rules.flatten().flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
        Peer::Pods(pods) => Some(pods),
        Peer::Block { .. } => None,
    })
}

/// By namespace: the sets that its pods can be in.
fn sets_by_namespace(list: &[Key<'_>], namespaces: &[Ns<'_>]) -> Vec<Vec<(u32, Sure)>> {
    let mut out = vec![Vec::new(); namespaces.len()];
    let mut selected: Map<&Selector, Vec<(usize, Sure)>> = Map::default();
    for (set, (own, selector, _)) in list.iter().enumerate() {
        if let Some(ns) = own {
            out[*ns].push((place(set), Sure::Yes));
        }
        let Some(selector) = selector else { continue };
        let there = selected.entry(selector).or_insert_with(|| {
            let all = namespaces.iter().enumerate().map(|(at, ns)| (at, ns.selected_by(selector)));
            all.filter(|(_, sure)| *sure != Sure::No).collect()
        });
        there.iter().for_each(|(ns, sure)| out[*ns].push((place(set), *sure)));
    }
    out
}
