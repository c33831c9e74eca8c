//! A real Kubernetes client against the simulated API server, in memory, under a paused clock:
//! what the recordings cannot show, such as a port-forward that works, and every fault.

use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeZone, Utc};
use futures::TryStreamExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;
use sluice::sim::api::clock::Clock;
use sluice::sim::api::cluster::{Account, CertName, Cluster, ClusterSetup, Peer};
use sluice::sim::api::faults::{Denial, Faults, Reach, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn cluster() -> Cluster {
    let start = Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).single().expect("a real date");
    let cluster = Cluster::new(ClusterSetup {
        accounts: vec![Account {
            name: "admin".to_owned(),
            groups: vec!["system:masters".to_owned()],
            uid: "uid-admin".to_owned(),
            token: "secret".to_owned(),
        }],
        extra_resources: Vec::new(),
        controllers: true,
        clock: Clock::new(start, 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    cluster.seed_namespace("shop");
    cluster.seed(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "relay", "namespace": "shop"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "relay", "image": "relay:1"}]},
    }));
    cluster
}

fn admin() -> Peer {
    let groups = vec!["system:masters".to_owned()];
    Peer { certificate: Some(CertName { user: "admin".to_owned(), groups }) }
}

/// A client whose every request is a connection of its own.
fn client(cluster: &Cluster, peer: Peer) -> Client {
    let cluster = cluster.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (cluster, peer) = (cluster.clone(), peer.clone());
        async move { send(&cluster, peer, request).await }
    });
    Client::new(service, "default")
}

async fn send(
    cluster: &Cluster,
    peer: Peer,
    request: Request<kube::client::Body>,
) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(TokioIo::new(far), service).with_upgrades().await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection.with_upgrades());
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", "127.0.0.1:6443".parse().expect("a header value"));
    let body: Bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    sender.send_request(Request::from_parts(parts, http_body_util::Full::new(body))).await
}

fn name_of(policy: &NetworkPolicy) -> &str {
    policy.metadata.name.as_deref().unwrap_or_default()
}

fn policy(name: &str) -> NetworkPolicy {
    serde_json::from_value(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }))
    .expect("a policy")
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_applied_watched_and_deleted() {
    let cluster = cluster();
    let policies: Api<NetworkPolicy> = Api::namespaced(client(&cluster, admin()), "shop");
    let version = policies.list(&ListParams::default()).await.expect("a list").metadata.resource_version;
    let mut events = Box::pin(
        policies
            .watch(&WatchParams::default(), &version.expect("a list has a version"))
            .await
            .expect("a watch"),
    );

    let manager = PatchParams::apply("sluice");
    policies.patch("deny", &manager, &Patch::Apply(&policy("deny"))).await.expect("applied");
    policies.delete("deny", &DeleteParams::default()).await.expect("deleted");

    let mut seen = Vec::new();
    while seen.len() < 2 {
        match events.try_next().await.expect("the watch goes on").expect("the watch is open") {
            WatchEvent::Added(policy) => seen.push(format!("added {}", name_of(&policy))),
            WatchEvent::Deleted(policy) => seen.push(format!("deleted {}", name_of(&policy))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["added deny", "deleted deny"]);
}

#[tokio::test(start_paused = true)]
async fn a_port_forward_carries_bytes_both_ways() {
    let cluster = cluster();
    cluster.set_portforward(std::sync::Arc::new(|port| {
        (port.port == 4245).then(|| {
            let (near, mut far) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let mut question = [0; 4];
                far.read_exact(&mut question).await.expect("a question");
                far.write_all(b"pong").await.expect("an answer");
                let mut rest = Vec::new();
                let _ = far.read_to_end(&mut rest).await;
            });
            near
        })
    }));
    let pods: Api<Pod> = Api::namespaced(client(&cluster, admin()), "shop");
    let mut forward = pods.portforward("relay", &[4245]).await.expect("a port-forward");
    let mut stream = forward.take_stream(4245).expect("its stream");
    stream.write_all(b"ping").await.expect("sent");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"pong");
}

#[tokio::test(start_paused = true)]
async fn a_port_nobody_listens_on_is_told_on_the_error_channel() {
    let cluster = cluster();
    cluster.set_portforward(std::sync::Arc::new(|_| None));
    let pods: Api<Pod> = Api::namespaced(client(&cluster, admin()), "shop");
    let mut forward = pods.portforward("relay", &[80]).await.expect("the upgrade itself works");
    let error = forward.take_error(80).expect("an error channel").await.expect("an error");
    assert!(error.contains("connection refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_gone_after_a_while() {
    let cluster = cluster();
    let namespaces: Api<Namespace> = Api::all(client(&cluster, admin()));
    let brief = serde_json::from_value(json!({"metadata": {"name": "brief"}})).expect("a namespace");
    namespaces.create(&PostParams::default(), &brief).await.expect("created");
    namespaces.delete("brief", &DeleteParams::default()).await.expect("deleted");
    assert!(namespaces.get_opt("brief").await.expect("still answered").is_some());
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(namespaces.get_opt("brief").await.expect("answered").is_none());
}

/// What a list of policies says under a fault.
async fn under(faults: Faults) -> String {
    let cluster = cluster();
    let policies: Api<NetworkPolicy> = Api::namespaced(client(&cluster, admin()), "shop");
    cluster.set_faults(faults);
    let everything = ListParams::default();
    let listing = policies.list(&everything);
    match tokio::time::timeout(Duration::from_secs(30), listing).await {
        Err(_) => "no answer within 30 s".to_owned(),
        Ok(Ok(list)) => format!("{} policies", list.items.len()),
        Ok(Err(kube::Error::Api(status))) => format!("{} {}", status.code, status.reason),
        Ok(Err(kube::Error::SerdeError(_))) => "not JSON".to_owned(),
        Ok(Err(_)) => "broken connection".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_shows_as_what_it_is() {
    let nobody = Faults::default;
    assert_eq!(under(nobody()).await, "0 policies");
    assert_eq!(under(Faults { reach: Reach::Silent, ..nobody() }).await, "no answer within 30 s");
    assert_eq!(under(Faults { reach: Reach::Breaks, ..nobody() }).await, "broken connection");
    assert_eq!(under(Faults { latency: Duration::from_secs(5), ..nobody() }).await, "0 policies");
    assert_eq!(under(Faults { latency: Duration::from_secs(50), ..nobody() }).await, "no answer within 30 s");
    assert_eq!(under(Faults { garbage: true, ..nobody() }).await, "not JSON");
    assert_eq!(under(Faults { expired_certificates: true, ..nobody() }).await, "401 Unauthorized");
    let refusal = Refusal { user: String::new(), retry_after_secs: 1 };
    let refused = under(Faults { refusals: vec![refusal], ..nobody() }).await;
    assert!(refused.starts_with("429"), "{refused}");
    let denial = Denial {
        user: String::new(),
        verb: "list".to_owned(),
        resource: "networkpolicies".to_owned(),
        namespace: String::new(),
    };
    assert_eq!(under(Faults { denials: vec![denial], ..nobody() }).await, "403 Forbidden");
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_be_lost_after_the_write_landed() {
    let cluster = cluster();
    let policies: Api<NetworkPolicy> = Api::namespaced(client(&cluster, admin()), "shop");
    cluster.set_faults(Faults { lose_write_answers: true, ..Faults::default() });
    let lost = policies.create(&PostParams::default(), &policy("deny")).await;
    assert!(lost.is_err());
    assert_eq!(cluster.policies().len(), 1);
}
