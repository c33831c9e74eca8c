//! Goldens: every view and every dialog at two sizes, each theme once, and what no screen may do
//! whatever a cluster is called.

use unicode_width::UnicodeWidthStr;

use crate::{
    cockpit::{
        orders::{Answer, OrderId, Outcome},
        ports::{Baseline, Change, ClusterFact, Fact, Link, Trouble},
        world::World,
    },
    domain::{
        coverage::CronJob,
        edge::Peer,
        fleet::{Environment, Health, Isolation},
        flow::{Direction, Protocol},
        names::Text,
        sighting,
    },
    tui::{
        Theme,
        fixture::{
            self, Denied, Player, now,
            week::{self, Went},
            world,
        },
        theme,
    },
};

/// What is seen after some keys, and its name.
pub const SCREENS: &[(&str, &str)] = &[
    ("fleet", ""),
    ("fleet_unfolded", "enter j j j l space space"),
    ("fleet_cluster_down", "j"),
    ("fleet_cluster_zoomed", "j z"),
    ("fleet_list_zoomed", "enter Z"),
    ("fleet_filtered", "/ \"pay\" enter j"),
    ("fleet_filter_typed", "/ \"!stage_phase:soak\""),
    ("fleet_clock_times", "t"),
    ("denials", "2"),
    ("denials_frozen", "2 f"),
    ("denials_filtered_away", "2 / \"nothing\" enter"),
    ("group", "2 enter"),
    ("live", "3"),
    ("activity_empty", "4"),
    ("sources", "5"),
    ("notices", "6"),
    ("namespace", "enter j j j enter"),
    ("namespace_egress", "enter j j j enter tab"),
    ("namespace_denials", "enter j j j enter tab tab tab"),
    ("destinations", "enter j j j d"),
    ("destinations_by_flows_egress", "enter j j j d tab s s s esc j"),
    ("destinations_filtered", "enter j j j d / \"dir:egress_!cat:internal_stripe\" enter"),
    ("destinations_filter_typed", "enter j j j d / \"grade:none\""),
    ("destinations_never_read", "enter j j d"),
    ("destinations_no_collector", "j j j enter j d"),
    ("destinations_collector_broken", "j j j j enter j d"),
    ("dossier", "enter j j j d j j enter"),
    ("dossier_scrolled", "enter j j j d j j enter pgdn"),
    ("coverage", "enter j j j v"),
    ("coverage_scrolled", "enter j j j v pgdn pgdn"),
    ("coverage_unknown", "j j j enter j v"),
    ("help", "?"),
    ("help_searched", "? \"mark\""),
    ("palette", ": \"pay\""),
    ("menu", "enter j j j m"),
    ("apply_off", "enter j j a"),
    ("apply_waits", "enter j j j l j j a"),
    ("rollback_namespace", "enter j j j ctrl-r"),
    ("rollback_cluster", "ctrl-r"),
    ("rollback_cluster_down", "j ctrl-r"),
    ("rollback_marked", "enter j j j space space k k ctrl-r"),
];

fn name(view: &str, (width, height): (u16, u16)) -> String {
    format!("{view}_{width}x{height}")
}

#[test]
fn every_view_and_dialog() {
    for size in [(80, 24), (120, 40)] {
        for (view, keys) in SCREENS {
            let mut player = Player::new(world(), size);
            player.keys(keys);
            insta::assert_snapshot!(name(view, size), player.screen());
        }
    }
    let widest = [
        ("fleet", "enter j j j"),
        ("denials", "2"),
        ("destinations", "enter j j j d j"),
        ("dossier", "enter j j j d j enter"),
        ("coverage", "enter j j j v"),
    ];
    for (view, keys) in widest {
        let mut player = Player::new(world(), (200, 60));
        player.keys(keys);
        insta::assert_snapshot!(name(view, (200, 60)), player.screen());
    }
}

#[test]
fn confirmations_of_an_apply() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(world(), size);
        player.keys("enter j j j l j j a").previews_come();
        insta::assert_snapshot!(name("apply_production", size), player.screen());
        player.keys("\"paymen\"");
        insta::assert_snapshot!(name("apply_half_typed", size), player.screen());
        player.keys("\"ts\" pgdn");
        insta::assert_snapshot!(name("apply_typed_and_scrolled", size), player.screen());

        let mut player = Player::new(world(), size);
        player.keys("j j j enter j a").previews_come();
        insta::assert_snapshot!(name("apply_wave_of_staging", size), player.screen());

        let mut player = Player::new(world(), size);
        player.keys("enter j j j l j a").previews_come();
        insta::assert_snapshot!(name("apply_nothing_to_do", size), player.screen());
    }
}

