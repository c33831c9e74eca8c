//! Server-side apply, and the ownership that other writes take (scenes 30 to 33 and 40).
//! Order of decisions as in the real server: schema, conflicts, what is given up, who owns what.
//! Never touches resourceVersion, generation or names; the caller compares the result with the live
//! object and writes only if they differ.

use serde_json::{Value, json};

use super::fields::Set;
use super::managers::{Manager, Managers, Operation};
use super::schema::Kind;
use super::typed::{self, Comparison};
use super::{kinds, shape};
use crate::sim::api::status::Status;

/// Fields no manager ever owns.
const NOBODYS: [&[&str]; 10] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// How a body is applied.
pub struct ApplyOptions<'a> {
    pub manager: &'a str,
    pub force: bool,
    /// Such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, to the second.
    pub now: &'a str,
}

/// How another write is filed.
pub struct UpdateOptions<'a> {
    pub manager: &'a str,
    pub subresource: &'a str,
    pub now: &'a str,
}

/// The 500 for a body that does not fit its schema (scene 33), else nothing. Comes before the look
/// at the namespace and at the live object (scene 44).
pub fn check_schema(body: &Value, kind: &Kind) -> Result<(), Status> {
    if !body["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let misfits = typed::misfits(body, kind);
    let said = match &misfits[..] {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let of = |field: &str| body["metadata"][field].as_str().unwrap_or_default().to_owned();
    Err(Status::internal(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {said}",
        of("namespace"),
        of("name"),
        kind.api_version(),
        kind.kind
    )))
}

/// The object after an apply. Without a live object this is the new one, with defaults, but without
/// anything else the server gives a new object. Unchanged objects come back equal to the live one.
pub fn apply(
    live: Option<&Value>,
    body: &Value,
    options: &ApplyOptions<'_>,
    kind: &Kind,
) -> Result<Value, Status> {
    check_schema(body, kind)?;
    let (mut before, mut managers) = start(live, options, kind);
    let manager = Manager {
        name: options.manager.to_owned(),
        operation: Operation::Apply,
        api_version: kind.api_version(),
        subresource: options.subresource.to_owned(),
    };
    let last = managers.find(&manager).map(|owned| (owned.fields.clone(), owned.time.clone()));
    let (last, time) = last.unwrap_or_default();
    // What the body names counts as owned, even fields nobody owns in the end, while pruning.
    let mut named = typed::named_fields(body, kind);
    if let Some(metadata) = named.children.get_mut("f:metadata") {
        metadata.children.remove("f:managedFields");
    }
    managers.put(&manager, named.clone(), time.clone());
    let merged = typed::merge(&before, body, kind);
    let pruned = prune(&merged, &managers, &last, kind);
    let mut after = shape::tidy(&pruned, kind);
    after["apiVersion"] = json!(kind.api_version());
    after["kind"] = json!(kind.kind);
    kinds::default(&mut after, kind);
    // Compared before defaults, so that a default is nobody's.
    let changes = typed::compare(&before, &pruned, kind);
    // What this apply cannot change still counts as a change here: the time moves (scene 72).
    let same = changes.is_same();
    settle(&mut managers, &manager, &filtered(changes, options.subresource), options.force)?;
    let time = if same { time } else { Some(options.now.to_owned()) };
    managers.put(&manager, strip(named, options.subresource), time);
    if same && live.is_some() {
        after = std::mem::take(&mut before);
    }
    if options.manager == "kubectl" && options.subresource.is_empty() {
        keep_client_side_note(&mut after, body);
    }
    managers.write(&mut after);
    Ok(after)
}

/// An object that kubectl once applied from the client carries what was applied in an annotation. A
/// server-side apply by kubectl brings it up to date, so that going back to the client side works.
fn keep_client_side_note(object: &mut Value, body: &Value) {
    const NOTE: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let Some(note) = annotations.and_then(|annotations| annotations.get_mut(NOTE)) else { return };
    let mut applied = body.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(NOTE);
    }
    *note = json!(format!("{applied}\n"));
}

/// The live object without its `managedFields`, and those; an object nobody owns anything of is
/// taken to be made by `before-first-apply` (scene 32).
fn start(live: Option<&Value>, options: &ApplyOptions<'_>, kind: &Kind) -> (Value, Managers) {
    let empty = typed_empty(kind);
    let Some(live) = live else { return (empty, Managers::default()) };
    let mut managers = Managers::read(&live["metadata"]["managedFields"]).unwrap_or_default();
    let before = without_managers(live);
    if managers.0.is_empty() {
        let first = Manager {
            name: "before-first-apply".to_owned(),
            operation: Operation::Update,
            api_version: kind.api_version(),
            subresource: String::new(),
        };
        let all = filtered(typed::compare(&empty, &before, kind), "").set();
        managers.put(&first, strip(all, ""), Some(options.now.to_owned()));
    }
    (before, managers)
}

