//! What a wanted set changes in meaning: for each group of pods that the same policies select, the
//! addresses, pods and ports that open, close, or stay open when all else closes. Exact per port and
//! address; order, names and splitting of rules do not count. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{
    prediction::{Change, How},
    replay::Wanted,
    rules::said,
};
use crate::domain::{
    author::change::all_but,
    eval::{
        cluster::{Cluster, NetworkPolicy},
        rule::{Peer, PortMatch, Rule},
    },
    flow::{Direction, Protocol},
    grant::Opening,
    names::{NsName, Text},
    policy::{Labels, Policy},
    ranges::Ranges,
};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Ports that no rule tells apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Span(Protocol, u16, u16),
    Named(Text, Protocol),
}

/// Who is let pass on a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Area {
    ranges: Ranges,
    /// Everybody, in the cluster and outside.
    all: bool,
    pods: BTreeSet<Text>,
}

/// All changes, for whom first.
pub(super) fn changes(before: &Cluster, after: &Cluster, wanted: Wanted<'_>) -> Vec<Change> {
    let (ns, direction) = (wanted.ns, wanted.direction);
    let mut groups: BTreeMap<[Vec<usize>; 2], BTreeSet<Text>> = BTreeMap::new();
    for pod in after.pods.iter().filter(|pod| pod.ns == *ns && !pod.host_network && !pod.finished) {
        let key = [before, after].map(|cluster| selecting(cluster, ns, direction, &pod.labels));
        let name = pod.workload.as_ref().map_or_else(|| Text::new(pod.name.as_str()), |one| one.name.clone());
        groups.entry(key).or_default().insert(name);
    }
    if groups.is_empty() {
        let key = [before, after].map(|cluster| selecting(cluster, ns, direction, &Labels::default()));
        groups.entry(key).or_default().insert(Text::new("pods to come"));
    }
    let is_one = groups.len() == 1;
    let mut out = BTreeSet::new();
    for ([was, is], names) in groups {
        let policies = |cluster: &'_ Cluster, places: &[usize]| -> Vec<NetworkPolicy> {
            places.iter().map(|at| cluster.policies[*at].clone()).collect()
        };
        let who = who(&names, is_one);
        of_group(&policies(before, &was), &policies(after, &is), direction, &who, &mut out);
    }
    let known = |policy: &Policy| policy.network.is_none();
    for opened in wanted.set.values().filter(|policy| known(policy)).flat_map(|policy| &policy.opens) {
        let (what, ports) = (Text::from(opened.what.to_string()), Text::from(opened.ports.to_string()));
        out.insert(Change { who: Text::from(opened.selector.to_string()), how: How::ByName, what, ports });
    }
    out.into_iter().collect()
}

fn who(names: &BTreeSet<Text>, is_one: bool) -> Text {
    const NAMED: usize = 4;
    let shown: Vec<&str> = names.iter().take(NAMED).map(Text::as_str).collect();
    match names.len() {
        _ if is_one && names.len() > 1 => Text::new("all pods"),
        0..=NAMED => Text::from(shown.join(", ")),
        many => Text::from(format!("{} and {} more", shown.join(", "), many - NAMED)),
    }
}

fn selecting(cluster: &Cluster, ns: &NsName, direction: Direction, labels: &Labels) -> Vec<usize> {
    let selects = |policy: &NetworkPolicy| {
        policy.ns == *ns && policy.rules.rules(direction).is_some() && policy.rules.selector.matches(labels)
    };
    let all = cluster.policies.iter().enumerate().filter(|(_, policy)| selects(policy));
    all.map(|(at, _)| at).collect()
}

fn of_group(
    was: &[NetworkPolicy],
    is: &[NetworkPolicy],
    direction: Direction,
    who: &Text,
    out: &mut BTreeSet<Change>,
) {
    let change = |how, what: &str, ports: &str| Change {
        who: who.clone(),
        how,
        what: Text::new(what),
        ports: Text::new(ports),
    };
    match (was.is_empty(), is.is_empty()) {
        (true, true) => return,
        (false, true) => {
            out.insert(change(How::Opens, "everything", "all ports"));
            return;
        }
        (true, false) => {
            out.insert(change(How::Closes, "everything that is not kept", "all ports"));
        }
        (false, false) => {}
    }
    let [old, new] = [was, is].map(|policies| rules(policies, direction));
    let mut found: BTreeMap<(How, Text), Vec<Slot>> = BTreeMap::new();
    for slot in slots(old.iter().chain(&new).copied()) {
        let [a, b] = [&old, &new].map(|rules| area(rules, &slot));
        let mut note = |how, whats: Vec<Text>| {
            whats.into_iter().for_each(|what| found.entry((how, what)).or_default().push(slot.clone()));
        };
        if was.is_empty() {
            note(How::Keeps, b.without(&Area::default()));
        } else if a != b {
            note(How::Opens, b.without(&a));
            note(How::Closes, a.without(&b));
        }
    }
    for ((how, what), slots) in found {
        out.insert(Change { who: who.clone(), how, what, ports: ports(slots) });
    }
}

