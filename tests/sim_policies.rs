//! Admission policies on a custom resource, in a simulated cluster: who may ask for a review, who may
//! decide, and that what was decided stays. A real client speaks to the server, in memory.

use std::time::Duration;

use chrono::{TimeZone, Utc};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use sluice::sim::api::clock::Clock;
use sluice::sim::api::cluster::{CertName, Cluster, ClusterSetup, Peer};

const REQUEST: &str = "object.spec.requestedBy == request.userInfo.username";
const BEFORE: &str =
    "has(oldObject.status) && has(oldObject.status.decisions) ? oldObject.status.decisions : []";
const AFTER: &str = "has(object.status) && has(object.status.decisions) ? object.status.decisions : []";
const ALIASES: &str = "has(object.spec.requestedByAliases) ? object.spec.requestedByAliases : []";

fn cluster() -> Cluster {
    let start = Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).single().expect("a real date");
    let cluster = Cluster::new(ClusterSetup {
        accounts: Vec::new(),
        extra_resources: Vec::new(),
        controllers: true,
        clock: Clock::new(start, 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    cluster.seed_namespace("shop");
    cluster
}

/// A client signed in by certificate, with every right; each request is a connection of its own.
fn client(cluster: &Cluster, user: &str) -> Client {
    let groups = vec!["system:masters".to_owned()];
    let peer = Peer { certificate: Some(CertName { user: user.to_owned(), groups }) };
    let cluster = cluster.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (cluster, peer) = (cluster.clone(), peer.clone());
        async move { send(&cluster, peer, request).await }
    });
    Client::new(service, "shop")
}

async fn send(
    cluster: &Cluster,
    peer: Peer,
    request: Request<kube::client::Body>,
) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", http::HeaderValue::from_static("127.0.0.1:6443"));
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    sender.send_request(Request::from_parts(parts, Full::new(body))).await
}

fn definition() -> Value {
    let text = json!({"type": "string", "maxLength": 253});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "reviews.sluice.example.com"},
        "spec": {
            "group": "sluice.example.com", "scope": "Namespaced",
            "names": {"plural": "reviews", "singular": "review", "kind": "Review", "listKind": "ReviewList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                    "spec": {"type": "object", "required": ["requestedBy"],
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "spec is immutable"}],
                        "properties": {"requestedBy": text, "subject": text,
                            "requestedByAliases": {"type": "array", "maxItems": 10, "items": text}}},
                    "status": {"type": "object", "properties": {"decisions": {"type": "array", "maxItems": 20,
                        "items": {"type": "object", "properties": {"decidedBy": text, "verdict": text}}}}},
                }}}}],
        },
    })
}

fn policy(name: &str, resource: &str, operation: &str, spec: &Value) -> [Value; 2] {
    let mut policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["sluice.example.com"],
            "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}]}},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        policy["spec"][field] = value.clone();
    }
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    [policy, binding]
}

/// What the two policies say: a request bears the name of its author; a decision that of its own, who is
/// somebody else, and comes last.
fn policies() -> Vec<Value> {
    let asking = json!({"validations": [{"expression": REQUEST, "message": "ask in your own name"}]});
    let deciding = json!({
        "variables": [
            {"name": "before", "expression": BEFORE},
            {"name": "after", "expression": AFTER},
            {"name": "aliases", "expression": ALIASES},
            {"name": "last", "expression": "variables.after[size(variables.after) - 1].decidedBy"},
        ],
        "validations": [
            {"expression": "size(variables.after) == size(variables.before) + 1",
             "message": "one decision at a time"},
            {"expression": "variables.after.filter(d, d in variables.before) == variables.before",
             "message": "earlier decisions stay"},
            {"expression": "variables.last == request.userInfo.username", "message": "decide in your own name"},
            {"expression": "variables.last != object.spec.requestedBy && !(variables.last in variables.aliases)",
             "message": "nobody decides on their own request", "reason": "Forbidden"},
        ],
    });
    let mut all = policy("review-requests", "reviews", "CREATE", &asking).to_vec();
    all.extend(policy("review-decisions", "reviews/status", "UPDATE", &deciding));
    all
}

fn kind_of(value: &Value) -> ApiResource {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let plural = match text("kind") {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, text("kind")), &plural)
}

fn review(by: &str) -> Value {
    json!({
        "apiVersion": "sluice.example.com/v1", "kind": "Review", "metadata": {"name": "r"},
        "spec": {"requestedBy": by, "requestedByAliases": ["lead@corp"], "subject": "api.example.com"},
    })
}

fn reviews(cluster: &Cluster, user: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client(cluster, user), "shop", &kind_of(&review("")))
}

/// The answer as a client sees it: `ok`, or code, reason and message.
fn told<T>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(kube::Error::Api(status)) => format!("{} {} {}", status.code, status.reason, status.message),
        Err(other) => format!("{other}"),
    }
}

