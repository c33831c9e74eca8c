//! Makes evidence fit into an object, without making it say more than was seen. First nodes are
//! merged: a minute counts only if every node that ran the namespace's pods was heard, so one trail
//! for several nodes, heard when all of them were, gives the same clock. Then what only describes is
//! shortened, each time against the clock's favour. Pure.

use std::collections::BTreeMap;

use crate::domain::{
    evidence::{Evidence, Pause, Trail},
    names::NodeName,
    spans::Spans,
};

use super::{evidence, evidence::SpecWire};

/// Bytes of the `spec` as JSON; the rest of the object is small. The whole stays below 256 KiB.
pub const LIMIT: usize = 240 * 1024;

/// The evidence as it is stored. `None`: even shortened it does not fit, and then it must not be
/// written at all.
pub fn fit(evidence: &Evidence) -> Option<SpecWire> {
    let mut spec = evidence::spec(evidence);
    if size(&spec) <= LIMIT {
        return Some(spec);
    }
    let mut smaller = evidence.clone();
    merge(&mut smaller.nodes, LIMIT / 4);
    for step in SHORTEN {
        step(&mut smaller);
        spec = evidence::spec(&smaller);
        if size(&spec) <= LIMIT {
            return Some(spec);
        }
    }
    None
}

fn size(spec: &SpecWire) -> usize {
    serde_json::to_vec(spec).map_or(usize::MAX, |bytes| bytes.len())
}

/// In this order until it fits.
const SHORTEN: [fn(&mut Evidence); 7] = [
    |_| {},
    // Fewer destinations seen again, never more.
    |evidence| {
        while evidence.exercised.again.len() > 500 {
            evidence.exercised.again.pop_last();
        }
    },
    // A group that is only counted withholds clean all the same.
    |evidence| fewer_groups(evidence, 50),
    |evidence| close_gaps(evidence, 5),
    |evidence| {
        evidence.exercised.again.clear();
        fewer_groups(evidence, 20);
        close_gaps(evidence, 30);
    },
    // Every node in one trail.
    |evidence| merge(&mut evidence.nodes, 0),
    |evidence| close_gaps(evidence, 360),
];

fn fewer_groups(evidence: &mut Evidence, most: usize) {
    if let Some(left_out) = evidence.groups.len().checked_sub(most) {
        evidence.groups.truncate(most);
        evidence.more_groups = evidence.more_groups.saturating_add(left_out as u64);
    }
}

/// Pauses, losses and running swallow gaps between them that are no longer than this; hearing and
/// watching lose stretches that are no longer.
fn close_gaps(evidence: &mut Evidence, minutes: i64) {
    evidence.pauses.iter_mut().for_each(|pause| close(&mut pause.spans, minutes));
    drop_short(&mut evidence.looked, minutes);
    for trail in evidence.nodes.values_mut() {
        close(&mut trail.ran, minutes);
        trail.void.iter_mut().for_each(|pause| close(&mut pause.spans, minutes));
        drop_short(&mut trail.heard, minutes);
    }
}

fn drop_short(spans: &mut Spans, minutes: i64) {
    let short: Vec<_> = spans.iter().filter(|range| range.end - range.start <= minutes).collect();
    short.into_iter().for_each(|range| spans.remove(range));
}

fn close(spans: &mut Spans, minutes: i64) {
    let ranges: Vec<_> = spans.iter().collect();
    for pair in ranges.windows(2) {
        if pair[1].start - pair[0].end <= minutes {
            spans.insert(pair[0].end..pair[1].start);
        }
    }
}

/// Gives the nodes with the most scattered minutes one trail together, until all trails together
/// are about this short.
fn merge(nodes: &mut BTreeMap<NodeName, Trail>, bytes: usize) {
    let mut equal: BTreeMap<evidence::Texts, Vec<NodeName>> = BTreeMap::new();
    for (node, trail) in nodes.iter() {
        equal.entry(evidence::texts(trail)).or_default().push(node.clone());
    }
    let length = |(ran, heard, void): &evidence::Texts| {
        let void = void.iter().map(|pause| pause.minutes.len() + pause.why.len());
        ran.len() + heard.len() + void.sum::<usize>()
    };
    let mut groups: Vec<(usize, Vec<NodeName>)> =
        equal.into_iter().map(|(texts, nodes)| (length(&texts), nodes)).collect();
    groups.sort();
    let mut total: usize = groups.iter().map(|(length, _)| length).sum();
    let mut merged = Vec::new();
    while total > bytes {
        let Some((length, group)) = groups.pop() else { break };
        total -= length;
        merged.extend(group);
    }
    let trails: Vec<&Trail> = merged.iter().filter_map(|node| nodes.get(node)).collect();
    let together = together(&trails);
    for node in merged {
        nodes.insert(node, together.clone());
    }
}

