//! Following a relay that breaks, repeats, reorders, forgets and loses nodes in silence: nothing is
//! lost that is not shown, and nothing is counted twice. Under a paused clock, but for `dial`.

mod dial;
mod fleet;
mod inside;
mod relay;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use relay::{Relay, START, answer, wire_time};
use sluice::{
    cockpit::ports::{ClusterFact, Fact, Gap, Link},
    domain::names::{ClusterName, NsName},
    flows::{hubble, source::Dial},
    pb::{flow as pb, observer::get_flows_response::ResponseTypes, relay::NodeState},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, sleep},
};

/// A follower at work, and what it told.
struct Told {
    facts: Arc<Mutex<Vec<Fact>>>,
    wanted: watch::Sender<Vec<NsName>>,
    task: JoinHandle<()>,
    reader: JoinHandle<()>,
}

fn follow(relay: &Relay) -> Told {
    follow_by(relay.dial())
}

fn follow_by(dial: Dial) -> Told {
    let (sender, mut receiver) = mpsc::channel(64);
    let (wanted, wanting) = watch::channel(Vec::new());
    let cluster = ClusterName::parse("east").expect("a name");
    let task = tokio::spawn(hubble::run(cluster, dial, wanting, sender));
    let facts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&facts);
    let reader = tokio::spawn(async move {
        while let Some(fact) = receiver.recv().await {
            kept.lock().expect("no panic").push(fact);
        }
    });
    Told { facts, wanted, task, reader }
}

impl Told {
    fn all<T>(&self, pick: impl Fn(&ClusterFact) -> Option<T>) -> Vec<T> {
        let facts = self.facts.lock().expect("no panic");
        let of = |fact: &Fact| match fact {
            Fact::Cluster(_, fact) => pick(fact),
            _ => None,
        };
        facts.iter().filter_map(of).collect()
    }

    fn flows(&self) -> Vec<String> {
        let batches = self.all(|fact| match fact {
            ClusterFact::Flows(flows) => Some(flows.clone()),
            _ => None,
        });
        batches.into_iter().flatten().map(|flow| flow.id.0.to_string()).collect()
    }

    /// Gaps as they stand: a closing replaces the opening.
    fn gaps(&self) -> Vec<String> {
        let told = self.all(|fact| match fact {
            ClusterFact::Gap(gap) => Some(gap.clone()),
            _ => None,
        });
        let mut gaps: Vec<Gap> = Vec::new();
        for gap in told {
            match gaps.iter_mut().find(|g| g.until.is_none() && g.node == gap.node && g.from == gap.from) {
                Some(open) => *open = gap,
                None => gaps.push(gap),
            }
        }
        gaps.iter().map(gap_text).collect()
    }

    /// Until when a node was heard, in seconds since the start.
    fn heard(&self, node: &str) -> Vec<i64> {
        self.all(|fact| match fact {
            ClusterFact::Heard { node: name, until, .. } if name.as_str() == node => {
                Some(since_start(*until))
            }
            _ => None,
        })
    }

    fn last_state(&self) -> sluice::cockpit::ports::SourceState {
        let states = self.all(|fact| match fact {
            ClusterFact::Source(state) => Some(state.clone()),
            _ => None,
        });
        states.last().expect("a state").clone()
    }
}

fn gap_text(gap: &Gap) -> String {
    let node = gap.node.as_ref().map_or("all", |node| node.as_str());
    let until = gap.until.map_or("open".into(), |until| since_start(until).to_string());
    let lost = gap.lost.map_or(String::new(), |lost| format!(" lost {lost}"));
    format!("{node} {}..{until}{lost}: {}", since_start(gap.from), gap.why)
}

fn since_start(at: DateTime<Utc>) -> i64 {
    (at - START.parse::<DateTime<Utc>>().expect("a time")).num_seconds()
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_resumed_without_loss_or_repeat() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(10).await;
    relay.deny("w1", "a", 0);
    wait(40).await;
    relay.deny("w1", "b", 0);
    wait(1).await;
    relay.break_streams();
    relay.deny("w1", "c", 0);
    wait(10).await;
    relay.deny("w1", "d", 0);
    wait(2).await;
    assert_eq!(told.flows(), ["a", "b", "c", "d"]);
    assert_eq!(
        told.gaps(),
        ["all 50..50: no connection: the relay is shutting down; read again from history"]
    );
    let state = told.last_state();
    assert_eq!((state.link, state.malformed), (Link::Live, 0));
    assert!(state.repeats >= 1, "the overlap was read twice and counted once");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_dialled_again_with_growing_pauses() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(40).await;
    relay.deny("w1", "a", 0);
    wait(1).await;
    relay.set_away(true);
    relay.cut();
    relay.deny("w1", "b", 0);
    wait(60).await;
    assert!(
        matches!(told.last_state().link, Link::Broken(trouble) if trouble.fact.as_str() == "connection refused")
    );
    assert_eq!(told.gaps().len(), 1, "{:?}", told.gaps());
    assert!(told.gaps()[0].contains("..open"), "{:?}", told.gaps());
    assert!((5..=8).contains(&relay.dials()), "{} dials: 1, 2, 4, 8, 16, 30 s", relay.dials());
    relay.set_away(false);
    wait(30).await;
    assert_eq!(told.flows(), ["a", "b"]);
    assert_eq!(told.last_state().link, Link::Live);
    assert!(told.gaps()[0].ends_with("read again from history"), "{:?}", told.gaps());
}

