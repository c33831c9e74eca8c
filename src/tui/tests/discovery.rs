//! Keys on the pages of discovery: what is opened, what is asked and how often, where the cursor
//! stays, what a filter leaves.

use chrono::TimeDelta;

use crate::{
    cockpit::{decide::Command, dossier::label, ports::Fact},
    domain::flow::Direction,
    tui::{
        Ask, destinations,
        fixture::{Player, cluster, now, ns, target, week, world},
        model::{RowKey, View},
        offer,
        update::follow,
    },
};

fn player(keys: &str) -> Player {
    let mut player = Player::new(world(), (80, 24));
    player.keys(keys);
    player
}

fn payments() -> View {
    View::Destinations(cluster("prod-eu-1"), ns("payments"))
}

fn chosen(player: &Player) -> String {
    destinations::chosen(&player.model, &player.world).map_or_else(|| "nothing".to_owned(), label)
}

fn labels(player: &Player) -> Vec<String> {
    let rows = 0..player.model.found.list.rows().len();
    rows.filter_map(|row| destinations::at(&player.model, &player.world, row)).map(label).collect()
}

#[test]
fn destinations_open_from_wherever_their_namespace_is() {
    for keys in
        ["enter j j j d", "enter j j j enter d", "2 d", "2 enter d", "enter j j j v d", "enter j j j l j d"]
    {
        assert_eq!(*player(keys).model.view(), payments(), "{keys}");
    }
    let mut on_a_cluster = player("d");
    assert!(on_a_cluster.screen().contains("it is about one namespace"), "{}", on_a_cluster.screen());
    on_a_cluster.keys("esc enter j j j d v d enter esc esc");
    assert_eq!(*on_a_cluster.model.view(), View::Coverage(cluster("prod-eu-1"), ns("payments")), "history");
    assert!(on_a_cluster.asks.is_empty());
}

#[test]
fn enter_opens_the_dossier_and_esc_comes_back_to_the_same_row() {
    let mut player = player("enter j j j d j j");
    let row = chosen(&player);
    player.keys("enter");
    let View::Dossier(.., key) = player.model.view().clone() else { panic!("{:?}", player.model.view()) };
    assert_eq!(Some(&*key), player.model.found.list.chosen());
    player.keys("esc");
    assert_eq!((player.model.view(), chosen(&player)), (&payments(), row));
}

#[test]
fn suspects_come_first_and_every_order_keeps_the_cursor_on_its_row() {
    let mut player = player("enter j j j d");
    assert_eq!(labels(&player)[..3], ["acme-debug.ngrok.io", "169.254.169.254", "hooks.slack.com"]);
    player.keys("j");
    for _ in 0..7 {
        player.keys("s");
        assert_eq!(chosen(&player), "169.254.169.254");
    }
    player.keys("s s s");
    assert_eq!(labels(&player)[..2], ["ledger/ledger", "api.stripe.com"], "most flows first");
    player.keys("S");
    assert_eq!(
        (chosen(&player).as_str(), labels(&player)[0].as_str()),
        ("169.254.169.254", "sftp.bank.example")
    );
}

#[test]
fn the_cursor_stays_on_its_destination_when_edges_come_anew() {
    let mut player = player("enter j j j d j j");
    assert_eq!(chosen(&player), "hooks.slack.com");
    let went = |name, address| week::Went {
        workload: "checkout",
        direction: Direction::Egress,
        peer: week::address(address),
        name: Some(name),
        port: 443,
        protocol: crate::domain::flow::Protocol::Tcp,
        outcome: crate::domain::sighting::Outcome::Allowed,
        flows: 5,
        hours: vec![1],
        grades: [5, 0, 0],
        also: &[],
        chain: &[],
    };
    let tell = |player: &mut Player, edges: &[week::Went<'_>]| {
        player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), week::baseline("payments", edges)));
        player.settle();
    };
    // Another address stands for the name now, and a row came above it.
    tell(&mut player, &[went("hooks.slack.com", "198.51.100.1"), went("a.ngrok.io", "192.0.2.1")]);
    assert_eq!((chosen(&player).as_str(), labels(&player).len()), ("hooks.slack.com", 2));
    tell(&mut player, &[went("a.ngrok.io", "192.0.2.1")]);
    assert_eq!(chosen(&player), "nothing", "it does not slide");
    assert!(player.screen().contains("the row you were on is gone"));
    player.keys("enter");
    assert_eq!(*player.model.view(), payments());
}

