//! `sluice collect` is killed with SIGKILL while a DNS server speaks dnstap to it and a file of flows
//! grows. What it had served is neither lost nor counted twice: flows of the file come again from
//! where the last commit stood, answers are kept with it, and those that it never had are a told gap.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::{IpAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use sluice::{
    domain::{
        edge::{Edge, EdgeKey, Peer},
        time::Timestamp,
    },
    edges,
    flows::baseline::wire,
};

use crate::{
    discover::lines,
    dnstap::wire::{ACCEPT, Dns, Event, READY, START, TYPE, control, data},
};

use super::process::Collector;

const POD: &str = "cart-6d4b9c7f5b-x2x4z";
const EDGES: &str = "/v1/edges?namespace=shop";
/// Why names of the time it was not running may be missing.
const GAP: &str = "DNS answers: coredns-a drops its answers while the collector is not running";

#[expect(clippy::disallowed_methods, reason = "a collector believes no record of another time than now")]
fn now() -> Timestamp {
    chrono::Utc::now()
}

/// Destination `n`, and what the pod asked for to find it.
fn address(n: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, n])
}

fn name(n: u8) -> String {
    format!("api-{n}.payments.example")
}

/// What the collector gathers from.
struct Plant {
    home: tempfile::TempDir,
    flows: File,
    /// Flows written, by destination.
    written: BTreeMap<IpAddr, u64>,
}

impl Plant {
    fn new() -> Self {
        // A socket's path has 108 bytes at most.
        let home = tempfile::tempdir_in("/tmp").expect("a folder");
        let flows = OpenOptions::new().create(true).append(true).open(home.path().join("events.log"));
        Self { home, flows: flows.expect("a file"), written: BTreeMap::new() }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("dnstap.sock")
    }

    fn collector(&self) -> Collector {
        self.collector_with(&format!("unix:{}", self.socket().display()))
    }

    fn collector_with(&self, door: &str) -> Collector {
        let file = format!("hubble-json:{}", self.home.path().join("events.log").display());
        Collector::start(self.home.path(), &["--no-hubble", "--dnstap", door, "--flows", &file])
    }

    /// The pod connects to destination `n`.
    fn flow(&mut self, n: u8) {
        let line = lines::flow(now(), POD, &address(n).to_string(), 443);
        writeln!(self.flows, "{line}").expect("written");
        *self.written.entry(address(n)).or_default() += 1;
    }
}

fn has_heard(state: &str) -> bool {
    let state = wire::from_json(state.as_bytes()).expect("a state");
    state.sources.iter().any(|source| source.name.as_str().starts_with("dnstap") && source.lag.is_some())
}

/// CoreDNS with `dnstap … full`, as far as a collector sees it.
struct CoreDns<S>(S);

impl CoreDns<UnixStream> {
    fn connect(socket: &Path) -> Self {
        Self::greet(UnixStream::connect(socket).expect("it listens"))
    }
}

impl<S: Read + Write> CoreDns<S> {
    /// Whoever connected: the DNS server writes, so it asks.
    fn greet(mut stream: S) -> Self {
        stream.write_all(&control(READY, &[TYPE])).expect("written");
        let accept = control(ACCEPT, &[TYPE]);
        let mut answer = vec![0; accept.len()];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, accept);
        stream.write_all(&control(START, &[TYPE])).expect("written");
        Self(stream)
    }

    /// Tells the pod where destination `n` is.
    fn answer(&mut self, n: u8) {
        let message = Dns::asked(&name(n)).record("A", &name(n), &address(n).to_string(), 300).bytes();
        let at = now();
        let responded = Some((at.timestamp() as u64, at.timestamp_subsec_nanos()));
        let event = Event { responded, client: Some(vec![10, 0, 1, 7]), ..Event::new(0, message) };
        self.0.write_all(&data(&event.bytes())).expect("written");
    }
}

fn edges_of(answer: &str) -> Vec<(EdgeKey, Edge)> {
    answer.lines().map(|line| edges::from_line(line).expect("an edge")).collect()
}

fn names_all(answer: &str, numbers: &[u8]) -> bool {
    let edges = edges_of(answer);
    let named =
        |n: &u8| edges.iter().any(|(key, _)| key.name.as_ref().is_some_and(|at| at.as_str() == name(*n)));
    numbers.iter().all(named)
}

