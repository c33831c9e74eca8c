//! One FlowResult of Goldmane into what sluice understands: what the policies of one end made of the
//! connections that one workload opened to another within 15 s. No address, no node, often no pod.
//!
//! Pure and total: any message gives an answer. What makes it useless is `Malformed`; what only spoils
//! a detail is a `flaw` beside the flow.

use chrono::DateTime;
use compact_str::format_compact;
use foldhash::fast::FixedState;
use prost::Message;
use std::hash::BuildHasher;

use crate::{
    domain::{
        flow::{Direction, End, Entity, Flow, FlowId, PRIVATE_NETWORK, PolicyRef, Protocol, Verdict},
        names::{NsName, PodName, PolicyName, Text, Workload, workload_of_pods},
        policy::PolicyKind,
        sighting::{self, Outcome, Side},
        time::Timestamp,
    },
    pb::goldmane::{self as pb, Action, EndpointType, PolicyHit, Reporter},
};

/// Hits read of one trace; Calico has a few tiers, each with a few policies.
const HITS: usize = 64;
/// Goldmane's word for "there is none".
const NOTHING: &str = "-";
/// Name prefix that Calico gives to a NetworkPolicy of Kubernetes in some releases.
const PREFIX: &str = "knp.default.";

/// A flow, its bucket, and the first detail that was not what it claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub flow: Flow,
    pub bucket: Bucket,
    pub flaw: Option<Malformed>,
    /// What the source and the destination are called where they are no workload: `pub`, `pvt`, or
    /// the name of a network set.
    classes: [Option<Text>; 2],
}

impl Sighting {
    /// As edges are made of it. One key in one bucket counts as one flow: how many connections that
    /// were is not told of those which began before.
    pub fn told(&self) -> sighting::Sighting<'_> {
        let flow = &self.flow;
        sighting::Sighting {
            at: self.bucket.from,
            until: self.bucket.until,
            node: None,
            direction: Some(flow.direction),
            outcome: match flow.verdict {
                Verdict::Allowed { .. } => Outcome::Allowed,
                Verdict::Denied { .. } => Outcome::Denied,
                Verdict::Audit { .. } => Outcome::Audit,
            },
            protocol: flow.protocol,
            source: side(&flow.source, self.classes[0].as_ref()),
            destination: side(&flow.destination, self.classes[1].as_ref()),
            source_port: 0,
            port: flow.port,
            reply: flow.reply,
            flows: 1,
            names: [None; 4],
        }
    }
}

fn side<'a>(end: &'a End, class: Option<&'a Text>) -> Side<'a> {
    Side {
        ns: end.ns.as_ref().map(NsName::as_str),
        pod: end.pod.as_ref().map(PodName::as_str),
        workload: end.workload.as_ref().map(|it| (it.kind.as_str(), it.name.as_str())),
        entity: end.entity,
        class: class.map(Text::as_str),
        ..Side::default()
    }
}

/// What an end without a workload is called.
fn class(kind: i32, name: &str) -> Option<Text> {
    let is_class =
        matches!(EndpointType::try_from(kind), Ok(EndpointType::NetworkSet | EndpointType::Network));
    is_class.then(|| Text::new(name))
}

/// The seconds that a flow sums up: from the first to before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Messages that are not what they claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    #[error("a message has no flow, or a flow no key")]
    Content,
    #[error("a flow's bucket has no time, or one beyond the calendar")]
    Time,
    #[error("a flow does not say which end reported it")]
    Reporter,
    #[error("a flow's action is neither Allow nor Deny")]
    Action,
    #[error("the namespace a flow was judged in is not a valid name")]
    JudgedNamespace,
    #[error("a flow names a namespace that is not a valid name")]
    Namespace,
    #[error("a flow names a pod that is not a valid name")]
    Pod,
    #[error("a flow's port is beyond 65535")]
    Port,
}

