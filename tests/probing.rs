//! Probes in the whole product: API server, kubelet, data plane and relay are simulated, the rest is
//! not. What a probe shows, what it costs nobody, and why it can show nothing.

use std::time::Duration;

use crate::support::{self, fleet, fleet_file, run_for};
use serde_json::{Value, json};
use sluice::{
    cockpit::{
        plan::PolicyFiles,
        settings::{ProbeEntry, StatePlace},
        soaks::SoakRow,
        world::World,
    },
    domain::{
        denial::Class,
        flow::Direction,
        names::{ClusterName, NsName, Text},
        rollout::Target,
        soak::Reason,
    },
    engine::{Claims, Engine, Soaks},
    k8s::lease::Role,
    sim::fleet::{
        faults::Fault,
        people::Person,
        running::Fleet,
        scenario::{Cni, Scenario},
    },
};

const MINUTE: Duration = Duration::from_secs(60);
const SOAKS: Soaks = Soaks {
    targets: |world, cluster| world.soaks().targets().filter(|one| one.cluster == *cluster).collect(),
    evidence: |world, target| world.soaks().evidence(target, world),
};

fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

fn target(direction: Direction) -> Target {
    Target { cluster: ClusterName::parse("east").expect("a name"), ns: ns("shop"), direction }
}

fn seed(fleet: &Fleet, name: &str, direction: &str, rules: &Value) {
    let kind = if direction == "egress" { "Egress" } else { "Ingress" };
    fleet.cluster("east").expect("it is there").server().seed(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": [kind], direction: rules },
    }));
}

