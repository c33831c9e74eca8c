//! One cluster with one closed egress set and pods on nodes, told as facts at moments. Times are
//! seconds after the start; the set is live from second 0.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact, Gap, Link, SourceState, Trouble},
        soaks::SoakRow,
        world::World,
    },
    domain::{
        evidence::Cause,
        fleet::{Cni, CniKind, Enforcement, Environment, NamespaceSeen, Pod},
        flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
        names::{ClusterName, NodeName, NsName, PodName, PolicyName, Text, Workload},
        policy::{Body, Labels, PINNED, Policy, PolicyKey, PolicyKind, Rule, Selector, Spec},
        rollout::Target,
        source::SourceKind,
    },
};

pub use super::cases::{node, target};

/// A full minute, so that second 0 begins minute 0.
pub fn at(secs: i64) -> DateTime<Utc> {
    super::cases::at(0) + TimeDelta::seconds(secs)
}

pub fn east() -> ClusterName {
    target().cluster
}

pub fn shop() -> NsName {
    target().ns
}

/// What can be told, with its seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Heard {
        node: &'static str,
        from: i64,
        until: i64,
    },
    Gap {
        node: Option<&'static str>,
        from: i64,
        until: Option<i64>,
        lost: bool,
    },
    /// Pods of the namespace run on exactly these nodes from now on.
    Runs(Vec<&'static str>),
    Answered,
    Away,
    Back,
    Missing,
    PutBack,
    Cni(&'static str),
}

pub struct Scene {
    pub world: World,
}

impl Scene {
    pub fn new(kind: SourceKind, nodes: &[&str]) -> Self {
        Self::begun(kind, nodes, policies(), 0)
    }

    /// A run that begins at a second, with these policies live.
    pub fn begun(kind: SourceKind, nodes: &[&str], policies: Vec<Policy>, secs: i64) -> Self {
        let mut scene = Self { world: World::new(at(secs)) };
        let entry = ClusterEntry {
            name: east(),
            context: Text::new("east"),
            environment: Environment::Staging,
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        scene.world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        scene.cni("1.16.0");
        scene.source(kind);
        scene.lists(policies, nodes);
        scene
    }

    pub fn source(&mut self, kind: SourceKind) {
        self.tell(ClusterFact::Source(SourceState {
            kind,
            name: Text::new("a source"),
            link: Link::Live,
            history_from: None,
            lag: None,
            nodes_connected: None,
            nodes_unavailable: None,
            malformed: 0,
            repeats: 0,
        }));
    }

    pub fn at(&mut self, secs: i64) -> &mut Self {
        self.world.absorb(Fact::Tick(at(secs)));
        self
    }

    pub fn tell(&mut self, fact: ClusterFact) {
        self.world.absorb(Fact::Cluster(east(), fact));
        self.world.settle();
    }

    /// A session's first lists.
    fn lists(&mut self, policies: Vec<Policy>, nodes: &[&str]) {
        self.tell(ClusterFact::Met {
            uid: Some(Text::new("uid-1")),
            version: Text::new("1"),
            kinds: Vec::new(),
        });
        let seen = NamespaceSeen {
            name: shop(),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        self.tell(ClusterFact::Namespaces(Change::Reset(vec![seen])));
        self.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies)));
        self.runs(nodes);
    }

    pub fn runs(&mut self, nodes: &[&str]) {
        self.tell(ClusterFact::Pods(Change::Reset(nodes.iter().map(|name| pod(name)).collect())));
    }

    pub fn cni(&mut self, version: &str) {
        self.tell(ClusterFact::Cni(Cni {
            kind: CniKind::Cilium,
            version: Some(Text::new(version)),
            enforcement: Enforcement::Enforces,
            evidence: Text::new("the agent runs"),
        }));
    }

    pub fn heard(&mut self, name: &str, from: i64, until: i64) {
        self.tell(ClusterFact::Heard { node: node(name), from: at(from), until: at(until) });
    }

    /// One fact in a scene that lives with `nodes`.
    pub fn told(&mut self, told: &Told, nodes: &mut Vec<&'static str>) {
        match told {
            Told::Heard { node, from, until } => self.heard(node, *from, *until),
            Told::Gap { node: name, from, until, lost } => self.tell(ClusterFact::Gap(Gap {
                node: name.map(node),
                from: at(*from),
                until: until.map(at),
                lost: lost.then_some(1),
                cause: if *lost { Cause::Loss } else { Cause::SourceSilent },
                why: Text::new("told"),
            })),
            Told::Runs(on) => {
                nodes.clone_from(on);
                self.runs(on);
            }
            Told::Answered => self.tell(ClusterFact::Answered),
            Told::Away => self.tell(ClusterFact::Away(Trouble::new("east", "no answer", "Wait."))),
            Told::Back => self.lists(policies(), nodes),
            Told::Missing => {
                let key = policies()[0].key.clone();
                self.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Gone(key)));
            }
            Told::PutBack => {
                let valve = policies().remove(0);
                self.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(valve)));
            }
            Told::Cni(version) => self.cni(version),
        }
    }

    pub fn row(&self) -> SoakRow {
        self.row_of(&target()).expect("its set is live and closed")
    }

    pub fn row_of(&self, target: &Target) -> Option<SoakRow> {
        self.world.soaks().row(target, &self.world)
    }

    /// Credited minutes, counted from the start.
    pub fn credit(&self) -> Vec<i64> {
        self.row_of(&target()).map_or_else(Vec::new, |row| credit_of(&row.judged))
    }
}

