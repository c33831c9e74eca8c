//! Create, replace, patch and apply, with the checks in the order of a real server (scene 44).
//! What an object may be is decided by the rules; this file decides when they are asked.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::sim::api::access::Caller;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::commit::{Commit, Stored};
use crate::sim::api::object;
use crate::sim::api::options::{WriteKind, WriteOptions};
use crate::sim::api::query::Query;
use crate::sim::api::read::not_found;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;
use crate::sim::api::store::Store;
use crate::sim::rules::apply::{self, ApplyOptions, UpdateOptions};
use crate::sim::rules::decode::{self, Decoded, Format};
use crate::sim::rules::kinds;
use crate::sim::rules::patch::{self, Sort};
use crate::sim::rules::rbac;
use crate::sim::rules::schema::Kind;

/// What an unnamed manager with no User-Agent is called.
const UNKNOWN_MANAGER: &str = "unknown";

/// One write as it came in.
pub struct Write<'a> {
    pub cluster: &'a Cluster,
    pub id: ResourceId,
    pub resource: &'a Arc<Resource>,
    pub target: &'a Target,
    pub query: &'a Query,
    pub body: &'a Bytes,
    pub content_type: &'a str,
    pub user_agent: &'a str,
    pub caller: &'a Caller,
}

/// What a write leaves behind.
pub struct Written {
    pub code: u16,
    pub object: Value,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

impl Written {
    fn new(code: u16, stored: Stored, mut warnings: Vec<String>) -> Self {
        warnings.extend(stored.warnings);
        Self { code, object: stored.object, warnings }
    }
}

impl Write<'_> {
    /// POST to a collection.
    pub fn create(&self) -> Result<Written, Status> {
        let format = self.format()?;
        let options = WriteOptions::parse(self.query, WriteKind::Create)?;
        let kind = self.kind();
        let decoded = decode::decode(self.body, format, &kind, options.validation)?;
        let mut object = decoded.object;
        self.settle_namespace(&mut object)?;
        self.commit(&kind, &options).drop_server_fields(&mut object);
        kinds::default(&mut object, &kind);
        self.track(None, &mut object, &options, &kind);
        self.check_grant(&object)?;
        let stored = self.cluster.write(|store| self.commit(&kind, &options).insert(store, object))?;
        Ok(Written::new(201, stored, decoded.warnings))
    }

    /// PUT of one object.
    pub fn replace(&self) -> Result<Written, Status> {
        let format = self.format()?;
        let options = WriteOptions::parse(self.query, WriteKind::Update)?;
        let kind = self.kind();
        let Decoded { mut object, warnings } = decode::decode(self.body, format, &kind, options.validation)?;
        self.check_name(&object)?;
        self.settle_namespace(&mut object)?;
        kinds::default(&mut object, &kind);
        let mut code = 200;
        let stored = self.cluster.write(|store| {
            let commit = self.commit(&kind, &options);
            if kinds::is_made_by_put(&kind) && commit.found(store).is_none() {
                code = 201;
                self.caller.check_create(self.target)?;
                commit.drop_server_fields(&mut object);
                object::drop_meta(&mut object, "resourceVersion");
                self.track(None, &mut object, &options, &kind);
                return commit.insert(store, object);
            }
            let live = commit.live(store)?;
            commit.check_uid(&live, &object)?;
            let mut object = self.only_status(&live, object);
            self.track(Some(&live), &mut object, &options, &kind);
            self.check_grant(&object)?;
            commit.update(store, &live, object)
        })?;
        Ok(Written::new(code, stored, warnings))
    }

    /// PATCH of one object, in any of its languages.
    pub fn patch(&self) -> Result<Written, Status> {
        match self.patch_sort()? {
            Sort::Apply => self.apply(),
            sort @ (Sort::Merge | Sort::Json | Sort::Strategic) => self.patch_live(sort),
        }
    }

    fn patch_live(&self, sort: Sort) -> Result<Written, Status> {
        let options = WriteOptions::parse(self.query, WriteKind::Patch)?;
        let kind = self.kind();
        let mut warnings = Vec::new();
        let stored = self.cluster.write(|store| {
            let commit = self.commit(&kind, &options);
            let live = commit.live(store)?;
            let decoded = patch::patch(&live, self.body, sort, &kind, options.validation)?;
            warnings = decoded.warnings;
            let mut object = decoded.object;
            self.check_name(&object)?;
            self.settle_namespace(&mut object)?;
            kinds::default(&mut object, &kind);
            commit.check_uid(&live, &object)?;
            let mut object = self.only_status(&live, object);
            self.track(Some(&live), &mut object, &options, &kind);
            self.check_grant(&object)?;
            commit.update(store, &live, object)
        })?;
        Ok(Written::new(200, stored, warnings))
    }

    fn apply(&self) -> Result<Written, Status> {
        let options = WriteOptions::parse(self.query, WriteKind::Apply)?;
        let kind = self.kind();
        let body = decode::apply_body(self.body, &kind, options.validation)?;
        let apply_options = ApplyOptions {
            manager: &options.manager,
            force: options.force,
            subresource: &self.target.subresource,
            now: &self.cluster.clock().stamp(),
        };
        let mut code = 200;
        let stored = self.cluster.write(|store| {
            let commit = self.commit(&kind, &options);
            let live = commit.found(store);
            let mut object = apply::apply(live.as_deref(), &body, &apply_options, &kind)?;
            self.check_name(&object)?;
            self.settle_namespace(&mut object)?;
            kinds::default(&mut object, &kind);
            match live {
                Some(live) => {
                    let object = self.only_status_applied(&live, object);
                    commit.update(store, &live, object)
                }
                None if !self.target.subresource.is_empty() => {
                    Err(not_found(self.resource, &self.target.name))
                }
                None => {
                    code = 201;
                    commit.check_no_uid(&body)?;
                    self.create_by_apply(store, &commit, object)
                }
            }
        })?;
        Ok(Written::new(code, stored, Vec::new()))
    }

