//! What names a policy's expressions may use and what is known of them: compiled when a policy is
//! written, with untyped objects, and once more against each matched kind for `status.typeChecking`
//! (scene 75).

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::super::cel_check::{self, Declared, Known, Sure};
use super::super::custom::node::Node;
use super::super::schema::{self, Kind, Type};

/// So deep are the types of built-in kinds followed; below, anything goes.
const DEPTH: usize = 12;
/// So many kinds a policy is checked against.
const KINDS: usize = 10;

/// The names a policy declares beside those that always are.
pub struct Names {
    has_params: bool,
    /// The variables as fields of one object; absent where there is none.
    variables: Option<Node>,
}

impl Names {
    /// For a validation of a policy with this spec.
    pub fn of(spec: &Value) -> Self {
        let count = spec["variables"].as_array().map_or(0, Vec::len);
        let names = Self { has_params: !spec["paramKind"].is_null(), variables: None };
        if count == 0 { names } else { names.with_variables_before(spec, count) }
    }

    /// For a variable, which sees those before it.
    pub fn with_variables_before(self, spec: &Value, count: usize) -> Self {
        let before = spec["variables"].as_array().into_iter().flatten().take(count);
        let fields: Map<String, Value> =
            before.filter_map(|one| Some((one["name"].as_str()?.to_owned(), json!({})))).collect();
        Self { variables: Some(Node::part(&json!({"type": "object", "properties": fields}))), ..self }
    }

    pub fn without_variables(self) -> Self {
        Self { variables: None, ..self }
    }

    fn declare<'a>(&'a self, object: Known<'a>) -> Vec<Declared<'a>> {
        let mut declared = vec![
            ("object", object),
            ("oldObject", object),
            ("request", Known::Raw(request())),
            ("namespaceObject", Known::Raw(namespace())),
        ];
        if self.has_params {
            declared.push(("params", Known::Anything));
        }
        declared.extend(self.variables.as_ref().map(|node| ("variables", Known::Raw(node))));
        declared
    }
}

/// The type of an expression's value where that is sure, or what the compiler says against it.
pub fn compile(text: &str, names: &Names) -> Result<Sure, String> {
    cel_check::compile(text, &names.declare(Known::Anything)).map(|(_, sure)| sure)
}

/// The `status` of a policy: what its expressions say of fields that the matched kinds do not have.
/// `schema_of` gives the schema of a resource by group, version and plural, with its Kind.
pub fn status(policy: &Value, schema_of: impl Fn(&str, &str, &str) -> Option<(String, Node)>) -> Value {
    let spec = &policy["spec"];
    let kinds = matched_kinds(spec, schema_of);
    let names = Names::of(spec);
    let mut warnings = Vec::new();
    for (index, one) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for field in ["expression", "messageExpression"] {
            let Some(text) = one[field].as_str().filter(|text| !text.is_empty()) else { continue };
            let said: Vec<String> =
                kinds.iter().filter_map(|(name, node)| complaint(text, &names, name, node)).collect();
            if !said.is_empty() {
                let at = format!("spec.validations[{index}].{field}");
                warnings.push(json!({"fieldRef": at, "warning": said.join("\n")}));
            }
        }
    }
    let mut checking = json!({});
    if !warnings.is_empty() {
        checking["expressionWarnings"] = json!(warnings);
    }
    json!({"observedGeneration": policy["metadata"]["generation"], "typeChecking": checking})
}

fn complaint(text: &str, names: &Names, kind: &str, node: &Node) -> Option<String> {
    let said = cel_check::compile(text, &names.declare(Known::Of(node))).err()?;
    let said = said.strip_prefix("compilation failed: ").unwrap_or(&said);
    Some(format!("{kind}: {said}\n"))
}