#[tokio::test(start_paused = true)]
async fn history_that_does_not_reach_back_is_a_gap_of_its_node() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(40).await;
    relay.deny("w1", "a", 0);
    relay.deny("w2", "b", 0);
    wait(25).await;
    relay.set_away(true);
    relay.cut();
    relay.deny("w1", "overwritten", 0);
    relay.other_traffic("w1", 1_000);
    wait(5).await;
    relay.set_away(false);
    wait(10).await;
    assert_eq!(told.flows(), ["a", "b"]);
    let gaps = told.gaps();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[0].starts_with("all "), "{gaps:?}");
    assert!(gaps[1].starts_with("w1 40..7"), "{gaps:?}");
    assert!(gaps[1].ends_with("the node's history does not reach back to where reading stopped"), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn what_happened_before_we_came_is_shown_and_proves_nothing() {
    let relay = Relay::new(&["w1"]);
    relay.deny("w1", "old", 7_200_000);
    let told = follow(&relay);
    wait(50).await;
    relay.break_streams();
    wait(10).await;
    assert_eq!(told.flows(), ["old"]);
    assert_eq!(told.heard("w1"), Vec::<i64>::new());
    let gaps = told.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].starts_with("all ") && gaps[0].ends_with("read again from history"), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn repeats_and_disorder_are_taken_out() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(5).await;
    let late = relay.deny("w1", "c", 100);
    relay.deny("w2", "a", 300);
    relay.deny("w1", "b", 200);
    for _ in 0..3 {
        relay.send(&answer(ResponseTypes::Flow(late.clone()), "w1", relay.now()));
    }
    wait(2).await;
    assert_eq!(told.flows(), ["a", "b", "c"]);
    assert_eq!(told.last_state().repeats, 3);
}

