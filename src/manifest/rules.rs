//! Rules of a NetworkPolicy as JSON -> values, every field of the API. A field that is not known
//! makes its rule one that is not understood, never one that is harmless. The only reader of such
//! rules. Pure.

use std::net::IpAddr;

use compact_str::CompactString;
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::domain::{
    eval::rule::{Network, Peer, Pods, PortMatch, Read, Rule},
    flow::{Direction, Protocol},
    grant::PortSpan,
    names::Text,
    policy::{self, Selector, Spec},
};

/// What could not be understood, in words.
pub(super) type Said<T> = Result<T, String>;

/// The rules of a NetworkPolicy; `None` for other kinds.
pub(super) fn network(spec: &Spec) -> Option<Network> {
    let Spec::Network { selector, egress, ingress } = spec else { return None };
    let read = |rules: &Option<Vec<policy::Rule>>, direction| {
        rules.as_ref().map(|rules| rules.iter().map(|rule| read(rule, direction)).collect())
    };
    Some(Network {
        selector: selector.clone(),
        egress: read(egress, Direction::Egress),
        ingress: read(ingress, Direction::Ingress),
    })
}

fn read(rule: &policy::Rule, direction: Direction) -> Read {
    let value = serde_json::from_str::<Value>(&rule.0).unwrap_or(Value::Null);
    self::rule(&value, direction).map_err(Text::from)
}

/// Peers and ports of one rule. No peers are all, no ports are all.
fn rule(rule: &Value, direction: Direction) -> Said<Rule> {
    let field = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let rule = fields(rule, "the rule", &[field, "ports"])?;
    Ok(Rule {
        peers: list(rule, field)?.iter().map(peer).collect::<Result<_, _>>()?,
        ports: list(rule, "ports")?.iter().map(port).collect::<Result<_, _>>()?,
    })
}

fn peer(peer: &Value) -> Said<Peer> {
    let peer = fields(peer, "a peer", &["ipBlock", "podSelector", "namespaceSelector"])?;
    match (peer.get("ipBlock"), peer.len()) {
        (Some(block), 1) => {
            let block = fields(block, "ipBlock", &["cidr", "except"])?;
            let network = cidr(block.get("cidr"))?;
            let except =
                list(block, "except")?.iter().map(|one| cidr(Some(one))).collect::<Result<_, _>>()?;
            Ok(Peer::Block { network, except })
        }
        (None, 1..) => Ok(Peer::Pods(Pods {
            namespaces: selector(peer, "namespaceSelector")?,
            pods: selector(peer, "podSelector")?,
        })),
        (Some(_), _) => Err("a peer has an ipBlock beside a selector".to_owned()),
        (None, 0) => Err("a peer is empty".to_owned()),
    }
}

/// `None`: it is not given, which is not the same as an empty one.
fn selector(peer: &Map<String, Value>, field: &str) -> Said<Option<Selector>> {
    let Some(value) = peer.get(field) else { return Ok(None) };
    fields(value, field, &["matchLabels", "matchExpressions"])?;
    super::selector(value, field).map(Some)
}

fn port(port: &Value) -> Said<PortMatch> {
    let port = fields(port, "a port", &["protocol", "port", "endPort"])?;
    let protocol = match port.get("protocol").map(Value::as_str) {
        None => Protocol::Tcp,
        Some(raw) => raw.and_then(named_protocol).ok_or("a port has a protocol that is not known")?,
    };
    let end = port.get("endPort").map(|end| number(end).ok_or("endPort is no port number")).transpose()?;
    match (port.get("port"), end) {
        (None, None) => Ok(PortMatch::Protocol(protocol)),
        (Some(Value::String(name)), None) => {
            Ok(PortMatch::Named { name: CompactString::new(name), protocol })
        }
        (Some(value), end) => {
            let from = number(value).ok_or("a port is no port number")?;
            let to = end.unwrap_or(from);
            if to < from {
                return Err("endPort is below port".to_owned());
            }
            Ok(PortMatch::Span(PortSpan { protocol, from, to }))
        }
        (None, Some(_)) => Err("endPort stands without port".to_owned()),
    }
}

pub(super) fn named_protocol(raw: &str) -> Option<Protocol> {
    Protocol::parse(raw).filter(|protocol| matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp))
}

pub(super) fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
}

/// `10.0.0.0/8`; Cilium takes a bare address too.
pub(super) fn cidr(value: Option<&Value>) -> Said<IpNet> {
    let raw = value.and_then(Value::as_str).ok_or("a network is missing")?;
    let network =
        raw.parse::<IpNet>().ok().or_else(|| raw.parse().ok().map(|address: IpAddr| address.into()));
    network.map(|network| network.trunc()).ok_or_else(|| format!("{:?} is no network", Text::new(raw)))
}

/// An object of which every field is known.
pub(super) fn fields<'v>(value: &'v Value, what: &str, known: &[&str]) -> Said<&'v Map<String, Value>> {
    let map = value.as_object().ok_or_else(|| format!("{what} is not an object"))?;
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{what} has the field {}", Text::new(key))),
        None => Ok(map),
    }
}

/// The list of a field; nothing where it is not there.
pub(super) fn list<'v>(map: &'v Map<String, Value>, field: &str) -> Said<&'v [Value]> {
    match map.get(field) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("{field} is not a list")),
    }
}
