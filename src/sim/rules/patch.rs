//! Merge patches, JSON patches and strategic merge patches: body and live object in, new object out,
//! or the refusals of scenes 20, 41, 42 and 43. Applies are in [`super::apply`].

use serde_json::{Map, Value};

use super::decode::{self, Decoded, Validation};
use super::schema::{self, Field, Kind, Type};
use super::shape;
use super::tree::Tree;
use crate::sim::api::status::Status;

/// The sort of a patch, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Merge,
    Json,
    Strategic,
    Apply,
}

impl Sort {
    /// By the content type, parameters aside; None is 415.
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/json-patch+json" => Some(Self::Json),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// The live object with the patch done, read again as a body would be: shaped, with warnings,
/// without defaults. An apply is not a patch of this sort and is refused as a bug of the caller.
pub fn patch(
    live: &Value,
    body: &[u8],
    sort: Sort,
    kind: &Kind,
    validation: Validation,
) -> Result<Decoded, Status> {
    let patch = read(body, sort)?;
    let object = match sort {
        Sort::Merge => merge(live, &patch, kind)?,
        Sort::Json => json(live, &patch, kind)?,
        Sort::Strategic => strategic(live, &patch, kind)?,
        Sort::Apply => return Err(Status::internal("an apply went the way of the other patches")),
    };
    decode::patched(&object, &shown(live, &object, kind), kind, validation)
}

/// The body as JSON of the right form, or the 400 of scene 43.
fn read(body: &[u8], sort: Sort) -> Result<Value, Status> {
    let refuse = |said: String| Status::bad_request(format!("error decoding patch: {said}"));
    let tree = Tree::parse(body).map_err(refuse)?;
    let wanted = match (sort, &tree) {
        (Sort::Json, Tree::List(_)) | (Sort::Merge | Sort::Strategic | Sort::Apply, Tree::Map(_)) => {
            return Ok(tree.to_value());
        }
        (Sort::Json, _) => "[]handlers.jsonPatchOp",
        (Sort::Merge | Sort::Strategic | Sort::Apply, _) => "map[string]interface {}",
    };
    Err(refuse(format!("json: cannot unmarshal {} into Go value of type {wanted}", tree.sort())))
}

/// RFC 7386.
pub fn merge(live: &Value, patch: &Value, _kind: &Kind) -> Result<Value, Status> {
    let mut object = live.clone();
    json_patch::merge(&mut object, patch);
    Ok(object)
}

/// RFC 6902; whatever fails, the answer says nothing about it (scene 20).
pub fn json(live: &Value, patch: &Value, _kind: &Kind) -> Result<Value, Status> {
    let refuse = || {
        Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
            .with_details(Value::Object(Map::new()))
    };
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|_| refuse())?;
    let mut object = live.clone();
    json_patch::patch(&mut object, &operations).map_err(|_| refuse())?;
    Ok(object)
}

/// Kubernetes' own merge: lists with a key are merged by it, others replaced.
pub fn strategic(live: &Value, patch: &Value, kind: &Kind) -> Result<Value, Status> {
    Ok(merged(live, patch, &kind.root_type()))
}

fn merged(live: &Value, patch: &Value, ty: &Type) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut out = match patch.get("$patch").and_then(Value::as_str) {
        Some("replace" | "delete") => Map::new(),
        Some(_) | None => live.as_object().cloned().unwrap_or_default(),
    };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        out.retain(|key, _| kept.iter().any(|one| one == key));
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        let field = field(ty, key);
        let before = out.remove(key).unwrap_or(Value::Null);
        let after = match (value, field.and_then(|field| field.merge.as_deref())) {
            (Value::Null, _) => continue,
            (Value::Array(items), Some(merge_key)) => {
                let of = field.map_or(&Type::Any, |field| item_type(&field.ty));
                merged_list(&before, items, merge_key, of)
            }
            (Value::Object(_), _) => merged(&before, value, field.map_or(&Type::Any, |field| &field.ty)),
            _ => value.clone(),
        };
        out.insert(key.clone(), after);
    }
    for (key, gone) in patch {
        let Some(name) = key.strip_prefix("$deleteFromPrimitiveList/") else { continue };
        if let (Some(list), Some(gone)) = (out.get_mut(name).and_then(Value::as_array_mut), gone.as_array()) {
            list.retain(|item| !gone.contains(item));
        }
    }
    Value::Object(out)
}

