//! Edges as lines of JSON, both ways: what the collector stores and serves, and what stands in the
//! companion of a discovery document. Pure. A line that is not an edge is an error that says why;
//! the lines around it still count.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    edge::{DnsName, Edge, EdgeKey, Peer},
    flow::{Direction, Entity, Protocol},
    names::{ClusterName, NsName, Workload},
    sighting::Outcome,
    time::Timestamp,
};

/// Why a line is not an edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEdge {
    #[error("it is not the JSON of an edge: {0}")]
    Json(String),
    #[error("`{field}` is {shown:?}")]
    Field { field: &'static str, shown: crate::domain::names::Text },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    namespace: String,
    workload: Owner,
    direction: String,
    peer: WirePeer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    protocol: String,
    port: u16,
    outcome: String,
    #[serde(flatten)]
    seen: WireSeen,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    kind: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WirePeer {
    Pods { namespace: String, workload: Owner },
    Entity(String),
    Address(IpAddr),
    Unsaid(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSeen {
    flows: u64,
    /// RFC 3339.
    first: String,
    last: String,
    /// Epoch hours.
    hours: Vec<i64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    fresh: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    stale: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    ambiguous: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chain: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_secs: Option<u32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One line, without the newline.
pub fn to_line(key: &EdgeKey, edge: &Edge) -> String {
    let owner = |workload: &Workload| Owner {
        kind: workload.kind.as_str().to_owned(),
        name: workload.name.as_str().to_owned(),
    };
    let names = |names: &[DnsName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    let line = Line {
        namespace: key.ns.as_str().to_owned(),
        workload: owner(&key.workload),
        direction: key.direction.as_str().to_owned(),
        peer: match &key.peer {
            Peer::Pods { ns, workload } => {
                WirePeer::Pods { namespace: ns.as_str().to_owned(), workload: owner(workload) }
            }
            Peer::Entity(entity) => WirePeer::Entity(entity.as_str().to_owned()),
            Peer::Address(address) => WirePeer::Address(*address),
            Peer::Unsaid(class) => WirePeer::Unsaid(class.as_str().to_owned()),
        },
        name: key.name.as_ref().map(|name| name.as_str().to_owned()),
        protocol: key.protocol.as_str().to_owned(),
        port: key.port,
        outcome: key.outcome.as_str().to_owned(),
        seen: WireSeen {
            flows: edge.flows,
            first: time(edge.first),
            last: time(edge.last),
            hours: edge.hours.iter().collect(),
            fresh: edge.fresh,
            stale: edge.stale,
            ambiguous: edge.ambiguous,
            also: names(&edge.also),
            chain: names(&edge.chain),
            ttl_secs: edge.ttl_secs,
        },
    };
    serde_json::to_string(&line).expect("strings and numbers only: it cannot fail")
}

/// A line of a companion: an edge, and the cluster it was seen in. The error says what is wrong.
pub fn from_companion_line(line: &str) -> Result<(ClusterName, EdgeKey, Edge), String> {
    let mut value: Value = serde_json::from_str(line).map_err(|bad| format!("it is not JSON ({bad})"))?;
    let cluster = value.as_object_mut().and_then(|object| object.remove("cluster"));
    let cluster = cluster.as_ref().and_then(Value::as_str).ok_or("it names no cluster")?;
    let cluster = ClusterName::parse(cluster).map_err(|bad| bad.to_string())?;
    let (key, edge) = from_line(&value.to_string()).map_err(|bad| bad.to_string())?;
    Ok((cluster, key, edge))
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// The edge of one line.
pub fn from_line(line: &str) -> Result<(EdgeKey, Edge), BadEdge> {
    let line: Line = serde_json::from_str(line).map_err(|bad| BadEdge::Json(bad.to_string()))?;
    let key = EdgeKey {
        ns: ns_of("namespace", &line.namespace)?,
        workload: Workload::new(&line.workload.kind, &line.workload.name),
        direction: known("direction", &line.direction, Direction::parse)?,
        peer: match &line.peer {
            WirePeer::Pods { namespace, workload } => Peer::Pods {
                ns: ns_of("peer.namespace", namespace)?,
                workload: Workload::new(&workload.kind, &workload.name),
            },
            WirePeer::Entity(raw) => Peer::Entity(known("peer.entity", raw, Entity::parse)?),
            WirePeer::Address(address) => Peer::Address(*address),
            WirePeer::Unsaid(class) => Peer::Unsaid(class.as_str().into()),
        },
        name: line.name.as_deref().map(|raw| known("name", raw, DnsName::parse)).transpose()?,
        protocol: known("protocol", &line.protocol, Protocol::parse)?,
        port: line.port,
        outcome: known("outcome", &line.outcome, Outcome::parse)?,
    };
    Ok((key, edge_of(&line.seen)?))
}

fn edge_of(seen: &WireSeen) -> Result<Edge, BadEdge> {
    let names = |field, raw: &[String]| {
        let mut names = raw
            .iter()
            .take(Edge::NAMES)
            .map(|raw| known(field, raw, DnsName::parse))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort();
        Ok::<_, BadEdge>(names)
    };
    Ok(Edge {
        flows: seen.flows,
        first: known("first", &seen.first, timestamp)?,
        last: known("last", &seen.last, timestamp)?,
        hours: seen.hours.iter().copied().collect(),
        fresh: seen.fresh,
        stale: seen.stale,
        ambiguous: seen.ambiguous,
        also: names("also", &seen.also)?,
        chain: names("chain", &seen.chain)?,
        ttl_secs: seen.ttl_secs,
    })
}

fn timestamp(raw: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(raw).ok().map(|at| at.to_utc())
}

fn ns_of(field: &'static str, raw: &str) -> Result<NsName, BadEdge> {
    known(field, raw, |raw| NsName::parse(raw).ok())
}

fn known<T>(field: &'static str, raw: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, BadEdge> {
    parse(raw).ok_or_else(|| BadEdge::Field { field, shown: raw.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"namespace":"shop","workload":{"kind":"Deployment","name":"cart"},"direction":"egress","peer":{"address":"203.0.113.80"},"name":"api.payments.example","protocol":"TCP","port":443,"outcome":"allowed","flows":12,"first":"2026-03-02T09:15:04.120394Z","last":"2026-03-08T10:00:00Z","hours":[492345,492490],"fresh":10,"ambiguous":2,"also":["cdn.example"],"ttlSecs":30}"#;

    #[test]
    fn a_line_survives_both_ways() {
        let (key, edge) = from_line(LINE).expect("an edge");
        assert_eq!(key.name.as_ref().map(DnsName::as_str), Some("api.payments.example"));
        assert_eq!((edge.flows, edge.hours.len(), edge.ttl_secs), (12, 2, Some(30)));
        assert_eq!(to_line(&key, &edge), LINE);
    }

    #[test]
    fn what_is_not_an_edge_says_why() {
        for (from, to, why) in [
            ("egress", "out", "`direction` is \"out\""),
            ("\"shop\"", "\"Shop\"", "`namespace` is \"Shop\""),
            ("2026-03-02T09", "then", "`first` is \"then:15:04.120394Z\""),
        ] {
            let said = from_line(&LINE.replacen(from, to, 1)).expect_err("wrong").to_string();
            assert_eq!(said, why);
        }
        assert!(from_line("{").expect_err("half").to_string().starts_with("it is not the JSON of an edge"));
    }
}
