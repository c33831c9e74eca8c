//! Gathering under a paused clock, with inputs told by hand: late answers still name flows, a full
//! disk loses nothing that fits into memory, and the end commits what waits.

use std::{net::IpAddr, sync::PoisonError};

use chrono::TimeDelta;
use tokio::time::sleep;

use super::*;
use crate::{
    cockpit::ports::Link,
    domain::{
        edge::{Edge, EdgeKey},
        flow::{Direction, Protocol},
        sighting::Outcome,
    },
    flows::baseline::{
        owned::{HeardAnswer, HeardClient, HeardFlow, HeardSide},
        read,
        store::{Limits, Opener, tests::disk},
    },
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
}

struct Running {
    inputs: mpsc::Sender<Input>,
    state: watch::Receiver<Arc<CollectorState>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), Trouble>>,
}

fn begin(opener: Opener) -> Running {
    let (store, resume) = Store::open_with(opener, Limits::new(TimeDelta::days(35))).expect("opened");
    let begun = Instant::now();
    let now: Now = Arc::new(move || at(0) + TimeDelta::from_std(begun.elapsed()).expect("in range"));
    let (inputs, taken) = mpsc::channel(INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (stop, stopped) = watch::channel(false);
    let setup = Setup { store, resume, now, version: "test", inputs: taken, state, stop: stopped };
    Running { inputs, state: states, stop, task: tokio::spawn(run(setup)) }
}

impl Running {
    async fn tell(&self, heard: Heard) {
        let told = vec![(heard, None)];
        self.inputs
            .send(Input::Told { source: Text::new("x"), told, position: None })
            .await
            .expect("it listens");
    }

    async fn end(self) -> Result<(), Trouble> {
        self.stop.send_replace(true);
        self.task.await.expect("no panic")
    }

    fn troubles(&self) -> Vec<String> {
        self.state.borrow().troubles.iter().map(|trouble| trouble.fact.to_string()).collect()
    }
}

fn flow(secs: i64, port: u16) -> Heard {
    let side = |ip: [u8; 4]| HeardSide { address: Some(IpAddr::from(ip)), ..HeardSide::default() };
    let source = HeardSide {
        ns: Some("shop".into()),
        pod: Some("cart-6c9f7d8b5-x2x7q".into()),
        ..side([10, 0, 0, 7])
    };
    Heard::Flow(Box::new(HeardFlow {
        at: at(secs),
        until: at(secs),
        node: Some("w1".into()),
        direction: Some(Direction::Egress),
        outcome: Outcome::Allowed,
        protocol: Protocol::Tcp,
        source,
        destination: side([203, 0, 113, 80]),
        source_port: 40_000,
        port,
        reply: Some(false),
        flows: 1,
        names: Default::default(),
    }))
}

fn answer(secs: i64) -> Heard {
    Heard::Answer(Box::new(HeardAnswer {
        at: at(secs),
        client: HeardClient::Address(IpAddr::from([10, 0, 0, 7])),
        query: "api.payments.example".into(),
        cnames: Vec::new(),
        addresses: vec![IpAddr::from([203, 0, 113, 80])],
        ttl_secs: 30,
    }))
}

fn edges(opener: Opener) -> Vec<(EdgeKey, Edge)> {
    let (store, _) = Store::open_with(opener, Limits::new(TimeDelta::days(35))).expect("opened");
    store.reader().page(None, None, None).expect("readable").edges
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_reported_after_its_flow_names_it() {
    let (opener, _) = disk();
    let running = begin(opener.clone());
    running.tell(flow(0, 443)).await;
    sleep(Duration::from_secs(2)).await;
    running.tell(answer(0)).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(running.state.borrow().edges.len(), 1, "committed while it runs");
    running.end().await.expect("committed");
    let edges = edges(opener.clone());
    let names: Vec<_> =
        edges.iter().map(|(key, edge)| (key.name.as_ref().map(|n| n.as_str()), edge.fresh)).collect();
    assert_eq!(names, [(Some("api.payments.example"), 1)]);
    // What was learned is known after a restart.
    let running = begin(opener.clone());
    running.tell(flow(30, 443)).await;
    running.end().await.expect("committed");
    let counts: Vec<_> =
        super::tests::edges(opener).iter().map(|(_, edge)| (edge.flows, edge.fresh)).collect();
    assert_eq!(counts, [(2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_what_was_gathered_is_written_when_there_is_room() {
    let (opener, room) = disk();
    let set = |bytes| *room.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    let running = begin(opener.clone());
    running.tell(flow(0, 1)).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(running.troubles(), [""; 0]);
    set(0);
    for port in 1..=3 {
        running.tell(flow(20, port)).await;
    }
    sleep(Duration::from_secs(120)).await;
    assert_eq!(running.troubles(), ["the disk is full"]);
    running.tell(flow(140, 4)).await;
    set(u64::MAX);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(running.troubles(), [""; 0]);
    running.end().await.expect("committed");
    let flows: Vec<_> = edges(opener).iter().map(|(key, edge)| (key.port, edge.flows)).collect();
    assert_eq!(flows, [(1, 2), (2, 1), (3, 1), (4, 1)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_counts_what_waits_and_says_if_it_could_not_be_written() {
    let (opener, room) = disk();
    let running = begin(opener.clone());
    running.tell(flow(0, 1)).await;
    running.end().await.expect("committed");
    assert_eq!(edges(opener.clone()).len(), 1);
    let running = begin(opener);
    *room.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    running.tell(flow(0, 2)).await;
    let said = running.end().await.expect_err("no room").to_string();
    assert!(said.starts_with("edges.redb: the disk is full."), "{said}");
}

#[tokio::test(start_paused = true)]
async fn gaps_stand_in_the_coverage_while_they_are_open() {
    let (opener, _) = disk();
    let running = begin(opener);
    let node = crate::domain::names::NodeName::parse("w1").ok();
    let gap = |until| Gap {
        node: node.clone(),
        from: at(10),
        until,
        lost: None,
        cause: crate::domain::evidence::Cause::SourceSilent,
        why: Text::new("silent"),
    };
    for secs in [0, 10] {
        running.inputs.send(Input::Sign(node.clone(), at(secs))).await.expect("it listens");
    }
    running.inputs.send(Input::Gap(gap(None))).await.expect("it listens");
    sleep(Duration::from_secs(90)).await;
    let holes = running.state.borrow().coverage.gaps.clone();
    assert!(holes.iter().any(|hole| hole.why.as_str() == "silent" && hole.to > at(60)), "{holes:?}");
    // Read again from history: nothing is missing after all.
    running.inputs.send(Input::Gap(gap(Some(at(10))))).await.expect("it listens");
    sleep(Duration::from_secs(90)).await;
    let holes = running.state.borrow().coverage.gaps.clone();
    assert!(!holes.iter().any(|hole| hole.why.as_str() == "silent"), "{holes:?}");
    running.end().await.expect("committed");
}

/// What a wrong clock says must neither push seen hours out of an edge nor name flows for years.
#[tokio::test(start_paused = true)]
async fn records_of_a_wrong_clock_are_counted_and_cost_their_node_the_hour() {
    let (opener, _) = disk();
    let running = begin(opener.clone());
    let hour = 3_600;
    running.inputs.send(Input::Sign(NodeName::parse("w1").ok(), at(4))).await.expect("on");
    running.tell(flow(0, 443)).await;
    // Twenty years ahead, an hour and a minute ahead, and 1970.
    let wrong = [20 * 365 * 24 * hour, hour + 60, -1_772_442_000];
    for secs in wrong {
        running.tell(flow(secs, 443)).await;
    }
    running.tell(answer(20 * 365 * 24 * hour)).await;
    sleep(Duration::from_secs(90)).await;
    let state = running.state.borrow().clone();
    assert_eq!(
        running.troubles(),
        ["records with a time more than an hour ahead, or ten weeks ago: 4; they are not counted"]
    );
    let hole =
        state.coverage.gaps.iter().find(|hole| hole.why.as_str() == "records with the time of a wrong clock");
    let hole = hole.expect("a gap");
    assert_eq!((hole.node.as_ref().map(NodeName::as_str), hole.lost), (Some("w1"), Some(3)));
    assert!(
        state.coverage.credited.values().all(crate::domain::edge::Hours::is_empty),
        "{:?}",
        state.coverage
    );
    running.tell(flow(80, 443)).await;
    running.end().await.expect("committed");
    let edges = edges(opener);
    assert_eq!(edges.len(), 1);
    let (_, edge) = &edges[0];
    assert_eq!((edge.flows, edge.first, edge.last, edge.fresh), (2, at(0), at(80), 0));
    assert_eq!(edge.hours.iter().collect::<Vec<_>>(), [492_345]);
}
