//! The same against the simulated fleet's own relay, reached through the API server's port-forward,
//! with its faults. What its rings hold is the truth to compare with.

use std::{collections::BTreeSet, sync::Arc};

use futures::FutureExt;
use sluice::{
    cockpit::ports::Link,
    flows::{
        hubble::request::{self, Mask},
        source::{BoxIo, Dial},
    },
    k8s::{connect::Access, forward},
    pb::observer::get_flows_response::ResponseTypes,
    sim::fleet::{
        faults::Fault,
        people::Person,
        running::{Fleet, Member, Options},
        scenario::Scenario,
    },
};

use crate::fleet::client;

use super::{Told, follow_by, relay::START, wait};

fn two(seed: u64) -> Fleet {
    let start = START.parse().expect("a time");
    Fleet::new(&Scenario::named("two").expect("built in"), Options { seed, speed: 1.0, start })
}

fn dial(fleet: &Fleet) -> Dial {
    let access = Access::Client(client::kube_client(fleet, "east", Person::Lead));
    Arc::new(move || {
        let access = access.clone();
        async move { Ok(Box::pin(forward::relay(&access, forward::Said::Nothing).await?) as BoxIo) }.boxed()
    })
}

fn isolate(fleet: &Fleet) -> Member {
    let member = fleet.cluster("east").expect("a cluster of the scenario").clone();
    member.server().seed(serde_json::json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny-egress", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }));
    member
}

/// Ids of all denials that the rings hold.
async fn held(member: &Member) -> BTreeSet<String> {
    let stream = member.relay().expect("a relay").connect().expect("a connection");
    let mut client = client::over(stream).await;
    let request = request::again(&[], START.parse().expect("a time"), &[], Mask::Full);
    let mut answers = client.get_flows(request).await.expect("an answer").into_inner();
    let mut ids = BTreeSet::new();
    while let Some(answer) = answers.message().await.expect("whole") {
        if let Some(ResponseTypes::Flow(flow)) = answer.response_types {
            ids.insert(flow.uuid);
        }
    }
    ids
}

fn got(told: &Told) -> BTreeSet<String> {
    let all = told.flows();
    let unique: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(unique.len(), all.len(), "something came twice");
    unique
}

#[tokio::test(start_paused = true)]
async fn denials_of_the_simulated_fleet_come_once_each() {
    let fleet = two(1);
    let member = isolate(&fleet);
    let told = follow_by(dial(&fleet));
    wait(120).await;
    let truth = held(&member).await;
    wait(3).await;
    assert!(truth.len() > 20, "{}", truth.len());
    let got = got(&told);
    assert!(truth.is_subset(&got), "missing: {:?}", truth.difference(&got).collect::<Vec<_>>());
    let state = told.last_state();
    assert_eq!((state.link, state.malformed), (Link::Live, 0));
    assert!(told.heard("worker-1").last() > Some(&100) && told.heard("worker-2").last() > Some(&100));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_was_away_is_caught_up_with() {
    let fleet = two(2);
    let member = isolate(&fleet);
    let told = follow_by(dial(&fleet));
    wait(60).await;
    fleet.fault("east", Fault::RelayAway);
    wait(20).await;
    assert!(matches!(told.last_state().link, Link::Broken(_)));
    fleet.heal("east");
    wait(60).await;
    let truth = held(&member).await;
    wait(3).await;
    let got = got(&told);
    assert!(truth.is_subset(&got), "missing: {:?}", truth.difference(&got).collect::<Vec<_>>());
    assert!(told.gaps().iter().any(|gap| gap.ends_with("read again from history")), "{:?}", told.gaps());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_the_relay_lost_is_a_gap_until_it_comes_back() {
    let fleet = two(3);
    let member = isolate(&fleet);
    let told = follow_by(dial(&fleet));
    wait(60).await;
    let before = told.heard("worker-2").last().copied();
    fleet.fault("east", Fault::NodeLost { node: "worker-2".into() });
    wait(240).await;
    let (during, gaps) = (told.heard("worker-2").last().copied(), told.gaps());
    assert!(during < before.map(|until| until + 35), "heard until {during:?}, {before:?} before the fault");
    assert!(gaps.iter().any(|gap| gap.starts_with("worker-2") && gap.contains("..open")), "{gaps:?}");
    fleet.heal("east");
    wait(120).await;
    let gaps = told.gaps();
    assert!(!gaps.iter().any(|gap| gap.contains("open")), "{gaps:?}");
    let truth = held(&member).await;
    wait(3).await;
    let got = got(&told);
    assert!(truth.is_subset(&got), "missing: {:?}", truth.difference(&got).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_gaps_with_a_count() {
    let fleet = two(4);
    isolate(&fleet);
    let told = follow_by(dial(&fleet));
    wait(10).await;
    fleet.fault("east", Fault::LostEvents { count: 7 });
    wait(200).await;
    let gaps = told.gaps();
    assert!(gaps.iter().any(|gap| gap.contains("lost 7: lost between the kernel and the agent")), "{gaps:?}");
}
