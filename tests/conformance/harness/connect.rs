//! The simulated cluster of one scene, and single requests to it over an in-memory connection.

use bytes::Bytes;
use chrono::{TimeZone, Utc};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sluice::sim::api::clock::Clock;
use sluice::sim::api::cluster::{Account, CertName, Cluster, ClusterSetup, Peer};

use super::scene::{self, Fixture};

/// The bearer token of a user.
pub fn token(user: &str) -> String {
    format!("token-{user}")
}

/// A cluster as the fixture describes it.
pub fn cluster(controllers: bool) -> Cluster {
    let fixture: Fixture = scene::read("00-fixture");
    let start = Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).single().expect("a real date");
    let accounts = fixture.users.iter().map(|user| Account {
        name: user.name.clone(),
        groups: user.groups.clone(),
        uid: user.token_uid.clone(),
        token: token(&user.name),
    });
    let cluster = Cluster::new(ClusterSetup {
        accounts: accounts.collect(),
        extra_resources: Vec::new(),
        controllers,
        clock: Clock::new(start, 1.0),
        seed: 1,
        address: "127.0.0.1:6443".to_owned(),
    });
    // A real server makes its own namespaces in this order.
    let order = ["kube-system", "kube-public", "default", "kube-node-lease"];
    assert!(fixture.namespaces.iter().all(|name| order.contains(&name.as_str())));
    for name in order {
        cluster.seed_namespace(name);
    }
    for role in &fixture.clusterroles {
        cluster.seed(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": role["name"]}, "rules": role["rules"],
        }));
    }
    for binding in &fixture.clusterrolebindings {
        let subjects: Vec<_> = binding["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|s| json!({"kind": s["kind"], "name": s["name"], "apiGroup": "rbac.authorization.k8s.io"}))
            .collect();
        cluster.seed(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": binding["name"]}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                        "name": binding["roleRef"]},
        }));
    }
    cluster
}

/// The peer of a recorded user: a client certificate for `cert:NAME`.
pub fn peer(user: Option<&str>) -> Peer {
    let Some(name) = user.and_then(|u| u.strip_prefix("cert:")) else { return Peer::default() };
    let fixture: Fixture = scene::read("00-fixture");
    let known = fixture.users.iter().find(|u| u.name == name);
    let mut groups = known.map(|u| u.groups.clone()).unwrap_or_default();
    if name == "nobody" {
        groups.push("sluice:team".to_owned());
    }
    Peer { certificate: Some(CertName { user: name.to_owned(), groups }) }
}

/// Sends one request on a connection of its own.
pub async fn send(
    cluster: &Cluster,
    peer: Peer,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let (near, far) = tokio::io::duplex(1 << 20);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(TokioIo::new(far), service).with_upgrades().await;
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(|e| e.to_string())
}
