//! Each file of `tests/wire/goldmane` holds messages in JSON and, after `=>`, what is read from them.
//! The bytes are made here, by the field numbers of Goldmane's documentation and not by generated code.

use std::{fmt::Write as _, fs, path::Path};

use prost::Message;
use serde_json::Value;
use sluice::{
    domain::flow::{End, Verdict},
    flows::goldmane::decode::{Malformed, Sighting, decode},
    pb::goldmane::FlowResult,
};

/// Message, field, number, kind.
const FIELDS: &[(&str, &str, u64, Kind)] = &[
    ("FlowResult", "id", 1, Kind::Int),
    ("FlowResult", "flow", 2, Kind::Message("Flow")),
    ("Flow", "Key", 1, Kind::Message("FlowKey")),
    ("Flow", "start_time", 2, Kind::Int),
    ("Flow", "end_time", 3, Kind::Int),
    ("Flow", "source_labels", 4, Kind::Text),
    ("Flow", "dest_labels", 5, Kind::Text),
    ("Flow", "packets_out", 7, Kind::Int),
    ("Flow", "bytes_out", 9, Kind::Int),
    ("Flow", "num_connections_started", 10, Kind::Int),
    ("FlowKey", "source_name", 1, Kind::Text),
    ("FlowKey", "source_namespace", 2, Kind::Text),
    ("FlowKey", "source_type", 3, Kind::Word(ENDPOINTS)),
    ("FlowKey", "dest_name", 4, Kind::Text),
    ("FlowKey", "dest_namespace", 5, Kind::Text),
    ("FlowKey", "dest_type", 6, Kind::Word(ENDPOINTS)),
    ("FlowKey", "dest_port", 7, Kind::Int),
    ("FlowKey", "dest_service_name", 8, Kind::Text),
    ("FlowKey", "proto", 12, Kind::Text),
    ("FlowKey", "reporter", 13, Kind::Word(&[("Src", 1), ("Dst", 2)])),
    ("FlowKey", "action", 14, Kind::Word(ACTIONS)),
    ("FlowKey", "policies", 15, Kind::Message("PolicyTrace")),
    ("PolicyTrace", "enforced_policies", 1, Kind::Message("PolicyHit")),
    ("PolicyTrace", "pending_policies", 2, Kind::Message("PolicyHit")),
    ("PolicyHit", "kind", 1, Kind::Word(KINDS)),
    ("PolicyHit", "namespace", 2, Kind::Text),
    ("PolicyHit", "name", 3, Kind::Text),
    ("PolicyHit", "tier", 4, Kind::Text),
    ("PolicyHit", "action", 5, Kind::Word(ACTIONS)),
    ("PolicyHit", "policy_index", 6, Kind::Int),
    ("PolicyHit", "rule_index", 7, Kind::Int),
    ("PolicyHit", "trigger", 8, Kind::Message("PolicyHit")),
];
const ACTIONS: &[(&str, u64)] = &[("Allow", 1), ("Deny", 2), ("Pass", 3)];
const ENDPOINTS: &[(&str, u64)] =
    &[("WorkloadEndpoint", 1), ("HostEndpoint", 2), ("NetworkSet", 3), ("Network", 4)];
const KINDS: &[(&str, u64)] = &[
    ("CalicoNetworkPolicy", 1),
    ("GlobalNetworkPolicy", 2),
    ("StagedNetworkPolicy", 3),
    ("StagedGlobalNetworkPolicy", 4),
    ("StagedKubernetesNetworkPolicy", 5),
    ("NetworkPolicy", 6),
    ("Profile", 9),
    ("EndOfTier", 10),
];

#[derive(Clone, Copy)]
enum Kind {
    Int,
    Text,
    /// An enum, by its names; a number is taken as it is.
    Word(&'static [(&'static str, u64)]),
    Message(&'static str),
}

#[test]
fn goldmanes_messages_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/goldmane");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = rewritten(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(2).header("expected", "decoded").to_string();
        assert!(actual == text, "{} differs:\n{diff}", file.display());
    }
}

