//! What is recorded of a row, what counts as an incident and when it has recovered, on one namespace
//! made of facts. Policies are YAML, expected values are written down.

use chrono::TimeDelta;

use sluice::{
    cockpit::{
        decide::{Command, decide},
        incidents::{Drift, Incident},
        orders::{OrderId, OrderKind, Outcome},
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact, Link, OrderFact, SourceState},
        records,
        recovery::{Recovery, recovery},
        shared::{Share, SharedFact},
        world::World,
    },
    domain::{
        fleet::{Environment, Isolation, NamespaceSeen, Pod},
        flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
        names::{ClusterName, NsName, PodName, Text, Workload},
        policy::{Labels, Policy, PolicyDigest, PolicyKind},
        rollout::{Applied, Clean, Kept, Record, RolledBack, Stamp, Target},
        time::Timestamp,
        valve,
    },
    manifest,
};

const SET: &[(&str, &str)] = &[
    ("default-deny-egress", "{podSelector: {}, policyTypes: [Egress]}"),
    (
        "egress-baseline-allow",
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}",
    ),
    ("egress-allowlist", "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}"),
];

fn start() -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000, 0).expect("in range")
}

fn east() -> ClusterName {
    ClusterName::parse("east").expect("a name")
}

fn shop() -> NsName {
    NsName::parse("shop").expect("a name")
}

fn target() -> Target {
    Target { cluster: east(), ns: shop(), direction: Direction::Egress }
}

fn policy(name: &str, spec: &str, marks: &str) -> Policy {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop{marks}}}\nspec: {spec}\n"
    );
    let value: serde_json::Value = serde_yaml::from_str(&text).expect("the test's own YAML");
    manifest::policy(&value).expect("a policy")
}

fn set() -> Vec<Policy> {
    SET.iter().map(|(name, spec)| policy(name, spec, "")).collect()
}

fn digest(policies: &[Policy]) -> PolicyDigest {
    PolicyDigest::of(policies)
}

/// The one cluster of the fleet, of which nothing is known yet.
fn unread() -> World {
    let mut world = World::new(start());
    let entry = ClusterEntry {
        name: east(),
        context: Text::new("east"),
        environment: Environment::Production,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
    world
}

fn met() -> ClusterFact {
    ClusterFact::Met { uid: Some(Text::new("uid-east")), version: Text::new("v1.33"), kinds: Vec::new() }
}

fn seen() -> NamespaceSeen {
    NamespaceSeen { name: shop(), labels: Labels::default(), owner: None, contact: None, terminating: false }
}

/// One namespace with a ready pod, a live source, and these policies.
fn world(policies: Vec<Policy>) -> World {
    let mut world = unread();
    let source = SourceState {
        kind: sluice::domain::source::SourceKind::Hubble,
        name: Text::new("Hubble Relay"),
        link: Link::Live,
        history_from: None,
        lag: None,
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: 0,
        repeats: 0,
    };
    for fact in [
        met(),
        ClusterFact::Namespaces(Change::Reset(vec![seen()])),
        ClusterFact::Pods(Change::Reset(vec![pod(Some(start()))])),
        ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies)),
        ClusterFact::Source(source),
    ] {
        world.absorb(Fact::Cluster(east(), fact));
    }
    world.absorb(Fact::Shared(SharedFact::Link(Link::Live)));
    world.settle();
    world
}

fn pod(ready: Option<Timestamp>) -> Pod {
    Pod {
        ns: shop(),
        name: PodName::parse("web-1").expect("a name"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "web"),
        node: None,
        host_network: false,
        finished: false,
        started: Some(start()),
        ready,
    }
}

fn record(policies: &[Policy]) -> Record {
    Record {
        target: target(),
        uid: Text::new("uid-east"),
        wave: Some(1),
        applied: Some(Applied {
            digest: digest(policies),
            stamp: Stamp { by: Text::new("lead"), at: start() },
        }),
        clean: None,
        rolled_back: None,
        overridden: false,
    }
}

fn tell_record(world: &mut World, record: Record) {
    let kept = Kept {
        name: Text::new("east.shop.egress"),
        version: Text::new("7"),
        created: start(),
        value: record,
    };
    world.absorb(Fact::Shared(SharedFact::Records(Change::Put(kept))));
    world.settle();
}

fn tell_policies(world: &mut World, policies: Vec<Policy>) {
    let fact = ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies));
    world.absorb(Fact::Cluster(east(), fact));
    world.settle();
}

fn pass(world: &mut World, minutes: i64) {
    world.absorb(Fact::Tick(world.now() + TimeDelta::minutes(minutes)));
    world.settle();
}

fn drifts(world: &World) -> Vec<Drift> {
    world.incidents().of(&target()).iter().map(|incident| incident.drift.clone()).collect()
}