/// Never panics, never blocks. The time is the end of the bucket: nothing happened later.
pub fn decode(result: pb::FlowResult) -> Result<Sighting, Malformed> {
    let flow = result.flow.ok_or(Malformed::Content)?;
    let mut key = flow.key.ok_or(Malformed::Content)?;
    let bucket = bucket(flow.start_time, flow.end_time)?;
    let direction = match Reporter::try_from(key.reporter) {
        Ok(Reporter::Src) => Direction::Egress,
        Ok(Reporter::Dst) => Direction::Ingress,
        Ok(Reporter::Unspecified) | Err(_) => return Err(Malformed::Reporter),
    };
    let judged_ns = match direction {
        Direction::Egress => &key.source_namespace,
        Direction::Ingress => &key.dest_namespace,
    };
    if is_said(judged_ns) && NsName::parse(judged_ns).is_err() {
        return Err(Malformed::JudgedNamespace);
    }
    let mut trace = key.policies.take().unwrap_or_default();
    sort(&mut trace.enforced_policies);
    sort(&mut trace.pending_policies);
    let verdict = verdict(key.action, &trace)?;
    key.policies = Some(trace);
    let mut flaw = None;
    let mut note = |found: Malformed| {
        flaw.get_or_insert(found);
    };
    let source = end(key.source_type, &key.source_namespace, &key.source_name, &mut note);
    let destination = end(key.dest_type, &key.dest_namespace, &key.dest_name, &mut note);
    let classes = [class(key.source_type, &key.source_name), class(key.dest_type, &key.dest_name)];
    let port = u16::try_from(key.dest_port).unwrap_or_else(|_| {
        note(Malformed::Port);
        0
    });
    let flow = Flow {
        id: id(&key, bucket),
        at: bucket.until,
        node: None,
        direction,
        verdict,
        source,
        destination,
        protocol: protocol(&key.proto),
        source_port: 0,
        port,
        // The source of a flow is the end that opened the connection.
        reply: Some(false),
        closing: false,
    };
    Ok(Sighting { flow, bucket, flaw, classes })
}

fn is_said(name: &str) -> bool {
    !name.is_empty() && name != NOTHING
}

/// A time that can belong to a flow: 1970 to 9999, so that a few hours more or less never leave it.
pub fn time(seconds: i64) -> Option<Timestamp> {
    DateTime::from_timestamp((86_400..253_402_214_400).contains(&seconds).then_some(seconds)?, 0)
}

fn bucket(from: i64, until: i64) -> Result<Bucket, Malformed> {
    let (from, until) = time(from).zip(time(until)).ok_or(Malformed::Time)?;
    if until <= from { Err(Malformed::Time) } else { Ok(Bucket { from, until }) }
}

/// The order on the wire is arbitrary.
fn sort(hits: &mut Vec<PolicyHit>) {
    hits.truncate(HITS);
    hits.sort_by_key(|hit| hit.policy_index);
}

/// What the policies in force did; where they allowed it, what the staged ones would do.
fn verdict(action: i32, trace: &pb::PolicyTrace) -> Result<Verdict, Malformed> {
    match Action::try_from(action) {
        Ok(Action::Deny) => {
            let hit = deciding(&trace.enforced_policies, Action::Deny);
            Ok(Verdict::Denied { said: said(hit), by: hit.and_then(policy).into_iter().collect() })
        }
        Ok(Action::Allow) => Ok(match deciding(&trace.pending_policies, Action::Deny) {
            Some(hit) => Verdict::Audit {
                said: Text::from(format!("staged: {}", said(Some(hit)))),
                by: policy(hit).into_iter().collect(),
            },
            None => {
                let hits = trace.enforced_policies.iter();
                Verdict::Allowed {
                    by: hits.filter(|hit| is(hit, Action::Allow)).filter_map(policy).collect(),
                }
            }
        }),
        Ok(Action::Unspecified | Action::Pass) | Err(_) => Err(Malformed::Action),
    }
}

