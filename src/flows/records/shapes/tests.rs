//! A shape takes what is like the line it was learned of, refuses the rest, and changes nothing.
//! `tests/fuzz` compares it with the general reader on damaged lines of generated weeks.

use std::cell::RefCell;

use super::{
    super::{
        hubble_wire::Line,
        json,
        known::Known,
        meaning::{Traits, What},
    },
    Miss, STEPS, Shapes, Values, WAYS,
};
use crate::domain::sighting::Outcome;

const LINE: &str = r#"{"flow":{"time":"2026-03-02T00:00:40.7Z","uuid":"826be076","verdict":"FORWARDED","IP":{"source":"10.0.1.7","destination":"203.0.113.9","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":52219,"destination_port":443,"flags":{"SYN":true}}},"source":{"ID":33,"identity":4814,"namespace":"shop","pod_name":"cart-0","workloads":[{"name":"cart","kind":"StatefulSet"}]},"destination":{"identity":2,"labels":["reserved:world"]},"Type":"L3_L4","node_name":"east/worker-1","destination_names":["api.example"],"destination_service":{"name":"api","namespace":"pay"},"event_type":{"type":4,"sub_type":3},"traffic_direction":"EGRESS","is_reply":false,"Summary":"TCP Flags: SYN"},"node_name":"east/worker-1","time":"2026-03-02T00:00:40.7Z"}"#;

fn learned(lines: &[&str]) -> (Shapes, Known) {
    let known = RefCell::new(Known::new());
    let mut shapes = Shapes::default();
    for line in lines {
        let mut whole = Line::default();
        json::fill(&mut whole, line.as_bytes(), Some(&known)).expect("whole");
        shapes.learn(line.as_bytes(), Traits::of(&whole.flow.expect("a flow")));
    }
    (shapes, known.into_inner())
}

fn read(line: &str, of: &(Shapes, Known)) -> Result<String, Miss> {
    let mut values = Values::default();
    let traits = of.0.read(line.as_bytes(), &of.1, &mut values)?;
    assert_eq!(traits.what, What::Outcome(Outcome::Allowed));
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).expect("ASCII");
    let names: Vec<_> = values.names.texts().map(text).collect();
    let words = [values.time, values.node, values.addresses[0], values.addresses[1], values.service[0]];
    let [source, destination] = values.ends;
    let ends = format!("{:?} {:?}", source.pod.expect("a pod"), destination.entity.expect("an entity"));
    Ok(format!("{} {:?} {ends} {}", words.map(text).join(" "), values.ports, names.join("+")))
}

#[test]
fn values_of_a_known_shape_are_read_where_they_stand() {
    let known = learned(&[LINE]);
    let expected =
        "2026-03-02T00:00:40.7Z east/worker-1 10.0.1.7 203.0.113.9 pay [52219, 443] \"cart-0\" World";
    assert_eq!(read(LINE, &known), Ok(format!("{expected} api.example")));
    for (from, to, expected) in [
        ("00:00:40.7Z", "23:59:59Z", expected.replace("00:00:40.7Z", "23:59:59Z") + " api.example"),
        ("826be076", "", format!("{expected} api.example")),
        (":443,", ":0,", expected.replace("443", "0") + " api.example"),
        ("203.0.113.9", "2001:db8::9", expected.replace("203.0.113.9", "2001:db8::9") + " api.example"),
        ("[\"api.example\"]", "[]", format!("{expected} ")),
        ("[\"api.example\"]", "[\"a\",\"b\",\"\"]", format!("{expected} a+b+")),
    ] {
        assert_eq!(read(&LINE.replace(from, to), &known), Ok(expected), "{from} {to}");
    }
}

#[test]
fn whatever_is_not_exactly_so_is_left_to_the_general_reader() {
    let known = learned(&[LINE]);
    for (from, to, miss) in [
        ("FORWARDED", "DROPPED", Miss::Shape),
        ("\"SYN\":true", "\"SYN\":true,\"ACK\":true", Miss::Shape),
        ("{\"flow\"", "{ \"flow\"", Miss::Shape),
        ("40.7Z\"}", "40.7Z\"} ", Miss::Shape),
        ("40.7Z\"}", "40.7Z\"", Miss::Shape),
        ("826be076", "826b\\u0065076", Miss::Value),
        ("826be076", "826bé", Miss::Value),
        ("52219", "522190", Miss::Value),
        ("52219", "52219.0", Miss::Value),
        ("52219", "-1", Miss::Value),
        ("52219", "\"52219\"", Miss::Value),
        ("\"cart-0\"", "\"cart-1\"", Miss::Value),
        ("[\"api.example\"]", "[\"api.example\",]", Miss::Value),
        ("[\"api.example\"]", "[\"api.example\", \"b\"]", Miss::Value),
        ("[\"api.example\"]", "null", Miss::Value),
        ("\"pay\"},", "\"pay\",\"x\":1},", Miss::Shape),
    ] {
        assert_eq!(read(&LINE.replace(from, to), &known), Err(miss), "{from} {to}");
    }
    for end in 0..LINE.len() {
        assert!(read(&LINE[..end], &known).is_err(), "{end}");
    }
}

#[test]
fn a_line_whose_members_could_speak_for_each_other_is_no_shape() {
    for (from, to) in [
        ("\"uuid\"", "\"time\":\"2026-03-02T00:00:41Z\",\"uuid\""),
        ("\"uuid\"", "\"time\":null,\"uuid\""),
        ("\"Type\"", "\"source\":null,\"Type\""),
        ("\"l4\"", "\"IP\":{},\"l4\""),
        ("\"flags\"", "\"source_port\":1,\"flags\""),
        ("\"source\":{\"ID\"", "\"l4\":{},\"source\":{\"ID\""),
        ("\"SYN\":true}}", "\"SYN\":true}},\"UDP\":{\"source_port\":1}"),
        ("\"SYN\":true}}", "\"SYN\":true}},\"SCTP\":{}"),
        ("\"node_name\":\"east/worker-1\",\"destination_names\"", "\"destination_names\""),
        ("TCP Flags: SYN\"", "TCP Flags:\\tSYN\""),
        ("\"Summary\":", "\"Summary\": "),
    ] {
        let line = LINE.replacen(from, to, 1);
        assert_ne!(line, LINE, "{from}");
        let (shapes, _) = learned(&[&line]);
        assert_eq!(shapes.steps.len(), 0, "{from} {to}");
    }
}

/// Something that differs in every line, where words are expected to be the same.
#[test]
fn shapes_are_bounded_and_those_that_are_known_stay() {
    let other = |n: usize| LINE.replace("\"sub_type\":3", &format!("\"sub_type\":{n}"));
    let lines: Vec<String> = (0..2 * WAYS).map(other).collect();
    let known = learned(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let taken = lines.iter().filter(|line| read(line, &known).is_ok()).count();
    assert_eq!(taken, WAYS);
    assert!(read(&lines[0], &known).is_ok());
    let other = |n: usize| {
        let words = format!("\"x{}\":0,\"y{}\":{},\"uuid\"", n % 16, n / 16 % 16, n / 256);
        LINE.replacen("\"uuid\"", &words, 1)
    };
    let lines: Vec<String> = (0..4_096).map(other).collect();
    let (shapes, _) = learned(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(shapes.steps.len() <= STEPS, "{}", shapes.steps.len());
}
