//! The shapes an object can be sent in: whole, metadata only, or as a table.
//! It never decides which; that is negotiation.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::sim::api::negotiate::Form;
use crate::sim::api::query::Query;
use crate::sim::api::resources::Resource;
use crate::sim::api::status::Status;

/// The metadata form of one object.
pub fn metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// The metadata form of a list. An empty one has no items at all, as in a real server.
fn metadata_list(list: &Value) -> Value {
    let items: Vec<Value> = list["items"].as_array().into_iter().flatten().map(metadata).collect();
    json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": list["metadata"],
        "items": if items.is_empty() { Value::Null } else { Value::Array(items) },
    })
}

/// Shapes an answer, or says why it cannot be had in that shape.
pub fn shape(
    value: Value,
    form: Form,
    is_list: bool,
    resource: &Resource,
    _query: &Query,
    _now: DateTime<Utc>,
) -> Result<Value, Status> {
    match form {
        Form::Metadata if is_list => Err(not_acceptable("PartialObjectMetadata", resource, true)),
        Form::MetadataList if !is_list => Err(not_acceptable("PartialObjectMetadataList", resource, false)),
        Form::Metadata => Ok(metadata(&value)),
        Form::MetadataList => Ok(metadata_list(&value)),
        Form::Whole | Form::Table | Form::TableBeta | Form::Discovery => Ok(value),
    }
}

fn not_acceptable(asked: &str, resource: &Resource, is_list: bool) -> Status {
    let package = package(&resource.group);
    let (not, kind) = if is_list { ("", resource.list_kind()) } else { ("not ", resource.kind.clone()) };
    let message =
        format!("you requested {asked}, but the requested object is {not}a list (*{package}.{kind})");
    Status::new(406, "NotAcceptable", message)
}

/// The Go package a message names a built-in type with.
fn package(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

/// How the events of one watch are shaped.
pub struct EventShape {
    form: Form,
}

impl EventShape {
    pub fn new(form: Form, _resource: &Resource, _query: &Query) -> Self {
        Self { form }
    }

    /// The list form on a watch: the stream ends before it began.
    pub fn is_refused(&self) -> bool {
        self.form == Form::MetadataList
    }

    /// The object of an event.
    pub fn shape(&mut self, object: &Value, _now: DateTime<Utc>) -> Value {
        match self.form {
            Form::Metadata | Form::MetadataList => metadata(object),
            Form::Whole | Form::Table | Form::TableBeta | Form::Discovery => object.clone(),
        }
    }

    /// The object of a bookmark: empty but for its version.
    pub fn bookmark(&self, resource: &Resource, version: u64, initial_end: bool) -> Value {
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        if self.form == Form::Metadata {
            return json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            });
        }
        let mut object = json!({
            "kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata,
        });
        empty_fields(resource, &mut object);
        object
    }
}

/// The fields that an empty object of a kind still has.
fn empty_fields(resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "NetworkPolicy" => object["spec"] = json!({ "podSelector": {} }),
        "Namespace" => {
            object["spec"] = json!({});
            object["status"] = json!({});
        }
        "Pod" => {
            object["spec"] = json!({ "containers": null });
            object["status"] = json!({});
        }
        _ => {}
    }
}
