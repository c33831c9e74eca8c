//! Finding names by their ending and addresses by their network, fast enough for a hundred thousand
//! destinations against a million entries: one hash look-up a label, one a prefix length in use.
//! Knows nothing of what an entry means.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use compact_str::CompactString;
use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::{edge::DnsName, wildcard::Wildcard};

type Map<K, V> = HashMap<K, V, FixedState>;

/// Names by ending, by exact name, and by pattern.
#[derive(Clone, Debug)]
pub struct Names<T> {
    suffixes: Map<CompactString, Vec<T>>,
    exact: Map<CompactString, Vec<T>>,
    patterns: Vec<(Pattern, T)>,
}

/// One entry that a name matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'n, T> {
    pub value: T,
    /// The part of the name that matched; the longer, the better it fits.
    pub part: &'n str,
    /// What stands left of it, without the dot between them; empty where nothing does.
    pub left: &'n str,
}

impl<T: Copy> Names<T> {
    /// `ngrok.io` matches itself and `a.b.ngrok.io`, never `myngrok.io`.
    pub fn add_suffix(&mut self, suffix: &str, value: T) {
        self.suffixes.entry(normal(suffix)).or_default().push(value);
    }

    pub fn add_exact(&mut self, name: &str, value: T) {
        self.exact.entry(normal(name)).or_default().push(value);
    }

    pub fn add_pattern(&mut self, pattern: Pattern, value: T) {
        self.patterns.push((pattern, value));
    }

    /// Every entry that matches the name, which is lower case and has no trailing dot.
    pub fn each<'n>(&self, name: &'n str, mut tell: impl FnMut(Match<'n, T>)) {
        for value in self.exact.get(name).into_iter().flatten() {
            tell(Match { value: *value, part: name, left: "" });
        }
        for (at, part) in endings(name) {
            for value in self.suffixes.get(part).into_iter().flatten() {
                tell(Match { value: *value, part, left: name[..at].trim_end_matches('.') });
            }
        }
        for (pattern, value) in &self.patterns {
            if let Some(left) = pattern.left_of(name) {
                tell(Match {
                    value: *value,
                    part: name[left..].trim_start_matches('.'),
                    left: &name[..left],
                });
            }
        }
    }

    /// Every entry that any name of the wildcard could match, with the entry's words. Looks at all
    /// entries.
    pub fn each_reached(&self, wildcard: &Wildcard<'_>, mut tell: impl FnMut(String, T)) {
        for (suffix, values) in self.suffixes.iter().filter(|(suffix, _)| wildcard.reaches(suffix)) {
            values.iter().for_each(|value| tell(suffix.to_string(), *value));
        }
        for (exact, values) in self.exact.iter().filter(|(exact, _)| wildcard.matches(exact)) {
            values.iter().for_each(|value| tell(exact.to_string(), *value));
        }
        for (pattern, value) in &self.patterns {
            let labels: Vec<_> = pattern.labels.iter().map(CompactString::as_str).collect();
            if wildcard.meets(&labels, pattern.open) {
                tell(pattern.to_string(), *value);
            }
        }
    }

    /// Endings and exact names, not counting patterns.
    pub fn len(&self) -> usize {
        self.suffixes.len() + self.exact.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.patterns.is_empty()
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { suffixes: Map::default(), exact: Map::default(), patterns: Vec::new() }
    }
}

/// A name's endings at label boundaries with where they begin, the longest first.
fn endings(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = name.bytes().enumerate().filter(|(_, byte)| *byte == b'.').map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).map(|at| (at, &name[at..]))
}

/// The name as it may have been meant, the best guess first: a resolver appends search domains to
/// what was asked. `webhook.site.default.svc.cluster.local` is `webhook.site` on its way through the
/// search path; a name with one label left (`cart.shop.svc.cluster.local`) is nobody's outside.
pub fn spellings<'n>(name: &'n str, search: &[DnsName]) -> Vec<&'n str> {
    let stripped = search
        .iter()
        .find_map(|domain| name.strip_suffix(domain.as_str()).and_then(|left| left.strip_suffix('.')));
    let Some(left) = stripped else { return vec![name] };
    let dotted = |name: &&str| name.contains('.') && !name.ends_with(".pod");
    let Some(services) = left.strip_suffix(".svc") else {
        return Some(left).filter(dotted).into_iter().chain([name]).collect();
    };
    let without_ns = services.rsplit_once('.').map(|(left, _)| left).filter(dotted);
    without_ns.into_iter().chain(Some(services).filter(dotted)).chain([name]).collect()
}

fn normal(name: &str) -> CompactString {
    CompactString::from(name.trim_end_matches('.')).to_ascii_lowercase()
}

