//! What the sources page says of a cluster for each kind of source beside Hubble and Goldmane: its link,
//! its figures, and its limits in words.

use chrono::TimeDelta;

use crate::{
    cockpit::{
        orders::Target,
        ports::{ClusterFact, Fact, Link, SourceState, Trouble},
        rows::{self, Nodes, Phase, Standing},
        world::World,
    },
    domain::{flow::Direction, names::Text, source::SourceKind},
    tui::{
        Theme,
        fixture::{self, Player, lead, now, reviews, world},
        view::next,
        widgets::Pen,
    },
};

fn page(kind: SourceKind, name: &str, link: Link, size: (u16, u16)) -> String {
    let live = link == Link::Live;
    let mut world = world();
    let state = SourceState {
        kind,
        name: Text::new(name),
        link,
        history_from: live.then(|| now() - TimeDelta::minutes(20)),
        lag: live.then(|| TimeDelta::seconds(3)),
        nodes_connected: Some(if live { 3 } else { 0 }),
        nodes_unavailable: Some(if live { 0 } else { 3 }),
        malformed: 1,
        repeats: 2,
    };
    world.absorb(Fact::Cluster(fixture::cluster("stage-1"), ClusterFact::Source(state)));
    world.settle();
    let mut player = Player::new(world, size);
    player.keys("5 / \"stage-1\" enter");
    player.screen()
}

#[test]
fn each_kind_of_source_says_its_limits() {
    for (kind, name) in [
        (SourceKind::AntreaFlows, "Antrea flow aggregator"),
        (SourceKind::AntreaLog, "np.log, from pods' logs"),
        (SourceKind::CalicoLog, "kernel log, from pods' logs"),
        (SourceKind::CalicoFiles, "flows.log, from pods' logs"),
        (SourceKind::KernelLog, "kernel log, from pods' logs"),
    ] {
        for size in [(80, 24), (120, 40)] {
            let called = kind.as_str().replace([' ', '.'], "_");
            let golden = format!("{called}_{}x{}", size.0, size.1);
            insta::assert_snapshot!(golden, page(kind, name, Link::Live, size));
        }
    }
}

#[test]
fn a_source_that_cannot_be_read_says_why_and_what_to_do() {
    let trouble = Trouble::new(
        "log of pod sluice/sluice-printer-x7k2z",
        "forbidden (HTTP 403): you may not get pods/log in sluice",
        "Ask for it: kubectl -n sluice create rolebinding …",
    );
    let broken = page(SourceKind::AntreaLog, "np.log, from pods' logs", Link::Broken(trouble), (120, 40));
    insta::assert_snapshot!("broken_120x40", broken);
    let needed = "the flow aggregator serves no FlowStreamService (Antrea 2.7, flowStreamService.enable), and no pod prints np.log";
    let none = page(SourceKind::Unknown, "none", Link::None(Text::new(needed)), (120, 40));
    insta::assert_snapshot!("none_120x40", none);
}

/// Blind is not quiet: where no source is live, nobody is told that nothing is denied.
#[test]
fn what_cannot_be_seen_is_not_called_quiet() {
    let world = world();
    let (cluster, ns) = (fixture::cluster("prod-eu-1"), fixture::ns("payments"));
    let cluster = world.cluster(&cluster).expect("it is there");
    let mut row = rows::rollout_row(&world, cluster, &cluster.namespaces[&ns], Direction::Egress);
    (row.standing, row.order) = (Standing::InForce, None);
    row.drift.clear();
    let (theme, settings) = (Theme::load("mono").expect("a theme"), Player::new(fixture::world(), (80, 24)));
    let pen = Pen::new(&theme, &world, &settings.model.settings);
    for (phase, rate, said) in [
        (Phase::Soaking, Some(0.0), "watch it; nothing is denied now"),
        (Phase::Soaking, None, "what is denied cannot be seen now: 5 shows why"),
        (Phase::Steady, Some(0.0), "it soaked clean, and is watched on"),
        (Phase::Steady, None, "what is denied cannot be seen now: 5 shows why"),
    ] {
        (row.phase, row.denials_per_minute) = (phase, rate);
        assert_eq!(next::next(&world, &pen, &row).1, said);
    }
}

fn next_of(world: &World, target: &Target) -> String {
    let (theme, player) = (Theme::load("mono").expect("a theme"), Player::new(fixture::world(), (80, 24)));
    let pen = Pen::new(&theme, world, &player.model.settings);
    let cluster = world.cluster(&target.cluster).expect("it is there");
    let row = rows::rollout_row(world, cluster, &cluster.namespaces[&target.ns], target.direction);
    next::next(world, &pen, &row).1
}

/// Nobody is told to watch a row that is wrong.
#[test]
fn what_is_wrong_comes_before_everything_else_that_could_be_done() {
    let row = fixture::target("prod-eu-1", "payments", Direction::Egress);
    assert_eq!(
        next_of(&reviews::reviewed(), &row),
        "incident: the grant of rv-05 ended 2d00h ago: e asks for a new one, ctrl-r takes it back"
    );
    assert_eq!(next_of(&lead::leaking(), &row), "not enforced on node-1: a probe got through; F says why");
    assert!(!next_of(&lead::proved(), &row).contains("node-1"));
}

/// Seen on each node that runs its pods, or said of how many.
#[test]
fn in_force_is_said_of_nodes() {
    for (standing, words, short, code) in [
        (Standing::InForce, "in force", "in force", "in force"),
        (Standing::OnSome(Nodes::Of(1, 2)), "in force on 1 of 2 nodes", "1/2 nodes", "in force in part"),
        (Standing::OnSome(Nodes::Unknown), "in force on ? nodes", "? nodes", "in force in part"),
        (Standing::Accepted, "accepted", "accepted", "accepted"),
    ] {
        assert_eq!(
            (standing.words().as_str(), standing.short().as_str(), standing.as_str()),
            (words, short, code)
        );
    }
    let row = fixture::target("prod-eu-1", "payments", Direction::Egress);
    let standing = |world: &World| {
        let cluster = world.cluster(&row.cluster).expect("it is there");
        rows::rollout_row(world, cluster, &cluster.namespaces[&row.ns], row.direction).standing
    };
    // One verdict was seen, and which nodes run its pods nobody has told.
    assert_eq!(standing(&world()), Standing::OnSome(Nodes::Unknown));
    // The team's observer saw it on the only one.
    assert_eq!(standing(&lead::world()), Standing::InForce);
}
