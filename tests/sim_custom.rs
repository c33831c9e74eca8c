//! A real Kubernetes client against custom resources of the simulated API server, in memory, under a
//! paused clock: a definition is installed, its objects are applied, listed by a stream, watched and
//! deleted, and hundreds of them cost a write no more than a few do.

use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeZone, Utc};
use futures::{StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, discovery};
use serde_json::{Value, json};
use sluice::sim::api::clock::Clock;
use sluice::sim::api::cluster::{Account, CertName, Cluster, ClusterSetup, Peer};

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
    cluster
}

/// A client whose every request is a connection of its own.
fn client(cluster: &Cluster) -> Client {
    let cluster = cluster.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let cluster = cluster.clone();
        async move { send(&cluster, request).await }
    });
    Client::new(service, "default")
}

async fn send(
    cluster: &Cluster,
    request: Request<kube::client::Body>,
) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
    let groups = vec!["system:masters".to_owned()];
    let peer = Peer { certificate: Some(CertName { user: "admin".to_owned(), groups }) };
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(TokioIo::new(far), service).await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", "127.0.0.1:6443".parse().expect("a header value"));
    let body: Bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    sender.send_request(Request::from_parts(parts, http_body_util::Full::new(body))).await
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "holds.sluice.example.com"},
        "spec": {
            "group": "sluice.example.com", "scope": "Namespaced",
            "names": {"plural": "holds", "kind": "Hold"},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false, "schema": {"openAPIV3Schema": schema()},
                 "subresources": {"status": {}}},
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema()},
                 "subresources": {"status": {}}},
            ],
        },
    })
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["reason"], "properties": {
            "reason": {"type": "string", "minLength": 3}, "weight": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}})
}

fn holds(client: Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("sluice.example.com", version, "Hold");
    Api::namespaced_with(client, "shop", &ApiResource::from_gvk_with_plural(&kind, "holds"))
}

fn hold(name: &str, reason: &str) -> Value {
    json!({"apiVersion": "sluice.example.com/v1", "kind": "Hold", "metadata": {"name": name},
        "spec": {"reason": reason}})
}

/// A cluster with the definition in force, as a scenario has it.
fn with_definition() -> Cluster {
    let cluster = cluster();
    cluster.seed(definition());
    cluster
}

fn code<T>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
        Ok(_) => 200,
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_installed_discovered_and_removed() {
    let cluster = cluster();
    let definitions: Api<CustomResourceDefinition> = Api::all(client(&cluster));
    let body: CustomResourceDefinition = serde_json::from_value(definition()).expect("a definition");
    definitions.create(&PostParams::default(), &body).await.expect("created");
    let holds = holds(client(&cluster), "v1");
    assert_eq!(code(holds.list(&ListParams::default()).await), 404, "not served before it is in force");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(code(holds.list(&ListParams::default()).await), 429, "its storage is starting");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let found = discovery::group(&client(&cluster), "sluice.example.com").await.expect("discovered");
    assert_eq!(found.preferred_version_or_latest(), "v1");
    let (resource, capabilities) = found.recommended_kind("Hold").expect("the kind is there");
    assert_eq!((resource.plural.as_str(), resource.version.as_str()), ("holds", "v1"));
    assert!(capabilities.subresources.iter().any(|(sub, _)| sub.plural == "status"));

    let all = discovery::Discovery::new(client(&cluster)).run_aggregated().await.expect("discovered at once");
    let found = all.get("sluice.example.com").expect("the group is there").recommended_kind("Hold");
    assert_eq!(found.map(|(resource, _)| resource.version), Some("v1".to_owned()));
    let request = Request::get("/openapi/v3/apis/sluice.example.com/v1").body(Vec::new()).expect("a request");
    let document: Value = client(&cluster).request(request).await.expect("a document");
    let schema = &document["components"]["schemas"]["io.k8s.api.Hold"];
    assert_eq!(schema["properties"]["spec"]["required"], json!(["reason"]));

    holds
        .patch("a", &PatchParams::apply("sluice"), &Patch::Apply(hold("a", "storm")))
        .await
        .expect("applied");
    let version = holds.list(&ListParams::default()).await.expect("a list").metadata.resource_version;
    let version = version.expect("a list has a version");
    let mut events = Box::pin(holds.watch(&WatchParams::default(), &version).await.expect("a watch"));
    definitions.delete("holds.sluice.example.com", &DeleteParams::default()).await.expect("deleted");
    let event = events.try_next().await.expect("the watch goes on").expect("an event");
    assert!(matches!(event, WatchEvent::Deleted(object) if object.metadata.name.as_deref() == Some("a")));
    assert!(events.try_next().await.expect("a clean end").is_none());
    assert_eq!(code(holds.list(&ListParams::default()).await), 404);
}