fn is(hit: &PolicyHit, action: Action) -> bool {
    Action::try_from(hit.action) == Ok(action)
}

/// The last hit of a trace decides, unless it only passes on.
fn deciding(hits: &[PolicyHit], action: Action) -> Option<&PolicyHit> {
    hits.iter().rev().find(|hit| !is(hit, Action::Pass)).filter(|hit| is(hit, action))
}

/// Goldmane's own words for a denial.
fn said(hit: Option<&PolicyHit>) -> Text {
    let Some(hit) = hit else { return Text::new("Deny") };
    let kind = kind(hit);
    if kind == pb::PolicyKind::EndOfTier {
        return Text::from(format!("end of tier {}", hit.tier));
    }
    Text::from(format!("{} {}", kind.as_str_name(), hit.name))
}

fn kind(hit: &PolicyHit) -> pb::PolicyKind {
    pb::PolicyKind::try_from(hit.kind).unwrap_or(pb::PolicyKind::KindUnspecified)
}

/// The NetworkPolicy that a hit names, live or staged. A tier's end names one that made the tier apply.
fn policy(hit: &PolicyHit) -> Option<PolicyRef> {
    let hit = match (kind(hit), &hit.trigger) {
        (pb::PolicyKind::EndOfTier, Some(trigger)) => trigger.as_ref(),
        _ => hit,
    };
    match kind(hit) {
        pb::PolicyKind::NetworkPolicy | pb::PolicyKind::StagedKubernetesNetworkPolicy => {}
        // Others have no place among the policies that sluice knows; `said` names them.
        _ => return None,
    }
    let name = hit.name.strip_prefix(PREFIX).unwrap_or(&hit.name);
    let (ns, name) = (NsName::parse(&hit.namespace).ok()?, PolicyName::parse(name).ok()?);
    Some(PolicyRef { kind: PolicyKind::NetworkPolicy, ns: Some(ns), name })
}

fn end(kind: i32, ns: &str, name: &str, note: &mut impl FnMut(Malformed)) -> End {
    let mut out = End::default();
    match EndpointType::try_from(kind) {
        Ok(EndpointType::WorkloadEndpoint) => {
            match NsName::parse(ns) {
                Ok(ns) => out.ns = Some(ns),
                Err(_) => note(Malformed::Namespace),
            }
            match name.strip_suffix("-*") {
                // What owns it is known by name only; whoever sees the pods knows the kind.
                Some(prefix) => out.workload = Some(Workload::new("", workload_of_pods(prefix))),
                // Nothing made this pod from a template: it was never merged with others.
                None => match PodName::parse(name) {
                    Ok(pod) => out.pod = Some(pod),
                    Err(_) => note(Malformed::Pod),
                },
            }
        }
        Ok(EndpointType::HostEndpoint) => out.entity = Some(Entity::Host),
        Ok(EndpointType::NetworkSet) => out.names.push(Text::from(format!("network set {name}"))),
        Ok(EndpointType::Network) => match name {
            "pub" => out.entity = Some(Entity::World),
            "pvt" => out.names.push(Text::new(PRIVATE_NETWORK)),
            _ => out.names.push(Text::from(format!("network {name}"))),
        },
        Ok(EndpointType::Unspecified) | Err(_) => {}
    }
    out
}

fn protocol(name: &str) -> Protocol {
    match name.to_ascii_lowercase().as_str() {
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "sctp" | "132" => Protocol::Sctp,
        "icmp" | "icmpv6" | "icmp6" | "1" | "58" => Protocol::Icmp,
        _ => Protocol::Unknown,
    }
}

/// Goldmane's own numbers do not outlive its restart. One key in one bucket is one flow.
fn id(key: &pb::FlowKey, bucket: Bucket) -> FlowId {
    let hash = FixedState::with_seed(0x601d).hash_one(key.encode_to_vec());
    FlowId(format_compact!("{}-{hash:016x}", bucket.from.timestamp()))
}
