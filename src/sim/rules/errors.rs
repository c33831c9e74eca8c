//! What is wrong with a field, in the words of a real API server, and the 422 made of such findings.
//! It decides nothing; validation calls it. The texts come from scenes 05, 33 and 42.

use serde_json::{Value, json};

use crate::sim::api::status::Status;

/// One finding about one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The machine word, such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// The path, such as `spec.ingress[0].from[0]`.
    pub field: String,
    /// What a person reads, without the path.
    pub message: String,
}

impl FieldError {
    /// A value that is there but not allowed.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {}: {}", shown(value), detail.as_ref());
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// The same for a text.
    pub fn invalid_text(field: impl Into<String>, value: &str, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {}: {}", quote(value), detail.as_ref());
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// A value that is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// A value that may not be given here.
    pub fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {}", detail.as_ref()),
        }
    }

    /// A value outside a fixed list.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|one| quote(one)).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), list.join(", "));
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }

    /// A value over a limit of bytes.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self { reason: "FieldValueTooLong", field: field.into(), message }
    }

    /// A value of a wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        Self { reason: "FieldValueTypeInvalid", ..Self::invalid(field, value, detail) }
    }

    /// More items than allowed.
    pub fn too_many(field: impl Into<String>, count: usize, most: u64) -> Self {
        let items = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {count}: must have at most {most} {items}");
        Self { reason: "FieldValueTooMany", field: field.into(), message }
    }

    /// A value that stands twice where it may stand once.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {}", shown(value)),
        }
    }
}

/// The 422 for these findings. `kind` is the Kind and `group` its group; both may be empty, as the
/// real server leaves them for a broken patch (scene 41). Equal findings are said once in the message
/// and kept in the causes (scene 32).
pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details["causes"] = errors
        .iter()
        .map(|one| json!({"reason": one.reason, "message": one.message, "field": one.field}))
        .collect();
    let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let message = format!("{qualified} {} is invalid: {}", quote(name), joined(errors));
    Status::new(422, "Invalid", message).with_details(details)
}

fn joined(errors: &[FieldError]) -> String {
    let mut said: Vec<String> = Vec::new();
    for one in errors {
        let text = format!("{}: {}", one.field, one.message);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    if said.len() == 1 { said.swap_remove(0) } else { format!("[{}]", said.join(", ")) }
}

/// A value as the server shows it in a finding.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A text in double quotes, escaped as Go's `%q` does.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || crate::domain::names::is_hostile(c) => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FieldError, invalid, quote};

    #[test]
    fn a_finding_said_twice_stays_twice_in_the_causes_only() {
        let one = FieldError::invalid("metadata.uid", &json!("u"), "field is immutable");
        let status = invalid("g", "K", "n", &[one.clone(), one]);
        assert_eq!(
            status.message,
            "K.g \"n\" is invalid: metadata.uid: Invalid value: \"u\": field is immutable"
        );
        assert_eq!(status.details.expect("set above")["causes"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn texts_are_quoted_as_go_does() {
        assert_eq!(quote("a\nb\"\u{1}\u{9e}é"), "\"a\\nb\\\"\\x01\\u009eé\"");
    }
}
