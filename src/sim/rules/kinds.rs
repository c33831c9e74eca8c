//! The rules that differ by kind, behind one door: defaults, validation, what the server fills in
//! on create. Callers need not know which kinds have rules. Kinds without any are left alone.

use serde_json::{Value, json};

use super::custom::{check, crd, prune};
use super::errors::FieldError;
use super::policies::objects as policies;
use super::schema::Kind;
use super::{configmap, events, lease, meta, networkpolicy, pods};

const ADMISSION: &str = "admissionregistration.k8s.io";

/// Fills in what a body leaves out; done when a body is read, so field ownership sees the result.
/// For a namespace with a generated name, done again once the name is known (scene 05).
pub fn default(object: &mut Value, kind: &Kind) {
    if let Some(definition) = &kind.custom {
        if object["kind"] == kind.kind {
            prune::default(object, &definition.node);
        }
        return;
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("networking.k8s.io", "NetworkPolicy") => networkpolicy::default(object),
        ("", "Namespace") => default_namespace(object),
        ("", "Pod") => pods::default(object),
        (ADMISSION, "ValidatingAdmissionPolicy") => policies::default_policy(object),
        (ADMISSION, "ValidatingAdmissionPolicyBinding") => policies::default_binding(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::default(object),
        _ => {}
    }
}

/// What the server adds to a new object after ownership is noted: the namespace's finalizer and
/// phase, the pod's account, tolerations and status (scenes 05 and 85).
pub fn complete_new(object: &mut Value, kind: &Kind) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
        }
        ("", "Pod") => pods::complete_new(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::complete_new(object),
        _ => {}
    }
}

/// What is wrong with a new object; empty means nothing.
pub fn validate(object: &Value, kind: &Kind) -> Vec<FieldError> {
    let mut errors = meta::validate(object, kind);
    errors.extend(validate_spec(object, kind));
    errors.extend(kind.custom.iter().flat_map(|definition| check::check(&definition.node, object, None)));
    errors
}

/// What is wrong with a change. Metadata is looked at three times, as in the real server, which
/// shows in the number of causes (scenes 32 and 33).
pub fn validate_update(new: &Value, old: &Value, kind: &Kind) -> Vec<FieldError> {
    let mut errors = meta::validate_update(new, old);
    if (kind.group.as_str(), kind.kind.as_str()) == ("", "Pod") {
        errors.extend(meta::validate_update(new, old));
        errors.extend(pods::validate_update(new, old));
        return errors;
    }
    if let Some(definition) = &kind.custom {
        errors.extend(meta::validate_update(new, old));
        errors.extend(wrong_kind(new, kind));
        errors.extend(check::check(&definition.node, new, Some(old)));
        return errors;
    }
    errors.extend(meta::validate(new, kind));
    errors.extend(validate_spec(new, kind));
    errors.extend(meta::validate_update(new, old));
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap") => errors.extend(configmap::validate_update(new, old)),
        ("apiextensions.k8s.io", _) => errors.extend(crd::validate_update(new, old)),
        _ if events::is_event(kind) => errors.extend(events::validate_update(new, old, kind)),
        _ => {}
    }
    errors
}

/// The group a 422 names the kind with: an event is always one of the core group.
pub fn group_in_errors(kind: &Kind) -> &str {
    if events::is_event(kind) { "" } else { &kind.group }
}

/// Whether a PUT of an object that is not there makes it (scenes 60 and 61).
pub fn is_made_by_put(kind: &Kind) -> bool {
    events::is_event(kind) || kind.group == "coordination.k8s.io"
}

/// The object as another version shows it.
pub fn convert(object: &Value, to: &Kind) -> Value {
    if events::is_event(to) {
        return events::convert(object, to);
    }
    let mut out = object.clone();
    out["apiVersion"] = json!(to.api_version());
    out
}

/// A custom resource says itself of what kind it is, so that can be wrong (scene 71).
fn wrong_kind(object: &Value, kind: &Kind) -> Option<FieldError> {
    let said = || FieldError::invalid("kind", &object["kind"], format!("must be {}", kind.kind));
    (object["kind"] != kind.kind).then(said)
}

/// Whether the kind counts changes of its spec in `metadata.generation` (scene 23).
pub fn has_generation(kind: &Kind) -> bool {
    !matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        (
            "",
            "Namespace"
                | "ConfigMap"
                | "Secret"
                | "Service"
                | "ServiceAccount"
                | "Node"
                | "Event"
                | "Endpoints"
        ) | ("rbac.authorization.k8s.io" | "coordination.k8s.io" | "events.k8s.io", _)
    )
}

fn validate_spec(object: &Value, kind: &Kind) -> Vec<FieldError> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("networking.k8s.io", "NetworkPolicy") => networkpolicy::validate_spec(object),
        ("", "Pod") => pods::validate_spec(object),
        (ADMISSION, "ValidatingAdmissionPolicy") => policies::validate_policy(object),
        (ADMISSION, "ValidatingAdmissionPolicyBinding") => policies::validate_binding(object),
        ("", "ConfigMap") => configmap::validate(object),
        ("coordination.k8s.io", "Lease") => lease::validate_spec(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::validate(object),
        _ if events::is_event(kind) => events::validate(object, kind),
        _ if kind.custom.is_some() => wrong_kind(object, kind).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A namespace carries its name as a label, whatever the client says.
fn default_namespace(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if name.as_str().is_some_and(|name| !name.is_empty()) {
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
}
