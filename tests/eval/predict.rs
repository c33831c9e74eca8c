//! The recorded week against a set of policies: text cases with answers written down by hand, and the
//! second opinion on generated clusters.
//!
//! A case is a cluster in the words of `story.rs`, then `row NS DIRECTION`, `wanted NAME` with its spec
//! as YAML below, `edge WORKLOAD -> PEER PORT/PROTOCOL [name=N] [hours=H,…] [denied]` (of ingress the peer still
//! stands right), and questions; `check NAME` asks one of the named checks. A peer is an address, `NS/WORKLOAD`, `@entity` or `?class`.

use std::{collections::BTreeSet, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice::{
    documents::explain,
    domain::{
        edge::{DnsName, Edge, EdgeKey, Hours, Peer, Window, hour_of},
        eval::cluster::Cluster,
        flow::{Direction, Entity, Protocol},
        names::{NsName, Text, Workload},
        policy::PINNED,
        predict::{
            prediction::{Bound, Family, Hit, Prediction},
            replay::{Recorded, Wanted, predict},
            stories::STORIES,
            words,
        },
        sighting::Outcome,
        valve::Set,
    },
    manifest::{self, cluster::Gathering},
};

use super::{
    generated::{self, PORTS, cluster, rule},
    naive::{self, End},
    story,
};

fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_348_800 + secs, 0).expect("a time")
}

fn window() -> Window {
    Window { from: at(-604_800), to: at(0) }
}

fn edge(flows: u64) -> Edge {
    let last = at(-7_200);
    Edge {
        flows,
        first: at(-90_000),
        last,
        hours: Hours::from_iter([hour_of(last), hour_of(last) - 5]),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    }
}

/// The pinned policies among these objects.
fn set_of(objects: &[Value]) -> Set {
    let mut set = Set::new();
    for object in objects {
        let policy = manifest::policy(object).expect("a policy");
        let name = PINNED.iter().find(|pinned| policy.key.name.as_str() == pinned.name).expect("pinned").name;
        set.insert(name, policy);
    }
    set
}

/// Plays a file of cases: the same text with every answer as it is.
pub fn play(text: &str) -> String {
    let mut out = String::new();
    let mut case = Case::default();
    for (line, block) in story::lines(text) {
        if line.starts_with("##") {
            case = Case::default();
        }
        out.push_str(&case.line(line, &block));
        out.push('\n');
        out.push_str(&block);
    }
    out
}

#[derive(Default)]
struct Case {
    told: story::Told,
    row: Option<(NsName, Direction)>,
    wanted: Vec<Value>,
    edges: Vec<(EdgeKey, Edge)>,
    doubts: Vec<Text>,
}

impl Case {
    fn line(&mut self, line: &str, block: &str) -> String {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "row" => {
                let (ns, direction) = rest.split_once(' ').expect(line);
                let direction = Direction::parse(direction).expect(line);
                self.row = Some((NsName::parse(ns).expect(line), direction));
            }
            "wanted" => {
                let (ns, _) = self.row.as_ref().expect("a row first");
                let spec: Value = serde_yaml::from_str(block).expect(line);
                let pinned = PINNED.iter().find(|pinned| pinned.name == rest).expect(line);
                self.wanted.retain(|known| known["metadata"]["name"] != rest);
                self.wanted.push(json!({ "apiVersion": pinned.kind.api_version(),
                    "kind": pinned.kind.as_str(),
                    "metadata": { "name": rest, "namespace": ns.as_str() }, "spec": spec }));
            }
            "edge" => self.edges.push(self.edge(rest)),
            "doubt" => self.doubts.push(Text::new(rest)),
            "check" => {
                let name = rest.split(" => ").next().expect("there is always one");
                return format!("check {name} => {}", self.check(name));
            }
            "predict" | "denied" | "unknown" | "unused" | "turned" | "changes" => {
                return format!("{word} => {}", self.ask(word));
            }
            _ => return self.told.line(line, block),
        }
        line.to_owned()
    }

    fn edge(&self, rest: &str) -> (EdgeKey, Edge) {
        let (workload, rest) = rest.split_once(" -> ").expect(rest);
        let words: Vec<&str> = rest.split(' ').collect();
        let (port, protocol) = match words[1] {
            "ICMP" => (0, Protocol::Icmp),
            port => explain::port(port).expect(rest),
        };
        let peer = if let Some(entity) = words[0].strip_prefix('@') {
            Peer::Entity(Entity::parse(entity).expect(rest))
        } else if let Some(class) = words[0].strip_prefix('?') {
            Peer::Unsaid(Text::new(class))
        } else if let Ok(address) = words[0].parse::<IpAddr>() {
            Peer::Address(address)
        } else {
            let (ns, workload) = words[0].split_once('/').expect(rest);
            Peer::Pods { ns: NsName::parse(ns).expect(rest), workload: Workload::new("", workload) }
        };
        let name = words.iter().find_map(|word| DnsName::parse(word.strip_prefix("name=")?));
        let outcome = if words.contains(&"denied") { Outcome::Denied } else { Outcome::Allowed };
        let (ns, direction) = self.row.clone().expect("a row first");
        let workload = Workload::new("", workload);
        let mut edge = edge(7);
        if let Some(hours) = words.iter().find_map(|word| word.strip_prefix("hours=")) {
            let first = hour_of(window().from);
            edge.hours = hours.split(',').map(|raw| first + raw.parse::<i64>().expect(rest)).collect();
        }
        (EdgeKey { ns, workload, direction, peer, name, protocol, port, outcome }, edge)
    }

    fn predict(&self) -> Prediction {
        let (cluster, _) = self.told.gathered().done();
        let (ns, direction) = self.row.as_ref().expect("a row first");
        let set = set_of(&self.wanted);
        let wanted = Wanted { ns, direction: *direction, set: &set };
        predict(
            &cluster,
            wanted,
            Recorded { window: window(), edges: &self.edges, doubts: self.doubts.clone() },
        )
    }

    fn check(&self, name: &str) -> String {
        let it = self.predict();
        let found = it.checks.iter().find(|one| one.name == name);
        let found = found.unwrap_or_else(|| panic!("{name} is no check of {}", it.direction));
        let weight = if found.blocks() { " (blocks)" } else { "" };
        format!("{}{weight}: {}", found.mark.as_str(), words::found(found))
    }

    fn ask(&self, word: &str) -> String {
        let it = self.predict();
        let lines: Vec<String> = match word {
            "predict" => words::summary(&it, at(0)).into_iter().map(|(_, said)| said).collect(),
            "denied" => it.denied.iter().map(hit).collect(),
            "unknown" => it.unknown.iter().map(hit).chain(it.doubts.iter().map(Text::to_string)).collect(),
            "unused" => it.unused.iter().map(words::unused).collect(),
            "turned" => words::isolation(&it.turned),
            "changes" => it
                .changes
                .iter()
                .map(|one| format!("{} {} {} on {}", one.who, one.how.as_str(), one.what, one.ports))
                .collect(),
            _ => unreachable!("the words above"),
        };
        if lines.is_empty() { "nothing".to_owned() } else { lines.join(" | ") }
    }
}

