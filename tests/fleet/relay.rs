//! Hubble Relay's manners: what a request gets, what is lost and how that is told, and what the
//! traffic behind it does when pods restart and connections are cut.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, api::PostParams};
use prost_types::{FieldMask, Timestamp};
use sluice::{
    pb::{
        flow::{EventTypeFilter, Flow, FlowFilter, layer7},
        observer::{
            GetAgentEventsRequest, GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest,
            get_flows_response::ResponseTypes,
        },
    },
    sim::fleet::{
        faults::Fault,
        people::Person,
        running::{Fleet, Options},
        scale::{Scale, scaled},
        scenario::Scenario,
    },
};
use tonic::{Code, Streaming};

use super::{client, collect, denials, fleet, flows, policy, settle};

async fn ask(fleet: &Fleet, request: GetFlowsRequest) -> Streaming<GetFlowsResponse> {
    let stream = fleet.clusters()[0].relay().expect("a relay").connect().expect("a connection");
    client::over(stream).await.get_flows(request).await.expect("a stream").into_inner()
}

fn seconds(response: &GetFlowsResponse) -> i64 {
    response.time.map_or(0, |time| time.seconds)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_follow_gives_what_the_rings_hold_and_ends() {
    let fleet = fleet("two");
    let all = flows(collect(&mut ask(&fleet, GetFlowsRequest::default()).await, 60).await);
    assert!(all.len() > 50, "a minute of history: {}", all.len());
    let times: Vec<i64> = all.iter().map(|f| f.time.map_or(0, |t| t.seconds)).collect();
    assert!(times.is_sorted());

    let last = GetFlowsRequest { number: 5, ..GetFlowsRequest::default() };
    let last = flows(collect(&mut ask(&fleet, last).await, 60).await);
    assert_eq!(last.len(), 10, "five of each node, and the control plane has no pods of its own");
    let first = GetFlowsRequest { number: 5, first: true, ..GetFlowsRequest::default() };
    let first = flows(collect(&mut ask(&fleet, first).await, 60).await);
    assert_eq!((first.len(), &first[0].uuid), (10, &all[0].uuid));
}

#[tokio::test(start_paused = true)]
async fn since_replays_and_then_follows() {
    let fleet = fleet("two");
    let begin = 1_772_442_000; // 2026-03-02T09:00:00Z
    tokio::time::sleep(Duration::from_secs(30)).await;
    let since = Timestamp { seconds: begin + 10, nanos: 0 };
    let request = GetFlowsRequest { since: Some(since), follow: true, ..GetFlowsRequest::default() };
    let all = collect(&mut ask(&fleet, request).await, 30).await;
    assert!(all[1..].iter().all(|r| seconds(r) >= begin + 10));
    assert!(all.iter().any(|r| seconds(r) < begin + 25) && all.iter().any(|r| seconds(r) > begin + 50));

    let until = Timestamp { seconds: begin + 40, nanos: 0 };
    let request = GetFlowsRequest { since: Some(since), until: Some(until), ..GetFlowsRequest::default() };
    let all = collect(&mut ask(&fleet, request).await, 30).await;
    assert!(all[1..].iter().all(|r| (begin + 10..=begin + 40).contains(&seconds(r))));
}

#[tokio::test(start_paused = true)]
async fn a_mask_without_time_and_node_takes_them_from_the_answer_too() {
    let fleet = fleet("two");
    let mask = |paths: &[&str]| FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() };
    let answer = |m| GetFlowsRequest { number: 1, field_mask: Some(m), ..GetFlowsRequest::default() };
    let bare = collect(&mut ask(&fleet, answer(mask(&["verdict", "source.namespace"]))).await, 1).await;
    assert_eq!((bare[1].time, bare[1].node_name.as_str()), (None, ""));
    let full = collect(&mut ask(&fleet, answer(mask(&["time", "node_name"]))).await, 1).await;
    assert!(full[1].time.is_some() && full[1].node_name.starts_with("east/worker-"));
}

