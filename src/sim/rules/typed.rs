//! Objects seen with their schema, as field ownership sees them: what differs between two, which
//! fields one names, two merged, some fields taken out, and whether a body fits its schema
//! (scenes 30 to 33). Follows the order of decisions of the real merge; knows no managers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::custom::node::{Node, Sort};
use super::fields::Set;
use super::schema::{self, Kind, Ownership, Struct, Type};

/// What changed between two objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Comparison {
    /// Whether nothing changed.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What was set, new or anew.
    pub fn set(&self) -> Set {
        self.added.union(&self.modified)
    }
}

/// A type or a node of a custom resource's schema, with how the field it stands in is owned.
#[derive(Clone, Copy)]
struct View<'a> {
    of: Of<'a>,
    owned: &'a Ownership,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Type(&'a Type),
    Node(&'a Node),
}

/// How ownership divides one value.
enum Form<'a> {
    Leaf,
    Map(Known<'a>),
    Items,
}

/// The fields an object is known to have.
#[derive(Clone, Copy)]
enum Known<'a> {
    Nothing,
    Struct(&'static Struct),
    Node(&'a Node),
}

impl Known<'_> {
    fn has(self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Struct(of) => of.field(key).is_some(),
            Self::Node(node) => node.properties.contains_key(key) || (node.is_object && is_common(key)),
        }
    }
}

/// The fields of every whole object.
fn is_common(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

static METADATA: LazyLock<Type> = LazyLock::new(|| Type::Struct("ObjectMeta".to_owned()));
const ANY: View<'static> = View { of: Of::Type(&Type::Any), owned: &Ownership::Granular };

impl<'a> View<'a> {
    /// The view of a whole object; `root` is the kind's outermost type.
    fn root(kind: &'a Kind, root: &'a Type) -> Self {
        match &kind.custom {
            Some(definition) => Self::node(&definition.node),
            None => Self::of(root),
        }
    }

    fn of(ty: &'a Type) -> Self {
        let owned = if matches!(ty, Type::List(_)) { &Ownership::Whole } else { &Ownership::Granular };
        Self { of: Of::Type(ty), owned }
    }

    fn node(node: &'a Node) -> Self {
        Self { of: Of::Node(node), owned: &node.ownership }
    }

    fn form(&self, value: &Value) -> Form<'a> {
        if *self.owned == Ownership::Whole {
            return Form::Leaf;
        }
        let ty = match self.of {
            Of::Type(ty) => ty,
            Of::Node(node) => {
                return match (node.sort, value) {
                    (Sort::Object, Value::Object(_) | Value::Null) | (Sort::Any, Value::Object(_)) => {
                        Form::Map(Known::Node(node))
                    }
                    (Sort::Array, Value::Array(_) | Value::Null) => Form::Items,
                    _ => Form::Leaf,
                };
            }
        };
        match (ty, value) {
            (Type::Struct(name), Value::Object(_) | Value::Null) => {
                let of = schema::object(name);
                if of.whole { Form::Leaf } else { Form::Map(Known::Struct(of)) }
            }
            (Type::Map(_), Value::Object(_) | Value::Null) | (Type::Any, Value::Object(_)) => {
                Form::Map(Known::Nothing)
            }
            (Type::List(_), Value::Array(_) | Value::Null) => Form::Items,
            _ => Form::Leaf,
        }
    }

    /// The view of what a key holds.
    fn below(&self, key: &str) -> View<'a> {
        let ty = match self.of {
            Of::Type(ty) => ty,
            Of::Node(node) => return Self::below_node(node, key),
        };
        match ty {
            Type::Struct(name) => schema::object(name)
                .field(key)
                .map_or(ANY, |field| View { of: Of::Type(&field.ty), owned: &field.ownership }),
            Type::Map(of) | Type::List(of) => View::of(of),
            Type::Text
            | Type::Named(_)
            | Type::Int32
            | Type::Int64
            | Type::Bool
            | Type::IntOrString
            | Type::Quantity
            | Type::Time
            | Type::MicroTime
            | Type::Bytes
            | Type::Any => ANY,
        }
    }

    fn below_node(node: &'a Node, key: &str) -> View<'a> {
        if node.is_object && is_common(key) {
            return if key == "metadata" { View::of(&METADATA) } else { View::of(&Type::Text) };
        }
        let below = if node.sort == Sort::Array { node.items.as_deref() } else { node.below(key) };
        below.map_or(ANY, View::node)
    }

    /// What is left of a map or a list without anything in it: in a custom resource it stays, empty.
    fn emptied(&self, value: &Value) -> Value {
        match (self.of, value) {
            (Of::Node(_), Value::Object(_)) => json!({}),
            (Of::Node(_), Value::Array(_)) => json!([]),
            _ => Value::Null,
        }
    }

    /// What a key of an item counts as where the item does not say it.
    fn default_key(&self, key: &str) -> Option<Value> {
        match self.of {
            Of::Node(list) => list.items.as_ref()?.properties.get(key)?.default.clone(),
            // The one default among the keys in use.
            Of::Type(_) => (key == "protocol").then(|| json!("TCP")),
        }
    }
}

