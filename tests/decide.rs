//! The rules of `decide` on worlds made of facts: law 6 over every combination of what may be
//! broken, and the reasons that an apply names.

use std::collections::BTreeMap;

use chrono::{TimeZone, Utc};
use sluice::{
    cockpit::{
        allowed::rollback_warning,
        decide::{Command, Reason, apply_reasons, decide},
        orders::{OrderId, OrderKind, Target},
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Effect, Fact, OrderFact, Trouble},
        world::World,
    },
    domain::{
        fleet::{Cni, CniKind, Enforcement, Environment, Identity, NamespaceSeen, Rights, Within},
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
    world.absorb(Fact::ReadOnly);
    let elsewhere = Target { cluster: ClusterName::parse("gone").expect("a name"), ..target() };
    let refusal = decide(&world, &Command::RollBack(vec![elsewhere])).expect_err("read-only");
    assert_eq!(
        refusal.to_string(),
        "rollback gone/shop egress refused: this run is read-only (--read-only); gone is not a cluster of this fleet"
    );
}

/// A row that cannot be sent keeps no other one back.
#[test]
fn of_several_rows_those_that_can_be_taken_back_are() {
    let world = world(None);
    let elsewhere = Target { cluster: ClusterName::parse("gone").expect("a name"), ..target() };
    let orders = decide(&world, &Command::RollBack(vec![elsewhere, target()])).expect("one can be sent");
    let [Effect::Rollback(order)] = orders.effects.as_slice() else { panic!("{:?}", orders.effects) };
    assert_eq!((&order.target, order.id), (&target(), orders.started[0].0));
}

/// What our own reviews say on rights is only a warning, by which namespace they were asked for.
#[test]
fn a_rollback_without_a_known_right_is_sent_with_a_warning() {
    let within = |patch, delete| {
        let within = Within { create: Some(false), patch, delete };
        BTreeMap::from([(NsName::parse("shop").expect("a name"), within)])
    };
    let (yes, no) = (Some(true), Some(false));
    for (patch, delete, here, warning) in [
        (yes, yes, None, None),
        (no, yes, None, None),
        (None, no, None, None),
        (no, no, None, Some("the whole cluster")),
        (no, no, Some(within(yes, yes)), None),
        (no, no, Some(within(no, yes)), None),
        (no, no, Some(within(None, no)), Some("the whole cluster")),
        (no, no, Some(within(no, no)), Some("namespace shop")),
    ] {
        let case = format!("{patch:?} {delete:?} {here:?}");
        let mut world = world(None);
        tell(&mut world, ClusterFact::Identity(Identity { user: Text::new("vera"), groups: Vec::new() }));
        let rights = Rights { patch, delete, within: here.unwrap_or_default(), ..Rights::default() };
        tell(&mut world, ClusterFact::Rights(rights));
        decide(&world, &Command::RollBack(vec![target()])).expect(&case);
        let words = |by| {
            format!(
                "prod-eu: by a review of {by} vera may neither patch nor delete network policies; it is tried all the same"
            )
        };
        let told = rollback_warning(&world, &target()).map(|warning| warning.to_string());
        assert_eq!(told, warning.map(words), "{case}");
    }
}

/// A no to the whole cluster is none to a namespace: only one that was asked for there is.
#[test]
fn an_apply_is_refused_by_the_rights_in_its_namespace() {
    let (yes, no) = (Some(true), Some(false));
    let named = |name| NsName::parse(name).expect("a name");
    let within = |create, patch| BTreeMap::from([(named("shop"), Within { create, patch, delete: no })]);
    let against = |within| {
        let mut world = world(Some(Text::new("sluice.yaml")));
        let rights = Rights { create: no, patch: no, delete: no, within, ..Rights::default() };
        tell(&mut world, ClusterFact::Rights(rights));
        let reasons = apply_reasons(&world, &target()).into_iter().map(|reason| reason.to_string());
        reasons.filter(|reason| reason.contains("RBAC")).collect::<Vec<_>>()
    };
    let refused = |verb, place| {
        format!("you may not {verb} network policies in {place} (RBAC); ask its admin for the right")
    };
    assert_eq!(against(BTreeMap::new()), [""; 0], "the server's dry run says it");
    assert_eq!(against(within(yes, yes)), [""; 0]);
    assert_eq!(against(within(None, None)), [""; 0]);
    assert_eq!(against(within(no, yes)), [refused("create", "prod-eu")]);
    assert_eq!(against(within(no, no)), [refused("create", "prod-eu"), refused("patch", "prod-eu")]);
    let mut one = within(no, no);
    one.insert(named("pay"), Within { create: no, patch: yes, delete: no });
    assert_eq!(against(one), [refused("create", "prod-eu"), refused("patch", "prod-eu/shop")]);
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
