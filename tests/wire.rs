//! What Hubble sends becomes what sluice understands: each file of `tests/wire/hubble` holds
//! messages as the hubble CLI prints them (`-o json`) and, after `=>`, what is read from them.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;
use sluice::{
    domain::flow::{End, Verdict},
    flows::hubble::decode::{Malformed, Seen, Sighting, decode},
    pb::{
        flow as pb,
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
        relay::{NodeState, NodeStatusEvent},
    },
};

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2_000))]

    /// Bytes that are no message, and messages with any bytes in their places: an answer, no panic.
    #[test]
    fn decoding_never_panics(noise in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
                             words in proptest::collection::vec(".{0,40}", 8),
                             numbers in proptest::collection::vec(proptest::arbitrary::any::<i32>(), 8),
                             seconds in proptest::arbitrary::any::<i64>()) {
        if let Ok(message) = <GetFlowsResponse as prost::Message>::decode(noise.as_slice()) {
            let _ = decode(message);
        }
        let end = |at: usize| pb::Endpoint {
            identity: numbers[at].cast_unsigned(),
            namespace: if numbers[at] % 2 == 0 { "shop".into() } else { words[at].clone() },
            pod_name: words[at + 1].clone(),
            labels: words.clone(),
            workloads: vec![pb::Workload { name: words[at + 2].clone(), kind: words[at].clone() }],
            ..pb::Endpoint::default()
        };
        let time = Some(prost_types::Timestamp { seconds: seconds % 10_000_000_000, nanos: numbers[0] });
        let flow = pb::Flow {
            time,
            verdict: numbers[1] % 7,
            drop_reason_desc: numbers[2],
            ip: Some(pb::Ip { source: words[0].clone(), destination: "10.0.0.1".into(), ip_version: numbers[3] }),
            l4: Some(pb::Layer4 { protocol: Some(pb::layer4::Protocol::Udp(pb::Udp {
                source_port: numbers[4].cast_unsigned(), destination_port: 53 })) }),
            source: Some(end(0)),
            destination: Some(end(3)),
            node_name: words[6].clone(),
            source_names: words.clone(),
            event_type: Some(pb::CiliumEventType { r#type: [1, 5, 129][seconds.rem_euclid(3) as usize], sub_type: 133 }),
            traffic_direction: numbers[5] % 3,
            uuid: words[7].clone(),
            egress_denied_by: vec![pb::Policy { name: words[1].clone(), kind: words[2].clone(), ..pb::Policy::default() }],
            ..pb::Flow::default()
        };
        let message = GetFlowsResponse { node_name: words[5].clone(), time, response_types: Some(ResponseTypes::Flow(flow)) };
        if let Ok(Seen::Flow(seen)) = decode(message) {
            let shown = flow_text(&seen);
            proptest::prop_assert!(!shown.replace('\n', "").chars().any(sluice::domain::names::is_hostile), "{shown:?}");
        }
    }
}

#[test]
fn hubble_messages_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/hubble");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = rewritten(&text);
        assert!(actual == text, "{} differs:\n{}", file.display(), differences(&text, &actual));
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
            out.push_str(&printed(decode(response(&value))));
            message.clear();
        }
    }
    assert!(message.is_empty(), "an unfinished message: {message}");
    out
}

fn differences(expected: &str, actual: &str) -> String {
    let diff = similar::TextDiff::from_lines(expected, actual);
    diff.unified_diff().context_radius(2).header("expected", "decoded").to_string()
}

fn printed(decoded: Result<Seen, Malformed>) -> String {
    match decoded {
        Ok(Seen::Flow(seen)) => flow_text(&seen),
        Ok(Seen::Edge(_)) => panic!("`decode` answers the cockpit; edges are read by `sight`"),
        Ok(Seen::Nodes(word)) => {
            let nodes: Vec<_> = word.nodes.iter().map(|node| node.name.as_str()).collect();
            let at = word.at.map_or("-".into(), |at| at.to_rfc3339());
            format!("=> {:?} {} at {at} {:?}\n", word.state, nodes.join(" "), word.message.as_str())
        }
        Ok(Seen::Lost(loss)) => {
            let node = loss.node.map_or("unknown node".into(), |node| node.name.to_string());
            format!("=> lost {} of {node}: {}\n", loss.count, loss.why)
        }
        Ok(Seen::Unasked { node, .. }) => {
            format!(
                "=> not asked for, a sign of {}\n",
                node.map_or("nobody".into(), |node| node.name.to_string())
            )
        }
        Err(malformed) => format!("=> malformed: {malformed}\n"),
    }
}

