//! The second opinion: what the Kubernetes API reference says of NetworkPolicy, sentence by sentence,
//! on the objects as JSON. Slow, plain, and without a line of the product. Blocks are matched by
//! address, as Kubernetes' own end-to-end suite does.

use std::net::IpAddr;

use serde_json::Value;

/// One end of a connection: a pod object, or an address outside.
#[derive(Clone, Copy)]
pub struct End<'a> {
    pub pod: Option<&'a Value>,
    pub address: IpAddr,
}

/// May the connection be made? Both ends have their say.
pub fn allowed(objects: &[Value], from: End<'_>, to: End<'_>, protocol: &str, port: u16) -> bool {
    if let (Some(a), Some(b)) = (from.pod, to.pod)
        && a["metadata"]["name"] == b["metadata"]["name"]
        && a["metadata"]["namespace"] == b["metadata"]["namespace"]
    {
        return true;
    }
    let egress = from.pod.is_none_or(|pod| passes(objects, "Egress", pod, to, to.pod, (protocol, port)));
    let ingress = to.pod.is_none_or(|pod| passes(objects, "Ingress", pod, from, to.pod, (protocol, port)));
    egress && ingress
}

/// "Is this pod isolated in this direction?"
pub fn isolated(objects: &[Value], which: &str, pod: &Value) -> bool {
    !selecting(objects, which, pod).is_empty()
}

fn selecting<'o>(objects: &'o [Value], which: &str, pod: &Value) -> Vec<&'o Value> {
    let mut found = Vec::new();
    for object in objects {
        if object["kind"] == "NetworkPolicy"
            && object["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && types(&object["spec"]).contains(&which)
            && selects(&object["spec"]["podSelector"], &pod["metadata"]["labels"])
        {
            found.push(object);
        }
    }
    found
}

/// "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and
/// Egress will be set if the NetworkPolicy has any egress rules."
fn types(spec: &Value) -> Vec<&'static str> {
    let mut types = Vec::new();
    match spec["policyTypes"].as_array() {
        Some(list) if !list.is_empty() => {
            for one in list {
                types.push(if one == "Egress" { "Egress" } else { "Ingress" });
            }
        }
        _ => {
            types.push("Ingress");
            if spec["egress"].as_array().is_some_and(|rules| !rules.is_empty()) {
                types.push("Egress");
            }
        }
    }
    types
}

/// Does one end let it pass?
pub fn passes(
    objects: &[Value],
    which: &str,
    subject: &Value,
    peer: End<'_>,
    destination: Option<&Value>,
    (protocol, port): (&str, u16),
) -> bool {
    let policies = selecting(objects, which, subject);
    if policies.is_empty() {
        return true;
    }
    let (rules, peers) = if which == "Egress" { ("egress", "to") } else { ("ingress", "from") };
    for policy in policies {
        for rule in policy["spec"][rules].as_array().into_iter().flatten() {
            let from = rule[peers].as_array();
            let is_peer = match from {
                None => true,
                Some(list) if list.is_empty() => true,
                Some(list) => list.iter().any(|one| is_peer(objects, policy, one, peer)),
            };
            let ports = rule["ports"].as_array();
            let is_port = match ports {
                None => true,
                Some(list) if list.is_empty() => true,
                Some(list) => list.iter().any(|one| is_port(one, destination, protocol, port)),
            };
            if is_peer && is_port {
                return true;
            }
        }
    }
    false
}

fn is_peer(objects: &[Value], policy: &Value, rule: &Value, peer: End<'_>) -> bool {
    if !rule["ipBlock"].is_null() {
        let block = &rule["ipBlock"];
        let inside = |cidr: &Value| is_inside(cidr.as_str().expect("a network"), peer.address);
        let except = block["except"].as_array();
        return inside(&block["cidr"]) && !except.is_some_and(|list| list.iter().any(inside));
    }
    let Some(pod) = peer.pod else { return false };
    let namespace = &pod["metadata"]["namespace"];
    let namespace_fits = if rule["namespaceSelector"].is_null() {
        *namespace == policy["metadata"]["namespace"]
    } else {
        let object =
            objects.iter().find(|one| one["kind"] == "Namespace" && one["metadata"]["name"] == *namespace);
        let mut labels = object.expect("every namespace is there")["metadata"]["labels"].clone();
        labels["kubernetes.io/metadata.name"] = namespace.clone();
        selects(&rule["namespaceSelector"], &labels)
    };
    let pod_fits = rule["podSelector"].is_null() || selects(&rule["podSelector"], &pod["metadata"]["labels"]);
    namespace_fits && pod_fits
}

/// Bit by bit.
fn is_inside(cidr: &str, address: IpAddr) -> bool {
    let (base, length) = cidr.split_once('/').expect("a network");
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let (base, address) = (bits(base.parse().expect("an address")), bits(address));
    let length: usize = length.parse().expect("a length");
    base.len() == address.len() && base[..length] == address[..length]
}

fn is_port(rule: &Value, destination: Option<&Value>, protocol: &str, port: u16) -> bool {
    if rule["protocol"].as_str().unwrap_or("TCP") != protocol {
        return false;
    }
    match &rule["port"] {
        Value::Null => true,
        Value::String(name) => {
            let containers = destination.and_then(|pod| pod["spec"]["containers"].as_array());
            containers.into_iter().flatten().any(|container| {
                container["ports"].as_array().into_iter().flatten().any(|one| {
                    one["name"] == **name
                        && one["protocol"].as_str().unwrap_or("TCP") == protocol
                        && one["containerPort"] == port
                })
            })
        }
        number => {
            let first = number.as_u64().expect("a port");
            let last = rule["endPort"].as_u64().unwrap_or(first);
            (first..=last).contains(&u64::from(port))
        }
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        if labels.get(key) != Some(value) {
            return false;
        }
    }
    for one in selector["matchExpressions"].as_array().into_iter().flatten() {
        let have = labels.get(one["key"].as_str().expect("a key"));
        let listed = have.is_some_and(|have| one["values"].as_array().is_some_and(|all| all.contains(have)));
        let fits = match one["operator"].as_str().expect("an operator") {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => have.is_some(),
            "DoesNotExist" => have.is_none(),
            other => panic!("{other}"),
        };
        if !fits {
            return false;
        }
    }
    true
}
