//! Law 10: what the screen says and what `-o json` says come from the same rows. The fleet's screen
//! is held against the JSON of the same world, figure by figure; unknown is `?` here and `null` there.

use std::collections::BTreeMap;

use chrono::{TimeDelta, TimeZone, Utc};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::Value;
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, CollectorState, Fact, Gap, Link, SourceState, Trouble},
        world::World,
    },
    documents::status,
    domain::{
        coverage::Coverage,
        edge::{Hours, Window, hour_of, hour_start},
        fleet::{Cni, CniKind, Enforcement, Environment, NamespaceSeen, Pod},
        names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
        policy::{Labels, PolicyKind},
        time::Timestamp,
    },
    tui::{Input, Model, Options, Theme, draw, settle, update},
};

fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 11, 23, 13, 2, 30).single().expect("a time")
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("valid")
}

fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("valid")
}

fn pod(ns_: &str) -> Pod {
    Pod {
        ns: ns(ns_),
        name: PodName::parse("web-1").expect("valid"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "web"),
        node: NodeName::parse("node-1").ok(),
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

fn collector(link: Link, credited: Option<i64>) -> ClusterFact {
    let to = hour_start(hour_of(now()));
    let hours = |count: i64| -> Hours { (1..=count).map(|ago| hour_of(to) - ago).collect() };
    let seen = credited.map(|count| (NodeName::parse("node-1").ok(), hours(count)));
    ClusterFact::Collector(Box::new(CollectorState {
        link,
        version: None,
        sources: Vec::new(),
        window: credited.map(|_| Window { from: to - TimeDelta::days(8), to }),
        coverage: Coverage { credited: seen.into_iter().collect(), ..Coverage::default() },
        edges: Vec::new(),
        troubles: Vec::new(),
    }))
}

fn source() -> SourceState {
    SourceState {
        kind: sluice::domain::source::SourceKind::Hubble,
        name: Text::new("Hubble Relay"),
        link: Link::Live,
        history_from: Some(now() - TimeDelta::hours(4)),
        lag: Some(TimeDelta::milliseconds(840)),
        nodes_connected: Some(3),
        nodes_unavailable: Some(1),
        malformed: 2,
        repeats: 5,
    }
}

/// Clusters in every state: well, without a source, silent, away.
fn world() -> World {
    let mut world = World::new(now());
    let entry = |name: &str, environment| ClusterEntry {
        name: cluster(name),
        context: Text::new(name),
        environment,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let clusters = vec![
        entry("prod-eu", Environment::Production),
        entry("prod-us", Environment::Production),
        entry("stage", Environment::Staging),
        entry("edge", Environment::Unknown),
        entry("gone", Environment::Production),
    ];
    world.absorb(Fact::Fleet(FleetFile { clusters, ..FleetFile::default() }));
    let seen = |name: &str| NamespaceSeen {
        name: ns(name),
        labels: Labels::default(),
        owner: None,
        contact: None,
        terminating: false,
    };
    for (name, kind, enforcement) in [
        ("prod-eu", CniKind::Cilium, Enforcement::Enforces),
        ("prod-us", CniKind::Calico, Enforcement::Enforces),
        ("stage", CniKind::Flannel, Enforcement::DoesNot),
    ] {
        let evidence = Text::new("a DaemonSet");
        let facts = [
            ClusterFact::Cni(Cni { kind, version: None, enforcement, evidence }),
            ClusterFact::Namespaces(Change::Reset(vec![seen("pay"), seen("shop")])),
            ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())),
            ClusterFact::Pods(Change::Reset(vec![pod("pay"), pod("shop")])),
        ];
        facts.into_iter().for_each(|fact| world.absorb(Fact::Cluster(cluster(name), fact)));
    }
    let gap = Gap {
        node: None,
        from: now() - TimeDelta::seconds(90),
        until: Some(now() - TimeDelta::seconds(60)),
        lost: Some(312),
        cause: sluice::domain::evidence::Cause::Loss,
        why: Text::new("the relay lost it"),
    };
    let lost = Trouble::new("Pod sluice-collect-0", "refused", "Ask for the right.");
    for (name, fact) in [
        ("prod-eu", ClusterFact::Source(source())),
        ("prod-eu", ClusterFact::Gap(gap)),
        ("prod-eu", collector(Link::Live, Some(102))),
        ("prod-us", collector(Link::Live, Some(168))),
        ("stage", collector(Link::None(Text::new("no pod")), None)),
        ("gone", collector(Link::Broken(lost), None)),
        ("gone", ClusterFact::Away(Trouble::new("gone", "no answer", "Check the VPN."))),
    ] {
        world.absorb(Fact::Cluster(cluster(name), fact));
    }
    world.settle();
    world
}

/// The screen after these keys, line by line.
fn screen(world: &World, keys: &[&str]) -> Vec<String> {
    let size = (159, 50);
    let mut model = Model::new(Options { theme: "mono", ascii: false, size });
    settle(&mut model, world);
    for key in keys {
        let code = match *key {
            "enter" => crossterm::event::KeyCode::Enter,
            other => crossterm::event::KeyCode::Char(other.chars().next().expect("a key")),
        };
        let key = crossterm::event::KeyEvent::new(code, crossterm::event::KeyModifiers::NONE);
        update(&mut model, world, Input::Key(key));
    }
    let theme = Theme::load("mono").expect("a theme");
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal");
    terminal.draw(|frame| draw(world, &model, &theme, frame)).expect("a frame");
    let buffer = terminal.backend().buffer().clone();
    buffer
        .content
        .chunks(usize::from(size.0))
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect())
        .collect()
}

