//! The last word on a write before it is stored: ValidatingAdmissionPolicies with their bindings.
//! Called with the store held, after validation (422) and, for a create, before the name is taken
//! (409); dry runs come here too. It never changes the object, and it keeps no audit log.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::resources::Resource;
use crate::sim::api::status::Status;
use crate::sim::api::store::Store;
use crate::sim::rules::policies::evaluate::{self, Complaint, Request};
use crate::sim::rules::policies::matching::{self, Target, selects};
use crate::sim::rules::rbac::User;

/// The group of the policies; they are not asked about themselves.
const GROUP: &str = "admissionregistration.k8s.io";

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// One write as policies see it.
pub struct Admission<'a> {
    pub cluster: &'a Cluster,
    /// To look up policies, bindings, their parameters and the namespace.
    pub store: &'a Store,
    pub user: &'a User,
    pub operation: Operation,
    pub resource: &'a Resource,
    /// Such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Empty for cluster scope.
    pub namespace: &'a str,
    pub name: &'a str,
    /// As it would be stored; absent for a delete.
    pub object: Option<&'a Value>,
    /// As it is; absent for a create.
    pub old: Option<&'a Value>,
    pub dry_run: bool,
}

/// The texts of `Warning` headers, or the denial.
pub fn admit(write: &Admission<'_>) -> Result<Vec<String>, Status> {
    let policies = write.all("validatingadmissionpolicies");
    let bindings = write.all("validatingadmissionpolicybindings");
    if write.resource.group == GROUP || policies.is_empty() || bindings.is_empty() {
        return Ok(Vec::new());
    }
    let namespace = write.namespace_object();
    let versions = write.versions();
    let target = write.target(&versions, &namespace);
    let names = evaluate::bindings(&write.request(&namespace));
    let mut warnings = Vec::new();
    let mut denials = Vec::new();
    for policy in policies.iter().filter(|one| matching::matches(&one["spec"]["matchConstraints"], &target)) {
        let bound = bindings.iter().filter(|one| one["spec"]["policyName"] == object::name(policy));
        for binding in bound.filter(|one| matching::matches(&one["spec"]["matchResources"], &target)) {
            let params = match write.params(policy, binding) {
                Ok(params) => params,
                Err(_) if policy["spec"]["failurePolicy"] == "Ignore" => continue,
                Err(said) => {
                    denials.push(Complaint { message: denied(policy, binding, &said), reason: "Invalid" });
                    continue;
                }
            };
            for params in params {
                for complaint in evaluate::complaints(policy, &names, &params) {
                    settle(policy, binding, &complaint, &mut warnings, &mut denials);
                }
            }
        }
    }
    match denials.into_iter().next() {
        Some(denial) => Err(write.refusal(&denial)),
        None => Ok(warnings),
    }
}

/// Does with a complaint what the binding says.
fn settle(
    policy: &Value,
    binding: &Value,
    complaint: &Complaint,
    warnings: &mut Vec<String>,
    denials: &mut Vec<Complaint>,
) {
    let actions = binding["spec"]["validationActions"].as_array();
    let has = |action: &str| actions.is_some_and(|actions| actions.iter().any(|one| one == action));
    if has("Warn") {
        warnings.push(format!(
            "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
            object::name(policy),
            object::name(binding),
            complaint.message
        ));
    }
    if has("Deny") {
        let message = denied(policy, binding, &complaint.message);
        denials.push(Complaint { message, reason: complaint.reason });
    }
}

fn denied(policy: &Value, binding: &Value, said: &str) -> String {
    let (policy, binding) = (object::name(policy), object::name(binding));
    format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {said}")
}

