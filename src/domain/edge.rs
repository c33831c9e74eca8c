//! An edge: who talks to whom, on which port, how often and in which hours. Packets go in, edges
//! are what is kept, stored, served and written. No address book and no clock here.

use std::{fmt, net::IpAddr};

use chrono::DateTime;
use compact_str::CompactString;

use super::{
    flow::{Direction, Entity, Protocol},
    names::{NsName, Text, Workload},
    sighting::Outcome,
    time::Timestamp,
};

/// From and to, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Window {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Epoch hours that the window touches.
    pub fn hours(&self) -> std::ops::Range<i64> {
        let last = self.to.timestamp() - i64::from(self.to.timestamp_subsec_nanos() == 0);
        hour_of(self.from)..(last.div_euclid(3600) + 1).max(hour_of(self.from))
    }
}

/// Hours since 1970.
pub fn hour_of(at: Timestamp) -> i64 {
    at.timestamp().div_euclid(3600)
}

/// The beginning of an epoch hour; 1970 where the number is beyond the calendar.
pub fn hour_start(hour: i64) -> Timestamp {
    DateTime::from_timestamp(hour.saturating_mul(3600), 0).unwrap_or_default()
}

/// A set of hours: one bit each.
///
/// Invariant: `first` is a multiple of 64, and neither the first nor the last word is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Epoch hour of the lowest bit of the first word.
    first: i64,
    words: Vec<u64>,
}

impl Hours {
    /// Longest span kept, in hours: ten weeks. Older ones fall off.
    pub const SPAN: i64 = 64 * 27;

    pub fn insert(&mut self, hour: i64) {
        let word = hour.div_euclid(64) * 64;
        if self.words.is_empty() {
            self.first = word;
            self.words.push(0);
        }
        let newest = self.first + (self.words.len() as i64 - 1) * 64;
        if word > newest {
            if word - newest > Self::SPAN {
                self.first = word;
                self.words.clear();
                self.words.push(0);
            } else {
                self.words.resize(((word - self.first) / 64 + 1) as usize, 0);
            }
        } else if word < self.first {
            if newest - word >= Self::SPAN {
                return;
            }
            let missing = ((self.first - word) / 64) as usize;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = word;
        }
        self.words[((word - self.first) / 64) as usize] |= 1 << hour.rem_euclid(64);
        self.trim();
    }

    /// Keeps the invariant, and at most [`Hours::SPAN`].
    fn trim(&mut self) {
        let over = self.words.len().saturating_sub((Self::SPAN / 64) as usize);
        let empty = self.words[over..].iter().take_while(|word| **word == 0).count();
        self.words.drain(..over + empty);
        self.first += (over + empty) as i64 * 64;
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    pub fn contains(&self, hour: i64) -> bool {
        let word = (hour.div_euclid(64) * 64 - self.first) / 64;
        usize::try_from(word)
            .ok()
            .and_then(|word| self.words.get(word))
            .is_some_and(|word| word >> hour.rem_euclid(64) & 1 == 1)
    }

    pub fn union(&mut self, other: &Self) {
        if self.words.is_empty() {
            self.clone_from(other);
            return;
        }
        let (from, len) = ((other.first - self.first) / 64, other.words.len() as i64);
        if from >= 0 && from + len <= self.words.len() as i64 {
            let into = self.words[from as usize..].iter_mut();
            into.zip(&other.words).for_each(|(into, word)| *into |= word);
        } else {
            other.iter().for_each(|hour| self.insert(hour));
        }
    }

    /// The first and the last hour.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        let (low, high) = (self.words.first()?, self.words.last()?);
        let last = self.first + (self.words.len() as i64 - 1) * 64;
        Some((self.first + i64::from(low.trailing_zeros()), last + 63 - i64::from(high.leading_zeros())))
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        let bits = |mut word: u64| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| i64::from(word.trailing_zeros()));
                word &= word.wrapping_sub(1);
                bit
            })
        };
        self.words
            .iter()
            .enumerate()
            .flat_map(move |(at, word)| bits(*word).map(move |bit| self.first + at as i64 * 64 + bit))
    }

    /// How many of these hours are in the set.
    pub fn count_in(&self, hours: std::ops::Range<i64>) -> usize {
        self.iter().filter(|hour| hours.contains(hour)).count()
    }
}

impl FromIterator<i64> for Hours {
    fn from_iter<I: IntoIterator<Item = i64>>(hours: I) -> Self {
        let mut out = Self::default();
        hours.into_iter().for_each(|hour| out.insert(hour));
        out
    }
}

