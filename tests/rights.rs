//! The roles of target clusters (`assets/crds/roles-target.yaml`) against what the product asks for: the
//! simulated API servers decide by exactly these roles and remember each question. Nothing that is
//! asked for is missing from a role, and nothing in a role is never asked for without a reason.

use std::{collections::BTreeSet, io, time::Duration};

use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        args::{Cli, Command},
        preflight,
        print::Printer,
    },
    cockpit::{
        decide::Command as Wish,
        plan::{ClusterEntry, PolicyFiles},
        settings::{ProbeEntry, StatePlace},
    },
    domain::{
        flow::Direction,
        names::{ClusterName, NsName, Text},
        preflight::{reading::CUSTOM, rights},
        rollout::Target,
    },
    k8s::{connect::Access, snapshot, surroundings},
    sim::{
        api::access::Asked,
        fleet::{people::Person, running::Fleet},
    },
};

use crate::support;

/// Verb, group, resource.
type Right = (String, String, String);

/// What the role of this name allows.
fn role(name: &str) -> BTreeSet<Right> {
    let path = format!("{}/assets/crds/roles-target.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the roles");
    let roles: Vec<Value> = serde_yaml::from_multiple(&text).expect("YAML");
    let role = roles.iter().find(|role| role["metadata"]["name"] == name).expect("the role");
    let list = |rule: &Value, key: &str| -> Vec<String> {
        let all = rule[key].as_array().into_iter().flatten();
        all.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut out = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    out.insert((verb, group.clone(), resource.clone()));
                }
            }
        }
    }
    out
}

/// Kinds of other makers, as an API server with their definitions serves them.
fn serve_custom(fleet: &Fleet, cluster: &str) {
    let server = fleet.cluster(cluster).expect("it is there").server();
    let calico_again = CUSTOM.iter().filter(|kind| kind.group == "crd.projectcalico.org");
    let calico_again = calico_again.map(|kind| (kind, "projectcalico.org", "v3"));
    let openshift = [("egressnetworkpolicies", "network.openshift.io", "v1", "EgressNetworkPolicy")];
    let all = CUSTOM.iter().map(|kind| (kind, kind.group, kind.version)).chain(calico_again);
    let all = all.map(|(kind, group, version)| {
        (kind.id.split('.').next().unwrap_or_default(), group, version, kind.kind)
    });
    for (plural, group, version, kind) in
        all.chain(openshift).filter(|one| one.0 != "ciliumnetworkpolicies" && one.1 != "networking.k8s.io")
    {
        server.seed(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": {
                "group": group, "scope": "Cluster",
                "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
                "versions": [{
                    "name": version, "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                }],
            },
        }));
    }
}

async fn preflights(fleet: &Fleet) {
    let cli = Cli::try_parse_from(["sluice", "preflight"]).expect("a valid command line");
    let Some(Command::Preflight(args)) = cli.command else { panic!("another command") };
    let members = fleet.clone();
    let reach = move |entry: &ClusterEntry| {
        let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
        Access::Client(support::client(member, Person::Viewer))
    };
    let mut printer = Printer::new(io::sink(), io::sink());
    preflight::run(&support::fleet_file(fleet), &reach, &args, &mut printer).await;
}

/// Everything that a viewer does in clusters: the cockpit, pre-flights, verdicts, what authoring reads.
async fn asked_of_viewers() -> BTreeSet<Asked> {
    let mut all = BTreeSet::new();
    for name in ["demo", "stories"] {
        let fleet = support::fleet(name, 1);
        let first = fleet.clusters()[0].name().to_owned();
        serve_custom(&fleet, &first);
        let plan = support::fleet_file(&fleet);
        let mut engine = support::engine(&fleet, Person::Viewer, plan, PolicyFiles::default());
        support::run_for(&mut engine, Duration::from_secs(400)).await;
        drop(engine);
        preflights(&fleet).await;
        for member in fleet.clusters() {
            let access = Access::Client(support::client(member, Person::Viewer));
            snapshot::look(&access, member.name(), snapshot::Need::Checks).await.expect("a viewer may look");
            surroundings::read(&access).await;
        }
        for member in fleet.clusters() {
            all.extend(member.server().asked());
        }
    }
    all
}

