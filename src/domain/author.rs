//! Policies written from evidence: the pinned set of one rollout, every rule with where it comes
//! from, and what was left out with the reason. Nothing flagged without a valid grant, nothing that
//! evidence, a published range or a fact of the cluster does not show. Equal input gives an equal
//! draft in any order. Pure; texts are made in `documents`.

pub mod change;
mod desk;
pub mod draft;
mod egress;
pub mod facts;
mod ingress;
mod seen;
pub mod settings;
mod shelf;

use std::collections::BTreeSet;

use ipnet::IpNet;

use self::{
    desk::Desk,
    draft::{Body, Cause, Draft, Drafted, Drawn, LeftOut, Peer},
    facts::Facts,
    seen::Seen,
    settings::{Extra, Settings},
};
use super::{
    destination::{Category, Destination},
    edge::{Edge, EdgeKey, Window},
    flow::{Direction, Protocol},
    gate::{Known, judge_opening},
    names::{NsName, Text, Workload},
    policy::{Pinned, Role},
};

pub use ingress::CALLERS;

/// Addresses at which clouds hand out metadata and credentials (facts of preflight, and the
/// catalogue's class `cloud-metadata`). No wide rule holds them.
pub const METADATA: [&str; 12] = [
    "169.254.169.254/32",
    "169.254.169.252/32",
    "169.254.169.250/32",
    "169.254.170.2/32",
    "169.254.170.23/32",
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
];

/// Everything that a draft is made of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub facts: &'a Facts,
    pub settings: &'a Settings,
    pub evidence: Evidence<'a>,
    /// Of this rollout.
    pub extras: &'a [Extra],
    /// Target, reviews and flagged destinations, for the owner gate.
    pub known: Known<'a>,
}

/// What was seen of one namespace.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub window: Window,
    pub edges: &'a [(EdgeKey, Edge)],
    /// What these edges mean.
    pub destinations: &'a [Destination],
}

/// Writes the policies of one rollout.
pub fn draft(input: &Input<'_>) -> Draft {
    let mut desk = Desk::new(input);
    let direction = desk.direction();
    let all = seen::gather(&input.evidence, direction);
    let baseline = match direction {
        Direction::Egress => {
            all.iter().filter(|seen| seen.passed).for_each(|seen| egress::destination(&mut desk, seen));
            egress::baseline(&mut desk)
        }
        Direction::Ingress => {
            ingress::callers(&mut desk, &all);
            Vec::new()
        }
    };
    denied(&mut desk, &all);
    doubts(&mut desk, &all);
    let given = extras(&mut desk);
    let policies = Pinned::of(direction).filter_map(|pinned| drafted(&mut desk, pinned, &baseline, &given));
    let policies: Vec<_> = policies.collect();
    Draft {
        target: input.known.target.clone(),
        window: input.evidence.window,
        end_port: input.facts.honours_end_port(),
        policies,
        left_out: desk.left_out.into_iter().collect(),
        warnings: desk.warnings.into_iter().collect(),
        work: desk.work.into_iter().collect(),
        missing: input.facts.missing(direction).into_iter().map(Text::new).collect(),
    }
}

