//! A case as text: lines that tell, questions, and answers. Times are hours of a week that begins on
//! 2026-03-02.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
};

use chrono::{DateTime, TimeDelta};
use sluice::{
    domain::{
        author::{
            self, Evidence, Input,
            draft::Draft,
            facts::{ApiServer, Callback, Facts, Resolver, ResolverPods, Running},
            settings::{Extra, Harbor, Published, Settings},
        },
        discovery::{Everywhere, Rules, assemble},
        edge::{DnsName, Edge, EdgeKey, Peer, Window, hour_of},
        flagged::flagged,
        fleet::{Cni, CniKind, Enforcement},
        flow::{Direction, Entity, Protocol},
        gate::Known,
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
        names::{ClusterName, NsName, Text, Workload},
        policy::{Labels, Selector},
        rollout::{Kept, Stamp, Target},
        sighting::Outcome,
        time::Timestamp,
    },
    manifest::written,
    workspace,
};

pub static RULES: LazyLock<Rules> = LazyLock::new(|| workspace::rules(None).0);

/// Plays a case; the answers stand after their questions, whatever was written there.
pub fn play(text: &str) -> String {
    let mut out = String::new();
    let mut story = Story::default();
    for line in text.lines().filter(|line| !line.starts_with("=>")) {
        let _ = writeln!(out, "{line}");
        match line.strip_prefix("## ") {
            Some(_) => story = Story::default(),
            None if line.is_empty() || line.starts_with('#') => {}
            None => story.tell(line, &mut out),
        }
    }
    out
}

/// Everything that a draft is made of.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub facts: Facts,
    pub settings: Settings,
    pub edges: Vec<(EdgeKey, Edge)>,
    pub extras: Vec<Extra>,
    pub reviews: Vec<Kept<Review>>,
    pub without_reviews: bool,
}

pub fn ns(raw: &str) -> NsName {
    NsName::parse(raw).expect("a namespace")
}

pub fn target(direction: Direction) -> Target {
    Target { cluster: ClusterName::parse("prod-eu").expect("a name"), ns: ns("shop"), direction }
}

pub fn start() -> Timestamp {
    DateTime::parse_from_rfc3339("2026-03-02T00:00:00Z").expect("a time").to_utc()
}

pub fn window() -> Window {
    Window { from: start(), to: start() + TimeDelta::days(7) }
}

fn address(raw: &str) -> IpAddr {
    raw.parse().unwrap_or_else(|_| panic!("{raw} is no address"))
}

fn labels(raw: &str) -> Labels {
    let pairs =
        raw.split(',').filter(|word| !word.is_empty()).map(|word| word.split_once('=').expect("key=value"));
    Labels::new(pairs.map(|(key, value)| (key.into(), value.into())).collect())
}

pub fn span(raw: &str) -> PortSpan {
    let (protocol, port) = raw.split_once('/').expect("TCP/443");
    let protocol = Protocol::parse(protocol).expect("a protocol");
    let port = port.parse().expect("a port");
    PortSpan { protocol, from: port, to: port }
}

impl Story {
    /// One of lines that only tell.
    pub fn told(text: &str) -> Self {
        let mut story = Self::default();
        text.lines().for_each(|line| story.tell(line, &mut String::new()));
        story
    }

