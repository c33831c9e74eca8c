//! CustomResourceDefinitions as objects: defaults, first status, and what is refused (scene 70).
//! Paths are those of the server's internal form, where what all versions share stands once.

use serde_json::{Value, json};

use super::super::errors::{FieldError, quote};
use super::super::words;
use super::cel;
use super::node::Node;
use super::structural;

const APPROVED: &str = "api-approved.kubernetes.io";

/// Fills in names that follow from others, and that nothing is converted.
pub fn default(crd: &mut Value) {
    let spec = &mut crd["spec"];
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    for (field, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
        if !kind.is_empty() && spec["names"][field].as_str().unwrap_or_default().is_empty() {
            spec["names"][field] = json!(value);
        }
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({ "strategy": "None" });
    }
}

/// The status of a new definition: nothing accepted yet.
pub fn complete_new(crd: &mut Value) {
    let stored: Vec<Value> = storage_version(crd).into_iter().map(|name| json!(name)).collect();
    crd["status"] = json!({
        "conditions": null, "acceptedNames": { "plural": "", "kind": "" },
        "storedVersions": if stored.is_empty() { Value::Null } else { json!(stored) },
    });
}

/// The name of the version objects are stored in.
pub fn storage_version(crd: &Value) -> Option<&str> {
    versions(crd).iter().find(|version| version["storage"] == true)?["name"].as_str()
}

pub fn versions(crd: &Value) -> &[Value] {
    crd["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is wrong with a definition.
pub fn validate(crd: &Value) -> Vec<FieldError> {
    let mut errors = names(crd);
    errors.extend(stored(crd));
    let shared = is_shared(crd, "schema");
    for (index, version) in versions(crd).iter().enumerate() {
        let here = format!("spec.versions[{index}]");
        let schema = &version["schema"]["openAPIV3Schema"];
        let fields = if is_shared(crd, "selectableFields") {
            "spec.selectableFields".to_owned()
        } else {
            format!("{here}.selectableFields")
        };
        if schema.is_null() {
            errors.push(FieldError::required(format!("{here}.schema.openAPIV3Schema"), ""));
            if version["selectableFields"].is_array() {
                let said = "may only be set when validations.schema is included";
                errors.push(FieldError::invalid_text(fields, "", said));
            }
            continue;
        }
        if shared && index > 0 {
            continue;
        }
        let at = if shared {
            "spec.validation.openAPIV3Schema".to_owned()
        } else {
            format!("{here}.schema.openAPIV3Schema")
        };
        let wrong = structural::check(schema, &at);
        if wrong.is_empty() {
            errors.extend(cel::compile(&Node::root(schema), &at));
        }
        errors.extend(wrong);
        errors.extend(selectable(version, schema, &fields));
    }
    errors
}

/// What a change may not touch: the group ever, the scope once the definition is in force.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let conditions = old["status"]["conditions"].as_array().into_iter().flatten();
    let established =
        conditions.into_iter().any(|one| one["type"] == "Established" && one["status"] == "True");
    let fixed = [("group", true), ("scope", established)];
    let changed =
        fixed.into_iter().filter(|(field, fixed)| *fixed && new["spec"][*field] != old["spec"][*field]);
    let said = "field is immutable";
    changed
        .map(|(field, _)| FieldError::invalid(format!("spec.{field}"), &new["spec"][field], said))
        .collect()
}

/// Whether all versions say the same of something, as a single one always does.
fn is_shared(crd: &Value, field: &str) -> bool {
    let versions = versions(crd);
    versions.iter().all(|version| version[field] == versions[0][field])
}

fn names(crd: &Value) -> Vec<FieldError> {
    let spec = &crd["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, group) = (text(&crd["metadata"]["name"]), text(&spec["group"]));
    let (plural, kind) = (text(&spec["names"]["plural"]), text(&spec["names"]["kind"]));
    let mut errors = Vec::new();
    if name != format!("{plural}.{group}") {
        let said = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid_text("metadata.name", &name, said));
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    if protected && crd["metadata"]["annotations"][APPROVED].is_null() {
        let said = format!(
            "protected groups must have approval annotation {}, see \
             https://github.com/kubernetes/enhancements/pull/1111",
            quote(APPROVED)
        );
        errors.push(FieldError::required(format!("metadata.annotations[{APPROVED}]"), &said));
    }
    for (field, value) in [("group", &group), ("names.plural", &plural), ("names.kind", &kind)] {
        if value.is_empty() {
            errors.push(FieldError::required(format!("spec.{field}"), ""));
        }
    }
    let refused = |field: &str, value: &str, said: words::Breaches| {
        said.into_iter()
            .map(|said| FieldError::invalid_text(format!("spec.{field}"), value, said))
            .collect::<Vec<_>>()
    };
    if !plural.is_empty() {
        errors.extend(refused("names.plural", &plural, words::label_1035(&plural)));
    }
    if !kind.is_empty() {
        errors.extend(refused("names.kind", &kind, words::label_1035(&kind.to_lowercase())));
    }
    if !["Namespaced", "Cluster"].contains(&spec["scope"].as_str().unwrap_or_default()) {
        errors.push(FieldError::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]));
    }
    errors
}

fn stored(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if versions(crd).iter().filter(|version| version["storage"] == true).count() != 1 {
        let said = "must have exactly one version marked as storage version";
        let message = format!(
            "Invalid value: [{}]: {said}",
            versions(crd).iter().map(shown).collect::<Vec<_>>().join(",")
        );
        errors.push(FieldError { reason: "FieldValueInvalid", field: "spec.versions".to_owned(), message });
    }
    if crd["status"]["storedVersions"].as_array().is_none_or(Vec::is_empty) {
        let said = "must have at least one stored version";
        errors.push(FieldError::invalid("status.storedVersions", &Value::Null, said));
    }
    errors
}

/// A version as the server's internal form is printed. What versions differ in is left out: no
/// recording shows that.
fn shown(version: &Value) -> String {
    let flag = |field: &str| version[field] == true;
    format!(
        "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":null,\
         \"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
        version["name"],
        flag("served"),
        flag("storage"),
        flag("deprecated"),
        version["deprecationWarning"]
    )
}

fn selectable(version: &Value, schema: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, one) in version["selectableFields"].as_array().into_iter().flatten().enumerate() {
        let path = one["jsonPath"].as_str().unwrap_or_default();
        let names = path.trim_start_matches('.').split('.');
        let node = names.fold(schema, |node, name| &node["properties"][name]);
        if !matches!(node["type"].as_str(), Some("string" | "boolean" | "integer")) {
            let said = "must point to a field of type string, boolean or integer. Enum string fields and \
                        strings with formats are allowed.";
            errors.push(FieldError::invalid_text(format!("{at}[{index}].jsonPath"), path, said));
        }
    }
    errors
}
