//! Which components of a cluster enforce NetworkPolicies, and which one connects its pods: two
//! questions, since Canal, chained plugins and side-by-side controllers answer them differently. By
//! container names first, then by the tails of image paths: distributions rename and re-host the rest
//! (facts: each project's current manifests). Pure.

use crate::domain::names::Text;

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
    /// Settings that switch it off.
    pub off: Vec<Evidence>,
    /// Why it is not known whether it is on.
    pub doubt: Option<Text>,
}

/// What was found in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sorted by kind and object.
    pub engines: Vec<Engine>,
    /// What connects pods, in words, with what it was recognised by.
    pub connects: Vec<(&'static str, Evidence)>,
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
                Role::Connects(what) => found.connects.push((what, evidence)),
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
        "kube-flannel" => Role::Connects("flannel"),
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
        Some(Role::Connects("flannel"))
    } else {
        None
    }
}

/// What connects pods by the same agent that enforces.
fn connects(kind: EngineKind, set: &Workload, container: &Container) -> Option<(&'static str, Evidence)> {
    let by = |what, field: &str, value: &str| Some((what, Evidence::new(&set.object, field, value)));
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
        version: container.version().map(Text::new),
        object: set.object.clone(),
        evidence,
        desired: set.desired,
        ready: set.ready,
        off: Vec::new(),
        doubt: None,
    };
    switches(&mut engine, set, container, reading);
    if kind == EngineKind::Calico
        && let Some(version) = calico_version(reading)
    {
        engine.version = Some(version);
    }
    engine
}

fn calico_version(reading: &Reading) -> Option<Text> {
    let info = reading.custom("clusterinformations.crd.projectcalico.org").first()?;
    info.get("spec.calicoVersion").filter(|version| !version.is_empty()).map(Text::new)
}

/// Settings that switch an engine off without a word.
fn switches(engine: &mut Engine, set: &Workload, container: &Container, reading: &Reading) {
    let flag = |flag: &str| Evidence::new(&set.object, flag, container.flag(flag).unwrap_or("not set"));
    match engine.kind {
        EngineKind::Cilium => cilium(engine, set, reading),
        EngineKind::KubeRouter if container.flag("--run-firewall") == Some("false") => {
            engine.off.push(flag("--run-firewall"));
        }
        EngineKind::Aws if container.flag("--enable-network-policy") != Some("true") => {
            engine.off.push(flag("--enable-network-policy"));
        }
        EngineKind::Weave => {
            let told = set.containers.iter().find_map(|one| one.env("EXPECT_NPC"));
            if told == Some("0") {
                engine.off.push(Evidence::new(&set.object, "env EXPECT_NPC", "0"));
            }
        }
        EngineKind::Kindnet => match kindnet_enforces(container.version()) {
            Some(true) => {}
            Some(false) => {
                engine.off.push(Evidence::new(&set.object, "version", container.version().unwrap_or("")));
            }
            None => {
                let why = "whether this kindnet enforces cannot be told from its version: releases of kind \
                           before v0.24 do not";
                engine.doubt = Some(Text::new(why));
            }
        },
        EngineKind::KubeRouter
        | EngineKind::Aws
        | EngineKind::Calico
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

fn cilium(engine: &mut Engine, set: &Workload, reading: &Reading) {
    let ns = set.object.ns.as_str();
    let config = Object::new("ConfigMap", ns, "cilium-config");
    match reading.config_maps.get(ns, "cilium-config") {
        Known::Unknown(why) => engine.doubt = Some(Text::from(format!("{config} cannot be read: {why}"))),
        Known::Read(None) => {
            engine.doubt = Some(Text::from(format!("{config} is not there, so its settings are unknown")));
        }
        Known::Read(Some(map)) => {
            for (key, off) in [
                ("enable-policy", "never"),
                ("policy-audit-mode", "true"),
                ("enable-k8s-networkpolicy", "false"),
            ] {
                if let Some(value) = map.get(key).filter(|value| value.eq_ignore_ascii_case(off)) {
                    engine.off.push(Evidence::new(&config, key, value));
                }
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
        let Some(at) = at else { continue };
        let is_on = words[at] == "--disable-network-policy=false" || words.get(at + 1) == Some(&"false");
        if !is_on {
            let object = Object::new("Node", "", &node.name);
            engine.off.push(Evidence::new(&object, ARGS, words[at]));
        }
    }
    Some(engine)
}
