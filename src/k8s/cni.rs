//! Which network plugin a cluster runs and whether NetworkPolicies take effect there: DaemonSets,
//! then one ConfigMap or the nodes' annotations. Looking asks; recognising is pure. Only a probe
//! proves enforcement: what is found here is a finding with its evidence, and unknown stays unknown.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::{
    eval::plugin::Switches,
    fleet::{Cni, CniKind, Enforcement},
    names::Text,
};

use super::{
    decode::{Meta, MetaOnly},
    failure::Failure,
    wire::{Call, METADATA_LIST, Server},
};

/// What was looked at. `None`: not needed, or it could not be read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The API server's version.
    pub version: String,
    pub daemonsets: Option<Vec<DaemonSet>>,
    /// `data` of the `cilium-config` beside the agent.
    pub cilium: Option<BTreeMap<String, String>>,
    /// Nodes, of k3s only.
    pub nodes: Option<Vec<MetaOnly>>,
    /// Why the DaemonSets could not be read.
    pub refused: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    pub metadata: Meta,
    pub spec: Spec,
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    pub spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodSpec {
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<Env>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Env {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub desired_number_scheduled: u32,
    pub number_ready: u32,
}

/// Reads what recognising needs, and no more.
pub async fn look(server: &Server, version: &str) -> Seen {
    #[derive(Deserialize)]
    struct List<T> {
        items: Option<Vec<T>>,
    }
    #[derive(Deserialize)]
    struct ConfigMap {
        data: Option<BTreeMap<String, String>>,
    }
    let mut seen = Seen { version: version.to_owned(), ..Seen::default() };
    match server.ask::<List<DaemonSet>>(Call::get("/apis/apps/v1/daemonsets")).await {
        Ok(list) => seen.daemonsets = Some(list.items.unwrap_or_default()),
        Err(failure) => seen.refused = said(&failure),
    }
    let agent = seen.daemonsets.iter().flatten().find(|set| set.container("cilium-agent").is_some());
    if let Some(agent) = agent {
        let path = format!("/api/v1/namespaces/{}/configmaps/cilium-config", agent.metadata.namespace);
        let map = server.ask::<ConfigMap>(Call::get(path)).await;
        seen.cilium = map.ok().map(|map| map.data.unwrap_or_default());
    }
    if version.contains("+k3s") {
        let call = Call { accept: METADATA_LIST, ..Call::get("/api/v1/nodes") };
        seen.nodes = server.ask::<List<MetaOnly>>(call).await.ok().map(|list| list.items.unwrap_or_default());
    }
    seen
}

/// Settings that change what policies do; nothing of a ConfigMap that could not be read.
pub fn switches(seen: &Seen) -> Switches {
    let Some(config) = &seen.cilium else { return Switches::default() };
    Switches::of_cilium(|key| config.get(key).map(String::as_str))
}

fn said(failure: &Failure) -> String {
    failure.code().map_or_else(|| "no answer".to_owned(), |code| format!("HTTP {code}"))
}

/// What the evidence says.
pub fn recognise(seen: &Seen) -> Cni {
    let Some(sets) = &seen.daemonsets else {
        let evidence = format!("DaemonSets of all namespaces cannot be read ({})", seen.refused);
        return Cni {
            kind: CniKind::Other,
            version: None,
            enforcement: Enforcement::Unknown,
            evidence: Text::from(evidence),
        };
    };
    let mut found: Vec<Finding> = sets.iter().flat_map(|set| agents(set, seen)).collect();
    found.extend(k3s(seen));
    let enforcers = found.iter().filter(|finding| finding.enforcement != Enforcement::DoesNot).count();
    match found.iter().find(|finding| finding.enforcement != Enforcement::DoesNot) {
        Some(first) if enforcers == 1 => first.cni(),
        Some(first) => Cni {
            kind: first.kind,
            version: first.version.clone(),
            enforcement: Enforcement::Unknown,
            evidence: Text::from(format!(
                "{enforcers} policy engines at once: {}",
                found.iter().map(|finding| finding.evidence.as_str()).collect::<Vec<_>>().join("; ")
            )),
        },
        // The one that was switched off says more than the one that only connects.
        None => match found.iter().find(|f| f.kind != CniKind::Flannel).or(found.first()) {
            Some(off) => off.cni(),
            None => Cni {
                kind: CniKind::Other,
                version: None,
                enforcement: Enforcement::Unknown,
                evidence: Text::from(format!("no known agent among {} DaemonSets", sets.len())),
            },
        },
    }
}

/// One agent that connects or enforces.
struct Finding {
    kind: CniKind,
    version: Option<Text>,
    enforcement: Enforcement,
    evidence: String,
}

impl Finding {
    fn cni(&self) -> Cni {
        Cni {
            kind: self.kind,
            version: self.version.clone(),
            enforcement: self.enforcement,
            evidence: Text::new(&self.evidence),
        }
    }
}

/// The agents of a DaemonSet, by container name: images and labels change more often.
fn agents(set: &DaemonSet, seen: &Seen) -> Vec<Finding> {
    let containers = &set.spec.template.spec.containers;
    let mut found: Vec<_> = containers.iter().filter_map(|container| agent(set, container, seen)).collect();
    if found.len() > 1 {
        // Canal and flannel's chart: the connecting container beside the enforcing one is no finding.
        found.retain(|finding| finding.kind != CniKind::Flannel);
    }
    found
}

fn agent(set: &DaemonSet, container: &Container, seen: &Seen) -> Option<Finding> {
    use Enforcement::{DoesNot, Enforces, Unknown};
    let (kind, enforcement, field) = match container.name.as_str() {
        "cilium-agent" => {
            let (enforcement, field) = cilium(set, seen.cilium.as_ref());
            (CniKind::Cilium, enforcement, Some(field))
        }
        "calico-node" => (CniKind::Calico, Enforces, None),
        "antrea-agent" => (CniKind::Antrea, Enforces, None),
        "kube-flannel" => {
            (CniKind::Flannel, DoesNot, Some("no policy engine beside it: policies are ignored".to_owned()))
        }
        "kube-network-policies" | "weave-npc" | "azure-npm" => (CniKind::Other, Enforces, None),
        "kube-router" => match container.flag("--run-firewall") {
            Some(value @ "false") => (CniKind::Other, DoesNot, Some(format!("--run-firewall={value}"))),
            Some(_) | None => (CniKind::Other, Enforces, Some("--run-firewall is on".to_owned())),
        },
        "aws-eks-nodeagent" | "aws-network-policy-agent" => match container.flag("--enable-network-policy") {
            Some("true") => (CniKind::Other, Enforces, Some("--enable-network-policy=true".to_owned())),
            Some(_) | None => {
                (CniKind::Other, DoesNot, Some("--enable-network-policy is not true".to_owned()))
            }
        },
        "kindnet-cni" => (CniKind::Other, Unknown, Some("newer releases enforce, older do not".to_owned())),
        "ovnkube-controller" | "ovn-controller" if set.metadata.name.starts_with("ovnkube") => {
            // Several containers of one agent: the first one speaks for it.
            if set.container("ovnkube-controller").is_some() && container.name != "ovnkube-controller" {
                return None;
            }
            (CniKind::Other, Enforces, None)
        }
        _ => return None,
    };
    let status = &set.status;
    let (ready, wanted) = (status.number_ready, status.desired_number_scheduled);
    let whole = ready == wanted && wanted > 0;
    // Nodes without a running agent do not enforce.
    let enforcement = if enforcement == Enforces && !whole { Unknown } else { enforcement };
    let mut evidence = format!(
        "DaemonSet {}/{}: container {} ({}), {ready} of {wanted} ready",
        set.metadata.namespace, set.metadata.name, container.name, container.image
    );
    if let Some(field) = field {
        evidence.push_str(", ");
        evidence.push_str(&field);
    }
    Some(Finding { kind, version: container.version(), enforcement, evidence })
}

/// The keys of `cilium-config` that switch enforcement off.
fn cilium(set: &DaemonSet, config: Option<&BTreeMap<String, String>>) -> (Enforcement, String) {
    let object = format!("ConfigMap {}/cilium-config", set.metadata.namespace);
    let Some(config) = config else {
        return (Enforcement::Unknown, format!("{object} cannot be read"));
    };
    for (key, off) in
        [("enable-policy", "never"), ("policy-audit-mode", "true"), ("enable-k8s-networkpolicy", "false")]
    {
        if config.get(key).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
            return (Enforcement::DoesNot, format!("{object}: {key}={off}"));
        }
    }
    let mode = config.get("enable-policy").map_or("default", String::as_str);
    (Enforcement::Enforces, format!("{object}: enable-policy={mode}"))
}

