//! Which objects a list or watch means: namespace, labels and fields together.

use std::sync::Arc;

use serde_json::Value;

use crate::sim::api::query::Query;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;

/// What one list or watch looks at.
#[derive(Clone)]
pub struct Selection {
    pub resource: ResourceId,
    /// Empty for all.
    pub namespace: String,
    /// Whether labels or fields narrow it down.
    pub narrowed: bool,
    terms: Arc<Vec<Term>>,
}

/// One equality of a selector.
struct Term {
    pointer: String,
    value: String,
    equal: bool,
}

impl Selection {
    pub fn parse(
        id: ResourceId,
        _resource: &Resource,
        target: &Target,
        query: &Query,
    ) -> Result<Self, Status> {
        let mut terms = terms(query.get("labelSelector"), "/metadata/labels/", false);
        terms.extend(terms_of_fields(query.get("fieldSelector")));
        let namespace =
            if target.resource == "namespaces" { String::new() } else { target.namespace.clone() };
        Ok(Self { resource: id, namespace, narrowed: !terms.is_empty(), terms: Arc::new(terms) })
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let found = object.pointer(&term.pointer).and_then(Value::as_str).unwrap_or_default();
            (found == term.value) == term.equal
        })
    }
}

fn terms_of_fields(selector: &str) -> Vec<Term> {
    terms(selector, "/", true)
}

fn terms(selector: &str, prefix: &str, dotted: bool) -> Vec<Term> {
    let parts = selector.split(',').filter(|part| !part.is_empty());
    parts
        .filter_map(|part| {
            let (left, value) = part.split_once('=')?;
            let equal = !left.ends_with('!');
            let field = left.trim_end_matches('!');
            let field = if dotted { field.replace('.', "/") } else { field.replace('/', "~1") };
            let value = value.trim_start_matches('=').to_owned();
            Some(Term { pointer: format!("{prefix}{field}"), value, equal })
        })
        .collect()
}
