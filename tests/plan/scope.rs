//! Which default denies are asserted: those of namespaces whose wave the rollout has reached, in that
//! direction. Waves of the fleet in egress: 1 stg/job, 2 stg/shop, 3 eu/api and later the rest.

use sluice::{
    cockpit::{
        ports::{Change, ClusterFact},
        steady,
    },
    domain::{
        fleet::NamespaceSeen,
        flow::Direction,
        hold::{HoldKind, Scope},
        policy::Labels,
    },
};

use super::fixture::{Fleet, cluster, ingress, ns, row, settings};

/// Of staging: the namespaces that are asserted, and each other one with the reason.
fn said(fleet: &Fleet, direction: Direction) -> (Vec<String>, Vec<String>) {
    let world = &fleet.world;
    let scope = steady::scope(world, world.cluster(&cluster("stg")).expect("it is there"), direction);
    let exempt = scope.exempt.iter().map(|(ns, why)| format!("{ns}: {why}"));
    (scope.reached.iter().map(ToString::to_string).collect(), exempt.collect())
}

fn lines(all: &[&str]) -> Vec<String> {
    all.iter().map(|&line| line.to_owned()).collect()
}

#[test]
fn a_namespace_is_asserted_from_its_wave_on_and_not_before() {
    let mut fleet = Fleet::new(settings());
    let waits =
        lines(&["job: waits in wave 1, which is not over", "shop: waits in wave 2, which is not over"]);
    assert_eq!(said(&fleet, Direction::Egress), (Vec::new(), waits.clone()));
    fleet.apply(&row("stg/job"), 1);
    assert_eq!(said(&fleet, Direction::Egress), (lines(&["job"]), waits[1..].to_vec()));
    assert_eq!(said(&fleet, Direction::Ingress), (Vec::new(), waits), "each direction by itself");
    fleet.clean(&row("stg/job"), 1);
    fleet.apply(&row("stg/shop"), 2);
    assert_eq!(said(&fleet, Direction::Egress), (lines(&["job", "shop"]), Vec::new()));
    fleet.clean(&ingress("stg/job"), 1);
    assert_eq!(said(&fleet, Direction::Ingress).0, ["job"]);
}

#[test]
fn what_is_taken_back_or_left_out_is_listed_with_the_reason() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    fleet.apply(&row("stg/shop"), 2);
    fleet.roll_back(&row("stg/shop"));
    assert_eq!(said(&fleet, Direction::Egress), (lines(&["job"]), lines(&["shop: taken back"])));
    fleet.hold("x1", Scope::Rollout(row("stg/shop")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    let out = lines(&["shop: left out of its wave: the vendor is told"]);
    assert_eq!(said(&fleet, Direction::Egress), (lines(&["job"]), out));
    let seen = |name: &str| NamespaceSeen {
        name: ns(name),
        labels: Labels::default(),
        owner: None,
        contact: None,
        terminating: false,
    };
    fleet.cluster("stg", ClusterFact::Namespaces(Change::Put(seen("kube-system"))));
    let (_, exempt) = said(&fleet, Direction::Egress);
    assert_eq!(exempt[0], "kube-system: left out by sluice.yaml");
}

/// It came late, or was passed over: the rollout is in a later wave.
#[test]
fn a_namespace_of_a_wave_that_is_over_is_asserted_without_an_apply() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    fleet.apply(&row("eu/api"), 3);
    assert_eq!(said(&fleet, Direction::Egress), (lines(&["job", "shop"]), Vec::new()));
    let target = row("stg/shop");
    let stg = fleet.world.cluster(&target.cluster).expect("it is there");
    let why = steady::missing(&fleet.world, stg, &target).map(|why| why.to_string());
    let expected = "default-deny-egress is not there, and the rollout has reached this namespace";
    assert_eq!(why.as_deref(), Some(expected));
    assert_eq!(steady::missing(&fleet.world, stg, &ingress("stg/shop")), None);
}