#[tokio::test(start_paused = true)]
async fn a_node_lost_in_silence_is_never_heard_and_becomes_a_gap() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(10).await;
    relay.deny("w2", "a", 0);
    wait(5).await;
    let now = relay.now();
    relay.ring("w2", |ring| {
        ring.lost = true;
        ring.frozen = Some((ring.seen, (now - ring.born).num_nanoseconds().expect("in range")));
    });
    for minute in 0..4 {
        relay.deny("w1", &format!("w1-{minute}"), 0);
        wait(60).await;
    }
    assert_eq!(told.heard("w2"), [10], "no event and no counter: no sign, whatever the relay lists");
    assert!(told.heard("w1").last() > Some(&180));
    assert_eq!(told.gaps(), ["w2 10..open: node w2 is silent though the relay lists it as connected"]);
    // The relay finds the node again; its ring kept what happened meanwhile.
    relay.deny("w2", "b", 0);
    relay.ring("w2", |ring| {
        ring.lost = false;
        ring.frozen = None;
    });
    wait(60).await;
    assert_eq!(told.flows().iter().filter(|id| !id.starts_with("w1")).collect::<Vec<_>>(), ["a", "b"]);
    let gaps = told.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].ends_with("read again from history, nothing is missing"), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_missing_from_the_stream_alone_is_read_again() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(10).await;
    relay.deny("w2", "a", 0);
    wait(1).await;
    relay.ring("w2", |ring| ring.lost = true);
    for n in 0..10 {
        wait(20).await;
        relay.deny("w1", &format!("w1-{n}"), 0);
        relay.deny("w2", &format!("w2-{n}"), 0);
    }
    wait(60).await;
    let mut flows = told.flows();
    flows.sort();
    flows.dedup();
    assert_eq!((flows.len(), told.flows().len()), (21, 21), "{:?}", told.flows());
    assert_eq!(told.gaps(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_node_is_heard_by_its_counter_and_a_whole_re_read() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    for _ in 0..10 {
        wait(20).await;
        relay.other_traffic("w1", 5);
    }
    let heard = told.heard("w1");
    assert!(heard.len() >= 4 && heard.last() > Some(&150), "{heard:?}");
    assert_eq!(told.gaps(), Vec::<String>::new());
    let again: Vec<_> = relay.requests().into_iter().filter(|request| !request.follow).collect();
    assert!(again.iter().all(|request| request.whitelist.iter().all(|f| f.node_name == ["w1"])));
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_whose_counter_stands_still_is_not_heard() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(300).await;
    assert_eq!(told.heard("w1"), Vec::<i64>::new());
    assert_eq!(told.gaps(), ["w1 0..open: node w1 is silent though the relay lists it as connected"]);
}

#[tokio::test(start_paused = true)]
async fn losses_and_broken_nodes_are_gaps_at_once() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(10).await;
    relay.deny("w1", "a", 0);
    wait(5).await;
    let lost = pb::LostEvent { source: 3, num_events_lost: 128, ..pb::LostEvent::default() };
    relay.send(&answer(ResponseTypes::LostEvents(lost), "w1", relay.now()));
    relay.say(NodeState::NodeError, "w1", "EOF");
    relay.say(NodeState::NodeError, "w1", "EOF");
    wait(1).await;
    let ring = "this reader was slower than the node's ring buffer";
    let broke = "the relay's stream from this node broke: EOF";
    assert_eq!(told.gaps(), [format!("w1 10..15 lost 128: {ring}"), format!("w1 10..open: {broke}")]);
    wait(4).await;
    relay.deny("w1", "b", 0);
    wait(1).await;
    assert_eq!(told.gaps()[1], format!("w1 10..20: {broke}"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_forgets_and_that_is_a_gap() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(40).await;
    relay.deny("w1", "a", 0);
    wait(10).await;
    relay.ring("w1", |ring| ring.seen = 3);
    let born = relay.now();
    relay.ring("w1", |ring| ring.born = born);
    wait(40).await;
    assert_eq!(told.gaps(), ["w1 40..50: the agent on this node restarted and forgot what was not read"]);
}

#[tokio::test(start_paused = true)]
async fn wanted_namespaces_are_asked_for_and_others_stay_out() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(5).await;
    told.wanted.send(vec![NsName::parse("shop").expect("a name")]).expect("it listens");
    wait(1).await;
    let last = relay.requests().last().expect("a request").clone();
    let pods: Vec<_> =
        last.whitelist.iter().map(|f| (f.source_pod.clone(), f.destination_pod.clone())).collect();
    assert_eq!(pods[2..], [(vec!["shop/".to_owned()], vec![]), (vec![], vec!["shop/".to_owned()])]);
    assert!(last.since.is_some() && last.follow);
    for (uuid, ns) in [("mine", "shop"), ("other", "elsewhere")] {
        let mut flow = relay::denied("w1", uuid, relay.now());
        flow.verdict = pb::Verdict::Forwarded as i32;
        flow.source.get_or_insert_default().namespace = ns.into();
        relay.send(&answer(ResponseTypes::Flow(flow), "w1", relay.now()));
    }
    wait(1).await;
    assert_eq!(told.flows(), ["mine"], "a server that widens the answer is checked");
}

#[tokio::test(start_paused = true)]
async fn an_old_server_that_refuses_the_mask_is_asked_for_less() {
    let relay = Relay::new(&["w1"]);
    relay.set_old();
    let told = follow(&relay);
    wait(2).await;
    relay.deny("w1", "a", 0);
    wait(1).await;
    assert_eq!(told.flows(), ["a"]);
    assert_eq!(relay.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_are_counted_told_once_and_the_stream_goes_on() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(2).await;
    for n in 0..5 {
        let mut flow = relay::denied("w1", &format!("bad{n}"), relay.now());
        flow.traffic_direction = 0;
        relay.send(&answer(ResponseTypes::Flow(flow), "w1", relay.now()));
    }
    relay.deny("w1", "a", 0);
    wait(2).await;
    assert_eq!((told.flows(), told.last_state().malformed), (vec!["a".to_owned()], 5));
    let facts = told.facts.lock().expect("no panic");
    assert_eq!(facts.iter().filter(|fact| matches!(fact, Fact::Notice(_))).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_a_trouble_with_a_next_step() {
    let relay = Relay::new(&["w1"]);
    relay.set_mute();
    let told = follow(&relay);
    wait(15).await;
    let Link::Broken(trouble) = told.last_state().link else { panic!("{:?}", told.last_state()) };
    assert_eq!(trouble.object.as_str(), "Hubble Relay of east");
    assert!(!trouble.next.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_figures_say_lag_history_and_nodes() {
    let relay = Relay::new(&["w1", "w2"]);
    let told = follow(&relay);
    wait(40).await;
    relay.deny("w1", "a", 1_500);
    wait(2).await;
    let state = told.last_state();
    assert_eq!(state.name.as_str(), "Hubble Relay v1.19.4");
    assert_eq!((state.nodes_connected, state.nodes_unavailable), (Some(2), Some(0)));
    assert_eq!(state.lag.map(|lag| lag.num_milliseconds() / 100), Some(16), "1.5 s and a batch");
    let depth = state.history_from.map(since_start);
    assert!((-200..-160).contains(&depth.expect("known")), "100 flows at 0.5 a second: {depth:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_reopened_each_hour_with_overlap() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    for n in 0..130 {
        relay.deny("w1", &format!("{n}"), 0);
        wait(30).await;
    }
    let following: Vec<_> = relay.requests().into_iter().filter(|request| request.follow).collect();
    assert_eq!(following.len(), 2);
    let since = following[1].since.expect("resumed");
    let hour = wire_time(START.parse().expect("a time")).seconds + 3_600;
    assert!((hour - 60..hour).contains(&since.seconds), "{}", since.seconds - hour);
    assert_eq!(told.flows().len(), 130);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_nobody_listens() {
    let relay = Relay::new(&["w1"]);
    let told = follow(&relay);
    wait(2).await;
    told.reader.abort();
    wait(1).await;
    told.task.await.expect("it ended by itself");
}
