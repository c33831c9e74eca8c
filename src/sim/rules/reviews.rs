//! The reviews: who am I, may I, what may I, may somebody else (scene 52). Bodies come decoded;
//! answers are whole objects, never stored.

use serde_json::{Value, json};

use super::apply::{self, UpdateOptions};
use super::errors::{self, FieldError};
use super::rbac::{self, Attributes, Decision, Rights, User};
use super::schema::Kind;
use crate::sim::api::status::Status;

/// The answer to a SelfSubjectReview.
pub fn who_am_i(user: &User, now: &str) -> Value {
    let mut info = json!({ "username": user.name });
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": now}, "status": {"userInfo": info}})
}

/// The answer to a SelfSubjectAccessReview, SubjectAccessReview or LocalSubjectAccessReview.
pub fn may(
    mut review: Value,
    kind: &Kind,
    asking: &User,
    rights: &Rights,
    options: &UpdateOptions<'_>,
) -> Result<Value, Status> {
    let spec = &review["spec"];
    let about_self = kind.kind == "SelfSubjectAccessReview";
    let mut findings = Vec::new();
    if spec["resourceAttributes"].is_null() == spec["nonResourceAttributes"].is_null() {
        let said = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let field = if spec["resourceAttributes"].is_null() {
            "spec.resourceAttributes"
        } else {
            "spec.nonResourceAttributes"
        };
        findings.push(FieldError::invalid(field, &spec[field.trim_start_matches("spec.")], said));
    }
    let other = subject(spec);
    if !about_self && other.name.is_empty() && other.groups.is_empty() {
        let said = "at least one of user or group must be specified";
        findings.push(FieldError::invalid("spec.user", &spec["user"], said));
    }
    if !findings.is_empty() {
        return Err(errors::invalid(&kind.group, "", "", &findings));
    }
    let decision = rbac::authorize(if about_self { asking } else { &other }, &attributes(spec), rights);
    apply::track_update(None, &mut review, options, kind);
    review["status"] = match decision {
        Decision::Allowed(reason) if reason.is_empty() => json!({"allowed": true}),
        Decision::Allowed(reason) => json!({"allowed": true, "reason": reason}),
        Decision::NoOpinion => json!({"allowed": false}),
    };
    Ok(review)
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: text(&spec["user"]),
        uid: text(&spec["uid"]),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        ..User::default()
    }
}

fn attributes(spec: &Value) -> Attributes {
    let (of, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if of.is_null() {
        return Attributes { verb: text(&path["verb"]), path: text(&path["path"]), ..Attributes::default() };
    }
    Attributes {
        verb: text(&of["verb"]),
        group: text(&of["group"]),
        resource: text(&of["resource"]),
        subresource: text(&of["subresource"]),
        namespace: text(&of["namespace"]),
        name: text(&of["name"]),
        path: String::new(),
    }
}

/// The answer to a SelfSubjectRulesReview.
pub fn what_may_i(review: &Value, asking: &User, rights: &Rights) -> Result<Value, Status> {
    let namespace = text(&review["spec"]["namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (resources, paths) = rbac::rules_for(asking, &namespace, rights);
    Ok(
        json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}}),
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
