//! Short ways to read and write the metadata of an untyped object.
//! They never judge it: an absent or odd field reads as empty.

use serde_json::{Map, Value, json};

/// A text field of the metadata; empty if absent.
pub fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.pointer("/metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or("")
}

pub fn name(object: &Value) -> &str {
    meta(object, "name")
}

pub fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

pub fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

pub fn resource_version(object: &Value) -> &str {
    meta(object, "resourceVersion")
}

/// Whether a delete has begun.
pub fn is_deleting(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// The finalizers of the metadata.
pub fn finalizers(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

/// The metadata as a map, made if it was not there.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object on the line above")
}

/// Sets a metadata field.
pub fn set_meta(object: &mut Value, field: &str, value: impl Into<Value>) {
    metadata_mut(object).insert(field.to_owned(), value.into());
}

/// Removes a metadata field.
pub fn drop_meta(object: &mut Value, field: &str) {
    metadata_mut(object).remove(field);
}

/// Writes the type into the object: the server always answers with it, except in list items.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
}

/// The same object without its type, as items of a built-in list are sent.
pub fn without_type(object: &Value) -> Value {
    let mut bare = object.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    bare
}
