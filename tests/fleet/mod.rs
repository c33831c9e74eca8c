//! The simulated fleet as a client sees it, in memory and under a paused clock: a kube client lists
//! and writes, a relay client follows flows through a port-forward.

#[allow(dead_code, reason = "each test file uses its part")]
pub mod client;
mod faulty;
mod relay;
mod served;
mod workspace;

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use sluice::{
    pb::{
        flow::{EventTypeFilter, Flow, FlowFilter, Verdict},
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNodesRequest, ServerStatusRequest,
            get_flows_response::ResponseTypes,
        },
    },
    sim::fleet::{
        faults::Fault,
        people::Person,
        running::{Fleet, Options},
        scenario::Scenario,
    },
};
use tokio::time::{Instant, timeout};
use tonic::Streaming;

pub fn fleet(scenario: &str) -> Fleet {
    let start = "2026-03-02T09:00:00Z".parse().expect("a time");
    Fleet::new(&Scenario::named(scenario).expect("built in"), Options { seed: 1, speed: 1.0, start })
}

pub fn policy(name: &str, spec: &str) -> NetworkPolicy {
    let spec: serde_json::Value = serde_yaml::from_str(spec).expect("YAML");
    serde_json::from_value(serde_json::json!({ "metadata": { "name": name }, "spec": spec }))
        .expect("a policy")
}

/// Everything that comes within `secs`.
pub async fn collect(stream: &mut Streaming<GetFlowsResponse>, secs: u64) -> Vec<GetFlowsResponse> {
    let end = Instant::now() + Duration::from_secs(secs);
    let mut all = Vec::new();
    while let Ok(Some(Ok(response))) = timeout(end - Instant::now(), stream.next()).await {
        all.push(response);
    }
    all
}

pub fn flows(responses: Vec<GetFlowsResponse>) -> Vec<Flow> {
    let flow = |r: GetFlowsResponse| match r.response_types {
        Some(ResponseTypes::Flow(flow)) => Some(flow),
        Some(ResponseTypes::NodeStatus(_) | ResponseTypes::LostEvents(_)) | None => None,
    };
    responses.into_iter().filter_map(flow).collect()
}

