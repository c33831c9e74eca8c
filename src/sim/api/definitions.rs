//! What the API server itself does about CustomResourceDefinitions: accepts their names, puts them in
//! force, serves their resources, and cleans up after one that is deleted (scene 70).
//! One task a cluster; it ends with the cluster.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sim::api::cluster::{Cluster, WeakCluster};
use crate::sim::api::commit::is_released;
use crate::sim::api::controllers::account;
use crate::sim::api::delete;
use crate::sim::api::object;
use crate::sim::api::options::DeleteOptions;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::store::Key;
use crate::sim::rules::apply::{self, UpdateOptions};
use crate::sim::rules::custom::{crd, names};

const MANAGER: &str = "kube-apiserver";
/// How long after a change it is noticed.
const REACTION: Duration = Duration::from_millis(5);
/// How long the storage of a new definition takes to answer.
const STARTING: Duration = Duration::from_millis(300);
/// When objects that something holds are looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until the cluster is dropped.
pub async fn run(cluster: WeakCluster, mut changes: watch::Receiver<u64>) {
    let mut seen = 0;
    loop {
        let again = {
            let Some(cluster) = cluster.upgrade() else { return };
            catch_up(&cluster, &mut seen, STARTING)
        };
        tokio::select! {
            moved = changes.changed() => {
                if moved.is_err() {
                    return;
                }
                tokio::time::sleep(REACTION).await;
            }
            () = tokio::time::sleep(AGAIN), if again => seen = 0,
        }
    }
}

/// Puts definitions of a scenario in force at once.
pub fn settle_seeded(cluster: &Cluster) {
    catch_up(cluster, &mut 0, Duration::ZERO);
}

/// Whether a resource's definition is on its way out: then nothing new is made of it.
pub fn is_ending(cluster: &Cluster, resource: &Resource) -> bool {
    if resource.definition.is_none() {
        return false;
    }
    let Some(id) = own(cluster) else { return false };
    let key = cluster.key(id, "", &resource.qualified());
    cluster.store().get(&key).is_some_and(|definition| object::is_deleting(definition))
}

fn own(cluster: &Cluster) -> Option<ResourceId> {
    cluster.catalog().find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// Reacts to every change of a definition since `seen`; true if something must be looked at again.
fn catch_up(cluster: &Cluster, seen: &mut u64, starting: Duration) -> bool {
    let Some(id) = own(cluster) else { return false };
    let mut again = false;
    loop {
        let touched = cluster.store().touched(id);
        if touched <= *seen {
            return again;
        }
        *seen = touched;
        let all: Vec<Arc<Value>> = cluster.store().list(id, "").into_iter().map(|(_, o)| o).collect();
        forget_absent(cluster, &all);
        again = false;
        for definition in &all {
            again |= step(&Controller { cluster, id, all: &all, starting }, definition);
        }
    }
}

/// Ends what is served without a definition.
fn forget_absent(cluster: &Cluster, all: &[Arc<Value>]) {
    for (group, plural) in cluster.catalog().defined() {
        let name = format!("{plural}.{group}");
        if all.iter().all(|definition| object::name(definition) != name) {
            cluster.change_catalog(|catalog| catalog.uninstall(&group, &plural));
        }
    }
}

struct Controller<'a> {
    cluster: &'a Cluster,
    id: ResourceId,
    all: &'a [Arc<Value>],
    starting: Duration,
}

/// The next thing to be done about a definition; true if it must be looked at again by time.
fn step(controller: &Controller<'_>, definition: &Arc<Value>) -> bool {
    if object::is_deleting(definition) {
        return controller.end(definition);
    }
    let now = controller.cluster.clock().stamp();
    let others: Vec<&Value> = controller.all.iter().map(Arc::as_ref).collect();
    let accepted = names::accept(definition, &others, &now);
    if accepted != **definition {
        controller.put(definition, accepted);
        return false;
    }
    let ready = names::condition(definition, "NamesAccepted") == "True";
    if ready && !names::is_established(definition) {
        controller.put(definition, names::establish(definition, &now));
    } else if names::is_established(definition) {
        controller.serve(definition);
    }
    false
}

