//! Rows of the database as bytes: edges by namespace, answers by client, sets of hours. Small and
//! ordered; every read checks its bounds, and bytes that are not a row are `None`. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::DateTime;

use super::owned::{HeardAnswer, HeardClient};
use crate::domain::{
    edge::{DnsName, Edge, EdgeKey, Hours, Peer},
    flow::{Direction, Entity, Protocol},
    names::{NsName, Text, Workload},
    sighting::Outcome,
    time::Timestamp,
};

const PROTOCOLS: [Protocol; 5] =
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp, Protocol::Unknown];

/// Where the rows of a namespace begin. The namespace stands first and ends in a zero, which is in
/// no name: so its rows are neighbours.
pub fn prefix(ns: &NsName) -> Vec<u8> {
    let mut out = ns.as_str().as_bytes().to_vec();
    out.push(0);
    out
}

/// The namespace that a row's key begins with.
pub fn namespace(key: &[u8]) -> Option<&[u8]> {
    key.split(|byte| *byte == 0).next().filter(|ns| ns.len() < key.len())
}

pub fn key(key: &EdgeKey) -> Vec<u8> {
    let mut out = Writer(prefix(&key.ns));
    out.byte(place(&Direction::ALL, &key.direction));
    out.byte(place(&Outcome::ALL, &key.outcome));
    out.byte(place(&PROTOCOLS, &key.protocol));
    out.0.extend(key.port.to_be_bytes());
    out.workload(&key.workload);
    match &key.peer {
        Peer::Pods { ns, workload } => {
            out.byte(0);
            out.text(ns.as_str());
            out.workload(workload);
        }
        Peer::Entity(entity) => {
            out.byte(1);
            out.byte(place(&Entity::ALL, entity));
        }
        Peer::Address(address) => {
            out.byte(2);
            out.address(*address);
        }
        Peer::Unsaid(class) => {
            out.byte(3);
            out.text(class.as_str());
        }
    }
    out.text(key.name.as_ref().map_or("", DnsName::as_str));
    out.0
}

pub fn key_of(bytes: &[u8]) -> Option<EdgeKey> {
    let raw = namespace(bytes)?;
    let ns = NsName::parse(std::str::from_utf8(raw).ok()?).ok()?;
    let mut row = Reader(&bytes[raw.len() + 1..]);
    let direction = *Direction::ALL.get(row.byte()? as usize)?;
    let outcome = *Outcome::ALL.get(row.byte()? as usize)?;
    let protocol = *PROTOCOLS.get(row.byte()? as usize)?;
    let port = u16::from_be_bytes(row.take(2)?.try_into().ok()?);
    let workload = row.workload()?;
    let peer = match row.byte()? {
        0 => Peer::Pods { ns: NsName::parse(row.text()?).ok()?, workload: row.workload()? },
        1 => Peer::Entity(*Entity::ALL.get(row.byte()? as usize)?),
        2 => Peer::Address(row.address()?),
        3 => Peer::Unsaid(Text::new(row.text()?)),
        _ => return None,
    };
    let name = match row.text()? {
        "" => None,
        raw => Some(DnsName::parse(raw)?),
    };
    Some(EdgeKey { ns, workload, direction, peer, name, protocol, port, outcome })
}

/// How many flows a row's value holds.
pub fn flows_of(value: &[u8]) -> Option<u64> {
    Reader(value).number()
}

pub fn edge(edge: &Edge) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(96));
    out.number(edge.flows);
    out.time(edge.first);
    out.time(edge.last);
    out.hours(&edge.hours);
    [edge.fresh, edge.stale, edge.ambiguous].into_iter().for_each(|count| out.number(count));
    for names in [&edge.also, &edge.chain] {
        out.number(names.len() as u64);
        names.iter().for_each(|name| out.text(name.as_str()));
    }
    out.number(edge.ttl_secs.map_or(0, |secs| u64::from(secs) + 1));
    out.0
}