/// k3s has flannel and a policy controller inside its own process: no DaemonSet shows them.
fn k3s(seen: &Seen) -> Option<Finding> {
    if !seen.version.contains("+k3s") {
        return None;
    }
    let arguments = |node: &MetaOnly| node.metadata.annotations.as_ref()?.get("k3s.io/node-args").cloned();
    let nodes = seen.nodes.as_deref().unwrap_or_default();
    let told: Vec<(&str, String)> =
        nodes.iter().filter_map(|node| Some((node.metadata.name.as_str(), arguments(node)?))).collect();
    let off = told.iter().find(|(_, arguments)| arguments.contains("disable-network-policy"));
    let (enforcement, evidence) = match (off, told.first()) {
        (Some((node, _)), _) => {
            (Enforcement::DoesNot, format!("Node {node}: k3s.io/node-args has --disable-network-policy"))
        }
        (None, Some((node, _))) => (
            Enforcement::Enforces,
            format!("Node {node}: k3s.io/node-args does not switch off k3s's policy controller"),
        ),
        (None, None) => (
            Enforcement::Unknown,
            format!("version {}: k3s.io/node-args of the nodes cannot be read", seen.version),
        ),
    };
    Some(Finding { kind: CniKind::Other, version: Some(Text::new(&seen.version)), enforcement, evidence })
}

impl DaemonSet {
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.spec.template.spec.containers.iter().find(|container| container.name == name)
    }
}

impl Container {
    /// Value of `--flag=value`; a bare flag is "true".
    fn flag(&self, flag: &str) -> Option<&str> {
        let mut words = self.command.iter().chain(&self.args).flatten();
        words.find_map(|word| match word.strip_prefix(flag)? {
            "" => Some("true"),
            rest => rest.strip_prefix('='),
        })
    }

    /// Value of `-argument value` or `-argument=value`.
    pub fn argument(&self, argument: &str) -> Option<&str> {
        let mut words = self.command.iter().chain(&self.args).flatten().map(String::as_str);
        let word = words.find(|word| word.starts_with(argument))?;
        match word.strip_prefix(argument)? {
            "" => words.next(),
            rest => rest.strip_prefix('='),
        }
    }

    /// The image's tag, without a digest.
    fn version(&self) -> Option<Text> {
        let image = self.image.split('@').next()?;
        let (_, tag) = image.rsplit_once(':')?;
        (!tag.contains('/')).then(|| Text::new(tag))
    }
}