fn flow_text(seen: &Sighting) -> String {
    let flow = &seen.flow;
    let (verdict, by) = match &flow.verdict {
        Verdict::Allowed { by } => ("allowed".to_owned(), by.as_slice()),
        Verdict::Denied { said, by } => (format!("denied {said}"), by.as_slice()),
        Verdict::Audit { said, by } => (format!("audit {said}"), by.as_slice()),
    };
    let mut out = format!(
        "=> {:?} {} {} {verdict}: {} -> {} {}/{}",
        seen.event,
        flow.direction,
        flow.at.format("%H:%M:%S%.f"),
        end_text(&flow.source, flow.source_port),
        end_text(&flow.destination, flow.port),
        flow.protocol,
        flow.port,
    );
    for policy in by {
        let ns = policy.ns.as_ref().map_or("-", |ns| ns.as_str());
        let _ = write!(out, " by {} {ns}/{}", policy.kind, policy.name);
    }
    if flow.closing {
        out.push_str(" closing");
    }
    if let Some(reply) = flow.reply {
        out.push_str(if reply { " reply" } else { " first" });
    }
    let node = flow.node.as_ref().map_or("-", |node| node.as_str());
    let _ = writeln!(out, "\n   id {} on {node}", flow.id.0);
    if let Some(flaw) = seen.flaw {
        let _ = writeln!(out, "   flaw: {flaw}");
    }
    out
}

fn end_text(end: &End, port: u16) -> String {
    let mut parts = Vec::new();
    if let Some(ns) = &end.ns {
        let workload = end.workload.as_ref().map_or("-".into(), |workload| format!("{workload:?}"));
        parts.push(format!("{ns}/{workload}"));
    }
    if let Some(pod) = &end.pod {
        parts.push(format!("({pod})"));
    }
    parts.extend(end.entity.map(|entity| entity.as_str().to_owned()));
    parts.extend(end.names.iter().map(|name| format!("{:?}", name.as_str())));
    parts.push(end.address.map_or("no address".into(), |address| format!("{address}:{port}")));
    parts.join(" ")
}

// From here on: protobuf's JSON form to the generated types, only as far as the cases need it.

fn response(value: &Value) -> GetFlowsResponse {
    let types = if value["flow"].is_object() {
        Some(ResponseTypes::Flow(flow(&value["flow"])))
    } else if value["node_status"].is_object() {
        let status = &value["node_status"];
        Some(ResponseTypes::NodeStatus(NodeStatusEvent {
            state_change: number(&status["state_change"], |name| {
                NodeState::from_str_name(name).map(|state| state as i32)
            }),
            node_names: texts(&status["node_names"]),
            message: text(&status["message"]),
        }))
    } else if value["lost_events"].is_object() {
        let lost = &value["lost_events"];
        Some(ResponseTypes::LostEvents(pb::LostEvent {
            source: number(&lost["source"], |name| {
                pb::LostEventSource::from_str_name(name).map(|source| source as i32)
            }),
            num_events_lost: text(&lost["num_events_lost"]).parse().unwrap_or(0),
            cpu: None,
            first: time(&lost["first"]),
            last: time(&lost["last"]),
        }))
    } else {
        None
    };
    GetFlowsResponse {
        node_name: text(&value["node_name"]),
        time: time(&value["time"]),
        response_types: types,
    }
}