fn merged_list(live: &Value, patch: &[Value], key: &str, of: &Type) -> Value {
    let mut out = live.as_array().cloned().unwrap_or_default();
    if patch.iter().any(|item| item["$patch"] == "replace") {
        out.clear();
    }
    for item in patch {
        let same = |own: &Value| if key.is_empty() { own == item } else { own[key] == item[key] };
        let at = out.iter().position(same);
        match (item["$patch"].as_str(), at) {
            (Some("replace"), _) if key.is_empty() || item[key].is_null() => {}
            (Some("delete"), Some(at)) => {
                out.remove(at);
            }
            (Some("delete"), None) => {}
            (_, Some(at)) => out[at] = merged(&out[at], item, of),
            (_, None) => out.push(merged(&Value::Null, item, of)),
        }
    }
    Value::Array(out)
}

fn field<'a>(ty: &'a Type, key: &str) -> Option<&'a Field> {
    match ty {
        Type::Struct(name) => schema::object(name).field(key),
        _ => None,
    }
}

fn item_type(ty: &Type) -> &Type {
    match ty {
        Type::List(of) => of,
        other => other,
    }
}

/// The patched object as text, as the server quotes it in a refusal: what the patch went through has
/// its keys sorted, what it left alone is in the order of the table (scene 41).
fn shown(live: &Value, patched: &Value, kind: &Kind) -> String {
    shown_at(live, patched, &kind.root_type(), true)
}

fn shown_at(live: &Value, patched: &Value, ty: &Type, outermost: bool) -> String {
    let Value::Object(map) = patched else { return patched.to_string() };
    if live == patched && !outermost {
        return shape::ordered_text(patched, ty);
    }
    let parts: Vec<String> = map
        .iter()
        .map(|(key, value)| {
            let of = field(ty, key).map_or(&Type::Any, |field| &field.ty);
            let text = if live[key] == *value {
                shape::ordered_text(value, of)
            } else {
                shown_at(&live[key], value, of, false)
            };
            format!("{}:{text}", Value::from(key.as_str()))
        })
        .collect();
    format!("{{{}}}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Sort, strategic};
    use crate::sim::rules::schema;

    fn done(live: Value, patch: Value) -> Value {
        let pod = schema::kind("v1", "Pod").expect("served");
        strategic(&live, &patch, pod).expect("a strategic patch of this form always works")
    }

    #[test]
    fn lists_with_a_key_are_merged_and_others_replaced() {
        let live = json!({"metadata": {"finalizers": ["a/b"]}, "spec": {"containers": [{"name": "a", "image": "1"},
            {"name": "b", "image": "2"}], "tolerations": [{"key": "x"}]}});
        let patch = json!({"metadata": {"finalizers": ["c/d"]}, "spec": {"$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": "9"}, {"name": "b", "$patch": "delete"}], "tolerations": []}});
        assert_eq!(
            done(live, patch),
            json!({"metadata": {"finalizers": ["a/b", "c/d"]},
                "spec": {"containers": [{"name": "a", "image": "9"}], "tolerations": []}})
        );
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        assert_eq!(
            done(
                json!({"spec": {"nodeSelector": {"a": "1"}, "hostname": "h"}}),
                json!({"spec": {"nodeSelector": {"$patch": "replace", "b": "2"}, "hostname": null}})
            ),
            json!({"spec": {"nodeSelector": {"b": "2"}}})
        );
        assert_eq!(
            done(
                json!({"metadata": {"finalizers": ["a/b", "c/d"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}})
            ),
            json!({"metadata": {"finalizers": ["c/d"]}})
        );
    }

    #[test]
    fn content_types_name_the_sort() {
        assert_eq!(Sort::of("application/merge-patch+json; charset=utf-8"), Some(Sort::Merge));
        assert_eq!(Sort::of("application/apply-patch+json"), None);
    }
}
