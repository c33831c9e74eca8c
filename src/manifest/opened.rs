//! Rules of policies -> what they open, peer by peer. Of NetworkPolicies every field is understood;
//! of Cilium's the ones that an allowlist by name needs. A field that is not known, or one whose
//! meaning other objects decide, makes its rule one that is not understood. Pure.

use serde_json::Value;

use super::{
    PolicyKind, Requirement, Selector, Text,
    rules::{Said, cidr, fields, list, named_protocol, number},
};
use crate::domain::{
    edge::DnsName,
    eval::rule::{Network, Peer, PortMatch},
    flow::{Direction, Entity, Protocol},
    grant::PortSpan,
    opened::{Opened, Ports, What},
};

/// Everything that a policy of this kind opens.
pub(super) fn of(kind: PolicyKind, network: Option<&Network>, canonical: &Value) -> Vec<Opened> {
    match (network, kind) {
        (Some(network), _) => {
            Direction::ALL.into_iter().flat_map(|direction| of_network(network, direction)).collect()
        }
        (None, PolicyKind::CiliumNetworkPolicy | PolicyKind::NetworkPolicy) => cilium(canonical),
        (None, PolicyKind::CiliumClusterwideNetworkPolicy) => {
            let why = "sluice does not read cluster-wide policies";
            Direction::ALL.map(|direction| unknown(direction, 1, why.into())).into()
        }
    }
}

fn unknown(direction: Direction, rule: u32, why: Text) -> Opened {
    let (selector, ports) = (Selector::default(), Ports::all());
    Opened { direction, rule, selector, what: What::Unknown(why), entity: None, ports }
}

fn of_network(network: &Network, direction: Direction) -> Vec<Opened> {
    let mut out = Vec::new();
    for (rule, at) in network.rules(direction).unwrap_or_default().iter().zip(1..) {
        match rule {
            Err(why) => out.push(unknown(direction, at, why.clone())),
            Ok(rule) => {
                let ports = ports_of(&rule.ports);
                out.extend(peers_of(&rule.peers).into_iter().map(|what| {
                    let (selector, ports) = (network.selector.clone(), ports.clone());
                    Opened { direction, rule: at, selector, what, entity: None, ports }
                }));
            }
        }
    }
    out
}

fn peers_of(peers: &[Peer]) -> Vec<What> {
    if peers.is_empty() {
        return vec![What::Everything];
    }
    let what = peers.iter().map(|peer| match peer {
        Peer::Block { network, except } => What::Block { network: *network, except: except.clone() },
        Peer::Pods(_) => What::Inside,
    });
    what.collect()
}

fn ports_of(ports: &[PortMatch]) -> Ports {
    if ports.is_empty() {
        return Ports::all();
    }
    let (mut spans, mut named) = (Vec::new(), Vec::new());
    for port in ports {
        match port {
            PortMatch::Protocol(protocol) => spans.push(PortSpan::all_of(*protocol)),
            PortMatch::Span(span) => spans.push(*span),
            PortMatch::Named { name, .. } => named.push(Text::new(name)),
        }
    }
    Ports::new(spans, named)
}

/// A CiliumNetworkPolicy: one spec, or several.
fn cilium(canonical: &Value) -> Vec<Opened> {
    let parts: Vec<&Value> = match (canonical.get("spec"), canonical.get("specs").and_then(Value::as_array)) {
        (None, None) => vec![canonical],
        (spec, specs) => spec.into_iter().chain(specs.into_iter().flatten()).collect(),
    };
    let mut counts = [0; 2];
    parts.into_iter().flat_map(|part| cilium_part(part, &mut counts)).collect()
}

/// `counts` goes on over the parts, so that each rule has a number of its own.
fn cilium_part(part: &Value, counts: &mut [u32; 2]) -> Vec<Opened> {
    let selector = cilium_selector(part);
    let mut out = Vec::new();
    for (direction, count) in Direction::ALL.into_iter().zip(counts) {
        let field = super::fields(direction).0;
        let rules = part.get(field);
        let listed = rules.map_or(Some(&[][..]), |rules| rules.as_array().map(Vec::as_slice));
        let denies = format!("{field}Deny");
        if part.get(&denies).and_then(Value::as_array).is_some_and(|rules| !rules.is_empty()) {
            *count += 1;
            out.push(unknown(direction, *count, format!("{denies} wins over what is allowed").into()));
        }
        let Some(rules) = listed else {
            *count += 1;
            out.push(unknown(direction, *count, format!("{field} is not a list").into()));
            continue;
        };
        for rule in rules {
            *count += 1;
            let read = selector.clone().and_then(|selector| Ok((selector, cilium_rule(rule, direction)?)));
            match read {
                Err(why) => out.push(unknown(direction, *count, why.into())),
                Ok((selector, (peers, ports))) => out.extend(peers.into_iter().map(|(what, entity)| {
                    let (selector, ports) = (selector.clone(), ports.clone());
                    Opened { direction, rule: *count, selector, what, entity, ports }
                })),
            }
        }
    }
    out
}

