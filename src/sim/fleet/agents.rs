//! The agents of one cluster's nodes: each keeps the last events of its node in a ring and forgets
//! the oldest. Traffic is made here, as far as somebody asks. Never looks at a clock.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    pb::flow::Flow,
    sim::fleet::{
        event::{Event, Packet, Place, What},
        manners::Troubles,
        plan::{Plan, Protocol},
        traffic::{HISTORY, SECOND, Traffic},
        verdict::View,
    },
};

/// Events a node keeps, as `hubble-event-buffer-capacity` is by default.
pub const RING: usize = 4095;

pub struct Agents {
    traffic: Traffic,
    rings: Vec<Ring>,
    started: i64,
    troubles: Troubles,
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
        Self { traffic, rings, started: now - HISTORY, troubles: Troubles::default(), next_loss: now }
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
        if self.troubles.lost_per_minute == 0 {
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

    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    pub fn set_troubles(&mut self, troubles: Troubles) {
        self.troubles = troubles;
    }

    /// The rings that the relay reads, with the node's place in the plan.
    pub fn heard(&self) -> impl Iterator<Item = (usize, &Ring)> {
        self.rings.iter().enumerate().filter(|(node, _)| self.troubles.hears(*node))
    }

    pub fn ring(&self, node: usize) -> &Ring {
        &self.rings[node]
    }

    /// A pod that is not in the plan did something at `at`, as this node's agent saw it.
    pub fn tell(&mut self, node: usize, at: i64, flow: Flow) {
        self.advance(at, false);
        self.rings[node].push(Event { at, what: What::Guest(Arc::new(flow)), packet: NOWHERE });
    }

    fn lose(&mut self, at: i64) {
        for ring in &mut self.rings {
            let what = What::Lost { count: self.troubles.lost_per_minute };
            ring.push(Event { at, what, packet: NOWHERE });
        }
    }
}

const NOWHERE: Packet = Packet {
    source: Place::Node(0),
    target: Place::Node(0),
    source_port: 0,
    port: 0,
    protocol: Protocol::Tcp,
};
