//! What keeps a row from being applied today: each gate alone, with who can clear it and the override
//! that would open it. Waves of this fleet in egress: 1 stg/job, 2 stg/shop, 3 eu/api, 4 eu/pay (a cap
//! of one row), 5 eu/shop, 6 eu/tool, 7 far/shop, 8 us/shop; eu is the largest, so the others go before it.

use chrono::{TimeDelta, Weekday};
use sluice::{
    cockpit::{
        decide::{Command, decide},
        gates::{Gate, gates, missing},
        orders::{OrderId, OrderKind},
        plan::FleetFile,
        planned::{Ask, may_go, plan_row_of},
        ports::{Change, ClusterFact, Effect, Fact, Link, OrderFact, Trouble},
        records,
        settings::{BlockedDays, Dependency, Settings, WorkingHours},
        shared::{Share, SharedFact},
        waves::row_state,
    },
    domain::{
        fleet::Enforcement,
        flow::Direction,
        hold::{Covers, HoldKind, Override, Scope},
        names::Text,
        rollout::{Kept, Stamp, Target},
        wave::RowState,
        zone::Zone,
    },
};

use super::fixture::{Fleet, at, cluster, digest, ingress, now, ns, row, settings, stamp};

fn lines(gates: &[Gate]) -> Vec<String> {
    let covers = |gate: &Gate| gate.covers.map_or("-", |covers| covers.as_str());
    gates.iter().map(|gate| format!("{gate} [{}; {}]", gate.who.as_str(), covers(gate))).collect()
}

fn said(fleet: &Fleet, name: &str) -> Vec<String> {
    lines(&gates(&fleet.world, &row(name)))
}

/// Everything of staging is clean, so that production's first row may go.
fn ready() -> Fleet {
    ready_with(settings())
}

fn ready_with(settings: Settings) -> Fleet {
    let mut fleet = Fleet::new(settings);
    for (wave, name) in [(1, "stg/job"), (2, "stg/shop")] {
        fleet.clean(&row(name), wave);
        fleet.clean(&ingress(name), wave);
    }
    fleet
}

#[test]
fn the_first_row_of_a_fresh_fleet_may_go_and_all_others_wait_for_it() {
    let fleet = Fleet::new(settings());
    assert_eq!(missing(&fleet.world, &row("stg/job")), []);
    assert_eq!(
        said(&fleet, "stg/shop"),
        ["wave 1 is not done: stg/job waiting; clear them, or `sluice exclude` them [lead; order]"]
    );
    assert_eq!(
        said(&fleet, "us/shop"),
        [
            "wave 1 is not done: stg/job waiting; clear them, or `sluice exclude` them [lead; order]",
            "1 more wave goes before its own [time; order]",
        ]
    );
}

#[test]
fn nothing_advances_without_the_teams_state() {
    let mut fleet = Fleet::unshared(Settings { state: None, ..settings() });
    let none =
        "no state cluster is named: write `state:` into sluice.yaml, then run `sluice install` [lead; -]";
    assert_eq!(said(&fleet, "stg/job"), [none]);
    fleet = Fleet::unshared(settings());
    assert_eq!(said(&fleet, "stg/job"), ["the team's state is away: it is being connected [admin; -]"]);
    let lost = Trouble::new("stg", "no answer within 5 s", "Check the VPN.");
    fleet.share(SharedFact::Link(Link::Broken(lost)));
    assert_eq!(
        said(&fleet, "stg/job"),
        ["the team's state is away: stg: no answer within 5 s. Check the VPN. [admin; -]"]
    );
}

#[test]
fn a_soak_is_cleared_by_time_and_a_rollback_by_the_lead() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&row("stg/job"), 1);
    assert_eq!(said(&fleet, "stg/shop"), ["wave 1 still soaks: stg/job soaking [time; soak]"]);
    fleet.roll_back(&row("stg/job"));
    let held = "wave 1 is not done: stg/job rolled back; clear them, or `sluice exclude` them [lead; order]";
    assert_eq!(said(&fleet, "stg/shop"), [held]);
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0], "it may be applied anew");
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    assert_eq!(said(&fleet, "stg/shop"), [] as [&str; 0]);
}

