//! NetworkPolicies: what is filled in, and what is refused with which causes (scenes 20 and 42).
//! It never says what a policy does to traffic. Input is a policy in the form of [`super::shape`].

use std::net::IpAddr;

use serde_json::{Value, json};

use super::errors::FieldError;
use super::{meta, words};

const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Fills in what a policy leaves out: policyTypes, and TCP where a port has no protocol.
pub fn default(policy: &mut Value) {
    let spec = &mut policy["spec"];
    for direction in ["ingress", "egress"] {
        for rule in spec[direction].as_array_mut().into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if port["protocol"].is_null() {
                    port["protocol"] = json!("TCP");
                }
            }
        }
        if spec[direction].is_null() {
            spec.as_object_mut().and_then(|spec| spec.remove(direction));
        }
    }
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
        spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
}

/// What is wrong with the spec, in the order of the real server.
pub fn validate_spec(policy: &Value) -> Vec<FieldError> {
    let spec = &policy["spec"];
    let mut errors = selector("spec.podSelector", &spec["podSelector"]);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(&spec[direction]) {
            let at = format!("spec.{direction}[{index}]");
            for (index, port) in items(&rule["ports"]) {
                errors.extend(validate_port(&format!("{at}.ports[{index}]"), port));
            }
            for (index, peer) in items(&rule[peers]) {
                errors.extend(validate_peer(&format!("{at}.{peers}[{index}]"), peer));
            }
        }
    }
    errors.extend(policy_types(&spec["policyTypes"]));
    errors
}

fn policy_types(types: &Value) -> Vec<FieldError> {
    if types.as_array().is_some_and(|list| list.len() > 2) {
        let said = "may not specify more than two policyTypes";
        return vec![FieldError::invalid("spec.policyTypes", types, said)];
    }
    items(types)
        .filter(|(_, one)| !["Ingress", "Egress"].contains(&one.as_str().unwrap_or_default()))
        .map(|(index, one)| {
            FieldError::not_supported(format!("spec.policyTypes[{index}]"), one, &["Ingress", "Egress"])
        })
        .collect()
}

fn validate_port(at: &str, port: &Value) -> Vec<FieldError> {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let mut errors = Vec::new();
    let protocol = &port["protocol"];
    if !protocol.is_null() && !PROTOCOLS.contains(&protocol.as_str().unwrap_or_default()) {
        errors.push(FieldError::not_supported(format!("{at}.protocol"), protocol, &PROTOCOLS));
    }
    let (number, last) = (&port["port"], &port["endPort"]);
    let (here, end) = (format!("{at}.port"), format!("{at}.endPort"));
    match number {
        Value::Number(_) => {
            let first = number.as_i64().unwrap_or_default();
            errors.extend(
                words::port_number(first).into_iter().map(|said| FieldError::invalid(&here, number, said)),
            );
            if let Some(until) = last.as_i64() {
                if until < first {
                    let said = "must be greater than or equal to `port`";
                    errors.push(FieldError::invalid(&end, number, said));
                }
                errors.extend(
                    words::port_number(until).into_iter().map(|said| FieldError::invalid(&end, last, said)),
                );
            }
        }
        Value::String(name) => {
            if !last.is_null() {
                errors.push(FieldError::invalid(
                    &end,
                    last,
                    "may not be specified when `port` is non-numeric",
                ));
            }
            errors.extend(
                words::port_name(name).into_iter().map(|said| FieldError::invalid_text(&here, name, said)),
            );
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            if !last.is_null() {
                let said = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(&end, last, said));
            }
        }
    }
    errors
}

fn validate_peer(at: &str, peer: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let given = |field: &str| !peer[field].is_null();
    for field in ["podSelector", "namespaceSelector"] {
        if given(field) {
            errors.extend(selector(&format!("{at}.{field}"), &peer[field]));
        }
    }
    if given("ipBlock") {
        errors.extend(ip_block(&format!("{at}.ipBlock"), &peer["ipBlock"]));
    }
    let selectors = given("podSelector") || given("namespaceSelector");
    match (selectors, given("ipBlock")) {
        (false, false) => errors.push(FieldError::required(at, "must specify a peer")),
        (true, true) => {
            errors.push(FieldError::forbidden(at, "may not specify both ipBlock and another peer"));
        }
        (true, false) | (false, true) => {}
    }
    errors
}