/// The endpoint selector with its keys as pods carry them: `k8s:` and `any:` say where a label came
/// from, and a pod's come from Kubernetes.
fn cilium_selector(part: &Value) -> Said<Selector> {
    let Some(raw) = part.get("endpointSelector") else {
        return Err("it has no endpointSelector".to_owned());
    };
    let mut selector = super::selector(raw, "endpointSelector")?;
    for requirement in &mut selector.0 {
        let (Requirement::In { key, .. }
        | Requirement::NotIn { key, .. }
        | Requirement::Exists { key }
        | Requirement::DoesNotExist { key }) = requirement;
        if let Some((source, rest)) = key.split_once(':') {
            if !matches!(source, "k8s" | "any") {
                return Err(format!("endpointSelector asks for labels of {}", Text::new(source)));
            }
            *key = rest.into();
        }
    }
    Ok(selector)
}

/// A peer, with Cilium's word for it where it has no pod.
type Peered = (What, Option<Entity>);

/// Peers and ports of one rule of a CiliumNetworkPolicy. Several kinds of peers are taken as each
/// open by itself. A rule that says nothing allows nothing; one with ports alone allows any peer.
fn cilium_rule(rule: &Value, direction: Direction) -> Said<(Vec<Peered>, Ports)> {
    const EGRESS: &[&str] = &[
        "toEndpoints",
        "toNodes",
        "toEntities",
        "toCIDR",
        "toCIDRSet",
        "toFQDNs",
        "toPorts",
        "icmps",
        "authentication",
    ];
    const INGRESS: &[&str] = &[
        "fromEndpoints",
        "fromNodes",
        "fromEntities",
        "fromCIDR",
        "fromCIDRSet",
        "toPorts",
        "icmps",
        "authentication",
    ];
    let (known, word) = match direction {
        Direction::Egress => (EGRESS, "to"),
        Direction::Ingress => (INGRESS, "from"),
    };
    let rule = fields(rule, "the rule", known)?;
    let peers = |field: &str| list(rule, &format!("{word}{field}"));
    let mut out: Vec<Peered> = Vec::new();
    for endpoints in peers("Endpoints")? {
        out.push((endpoints_inside(endpoints)?, None));
    }
    out.extend(peers("Nodes")?.iter().map(|_| (What::Inside, None)));
    for raw in peers("Entities")? {
        let word = raw.as_str().and_then(Entity::parse);
        out.extend(entity(raw)?.into_iter().map(|what| match what {
            What::Inside => (what, word),
            what => (what, None),
        }));
    }
    for one in peers("CIDR")? {
        out.push((What::Block { network: cidr(Some(one))?, except: Vec::new() }, None));
    }
    for set in peers("CIDRSet")? {
        let set = fields(set, "a CIDR set", &["cidr", "except"])?;
        let except = list(set, "except")?.iter().map(|one| cidr(Some(one))).collect::<Result<_, _>>()?;
        out.push((What::Block { network: cidr(set.get("cidr"))?, except }, None));
    }
    for name in list(rule, "toFQDNs")? {
        out.extend(fqdn(name)?.into_iter().map(|what| (what, None)));
    }
    let ports = cilium_ports(list(rule, "toPorts")?, list(rule, "icmps")?)?;
    let names_peers = rule.iter().any(|(field, value)| {
        let is_peers = !matches!(field.as_str(), "toPorts" | "icmps" | "authentication");
        is_peers && value.as_array().is_some_and(|list| !list.is_empty())
    });
    Ok(match (names_peers, ports) {
        (false, Some(ports)) => (vec![(What::Everything, None)], ports),
        (_, ports) => (out, ports.unwrap_or_else(Ports::all)),
    })
}

