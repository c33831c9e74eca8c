//! Ways that must stay open whatever was recorded: to the resolver and its caches, to where tokens come
//! from, to the control plane of a mesh, and from the API server to what it calls. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use super::{
    scene::{Scene, Way, place},
    stories::{Answer, Mark},
    story_pods::rules,
};
use crate::domain::{
    author::METADATA,
    edge::Peer,
    eval::{
        around::Mesh,
        cluster::Pod,
        plugin::Plugin,
        rule::{Peer as Named, PortMatch},
    },
    flow::{Direction, Entity, Protocol},
    names::{NsName, Workload},
    range,
};

const DNS: u16 = 53;
const LOOKUPS: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

/// The workloads whose lookups go to the cluster's resolver.
fn askers<'s>(scene: &Scene<'s>) -> Vec<&'s Workload> {
    scene.those(|pod| !scene.marks(pod).is_some_and(|marks| marks.own_dns))
}

pub(super) fn resolver(scene: &Scene<'_>, answer: &mut Answer) {
    let who = askers(scene);
    if who.is_empty() {
        return answer.pass(scene.wanted.ns.as_str(), "no pod runs here that asks the cluster's resolver");
    }
    let Some(service) = scene.cluster.around.resolver.and_then(|at| scene.cluster.services.get(at)) else {
        return answer.unknown(
            "the cluster's resolver",
            "no Service was read that serves lookups in kube-system or openshift-dns",
            "Let sluice list Services, or hand the resolver's Service and pods in with --manifests.",
        );
    };
    let name = format!("{}/{}", service.ns, service.name);
    if service.addresses.is_empty() {
        let next = "Look at the Service: what pods have in resolv.conf is its address.";
        return answer.unknown(&format!("Service {name}"), "it has no address of its own", next);
    }
    for address in &service.addresses {
        for protocol in LOOKUPS {
            let what = format!("lookups by {protocol} to {name} ({})", place(*address, DNS));
            let way = Way { peer: Peer::Address(*address), protocol, port: DNS, what };
            let next = "Allow it in egress-baseline-allow, UDP and TCP; `sluice author` writes it for this resolver.";
            scene.require(&who, &way, (Mark::Fail, next), answer);
        }
    }
    if answer.is_empty() {
        answer.pass(&format!("Service {name}"), "UDP and TCP to where its pods listen pass");
    }
}

pub(super) fn caches(scene: &Scene<'_>, answer: &mut Answer) {
    let running = |pod: &&Pod| !pod.finished;
    let marked = scene.cluster.pods.iter().filter(running).filter_map(|pod| Some((pod, scene.marks(pod)?)));
    let caches: Vec<_> = marked.filter(|(_, marks)| !marks.listens.is_empty()).collect();
    let Some((first, _)) = caches.first() else {
        return answer.pass("the nodes", "no pod of NodeLocal DNSCache runs");
    };
    let who = askers(scene);
    let next = match scene.cluster.traits.plugin {
        Plugin::Cilium => {
            "Allow the entity host on 53 by UDP and TCP in egress-allowlist-fqdn; `sluice author` writes it."
        }
        _ => {
            "Allow the cache's addresses as ipBlock on 53 by UDP and TCP in egress-baseline-allow; `sluice author` writes it."
        }
    };
    let addresses: BTreeSet<IpAddr> = caches.iter().flat_map(|(_, marks)| &marks.listens).copied().collect();
    // A redirect policy leads lookups to pods of the cache that are not on the host's network.
    let redirected = caches.iter().find(|(pod, _)| !pod.host_network);
    let mut peers: Vec<(Peer, String)> = match redirected {
        Some((pod, _)) => pod
            .workload
            .iter()
            .map(|it| (Peer::Pods { ns: pod.ns.clone(), workload: it.clone() }, format!("{}/{it}", pod.ns)))
            .collect(),
        None => Vec::new(),
    };
    if redirected.is_none() {
        peers.extend(addresses.iter().map(|address| (Peer::Address(*address), place(*address, DNS))));
    }
    for (peer, named) in peers {
        for protocol in LOOKUPS {
            let what = format!("lookups by {protocol} to the cache on the node ({named})");
            let way = Way { peer: peer.clone(), protocol, port: DNS, what };
            scene.require(&who, &way, (Mark::Fail, next), answer);
        }
    }
    if answer.is_empty() {
        let object =
            first.workload.as_ref().map_or_else(|| first.name.to_string(), |it| format!("{}/{it}", first.ns));
        answer.pass(&object, "lookups to the cache on each node pass");
    }
}

