//! Drafts -> the texts of the policy files: a first line with the digest of all that follows, what was
//! left out and why, then the object with a comment on every rule. And back: is a text as it was
//! written? Equal drafts give equal bytes. Pure.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::{
    author::draft::{Body, Draft, Drafted, Drawn, Peer},
    flow::Direction,
    grant::PortSpan,
    names::{NsName, Text, is_hostile},
    opened::Ports,
    policy::{PolicyKind, Role, Rule},
    time::Timestamp,
};

/// What wrote a text, as its first line says before the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Author,
    Kyverno,
}

impl Writer {
    const ALL: [Self; 2] = [Self::Author, Self::Kyverno];

    fn mark(self) -> &'static str {
        match self {
            Self::Author => "# sluice author/1 sha256:",
            Self::Kyverno => "# sluice kyverno/1 sha256:",
        }
    }
}

/// How the line with the prints of the rules begins.
const RULES: &str = "# rules:";
/// How the heading of what was left out begins.
const LEFT_OUT: &str = "# Left out (";
/// Lines of evidence on one rule.
const WHYS: usize = 40;
/// Lines of each list in the header.
const LISTED: usize = 200;

/// What a file is, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Byte for byte as it was written.
    Ours,
    /// It was written by us, and somebody changed it.
    Edited,
    /// It does not say that it is ours.
    Foreign,
}

pub fn origin(text: &str) -> Origin {
    let Some((first, rest)) = text.split_once('\n') else { return Origin::Foreign };
    match Writer::ALL.iter().find_map(|writer| first.strip_prefix(writer.mark())) {
        Some(digest) if digest == hash(rest) => Origin::Ours,
        Some(_) => Origin::Edited,
        None if Writer::ALL.iter().any(|writer| text.contains(writer.mark())) => Origin::Edited,
        None => Origin::Foreign,
    }
}

