//! Checks of what stands around policies: callbacks of the API server, pods on the host's network,
//! the cloud's token addresses, meshes, other writers and other kinds of policy. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{flow::Direction, names::plural, policy::Pinned};

use super::{
    check::{Check, CheckId as Id, Evidence},
    engines::{EngineKind, Found},
    identity,
    reading::{CUSTOM, Hook, Known, Object, Reading, Record, Workload},
    scrapers,
};

pub fn checks(reading: &Reading, found: &Found) -> Vec<Check> {
    vec![
        hooks(reading),
        host_network(reading, found),
        scrapers::check(reading),
        identity::check(reading, found),
        mesh(reading),
        owners(reading),
        foreign(reading),
    ]
}

/// Namespaces of the cluster itself, where no policy of ours goes by default.
pub fn is_system(ns: &str) -> bool {
    ns.starts_with("kube-")
        || ns.starts_with("openshift-")
        || matches!(ns, "calico-system" | "tigera-operator" | "cilium-system")
}

fn hooks(reading: &Reading) -> Check {
    let hooks = match &reading.hooks {
        Known::Unknown(_) => {
            return Check::unread(Id::Hooks, "webhooks and aggregated APIs", &reading.hooks);
        }
        Known::Read(hooks) => hooks,
    };
    let some = reading.unread_hooks.clone().map(Known::<()>::Unknown);
    let unread = some.map(|why| Check::unread(Id::Hooks, "some webhooks and aggregated APIs", &why));
    if hooks.is_empty() {
        return unread
            .unwrap_or_else(|| Check::pass(Id::Hooks, "The API server calls nothing inside the cluster."));
    }
    let (hosted, cut): (Vec<&Hook>, Vec<&Hook>) =
        hooks.iter().partition(|hook| server(reading, hook).is_some_and(|one| one.host_network));
    let line = |hook: &&Hook| {
        let field = match &hook.policy {
            Some(policy) => format!("{} ({policy})", hook.name),
            None => hook.name.to_string(),
        };
        Evidence::new(
            &hook.object,
            &field,
            &format!("{}/{}:{} to {}", hook.ns, hook.service, hook.port, target(reading, hook)),
        )
    };
    if cut.is_empty() {
        let passed = || {
            let fact = "What the API server calls runs on the host's network, which policies do not reach.";
            Check::pass(Id::Hooks, fact)
        };
        return unread.unwrap_or_else(passed).seen(hosted.iter().map(line));
    }
    let mut namespaces: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for hook in &cut {
        namespaces.entry(&hook.ns).or_default().insert(target(reading, hook));
    }
    let named: Vec<String> = namespaces
        .iter()
        .map(|(ns, ports)| format!("{ns} ({})", ports.iter().cloned().collect::<Vec<_>>().join(", ")))
        .collect();
    let stuck =
        cut.iter().filter(|hook| hook.policy.as_ref().is_none_or(|policy| policy.as_str() == "Fail")).count();
    let mut seen: Vec<Evidence> = cut.iter().map(line).collect();
    seen.sort();
    let more = reading.unread_hooks.as_ref().map_or_else(String::new, |why| format!(" Not read: {why}."));
    Check::fail(Id::Hooks, format!(
        "A default deny for ingress cuts off {} of them, and {stuck} fail closed: {}.{more}",
        plural(cut.len(), "callback"),
        named.join(", ")
    ))
    .seen(seen)
    .fixed("Allow ingress from the API server on the pods' own port, before the default deny of these namespaces.", &[
        "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations,apiservices".to_owned(),
    ])
}

/// The workload that answers a callback.
fn server<'a>(reading: &'a Reading, hook: &Hook) -> Option<&'a Workload> {
    let service = reading
        .services
        .list()
        .iter()
        .find(|one| one.object.ns.as_str() == hook.ns && one.object.name.as_str() == hook.service)?;
    let mut all = reading.workloads.list().iter().chain(reading.daemonsets.list());
    all.find(|one| one.object.ns == service.object.ns && one.is_selected(&service.selector))
}