/// One trail that gives the same clock as all of these: it ran when one of them did, and was heard,
/// without a loss, only when each one that ran was.
fn together(trails: &[&Trail]) -> Trail {
    let mut out = Trail::default();
    let mut missing = Spans::default();
    for trail in trails {
        out.ran.union(&trail.ran);
        let mut unheard = trail.ran.clone();
        unheard.subtract(&trail.heard);
        missing.union(&unheard);
        for pause in &trail.void {
            let spans = pause.spans.intersection(&trail.ran);
            match out.void.iter_mut().find(|known| known.cause == pause.cause) {
                Some(known) => known.spans.union(&spans),
                None if spans.is_empty() => {}
                None => out.void.push(Pause { spans, ..pause.clone() }),
            }
        }
    }
    out.void.sort_by_key(|pause| pause.cause);
    out.heard = out.ran.clone();
    out.heard.subtract(&missing);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        denial::{Class, Noise},
        evidence::{Cause, Exercised, Ground, OpenGroup, Restart, Verdicts},
        flow::{Direction, Protocol},
        hold::DenialKey,
        names::{ClusterName, NsName, Text, Workload},
        policy::PolicyDigest,
        rollout::Target,
        spans::{self, Minute},
        time::Timestamp,
    };

    fn at() -> Timestamp {
        chrono::Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a time")
    }

    const DAYS: Minute = 14 * 24 * 60;

    fn start() -> Minute {
        spans::minute_of(at())
    }

    fn evidence(nodes: usize, trail: impl Fn(usize) -> Trail) -> Evidence {
        Evidence {
            target: Target {
                cluster: ClusterName::parse("arn:aws:eks:eu-west-1:1:cluster/shop").expect("a name"),
                ns: NsName::parse("shop").expect("a name"),
                direction: Direction::Egress,
            },
            uid: "u-1".into(),
            digest: PolicyDigest::of([]),
            since: at(),
            until: at() + chrono::TimeDelta::minutes(DAYS),
            observer: "watch on host".into(),
            ground: Ground::default(),
            looked: Spans::of(std::iter::once(start()..start() + DAYS)),
            nodes: (0..nodes).map(|n| (node(n), trail(n))).collect(),
            pauses: Vec::new(),
            restarts: Vec::new(),
            verdicts: Verdicts::default(),
            groups: Vec::new(),
            more_groups: 0,
            jobs: BTreeMap::new(),
            exercised: Exercised::default(),
        }
    }

    fn node(n: usize) -> NodeName {
        NodeName::parse(&format!("ip-10-1-{}-{}.eu-west-1.compute.internal", n / 250, n % 250))
            .expect("a name")
    }

    fn lost(spans: Spans) -> Vec<Pause> {
        let pause = Pause { cause: Cause::Loss, spans, why: "lost".into() };
        if pause.spans.is_empty() { Vec::new() } else { vec![pause] }
    }

    /// Heard all the time but for a minute every so often, at other moments on each node.
    fn with_holes(n: usize, every: Minute) -> Trail {
        let (from, until) = (start(), start() + DAYS);
        let (mut heard, mut void) = (Spans::of(std::iter::once(from..until)), Spans::default());
        let mut hole = from + (n as Minute * 37) % every;
        while hole < until {
            heard.remove(hole..hole + 1);
            void.insert(hole..hole + 1);
            hole += every;
        }
        Trail { ran: Spans::of(std::iter::once(from..until)), heard, void: lost(void) }
    }

    /// The clock's rule, minute by minute: every node that ran pods was heard and lost nothing.
    fn credited(evidence: &Evidence) -> BTreeSet<Minute> {
        let from = start() - 10;
        let table = |spans: &Spans| {
            let mut table = vec![false; usize::try_from(DAYS + 20).expect("small")];
            for range in spans.iter() {
                for minute in range {
                    table[usize::try_from(minute - from).expect("inside")] = true;
                }
            }
            table
        };
        let (mut ran, mut bad) = (table(&Spans::default()), table(&Spans::default()));
        for trail in evidence.nodes.values() {
            let mut lost = Spans::default();
            trail.void.iter().for_each(|pause| lost.union(&pause.spans));
            let (here, heard, void) = (table(&trail.ran), table(&trail.heard), table(&lost));
            for m in 0..ran.len() {
                ran[m] |= here[m];
                bad[m] |= here[m] && (!heard[m] || void[m]);
            }
        }
        for pause in &evidence.pauses {
            table(&pause.spans).into_iter().zip(&mut bad).for_each(|(paused, bad)| *bad |= paused);
        }
        (from..).zip(ran.iter().zip(&bad)).filter(|(_, (ran, bad))| **ran && !**bad).map(|(m, _)| m).collect()
    }

    fn bytes(spec: &SpecWire) -> usize {
        serde_json::to_string(spec).expect("our own type").len()
    }

    #[test]
    fn two_weeks_of_500_nodes_fit_and_the_clock_stays_the_same() {
        for (every, whole) in [(100_000, true), (2_003, true), (503, false)] {
            let evidence = evidence(500, |n| with_holes(n, every));
            let spec = fit(&evidence).expect("it fits");
            assert!(bytes(&spec) <= LIMIT, "{} bytes", bytes(&spec));
            let read = evidence::read(&spec).expect("our own text");
            assert_eq!(read == evidence, whole, "every {every} minutes");
            assert_eq!(credited(&read), credited(&evidence), "every {every} minutes");
        }
    }

    #[test]
    fn a_group_of_equal_nodes_is_written_once() {
        let evidence = evidence(500, |_| with_holes(0, DAYS * 2));
        let spec = fit(&evidence).expect("it fits");
        assert_eq!(spec.trails.len(), 1);
        assert_eq!(spec.trails[0].nodes, "0-499");
        assert_eq!(spec.trails[0].ran, format!("{}+20160", start()));
    }

    #[test]
    fn hostile_amounts_are_shortened_against_the_clock_and_never_for_it() {
        let mut evidence = evidence(500, |n| with_holes(n, 2));
        let long = "ü".repeat(500);
        evidence.groups = (0..200)
            .map(|n| OpenGroup {
                key: DenialKey {
                    workload: Some(Workload::new("Deployment", &long)),
                    destination: Text::from(format!("{n}{long}")),
                    port: 443,
                    protocol: Protocol::Tcp,
                },
                class: Class::Noisy(Noise::Closing),
                count: 1,
                first: at(),
                last: at(),
                said: Text::new(&long),
            })
            .collect();
        evidence.more_groups = 3;
        evidence.exercised =
            Exercised { of: 2_000, again: (0..2_000).map(|n| Text::from(format!("{n}{long}"))).collect() };
        let scattered = Spans::of((0..DAYS / 4).map(|n| start() + n * 4..start() + n * 4 + 1));
        evidence.pauses = Cause::ALL
            .into_iter()
            .map(|cause| Pause { cause, spans: scattered.clone(), why: Text::new(&long) })
            .collect();
        let spec = fit(&evidence).expect("it fits");
        assert!(bytes(&spec) <= LIMIT);
        let read = evidence::read(&spec).expect("our own text");
        assert_eq!(read.more_groups, 3 + 200 - read.groups.len() as u64);
        assert!(read.exercised.again.is_subset(&evidence.exercised.again));
        assert!(credited(&read).is_subset(&credited(&evidence)));
    }

    #[test]
    fn what_cannot_fit_is_not_written() {
        let long = |n: usize| NodeName::parse(&format!("{n:06}-{}", "a".repeat(230))).expect("a name");
        let mut evidence = evidence(0, |_| Trail::default());
        evidence.nodes = (0..2_000).map(|n| (long(n), Trail::default())).collect();
        assert!(fit(&evidence).is_none());
    }

    #[test]
    fn everything_comes_back() {
        let mut evidence = evidence(3, |n| with_holes(n, 700));
        evidence.pauses = vec![Pause {
            cause: Cause::JudgeGone,
            spans: Spans::of(std::iter::once(start()..start() + 5)),
            why: "x".into(),
        }];
        evidence.restarts = vec![Restart { at: at(), cause: Cause::Digest, why: "y".into() }];
        evidence.verdicts = Verdicts {
            allowed: 7,
            denied: 2,
            in_force: [(node(0), at()), (node(2), at())].into(),
            proved: [(node(9), at())].into(),
            breached: [(node(1), at())].into(),
            unproved: [(node(0), (at(), "no room".into())), (node(2), (at(), "no room".into()))].into(),
        };
        evidence.ground = Ground { cni: Some("Cilium 1.17".into()), dns: None };
        evidence.groups = Class::ALL
            .into_iter()
            .map(|class| OpenGroup {
                key: DenialKey {
                    workload: None,
                    destination: "api.x".into(),
                    port: 443,
                    protocol: Protocol::Udp,
                },
                class,
                count: 4,
                first: at(),
                last: at(),
                said: "POLICY_DENIED".into(),
            })
            .collect();
        evidence.jobs = [("nightly".into(), at())].into();
        evidence.exercised = Exercised { of: 2, again: ["a".into()].into() };
        let spec = fit(&evidence).expect("it fits");
        assert_eq!(evidence::read(&spec), Ok(evidence));
    }

    fn spans_of() -> impl Strategy<Value = Spans> {
        prop::collection::vec((0i64..60, 0i64..20), 0..6).prop_map(|ranges| {
            Spans::of(ranges.into_iter().map(|(from, len)| start() + from..start() + from + len))
        })
    }

    proptest! {
        #[test]
        fn nodes_together_give_the_clock_of_each(trails in prop::collection::vec((spans_of(), spans_of(), spans_of()), 1..5)) {
            let trails: Vec<_> = trails.into_iter().map(|(ran, heard, void)| Trail { ran, heard, void: lost(void) }).collect();
            let apart = evidence(trails.len(), |n| trails[n].clone());
            let mut merged = apart.clone();
            merge(&mut merged.nodes, 0);
            prop_assert_eq!(credited(&merged), credited(&apart));
        }
    }
}