fn hash(rest: &str) -> String {
    Sha256::digest(rest.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of one file.
pub fn text(draft: &Draft, drafted: &Drafted) -> String {
    let value = value(draft, drafted);
    let policy = super::policy(&value).ok();
    let rules = policy.as_ref().and_then(|policy| policy.rules(drafted.pinned.direction)).unwrap_or_default();
    let prints: String = rules.iter().map(|rule| format!(" {}", print(rule))).collect();
    let mut rest = header(draft, drafted);
    if !prints.is_empty() {
        rest.push_str(&format!("{RULES}{prints}\n"));
    }
    rest.push_str(&object(&value, drafted));
    signed(Writer::Author, &rest)
}

/// A text with the first line by which [`origin`] knows it again.
pub fn signed(writer: Writer, rest: &str) -> String {
    format!("{}{}\n{rest}", writer.mark(), hash(rest))
}

/// What authoring left out and why, as the header of a text tells it.
pub fn left_out(text: &str) -> Vec<Text> {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    let listed = lines.skip_while(|line| !line.starts_with(LEFT_OUT)).skip(1);
    listed.map_while(|line| line.strip_prefix("# - ")).map(Text::new).collect()
}

/// Did we write this rule when we wrote this text? Tells a person's rules from those of old evidence.
pub fn wrote(text: &str, rule: &Rule) -> bool {
    let line = text.lines().find_map(|line| line.strip_prefix(RULES));
    line.is_some_and(|line| line.split(' ').any(|word| word == print(rule)))
}

fn print(rule: &Rule) -> String {
    hash(&rule.0)[..12].to_owned()
}

/// The object alone, as JSON.
pub fn value(draft: &Draft, drafted: &Drafted) -> Value {
    let ns = &draft.target.ns;
    let mut spec = Map::new();
    let (field, policy_type) = super::fields(drafted.pinned.direction);
    let all: Vec<_> = drafted.rules.iter().map(|rule| rule_value(drafted, rule, draft.end_port)).collect();
    match drafted.pinned.kind {
        PolicyKind::NetworkPolicy => {
            spec.insert("podSelector".to_owned(), json!({}));
            spec.insert("policyTypes".to_owned(), json!([policy_type]));
        }
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            spec.insert("endpointSelector".to_owned(), json!({}));
        }
    }
    if drafted.pinned.role != Role::Valve {
        spec.insert(field.to_owned(), Value::Array(all));
    }
    json!({
        "apiVersion": drafted.pinned.kind.api_version(),
        "kind": drafted.pinned.kind.as_str(),
        "metadata": { "name": drafted.pinned.name, "namespace": ns.as_str() },
        "spec": spec,
    })
}

fn header(draft: &Draft, drafted: &Drafted) -> String {
    let (target, name) = (&draft.target, drafted.pinned.name);
    let clock = |at: Timestamp| at.format("%Y-%m-%d %H:%M").to_string();
    let (from, to) = (clock(draft.window.from), clock(draft.window.to));
    let mut out =
        format!("# {name} of {}/{}: what was seen from {from} to {to} UTC.\n", target.cluster, target.ns);
    let own = match drafted.pinned.role {
        Role::Allowlist => format!("rules of yours stand in {name}.extra.yaml beside it and are kept"),
        Role::Valve | Role::Baseline | Role::Fqdn => {
            format!(
                "rules of yours stand in {}-allowlist.extra.yaml beside it and are kept",
                target.direction
            )
        }
    };
    out.push_str(&format!("# Written by `sluice author`. Do not edit it: {own}.\n"));
    if drafted.pinned.role == Role::Valve {
        return out;
    }
    listed(&mut out, "Not known of the cluster", draft.missing.iter().map(ToString::to_string));
    if drafted.pinned.role == Role::Allowlist {
        listed(&mut out, "To be known before it is applied", draft.warnings.iter().map(ToString::to_string));
        listed(&mut out, "Left out", draft.left_out.iter().map(ToString::to_string));
        listed(&mut out, "To be moved to Harbor", draft.work.iter().map(ToString::to_string));
    }
    out
}

fn listed(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    let count = lines.len();
    if count == 0 {
        return;
    }
    out.push_str(&format!("#\n# {title} ({count}):\n"));
    lines.take(LISTED).for_each(|line| out.push_str(&format!("# - {}\n", one_line(&line))));
    if count > LISTED {
        out.push_str(&format!("# - and {} more\n", count - LISTED));
    }
}

/// A comment never ends early, whatever a name held.
fn one_line(raw: &str) -> String {
    raw.chars().map(|c| if is_hostile(c) { '\u{fffd}' } else { c }).collect()
}

fn object(value: &Value, drafted: &Drafted) -> String {
    let mut out = String::new();
    let mut spec = value["spec"].as_object().cloned().unwrap_or_default();
    let field = super::fields(drafted.pinned.direction).0;
    let rules = spec.remove(field);
    for part in ["apiVersion", "kind", "metadata"] {
        emit_entry(&mut out, 0, part, &value[part]);
    }
    out.push_str("spec:\n");
    for (key, value) in &spec {
        emit_entry(&mut out, 2, key, value);
    }
    match rules.as_ref().and_then(Value::as_array) {
        None => {}
        Some(rules) if rules.is_empty() => out.push_str(&format!("  {field}: []\n")),
        Some(rules) => {
            out.push_str(&format!("  {field}:\n"));
            for (rule, drawn) in rules.iter().zip(&drafted.rules) {
                why(&mut out, drawn);
                emit_item(&mut out, 2, rule);
            }
        }
    }
    out
}

fn why(out: &mut String, drawn: &Drawn) {
    for line in drawn.why.iter().take(WHYS) {
        out.push_str(&format!("  # {}\n", one_line(line.as_str())));
    }
    let more = drawn.why.len().saturating_sub(WHYS);
    if more > 0 {
        out.push_str(&format!("  # and {more} more\n"));
    }
}

fn rule_value(drafted: &Drafted, rule: &Drawn, end_port: bool) -> Value {
    match &rule.body {
        Body::Given(rule) => serde_json::from_str(&rule.0).unwrap_or_else(|_| json!({})),
        Body::Made { peers, ports, proxied } => match drafted.pinned.kind {
            PolicyKind::NetworkPolicy => network_rule(drafted.pinned.direction, peers, ports, end_port),
            PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
                cilium_rule(peers, ports, *proxied, end_port)
            }
        },
    }
}

fn network_rule(direction: Direction, peers: &[Peer], ports: &Ports, end_port: bool) -> Value {
    let field = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let mut rule = Map::new();
    rule.insert(field.to_owned(), peers.iter().filter_map(network_peer).collect());
    if *ports != Ports::all() {
        let ports = singles(ports, end_port).into_iter().map(|(protocol, from, to)| match from == to {
            true => json!({ "protocol": protocol, "port": from }),
            false => json!({ "protocol": protocol, "port": from, "endPort": to }),
        });
        rule.insert("ports".to_owned(), ports.collect());
    }
    Value::Object(rule)
}

/// Spans as they may be written: one by one where ranges are not honoured.
fn singles(ports: &Ports, end_port: bool) -> Vec<(&'static str, u16, u16)> {
    let one = |span: &PortSpan| {
        let protocol = span.protocol.as_str();
        match end_port {
            true => vec![(protocol, span.from, span.to)],
            false => (span.from..=span.to).map(|port| (protocol, port, port)).collect(),
        }
    };
    ports.spans().iter().flat_map(one).collect()
}