/// Files a create, replace or patch under its manager: it takes what it set, others lose it.
/// `new` is the object about to be stored; its `managedFields` are rewritten. Such writes never
/// conflict (scene 31). An object nobody owns anything of stays that way (scene 32).
pub fn track_update(old: Option<&Value>, new: &mut Value, options: &UpdateOptions<'_>, kind: &Kind) {
    let nothing = json!({});
    let mut managers = Managers::of_update(old.unwrap_or(&nothing), new, options.subresource);
    if old.is_some() && managers.0.is_empty() {
        managers.write(new);
        return;
    }
    let before = old.map_or_else(|| typed_empty(kind), without_managers);
    let mut after = without_managers(new);
    if let (None, Some(meta)) = (old, after["metadata"].as_object_mut()) {
        // A new object cannot bring these along; the server drops them (scene 20).
        meta.remove("deletionTimestamp");
        meta.remove("deletionGracePeriodSeconds");
    }
    let changes = filtered(typed::compare(&before, &after, kind), options.subresource);
    let taken = strip(changes.set(), options.subresource);
    for owned in &mut managers.0 {
        owned.fields = owned.fields.difference(&changes.set()).difference(&changes.removed);
    }
    let manager = Manager {
        name: options.manager.to_owned(),
        operation: Operation::Update,
        api_version: kind.api_version(),
        subresource: options.subresource.to_owned(),
    };
    if !taken.is_empty() {
        let earlier = managers.find(&manager).map(|owned| owned.fields.clone()).unwrap_or_default();
        managers.put(&manager, earlier.union(&taken), Some(options.now.to_owned()));
    }
    managers.write(new);
}

/// Takes out what this manager owned and no longer names, unless somebody else owns it. Fields of an
/// object given up as a whole go with it, owned or not, as in the real server.
fn prune(merged: &Value, managers: &Managers, last: &Set, kind: &Kind) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let with_parents = |set: &Set| typed::with_parents(set, kind);
    let all_of = |object: &Value| with_parents(&typed::named_fields(object, kind));
    let gone = typed::without(merged, &with_parents(last), kind);
    let mut owned = Set::default();
    for one in &managers.0 {
        owned = owned.union(&one.fields);
    }
    let kept = all_of(&gone).union(&with_parents(&owned));
    let everything = all_of(merged);
    let back = typed::without(merged, &everything.difference(&kept), kind);
    let missing = everything.difference(&all_of(&back)).intersection(&with_parents(last));
    typed::without(merged, &missing, kind)
}

/// Refuses what others own and this apply changes, or takes it from them.
fn settle(managers: &mut Managers, me: &Manager, changes: &Comparison, force: bool) -> Result<(), Status> {
    let set = changes.set();
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for owned in managers.0.iter().filter(|owned| owned.manager != *me) {
        let paths = owned.fields.intersection(&set).paths();
        if !paths.is_empty() {
            conflicts.push((owned.manager.shown(), paths));
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflict(conflicts));
    }
    for owned in managers.0.iter_mut().filter(|owned| owned.manager != *me) {
        owned.fields = owned.fields.difference(&set).difference(&changes.removed);
    }
    Ok(())
}

/// The 409 of scene 31: one cause a field, the message by manager.
fn conflict(mut conflicts: Vec<(String, Vec<String>)>) -> Status {
    conflicts.sort();
    let mut causes = Vec::new();
    let mut groups = Vec::new();
    for (manager, paths) in &conflicts {
        for path in paths {
            causes.push(json!({
                "reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path,
            }));
        }
        let lines: Vec<String> = paths.iter().map(|path| format!("\n- {path}")).collect();
        groups.push(format!("conflicts with {manager}:{}", lines.concat()));
    }
    let message = match (&conflicts[..], causes.len()) {
        ([(manager, paths)], 1) => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths.concat())
        }
        (_, count) => format!("Apply failed with {count} conflicts: {}", groups.join("\n")),
    };
    Status::new(409, "Conflict", message).with_details(json!({ "causes": causes }))
}

/// An object as ownership compares a new one with.
fn typed_empty(kind: &Kind) -> Value {
    shape::empty(kind)
}

fn without_managers(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(meta) = out["metadata"].as_object_mut() {
        meta.remove("managedFields");
    }
    out
}

/// Changes of parts this write cannot change do not count: the status through the object, the spec
/// through the status.
fn filtered(mut changes: Comparison, subresource: &str) -> Comparison {
    let other = if subresource.is_empty() { "f:status" } else { "f:spec" };
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        set.children.remove(other);
    }
    changes
}

fn strip(mut set: Set, subresource: &str) -> Set {
    let mut never = Set::default();
    for path in NOBODYS {
        let path: Vec<String> = path.iter().map(|name| format!("f:{name}")).collect();
        never.insert(&path);
    }
    never.insert(&["f:metadata".to_owned()]);
    set.children.remove(if subresource.is_empty() { "f:status" } else { "f:spec" });
    set.difference(&never)
}
