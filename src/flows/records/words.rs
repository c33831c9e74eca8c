//! Words that several formats share: times, addresses, protocols, spans, nodes. Pure and by hand,
//! for they are read a million times a second.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
};

use chrono::{DateTime, TimeDelta};

use crate::domain::{flow::Protocol, time::Timestamp};

use super::Malformed;

/// RFC 3339 with 0 to 9 fraction digits, in UTC or with an offset.
pub fn rfc3339(raw: &str) -> Option<Timestamp> {
    Minute::default().rfc3339(raw.as_bytes())
}

/// The last minute that was read. The lines of a file are of few minutes, and their calendar is most
/// of what a time costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Minute {
    /// `YYYY-MM-DDTHH:MM:` as it stood there, and its seconds since 1970.
    text: [u8; 17],
    seconds: i64,
}

impl Minute {
    /// As [`rfc3339`].
    pub fn rfc3339(&mut self, raw: &[u8]) -> Option<Timestamp> {
        let (minute, rest) = raw.split_first_chunk::<17>()?;
        if *minute != self.text {
            let separators = (minute[4], minute[7], minute[10], minute[13], minute[16]);
            if !matches!(separators, (b'-', b'-', b'T' | b't' | b' ', b':', b':')) {
                return None;
            }
            let (hour, of_hour) = (digits(&minute[11..13])?, digits(&minute[14..16])?);
            let clock = (hour < 24 && of_hour < 60).then_some(hour * 3600 + of_hour * 60)?;
            *self = Self { text: *minute, seconds: civil(&minute[..10])? + clock };
        }
        let (second, rest) = rest.split_first_chunk::<2>()?;
        // A leap second is the second before it.
        let second = digits(second).filter(|second| *second <= 60)?.min(59);
        let (nanos, zone) = fraction(rest)?;
        moment(self.seconds + second - offset(zone)?, nanos)
    }
}

/// Seconds since 1970 of a day written `YYYY-MM-DD` (with any separators).
pub fn civil(date: &[u8]) -> Option<i64> {
    let year = digits(date.get(..4)?)?;
    let (month, day) = (digits(date.get(5..7)?)?, digits(date.get(8..10)?)?);
    if !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) {
        return None;
    }
    // Days of a calendar whose year begins in March, so that a leap day is the last of its year.
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some((year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468) * 86_400)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds of a day written `HH:MM:SS`; a leap second is the second before it.
pub fn clock(time: &[u8]) -> Option<i64> {
    let (hour, minute) = (digits(time.get(..2)?)?, digits(time.get(3..5)?)?);
    let second = digits(time.get(6..8)?)?;
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

/// `.` and 1 to 9 digits, or nothing: nanoseconds, and what follows.
pub fn fraction(raw: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = raw.strip_prefix(b".") else { return Some((0, raw)) };
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&len) {
        return None;
    }
    let nanos = digits(&rest[..len])? * 10_i64.pow(9 - len as u32);
    Some((u32::try_from(nanos).ok()?, &rest[len..]))
}

