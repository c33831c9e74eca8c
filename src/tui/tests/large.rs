//! A fleet of more namespaces than are worked out at once: how often its plan is made anew, what does
//! not wait for that, and that the plan page and the opinions on denials come in bounded parts.

use chrono::TimeDelta;

use crate::{
    cockpit::{
        plan::FleetFile,
        planned,
        ports::{Change, ClusterFact, Fact},
        shared::SharedFact,
        world::World,
    },
    domain::{
        cni::{Cni, CniKind, Enforcement},
        fleet::{Environment, NamespaceSeen},
        flow::Direction,
        names::Text,
        policy::{Labels, Pinned, PolicyKind},
        steady::Kyverno,
    },
    tui::{
        fixture::{Denied, Player, cluster, denied, entry, now, ns, policy, target},
        model::{Main, View},
        settle::{is_behind, settle},
    },
};

const CLUSTER: &str = "prod-eu-1";
const NAMESPACES: usize = 3_000;

fn tell(world: &mut World, fact: ClusterFact) {
    world.absorb(Fact::Cluster(cluster(CLUSTER), fact));
}

fn cni(enforcement: Enforcement) -> ClusterFact {
    let evidence = Text::new("DaemonSet kube-system/cilium");
    ClusterFact::Cni(Cni { kind: CniKind::Cilium, version: None, enforcement, evidence })
}

fn seen(nth: usize) -> NamespaceSeen {
    let name = ns(&format!("ns-{nth:04}"));
    NamespaceSeen { name, labels: Labels::default(), owner: None, contact: None, terminating: false }
}

/// One cluster, and its first plan, which took so long.
fn large(took: i64) -> World {
    let mut world = World::new(now());
    let clusters = vec![entry(CLUSTER, Environment::Production)];
    world.absorb(Fact::Fleet(FleetFile { clusters, ..FleetFile::default() }));
    let (uid, version) = (Some(Text::new("uid-1")), Text::new("v1.33.2"));
    tell(&mut world, ClusterFact::Met { uid, version, kinds: Vec::new() });
    tell(&mut world, cni(Enforcement::Enforces));
    tell(&mut world, ClusterFact::Namespaces(Change::Reset((0..NAMESPACES).map(seen).collect())));
    tell(&mut world, ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
    tell(&mut world, ClusterFact::Pods(Change::Reset(Vec::new())));
    assert!(plans(&mut world, took), "the first one");
    world
}

fn is_begun(world: &mut World) -> bool {
    world.settle();
    world.is_drafting()
}

/// Works out the plan that was begun, which takes so many milliseconds.
fn finish(world: &mut World, took: i64) {
    while world.is_drafting() {
        world.plan_anew();
    }
    let mut waves = world.take_draft().expect("all is gathered").finish();
    waves.took(TimeDelta::milliseconds(took));
    world.absorb(Fact::Plan(Some(Box::new(waves))));
    assert!(world.take_old_plan().is_some(), "for somebody else to free");
    world.settle();
}

/// Is one due, and then worked out?
fn plans(world: &mut World, took: i64) -> bool {
    let begun = is_begun(world);
    if begun {
        finish(world, took);
    }
    begun
}

fn at(world: &mut World, secs: i64) {
    world.absorb(Fact::Tick(now() + TimeDelta::seconds(secs)));
}

fn comes(world: &mut World, nth: usize) {
    tell(world, ClusterFact::Namespaces(Change::Put(seen(nth))));
}

fn word(world: &World, ns: &str) -> &'static str {
    let target = target(CLUSTER, ns, Direction::Egress);
    world.waves().plan(Direction::Egress).row(&target).expect("a row").1.state.word()
}

fn deny(world: &mut World, ns: &str) {
    let pinned = Pinned::find(PolicyKind::NetworkPolicy, "default-deny-egress").expect("ours");
    let one = policy(ns, pinned, &[]);
    tell(world, ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(one)));
}

