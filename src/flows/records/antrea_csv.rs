//! Lines of Antrea's flowLogger: comma-separated, no header, no quoting, columns that moved from
//! release to release. Reads what it needs by the place of the service's port, which is a number in
//! every release, and refuses a line whose columns fit none.
//!
//! A record knows both ends, so it may tell two things: the egress of its source pod by the egress
//! action, the ingress of its destination pod by the ingress action. What egress dropped never came
//! to the ingress. A long connection is written again and again: the first record counts, the
//! others have `flows` 0 and only move `until`.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::FixedState;
use memchr::memchr_iter;

use crate::domain::{
    flow::{Direction, Protocol},
    sighting::{Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{Malformed, Release, words};

/// Columns before the ones that moved.
mod column {
    pub const START: usize = 0;
    pub const END: usize = 1;
    pub const SOURCE_IP: usize = 2;
    pub const DESTINATION_IP: usize = 3;
    pub const SOURCE_PORT: usize = 4;
    pub const DESTINATION_PORT: usize = 5;
    pub const PROTOCOL: usize = 6;
    pub const SOURCE_POD: usize = 7;
    pub const SOURCE_NS: usize = 8;
    pub const SOURCE_NODE: usize = 9;
    pub const DESTINATION_POD: usize = 10;
    pub const DESTINATION_NS: usize = 11;
    pub const DESTINATION_NODE: usize = 12;
    /// `destinationServicePort`, or one later from 2.7 on; the others are counted from here.
    pub const SERVICE_PORT: usize = 14;
}

/// Columns after the service's port.
mod after {
    pub const SERVICE_NAME: usize = 1;
    pub const INGRESS_ACTION: usize = 5;
    pub const EGRESS_ACTION: usize = 10;
}

/// Columns that can matter: to the egress action, one further from 2.7 on.
const LEFT: usize = column::SERVICE_PORT + after::EGRESS_ACTION + 2;

#[derive(Debug)]
pub struct Decoder {
    release: Option<Release>,
    counted: Counted,
}

impl Decoder {
    pub fn new(release: Option<Release>) -> Self {
        Self { release, counted: Counted::default() }
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let text = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
        let record = Record::parse(text, self.release)?;
        let is_new = self.counted.note(&record);
        record.tell(u64::from(is_new), tell);
        Ok(())
    }
}

/// The columns from the left, as many as can matter, and how many there are.
struct Columns<'a> {
    left: [&'a str; LEFT],
    count: usize,
}

impl<'a> Columns<'a> {
    fn split(text: &'a str) -> Self {
        let (mut left, mut count, mut from) = ([""; LEFT], 0, 0);
        for comma in memchr_iter(b',', text.as_bytes()).chain([text.len()]) {
            if let Some(place) = left.get_mut(count) {
                *place = &text[from..comma];
            }
            (count, from) = (count + 1, comma + 1);
        }
        Self { left, count }
    }

    fn at(&self, column: usize) -> &'a str {
        self.left[column]
    }

    /// Where the service's port stands. The names of columns are in no file, so the line itself must
    /// say it: before 2.7 the number is in the 15th column, from 2.7 on that one is an address or
    /// empty, and the number is in the next.
    fn service_port(&self, release: Option<Release>) -> Result<usize, Malformed> {
        let number = |column: usize| self.at(column).parse::<u16>().is_ok();
        let shifted = !number(column::SERVICE_PORT)
            && words::address(self.at(column::SERVICE_PORT)).is_ok()
            && number(column::SERVICE_PORT + 1);
        let known = release.map(|release| (release.major, release.minor));
        let fits = match (known, self.count) {
            (Some((1, 13)), count) => count == 28 && !shifted,
            (Some((1, 15)), count) => count >= 30 && !shifted,
            (Some((2, 0..=5)), count) => count >= 31 && !shifted,
            (Some((2, 6)), count) => count == 29 && !shifted,
            (Some((2, 7..)), count) => count == 30 && shifted,
            (_, count) if shifted => count == 30,
            (_, count) => count >= 28,
        };
        let place = column::SERVICE_PORT + usize::from(shifted);
        (fits && number(place)).then_some(place).ok_or(Malformed::Columns)
    }
}

struct Record<'a> {
    at: Timestamp,
    until: Timestamp,
    protocol: Protocol,
    source_port: u16,
    port: u16,
    source: Side<'a>,
    destination: Side<'a>,
    source_node: &'a str,
    destination_node: &'a str,
    ingress: Outcome,
    egress: Outcome,
}

