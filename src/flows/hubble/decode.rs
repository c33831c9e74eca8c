//! One GetFlowsResponse of Hubble into what sluice understands: a flow, a word about nodes, a loss.
//!
//! Pure and total: any bytes give an answer. What makes a message useless is `Malformed`; what only
//! spoils a detail is a `flaw` beside the flow, so that a denial never disappears over a label.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta};
use compact_str::{CompactString, format_compact};

use crate::{
    domain::{
        flow::{Direction, End, Entity, Flow, FlowId, PolicyRef, Protocol, Verdict},
        names::{NodeName, NsName, PodName, PolicyName, Text, Workload, is_hostile},
        policy::PolicyKind,
        time::Timestamp,
    },
    pb::{
        flow as pb,
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
        relay::{NodeState, NodeStatusEvent},
    },
};

use super::sight::Sight;

/// `event_type.type` of the events that can carry a policy's outcome.
pub mod event {
    pub const DROP: i32 = 1;
    pub const TRACE: i32 = 4;
    pub const POLICY_VERDICT: i32 = 5;
    pub const ACCESS_LOG: i32 = 129;
}

/// Drop reasons that are a policy's outcome; all others are faults of the data plane.
mod reason {
    pub const POLICY_DENIED: i32 = 133;
    pub const POLICY_DENY: i32 = 181;
    pub const AUTH_REQUIRED: i32 = 189;
}

/// Names kept of one end, policies kept of one verdict, nodes read from one status.
const NAMES: usize = 4;
const POLICIES: usize = 16;
const NODES: usize = 5_000;

/// What one message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Flow(Box<Sighting>),
    /// The same as edges are made from; see [`super::sight`].
    Edge(Box<Sight>),
    Nodes(NodeWord),
    Lost(Loss),
    /// Well-formed, and none of our business: an old server widens what it does not understand.
    /// Still a sign of its node.
    Unasked {
        node: Option<Node>,
        at: Option<Timestamp>,
    },
}

/// A flow and which of its packet's events it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub flow: Flow,
    pub event: Event,
    pub node: Option<Node>,
    /// The first detail that was not what it claims; the flow is whole without it.
    pub flaw: Option<Malformed>,
}

/// One denied packet gives a policy verdict and a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    PolicyVerdict,
    Drop,
    AccessLog,
}

/// A node as Hubble calls it (`cluster/node`, which filters take) and as Kubernetes does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub raw: CompactString,
    pub name: NodeName,
}

/// What the relay says about its connections to nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeWord {
    pub state: NodeState,
    pub nodes: Vec<Node>,
    pub message: Text,
    /// The relay's own clock.
    pub at: Option<Timestamp>,
}

/// Events that never reached us, as the agent counts them.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    pub node: Option<Node>,
    pub count: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub why: &'static str,
}

/// Bytes that are not what they claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    #[error("a message has no content")]
    Content,
    #[error("a flow has no event type")]
    EventType,
    #[error("a flow has no time, or one beyond the calendar")]
    Time,
    #[error("a flow's verdict is a number that no version knows")]
    Verdict,
    #[error("a denied flow has no direction")]
    Direction,
    #[error("the namespace a flow was judged in is not a valid name")]
    JudgedNamespace,
    #[error("a flow names a namespace that is not a valid name")]
    Namespace,
    #[error("a flow names a pod that is not a valid name")]
    Pod,
    #[error("a flow names a node that is not a valid name")]
    Node,
    #[error("a flow's address is missing or is not an IP address")]
    Address,
    #[error("a flow's port is beyond 65535")]
    Port,
    #[error("a label of a flow holds a control or bidirectional character")]
    Label,
}

/// Never panics, never blocks, allocates no more than the message is long.
pub fn decode(response: GetFlowsResponse) -> Result<Seen, Malformed> {
    let GetFlowsResponse { node_name, time, response_types } = response;
    match response_types.ok_or(Malformed::Content)? {
        ResponseTypes::Flow(flow) => flow_of(&flow, &node_name, time),
        ResponseTypes::NodeStatus(status) => Ok(Seen::Nodes(word_of(&status, time))),
        ResponseTypes::LostEvents(lost) => Ok(Seen::Lost(Loss {
            node: node_of(&node_name),
            count: lost.num_events_lost,
            first: timestamp(lost.first),
            last: timestamp(lost.last).or(timestamp(time)),
            why: loss_reason(lost.source),
        })),
    }
}

