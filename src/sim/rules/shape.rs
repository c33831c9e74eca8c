//! Brings a body into the form a typed server gives it: unknown fields and repeated keys found,
//! wrong types refused in Go's words, empty things left out, zero values of plain objects filled in
//! (scenes 20, 41 and 42). Also writes an object in the order of its table. No defaults, no rules.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::gotext;
use super::schema::{self, Field, Kind, Struct, Type};
use super::tree::{Entry, Tree};

/// What strict field validation would complain about, in the order of the body.
pub type Complaints = Vec<String>;

/// The object as the server holds it after reading `tree`, or the first wrong type in Go's words.
pub fn shape(tree: &Tree, kind: &Kind, complaints: &mut Complaints) -> Result<Value, String> {
    let mut shaper = Shaper { complaints, path: String::new(), names: Vec::new(), wrong: None };
    let value = shaper.root(tree, kind);
    match shaper.wrong.take() {
        Some(wrong) => Err(wrong),
        None => Ok(value),
    }
}

/// The same for a value that the server itself made: cannot be wrong, complaints do not matter.
/// A value of a wrong type stays as its zero value.
pub fn tidy(value: &Value, kind: &Kind) -> Value {
    let mut shaper =
        Shaper { complaints: &mut Vec::new(), path: String::new(), names: Vec::new(), wrong: None };
    shaper.root(&Tree::from(value), kind)
}

/// An object of this kind with nothing in it, as field ownership compares a new one with.
pub fn empty(kind: &Kind) -> Value {
    tidy(&json!({}), kind)
}

pub(super) struct Shaper<'a> {
    pub(super) complaints: &'a mut Complaints,
    /// With list positions, as strict validation says it.
    pub(super) path: String,
    /// Without, as Go says it: the type around each field and the field.
    names: Vec<(String, String)>,
    wrong: Option<String>,
}

impl Shaper<'_> {
    fn root(&mut self, tree: &Tree, kind: &Kind) -> Value {
        match &kind.custom {
            // What is of another kind is read by no schema.
            Some(_) if tree.get("kind").is_some_and(|is| *is != Tree::Text(kind.kind.clone())) => {
                self.value(tree, &kind.root_type())
            }
            Some(definition) => self.node(tree, &definition.node),
            None => self.value(tree, &kind.root_type()),
        }
    }

    pub(super) fn value(&mut self, tree: &Tree, ty: &Type) -> Value {
        match (ty, tree) {
            (Type::Any, _) => tree.to_value(),
            (Type::Struct(name), Tree::Map(entries)) => self.object(entries, schema::object(name)),
            (Type::Struct(name), Tree::Null) => self.object(&[], schema::object(name)),
            (Type::Map(of), Tree::Map(entries)) => self.map(entries, of),
            (Type::List(of), Tree::List(items)) => self.list(items, of),
            (Type::Map(_) | Type::List(_) | Type::Time | Type::MicroTime, Tree::Null) => Value::Null,
            (_, Tree::Null) => zero(ty),
            (Type::MicroTime, Tree::Text(text)) => self.decoded(gotext::micro_time(text)),
            (Type::Bytes, Tree::Text(text)) => self.decoded(gotext::base64(text)),
            (Type::Text | Type::Named(_) | Type::Time, Tree::Text(text)) => json!(text),
            (Type::Quantity | Type::IntOrString, Tree::Text(text)) => json!(text),
            (Type::Quantity, Tree::Number(raw)) => json!(raw),
            (Type::Bool, Tree::Bool(is)) => json!(is),
            (Type::Int32 | Type::IntOrString, Tree::Number(raw)) => match raw.parse::<i32>() {
                Ok(whole) => json!(whole),
                Err(_) => self.refuse(&format!("number {raw}"), ty),
            },
            (Type::Int64, Tree::Number(raw)) => match raw.parse::<i64>() {
                Ok(whole) => json!(whole),
                Err(_) => self.refuse(&format!("number {raw}"), ty),
            },
            (
                Type::Text
                | Type::Named(_)
                | Type::Bytes
                | Type::Time
                | Type::MicroTime
                | Type::Quantity
                | Type::IntOrString
                | Type::Bool
                | Type::Int32
                | Type::Int64
                | Type::List(_)
                | Type::Map(_)
                | Type::Struct(_),
                _,
            ) => self.refuse(tree.sort(), ty),
        }
    }

    /// A text that had to be decoded, or a note of the first that could not be.
    fn decoded(&mut self, text: Result<String, String>) -> Value {
        match text {
            Ok(text) => json!(text),
            Err(said) => {
                self.wrong.get_or_insert(said);
                Value::Null
            }
        }
    }

    /// Notes the first value of a wrong type.
    fn refuse(&mut self, got: &str, ty: &Type) -> Value {
        let around = self.names.last().map_or("", |(name, _)| name.as_str());
        let path: Vec<&str> = self.names.iter().map(|(_, field)| field.as_str()).collect();
        let said = format!(
            "json: cannot unmarshal {got} into Go struct field {around}.{} of type {}",
            path.join("."),
            ty.go_name()
        );
        self.wrong.get_or_insert(said);
        zero(ty)
    }

    fn object(&mut self, entries: &[Entry], of: &Struct) -> Value {
        let mut given: Map<String, Value> = Map::new();
        let mut seen: HashSet<&str> = HashSet::with_capacity(entries.len());
        for entry in entries {
            let before = self.step(&entry.key);
            let twice = !seen.insert(&entry.key);
            match of.field(&entry.key) {
                Some(field) => {
                    if twice {
                        self.complaints.push(format!("duplicate field \"{}\"", self.path));
                    }
                    self.names.push((of.name.clone(), field.name.clone()));
                    let value = if field.pointer && entry.value == Tree::Null {
                        Value::Null
                    } else {
                        self.value(&entry.value, &field.ty)
                    };
                    self.names.pop();
                    given.insert(entry.key.clone(), value);
                }
                None if of.open => {
                    given.insert(entry.key.clone(), entry.value.to_value());
                }
                None => self.complaints.push(format!("unknown field \"{}\"", self.path)),
            }
            self.path.truncate(before);
        }
        Value::Object(self.finish(given, of))
    }

    /// Leaves out what is empty and fills in what is never left out.
    fn finish(&mut self, mut given: Map<String, Value>, of: &Struct) -> Map<String, Value> {
        for field in &of.fields {
            let value = given.remove(&field.name).unwrap_or(Value::Null);
            if let Some(kept) = self.keep(value, field) {
                given.insert(field.name.clone(), kept);
            }
        }
        given
    }

    fn keep(&mut self, value: Value, field: &Field) -> Option<Value> {
        match &field.ty {
            Type::Struct(name) if !field.pointer && value.is_null() => {
                Some(self.object(&[], schema::object(name)))
            }
            Type::Struct(_) if !value.is_null() => Some(value),
            _ if value.is_null() => field.always.then(|| zero(&field.ty)),
            _ if field.pointer || field.always || !is_empty(&value, &field.ty) => Some(value),
            _ => None,
        }
    }

    fn map(&mut self, entries: &[Entry], of: &Type) -> Value {
        let mut out = Map::new();
        for entry in entries {
            let before = self.step(&entry.key);
            if out.contains_key(&entry.key) {
                self.complaints.push(format!("duplicate field \"{}\"", self.path));
            }
            let value = self.value(&entry.value, of);
            out.insert(entry.key.clone(), value);
            self.path.truncate(before);
        }
        Value::Object(out)
    }

    fn list(&mut self, items: &[Tree], of: &Type) -> Value {
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let before = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            out.push(self.value(item, of));
            self.path.truncate(before);
        }
        Value::Array(out)
    }

    /// Goes one key down; gives back the length to return to.
    pub(super) fn step(&mut self, key: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        before
    }
}

