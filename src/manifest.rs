//! Policy objects as JSON and YAML: to [`Policy`] and back. Pure; reads no file and asks nobody.
//!
//! The canonical spec is what digests, diffs and drift compare. A file and the server's answer to
//! it give the same text: keys sorted, the server's defaults filled in, empty lists and nulls gone.

pub mod around;
pub mod cluster;
pub mod foreign;
mod opened;
mod rules;
pub mod ways;
pub mod written;

use std::sync::Arc;

use compact_str::CompactString;
use serde_json::{Map, Value, json};

use crate::domain::{
    flow::Direction,
    names::{NsName, PolicyName, Text},
    owner::{Marks, Owner},
    policy::{Body, Labels, Pinned, Policy, PolicyKey, PolicyKind, Requirement, Rule, Selector, Spec},
};

/// Longest canonical spec taken in. etcd refuses objects beyond 1.5 MiB by default.
pub const SPEC_LIMIT: usize = 1_572_864;

/// Reads a policy object that says its own kind, from the API server or from a file.
///
/// The namespace is what `metadata.namespace` says; `None` where it says nothing. Errors name the
/// object and the field.
pub fn policy(value: &Value) -> Result<Policy, Text> {
    let object = value.as_object().ok_or_else(|| Text::new("this is not a Kubernetes object"))?;
    let kind = string(object, "kind").ok_or_else(|| Text::new("the object has no kind"))?;
    let Some(kind) = PolicyKind::parse(kind) else {
        return Err(Text::from(format!("{} is not a kind of policy that sluice knows", Text::new(kind))));
    };
    let version = string(object, "apiVersion").unwrap_or_default();
    if version != kind.api_version() {
        return Err(Text::from(format!(
            "apiVersion {:?} of a {kind} must be {}",
            Text::new(version),
            kind.api_version()
        )));
    }
    policy_of(kind, value)
}

/// Reads a policy object of a known kind: items of a built-in list carry no kind.
pub fn policy_of(kind: PolicyKind, value: &Value) -> Result<Policy, Text> {
    let nothing = Map::new();
    let metadata = value.get("metadata").and_then(Value::as_object).unwrap_or(&nothing);
    let name = PolicyName::parse(string(metadata, "name").unwrap_or_default())
        .map_err(|bad| Text::from(format!("{kind}: metadata.name: {bad}")))?;
    let ns = string(metadata, "namespace")
        .filter(|_| kind != PolicyKind::CiliumClusterwideNetworkPolicy)
        .map(NsName::parse)
        .transpose()
        .map_err(|bad| Text::from(format!("{kind} {name}: metadata.namespace: {bad}")))?;
    let key = PolicyKey { ns, kind, name };
    let (spec, canonical) = spec(kind, value).map_err(|why| Text::from(format!("{key}: {why}")))?;
    let network = rules::network(&spec);
    let opens = opened::of(kind, network.as_ref(), &canonical);
    let canonical = canonical.to_string();
    if canonical.len() > SPEC_LIMIT {
        return Err(Text::from(format!(
            "{key}: its spec has {} bytes, the limit is {SPEC_LIMIT}",
            canonical.len()
        )));
    }
    Ok(Policy {
        key,
        body: Body { spec, canonical: canonical.into(), opens, network }.into(),
        version: string(metadata, "resourceVersion").map(CompactString::new),
        marks: Arc::new(Marks { managers: managers(metadata), owner: owner_mark(metadata) }),
    })
}

/// YAML for diffs and files: keys sorted, strings quoted where a YAML 1.1 reader would misread them.
pub fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// The spec of a policy as YAML, for diffs.
pub fn spec_yaml(policy: &Policy) -> String {
    serde_json::from_str::<Value>(&policy.canonical)
        .map_or_else(|_| policy.canonical.to_string(), |spec| yaml(&spec))
}

/// The valve with one rule that allows everything: `like` gives the metadata, so that an open valve
/// carries the same labels as the tight one.
pub fn opened(valve: &Pinned, ns: &NsName, like: Option<&Value>) -> Value {
    let nothing = Value::Null;
    let from = like.and_then(|value| value.get("metadata")).unwrap_or(&nothing);
    let mut metadata = Map::new();
    for field in ["labels", "annotations"] {
        if let Some(kept) = from.get(field).filter(|kept| kept.is_object()) {
            metadata.insert(field.to_owned(), kept.clone());
        }
    }
    metadata.insert("name".to_owned(), json!(valve.name));
    metadata.insert("namespace".to_owned(), json!(ns.as_str()));
    json!({
        "apiVersion": valve.kind.api_version(),
        "kind": valve.kind.as_str(),
        "metadata": metadata,
        "spec": open_spec(valve.direction),
    })
}

fn open_spec(direction: Direction) -> Value {
    let (field, policy_type) = fields(direction);
    json!({ "podSelector": {}, "policyTypes": [policy_type], field: [{}] })
}

