//! Namespaces, pods and policies as the API server sends them, slim, into domain values. Pure and
//! total: what is missing becomes `None`; one bad object is a sentence and never costs the others.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{
        fleet::{NamespaceSeen, Pod},
        names::{NodeName, NsName, PodName, Text, Workload},
        policy::{Labels, Policy, PolicyKind},
        time::Timestamp,
    },
    manifest,
};

/// The part of an object's metadata that sluice reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub deletion_timestamp: Option<String>,
    pub owner_references: Option<Vec<Owner>>,
}

impl Meta {
    /// `namespace/name` and the version.
    pub fn head(&self) -> (String, Option<String>) {
        (format!("{}/{}", self.namespace, self.name), Some(self.resource_version.clone()))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    pub kind: String,
    pub name: String,
    pub controller: Option<bool>,
}

/// Any object of which only the metadata matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MetaOnly {
    pub metadata: Meta,
}

/// A pod, slim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodWire {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub node_name: Option<String>,
    pub host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: String,
    pub start_time: Option<String>,
    pub conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub last_transition_time: Option<String>,
}

pub fn namespace(meta: &Meta) -> Result<NamespaceSeen, Text> {
    Ok(NamespaceSeen {
        name: NsName::parse(&meta.name).map_err(|bad| Text::from(format!("a namespace: {bad}")))?,
        labels: labels(meta),
        owner: annotation(meta, "owner"),
        contact: annotation(meta, "contact"),
        terminating: meta.deletion_timestamp.is_some(),
    })
}

pub fn pod(wire: &PodWire) -> Result<Pod, Text> {
    let meta = &wire.metadata;
    let bad = |bad| Text::from(format!("a pod: {bad}"));
    let ready = wire.status.conditions.iter().flatten().find(|c| c.r#type == "Ready" && c.status == "True");
    Ok(Pod {
        ns: NsName::parse(&meta.namespace).map_err(bad)?,
        name: PodName::parse(&meta.name).map_err(bad)?,
        labels: labels(meta),
        workload: workload(meta),
        node: wire.spec.node_name.as_deref().and_then(|name| NodeName::parse(name).ok()),
        host_network: wire.spec.host_network,
        finished: matches!(wire.status.phase.as_str(), "Succeeded" | "Failed"),
        started: wire.status.start_time.as_deref().and_then(time),
        ready: ready.and_then(|c| c.last_transition_time.as_deref()).and_then(time),
    })
}

/// The workload a person knows: a ReplicaSet's Deployment, a Job's CronJob, else the controller
/// itself, else the pod.
fn workload(meta: &Meta) -> Workload {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)).or(owners.first()) else {
        return Workload::new("Pod", &meta.name);
    };
    match (owner.kind.as_str(), owner.name.rsplit_once('-')) {
        ("ReplicaSet", Some((name, hash))) if is_template_hash(meta, hash) => {
            Workload::new("Deployment", name)
        }
        ("Job", Some((name, suffix))) if is_scheduled_minute(suffix) => Workload::new("CronJob", name),
        (kind, _) => Workload::new(kind, &owner.name),
    }
}

fn is_template_hash(meta: &Meta, hash: &str) -> bool {
    let label = meta.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    label.map_or((6..=10).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_alphanumeric()), |l| {
        l == hash
    })
}

/// A CronJob names its Jobs by the scheduled minute since the epoch; a date such as 20261123 is none.
fn is_scheduled_minute(suffix: &str) -> bool {
    suffix.parse::<u64>().is_ok_and(|minute| (25_000_000..100_000_000).contains(&minute))
}

pub fn policy(kind: PolicyKind, value: &Value) -> Result<Policy, Text> {
    manifest::policy_of(kind, value)
}

pub fn labels(meta: &Meta) -> Labels {
    let pairs = meta.labels.iter().flatten();
    Labels::new(pairs.map(|(key, value)| (CompactString::new(key), CompactString::new(value))).collect())
}

/// An annotation by the last part of its key, whatever prefix an organisation uses.
fn annotation(meta: &Meta, name: &str) -> Option<Text> {
    let mut annotations = meta.annotations.iter().flatten();
    let found = annotations.find(|(key, value)| {
        let last = key.rsplit_once('/').map_or(key.as_str(), |(_, last)| last);
        last == name && !value.trim().is_empty()
    });
    found.map(|(_, value)| Text::new(value.trim()))
}

pub fn time(raw: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(raw).ok().map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_belongs_to_the_workload_a_person_knows() {
        for (kind, name, workload) in [
            ("ReplicaSet", "api-7d9c5b8f6d", "Deployment/api"),
            ("ReplicaSet", "api", "ReplicaSet/api"),
            ("Job", "report-29123456", "CronJob/report"),
            ("Job", "migrate-20261123", "Job/migrate-20261123"),
            ("StatefulSet", "db", "StatefulSet/db"),
            ("DaemonSet", "agent", "DaemonSet/agent"),
        ] {
            let wire: PodWire = serde_json::from_value(json!({
                "metadata": { "name": "p", "namespace": "shop",
                    "ownerReferences": [{ "kind": kind, "name": name, "controller": true }] }
            }))
            .expect("a pod");
            assert_eq!(format!("{:?}", pod(&wire).expect("a pod").workload), workload);
        }
        let bare: PodWire =
            serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "shop" } }))
                .expect("a pod");
        assert_eq!(format!("{:?}", pod(&bare).expect("a pod").workload), "Pod/p");
    }

    #[test]
    fn a_pod_is_read_slim_and_its_strings_are_made_safe() {
        let wire: PodWire = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "shop", "labels": { "app": "api" }, "managedFields": [{}] },
            "spec": { "nodeName": "n1", "hostNetwork": true, "containers": [{ "name": "c" }] },
            "status": { "phase": "Succeeded", "startTime": "2026-11-23T10:00:00Z",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T10:00:05Z" }] }
        }))
        .expect("a pod");
        let pod = pod(&wire).expect("a pod");
        assert_eq!(pod.labels.get("app"), Some("api"));
        assert!(pod.host_network && pod.finished);
        assert_eq!((pod.ready.zip(pod.started)).map(|(r, s)| (r - s).num_seconds()), Some(5));
    }

    #[test]
    fn owners_come_from_annotations_of_any_prefix() {
        let meta: Meta = serde_json::from_value(json!({ "name": "shop", "annotations": {
            "acme.example/owner": "Team \u{1b}[2J Shop", "contact": "#shop" }, "deletionTimestamp": "2026-11-23T10:00:00Z" }))
        .expect("metadata");
        let seen = namespace(&meta).expect("a namespace");
        assert_eq!(seen.owner.expect("an owner").as_str(), "Team \u{fffd}[2J Shop");
        assert_eq!(seen.contact.expect("a contact").as_str(), "#shop");
        assert!(seen.terminating);
        assert!(namespace(&Meta { name: "A B".to_owned(), ..Meta::default() }).is_err());
    }
}
