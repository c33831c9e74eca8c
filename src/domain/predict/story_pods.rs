//! Who is meant: selectors that find nobody, pods whose isolation turns, peers that no selector matches,
//! workloads without evidence, and the two families of addresses. Pure.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    rules::{self, in_namespace, said},
    scene::Scene,
    stories::Answer,
};
use crate::domain::{
    edge::Peer as Recorded,
    eval::{
        cluster::Pod,
        isolation::Isolation,
        plugin::{Holds, Plugin},
        rule::{Peer, Pods, PortMatch, Rule},
    },
    flow::Direction,
    names::{Text, Workload, plural},
    policy::{Policy, Role},
    ranges::Ranges,
};

/// Every rule of the wanted set that could be read, counted from 1.
pub(super) fn rules<'s>(scene: &Scene<'s>) -> impl Iterator<Item = (&'s Policy, u32, &'s Rule)> {
    let direction = scene.wanted.direction;
    let of = move |policy: &'s Policy| {
        let rules = policy.network.as_ref().and_then(|network| network.rules(direction)).unwrap_or_default();
        rules.iter().zip(1..).filter_map(move |(rule, at)| Some((policy, at, rule.as_ref().ok()?)))
    };
    scene.wanted.set.values().flat_map(of)
}

fn found<'s>(scene: &Scene<'s>, pods: &Pods) -> Vec<&'s Pod> {
    let all = scene.cluster.pods.iter().filter(|pod| !pod.finished);
    let is_meant = |pod: &&Pod| {
        in_namespace(scene.cluster, scene.wanted.ns, pods, &pod.ns)
            && pods.pods.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
    };
    all.filter(is_meant).collect()
}

/// Only lookups pass by it: 53, and 5353 of OpenShift's resolver.
fn is_for_lookups(rule: &Rule) -> bool {
    let is_lookup = |port: &PortMatch| match port {
        PortMatch::Span(span) => span.from == span.to && matches!(span.from, 53 | 5353),
        PortMatch::Named { name, .. } => name.starts_with("dns"),
        PortMatch::Protocol(_) => false,
    };
    !rule.ports.is_empty() && rule.ports.iter().all(is_lookup)
}

/// A rule that could not be read may select anybody, and open anything.
pub(super) fn unread(scene: &Scene<'_>, answer: &mut Answer) {
    for policy in scene.wanted.set.values() {
        let rules = policy.network.iter().flat_map(|it| rules::unread(it, scene.wanted.direction));
        for (at, why) in rules {
            let object = format!("{} rule {at}", policy.key.name);
            answer.unknown(&object, Text::from(format!("it is not understood: {why}")), "Correct the rule.");
        }
    }
}

pub(super) fn lookup_selectors(scene: &Scene<'_>, answer: &mut Answer) {
    dead(scene, is_for_lookups, answer);
    unread(scene, answer);
    if answer.is_empty() {
        answer.pass("rules for lookups", "each selector finds a pod");
    }
}

pub(super) fn selectors(scene: &Scene<'_>, answer: &mut Answer) {
    for policy in scene.wanted.set.values() {
        let Some(network) = &policy.network else { continue };
        let selects =
            |(_, pods): &(&Workload, Vec<&Pod>)| pods.iter().any(|pod| network.selector.matches(&pod.labels));
        if !network.selector.is_everything() && !scene.own.iter().any(selects) {
            let fact = format!("its podSelector {} finds 0 pods now", network.selector);
            answer.fail(
                policy.key.name.as_str(),
                fact,
                "Correct its labels; a policy that selects nobody does nothing.",
            );
        }
    }
    dead(scene, |rule| !is_for_lookups(rule), answer);
    unread(scene, answer);
    if answer.is_empty() {
        answer.pass("rules of the set", "each selector finds a pod");
    }
}

