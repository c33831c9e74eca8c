//! Goldens of `sluice plan`, text and JSON, on a fleet in the middle of its rollout.

use sluice::{
    cockpit::{
        plan::FleetFile,
        ports::Fact,
        settings::{RiskEntry, Settings},
    },
    documents::{
        plan::{self, Shown},
        plan_json,
    },
    domain::{
        flow::Direction,
        hold::{HoldKind, Scope},
    },
};

use super::fixture::{Fleet, cluster, ingress, ns, row, settings};

/// Staging is clean but for a dead wave of ingress; production has begun.
fn middle() -> Fleet {
    let risks = vec![
        RiskEntry { namespaces: vec![ns("api")], risk: Some(10), priority: None, shared: false },
        RiskEntry { namespaces: vec![ns("pay")], risk: Some(90), priority: None, shared: true },
    ];
    let mut fleet = Fleet::new(Settings { risks, ..settings() });
    fleet.clean(&row("stg/job"), 1);
    fleet.clean(&row("stg/shop"), 2);
    fleet.apply(&row("us/shop"), 3);
    fleet.apply(&ingress("stg/job"), 1);
    fleet.roll_back(&ingress("stg/job"));
    fleet.hold("x1", Scope::Rollout(row("far/shop")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    fleet.hold("h1", Scope::Rollout(row("eu/tool")), HoldKind::Hold, None);
    fleet
}

#[test]
fn the_plan_as_text_and_as_json() {
    let fleet = middle();
    insta::assert_snapshot!("plan.txt", plan::text(&fleet.world, &Shown::default()));
    let egress = Shown { clusters: vec![cluster("us")], direction: Some(Direction::Egress) };
    insta::assert_snapshot!("plan.json", plan_json::json(&fleet.world, &egress));
}

#[test]
fn a_fleet_without_state_says_what_to_do() {
    let fleet = Fleet::unshared(Settings { state: None, ..settings() });
    insta::assert_snapshot!("plan-no-state.txt", plan::text(&fleet.world, &Shown::default()));
}

/// Waves of clusters whose environments nobody named would be made up.
#[test]
fn without_a_workspace_nothing_is_planned_and_it_says_so() {
    let mut fleet = middle();
    fleet.world.absorb(Fact::Fleet(FleetFile { path: None, ..fleet.world.plan().clone() }));
    insta::assert_snapshot!(plan::text(&fleet.world, &Shown::default()), @r"
    Plan of Mon 2026-11-23 12:00 +00:00
      nothing is planned: there is no sluice.yaml: start sluice in a workspace, or see `sluice init`
    ");
}
