//! Recorded against answered: values with placeholders, bound once and the same ever after.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What placeholders stand for in one run of one scene.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    values: BTreeMap<String, Bound>,
    /// The last time seen at a JSON path, for requests that send it back.
    times: BTreeMap<String, String>,
    /// The answer at hand is a list, a table or a bookmark: its own version may be later.
    pub is_list: bool,
}

#[derive(Debug, Clone)]
struct Bound {
    value: String,
    /// Seen only where a later version would be right too.
    loose: bool,
}

/// A piece of recorded text.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Hole { kind: &'a str, whole: &'a str },
}

const KINDS: [&str; 15] = [
    "uid",
    "rv",
    "time",
    "microtime",
    "continue",
    "etag",
    "hash",
    "hex",
    "rand",
    "age",
    "token",
    "server",
    "certificate",
    "n",
    "audit-id",
];

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = text[from..].find('<').map(|i| from + i) {
        let Some(close) = text[open..].find('>').map(|i| open + i) else { break };
        let inner = &text[open + 1..close];
        let kind = inner.split(':').next().unwrap_or_default();
        if KINDS.contains(&kind) {
            if start < open {
                found.push(Piece::Text(&text[start..open]));
            }
            found.push(Piece::Hole { kind, whole: &text[open..=close] });
            start = close + 1;
            from = start;
        } else {
            from = open + 1;
        }
    }
    if start < text.len() {
        found.push(Piece::Text(&text[start..]));
    }
    found
}

impl Bindings {
    /// Puts bound values into a recorded request.
    pub fn fill(&self, text: &str, path: &str) -> String {
        let filled = pieces(text).into_iter().map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Hole { kind: "token", whole } => whole.trim_matches(['<', '>']).replace(':', "-"),
            Piece::Hole { kind: "time" | "microtime", whole } => {
                self.times.get(path).cloned().unwrap_or_else(|| whole.to_owned())
            }
            Piece::Hole { whole, .. } => {
                self.values.get(whole).map_or_else(|| whole.to_owned(), |b| b.value.clone())
            }
        });
        filled.collect()
    }

    /// Remembers every time of an answer by its path.
    pub fn note_times(&mut self, value: &Value, path: &str) {
        match value {
            Value::String(text) if looks_like_time(text) => {
                self.times.insert(path.to_owned(), text.clone());
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.note_times(item, &format!("{path}/{i}"));
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.note_times(field, &format!("{path}/{key}"));
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What the scene's versions came out as must rise as recorded.
    pub fn check_order(&self, order: &[String]) -> Vec<String> {
        let bound: Vec<(&String, u64, bool)> = order
            .iter()
            .filter_map(|p| {
                let bound = self.values.get(p)?;
                Some((p, bound.value.parse().ok()?, bound.loose))
            })
            .collect();
        let strict: Vec<&(&String, u64, bool)> = bound.iter().filter(|(_, _, loose)| !loose).collect();
        strict
            .windows(2)
            .filter(|pair| pair[0].1 >= pair[1].1)
            .map(|pair| format!("{} is {}, not before {} = {}", pair[0].0, pair[0].1, pair[1].0, pair[1].1))
            .collect()
    }

    fn bind(&mut self, whole: &str, kind: &str, actual: &str, loose: bool) -> bool {
        if !whole.contains(':') {
            return true;
        }
        if let Some(bound) = self.values.get_mut(whole) {
            if bound.value == actual {
                bound.loose &= loose;
                return true;
            }
            if kind != "rv" {
                return kind == "continue";
            }
            let (Ok(was), Ok(is)) = (bound.value.parse::<u64>(), actual.parse::<u64>()) else { return false };
            if loose {
                return is >= was;
            }
            if bound.loose && is <= was {
                *bound = Bound { value: actual.to_owned(), loose: false };
                return true;
            }
            return false;
        }
        let taken = self.values.iter().any(|(p, b)| p.starts_with("<uid") && b.value == actual);
        if kind == "uid" && taken {
            return false;
        }
        self.values.insert(whole.to_owned(), Bound { value: actual.to_owned(), loose });
        true
    }
}

fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && text.ends_with('Z')
}

/// How far a hole reaches into the actual text; nothing if its kind does not fit.
fn reach(kind: &str, rest: &str, next: Option<&str>) -> Option<usize> {
    let while_in = |ok: fn(char) -> bool| rest.find(|c| !ok(c)).unwrap_or(rest.len());
    let length = match kind {
        "uid" | "audit-id" => 36,
        "rand" => 5,
        "time" | "microtime" => rest.find('Z')? + 1,
        "rv" | "n" => while_in(|c| c.is_ascii_digit()),
        "age" => while_in(|c| c.is_ascii_alphanumeric()),
        "continue" => while_in(|c| c.is_ascii_alphanumeric() || "-_=".contains(c)),
        _ => next.map_or(Some(rest.len()), |text| rest.find(text))?,
    };
    let text = rest.get(..length)?;
    let fits = match kind {
        "time" => looks_like_time(text) && text.len() == 20,
        "microtime" => looks_like_time(text) && text.len() == 27,
        _ => !text.is_empty(),
    };
    fits.then_some(length)
}

/// Compares text; `loose` where a later version is right too.
pub fn text(expected: &str, actual: &str, loose: bool, bindings: &mut Bindings) -> bool {
    let pieces = pieces(expected);
    let mut rest = actual;
    let mut bound = bindings.clone();
    for (i, piece) in pieces.iter().enumerate() {
        let taken = match piece {
            Piece::Text(text) => {
                if !rest.starts_with(text) {
                    return false;
                }
                text.len()
            }
            Piece::Hole { kind, whole } => {
                let next = pieces.get(i + 1).and_then(|p| match p {
                    Piece::Text(text) => Some(*text),
                    Piece::Hole { .. } => None,
                });
                let Some(length) = reach(kind, rest, next) else { return false };
                if !bound.bind(whole, kind, &rest[..length], loose) {
                    return false;
                }
                length
            }
        };
        rest = &rest[taken..];
    }
    if rest.is_empty() {
        *bindings = bound;
    }
    rest.is_empty()
}

/// Compares values; returns one line for each difference.
pub fn value(expected: &Value, actual: &Value, path: &str, bindings: &mut Bindings) -> Vec<String> {
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(got)) => {
            let wanted: Map<String, Value> =
                wanted.iter().map(|(key, field)| (bindings.fill(key, ""), field.clone())).collect();
            let mut keys: Vec<&String> = wanted.keys().chain(got.keys()).collect();
            keys.sort();
            keys.dedup();
            let mut lines = Vec::new();
            for key in keys {
                let at = format!("{path}/{key}");
                match (wanted.get(key), got.get(key)) {
                    (Some(_), Some(_)) if is_data(&at) => {}
                    (Some(a), Some(b)) if is_set(key) => lines.extend(set(a, b, &at, bindings)),
                    (Some(a), Some(b)) => lines.extend(value(a, b, &at, bindings)),
                    (Some(a), None) => lines.push(format!("{at}: missing {}", short(a))),
                    (None, Some(b)) => lines.push(format!("{at}: not recorded, got {}", short(b))),
                    (None, None) => {}
                }
            }
            lines
        }
        (Value::Array(wanted), Value::Array(got)) => array(wanted, got, path, bindings),
        (Value::String(wanted), Value::String(got)) => {
            if text(wanted, got, is_loose(path, bindings.is_list), bindings) {
                Vec::new()
            } else {
                let bound = bindings.fill(wanted, "");
                let bound = if &bound == wanted { String::new() } else { format!(" (that is {bound:?})") };
                vec![format!("{path}: recorded {wanted:?}{bound}\n{:>12} {got:?}", "got")]
            }
        }
        (a, b) if a == b => Vec::new(),
        (a, b) => vec![format!("{path}: recorded {}, got {}", short(a), short(b))],
    }
}

