//! YAML bodies as [`Tree`]s. Booleans are those of YAML 1.1, as in the real server (`y` is true,
//! scene 41). Complaints are close to Go's, equal where a recording has one. No rules about kinds.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::DuplicateKeyPolicy;
use serde_yaml::{Options, Spanned};

use super::tree::{Entry, Tree};

/// What a YAML body holds, and the complaint about a key that stands twice, if one does.
pub struct Read {
    pub tree: Tree,
    pub repeated: Option<String>,
}

/// Reads one YAML document; JSON is YAML too. The error is what Go's converter would say.
pub fn read(body: &[u8]) -> Result<Read, String> {
    let tree = match Tree::parse(body) {
        Ok(tree) => tree,
        Err(_) => document(body)?,
    };
    let repeated = already_set(&tree.repeated());
    Ok(Read { tree: tree.last_wins(), repeated })
}

fn document(body: &[u8]) -> Result<Tree, String> {
    let text = std::str::from_utf8(body).map_err(|_| complaint("invalid Unicode character"))?;
    if text.trim().is_empty() {
        return Ok(Tree::Null);
    }
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    serde_yaml::from_str_with_options::<Node>(text, options).map(|node| node.0).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        complaint(&format!("line {line}: did not find expected node content"))
    })
}

fn complaint(said: &str) -> String {
    format!("error converting YAML to JSON: yaml: {said}")
}

fn already_set(repeated: &[(String, u64)]) -> Option<String> {
    if repeated.is_empty() {
        return None;
    }
    let lines: Vec<String> = repeated
        .iter()
        .map(|(key, line)| format!("  line {line}: key \"{key}\" already set in map"))
        .collect();
    Some(format!("yaml: unmarshal errors:\n{}", lines.join("\n")))
}

struct Node(Tree);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node(Tree::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node(Tree::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Node, E> {
        Ok(Node(Tree::Bool(is)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node(Tree::Number(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node(Tree::Number(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node(Tree::Number(number.to_string())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node(Tree::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut out = Vec::new();
        while let Some(Node(item)) = items.next_element()? {
            out.push(item);
        }
        Ok(Node(Tree::List(out)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Node(value) = map.next_value()?;
            let line = key.referenced.line();
            entries.push(Entry { key: key.value, line, value });
        }
        Ok(Node(Tree::Map(entries)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn names_that_yaml_takes_for_booleans_are_booleans() {
        let read = read(b"a: y\nb: 'y'\nc: [1, x, ~]\nd: {e: 1.5}\n").expect("valid YAML");
        assert_eq!(read.tree.to_value(), json!({"a": true, "b": "y", "c": [1, "x", null], "d": {"e": 1.5}}));
        assert_eq!(read.repeated, None);
    }

    #[test]
    fn a_repeated_key_is_named_with_its_line() {
        let read = read(b"spec:\n  podSelector: {}\n  podSelector: {}\n  extra: 1\n").expect("valid YAML");
        let said = "yaml: unmarshal errors:\n  line 3: key \"podSelector\" already set in map";
        assert_eq!(read.repeated.as_deref(), Some(said));
    }

    #[test]
    fn what_is_neither_json_nor_yaml_is_refused() {
        let said = "error converting YAML to JSON: yaml: line 1: did not find expected node content";
        assert_eq!(read(b"{ not yaml: [").err().as_deref(), Some(said));
    }
}
