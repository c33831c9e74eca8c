//! The shapes an object can be sent in: whole, metadata only, or as a table.
//! It never decides which; that is negotiation.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::sim::api::negotiate::Form;
use crate::sim::api::object;
use crate::sim::api::query::Query;
use crate::sim::api::resources::Resource;
use crate::sim::api::status::Status;
use crate::sim::rules::custom::definition::Definition;
use crate::sim::rules::{shape, table};

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
        "metadata": list_metadata(list),
        "items": if items.is_empty() { Value::Null } else { Value::Array(items) },
    })
}

/// The metadata of a list in another form: that there is no next page is not said there.
fn list_metadata(list: &Value) -> Value {
    let mut metadata = list["metadata"].clone();
    if let Some(fields) = metadata.as_object_mut().filter(|fields| fields.get("continue") == Some(&json!("")))
    {
        fields.remove("continue");
    }
    metadata
}

/// What a table is asked to carry beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    Metadata,
    Object,
    Nothing,
}

impl Carried {
    fn parse(query: &Query) -> Result<Self, Status> {
        match query.get("includeObject") {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::Nothing),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: \"{other}\": must \
                 be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// Makes tables of one resource.
#[derive(Debug, Clone)]
struct Tables {
    group: String,
    plural: String,
    api_version: String,
    kind: String,
    definition: Option<Arc<Definition>>,
    /// `v1` or `v1beta1` of the table itself.
    version: &'static str,
    carried: Carried,
}

impl Tables {
    fn new(form: Form, resource: &Resource, carried: Carried) -> Self {
        Self {
            group: resource.group.clone(),
            plural: resource.plural.clone(),
            api_version: resource.api_version(),
            kind: resource.kind.clone(),
            definition: resource.definition.clone(),
            version: if form == Form::TableBeta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" },
            carried,
        }
    }

    fn table(&self, metadata: &Value, objects: &[&Value], with_columns: bool, now: DateTime<Utc>) -> Value {
        let columns = match &self.definition {
            _ if !with_columns => Value::Null,
            Some(definition) => definition.columns(),
            None => table::columns(&self.group, &self.plural),
        };
        let rows: Vec<Value> = objects.iter().map(|object| self.row(object, now)).collect();
        json!({
            "kind": "Table", "apiVersion": self.version, "metadata": metadata,
            "columnDefinitions": columns, "rows": rows,
        })
    }

    fn row(&self, object: &Value, now: DateTime<Utc>) -> Value {
        let carried = match self.carried {
            Carried::Nothing => Value::Null,
            Carried::Metadata => {
                let mut partial = metadata(object);
                partial["apiVersion"] = json!(self.version);
                partial
            }
            Carried::Object => {
                let mut whole = object.clone();
                object::set_type(&mut whole, &self.api_version, &self.kind);
                whole
            }
        };
        let cells = match &self.definition {
            Some(definition) => definition.cells(object, now),
            None => table::cells(&self.group, &self.plural, object, now),
        };
        json!({ "cells": cells, "object": carried })
    }
}

/// Shapes an answer, or says why it cannot be had in that shape.
pub fn shape(
    value: Value,
    form: Form,
    is_list: bool,
    resource: &Resource,
    query: &Query,
    now: DateTime<Utc>,
) -> Result<Value, Status> {
    match form {
        Form::Metadata if is_list => Err(not_acceptable("PartialObjectMetadata", resource, true)),
        Form::MetadataList if !is_list => Err(not_acceptable("PartialObjectMetadataList", resource, false)),
        Form::Metadata => Ok(metadata(&value)),
        Form::MetadataList => Ok(metadata_list(&value)),
        Form::Table | Form::TableBeta => {
            let tables = Tables::new(form, resource, Carried::parse(query)?);
            if !is_list {
                let of = json!({ "resourceVersion": object::resource_version(&value) });
                return Ok(tables.table(&of, &[&value], true, now));
            }
            let items: Vec<&Value> = value["items"].as_array().into_iter().flatten().collect();
            Ok(tables.table(&list_metadata(&value), &items, true, now))
        }
        Form::Whole | Form::Discovery => Ok(value),
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
    tables: Tables,
    /// The columns were sent: they come with the first event only.
    has_columns: bool,
}

impl EventShape {
    pub fn new(form: Form, resource: &Resource, query: &Query) -> Result<Self, Status> {
        let tables = Tables::new(form, resource, Carried::parse(query)?);
        Ok(Self { form, tables, has_columns: false })
    }

    /// The list form on a watch: the stream ends before it began.
    pub fn is_refused(&self) -> bool {
        self.form == Form::MetadataList
    }

    /// The object of an event.
    pub fn shape(&mut self, object: &Value, now: DateTime<Utc>) -> Value {
        match self.form {
            Form::Metadata | Form::MetadataList => metadata(object),
            Form::Table | Form::TableBeta => {
                let of = json!({ "resourceVersion": object::resource_version(object) });
                let with_columns = !self.has_columns;
                self.has_columns = true;
                self.tables.table(&of, &[object], with_columns, now)
            }
            Form::Whole | Form::Discovery => object.clone(),
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
        if matches!(self.form, Form::Table | Form::TableBeta) {
            return json!({
                "kind": "Table", "apiVersion": self.tables.version, "metadata": metadata,
                "columnDefinitions": null, "rows": [],
            });
        }
        let mut object = shape::empty(&resource.rules_kind());
        object::set_type(&mut object, &resource.api_version(), &resource.kind);
        object["metadata"] = metadata;
        object
    }
}
