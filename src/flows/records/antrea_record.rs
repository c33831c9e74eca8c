//! One record of Antrea's flow exporter, whatever it came by (a file's columns, the aggregator's
//! stream), and what it tells. Pure.
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

use crate::domain::{
    flow::{Direction, Protocol},
    sighting::{Outcome, Side, Sighting, Told},
    time::Timestamp,
};

pub struct Record<'a> {
    pub at: Timestamp,
    pub until: Timestamp,
    pub protocol: Protocol,
    pub source_port: u16,
    pub port: u16,
    pub source: Side<'a>,
    pub destination: Side<'a>,
    pub source_node: &'a str,
    pub destination_node: &'a str,
    pub ingress: Outcome,
    pub egress: Outcome,
}

impl<'a> Record<'a> {
    pub fn tell(&self, flows: u64, tell: &mut impl FnMut(Told<'_>)) {
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

pub fn said(word: &str) -> Option<&str> {
    (!word.is_empty()).then_some(word)
}

/// Keys of connections that were counted, in two generations of bounded size: a connection that goes
/// on is carried over, one that went quiet for a whole generation is forgotten.
#[derive(Debug, Default)]
pub struct Counted {
    hasher: FixedState,
    young: HashSet<u64, FixedState>,
    old: HashSet<u64, FixedState>,
}

impl Counted {
    const GENERATION: usize = 65_536;

    /// False: this connection was counted already.
    pub fn note(&mut self, record: &Record<'_>) -> bool {
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
        let record = |start: i64| Record {
            at: Timestamp::from_timestamp(1_772_000_000 + start, 0).expect("in range"),
            until: Timestamp::from_timestamp(1_772_000_000 + start, 0).expect("in range"),
            protocol: Protocol::Tcp,
            source_port: 4_000,
            port: 443,
            source: Side {
                address: "10.0.0.1".parse().ok(),
                ns: Some("shop"),
                pod: Some("a"),
                ..Side::default()
            },
            destination: Side { address: "10.0.0.2".parse().ok(), ..Side::default() },
            source_node: "w",
            destination_node: "",
            ingress: Outcome::Allowed,
            egress: Outcome::Allowed,
        };
        let mut counted = Counted::default();
        assert!(counted.note(&record(0)));
        for n in 1..400_000 {
            assert!(counted.note(&record(n)), "{n}");
            assert!(n % 1_000 > 0 || !counted.note(&record(0)), "{n}");
            assert!(counted.young.len() <= Counted::GENERATION && counted.old.len() <= Counted::GENERATION);
        }
    }
}
