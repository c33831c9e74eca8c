//! Name patterns of Cilium's FQDN rules: which names they open, and whether any of those could end
//! in a name of a list. `*` alone opens every name; `*` in a label stands for any characters but the
//! dot, none too; `**.` in front stands for one label or more (Cilium documentation, DNS based
//! policies). Works on texts only.

use super::edge::DnsName;

/// A pattern, split for matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard<'a> {
    /// `*` or `**`: every name.
    all: bool,
    /// Begins with `**.`.
    open: bool,
    /// From the right.
    labels: Vec<&'a str>,
}

impl<'a> Wildcard<'a> {
    /// `None` where the name is no pattern.
    pub fn of(name: &'a DnsName) -> Option<Self> {
        let raw = name.as_str();
        let rest = raw.strip_prefix("**.");
        raw.contains('*').then(|| Self {
            all: matches!(raw, "*" | "**"),
            open: rest.is_some(),
            labels: rest.unwrap_or(raw).rsplit('.').collect(),
        })
    }

    /// Does it open this name?
    pub fn matches(&self, name: &str) -> bool {
        let labels: Vec<_> = name.rsplit('.').collect();
        let count = self.labels.len();
        let whole = if self.open { labels.len() > count } else { labels.len() == count };
        self.all || (whole && self.fit(&labels[..count]))
    }

    /// Is there a name at or below this one that it opens?
    pub fn reaches(&self, suffix: &str) -> bool {
        let labels: Vec<_> = suffix.rsplit('.').collect();
        let common = labels.len().min(self.labels.len());
        let deep = self.open || self.labels.len() >= labels.len();
        self.all || (deep && self.fit(&labels[..common]))
    }

    /// Is there a name that both it and a pattern of a list could mean? The other's labels stand
    /// from the right, its `*`, `@` and `#` taken as any characters; `below`: it begins with `**`.
    pub fn meets(&self, labels: &[&str], below: bool) -> bool {
        let common = labels.len().min(self.labels.len());
        let deep = match (self.open, below) {
            (true, true) => true,
            (true, false) => labels.len() > self.labels.len(),
            (false, true) => self.labels.len() > labels.len(),
            (false, false) => labels.len() == self.labels.len(),
        };
        self.all || (deep && self.fit(&labels[..common]))
    }

    fn fit(&self, labels: &[&str]) -> bool {
        self.labels.iter().zip(labels).all(|(mine, other)| meet(mine.as_bytes(), other.as_bytes()))
    }
}

/// Is there a text that both patterns could stand for? `*` is any characters, `@` and `#` one.
fn meet(a: &[u8], b: &[u8]) -> bool {
    let star = |part: &[u8], at: usize| part.get(at) == Some(&b'*');
    let one = |byte: u8| matches!(byte, b'@' | b'#');
    // `row[j]`: do the rests of `a` from `i` and of `b` from `j` meet?
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                _ if star(a, i) => below[j] || (j < b.len() && row[j + 1]),
                _ if star(b, j) => row[j + 1] || (i < a.len() && below[j]),
                (Some(x), Some(y)) => (x == y || one(*x) || one(*y)) && below[j + 1],
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pattern: &str, question: impl Fn(&Wildcard<'_>) -> bool) -> bool {
        let name = DnsName::parse(pattern).expect("valid");
        question(&Wildcard::of(&name).expect("a pattern"))
    }

    #[test]
    fn a_pattern_opens_what_cilium_says() {
        for (pattern, name, opens) in [
            ("*.cilium.io", "docs.cilium.io", true),
            ("*.cilium.io", "cilium.io", false),
            ("*.cilium.io", "a.docs.cilium.io", false),
            ("*cilium.io", "cilium.io", true),
            ("*cilium.io", "sub-cilium.io", true),
            ("sub*.cilium.io", "subdomain.cilium.io", true),
            ("sub*.cilium.io", "sub.cilium.io", true),
            ("**.cilium.io", "a.b.cilium.io", true),
            ("**.cilium.io", "a.cilium.io", true),
            ("**.cilium.io", "cilium.io", false),
            ("*", "a.b.c", true),
            ("*.*", "a.b", true),
            ("*.*", "a.b.c", false),
        ] {
            assert_eq!(ask(pattern, |wildcard| wildcard.matches(name)), opens, "{pattern} {name}");
        }
        let plain = DnsName::parse("cilium.io").expect("valid");
        assert_eq!(Wildcard::of(&plain), None);
    }

    #[test]
    fn a_pattern_reaches_below_a_suffix_of_a_list() {
        for (pattern, suffix, reaches) in [
            ("*.ngrok.io", "ngrok.io", true),
            ("*.io", "ngrok.io", true),
            ("n*k.io", "ngrok.io", true),
            ("*.com", "ngrok.io", false),
            ("*", "ngrok.io", true),
            ("**.io", "ngrok.io", true),
            ("**.a.ngrok.io", "ngrok.io", true),
            ("*.myngrok.io", "ngrok.io", false),
            ("*o", "ngrok.io", false),
        ] {
            assert_eq!(ask(pattern, |wildcard| wildcard.reaches(suffix)), reaches, "{pattern} {suffix}");
        }
    }

    #[test]
    fn two_patterns_meet_where_one_name_is_of_both() {
        for (pattern, labels, below, meets) in [
            ("*.make.com", &["com", "make", "hook"][..], false, true),
            ("*.make.com", &["com", "make", "@@#", "hook"], false, false),
            ("**.make.com", &["com", "make", "@@#", "hook"], false, true),
            ("**.make.com", &["com", "make"], false, false),
            ("a.b*.com", &["com", "*c"], true, true),
            ("b*.com", &["com", "*c"], true, false),
            ("x*.y", &["y", "a*"], false, false),
        ] {
            assert_eq!(ask(pattern, |w| w.meets(labels, below)), meets, "{pattern} {labels:?}");
        }
    }
}
