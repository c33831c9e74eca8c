//! Each fault of the scenario file `faults` as a client meets it.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::{core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{
    Api, Client,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
};
use sluice::{
    pb::observer::GetFlowsRequest,
    sim::fleet::{people::Person, running::Fleet},
};
use tokio::time::Instant;

use crate::{client, collect, fleet, flows, policy};

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
    assert_eq!(list(&fleet, "well").await, Ok(6));
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