async fn prepared() -> Cluster {
    let cluster = cluster();
    for object in std::iter::once(definition()).chain(policies()) {
        let api: Api<DynamicObject> = Api::all_with(client(&cluster, "admin"), &kind_of(&object));
        let object: DynamicObject = serde_json::from_value(object).expect("an object of the API");
        api.create(&PostParams::default(), &object).await.expect("the server takes it");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster
}

async fn create(cluster: &Cluster, user: &str, object: &Value) -> String {
    let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object of the API");
    told(reviews(cluster, user).create(&PostParams::default(), &object).await)
}

/// Sets the decisions as this user, each `who verdict`.
async fn decide(cluster: &Cluster, user: &str, decisions: &[&str]) -> String {
    let list: Vec<Value> = decisions
        .iter()
        .filter_map(|one| one.split_once(' '))
        .map(|(who, verdict)| json!({"decidedBy": who, "verdict": verdict}))
        .collect();
    let patch = Patch::Merge(json!({"status": {"decisions": list}}));
    told(reviews(cluster, user).patch_status("r", &PatchParams::default(), &patch).await)
}

fn denied(policy: &str, said: &str) -> String {
    format!(
        "reviews.sluice.example.com \"r\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding \
         '{policy}' denied request: {said}"
    )
}

#[tokio::test(start_paused = true)]
async fn a_review_is_asked_for_in_ones_own_name() {
    let cluster = prepared().await;
    let wanted = denied("review-requests", "ask in your own name");
    assert_eq!(create(&cluster, "eve", &review("lead")).await, format!("422 Invalid {wanted}"));
    assert_eq!(create(&cluster, "lead", &review("lead")).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_cannot_be_changed() {
    let cluster = prepared().await;
    assert_eq!(create(&cluster, "lead", &review("lead")).await, "ok");
    let change = |spec: Value| {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let api = reviews(&cluster, "lead");
        async move { told(api.patch("r", &PatchParams::default(), &patch).await) }
    };
    let wanted =
        "422 Invalid Review.sluice.example.com \"r\" is invalid: spec: Invalid value: spec is immutable";
    assert_eq!(change(json!({"subject": "other.example.com"})).await, wanted);
    assert_eq!(change(json!({"requestedBy": "eve"})).await, wanted);
    assert_eq!(change(json!({"subject": "api.example.com"})).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_decides_and_earlier_decisions_stay() {
    let cluster = prepared().await;
    assert_eq!(create(&cluster, "lead", &review("lead")).await, "ok");
    let invalid = |said: &str| format!("422 Invalid {}", denied("review-decisions", said));
    let forbidden = |said: &str| format!("403 Forbidden {}", denied("review-decisions", said));

    let own = "nobody decides on their own request";
    assert_eq!(decide(&cluster, "lead", &["lead yes"]).await, forbidden(own));
    assert_eq!(decide(&cluster, "lead@corp", &["lead@corp yes"]).await, forbidden(own));
    assert_eq!(decide(&cluster, "eve", &["sec yes"]).await, invalid("decide in your own name"));

    assert_eq!(decide(&cluster, "sec", &["sec yes"]).await, "ok");
    assert_eq!(decide(&cluster, "ops", &["sec no", "ops no"]).await, invalid("earlier decisions stay"));
    assert_eq!(decide(&cluster, "ops", &["ops no"]).await, invalid("one decision at a time"));
    assert_eq!(decide(&cluster, "ops", &["sec yes", "ops no"]).await, "ok");

    let live = reviews(&cluster, "viewer").get("r").await.expect("it is there");
    assert_eq!(
        live.data["status"]["decisions"],
        json!([{"decidedBy": "sec", "verdict": "yes"}, {"decidedBy": "ops", "verdict": "no"}])
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_checked_against_the_definition() {
    let cluster = prepared().await;
    let spec = json!({"validations": [{"expression": "object.spec.askedBy == 'x'"}]});
    let [policy, _] = policy("mistaken", "reviews", "CREATE", &spec);
    let api: Api<DynamicObject> = Api::all_with(client(&cluster, "admin"), &kind_of(&policy));
    let policy: DynamicObject = serde_json::from_value(policy).expect("an object of the API");
    api.create(&PostParams::default(), &policy).await.expect("a wrong field is no reason to refuse it");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = |one: DynamicObject| one.data["status"]["typeChecking"].clone();
    assert_eq!(
        status(api.get("mistaken").await.expect("it is there")),
        json!({"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning":
            "sluice.example.com/v1, Kind=Review: ERROR: <input>:1:12: undefined field 'askedBy'\n | \
             object.spec.askedBy == 'x'\n | ...........^\n"}]})
    );
    assert_eq!(status(api.get("review-requests").await.expect("it is there")), json!({}));
}
