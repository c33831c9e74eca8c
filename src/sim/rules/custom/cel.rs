//! `x-kubernetes-validations`: the rules of a structural schema, evaluated against an object.
//! Called in two places only: when an object is validated, and when a definition is.
//! It counts no costs while evaluating. Lists that are sets or maps compare by place, unlike in a real server.

use std::sync::Arc;

use cel::Value as Cel;
use serde_json::{Value, json};

use super::super::cel as language;
use super::super::cel_check::{self, Declared, Known};
use super::super::cel_cost::{self, Costs};
use super::super::errors::{FieldError, quote};
use super::super::schema::Ownership;
use super::check::counterpart;
use super::node::{Node, Sort};

/// Longer texts of a `messageExpression` are not used.
const MESSAGE_LIMIT: usize = 5 * 1024;

/// What the rules of a schema say about an object: of this node and of everything below it. Asked
/// only where nothing else is wrong that would keep a rule from being evaluated. `old` is the object
/// before the write, absent for a new one; `at` is the path of `new`, empty for the root.
pub fn check(node: &Node, new: &Value, old: Option<&Value>, at: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    if node.has_rules() {
        let unchanged = old == Some(new);
        visit(node, &Place { new, old, at, unchanged }, &mut found);
    }
    found
}

/// One value and what it was.
struct Place<'a> {
    new: &'a Value,
    /// Absent where the old value cannot be told.
    old: Option<&'a Value>,
    at: &'a str,
    /// Whether it, or the nearest part around it that can be told, is as before.
    unchanged: bool,
}

impl<'a> Place<'a> {
    fn below(&self, new: &'a Value, old: Option<&'a Value>, at: &'a str) -> Self {
        let unchanged = old.map_or(self.unchanged, |old| old == new);
        Self { new, old, at, unchanged }
    }
}

