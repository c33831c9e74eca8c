//! Calico's staged policies of one API server: who serves them, following them, and the requests that
//! stage and unstage. Objects are created and deleted, never patched: Calico's own API server has not
//! taken server-side applies at all times (projectcalico/calico#4959), and what was created anew says
//! since when it stands.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    cockpit::{
        orders::{Answer, OrderId, Receipt},
        ports::{Change, ClusterFact, Fact, OrderFact, Trouble},
    },
    domain::{
        fleet::Part,
        flow::Direction,
        names::{ClusterName, NsName, Text},
        policy::{Pinned, Policy, PolicyKey, PolicyKind},
        shadow::{self, API_VERSION, KIND, PLURAL, RESOURCE, Staged, StagedSet},
        valve::{Step, shell_word},
    },
    manifest,
};

use super::{
    decode,
    failure::Failure,
    follow::{Watched, partial},
    place::Place,
    wire::{self, Call},
};

/// Where staged policies stand: of a namespace, or of all.
fn path(ns: Option<&NsName>) -> String {
    match ns {
        Some(ns) => format!("/apis/{API_VERSION}/namespaces/{ns}/{PLURAL}"),
        None => format!("/apis/{API_VERSION}/{PLURAL}"),
    }
}

/// A staged policy as it is sent: exactly the spec of the policy that it stands for, and the action.
pub fn manifest(policy: &Policy, ns: &NsName) -> Value {
    let mut spec: Map<String, Value> = serde_json::from_str(&policy.canonical).unwrap_or_default();
    spec.insert("stagedAction".to_owned(), json!("Set"));
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": policy.key.name.as_str(), "namespace": ns.as_str() },
        "spec": spec,
    })
}

/// Reads one. An action that is left out is `Set` (Calico's API reference).
pub fn decode(value: &Value) -> Result<Staged, Text> {
    let mut like = value.clone();
    let spec = like.get_mut("spec").and_then(Value::as_object_mut);
    let action = spec.and_then(|spec| spec.remove("stagedAction"));
    let policy = manifest::policy_of(PolicyKind::NetworkPolicy, &like)
        .map_err(|why| Text::from(format!("staged {why}")))?;
    let created = value.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    Ok(Staged {
        policy,
        deletes: action.is_some_and(|action| action != "Set"),
        created: created.and_then(decode::time),
    })
}

/// The staged policies of a cluster, as they are followed.
pub struct StagedPolicies;

impl Watched for StagedPolicies {
    type Wire = Value;
    type Seen = Staged;
    type Key = PolicyKey;
    type Told = Fact;
    fn name(&self) -> &'static str {
        "staged policies"
    }
    fn path(&self) -> String {
        path(None)
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &Value) -> (String, Option<String>) {
        let text = |field: &str| wire["metadata"][field].as_str().map(str::to_owned);
        let id = format!("{}/{}", text("namespace").unwrap_or_default(), text("name").unwrap_or_default());
        (id, text("resourceVersion"))
    }
    fn decode(&self, wire: &Value) -> Result<Staged, Text> {
        decode(wire)
    }
    fn key(&self, seen: Staged) -> PolicyKey {
        seen.policy.key
    }
    fn fact(&self, cluster: &ClusterName, change: Change<Staged, PolicyKey>) -> Fact {
        Fact::Cluster(cluster.clone(), ClusterFact::Staged(Some(change)))
    }
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Fact {
        partial(cluster, Part::Staged, trouble)
    }
    fn may_be_absent(&self) -> bool {
        true
    }
}

/// The staged policies of our names in a namespace.
pub async fn live(place: &Place, direction: Direction) -> Result<StagedSet, Failure> {
    #[derive(Deserialize)]
    struct List {
        items: Option<Vec<Value>>,
    }
    let list = place.server.ask::<List>(Call::get(path(Some(place.ns())))).await?;
    // One that cannot be read is none of ours, or is written anew.
    let all = list.items.into_iter().flatten().filter_map(|value| decode(&value).ok());
    let ours = all.filter_map(|staged| Some((staged.policy.pinned()?, staged)));
    Ok(ours
        .filter(|(pinned, _)| pinned.direction == direction)
        .map(|(pinned, staged)| (pinned.name, staged))
        .collect())
}

/// Creates one. The answer is the object as it is, or would be.
pub async fn create(place: &Place, policy: &Policy, dry_run: bool) -> Result<Staged, Failure> {
    let more = if dry_run { "&dryRun=All" } else { "" };
    let path = format!("{}?fieldManager={}{more}", path(Some(place.ns())), super::place::MANAGER);
    let call = Call::post(path, manifest(policy, place.ns()).to_string().into());
    let value = place.server.ask::<Value>(call).await?;
    decode(&value).map_err(|why| Failure::Foreign(Text::from(format!("the answer cannot be read: {why}"))))
}

pub async fn delete(place: &Place, pinned: &Pinned) -> Result<(), Failure> {
    let call = Call {
        method: http::Method::DELETE,
        path: format!("{}/{}", path(Some(place.ns())), pinned.name),
        accept: wire::JSON,
        body: None,
    };
    place.server.bytes(call).await.map(|_| ())
}

