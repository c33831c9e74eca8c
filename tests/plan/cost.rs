//! The plan is worked out when facts come that it rests on, and otherwise once a minute: neither a
//! frame nor a flood costs it anything.

use chrono::TimeDelta;
use sluice::{
    cockpit::{
        ports::{Change, ClusterFact, Fact, Gap},
        shared::SharedFact,
    },
    domain::{
        fleet::Enforcement,
        hold::{HoldKind, Scope},
        names::Text,
    },
};

use super::fixture::{Fleet, cluster, now, row, settings};

#[test]
fn it_is_worked_out_anew_only_for_facts_that_it_rests_on() {
    let mut fleet = Fleet::new(settings());
    let mut secs = 0;
    // Did this make it anew? Time moves by a second before each.
    let mut anew = |fleet: &mut Fleet, act: &dyn Fn(&mut Fleet)| {
        secs += 1;
        fleet.tell(Fact::Tick(now() + TimeDelta::seconds(secs)));
        let before = fleet.world.waves().at;
        act(fleet);
        let after = fleet.world.waves().at;
        assert!(before == after || after == fleet.world.now());
        before != after
    };
    let gap = Gap {
        node: None,
        from: now(),
        until: None,
        lost: None,
        cause: sluice::domain::evidence::Cause::SourceSilent,
        why: Text::new("x"),
    };
    let quiet: [&dyn Fn(&mut Fleet); 6] = [
        &|_| {},
        &|fleet| fleet.cluster("eu", ClusterFact::Flows(Vec::new())),
        &|fleet| fleet.cluster("eu", ClusterFact::Gap(gap.clone())),
        &|fleet| fleet.cluster("eu", ClusterFact::Answered),
        // Pods come and go, and each namespace still has some.
        &|fleet| fleet.pods("eu", &["api", "pay", "shop", "tool"]),
        &|fleet| fleet.share(SharedFact::Clock(now())),
    ];
    for (nth, act) in quiet.into_iter().enumerate() {
        assert!(!anew(&mut fleet, act), "fact {nth}");
    }
    let counts: [&dyn Fn(&mut Fleet); 6] = [
        &|fleet| fleet.pods("eu", &["api", "pay", "shop"]),
        &|fleet| fleet.enforce("us", Enforcement::DoesNot),
        &|fleet| fleet.cluster("us", ClusterFact::Namespaces(Change::Reset(Vec::new()))),
        &|fleet| fleet.cluster("far", ClusterFact::Answered),
        &|fleet| fleet.apply(&row("stg/job"), 1),
        &|fleet| fleet.hold("h1", Scope::Cluster(cluster("eu")), HoldKind::Hold, None),
    ];
    for (nth, act) in counts.into_iter().enumerate() {
        assert!(anew(&mut fleet, act), "fact {nth}");
    }
}

/// Ages and credits on screen are never older than a minute; what runs out, runs out on time.
#[test]
fn it_is_never_older_than_a_minute() {
    let mut fleet = Fleet::new(settings());
    let at = |fleet: &mut Fleet, secs| {
        fleet.tell(Fact::Tick(now() + TimeDelta::seconds(secs)));
        (fleet.world.waves().at - now()).num_seconds()
    };
    assert_eq!(
        [at(&mut fleet, 59), at(&mut fleet, 60), at(&mut fleet, 90), at(&mut fleet, 121)],
        [0, 60, 60, 121]
    );
    let until = Some("2026-11-23T12:02:30Z");
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, until);
    assert_eq!([at(&mut fleet, 149), at(&mut fleet, 150)], [121, 150]);
}