/// Where GKE's and Azure's agents on the nodes send what asks 169.254.169.254.
const ASKED: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const GKE: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 252));

pub(super) fn tokens(scene: &Scene<'_>, answer: &mut Answer) {
    let mut used: BTreeMap<(IpAddr, u16), BTreeSet<&Workload>> = BTreeMap::new();
    for (workload, pods) in &scene.own {
        let tokens = pods.iter().filter_map(|pod| scene.marks(pod)).flat_map(|marks| &marks.tokens);
        for token in tokens {
            used.entry(*token).or_default().insert(workload);
        }
    }
    let networks = METADATA.iter().filter_map(|raw| raw.parse::<IpNet>().ok());
    let metadata: BTreeSet<IpAddr> = networks.map(|network| network.addr()).collect();
    for (key, _) in scene.edges {
        let Peer::Address(address) = key.peer else { continue };
        let address = range::fold(address);
        if key.protocol == Protocol::Tcp && metadata.contains(&address) {
            used.entry((address, key.port)).or_default().insert(&key.workload);
        }
    }
    if used.is_empty() {
        return answer
            .pass(scene.wanted.ns.as_str(), "no pod was seen to use cloud metadata or a token address");
    }
    let next = "Let a grant cover it (it is flagged) and write it anew, or move the workload away from it. A refusal \
                shows only when tokens expire.";
    for ((address, port), who) in used {
        let who: Vec<&Workload> = who.into_iter().collect();
        let what = format!("tokens from {}", place(address, port));
        let way = Way { peer: Peer::Address(address), protocol: Protocol::Tcp, port, what };
        scene.require(&who, &way, (Mark::Fail, next), answer);
        if address == ASKED {
            rewritten(scene, &who, next, answer);
        }
        if answer.is_empty() {
            let fact = format!(
                "tokens from {} pass; whether they do shows only when they expire",
                place(address, port)
            );
            answer.pass(&scene.named(&who), fact);
        }
    }
}

/// Some platforms turn the metadata address into another one before policies judge.
fn rewritten(scene: &Scene<'_>, who: &[&Workload], next: &str, answer: &mut Answer) {
    let on = |scheme: &str| scene.cluster.around.clouds.iter().any(|cloud| cloud.as_str() == scheme);
    let is_cilium = scene.cluster.traits.plugin == Plugin::Cilium;
    let has_nmi =
        scene.cluster.pods.iter().any(|pod| {
            pod.host_network && pod.workload.as_ref().is_some_and(|one| one.name.as_str() == "nmi")
        });
    let (peer, port, what, mark) = if on("gce") && !is_cilium {
        (Peer::Address(GKE), 988, "tokens as GKE sends them on, to 169.254.169.252:988,", Mark::Fail)
    } else if on("gce") {
        let what = "tokens as Dataplane V2 may send them on, to port 988 of the node,";
        (Peer::Entity(Entity::Host), 988, what, Mark::Unknown)
    } else if on("azure") && has_nmi {
        (
            Peer::Entity(Entity::Host),
            2579,
            "tokens as AAD Pod Identity sends them on, to port 2579 of the node,",
            Mark::Fail,
        )
    } else {
        return;
    };
    let way = Way { peer, protocol: Protocol::Tcp, port, what: what.to_owned() };
    scene.require(who, &way, (mark, next), answer);
}

