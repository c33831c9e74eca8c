//! What a node's agent saw, in a few words: one packet or decision, by indices into the plan. Kept
//! in the rings by the thousand; `flows` spells one out when somebody wants it. Holds no text of its own.

use std::sync::Arc;

use crate::{
    pb::flow::Flow,
    sim::fleet::{plan::Protocol, verdict::Ruling},
};

#[derive(Clone, Debug)]
pub struct Event {
    /// Nanoseconds since 1970, scenario time.
    pub at: i64,
    pub what: What,
    pub packet: Packet,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A policy was asked about a first packet (event type 5).
    Verdict { direction: Direction, ruling: Arc<Ruling>, outcome: Outcome },
    /// The packet was thrown away (event type 1), for one of Cilium's reasons.
    Drop { direction: Direction, reason: u16 },
    /// The packet went by (event type 4).
    Trace { direction: Direction, reply: bool },
    /// A DNS question or its answer as the agent's proxy saw it (event type 129).
    Dns { answer: bool, external: usize },
    /// The agent lost this many events.
    Lost { count: u64 },
    /// What a pod did that is not in the plan, spelled out already.
    Guest(Arc<Flow>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Dropped,
    /// It would have been dropped, but the agent only audits.
    Audited,
}

/// Drop reason: no rule allows it.
pub const POLICY_DENIED: u16 = 133;
/// Drop reason: the address is no longer anybody's. No policy is to blame.
pub const STALE_ADDRESS: u16 = 151;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Egress,
    Ingress,
}

/// From where to where. For `What::Lost` and `What::Guest` it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub source: Place,
    pub target: Place,
    pub source_port: u16,
    pub port: u16,
    pub protocol: Protocol,
}

/// One end of a packet: indices into the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Pod(usize),
    Node(usize),
    External { external: usize, address: usize },
}