/// Node and time of a flow, whatever it is about.
pub fn stamp(response: &GetFlowsResponse) -> Option<(Node, Timestamp)> {
    match response.response_types.as_ref()? {
        ResponseTypes::Flow(flow) => {
            let node = if flow.node_name.is_empty() { &response.node_name } else { &flow.node_name };
            Some((node_of(node)?, timestamp(flow.time).or(timestamp(response.time))?))
        }
        ResponseTypes::NodeStatus(_) | ResponseTypes::LostEvents(_) => None,
    }
}

/// `cluster/node`, or the plain node where the cluster is called `default`.
pub fn node_of(raw: &str) -> Option<Node> {
    let (cluster, name) = raw.rsplit_once('/').unwrap_or(("", raw));
    if cluster.len() > 253 || cluster.chars().any(is_hostile) {
        return None;
    }
    let name = NodeName::parse(name).ok()?;
    Some(Node { raw: CompactString::new(raw), name })
}

/// A time of protobuf's calendar that can belong to an event: 1970 to 9999, so that a few minutes
/// more or less never leave it.
pub fn timestamp(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time.filter(|time| (86_400..253_402_214_400).contains(&time.seconds))?;
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// Remembers the first detail that was not right.
#[derive(Default)]
pub(super) struct Flaws(pub Option<Malformed>);

impl Flaws {
    pub fn note(&mut self, flaw: Malformed) {
        self.0.get_or_insert(flaw);
    }
}

fn flow_of(
    flow: &pb::Flow,
    outer_node: &str,
    outer_time: Option<prost_types::Timestamp>,
) -> Result<Seen, Malformed> {
    let mut flaws = Flaws::default();
    let raw_node = if flow.node_name.is_empty() { outer_node } else { &flow.node_name };
    let node = node_of(raw_node);
    if node.is_none() && !raw_node.is_empty() {
        flaws.note(Malformed::Node);
    }
    let at = timestamp(flow.time).or(timestamp(outer_time));
    let Some((verdict, event)) = judged(flow)? else {
        return Ok(Seen::Unasked { node, at });
    };
    let at = at.ok_or(Malformed::Time)?;
    let direction = direction_of(flow)?;
    let judged = match direction {
        Direction::Egress => flow.source.as_ref(),
        Direction::Ingress => flow.destination.as_ref(),
    };
    if judged.is_some_and(|end| !end.namespace.is_empty() && NsName::parse(&end.namespace).is_err()) {
        return Err(Malformed::JudgedNamespace);
    }
    let ip = flow.ip.as_ref();
    let source = end_of(flow.source.as_ref(), ip.map(|ip| &*ip.source), &flow.source_names, &mut flaws);
    let destination =
        end_of(flow.destination.as_ref(), ip.map(|ip| &*ip.destination), &flow.destination_names, &mut flaws);
    let l4 = layer4(flow, &mut flaws);
    let flow = Flow {
        id: id_of(flow, raw_node, at, &l4),
        at,
        node: node.as_ref().map(|node| node.name.clone()),
        direction,
        verdict: match verdict {
            Outcome::Allowed => Verdict::Allowed { by: policies(flow, direction, true) },
            Outcome::Denied(said) => Verdict::Denied { said, by: policies(flow, direction, false) },
            Outcome::Audit(said) => Verdict::Audit { said, by: policies(flow, direction, false) },
        },
        source,
        destination,
        protocol: l4.protocol,
        source_port: l4.source_port,
        port: l4.port,
        reply: flow.is_reply,
        closing: l4.closing,
    };
    Ok(Seen::Flow(Box::new(Sighting { flow, event, node, flaw: flaws.0 })))
}

enum Outcome {
    Allowed,
    Denied(Text),
    Audit(Text),
}

/// `None`: the event says nothing about a policy.
fn judged(flow: &pb::Flow) -> Result<Option<(Outcome, Event)>, Malformed> {
    let kind = flow.event_type.ok_or(Malformed::EventType)?;
    let verdict = pb::Verdict::try_from(flow.verdict).map_err(|_| Malformed::Verdict)?;
    let number = match (flow.drop_reason_desc, kind.r#type) {
        (0, event::DROP) => kind.sub_type,
        (0, _) => i32::try_from(flow.drop_reason).unwrap_or(0),
        (number, _) => number,
    };
    let event = match kind.r#type {
        event::POLICY_VERDICT => Event::PolicyVerdict,
        event::DROP => Event::Drop,
        event::ACCESS_LOG => Event::AccessLog,
        _ => return Ok(None),
    };
    let outcome = match (event, verdict) {
        (Event::PolicyVerdict | Event::Drop, pb::Verdict::Dropped) => {
            match (policy_reason(number), number, event) {
                (Some(said), _, _) => Outcome::Denied(Text::new(said)),
                (None, 0, Event::PolicyVerdict) => Outcome::Denied(Text::new("DROPPED")),
                (None, _, _) => return Ok(None),
            }
        }
        (Event::AccessLog, pb::Verdict::Dropped) => Outcome::Denied(Text::new("L7 rule")),
        (Event::PolicyVerdict, pb::Verdict::Audit) => {
            Outcome::Audit(Text::new(policy_reason(number).unwrap_or("AUDIT")))
        }
        (Event::PolicyVerdict, pb::Verdict::Forwarded | pb::Verdict::Redirected) => Outcome::Allowed,
        _ => return Ok(None),
    };
    Ok(Some((outcome, event)))
}

