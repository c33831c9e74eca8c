//! The agents of one cluster's nodes: each keeps the last events of its node in a ring and forgets
//! the oldest. Traffic is made here, as far as somebody asks. Never looks at a clock.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::sim::fleet::{
    event::{Event, Packet, Place, What},
    plan::{Plan, Protocol},
    traffic::{HISTORY, SECOND, Traffic},
    verdict::View,
};

/// Events a node keeps, as `hubble-event-buffer-capacity` is by default.
pub const RING: usize = 4095;

pub struct Agents {
    traffic: Traffic,
    rings: Vec<Ring>,
    started: i64,
    /// Nodes whose flows no longer reach the relay.
    silent: BTreeSet<usize>,
    lost_per_minute: u64,
    next_loss: i64,
}

/// The last events of one node. The first slot is event number `first` since the agent's start.
#[derive(Default)]
pub struct Ring {
    first: u64,
    slots: VecDeque<Event>,
}

impl Ring {
    /// The number of the oldest event that is still there.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next event will have.
    pub fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub fn get(&self, number: u64) -> Option<&Event> {
        self.slots.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, event: Event) {
        if self.slots.len() == RING {
            self.slots.pop_front();
            self.first += 1;
        }
        self.slots.push_back(event);
    }
}

impl Agents {
    /// Agents that have run for a minute.
    pub fn new(plan: Arc<Plan>, view: View, now: i64, rate: f64) -> Self {
        let rings = plan.nodes.iter().map(|_| Ring::default()).collect();
        let traffic = Traffic::new(plan, view, now - HISTORY, rate);
        Self {
            traffic,
            rings,
            started: now - HISTORY,
            silent: BTreeSet::new(),
            lost_per_minute: 0,
            next_loss: now,
        }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        self.traffic.plan()
    }

    pub fn started(&self) -> i64 {
        self.started
    }

    pub fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    /// When the next event is due.
    pub fn next(&self) -> Option<i64> {
        self.traffic.next()
    }

    /// Makes what happened up to now; `whole` says that somebody has been watching all along.
    pub fn advance(&mut self, now: i64, whole: bool) {
        let rings = &mut self.rings;
        self.traffic.run_until(now, whole, &mut |node, event| rings[node].push(event));
        if self.lost_per_minute == 0 {
            self.next_loss = now;
        }
        while self.next_loss < now {
            self.lose(self.next_loss);
            self.next_loss = (self.next_loss + 60 * SECOND).max(now - HISTORY);
        }
    }

    /// Policies or labels changed at `now`.
    pub fn set_view(&mut self, view: View, now: i64) {
        self.advance(now, false);
        self.traffic.set_view(view);
    }

    /// The relay no longer hears of these nodes, by name; it heard of the others all along.
    pub fn silence(&mut self, nodes: &[&str]) {
        let plan = self.plan().clone();
        let is_silent = |node: &usize| nodes.contains(&plan.nodes[*node].name.as_str());
        self.silent = (0..plan.nodes.len()).filter(is_silent).collect();
    }

    pub fn lose_per_minute(&mut self, count: u64) {
        self.lost_per_minute = count;
    }

    /// The rings that the relay reads, with the node's place in the plan.
    pub fn heard(&self) -> impl Iterator<Item = (usize, &Ring)> {
        self.rings.iter().enumerate().filter(|(node, _)| !self.silent.contains(node))
    }

    pub fn ring(&self, node: usize) -> &Ring {
        &self.rings[node]
    }

    fn lose(&mut self, at: i64) {
        let nowhere = Place::Node(0);
        let packet =
            Packet { source: nowhere, target: nowhere, source_port: 0, port: 0, protocol: Protocol::Tcp };
        for ring in &mut self.rings {
            ring.push(Event { at, what: What::Lost { count: self.lost_per_minute }, packet });
        }
    }
}
