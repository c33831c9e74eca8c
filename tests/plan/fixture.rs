//! A small fleet made of facts: one staging and two production clusters that are read, one that is
//! down, the team's state in the first. 2026-11-23 is a Monday.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sluice::{
    cockpit::{
        plan::{Authored, ClusterEntry, FleetFile, PolicyFiles},
        ports::{Change, ClusterFact, Fact, Link, SourceState, Trouble},
        records,
        settings::{Settings, StatePlace},
        shared::{Share, SharedFact},
        world::World,
    },
    domain::{
        discovery::Rules,
        fleet::{Cni, CniKind, Enforcement, Environment, NamespaceSeen, Pod, Rights},
        flow::{Direction, End, Flow, FlowId, PolicyRef, Protocol, Verdict},
        hold::{Hold, HoldKind, Scope},
        names::{ClusterName, NodeName, NsName, PodName, PolicyName, Text, Workload},
        policy::{Labels, Pinned, Policy, PolicyDigest, PolicyKind},
        preflight::report::Report,
        rollout::{Applied, Clean, Kept, Record, RolledBack, Stamp, Target},
        source::SourceKind,
        time::Timestamp,
    },
    manifest,
};

pub const NAMESPACES: [(&str, &[&str]); 3] =
    [("stg", &["job", "shop"]), ("eu", &["api", "pay", "shop", "tool"]), ("us", &["shop"])];

pub fn at(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().expect("a time")
}

pub fn now() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("a name")
}

pub fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

/// `eu/shop`, in egress.
pub fn row(name: &str) -> Target {
    let (on, name) = name.split_once('/').expect("cluster/namespace");
    Target { cluster: cluster(on), ns: ns(name), direction: Direction::Egress }
}

pub fn ingress(name: &str) -> Target {
    Target { direction: Direction::Ingress, ..row(name) }
}

/// Nothing is asked for but waves and the team's state.
pub fn settings() -> Settings {
    let state = Some(StatePlace { cluster: cluster("stg"), ns: ns("sluice") });
    Settings { state, baseline: TimeDelta::zero(), ..Settings::default() }
}

pub struct Fleet {
    pub world: World,
    live: Vec<(Target, Vec<Policy>)>,
    records: Vec<Kept<Record>>,
    holds: Vec<Kept<Hold>>,
}

/// A pre-flight that stops nothing.
pub fn nothing_open() -> Report {
    Report { checks: Vec::new(), engine: None, dns_mode: None, offers: Vec::new(), printing: None }
}

impl Fleet {
    pub fn new(settings: Settings) -> Self {
        let mut fleet = Self::unshared(settings);
        fleet.share(SharedFact::Clock(now()));
        fleet.share(SharedFact::Link(Link::Live));
        fleet
    }