/// A name with gaps, matched label by label. In a label `*` stands for one character or more, `@`
/// for a letter, `#` for a digit; a leading `**` stands for one label or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    open: bool,
    /// From the right.
    labels: Vec<CompactString>,
}

impl Pattern {
    /// `None` where it holds other than letters, digits, `-`, `_`, dots and the signs above.
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.to_ascii_lowercase();
        let open = raw.starts_with("**.");
        let rest = raw.strip_prefix("**.").unwrap_or(&raw);
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*' | b'@' | b'#');
        let whole = rest
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(good) && !label.contains("**"));
        whole.then(|| Self { open, labels: rest.rsplit('.').map(CompactString::from).collect() })
    }

    /// Length of what stands left of the first plain label (what `**` or a leading `*` took), if the
    /// name matches.
    fn left_of(&self, name: &str) -> Option<usize> {
        let mut rest = Some(name);
        for wanted in &self.labels {
            let (left, label) = split_last(rest?);
            if !fits(wanted.as_bytes(), label.as_bytes()) {
                return None;
            }
            rest = left;
        }
        match (self.open, rest) {
            (true, Some(left)) => Some(left.len()),
            (false, None) if self.labels.last().is_some_and(|label| label == "*") => {
                Some(name.find('.').unwrap_or(name.len()))
            }
            (false, None) => Some(0),
            (true, None) | (false, Some(_)) => None,
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<_> = self.labels.iter().rev().map(CompactString::as_str).collect();
        write!(f, "{}{}", if self.open { "**." } else { "" }, labels.join("."))
    }
}

fn split_last(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('.').map_or((None, name), |(left, label)| (Some(left), label))
}

fn fits(pattern: &[u8], label: &[u8]) -> bool {
    match (pattern.split_first(), label.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), Some(_)) => (1..=label.len()).any(|taken| fits(rest, &label[taken..])),
        (Some((b'@', rest)), Some((byte, label))) => byte.is_ascii_lowercase() && fits(rest, label),
        (Some((b'#', rest)), Some((byte, label))) => byte.is_ascii_digit() && fits(rest, label),
        (Some((wanted, rest)), Some((byte, label))) => wanted == byte && fits(rest, label),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Networks, the longest prefix first.
#[derive(Clone, Debug)]
pub struct Networks<T> {
    v4: Vec<(u8, Map<u32, Vec<T>>)>,
    v6: Vec<(u8, Map<u128, Vec<T>>)>,
}

impl<T: Copy> Networks<T> {
    pub fn add(&mut self, network: IpNet, value: T) {
        match network.trunc() {
            IpNet::V4(net) => put(&mut self.v4, net.prefix_len(), net.network().to_bits(), value),
            IpNet::V6(net) => put(&mut self.v6, net.prefix_len(), net.network().to_bits(), value),
        }
    }

    /// Every entry whose network shares an address with this one. Looks at all longer entries.
    pub fn each_meeting(&self, network: IpNet, mut tell: impl FnMut(IpNet, T)) {
        let length = network.prefix_len();
        self.each(network.network(), |other, value| {
            if other.prefix_len() <= length {
                tell(other, value);
            }
        });
        match network {
            IpNet::V4(_) => each_inside(&self.v4, length, network, v4, &mut tell),
            IpNet::V6(_) => each_inside(&self.v6, length, network, v6, &mut tell),
        }
    }

    /// Every entry whose network holds the address, the narrowest first.
    pub fn each(&self, address: IpAddr, mut tell: impl FnMut(IpNet, T)) {
        match address {
            IpAddr::V4(address) => {
                for (length, map) in &self.v4 {
                    let bits = address.to_bits() & u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                    let network = || IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), *length);
                    say(map.get(&bits), network, &mut tell);
                }
            }
            IpAddr::V6(address) => {
                for (length, map) in &self.v6 {
                    let low = 128 - u32::from(*length);
                    let bits = address.to_bits() & u128::MAX.checked_shl(low).unwrap_or(0);
                    let network = || IpNet::new(std::net::Ipv6Addr::from_bits(bits).into(), *length);
                    say(map.get(&bits), network, &mut tell);
                }
            }
        }
    }
}

fn v4(bits: &u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(*bits).into()
}

fn v6(bits: &u128) -> IpAddr {
    std::net::Ipv6Addr::from_bits(*bits).into()
}

/// Entries longer than the network and inside it.
fn each_inside<K: Eq + Hash, T: Copy>(
    table: &[(u8, Map<K, Vec<T>>)],
    length: u8,
    network: IpNet,
    address: fn(&K) -> IpAddr,
    tell: &mut impl FnMut(IpNet, T),
) {
    for (longer, map) in table.iter().filter(|(other, _)| *other > length) {
        for (bits, values) in map.iter().filter(|(bits, _)| network.contains(&address(bits))) {
            say(Some(values), || IpNet::new(address(bits), *longer), tell);
        }
    }
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }
}

