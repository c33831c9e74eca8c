//! ValidatingAdmissionPolicies and their bindings as objects: defaults, and what a server refuses
//! (scene 75). What they do to other writes is decided in [`super::evaluate`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::cel_check::RESERVED;
use super::super::errors::FieldError;
use super::super::networkpolicy::selector;
use super::super::words;
use super::typecheck::{self, Names};

/// Fills in what a policy leaves out.
pub fn default_policy(policy: &mut Value) {
    let spec = &mut policy["spec"];
    if spec["failurePolicy"].is_null() {
        spec["failurePolicy"] = json!("Fail");
    }
    default_match(&mut spec["matchConstraints"]);
}

/// Fills in what a binding leaves out.
pub fn default_binding(binding: &mut Value) {
    if let Some(resources) = binding.pointer_mut("/spec/matchResources") {
        default_match(resources);
    }
}

fn default_match(resources: &mut Value) {
    if !resources.is_object() {
        return;
    }
    for (field, value) in [
        ("matchPolicy", json!("Equivalent")),
        ("namespaceSelector", json!({})),
        ("objectSelector", json!({})),
    ] {
        if resources[field].is_null() {
            resources[field] = value;
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if rule["scope"].is_null() {
                rule["scope"] = json!("*");
            }
        }
    }
}

/// What is wrong with a policy beside its metadata.
pub fn validate_policy(policy: &Value) -> Vec<FieldError> {
    let spec = &policy["spec"];
    let mut found = one_of("spec.failurePolicy", &spec["failurePolicy"], &["Fail", "Ignore"]);
    if !spec["paramKind"].is_null() {
        for field in ["apiVersion", "kind"] {
            if text(&spec["paramKind"], field).is_empty() {
                found.push(FieldError::required(format!("spec.paramKind.{field}"), ""));
            }
        }
    }
    if spec["matchConstraints"].is_null() {
        found.push(FieldError::required("spec.matchConstraints", ""));
    } else {
        found.extend(match_resources("spec.matchConstraints", &spec["matchConstraints"]));
        if list(spec, "/matchConstraints/resourceRules").is_empty() {
            found.push(FieldError::required("spec.matchConstraints.resourceRules", ""));
        }
    }
    found.extend(match_conditions(spec));
    found.extend(variables(spec));
    let names = Names::of(spec);
    let (validations, annotations) = (list(spec, "/validations"), list(spec, "/auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for field in ["spec.validations", "spec.auditAnnotations"] {
            let said = "validations or auditAnnotations must contain at least one item";
            found.push(FieldError::required(field, said));
        }
    }
    for (index, one) in validations.iter().enumerate() {
        found.extend(validation(&format!("spec.validations[{index}]"), one, &names));
    }
    for (index, one) in annotations.iter().enumerate() {
        let at = format!("spec.auditAnnotations[{index}].valueExpression");
        found.extend(expression(
            &at,
            text(one, "valueExpression"),
            &names,
            "",
            "valueExpression is not specified",
        ));
    }
    found
}

/// What is wrong with a binding beside its metadata.
pub fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let spec = &binding["spec"];
    let mut found = Vec::new();
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        found.push(FieldError::required("spec.policyName", ""));
    } else {
        let said = words::subdomain(policy);
        found.extend(said.into_iter().map(|said| FieldError::invalid_text("spec.policyName", policy, said)));
    }
    found.extend(param_ref(&spec["paramRef"]));
    if !spec["matchResources"].is_null() {
        // The real server misspells the path.
        found.extend(match_resources("spec.matchResouces", &spec["matchResources"]));
    }
    found.extend(actions(&spec["validationActions"]));
    found
}

fn param_ref(given: &Value) -> Vec<FieldError> {
    if given.is_null() {
        return Vec::new();
    }
    let (named, selects) = (!text(given, "name").is_empty(), !given["selector"].is_null());
    let mut found = Vec::new();
    if named && selects {
        for field in ["name", "selector"] {
            let said = "name and selector are mutually exclusive";
            found.push(FieldError::forbidden(format!("spec.paramRef.{field}"), said));
        }
    }
    if !named && !selects {
        let said = "one of name or selector must be specified";
        found.push(FieldError::required("spec.paramRef", said));
    }
    let at = "spec.paramRef.parameterNotFoundAction";
    found.extend(one_of(at, &given["parameterNotFoundAction"], &["Deny", "Allow"]));
    found
}

