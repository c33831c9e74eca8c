//! What a change of policies means: which peers it opens and which it closes, port by port, whatever
//! way they are written. Addresses are compared exactly, everything else by its words. Knows no file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ipnet::IpNet;

use crate::domain::{
    flow::Protocol,
    grant::PortSpan,
    names::Text,
    opened::{Ports, What},
    ranges::Ranges,
};

/// One peer of one rule, with its words where it is none of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub place: Place,
    pub ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Addresses(Ranges),
    Words(Text),
}

impl Way {
    /// `words` say what is meant by a peer that has no address of its own.
    pub fn new(what: &What, words: &str, ports: Ports) -> Self {
        let place = match what {
            What::Block { .. } => Place::Addresses(what.addresses().unwrap_or_default()),
            What::Everything | What::Name(_) | What::Inside | What::Unknown(_) => {
                Place::Words(Text::new(words))
            }
        };
        Self { place, ports }
    }
}

/// The difference between two sets of ways, a line each, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub opens: Vec<Text>,
    pub closes: Vec<Text>,
}

impl Change {
    pub fn is_nothing(&self) -> bool {
        self.opens.is_empty() && self.closes.is_empty()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.opens.iter().try_for_each(|line| writeln!(f, "opens  {line}"))?;
        self.closes.iter().try_for_each(|line| writeln!(f, "closes {line}"))
    }
}

pub fn between(before: &[Way], after: &[Way]) -> Change {
    let cuts = cuts(before.iter().chain(after));
    let (old, new) = (spread(before, &cuts), spread(after, &cuts));
    Change { opens: words(&minus(&new, &old)), closes: words(&minus(&old, &new)) }
}

/// What one stretch of ports opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Opens {
    addresses: Ranges,
    words: BTreeSet<Text>,
}

type Spread = BTreeMap<PortSpan, Opens>;

/// Where stretches of ports begin, of each protocol; named ports stand in the words.
fn cuts<'w>(ways: impl Iterator<Item = &'w Way>) -> BTreeMap<Protocol, BTreeSet<u32>> {
    let mut out: BTreeMap<Protocol, BTreeSet<u32>> = BTreeMap::new();
    for span in ways.flat_map(|way| way.ports.spans()) {
        out.entry(span.protocol).or_default().extend([u32::from(span.from), u32::from(span.to) + 1]);
    }
    out
}

fn spread(ways: &[Way], cuts: &BTreeMap<Protocol, BTreeSet<u32>>) -> Spread {
    let mut blocks: BTreeMap<PortSpan, Vec<IpNet>> = BTreeMap::new();
    let mut out = Spread::new();
    for way in ways {
        for span in way.ports.spans() {
            for part in stretches(*span, &cuts[&span.protocol]) {
                match &way.place {
                    Place::Addresses(ranges) => blocks.entry(part).or_default().extend(ranges.networks()),
                    Place::Words(words) => drop(out.entry(part).or_default().words.insert(words.clone())),
                }
            }
        }
        for name in way.ports.named() {
            let place = match &way.place {
                Place::Addresses(ranges) => list(ranges),
                Place::Words(words) => words.to_string(),
            };
            let span = PortSpan { protocol: Protocol::Unknown, from: 0, to: 0 };
            out.entry(span).or_default().words.insert(Text::from(format!("{place} on port {name}")));
        }
    }
    for (part, networks) in blocks {
        out.entry(part).or_default().addresses = Ranges::of(&networks);
    }
    out
}

fn stretches(span: PortSpan, cuts: &BTreeSet<u32>) -> Vec<PortSpan> {
    let inside = cuts.range(u32::from(span.from)..=u32::from(span.to) + 1).copied().collect::<Vec<_>>();
    let part = |pair: &[u32]| {
        let number = |at: u32| u16::try_from(at).unwrap_or(u16::MAX);
        PortSpan { protocol: span.protocol, from: number(pair[0]), to: number(pair[1] - 1) }
    };
    inside.windows(2).map(part).collect()
}

fn minus(from: &Spread, cut: &Spread) -> Spread {
    let none = Opens::default();
    let mut out = Spread::new();
    for (span, opens) in from {
        let other = cut.get(span).unwrap_or(&none);
        let addresses = opens.addresses.minus(&other.addresses);
        let words: BTreeSet<_> = opens.words.difference(&other.words).cloned().collect();
        if !addresses.is_empty() || !words.is_empty() {
            out.insert(*span, Opens { addresses, words });
        }
    }
    out
}

