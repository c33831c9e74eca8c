//! JSONPath as printer columns use it: keys, indexes, `[*]`, and filters that compare one field with
//! a text. What it cannot read finds nothing.

use serde_json::Value;

/// Everything a path such as `.status.conditions[?(@.type=="Ready")].status` names.
pub fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}');
    rest = rest.strip_prefix('$').unwrap_or(rest);
    while !rest.is_empty() && !found.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing(inner) else { return Vec::new() };
            let step = &inner[..end];
            found = found.into_iter().flat_map(|value| bracket(value, step)).collect();
            rest = &inner[end + 1..];
        } else {
            let (name, after) = key(rest.strip_prefix('.').unwrap_or(rest));
            found = found.into_iter().filter_map(|value| value.get(name.as_str())).collect();
            rest = after;
        }
    }
    found
}

/// A value as a cell of text shows it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where the bracket that is open ends; brackets within quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (']', None) => return Some(at),
            _ => {}
        }
    }
    None
}

/// A key up to the next dot or bracket, and what follows; `\.` is a dot of the key.
fn key(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    if step == "*" {
        return match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
    }
    if let Some(filter) = step.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        let Some((field, wanted)) = filter.split_once("==") else { return Vec::new() };
        let (field, wanted) = (field.trim().trim_start_matches('@').to_owned(), unquoted(wanted));
        let items = value.as_array().into_iter().flatten();
        return items.filter(|item| find(item, &field).iter().any(|found| shown(found) == wanted)).collect();
    }
    if step.starts_with(['"', '\'']) {
        return value.get(unquoted(step)).into_iter().collect();
    }
    let Ok(index) = step.parse::<i64>() else { return Vec::new() };
    let count = value.as_array().map_or(0, Vec::len);
    let index =
        if index < 0 { count.checked_sub(index.unsigned_abs() as usize) } else { Some(index as usize) };
    index.and_then(|index| value.get(index)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::find;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({"a": {"b.c": [1, 2, 3]}, "l": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]});
        for (path, expected) in [
            (".a.b\\.c[0]", json!([1])),
            (".a['b.c'][-1]", json!([3])),
            (".a.b\\.c[*]", json!([1, 2, 3])),
            (".l[?(@.k==\"y\")].v", json!([2])),
            (".l[?(@.k==']')].v", json!([])),
            (".none.at.all", json!([])),
            (".a[", json!([])),
        ] {
            assert_eq!(json!(find(&object, path)), expected, "{path}");
        }
    }
}
