//! One simulated cluster as its owner sees it: made from a setup, seeded with objects, served over
//! any connection, watched by the fleet's own evaluator, and broken on purpose.
//! It never touches the network or the system clock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock, Weak};

use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::sim::api::access::Asked;
use crate::sim::api::clock::Clock;
use crate::sim::api::controllers;
use crate::sim::api::definitions;
use crate::sim::api::faults::Faults;
use crate::sim::api::object;
use crate::sim::api::openapi::{self, Documents};
use crate::sim::api::podlog::Logs;
use crate::sim::api::resources::{Catalog, Resource, ResourceId};
use crate::sim::api::server::Service;
use crate::sim::api::store::{Key, Store};
use crate::sim::rules::apply::{self, UpdateOptions};
use crate::sim::rules::rbac::Rights;
use crate::sim::rules::{kinds, schema};

/// What a cluster is made from.
pub struct ClusterSetup {
    /// Who may sign in.
    pub accounts: Vec<Account>,
    /// More resources than the built-in ones, such as ciliumnetworkpolicies.
    pub extra_resources: Vec<Resource>,
    /// Whether the usual controllers run: namespaces end, owners take their dependents along.
    pub controllers: bool,
    pub clock: Clock,
    /// Makes uids and generated names.
    pub seed: u64,
    /// Host and port as discovery tells it.
    pub address: String,
}

/// A person or a machine that may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub groups: Vec<String>,
    /// The uid a sign-in by token gives.
    pub uid: String,
    /// The bearer token; empty for none.
    pub token: String,
}

/// Who is at the other end of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The subject of the client certificate, if one was shown and its CA is ours.
    pub certificate: Option<CertName>,
}

/// The subject of a client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertName {
    /// The common name: the user.
    pub user: String,
    /// The organizations: the groups.
    pub groups: Vec<String>,
}

/// A port of a pod that somebody wants to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    pub namespace: String,
    pub pod: String,
    pub port: u16,
}

/// Answers port-forwards: the near end of a byte stream, or nothing if the pod does not listen.
pub type PortForward = Arc<dyn Fn(PodPort) -> Option<DuplexStream> + Send + Sync>;

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Watches end properly.
    Clean,
    /// Connections break.
    Killed,
}

/// One simulated API server. Clones are the same server.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

/// A cluster as its own background task holds it: without keeping it alive.
#[derive(Clone)]
pub struct WeakCluster(Weak<Inner>);

impl WeakCluster {
    pub fn upgrade(&self) -> Option<Cluster> {
        self.0.upgrade().map(Cluster)
    }
}

struct Inner {
    catalog: RwLock<Arc<Catalog>>,
    accounts: Vec<Account>,
    controllers: bool,
    started: Once,
    clock: Clock,
    address: String,
    store: Mutex<Store>,
    /// The newest version, for whoever waits for changes.
    changed: watch::Sender<u64>,
    /// How often the server was restarted, and how the last time.
    restarts: watch::Sender<(u64, Stop)>,
    faults: Mutex<Faults>,
    portforward: Mutex<Option<PortForward>>,
    logs: Mutex<Option<Logs>>,
    random: Mutex<fastrand::Rng>,
    /// Roles and bindings in force, and the version they were read at.
    rights: Mutex<(u64, Arc<Rights>)>,
    /// Each thing that anybody asked for.
    asked: Mutex<BTreeSet<Asked>>,
    /// The OpenAPI documents, and what they were made from.
    documents: Mutex<Option<(Arc<Catalog>, Arc<Documents>)>>,
}

impl Cluster {
    pub fn new(setup: ClusterSetup) -> Self {
        let store = Store::default();
        let (changed, _) = watch::channel(store.version());
        let (restarts, _) = watch::channel((0, Stop::Clean));
        Self(Arc::new(Inner {
            catalog: RwLock::new(Arc::new(Catalog::new(setup.extra_resources))),
            accounts: setup.accounts,
            controllers: setup.controllers,
            started: Once::new(),
            clock: setup.clock,
            address: setup.address,
            store: Mutex::new(store),
            changed,
            restarts,
            faults: Mutex::new(Faults::default()),
            portforward: Mutex::new(None),
            logs: Mutex::new(None),
            random: Mutex::new(fastrand::Rng::with_seed(setup.seed)),
            rights: Mutex::new((0, Arc::new(Rights::new([], [])))),
            asked: Mutex::default(),
            documents: Mutex::new(None),
        }))
    }

