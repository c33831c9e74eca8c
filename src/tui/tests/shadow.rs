//! Shadow before enforcement as people see it: the confirmation, the row while it stands, and what a real
//! apply says of it afterwards.

use chrono::TimeDelta;

use crate::{
    cockpit::{
        decide::Command,
        orders::{OrderKind, Origin, Preview},
        ports::{Change, ClusterFact, Fact, OrderFact},
        world::World,
    },
    domain::{
        flow::{Direction, End, Entity, Flow, FlowId, Protocol, Verdict},
        names::{Text, Workload},
        rollout::Target,
        shadow::{self, Staged},
    },
    tui::{
        Ask,
        fixture::{self, Player, now, ns, preview, target, world},
    },
};

fn told(world: &mut World, fact: ClusterFact) {
    world.absorb(Fact::Cluster(fixture::cluster("stage-1"), fact));
    world.settle();
}

fn row() -> Target {
    target("stage-1", "api", Direction::Egress)
}

/// Calico that stages, with Goldmane heard and nothing staged yet.
fn calico() -> World {
    let mut world = world();
    told(&mut world, ClusterFact::Staged(Some(Change::Reset(Vec::new()))));
    told(&mut world, super::goldmane::live());
    world
}

/// The workspace's set stands staged since two hours; one destination would have been denied.
fn staged() -> World {
    let mut world = calico();
    let key = (row().cluster, row().ns, Direction::Egress);
    let created = Some(now() - TimeDelta::hours(2));
    let set = world.files().sets[&key].set.clone();
    let all = set.into_values().map(|policy| Staged { policy, deletes: false, created });
    told(&mut world, ClusterFact::Staged(Some(Change::Reset(all.collect()))));
    let flow = Flow {
        id: FlowId("1".into()),
        at: now() - TimeDelta::seconds(30),
        node: None,
        direction: Direction::Egress,
        verdict: Verdict::Audit { said: Text::new("staged: end of tier default"), by: Vec::new() },
        source: End { ns: Some(ns("api")), workload: Some(Workload::new("", "checkout")), ..End::default() },
        destination: End { entity: Some(Entity::World), ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 0,
        port: 443,
        reply: Some(false),
        closing: false,
    };
    told(&mut world, ClusterFact::Flows(vec![flow]));
    world
}

/// The cursor on the egress row of `api`.
fn player(world: World) -> Player {
    let mut player = Player::new(world, (120, 40));
    player.keys("j j j l j l j");
    player
}

/// The server answers the previews that wait.
fn answer(player: &mut Player, change: impl Fn(&World, &mut Preview)) {
    let orders = player.world.orders().iter();
    let waiting: Vec<_> = orders
        .filter(|order| order.kind == OrderKind::Preview && order.is_running())
        .map(|order| (order.id, order.target.clone()))
        .collect();
    assert_eq!(waiting.len(), 1);
    for (id, target) in waiting {
        let mut shown = preview(&player.world, &target);
        change(&player.world, &mut shown);
        player.world.absorb(Fact::Order(id, OrderFact::Previewed(Box::new(shown))));
    }
    player.settle();
}

#[test]
fn the_confirmation_says_that_nothing_is_enforced() {
    let mut player = player(calico());
    player.keys("H");
    answer(&mut player, |_, shown| {
        shown.origin = Origin::Shadow;
        shown.after = shown.before.clone();
        shown.steps = shadow::steps(&Default::default(), &shown.set, Direction::Egress);
        shown.commands = shown.steps.iter().map(|step| format!("create {}", step.pinned().name)).collect();
        shown.warnings = vec![Text::new("nothing of it is enforced")];
    });
    insta::assert_snapshot!("shadow_dialog_120x40", player.screen());
    let is_apply = |ask: &Ask| matches!(ask, Ask::Command(Command::Apply(_)));
    assert!(!player.asks.iter().any(is_apply), "nothing without the word");
    player.keys("\"yes\" enter");
    assert!(player.asks.last().is_some_and(is_apply));
}

#[test]
fn the_row_says_since_when_and_what_it_would_deny() {
    let player = player(staged());
    insta::assert_snapshot!("shadow_row_120x40", player.screen());
}

#[test]
fn a_real_apply_says_what_its_shadow_says() {
    let mut same = player(staged());
    same.keys("a");
    answer(&mut same, |_, _| {});
    let screen = same.screen();
    assert!(screen.contains("shadow soaked 2h00m: would deny 1 group in the 0s heard"), "{screen}");
    let mut other = player(staged());
    other.keys("a");
    answer(&mut other, |_, shown| {
        let valve = &shown.set["default-deny-egress"];
        shown.digest = crate::domain::policy::PolicyDigest::of([valve]);
    });
    let screen = other.screen();
    assert!(screen.contains("its shadow was for other bytes ("), "{screen}");
}
