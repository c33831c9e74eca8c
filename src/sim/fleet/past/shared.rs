//! The team's state cluster as days of work left it: records of rows, their evidence, reviews with
//! decisions, holds, and a journal whose entries are chained. Digests are made of what the simulated
//! API servers hold; digests and hashes are written after their descriptions, not by the product's code.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    HoldSpec, ReviewSpec, RowSpec,
    evidence::{self, stamp},
    hours_before,
};
use crate::sim::{
    api::cluster::Cluster,
    fleet::{
        people::Person,
        plan::hash64,
        running::Member,
        scenario::{External, Scenario},
        shared_state::NAMESPACE,
        workspace::PINNED,
    },
};

const API: &str = "sluice.dev/v1alpha1";
/// Credited hours that make a soak clean.
const SOAK: i64 = 48;

/// Puts everything into the state cluster. Rows that are not taken back are live already.
pub fn seed(scenario: &Scenario, members: &[Member], start: DateTime<Utc>) {
    let past = &scenario.past;
    let Some(state) = members.iter().find(|member| member.spec().state) else { return };
    let server = state.server();
    let mut journal = Journal::default();
    for row in &past.rows {
        let Some(member) = members.iter().find(|member| member.name() == row.cluster) else { continue };
        for namespace in &row.namespaces {
            let one = Row { scenario, member, row, namespace, start };
            one.seed(server, &mut journal);
        }
    }
    for review in &past.reviews {
        let asked = Asked { scenario, members, review, start };
        server.seed(asked.object(&mut journal));
    }
    past.holds.iter().for_each(|hold| server.seed(hold_object(hold, start, &mut journal)));
    journal.entries().into_iter().for_each(|entry| server.seed(entry));
}

struct Row<'a> {
    scenario: &'a Scenario,
    member: &'a Member,
    row: &'a RowSpec,
    namespace: &'a str,
    start: DateTime<Utc>,
}

impl Row<'_> {
    fn seed(&self, server: &Cluster, journal: &mut Journal) {
        let live = self.live();
        let was = if live.is_empty() { self.authored() } else { live };
        let (digest, uid) = (digest(&was), uid(self.member));
        let applied = hours_before(self.start, self.row.applied_hours_ago);
        let (cluster, ns, direction) = (&self.row.cluster, self.namespace, self.row.direction.as_str());
        let name = format!("{cluster}.{ns}.{direction}");
        let spec = json!({ "cluster": cluster, "namespace": ns, "direction": direction });
        let mut status = json!({
            "clusterUid": uid, "wave": self.row.wave, "overridden": false,
            "applied": { "digest": digest, "by": Person::Lead.name(), "at": stamp(applied) },
        });
        let object = format!("{cluster}/{ns} {direction}");
        journal.note(
            applied,
            Person::Lead,
            "apply",
            &object,
            &[&format!("digest: {digest}"), "outcome: done"],
        );
        if let Some(back) = &self.row.rolled_back {
            let at = hours_before(self.start, back.hours_ago);
            status["rolledBack"] = json!({
                "by": Person::OnCall.name(), "at": stamp(at), "reason": back.reason,
                "recovered": stamp(at + Duration::minutes(7)),
            });
            let reason = format!("reason: {}", back.reason);
            journal.note(at, Person::OnCall, "rollback", &object, &[&reason, "outcome: done"]);
        } else {
            if let Some(at) = self.clean_since(applied) {
                let manifests: Map<String, Value> = was
                    .iter()
                    .map(|policy| (name_of(policy).to_owned(), manifest(policy).to_string().into()))
                    .collect();
                status["clean"] = json!({ "digest": digest, "at": stamp(at), "manifests": manifests });
            }
            let evidence = evidence::Row {
                scenario: self.scenario,
                plan: self.member.plan(),
                spec: self.row,
                namespace: self.namespace,
                uid: &uid,
                digest: &digest,
                start: self.start,
            };
            server.seed(object_of("Evidence", &name, applied, &evidence.spec()));
        }
        let mut rollout = object_of("Rollout", &name, applied, &spec);
        rollout["status"] = status;
        server.seed(rollout);
    }

    /// Its policies as the API server of its cluster holds them.
    fn live(&self) -> Vec<Value> {
        let all = self.member.server().policies();
        let ours = all.iter().filter(|policy| {
            policy["metadata"]["namespace"] == self.namespace
                && name_of(policy).contains(self.row.direction.as_str())
        });
        ours.map(|policy| Value::clone(policy)).collect()
    }

    /// What was applied, of a row that is no longer there.
    fn authored(&self) -> Vec<Value> {
        let texts = PINNED
            .iter()
            .filter(|name| name.contains(self.row.direction.as_str()))
            .map(|name| crate::sim::fleet::workspace::policy(self.member.plan(), self.namespace, name));
        texts.map(|text| serde_yaml::from_str(&text).expect("the workspace's own texts are YAML")).collect()
    }

    /// When the last of its credited minutes was over, if nothing was denied and no minute is missing.
    fn clean_since(&self, applied: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = applied + Duration::hours(SOAK);
        let only_expected = self.row.denied.iter().all(|denied| self.is_rejected(&denied.to));
        (at < self.start && only_expected && self.row.silent.is_none()).then_some(at)
    }

    fn is_rejected(&self, external: &str) -> bool {
        let rejected = |review: &&ReviewSpec| {
            review.decision.as_ref().is_some_and(|decision| decision.verdict == "rejected")
        };
        self.scenario.past.reviews.iter().filter(rejected).any(|review| {
            review.to == external
                && review.namespace == self.namespace
                && review.clusters.contains(&self.row.cluster)
        })
    }
}

