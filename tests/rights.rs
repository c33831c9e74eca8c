//! The roles of target clusters (`assets/crds/roles-target.yaml`) against what the product asks for: the
//! simulated API servers decide by exactly these roles and remember each question. Nothing that is
//! asked for is missing from a role, and nothing in a role is never asked for without a reason.

mod support;

use std::{collections::BTreeSet, io, time::Duration};

use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        args::{Cli, Command},
        preflight,
        print::Printer,
    },
    cockpit::plan::{ClusterEntry, PolicyFiles},
    domain::preflight::reading::CUSTOM,
    k8s::{connect::Access, snapshot, surroundings},
    sim::{
        api::access::Asked,
        fleet::{people::Person, running::Fleet},
    },
};

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
    for (plural, group, version, kind) in all.chain(openshift).filter(|one| one.0 != "ciliumnetworkpolicies")
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
    preflight::run(&support::fleet_file(fleet).clusters, &reach, &args, &mut printer).await;
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
const UNUSED: [(&str, &str, &str, &str); 4] = [
    ("get", "", "pods/log", "of the pods that print nodes' files, which neither fleet has (tests/sources)"),
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