/// The port of the pods, which policies see; it differs from the Service's as often as not.
fn target(reading: &Reading, hook: &Hook) -> String {
    let service = reading
        .services
        .list()
        .iter()
        .find(|one| one.object.ns.as_str() == hook.ns && one.object.name.as_str() == hook.service);
    let port = service.and_then(|service| service.ports.iter().find(|port| port.port == hook.port));
    port.map_or_else(|| "an unknown port".to_owned(), |port| format!("port {}", port.target))
}

fn host_network(reading: &Reading, found: &Found) -> Check {
    let all = reading.daemonsets.list().iter().chain(reading.workloads.list());
    let hosted: Vec<&Workload> =
        all.filter(|one| one.host_network && !is_system(one.object.ns.as_str())).collect();
    if let Some(why) = reading.daemonsets.why().or(reading.workloads.why()) {
        return Check::unknown(Id::HostNetwork, format!("Workloads cannot be read: {why}"))
            .fixed("Give the reader of this cluster list on DaemonSets, Deployments and StatefulSets.", &[]);
    }
    if hosted.is_empty() {
        return Check::not_applicable(
            Id::HostNetwork,
            "Outside the system's namespaces no workload uses the host's network.",
        );
    }
    let seen: Vec<Evidence> =
        hosted.iter().map(|one| Evidence::new(&one.object, "hostNetwork", "true")).collect();
    let count = plural(hosted.len(), "workload");
    if found.engines.is_empty() {
        return Check::not_applicable(Id::HostNetwork, "Nothing is known here that enforces.").seen(seen);
    }
    match found.only() {
        None => Check::unknown(
            Id::HostNetwork,
            format!("{count} on the host's network, and what enforces is not known."),
        )
        .seen(seen),
        Some(engine) if engine.kind == EngineKind::Cilium => {
            let ns = engine.object.ns.as_str();
            match reading.config_maps.get(ns, "cilium-config") {
                Known::Read(Some(map)) if map.get("policy-cidr-match-mode").is_some_and(|mode| mode.contains("nodes")) => {
                    Check::pass(Id::HostNetwork, format!("{count} on the host's network: selectors never match them, an ipBlock of the nodes does."))
                        .seen(seen)
                        .seen([Evidence::new(&map.object, "policy-cidr-match-mode", "nodes")])
                }
                Known::Read(_) => Check::fail(Id::HostNetwork, format!("{count} on the host's network: neither selectors nor an ipBlock match them here."))
                    .seen(seen)
                    .fixed("Name them by the entities host and remote-node in a CiliumNetworkPolicy, or set policy-cidr-match-mode to nodes.", &[format!(
                        "kubectl patch configmap cilium-config -n {ns} --type merge -p '{{\"data\":{{\"policy-cidr-match-mode\":\"nodes\"}}}}'"
                    )]),
                Known::Unknown(why) => Check::unknown(Id::HostNetwork, format!("{count} on the host's network, and Cilium's settings cannot be read: {why}")).seen(seen),
            }
        }
        Some(_) => Check::pass(
            Id::HostNetwork,
            format!(
                "{count} on the host's network: selectors never match them, an ipBlock of the nodes does."
            ),
        )
        .seen(seen),
    }
}