/// `cart -> 203.0.113.7 443/TCP IPv4`, with what else there is.
fn hit(hit: &Hit) -> String {
    let peer = match &hit.peer {
        Peer::Pods { ns, workload } => format!("{ns}/{workload}"),
        Peer::Entity(entity) => format!("@{}", entity.as_str()),
        Peer::Address(address) => address.to_string(),
        Peer::Unsaid(class) => format!("?{class}"),
    };
    let mut out = format!("{} -> {peer} {}/{} {}", hit.workload, hit.port, hit.protocol, hit.family.as_str());
    out.extend(hit.essential.map(|one| format!(" [{}]", one.as_str())));
    out.extend(hit.is_part.then_some(" (some pods)").map(str::to_owned));
    out.extend(hit.why.as_ref().map(|why| format!(": {why}")));
    out
}

#[test]
fn predictions_are_as_written() {
    super::played("tests/cases/predict", 5, play);
}

/// Each check passes, fails and is unknown in some case.
#[test]
fn every_check_has_its_cases() {
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for file in std::fs::read_dir("tests/cases/predict").expect("the cases") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for line in text.lines().filter_map(|line| line.strip_prefix("check ")) {
            let (name, answer) = line.split_once(" => ").expect(line);
            let mark = answer.split([':', ' ']).next().expect("a mark");
            told.insert((name.to_owned(), mark.to_owned()));
        }
    }
    for story in STORIES {
        for mark in ["pass", "fail", "unknown"] {
            assert!(told.contains(&(story.name.to_owned(), mark.to_owned())), "{} has no {mark}", story.name);
        }
    }
}

#[test]
fn a_prediction_counts_for_its_bytes_its_cluster_and_its_evidence_only() {
    let set = |spec: Value| {
        set_of(&[json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "default-deny-egress", "namespace": "shop" }, "spec": spec })])
    };
    let deny = set(json!({ "podSelector": {}, "policyTypes": ["Egress"] }));
    let open = set(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] }));
    let bound = |uid: Option<&str>, set: &Set, window: Window| -> Bound {
        let mut gathering = Gathering::new(sluice::domain::eval::plugin::Plugin::Calico.traits());
        let mut system =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system" } });
        uid.into_iter().for_each(|uid| system["metadata"]["uid"] = json!(uid));
        gathering.object("test", &system);
        let cluster: Cluster = gathering.done().0;
        let ns = NsName::parse("shop").expect("valid");
        let wanted = Wanted { ns: &ns, direction: Direction::Egress, set };
        predict(&cluster, wanted, Recorded { window, edges: &[], doubts: Vec::new() }).bound
    };
    let it = bound(Some("a"), &deny, window());
    assert!(it.holds_for(&bound(Some("a"), &deny, window())));
    assert!(!it.holds_for(&bound(Some("b"), &deny, window())), "another cluster");
    assert!(!it.holds_for(&bound(Some("a"), &open, window())), "other bytes");
    let later = Window { to: window().to + TimeDelta::seconds(1), ..window() };
    assert!(!it.holds_for(&bound(Some("a"), &deny, later)), "other evidence");
    let nobody = bound(None, &deny, window());
    assert!(!nobody.holds_for(&nobody), "a cluster without a UID");
}