    fn tell(&mut self, line: &str, out: &mut String) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cni", kind, version @ ..] => self.facts.cni = Some(cni(kind, version.first().copied())),
            ["blocks", "select", "nodes"] => self.facts.blocks_select_nodes = Some(true),
            ["resolver", ns_name, selector, port, rest @ ..] => self.resolver(ns_name, selector, port, rest),
            ["api", endpoint, service] => {
                let place =
                    |raw: &str| raw.parse::<SocketAddr>().map(|it| (it.ip(), it.port())).expect("a place");
                let (endpoints, service) = ([place(endpoint)].into(), [place(service)].into());
                self.facts.api = Some(ApiServer { endpoints, service });
            }
            ["nodes", all @ ..] => self.facts.nodes = Some(all.iter().map(|raw| address(raw)).collect()),
            ["pods", "in", network] => {
                self.facts.pod_networks = Some(vec![network.parse().expect("a network")]);
            }
            ["runs", place, rest @ ..] => self.runs(place, rest),
            ["nothing", "is", "called"] => self.facts.callbacks = Some(Vec::new()),
            ["called", object, place] => {
                let (ns_name, port) = place.split_once(':').expect("ns:port");
                let (object, port) = (Text::from(object.replace('/', " ")), port.parse().expect("a port"));
                let one = Callback { object, ns: ns(ns_name), port };
                self.facts.callbacks.get_or_insert_default().push(one);
            }
            ["pods", "by", "evidence"] => self.settings.pod_to_pod = false,
            ["published", names, networks, source @ ..] => self.settings.published.push(Published {
                names: names.split(',').map(|raw| DnsName::parse(raw).expect("a name")).collect(),
                networks: networks.split(',').map(|raw| raw.parse().expect("a network")).collect(),
                source: Text::from(source.join(" ")),
            }),
            ["harbor", state, name, network] => {
                self.settings.harbor = Some(Harbor {
                    landed: *state == "landed",
                    names: vec![DnsName::parse(name).expect("a name")],
                    networks: vec![network.parse().expect("a network")],
                    ns: None,
                    labels: Labels::default(),
                    port: 443,
                });
            }
            ["edge", direction, workload, peer, port, rest @ ..] => {
                let direction = Direction::parse(direction).expect("a direction");
                self.edges.push(edge(direction, workload, peer, port, rest));
            }
            ["granted", name, destination, port, rest @ ..] => {
                self.reviews.push(granted(name, destination, port, rest.first().copied()));
            }
            ["without", "reviews"] => self.without_reviews = true,
            ["file", name] => {
                let draft = self.draft(direction_of(name));
                let text = self.text(&draft, name);
                let rest =
                    text.as_deref().map_or("there is none", |text| text.split_once('\n').expect("lines").1);
                answered(out, rest.lines());
            }
            ["rules", name] => {
                let draft = self.draft(direction_of(name));
                let text = self.text(&draft, name).unwrap_or_else(|| "spec:\nthere is none".to_owned());
                let lines = text.lines().skip_while(|line| *line != "spec:").skip(1);
                let lines =
                    lines.filter(|line| !line.starts_with("  podSelector") && !line.contains("policyTypes"));
                let lines = lines
                    .filter(|line| !["  - Egress", "  - Ingress", "  endpointSelector: {}"].contains(line));
                answered(out, lines);
            }
            ["left", "out", direction] => {
                let draft = self.draft(Direction::parse(direction).expect("a direction"));
                let lines = draft.left_out.iter().map(|one| format!("{}: {one}", one.cause.as_str()));
                told(out, lines);
            }
            ["doubts", direction] => {
                let draft = self.draft(Direction::parse(direction).expect("a direction"));
                told(out, draft.warnings.iter().chain(&draft.missing).map(ToString::to_string));
            }
            ["work"] => {
                told(out, self.draft(Direction::Egress).work.iter().map(ToString::to_string));
            }
            other => panic!("{other:?} is no line of a story"),
        }
    }

    fn resolver(&mut self, ns_name: &str, selector: &str, port: &str, rest: &[&str]) {
        let of = |mark: &str| -> BTreeSet<IpAddr> {
            rest.iter().filter_map(|word| word.strip_prefix(mark)).map(address).collect()
        };
        let ports = [port.parse().expect("a port")].into();
        let pods = ResolverPods { ns: ns(ns_name), labels: labels(selector), ports, ready: 2 };
        let resolver = Resolver { pods: Some(pods), service: of("service="), node_local: of("local=") };
        self.facts.resolver = Some(resolver);
    }

    fn runs(&mut self, place: &str, rest: &[&str]) {
        let (ns_name, name) = place.split_once('/').expect("ns/name");
        let labels = rest.iter().find(|word| word.contains('=')).map(|raw| labels(raw)).unwrap_or_default();
        let running = Running { labels, host_network: rest.contains(&"host") };
        let all = self.facts.workloads.get_or_insert_default().entry(ns(ns_name)).or_default();
        all.insert(Workload::new("Deployment", name), running);
    }

    pub fn text(&self, draft: &Draft, name: &str) -> Option<String> {
        draft.find(name).map(|drafted| written::text(draft, drafted))
    }

    pub fn draft(&self, direction: Direction) -> Draft {
        self.with_input(direction, author::draft)
    }

    pub fn with_input<T>(&self, direction: Direction, ask: impl FnOnce(&Input<'_>) -> T) -> T {
        let edges = || self.edges.iter().map(|(key, edge)| (key, edge));
        let mut everywhere = Everywhere::default();
        let target = target(direction);
        everywhere.note(&target.cluster, edges());
        let destinations = assemble(edges(), &RULES, &everywhere, window());
        let flagged = flagged(edges(), &destinations, &RULES);
        let flagged: Vec<_> = flagged.iter().collect();
        let reviews: Vec<_> = self.reviews.iter().collect();
        let uid = Text::new("uid-prod-eu");
        ask(&Input {
            facts: &self.facts,
            settings: &self.settings,
            evidence: Evidence { window: window(), edges: &self.edges, destinations: &destinations },
            extras: &self.extras,
            known: Known {
                target: &target,
                uid: Some(&uid),
                catalogue: Some(&RULES.catalogue),
                evidence: Some(&flagged),
                reviews: (!self.without_reviews).then_some(&reviews),
                people: &[],
                now: Some(window().to),
            },
        })
    }
}

