//! Sightings become edges: who talks to whom, counted once, with the name the pod asked for. Replies,
//! records of the other end and what a source left unclear are counted as left out, never guessed
//! into an edge. No clock, no I/O.

use std::hash::{Hash, Hasher};

use chrono::TimeDelta;
use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap};

use super::{
    addresses::AddressBook,
    answers::Answers,
    edge::{Edge, EdgeKey, Window, hour_of},
    ends::{EdgeRef, Naming, end_of, key_of, name_of, peer_of, view},
    flow::{Direction, Protocol},
    sighting::{Outcome, Sighting},
    time::Timestamp,
};

/// Why a sighting made no edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// An answer on a connection counted already.
    Reply,
    /// Allowed traffic of which the source does not say whether it was a reply.
    UnclearReply,
    /// The source does not say which end reported it.
    UnclearDirection,
    /// The reporting end is no pod that is known: host network, a node, the world.
    NoPod,
    /// A namespace that cannot be one.
    BadName,
    OutsideWindow,
    /// The ledger is full.
    Full,
}

impl LeftOut {
    pub const ALL: [Self; 7] = [
        Self::Reply,
        Self::UnclearReply,
        Self::UnclearDirection,
        Self::NoPod,
        Self::BadName,
        Self::OutsideWindow,
        Self::Full,
    ];

    /// In words, after a number: `1,204 replies`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "replies",
            Self::UnclearReply => "without a word on whether they are replies",
            Self::UnclearDirection => "without a direction",
            Self::NoPod => "reported for no known pod",
            Self::BadName => "of a namespace that cannot be one",
            Self::OutsideWindow => "outside the window",
            Self::Full => "beyond the limit of edges",
        }
    }
}

/// What became of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The first of its edge.
    New,
    Counted,
    LeftOut(LeftOut),
}

/// Edges in the making.
#[derive(Clone, Debug)]
pub struct Ledger {
    window: Option<Window>,
    limit: usize,
    edges: IndexMap<Stored, Edge, RandomState>,
    left_out: [u64; LeftOut::ALL.len()],
    /// A name being put together.
    scratch: String,
}

/// A key that is found by what a record says of it, without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored(EdgeKey);

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        view(&self.0).hash(state);
    }
}

impl Equivalent<Stored> for EdgeRef<'_> {
    fn equivalent(&self, key: &Stored) -> bool {
        *self == view(&key.0)
    }
}

impl Ledger {
    /// Most edges kept, unless told otherwise: about 400 MB.
    pub const LIMIT: usize = 1_000_000;
    /// Longest time one record may speak of; its end is moved up.
    pub const LONGEST: TimeDelta = TimeDelta::days(7);

    /// Counts what began in the window; everything without one.
    pub fn new(window: Option<Window>) -> Self {
        Self::with_limit(window, Self::LIMIT)
    }

    pub fn with_limit(window: Option<Window>, limit: usize) -> Self {
        Self {
            window,
            limit,
            edges: IndexMap::default(),
            left_out: [0; LeftOut::ALL.len()],
            scratch: String::new(),
        }
    }

    /// Counts one sighting.
    pub fn sight(&mut self, answers: &Answers, book: &AddressBook, sighting: &Sighting<'_>) -> Taken {
        let mut scratch = std::mem::take(&mut self.scratch);
        let taken = self.count(answers, book, sighting, &mut scratch);
        self.scratch = scratch;
        taken.unwrap_or_else(|reason| {
            self.left_out[reason as usize] += 1;
            Taken::LeftOut(reason)
        })
    }

