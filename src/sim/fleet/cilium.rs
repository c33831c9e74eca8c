//! CiliumNetworkPolicies as far as the rollout writes them: endpoints, host names, entities and
//! networks by port. Deny rules and L7 rules are left out: nobody in a scenario writes them. Pure.

use serde_json::Value;

use crate::sim::fleet::verdict::{Peer, PeerRule, Policy, PortChoice, PortRule, Rule, Selector, items};

pub const API_VERSION: &str = "cilium.io/v2";
pub const KIND: &str = "CiliumNetworkPolicy";

const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// Reads a policy. A section with a rule in it isolates; an empty or absent one says nothing.
pub(super) fn read(object: &Value) -> Policy {
    let spec = &object["spec"];
    let section = |list: &Value, side: &str| {
        let rules: Vec<Rule> = items(list).map(|r| rule(r, side)).collect();
        (!rules.is_empty()).then_some(rules)
    };
    Policy {
        kind: KIND,
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        subject: selector(&spec["endpointSelector"]),
        ingress: section(&spec["ingress"], "from"),
        egress: section(&spec["egress"], "to"),
    }
}

/// Whether a peer is of a kind that Cilium has a name for.
pub(super) fn is_entity(entity: &str, peer: &Peer<'_>) -> bool {
    let control_plane = |name: &str| name.starts_with("control-plane");
    match (entity, peer) {
        ("all", _) => true,
        ("world", Peer::External { .. }) => true,
        ("kube-apiserver", Peer::Node { name, .. }) => control_plane(name),
        ("host" | "remote-node", Peer::Node { .. }) => true,
        ("cluster", Peer::Pod(_) | Peer::Node { .. }) => true,
        (_, Peer::External { .. } | Peer::Pod(_) | Peer::Node { .. }) => false,
    }
}

/// A rule without peers and without ports matches nobody here, unlike in a NetworkPolicy.
fn rule(rule: &Value, side: &str) -> Rule {
    let list = |name: &str| rule.get(format!("{side}{name}"));
    let each = |name: &str, read: fn(&Value) -> PeerRule| {
        list(name).into_iter().flat_map(items).map(read).collect::<Vec<_>>()
    };
    let mut peers = each("Endpoints", endpoint);
    peers.extend(each("FQDNs", host));
    peers.extend(each("Entities", |e| PeerRule::Entity(text(e))));
    peers.extend(each("CIDR", |cidr| PeerRule::Block { cidr: text(cidr).parse().ok(), except: Vec::new() }));
    peers.extend(each("CIDRSet", |set| PeerRule::Block {
        cidr: text(&set["cidr"]).parse().ok(),
        except: items(&set["except"]).filter_map(|net| text(net).parse().ok()).collect(),
    }));
    let ports: Vec<PortRule> = items(&rule["toPorts"]).flat_map(|to| items(&to["ports"])).map(port).collect();
    if peers.is_empty() && ports.is_empty() {
        peers.push(PeerRule::Nobody);
    }
    Rule { peers, ports }
}

/// Without a namespace in it, a selector means the policy's own.
fn endpoint(value: &Value) -> PeerRule {
    let mut pods = selector(value);
    let namespace = pods.labels.remove(NAMESPACE);
    let namespaces = namespace.map(|name| {
        Selector::read(&serde_json::json!({ "matchLabels": { "kubernetes.io/metadata.name": name } }))
    });
    PeerRule::Selected { namespaces, pods: Some(pods) }
}

fn host(value: &Value) -> PeerRule {
    let name = value["matchName"].as_str().or_else(|| value["matchPattern"].as_str());
    PeerRule::Name(name.unwrap_or_default().to_owned())
}

fn port(value: &Value) -> PortRule {
    let protocol = value["protocol"].as_str().filter(|p| *p != "ANY").map(str::to_owned);
    let raw = text(&value["port"]);
    let last = value["endPort"].as_u64().and_then(|n| u16::try_from(n).ok());
    let port = match raw.parse::<u16>() {
        Ok(0) => PortChoice::Any,
        Ok(first) => PortChoice::Range(first, last.unwrap_or(first)),
        Err(_) => PortChoice::Named(raw),
    };
    PortRule { protocol, port }
}

/// Labels may be written with their source in front.
fn selector(value: &Value) -> Selector {
    let mut selector = Selector::read(value);
    selector.labels = selector
        .labels
        .into_iter()
        .map(|(key, value)| (key.strip_prefix("k8s:").map(str::to_owned).unwrap_or(key), value))
        .collect();
    selector
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