/// What stands in a field that is written although nothing was given.
fn zero(ty: &Type) -> Value {
    match ty {
        Type::Text | Type::Named(_) | Type::Bytes => json!(""),
        Type::Quantity => json!("0"),
        Type::Int32 | Type::Int64 | Type::IntOrString => json!(0),
        Type::Bool => json!(false),
        Type::Time | Type::MicroTime | Type::Any | Type::List(_) | Type::Map(_) | Type::Struct(_) => {
            Value::Null
        }
    }
}

fn is_empty(value: &Value, ty: &Type) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && *ty != Type::Any,
    }
}

/// An object as text in the order of its table, as the server stores and sends it.
pub fn ordered_text(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    write_ordered(value, ty, &mut out);
    out
}

fn write_ordered(value: &Value, ty: &Type, out: &mut String) {
    match (value, ty) {
        (Value::Object(map), Type::Struct(name)) => {
            let of = schema::object(name);
            let listed = of.fields.iter().filter(|field| map.contains_key(&field.name));
            let others = map.keys().filter(|key| of.field(key).is_none());
            let keys: Vec<(&str, &Type)> = listed
                .map(|field| (field.name.as_str(), &field.ty))
                .chain(others.map(|key| (key.as_str(), &Type::Any)))
                .collect();
            write_map(map, keys, out);
        }
        (Value::Object(map), Type::Map(of)) => {
            write_map(map, map.keys().map(|key| (key.as_str(), &**of)).collect(), out);
        }
        (Value::Array(items), Type::List(of)) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_ordered(item, of, out);
            }
            out.push(']');
        }
        _ => out.push_str(&value.to_string()),
    }
}

fn write_map(map: &Map<String, Value>, keys: Vec<(&str, &Type)>, out: &mut String) {
    out.push('{');
    for (index, (key, ty)) in keys.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(key).to_string());
        out.push(':');
        write_ordered(&map[key], ty, out);
    }
    out.push('}');
}
