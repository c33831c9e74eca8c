//! OpenAPI v3 as far as kubectl needs it: the index, the recorded document of networking.k8s.io/v1
//! (scene 99), and for other groups a document made from the field tables, enough for kubectl's
//! apply to know that the server validates and for explain to list fields.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::custom::definition::Definition;
use super::schema::{self, Kind, Ownership, Type};

const NETWORKING: &str = include_str!("../../../assets/sim/openapi-networking-v1.json");

/// A resource of a group version, as documents name it.
pub struct Served<'a> {
    pub kind: &'a Kind,
    pub namespaced: bool,
}

/// The index: one entry a path such as `api/v1` or `apis/networking.k8s.io/v1`, with the hash that
/// lets clients keep the document. `documents` are those paths with their texts.
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut paths = Map::new();
    for (path, text) in documents {
        let url = format!("/openapi/v3/{path}?hash={}", hash(text));
        paths.insert(path.to_owned(), json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The hash of a document: in the index, and quoted as its ETag.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The document of a group version with what it serves.
pub fn document(group: &str, version: &str, served: &[Served<'_>]) -> String {
    if (group, version) == ("networking.k8s.io", "v1") {
        return NETWORKING.trim_end().to_owned();
    }
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for one in served {
        describe_paths(one, &mut paths);
        let gvk = json!([{"group": group, "version": version, "kind": one.kind.kind}]);
        describe_type(&one.kind.root, &mut schemas);
        let mut root = match &one.kind.custom {
            Some(definition) => described(definition),
            None => schemas[&reference_name(&one.kind.root)].clone(),
        };
        root["x-kubernetes-group-version-kind"] = gvk;
        schemas.insert(reference_name(&one.kind.kind), root);
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "1.36"},
        "paths": paths, "components": {"schemas": schemas},
    })
    .to_string()
}

/// The schema of a definition, with the fields every object has.
fn described(definition: &Definition) -> Value {
    let mut schema = definition.schema.clone();
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"allOf": [{"$ref": reference("ObjectMeta")}]});
    schema
}

fn describe_paths(one: &Served<'_>, paths: &mut Map<String, Value>) {
    let kind = one.kind;
    let prefix = if kind.group.is_empty() { "/api" } else { "/apis" };
    let scope = if one.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{prefix}/{}{scope}/{}", kind.api_version(), kind.plural);
    let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let body = json!({"$ref": reference(&kind.kind)});
    let answer = json!({"200": {"description": "OK", "content": {"application/json": {"schema": body}}}});
    let operation = |action: &str| {
        let parameters: Vec<Value> = match action {
            "post" | "put" | "patch" => {
                ["dryRun", "fieldManager", "fieldValidation"].into_iter().map(parameter).collect()
            }
            _ => Vec::new(),
        };
        json!({"parameters": parameters, "responses": answer, "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk})
    };
    paths.insert(collection.clone(), json!({"get": operation("list"), "post": operation("post")}));
    paths.insert(
        format!("{collection}/{{name}}"),
        json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"),
            "delete": operation("delete")}),
    );
}

fn describe_type(name: &str, schemas: &mut Map<String, Value>) {
    let key = reference_name(name);
    if schemas.contains_key(&key) {
        return;
    }
    // Noted first: types may name each other.
    schemas.insert(key.clone(), Value::Null);
    let of = schema::object(name);
    let mut properties = Map::new();
    for field in &of.fields {
        let mut described = describe(&field.ty, schemas);
        match (&field.ownership, &field.ty) {
            (Ownership::Whole, Type::List(_)) => described["x-kubernetes-list-type"] = json!("atomic"),
            (Ownership::Set, _) => described["x-kubernetes-list-type"] = json!("set"),
            (Ownership::Keys(keys), _) => {
                described["x-kubernetes-list-type"] = json!("map");
                described["x-kubernetes-list-map-keys"] = json!(keys);
            }
            (Ownership::Whole | Ownership::Granular, _) => {}
        }
        if let Some(merge) = &field.merge {
            described["x-kubernetes-patch-strategy"] = json!("merge");
            if !merge.is_empty() {
                described["x-kubernetes-patch-merge-key"] = json!(merge);
            }
        }
        properties.insert(field.name.clone(), described);
    }
    let mut out = json!({"type": "object", "properties": properties});
    if of.whole {
        out["x-kubernetes-map-type"] = json!("atomic");
    }
    if of.open {
        out["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    schemas.insert(key, out);
}

fn describe(ty: &Type, schemas: &mut Map<String, Value>) -> Value {
    match ty {
        Type::Text | Type::Named(_) | Type::Quantity => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::IntOrString => {
            json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
        }
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Any => json!({"type": "object"}),
        Type::List(of) => json!({"type": "array", "items": describe(of, schemas)}),
        Type::Map(of) => json!({"type": "object", "additionalProperties": describe(of, schemas)}),
        Type::Struct(name) => {
            describe_type(name, schemas);
            json!({"allOf": [{"$ref": reference(name)}]})
        }
    }
}

fn reference_name(name: &str) -> String {
    format!("io.k8s.api.{name}")
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{}", reference_name(name))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Served, document, index};
    use crate::sim::rules::schema;

    #[test]
    fn a_made_document_says_that_the_server_validates() {
        let kind = schema::kind("v1", "Namespace").expect("served");
        let text = document("", "v1", &[Served { kind, namespaced: false }]);
        let read: Value = serde_json::from_str(&text).expect("a document is JSON");
        let patch = &read["paths"]["/api/v1/namespaces/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Namespace");
        assert_eq!(patch["parameters"][2]["name"], "fieldValidation");
        let schemas = &read["components"]["schemas"];
        assert_eq!(
            schemas["io.k8s.api.Namespace"]["x-kubernetes-group-version-kind"][0]["kind"],
            "Namespace"
        );
        assert_eq!(
            schemas["io.k8s.api.ObjectMeta"]["properties"]["finalizers"]["x-kubernetes-list-type"],
            "set"
        );
    }

    #[test]
    fn the_index_names_each_document_with_its_hash() {
        let index = index([("api/v1", "{}")]);
        let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap_or_default().to_owned();
        assert!(url.starts_with("/openapi/v3/api/v1?hash=44136FA355B3678A"), "{url}");
    }

    #[test]
    fn the_recorded_document_is_served_as_it_is() {
        let read: Value =
            serde_json::from_str(&document("networking.k8s.io", "v1", &[])).expect("recorded JSON");
        let spec = &read["components"]["schemas"]["io.k8s.api.networking.v1.NetworkPolicySpec"];
        assert_eq!(spec["properties"]["ingress"]["x-kubernetes-list-type"], "atomic");
    }
}
