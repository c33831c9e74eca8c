//! What a policy says about one write that it matches: its conditions, variables, validations and
//! messages evaluated, and complaints in the words of the real server (scene 75).
//! Whether a complaint denies, warns or is only noted is the binding's business.

use std::sync::Arc;

use cel::Value as Cel;
use serde_json::{Value, json};

use super::super::cel as language;
use super::super::rbac::User;

/// Longer messages of a `messageExpression` are not used.
const MESSAGE_LIMIT: usize = 5 * 1024;

/// One write as expressions see it.
pub struct Request<'a> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub user: &'a User,
    pub dry_run: bool,
    /// Null where there is none.
    pub object: &'a Value,
    pub old: &'a Value,
    /// The namespace around the object; null for cluster scope.
    pub namespace_object: &'a Value,
}

/// One validation that did not hold, or could not be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Complaint {
    pub message: String,
    /// The reason of the Status that a denial makes of it.
    pub reason: &'static str,
}

impl Complaint {
    fn error(message: String) -> Self {
        Self { message, reason: "Invalid" }
    }
}

type Bindings = Vec<(&'static str, Cel)>;

/// What names stand for in every policy asked about this write.
pub fn bindings(request: &Request<'_>) -> Bindings {
    vec![
        ("object", language::value(request.object)),
        ("oldObject", language::value(request.old)),
        ("namespaceObject", language::value(&shown_namespace(request.namespace_object))),
        ("request", language::value(&shown_request(request))),
    ]
}

/// The complaints of a policy about a write, in the order of its validations. `params` is null where
/// the policy or the binding names none.
pub fn complaints(policy: &Value, bindings: &Bindings, params: &Value) -> Vec<Complaint> {
    let spec = &policy["spec"];
    let ignores = spec["failurePolicy"] == "Ignore";
    let mut known = bindings.clone();
    known.push(("params", language::value(params)));
    match conditions(spec, &known) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(_) if ignores => return Vec::new(),
        Err(said) => return vec![Complaint::error(said)],
    }
    let failed = bind_variables(spec, &mut known);
    let mut found = Vec::new();
    for validation in items(spec, "validations") {
        let text = validation["expression"].as_str().unwrap_or_default();
        match evaluate(text, &known, &failed) {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => found.push(Complaint {
                message: message(validation, &known, &failed),
                reason: reason(&validation["reason"]),
            }),
            Err(_) if ignores => {}
            Err(said) => found.push(Complaint::error(said)),
        }
    }
    for annotation in items(spec, "auditAnnotations").filter(|_| !ignores) {
        let text = annotation["valueExpression"].as_str().unwrap_or_default();
        found.extend(evaluate(text, &known, &failed).err().map(Complaint::error));
    }
    found
}

/// Whether every match condition holds. One that is false counts more than one that fails.
fn conditions(spec: &Value, known: &Bindings) -> Result<bool, String> {
    let mut errors = Vec::new();
    for condition in items(spec, "matchConditions") {
        match evaluate(condition["expression"].as_str().unwrap_or_default(), known, &[]) {
            Ok(Cel::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(said) => errors.push(said),
        }
    }
    match errors.len() {
        0 => Ok(true),
        1 => Err(errors.swap_remove(0)),
        _ => Err(format!("[{}]", errors.join(", "))),
    }
}

/// Adds `variables`, each seeing those before it; gives back the names and errors of those that
/// failed, which matter only where one is used.
fn bind_variables(spec: &Value, known: &mut Bindings) -> Vec<(String, String)> {
    let (mut values, mut failed) = (Vec::new(), Vec::new());
    for variable in items(spec, "variables") {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        let text = variable["expression"].as_str().unwrap_or_default();
        let mut seen = known.clone();
        seen.push(("variables", language::map(values.clone().into_iter())));
        match evaluate_raw(text, &seen, &failed) {
            Ok(value) => values.push((name, value)),
            Err(said) => failed.push((name, said)),
        }
    }
    known.push(("variables", language::map(values.into_iter())));
    failed
}

fn evaluate(text: &str, known: &Bindings, failed: &[(String, String)]) -> Result<Cel, String> {
    evaluate_raw(text, known, failed).map_err(|said| format!("expression '{text}' resulted in error: {said}"))
}

fn evaluate_raw(text: &str, known: &Bindings, failed: &[(String, String)]) -> Result<Cel, String> {
    let expression: Arc<language::Expression> =
        language::compile(text).map_err(|said| format!("compilation failed: {said}"))?;
    expression.evaluate(known).map_err(|said| {
        let missing = said.strip_prefix("no such key: ");
        let variable = failed.iter().find(|(name, _)| Some(name.as_str()) == missing);
        match variable.filter(|_| expression.mentions("variables")) {
            Some((name, why)) => format!("composited variable \"{name}\" fails to evaluate: {why}"),
            None => said,
        }
    })
}

/// What a validation that does not hold says: its computed message, its own, or itself.
fn message(validation: &Value, known: &Bindings, failed: &[(String, String)]) -> String {
    let of = |field: &str| validation[field].as_str().unwrap_or_default();
    let computed = match of("messageExpression") {
        "" => None,
        text => evaluate_raw(text, known, failed).ok(),
    };
    if let Some(Cel::String(said)) = computed {
        let said = said.trim();
        if !said.is_empty() && said.len() <= MESSAGE_LIMIT && !said.contains('\n') {
            return said.to_owned();
        }
    }
    match of("message") {
        "" => format!("failed expression: {}", of("expression").trim()),
        own => own.trim().to_owned(),
    }
}

fn reason(given: &Value) -> &'static str {
    match given.as_str() {
        Some("Forbidden") => "Forbidden",
        Some("Unauthorized") => "Unauthorized",
        Some("RequestEntityTooLarge") => "RequestEntityTooLarge",
        _ => "Invalid",
    }
}

