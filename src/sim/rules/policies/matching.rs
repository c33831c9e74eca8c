//! Which writes a policy or a binding is about: rules of resources, and selectors of labels on the
//! object and on its namespace. It never evaluates an expression.

use serde_json::Value;

/// One write, as far as matching looks at it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    pub group: &'a str,
    /// The version asked for, then the others the resource is served in.
    pub versions: &'a [String],
    pub resource: &'a str,
    /// Such as `status`; empty for the object itself.
    pub subresource: &'a str,
    pub name: &'a str,
    pub namespaced: bool,
    /// Null where there is none.
    pub object: &'a Value,
    pub old: &'a Value,
    /// The namespace around the object; null for cluster scope.
    pub namespace: &'a Value,
}

/// Whether `matchConstraints` or `matchResources` are about this write. Absent ones are about all.
pub fn matches(resources: &Value, target: &Target<'_>) -> bool {
    if resources.is_null() {
        return true;
    }
    let rules = |field: &str| resources[field].as_array().map_or(&[][..], Vec::as_slice);
    let exact = resources["matchPolicy"] == "Exact";
    in_namespace(&resources["namespaceSelector"], target)
        && on_object(&resources["objectSelector"], target)
        && !any_rule(rules("excludeResourceRules"), target, exact)
        && (rules("resourceRules").is_empty() || any_rule(rules("resourceRules"), target, exact))
}

fn any_rule(rules: &[Value], target: &Target<'_>, exact: bool) -> bool {
    let versions = if exact { &target.versions[..target.versions.len().min(1)] } else { target.versions };
    rules.iter().any(|rule| {
        let has = |field: &str, wanted: &str| {
            let mut words = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.any(|word| word == "*" || word == wanted)
        };
        let names = rule["resourceNames"].as_array().map_or(&[][..], Vec::as_slice);
        has("operations", target.operation)
            && has("apiGroups", target.group)
            && versions.iter().any(|version| has("apiVersions", version))
            && is_resource(&rule["resources"], target)
            && in_scope(&rule["scope"], target)
            && (names.is_empty() || names.iter().any(|name| name == target.name))
    })
}

/// `pods`, `*`, `pods/status`, `pods/*`, `*/status` or `*/*`.
fn is_resource(resources: &Value, target: &Target<'_>) -> bool {
    let mut words = resources.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.any(|word| {
        let (resource, subresource) = word.split_once('/').unwrap_or((word, ""));
        (resource == "*" || resource == target.resource)
            && (subresource == target.subresource || subresource == "*")
    })
}

fn in_scope(scope: &Value, target: &Target<'_>) -> bool {
    match scope.as_str() {
        Some("Namespaced") => target.namespaced,
        Some("Cluster") => !target.namespaced,
        _ => true,
    }
}

/// Objects of the cluster are in no namespace, and no selector keeps a policy from them; a namespace
/// counts as in itself.
fn in_namespace(selector: &Value, target: &Target<'_>) -> bool {
    if target.resource == "namespaces" && target.group.is_empty() {
        let shown = if target.object.is_null() { target.old } else { target.object };
        return selects(selector, &shown["metadata"]["labels"]);
    }
    target.namespace.is_null() || selects(selector, &target.namespace["metadata"]["labels"])
}

/// The object as it is or as it was.
fn on_object(selector: &Value, target: &Target<'_>) -> bool {
    let is_empty = selector.as_object().is_none_or(serde_json::Map::is_empty);
    let on = |object: &Value| !object.is_null() && selects(selector, &object["metadata"]["labels"]);
    is_empty || on(target.object) || on(target.old)
}

/// Whether a label selector of the API takes these labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let mut same = selector["matchLabels"].as_object().into_iter().flatten();
    let mut wanted = selector["matchExpressions"].as_array().into_iter().flatten();
    same.all(|(key, value)| label(key) == value.as_str())
        && wanted.all(|one| {
            let value = label(one["key"].as_str().unwrap_or_default());
            let listed =
                one["values"].as_array().is_some_and(|values| values.iter().any(|v| v.as_str() == value));
            match one["operator"].as_str() {
                Some("In") => listed && value.is_some(),
                Some("NotIn") => !listed || value.is_none(),
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Target, matches};

    fn status_update(versions: &[&str], check: impl Fn(&Target<'_>) -> bool) -> bool {
        let namespace = json!({"metadata": {"labels": {"guard": "on"}}});
        let object = json!({"metadata": {"labels": {"owner": "a"}}});
        let versions: Vec<String> = versions.iter().map(|version| (*version).to_owned()).collect();
        check(&Target {
            operation: "UPDATE",
            group: "sluice.example.com",
            versions: &versions,
            resource: "reviews",
            subresource: "status",
            name: "r",
            namespaced: true,
            object: &object,
            old: &Value::Null,
            namespace: &namespace,
        })
    }

    #[test]
    fn each_part_must_fit() {
        let rule = |changes: Value| {
            let mut rule = json!({"apiGroups": ["sluice.example.com"], "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"], "resources": ["reviews/status"], "scope": "*"});
            for (key, value) in changes.as_object().into_iter().flatten() {
                rule[key] = value.clone();
            }
            rule
        };
        for (changes, wanted) in [
            (json!({}), true),
            (json!({"operations": ["CREATE"]}), false),
            (json!({"operations": ["*"]}), true),
            (json!({"apiGroups": [""]}), false),
            (json!({"resources": ["reviews"]}), false),
            (json!({"resources": ["*"]}), false),
            (json!({"resources": ["reviews/*"]}), true),
            (json!({"resources": ["*/status"]}), true),
            (json!({"scope": "Cluster"}), false),
            (json!({"scope": "Namespaced"}), true),
            (json!({"resourceNames": ["other"]}), false),
            (json!({"resourceNames": ["r"]}), true),
        ] {
            let resources = json!({"resourceRules": [rule(changes.clone())]});
            assert_eq!(status_update(&["v1"], |target| matches(&resources, target)), wanted, "{changes}");
        }
    }

    #[test]
    fn other_versions_count_unless_exact() {
        let rules = json!([{"apiGroups": ["*"], "apiVersions": ["v1beta1"], "operations": ["*"],
            "resources": ["*/*"]}]);
        let both: &[&str] = &["v1", "v1beta1"];
        let equivalent = json!({"resourceRules": rules, "matchPolicy": "Equivalent"});
        let exact = json!({"resourceRules": rules, "matchPolicy": "Exact"});
        assert!(status_update(both, |target| matches(&equivalent, target)));
        assert!(!status_update(both, |target| matches(&exact, target)));
    }

    #[test]
    fn selectors_and_exclusions_narrow() {
        for (resources, wanted) in [
            (json!({"namespaceSelector": {"matchLabels": {"guard": "on"}}}), true),
            (json!({"namespaceSelector": {"matchLabels": {"guard": "off"}}}), false),
            (
                json!({"namespaceSelector": {"matchExpressions": [
                    {"key": "guard", "operator": "NotIn", "values": ["on"]}]}}),
                false,
            ),
            (json!({"objectSelector": {"matchExpressions": [{"key": "owner", "operator": "Exists"}]}}), true),
            (json!({"objectSelector": {"matchLabels": {"owner": "b"}}}), false),
            (
                json!({"excludeResourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
                    "operations": ["*"], "resources": ["*/*"]}]}),
                false,
            ),
            (Value::Null, true),
        ] {
            assert_eq!(status_update(&["v1"], |target| matches(&resources, target)), wanted, "{resources}");
        }
    }
}
