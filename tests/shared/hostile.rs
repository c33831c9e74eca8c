//! Objects that are not what they claim: each is named and left out, and the others go on.

use std::time::Duration;

use serde_json::{Value, json};
use sluice::domain::evidence::Evidence;
use sluice::k8s::shared::{evidence, hold, journal, overrides, review, rollout, waiver};

use super::{LEAD, ask, installed, live, run_for, write};

#[expect(clippy::needless_pass_by_value, reason = "cases are written as values")]
fn object(kind: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind,
        "metadata": { "name": "x", "namespace": "sluice", "resourceVersion": "1",
            "creationTimestamp": "2026-03-02T09:00:00Z" },
        "spec": spec, "status": status,
    })
}

/// One line a case: what is read, or why not.
fn read(kind: &str, value: &Value) -> String {
    let said = match kind {
        "Rollout" => rollout::decode(value).err(),
        "Evidence" => evidence::decode(value).err(),
        "Review" => review::decode(value).err(),
        "Hold" => hold::decode(value).err(),
        "Exclusion" => hold::decode_exclusion(value).err(),
        "Waiver" => waiver::decode(value).err(),
        "Override" => overrides::decode(value).err(),
        "JournalEntry" => journal::decode(value).err(),
        other => panic!("{other}"),
    };
    said.map_or_else(|| "read".to_owned(), |why| why.to_string())
}

fn review_spec() -> Value {
    json!({
        "requestedBy": "ann", "purpose": "x", "unknown": { "field": 1 },
        "grant": { "clusters": ["u"], "namespace": "shop", "direction": "egress",
            "destination": { "name": "api.example.com" }, "expires": "2026-06-01T00:00:00Z",
            "ports": [{ "protocol": "TCP", "from": 443, "to": 443 }] },
    })
}

fn with(base: Value, at: &str, to: Value) -> Value {
    let mut out = base;
    *out.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = to;
    out
}