pub fn denials() -> GetFlowsRequest {
    let verdicts = EventTypeFilter { r#type: 5, match_sub_type: false, sub_type: 0 };
    let filter = FlowFilter { verdict: vec![2], event_type: vec![verdicts], ..FlowFilter::default() };
    GetFlowsRequest { follow: true, whitelist: vec![filter], ..GetFlowsRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn a_kube_client_lists_namespaces_and_pods() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let namespaces = Api::<Namespace>::all(lead.clone()).list(&ListParams::default()).await.expect("a list");
    let names: Vec<String> = namespaces.items.into_iter().filter_map(|n| n.metadata.name).collect();
    let expected = ["data", "default", "kube-node-lease", "kube-public", "kube-system", "payments", "shop"];
    assert_eq!(names, expected);
    let carts = ListParams::default().labels("app=cart");
    let pods = Api::<Pod>::namespaced(lead, "shop").list(&carts).await.expect("a list");
    assert_eq!(pods.items.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cron_jobs_pod_runs_on_schedule() {
    let fleet = fleet("demo");
    let lead = client::kube_client(&fleet, "staging-eu", Person::Lead);
    let pods = Api::<Pod>::namespaced(lead, "shop");
    let wanted = ListParams::default().labels("app=feed-export");
    let began = Instant::now();
    for (minutes, phase) in [(29, "Succeeded"), (31, "Running"), (33, "Succeeded")] {
        tokio::time::sleep_until(began + Duration::from_secs(minutes * 60)).await;
        let list = pods.list(&wanted).await.expect("a list");
        let seen = list.items[0].status.as_ref().and_then(|s| s.phase.clone());
        assert_eq!(seen.as_deref(), Some(phase), "after {minutes} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn flows_come_through_the_port_forward() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let mut relay = client::relay_client(lead).await;
    let status = relay.server_status(ServerStatusRequest {}).await.expect("a status");
    assert_eq!(status.metadata().get("hubble-relay-version").expect("a header"), "cilium v1.19.4+gsimulated");
    assert_eq!(status.get_ref().num_connected_nodes, Some(3));
    let nodes = relay.get_nodes(GetNodesRequest {}).await.expect("nodes").into_inner().nodes;
    assert_eq!(nodes[1].name, "east/worker-1");

    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let responses = collect(&mut stream, 60).await;
    assert!(matches!(responses[0].response_types, Some(ResponseTypes::NodeStatus(_))));
    let flows = flows(responses);
    assert!(flows.len() > 100, "{} flows", flows.len());
    assert!(flows.iter().any(|f| f.verdict == i32::from(Verdict::Forwarded)));
    assert!(flows.iter().all(|f| f.drop_reason_desc != 133), "nothing is denied yet");
}

/// What product.md says of isolation, seen from outside: the first allow isolates, and deleting
/// only the deny does not end the denials.
#[tokio::test(start_paused = true)]
async fn deleting_only_the_deny_leaves_denials_while_the_allows_are_there() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let mut relay = client::relay_client(lead.clone()).await;
    let policies = Api::<NetworkPolicy>::namespaced(lead, "shop");
    let mut stream = relay.get_flows(denials()).await.expect("a stream").into_inner();
    assert_eq!(flows(collect(&mut stream, 300).await).len(), 0, "without policies");

    let allow = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}";
    let post = PostParams::default();
    policies.create(&post, &policy("egress-baseline-allow", allow)).await.expect("an allow");
    assert!(flows(collect(&mut stream, 300).await).len() > 10, "the first allow isolates");

    let deny = "{podSelector: {}, policyTypes: [Egress]}";
    policies.create(&post, &policy("default-deny-egress", deny)).await.expect("a deny");
    policies.delete("default-deny-egress", &DeleteParams::default()).await.expect("deleted");
    collect(&mut stream, 1).await;
    let still = flows(collect(&mut stream, 300).await);
    assert!(still.len() > 10, "the allow still isolates");
    assert!(still.iter().all(|f| f.source.as_ref().is_some_and(|s| s.namespace == "shop")));
    assert!(still.iter().all(|f| f.drop_reason_desc == 133 && f.egress_denied_by.is_empty()));

    policies.delete("egress-baseline-allow", &DeleteParams::default()).await.expect("deleted");
    collect(&mut stream, 1).await;
    assert_eq!(flows(collect(&mut stream, 300).await).len(), 0, "after the rollback");
}

#[tokio::test(start_paused = true)]
async fn a_denied_packet_is_two_flows_and_is_tried_again() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let mut relay = client::relay_client(lead.clone()).await;
    let deny = policy("default-deny-ingress", "{podSelector: {}, policyTypes: [Ingress]}");
    let policies = Api::<NetworkPolicy>::namespaced(lead, "data");
    policies.create(&PostParams::default(), &deny).await.expect("a deny");
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let dropped: Vec<Flow> =
        flows(collect(&mut stream, 120).await).into_iter().filter(|f| f.drop_reason_desc == 133).collect();
    let count = |kind: i32| dropped.iter().filter(|f| f.event_type.is_some_and(|e| e.r#type == kind)).count();
    assert!(count(5) > 10);
    assert_eq!(count(5), count(1));
    let mut uuids: Vec<&str> = dropped.iter().map(|f| f.uuid.as_str()).collect();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), dropped.len());
}

#[tokio::test(start_paused = true)]
async fn faults_come_by_hand_and_go() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let namespaces = Api::<Namespace>::all(lead);
    fleet.fault("east", Fault::Slow { answer: Duration::from_secs(5) });
    settle().await;
    let asked = Instant::now();
    namespaces.list(&ListParams::default()).await.expect("a list");
    assert_eq!(asked.elapsed().as_secs(), 5);
    fleet.heal("east");
    fleet.fault("east", Fault::Dead);
    settle().await;
    namespaces.list(&ListParams::default()).await.expect_err("nothing answers");
    fleet.heal("east");
    settle().await;
    namespaces.list(&ListParams::default()).await.expect("a list");
}

#[tokio::test(start_paused = true)]
async fn a_node_goes_silent_without_a_word_and_losses_are_told() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "west", Person::Viewer);
    let mut relay = client::relay_client(lead).await;
    fleet.fault("west", Fault::NodeLost { node: "worker-1".to_owned() });
    fleet.fault("west", Fault::LostEvents { count: 128 });
    settle().await;
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let responses = collect(&mut stream, 180).await;
    let lost = responses.iter().filter_map(|r| match &r.response_types {
        Some(ResponseTypes::LostEvents(lost)) => Some(lost.num_events_lost),
        Some(ResponseTypes::Flow(_) | ResponseTypes::NodeStatus(_)) | None => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [128; 4], "two nodes, after one minute and two");
    let flows = flows(responses);
    assert!(flows.iter().any(|f| f.node_name == "west/worker-2"));
    assert!(!flows.iter().any(|f| f.node_name == "west/worker-1"));
}

/// Lets the fleet's own tasks do what is due.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
