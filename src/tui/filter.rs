//! Filters of lists: plain words, `~word` for its letters in order, `/pattern/` for a regular
//! expression; `key:` before any of them looks in one column, `!` leaves out what it finds. All terms
//! must hold. Pure text; what the columns hold comes from the caller.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// One word of a filter.
#[derive(Clone, Debug)]
struct Term {
    not: bool,
    key: Option<String>,
    want: Want,
}

/// What a column must hold.
#[derive(Clone, Debug)]
enum Want {
    /// In lower case.
    Word(String),
    /// In lower case; its letters in this order, whatever stands between them.
    Letters(String),
    /// Without regard to case.
    Pattern(Regex),
}

/// A filter as typed, parsed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    terms: Vec<Term>,
    /// Terms that are no pattern (yet), and why; they do not narrow.
    pub wrong: Vec<String>,
}

/// The columns of one kind of row.
pub struct Columns {
    /// Where plain words look.
    pub plain: &'static [&'static str],
    /// All keys that `key:word` knows.
    pub keys: &'static [&'static str],
    /// Keys that stand alone too: `suspect:` is every row that has one, `!suspect:` every other.
    pub alone: &'static [&'static str],
}

impl Filter {
    /// Total: every text is a filter. A half-typed `key:`, `!` or pattern does not narrow yet.
    pub fn parse(text: &str, columns: &Columns) -> Self {
        let mut filter = Self::default();
        for raw in text.split_whitespace() {
            match term(raw, columns) {
                Ok(term) => filter.terms.extend(term),
                Err(why) => filter.wrong.push(format!("{raw} does not narrow: {why}")),
            }
        }
        filter
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Do all terms hold for a row whose columns `value` gives?
    pub fn passes<'a>(&self, columns: &Columns, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.terms.iter().all(|term| term.holds(columns.plain, &value))
    }

    /// As [`Filter::passes`] for a row inside another: some term must be about the inner row itself.
    /// `None`: a term fails. `Some(false)`: all hold by the outer row alone.
    pub fn passes_inside<'a, 'b>(
        &self,
        columns: &Columns,
        outer: impl Fn(&str) -> Option<Cow<'a, str>>,
        inner: impl Fn(&str) -> Option<Cow<'b, str>>,
    ) -> Option<bool> {
        let mut own = false;
        for term in &self.terms {
            let (in_outer, in_inner) = (term.found(columns.plain, &outer), term.found(columns.plain, &inner));
            if (in_outer || in_inner) == term.not {
                return None;
            }
            own |= in_inner;
        }
        Some(own)
    }
}

impl Term {
    fn holds<'a>(&self, plain: &[&str], value: &impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.found(plain, value) != self.not
    }

    fn found<'a>(&self, plain: &[&str], value: &impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        let holds = |key: &str| value(key).is_some_and(|text| self.want.fits(&text));
        match &self.key {
            Some(key) => holds(key),
            None => plain.iter().any(|key| holds(key)),
        }
    }
}

impl Want {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => contains(text, word),
            Self::Letters(letters) => in_order(text, letters),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// `None`: half typed. An error says why it is no pattern.
fn term(raw: &str, columns: &Columns) -> Result<Option<Term>, String> {
    let (not, rest) = raw.strip_prefix('!').map_or((false, raw), |rest| (true, rest));
    // Only a known column makes a key: `TCP:443` or an IPv6 address is a plain word.
    let (key, word) = match rest.split_once(':') {
        Some((key, word)) if columns.keys.contains(&key) => (Some(key.to_owned()), word),
        Some(_) | None => (None, rest),
    };
    let alone = key.as_deref().is_some_and(|key| columns.alone.contains(&key));
    let want = match (word.strip_prefix('/'), word.strip_prefix('~')) {
        (Some(pattern), _) => match pattern.strip_suffix('/').unwrap_or(pattern) {
            "" => return Ok(None),
            pattern => Want::Pattern(compiled(pattern)?),
        },
        (None, Some("")) => return Ok(None),
        (None, Some(letters)) => Want::Letters(letters.to_ascii_lowercase()),
        (None, None) if word.is_empty() && !alone => return Ok(None),
        (None, None) => Want::Word(word.to_ascii_lowercase()),
    };
    Ok(Some(Term { not, key, want }))
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    /// Bytes of a compiled pattern: `a{99999}{99999}` is refused and not built.
    const SIZE: usize = 1 << 20;
    let built =
        RegexBuilder::new(pattern).case_insensitive(true).size_limit(SIZE).dfa_size_limit(SIZE).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
        // The last line says what is wrong; those before draw where.
        error => {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
        }
    })
}

