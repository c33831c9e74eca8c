//! Checks of who enforces: exactly one engine, on, ready on every node, what it does differently, its
//! own node, address families. Pure.

use crate::domain::{
    eval::plugin::{Holds, ServiceView},
    names::Text,
};

use super::{
    check::{ASK_CLUSTER, Check, CheckId as Id, Evidence, Reach},
    engines::{Connection, Engine, EngineKind, FLANNEL, Found},
    gaps,
    reading::{Known, Node, Object, Reading},
};

const MIGRATE: &str = "Migrate the CNI to Calico or Cilium; the cluster is blocked until then.";

pub fn checks(reading: &Reading, found: &Found) -> Vec<Check> {
    vec![
        engine(reading, found),
        switches(reading, found),
        agents(reading, found),
        deviations(reading, found),
        own_node(reading, found),
        families(reading, found),
    ]
}

pub(super) fn engine(reading: &Reading, found: &Found) -> Check {
    if let Known::Unknown(_) = reading.daemonsets {
        return Check::unread(Id::Engine, "DaemonSets of all namespaces", &reading.daemonsets);
    }
    let evidence = found.engines.iter().map(|engine| engine.evidence.clone());
    let resting = found.resting.iter().flat_map(|engine| engine.off.iter().cloned());
    let connects: Vec<&str> = found.connects.iter().map(|one| one.what).collect();
    match found.engines.as_slice() {
        [] => nobody(reading, found).seen(connection(found)).seen(found.idle.iter().cloned()),
        [one] => {
            let beside = connects.iter().find(|what| **what != one.kind.as_str());
            let beside = beside.map_or_else(String::new, |what| format!("; {what} connects the pods"));
            Check::pass(Id::Engine, format!("{}{} enforces{beside}.", one.kind.as_str(), version(one)))
                .seen(evidence)
                .seen(resting)
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|one| format!("{} ({})", one.kind.as_str(), one.object)).collect();
            Check::fail(
                Id::Engine,
                format!(
                    "{} components enforce at once, so a packet must pass each: {}.",
                    several.len(),
                    names.join(", ")
                ),
            )
            .seen(evidence)
            .fixed(
                "Finish or undo the migration: one of them must go, and a person decides which.",
                &["kubectl get daemonsets --all-namespaces -o wide".to_owned()],
            )
        }
    }
}

fn version(engine: &Engine) -> String {
    engine.version.as_ref().map_or_else(String::new, |version| format!(" {version}"))
}

fn connection(found: &Found) -> impl Iterator<Item = Evidence> + '_ {
    found.connects.iter().map(|one| one.evidence.clone())
}

/// Clouds whose data plane shows in no DaemonSet; `None`: not one of them.
fn managed(reading: &Reading) -> Option<Check> {
    let nodes = reading.nodes.list();
    let seen = |node: &Node, field: &str, value: &str| {
        Evidence::new(&Object::new("Node", "", &node.name), field, value)
    };
    const COMPUTE: &str = "eks.amazonaws.com/compute-type";
    if let Some(node) = nodes.iter().find(|node| node.labels.get(COMPUTE).is_some_and(|it| it == "auto")) {
        let words = "EKS Auto Mode: the agent is part of the node, which no object shows.";
        let probe = "Prove it by a probe: deny a throw-away pod everything and try to connect.";
        return Some(Check::unknown(Id::Engine, words).seen([seen(node, COMPUTE, "auto")]).fixed(probe, &[]));
    }
    let node = nodes.iter().find(|node| node.provider.starts_with("gce://"))?;
    let words = "GKE without Dataplane V2 and without its network policy add-on enforces nothing.";
    let commands =
        ["gcloud container clusters update CLUSTER --update-addons=NetworkPolicy=ENABLED".to_owned()];
    let check = Check::fail(Id::Engine, words).seen([seen(node, "spec.providerID", &node.provider)]);
    Some(check.fixed("Move to a cluster with Dataplane V2, or switch the add-on on.", &commands))
}