/// The kinds named without wildcards, in order, with their schemas.
fn matched_kinds(
    spec: &Value,
    schema_of: impl Fn(&str, &str, &str) -> Option<(String, Node)>,
) -> Vec<(String, Node)> {
    let rules = spec.pointer("/matchConstraints/resourceRules").and_then(Value::as_array);
    let mut found: Vec<(String, Node)> = Vec::new();
    for rule in rules.into_iter().flatten() {
        let words = |field: &str| -> Vec<&str> {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let (groups, versions) = (words("apiGroups"), words("apiVersions"));
        if groups.iter().chain(&versions).any(|word| word.contains('*')) {
            continue;
        }
        for group in groups {
            for version in &versions {
                for plural in words("resources").into_iter().filter(|word| !word.contains(['*', '/'])) {
                    let Some((kind, node)) = schema_of(group, version, plural) else { continue };
                    let separator = if group.is_empty() { "" } else { "/" };
                    found.push((format!("{group}{separator}{version}, Kind={kind}"), node));
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup_by(|a, b| a.0 == b.0);
    found.truncate(KINDS);
    found
}

/// The schema of a built-in kind, as its table tells it.
pub fn built_in(kind: &Kind) -> Node {
    Node::part(&json_schema(&kind.root_type(), DEPTH))
}

fn json_schema(ty: &Type, depth: usize) -> Value {
    if depth == 0 {
        return json!({});
    }
    match ty {
        Type::Text | Type::Named(_) | Type::Quantity => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Int32 | Type::Int64 => json!({"type": "integer"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::IntOrString | Type::Any => json!({}),
        Type::List(of) => json!({"type": "array", "items": json_schema(of, depth - 1)}),
        Type::Map(of) => json!({"type": "object", "additionalProperties": json_schema(of, depth - 1)}),
        Type::Struct(name) => {
            let of = schema::object(name);
            if of.open {
                return json!({});
            }
            let fields: Map<String, Value> = of
                .fields
                .iter()
                .map(|field| (field.name.clone(), json_schema(&field.ty, depth - 1)))
                .collect();
            json!({"type": "object", "properties": fields})
        }
    }
}

/// The variable `request`, whose type is the server's own.
fn request() -> &'static Node {
    static MADE: OnceLock<Node> = OnceLock::new();
    MADE.get_or_init(|| {
        let text = json!({"type": "string"});
        let three = |last: &str| {
            json!({"type": "object", "properties": {"group": text, "version": text, last: text}})
        };
        let texts = json!({"type": "array", "items": text});
        Node::part(&json!({"type": "object", "properties": {
            "kind": three("kind"), "resource": three("resource"), "subResource": text,
            "requestKind": three("kind"), "requestResource": three("resource"), "requestSubResource": text,
            "name": text, "namespace": text, "operation": text, "dryRun": {"type": "boolean"}, "options": {},
            "userInfo": {"type": "object", "properties": {"username": text, "uid": text, "groups": texts,
                "extra": {"type": "object", "additionalProperties": texts}}},
        }}))
    })
}

/// The variable `namespaceObject`.
fn namespace() -> &'static Node {
    static MADE: OnceLock<Node> = OnceLock::new();
    MADE.get_or_init(|| {
        let known = schema::kind("v1", "Namespace").map(|kind| json_schema(&kind.root_type(), DEPTH));
        let mut node = known.unwrap_or_default();
        if let Some(fields) = node["properties"].as_object_mut() {
            fields.retain(|name, _| ["metadata", "spec", "status"].contains(&name.as_str()));
        }
        Node::part(&node)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::schema;
    use super::{built_in, status};

    #[test]
    fn a_field_that_no_kind_has_is_told_in_the_status() {
        let policy = json!({"metadata": {"generation": 2}, "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["networkpolicies"]},
                {"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["pods"]},
            ]},
            "validations": [
                {"expression": "object.metadata.name == 'a' && object.spec.ingress.all(r, has(r.from))"},
                {"expression": "object.spec.nosuch == 'x'", "messageExpression": "object.metadata.nosuch"},
            ],
        }});
        let schema_of = |group: &str, _: &str, plural: &str| {
            schema::by_plural(group, plural).map(|kind| (kind.kind.clone(), built_in(kind)))
        };
        let kind = "networking.k8s.io/v1, Kind=NetworkPolicy";
        assert_eq!(
            status(&policy, schema_of),
            json!({"observedGeneration": 2, "typeChecking": {"expressionWarnings": [
                {"fieldRef": "spec.validations[1].expression", "warning": format!("{kind}: ERROR: \
                    <input>:1:12: undefined field 'nosuch'\n | object.spec.nosuch == 'x'\n | ...........^\n")},
                {"fieldRef": "spec.validations[1].messageExpression", "warning": format!("{kind}: ERROR: \
                    <input>:1:16: undefined field 'nosuch'\n | object.metadata.nosuch\n | ...............^\n")},
            ]}})
        );
    }
}
