//! The controller that looks through each new or changed admission policy for fields its kinds do not
//! have, and writes what it found into the policy's status (scene 75). It stops nobody.

use serde_json::{Value, json};

use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::resources::ResourceId;
use crate::sim::api::store::{Change, Event, Store};
use crate::sim::rules::apply::{self, ApplyOptions};
use crate::sim::rules::custom::node::Node;
use crate::sim::rules::policies::typecheck;
use crate::sim::rules::schema;

/// Who writes the status.
const MANAGER: &str = "validatingadmissionpolicy-status";

/// Reacts to a policy whose spec was not looked at yet.
pub fn react(cluster: &Cluster, event: &Event) {
    let policies =
        cluster.catalog().find("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");
    if event.change == Change::Deleted || policies != Some(event.key.resource) {
        return;
    }
    let generation = &event.object["metadata"]["generation"];
    if event.object.pointer("/status/observedGeneration") == Some(generation) {
        return;
    }
    let status =
        typecheck::status(&event.object, |group, version, plural| schema_of(cluster, group, version, plural));
    cluster.write(|store| note(cluster, store, event, &status));
}

/// Applies the status, unless the policy is gone or has changed again.
fn note(cluster: &Cluster, store: &mut Store, event: &Event, status: &Value) {
    let Some(live) = store.get(&event.key).cloned() else { return };
    if live["metadata"]["generation"] != event.object["metadata"]["generation"] {
        return;
    }
    let kind = cluster.resource(event.key.resource).rules_kind();
    let body = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": { "name": object::name(&live) }, "status": status,
    });
    let now = cluster.clock().stamp();
    let options = ApplyOptions { manager: MANAGER, force: true, subresource: "status", now: &now };
    match apply::apply(Some(&live), &body, &options, &kind) {
        Ok(after) if after != *live => drop(store.put(event.key.clone(), after)),
        // A status that cannot be applied is tried again when the policy changes.
        Ok(_) | Err(_) => {}
    }
}

/// The Kind and the schema of a resource, if one is known.
fn schema_of(cluster: &Cluster, group: &str, version: &str, plural: &str) -> Option<(String, Node)> {
    let id: ResourceId = cluster.catalog().find(group, version, plural)?;
    let resource = cluster.resource(id);
    if let Some(definition) = &resource.definition {
        return Some((resource.kind.clone(), definition.node.clone()));
    }
    let kind = schema::kind(&resource.api_version(), &resource.kind).filter(|_| !resource.custom)?;
    Some((kind.kind.clone(), typecheck::built_in(kind)))
}