/// Whoever overrides the order alone still waits for what soaks, also where an earlier wave holds.
#[test]
fn a_soak_behind_a_wave_that_is_held_is_told_too() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&row("stg/job"), 1);
    fleet.roll_back(&row("stg/job"));
    fleet.apply(&row("stg/shop"), 2);
    let said = said(&fleet, "eu/api");
    let soaks = "wave 2 still soaks: stg/shop soaking [time; soak]";
    let held = "wave 1 is not done: stg/job rolled back; clear them, or `sluice exclude` them [lead; order]";
    assert_eq!(&said[..3], [soaks, held, "2 more waves go before its own [time; order]"]);
}

#[test]
fn a_row_without_pods_does_not_hold_its_wave() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&row("stg/job"), 1);
    fleet.pods("stg", &["shop"]);
    assert_eq!(said(&fleet, "stg/shop"), [] as [&str; 0]);
    // The first pod starts its clock.
    fleet.pods("stg", &["job", "shop"]);
    assert_eq!(said(&fleet, "stg/shop"), ["wave 1 still soaks: stg/job soaking [time; soak]"]);
}

#[test]
fn a_hold_stops_what_is_in_its_scope_until_it_runs_out() {
    let held = |scope: &str, until: &str| {
        format!(
            "held ({scope}) by ann@example.net{until}: the vendor is told; `sluice release h1` ends it [lead; -]"
        )
    };
    for (scope, words) in [
        (Scope::Fleet, "the fleet"),
        (Scope::Cluster(cluster("stg")), "cluster stg"),
        (Scope::Namespace(cluster("stg"), ns("job")), "stg/job"),
        (Scope::Rollout(row("stg/job")), "stg/job egress"),
    ] {
        let mut fleet = Fleet::new(settings());
        fleet.hold("h1", scope, HoldKind::Hold, None);
        assert_eq!(said(&fleet, "stg/job"), [held(words, "")]);
    }
    for other in [Scope::Cluster(cluster("eu")), Scope::Rollout(ingress("stg/job"))] {
        let mut fleet = Fleet::new(settings());
        fleet.hold("h1", other, HoldKind::Hold, None);
        assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0]);
    }
    let mut fleet = Fleet::new(settings());
    fleet.hold("h1", Scope::Fleet, HoldKind::Hold, Some("2026-11-23T12:30:00Z"));
    let until = " until Mon 2026-11-23 12:30 +00:00";
    assert_eq!(said(&fleet, "stg/job"), [held("the fleet", until)]);
    fleet.tell(Fact::Tick(at("2026-11-23T12:30:00Z")));
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0]);
}

/// Our own clock says nothing: without the state cluster's, a hold holds and an exclusion does not.
#[test]
fn without_the_servers_clock_the_careful_thing_counts() {
    let mut fleet = Fleet::unshared(settings());
    fleet.share(SharedFact::Link(Link::Live));
    fleet.hold("h1", Scope::Cluster(cluster("us")), HoldKind::Hold, Some("2026-11-23T11:00:00Z"));
    assert_eq!(said(&fleet, "us/shop").iter().filter(|line| line.starts_with("held")).count(), 1);
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    assert_eq!(said(&fleet, "stg/shop").len(), 1, "wave 1 still stands in the way");
    fleet.share(SharedFact::Clock(now()));
    fleet.tell(Fact::Tick(now() + TimeDelta::seconds(60)));
    assert_eq!(said(&fleet, "stg/shop"), [] as [&str; 0]);
    assert_eq!(said(&fleet, "us/shop").iter().filter(|line| line.starts_with("held")).count(), 0);
}