    /// Takes in what another thread counted, of other records.
    pub fn merge(&mut self, other: Self) {
        for (key, edge) in other.edges {
            if let Some(ours) = self.edges.get_mut(&key) {
                ours.merge(&edge);
            } else if self.edges.len() < self.limit {
                self.edges.insert(key, edge);
            } else {
                self.left_out[LeftOut::Full as usize] += edge.flows;
            }
        }
        self.left_out.iter_mut().zip(other.left_out).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// In no particular order.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        self.edges.iter().map(|(key, edge)| (&key.0, edge))
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// All edges, sorted by key.
    pub fn into_edges(mut self) -> Vec<(EdgeKey, Edge)> {
        self.drain()
    }

    /// All edges since the last time, sorted by key; what was left out stays counted.
    pub fn drain(&mut self) -> Vec<(EdgeKey, Edge)> {
        let mut out: Vec<_> = self.edges.drain(..).map(|(key, edge)| (key.0, edge)).collect();
        out.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Sightings that made no edge, by reason.
    pub fn left_out(&self) -> impl Iterator<Item = (LeftOut, u64)> {
        LeftOut::ALL.into_iter().zip(self.left_out).filter(|(_, count)| *count > 0)
    }

    fn count(
        &mut self,
        answers: &Answers,
        book: &AddressBook,
        sighting: &Sighting<'_>,
        scratch: &mut String,
    ) -> Result<Taken, LeftOut> {
        let direction = self.admitted(sighting)?;
        let (own, other) = match direction {
            Direction::Egress => (&sighting.source, &sighting.destination),
            Direction::Ingress => (&sighting.destination, &sighting.source),
        };
        let own = end_of(own, book, sighting.at).ok_or(LeftOut::NoPod)?;
        let peer = peer_of(other, book, sighting.at);
        let naming = name_of(sighting, direction, &own, &peer, answers, scratch);
        let key = EdgeRef {
            ns: own.ns,
            workload: own.workload,
            direction,
            peer,
            name: naming.name,
            protocol: sighting.protocol,
            port: if sighting.protocol == Protocol::Icmp { 0 } else { sighting.port },
            outcome: sighting.outcome,
        };
        let until = self.until(sighting);
        if let Some(edge) = self.edges.get_mut(&key) {
            add(edge, sighting, until, &naming);
            return Ok(Taken::Counted);
        }
        let key = Stored(key_of(&key).ok_or(LeftOut::BadName)?);
        let known = self.edges.contains_key(&key);
        if !known && self.edges.len() >= self.limit {
            return Err(LeftOut::Full);
        }
        let edge = self.edges.entry(key).or_insert_with(|| blank(sighting, until));
        add(edge, sighting, until, &naming);
        Ok(if known { Taken::Counted } else { Taken::New })
    }

    /// The direction, if the record counts at all. Policies judge new connections only, so what one
    /// denied (or would have) is no reply even where the source does not say so.
    fn admitted(&self, sighting: &Sighting<'_>) -> Result<Direction, LeftOut> {
        if self.window.is_some_and(|window| !window.contains(sighting.at)) {
            return Err(LeftOut::OutsideWindow);
        }
        match (sighting.reply, sighting.outcome) {
            (Some(true), _) => Err(LeftOut::Reply),
            (None, Outcome::Allowed) => Err(LeftOut::UnclearReply),
            (Some(false), _) | (None, Outcome::Denied | Outcome::Audit) => {
                sighting.direction.ok_or(LeftOut::UnclearDirection)
            }
        }
    }

    /// The end of the record, inside the window and not absurdly late.
    fn until(&self, sighting: &Sighting<'_>) -> Timestamp {
        if sighting.until <= sighting.at {
            return sighting.at;
        }
        let latest = sighting.at.checked_add_signed(Self::LONGEST).unwrap_or(sighting.at);
        let inside = self.window.map_or(latest, |window| window.to - TimeDelta::nanoseconds(1));
        sighting.until.min(latest).min(inside).max(sighting.at)
    }
}

fn blank(sighting: &Sighting<'_>, until: Timestamp) -> Edge {
    Edge {
        flows: 0,
        first: sighting.at,
        last: until,
        hours: Default::default(),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    }
}

fn add(edge: &mut Edge, sighting: &Sighting<'_>, until: Timestamp, naming: &Naming<'_>) {
    edge.flows = edge.flows.saturating_add(sighting.flows);
    edge.first = edge.first.min(sighting.at);
    edge.last = edge.last.max(until);
    let first = hour_of(sighting.at);
    // A record that ends with an hour says nothing of the next one.
    let last = if until > sighting.at { hour_of(until - TimeDelta::nanoseconds(1)) } else { first };
    for hour in first..=last {
        if !edge.hours.contains(hour) {
            edge.hours.insert(hour);
        }
    }
    naming.add_to(edge, sighting.flows);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::domain::{
        edge::{DnsName, Peer},
        flow::Entity,
        names::{NsName, Workload},
        sighting::{Answer, Client, Side},
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_409_600 + secs, 0).expect("in range")
    }

    fn ip(raw: &str) -> IpAddr {
        raw.parse().expect("an address")
    }

    const CART: Side<'static> = Side {
        address: None,
        ns: Some("shop"),
        pod: Some("cart-6c9f7d8b5-x7k2z"),
        workload: None,
        service: None,
        entity: None,
        class: None,
    };

