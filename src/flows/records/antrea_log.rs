//! Lines of Antrea's `np.log`: 16 words of one policy's judgement, and for denials how many packets
//! the line stands for. The pod is the enforcing end's. The time of a line is when it was written, in
//! the agent's zone, which the line does not say ([`super::Context::utc_offset`]).

use chrono::{FixedOffset, TimeDelta};
use compact_str::CompactString;

use crate::domain::{
    flow::Direction,
    sighting::{Outcome, Side, Sighting, Told},
    time::Timestamp,
};

use super::{Malformed, words};

const NIL: &str = "<nil>";

#[derive(Debug)]
pub struct Decoder {
    node: Option<CompactString>,
    offset: FixedOffset,
}

impl Decoder {
    pub fn new(node: Option<CompactString>, offset: FixedOffset) -> Self {
        Self { node, offset }
    }

    pub fn decode(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let text = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
        let merged = merged(text)?;
        let line = Words::split(merged.line)?;
        let until = self.time(line.date, line.time)?;
        let outcome = match line.action {
            // Redirected to the L7 engine: it passed this rule.
            "Allow" | "Redirect" => Outcome::Allowed,
            "Drop" | "Reject" => Outcome::Denied,
            _ => return Err(Malformed::Verdict),
        };
        let direction = direction(line.direction, line.table)?;
        let (mut source, mut destination) = (end(line.source)?, end(line.destination)?);
        match direction {
            Direction::Egress => enforced_at(&mut source, line.pod),
            Direction::Ingress => enforced_at(&mut destination, line.pod),
        }
        tell(Told::Flow(Sighting {
            at: until - merged.span,
            until,
            node: self.node.as_deref(),
            direction: Some(direction),
            outcome,
            protocol: words::protocol(line.protocol),
            source,
            destination,
            source_port: words::port(line.source_port)?,
            port: words::port(line.port)?,
            // Rules judge the packet that opens a connection; conntrack lets answers pass before.
            reply: Some(false),
            flows: merged.packets,
            names: [None; Sighting::NAMES],
        }));
        Ok(())
    }

    /// `2026/03/02 09:15:05.120394` in the agent's zone.
    fn time(&self, date: &str, time: &str) -> Result<Timestamp, Malformed> {
        let (date, time) = (date.as_bytes(), time.as_bytes());
        let read = || {
            let (clock, rest) = time.split_at_checked(8)?;
            let (nanos, rest) = words::fraction(rest)?;
            let separated = date.len() == 10 && date[4] == b'/' && date[7] == b'/' && rest.is_empty();
            let seconds = separated.then(|| words::civil(date))?? + words::clock(clock)?;
            words::moment(seconds - i64::from(self.offset.local_minus_utc()), nanos)
        };
        read().ok_or(Malformed::Time)
    }
}

/// A line that stands for several packets.
struct Merged<'a> {
    line: &'a str,
    packets: u64,
    span: TimeDelta,
}

/// The line without ` [N packets in D]`, and what that says.
fn merged(text: &str) -> Result<Merged<'_>, Malformed> {
    let Some((line, suffix)) = text.rsplit_once(" [") else {
        return Ok(Merged { line: text, packets: 1, span: TimeDelta::zero() });
    };
    let read = || {
        let (count, span) = suffix.strip_suffix(']')?.split_once(" packet")?;
        let span = span.strip_prefix('s').unwrap_or(span).strip_prefix(" in ")?;
        Some((count.parse::<u64>().ok().filter(|count| *count > 0)?, words::go_span(span)?))
    };
    // A day at most: nothing is merged over more than seconds.
    let (packets, span) = read().filter(|(_, span)| *span < TimeDelta::days(1)).ok_or(Malformed::Columns)?;
    Ok(Merged { line, packets, span })
}

struct Words<'a> {
    date: &'a str,
    time: &'a str,
    table: &'a str,
    direction: &'a str,
    action: &'a str,
    pod: &'a str,
    source: &'a str,
    source_port: &'a str,
    destination: &'a str,
    port: &'a str,
    protocol: &'a str,
}

impl<'a> Words<'a> {
    /// From both ends: a rule's name, in the middle, may hold spaces.
    fn split(text: &'a str) -> Result<Self, Malformed> {
        let mut from_left = text.splitn(5, ' ');
        let mut left = || from_left.next().ok_or(Malformed::Columns);
        let (date, time, table, _policy) = (left()?, left()?, left()?, left()?);
        let mut from_right = left()?.rsplitn(12, ' ');
        let mut right = || from_right.next().ok_or(Malformed::Columns);
        let (_label, _length, protocol) = (right()?, right()?, right()?);
        let (port, destination) = (right()?, right()?);
        let (source_port, source) = (right()?, right()?);
        let (pod, _priority, action, direction) = (right()?, right()?, right()?, right()?);
        let _rule = right()?;
        Ok(Self {
            date,
            time,
            table,
            direction,
            action,
            pod,
            source,
            source_port,
            destination,
            port,
            protocol,
        })
    }
}

/// The word for it, or else the table that judged, which is named after it.
fn direction(word: &str, table: &str) -> Result<Direction, Malformed> {
    match word {
        "Egress" => Ok(Direction::Egress),
        "Ingress" => Ok(Direction::Ingress),
        NIL if table.contains("Egress") => Ok(Direction::Egress),
        NIL if table.contains("Ingress") => Ok(Direction::Ingress),
        _ => Err(Malformed::Direction),
    }
}

fn end(address: &str) -> Result<Side<'_>, Malformed> {
    let address = if address == NIL { "" } else { address };
    Ok(Side { address: words::address(address)?, ..Side::default() })
}

fn enforced_at<'a>(side: &mut Side<'a>, pod: &'a str) {
    if let Some((ns, pod)) = pod.split_once('/') {
        (side.ns, side.pod) = (Some(ns), Some(pod));
    }
}
