//! `metadata.managedFields`: who owns which fields, read and written in the server's form and order.
//! It knows nothing about schemas; applying and updating are in [`super::apply`].

use serde_json::{Map, Value, json};

use super::fields::Set;

/// More updaters than this are folded into one, the oldest first.
const UPDATERS: usize = 10;
/// The entry they are folded into.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes. Apply and Update of one name are two managers (scene 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// Who owns fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    /// Tells updaters apart, not appliers.
    pub api_version: String,
    pub subresource: String,
}

impl Manager {
    fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As a conflict names it.
    pub fn shown(&self) -> String {
        let mut out = super::errors::quote(&self.name);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", super::errors::quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    pub manager: Manager,
    /// RFC 3339; absent where an apply changed no value (scene 31).
    pub time: Option<String>,
    pub fields: Set,
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managers(pub Vec<Owned>);

impl Managers {
    /// Reads `managedFields`; None where an entry is not one.
    pub fn read(list: &Value) -> Option<Self> {
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().map(read_entry).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The entries an update starts from: those sent, unless they are empty or malformed, then those
    /// stored. A list that is empty, or holds one empty entry, takes all away (scene 32).
    pub fn of_update(old: &Value, new: &Value, subresource: &str) -> Self {
        let stored = || Self::read(&old["metadata"]["managedFields"]).unwrap_or_default();
        let sent = &new["metadata"]["managedFields"];
        if !subresource.is_empty() {
            return stored();
        }
        match sent.as_array().map(Vec::as_slice) {
            Some([]) => Self::default(),
            Some([one]) if one.as_object().is_some_and(Map::is_empty) => Self::default(),
            Some(_) => Self::read(sent).unwrap_or_else(stored),
            None => stored(),
        }
    }

    /// The entry of a manager.
    pub fn find(&mut self, manager: &Manager) -> Option<&mut Owned> {
        self.0.iter_mut().find(|owned| owned.manager.is(manager))
    }

    /// Gives a manager an entry, or takes it away if the set is empty.
    pub fn put(&mut self, manager: &Manager, fields: Set, time: Option<String>) {
        self.0.retain(|owned| !owned.manager.is(manager));
        if !fields.is_empty() {
            self.0.push(Owned { manager: manager.clone(), time, fields });
        }
    }

    /// Puts the list into the object, or takes it out where nobody owns anything.
    pub fn write(mut self, object: &mut Value) {
        self.0.retain(|owned| !owned.fields.is_empty());
        self.fold_oldest();
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
        let Some(meta) = object["metadata"].as_object_mut() else { return };
        if self.0.is_empty() {
            meta.remove("managedFields");
        } else {
            meta.insert("managedFields".to_owned(), self.0.iter().map(write_entry).collect());
        }
    }

    fn fold_oldest(&mut self) {
        let is_updater = |owned: &Owned| owned.manager.operation == Operation::Update;
        let surplus = self.0.iter().filter(|owned| is_updater(owned)).count().saturating_sub(UPDATERS);
        if surplus == 0 {
            return;
        }
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
        // The entry that stays for them counts too.
        let stays = usize::from(self.0.iter().all(|owned| owned.manager.name != ANCIENT));
        for _ in 0..surplus + stays {
            let oldest = self.0.iter().position(|owned| is_updater(owned) && owned.manager.name != ANCIENT);
            let Some(oldest) = oldest.map(|at| self.0.remove(at)) else { return };
            let ancient = Manager { name: ANCIENT.to_owned(), ..oldest.manager.clone() };
            match self.find(&ancient) {
                Some(owned) => owned.fields = owned.fields.union(&oldest.fields),
                None => self.0.push(Owned { manager: ancient, ..oldest }),
            }
        }
    }
}

fn order(owned: &Owned) -> (Operation, &str, &str, &str) {
    let time = owned.time.as_deref().unwrap_or_default();
    (owned.manager.operation, time, &owned.manager.name, &owned.manager.subresource)
}

fn read_entry(entry: &Value) -> Option<Owned> {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let operation = match entry["operation"].as_str()? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let manager = Manager {
        name: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
    };
    let time = entry["time"].as_str().map(str::to_owned);
    Some(Owned { manager, time, fields: Set::read(&entry["fieldsV1"]) })
}

fn write_entry(owned: &Owned) -> Value {
    let mut out = json!({
        "manager": owned.manager.name,
        "operation": match owned.manager.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
        "apiVersion": owned.manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.fields.write(),
    });
    if let Some(time) = &owned.time {
        out["time"] = json!(time);
    }
    if !owned.manager.subresource.is_empty() {
        out["subresource"] = json!(owned.manager.subresource);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Manager, Managers, Operation};
    use crate::sim::rules::fields::Set;

    #[test]
    fn the_eleventh_updater_folds_the_oldest_one() {
        let mut all = Managers::default();
        for number in 0..12 {
            let manager = Manager {
                name: format!("m{number:02}"),
                operation: Operation::Update,
                api_version: "v1".to_owned(),
                subresource: String::new(),
            };
            let fields = Set::read(&json!({format!("f:a{number:02}"): {}}));
            all.put(&manager, fields, Some(format!("2026-01-01T00:00:{number:02}Z")));
        }
        let mut object = json!({"metadata": {}});
        all.write(&mut object);
        let list = object["metadata"]["managedFields"].as_array().expect("a list");
        assert_eq!(list.len(), 10);
        assert_eq!(list[0]["manager"], "ancient-changes");
        assert_eq!(list[0]["fieldsV1"], json!({"f:a00": {}, "f:a01": {}, "f:a02": {}}));
    }
}
