//! JSON as it stands in a body: keys in order, repeated keys kept, each key with its line.
//! serde_json forgets all three, and the server's complaints name them (scene 41). The errors are
//! those of Go's scanner, word for word (scene 43). It knows nothing about kinds.

use serde_json::{Map, Number, Value};

/// A JSON value before anything was decided about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub line: u64,
    pub value: Tree,
}

/// Deeper nesting is refused, so that a hostile body cannot exhaust the stack.
const DEEPEST: usize = 256;

impl Tree {
    /// Reads one JSON value; the error is what Go would say.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut scanner = Scanner { bytes, at: 0, line: 1 };
        scanner.space();
        let tree = scanner.value(0)?;
        scanner.space();
        match scanner.peek() {
            None => Ok(tree),
            Some(byte) => Err(unexpected(byte, "after top-level value")),
        }
    }

    /// What Go calls this sort of value in an error.
    pub fn sort(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    /// The value of the last key of this name.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => {
                entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Keys that stand twice, with the line of the second.
    pub fn repeated(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        self.collect_repeated(&mut found);
        found
    }

    fn collect_repeated(&self, found: &mut Vec<(String, u64)>) {
        match self {
            Self::Map(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    if entries[..index].iter().any(|earlier| earlier.key == entry.key) {
                        found.push((entry.key.clone(), entry.line));
                    }
                    entry.value.collect_repeated(found);
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.collect_repeated(found)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }

    /// The same with only the last of repeated keys.
    pub fn last_wins(self) -> Self {
        match self {
            Self::Map(entries) => {
                let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
                for entry in entries {
                    kept.retain(|earlier| earlier.key != entry.key);
                    kept.push(Entry { value: entry.value.last_wins(), ..entry });
                }
                Self::Map(kept)
            }
            Self::List(items) => Self::List(items.into_iter().map(Self::last_wins).collect()),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => self,
        }
    }

    /// The same as JSON text, in the same order, spaced as the recorded client spaced its bodies.
    pub fn to_text(&self) -> String {
        match self {
            Self::Map(entries) => {
                let parts: Vec<String> = entries
                    .iter()
                    .map(|entry| format!("{}: {}", Value::from(entry.key.as_str()), entry.value.to_text()))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            Self::List(items) => {
                let parts: Vec<String> = items.iter().map(Self::to_text).collect();
                format!("[{}]", parts.join(", "))
            }
            Self::Number(raw) => raw.clone(),
            Self::Null | Self::Bool(_) | Self::Text(_) => self.to_value().to_string(),
        }
    }

    /// The same as a plain value; of repeated keys the last one wins.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(*is),
            Self::Number(raw) => number(raw),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    map.insert(entry.key.clone(), entry.value.to_value());
                }
                Value::Object(map)
            }
        }
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Entry { key: key.clone(), line: 1, value: Self::from(value) })
                    .collect(),
            ),
        }
    }
}

/// Digits as a JSON number: whole where they are whole.
fn number(raw: &str) -> Value {
    if let Ok(whole) = raw.parse::<i64>() {
        return Value::from(whole);
    }
    let parsed = raw.parse::<f64>().unwrap_or(0.0);
    Number::from_f64(parsed).map_or(Value::Null, Value::Number)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or("unexpected end of JSON input")?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            if self.peek() == Some(b'\n') {
                self.line += 1;
            }
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Tree, String> {
        if depth > DEEPEST {
            return Err("exceeded max depth".to_owned());
        }
        match self.next()? {
            b'{' => self.map(depth),
            b'[' => self.list(depth),
            b'"' => Ok(Tree::Text(self.text()?)),
            b't' => self.word("true", Tree::Bool(true)),
            b'f' => self.word("false", Tree::Bool(false)),
            b'n' => self.word("null", Tree::Null),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Tree, String> {
        let mut entries = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Tree::Map(entries));
        }
        loop {
            self.space();
            let line = self.line;
            match self.next()? {
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.text()?;
            self.space();
            match self.next()? {
                b':' => {}
                byte => return Err(unexpected(byte, "after object key")),
            }
            self.space();
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, line, value });
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Tree::Map(entries)),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Tree, String> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Tree::List(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Tree::List(items)),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn word(&mut self, word: &str, tree: Tree) -> Result<Tree, String> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting '{}')", expected as char);
                return Err(unexpected(byte, &context));
            }
        }
        Ok(tree)
    }

    fn number(&mut self, first: u8) -> Result<Tree, String> {
        let start = self.at - 1;
        let leading = if first == b'-' {
            match self.next()? {
                byte @ b'0'..=b'9' => byte,
                byte => return Err(unexpected(byte, "in numeric literal")),
            }
        } else {
            first
        };
        if leading != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digit("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digit("in exponent of numeric literal")?;
        }
        Ok(Tree::Number(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()))
    }

    fn some_digit(&mut self, context: &str) -> Result<(), String> {
        match self.next()? {
            b'0'..=b'9' => {
                self.digits();
                Ok(())
            }
            byte => Err(unexpected(byte, context)),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// The rest of a string, after its opening quote.
    fn text(&mut self) -> Result<String, String> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' => self.escape(&mut out)?,
                byte if byte < 0x20 => return Err(unexpected(byte, "in string literal")),
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let plain = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.unicode()?;
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            byte => return Err(unexpected(byte, "in string escape code")),
        };
        out.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        let paired = (0xd800..0xdc00).contains(&high) && self.bytes[self.at..].starts_with(b"\\u");
        if !paired {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at += 2;
        let low = self.hex()?;
        let joined = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
        Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = (byte as char)
                .to_digit(16)
                .ok_or_else(|| unexpected(byte, "in \\u hexadecimal character escape"))?;
            value = value * 16 + digit;
        }
        Ok(value)
    }
}

fn unexpected(byte: u8, context: &str) -> String {
    let c = char::from(byte);
    let shown = match c {
        '\'' => "\\'".to_owned(),
        '"' => "\"".to_owned(),
        _ => {
            let quoted = super::errors::quote(&c.to_string());
            quoted[1..quoted.len() - 1].to_owned()
        }
    };
    format!("invalid character '{shown}' {context}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Tree;

    #[test]
    fn complaints_are_those_of_go() {
        for (body, said) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("apiVersion: v1", "invalid character 'a' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("[1 2]", "invalid character '2' after array element"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("\u{ff}", "invalid character 'Ã' looking for beginning of value"),
        ] {
            assert_eq!(Tree::parse(body.as_bytes()), Err(said.to_owned()), "{body}");
        }
    }

    #[test]
    fn values_come_through_and_the_last_of_a_repeated_key_wins() {
        let tree = Tree::parse(br#"{"a": 1, "b": [true, null, -2.5e1, "\u00e9\ud83d\ude00\n"], "a": 2}"#)
            .expect("valid JSON");
        assert_eq!(tree.to_value(), json!({"a": 2, "b": [true, null, -25.0, "é😀\n"]}));
        assert_eq!(tree.repeated(), [("a".to_owned(), 1)]);
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(Tree::parse("[".repeat(9999).as_bytes()), Err("exceeded max depth".to_owned()));
    }
}
