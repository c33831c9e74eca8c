//! `/openapi/v3` and what hangs below it: which documents there are, with hashes so that clients
//! keep them. What stands in them is made by the rules.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::sim::api::call::Call;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::reply::{Content, Reply};
use crate::sim::api::resources::Catalog;
use crate::sim::rules::openapi::{self, Served};
use crate::sim::rules::schema::Kind;

/// Paths that have a document but no resources.
const OTHERS: [&str; 5] = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"];
const EMPTY: &str = r#"{"openapi":"3.0.0","info":{"title":"Kubernetes","version":"1.36"},"paths":{}}"#;

/// The documents of a cluster by path, such as `apis/apps/v1`.
pub type Documents = BTreeMap<String, String>;

/// Makes all documents; done once a cluster, when somebody asks.
pub fn documents(catalog: &Catalog) -> Documents {
    let mut found: Documents = OTHERS.iter().map(|path| ((*path).to_owned(), EMPTY.to_owned())).collect();
    for (_, resource) in catalog.iter() {
        let (group, version) = (&resource.group, &resource.version);
        if group.is_empty() {
            found.entry(format!("api/{version}")).or_insert_with(|| document(catalog, group, version));
            continue;
        }
        found.entry(format!("apis/{group}")).or_insert_with(|| EMPTY.to_owned());
        let path = format!("apis/{group}/{version}");
        found.entry(path).or_insert_with(|| document(catalog, group, version));
    }
    found
}

fn document(catalog: &Catalog, group: &str, version: &str) -> String {
    let rows = catalog.iter().filter(|(_, r)| r.group == group && r.version == version);
    let kinds: Vec<(Kind, bool)> = rows.map(|(_, r)| (r.rules_kind(), r.namespaced)).collect();
    let served: Vec<Served<'_>> =
        kinds.iter().map(|(kind, namespaced)| Served { kind, namespaced: *namespaced }).collect();
    openapi::document(group, version, &served)
}

/// Answers a path below `/openapi/v3`, given what follows that.
pub fn answer(cluster: &Cluster, call: &Call, path: &str) -> Reply {
    let documents = cluster.documents();
    let started = cluster.started_http();
    if path.is_empty() {
        let index = openapi::index(documents.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        let content = Content::Whole("text/plain; charset=utf-8", Bytes::from(index.to_string()));
        return Reply { code: 200, headers: Vec::new(), content }.with_header("last-modified", started);
    }
    let Some(text) = documents.get(path) else { return Reply::nothing(404) };
    let hash = openapi::hash(text);
    let tag = format!("\"{hash}\"");
    if call.header("if-none-match") == Some(tag.as_str()) {
        return Reply::nothing(304).with_header("etag", tag).with_header("vary", "Accept");
    }
    let content = Content::Whole("application/json", Bytes::from(text.clone()));
    let reply = Reply { code: 200, headers: Vec::new(), content }
        .with_header("etag", tag)
        .with_header("vary", "Accept")
        .with_header("last-modified", started);
    if call.query.get("hash") == hash {
        return reply.with_header("cache-control", "public, immutable");
    }
    reply
}
