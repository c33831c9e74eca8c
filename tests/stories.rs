//! How default-deny rollouts broke clusters, as far as a pre-flight can see it coming: each story has a
//! simulated cluster, and `sluice preflight` over that cluster's API must name the object, the fact and
//! the next step. Expected words are written by hand from what happened to people.

use std::{collections::BTreeSet, io};

use clap::Parser as _;
use serde_json::Value;
use sluice::{
    cli::{
        args::{Cli, Command},
        preflight,
        print::Printer,
    },
    cockpit::plan::ClusterEntry,
    k8s::connect::Access,
    sim::fleet::{people::Person, running::Fleet},
};

use crate::support;

/// One row of failure stories: its number, the cluster, the check, what it must say.
struct Story {
    number: u32,
    cluster: &'static str,
    check: &'static str,
    verdict: &'static str,
    /// The object and field among the evidence.
    object: &'static str,
    field: &'static str,
    /// Part of the sentence.
    fact: &'static str,
    /// Part of the fix, or of one of its commands.
    next: &'static str,
}

const STORIES: [Story; 9] = [
    Story {
        number: 2,
        cluster: "dns-labels",
        check: "resolver",
        verdict: "fail",
        object: "Service kube-system/kube-dns",
        field: "spec.clusterIPs",
        fact: "a rule by those labels matches nothing",
        next: "kubectl get endpointslices -n kube-system -l kubernetes.io/service-name=kube-dns",
    },
    Story {
        number: 3,
        cluster: "node-local",
        check: "dns-cache",
        verdict: "fail",
        object: "DaemonSet kube-system/node-local-dns",
        field: "-localip",
        fact: "NodeLocal DNSCache asks in the pods' place",
        next: "Take the cache out of the path",
    },
    Story {
        number: 4,
        cluster: "cloud-tokens",
        check: "cloud-identity",
        verdict: "fail",
        object: "ServiceAccount payments/ledger",
        field: "annotation iam.gke.io/gcp-service-account",
        fact: "the node's own address on 988. 1 account uses such tokens",
        next: "Allow that place to the pods of these accounts alone",
    },
    Story {
        number: 6,
        cluster: "webhooks",
        check: "api-callbacks",
        verdict: "fail",
        object: "ValidatingWebhookConfiguration cert-manager-webhook",
        field: "lenient.cert-manager.io (Ignore)",
        fact: "2 callbacks of them, and 1 fail closed: cert-manager (port https)",
        next: "Allow ingress from the API server on the pods' own port",
    },
    Story {
        number: 9,
        cluster: "metrics",
        check: "scrapers",
        verdict: "fail",
        object: "Deployment monitoring/prometheus",
        field: "fetches metrics",
        fact: "reads metrics of 2 namespaces: a default deny for ingress there blinds it",
        next: "promtool query instant http://localhost:9090 'sum(up)'",
    },
    Story {
        number: 10,
        cluster: "mesh",
        check: "mesh",
        verdict: "fail",
        object: "Namespace shop",
        field: "label istio-injection",
        fact: "without its control plane (ports 15012 and 15017) their pods do not start",
        next: "Allow egress to the control plane's namespace",
    },
    Story {
        number: 11,
        cluster: "host-network",
        check: "host-network",
        verdict: "fail",
        object: "DaemonSet storage/csi-node",
        field: "hostNetwork",
        fact: "neither selectors nor an ipBlock match them here",
        next: "entities host and remote-node",
    },
    Story {
        number: 17,
        cluster: "dual-stack",
        check: "families",
        verdict: "fail",
        object: "Node control-plane-1",
        field: "spec.podCIDRs",
        fact: "Both families are in use, and the network policy agent of the AWS VPC CNI enforces one of them",
        next: "Use one family",
    },
    Story {
        number: 23,
        cluster: "not-enforced",
        check: "switches",
        verdict: "fail",
        object: "DaemonSet kube-system/kindnet",
        field: "version",
        fact: "kindnet is there and does not enforce",
        next: "kind v0.24 or later",
    },
];

async fn flown(fleet: &Fleet) -> Value {
    let cli = Cli::try_parse_from(["sluice", "preflight", "-o", "json"]).expect("a valid command line");
    let Some(Command::Preflight(args)) = cli.command else { panic!("another command") };
    let members = fleet.clone();
    let reach = move |entry: &ClusterEntry| {
        let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
        Access::Client(support::client(member, Person::Lead))
    };
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, io::sink());
    preflight::run(&support::fleet_file(fleet), &reach, &args, &mut printer).await;
    drop(printer);
    serde_json::from_slice(&out).expect("JSON")
}

fn object(evidence: &Value) -> String {
    let part = |key: &str| evidence[key].as_str().unwrap_or_default();
    match part("namespace") {
        "" => format!("{} {}", part("kind"), part("name")),
        ns => format!("{} {ns}/{}", part("kind"), part("name")),
    }
}

/// What is missing of a story in the check that should tell it.
fn missing(story: &Story, check: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let evidence = list(&check["evidence"]);
    let has_evidence =
        evidence.iter().any(|seen| object(seen) == story.object && seen["field"] == story.field);
    let commands = list(&check["fix"]["commands"]);
    let steps: Vec<&str> =
        commands.iter().chain([&check["fix"]["text"]]).filter_map(|step| step.as_str()).collect();
    let parts = [
        ("verdict", check["verdict"] == story.verdict),
        ("object", has_evidence),
        ("fact", check["why"].as_str().is_some_and(|why| why.contains(story.fact))),
        ("next step", steps.iter().any(|step| step.contains(story.next))),
    ];
    parts.into_iter().filter(|(_, is_there)| !is_there).map(|(part, _)| part.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pre_flight_sees_each_story_coming_and_only_where_it_is() {
    let fleet = support::fleet("stories", 1);
    let json = flown(&fleet).await;
    let clusters = json["clusters"].as_array().expect("a list of clusters");
    let check = |cluster: &Value, id: &str| {
        let checks = cluster["checks"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["id"] == id).unwrap_or_default()
    };
    let told: BTreeSet<&str> = STORIES.iter().map(|story| story.cluster).chain(["calm"]).collect();
    let served: BTreeSet<&str> = clusters.iter().filter_map(|cluster| cluster["name"].as_str()).collect();
    assert_eq!(served, told);
    let mut wrong = Vec::new();
    for story in &STORIES {
        for cluster in clusters {
            let name = cluster["name"].as_str().unwrap_or_default();
            let check = check(cluster, story.check);
            let Story { number, check: id, .. } = story;
            if name == story.cluster {
                let missing = missing(story, &check);
                if !missing.is_empty() {
                    wrong.push(format!(
                        "story {number}, {name}: {id} lacks {}: {check:#}",
                        missing.join(", ")
                    ));
                }
            } else if check["verdict"] == story.verdict {
                wrong.push(format!("story {number} is told of {name}, too: {check:#}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