fn nobody(reading: &Reading, found: &Found) -> Check {
    let connects = |what: &str| found.connects.iter().any(|one| one.what == what);
    if connects(FLANNEL) {
        return Check::fail(
            Id::Engine,
            "flannel connects pods and nothing beside it enforces: NetworkPolicies are accepted and ignored.",
        )
        .fixed(
            format!(
                "{MIGRATE} Until then its chart's netpol.enabled (v0.25.5 and later) adds a policy engine."
            ),
            &["helm upgrade flannel flannel/flannel -n kube-flannel --reuse-values --set netpol.enabled=true"
                .to_owned()],
        );
    }
    if connects("the AWS VPC CNI") {
        return Check::fail(
            Id::Engine,
            "The AWS VPC CNI connects pods, and its network policy agent is not there.",
        )
        .fixed(
            "Switch the add-on's network policy on.",
            &["aws eks update-addon --addon-name vpc-cni --cluster-name CLUSTER --configuration-values \
                 '{\"enableNetworkPolicy\":\"true\"}'"
                .to_owned()],
        );
    }
    if connects("Azure CNI") {
        return Check::fail(Id::Engine, "Azure CNI connects pods and nothing enforces.").fixed(
            "Switch a network policy engine on for this cluster.",
            &["az aks update --name CLUSTER --resource-group GROUP --network-policy cilium \
               --network-dataplane cilium"
                .to_owned()],
        );
    }
    if let Some(check) = managed(reading).filter(|_| found.connects.is_empty()) {
        return check;
    }
    match found.connects.first() {
        Some(Connection { what, .. }) => {
            Check::fail(Id::Engine, format!("{what} connects pods and nothing enforces.")).fixed(MIGRATE, &[])
        }
        None => Check::unknown(
            Id::Engine,
            "No agent that is known was found among the DaemonSets: a managed data plane, or an unknown CNI.",
        )
        .fixed("Prove it by a probe: deny a throw-away pod everything and try to connect.", &[]),
    }
}

fn switches(reading: &Reading, found: &Found) -> Check {
    if found.engines.is_empty() {
        return nothing_enforces(reading, Id::Switches);
    }
    let off: Vec<&Engine> = found.engines.iter().filter(|engine| !engine.off.is_empty()).collect();
    let seen = off.iter().flat_map(|engine| engine.off.iter().cloned());
    if let Some(first) = off.first() {
        let said = first.off.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let (text, commands) = switch_on(first);
        return Check::fail(
            Id::Switches,
            format!("{} is there and does not enforce: {said}.", first.kind.as_str()),
        )
        .seen(seen)
        .fixed(text, &commands);
    }
    if let Some(why) = found.engines.iter().find_map(|engine| engine.doubt.clone()) {
        return Check::unknown(Id::Switches, format!("{why}."))
            .fixed("Give the reader of this cluster get on it, then run the pre-flight again.", &[]);
    }
    let open = fails_open(reading, found);
    let words = match open.is_empty() {
        true => "No setting that is known switches enforcement off.",
        false => {
            "No setting that is known switches enforcement off; while its agent is down, everything is allowed."
        }
    };
    let on = found.engines.iter().flat_map(|engine| engine.on.iter().cloned());
    Check::pass(Id::Switches, words).seen(on).seen(open)
}

/// Engines that let everything pass while their agent is down.
fn fails_open(reading: &Reading, found: &Found) -> Vec<Evidence> {
    let of = |engine: &Engine| {
        let set = reading.workload(engine.object.ns.as_str(), engine.object.name.as_str())?;
        match engine.kind {
            EngineKind::NetworkPolicies => {
                let container = set.container("kube-network-policies").or(set.containers.first())?;
                let told = container.flag("--fail-open");
                (told != Some("false"))
                    .then(|| Evidence::new(&set.object, "--fail-open", told.unwrap_or("true by default")))
            }
            EngineKind::Aws => {
                let container = set.container("aws-node")?;
                let mode = container.env("NETWORK_POLICY_ENFORCING_MODE");
                (mode != Some("strict")).then(|| {
                    Evidence::new(
                        &set.object,
                        "env NETWORK_POLICY_ENFORCING_MODE",
                        mode.unwrap_or("standard by default"),
                    )
                })
            }
            _ => None,
        }
    };
    found.engines.iter().filter_map(of).collect()
}