fn visit(node: &Node, place: &Place<'_>, found: &mut Vec<FieldError>) {
    if place.new.is_null() || !node.has_rules() {
        return;
    }
    for rule in &node.rules {
        found.extend(ask(node, rule, place));
    }
    match place.new {
        Value::Object(fields) => {
            let correlated = node.ownership != Ownership::Whole;
            for (key, value) in fields {
                let Some(below) = node.below(key) else { continue };
                let at = path_of_key(place.at, key, node.properties.contains_key(key));
                let old = place.old.and_then(|old| old.get(key)).filter(|_| correlated);
                visit(below, &place.below(value, old, &at), found);
            }
        }
        Value::Array(items) => {
            let Some(below) = node.items.as_deref() else { return };
            for (index, item) in items.iter().enumerate() {
                let old = place.old.and_then(|old| counterpart(node, item, old));
                visit(below, &place.below(item, old, &format!("{}[{index}]", place.at)), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn path_of_key(at: &str, key: &str, is_property: bool) -> String {
    match (at, is_property) {
        ("", _) => key.to_owned(),
        (_, true) => format!("{at}.{key}"),
        (_, false) => format!("{at}[{key}]"),
    }
}

/// One rule asked about one value; nothing if it holds or does not apply.
fn ask(node: &Node, rule: &Value, place: &Place<'_>) -> Option<FieldError> {
    let text = rule["rule"].as_str().unwrap_or_default();
    let at = if place.at.is_empty() { "<nil>" } else { place.at };
    let expression = match language::compile(text) {
        Ok(expression) => expression,
        Err(said) => {
            return Some(typed_error(at, node, &format!("rule compile error: compilation failed: {said}")));
        }
    };
    let is_transition = expression.mentions("oldSelf");
    let is_optional = rule["optionalOldSelf"] == true;
    if is_transition && place.old.is_none() && !is_optional {
        return None;
    }
    let bindings = bindings(node, place, is_optional);
    match expression.evaluate(&bindings) {
        Ok(Cel::Bool(true)) => None,
        Ok(_) if !is_transition && place.unchanged => None,
        Ok(_) => Some(broken(node, rule, place, &message(rule, &bindings))),
        Err(said) if said == "no such overload" => Some(typed_error(
            at,
            node,
            &format!(
                "'{said}': call arguments did not match a supported operator, function or macro signature \
                 for rule: {}",
                named(rule)
            ),
        )),
        Err(said) => Some(typed_error(at, node, &format!("{said} evaluating rule: {}", named(rule)))),
    }
}

fn bindings<'a>(node: &Node, place: &Place<'_>, is_optional: bool) -> Vec<(&'a str, Cel)> {
    let mut bindings = vec![("self", bind(node, place.new))];
    let old = place.old.map(|old| bind(node, old));
    if is_optional {
        bindings.push(("oldSelf", language::optional(old)));
    } else if let Some(old) = old {
        bindings.push(("oldSelf", old));
    }
    bindings
}

fn broken(node: &Node, rule: &Value, place: &Place<'_>, said: &str) -> FieldError {
    let at = match rule["fieldPath"].as_str().unwrap_or_default() {
        "" if place.at.is_empty() => "<nil>".to_owned(),
        path => format!("{}{}", place.at, path.replace("['", "[").replace("']", "]"))
            .trim_start_matches('.')
            .to_owned(),
    };
    match rule["reason"].as_str().unwrap_or_default() {
        "FieldValueForbidden" => FieldError::forbidden(at, said),
        "FieldValueRequired" => FieldError::required(at, said),
        "FieldValueDuplicate" => FieldError::duplicate(at, place.new),
        _ if matches!(node.sort, Sort::Object | Sort::Array) => {
            FieldError { reason: "FieldValueInvalid", field: at, message: format!("Invalid value: {said}") }
        }
        _ => FieldError::invalid(at, place.new, said),
    }
}

/// A rule that could not be asked: the value is not shown, only its type.
fn typed_error(at: &str, node: &Node, said: &str) -> FieldError {
    FieldError::invalid_text(at, type_name(node.sort), said)
}

fn type_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Object => "object",
        Sort::Array => "array",
        Sort::Text => "string",
        Sort::Integer => "integer",
        Sort::Number => "number",
        Sort::Bool => "boolean",
        Sort::IntOrText | Sort::Any => "",
    }
}

/// What a broken rule says: its computed message, its own, or itself.
fn message(rule: &Value, bindings: &language::Bindings<'_>) -> String {
    let computed = rule["messageExpression"].as_str().and_then(|text| {
        let Ok(Cel::String(said)) = language::compile(text).ok()?.evaluate(bindings) else { return None };
        let said = said.trim().to_owned();
        (!said.is_empty() && said.len() <= MESSAGE_LIMIT && !said.contains('\n')).then_some(said)
    });
    computed.unwrap_or_else(|| match rule["message"].as_str().unwrap_or_default() {
        "" => format!("failed rule: {}", named(rule)),
        own => own.trim().to_owned(),
    })
}

/// How a rule is called: by its message, else by its text.
fn named(rule: &Value) -> &str {
    let of = |field: &str| rule[field].as_str().unwrap_or_default().trim();
    if of("message").is_empty() { of("rule") } else { of("message") }
}

/// A value as rules see it: fields by their escaped names, times and durations as such.
fn bind(node: &Node, json: &Value) -> Cel {
    match (node.sort, json) {
        (Sort::Object, Value::Object(fields)) => {
            language::map(fields.iter().flat_map(|(key, value)| bind_field(node, key, value)))
        }
        (Sort::Array, Value::Array(items)) => {
            let item =
                |value| node.items.as_deref().map_or_else(|| language::value(value), |n| bind(n, value));
            Cel::List(Arc::new(items.iter().map(item).collect()))
        }
        (Sort::Text, Value::String(text)) => bind_text(&node.constraints.format, text),
        (Sort::Number, Value::Number(number)) => Cel::Float(number.as_f64().unwrap_or_default()),
        _ => language::value(json),
    }
}

/// A field under each name that an expression may use for it.
fn bind_field(node: &Node, key: &str, value: &Value) -> Vec<(String, Cel)> {
    if node.is_object && cel_check::object_fields().properties.contains_key(key) {
        return vec![(key.to_owned(), language::value(value))];
    }
    if let Some(below) = node.properties.get(key) {
        let bound = bind(below, value);
        let plain = cel_check::selects(key, key).then(|| key.to_owned());
        let names = cel_check::escaped(key).filter(|name| name != key).into_iter().chain(plain);
        return names.map(|name| (name, bound.clone())).collect();
    }
    let held = node.additional.as_deref().map(|below| (key.to_owned(), bind(below, value)));
    held.into_iter().collect()
}

/// A text of a format that CEL has a type for; one that does not fit stays a text.
fn bind_text(format: &str, text: &str) -> Cel {
    let made = match cel_check::text_type(format) {
        "timestamp" if format == "date" => Some(format!("timestamp('{text}T00:00:00Z')")),
        "timestamp" => Some(format!("timestamp({})", quote(text))),
        "duration" => Some(format!("duration({})", quote(text))),
        "bytes" => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            return bytes.map_or_else(|_| language::value(&json!(text)), |b| Cel::Bytes(Arc::new(b)));
        }
        _ => None,
    };
    made.and_then(|made| language::compile(&made).ok()?.evaluate(&[]).ok())
        .unwrap_or_else(|| language::value(&json!(text)))
}

/// What is wrong with the rules themselves, in a definition whose schema stands at `at`.
pub fn compile(node: &Node, at: &str) -> Vec<FieldError> {
    let mut compiler = Compiler::default();
    compiler.compile(node, at, &Around { lost: None, times: 1.0 });
    compiler.found.extend(compiler.costs.conclude(at));
    compiler.found
}

#[derive(Default)]
struct Compiler {
    costs: Costs,
    found: Vec<FieldError>,
}

/// What is around a node.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// The list or map in which old values can no longer be told, if there is one.
    lost: Option<&'a str>,
    /// How many of the node one object can hold.
    times: f64,
}

