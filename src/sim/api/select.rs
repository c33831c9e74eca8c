//! Which objects a list or watch means: namespace, labels and fields together.

use std::sync::Arc;

use serde_json::Value;

use crate::sim::api::query::Query;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;
use crate::sim::rules::selector::{Fields, Labels};

/// What one list or watch looks at.
#[derive(Clone)]
pub struct Selection {
    pub resource: ResourceId,
    /// Where its objects are kept.
    pub storage: ResourceId,
    shown_as: Arc<Resource>,
    version: String,
    /// Empty for all.
    pub namespace: String,
    labels: Arc<Labels>,
    fields: Arc<Fields>,
}

impl Selection {
    /// Reads the selectors of a request.
    pub fn parse(
        id: ResourceId,
        storage: ResourceId,
        resource: &Arc<Resource>,
        target: &Target,
        query: &Query,
    ) -> Result<Self, Status> {
        let labels = Labels::parse(query.get("labelSelector"))?;
        let fields = Fields::parse(query.get("fieldSelector"), &resource.rules_kind())?;
        let namespace = if resource.namespaced { target.namespace.clone() } else { String::new() };
        Ok(Self {
            resource: id,
            storage,
            shown_as: Arc::clone(resource),
            version: resource.api_version(),
            namespace,
            labels: Arc::new(labels),
            fields: Arc::new(fields),
        })
    }

    /// A stored object in the version asked for.
    pub fn view(&self, object: Arc<Value>) -> Arc<Value> {
        self.shown_as.view(&self.version, object)
    }

    /// What is looked at, as it was when the request came.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.shown_as
    }

    /// Whether labels or fields narrow it down.
    pub fn is_narrowed(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}
