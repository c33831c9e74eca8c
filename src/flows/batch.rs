//! Collects flows for one fact: drops repeats, makes one of a denied packet's two events, orders by
//! time, and closes at 512 flows or after 100 ms. Its memory is bounded and says how far it reaches.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use chrono::TimeDelta;
use tokio::time::{Duration, Instant};

use crate::domain::{
    flow::{Direction, Flow, FlowId, Protocol, Verdict},
    names::NodeName,
    time::Timestamp,
};

use super::hubble::decode::Event;

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Fresh,
    /// Seen before: a replay.
    Repeat,
    /// The other event of a packet that was already counted.
    Twin,
}

#[derive(Debug, Default)]
pub struct Batch {
    open: Vec<Flow>,
    opened: Option<Instant>,
    memory: Memory,
    twins: Twins,
}

impl Batch {
    pub const FLOWS: usize = 512;
    pub const OPEN: Duration = Duration::from_millis(100);

    pub fn push(&mut self, flow: Flow, event: Event, here: Instant) -> Pushed {
        if !self.memory.note(&flow.id, flow.at) {
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
        self.memory.forgotten_until
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

/// The ids of the newest flows, as hashes: 8 bytes each instead of a text.
#[derive(Debug, Default)]
struct Memory {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<(u64, Timestamp)>,
    /// Newest time among what was forgotten.
    forgotten_until: Option<Timestamp>,
}

impl Memory {
    /// What the ring buffers of 32 nodes hold by default.
    const LEN: usize = 131_072;

    /// False: it is known already.
    fn note(&mut self, id: &FlowId, at: Timestamp) -> bool {
        let hash = self.hasher.hash_one(&id.0);
        if !self.known.insert(hash) {
            return false;
        }
        if self.order.len() == Self::LEN
            && let Some((old, at)) = self.order.pop_front()
        {
            self.known.remove(&old);
            self.forgotten_until = self.forgotten_until.max(Some(at));
        }
        self.order.push_back((hash, at));
        true
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
