//! The value checks of one schema node: bounds, lengths, patterns, enums, and the combinations of
//! schemas. Read once; asked for every value.

use serde_json::Value;

/// What a node demands of its value beside its type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    pub required: Vec<String>,
    pub allowed: Vec<Value>,
}

impl Constraints {
    pub fn read(schema: &Value) -> Self {
        let list = |field: &str| schema[field].as_array().cloned().unwrap_or_default();
        let texts = |field: &str| list(field).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        Self { required: texts("required"), allowed: list("enum") }
    }
}
