//! Collects flows for one fact: drops repeats, makes one of a denied packet's two events, orders by
//! time, and closes at 512 flows or after 100 ms. Its memory is bounded and says how far it reaches.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use chrono::TimeDelta;
use tokio::time::{Duration, Instant};

use crate::domain::{
    flow::{Direction, Flow, Protocol, Verdict},
    names::NodeName,
    time::Timestamp,
};

use super::{hubble::decode::Event, memory::Memory};

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Fresh,
    /// Seen before: a replay.
    Repeat,
    /// The other event of a packet that was already counted.
    Twin,
}

#[derive(Debug)]
pub struct Batch {
    open: Vec<Flow>,
    opened: Option<Instant>,
    memory: Memory,
    twins: Twins,
}

impl Default for Batch {
    fn default() -> Self {
        let memory = Memory::new(Self::REMEMBERED);
        Self { open: Vec::new(), opened: None, memory, twins: Twins::default() }
    }
}

impl Batch {
    /// What the ring buffers of 32 nodes hold by default.
    const REMEMBERED: usize = 131_072;
    pub const FLOWS: usize = 512;
    pub const OPEN: Duration = Duration::from_millis(100);

    pub fn push(&mut self, flow: Flow, event: Event, here: Instant) -> Pushed {
        if !self.memory.note(Memory::hash(&flow.id), flow.at) {
            return Pushed::Repeat;
        }
        if matches!(flow.verdict, Verdict::Denied { .. }) && self.twins.pair(&flow, event) {
            self.prefer_verdict(flow, event);
            return Pushed::Twin;
        }
        self.opened.get_or_insert(here);
        self.open.push(flow);
        Pushed::Fresh
    }

    /// The same for a source that tells each thing once: there are no twins to look for.
    pub fn push_alone(&mut self, flow: Flow, here: Instant) -> Pushed {
        self.push(flow, Event::AccessLog, here)
    }

    pub fn is_full(&self) -> bool {
        self.open.len() >= Self::FLOWS
    }

    /// When the open batch is due; `None` while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + Self::OPEN)
    }

    /// The flows in the order they should be read.
    pub fn close(&mut self) -> Vec<Flow> {
        self.opened = None;
        let mut flows = std::mem::take(&mut self.open);
        flows.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        flows
    }

    /// Reading again from before this moment could count something twice.
    pub fn remembers_since(&self) -> Option<Timestamp> {
        self.memory.forgotten_until()
    }

    /// The policy verdict names policies where the drop cannot: it takes the drop's place while
    /// that is still here.
    fn prefer_verdict(&mut self, flow: Flow, event: Event) {
        if event != Event::PolicyVerdict {
            return;
        }
        let key = TwinKey::of(&flow);
        if let Some(drop) = self.open.iter_mut().rev().find(|open| TwinKey::of(open) == key) {
            *drop = flow;
        }
    }
}

/// One packet, as both of its events describe it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TwinKey {
    node: Option<NodeName>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: (u16, u16),
    protocol: Protocol,
    direction: Direction,
}

impl TwinKey {
    fn of(flow: &Flow) -> Self {
        Self {
            node: flow.node.clone(),
            source: flow.source.address,
            destination: flow.destination.address,
            ports: (flow.source_port, flow.port),
            protocol: flow.protocol,
            direction: flow.direction,
        }
    }
}

/// Events that still wait for the other one of their packet.
#[derive(Debug, Default)]
struct Twins {
    waiting: HashMap<TwinKey, Waiting>,
    order: VecDeque<TwinKey>,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    /// Times of packets whose other event has not come, oldest first.
    times: VecDeque<Timestamp>,
}

impl Twins {
    const KEYS: usize = 4_096;
    const TIMES: usize = 16;
    const APART: TimeDelta = TimeDelta::seconds(1);

    /// True: the other event of this packet was counted already.
    fn pair(&mut self, flow: &Flow, event: Event) -> bool {
        if event == Event::AccessLog {
            return false;
        }
        let key = TwinKey::of(flow);
        let Some(waiting) = self.waiting.get_mut(&key) else {
            self.wait(key, event, flow.at);
            return false;
        };
        if waiting.event != event
            && let Some(place) = waiting.times.iter().position(|at| (flow.at - *at).abs() <= Self::APART)
        {
            waiting.times.remove(place);
            return true;
        }
        if waiting.event != event {
            waiting.times.clear();
            waiting.event = event;
        }
        if waiting.times.len() == Self::TIMES {
            waiting.times.pop_front();
        }
        waiting.times.push_back(flow.at);
        false
    }

