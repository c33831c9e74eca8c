//! The rules of `decide` on worlds made of facts: law 6 over every combination of what may be
//! broken, and the reasons that an apply names.

use chrono::{TimeZone, Utc};
use sluice::{
    cockpit::{
        decide::{Command, Reason, decide},
        orders::{OrderId, OrderKind, Target},
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Effect, Fact, OrderFact, Trouble},
        world::World,
    },
    domain::{
        fleet::{Cni, CniKind, Enforcement, Environment, Identity, NamespaceSeen, Rights},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        policy::Labels,
    },
};

fn cluster() -> ClusterName {
    ClusterName::parse("prod-eu").expect("valid")
}

fn target() -> Target {
    Target { cluster: cluster(), ns: NsName::parse("shop").expect("valid"), direction: Direction::Egress }
}

fn world(path: Option<Text>) -> World {
    let mut world = World::new(Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("valid"));
    let entry = ClusterEntry {
        name: cluster(),
        context: Text::new("prod-eu"),
        environment: Environment::Production,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let clusters = vec![entry];
    let (excluded, included) = (Vec::new(), Vec::new());
    world.absorb(Fact::Fleet(FleetFile {
        path,
        clusters,
        excluded,
        included,
        owners: Vec::new(),
        ..FleetFile::default()
    }));
    world
}

fn tell(world: &mut World, fact: ClusterFact) {
    world.absorb(Fact::Cluster(cluster(), fact));
}

fn namespace(terminating: bool) -> ClusterFact {
    ClusterFact::Namespaces(Change::Reset(vec![NamespaceSeen {
        name: target().ns,
        labels: Labels::default(),
        owner: None,
        contact: None,
        terminating,
    }]))
}

fn cni(enforcement: Enforcement) -> ClusterFact {
    let evidence = Text::new("DaemonSet kube-flannel/kube-flannel-ds, no policy container");
    ClusterFact::Cni(Cni { kind: CniKind::Flannel, version: None, enforcement, evidence })
}

/// Law 6: whatever is broken, missing, running or unknown, a rollback is started.
#[test]
fn a_rollback_is_started_in_every_state() {
    let breakages: [fn(&mut World); 9] = [
        |world| {
            let trouble = Trouble::new("prod-eu", "connection refused", "Check the VPN.");
            tell(world, ClusterFact::Away(trouble));
        },
        |world| tell(world, namespace(true)),
        |world| tell(world, cni(Enforcement::DoesNot)),
        |world| tell(world, cni(Enforcement::Unknown)),
        |world| tell(world, ClusterFact::Rights(Rights { delete: Some(true), ..Rights::default() })),
        |world| {
            tell(
                world,
                ClusterFact::Rights(Rights { patch: Some(true), delete: Some(false), ..Rights::default() }),
            );
        },
        |world| {
            let started = OrderFact::Started { kind: OrderKind::Apply, target: target() };
            world.absorb(Fact::Order(OrderId(1), started));
        },
        |world| {
            let other = Target { direction: Direction::Ingress, ..target() };
            world.absorb(Fact::Order(
                OrderId(2),
                OrderFact::Started { kind: OrderKind::Rollback, target: other },
            ));
        },
        |world| world.absorb(Fact::Notice(Trouble::new("sluice.yaml", "line 3 is wrong", "Correct it."))),
    ];
    for path in [None, Some(Text::new("sluice.yaml"))] {
        for broken in 0..1_u32 << breakages.len() {
            let mut world = world(path.clone());
            for (at, break_it) in breakages.iter().enumerate() {
                if broken & (1 << at) != 0 {
                    break_it(&mut world);
                }
            }
            let orders = decide(&world, &Command::RollBack(vec![target()]));
            let orders = orders.unwrap_or_else(|refusal| panic!("with {broken:#b} broken: {refusal}"));
            let [Effect::Rollback(order)] = orders.effects.as_slice() else { panic!("{:?}", orders.effects) };
            assert_eq!(order.target, target());
            // A running apply of the namespace is stopped, whatever else runs beside it.
            let applies = broken & (1 << 6) != 0;
            assert_eq!(order.aborts.is_some(), applies, "with {broken:#b} broken");
        }
    }
}

/// Only what cannot be sent refuses a rollback, and it says so.
#[test]
fn a_rollback_is_refused_only_for_what_cannot_be_sent() {
    let mut world = world(None);
    tell(&mut world, ClusterFact::Identity(Identity { user: Text::new("vera"), groups: Vec::new() }));
    let none = Rights { patch: Some(false), delete: Some(false), ..Rights::default() };
    tell(&mut world, ClusterFact::Rights(none));
    let refusal = decide(&world, &Command::RollBack(vec![target()])).expect_err("no right");
    assert_eq!(
        refusal.to_string(),
        "rollback prod-eu/shop egress refused: vera may not patch or delete network policies in prod-eu (RBAC); ask its admin for the right"
    );
    world.absorb(Fact::ReadOnly);
    let refusal = decide(&world, &Command::RollBack(vec![target()])).expect_err("read-only");
    assert_eq!(refusal.reasons.len(), 2, "every reason is named: {refusal}");
}

/// All reasons at once, each with its next step.
#[test]
fn an_apply_names_every_reason_against_it() {
    let mut world = world(None);
    world.absorb(Fact::ReadOnly);
    tell(&mut world, namespace(true));
    tell(&mut world, cni(Enforcement::DoesNot));
    tell(&mut world, ClusterFact::Away(Trouble::new("prod-eu", "no answer within 5 s", "Check the VPN.")));
    let refusal = decide(&world, &Command::Preview(vec![target()])).expect_err("refused");
    let evidence = Text::new("DaemonSet kube-flannel/kube-flannel-ds, no policy container");
    assert_eq!(
        refusal.reasons,
        [
            Reason::ReadOnly,
            Reason::NoWorkspace,
            Reason::Unreachable {
                cluster: cluster(),
                why: Text::new("prod-eu: no answer within 5 s. Check the VPN.")
            },
            Reason::Terminating(target().ns),
            Reason::NotEnforced {
                cluster: cluster(),
                evidence,
                next: "migrate its CNI to Calico or Cilium first"
            },
            Reason::NotAuthored(cluster(), target().ns),
        ]
    );
}

/// Nothing can be applied without a finished preview of the same order.
#[test]
fn an_apply_without_a_preview_is_refused() {
    let world = world(Some(Text::new("sluice.yaml")));
    let refusal = decide(&world, &Command::Apply(vec![OrderId(7)])).expect_err("refused");
    assert_eq!(refusal.reasons, [Reason::NoPreview(OrderId(7))]);
}

#[test]
fn one_order_at_a_time_in_a_namespace() {
    let mut world = world(Some(Text::new("sluice.yaml")));
    world.absorb(Fact::Order(OrderId(3), OrderFact::Started { kind: OrderKind::Rollback, target: target() }));
    let refusal = decide(&world, &Command::RollBack(vec![target()])).expect_err("refused");
    assert_eq!(
        refusal.to_string(),
        "rollback prod-eu/shop egress refused: order #3 (rollback prod-eu/shop egress) has been running for 0s: wait for it or abort it"
    );
}
