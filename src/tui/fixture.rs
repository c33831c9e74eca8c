//! A small fleet in every state, built by absorbing facts, and a player that types keys at it.

pub mod lead;
mod preview;
pub mod reviews;
pub mod team;
pub mod week;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{FixedOffset, TimeDelta, TimeZone, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use crate::{
    cockpit::{
        decide,
        orders::{Answer, OrderId, OrderKind, Outcome, Receipt, Target},
        plan::{Authored, ClusterEntry, FleetFile, OwnerEntry, PolicyFiles},
        ports::{Change, ClusterFact, Effect, Fact, Gap, Link, OrderFact, SourceState, Trouble},
        settings::{Settings, StatePlace},
        world::World,
    },
    domain::{
        fleet::{Cni, CniKind, Enforcement, Environment, Identity, NamespaceSeen, Part, Pod, Rights},
        flow::{Direction, End, Entity, Flow, FlowId, PolicyRef, Protocol, Verdict},
        names::{ClusterName, NodeName, NsName, PodName, PolicyName, Text, Workload},
        owner::{Marks, Owner},
        policy::{Body, Labels, Pinned, Policy, PolicyKey, PolicyKind, Role, Rule, Selector, Spec},
        time::Timestamp,
        valve::{Set, Step},
    },
};

use super::{
    Ask, Input, Model, Options, Theme, draw, note_refusal, note_started, settle, update, update::note_asked,
};

pub use preview::preview;

pub fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 11, 23, 13, 2, 30).single().expect("a moment")
}

fn ago(secs: i64) -> Timestamp {
    now() - TimeDelta::seconds(secs)
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a cluster name")
}

pub fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a namespace")
}

pub fn target(cluster_: &str, ns_: &str, direction: Direction) -> Target {
    Target { cluster: cluster(cluster_), ns: ns(ns_), direction }
}

pub fn entry(name: &str, environment: Environment) -> ClusterEntry {
    ClusterEntry {
        name: cluster(name),
        context: Text::from(format!("ctx-{name}")),
        environment,
        relay: None,
        flows: Default::default(),
        collector: None,
    }
}

fn fact(world: &mut World, name: &str, fact: ClusterFact) {
    world.absorb(Fact::Cluster(cluster(name), fact));
}

fn seen(name: &str) -> NamespaceSeen {
    NamespaceSeen {
        name: ns(name),
        labels: Labels::default(),
        owner: None,
        contact: None,
        terminating: false,
    }
}

fn pod(ns_: &str, workload: &str, nth: usize) -> Pod {
    Pod {
        ns: ns(ns_),
        name: PodName::parse(&format!("{workload}-7d9f-{nth}")).expect("a pod name"),
        labels: Labels::new(vec![("app".into(), workload.into())]),
        workload: Workload::new("Deployment", workload),
        node: NodeName::parse("node-1").ok(),
        host_network: false,
        finished: false,
        started: Some(ago(86_400)),
        ready: Some(ago(86_390)),
    }
}

/// A pinned policy; the valve has no rule, the others one.
pub fn policy(ns_: &str, pinned: &Pinned, rules: &[Rule]) -> Policy {
    let (egress, ingress) = match pinned.direction {
        Direction::Egress => (Some(rules.to_vec()), None),
        Direction::Ingress => (None, Some(rules.to_vec())),
    };
    Policy {
        key: PolicyKey {
            ns: Some(ns(ns_)),
            kind: pinned.kind,
            name: PolicyName::parse(pinned.name).expect("a pinned name"),
        },
        body: Arc::new(Body {
            spec: Spec::Network { selector: Selector::default(), egress, ingress },
            opens: Vec::new(),
            network: None,
            canonical: format!("{}{rules:?}", pinned.name).into(),
        }),
        version: Some("77".into()),
        marks: Arc::new(Marks { managers: vec![Text::new("sluice")], owner: None }),
    }
}

fn set(ns_: &str, direction: Direction) -> Set {
    Pinned::of(direction)
        .filter(|pinned| pinned.is_required())
        .map(|pinned| {
            let rules = if pinned.role == Role::Valve { vec![] } else { vec![Rule("{\"to\":1}".into())] };
            (pinned.name, policy(ns_, pinned, &rules))
        })
        .collect()
}