#[test]
fn an_excluded_row_is_not_applied_and_comes_back_when_that_runs_out() {
    let mut fleet = Fleet::new(settings());
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, Some("2026-11-23T18:00:00Z"));
    let out = "taken out of its wave (stg/job egress) by ann@example.net until Mon 2026-11-23 18:00 +00:00: the vendor is told; `sluice release x1` ends it [lead; -]";
    assert_eq!(said(&fleet, "stg/job"), [out]);
    assert_eq!(said(&fleet, "stg/shop"), [] as [&str; 0], "its place is the next row's");
    fleet.tell(Fact::Tick(at("2026-11-23T18:00:00Z")));
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0]);
}

#[test]
fn working_hours_and_blocked_days_are_cleared_by_time() {
    let day = |text: &str| text.parse().expect("a day");
    let time = |text: &str| text.parse().expect("a time");
    let hours = WorkingHours {
        zone: Zone::fixed(3_600),
        days: vec![Weekday::Mon, Weekday::Tue],
        from: time("09:00:00"),
        until: time("12:00:00"),
    };
    let freeze = BlockedDays { from: day("2026-11-23"), to: day("2026-11-24"), why: Text::new("freeze") };
    let closed = Settings { hours: Some(hours.clone()), ..settings() };
    assert_eq!(
        said(&Fleet::new(closed), "stg/job"),
        ["outside working hours: opens Tue 2026-11-24 09:00 +01:00 [time; -]"],
        "13:00 there"
    );
    let blocked = Settings { hours: Some(hours), blocked: vec![freeze], ..settings() };
    assert_eq!(
        said(&Fleet::new(blocked), "stg/job"),
        [
            "blocked day (freeze): opens Mon 2026-11-30 09:00 +01:00 [time; -]",
            "outside working hours: opens Mon 2026-11-30 09:00 +01:00 [time; -]",
        ]
    );
}

#[test]
fn a_dependency_must_be_clean_and_a_cycle_is_named() {
    let waits = |ns_: &str, after: &str| Dependency { ns: ns(ns_), after: vec![ns(after)] };
    let mut fleet = ready_with(Settings { dependencies: vec![waits("job", "shop")], ..settings() });
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0], "what it waits for is clean");
    fleet.roll_back(&row("stg/shop"));
    assert_eq!(said(&fleet, "stg/job"), ["it waits for shop, which is rolled back [lead; order]"]);
    let round = vec![waits("job", "shop"), waits("shop", "job")];
    let fleet = Fleet::new(Settings { dependencies: round, ..settings() });
    assert_eq!(
        said(&fleet, "stg/job"),
        [
            "it waits for shop, which is waiting [lead; order]",
            "it waits for itself by way of job and shop: correct `dependencies:` in sluice.yaml [lead; order]",
        ]
    );
}

#[test]
fn evidence_is_asked_for_before_the_first_apply_only() {
    let mut fleet = Fleet::new(Settings { baseline: TimeDelta::days(7), ..settings() });
    assert_eq!(said(&fleet, "stg/job"), ["evidence is not ready: unknown [admin; coverage]"]);
    fleet.apply(&row("stg/job"), 1);
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0]);
}

#[test]
fn one_namespace_never_applies_both_directions_in_one_wave() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&ingress("stg/job"), 1);
    assert_eq!(
        said(&fleet, "stg/job"),
        ["its ingress was applied in wave 1, which is not done: one direction at a time [time; order]"]
    );
    fleet.change(&ingress("stg/job"), |record| record.wave = None);
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0], "not applied in a wave");
}

