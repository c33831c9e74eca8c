//! YAML with the line of every key and value, so that a complaint can point at it. One document a
//! text; a second one, a duplicate key and broken YAML are told with their line. Nothing here
//! reads files or knows what the keys mean.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_yaml::Spanned;

use crate::domain::names::Text;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Counted from 1; 0 where it is not known.
    pub line: u64,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub line: u64,
    pub node: Node,
}

/// Why a text is not one YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadYaml {
    /// 0 where it is not known.
    pub line: u64,
    pub why: Text,
}

impl fmt::Display for BadYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

/// Reads exactly one document. An empty text is null.
pub fn parse(text: &str) -> Result<Node, BadYaml> {
    parse_up_to(text, NODES)
}

/// The same, of at most so many values.
pub fn parse_up_to(text: &str, nodes: usize) -> Result<Node, BadYaml> {
    let mut options = serde_yaml::Options::default();
    if let Some(budget) = &mut options.budget {
        budget.max_nodes = nodes;
        budget.max_events = budget.max_events.max(nodes.saturating_mul(4));
        budget.max_total_scalar_bytes = budget.max_total_scalar_bytes.max(text.len());
    }
    let parsed: Result<Spanned<Raw>, _> = serde_yaml::from_str_with_options(text, options);
    parsed.map(Node::from).map_err(|error| bad(&error))
}

/// Values in one document; a file within the size limit of a workspace has fewer, unless its
/// aliases multiply them.
const NODES: usize = 100_000;

/// The library's complaint as ours.
pub(super) fn bad(error: &serde_yaml::Error) -> BadYaml {
    use serde_yaml::Error;
    let line = error.location().map_or(0, |location| location.line());
    let why = match error.without_snippet() {
        Error::MultipleDocuments { .. } => "a second document begins".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key:?} stands there twice"),
        other => {
            // The place is told once, by us.
            let shown = other.to_string();
            let fact = shown.lines().next().unwrap_or_default();
            fact.split(" at line ").next().unwrap_or(fact).to_owned()
        }
    };
    BadYaml { line, why: Text::from(why) }
}

impl Node {
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value of a key of a mapping.
    pub fn field(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// What stands in a list; nothing where it is none.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// The same without lines.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::Text(value) => Json::String(value.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.json())).collect())
            }
        }
    }
}

/// A value on its way from the library, whose lines hang on wrappers.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        let value = match raw.value {
            Raw::Scalar(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| Entry {
                        key: key.value,
                        line: key.referenced.line(),
                        node: Self::from(node),
                    })
                    .collect(),
            ),
        };
        Self { line: raw.referenced.line(), value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value.into())))
    }

    /// JSON has no infinities: they stay text, which no key of ours accepts as a number.
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value).map(Value::Number);
        Ok(Raw::Scalar(number.unwrap_or_else(|| Value::Text(value.to_string()))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_line() {
        let node = parse("a: 1\nb:\n  - x\n  - c: yes\n").expect("valid");
        let Value::Map(entries) = &node.value else { panic!("a mapping") };
        let lines: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.line, e.node.line)).collect();
        assert_eq!(lines, [("a", 1, 1), ("b", 2, 3)]);
        let Value::List(items) = &entries[1].node.value else { panic!("a list") };
        assert_eq!(items.iter().map(|i| i.line).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(node.json().to_string(), r#"{"a":1,"b":["x",{"c":true}]}"#);
    }

    #[test]
    fn what_is_not_one_document_is_told_with_its_line() {
        for (text, line, part) in [
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: 1\na: 2\n", 2, "\"a\" stands there twice"),
            ("a: [1\nb: 2\n", 2, "illegal placement of ':' indicator"),
            ("a: 1\n\tb: 2\n", 2, "found a tab"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.why.as_str().contains(part), "{text:?}: {error}");
            assert!(error.line.abs_diff(line) <= 1, "{text:?}: {error}");
        }
        assert!(parse("").expect("empty is null").is_null());
        assert!(parse("---\na: 1\n").is_ok());
    }

    /// A bomb of aliases ends in an error, not in memory.
    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(parse(&text).is_err());
    }
}