impl Compiler {
    fn compile(&mut self, node: &Node, at: &str, around: &Around<'_>) {
        if !node.has_rules() {
            return;
        }
        for (index, rule) in node.rules.iter().enumerate() {
            let at = format!("{at}.x-kubernetes-validations[{index}]");
            let text = rule["rule"].as_str().unwrap_or_default();
            if let Ok(expression) = cel_check::compile(text, &declared(node, rule)).map(|(e, _)| e) {
                self.found.extend(self.costs.note(&format!("{at}.rule"), &expression, node, around.times));
            }
            self.found.extend(compile_rule(node, rule, &at, around.lost));
        }
        let is_lost = match node.sort {
            Sort::Array => !matches!(node.ownership, Ownership::Keys(_)),
            _ => node.ownership == Ownership::Whole,
        };
        let lost = around.lost.or(is_lost.then_some(at));
        for (name, below) in &node.properties {
            let around = Around { lost, times: around.times };
            self.compile(below, &format!("{at}.properties[{name}]"), &around);
        }
        let around = Around { lost, times: around.times * cel_cost::size(node) };
        if let Some(below) = &node.additional {
            self.compile(below, &format!("{at}.additionalProperties"), &around);
        }
        if let Some(below) = &node.items {
            self.compile(below, &format!("{at}.items"), &around);
        }
    }
}

fn declared<'a>(node: &'a Node, rule: &Value) -> [Declared<'a>; 2] {
    let old = if rule["optionalOldSelf"] == true { Known::Anything } else { Known::Of(node) };
    [("self", Known::Of(node)), ("oldSelf", old)]
}

