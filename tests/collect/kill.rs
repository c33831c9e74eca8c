//! Killed in the middle of commits, for real: another process writes and tells what was
//! acknowledged; this one kills it and compares. A failure names its seed.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use chrono::TimeDelta;
use sluice::{
    domain::{
        edge::{Edge, EdgeKey},
        names::Text,
        time::Timestamp,
    },
    edges,
    flows::baseline::store::{Batch, Limits, Position, Store},
};

const FOLDER: &str = "SLUICE_TEST_KILL_FOLDER";
/// Edges of each commit.
const EDGES: u16 = 400;
const ROUNDS: u64 = 25;

fn at(n: u64) -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000 + n as i64, 0).expect("in range")
}

fn edge(port: u16) -> (EdgeKey, Edge) {
    let line = format!(
        r#"{{"namespace":"shop","workload":{{"kind":"","name":"cart"}},"direction":"egress","peer":{{"address":"203.0.113.80"}},"protocol":"TCP","port":{port},"outcome":"allowed","flows":1,"first":"2026-03-02T09:00:00Z","last":"2026-03-02T09:00:00Z","hours":[492345]}}"#
    );
    edges::from_line(&line).expect("an edge")
}

fn open(folder: &Path) -> (Store, u64) {
    let (store, resume) = Store::open(folder, Limits::new(TimeDelta::days(35))).expect("opened after a kill");
    let source = Text::new("source");
    let read = resume.positions.get(&source).and_then(Position::time);
    let commits = read.map_or(0, |read| (read - at(0)).num_seconds() as u64);
    if commits > 0 {
        assert_eq!(resume.ids[&source].last(), Some(&(commits, at(commits))), "ids go with their commit");
    }
    (store, commits)
}

/// Flows of each edge: all the same, or a commit was torn.
fn flows(store: &Store) -> u64 {
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = store.reader().page(None, None, after.as_deref()).expect("readable");
        all.extend(page.edges.iter().map(|(_, edge)| edge.flows));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(all.is_empty() || all.len() == usize::from(EDGES), "{} edges", all.len());
    let first = all.first().copied().unwrap_or(0);
    assert!(all.iter().all(|flows| *flows == first), "edges of one commit differ: {all:?}");
    first
}

/// Not a test of its own: what the killed process does, for ever. Passes at once in any other run.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test's other process knows what it is")]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (mut store, done) = open(Path::new(&folder));
    let mut out = std::io::stdout();
    for n in done + 1.. {
        let source = Text::new("source");
        let batch = Batch {
            edges: (0..EDGES).map(edge).collect(),
            positions: [(source.clone(), Position::Time(at(n)))].into(),
            ids: [(source, vec![(n, at(n))])].into(),
            until: Some(at(n)),
            ..Batch::default()
        };
        store.commit(&batch).expect("committed");
        if writeln!(out, "acknowledged {n}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn being_killed_neither_loses_nor_counts_twice_what_was_acknowledged() {
    const SEED: u64 = 7;
    let mut random = fastrand::Rng::with_seed(SEED);
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "collect::kill::the_process_that_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let wanted = acknowledged + random.u64(1..6);
        for line in said.by_ref() {
            let line = line.expect("a line");
            let n = line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<u64>().ok());
            acknowledged = n.unwrap_or(acknowledged);
            if acknowledged >= wanted {
                break;
            }
        }
        // Somewhere in the next commit, a little further each time.
        for _ in 0..random.u32(0..200_000) {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        let rest = said.map_while(Result::ok);
        let last = rest.filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse::<u64>().ok()).last();
        acknowledged = last.unwrap_or(acknowledged);
        let (store, committed) = open(folder.path());
        let place = format!("seed {SEED}, round {round}");
        assert!(
            (acknowledged..=acknowledged + 1).contains(&committed),
            "{place}: {committed} of {acknowledged}"
        );
        assert_eq!(flows(&store), committed, "{place}: edges and position disagree");
        acknowledged = committed;
    }
}
