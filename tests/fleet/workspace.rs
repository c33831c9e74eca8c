//! The demo's workspace, applied: most traffic goes on, and what the scenario calls forgotten is
//! denied.

use std::collections::BTreeSet;

use sluice::sim::fleet::{people::Person, workspace};

use super::{client, collect, denials, fleet, flows, settle};

#[tokio::test(start_paused = true)]
async fn after_the_demos_policies_only_what_was_forgotten_is_denied() {
    let fleet = fleet("demo");
    let member = fleet.cluster("staging-eu").expect("a cluster");
    let mut relay = client::relay_client(client::kube_client(&fleet, "staging-eu", Person::Lead)).await;
    for namespace in ["shop", "payments", "shipping", "data"] {
        for name in workspace::PINNED {
            let text = workspace::policy(member.plan(), namespace, name);
            member.server().seed(serde_yaml::from_str(&text).expect("YAML"));
        }
    }
    settle().await;
    let mut stream = relay.get_flows(denials()).await.expect("a stream").into_inner();
    let denied: BTreeSet<String> = flows(collect(&mut stream, 3600 * 2).await)
        .into_iter()
        .map(|flow| {
            let ip = flow.ip.unwrap_or_default();
            let source = flow.source.unwrap_or_default();
            let workload = source.workloads.first().map(|w| w.name.clone()).unwrap_or_default();
            let icmp = format!("{:?}", flow.l4).contains("Icmp");
            let target = if icmp { "a ping".to_owned() } else { ip.destination };
            format!("{}/{workload} to {target}", source.namespace)
        })
        .collect();
    assert_eq!(
        denied.into_iter().collect::<Vec<_>>(),
        [
            "monitoring/blackbox to a ping",
            "payments/fraud to 203.0.113.14",
            "shipping/labels to 203.0.113.130",
            "shop/feed-export to 203.0.113.26",
            "shop/feed-export to 203.0.113.27",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_workspace_is_a_file_for_each_policy_and_one_for_the_fleet() {
    let fleet = fleet("two");
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("written");
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).expect(path);
    insta::assert_snapshot!("sluice_yaml", read("sluice.yaml"));
    insta::assert_snapshot!("egress_allowlist", read("network-policies/west/payments/egress-allowlist.yaml"));
    insta::assert_snapshot!(
        "ingress_allowlist",
        read("network-policies/west/payments/ingress-allowlist.yaml")
    );
}

/// What a test of "no more closed than before" asks.
#[tokio::test(start_paused = true)]
async fn what_is_closed_is_known_at_any_moment() {
    let fleet = fleet("two");
    let member = fleet.cluster("east").expect("a cluster");
    assert!(member.closed().is_empty());
    let seed = |name| {
        let text = workspace::policy(member.plan(), "payments", name);
        member.server().seed(serde_yaml::from_str(&text).expect("YAML"));
    };
    for name in workspace::PINNED {
        seed(name);
    }
    let closed: Vec<String> = member.closed().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("closed", closed.join("\n"));
}
