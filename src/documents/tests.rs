//! Goldens of what scripts and people read, from one small fleet: a cluster that is well, one that
//! enforces nothing, one that is down.

use std::net::IpAddr;

use chrono::{TimeDelta, TimeZone as _, Utc};
use serde_json::json;

use super::{denials, orders, status, wire};
use crate::{
    cockpit::{
        decide::{Command, decide},
        orders::{Answer, DiffLine, OrderId, OrderKind, Origin, Outcome, Preview, Receipt, Sign, Target},
        plan::{ClusterEntry, FleetFile, OwnerEntry},
        ports::{Change, ClusterFact, CollectorState, Fact, Gap, Link, OrderFact, SourceState, Trouble},
        world::World,
    },
    domain::{
        coverage::Coverage,
        edge::{Tally, Window, hour_of, hour_start},
        fleet::{Cni, CniKind, Enforcement, Environment, Identity, Isolation, NamespaceSeen, Pod, Rights},
        flow::{Direction, End, Entity, Flow, FlowId, Protocol, Verdict},
        names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
        policy::{Labels, Pinned, Policy, PolicyDigest, PolicyKind},
        time::Timestamp,
        valve::Step,
    },
    manifest,
};

pub(crate) fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 30).single().expect("a time")
}

pub(crate) fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("valid")
}

pub(crate) fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("valid")
}

pub(crate) fn target() -> Target {
    Target { cluster: cluster("prod-eu"), ns: ns("shop"), direction: Direction::Egress }
}

pub(crate) fn policy(name: &str) -> Policy {
    let rules = if name.starts_with("default-deny") { json!([]) } else { json!([{"ports": [{"port": 53}]}]) };
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules},
    });
    manifest::policy(&object).expect("a policy")
}

pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        ns: ns("shop"),
        name: PodName::parse(name).expect("valid"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "web"),
        node: None,
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

fn seen(name: &str) -> NamespaceSeen {
    NamespaceSeen {
        name: ns(name),
        labels: Labels::default(),
        owner: (name == "pay").then(|| Text::new("pay\u{1b}[31m team")),
        contact: None,
        terminating: name == "old",
    }
}

pub(crate) fn denial(id: u32, address: [u8; 4], at: Timestamp) -> Flow {
    Flow {
        id: FlowId(id.to_string().into()),
        at,
        node: NodeName::parse("node-1").ok(),
        direction: Direction::Egress,
        verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        source: End {
            ns: Some(ns("shop")),
            pod: PodName::parse("web-1").ok(),
            workload: Some(Workload::new("Deployment", "web")),
            ..End::default()
        },
        destination: End {
            address: Some(IpAddr::from(address)),
            entity: Some(Entity::World),
            ..End::default()
        },
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 443,
        reply: Some(false),
        closing: false,
    }
}

pub(crate) fn source(link: Link) -> SourceState {
    SourceState {
        kind: crate::domain::source::SourceKind::Hubble,
        name: Text::new("Hubble Relay 1.16"),
        link,
        history_from: Some(now() - TimeDelta::hours(2)),
        lag: Some(TimeDelta::milliseconds(120)),
        nodes_connected: Some(3),
        nodes_unavailable: Some(1),
        malformed: 0,
        repeats: 2,
    }
}

fn fleet() -> FleetFile {
    let entry = |name: &str, environment| ClusterEntry {
        name: cluster(name),
        context: Text::from(format!("ctx-{name}")),
        environment,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    FleetFile {
        path: Some(Text::new("/fleet/sluice.yaml")),
        clusters: vec![
            entry("prod-eu", Environment::Production),
            entry("stage", Environment::Staging),
            entry("far", Environment::Unknown),
        ],
        beside: Vec::new(),
        excluded: vec![ns("kube-system")],
        included: Vec::new(),
        owners: vec![OwnerEntry {
            namespaces: vec![ns("shop")],
            owner: Text::new("team-shop"),
            contact: Some(Text::new("#team-shop")),
        }],
        ..FleetFile::default()
    }
}

fn well() -> Vec<ClusterFact> {
    let all = Some(true);
    let names = ["default-deny-egress", "egress-baseline-allow", "egress-allowlist"];
    vec![
        ClusterFact::Met { uid: Some(Text::new("uid-1")), version: Text::new("v1.33.1"), kinds: Vec::new() },
        ClusterFact::Identity(Identity { user: Text::new("lead@example.net"), groups: Vec::new() }),
        ClusterFact::Rights(Rights {
            read: all,
            create: all,
            patch: all,
            delete: all,
            portforward: all,
            ..Rights::default()
        }),
        ClusterFact::Cni(Cni {
            kind: CniKind::Cilium,
            version: Some(Text::new("1.16.3")),
            enforcement: Enforcement::Enforces,
            evidence: Text::new("DaemonSet kube-system/cilium"),
        }),
        ClusterFact::Namespaces(Change::Reset(["kube-system", "old", "pay", "shop"].map(seen).to_vec())),
        ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(names.map(policy).to_vec())),
        ClusterFact::Staged(None),
        ClusterFact::Pods(Change::Reset(vec![pod("web-1"), pod("web-2")])),
        ClusterFact::Source(source(Link::Live)),
        ClusterFact::Flows(vec![
            denial(1, [203, 0, 113, 7], now() - TimeDelta::seconds(20)),
            denial(2, [203, 0, 113, 7], now() - TimeDelta::seconds(10)),
            denial(3, [198, 51, 100, 1], now() - TimeDelta::seconds(5)),
        ]),
        ClusterFact::Gap(Gap {
            node: NodeName::parse("node-2").ok(),
            from: now() - TimeDelta::seconds(60),
            until: Some(now() - TimeDelta::seconds(30)),
            lost: Some(17),
            cause: crate::domain::evidence::Cause::Loss,
            why: Text::new("LOST EVENTS: the ring buffer was full"),
        }),
    ]
}

