//! A Kyverno that scans in the background, once an hour: it takes the namespaces that a policy of the
//! team names, looks whether the asserted NetworkPolicy has its shape, and keeps one ClusterPolicyReport
//! a namespace. It knows these policies only, and not their language.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::api::{clock::Clock, cluster::Cluster, resources::Resource};

/// Which generation a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kyverno {
    /// 1.18 and later: both kinds are served.
    Validating,
    /// The same with `openreports.enabled`.
    OpenReports,
    /// Before 1.14.
    Legacy,
}

/// Both policies of the team, and the NetworkPolicy that each asserts.
const ASSERTED: [(&str, &str, &str); 2] = [
    ("sluice-default-deny-egress", "default-deny-egress", "egress"),
    ("sluice-default-deny-ingress", "default-deny-ingress", "ingress"),
];

impl Kyverno {
    pub fn resources(self) -> Vec<Resource> {
        let wide = |group: &str, version: &str, plural: &str, kind: &str| Resource {
            namespaced: false,
            ..Resource::custom(group, version, plural, kind)
        };
        let reports = match self {
            Self::OpenReports => wide("openreports.io", "v1alpha1", "clusterreports", "ClusterReport"),
            Self::Validating | Self::Legacy => {
                wide("wgpolicyk8s.io", "v1alpha2", "clusterpolicyreports", "ClusterPolicyReport")
            }
        };
        let mut all = vec![wide("kyverno.io", "v1", "clusterpolicies", "ClusterPolicy"), reports];
        if self != Self::Legacy {
            all.push(wide("policies.kyverno.io", "v1", "validatingpolicies", "ValidatingPolicy"));
        }
        all
    }

    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Validating | Self::OpenReports => ("policies.kyverno.io/v1", "ValidatingPolicy"),
            Self::Legacy => ("kyverno.io/v1", "ClusterPolicy"),
        }
    }

    fn reports(self) -> (&'static str, &'static str) {
        match self {
            Self::Validating | Self::Legacy => ("wgpolicyk8s.io/v1alpha2", "ClusterPolicyReport"),
            Self::OpenReports => ("openreports.io/v1alpha1", "ClusterReport"),
        }
    }

    /// The policy on a direction (`egress` or `ingress`) as somebody applied it after the last wave.
    pub fn policy(self, direction: &str, namespaces: &[&str]) -> Value {
        let (api_version, kind) = self.kind();
        let spec = match self {
            Self::Validating | Self::OpenReports => {
                let names: Vec<String> = namespaces.iter().map(|ns| format!("\"{ns}\"")).collect();
                let expression = format!("object.metadata.name in [{}]", names.join(", "));
                json!({ "matchConditions": [{ "name": "reached-by-the-rollout", "expression": expression }] })
            }
            Self::Legacy => json!({ "rules": [{
                "name": format!("default-deny-{direction}"),
                "match": { "any": [{ "resources": { "kinds": ["Namespace"], "names": namespaces } }] },
            }] }),
        };
        let name = format!("sluice-default-deny-{direction}");
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec })
    }
}

/// Scans now and once an hour, for as long as the cluster is there.
pub async fn keep(kyverno: Kyverno, server: &Cluster, clock: &Clock, speed: f64) {
    loop {
        scan(kyverno, server, clock.now());
        tokio::time::sleep(Duration::from_secs(3600).div_f64(speed)).await;
    }
}

/// One background scan.
pub fn scan(kyverno: Kyverno, server: &Cluster, now: DateTime<Utc>) {
    let ((api_version, kind), reports) = (kyverno.kind(), kyverno.reports());
    // openreports calls the message a description.
    let words = if kyverno == Kyverno::OpenReports { "description" } else { "message" };
    let policies = server.objects(api_version, kind);
    let denies = server.policies();
    for namespace in server.objects("v1", "Namespace") {
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let results: Vec<Value> = ASSERTED
            .iter()
            .filter(|(policy, ..)| {
                policies.iter().any(|one| one["metadata"]["name"] == *policy && names(one, name))
            })
            .map(|(policy, deny, section)| {
                let of_namespace = |one: &&std::sync::Arc<Value>| {
                    one["metadata"]["namespace"] == name && one["metadata"]["name"] == *deny
                };
                let found = denies.iter().find(of_namespace);
                let holds = found.is_some_and(|one| has_shape(&one["spec"], section));
                result(policy, holds, deny, (words, now))
            })
            .collect();
        if !results.is_empty() {
            server.seed(json!({
                "apiVersion": reports.0,
                "kind": reports.1,
                "metadata": {
                    "name": namespace["metadata"]["uid"],
                    "labels": { "app.kubernetes.io/managed-by": "kyverno" },
                },
                "scope": { "apiVersion": "v1", "kind": "Namespace", "name": name, "uid": namespace["metadata"]["uid"] },
                "results": results,
            }));
        }
    }
}

/// Does a policy name this namespace, in the form of either kind?
fn names(policy: &Value, namespace: &str) -> bool {
    let quoted = format!("\"{namespace}\"");
    let conditions = policy["spec"]["matchConditions"].as_array().into_iter().flatten();
    let listed = policy["spec"]["rules"][0]["match"]["any"][0]["resources"]["names"].as_array();
    conditions.filter_map(|one| one["expression"].as_str()).any(|text| text.contains(&quoted))
        || listed.into_iter().flatten().any(|one| one == namespace)
}

fn has_shape(spec: &Value, section: &str) -> bool {
    let is_empty = |value: &Value| {
        value.as_object().is_none_or(serde_json::Map::is_empty) && value.as_array().is_none_or(Vec::is_empty)
    };
    let selector = &spec["podSelector"];
    let types = spec["policyTypes"].as_array().into_iter().flatten();
    is_empty(&selector["matchLabels"])
        && is_empty(&selector["matchExpressions"])
        && types.filter_map(Value::as_str).any(|one| one.eq_ignore_ascii_case(section))
        && is_empty(&spec[section])
}

fn result(policy: &str, holds: bool, deny: &str, (words, now): (&str, DateTime<Utc>)) -> Value {
    let message = match holds {
        true => "success".to_owned(),
        false => format!("{deny} is not there, or it lets something pass."),
    };
    json!({
        "policy": policy,
        "rule": "",
        "result": if holds { "pass" } else { "fail" },
        words: message,
        "source": "KyvernoValidatingPolicy",
        "severity": "high",
        "properties": { "process": "background scan" },
        "timestamp": { "seconds": now.timestamp(), "nanos": 0 },
    })
}
