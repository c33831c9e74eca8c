//! Authoring of a large cluster: `cargo bench --bench author`. 500 namespaces with 200 edges each, from
//! edges in memory to the texts of both directions; under 2 s is promised. Input is made by a counter.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use chrono::{DateTime, TimeDelta};
use sluice::{
    domain::{
        author::{
            self, Evidence, Input,
            facts::{ApiServer, Facts, Resolver, ResolverPods},
            settings::Settings,
        },
        discovery::{Everywhere, Rules, assemble},
        edge::{DnsName, Edge, EdgeKey, Peer, Window, hour_of},
        flagged::flagged,
        fleet::{Cni, CniKind, Enforcement},
        flow::{Direction, Protocol},
        gate::Known,
        names::{ClusterName, NsName, Text, Workload},
        policy::Labels,
        rollout::Target,
        sighting::Outcome,
        time::Timestamp,
    },
    manifest::written,
    workspace,
};

const NAMESPACES: usize = 500;
const EDGES: usize = 200;
const ROUNDS: usize = 5;

fn main() {
    let rules = workspace::rules(None).0;
    let all: Vec<_> = (0..NAMESPACES).map(|nth| (namespace(nth), edges(nth))).collect();
    let facts = facts();
    let mut everywhere = Everywhere::default();
    let cluster = ClusterName::parse("prod-eu").expect("a name");
    all.iter().for_each(|(_, edges)| everywhere.note(&cluster, edges.iter().map(|(key, edge)| (key, edge))));
    let mut best = f64::INFINITY;
    let (mut bytes, mut left_out) = (0, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (bytes, left_out) = (0, 0);
        for (ns, edges) in &all {
            let (more, out) = one(&cluster, ns, edges, &facts, &rules, &everywhere);
            bytes += more;
            left_out += out;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{NAMESPACES} namespaces of {EDGES} edges, both directions: {best:.2} s, {bytes} bytes of YAML, \
         {left_out} left out (2 s promised)"
    );
}

fn one(
    cluster: &ClusterName,
    ns: &NsName,
    edges: &[(EdgeKey, Edge)],
    facts: &Facts,
    rules: &Rules,
    everywhere: &Everywhere,
) -> (usize, usize) {
    let each = || edges.iter().map(|(key, edge)| (key, edge));
    let destinations = assemble(each(), rules, everywhere, window());
    let flagged = flagged(each(), &destinations, rules);
    let flagged: Vec<_> = flagged.iter().collect();
    let (mut bytes, mut left_out) = (0, 0);
    for direction in Direction::ALL {
        let target = Target { cluster: cluster.clone(), ns: ns.clone(), direction };
        let uid = Text::new("uid");
        let draft = author::draft(&Input {
            facts,
            settings: &Settings::default(),
            evidence: Evidence { window: window(), edges, destinations: &destinations },
            extras: &[],
            known: Known {
                target: &target,
                uid: Some(&uid),
                catalogue: Some(&rules.catalogue),
                evidence: Some(&flagged),
                reviews: Some(&[]),
                people: &[],
                now: Some(window().to),
            },
        });
        bytes += draft.policies.iter().map(|drafted| written::text(&draft, drafted).len()).sum::<usize>();
        left_out += draft.left_out.len();
    }
    (bytes, left_out)
}

fn namespace(nth: usize) -> NsName {
    NsName::parse(&format!("team-{nth}")).expect("a name")
}

fn start() -> Timestamp {
    DateTime::from_timestamp(1_772_409_600, 0).expect("a time")
}

fn window() -> Window {
    Window { from: start(), to: start() + TimeDelta::days(7) }
}

fn facts() -> Facts {
    let address = |low: u8| IpAddr::from([10, 0, 0, low]);
    let ns = NsName::parse("kube-system").expect("a name");
    let labels = Labels::new(vec![("k8s-app".into(), "kube-dns".into())]);
    let pods = Some(ResolverPods { ns, labels, ports: [53].into(), ready: 2 });
    Facts {
        cni: Some(Cni {
            kind: CniKind::Calico,
            version: Some(Text::new("v3.30.1")),
            enforcement: Enforcement::Enforces,
            evidence: Text::new("a DaemonSet"),
        }),
        resolver: Some(Resolver { pods, service: [address(253)].into(), node_local: BTreeSet::new() }),
        api: Some(ApiServer { endpoints: [(address(1), 6443)].into(), service: BTreeSet::new() }),
        nodes: Some((1..100).map(address).collect()),
        ..Facts::default()
    }
}

/// A third pods, a third names of two addresses, the rest of six that come over time; some callers.
fn edges(nth: usize) -> Vec<(EdgeKey, Edge)> {
    (0..EDGES).map(|at| edge(nth, at)).collect()
}

fn edge(nth: usize, at: usize) -> (EdgeKey, Edge) {
    let low = |number: usize| u8::try_from(number % 250).expect("below 250") + 1;
    let group = at / 6;
    let ingress = at.is_multiple_of(5);
    let (peer, name) = match at % 3 {
        0 => {
            let ns = namespace((nth + at) % NAMESPACES);
            (Peer::Pods { ns, workload: Workload::new("Deployment", &format!("web-{}", at % 7)) }, None)
        }
        1 => (
            Peer::Address(IpAddr::from([203, low(nth), low(group), low(at % 2)])),
            Some(format!("api-{group}.vendor-{}.example", nth % 40)),
        ),
        _ => (
            Peer::Address(IpAddr::from([198, low(nth), low(group), low(at)])),
            Some(format!("cdn-{}.assets-{}.example", at / 18, nth % 40)),
        ),
    };
    let hour = i64::try_from(at % 160).expect("small");
    let first = start() + TimeDelta::hours(hour);
    let key = EdgeKey {
        ns: namespace(nth),
        workload: Workload::new("Deployment", &format!("web-{}", at % 7)),
        direction: if ingress { Direction::Ingress } else { Direction::Egress },
        peer,
        name: name.filter(|_| !ingress).map(|raw| DnsName::parse(&raw).expect("a name")),
        protocol: Protocol::Tcp,
        port: 443 + u16::try_from(at % 4).expect("small"),
        outcome: Outcome::Allowed,
    };
    let edge = Edge {
        flows: 12,
        first,
        last: first + TimeDelta::minutes(30),
        hours: [hour_of(first)].into_iter().collect(),
        fresh: 12,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    (key, edge)
}
