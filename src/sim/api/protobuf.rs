//! The few bodies that kubectl sends as protobuf whatever the server offers: reviews and new
//! namespaces. They become JSON; answers are always JSON, which every client takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

/// The content type.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// The envelope of every object.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
}

/// A namespace or a review without a spec, of which only the metadata counts.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct AccessReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<AccessSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct AccessSpec {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceAttributes>,
    #[prost(message, optional, tag = "2")]
    path: Option<PathAttributes>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceAttributes {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    verb: String,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    subresource: String,
    #[prost(string, tag = "7")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathAttributes {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    verb: String,
}

#[derive(Clone, PartialEq, Message)]
struct RulesReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<RulesSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct RulesSpec {
    #[prost(string, tag = "1")]
    namespace: String,
}

/// The body as JSON; nothing if it is no object this server reads.
pub fn to_json(body: &Bytes) -> Option<Bytes> {
    let envelope = Unknown::decode(body.strip_prefix(MAGIC)?).ok()?;
    let typed = envelope.type_meta.unwrap_or_default();
    let mut object = match typed.kind.as_str() {
        "SelfSubjectAccessReview" => access(&AccessReview::decode(envelope.raw).ok()?),
        "SelfSubjectRulesReview" => {
            let spec = RulesReview::decode(envelope.raw).ok()?.spec.unwrap_or_default();
            json!({ "spec": { "namespace": spec.namespace } })
        }
        "SelfSubjectReview" | "Namespace" => plain(Plain::decode(envelope.raw).ok()?),
        _ => return None,
    };
    object["apiVersion"] = json!(typed.api_version);
    object["kind"] = json!(typed.kind);
    Some(Bytes::from(object.to_string()))
}

fn plain(object: Plain) -> Value {
    let metadata = object.metadata.unwrap_or_default();
    let texts = [("name", metadata.name), ("generateName", metadata.generate_name)];
    let mut out = present(texts);
    for (field, map) in [("labels", metadata.labels), ("annotations", metadata.annotations)] {
        if !map.is_empty() {
            out[field] = json!(map);
        }
    }
    json!({ "metadata": out })
}

fn access(review: &AccessReview) -> Value {
    let spec = review.spec.clone().unwrap_or_default();
    let mut out = json!({});
    if let Some(of) = spec.resource {
        out["resourceAttributes"] = present([
            ("namespace", of.namespace),
            ("verb", of.verb),
            ("group", of.group),
            ("version", of.version),
            ("resource", of.resource),
            ("subresource", of.subresource),
            ("name", of.name),
        ]);
    }
    if let Some(of) = spec.path {
        out["nonResourceAttributes"] = present([("path", of.path), ("verb", of.verb)]);
    }
    json!({ "spec": out })
}

/// The texts that are not empty.
fn present<const N: usize>(texts: [(&str, String); N]) -> Value {
    let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
    Value::Object(given.map(|(field, text)| (field.to_owned(), json!(text))).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::to_json;

    #[test]
    fn what_kubectl_sends_to_make_a_namespace_is_read() {
        // Envelope, type, and a namespace called "ab", byte by byte.
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x06\x0a\x04\x0a\x02ab";
        let json_text = to_json(&Bytes::from_static(body)).expect("a namespace is read");
        let value: Value = serde_json::from_slice(&json_text).expect("it is JSON now");
        assert_eq!(value, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ab"}}));
        assert!(to_json(&Bytes::from_static(b"{}")).is_none());
    }
}