fn mesh(reading: &Reading) -> Check {
    let istio = reading.workload("", "istiod");
    let linkerd =
        reading.workload("", "linkerd-destination").or(reading.workload("", "linkerd-proxy-injector"));
    if let Some(why) = reading.workloads.why() {
        return Check::unknown(Id::Mesh, format!("Deployments cannot be read: {why}"))
            .fixed("Give the reader of this cluster list on Deployments.", &[]);
    }
    let (what, control, ports) = match (istio, linkerd) {
        (None, None) => return Check::pass(Id::Mesh, "No mesh is known here."),
        (Some(control), _) => ("Istio", control, "15012 and 15017"),
        (None, Some(control)) => ("Linkerd", control, "8080, 8086 and 8090"),
    };
    if let Known::Unknown(_) = reading.namespaces {
        return Check::unread(Id::Mesh, "namespaces", &reading.namespaces);
    }
    let injected = |record: &Record| {
        let label =
            ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"].into_iter().find_map(|key| {
                let value =
                    record.labels.get(key).filter(|value| *value != "disabled" && *value != "none")?;
                Some(Evidence::new(&record.object, &format!("label {key}"), value))
            });
        label.or_else(|| {
            let value = record.annotations.get("linkerd.io/inject").filter(|value| *value == "enabled")?;
            Some(Evidence::new(&record.object, "annotation linkerd.io/inject", value))
        })
    };
    let seen: Vec<Evidence> = reading.namespaces.list().iter().filter_map(injected).collect();
    let control = Evidence::new(&control.object, "kind", control.object.kind.as_str());
    if seen.is_empty() {
        return Check::pass(Id::Mesh, format!("{what} is here, and no namespace asks for its sidecars."))
            .seen([control]);
    }
    Check::fail(Id::Mesh, format!(
        "{what} puts sidecars into {}: without its control plane (ports {ports}) their pods do not start, and its kept connections hide what a policy cuts.",
        plural(seen.len(), "namespace")
    ))
    .seen([control])
    .seen(seen)
    .fixed("Allow egress to the control plane's namespace in each of these, and restart their pods once under the policy.", &[])
}

/// A controller that writes what it reads from git.
const WRITERS: [(&str, &str); 6] = [
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("fleet-agent", "Rancher Fleet"),
    ("reconciler-manager", "Config Sync"),
    ("kyverno-background-controller", "Kyverno"),
];

fn owners(reading: &Reading) -> Check {
    if let Some(why) = reading.workloads.why() {
        return Check::unknown(
            Id::Owners,
            format!("Deployments and StatefulSets cannot be read, so who else writes is not known: {why}"),
        )
        .fixed("Give the reader of this cluster list on them.", &[]);
    }
    let writers: Vec<(&str, Evidence)> = WRITERS
        .into_iter()
        .filter_map(|(name, tool)| {
            let one = reading.workload("", name)?;
            Some((tool, Evidence::new(&one.object, "writes for", tool)))
        })
        .collect();
    let marked = |record: &Record| {
        let marks = [
            ("argocd.argoproj.io/tracking-id", "Argo CD"),
            ("kustomize.toolkit.fluxcd.io/name", "Flux"),
            ("helm.toolkit.fluxcd.io/name", "Flux"),
            ("meta.helm.sh/release-name", "Helm"),
            ("objectset.rio.cattle.io/id", "Rancher Fleet"),
            ("np.rke2.io", "RKE2"),
        ];
        marks.into_iter().find_map(|(key, tool)| {
            let value = record.annotations.get(key).or(record.labels.get(key))?;
            Some((tool, Evidence::new(&record.object, key, value)))
        })
    };
    let owned: Vec<(&str, Evidence)> = reading.namespaces.list().iter().filter_map(marked).collect();
    if writers.is_empty() && owned.is_empty() {
        return match reading.namespaces.why() {
            Some(why) => Check::unknown(
                Id::Owners,
                format!("Namespaces cannot be read, so whose they are is not known: {why}"),
            )
            .fixed("Give the reader of this cluster list on namespaces.", &[]),
            None => Check::pass(
                Id::Owners,
                "No tool that writes from git is known here, and no namespace carries its marks.",
            ),
        };
    }
    let tools: BTreeSet<&str> = writers.iter().chain(&owned).map(|(tool, _)| *tool).collect();
    let tools = tools.into_iter().collect::<Vec<_>>().join(", ");
    let words = match owned.len() {
        0 => format!("{tools} runs here: objects that it made are written again after a rollback."),
        n => format!(
            "{tools} owns {}: what it made is written again after a rollback.",
            plural(n, "namespace")
        ),
    };
    Check::fail(Id::Owners, words)
        .seen(writers.into_iter().map(|(_, evidence)| evidence))
        .seen(owned.into_iter().map(|(_, evidence)| evidence))
        .fixed("Deliver policies of these namespaces through git, and never default-deny the tool's own namespace without a way round it.", &[
            "sluice apply -n NAMESPACE --to-git DIR".to_owned(),
        ])
}

