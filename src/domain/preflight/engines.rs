//! Which components of a cluster enforce NetworkPolicies, and which one connects its pods: two
//! questions, since Canal, chained plugins and side-by-side controllers answer them differently. By
//! container names first, then by the tails of image paths: distributions rename and re-host the rest
//! (facts: each project's current manifests). Pure.

use crate::domain::{fleet::CniKind, names::Text};

use super::{
    check::Evidence,
    reading::{Container, Known, Node, Object, Reading, Workload},
};

/// What enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    Cilium,
    Calico,
    Antrea,
    NetworkPolicies,
    KubeRouter,
    K3s,
    Weave,
    Aws,
    AzureNpm,
    OvnKubernetes,
    Kindnet,
}

impl EngineKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cilium => "Cilium",
            Self::Calico => "Calico",
            Self::Antrea => "Antrea",
            Self::NetworkPolicies => "kube-network-policies",
            Self::KubeRouter => "kube-router",
            Self::K3s => "k3s's policy controller",
            Self::Weave => "Weave Net",
            Self::Aws => "the network policy agent of the AWS VPC CNI",
            Self::AzureNpm => "Azure NPM",
            Self::OvnKubernetes => "OVN-Kubernetes",
            Self::Kindnet => "kindnet",
        }
    }

    /// The same in the words of the fleet, which know what does not enforce as well.
    pub fn cni(self) -> CniKind {
        match self {
            Self::Cilium => CniKind::Cilium,
            Self::Calico => CniKind::Calico,
            Self::Antrea => CniKind::Antrea,
            Self::NetworkPolicies => CniKind::NetworkPolicies,
            Self::KubeRouter => CniKind::KubeRouter,
            Self::K3s => CniKind::K3s,
            Self::Weave => CniKind::Weave,
            Self::Aws => CniKind::Aws,
            Self::AzureNpm => CniKind::AzureNpm,
            Self::OvnKubernetes => CniKind::OvnKubernetes,
            Self::Kindnet => CniKind::Kindnet,
        }
    }
}

/// One component that enforces, or would if it were on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    pub kind: EngineKind,
    pub version: Option<Text>,
    /// What runs it; the first node for k3s.
    pub object: Object,
    /// What it was recognised by.
    pub evidence: Evidence,
    /// Nodes that should run it, and where it is ready; `None`: not told.
    pub desired: Option<u32>,
    pub ready: Option<u32>,
    /// Settings that switch it off, and settings that could and do not.
    pub off: Vec<Evidence>,
    pub on: Vec<Evidence>,
    /// Why it is not known whether it is on.
    pub doubt: Option<Text>,
}

pub const FLANNEL: &str = "flannel";

/// What connects pods, in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    pub what: &'static str,
    pub version: Option<Text>,
    /// What it was recognised by.
    pub evidence: Evidence,
}

impl Engine {
    fn tell(&mut self, is_on: bool, seen: Evidence) {
        let list = if is_on { &mut self.on } else { &mut self.off };
        list.push(seen);
    }
}

/// What was found in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that are on, or not known to be off; where none is, the first that is off. Sorted by kind
    /// and object.
    pub engines: Vec<Engine>,
    /// Those that are switched off beside them, as an agent of a cloud often is beside Calico.
    pub resting: Vec<Engine>,
    pub connects: Vec<Connection>,
    /// Agents that no node runs: left over from another installation.
    pub idle: Vec<Evidence>,
}

