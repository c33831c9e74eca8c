//! Single values of `sluice.yaml`: numbers, yes or no, durations, days, times of a day, zones. Each
//! complaint names the key, what stands there and what to write. Reads no file.

use chrono::{NaiveDate, NaiveTime, Offset as _, TimeDelta, TimeZone as _};

use super::{
    fleet_file::{Fields, Reader},
    yaml::{Node, Value},
};
use crate::domain::{
    names::{NsName, Text},
    time::Timestamp,
    zone::Zone,
};

/// A value as people wrote it, for complaints.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("{:?}", Text::new(text)),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => node.kind().to_owned(),
    }
}

impl Reader<'_> {
    /// A value of one form; `None` where it is left out, or wrong, which is told.
    pub(super) fn value<T>(
        &mut self,
        node: Option<&Node>,
        key: &str,
        wanted: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let node = node.filter(|node| !node.is_null())?;
        let value = parse(&node.value);
        if value.is_none() {
            self.error(node.line, &format!("`{key}` is {}", shown(node)), &format!("Write {wanted}."));
        }
        value
    }

    pub(super) fn flag(&mut self, node: Option<&Node>, key: &str) -> Option<bool> {
        self.value(node, key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::Null | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        })
    }

    pub(super) fn number(
        &mut self,
        node: Option<&Node>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let wanted = match (range.start(), range.end()) {
            (from, &u64::MAX) => format!("a number from {from} on"),
            (from, to) => format!("a number from {from} to {to}"),
        };
        self.value(node, key, &wanted, |value| match value {
            Value::Number(number) => number.as_u64().filter(|number| range.contains(number)),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        })
    }

    pub(super) fn port(&mut self, node: Option<&Node>, key: &str) -> Option<u16> {
        self.number(node, key, 1..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }

    /// Whole hours or days, a year at most.
    pub(super) fn span(&mut self, node: Option<&Node>, key: &str, may_be_none: bool) -> Option<TimeDelta> {
        let wanted = if may_be_none {
            "a duration such as 7d or 36h, a year at most; 0d asks for none"
        } else {
            "a duration such as 48h or 14d, a year at most"
        };
        self.value(node, key, wanted, |value| match value {
            Value::Text(raw) => span(raw).filter(|span| may_be_none || !span.is_zero()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        })
    }

    pub(super) fn day(&mut self, node: Option<&Node>, key: &str) -> Option<NaiveDate> {
        self.value(node, key, "a day of the calendar, as in 2026-12-18", |value| text(value)?.parse().ok())
    }

    pub(super) fn time_of_day(&mut self, node: Option<&Node>, key: &str) -> Option<NaiveTime> {
        let wanted = "a time of the day in quotes, as in \"09:00\"";
        self.value(node, key, wanted, |value| NaiveTime::parse_from_str(text(value)?, "%H:%M").ok())
    }

    /// A place's zone with its daylight saving, or a fixed offset from UTC.
    pub(super) fn zone(&mut self, node: Option<&Node>, key: &str) -> Option<Zone> {
        let wanted = "a zone of the IANA database such as Europe/Berlin, or an offset from UTC in quotes, as \
                      in \"+01:00\"";
        self.value(node, key, wanted, |value| {
            let raw = text(value)?;
            offset(raw).map(Zone::fixed).or_else(|| place(raw))
        })
    }

    pub(super) fn namespace(&mut self, node: Option<&Node>, parent: &Node, key: &str) -> Option<NsName> {
        let raw = self.text(node, key);
        if node.is_none_or(Node::is_null) {
            self.error(parent.line, &format!("`{key}` is missing"), "Write the namespace's exact name.");
        }
        match NsName::parse(raw?) {
            Ok(ns) => Some(ns),
            Err(bad) => {
                let line = node.map_or(parent.line, |node| node.line);
                self.error(line, &format!("`{key}`: {bad}"), "Write the namespace's exact name.");
                None
            }
        }
    }

    /// A free text that must be there.
    pub(super) fn needed(
        &mut self,
        node: Option<&Node>,
        parent: &Node,
        key: &str,
        next: &str,
    ) -> Option<Text> {
        let text = self.text(node, key).map(Text::new);
        if node.is_none_or(Node::is_null) {
            self.error(parent.line, &format!("`{key}` is missing"), next);
        }
        text
    }

    /// Free texts, each told by its place.
    pub(super) fn texts(&mut self, node: Option<&Node>, key: &str) -> Vec<Text> {
        let items = self.list(node, key);
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            out.extend(self.text(Some(item), &format!("{key}[{i}]")).map(Text::new));
        }
        out
    }

    /// The entries of a list of mappings; what is no mapping is told and passed over.
    pub(super) fn entries_of<'n>(
        &mut self,
        node: Option<&'n Node>,
        key: &str,
        known: &[&str],
    ) -> Vec<(String, &'n Node, Fields<'n>)> {
        let items = self.list(node, key);
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let key = format!("{key}[{i}]");
            let fields = self.map(item, &key, known);
            if matches!(item.value, Value::Map(_)) {
                out.push((key, item, fields));
            }
        }
        out
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// `48h`, `7d`, `1d12h`; a year at most.
fn span(raw: &str) -> Option<TimeDelta> {
    let mut total = TimeDelta::zero();
    let mut rest = raw;
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let number: i64 = digits.parse().ok()?;
        let part = match tail.chars().next()? {
            'h' => TimeDelta::try_hours(number)?,
            'd' => TimeDelta::try_days(number)?,
            _ => return None,
        };
        total = total.checked_add(&part)?;
        rest = &tail[1..];
    }
    (!raw.is_empty() && total <= TimeDelta::days(365)).then_some(total)
}

