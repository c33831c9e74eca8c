//! The last part of every write: admission by the namespace, what the server sets itself,
//! validation, preconditions, and the store. Called with the store held, so it is one step.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::api::admit::{self, Admission, Operation};
use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::read::not_found;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;
use crate::sim::api::store::{Key, Store};
use crate::sim::rules::errors::{self, FieldError};
use crate::sim::rules::kinds;
use crate::sim::rules::rbac::User;
use crate::sim::rules::schema::Kind;

/// Larger objects do not fit into the store.
const OBJECT_LIMIT: usize = 1024 * 1024 * 3 / 2;

/// Where one write goes.
pub struct Commit<'a> {
    pub cluster: &'a Cluster,
    pub id: ResourceId,
    pub resource: &'a Resource,
    pub target: &'a Target,
    pub kind: &'a Kind,
    pub user: &'a User,
    pub dry_run: bool,
}

/// What a write left behind.
pub struct Stored {
    pub object: Value,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

impl Commit<'_> {
    /// Takes away what a client may not set on a new object.
    pub fn drop_server_fields(&self, object: &mut Value) {
        for field in [
            "uid",
            "selfLink",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            object::drop_meta(object, field);
        }
    }

    /// Stores a new object, or only says what would be stored.
    pub fn insert(&self, store: &mut Store, mut object: Value) -> Result<Stored, Status> {
        self.check_namespace(store, &object)?;
        self.complete(&mut object);
        let found = kinds::validate(&object, self.kind);
        if !found.is_empty() {
            return Err(self.invalid(&object, object::name(&object), &found));
        }
        let warnings = self.admit(store, None, &object)?;
        if !object::resource_version(&object).is_empty() {
            return Err(Status::internal("resourceVersion should not be set on objects to be created"));
        }
        let name = object::name(&object).to_owned();
        let key = self.key(&name);
        if let Some(live) = store.get(&key) {
            return Err(self.already_exists(&name, live));
        }
        check_size(&object)?;
        let object = if self.dry_run { object } else { self.put(store, key, object) };
        Ok(Stored { object, warnings })
    }

    /// Asks the admission policies about the object as it would be stored.
    fn admit(&self, store: &Store, old: Option<&Value>, object: &Value) -> Result<Vec<String>, Status> {
        admit::admit(&Admission {
            cluster: self.cluster,
            store,
            user: self.user,
            operation: if old.is_some() { Operation::Update } else { Operation::Create },
            resource: self.resource,
            subresource: &self.target.subresource,
            namespace: object::namespace(object),
            name: object::name(object),
            object: Some(object),
            old,
            dry_run: self.dry_run,
        })
    }

    /// The 422. A custom resource is called what it calls itself (scene 71).
    fn invalid(&self, object: &Value, name: &str, found: &[FieldError]) -> Status {
        let called = object["kind"].as_str().filter(|_| self.kind.custom.is_some());
        let kind = called.unwrap_or(&self.kind.kind);
        errors::invalid(kinds::group_in_errors(self.kind), kind, name, found)
    }

    /// What the server gives every new object.
    fn complete(&self, object: &mut Value) {
        self.set_type(object);
        object::set_meta(object, "uid", self.cluster.new_uid());
        object::set_meta(object, "creationTimestamp", self.cluster.clock().stamp());
        if kinds::has_generation(self.kind) {
            object::set_meta(object, "generation", 1);
        }
        let stem = object::meta(object, "generateName").to_owned();
        if object::name(object).is_empty() && !stem.is_empty() {
            object::set_meta(object, "name", format!("{stem}{}", self.cluster.new_suffix()));
            kinds::default(object, self.kind);
        }
        kinds::complete_new(object, self.kind);
        if self.starts_without_status() {
            object["status"] = json!({});
        } else if let (true, Some(fields)) =
            (self.resource.custom && self.resource.has_status(), object.as_object_mut())
        {
            fields.remove("status");
        }
        if self.kind.kind == "Node" && self.kind.group.is_empty() {
            taint_new_node(object);
        }
    }

    /// Whether a new object's status is empty whatever the client sent. Nodes report their own, and
    /// the rules know those of namespaces and pods.
    fn starts_without_status(&self) -> bool {
        let known =
            matches!(self.kind.kind.as_str(), "Node" | "Namespace" | "Pod") && self.kind.group.is_empty();
        let definition = self.kind.group == "apiextensions.k8s.io";
        self.resource.has_status() && !self.resource.custom && !known && !definition
    }