fn actions(given: &Value) -> Vec<FieldError> {
    let at = "spec.validationActions";
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, action) in given.as_array().into_iter().flatten().enumerate() {
        let name = action.as_str().unwrap_or_default();
        if !["Audit", "Deny", "Warn"].contains(&name) {
            let supported = &["Audit", "Deny", "Warn"];
            found.push(FieldError::not_supported(format!("{at}[{index}]"), action, supported));
        }
        if !seen.insert(name) {
            found.push(FieldError::duplicate(format!("{at}[{index}]"), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let said = "must not contain both Deny and Warn (repeating the same validation failure information in \
                    the API response and headers serves no purpose)";
        found.push(FieldError::invalid(at, given, said));
    }
    if seen.is_empty() {
        found.push(FieldError::required(at, "at least one validation action is required"));
    }
    found
}

fn match_conditions(spec: &Value) -> Vec<FieldError> {
    let names = Names::of(spec).without_variables();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, one) in list(spec, "/matchConditions").iter().enumerate() {
        let at = format!("spec.matchConditions[{index}]");
        let trimmed = text(one, "expression").trim();
        found.extend(expression(&format!("{at}.expression"), trimmed, &names, "bool", ""));
        let name = text(one, "name");
        if name.is_empty() {
            found.push(FieldError::required(format!("{at}.name"), ""));
            continue;
        }
        let said = words::qualified(name).into_iter();
        found.extend(said.map(|said| FieldError::invalid_text(format!("{at}.name"), name, said)));
        if !seen.insert(name) {
            found.push(FieldError::duplicate(format!("{at}.name"), &one["name"]));
        }
    }
    found
}

/// Each variable sees those before it.
fn variables(spec: &Value) -> Vec<FieldError> {
    let mut found = Vec::new();
    for (index, one) in list(spec, "/variables").iter().enumerate() {
        let at = format!("spec.variables[{index}]");
        let name = text(one, "name");
        if name.trim().is_empty() {
            found.push(FieldError::required(format!("{at}.name"), "name is not specified"));
        } else if !is_identifier(name) {
            let said = "name is not a valid CEL identifier";
            found.push(FieldError::invalid_text(format!("{at}.name"), name, said));
        }
        let names = Names::of(spec).with_variables_before(spec, index);
        let unset = "expression is not specified";
        found.extend(expression(&format!("{at}.expression"), text(one, "expression"), &names, "", unset));
    }
    found
}

fn is_identifier(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()) && !RESERVED.contains(&name)
}

fn validation(at: &str, one: &Value, names: &Names) -> Vec<FieldError> {
    let unset = "expression is not specified";
    let mut found = expression(&format!("{at}.expression"), text(one, "expression"), names, "bool", unset);
    let computed = text(one, "messageExpression");
    if !computed.is_empty() && computed.trim().is_empty() {
        let said = "must be non-empty if specified";
        found.push(FieldError::invalid_text(format!("{at}.messageExpression"), computed, said));
    } else if !computed.is_empty() {
        found.extend(expression(&format!("{at}.messageExpression"), computed, names, "string", ""));
    }
    let message = text(one, "message");
    if !message.is_empty() && message.trim().is_empty() {
        let said = "message must be non-empty if specified";
        found.push(FieldError::invalid_text(format!("{at}.message"), message, said));
    } else if message.trim().contains(['\n', '\r']) {
        let said = "message must not contain line breaks";
        found.push(FieldError::invalid_text(format!("{at}.message"), message, said));
    }
    if !one["reason"].is_null() {
        let supported = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
        found.extend(one_of(&format!("{at}.reason"), &one["reason"], supported));
    }
    found
}

/// An expression must be there, compile, and give a value of this type, if one is named.
fn expression(at: &str, text: &str, names: &Names, result: &str, unset: &str) -> Vec<FieldError> {
    if text.trim().is_empty() {
        return vec![FieldError::required(at, unset)];
    }
    match typecheck::compile(text, names) {
        Err(said) => vec![FieldError::invalid_text(at, text, said)],
        Ok(Some(sure)) if !result.is_empty() && sure != result => {
            vec![FieldError::invalid_text(at, text, format!("must evaluate to {result}"))]
        }
        Ok(_) => Vec::new(),
    }
}

fn match_resources(at: &str, given: &Value) -> Vec<FieldError> {
    let mut found = one_of(&format!("{at}.matchPolicy"), &given["matchPolicy"], &["Equivalent", "Exact"]);
    for field in ["namespaceSelector", "objectSelector"] {
        found.extend(selector(&format!("{at}.{field}"), &given[field]));
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(given, &format!("/{field}")).iter().enumerate() {
            found.extend(resource_rule(&format!("{at}.{field}[{index}]"), rule));
        }
    }
    found
}

fn resource_rule(at: &str, rule: &Value) -> Vec<FieldError> {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let mut found = Vec::new();
    for (field, others) in
        [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        let given = list(rule, &format!("/{field}"));
        if given.is_empty() {
            found.push(FieldError::required(format!("{at}.{field}"), ""));
        }
        if given.len() > 1 && given.iter().any(|one| one == "*") {
            let said = format!("if '*' is present, must not specify other {others}");
            found.push(FieldError::invalid(format!("{at}.{field}"), &rule[field], said));
        }
        for (index, one) in given.iter().enumerate() {
            let at = format!("{at}.{field}[{index}]");
            match field {
                "operations" => found.extend(one_of(&at, one, &OPERATIONS)),
                "apiVersions" if one == "" => found.push(FieldError::required(at, "")),
                _ => {}
            }
        }
    }
    let resources = list(rule, "/resources");
    if resources.is_empty() {
        found.push(FieldError::required(format!("{at}.resources"), ""));
    }
    if resources.len() > 1 && resources.iter().any(|one| one == "*/*") {
        let said = "if '*/*' is present, must not specify other resources";
        found.push(FieldError::invalid(format!("{at}.resources"), &rule["resources"], said));
    }
    if !rule["scope"].is_null() {
        found.extend(one_of(&format!("{at}.scope"), &rule["scope"], &["*", "Cluster", "Namespaced"]));
    }
    found
}