/// What differs between two objects of a kind.
pub fn compare(old: &Value, new: &Value, kind: &Kind) -> Comparison {
    let root = kind.root_type();
    let mut out = Comparison::default();
    compare_at(&mut Vec::new(), View::root(kind, &root), Some(old), Some(new), &mut out);
    out
}

fn compare_at(
    path: &mut Vec<String>,
    view: View<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    out: &mut Comparison,
) {
    let telling = [new, old].into_iter().flatten().find(|value| !value.is_null()).unwrap_or(&Value::Null);
    let children = match view.form(telling) {
        Form::Leaf => None,
        Form::Map(_) => Some((entries(old), entries(new))),
        Form::Items => Some((elements(old, view), elements(new, view))),
    };
    match children {
        Some((before, after)) if !(before.is_empty() && after.is_empty()) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                path.push(key.clone());
                let name = key.strip_prefix("f:").unwrap_or_default();
                let (a, b) = (before.get(key).copied(), after.get(key).copied());
                compare_at(path, view.below(name), a, b, out);
                path.pop();
            }
            match (old, new) {
                (None, _) => out.added.insert(path),
                (_, None) => out.removed.insert(path),
                (Some(_), Some(_)) => {}
            }
        }
        _ => match (old, new) {
            (None, _) => out.added.insert(path),
            (_, None) => out.removed.insert(path),
            (Some(a), Some(b)) if a != b => out.modified.insert(path),
            (Some(_), Some(_)) => {}
        },
    }
}

fn entries(value: Option<&Value>) -> BTreeMap<String, &Value> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.map(|(key, value)| (format!("f:{key}"), value)).collect()
}

fn elements<'a>(value: Option<&'a Value>, list: View<'_>) -> BTreeMap<String, &'a Value> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| (element(item, list), item)).collect()
}

/// The path element of an item of a set or of a list told apart by keys.
fn element(item: &Value, list: View<'_>) -> String {
    let Ownership::Keys(keys) = list.owned else { return format!("v:{item}") };
    let mut named = Map::new();
    for key in keys {
        let value = Some(&item[key]).filter(|value| !value.is_null()).cloned();
        if let Some(value) = value.or_else(|| list.default_key(key)) {
            named.insert(key.clone(), value);
        }
    }
    format!("k:{}", Value::Object(named))
}

/// The fields an applied body names.
pub fn named_fields(body: &Value, kind: &Kind) -> Set {
    let root = kind.root_type();
    let mut out = Set::default();
    name_at(&mut Vec::new(), View::root(kind, &root), body, &mut out);
    out
}

