//! Lines of Antrea's flowLogger: comma-separated, no header, no quoting, columns that moved from
//! release to release. Reads what it needs by the place of the service's port, which is a number in
//! every release, and refuses a line whose columns fit none. What a record tells is
//! [`super::antrea_record`]'s.

use memchr::memchr_iter;

use crate::domain::{
    sighting::{Outcome, Side, Told},
    time::Timestamp,
};

use super::{
    Malformed, Release,
    antrea_record::{Counted, Record, said},
    words,
};

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
        let record = parse(text, self.release)?;
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

fn parse(text: &str, release: Option<Release>) -> Result<Record<'_>, Malformed> {
    let columns = Columns::split(text);
    let service = columns.service_port(release)?;
    let at = time(columns.at(column::START))?;
    let side = |address, pod, ns| -> Result<Side<'_>, Malformed> {
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
    Ok(Record {
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
