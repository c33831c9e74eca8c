//! Sets of field paths, as `managedFields` stores them (FieldsV1), with the operations field
//! ownership needs. Path elements are kept in the form of the wire: `f:name`, `k:{..}`, `v:..`.
//! It knows neither schemas nor managers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A set of paths. Each node may be in the set itself and may hold more below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    /// Whether the path to this node is in the set.
    pub member: bool,
    pub children: BTreeMap<String, Set>,
}

impl Set {
    /// Reads `fieldsV1`.
    pub fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (element, below) in fields.as_object().into_iter().flatten() {
            if element == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::read(below);
            child.member |= below.as_object().is_none_or(Map::is_empty);
            set.children.insert(element.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn write(&self) -> Value {
        let mut out = Map::new();
        if self.member && !self.children.is_empty() {
            out.insert(".".to_owned(), json!({}));
        }
        for (element, child) in &self.children {
            out.insert(element.clone(), child.write());
        }
        Value::Object(out)
    }

    /// Adds one path.
    pub fn insert(&mut self, path: &[String]) {
        match path {
            [] => self.member = true,
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether there is no path in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// Paths in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.member |= other.member;
        for (element, child) in &other.children {
            let joined = out.children.get(element).map_or_else(|| child.clone(), |own| own.union(child));
            out.children.insert(element.clone(), joined);
        }
        out
    }

    /// Paths in this one and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let nothing = Self::default();
        self.combine(
            other,
            |element| other.children.get(element).unwrap_or(&nothing),
            |a, b| a && !b,
            &|a, b| a.difference(b),
        )
    }

    /// Paths in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let nothing = Self::default();
        self.combine(
            other,
            |element| other.children.get(element).unwrap_or(&nothing),
            |a, b| a && b,
            &|a, b| a.intersection(b),
        )
    }

    fn combine<'a>(
        &self,
        other: &Self,
        below: impl Fn(&str) -> &'a Self,
        member: impl Fn(bool, bool) -> bool,
        deeper: &dyn Fn(&Self, &Self) -> Self,
    ) -> Self {
        let mut out = Self { member: member(self.member, other.member), children: BTreeMap::new() };
        for (element, child) in &self.children {
            let kept = deeper(child, below(element));
            if !kept.is_empty() {
                out.children.insert(element.clone(), kept);
            }
        }
        out
    }

    /// Every path of the set, as the server prints it: `.spec.ports[port=80]`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect("", &mut out);
        out
    }

    fn collect(&self, at: &str, out: &mut Vec<String>) {
        if self.member {
            out.push(at.to_owned());
        }
        for (element, child) in &self.children {
            child.collect(&format!("{at}{}", printed(element)), out);
        }
    }
}

/// One element as the server prints it.
fn printed(element: &str) -> String {
    let (sort, rest) = element.split_once(':').unwrap_or(("f", element));
    match sort {
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        "v" => format!("[={rest}]"),
        "i" => format!("[{rest}]"),
        _ => format!(".{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Set;

    #[test]
    fn the_wire_form_survives_a_round_trip() {
        for fields in [
            json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:ports": {}}}),
            json!({"f:metadata": {"f:labels": {}}}),
        ] {
            assert_eq!(Set::read(&fields).write(), fields);
        }
    }

    #[test]
    fn difference_takes_paths_not_what_is_below_them() {
        let all = Set::read(&json!({"f:labels": {".": {}, "f:a": {}, "f:b": {}}}));
        let one = Set::read(&json!({"f:labels": {".": {}, "f:a": {}}}));
        assert_eq!(all.difference(&one).write(), json!({"f:labels": {"f:b": {}}}));
        assert_eq!(all.intersection(&one), one);
        assert_eq!(one.union(&all), all);
    }

    #[test]
    fn paths_are_printed_as_the_server_does() {
        let set = Set::read(&json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {}},
            "f:finalizers": {"v:\"x\"": {}}}}));
        assert_eq!(set.paths(), [".spec.finalizers[=\"x\"]", ".spec.ports[port=80,protocol=\"TCP\"]"]);
    }
}