    /// Nothing was heard of the state cluster.
    pub fn unshared(settings: Settings) -> Self {
        let mut fleet =
            Self { world: World::new(now()), live: Vec::new(), records: Vec::new(), holds: Vec::new() };
        let entry = |name: &str| ClusterEntry {
            name: cluster(name),
            context: Text::new(name),
            environment: if name == "stg" { Environment::Staging } else { Environment::Production },
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let clusters = ["stg", "eu", "us", "far"].map(entry).to_vec();
        let path = Some(Text::new("sluice.yaml"));
        let excluded = vec![ns("kube-system")];
        let file = FleetFile { path, clusters, excluded, settings, ..FleetFile::default() };
        fleet.tell(Fact::Fleet(file));
        let all =
            NAMESPACES.iter().flat_map(|(on, names)| names.iter().map(move |name| format!("{on}/{name}")));
        let mut sets = PolicyFiles::default();
        for name in all.chain(["far/shop".to_owned()]) {
            for target in [row(&name), ingress(&name)] {
                let set = set(&target);
                let authored = Authored {
                    set: set
                        .iter()
                        .filter_map(|policy| Some((policy.pinned()?.name, policy.clone())))
                        .collect(),
                    manifests: Default::default(),
                    folder: Text::new("x"),
                    complaints: Vec::new(),
                    left_out: Vec::new(),
                };
                sets.sets.insert((target.cluster.clone(), target.ns.clone(), target.direction), authored);
            }
        }
        // Every namespace has a document, in which nothing is flagged.
        let places = sets.sets.keys().map(|(cluster, ns, _)| ((cluster.clone(), ns.clone()), Vec::new()));
        sets.flagged = Some(places.collect());
        fleet.tell(Fact::Rules(Arc::new(Rules::default())));
        fleet.tell(Fact::Files(sets));
        for (name, names) in NAMESPACES {
            fleet.read(name, names);
        }
        let trouble = Trouble::new("far", "connection refused (10.0.0.1:6443)", "Check the VPN.");
        fleet.cluster("far", ClusterFact::Away(trouble));
        fleet
    }

    fn read(&mut self, on: &str, names: &[&str]) {
        self.read_before_its_pre_flight(on, names);
        self.cluster(on, ClusterFact::Preflight(Box::new(nothing_open())));
    }

    pub fn read_before_its_pre_flight(&mut self, on: &str, names: &[&str]) {
        let yes = Some(true);
        let uid = Some(Text::from(format!("uid-{on}")));
        self.cluster(on, ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() });
        let rights =
            Rights { read: yes, create: yes, patch: yes, delete: yes, portforward: yes, ..Rights::default() };
        self.cluster(on, ClusterFact::Rights(rights));
        self.enforce(on, Enforcement::Enforces);
        let seen = |name: &&str| NamespaceSeen {
            name: ns(name),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        self.cluster(on, ClusterFact::Namespaces(Change::Reset(names.iter().map(seen).collect())));
        self.cluster(on, ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
        self.cluster(on, ClusterFact::Pods(Change::Reset(names.iter().map(|name| pod(name)).collect())));
    }

    pub fn enforce(&mut self, on: &str, enforcement: Enforcement) {
        let evidence = Text::new("DaemonSet kube-system/cni");
        self.cluster(
            on,
            ClusterFact::Cni(Cni { kind: CniKind::Other, version: None, enforcement, evidence }),
        );
    }

    pub fn tell(&mut self, fact: Fact) {
        self.world.absorb(fact);
        self.world.settle();
    }

    pub fn share(&mut self, fact: SharedFact) {
        self.tell(Fact::Shared(fact));
    }

    pub fn cluster(&mut self, on: &str, fact: ClusterFact) {
        self.tell(Fact::Cluster(cluster(on), fact));
    }

    pub fn pods(&mut self, on: &str, names: &[&str]) {
        self.cluster(on, ClusterFact::Pods(Change::Reset(names.iter().map(|name| pod(name)).collect())));
    }

    /// Live and recorded in this wave.
    pub fn apply(&mut self, target: &Target, wave: u32) {
        self.live.push((target.clone(), set(target)));
        self.show(&target.cluster);
        let record = Record {
            target: target.clone(),
            uid: Text::from(format!("uid-{}", target.cluster)),
            wave: Some(wave),
            applied: Some(Applied { digest: digest(target), stamp: stamp("2026-11-20T12:00:00Z") }),
            clean: None,
            rolled_back: None,
            overridden: false,
        };
        self.record(record);
    }

    /// And it soaked clean.
    pub fn clean(&mut self, target: &Target, wave: u32) {
        self.apply(target, wave);
        self.change(target, |record| {
            let at = at("2026-11-22T13:00:00Z");
            record.clean = Some(Clean {
                digest: digest(&record.target),
                at,
                set: Default::default(),
                manifests: Default::default(),
            });
        });
    }

    /// Somebody with kubectl writes another allowlist.
    pub fn edit(&mut self, target: &Target) {
        for (_, policies) in self.live.iter_mut().filter(|(other, _)| other == target) {
            let allowlist = policies.iter_mut().find(|policy| policy.key.name.as_str() == "egress-allowlist");
            *allowlist.expect("it is live") = allowing(target, "egress-allowlist", 443);
        }
        self.show(&target.cluster);
    }

    /// Its one node is heard so many hours long, and something passes by its policies.
    pub fn soak(&mut self, target: &Target, hours: i64) {
        let on = target.cluster.as_str();
        let node = NodeName::parse("node-1").expect("a name");
        let here = Pod { node: Some(node.clone()), ..pod(target.ns.as_str()) };
        self.cluster(on, ClusterFact::Pods(Change::Put(here)));
        let state = SourceState {
            kind: SourceKind::Hubble,
            name: Text::new("Hubble Relay"),
            link: Link::Live,
            history_from: None,
            lag: None,
            nodes_connected: None,
            nodes_unavailable: None,
            malformed: 0,
            repeats: 0,
        };
        self.cluster(on, ClusterFact::Source(state));
        let from = self.world.now();
        for hour in 1..=hours {
            let until = from + TimeDelta::hours(hour);
            self.tell(Fact::Tick(until));
            self.cluster(on, ClusterFact::Answered);
            self.cluster(on, ClusterFact::Heard { node: node.clone(), from, until });
            self.cluster(on, ClusterFact::Flows(vec![passed(target, &node, hour, until)]));
        }
    }

    pub fn roll_back(&mut self, target: &Target) {
        self.vanish(target);
        self.change(target, |record| {
            let stamp = stamp("2026-11-22T03:00:00Z");
            record.rolled_back = Some(RolledBack { stamp, reason: None, recovered: None });
        });
    }

    /// The same bytes are written once more, and whoever observes records what is due.
    pub fn apply_again(&mut self, target: &Target) {
        self.live.push((target.clone(), set(target)));
        self.show(&target.cluster);
        self.record_what_is_due(target);
    }

    pub fn record_what_is_due(&mut self, target: &Target) {
        let on = self.world.cluster(&target.cluster).expect("it is there");
        let due = records::due(&self.world, on, |_| None).into_iter().find_map(|share| match share {
            Share::Record { record, .. } if record.target == *target => Some(*record),
            _ => None,
        });
        let due = due.expect("something is to be recorded");
        self.change(target, |record| record.clone_from(&due));
    }

    /// Its policies are gone, whoever did it.
    pub fn vanish(&mut self, target: &Target) {
        self.live.retain(|(other, _)| other != target);
        self.show(&target.cluster);
    }

    pub fn change(&mut self, target: &Target, change: impl Fn(&mut Record)) {
        for kept in self.records.iter_mut().filter(|kept| kept.value.target == *target) {
            change(&mut kept.value);
        }
        self.share(SharedFact::Records(Change::Reset(self.records.clone())));
    }

    fn record(&mut self, record: Record) {
        let name = Text::from(record.target.to_string());
        self.records.push(Kept { name, version: Text::new("1"), created: now(), value: record });
        self.share(SharedFact::Records(Change::Reset(self.records.clone())));
    }

    fn show(&mut self, on: &ClusterName) {
        let here = self.live.iter().filter(|(target, _)| target.cluster == *on);
        let policies = here.flat_map(|(_, policies)| policies.clone()).collect();
        self.cluster(on.as_str(), ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies)));
    }