fn authored(cluster: &str, ns_: &str, direction: Direction) -> Authored {
    let set = set(ns_, direction);
    let manifests = set.keys().map(|name| (*name, "{}".into())).collect();
    let folder = Text::from(format!("network-policies/{cluster}/{ns_}"));
    Authored { set, manifests, folder, complaints: Vec::new(), left_out: Vec::new() }
}

pub struct Denied<'a> {
    pub cluster: &'a str,
    pub ns: &'a str,
    pub workload: &'a str,
    pub direction: Direction,
    pub peer: &'a str,
    pub port: u16,
    pub secs_ago: i64,
}

pub fn denied(world: &mut World, denied: &Denied<'_>) {
    let judged = End {
        ns: Some(ns(denied.ns)),
        pod: PodName::parse(&format!("{}-7d9f-0", denied.workload)).ok(),
        workload: Some(Workload::new("Deployment", denied.workload)),
        ..End::default()
    };
    let peer = End {
        address: "203.0.113.7".parse().ok(),
        entity: Some(Entity::World),
        names: vec![Text::new(denied.peer)],
        ..End::default()
    };
    let (source, destination) = match denied.direction {
        Direction::Egress => (judged, peer),
        Direction::Ingress => (peer, judged),
    };
    let flow = Flow {
        id: FlowId("x".into()),
        at: ago(denied.secs_ago),
        node: NodeName::parse("node-1").ok(),
        direction: denied.direction,
        verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        source,
        destination,
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: denied.port,
        reply: None,
        closing: false,
    };
    fact(world, denied.cluster, ClusterFact::Flows(vec![flow]));
}

fn source(world: &mut World, name: &str, link: Link) {
    let live = link == Link::Live;
    let state = SourceState {
        kind: crate::domain::source::SourceKind::Hubble,
        name: Text::new("Hubble Relay 1.16.3"),
        link,
        history_from: live.then(|| ago(4 * 3600)),
        lag: live.then(|| TimeDelta::milliseconds(840)),
        nodes_connected: live.then_some(3),
        nodes_unavailable: live.then_some(1),
        malformed: 2,
        repeats: 5,
    };
    fact(world, name, ClusterFact::Source(state));
}

fn meet(world: &mut World, name: &str, kind: CniKind, enforcement: Enforcement, evidence: &str) {
    let kinds = if kind == CniKind::Cilium { vec![PolicyKind::CiliumNetworkPolicy] } else { vec![] };
    fact(
        world,
        name,
        ClusterFact::Met { uid: Some(Text::new("uid-1")), version: Text::new("v1.33.2"), kinds },
    );
    let groups = vec![Text::new("oncall")];
    fact(world, name, ClusterFact::Identity(Identity { user: Text::new("mara@example.org"), groups }));
    let yes = Some(true);
    let rights =
        Rights { read: yes, create: yes, patch: yes, delete: yes, portforward: yes, ..Rights::default() };
    fact(world, name, ClusterFact::Rights(rights));
    let version = (kind == CniKind::Cilium).then(|| Text::new("1.16.3"));
    fact(world, name, ClusterFact::Cni(Cni { kind, version, enforcement, evidence: Text::new(evidence) }));
}

fn fill(world: &mut World, name: &str, namespaces: &[&str], live: Vec<Policy>) {
    fact(world, name, ClusterFact::Namespaces(Change::Reset(namespaces.iter().map(|n| seen(n)).collect())));
    fact(world, name, ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(live)));
    fact(world, name, ClusterFact::Policies(PolicyKind::CiliumNetworkPolicy, Change::Reset(Vec::new())));
    let pods = namespaces.iter().flat_map(|n| (0..3).map(|nth| pod(n, "checkout", nth)));
    fact(world, name, ClusterFact::Pods(Change::Reset(pods.collect())));
}