    fn out(raw: &str) -> Side<'static> {
        Side { address: Some(ip(raw)), ..Side::default() }
    }

    fn sighting(source: Side<'static>, destination: Side<'static>) -> Sighting<'static> {
        Sighting {
            at: at(0),
            until: at(0),
            node: None,
            direction: Some(Direction::Egress),
            outcome: Outcome::Allowed,
            protocol: Protocol::Tcp,
            source,
            destination,
            source_port: 40_000,
            port: 443,
            reply: Some(false),
            flows: 1,
            names: [None; Sighting::NAMES],
        }
    }

    fn one(book: &AddressBook, sighting: &Sighting<'_>) -> Result<(EdgeKey, Edge), LeftOut> {
        let mut ledger = Ledger::new(None);
        match ledger.sight(&Answers::new(), book, sighting) {
            Taken::LeftOut(why) => Err(why),
            Taken::New | Taken::Counted => Ok(ledger.into_edges().remove(0)),
        }
    }

    fn peer(destination: Side<'static>) -> (Peer, Option<String>) {
        let mut book = AddressBook::default();
        book.seen(ip("10.0.3.3"), "front", "web-6c9f7d8b5-4zxcv", at(0));
        let (key, _) = one(&book, &sighting(CART, destination)).expect("an edge");
        (key.peer, key.name.map(|name| name.to_string()))
    }

    #[test]
    fn the_other_end_is_called_by_the_best_that_is_known() {
        let web =
            || Peer::Pods { ns: NsName::parse("front").expect("a name"), workload: Workload::new("", "web") };
        let named = Side { ns: Some("front"), pod: Some("web-6c9f7d8b5-4zxcv"), ..out("10.0.3.3") };
        let entity = |entity, raw| Side { entity: Some(entity), ..out(raw) };
        let service = Side { service: Some(("front", "web")), ..out("10.96.0.9") };
        let class = |class| Side { class: Some(class), ..Side::default() };
        for (side, expected, name) in [
            (named, web(), None),
            (Side { service: Some(("front", "web")), ..named }, web(), None),
            (out("10.0.3.3"), web(), None),
            (out("203.0.113.9"), Peer::Address(ip("203.0.113.9")), None),
            (service, Peer::Address(ip("10.96.0.9")), Some("web.front.svc")),
            (entity(Entity::World, "203.0.113.9"), Peer::Address(ip("203.0.113.9")), None),
            (entity(Entity::World, "10.0.3.3"), Peer::Address(ip("10.0.3.3")), None),
            (entity(Entity::KubeApiserver, "192.0.2.1"), Peer::Entity(Entity::KubeApiserver), None),
            (entity(Entity::Host, "10.0.3.3"), Peer::Entity(Entity::Host), None),
            (class("pub"), Peer::Unsaid("pub".into()), None),
            (Side { address: Some(ip("192.0.2.7")), ..class("pvt") }, Peer::Address(ip("192.0.2.7")), None),
            (Side { entity: Some(Entity::World), ..Side::default() }, Peer::Unsaid("world".into()), None),
            (Side::default(), Peer::Unsaid("".into()), None),
        ] {
            assert_eq!(peer(side), (expected, name.map(str::to_owned)), "{side:?}");
        }
    }

    #[test]
    fn what_is_no_edge_is_counted_by_its_reason() {
        let book = AddressBook::default();
        let good = sighting(CART, out("203.0.113.9"));
        let host = Side { entity: Some(Entity::Host), ..out("192.0.2.1") };
        let unclear = Sighting { reply: None, ..good };
        for (sighting, expected) in [
            (Sighting { reply: Some(true), ..good }, Some(LeftOut::Reply)),
            (unclear, Some(LeftOut::UnclearReply)),
            (Sighting { outcome: Outcome::Denied, ..unclear }, None),
            (Sighting { outcome: Outcome::Audit, ..unclear }, None),
            (Sighting { direction: None, ..good }, Some(LeftOut::UnclearDirection)),
            (Sighting { direction: Some(Direction::Ingress), ..good }, Some(LeftOut::NoPod)),
            (Sighting { source: host, ..good }, Some(LeftOut::NoPod)),
            (Sighting { source: out("10.0.0.7"), ..good }, Some(LeftOut::NoPod)),
            (Sighting { source: Side { ns: Some("Shop"), ..CART }, ..good }, Some(LeftOut::BadName)),
            (good, None),
        ] {
            assert_eq!(one(&book, &sighting).err(), expected, "{sighting:?}");
        }
    }

    #[test]
    fn both_ends_reports_of_one_connection_are_one_edge_of_each_namespace() {
        let web = Side { ns: Some("front"), pod: Some("web-6c9f7d8b5-4zxcv"), ..out("10.0.3.3") };
        let egress = sighting(CART, web);
        let mut ledger = Ledger::new(None);
        for direction in [Direction::Egress, Direction::Ingress, Direction::Egress] {
            let sighting = Sighting { direction: Some(direction), ..egress };
            ledger.sight(&Answers::new(), &AddressBook::default(), &sighting);
        }
        let edges: Vec<_> = ledger
            .into_edges()
            .iter()
            .map(|(key, edge)| (key.ns.to_string(), key.direction, edge.flows))
            .collect();
        assert_eq!(
            edges,
            [("front".into(), Direction::Ingress, 1), ("shop".to_owned(), Direction::Egress, 2)]
        );
    }

    #[test]
    fn a_pod_that_the_source_did_not_name_is_found_by_its_address_at_that_time() {
        let mut book = AddressBook::default();
        book.seen(ip("10.0.0.7"), "shop", "cart-6c9f7d8b5-x7k2z", at(-4_000));
        book.seen(ip("10.0.0.7"), "shop", "db-0", at(1_000));
        let sighting = sighting(out("10.0.0.7"), out("203.0.113.9"));
        let of = |secs| {
            one(&book, &Sighting { at: at(secs), ..sighting }).map(|(key, _)| key.workload.to_string())
        };
        assert_eq!(of(-4_000).as_deref(), Ok("cart"));
        assert_eq!(of(0), Err(LeftOut::NoPod), "between two owners");
        assert_eq!(of(980).as_deref(), Ok("db"));
    }

    #[test]
    fn ports_of_icmp_and_hostile_words_do_not_split_edges() {
        let mut ledger = Ledger::new(None);
        let hostile = Side { workload: Some(("Deployment", "ca\u{1b}rt")), ..CART };
        for (port, source_port) in [(8, 1), (0, 2), (8, 3)] {
            let icmp = Sighting {
                protocol: Protocol::Icmp,
                port,
                source_port,
                ..sighting(hostile, out("203.0.113.9"))
            };
            ledger.sight(&Answers::new(), &AddressBook::default(), &icmp);
        }
        let edges = ledger.into_edges();
        assert_eq!((edges.len(), edges[0].0.port, edges[0].1.flows), (1, 0, 3));
        assert_eq!(edges[0].0.workload.name.as_str(), "ca\u{fffd}rt");
    }

    #[test]
    fn names_of_the_source_stand_in_where_no_answer_was_seen() {
        let mut answers = Answers::new();
        let client = Client::Pod { ns: "shop", pod: "cart-6c9f7d8b5-x7k2z" };
        let (query, addresses) = ("api.example", [ip("203.0.113.1")]);
        answers.learn(
            &Answer { at: at(-9), client, query, cnames: &[], addresses: &addresses, ttl_secs: 30 },
            &AddressBook::default(),
        );
        for (raw, names, name, edge_grade, also) in [
            ("203.0.113.1", [Some("cdn.example"), None], Some("api.example"), (1, 0), ""),
            ("203.0.113.2", [Some("cdn.example."), None], Some("cdn.example"), (1, 0), ""),
            ("203.0.113.2", [Some("b.example"), Some("a.example")], Some("a.example"), (0, 1), "b.example"),
            ("203.0.113.2", [Some("not a name"), None], None, (0, 0), ""),
        ] {
            let mut all = [None; Sighting::NAMES];
            all[..2].copy_from_slice(&names);
            let mut ledger = Ledger::new(None);
            let sighting = Sighting { names: all, ..sighting(CART, out(raw)) };
            ledger.sight(&answers, &AddressBook::default(), &sighting);
            let (key, edge) = ledger.into_edges().remove(0);
            assert_eq!(key.name.as_ref().map(DnsName::as_str), name, "{names:?}");
            assert_eq!((edge.fresh, edge.ambiguous), edge_grade, "{names:?}");
            let beside: Vec<_> = edge.also.iter().map(DnsName::as_str).collect();
            assert_eq!(beside.join(" "), also);
        }
    }

    #[test]
    fn hours_of_a_long_record_are_marked_and_a_clock_gone_wrong_marks_a_week_at_most() {
        let book = AddressBook::default();
        let long = Sighting { until: at(3 * 3_600), ..sighting(CART, out("203.0.113.9")) };
        // An interval ends before the hour that its end names.
        assert_eq!(one(&book, &long).expect("an edge").1.hours.len(), 3);
        let longer = Sighting { until: at(3 * 3_600 + 1), ..long };
        assert_eq!(one(&book, &longer).expect("an edge").1.hours.len(), 4);
        let wrong = Sighting { until: Timestamp::MAX_UTC, ..long };
        assert_eq!(one(&book, &wrong).expect("an edge").1.hours.len(), 168);
        let turned = Sighting { until: Timestamp::MIN_UTC, ..long };
        assert_eq!(one(&book, &turned).expect("an edge").1.last, at(0));
    }

    #[test]
    fn a_full_ledger_counts_what_it_leaves_out() {
        let (answers, book) = (Answers::new(), AddressBook::default());
        let mut ledger = Ledger::with_limit(None, 2);
        for n in [1, 2, 3, 1, 3] {
            ledger.sight(&answers, &book, &Sighting { port: n, ..sighting(CART, out("203.0.113.9")) });
        }
        assert_eq!(ledger.left_out().collect::<Vec<_>>(), [(LeftOut::Full, 2)]);
        assert_eq!(
            ledger.drain().iter().map(|(key, edge)| (key.port, edge.flows)).collect::<Vec<_>>(),
            [(1, 2), (2, 1)]
        );
        assert!(ledger.is_empty());
    }
}
