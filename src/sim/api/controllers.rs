//! The controllers that run beside a real API server, as far as clients notice them: each new
//! namespace gets its service account and CA, a deleted one ends, owners take dependents along.
//! One task a cluster; it ends with the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sim::api::cluster::{Cluster, WeakCluster};
use crate::sim::api::collect::Collector;
use crate::sim::api::namespaces;
use crate::sim::api::object;
use crate::sim::api::resources::ResourceId;
use crate::sim::api::store::{Change, Event, Key, Store};
use crate::sim::api::typecheck;
use crate::sim::rules::apply::{self, UpdateOptions};
use crate::sim::rules::rbac::User;
use crate::sim::rules::schema::Kind;

/// Who the controllers are, in `managedFields`.
pub const MANAGER: &str = "kube-controller-manager";
/// How long after a change the controllers notice it.
const REACTION: Duration = Duration::from_millis(5);
/// How long a deleted namespace is left alone before its contents go, and between attempts.
const NAMESPACE_DELAY: Duration = Duration::from_secs(5);

const CA_NOTE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using \
                       internal endpoints such as the internal service IP or kubernetes.default.svc. \
                       No other usage is guaranteed across distributions of Kubernetes clusters.";
/// What stands in `kube-root-ca.crt`; nothing in the simulation verifies anything with it.
const CA: &str = "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----\n";

/// Runs until the cluster is dropped.
pub async fn run(cluster: WeakCluster, mut changes: watch::Receiver<u64>) {
    let mut controllers = Controllers::default();
    loop {
        let due = {
            let Some(cluster) = cluster.upgrade() else { return };
            controllers.catch_up(&cluster)
        };
        let Some(due) = due else {
            if changes.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(REACTION).await;
            continue;
        };
        tokio::select! {
            moved = changes.changed() => {
                if moved.is_err() {
                    return;
                }
                tokio::time::sleep(REACTION).await;
            }
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

#[derive(Default)]
struct Controllers {
    cursor: u64,
    collector: Collector,
    /// Namespaces on their way out, and when they are looked at next.
    ending: BTreeMap<String, Instant>,
}

impl Controllers {
    /// Reacts to everything new, and says when to come back without any change.
    fn catch_up(&mut self, cluster: &Cluster) -> Option<Instant> {
        loop {
            let events = self.news(cluster);
            if events.is_empty() {
                break;
            }
            for event in events {
                self.cursor = event.version;
                self.react(cluster, &event);
            }
        }
        let now = Instant::now();
        let due: Vec<String> =
            self.ending.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.end_namespace(cluster, &name, now);
        }
        self.ending.values().min().copied()
    }

    /// What changed since the last look; at first, and after too much was missed, everything.
    fn news(&mut self, cluster: &Cluster) -> Vec<Event> {
        let store = cluster.store();
        if self.cursor == 0 {
            return store.everything();
        }
        store.since_all(self.cursor).unwrap_or_else(|_| {
            self.collector = Collector::default();
            store.everything()
        })
    }

    fn react(&mut self, cluster: &Cluster, event: &Event) {
        if core(cluster, "namespaces") == Some(event.key.resource) {
            self.react_to_namespace(cluster, event);
        } else if event.change != Change::Added {
            self.hurry(event);
        }
        self.collector.react(cluster, event);
        typecheck::react(cluster, event);
    }

    fn react_to_namespace(&mut self, cluster: &Cluster, event: &Event) {
        let name = object::name(&event.object).to_owned();
        match event.change {
            Change::Deleted => drop(self.ending.remove(&name)),
            Change::Added | Change::Modified if object::is_deleting(&event.object) => {
                let at = Instant::now() + NAMESPACE_DELAY;
                self.ending.entry(name).or_insert(at);
            }
            Change::Added => furnish(cluster, &name),
            Change::Modified => {}
        }
    }

    /// Something in a namespace that is ending went or was let go: look again soon.
    fn hurry(&mut self, event: &Event) {
        let Some(at) = self.ending.get_mut(object::namespace(&event.object)) else { return };
        if event.change == Change::Deleted && object::is_deleting(&event.object) {
            *at = (*at).min(Instant::now() + Duration::from_secs(1));
        }
    }

    fn end_namespace(&mut self, cluster: &Cluster, name: &str, now: Instant) {
        if namespaces::end(cluster, name) {
            self.ending.remove(name);
        } else {
            self.ending.insert(name.to_owned(), now + NAMESPACE_DELAY);
        }
    }
}

/// A resource of the core group.
pub fn core(cluster: &Cluster, plural: &str) -> Option<ResourceId> {
    cluster.catalog().find("", "v1", plural)
}

/// What every namespace has in it a moment after it was made.
fn furnish(cluster: &Cluster, namespace: &str) {
    let ca = json!({
        "metadata": {
            "name": "kube-root-ca.crt", "namespace": namespace,
            "annotations": { "kubernetes.io/description": CA_NOTE },
        },
        "data": { "ca.crt": CA },
    });
    let account = json!({ "metadata": { "name": "default", "namespace": namespace } });
    for (plural, object) in [("configmaps", ca), ("serviceaccounts", account)] {
        let Some(id) = core(cluster, plural) else { continue };
        cluster.write(|store| create(cluster, store, id, object));
    }
}

/// Creates an object on behalf of a controller, unless it is there already.
fn create(cluster: &Cluster, store: &mut Store, id: ResourceId, mut object: Value) {
    let kind = cluster.resource(id).rules_kind();
    let key = Key::new(id, object::namespace(&object), object::name(&object));
    if store.get(&key).is_some() {
        return;
    }
    object::set_type(&mut object, &kind.api_version(), &kind.kind);
    file(cluster, None, &mut object, "", &kind);
    object::set_meta(&mut object, "uid", cluster.new_uid());
    object::set_meta(&mut object, "creationTimestamp", cluster.clock().stamp());
    store.put(key, object);
}

/// Who a controller is when policies are asked about what it does.
pub fn account(controller: &str) -> User {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    User {
        name: format!("system:serviceaccount:kube-system:{controller}"),
        groups: groups.map(str::to_owned).to_vec(),
        ..User::default()
    }
}

/// Files a controller's write under its name.
pub fn file(cluster: &Cluster, old: Option<&Value>, new: &mut Value, subresource: &str, kind: &Kind) {
    let now = cluster.clock().stamp();
    apply::track_update(old, new, &UpdateOptions { manager: MANAGER, subresource, now: &now }, kind);
}
