//! What was read of a cluster for its pre-flight, as small types of our own: objects with the fields
//! that some check needs. Each list may be unknown, with its reason; then only what depends on it is
//! unknown, too. Filled by the API's reader or from manifest files; nothing here asks anybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::domain::{
    names::{NsName, Text, in_scope},
    time::Timestamp,
};

/// What could be read, or why it could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    Read(T),
    Unknown(Text),
}

impl<T> Known<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Read(value) => Known::Read(change(value)),
            Self::Unknown(why) => Known::Unknown(why),
        }
    }

    pub fn as_ref(&self) -> Known<&T> {
        match self {
            Self::Read(value) => Known::Read(value),
            Self::Unknown(why) => Known::Unknown(why.clone()),
        }
    }

    /// Why it is unknown.
    pub fn why(&self) -> Option<&Text> {
        match self {
            Self::Read(_) => None,
            Self::Unknown(why) => Some(why),
        }
    }
}

impl<T> Known<Vec<T>> {
    /// What was read; nothing where it is unknown.
    pub fn list(&self) -> &[T] {
        match self {
            Self::Read(list) => list,
            Self::Unknown(_) => &[],
        }
    }
}

pub type Pairs = BTreeMap<String, String>;

/// A reference to an object; `ns` is empty where it has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    pub kind: Text,
    pub ns: Text,
    pub name: Text,
}

impl Object {
    pub fn new(kind: &str, ns: &str, name: &str) -> Self {
        Self { kind: Text::new(kind), ns: Text::new(ns), name: Text::new(name) }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ns.is_empty() {
            true => write!(f, "{} {}", self.kind, self.name),
            false => write!(f, "{} {}/{}", self.kind, self.ns, self.name),
        }
    }
}

/// A DaemonSet, Deployment or StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub object: Object,
    pub labels: Pairs,
    pub pod_labels: Pairs,
    pub containers: Vec<Container>,
    pub host_network: bool,
    /// Nodes (or replicas) that should run it; `None`: not told, as in a manifest file.
    pub desired: Option<u32>,
    pub ready: Option<u32>,
    /// Labels that a node must have.
    pub node_selector: Pairs,
    /// ConfigMaps among its volumes.
    pub config_maps: Vec<String>,
}

impl Workload {
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Does this label selector pick its pods? An empty one picks none, as in a Service.
    pub fn is_selected(&self, selector: &Pairs) -> bool {
        !selector.is_empty() && selector.iter().all(|(key, value)| self.pod_labels.get(key) == Some(value))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub image: String,
    /// Command and arguments.
    pub words: Vec<String>,
    /// `None`: a value that comes from elsewhere (a Secret, a field of the pod).
    pub env: BTreeMap<String, Option<String>>,
}

impl Container {
    /// Value of `--flag=value` or `--flag value`; a bare flag is "true".
    pub fn flag(&self, flag: &str) -> Option<&str> {
        let mut words = self.words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            match word.strip_prefix(flag) {
                Some("") => {
                    return Some(match words.peek() {
                        Some(value) if !value.starts_with('-') => value,
                        Some(_) | None => "true",
                    });
                }
                Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
                Some(_) | None => {}
            }
        }
        None
    }

    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name)?.as_deref()
    }

    /// The image's tag, without a digest.
    pub fn tag(&self) -> Option<&str> {
        let image = self.image.split('@').next()?;
        let (_, tag) = image.rsplit_once(':')?;
        (!tag.contains('/') && !tag.is_empty()).then_some(tag)
    }

    /// What tells one build from the next: the tag, else the beginning of the digest.
    pub fn version(&self) -> Option<String> {
        if let Some(tag) = self.tag() {
            return Some(tag.to_owned());
        }
        let digest = self.image.split_once("@sha256:")?.1;
        Some(format!("sha256:{}", digest.get(..12)?))
    }

    /// The image's path without its tag.
    pub fn path(&self) -> &str {
        let image = self.image.split('@').next().unwrap_or_default();
        match image.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => path,
            Some(_) | None => image,
        }
    }
}

