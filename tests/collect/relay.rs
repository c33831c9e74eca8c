//! Gathering from the simulated fleet's relay under a paused clock: restarts lose and repeat nothing,
//! what the relay loses is a hole.

use std::{path::Path, sync::Arc};

use chrono::TimeDelta;
use futures::FutureExt;
use sluice::{
    cockpit::ports::{CollectorState, Link, Trouble},
    domain::{
        coverage::Hole,
        names::{ClusterName, Text},
        time::Timestamp,
    },
    edges,
    flows::{
        baseline::{
            gather::{self, INPUTS, Now},
            read,
            store::{Limits, Position, Store},
        },
        hubble,
        source::{BoxIo, Dial},
    },
    sim::fleet::{
        faults::Fault,
        running::{Fleet, Options},
        scenario::Scenario,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};

const START: &str = "2026-03-02T09:00:00Z";

fn start() -> Timestamp {
    START.parse().expect("a time")
}

fn two(seed: u64) -> Fleet {
    Fleet::new(&Scenario::named("two").expect("built in"), Options { seed, speed: 1.0, start: start() })
}

/// The relay's port, as a Service would reach it.
fn dial(fleet: &Fleet) -> Dial {
    let relay = fleet.cluster("east").and_then(|member| member.relay().cloned()).expect("a relay");
    Arc::new(move || {
        let stream = relay.connect();
        async move {
            let stream = stream.ok_or_else(|| Trouble::new("relay", "connection refused", "Wait."))?;
            Ok(Box::pin(stream) as BoxIo)
        }
        .boxed()
    })
}

/// A collector at work.
struct Collector {
    hubble: JoinHandle<()>,
    gathering: JoinHandle<Result<(), Trouble>>,
    state: watch::Receiver<Arc<CollectorState>>,
    stop: watch::Sender<bool>,
}

fn collect(fleet: &Fleet, folder: &Path, begun: Instant) -> Collector {
    let (store, resume) = Store::open(folder, Limits::new(TimeDelta::days(35))).expect("opened");
    let now: Now = Arc::new(move || start() + TimeDelta::from_std(begun.elapsed()).expect("in range"));
    let (inputs, taken) = mpsc::channel(INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (stop, stopped) = watch::channel(false);
    let source = Text::new("hubble");
    let gathering = hubble::Gathering {
        cluster: ClusterName::parse("east").expect("a name"),
        position: resume.positions.get(&source).and_then(Position::time),
        known: resume.ids.get(&source).cloned().unwrap_or_default(),
        now: now(),
        source,
        dial: dial(fleet),
    };
    let hubble = tokio::spawn(hubble::gather(gathering, inputs));
    let setup = gather::Setup { store, resume, now, version: "test", inputs: taken, state, stop: stopped };
    Collector { hubble, gathering: tokio::spawn(gather::run(setup)), state: states, stop }
}

impl Collector {
    /// As SIGTERM does.
    async fn end(self) -> CollectorState {
        self.stop.send_replace(true);
        self.gathering.await.expect("no panic").expect("committed");
        self.hubble.abort();
        let state = self.state.borrow().clone();
        CollectorState::clone(&state)
    }

    /// As SIGKILL does: nothing is said, nothing is written any more.
    async fn kill(self) {
        self.hubble.abort();
        self.gathering.abort();
        let _ = (self.hubble.await, self.gathering.await);
    }
}

/// Edges as lines, without what depends on when names were learned.
fn edges_in(folder: &Path) -> Vec<String> {
    let (store, _) = Store::open(folder, Limits::new(TimeDelta::days(35))).expect("opened");
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let page = store.reader().page(None, None, after.as_deref()).expect("readable");
        out.extend(page.edges.iter().map(|(key, edge)| edges::to_line(key, edge)));
        after = page.next;
        if after.is_none() {
            return out;
        }
    }
}

fn flows(lines: &[String]) -> u64 {
    lines.iter().map(|line| edges::from_line(line).expect("an edge").1.flows).sum()
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_killed_and_restarted_has_the_edges_of_one_that_was_not() {
    let (fleet, begun) = (two(1), Instant::now());
    let (whole, broken) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let steady = collect(&fleet, whole.path(), begun);
    let mut other = collect(&fleet, broken.path(), begun);
    for pause in [33, 47, 41] {
        wait(pause).await;
        other.kill().await;
        wait(7).await;
        other = collect(&fleet, broken.path(), begun);
    }
    wait(40).await;
    let (steady, other) = (steady.end().await, other.end().await);
    assert_eq!((&steady.coverage.gaps, &other.coverage.gaps), (&vec![], &vec![]));
    assert!(other.sources[0].repeats > 0, "the overlap was read again: {:?}", other.sources);
    let (whole, broken) = (edges_in(whole.path()), edges_in(broken.path()));
    assert!(flows(&whole) > 300, "{}", flows(&whole));
    let only =
        |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!((only(&whole, &broken), only(&broken, &whole)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn nodes_and_sources_are_in_the_state() {
    let (fleet, begun) = (two(2), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = collect(&fleet, folder.path(), begun);
    wait(15 * 60).await;
    let state = collector.end().await;
    assert_eq!((state.link.clone(), state.sources.len()), (Link::Live, 1));
    let source = &state.sources[0];
    assert_eq!((&source.link, source.nodes_connected, source.malformed), (&Link::Live, Some(3), 0));
    assert!(source.lag.is_some_and(|lag| lag < TimeDelta::seconds(30)), "{:?}", source.lag);
    let window = state.window.expect("something was seen");
    assert!(window.to - window.from > TimeDelta::minutes(14), "{window:?}");
    let credited =
        state.coverage.credited.iter().filter_map(|(node, hours)| Some((node.as_ref()?, hours.len())));
    let credited: Vec<_> = credited.map(|(node, hours)| format!("{node} {hours}")).collect();
    assert!(
        credited.contains(&"worker-1 1".to_owned()) && credited.contains(&"worker-2 1".to_owned()),
        "{credited:?}"
    );
    assert!(
        state.edges.iter().any(|(ns, tally)| ns.as_str() == "shop" && tally.edges > 0),
        "{:?}",
        state.edges
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_relay_loses_is_a_hole_with_its_reason() {
    let (fleet, begun) = (two(3), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = collect(&fleet, folder.path(), begun);
    wait(60).await;
    fleet.fault("east", Fault::LostEvents { count: 7 });
    wait(200).await;
    fleet.heal("east");
    fleet.fault("east", Fault::NodeLost { node: "worker-2".into() });
    wait(400).await;
    let open = collector.state.borrow().coverage.gaps.clone();
    let silent = |why: &str| why.contains("silent") || why.contains("lists this node");
    let of = |hole: &Hole| hole.node.as_ref().is_some_and(|node| node.as_str() == "worker-2");
    assert!(open.iter().any(|hole| of(hole) && silent(hole.why.as_str())), "{open:?}");
    fleet.heal("east");
    wait(120).await;
    let state = collector.end().await;
    let lost: u64 = state.coverage.gaps.iter().filter_map(|hole| hole.lost).sum();
    assert!(lost >= 7, "{:?}", state.coverage.gaps);
}

#[tokio::test(start_paused = true)]
async fn what_nodes_forgot_while_it_was_away_is_a_hole() {
    let (fleet, begun) = (two(4), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = collect(&fleet, folder.path(), begun);
    // A second reader keeps the rings turning.
    let other = tempfile::tempdir().expect("a folder");
    let steady = collect(&fleet, other.path(), begun);
    wait(60).await;
    collector.kill().await;
    wait(3_600).await;
    let collector = collect(&fleet, folder.path(), begun);
    wait(30).await;
    let state = collector.end().await;
    steady.kill().await;
    let away = state.coverage.gaps.iter().find(|hole| hole.why.as_str().contains("was not running"));
    let away = away.unwrap_or_else(|| panic!("{:?}", state.coverage.gaps));
    assert!(away.to - away.from > TimeDelta::minutes(30), "{away:?}");
}
