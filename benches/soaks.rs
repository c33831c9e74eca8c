//! 5,000 rollouts that soak on 100 nodes: what a sign, a tick with its batch, a minute's judging and
//! reading one row cost. Then 13 and 100 clusters of 500: how much more a fact costs in the larger fleet
//! while its plan is worked out. `cargo bench --bench soaks`. Prints; asserts nothing.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact, Link, SourceState},
        world::World,
    },
    domain::{
        fleet::{Environment, NamespaceSeen, Pod},
        flow::Direction,
        names::{ClusterName, NodeName, NsName, PodName, PolicyName, Text, Workload},
        policy::{Body, Labels, PINNED, Policy, PolicyKey, PolicyKind, Rule, Selector, Spec},
        source::SourceKind,
    },
};

const NAMESPACES: usize = 5_000;
const NODES: usize = 100;

fn main() {
    let start: DateTime<Utc> = "2026-03-02T00:00:00Z".parse().expect("a time");
    let mut world = world(start, 1, NAMESPACES);
    let east = cluster(0);
    let nodes: Vec<_> =
        (0..NODES).map(|nth| NodeName::parse(&format!("node-{nth}")).expect("a name")).collect();
    let mut now = start;
    let mut costs = [Vec::new(), Vec::new()];
    // Ten seconds a batch, for six hours; every twentieth node is silent every seventh minute.
    for batch in 0..6 * 60 * 6_i64 {
        let from = now;
        now = start + TimeDelta::seconds(batch * 10 + 10);
        let begun = Instant::now();
        world.absorb(Fact::Tick(now));
        world.absorb(Fact::Cluster(east.clone(), ClusterFact::Answered));
        for (nth, node) in nodes.iter().enumerate() {
            if nth % 20 == 0 && batch / 6 % 7 == 0 {
                continue;
            }
            world.absorb(Fact::Cluster(
                east.clone(),
                ClusterFact::Heard { node: node.clone(), from, until: now },
            ));
        }
        world.settle();
        costs[usize::from(batch % 6 == 5)].push(begun.elapsed().as_micros());
    }
    let [mut plain, mut minute] = costs;
    println!("a batch of {NODES} signs: {}", spread(&mut plain));
    println!("the first batch of a minute, with its judging: {}", spread(&mut minute));
    let targets: Vec<_> = world.soaks().targets().collect();
    let begun = Instant::now();
    let credited: i64 =
        targets.iter().filter_map(|one| world.soaks().row(one, &world)).map(|row| row.judged.credited).sum();
    println!(
        "{} rows after six hours: {:.1} us each ({} h credited in the mean)",
        targets.len(),
        begun.elapsed().as_micros() as f64 / targets.len() as f64,
        credited / targets.len() as i64 / 60
    );
    drop(world);
    let [small, large] = [13, 100].map(|clusters| Batches::of(start, clusters));
    println!("13 clusters x 500, a batch of one fact: {}", small.words());
    println!("100 clusters x 500, a batch of one fact: {}", large.words());
    println!(
        "100 against 13: median {:.1} times, 99 % {:.1} times, worst {:.1} times",
        large.at(50) / small.at(50),
        large.at(99) / small.at(99),
        large.at(100) / small.at(100)
    );
}

/// What one batch costs each, in microseconds, while a plan is made three times: what the loop does
/// between two keys.
struct Batches(Vec<u128>, u128);

impl Batches {
    fn of(start: DateTime<Utc>, clusters: usize) -> Self {
        let mut world = world(start, clusters, 500);
        let (mut costs, mut beside) = (Vec::new(), 0);
        let mut made = 0;
        for second in 0_i64.. {
            let now = start + TimeDelta::minutes(2) + TimeDelta::milliseconds(second * 100);
            let changed = policies(&ns(0)).remove(0);
            let change = ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(changed));
            let begun = Instant::now();
            world.absorb(Fact::Tick(now));
            world.absorb(Fact::Cluster(cluster(0), change));
            world.settle();
            costs.push(begun.elapsed().as_micros());
            let Some(draft) = world.take_draft() else { continue };
            let begun = Instant::now();
            let waves = Box::new(draft.finish());
            beside = begun.elapsed().as_millis();
            world.absorb(Fact::Plan(Some(waves)));
            made += 1;
            if made == 3 {
                break;
            }
        }
        costs.sort_unstable();
        Self(costs, beside)
    }

    fn at(&self, part: usize) -> f64 {
        self.0[(self.0.len() - 1) * part / 100] as f64
    }

    fn words(&self) -> String {
        let (median, most, worst) = (self.at(50), self.at(99), self.at(100));
        format!("median {median} us, 99 % {most} us, worst {worst} us; beside the loop {} ms", self.1)
    }
}