fn dead(scene: &Scene<'_>, is_meant: impl Fn(&Rule) -> bool, answer: &mut Answer) {
    for (policy, at, rule) in rules(scene).filter(|(.., rule)| is_meant(rule)) {
        for peer in &rule.peers {
            let Peer::Pods(pods) = peer else { continue };
            if found(scene, pods).is_empty() {
                let fact = format!("{} finds 0 pods now", said(peer));
                let next = "Correct the labels for this cluster; pods that run now and then are found while they run.";
                answer.fail(&format!("{} rule {at}", policy.key.name), fact, next);
            }
        }
    }
}

pub(super) fn isolation(scene: &Scene<'_>, answer: &mut Answer) {
    let direction = scene.wanted.direction;
    let of = |direction: Direction| scene.turned.iter().filter(move |one| one.direction == direction);
    let names = |direction: Direction| {
        let all: BTreeSet<&str> = of(direction).map(|one| one.pod.as_str()).collect();
        let shown: Vec<&str> = all.iter().take(4).copied().collect();
        let more = if all.len() > 4 { format!(" and {} more", all.len() - 4) } else { String::new() };
        format!("{}{more} of {}", shown.join(", "), scene.wanted.ns)
    };
    let other = direction.other();
    let beside = of(other).filter(|one| one.after == Some(Isolation::Isolated)).count();
    if beside > 0 {
        let fact = format!(
            "{} would be isolated for {other} too, which this set is not about",
            plural(beside, "pod")
        );
        answer.fail(
            &names(other),
            fact,
            "Write policyTypes with the one direction into each policy of the set.",
        );
    }
    let isolated = of(direction)
        .filter(|one| one.before == Some(Isolation::Open) && one.after == Some(Isolation::Isolated))
        .count();
    let by_name =
        scene.wanted.set.values().any(|policy| policy.network.is_none() && !policy.opens.is_empty());
    let opens = by_name || rules(scene).next().is_some();
    let is_needed = direction == Direction::Egress || !scene.edges.is_empty();
    if isolated > 0 && !opens && is_needed {
        let fact = format!(
            "{} would go from open to isolated, and no rule lets any {direction} pass",
            plural(isolated, "pod")
        );
        let next = "A policy that only denies ends everything else too: apply it with the allows of its set.";
        return answer.fail(&names(direction), fact, next);
    }
    let unknown = of(direction).filter(|one| one.after == Some(Isolation::Unknown)).count();
    if unknown > 0 {
        let fact = format!("of {} it is not known whether they would be isolated", plural(unknown, "pod"));
        answer.unknown(&names(direction), fact, "Look at the policies of other kinds that select them.");
    }
    if answer.is_empty() && isolated > 0 {
        answer.pass(&names(direction), format!("{} from open to isolated", plural(isolated, "pod")));
    } else if answer.is_empty() {
        answer.pass(scene.wanted.ns.as_str(), "no open pod becomes isolated");
    }
}

/// Labels of the pods that fetch what git wants and bring it into the cluster, as the projects' own
/// manifests write them. Flux's shards have a name after a dash.
const DELIVERS: [(&str, &str, &str); 4] = [
    ("app.kubernetes.io/name", "argocd-application-controller", "Argo CD"),
    ("app.kubernetes.io/name", "argocd-repo-server", "Argo CD"),
    ("app", "source-controller", "Flux"),
    ("app", "kustomize-controller", "Flux"),
];