/// The object as people call it.
pub fn object(place: &Place, pinned: &Pinned) -> String {
    format!("{KIND} {}/{}", place.ns(), pinned.name)
}

pub fn create_command(place: &Place, policy: &Policy) -> String {
    let bytes = manifest(policy, place.ns()).to_string();
    format!("printf %s {} | kubectl --context {} create -f -", shell_word(&bytes), shell_word(&place.context))
}

pub fn delete_command(place: &Place, pinned: &Pinned) -> String {
    let context = shell_word(&place.context);
    format!("kubectl --context {context} delete {RESOURCE} {} -n {}", pinned.name, place.ns())
}

/// Whose receipts they are.
pub struct Teller<'a> {
    pub order: OrderId,
    pub report: &'a tokio::sync::mpsc::Sender<Fact>,
}

impl Teller<'_> {
    pub async fn tell(&self, place: &Place, step: Step, command: String, result: Answer) {
        let receipt = Receipt { order: self.order, target: place.target.clone(), step, command, result };
        // Nobody listens only when the program ends.
        let _ = self.report.send(Fact::Order(self.order, OrderFact::Wrote(receipt))).await;
    }
}

/// Deletes one and says what came of it. It isolates nobody: whatever comes of it stops nothing.
pub async fn unstage(place: &Place, pinned: &'static Pinned, teller: &Teller<'_>) -> Result<(), Trouble> {
    let (answer, result) = match delete(place, pinned).await {
        Ok(()) => (Answer::Done { version: None }, Ok(())),
        Err(failure) if failure.code() == Some(404) => (Answer::Unchanged, Ok(())),
        Err(failure) => {
            let trouble = failure.trouble(&object(place, pinned));
            let is_lost = failure.may_have_landed();
            let answer = if is_lost { Answer::Unsettled } else { Answer::Refused };
            (answer(trouble.clone()), Err(trouble))
        }
    };
    teller.tell(place, Step::Unstage(pinned), delete_command(place, pinned), answer).await;
    result
}

/// Takes away all that is staged of a direction; the first trouble. A server that does not serve the
/// kind, or does not let us look, has nothing for us to take away.
pub async fn remove_all(place: &Place, teller: &Teller<'_>) -> Option<Trouble> {
    let direction = place.target.direction;
    let staged = live(place, direction).await.ok()?;
    let mut first = None;
    for step in shadow::removal(&staged, direction) {
        if let Err(trouble) = unstage(place, step.pinned(), teller).await {
            first.get_or_insert(trouble);
        }
    }
    // One that was refused or lost may be gone all the same.
    let all_gone = live(place, direction).await.is_ok_and(|left| left.is_empty());
    first.filter(|_| !all_gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(spec: &Value) -> Value {
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "StagedKubernetesNetworkPolicy",
            "metadata": { "name": "default-deny-egress", "namespace": "shop",
                          "creationTimestamp": "2026-03-02T09:00:00Z" },
            "spec": spec,
        })
    }

    /// Written by hand from Calico's API reference: the NetworkPolicy's spec, and `stagedAction`.
    #[test]
    fn what_is_sent_is_the_spec_of_the_policy_and_the_action() {
        let policy = json!({
            "metadata": { "name": "egress-allowlist", "namespace": "shop", "labels": { "a": "b" } },
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "ports": [{ "port": 53 }] }] },
        });
        let policy = manifest::policy_of(PolicyKind::NetworkPolicy, &policy).expect("a policy");
        let sent = manifest(&policy, &NsName::parse("shop").expect("valid"));
        let expected = json!({
            "apiVersion": "projectcalico.org/v3", "kind": "StagedKubernetesNetworkPolicy",
            "metadata": { "name": "egress-allowlist", "namespace": "shop" },
            "spec": {
                "stagedAction": "Set", "podSelector": {}, "policyTypes": ["Egress"],
                "egress": [{ "ports": [{ "port": 53, "protocol": "TCP" }] }],
            },
        });
        assert_eq!(sent, expected);
        let back = decode(&sent).expect("it reads back");
        assert_eq!((&back.policy.canonical, back.deletes), (&policy.canonical, false));
    }

    #[test]
    fn an_action_that_is_left_out_sets_and_any_other_does_not() {
        let spec = json!({ "podSelector": {}, "policyTypes": ["Egress"] });
        let read = |action: Value| {
            let mut spec = spec.clone();
            spec["stagedAction"] = action;
            decode(&value(&spec)).expect("it reads").deletes
        };
        let plain = decode(&value(&spec)).expect("it reads");
        assert!(!plain.deletes);
        assert_eq!(plain.created.map(|at| at.to_rfc3339()).as_deref(), Some("2026-03-02T09:00:00+00:00"));
        assert_eq!([json!("Set"), json!("Delete"), json!("Learn")].map(read), [false, true, true]);
    }
}
