//! Lines of one exporter come in a few shapes: the same members in the same order, with the same
//! words, around the few values that differ. A line of a shape that was met before is told by
//! comparing what stands between those values (measured: a third of the time of reading its members).
//! Whatever is not exactly so is left to the general reader, so a shape never changes what a line
//! says. Fixed memory.

use super::{
    known::{Known, Meant, sign_of},
    meaning::Traits,
};

mod learn;
#[cfg(test)]
mod tests;

/// A value that differs between lines of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Hole {
    Time,
    Node,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    SourceEnd,
    DestinationEnd,
    ServiceName,
    ServiceNs,
    Names,
    Query,
    Ips,
    Ttl,
    Cnames,
    /// A text, number or list of which nothing is kept.
    Text,
    Number,
    List,
}

/// The values of one line, as they stand in it.
#[derive(Debug, Default)]
pub(super) struct Values<'l> {
    pub time: &'l [u8],
    pub node: &'l [u8],
    pub addresses: [&'l [u8]; 2],
    pub ports: [u16; 2],
    pub ends: [Meant<'l>; 2],
    pub service: [&'l [u8]; 2],
    pub names: List<'l>,
    pub query: &'l [u8],
    pub ips: List<'l>,
    pub ttl: u64,
    pub cnames: List<'l>,
}

/// A list of texts without escapes: what stands between its brackets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List<'l>(&'l [u8]);

/// Why a line is left to the general reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// A shape that is not known; it may be learned.
    Shape,
    /// A value that is new or unusual.
    Value,
}

/// The shapes as a tree: lines that begin alike share the way until they differ.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    steps: Vec<Step>,
    first: Vec<u16>,
}

/// What must stand here, to the byte, and what comes behind it.
#[derive(Debug)]
struct Step {
    literal: Box<[u8]>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Hole(Hole, Vec<u16>),
    End(Traits),
}

/// Of the whole tree, and of the ways that lead on from one place.
const STEPS: usize = 1_024;
const WAYS: usize = 16;

impl Shapes {
    /// Into `values`, which are not worth a copy a line.
    pub fn read<'l>(
        &self,
        line: &'l [u8],
        known: &'l Known,
        values: &mut Values<'l>,
    ) -> Result<&Traits, Miss> {
        let (mut rest, mut ways) = (line, &self.first);
        loop {
            let mut steps = ways.iter().map(|way| &self.steps[usize::from(*way)]);
            let step = steps.find(|step| rest.starts_with(&step.literal)).ok_or(Miss::Shape)?;
            rest = &rest[step.literal.len()..];
            match &step.then {
                Then::Hole(hole, next) => {
                    rest = values.take(*hole, rest, known).ok_or(Miss::Value)?;
                    ways = next;
                }
                Then::End(traits) if rest.is_empty() => return Ok(traits),
                Then::End(_) => return Err(Miss::Shape),
            }
        }
    }
}

impl<'l> Values<'l> {
    /// Puts the value in its place; what stands behind it. `None`: not in its usual form.
    fn take(&mut self, hole: Hole, rest: &'l [u8], known: &'l Known) -> Option<&'l [u8]> {
        let place = match hole {
            Hole::Time => &mut self.time,
            Hole::Node => &mut self.node,
            Hole::Source => &mut self.addresses[0],
            Hole::Destination => &mut self.addresses[1],
            Hole::ServiceName => &mut self.service[1],
            Hole::ServiceNs => &mut self.service[0],
            Hole::Query => &mut self.query,
            Hole::Text => &mut &rest[..0],
            Hole::SourceEnd => return self.end(0, rest, known),
            Hole::DestinationEnd => return self.end(1, rest, known),
            Hole::SourcePort | Hole::DestinationPort | Hole::Ttl | Hole::Number => {
                return self.number(hole, rest);
            }
            Hole::Names => return list(&mut self.names, rest),
            Hole::Ips => return list(&mut self.ips, rest),
            Hole::Cnames => return list(&mut self.cnames, rest),
            Hole::List => return list(&mut List::default(), rest),
        };
        let end = end_of_text(rest)?;
        *place = &rest[..end];
        Some(&rest[end..])
    }

    fn end(&mut self, side: usize, rest: &'l [u8], known: &'l Known) -> Option<&'l [u8]> {
        let (length, end) = known.meant(rest, sign_of(self.addresses[side]))?;
        self.ends[side] = end;
        Some(&rest[length..])
    }

    fn number(&mut self, hole: Hole, rest: &'l [u8]) -> Option<&'l [u8]> {
        let length = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let digits = rest[..length].iter();
        let number =
            (1..=18).contains(&length).then(|| digits.fold(0, |sum, b| sum * 10 + u64::from(b - b'0')))?;
        match hole {
            Hole::SourcePort => self.ports[0] = u16::try_from(number).ok()?,
            Hole::DestinationPort => self.ports[1] = u16::try_from(number).ok()?,
            Hole::Ttl => self.ttl = number,
            _ => {}
        }
        // A fraction or an exponent is for the general reader.
        (!matches!(rest[length], b'.' | b'e' | b'E' | b'+' | b'-')).then(|| &rest[length..])
    }
}

impl<'l> List<'l> {
    pub fn texts(self) -> impl Iterator<Item = &'l [u8]> {
        // Every second piece is what stands between two texts.
        self.0.split(|byte| *byte == b'"').skip(1).step_by(2)
    }
}

/// `["a","b"]`, without spaces.
fn list<'l>(into: &mut List<'l>, rest: &'l [u8]) -> Option<&'l [u8]> {
    let inner = rest.strip_prefix(b"[")?;
    let mut left = inner;
    while *left.first()? != b']' {
        if left.len() < inner.len() {
            left = left.strip_prefix(b",")?;
        }
        left = left.strip_prefix(b"\"")?;
        left = left.get(end_of_text(left)? + 1..)?;
    }
    *into = List(&inner[..inner.len() - left.len()]);
    Some(&left[1..])
}

/// Where the quote stands that closes a text of plain ASCII; `None` where anything else comes first.
/// Eight bytes at once: `word ^ quotes` has a zero byte where there is a quote, and subtracting one
/// from each byte carries into the high bit of the lowest zero.
#[inline]
fn end_of_text(rest: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = rest.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | word & HIGH;
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return (rest[at] == b'"').then_some(at);
        }
        at += 8;
    }
    let odd = |byte: &u8| matches!(byte, b'"' | b'\\' | 0x80..);
    let end = at + rest.get(at..)?.iter().position(odd)?;
    (rest[end] == b'"').then_some(end)
}