fn name_of(policy: &Value) -> &str {
    policy["metadata"]["name"].as_str().unwrap_or_default()
}

/// A policy as somebody would apply it.
fn manifest(policy: &Value) -> Value {
    json!({
        "apiVersion": policy["apiVersion"], "kind": policy["kind"],
        "metadata": { "name": policy["metadata"]["name"], "namespace": policy["metadata"]["namespace"] },
        "spec": policy["spec"],
    })
}

/// SHA-256 over kind, name and spec of each policy by name, each with its length before it as 8
/// bytes; a spec is JSON with sorted keys, without empty lists.
pub fn digest(policies: &[Value]) -> String {
    let mut sorted: Vec<&Value> = policies.iter().collect();
    sorted.sort_by_key(|policy| name_of(policy));
    let mut hash = Sha256::new();
    for policy in sorted {
        let kind = policy["kind"].as_str().unwrap_or_default();
        put(&mut hash, kind.as_bytes());
        put(&mut hash, name_of(policy).as_bytes());
        put(&mut hash, without_empty_lists(&policy["spec"]).to_string().as_bytes());
    }
    format!("sha256:{}", hex(hash))
}

/// Maps of JSON values are sorted by key.
fn without_empty_lists(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let full = map.iter().filter(|(_, value)| !value.as_array().is_some_and(Vec::is_empty));
            Value::Object(full.map(|(key, value)| (key.clone(), without_empty_lists(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_empty_lists).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of the cluster's kube-system namespace.
fn uid(member: &Member) -> String {
    let all = member.server().objects("v1", "Namespace");
    let found = all.iter().find(|ns| ns["metadata"]["name"] == "kube-system");
    found.and_then(|ns| ns["metadata"]["uid"].as_str()).unwrap_or_default().to_owned()
}

struct Asked<'a> {
    scenario: &'a Scenario,
    members: &'a [Member],
    review: &'a ReviewSpec,
    start: DateTime<Utc>,
}

impl Asked<'_> {
    fn object(&self, journal: &mut Journal) -> Value {
        let (review, at) = (self.review, hours_before(self.start, self.review.asked_hours_ago));
        let ours = self.members.iter().filter(|member| review.clusters.iter().any(|it| it == member.name()));
        let mut uids: Vec<String> = ours.map(uid).collect();
        uids.sort();
        let external = self.scenario.externals.iter().find(|external| external.name == review.to);
        let port = external.map_or(443, |external| external.port);
        let spec = json!({
            "requestedBy": Person::Lead.name(),
            "grant": {
                "clusters": uids, "namespace": review.namespace, "direction": "egress",
                "destination": external.map_or(Value::Null, |external| destination(external, review.by_address)),
                "ports": [{ "protocol": "TCP", "from": port, "to": port }],
                "expires": stamp(self.start + Duration::days(review.expires_in_days)),
            },
            "findings": review.findings,
            "purpose": review.purpose,
        });
        let name = aged("review", at, &format!("{}/{}", review.namespace, review.to));
        let mut object = object_of("Review", &name, at, &spec);
        if let Some(decision) = &review.decision {
            let at = hours_before(self.start, decision.hours_ago);
            let mut made = json!({
                "number": 1, "verdict": decision.verdict, "decidedBy": Person::Security.name(),
                "reason": decision.reason, "clusters": uids,
            });
            if let Some(ticket) = &decision.ticket {
                made["ticket"] = ticket.as_str().into();
            }
            let mut owned: Map<String, Value> = made
                .as_object()
                .into_iter()
                .flatten()
                .map(|(field, _)| (format!("f:{field}"), json!({})))
                .collect();
            owned.insert(".".to_owned(), json!({}));
            let fields = json!({ "f:status": { "f:decisions": { "k:{\"number\":1}": owned } } });
            object["status"] = json!({ "decisions": [made] });
            object["metadata"]["managedFields"] = json!([
                managed("sluice", "Update", at_of(&object), &json!({ "f:spec": {} }), None),
                managed("sluice/security", "Apply", &stamp(at), &fields, Some("status")),
            ]);
            let said = format!("{}: {}", decision.verdict, decision.reason);
            journal.note(at, Person::Security, "decision", &format!("review {name}"), &[&said]);
        }
        object
    }
}

fn at_of(object: &Value) -> &str {
    object["metadata"]["creationTimestamp"].as_str().unwrap_or_default()
}

fn managed(manager: &str, operation: &str, at: &str, fields: &Value, part: Option<&str>) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": API, "time": at,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if let Some(part) = part {
        entry["subresource"] = part.into();
    }
    entry
}

