//! Garbage collection by ownerReferences: dependents go with their owner, before it, or stay as
//! orphans, and a reference to an owner that is not there gets its object collected (scene 87).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::sim::api::cluster::Cluster;
use crate::sim::api::commit::is_released;
use crate::sim::api::controllers::{account, file};
use crate::sim::api::delete;
use crate::sim::api::object;
use crate::sim::api::options::DeleteOptions;
use crate::sim::api::store::{Change, Event, Key, Store};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Who depends on whom, and which owners wait for their dependents.
#[derive(Debug, Default)]
pub struct Collector {
    /// By the owner's uid.
    dependents: BTreeMap<String, BTreeSet<Key>>,
    /// Owners in foreground deletion.
    waiting: BTreeSet<Key>,
}

impl Collector {
    /// Takes note of one change and does what follows from it.
    pub fn react(&mut self, cluster: &Cluster, event: &Event) {
        if event.change != Change::Deleted {
            self.note_owners(cluster, &event.key, &event.object);
            if object::is_deleting(&event.object) {
                self.begin(cluster, &event.key, &event.object);
            }
            return;
        }
        self.waiting.remove(&event.key);
        for key in self.dependents.remove(object::uid(&event.object)).unwrap_or_default() {
            collect(cluster, &key);
        }
        self.settle_waiting(cluster);
    }

    fn note_owners(&mut self, cluster: &Cluster, key: &Key, object: &Value) {
        let owners = owners(object);
        for owner in &owners {
            self.dependents.entry(owner.clone()).or_default().insert(key.clone());
        }
        if !owners.is_empty() {
            collect(cluster, key);
        }
    }

    /// An owner's delete has begun: what it holds decides what becomes of its dependents.
    fn begin(&mut self, cluster: &Cluster, key: &Key, owner: &Value) {
        let finalizers = object::finalizers(owner);
        let dependents = self.dependents.get(object::uid(owner)).cloned().unwrap_or_default();
        if finalizers.iter().any(|f| f == ORPHAN) {
            for dependent in &dependents {
                disown(cluster, dependent, object::uid(owner));
            }
            self.dependents.remove(object::uid(owner));
            release(cluster, key, ORPHAN);
        } else if finalizers.iter().any(|f| f == FOREGROUND) && self.waiting.insert(key.clone()) {
            for dependent in &dependents {
                remove(cluster, dependent);
            }
            self.settle_waiting(cluster);
        }
    }

    /// Lets the owners go whose dependents have gone.
    fn settle_waiting(&mut self, cluster: &Cluster) {
        let done: Vec<Key> =
            self.waiting.iter().filter(|key| !self.has_dependents(cluster, key)).cloned().collect();
        for key in done {
            self.waiting.remove(&key);
            release(cluster, &key, FOREGROUND);
        }
    }

    fn has_dependents(&self, cluster: &Cluster, owner: &Key) -> bool {
        let store = cluster.store();
        let Some(owner) = store.get(owner) else { return false };
        let dependents = self.dependents.get(object::uid(owner));
        dependents.into_iter().flatten().any(|key| store.get(key).is_some())
    }
}

fn owners(object: &Value) -> Vec<String> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let uids = references.into_iter().flatten().filter_map(|r| r["uid"].as_str());
    uids.map(str::to_owned).collect()
}

/// Deletes an object none of whose owners is there any more.
fn collect(cluster: &Cluster, key: &Key) {
    let abandoned = {
        let store = cluster.store();
        let Some(object) = store.get(key) else { return };
        let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let is_there = |owner: &Value| is_there(cluster, &store, owner, object::namespace(object));
        !object::is_deleting(object) && !references.into_iter().flatten().any(is_there)
    };
    if abandoned {
        remove(cluster, key);
    }
}

/// Whether an owner exists under its very uid. One of a kind that is not served cannot be looked up
/// and counts as there.
fn is_there(cluster: &Cluster, store: &Store, owner: &Value, namespace: &str) -> bool {
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let Some(id) = cluster.catalog().of_kind(text("apiVersion"), text("kind")) else { return true };
    let namespace = if cluster.resource(id).namespaced { namespace } else { "" };
    store
        .get(&cluster.key(id, namespace, text("name")))
        .is_some_and(|found| object::uid(found) == text("uid"))
}

fn remove(cluster: &Cluster, key: &Key) {
    // Gone meanwhile is as good.
    let user = account("generic-garbage-collector");
    let _ = delete::delete(cluster, key.resource, key, &DeleteOptions::default(), &user);
}

/// Takes one finalizer off; the last one off lets the object go.
fn release(cluster: &Cluster, key: &Key, finalizer: &str) {
    cluster.write(|store| {
        let Some(live) = store.get(key).cloned() else { return };
        let mut object = Value::clone(&live);
        let left: Vec<String> = object::finalizers(&live).into_iter().filter(|f| f != finalizer).collect();
        if left.is_empty() {
            object::drop_meta(&mut object, "finalizers");
        } else {
            object::set_meta(&mut object, "finalizers", left);
        }
        if is_released(&object) {
            store.remove(key);
        } else {
            store.put(key.clone(), object);
        }
    });
}

/// Takes the references to one owner off.
fn disown(cluster: &Cluster, key: &Key, owner: &str) {
    let kind = cluster.resource(key.resource).rules_kind();
    cluster.write(|store| {
        let Some(live) = store.get(key).cloned() else { return };
        let mut object = Value::clone(&live);
        let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let left: Vec<Value> =
            references.into_iter().flatten().filter(|r| r["uid"] != owner).cloned().collect();
        if left.is_empty() {
            object::drop_meta(&mut object, "ownerReferences");
        } else {
            object::set_meta(&mut object, "ownerReferences", left);
        }
        file(cluster, Some(&Arc::clone(&live)), &mut object, "", &kind);
        store.put(key.clone(), object);
    });
}