/// The words of the first row that holds this name as a word of its own.
fn words(screen: &[String], name: &str, from: usize) -> Vec<String> {
    let row = screen.iter().skip(from).find(|row| row.split_whitespace().any(|word| word == name));
    let row = row.unwrap_or_else(|| panic!("no row {name} in\n{}", screen.join("\n")));
    row.split_whitespace().map(str::to_owned).collect()
}

/// As the screen writes a number that may be unknown.
fn figure(value: &Value) -> String {
    if value.is_null() { "?".to_owned() } else { value.to_string() }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn holds(row: &[String], what: &str) {
    let wanted: Vec<_> = what.split_whitespace().collect();
    let found = row.windows(wanted.len()).any(|part| part.iter().zip(&wanted).all(|(a, b)| a == b));
    assert!(found, "{what:?} is not in {row:?}");
}

/// Each cluster of the JSON with its place among them.
fn clusters(world: &World) -> Vec<Value> {
    let json: Value = serde_json::from_str(&status::json(world)).expect("JSON");
    json["clusters"].as_array().expect("a list").clone()
}

#[test]
fn clusters_on_the_screen_are_those_of_the_json() {
    let world = world();
    let screen = screen(&world, &[]);
    for cluster in clusters(&world) {
        let row = words(&screen, text(&cluster["name"]), 3);
        holds(&row, text(&cluster["health"]["state"]));
        let environment = text(&cluster["environment"]);
        assert!(row.iter().any(|word| word.eq_ignore_ascii_case(environment)), "{environment}: {row:?}");
        let listed = cluster["namespaces_listed"].as_bool() == Some(true);
        let count = cluster["namespaces"].as_array().map_or(0, Vec::len);
        let count = if listed { count.to_string() } else { "?".to_owned() };
        let denials = cluster["denials_per_minute"].as_f64();
        let denials =
            denials.map_or("?".to_owned(), |rate| if rate < 0.05 { "0".into() } else { rate.to_string() });
        let week = text(&cluster["collector"]["progress"]["words"]);
        holds(&row, &format!("{count} {denials} {week} {}", text(&cluster["source"]["link"])));
    }
}

#[test]
fn namespaces_on_the_screen_are_those_of_the_json() {
    let world = world();
    // Every cluster is unfolded; the last one first, so that the cursor need not come back.
    let screen = screen(&world, &["G", "enter", "k", "enter", "k", "enter", "k", "enter", "k", "enter"]);
    let mut compared = 0;
    for cluster in clusters(&world) {
        let name = text(&cluster["name"]);
        let at = screen.iter().skip(3).position(|row| row.split_whitespace().any(|word| word == name));
        let at = 3 + at.expect("its row");
        for ns in cluster["namespaces"].as_array().expect("a list") {
            let row = words(&screen, text(&ns["name"]), at);
            holds(&row, &format!("{} {}", text(&ns["name"]), text(&ns["collection"]["words"])));
            for direction in ["egress", "ingress"] {
                let rollout = &ns[direction];
                let all = rollout["policies"].as_array().expect("a list");
                let live = all.iter().filter(|policy| policy["live"] == true).count();
                let isolation = &rollout["isolation"];
                let isolated = if isolation.is_null() {
                    "?".to_owned()
                } else {
                    format!("{}/{}", isolation["isolated"], isolation["pods"])
                };
                let phase = text(&rollout["phase"]);
                let standing = match text(&rollout["standing"]) {
                    "in force in part" => match (&rollout["soak"]["in_force"], &rollout["soak"]["nodes"]) {
                        (_, nodes) if nodes.as_u64().unwrap_or(0) == 0 => "? nodes".to_owned(),
                        (on, of) => format!("{on}/{of} nodes"),
                    },
                    standing => standing.to_owned(),
                };
                holds(&row, &format!("{phase} {live}/{} {standing} {isolated}", all.len()));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 12);
}

#[test]
fn sources_on_the_screen_are_those_of_the_json() {
    let world = world();
    let screen = screen(&world, &["5"]);
    for cluster in clusters(&world) {
        let source = &cluster["source"];
        let row = words(&screen, text(&cluster["name"]), 3);
        holds(&row, text(&source["link"]));
        let lag = if source["lag_ms"].is_null() { "?".to_owned() } else { format!("{}ms", source["lag_ms"]) };
        holds(&row, &lag);
        if source["link"] == "live" {
            let counted: BTreeMap<_, _> =
                ["lost", "gaps", "malformed"].into_iter().map(|key| (key, figure(&source[key]))).collect();
            holds(&row, &format!("{} {} {}", counted["lost"], counted["gaps"], counted["malformed"]));
        } else {
            assert!(!row.iter().any(|word| word == "0"), "what is not counted is not zero: {row:?}");
        }
    }
}
