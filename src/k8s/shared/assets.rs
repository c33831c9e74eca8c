//! What `sluice install` installs: the files of `assets/crds`, as they are in the binary, for one
//! namespace and one team. Pure.

use serde_json::{Value, json};

use crate::domain::names::{NsName, Text};

/// In the order in which they are written: first the namespace, last what binds.
const FILES: [(&str, &str); 10] = [
    ("roles.yaml", include_str!("../../../assets/crds/roles.yaml")),
    ("rollouts.yaml", include_str!("../../../assets/crds/rollouts.yaml")),
    ("evidence.yaml", include_str!("../../../assets/crds/evidence.yaml")),
    ("reviews.yaml", include_str!("../../../assets/crds/reviews.yaml")),
    ("holds.yaml", include_str!("../../../assets/crds/holds.yaml")),
    ("exclusions.yaml", include_str!("../../../assets/crds/exclusions.yaml")),
    ("waivers.yaml", include_str!("../../../assets/crds/waivers.yaml")),
    ("overrides.yaml", include_str!("../../../assets/crds/overrides.yaml")),
    ("journalentries.yaml", include_str!("../../../assets/crds/journalentries.yaml")),
    ("policies.yaml", include_str!("../../../assets/crds/policies.yaml")),
];

/// The policies that compare two people, and the rule that takes second names into account.
const SECOND_PERSON: [(&str, &str); 2] = [
    (
        "sluice-review-decision",
        "!has(object.status) || !has(object.status.decisions) || object.status.decisions.all(new, \
         (has(oldObject.status) && has(oldObject.status.decisions) \
         && oldObject.status.decisions.exists(old, old.number == new.number)) \
         || !PEOPLE.exists(person, new.decidedBy in person && oldObject.spec.requestedBy in person))",
    ),
    (
        "sluice-override-confirmation",
        "(has(oldObject.status) && has(oldObject.status.confirmed)) \
         || !has(object.status) || !has(object.status.confirmed) \
         || !PEOPLE.exists(person, object.status.confirmed.by in person && oldObject.spec.by in person)",
    ),
];

/// Every object, ready to send. Errors are faults of the files, which a test reads.
pub fn objects(ns: &NsName, people: &[Vec<Text>]) -> Result<Vec<Value>, Text> {
    let mut out = Vec::new();
    for (file, text) in FILES {
        let read: Vec<Value> = serde_yaml::from_multiple(text)
            .map_err(|error| Text::from(format!("assets/crds/{file}: {error}")))?;
        out.extend(read.into_iter().map(|object| placed(object, ns, people)));
    }
    out.sort_by_key(rank);
    Ok(out)
}

fn placed(mut object: Value, ns: &NsName, people: &[Vec<Text>]) -> Value {
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = ns.as_str().into();
    } else if object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = ns.as_str().into();
    }
    let people: Vec<&Vec<Text>> = people.iter().filter(|names| names.len() > 1).collect();
    let rule = SECOND_PERSON.iter().find(|(name, _)| object["metadata"]["name"] == *name);
    if object["kind"] == "ValidatingAdmissionPolicy"
        && !people.is_empty()
        && let (Some((_, rule)), Some(rules)) = (rule, object["spec"]["validations"].as_array_mut())
    {
        rules.push(json!({
            "expression": rule.replace("PEOPLE", &literal(&people)),
            "message": "two names of one person are not two people (people: of sluice.yaml)",
            "reason": "Forbidden",
        }));
    }
    object
}

/// Lists of strings as CEL writes them, which is as JSON does.
fn literal(people: &[&Vec<Text>]) -> String {
    let names = |names: &Vec<Text>| -> Value { names.iter().map(|name| json!(name.as_str())).collect() };
    Value::Array(people.iter().map(|person| names(person)).collect()).to_string()
}

fn rank(object: &Value) -> u8 {
    match object["kind"].as_str() {
        Some("Namespace") => 0,
        // Before the kinds they are about: nothing is ever written unchecked.
        Some("ValidatingAdmissionPolicy") => 1,
        Some("ValidatingAdmissionPolicyBinding") => 2,
        Some("CustomResourceDefinition") => 3,
        _ => 4,
    }
}

/// Where an object of these kinds stands; `None` for another kind.
pub fn path(object: &Value) -> Option<String> {
    let name = object["metadata"]["name"].as_str()?;
    let list = match object["kind"].as_str()? {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "CustomResourceDefinition" => "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
        "ValidatingAdmissionPolicy" => {
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies".to_owned()
        }
        "ValidatingAdmissionPolicyBinding" => {
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings".to_owned()
        }
        "Role" => {
            let ns = object["metadata"]["namespace"].as_str()?;
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles")
        }
        _ => return None,
    };
    Some(format!("{list}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::shared::kind::{self, GROUP, VERSION};

    fn installed(people: &[Vec<Text>]) -> Vec<Value> {
        objects(&NsName::parse("team-state").expect("a name"), people).expect("our own files")
    }

    #[test]
    fn every_kind_of_the_table_has_its_definition_and_its_reader() {
        let objects = installed(&[]);
        for kind in kind::ALL {
            let name = format!("{}.{GROUP}", kind.plural);
            let its =
                objects.iter().find(|object| object["metadata"]["name"] == *name).expect("a definition");
            assert_eq!(its["spec"]["names"]["kind"], kind.kind);
            assert_eq!(its["spec"]["versions"][0]["name"], VERSION);
            let viewer = objects.iter().find(|it| it["metadata"]["name"] == "sluice-viewer").expect("a role");
            let reads = viewer["rules"][0]["resources"].as_array().expect("a list");
            assert!(reads.contains(&json!(kind.plural)), "{}", kind.plural);
        }
        assert_eq!(objects[0]["metadata"]["name"], "team-state");
        assert!(objects.iter().all(|object| path(object).is_some()));
        assert!(objects.iter().all(|object| !object.to_string().contains("\"namespace\":\"sluice\"")));
    }

    #[test]
    fn every_policy_is_bound() {
        let objects = installed(&[]);
        let of = |kind: &str, at: &str| -> Vec<Value> {
            let its = objects.iter().filter(|object| object["kind"] == kind);
            its.map(|object| object.pointer(at).expect("there").clone()).collect()
        };
        assert_eq!(
            of("ValidatingAdmissionPolicy", "/metadata/name"),
            of("ValidatingAdmissionPolicyBinding", "/spec/policyName")
        );
    }

    #[test]
    fn second_names_become_a_rule_and_cannot_leave_their_quotes() {
        let people = vec![vec!["ann".into(), "ann\"]]||true||[[\"".into()], vec!["alone".into()]];
        let objects = installed(&people);
        let policy =
            objects.iter().find(|it| it["metadata"]["name"] == "sluice-review-decision").expect("it");
        let rules = policy["spec"]["validations"].as_array().expect("a list");
        let rule = rules[2]["expression"].as_str().expect("a text");
        assert!(rule.contains(r#"![["ann","ann\"]]||true||[[\""]].exists(person,"#), "{rule}");
    }
}