pub fn edge_of(bytes: &[u8]) -> Option<Edge> {
    let mut row = Reader(bytes);
    let mut edge = Edge {
        flows: row.number()?,
        first: row.time()?,
        last: row.time()?,
        hours: row.hours()?,
        fresh: row.number()?,
        stale: row.number()?,
        ambiguous: row.number()?,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    for names in [&mut edge.also, &mut edge.chain] {
        for _ in 0..row.number().filter(|count| *count <= Edge::NAMES as u64)? {
            names.push(DnsName::parse(row.text()?)?);
        }
    }
    edge.ttl_secs = row.number()?.checked_sub(1).and_then(|secs| u32::try_from(secs).ok());
    Some(edge)
}

/// An answer's row for one of its addresses: the client first, so that its rows are neighbours.
pub fn answer_key(answer: &HeardAnswer, address: IpAddr) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(96));
    match &answer.client {
        HeardClient::Pod { ns, pod } => {
            out.byte(0);
            out.text(ns);
            out.text(pod);
        }
        HeardClient::Address(address) => {
            out.byte(1);
            out.address(*address);
        }
        HeardClient::Workload { ns, name } => {
            out.byte(2);
            out.text(ns);
            out.text(name);
        }
    }
    out.address(address);
    out.text(&answer.query);
    out.0
}

pub fn answer(answer: &HeardAnswer) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(32));
    out.time(answer.at);
    out.number(u64::from(answer.ttl_secs));
    out.number(answer.cnames.len() as u64);
    answer.cnames.iter().for_each(|name| out.text(name));
    out.0
}

/// When the answer of a row was given.
pub fn answered(value: &[u8]) -> Option<Timestamp> {
    Reader(value).time()
}

pub fn answer_of(key: &[u8], value: &[u8]) -> Option<HeardAnswer> {
    let mut row = Reader(key);
    let client = match row.byte()? {
        0 => HeardClient::Pod { ns: row.text()?.into(), pod: row.text()?.into() },
        1 => HeardClient::Address(row.address()?),
        2 => HeardClient::Workload { ns: row.text()?.into(), name: row.text()?.into() },
        _ => return None,
    };
    let addresses = vec![row.address()?];
    let query = row.text()?.into();
    let mut row = Reader(value);
    let at = row.time()?;
    let ttl_secs = u32::try_from(row.number()?).ok()?;
    let count = row.number().filter(|count| *count <= 64)?;
    let cnames = (0..count).map(|_| row.text().map(Into::into)).collect::<Option<_>>()?;
    Some(HeardAnswer { at, client, query, cnames, addresses, ttl_secs })
}

pub fn hours(hours: &Hours) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.hours(hours);
    out.0
}

pub fn hours_of(bytes: &[u8]) -> Option<Hours> {
    Reader(bytes).hours()
}

/// Moments one after the other.
pub fn times(times: &[Timestamp]) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    times.iter().for_each(|at| out.time(*at));
    out.0
}

