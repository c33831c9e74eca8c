//! Create, replace and patch, with the checks in the order of a real server. What an object may be
//! is decided by the rules; this file decides when they are asked and what is stored.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::query::Query;
use crate::sim::api::read::not_found;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;
use crate::sim::api::store::{Key, Store};

/// One write as it came in.
pub struct Write<'a> {
    pub cluster: &'a Cluster,
    pub id: ResourceId,
    pub target: &'a Target,
    pub query: &'a Query,
    pub body: &'a Bytes,
    pub content_type: &'a str,
    pub manager: String,
}

/// What a write leaves behind.
pub struct Written {
    pub code: u16,
    pub object: Value,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

impl Write<'_> {
    fn resource(&self) -> &Arc<Resource> {
        self.cluster.resource(self.id)
    }

    fn dry_run(&self) -> bool {
        self.query.has("dryRun")
    }

    /// POST to a collection.
    pub fn create(&self) -> Result<Written, Status> {
        let mut object = self.decode()?;
        self.settle_namespace(&mut object)?;
        if !object::resource_version(&object).is_empty() {
            return Err(Status::internal("resourceVersion should not be set on objects to be created"));
        }
        if object::name(&object).is_empty() && !object::meta(&object, "generateName").is_empty() {
            let name = format!("{}{}", object::meta(&object, "generateName"), self.cluster.new_suffix());
            object::set_meta(&mut object, "name", name);
        }
        self.prepare_new(&mut object);
        let stored = self.cluster.write(|store| self.insert(store, object))?;
        Ok(Written { code: 201, object: stored, warnings: Vec::new() })
    }

    /// PUT of one object.
    pub fn replace(&self) -> Result<Written, Status> {
        let mut object = self.decode()?;
        if object::name(&object) != self.target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object::name(&object),
                self.target.name
            )));
        }
        self.settle_namespace(&mut object)?;
        let stored = self.cluster.write(|store| {
            let live = self.live(store)?;
            let sent = object::resource_version(&object);
            if !sent.is_empty() && sent != object::resource_version(&live) {
                return Err(self.stale());
            }
            self.update(store, &live, object)
        })?;
        Ok(Written { code: 200, object: stored, warnings: Vec::new() })
    }

    /// PATCH of one object.
    pub fn patch(&self) -> Result<Written, Status> {
        let patch: Value = serde_json::from_slice(self.body)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
        let stored = self.cluster.write(|store| {
            let live = self.live(store)?;
            let mut object = Value::clone(&live);
            json_patch::merge(&mut object, &patch);
            self.update(store, &live, object)
        })?;
        Ok(Written { code: 200, object: stored, warnings: Vec::new() })
    }

    fn decode(&self) -> Result<Value, Status> {
        serde_json::from_slice(self.body).map_err(|e| {
            Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get \
                 version/kind; json parse error: {e}",
                self.resource().kind
            ))
        })
    }

    fn settle_namespace(&self, object: &mut Value) -> Result<(), Status> {
        if !self.resource().namespaced {
            return Ok(());
        }
        let sent = object::namespace(object);
        if !sent.is_empty() && sent != self.target.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object::set_meta(object, "namespace", self.target.namespace.as_str());
        Ok(())
    }

    fn prepare_new(&self, object: &mut Value) {
        let resource = self.resource();
        for field in ["uid", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            object::drop_meta(object, field);
        }
        object::set_type(object, &resource.api_version(), &resource.kind);
        object::set_meta(object, "uid", self.cluster.new_uid());
        object::set_meta(object, "creationTimestamp", self.cluster.clock().stamp());
        if has_generation(resource) {
            object::set_meta(object, "generation", 1);
        }
        if resource.kind == "Namespace" && resource.group.is_empty() {
            let name = object::name(object).to_owned();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
            object["status"] = json!({ "phase": "Active" });
        }
    }

    fn insert(&self, store: &mut Store, object: Value) -> Result<Value, Status> {
        let resource = self.resource();
        self.check_namespace(store, object::name(&object))?;
        let key = self.key(object::name(&object));
        if store.get(&key).is_some() {
            let name = object::name(&object);
            let message = format!("{} \"{name}\" already exists", resource.qualified());
            return Err(Status::new(409, "AlreadyExists", message).with_details(resource.details(name)));
        }
        Ok(if self.dry_run() { object } else { Value::clone(&store.put(key, object)) })
    }

    /// The namespace must be there and not going away.
    fn check_namespace(&self, store: &Store, name: &str) -> Result<(), Status> {
        let resource = self.resource();
        let namespace = &self.target.namespace;
        if !resource.namespaced {
            return Ok(());
        }
        let catalog = self.cluster.catalog();
        let Some(namespaces) = catalog.find("", "v1", "namespaces") else { return Ok(()) };
        let Some(live) = store.get(&Key::new(namespaces, "", namespace)) else {
            return Err(not_found(self.cluster.resource(namespaces), namespace));
        };
        if !object::is_deleting(live) {
            return Ok(());
        }
        let mut details = resource.details(name);
        details["causes"] = json!([{
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated"),
        }]);
        let message = format!(
            "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} \
             because it is being terminated",
            resource.qualified()
        );
        Err(Status::new(403, "Forbidden", message).with_details(details))
    }

    fn update(&self, store: &mut Store, live: &Value, mut object: Value) -> Result<Value, Status> {
        let resource = self.resource();
        object::set_type(&mut object, &resource.api_version(), &resource.kind);
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion"] {
            match live["metadata"].get(field) {
                Some(value) => object::set_meta(&mut object, field, value.clone()),
                None => object::drop_meta(&mut object, field),
            }
        }
        if &object == live {
            return Ok(object);
        }
        if has_generation(resource) && object["spec"] != live["spec"] {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object::set_meta(&mut object, "generation", generation);
        }
        if self.dry_run() {
            return Ok(object);
        }
        let key = self.key(&self.target.name);
        if object::is_deleting(&object) && object::finalizers(&object).is_empty() {
            store.remove_as(&key, object.clone());
            return Ok(object);
        }
        Ok(Value::clone(&store.put(key, object)))
    }

    fn live(&self, store: &Store) -> Result<Arc<Value>, Status> {
        let found = store.get(&self.key(&self.target.name)).cloned();
        found.ok_or_else(|| not_found(self.resource(), &self.target.name))
    }

    fn stale(&self) -> Status {
        let (resource, name) = (self.resource(), &self.target.name);
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            resource.qualified()
        );
        Status::new(409, "Conflict", message).with_details(resource.details(name))
    }

    fn key(&self, name: &str) -> Key {
        let namespace = if self.resource().namespaced { self.target.namespace.as_str() } else { "" };
        Key::new(self.id, namespace, name)
    }
}

/// Kinds whose spec changes are counted.
fn has_generation(resource: &Resource) -> bool {
    !matches!(
        resource.kind.as_str(),
        "Namespace"
            | "ConfigMap"
            | "Lease"
            | "Event"
            | "Node"
            | "Secret"
            | "Service"
            | "Endpoints"
            | "ServiceAccount"
            | "Role"
            | "RoleBinding"
            | "ClusterRole"
            | "ClusterRoleBinding"
    )
}
