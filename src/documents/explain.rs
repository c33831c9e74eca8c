//! What policies do with a connection, as `sluice explain` prints it: text for one question, a line of
//! JSON for each of many. Questions as JSON are read here too. Both say what the answer says.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use super::wire::line;
use crate::domain::{
    eval::{
        answer::{Answer, Ask, By, Endpoint},
        verdict::Decision,
    },
    flow::{Direction, Protocol},
    names::{NsName, PodName, Text},
};

#[derive(Debug, Serialize)]
struct AnswerOut<'a> {
    verdict: &'static str,
    by: Vec<ByOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct ByOut<'a> {
    direction: &'static str,
    end: &'a str,
    outcome: &'static str,
    policy: Option<&'a str>,
    rule: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ErrorOut<'a> {
    error: &'a str,
    line: u64,
}

/// One line of JSON.
pub fn json(answer: &Answer) -> String {
    let out = AnswerOut {
        verdict: answer.verdict.as_str(),
        by: answer.by.iter().map(by_out).collect(),
        why: answer.why.iter().map(Text::as_str).collect(),
        notes: answer.notes.iter().map(Text::as_str).collect(),
    };
    line(&out)
}

/// What stands in the place of an answer: the line of the input, and what is wrong with it.
pub fn error_json(number: u64, why: &str) -> String {
    line(&ErrorOut { error: Text::new(why).as_str(), line: number })
}

fn by_out(by: &By) -> ByOut<'_> {
    ByOut {
        direction: by.direction.as_str(),
        end: by.end.as_str(),
        outcome: by.decision.as_str(),
        policy: by.policy.as_ref().map(Text::as_str),
        rule: by.rule,
        why: by.why.as_ref().map(Text::as_str),
    }
}

/// For a person.
pub fn text(ask: &Ask, answer: &Answer) -> String {
    let port = match ask.protocol {
        Protocol::Icmp | Protocol::Unknown => ask.protocol.to_string(),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => format!("{}/{}", ask.port, ask.protocol),
    };
    let mut out = format!("{}: {} -> {} {port}\n", answer.verdict.as_str(), said(&ask.from), said(&ask.to));
    let mut rest = answer.by.as_slice();
    while let Some(first) = rest.first() {
        let alike =
            |by: &By| (by.direction, &by.end, by.decision) == (first.direction, &first.end, first.decision);
        let together =
            rest.iter().take_while(|by| first.decision == Decision::Denied && alike(by)).count().max(1);
        out.push_str(&format!("  {} of {}: {}\n", first.direction, first.end, words(&rest[..together])));
        rest = &rest[together..];
    }
    // What its ends have said is not said twice.
    let told = |why: &&Text| !answer.by.iter().any(|by| by.why.as_ref() == Some(why));
    for why in answer.why.iter().filter(told) {
        out.push_str(&format!("  unknown: {why}\n"));
    }
    for note in &answer.notes {
        out.push_str(&format!("  note: {note}\n"));
    }
    out
}

fn said(end: &Endpoint) -> String {
    match end {
        Endpoint::Pod(ns, pod) => format!("{ns}/{pod}"),
        Endpoint::Address(address) => address.to_string(),
    }
}

/// What decided at one end; of policies that deny together, all.
fn words(by: &[By]) -> String {
    let policies: Vec<&str> = by.iter().filter_map(|by| Some(by.policy.as_ref()?.as_str())).collect();
    let Some(first) = by.first() else { return String::new() };
    match (first.decision, first.direction) {
        (Decision::NoPod, _) => "no pod of this cluster, so no policy judges it".to_owned(),
        (Decision::HostNetwork, _) => "in the host's network, where no policy selects it".to_owned(),
        (Decision::NotIsolated, direction) => format!("no policy isolates it, so all {direction} passes"),
        (Decision::Itself, _) => "a pod always reaches itself".to_owned(),
        (Decision::OwnNode, _) => "traffic of the pod's own node passes".to_owned(),
        (Decision::Allowed(_), _) => {
            format!("allowed by rule {} of {}", first.rule.unwrap_or_default(), policies.join(", "))
        }
        (Decision::Denied, direction) => {
            let rule = match direction {
                Direction::Egress => "lets it out",
                Direction::Ingress => "lets it in",
            };
            format!("denied: isolated by {}, and no rule {rule}", policies.join(", "))
        }
        (Decision::Unknown(_), _) => {
            format!("unknown: {}", first.why.as_ref().map_or("", |why| why.as_str()))
        }
    }
}