fn offset(zone: &[u8]) -> Option<i64> {
    let sign = match zone.first()? {
        b'Z' | b'z' if zone.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match zone.len() {
        5 => (digits(&zone[1..3])?, digits(&zone[3..5])?),
        6 if zone[3] == b':' => (digits(&zone[1..3])?, digits(&zone[4..6])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(raw: &[u8]) -> Option<i64> {
    raw.iter().try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// A moment that can belong to an event: from 1970 to 9999, a day inside both ends, so that a few
/// minutes more or less never leave the calendar.
pub fn moment(seconds: i64, nanos: u32) -> Option<Timestamp> {
    (86_400..253_402_214_400).contains(&seconds).then(|| DateTime::from_timestamp(seconds, nanos))?
}

/// An address, IPv4-mapped ones unmapped. Nothing (an empty word) is nothing said.
pub fn address(raw: &str) -> Result<Option<IpAddr>, Malformed> {
    address_of(raw.as_bytes())
}

/// The same of bytes that nobody looked at yet.
pub fn address_of(raw: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    if raw.is_empty() {
        return Ok(None);
    }
    if let Some(address) = ipv4(raw) {
        return Ok(Some(IpAddr::V4(address)));
    }
    let text = std::str::from_utf8(raw).map_err(|_| Malformed::Address)?;
    text.parse::<IpAddr>().map(|address| Some(address.to_canonical())).map_err(|_| Malformed::Address)
}

/// The common form only; whatever it does not take is asked again of the standard library.
fn ipv4(raw: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut at, mut value, mut len) = ([0_u8; 4], 0, 0_u16, 0);
    for byte in raw {
        match byte {
            b'0'..=b'9' if len < 3 && !(len > 0 && value == 0) => {
                value = value * 10 + u16::from(byte - b'0');
                len += 1;
            }
            b'.' if len > 0 && at < 3 => {
                octets[at] = u8::try_from(value).ok()?;
                (at, value, len) = (at + 1, 0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(value).ok()?;
    (at == 3 && len > 0).then(|| Ipv4Addr::from(octets))
}

/// A port as text; nothing and `<nil>` are 0.
pub fn port(raw: &str) -> Result<u16, Malformed> {
    if raw.is_empty() || raw == "<nil>" { Ok(0) } else { raw.parse().map_err(|_| Malformed::Port) }
}

/// A protocol by its IANA number.
pub fn protocol_number(number: u64) -> Protocol {
    match number {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        1 | 58 => Protocol::Icmp,
        _ => Protocol::Unknown,
    }
}

/// A protocol by name or number, whatever the case.
pub fn protocol(raw: &str) -> Protocol {
    const NAMES: [(&str, Protocol); 8] = [
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("sctp", Protocol::Sctp),
        ("icmp", Protocol::Icmp),
        ("icmp6", Protocol::Icmp),
        ("icmpv4", Protocol::Icmp),
        ("icmpv6", Protocol::Icmp),
        ("ipv6-icmp", Protocol::Icmp),
    ];
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(raw));
    named.map_or_else(|| protocol_number(raw.parse().unwrap_or(255)), |(_, protocol)| *protocol)
}

/// Go's form of a span: `1.000412s`, `950ms`, `1m2.5s`.
pub fn go_span(raw: &str) -> Option<TimeDelta> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
    let (mut rest, mut nanos) = (raw, 0.0);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        nanos += number.parse::<f64>().ok()? * UNITS.iter().find(|(name, _)| *name == unit)?.1;
        rest = tail;
    }
    (!raw.is_empty() && nanos < 1e18).then(|| TimeDelta::nanoseconds(nanos as i64))
}

/// A name in lower case; owned only where it was not.
pub fn lower(raw: &str) -> Cow<'_, str> {
    if raw.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(raw.to_ascii_lowercase())
    } else {
        Cow::Borrowed(raw)
    }
}

/// The Kubernetes name of a node that Cilium calls `cluster/node`.
pub fn node(raw: &str) -> Option<&str> {
    let bytes = raw.as_bytes();
    let from = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    raw.get(from..).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_precision() {
        for (raw, nanos) in [
            ("2026-03-02T09:15:04Z", 0),
            ("2026-03-02T09:15:04.1Z", 100_000_000),
            ("2026-03-02T09:15:04.120394Z", 120_394_000),
            ("2026-03-02T09:15:04.123456789Z", 123_456_789),
            ("2026-03-02T10:45:04.5+01:30", 500_000_000),
            ("2026-03-02T08:15:04-0100", 0),
        ] {
            let at = rfc3339(raw).expect(raw);
            assert_eq!((at.timestamp(), at.timestamp_subsec_nanos()), (1_772_442_904, nanos), "{raw}");
        }
    }

    #[test]
    fn the_calendar_is_the_one_chrono_knows() {
        for raw in ["2024-02-29", "2000-02-29", "1970-01-02", "1999-12-31", "2100-03-01", "2026-11-24"] {
            let text = format!("{raw}T23:59:58Z");
            let expected = DateTime::parse_from_rfc3339(&text).expect("a time").timestamp();
            assert_eq!(rfc3339(&text).map(|at| at.timestamp()), Some(expected), "{raw}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for raw in [
            "",
            "2026-03-02",
            "2026-03-02T09:15:04",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T09:15:04.Z",
            "2026-03-02T09:15:04.1234567890Z",
            "2026-03-02T09:15:04+1Z",
            "1970-01-01T00:00:00Z",
            "2026-03-02T09:15:0éZ",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(rfc3339(raw), None, "{raw}");
        }
    }

    #[test]
    fn addresses_as_the_standard_library_reads_them() {
        for raw in ["10.42.3.17", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1"] {
            assert_eq!(address(raw), Ok(raw.parse().ok()), "{raw}");
        }
        assert_eq!(address("::ffff:10.0.0.1"), Ok("10.0.0.1".parse().ok()), "unmapped");
        assert_eq!(address(""), Ok(None));
        for bad in
            ["10.0.0", "10.0.0.256", "10.0.0.01", "1.2.3.4.5", "a", "10.0.0.1 ", "1..2.3", "fe80::1%eth0"]
        {
            assert_eq!(address(bad), Err(Malformed::Address), "{bad}");
        }
    }

    #[test]
    fn spans_as_go_prints_them() {
        for (raw, millis) in [("1.000412s", 1_000), ("950ms", 950), ("1m2.5s", 62_500), ("1h0m0s", 3_600_000)]
        {
            assert_eq!(go_span(raw).map(|span| span.num_milliseconds()), Some(millis), "{raw}");
        }
        for bad in ["", "5", "s", "1.2.3s", "1y", "é", "99999999999999h"] {
            assert_eq!(go_span(bad), None, "{bad}");
        }
    }

    #[test]
    fn protocols_by_name_and_number() {
        use Protocol::{Icmp, Sctp, Tcp, Udp, Unknown};
        for (raw, protocol) in
            [("TCP", Tcp), ("udp", Udp), ("132", Sctp), ("icmp6", Icmp), ("58", Icmp), ("esp", Unknown)]
        {
            assert_eq!(super::protocol(raw), protocol, "{raw}");
        }
    }
}