fn array(wanted: &[Value], got: &[Value], path: &str, bindings: &mut Bindings) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = 0;
    for item in wanted {
        if let Some(count) = elided(item) {
            at += count;
            continue;
        }
        match got.get(at) {
            Some(actual) => lines.extend(value(item, actual, &format!("{path}/{at}"), bindings)),
            None => lines.push(format!("{path}/{at}: missing {}", short(item))),
        }
        at += 1;
    }
    for (i, extra) in got.iter().enumerate().skip(at) {
        lines.push(format!("{path}/{i}: not recorded, got {}", short(extra)));
    }
    lines
}

/// How many items or events were left out here.
pub fn elided(item: &Value) -> Option<usize> {
    item.as_str()?.strip_prefix("<elided:")?.strip_suffix('>')?.parse().ok()
}

/// Lists whose order means nothing.
fn is_set(key: &str) -> bool {
    matches!(key, "managedFields" | "causes" | "resourceRules" | "nonResourceRules")
}

/// Texts that are data of a version and not rules.
fn is_data(path: &str) -> bool {
    path.contains("columnDefinitions") && path.ends_with("/description")
}

/// Where a later resourceVersion than the recorded one is right too.
fn is_loose(path: &str, is_list: bool) -> bool {
    let own_version = matches!(path, "/metadata/resourceVersion" | "/object/metadata/resourceVersion");
    path.ends_with("/message") || (is_list && own_version)
}

fn set(wanted: &Value, got: &Value, path: &str, bindings: &mut Bindings) -> Vec<String> {
    let (Value::Array(wanted), Value::Array(got)) = (wanted, got) else {
        return value(wanted, got, path, bindings);
    };
    let mut left: Vec<&Value> = got.iter().collect();
    let mut lines = Vec::new();
    for item in wanted {
        let found = left.iter().position(|candidate| {
            let mut trial = bindings.clone();
            let fits = value(item, candidate, path, &mut trial).is_empty();
            if fits {
                *bindings = trial;
            }
            fits
        });
        match found {
            Some(index) => drop(left.remove(index)),
            None => lines.push(format!("{path}: missing {}", short(item))),
        }
    }
    lines.extend(left.iter().map(|extra| format!("{path}: not recorded, got {}", short(extra))));
    lines
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 600 {
        text
    } else {
        format!("{}…", text.chars().take(600).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::{Bindings, text};

    #[test]
    fn placeholders_bind_once() {
        let mut bindings = Bindings::default();
        assert!(text("at <rv:1> (<rv:2>)", "at 12 (14)", false, &mut bindings));
        assert!(text("<rv:1>", "12", false, &mut bindings));
        assert!(!text("<rv:1>", "13", false, &mut bindings));
        assert!(text("<none>", "<none>", false, &mut bindings));
        assert_eq!(bindings.fill("x=<rv:2>", ""), "x=14");
    }
}