/// A label selector, wherever it stands.
pub fn selector(at: &str, selector: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(labels) = selector["matchLabels"].as_object() {
        errors.extend(meta::labels_at(&format!("{at}.matchLabels"), labels));
    }
    for (index, one) in items(&selector["matchExpressions"]) {
        errors.extend(requirement(&format!("{at}.matchExpressions[{index}]"), one));
    }
    errors
}

fn requirement(at: &str, one: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let count = one["values"].as_array().map_or(0, Vec::len);
    let values = format!("{at}.values");
    match one["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if count == 0 => {
            let said = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values, said));
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let said = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values, said));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => {
            let said = "not a valid selector operator";
            errors.push(FieldError::invalid(format!("{at}.operator"), &one["operator"], said));
        }
    }
    let key = one["key"].as_str().unwrap_or_default();
    errors.extend(
        words::qualified(key)
            .into_iter()
            .map(|said| FieldError::invalid_text(format!("{at}.key"), key, said)),
    );
    for (index, value) in items(&one["values"]) {
        let text = value.as_str().unwrap_or_default();
        errors.extend(
            words::label_value(text)
                .into_iter()
                .map(|said| FieldError::invalid_text(format!("{values}[{index}]"), text, said)),
        );
    }
    errors
}

fn ip_block(at: &str, block: &Value) -> Vec<FieldError> {
    let cidr = block["cidr"].as_str().unwrap_or_default();
    if cidr.is_empty() {
        return vec![FieldError::required(format!("{at}.cidr"), "")];
    }
    let mut errors = complaints(&format!("{at}.cidr"), cidr);
    let Some(whole) = Network::parse(cidr) else { return errors };
    for (index, except) in items(&block["except"]) {
        let (at, text) = (format!("{at}.except[{index}]"), except.as_str().unwrap_or_default());
        errors.extend(complaints(&at, text));
        if Network::parse(text).is_some_and(|part| !whole.strictly_holds(&part)) {
            errors.push(FieldError::invalid_text(at, text, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

fn complaints(at: &str, text: &str) -> Vec<FieldError> {
    let said = match Network::parse(text) {
        None => Some(CIDR),
        Some(network) if network.leading_zeros => Some("must not have leading 0s in IP or prefix length"),
        Some(network) if network.mapped => Some("must not have an IPv4-mapped IPv6 address"),
        Some(network) if network.bits & !network.mask() != 0 => {
            Some("must not have bits set beyond the prefix length")
        }
        Some(_) => None,
    };
    said.map(|said| FieldError::invalid_text(at, text, said)).into_iter().collect()
}

/// A CIDR read as forgivingly as the server reads it before it complains.
struct Network {
    /// The address in the upper bits, so that one mask serves both families.
    bits: u128,
    prefix: u32,
    six: bool,
    leading_zeros: bool,
    mapped: bool,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut leading_zeros = prefix.len() > 1 && prefix.starts_with('0');
        let prefix: u32 = prefix.parse().ok()?;
        let plain = if address.contains(':') {
            address.to_owned()
        } else {
            let parts: Vec<&str> = address.split('.').collect();
            leading_zeros |= parts.iter().any(|part| part.len() > 1 && part.starts_with('0'));
            let stripped: Vec<&str> = parts
                .iter()
                .map(|part| match part.trim_start_matches('0') {
                    "" if !part.is_empty() => "0",
                    rest => rest,
                })
                .collect();
            stripped.join(".")
        };
        let (bits, longest, six, mapped) = match plain.parse::<IpAddr>().ok()? {
            IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32, false, false),
            IpAddr::V6(all) => (u128::from(all), 128, true, all.to_ipv4_mapped().is_some()),
        };
        (prefix <= longest).then_some(Self { bits, prefix, six, leading_zeros, mapped })
    }

    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0)
    }

    fn strictly_holds(&self, part: &Self) -> bool {
        self.six == part.six && self.prefix < part.prefix && (self.bits ^ part.bits) & self.mask() == 0
    }
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}