/// product.md: egress goes first. Said with the next step, and opened by an override of the order alone.
#[test]
fn ingress_of_a_namespace_starts_once_its_egress_is_clean() {
    let first = |said: &str, end: &str| [format!("its egress goes first and is {said} [{end}; order]")];
    let of = |fleet: &Fleet| lines(&gates(&fleet.world, &ingress("stg/job")));
    let mut fleet = Fleet::new(settings());
    assert_eq!(of(&fleet), first("waiting: apply that, and let it soak clean", "lead"));
    fleet.apply(&row("stg/job"), 1);
    let soaks = "its egress was applied in wave 1, which is not done: one direction at a time [time; order]";
    assert_eq!(of(&fleet), [soaks]);
    // Applied by hand, in no wave.
    fleet.change(&row("stg/job"), |record| record.wave = None);
    assert_eq!(of(&fleet), first("soaking: wait until that is clean", "time"));
    fleet.cluster("stg", ClusterFact::Away(Trouble::new("stg", "connection refused", "Check the VPN.")));
    let away = of(&fleet);
    assert!(away.contains(&first("unreachable: wait until it is known to be clean", "lead")[0]), "{away:?}");

    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    assert_eq!(of(&fleet), [] as [&str; 0], "clean");
    fleet.roll_back(&row("stg/job"));
    assert_eq!(of(&fleet), first("rolled back: apply that again, and let it soak clean", "lead"));
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    let out = "rolled back and taken out of its wave: apply that again, and let it soak clean";
    assert_eq!(of(&fleet), first(out, "lead"), "left out is not clean");

    // Of a namespace without a pod there is nothing to wait for.
    let mut fleet = Fleet::new(settings());
    fleet.apply(&row("stg/job"), 1);
    fleet.pods("stg", &["shop"]);
    assert_eq!(of(&fleet), [] as [&str; 0], "idle");
}

/// Else neither could be corrected: ingress would wait for egress, and egress for ingress.
#[test]
fn ingress_that_is_live_may_be_corrected_whatever_became_of_egress() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    fleet.apply(&ingress("stg/job"), 1);
    fleet.roll_back(&row("stg/job"));
    assert_eq!(lines(&gates(&fleet.world, &ingress("stg/job"))), [] as [&str; 0]);
    // Once it is taken back, it starts anew.
    fleet.roll_back(&ingress("stg/job"));
    let told = lines(&gates(&fleet.world, &ingress("stg/job")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("its egress goes first and is rolled back: "), "{told:?}");
}

#[test]
fn an_override_of_the_order_lets_ingress_go_first_and_one_of_the_soak_does_not() {
    let over = |covers: Covers| {
        let mut fleet = Fleet::new(settings());
        let over = Override {
            target: ingress("stg/job"),
            uid: Some(Text::new("uid-stg")),
            digest: digest(&ingress("stg/job")),
            covers: vec![covers],
            reason: Text::new("the release cannot wait"),
            stamp: stamp("2026-11-23T09:00:00Z"),
            confirmed: Some(Stamp { by: Text::new("oncall"), at: at("2026-11-23T10:00:00Z") }),
            expires: at("2026-11-24T12:00:00Z"),
        };
        let kept = Kept { name: "o1".into(), version: "1".into(), created: now(), value: over };
        fleet.share(SharedFact::Overrides(Change::Reset(vec![kept])));
        lines(&missing(&fleet.world, &ingress("stg/job")))
    };
    let first = "its egress goes first and is waiting: apply that, and let it soak clean [lead; order]";
    assert_eq!(over(Covers::Soak), [first]);
    assert_eq!(over(Covers::Order), [""; 0]);
}

/// Else egress of one and ingress of another namespace could wait for each other for good.
#[test]
fn the_other_direction_waits_for_the_row_itself_and_not_for_the_rest_of_its_wave() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&ingress("stg/job"), 1);
    fleet.apply(&ingress("stg/shop"), 1);
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0], "it left wave 1, in which stg/shop stands");
    let mut fleet = Fleet::new(settings());
    for target in [row("stg/job"), ingress("stg/job")] {
        fleet.apply(&target, 1);
        fleet.roll_back(&target);
    }
    assert_eq!(said(&fleet, "stg/job"), [] as [&str; 0], "neither is live");
}

