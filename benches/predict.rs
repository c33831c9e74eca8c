//! The preview of 100,000 recorded edges of one namespace: `cargo bench --bench predict`. Addresses
//! outside, half of them with names, pods of other namespaces, 20 allow rules with 500 networks, and the
//! named checks. Prints; asserts nothing.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use chrono::DateTime;
use serde_json::{Value, json};
use sluice::{
    domain::{
        edge::{DnsName, Edge, EdgeKey, Hours, Peer, Window},
        eval::plugin::Plugin,
        flow::{Direction, Protocol},
        names::{NsName, Workload},
        predict::replay::{Recorded, Wanted, predict},
        sighting::Outcome,
        valve::Set,
    },
    manifest::{self, cluster::Gathering},
};

const EDGES: u32 = 100_000;
const PODS: u32 = 200;
const ROUNDS: u32 = 10;

fn main() {
    let mut gathering = Gathering::new(Plugin::Calico.traits());
    for ns in ["shop", "pay"] {
        gathering
            .object("bench", &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ns } }));
        for pod in 0..PODS {
            gathering.object("bench", &self::pod(ns, pod));
        }
    }
    for object in resolver() {
        gathering.object("bench", &object);
    }
    gathering.hooked();
    let cluster = gathering.done().0;
    let set = set();
    let edges: Vec<_> = (0..EDGES).map(edge).collect();
    let ns = NsName::parse("shop").expect("a name");
    let at = |secs| DateTime::from_timestamp(secs, 0).expect("a time");
    let window = Window { from: at(1_763_251_200), to: at(1_763_856_000) };
    let mut best = [Duration::MAX; 2];
    let mut denied = 0;
    for _ in 0..ROUNDS {
        let (begun, cpu) = (Instant::now(), cpu_time());
        let wanted = Wanted { ns: &ns, direction: Direction::Egress, set: &set };
        denied =
            predict(&cluster, wanted, Recorded { window, edges: &edges, doubts: Vec::new() }).denied.len();
        let on_core = cpu_time().zip(cpu).map_or(begun.elapsed(), |(now, then)| now - then);
        best = [best[0].min(on_core), best[1].min(begun.elapsed())];
    }
    println!(
        "{EDGES} edges, {denied} of them denied: {:?} of one core, {:?} of wall time, the best of {ROUNDS} (goal: 100 ms)",
        best[0], best[1]
    );
}

/// What this thread has run; a shared machine gives it less than the wall clock says.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

/// The resolver, and Services of which each turns its port into another.
fn resolver() -> Vec<Value> {
    let services = (0..PODS).map(|nth| {
        json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "pay", "name": format!("app-{nth}") },
        "spec": { "clusterIP": format!("10.96.1.{nth}"), "selector": { "app": format!("app-{}", nth % 40) },
            "ports": [{ "port": 443, "targetPort": 8443 }] } })
    });
    let dns = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "kube-system", "name": "kube-dns" },
        "spec": { "clusterIP": "10.96.0.10", "selector": { "k8s-app": "kube-dns" },
            "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53 }] } });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "kube-system", "name": "coredns-0", "labels": { "k8s-app": "kube-dns" } },
        "spec": { "dnsPolicy": "Default", "containers": [{ "name": "c" }] },
        "status": { "phase": "Running", "podIP": "10.9.0.1" } });
    services.chain([dns, pod]).collect()
}

fn pod(ns: &str, pod: u32) -> Value {
    let third = if ns == "shop" { 1 } else { 2 };
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": ns, "name": format!("app-{pod}"), "labels": { "app": format!("app-{}", pod % 40) } },
        "spec": { "containers": [{ "name": "c" }] },
        "status": { "phase": "Running", "podIP": format!("10.{third}.0.{pod}") } })
}

/// 20 rules, each with 25 networks.
fn set() -> Set {
    let rules: Vec<Value> = (0..20_u32)
        .map(|rule| {
            let to: Vec<Value> = (0..25_u32)
                .map(|n| json!({ "ipBlock": { "cidr": format!("100.64.{}.0/24", (rule * 37 + n * 11) % 256) } }))
                .collect();
            json!({ "to": to, "ports": [{ "port": 443 }, { "port": 8000 + rule }] })
        })
        .chain([json!({ "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "app-7" } } }] })])
        .collect();
    let policy = |name: &str, rules: Value| {
        manifest::policy(&json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": rules } }))
        .expect("a policy")
    };
    Set::from([
        ("default-deny-egress", policy("default-deny-egress", json!([]))),
        ("egress-allowlist", policy("egress-allowlist", json!(rules))),
    ])
}

fn edge(n: u32) -> (EdgeKey, Edge) {
    let peer = if n.is_multiple_of(4) {
        let ns = NsName::parse("pay").expect("a name");
        Peer::Pods { ns, workload: Workload::new("Pod", &format!("app-{}", n / 4 % PODS)) }
    } else {
        let bits = 0x6440_0000 + n.wrapping_mul(2_654_435_761) % (1 << 16);
        Peer::Address(IpAddr::V4(Ipv4Addr::from_bits(bits)))
    };
    // Every other address has a name; most names have many addresses.
    let is_named = matches!(peer, Peer::Address(_)) && n.is_multiple_of(2);
    let key = EdgeKey {
        ns: NsName::parse("shop").expect("a name"),
        workload: Workload::new("Pod", &format!("app-{}", n % PODS)),
        direction: Direction::Egress,
        peer,
        name: is_named.then(|| DnsName::parse(&format!("host-{}.example", n % 4_001)).expect("a name")),
        protocol: Protocol::Tcp,
        port: if n.is_multiple_of(16) { 5432 } else { 443 },
        outcome: Outcome::Allowed,
    };
    let at = DateTime::from_timestamp(1_763_800_000, 0).expect("a time");
    let edge = Edge {
        flows: 12,
        first: at,
        last: at,
        hours: Hours::from_iter([489_944, 489_900]),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    (key, edge)
}
