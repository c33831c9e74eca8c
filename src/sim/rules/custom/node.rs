//! The structural schema of a custom resource, read once when its definition is served: what fields
//! there are, which are kept, what they default to, how lists and maps are owned.
//! It never looks at objects; pruning, defaults and checks walk it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::schema::Ownership;
use super::constraints::Constraints;

/// What a value must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    Object,
    Array,
    Text,
    Integer,
    Number,
    Bool,
    /// `x-kubernetes-int-or-string`.
    IntOrText,
    /// No type given: anything.
    #[default]
    Any,
}

/// One node of a schema: a value, and by its parts everything below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub sort: Sort,
    pub nullable: bool,
    pub properties: BTreeMap<String, Node>,
    /// What keys without a property hold; `additionalProperties: true` is a node of any sort.
    pub additional: Option<Box<Node>>,
    pub items: Option<Box<Node>>,
    /// Unknown fields below stay.
    pub preserve: bool,
    /// A whole object with apiVersion, kind and metadata: the root, or an embedded one.
    pub is_object: bool,
    pub default: Option<Value>,
    pub ownership: Ownership,
    pub constraints: Constraints,
    /// `x-kubernetes-validations` as it stands in the definition: one rule an entry.
    pub rules: Vec<Value>,
}

impl Node {
    /// The schema of a whole custom resource.
    pub fn root(schema: &Value) -> Self {
        Self { is_object: true, ..Self::read(schema) }
    }

    /// A schema within `allOf` and its like: it checks, and keeps nothing.
    pub fn part(schema: &Value) -> Self {
        Self::read(schema)
    }

    fn read(schema: &Value) -> Self {
        let below =
            |field: &str| schema.get(field).filter(|v| v.is_object()).map(|v| Box::new(Self::read(v)));
        let additional = match &schema["additionalProperties"] {
            Value::Bool(true) => Some(Box::new(Self::read(&Value::Null))),
            _ => below("additionalProperties"),
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        Self {
            sort: sort(schema),
            nullable: schema["nullable"] == true,
            properties: properties.map(|(name, of)| (name.clone(), Self::read(of))).collect(),
            additional,
            items: below("items"),
            preserve: schema["x-kubernetes-preserve-unknown-fields"] == true,
            is_object: schema["x-kubernetes-embedded-resource"] == true,
            default: schema.get("default").cloned(),
            ownership: ownership(schema),
            constraints: Constraints::read(schema),
            rules: schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// The node of a key of an object: a property, else what any further key holds.
    pub fn below(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or(self.additional.as_deref())
    }

    /// Whether a rule stands here or anywhere below.
    pub fn has_rules(&self) -> bool {
        let parts = self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref());
        !self.rules.is_empty() || parts.into_iter().any(Self::has_rules)
    }
}

fn sort(schema: &Value) -> Sort {
    if schema["x-kubernetes-int-or-string"] == true {
        return Sort::IntOrText;
    }
    match schema["type"].as_str().unwrap_or_default() {
        "object" => Sort::Object,
        "array" => Sort::Array,
        "string" => Sort::Text,
        "integer" => Sort::Integer,
        "number" => Sort::Number,
        "boolean" => Sort::Bool,
        _ => Sort::Any,
    }
}

fn ownership(schema: &Value) -> Ownership {
    let keys = || {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        keys.filter_map(|key| key.as_str().map(str::to_owned)).collect()
    };
    match (schema["type"].as_str(), schema["x-kubernetes-list-type"].as_str()) {
        (Some("array"), Some("set")) => Ownership::Set,
        (Some("array"), Some("map")) => Ownership::Keys(keys()),
        (Some("array"), _) => Ownership::Whole,
        _ if schema["x-kubernetes-map-type"] == "atomic" => Ownership::Whole,
        _ => Ownership::Granular,
    }
}