/// Six clusters in every state.
pub fn world() -> World {
    let mut world = World::new(ago(3600));
    world.absorb(Fact::Zone(FixedOffset::east_opt(3600).expect("a zone")));
    world.absorb(Fact::Fleet(plan()));
    let mut sets = BTreeMap::new();
    for (name, n, direction) in [
        ("prod-eu-1", "payments", Direction::Egress),
        ("prod-eu-1", "payments", Direction::Ingress),
        ("prod-eu-1", "shop", Direction::Egress),
        ("stage-1", "web", Direction::Egress),
        ("stage-1", "api", Direction::Egress),
        ("stage-1", "api", Direction::Ingress),
    ] {
        sets.insert((cluster(name), ns(n), direction), authored(name, n, direction));
    }
    world.absorb(Fact::Files(PolicyFiles { sets, ..PolicyFiles::default() }));
    down(&mut world);
    world.absorb(Fact::Tick(now()));
    production(&mut world);
    meet(
        &mut world,
        "prod-ap-3",
        CniKind::Flannel,
        Enforcement::DoesNot,
        "DaemonSet kube-flannel, no policy engine",
    );
    fill(&mut world, "prod-ap-3", &["legacy"], Vec::new());
    meet(&mut world, "stage-1", CniKind::Calico, Enforcement::Enforces, "DaemonSet calico-node runs Felix");
    let web = set("web", Direction::Egress).into_values().collect();
    fill(&mut world, "stage-1", &["api", "web"], web);
    source(&mut world, "stage-1", Link::None(Text::new("flows of Calico are not read yet")));
    meet(&mut world, "stage-2", CniKind::Cilium, Enforcement::Enforces, "DaemonSet cilium");
    fill(&mut world, "stage-2", &["sandbox"], Vec::new());
    let slow = Trouble::new("stage-2 pods", "the watch broke twice", "Look at the API server's load.");
    fact(&mut world, "stage-2", ClusterFact::Partial { what: Part::Pods, trouble: Some(slow) });
    let gone = Trouble::new("Service hubble-relay", "no ready pod", "Start Hubble Relay in kube-system.");
    source(&mut world, "stage-2", Link::Broken(gone));
    let typo = Trouble::new("sluice.yaml", "unknown key `clsuters`", "Correct it, then ctrl-l.");
    world.absorb(Fact::Notice(typo));
    week::tell(&mut world);
    team::tell(&mut world);
    world.settle();
    world
}

fn plan() -> FleetFile {
    FleetFile {
        path: Some(Text::new("sluice.yaml")),
        clusters: vec![
            entry("prod-eu-1", Environment::Production),
            entry("prod-us-2", Environment::Production),
            entry("prod-ap-3", Environment::Production),
            entry("stage-1", Environment::Staging),
            entry("stage-2", Environment::Staging),
            entry("edge-9", Environment::Unknown),
        ],
        beside: Vec::new(),
        excluded: vec![ns("kube-system")],
        included: Vec::new(),
        owners: vec![OwnerEntry {
            namespaces: vec![ns("payments")],
            owner: Text::new("Team Pay"),
            contact: Some(Text::new("#pay-oncall")),
        }],
        settings: Settings {
            state: Some(StatePlace { cluster: cluster("prod-eu-1"), ns: ns("sluice") }),
            baseline: TimeDelta::zero(),
            ..Settings::default()
        },
        ..FleetFile::default()
    }
}

/// It answered an hour ago and is gone since.
fn down(world: &mut World) {
    meet(world, "prod-us-2", CniKind::Cilium, Enforcement::Enforces, "DaemonSet cilium");
    fill(world, "prod-us-2", &["billing"], set("billing", Direction::Egress).into_values().collect());
    fact(world, "prod-us-2", week::whole_week());
    let away = Trouble::new("https://10.1.2.3:6443", "no answer within 5 s", "Check the VPN.");
    fact(world, "prod-us-2", ClusterFact::Away(away));
}

