//! What etcd and the watch cache are to a real cluster: objects by key, one counter of versions,
//! and a bounded log of changes from which watches replay and old lists are rebuilt.
//! It never validates; it stamps resourceVersions and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::sim::api::object;
use crate::sim::api::resources::ResourceId;

/// Changes kept for replay. Older ones are expired, as a real watch cache does.
const LOG_LENGTH: usize = 20_000;
/// The version a fresh cluster starts from; real ones have written a few hundred by then.
const FIRST_VERSION: u64 = 230;

/// Where an object lives: its resource, and `namespace/name` (or the name alone).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub resource: ResourceId,
    pub path: String,
}

impl Key {
    /// The key of an object; an empty namespace means cluster scope.
    pub fn new(resource: ResourceId, namespace: &str, name: &str) -> Self {
        let path = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        Self { resource, path }
    }
}

/// How an object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub struct Event {
    pub version: u64,
    pub key: Key,
    pub change: Change,
    /// The object after the change; of a delete, its last state under the delete's version.
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
}

/// The version asked for is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

/// All objects of one cluster.
#[derive(Debug)]
pub struct Store {
    version: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Event>,
    /// The version of the last change of each resource.
    touched: BTreeMap<ResourceId, u64>,
    /// Lists and pages from before this version are gone.
    compacted: u64,
    /// Watches from before this version are gone.
    watchable: u64,
}

impl Default for Store {
    fn default() -> Self {
        let version = FIRST_VERSION;
        Self {
            version,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            touched: BTreeMap::new(),
            compacted: 0,
            watchable: 1,
        }
    }
}

impl Store {
    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The oldest version a watch may start from.
    pub fn watchable(&self) -> u64 {
        self.watchable
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Stores an object under a new resourceVersion, and returns it as stored.
    pub fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object::set_meta(&mut object, "resourceVersion", self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.note(Event { version: self.version, key, change, object: Arc::clone(&object), before });
        object
    }

    /// Removes an object, and returns its last state under the version of the delete.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut last = Value::clone(&before);
        object::set_meta(&mut last, "resourceVersion", self.version.to_string());
        let object = Arc::new(last);
        self.note(Event {
            version: self.version,
            key: key.clone(),
            change: Change::Deleted,
            object: Arc::clone(&object),
            before: Some(before),
        });
        Some(object)
    }

    fn note(&mut self, event: Event) {
        self.touched.insert(event.key.resource, event.version);
        self.log.push_back(event);
        if self.log.len() > LOG_LENGTH
            && let Some(oldest) = self.log.pop_front()
        {
            self.compacted = self.compacted.max(oldest.version);
            self.watchable = self.watchable.max(oldest.version);
        }
    }

    /// The objects of a resource in key order, of one namespace or (empty) of all.
    pub fn list(&self, resource: ResourceId, namespace: &str) -> Vec<(&str, Arc<Value>)> {
        let first = Key { resource, path: prefix(namespace) };
        self.objects
            .range(first..)
            .take_while(|(key, _)| key.resource == resource && in_namespace(key, namespace))
            .map(|(key, object)| (key.path.as_str(), Arc::clone(object)))
            .collect()
    }

    /// The same as it was at an earlier version.
    pub fn list_at(
        &self,
        resource: ResourceId,
        namespace: &str,
        version: u64,
    ) -> Result<Vec<(String, Arc<Value>)>, Expired> {
        if version < self.compacted {
            return Err(Expired);
        }
        let mut then: BTreeMap<String, Arc<Value>> =
            self.list(resource, namespace).into_iter().map(|(path, o)| (path.to_owned(), o)).collect();
        for event in self.log.iter().rev().take_while(|e| e.version > version) {
            if event.key.resource != resource || !in_namespace(&event.key, namespace) {
                continue;
            }
            match &event.before {
                Some(before) => then.insert(event.key.path.clone(), Arc::clone(before)),
                None => then.remove(&event.key.path),
            };
        }
        Ok(then.into_iter().collect())
    }

