//! Names of things: clusters, namespaces, nodes, pods, workloads, policies, people.
//!
//! Each is a newtype with one `parse`, so whoever holds one need not check it again. `Text` is the
//! only way a free string from outside enters: bounded, without control bytes and without
//! bidirectional overrides. Nothing here does I/O; the simulation may use this file and no other.

use std::fmt;

use compact_str::CompactString;

/// Why a name was not accepted. Says what was wrong, never repeats the hostile bytes raw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {shown:?} is not valid: {why}")]
pub struct BadName {
    pub what: &'static str,
    pub shown: Text,
    pub why: &'static str,
}

/// `1 call`, `2 calls`.
pub fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A free string from outside, made safe to show: no control characters (C0, C1, DEL), no
/// bidirectional controls, no zero-width or line-separating characters, at most
/// [`Text::LIMIT`] characters. What was removed is replaced by U+FFFD, so that a
/// hostile string never looks like an honest one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(CompactString);

impl Text {
    /// Longest text kept, in characters. Longer ones end in an ellipsis.
    pub const LIMIT: usize = 512;

    pub fn new(raw: &str) -> Self {
        // Most of what comes is plain: looked at byte by byte and copied once.
        if raw.len() <= Self::LIMIT && raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Self(CompactString::new(raw));
        }
        let mut out = CompactString::with_capacity(raw.len().min(Self::LIMIT));
        for (count, c) in raw.chars().enumerate() {
            if count == Self::LIMIT {
                out.push('…');
                break;
            }
            out.push(if is_hostile(c) { '\u{fffd}' } else { c });
        }
        Self(out)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Characters that could move the cursor, reorder a line or hide in it
/// (Unicode 16: general categories Cc, and the format characters that reorder or vanish).
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::new(&raw)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(CompactString);

        impl $type {
            /// Accepts a valid name. Errors say what is wrong with it.
            pub fn parse(raw: &str) -> Result<Self, BadName> {
                match $check(raw) {
                    Ok(()) => Ok(Self(CompactString::new(raw))),
                    Err(why) => Err(BadName { what: $what, shown: Text::new(raw), why }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0.as_str(), f)
            }
        }
    };
}

name!(
    /// A cluster of the fleet, as `sluice.yaml` or the kubeconfig's context calls it: 1 to 253 characters.
    ClusterName, "cluster name", free_name
);
name!(
    /// A namespace: an RFC 1123 label, at most 63 characters.
    NsName, "namespace", dns_label
);
impl NsName {
    /// Before every other one, where a range begins.
    pub fn first() -> Self {
        Self(CompactString::const_new("0"))
    }
}

name!(
    /// A node: an RFC 1123 subdomain, at most 253 characters.
    NodeName, "node name", dns_subdomain
);
name!(
    /// A pod: an RFC 1123 subdomain, at most 253 characters.
    PodName, "pod name", dns_subdomain
);
name!(
    /// `metadata.name` of a policy object: an RFC 1123 subdomain, at most 253 characters.
    PolicyName, "policy name", dns_subdomain
);

/// A workload: what owns the pods. `kind` is the Kubernetes kind as it came (`Deployment`), or
/// `Pod` where nothing owns it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    pub kind: Text,
    pub name: Text,
}

impl Workload {
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: Text::new(kind), name: Text::new(name) }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name.as_str())
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// The workload that a pod's name speaks of, by Kubernetes' own naming; the whole name where nothing
/// was added to it. Exact for what controllers named, a guess for pods that people named alike.
///
/// Deployments add the ReplicaSet's hash and 5 characters, DaemonSets and Jobs 5 characters, CronJobs
/// the minute of the run and those, StatefulSets a number.
pub fn workload_of(pod: &str) -> &str {
    let Some((owner, last)) = split_last(pod) else { return pod };
    if last.len() == 5 && last.bytes().all(is_random) {
        return workload_of_pods(owner);
    }
    if is_number(last) && last.len() <= 6 { owner } else { pod }
}

/// The workload of all pods whose names begin so: without a ReplicaSet's hash, or the minute of a
/// CronJob's run.
pub fn workload_of_pods(prefix: &str) -> &str {
    match split_last(prefix) {
        Some((name, hash)) if (6..=10).contains(&hash.len()) && hash.bytes().all(is_random) => name,
        Some((name, minute)) if (8..=10).contains(&minute.len()) && is_number(minute) => name,
        Some(_) | None => prefix,
    }
}

/// What stands before the last `-`, and what stands after it; neither is empty.
fn split_last(raw: &str) -> Option<(&str, &str)> {
    raw.rsplit_once('-').filter(|(before, after)| !before.is_empty() && !after.is_empty())
}

