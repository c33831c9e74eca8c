//! Evidence of several observers: its union does not depend on order, grouping or repetition, and
//! contains no minute of a node that none of them heard.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use sluice::domain::{
    denial::Class,
    evidence::{Cause, Evidence, Exercised, Ground, OpenGroup, Pause, Restart, Trail, Verdicts},
    flow::Protocol,
    hold::DenialKey,
    names::Text,
    soak::{Context, Judged, Source, judge},
    source::SourceKind,
    spans::{Spans, minute_of},
};

use super::{
    cases::{at, empty, node},
    scene,
};

/// Judged with nothing beside it.
pub fn judge_plain(evidence: &Evidence, now_secs: i64) -> Judged {
    judge(
        evidence,
        &Context {
            now: scene::at(now_secs),
            needed: TimeDelta::hours(48),
            lapses: TimeDelta::days(14),
            expected: &|_| false,
            quiet_waived: false,
            jobs: None,
            source: Source::Known(SourceKind::Hubble),
        },
    )
}

const MINUTES: i64 = 24;

fn spans() -> impl Strategy<Value = Spans> {
    let first = minute_of(at(0));
    prop::collection::vec((0..MINUTES, 1i64..8), 0..5)
        .prop_map(move |all| Spans::of(all.into_iter().map(|(from, len)| first + from..first + from + len)))
}

fn pause() -> impl Strategy<Value = Pause> {
    let cause =
        prop::sample::select(vec![Cause::Loss, Cause::AgentRestart, Cause::WatchBroken, Cause::JudgeGone]);
    (cause, spans(), "[ab]").prop_map(|(cause, spans, why)| Pause { cause, spans, why: Text::from(why) })
}

fn trail() -> impl Strategy<Value = Trail> {
    (spans(), spans(), prop::collection::vec(pause(), 0..2)).prop_map(|(ran, heard, void)| Trail {
        ran,
        heard,
        void,
    })
}

fn group() -> impl Strategy<Value = OpenGroup> {
    let class = prop::sample::select(vec![Class::Hurting, Class::Unattributed, Class::StartUp]);
    (class, 0u16..4, 1u64..9, 0i64..9, 0i64..9, "[ab]").prop_map(|(class, port, count, first, long, said)| {
        OpenGroup {
            key: DenialKey { workload: None, destination: Text::new("x"), port, protocol: Protocol::Tcp },
            class,
            count,
            first: at(first),
            last: at(first + long),
            said: Text::from(said),
        }
    })
}

fn names() -> impl Strategy<Value = BTreeMap<&'static str, i64>> {
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), 0..MINUTES, 0..3)
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let nodes = prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), trail(), 0..4);
    let times = (0..MINUTES, 0..MINUTES, "[ab]");
    let verdicts = (0u64..9, 0u64..9, names(), names(), names());
    let restarts = prop::collection::vec(0..MINUTES, 0..3);
    let rest =
        (prop::collection::vec(group(), 0..3), names(), prop::collection::btree_set("[a-c]", 0..3), 0u32..5);
    (nodes, spans(), prop::collection::vec(pause(), 0..3), times, verdicts, restarts, rest).prop_map(
        |(
            nodes,
            looked,
            pauses,
            (since, until, observer),
            (allowed, denied, force, proved, leaks),
            restarts,
            rest,
        )| {
            let stamped =
                |all: BTreeMap<&str, i64>| all.into_iter().map(|(name, m)| (node(name), at(m))).collect();
            let (groups, jobs, again, of) = rest;
            let restart = |m: i64| Restart { at: at(m), cause: Cause::Digest, why: Text::default() };
            let mut groups: Vec<OpenGroup> = groups;
            groups.sort_by(|a, b| a.key.cmp(&b.key));
            groups.dedup_by(|a, b| a.key == b.key);
            Evidence {
                since: at(since),
                until: at(until),
                observer: Text::from(observer),
                ground: Ground { cni: Some(Text::from(format!("{allowed}"))), dns: None },
                looked,
                nodes: nodes.into_iter().map(|(name, trail)| (node(name), trail)).collect(),
                pauses,
                restarts: restarts.into_iter().map(restart).collect(),
                verdicts: Verdicts {
                    allowed,
                    denied,
                    in_force: stamped(force),
                    proved: stamped(proved),
                    unproved: stamped(leaks.clone())
                        .into_iter()
                        .map(|(node, at)| (node, (at, Text::new("no room"))))
                        .collect(),
                    breached: stamped(leaks),
                },
                groups,
                jobs: jobs.into_iter().map(|(name, m)| (Text::new(name), at(m))).collect(),
                exercised: Exercised { of, again: again.into_iter().map(Text::from).collect() },
                ..empty()
            }
        },
    )
}

fn both(a: &Evidence, b: &Evidence) -> Evidence {
    a.union(b).expect("of the same rollout")
}

/// Without the example of each pause: which one is shown may depend on the order.
fn plain(mut evidence: Evidence) -> Evidence {
    let void = evidence.nodes.values_mut().flat_map(|trail| &mut trail.void);
    evidence.pauses.iter_mut().chain(void).for_each(|pause| pause.why = Text::default());
    evidence
}

proptest! {
    #[test]
    fn order_grouping_and_repetition_do_not_matter(a in evidence(), b in evidence(), c in evidence()) {
        prop_assert_eq!(both(&a, &b), both(&b, &a));
        prop_assert_eq!(plain(both(&both(&a, &b), &c)), plain(both(&a, &both(&b, &c))));
        let once = both(&a, &b);
        prop_assert_eq!(&both(&once, &once), &once);
        prop_assert_eq!(both(&once, &a), once);
    }

    #[test]
    fn no_minute_of_a_node_counts_that_none_of_them_heard(a in evidence(), b in evidence()) {
        let first = minute_of(at(0));
        // The second opinion: minute by minute, with no set arithmetic.
        let observed = |one: &Evidence, minute: i64| {
            let at = at(minute - first);
            (one.since <= at && at + TimeDelta::minutes(1) <= one.until)
                && one.looked.contains(minute) && !one.pauses.iter().any(|pause| pause.spans.contains(minute))
        };
        let void = |one: &Evidence, name: &str, minute| {
            one.nodes.get(&node(name)).is_some_and(|trail| trail.void.iter().any(|pause| pause.spans.contains(minute)))
        };
        let has = |one: &Evidence, name: &str, minute, of: fn(&Trail) -> &Spans| {
            observed(one, minute) && one.nodes.get(&node(name)).is_some_and(|trail| of(trail).contains(minute))
        };
        let begins = [&a, &b].iter().flat_map(|one| one.restarts.iter().map(|restart| restart.at)).max();
        let begins = begins.max(Some(a.since.min(b.since))).expect("there is one");
        let expected: Vec<i64> = (0..2 * MINUTES)
            .filter(|nth| {
                let minute = first + nth;
                let ran: Vec<_> = ["a", "b", "c"]
                    .into_iter()
                    .filter(|name| [&a, &b].iter().any(|one| has(one, name, minute, |trail| &trail.ran)))
                    .collect();
                at(*nth) >= begins
                    && !ran.is_empty()
                    && ran.iter().all(|name| {
                        [&a, &b].iter().any(|one| has(one, name, minute, |trail| &trail.heard))
                            && ![&a, &b].iter().any(|one| void(one, name, minute))
                    })
            })
            .collect();
        prop_assert_eq!(scene::credit_of(&judge_plain(&both(&a, &b), 2 * MINUTES * 60)), expected);
    }
}
