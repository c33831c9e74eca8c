//! What a cluster says about itself: versions, groups and resources, plain and aggregated, and its
//! health. Everything comes from the catalog.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::sim::api::call::Call;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::dispatch::no_route;
use crate::sim::api::negotiate::{self, Form, Offer};
use crate::sim::api::openapi;
use crate::sim::api::reply::{Content, Reply};
use crate::sim::api::resources::{Catalog, Resource, Subresource};
use crate::sim::api::status::Status;

const ROOT: &str = include_str!("../../../assets/kubernetes/root.json");
/// The content type of the aggregated document.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const READYZ: &str = include_str!("../../../assets/kubernetes/readyz.txt");

/// Answers the paths that name no resource.
pub fn answer(cluster: &Cluster, call: &Call, path: &str) -> Result<Reply, Status> {
    let catalog = &*cluster.catalog();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let document = match segments.as_slice() {
        [] => root(),
        ["version"] => version(),
        ["livez" | "readyz" | "healthz"] => {
            let text = health(path, call.query.has("verbose"));
            return Ok(Reply::text(200, text).with_header("x-content-type-options", "nosniff"));
        }
        ["openapi", "v3", rest @ ..] => return Ok(openapi::answer(cluster, call, &rest.join("/"))),
        ["api"] => return negotiated(cluster, call, true),
        ["apis"] => return negotiated(cluster, call, false),
        ["api", version] if catalog.has_version("", version) => resources(catalog, "", version),
        ["api", _] => return Err(no_route()),
        ["apis", name] if catalog.has_group(name) => group(catalog, name),
        ["apis", name, version] if catalog.has_version(name, version) => resources(catalog, name, version),
        ["apis", name, _] if catalog.has_group(name) => return Err(no_route()),
        _ => return Err(Status::text(404, "404 page not found\n")),
    };
    negotiate::accept(call.header("accept"), Offer::Plain)?;
    Ok(Reply::json(200, document))
}

/// `/api` and `/apis`, aggregated where the client takes that.
fn negotiated(cluster: &Cluster, call: &Call, core: bool) -> Result<Reply, Status> {
    let catalog = &*cluster.catalog();
    let form = negotiate::accept(call.header("accept"), Offer::Discovery)?.form;
    if form == Form::Discovery {
        return Ok(tagged(call, &aggregated(catalog, core)));
    }
    let document = if core { core_versions(cluster.address()) } else { groups(catalog) };
    Ok(Reply::json(200, document))
}