fn name_at(path: &mut Vec<String>, view: View<'_>, value: &Value, out: &mut Set) {
    match view.form(value) {
        Form::Leaf => out.insert(path),
        Form::Map(known) => {
            for (key, value) in value.as_object().into_iter().flatten() {
                path.push(format!("f:{key}"));
                name_at(path, view.below(key), value, out);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !known.has(key) {
                    out.insert(path);
                }
                path.pop();
            }
        }
        Form::Items => {
            for item in value.as_array().into_iter().flatten() {
                path.push(element(item, view));
                name_at(path, view.below(""), item, out);
                out.insert(path);
                path.pop();
            }
        }
    }
}

/// The object with what a body says put over it.
pub fn merge(live: &Value, body: &Value, kind: &Kind) -> Value {
    let root = kind.root_type();
    merge_at(View::root(kind, &root), live, body)
}

fn merge_at(view: View<'_>, live: &Value, body: &Value) -> Value {
    let telling = if body.is_null() { live } else { body };
    match view.form(telling) {
        Form::Leaf => body.clone(),
        Form::Map(_) => {
            let mut out = live.as_object().cloned().unwrap_or_default();
            for (key, value) in body.as_object().into_iter().flatten() {
                let merged = match out.get(key) {
                    Some(own) => merge_at(view.below(key), own, value),
                    None => value.clone(),
                };
                out.insert(key.clone(), merged);
            }
            Value::Object(out)
        }
        Form::Items => {
            let mut out = live.as_array().cloned().unwrap_or_default();
            for item in body.as_array().into_iter().flatten() {
                let name = element(item, view);
                match out.iter_mut().find(|own| element(own, view) == name) {
                    Some(own) => *own = merge_at(view.below(""), own, item),
                    None => out.push(item.clone()),
                }
            }
            Value::Array(out)
        }
    }
}

/// The object without the fields of a set; what becomes empty becomes null, save in custom resources.
pub fn without(object: &Value, gone: &Set, kind: &Kind) -> Value {
    let root = kind.root_type();
    without_at(View::root(kind, &root), object, gone)
}

fn without_at(view: View<'_>, value: &Value, gone: &Set) -> Value {
    match view.form(value) {
        Form::Leaf => value.clone(),
        Form::Map(_) => {
            let mut out = Map::new();
            for (key, value) in value.as_object().into_iter().flatten() {
                if let Some(kept) = keep(view.below(key), value, gone.children.get(&format!("f:{key}"))) {
                    out.insert(key.clone(), kept);
                }
            }
            if out.is_empty() { view.emptied(value) } else { Value::Object(out) }
        }
        Form::Items => {
            let list = value.as_array().into_iter().flatten();
            let out: Vec<Value> = list
                .filter_map(|item| keep(view.below(""), item, gone.children.get(&element(item, view))))
                .collect();
            if out.is_empty() { view.emptied(value) } else { Value::Array(out) }
        }
    }
}

fn keep(view: View<'_>, value: &Value, gone: Option<&Set>) -> Option<Value> {
    match gone {
        None => Some(value.clone()),
        Some(set) if set.member => None,
        Some(set) => Some(without_at(view, value, set)),
    }
}

/// The set with the named fields above its paths in it too: owning `spec.x` counts as owning `spec`.
pub fn with_parents(set: &Set, kind: &Kind) -> Set {
    let root = kind.root_type();
    parents_at(View::root(kind, &root), set)
}

fn parents_at(view: View<'_>, set: &Set) -> Set {
    let mut out = Set { member: set.member, children: BTreeMap::new() };
    for (element, child) in &set.children {
        let name = element.strip_prefix("f:");
        let mut below = parents_at(view.below(name.unwrap_or_default()), child);
        let named = name.is_some_and(|name| match view.of {
            Of::Type(Type::Struct(of)) => schema::object(of).field(name).is_some(),
            Of::Node(node) => Known::Node(node).has(name),
            Of::Type(_) => false,
        });
        below.member |= named && !child.children.is_empty();
        out.children.insert(element.clone(), below);
    }
    out
}

