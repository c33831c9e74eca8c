//! 5,000 rollouts that soak on 100 nodes: what a sign, a tick with its batch, a minute's judging and
//! reading one row cost. `cargo bench --bench soaks`. Prints; asserts nothing.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact, Link, SourceState},
        world::World,
    },
    domain::{
        fleet::{Environment, Pod},
        flow::Direction,
        names::{ClusterName, NodeName, NsName, PodName, PolicyName, Text, Workload},
        policy::{Labels, PINNED, Policy, PolicyKey, PolicyKind, Rule, Selector, Spec},
        source::SourceKind,
    },
};

const NAMESPACES: usize = 5_000;
const NODES: usize = 100;

fn main() {
    let start: DateTime<Utc> = "2026-03-02T00:00:00Z".parse().expect("a time");
    let mut world = world(start);
    let east = ClusterName::parse("east").expect("a name");
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
}

fn spread(costs: &mut [u128]) -> String {
    costs.sort_unstable();
    let at = |part: usize| costs[(costs.len() - 1) * part / 100];
    format!("median {} us, 99 % {} us, worst {} us", at(50), at(99), at(100))
}

fn world(start: DateTime<Utc>) -> World {
    let mut world = World::new(start);
    let east = ClusterName::parse("east").expect("a name");
    let entry = ClusterEntry {
        name: east.clone(),
        context: Text::new("east"),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
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
    let names: Vec<_> =
        (0..NAMESPACES).map(|nth| NsName::parse(&format!("ns-{nth}")).expect("a name")).collect();
    let met = ClusterFact::Met { uid: Some(Text::new("uid")), version: Text::new("1"), kinds: Vec::new() };
    let pods = names.iter().enumerate().flat_map(|(nth, ns)| (0..5).map(move |pod| pod_of(ns, nth, pod)));
    for fact in [
        ClusterFact::Source(state),
        met,
        ClusterFact::Policies(
            PolicyKind::NetworkPolicy,
            Change::Reset(names.iter().flat_map(policies).collect()),
        ),
        ClusterFact::Pods(Change::Reset(pods.collect())),
    ] {
        world.absorb(Fact::Cluster(east.clone(), fact));
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
        version: None,
        managers: Vec::new(),
        owner: None,
        opens: Vec::new(),
        network: None,
    };
    ours.map(|one| policy(one.name)).collect()
}