fn destination(external: &External, by_address: bool) -> Value {
    match external.host.as_ref().filter(|_| !by_address) {
        Some(host) => json!({ "name": host }),
        None => {
            let networks: Vec<String> =
                external.addresses.iter().map(|address| format!("{address}/32")).collect();
            json!({ "networks": networks })
        }
    }
}

fn hold_object(hold: &HoldSpec, start: DateTime<Utc>, journal: &mut Journal) -> Value {
    let at = hours_before(start, hold.hours_ago);
    let mut spec = json!({
        "by": hold.by, "reason": hold.reason, "cluster": hold.cluster,
        "expires": stamp(start + Duration::hours(hold.expires_in_hours)),
    });
    let mut object = hold.cluster.clone();
    if let Some(ns) = &hold.namespace {
        spec["namespace"] = ns.as_str().into();
        object = format!("{object}/{ns}");
    }
    let (kind, prefix) = if hold.exclusion { ("Exclusion", "exclusion") } else { ("Hold", "hold") };
    let by = if hold.by == Person::OnCall.name() { Person::OnCall } else { Person::Lead };
    journal.note(at, by, "hold", &object, &[&format!("{prefix}: {}", hold.reason)]);
    object_of(kind, &aged(prefix, at, &object), at, &spec)
}

/// `review-20261123t120030-0123456789`: sorts by age.
fn aged(prefix: &str, at: DateTime<Utc>, says: &str) -> String {
    let hash = format!("{:016x}", hash64(&format!("{prefix}/{says}")));
    format!("{prefix}-{}-{}", at.format("%Y%m%dt%H%M%S"), &hash[..10])
}

fn object_of(kind: &str, name: &str, at: DateTime<Utc>, spec: &Value) -> Value {
    json!({
        "apiVersion": API, "kind": kind,
        "metadata": {
            "name": name, "namespace": NAMESPACE, "creationTimestamp": stamp(at), "generation": 1,
            "labels": { "app.kubernetes.io/part-of": "sluice" },
        },
        "spec": spec,
    })
}

/// What was done, in the order of time.
#[derive(Default)]
struct Journal(BTreeMap<(DateTime<Utc>, usize), Entry>);

struct Entry {
    by: &'static str,
    act: &'static str,
    object: String,
    facts: Vec<String>,
}

impl Journal {
    fn note(&mut self, at: DateTime<Utc>, by: Person, act: &'static str, object: &str, facts: &[&str]) {
        let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
        let entry = Entry { by: by.name(), act, object: object.to_owned(), facts };
        self.0.insert((at, self.0.len()), entry);
    }

    /// Each entry names the SHA-256 of the one before it: number, that hash, who, microseconds since
    /// 1970, act, object, how many facts and the facts, each with its length before it.
    fn entries(&self) -> Vec<Value> {
        let mut previous = [0_u8; 32];
        let entry = |(number, ((at, _), entry)): (u64, (&(DateTime<Utc>, usize), &Entry))| {
            let named: String = previous.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut hash = Sha256::new();
            put(&mut hash, &number.to_be_bytes());
            put(&mut hash, &previous);
            put(&mut hash, entry.by.as_bytes());
            put(&mut hash, &at.timestamp_micros().to_be_bytes());
            put(&mut hash, entry.act.as_bytes());
            put(&mut hash, entry.object.as_bytes());
            put(&mut hash, &(entry.facts.len() as u64).to_be_bytes());
            entry.facts.iter().for_each(|fact| put(&mut hash, fact.as_bytes()));
            previous = hash.finalize().into();
            let spec = json!({
                "number": number, "previous": named, "by": entry.by, "at": stamp(*at), "act": entry.act,
                "object": entry.object, "facts": entry.facts,
            });
            object_of("JournalEntry", &format!("entry-{number:09}"), *at, &spec)
        };
        (1..).zip(&self.0).map(entry).collect()
    }
}
