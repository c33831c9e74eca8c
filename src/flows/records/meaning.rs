//! What a Hubble flow means: of [`Traits`] all lines of one shape have the same, [`Record`] is what
//! differs between them. The one place where verdicts, drop reasons and replies are judged.
//!
//! What counts, and how often: every forwarded or redirected record is one (a policy verdict, a
//! trace, an L7 request), for an exporter may hold any part of them. So `flows` of a Hubble edge are
//! records, not connections. Drops that no policy caused and events of sockets are only a sign of
//! their node.

use crate::domain::{
    flow::{Direction, Entity, Protocol},
    sighting::{Outcome, Side, Sighting},
    time::Timestamp,
};

use super::{
    hubble_wire::{Flow, Layer4, Ports},
    json::Code,
    twins::Event,
};

/// `event_type.type`.
mod event {
    pub const DROP: u64 = 1;
    pub const TRACE: u64 = 4;
    pub const POLICY_VERDICT: u64 = 5;
    pub const ACCESS_LOG: u64 = 129;
}

/// What a flow says whatever its ends, its time and its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub what: What,
    /// Which of the two events of a denied packet it is.
    pub event: Option<Event>,
    direction: Option<Direction>,
    protocol: Protocol,
    reply: Option<bool>,
    flows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Outcome(Outcome),
    Answer,
    /// Says nothing about a connection.
    Nothing,
}

/// What is left to say of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub at: Timestamp,
    pub node: Option<&'a str>,
    pub source: Side<'a>,
    pub destination: Side<'a>,
    pub source_port: u16,
    pub port: u16,
    pub names: [Option<&'a str>; Sighting::NAMES],
}

impl Traits {
    pub fn of(flow: &Flow<'_>) -> Self {
        let what = what(flow);
        let (protocol, ports) = layer4(&flow.l4);
        let direction = direction(&flow.direction);
        let counted = match direction {
            Some(Direction::Egress) => flow.aggregate.egress.0,
            Some(Direction::Ingress) => flow.aggregate.ingress.0,
            None => None,
        };
        Self {
            what,
            event: twin_event(flow),
            direction,
            protocol,
            reply: reply(flow, what, ports),
            flows: counted.unwrap_or(1).max(1),
        }
    }

    pub fn sighting<'a>(&self, outcome: Outcome, record: Record<'a>) -> Sighting<'a> {
        Sighting {
            at: record.at,
            until: record.at,
            node: record.node,
            direction: self.direction,
            outcome,
            protocol: self.protocol,
            source: record.source,
            destination: record.destination,
            source_port: record.source_port,
            port: record.port,
            reply: self.reply,
            flows: self.flows,
            names: record.names,
        }
    }
}

fn what(flow: &Flow<'_>) -> What {
    let event = flow.event.kind.0;
    let Some(seen) = verdict(&flow.verdict) else { return What::Nothing };
    if let Some(l7) = &flow.l7
        && l7.dns.is_some()
        && is(&l7.kind, 2, "RESPONSE")
    {
        return if seen == Seen::Passed { What::Answer } else { What::Nothing };
    }
    let outcome = match (event, seen) {
        (None | Some(event::TRACE | event::POLICY_VERDICT | event::ACCESS_LOG), Seen::Passed) => {
            Outcome::Allowed
        }
        (Some(event::ACCESS_LOG), Seen::Dropped) => Outcome::Denied,
        (None | Some(event::DROP | event::POLICY_VERDICT), Seen::Dropped) if by_policy(flow) => {
            Outcome::Denied
        }
        (None | Some(event::POLICY_VERDICT), Seen::Audit) => Outcome::Audit,
        _ => return What::Nothing,
    };
    What::Outcome(outcome)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Passed,
    Dropped,
    Audit,
}

/// `None` for what is no verdict on a connection: errors, socket events (TRACED, TRANSLATED), and
/// words newer than this reader.
fn verdict(code: &Code<'_>) -> Option<Seen> {
    match code {
        Code::Number(1 | 5) => Some(Seen::Passed),
        Code::Number(2) => Some(Seen::Dropped),
        Code::Number(4) => Some(Seen::Audit),
        Code::Name(name) => match name.as_str() {
            "FORWARDED" | "REDIRECTED" => Some(Seen::Passed),
            "DROPPED" => Some(Seen::Dropped),
            "AUDIT" => Some(Seen::Audit),
            _ => None,
        },
        Code::Number(_) | Code::Absent => None,
    }
}