fn production(world: &mut World) {
    let name = "prod-eu-1";
    meet(world, name, CniKind::Cilium, Enforcement::Enforces, "DaemonSet cilium, policy enforcement default");
    let mut live: Vec<_> = set("payments", Direction::Egress).into_values().collect();
    live.extend(set("shop", Direction::Egress).into_values().skip(1));
    let mut foreign = policy("payments", Pinned::valve(Direction::Ingress), &[Rule("{\"from\":1}".into())]);
    foreign.key.name = PolicyName::parse("team-ingress").expect("a name");
    Arc::make_mut(&mut foreign.marks).owner = Some(Owner::ArgoCd { application: Text::new("shop") });
    live.push(foreign);
    fill(world, name, &["kube-system", "ledger", "payments", "shop"], live);
    source(world, name, Link::Live);
    for (node, secs) in [("node-1", 2), ("node-2", 3)] {
        let node = NodeName::parse(node).expect("a node");
        fact(world, name, ClusterFact::Heard { node, from: ago(secs + 1), until: ago(secs) });
    }
    let gap = |node: &str, from, until: Option<i64>, lost| Gap {
        node: NodeName::parse(node).ok(),
        from: ago(from),
        until: until.map(ago),
        lost,
        cause: crate::domain::evidence::Cause::SourceSilent,
        why: Text::new("the relay lost it"),
    };
    fact(world, name, ClusterFact::Gap(gap("node-2", 900, Some(840), Some(312))));
    fact(world, name, ClusterFact::Gap(gap("node-3", 300, None, None)));
    for (peer, port, times) in [("api.stripe.com.", 443, 40), ("hooks.slack.com.", 443, 3)] {
        for nth in (0..times).rev() {
            denied(
                world,
                &Denied {
                    cluster: name,
                    ns: "payments",
                    workload: "checkout",
                    direction: Direction::Egress,
                    peer,
                    port,
                    secs_ago: 7 + nth * 11,
                },
            );
        }
    }
    let by = vec![PolicyRef {
        kind: PolicyKind::NetworkPolicy,
        ns: Some(ns("payments")),
        name: PolicyName::parse("egress-allowlist").expect("a name"),
    }];
    let allowed = Flow { verdict: Verdict::Allowed { by }, ..a_flow() };
    fact(world, name, ClusterFact::Flows(vec![allowed]));
}

fn a_flow() -> Flow {
    Flow {
        id: FlowId("y".into()),
        at: ago(4),
        node: NodeName::parse("node-1").ok(),
        direction: Direction::Egress,
        verdict: Verdict::Audit { said: Text::default(), by: Vec::new() },
        source: End { ns: Some(ns("payments")), ..End::default() },
        destination: End::default(),
        protocol: Protocol::Tcp,
        source_port: 1,
        port: 1,
        reply: None,
        closing: false,
    }
}

/// A key as the table writes it.
pub fn key(name: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    match name {
        "space" => plain(KeyCode::Char(' ')),
        "enter" => plain(KeyCode::Enter),
        "esc" => plain(KeyCode::Esc),
        "left" => plain(KeyCode::Left),
        "right" => plain(KeyCode::Right),
        "up" => plain(KeyCode::Up),
        "down" => plain(KeyCode::Down),
        "pgup" => plain(KeyCode::PageUp),
        "pgdn" => plain(KeyCode::PageDown),
        "home" => plain(KeyCode::Home),
        "end" => plain(KeyCode::End),
        "tab" => plain(KeyCode::Tab),
        "backspace" => plain(KeyCode::Backspace),
        _ if name.len() > 1 && name[1..].parse::<u8>().is_ok() => {
            plain(KeyCode::F(name[1..].parse().expect("a number")))
        }
        _ => match name.strip_prefix("ctrl-") {
            Some(c) => {
                let c = c.chars().next().expect("a letter");
                KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)
            }
            None => plain(KeyCode::Char(name.chars().next().expect("a key"))),
        },
    }
}

/// Someone at the keyboard, with an engine that starts what `decide` allows and performs nothing.
pub struct Player {
    pub world: World,
    pub model: Model,
    pub asks: Vec<Ask>,
    pub theme: Theme,
}

impl Player {
    pub fn new(world: World, size: (u16, u16)) -> Self {
        let mut model = Model::new(Options { theme: "sluice-dark", ascii: false, size });
        settle(&mut model, &world);
        Self { world, model, asks: Vec::new(), theme: Theme::load("mono").expect("a theme") }
    }