fn due(world: &World) -> Vec<Record> {
    let cluster = world.cluster(&east()).expect("there");
    let shares = records::due(world, cluster, |_| Some(3));
    shares
        .into_iter()
        .map(|share| match share {
            Share::Record { record, .. } => *record,
            other => panic!("{other:?} is not a record"),
        })
        .collect()
}

#[test]
fn a_set_that_is_as_it_was_applied_is_no_incident() {
    let mut world = world(set());
    assert_eq!(drifts(&world), [], "nothing is recorded, so nothing is expected");
    tell_record(&mut world, record(&set()));
    assert_eq!(drifts(&world), []);
}

#[test]
fn what_is_missing_renamed_opened_or_changed_is_an_incident_with_its_writer_and_age() {
    let mut world = world(set());
    let clean = Clean {
        digest: digest(&set()),
        at: start(),
        set: valve::live_set(world.namespace(&east(), &shop()).expect("there"), Direction::Egress),
        manifests: Default::default(),
    };
    tell_record(&mut world, Record { clean: Some(clean), ..record(&set()) });
    let mut policies = set();
    policies.remove(2);
    tell_policies(&mut world, policies.clone());
    assert_eq!(drifts(&world), [Drift::Missing("egress-allowlist")]);
    pass(&mut world, 3);
    policies.push(policy("allow-443", SET[2].1, ""));
    tell_policies(&mut world, policies.clone());
    assert_eq!(drifts(&world), [Drift::Renamed("egress-allowlist", Text::new("allow-443"))]);
    assert_eq!(world.incidents().of(&target())[0].since, start() + TimeDelta::minutes(3));

    let open = policy("default-deny-egress", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}", "");
    tell_policies(&mut world, vec![open, set()[1].clone(), set()[2].clone()]);
    assert_eq!(drifts(&world), [Drift::Opened("default-deny-egress")]);

    let by_kubectl = ", managedFields: [{manager: kubectl-edit, operation: Update, time: '2026-03-01T00:00:00Z', fieldsV1: {'f:spec': {}}}]";
    let wider = policy(
        "egress-allowlist",
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}",
        by_kubectl,
    );
    tell_policies(&mut world, vec![set()[0].clone(), set()[1].clone(), wider]);
    let incident = &world.incidents().of(&target())[0];
    assert_eq!(
        *incident,
        Incident {
            drift: Drift::Changed,
            since: start() + TimeDelta::minutes(3),
            writer: Some(Text::new("kubectl-edit")),
            suspend: None
        }
    );
    assert_eq!(
        incident.words(),
        "the live set is not the one that was applied, last written by kubectl-edit; apply again, or roll back"
    );
}

#[test]
fn a_tool_that_took_an_object_over_is_named_with_what_keeps_it_from_undoing_a_rollback() {
    let marks = ", labels: {kustomize.toolkit.fluxcd.io/name: shop, kustomize.toolkit.fluxcd.io/namespace: flux-system}";
    let mut policies = set();
    policies[2] = policy("egress-allowlist", SET[2].1, marks);
    let mut world = world(policies);
    tell_record(&mut world, record(&set()));
    let words: Vec<_> = world.incidents().of(&target()).iter().map(Incident::words).collect();
    assert_eq!(
        words,
        [
            "egress-allowlist belongs to Flux Kustomization flux-system/shop; before a rollback: `flux suspend kustomization shop -n flux-system`"
        ]
    );
}

#[test]
fn a_row_that_was_closed_is_recorded_whoever_closed_it() {
    let by_git = ", managedFields: [{manager: kustomize-controller, operation: Apply, time: '2026-03-01T00:00:00Z', fieldsV1: {'f:spec': {}}}]";
    let closed: Vec<_> = SET.iter().map(|(name, spec)| policy(name, spec, by_git)).collect();
    let mut world = world(closed.clone());
    let expected = Record {
        wave: Some(3),
        applied: Some(Applied {
            digest: digest(&closed),
            stamp: Stamp { by: Text::new("kustomize-controller"), at: start() },
        }),
        ..record(&closed)
    };
    assert_eq!(due(&world), std::slice::from_ref(&expected));
    tell_record(&mut world, expected);
    assert_eq!(due(&world), [], "what is recorded is not written again");
    // Changed by other means it is an incident, and the record stays.
    let mut other = closed;
    other[2] = policy("egress-allowlist", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}", "");
    tell_policies(&mut world, other);
    assert_eq!(due(&world), []);
    assert_eq!(drifts(&world), [Drift::Changed]);
}

