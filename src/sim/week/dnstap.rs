//! The week's DNS answers as CoreDNS's dnstap plugin writes them, one unidirectional Frame Streams
//! file for each resolver's pod. What is no use to a reader (questions, forwarded ones) is in it too.

use std::net::IpAddr;

use super::{
    event::{Event, Lookup, Place, Question, What},
    hubble::{address, answered},
    inventory::{Inventory, SECOND},
    text,
    wire::{Message, bytes, fixed32, message, varint},
};

const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
const CLIENT_QUERY: u64 = 5;
const CLIENT_RESPONSE: u64 = 6;
const FORWARDER_RESPONSE: u64 = 8;

pub struct Dnstap {
    /// The bytes of each resolver since they were last taken, in the inventory's order.
    pub streams: Vec<Vec<u8>>,
    /// CLIENT_RESPONSE frames with an address in them.
    pub answers: u64,
    written: u64,
}

impl Dnstap {
    pub fn new(inventory: &Inventory) -> Self {
        let mut start = Vec::new();
        control(&mut start, 2, Some(CONTENT_TYPE));
        Self { streams: vec![start; inventory.resolvers.len()], answers: 0, written: 0 }
    }

    pub fn write(&mut self, inventory: &Inventory, event: &Event) {
        let What::Lookup(it) = &event.what else { return };
        let Some(stream) = inventory.resolvers.iter().position(|pod| *pod == it.resolver) else { return };
        self.written += 1;
        let response = self.response(inventory, it, event.at);
        let node = &inventory.nodes[inventory.pods[it.resolver].node];
        // The clock of the resolver's node; the answer was sent before it was written down.
        let (asked, answered) = (event.at + node.skew, event.at + node.skew + 1_200_000 + it.late);
        let client = address(inventory, it.asker, false);
        let identity = inventory.pods[it.resolver].name.as_bytes();
        // Releases before 1.14.5 on a dual-stack socket: IPv4 in sixteen bytes, and the family says INET.
        let mapped = stream % 2 == 1;
        let out = &mut self.streams[stream];
        if self.written.is_multiple_of(3) {
            frame(out, identity, &body(CLIENT_QUERY, client, mapped, it.source_port, (asked, None), b""));
        }
        if self.written.is_multiple_of(5) {
            let own = address(inventory, Place::Pod(it.resolver), false);
            let times = (asked, Some(answered));
            frame(out, identity, &body(FORWARDER_RESPONSE, own, false, 40_001, times, &response));
        }
        let times = (asked, Some(answered));
        frame(out, identity, &body(CLIENT_RESPONSE, client, mapped, it.source_port, times, &response));
    }

    /// The STOP frames that a file ends with.
    pub fn finish(&mut self) {
        self.streams.iter_mut().for_each(|stream| control(stream, 3, None));
    }

    fn response(&mut self, inventory: &Inventory, it: &Lookup, at: i64) -> Vec<u8> {
        let ns = match it.asker {
            Place::Pod(pod) => inventory.workload_of(pod).ns.as_str(),
            Place::Node(_) | Place::Outside(_) => "default",
        };
        let mut question = text::question(inventory, ns, it.question);
        // Some clients write as they like; the answer repeats it.
        if self.written.is_multiple_of(7) {
            question.make_ascii_uppercase();
        }
        let (addresses, ttl, chain) = answered(inventory, it.question, at);
        self.answers += u64::from(!addresses.is_empty());
        let v6 = matches!(it.question, Question::Site { v6: true, .. } | Question::Empty { .. });
        message(&Message {
            id: self.written as u16,
            question: &question,
            kind: if v6 { 28 } else { 1 },
            rcode: if matches!(it.question, Question::Miss { .. }) { 3 } else { 0 },
            ttl,
            chain: if addresses.is_empty() { &[] } else { chain },
            addresses: &addresses,
        })
    }
}

fn control(out: &mut Vec<u8>, kind: u32, content: Option<&[u8]>) {
    let mut payload = kind.to_be_bytes().to_vec();
    if let Some(content) = content {
        payload.extend_from_slice(&1_u32.to_be_bytes());
        payload.extend_from_slice(&(content.len() as u32).to_be_bytes());
        payload.extend_from_slice(content);
    }
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&payload);
}

fn frame(out: &mut Vec<u8>, identity: &[u8], body: &[u8]) {
    let mut tap = Vec::with_capacity(body.len() + 64);
    bytes(&mut tap, 1, identity);
    bytes(&mut tap, 2, b"CoreDNS-1.14.7");
    bytes(&mut tap, 14, body);
    varint(&mut tap, 15, 1);
    out.extend_from_slice(&(tap.len() as u32).to_be_bytes());
    out.extend_from_slice(&tap);
}

fn body(
    kind: u64,
    client: IpAddr,
    mapped: bool,
    port: u16,
    (asked, answered): (i64, Option<i64>),
    response: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(response.len() + 64);
    varint(&mut out, 1, kind);
    varint(&mut out, 2, if client.is_ipv4() { 1 } else { 2 });
    varint(&mut out, 3, 1);
    match client {
        IpAddr::V4(address) if mapped => bytes(&mut out, 4, &address.to_ipv6_mapped().octets()),
        IpAddr::V4(address) => bytes(&mut out, 4, &address.octets()),
        IpAddr::V6(address) => bytes(&mut out, 4, &address.octets()),
    }
    varint(&mut out, 6, port.into());
    varint(&mut out, 8, asked.div_euclid(SECOND) as u64);
    fixed32(&mut out, 9, asked.rem_euclid(SECOND) as u32);
    if let Some(answered) = answered {
        varint(&mut out, 12, answered.div_euclid(SECOND) as u64);
        fixed32(&mut out, 13, answered.rem_euclid(SECOND) as u32);
        bytes(&mut out, 14, response);
    }
    out
}