fn compile_rule(node: &Node, rule: &Value, at: &str, lost: Option<&str>) -> Vec<FieldError> {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    let of = |field: &str| rule[field].as_str().unwrap_or_default();
    let (text, own) = (of("rule"), of("message"));
    let mut found = Vec::new();
    if text.trim().is_empty() {
        return vec![FieldError::required(format!("{at}.rule"), "rule is not specified")];
    }
    if !own.is_empty() && own.trim().is_empty() {
        let said = "message must be non-empty if specified";
        found.push(FieldError::invalid_text(format!("{at}.message"), own, said));
    } else if own.trim().contains(['\n', '\r']) {
        let said = "message must not contain line breaks";
        found.push(FieldError::invalid_text(format!("{at}.message"), own, said));
    } else if text.trim().contains(['\n', '\r']) && own.is_empty() {
        let said = "message must be specified if rule contains line breaks";
        found.push(FieldError::required(format!("{at}.message"), said));
    }
    if !rule["reason"].is_null() && !REASONS.contains(&of("reason")) {
        found.push(FieldError::not_supported(format!("{at}.reason"), &rule["reason"], &REASONS));
    }
    let declared = declared(node, rule);
    match cel_check::compile(text, &declared) {
        Err(said) => found.push(refused(format!("{at}.rule"), rule, &said)),
        Ok((_, Some(sure))) if sure != "bool" => {
            found.push(refused(format!("{at}.rule"), rule, "cel expression must evaluate to a bool"));
        }
        Ok((expression, _)) => {
            let is_transition = expression.mentions("oldSelf");
            if let (true, Some(lost)) = (is_transition, lost) {
                let said = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {lost}"
                );
                found.push(FieldError::invalid_text(format!("{at}.rule"), text, said));
            }
            if !is_transition && !rule["optionalOldSelf"].is_null() {
                let (field, set) = (format!("{at}.optionalOldSelf"), &rule["optionalOldSelf"]);
                let said = "may not be set if oldSelf is not used in rule";
                found.push(FieldError::invalid(field, set, said));
            }
        }
    }
    match of("messageExpression") {
        "" => {}
        computed => match cel_check::compile(computed, &declared) {
            Err(said) => found.push(refused(format!("{at}.messageExpression"), rule, &said)),
            Ok((_, Some(sure))) if sure != "string" => {
                let said = "messageExpression must evaluate to a string";
                found.push(refused(format!("{at}.messageExpression"), rule, said));
            }
            Ok(_) => {}
        },
    }
    found
}

/// A rule that does not compile is shown whole, with the names of its type in Go.
fn refused(field: String, rule: &Value, said: &str) -> FieldError {
    let text = |name: &str| go_quote(rule[name].as_str().unwrap_or_default());
    let reason = rule["reason"].as_str().map_or("null".to_owned(), go_quote);
    let message = format!(
        "Invalid value: {{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{reason},\
         \"FieldPath\":{},\"OptionalOldSelf\":{}}}: {said}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        text("fieldPath"),
        rule["optionalOldSelf"],
    );
    FieldError { reason: "FieldValueInvalid", field, message }
}