/// The characters Kubernetes draws its suffixes from: no vowels, and no digits that look like them.
fn is_random(b: u8) -> bool {
    matches!(b, b'b'..=b'd' | b'f'..=b'h' | b'j'..=b'n' | b'p'..=b't' | b'v'..=b'x' | b'z' | b'2' | b'4'..=b'9')
}

fn is_number(raw: &str) -> bool {
    raw.bytes().all(|b| b.is_ascii_digit())
}

fn free_name(raw: &str) -> Result<(), &'static str> {
    if raw.is_empty() {
        Err("it is empty")
    } else if raw.len() > 253 {
        Err("it is longer than 253 bytes")
    } else if raw.chars().any(is_hostile) {
        Err("it holds a control or bidirectional character")
    } else {
        Ok(())
    }
}

/// RFC 1123 label as Kubernetes checks it.
fn dns_label(raw: &str) -> Result<(), &'static str> {
    let bytes = raw.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) if edge(first) && edge(last) => {}
        (None, _) | (_, None) => return Err("it is empty"),
        _ => return Err("it must start and end with a lower-case letter or digit"),
    }
    if bytes.len() > 63 {
        return Err("it is longer than 63 characters");
    }
    if bytes.iter().all(|b| edge(b) || *b == b'-') {
        Ok(())
    } else {
        Err("only lower-case letters, digits and '-' may be in it")
    }
}

/// RFC 1123 subdomain as Kubernetes checks it.
fn dns_subdomain(raw: &str) -> Result<(), &'static str> {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if raw.is_empty() {
        return Err("it is empty");
    }
    if raw.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    for part in raw.split('.') {
        let bytes = part.as_bytes();
        if !bytes.first().is_some_and(edge) || !bytes.last().is_some_and(edge) {
            return Err("each part must start and end with a lower-case letter or digit");
        }
        if !bytes.iter().all(|b| edge(b) || *b == b'-') {
            return Err("only lower-case letters, digits, '-' and '.' may be in it");
        }
    }
    Ok(())
}

/// Is this namespace in the rollout, by what the file leaves out and what alone it takes in? Where the
/// second list is empty, it takes in all.
pub fn in_scope(excluded: &[NsName], included: &[NsName], ns: &str) -> bool {
    let is = |one: &NsName| one.as_str() == ns;
    !excluded.iter().any(is) && (included.is_empty() || included.iter().any(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_carries_what_could_move_the_cursor_or_turn_a_line_round() {
        let hostile = "a\x1b[2Jb\u{202e}c\r\nd\u{9b}e\u{200b}f\u{2066}";
        let text = Text::new(hostile);
        assert_eq!(text.as_str(), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}");
    }

    #[test]
    fn text_is_bounded() {
        let text = Text::new(&"x".repeat(2_000_000));
        assert_eq!(text.as_str().chars().count(), Text::LIMIT + 1);
        assert!(text.as_str().ends_with('…'));
    }

    #[test]
    fn a_pod_name_tells_its_workload() {
        for (pod, workload) in [
            ("cart-6c9f7d8b5-x7k2z", "cart"),
            ("cart-api-7d4b9c-bcdfg", "cart-api"),
            ("cart-6c9f7d8b5d-x7k2z", "cart"),
            ("kube-proxy-x7k2z", "kube-proxy"),
            ("nightly-28456780-4zxcv", "nightly"),
            ("nightly-29001313-4zxcv", "nightly"),
            ("migrate-x7k2z", "migrate"),
            ("db-0", "db"),
            ("db-shard-12", "db-shard"),
            ("debug", "debug"),
            ("debug-shell", "debug-shell"),
            ("cart-6c9f7-x7k2z", "cart-6c9f7"),
            ("cart-6c9f7d8b5d9-x7k2z", "cart-6c9f7d8b5d9"),
            ("cart-6c9f7a8b5-x7k2z", "cart-6c9f7a8b5"),
            ("cart-6c9f7d8b5-x7k2", "cart-6c9f7d8b5-x7k2"),
            ("6c9f7d8b5-x7k2z", "6c9f7d8b5"),
            ("-0", "-0"),
            ("a-", "a-"),
            ("", ""),
        ] {
            assert_eq!(workload_of(pod), workload, "{pod}");
        }
    }

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["shop", "a", "a-1", "0x"] {
            assert!(NsName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a\u{1b}b"] {
            assert!(NsName::parse(bad).is_err(), "{bad}");
        }
        assert!(NsName::parse(&"a".repeat(64)).is_err());
        assert!(NodeName::parse("ip-10-0-0-1.eu-west-1.compute.internal").is_ok());
        assert!(ClusterName::parse("arn:aws:eks:eu-west-1:1:cluster/shop").is_ok());
    }
}