/// What is cut off there can no longer be mended from git.
pub(super) fn delivery(scene: &Scene<'_>, answer: &mut Answer) {
    let whose = |pod: &Pod| {
        let is_it = |(label, value, _): &&(&str, &str, &str)| {
            let rest = pod.labels.get(label).and_then(|own| own.strip_prefix(value));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        DELIVERS.iter().find(is_it).map(|(.., whose)| *whose)
    };
    let turned = scene.turned.iter().filter(|one| one.direction == scene.wanted.direction);
    for one in turned {
        let mut pods = scene.own.iter().flat_map(|(_, pods)| pods);
        let Some(whose) = pods.find(|pod| pod.name == one.pod).and_then(|pod| whose(pod)) else { continue };
        let object = format!("{} of {}", one.pod, scene.wanted.ns);
        let next = "Leave its namespace out (excluded: in sluice.yaml): its own chart has policies for it, and whoever \
                    puts them in force needs a way in that is not git.";
        // What is isolated there already may be corrected.
        match (one.before, one.after) {
            (Some(Isolation::Open), Some(Isolation::Isolated)) => {
                let fact = format!(
                    "it is {whose}'s and would be isolated: what its policies forget could no longer be mended from git"
                );
                answer.fail(&object, fact, next);
            }
            (Some(Isolation::Unknown), Some(Isolation::Isolated)) | (_, Some(Isolation::Unknown)) => {
                let fact = format!("it is {whose}'s, and whether it goes from open to isolated is not known");
                answer.unknown(&object, fact, next);
            }
            _ => {}
        }
    }
    if answer.is_empty() {
        answer.pass(scene.wanted.ns.as_str(), "no controller of Argo CD or Flux becomes isolated here");
    }
}

pub(super) fn host_network(scene: &Scene<'_>, answer: &mut Answer) {
    let next = nodes(scene);
    for (policy, at, rule) in rules(scene) {
        for peer in &rule.peers {
            let Peer::Pods(pods) = peer else { continue };
            let is_wide = pods.pods.as_ref().is_none_or(|one| one.is_everything())
                && pods.namespaces.as_ref().is_some_and(|one| one.is_everything());
            if is_wide {
                continue;
            }
            let found = found(scene, pods);
            let hosts = found.iter().filter(|pod| pod.host_network).count();
            let has_hosts =
                scene.cluster.traits.all_namespaces_have_hosts == Holds::Yes && pods.pods.is_none();
            if hosts > 0 && !has_hosts {
                let fact = format!(
                    "{}: {hosts} of {} that it finds are on the host's network, and no selector matches those",
                    said(peer),
                    plural(found.len(), "pod")
                );
                answer.fail(&format!("{} rule {at}", policy.key.name), fact, &next);
            }
        }
    }
    let hosts = scene.cluster.pods.iter().filter(|pod| !pod.finished && pod.host_network);
    let hosts: BTreeSet<_> = hosts.filter_map(|pod| Some((&pod.ns, &pod.workload.as_ref()?.name))).collect();
    let denied: BTreeSet<_> = scene
        .denied
        .iter()
        .filter_map(|hit| match &hit.peer {
            Recorded::Pods { ns, workload } => Some((ns, workload, hit.port, hit.protocol)),
            _ => None,
        })
        .collect();
    for (ns, workload, port, protocol) in denied {
        if hosts.contains(&(ns, &workload.name)) {
            let fact =
                format!("it is on the host's network, so a rule by selector does not open {protocol}/{port}");
            answer.fail(&format!("{ns}/{workload}"), fact, &next);
        }
    }
    unread(scene, answer);
    if answer.is_empty() {
        answer.pass("rules of the set", "none of them rests on a selector for pods of the host's network");
    }
}

/// How to name nodes here.
fn nodes(scene: &Scene<'_>) -> String {
    const SHOWN: usize = 6;
    if scene.cluster.traits.plugin == Plugin::Cilium && scene.cluster.traits.block_matches_nodes != Holds::Yes
    {
        return "Name the nodes by the entities host and remote-node in egress-allowlist-fqdn, or set \
                policy-cidr-match-mode to nodes."
            .to_owned();
    }
    let all = scene.cluster.nodes.iter().flat_map(|node| &node.addresses);
    let all: Vec<_> = all.map(|address| ipnet::IpNet::from(*address)).collect();
    let networks = Ranges::of(&all).networks();
    let shown: Vec<_> = networks.iter().take(SHOWN).map(ToString::to_string).collect();
    match networks.len() {
        0 => "Name the nodes as ipBlock; their addresses are not known here.".to_owned(),
        many if many > SHOWN => {
            format!("Name the nodes as ipBlock: {} and {} more.", shown.join(", "), many - SHOWN)
        }
        _ => format!("Name the nodes as ipBlock: {}.", shown.join(", ")),
    }
}

pub(super) fn silent(scene: &Scene<'_>, answer: &mut Answer) {
    let direction = scene.wanted.direction;
    let active: BTreeSet<&str> = scene.edges.iter().map(|(key, _)| key.workload.name.as_str()).collect();
    let isolation = |pod: &Pod| {
        let model = scene.scales.model;
        model.pod(&pod.ns, &pod.name).map_or(Isolation::Open, |id| model.isolates(id, direction))
    };
    let with = |wanted: Isolation| -> Vec<&Workload> {
        let silent = scene.own.iter().filter(|(workload, pods)| {
            !active.contains(workload.name.as_str()) && pods.iter().any(|pod| isolation(pod) == wanted)
        });
        silent.map(|(workload, _)| *workload).collect()
    };
    let (silent, unsure) = (with(Isolation::Isolated), with(Isolation::Unknown));
    let without =
        |all: &[&Workload]| format!("{} without any recorded {direction}", plural(all.len(), "workload"));
    if !unsure.is_empty() {
        let fact = format!("whether {} would be isolated is not known", without(&unsure));
        let next = "Look at the policies of other kinds that select them.";
        answer.unknown(&scene.named(&unsure), fact, next);
    }
    if !silent.is_empty() {
        let fact = format!("{} would be isolated", without(&silent));
        let next = "Name an owner who takes that upon himself (a waiver by name), or write a rule for what it needs.";
        answer.fail(&scene.named(&silent), fact, next);
    }
    if answer.is_empty() {
        answer.pass(scene.wanted.ns.as_str(), "every workload that would be isolated was seen with traffic");
    }
}

pub(super) fn families(scene: &Scene<'_>, answer: &mut Answer) {
    let own = || scene.own.iter().flat_map(|(_, pods)| pods).flat_map(|pod| &pod.addresses);
    let nodes = || scene.cluster.nodes.iter().flat_map(|node| &node.addresses);
    let is_there = |v4: bool| {
        let is = |address: &&IpAddr| address.is_ipv4() == v4;
        own().any(|address| is(&address)) || (own().next().is_none() && nodes().any(|address| is(&address)))
    };
    let object = scene.wanted.ns.as_str();
    match (is_there(true), is_there(false)) {
        (false, false) => {
            let next = "Preview again once its pods run.";
            return answer.unknown(object, "no address of its pods or nodes is known", next);
        }
        (true, false) => return answer.pass(object, "its pods have IPv4 only"),
        (false, true) => return answer.pass(object, "its pods have IPv6 only"),
        (true, true) => {}
    }
    let mut counts = [0, 0];
    let ours =
        rules(scene).filter(|(policy, ..)| policy.pinned().is_some_and(|it| it.role != Role::Baseline));
    for network in ours.flat_map(|(.., rule)| &rule.peers).filter_map(|peer| match peer {
        Peer::Block { network, .. } => Some(network),
        Peer::Pods(_) => None,
    }) {
        counts[usize::from(network.addr().is_ipv6())] += 1;
    }
    use super::prediction::Family::{Both, V4, V6};
    let denied = |one| scene.denied.iter().filter(|hit| hit.family == one || hit.family == Both).count();
    let lights = format!(
        "IPv4: {}, {} denied; IPv6: {}, {} denied",
        plural(counts[0], "network"),
        denied(V4),
        plural(counts[1], "network"),
        denied(V6)
    );
    match counts {
        [0, 0] => answer.pass(object, format!("its pods have both families; {lights}")),
        [v4, v6] if v4 > 0 && v6 > 0 => answer.pass(object, format!("its pods have both families; {lights}")),
        _ => answer.fail(
            object,
            format!("its pods have both families, and the set names networks of one only ({lights})"),
            "Look for the same destinations in the other family; a client that tries it first waits for a timeout.",
        ),
    }
}
