//! DNS messages and protobuf fields as bytes, written by hand after the documents: the second
//! opinion on the product's decoders, so it uses no library for either. Pure.

use std::net::IpAddr;

/// An answer to one question. Names without the dot at their end.
pub struct Message<'a> {
    pub id: u16,
    pub question: &'a str,
    /// 1 is A, 28 is AAAA.
    pub kind: u16,
    /// 3: there is no such name.
    pub rcode: u8,
    pub ttl: u32,
    /// Where the question's CNAME leads, in order; the addresses are the last one's.
    pub chain: &'a [String],
    pub addresses: &'a [IpAddr],
}

const CNAME: u16 = 5;

/// The message, with every name compressed as far as it can be.
pub fn message(it: &Message<'_>) -> Vec<u8> {
    let mut out = Names { bytes: Vec::with_capacity(128), known: Vec::new() };
    out.u16(it.id);
    // A response to a recursive question, recursion available.
    out.u16(0x8180 | u16::from(it.rcode));
    out.u16(1);
    out.u16((it.chain.len() + it.addresses.len()) as u16);
    out.u16(0);
    out.u16(0);
    out.name(it.question);
    out.u16(it.kind);
    out.u16(1);
    let mut owner = it.question;
    for target in it.chain {
        out.record(owner, CNAME, it.ttl.saturating_mul(4), |out| out.name(target));
        owner = target;
    }
    for address in it.addresses {
        let (kind, bytes) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        out.record(owner, kind, it.ttl, |out| out.bytes.extend_from_slice(&bytes));
    }
    out.bytes
}

struct Names {
    bytes: Vec<u8>,
    /// Names written so far, and where.
    known: Vec<(String, u16)>,
}

impl Names {
    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn record(&mut self, owner: &str, kind: u16, ttl: u32, data: impl FnOnce(&mut Self)) {
        self.name(owner);
        self.u16(kind);
        self.u16(1);
        self.bytes.extend_from_slice(&ttl.to_be_bytes());
        let length = self.bytes.len();
        self.u16(0);
        data(self);
        let written = (self.bytes.len() - length - 2) as u16;
        self.bytes[length..length + 2].copy_from_slice(&written.to_be_bytes());
    }

    /// Labels up to a tail that is there already, then a pointer to it.
    fn name(&mut self, name: &str) {
        let mut rest = name;
        while !rest.is_empty() {
            if let Some((_, at)) = self.known.iter().find(|(known, _)| known.eq_ignore_ascii_case(rest)) {
                let at = *at;
                return self.u16(0xc000 | at);
            }
            self.known.push((rest.to_owned(), self.bytes.len() as u16));
            let (label, tail) = rest.split_once('.').unwrap_or((rest, ""));
            self.bytes.push(label.len() as u8);
            self.bytes.extend_from_slice(label.as_bytes());
            rest = tail;
        }
        self.bytes.push(0);
    }
}

/// A varint field.
pub fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    raw(out, u64::from(field << 3));
    raw(out, value);
}

/// A fixed 32-bit field.
pub fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    raw(out, u64::from(field << 3 | 5));
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of bytes.
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    raw(out, u64::from(field << 3 | 2));
    raw(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn raw(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_the_document_says() {
        let chain = ["b.example".to_owned()];
        let addresses = [IpAddr::from([203, 0, 113, 5])];
        let bytes = message(&Message {
            id: 7,
            question: "a.example",
            kind: 1,
            rcode: 0,
            ttl: 30,
            chain: &chain,
            addresses: &addresses,
        });
        let head = [0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        assert_eq!(bytes[..12], head);
        assert_eq!(&bytes[12..27], b"\x01a\x07example\0\0\x01\0\x01");
        // a.example CNAME b.example: the owner is a pointer to 12, the tail of the target one to 14.
        assert_eq!(&bytes[27..43], b"\xc0\x0c\0\x05\0\x01\0\0\0\x78\0\x04\x01b\xc0\x0e");
        assert_eq!(&bytes[43..], b"\xc0\x27\0\x01\0\x01\0\0\0\x1e\0\x04\xcb\0\x71\x05");
    }

    #[test]
    fn fields_are_as_the_document_says() {
        let mut out = Vec::new();
        varint(&mut out, 15, 300);
        fixed32(&mut out, 9, 1);
        bytes(&mut out, 14, b"ab");
        assert_eq!(out, [0x78, 0xac, 0x02, 0x4d, 1, 0, 0, 0, 0x72, 2, b'a', b'b']);
    }
}
