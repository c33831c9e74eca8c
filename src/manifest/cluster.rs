//! Kubernetes objects as JSON -> [`Cluster`], what verdicts are made from: Namespaces, Pods, Nodes,
//! Services, NetworkPolicies, and policies of kinds that are not evaluated. What cannot be read is a
//! complaint; where it could change a verdict, that verdict becomes unknown. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use compact_str::CompactString;
use serde_json::{Map, Value};

use super::{around, foreign, policy_of};
use crate::domain::{
    eval::{
        around::Around,
        cluster::{
            Cluster, Foreign, NAME_LABEL, NamedPort, Namespace, Namespaces, NetworkPolicy, Node, Pod, Reach,
            Service, ServicePort, Target, Weight,
        },
        plugin::Traits,
    },
    flow::{Direction, Protocol},
    names::{NodeName, NsName, PodName, Text, Workload, workload_of_pods},
    policy::{Labels, PolicyKind, Requirement, Selector},
};

/// One object, or one thing in it, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where it stands: a file and line, or a cluster.
    pub place: String,
    /// `Pod shop/cart`.
    pub object: Text,
    pub fact: Text,
    pub next: &'static str,
}

/// Takes in objects one by one.
pub struct Gathering {
    cluster: Cluster,
    complaints: Vec<Complaint>,
    /// Kind, namespace and name, with where it was read.
    known: BTreeMap<[String; 3], (String, Value)>,
    node_addresses: BTreeMap<NodeName, Vec<IpAddr>>,
    /// Pods that workloads would make.
    templates: Vec<Pod>,
    /// How surely the resolver is one.
    resolver: Option<u8>,
}

const LEFT_OUT: &str = "Correct it; the object was left out.";

/// A fault of one object.
struct Fault {
    fact: String,
    next: &'static str,
}

impl From<String> for Fault {
    fn from(fact: String) -> Self {
        Self { fact, next: LEFT_OUT }
    }
}

impl Gathering {
    pub fn new(traits: Traits) -> Self {
        Self {
            cluster: Cluster {
                uid: None,
                traits,
                namespaces: Vec::new(),
                pods: Vec::new(),
                nodes: Vec::new(),
                services: Vec::new(),
                policies: Vec::new(),
                foreign: Vec::new(),
                around: Around::default(),
            },
            complaints: Vec::new(),
            known: BTreeMap::new(),
            node_addresses: BTreeMap::new(),
            templates: Vec::new(),
            resolver: None,
        }
    }

    /// Takes an object that says its kind. Kinds that say nothing of connections are passed over.
    pub fn object(&mut self, place: &str, value: &Value) {
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        if kind.is_empty() || version.is_empty() {
            let what = if kind.is_empty() { "kind" } else { "apiVersion" };
            self.complain(
                place,
                &format!("{} {}", if kind.is_empty() { "an object" } else { kind }, said(value)),
                format!("it has no {what}"),
                "Write it, or take the object out.",
            );
        }
        let group = version.split_once('/').map_or("", |(group, _)| group);
        self.object_of(group, kind, place, value);
    }