    /// The changes of a resource after a version, oldest first.
    pub fn since(&self, resource: ResourceId, namespace: &str, version: u64) -> Vec<Event> {
        let from = self.log.partition_point(|e| e.version <= version);
        self.log
            .range(from..)
            .filter(|e| e.key.resource == resource && in_namespace(&e.key, namespace))
            .cloned()
            .collect()
    }

    /// The changes of everything after a version, oldest first.
    pub fn since_all(&self, version: u64) -> Vec<Event> {
        let from = self.log.partition_point(|e| e.version <= version);
        self.log.range(from..).cloned().collect()
    }

    /// The version of the last change of a resource; 0 if it never had one.
    pub fn touched(&self, resource: ResourceId) -> u64 {
        self.touched.get(&resource).copied().unwrap_or(0)
    }

    /// Forgets the versions before the current one.
    pub fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// What a restarted server does to watches: none may start from before it.
    pub fn expire_watches(&mut self) {
        self.watchable = self.version;
    }

    /// Takes a version without a change, as writes a client never sees do.
    pub fn skip_version(&mut self) {
        self.version += 1;
    }
}

fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}

fn in_namespace(key: &Key, namespace: &str) -> bool {
    namespace.is_empty() || key.path.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Change, Expired, Key, Store};
    use crate::sim::api::resources::Catalog;

    fn key(namespace: &str, name: &str) -> Key {
        let catalog = Catalog::new(Vec::new());
        let id = catalog.find("", "v1", "configmaps").expect("config maps are served");
        Key::new(id, namespace, name)
    }

    #[test]
    fn a_list_of_an_earlier_version_is_rebuilt_from_the_log() {
        let mut store = Store::default();
        let (a, b) = (key("shop", "a"), key("shop", "b"));
        store.put(a.clone(), json!({"metadata": {"name": "a"}, "data": {"v": "1"}}));
        let then = store.version();
        store.put(a.clone(), json!({"metadata": {"name": "a"}, "data": {"v": "2"}}));
        store.put(b, json!({"metadata": {"name": "b"}}));
        store.remove(&a);

        let old = store.list_at(a.resource, "shop", then).expect("the version is kept");
        assert_eq!(old.len(), 1);
        assert_eq!(old[0].1["data"]["v"], "1");
        let now: Vec<&str> = store.list(a.resource, "shop").iter().map(|(path, _)| *path).collect();
        assert_eq!(now, ["shop/b"]);
    }

    #[test]
    fn a_delete_is_an_event_of_its_own_version() {
        let mut store = Store::default();
        let a = key("shop", "a");
        store.put(a.clone(), json!({"metadata": {"name": "a"}}));
        let before = store.version();
        store.remove(&a);
        let events = store.since(a.resource, "", before);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].change, Change::Deleted);
        assert_eq!(events[0].object["metadata"]["resourceVersion"], (before + 1).to_string());
    }

    #[test]
    fn after_a_compaction_older_lists_are_gone() {
        let mut store = Store::default();
        let a = key("shop", "a");
        store.put(a.clone(), json!({"metadata": {"name": "a"}}));
        let then = store.version();
        store.put(a.clone(), json!({"metadata": {"name": "a"}, "data": {}}));
        store.compact();
        assert_eq!(store.list_at(a.resource, "", then).unwrap_err(), Expired);
    }

    #[test]
    fn a_namespace_whose_name_begins_like_another_is_another() {
        let mut store = Store::default();
        for (namespace, name) in [("a", "x"), ("a-b", "y"), ("ab", "z")] {
            store.put(key(namespace, name), json!({"metadata": {"name": name}}));
        }
        let a = key("a", "x");
        let names: Vec<&str> = store.list(a.resource, "a").iter().map(|(path, _)| *path).collect();
        assert_eq!(names, ["a/x"]);
    }
}
