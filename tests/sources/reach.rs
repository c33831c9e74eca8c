//! How far back the records reach that pods print, measured on the records of a simulated fleet by
//! `sluice preflight`: per node, the node that forgets first decides, and what cannot be read is said.

use std::{io, time::Duration};

use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        args::{Cli, Command},
        preflight,
        print::Printer,
    },
    cockpit::plan::ClusterEntry,
    k8s::connect::Access,
    sim::fleet::{faults::Fault, people::Person, running::Fleet, scenario::Scenario},
};
use tokio::time::sleep;

use crate::support::{Paper, client, fleet_file, fleet_of};

const SECOND: Duration = Duration::from_secs(1);

/// Two workers and a control plane, with something denied from the beginning.
fn fleet(cni: &str) -> Fleet {
    let text = format!(
        "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = {cni}\nnodes = 2\n\
         namespaces = ['shop', 'payments']\n"
    );
    let fleet = fleet_of(&Scenario::parse("one", &text).expect("a scenario"), 1);
    for (namespace, way) in [("shop", "Egress"), ("payments", "Ingress"), ("kube-system", "Egress")] {
        fleet.cluster("east").expect("it is there").server().seed(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": format!("default-deny-{}", way.to_lowercase()), "namespace": namespace },
            "spec": { "podSelector": {}, "policyTypes": [way] },
        }));
    }
    fleet
}

/// The check `week`: verdict and why, then its evidence.
async fn week(fleet: &Fleet) -> String {
    let cli = Cli::try_parse_from(["sluice", "preflight", "-o", "json"]).expect("a valid command line");
    let Some(Command::Preflight(args)) = cli.command else { panic!("another command") };
    let out = Paper::default();
    let mut printer = Printer::new(out.clone(), io::sink());
    let members = fleet.clone();
    let reach = move |entry: &ClusterEntry| {
        let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
        Access::Client(client(member, Person::Lead))
    };
    preflight::run(&fleet_file(fleet), &reach, &args, &mut printer).await;
    drop(printer);
    let all: Value = serde_json::from_str(&out.text()).expect("JSON");
    let checks = all["clusters"][0]["checks"].as_array().expect("a list");
    let week = checks.iter().find(|check| check["id"] == "week").expect("each check once");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let seen = week["evidence"].as_array().into_iter().flatten();
    let seen = seen
        .map(|one| format!("\n{}: {} = {}", text(&one["name"]), text(&one["field"]), text(&one["value"])));
    format!("{}: {}{}", text(&week["verdict"]), text(&week["why"]), seen.collect::<String>())
}

#[tokio::test(start_paused = true)]
async fn the_node_that_forgets_first_decides_how_far_back_printed_records_reach() {
    let fleet = fleet("{ kind = 'antrea', records = 'antrea-log' }");
    // The kubelet gives nothing that it rotated away.
    for node in ["worker-1", "worker-2", "worker-1"] {
        sleep(20 * SECOND).await;
        fleet.heal("east");
        fleet.fault("east", Fault::LogRotated { node: node.to_owned() });
        sleep(20 * SECOND).await;
        let said = week(&fleet).await;
        assert!(said.starts_with("fail: Records reach back 0 minutes. Seven days are needed.\n"), "{said}");
        assert!(
            said.contains(&format!("\nnp.log, node {node} of 2: oldest record = 2026-03-02 09:0")),
            "{said}"
        );
    }

    fleet.fault("east", Fault::LogAway { node: "worker-1".to_owned() });
    let said = week(&fleet).await;
    assert!(
        said.starts_with(
            "unknown: How far back records reach could not be measured: log of pod sluice-printers/sluice-printer-"
        ),
        "{said}"
    );
    assert!(said.contains("connection refused"), "{said}");
    fleet.heal("east");
    fleet.fault("east", Fault::MissingRights);
    let said = week(&fleet).await;
    assert!(said.starts_with("unknown: ") && said.contains("HTTP 403"), "{said}");
}

/// A node of which nobody prints anything keeps all of it unknown, as does one that printed nothing yet.
#[tokio::test(start_paused = true)]
async fn a_node_without_a_record_leaves_the_week_unknown() {
    let fleet = fleet("{ kind = 'calico', records = 'calico-json' }");
    let said = week(&fleet).await;
    assert!(
        said.starts_with("unknown: ") && said.contains("node worker-1: no pod has printed a record of it"),
        "{said}"
    );
    sleep(30 * SECOND).await;
    assert!(week(&fleet).await.starts_with("fail: Records reach back 0 minutes."));
    let east = fleet.cluster("east").expect("it is there");
    let plan = east.plan().clone();
    let printer = plan.workload("sluice-printers", "sluice-printer").expect("it prints");
    let pod =
        plan.workloads[printer].pods.iter().find(|pod| plan.nodes[plan.pods[**pod].node].name == "worker-2");
    let name = &plan.pods[*pod.expect("one a node")].name;
    east.server().unseed("v1", "Pod", "sluice-printers", name);
    let said = week(&fleet).await;
    assert!(
        said.starts_with("unknown: ") && said.contains("node worker-2: no pod has printed a record of it"),
        "{said}"
    );
}

/// Records that Hubble exports to the logs of Cilium's agents reach back further than its memory.
#[tokio::test(start_paused = true)]
async fn an_export_to_the_agents_logs_is_measured_there() {
    let fleet = fleet("{ kind = 'cilium', records = 'hubble-stdout' }");
    sleep(30 * SECOND).await;
    let said = week(&fleet).await;
    assert!(
        said.starts_with("fail: Records reach back 0 minutes. Seven days are needed.\nHubble export, node "),
        "{said}"
    );
    assert!(said.contains(" of 2: oldest record = 2026-03-02 09:00 UTC"), "{said}");
}

/// A kernel's log tells what was denied: however far back it reaches, it is no week of flows. Where nothing
/// was denied yet, that is known by the settings.
#[tokio::test(start_paused = true)]
async fn what_tells_denials_only_is_no_week_of_flows() {
    let fleet = fleet("{ kind = 'calico', records = 'kernel-log' }");
    let said = week(&fleet).await;
    assert!(
        said.starts_with(
            "fail: No Goldmane keeps flows here, and what nodes log of denials is no week of flows."
        ),
        "{said}"
    );
    sleep(30 * SECOND).await;
    let said = week(&fleet).await;
    assert!(
        said.starts_with(
            "fail: Records reach back 0 minutes. They tell what was denied and nothing else, which is no week of flows.\nkernel log, node "
        ),
        "{said}"
    );
}
