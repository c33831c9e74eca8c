//! Writes Frame Streams, dnstap and DNS messages byte by byte from the facts, with none of the code
//! that reads them.

pub const READY: u32 = 4;
pub const START: u32 = 2;
pub const STOP: u32 = 3;
pub const ACCEPT: u32 = 1;
pub const FINISH: u32 = 5;

pub const TYPE: &str = "protobuf:dnstap.Dnstap";

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let nibble = |b: u8| char::from(b).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

pub fn control(kind: u32, content_types: &[&str]) -> Vec<u8> {
    let mut payload = kind.to_be_bytes().to_vec();
    for content_type in content_types {
        payload.extend(1_u32.to_be_bytes());
        payload.extend((content_type.len() as u32).to_be_bytes());
        payload.extend(content_type.bytes());
    }
    raw_control(&payload)
}

pub fn raw_control(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out
}

pub fn data(frame: &[u8]) -> Vec<u8> {
    let mut out = (frame.len() as u32).to_be_bytes().to_vec();
    out.extend(frame);
    out
}

/// A dnstap event.
#[derive(Clone, Debug)]
pub struct Event {
    pub identity: Option<Vec<u8>>,
    pub kind: u64,
    pub family: u64,
    pub client: Option<Vec<u8>>,
    pub queried: Option<u64>,
    pub responded: Option<(u64, u32)>,
    pub message: Option<Vec<u8>>,
}

impl Event {
    /// CLIENT_RESPONSE.
    pub fn new(secs: u64, message: Vec<u8>) -> Self {
        Self {
            identity: Some(b"coredns-a".to_vec()),
            kind: 6,
            family: 1,
            client: Some(vec![10, 0, 0, 5]),
            queried: None,
            responded: Some((secs, 0)),
            message: Some(message),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        number(&mut inner, 1, self.kind);
        number(&mut inner, 2, self.family);
        number(&mut inner, 3, 1);
        self.client.iter().for_each(|client| bytes(&mut inner, 4, client));
        number(&mut inner, 6, 40_000);
        self.queried.iter().for_each(|secs| number(&mut inner, 8, *secs));
        if let Some((secs, nanos)) = self.responded {
            number(&mut inner, 12, secs);
            varint(&mut inner, 13 << 3 | 5);
            inner.extend(nanos.to_le_bytes());
        }
        self.message.iter().for_each(|message| bytes(&mut inner, 14, message));
        let mut out = Vec::new();
        self.identity.iter().for_each(|identity| bytes(&mut out, 1, identity));
        bytes(&mut out, 2, b"CoreDNS-1.14.7");
        bytes(&mut out, 14, &inner);
        number(&mut out, 15, 1);
        out
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, tag: u64, value: u64) {
    varint(out, tag << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// A DNS message. Names equal to the question's are pointers to it, as servers write them.
#[derive(Clone, Debug)]
pub struct Dns {
    pub flags: u16,
    pub questions: u16,
    /// What the header claims, where that is not the number of records.
    pub claims: Option<u16>,
    pub class: u16,
    pub asked: String,
    pub records: Vec<Vec<u8>>,
}

impl Dns {
    pub fn asked(name: &str) -> Self {
        let asked = name.to_owned();
        Self { flags: 0x8180, questions: 1, claims: None, class: 1, asked, records: Vec::new() }
    }

    /// `A`, `AAAA`, `CNAME`, or `TYPE<number>` with its data in hex.
    pub fn record(mut self, kind: &str, owner: &str, value: &str, ttl_secs: u32) -> Self {
        let (number, data) = match kind {
            "A" => (1_u16, value.parse::<std::net::Ipv4Addr>().expect("IPv4").octets().to_vec()),
            "AAAA" => (28, value.parse::<std::net::Ipv6Addr>().expect("IPv6").octets().to_vec()),
            "CNAME" => (5, name(value)),
            other => (other.trim_start_matches("TYPE").parse().expect("a type"), hex(value)),
        };
        let mut out = if owner == self.asked { vec![0xc0, 12] } else { name(owner) };
        out.extend(number.to_be_bytes());
        out.extend(1_u16.to_be_bytes());
        out.extend(ttl_secs.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
        self.records.push(out);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let claims = self.claims.unwrap_or(self.records.len() as u16);
        for word in [0x1234, self.flags, self.questions, claims, 0, 0] {
            out.extend(word.to_be_bytes());
        }
        out.extend(name(&self.asked));
        out.extend(1_u16.to_be_bytes());
        out.extend(self.class.to_be_bytes());
        self.records.iter().for_each(|record| out.extend(record));
        out
    }
}

/// Labels, with `\DDD` for other bytes.
fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        let (mut bytes, mut rest) = (Vec::new(), label.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            if *first == b'\\' {
                let digits = std::str::from_utf8(&after[..3]).expect("ASCII");
                bytes.push(digits.parse().expect("a byte"));
                rest = &after[3..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        out.push(bytes.len() as u8);
        out.extend(bytes);
    }
    out.push(0);
    out
}