pub(super) fn hooks(scene: &Scene<'_>, answer: &mut Answer) {
    let around = &scene.cluster.around;
    let Some(hooks) = &around.hooks else {
        return answer.unknown(
            "webhook configurations",
            "they were not read, so what the API server calls here is not known",
            "Let sluice list validating and mutating webhook configurations and APIServices, or hand them in with \
             --manifests.",
        );
    };
    let mut is_any = false;
    for hook in hooks.iter().filter(|hook| hook.ns == *scene.wanted.ns) {
        is_any = true;
        let object = format!("{} ({})", hook.object, hook.name);
        let service = scene.cluster.services.iter().find(|one| one.ns == hook.ns && one.name == hook.service);
        let port = service
            .and_then(|service| Some((service, service.ports.iter().find(|port| port.port == hook.port)?)));
        let Some((service, port)) = port else {
            let fact =
                format!("its Service {}/{} with port {} was not read", hook.ns, hook.service, hook.port);
            answer.unknown(&object, fact, "Look whether the Service is there; the API server calls it.");
            continue;
        };
        let behind = scene.behind(service, port);
        let mut targets: BTreeMap<u16, Vec<&Workload>> = BTreeMap::new();
        for (pod, target) in behind.iter().filter(|(pod, _)| !pod.host_network) {
            targets.entry(*target).or_default().extend(&pod.workload);
        }
        if behind.is_empty() {
            answer.unknown(
                &object,
                format!("no pod stands behind Service {}/{} now", hook.ns, hook.service),
                "Start it, then preview again.",
            );
        }
        for (target, mut who) in targets {
            who.sort_unstable();
            who.dedup();
            let open =
                if hook.ignores_failure { ", and nobody would notice (failurePolicy Ignore)" } else { "" };
            let next = format!(
                "Allow TCP/{target}, the pods' own port, from the API server in ingress-allowlist; `sluice author` writes \
                 it where the API server's addresses are known{}.",
                if scene.cluster.traits.plugin == Plugin::Cilium {
                    ", and on Cilium a rule with the port and no `from` is needed"
                } else {
                    ""
                }
            );
            for (peer, named) in callers(scene) {
                let what =
                    format!("{object} from {named} to TCP/{target} (Service port {}){open}", hook.port);
                let way = Way { peer, protocol: Protocol::Tcp, port: target, what };
                scene.require(&who, &way, (Mark::Fail, &next), answer);
            }
        }
    }
    if answer.is_empty() {
        let fact = match is_any {
            true => "what the API server calls here can be reached on the pods' own ports",
            false => "the API server calls nothing here",
        };
        answer.pass(scene.wanted.ns.as_str(), fact);
    }
}

/// As whom the API server comes: through the agents of konnectivity where there are any, else from its
/// own endpoints.
fn callers(scene: &Scene<'_>) -> Vec<(Peer, String)> {
    let is_agent = |pod: &&Pod| !pod.finished && pod.labels.get("k8s-app") == Some("konnectivity-agent");
    let agent = scene.cluster.pods.iter().find(is_agent);
    if let Some((pod, workload)) = agent.and_then(|pod| Some((pod, pod.workload.clone()?))) {
        let named = format!("{}/{workload}", pod.ns);
        return vec![(Peer::Pods { ns: pod.ns.clone(), workload }, named)];
    }
    let api = &scene.cluster.around.api;
    if api.is_empty() {
        return vec![(Peer::Entity(Entity::KubeApiserver), "the API server".to_owned())];
    }
    let addresses: BTreeSet<IpAddr> = api.iter().map(|(address, _)| *address).collect();
    addresses
        .into_iter()
        .map(|address| (Peer::Address(address), format!("the API server ({address})")))
        .collect()
}

/// Is there a rule for exactly this TCP port to addresses, or to everybody?
fn opens_outside(scene: &Scene<'_>, port: u16) -> bool {
    let is_outside = |peer: &Named| matches!(peer, Named::Block { .. });
    let is_port = |one: &PortMatch| match one {
        PortMatch::Span(span) => (span.protocol, span.from, span.to) == (Protocol::Tcp, port, port),
        PortMatch::Protocol(_) | PortMatch::Named { .. } => false,
    };
    rules(scene).any(|(.., rule)| {
        rule.ports.iter().any(is_port) && (rule.peers.is_empty() || rule.peers.iter().any(is_outside))
    })
}

