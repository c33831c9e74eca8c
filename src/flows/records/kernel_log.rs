//! Lines that a `Log` rule leaves in the kernel's log (netfilter), and what Calico's eBPF data plane
//! writes to the kernel's trace. Addresses only: no pod. The netfilter form says that a packet came
//! to the rule, and not what became of it: unless the person who wrote the rule has said that
//! ([`super::Context::logged`]), such a line is a sign of its node and no flow.
//!
//! A line needs an absolute time: syslog's RFC 3339 form, `journalctl -o short-iso`, `-o short-unix`
//! or `-o json`. The kernel's own clock (seconds since boot) is none.

use std::net::IpAddr;

use compact_str::CompactString;

use crate::domain::{
    flow::{Direction, Protocol},
    sighting::{Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{
    Malformed,
    json::{self, Num, Str, object},
    words,
};

object! {
    /// An entry of the journal.
    Entry {
        "MESSAGE" => message: Str<'a>,
        "__REALTIME_TIMESTAMP" => micros: Num,
        "_HOSTNAME" => host: Str<'a>,
    }
}

#[derive(Debug)]
pub struct Decoder {
    node: Option<CompactString>,
    logged: Option<Outcome>,
}

/// A line without what the log put before it.
struct Frame<'a> {
    node: Option<&'a str>,
    at: Option<Timestamp>,
    message: &'a str,
}

impl Decoder {
    pub fn new(node: Option<CompactString>, logged: Option<Outcome>) -> Self {
        Self { node, logged }
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        if line.first() == Some(&b'{') {
            let entry: Entry<'_> = json::line(line)?;
            let micros = entry.micros.0.and_then(|micros| i64::try_from(micros).ok());
            let at = micros.and_then(|us| words::moment(us / 1_000_000, (us % 1_000_000) as u32 * 1_000));
            return self.frame(&Frame { node: entry.host.said(), at, message: entry.message.as_str() }, tell);
        }
        let text = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
        let mut parts = text.split_ascii_whitespace();
        let at = parts.next().and_then(|word| words::rfc3339(word).or_else(|| unix(word)));
        let host = parts.next().filter(|word| at.is_some() && !word.ends_with(':'));
        self.frame(&Frame { node: host, at, message: text }, tell)
    }

    fn frame(&self, frame: &Frame<'_>, tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let packet = match traced(frame.message) {
            Some(packet) => packet?,
            None => logged(frame.message).ok_or(Malformed::Content)??,
        };
        let at = frame.at.ok_or(Malformed::Time)?;
        let node = frame.node.or(self.node.as_deref());
        let Some(outcome) = packet.outcome.or(self.logged) else {
            tell(Told::Other { node, at: Some(at) });
            return Ok(());
        };
        let side = |address| Side { address, ..Side::default() };
        tell(Told::Flow(Sighting {
            at,
            until: at,
            node,
            direction: packet.direction,
            outcome,
            protocol: packet.protocol,
            source: side(packet.source),
            destination: side(packet.destination),
            source_port: packet.source_port,
            port: packet.port,
            reply: packet.reply,
            flows: 1,
            names: [None; Sighting::NAMES],
        }));
        Ok(())
    }
}

/// `1772443504.120394`, as `journalctl -o short-unix` writes it.
fn unix(word: &str) -> Option<Timestamp> {
    let (seconds, rest) = word.split_at_checked(word.find('.')?)?;
    let (nanos, rest) = words::fraction(rest.as_bytes())?;
    rest.is_empty().then(|| words::moment(seconds.parse().ok()?, nanos))?
}

struct Packet {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: u16,
    port: u16,
    protocol: Protocol,
    direction: Option<Direction>,
    reply: Option<bool>,
    outcome: Option<Outcome>,
}

/// Netfilter's words, from `IN=` to the copy of an inner packet in brackets. `None`: no such line.
fn logged(message: &str) -> Option<Result<Packet, Malformed>> {
    let from = memchr::memmem::find(message.as_bytes(), b"IN=")?;
    let mut keys = Keys::default();
    for word in message[from..].split_ascii_whitespace().take_while(|word| !word.starts_with('[')) {
        keys.note(word);
    }
    (!keys.source.is_empty() && !keys.destination.is_empty()).then(|| keys.packet())
}

