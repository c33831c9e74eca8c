//! Paths and query strings: percent-decoding, and the options in them by name.
//! It never judges an option; whoever uses it does.

/// The options of one request, in the order sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what stands after the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of an option; empty if absent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether an option counts as true: anything but false and 0 does.
    pub fn flag(&self, name: &str) -> bool {
        match self.0.iter().find(|(n, _)| n == name) {
            None => false,
            Some((_, value)) => !matches!(value.to_lowercase().as_str(), "false" | "0"),
        }
    }
}

/// Decodes one segment of a path.
pub fn decode_segment(text: &str) -> String {
    decode(text, false)
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let Some(decoded) = tail.get(..2).and_then(hex)
        {
            bytes.push(decoded);
            rest = &tail[2..];
        } else if byte == b'+' && plus_is_space {
            bytes.push(b' ');
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn options_are_decoded_and_kept_in_order() {
        let query = Query::parse("&labelSelector=a%3Db+c&watch=yes&limit=3&limit=4&flag");
        assert_eq!(query.get("labelSelector"), "a=b c");
        assert_eq!(query.get("limit"), "3");
        assert!(query.flag("watch") && query.flag("flag") && !query.flag("absent"));
        assert!(!Query::parse("watch=false").flag("watch"));
    }
}