/// `namespace/pod`, or an address.
pub fn endpoint(raw: &str) -> Result<Endpoint, String> {
    if let Ok(address) = raw.parse::<IpAddr>() {
        return Ok(Endpoint::Address(address));
    }
    let (ns, pod) = raw
        .split_once('/')
        .ok_or_else(|| format!("{:?} is neither NAMESPACE/POD nor an address", Text::new(raw)))?;
    let ns = NsName::parse(ns).map_err(|bad| bad.to_string())?;
    Ok(Endpoint::Pod(ns, PodName::parse(pod).map_err(|bad| bad.to_string())?))
}

/// `443/TCP`, `TCP/443`, `443` for TCP, `ICMP`.
pub fn port(raw: &str) -> Result<(u16, Protocol), String> {
    const NEXT: &str = "write a port and its protocol, such as 443/TCP";
    let (a, b) = raw.split_once('/').unwrap_or((raw, ""));
    match (protocol(a), protocol(b)) {
        (Ok(Protocol::Icmp), _) if b.is_empty() => Ok((0, Protocol::Icmp)),
        (Ok(protocol), _) => Ok((number(b).ok_or(NEXT)?, protocol)),
        (Err(_), Ok(protocol)) => Ok((number(a).ok_or(NEXT)?, protocol)),
        (Err(_), Err(_)) if b.is_empty() => Ok((number(a).ok_or(NEXT)?, Protocol::Tcp)),
        (Err(_), Err(why)) => Err(why),
    }
}

fn number(raw: &str) -> Option<u16> {
    raw.parse().ok().filter(|port| *port > 0)
}

fn protocol(raw: &str) -> Result<Protocol, String> {
    Protocol::parse(&raw.to_ascii_uppercase())
        .filter(|protocol| *protocol != Protocol::Unknown)
        .ok_or_else(|| format!("{:?} is not TCP, UDP, SCTP or ICMP", Text::new(raw)))
}

/// A question as a line of JSON, and the fields of it that were not read.
pub fn question(raw: &str) -> Result<(Ask, Vec<Text>), String> {
    let value: Value = serde_json::from_str(raw).map_err(|error| format!("it is no JSON: {error}"))?;
    let map = value.as_object().ok_or("it is no JSON object")?;
    let text = |field: &str| match map.get(field) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("{field} is no string")),
        None => Err(format!("it has no {field}")),
    };
    let end = |field: &str| endpoint(text(field)?).map_err(|why| format!("{field}: {why}"));
    let protocol = match map.get("protocol") {
        None | Some(Value::Null) => Protocol::Tcp,
        Some(_) => protocol(text("protocol")?)?,
    };
    let port = match map.get("port") {
        None | Some(Value::Null) if protocol == Protocol::Icmp => Some(0),
        None | Some(Value::Null) => return Err("it has no port".to_owned()),
        Some(Value::String(raw)) => number(raw),
        Some(value) => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let port = port.filter(|port| *port > 0 || protocol == Protocol::Icmp);
    let ask = Ask {
        from: end("from")?,
        to: end("to")?,
        protocol,
        port: port.ok_or("port is no number from 1 to 65535")?,
    };
    let unread = map.keys().filter(|key| !matches!(key.as_str(), "from" | "to" | "port" | "protocol"));
    Ok((
        ask,
        unread.map(|key| Text::from(format!("the field {key:?} is not known and was not read"))).collect(),
    ))
}
