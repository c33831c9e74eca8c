//! Evidence of two observers as one: a union, in which the order and the number of tellings do not
//! matter. What one of them lost of a node is void for both; what one of them could not see at all
//! takes nothing from the other. Never more than what one of them observed. Pure.

use std::collections::BTreeMap;

use super::{
    denial::Class,
    evidence::{Cause, Evidence, OpenGroup, Pause, Trail, Verdicts},
    hold::DenialKey,
    names::{NodeName, Text},
    spans::{Spans, inside},
};

impl Evidence {
    /// Of the same rollout, cluster and bytes?
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.target == other.target && self.uid == other.uid && self.digest == other.digest
    }

    /// Minutes that were watched, and in which nothing stood still.
    pub fn observed(&self) -> Spans {
        let mut observed = self.looked.clone();
        self.pauses.iter().for_each(|pause| observed.subtract(&pause.spans));
        observed
    }

    /// Says nothing of nodes in minutes that it did not observe, nor of minutes outside its own time.
    pub fn normal(mut self) -> Self {
        self.looked = self.looked.intersection(&Spans::of([inside(self.since, self.until)]));
        let observed = self.observed();
        for trail in self.nodes.values_mut() {
            trail.ran = trail.ran.intersection(&observed);
            trail.heard = trail.heard.intersection(&observed);
        }
        self.pauses = settled_pauses(&self.pauses, &[], &observed);
        self.nodes
            .values_mut()
            .for_each(|trail| trail.void = settled_pauses(&trail.void, &[], &Spans::default()));
        self.nodes
            .retain(|_, trail| !trail.ran.is_empty() || !trail.heard.is_empty() || !trail.void.is_empty());
        self
    }

    /// Both together; `None` where they are of different rollouts, clusters or bytes.
    ///
    /// Commutative, associative (but for which example a pause shows) and idempotent, as long as no
    /// list is full.
    pub fn union(&self, other: &Self) -> Option<Self> {
        if !self.is_of_same(other) {
            return None;
        }
        self.clone().normal().union_normal(&other.clone().normal())
    }

    /// The same of two that went through [`Evidence::normal`]: for what is done for every row.
    pub fn union_normal(&self, other: &Self) -> Option<Self> {
        if !self.is_of_same(other) {
            return None;
        }
        let (a, b) = (self, other);
        let mut observed = a.observed();
        observed.union(&b.observed());
        let newer =
            if (a.until, &a.observer, &a.ground) >= (b.until, &b.observer, &b.ground) { a } else { b };
        let mut restarts: Vec<_> = a.restarts.iter().chain(&b.restarts).cloned().collect();
        restarts.sort();
        restarts.dedup();
        restarts.drain(..restarts.len().saturating_sub(Self::RESTARTS));
        let mut looked = a.looked.clone();
        looked.union(&b.looked);
        let (groups, over) = groups(a.groups.iter().chain(&b.groups));
        let mut again = a.exercised.again.clone();
        again.extend(b.exercised.again.iter().cloned());
        while again.len() > super::evidence::Exercised::KEPT {
            again.pop_last();
        }
        Some(Self {
            target: a.target.clone(),
            uid: a.uid.clone(),
            digest: a.digest,
            ground: newer.ground.clone(),
            since: a.since.min(b.since),
            until: a.until.max(b.until),
            observer: newer.observer.clone(),
            looked,
            nodes: nodes(&a.nodes, &b.nodes),
            pauses: settled_pauses(&a.pauses, &b.pauses, &observed),
            restarts,
            verdicts: verdicts(&a.verdicts, &b.verdicts),
            groups,
            more_groups: a.more_groups.max(b.more_groups) + over,
            jobs: newest(&a.jobs, &b.jobs),
            exercised: super::evidence::Exercised { of: a.exercised.of.max(b.exercised.of), again },
        })
    }
}

/// A cause each, without what was observed after all.
fn settled_pauses(a: &[Pause], b: &[Pause], observed: &Spans) -> Vec<Pause> {
    let mut by_cause: BTreeMap<Cause, (Spans, Text)> = BTreeMap::new();
    for pause in a.iter().chain(b) {
        let (spans, why) = by_cause.entry(pause.cause).or_default();
        spans.union(&pause.spans);
        if pause.why > *why {
            why.clone_from(&pause.why);
        }
    }
    by_cause
        .into_iter()
        .filter_map(|(cause, (mut spans, why))| {
            spans.subtract(observed);
            (!spans.is_empty()).then_some(Pause { cause, spans, why })
        })
        .collect()
}

fn nodes(a: &BTreeMap<NodeName, Trail>, b: &BTreeMap<NodeName, Trail>) -> BTreeMap<NodeName, Trail> {
    let mut out = a.clone();
    for (node, theirs) in b {
        let ours = out.entry(node.clone()).or_default();
        ours.ran.union(&theirs.ran);
        ours.heard.union(&theirs.heard);
        ours.void = settled_pauses(&ours.void, &theirs.void, &Spans::default());
    }
    out
}

fn newest<K: Ord + Clone, V: Ord + Clone>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    let mut out = a.clone();
    for (key, at) in b {
        match out.get_mut(key) {
            Some(known) if *known >= *at => {}
            Some(known) => known.clone_from(at),
            None => drop(out.insert(key.clone(), at.clone())),
        }
    }
    out
}

/// Both saw the same flows, so counts are not added: the larger one is the lower bound.
fn verdicts(a: &Verdicts, b: &Verdicts) -> Verdicts {
    Verdicts {
        allowed: a.allowed.max(b.allowed),
        denied: a.denied.max(b.denied),
        in_force: newest(&a.in_force, &b.in_force),
        proved: newest(&a.proved, &b.proved),
        breached: newest(&a.breached, &b.breached),
        unproved: newest(&a.unproved, &b.unproved),
    }
}

/// One a key, hurting first, and how many of those that withhold clean found no room.
pub fn groups<'a>(all: impl Iterator<Item = &'a OpenGroup>) -> (Vec<OpenGroup>, u64) {
    let mut by_key: BTreeMap<&DenialKey, OpenGroup> = BTreeMap::new();
    for group in all {
        match by_key.get_mut(&group.key) {
            None => drop(by_key.insert(&group.key, group.clone())),
            Some(known) => {
                if (group.last, &group.said) > (known.last, &known.said) {
                    known.said.clone_from(&group.said);
                }
                known.class = known.class.min(group.class);
                known.count = known.count.max(group.count);
                known.first = known.first.min(group.first);
                known.last = known.last.max(group.last);
            }
        }
    }
    let mut out: Vec<_> = by_key.into_values().collect();
    out.sort_by(|a, b| (a.class, &a.key).cmp(&(b.class, &b.key)));
    let left_out = out.split_off(out.len().min(Evidence::GROUPS));
    let over = left_out.iter().filter(|group| withholds(group.class)).count() as u64;
    (out, over)
}

/// Does a group of this class withhold clean while nobody has closed it?
pub fn withholds(class: Class) -> bool {
    match class {
        Class::Hurting | Class::Unattributed => true,
        Class::StartUp | Class::Noisy(_) | Class::Expected | Class::Would => false,
    }
}
