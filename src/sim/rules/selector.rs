//! `labelSelector` and `fieldSelector` of lists and watches: parsed with the server's complaints
//! (scene 07), then asked about objects. Selectors inside policies are the business of others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema::Kind;
use super::words;
use crate::sim::api::status::Status;

/// A parsed `labelSelector`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

impl Labels {
    /// The selector of a query parameter; an empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, Status> {
        Parser { tokens: tokens(text), at: 0 }.selector().map(Self).map_err(Status::bad_request)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|one| {
            let value = labels[&one.key].as_str();
            match &one.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(set) => value.is_some_and(|value| set.contains(value)),
                Test::NotIn(set) => value.is_none_or(|value| !set.contains(value)),
                Test::Above(than) => number(value).is_some_and(|value| value > *than),
                Test::Below(than) => number(value).is_some_and(|value| value < *than),
            }
        })
    }
}

fn number(value: Option<&str>) -> Option<i64> {
    value.and_then(|value| value.parse().ok())
}

/// A piece of a selector. `in` and `notin` are words where a value is due.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Sign(sign) => sign,
            Self::End => "",
        }
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(own) if *own == sign)
    }

    fn is_word(&self) -> bool {
        matches!(self, Self::Word(_))
    }
}

fn tokens(text: &str) -> Vec<Token> {
    const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            out.push(Token::Sign(sign));
            rest = rest[sign.len()..].trim_start();
            continue;
        }
        let ends = |c: char| c.is_ascii_whitespace() || "=!(),<>".contains(c);
        let end = rest.find(ends).unwrap_or(rest.len()).max(1);
        let end = (end..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        out.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    out.push(Token::End);
    out
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            let token = self.peek();
            if *token == Token::End {
                return Ok(out);
            }
            if !token.is_word() && !token.is("!") {
                return Err(format!("found '{}', expected: !, identifier, or 'end of string'", token.text()));
            }
            out.push(self.requirement().map_err(|said| format!("unable to parse requirement: {said}"))?);
            match self.next() {
                Token::End => return Ok(out),
                token if token.is(",") => {}
                token => return Err(format!("found '{}', expected: ',' or 'end of string'", token.text())),
            }
            let token = self.peek();
            if !token.is_word() && !token.is("!") {
                return Err(format!("found '{}', expected: identifier after ','", token.text()));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next();
        let absent = token.is("!");
        if absent {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(format!("found '{}', expected: identifier", token.text()));
        };
        if let Some(said) = words::qualified(&key).first() {
            return Err(format!("key: Invalid value: {}: {said}", super::errors::quote(&key)));
        }
        if absent || *self.peek() == Token::End || self.peek().is(",") {
            return Ok(Requirement { key, test: if absent { Test::Absent } else { Test::Exists } });
        }
        let operator = self.next();
        let test = match operator.text() {
            "in" => Test::In(self.values()?),
            "notin" => Test::NotIn(self.values()?),
            "=" | "==" => Test::In(BTreeSet::from([self.value()?])),
            "!=" => Test::NotIn(BTreeSet::from([self.value()?])),
            ">" => Test::Above(self.limit()?),
            "<" => Test::Below(self.limit()?),
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        check_values(&key, &test)?;
        Ok(Requirement { key, test })
    }

    fn value(&mut self) -> Result<String, String> {
        if *self.peek() == Token::End || self.peek().is(",") {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(word) => Ok(word),
            token => Err(format!("found '{}', expected: identifier", token.text())),
        }
    }

    fn limit(&mut self) -> Result<i64, String> {
        let value = self.value()?;
        value.parse().map_err(|_| {
            format!(
                "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                super::errors::quote(&value)
            )
        })
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let open = self.next();
        if !open.is("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut out = BTreeSet::new();
        let mut word_due = true;
        loop {
            match self.next() {
                Token::Word(word) if word_due => {
                    out.insert(word);
                    word_due = false;
                }
                token if token.is(",") => {
                    if word_due {
                        out.insert(String::new());
                    }
                    word_due = true;
                }
                token if token.is(")") => {
                    if word_due {
                        out.insert(String::new());
                    }
                    return Ok(out);
                }
                token => return Err(format!("found '{}', expected: ',' or ')'", token.text())),
            }
        }
    }
}

fn check_values(key: &str, test: &Test) -> Result<(), String> {
    let (Test::In(values) | Test::NotIn(values)) = test else { return Ok(()) };
    for (index, value) in values.iter().enumerate() {
        if let Some(said) = words::label_value(value).first() {
            return Err(format!(
                "values[{index}][{key}]: Invalid value: {}: {said}",
                super::errors::quote(value)
            ));
        }
    }
    Ok(())
}

/// A parsed `fieldSelector`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<Field>);

#[derive(Clone, Debug, PartialEq)]
struct Field {
    path: String,
    value: String,
    equal: bool,
}

impl Fields {
    /// The selector of a query parameter for objects of a kind, or the 400 of scene 07.
    pub fn parse(text: &str, kind: &Kind) -> Result<Self, Status> {
        let mut out = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let operator =
                ["!=", "==", "="].into_iter().find_map(|sign| part.split_once(sign).zip(Some(sign)));
            let Some(((path, value), sign)) = operator else {
                let said = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(Status::bad_request(said));
            };
            check_field(path, kind)?;
            out.push(Field { path: path.to_owned(), value: value.to_owned(), equal: sign != "!=" });
        }
        Ok(Self(out))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|one| (found(object, &one.path) == one.value) == one.equal)
    }
}

