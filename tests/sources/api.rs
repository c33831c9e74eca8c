//! `pods/log` of the simulated API server, held to the manners of the real one.

use std::time::Duration;

use http::Request;
use sluice::sim::fleet::{people::Person, running::Fleet, scenario::Scenario};

use crate::support::{client, fleet_of};

async fn get(fleet: &Fleet, path: &str) -> String {
    let east = fleet.cluster("east").expect("a cluster");
    let request = Request::get(path).body(Vec::new()).expect("a request");
    match client(east, Person::Admin).request_text(request).await {
        Ok(text) => text,
        Err(kube::Error::Api(status)) => format!("{}: {}", status.code, status.message),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn logs_are_cut_and_refused_as_a_kubelet_does() {
    let text = "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = { kind = 'antrea', records = 'antrea-log' }\nnodes = 1\n\
                namespaces = ['shop']\n";
    let fleet = fleet_of(&Scenario::parse("one", text).expect("a scenario"), 1);
    let east = fleet.cluster("east").expect("a cluster");
    east.server().seed(serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "default-deny-egress", "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"] },
    }));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let plan = east.plan().clone();
    let printer = plan.workload("sluice-printers", "sluice-printer").expect("it prints");
    let pod =
        plan.workloads[printer].pods.iter().find(|pod| plan.pods[**pod].node == 1).expect("on the worker");
    let log = format!("/api/v1/namespaces/sluice-printers/pods/{}/log", plan.pods[*pod].name);

    let whole = get(&fleet, &log).await;
    let lines: Vec<&str> = whole.lines().collect();
    assert!(lines.len() > 3 && lines[0].starts_with("2026/03/02 09:00:"), "{whole}");
    let last = get(&fleet, &format!("{log}?tailLines=1&timestamps=true")).await;
    assert!(last.starts_with("2026-03-02T09:00:") && last.lines().count() == 1, "{last}");
    let since = get(&fleet, &format!("{log}?sinceTime=2026-03-02T09:00:29Z")).await;
    assert!(since.lines().count() < lines.len() && whole.ends_with(&since), "{since}");
    assert_eq!(get(&fleet, &format!("{log}?limitBytes=10")).await, "2026/03/02");
    // The times in front count, and the beginning is what is given.
    let timed = get(&fleet, &format!("{log}?timestamps=true&limitBytes=41")).await;
    assert!(timed.starts_with("2026-03-02T09:00:") && timed.ends_with("Z 2026/03/02"), "{timed}");
    assert_eq!(timed.len(), 41);
    for (path, said) in [
        (format!("{log}?container=nope"), "400: container nope is not valid for pod"),
        (
            format!("{log}?sinceSeconds=5&sinceTime=2026-03-02T09:00:00Z"),
            "422: PodLogOptions \"sluice-printer-",
        ),
        (format!("{log}?limitBytes=0"), "422: PodLogOptions \"sluice-printer-"),
        (format!("{log}?tailLines=-1"), "422: PodLogOptions \"sluice-printer-"),
        (format!("{log}?tailLines=x"), "400: strconv.ParseInt"),
        ("/api/v1/namespaces/sluice-printers/pods/nobody/log".to_owned(), "404: pods \"nobody\" not found"),
    ] {
        let answer = get(&fleet, &path).await;
        assert!(answer.starts_with(said), "{path}: {answer}");
    }
    let none = get(&fleet, &format!("{log}?limitBytes=0")).await;
    assert!(none.ends_with(" is invalid: limitBytes: Invalid value: 0: must be greater than 0"), "{none}");
    let agent = plan.workload("kube-system", "antrea-agent").expect("it runs");
    let agent = &plan.pods[plan.workloads[agent].pods[0]].name;
    let answer = get(&fleet, &format!("/api/v1/namespaces/kube-system/pods/{agent}/log")).await;
    assert!(answer.ends_with("choose one of: [antrea-agent antrea-ovs]"), "{answer}");
}