/// `+01:00`, `-03:30`, `Z`, `UTC`.
fn offset(raw: &str) -> Option<i32> {
    if matches!(raw, "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match raw.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |raw: &str, below: i32| -> Option<i32> {
        let is_plain = raw.len() == 2 && raw.bytes().all(|b| b.is_ascii_digit());
        raw.parse().ok().filter(|number| is_plain && *number < below)
    };
    Some(sign * (number(hours, 15)? * 3_600 + number(minutes, 60)? * 60))
}

/// Years of which the changes of a zone are worked out; after them its last offset stays.
const YEARS: std::ops::Range<i32> = 2020..2050;

/// A zone by its name in the IANA database, as it was when this program was built.
fn place(name: &str) -> Option<Zone> {
    let zone: chrono_tz::Tz = name.parse().ok()?;
    let secs = |at: Timestamp| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let year = |year| NaiveDate::from_ymd_opt(year, 1, 1)?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    let (mut at, end) = (year(YEARS.start)?, year(YEARS.end)?);
    let first = secs(at);
    let (mut changes, mut shown) = (Vec::new(), first);
    while at < end {
        let next = at + TimeDelta::days(1);
        let then = secs(next);
        if then != shown {
            changes.push((change(at, next, secs), then));
        }
        (at, shown) = (next, then);
    }
    Some(Zone::of(first, changes))
}

/// The first second after `from`, and up to `to`, at which it is no longer what it was.
fn change(mut from: Timestamp, mut to: Timestamp, secs: impl Fn(Timestamp) -> i32) -> Timestamp {
    let before = secs(from);
    while (to - from).num_seconds() > 1 {
        let middle = from + TimeDelta::seconds((to - from).num_seconds() / 2);
        if secs(middle) == before {
            from = middle;
        } else {
            to = middle;
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the rules that are in force there: the European Union's, those of New South Wales, and of
    /// Kolkata, which has none.
    #[test]
    fn a_places_zone_changes_when_clocks_there_do() {
        for (name, at, shown) in [
            ("Europe/Berlin", "2026-03-29T00:59:59Z", "01:59:59 +01:00"),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", "03:00:00 +02:00"),
            ("Europe/Berlin", "2027-10-31T00:59:59Z", "02:59:59 +02:00"),
            ("Europe/Berlin", "2027-10-31T01:00:00Z", "02:00:00 +01:00"),
            ("Australia/Sydney", "2026-10-03T15:59:59Z", "01:59:59 +10:00"),
            ("Australia/Sydney", "2026-10-03T16:00:00Z", "03:00:00 +11:00"),
            ("Asia/Kolkata", "2026-07-01T00:00:00Z", "05:30:00 +05:30"),
        ] {
            let at: Timestamp = at.parse().expect("a time");
            let zone = place(name).expect(name);
            let local = at.with_timezone(&zone.offset(at));
            assert_eq!(local.format("%H:%M:%S %:z").to_string(), shown, "{name}");
        }
        for wrong in ["Europe/Berln", "Berlin", "", "CEST", "é"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_hours_and_days() {
        for (raw, hours) in [("48h", 48), ("7d", 168), ("1d12h", 36), ("0d", 0), ("365d", 8_760)] {
            assert_eq!(span(raw), Some(TimeDelta::hours(hours)), "{raw}");
        }
        for raw in
            ["", "7", "d", "-1d", "7m", "1h30", "366d", "99999999999999999999d", "9223372036854775807d"]
        {
            assert_eq!(span(raw), None, "{raw}");
        }
    }

    #[test]
    fn offsets_are_fixed() {
        for (raw, secs) in [("+01:00", 3_600), ("-03:30", -12_600), ("Z", 0), ("UTC", 0), ("+14:00", 50_400)]
        {
            assert_eq!(offset(raw), Some(secs), "{raw}");
        }
        for raw in ["", "+1:00", "01:00", "+15:00", "+01:60", "+0100", "Europe/Berlin", "+ 1:00", "é"] {
            assert_eq!(offset(raw), None, "{raw}");
        }
    }
}
