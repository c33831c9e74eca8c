//! Holds, exclusions and their end are decided: what is written, and every reason against.

use sluice::{
    cockpit::{
        decide::{Command, decide},
        holding::Wanted,
        ports::{Effect, Fact},
        settings::Settings,
        shared::{Share, ShareId, SharedFact, SharedRights},
    },
    domain::{
        hold::{HoldKind, Scope},
        names::Text,
    },
};

use super::fixture::{Fleet, at, cluster, ns, row, settings};

fn wanted(scope: Scope, kind: HoldKind, expires: Option<&str>) -> Wanted {
    Wanted { scope, kind, reason: Text::new("the vendor is told"), expires: expires.map(at) }
}

fn refused(fleet: &Fleet, command: &Command) -> String {
    decide(&fleet.world, command).expect_err("refused").to_string()
}

#[test]
fn a_hold_and_an_exclusion_become_writes_to_the_state_cluster() {
    let fleet = Fleet::new(settings());
    for (scope, kind, expires) in [
        (Scope::Fleet, HoldKind::Hold, None),
        (Scope::Cluster(cluster("far")), HoldKind::Hold, Some("2026-11-23T12:00:01Z")),
        (Scope::Rollout(row("far/shop")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z")),
    ] {
        let wanted = wanted(scope.clone(), kind, expires);
        let orders = decide(&fleet.world, &Command::Hold(wanted)).expect("may be done");
        let share =
            Share::Hold { scope, kind, reason: Text::new("the vendor is told"), expires: expires.map(at) };
        assert_eq!(orders.effects, [Effect::Share(ShareId(1), share)]);
        assert!(orders.started.is_empty());
    }
}

#[test]
fn a_release_names_the_version_it_was_decided_on() {
    let mut fleet = Fleet::new(settings());
    fleet.share(SharedFact::Asked(ShareId(7)));
    fleet.hold("h1", Scope::Fleet, HoldKind::Hold, None);
    let orders = decide(&fleet.world, &Command::Release(Text::new("h1"))).expect("may be done");
    let share = Share::Release { hold: Text::new("h1"), version: Text::new("4") };
    assert_eq!(orders.effects, [Effect::Share(ShareId(8), share)]);
    assert_eq!(
        refused(&fleet, &Command::Release(Text::new("h2"))),
        "release h2 refused: there is no hold h2; there are: h1"
    );
}

#[test]
fn every_reason_against_is_told() {
    let mut fleet = Fleet::new(settings());
    let bare =
        Wanted { scope: Scope::Fleet, kind: HoldKind::Exclusion, reason: Text::new("  "), expires: None };
    assert_eq!(
        refused(&fleet, &Command::Hold(bare)),
        "exclude the fleet refused: say why: the reason is kept with it (--reason); an exclusion ends one day: say when (--until); an exclusion is of a cluster, a namespace or a rollout, never of the fleet"
    );
    // By the state cluster's clock, to the second.
    let past = wanted(Scope::Rollout(row("eu/shop")), HoldKind::Hold, Some("2026-11-23T12:00:00Z"));
    assert_eq!(
        refused(&fleet, &Command::Hold(past)),
        "hold eu/shop egress refused: 2026-11-23 12:00 UTC is past by the state cluster's clock: give a later end (--until)"
    );
    for (scope, words) in [
        (Scope::Cluster(cluster("gone")), "hold cluster gone refused: gone is not a cluster of this fleet"),
        (
            Scope::Namespace(cluster("eu"), ns("gone")),
            "hold eu/gone refused: cluster eu has no namespace gone",
        ),
    ] {
        assert_eq!(refused(&fleet, &Command::Hold(wanted(scope, HoldKind::Hold, None))), words);
    }
    fleet.hold("h1", Scope::Fleet, HoldKind::Hold, None);
    assert_eq!(
        refused(&fleet, &Command::Hold(wanted(Scope::Fleet, HoldKind::Hold, None))),
        "hold the fleet refused: there is a hold on exactly that already: h1, by ann@example.net"
    );
    fleet.share(SharedFact::Rights(SharedRights { hold: Some(false), ..SharedRights::default() }));
    fleet.tell(Fact::ReadOnly);
    assert_eq!(
        refused(&fleet, &Command::Release(Text::new("h1"))),
        "release h1 refused: this run is read-only (--read-only); you may not hold rollouts (RBAC of the state cluster); ask its admin for the right"
    );
}

/// A right of its own each: on-call holds, and only the lead takes a row out of its wave.
#[test]
fn whoever_may_hold_may_not_exclude_by_that() {
    let mut fleet = Fleet::new(settings());
    let rights = SharedRights { hold: Some(true), exclude: Some(false), ..SharedRights::default() };
    fleet.share(SharedFact::Rights(rights));
    let tomorrow = Some("2026-11-24T12:00:00Z");
    let scope = || Scope::Rollout(row("stg/shop"));
    assert!(decide(&fleet.world, &Command::Hold(wanted(scope(), HoldKind::Hold, tomorrow))).is_ok());
    assert_eq!(
        refused(&fleet, &Command::Hold(wanted(scope(), HoldKind::Exclusion, tomorrow))),
        "exclude stg/shop egress refused: you may not exclude rollouts (RBAC of the state cluster); ask its admin for the right"
    );
    fleet.hold("x1", scope(), HoldKind::Exclusion, tomorrow);
    assert!(refused(&fleet, &Command::Release(Text::new("x1"))).contains("you may not exclude rollouts"));
}

#[test]
fn without_the_state_cluster_nothing_is_held() {
    let fleet = Fleet::unshared(settings());
    let hold = Command::Hold(wanted(Scope::Fleet, HoldKind::Hold, None));
    assert_eq!(
        refused(&fleet, &hold),
        "hold the fleet refused: the team's state is away: it is being connected"
    );
    let fleet = Fleet::unshared(Settings { state: None, ..settings() });
    assert_eq!(
        refused(&fleet, &hold),
        "hold the fleet refused: no state cluster is named: write `state:` into sluice.yaml, then run `sluice install`"
    );
}