fn flow(value: &Value) -> pb::Flow {
    pb::Flow {
        time: time(&value["time"]),
        uuid: text(&value["uuid"]),
        verdict: number(&value["verdict"], |name| pb::Verdict::from_str_name(name).map(|v| v as i32)),
        drop_reason: u32::try_from(number(&value["drop_reason"], |_| None)).unwrap_or(0),
        drop_reason_desc: number(&value["drop_reason_desc"], |name| match name {
            "POLICY_DENIED" => Some(133),
            "POLICY_DENY" => Some(181),
            "AUTH_REQUIRED" => Some(189),
            "CT_TRUNCATED_OR_INVALID_HEADER" => Some(135),
            _ => None,
        }),
        ip: value["IP"].is_object().then(|| pb::Ip {
            source: text(&value["IP"]["source"]),
            destination: text(&value["IP"]["destination"]),
            ip_version: 0,
        }),
        l4: value["l4"].is_object().then(|| pb::Layer4 { protocol: layer4(&value["l4"]) }),
        source: endpoint(&value["source"]),
        destination: endpoint(&value["destination"]),
        r#type: number(&value["Type"], |name| pb::FlowType::from_str_name(name).map(|v| v as i32)),
        node_name: text(&value["node_name"]),
        source_names: texts(&value["source_names"]),
        destination_names: texts(&value["destination_names"]),
        event_type: value["event_type"].is_object().then(|| pb::CiliumEventType {
            r#type: number(&value["event_type"]["type"], |_| None),
            sub_type: number(&value["event_type"]["sub_type"], |_| None),
        }),
        traffic_direction: number(&value["traffic_direction"], |name| {
            pb::TrafficDirection::from_str_name(name).map(|v| v as i32)
        }),
        is_reply: value["is_reply"].as_bool(),
        egress_allowed_by: policies(&value["egress_allowed_by"]),
        ingress_allowed_by: policies(&value["ingress_allowed_by"]),
        egress_denied_by: policies(&value["egress_denied_by"]),
        ingress_denied_by: policies(&value["ingress_denied_by"]),
        ..pb::Flow::default()
    }
}

fn layer4(value: &Value) -> Option<pb::layer4::Protocol> {
    use pb::layer4::Protocol;
    let (name, l4) = value.as_object()?.iter().next()?;
    let port = |key: &str| l4[key].as_u64().map_or(0, |port| port as u32);
    let (source_port, destination_port) = (port("source_port"), port("destination_port"));
    let flag = |name: &str| l4["flags"][name].as_bool().unwrap_or(false);
    Some(match name.as_str() {
        "TCP" => Protocol::Tcp(pb::Tcp {
            source_port,
            destination_port,
            flags: l4["flags"].is_object().then(|| pb::TcpFlags {
                fin: flag("FIN"),
                syn: flag("SYN"),
                rst: flag("RST"),
                psh: flag("PSH"),
                ack: flag("ACK"),
            }),
        }),
        "UDP" => Protocol::Udp(pb::Udp { source_port, destination_port }),
        "SCTP" => Protocol::Sctp(pb::Udp { source_port, destination_port }),
        "ICMPv4" => Protocol::IcmPv4(pb::Icmp { r#type: port("type"), code: port("code") }),
        "ICMPv6" => Protocol::IcmPv6(pb::Icmp { r#type: port("type"), code: port("code") }),
        _ => return None,
    })
}

fn endpoint(value: &Value) -> Option<pb::Endpoint> {
    value.is_object().then(|| pb::Endpoint {
        identity: value["identity"].as_u64().map_or(0, |id| id as u32),
        namespace: text(&value["namespace"]),
        labels: texts(&value["labels"]),
        pod_name: text(&value["pod_name"]),
        workloads: value["workloads"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|owner| pb::Workload { name: text(&owner["name"]), kind: text(&owner["kind"]) })
            .collect(),
        ..pb::Endpoint::default()
    })
}

fn policies(value: &Value) -> Vec<pb::Policy> {
    let list = value.as_array().into_iter().flatten();
    list.map(|policy| pb::Policy {
        name: text(&policy["name"]),
        namespace: text(&policy["namespace"]),
        labels: texts(&policy["labels"]),
        revision: 0,
        kind: text(&policy["kind"]),
    })
    .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn number(value: &Value, named: impl Fn(&str) -> Option<i32>) -> i32 {
    match value {
        Value::String(name) => named(name).unwrap_or_else(|| panic!("{name} is not known to this test")),
        other => other.as_i64().map_or(0, |number| number as i32),
    }
}

fn time(value: &Value) -> Option<prost_types::Timestamp> {
    if let Some(seconds) = value["seconds"].as_i64() {
        return Some(prost_types::Timestamp { seconds, nanos: value["nanos"].as_i64().unwrap_or(0) as i32 });
    }
    let at = chrono::DateTime::parse_from_rfc3339(value.as_str()?).expect("a time");
    Some(prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 })
}