#[test]
fn a_plan_is_made_anew_after_twenty_times_what_it_took_and_a_minute_at_the_latest() {
    // Took milliseconds; due after seconds.
    for (took, due) in [(0, 5), (100, 5), (1_000, 20), (10_000, 60)] {
        let mut world = large(took);
        at(&mut world, 1);
        comes(&mut world, NAMESPACES);
        at(&mut world, due - 1);
        assert!(!plans(&mut world, took), "{took} ms: not before {due} s");
        at(&mut world, due);
        assert!(plans(&mut world, took), "{took} ms: at {due} s");
    }
    // What a person decides does not wait for what the last plan took.
    let mut world = large(10_000);
    at(&mut world, 4);
    world.absorb(Fact::Shared(SharedFact::Holds(Change::Reset(Vec::new()))));
    assert!(!plans(&mut world, 0));
    at(&mut world, 5);
    assert!(plans(&mut world, 0));
}

#[test]
fn what_is_found_again_as_it_was_makes_no_plan() {
    let mut world = large(0);
    at(&mut world, 6);
    tell(&mut world, cni(Enforcement::Enforces));
    tell(&mut world, ClusterFact::Kyverno(Box::new(Kyverno::absent())));
    tell(&mut world, ClusterFact::Answered);
    assert!(!plans(&mut world, 0));
    tell(&mut world, cni(Enforcement::DoesNot));
    assert!(plans(&mut world, 0));
    assert_eq!(word(&world, "ns-0000"), "blocked");
}

#[test]
fn the_row_of_a_policy_that_changed_waits_for_no_plan_and_is_not_set_back_by_an_older_one() {
    let mut world = large(10_000);
    assert_eq!(word(&world, "ns-0007"), "waiting");
    at(&mut world, 1);
    deny(&mut world, "ns-0007");
    assert!(!plans(&mut world, 0));
    assert_eq!((word(&world, "ns-0007"), word(&world, "ns-0008")), ("incident", "waiting"));
    assert_eq!(world.waves().at, now(), "the plan is that of before");

    // Its row is gathered, and then it changes.
    at(&mut world, 60);
    assert!(is_begun(&mut world));
    world.plan_anew();
    deny(&mut world, "ns-0001");
    world.settle();
    assert_eq!(word(&world, "ns-0001"), "incident");
    finish(&mut world, 0);
    assert_eq!(world.waves().at, now() + TimeDelta::seconds(60));
    assert_eq!((word(&world, "ns-0001"), word(&world, "ns-0002")), ("incident", "waiting"));
}

#[test]
fn the_plan_page_makes_its_rows_in_parts() {
    let mut player = Player::new(large(0), (120, 40));
    player.keys("7");
    assert!(matches!(player.model.view(), View::Main(Main::Plan)));
    let mut frames = 0;
    while is_behind(&player.model) {
        settle(&mut player.model, &player.world);
        frames += 1;
        assert!(frames < 10, "it comes to an end");
    }
    // Six thousand rows, two thousand at once; that of the key press is one of them, and the last is empty.
    assert_eq!(frames, 3);
    for direction in Direction::ALL {
        let want: Vec<_> =
            planned::plan_rows(&player.world, direction).map(|row| row.row.target.clone()).collect();
        let rows: Vec<_> = player.model.plan.of(direction).iter().map(|row| row.target.clone()).collect();
        assert_eq!(rows.len(), NAMESPACES);
        assert!(rows == want, "in the order of the plan");
    }
}

#[test]
fn our_evaluator_reads_a_large_cluster_once_a_minute_for_a_denial_that_goes_on() {
    let mut world = large(0);
    let mut weighed = |secs: i64| {
        at(&mut world, secs);
        for port in [80, 443] {
            let (workload, peer) = ("checkout", "api.example");
            let direction = Direction::Egress;
            denied(
                &mut world,
                &Denied { cluster: CLUSTER, ns: "ns-0000", workload, direction, peer, port, secs_ago: 0 },
            );
        }
        world.settle();
        let groups = world.denials().groups();
        groups.map(|group| (group.ours.as_ref().expect("asked").at - now()).num_seconds()).collect::<Vec<_>>()
    };
    // Both groups of the row at once.
    assert_eq!(weighed(1), [1, 1]);
    assert_eq!(weighed(30), [1, 1]);
    assert_eq!(weighed(61), [61, 61]);
}