pub fn credit_of(judged: &sluice::domain::soak::Judged) -> Vec<i64> {
    let first = ((judged.begins - at(0)).num_seconds() + 59).div_euclid(60);
    let cells = judged.bar(judged.wall as usize);
    let credited = cells.iter().enumerate().filter(|(_, cell)| cell.credited == 1);
    credited.map(|(nth, _)| first + nth as i64).collect()
}

/// The egress set, the valve first.
pub fn policies() -> Vec<Policy> {
    PINNED
        .iter()
        .filter(|pinned| pinned.direction == Direction::Egress && pinned.is_required())
        .map(|pinned| policy(pinned.name, &Rule(r#"{"to":[]}"#.into()), pinned.name.starts_with("default")))
        .collect()
}

pub fn policy(name: &str, rule: &Rule, denies: bool) -> Policy {
    let rules = if denies { Vec::new() } else { vec![rule.clone()] };
    Policy {
        key: PolicyKey {
            ns: Some(shop()),
            kind: PolicyKind::NetworkPolicy,
            name: PolicyName::parse(name).expect("a name"),
        },
        body: Arc::new(Body {
            canonical: format!("{name} {}", rule.0).into(),
            spec: Spec::Network { selector: Selector::default(), egress: Some(rules), ingress: None },
            opens: Vec::new(),
            network: None,
        }),
        version: None,
        marks: Arc::default(),
    }
}

pub fn pod(on: &str) -> Pod {
    Pod {
        ns: shop(),
        name: PodName::parse(&format!("cart-{on}")).expect("a name"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "cart"),
        node: Some(node(on)),
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

/// A judged attempt of a pod on this node.
pub fn flow(secs: i64, on: &str, to: &str, denied: bool) -> Flow {
    let verdict = if denied {
        Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() }
    } else {
        Verdict::Allowed { by: Vec::new() }
    };
    let node: Option<NodeName> = NodeName::parse(on).ok();
    Flow {
        id: FlowId(format!("{secs}-{on}-{to}").into()),
        at: at(secs),
        node,
        direction: Direction::Egress,
        verdict,
        source: End {
            ns: Some(shop()),
            pod: PodName::parse(&format!("cart-{on}")).ok(),
            workload: Some(Workload::new("Deployment", "cart")),
            ..End::default()
        },
        destination: End { names: vec![Text::new(to)], ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 443,
        reply: None,
        closing: false,
    }
}