#[tokio::test(start_paused = true)]
async fn what_a_relay_refuses() {
    let fleet = fleet("two");
    let stream = fleet.clusters()[0].relay().expect("a relay").connect().expect("a connection");
    let mut relay = client::over(stream).await;
    let wrong = GetFlowsRequest { follow: true, first: true, ..GetFlowsRequest::default() };
    assert_eq!(relay.get_flows(wrong).await.expect_err("refused").code(), Code::InvalidArgument);
    let refused = relay.get_agent_events(GetAgentEventsRequest {}).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unimplemented);
    let namespaces =
        relay.get_namespaces(GetNamespacesRequest {}).await.expect("a list").into_inner().namespaces;
    let names: Vec<&str> = namespaces.iter().map(|n| n.namespace.as_str()).collect();
    assert_eq!(names, ["data", "kube-system", "payments", "shop"]);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_goes_away_breaks_its_streams_and_comes_back() {
    let fleet = fleet("two");
    let mut stream = ask(&fleet, GetFlowsRequest { follow: true, ..GetFlowsRequest::default() }).await;
    assert!(stream.next().await.expect("a greeting").is_ok());
    fleet.fault("east", Fault::RelayAway);
    settle().await;
    let end = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_none_or(|e| e.is_err()));
    assert!(fleet.clusters()[0].relay().expect("a relay").connect().is_none());
    fleet.heal("east");
    settle().await;
    assert!(ask(&fleet, GetFlowsRequest::default()).await.next().await.is_some());
}

