//! Policies -> ways: what each peer of each rule opens, in words where it has no address, so that two
//! versions can be compared by what they mean. Pure.

use serde_json::Value;

use crate::domain::{
    author::change::Way,
    flow::Direction,
    names::Text,
    opened::{Opened, What},
    policy::{Policy, PolicyKind},
};

/// The ways of a direction.
pub fn ways<'p>(policies: impl IntoIterator<Item = &'p Policy>, direction: Direction) -> Vec<Way> {
    policies.into_iter().flat_map(|policy| of(policy, direction, |_| true)).collect()
}

/// Those of one rule, counted from 1.
pub fn of_rule(policy: &Policy, direction: Direction, rule: u32) -> Vec<Way> {
    of(policy, direction, |opened| opened.rule == rule)
}

fn of(policy: &Policy, direction: Direction, is_meant: impl Fn(&Opened) -> bool) -> Vec<Way> {
    let spec: Value = serde_json::from_str(&policy.canonical).unwrap_or(Value::Null);
    let rules = spec.get(super::fields(direction).0).and_then(Value::as_array);
    let mut out = Vec::new();
    let ours = policy.opens.iter().filter(|opened| opened.direction == direction && is_meant(opened));
    for opened in ours {
        match &opened.what {
            What::Block { .. } => out.push(Way::new(&opened.what, "", opened.ports.clone())),
            What::Everything | What::Name(_) | What::Unknown(_) => {
                let words = format!("{}{}", opened.what, of_whom(opened));
                out.push(Way::new(&opened.what, &words, opened.ports.clone()));
            }
            What::Inside => {
                let rule = rules.and_then(|rules| rules.get(opened.rule as usize - 1));
                for words in rule.map(|rule| insides(rule, policy.key.kind)).unwrap_or_default() {
                    let words = format!("{words}{}", of_whom(opened));
                    out.push(Way::new(&opened.what, &words, opened.ports.clone()));
                }
            }
        }
    }
    out
}

fn of_whom(opened: &Opened) -> String {
    match opened.selector.is_everything() {
        true => String::new(),
        false => format!(" (only {})", opened.selector),
    }
}

/// The peers of a rule that are within the cluster, in words.
fn insides(rule: &Value, kind: PolicyKind) -> Vec<String> {
    let list = |field: &str| rule.get(field).and_then(Value::as_array).into_iter().flatten();
    match kind {
        PolicyKind::NetworkPolicy => {
            let peers = list("to").chain(list("from")).filter(|peer| peer.get("ipBlock").is_none());
            peers.map(pods).collect()
        }
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            let entities = list("toEntities").chain(list("fromEntities"));
            let entities = entities.filter_map(Value::as_str).map(|it| format!("Cilium's {}", Text::new(it)));
            let endpoints = list("toEndpoints").chain(list("fromEndpoints")).map(endpoint);
            entities.chain(endpoints).collect()
        }
    }
}

fn pods(peer: &Value) -> String {
    let labels = |field: &str| peer.get(field).map(selected);
    match (labels("namespaceSelector").as_deref(), labels("podSelector").as_deref()) {
        (Some(""), None | Some("")) => "every pod of the cluster".to_owned(),
        (None, Some("")) => "every pod of the namespace".to_owned(),
        (None, Some(pods)) => format!("pods of the namespace with {pods}"),
        (Some(ns), pods) => {
            let ns = match ns.strip_prefix("kubernetes.io/metadata.name=").filter(|it| !it.contains(',')) {
                Some(name) => format!("pods of {name}"),
                None if ns.is_empty() => "pods of every namespace".to_owned(),
                None => format!("pods of namespaces with {ns}"),
            };
            match pods.filter(|pods| !pods.is_empty()) {
                Some(pods) => format!("{ns} with {pods}"),
                None => ns,
            }
        }
        (None, None) => Text::new(&peer.to_string()).to_string(),
    }
}

fn endpoint(selector: &Value) -> String {
    match selected(selector).as_str() {
        "" => "every pod of the namespace".to_owned(),
        labels => format!("pods with {labels}"),
    }
}

/// A selector as kubectl's `-l` writes it; what is not understood stands as JSON.
fn selected(selector: &Value) -> String {
    match super::selector(selector, "a peer") {
        Ok(selector) if selector.is_everything() => String::new(),
        Ok(selector) => selector.to_string(),
        Err(_) => Text::new(&selector.to_string()).to_string(),
    }
}