/// One line a place, with all its ports.
fn words(spread: &Spread) -> Vec<Text> {
    let mut by_place: BTreeMap<String, Vec<PortSpan>> = BTreeMap::new();
    let mut named = Vec::new();
    for (span, opens) in spread {
        let is_named = span.protocol == Protocol::Unknown && (span.from, span.to) == (0, 0);
        if !opens.addresses.is_empty() {
            by_place.entry(list(&opens.addresses)).or_default().push(*span);
        }
        for words in &opens.words {
            match is_named {
                true => named.push(words.clone()),
                false => by_place.entry(words.to_string()).or_default().push(*span),
            }
        }
    }
    let line = |(place, spans): (String, Vec<PortSpan>)| {
        Text::from(format!("{place} on {}", Ports::new(spans, Vec::new())))
    };
    let mut out: Vec<_> = by_place.into_iter().map(line).chain(named).collect();
    out.sort();
    out
}

/// What lacks so few networks is told by them.
const FEW: usize = 8;

/// The first networks, and how many more; what is nearly all of a family by what it lacks.
fn list(ranges: &Ranges) -> String {
    let whole = ["0.0.0.0/0", "::/0"].iter().filter_map(|raw| raw.parse::<IpNet>().ok());
    let family = |all: IpNet| {
        let all_of = Ranges::of([&all]);
        let part = ranges.and(&all_of);
        all_but(&part, all).unwrap_or_else(|| shown(&part.networks()))
    };
    let words: Vec<_> = whole.map(family).filter(|words| !words.is_empty()).collect();
    words.join(", ")
}

/// What is nearly all of a family by what it lacks: `0.0.0.0/0 except 169.254.169.254/32`; `None` where
/// that says no less.
pub fn all_but(part: &Ranges, all: IpNet) -> Option<String> {
    let lacks = Ranges::of([&all]).minus(part).networks();
    let is_short = (1..=FEW).contains(&lacks.len()) && lacks.len() < part.networks().len();
    is_short.then(|| format!("{all} except {}", shown(&lacks)))
}

fn shown(networks: &[IpNet]) -> String {
    const SHOWN: usize = 6;
    let words: Vec<_> = networks.iter().take(SHOWN).map(ToString::to_string).collect();
    match networks.len().saturating_sub(SHOWN) {
        0 => words.join(", "),
        more => format!("{} and {more} more networks", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(place: &str, ports: &[(u16, u16)]) -> Way {
        let spans = ports.iter().map(|(from, to)| PortSpan { protocol: Protocol::Tcp, from: *from, to: *to });
        let ports = Ports::new(spans, Vec::new());
        match place.parse() {
            Ok(network) => Way::new(&What::Block { network, except: Vec::new() }, "", ports),
            Err(_) => Way::new(&What::Inside, place, ports),
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_no_change() {
        let before = [way("203.0.113.0/31", &[(443, 444)]), way("pods of pay", &[(80, 80), (81, 90)])];
        let after = [
            way("203.0.113.0/32", &[(443, 443), (444, 444)]),
            way("203.0.113.1/32", &[(443, 444)]),
            way("pods of pay", &[(80, 90)]),
        ];
        assert!(between(&before, &after).is_nothing());
    }

    #[test]
    fn each_address_and_port_that_changes_is_told_once() {
        let before = [way("203.0.113.0/31", &[(443, 443)]), way("pods of pay", &[(80, 90)])];
        let after = [
            way("203.0.113.0/32", &[(443, 445)]),
            way("pods of pay", &[(85, 95)]),
            way("2001:db8::/64", &[(1, 1)]),
        ];
        assert_eq!(
            between(&before, &after).to_string(),
            "opens  2001:db8::/64 on TCP/1\n\
             opens  203.0.113.0/32 on TCP/444-445\n\
             opens  pods of pay on TCP/91-95\n\
             closes 203.0.113.1/32 on TCP/443\n\
             closes pods of pay on TCP/80-84\n"
        );
        let all_but =
            Ranges::everything().minus(&Ranges::of([&"169.254.169.254/32".parse().expect("a network")]));
        let wide = Way { place: Place::Addresses(all_but), ports: way("x", &[(123, 123)]).ports };
        assert_eq!(
            between(&[], &[wide]).to_string(),
            "opens  0.0.0.0/0 except 169.254.169.254/32, ::/0 on TCP/123\n"
        );
    }
}