impl Admission<'_> {
    /// All policies or bindings, in the order of their names.
    fn all(&self, plural: &str) -> Vec<Arc<Value>> {
        let Some(id) = self.cluster.catalog().find(GROUP, "v1", plural) else { return Vec::new() };
        self.store.list(id, "").into_iter().map(|(_, object)| object).collect()
    }

    /// The namespace around the object; null for cluster scope.
    fn namespace_object(&self) -> Arc<Value> {
        let id = self.cluster.catalog().find("", "v1", "namespaces");
        let key =
            id.filter(|_| !self.namespace.is_empty()).map(|id| self.cluster.key(id, "", self.namespace));
        key.and_then(|key| self.store.get(&key).cloned()).unwrap_or_default()
    }

    /// The version of this write, then the others its resource is served in.
    fn versions(&self) -> Vec<String> {
        let own = self.resource;
        let catalog = self.cluster.catalog();
        let served = catalog.iter().map(|(_, one)| one);
        let others = served.filter(|one| one.group == own.group && one.plural == own.plural);
        let others = others.map(|one| one.version.clone()).filter(|version| *version != own.version);
        std::iter::once(own.version.clone()).chain(others).collect()
    }

    fn target<'t>(&'t self, versions: &'t [String], namespace: &'t Value) -> Target<'t> {
        Target {
            operation: self.operation.word(),
            group: &self.resource.group,
            versions,
            resource: &self.resource.plural,
            subresource: self.subresource,
            name: self.name,
            namespaced: self.resource.namespaced,
            object: self.object.unwrap_or(&Value::Null),
            old: self.old.unwrap_or(&Value::Null),
            namespace,
        }
    }

    fn request<'t>(&'t self, namespace: &'t Value) -> Request<'t> {
        Request {
            operation: self.operation.word(),
            group: &self.resource.group,
            version: &self.resource.version,
            kind: &self.resource.kind,
            resource: &self.resource.plural,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            user: self.user,
            dry_run: self.dry_run,
            object: self.object.unwrap_or(&Value::Null),
            old: self.old.unwrap_or(&Value::Null),
            namespace_object: namespace,
        }
    }

    /// The parameters a binding points at, one evaluation each: null once where there are none to be,
    /// nothing where none is there and that is allowed.
    fn params(&self, policy: &Value, binding: &Value) -> Result<Vec<Value>, String> {
        let (kind, reference) = (&policy["spec"]["paramKind"], &binding["spec"]["paramRef"]);
        if kind.is_null() || reference.is_null() {
            return Ok(vec![Value::Null]);
        }
        let of = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (of(kind, "apiVersion"), of(kind, "kind"));
        let Some(id) = self.cluster.catalog().of_kind(&api_version, &kind) else {
            return Err(format!(
                "failed to configure policy: failed to find resource referenced by paramKind: \
                 '{api_version}, Kind={kind}'"
            ));
        };
        let namespaced = self.cluster.resource(id).namespaced;
        let mut namespace = of(reference, "namespace");
        if !namespaced && !namespace.is_empty() {
            let said = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err(format!("failed to configure binding: {said}"));
        }
        if namespaced && namespace.is_empty() {
            self.namespace.clone_into(&mut namespace);
        }
        if namespaced && namespace.is_empty() {
            let said =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(format!("failed to configure binding: {said}"));
        }
        let name = of(reference, "name");
        let found: Vec<Value> = if name.is_empty() {
            let all = self
                .store
                .list(self.cluster.storage(id), &namespace)
                .into_iter()
                .map(|(_, object)| Value::clone(&object));
            all.filter(|one| selects(&reference["selector"], &one["metadata"]["labels"])).collect()
        } else {
            self.store
                .get(&self.cluster.key(id, &namespace, &name))
                .map(|one| Value::clone(one))
                .into_iter()
                .collect()
        };
        if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
            let said = "no params found for policy binding with `Deny` parameterNotFoundAction";
            return Err(format!("failed to configure binding: {said}"));
        }
        Ok(found)
    }

    fn refusal(&self, denial: &Complaint) -> Status {
        let code = match denial.reason {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        let mut details = self.resource.details(self.name);
        details["causes"] = json!([{ "message": denial.message }]);
        let message =
            format!("{} \"{}\" is forbidden: {}", self.resource.qualified(), self.name, denial.message);
        Status::new(code, denial.reason, message).with_details(details)
    }
}