/// Go's JSON escapes what could be HTML.
fn go_quote(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::node::Node;
    use super::{check, compile};

    /// The schema of scene 71, cut to what has rules.
    fn rollout() -> Node {
        Node::root(&json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.mode != 'enforce' || (has(self.approvedBy) && self.approvedBy != '')",
                 "message": "enforce needs approvedBy"},
                {"rule": "!has(oldSelf.approvedBy) || has(self.approvedBy)",
                 "message": "approvedBy may not be taken back", "reason": "FieldValueForbidden",
                 "fieldPath": ".approvedBy"},
            ],
            "properties": {
                "cluster": {"type": "string", "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "cluster is immutable"}]},
                "mode": {"type": "string"}, "approvedBy": {"type": "string"},
            },
        }}}))
    }

    fn said(node: &Node, new: &Value, old: Option<&Value>) -> Vec<String> {
        check(node, new, old, "").into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    }

    #[test]
    fn rules_of_scene_71_answer_as_recorded() {
        let node = rollout();
        let of = |spec: Value| json!({"spec": spec});
        let none: [String; 0] = [];
        let new = of(json!({"cluster": "eu-1", "mode": "enforce"}));
        assert_eq!(said(&node, &new, None), ["spec: Invalid value: enforce needs approvedBy"]);
        let wanted =
            "spec: Invalid value: \"object\": no such key: mode evaluating rule: enforce needs approvedBy";
        assert_eq!(said(&node, &of(json!({"cluster": "a"})), None), [wanted]);
        let old = of(json!({"cluster": "eu-1", "mode": "audit", "approvedBy": "lead"}));
        assert_eq!(said(&node, &old, Some(&old)), none);
        let moved = of(json!({"cluster": "us-1", "mode": "audit", "approvedBy": "lead"}));
        let wanted = "spec.cluster: Invalid value: \"us-1\": cluster is immutable";
        assert_eq!(said(&node, &moved, Some(&old)), [wanted]);
        let withdrawn = of(json!({"cluster": "eu-1", "mode": "audit"}));
        let wanted = "spec.approvedBy: Forbidden: approvedBy may not be taken back";
        assert_eq!(said(&node, &withdrawn, Some(&old)), [wanted]);
    }

    #[test]
    fn an_old_value_that_broke_a_rule_may_stay() {
        let node = rollout();
        let old = json!({"spec": {"cluster": "eu-1", "mode": "enforce"}});
        let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": old["spec"]});
        assert_eq!(said(&node, &labelled, Some(&old)), [""; 0]);
    }

    #[test]
    fn items_are_followed_by_their_keys_and_optional_old_values_are_optional() {
        let node = Node::root(&json!({"type": "object", "properties": {
            "targets": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {
                    "type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}}},
            "once": {"type": "string", "x-kubernetes-validations": [{"optionalOldSelf": true,
                "rule": "!oldSelf.hasValue() || oldSelf.value() == self",
                "messageExpression": "'stays ' + oldSelf.orValue('x')"}]},
            "until": {"type": "string", "format": "date-time", "x-kubernetes-validations": [
                {"rule": "self > timestamp('2026-01-01T00:00:00Z')"}]},
        }}));
        let old = json!({"targets": [{"name": "a", "n": 3}, {"name": "b", "n": 1}], "once": "x"});
        let new = json!({"targets": [{"name": "b", "n": 2}, {"name": "a", "n": 2}], "once": "y",
                         "until": "2025-12-31T00:00:00Z"});
        assert_eq!(
            said(&node, &new, Some(&old)),
            [
                "once: Invalid value: \"y\": stays x",
                "targets[1].n: Invalid value: 2: failed rule: self >= oldSelf",
                "until: Invalid value: \"2025-12-31T00:00:00Z\": failed rule: self > \
                 timestamp('2026-01-01T00:00:00Z')",
            ]
        );
        assert_eq!(said(&node, &json!({"once": "z", "until": "2026-06-01T00:00:00Z"}), None), [""; 0]);
    }

    #[test]
    fn a_definition_with_a_rule_that_cannot_work_is_refused() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self.nosuch == 1"}]},
            "tags": {"type": "array", "maxItems": 9, "items": {"type": "string", "maxLength": 9,
                "x-kubernetes-validations": [
                {"rule": "self == oldSelf"}]}},
        }});
        let found = compile(&Node::root(&schema), "spec.validation.openAPIV3Schema");
        let said: Vec<String> = found.iter().map(|one| format!("{}: {}", one.field, one.message)).collect();
        assert_eq!(
            said,
            [
                // Scene 70, step 17.
                "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid \
                 value: {\"Rule\":\"self.nosuch == 1\",\"Message\":\"\",\"MessageExpression\":\"\",\
                 \"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: \
                 <input>:1:5: undefined field 'nosuch'\n | self.nosuch == 1\n | ....^",
                "spec.validation.openAPIV3Schema.properties[tags].items.x-kubernetes-validations[0].rule: \
                 Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of \
                 the schema within spec.validation.openAPIV3Schema.properties[tags]",
            ]
        );
    }
}
