//! DELETE of one object and of a collection: finalizers, namespaces and preconditions.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::read::not_found;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::status::Status;
use crate::sim::api::store::{Key, Store};

/// Deletes one object, and says what the server answers.
pub fn delete(cluster: &Cluster, id: ResourceId, key: &Key) -> Result<Value, Status> {
    let resource = Arc::clone(cluster.resource(id));
    let now = cluster.clock().stamp();
    cluster.write(|store| {
        let name = key.path.rsplit('/').next().unwrap_or_default();
        let live = store.get(key).cloned().ok_or_else(|| not_found(&resource, name))?;
        Ok(delete_live(store, &resource, key, &live, &now))
    })
}

fn delete_live(store: &mut Store, resource: &Resource, key: &Key, live: &Value, now: &str) -> Value {
    let is_namespace = resource.kind == "Namespace";
    if is_namespace || !object::finalizers(live).is_empty() {
        if object::is_deleting(live) {
            return live.clone();
        }
        let mut going = live.clone();
        object::set_meta(&mut going, "deletionTimestamp", now);
        if is_namespace {
            going["status"]["phase"] = json!("Terminating");
        } else {
            object::set_meta(&mut going, "deletionGracePeriodSeconds", 0);
        }
        return Value::clone(&store.put(key.clone(), going));
    }
    store.remove(key);
    success(resource, live)
}

/// The Status of a delete that is done.
fn success(resource: &Resource, live: &Value) -> Value {
    let mut details = resource.details(object::name(live));
    details["uid"] = json!(object::uid(live));
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}