#[test]
fn edges_are_asked_for_when_somebody_looks_and_not_again_and_again() {
    let read = |name| Ask::Command(Command::ReadEdges(cluster("prod-eu-1"), ns(name)));
    let mut player = player("enter j j d j k v d");
    assert_eq!(player.asks, [read("ledger")], "once");
    assert_eq!(follow(&player.model, &player.world), None);
    player.world.absorb(Fact::Tick(now() + TimeDelta::seconds(61)));
    assert_eq!(
        follow(&player.model, &player.world),
        Some(Command::ReadEdges(cluster("prod-eu-1"), ns("ledger")))
    );
    player.keys("r");
    assert_eq!(player.asks.len(), 2);
    player.keys("esc r");
    assert_eq!(player.asks.len(), 2, "a question that waits is not asked twice");
    assert!(player.screen().contains("has not answered yet"), "{}", player.screen());
}

#[test]
fn where_there_is_no_collector_nothing_is_asked_and_the_way_to_one_is_said() {
    let mut player = player("j j j enter j d");
    assert!(player.asks.is_empty());
    player.keys("r");
    assert!(player.asks.is_empty());
    assert!(player.screen().contains("no collector is known in stage-1"), "{}", player.screen());
}

#[test]
fn filters_look_in_columns_and_survive_other_pages() {
    for (filter, left) in [
        ("suspect:", 3),
        ("!suspect:", 9),
        ("suspect:tunnel", 1),
        ("sev:critical", 1),
        ("cat:vendor", 3),
        ("cat:vendor_!verdict:denied", 2),
        ("dir:ingress", 1),
        ("!name:", 1),
        ("grade:stale", 1),
        ("addr:2001", 1),
        ("ngrok-agent", 1),
        ("workload:reconcile", 2),
        ("proto:udp", 1),
    ] {
        let mut player = player(&format!("enter j j j d / \"{filter}\" enter"));
        assert_eq!(player.model.found.list.rows().len(), left, "{filter}: {:?}", labels(&player));
        player.keys("v d");
        assert_eq!(player.model.found.list.rows().len(), left, "{filter} stays");
        player.keys("ctrl-u");
        assert_eq!(player.model.found.list.rows().len(), 12);
    }
}

#[test]
fn tab_narrows_to_a_direction_and_a_rollback_takes_what_the_band_says() {
    let mut player = player("enter j j j d tab");
    let egress = RowKey::Rollout(target("prod-eu-1", "payments", Direction::Egress));
    assert_eq!(offer::subject(&player.world, &player.model), Some(egress));
    assert_eq!(player.model.found.list.rows().len(), 11);
    player.keys("tab");
    assert_eq!(player.model.found.list.rows().len(), 1);
    player.keys("ctrl-r ctrl-r");
    let ingress = target("prod-eu-1", "payments", Direction::Ingress);
    assert_eq!(player.asks, [Ask::Command(Command::RollBack(vec![ingress]))]);
}

#[test]
fn a_dossier_and_the_coverage_are_copied_as_messages() {
    let mut player = player("enter j j j d enter y d v y");
    let texts: Vec<_> = player.asks.drain(..).collect();
    let [Ask::Copy(dossier), Ask::Copy(coverage)] = &texts[..] else { panic!("{texts:?}") };
    insta::assert_snapshot!("copied_dossier", dossier);
    insta::assert_snapshot!("copied_coverage", coverage);
}

#[test]
fn a_destination_that_is_gone_says_so() {
    let mut player = player("enter j j j d enter");
    player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), week::baseline("payments", &[])));
    player.settle();
    assert!(player.screen().contains("it is not among the destinations any more"), "{}", player.screen());
    player.keys("esc");
    assert!(player.screen().contains("No flow of payments was seen so far"), "{}", player.screen());
    assert!(player.model.found.list.rows().is_empty());
}
