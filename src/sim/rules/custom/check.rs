//! Whether a custom resource is what its schema demands: types and bounds, embedded metadata, lists
//! that are sets or maps, and then the rules. What an update leaves as it was is not complained
//! about. Words as in scenes 71 and 72.

use serde_json::{Map, Value, json};

use super::super::errors::FieldError;
use super::super::schema::Ownership;
use super::cel;
use super::node::{Node, Sort};

/// Findings after which rules are not evaluated.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];
const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the \
                         existing errors to complete validation";
/// The path of findings about nothing in particular.
const NOWHERE: &str = "<nil>";

/// What is wrong with a custom resource; `old` is what it replaces.
pub fn check(node: &Node, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut found = Vec::new();
    check_at("", node, new, old, &mut found);
    let repeated = |object: &Value| {
        let mut found = Vec::new();
        lists("", node, object, &mut found);
        found
    };
    if old.is_none_or(|old| repeated(old).is_empty()) {
        found.extend(repeated(new));
    }
    if !node.has_rules() {
        return found;
    }
    if found.iter().any(|one| BLOCKING.contains(&one.reason)) {
        found.push(FieldError::invalid(NOWHERE, &Value::Null, UNCHECKED));
    } else {
        found.extend(cel::check(node, new, old, ""));
    }
    found
}

fn check_at(at: &str, node: &Node, value: &Value, old: Option<&Value>, found: &mut Vec<FieldError>) {
    if old == Some(value) || (value.is_null() && node.nullable) {
        return;
    }
    if let Some(wrong) = wrong_type(at, node, value) {
        found.push(wrong);
        found.extend(out_of_range(at, node, value));
        return;
    }
    found.extend(out_of_range(at, node, value));
    found.extend(node.constraints.check(value, at));
    combined(at, node, value, found);
    match value {
        Value::Object(fields) => fields_at(at, node, fields, old, found),
        Value::Array(items) => {
            let Some(below) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                let before = old.and_then(|old| counterpart(node, item, old));
                check_at(&format!("{at}[{index}]"), below, item, before, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fields_at(
    at: &str,
    node: &Node,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    found: &mut Vec<FieldError>,
) {
    for name in node.constraints.required.iter().filter(|name| !fields.contains_key(*name)) {
        found.push(FieldError::required(child(at, name), ""));
    }
    for (name, value) in fields {
        let typed = node.is_object && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        if let Some(below) = node.below(name).filter(|_| !typed) {
            check_at(&child(at, name), below, value, old.and_then(|old| old.get(name)), found);
        }
    }
}

/// The item of the old list that an item of the new one takes the place of: only lists told apart by
/// keys know.
pub fn counterpart<'a>(list: &Node, item: &Value, old: &'a Value) -> Option<&'a Value> {
    let Ownership::Keys(keys) = &list.ownership else { return None };
    let same = |one: &&Value| keys.iter().all(|key| key_of(list, one, key) == key_of(list, item, key));
    old.as_array()?.iter().find(same)
}

fn key_of<'a>(list: &'a Node, item: &'a Value, key: &str) -> Option<&'a Value> {
    let default = || list.items.as_ref()?.properties.get(key)?.default.as_ref();
    item.get(key).or_else(default)
}

/// A path one key longer.
pub fn child(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// What a schema calls the type of a value, and the format that comes with it.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Number(number) if number.is_f64() => ("number", "float64"),
        Value::Number(_) => ("integer", "int64"),
    }
}

fn wrong_type(at: &str, node: &Node, value: &Value) -> Option<FieldError> {
    let wanted: &[&str] = match node.sort {
        Sort::Any => return None,
        Sort::Object => &["object"],
        Sort::Array => &["array"],
        Sort::Text => &["string"],
        Sort::Bool => &["boolean"],
        Sort::Integer => &["integer"],
        Sort::Number => &["number"],
        Sort::IntOrText => &["integer", "string"],
    };
    let (is, format) = type_of(value);
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = wanted.contains(&is)
        || (is == "number" && whole && wanted.contains(&"integer"))
        || (is == "integer" && wanted.contains(&"number"));
    if fits {
        return None;
    }
    let of_format = value.is_number() && !node.constraints.format.is_empty();
    let (wanted, is) =
        if of_format { (node.constraints.format.clone(), format) } else { (wanted.join(","), is) };
    let said = format!("{at} in body must be of type {wanted}: \"{is}\"");
    Some(FieldError::type_invalid(at, &json!(is), said))
}

/// A number that does not fit into what the schema says it is kept in.
fn out_of_range(at: &str, node: &Node, value: &Value) -> Option<FieldError> {
    let Value::Number(number) = value else { return None };
    let format = node.constraints.format.as_str();
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        (float.abs() < 9.2e18).then_some(float as i64)
    });
    let fits = match (node.sort, format) {
        (Sort::Integer, "int32") => whole.is_some_and(|whole| i32::try_from(whole).is_ok()),
        (Sort::Integer, _) => whole.is_some(),
        _ => true,
    };
    let format =
        if format.is_empty() { "(default format)".to_owned() } else { format!("with format {format}") };
    let said = format!("Checked value must be of type integer {format} in {at}");
    (!fits).then(|| FieldError::invalid_text(NOWHERE, "", said))
}

