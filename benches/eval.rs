//! Verdicts a second on one core, and what compiling costs: `cargo bench --bench eval`. A namespace of
//! 20 policies with 500 networks, then a cluster of 500 namespaces. Prints; asserts nothing.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net};
use sluice::domain::{
    eval::{
        around::Around,
        cluster::{Cluster, NAME_LABEL, Namespace, NetworkPolicy, Pod},
        judge::Question,
        model::Model,
        plugin::Plugin,
        rule::{Network, Peer, Pods, PortMatch, Rule},
        verdict::Verdict,
    },
    flow::Protocol,
    grant::PortSpan,
    names::{NsName, PodName, PolicyName},
    policy::{Labels, Requirement, Selector},
};

const VERDICTS: usize = 20_000_000;
/// Questions that are asked over and over: more than fit into the nearest cache.
const QUESTIONS: usize = 100_000;
const PORTS: [u16; 6] = [443, 80, 53, 8443, 5432, 9];

fn main() {
    println!("one namespace of 20 policies (goal: 10,000,000 verdicts a second):");
    for networks in [25, 500] {
        one_namespace(networks);
    }
    whole_cluster();
}

/// Each policy with so many networks.
fn one_namespace(networks: u32) {
    let cluster = cluster(1, 50, networks);
    let begun = Instant::now();
    let model = Model::new(&cluster);
    println!("  {} networks: compiled in {:?}", 20 * networks, begun.elapsed());
    let outside: Vec<IpAddr> = (0..QUESTIONS).map(|n| address(n as u32)).collect();
    let from: Vec<_> =
        model.pods().map(|(id, ..)| model.party_of(id, Some(model.addresses(id)[0]))).collect();
    let to: Vec<_> = outside.iter().map(|address| model.party(*address)).collect();
    measure(
        "to addresses outside, both ends looked up before",
        |n| Question {
            from: from[n % from.len()],
            to: to[n % QUESTIONS],
            protocol: Protocol::Tcp,
            port: PORTS[n % PORTS.len()],
            through: None,
        },
        &model,
    );
    measure(
        "to addresses outside, by address",
        |n| Question {
            from: from[n % from.len()],
            to: model.party(outside[n % QUESTIONS]),
            protocol: Protocol::Tcp,
            port: PORTS[n % PORTS.len()],
            through: None,
        },
        &model,
    );
    measure(
        "between pods that are isolated both ways",
        |n| Question {
            from: from[n % from.len()],
            to: from[(n / 7) % from.len()],
            protocol: Protocol::Tcp,
            port: PORTS[n % PORTS.len()],
            through: None,
        },
        &model,
    );
}

fn measure(what: &str, question: impl Fn(usize) -> Question, model: &Model) {
    let mut allowed = 0_usize;
    let (begun, cpu) = (Instant::now(), cpu_time());
    for n in 0..VERDICTS {
        allowed += usize::from(model.judge(black_box(&question(n))).verdict() == Verdict::Allowed);
    }
    let rate = |took: Duration| VERDICTS as f64 / took.as_secs_f64() / 1e6;
    let on_core = cpu_time().zip(cpu).map_or(begun.elapsed(), |(now, then)| now - then);
    println!(
        "    {what}: {:.1} million verdicts a second of one core ({:.1} of wall time), {} % allowed",
        rate(on_core),
        rate(begun.elapsed()),
        allowed * 100 / VERDICTS
    );
}

/// What this thread has run; a shared machine gives it less than the wall clock says.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

fn whole_cluster() {
    let cluster = cluster(500, 20, 5);
    let begun = Instant::now();
    let model = Model::new(&cluster);
    println!(
        "a cluster of {} namespaces, {} pods, {} policies: compiled in {:?}",
        cluster.namespaces.len(),
        cluster.pods.len(),
        cluster.policies.len(),
        begun.elapsed()
    );
    let pods: Vec<_> = model.pods().map(|(id, ..)| id).collect();
    let begun = Instant::now();
    let mut denied = 0;
    for n in 0..QUESTIONS {
        let pod = pods[n * 7919 % pods.len()];
        let from = model.party_of(pod, model.addresses(pod).first().copied());
        let to = model.party(if n % 2 == 0 {
            address(n as u32)
        } else {
            model.addresses(pods[n % pods.len()])[0]
        });
        let question =
            Question { from, to, protocol: Protocol::Tcp, port: PORTS[n % PORTS.len()], through: None };
        denied += usize::from(model.judge(&question).verdict() == Verdict::Denied);
    }
    println!("  {QUESTIONS} edges judged in {:?} (goal: 100 ms), {denied} denied", begun.elapsed());
}

/// Addresses of which about half are in some network.
fn address(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x6400_0000 + n.wrapping_mul(2_654_435_761) % (1 << 18)).into()
}

/// Namespaces with 20 policies each (3 where there are many), for all pods or for those of one app.
fn cluster(namespaces: u32, pods: u32, networks: u32) -> Cluster {
    let policies = if namespaces == 1 { 20 } else { 3 };
    let name = |ns: u32| NsName::parse(&format!("ns-{ns}")).expect("a name");
    let app = |value: u32| ("app".into(), compact_str::format_compact!("app-{value}"));
    let mut out = Cluster {
        uid: None,
        traits: Plugin::Calico.traits(),
        namespaces: Vec::new(),
        pods: Vec::new(),
        nodes: Vec::new(),
        services: Vec::new(),
        policies: Vec::new(),
        foreign: Vec::new(),
        around: Around::default(),
    };
    for ns in 0..namespaces {
        let labels = Labels::new(vec![(NAME_LABEL.into(), name(ns).as_str().into())]);
        out.namespaces.push(Namespace { name: name(ns), labels });
        for pod in 0..pods {
            out.pods.push(Pod {
                ns: name(ns),
                name: PodName::parse(&format!("pod-{pod}")).expect("a name"),
                labels: Labels::new(vec![app(pod % 10)]),
                workload: None,
                addresses: vec![Ipv4Addr::from_bits(0x0a00_0000 + ns * 256 + pod + 1).into()],
                node: None,
                host_network: false,
                finished: false,
                ports: Some(Vec::new()),
            });
        }
        for policy in 0..policies {
            let selector = if policy % 4 == 0 {
                Selector::default()
            } else {
                let (key, value) = app(policy % 10);
                Selector(vec![Requirement::In { key, values: vec![value] }])
            };
            let rules: Vec<_> = (0..5).map(|rule| Ok(self::rule(policy, rule, networks / 5))).collect();
            out.policies.push(NetworkPolicy {
                ns: name(ns),
                name: PolicyName::parse(&format!("policy-{policy}")).expect("a name"),
                rules: Network { selector, egress: Some(rules.clone()), ingress: Some(rules) },
            });
        }
    }
    out
}

fn rule(policy: u32, rule: u32, networks: u32) -> Rule {
    let block = |n: u32| {
        let base = 0x6400_0000 + (policy * 40_503 + rule * 9_973 + n * 7_919) % (1 << 10) * 256;
        let network = Ipv4Net::new(Ipv4Addr::from_bits(base), 24).expect("a length");
        Peer::Block { network: IpNet::V4(network.trunc()), except: Vec::new() }
    };
    let in_ns = Peer::Pods(Pods { namespaces: None, pods: Some(Selector::default()) });
    let port = PORTS[(rule as usize) % 5];
    let span = PortSpan { protocol: Protocol::Tcp, from: port, to: port };
    Rule { peers: (0..networks).map(block).chain([in_ns]).collect(), ports: vec![PortMatch::Span(span)] }
}
