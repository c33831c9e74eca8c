//! The page of a cluster's pre-flight: how it is opened and left, what it shows, what it stops.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cockpit::{
        decide,
        ports::{ClusterFact, Fact},
        world::World,
    },
    domain::{
        flow::Direction,
        names::Text,
        preflight::{
            reading::{Container, Known, Object, Reading, Workload},
            report,
        },
    },
    tui::{
        fixture::{Player, cluster, target, world},
        model::View,
    },
};

/// A cluster with Calico on one of two nodes, about which little else is known.
fn reading() -> Reading {
    let agent = Workload {
        object: Object::new("DaemonSet", "kube-system", "calico-node"),
        labels: BTreeMap::new(),
        pod_labels: BTreeMap::new(),
        containers: vec![Container {
            name: "calico-node".to_owned(),
            image: "calico/node:v3.30.1".to_owned(),
            ..Container::default()
        }],
        host_network: true,
        desired: Some(2),
        ready: Some(1),
        node_selector: BTreeMap::new(),
        config_maps: Vec::new(),
    };
    Reading {
        daemonsets: Known::Read(vec![agent]),
        workloads: Known::Read(Vec::new()),
        groups: Known::Read(BTreeSet::new()),
        ..Reading::unknown(&Text::new("forbidden (HTTP 403)"))
    }
}

fn flown() -> World {
    let mut world = world();
    let report = Box::new(report::run(&reading()));
    world.absorb(Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Preflight(report)));
    world
}

#[test]
fn the_page_shows_verdicts_in_words_with_evidence_and_fix() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(flown(), size);
        player.keys("F");
        assert_eq!(*player.model.view(), View::Preflight(cluster("prod-eu-1")));
        insta::assert_snapshot!(format!("preflight_{}x{}", size.0, size.1), player.screen());
        player.keys("esc j F");
        insta::assert_snapshot!(format!("preflight_unknown_{}x{}", size.0, size.1), player.screen());
    }
}

#[test]
fn what_is_not_enforced_everywhere_keeps_a_row_from_being_applied() {
    let row = target("prod-eu-1", "payments", Direction::Egress);
    let said = |world: &World| {
        let all = decide::apply_reasons(world, &row);
        all.iter().map(ToString::to_string).filter(|reason| reason.contains("pre-flight")).collect::<Vec<_>>()
    };
    assert_eq!(said(&world()), Vec::<String>::new());
    assert_eq!(
        said(&flown()),
        [
            "pre-flight of prod-eu-1, agents fail: DaemonSet kube-system/calico-node is ready on 1 of 2 nodes; where it is not, nothing may enforce. See `sluice preflight --cluster prod-eu-1`",
        ]
    );
}