fn drafted(
    desk: &mut Desk<'_>,
    pinned: &'static Pinned,
    baseline: &[Drawn],
    given: &[(&'static str, Drawn)],
) -> Option<Drafted> {
    let shelf = desk.shelves.remove(pinned.name).unwrap_or_default();
    let mut rules = shelf.rules();
    match pinned.role {
        Role::Valve => rules.clear(),
        Role::Baseline => {
            let seen = std::mem::replace(&mut rules, baseline.to_vec());
            rules.extend(seen);
        }
        Role::Allowlist => {
            let mine = given.iter().filter(|(name, _)| *name == pinned.name);
            rules.extend(mine.map(|(_, rule)| rule.clone()));
        }
        Role::Fqdn => {
            let is_name = |peer: &Peer| matches!(peer, Peer::Name(_));
            let has_names = rules.iter().any(|rule| match &rule.body {
                Body::Made { peers, .. } => peers.iter().any(is_name),
                Body::Given(_) => false,
            });
            let own = egress::ciliums(desk, has_names);
            rules.splice(0..0, own);
            // Optional: without a rule it would isolate and say nothing.
            if rules.is_empty() {
                return None;
            }
        }
    }
    Some(Drafted { pinned, rules })
}

/// Only denied attempts are no evidence of need.
fn denied(desk: &mut Desk<'_>, all: &[Seen<'_>]) {
    for seen in all.iter().filter(|seen| !seen.passed) {
        let why = "only denied attempts were seen; if it is needed, write a rule of yours";
        desk.leave_out(Cause::DeniedOnly, &seen.subject(), why);
    }
}

/// What a person should know before this is applied.
fn doubts(desk: &mut Desk<'_>, all: &[Seen<'_>]) {
    let Input { facts, settings, known, .. } = *desk.input;
    let (ns, direction) = (&known.target.ns, known.target.direction);
    if let Some(running) = facts.workloads.as_ref().and_then(|all| all.get(ns)) {
        let active: BTreeSet<&Workload> =
            all.iter().flat_map(|seen| seen.workloads.iter().copied()).collect();
        let silent = running.iter().filter(|(workload, it)| !it.host_network && !active.contains(workload));
        for (workload, _) in silent.collect::<Vec<_>>() {
            desk.warn(format!(
                "{workload} shows no {direction} in the window and would be isolated all the same: somebody has to \
                 take that upon himself (sluice waives it by name), or it needs a rule of yours"
            ));
        }
    }
    if facts.is_cilium()
        && facts.sctp != Some(true)
        && all.iter().any(|seen| seen.passed && seen.protocol == Protocol::Sctp)
    {
        let state =
            if facts.sctp == Some(false) { "it is off here" } else { "whether it is on is not known" };
        desk.warn(format!("SCTP was seen: Cilium judges it only with enable-sctp, and {state}"));
    }
    if settings.harbor.is_none()
        && direction == Direction::Egress
        && all.iter().any(|seen| seen.passed && seen.category == Category::Registry)
    {
        desk.warn(
            "registries are used, and sluice.yaml does not say whether Harbor has landed (author.harbor): they \
             are allowed directly"
                .to_owned(),
        );
    }
    families(desk, all);
    let used = |seen: &&Seen<'_>| seen.passed && seen.addresses.iter().any(|one| is_metadata(*one));
    if direction == Direction::Egress && all.iter().any(|seen| used(&seen)) {
        desk.warn(
            "cloud metadata is used: some platforms rewrite its address before policies judge (GKE: \
             169.254.169.252:988), and a refusal shows only when tokens expire"
                .to_owned(),
        );
    }
}

fn is_metadata(address: std::net::IpAddr) -> bool {
    METADATA.iter().filter_map(|raw| raw.parse::<IpNet>().ok()).any(|network| network.contains(&address))
}

/// On a cluster of both families, names that were reached by one of them only.
fn families(desk: &mut Desk<'_>, all: &[Seen<'_>]) {
    let both = |nodes: &BTreeSet<std::net::IpAddr>| {
        nodes.iter().any(std::net::IpAddr::is_ipv4) && nodes.iter().any(std::net::IpAddr::is_ipv6)
    };
    if !desk.input.facts.nodes.as_ref().is_some_and(both) {
        return;
    }
    let single = |seen: &&Seen<'_>| {
        let v4 = seen.addresses.iter().filter(|address| address.is_ipv4()).count();
        seen.passed && matches!(seen.far, seen::Far::Name(_)) && (v4 == 0) != (v4 == seen.addresses.len())
    };
    let count = all.iter().filter(single).count();
    if count > 0 {
        desk.warn(format!(
            "the nodes have IPv4 and IPv6, and some names ({count}) were reached by one of them only: the other stays closed"
        ));
    }
}

/// Rules of people, each past the owner gate like any other.
fn extras(desk: &mut Desk<'_>) -> Vec<(&'static str, Drawn)> {
    let mut out = Vec::new();
    let direction = desk.direction();
    for extra in desk.input.extras {
        let ours = extra.opens.iter().filter(|opened| opened.direction == direction);
        let gates = ours.map(|opened| judge_opening(extra.policy, opened, &desk.input.known));
        let refused: Vec<_> = gates.filter(|gate| !gate.passes()).collect();
        if let Some(gate) = refused.first() {
            let what = Text::from(format!("a rule of yours ({})", extra.place));
            let why = desk::refusal(gate, desk.input);
            desk.left_out.insert(LeftOut { cause: Cause::Flagged, what, why });
            continue;
        }
        let why = vec![Text::from(format!("of a person ({}): {}", extra.place, extra.why))];
        out.push((extra.policy, Drawn { why, body: Body::Given(extra.rule.clone()) }));
    }
    out
}

/// A network without the metadata addresses in it, save those that are meant by themselves.
fn block(network: IpNet, meant: &[IpNet]) -> Peer {
    let inside = METADATA.iter().filter_map(|raw| raw.parse::<IpNet>().ok());
    let cut = inside.filter(|one| network.contains(one) && *one != network && !meant.contains(one));
    Peer::Block { network, except: cut.collect() }
}

/// Pods of a workload by what tells them apart; where that is not known, all of its namespace.
fn pods_peer(desk: &mut Desk<'_>, ns: &NsName, workload: &Workload) -> Peer {
    match desk.input.facts.running(ns, workload) {
        Some(running) if running.labels.iter().next().is_some() => Peer::pods(ns, &running.labels),
        Some(_) | None => {
            desk.warn(format!(
                "no label tells the pods of {ns}/{workload} apart now: the rule takes all pods of {ns}"
            ));
            Peer::pods(ns, &super::policy::Labels::default())
        }
    }
}
