//! Validation of `metadata`, the same for every kind: names, labels, annotations, finalizers,
//! owners, and what may not change (scenes 05, 23, 32, 42). Names take the rule of their kind.

use serde_json::{Map, Value};

use super::errors::{FieldError, quote};
use super::schema::{Kind, Type};
use super::shape;
use super::words::{self, Breaches};

/// All annotations of an object together may not be longer, in bytes.
const ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with the metadata of an object by itself.
pub fn validate(object: &Value, kind: &Kind) -> Vec<FieldError> {
    let meta = &object["metadata"];
    let rule = name_rule(kind);
    let mut errors = Vec::new();
    let (name, prefix) = (text(meta, "name"), text(meta, "generateName"));
    if !prefix.is_empty() {
        // What the server appends never ends a name badly, so a trailing dash is fine.
        let whole = format!("{}x", prefix.trim_end_matches('-'));
        errors.extend(refused("metadata.generateName", prefix, rule(&whole)));
    }
    if name.is_empty() && prefix.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if !name.is_empty() {
        errors.extend(refused("metadata.name", name, rule(name)));
    }
    errors.extend(common(meta));
    errors.extend(finalizers(meta));
    errors
}

/// What is wrong with the change from `old` to `new`.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (meta, before) = (&new["metadata"], &old["metadata"]);
    let mut errors = Vec::new();
    if !before["deletionTimestamp"].is_null() {
        errors.extend(no_new_finalizers(meta, before));
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if meta[field] != before[field] {
            errors.push(FieldError::invalid(format!("metadata.{field}"), &meta[field], "field is immutable"));
        }
    }
    errors.extend(common(meta));
    errors
}

fn name_rule(kind: &Kind) -> fn(&str) -> Breaches {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => words::label,
        ("", "Service") => words::label_1035,
        ("rbac.authorization.k8s.io", _) => words::path_segment,
        _ => words::subdomain,
    }
}

fn common(meta: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(labels) = meta["labels"].as_object() {
        errors.extend(labels_at("metadata.labels", labels));
    }
    if let Some(annotations) = meta["annotations"].as_object() {
        errors.extend(annotations_of(annotations));
    }
    errors.extend(owners(meta));
    errors
}

/// Keys and values of labels, also of `matchLabels`.
pub fn labels_at(field: &str, labels: &Map<String, Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(refused(field, key, words::qualified(key)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(refused(field, value, words::label_value(value)));
    }
    errors
}

fn annotations_of(annotations: &Map<String, Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations {
        errors.extend(refused("metadata.annotations", key, words::qualified(&key.to_lowercase())));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS));
    }
    errors
}

fn owners(meta: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers: Vec<String> = Vec::new();
    for owner in meta["ownerReferences"].as_array().into_iter().flatten() {
        let at = |field: &str| format!("metadata.ownerReferences.{field}");
        if text(owner, "apiVersion").is_empty() {
            errors.push(FieldError::invalid(
                at("apiVersion"),
                &owner["apiVersion"],
                "version must not be empty",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                errors.push(FieldError::invalid(at(field), &owner[field], "must not be empty"));
            }
        }
        if owner["controller"] == true {
            controllers.push(format!("{}/{}", text(owner, "kind"), text(owner, "name")));
        }
    }
    if let [first, second, ..] = &controllers[..] {
        let said = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        let references = Type::List(Box::new(Type::Struct("OwnerReference".to_owned())));
        let shown = shape::ordered_text(&meta["ownerReferences"], &references);
        errors.push(FieldError {
            reason: "FieldValueInvalid",
            field: "metadata.ownerReferences".to_owned(),
            message: format!("Invalid value: {shown}: {said}"),
        });
    }
    errors
}

fn finalizers(meta: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, name) in meta["finalizers"].as_array().into_iter().flatten().enumerate() {
        let (field, name) = (format!("metadata.finalizers[{index}]"), name.as_str().unwrap_or_default());
        errors.extend(refused(&field, name, words::qualified(name)));
        let standard = ["kubernetes", "orphan", "foregroundDeletion"].contains(&name);
        if !standard && !name.contains('/') {
            let said = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid_text(field, name, said));
        }
    }
    errors
}

fn no_new_finalizers(meta: &Value, before: &Value) -> Option<FieldError> {
    let held = |meta: &Value| -> Vec<String> {
        let list = meta["finalizers"].as_array().into_iter().flatten();
        list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let earlier = held(before);
    let added: Vec<String> =
        held(meta).iter().filter(|name| !earlier.contains(name)).map(|name| quote(name)).collect();
    (!added.is_empty()).then(|| {
        FieldError::forbidden(
            "metadata.finalizers",
            format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            ),
        )
    })
}

fn refused(field: &str, value: &str, breaches: Breaches) -> Vec<FieldError> {
    breaches.into_iter().map(|said| FieldError::invalid_text(field, value, said)).collect()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}