    fn wait(&mut self, key: TwinKey, event: Event, at: Timestamp) {
        if self.order.len() == Self::KEYS
            && let Some(old) = self.order.pop_front()
        {
            self.waiting.remove(&old);
        }
        self.order.push_back(key.clone());
        self.waiting.insert(key, Waiting { event, times: VecDeque::from([at]) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        flow::{End, FlowId},
        names::Text,
    };

    /// `id time verdict source_port`, for instance `a 0.5 drop 4000`.
    fn flow(line: &str) -> (Flow, Event) {
        let parts: Vec<_> = line.split(' ').collect();
        let millis = (parts[1].parse::<f64>().expect("seconds") * 1_000.0) as i64;
        let (event, verdict) = match parts[2] {
            "drop" => (Event::Drop, denied("POLICY_DENIED")),
            "verdict" => (Event::PolicyVerdict, denied("named")),
            "l7" => (Event::AccessLog, denied("L7 rule")),
            "allowed" => (Event::PolicyVerdict, Verdict::Allowed { by: Vec::new() }),
            other => panic!("{other}"),
        };
        let end = |ip: &str| End { address: ip.parse().ok(), ..End::default() };
        let flow = Flow {
            id: FlowId(parts[0].into()),
            at: Timestamp::from_timestamp_millis(1_000_000 + millis).expect("in range"),
            node: NodeName::parse("w").ok(),
            direction: Direction::Egress,
            verdict,
            source: end("10.0.0.1"),
            destination: end("10.0.0.2"),
            protocol: Protocol::Tcp,
            source_port: parts[3].parse().expect("a port"),
            port: 443,
            reply: None,
            closing: false,
        };
        (flow, event)
    }

    fn denied(said: &str) -> Verdict {
        Verdict::Denied { said: Text::new(said), by: Vec::new() }
    }

    fn read(lines: &[&str]) -> (Vec<Pushed>, Vec<String>) {
        let mut batch = Batch::default();
        let here = Instant::now();
        let pushed = lines.iter().map(|line| {
            let (flow, event) = flow(line);
            batch.push(flow, event, here)
        });
        let pushed = pushed.collect();
        let flows = batch.close().into_iter().map(|flow| match flow.verdict {
            Verdict::Denied { said, .. } => format!("{} {said}", flow.id.0),
            Verdict::Allowed { .. } | Verdict::Audit { .. } => flow.id.0.to_string(),
        });
        (pushed, flows.collect())
    }

    #[test]
    fn repeats_are_dropped_and_time_orders() {
        let (pushed, flows) = read(&["b 0.9 verdict 1", "a 0.2 verdict 2", "b 0.9 verdict 1", "c 0.5 l7 3"]);
        assert_eq!(pushed, [Pushed::Fresh, Pushed::Fresh, Pushed::Repeat, Pushed::Fresh]);
        assert_eq!(flows, ["a named", "c L7 rule", "b named"]);
    }

    #[test]
    fn two_events_of_one_packet_are_one_denial() {
        let (pushed, flows) = read(&["a 0.0 verdict 1", "b 0.1 drop 1"]);
        assert_eq!((pushed[1], flows), (Pushed::Twin, vec!["a named".to_owned()]));
        let (pushed, flows) = read(&["b 0.0 drop 1", "a 0.1 verdict 1"]);
        assert_eq!((pushed[1], flows), (Pushed::Twin, vec!["a named".to_owned()]), "the verdict says more");
    }

    #[test]
    fn a_retry_is_another_packet() {
        let lines = ["a 0.0 verdict 1", "b 0.1 drop 1", "c 0.3 verdict 1", "d 0.4 drop 1", "e 0.5 drop 1"];
        assert_eq!(read(&lines).1, ["a named", "c named", "e POLICY_DENIED"]);
    }

    #[test]
    fn what_differs_in_port_or_by_more_than_a_second_is_not_one() {
        assert_eq!(read(&["a 0.0 verdict 1", "b 0.0 drop 2"]).1.len(), 2);
        assert_eq!(read(&["a 0.0 verdict 1", "b 1.1 drop 1"]).1.len(), 2);
        assert_eq!(read(&["a 0.0 allowed 1", "b 0.1 drop 1"]).1.len(), 2, "allowed is no half of a denial");
        assert_eq!(read(&["a 0.0 l7 1", "b 0.1 drop 1"]).1.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_after_a_tenth_of_a_second_or_when_full() {
        let mut batch = Batch::default();
        assert_eq!(batch.due(), None);
        let first = Instant::now();
        for n in 0..Batch::FLOWS {
            assert!(!batch.is_full());
            let (flow, event) = flow(&format!("{n} 0.0 verdict 1"));
            batch.push(flow, event, Instant::now());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(batch.due(), Some(first + Duration::from_millis(100)));
        assert!(batch.is_full());
        assert_eq!(batch.close().len(), Batch::FLOWS);
        assert_eq!(batch.due(), None);
    }

    #[test]
    fn packets_that_wait_for_their_other_event_are_bounded() {
        let mut twins = Twins::default();
        for port in 1..=10_000 {
            let (flow, event) = flow(&format!("{port} 0.0 verdict {port}"));
            assert!(!twins.pair(&flow, event));
        }
        assert_eq!((twins.waiting.len(), twins.order.len()), (Twins::KEYS, Twins::KEYS));
        for n in 0..100 {
            let (flow, event) = flow(&format!("x{n} 0.0 verdict 10000"));
            twins.pair(&flow, event);
        }
        assert!(twins.waiting.values().all(|waiting| waiting.times.len() <= Twins::TIMES));
    }
}
