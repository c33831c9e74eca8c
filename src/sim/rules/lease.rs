//! Leases: what a spec may say (scene 60). Who holds one, and until when, is the clients' affair.

use serde_json::Value;

use super::errors::FieldError;

/// What is wrong with the spec.
pub fn validate_spec(lease: &Value) -> Vec<FieldError> {
    let spec = &lease["spec"];
    let checks = [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    let wrong =
        checks.into_iter().filter(|(field, least, _)| spec[*field].as_i64().is_some_and(|n| n < *least));
    wrong.map(|(field, _, said)| FieldError::invalid(format!("spec.{field}"), &spec[field], said)).collect()
}
