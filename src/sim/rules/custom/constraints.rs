//! The value checks of one schema node: bounds, lengths, patterns, enums, formats, and combinations
//! of schemas, each with its complaint in the words of the real server. Read once.

use std::net::IpAddr;

use chrono::{DateTime, NaiveDate};
use regex::Regex;
use serde_json::{Number, Value};

use super::super::errors::{FieldError, quote};
use super::node::{Node, Sort};

/// What a node demands of its value beside its type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    pub required: Vec<String>,
    pub allowed: Vec<Value>,
    /// Such as `int32` or `date-time`; empty for none.
    pub format: String,
    pub all_of: Vec<Node>,
    pub any_of: Vec<Node>,
    pub one_of: Vec<Node>,
    pub not: Option<Box<Node>>,
    pattern: Option<Pattern>,
    lengths: Bounds,
    values: Bounds,
    items: Bounds,
    properties: Bounds,
    multiple_of: Option<Number>,
}

/// A regular expression as it was written, and ready; one that Rust cannot read matches everything.
#[derive(Clone, Debug)]
struct Pattern(String, Option<Regex>);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The least and the most, and whether each is out itself.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bounds {
    least: Option<Number>,
    most: Option<Number>,
    above_least: bool,
    below_most: bool,
}

impl Bounds {
    fn read(schema: &Value, least: &str, most: &str) -> Self {
        let number = |field: &str| schema[field].as_number().cloned();
        Self { least: number(least), most: number(most), above_least: false, below_most: false }
    }

    fn is_under(&self, value: f64) -> Option<&Number> {
        let out = |least: f64| if self.above_least { value <= least } else { value < least };
        self.least.as_ref().filter(|least| least.as_f64().is_some_and(out))
    }

    fn is_over(&self, value: f64) -> Option<&Number> {
        let out = |most: f64| if self.below_most { value >= most } else { value > most };
        self.most.as_ref().filter(|most| most.as_f64().is_some_and(out))
    }
}

impl Constraints {
    pub fn read(schema: &Value) -> Self {
        let list = |field: &str| schema[field].as_array().cloned().unwrap_or_default();
        let nodes = |field: &str| list(field).iter().map(Node::part).collect();
        let pattern = schema["pattern"].as_str().filter(|text| !text.is_empty());
        let values = Bounds {
            above_least: schema["exclusiveMinimum"] == true,
            below_most: schema["exclusiveMaximum"] == true,
            ..Bounds::read(schema, "minimum", "maximum")
        };
        Self {
            required: list("required").iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            allowed: list("enum"),
            format: schema["format"].as_str().unwrap_or_default().to_owned(),
            all_of: nodes("allOf"),
            any_of: nodes("anyOf"),
            one_of: nodes("oneOf"),
            not: schema.get("not").map(|not| Box::new(Node::part(not))),
            pattern: pattern.map(|text| Pattern(text.to_owned(), Regex::new(text).ok())),
            lengths: Bounds::read(schema, "minLength", "maxLength"),
            values,
            items: Bounds::read(schema, "minItems", "maxItems"),
            properties: Bounds::read(schema, "minProperties", "maxProperties"),
            multiple_of: schema["multipleOf"].as_number().cloned(),
        }
    }

    /// What is wrong with a value that is of the right type.
    pub fn check(&self, value: &Value, at: &str) -> Vec<FieldError> {
        let mut found = match value {
            Value::String(text) => self.check_text(text, value, at),
            Value::Number(number) => self.check_number(number.as_f64().unwrap_or(0.0), value, at),
            Value::Array(items) => counted(&self.items, items.len(), value, at, "items"),
            Value::Object(fields) => counted(&self.properties, fields.len(), value, at, "properties"),
            Value::Null | Value::Bool(_) => Vec::new(),
        };
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let allowed: Vec<String> = self
                .allowed
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect();
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            found.push(FieldError::not_supported(at, value, &allowed));
        }
        found
    }

    /// A text is complained about once, and then for its format.
    fn check_text(&self, text: &str, value: &Value, at: &str) -> Vec<FieldError> {
        let length = text.chars().count() as f64;
        let mismatch =
            |Pattern(_, regex): &&Pattern| regex.as_ref().is_some_and(|regex| !regex.is_match(text));
        let first = if let Some(most) = self.lengths.is_over(length) {
            Some(FieldError::too_long(at, most.as_u64().unwrap_or(0) as usize))
        } else if let Some(least) = self.lengths.is_under(length) {
            Some(said(at, value, &format!("should be at least {least} chars long")))
        } else {
            let pattern = self.pattern.as_ref().filter(mismatch);
            pattern.map(|Pattern(pattern, _)| said(at, value, &format!("should match '{pattern}'")))
        };
        let mut found: Vec<FieldError> = first.into_iter().collect();
        if !is_of_format(text, &self.format) {
            let said = format!("{at} in body must be of type {}: {}", self.format, quote(text));
            found.push(FieldError::type_invalid(at, value, said));
        }
        found
    }

    fn check_number(&self, number: f64, value: &Value, at: &str) -> Vec<FieldError> {
        let mut found = Vec::new();
        let or_equal = |exclusive: bool| if exclusive { "" } else { " or equal to" };
        if let Some(most) = self.values.is_over(number) {
            let text = format!("should be less than{} {most}", or_equal(self.values.below_most));
            found.push(said(at, value, &text));
        }
        if let Some(least) = self.values.is_under(number) {
            let text = format!("should be greater than{} {least}", or_equal(self.values.above_least));
            found.push(said(at, value, &text));
        }
        let factor = self.multiple_of.as_ref().and_then(Number::as_f64).filter(|factor| *factor != 0.0);
        if let Some(factor) = factor.filter(|factor| (number / factor).fract() != 0.0) {
            found.push(said(at, value, &format!("should be a multiple of {factor}")));
        }
        found
    }
}

impl Constraints {
    /// The most characters, items or entries a value may have, if that is said.
    pub fn most(&self, sort: Sort) -> Option<f64> {
        let bounds = match sort {
            Sort::Text => &self.lengths,
            Sort::Array => &self.items,
            Sort::Object => &self.properties,
            Sort::Integer | Sort::Number | Sort::Bool | Sort::IntOrText | Sort::Any => return None,
        };
        bounds.most.as_ref().and_then(Number::as_f64)
    }
}

fn said(at: &str, value: &Value, what: &str) -> FieldError {
    FieldError::invalid(at, value, format!("{at} in body {what}"))
}

fn counted(bounds: &Bounds, count: usize, value: &Value, at: &str, what: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    if let Some(most) = bounds.is_over(count as f64) {
        found.push(FieldError::too_many(at, count, most.as_u64().unwrap_or(0)));
    }
    if let Some(least) = bounds.is_under(count as f64) {
        found.push(said(at, value, &format!("should have at least {least} {what}")));
    }
    found
}

/// The formats that are checked; any other is a note to the reader.
fn is_of_format(text: &str, format: &str) -> bool {
    match format {
        "date-time" | "datetime" => DateTime::parse_from_rfc3339(text).is_ok(),
        "date" => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        "ipv4" => text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
        "ipv6" => text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(text),
        _ => true,
    }
}

fn is_uuid(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| *c != '-').collect();
    bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit())
}