fn say<T: Copy>(
    values: Option<&Vec<T>>,
    network: impl Fn() -> Result<IpNet, ipnet::PrefixLenError>,
    tell: &mut impl FnMut(IpNet, T),
) {
    for value in values.into_iter().flatten() {
        if let Ok(network) = network() {
            tell(network, *value);
        }
    }
}

fn put<K: Eq + Hash, T>(table: &mut Vec<(u8, Map<K, Vec<T>>)>, length: u8, key: K, value: T) {
    let at = table.iter().position(|(other, _)| *other == length).unwrap_or_else(|| {
        let at = table.partition_point(|(other, _)| *other > length);
        table.insert(at, (length, Map::default()));
        at
    });
    table[at].1.entry(key).or_default().push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(names: &Names<u8>, name: &str) -> Vec<(u8, String, String)> {
        let mut out = Vec::new();
        names.each(name, |hit| out.push((hit.value, hit.part.to_owned(), hit.left.to_owned())));
        out
    }

    #[test]
    fn endings_match_at_label_boundaries_longest_first() {
        let mut names = Names::default();
        names.add_suffix("io", 1);
        names.add_suffix("Ngrok.io.", 2);
        names.add_exact("metadata", 3);
        let said = |value, part: &str, left: &str| (value, part.to_owned(), left.to_owned());
        assert_eq!(hits(&names, "a.b.ngrok.io"), [said(2, "ngrok.io", "a.b"), said(1, "io", "a.b.ngrok")]);
        assert_eq!(hits(&names, "ngrok.io")[0], said(2, "ngrok.io", ""));
        assert_eq!(hits(&names, "myngrok.io"), [said(1, "io", "myngrok")]);
        assert_eq!(hits(&names, "metadata"), [said(3, "metadata", "")]);
        assert_eq!(hits(&names, "a.metadata"), []);
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, left) in [
            ("hook.@@#.make.com", "hook.eu1.make.com", Some("")),
            ("hook.@@#.make.com", "hook.eu12.make.com", None),
            ("hook.@@#.make.com", "a.hook.eu1.make.com", None),
            ("*.lambda-url.*.on.aws", "abc.lambda-url.eu-west-1.on.aws", Some("abc")),
            ("*.lambda-url.*.on.aws", "lambda-url.eu-west-1.on.aws", None),
            ("**.s3-*.amazonaws.com", "my.bucket.s3-eu-west-1.amazonaws.com", Some("my.bucket")),
            ("**.s3.*.amazonaws.com", "s3.eu-west-1.amazonaws.com", None),
            ("*", "metadata", Some("metadata")),
        ] {
            let mut names = Names::default();
            names.add_pattern(Pattern::parse(pattern).expect("a pattern"), 1);
            let said = hits(&names, name);
            assert_eq!(said.first().map(|hit| hit.2.as_str()), left, "{pattern} on {name}");
        }
        for bad in ["", "a..b", "a.**.b", "a b", "***"] {
            assert_eq!(Pattern::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn networks_meet_where_one_holds_the_other() {
        let mut networks = Networks::default();
        for (at, network) in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "11.0.0.0/8", "::/0", "fd00::1/128"]
            .iter()
            .enumerate()
        {
            networks.add(network.parse().expect("a network"), at);
        }
        for (network, want) in [
            ("10.1.0.0/16", &[0, 1, 2][..]),
            ("10.1.2.3/32", &[0, 1, 2]),
            ("10.1.2.4/31", &[0, 1]),
            ("0.0.0.0/0", &[0, 1, 2, 3]),
            ("12.0.0.0/8", &[]),
            ("fd00::/16", &[4, 5]),
        ] {
            let mut found = Vec::new();
            networks.each_meeting(network.parse().expect("a network"), |_, at| found.push(at));
            found.sort_unstable();
            assert_eq!(found, want, "{network}");
        }
    }

    #[test]
    fn networks_are_found_narrowest_first() {
        let mut networks = Networks::default();
        for (at, network) in
            ["0.0.0.0/0", "169.254.0.0/16", "169.254.169.254/32", "::/0", "fd00:ec2::254/128"]
                .iter()
                .enumerate()
        {
            networks.add(network.parse().expect("a network"), at);
        }
        let find = |address: &str| {
            let mut out = Vec::new();
            networks.each(address.parse().expect("an address"), |_, at| out.push(at));
            out
        };
        assert_eq!(find("169.254.169.254"), [2, 1, 0]);
        assert_eq!(find("169.254.0.1"), [1, 0]);
        assert_eq!(find("fd00:ec2::254"), [4, 3]);
        assert_eq!(find("fd00:ec2::255"), [3]);
    }
}