/// The text at a dotted path; empty where there is none.
fn found(object: &Value, path: &str) -> String {
    match path.split('.').fold(object, |value, key| &value[key]) {
        Value::String(text) => text.clone(),
        Value::Null if path == "spec.unschedulable" || path == "spec.hostNetwork" => "false".to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn check_field(path: &str, kind: &Kind) -> Result<(), Status> {
    let known: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => &["metadata.name", "status.phase"],
        ("", "Node") => &["metadata.name", "spec.unschedulable"],
        ("", "Pod") => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ if ["metadata.name", "metadata.namespace"].contains(&path) => return Ok(()),
        _ if kind.custom.as_ref().is_some_and(|of| of.selectable.iter().any(|one| one == path)) => {
            return Ok(());
        }
        _ if kind.custom.is_some() => &[],
        _ => {
            let said = "is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
            return Err(Status::bad_request(format!("\"{path}\" {said}")));
        }
    };
    if known.contains(&path) {
        return Ok(());
    }
    Err(Status::bad_request(format!("field label not supported: {path}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Fields, Labels};
    use crate::sim::rules::schema;

    fn selected(selector: &str) -> String {
        let objects = [
            ("a", json!({"env": "prod", "tier": "front"})),
            ("b", json!({"env": "prod", "tier": "back"})),
            ("c", json!({"env": "stage"})),
            ("d", json!({"tier": "front"})),
        ];
        let labels = match Labels::parse(selector) {
            Ok(labels) => labels,
            Err(status) => return status.message,
        };
        let matching =
            objects.iter().filter(|(_, labels_)| labels.matches(&json!({"metadata": {"labels": labels_}})));
        matching.map(|(name, _)| *name).collect()
    }

    #[test]
    fn labels_select_as_recorded() {
        for (selector, expected) in [
            ("", "abcd"),
            ("env=prod", "ab"),
            ("env==prod", "ab"),
            ("env!=prod", "cd"),
            ("env in (prod,stage)", "abc"),
            ("env notin (prod)", "cd"),
            ("env", "abc"),
            ("!env", "d"),
            ("tier in (front),env", "a"),
            ("env in ()", ""),
            ("env=", ""),
            (" env = prod", "ab"),
            ("env in (prod", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("=x", "found '=', expected: !, identifier, or 'end of string'"),
            ("env=bad value!", "found 'value', expected: ',' or 'end of string'"),
            ("grp=sel,,env=prod", "found ',', expected: identifier after ','"),
        ] {
            assert_eq!(selected(selector), expected, "{selector}");
        }
    }

    #[test]
    fn fields_select_as_recorded() {
        let namespace = schema::kind("v1", "Namespace").expect("served");
        let policy = schema::kind("networking.k8s.io/v1", "NetworkPolicy").expect("served");
        let object: Value = json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}});
        let ask = |selector: &str, kind| match Fields::parse(selector, kind) {
            Ok(fields) => fields.matches(&object).to_string(),
            Err(status) => status.message,
        };
        for (selector, kind, expected) in [
            ("metadata.name=a,status.phase=Active", namespace, "true"),
            ("metadata.name!=a", namespace, "false"),
            ("status.phase==Terminating", namespace, "false"),
            ("metadata.labels=x", namespace, "field label not supported: metadata.labels"),
            (
                "metadata.name",
                namespace,
                "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
            ),
            (
                "spec.podSelector=x",
                policy,
                "\"spec.podSelector\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            assert_eq!(ask(selector, kind), expected, "{selector}");
        }
    }
}