    /// Takes an object of a known kind: items of the API's lists do not say it.
    pub fn object_of(&mut self, group: &str, kind: &str, place: &str, value: &Value) {
        if kind == "NetworkPolicy" && group != "networking.k8s.io" && !foreign::is_known(group, kind) {
            // Meant to be one, and it may select pods.
            self.doubt("unreadable NetworkPolicy", value);
            if !group.is_empty() {
                let fact = format!("its apiVersion is of {}", Text::new(group));
                let next = "Write networking.k8s.io/v1; until then what it may select is unknown.";
                self.complain(place, &format!("{kind} {}", said(value)), fact, next);
            }
            return;
        }
        let read = match (group, kind) {
            ("", "Namespace" | "Pod" | "Node" | "Service" | "ConfigMap") => true,
            ("discovery.k8s.io", "EndpointSlice") => true,
            ("networking.k8s.io", "NetworkPolicy") => true,
            _ => is_workload(group, kind) || foreign::is_known(group, kind) || around::is_hook(group, kind),
        };
        if !read {
            return;
        }
        let said = format!("{kind} {}", self::said(value));
        if self.is_repeated(group, kind, place, &said, value) {
            return;
        }
        let taken = match (group, kind) {
            ("", "Namespace") => self.namespace(value),
            ("", "Pod") => self.pod(place, &said, value),
            ("", "Node") => self.node(value),
            ("", "Service") => self.service(value),
            ("networking.k8s.io", _) => self.policy(place, &said, value),
            _ if is_workload(group, kind) => self.workload(value),
            ("", "ConfigMap") => {
                let switches = around::switches(value);
                self.cluster.traits =
                    switches.map_or(self.cluster.traits, |it| self.cluster.traits.switched(it));
                Ok(())
            }
            ("discovery.k8s.io", _) => {
                self.cluster.around.api.extend(around::api(value));
                Ok(())
            }
            _ if around::is_hook(group, kind) => {
                self.hooked();
                self.cluster.around.hooks.iter_mut().for_each(|all| all.extend(around::hooks(kind, value)));
                Ok(())
            }
            _ => {
                self.cluster.foreign.extend(foreign::read(group, kind, value));
                Ok(())
            }
        };
        if let Err(fault) = taken {
            self.complain(place, &said, fault.fact, fault.next);
        }
    }

    /// A kind of policy that may not be listed: any pod may be selected by one.
    pub fn unread(&mut self, group: &str, kind: &str) {
        let value = serde_json::json!({ "metadata": { "name": format!("{kind}.{group}"), "namespace": "" } });
        self.doubt("policies that may not be read:", &value);
    }

    /// What the API server calls is known from now on, be it nothing.
    pub fn hooked(&mut self) {
        self.cluster.around.hooks.get_or_insert_default();
    }

    /// Some of what the API server calls may not be read, so none of it is known.
    pub fn unhooked(&mut self) {
        self.cluster.around.hooks = None;
    }

