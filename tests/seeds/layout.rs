//! What stands still in every seed: 13 clusters, their nodes and namespaces, and the bytes that people
//! write for a rollout, each with what it opens as plain bits. Times are seconds after the start.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice::{
    cockpit::{
        plan::{Authored, ClusterEntry, FleetFile, PolicyFiles},
        settings::{Settings, StatePlace, WaveSettings, WaveSize},
    },
    domain::{
        destination::{Finding, Severity},
        flagged::Flagged,
        fleet::Environment,
        flow::{Direction, Protocol},
        names::{ClusterName, NodeName, NsName, Text, Workload},
        policy::{Pinned, Policy, Role},
        rollout::Target,
        time::Timestamp,
    },
    manifest,
};

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;

/// Name, nodes, namespaces. The first four are staging; the first one keeps the team's state.
pub const CLUSTERS: [(&str, usize, &[&str]); 13] = [
    ("stg-1", 1, &["job", "shop"]),
    ("stg-2", 2, &["shop"]),
    ("stg-3", 1, &["shop"]),
    ("stg-4", 1, &["shop"]),
    ("eu-1", 2, &["api", "pay", "shop"]),
    ("eu-2", 2, &["shop"]),
    ("eu-3", 1, &["shop"]),
    ("eu-4", 2, &["shop"]),
    ("us-1", 1, &["shop"]),
    ("us-2", 2, &["shop"]),
    ("us-3", 1, &["shop"]),
    ("us-4", 1, &["shop"]),
    ("ap-1", 2, &["shop"]),
];
pub const STAGING: usize = 4;
/// Most of production's rows in one wave, in percent.
pub const CAP_PERCENT: u8 = 34;

/// What an allowlist may open, a bit each.
pub const VENDOR_A: u8 = 1;
pub const VENDOR_B: u8 = 2;
pub const FLAGGED: u8 = 4;
const DNS: u8 = 8;
pub const EVERYTHING: u8 = 0xFF;

const PLACES: [(u8, &str, u16); 3] = [
    (VENDOR_A, "203.0.113.1/32", 443),
    (VENDOR_B, "203.0.113.2/32", 443),
    (FLAGGED, "198.51.100.66/32", 4444),
];

pub fn flagged_network() -> ipnet::IpNet {
    PLACES[2].1.parse().expect("a network")
}

pub const FLAGGED_PORT: u16 = PLACES[2].2;

/// A Monday.
pub fn start() -> Timestamp {
    DateTime::<Utc>::from_timestamp(1_795_392_000, 0).expect("2026-11-23T00:00:00Z")
}

pub fn at(secs: i64) -> Timestamp {
    start() + TimeDelta::seconds(secs)
}

/// One rollout: cluster, namespace, direction, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub cluster: usize,
    pub ns: usize,
    pub direction: Direction,
}

impl Row {
    pub fn all() -> impl Iterator<Item = Self> {
        CLUSTERS.iter().enumerate().flat_map(|(cluster, (_, _, names))| {
            (0..names.len()).flat_map(move |ns| {
                Direction::ALL.into_iter().map(move |direction| Self { cluster, ns, direction })
            })
        })
    }

    pub fn target(self) -> Target {
        let (name, _, names) = CLUSTERS[self.cluster];
        Target { cluster: cluster_name(name), ns: ns_name(names[self.ns]), direction: self.direction }
    }

    pub fn of(target: &Target) -> Self {
        let cluster = number_of(&target.cluster);
        let names = CLUSTERS[cluster].2;
        let ns = names.iter().position(|name| *name == target.ns.as_str()).expect("a namespace of it");
        Self { cluster, ns, direction: target.direction }
    }

    pub fn is_staging(self) -> bool {
        self.cluster < STAGING
    }

    pub fn name(self) -> &'static str {
        CLUSTERS[self.cluster].2[self.ns]
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {}", CLUSTERS[self.cluster].0, self.name(), self.direction)
    }
}

pub fn number_of(cluster: &ClusterName) -> usize {
    CLUSTERS.iter().position(|(name, ..)| *name == cluster.as_str()).expect("a cluster of the fleet")
}

pub fn cluster_name(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a name")
}

