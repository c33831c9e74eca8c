//! JSON lines as the decoders take them: each member is filled in place, texts are borrowed, `null`
//! and numbers in quotes are taken, unknown members are passed over.
//!
//! Written by hand for three reasons, all measured or met: a line is read in one pass without a copy,
//! as fast without the processor features that SIMD readers need at build time; depth costs no stack
//! (sonic-rs skips an ignored value by unbounded recursion, so one hostile line would end the
//! process); and a member that is passed over is only balanced, not checked.

use std::{borrow::Cow, cell::RefCell};

use super::{Malformed, known::Known};

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
        if has_escapes { unescaped(quoted) } else { Ok(Str(Cow::Borrowed(&quoted[1..quoted.len() - 1]))) }
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
    serde_json::from_str(quoted).map(|text| Str(Cow::Owned(text))).map_err(|_| Malformed::Json)
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

/// A text; owned only where it holds an escape. Absent, `null` and empty are one.
#[derive(Clone, Debug, Default)]
pub struct Str<'a>(Cow<'a, str>);

impl<'a> Str<'a> {
    pub fn borrowed(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The line's own bytes, where it has no escapes.
    pub fn in_line(&self) -> Option<&'a str> {
        match &self.0 {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` where nothing is said.
    pub fn said(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl<'a> Value<'a> for Str<'a> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        *self = if from.null()? { Self::default() } else { from.string()? };
        Ok(())
    }
}

/// An enum's value by number or by name, as it came. What is negative or no whole number is absent.
#[derive(Clone, Debug, Default)]
pub enum Code<'a> {
    #[default]
    Absent,
    Number(u64),
    Name(Str<'a>),
}

impl<'a> Value<'a> for Code<'a> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        *self = match from.peek() {
            Some(b'"') => Self::Name(from.string()?),
            Some(b'n') => from.null().map(|_| Self::Absent)?,
            Some(_) | None => whole(from.number()?)?.map_or(Self::Absent, Self::Number),
        };
        Ok(())
    }
}

fn whole(number: &str) -> Result<Option<u64>, Malformed> {
    if let Ok(number) = number.parse::<u64>() {
        return Ok(Some(number));
    }
    let number: f64 = number.parse().map_err(|_| Malformed::Json)?;
    Ok((0.0..9.0e15).contains(&number).then_some(number as u64))
}

/// A count or code written as a number, as a text or as `null`. What is negative or no number is
/// `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Num(pub Option<u64>);

impl<'a> Value<'a> for Num {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        let mut code = Code::Absent;
        code.fill(from)?;
        self.0 = match code {
            Code::Number(number) => Some(number),
            Code::Name(name) => name.as_str().trim().parse().ok(),
            Code::Absent => None,
        };
        Ok(())
    }
}

/// A yes or no that may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

impl<'a> Value<'a> for Flag {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.0 = match from.peek() {
            Some(b't') => from.word("true").map(|()| Some(true))?,
            Some(b'f') => from.word("false").map(|()| Some(false))?,
            Some(b'"') => from.string()?.as_str().parse().ok(),
            Some(_) | None => from.word("null").map(|()| None)?,
        };
        Ok(())
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        if from.null()? {
            *self = None;
            return Ok(());
        }
        self.insert(T::default()).fill(from)
    }
}

impl<'a, T: Value<'a>> Value<'a> for Box<T> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.as_mut().fill(from)
    }
}

/// The first `N` of a list; `len` of them are set.
#[derive(Clone, Debug)]
pub struct Few<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T, const N: usize> Few<T, N> {
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }

    /// Puts one in, where there is room.
    pub fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }
}

impl<T: Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { items: std::array::from_fn(|_| T::default()), len: 0 }
    }
}

impl<'a, T: Value<'a>, const N: usize> Value<'a> for Few<T, N> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.len = 0;
        from.list(|from| match self.items.get_mut(self.len) {
            Some(item) => {
                self.len += 1;
                item.fill(from)
            }
            None => from.skip(),
        })
    }
}

/// The same of a list that is long where it is there at all.
#[derive(Clone, Debug)]
pub struct Many<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Many<T, N> {
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> Default for Many<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, T: Value<'a>, const N: usize> Value<'a> for Many<T, N> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.0.clear();
        from.list(|from| {
            if self.0.len() == N {
                return from.skip();
            }
            let mut item = T::default();
            item.fill(from)?;
            self.0.push(item);
            Ok(())
        })
    }
}

