//! Companions of discovery documents as evidence: what is flagged by them, and what counts as none.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use chrono::FixedOffset;
use sluice::{
    cockpit::{
        gate,
        plan::{ClusterEntry, FlaggedFiles, FleetFile, PolicyFiles},
        settings::{Settings, StatePlace},
    },
    documents::discovery::{
        companion::{self, Companion, Part},
        page::Evidence,
    },
    domain::{
        coverage::{Coverage, Readiness},
        edge::Window,
        fleet::Environment,
        names::Text,
    },
    engine::{Clock, Engine, Setup},
    k8s::connect::{Contexts, Proxies},
    workspace::{self, root::Place},
};

use super::story::{at, cluster, edge, ns};

fn companion() -> String {
    let part = |edges: Vec<_>| Part {
        window: Window { from: at("2026-02-20"), to: at("2026-02-27") },
        generated: at("2026-02-27"),
        evidence: Evidence {
            coverage: Coverage::default(),
            readiness: Readiness::Ready,
            ingress: None,
            crons: None,
            silent: None,
            remarks: Vec::new(),
        },
        edges,
    };
    let named = |address: &str| edge("cart", address, "TCP/443", &["hooks.webhook.site"]);
    let seen = vec![
        named("203.0.113.80"),
        named("203.0.113.81"),
        edge("cart", "10.0.0.7", "TCP/443", &["db.internal"]),
    ];
    let parts = BTreeMap::from([
        (cluster("east"), part(seen)),
        (cluster("west"), part(Vec::new())),
        (cluster("gone"), part(Vec::new())),
    ]);
    companion::to_text(&Companion { ns: ns("shop"), parts })
}

fn read(root: &Path) -> (FlaggedFiles, Vec<String>) {
    let entry = |name: &str| ClusterEntry {
        name: cluster(name),
        context: Text::new(name),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let fleet = FleetFile { clusters: ["east", "west", "north"].map(entry).into(), ..FleetFile::default() };
    let (flagged, troubles) = workspace::evidence::read(root, &fleet, &workspace::rules(None).0);
    (flagged, troubles.iter().map(ToString::to_string).collect())
}

fn read_text(text: &str) -> (FlaggedFiles, Vec<String>) {
    let root = tempfile::tempdir().expect("a folder");
    let path = workspace::discovery::companion_path(root.path(), &ns("shop"));
    workspace::discovery::write(root.path(), &path, text).expect("written");
    read(root.path())
}

#[test]
fn a_companion_tells_what_is_flagged_with_every_address_it_had() {
    let (flagged, troubles) = read_text(&companion());
    assert_eq!(troubles, [""; 0]);
    // A cluster that the fleet does not have is left out; one without a companion is unknown.
    let known: Vec<_> = flagged.keys().map(|(cluster, ns)| format!("{cluster}/{ns}")).collect();
    assert_eq!(known, ["east/shop", "west/shop"]);
    assert!(flagged[&(cluster("west"), ns("shop"))].is_empty(), "read, and nothing is flagged");
    let [only] = flagged[&(cluster("east"), ns("shop"))].as_slice() else { panic!("{flagged:?}") };
    let addresses: Vec<_> = only.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["203.0.113.80", "203.0.113.81"]);
    assert_eq!(only.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["hooks.webhook.site"]);
    assert_eq!(only.findings[0].class.as_str(), "webhook-receiver");
}

#[test]
fn a_companion_that_cannot_be_read_whole_is_no_evidence() {
    let whole = companion();
    let lines: Vec<_> = whole.lines().collect();
    let said = |why: &str| {
        format!(
            "network-policies/discovery/shop.edges.jsonl: line {why}, so the file counts as no evidence. Write it again with `sluice discover --write`."
        )
    };
    for (text, why) in [
        (format!("{whole}{{"), "5: it is not JSON (EOF while parsing an object at line 1 column 1)"),
        (lines[..lines.len() - 1].join("\n"), "1: it says 3 edges of east, and 2 stand there"),
        (
            whole.replacen("\"cluster\":\"east\",\"namespace\"", "\"cluster\":\"south\",\"namespace\"", 1),
            "2: it is of another cluster or namespace",
        ),
        (
            whole.replacen("\"namespace\":\"shop\"", "\"namespace\":\"pay\"", 1),
            "1: it is not sluice.edges/1 of namespace shop",
        ),
        (whole.replacen("edges/1", "edges/2", 1), "1: it is not sluice.edges/1 of namespace shop"),
    ] {
        let (flagged, troubles) = read_text(&text);
        assert!(flagged.is_empty(), "{why}");
        assert_eq!(troubles, [said(why)]);
    }
    let root = tempfile::tempdir().expect("a folder");
    assert_eq!(read(root.path()), (FlaggedFiles::new(), Vec::new()));
}

/// The gate needs rules and evidence where no collector ever speaks; without a state cluster nothing
/// can be applied, and the large lists stay unread.
#[tokio::test]
async fn the_engine_reads_rules_and_evidence_where_there_is_a_state_cluster() {
    let root = tempfile::tempdir().expect("a folder");
    let path = workspace::discovery::companion_path(root.path(), &ns("shop"));
    workspace::discovery::write(root.path(), &path, &companion()).expect("written");
    let entry = ClusterEntry {
        name: cluster("east"),
        context: Text::new("east"),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let state = StatePlace { cluster: cluster("east"), ns: ns("sluice") };
    let fleet = FleetFile {
        clusters: vec![entry],
        settings: Settings { state: Some(state), ..Settings::default() },
        ..FleetFile::default()
    };
    let contexts = Contexts::read(Vec::new(), Proxies::default()).expect("nothing to read");
    let mut engine = Engine::start(Setup {
        fleet,
        files: PolicyFiles::default(),
        notices: Vec::new(),
        reach: Arc::new(move |entry: &ClusterEntry| contexts.access(entry.context.as_str())),
        clock: Clock::simulated(at("2026-03-02"), 1.0),
        zone: FixedOffset::east_opt(0).expect("in range"),
        read_only: false,
        follow_flows: false,
        workspace: Some(Place { root: root.path().to_owned(), only: Vec::new() }),
        records: None,
        notify: None,
    });
    while engine.world().files().flagged.is_none() {
        engine.turn().await;
    }
    assert!(engine.world().discoveries().rules().is_some());
    let evidence = gate::evidence(engine.world(), &cluster("east"), &ns("shop")).expect("read");
    assert_eq!(evidence.len(), 1);
    assert_eq!(gate::evidence(engine.world(), &cluster("east"), &ns("pay")), None);
}