/// Rights that no run above asks for, each with its reason.
const UNUSED: [(&str, &str, &str, &str); 3] = [
    ("get", "cilium.io", "ciliumnetworkpolicies", "read back by whoever applies or rolls back"),
    ("get", "networking.k8s.io", "networkpolicies", "read back by whoever applies or rolls back"),
    ("list", "openreports.io", "clusterreports", "reports are there only where Kyverno is told so"),
];

#[tokio::test(start_paused = true)]
async fn a_viewer_asks_for_no_more_and_no_less_than_the_role_allows() {
    let asked = asked_of_viewers().await;
    let of_roles: BTreeSet<Right> =
        role("sluice-target-viewer").into_iter().chain(role("sluice-target-watch")).collect();
    let viewer = asked.iter().filter(|one| one.user == "viewer" && !one.resource.is_empty());
    // Everybody may ask who they are and what they may do.
    let viewer = viewer.filter(|one| !one.resource.starts_with("selfsubject"));
    // Shared objects have roles of their own, in the state cluster.
    let viewer = viewer.filter(|one| one.group != "sluice.dev" && one.group != "coordination.k8s.io");
    let viewer: Vec<&Asked> = viewer.collect();
    let missing: BTreeSet<&Asked> = viewer.iter().filter(|one| !one.allowed).copied().collect();
    assert!(missing.is_empty(), "asked for, and not in the role: {missing:#?}");
    let used: BTreeSet<Right> =
        viewer.iter().map(|one| (one.verb.clone(), one.group.clone(), one.resource.clone())).collect();
    let unused: Vec<&Right> = of_roles.difference(&used).collect();
    let excused: Vec<Right> = UNUSED
        .iter()
        .map(|(verb, group, resource, _)| ((*verb).to_owned(), (*group).to_owned(), (*resource).to_owned()))
        .collect();
    assert_eq!(unused, excused.iter().collect::<Vec<_>>(), "in the role, and never asked for");
}

const SECOND: Duration = Duration::from_secs(1);

fn shop(fleet: &Fleet) -> Target {
    let staging = fleet.clusters().iter().find(|member| member.spec().environment.as_str() == "staging");
    Target {
        cluster: ClusterName::parse(staging.expect("one").name()).expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    }
}

/// What these people asked for, of which the API server said no.
fn refused(fleet: &Fleet, person: Person) -> Vec<Asked> {
    let asked = fleet.clusters().iter().flat_map(|member| member.server().asked());
    asked.filter(|one| one.user == person.name() && !one.allowed && is_of_target(one)).collect()
}

/// Shared objects have roles of their own, and everybody may ask who they are.
fn is_of_target(one: &Asked) -> bool {
    !one.resource.is_empty()
        && !one.resource.starts_with("selfsubject")
        && one.group != "sluice.dev"
        && one.group != "coordination.k8s.io"
}

/// What they wrote: verb, group, resource.
fn wrote(fleet: &Fleet, person: Person) -> BTreeSet<Right> {
    let asked = fleet.clusters().iter().flat_map(|member| member.server().asked());
    let writes = asked.filter(|one| {
        one.user == person.name()
            && is_of_target(one)
            && ["create", "update", "patch", "delete"].contains(&one.verb.as_str())
            && one.resource != "pods/portforward"
    });
    writes.map(|one| (one.verb, one.group, one.resource)).collect()
}

