//! The collector's door and the cockpit's reader of it, over streams in memory.

use std::sync::Arc;

use chrono::TimeDelta;
use futures::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use sluice::{
    cockpit::ports::{Baseline, ClusterFact, CollectorState, Fact, Link, Trouble},
    domain::{
        edge::Window,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    edges,
    flows::{
        baseline::{
            read,
            serve::{self, Door},
            store::{Batch, Limits, Store},
        },
        source::{BoxIo, Dial},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, watch},
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
}

fn line(ns: &str, port: u16, hour: i64) -> String {
    format!(
        r#"{{"namespace":"{ns}","workload":{{"kind":"Deployment","name":"cart"}},"direction":"egress","peer":{{"address":"203.0.113.80"}},"protocol":"TCP","port":{port},"outcome":"allowed","flows":1,"first":"2026-03-02T09:00:00Z","last":"2026-03-02T09:00:00Z","hours":[{hour}]}}"#
    )
}

/// A door with edges behind it; the folder and the state's sender keep it open.
pub struct House {
    pub door: Door,
    _folder: tempfile::TempDir,
    state: watch::Sender<Arc<CollectorState>>,
    _store: Store,
}

pub fn house() -> House {
    house_of(2_400)
}

/// One whose namespace `shop` has so many edges, on a port each.
fn house_of(ports: u16) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(folder.path(), Limits::new(TimeDelta::days(35))).expect("opened");
    let hour = at(0).timestamp() / 3600;
    let many = (1..=ports).map(|port| line("shop", port, hour - i64::from(port % 2) * 24 * 10));
    let all = many.chain([line("pay", 1, hour), line("shop-2", 1, hour)]);
    let edges = all.map(|line| edges::from_line(&line).expect("an edge")).collect();
    store.commit(&Batch { edges, ..Batch::default() }).expect("committed");
    let told = CollectorState {
        version: Some(Text::new("0.1.0")),
        window: Some(Window { from: at(-30 * 86_400), to: at(60) }),
        edges: store.counts(),
        ..read::bare(Link::Live)
    };
    let (state, states) = watch::channel(Arc::new(told));
    let door = Door::new(states, store.reader());
    House { door, _folder: folder, state, _store: store }
}

fn connect(house: &House) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 14);
    tokio::spawn(serve::connection(far, house.door.clone()));
    near
}