/// Only three drop reasons are a policy's outcome; a policy verdict without a reason is one too.
fn by_policy(flow: &Flow<'_>) -> bool {
    let said = match &flow.reason {
        Code::Name(name) => match name.as_str() {
            "POLICY_DENIED" | "POLICY_DENY" | "AUTH_REQUIRED" => return true,
            "DROP_REASON_UNKNOWN" | "" => 0,
            _ => return false,
        },
        Code::Number(number) => *number,
        Code::Absent => 0,
    };
    match (said, flow.event.kind.0) {
        (0, Some(event::DROP)) => matches!(flow.event.sub.0, Some(133 | 181 | 189)),
        (0, Some(event::POLICY_VERDICT)) => true,
        (number, _) => matches!(number, 133 | 181 | 189),
    }
}

fn twin_event(flow: &Flow<'_>) -> Option<Event> {
    match flow.event.kind.0 {
        Some(event::DROP) => Some(Event::Drop),
        Some(event::POLICY_VERDICT) => Some(Event::Verdict),
        _ => None,
    }
}

fn direction(code: &Code<'_>) -> Option<Direction> {
    if is(code, 1, "INGRESS") {
        Some(Direction::Ingress)
    } else if is(code, 2, "EGRESS") {
        Some(Direction::Egress)
    } else {
        None
    }
}

pub(super) fn layer4<'a>(l4: &'a Layer4<'_>) -> (Protocol, Option<&'a Ports<'a>>) {
    match (&l4.tcp, &l4.udp, &l4.sctp, l4.icmp) {
        (Some(tcp), ..) => (Protocol::Tcp, Some(tcp)),
        (_, Some(udp), ..) => (Protocol::Udp, Some(udp)),
        (_, _, Some(sctp), _) => (Protocol::Sctp, Some(sctp)),
        (_, _, _, Some(_)) => (Protocol::Icmp, None),
        (None, None, None, None) => (Protocol::Unknown, None),
    }
}

/// Said by `is_reply`; by older agents only where it is true; else by how TCP opens a connection;
/// else by what is judged: policies judge what conntrack takes for the first packet of a connection,
/// and Hubble's own filter takes a drop of unknown kind for no reply. TCP in mid-stream stays unknown.
fn reply(flow: &Flow<'_>, what: What, ports: Option<&Ports<'_>>) -> Option<bool> {
    if flow.reply.0.is_some() {
        return flow.reply.0;
    }
    if flow.legacy_reply.0 == Some(true) {
        return Some(true);
    }
    if let Some(l7) = &flow.l7 {
        return is(&l7.kind, 1, "REQUEST").then_some(false).or(is(&l7.kind, 2, "RESPONSE").then_some(true));
    }
    if let Some(flags) = ports.and_then(|ports| ports.flags.as_ref()) {
        let (syn, ack) = (flags.syn.0 == Some(true), flags.ack.0 == Some(true));
        return syn.then_some(ack);
    }
    let judged = flow.event.kind.0 == Some(event::POLICY_VERDICT) || what != What::Outcome(Outcome::Allowed);
    judged.then_some(false)
}

/// Reserved identities. `init` (5) is a pod that has no labels yet: it has no word of its own.
pub(super) fn entity(identity: Option<u64>) -> Option<Entity> {
    match identity? {
        1 => Some(Entity::Host),
        2 | 9 | 10 => Some(Entity::World),
        3 => Some(Entity::Unmanaged),
        4 => Some(Entity::Health),
        6 => Some(Entity::RemoteNode),
        7 => Some(Entity::KubeApiserver),
        8 => Some(Entity::Ingress),
        _ => None,
    }
}

pub(super) fn is(code: &Code<'_>, number: u64, name: &str) -> bool {
    match code {
        Code::Absent => false,
        Code::Number(said) => *said == number,
        Code::Name(said) => said.as_str() == name,
    }
}
