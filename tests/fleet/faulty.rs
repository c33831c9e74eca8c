//! Each fault of the scenario file `faults` as a client meets it.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{
    Api, Client,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
};
use sluice::{
    pb::{
        flow::{Flow, Verdict},
        observer::{GetFlowsRequest, get_flows_response::ResponseTypes},
    },
    sim::fleet::{people::Person, running::Fleet},
};
use tokio::time::Instant;

use super::{client, collect, denials, fleet, flows, policy};

fn lead(fleet: &Fleet, cluster: &str) -> Client {
    client::kube_client(fleet, cluster, Person::Lead)
}

/// Lists namespaces: how many there are, or why not.
async fn list(fleet: &Fleet, cluster: &str) -> Result<usize, String> {
    let listed = Api::<Namespace>::all(lead(fleet, cluster)).list(&ListParams::default()).await;
    listed.map(|l| l.items.len()).map_err(|e| format!("{e:?}"))
}

async fn fails_with(fleet: &Fleet, cluster: &str, words: &str) {
    let error = list(fleet, cluster).await.expect_err(cluster);
    assert!(error.contains(words), "{cluster}: {error}");
}

#[tokio::test(start_paused = true)]
async fn connections_fail_each_in_its_way() {
    let fleet = fleet("faults");
    assert_eq!(list(&fleet, "well").await, Ok(7), "it keeps the team's state too");
    fails_with(&fleet, "dead", "ConnectionRefused").await;
    fails_with(&fleet, "expired-certificate", "Expired").await;
    fails_with(&fleet, "garbage", "SerdeError").await;
    let asked = Instant::now();
    assert_eq!(list(&fleet, "slow").await, Ok(6));
    assert_eq!(asked.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429_begins_and_passes() {
    let fleet = fleet("faults");
    assert_eq!(list(&fleet, "too-many-requests").await, Ok(6));
    tokio::time::sleep(Duration::from_secs(40)).await;
    fails_with(&fleet, "too-many-requests", "429").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(list(&fleet, "too-many-requests").await, Ok(6));
}

#[tokio::test(start_paused = true)]
async fn rights_are_missing_for_the_lead_but_not_for_the_admin() {
    let fleet = fleet("faults");
    let deny = policy("default-deny-egress", "{podSelector: {}, policyTypes: [Egress]}");
    let create = |client: Client| {
        let (policies, deny) = (Api::<NetworkPolicy>::namespaced(client, "shop"), deny.clone());
        async move { policies.create(&PostParams::default(), &deny).await }
    };
    let refused = create(lead(&fleet, "missing-rights")).await.expect_err("refused");
    assert!(format!("{refused:?}").contains("Forbidden"), "{refused:?}");
    create(client::kube_client(&fleet, "missing-rights", Person::Admin)).await.expect("created");
    create(client::kube_client(&fleet, "well", Person::Lead)).await.expect("created");
    create(client::kube_client(&fleet, "well", Person::OnCall)).await.expect_err("on-call does not create");
}

#[tokio::test(start_paused = true)]
async fn a_write_lands_though_its_answer_is_lost() {
    let fleet = fleet("faults");
    let policies = Api::<NetworkPolicy>::namespaced(lead(&fleet, "answers-lost"), "shop");
    let deny = policy("default-deny-egress", "{podSelector: {}, policyTypes: [Egress]}");
    policies.create(&PostParams::default(), &deny).await.expect_err("no answer");
    policies.get("default-deny-egress").await.expect("but it is there");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_and_its_version_is_too_old() {
    let fleet = fleet("faults");
    let namespaces = Api::<Namespace>::all(lead(&fleet, "watch-expiry"));
    let version = namespaces.list(&ListParams::default()).await.expect("a list").metadata.resource_version;
    let version = version.expect("a version");
    let mut watch = namespaces.watch(&WatchParams::default(), &version).await.expect("a watch").boxed();
    tokio::time::sleep(Duration::from_secs(70)).await;
    while let Some(Ok(_)) = watch.next().await {}
    let mut watch = namespaces.watch(&WatchParams::default(), &version).await.expect("a watch").boxed();
    let event = watch.next().await.expect("an event").expect("readable");
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_stays_terminating() {
    let fleet = fleet("faults");
    let namespaces = Api::<Namespace>::all(lead(&fleet, "stuck-terminating"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let reviews = namespaces.get("reviews").await.expect("still there");
    assert_eq!(reviews.status.and_then(|s| s.phase).as_deref(), Some("Terminating"));
}

#[tokio::test(start_paused = true)]
async fn the_relay_goes_away_for_a_while() {
    let fleet = fleet("faults");
    let mut relay = client::relay_client(lead(&fleet, "relay-away")).await;
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request.clone()).await.expect("a stream").into_inner();
    let all = collect(&mut stream, 120).await;
    let last = all.last().and_then(|r| r.time).map_or(0, |t| t.seconds);
    assert_eq!(last - all[0].time.map_or(0, |t| t.seconds), 59, "it broke after a minute");
    tokio::time::sleep(Duration::from_secs(300)).await;
    let mut relay = client::relay_client(lead(&fleet, "relay-away")).await;
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    assert!(flows(collect(&mut stream, 30).await).len() > 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_told_of_and_comes_back_without_a_word() {
    let fleet = fleet("faults");
    let mut relay = client::relay_client(lead(&fleet, "node-down")).await;
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let told = collect(&mut stream, 600).await;
    let states: Vec<(i32, Vec<String>)> = told
        .iter()
        .filter_map(|r| match &r.response_types {
            Some(ResponseTypes::NodeStatus(status)) => Some((status.state_change, status.node_names.clone())),
            Some(ResponseTypes::Flow(_) | ResponseTypes::LostEvents(_)) | None => None,
        })
        .collect();
    let nodes = ["control-plane-1", "worker-1", "worker-2", "worker-3"].map(|n| format!("node-down/{n}"));
    assert_eq!(states, [(1, nodes.to_vec()), (4, vec![nodes[1].clone()])]);
    let of_lost = flows(told).into_iter().filter(|f| f.node_name == nodes[1]);
    let seconds: Vec<i64> = of_lost.filter_map(|f| Some(f.time?.seconds - 1_772_442_000)).collect();
    assert!(seconds.iter().any(|s| *s < 60) && seconds.iter().any(|s| *s > 240));
}

#[tokio::test(start_paused = true)]
async fn a_relay_with_bad_manners_repeats_turns_round_and_leaves_out() {
    let fleet = fleet("faults");
    let mut relay = client::relay_client(lead(&fleet, "bad-manners")).await;
    let mut stream = relay.get_flows(denials()).await.expect("a stream").into_inner();
    let all = flows(collect(&mut stream, 600).await);
    let known: BTreeSet<&str> = all.iter().map(|f| f.uuid.as_str()).collect();
    assert!(known.len() < all.len() && known.contains(""));
    assert!(all.iter().any(|f| f.source.is_none()) && all.iter().any(|f| f.time.is_none()));
    let hostile = |f: &Flow| f.destination_names.iter().any(|n| n.contains('\u{9b}'));
    assert!(all.iter().any(hostile));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_audits_says_so_and_drops_nothing() {
    let fleet = fleet("faults");
    let mut relay = client::relay_client(lead(&fleet, "audit")).await;
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut stream = relay.get_flows(request).await.expect("a stream").into_inner();
    let all = flows(collect(&mut stream, 600).await);
    let of = |verdict: Verdict| all.iter().filter(move |f| f.verdict == i32::from(verdict));
    assert!(of(Verdict::Audit).count() > 10);
    assert!(of(Verdict::Dropped).all(|f| f.drop_reason_desc == 151), "other drops have other reasons");
}
