//! One DNS message of an answer: the name asked, the aliases from it, the addresses at their end. Reads
//! names and the three record types that matter; other records are stepped over by their length, so
//! that an odd one costs nothing. Bounded: lengths, records, aliases, and pointers only backwards.

use std::net::{IpAddr, Ipv6Addr};

use hickory_proto::{
    op::{Header, MessageType, OpCode, ResponseCode},
    rr::{Name, RecordType},
    serialize::binary::{BinDecodable as _, BinDecoder},
};

use super::decode::Malformed;

const LONGEST: usize = 65_535;
/// More answer records than any resolver gives. Each costs a walk along its name's pointers.
const RECORDS: u16 = 1_024;
/// Aliases from the question to the address.
const ALIASES: usize = 16;
const CLASS_IN: u16 = 1;

/// What a response says.
#[derive(Debug, Default)]
pub struct Response {
    pub query: String,
    /// Targets of the aliases, in order.
    pub aliases: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub ttl_secs: u32,
}

enum What {
    Alias(Name),
    Address(IpAddr),
}

struct Record {
    owner: Name,
    ttl_secs: u32,
    what: What,
}

/// `None`: a good message without an address for its question (no such name, no record, another class).
pub fn read(message: &[u8]) -> Result<Option<Response>, Malformed> {
    if message.len() > LONGEST {
        return Err(Malformed::TooLong);
    }
    let mut from = BinDecoder::new(message);
    let header = Header::read(&mut from).map_err(|_| Malformed::Message)?;
    if header.metadata.message_type != MessageType::Response {
        return Err(Malformed::NoResponse);
    }
    if header.metadata.op_code != OpCode::Query || header.metadata.response_code != ResponseCode::NoError {
        return Ok(None);
    }
    if header.counts.queries != 1 {
        return Err(Malformed::Questions);
    }
    if header.counts.answers > RECORDS {
        return Err(Malformed::TooManyRecords);
    }
    let asked = name(&mut from)?;
    let _record_type = word(&mut from)?;
    if word(&mut from)? != CLASS_IN || asked.is_root() {
        return Ok(None);
    }
    let mut records = Vec::new();
    for _ in 0..header.counts.answers {
        records.extend(record(&mut from)?);
    }
    follow(&asked, &records)
}

fn name(from: &mut BinDecoder<'_>) -> Result<Name, Malformed> {
    Name::read(from).map_err(|_| Malformed::Name)
}

fn word(from: &mut BinDecoder<'_>) -> Result<u16, Malformed> {
    from.read_u16().map(|word| word.unverified()).map_err(|_| Malformed::Message)
}

/// `None`: a record of another kind.
fn record(from: &mut BinDecoder<'_>) -> Result<Option<Record>, Malformed> {
    let owner = name(from)?;
    let (kind, class) = (RecordType::from(word(from)?), word(from)?);
    let ttl_secs = from.read_u32().map_err(|_| Malformed::Message)?.unverified();
    let length = usize::from(word(from)?);
    // An alias may point back into the message, so it is read in place.
    let mut inside = from.clone(u16::try_from(from.index()).map_err(|_| Malformed::Message)?);
    let data = from.read_slice(length).map_err(|_| Malformed::Message)?.unverified();
    let what = match kind {
        _ if class != CLASS_IN => return Ok(None),
        RecordType::A => What::Address(IpAddr::from(array::<4>(data)?)),
        RecordType::AAAA => What::Address(Ipv6Addr::from(array::<16>(data)?).to_canonical()),
        RecordType::CNAME => {
            let target = name(&mut inside)?;
            if inside.index() != from.index() {
                return Err(Malformed::Name);
            }
            What::Alias(target)
        }
        _ => return Ok(None),
    };
    // The highest bit must not be set (RFC 2181): such a lifetime is none.
    let ttl_secs = if ttl_secs > i32::MAX as u32 { 0 } else { ttl_secs };
    Ok(Some(Record { owner, ttl_secs, what }))
}

fn array<const N: usize>(data: &[u8]) -> Result<[u8; N], Malformed> {
    data.try_into().map_err(|_| Malformed::AddressLength)
}

/// From the question over its aliases to the addresses. Records off that way are not an answer to it.
fn follow(asked: &Name, records: &[Record]) -> Result<Option<Response>, Malformed> {
    let mut response = Response { query: text(asked), ttl_secs: u32::MAX, ..Response::default() };
    let mut at = asked;
    while let Some((target, ttl_secs)) = alias(records, at) {
        if response.aliases.len() == ALIASES {
            return Err(Malformed::Aliases);
        }
        response.aliases.push(text(target));
        response.ttl_secs = response.ttl_secs.min(ttl_secs);
        at = target;
    }
    for record in records.iter().filter(|record| record.owner == *at) {
        if let What::Address(address) = record.what {
            response.addresses.push(address);
            response.ttl_secs = response.ttl_secs.min(record.ttl_secs);
        }
    }
    Ok((!response.addresses.is_empty()).then_some(response))
}

fn alias<'a>(records: &'a [Record], of: &Name) -> Option<(&'a Name, u32)> {
    records.iter().find_map(|record| match &record.what {
        What::Alias(target) if record.owner == *of => Some((target, record.ttl_secs)),
        What::Alias(_) | What::Address(_) => None,
    })
}

/// Lower case, without the last dot. Bytes that are no visible ASCII, and dots and backslashes inside a
/// label, are escaped as `\DDD`, so that no name can look like another one.
fn text(name: &Name) -> String {
    let mut out = String::with_capacity(name.len());
    for label in name.iter() {
        if !out.is_empty() {
            out.push('.');
        }
        for byte in label {
            if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\') {
                out.push(char::from(byte.to_ascii_lowercase()));
            } else {
                out.push_str(&format!("\\{byte:03}"));
            }
        }
    }
    out
}