fn combined(at: &str, node: &Node, value: &Value, found: &mut Vec<FieldError>) {
    let holds = |part: &Node| {
        let mut found = Vec::new();
        check_at(at, part, value, None, &mut found);
        found.is_empty()
    };
    let constraints = &node.constraints;
    constraints.all_of.iter().for_each(|part| check_at(at, part, value, None, found));
    let quoted = super::super::errors::quote(at);
    let mut fail = |said: String| found.push(FieldError::invalid_text(at, "", said));
    if !constraints.any_of.is_empty() && !constraints.any_of.iter().any(holds) {
        fail(format!("{quoted} must validate at least one schema (anyOf)"));
    }
    match constraints.one_of.iter().filter(|part| holds(part)).count() {
        1 => {}
        0 if constraints.one_of.is_empty() => {}
        0 => fail(format!("{quoted} must validate one and only one schema (oneOf). Found none valid")),
        count => {
            fail(format!(
                "{quoted} must validate one and only one schema (oneOf). Found {count} valid alternatives"
            ));
        }
    }
    if constraints.not.as_deref().is_some_and(holds) {
        fail(format!("{quoted} must not validate the schema (not)"));
    }
}

/// Values that stand twice in a set, and keys that stand twice in a map.
fn lists(at: &str, node: &Node, value: &Value, found: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(below) = node.below(name) {
                    lists(&child(at, name), below, value, found);
                }
            }
        }
        Value::Array(items) => {
            let mut seen: Vec<Value> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let here = format!("{at}[{index}]");
                if let Some(below) = &node.items {
                    lists(&here, below, item, found);
                }
                let Some(identity) = identity(node, item) else { continue };
                if seen.contains(&identity) {
                    found.push(FieldError::duplicate(here, &identity));
                } else {
                    seen.push(identity);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn identity(list: &Node, item: &Value) -> Option<Value> {
    match &list.ownership {
        Ownership::Set => Some(item.clone()),
        Ownership::Keys(keys) => {
            let named = keys.iter().filter_map(|key| Some((key.clone(), key_of(list, item, key)?.clone())));
            Some(Value::Object(named.collect()))
        }
        Ownership::Whole | Ownership::Granular => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;
    use crate::sim::rules::custom::node::Node;

    fn said(
        schema: &serde_json::Value,
        new: &serde_json::Value,
        old: Option<&serde_json::Value>,
    ) -> Vec<String> {
        let found = check(&Node::root(schema), new, old);
        found.iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    }

    #[test]
    fn what_an_update_leaves_alone_may_stay_wrong() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "integer", "maximum": 5}, "b": {"type": "string"}}}}});
        let old = json!({"spec": {"a": 9, "b": "x"}});
        let new = json!({"spec": {"a": 9, "b": "y"}});
        assert_eq!(
            said(&schema, &new, None),
            ["spec.a: Invalid value: 9: spec.a in body should be less than or equal to 5"]
        );
        assert_eq!(said(&schema, &new, Some(&old)), Vec::<String>::new());
    }

    #[test]
    fn combinations_are_checked_as_a_whole() {
        let schema = json!({"type": "object", "properties": {"port": {"x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}}});
        assert_eq!(said(&schema, &json!({"port": "http"}), None), Vec::<String>::new());
        assert_eq!(
            said(&schema, &json!({"port": 0}), None),
            ["port: Invalid value: \"\": \"port\" must validate at least one schema (anyOf)"]
        );
    }
}