fn network_peer(peer: &Peer) -> Option<Value> {
    Some(match peer {
        Peer::EveryPod => json!({ "namespaceSelector": {} }),
        Peer::Pods { ns, labels } => {
            let mut out = json!({ "namespaceSelector": in_namespace(ns) });
            if !labels.is_empty() {
                let labels: Map<_, _> =
                    labels.iter().map(|(key, value)| (key.to_string(), json!(value.as_str()))).collect();
                out["podSelector"] = json!({ "matchLabels": labels });
            }
            out
        }
        Peer::Block { network, except } if except.is_empty() => {
            json!({ "ipBlock": { "cidr": network.to_string() } })
        }
        Peer::Block { network, except } => {
            let except: Vec<_> = except.iter().map(ToString::to_string).collect();
            json!({ "ipBlock": { "cidr": network.to_string(), "except": except } })
        }
        // The desk puts these into Cilium's own kind.
        Peer::Entity(_) | Peer::Name(_) => return None,
    })
}

fn in_namespace(ns: &NsName) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": ns.as_str() } })
}

fn cilium_rule(peers: &[Peer], ports: &Ports, proxied: bool, end_port: bool) -> Value {
    let mut rule = Map::new();
    let mut add = |field: &str, value: Value| {
        let list = rule.entry(field).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(value);
        }
    };
    for peer in peers {
        match peer {
            Peer::EveryPod => add("toEntities", json!("cluster")),
            Peer::Pods { ns, labels } => {
                let mut all = Map::new();
                all.insert("k8s:io.kubernetes.pod.namespace".to_owned(), json!(ns.as_str()));
                all.extend(labels.iter().map(|(key, value)| (format!("k8s:{key}"), json!(value.as_str()))));
                add("toEndpoints", json!({ "matchLabels": all }));
            }
            Peer::Block { network, except } => {
                let except: Vec<_> = except.iter().map(ToString::to_string).collect();
                add("toCIDRSet", json!({ "cidr": network.to_string(), "except": except }));
            }
            Peer::Entity(entity) => add("toEntities", json!(entity.as_str())),
            Peer::Name(name) => add("toFQDNs", json!({ "matchName": name.as_str() })),
        }
    }
    let ports = singles(ports, end_port).into_iter().map(|(protocol, from, to)| match from == to {
        true => json!({ "protocol": protocol, "port": from.to_string() }),
        false => json!({ "protocol": protocol, "port": from.to_string(), "endPort": to }),
    });
    let mut to_ports = json!({ "ports": ports.collect::<Vec<_>>() });
    if proxied {
        to_ports["rules"] = json!({ "dns": [{ "matchPattern": "*" }] });
    }
    rule.insert("toPorts".to_owned(), json!([to_ports]));
    Value::Object(rule)
}

/// YAML in blocks: peers before ports, everything else by its key.
fn emit_entry(out: &mut String, indent: usize, key: &str, value: &Value) {
    let pad = " ".repeat(indent);
    let key = scalar(key);
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str(&format!("{pad}{key}:\n"));
            ordered(map).into_iter().for_each(|(key, value)| emit_entry(out, indent + 2, key, value));
        }
        Value::Array(list) if !list.is_empty() => {
            out.push_str(&format!("{pad}{key}:\n"));
            list.iter().for_each(|item| emit_item(out, indent, item));
        }
        _ => out.push_str(&format!("{pad}{key}: {}\n", plain(value))),
    }
}

pub(crate) fn emit_item(out: &mut String, indent: usize, value: &Value) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut inner = String::new();
            ordered(map).into_iter().for_each(|(key, value)| emit_entry(&mut inner, indent + 2, key, value));
            out.push_str(&format!("{pad}- {}", &inner[indent + 2..]));
        }
        _ => out.push_str(&format!("{pad}- {}\n", plain(value))),
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |key: &str| match key {
        "why" => 0,
        "name" | "cidr" | "namespaceSelector" | "port" | "protocol" => 1,
        "ports" | "toPorts" => 3,
        "rules" => 4,
        _ => 2,
    };
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    all
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(raw) => scalar(raw),
        // Numbers, and what is empty: the same in YAML as in JSON. A nested list is JSON too.
        other => other.to_string(),
    }
}

/// Quoted wherever a YAML reader could take it for something else.
fn scalar(raw: &str) -> String {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let starts = raw.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_network = raw.starts_with(|c: char| c.is_ascii_digit()) && raw.contains('/') && !raw.contains(':');
    let is_plain =
        raw.chars().all(|c| c.is_ascii_alphanumeric() || "-._/:".contains(c)) && !raw.ends_with(':');
    let is_word = WORDS.contains(&raw.to_ascii_lowercase().as_str());
    match (starts || is_network) && is_plain && !is_word {
        true => raw.to_owned(),
        false => Value::from(raw).to_string(),
    }
}
