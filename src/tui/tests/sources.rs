//! What the sources page says of a cluster for each kind of source beside Hubble and Goldmane: its link,
//! its figures, and its limits in words.

use chrono::TimeDelta;

use crate::{
    cockpit::{
        ports::{ClusterFact, Fact, Link, SourceState, Trouble},
        rows::{self, Phase, Standing},
    },
    domain::{flow::Direction, names::Text, source::SourceKind},
    tui::{
        Theme,
        fixture::{self, Player, now, world},
        view::detail,
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
        assert_eq!(detail::next(&world, &pen, &row).1, said);
    }
}
