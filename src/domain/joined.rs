//! Evidence of two observers joined by union: what one of them saw was seen, what one of them lost is
//! lost. Joining the same twice changes nothing. Pure.

use std::collections::BTreeMap;

use super::{
    evidence::{Evidence, Exercised, OpenGroup, Pause},
    hold::DenialKey,
    time::Timestamp,
};

impl Evidence {
    /// Is it about the same bytes on the same cluster?
    pub fn continues(&self, other: &Self) -> bool {
        self.target == other.target && self.uid == other.uid && self.digest == other.digest
    }

    /// Takes in what another observer saw of the same; of anything else nothing is taken.
    pub fn join(&mut self, other: &Self) {
        if !self.continues(other) {
            return;
        }
        self.since = self.since.min(other.since);
        self.until = self.until.max(other.until);
        for (node, theirs) in &other.nodes {
            let ours = self.nodes.entry(node.clone()).or_default();
            ours.ran.union(&theirs.ran);
            ours.heard.union(&theirs.heard);
            ours.void.union(&theirs.void);
        }
        other.pauses.iter().for_each(|pause| join_pause(&mut self.pauses, pause));
        for restart in &other.restarts {
            if !self.restarts.contains(restart) {
                self.restarts.push(restart.clone());
            }
        }
        self.restarts.sort_by_key(|restart| restart.at);
        let old = self.restarts.len().saturating_sub(Self::RESTARTS);
        self.restarts.drain(..old);
        // Each counts on its own, so the larger number is a floor and their sum would count twice.
        self.verdicts.allowed = self.verdicts.allowed.max(other.verdicts.allowed);
        self.verdicts.denied = self.verdicts.denied.max(other.verdicts.denied);
        newest(&mut self.verdicts.in_force, &other.verdicts.in_force);
        newest(&mut self.verdicts.proved, &other.verdicts.proved);
        newest(&mut self.jobs, &other.jobs);
        self.join_groups(other);
        self.exercised.of = self.exercised.of.max(other.exercised.of);
        self.exercised.again.extend(other.exercised.again.iter().cloned());
        while self.exercised.again.len() > Exercised::KEPT {
            self.exercised.again.pop_last();
        }
    }

    fn join_groups(&mut self, other: &Self) {
        let mut groups: BTreeMap<DenialKey, OpenGroup> = BTreeMap::new();
        for group in self.groups.drain(..).chain(other.groups.iter().cloned()) {
            match groups.get_mut(&group.key) {
                None => {
                    groups.insert(group.key.clone(), group);
                }
                Some(known) => {
                    known.class = known.class.min(group.class);
                    known.count = known.count.max(group.count);
                    known.first = known.first.min(group.first);
                    if group.last > known.last {
                        (known.last, known.said) = (group.last, group.said);
                    }
                }
            }
        }
        self.groups = groups.into_values().collect();
        // Hurting first, then the newest.
        self.groups.sort_by_key(|group| (group.class, std::cmp::Reverse(group.last)));
        let left_out = self.groups.len().saturating_sub(Self::GROUPS);
        self.groups.truncate(Self::GROUPS);
        self.more_groups = self.more_groups.max(other.more_groups).max(left_out as u64);
    }
}

fn join_pause(pauses: &mut Vec<Pause>, theirs: &Pause) {
    match pauses.iter_mut().find(|ours| ours.cause == theirs.cause) {
        Some(ours) => ours.spans.union(&theirs.spans),
        None => pauses.push(theirs.clone()),
    }
}

fn newest<K: Ord + Clone>(ours: &mut BTreeMap<K, Timestamp>, theirs: &BTreeMap<K, Timestamp>) {
    for (key, at) in theirs {
        ours.entry(key.clone()).and_modify(|known| *known = (*known).max(*at)).or_insert(*at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        denial::Class,
        evidence::{Cause, Trail, Verdicts},
        flow::{Direction, Protocol},
        names::{ClusterName, NodeName, NsName},
        policy::PolicyDigest,
        rollout::Target,
        spans::Spans,
    };

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).expect("a name")
    }

    fn evidence(heard: &[(&str, std::ops::Range<i64>)]) -> Evidence {
        let minutes = |range: &std::ops::Range<i64>| Spans::of(std::iter::once(range.clone()));
        let trail = |range| Trail {
            ran: Spans::of(std::iter::once(0..100)),
            heard: minutes(range),
            void: Spans::default(),
        };
        Evidence {
            target: Target {
                cluster: ClusterName::parse("one").expect("a name"),
                ns: NsName::parse("shop").expect("a name"),
                direction: Direction::Egress,
            },
            uid: "u".into(),
            digest: PolicyDigest::of([]),
            since: Timestamp::default(),
            until: Timestamp::default(),
            observer: "x".into(),
            nodes: heard.iter().map(|(name, range)| (node(name), trail(range))).collect(),
            pauses: Vec::new(),
            restarts: Vec::new(),
            verdicts: Verdicts::default(),
            groups: Vec::new(),
            more_groups: 0,
            jobs: BTreeMap::new(),
            exercised: Exercised::default(),
        }
    }

    fn group(class: Class, count: u64, port: u16) -> OpenGroup {
        OpenGroup {
            key: DenialKey { workload: None, destination: "api.x".into(), port, protocol: Protocol::Tcp },
            class,
            count,
            first: Timestamp::default(),
            last: Timestamp::default(),
            said: "x".into(),
        }
    }

    #[test]
    fn what_one_saw_was_seen_and_what_nobody_saw_stays_a_gap() {
        let mut ours = evidence(&[("a", 60..100)]);
        let mut theirs = evidence(&[("a", 0..40), ("b", 0..40)]);
        theirs.pauses.push(Pause {
            cause: Cause::Loss,
            spans: Spans::of(std::iter::once(5..6)),
            why: "x".into(),
        });
        theirs.groups = vec![group(Class::StartUp, 3, 443), group(Class::Hurting, 1, 80)];
        ours.groups = vec![group(Class::Hurting, 2, 443)];
        ours.join(&theirs);
        assert_eq!(ours.nodes[&node("a")].heard, Spans::of([0..40, 60..100]));
        assert_eq!(ours.nodes[&node("b")].heard, Spans::of(std::iter::once(0..40)));
        assert_eq!(ours.pauses.len(), 1);
        let groups: Vec<_> = ours.groups.iter().map(|it| (it.class, it.count, it.key.port)).collect();
        assert_eq!(groups, [(Class::Hurting, 1, 80), (Class::Hurting, 3, 443)]);
        let once = ours.clone();
        ours.join(&theirs);
        assert_eq!(ours, once);
    }

    #[test]
    fn evidence_of_other_bytes_or_of_a_rebuilt_cluster_is_not_taken() {
        let mut other = evidence(&[("a", 0..40)]);
        other.uid = "v".into();
        let mut ours = evidence(&[]);
        ours.join(&other);
        assert_eq!(ours, evidence(&[]));
    }
}