pub fn times_of<const N: usize>(bytes: &[u8]) -> Option<[Timestamp; N]> {
    let mut row = Reader(bytes);
    let mut out = [Timestamp::default(); N];
    for at in &mut out {
        *at = row.time()?;
    }
    Some(out)
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|it| it == one).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, lowest first.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn workload(&mut self, workload: &Workload) {
        self.text(workload.kind.as_str());
        self.text(workload.name.as_str());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.byte(4);
                self.0.extend(address.octets());
            }
            IpAddr::V6(address) => {
                self.byte(16);
                self.0.extend(address.octets());
            }
        }
    }

    fn time(&mut self, at: Timestamp) {
        self.0.extend(at.timestamp().to_be_bytes());
        self.0.extend(at.timestamp_subsec_nanos().to_be_bytes());
    }

    /// The first hour, and a bit for each hour from there on.
    fn hours(&mut self, hours: &Hours) {
        let first = hours.iter().next().unwrap_or(0);
        let mut bits = Vec::new();
        for hour in hours.iter() {
            let at = (hour - first) as usize;
            bits.resize((at / 8 + 1).max(bits.len()), 0);
            bits[at / 8] |= 1_u8 << (at % 8);
        }
        self.0.extend(first.to_be_bytes());
        self.number(bits.len() as u64);
        self.0.extend(bits);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(count)?).ok()
    }

    fn workload(&mut self) -> Option<Workload> {
        Some(Workload::new(self.text()?, self.text()?))
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?).into()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?).into()),
            _ => None,
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        let secs = i64::from_be_bytes(self.take(8)?.try_into().ok()?);
        let nanos = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        DateTime::from_timestamp(secs, nanos)
    }

    fn hours(&mut self) -> Option<Hours> {
        let first = i64::from_be_bytes(self.take(8)?.try_into().ok()?);
        let first = Some(first).filter(|first| first.unsigned_abs() < 1 << 32)?;
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= 1024)?;
        let mut hours = Hours::default();
        for (at, byte) in self.take(count)?.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                hours.insert(first.checked_add(at as i64 * 8 + bit)?);
            }
        }
        Some(hours)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::edges;

    const LINES: [&str; 4] = [
        r#"{"namespace":"shop","workload":{"kind":"Deployment","name":"cart"},"direction":"egress","peer":{"address":"203.0.113.80"},"name":"api.payments.example","protocol":"TCP","port":443,"outcome":"allowed","flows":12,"first":"2026-03-02T09:15:04.120394Z","last":"2026-03-08T10:00:00Z","hours":[492345,492490],"fresh":10,"ambiguous":2,"also":["cdn.example"],"ttlSecs":30}"#,
        r#"{"namespace":"shop","workload":{"kind":"","name":"cart"},"direction":"ingress","peer":{"pods":{"namespace":"web","workload":{"kind":"Deployment","name":"front"}}},"protocol":"UDP","port":8080,"outcome":"denied","flows":18446744073709551615,"first":"1969-12-31T23:59:59Z","last":"2026-03-08T10:00:00Z","hours":[]}"#,
        r#"{"namespace":"a","workload":{"kind":"","name":""},"direction":"egress","peer":{"entity":"kube-apiserver"},"protocol":"?","port":0,"outcome":"audit","flows":1,"first":"2026-03-02T09:15:04Z","last":"2026-03-02T09:15:04Z","hours":[0],"stale":1,"chain":["b.example","c.example"],"ttlSecs":0}"#,
        r#"{"namespace":"a","workload":{"kind":"","name":"x"},"direction":"egress","peer":{"unsaid":"pub"},"protocol":"ICMP","port":0,"outcome":"allowed","flows":1,"first":"2026-03-02T09:15:04Z","last":"2026-03-02T09:15:04Z","hours":[492345]}"#,
    ];

    #[test]
    fn edges_survive_both_ways() {
        for line in LINES {
            let (want_key, want_edge) = edges::from_line(line).expect("an edge");
            assert_eq!(key_of(&key(&want_key)).as_ref(), Some(&want_key), "{line}");
            assert_eq!(edge_of(&edge(&want_edge)).as_ref(), Some(&want_edge), "{line}");
        }
    }

    #[test]
    fn answers_survive_both_ways() {
        let pod = HeardClient::Pod { ns: "shop".into(), pod: "cart-1".into() };
        let workload = HeardClient::Workload { ns: "shop".into(), name: "cart".into() };
        for client in [pod, workload, HeardClient::Address(IpAddr::from([10, 0, 0, 1]))] {
            let address = "2001:db8::1".parse().expect("an address");
            let want = HeardAnswer {
                at: DateTime::from_timestamp(1_772_442_000, 7).expect("in range"),
                client,
                query: "api.example".into(),
                cnames: vec!["cdn.example".into()],
                addresses: vec![address],
                ttl_secs: 30,
            };
            assert_eq!(answer_of(&answer_key(&want, address), &answer(&want)), Some(want));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (key_of(&bytes), edge_of(&bytes), hours_of(&bytes), answer_of(&bytes, &bytes), times_of::<2>(&bytes));
        }

        #[test]
        fn half_a_row_is_none(cut in 0_usize..90) {
            let (want_key, want_edge) = edges::from_line(LINES[0]).expect("an edge");
            let bytes = key(&want_key);
            if cut < bytes.len() { prop_assert_eq!(key_of(&bytes[..cut]), None); }
            let bytes = edge(&want_edge);
            if cut < bytes.len() { prop_assert_eq!(edge_of(&bytes[..cut]), None); }
        }
    }
}
