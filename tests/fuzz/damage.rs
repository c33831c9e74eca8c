//! What happens to bytes on their way: bits flip, ends are cut, pieces come twice or from elsewhere,
//! numbers grow, lengths lie. Chosen by a generator that the caller seeds.

use fastrand::Rng;

/// What decoders of text and of lengths stumble over.
const WORDS: [&[u8]; 20] = [
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"9999-12-31T23:59:59.999999999Z",
    b"1970-01-01T00:00:00Z",
    b"-262144-01-01T00:00:00Z",
    b"\\ud800",
    b"\\u0000",
    b"[[[[[[[[",
    b"{\"a\":{}}",
    b"\xff\xfe",
    b"\x1b]0;x\x07",
    b"\xe2\x80\xae",
    b"\n",
    b"\xc0\x0c",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"-->",
];

/// Damages the bytes once.
pub fn damage(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Rng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(WORDS[random.usize(..WORDS.len())]);
        return;
    }
    let at = random.usize(..bytes.len());
    match random.u8(..9) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + random.usize(1..40)).min(bytes.len()))),
        4 => {
            let piece = bytes[at..(at + random.usize(1..200)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => splice_from(bytes, at, &others[random.usize(..others.len())], random),
        6 => digits(bytes, at, random),
        7 => {
            let word = WORDS[random.usize(..WORDS.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        _ => {
            bytes.splice(at..at, WORDS[random.usize(..WORDS.len())].iter().copied());
        }
    }
    bytes.truncate(1 << 20);
}

/// The rest comes from another one.
fn splice_from(bytes: &mut Vec<u8>, at: usize, other: &[u8], random: &mut Rng) {
    bytes.truncate(at);
    if !other.is_empty() {
        bytes.extend_from_slice(&other[random.usize(..other.len())..]);
    }
}

/// The next number becomes another one.
fn digits(bytes: &mut Vec<u8>, from: usize, random: &mut Rng) {
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = match random.u8(..4) {
        0 => "0".to_owned(),
        1 => random.u64(..).to_string(),
        2 => u64::MAX.to_string(),
        _ => random.u32(..70_000).to_string(),
    };
    bytes.splice(start..start + len, number.into_bytes());
}