/// Who, with whom, on which port, in which family.
type Seen = BTreeSet<(String, String, Protocol, u16, Family)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Each pod of a namespace to every end there is, and callers the other way round.
    #[test]
    fn the_second_opinion_denies_the_same(
        objects in cluster(),
        (out, into) in (prop::collection::vec(rule("to"), 0..=4), prop::collection::vec(rule("from"), 0..=4)),
    ) {
        for (which, direction, rules, names) in [
            ("Egress", Direction::Egress, json!(out), ["default-deny-egress", "egress-allowlist"]),
            ("Ingress", Direction::Ingress, json!(into), ["default-deny-ingress", "ingress-allowlist"]),
        ] {
            let policy = |name: &str, rules: &Value| json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": { "name": name, "namespace": "shop" },
                "spec": { "podSelector": {}, "policyTypes": [which], (which.to_lowercase()): rules } });
            let wanted = vec![policy(names[0], &json!([])), policy(names[1], &rules)];
            let after: Vec<Value> = objects.iter().chain(&wanted).cloned().collect();
            let (edges, expected) = asked(&objects, &after, which, direction);
            let ns = NsName::parse("shop").expect("valid");
            let set = set_of(&wanted);
            let mut gathering = Gathering::new(sluice::domain::eval::plugin::Plugin::KubeNetworkPolicies.traits());
            objects.iter().for_each(|object| gathering.object("generated", object));
            let recorded = Recorded { window: window(), edges: &edges, doubts: Vec::new() };
            let it = predict(&gathering.done().0, Wanted { ns: &ns, direction, set: &set }, recorded);
            prop_assert_eq!(&it.unknown, &Vec::new());
            prop_assert_eq!(seen(&it), expected);
        }
    }
}

/// Every question about the pods of shop, and the answers of the second opinion.
fn asked(
    objects: &[Value],
    after: &[Value],
    which: &str,
    direction: Direction,
) -> (Vec<(EdgeKey, Edge)>, Seen) {
    let (mut edges, mut expected) = (Vec::new(), Seen::new());
    let own = generated::pods(objects).into_iter().filter(|pod| pod["metadata"]["namespace"] == "shop");
    let name = |pod: &Value| pod["metadata"]["name"].as_str().expect("a name").to_owned();
    for pod in own {
        for end in generated::ends(objects) {
            if end.pod.is_some_and(|other| name(other) == name(pod)) {
                continue;
            }
            let other = match end.pod {
                Some(other) => Peer::Pods {
                    ns: NsName::parse(other["metadata"]["namespace"].as_str().expect("one")).expect("valid"),
                    workload: Workload::new("Pod", &name(other)),
                },
                None => Peer::Address(end.address),
            };
            for (word, protocol) in [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)]
            {
                for port in PORTS {
                    let key = EdgeKey {
                        ns: NsName::parse("shop").expect("valid"),
                        workload: Workload::new("Pod", &name(pod)),
                        direction,
                        peer: other.clone(),
                        name: None,
                        protocol,
                        port,
                        outcome: Outcome::Allowed,
                    };
                    if !edges.iter().any(|(known, _)| *known == key) {
                        edges.push((key.clone(), edge(1)));
                    }
                    let destination = if direction == Direction::Egress { end.pod } else { Some(pod) };
                    if !naive::passes(after, which, pod, end, destination, (word, port)) {
                        let family = if end.address.is_ipv4() { Family::V4 } else { Family::V6 };
                        expected.insert((name(pod), said(&key.peer, end), protocol, port, family));
                    }
                }
            }
        }
    }
    (edges, expected)
}

fn said(peer: &Peer, end: End<'_>) -> String {
    match peer {
        Peer::Pods { ns, workload } => format!("{ns}/{workload}"),
        Peer::Address(_) | Peer::Entity(_) | Peer::Unsaid(_) => end.address.to_string(),
    }
}

fn seen(it: &Prediction) -> Seen {
    let mut out = Seen::new();
    for hit in &it.denied {
        let peer = match &hit.peer {
            Peer::Pods { ns, workload } => format!("{ns}/{workload}"),
            Peer::Address(address) => address.to_string(),
            Peer::Entity(_) | Peer::Unsaid(_) => unreachable!("none was asked"),
        };
        let families: &[Family] =
            if hit.family == Family::Both { &[Family::V4, Family::V6] } else { &[hit.family] };
        for family in families {
            out.insert((hit.workload.to_string(), peer.clone(), hit.protocol, hit.port, *family));
        }
    }
    out
}
