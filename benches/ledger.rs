//! What the join costs: 2 million answers learned and settled, names looked up, and sightings counted
//! into 100,000 edges: `cargo bench --bench ledger`. Prints figures with their aims and asserts no
//! time; input is made here from a seed. Time is that on the processor, so a busy machine counts less.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{fs, hint::black_box, net::IpAddr};

use sluice::domain::{
    addresses::AddressBook,
    answers::Answers,
    flow::{Direction, Protocol},
    ledger::Ledger,
    sighting::{Answer, Client, Outcome, Side, Sighting},
    time::Timestamp,
};

const PODS: usize = 20_000;
/// Names that one pod asks for.
const NAMES: usize = 5;
const ANSWERS: usize = 2_000_000;
const SIGHTINGS: usize = 10_000_000;
const WEEK: i64 = 604_800;

fn main() {
    let pods: Vec<String> = (0..PODS).map(|n| format!("cart-{n}-6c9f7d8b5-x{:04}", n % 10_000)).collect();
    let workloads: Vec<String> = (0..PODS).map(|n| format!("cart-{n}")).collect();
    let spaces: Vec<String> = (0..200).map(|n| format!("team-{n}")).collect();
    let names: Vec<String> =
        (0..5_000).map(|n| format!("api-{n}.eu-west-1.vendor-{}.example", n % 700)).collect();

    let book = addresses(&spaces, &pods);
    let before = resident();
    let (mut answers, learned) = learn(&book, &names);
    println!("learn: {learned:.0} ns an answer; {:.0} bytes an answer before settling", each(before));
    let start = processor();
    answers.settle();
    println!(
        "settle: {:.2} s; {:.0} bytes an answer; {} entries kept of {}",
        (processor() - start) / 1e9,
        each(before),
        answers.counts().kept,
        answers.counts().answers
    );
    lookups(&answers, &spaces, &pods, &workloads);
    for cold in [false, true] {
        sightings(&answers, &book, cold, (&spaces, &pods, &workloads));
    }
}

/// Pod `n` asks for `NAMES` names; each name has two of the addresses of its own.
fn target(pod: usize, name: usize) -> [IpAddr; 2] {
    let n = (pod * 13 + name * 997) % 5_000;
    [
        IpAddr::from([203, 0, (n / 250) as u8, (n % 250) as u8]),
        IpAddr::from([198, 51, (n / 250) as u8, (n % 250) as u8]),
    ]
}

fn addresses(spaces: &[String], pods: &[String]) -> AddressBook {
    let mut book = AddressBook::default();
    let start = processor();
    for turn in 0..50 {
        for (n, pod) in pods.iter().enumerate() {
            book.seen(client(n), &spaces[n % spaces.len()], pod, at(turn * 60));
        }
    }
    println!("book: {:.0} ns a sign", (processor() - start) / (50 * pods.len()) as f64);
    book
}

fn client(pod: usize) -> IpAddr {
    IpAddr::from([10, 42, (pod / 250) as u8, (pod % 250) as u8])
}

fn learn(book: &AddressBook, names: &[String]) -> (Answers, f64) {
    let mut answers = Answers::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let start = processor();
    for n in 0..ANSWERS {
        let (pod, name) = (rng.usize(0..PODS), rng.usize(0..NAMES));
        let when = at(n as i64 * WEEK / ANSWERS as i64);
        let addresses = target(pod, name);
        answers.learn(
            &Answer {
                at: when,
                client: Client::Address(client(pod)),
                query: &names[(pod * 13 + name * 997) % 5_000],
                cnames: &[],
                addresses: &addresses[..1 + n % 2],
                ttl_secs: 30,
            },
            book,
        );
    }
    let ns = (processor() - start) / ANSWERS as f64;
    (answers, ns)
}

fn lookups(answers: &Answers, spaces: &[String], pods: &[String], workloads: &[String]) {
    let mut rng = fastrand::Rng::with_seed(2);
    let asked: Vec<_> =
        (0..1_000_000).map(|_| (rng.usize(0..PODS), rng.usize(0..NAMES), at(rng.i64(0..WEEK)))).collect();
    let start = processor();
    let mut found = 0;
    for (pod, name, when) in &asked {
        let named = answers.named(
            &spaces[pod % spaces.len()],
            &pods[*pod],
            &workloads[*pod],
            target(*pod, *name)[0],
            *when,
        );
        found += usize::from(black_box(named).name.is_some());
    }
    let ns = (processor() - start) / asked.len() as f64;
    println!("lookup: {ns:.0} ns at random over {PODS} pods (aim 100), {found} named");
}

fn sightings(
    answers: &Answers,
    book: &AddressBook,
    cold: bool,
    (spaces, pods, workloads): (&[String], &[String], &[String]),
) {
    let mut ledger = Ledger::new(None);
    let mut rng = fastrand::Rng::with_seed(3);
    let before = resident();
    let (mut busy, mut done) = (0.0, 0);
    while done < SIGHTINGS {
        let batch: Vec<Sighting<'_>> = (0..100_000)
            .map(|n| {
                // Cold: every sighting of another pod. Warm: a node's pods speak in turn for a while.
                let pod =
                    if cold { rng.usize(0..PODS) } else { done / 1_000 % PODS / 20 * 20 + rng.usize(0..20) };
                let when = at((done + n) as i64 * WEEK / SIGHTINGS as i64);
                sighting(
                    (&spaces[pod % spaces.len()], &pods[pod], &workloads[pod]),
                    target(pod, rng.usize(0..NAMES))[0],
                    when,
                )
            })
            .collect();
        let start = processor();
        for sighting in &batch {
            black_box(ledger.sight(answers, book, sighting));
        }
        busy += processor() - start;
        done += batch.len();
    }
    println!(
        "sight, {}: {:.0} ns (aim 400); {} edges of {:.0} bytes",
        if cold { "pods at random" } else { "pods in turn" },
        busy / SIGHTINGS as f64,
        ledger.len(),
        (resident() - before) * 1_048_576.0 / ledger.len() as f64
    );
}

fn sighting<'a>(
    (ns, pod, workload): (&'a str, &'a str, &'a str),
    address: IpAddr,
    at: Timestamp,
) -> Sighting<'a> {
    Sighting {
        at,
        until: at,
        node: None,
        direction: Some(Direction::Egress),
        outcome: Outcome::Allowed,
        protocol: Protocol::Tcp,
        source: Side {
            ns: Some(ns),
            pod: Some(pod),
            workload: Some(("Deployment", workload)),
            ..Side::default()
        },
        destination: Side { address: Some(address), ..Side::default() },
        source_port: 40_000,
        port: 443,
        reply: Some(false),
        flows: 1,
        names: [None; Sighting::NAMES],
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_772_409_600 + secs, 0).expect("in range")
}

fn each(before: f64) -> f64 {
    (resident() - before) * 1_048_576.0 / ANSWERS as f64
}

/// Nanoseconds that this process has run.
fn processor() -> f64 {
    let said = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    said.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0)
}

/// MiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1_024.0
}
