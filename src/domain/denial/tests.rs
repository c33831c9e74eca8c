//! Which groups there are, in which order, and of which our evaluator is asked.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::{eval, flow::FlowId, opinion::Opinion};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(secs, 0).expect("in range")
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a name")
}

/// The nth namespace is denied something.
fn denied(n: usize, secs: i64, verdict: Verdict) -> Flow {
    Flow {
        id: FlowId("a".into()),
        at: at(secs),
        node: None,
        direction: Direction::Egress,
        verdict,
        source: End { ns: NsName::parse(&format!("ns-{n}")).ok(), ..End::default() },
        destination: End::default(),
        protocol: Protocol::Tcp,
        source_port: 1,
        port: 443,
        reply: None,
        closing: false,
    }
}

fn no() -> Verdict {
    Verdict::Denied { said: Text::new("end of tier default"), by: Vec::new() }
}

#[test]
fn namespaces_that_somebody_makes_up_do_not_fill_the_memory() {
    let mut denials = Denials::default();
    let cluster = cluster("east");
    for n in 0..Denials::ROWS + 100 {
        denials.note(&cluster, &denied(n, n as i64, no()), PodAge::default(), at(n as i64));
    }
    assert_eq!(denials.rows.len(), Denials::ROWS - Denials::ROWS / 10 + 100);
    assert!(
        denials.groups.len() <= Denials::GROUPS
            && denials.would.is_empty()
            && denials.live.len() == Denials::LIVE
    );
    let kept: u64 = denials.groups.values().map(|group| group.count).sum();
    assert_eq!(kept + denials.forgotten, denials.total);
}

#[test]
fn what_would_have_been_denied_stands_apart_and_counts_nowhere() {
    let mut denials = Denials::default();
    let cluster = cluster("east");
    let would = || Verdict::Audit { said: Text::new("staged: end of tier default"), by: Vec::new() };
    denials.note_would(&cluster, &denied(1, 10, would()), at(99));
    denials.note(&cluster, &denied(1, 20, no()), PodAge::default(), at(99));
    denials.note_would(&cluster, &denied(1, 30, would()), at(99));
    denials.note_would(&cluster, &denied(2, 40, would()), at(99));
    denials.settle();
    let real: Vec<_> = denials.groups().map(|group| (group.class, group.count, group.last)).collect();
    assert_eq!(real, [(Class::Hurting, 1, at(20))]);
    let apart: Vec<_> = denials.would().map(|group| (group.class, group.count, group.last)).collect();
    assert_eq!(apart, [(Class::Would, 1, at(40)), (Class::Would, 2, at(30))]);
    assert_eq!((denials.total(), denials.live().len(), denials.ids().len()), (1, 1, 1));
    let ns = NsName::parse("ns-2").expect("a name");
    assert!(denials.minutes(&cluster, &ns, Direction::Egress).is_none(), "no row was denied anything");
    assert_eq!(denials.take_changed().len(), 1, "no soak hears of it");
    denials.expect(denials.ids().into_iter(), |_| true);
    assert!(denials.would().all(|group| group.class == Class::Would));
    for n in 0..Denials::WOULD + 10 {
        denials.note_would(&cluster, &denied(n, 100 + n as i64, would()), at(9_999));
    }
    assert_eq!(denials.would().len(), Denials::WOULD);
    assert_eq!(denials.groups().len(), 1, "a flood of them costs no denial");
}

#[test]
fn a_flood_in_one_cluster_takes_no_other_its_turn() {
    let mut denials = Denials::default();
    let (east, west) = (cluster("east"), cluster("west"));
    let word = |secs| Weighed {
        opinion: Opinion { verdict: eval::verdict::Verdict::Denied, why: Text::default() },
        of_then: true,
        at: at(secs),
    };
    let who = |denials: &Denials, now: i64, rest: i64| {
        let rest = |name: &ClusterName| (name.as_str() != "gone").then(|| TimeDelta::seconds(rest));
        let ids = denials.unweighed(2, at(now), rest);
        let name = |id: &GroupId| denials.group(*id).map(|group| group.key.ns.to_string());
        (ids.iter().filter_map(name).collect::<Vec<_>>().join(" "), ids)
    };
    for n in 1..=3 {
        denials.note(&east, &denied(n, 1, no()), PodAge::default(), at(1));
    }
    denials.note(&cluster("gone"), &denied(0, 1, no()), PodAge::default(), at(1));
    let (first, ids) = who(&denials, 1, 0);
    assert_eq!(first, "ns-1 ns-2");
    ids.into_iter().for_each(|id| denials.weigh(id, word(1)));
    denials.note(&west, &denied(9, 2, no()), PodAge::default(), at(2));
    for n in 1..=3 {
        denials.note(&east, &denied(n, 2, no()), PodAge::default(), at(2));
    }
    let (then, ids) = who(&denials, 2, 0);
    assert_eq!(then, "ns-3 ns-9", "of those it was not asked at all");
    ids.into_iter().for_each(|id| denials.weigh(id, word(2)));
    assert_eq!(who(&denials, 60, 60).0, "", "it rests");
    assert_eq!(who(&denials, 61, 60).0, "ns-1 ns-2");
}

proptest! {
    /// Whatever came in whatever order: hurting first, then the newest.
    #[test]
    fn groups_stand_by_what_they_are_now(
        steps in prop::collection::vec((0_usize..30, 0_i64..500, 0_u8..8), 1..200)
    ) {
        let mut denials = Denials::default();
        let east = cluster("east");
        for (n, secs, what) in steps {
            match what {
                0 => denials.settle(),
                1 => denials.expect(denials.ids().into_iter(), |group| group.id.0 % 3 == n as u32 % 3),
                _ => denials.note(&east, &denied(n, secs, no()), PodAge::default(), at(500)),
            }
        }
        denials.settle();
        let shown: Vec<_> = denials.groups().map(|group| (group.class, Reverse(group.last), group.id)).collect();
        prop_assert!(shown.is_sorted());
        let ids: BTreeSet<_> = shown.iter().map(|(_, _, id)| *id).collect();
        prop_assert_eq!(ids, denials.ids().into_iter().collect::<BTreeSet<_>>());
    }
}

#[test]
fn a_port_that_was_not_told_is_not_port_0() {
    let key = |protocol, port| GroupKey {
        cluster: cluster("east"),
        ns: NsName::parse("shop").expect("a name"),
        workload: None,
        direction: Direction::Egress,
        peer: Peer::Address([192, 0, 2, 9].into()),
        port,
        protocol,
    };
    for (protocol, port, words) in [
        (Protocol::Tcp, 443, "192.0.2.9:443/TCP"),
        (Protocol::Icmp, 0, "192.0.2.9 ICMP"),
        (Protocol::Unknown, 0, "192.0.2.9, port not told"),
    ] {
        assert_eq!(key(protocol, port).peer_words(), words);
    }
}
