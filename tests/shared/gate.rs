//! The life of a review, and every way past the gate: each is refused by the API server itself, by a
//! client that is not sluice.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sluice::{
    cockpit::shared::Share,
    domain::{
        grant::{DecisionVerdict, Review},
        hold::{Covers, HoldKind, Scope},
        names::Text,
        policy::PolicyDigest,
        rollout::Kept,
    },
    engine::Engine,
    k8s::connect::Access,
    sim::api::cluster::Cluster,
};

use super::{LEAD, ONCALL, SECURITY, access, ask, decision, installed, live, said, start, target, write};

const REVIEWS: &str = "/apis/sluice.dev/v1alpha1/namespaces/sluice/reviews";

fn review(engine: &Engine) -> Kept<Review> {
    engine.world().shared().reviews().next().expect("a review").clone()
}

fn decide(review: &Kept<Review>, verdict: DecisionVerdict) -> Share {
    Share::Decide {
        review: review.name.clone(),
        version: review.version.clone(),
        decision: Box::new(decision(verdict)),
    }
}

/// What somebody with kubectl or curl would send; answers the status and the message.
async fn send(door: &Access, method: &str, path: &str, kind: &str, body: &Value) -> (u16, String) {
    let client = door.client().await.expect("a client");
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(kube::client::Body::from(body.to_string().into_bytes()))
        .expect("a request");
    let response = client.send(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["message"].as_str().unwrap_or_default().to_owned())
}

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test(start_paused = true)]
async fn a_review_is_asked_for_decided_by_somebody_else_and_revoked() {
    let cluster = installed().await;
    let (mut ann, mut sue) = (live(&cluster, "ann", LEAD).await, live(&cluster, "sue", SECURITY).await);
    assert_eq!(said(write(&mut ann, 1, ask()).await), "written");
    super::run_for(&mut sue, std::time::Duration::from_secs(30)).await;
    let asked = review(&sue);
    assert!(asked.name.as_str().starts_with("review-20260302t0900"), "{}", asked.name);
    assert_eq!(asked.value.requested_by.as_str(), "ann");
    assert_eq!(asked.value.aliases, [Text::new("ann@corp")]);
    assert_eq!(asked.value.grant, super::grant());
    assert_eq!(said(write(&mut sue, 1, decide(&asked, DecisionVerdict::Approved)).await), "written");
    super::run_for(&mut sue, std::time::Duration::from_secs(3600)).await;
    let revoked = decide(&review(&sue), DecisionVerdict::Revoked);
    assert_eq!(said(write(&mut sue, 2, revoked).await), "written");
    let decided = review(&sue).value.decisions;
    let words: Vec<_> = decided.iter().map(|it| (it.verdict.as_str(), it.stamp.by.as_str())).collect();
    assert_eq!(words, [("approved", "sue"), ("revoked", "sue")]);
    // The server's time of each write, though the second one wrote the same object.
    let between = decided[1].stamp.at - decided[0].stamp.at;
    assert!((3600..3605).contains(&between.num_seconds()), "{between}");
    assert!((decided[0].stamp.at - start()).num_seconds() < 120);
    super::run_for(&mut ann, std::time::Duration::from_secs(1)).await;
    assert_eq!(review(&ann).value, review(&sue).value);
}

async fn asked(cluster: &Cluster) -> (Engine, Kept<Review>) {
    let mut ann = live(cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("it is written");
    let asked = review(&ann);
    (ann, asked)
}

fn appended(review: &Kept<Review>, number: u64, by: &str) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Review",
        "metadata": { "name": review.name.as_str(), "namespace": "sluice" },
        "status": { "decisions": [{
            "number": number, "verdict": "approved", "decidedBy": by, "reason": "x", "clusters": ["uid-1"],
        }] },
    })
}