#[test]
fn a_dns_server_that_listens_is_called_and_heard() {
    let mut plant = Plant::new();
    plant.flow(0);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let collector = plant.collector_with(&format!("call:{address}"));
    let (stream, _) = listener.accept().expect("it calls");
    // It waits five seconds for a greeting.
    let mut dns = CoreDns::greet(stream);
    collector.until("it reads flows", "/v1/state", |state| state.contains("lagMillis"));
    dns.answer(1);
    plant.flow(1);
    collector.until("the name is served", EDGES, |answer| names_all(answer, &[1]));
    // It goes; the collector calls again, and is told who is not there.
    drop((dns, listener));
    let said = format!(r#""object":"dnstap of {address}","fact":"Connection refused"#);
    collector.until("it is told", "/v1/state", |state| state.contains(&said));
}

#[test]
fn being_killed_neither_loses_nor_counts_twice_what_was_served() {
    let mut plant = Plant::new();
    let mut served: Vec<u8> = Vec::new();
    // Nobody is asked for destination 0: its address is all that is known of it.
    plant.flow(0);
    for round in 0..2 {
        let collector = plant.collector();
        // Whose an address is, it knows from the first flow on.
        collector.until("it reads flows", "/v1/state", |state| state.contains("lagMillis"));
        let mut dns = CoreDns::connect(&plant.socket());
        let new: Vec<u8> = (1..=5).map(|n| 100 * round + n).collect();
        // Flows wait five seconds for their names: these are there before.
        new.iter().for_each(|n| dns.answer(*n));
        collector.until("answers are heard", "/v1/state", has_heard);
        new.iter().for_each(|n| plant.flow(*n));
        collector.until("new names are served", EDGES, |answer| names_all(answer, &new));
        served.extend(new);
        // Of these it is killed before it served any, then as soon as it served one.
        let more: Vec<u8> = (50..=99).map(|n| 100 * round + n).collect();
        for n in &more {
            dns.answer(*n);
            plant.flow(*n);
        }
        if round == 1 {
            let one = |answer: &str| more.iter().any(|n| names_all(answer, &[*n]));
            let answer = collector.until("one more is served", EDGES, one);
            served.extend(more.iter().filter(|n| names_all(&answer, &[**n])));
        }
        collector.kill();
        // While nobody listens flows go on, by what the pod has been told before.
        served.iter().for_each(|n| plant.flow(*n));
    }
    let collector = plant.collector();
    // Who speaks is known from the first answer on; this one tells nothing new.
    CoreDns::connect(&plant.socket()).answer(1);
    let all: u64 = plant.written.values().sum();
    let count = |answer: &str| edges_of(answer).iter().map(|(_, edge)| edge.flows).sum::<u64>();
    let answer = collector.until("every flow is served", EDGES, |answer| count(answer) >= all);
    let gaps = told_gaps(&collector);
    check(&plant, &served, &edges_of(&answer), &gaps);
}

/// From when to when names may be missing: each time that it was not running.
fn told_gaps(collector: &Collector) -> Vec<(Timestamp, Timestamp)> {
    let both = |state: &str| state.matches(GAP).count() == 2;
    let state = collector.until("two gaps are told", "/v1/state", both);
    let state = wire::from_json(state.as_bytes()).expect("a state");
    let gaps = state.coverage.gaps.iter().filter(|hole| hole.why.as_str() == GAP);
    gaps.map(|hole| (hole.from, hole.to)).collect()
}

fn check(plant: &Plant, served: &[u8], edges: &[(EdgeKey, Edge)], gaps: &[(Timestamp, Timestamp)]) {
    let mut counted: BTreeMap<IpAddr, u64> = BTreeMap::new();
    for (key, edge) in edges {
        let Peer::Address(peer) = key.peer else { panic!("{key:?}") };
        *counted.entry(peer).or_default() += edge.flows;
        let is_served = served.iter().any(|n| address(*n) == peer);
        match &key.name {
            Some(_) => assert_eq!(edge.fresh, edge.flows, "{key:?}"),
            None => assert!(!is_served, "the name of {peer} was served, and is lost"),
        }
        let in_gap = gaps.iter().any(|(from, to)| *from <= edge.first && edge.first <= *to);
        assert!(key.name.is_some() || in_gap || peer == address(0), "{peer} has no name, at {}", edge.first);
    }
    assert_eq!(counted, plant.written);
}