    /// Keys with spaces between them; `"text"` in quotes is typed letter by letter.
    pub fn keys(&mut self, keys: &str) -> &mut Self {
        for word in keys.split_whitespace() {
            match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
                Some(text) => {
                    for c in text.chars() {
                        self.press(&key(&c.to_string().replace('_', "space")));
                    }
                }
                None => self.press(&key(word)),
            }
        }
        self
    }

    pub fn press(&mut self, key: &KeyEvent) {
        let asks = update(&mut self.model, &self.world, Input::Key(*key));
        for ask in asks {
            if let Ask::Command(command) = &ask {
                self.command(command);
            }
            self.asks.push(ask);
        }
    }

    /// As if a key had asked for it.
    pub fn ask(&mut self, command: &decide::Command) -> &mut Self {
        note_asked(&mut self.model, &[Ask::Command(command.clone())]);
        self.command(command);
        self
    }

    fn command(&mut self, command: &decide::Command) {
        match decide::decide(&self.world, command) {
            Err(refusal) => note_refusal(&mut self.model, &refusal),
            Ok(orders) => {
                for effect in orders.effects {
                    match effect {
                        Effect::ReadEdges(cluster, ns) => {
                            self.world.absorb(Fact::Cluster(cluster, ClusterFact::Asked(ns)));
                        }
                        Effect::Foresee(question) => {
                            let target = question.order.target;
                            let cluster = target.cluster.clone();
                            self.world.absorb(Fact::Cluster(cluster, ClusterFact::Foreseeing(target)));
                        }
                        _ => {}
                    }
                }
                let ids = orders.started.iter().map(|(id, ..)| *id).collect();
                for (id, kind, target) in orders.started {
                    self.world.absorb(Fact::Order(id, OrderFact::Started { kind, target }));
                }
                note_started(&mut self.model, ids);
            }
        }
        self.settle();
    }

    pub fn settle(&mut self) {
        self.world.settle();
        settle(&mut self.model, &self.world);
    }

    /// The API server answers all previews.
    pub fn previews_come(&mut self) -> &mut Self {
        let waiting: Vec<_> = self
            .world
            .orders()
            .iter()
            .filter(|order| order.kind == OrderKind::Preview && order.is_running())
            .map(|order| (order.id, order.target.clone()))
            .collect();
        for (id, target) in waiting {
            let preview = Box::new(preview(&self.world, &target));
            self.world.absorb(Fact::Order(id, OrderFact::Previewed(preview)));
        }
        self.settle();
        self
    }

    /// The first write of an order is answered.
    pub fn wrote(&mut self, id: OrderId, result: Answer) -> &mut Self {
        let target = self.world.orders().get(id).expect("an order").target.clone();
        let step = Step::Open(Pinned::valve(target.direction));
        let command = format!(
            "kubectl --context ctx-{} apply --server-side --field-manager sluice -f - # {}",
            target.cluster,
            step.pinned().name
        );
        let receipt = Receipt { order: id, target, step, command, result };
        self.world.absorb(Fact::Order(id, OrderFact::Wrote(receipt)));
        self.settle();
        self
    }

    pub fn ended(&mut self, id: OrderId, outcome: Outcome) -> &mut Self {
        self.world.absorb(Fact::Order(id, OrderFact::Ended(outcome)));
        self.settle();
        self
    }

    pub fn buffer(&self) -> Buffer {
        let (width, height) = self.model.settings.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(&self.world, &self.model, &self.theme, frame)).expect("a frame");
        terminal.backend().buffer().clone()
    }

    /// The screen as text.
    pub fn screen(&self) -> String {
        let buffer = self.buffer();
        let width = usize::from(buffer.area.width);
        let rows = buffer.content.chunks(width);
        let lines = rows.map(|row| {
            let mut line = String::new();
            let mut skip = 0;
            for cell in row {
                if skip == 0 {
                    line.push_str(cell.symbol());
                    skip = unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
                }
                skip -= 1;
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