/// A DNS name: lower case, no trailing dot, 1 to 253 bytes of letters, digits, `-`, `_`, `*` and dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(CompactString);

impl DnsName {
    /// `None` for what cannot be a host's name; such answers keep their address only.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::check(raw).map(|raw| Self(CompactString::new(raw).to_ascii_lowercase()))
    }

    /// The name without its trailing dot, if it can be a host's. Does not allocate.
    pub fn check(raw: &str) -> Option<&str> {
        let raw = raw.strip_suffix('.').unwrap_or(raw);
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*' | b'.');
        let whole = !raw.is_empty() && raw.len() <= 253 && raw.bytes().all(good);
        (whole && raw.split('.').all(|label| !label.is_empty() && label.len() <= 63)).then_some(raw)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How sure a destination's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// An answer to this pod with this address, still valid (or a few minutes over) at the flow.
    Fresh,
    /// This pod was given the address for that name, but long before.
    Stale,
    /// This pod asked for several names with this address: the latest is shown, the others beside it.
    Ambiguous,
    /// No answer: the address is all there is.
    None,
}

impl Grade {
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Stale, Self::Ambiguous, Self::None];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Ambiguous => "ambiguous",
            Self::None => "none",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grade| grade.as_str() == raw)
    }
}

/// Flows by how sure their name was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grades {
    pub fresh: u64,
    pub stale: u64,
    pub ambiguous: u64,
}

impl Grades {
    /// A name is called as sure as most of its flows, and less so at a tie; a tenth of them that may
    /// have meant another name is enough to call it ambiguous.
    pub fn grade(self) -> Grade {
        let Self { fresh, stale, ambiguous } = self;
        let all = fresh.saturating_add(stale).saturating_add(ambiguous);
        if all == 0 {
            Grade::None
        } else if ambiguous >= all.div_ceil(10) {
            Grade::Ambiguous
        } else if stale >= fresh {
            Grade::Stale
        } else {
            Grade::Fresh
        }
    }

    pub fn add(&mut self, other: Self) {
        self.fresh = self.fresh.saturating_add(other.fresh);
        self.stale = self.stale.saturating_add(other.stale);
        self.ambiguous = self.ambiguous.saturating_add(other.ambiguous);
    }
}

/// The other end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods the source named, by what owns them.
    Pods {
        ns: NsName,
        workload: Workload,
    },
    /// The data plane has a word for it and no pod: host, remote-node, kube-apiserver.
    Entity(Entity),
    Address(IpAddr),
    /// All the source says is a class (`pub`, `pvt`, a network set), or nothing at all (empty).
    Unsaid(Text),
}

/// What makes two sightings the same edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    /// Of the end whose policy judged: the source of egress, the destination of ingress.
    pub ns: NsName,
    pub workload: Workload,
    pub direction: Direction,
    pub peer: Peer,
    /// The name this workload's pod asked for before it went to `peer`, if it did.
    pub name: Option<DnsName>,
    pub protocol: Protocol,
    pub port: u16,
    pub outcome: Outcome,
}

/// What was seen on an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub flows: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub hours: Hours,
    /// Flows by how sure the name was; what is missing to `flows` had none.
    pub fresh: u64,
    pub stale: u64,
    pub ambiguous: u64,
    /// Further names asked for with this address, at most [`Edge::NAMES`], sorted.
    pub also: Vec<DnsName>,
    /// Names on the CNAME chain of the answers, at most [`Edge::NAMES`], sorted.
    pub chain: Vec<DnsName>,
    /// Lowest lifetime of an answer, seconds.
    pub ttl_secs: Option<u32>,
}

impl Edge {
    pub const NAMES: usize = 8;

    pub fn grades(&self) -> Grades {
        Grades { fresh: self.fresh, stale: self.stale, ambiguous: self.ambiguous }
    }

    /// Two observations of the same edge, of times or nodes that do not overlap.
    pub fn merge(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.hours.union(&other.hours);
        self.fresh = self.fresh.saturating_add(other.fresh);
        self.stale = self.stale.saturating_add(other.stale);
        self.ambiguous = self.ambiguous.saturating_add(other.ambiguous);
        merge_names(&mut self.also, &other.also);
        merge_names(&mut self.chain, &other.chain);
        self.ttl_secs = match (self.ttl_secs, other.ttl_secs) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// What the edges of a namespace add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub edges: u64,
    /// `None`: an older collector does not say.
    pub parties: Option<Parties>,
}

/// With how many others a namespace talks, and how much. Denied attempts are no parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// Edges by which others call in.
    pub callers: u64,
    /// Edges by which it calls out.
    pub callees: u64,
    /// Of those callers, the API server: webhooks and aggregated APIs.
    pub webhooks: u64,
    /// Flows on all of these.
    pub flows: u64,
}