pub fn ns_name(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

pub fn node_name(node: usize) -> NodeName {
    NodeName::parse(["node-0", "node-1"][node]).expect("a name")
}

/// A policy as text, as the product reads it, and what it opens.
pub struct Made {
    pub text: Box<str>,
    pub policy: Policy,
    pub opens: u8,
}

/// Cluster or namespace, name, and what it opens.
type PinnedKey = (&'static str, &'static str, u8);

thread_local! {
    static MADE: RefCell<HashMap<(&'static str, String), Rc<Made>>> = RefCell::default();
    static PINNED: RefCell<HashMap<PinnedKey, Rc<Made>>> = RefCell::default();
}

/// The pinned policy of a namespace that opens exactly this.
pub fn make(ns: &'static str, pinned: &'static Pinned, opens: u8) -> Rc<Made> {
    let key = (ns, pinned.name, opens);
    if let Some(known) = PINNED.with_borrow(|all| all.get(&key).cloned()) {
        return known;
    }
    let made = made(ns, manifest_of(ns, pinned.name, pinned.direction, opens));
    PINNED.with_borrow_mut(|all| all.insert(key, made.clone()));
    made
}

/// A policy of somebody else.
pub fn foreign(ns: &'static str, name: &str, direction: Direction, opens: u8) -> Rc<Made> {
    made(ns, manifest_of(ns, name, direction, opens))
}

/// What such a text says.
pub fn made(ns: &'static str, text: String) -> Rc<Made> {
    MADE.with_borrow_mut(|all| {
        let entry = all.entry((ns, text));
        let key = entry.key().1.clone();
        entry
            .or_insert_with(|| {
                let value: Value = serde_json::from_str(&key).expect("JSON");
                let policy = manifest::policy(&value).expect("a policy");
                Rc::new(Made { opens: opens(&key), text: key.into(), policy })
            })
            .clone()
    })
}

fn manifest_of(ns: &str, name: &str, direction: Direction, opens: u8) -> String {
    let (kind, field, peers) = match direction {
        Direction::Egress => ("Egress", "egress", "to"),
        Direction::Ingress => ("Ingress", "ingress", "from"),
    };
    let mut rules: Vec<Value> = Vec::new();
    if opens == EVERYTHING {
        rules.push(json!({}));
    } else {
        if opens & DNS != 0 {
            rules.push(json!({"ports": [{"port": 53, "protocol": "UDP"}]}));
        }
        for (bit, network, port) in PLACES {
            if opens & bit != 0 {
                rules.push(json!({
                    peers: [{"ipBlock": {"cidr": network}}], "ports": [{"port": port, "protocol": "TCP"}],
                }));
            }
        }
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"podSelector": {}, "policyTypes": [kind], field: rules},
    })
    .to_string()
}

/// What a text opens, by its words.
pub fn opens(text: &str) -> u8 {
    if text.contains("[{}]") {
        return EVERYTHING;
    }
    let dns = if text.contains("53") { DNS } else { 0 };
    PLACES.iter().filter(|(_, network, _)| text.contains(network)).fold(dns, |all, (bit, ..)| all | bit)
}

/// What a pinned policy of the workspace opens, where the allowlist opens this.
pub fn wanted(pinned: &Pinned, allowlist: u8) -> u8 {
    match pinned.role {
        Role::Valve => 0,
        Role::Baseline => DNS,
        Role::Allowlist | Role::Fqdn => allowlist,
    }
}

/// The required policies of a rollout, where the allowlist opens this.
pub fn set(row: Row, allowlist: u8) -> impl Iterator<Item = (&'static str, Rc<Made>)> {
    Pinned::of(row.direction)
        .filter(|pinned| pinned.is_required())
        .map(move |pinned| (pinned.name, make(row.name(), pinned, wanted(pinned, allowlist))))
}

pub fn fleet_file(cap: u8) -> FleetFile {
    let entry = |(at, (name, ..)): (usize, &(&str, usize, &[&str]))| ClusterEntry {
        name: cluster_name(name),
        context: Text::new(name),
        environment: if at < STAGING { Environment::Staging } else { Environment::Production },
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let rows = |sizes: &[u32]| WaveSettings {
        staging: vec![WaveSize::Rows(1), WaveSize::Rest],
        production: sizes.iter().copied().map(WaveSize::Rows).collect(),
        at_most_percent: cap,
    };
    FleetFile {
        path: Some(Text::new("sluice.yaml")),
        clusters: CLUSTERS.iter().enumerate().map(entry).collect(),
        settings: Settings {
            state: Some(StatePlace { cluster: cluster_name(CLUSTERS[0].0), ns: ns_name("sluice") }),
            baseline: TimeDelta::zero(),
            egress: rows(&[1, 2, 4, 8]),
            ingress: rows(&[1, 1, 2, 3, 5]),
            people: vec![vec![Text::new("ann"), Text::new("ann@corp")]],
            ..Settings::default()
        },
        ..FleetFile::default()
    }
}

/// The workspace: what each rollout's allowlist opens. Every namespace has a document, in which one
/// destination is flagged.
pub fn files(allowlists: &HashMap<Row, u8>) -> PolicyFiles {
    let flagged = || Flagged {
        workload: Workload::new("Deployment", "web"),
        names: Vec::new(),
        addresses: vec![flagged_network().addr()],
        protocol: Protocol::Tcp,
        port: FLAGGED_PORT,
        findings: vec![Finding {
            severity: Severity::High,
            class: Text::new("tunnel"),
            reason: Text::new("it is a tunnel"),
            source: Text::new("a feed"),
            party: None,
        }],
    };
    let mut out = PolicyFiles::default();
    let mut documents = sluice::cockpit::plan::FlaggedFiles::new();
    for row in Row::all() {
        let Target { cluster, ns, direction } = row.target();
        documents.insert((cluster.clone(), ns.clone()), vec![flagged()]);
        let set: Vec<_> = set(row, allowlists[&row]).collect();
        let authored = Authored {
            set: set.iter().map(|(name, made)| (*name, made.policy.clone())).collect(),
            manifests: set.iter().map(|(name, made)| (*name, made.text.clone().into())).collect(),
            folder: Text::new("network-policies"),
            complaints: Vec::new(),
            left_out: Vec::new(),
        };
        out.sets.insert((cluster, ns, direction), authored);
    }
    out.flagged = Some(documents);
    out
}
