//! Events: one object that two groups show with other names for its fields, lax in the core group
//! and strict in `events.k8s.io` (scene 61). Stored as the core group writes them.

use serde_json::{Map, Value, json};

use super::errors::FieldError;
use super::schema::Kind;
use super::{schema, shape, words};

/// What the core group and `events.k8s.io` call the same field.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];
/// What may not change in an event of the strict sort, by the names of the core group.
const FIXED: [&str; 12] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingInstance",
];
const SHORT: usize = 128;
const LONG: usize = 1024;

/// Whether a kind is one of the two.
pub fn is_event(kind: &Kind) -> bool {
    kind.kind == "Event" && matches!(kind.group.as_str(), "" | "events.k8s.io")
}

/// The event as another of its kinds shows it.
pub fn convert(event: &Value, to: &Kind) -> Value {
    let core = to.group.is_empty();
    let renamed = |name: &str| {
        let pair = NAMES.iter().find(|(a, b)| if core { *b == name } else { *a == name });
        pair.map_or(name, |(a, b)| if core { *a } else { *b }).to_owned()
    };
    let fields: Map<String, Value> =
        event.as_object().into_iter().flatten().map(|(name, value)| (renamed(name), value.clone())).collect();
    let mut out = shape::tidy(&Value::Object(fields), to);
    out["apiVersion"] = json!(to.api_version());
    out["kind"] = json!(to.kind);
    out
}

/// What is wrong with an event.
pub fn validate(event: &Value, kind: &Kind) -> Vec<FieldError> {
    let strict = !kind.group.is_empty();
    let core = in_core(event);
    let mut errors: Vec<FieldError> = namespaces(&core, strict).into_iter().collect();
    let has_time = !core["eventTime"].is_null();
    if has_time {
        let controller = if strict { "reportingController" } else { "reportingComponent" };
        errors.extend(reported(&core, controller));
    }
    if !strict {
        return errors;
    }
    if !has_time {
        errors.push(FieldError::required("eventTime", ""));
    }
    let sort = text(&core, "type");
    if !matches!(sort, "Normal" | "Warning") {
        errors.push(FieldError::invalid_text("type", "", format!("has invalid value: {sort}")));
    }
    let is_set = |field: &str| match &core[field] {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        value => value.as_i64() != Some(0),
    };
    let unset =
        ["firstTimestamp", "lastTimestamp", "count", "source"].into_iter().filter(|field| is_set(field));
    errors.extend(unset.map(|field| FieldError::invalid_text(field, "", "needs to be unset")));
    errors
}

/// What may not change: in the strict sort, anything but the series and the metadata.
pub fn validate_update(new: &Value, old: &Value, kind: &Kind) -> Vec<FieldError> {
    if kind.group.is_empty() {
        return Vec::new();
    }
    let (new, old) = (in_core(new), in_core(old));
    let changed = FIXED.into_iter().filter(|field| new[*field] != old[*field]);
    let mut errors: Vec<FieldError> =
        changed.map(|field| FieldError::invalid(field, &new[field], "field is immutable")).collect();
    if new["reportingComponent"] != old["reportingComponent"] {
        let said = "field is immutable";
        errors.push(FieldError::invalid("reportingController", &new["reportingComponent"], said));
    }
    errors
}

fn in_core(event: &Value) -> Value {
    schema::kind("v1", "Event").map_or_else(|| event.clone(), |kind| convert(event, kind))
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// The event lives where its object does; one about an object without a namespace, in `default`.
fn namespaces(event: &Value, strict: bool) -> Option<FieldError> {
    let of_object = event["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let own = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let fits =
        if of_object.is_empty() { own.is_empty() || own == "default" } else { strict || own == of_object };
    let said = "does not match event.namespace";
    (!fits).then(|| FieldError::invalid_text("involvedObject.namespace", of_object, said))
}

/// What an event with a time must say.
fn reported(event: &Value, controller: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let reporter = text(event, "reportingComponent");
    if reporter.is_empty() {
        errors.push(FieldError::required(controller, ""));
    }
    errors.extend(
        words::qualified(reporter)
            .into_iter()
            .map(|said| FieldError::invalid_text(controller, reporter, said)),
    );
    for field in ["reportingInstance", "action", "reason"] {
        if text(event, field).is_empty() {
            errors.push(FieldError::required(field, ""));
        }
    }
    for (field, most) in
        [("reportingInstance", SHORT), ("action", SHORT), ("reason", SHORT), ("message", LONG)]
    {
        if text(event, field).len() > most {
            let said = format!("can have at most {most} characters");
            errors.push(FieldError::invalid_text(field, "", said));
        }
    }
    errors
}