    /// Custom resources say themselves what they are.
    fn set_type(&self, object: &mut Value) {
        if self.kind.custom.is_none() {
            object::set_type(object, &self.kind.api_version(), &self.kind.kind);
        }
    }

    fn already_exists(&self, name: &str, live: &Value) -> Status {
        let resource = self.resource;
        let going = if object::is_deleting(live) { "object is being deleted: " } else { "" };
        let message = format!("{going}{} \"{name}\" already exists", resource.qualified());
        Status::new(409, "AlreadyExists", message).with_details(resource.details(name))
    }

    /// The namespace must be there and not going away; a pod needs its service account.
    fn check_namespace(&self, store: &Store, object: &Value) -> Result<(), Status> {
        let resource = self.resource;
        let (namespace, name) = (&self.target.namespace, object::name(object));
        if !resource.namespaced {
            return Ok(());
        }
        let namespaces = self.core("namespaces");
        let Some(live) = store.get(&Key::new(namespaces, "", namespace)) else {
            return Err(not_found(&self.cluster.resource(namespaces), namespace));
        };
        if object::is_deleting(live) {
            return Err(terminating(resource, namespace, name));
        }
        if self.kind.kind == "Pod" { self.check_account(store, object) } else { Ok(()) }
    }

    fn check_account(&self, store: &Store, pod: &Value) -> Result<(), Status> {
        let account = pod.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or_default();
        let account = if account.is_empty() { "default" } else { account };
        let namespace = &self.target.namespace;
        let there = store.get(&Key::new(self.core("serviceaccounts"), namespace, account)).is_some();
        if there {
            return Ok(());
        }
        let name = object::name(pod);
        let message = format!(
            "pods \"{name}\" is forbidden: error looking up service account {namespace}/{account}: \
             serviceaccount \"{account}\" not found"
        );
        Err(Status::new(403, "Forbidden", message).with_details(self.resource.details(name)))
    }

    fn core(&self, plural: &str) -> ResourceId {
        let found = self.cluster.catalog().find("", "v1", plural);
        found.expect("the built-in table has the core group, and a test reads it")
    }

    /// Stores a change, unless it changes nothing.
    pub fn update(&self, store: &mut Store, live: &Value, mut object: Value) -> Result<Stored, Status> {
        let sent = object::resource_version(&object);
        if sent.is_empty() && self.needs_version() {
            return Err(self.unconditional());
        }
        if !sent.is_empty() && sent != object::resource_version(live) {
            return Err(self.stale());
        }
        self.keep_server_fields(live, &mut object);
        let found = kinds::validate_update(&object, live, self.kind);
        if !found.is_empty() {
            return Err(self.invalid(&object, object::name(live), &found));
        }
        let warnings = self.admit(store, Some(live), &object)?;
        let key = self.key(&self.target.name);
        if object::is_deleting(&object) && is_released(&object) {
            if !self.dry_run {
                store.remove(&key);
            }
            return Ok(Stored { object, warnings });
        }
        if &object == live || self.dry_run {
            return Ok(Stored { object, warnings });
        }
        check_size(&object)?;
        Ok(Stored { object: self.put(store, key, object), warnings })
    }

    /// Kinds whose replacement must say which version it replaces.
    fn needs_version(&self) -> bool {
        self.resource.custom || self.kind.group == "coordination.k8s.io"
    }

    fn unconditional(&self) -> Status {
        let resource = self.resource;
        let field = "metadata.resourceVersion";
        let found = FieldError::invalid(field, &json!(0), "must be specified for an update");
        errors::invalid(&resource.group, &resource.plural, &self.target.name, &[found])
    }