    pub fn hold(&mut self, name: &str, scope: Scope, kind: HoldKind, expires: Option<&str>) {
        let hold = Hold {
            scope,
            kind,
            reason: Text::new("the vendor is told"),
            stamp: stamp("2026-11-23T09:00:00Z"),
            expires: expires.map(at),
        };
        self.holds.push(Kept { name: Text::new(name), version: Text::new("4"), created: now(), value: hold });
        self.share(SharedFact::Holds(Change::Reset(self.holds.clone())));
    }
}

pub fn stamp(time: &str) -> Stamp {
    Stamp { by: Text::new("ann@example.net"), at: at(time) }
}

pub fn digest(target: &Target) -> PolicyDigest {
    PolicyDigest::of(&set(target))
}

fn set(target: &Target) -> Vec<Policy> {
    let required = Pinned::of(target.direction).filter(|pinned| pinned.is_required());
    required.map(|pinned| policy(target, pinned.name)).collect()
}

fn policy(target: &Target, name: &str) -> Policy {
    allowing(target, name, 53)
}

fn allowing(target: &Target, name: &str, port: u16) -> Policy {
    let (kind, field) = match target.direction {
        Direction::Egress => ("Egress", "egress"),
        Direction::Ingress => ("Ingress", "ingress"),
    };
    let rules =
        if name.starts_with("default-deny") { json!([]) } else { json!([{"ports": [{"port": port}]}]) };
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": target.ns.as_str(), "resourceVersion": "7"},
        "spec": {"podSelector": {}, "policyTypes": [kind], field: rules},
    });
    manifest::policy(&object).expect("a policy")
}

/// The allowlist let a pod through.
fn passed(target: &Target, node: &NodeName, nth: i64, at: Timestamp) -> Flow {
    let by = PolicyRef {
        kind: PolicyKind::NetworkPolicy,
        ns: Some(target.ns.clone()),
        name: PolicyName::parse("egress-allowlist").expect("a name"),
    };
    let web = Workload::new("Deployment", "web");
    Flow {
        id: FlowId(format!("{nth}").into()),
        at,
        node: Some(node.clone()),
        direction: target.direction,
        verdict: Verdict::Allowed { by: vec![by] },
        source: End { ns: Some(target.ns.clone()), workload: Some(web), ..End::default() },
        destination: End { address: "203.0.113.1".parse().ok(), ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 443,
        reply: None,
        closing: false,
    }
}

fn pod(name: &str) -> Pod {
    Pod {
        ns: ns(name),
        name: PodName::parse("web-1").expect("a name"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "web"),
        node: None,
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}