pub(super) fn policy_reason(number: i32) -> Option<&'static str> {
    match number {
        reason::POLICY_DENIED => Some("POLICY_DENIED"),
        reason::POLICY_DENY => Some("POLICY_DENY"),
        reason::AUTH_REQUIRED => Some("AUTH_REQUIRED"),
        _ => None,
    }
}

fn direction_of(flow: &pb::Flow) -> Result<Direction, Malformed> {
    match pb::TrafficDirection::try_from(flow.traffic_direction) {
        Ok(pb::TrafficDirection::Ingress) => Ok(Direction::Ingress),
        Ok(pb::TrafficDirection::Egress) => Ok(Direction::Egress),
        Ok(pb::TrafficDirection::Unknown) | Err(_) => Err(Malformed::Direction),
    }
}

fn end_of(end: Option<&pb::Endpoint>, address: Option<&str>, names: &[String], flaws: &mut Flaws) -> End {
    let address = address.and_then(|raw| raw.parse::<IpAddr>().ok());
    if address.is_none() {
        flaws.note(Malformed::Address);
    }
    let names = names.iter().map(|name| name.trim_end_matches('.')).filter(|name| !name.is_empty());
    let names = names.take(NAMES).map(Text::new);
    let mut out = End { address, names: names.collect(), ..End::default() };
    let Some(end) = end else { return out };
    if end.labels.iter().any(|label| label.chars().any(is_hostile)) {
        flaws.note(Malformed::Label);
    }
    out.entity = entity(end.identity);
    if end.namespace.is_empty() {
        return out;
    }
    match NsName::parse(&end.namespace) {
        Ok(ns) => out.ns = Some(ns),
        Err(_) => flaws.note(Malformed::Namespace),
    }
    if !end.pod_name.is_empty() {
        match PodName::parse(&end.pod_name) {
            Ok(pod) => out.pod = Some(pod),
            Err(_) => flaws.note(Malformed::Pod),
        }
    }
    out.workload = match end.workloads.first() {
        Some(owner) if !owner.name.is_empty() => Some(Workload::new(&owner.kind, &owner.name)),
        _ => out.pod.as_ref().and_then(deployment_of),
    };
    out
}

/// A Deployment's pods are called `<name>-<hash>-<five>`, in an alphabet that makes no words. Other
/// patterns say too little to guess from.
fn deployment_of(pod: &PodName) -> Option<Workload> {
    let (rest, five) = pod.as_str().rsplit_once('-')?;
    let (name, hash) = rest.rsplit_once('-')?;
    let safe = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let plausible =
        five.len() == 5 && (6..=10).contains(&hash.len()) && safe(five) && safe(hash) && !name.is_empty();
    plausible.then(|| Workload::new("Deployment", name))
}

