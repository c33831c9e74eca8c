//! What the collector costs: commits of edges old and new, and flows from being told to being on
//! disk. Prints figures; decides nothing. `cargo bench --bench collect`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads the clock and prints")]

use std::{sync::Arc, time::Instant};

use chrono::TimeDelta;
use sluice::{
    cockpit::ports::Link,
    domain::{
        edge::{Edge, EdgeKey},
        flow::{Direction, Protocol},
        names::Text,
        sighting::Outcome,
        time::Timestamp,
    },
    edges,
    flows::baseline::{
        gather::{self, INPUTS, Input, Now, Setup},
        owned::{Heard, HeardFlow, HeardSide},
        read,
        store::{Batch, Limits, Position, Store},
    },
};
use tokio::sync::{mpsc, watch};

/// Edges in the database, and how many of them a commit touches.
const EDGES: u32 = 100_000;
const TOUCHED: u32 = 5_000;
const FLOWS: u32 = 500_000;
const CHUNK: u32 = 500;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
}

fn limits() -> Limits {
    Limits::new(TimeDelta::days(35))
}

fn edge(n: u32) -> (EdgeKey, Edge) {
    let (ns, port) = (n % 50, n / 50 % 60_000);
    let line = format!(
        r#"{{"namespace":"ns-{ns}","workload":{{"kind":"Deployment","name":"app-{}"}},"direction":"egress","peer":{{"address":"203.0.113.80"}},"name":"api.payments.example","protocol":"TCP","port":{port},"outcome":"allowed","flows":1,"first":"2026-03-02T09:00:00Z","last":"2026-03-02T09:00:00Z","hours":[492345],"fresh":1}}"#,
        n / 3_000_000
    );
    edges::from_line(&line).expect("an edge")
}

fn batch(edges: impl Iterator<Item = u32>, ids: u64) -> Batch {
    let source = Text::new("hubble");
    Batch {
        edges: edges.map(edge).collect(),
        positions: [(source.clone(), Position::Time(at(ids as i64)))].into(),
        ids: [(source, (0..ids).map(|id| (id, at(ids as i64))).collect())].into(),
        until: Some(at(0)),
        ..Batch::default()
    }
}

fn commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(folder.path(), limits()).expect("opened");
    let timed = |what: &str, store: &mut Store, batch: &Batch| {
        let begun = Instant::now();
        store.commit(batch).expect("committed");
        println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    timed(&format!("first commit of {EDGES} edges"), &mut store, &batch(0..EDGES, 10));
    for _ in 0..3 {
        let spread = (0..TOUCHED).map(|n| n * (EDGES / TOUCHED));
        timed(&format!("{TOUCHED} of {EDGES} edges again, 50000 ids"), &mut store, &batch(spread, 50_000));
    }
    timed("one edge", &mut store, &batch(0..1, 1));
    let size = std::fs::metadata(store.path().expect("a file")).expect("there").len();
    println!("file: {:.1} MB", size as f64 / 1e6);
    drop(store);
    let begun = Instant::now();
    let opened = Store::open(folder.path(), limits()).expect("opened");
    println!(
        "opened again: {:.1} ms, {} positions",
        begun.elapsed().as_secs_f64() * 1e3,
        opened.1.positions.len()
    );
}

fn flow(n: u32) -> Heard {
    let pod = n % 2_000;
    let source = HeardSide {
        address: Some([10, 0, (pod / 250) as u8, (pod % 250) as u8].into()),
        ns: Some(format!("ns-{}", pod % 50).into()),
        pod: Some(format!("app-{pod}-6c9f7d8b5-x2x7q").into()),
        workload: Some(("Deployment".into(), format!("app-{pod}").into())),
        ..HeardSide::default()
    };
    let destination =
        HeardSide { address: Some([203, 0, 113, (n / 2_000 % 10) as u8].into()), ..HeardSide::default() };
    Heard::Flow(Box::new(HeardFlow {
        at: at(i64::from(n / 50_000)),
        until: at(i64::from(n / 50_000)),
        node: Some(format!("worker-{}", pod % 20).into()),
        direction: Some(Direction::Egress),
        outcome: Outcome::Allowed,
        protocol: Protocol::Tcp,
        source,
        destination,
        source_port: 40_000,
        port: 443,
        reply: Some(false),
        flows: 1,
        names: Default::default(),
    }))
}

async fn gathering() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, resume) = Store::open(folder.path(), limits()).expect("opened");
    let (inputs, taken) = mpsc::channel(INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (stop, stopped) = watch::channel(false);
    let now: Now = Arc::new(|| at(3_600));
    let setup = Setup { store, resume, now, version: "bench", inputs: taken, state, stop: stopped };
    let chunks: Vec<Vec<_>> = (0..FLOWS / CHUNK)
        .map(|chunk| {
            (chunk * CHUNK..(chunk + 1) * CHUNK).map(|n| (flow(n), Some(u64::from(n) * 2))).collect()
        })
        .collect();
    let begun = Instant::now();
    let task = tokio::spawn(gather::run(setup));
    for told in chunks {
        let told = Input::Told { source: Text::new("hubble"), told, position: None };
        inputs.send(told).await.expect("it listens");
    }
    let told = begun.elapsed();
    stop.send_replace(true);
    task.await.expect("no panic").expect("committed");
    let all = begun.elapsed();
    let edges: u64 = states.borrow().edges.iter().map(|(_, tally)| tally.edges).sum();
    println!(
        "{FLOWS} flows taken in {:.2} s, on disk in {:.2} s: {:.0} flows/s ({edges} edges before the last commit)",
        told.as_secs_f64(),
        all.as_secs_f64(),
        f64::from(FLOWS) / all.as_secs_f64()
    );
}

fn main() {
    commits();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(gathering());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