async fn get(house: &House, method: &str, path: &str) -> (u16, String) {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connect(house))).await.expect("an HTTP connection");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(start_paused = true)]
async fn edges_come_as_lines_by_namespace_and_window() {
    let house = house();
    let (status, all) = get(&house, "GET", "/v1/edges").await;
    assert_eq!((status, all.lines().count()), (200, 2_402));
    assert!(all.lines().all(|line| edges::from_line(line).is_ok()));
    let (_, shop) = get(&house, "GET", "/v1/edges?namespace=shop").await;
    assert_eq!(shop.lines().count(), 2_400, "shop-2 is another namespace");
    let path = "/v1/edges?namespace=shop&from=2026-03-02T09:00:00Z&to=2026-03-02T10:00:00Z";
    assert_eq!(get(&house, "GET", path).await.1.lines().count(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_for_reading_is_refused_in_a_sentence() {
    let house = house();
    for (method, path, status, said) in [
        ("GET", "/healthz", 200, "ok\n"),
        ("POST", "/v1/state", 405, "This door is for reading: use GET.\n"),
        ("DELETE", "/v1/edges", 405, "This door is for reading: use GET.\n"),
        (
            "GET",
            "/metrics",
            404,
            "There is nothing here. Known: /healthz, /v1/state, /v1/edges?namespace=NS&from=TIME&to=TIME.\n",
        ),
        ("GET", "/v1/edges?ns=shop", 400, "\"ns\" is not known here. Known: namespace, from, to.\n"),
    ] {
        assert_eq!(get(&house, method, path).await, (status, said.to_owned()), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_take_its_answer_holds_up_nobody() {
    // Seven pages an answer: one goes to the connection and two wait, so that none of the four is
    // written to its end however fast pages are read.
    let house = house_of(6_500);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&house);
        stream.write_all(b"GET /v1/edges HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
        let mut first = [0; 64];
        stream.read_exact(&mut first).await.expect("it begins");
        slow.push(stream);
    }
    let (status, said) = get(&house, "GET", "/v1/edges").await;
    assert_eq!(
        (status, said.as_str()),
        (503, "Too many answers are being written; try again in a few seconds.\n")
    );
    assert_eq!(get(&house, "GET", "/v1/state").await.0, 200, "the state is not in their way");
    tokio::time::sleep(tokio::time::Duration::from_secs(60)).await;
    assert_eq!(get(&house, "GET", "/v1/edges").await.0, 200, "those who took nothing were given up");
}

/// A reader at work, and what it told.
struct Reading {
    asks: mpsc::Sender<NsName>,
    facts: mpsc::Receiver<Fact>,
}

fn read_by(dial: Dial) -> Reading {
    let (asks, asked) = mpsc::channel(4);
    let (inbox, facts) = mpsc::channel(64);
    let cluster = ClusterName::parse("east").expect("a name");
    tokio::spawn(read::run(cluster, dial, asked, inbox));
    Reading { asks, facts }
}

impl Reading {
    async fn state(&mut self) -> CollectorState {
        match self.facts.recv().await {
            Some(Fact::Cluster(_, ClusterFact::Collector(state))) => *state,
            other => panic!("{other:?}"),
        }
    }

    async fn edges(&mut self, ns: &str) -> Baseline {
        self.asks.send(NsName::parse(ns).expect("valid")).await.expect("it listens");
        loop {
            match self.facts.recv().await {
                Some(Fact::Cluster(_, ClusterFact::Baseline(baseline))) => return *baseline,
                Some(_) => {}
                None => panic!("it ended"),
            }
        }
    }
}

fn dial_to(house: &Arc<House>) -> Dial {
    let house = house.clone();
    Arc::new(move || {
        let stream = connect(&house);
        async move { Ok(Box::pin(stream) as BoxIo) }.boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn the_cockpit_reads_state_and_edges() {
    let house = Arc::new(house());
    let mut reading = read_by(dial_to(&house));
    assert_eq!(reading.state().await.link, Link::Connecting);
    let state = reading.state().await;
    assert_eq!(state, *house.state.borrow().as_ref());
    let shop = reading.edges("shop").await;
    assert_eq!((shop.edges.len(), shop.left_out, shop.trouble), (1_200, 0, None), "the last week of it");
    assert_eq!(shop.window, Window { from: at(60 - 7 * 86_400), to: at(60) });
    assert_eq!(reading.edges("nobody").await.edges, []);
}

/// Answers each connection with the same bytes.
fn dial_saying(said: String) -> Dial {
    Arc::new(move || {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let said = said.clone();
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let _ = far.read(&mut request).await;
            let _ = far.write_all(said.as_bytes()).await;
        });
        async move { Ok(Box::pin(near) as BoxIo) }.boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn hostile_answers_end_in_a_sentence() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for (said, part) in [
        ("SSH-2.0-x\r\n".to_owned(), "the connection broke: "),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(), "it answered /v1/state with HTTP 500"),
        (answer("<html>\u{1b}[2J"), "it is not the JSON of a collector's state: "),
        (answer(r#"{"schema":9}"#), "its form is version 9, which is newer than this sluice knows (1)"),
    ] {
        let mut reading = read_by(dial_saying(said));
        reading.state().await;
        let Link::Broken(Trouble { object, fact, .. }) = reading.state().await.link else {
            panic!("not broken: {part}");
        };
        assert!(object.as_str() == "collector of east" && fact.as_str().starts_with(part), "{fact}");
        assert!(!fact.as_str().contains('\u{1b}'));
    }
}
