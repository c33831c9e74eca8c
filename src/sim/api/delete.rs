//! DELETE of one object and of a collection: preconditions, finalizers, propagation, and what the
//! server answers (scenes 21 to 23).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::api::admit::{self, Admission, Operation};
use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::options::{DeleteOptions, Propagation};
use crate::sim::api::read::not_found;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::status::Status;
use crate::sim::api::store::{Key, Store};
use crate::sim::rules::custom::names;
use crate::sim::rules::kinds;
use crate::sim::rules::rbac::User;

/// Namespaces a cluster cannot be without.
const KEPT: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Deletes one object, and says what the server answers, with texts for `Warning` headers.
pub fn delete(
    cluster: &Cluster,
    id: ResourceId,
    key: &Key,
    options: &DeleteOptions,
    user: &User,
) -> Result<(Value, Vec<String>), Status> {
    let resource = cluster.resource(id);
    let delete = Delete { cluster, resource: &resource, options, user, now: cluster.clock().stamp() };
    cluster.write(|store| {
        let name = key.path.rsplit('/').next().unwrap_or_default();
        delete.check_kept(name)?;
        let live = store.get(key).cloned().ok_or_else(|| not_found(&resource, name))?;
        delete.check_preconditions(&live)?;
        let warnings = delete.admit(store, &live)?;
        Ok((delete.carry_out(store, key, &live), warnings))
    })
}

/// Deletes the objects of a list as it was read; those that went meanwhile are no error.
pub fn delete_all(
    cluster: &Cluster,
    id: ResourceId,
    objects: &[Arc<Value>],
    options: &DeleteOptions,
    user: &User,
) -> Result<Vec<String>, Status> {
    let resource = cluster.resource(id);
    let delete = Delete { cluster, resource: &resource, options, user, now: cluster.clock().stamp() };
    let mut warnings = Vec::new();
    for object in objects {
        let key = cluster.key(id, object::namespace(object), object::name(object));
        cluster.write(|store| {
            let Some(live) = store.get(&key).cloned() else { return Ok(()) };
            delete.check_preconditions(&live)?;
            warnings.extend(delete.admit(store, &live)?);
            delete.carry_out(store, &key, &live);
            Ok(())
        })?;
    }
    Ok(warnings)
}

struct Delete<'a> {
    cluster: &'a Cluster,
    resource: &'a Resource,
    options: &'a DeleteOptions,
    user: &'a User,
    now: String,
}

impl Delete<'_> {
    fn is_of(&self, kind: &str) -> bool {
        self.resource.group.is_empty() && self.resource.kind == kind
    }

    fn check_kept(&self, name: &str) -> Result<(), Status> {
        if !self.is_of("Namespace") || !KEPT.contains(&name) {
            return Ok(());
        }
        let message = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        Err(Status::new(403, "Forbidden", message).with_details(self.resource.details(name)))
    }

    fn check_preconditions(&self, live: &Value) -> Result<(), Status> {
        let (uid, version) = (object::uid(live), object::resource_version(live));
        if !self.options.uid.is_empty() && self.options.uid != uid {
            return Err(self.failed(
                live,
                &format!(
                    "the UID in the precondition ({}) does not match the UID in record ({uid}). The object \
                 might have been deleted and then recreated",
                    self.options.uid
                ),
            ));
        }
        if !self.options.version.is_empty() && self.options.version != version {
            return Err(self.failed(
                live,
                &format!(
                    "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in \
                 record ({version}). The object might have been modified",
                    self.options.version
                ),
            ));
        }
        Ok(())
    }

    /// Asks the admission policies.
    fn admit(&self, store: &Store, live: &Value) -> Result<Vec<String>, Status> {
        admit::admit(&Admission {
            cluster: self.cluster,
            store,
            user: self.user,
            operation: Operation::Delete,
            resource: self.resource,
            subresource: "",
            namespace: object::namespace(live),
            name: object::name(live),
            object: None,
            old: Some(live),
            dry_run: self.options.dry_run,
        })
    }

    fn failed(&self, live: &Value, why: &str) -> Status {
        let name = object::name(live);
        let kind = self.resource.qualified_kind();
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
        Status::new(409, "Conflict", message).with_details(self.resource.kind_details(name))
    }

    /// Removes the object, or marks it as going where something holds it.
    fn carry_out(&self, store: &mut Store, key: &Key, live: &Value) -> Value {
        let going = self.going(live);
        let grace = going["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        let held = self.is_of("Namespace") || grace > 0 || !object::finalizers(&going).is_empty();
        if !held && self.is_of("Pod") {
            return self.remove_pod(store, key, going);
        }
        if !held {
            if !self.options.dry_run {
                store.remove(key);
            }
            return self.success(live);
        }
        if &going == live || self.options.dry_run {
            return going;
        }
        Value::clone(&store.put(key.clone(), going))
    }

    /// A pod is marked first and removed then: watches see both, and the answer is the pod.
    fn remove_pod(&self, store: &mut Store, key: &Key, going: Value) -> Value {
        if self.options.dry_run {
            return going;
        }
        let marked = store.put(key.clone(), going);
        let removed = store.remove(key).unwrap_or(marked);
        Value::clone(&removed)
    }

    /// The object as it is once the delete has begun.
    fn going(&self, live: &Value) -> Value {
        let mut going = live.clone();
        let mut finalizers = object::finalizers(live);
        let begun = object::is_deleting(live);
        if self.resource.group == "apiextensions.k8s.io" {
            return if begun { going } else { self.ending_definition(going) };
        }
        let added = match self.options.propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        };
        if let Some(added) = added.filter(|added| !begun && !finalizers.iter().any(|f| f == added)) {
            finalizers.push(added.to_owned());
            object::set_meta(&mut going, "finalizers", finalizers);
        }
        if begun {
            return self.shortened(going);
        }
        object::set_meta(&mut going, "deletionTimestamp", self.now.as_str());
        if self.is_of("Namespace") {
            going["status"]["phase"] = json!("Terminating");
        } else {
            object::set_meta(&mut going, "deletionGracePeriodSeconds", self.grace_period(live));
        }
        if kinds::has_generation(&self.resource.rules_kind()) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object::set_meta(&mut going, "generation", generation);
        }
        going
    }

    /// A definition goes once its objects are gone; that is noted without a manager.
    fn ending_definition(&self, mut going: Value) -> Value {
        let mut finalizers = object::finalizers(&going);
        finalizers.push(names::CLEANUP.to_owned());
        object::set_meta(&mut going, "finalizers", finalizers);
        object::set_meta(&mut going, "deletionTimestamp", self.now.as_str());
        names::mark_ending(&mut going, &self.now);
        going
    }

    /// A second delete may shorten what is left of a pod's time.
    fn shortened(&self, mut going: Value) -> Value {
        let left = going["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if let Some(wanted) = self.options.grace_period_secs.filter(|wanted| *wanted < left) {
            object::set_meta(&mut going, "deletionGracePeriodSeconds", wanted);
        }
        going
    }

    /// Only a scheduled pod that has not ended takes time to go.
    fn grace_period(&self, live: &Value) -> i64 {
        let scheduled = live.pointer("/spec/nodeName").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        let phase = live.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        if !self.is_of("Pod") || !scheduled || matches!(phase, "Succeeded" | "Failed") {
            return 0;
        }
        let own = live.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        self.options.grace_period_secs.or(own).unwrap_or(30)
    }

    /// The Status of a delete that is done.
    fn success(&self, live: &Value) -> Value {
        let mut details = self.resource.details(object::name(live));
        details["uid"] = json!(object::uid(live));
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": details,
        })
    }
}