fn items<'v>(spec: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    spec[field].as_array().into_iter().flatten()
}

/// The variable `request`. What is empty is absent, as in the real server: an expression must ask
/// `has(request.subResource)` first.
fn shown_request(request: &Request<'_>) -> Value {
    let Request { group, version, kind, resource, user, .. } = request;
    let kind = json!({"group": group, "version": version, "kind": kind});
    let resource = json!({"group": group, "version": version, "resource": resource});
    let options = match request.operation {
        "CREATE" => "CreateOptions",
        "UPDATE" => "UpdateOptions",
        _ => "DeleteOptions",
    };
    let mut shown = json!({
        "uid": "", "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "operation": request.operation, "dryRun": request.dry_run,
        "options": {"kind": options, "apiVersion": "meta.k8s.io/v1"},
        "userInfo": {},
    });
    for (field, text) in [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", request.namespace),
    ] {
        if !text.is_empty() {
            shown[field] = json!(text);
        }
    }
    let info = &mut shown["userInfo"];
    for (field, value, is_empty) in [
        ("username", json!(user.name), user.name.is_empty()),
        ("uid", json!(user.uid), user.uid.is_empty()),
        ("groups", json!(user.groups), user.groups.is_empty()),
        ("extra", json!(user.extra), user.extra.is_empty()),
    ] {
        if !is_empty {
            info[field] = value;
        }
    }
    shown
}

