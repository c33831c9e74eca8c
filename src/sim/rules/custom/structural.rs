//! Whether a schema is structural, so that unknown fields can be told from known ones: every field
//! has a type, lists have items, and nothing stands where it has no meaning.

use serde_json::Value;

use super::super::errors::FieldError;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What is wrong with a schema that stands at a path of a definition.
pub fn check(schema: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !schema["type"].is_null() && schema["type"] != "object" {
        errors.push(FieldError::invalid(format!("{at}.type"), &schema["type"], "must be object at the root"));
    }
    node(schema, at, "must not be empty at the root", &mut errors);
    errors
}

fn node(schema: &Value, at: &str, untyped: &str, errors: &mut Vec<FieldError>) {
    let text = |field: &str| schema[field].as_str().unwrap_or_default();
    let given = |field: &str| !schema[field].is_null();
    let free = ["x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"]
        .iter()
        .any(|field| schema[*field] == true);
    match text("type") {
        "" if !free => errors.push(FieldError::required(format!("{at}.type"), untyped)),
        "" => {}
        sort if !TYPES.contains(&sort) => {
            errors.push(FieldError::not_supported(format!("{at}.type"), &schema["type"], &TYPES));
        }
        "array" if !given("items") => {
            errors.push(FieldError::required(format!("{at}.items"), "must be specified"));
        }
        _ => {}
    }
    for (field, said) in [
        ("$ref", "$ref is not supported"),
        ("definitions", "definitions is not supported"),
        ("patternProperties", "patternProperties is not supported"),
        ("dependencies", "dependencies is not supported"),
        ("additionalItems", "additionalItems is not supported"),
    ] {
        if given(field) {
            errors.push(FieldError::forbidden(format!("{at}.{field}"), said));
        }
    }
    if schema["uniqueItems"] == true {
        let said = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(format!("{at}.uniqueItems"), said));
    }
    if given("properties") && given("additionalProperties") && schema["additionalProperties"] != false {
        let said = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(format!("{at}.additionalProperties"), said));
    }
    list(schema, at, errors);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let said = "must not be empty for specified object fields";
        node(below, &format!("{at}.properties[{name}]"), said, errors);
    }
    if schema["additionalProperties"].is_object() {
        let said = "must not be empty for specified object fields";
        node(&schema["additionalProperties"], &format!("{at}.additionalProperties"), said, errors);
    }
    if schema["items"].is_object() {
        node(&schema["items"], &format!("{at}.items"), "must not be empty for specified array items", errors);
    }
}

/// How a list is told apart must fit what is in it.
fn list(schema: &Value, at: &str, errors: &mut Vec<FieldError>) {
    let sort = &schema["x-kubernetes-list-type"];
    let Some(word) = sort.as_str() else { return };
    let here = format!("{at}.x-kubernetes-list-type");
    if !["atomic", "map", "set"].contains(&word) {
        errors.push(FieldError::not_supported(here, sort, &["atomic", "map", "set"]));
        return;
    }
    if schema["type"] != "array" {
        let said = format!("must be array if x-kubernetes-list-type is {word}");
        errors.push(FieldError::invalid(format!("{at}.type"), &schema["type"], said));
    }
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let keys_at = format!("{at}.x-kubernetes-list-map-keys");
    if word == "map" && keys.is_empty() {
        errors.push(FieldError::required(keys_at, "must not be empty if x-kubernetes-list-type is map"));
        return;
    }
    let items = &schema["items"];
    let required =
        |key: &str| items["required"].as_array().is_some_and(|list| list.iter().any(|one| one == key));
    for (index, key) in keys.iter().enumerate() {
        let property = &items["properties"][*key];
        if property.is_null() {
            let said = "entries must all be names of item properties";
            errors.push(FieldError::invalid_text(format!("{keys_at}[{index}]"), key, said));
        } else if property["default"].is_null() && !required(key) {
            let said = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{at}.items.properties[{key}].default"), said));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn what_is_not_structural_is_named_with_its_place() {
        let schema = json!({"type": "object", "properties": {
            "a": {}, "b": {"type": "array"}, "c": {"x-kubernetes-int-or-string": true},
            "d": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}}});
        let said: Vec<String> =
            check(&schema, "s").iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
        assert_eq!(
            said,
            [
                "s.properties[a].type: Required value: must not be empty for specified object fields",
                "s.properties[b].items: Required value: must be specified",
                "s.properties[d].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ]
        );
    }
}