/// Endpoints by labels that only pods carry. Labels of another source (`reserved:world`), or a
/// selector of what has no namespace, lead outside.
fn endpoints_inside(value: &Value) -> Said<What> {
    const NAMESPACE: &str = "io.kubernetes.pod.namespace";
    for requirement in super::selector(value, "a peer")?.0 {
        let (key, is_absence) = match &requirement {
            Requirement::In { key, .. } | Requirement::Exists { key } => (key, false),
            Requirement::NotIn { key, .. } | Requirement::DoesNotExist { key } => (key, true),
        };
        let (source, rest) = key.split_once(':').unwrap_or(("any", key));
        if !matches!(source, "k8s" | "any") || (is_absence && rest == NAMESPACE) {
            return Err(format!("a peer is selected by {}", Text::new(key)));
        }
    }
    Ok(What::Inside)
}

/// Cilium documentation, "Entities based".
fn entity(value: &Value) -> Said<Vec<What>> {
    let whole =
        |raw: &str| cidr(Some(&Value::from(raw))).map(|network| What::Block { network, except: Vec::new() });
    Ok(match value.as_str().unwrap_or_default() {
        "all" => vec![What::Everything],
        "world" => vec![whole("0.0.0.0/0")?, whole("::/0")?],
        "world-ipv4" => vec![whole("0.0.0.0/0")?],
        "world-ipv6" => vec![whole("::/0")?],
        "host" | "remote-node" | "kube-apiserver" | "cluster" | "health" | "init" | "ingress"
        | "unmanaged" => {
            vec![What::Inside]
        }
        "none" => Vec::new(),
        other => return Err(format!("{:?} is no entity that sluice knows", Text::new(other))),
    })
}

fn fqdn(value: &Value) -> Said<Vec<What>> {
    let map = fields(value, "a name", &["matchName", "matchPattern"])?;
    let mut out = Vec::new();
    for field in ["matchName", "matchPattern"] {
        let Some(raw) = map.get(field) else { continue };
        let raw = raw.as_str().ok_or_else(|| format!("{field} is not a string"))?;
        let name = DnsName::parse(raw).ok_or_else(|| format!("{field} {:?} is no name", Text::new(raw)))?;
        out.push(What::Name(name));
    }
    if out.is_empty() { Err("a name says nothing".to_owned()) } else { Ok(out) }
}

/// `None`: nothing is said of ports. What narrows further (`rules`, `serverNames`) is left aside.
fn cilium_ports(ports: &[Value], icmps: &[Value]) -> Said<Option<Ports>> {
    if ports.is_empty() && icmps.is_empty() {
        return Ok(None);
    }
    let (mut spans, mut named) = (Vec::new(), Vec::new());
    spans.extend((!icmps.is_empty()).then(|| PortSpan::all_of(Protocol::Icmp)));
    for rule in ports {
        let rule = rule.as_object().ok_or("toPorts holds something else than an object")?;
        match list(rule, "ports")? {
            [] => spans.extend(Ports::all().spans()),
            ports => {
                for port in ports {
                    cilium_port(port, &mut spans, &mut named)?;
                }
            }
        }
    }
    Ok(Some(Ports::new(spans, named)))
}

fn cilium_port(port: &Value, spans: &mut Vec<PortSpan>, named: &mut Vec<Text>) -> Said<()> {
    let port = fields(port, "a port", &["port", "endPort", "protocol"])?;
    let raw = match port.get("port") {
        None => "0",
        Some(raw) => raw.as_str().ok_or("a port is not a string")?,
    };
    let protocols = match port.get("protocol").map(|raw| raw.as_str().unwrap_or("?")) {
        None | Some("" | "ANY") if raw == "0" => {
            Ports::all().spans().iter().map(|span| span.protocol).collect()
        }
        None | Some("" | "ANY") => vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
        Some("ICMP" | "ICMPv6" | "ICMPV6") => vec![Protocol::Icmp],
        Some(raw) => vec![named_protocol(raw).ok_or("a port has a protocol that is not known")?],
    };
    let from: u16 = match raw.parse() {
        Ok(number) => number,
        Err(_) if raw.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            named.push(Text::new(raw));
            return Ok(());
        }
        Err(_) => return Err("a port is neither number nor name".to_owned()),
    };
    let to = match port.get("endPort").filter(|end| end.as_u64() != Some(0)) {
        None => from,
        Some(end) => {
            number(end).filter(|to| from > 0 && *to >= from).ok_or("endPort is below port or no number")?
        }
    };
    spans.extend(protocols.into_iter().map(|protocol| match from {
        0 => PortSpan::all_of(protocol),
        from => PortSpan { protocol, from, to },
    }));
    Ok(())
}
