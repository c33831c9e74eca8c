//! The kinds a simulated cluster serves: one row of a table each, read from
//! `assets/kubernetes/resources.json`. A scenario may add rows, such as ciliumnetworkpolicies.
//! It never holds objects.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::sim::rules::custom::definition::Definition;
use crate::sim::rules::kinds;
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
    /// What the definition demands of its objects, where there is one in this cluster.
    #[serde(skip)]
    pub definition: Option<Arc<Definition>>,
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
            definition: None,
        }
    }

    /// One version of a definition, by its entry in `spec.versions` and the names accepted.
    pub fn defined(crd: &Value, version: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
        let (names, group, name) =
            (&crd["spec"]["names"], text(&crd["spec"]["group"]), text(&version["name"]));
        let kind = text(&names["kind"]);
        let or = |given: String, made: String| if given.is_empty() { made } else { given };
        let list_kind = or(text(&names["listKind"]), format!("{kind}List"));
        let definition = Definition::read(version, &list_kind);
        let stored =
            crd["spec"]["versions"].as_array().into_iter().flatten().find(|one| one["storage"] == true);
        let stored = stored.map_or_else(|| name.clone(), |one| text(&one["name"]));
        let digest = Sha256::digest(format!("{group}/{stored}/{kind}").as_bytes());
        let status = Subresource {
            name: "status".to_owned(),
            kind: kind.clone(),
            verbs: ["get", "patch", "update"].map(str::to_owned).to_vec(),
            group: String::new(),
            version: String::new(),
        };
        Self {
            singular: or(text(&names["singular"]), kind.to_lowercase()),
            namespaced: crd["spec"]["scope"] == "Namespaced",
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            storage_version_hash: Some(STANDARD.encode(&digest[..8])),
            subresources: if definition.has_status { vec![status] } else { Vec::new() },
            definition: Some(Arc::new(definition)),
            ..Self::custom(&group, &name, &text(&names["plural"]), &kind)
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
        match &self.definition {
            Some(definition) => definition.list_kind.clone(),
            None => format!("{}List", self.kind),
        }
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
        let known = schema::kind(&self.api_version(), &self.kind).filter(|_| !self.custom);
        known.cloned().unwrap_or_else(|| Kind {
            custom: self.definition.clone(),
            ..Kind::custom(&self.group, &self.version, &self.kind, &self.plural)
        })
    }

    /// A stored object as this version shows it; `version` is this one's apiVersion, so that a list
    /// makes it once.
    pub fn view(&self, version: &str, object: Arc<Value>) -> Arc<Value> {
        if object["apiVersion"] == version || object["apiVersion"].is_null() {
            return object;
        }
        Arc::new(kinds::convert(&object, &self.rules_kind()))
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

/// Everything one cluster serves, in discovery order. Rows stay where they are when they end, so that
/// a place in the catalog means the same for good.
#[derive(Debug, Clone)]
pub struct Catalog {
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    resource: Arc<Resource>,
    /// Where its objects are kept: versions of one resource share a place.
    storage: ResourceId,
    is_served: bool,
    /// Made by a definition, whose storage answers only from then on.
    ready_at: Option<Instant>,
}

impl Catalog {
    /// The built-in resources of the version, and the extra ones.
    pub fn new(extra: Vec<Resource>) -> Self {
        let built_in: Vec<Resource> =
            serde_json::from_str(BUILT_IN).expect("the table ships with the binary and a test reads it");
        let rows = built_in.into_iter().chain(extra).enumerate().map(|(index, resource)| Row {
            resource: Arc::new(resource),
            storage: ResourceId(index),
            is_served: true,
            ready_at: None,
        });
        let mut catalog = Self { rows: rows.collect() };
        // Events are one thing that two groups show.
        let places = [("", "v1"), ("events.k8s.io", "v1")].map(|(group, v)| catalog.find(group, v, "events"));
        if let [Some(core), Some(reported)] = places {
            catalog.rows[reported.0].storage = core;
        }
        catalog
    }

    /// Serves the versions of a definition, the preferred one first; those served before under its
    /// name and not among them end.
    pub fn install(&mut self, group: &str, plural: &str, versions: Vec<(Resource, bool)>, ready_at: Instant) {
        let known = self.rows.iter().find(|row| row.is_of(group, plural)).map(|row| row.storage);
        let storage = known.unwrap_or(ResourceId(self.rows.len()));
        let is_named = |name: &str| versions.iter().any(|(one, _)| one.version == name);
        for row in self.rows.iter_mut().filter(|row| row.is_of(group, plural)) {
            row.is_served &= is_named(&row.resource.version);
        }
        for (resource, is_served) in versions {
            let of_version =
                |row: &&mut Row| row.is_of(group, plural) && row.resource.version == resource.version;
            match self.rows.iter_mut().find(of_version) {
                Some(row) if *row.resource == resource => row.is_served = is_served,
                Some(row) => {
                    row.resource = Arc::new(resource);
                    row.is_served = is_served;
                }
                None => {
                    let ready_at = Some(ready_at);
                    self.rows.push(Row { resource: Arc::new(resource), storage, is_served, ready_at });
                }
            }
        }
    }

    /// Whether just these versions are what a definition serves.
    pub fn is_installed(&self, group: &str, plural: &str, versions: &[(Resource, bool)]) -> bool {
        let served = |row: &&Row| row.is_served && row.is_of(group, plural);
        let is_there = |(resource, wanted): &(Resource, bool)| {
            let row =
                self.rows.iter().find(|r| r.is_of(group, plural) && r.resource.version == resource.version);
            row.is_some_and(|row| row.is_served == *wanted && *row.resource == *resource)
        };
        let wanted = versions.iter().filter(|(_, is_served)| *is_served).count();
        self.rows.iter().filter(served).count() == wanted && versions.iter().all(is_there)
    }

    /// Ends what a definition served. A later one of the same name starts anew.
    pub fn uninstall(&mut self, group: &str, plural: &str) {
        for row in self.rows.iter_mut().filter(|row| row.is_of(group, plural)) {
            row.is_served = false;
            row.ready_at = None;
        }
    }

    /// Group and plural of everything that definitions serve.
    pub fn defined(&self) -> Vec<(String, String)> {
        let rows = self.rows.iter().filter(|row| row.ready_at.is_some());
        let mut names: Vec<(String, String)> =
            rows.map(|row| (row.resource.group.clone(), row.resource.plural.clone())).collect();
        names.dedup();
        names
    }

    pub fn get(&self, id: ResourceId) -> &Arc<Resource> {
        &self.rows[id.0].resource
    }

    /// Whether the resource is still served just as it was.
    pub fn is_current(&self, id: ResourceId, resource: &Arc<Resource>) -> bool {
        let row = &self.rows[id.0];
        row.is_served && Arc::ptr_eq(&row.resource, resource)
    }

    /// Whether the storage of a new definition does not answer yet.
    pub fn is_starting(&self, id: ResourceId, now: Instant) -> bool {
        self.rows[id.0].ready_at.is_some_and(|at| now < at)
    }

    /// Where the objects of a resource are kept.
    pub fn storage(&self, id: ResourceId) -> ResourceId {
        self.rows[id.0].storage
    }

    pub fn iter(&self) -> impl Iterator<Item = (ResourceId, &Arc<Resource>)> {
        let rows = self.rows.iter().enumerate().filter(|(_, row)| row.is_served);
        rows.map(|(index, row)| (ResourceId(index), &row.resource))
    }

    /// One served resource for each place where objects are kept.
    pub fn stored(&self) -> impl Iterator<Item = (ResourceId, &Arc<Resource>)> {
        let mut seen: Vec<ResourceId> = Vec::new();
        self.iter().filter(move |(id, _)| {
            let storage = self.storage(*id);
            let new = !seen.contains(&storage);
            seen.push(storage);
            new
        })
    }

    /// The resource at group, version and plural.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<ResourceId> {
        self.position(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The resource of an object, by its apiVersion and kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<ResourceId> {
        self.position(|r| r.kind == kind && r.api_version() == api_version)
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.position(|r| r.group == group).is_some()
    }

    /// Whether everything in a group comes from definitions.
    pub fn is_defined_group(&self, group: &str) -> bool {
        self.iter().filter(|(_, r)| r.group == group).all(|(_, r)| r.definition.is_some())
    }

    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.position(|r| r.group == group && r.version == version).is_some()
    }

    fn position(&self, wanted: impl Fn(&Resource) -> bool) -> Option<ResourceId> {
        self.iter().find(|(_, resource)| wanted(resource)).map(|(id, _)| id)
    }
}

impl Row {
    /// Made by the definition of this name that is in force.
    fn is_of(&self, group: &str, plural: &str) -> bool {
        self.ready_at.is_some() && self.resource.group == group && self.resource.plural == plural
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