/// Any value, passed over: that it was there is all that is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skip;

impl<'a> Value<'a> for Skip {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        from.skip()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use serde_json::{Value as Json, json};

    use super::*;

    object! {
        /// A line of the tests.
        Line { "a" => a: Num, "b" => b: Str<'a>, "c" => c: Few<Str<'a>, 2>, "d" => d: Flag, "e" => e: Option<Skip>, }
    }

    #[test]
    fn members_may_come_in_any_order_be_missing_null_or_unknown() {
        let text = br#" {"x":{"y":[1,-2,3.5,null,true,"\n]}"]}, "c":["p","q","r"],"b":"x\u003cy" , "a":"12","d":false, "e":[] }"#;
        let read: Line<'_> = line(text).expect("whole");
        assert_eq!((read.a, read.b.as_str(), read.d), (Num(Some(12)), "x<y", Flag(Some(false))));
        assert!(read.e.is_some());
        let few: Vec<_> = read.c.as_slice().iter().map(Str::as_str).collect();
        assert_eq!(few, ["p", "q"]);
        let read: Line<'_> = line(br#"{"a":null,"b":null,"c":null,"d":null,"e":null}"#).expect("whole");
        assert_eq!((read.a, read.b.said(), read.d, read.e.is_none()), (Num(None), None, Flag(None), true));
        assert!(read.c.as_slice().is_empty());
    }

    #[test]
    fn numbers_are_taken_as_they_come() {
        let cases = [("7", Some(7)), ("7.0", Some(7)), ("7e0", Some(7)), ("\" 7 \"", Some(7)), ("-7", None)];
        for (raw, number) in cases.into_iter().chain([("\"-\"", None), ("1e999", None)]) {
            let text = format!("{{\"a\":{raw}}}");
            assert_eq!(line::<Line<'_>>(text.as_bytes()).expect("whole").a, Num(number), "{raw}");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_text_is_said() {
        for half in [
            "",
            "{",
            "{\"a\":1",
            "{\"a\":1}}",
            "[]",
            "{\"a\":{}}",
            "{\"b\":\"x",
            "{\"b\":\"x\\",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"x\":}",
            "{\"x\":nul}",
            "{\"x\":[}",
            "{\"d\":1}",
            "{\"b\":\"\\ud800\"}",
            "{\"a\":--}",
            "{\"c\":[\"p\",]}",
        ] {
            assert_eq!(line::<Line<'_>>(half.as_bytes()).expect_err(half), Malformed::Json);
        }
        assert_eq!(line::<Line<'_>>(b"{\"b\":\"\xff\"}").expect_err("not text"), Malformed::Text);
    }

    /// A depth that would overflow the stack of a reader that recurses.
    #[test]
    fn depth_costs_no_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let deep = format!("{{\"x\":{}1{}}}", open.repeat(200_000), close.repeat(200_000));
            assert!(line::<Line<'_>>(deep.as_bytes()).is_ok());
            let unfinished = format!("{{\"x\":{}", open.repeat(200_000));
            assert_eq!(line::<Line<'_>>(unfinished.as_bytes()).expect_err("half"), Malformed::Json);
        }
    }

    fn anything() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "(\\PC|[\\\\\"\n\u{1}]){0,20}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::hash_map("(\\PC|[\\\\\"]){0,12}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        /// A second opinion: what serde_json writes is read as it was meant, around any other members.
        #[test]
        fn agrees_with_another_writer(before in anything(), after in anything(), number in any::<u64>(),
                                      text in "(\\PC|[\\\\\"\n\u{7f}]){0,40}", pretty in any::<bool>()) {
            let value = json!({"0": before, "a": number, "b": text, "c": [text, number.to_string(), after], "x": after});
            let written = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let written = written.expect("JSON");
            let read: Line<'_> = line(written.as_bytes()).expect("whole");
            proptest::prop_assert_eq!(read.a, Num(Some(number)));
            proptest::prop_assert_eq!(read.b.as_str(), text.as_str());
            proptest::prop_assert_eq!(read.c.as_slice()[0].as_str(), text);
            for end in (0..written.len()).filter(|end| written.is_char_boundary(*end)) {
                proptest::prop_assert!(line::<Line<'_>>(&written.as_bytes()[..end]).is_err());
            }
        }
    }
}