impl Controller<'_> {
    /// Writes a status under the server's own name, unless the definition changed meanwhile.
    fn put(&self, before: &Arc<Value>, mut after: Value) {
        let now = self.cluster.clock().stamp();
        let update = UpdateOptions { manager: MANAGER, subresource: "status", now: &now };
        apply::track_update(Some(before), &mut after, &update, &self.cluster.resource(self.id).rules_kind());
        let key = self.key(before);
        self.cluster.write(|store| {
            if store.get(&key).is_some_and(|live| Arc::ptr_eq(live, before)) {
                store.put(key, after);
            }
        });
    }

    fn key(&self, definition: &Value) -> Key {
        self.cluster.key(self.id, "", object::name(definition))
    }

    fn serve(&self, definition: &Value) {
        let (group, plural) = place(definition);
        let mut versions: Vec<&Value> = crd::versions(definition).iter().collect();
        versions.sort_by_key(|version| rank(version["name"].as_str().unwrap_or_default()));
        let resources: Vec<(Resource, bool)> =
            versions.iter().map(|v| (Resource::defined(definition, v), v["served"] == true)).collect();
        if self.cluster.catalog().is_installed(&group, &plural, &resources) {
            return;
        }
        let ready_at = Instant::now() + self.starting;
        self.cluster.change_catalog(|catalog| catalog.install(&group, &plural, resources, ready_at));
    }

    /// Deletes the objects of a definition, then lets it go; true while something holds an object.
    fn end(&self, definition: &Arc<Value>) -> bool {
        if !object::finalizers(definition).iter().any(|f| f == names::CLEANUP) {
            return false;
        }
        let mut cleaning = Value::clone(definition);
        names::note_cleaning(&mut cleaning, &self.cluster.clock().stamp());
        if cleaning != **definition {
            self.put(definition, cleaning);
            return false;
        }
        let (group, plural) = place(definition);
        if names::is_established(definition) && self.delete_objects(&group, &plural) > 0 {
            return true;
        }
        self.cluster.change_catalog(|catalog| catalog.uninstall(&group, &plural));
        self.release(definition);
        false
    }

    /// How many are left.
    fn delete_objects(&self, group: &str, plural: &str) -> usize {
        let catalog = self.cluster.catalog();
        let Some((id, _)) = catalog.iter().find(|(_, r)| r.group == group && r.plural == plural) else {
            return 0;
        };
        let left = || -> Vec<Arc<Value>> {
            self.cluster.store().list(catalog.storage(id), "").into_iter().map(|(_, o)| o).collect()
        };
        let user = account("customresourcecleanup");
        // What holds an object is no error of the attempt.
        let _ = delete::delete_all(self.cluster, id, &left(), &DeleteOptions::default(), &user);
        left().len()
    }

    fn release(&self, definition: &Value) {
        let key = self.key(definition);
        self.cluster.write(|store| {
            let Some(live) = store.get(&key).cloned() else { return };
            let mut after = Value::clone(&live);
            let left: Vec<String> =
                object::finalizers(&live).into_iter().filter(|f| f != names::CLEANUP).collect();
            if left.is_empty() {
                object::drop_meta(&mut after, "finalizers");
            } else {
                object::set_meta(&mut after, "finalizers", left);
            }
            if is_released(&after) {
                store.remove(&key);
            } else {
                store.put(key, after);
            }
        });
    }
}

fn place(definition: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&definition["spec"]["group"]), text(&definition["spec"]["names"]["plural"]))
}

/// How versions are preferred: v2 before v1, v1 before v1beta2, beta before alpha, others last.
fn rank(version: &str) -> (u8, i64, i64, String) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: i64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let (class, minor) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            _ if tail.is_empty() => (0, 0),
            (Some(minor), _) => (1, minor.parse().ok()?),
            (_, Some(minor)) => (2, minor.parse().ok()?),
            (None, None) => return None,
        };
        Some((class, -major, -minor, String::new()))
    });
    parsed.unwrap_or_else(|| (3, 0, 0, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_stablest_newest_version_is_preferred() {
        let mut versions = ["v1alpha1", "foo1", "v1", "v10", "v2beta1", "v1beta2", "v2"];
        versions.sort_by_key(|version| rank(version));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo1"]);
    }
}