/// Closed for the probe's address and open for all else.
fn closed(fleet: &Fleet) {
    let to = json!([
        { "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["192.0.2.0/24"] } }] },
        { "to": [{ "namespaceSelector": {} }] },
    ]);
    seed(fleet, "default-deny-egress", "egress", &json!([]));
    seed(fleet, "egress-baseline-allow", "egress", &to);
    seed(fleet, "egress-allowlist", "egress", &to);
    let from = json!([{ "ports": [{ "protocol": "TCP", "port": 80, "endPort": 65_535 }] }]);
    seed(fleet, "default-deny-ingress", "ingress", &json!([]));
    seed(fleet, "ingress-allowlist", "ingress", &from);
}

fn entry() -> ProbeEntry {
    ProbeEntry {
        cluster: target(Direction::Egress).cluster,
        image: Text::new("registry.example/sluice:1"),
        destination: "192.0.2.1/32".parse().expect("a network"),
        port: 9,
        from: Some(ns("data")),
    }
}

fn engine(fleet: &Fleet, person: Person, entry: ProbeEntry) -> Engine {
    let mut plan = fleet_file(fleet);
    plan.settings.state =
        Some(StatePlace { cluster: ClusterName::parse("west").expect("a name"), ns: ns("sluice") });
    plan.settings.probes = vec![entry];
    let mut engine = support::engine(fleet, person, plan, PolicyFiles::default());
    let claims = Claims {
        role: Some(Role::Cockpit),
        host: "host".into(),
        nonce: person.name().into(),
        ..Claims::default()
    };
    engine.observe(claims, SOAKS);
    engine
}

fn row(engine: &Engine, direction: Direction) -> SoakRow {
    let world = engine.world();
    world.soaks().row(&target(direction), world).expect("its set is live and closed")
}

fn left(fleet: &Fleet) -> Vec<String> {
    let pods = fleet.cluster("east").expect("it is there").server().objects("v1", "Pod");
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    pods.iter().map(|pod| name(pod)).filter(|name| name.starts_with("sluice-probe")).collect()
}

/// Reasons without nodes, which differ by where pods run.
fn why(row: &SoakRow) -> Vec<String> {
    let mut out: Vec<String> = row.unproved.iter().map(|(_, why)| why.to_string()).collect();
    out.sort();
    out.dedup();
    out
}

#[tokio::test(start_paused = true)]
async fn denied_probes_prove_both_directions_on_every_node_and_hurt_nobody() {
    let fleet = fleet("two", 1);
    closed(&fleet);
    let mut engine = engine(&fleet, Person::Lead, entry());
    run_for(&mut engine, MINUTE * 12).await;
    for direction in Direction::ALL {
        let row = row(&engine, direction);
        assert!(row.judged.nodes > 0, "{direction}: {:?}", row.judged);
        assert_eq!(
            (row.judged.proved, row.judged.in_force, row.unproved.as_slice()),
            (row.judged.nodes, row.judged.nodes, [].as_slice()),
            "{direction}: {row:?}"
        );
        assert_eq!((row.denied, row.judged.open.len()), (0, 0), "{direction}: {row:?}");
    }
    // Their denials are there for whoever looks, by name, and are meant.
    let groups = |world: &World| {
        let mut all: Vec<_> = world
            .denials()
            .groups()
            .map(|group| {
                let who = group.key.workload.as_ref().map_or("-", |who| who.name.as_str());
                (group.key.direction, who.to_owned(), group.key.peer.to_string(), group.class)
            })
            .filter(|(_, who, peer, _)| who.starts_with("sluice-probe") || peer.contains("sluice-probe"))
            .collect();
        all.sort();
        all
    };
    let seen = groups(engine.world());
    assert!(seen.iter().all(|(.., class)| *class == Class::Expected), "{seen:?}");
    let out = (Direction::Egress, "sluice-probe".to_owned(), "192.0.2.1".to_owned(), Class::Expected);
    assert!(seen.contains(&out), "{seen:?}");
    assert!(
        seen.iter()
            .any(|(direction, _, peer, _)| *direction == Direction::Ingress && peer == "data/sluice-probe")
    );
    assert_eq!(left(&fleet), [""; 0], "nothing is kept running");
    // A pod that comes and goes is none of the namespace's.
    let shop = engine.world().namespace(&target(Direction::Egress).cluster, &ns("shop")).expect("it");
    assert!(shop.subjects().all(|pod| !pod.name.as_str().starts_with("sluice-probe")));
    // What was proved is kept with the team's evidence.
    let kept = engine.world().shared().evidence(&target(Direction::Egress)).expect("it is observed");
    assert_eq!(kept.value.verdicts.proved.len(), row(&engine, Direction::Egress).judged.nodes);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_gets_through_is_said_at_once() {
    let fleet = fleet("two", 1);
    closed(&fleet);
    let member = fleet.cluster("east").expect("it is there");
    let (host, address) = member
        .plan()
        .externals
        .iter()
        .find_map(|it| Some((it.host.clone()?, *it.addresses.iter().find(|address| address.is_ipv4())?)))
        .expect("somebody outside has a name");
    // By address nothing is opened; by name it is.
    let to = json!([
        { "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": [format!("{address}/32")] } }] },
        { "to": [{ "namespaceSelector": {} }] },
    ]);
    seed(&fleet, "egress-baseline-allow", "egress", &to);
    seed(&fleet, "egress-allowlist", "egress", &to);
    member.server().seed(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "name": "egress-allowlist-fqdn", "namespace": "shop" },
        "spec": { "endpointSelector": {}, "egress": [{ "toFQDNs": [{ "matchName": host }] }] },
    }));
    let destination = format!("{address}/32").parse().expect("a network");
    let mut engine = engine(&fleet, Person::Lead, ProbeEntry { destination, port: 9_999, ..entry() });
    run_for(&mut engine, MINUTE * 3).await;
    let row = row(&engine, Direction::Egress);
    assert_eq!((row.judged.proved, row.judged.in_force), (0, 0), "{row:?}");
    let leaks = row.judged.verdict.reasons().iter().find_map(|reason| match reason {
        Reason::Leaks(nodes) => Some(nodes.len()),
        _ => None,
    });
    assert_eq!(leaks, Some(row.judged.nodes), "{row:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_shows_nothing_and_says_why() {
    let fleet = fleet("two", 1);
    closed(&fleet);
    fleet.fault("east", Fault::NodeDown { node: "worker-1".to_owned() });
    let mut one = engine(&fleet, Person::Lead, entry());
    run_for(&mut one, MINUTE * 3).await;
    let row_one = row(&one, Direction::Egress);
    let on = |row: &SoakRow, node: &str| {
        let found = row.unproved.iter().find(|(name, _)| name.as_str() == node);
        found.map(|(_, why)| why.to_string()).unwrap_or_default()
    };
    let said = on(&row_one, "worker-1");
    assert!(said.contains("not through after 60 s: Unschedulable: 0/"), "{said:?} of {row_one:?}");
    assert!(row_one.judged.proved < row_one.judged.nodes, "{row_one:?}");

    let fleet = support::fleet("two", 2);
    closed(&fleet);
    let image = Text::new("registry.example/sluice:absent");
    let mut two = engine(&fleet, Person::Lead, ProbeEntry { image, from: None, ..entry() });
    run_for(&mut two, MINUTE * 3).await;
    let pulled = "ImagePullBackOff: Back-off pulling image \"registry.example/sluice:absent\"";
    assert_eq!(why(&row(&two, Direction::Egress)), [pulled]);
    let nowhere = "sluice.yaml names no namespace to knock from: write `from:` under `probes:`";
    assert_eq!(why(&row(&two, Direction::Ingress)), [nowhere]);
    assert_eq!(row(&two, Direction::Egress).judged.proved, 0);

    // Whoever watches without the right says so, and tries nothing.
    let fleet = support::fleet("two", 3);
    closed(&fleet);
    let mut three = engine(&fleet, Person::OnCall, entry());
    run_for(&mut three, MINUTE * 3).await;
    let refused = "pods of shop: you may not create them. Bind the ClusterRole sluice-target-probe there, or take `probes:` out of sluice.yaml.";
    assert_eq!(why(&row(&three, Direction::Egress)), [refused]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_what_a_policy_opens_is_not_run() {
    let fleet = fleet("two", 1);
    closed(&fleet);
    seed(
        &fleet,
        "egress-allowlist",
        "egress",
        &json!([{ "to": [{ "ipBlock": { "cidr": "192.0.0.0/8" } }] }]),
    );
    let mut engine = engine(&fleet, Person::Lead, entry());
    run_for(&mut engine, MINUTE * 3).await;
    let said = why(&row(&engine, Direction::Egress));
    assert_eq!(
        said,
        [
            "NetworkPolicy shop/egress-allowlist opens 192.0.0.0/8 on all ports, so that a probe of 192.0.2.1 port 9 may be allowed"
        ]
    );
}

/// Nobody told flows there, and nobody recorded anything.
#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_flow_source_is_observed_says_what_is_missing_and_credits_nothing() {
    let mut scenario = Scenario::named("two").expect("built in");
    scenario.clusters[0].cni = Cni::Calico;
    let fleet = support::fleet_of(&scenario, 4);
    closed(&fleet);
    let mut engine = engine(&fleet, Person::Lead, entry());
    run_for(&mut engine, MINUTE * 8).await;
    let world = engine.world();
    let observer = world.shared().observer(&target(Direction::Egress).cluster);
    assert!(observer.is_some_and(|observer| observer.is_us), "{observer:?}");
    let kept = world.shared().evidence(&target(Direction::Egress)).expect("it is recorded");
    assert!(kept.value.looked.minutes() >= 4, "{:?}", kept.value.looked);
    let row = row(&engine, Direction::Egress);
    assert_eq!((row.judged.credited, row.judged.proved), (0, 0), "{row:?}");
    let missing = "nothing: No Goldmane gathers flows, and installs by manifest have none. See `flows` in its \
                   pre-flight, or set `flows:` in sluice.yaml; ";
    assert!(row.rests.as_str().starts_with(missing), "{}", row.rests);
    assert_eq!(
        why(&row),
        [
            "the probe was not answered, and no source told a denial: it may be denied, or nothing answers there"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_a_crash_left_behind_are_swept_and_no_others() {
    let fleet = fleet("two", 1);
    closed(&fleet);
    let pod = |name: &str, managed: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "payments", "labels": {
                "app.kubernetes.io/name": "sluice-probe", "app.kubernetes.io/managed-by": managed,
            } },
            "spec": { "containers": [{ "name": "probe", "image": "x" }] }, "status": { "phase": "Succeeded" },
        })
    };
    let server = fleet.cluster("east").expect("it is there").server();
    server.seed(pod("sluice-probe-egress-0badcafe", "sluice"));
    server.seed(pod("sluice-probe-of-somebody", "helm"));
    let mut engine = engine(&fleet, Person::Lead, entry());
    run_for(&mut engine, MINUTE * 3).await;
    assert_eq!(left(&fleet), ["sluice-probe-of-somebody"]);
}

