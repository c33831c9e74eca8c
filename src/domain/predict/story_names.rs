//! What is written and what arrives: lists of addresses for names whose addresses change, and ports that
//! a Service turns into others before a policy is asked. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::{
    rules::meet,
    scene::{Scene, Way},
    stories::{Answer, Mark},
    story_pods::{rules, unread},
};
use crate::domain::{
    edge::{DnsName, Edge, Peer as Recorded},
    eval::{
        cluster::{Pod, Service, ServicePort},
        plugin::ServiceView,
        rule::{Peer, PortMatch, Rule},
        verdict::Verdict,
    },
    flow::{Direction, Protocol},
    names::{Workload, plural},
    policy::Policy,
    range,
    ranges::Ranges,
};

/// A network of so few addresses is a list of them: up to eight.
const LIST: u8 = 3;

/// What was seen of a name: each address with its hours.
#[derive(Default)]
struct Named<'e> {
    seen: Vec<(IpAddr, &'e Edge)>,
    ports: BTreeSet<(Protocol, u16)>,
}

pub(super) fn churning(scene: &Scene<'_>, answer: &mut Answer) {
    let mut names: HashMap<&DnsName, Named<'_>, FixedState> = HashMap::default();
    for (key, edge) in scene.edges {
        if let (Some(name), Recorded::Address(address)) = (&key.name, &key.peer) {
            let named = names.entry(name).or_default();
            named.seen.push((range::fold(*address), edge));
            named.ports.insert((key.protocol, key.port));
        }
    }
    let mut names: Vec<_> = names.into_iter().filter(|(_, named)| named.churns()).collect();
    names.sort_by(|a, b| a.0.cmp(b.0));
    let mut lists: BTreeMap<(Protocol, u16), Ranges> = BTreeMap::new();
    for (name, named) in &names {
        let addresses: BTreeSet<IpAddr> = named.seen.iter().map(|(address, _)| *address).collect();
        for (protocol, port) in &named.ports {
            let lists = lists.entry((*protocol, *port)).or_insert_with(|| listed(scene, *protocol, *port));
            let count = addresses.iter().filter(|address| lists.contains(**address)).count();
            if count > 0 {
                let churn = named.words(addresses.len());
                let fact = format!(
                    "{churn}; {protocol}/{port} opens {count} of them as a list, which proves nothing"
                );
                let next = "Name its provider's published networks (author.published in sluice.yaml), or on Cilium let \
                            egress-allowlist-fqdn name it.";
                answer.fail(name.as_str(), fact, next);
            }
        }
    }
    if !names.is_empty() {
        unread(scene, answer);
    }
    if answer.is_empty() {
        let fact = match names.len() {
            0 => "no name with changing addresses was recorded".to_owned(),
            many => {
                format!(
                    "{} with changing addresses, and no list of addresses stands for one",
                    plural(many, "name")
                )
            }
        };
        answer.pass(scene.wanted.ns.as_str(), fact);
    }
}

impl Named<'_> {
    /// More than a pair, and some came later than the first: the same bounds as in authoring.
    fn churns(&self) -> bool {
        let mut first: BTreeMap<IpAddr, i64> = BTreeMap::new();
        for (address, edge) in &self.seen {
            let Some((begin, _)) = edge.hours.bounds() else { continue };
            let known = first.entry(*address).or_insert(begin);
            *known = begin.min(*known);
        }
        let begin = first.values().min();
        first.len() > 2 && first.values().any(|one| Some(one) != begin)
    }

    fn words(&self, addresses: usize) -> String {
        let mut days: BTreeMap<i64, BTreeSet<IpAddr>> = BTreeMap::new();
        let (mut hours, mut fresh) = (BTreeSet::new(), BTreeSet::new());
        let mut first: BTreeMap<IpAddr, i64> = BTreeMap::new();
        for (address, edge) in &self.seen {
            for hour in edge.hours.iter() {
                hours.insert(hour);
                days.entry(hour.div_euclid(24)).or_default().insert(*address);
                let known = first.entry(*address).or_insert(hour);
                *known = hour.min(*known);
            }
        }
        fresh.extend(first.into_values());
        let a_day = days.values().map(BTreeSet::len).max().unwrap_or(0);
        let share = fresh.len().saturating_sub(1) * 100 / hours.len().saturating_sub(1).max(1);
        format!(
            "{addresses} addresses in the window, up to {a_day} a day, new ones in {share} % of its hours"
        )
    }
}

/// Addresses that rules open one by one on a port, and no wider network beside it.
fn listed(scene: &Scene<'_>, protocol: Protocol, port: u16) -> Ranges {
    let (mut few, mut many): (Vec<IpNet>, Vec<IpNet>) = (Vec::new(), Vec::new());
    for (.., rule) in rules(scene).filter(|(.., rule)| meet(&rule.ports, protocol, port)) {
        for peer in &rule.peers {
            let Peer::Block { network, .. } = peer else { continue };
            if network.max_prefix_len() - network.prefix_len() <= LIST { &mut few } else { &mut many }
                .push(*network);
        }
    }
    Ranges::of(&few).minus(&Ranges::of(&many))
}

pub(super) fn ports(scene: &Scene<'_>, answer: &mut Answer) {
    match scene.wanted.direction {
        Direction::Egress => egress(scene, answer),
        Direction::Ingress => ingress(scene, answer),
    }
    if answer.is_empty() {
        answer.pass("Services", "no rule is written for a port that a Service turns into another");
    }
}