fn switch_on(engine: &Engine) -> (String, Vec<String>) {
    let (ns, name) = (&engine.object.ns, &engine.object.name);
    let restart = format!("kubectl rollout restart daemonset/{name} -n {ns}");
    match engine.kind {
        EngineKind::Cilium => {
            let set: Vec<String> = engine
                .off
                .iter()
                .map(|off| {
                    let on = match off.field.as_str() {
                        "enable-policy" => "default",
                        "policy-audit-mode" => "false",
                        _ => "true",
                    };
                    format!("\"{}\":\"{on}\"", off.field)
                })
                .collect();
            let patch = format!("{{\"data\":{{{}}}}}", set.join(","));
            let patch = format!("kubectl patch configmap cilium-config -n {ns} --type merge -p '{patch}'");
            (
                "Set it in the Helm values that made it, or patch it; agents read it at start.".to_owned(),
                vec![patch, restart],
            )
        }
        EngineKind::Aws => {
            let command = "aws eks update-addon --addon-name vpc-cni --cluster-name CLUSTER \
                           --configuration-values '{\"enableNetworkPolicy\":\"true\"}'";
            ("Switch the add-on's network policy on.".to_owned(), vec![command.to_owned()])
        }
        EngineKind::K3s => {
            let text = "Take --disable-network-policy out of the servers' and agents' arguments \
                        (/etc/rancher/k3s/config.yaml) and restart k3s on each node.";
            (text.to_owned(), vec!["systemctl restart k3s".to_owned()])
        }
        EngineKind::Weave => {
            let command = format!("kubectl set env daemonset/{name} -n {ns} EXPECT_NPC=1");
            (format!("Switch the policy controller on. {MIGRATE}"), vec![command])
        }
        EngineKind::KubeRouter => (
            "Set --run-firewall=true in its arguments.".to_owned(),
            vec![format!("kubectl edit daemonset/{name} -n {ns}")],
        ),
        EngineKind::Kindnet => ("Create the cluster with kind v0.24 or later.".to_owned(), Vec::new()),
        EngineKind::Calico
        | EngineKind::Antrea
        | EngineKind::NetworkPolicies
        | EngineKind::AzureNpm
        | EngineKind::OvnKubernetes => (MIGRATE.to_owned(), Vec::new()),
    }
}

/// What follows where no engine is known: nothing, or nothing that is known.
fn nothing_enforces(reading: &Reading, id: Id) -> Check {
    match reading.daemonsets {
        Known::Unknown(_) => Check::unread(id, "DaemonSets of all namespaces", &reading.daemonsets),
        Known::Read(_) => Check::not_applicable(id, "Nothing is known here that enforces."),
    }
}

fn agents(reading: &Reading, found: &Found) -> Check {
    if found.engines.is_empty() {
        return nothing_enforces(reading, Id::Agents);
    }
    let bound = found.engines.iter().filter(|engine| engine.kind != EngineKind::K3s);
    if let Some(check) = bound.filter_map(|engine| not_everywhere(reading, engine)).next() {
        return check;
    }
    if let Some(check) = outside(reading) {
        return check;
    }
    let seen = found.engines.iter().filter_map(|engine| {
        let words = format!("{} of {}", engine.ready?, engine.desired?);
        Some(Evidence::new(&engine.object, "ready", &words))
    });
    let is_k3s = found.has(EngineKind::K3s);
    let words = if is_k3s {
        "It runs inside each k3s process, which no object shows; only a probe can prove it."
    } else {
        "It is ready on every node; only a probe can prove that it enforces."
    };
    Check::pass(Id::Agents, words).seen(seen)
}

/// Nodes for which no agent is made: rows with pods there are not protected, the others are.
fn outside(reading: &Reading) -> Option<Check> {
    let nodes = reading.nodes.list();
    let outside = || nodes.iter().filter_map(|node| Some((node, outside_mark(node)?)));
    let reach: Vec<Text> = outside().map(|(node, _)| Text::new(&node.name)).collect();
    if reach.is_empty() {
        return None;
    }
    let seen =
        outside().map(|(node, (key, value))| Evidence::new(&Object::new("Node", "", &node.name), key, value));
    let words = format!(
        "On {} of {} nodes no agent runs (Fargate, Windows or virtual): rows with pods there are not applied.",
        reach.len(),
        nodes.len()
    );
    Some(
        Check::fail(Id::Agents, words)
            .seen(seen)
            .fixed("Keep workloads in scope off those nodes, or leave their namespaces out.", &[])
            .reaching(Reach::Nodes(reach)),
    )
}