/// Other kinds of policy: what each does to a NetworkPolicy's meaning.
const FOREIGN: [(&str, &str); 11] = [
    ("adminnetworkpolicies.policy.networking.k8s.io", "decides before NetworkPolicy"),
    ("baselineadminnetworkpolicies.policy.networking.k8s.io", "decides where no NetworkPolicy selects"),
    ("clusternetworkpolicies.policy.networking.k8s.io", "decides before or after NetworkPolicy"),
    ("ciliumnetworkpolicies.cilium.io", "its allows add up with NetworkPolicy's, its denies win"),
    ("ciliumclusterwidenetworkpolicies.cilium.io", "its allows add up with NetworkPolicy's, its denies win"),
    ("globalnetworkpolicies.crd.projectcalico.org", "decides by its order, NetworkPolicy stands at 1000"),
    ("networkpolicies.crd.projectcalico.org", "decides by its order, NetworkPolicy stands at 1000"),
    ("clusternetworkpolicies.crd.antrea.io", "decides before NetworkPolicy, but for the Baseline tier"),
    ("networkpolicies.crd.antrea.io", "decides before NetworkPolicy, but for the Baseline tier"),
    ("egressfirewalls.k8s.ovn.org", "denies egress beside NetworkPolicy"),
    ("authorizationpolicies.security.istio.io", "denies requests beside NetworkPolicy"),
];

fn foreign(reading: &Reading) -> Check {
    let served = |kind: &str| reading.custom.get(kind);
    let kind_of = |id: &str| CUSTOM.iter().find(|one| one.id == id).map_or("", |one| one.kind);
    let mut seen: Vec<(&str, Evidence)> = Vec::new();
    let mut unread = Vec::new();
    for (kind, effect) in FOREIGN {
        match served(kind) {
            None => {}
            Some(Known::Unknown(why)) => unread.push(format!("{} ({why})", kind_of(kind))),
            Some(Known::Read(list)) => {
                let theirs = list.iter().filter(|record| !is_known(record));
                seen.extend(theirs.map(|record| (effect, Evidence::new(&record.object, "effect", effect))));
            }
        }
    }
    if !seen.is_empty() {
        let kinds: BTreeSet<String> =
            seen.iter().map(|(_, evidence)| evidence.object.kind.to_string()).collect();
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
        let count = plural(seen.len(), "object");
        return Check::fail(Id::Foreign, format!("{count} of other kinds decide beside NetworkPolicy: {kinds}. A prediction by NetworkPolicies alone may be wrong."))
            .seen(seen.into_iter().map(|(_, evidence)| evidence))
            .fixed("Read each of them before the first policy is written, and keep them in mind at every denial.", &[]);
    }
    if !unread.is_empty() {
        return Check::unknown(Id::Foreign, format!("Kinds that cannot be read: {}.", unread.join("; ")))
            .fixed("Give the reader of this cluster list on them.", &[]);
    }
    if let Known::Unknown(_) = reading.groups {
        return Check::unread(Id::Foreign, "the served API groups", &reading.groups);
    }
    Check::pass(Id::Foreign, "No object of another kind of policy is there.")
}

/// Our own pinned policies, and the copies of NetworkPolicies that Calico keeps under this prefix.
fn is_known(record: &Record) -> bool {
    let Object { kind, name, .. } = &record.object;
    let mut pinned = Direction::ALL.into_iter().flat_map(Pinned::of);
    name.as_str().starts_with("knp.")
        || pinned.any(|one| one.name == name.as_str() && one.kind.as_str() == kind.as_str())
}