fn cluster(nth: usize) -> ClusterName {
    ClusterName::parse(&format!("east-{nth:03}")).expect("a name")
}

fn ns(nth: usize) -> NsName {
    NsName::parse(&format!("ns-{nth:04}")).expect("a name")
}

fn spread(costs: &mut [u128]) -> String {
    costs.sort_unstable();
    let at = |part: usize| costs[(costs.len() - 1) * part / 100];
    format!("median {} us, 99 % {} us, worst {} us", at(50), at(99), at(100))
}

fn world(start: DateTime<Utc>, clusters: usize, namespaces: usize) -> World {
    let mut world = World::new(start);
    let entry = |nth| ClusterEntry {
        name: cluster(nth),
        context: Text::new("east"),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let clusters: Vec<_> = (0..clusters).map(entry).collect();
    let all: Vec<_> = clusters.iter().map(|entry| entry.name.clone()).collect();
    world.absorb(Fact::Fleet(FleetFile { clusters, ..FleetFile::default() }));
    let state = SourceState {
        kind: SourceKind::Hubble,
        name: Text::new("Hubble"),
        link: Link::Live,
        history_from: None,
        lag: None,
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: 0,
        repeats: 0,
    };
    let names: Vec<_> = (0..namespaces).map(ns).collect();
    let seen = |name: &NsName| NamespaceSeen {
        name: name.clone(),
        labels: Labels::default(),
        owner: None,
        contact: None,
        terminating: false,
    };
    let met = ClusterFact::Met { uid: Some(Text::new("uid")), version: Text::new("1"), kinds: Vec::new() };
    let pods = names.iter().enumerate().flat_map(|(nth, ns)| (0..5).map(move |pod| pod_of(ns, nth, pod)));
    let facts = [
        ClusterFact::Source(state),
        met,
        ClusterFact::Namespaces(Change::Reset(names.iter().map(seen).collect())),
        ClusterFact::Policies(
            PolicyKind::NetworkPolicy,
            Change::Reset(names.iter().flat_map(policies).collect()),
        ),
        ClusterFact::Pods(Change::Reset(pods.collect())),
    ];
    for name in all {
        facts.iter().for_each(|fact| world.absorb(Fact::Cluster(name.clone(), fact.clone())));
    }
    world.settle();
    world
}

fn pod_of(ns: &NsName, nth: usize, pod: usize) -> Pod {
    Pod {
        ns: ns.clone(),
        name: PodName::parse(&format!("cart-{pod}")).expect("a name"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", "cart"),
        node: NodeName::parse(&format!("node-{}", (nth * 7 + pod * 13) % NODES)).ok(),
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

fn policies(ns: &NsName) -> Vec<Policy> {
    let ours = PINNED.iter().filter(|one| one.direction == Direction::Egress && one.is_required());
    let policy = |name: &str| Policy {
        key: PolicyKey {
            ns: Some(ns.clone()),
            kind: PolicyKind::NetworkPolicy,
            name: PolicyName::parse(name).expect("a name"),
        },
        body: Arc::new(Body {
            spec: Spec::Network {
                selector: Selector::default(),
                egress: Some(if name.starts_with("default") {
                    Vec::new()
                } else {
                    vec![Rule("{\"to\":[]}".into())]
                }),
                ingress: None,
            },
            canonical: name.into(),
            opens: Vec::new(),
            network: None,
        }),
        version: None,
        marks: Arc::default(),
    };
    ours.map(|one| policy(one.name)).collect()
}