    /// Everything, and what could not be read of it.
    pub fn done(mut self) -> (Cluster, Vec<Complaint>) {
        for (name, addresses) in self.node_addresses {
            match self.cluster.nodes.iter_mut().find(|node| node.name == name) {
                Some(node) => node.addresses.extend(addresses),
                None => self.cluster.nodes.push(Node { name, addresses }),
            }
        }
        let mut pods = self.cluster.pods;
        for template in self.templates {
            let is_there = pods.iter().any(|pod| {
                pod.ns == template.ns
                    && (pod.name == template.name
                        || template.labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value)))
            });
            if !is_there {
                pods.push(template);
            }
        }
        self.cluster.pods = pods;
        (self.cluster, self.complaints)
    }

    fn complain(&mut self, place: &str, object: &str, fact: String, next: &'static str) {
        let (place, object, fact) = (place.to_owned(), Text::new(object), Text::from(fact));
        self.complaints.push(Complaint { place, object, fact, next });
    }

    /// The same object twice: which one holds is not ours to say, unless they are equal.
    fn is_repeated(&mut self, group: &str, kind: &str, place: &str, said: &str, value: &Value) -> bool {
        let key = [format!("{group}/{kind}"), ns_of(value).to_owned(), name_of(value).to_owned()];
        let parts = ["/spec", "/metadata/labels", "/status/podIP", "/status/podIPs", "/status/addresses"];
        let meant = parts.iter().map(|part| value.pointer(part).cloned().unwrap_or(Value::Null)).collect();
        match self.known.get(&key) {
            None => {
                self.known.insert(key, (place.to_owned(), meant));
                false
            }
            Some((_, before)) if *before == meant => true,
            Some((first, _)) => {
                let fact = format!("it stands in {first} too, and says something else there");
                if group == "networking.k8s.io" {
                    self.doubt("NetworkPolicy of two versions:", value);
                }
                self.complain(place, said, fact, "Keep one of them; the first was taken.");
                true
            }
        }
    }

    /// Whatever a policy that cannot be read selects is unknown.
    fn doubt(&mut self, kind: &str, value: &Value) {
        let ns = NsName::parse(ns_of(value)).ok();
        let namespaces = ns.clone().map_or(Namespaces::All, Namespaces::One);
        self.cluster.foreign.push(Foreign {
            kind: Text::new(kind),
            ns,
            name: Text::new(name_of(value)),
            weight: Weight::Overrides,
            egress: true,
            ingress: true,
            reach: vec![Reach { namespaces, pods: Selector::default() }],
        });
    }

    fn namespace(&mut self, value: &Value) -> Result<(), Fault> {
        let name = NsName::parse(name_of(value)).map_err(|bad| bad.to_string())?;
        if name.as_str() == "kube-system" {
            self.cluster.uid = value.pointer("/metadata/uid").and_then(Value::as_str).map(Text::new);
        }
        let own = (CompactString::new(NAME_LABEL), CompactString::new(name.as_str()));
        let labels = labels(value)?.into_iter().filter(|(key, _)| key != NAME_LABEL).chain([own]).collect();
        let mesh = around::injected(value);
        self.cluster.around.injected.extend(mesh.map(|mesh| (name.clone(), mesh)));
        self.cluster.namespaces.push(Namespace { name, labels: Labels::new(labels) });
        Ok(())
    }

    fn pod(&mut self, place: &str, said: &str, value: &Value) -> Result<(), Fault> {
        let mut pod = pod(value, value.get("spec"))?;
        self.mark(&pod, value.get("spec"));
        pod.labels = Labels::new(labels(value)?);
        pod.workload = Some(owner(value));
        let status = value.get("status");
        for raw in ips(status, "podIP", "podIPs") {
            match raw.parse::<IpAddr>() {
                Ok(address) => pod.addresses.push(address.to_canonical()),
                Err(_) => {
                    let fact = format!("status has {:?}, which is no address", Text::new(raw));
                    self.complain(place, said, fact, "Correct it; the pod counts without that address.");
                }
            }
        }
        pod.addresses.sort_unstable();
        pod.addresses.dedup();
        let hosts = ips(status, "hostIP", "hostIPs").into_iter().filter_map(|raw| raw.parse().ok());
        if let Some(node) = &pod.node {
            let known = self.node_addresses.entry(node.clone()).or_default();
            for address in hosts {
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        self.cluster.pods.push(pod);
        Ok(())
    }

    /// The pods that a workload makes, as one without an address.
    fn workload(&mut self, value: &Value) -> Result<(), Fault> {
        let template = value
            .pointer("/spec/template")
            .or_else(|| value.pointer("/spec/jobTemplate/spec/template"))
            .ok_or_else(|| "it has no pod template".to_owned())?;
        let mut pod = pod(value, template.get("spec"))?;
        self.mark(&pod, template.get("spec"));
        pod.labels = Labels::new(labels(template)?);
        pod.workload = Some(owned(value));
        self.templates.push(pod);
        Ok(())
    }

    fn mark(&mut self, pod: &Pod, spec: Option<&Value>) {
        let marks = around::marks(spec);
        if !marks.is_empty() {
            self.cluster.around.marks.insert((pod.ns.clone(), pod.name.clone()), marks);
        }
    }

    fn node(&mut self, value: &Value) -> Result<(), Fault> {
        let name = NodeName::parse(name_of(value)).map_err(|bad| bad.to_string())?;
        let list = value.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
        let addresses: Vec<IpAddr> =
            list.filter_map(|one| one.get("address")?.as_str()?.parse().ok()).collect();
        self.cluster.around.clouds.extend(around::cloud(value));
        let known = self.node_addresses.entry(name).or_default();
        known.extend(addresses);
        known.sort_unstable();
        known.dedup();
        Ok(())
    }

    fn service(&mut self, value: &Value) -> Result<(), Fault> {
        let ns = NsName::parse(ns_of(value)).map_err(|bad| bad.to_string())?;
        let spec = value.get("spec");
        let selector = spec.and_then(|spec| spec.get("selector")).and_then(Value::as_object);
        let selector = selector.filter(|map| !map.is_empty()).map(|map| {
            let one = |(key, value): (&String, &Value)| Requirement::In {
                key: key.into(),
                values: vec![value.as_str().unwrap_or_default().into()],
            };
            Selector(map.iter().map(one).collect())
        });
        let ports = spec.and_then(|spec| spec.get("ports")).and_then(Value::as_array).into_iter().flatten();
        if let Some(rank) = around::serves_lookups(value)
            && self.resolver.is_none_or(|best| rank < best)
        {
            self.resolver = Some(rank);
            self.cluster.around.resolver = Some(self.cluster.services.len());
        }
        self.cluster.services.push(Service {
            ns,
            name: Text::new(name_of(value)),
            addresses: ips(spec, "clusterIP", "clusterIPs")
                .into_iter()
                .filter_map(|raw| raw.parse().ok())
                .collect(),
            selector,
            ports: ports.filter_map(service_port).collect(),
        });
        Ok(())
    }

    fn policy(&mut self, place: &str, said: &str, value: &Value) -> Result<(), Fault> {
        let read = policy_of(PolicyKind::NetworkPolicy, &with_ns(value));
        let Some(policy) = read.as_ref().ok().and_then(NetworkPolicy::of) else {
            self.doubt("unreadable NetworkPolicy", value);
            let fact = read.err().map_or_else(|| "it cannot be read".to_owned(), |why| why.to_string());
            let next = "Correct it; until then what it may select is unknown.";
            return Err(Fault { fact, next });
        };
        for direction in Direction::ALL {
            for (rule, at) in policy.rules.rules(direction).unwrap_or_default().iter().zip(1..) {
                if let Err(why) = rule {
                    let fact = format!("{direction} rule {at} is not understood: {why}");
                    let next = "Correct it; what only this rule could allow is unknown.";
                    self.complain(place, said, fact, next);
                }
            }
        }
        self.cluster.policies.push(policy);
        Ok(())
    }
}

fn is_workload(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("", "ReplicationController")
    )
}