/// What keeps one engine from being on every node that it is made for; `None`: nothing that is known.
fn not_everywhere(reading: &Reading, engine: &Engine) -> Option<Check> {
    let nodes = reading.nodes.list();
    let (Some(desired), Some(ready)) = (engine.desired, engine.ready) else {
        return Some(
            Check::unknown(
                Id::Agents,
                format!("{} tells no status: manifests do not say what runs.", engine.object),
            )
            .fixed(ASK_CLUSTER, &[]),
        );
    };
    let status = [
        Evidence::new(&engine.object, "status.numberReady", &ready.to_string()),
        Evidence::new(&engine.object, "status.desiredNumberScheduled", &desired.to_string()),
    ];
    let (ns, name) = (&engine.object.ns, &engine.object.name);
    let elsewhere = || match ready {
        0 => Reach::Cluster,
        _ => Reach::Unready(engine.object.clone()),
    };
    if ready < desired || desired == 0 {
        return Some(
            Check::fail(
                Id::Agents,
                format!(
                    "{} is ready on {ready} of {desired} nodes; where it is not, nothing may enforce.",
                    engine.object
                ),
            )
            .seen(status)
            .fixed(
                "Find out why its pods are not ready.",
                &[
                    format!("kubectl get pods -n {ns} -o wide --field-selector status.phase!=Running"),
                    format!("kubectl rollout status daemonset/{name} -n {ns}"),
                ],
            )
            .reaching(elsewhere()),
        );
    }
    if let Known::Unknown(_) = reading.nodes {
        return Some(Check::unread(Id::Agents, "nodes", &reading.nodes).seen(status));
    }
    let all = nodes.iter().filter(|node| outside_mark(node).is_none()).count();
    if (desired as usize) < all {
        let set = reading.workload(ns.as_str(), name.as_str());
        let chosen = set.map(selector_words).unwrap_or_default();
        return Some(Check::fail(Id::Agents, format!("{} runs on {desired} of {all} nodes; the others do not enforce.", engine.object))
            .seen(status)
            .seen(chosen)
            .fixed("Let it run everywhere: compare its node selector and tolerations with the nodes' labels and taints.", &[
                format!("kubectl get daemonset {name} -n {ns} -o jsonpath='{{.spec.template.spec.nodeSelector}} {{.spec.template.spec.tolerations}}'"),
            ])
            .reaching(elsewhere()));
    }
    None
}

fn selector_words(set: &super::reading::Workload) -> Vec<Evidence> {
    let pair =
        |(key, value): (&String, &String)| Evidence::new(&set.object, &format!("nodeSelector {key}"), value);
    set.node_selector.iter().map(pair).collect()
}

/// What tells of a node that no agent is made for: EKS Fargate, Windows, and a virtual kubelet, which may
/// be labelled or only tainted.
fn outside_mark(node: &Node) -> Option<(&'static str, &str)> {
    const LABELS: [(&str, &str); 3] = [
        ("kubernetes.io/os", "windows"),
        ("eks.amazonaws.com/compute-type", "fargate"),
        ("type", "virtual-kubelet"),
    ];
    const TAINT: &str = "virtual-kubelet.io/provider";
    let labelled =
        LABELS.into_iter().find(|(key, value)| node.labels.get(*key).is_some_and(|it| it == value));
    labelled.or_else(|| node.taints.iter().any(|key| key == TAINT).then_some(("taint", TAINT)))
}

