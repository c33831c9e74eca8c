//! Parts of every markdown document: tables, and strings from outside that stay text whatever is in
//! them (law 9): nothing of theirs becomes markup, leaves its cell or moves a cursor.

use crate::domain::names::Text;

/// A table; its cells are markdown already.
pub struct Rows {
    pub out: String,
}

impl Rows {
    pub fn new(headings: &[&str]) -> Self {
        let mut rows = Self { out: String::new() };
        rows.line(headings.iter().map(|heading| (*heading).to_owned()));
        rows.line(headings.iter().map(|_| "---".to_owned()));
        rows
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.line(cells.into_iter());
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) {
        let cells: Vec<_> = cells.collect();
        self.out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// A string in type of its own, where it is harmless; else as text.
pub fn code(raw: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || " ._-/:@*".contains(c);
    match !raw.is_empty() && raw.trim() == raw && raw.chars().all(safe) {
        true => format!("`{raw}`"),
        false => md(raw),
    }
}

/// Text that no character of can become markup, also in a table and at the start of a line.
pub fn md(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in Text::new(raw).as_str().chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_strings_stay_text() {
        for (raw, shown) in [
            ("api.example", "`api.example`"),
            ("a`b", "a\\`b"),
            ("a|b", "a\\|b"),
            ("<img src=x> --> [x](y)", "&lt;img src=x&gt; --&gt; \\[x\\](y)"),
            ("a\nb", "a\u{fffd}b"),
            ("", ""),
            (" x", " x"),
        ] {
            assert_eq!(code(raw), shown, "{raw:?}");
        }
    }
}
