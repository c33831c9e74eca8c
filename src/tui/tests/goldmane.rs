//! What a cluster whose flows come from Goldmane looks like: its source with its limits in words, and
//! what staged policies would deny, apart from what was denied.

use chrono::TimeDelta;

use crate::{
    cockpit::{
        ports::{ClusterFact, Fact, Link, SourceState},
        world::World,
    },
    domain::{
        flow::{Direction, End, Entity, Flow, FlowId, Protocol, Verdict},
        names::{Text, Workload},
        source::SourceKind,
    },
    tui::fixture::{self, Player, now, ns, world},
};

fn told(world: &mut World, fact: ClusterFact) {
    world.absorb(Fact::Cluster(fixture::cluster("stage-1"), fact));
    world.settle();
}

/// Goldmane as it is heard: it knows no nodes, and no beginning of its history.
pub(super) fn live() -> ClusterFact {
    ClusterFact::Source(SourceState {
        kind: SourceKind::Goldmane,
        name: Text::new("Goldmane"),
        link: Link::Live,
        history_from: None,
        lag: None,
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: 0,
        repeats: 0,
    })
}

fn goldmane() -> World {
    let mut world = world();
    told(&mut world, live());
    let would = |nth: i64, port: u16| Flow {
        id: FlowId(nth.to_string().into()),
        at: now() - TimeDelta::seconds(30 * nth),
        node: None,
        direction: Direction::Egress,
        verdict: Verdict::Audit { said: Text::new("staged: end of tier default"), by: Vec::new() },
        source: End { ns: Some(ns("web")), workload: Some(Workload::new("", "checkout")), ..End::default() },
        destination: End { entity: Some(Entity::World), ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 0,
        port,
        reply: Some(false),
        closing: false,
    };
    told(&mut world, ClusterFact::Flows(vec![would(3, 443), would(2, 443), would(1, 8443)]));
    world
}

#[test]
fn the_sources_page_says_in_words_what_goldmane_cannot() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(goldmane(), size);
        player.keys("5 / \"stage-1\" enter");
        insta::assert_snapshot!(format!("goldmane_sources_{}x{}", size.0, size.1), player.screen());
    }
}

#[test]
fn what_would_be_denied_stands_below_what_was_and_is_not_counted() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(goldmane(), size);
        player.keys("2 G");
        insta::assert_snapshot!(format!("would_deny_{}x{}", size.0, size.1), player.screen());
    }
}