#[test]
fn what_was_in_force_and_is_gone_is_an_incident() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    fleet.vanish(&row("stg/job"));
    assert_eq!(
        said(&fleet, "stg/job"),
        [
            "incident: its policies were applied and are gone; look at what is live, then roll back [on-call; -]"
        ]
    );
    let held = "wave 1 is not done: stg/job incident; clear them, or `sluice exclude` them [lead; order]";
    assert_eq!(said(&fleet, "stg/shop"), [held]);
}

/// Neither what one of us applied nor what the workspace has: however clean those bytes soak, their wave
/// waits, and what a revert goes back to stays what it was.
#[test]
fn bytes_of_third_parties_soak_but_hold_their_wave_and_are_nothing_to_go_back_to() {
    let target = row("stg/job");
    for was_clean in [false, true] {
        let mut fleet = Fleet::new(settings());
        if was_clean {
            fleet.clean(&target, 1);
            assert_eq!(said(&fleet, "stg/shop"), [] as [&str; 0]);
        } else {
            fleet.apply(&target, 1);
        }
        fleet.edit(&target);
        fleet.soak(&target, 49);
        let world = &fleet.world;
        assert_eq!(world.soaks().verdict(&target, world).word(), "clean", "49 h of proven time");
        let withheld = RowState::Withheld(Text::new("its policies are not those that were applied"));
        assert_eq!(row_state(world, &target).0, withheld);
        let held = "wave 1 is not done: stg/job withheld; clear them, or `sluice exclude` them [lead; order]";
        assert_eq!(said(&fleet, "stg/shop"), [held]);
        // Whoever observes has nothing new to record.
        let stg = world.cluster(&target.cluster).expect("it is there");
        let due = records::due(world, stg, |_| Some(1));
        let ours = |share: &&Share| matches!(share, Share::Record { record, .. } if record.target == target);
        assert_eq!(due.iter().find(ours), None);
        let record = &world.shared().record(&target).expect("it was applied").value;
        assert_eq!(record.applied.as_ref().expect("once").digest, digest(&target));
        let clean = record.clean.as_ref().map(|clean| clean.digest);
        assert_eq!(clean, was_clean.then(|| digest(&target)));
        let revert = decide(world, &Command::Revert(vec![target.clone()]));
        if !was_clean {
            let refused = "stg/job egress never soaked clean, so there is nothing to go back to";
            let words = revert.expect_err("nothing to go back to").to_string();
            assert!(words.contains(refused), "{words}");
        }
    }
}

/// A record of a cluster that had the same name before says nothing of this one.
#[test]
fn a_rebuilt_cluster_is_another_one() {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&row("stg/job"), 1);
    let met = ClusterFact::Met {
        uid: Some(Text::new("uid-new")),
        version: Text::new("v1.33.1"),
        kinds: Vec::new(),
    };
    fleet.cluster("stg", met);
    let soaks = "wave 1 still soaks: stg/job soaking [time; soak]";
    assert_eq!(said(&fleet, "stg/shop"), [soaks]);
}

/// What `decide` asks by itself stands beside the rest, said once, with who can clear it.
#[test]
fn everything_that_is_missing_is_told_once() {
    let mut fleet = ready();
    fleet.enforce("us", Enforcement::DoesNot);
    fleet.hold("h1", Scope::Cluster(cluster("us")), HoldKind::Hold, None);
    assert_eq!(
        lines(&missing(&fleet.world, &row("us/shop"))),
        [
            "us does not enforce NetworkPolicies (DaemonSet kube-system/cni): migrate its CNI to Calico or Cilium first [admin; -]",
            "held (cluster us) by ann@example.net: the vendor is told; `sluice release h1` ends it [lead; -]",
        ]
    );
    assert_eq!(
        lines(&missing(&fleet.world, &row("far/shop"))),
        ["cluster far cannot be reached: far: connection refused (10.0.0.1:6443). Check the VPN. [admin; -]"]
    );
    fleet.tell(Fact::Fleet(FleetFile {
        clusters: fleet.world.plan().clusters.clone(),
        ..FleetFile::default()
    }));
    let told = lines(&missing(&fleet.world, &row("us/shop")));
    assert_eq!(
        told[0],
        "there is no sluice.yaml: start sluice in a workspace, or see `sluice init` [lead; -]"
    );
}