/// Why a body does not fit the schema of its kind, in the server's words; empty means it fits.
pub fn misfits(body: &Value, kind: &Kind) -> Vec<String> {
    let root = kind.root_type();
    let mut out = Vec::new();
    misfits_at("", View::root(kind, &root), body, &mut out);
    out
}

fn misfits_at(at: &str, view: View<'_>, value: &Value, out: &mut Vec<String>) {
    let expected = |what: &str| format!("{at}: expected {what}, got &{{{}}}", bare(value));
    let ty = match view.of {
        Of::Type(ty) => ty,
        Of::Node(node) => return node_misfits(at, view, node, value, out),
    };
    match (ty, value) {
        (_, Value::Null) | (Type::Any, _) => {}
        (Type::Struct(name), Value::Object(map)) => {
            let of = schema::object(name);
            for (key, value) in map {
                let below = format!("{at}.{key}");
                if of.field(key).is_some() || of.open {
                    misfits_at(&below, view.below(key), value, out);
                } else {
                    out.push(format!("{below}: field not declared in schema"));
                }
            }
        }
        (Type::Map(_), Value::Object(map)) => {
            map.iter()
                .for_each(|(key, value)| misfits_at(&format!("{at}.{key}"), view.below(key), value, out));
        }
        (Type::List(_), Value::Array(items)) => list_misfits(at, view, items, out),
        (Type::Struct(_) | Type::Map(_), _) => out.push(expected("map")),
        (Type::List(_), _) => out.push(expected("list")),
        (Type::Int32 | Type::Int64, value) if !value.is_number() => {
            out.push(expected("numeric (int or float)"));
        }
        (Type::Bool, value) if !value.is_boolean() => out.push(expected("boolean")),
        (Type::Text | Type::Named(_) | Type::Time | Type::MicroTime | Type::Bytes, value)
            if !value.is_string() =>
        {
            out.push(expected("string"));
        }
        _ => {}
    }
}

fn node_misfits(at: &str, view: View<'_>, node: &Node, value: &Value, out: &mut Vec<String>) {
    let expected = |what: &str| format!("{at}: expected {what}, got &{{{}}}", bare(value));
    match (node.sort, value) {
        (_, Value::Null) | (Sort::Any | Sort::IntOrText, _) => {}
        (Sort::Object, Value::Object(map)) => {
            for (key, value) in map {
                let below = format!("{at}.{key}");
                if Known::Node(node).has(key) || node.additional.is_some() || node.preserve {
                    misfits_at(&below, view.below(key), value, out);
                } else {
                    out.push(format!("{below}: field not declared in schema"));
                }
            }
        }
        (Sort::Array, Value::Array(items)) => list_misfits(at, view, items, out),
        (Sort::Object, _) => out.push(expected("map")),
        (Sort::Array, _) => out.push(expected("list")),
        (Sort::Integer | Sort::Number, value) if !value.is_number() => {
            out.push(expected("numeric (int or float)"));
        }
        (Sort::Bool, value) if !value.is_boolean() => out.push(expected("boolean")),
        (Sort::Text, value) if !value.is_string() => out.push(expected("string")),
        _ => {}
    }
}

fn list_misfits(at: &str, view: View<'_>, items: &[Value], out: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (here, told_apart) = match view.owned {
            Ownership::Whole | Ownership::Granular => (format!("[{index}]"), false),
            Ownership::Set | Ownership::Keys(_) => {
                let mut one = Set::default();
                one.insert(&[element(item, view)]);
                (one.paths().swap_remove(0), true)
            }
        };
        if told_apart && seen.contains(&here) {
            out.push(format!("{at}: duplicate entries for key {here}"));
        }
        misfits_at(&format!("{at}{here}"), view.below(""), item, out);
        seen.push(here);
    }
}

/// A value as Go prints it.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(bare).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", bare(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
