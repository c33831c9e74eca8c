//! Live NetworkPolicies that let lookups out by labels: do the labels find any pod of this cluster? The
//! same file works in one cluster and kills the next, whose resolver has other labels. Pure.

use std::collections::BTreeMap;

use crate::domain::names::plural;

use super::{
    check::{Check, CheckId as Id, Evidence},
    reading::{Known, Pairs, Reading, Record, Workload},
};

const POLICIES: &str = "networkpolicies.networking.k8s.io";
const NAME: &str = "kubernetes.io/metadata.name";

pub fn check(reading: &Reading) -> Check {
    let policies = match reading.custom.get(POLICIES) {
        Some(list @ Known::Unknown(_)) => return Check::unread(Id::Lookups, "NetworkPolicies", list),
        Some(Known::Read(list)) => list.as_slice(),
        None => match &reading.groups {
            Known::Unknown(_) => return Check::unread(Id::Lookups, "the served API groups", &reading.groups),
            Known::Read(_) => &[],
        },
    };
    let rules: Vec<Rule<'_>> = policies.iter().flat_map(rules_of).collect();
    if rules.is_empty() {
        return Check::pass(Id::Lookups, "No NetworkPolicy lets lookups out by labels.");
    }
    let lists = [reading.daemonsets.why(), reading.workloads.why(), reading.namespaces.why()];
    if let Some(why) = lists.into_iter().flatten().next() {
        let words = format!(
            "Workloads or namespaces cannot be read, so whom rules for lookups find is not known: {why}"
        );
        return Check::unknown(Id::Lookups, words)
            .fixed("Give the reader of this cluster list on workloads and namespaces.", &[]);
    }
    let dead: Vec<&Rule<'_>> = rules.iter().filter(|rule| !rule.finds(reading)).collect();
    if dead.is_empty() {
        let words = format!("{} for lookups: the labels of each find pods.", plural(rules.len(), "rule"));
        return Check::pass(Id::Lookups, words);
    }
    let words = format!(
        "{} for lookups by labels that no workload has here: lookups of the pods that they select fail.",
        plural(dead.len(), "rule")
    );
    let edit = |rule: &&Rule<'_>| {
        format!("kubectl edit networkpolicy {} -n {}", rule.policy.object.name, rule.policy.object.ns)
    };
    let mut commands: Vec<String> = dead.iter().map(edit).collect();
    commands.dedup();
    commands.truncate(COMMANDS);
    Check::fail(Id::Lookups, words)
        .seen(dead.iter().map(|rule| rule.evidence()))
        .fixed("Write the labels that the resolver's pods have in this cluster.", &commands)
}

const COMMANDS: usize = 4;

/// A rule of egress that is for lookups only, and whose peers are all selectors.
struct Rule<'r> {
    policy: &'r Record,
    at: usize,
    peers: Vec<Peer>,
}

#[derive(Default)]
struct Peer {
    /// It names addresses, or everybody.
    is_wide: bool,
    namespaces: Option<Selector>,
    pods: Option<Selector>,
}

#[derive(Default)]
struct Selector {
    labels: Pairs,
    expressions: BTreeMap<usize, Expression>,
}

#[derive(Default)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

fn rules_of(policy: &Record) -> Vec<Rule<'_>> {
    let mut ports: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut peers: BTreeMap<usize, BTreeMap<usize, Peer>> = BTreeMap::new();
    for (path, value) in &policy.fields {
        let Some((at, rest)) = path.strip_prefix("spec.egress.").and_then(numbered) else { continue };
        if let Some((_, "port")) = rest.strip_prefix("ports.").and_then(numbered) {
            ports.entry(at).or_default().push(value);
        } else if let Some((peer, rest)) = rest.strip_prefix("to.").and_then(numbered) {
            peers.entry(at).or_default().entry(peer).or_default().read(rest, value);
        }
    }
    let is_lookup = |port: &&str| matches!(*port, "53" | "5353") || port.starts_with("dns");
    let rule = |(at, peers): (usize, BTreeMap<usize, Peer>)| {
        let ports = ports.get(&at)?;
        let peers: Vec<Peer> = peers.into_values().collect();
        let is_meant = ports.iter().all(is_lookup) && peers.iter().all(|peer| !peer.is_wide);
        is_meant.then_some(Rule { policy, at, peers })
    };
    peers.into_iter().filter_map(rule).collect()
}

