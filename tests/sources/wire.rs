//! Records of FlowStreamService as bytes, put together by the field numbers of Antrea's own proto files,
//! and what each tells.

use std::fmt::Write;

use prost::Message as _;
use sluice::{
    domain::sighting::Side,
    flows::antrea::decode::{Decoder, Seen},
    pb::antrea::Flow,
};

/// A field of a length.
fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = varint((number << 3 | 2).into());
    out.extend(varint(value.len() as u64));
    out.extend(value);
    out
}

fn number(number: u32, value: u64) -> Vec<u8> {
    [varint((number << 3).into()), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn text(number: u32, value: &str) -> Vec<u8> {
    bytes(number, value.as_bytes())
}

const CART: [u8; 4] = [10, 42, 3, 17];
const OUTSIDE: [u8; 4] = [203, 0, 113, 80];
/// 2026-03-02T09:25:00Z
const START: u64 = 1_772_443_500;

/// id=1, start_ts=3, end_ts=4, ip=6, transport=7, k8s=8.
fn flow(id: &str, from: &[u8], to: &[u8], (protocol, port): (u64, u64), k8s: &[Vec<u8>]) -> Vec<u8> {
    let time = |at: u64| number(1, at);
    [
        text(1, id),
        // ipfix, which is not read.
        bytes(2, &number(2, 77)),
        bytes(3, &time(START)),
        bytes(4, &time(START + 2)),
        // version=1, source=2, destination=3.
        bytes(6, &[number(1, 4), bytes(2, from), bytes(3, to)].concat()),
        // protocol_number=1, source_port=2, destination_port=3, TCP=4.
        bytes(
            7,
            &[number(1, protocol), number(2, 51_544), number(3, port), bytes(4, &text(1, "SYN_SENT"))]
                .concat(),
        ),
        bytes(8, &k8s.concat()),
        bytes(9, &number(1, 3)),
    ]
    .concat()
}

fn cart() -> Vec<u8> {
    [text(2, "shop"), text(3, "cart-6c9f7d8b5-x2x7q"), text(6, "worker-3")].concat()
}

fn told(decoder: &mut Decoder, flow: &[u8]) -> String {
    let flow = Flow::decode(flow).expect("protobuf");
    let mut out = String::new();
    let end = |side: &Side<'_>| {
        let pod = side.pod.map(|pod| format!("={}/{pod}", side.ns.unwrap_or("?"))).unwrap_or_default();
        let service = side.service.map(|(ns, name)| format!("@{ns}/{name}")).unwrap_or_default();
        format!("{}{pod}{service}", side.address.map(|it| it.to_string()).unwrap_or_default())
    };
    let decoded = decoder.decode(&flow, &mut |Seen { sighting: it, id, word }| {
        let by = word
            .by
            .map(|by| format!(" by {}/{}", by.ns.map(|ns| ns.to_string()).unwrap_or_default(), by.name));
        writeln!(
            out,
            "{} {} {} -> {} {}:{} node {} at {}+{}s count {} said {:?}{} id {}",
            it.direction.map_or("?", |way| way.as_str()),
            it.outcome.as_str(),
            end(&it.source),
            end(&it.destination),
            it.protocol,
            it.port,
            it.node.unwrap_or("?"),
            it.at.timestamp() - START as i64,
            (it.until - it.at).num_seconds(),
            it.flows,
            word.said.as_str(),
            by.unwrap_or_default(),
            id.0,
        )
        .expect("a text takes it");
    });
    decoded.err().map_or(out, |malformed| format!("malformed: {malformed}\n"))
}

#[test]
fn a_default_drop_says_drop_and_names_no_policy() {
    // egress type=24 K8S, egress action=29 DROP; name and namespace empty.
    let drop = flow("a1", &CART, &OUTSIDE, (6, 443), &[cart(), number(24, 1), number(29, 2)]);
    let mut decoder = Decoder::default();
    insta::assert_snapshot!(told(&mut decoder, &drop), @r#"
    egress denied 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 203.0.113.80 TCP:443 node worker-3 at 0+2s count 1 said "Drop" id a1/1772443502000000/egress
    "#);
}

#[test]
fn both_ends_of_a_record_judge_for_themselves() {
    let db = [text(8, "data"), text(9, "db-0"), text(12, "worker-1"), text(16, "data/db:sql")].concat();
    let to = [10, 42, 1, 9];
    let mut decoder = Decoder::default();
    // Ingress allowed by a NetworkPolicy: type=18, namespace=19, name=20, action=23.
    let allowed = [text(19, "data"), text(20, "ingress-allowlist"), number(18, 1), number(23, 1)].concat();
    let allowed = flow("b1", &CART, &to, (6, 5_432), &[cart(), db.clone(), allowed]);
    // Allowed out by Antrea's own kind, which the cockpit has no place for; rejected on the way in.
    let out = [number(24, 3), text(26, "baseline"), number(29, 1)].concat();
    let rejected = [number(18, 1), number(23, 3)].concat();
    let rejected = flow("b2", &CART, &to, (17, 53), &[cart(), db.clone(), out, rejected]);
    // What egress dropped never came to the ingress.
    let dropped = flow("b3", &CART, &to, (132, 9), &[cart(), db, number(24, 1), number(29, 2)]);
    let all: String = [allowed, rejected, dropped].iter().map(|flow| told(&mut decoder, flow)).collect();
    insta::assert_snapshot!(all, @r#"
    egress allowed 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 10.42.1.9=data/db-0@data/db TCP:5432 node worker-3 at 0+2s count 1 said "" id b1/1772443502000000/egress
    ingress allowed 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 10.42.1.9=data/db-0@data/db TCP:5432 node worker-1 at 0+2s count 1 said "" by data/ingress-allowlist id b1/1772443502000000/ingress
    egress allowed 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 10.42.1.9=data/db-0@data/db UDP:53 node worker-3 at 0+2s count 1 said "" id b2/1772443502000000/egress
    ingress denied 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 10.42.1.9=data/db-0@data/db UDP:53 node worker-1 at 0+2s count 1 said "Reject" id b2/1772443502000000/ingress
    egress denied 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 10.42.1.9=data/db-0@data/db SCTP:9 node worker-3 at 0+2s count 1 said "Drop" id b3/1772443502000000/egress
    "#);
}

#[test]
fn a_connection_that_goes_on_counts_once_and_mapped_addresses_are_unmapped() {
    let mut mapped = [0; 16];
    (mapped[10], mapped[11]) = (0xff, 0xff);
    mapped[12..].copy_from_slice(&CART);
    let six = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
    let mut decoder = Decoder::default();
    let one = flow("c1", &mapped, &six, (6, 443), &[cart()]);
    let all = [told(&mut decoder, &one), told(&mut decoder, &one)].concat();
    insta::assert_snapshot!(all, @r#"
    egress allowed 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 2001:db8::80 TCP:443 node worker-3 at 0+2s count 1 said "" id c1/1772443502000000/egress
    egress allowed 10.42.3.17=shop/cart-6c9f7d8b5-x2x7q -> 2001:db8::80 TCP:443 node worker-3 at 0+2s count 0 said "" id c1/1772443502000000/egress
    "#);
}

#[test]
fn bad_records_cost_themselves_only() {
    let mut decoder = Decoder::default();
    let bad = [
        text(1, "empty"),
        flow("short", &[10, 42, 3], &OUTSIDE, (6, 443), &[cart()]),
        flow("port", &CART, &OUTSIDE, (6, 70_000), &[cart()]),
        flow("action", &CART, &OUTSIDE, (6, 443), &[cart(), number(29, 9)]),
        flow("", &CART, &OUTSIDE, (99, 443), &[text(2, "Shop\u{1b}[31m"), text(3, "x")]),
    ];
    let all: String = bad.iter().map(|flow| told(&mut decoder, flow)).collect();
    assert!(all.contains("Shop\u{1b}"), "raw here, and made harmless where it becomes a name");
    insta::assert_snapshot!(all.replace('\u{1b}', "<ESC>"), @r#"
    malformed: a line holds none of the records of this format
    malformed: an address is not an IP address
    malformed: a port is not a number up to 65535
    malformed: a verdict or action is a word that this reader does not know
    egress allowed 10.42.3.17=Shop<ESC>[31m/x -> 203.0.113.80 ?:443 node ? at 0+2s count 1 said "" id 10.42.3.17:51544-203.0.113.80:443/?/1772443500000000/1772443502000000/egress
    "#);
}