/// Goldmane names no node and tells no loss: a row there is credited by its heartbeat and by nothing else.
#[tokio::test(start_paused = true)]
async fn on_calico_goldmane_tells_the_heartbeat_and_without_it_nothing_is_credited() {
    let mut scenario = Scenario::named("two").expect("built in");
    scenario.clusters[0].cni = Cni::CalicoOperator;
    for is_probed in [true, false] {
        let fleet = support::fleet_of(&scenario, 1);
        closed(&fleet);
        let west = ClusterName::parse("west").expect("a name");
        let entry = if is_probed { entry() } else { ProbeEntry { cluster: west, ..entry() } };
        let mut engine = engine(&fleet, Person::Lead, entry);
        run_for(&mut engine, MINUTE * 25).await;
        let source = engine.world().source(&target(Direction::Egress).cluster).expect("it was told");
        assert!(source.is_live() && source.flows > 0, "{source:?}");
        for direction in Direction::ALL {
            let row = row(&engine, direction);
            assert!(row.judged.nodes > 0, "{direction}: {:?}", row.judged);
            let expected = if is_probed { row.judged.nodes } else { 0 };
            assert_eq!(
                (row.judged.proved, row.judged.in_force),
                (expected, expected),
                "{direction}: {row:?}"
            );
            assert_eq!(row.judged.credited > 10, is_probed, "{direction}: {:?}", row.judged);
            assert_eq!(row.judged.open.len(), 0, "{direction}: its own denials are expected: {row:?}");
            let rests = "probes that were denied on each node, as Goldmane alone proves nothing; ";
            assert!(row.rests.as_str().starts_with(rests), "{}", row.rests);
            let asks = row.reasons().iter().any(|reason| reason.contains("switch the probe on"));
            assert_eq!(asks, !is_probed, "{:?}", row.reasons());
        }
    }
}