/// What kubectl would write where the file says no namespace.
fn with_ns(value: &Value) -> Value {
    let mut out = value.clone();
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| Value::from("default"));
    }
    out
}

pub(super) fn name_of(value: &Value) -> &str {
    value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn ns_of(value: &Value) -> &str {
    value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default")
}

/// `namespace/name`, safe to show.
fn said(value: &Value) -> String {
    let name = match name_of(value) {
        "" => "without a name",
        name => name,
    };
    match value.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(ns) => format!("{}/{}", Text::new(ns), Text::new(name)),
        None => Text::new(name).to_string(),
    }
}

fn labels(value: &Value) -> Result<Vec<(CompactString, CompactString)>, Fault> {
    let Some(map) = value.pointer("/metadata/labels").filter(|map| !map.is_null()) else {
        return Ok(Vec::new());
    };
    let map = map.as_object().ok_or_else(|| "metadata.labels is not a mapping".to_owned())?;
    let one = |(key, value): (&String, &Value)| {
        let text = value
            .as_str()
            .ok_or_else(|| format!("label {} is not a string: quote its value", Text::new(key)))?;
        Ok((CompactString::new(key), CompactString::new(text)))
    };
    map.iter().map(one).collect::<Result<_, String>>().map_err(Fault::from)
}

/// What owns a pod, as people know it: a ReplicaSet's Deployment, a Job's CronJob, else the controller
/// itself, else the pod.
fn owner(pod: &Value) -> Workload {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let owners: Vec<&Value> = owners.into_iter().flatten().collect();
    let controls = |owner: &&&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let Some(owner) = owners.iter().find(controls).or(owners.first()) else {
        return Workload::new("Pod", name_of(pod));
    };
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    grown(text("kind"), text("name"), pod)
}