#[test]
fn orders_and_their_results() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(world(), size);
        player.keys("enter j j j l j j a").previews_come().keys("\"payments\" enter 5");
        insta::assert_snapshot!(name("apply_started", size), player.screen());
        player.wrote(OrderId(2), Answer::Done { version: Some("78".into()) });
        player.keys("esc q");
        player.keys("ctrl-c");
        insta::assert_snapshot!(name("quit_asks", size), player.screen());
        player.keys("esc 4");
        insta::assert_snapshot!(name("activity_running", size), player.screen());
        let refused = Trouble::new("ingress-allowlist", "403 Forbidden", "Ask the cluster's admin.");
        player.wrote(OrderId(2), Answer::Refused(refused.clone()));
        let isolation = Some(Isolation { pods: 3, isolated: 0, ..Isolation::default() });
        player.keys("1").ended(OrderId(2), Outcome::Stopped { trouble: refused, isolation });
        insta::assert_snapshot!(name("result_of_an_order_off_screen", size), player.screen());
        player.keys("4 g");
        insta::assert_snapshot!(name("activity", size), player.screen());
    }
}

#[test]
fn empty_worlds_say_what_would_fill_them() {
    for (view, keys) in [("fleet", ""), ("denials", "2"), ("live", "3"), ("sources", "5"), ("notices", "6")] {
        let mut player = Player::new(World::new(now()), (80, 24));
        player.keys(keys);
        insta::assert_snapshot!(format!("empty_{view}"), player.screen());
    }
    let mut read_only = world();
    read_only.absorb(Fact::ReadOnly);
    let mut player = Player::new(read_only, (80, 24));
    player.keys("enter j j j ctrl-r");
    insta::assert_snapshot!("rollback_read_only", player.screen());
}

#[test]
fn each_theme_once() {
    for theme in theme::names() {
        let mut player = Player::new(world(), (80, 24));
        player.theme = Theme::load(theme).unwrap();
        player.keys("enter j j j");
        insta::assert_debug_snapshot!(format!("theme_{theme}"), player.buffer());
    }
}

#[test]
fn ascii_screens_hold_nothing_but_ascii() {
    for (view, keys) in SCREENS {
        let mut player = Player::new(world(), (80, 24));
        player.model.settings.ascii = true;
        player.keys(keys);
        let screen = player.screen();
        assert!(screen.is_ascii(), "{view}: {:?}", screen.chars().find(|c| !c.is_ascii()));
    }
}

/// A world whose every free text is hostile.
fn hostile() -> World {
    let evil = "\u{1b}[2J\u{202e}x\r\n\u{9b}31m日本語語語語語語語語語語語\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}👩‍👩‍👧‍👦";
    let long = evil.repeat(30);
    let mut world = world();
    let trouble = || Trouble::new(&long, &long, &long);
    world.absorb(Fact::Notice(trouble()));
    for name in ["stage-1", "stage-2"] {
        world.absorb(Fact::Cluster(fixture::cluster(name), ClusterFact::Away(trouble())));
    }
    for _ in 0..3 {
        fixture::denied(
            &mut world,
            &Denied {
                cluster: "prod-eu-1",
                ns: "payments",
                workload: "checkout",
                direction: Direction::Ingress,
                peer: &long,
                port: 65_535,
                secs_ago: 3,
            },
        );
    }
    hostile_week(&mut world, &long);
    world.settle();
    world
}

