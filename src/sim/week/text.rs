//! Numbers, times and names as bytes, fast: a week is written at hundreds of megabytes a second.
//! Pure; the buffer is the caller's.

use chrono::{DateTime, Datelike, Timelike};

use super::{
    event::Question,
    inventory::{Inventory, SECOND},
};

/// Remembers the last whole second, because lines come in order of time.
#[derive(Clone, Debug, Default)]
pub struct Stamp {
    second: i64,
    text: Vec<u8>,
}

impl Stamp {
    /// RFC 3339 in UTC, with the fraction cut as Go's protojson cuts it: 0, 3, 6 or 9 digits.
    pub fn rfc3339(&mut self, out: &mut Vec<u8>, at: i64) {
        let (second, nanos) = (at.div_euclid(SECOND), at.rem_euclid(SECOND));
        if second != self.second || self.text.is_empty() {
            self.second = second;
            let it = DateTime::from_timestamp(second, 0).unwrap_or_default();
            let date = format!("{:04}-{:02}-{:02}", it.year(), it.month(), it.day());
            self.text = format!("{date}T{:02}:{:02}:{:02}", it.hour(), it.minute(), it.second()).into_bytes();
        }
        out.extend_from_slice(&self.text);
        let (digits, value) = match nanos {
            0 => (0, 0),
            n if n % 1_000_000 == 0 => (3, n / 1_000_000),
            n if n % 1_000 == 0 => (6, n / 1_000),
            n => (9, n),
        };
        if digits > 0 {
            out.push(b'.');
            padded(out, value as u64, digits);
        }
        out.push(b'Z');
    }
}

pub fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let (mut from, mut limit) = (1, 10);
    while value >= limit && from < 20 {
        from += 1;
        limit *= 10;
    }
    (from..width).for_each(|_| out.push(b'0'));
    number(out, value);
}

/// 8-4-4-4-12 hexadecimal digits.
pub fn uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let all = (u128::from(high) << 64) | u128::from(low);
    for nibble in 0..32 {
        if matches!(nibble, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(HEX[(all >> (124 - nibble * 4) & 15) as usize]);
    }
}

/// The name in a question, without the dot at its end. The asker's namespace is in its search list.
pub fn question(inventory: &Inventory, asker_ns: &str, question: Question) -> String {
    let host = |site: usize| inventory.sites[site].host.clone().unwrap_or_default();
    match question {
        Question::Site { site, .. } | Question::Empty { site } => host(site),
        Question::Service { workload } => {
            let it = &inventory.workloads[workload];
            format!("{}.{}.svc.cluster.local", it.name, it.ns)
        }
        Question::Miss { site, suffix: 0 } => format!("{}.{asker_ns}.svc.cluster.local", host(site)),
        Question::Miss { site, suffix: 1 } => format!("{}.svc.cluster.local", host(site)),
        Question::Miss { site, .. } => format!("{}.cluster.local", host(site)),
    }
}