/// A workload's own object: a Deployment's ReplicaSet and a CronJob's Job are theirs.
fn owned(value: &Value) -> Workload {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    match value.pointer("/metadata/ownerReferences/0") {
        Some(_) => owner(value),
        None => grown(kind, name_of(value), value),
    }
}

fn grown(kind: &str, name: &str, pod: &Value) -> Workload {
    let hash = pod.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str);
    match (kind, name.rsplit_once('-')) {
        ("ReplicaSet", Some((deployment, own)))
            if hash.map_or_else(|| workload_of_pods(name) == deployment, |hash| hash == own) =>
        {
            Workload::new("Deployment", deployment)
        }
        ("Job", Some((cron, minute))) if is_scheduled(minute) => Workload::new("CronJob", cron),
        _ => Workload::new(kind, name),
    }
}

/// A CronJob names its Jobs by the scheduled minute since the epoch; a date such as 20261123 is none.
fn is_scheduled(suffix: &str) -> bool {
    suffix.parse::<u64>().is_ok_and(|minute| (25_000_000..100_000_000).contains(&minute))
}

/// Everything of a pod but labels, owner and addresses.
fn pod(value: &Value, spec: Option<&Value>) -> Result<Pod, Fault> {
    let ns = NsName::parse(ns_of(value)).map_err(|bad| bad.to_string())?;
    let name = PodName::parse(name_of(value)).map_err(|bad| bad.to_string())?;
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let phase = value.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let containers = field("containers").and_then(Value::as_array);
    Ok(Pod {
        ns,
        name,
        labels: Labels::default(),
        workload: None,
        addresses: Vec::new(),
        node: field("nodeName").and_then(Value::as_str).and_then(|raw| NodeName::parse(raw).ok()),
        host_network: field("hostNetwork").and_then(Value::as_bool).unwrap_or(false),
        finished: matches!(phase, "Succeeded" | "Failed"),
        ports: containers.map(|containers| {
            let init = field("initContainers").and_then(Value::as_array).into_iter().flatten();
            containers.iter().chain(init).flat_map(named_ports).collect()
        }),
    })
}

fn named_ports(container: &Value) -> Vec<NamedPort> {
    let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    let one = |port: &Value| {
        let name = port.get("name")?.as_str()?;
        let number = port.get("containerPort")?.as_u64().and_then(|port| u16::try_from(port).ok())?;
        Some(NamedPort { name: name.into(), protocol: protocol(port)?, port: number })
    };
    ports.filter_map(one).collect()
}

fn protocol(port: &Value) -> Option<Protocol> {
    match port.get("protocol").filter(|raw| !raw.is_null()) {
        None => Some(Protocol::Tcp),
        Some(raw) => super::rules::named_protocol(raw.as_str()?),
    }
}

fn service_port(port: &Value) -> Option<ServicePort> {
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let own = number(port.get("port")?)?;
    let target = match port.get("targetPort") {
        Some(Value::String(name)) => Target::Name(name.into()),
        Some(value) if !value.is_null() => Target::Number(number(value)?),
        Some(_) | None => Target::Number(own),
    };
    Some(ServicePort { protocol: protocol(port)?, port: own, target })
}

/// Addresses of a field and of the list that came to stand beside it.
fn ips<'v>(status: Option<&'v Value>, one: &str, many: &str) -> Vec<&'v str> {
    let Some(status) = status.and_then(Value::as_object) else { return Vec::new() };
    let nothing: &Map<String, Value> = status;
    let list = nothing.get(many).and_then(Value::as_array).into_iter().flatten();
    let list = list.filter_map(|item| item.as_str().or_else(|| item.get("ip")?.as_str()));
    let all = list.chain(status.get(one).and_then(Value::as_str));
    all.filter(|raw| !raw.is_empty() && *raw != "None").collect()
}