/// 50,000 denied flows a second: two events each, and what does not fit is told.
#[tokio::test(start_paused = true)]
async fn a_flood_is_delivered_or_its_losses_are_told() {
    let scale = Scale { clusters: 1, namespaces: 100, policies: 1, denied_per_second: 50_000 };
    let start = "2026-03-02T09:00:00Z".parse().expect("a time");
    let fleet = Fleet::new(&scaled(scale), Options { seed: 1, speed: 1.0, start });
    settle().await;
    let mut stream = ask(&fleet, denials()).await;
    let (mut got, mut lost) = (0, 0);
    for response in collect(&mut stream, 1).await {
        match response.response_types {
            Some(ResponseTypes::Flow(_)) => got += 1,
            Some(ResponseTypes::LostEvents(it)) => lost += it.num_events_lost,
            Some(ResponseTypes::NodeStatus(_)) | None => {}
        }
    }
    assert!((46_000..54_000).contains(&(got + lost / 2)), "{got} came, {lost} events were lost");
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_followed_by_denials_that_pass() {
    let fleet = fleet("two");
    let lead = client::kube_client(&fleet, "east", Person::Lead);
    let open = policy("egress-allowlist", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}");
    Api::<NetworkPolicy>::namespaced(lead, "shop")
        .create(&PostParams::default(), &open)
        .await
        .expect("created");
    let mut stream = ask(&fleet, denials()).await;
    assert_eq!(flows(collect(&mut stream, 120).await).len(), 0);
    fleet.fault("east", Fault::Restart { namespace: "shop".to_owned(), workload: "cart".to_owned() });
    let noise = flows(collect(&mut stream, 5).await);
    assert!(!noise.is_empty());
    assert!(noise.iter().all(|f| f.source.as_ref().is_some_and(|s| s.pod_name.starts_with("cart-"))));
    assert_eq!(flows(collect(&mut stream, 120).await).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn cilium_cuts_open_connections_and_calico_keeps_them() {
    for (cluster, cut) in [("prod-us-west", true), ("prod-ap-east", false)] {
        let fleet = fleet("demo");
        let member = fleet.cluster(cluster).expect("a cluster");
        let before = member.agents().traffic().open_connections().count();
        for namespace in ["shop", "payments", "accounts"] {
            let deny = sluice::sim::fleet::workspace::policy(member.plan(), namespace, "default-deny-egress");
            member.server().seed(serde_yaml::from_str(&deny).expect("YAML"));
        }
        settle().await;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(member.agents());
        }
        let after = member.agents().traffic().open_connections().count();
        assert!(before > 10, "{cluster} has {before}");
        assert_eq!(after < before, cut, "{cluster}: {after} of {before}");
    }
}

/// The l4 destination and, for DNS, the answer.
fn describe(flow: &Flow) -> String {
    let ip = flow.ip.clone().unwrap_or_default();
    let record = flow.l7.as_ref().and_then(|l7| l7.record.clone());
    let dns = record.map(|layer7::Record::Dns(dns)| format!(" {} {:?} ttl {}", dns.query, dns.ips, dns.ttl));
    format!("{} {:?}{}", ip.destination, flow.destination_names, dns.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn dns_answers_and_names_are_there_where_the_agent_sees_them() {
    let fleet = fleet("demo");
    let member = fleet.cluster("prod-us-east").expect("a cluster");
    let stream = member.relay().expect("a relay").connect().expect("a connection");
    let filter = FlowFilter {
        event_type: vec![EventTypeFilter { r#type: 129, match_sub_type: false, sub_type: 0 }],
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest { follow: true, whitelist: vec![filter], ..GetFlowsRequest::default() };
    let mut relay = client::over(stream).await;
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let all = flows(collect(&mut stream, 120).await);
    let answers: Vec<&Flow> = all.iter().filter(|f| f.is_reply == Some(true)).collect();
    assert!(answers.len() > 10 && answers.len() * 2 == all.len());
    let cardpay = answers.iter().find(|f| describe(f).contains("cardpay")).expect("a name");
    assert!(describe(cardpay).ends_with("api.cardpay.example. [\"203.0.113.10\", \"203.0.113.11\"] ttl 30"));
    assert_eq!(cardpay.destination.as_ref().map(|d| d.namespace.as_str()), Some("payments"));
}

#[tokio::test(start_paused = true)]
async fn without_the_resolver_only_questions_are_denied() {
    let fleet = fleet("two");
    let member = fleet.cluster("east").expect("a cluster");
    let deny = sluice::sim::fleet::workspace::policy(member.plan(), "payments", "default-deny-egress");
    member.server().seed(serde_yaml::from_str(&deny).expect("YAML"));
    settle().await;
    let denied = flows(collect(&mut ask(&fleet, denials()).await, 120).await);
    let port = |f: &Flow| format!("{:?}", f.l4);
    let of_gateway =
        denied.iter().filter(|f| f.source.as_ref().is_some_and(|s| s.pod_name.starts_with("gateway")));
    assert!(of_gateway.clone().count() > 10);
    assert!(of_gateway.clone().all(|f| port(f).contains("destination_port: 53")));
}

/// What was seen in the first minutes, in a few words each.
async fn story(seed: u64) -> Vec<String> {
    let start = "2026-03-02T09:00:00Z".parse().expect("a time");
    let two = Scenario::named("two").expect("built in");
    let fleet = Fleet::new(&two, Options { seed, speed: 1.0, start });
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let all = flows(collect(&mut ask(&fleet, request).await, 120).await);
    all.iter().map(|f| format!("{} {}", f.uuid, describe(f))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    let (one, again, other) = (story(7).await, story(7).await, story(8).await);
    assert!(one.len() > 100);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

/// Two days in a minute: the clocks run, and traffic stays bearable.
#[tokio::test(start_paused = true)]
async fn at_high_speed_days_pass_in_seconds() {
    let start = "2026-03-02T09:00:00Z".parse().expect("a time");
    let two = Scenario::named("two").expect("built in");
    let fleet = Fleet::new(&two, Options { seed: 1, speed: 2880.0, start });
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let all = collect(&mut ask(&fleet, request).await, 60).await;
    let (first, last) = (seconds(&all[0]), all.iter().map(seconds).max().unwrap_or_default());
    assert!((47 * 3600..=48 * 3600).contains(&(last - first)), "{} hours", (last - first) / 3600);
    assert!((1_000..200_000).contains(&all.len()), "{} flows", all.len());
}
