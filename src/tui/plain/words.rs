//! Text that is read aloud or printed on paper: no ornament, no box, no bar, one space between words.
//! Nothing a cluster says leaves here with a control character in it.

use super::super::widgets::is_bar;
use crate::domain::names::is_hostile;

/// A line as it may be said. Spaces in front stay, also those behind the mark of a diff: they are the
/// shape of YAML.
pub fn say(text: &str, ascii: bool) -> String {
    let blanks = |text: &str| text.chars().take_while(|c| *c == ' ').count();
    let mut lead = blanks(text);
    if let Some(rest) = text[lead..].strip_prefix(['+', '-'])
        && blanks(rest) > 0
    {
        lead += 1 + blanks(rest);
    }
    let mut out = text[..lead].to_owned();
    let text = &text[lead..];
    for word in text.split_whitespace() {
        if word.chars().any(is_bar) && word.chars().all(|c| is_bar(c) || c == '?') {
            continue;
        }
        let word: String = word.chars().map(|c| plain(c, ascii)).collect();
        if word.is_empty() {
            continue;
        }
        if out.len() > lead {
            out.push(' ');
        }
        out.push_str(&word);
    }
    out.truncate(out.trim_end().len());
    out
}

fn plain(c: char, ascii: bool) -> Chars {
    match c {
        '→' => Chars::Text("to"),
        '←' => Chars::Text("from"),
        '›' => Chars::Text(">"),
        '…' => Chars::Text("..."),
        // Box drawing, block elements, geometric shapes, dingbats, braille.
        '\u{2500}'..='\u{25ff}' | '\u{2700}'..='\u{27bf}' | '\u{2800}'..='\u{28ff}' => Chars::Text(""),
        c if is_hostile(c) => Chars::Text(""),
        c if ascii && !c.is_ascii() => Chars::Text("?"),
        c => Chars::One(c),
    }
}

enum Chars {
    One(char),
    Text(&'static str),
}

impl FromIterator<Chars> for String {
    fn from_iter<I: IntoIterator<Item = Chars>>(all: I) -> Self {
        let mut out = Self::new();
        for one in all {
            match one {
                Chars::One(c) => out.push(c),
                Chars::Text(text) => out.push_str(text),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ornaments_go_and_words_stay() {
        for (text, want) in [
            ("▸ ● up", "up"),
            ("── egress ──────", "egress"),
            ("denied ▁▂··?█ 3.1/min", "denied 3.1/min"),
            ("fleet › east → 10.0.0.1", "fleet > east to 10.0.0.1"),
            ("    - port: 443", "    - port: 443"),
            ("  +     - port: 443", "  +     - port: 443"),
            ("  -   cidr:  10.0.0.0/8", "  -   cidr: 10.0.0.0/8"),
            ("  +", "  +"),
            ("payme…", "payme..."),
            ("⠋ waits \u{1b}[31mred\u{202e}", "waits [31mred"),
            ("is it? yes", "is it? yes"),
            ("?", "?"),
        ] {
            assert_eq!(say(text, false), want);
        }
        assert_eq!(say("owner José 日本", false), "owner José 日本");
        assert_eq!(say("owner José 日本", true), "owner Jos? ??");
    }
}