#[tokio::test(start_paused = true)]
async fn an_object_has_the_same_life_in_every_version() {
    let cluster = with_definition();
    let (new, old) = (holds(client(&cluster), "v1"), holds(client(&cluster), "v1beta1"));
    new.create(&PostParams::default(), &serde_json::from_value(hold("a", "storm")).expect("an object"))
        .await
        .expect("created");
    let seen = old.get("a").await.expect("the other version shows it");
    assert_eq!(seen.types.as_ref().map(|t| t.api_version.as_str()), Some("sluice.example.com/v1beta1"));
    assert_eq!(seen.data["spec"], json!({"reason": "storm", "weight": 1}), "the default is filled in");

    let patch = Patch::Merge(json!({"spec": {"weight": 2}, "status": {"phase": "Open"}}));
    let after = old.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!((after.metadata.generation, after.data.get("status")), (Some(2), None));
    let after = old.patch_status("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(after.metadata.generation, Some(2));
    let after = new.get("a").await.expect("there");
    assert_eq!(after.data, json!({"spec": {"reason": "storm", "weight": 2}, "status": {"phase": "Open"}}));

    let mut bare = after.clone();
    bare.data = json!({"spec": {"reason": "ignored"}});
    let after = new.replace_status("a", &PostParams::default(), &bare).await.expect("replaced");
    assert_eq!(after.data, json!({"spec": {"reason": "storm", "weight": 2}}), "a status can be taken away");

    let refused = Patch::Merge(json!({"spec": {"reason": "x"}}));
    assert_eq!(code(new.patch("a", &PatchParams::default(), &refused).await), 422);
    let strict = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let unknown = Patch::Merge(json!({"spec": {"nosuch": 1}}));
    assert_eq!(code(new.patch("a", &strict, &unknown).await), 422);
}

/// What a watcher tells, as text.
fn told(event: Event<DynamicObject>) -> String {
    let name = |object: DynamicObject| object.metadata.name.unwrap_or_default();
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("has {}", name(object)),
        Event::InitDone => "all".to_owned(),
        Event::Apply(object) => format!("apply {}", name(object)),
        Event::Delete(object) => format!("delete {}", name(object)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_goes_on_as_a_watch() {
    let cluster = with_definition();
    for name in ["a", "b"] {
        cluster.seed(json!({"apiVersion": "sluice.example.com/v1", "kind": "Hold",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"reason": "storm", "weight": 1}}));
    }
    let holds = holds(client(&cluster), "v1");
    let mut stream = Box::pin(watcher(holds.clone(), Config::default().streaming_lists()));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(told(stream.next().await.expect("the stream goes on").expect("an event")));
    }
    holds.patch("c", &PatchParams::apply("sluice"), &Patch::Apply(hold("c", "calm"))).await.expect("applied");
    holds.delete("a", &DeleteParams::default()).await.expect("deleted");
    for _ in 0..2 {
        seen.push(told(stream.next().await.expect("the stream goes on").expect("an event")));
    }
    assert_eq!(seen, ["init", "has a", "has b", "all", "apply c", "delete a"]);
}

#[tokio::test(start_paused = true)]
async fn watches_follow_hundreds_of_objects() {
    let cluster = with_definition();
    let holds = holds(client(&cluster), "v1");
    let mut watches = Vec::new();
    for _ in 0..10 {
        watches.push(Box::pin(holds.watch(&WatchParams::default(), "230").await.expect("a watch")));
    }
    for number in 0..300 {
        let name = format!("h{number:03}");
        let body = Patch::Apply(hold(&name, "storm"));
        holds.patch(&name, &PatchParams::apply("sluice"), &body).await.expect("applied");
    }
    for events in &mut watches {
        for number in 0..300 {
            let event = events.try_next().await.expect("the watch goes on").expect("an event");
            let WatchEvent::Added(object) = event else { panic!("{event:?}") };
            assert_eq!(object.metadata.name, Some(format!("h{number:03}")));
        }
    }
    let page = holds.list(&ListParams::default().limit(100)).await.expect("a page");
    assert_eq!((page.items.len(), page.metadata.remaining_item_count), (100, Some(200)));
}
