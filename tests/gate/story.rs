//! A story of a case file, told to a world and asked. Each title (`##`) begins a new one: clusters
//! east (uid-east) and west (uid-west), namespace shop, evidence that was read and shows nothing
//! flagged, a live state cluster, 2026-03-02.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, sync::Arc};

use chrono::{DateTime, TimeDelta};
use sluice::{
    cockpit::{
        closed::{ClosedBy, closings_of},
        gate,
        orders::Target,
        plan::{Authored, ClusterEntry, FleetFile, PolicyFiles},
        ports::{Change, ClusterFact, Fact, Link, Trouble},
        settings::{Settings, StatePlace},
        shared::SharedFact,
        world::World,
    },
    domain::{
        discovery::{Everywhere, Rules, assemble},
        edge::{DnsName, Edge, EdgeKey, Peer, Window, hour_of},
        flagged::flagged,
        fleet::{Environment, Identity, NamespaceSeen, Pod},
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
        hold::DenialKey,
        names::{ClusterName, NsName, PodName, Text, Workload},
        policy::{Labels, PINNED, Policy, PolicyKind, Requirement, Selector},
        rollout::{Kept, Stamp},
        sighting::Outcome,
        time::Timestamp,
        valve::Set,
    },
    manifest, workspace,
};

pub fn play(text: &str) -> String {
    let rules = Arc::new(workspace::rules(None).0);
    let mut story = Story::new(&rules);
    let mut out = String::new();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("=>")).collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        let _ = writeln!(out, "{line}");
        if line.starts_with("##") {
            story = Story::new(&rules);
        } else if let Some(name) = line.strip_prefix("policy ").or_else(|| line.strip_prefix("live ")) {
            let length = lines[at..].iter().take_while(|line| line.starts_with(' ')).count();
            let spec = lines[at..at + length].join("\n");
            spec.lines().for_each(|line| {
                let _ = writeln!(out, "{line}");
            });
            at += length;
            let policy = policy(name, &spec);
            if line.starts_with("live") { story.live.push(policy) } else { story.author(policy) }
        } else if !line.is_empty() && !line.starts_with('#') {
            story.tell(line, &mut out);
        }
    }
    out
}

pub fn at(raw: &str) -> Timestamp {
    let full = if raw.contains('T') { format!("{raw}Z") } else { format!("{raw}T00:00:00Z") };
    DateTime::parse_from_rfc3339(&full).unwrap_or_else(|_| panic!("{raw:?} is no time")).to_utc()
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a name")
}

pub fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

pub fn target(name: &str, direction: Direction) -> Target {
    Target { cluster: cluster(name), ns: ns("shop"), direction }
}

/// A policy by its pinned name; any other is a foreign NetworkPolicy.
pub fn policy(name: &str, spec: &str) -> Policy {
    let kind = PINNED.iter().find(|pinned| pinned.name == name).map_or(PolicyKind::NetworkPolicy, |p| p.kind);
    let text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}\n",
        kind.api_version()
    );
    let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    manifest::policy(&value).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A world with both clusters, in which nothing is authored.