/// Law 6, and: abort always wins.
#[test]
fn rollback_and_abort_ask_none_of_this() {
    let mut fleet = Fleet::unshared(Settings { state: None, ..settings() });
    fleet.apply(&row("stg/job"), 1);
    fleet.hold("h1", Scope::Fleet, HoldKind::Hold, None);
    fleet.hold("x1", Scope::Rollout(row("stg/job")), HoldKind::Exclusion, Some("2026-11-30T00:00:00Z"));
    let started = OrderFact::Started { kind: OrderKind::Apply, target: row("stg/job") };
    fleet.tell(Fact::Order(OrderId(1), started));
    let aborted = decide(&fleet.world, &Command::Abort(Vec::new())).expect("always");
    assert_eq!(aborted.effects, [Effect::Abort(OrderId(1))]);
    let back = decide(&fleet.world, &Command::RollBack(vec![row("stg/job")])).expect("always");
    assert!(matches!(back.effects.as_slice(), [Effect::Rollback(order)] if order.aborts == Some(OrderId(1))));
}

/// What the lead took upon himself and a second person confirmed is no reason any more: for these bytes,
/// while it lasts, and for what it covers.
#[test]
fn a_confirmed_override_for_the_bytes_of_the_workspace_opens_its_gates_in_the_plan() {
    let over = |by: &str, covers: Covers, bytes: &Target, expires: &str| {
        let mut fleet = Fleet::new(settings());
        let over = Override {
            target: row("stg/shop"),
            uid: Some(Text::new("uid-stg")),
            digest: digest(bytes),
            covers: vec![covers],
            reason: Text::new("the release cannot wait"),
            stamp: stamp("2026-11-23T09:00:00Z"),
            confirmed: Some(Stamp { by: Text::new(by), at: at("2026-11-23T10:00:00Z") }),
            expires: at(expires),
        };
        let kept = Kept { name: "o1".into(), version: "1".into(), created: now(), value: over };
        fleet.share(SharedFact::Overrides(Change::Reset(vec![kept])));
        lines(&missing(&fleet.world, &row("stg/shop")))
    };
    let waits = ["wave 1 is not done: stg/job waiting; clear them, or `sluice exclude` them [lead; order]"];
    let tomorrow = "2026-11-24T12:00:00Z";
    assert_eq!(over("oncall", Covers::Order, &row("stg/shop"), tomorrow), [""; 0]);
    assert_eq!(over("oncall", Covers::Soak, &row("stg/shop"), tomorrow), waits);
    assert_eq!(over("oncall", Covers::Order, &row("stg/shop"), "2026-11-23T11:59:00Z"), waits);
    assert_eq!(over("ann@example.net", Covers::Order, &row("stg/shop"), tomorrow), waits, "by himself");
    assert_eq!(over("oncall", Covers::Order, &ingress("stg/shop"), tomorrow), waits, "other bytes");
}