fn deviations(reading: &Reading, found: &Found) -> Check {
    let Some(engine) = found.only() else {
        return match found.engines.is_empty() {
            true => nothing_enforces(reading, Id::Gaps),
            false => Check::unknown(Id::Gaps, "Several components enforce, so what holds is not known."),
        };
    };
    let row = gaps::of(engine);
    let config = |key: &str| cilium_setting(reading, engine, key);
    let (mut bad, mut notes): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut seen = vec![engine.evidence.clone()];
    if row.end_port == Some(false) {
        bad.push("endPort is ignored, so a range opens its first port only");
    }
    if row.traits.named_ports == Holds::No {
        bad.push("policies with named ports are refused");
    }
    match engine.kind {
        EngineKind::Cilium => {
            match config("policy-cidr-match-mode") {
                Some(mode) if mode.contains("nodes") => notes.push("an ipBlock selects nodes".to_owned()),
                _ => notes.push("an ipBlock selects no nodes".to_owned()),
            }
            if config("enable-sctp").as_deref() != Some("true") {
                notes.push("SCTP is not enforced".to_owned());
            }
        }
        _ => match row.traits.sctp {
            Holds::Yes => {}
            Holds::No => notes.push("SCTP is not enforced".to_owned()),
            Holds::Unsure => notes.push("whether SCTP is enforced is not known".to_owned()),
        },
    }
    if row.traits.service == ServiceView::Service {
        notes.push("egress is judged on the Service's address, before it becomes a pod's".to_owned());
    }
    if row.cuts_live == Some(false) {
        notes.push("connections that are there outlive a new deny".to_owned());
    }
    notes.extend(row.notes.iter().map(|note| (*note).to_owned()));
    if !notes.is_empty() {
        seen.push(Evidence::new(&engine.object, "known of it", &notes.join("; ")));
    }
    let name = format!("{}{}", engine.kind.as_str(), version(engine));
    if !bad.is_empty() {
        let next = match engine.kind {
            EngineKind::Cilium => "Upgrade to Cilium 1.16 or later, or write no endPort here.",
            _ => MIGRATE,
        };
        return Check::fail(Id::Gaps, format!("{name}: {}.", bad.join("; "))).seen(seen).fixed(next, &[]);
    }
    if row.end_port.is_none() {
        return Check::unknown(
            Id::Gaps,
            format!("{name}: whether it honours endPort depends on its version, which is not told."),
        )
        .seen(seen)
        .fixed("Name the agent's image by a tag, or write no endPort here.", &[]);
    }
    let words =
        if notes.is_empty() { String::new() } else { format!(" To be minded: {}.", notes.join("; ")) };
    Check::pass(Id::Gaps, format!("{name} has no gap that changes a policy silently.{words}")).seen(seen)
}

fn cilium_setting(reading: &Reading, engine: &Engine, key: &str) -> Option<String> {
    match reading.config_maps.get(engine.object.ns.as_str(), "cilium-config") {
        Known::Read(Some(map)) => map.get(key).map(str::to_owned),
        Known::Read(None) | Known::Unknown(_) => None,
    }
}

/// Probes of the kubelet, and what listens on the host.
fn own_node(reading: &Reading, found: &Found) -> Check {
    let Some(engine) = found.only() else {
        return match found.engines.is_empty() {
            true => nothing_enforces(reading, Id::OwnNode),
            false => Check::unknown(Id::OwnNode, "Several components enforce, so what holds is not known."),
        };
    };
    let set = reading.workload(engine.object.ns.as_str(), engine.object.name.as_str());
    match engine.kind {
        EngineKind::Cilium => match (&engine.doubt, cilium_setting(reading, engine, "allow-localhost")) {
            (Some(why), _) => Check::unknown(Id::OwnNode, format!("{why}.")),
            (None, Some(mode)) if mode == "policy" => {
                let config = Object::new("ConfigMap", engine.object.ns.as_str(), "cilium-config");
                Check::fail(Id::OwnNode, "The kubelet's probes are judged by policies: pods would fail them under a default deny.")
                    .seen([Evidence::new(&config, "allow-localhost", &mode)])
                    .fixed("Set allow-localhost to auto or always.", &[format!(
                        "kubectl patch configmap cilium-config -n {} --type merge -p '{{\"data\":{{\"allow-localhost\":\"auto\"}}}}'",
                        engine.object.ns
                    )])
            }
            (None, _) => Check::pass(
                Id::OwnNode,
                "The kubelet reaches its pods; a pod needs the entity `host` to reach its node.",
            ),
        },
        EngineKind::Calico => {
            const FELIX: &str = "felixconfigurations.crd.projectcalico.org";
            let told = reading.custom(FELIX).iter().find_map(|felix| {
                let value = felix.get("spec.defaultEndpointToHostAction")?;
                Some(Evidence::new(&felix.object, "spec.defaultEndpointToHostAction", value))
            });
            let env = set.and_then(|set| {
                let container = set.container("calico-node").or(set.containers.first())?;
                let value = container.env("FELIX_DEFAULTENDPOINTTOHOSTACTION")?;
                Some(Evidence::new(&set.object, "env FELIX_DEFAULTENDPOINTTOHOSTACTION", value))
            });
            match env.or(told) {
                Some(seen) if matches!(seen.value.as_str().to_ascii_lowercase().as_str(), "accept" | "return") => {
                    Check::pass(Id::OwnNode, "The kubelet reaches its pods, and pods reach their node where egress allows it.").seen([seen])
                }
                Some(seen) => Check::fail(Id::OwnNode, "Pods never reach their own node, whatever a policy allows: a cache of DNS on the host fails.")
                    .seen([seen])
                    .fixed("Let Calico accept what egress policies have allowed.", &[
                        "kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"defaultEndpointToHostAction\":\"Accept\"}}'".to_owned(),
                    ]),
                None => match reading.custom.get(FELIX).and_then(|list| list.why()) {
                    Some(why) => Check::unknown(Id::OwnNode, format!("FelixConfigurations cannot be read: {why}.")),
                    None => Check::fail(Id::OwnNode, "defaultEndpointToHostAction is not set, and Felix drops by default: pods never reach their own node, whatever a policy allows.")
                        .seen([Evidence::new(&engine.object, "env FELIX_DEFAULTENDPOINTTOHOSTACTION", "not set")])
                        .fixed("Let Calico accept what egress policies have allowed.", &[
                            "kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"defaultEndpointToHostAction\":\"Accept\"}}'".to_owned(),
                        ]),
                },
            }
        }
        _ => Check::pass(
            Id::OwnNode,
            "The kubelet reaches its pods; what a pod sends to its node is judged by egress policies.",
        ),
    }
}