/// The order of a trace on the wire is arbitrary: the same flow is known again all the same.
#[test]
fn a_flow_has_one_id_however_its_trace_is_ordered() {
    let id = |order: [usize; 2]| {
        let hits = [
            serde_json::json!({ "kind": "NetworkPolicy", "name": "a", "action": "Allow", "policy_index": 0 }),
            serde_json::json!({ "kind": "NetworkPolicy", "name": "b", "action": "Allow", "policy_index": 1 }),
        ];
        let hits: Vec<_> = order.into_iter().map(|at| hits[at].clone()).collect();
        let message = serde_json::json!({ "flow": { "start_time": 1_772_443_500, "end_time": 1_772_443_515,
            "Key": { "source_name": "a", "source_namespace": "shop", "source_type": "WorkloadEndpoint",
            "reporter": "Src", "action": "Allow", "policies": { "enforced_policies": hits } } } });
        decode(message_of(&message)).expect("a flow").flow.id
    };
    assert_eq!(id([0, 1]), id([1, 0]));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2_000))]

    /// Bytes that are no message, and messages with any bytes in their places: an answer, no panic.
    #[test]
    fn decoding_never_panics(noise in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
                             words in proptest::collection::vec(".{0,40}", 4),
                             numbers in proptest::collection::vec(proptest::arbitrary::any::<i64>(), 8)) {
        if let Ok(message) = FlowResult::decode(noise.as_slice()) {
            let _ = decode(message);
        }
        let hit = serde_json::json!({ "kind": numbers[0] % 13, "namespace": words[0], "name": words[1],
            "tier": words[2], "action": numbers[1] % 4, "policy_index": numbers[2], "rule_index": numbers[3] });
        let hit = serde_json::json!({ "kind": 10, "action": 2, "trigger": hit, "tier": words[3] });
        let message = serde_json::json!({ "flow": { "start_time": numbers[4] % 3_000_000_000_i64,
            "end_time": numbers[4] % 3_000_000_000_i64 + 15,
            "Key": { "source_name": words[0], "source_namespace": "shop", "source_type": numbers[5].rem_euclid(5),
            "dest_name": words[1], "dest_namespace": words[2], "dest_type": numbers[6].rem_euclid(6),
            "dest_port": numbers[7], "proto": words[3], "reporter": numbers[0].rem_euclid(3),
            "action": numbers[1].rem_euclid(4), "policies": { "enforced_policies": [hit], "pending_policies": [hit] } } } });
        if let Ok(seen) = decode(message_of(&message)) {
            let shown = flow_text(&seen).replace('\n', "");
            proptest::prop_assert!(!shown.chars().any(sluice::domain::names::is_hostile), "{shown:?}");
        }
    }
}

/// The file with its expectations replaced by what decoding gives.
fn rewritten(text: &str) -> String {
    let mut out = String::new();
    let mut message = String::new();
    for line in text.lines().filter(|line| !line.starts_with("=>") && !line.starts_with("   ")) {
        out.push_str(line);
        out.push('\n');
        if line.starts_with('{') || !message.is_empty() {
            message.push_str(line);
        }
        if let Ok(value) = serde_json::from_str::<Value>(&message) {
            out.push_str(&printed(decode(message_of(&value))));
            message.clear();
        }
    }
    assert!(message.is_empty(), "an unfinished message: {message}");
    out
}

fn message_of(value: &Value) -> FlowResult {
    let bytes = bytes("FlowResult", value);
    FlowResult::decode(bytes.as_slice()).expect("bytes of the documented form")
}

/// Protobuf by hand: a key of number and wire type, then the value.
fn bytes(message: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().expect("a message") {
        let field = FIELDS.iter().find(|field| field.0 == message && field.1 == name);
        let (_, _, number, kind) = field.unwrap_or_else(|| panic!("{message} has no {name}"));
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            match kind {
                Kind::Int | Kind::Word(_) => {
                    let word =
                        |words: &[(&str, u64)]| words.iter().find(|(word, _)| value == *word).map(|w| w.1);
                    let int = match kind {
                        Kind::Word(words) => word(words),
                        Kind::Int | Kind::Text | Kind::Message(_) => None,
                    };
                    varint(&mut out, number << 3);
                    varint(&mut out, int.or(value.as_i64().map(i64::cast_unsigned)).expect("a number"));
                }
                Kind::Text => delimited(&mut out, *number, value.as_str().expect("a text").as_bytes()),
                Kind::Message(name) => delimited(&mut out, *number, &bytes(name, &value)),
            }
        }
    }
    out
}

fn delimited(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn printed(decoded: Result<Sighting, Malformed>) -> String {
    match decoded {
        Ok(seen) => flow_text(&seen),
        Err(malformed) => format!("=> malformed: {malformed}\n"),
    }
}

fn flow_text(seen: &Sighting) -> String {
    let flow = &seen.flow;
    let (verdict, by) = match &flow.verdict {
        Verdict::Allowed { by } => ("allowed".to_owned(), by),
        Verdict::Denied { said, by } => (format!("denied, {said}"), by),
        Verdict::Audit { said, by } => (format!("would be denied, {said}"), by),
    };
    let mut out = format!(
        "=> {} {} to {} {verdict}: {} -> {} {}/{}",
        flow.direction,
        seen.bucket.from.format("%H:%M:%S"),
        seen.bucket.until.format("%H:%M:%S"),
        end_text(&flow.source),
        end_text(&flow.destination),
        flow.protocol,
        flow.port,
    );
    for policy in by {
        let ns = policy.ns.as_ref().map_or("-", |ns| ns.as_str());
        let _ = write!(out, " by {} {ns}/{}", policy.kind, policy.name);
    }
    out.push('\n');
    if let Some(flaw) = seen.flaw {
        let _ = writeln!(out, "   flaw: {flaw}");
    }
    out
}

fn end_text(end: &End) -> String {
    let mut parts = Vec::new();
    if let Some(ns) = &end.ns {
        let workload = end.workload.as_ref().map_or("-".into(), |workload| format!("workload {workload}"));
        parts.push(format!("{ns}/{workload}"));
    }
    parts.extend(end.pod.as_ref().map(|pod| format!("pod {pod}")));
    parts.extend(end.entity.map(|entity| entity.as_str().to_owned()));
    parts.extend(end.names.iter().map(|name| format!("{:?}", name.as_str())));
    parts.extend(end.address.map(|address| address.to_string()));
    if parts.is_empty() { "nobody named".to_owned() } else { parts.join(" ") }
}