/// Do the letters of `word` (lower case) stand in `text` in this order?
fn in_order(text: &str, word: &str) -> bool {
    let mut text = text.chars().map(|c| c.to_ascii_lowercase());
    word.chars().all(|letter| text.any(|c| c == letter))
}

/// Does `text` hold `word` (lower case), without regard to ASCII case?
fn contains(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    word.is_empty() || text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns {
        plain: &["ns", "cluster"],
        keys: &["ns", "cluster", "phase", "owner", "suspect"],
        alone: &["owner", "suspect"],
    };

    fn row(key: &str) -> Option<Cow<'static, str>> {
        match key {
            "ns" => Some("payments".into()),
            "cluster" => Some("Prod-EU".into()),
            "phase" => Some("soaking".into()),
            "suspect" => Some("tunnel".into()),
            _ => None,
        }
    }

    #[test]
    fn a_row_passes_when_every_term_holds() {
        for (text, passes) in [
            ("", true),
            ("pay", true),
            ("PAY prod", true),
            ("soaking", false),
            ("phase:soak", true),
            ("!pay", false),
            ("!shop", true),
            ("!phase:soaking", false),
            ("ns:prod", false),
            ("phase:", true),
            ("!", true),
            ("fe80:1", false),
            ("owner:", false),
            ("!owner:", true),
            ("suspect:", true),
            ("!suspect:", false),
            ("suspect:tunnel", true),
            ("suspect:paste", false),
            ("~pmts", true),
            ("~PMTS", true),
            ("~stmp", false),
            ("!~pmts", false),
            ("phase:~skg", true),
            ("~", true),
            ("/^pay/", true),
            ("/^PAY", true),
            ("/^ments/", false),
            ("!/^pay/", false),
            ("cluster:/^prod-(eu|us)$/", true),
            ("ns:/^prod/", false),
            ("!ns:/^prod/", true),
            ("/", true),
            ("owner:/./", false),
            ("/(/", true),
            ("/(/ shop", false),
        ] {
            assert_eq!(Filter::parse(text, &COLUMNS).passes(&COLUMNS, row), passes, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why_and_does_not_narrow() {
        for (text, wrong) in [
            ("pay /^p/", &[][..]),
            ("/(", &["/( does not narrow: unclosed group"]),
            ("!ns:/[/", &["!ns:/[/ does not narrow: unclosed character class"]),
            ("/a{9999}{9999}/", &["/a{9999}{9999}/ does not narrow: the pattern is too large"]),
        ] {
            assert_eq!(Filter::parse(text, &COLUMNS).wrong, wrong, "{text:?}");
        }
    }

    #[test]
    fn an_inner_row_knows_whether_it_was_meant_itself() {
        let outer = |key: &str| (key == "cluster").then(|| Cow::from("prod-eu"));
        let inner = |key: &str| (key == "ns").then(|| Cow::from("payments"));
        for (text, want) in [
            ("prod", Some(false)),
            ("pay", Some(true)),
            ("prod pay", Some(true)),
            ("prod shop", None),
            ("!pay", None),
            ("!shop", Some(false)),
        ] {
            assert_eq!(Filter::parse(text, &COLUMNS).passes_inside(&COLUMNS, outer, inner), want, "{text:?}");
        }
    }
}