fn families(reading: &Reading, found: &Found) -> Check {
    if let Known::Unknown(_) = reading.nodes {
        return Check::unread(Id::Families, "nodes", &reading.nodes);
    }
    let nodes = reading.nodes.list();
    let cidrs = || nodes.iter().flat_map(|node| node.pod_cidrs.iter().map(move |cidr| (node, cidr)));
    let has = |six: bool| {
        cidrs().any(|(_, cidr)| cidr.contains(':') == six)
            || reading.services.list().iter().any(|one| one.addresses.iter().any(|a| a.contains(':') == six))
    };
    let seen = nodes.first().map(|node| {
        let object = Object::new("Node", "", &node.name);
        Evidence::new(&object, "spec.podCIDRs", &node.pod_cidrs.join(","))
    });
    let engine = found.only();
    match (has(false), has(true)) {
        (false, false) => Check::unknown(Id::Families, "Neither nodes nor Services tell an address range.")
            .fixed("Look at the address ranges of the CNI's own configuration.", &[]),
        (true, false) => Check::pass(Id::Families, "IPv4 only.").seen(seen),
        (false, true) if engine.is_some_and(|one| one.kind == EngineKind::Aws) => {
            Check::fail(Id::Families, "Pods have IPv6 addresses, and the IPv4 interface that the VPC CNI adds for egress is not enforced.")
                .seen(seen)
                .fixed("Switch that interface off.", &["kubectl set env daemonset/aws-node -n kube-system ENABLE_V4_EGRESS=false".to_owned()])
        }
        (false, true) => Check::pass(Id::Families, "IPv6 only.").seen(seen),
        (true, true) => match engine.map(|engine| (engine, gaps::of(engine).both_families)) {
            Some((_, true)) => Check::pass(
                Id::Families,
                "Both families are in use and enforced: an allow list by addresses needs both, and names need their AAAA answers.",
            )
            .seen(seen),
            Some((engine, false)) => Check::fail(Id::Families, format!("Both families are in use, and {} enforces one of them.", engine.kind.as_str()))
                .seen(seen)
                .fixed("Use one family, or migrate the CNI to Calico or Cilium.", &[]),
            None => Check::unknown(Id::Families, "Both families are in use, and what enforces them is not known.").seen(seen),
        },
    }
}

/// Words for [`Text`] fields elsewhere: an engine with its version.
pub fn named(engine: &Engine) -> Text {
    Text::from(format!("{}{}", engine.kind.as_str(), version(engine)))
}
