//! Filters of lists: plain words, `!word` to leave out, `key:word` to look in one column. All terms
//! must hold. Pure text; what the columns hold comes from the caller.

use std::borrow::Cow;

/// One word of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    not: bool,
    key: Option<String>,
    word: String,
}

/// A filter as typed, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
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
    /// Total: every text is a filter. A half-typed `key:` or `!` does not narrow yet.
    pub fn parse(text: &str, columns: &Columns) -> Self {
        let terms = text.split_whitespace().filter_map(|raw| term(raw, columns)).collect();
        Self { terms }
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
        let holds = |key: &str| value(key).is_some_and(|text| contains(&text, &self.word));
        match &self.key {
            Some(key) => holds(key),
            None => plain.iter().any(|key| holds(key)),
        }
    }
}

fn term(raw: &str, columns: &Columns) -> Option<Term> {
    let (not, rest) = raw.strip_prefix('!').map_or((false, raw), |rest| (true, rest));
    // Only a known column makes a key: `TCP:443` or an IPv6 address is a plain word.
    let (key, word) = match rest.split_once(':') {
        Some((key, word)) if columns.keys.contains(&key) => (Some(key.to_owned()), word),
        Some(_) | None => (None, rest),
    };
    let alone = key.as_deref().is_some_and(|key| columns.alone.contains(&key));
    (alone || !word.is_empty()).then(|| Term { not, key, word: word.to_ascii_lowercase() })
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
        ] {
            assert_eq!(Filter::parse(text, &COLUMNS).passes(&COLUMNS, row), passes, "{text:?}");
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