pub fn world(now: Timestamp, people: &[&[&str]], rules: Option<&Arc<Rules>>) -> World {
    let mut world = World::new(now);
    let entry = |name: &str| ClusterEntry {
        name: cluster(name),
        context: Text::new(name),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let people = people.iter().map(|names| names.iter().map(|name| Text::new(name)).collect()).collect();
    let state = Some(StatePlace { cluster: cluster("east"), ns: ns("sluice") });
    world.absorb(Fact::Fleet(FleetFile {
        path: Some(Text::new("sluice.yaml")),
        clusters: vec![entry("east"), entry("west")],
        settings: Settings { state, people, ..Settings::default() },
        ..FleetFile::default()
    }));
    for name in ["east", "west"] {
        let uid = Some(Text::from(format!("uid-{name}")));
        let met = ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() };
        let identity = Identity { user: Text::new("sam"), groups: Vec::new() };
        let seen = NamespaceSeen {
            name: ns("shop"),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        for fact in [met, ClusterFact::Identity(identity), ClusterFact::Namespaces(Change::Reset(vec![seen]))]
        {
            world.absorb(Fact::Cluster(cluster(name), fact));
        }
    }
    if let Some(rules) = rules {
        world.absorb(Fact::Rules(Arc::clone(rules)));
    }
    world
}

struct Story {
    rules: Option<Arc<Rules>>,
    set: Set,
    live: Vec<Policy>,
    edges: Option<Vec<(EdgeKey, Edge)>>,
    reviews: Vec<Kept<Review>>,
    people: Vec<Vec<String>>,
    /// Told of the state cluster, in this order.
    shared: Vec<SharedFact>,
    pods: Vec<Pod>,
    now: Timestamp,
}

impl Story {
    fn new(rules: &Arc<Rules>) -> Self {
        let now = at("2026-03-02");
        Self {
            rules: Some(Arc::clone(rules)),
            set: Set::new(),
            live: Vec::new(),
            edges: Some(Vec::new()),
            reviews: Vec::new(),
            people: Vec::new(),
            shared: vec![SharedFact::Link(Link::Live), SharedFact::Clock(now)],
            pods: Vec::new(),
            now,
        }
    }

    fn author(&mut self, policy: Policy) {
        let pinned = policy.pinned().expect("a pinned name");
        self.set.insert(pinned.name, policy);
    }

    fn tell(&mut self, line: &str, out: &mut String) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["now", time] => {
                self.now = at(time);
                self.shared.push(SharedFact::Clock(at(time)));
            }
            ["without", "evidence"] => self.edges = None,
            ["without", "catalogue"] => self.rules = None,
            ["without", "clock"] => self.shared.retain(|fact| !matches!(fact, SharedFact::Clock(_))),
            ["state", "away"] => {
                let trouble = Trouble::new("east", "no answer within 5 s", "Check the VPN.");
                self.shared.push(SharedFact::Link(Link::Broken(trouble)));
            }
            ["people", names @ ..] => self.people.push(names.iter().map(|name| (*name).to_owned()).collect()),
            ["pod", name, workload, labels @ ..] => self.pods.push(pod(name, workload, labels)),
            ["edge", workload, place, port, names @ ..] => {
                let edges = self.edges.as_mut().expect("evidence is read");
                edges.push(edge(workload, place, port, names));
            }
            ["review", name, "by", user, "for", destination, "on", ports, rest @ ..] => {
                self.reviews.push(review(name, user, destination, ports, rest));
            }
            ["decide", name, verdict, "by", user, "at", time, rest @ ..] => {
                let review = self.reviews.iter_mut().find(|kept| kept.name.as_str() == *name);
                review.expect("a review").value.decisions.push(decision(verdict, user, time, rest));
            }
            ["gate"] => self.gate("east", Direction::Egress, out),
            ["gate", cluster] => self.gate(cluster, Direction::Egress, out),
            ["gate", cluster, "ingress"] => self.gate(cluster, Direction::Ingress, out),
            ["opens"] => self.opens(out),
            ["incidents"] => self.incidents(out),
            ["due"] => self.due(out),
            ["denied", workload, destination, port] => self.denied(workload, destination, port, out),
            ["find", words] => {
                let world = self.world();
                let found: Vec<_> =
                    gate::search(&world, words).iter().map(|kept| kept.name.to_string()).collect();
                let _ = writeln!(
                    out,
                    "=> {}",
                    if found.is_empty() { "nothing".to_owned() } else { found.join(" ") }
                );
            }
            other => panic!("{other:?} is no line of a story"),
        }
    }

    fn world(&self) -> World {
        let people: Vec<Vec<&str>> =
            self.people.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
        let people: Vec<&[&str]> = people.iter().map(Vec::as_slice).collect();
        let mut world = world(at("2026-01-01"), &people, self.rules.as_ref());
        let mut files = PolicyFiles::default();
        for name in ["east", "west"] {
            let authored = Authored {
                set: self.set.clone(),
                manifests: Default::default(),
                folder: Text::new("network-policies"),
                complaints: Vec::new(),
                left_out: Vec::new(),
            };
            files.sets.insert((cluster(name), ns("shop"), Direction::Egress), authored);
        }
        let rules = self.rules.as_deref().cloned().unwrap_or_default();
        files.flagged = self.edges.as_ref().map(|edges| {
            let edges = || edges.iter().map(|(key, edge)| (key, edge));
            let found =
                flagged(edges(), &assemble(edges(), &rules, &Everywhere::default(), window()), &rules);
            BTreeMap::from(["east", "west"].map(|name| ((cluster(name), ns("shop")), found.clone())))
        });
        world.absorb(Fact::Files(files));
        for name in ["east", "west"] {
            for fact in [
                ClusterFact::Pods(Change::Reset(self.pods.clone())),
                ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(self.live.clone())),
            ] {
                world.absorb(Fact::Cluster(cluster(name), fact));
            }
        }
        for fact in &self.shared {
            if let SharedFact::Clock(time) = fact {
                world.absorb(Fact::Tick(*time));
            }
            world.absorb(Fact::Shared(fact.clone()));
        }
        world.absorb(Fact::Shared(SharedFact::Reviews(Change::Reset(self.reviews.clone()))));
        world
    }

    fn gate(&self, name: &str, direction: Direction, out: &mut String) {
        let reasons = gate::owner_gate(&self.world(), &target(name, direction), &self.set);
        for reason in &reasons {
            let _ = writeln!(out, "=> {reason}");
        }
        if reasons.is_empty() {
            out.push_str("=> passes\n");
        }
    }

    /// Everything that the policies open, flagged or not.
    fn opens(&self, out: &mut String) {
        for policy in self.set.values() {
            for opened in &policy.opens {
                let _ = writeln!(
                    out,
                    "=> {} {} {}: {} on {} to {}",
                    policy.key.name,
                    opened.direction,
                    opened.rule,
                    opened.what,
                    opened.ports,
                    opened.selector
                );
            }
        }
    }

    fn incidents(&self, out: &mut String) {
        let world = self.world();
        let found = gate::incidents_of(&world, &target("east", Direction::Egress));
        if found.is_empty() {
            out.push_str("=> none\n");
        }
        found.iter().for_each(|incident| {
            let _ = writeln!(out, "=> {}", incident.said);
        });
    }

    fn due(&self, out: &mut String) {
        let found = gate::due(&self.world());
        if found.is_empty() {
            out.push_str("=> nothing\n");
        }
        for due in found {
            let rollouts: Vec<_> = due.rollouts.iter().map(ToString::to_string).collect();
            let word = if due.is_over { "ended" } else { "ends" };
            let used = if rollouts.is_empty() { "nothing".to_owned() } else { rollouts.join(", ") };
            let _ = writeln!(
                out,
                "=> {} for {} {word} {}, used by {used}",
                due.review,
                due.cluster,
                due.until.date_naive()
            );
        }
    }

    fn denied(&self, workload: &str, destination: &str, port: &str, out: &mut String) {
        let span = span(port);
        let key = DenialKey {
            workload: (workload != "?").then(|| Workload::new("Deployment", workload)),
            destination: Text::new(destination),
            port: span.from,
            protocol: span.protocol,
        };
        let world = self.world();
        let found = closings_of(&world, &target("east", Direction::Egress), &key);
        let by = found.first().map_or("not expected".to_owned(), |closed| match closed {
            ClosedBy::Review(kept) => format!("expected by {}", kept.name),
            ClosedBy::Waiver(kept) => format!("waived by {}", kept.name),
        });
        let _ = writeln!(out, "=> {by}");
    }
}