/// Reserved identities. `init` (5) is a pod that has no labels yet: it has no word of its own.
pub(super) fn entity(identity: u32) -> Option<Entity> {
    match identity {
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

pub(super) struct Layer4 {
    pub protocol: Protocol,
    pub source_port: u16,
    pub port: u16,
    pub closing: bool,
}

pub(super) fn layer4(flow: &pb::Flow, flaws: &mut Flaws) -> Layer4 {
    use pb::layer4::Protocol as Wire;
    let mut port = |raw: u32| {
        u16::try_from(raw).unwrap_or_else(|_| {
            flaws.note(Malformed::Port);
            0
        })
    };
    let (protocol, source_port, port, closing) = match flow.l4.and_then(|l4| l4.protocol) {
        Some(Wire::Tcp(tcp)) => {
            let closing = tcp.flags.is_some_and(|flags| flags.rst || (flags.fin && !flags.syn));
            (Protocol::Tcp, port(tcp.source_port), port(tcp.destination_port), closing)
        }
        Some(Wire::Udp(udp)) => (Protocol::Udp, port(udp.source_port), port(udp.destination_port), false),
        Some(Wire::Sctp(sctp)) => {
            (Protocol::Sctp, port(sctp.source_port), port(sctp.destination_port), false)
        }
        Some(Wire::IcmPv4(_) | Wire::IcmPv6(_)) => (Protocol::Icmp, 0, 0, false),
        None => (Protocol::Unknown, 0, 0, false),
    };
    Layer4 { protocol, source_port, port, closing }
}

/// The server's uuid. Without one, what tells this event from others: the same event replayed has
/// the same id.
pub(super) fn id_of(flow: &pb::Flow, node: &str, at: Timestamp, l4: &Layer4) -> FlowId {
    let uuid = &flow.uuid;
    if !uuid.is_empty() && uuid.len() <= 64 && uuid.bytes().all(|b| b.is_ascii_graphic()) {
        return FlowId(CompactString::new(uuid));
    }
    let (source, destination) =
        flow.ip.as_ref().map_or(("", ""), |ip| (ip.source.as_str(), ip.destination.as_str()));
    let raw = format_compact!(
        "{}/{at:?}/{}/{source}:{}>{destination}:{}/{}",
        Text::new(node),
        l4.protocol,
        l4.source_port,
        l4.port,
        flow.traffic_direction,
    );
    FlowId(CompactString::new(Text::new(&raw).as_str()))
}

fn policies(flow: &pb::Flow, direction: Direction, allowed: bool) -> Vec<PolicyRef> {
    let list = match (direction, allowed) {
        (Direction::Egress, true) => &flow.egress_allowed_by,
        (Direction::Ingress, true) => &flow.ingress_allowed_by,
        (Direction::Egress, false) => &flow.egress_denied_by,
        (Direction::Ingress, false) => &flow.ingress_denied_by,
    };
    list.iter().take(POLICIES).filter_map(policy_of).collect()
}

/// Older agents do not send the kind; a label says what the rule was made from.
fn policy_of(policy: &pb::Policy) -> Option<PolicyRef> {
    const FROM: &str = "io.cilium.k8s.policy.derived-from=";
    let label = || policy.labels.iter().find_map(|label| Some(label.split_once(FROM)?.1));
    let kind = if policy.kind.is_empty() { label()? } else { &policy.kind };
    Some(PolicyRef {
        kind: PolicyKind::parse(kind)?,
        ns: NsName::parse(&policy.namespace).ok(),
        name: PolicyName::parse(&policy.name).ok()?,
    })
}

fn word_of(status: &NodeStatusEvent, time: Option<prost_types::Timestamp>) -> NodeWord {
    NodeWord {
        state: NodeState::try_from(status.state_change).unwrap_or(NodeState::UnknownNodeState),
        nodes: status.node_names.iter().take(NODES).filter_map(|raw| node_of(raw)).collect(),
        message: Text::new(&status.message),
        at: timestamp(time),
    }
}

fn loss_reason(source: i32) -> &'static str {
    match pb::LostEventSource::try_from(source) {
        Ok(pb::LostEventSource::PerfEventRingBuffer) => "lost between the kernel and the agent",
        Ok(pb::LostEventSource::ObserverEventsQueue) => "lost in the agent's queue",
        Ok(pb::LostEventSource::HubbleRingBuffer) => "this reader was slower than the node's ring buffer",
        Ok(pb::LostEventSource::UnknownLostEventSource) | Err(_) => "the agent does not say where",
    }
}

/// How far back a ring buffer reaches: `None` where the numbers do not say.
pub fn depth(num_flows: u64, max_flows: u64, flows_per_second: f64, uptime_ns: u64) -> Option<TimeDelta> {
    let uptime = TimeDelta::nanoseconds(i64::try_from(uptime_ns).ok()?);
    if uptime <= TimeDelta::zero() {
        return None;
    }
    if num_flows < max_flows {
        return Some(uptime);
    }
    if !flows_per_second.is_finite() || flows_per_second <= 0.0 {
        return None;
    }
    let seconds = (num_flows as f64 / flows_per_second).min(uptime.num_seconds() as f64);
    Some(TimeDelta::milliseconds((seconds * 1_000.0) as i64).min(uptime))
}