#[derive(Default)]
struct Keys<'a> {
    from: &'a str,
    to: &'a str,
    source: &'a str,
    destination: &'a str,
    protocol: &'a str,
    source_port: &'a str,
    port: &'a str,
    syn: bool,
    ack: bool,
}

impl<'a> Keys<'a> {
    fn note(&mut self, word: &'a str) {
        let Some((key, value)) = word.split_once('=') else {
            self.syn |= word == "SYN";
            self.ack |= word == "ACK";
            return;
        };
        let place = match key {
            "IN" => &mut self.from,
            "OUT" => &mut self.to,
            "SRC" => &mut self.source,
            "DST" => &mut self.destination,
            "PROTO" => &mut self.protocol,
            "SPT" => &mut self.source_port,
            "DPT" => &mut self.port,
            _ => return,
        };
        *place = value;
    }

    fn packet(&self) -> Result<Packet, Malformed> {
        let protocol = words::protocol(self.protocol);
        Ok(Packet {
            source: words::address(self.source)?,
            destination: words::address(self.destination)?,
            source_port: words::port(self.source_port)?,
            port: words::port(self.port)?,
            protocol,
            // From a pod and to one of the same node: either end's rule may have logged it.
            direction: match (is_pod(self.from), is_pod(self.to)) {
                (true, false) => Some(Direction::Egress),
                (false, true) => Some(Direction::Ingress),
                (true, true) | (false, false) => None,
            },
            reply: (protocol == Protocol::Tcp && self.syn).then_some(self.ack),
            outcome: None,
        })
    }
}

/// Calico's name for a pod's end of the wire, unless it was told another.
fn is_pod(interface: &str) -> bool {
    interface.starts_with("cali")
}

/// `cali8f2a-I: policy DENIED  proto 6 src 10.0.0.1:1 dest 10.0.0.2:2`, wherever the trace's own
/// columns end. `None`: no such line.
fn traced(message: &str) -> Option<Result<Packet, Malformed>> {
    let at = memchr::memmem::find(message.as_bytes(), b": policy ")?;
    let interface = message[..at].rsplit(' ').next()?;
    let mut parts = message[at + ": policy ".len()..].split_ascii_whitespace();
    let verdict = parts.next()?;
    let mut said = || -> Option<[&str; 3]> {
        let mut after = |name| (parts.next()? == name).then(|| parts.next())?;
        Some([after("proto")?, after("src")?, after("dest")?])
    };
    Some(said().ok_or(Malformed::Columns).and_then(|words| trace(interface, verdict, words)))
}

fn trace(
    interface: &str,
    verdict: &str,
    [protocol, source, destination]: [&str; 3],
) -> Result<Packet, Malformed> {
    let outcome = match verdict {
        "ALLOWED" => Outcome::Allowed,
        "DENIED" => Outcome::Denied,
        _ => return Err(Malformed::Verdict),
    };
    let end = |raw: &str| {
        let (address, port) = raw.rsplit_once(':').ok_or(Malformed::Address)?;
        Ok((words::address(address.trim_matches(['[', ']']))?, words::port(port)?))
    };
    let ((source, source_port), (destination, port)) = (end(source)?, end(destination)?);
    // Programs are named as the interface sees it: what comes in there leaves the pod.
    let direction = match interface.rsplit_once('-') {
        Some((name, "I")) if is_pod(name) => Some(Direction::Egress),
        Some((name, "E")) if is_pod(name) => Some(Direction::Ingress),
        _ => None,
    };
    Ok(Packet {
        source,
        destination,
        source_port,
        port,
        protocol: words::protocol(protocol),
        direction,
        // Policy is asked for the packet that opens a connection; the rest is found in conntrack.
        reply: Some(false),
        outcome: Some(outcome),
    })
}