impl Found {
    /// The one that enforces; `None` where there is none or more than one.
    pub fn only(&self) -> Option<&Engine> {
        match self.engines.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    pub fn has(&self, kind: EngineKind) -> bool {
        self.engines.iter().any(|engine| engine.kind == kind)
    }
}

pub fn recognise(reading: &Reading) -> Found {
    let mut found = Found::default();
    for set in reading.daemonsets.list() {
        for container in &set.containers {
            let Some(role) = role(set, container) else { continue };
            let evidence = Evidence::new(&set.object, "container", &shown(container));
            match role {
                _ if set.desired == Some(0) => found.idle.push(evidence),
                Role::Connects(what) => {
                    let version = container.version().map(Text::from);
                    found.connects.push(Connection { what, version, evidence });
                }
                Role::Enforces(kind) => {
                    if !found.engines.iter().any(|one| one.kind == kind && one.object == set.object) {
                        found.engines.push(engine(kind, set, container, evidence, reading));
                    }
                    found.connects.extend(connects(kind, set, container));
                }
            }
        }
    }
    found.engines.extend(k3s(reading));
    found.engines.sort_by(|a, b| (a.kind, &a.object).cmp(&(b.kind, &b.object)));
    let all = std::mem::take(&mut found.engines);
    (found.engines, found.resting) = all.into_iter().partition(|engine| engine.off.is_empty());
    if found.engines.is_empty() && !found.resting.is_empty() {
        found.engines.push(found.resting.remove(0));
    }
    found.connects.sort();
    found.connects.dedup();
    found.idle.sort();
    found
}

enum Role {
    Connects(&'static str),
    Enforces(EngineKind),
}

/// What a container of a DaemonSet does; the same name elsewhere means nothing.
fn role(set: &Workload, container: &Container) -> Option<Role> {
    use EngineKind as Kind;
    let by_name = match container.name.as_str() {
        "cilium-agent" => Role::Enforces(Kind::Cilium),
        "calico-node" => Role::Enforces(Kind::Calico),
        "antrea-agent" => Role::Enforces(Kind::Antrea),
        "kube-network-policies" => Role::Enforces(Kind::NetworkPolicies),
        "kube-router" => Role::Enforces(Kind::KubeRouter),
        "weave-npc" => Role::Enforces(Kind::Weave),
        "aws-eks-nodeagent" | "aws-network-policy-agent" => Role::Enforces(Kind::Aws),
        "azure-npm" => Role::Enforces(Kind::AzureNpm),
        "kindnet-cni" => Role::Enforces(Kind::Kindnet),
        "ovnkube-controller" | "ovn-controller" if set.object.name.as_str().starts_with("ovnkube") => {
            Role::Enforces(Kind::OvnKubernetes)
        }
        "kube-flannel" => Role::Connects(FLANNEL),
        "aws-node" => Role::Connects("the AWS VPC CNI"),
        "weave" => Role::Connects("Weave Net"),
        name if name.starts_with("azure-cns") || name == "cns-container" => Role::Connects("Azure CNI"),
        _ => return by_image(container),
    };
    Some(by_name)
}

fn by_image(container: &Container) -> Option<Role> {
    let path = container.path();
    let ends = |tail: &str| path == tail || path.ends_with(&format!("/{tail}"));
    if ends("cilium/cilium") && !container.name.contains("envoy") {
        Some(Role::Enforces(EngineKind::Cilium))
    } else if ends("calico/node") {
        Some(Role::Enforces(EngineKind::Calico))
    } else if ends("networking/kube-network-policies") {
        Some(Role::Enforces(EngineKind::NetworkPolicies))
    } else if ends("flannel-io/flannel") || ends("flannel/flannel") || ends("mirrored-flannelcni-flannel") {
        Some(Role::Connects(FLANNEL))
    } else {
        None
    }
}

/// What connects pods by the same agent that enforces.
fn connects(kind: EngineKind, set: &Workload, container: &Container) -> Option<Connection> {
    let by = |what, field: &str, value: &str| {
        let version = container.version().map(Text::from);
        Some(Connection { what, version, evidence: Evidence::new(&set.object, field, value) })
    };
    match kind {
        EngineKind::Calico if container.env("CALICO_NETWORKING_BACKEND") == Some("none") => None,
        EngineKind::Cilium => by("Cilium", "container", &container.name),
        EngineKind::Calico => by("Calico", "container", &container.name),
        EngineKind::Antrea => by("Antrea", "container", &container.name),
        EngineKind::OvnKubernetes => by("OVN-Kubernetes", "container", &container.name),
        EngineKind::Kindnet => by("kindnet", "container", &container.name),
        EngineKind::KubeRouter if container.flag("--run-router") != Some("false") => {
            by("kube-router", "container", &container.name)
        }
        EngineKind::KubeRouter
        | EngineKind::NetworkPolicies
        | EngineKind::K3s
        | EngineKind::Weave
        | EngineKind::Aws
        | EngineKind::AzureNpm => None,
    }
}

fn shown(container: &Container) -> String {
    match container.image.is_empty() {
        true => container.name.clone(),
        false => format!("{} ({})", container.name, container.image),
    }
}

fn engine(
    kind: EngineKind,
    set: &Workload,
    container: &Container,
    evidence: Evidence,
    reading: &Reading,
) -> Engine {
    let mut engine = Engine {
        kind,
        version: container.version().map(Text::from),
        object: set.object.clone(),
        evidence,
        desired: set.desired,
        ready: set.ready,
        off: Vec::new(),
        on: Vec::new(),
        doubt: None,
    };
    switches(&mut engine, set, container, reading);
    engine
}

/// Settings that switch an engine off without a word.
fn switches(engine: &mut Engine, set: &Workload, container: &Container, reading: &Reading) {
    let told = |flag: &str| Evidence::new(&set.object, flag, container.flag(flag).unwrap_or("not set"));
    match engine.kind {
        EngineKind::Cilium => cilium(engine, set, reading),
        EngineKind::KubeRouter => {
            const FLAG: &str = "--run-firewall";
            engine.tell(container.flag(FLAG) != Some("false"), told(FLAG));
        }
        EngineKind::Aws => {
            const FLAG: &str = "--enable-network-policy";
            engine.tell(container.flag(FLAG) == Some("true"), told(FLAG));
        }
        EngineKind::Weave => {
            let expects = set.containers.iter().find_map(|one| one.env("EXPECT_NPC"));
            let seen = Evidence::new(&set.object, "env EXPECT_NPC", expects.unwrap_or("not set"));
            engine.tell(expects != Some("0"), seen);
        }
        EngineKind::Kindnet => match kindnet_enforces(container.tag()) {
            Some(enforces) => {
                engine.tell(enforces, Evidence::new(&set.object, "version", container.tag().unwrap_or("")));
            }
            None => {
                let why = "whether this kindnet enforces cannot be told from its version: releases of kind \
                           before v0.24 do not";
                engine.doubt = Some(Text::new(why));
            }
        },
        EngineKind::Calico
        | EngineKind::Antrea
        | EngineKind::NetworkPolicies
        | EngineKind::K3s
        | EngineKind::AzureNpm
        | EngineKind::OvnKubernetes => {}
    }
}

/// kindnetd's tags begin with the date of their build; v0.24 of kind came out in August 2024.
fn kindnet_enforces(version: Option<&str>) -> Option<bool> {
    let date: u32 = version?.trim_start_matches('v').get(..8)?.parse().ok()?;
    Some(date >= 20_240_800)
}

/// Cilium only says what it would drop.
pub const AUDIT: &str = "policy-audit-mode";

fn cilium(engine: &mut Engine, set: &Workload, reading: &Reading) {
    let ns = set.object.ns.as_str();
    let config = Object::new("ConfigMap", ns, "cilium-config");
    match reading.config_maps.get(ns, "cilium-config") {
        Known::Unknown(why) => engine.doubt = Some(Text::from(format!("{config} cannot be read: {why}"))),
        Known::Read(None) => {
            engine.doubt = Some(Text::from(format!("{config} is not there, so its settings are unknown")));
        }
        Known::Read(Some(map)) => {
            for (key, off) in
                [("enable-policy", "never"), (AUDIT, "true"), ("enable-k8s-networkpolicy", "false")]
            {
                let value = map.get(key);
                let is_off = value.is_some_and(|value| value.eq_ignore_ascii_case(off));
                engine.tell(!is_off, Evidence::new(&config, key, value.unwrap_or("not set")));
            }
        }
    }
}

/// k3s has flannel and a policy controller inside its own process: no DaemonSet shows them.
fn k3s(reading: &Reading) -> Option<Engine> {
    let version = match &reading.version {
        Known::Read(version) => version.clone(),
        Known::Unknown(_) => reading.nodes.list().first()?.version.clone(),
    };
    if !version.contains("+k3s") {
        return None;
    }
    let cluster = Object::new("API server", "", "version");
    let mut engine = Engine {
        kind: EngineKind::K3s,
        version: Some(Text::new(&version)),
        evidence: Evidence::new(&cluster, "gitVersion", &version),
        object: cluster,
        desired: None,
        ready: None,
        off: Vec::new(),
        on: Vec::new(),
        doubt: None,
    };
    const ARGS: &str = "k3s.io/node-args";
    let told: Vec<(&Node, &String)> =
        reading.nodes.list().iter().filter_map(|node| Some((node, node.annotations.get(ARGS)?))).collect();
    if told.is_empty() {
        let why = reading.nodes.why().map_or("no node tells them", Text::as_str);
        engine.doubt = Some(Text::from(format!("the annotation {ARGS} of the nodes is unknown: {why}")));
        return Some(engine);
    }
    for (node, args) in told {
        let words: Vec<&str> = args.split('"').filter(|word| !matches!(*word, "[" | "]" | ",")).collect();
        let at = words.iter().position(|word| word.starts_with("--disable-network-policy"));
        let object = Object::new("Node", "", &node.name);
        let Some(at) = at else {
            engine.on.push(Evidence::new(&object, ARGS, "no --disable-network-policy"));
            continue;
        };
        let is_on = words[at] == "--disable-network-policy=false" || words.get(at + 1) == Some(&"false");
        engine.tell(is_on, Evidence::new(&object, ARGS, words[at]));
    }
    Some(engine)
}