fn window() -> Window {
    Window { from: at("2026-02-20"), to: at("2026-02-27") }
}

pub fn pod(name: &str, workload: &str, labels: &[&str]) -> Pod {
    let labels = labels.iter().map(|label| label.split_once('=').expect("key=value"));
    Pod {
        ns: ns("shop"),
        name: PodName::parse(name).expect("a name"),
        labels: Labels::new(labels.map(|(key, value)| (key.into(), value.into())).collect()),
        workload: Workload::new("Deployment", workload),
        node: None,
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

/// `edge cart 203.0.113.7 TCP/443 [name] [also=…] [chain=…]`
pub fn edge(workload: &str, place: &str, port: &str, names: &[&str]) -> (EdgeKey, Edge) {
    let name = |raw: &str| DnsName::parse(raw).expect("a name");
    let of = |mark: &str| names.iter().filter_map(|word| word.strip_prefix(mark)).map(name).collect();
    let PortSpan { protocol, from: port, .. } = span(port);
    let asked = names.iter().find(|word| !word.contains('=')).map(|raw| name(raw));
    let first = at("2026-02-21");
    let key = EdgeKey {
        ns: ns("shop"),
        workload: Workload::new("Deployment", workload),
        direction: Direction::Egress,
        peer: Peer::Address(place.parse::<IpAddr>().expect("an address")),
        name: asked,
        protocol,
        port,
        outcome: Outcome::Allowed,
    };
    let edge = Edge {
        flows: 70,
        first,
        last: first + TimeDelta::hours(1),
        hours: [hour_of(first)].into_iter().collect(),
        fresh: 70,
        stale: 0,
        ambiguous: 0,
        also: of("also="),
        chain: of("chain="),
        ttl_secs: None,
    };
    (key, edge)
}

/// `TCP/443`, `UDP/1-1024`, `TCP`.
pub fn span(raw: &str) -> PortSpan {
    let (protocol, ports) = raw.split_once('/').unwrap_or((raw, ""));
    let protocol =
        if protocol == "other" { Protocol::Unknown } else { Protocol::parse(protocol).expect("a protocol") };
    let all = PortSpan::all_of(protocol);
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |raw: &str, or: u16| if raw.is_empty() { or } else { raw.parse().expect("a port") };
    PortSpan { protocol, from: number(from, all.from), to: number(to, all.to) }
}

pub fn opening(raw: &str) -> Opening {
    let networks: Result<Vec<_>, _> = raw.split(',').map(str::parse).collect();
    networks.map_or_else(|_| Opening::Name(DnsName::parse(raw).expect("a name")), Opening::Networks)
}

fn texts(raw: &str, prefix: &str) -> std::collections::BTreeSet<Text> {
    raw.split(',').map(|word| Text::from(format!("{prefix}{word}"))).collect()
}

/// `until TIME`, `in east,west`, `pods key=value`, `ns NAME`, `alias NAME`; by default for both
/// clusters and all pods of shop until 2026-06-01.
fn review(name: &str, user: &str, destination: &str, ports: &str, rest: &[&str]) -> Kept<Review> {
    let word = |key: &str| rest.chunks(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
    let requirement = |raw: &str| {
        let (key, value) = raw.split_once('=').expect("key=value");
        Requirement::In { key: key.into(), values: vec![value.into()] }
    };
    let grant = Grant {
        clusters: texts(word("in").unwrap_or("east,west"), "uid-"),
        ns: ns(word("ns").unwrap_or("shop")),
        selector: Selector(
            word("pods").map(|raw| raw.split(',').map(requirement).collect()).unwrap_or_default(),
        ),
        direction: Direction::Egress,
        destination: opening(destination),
        ports: ports.split(',').map(span).collect(),
        expires: at(word("until").unwrap_or("2026-06-01")),
    };
    let value = Review {
        requested_by: Text::new(user),
        aliases: word("alias").map(Text::new).into_iter().collect(),
        grant,
        findings: Vec::new(),
        purpose: Text::new("orders are sent there"),
        decisions: Vec::new(),
    };
    let created = at(word("created").unwrap_or("2026-01-02"));
    Kept { name: Text::new(name), version: Text::new("1"), created, value }
}

/// `until TIME`, `in east,west`; by default for both clusters without an end of its own.
fn decision(verdict: &str, user: &str, time: &str, rest: &[&str]) -> Decision {
    let word = |key: &str| rest.chunks(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
    Decision {
        verdict: DecisionVerdict::parse(verdict).expect("a verdict"),
        stamp: Stamp { by: Text::new(user), at: at(time) },
        reason: Text::new("looked at it"),
        ticket: None,
        clusters: texts(word("in").unwrap_or("east,west"), "uid-"),
        expires: word("until").map(at),
    }
}