/// A required value out of a fixed list.
fn one_of(at: &str, given: &Value, supported: &[&str]) -> Vec<FieldError> {
    match given.as_str() {
        None | Some("") => vec![FieldError::required(at, "")],
        Some(name) if !supported.contains(&name) => vec![FieldError::not_supported(at, given, supported)],
        Some(_) => Vec::new(),
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{default_binding, default_policy, validate_binding, validate_policy};

    fn policy(changes: &Value) -> Value {
        let mut policy = json!({"spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["pods"]}]},
            "validations": [{"expression": "true"}],
        }});
        for (key, value) in changes.as_object().into_iter().flatten() {
            policy["spec"][key] = value.clone();
        }
        default_policy(&mut policy);
        policy
    }

    fn said(changes: &Value) -> Vec<String> {
        let found = validate_policy(&policy(changes));
        found.into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    }

    #[test]
    fn defaults_are_those_of_scene_75() {
        let spec = &policy(&json!({}))["spec"];
        assert_eq!(spec["failurePolicy"], "Fail");
        assert_eq!(spec["matchConstraints"]["matchPolicy"], "Equivalent");
        assert_eq!(spec["matchConstraints"]["namespaceSelector"], json!({}));
        assert_eq!(spec["matchConstraints"]["resourceRules"][0]["scope"], "*");
        let mut binding = json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}});
        default_binding(&mut binding);
        assert_eq!(binding["spec"].get("matchResources"), None);
    }

    #[test]
    fn expressions_see_what_is_declared_for_them() {
        for changes in [
            json!({"validations": [{"expression": "request.namespace == 'a' && object.any.thing == 1"}]}),
            json!({"validations": [{"expression": "params.max == 1"}],
                   "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}),
            json!({"variables": [{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a"}],
                   "validations": [{"expression": "variables.b == 1", "messageExpression": "'x' + 'y'"}]}),
            json!({"validations": [], "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}]}),
        ] {
            assert_eq!(said(&changes), [""; 0], "{changes}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (changes, wanted) in [
            (
                json!({"validations": [{"expression": "params.max == 1"}]}),
                "spec.validations[0].expression: Invalid value: \"params.max == 1\": compilation failed: \
                 ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.max == 1\n \
                 | ^",
            ),
            (
                json!({"validations": [{"expression": "request.user == 'x'"}]}),
                "spec.validations[0].expression: Invalid value: \"request.user == 'x'\": compilation failed: \
                 ERROR: <input>:1:8: undefined field 'user'\n | request.user == 'x'\n | .......^",
            ),
            (
                json!({"validations": [{"expression": "'text'"}]}),
                "spec.validations[0].expression: Invalid value: \"'text'\": must evaluate to bool",
            ),
            (
                json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
                "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string",
            ),
            (
                json!({"validations": [{"expression": "true", "reason": "Conflict"}]}),
                "spec.validations[0].reason: Unsupported value: \"Conflict\": supported values: \
                 \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ),
            (
                json!({"variables": [{"name": "a", "expression": "variables.b"},
                                     {"name": "b", "expression": "1"}]}),
                "spec.variables[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: \
                 <input>:1:10: undefined field 'b'\n | variables.b\n | .........^",
            ),
            (
                // Spaces around a condition do not count, unlike in scene 75.
                json!({"matchConditions": [{"name": "c", "expression": " object.x == "}]}),
                "spec.matchConditions[0].expression: Invalid value: \"object.x ==\": compilation failed: \
                 ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', \
                 '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, \
                 IDENTIFIER}\n | object.x ==\n | ...........^",
            ),
            (
                json!({"matchConstraints": {"resourceRules": []}}),
                "spec.matchConstraints.resourceRules: Required value",
            ),
            (
                json!({"failurePolicy": "Maybe"}),
                "spec.failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\"",
            ),
            (json!({"paramKind": {"kind": "X"}}), "spec.paramKind.apiVersion: Required value"),
        ] {
            assert_eq!(said(&changes), [wanted], "{changes}");
        }
    }

    #[test]
    fn a_binding_names_its_policy_and_what_to_do() {
        let said = |spec: Value| -> Vec<String> {
            let found = validate_binding(&json!({ "spec": spec }));
            found.into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
        };
        assert_eq!(said(json!({"policyName": "p", "validationActions": ["Warn", "Audit"]})), [""; 0]);
        assert_eq!(
            said(json!({"paramRef": {"name": "a", "selector": {}}})),
            [
                "spec.policyName: Required value",
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ]
        );
        assert_eq!(
            said(json!({"policyName": "p", "validationActions": ["Deny", "Warn"]})),
            [
                "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn \
              (repeating the same validation failure information in the API response and headers serves no \
              purpose)"
            ]
        );
    }
}
