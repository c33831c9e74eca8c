//! One denied packet gives two events, a policy verdict and a drop. This tells the second of the two
//! from another packet, in fixed memory and in the order of one file. A file that holds only one of
//! the kinds loses nothing; two packets that meet in one place are at worst counted twice.

use std::{
    hash::{BuildHasher, Hash},
    net::IpAddr,
};

use chrono::TimeDelta;
use foldhash::fast::FixedState;

use crate::domain::{
    flow::{Direction, Protocol},
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Verdict,
    Drop,
}

/// What both events say of their packet.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Packet<'a> {
    pub node: Option<&'a str>,
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    pub ports: (u16, u16),
    pub protocol: Protocol,
    pub direction: Option<Direction>,
}

/// Packets of one key whose other event has not come yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: u64,
    event: Event,
    packets: u8,
    at: Timestamp,
}

#[derive(Debug)]
pub struct Twins {
    hasher: FixedState,
    places: Vec<Option<Waiting>>,
}

impl Default for Twins {
    fn default() -> Self {
        Self { hasher: FixedState::default(), places: vec![None; Self::PLACES] }
    }
}

impl Twins {
    const PLACES: usize = 1_024;
    const APART: TimeDelta = TimeDelta::seconds(1);

    /// Waits for nothing any more.
    pub fn clear(&mut self) {
        self.places.fill(None);
    }

    /// True: the other event of this packet was told already.
    pub fn is_second(&mut self, packet: &Packet<'_>, event: Event, at: Timestamp) -> bool {
        let key = self.hasher.hash_one(packet);
        let place = &mut self.places[key as usize % Self::PLACES];
        let packets = match place {
            Some(waiting) if waiting.key == key && (at - waiting.at).abs() <= Self::APART => {
                if waiting.event != event && waiting.packets > 0 {
                    waiting.packets -= 1;
                    return true;
                }
                if waiting.event == event { waiting.packets.saturating_add(1) } else { 1 }
            }
            Some(_) | None => 1,
        };
        *place = Some(Waiting { key, event, packets, at });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `v` a verdict, `d` a drop, `.` half a second: which of them count.
    fn counted(events: &str) -> String {
        let mut twins = Twins::default();
        let mut at = Timestamp::from_timestamp(1_000_000, 0).expect("in range");
        let packet = Packet {
            node: Some("w"),
            source: "10.0.0.1".parse().ok(),
            destination: "10.0.0.2".parse().ok(),
            ports: (4_000, 443),
            protocol: Protocol::Tcp,
            direction: Some(Direction::Egress),
        };
        let mut out = String::new();
        for c in events.chars() {
            let event = match c {
                'v' => Event::Verdict,
                'd' => Event::Drop,
                _ => {
                    at += TimeDelta::milliseconds(500);
                    continue;
                }
            };
            if !twins.is_second(&packet, event, at) {
                out.push(c);
            }
        }
        out
    }

    /// Each packet of a long scan has both its events, a second of scan between the places' reuse.
    #[test]
    fn a_scan_of_many_ports_is_counted_once_each_in_the_same_memory() {
        let mut twins = Twins::default();
        let from = Timestamp::from_timestamp(1_000_000, 0).expect("in range");
        let (mut counted, mut second) = (0, 0);
        for n in 0..200_000_u32 {
            let packet = Packet {
                node: Some("w"),
                source: "10.0.0.1".parse().ok(),
                destination: Some(std::net::Ipv4Addr::from(0x0a00_0000 + n / 50_000).into()),
                ports: (4_000, (n % 50_000) as u16),
                protocol: Protocol::Tcp,
                direction: Some(Direction::Egress),
            };
            let at = from + TimeDelta::microseconds(i64::from(n) * 20);
            for event in [Event::Verdict, Event::Drop] {
                *(if twins.is_second(&packet, event, at) { &mut second } else { &mut counted }) += 1;
            }
        }
        assert_eq!((counted, second, twins.places.len()), (200_000, 200_000, Twins::PLACES));
    }

    #[test]
    fn what_waits_is_forgotten_where_lines_do_not_follow_each_other() {
        let packet = Packet {
            node: None,
            source: "10.0.0.1".parse().ok(),
            destination: "10.0.0.2".parse().ok(),
            ports: (1, 2),
            protocol: Protocol::Tcp,
            direction: None,
        };
        let at = Timestamp::from_timestamp(1_000_000, 0).expect("in range");
        let mut twins = Twins::default();
        assert!(!twins.is_second(&packet, Event::Verdict, at));
        twins.clear();
        assert!(!twins.is_second(&packet, Event::Drop, at));
        assert!(twins.is_second(&packet, Event::Verdict, at));
    }

    #[test]
    fn both_events_of_a_packet_count_once_whatever_their_order() {
        for (events, expected) in [
            ("vd", "v"),
            ("dv", "d"),
            ("vdvdvd", "vvv"),
            ("vvdd", "vv"),
            ("vd.vd", "vv"),
            ("v.d", "v"),
            ("ddd", "ddd"),
            ("vvv", "vvv"),
            ("v...d", "vd"),
            ("vddd", "vdd"),
        ] {
            assert_eq!(counted(events), expected, "{events}");
        }
    }
}
