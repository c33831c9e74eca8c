//! A second, naive opinion on what policies allow: a handful of pods, destinations and callers, each
//! pair judged by the text of the NetworkPolicy rules. Shares nothing with the product.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;
use sluice::sim::api::cluster::Cluster;

/// Pairs (pod, other side) that may talk.
pub type Allowed = BTreeSet<(String, String)>;

const SIDES: [(&str, u64); 5] =
    [("10.0.0.10", 53), ("10.0.0.10", 443), ("192.0.2.7", 443), ("198.51.100.9", 8443), ("203.0.113.1", 80)];

/// Everything that the policies of namespace `shop` allow now, in both directions.
pub fn allowed(cluster: &Cluster) -> Allowed {
    let policies = cluster.policies();
    let mut out = Allowed::new();
    for pod in cluster.objects("v1", "Pod").iter().filter(|pod| pod["metadata"]["namespace"] == "shop") {
        for (types, field, peers) in [("Egress", "egress", "to"), ("Ingress", "ingress", "from")] {
            let judging: Vec<&Value> = policies
                .iter()
                .map(AsRef::as_ref)
                .filter(|policy| policy["metadata"]["namespace"] == "shop")
                .filter(|policy| has(&policy["spec"]["policyTypes"], types))
                .filter(|policy| selects(&policy["spec"]["podSelector"], pod))
                .collect();
            for (address, port) in SIDES {
                let rules = judging.iter().flat_map(|policy| list(&policy["spec"][field]));
                if judging.is_empty() || rules.into_iter().any(|rule| matches(rule, peers, address, port)) {
                    let name = pod["metadata"]["name"].as_str().expect("a name");
                    out.insert((name.to_owned(), format!("{field} {address}:{port}")));
                }
            }
        }
    }
    out
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map(|list| list.iter().collect()).unwrap_or_default()
}

fn has(types: &Value, word: &str) -> bool {
    list(types).iter().any(|value| *value == word)
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted.into_iter().flatten().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
}

fn matches(rule: &Value, peers: &str, address: &str, port: u64) -> bool {
    let peers = list(&rule[peers]);
    let ports = list(&rule["ports"]);
    let address: IpAddr = address.parse().expect("an address");
    let peer = peers.is_empty()
        || peers.iter().any(|peer| {
            let cidr: ipnet::IpNet =
                peer["ipBlock"]["cidr"].as_str().expect("only blocks").parse().expect("one");
            cidr.contains(&address)
        });
    peer && (ports.is_empty() || ports.iter().any(|value| value["port"] == port))
}