/// Half a week of one node, and trouble of its own.
fn collector() -> ClusterFact {
    let to = hour_start(hour_of(now()));
    let window = Window { from: to - TimeDelta::days(8), to };
    let credited = (1..=84).map(|ago| hour_of(to) - ago).collect();
    ClusterFact::Collector(Box::new(CollectorState {
        link: Link::Live,
        version: Some(Text::new("0.3.0")),
        sources: vec![source(Link::Live)],
        window: Some(window),
        coverage: Coverage { credited: [(None, credited)].into(), ..Coverage::default() },
        edges: vec![(ns("shop"), Tally { edges: 31, parties: None })],
        troubles: vec![Trouble::new("/var/lib/sluice", "the disk is 93 % full", "Make room.")],
    }))
}

/// The small fleet.
pub(crate) fn world() -> World {
    let mut world = World::new(now());
    world.absorb(Fact::Fleet(fleet()));
    world.absorb(Fact::Notice(Trouble::new("sluice.yaml line 3", "the key `x` is not known", "Remove it.")));
    for fact in well() {
        world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
    }
    let stage = [
        ClusterFact::Cni(Cni {
            kind: CniKind::Flannel,
            version: None,
            enforcement: Enforcement::DoesNot,
            evidence: Text::new("DaemonSet kube-flannel/kube-flannel-ds and no policy engine"),
        }),
        ClusterFact::Staged(None),
        ClusterFact::Namespaces(Change::Reset(vec![seen("shop")])),
        ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())),
        ClusterFact::Collector(Box::new(CollectorState {
            link: Link::None(Text::new("no pod labelled app.kubernetes.io/name=sluice-collect")),
            version: None,
            sources: Vec::new(),
            window: None,
            coverage: Coverage::default(),
            edges: Vec::new(),
            troubles: Vec::new(),
        })),
    ];
    world.absorb(Fact::Cluster(cluster("prod-eu"), collector()));
    for fact in stage {
        world.absorb(Fact::Cluster(cluster("stage"), fact));
    }
    let away =
        Trouble::new("far", "connection refused (10.0.0.1:6443)", "Check the address in the kubeconfig.");
    world.absorb(Fact::Cluster(cluster("far"), ClusterFact::Away(away)));
    world.settle();
    world
}

pub(crate) fn preview() -> Preview {
    let valve = Pinned::valve(Direction::Egress);
    let line = |sign, text: &str| DiffLine { sign, text: Text::new(text) };
    Preview {
        origin: Origin::Workspace,
        target: target(),
        digest: PolicyDigest::of([&policy("default-deny-egress")]),
        set: [(valve.name, policy(valve.name))].into(),
        manifests: Default::default(),
        live: Default::default(),
        steps: vec![Step::Open(valve), Step::Tighten(valve)],
        before: Isolation { pods: 2, ..Isolation::default() },
        after: Isolation {
            pods: 2,
            isolated: 2,
            by: [policy(valve.name).key].into(),
            ..Isolation::default()
        },
        diff: vec![
            line(Sign::Object, "NetworkPolicy default-deny-egress (new)"),
            line(Sign::Added, "podSelector: {}"),
            line(Sign::Same, ""),
            line(Sign::Removed, "egress: []"),
        ],
        commands: vec!["kubectl --context ctx-prod-eu apply --server-side -f -".to_owned()],
        warnings: vec![Text::new("Argo CD application shop owns default-deny-egress and may undo this")],
        refusals: vec![Trouble::new("NetworkPolicy x", "conflict with kubectl", "Ask its owner.")],
        prediction: Err(Text::new("for what the server refuses")),
        untold: None,
    }
}

