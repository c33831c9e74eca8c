//! One record of Antrea's FlowStreamService into what it tells. Pure and total; what a record means is
//! `records::antrea_record`'s, so a stream and a file of the same flows tell the same.

use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::DateTime;
use compact_str::format_compact;

use crate::{
    domain::{
        flow::{Direction, FlowId, PolicyRef},
        names::{NsName, PolicyName, Text},
        policy::PolicyKind,
        sighting::{Outcome, Side, Sighting, Told},
        time::Timestamp,
    },
    flows::{
        judged::Word,
        records::{
            Malformed,
            antrea_record::{Counted, Record, said},
            words,
        },
    },
    pb::antrea::{self as pb, NetworkPolicyRuleAction as Action, NetworkPolicyType as Type},
};

/// Remembers, within bounds, which connections were counted.
#[derive(Debug, Default)]
pub struct Decoder {
    counted: Counted,
}

/// What a record says of one of its ends.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    pub sighting: Sighting<'a>,
    /// The same when it is read again.
    pub id: FlowId,
    pub word: Word,
}

impl Decoder {
    pub fn decode(&mut self, flow: &pb::Flow, tell: &mut impl FnMut(Seen<'_>)) -> Result<(), Malformed> {
        let k8s = flow.k8s.as_ref().ok_or(Malformed::Content)?;
        let record = record(flow, k8s)?;
        let is_new = self.counted.note(&record);
        record.tell(u64::from(is_new), &mut |told| {
            let Told::Flow(sighting) = told else { return };
            let word = match sighting.direction {
                Some(Direction::Egress) => egress(k8s),
                Some(Direction::Ingress) => ingress(k8s),
                None => Word::default(),
            };
            tell(Seen { id: id(flow, &sighting), sighting, word });
        });
        Ok(())
    }
}

fn record<'a>(flow: &'a pb::Flow, k8s: &'a pb::Kubernetes) -> Result<Record<'a>, Malformed> {
    let ip = flow.ip.as_ref().ok_or(Malformed::Address)?;
    let transport = flow.transport.unwrap_or_default();
    let at = timestamp(flow.start_ts).or(timestamp(flow.end_ts)).ok_or(Malformed::Time)?;
    let port = |number: u32| u16::try_from(number).map_err(|_| Malformed::Port);
    let side = |address: &[u8], ns: &'a str, pod: &'a str| -> Result<Side<'a>, Malformed> {
        Ok(Side { address: Some(ip_of(address)?), ns: said(ns), pod: said(pod), ..Side::default() })
    };
    let service = k8s.destination_service_port_name.split_once('/');
    Ok(Record {
        at,
        until: timestamp(flow.end_ts).unwrap_or(at).max(at),
        protocol: words::protocol_number(u64::from(transport.protocol_number)),
        source_port: port(transport.source_port)?,
        port: port(transport.destination_port)?,
        source: side(&ip.source, &k8s.source_pod_namespace, &k8s.source_pod_name)?,
        destination: Side {
            service: service.map(|(ns, rest)| (ns, rest.split(':').next().unwrap_or(rest))),
            ..side(&ip.destination, &k8s.destination_pod_namespace, &k8s.destination_pod_name)?
        },
        source_node: &k8s.source_node_name,
        destination_node: &k8s.destination_node_name,
        ingress: outcome(k8s.ingress_network_policy_rule_action)?,
        egress: outcome(k8s.egress_network_policy_rule_action)?,
    })
}

fn ip_of(bytes: &[u8]) -> Result<std::net::IpAddr, Malformed> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).map_err(|_| Malformed::Address)?;
    Ok(std::net::IpAddr::from(Ipv6Addr::from(sixteen)).to_canonical())
}

/// 1970 to 9999, as everywhere.
fn timestamp(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time.filter(|time| (86_400..253_402_214_400).contains(&time.seconds))?;
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// No action is no rule: the connection passed.
fn outcome(action: i32) -> Result<Outcome, Malformed> {
    match Action::try_from(action) {
        Ok(Action::NoAction | Action::Allow) => Ok(Outcome::Allowed),
        Ok(Action::Drop | Action::Reject) => Ok(Outcome::Denied),
        Err(_) => Err(Malformed::Verdict),
    }
}

fn ingress(k8s: &pb::Kubernetes) -> Word {
    word(
        k8s.ingress_network_policy_rule_action,
        k8s.ingress_network_policy_type,
        &k8s.ingress_network_policy_namespace,
        &k8s.ingress_network_policy_name,
    )
}

fn egress(k8s: &pb::Kubernetes) -> Word {
    word(
        k8s.egress_network_policy_rule_action,
        k8s.egress_network_policy_type,
        &k8s.egress_network_policy_namespace,
        &k8s.egress_network_policy_name,
    )
}

/// Only NetworkPolicies have a place in what the cockpit knows; Antrea's own kinds stay unnamed, and
/// so does a default drop, which the record does not name.
fn word(action: i32, kind: i32, ns: &str, name: &str) -> Word {
    let said = match Action::try_from(action) {
        Ok(Action::Drop) => "Drop",
        Ok(Action::Reject) => "Reject",
        Ok(Action::NoAction | Action::Allow) | Err(_) => "",
    };
    let name = PolicyName::parse(name).ok().filter(|_| Type::try_from(kind) == Ok(Type::K8s));
    let by = name.map(|name| PolicyRef { kind: PolicyKind::NetworkPolicy, ns: NsName::parse(ns).ok(), name });
    Word { said: Text::new(said), by }
}

/// A connection is told again and again while it lives, so its end belongs to what a record is known by.
fn id(flow: &pb::Flow, sighting: &Sighting<'_>) -> FlowId {
    let side = sighting.direction.map_or("", Direction::as_str);
    let until = sighting.until.timestamp_micros();
    if flow.id.is_empty() {
        let end =
            |side: &Side<'_>| side.address.map(|address| format_compact!("{address}")).unwrap_or_default();
        let (from, to) = (end(&sighting.source), end(&sighting.destination));
        return FlowId(format_compact!(
            "{from}:{}-{to}:{}/{}/{}/{until}/{side}",
            sighting.source_port,
            sighting.port,
            sighting.protocol,
            sighting.at.timestamp_micros()
        ));
    }
    // A longer one is cut, not trusted.
    let id: String = flow.id.chars().take(128).collect();
    FlowId(format_compact!("{id}/{until}/{side}"))
}
