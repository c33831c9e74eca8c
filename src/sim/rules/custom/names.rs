//! The conditions in a definition's status: whether its names are free in its group, whether it is
//! in force, and how it ends. Words as in scene 70.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::crd;

/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// A condition's status word; empty if there is none.
pub fn condition<'a>(definition: &'a Value, sort: &str) -> &'a str {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .find(|one| one["type"] == sort)
        .map_or("", |one| one["status"].as_str().unwrap_or_default())
}

/// Whether its resources are served.
pub fn is_established(definition: &Value) -> bool {
    condition(definition, "Established") == "True"
}

/// The definition with names accepted as far as no other of its group has them.
pub fn accept(definition: &Value, others: &[&Value], now: &str) -> Value {
    let mut out = definition.clone();
    let wanted = &definition["spec"]["names"];
    let mut accepted = definition["status"]["acceptedNames"].clone();
    let taken = Taken::of(definition, others);
    let mut refusal: Option<(&str, String)> = None;
    for (field, reason, in_use) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let names: Vec<&str> = match &wanted[field] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            name => name.as_str().into_iter().collect(),
        };
        let clashes: Vec<String> = names
            .iter()
            .filter(|name| in_use.contains(**name) && !holds(&accepted[field], name))
            .map(|name| format!("\"{name}\" is already in use"))
            .collect();
        if clashes.is_empty() {
            copy(wanted, &mut accepted, field);
        } else {
            let all = clashes.join(", ");
            refusal = Some((reason, if clashes.len() > 1 { format!("[{all}]") } else { all }));
        }
    }
    copy(wanted, &mut accepted, "categories");
    out["status"]["acceptedNames"] = accepted;
    match &refusal {
        Some((reason, said)) => set(&mut out, "NamesAccepted", "False", reason, said, now),
        None => set(&mut out, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
    }
    if !is_established(&out) {
        let (reason, said) = match refusal {
            None => ("Installing", "the initial names have been accepted"),
            Some(_) => ("NotAccepted", "not all names are accepted"),
        };
        set(&mut out, "Established", "False", reason, said, now);
    }
    note_stored(&mut out);
    out
}

/// The definition in force.
pub fn establish(definition: &Value, now: &str) -> Value {
    let mut out = definition.clone();
    set(&mut out, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now);
    out
}

/// The definition as a delete leaves it: it goes once its objects are gone.
pub fn mark_ending(definition: &mut Value, now: &str) {
    let said = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set(definition, "Terminating", "True", "InstanceDeletionPending", said, now);
}

/// The definition while its objects are deleted.
pub fn note_cleaning(definition: &mut Value, now: &str) {
    let said = "CustomResource deletion is in progress";
    set(definition, "Terminating", "True", "InstanceDeletionInProgress", said, now);
}

/// Names other definitions of the group have.
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    fn of(definition: &Value, others: &[&Value]) -> Self {
        let mut taken = Self { resources: BTreeSet::new(), kinds: BTreeSet::new() };
        let group = &definition["spec"]["group"];
        let name = &definition["metadata"]["name"];
        for other in others.iter().filter(|o| o["spec"]["group"] == *group && o["metadata"]["name"] != *name)
        {
            let names = &other["status"]["acceptedNames"];
            let text = |field: &str| names[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let short = names["shortNames"].as_array().into_iter().flatten();
            taken.resources.extend(text("plural").into_iter().chain(text("singular")));
            taken.resources.extend(short.filter_map(|name| name.as_str().map(str::to_owned)));
            taken.kinds.extend(text("kind").into_iter().chain(text("listKind")));
        }
        taken
    }
}

fn holds(accepted: &Value, name: &str) -> bool {
    accepted == name || accepted.as_array().is_some_and(|names| names.iter().any(|one| one == name))
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => drop(to.as_object_mut().map(|fields| fields.remove(field))),
    }
}

/// Every version objects were ever stored in is remembered.
fn note_stored(definition: &mut Value) {
    let Some(version) = crd::storage_version(definition).map(str::to_owned) else { return };
    match definition["status"]["storedVersions"].as_array_mut() {
        Some(stored) if stored.iter().any(|one| *one == version) => {}
        Some(stored) => stored.push(json!(version)),
        None => definition["status"]["storedVersions"] = json!([version]),
    }
}

fn set(definition: &mut Value, sort: &str, status: &str, reason: &str, message: &str, now: &str) {
    let slot = &mut definition["status"]["conditions"];
    if !slot.is_array() {
        *slot = json!([]);
    }
    let Some(conditions) = slot.as_array_mut() else { return };
    let mut new = json!({
        "type": sort, "status": status, "lastTransitionTime": now, "reason": reason, "message": message,
    });
    match conditions.iter_mut().find(|one| one["type"] == sort) {
        Some(old) => {
            if old["status"] == status {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}
