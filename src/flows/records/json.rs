//! JSON lines as the decoders take them: each member is filled in place, texts are borrowed, `null`
//! and numbers in quotes are taken, unknown members are passed over.
//!
//! Written by hand for three reasons, all measured or met: a line is read in one pass without a copy,
//! as fast without the processor features that SIMD readers need at build time; depth costs no stack
//! (sonic-rs skips an ignored value by unbounded recursion, so one hostile line would end the
//! process); and a member that is passed over is only balanced, not checked.

use std::cell::RefCell;

use super::{Malformed, known::Known};

#[cfg(test)]
mod tests;
mod values;

pub use values::{Code, Few, Flag, Many, Num, Skip, Str};

/// One whole line as `T`. Bytes that are not UTF-8 are told apart from text that is not JSON.
pub fn line<'a, T: Value<'a>>(line: &'a [u8]) -> Result<T, Malformed> {
    let mut out = T::default();
    fill(&mut out, line, None)?;
    Ok(out)
}

/// The same in place, and with what was met before.
pub(super) fn fill<'a, T: Value<'a>>(
    out: &mut T,
    line: &'a [u8],
    known: Option<&'a RefCell<Known>>,
) -> Result<(), Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
    let has_escapes = memchr::memchr(b'\\', line).is_some();
    let mut reader = Reader { text, at: 0, has_escapes, known, addresses: [0; 2] };
    out.fill(&mut reader)?;
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(Malformed::Json),
    }
}

/// Something that a value of the line can be. Absent and `null` are the default.
pub trait Value<'a>: Default {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed>;
}

/// A struct read from an object, field by field as they come: what is missing or `null` keeps its
/// default, what is not listed is passed over, the last of two wins.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($($key:literal)|+ => $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $type,)*
            line: std::marker::PhantomData<&'a ()>,
        }

        impl<'a> crate::flows::records::json::Value<'a> for $name<'a> {
            fn fill(
                &mut self,
                from: &mut crate::flows::records::json::Reader<'a>,
            ) -> Result<(), crate::flows::records::Malformed> {
                from.object(|from, key| match key {
                    $($($key)|+ => crate::flows::records::json::Value::fill(&mut self.$field, from),)*
                    _ => from.skip(),
                })
            }
        }
    };
}
pub(super) use object;

/// A place in a line.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Somewhere in the line stands a backslash; few lines have one.
    has_escapes: bool,
    known: Option<&'a RefCell<Known>>,
    /// Signs of the addresses of the line's two ends, as far as they were read.
    pub(super) addresses: [u64; 2],
}

impl<'a> Reader<'a> {
    /// Of a text without escapes.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, has_escapes: false, known: None, addresses: [0; 2] }
    }

    /// What is still to be read, and what was met before.
    pub(super) fn rest(&self) -> (&'a str, Option<&'a RefCell<Known>>) {
        (self.text.get(self.at..).unwrap_or(""), self.known)
    }

    /// Passes over what is known.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The next byte that is no space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => self.peek_behind_spaces(),
            byte => byte.copied(),
        }
    }

    #[cold]
    fn peek_behind_spaces(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Malformed::Json)
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        let is_there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_there.then_some(()).ok_or(Malformed::Json)
    }

    /// True: it was `null`, and is behind us.
    fn null(&mut self) -> Result<bool, Malformed> {
        if self.peek() == Some(b'n') { self.word("null").map(|()| true) } else { Ok(false) }
    }

    /// Calls `member` for each key; it must take the value.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.null()? {
            return Ok(());
        }
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let (key, has_escapes) = self.quoted()?;
            if has_escapes {
                let key = unescaped(key)?;
                self.expect(b':')?;
                member(self, key.as_str())?;
            } else {
                self.expect(b':')?;
                member(self, &key[1..key.len() - 1])?;
            }
            if self.is_last(b'}')? {
                return Ok(());
            }
        }
    }

    /// Calls `item` for each element; it must take it.
    pub fn list(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.null()? {
            return Ok(());
        }
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            if self.is_last(b']')? {
                return Ok(());
            }
        }
    }

    fn is_last(&mut self, close: u8) -> Result<bool, Malformed> {
        let next = self.peek().ok_or(Malformed::Json)?;
        self.at += 1;
        if next == close {
            Ok(true)
        } else if next == b',' {
            Ok(false)
        } else {
            Err(Malformed::Json)
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Str<'a>, Malformed> {
        let (quoted, has_escapes) = self.quoted()?;
        if has_escapes { unescaped(quoted) } else { Ok(Str::borrowed(&quoted[1..quoted.len() - 1])) }
    }

    /// A string with its quotes, and whether it has escapes.
    #[inline]
    fn quoted(&mut self) -> Result<(&'a str, bool), Malformed> {
        self.expect(b'"')?;
        let from = self.at;
        let (end, has_escapes) = self.end_of_string(from)?;
        self.at = end + 1;
        Ok((&self.text[from - 1..=end], has_escapes))
    }

    #[inline]
    fn end_of_string(&self, from: usize) -> Result<(usize, bool), Malformed> {
        let bytes = self.text.as_bytes();
        let end = match self.has_escapes {
            false => next_quote(bytes, from).map(|end| (end, false)),
            true => end_with_escapes(bytes, from),
        };
        end.ok_or(Malformed::Json)
    }

    /// A number's text.
    fn number(&mut self) -> Result<&'a str, Malformed> {
        let bytes = &self.text.as_bytes()[self.at..];
        let number = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = bytes.iter().position(|b| !number(b)).unwrap_or(bytes.len());
        let from = self.at;
        self.at += len;
        if len == 0 { Err(Malformed::Json) } else { Ok(&self.text[from..self.at]) }
    }

    /// Passes over any value: what brackets open must be closed, the rest is not looked at.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek().ok_or(Malformed::Json)? {
            b'"' => {
                self.at = self.end_of_string(self.at + 1)?.0 + 1;
                Ok(())
            }
            b'{' | b'[' => self.skip_brackets(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number().map(|_| ()),
        }
    }

    fn skip_brackets(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let mut open = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => self.at = self.end_of_string(self.at)?.0 + 1,
                b'{' | b'[' => open += 1,
                b'}' | b']' => {
                    open -= 1;
                    if open == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(Malformed::Json)
    }
}

#[cold]
fn unescaped<'a>(quoted: &str) -> Result<Str<'a>, Malformed> {
    serde_json::from_str(quoted).map(Str::owned).map_err(|_| Malformed::Json)
}

/// Where a string's closing quote stands, and whether there are escapes before it.
fn end_with_escapes(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let (mut at, mut has_escapes) = (from, false);
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((at, has_escapes));
        }
        has_escapes = true;
        at += 2;
    }
}

/// Eight bytes at once: a byte of `word ^ quotes` is zero where there is a quote, and subtracting
/// one from each byte carries into the high bit of the lowest zero.
#[inline]
fn next_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk) ^ (ONES * b'"' as u64);
        let found = word.wrapping_sub(ONES) & !word & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    Some(at + bytes.get(at..)?.iter().position(|b| *b == b'"')?)
}