#[test]
fn every_kind_reads_what_is_right_and_says_what_is_wrong() {
    let target = json!({ "cluster": "one", "namespace": "shop", "direction": "egress" });
    let evidence = json!({
        "cluster": "one", "namespace": "shop", "direction": "egress", "clusterUid": "u",
        "digest": format!("sha256:{}", "0".repeat(64)), "since": "2026-03-02T09:00:00Z",
        "until": "2026-03-02T09:10:00Z", "observer": "watch", "nodes": ["a", "b"],
        "trails": [{ "nodes": "0-1", "ran": "1+2", "heard": "1+2" }],
    });
    let decided = json!({ "decisions": [{ "number": 1, "verdict": "approved", "decidedBy": "sue",
        "reason": "x", "clusters": ["u"] }] });
    let many: Vec<Value> = (0..1001).map(|n| json!(format!("10.0.{}.{}/32", n / 250, n % 250))).collect();
    let cases = [
        ("Rollout", object("Rollout", target.clone(), Value::Null)),
        ("Rollout", object("Rollout", json!({}), Value::Null)),
        (
            "Rollout",
            object("Rollout", with(target.clone(), "/direction", json!("sideways\u{1b}[2J")), Value::Null),
        ),
        (
            "Rollout",
            object("Rollout", target.clone(), json!({ "applied": { "digest": "x", "by": "a", "at": "b" } })),
        ),
        ("Rollout", object("Rollout", target, json!({ "wave": -1 }))),
        ("Rollout", json!({ "metadata": { "name": "x" } })),
        ("Rollout", json!([])),
        ("Evidence", object("Evidence", evidence.clone(), Value::Null)),
        (
            "Evidence",
            object("Evidence", with(evidence.clone(), "/trails/0/nodes", json!("0-2")), Value::Null),
        ),
        (
            "Evidence",
            object("Evidence", with(evidence.clone(), "/trails/0/ran", json!("1+99999999999")), Value::Null),
        ),
        ("Evidence", object("Evidence", with(evidence.clone(), "/nodes/0", json!("A\u{202e}")), Value::Null)),
        ("Evidence", object("Evidence", with(evidence, "/digest", json!("md5:1")), Value::Null)),
        ("Review", object("Review", review_spec(), Value::Null)),
        ("Review", object("Review", review_spec(), decided.clone())),
        ("Review", object("Review", review_spec(), with(decided, "/decisions/0/number", json!(2)))),
        ("Review", object("Review", with(review_spec(), "/grant/clusters", json!([])), Value::Null)),
        ("Review", object("Review", with(review_spec(), "/grant/ports/0/to", json!(1)), Value::Null)),
        ("Review", object("Review", with(review_spec(), "/grant/ports/0/to", json!(70_000)), Value::Null)),
        ("Review", object("Review", with(review_spec(), "/grant/destination", json!({})), Value::Null)),
        (
            "Review",
            object(
                "Review",
                with(review_spec(), "/grant/destination", json!({ "networks": many })),
                Value::Null,
            ),
        ),
        (
            "Review",
            object(
                "Review",
                with(review_spec(), "/grant/destination", json!({ "networks": ["10.0.0.0/99"] })),
                Value::Null,
            ),
        ),
        ("Hold", object("Hold", json!({ "by": "a", "reason": "r" }), Value::Null)),
        ("Hold", object("Hold", json!({ "by": "a", "reason": "r", "namespace": "shop" }), Value::Null)),
        (
            "Exclusion",
            object(
                "Exclusion",
                json!({ "by": "a", "reason": "r", "cluster": "c", "namespace": "n" }),
                Value::Null,
            ),
        ),
        (
            "Waiver",
            object(
                "Waiver",
                json!({ "by": "a", "reason": "r", "expires": "2026-06-01T00:00:00Z", "cluster": "c",
            "namespace": "n", "direction": "egress", "subject": { "quiet": true, "cronJob": "x" } }),
                Value::Null,
            ),
        ),
        (
            "Override",
            object(
                "Override",
                json!({ "by": "a", "reason": "r", "expires": "2026-06-01T00:00:00Z", "cluster": "c",
            "namespace": "n", "direction": "egress", "digest": format!("sha256:{}", "0".repeat(64)),
            "covers": ["owner gate"] }),
                Value::Null,
            ),
        ),
        (
            "JournalEntry",
            object(
                "JournalEntry",
                json!({ "number": 1, "previous": "0".repeat(64), "by": "a",
            "at": "2026-06-01T00:00:00Z", "act": "apply", "object": "x" }),
                Value::Null,
            ),
        ),
    ];
    let said: Vec<_> = cases.iter().map(|(kind, value)| read(kind, value)).collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// What passed a door that was open for a while: seeded past schema and admission.
#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_named_left_out_and_costs_no_other() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("written");
    let mut bad = Value::clone(&cluster.objects("sluice.dev/v1alpha1", "Review")[0]);
    bad["metadata"]["name"] = json!("review-bad\u{1b}[31m");
    bad["metadata"]["uid"] = json!("");
    bad["spec"]["grant"]["expires"] = json!("never");
    cluster.seed(bad);
    run_for(&mut ann, Duration::from_secs(2)).await;
    assert_eq!(ann.world().shared().reviews().len(), 1);
    let notices: Vec<_> = ann.world().notices().iter().map(|notice| notice.trouble.to_string()).collect();
    assert_eq!(
        notices,
        [
            "state cluster mgmt: Review review-bad\u{fffd}[31m: grant.expires is not a time: never. It is left out; look at it with kubectl."
        ]
    );
    assert_eq!(super::link(&ann), "live");
}

/// A review that was good and whose stamps are gone counts no longer.
#[tokio::test(start_paused = true)]
async fn an_object_that_turned_bad_no_longer_counts() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("written");
    assert_eq!(ann.world().shared().reviews().len(), 1);
    let mut bad = Value::clone(&cluster.objects("sluice.dev/v1alpha1", "Review")[0]);
    bad["status"] = json!({ "decisions": [{ "number": 1, "verdict": "approved", "decidedBy": "sue",
        "reason": "x", "clusters": ["uid-1"] }] });
    cluster.seed(bad);
    run_for(&mut ann, Duration::from_secs(2)).await;
    assert_eq!(ann.world().shared().reviews().len(), 0);
    assert_eq!(ann.world().notices().len(), 1);
}

/// The limits of [`Evidence`] are those of its definition.
#[test]
fn limits_agree_with_the_definition() {
    let text = std::fs::read_to_string("assets/crds/evidence.yaml").expect("the file");
    let definition: Value = serde_yaml::from_str(&text).expect("it is YAML");
    let spec =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert_eq!(spec["groups"]["maxItems"], json!(Evidence::GROUPS));
    assert_eq!(spec["restarts"]["maxItems"], json!(Evidence::RESTARTS));
}
