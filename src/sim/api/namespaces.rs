//! How a deleted namespace ends: its contents go, its conditions say what is left, and when nothing
//! is left it goes itself (scenes 05, 17 and 80).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sim::api::cluster::Cluster;
use crate::sim::api::controllers::{account, core, file};
use crate::sim::api::delete;
use crate::sim::api::object;
use crate::sim::api::options::DeleteOptions;
use crate::sim::api::resources::ResourceId;
use crate::sim::api::store::{Key, Store};

/// One attempt to end a namespace; true if it is gone.
pub fn end(cluster: &Cluster, name: &str) -> bool {
    let Some(id) = core(cluster, "namespaces") else { return true };
    let key = Key::new(id, "", name);
    if cluster.store().get(&key).is_none() {
        return true;
    }
    empty(cluster, name);
    let left = remaining(cluster, name);
    cluster.write(|store| {
        describe(cluster, store, &key, &left);
        let done = left.is_empty() && store.get(&key).is_some_and(|ns| object::finalizers(ns).is_empty());
        if done {
            store.remove(&key);
        }
        done
    })
}

/// Deletes everything in the namespace, kind by kind.
fn empty(cluster: &Cluster, namespace: &str) {
    let kinds: Vec<ResourceId> =
        cluster.catalog().stored().filter(|(_, r)| r.namespaced).map(|(id, _)| id).collect();
    for id in kinds {
        let objects: Vec<_> = cluster
            .store()
            .list(cluster.storage(id), namespace)
            .into_iter()
            .map(|(_, object)| object)
            .collect();
        // A finalizer that stays is not an error of the attempt: the conditions tell of it.
        let user = account("namespace-controller");
        let _ = delete::delete_all(cluster, id, &objects, &DeleteOptions::default(), &user);
    }
}

/// What is still in the namespace.
#[derive(Debug, Default)]
struct Remaining {
    /// How many of each resource.
    kinds: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    finalizers: BTreeMap<String, usize>,
}

impl Remaining {
    fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

fn remaining(cluster: &Cluster, namespace: &str) -> Remaining {
    let mut left = Remaining::default();
    let catalog = cluster.catalog();
    let store = cluster.store();
    for (id, resource) in catalog.stored().filter(|(_, r)| r.namespaced) {
        for (_, object) in store.list(catalog.storage(id), namespace) {
            *left.kinds.entry(resource.qualified()).or_default() += 1;
            for finalizer in object::finalizers(&object) {
                *left.finalizers.entry(finalizer).or_default() += 1;
            }
        }
    }
    left
}

/// Writes the conditions into the status, where they changed.
fn describe(cluster: &Cluster, store: &mut Store, key: &Key, left: &Remaining) {
    let Some(live) = store.get(key).cloned() else { return };
    let now = cluster.clock().stamp();
    let before = live.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let conditions: Vec<Value> = conditions(left, &now)
        .into_iter()
        .map(|new| {
            let same = before.iter().find(|old| old["type"] == new["type"] && is_same(old, &new));
            same.cloned().unwrap_or(new)
        })
        .collect();
    let mut object = Value::clone(&live);
    object["status"]["conditions"] = json!(conditions);
    if object["status"] == live["status"] {
        return;
    }
    let kind = cluster.resource(key.resource).rules_kind();
    file(cluster, Some(&live), &mut object, "status", &kind);
    store.put(key.clone(), object);
}

fn is_same(old: &Value, new: &Value) -> bool {
    ["status", "reason", "message"].iter().all(|field| old[field] == new[field])
}

fn conditions(left: &Remaining, now: &str) -> Vec<Value> {
    let condition = |name: &str, status: bool, reason: &str, message: String| {
        json!({
            "type": name, "status": if status { "True" } else { "False" }, "reason": reason,
            "message": message, "lastTransitionTime": now,
        })
    };
    let resources: Vec<String> =
        left.kinds.iter().map(|(kind, count)| format!("{kind} has {count} resource instances")).collect();
    let holds: Vec<String> = left
        .finalizers
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    let content = if resources.is_empty() {
        ("ContentRemoved", "All content successfully removed".to_owned())
    } else {
        let text = resources.join(", ").replace(" has ", ". has ");
        ("SomeResourcesRemain", format!("Some resources are remaining: {text}"))
    };
    let held = if holds.is_empty() {
        ("ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let text = format!("Some content in the namespace has finalizers remaining: {}", holds.join(", "));
        ("SomeFinalizersRemain", text)
    };
    let all = |text: &str| text.to_owned();
    vec![
        condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            all("All resources successfully discovered"),
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            all("All legacy kube types successfully parsed"),
        ),
        condition(
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            all("All content successfully deleted, may be waiting on finalization"),
        ),
        condition("NamespaceContentRemaining", !resources.is_empty(), content.0, content.1),
        condition("NamespaceFinalizersRemaining", !holds.is_empty(), held.0, held.1),
    ]
}