/// `3.rest` is 3 and `rest`; `3` alone is 3 and nothing.
fn numbered(path: &str) -> Option<(usize, &str)> {
    let (number, rest) = path.split_once('.').unwrap_or((path, ""));
    Some((number.parse().ok()?, rest))
}

impl Peer {
    fn read(&mut self, path: &str, value: &str) {
        let (what, rest) = path.split_once('.').unwrap_or((path, ""));
        match what {
            "podSelector" => self.pods.get_or_insert_default().read(rest, value),
            "namespaceSelector" => self.namespaces.get_or_insert_default().read(rest, value),
            _ => self.is_wide = true,
        }
    }

    fn finds(&self, ns: &str, reading: &Reading) -> bool {
        let all = reading.daemonsets.list().iter().chain(reading.workloads.list());
        let in_place = |one: &Workload| match &self.namespaces {
            None => one.object.ns.as_str() == ns,
            Some(wanted) => wanted.matches(&labels_of(one.object.ns.as_str(), reading)),
        };
        let is_meant = |one: &Workload| self.pods.as_ref().is_none_or(|pods| pods.matches(&one.pod_labels));
        all.into_iter().any(|one| is_meant(one) && in_place(one))
    }
}

/// A namespace's labels, with the one that each has by itself.
fn labels_of(ns: &str, reading: &Reading) -> Pairs {
    let found = reading.namespaces.list().iter().find(|one| one.object.name.as_str() == ns);
    let mut labels = found.map(|one| one.labels.clone()).unwrap_or_default();
    labels.insert(NAME.to_owned(), ns.to_owned());
    labels
}

impl Selector {
    fn read(&mut self, path: &str, value: &str) {
        if let Some(key) = path.strip_prefix("matchLabels.") {
            self.labels.insert(key.to_owned(), value.to_owned());
        } else if let Some((at, rest)) = path.strip_prefix("matchExpressions.").and_then(numbered) {
            let one = self.expressions.entry(at).or_default();
            match rest {
                "key" => value.clone_into(&mut one.key),
                "operator" => value.clone_into(&mut one.operator),
                _ => one.values.push(value.to_owned()),
            }
        }
    }

    fn matches(&self, labels: &Pairs) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.values().all(|one| one.holds(labels.get(&one.key)))
    }

    fn words(&self) -> String {
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.expressions.values().map(|one| match one.values.as_slice() {
            [] => format!("{} {}", one.key, one.operator),
            values => format!("{} {} ({})", one.key, one.operator, values.join(",")),
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

impl Expression {
    fn holds(&self, value: Option<&String>) -> bool {
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // What is not known may hold.
            _ => true,
        }
    }
}

impl Rule<'_> {
    fn finds(&self, reading: &Reading) -> bool {
        let ns = self.policy.object.ns.as_str();
        self.peers.iter().any(|peer| peer.finds(ns, reading))
    }

    fn evidence(&self) -> Evidence {
        let peer = |peer: &Peer| {
            let part =
                |name: &str, one: &Option<Selector>| one.as_ref().map(|it| format!("{name} {}", it.words()));
            let parts = [part("namespaces", &peer.namespaces), part("pods", &peer.pods)];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
        };
        let peers = self.peers.iter().map(peer).collect::<Vec<_>>().join("; ");
        Evidence::new(&self.policy.object, &format!("spec.egress[{}].to", self.at), &peers)
    }
}