impl<'a> Record<'a> {
    fn parse(text: &'a str, release: Option<Release>) -> Result<Self, Malformed> {
        let columns = Columns::split(text);
        let service = columns.service_port(release)?;
        let at = time(columns.at(column::START))?;
        let side = |address, pod, ns| -> Result<Side<'a>, Malformed> {
            Ok(Side {
                address: words::address(columns.at(address))?,
                ns: said(columns.at(ns)),
                pod: said(columns.at(pod)),
                ..Side::default()
            })
        };
        // `ns/name:port`
        let service_name = columns.at(service + after::SERVICE_NAME);
        let service_of =
            service_name.split_once('/').map(|(ns, rest)| (ns, rest.split(':').next().unwrap_or(rest)));
        Ok(Self {
            at,
            until: time(columns.at(column::END)).unwrap_or(at).max(at),
            protocol: words::protocol(columns.at(column::PROTOCOL)),
            source_port: words::port(columns.at(column::SOURCE_PORT))?,
            port: words::port(columns.at(column::DESTINATION_PORT))?,
            source: side(column::SOURCE_IP, column::SOURCE_POD, column::SOURCE_NS)?,
            destination: Side {
                service: service_of,
                ..side(column::DESTINATION_IP, column::DESTINATION_POD, column::DESTINATION_NS)?
            },
            source_node: columns.at(column::SOURCE_NODE),
            destination_node: columns.at(column::DESTINATION_NODE),
            ingress: outcome(columns.at(service + after::INGRESS_ACTION))?,
            egress: outcome(columns.at(service + after::EGRESS_ACTION))?,
        })
    }

    fn tell(&self, flows: u64, tell: &mut impl FnMut(Told<'_>)) {
        let (from_pod, to_pod) = (self.source.pod.is_some(), self.destination.pod.is_some());
        if from_pod {
            tell(self.seen_from(Some(Direction::Egress), flows));
        }
        if to_pod && self.egress != Outcome::Denied {
            tell(self.seen_from(Some(Direction::Ingress), flows));
        }
        if !from_pod && (!to_pod || self.egress == Outcome::Denied) {
            tell(self.seen_from(None, flows));
        }
    }

    fn seen_from(&self, direction: Option<Direction>, flows: u64) -> Told<'a> {
        let (outcome, node) = match direction {
            Some(Direction::Egress) => (self.egress, self.source_node),
            Some(Direction::Ingress) => (self.ingress, self.destination_node),
            None => (self.egress.max(self.ingress), ""),
        };
        Told::Flow(Sighting {
            at: self.at,
            until: self.until,
            node: said(node),
            direction,
            outcome,
            protocol: self.protocol,
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            port: self.port,
            // Antrea exports connections from the end that opened them.
            reply: Some(false),
            flows,
            names: [None; Sighting::NAMES],
        })
    }
}

fn said(word: &str) -> Option<&str> {
    (!word.is_empty()).then_some(word)
}

fn time(seconds: &str) -> Result<Timestamp, Malformed> {
    seconds.parse().ok().and_then(|seconds| words::moment(seconds, 0)).ok_or(Malformed::Time)
}

/// By word or by number. No action is no rule: the connection passed.
fn outcome(action: &str) -> Result<Outcome, Malformed> {
    match action {
        "" | "0" | "Allow" | "1" => Ok(Outcome::Allowed),
        "Drop" | "2" | "Reject" | "3" => Ok(Outcome::Denied),
        _ => Err(Malformed::Verdict),
    }
}

/// Keys of connections that were counted, in two generations of bounded size: a connection that goes
/// on is carried over, one that went quiet for a whole generation is forgotten.
#[derive(Debug, Default)]
struct Counted {
    hasher: FixedState,
    young: HashSet<u64, FixedState>,
    old: HashSet<u64, FixedState>,
}

impl Counted {
    const GENERATION: usize = 65_536;

    /// False: this connection was counted already.
    fn note(&mut self, record: &Record<'_>) -> bool {
        #[derive(Hash)]
        struct Key<'a> {
            at: Timestamp,
            addresses: (Option<std::net::IpAddr>, Option<std::net::IpAddr>),
            ports: (u16, u16),
            protocol: Protocol,
            outcomes: (Outcome, Outcome),
            pods: (Option<&'a str>, Option<&'a str>),
        }
        let key = self.hasher.hash_one(Key {
            at: record.at,
            addresses: (record.source.address, record.destination.address),
            ports: (record.source_port, record.port),
            protocol: record.protocol,
            outcomes: (record.egress, record.ingress),
            pods: (record.source.pod, record.destination.pod),
        });
        if self.young.contains(&key) {
            return false;
        }
        if self.young.len() == Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
        !self.old.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_goes_on() {
        let line = |start: u64| {
            format!("{start},{start},10.0.0.1,10.0.0.2,4000,443,TCP,a,shop,w,,,,,,0,,,,,,,,,,,,,,")
        };
        let (first, mut counted) = (line(1_772_000_000), Counted::default());
        let note =
            |counted: &mut Counted, line: &str| counted.note(&Record::parse(line, None).expect("whole"));
        assert!(note(&mut counted, &first));
        for n in 1..400_000_u64 {
            assert!(note(&mut counted, &line(1_772_000_000 + n)), "{n}");
            assert!(n % 1_000 > 0 || !note(&mut counted, &first), "{n}");
            assert!(counted.young.len() <= Counted::GENERATION && counted.old.len() <= Counted::GENERATION);
        }
    }
}