/// The variable `namespaceObject`: a namespace without its kind and without who owns its fields.
fn shown_namespace(namespace: &Value) -> Value {
    let mut shown = namespace.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|name, _| ["metadata", "spec", "status"].contains(&name.as_str()));
    }
    if let Some(meta) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
        meta.remove("ownerReferences");
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Complaint, Request, bindings, complaints};
    use crate::sim::rules::rbac::User;

    /// What a policy says of a change of a review by this user.
    fn said(spec: &Value, user: &str, old: &Value, object: &Value) -> Vec<String> {
        complaints_of(spec, user, old, object).into_iter().map(|one| one.message).collect()
    }

    fn complaints_of(spec: &Value, user: &str, old: &Value, object: &Value) -> Vec<Complaint> {
        let user = User { name: user.to_owned(), groups: vec!["team".to_owned()], ..User::default() };
        let request = Request {
            operation: if old.is_null() { "CREATE" } else { "UPDATE" },
            group: "sluice.example.com",
            version: "v1",
            kind: "Review",
            resource: "reviews",
            subresource: if old.is_null() { "" } else { "status" },
            namespace: "shop",
            name: "r",
            user: &user,
            dry_run: false,
            object,
            old,
            namespace_object: &json!({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}}),
        };
        complaints(&json!({"spec": spec}), &bindings(&request), &json!({"data": {"max": "2"}}))
    }

    /// The rules for decisions that a product may ship, in words every server compiles.
    fn decisions() -> Value {
        json!({
            "variables": [
                {"name": "before",
                 "expression": "has(oldObject.status) && has(oldObject.status.decisions) ? \
                                oldObject.status.decisions : []"},
                {"name": "after",
                 "expression": "has(object.status) && has(object.status.decisions) ? \
                                object.status.decisions : []"},
                {"name": "last", "expression": "variables.after[size(variables.after) - 1]"},
            ],
            "validations": [
                {"expression": "size(variables.after) == size(variables.before) + 1",
                 "message": "one decision at a time"},
                {"expression": "variables.after.filter(d, d in variables.before) == variables.before",
                 "message": "earlier decisions stay"},
                {"expression": "variables.last.decidedBy == request.userInfo.username",
                 "messageExpression": "'decidedBy must be ' + request.userInfo.username"},
                {"expression": "variables.last.decidedBy != object.spec.requestedBy && \
                                !(variables.last.decidedBy in object.spec.requestedByAliases)",
                 "message": "nobody decides on their own request", "reason": "Forbidden"},
            ],
        })
    }

    fn review(decisions: &Value) -> Value {
        let spec = json!({"requestedBy": "lead", "requestedByAliases": ["lead@corp"]});
        json!({"spec": spec, "status": {"decisions": decisions}})
    }

    #[test]
    fn a_decision_is_added_by_somebody_else_and_the_earlier_ones_stay() {
        let by = |who: &str, verdict: &str| json!({"decidedBy": who, "verdict": verdict});
        let own = "nobody decides on their own request";
        let fresh = json!({"spec": review(&json!([]))["spec"]});
        let one = review(&json!([by("sec", "yes")]));
        let two = review(&json!([by("sec", "yes"), by("ops", "no")]));
        let cases: [(&str, &Value, Value, &[&str]); 7] = [
            ("sec", &fresh, one.clone(), &[]),
            ("ops", &one, two.clone(), &[]),
            ("eve", &fresh, one.clone(), &["decidedBy must be eve"]),
            ("lead", &fresh, review(&json!([by("lead", "yes")])), &[own]),
            ("lead@corp", &one, review(&json!([by("sec", "yes"), by("lead@corp", "yes")])), &[own]),
            ("ops", &one, review(&json!([by("sec", "no"), by("ops", "no")])), &["earlier decisions stay"]),
            (
                "ops",
                &two,
                review(&json!([by("ops", "no")])),
                &["one decision at a time", "earlier decisions stay"],
            ),
        ];
        for (user, old, object, wanted) in cases {
            assert_eq!(said(&decisions(), user, old, &object), wanted, "{user} {object}");
        }
        let complaints = complaints_of(&decisions(), "lead", &fresh, &review(&json!([by("lead", "yes")])));
        assert_eq!(complaints[0].reason, "Forbidden");
    }

    #[test]
    fn a_variable_that_fails_is_named_where_it_is_used() {
        let fresh = json!({"spec": {"requestedBy": "lead"}});
        let wanted = "expression 'variables.last.decidedBy == request.userInfo.username' resulted in error: \
                      composited variable \"last\" fails to evaluate: index out of bounds: -1";
        assert_eq!(said(&decisions(), "ops", &fresh, &fresh)[1], wanted);
    }

    #[test]
    fn what_is_empty_in_a_request_is_absent() {
        let rule = |text: &str| json!({"validations": [{"expression": text}]});
        let object = json!({"metadata": {"namespace": "shop"}});
        let ask = |text: &str| said(&rule(text), "lead", &Value::Null, &object);
        for text in [
            "!has(request.subResource) && request.operation == 'CREATE' && request.namespace == 'shop'",
            "request.userInfo.groups.exists(g, g == 'team') && !has(request.userInfo.uid)",
            "oldObject == null && params.data.max == '2' && !request.dryRun",
            "request.resource.resource == 'reviews' && request.kind.kind == 'Review'",
            "namespaceObject.metadata.labels.a == 'b' && !has(namespaceObject.kind)",
            "object.metadata.namespace == 'shop'",
        ] {
            assert_eq!(ask(text), [""; 0], "{text}");
        }
        let wanted = "expression 'request.subResource == ''' resulted in error: no such key: subResource";
        assert_eq!(ask("request.subResource == ''"), [wanted]);
        assert_eq!(ask("1 == 2"), ["failed expression: 1 == 2"]);
    }

    #[test]
    fn conditions_and_the_failure_policy_decide_who_is_asked() {
        let spec = |condition: &str, policy: &str| {
            json!({"failurePolicy": policy, "matchConditions": [{"name": "c", "expression": condition}],
                   "validations": [{"expression": "object.nosuch == 1"}, {"expression": "false"}]})
        };
        let ask = |spec: &Value| said(spec, "lead", &Value::Null, &json!({}));
        let error = "expression 'object.nosuch == 1' resulted in error: no such key: nosuch";
        assert_eq!(ask(&spec("true", "Fail")), [error, "failed expression: false"]);
        assert_eq!(ask(&spec("true", "Ignore")), ["failed expression: false"]);
        assert_eq!(ask(&spec("false", "Fail")), [""; 0]);
        let error = "expression 'object.gone' resulted in error: no such key: gone";
        assert_eq!(ask(&spec("object.gone", "Fail")), [error]);
        assert_eq!(ask(&spec("object.gone", "Ignore")), [""; 0]);
    }
}