#[tokio::test(start_paused = true)]
async fn a_forged_author_is_refused() {
    let cluster = installed().await;
    let door = access(&cluster, "ann", LEAD);
    let (_, asked) = asked(&cluster).await;
    let live = cluster.objects("sluice.dev/v1alpha1", "Review");
    let mut forged = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Review", "metadata": { "name": "review-x" },
        "spec": live[0]["spec"],
    });
    forged["spec"]["requestedBy"] = json!("ben");
    let (status, message) = send(&door, "POST", REVIEWS, JSON, &forged).await;
    assert_eq!(
        (status, message.as_str()),
        (
            403,
            "reviews.sluice.dev \"review-x\" is forbidden: ValidatingAdmissionPolicy 'sluice-review-author' with binding 'sluice-review-author' denied request: requestedBy must be ann, who asks"
        )
    );
    // A decision that comes with the question is not taken.
    forged["spec"]["requestedBy"] = json!("ann");
    forged["status"] = appended(&asked, 1, "sue")["status"].clone();
    assert_eq!(send(&door, "POST", REVIEWS, JSON, &forged).await.0, 201);
    let made = cluster.objects("sluice.dev/v1alpha1", "Review");
    assert!(made.iter().all(|review| review["status"].is_null()), "{made:?}");
    let sue = access(&cluster, "sue", SECURITY);
    let path = format!("{REVIEWS}/{}/status?fieldManager=x", asked.name);
    let (status, message) = send(&sue, "PATCH", &path, APPLY, &appended(&asked, 1, "tom")).await;
    assert_eq!(status, 403);
    assert!(message.ends_with("denied request: decidedBy must be sue, who decides"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn nobody_decides_his_own_review_under_any_name() {
    let cluster = installed().await;
    let (_, asked) = asked(&cluster).await;
    let path = format!("{REVIEWS}/{}/status?fieldManager=x", asked.name);
    let refused = |message: String, why: &str| assert!(message.ends_with(why), "{message}");
    // Without the right of a decider it ends there.
    let (status, _) =
        send(&access(&cluster, "ann", LEAD), "PATCH", &path, APPLY, &appended(&asked, 1, "ann")).await;
    assert_eq!(status, 403);
    let both: Vec<&str> = LEAD.iter().chain(SECURITY).copied().collect();
    let door = access(&cluster, "ann", &both);
    let (status, message) = send(&door, "PATCH", &path, APPLY, &appended(&asked, 1, "ann")).await;
    assert_eq!(status, 403);
    refused(message, "denied request: whoever asks for a review does not decide it, under no name");
    let alias = access(&cluster, "ann@corp", SECURITY);
    let (status, message) = send(&alias, "PATCH", &path, APPLY, &appended(&asked, 1, "ann@corp")).await;
    assert_eq!(status, 403);
    refused(message, "denied request: whoever asks for a review does not decide it, under no name");
    // Whoever leaves out his second name when he asks does not get past it either.
    let mut quiet = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Review", "metadata": { "name": "review-quiet" },
        "spec": cluster.objects("sluice.dev/v1alpha1", "Review")[0]["spec"],
    });
    quiet["spec"]["aliases"] = json!([]);
    assert_eq!(send(&access(&cluster, "ann", LEAD), "POST", REVIEWS, JSON, &quiet).await.0, 201);
    let path = format!("{REVIEWS}/review-quiet/status?fieldManager=x");
    let mut body = appended(&asked, 1, "ann@corp");
    body["metadata"]["name"] = json!("review-quiet");
    let (status, message) = send(&alias, "PATCH", &path, APPLY, &body).await;
    assert_eq!(status, 403);
    refused(message, "denied request: two names of one person are not two people (people: of sluice.yaml)");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_never_edited() {
    let cluster = installed().await;
    let (_, asked) = asked(&cluster).await;
    let mut sue = live(&cluster, "sue", SECURITY).await;
    write(&mut sue, 1, decide(&asked, DecisionVerdict::Rejected)).await.expect("it is written");
    // Even somebody with every right is refused.
    let root = super::admin(&cluster);
    let own = format!("{REVIEWS}/{}", asked.name);
    let status = format!("{own}/status");
    let edit = |at: &str, to: Value| {
        let mut live = Value::clone(&cluster.objects("sluice.dev/v1alpha1", "Review")[0]);
        *live.pointer_mut(at).expect("there") = to;
        live
    };
    let mut cases = Vec::new();
    for (method, path, kind, body) in [
        ("PUT", &status, JSON, edit("/status/decisions/0/verdict", json!("approved"))),
        ("PUT", &status, JSON, edit("/status/decisions", json!([]))),
        ("PATCH", &status, MERGE, json!({ "status": null })),
        ("PATCH", &status, MERGE, json!({ "status": { "decisions": null } })),
        ("PATCH", &own, MERGE, json!({ "spec": { "purpose": "another" } })),
        ("PATCH", &own, MERGE, json!({ "metadata": { "labels": { "a": "b" } } })),
        ("PUT", &own, JSON, edit("/metadata/managedFields", json!([{}]))),
    ] {
        let (status, message) = send(&root, method, path, kind, &body).await;
        cases.push(format!("{status} {message}"));
    }
    insta::assert_snapshot!(cases.join("\n").replace(asked.name.as_str(), "REVIEW"));
    super::run_for(&mut sue, std::time::Duration::from_secs(1)).await;
    assert_eq!(review(&sue).value.decisions[0].verdict, DecisionVerdict::Rejected);
    // A client cannot date its decision: what it says in managedFields beside the status is not taken.
    let before = review(&sue).value.decisions[0].stamp.at;
    let body = edit("/metadata/managedFields/1/time", json!("2020-01-01T00:00:00Z"));
    send(&root, "PUT", &status, JSON, &body).await;
    super::run_for(&mut sue, std::time::Duration::from_secs(1)).await;
    assert_eq!(review(&sue).value.decisions[0].stamp.at, before);
}

#[tokio::test(start_paused = true)]
async fn holds_are_made_by_on_call_and_exclusions_by_the_lead_alone() {
    let cluster = installed().await;
    let (mut ann, mut tom) = (live(&cluster, "ann", LEAD).await, live(&cluster, "tom", ONCALL).await);
    let hold = |kind, scope| Share::Hold {
        scope,
        kind,
        reason: "incident 7".into(),
        expires: Some(start() + TimeDelta::days(2)),
    };
    let refused = said(write(&mut tom, 1, hold(HoldKind::Exclusion, Scope::Rollout(target()))).await);
    assert!(refused.contains("User \"tom\" cannot create resource \"exclusions\""), "{refused}");
    assert_eq!(said(write(&mut tom, 2, hold(HoldKind::Hold, Scope::Fleet)).await), "written");
    assert_eq!(
        said(write(&mut ann, 1, hold(HoldKind::Exclusion, Scope::Rollout(target()))).await),
        "written"
    );
    super::run_for(&mut tom, std::time::Duration::from_secs(1)).await;
    let seen: Vec<_> =
        tom.world().shared().holds().map(|it| (it.value.kind, it.value.stamp.by.to_string())).collect();
    assert_eq!(seen, [(HoldKind::Exclusion, "ann".to_owned()), (HoldKind::Hold, "tom".to_owned())]);
    let kept = ann.world().shared().holds().find(|it| it.value.kind == HoldKind::Hold).expect("it").clone();
    let release = Share::Release { hold: kept.name.clone(), version: kept.version.clone() };
    assert_eq!(said(write(&mut ann, 2, release.clone()).await), "written");
    let left: Vec<_> = ann.world().shared().holds().map(|it| it.value.kind).collect();
    assert_eq!(left, [HoldKind::Exclusion]);
    let again = said(write(&mut tom, 3, release).await);
    assert_eq!(again, format!("Hold {}: somebody else ended it already. Nothing is left to do.", kept.name));
}

#[tokio::test(start_paused = true)]
async fn an_override_is_confirmed_by_somebody_else_once() {
    let cluster = installed().await;
    let (mut ann, mut tom) = (live(&cluster, "ann", LEAD).await, live(&cluster, "tom", ONCALL).await);
    let over = Share::Override {
        target: target(),
        uid: "uid-1".into(),
        digest: PolicyDigest::of([]),
        covers: vec![Covers::Soak, Covers::Order],
        reason: "the CAB said so".into(),
        expires: start() + TimeDelta::hours(4),
    };
    assert_eq!(said(write(&mut ann, 1, over).await), "written");
    super::run_for(&mut tom, std::time::Duration::from_secs(1)).await;
    let kept = tom.world().shared().overrides().next().expect("it").clone();
    assert_eq!((kept.value.confirmed.clone(), kept.value.covers.len()), (None, 2));
    assert_eq!(kept.value.uid.as_ref().map(|uid| uid.as_str()), Some("uid-1"));
    let path =
        format!("/apis/sluice.dev/v1alpha1/namespaces/sluice/overrides/{}/status?fieldManager=x", kept.name);
    let confirmed = |by: &str| {
        json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "Override",
            "metadata": { "name": kept.name.as_str(), "namespace": "sluice" }, "status": { "confirmed": { "by": by } },
        })
    };
    let both: Vec<&str> = LEAD.iter().chain(ONCALL).copied().collect();
    for (user, by, why) in [
        ("ann", "ann", "whoever overrides does not confirm it"),
        ("ann", "tom", "confirmed.by must be ann, who confirms"),
        ("ann@corp", "ann@corp", "two names of one person are not two people (people: of sluice.yaml)"),
    ] {
        let (status, message) =
            send(&access(&cluster, user, &both), "PATCH", &path, APPLY, &confirmed(by)).await;
        assert!(status == 403 && message.ends_with(why), "{user}: {status} {message}");
    }
    let confirm = Share::Confirm { over: kept.name.clone(), version: kept.version.clone() };
    assert_eq!(said(write(&mut tom, 1, confirm).await), "written");
    let stamp =
        tom.world().shared().overrides().next().expect("it").value.confirmed.clone().expect("confirmed");
    assert_eq!(stamp.by.as_str(), "tom");
    assert!(stamp.at > start() && stamp.at < start() + TimeDelta::minutes(2), "{}", stamp.at);
    let root = super::admin(&cluster);
    let (status, message) =
        send(&root, "PATCH", &path, MERGE, &json!({ "status": { "confirmed": { "by": "root" } } })).await;
    assert_eq!(status, 422, "{message}");
}