/// Any other object: its marks, and its fields by their path (`spec.variant`, `spec.rules.0.name`).
/// The fields of a ConfigMap are its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub object: Object,
    pub labels: Pairs,
    pub annotations: Pairs,
    pub fields: Pairs,
}

impl Record {
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }
}

/// ConfigMaps that were asked for: those that are there, and those that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMaps {
    pub read: Vec<Record>,
    pub refused: Vec<(Object, Text)>,
}

impl ConfigMaps {
    /// `Read(None)`: there is none of that name.
    pub fn get(&self, ns: &str, name: &str) -> Known<Option<&Record>> {
        let is = |object: &Object| object.ns.as_str() == ns && object.name.as_str() == name;
        match self.refused.iter().find(|(object, _)| is(object)) {
            Some((_, why)) => Known::Unknown(why.clone()),
            None => Known::Read(self.read.iter().find(|record| is(&record.object))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub object: Object,
    pub labels: Pairs,
    pub selector: Pairs,
    /// `None` for headless services, else one or two.
    pub addresses: Vec<String>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: String,
    pub protocol: String,
    pub port: u16,
    /// A number or the name of a container's port.
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: Pairs,
    pub annotations: Pairs,
    /// Of its kubelet.
    pub version: String,
    pub provider: String,
    pub addresses: Vec<String>,
    /// Keys of its taints.
    pub taints: Vec<String>,
    pub pod_cidrs: Vec<String>,
}

/// Something that the API server calls inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub object: Object,
    /// The webhook's own name, where the object has several.
    pub name: Text,
    pub ns: String,
    pub service: String,
    pub port: u16,
    /// `failurePolicy` of a webhook: `Fail` or `Ignore`; `None` for the others, which always fail.
    pub policy: Option<Text>,
}

/// One thing that the person may or may not do; `None`: it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub verb: &'static str,
    /// `networkpolicies.networking.k8s.io`.
    pub what: &'static str,
    /// Empty: where this right is asked for as a rule.
    pub ns: Text,
    pub allowed: Option<bool>,
}

/// How it begins why something is not known where manifests were read instead of a cluster.
pub const NOT_IN_MANIFESTS: &str = "manifests have no";

/// Where probes run of a cluster that has them on: in each namespace of the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probing {
    pub excluded: Vec<NsName>,
    /// Where it is not empty, every other namespace is left out.
    pub included: Vec<NsName>,
}

impl Probing {
    pub fn reaches(&self, ns: &str) -> bool {
        in_scope(&self.excluded, &self.included, ns)
    }
}

/// What `sluice.yaml` says of a cluster, as far as checks ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `None`: probes are off, so nobody asks for their rights.
    pub probes: Option<Probing>,
    /// It tells the way to Hubble Relay; `None`: there is no such file to ask.
    pub relay: Option<bool>,
}

/// What a measured source is called that is sluice's own collector.
pub const COLLECTOR: &str = "collector";

/// The oldest and newest record that a flow source has answered with, and whether hours are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub source: Text,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Hours between the two without any record of any node.
    pub empty_hours: u32,
    /// What was allowed is not among them.
    pub only_denials: bool,
}

/// Everything that was read of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub version: Known<String>,
    /// API groups that are served.
    pub groups: Known<BTreeSet<String>>,
    pub daemonsets: Known<Vec<Workload>>,
    /// Deployments and StatefulSets.
    pub workloads: Known<Vec<Workload>>,
    pub config_maps: ConfigMaps,
    pub services: Known<Vec<Service>>,
    pub nodes: Known<Vec<Node>>,
    /// Namespaces and their marks.
    pub namespaces: Known<Vec<Record>>,
    /// ServiceAccounts and their marks.
    pub accounts: Known<Vec<Record>>,
    pub hooks: Known<Vec<Hook>>,
    /// Why some kinds of them could not be read, where others could.
    pub unread_hooks: Option<Text>,
    /// Custom resources by `plural.group`; absent: not served.
    pub custom: BTreeMap<&'static str, Known<Vec<Record>>>,
    pub rights: Known<Vec<Right>>,
    pub said: Said,
    /// `None`: nobody measured.
    pub measured: Option<Known<Measured>>,
}