impl Parties {
    /// What one edge is, without its flows.
    pub fn of(key: &EdgeKey) -> Self {
        let one = |is: bool| u64::from(is && key.outcome != Outcome::Denied);
        let calls_in = key.direction == Direction::Ingress;
        Self {
            callers: one(calls_in),
            callees: one(!calls_in),
            webhooks: one(calls_in && key.peer == Peer::Entity(Entity::KubeApiserver)),
            flows: 0,
        }
    }

    pub fn is_none(&self) -> bool {
        self.callers + self.callees == 0
    }

    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            callers: join(self.callers, other.callers),
            callees: join(self.callees, other.callees),
            webhooks: join(self.webhooks, other.webhooks),
            flows: join(self.flows, other.flows),
        }
    }
}

/// Union of two sorted sets, the first [`Edge::NAMES`] of it, so that the order of merging does not matter.
pub fn merge_names(into: &mut Vec<DnsName>, from: &[DnsName]) {
    into.extend_from_slice(from);
    into.sort();
    into.dedup();
    into.truncate(Edge::NAMES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_a_set_that_forgets_what_is_ten_weeks_old() {
        let mut hours: Hours = [490_000, 490_001, 489_900, 490_000].into_iter().collect();
        assert_eq!(hours.iter().collect::<Vec<_>>(), [489_900, 490_000, 490_001]);
        assert_eq!((hours.len(), hours.count_in(490_000..490_002)), (3, 2));
        assert!(hours.contains(489_900) && !hours.contains(489_901) && !hours.contains(0));
        assert_eq!((hours.bounds(), Hours::default().bounds()), (Some((489_900, 490_001)), None));
        hours.insert(490_000 + Hours::SPAN);
        assert!(!hours.contains(489_900) && hours.contains(490_000 + Hours::SPAN));
        hours.insert(10);
        assert!(!hours.contains(10), "older than all that is kept");
        hours.insert(i64::from(i32::MAX));
        assert_eq!(hours.iter().collect::<Vec<_>>(), [i64::from(i32::MAX)]);
    }

    #[test]
    fn equal_sets_are_equal_whatever_the_order() {
        let a: Hours = [100, 5, 700].into_iter().collect();
        let b: Hours = [700, 100, 5].into_iter().collect();
        assert_eq!(a, b);
        let mut joined = Hours::default();
        for part in [[700, 5], [5, 100], [6, 699]] {
            joined.union(&part.into_iter().collect());
        }
        assert_eq!(joined.iter().collect::<Vec<_>>(), [5, 6, 100, 699, 700]);
    }

    #[test]
    fn names_are_lower_case_and_hostile_ones_are_none() {
        assert_eq!(
            DnsName::parse("API.Example.COM.").map(|n| n.to_string()).as_deref(),
            Some("api.example.com")
        );
        for bad in ["", ".", "a..b", "a b", "a\u{1b}b", &"a".repeat(64), &"a.".repeat(200)] {
            assert_eq!(DnsName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_window_touches_the_hours_it_says() {
        let at = |secs| DateTime::from_timestamp(secs, 0).expect("valid");
        assert_eq!(Window { from: at(3_600), to: at(7_200) }.hours(), 1..2);
        assert_eq!(Window { from: at(3_599), to: at(7_201) }.hours(), 0..3);
    }

    #[test]
    fn a_name_is_as_sure_as_most_of_its_flows() {
        for (fresh, stale, ambiguous, wanted) in [
            (0, 0, 0, Grade::None),
            (1, 0, 0, Grade::Fresh),
            (51, 49, 0, Grade::Fresh),
            (50, 50, 0, Grade::Stale),
            // One long connection: resolved once, seen for days.
            (2, 420, 0, Grade::Stale),
            (0, 0, 1, Grade::Ambiguous),
            (426, 0, 428, Grade::Ambiguous),
            (90, 0, 10, Grade::Ambiguous),
            (91, 0, 9, Grade::Fresh),
            (u64::MAX, u64::MAX, u64::MAX, Grade::Ambiguous),
        ] {
            assert_eq!(Grades { fresh, stale, ambiguous }.grade(), wanted, "{fresh} {stale} {ambiguous}");
        }
    }
}