    fn create_by_apply(
        &self,
        store: &mut Store,
        commit: &Commit<'_>,
        mut object: Value,
    ) -> Result<Stored, Status> {
        self.caller.check_create(self.target)?;
        commit.drop_server_fields(&mut object);
        object::drop_meta(&mut object, "resourceVersion");
        commit.insert(store, object)
    }

    fn kind(&self) -> Kind {
        self.resource.rules_kind()
    }

    fn commit<'k>(&'k self, kind: &'k Kind, options: &WriteOptions) -> Commit<'k> {
        let user = &self.caller.user;
        let dry_run = options.dry_run;
        let (cluster, id, target) = (self.cluster, self.id, self.target);
        Commit { cluster, id, resource: self.resource, target, kind, user, dry_run }
    }

    /// Files a write under its manager: the one named, or the program that sent it.
    fn track(&self, live: Option<&Value>, object: &mut Value, options: &WriteOptions, kind: &Kind) {
        let update = UpdateOptions {
            manager: self.manager(options),
            subresource: &self.target.subresource,
            now: &self.cluster.clock().stamp(),
        };
        apply::track_update(live, object, &update, kind);
    }

    /// The name a write is filed under.
    pub fn manager<'o>(&'o self, options: &'o WriteOptions) -> &'o str {
        let agent = self.user_agent.split('/').next().unwrap_or_default();
        let unnamed = if agent.is_empty() { UNKNOWN_MANAGER } else { agent };
        if options.manager.is_empty() { unnamed } else { &options.manager }
    }

    /// A review as it was sent: read like any new object, and not stored.
    pub fn read_review(&self) -> Result<(Value, WriteOptions, Kind), Status> {
        let format = self.format()?;
        let options = WriteOptions::parse(self.query, WriteKind::Create)?;
        let kind = self.kind();
        let mut review = decode::decode(self.body, format, &kind, options.validation)?.object;
        self.settle_namespace(&mut review)?;
        Ok((review, options, kind))
    }

    /// Nobody may hand out rights they do not have.
    fn check_grant(&self, object: &Value) -> Result<(), Status> {
        let resource = self.resource;
        if resource.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        rbac::may_grant(&self.caller.user, object, &resource.plural, &self.caller.rights)
    }

    fn format(&self) -> Result<Format, Status> {
        match media_type(self.content_type) {
            "" | "application/json" => Ok(Format::Json),
            "application/yaml" => Ok(Format::Yaml),
            _ => Err(Status::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )),
        }
    }

    fn patch_sort(&self) -> Result<Sort, Status> {
        let served = |sort: &Sort| !(*sort == Sort::Strategic && self.resource.custom);
        Sort::of(self.content_type).filter(served).ok_or_else(|| {
            if self.resource.definition.is_some() {
                let message = "the body of the request was in an unknown format - accepted media types \
                               include: application/json-patch+json, application/merge-patch+json, \
                               application/apply-patch+yaml";
                return Status::new(415, "UnsupportedMediaType", message);
            }
            Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with_details(json!({}))
        })
    }

    /// The name in the object and the one in the path must agree.
    fn check_name(&self, object: &Value) -> Result<(), Status> {
        let (sent, wanted) = (object::name(object), &self.target.name);
        if sent.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
            )));
        }
        if sent != wanted {
            return Err(Status::bad_request(format!(
                "the name of the object ({sent}) does not match the name on the URL ({wanted})"
            )));
        }
        Ok(())
    }

    fn settle_namespace(&self, object: &mut Value) -> Result<(), Status> {
        if !self.resource.namespaced {
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

    /// The same of an apply, which has settled who owns what.
    fn only_status_applied(&self, live: &Value, applied: Value) -> Value {
        if self.target.subresource.is_empty() {
            return applied;
        }
        let managers = applied["metadata"].get("managedFields").cloned();
        let mut object = self.only_status(live, applied);
        match managers {
            Some(managers) => object::set_meta(&mut object, "managedFields", managers),
            None => object::drop_meta(&mut object, "managedFields"),
        }
        object
    }

    /// A write to a subresource changes only its part of the object.
    fn only_status(&self, live: &Value, sent: Value) -> Value {
        let part = match self.target.subresource.as_str() {
            "status" => "/status",
            "finalize" => "/spec/finalizers",
            _ => return sent,
        };
        let mut object = live.clone();
        if part == "/status" {
            match (sent.get("status"), object.as_object_mut()) {
                (None, Some(fields)) => drop(fields.remove("status")),
                (status, _) => object["status"] = status.cloned().unwrap_or_default(),
            }
        } else {
            let left = sent.pointer(part).cloned().filter(|f| f.as_array().is_some_and(|f| !f.is_empty()));
            object["spec"] = left.map_or_else(|| json!({}), |left| json!({ "finalizers": left }));
        }
        if let Some(version) = sent["metadata"].get("resourceVersion") {
            object::set_meta(&mut object, "resourceVersion", version.clone());
        }
        object
    }
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