/// The manifest with these rules of a direction instead of its own.
pub fn with_rules(manifest: &Value, direction: Direction, rules: &[Rule]) -> Value {
    let mut out = manifest.clone();
    let rules: Vec<Value> = rules.iter().filter_map(|rule| serde_json::from_str(&rule.0).ok()).collect();
    if let Some(spec) = out.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(fields(direction).0.to_owned(), Value::Array(rules));
    }
    out
}

/// The tool that owns the object and may undo an edit, by its marks. Tracking marks come before
/// names that anybody may write.
pub fn owner_mark(metadata: &Map<String, Value>) -> Option<Owner> {
    let annotation = |key: &str| metadata.get("annotations")?.get(key)?.as_str();
    let label = |key: &str| metadata.get("labels")?.get(key)?.as_str();
    let either = |key: &str| annotation(key).or_else(|| label(key));
    let text = |raw: Option<&str>| Text::new(raw.unwrap_or("?"));
    let owner = if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        Owner::ArgoCd { application: text(id.split(':').next()) }
    } else if let Some(name) = label("kustomize.toolkit.fluxcd.io/name") {
        let ns = text(label("kustomize.toolkit.fluxcd.io/namespace"));
        Owner::FluxKustomization { ns, name: Text::new(name) }
    } else if let Some(name) = label("helm.toolkit.fluxcd.io/name") {
        let ns = text(label("helm.toolkit.fluxcd.io/namespace"));
        Owner::FluxHelmRelease { ns, name: Text::new(name) }
    } else if let Some(release) = annotation("meta.helm.sh/release-name") {
        Owner::Helm { release: Text::new(release) }
    } else if let Some(manager) = label("app.kubernetes.io/managed-by").filter(|by| known_manager(by)) {
        Owner::Tool(Text::new(manager))
    } else if let Some(kind) = controller(metadata) {
        Owner::Tool(Text::from(format!("its controller {kind}")))
    } else if either("objectset.rio.cattle.io/id")
        .or_else(|| either("objectset.rio.cattle.io/hash"))
        .is_some()
    {
        Owner::Tool(Text::new("Rancher (objectset.rio.cattle.io)"))
    } else if either("configmanagement.gke.io/managed").is_some() {
        Owner::Tool(Text::new("Config Sync"))
    } else if either("hnc.x-k8s.io/inherited-from").is_some() {
        Owner::Tool(Text::new("Hierarchical Namespaces (inherited)"))
    } else {
        Owner::ArgoCd { application: Text::new(label("argocd.argoproj.io/instance")?) }
    };
    Some(owner)
}

fn known_manager(by: &str) -> bool {
    ["Helm", "kyverno", "terraform", "pulumi"].iter().any(|known| known.eq_ignore_ascii_case(by))
}

fn controller(metadata: &Map<String, Value>) -> Option<String> {
    let owners = metadata.get("ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    Some(format!("{}/{}", owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?))
}

/// Who wrote `spec`, newest first. Absence proves nothing: managedFields may have been stripped.
fn managers(metadata: &Map<String, Value>) -> Vec<Text> {
    let Some(entries) = metadata.get("managedFields").and_then(Value::as_array) else { return Vec::new() };
    let mut writers: Vec<(&str, &str)> = entries
        .iter()
        .filter(|entry| entry.pointer("/fieldsV1/f:spec").is_some())
        .filter_map(|entry| {
            Some((entry.get("time").and_then(Value::as_str).unwrap_or(""), entry.get("manager")?.as_str()?))
        })
        .collect();
    // RFC 3339 times of one server, all in UTC, sort as text.
    writers.sort_by(|a, b| b.0.cmp(a.0));
    let mut out = Vec::new();
    for (_, manager) in writers {
        let manager = Text::new(manager);
        if !out.contains(&manager) {
            out.push(manager);
        }
    }
    out
}

fn spec(kind: PolicyKind, value: &Value) -> Result<(Spec, Value), String> {
    match kind {
        PolicyKind::NetworkPolicy => {
            let canonical = canonical_network(value.get("spec").unwrap_or(&Value::Null))?;
            Ok((network(&canonical)?, canonical))
        }
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            Ok((Spec::Opaque, canonical_cilium(value)?))
        }
    }
}