/// A document with its hash, so that a client need not fetch it twice.
fn tagged(call: &Call, document: &Value) -> Reply {
    let text = format!("{document}\n");
    let digest = Sha512::digest(text.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let tag = format!("\"{hash}\"");
    let known = call.header("if-none-match") == Some(tag.as_str());
    let content = if known { Content::Nothing } else { Content::Bytes(AGGREGATED, Bytes::from(text)) };
    Reply { code: if known { 304 } else { 200 }, headers: Vec::new(), content }
        .with_header("cache-control", "public")
        .with_header("vary", "Accept")
        .with_header("etag", tag)
}

/// `/version`.
pub fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35", "gitVersion": "v1.36.2",
        "gitCommit": "98b35193b2ac7a23a673325f5e9b830ecd5ba406", "gitTreeState": "clean",
        "buildDate": "2026-06-11T10:00:00Z", "goVersion": "go1.26.6", "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// `/`: every path there is.
pub fn root() -> Value {
    serde_json::from_str(ROOT).expect("the list of paths ships with the binary and a test reads it")
}

/// `/livez`, `/readyz` and `/healthz`.
pub fn health(path: &str, verbose: bool) -> String {
    if !verbose {
        return "ok".to_owned();
    }
    let check = path.trim_start_matches('/');
    READYZ.replace("readyz check passed", &format!("{check} check passed"))
}

/// `/api`.
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

/// `/apis`.
pub fn groups(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = group_names(catalog).iter().map(|name| group_body(catalog, name)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`.
pub fn group(catalog: &Catalog, name: &str) -> Value {
    let mut body = group_body(catalog, name);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    body
}

fn group_body(catalog: &Catalog, name: &str) -> Value {
    let versions: Vec<Value> = versions_of(catalog, name)
        .iter()
        .map(|version| json!({ "groupVersion": format!("{name}/{version}"), "version": version }))
        .collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resources(catalog: &Catalog, group: &str, version: &str) -> Value {
    let mut rows: Vec<Value> = Vec::new();
    let mut api_version = version.to_owned();
    for (_, resource) in catalog.iter().filter(|(_, r)| r.group == group && r.version == version) {
        api_version = resource.api_version();
        rows.push(resource_row(resource));
        rows.extend(resource.subresources.iter().map(|sub| subresource_row(resource, sub)));
    }
    let mut body = json!({ "kind": "APIResourceList", "groupVersion": api_version, "resources": rows });
    if !group.is_empty() {
        body["apiVersion"] = json!("v1");
    }
    body
}

fn resource_row(resource: &Resource) -> Value {
    let mut row = json!({
        "name": resource.plural, "singularName": resource.singular, "kind": resource.kind,
        "namespaced": resource.namespaced, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        row["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        row["categories"] = json!(resource.categories);
    }
    if let Some(hash) = &resource.storage_version_hash {
        row["storageVersionHash"] = json!(hash);
    }
    row
}

fn subresource_row(resource: &Resource, sub: &Subresource) -> Value {
    let mut row = json!({
        "name": format!("{}/{}", resource.plural, sub.name), "singularName": "",
        "kind": sub.kind, "namespaced": resource.namespaced, "verbs": sub.verbs,
    });
    if !sub.group.is_empty() {
        row["group"] = json!(sub.group);
    }
    if !sub.version.is_empty() {
        row["version"] = json!(sub.version);
    }
    row
}

/// The aggregated document: of the core group, or of all named groups.
pub fn aggregated(catalog: &Catalog, core: bool) -> Value {
    let names = if core { vec![String::new()] } else { group_names(catalog) };
    let items: Vec<Value> = names.iter().map(|name| aggregated_group(catalog, name)).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items,
    })
}

fn aggregated_group(catalog: &Catalog, name: &str) -> Value {
    let versions: Vec<Value> = versions_of(catalog, name)
        .iter()
        .map(|version| {
            let rows: Vec<Value> = catalog
                .iter()
                .filter(|(_, r)| r.group == name && r.version == *version)
                .map(|(_, r)| aggregated_row(r))
                .collect();
            json!({ "version": version, "freshness": "Current", "resources": rows })
        })
        .collect();
    let metadata = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_row(resource: &Resource) -> Value {
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    let mut row = json!({
        "resource": resource.plural, "singularResource": resource.singular, "scope": scope,
        "verbs": resource.verbs,
        "responseKind": response_kind(resource, "", "", &resource.kind),
    });
    if !resource.short_names.is_empty() {
        row["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        row["categories"] = json!(resource.categories);
    }
    let subs: Vec<Value> = resource
        .subresources
        .iter()
        .map(|sub| {
            json!({
                "subresource": sub.name, "verbs": sub.verbs,
                "responseKind": response_kind(resource, &sub.group, &sub.version, &sub.kind),
            })
        })
        .collect();
    if !subs.is_empty() {
        row["subresources"] = json!(subs);
    }
    row
}

/// The kind a resource answers with. Definitions write it out; for built-in ones the reader knows.
fn response_kind(resource: &Resource, group: &str, version: &str, kind: &str) -> Value {
    let (group, version) = match &resource.definition {
        Some(_) => (resource.group.as_str(), resource.version.as_str()),
        None => (group, version),
    };
    json!({ "group": group, "version": version, "kind": kind })
}

fn group_names(catalog: &Catalog) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, resource) in catalog.iter().filter(|(_, r)| !r.group.is_empty()) {
        if !names.contains(&resource.group) {
            names.push(resource.group.clone());
        }
    }
    names
}

fn versions_of(catalog: &Catalog, group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for (_, resource) in catalog.iter().filter(|(_, r)| r.group == group) {
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::{aggregated, resources, root};
    use crate::sim::api::resources::Catalog;

    #[test]
    fn the_documents_name_network_policies() {
        let catalog = Catalog::new(Vec::new());
        let plain = resources(&catalog, "networking.k8s.io", "v1").to_string();
        let whole = aggregated(&catalog, false).to_string();
        assert!(plain.contains("\"netpol\"") && whole.contains("\"netpol\""));
        assert!(root()["paths"].as_array().is_some_and(|paths| paths.len() > 100));
    }
}