    /// What a client cannot change stays as it is; a changed spec is counted.
    fn keep_server_fields(&self, live: &Value, object: &mut Value) {
        self.set_type(object);
        let before = &live["metadata"];
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            if object["metadata"].get(field).is_none_or(Value::is_null) {
                copy_meta(before, object, field);
            }
        }
        for field in ["generation", "resourceVersion", "selfLink"] {
            copy_meta(before, object, field);
        }
        if self.target.subresource.is_empty() {
            self.keep_status(live, object);
        }
        if kinds::has_generation(self.kind) && self.counts(live, object) {
            let generation = before["generation"].as_i64().unwrap_or(0) + 1;
            object::set_meta(object, "generation", generation);
        }
    }

    /// Whether a change is one that generations count: of the spec, and in custom resources of
    /// everything but the metadata and a status that is written apart.
    fn counts(&self, live: &Value, object: &Value) -> bool {
        if !self.resource.custom {
            return object["spec"] != live["spec"];
        }
        let apart = self.resource.has_status();
        let counted = |object: &Value| -> Vec<(String, Value)> {
            let fields = object.as_object().into_iter().flatten();
            let counted = fields.filter(|(name, _)| *name != "metadata" && !(apart && *name == "status"));
            counted.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        counted(live) != counted(object)
    }

    /// The status of a kind with a status subresource changes only there.
    fn keep_status(&self, live: &Value, object: &mut Value) {
        if !self.resource.has_status() {
            return;
        }
        match live.get("status") {
            Some(status) => object["status"] = status.clone(),
            None => drop(object.as_object_mut().map(|fields| fields.remove("status"))),
        }
        if self.kind.kind == "Namespace" {
            object["spec"] = live["spec"].clone();
        }
    }

    /// The object at the path, if it is there.
    pub fn found(&self, store: &Store) -> Option<Arc<Value>> {
        let found = store.get(&self.key(&self.target.name)).cloned()?;
        Some(self.resource.view(&self.kind.api_version(), found))
    }

    /// The object at the path.
    pub fn live(&self, store: &Store) -> Result<Arc<Value>, Status> {
        self.found(store).ok_or_else(|| not_found(self.resource, &self.target.name))
    }

    /// The uid in a replacement must be the object's.
    pub fn check_uid(&self, live: &Value, object: &Value) -> Result<(), Status> {
        let (sent, is) = (object::uid(object), object::uid(live));
        if sent.is_empty() || sent == is {
            return Ok(());
        }
        let key = self.key(&self.target.name);
        Err(self.conflict(&format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object meta: {is}",
            self.resource.plural, key.path
        )))
    }

    /// An apply that names a uid means an object that is there.
    pub fn check_no_uid(&self, body: &Value) -> Result<(), Status> {
        let sent = object::uid(body);
        if sent.is_empty() {
            return Ok(());
        }
        Err(self.conflict(&format!(
            "uid mismatch: the provided object specified uid {sent}, and no existing object was found"
        )))
    }

    fn stale(&self) -> Status {
        self.conflict(
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    fn conflict(&self, why: &str) -> Status {
        let (resource, name) = (self.resource, &self.target.name);
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Status::new(409, "Conflict", message).with_details(resource.details(name))
    }

    fn key(&self, name: &str) -> Key {
        let namespace = if self.resource.namespaced { self.target.namespace.as_str() } else { "" };
        self.cluster.key(self.id, namespace, name)
    }

    /// Stores an object; where versions share a place, in the form that place has.
    fn put(&self, store: &mut Store, key: Key, object: Value) -> Value {
        let (kept_as, shown_as) = (self.cluster.resource(key.resource), self.kind.api_version());
        if key.resource == self.id || self.resource.custom {
            return Value::clone(&store.put(key, object));
        }
        let stored = store.put(key, kinds::convert(&object, &kept_as.rules_kind()));
        Value::clone(&self.resource.view(&shown_as, stored))
    }
}

/// A node takes no pods until it has reported itself ready.
fn taint_new_node(node: &mut Value) {
    let taint = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
    match node["spec"]["taints"].as_array_mut() {
        Some(taints) => taints.push(taint),
        None => node["spec"]["taints"] = json!([taint]),
    }
}

fn copy_meta(from: &Value, object: &mut Value, field: &str) {
    match from.get(field) {
        Some(value) => object::set_meta(object, field, value.clone()),
        None => object::drop_meta(object, field),
    }
}

/// Nothing holds a deleted object any more: no finalizer, and of a namespace none in its spec.
pub fn is_released(object: &Value) -> bool {
    let held_by_spec =
        object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
    let graceful = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    object::finalizers(object).is_empty() && !held_by_spec && !graceful
}

fn terminating(resource: &Resource, namespace: &str, name: &str) -> Status {
    let mut details = resource.details(name);
    details["causes"] = json!([{
        "reason": "NamespaceTerminating", "field": "metadata.namespace",
        "message": format!("namespace {namespace} is being terminated"),
    }]);
    let message = format!(
        "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it \
         is being terminated",
        resource.qualified()
    );
    Status::new(403, "Forbidden", message).with_details(details)
}

/// What etcd says to a request it finds too large.
fn check_size(object: &Value) -> Result<(), Status> {
    if object.to_string().len() <= OBJECT_LIMIT {
        return Ok(());
    }
    Err(Status::internal("etcdserver: request is too large"))
}