/// What two people answered for was one cluster; what has its name now may be another.
#[test]
fn an_override_for_another_cluster_of_the_same_name_opens_nothing_and_says_so() {
    let over = |uid: Option<&str>| {
        let mut fleet = Fleet::new(settings());
        let over = Override {
            target: row("stg/shop"),
            uid: uid.map(Text::new),
            digest: digest(&row("stg/shop")),
            covers: vec![Covers::Order],
            reason: Text::new("the release cannot wait"),
            stamp: stamp("2026-11-23T09:00:00Z"),
            confirmed: Some(Stamp { by: Text::new("oncall"), at: at("2026-11-23T10:00:00Z") }),
            expires: at("2026-11-24T12:00:00Z"),
        };
        let kept = Kept { name: "o1".into(), version: "1".into(), created: now(), value: over };
        let words = sluice::cockpit::waiving::override_words(&fleet.world, &kept);
        fleet.share(SharedFact::Overrides(Change::Reset(vec![kept])));
        let aside = words.split_once("cannot wait").expect("its reason").1.to_owned();
        (lines(&missing(&fleet.world, &row("stg/shop"))), aside)
    };
    let waits = ["wave 1 is not done: stg/job waiting; clear them, or `sluice exclude` them [lead; order]"];
    assert_eq!(over(Some("uid-stg")), (Vec::new(), String::new()));
    let (missing, said) = over(Some("uid-of-the-one-before"));
    assert_eq!(missing, waits);
    assert_eq!(said, "; does not count: it is for another cluster that had this name; ask anew");
    let (missing, said) = over(None);
    assert_eq!(missing, waits);
    assert_eq!(said, "; does not count: it does not say for which cluster (clusterUid); ask anew");
}

/// Who wrote no document sees it in the plan already, not only in a preview.
#[test]
fn the_owner_gate_is_asked_where_nothing_else_is_in_the_way() {
    let mut fleet = Fleet::new(settings());
    let mut files = fleet.world.files().clone();
    files.flagged = Some(Default::default());
    fleet.tell(Fact::Files(files));
    let told = lines(&missing(&fleet.world, &row("stg/job")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("no evidence of stg/job is read"), "{told:?}");
    assert!(told[0].ends_with("[lead; -]"), "{told:?}");
    // Another reason is in the way of this one.
    let told = lines(&missing(&fleet.world, &row("stg/shop")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("wave 1 is not done"), "{told:?}");
}

/// What was taken back may be applied again, alone; it never goes with the rest of its wave.
#[test]
fn a_row_that_was_taken_back_is_no_part_of_an_advance() {
    let mut fleet = Fleet::new(settings());
    assert_eq!(may_go(&fleet.world, Direction::Egress), [row("stg/job")]);
    fleet.apply(&row("stg/job"), 1);
    fleet.roll_back(&row("stg/job"));
    let ask = plan_row_of(&fleet.world, &row("stg/job")).expect("it is planned");
    assert_eq!((ask.ask, ask.is_again()), (Ask::MayGo, true));
    assert_eq!(may_go(&fleet.world, Direction::Egress), []);
}

/// Found by a seed (999): under a confirmed override of the order alone a row went before one that still
/// soaked, because that one's cluster was away.
#[test]
fn a_soak_that_nobody_can_look_at_is_not_over() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&row("stg/job"), 1);
    let over = Override {
        target: row("eu/api"),
        uid: Some(Text::new("uid-eu")),
        digest: digest(&row("eu/api")),
        covers: vec![Covers::Order],
        reason: Text::new("the release cannot wait"),
        stamp: stamp("2026-11-23T09:00:00Z"),
        confirmed: Some(Stamp { by: Text::new("oncall"), at: at("2026-11-23T10:00:00Z") }),
        expires: at("2026-11-24T12:00:00Z"),
    };
    let kept = Kept { name: "o1".into(), version: "1".into(), created: now(), value: over };
    fleet.share(SharedFact::Overrides(Change::Reset(vec![kept])));
    let left = |fleet: &Fleet| lines(&missing(&fleet.world, &row("eu/api")));
    let soaks = |state: &str| [format!("wave 1 still soaks: stg/job {state} [time; soak]")];
    assert_eq!(left(&fleet), soaks("soaking"));
    fleet.cluster("stg", ClusterFact::Away(Trouble::new("stg", "connection refused", "Check the VPN.")));
    assert_eq!(left(&fleet), soaks("unreachable"));
    // Without the override the order stands there too.
    let all = said(&fleet, "eu/api");
    assert_eq!(all[0], soaks("unreachable")[0]);
    assert!(all[1].starts_with("wave 1 is not done: stg/job unreachable; "), "{all:?}");
}