/// The fleet after a preview, an apply that stopped, and a rollback that left something.
pub(crate) fn world_with_orders() -> World {
    let mut world = world();
    let valve = Pinned::valve(Direction::Egress);
    let mut tell = |id, fact| world.absorb(Fact::Order(OrderId(id), fact));
    let started = |kind| OrderFact::Started { kind, target: target() };
    let call = |order, step, result| {
        OrderFact::Wrote(Receipt {
            order: OrderId(order),
            target: target(),
            step,
            command: "kubectl --context ctx-prod-eu -n shop apply --server-side -f open.yaml".to_owned(),
            result,
        })
    };
    tell(1, started(OrderKind::Preview));
    tell(1, OrderFact::Previewed(Box::new(preview())));
    tell(2, started(OrderKind::Apply));
    tell(2, call(2, Step::Open(valve), Answer::Done { version: Some("8".into()) }));
    let refused = Trouble::new("NetworkPolicy shop/egress-allowlist", "HTTP 403", "Ask the cluster's admin.");
    tell(2, call(2, Step::Put(&crate::domain::policy::PINNED[2]), Answer::Refused(refused.clone())));
    let open = Isolation { pods: 2, open_selected: 2, ..Isolation::default() };
    tell(2, OrderFact::Ended(Outcome::Stopped { trouble: refused, isolation: Some(open) }));
    tell(3, started(OrderKind::Rollback));
    let left =
        Isolation { pods: 2, isolated: 2, by: [policy("egress-foreign").key].into(), ..Isolation::default() };
    tell(3, OrderFact::Ended(Outcome::Done { isolation: left }));
    world
}

fn report<'w>(preview: &'w Preview, dry_run: bool) -> orders::Report<'w> {
    orders::Report {
        command: "apply",
        result: "failed",
        dry_run,
        previews: vec![preview],
        rollbacks: Vec::new(),
        orders: vec![OrderId(2), OrderId(3)],
        refusals: Vec::new(),
        troubles: Vec::new(),
    }
}

#[test]
fn status_as_json_and_as_text() {
    let world = world();
    insta::assert_snapshot!("status.json", status::json(&world));
    insta::assert_snapshot!("status.txt", status::text(&world));
}

#[test]
fn denials_as_lines_and_as_a_table() {
    let world = world();
    let all = denials::Wanted::default();
    insta::assert_snapshot!("denials.json", denials::json_lines(&world, &all));
    insta::assert_snapshot!("denials.txt", denials::text(&world, &all));
    let live = world.denials().live().back().expect("three");
    let source = world.source(&cluster("prod-eu")).expect("one");
    let follow = [
        denials::denial_json(&world, live).expect("its group is there"),
        denials::denial_text(&world, live).expect("its group is there"),
        denials::gap_text(&world, &cluster("prod-eu"), &source.gaps[0]),
        denials::missed_json(3),
    ];
    insta::assert_snapshot!("denials-follow.txt", follow.concat());
}

#[test]
fn previews_and_orders_as_json_and_as_text() {
    let (world, preview) = (world_with_orders(), preview());
    insta::assert_snapshot!("orders.json", orders::json(&world, &report(&preview, true)));
    insta::assert_snapshot!("orders.txt", orders::text(&world, &report(&preview, true)));
}

#[test]
fn a_refusal_says_every_reason() {
    let mut world = world();
    world.absorb(Fact::ReadOnly);
    let target = Target { cluster: cluster("stage"), ns: ns("gone"), direction: Direction::Ingress };
    let refusal = decide(&world, &Command::Preview(vec![target])).expect_err("for several reasons");
    insta::assert_snapshot!("refusal.txt", wire::refusal_text(&refusal));
    insta::assert_snapshot!("refusal.json", wire::pretty(&wire::RefusalOut::from(&refusal)));
}

/// Law 9: whatever a cluster says, no control byte reaches a pipe or a terminal.
#[test]
fn no_control_byte_is_printed() {
    let (world, preview) = (world_with_orders(), preview());
    let all = denials::Wanted::default();
    let printed = [
        status::text(&world),
        status::json(&world),
        denials::text(&world, &all),
        denials::json_lines(&world, &all),
        orders::text(&world, &report(&preview, true)),
    ]
    .concat();
    assert!(printed.contains("pay\u{fffd}[31m team"));
    assert!(!printed.chars().any(|c| c != '\n' && crate::domain::names::is_hostile(c)));
}
