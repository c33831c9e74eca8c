//! ConfigMaps: keys, the size of everything together, and those that may not change (scene 62).

use serde_json::{Map, Value};

use super::errors::FieldError;

/// All values together may not be longer, in bytes.
const LARGEST: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                   'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What is wrong with keys and values.
pub fn validate(map: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in entries(map, "data") {
        errors.extend(key_error("data", key));
        if map["binaryData"].get(key).is_some() {
            let said = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid_text(format!("data[{key}]"), key, said));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(map, "binaryData") {
        errors.extend(key_error("binaryData", key));
        size += value.as_str().map_or(0, str::len) / 4 * 3;
    }
    if size > LARGEST {
        errors.push(FieldError::too_long("[]", LARGEST));
    }
    errors
}

/// What an immutable one does not let happen.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    if old["immutable"] != true {
        return Vec::new();
    }
    let changed = ["immutable", "data", "binaryData"].into_iter().filter(|field| new[*field] != old[*field]);
    changed.map(|field| FieldError::forbidden(field, "field is immutable when `immutable` is set")).collect()
}

fn entries<'a>(map: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    map[field].as_object().into_iter().flat_map(Map::iter)
}

fn key_error(field: &str, key: &str) -> Option<FieldError> {
    let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    (!valid).then(|| FieldError::invalid_text(format!("{field}[{key}]"), key, KEY))
}