impl Reading {
    /// A reading of which nothing is known, for this reason.
    pub fn unknown(why: &Text) -> Self {
        fn no<T>(why: &Text) -> Known<T> {
            Known::Unknown(why.clone())
        }
        Self {
            version: no(why),
            groups: no(why),
            daemonsets: no(why),
            workloads: no(why),
            config_maps: ConfigMaps::default(),
            services: no(why),
            nodes: no(why),
            namespaces: no(why),
            accounts: no(why),
            hooks: no(why),
            unread_hooks: None,
            custom: BTreeMap::new(),
            rights: no(why),
            said: Said::default(),
            measured: None,
        }
    }

    /// Objects of a custom kind; nothing where they are not served or not known.
    pub fn custom(&self, kind: &str) -> &[Record] {
        self.custom.get(kind).map_or(&[], |list| list.list())
    }

    pub fn workload(&self, ns: &str, name: &str) -> Option<&Workload> {
        let mut all = self.daemonsets.list().iter().chain(self.workloads.list());
        all.find(|one| one.object.name.as_str() == name && (ns.is_empty() || one.object.ns.as_str() == ns))
    }
}

/// A custom kind that some check reads.
#[derive(Clone, Copy, Debug)]
pub struct CustomKind {
    /// `plural.group`.
    pub id: &'static str,
    pub kind: &'static str,
    pub group: &'static str,
    /// The version asked for where it is served; else the one that the group prefers.
    pub version: &'static str,
}

macro_rules! kinds {
    ($($plural:literal $group:literal $version:literal $kind:literal;)*) => {
        /// Every custom kind that is read.
        pub const CUSTOM: &[CustomKind] = &[
            $(CustomKind { id: concat!($plural, ".", $group), kind: $kind, group: $group, version: $version }),*
        ];
    };
}

kinds! {
    "networkpolicies" "networking.k8s.io" "v1" "NetworkPolicy";
    "felixconfigurations" "crd.projectcalico.org" "v1" "FelixConfiguration";
    "globalnetworkpolicies" "crd.projectcalico.org" "v1" "GlobalNetworkPolicy";
    "networkpolicies" "crd.projectcalico.org" "v1" "NetworkPolicy";
    "installations" "operator.tigera.io" "v1" "Installation";
    "ciliumnetworkpolicies" "cilium.io" "v2" "CiliumNetworkPolicy";
    "ciliumclusterwidenetworkpolicies" "cilium.io" "v2" "CiliumClusterwideNetworkPolicy";
    "clusternetworkpolicies" "crd.antrea.io" "v1beta1" "ClusterNetworkPolicy";
    "networkpolicies" "crd.antrea.io" "v1beta1" "NetworkPolicy";
    "adminnetworkpolicies" "policy.networking.k8s.io" "v1alpha1" "AdminNetworkPolicy";
    "baselineadminnetworkpolicies" "policy.networking.k8s.io" "v1alpha1" "BaselineAdminNetworkPolicy";
    "clusternetworkpolicies" "policy.networking.k8s.io" "v1alpha2" "ClusterNetworkPolicy";
    "networkloggings" "networking.gke.io" "v1alpha1" "NetworkLogging";
    "flowcollectors" "flows.netobserv.io" "v1beta2" "FlowCollector";
    "egressfirewalls" "k8s.ovn.org" "v1" "EgressFirewall";
    "authorizationpolicies" "security.istio.io" "v1" "AuthorizationPolicy";
}
