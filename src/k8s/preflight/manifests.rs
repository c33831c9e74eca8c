//! A pre-flight's reading out of manifest files: documents of YAML or JSON, lists of objects within.
//! What files cannot tell (nodes, rights, the server's version) stays unknown. Pure: texts are handed in.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::{
    names::Text,
    preflight::reading::{CUSTOM, Known, NOT_IN_MANIFESTS, Reading, Record},
};

use super::objects;

/// A file that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub file: Text,
    pub why: Text,
}

/// Objects taken in; more would be no manifests of a cluster's own parts.
const OBJECTS: usize = 100_000;
/// Lists within lists.
const DEPTH: usize = 4;

/// Reads texts by their names, in the order given. A bad document is a complaint and never costs
/// the others of other files.
pub fn read<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> (Reading, Vec<Complaint>) {
    let mut all = Vec::new();
    let mut complaints = Vec::new();
    for (name, text) in files {
        match documents(text) {
            Ok(found) => found.into_iter().for_each(|value| unpack(value, 0, &mut all)),
            Err(why) => complaints.push(Complaint { file: Text::new(name), why }),
        }
    }
    (gather(&all), complaints)
}

fn documents(text: &str) -> Result<Vec<Value>, Text> {
    serde_yaml::from_multiple::<Value>(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| format!("line {}: ", at.line()));
        let said = error.without_snippet().to_string();
        let fact = said.lines().next().unwrap_or_default();
        let fact = fact.split(" at line ").next().unwrap_or(fact);
        Text::from(format!("{place}{fact}"))
    })
}

fn unpack(mut value: Value, depth: usize, out: &mut Vec<Value>) {
    let is_list = objects::identity(&value).is_some_and(|(_, kind)| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list && depth < DEPTH => {
            items.into_iter().for_each(|item| unpack(item, depth + 1, out));
        }
        _ if out.len() < OBJECTS && objects::identity(&value).is_some() => out.push(value),
        _ => {}
    }
}

fn gather(all: &[Value]) -> Reading {
    let told = |what: &str| Text::from(format!("{NOT_IN_MANIFESTS} {what}"));
    let mut reading = Reading {
        daemonsets: Known::Read(Vec::new()),
        workloads: Known::Read(Vec::new()),
        services: Known::Read(Vec::new()),
        namespaces: Known::Read(Vec::new()),
        accounts: Known::Read(Vec::new()),
        hooks: Known::Read(Vec::new()),
        unread_hooks: None,
        groups: Known::Read(BTreeSet::new()),
        nodes: Known::Unknown(told("Node")),
        ..Reading::unknown(&told("rights or version"))
    };
    for value in all {
        let Some((group, kind)) = objects::identity(value) else { continue };
        if let Known::Read(groups) = &mut reading.groups {
            groups.insert(group.to_owned());
        }
        take(&mut reading, group, kind, value);
    }
    reading
}

fn push<T>(list: &mut Known<Vec<T>>, item: T) {
    match list {
        Known::Read(items) => items.push(item),
        Known::Unknown(_) => *list = Known::Read(vec![item]),
    }
}

fn take(reading: &mut Reading, group: &str, kind: &str, value: &Value) {
    match (group, kind) {
        ("apps", "DaemonSet") => push(&mut reading.daemonsets, objects::workload(kind, value)),
        ("apps", "Deployment" | "StatefulSet") => {
            push(&mut reading.workloads, objects::workload(kind, value));
        }
        ("", "ConfigMap") => reading.config_maps.read.push(objects::config_map(value)),
        ("", "Service") => push(&mut reading.services, objects::service(value)),
        ("", "Node") => push(&mut reading.nodes, objects::node(value)),
        ("", "ServiceAccount") => push(&mut reading.accounts, objects::marks(kind, value)),
        ("", "Namespace") => push(&mut reading.namespaces, objects::marks(kind, value)),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        )
        | ("apiregistration.k8s.io", "APIService")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            objects::hooks(kind, value).into_iter().for_each(|hook| push(&mut reading.hooks, hook));
        }
        _ => {
            // Calico serves its kinds under two groups.
            let group = if group == "projectcalico.org" { "crd.projectcalico.org" } else { group };
            if let Some(known) = CUSTOM.iter().find(|one| one.group == group && one.kind == kind) {
                let list =
                    reading.custom.entry(known.id).or_insert_with(|| Known::Read(Vec::<Record>::new()));
                push(list, objects::record(kind, value));
            }
        }
    }
}