/// Services that turn a port into another one, with a pod behind each.
fn turned<'s>(scene: &Scene<'s>) -> Vec<(&'s Service, &'s ServicePort, &'s Pod, u16)> {
    let all = scene
        .cluster
        .services
        .iter()
        .flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    let one = |(service, port): (&'s Service, &'s ServicePort)| {
        let (pod, target) = scene.behind(service, port).into_iter().find(|(pod, _)| !pod.host_network)?;
        (target != port.port).then_some((service, port, pod, target))
    };
    let is_written = |(_, port): &(&Service, &ServicePort)| {
        rules(scene).any(|(.., rule)| rule.ports.iter().any(|one| is_number(one, port.protocol, port.port)))
    };
    let by_service = scene.cluster.traits.service != ServiceView::Backend;
    all.filter(|one| by_service || is_written(one)).filter_map(one).collect()
}

fn is_number(port: &PortMatch, protocol: Protocol, number: u16) -> bool {
    match port {
        PortMatch::Span(span) => span.protocol == protocol && (span.from..=span.to).contains(&number),
        PortMatch::Protocol(_) | PortMatch::Named { .. } => false,
    }
}

/// From the row's pods to Services.
fn egress(scene: &Scene<'_>, answer: &mut Answer) {
    let who: Vec<&Workload> = scene.own.iter().map(|(workload, _)| *workload).collect();
    let turned = turned(scene);
    if turned.is_empty() {
        return;
    }
    let used: HashSet<_, FixedState> = scene
        .edges
        .iter()
        .filter_map(|(key, _)| match &key.peer {
            Recorded::Pods { ns, workload } => Some((ns.as_str(), workload.name.as_str(), key.port)),
            _ => None,
        })
        .collect();
    for (service, port, pod, target) in turned {
        let Some(workload) = &pod.workload else { continue };
        let peer = Recorded::Pods { ns: pod.ns.clone(), workload: workload.clone() };
        let is_open = |peer: &Recorded, number: u16| {
            let way = |workload: &&Workload| scene.is_open(workload, peer, port.protocol, number);
            !who.is_empty() && who.iter().take(scene.asked()).all(way)
        };
        let is_used = used.contains(&(pod.ns.as_str(), workload.name.as_str(), port.port));
        let object = format!("Service {}/{}", service.ns, service.name);
        let both = format!("{}/{} arrives as {target} at {workload}", port.protocol, port.port);
        match scene.cluster.traits.service {
            ServiceView::Backend if is_used || !is_open(&peer, port.port) => {}
            ServiceView::Backend => {
                let what = format!("{both}, and only {} is written: {target}", port.port);
                let next = format!("Write {target}, the pods' own port, into the rule.");
                let way = Way { peer, protocol: port.protocol, port: target, what };
                scene.require_of(&object, &who, &way, (Mark::Fail, &next), answer);
            }
            ServiceView::Service | ServiceView::Unsure => {
                let Some(address) = service.addresses.first() else { continue };
                if is_open(&peer, target) {
                    let what =
                        format!("{both}, but this plugin may judge by the Service's port, and {}", port.port);
                    let next = format!("Write {} beside {target}.", port.port);
                    let way = Way {
                        peer: Recorded::Address(*address),
                        protocol: port.protocol,
                        port: port.port,
                        what,
                    };
                    scene.require_of(&object, &who, &way, (Mark::Fail, &next), answer);
                }
            }
        }
    }
}

/// To the row's own pods: policies see their port, whatever the caller asked for.
fn ingress(scene: &Scene<'_>, answer: &mut Answer) {
    let used: BTreeSet<u16> = scene.edges.iter().map(|(key, _)| key.port).collect();
    for (service, port, pod, target) in turned(scene) {
        if service.ns != *scene.wanted.ns || used.contains(&port.port) {
            continue;
        }
        let selects = |policy: &Policy| {
            policy.network.as_ref().is_some_and(|network| network.selector.matches(&pod.labels))
        };
        let ours: Vec<_> = rules(scene).filter(|(policy, ..)| selects(policy)).collect();
        let opens = |rule: &Rule, number: u16| meet(&rule.ports, port.protocol, number);
        for (policy, at, rule) in &ours {
            let is_same = |other: &Rule| {
                other.peers.is_empty() || rule.peers.iter().all(|one| other.peers.contains(one))
            };
            let is_covered = ours.iter().any(|(.., other)| is_same(other) && opens(other, target));
            if opens(rule, port.port) && !is_covered {
                let fact = format!(
                    "it opens {}/{}, and Service {}/{} turns that into {target} before a policy is asked",
                    port.protocol, port.port, service.ns, service.name
                );
                let next = format!("Write {target}, the pods' own port.");
                answer.fail(&format!("{} rule {at}", policy.key.name), fact, &next);
            }
        }
    }
}

impl Scene<'_> {
    /// How many workloads have to be asked for all of them.
    fn asked(&self) -> usize {
        if self.scales.is_uniform() { 1 } else { usize::MAX }
    }

    fn is_open(&self, workload: &Workload, peer: &Recorded, protocol: Protocol, port: u16) -> bool {
        self.ask(workload, peer, protocol, port).iter().all(|one| one.verdict == Verdict::Allowed)
    }
}