/// The same in everything that a collector tells.
fn hostile_week(world: &mut World, long: &str) {
    let mut tell = |name: &str, fact| world.absorb(Fact::Cluster(fixture::cluster(name), fact));
    let none = Link::None(Text::new(long));
    tell("stage-1", ClusterFact::Collector(Box::new(week::collector(none))));
    let broken = Link::Broken(Trouble::new(long, long, long));
    tell("stage-2", ClusterFact::Collector(Box::new(week::collector(broken))));
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let named = Went {
        workload: "checkout",
        peer: week::address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        name: Some(&longest),
        also: &[&longest],
        chain: &[&longest],
        direction: Direction::Egress,
        port: 65_535,
        protocol: Protocol::Sctp,
        outcome: sighting::Outcome::Allowed,
        flows: u64::MAX,
        hours: vec![1],
        grades: [0; 3],
    };
    let (key, edge) = named.edge(&fixture::ns("payments"));
    let hostile =
        Went { workload: long, name: None, peer: Peer::Unsaid(Text::new(long)), hours: vec![2], ..named };
    let edges = vec![(key, edge), hostile.edge(&fixture::ns("payments"))];
    let baseline = Baseline {
        ns: fixture::ns("payments"),
        window: week::window(),
        edges,
        left_out: u64::MAX,
        trouble: Some(Trouble::new(long, long, long)),
    };
    tell("prod-eu-1", ClusterFact::Baseline(Box::new(baseline)));
    let job = CronJob {
        ns: fixture::ns("payments"),
        name: Text::new(long),
        schedule: Text::new(long),
        zone: Some(Text::new(long)),
        suspended: true,
        last_run: None,
        longest_pause: None,
    };
    tell("prod-eu-1", ClusterFact::CronJobs(Change::Reset(vec![job])));
}

#[test]
fn hostile_strings_never_reach_a_cell_raw_and_never_overflow_it() {
    for (width, height) in [(60, 14), (80, 24), (120, 40), (200, 60)] {
        for (view, keys) in SCREENS {
            let mut player = Player::new(hostile(), (width, height));
            player.keys(keys);
            let buffer = player.buffer();
            for (at, cell) in buffer.content.iter().enumerate() {
                let symbol = cell.symbol();
                assert!(!symbol.chars().any(crate::domain::names::is_hostile), "{view}: {symbol:?} at {at}");
                let column = at % usize::from(width);
                assert!(
                    column + symbol.width() <= usize::from(width),
                    "{view}: {symbol:?} leaves the screen"
                );
                assert!(symbol.chars().count() <= 4, "{view}: {symbol:?} is a heap");
            }
        }
    }
}

#[test]
fn a_terminal_that_is_too_small_says_what_it_needs() {
    for size in [(1, 1), (20, 5), (59, 24), (80, 13)] {
        let player = Player::new(world(), size);
        assert!(size.0 < 20 || player.screen().contains("sluice needs"), "{size:?}");
    }
}

/// Nobody sees now whether it goes on: no rate, however young the last one is.
#[test]
fn how_often_is_unknown_while_the_flows_are_not_seen() {
    let cluster = fixture::cluster("prod-eu-1");
    let mut world = world();
    let mut player = Player::new(world.clone(), (120, 40));
    player.keys("2");
    let says = |player: &mut Player| player.screen().contains("? a minute now");
    assert!(!says(&mut player), "{}", player.screen());
    let mut state = world.source(&cluster).and_then(|source| source.state.clone()).unwrap();
    state.link = Link::Broken(Trouble::new("Hubble Relay", "connection refused", "Wait."));
    world.absorb(Fact::Cluster(cluster, ClusterFact::Source(state)));
    world.settle();
    let mut player = Player::new(world, (120, 40));
    player.keys("2");
    assert!(says(&mut player), "{}", player.screen());
}

#[test]
fn unknown_is_never_drawn_as_zero() {
    let mut player = Player::new(world(), (120, 40));
    player.keys("j j j j j");
    let screen = player.screen();
    let edge = screen.lines().find(|line| line.contains("◌ connecting")).unwrap();
    assert!(edge.contains('?') && edge.contains("never") && !edge.contains('0'), "{edge}");
    let down = screen.lines().find(|line| line.contains("prod-us-2")).unwrap();
    assert!(down.contains("✖ down") && down.contains("old"), "{down}");
    let row = player.model.fleet.row(&fixture::cluster("prod-us-2")).unwrap();
    assert!(matches!(row.health, Health::Down(_)) && row.environment == Environment::Production);
    assert_eq!(row.denials_per_minute, None);
    let silent = player.model.fleet.row(&fixture::cluster("edge-9")).unwrap();
    assert_eq!(silent.collector.progress.words(), "?");
    let none = screen.lines().find(|line| line.contains("stage-1")).unwrap();
    assert!(none.contains("no collector"), "{none}");
}