fn rules(policies: &[NetworkPolicy], direction: Direction) -> Vec<&Rule> {
    let all = policies.iter().flat_map(|policy| policy.rules.rules(direction).unwrap_or_default());
    all.flatten().collect()
}

/// Every range of ports that some rule tells from its neighbours, and every name.
fn slots<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<Slot> {
    let mut starts = PROTOCOLS.map(|_| BTreeSet::from([0_u32]));
    let mut named = BTreeSet::new();
    for port in rules.flat_map(|rule| &rule.ports) {
        match port {
            PortMatch::Protocol(_) => {}
            PortMatch::Span(span) => {
                if let Some(at) = PROTOCOLS.iter().position(|one| *one == span.protocol) {
                    starts[at].extend([u32::from(span.from), u32::from(span.to) + 1]);
                }
            }
            PortMatch::Named { name, protocol } => {
                named.insert(Slot::Named(Text::new(name), *protocol));
            }
        }
    }
    let mut out = Vec::new();
    for (protocol, starts) in PROTOCOLS.into_iter().zip(starts) {
        let starts: Vec<u32> = starts.into_iter().filter(|start| *start <= u32::from(u16::MAX)).collect();
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).map_or(u32::from(u16::MAX), |next| next - 1);
            if let (Ok(from), Ok(to)) = (u16::try_from(*start), u16::try_from(end)) {
                out.push(Slot::Span(protocol, from, to));
            }
        }
    }
    out.extend(named);
    out
}

fn has(rule: &Rule, slot: &Slot) -> bool {
    rule.ports.is_empty()
        || rule.ports.iter().any(|port| match (port, slot) {
            (PortMatch::Protocol(own), Slot::Span(protocol, ..) | Slot::Named(_, protocol)) => {
                own == protocol
            }
            (PortMatch::Span(span), Slot::Span(protocol, from, to)) => {
                span.protocol == *protocol && span.from <= *from && *to <= span.to
            }
            (PortMatch::Named { name, protocol: own }, Slot::Named(said, protocol)) => {
                name == said.as_str() && own == protocol
            }
            (PortMatch::Span(_), Slot::Named(..)) | (PortMatch::Named { .. }, Slot::Span(..)) => false,
        })
}

fn area(rules: &[&Rule], slot: &Slot) -> Area {
    let (mut out, mut whole, mut cut) = (Area::default(), Vec::new(), Vec::new());
    for rule in rules.iter().filter(|rule| has(rule, slot)) {
        out.all |= rule.peers.is_empty();
        for peer in &rule.peers {
            match peer {
                Peer::Block { network, except } if except.is_empty() => whole.push(*network),
                Peer::Block { network, except } => {
                    cut.extend(Ranges::of([network]).minus(&Ranges::of(except)).networks());
                }
                Peer::Pods(_) => {
                    out.pods.insert(said(peer));
                }
            }
        }
    }
    out.ranges = if out.all { Ranges::everything() } else { Ranges::of(whole.iter().chain(&cut)) };
    out
}

impl Area {
    /// What is in here and not in the other, in words.
    fn without(&self, other: &Self) -> Vec<Text> {
        if other.all {
            return Vec::new();
        }
        if self.all {
            return vec![Text::new("everything")];
        }
        let networks = self.ranges.minus(&other.ranges).networks();
        let (v4, v6): (Vec<_>, Vec<_>) = networks.into_iter().partition(|one| one.addr().is_ipv4());
        let families = [(v4, "0.0.0.0/0"), (v6, "::/0")].into_iter().filter(|(list, _)| !list.is_empty());
        let pods = self.pods.difference(&other.pods).cloned();
        families.map(|(list, all)| in_words(list, all)).chain(pods).collect()
    }
}

/// Networks of one family.
fn in_words(list: Vec<IpNet>, all: &str) -> Text {
    let but = all.parse().ok().and_then(|all| all_but(&Ranges::of(&list), all));
    Text::from(but.unwrap_or_else(|| Opening::Networks(list).to_string()))
}

/// Slots in words; neighbours are one.
fn ports(slots: Vec<Slot>) -> Text {
    let mut spans: Vec<(Protocol, u16, u16)> = Vec::new();
    let mut words = Vec::new();
    for slot in slots {
        match slot {
            Slot::Span(protocol, from, to) => match spans.last_mut() {
                Some(last) if last.0 == protocol && last.2.checked_add(1) == Some(from) => last.2 = to,
                Some(_) | None => spans.push((protocol, from, to)),
            },
            Slot::Named(name, protocol) => words.push(format!("{name}/{protocol}")),
        }
    }
    if spans == PROTOCOLS.map(|protocol| (protocol, 0, u16::MAX)) {
        return Text::new("all ports");
    }
    let one = |(protocol, from, to): &(Protocol, u16, u16)| match (from, to) {
        (0, &u16::MAX) => format!("all {protocol} ports"),
        (from, to) if from == to => format!("{from}/{protocol}"),
        (from, to) => format!("{from}-{to}/{protocol}"),
    };
    let spans: Vec<String> = spans.iter().map(one).collect();
    Text::from(spans.into_iter().chain(words).collect::<Vec<_>>().join(", "))
}
