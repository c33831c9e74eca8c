//! One served version of a CustomResourceDefinition, as it acts on objects: schema, subresources,
//! columns of tables, fields that may be selected. Read once when it comes into force.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::node::Node;
use super::path;
use crate::sim::rules::table;

/// A version of a definition in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// As it stands in the definition, for documents.
    pub schema: Value,
    pub node: Node,
    pub has_status: bool,
    pub list_kind: String,
    /// Dotted paths without the leading dot, such as `spec.mode`.
    pub selectable: Vec<String>,
    columns: Vec<Column>,
}

/// A column of a table beside the name.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    path: String,
}

impl Definition {
    /// Reads one entry of `spec.versions`.
    pub fn read(version: &Value, list_kind: &str) -> Self {
        let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
        let list = |field: &str| version[field].as_array().into_iter().flatten();
        let columns = list("additionalPrinterColumns").map(|one| {
            let path = text(one, "jsonPath");
            let given = one["description"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let made = || format!("Custom resource definition column (in JSONPath format): {path}");
            Column {
                name: text(one, "name"),
                kind: text(one, "type"),
                format: text(one, "format"),
                description: given.unwrap_or_else(made),
                priority: one["priority"].as_i64().unwrap_or(0),
                path,
            }
        });
        let age = || Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: table::description("Age"),
            priority: 0,
            path: ".metadata.creationTimestamp".to_owned(),
        };
        let columns: Vec<Column> = columns.collect();
        let selectable = list("selectableFields").map(|one| text(one, "jsonPath"));
        Self {
            schema: version["schema"]["openAPIV3Schema"].clone(),
            node: Node::root(&version["schema"]["openAPIV3Schema"]),
            has_status: version["subresources"]["status"].is_object(),
            list_kind: list_kind.to_owned(),
            selectable: selectable.map(|path| path.trim_start_matches('.').to_owned()).collect(),
            columns: if columns.is_empty() { vec![age()] } else { columns },
        }
    }

    /// The column definitions of its tables.
    pub fn columns(&self) -> Value {
        let name = json!({"name": "Name", "type": "string", "format": "name", "description": table::description("Name"), "priority": 0});
        let rest = self.columns.iter().map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        });
        std::iter::once(name).chain(rest).collect()
    }

    /// The cells of one object, one a column.
    pub fn cells(&self, object: &Value, now: DateTime<Utc>) -> Vec<Value> {
        let cells = self.columns.iter().map(|column| column.cell(object, now));
        std::iter::once(object["metadata"]["name"].clone()).chain(cells).collect()
    }
}

impl Column {
    fn cell(&self, object: &Value, now: DateTime<Utc>) -> Value {
        let found = path::find(object, &self.path);
        let Some(first) = found.first().filter(|value| !value.is_null()) else { return Value::Null };
        match self.kind.as_str() {
            "integer" => first.as_i64().map_or(Value::Null, |number| json!(number)),
            "number" => first.as_f64().map_or(Value::Null, |number| json!(number)),
            "boolean" => first.as_bool().map_or(Value::Null, |is| json!(is)),
            "date" => json!(table::age(first, now)),
            _ => {
                let shown: Vec<String> = found.iter().map(|value| path::shown(value)).collect();
                json!(shown.join(" "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::json;

    use super::Definition;

    #[test]
    fn cells_are_of_the_type_of_their_column() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
            {"name": "Wave", "type": "integer", "jsonPath": ".spec.wave"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]});
        let definition = Definition::read(&version, "RolloutList");
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-11-23T09:00:00Z"},
            "spec": {"mode": "audit", "wave": 2},
            "status": {"conditions": [{"type": "Done", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        let now = Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 5).single().expect("a real date");
        assert_eq!(
            definition.cells(&object, now),
            [json!("a"), json!("audit"), json!(2), json!("True"), json!("5s")]
        );
        assert_eq!(definition.cells(&json!({"metadata": {"name": "b"}}), now)[1], json!(null));
    }
}
