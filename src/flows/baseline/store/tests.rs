//! The database on storage that fills up, is locked, damaged or too new: a sentence each, and
//! nothing counted twice. Being killed is tested with a real process in tests/collect.

use std::sync::{Arc, Mutex, PoisonError};

use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::{domain::edge::hour_of, edges};

/// Memory with an end.
#[derive(Debug)]
struct Disk {
    inner: Arc<InMemoryBackend>,
    room: Arc<Mutex<u64>>,
}

type Io<T> = std::result::Result<T, std::io::Error>;

impl StorageBackend for Disk {
    fn len(&self) -> Io<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Io<()> {
        if len > *self.room.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> Io<()> {
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Io<()> {
        if *self.room.lock().unwrap_or_else(PoisonError::into_inner) == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.inner.write(offset, data)
    }
}

/// A disk that keeps what is on it, and how much room it has.
pub fn disk() -> (Opener, Arc<Mutex<u64>>) {
    let (inner, room) = (Arc::new(InMemoryBackend::new()), Arc::new(Mutex::new(u64::MAX)));
    let left = room.clone();
    let open = move |builder: &redb::Builder| {
        builder.create_with_backend(Disk { inner: inner.clone(), room: left.clone() })
    };
    (Opener::with("edges.redb", open), room)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
}

fn edge(port: u16, flows: u64, hour: i64) -> (EdgeKey, Edge) {
    let line = format!(
        r#"{{"namespace":"shop","workload":{{"kind":"","name":"cart"}},"direction":"egress","peer":{{"address":"203.0.113.80"}},"protocol":"TCP","port":{port},"outcome":"allowed","flows":{flows},"first":"2026-03-02T09:00:00Z","last":"2026-03-02T09:00:00Z","hours":[{hour}]}}"#
    );
    edges::from_line(&line).expect("an edge")
}

fn batch(edges: impl IntoIterator<Item = (EdgeKey, Edge)>, read: i64) -> Batch {
    let source = Text::new("hubble");
    Batch {
        edges: edges.into_iter().collect(),
        positions: [(source.clone(), Position::Time(at(read)))].into(),
        ids: [(source, vec![(read as u64, at(read))])].into(),
        until: Some(at(read)),
        ..Batch::default()
    }
}

fn flows(store: &Store) -> Vec<(u16, u64)> {
    let page = store.reader().page(None, None, None).expect("readable");
    page.edges.iter().map(|(key, edge)| (key.port, edge.flows)).collect()
}

/// What `shop` adds up to.
fn shop(edges: u64, callees: u64, flows: u64) -> Vec<(NsName, Tally)> {
    let parties = Some(Parties { callees, flows, ..Parties::default() });
    vec![(NsName::parse("shop").expect("valid"), Tally { edges, parties })]
}

/// Denied attempts are no parties; the API server's calls are webhooks.
#[test]
fn parties_are_told_apart() {
    let of = |direction: &str, peer: &str, outcome: &str| {
        let line = format!(
            r#"{{"namespace":"shop","workload":{{"kind":"","name":"cart"}},"direction":"{direction}","peer":{peer},"protocol":"TCP","port":443,"outcome":"{outcome}","flows":5,"first":"2026-03-02T09:00:00Z","last":"2026-03-02T09:00:00Z","hours":[10]}}"#
        );
        edges::from_line(&line).expect("an edge")
    };
    let all = [
        of("ingress", r#"{"entity":"kube-apiserver"}"#, "allowed"),
        of("ingress", r#"{"address":"203.0.113.80"}"#, "audit"),
        of("ingress", r#"{"address":"203.0.113.81"}"#, "denied"),
        of("egress", r#"{"address":"203.0.113.80"}"#, "allowed"),
    ];
    let (disk, _) = disk();
    let (mut store, _) = Store::open_with(disk, limits()).expect("opened");
    store.commit(&batch(all, 0)).expect("written");
    let parties = Parties { callers: 2, callees: 1, webhooks: 1, flows: 15 };
    let tally = Tally { edges: 4, parties: Some(parties) };
    assert_eq!(store.counts(), [(NsName::parse("shop").expect("valid"), tally)]);
}

fn limits() -> Limits {
    Limits::new(TimeDelta::days(35))
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (disk, _) = disk();
    let (mut store, resume) = Store::open_with(disk.clone(), limits()).expect("opened");
    assert_eq!((resume.positions.len(), resume.window), (0, None));
    store.commit(&batch([edge(443, 3, 10), edge(80, 1, 10)], 0)).expect("written");
    store.commit(&batch([edge(443, 4, 11)], 5)).expect("written");
    store.commit(&batch([], 60)).expect("written");
    let tally = shop(2, 2, 3 + 1 + 4);
    assert_eq!(store.counts(), tally);
    drop(store);
    let (store, resume) = Store::open_with(disk, limits()).expect("opened");
    assert_eq!(flows(&store), [(80, 1), (443, 7)]);
    assert_eq!(store.counts(), tally);
    let source = Text::new("hubble");
    assert_eq!(resume.positions.get(&source), Some(&Position::Time(at(60))));
    assert_eq!(resume.ids[&source], [(60, at(60))], "older ones cannot come back");
    assert_eq!(resume.window, Some((at(0), at(60))));
}

#[test]
fn a_full_disk_says_so_and_takes_the_rest_later() {
    let (disk, room) = disk();
    let (mut store, _) = Store::open_with(disk, limits()).expect("opened");
    store.commit(&batch([edge(443, 3, 10)], 0)).expect("written");
    *room.lock().expect("no panic") = 0;
    let waiting = batch([edge(443, 4, 10)], 5);
    let trouble = store.commit(&waiting).expect_err("no room");
    assert_eq!(
        trouble.to_string(),
        "edges.redb: the disk is full. Make room; until then the latest edges are kept in memory and written by themselves later."
    );
    assert!(!store.is_open() && store.reader().page(None, None, None).is_err());
    assert!(store.reopen().is_err() || store.commit(&waiting).is_err(), "still full");
    *room.lock().expect("no panic") = u64::MAX;
    store.reopen().expect("opened again");
    assert_eq!(flows(&store), [(443, 3)], "half a commit is none");
    store.commit(&waiting).expect("written");
    assert_eq!(flows(&store), [(443, 7)]);
}

#[test]
fn a_database_in_use_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let _one = Store::open(folder.path(), limits()).expect("opened");
    let said = Store::open(folder.path(), limits()).expect_err("locked").to_string();
    assert!(said.ends_with(": another sluice collect has it open. Stop the other one, or give this one a folder of its own with --data."), "{said}");
}

#[test]
fn what_is_no_database_of_ours_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(FILE);
    for bytes in [
        &b"not a database at all, but long enough to be looked at"[..],
        &[0; 70_000],
        b"redb\x1a\x0a\xa9\x0d\x0a",
    ] {
        std::fs::write(&file, bytes).expect("written");
        let said = Store::open(folder.path(), limits()).expect_err("no database").to_string();
        assert!(said.contains("damaged") && said.contains("move it away"), "{said}");
    }
}

#[test]
fn a_newer_form_is_told_by_number() {
    let (disk, _) = disk();
    let database = disk.open().expect("opened");
    let transaction = database.begin_write().expect("begun");
    transaction
        .open_table(META)
        .expect("a table")
        .insert("schema", 7_u64.to_be_bytes().as_slice())
        .expect("put");
    transaction.commit().expect("written");
    drop(database);
    assert_eq!(
        Store::open_with(disk, limits()).expect_err("newer").to_string(),
        "edges.redb: its form is version 7, and this sluice knows 1. Use the newer sluice that wrote it, or give another folder with --data."
    );
}

#[test]
fn edges_beyond_the_limit_are_counted_and_known_ones_go_on() {
    let (disk, _) = disk();
    let (mut store, _) = Store::open_with(disk.clone(), Limits { edges: 2, ..limits() }).expect("opened");
    let done = store.commit(&batch((1..=5).map(|port| edge(port, 2, 10)), 0)).expect("written");
    assert_eq!(done, Committed { edges: 5, refused: 6 });
    store.commit(&batch((1..=2).map(|port| edge(port, 1, 10)), 0)).expect("written");
    assert_eq!(flows(&store), [(1, 3), (2, 3)]);
    drop(store);
    let (_, resume) = Store::open_with(disk, limits()).expect("opened");
    assert_eq!(resume.left_out, [(Text::new(Store::NO_ROOM), 6)].into());
}

#[test]
fn hours_older_than_what_is_kept_are_forgotten() {
    let (disk, _) = disk();
    let (mut store, _) = Store::open_with(disk, limits()).expect("opened");
    let now = at(0);
    let (old, new) = (hour_of(now) - 35 * 24 - 1, hour_of(now));
    let mut first = batch([edge(1, 1, old), edge(2, 1, old), edge(3, 1, new)], 0);
    let node = NodeName::parse("w").ok();
    let hole = |from, to| Hole { from, to, node: node.clone(), lost: Some(3), why: Text::new("x") };
    let (ancient, fresh) = (hole(at(-40 * 86_400), at(-39 * 86_400)), hole(at(-86_400), at(-86_000)));
    first.coverage = Some(Coverage {
        credited: [(node.clone(), [old, new].into_iter().collect())].into(),
        gaps: vec![ancient, fresh.clone()],
        doubts: Vec::new(),
    });
    store.commit(&first).expect("written");
    store.commit(&batch([edge(2, 1, new)], 0)).expect("written");
    store.forget(now).expect("forgotten");
    let page = store.reader().page(None, None, None).expect("readable");
    let left: Vec<_> =
        page.edges.iter().map(|(key, edge)| (key.port, edge.hours.iter().collect::<Vec<_>>())).collect();
    assert_eq!(left, [(2, vec![new]), (3, vec![new])]);
    assert_eq!(store.counts(), shop(2, 2, 2 + 1));
    let resume = store.reopen().expect("opened again");
    assert_eq!(resume.coverage.credited[&node].iter().collect::<Vec<_>>(), [new]);
    assert_eq!(resume.coverage.gaps, [fresh]);
}

#[test]
fn pages_go_through_a_namespace_and_a_window() {
    let (disk, _) = disk();
    let (mut store, _) = Store::open_with(disk, limits()).expect("opened");
    let hour = hour_of(at(0));
    let other = |mut edge: (EdgeKey, Edge)| {
        edge.0.ns = NsName::parse("shop-2").expect("valid");
        edge
    };
    let many = (0..2_500).map(|port| edge(port, 1, hour + i64::from(port % 2)));
    store.commit(&batch(many.chain([other(edge(1, 1, hour))]), 0)).expect("written");
    let ns = NsName::parse("shop").expect("valid");
    let window = crate::domain::edge::Window { from: at(0), to: at(1) };
    let (mut after, mut pages, mut seen) = (None, 0, 0);
    loop {
        let page = store.reader().page(Some(&ns), Some(window), after.as_deref()).expect("readable");
        pages += 1;
        seen += page.edges.len();
        assert!(page.edges.iter().all(|(key, edge)| key.ns == ns && edge.hours.contains(hour)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen), (3, 1_250));
}