/// Sidecars asked for at the most where a control plane's own namespace is looked at.
const SIDECARS: usize = 20;

pub(super) fn mesh(scene: &Scene<'_>, answer: &mut Answer) {
    for mesh in [Mesh::Istio, Mesh::Linkerd] {
        match scene.wanted.direction {
            Direction::Egress => to_control(scene, mesh, answer),
            Direction::Ingress => from_sidecars(scene, mesh, answer),
        }
    }
    if answer.is_empty() {
        answer.pass(scene.wanted.ns.as_str(), "no sidecar of a mesh is here that would be cut off");
    }
}

fn has_sidecar(scene: &Scene<'_>, pod: &Pod, mesh: Mesh) -> bool {
    scene.cluster.around.injected.get(&pod.ns) == Some(&mesh)
        || scene.marks(pod).is_some_and(|marks| marks.mesh == Some(mesh))
}

fn to_control(scene: &Scene<'_>, mesh: Mesh, answer: &mut Answer) {
    let who = scene.those(|pod| has_sidecar(scene, pod, mesh));
    if who.is_empty() {
        return;
    }
    let next = format!(
        "Allow it (a rule of yours in egress-allowlist.extra.yaml, or pods among themselves in the baseline), then restart \
         the pods once: connections that {}'s sidecars keep open stay untested.",
        mesh.as_str()
    );
    let mut is_found = true;
    for (key, value, ports) in mesh.control() {
        let is_control = |pod: &&Pod| !pod.finished && pod.labels.get(key) == Some(*value);
        let pod = scene.cluster.pods.iter().find(is_control);
        let Some((pod, workload)) = pod.and_then(|pod| Some((pod, pod.workload.clone()?))) else {
            is_found = false;
            if ports.iter().all(|port| opens_outside(scene, *port)) {
                let fact = format!(
                    "no pod with {key}={value} was found; a rule opens its ports outside the cluster"
                );
                answer.pass(&scene.named(&who), fact);
                continue;
            }
            answer.unknown(
                &scene.named(&who),
                format!("{} puts sidecars here, and no pod with {key}={value} was found", mesh.as_str()),
                "A control plane outside the cluster needs a rule of yours for exactly its ports; look where it is.",
            );
            continue;
        };
        for port in *ports {
            let what = format!("{}'s control plane {}/{workload} on TCP/{port}", mesh.as_str(), pod.ns);
            let peer = Peer::Pods { ns: pod.ns.clone(), workload: workload.clone() };
            let way = Way { peer, protocol: Protocol::Tcp, port: *port, what };
            scene.require(&who, &way, (Mark::Fail, &next), answer);
        }
    }
    if is_found && answer.is_empty() {
        let fact = format!(
            "{}'s control plane can be reached; connections that its sidecars keep open stay untested until they are made \
             anew",
            mesh.as_str()
        );
        answer.pass(&scene.named(&who), fact);
    }
}

/// The control plane itself is here: sidecars everywhere must reach it.
fn from_sidecars(scene: &Scene<'_>, mesh: Mesh, answer: &mut Answer) {
    let mut sidecars: BTreeSet<(&NsName, &Workload)> = BTreeSet::new();
    let pods = scene.cluster.pods.iter().filter(|pod| !pod.finished && has_sidecar(scene, pod, mesh));
    sidecars.extend(pods.filter_map(|pod| Some((&pod.ns, pod.workload.as_ref()?))));
    for (key, value, ports) in mesh.control() {
        let who = scene.those(|pod| pod.labels.get(key) == Some(*value));
        for (ns, workload) in sidecars.iter().take(SIDECARS).filter(|_| !who.is_empty()) {
            for port in *ports {
                let what = format!("the sidecar of {ns}/{workload} to TCP/{port}");
                let peer = Peer::Pods { ns: (*ns).clone(), workload: (*workload).clone() };
                let way = Way { peer, protocol: Protocol::Tcp, port: *port, what };
                let next =
                    "Allow every namespace of the mesh in ingress-allowlist: without it no proxy starts.";
                scene.require(&who, &way, (Mark::Fail, next), answer);
            }
        }
    }
}