    /// Puts an object in as it is, without rights, defaults or validation, but with the metadata a
    /// server would give it. The same kind and name replaces what was there.
    ///
    /// # Panics
    /// If the object's kind is not served: that is a mistake of the scenario.
    pub fn seed(&self, mut object: Value) {
        let kind = object["kind"].as_str().unwrap_or_default();
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let id = self
            .catalog()
            .of_kind(api_version, kind)
            .unwrap_or_else(|| panic!("the scenario seeds {api_version} {kind}, which is not served"));
        if object::uid(&object).is_empty() {
            object::set_meta(&mut object, "uid", self.new_uid());
        }
        if object::meta(&object, "creationTimestamp").is_empty() {
            object::set_meta(&mut object, "creationTimestamp", self.clock().stamp());
        }
        let key = self.key(id, object::namespace(&object), object::name(&object));
        self.write(|store| store.put(key, object));
        if self.resource(id).kind == "CustomResourceDefinition" {
            definitions::settle_seeded(self);
        }
    }

    /// Puts a namespace in, Active and with its name as a label, as a server makes its own.
    pub fn seed_namespace(&self, name: &str) {
        let mut namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        });
        if let Some(kind) = schema::kind("v1", "Namespace") {
            let now = self.clock().stamp();
            let update = UpdateOptions { manager: "kube-apiserver", subresource: "", now: &now };
            apply::track_update(None, &mut namespace, &update, kind);
            kinds::complete_new(&mut namespace, kind);
        }
        self.seed(namespace);
    }

    /// Removes an object at once, as if it had never had finalizers.
    pub fn unseed(&self, api_version: &str, kind: &str, namespace: &str, name: &str) {
        if let Some(id) = self.catalog().of_kind(api_version, kind) {
            let key = self.key(id, namespace, name);
            self.write(|store| store.remove(&key));
        }
    }

    /// All objects of a kind as they are now, such as ("networking.k8s.io/v1", "NetworkPolicy").
    pub fn objects(&self, api_version: &str, kind: &str) -> Vec<Arc<Value>> {
        let Some(id) = self.catalog().of_kind(api_version, kind) else { return Vec::new() };
        let objects = self.store().list(self.storage(id), "").into_iter().map(|(_, object)| object).collect();
        self.views(id, objects)
    }

    /// All network policies as they are now.
    pub fn policies(&self) -> Vec<Arc<Value>> {
        self.objects("networking.k8s.io/v1", "NetworkPolicy")
    }

    /// Tells of every change: the value is the newest version. Read the objects anew when it moves.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.0.faults) = faults;
    }

    pub fn faults(&self) -> Faults {
        lock(&self.0.faults).clone()
    }

    /// Each thing that anybody asked for, once.
    pub fn asked(&self) -> BTreeSet<Asked> {
        lock(&self.0.asked).clone()
    }

    pub(super) fn note_asked(&self, asked: Asked) {
        lock(&self.0.asked).insert(asked);
    }

    /// Who answers port-forwards. Without it every kubelet refuses.
    pub fn set_portforward(&self, portforward: PortForward) {
        *lock(&self.0.portforward) = Some(portforward);
    }

    /// Who knows what containers print. Without it every kubelet refuses.
    pub fn set_logs(&self, logs: Logs) {
        *lock(&self.0.logs) = Some(logs);
    }

    pub(super) fn logs(&self) -> Option<Logs> {
        lock(&self.0.logs).clone()
    }

    pub(super) fn portforward(&self) -> Option<PortForward> {
        lock(&self.0.portforward).clone()
    }

    /// Serves one connection: give it to `hyper::server::conn::http1` with upgrades. The first call
    /// also starts the background tasks, so it must be made within the runtime.
    pub fn service(&self, peer: Peer) -> Service {
        self.0.started.call_once(|| {
            let weak = || WeakCluster(Arc::downgrade(&self.0));
            tokio::spawn(definitions::run(weak(), self.subscribe()));
            if self.0.controllers {
                tokio::spawn(controllers::run(weak(), self.subscribe()));
            }
        });
        Service::new(self.clone(), peer)
    }

    /// Stops and starts the server: open watches end, and none may go on from before.
    pub fn restart(&self, stop: Stop) {
        self.write(Store::expire_watches);
        self.0.restarts.send_modify(|(count, how)| {
            *count += 1;
            *how = stop;
        });
    }

    /// Forgets old versions, as etcd does every few minutes.
    pub fn compact(&self) {
        self.write(|store| {
            store.compact();
            store.skip_version();
        });
    }

    pub(super) fn restarts(&self) -> watch::Receiver<(u64, Stop)> {
        self.0.restarts.subscribe()
    }

    /// What is served now.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is served, and wakes the watches, some of which may have to end.
    pub(super) fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        {
            let mut catalog = self.0.catalog.write().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut catalog));
        }
        self.0.changed.send_modify(|_| {});
    }

    pub(super) fn resource(&self, id: ResourceId) -> Arc<Resource> {
        Arc::clone(self.catalog().get(id))
    }

    pub(super) fn storage(&self, id: ResourceId) -> ResourceId {
        self.catalog().storage(id)
    }

    /// Where an object of a resource is kept; an empty namespace means cluster scope.
    pub(super) fn key(&self, id: ResourceId, namespace: &str, name: &str) -> Key {
        Key::new(self.storage(id), namespace, name)
    }

    /// Stored objects as a version of their resource shows them.
    pub(super) fn views(&self, id: ResourceId, objects: Vec<Arc<Value>>) -> Vec<Arc<Value>> {
        let resource = self.resource(id);
        let version = resource.api_version();
        let view = |object: Arc<Value>| resource.view(&version, object);
        objects.into_iter().map(view).collect()
    }

    pub(super) fn accounts(&self) -> &[Account] {
        &self.0.accounts
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn address(&self) -> &str {
        &self.0.address
    }

    /// The store, to read.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.0.store)
    }

    /// Changes the store and tells everybody who waits.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let (result, version) = {
            let mut store = lock(&self.0.store);
            let result = change(&mut store);
            (result, store.version())
        };
        self.0.changed.send_if_modified(|known| {
            let moved = *known != version;
            *known = version;
            moved
        });
        result
    }

    /// The roles and bindings in force, read anew only when one changed.
    pub(super) fn rights(&self) -> Arc<Rights> {
        let catalog = self.catalog();
        let of = |plural: &str| catalog.find("rbac.authorization.k8s.io", "v1", plural);
        let store = self.store();
        let touched = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"]
            .into_iter()
            .filter_map(|plural| Some(store.touched(of(plural)?)))
            .max();
        let mut known = lock(&self.0.rights);
        if touched.unwrap_or(0) > known.0 {
            let read = |plurals: [&str; 2]| -> Vec<Value> {
                let lists = plurals.into_iter().filter_map(|plural| Some(store.list(of(plural)?, "")));
                lists.flatten().map(|(_, object)| Value::clone(&object)).collect()
            };
            let roles = read(["roles", "clusterroles"]);
            let bindings = read(["rolebindings", "clusterrolebindings"]);
            *known = (store.version(), Arc::new(Rights::new(roles, bindings)));
        }
        Arc::clone(&known.1)
    }

    /// The OpenAPI documents of what is served.
    pub(super) fn documents(&self) -> Arc<Documents> {
        let catalog = self.catalog();
        let mut made = lock(&self.0.documents);
        if let Some((from, documents)) = made.as_ref()
            && Arc::ptr_eq(from, &catalog)
        {
            return Arc::clone(documents);
        }
        let documents = Arc::new(openapi::documents(&catalog));
        *made = Some((catalog, Arc::clone(&documents)));
        documents
    }

    /// When the server started, as HTTP writes times.
    pub(super) fn started_http(&self) -> String {
        self.clock().start().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// The uid of the flow schema and priority level that every request falls under.
    pub(super) fn flow_uid(&self) -> String {
        "5f1c7a52-0000-4000-8000-000000000001".to_owned()
    }

    /// A uid in the form of a random UUID.
    pub(super) fn new_uid(&self) -> String {
        let bits = lock(&self.0.random).u128(..);
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            (bits >> 96) as u32,
            (bits >> 80) as u16,
            (bits >> 64) as u16 & 0xfff,
            (bits >> 48) as u16 & 0x3fff | 0x8000,
            bits as u64 & 0xffff_ffff_ffff
        )
    }

    /// The five characters a server puts after a generateName.
    pub(super) fn new_suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut random = lock(&self.0.random);
        (0..5).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
    }
}

/// A lock whose holders never panic while they hold it; if one did, its data still counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