/// An FQDN policy as the author writes it: a name, and the lookups that it is known by.
fn fqdn(name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: egress-allowlist-fqdn
  namespace: shop
spec:
  endpointSelector: {{}}
  egress:
    - toEndpoints:
        - matchLabels:
            k8s:io.kubernetes.pod.namespace: kube-system
            k8s:k8s-app: kube-dns
      toPorts:
        - ports: [{{ port: \"53\", protocol: ANY }}]
          rules:
            dns: [{{ matchPattern: \"*\" }}]
    - toFQDNs: [{{ matchName: {name} }}]
      toPorts:
        - ports: [{{ port: \"443\", protocol: TCP }}]
"
    )
}

/// Applies the row as the lead, with an FQDN policy in its set: created where there is none, else changed.
async fn apply(fleet: &Fleet, target: &Target, (folder, name): (&std::path::Path, &str)) {
    let place = folder.join(format!("network-policies/{}/shop", target.cluster));
    std::fs::create_dir_all(&place).expect("made");
    std::fs::write(place.join("egress-allowlist-fqdn.yaml"), fqdn(name)).expect("written");
    let mut lead = support::engine_with_workspace(fleet, Person::Lead, folder);
    support::run_for(&mut lead, 30 * SECOND).await;
    let shown = lead.command(&Wish::Preview(vec![target.clone()])).expect("it may be looked at");
    support::run_for(&mut lead, 20 * SECOND).await;
    lead.command(&Wish::Apply(shown)).expect("it may be applied");
    support::run_for(&mut lead, 30 * SECOND).await;
    let told: Vec<String> = lead.world().orders().iter().map(|order| format!("{order:?}")).collect();
    assert_eq!(live(fleet, target), 4, "it was not applied: {told:#?}");
    let server = fleet.cluster(target.cluster.as_str()).expect("a cluster").server();
    let named = server.objects("cilium.io/v2", "CiliumNetworkPolicy");
    assert_eq!(named[0]["spec"]["egress"][1]["toFQDNs"][0]["matchName"], name);
}

fn live(fleet: &Fleet, target: &Target) -> usize {
    let all = fleet.cluster(target.cluster.as_str()).expect("a cluster").server();
    let all = [("networking.k8s.io/v1", "NetworkPolicy"), ("cilium.io/v2", "CiliumNetworkPolicy")]
        .map(|(group, kind)| all.objects(group, kind));
    let ours = |one: &&std::sync::Arc<Value>| one["metadata"]["namespace"] == target.ns.as_str();
    all.iter().flatten().filter(ours).count()
}

/// Rights to write that no run here asks for, each with its reason.
const UNWRITTEN: [(&str, &str, &str, &str); 2] = [
    (
        "create",
        "projectcalico.org",
        "stagedkubernetesnetworkpolicies",
        "of a shadow, which Calico alone has: tests/shadow.rs",
    ),
    ("delete", "projectcalico.org", "stagedkubernetesnetworkpolicies", "of a shadow, likewise"),
];

#[tokio::test(start_paused = true)]
async fn who_applies_and_who_takes_back_ask_for_what_their_roles_allow() {
    for (taker, name) in [(Person::Lead, "sluice-target-lead"), (Person::OnCall, "sluice-target-oncall")] {
        let fleet = support::fleet("two", 1);
        let (target, folder) = (shop(&fleet), tempfile::tempdir().expect("a folder"));
        for name in ["api.example.net", "www.example.net"] {
            apply(&fleet, &target, (folder.path(), name)).await;
        }
        let mut engine = support::engine_with_workspace(&fleet, taker, folder.path());
        support::run_for(&mut engine, 30 * SECOND).await;
        engine.command(&Wish::RollBack(vec![target.clone()])).expect("it may be taken back");
        support::run_for(&mut engine, 30 * SECOND).await;
        assert_eq!(live(&fleet, &target), 0, "{name}: it was taken back");
        assert_eq!(refused(&fleet, taker), [], "{name}: asked for, and not in the role");
        let used = wrote(&fleet, taker);
        let of_role = role(name);
        assert!(used.is_subset(&of_role), "{name}: {used:?}");
        let unused: BTreeSet<&Right> = of_role.difference(&used).collect();
        let excused: BTreeSet<Right> =
            UNWRITTEN.iter().map(|(verb, group, what, _)| owned(verb, group, what)).collect();
        let odd: Vec<_> = unused.into_iter().filter(|right| !excused.contains(*right)).collect();
        assert!(odd.is_empty(), "{name}: in the role, and never asked for: {odd:?}");
    }
}

fn owned(verb: &str, group: &str, what: &str) -> Right {
    (verb.to_owned(), group.to_owned(), what.to_owned())
}

#[tokio::test(start_paused = true)]
async fn probes_ask_for_what_their_role_allows() {
    let fleet = support::fleet("two", 1);
    let target = shop(&fleet);
    let inside = json!([{ "to": [{ "namespaceSelector": {} }] }]);
    for (name, rules) in [
        ("default-deny-egress", json!([])),
        ("egress-baseline-allow", inside.clone()),
        ("egress-allowlist", inside),
    ] {
        fleet.cluster(target.cluster.as_str()).expect("a cluster").server().seed(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": rules },
        }));
    }
    let mut plan = support::fleet_file(&fleet);
    plan.settings.state = Some(StatePlace {
        cluster: ClusterName::parse("west").expect("a name"),
        ns: NsName::parse("sluice").expect("a name"),
    });
    plan.settings.probes = vec![ProbeEntry {
        cluster: target.cluster.clone(),
        image: Text::new("registry.example/sluice:1"),
        destination: "192.0.2.1/32".parse().expect("a network"),
        port: 9,
        from: None,
    }];
    let mut engine = support::engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    let soaks = sluice::engine::Soaks {
        targets: |world, cluster| world.soaks().targets().filter(|one| one.cluster == *cluster).collect(),
        evidence: |world, target| world.soaks().evidence(target, world),
    };
    let claims = sluice::engine::Claims {
        role: Some(sluice::k8s::lease::Role::Cockpit),
        host: "host".into(),
        nonce: "lead".into(),
        ..sluice::engine::Claims::default()
    };
    engine.observe(claims, soaks);
    support::run_for(&mut engine, 720 * SECOND).await;
    assert_eq!(refused(&fleet, Person::Lead), [], "asked for, and not in the role");
    let asked = fleet.clusters().iter().flat_map(|member| member.server().asked());
    let of_pods = asked.filter(|one| one.user == "lead" && one.resource == "pods");
    let of_pods = of_pods.filter(|one| ["get", "create", "delete"].contains(&one.verb.as_str()));
    let used: BTreeSet<Right> = of_pods.map(|one| (one.verb, one.group, one.resource)).collect();
    assert_eq!(used, role("sluice-target-probe"));
}

/// Whoever decides on destinations reads clusters and writes nothing there.
#[tokio::test(start_paused = true)]
async fn security_asks_for_what_a_viewer_asks_for_and_writes_nothing() {
    let fleet = support::fleet("two", 1);
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Security, plan, PolicyFiles::default());
    support::run_for(&mut engine, 400 * SECOND).await;
    assert_eq!(refused(&fleet, Person::Security), []);
    assert_eq!(wrote(&fleet, Person::Security), BTreeSet::new());
}

/// Goldmane is reached with its own role, and with nothing that is not used.
#[tokio::test(start_paused = true)]
async fn goldmanes_role_is_what_reading_it_asks_for() {
    let mut scenario = sluice::sim::fleet::scenario::Scenario::named("two").expect("built in");
    scenario.clusters[0].cni = sluice::sim::fleet::scenario::Cni::CalicoOperator;
    let fleet = support::fleet_of(&scenario, 1);
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Viewer, plan, PolicyFiles::default());
    support::run_for(&mut engine, 60 * SECOND).await;
    let asked = fleet.clusters()[0].server().asked();
    let denied: Vec<_> = asked
        .iter()
        .filter(|one| one.user == "viewer" && !one.allowed && is_of_target(one))
        .filter(|one| one.resource != "secrets")
        .collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let used: BTreeSet<Right> = asked
        .into_iter()
        .filter(|one| one.user == "viewer" && one.allowed)
        .map(|one| (one.verb, one.group, one.resource))
        .collect();
    let unused: Vec<_> =
        role("sluice-target-goldmane").into_iter().filter(|one| !used.contains(one)).collect();
    assert_eq!(unused, []);
}

/// The check of rights in the pre-flight asks for what the roles have.
#[test]
fn the_pre_flights_check_of_rights_asks_for_what_is_in_the_roles() {
    let all: BTreeSet<Right> =
        ["sluice-target-viewer", "sluice-target-oncall", "sluice-target-lead", "sluice-target-watch"]
            .into_iter()
            .flat_map(role)
            .collect();
    for (verb, what) in rights::ASKED {
        let (resource, group) = what.split_once('.').unwrap_or((what, ""));
        assert!(all.contains(&owned(verb, group, resource)), "{verb} {what}");
    }
    let of_probes: BTreeSet<Right> =
        rights::PROBES.iter().map(|(verb, what)| owned(verb, "", what)).collect();
    assert_eq!(of_probes, role("sluice-target-probe"));
    // What a lead or whoever is on call writes is asked for.
    let asked: BTreeSet<(&str, &str)> = rights::ASKED.into_iter().collect();
    for (verb, group, resource) in role("sluice-target-lead").iter().chain(&role("sluice-target-oncall")) {
        let what = format!("{resource}.{group}");
        if group == "networking.k8s.io" {
            assert!(asked.contains(&(verb.as_str(), what.as_str())), "{verb} {what}");
        }
    }
}