/// Cilium takes `spec`, `specs` or both. An empty list says something there, so only nulls go.
fn canonical_cilium(value: &Value) -> Result<Value, String> {
    let part = |field: &str| value.get(field).filter(|part| !part.is_null()).map(without_nulls);
    match (part("spec"), part("specs")) {
        (Some(spec), None) => Ok(spec),
        (None, Some(specs)) => Ok(json!({ "specs": specs })),
        (Some(spec), Some(specs)) => Ok(json!({ "spec": spec, "specs": specs })),
        (None, None) => Err("it has neither spec nor specs".to_owned()),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A NetworkPolicySpec with the server's defaults: `podSelector`, `policyTypes` (a set, sorted) and
/// `protocol`. `networking.k8s.io/v1`, SetDefaults_NetworkPolicy.
fn canonical_network(spec: &Value) -> Result<Value, String> {
    let mut out = match tidied(spec, "spec")? {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err("spec is not an object".to_owned());
        }
    };
    out.entry("podSelector").or_insert_with(|| json!({}));
    for field in ["egress", "ingress"] {
        for rule in out.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(port) = port.as_object_mut() {
                    port.entry("protocol").or_insert_with(|| json!("TCP"));
                }
            }
        }
    }
    let types = match out.get("policyTypes") {
        Some(Value::Array(list)) => {
            let mut types: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            types.sort_unstable();
            types.dedup();
            json!(types)
        }
        Some(_) => return Err("spec.policyTypes is not a list".to_owned()),
        None if out.contains_key("egress") => json!(["Egress", "Ingress"]),
        None => json!(["Ingress"]),
    };
    out.insert("policyTypes".to_owned(), types);
    Ok(Value::Object(out))
}

/// Without nulls, empty lists and empty `matchLabels`. A null inside a list is an error: the server
/// would read it as an empty rule, which allows everything.
fn tidied(value: &Value, path: &str) -> Result<Value, String> {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                let value = tidied(value, &format!("{path}.{key}"))?;
                let says_nothing = match &value {
                    Value::Null => true,
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty() && key == "matchLabels",
                    Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
                };
                if !says_nothing {
                    out.insert(key.clone(), value);
                }
            }
            Ok(Value::Object(out))
        }
        Value::Array(list) => {
            let mut out = Vec::with_capacity(list.len());
            for (i, value) in list.iter().enumerate() {
                if value.is_null() {
                    return Err(format!(
                        "{path}[{i}] is empty: write {{}} for a rule that allows everything"
                    ));
                }
                out.push(tidied(value, &format!("{path}[{i}]"))?);
            }
            Ok(Value::Array(out))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
    }
}

fn network(canonical: &Value) -> Result<Spec, String> {
    let selector = selector(&canonical["podSelector"], "spec.podSelector")?;
    Ok(Spec::Network {
        selector,
        egress: rules(canonical, Direction::Egress)?,
        ingress: rules(canonical, Direction::Ingress)?,
    })
}

/// `None`: the direction is not among the policy types, whatever rules stand there.
fn rules(canonical: &Value, direction: Direction) -> Result<Option<Vec<Rule>>, String> {
    let (field, policy_type) = fields(direction);
    let types = canonical["policyTypes"].as_array();
    if !types.is_some_and(|types| types.iter().any(|t| t == policy_type)) {
        return Ok(None);
    }
    match canonical.get(field) {
        None => Ok(Some(Vec::new())),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(i, rule)| match rule {
                Value::Object(_) => Ok(Rule(rule.to_string().into())),
                _ => Err(format!("spec.{field}[{i}] is not an object")),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(format!("spec.{field} is not a list")),
    }
}

fn fields(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Egress => ("egress", "Egress"),
        Direction::Ingress => ("ingress", "Ingress"),
    }
}

/// A label selector; requirements in order of `matchLabels`, then `matchExpressions`.
fn selector(value: &Value, path: &str) -> Result<Selector, String> {
    let map = value.as_object().ok_or_else(|| format!("{path} is not an object"))?;
    let mut out = Vec::new();
    if let Some(labels) = map.get("matchLabels") {
        let labels = labels.as_object().ok_or_else(|| format!("{path}.matchLabels is not an object"))?;
        for (key, value) in labels {
            let value = value
                .as_str()
                .ok_or_else(|| format!("{path}.matchLabels.{} is not a string", Text::new(key)))?;
            out.push(Requirement::In { key: key.into(), values: vec![value.into()] });
        }
    }
    let expressions = match map.get("matchExpressions") {
        None => &[][..],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("{path}.matchExpressions is not a list")),
    };
    for (i, expression) in expressions.iter().enumerate() {
        out.push(requirement(expression).ok_or_else(|| {
            format!(
                "{path}.matchExpressions[{i}] needs a key and an operator In, NotIn, Exists or DoesNotExist"
            )
        })?);
    }
    Ok(Selector(out))
}

fn requirement(value: &Value) -> Option<Requirement> {
    let key = CompactString::new(value.get("key")?.as_str()?);
    let values = || -> Vec<CompactString> {
        let list = value.get("values").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(CompactString::new).collect()
    };
    Some(match value.get("operator")?.as_str()? {
        "In" => Requirement::In { key, values: values() },
        "NotIn" => Requirement::NotIn { key, values: values() },
        "Exists" => Requirement::Exists { key },
        "DoesNotExist" => Requirement::DoesNotExist { key },
        _ => return None,
    })
}

/// Labels of an object's metadata.
pub fn labels(metadata: &Map<String, Value>) -> Labels {
    let map = metadata.get("labels").and_then(Value::as_object);
    Labels::new(
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((CompactString::new(key), CompactString::new(value.as_str()?))))
            .collect(),
    )
}

fn string<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field).and_then(Value::as_str)
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
