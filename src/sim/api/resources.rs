//! The kinds a simulated cluster serves: one row of a table each, read from
//! `assets/kubernetes/resources.json`. A scenario may add rows, such as ciliumnetworkpolicies.
//! It never holds objects.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::rules::schema::{self, Kind};

const BUILT_IN: &str = include_str!("../../../assets/kubernetes/resources.json");

/// One served resource.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    #[serde(default)]
    pub short_names: Vec<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    #[serde(default)]
    pub storage_version_hash: Option<String>,
    #[serde(default)]
    pub subresources: Vec<Subresource>,
    /// Made by a definition, not built in: lists carry types, and unknown fields stay.
    #[serde(default)]
    pub custom: bool,
}

/// What hangs below an object's path, such as `status`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Subresource {
    pub name: String,
    pub kind: String,
    pub verbs: Vec<String>,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub version: String,
}

impl Resource {
    /// A namespaced custom resource with the usual verbs and no subresources.
    pub fn custom(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        let verbs = "delete deletecollection get list patch create update watch";
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            namespaced: true,
            verbs: verbs.split(' ').map(str::to_owned).collect(),
            short_names: Vec::new(),
            categories: Vec::new(),
            storage_version_hash: None,
            subresources: Vec::new(),
            custom: true,
        }
    }

    /// `v1`, or `networking.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, or `networkpolicies.networking.k8s.io`: how messages name it.
    pub fn qualified(&self) -> String {
        dotted(&self.plural, &self.group)
    }

    /// `Pod`, or `NetworkPolicy.networking.k8s.io`: how messages of validation name it.
    pub fn qualified_kind(&self) -> String {
        dotted(&self.kind, &self.group)
    }

    /// The kind of its lists.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// The `details` of a Status about one object, or about the resource where `name` is empty.
    pub fn details(&self, name: &str) -> Value {
        self.details_as(name, &self.plural)
    }

    /// The same, naming the Kind instead of the plural.
    pub fn kind_details(&self, name: &str) -> Value {
        self.details_as(name, &self.kind)
    }

    fn details_as(&self, name: &str, kind: &str) -> Value {
        let mut details = json!({ "kind": kind });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }

    /// The rules for its objects; a kind without any is only checked for its metadata.
    pub fn rules_kind(&self) -> Kind {
        let known = schema::kind(&self.api_version(), &self.kind);
        known.cloned().unwrap_or_else(|| Kind::custom(&self.group, &self.version, &self.kind, &self.plural))
    }

    /// Whether its status is written apart from the rest.
    pub fn has_status(&self) -> bool {
        self.subresources.iter().any(|sub| sub.name == "status")
    }

    /// Whether the verb is served.
    pub fn serves(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

fn dotted(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}

/// A resource's place in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(usize);

/// Everything one cluster serves, in discovery order.
#[derive(Debug, Clone)]
pub struct Catalog {
    rows: Vec<Arc<Resource>>,
}

impl Catalog {
    /// The built-in resources of the version, and the extra ones.
    pub fn new(extra: Vec<Resource>) -> Self {
        let built_in: Vec<Resource> =
            serde_json::from_str(BUILT_IN).expect("the table ships with the binary and a test reads it");
        Self { rows: built_in.into_iter().chain(extra).map(Arc::new).collect() }
    }

    pub fn get(&self, id: ResourceId) -> &Arc<Resource> {
        &self.rows[id.0]
    }

    pub fn iter(&self) -> impl Iterator<Item = (ResourceId, &Arc<Resource>)> {
        self.rows.iter().enumerate().map(|(index, row)| (ResourceId(index), row))
    }

    /// The resource at group, version and plural.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<ResourceId> {
        self.position(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The first version of a resource, by its group and plural.
    pub fn find_plural(&self, group: &str, plural: &str) -> Option<ResourceId> {
        self.position(|r| r.group == group && r.plural == plural)
    }

    /// The versions a resource is served in.
    pub fn versions(&self, group: &str, plural: &str) -> Vec<String> {
        let rows = self.rows.iter().filter(|r| r.group == group && r.plural == plural);
        rows.map(|r| r.version.clone()).collect()
    }

    /// The resource of an object, by its apiVersion and kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<ResourceId> {
        self.position(|r| r.kind == kind && r.api_version() == api_version)
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.rows.iter().any(|r| r.group == group)
    }

    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.rows.iter().any(|r| r.group == group && r.version == version)
    }

    fn position(&self, wanted: impl Fn(&Resource) -> bool) -> Option<ResourceId> {
        self.rows.iter().position(|r| wanted(r)).map(ResourceId)
    }
}

#[cfg(test)]
mod tests {
    use super::Catalog;

    #[test]
    fn the_table_is_readable_and_knows_network_policies() {
        let catalog = Catalog::new(Vec::new());
        let id = catalog.find("networking.k8s.io", "v1", "networkpolicies");
        let row = catalog.get(id.expect("the table has network policies"));
        assert_eq!(row.qualified(), "networkpolicies.networking.k8s.io");
        assert_eq!(catalog.of_kind("v1", "Namespace"), catalog.find("", "v1", "namespaces"));
    }
}
