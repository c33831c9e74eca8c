//! What reading a custom resource does to it: unknown fields go with a complaint, nulls that mean
//! nothing go, defaults come in. The metadata is typed as that of every object.

use serde_json::{Map, Value};

use super::super::schema::Type;
use super::super::shape::Shaper;
use super::super::tree::{Entry, Tree};
use super::node::{Node, Sort};

impl Shaper<'_> {
    /// The value without the fields its schema does not know.
    pub(in super::super) fn node(&mut self, tree: &Tree, node: &Node) -> Value {
        match tree {
            Tree::Map(entries) => Value::Object(self.entries(entries, node)),
            Tree::List(items) => {
                let below = node.items.as_deref();
                let items = items.iter().enumerate().map(|(index, item)| {
                    let before = self.path.len();
                    self.path.push_str(&format!("[{index}]"));
                    let value = below.map_or_else(|| item.to_value(), |below| self.node(item, below));
                    self.path.truncate(before);
                    value
                });
                Value::Array(items.collect())
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => tree.to_value(),
        }
    }

    fn entries(&mut self, entries: &[Entry], node: &Node) -> Map<String, Value> {
        let mut out = Map::new();
        for entry in entries {
            let before = self.step(&entry.key);
            if out.contains_key(&entry.key) {
                self.complaints.push(format!("duplicate field \"{}\"", self.path));
            }
            let kept = match (entry.key.as_str(), node.below(&entry.key)) {
                ("metadata", _) if node.is_object => {
                    Some(self.value(&entry.value, &Type::Struct("ObjectMeta".to_owned())))
                }
                ("apiVersion" | "kind", _) if node.is_object => Some(entry.value.to_value()),
                (_, Some(below)) => Some(self.node(&entry.value, below)),
                (_, None) if node.preserve || is_untyped(node) => Some(entry.value.to_value()),
                (_, None) => {
                    self.complaints.push(format!("unknown field \"{}\"", self.path));
                    None
                }
            };
            if let Some(kept) = kept {
                out.insert(entry.key.clone(), kept);
            }
            self.path.truncate(before);
        }
        out
    }
}

/// Says nothing at all about its value, as `additionalProperties: true` does.
fn is_untyped(node: &Node) -> bool {
    node.sort == Sort::Any && node.properties.is_empty() && node.additional.is_none()
}

/// Fills in defaults and takes out nulls that are neither allowed nor replaced by a default.
pub fn default(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            for (name, below) in &node.properties {
                let absent = fields.get(name).is_none_or(|value| value.is_null() && !below.nullable);
                if let (true, Some(default)) = (absent, &below.default) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            fields.retain(|name, value| {
                let nullable = node.below(name).is_none_or(|below| below.nullable);
                !value.is_null() || nullable
            });
            for (name, value) in
                fields.iter_mut().filter(|(name, _)| !(node.is_object && *name == "metadata"))
            {
                if let Some(below) = node.below(name) {
                    default(value, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &node.items {
                items.iter_mut().for_each(|item| default(item, below));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::default;
    use crate::sim::rules::custom::node::Node;

    #[test]
    fn defaults_come_in_also_for_nulls_and_below_them() {
        let node = Node::root(&json!({"type": "object", "properties": {"spec": {"type": "object",
            "default": {}, "properties": {"wave": {"type": "integer", "default": 1},
            "note": {"type": "string", "nullable": true}, "by": {"type": "string"}}}}}));
        let mut object = json!({"metadata": {"name": "a"}});
        default(&mut object, &node);
        assert_eq!(object, json!({"metadata": {"name": "a"}, "spec": {"wave": 1}}));
        let mut object = json!({"spec": {"wave": null, "note": null, "by": null}});
        default(&mut object, &node);
        assert_eq!(object, json!({"spec": {"wave": 1, "note": null}}));
    }
}