#[test]
fn without_the_state_cluster_nothing_is_recorded_and_no_other_cluster_takes_over_a_record() {
    let mut away = world(set());
    away.absorb(Fact::Shared(SharedFact::Link(Link::Connecting)));
    assert_eq!(due(&away), []);
    let mut rebuilt = world(set());
    tell_record(&mut rebuilt, Record { uid: Text::new("uid-of-before"), ..record(&set()) });
    let written = due(&rebuilt);
    assert_eq!(written[0].uid, Text::new("uid-east"));
    assert_eq!(drifts(&rebuilt), []);
    let refused = decide(&rebuilt, &Command::Revert(vec![target()])).expect_err("never clean").to_string();
    assert!(refused.contains("east/shop egress never soaked clean"), "{refused}");
}

fn roll_back(world: &mut World) {
    let id = OrderId(world.orders().next_id().0);
    let started = OrderFact::Started { kind: OrderKind::Rollback, target: target() };
    world.absorb(Fact::Order(id, started));
    tell_policies(world, Vec::new());
    let done = Outcome::Done { isolation: Isolation::default() };
    world.absorb(Fact::Order(id, OrderFact::Ended(done)));
    world.settle();
}

fn denied(at: Timestamp) -> Flow {
    let web = End {
        ns: Some(shop()),
        pod: PodName::parse("web-1").ok(),
        workload: Some(Workload::new("Deployment", "web")),
        ..End::default()
    };
    Flow {
        id: FlowId("one".into()),
        at,
        node: None,
        direction: Direction::Egress,
        verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        source: web,
        destination: End { address: "203.0.113.9".parse().ok(), ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 443,
        reply: None,
        closing: false,
    }
}

#[test]
fn a_rollback_is_called_recovered_only_when_denials_ended_and_pods_are_ready() {
    let mut world = world(set());
    tell_record(&mut world, record(&set()));
    pass(&mut world, 10);
    roll_back(&mut world);
    let at = world.now();
    let expected = Record {
        rolled_back: Some(RolledBack {
            stamp: Stamp { by: Text::new("unknown"), at },
            reason: None,
            recovered: None,
        }),
        ..record(&set())
    };
    assert_eq!(due(&world), std::slice::from_ref(&expected));
    tell_record(&mut world, expected);
    assert_eq!(drifts(&world), [], "what was taken back is not missing");

    let judge = |world: &World| recovery(world, &target(), at);
    assert_eq!(judge(&world), Recovery::Watching { left: TimeDelta::minutes(5) });
    pass(&mut world, 2);
    let flow = denied(world.now());
    world.absorb(Fact::Cluster(east(), ClusterFact::Flows(vec![flow])));
    world.settle();
    assert_eq!(judge(&world), Recovery::Denied { last: world.now() });
    pass(&mut world, 6);
    world.absorb(Fact::Cluster(east(), ClusterFact::Pods(Change::Put(pod(None)))));
    assert_eq!(judge(&world), Recovery::NotReady { ready: 0, of: 1 });
    assert!(due(&world).is_empty(), "not recovered yet");
    world.absorb(Fact::Cluster(east(), ClusterFact::Pods(Change::Put(pod(Some(world.now()))))));
    assert_eq!(judge(&world), Recovery::Recovered);
    let recovered = due(&world)[0].rolled_back.as_ref().and_then(|back| back.recovered);
    assert_eq!(recovered, Some(world.now()));
}

#[test]
fn recovery_is_unknown_while_denials_cannot_be_seen() {
    let mut world = world(Vec::new());
    let source = SourceState {
        link: Link::Connecting,
        ..world.source(&east()).and_then(|s| s.state.clone()).expect("told")
    };
    world.absorb(Fact::Cluster(east(), ClusterFact::Source(source)));
    pass(&mut world, 60);
    let said = recovery(&world, &target(), start()).words(world.now());
    assert_eq!(
        said,
        "whether it recovered is unknown: no flow source is live there, so denials cannot be seen"
    );
}

/// The lists of a cluster come in any order, and the record may be there before all of them.
#[test]
fn what_is_missing_is_an_incident_also_where_namespaces_are_listed_last() {
    let mut world = unread();
    tell_record(&mut world, record(&set()));
    world.absorb(Fact::Cluster(east(), met()));
    tell_policies(&mut world, set()[1..].to_vec());
    assert_eq!(drifts(&world), [], "whether the namespace is there at all is not known yet");
    world.absorb(Fact::Cluster(east(), ClusterFact::Namespaces(Change::Reset(vec![seen()]))));
    world.settle();
    assert_eq!(drifts(&world), [Drift::Missing("default-deny-egress")]);
}

#[test]
fn a_cluster_that_left_the_fleet_has_no_incident() {
    let mut world = world(set()[1..].to_vec());
    tell_record(&mut world, record(&set()));
    assert_eq!(drifts(&world), [Drift::Missing("default-deny-egress")]);
    world.absorb(Fact::Fleet(FleetFile::default()));
    world.settle();
    assert_eq!(drifts(&world), []);
}