fn answered<'l>(out: &mut String, lines: impl Iterator<Item = &'l str>) {
    for line in lines {
        let _ = writeln!(out, "=> {line}");
    }
}

fn told(out: &mut String, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        out.push_str("=> nothing\n");
    }
    answered(out, lines.iter().map(String::as_str));
}

fn direction_of(name: &str) -> Direction {
    if name.contains("ingress") { Direction::Ingress } else { Direction::Egress }
}

pub fn cni(kind: &str, version: Option<&str>) -> Cni {
    Cni {
        kind: CniKind::ALL.into_iter().find(|it| it.as_str() == kind).expect("a kind"),
        version: version.map(Text::new),
        enforcement: Enforcement::Enforces,
        evidence: Text::new("a DaemonSet"),
    }
}

fn peer(raw: &str) -> Peer {
    match raw.split_once(':') {
        Some(("pods", place)) => {
            let (ns_name, name) = place.split_once('/').expect("ns/name");
            Peer::Pods { ns: ns(ns_name), workload: Workload::new("Deployment", name) }
        }
        Some(("entity", word)) => Peer::Entity(Entity::parse(word).expect("an entity")),
        Some(("unsaid", class)) => Peer::Unsaid(Text::new(class)),
        _ => Peer::Address(address(raw)),
    }
}

/// `[name] [grade=fresh] [flows=70] [hours=0,30] [also=…] [denied]`
pub fn edge(direction: Direction, workload: &str, far: &str, port: &str, rest: &[&str]) -> (EdgeKey, Edge) {
    let word = |mark: &str| rest.iter().find_map(|word| word.strip_prefix(mark));
    let name = rest.iter().find(|word| word.contains('.') && !word.contains('='));
    let PortSpan { protocol, from: port, .. } = span(port);
    let hours: Vec<i64> =
        word("hours=").unwrap_or("10").split(',').map(|raw| raw.parse().expect("an hour")).collect();
    let at = |hour: i64| start() + TimeDelta::hours(hour);
    let flows = word("flows=").map_or(70, |raw| raw.parse().expect("a number"));
    let grade = word("grade=").unwrap_or("fresh");
    let sure = |is: &str| if name.is_some() && grade == is { flows } else { 0 };
    let key = EdgeKey {
        ns: ns("shop"),
        workload: Workload::new("Deployment", workload),
        direction,
        peer: peer(far),
        name: name.map(|raw| DnsName::parse(raw).expect("a name")),
        protocol,
        port,
        outcome: if rest.contains(&"denied") { Outcome::Denied } else { Outcome::Allowed },
    };
    let edge = Edge {
        flows,
        first: at(hours[0]),
        last: at(*hours.last().expect("one")) + TimeDelta::minutes(30),
        hours: hours.iter().map(|hour| hour_of(at(*hour))).collect(),
        fresh: sure("fresh"),
        stale: sure("stale"),
        ambiguous: sure("ambiguous"),
        also: word("also=").map(|raw| vec![DnsName::parse(raw).expect("a name")]).unwrap_or_default(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    (key, edge)
}

/// Approved by somebody else than who asked; `only=key=value`: for those pods.
pub fn granted(name: &str, destination: &str, port: &str, only: Option<&str>) -> Kept<Review> {
    let networks: Result<Vec<_>, _> = destination.split(',').map(str::parse).collect();
    let uid = Text::new("uid-prod-eu");
    let requirement = only.and_then(|raw| raw.strip_prefix("only=")).and_then(|raw| raw.split_once('='));
    let selector = requirement.map(|(key, value)| {
        Selector(vec![sluice::domain::policy::Requirement::In {
            key: key.into(),
            values: vec![value.into()],
        }])
    });
    let value = Review {
        requested_by: Text::new("ann"),
        aliases: Vec::new(),
        grant: Grant {
            clusters: [uid.clone()].into(),
            ns: ns("shop"),
            selector: selector.unwrap_or_default(),
            direction: Direction::Egress,
            destination: networks.map_or_else(
                |_| Opening::Name(DnsName::parse(destination).expect("a name")),
                Opening::Networks,
            ),
            ports: vec![span(port)],
            expires: start() + TimeDelta::days(90),
        },
        findings: Vec::new(),
        purpose: Text::new("orders are sent there"),
        decisions: vec![Decision {
            verdict: DecisionVerdict::Approved,
            stamp: Stamp { by: Text::new("kim"), at: start() },
            reason: Text::new("looked at it"),
            ticket: None,
            clusters: [uid].into(),
            expires: None,
        }],
    };
    Kept { name: Text::new(name), version: Text::new("1"), created: start(), value }
}
