//! A second opinion on addresses, answers and edges: the same questions answered by walking over all
//! that was ever told, compared on generated cases, in every order and split over several tables.

use std::{collections::BTreeMap, net::IpAddr};

use proptest::{prelude::*, sample::select};

use super::{
    addresses::{AddressBook, Owner},
    answers::{Answers, Named},
    edge::{DnsName, Edge, EdgeKey, Grade, Peer, Window, hour_of},
    flow::{Direction, Entity, Protocol},
    ledger::Ledger,
    names::{NsName, Workload},
    sighting::{Answer, Client, Outcome, Side, Sighting},
    time::Timestamp,
};

const MONDAY: i64 = 1_772_409_600_000;
const MINUTE: i64 = 60_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(MONDAY + millis).expect("in range")
}

fn ip(raw: &str) -> IpAddr {
    raw.parse().expect("an address")
}

// Addresses.

#[derive(Clone, Debug)]
struct Sign {
    pod: &'static str,
    at: i64,
}

const POD_IP: &str = "10.0.0.7";
const PODS: [&str; 3] = ["cart-6c9f7d8b5-x7k2z", "db-0", "kube-proxy-x7k2z"];

/// Pods that have the address one after the other, each with some signs. One that comes back was away
/// for more than five minutes.
fn hands() -> impl Strategy<Value = Vec<Sign>> {
    let tenure = (select(&PODS[..]), 1..20 * MINUTE, prop::collection::vec(0..60 * MINUTE, 1..4), 0..2_u8);
    prop::collection::vec(tenure, 1..5).prop_map(|tenures| {
        let (mut signs, mut now) = (Vec::new(), 0);
        for (pod, gap, steps, short) in tenures {
            let before = signs.last().map(|sign: &Sign| sign.pod);
            let returns = before != Some(pod) && signs.iter().any(|sign| sign.pod == pod);
            now += if short == 1 && !returns { gap / 20 + 1 } else { gap };
            now += if returns { 5 * MINUTE + 1 } else { 0 };
            for step in steps {
                signs.push(Sign { pod, at: now });
                now += step;
            }
            now = signs.last().map_or(now, |sign| sign.at);
        }
        signs
    })
}

fn naive_owner(signs: &[Sign], at: i64) -> Option<&'static str> {
    if let Some(now) = signs.iter().find(|sign| sign.at == at) {
        return Some(now.pod);
    }
    let before = signs.iter().filter(|sign| sign.at < at).max_by_key(|sign| sign.at);
    let after = signs.iter().filter(|sign| sign.at > at).min_by_key(|sign| sign.at);
    match (before, after) {
        (Some(before), Some(after)) if before.pod == after.pod => Some(before.pod),
        (_, Some(after)) if after.at - at <= 30_000 => Some(after.pod),
        (Some(before), Some(_)) if at - before.at <= 5_000 => Some(before.pod),
        (Some(_), Some(_)) | (None, None) => None,
        (Some(before), None) => Some(before.pod),
        (None, Some(after)) => signs.iter().all(|sign| sign.pod == after.pod).then_some(after.pod),
    }
}

fn book_of(parts: &[Vec<Sign>]) -> AddressBook {
    let mut whole = AddressBook::default();
    for part in parts {
        let mut book = AddressBook::default();
        part.iter().for_each(|sign| book.seen(ip(POD_IP), "shop", sign.pod, at(sign.at)));
        whole.merge(book);
    }
    whole
}

/// Shuffled and dealt out to some tables.
fn dealt<T: Clone + std::fmt::Debug>(all: Vec<T>) -> impl Strategy<Value = (Vec<T>, Vec<Vec<T>>)> {
    let count = all.len();
    (Just(all.clone()), Just(all).prop_shuffle(), prop::collection::vec(0..3_usize, count)).prop_map(
        |(all, shuffled, places)| {
            let mut parts = vec![Vec::new(), Vec::new(), Vec::new()];
            shuffled.into_iter().zip(places).for_each(|(item, place)| parts[place].push(item));
            (all, parts)
        },
    )
}

proptest! {
    #[test]
    fn an_address_is_whose_signs_say_whatever_the_order(
        (signs, parts) in hands().prop_flat_map(dealt),
        probes in prop::collection::vec(-40 * MINUTE..400 * MINUTE, 8),
        settled in any::<bool>(),
    ) {
        let mut book = book_of(&parts);
        if settled {
            book.settle();
        }
        let edges = [-30_001, -30_000, -1, 0, 1, 5_000, 5_001, 30_000];
        let near = signs.iter().flat_map(|sign| edges.map(|by| sign.at + by));
        for probe in near.chain(probes) {
            let found = match book.owner(ip(POD_IP), at(probe)) {
                Owner::Pod { ns: "shop", pod } => Some(pod),
                Owner::Nobody => None,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(found, naive_owner(&signs, probe), "at {}", probe);
        }
    }
}

// Answers.

#[derive(Clone, Debug)]
struct Told {
    /// `None`: every pod of workload `cart`.
    pod: Option<&'static str>,
    at: i64,
    name: &'static str,
    cname: Option<&'static str>,
    addresses: Vec<&'static str>,
    ttl: u32,
}

const NAMES: [&str; 4] = ["api.payments.example", "cdn.example", "static.example", "www.example"];
const TARGETS: [&str; 3] = ["203.0.113.80", "2001:db8::80", "198.51.100.9"];

fn told() -> impl Strategy<Value = Told> {
    let pod = prop_oneof![4 => select(&PODS[..2]).prop_map(Some), 1 => Just(None)];
    // Some at the same moment, some minutes apart, some hours.
    let when = prop_oneof![
        (0..6_i64).prop_map(|n| n * MINUTE),
        (0..40_i64).prop_map(|n| n * 1_000),
        0..600 * MINUTE
    ];
    let cname = prop_oneof![3 => Just(None), 1 => Just(Some("edge.cdn.example"))];
    let addresses = prop::sample::subsequence(TARGETS.to_vec(), 1..=2);
    (pod, when, select(&NAMES[..]), cname, addresses, select(vec![0_u32, 5, 60, 3_600]))
        .prop_map(|(pod, at, name, cname, addresses, ttl)| Told { pod, at, name, cname, addresses, ttl })
}

fn with_answer<T>(told: &Told, act: impl FnOnce(&Answer<'_>) -> T) -> T {
    let addresses: Vec<IpAddr> = told.addresses.iter().map(|address| ip(address)).collect();
    let client = match told.pod {
        Some(pod) => Client::Pod { ns: "shop", pod },
        None => Client::Workload { ns: "shop", name: "cart" },
    };
    act(&Answer {
        at: at(told.at),
        client,
        query: told.name,
        cnames: told.cname.as_slice(),
        addresses: &addresses,
        ttl_secs: told.ttl,
    })
}

fn answers_of(parts: &[Vec<Told>]) -> Answers {
    let mut whole = Answers::new();
    for part in parts {
        let mut answers = Answers::new();
        part.iter().for_each(|told| with_answer(told, |it| answers.learn(it, &AddressBook::default())));
        whole.merge(answers);
    }
    whole
}

#[derive(Clone, Debug, PartialEq)]
struct Naive {
    name: &'static str,
    also: Vec<&'static str>,
    chain: Vec<&'static str>,
    grade: Grade,
    ttl: u32,
}

/// Every answer is looked at, for every question.
fn naive_named(all: &[Told], pod: &str, address: &str, at: i64) -> Option<Naive> {
    let of = |client: Option<&str>| {
        all.iter()
            .filter(|told| told.pod == client && told.addresses.contains(&address) && told.at <= at + 5_000)
            .collect::<Vec<_>>()
    };
    let mut mine = of(Some(pod));
    if mine.is_empty() && pod == PODS[0] {
        mine = of(None);
    }
    let fresh = |told: &Told| at - told.at <= i64::from(told.ttl) * 1_000 + 300_000;
    // Of one name and one moment: without a chain first, then what is fresh, then the shorter life.
    mine.sort_by_key(|told| (-told.at, told.name, told.cname, !fresh(told), told.ttl));
    let mut latest: Vec<&Told> = Vec::new();
    for told in mine {
        if latest.iter().all(|other| other.name != told.name) {
            latest.push(told);
        }
    }
    let any_fresh = latest.iter().any(|told| fresh(told));
    latest.retain(|told| fresh(told) == any_fresh);
    let first = *latest.first()?;
    let mut also: Vec<_> = latest[1..].iter().map(|told| told.name).collect();
    also.sort_unstable();
    let grade = match (also.len(), any_fresh) {
        (0, true) => Grade::Fresh,
        (0, false) => Grade::Stale,
        (_, _) => Grade::Ambiguous,
    };
    Some(Naive { name: first.name, also, chain: first.cname.into_iter().collect(), grade, ttl: first.ttl })
}

fn same(found: &Named<'_>, naive: Option<&Naive>, exact_ttl: bool) -> bool {
    let Some(naive) = naive else { return *found == Named::NONE };
    let also: Vec<&str> = found.also.iter().flatten().map(|name| name.as_str()).collect();
    let chain: Vec<&str> = found.chain.iter().map(DnsName::as_str).collect();
    found.name.map(DnsName::as_str) == Some(naive.name)
        && also == naive.also
        && chain == naive.chain
        && found.grade == naive.grade
        && found.ttl_secs.is_some_and(|ttl| if exact_ttl { ttl == naive.ttl } else { ttl <= naive.ttl })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn names_are_as_all_answers_together_say(
        (all, parts) in prop::collection::vec(told(), 1..30).prop_flat_map(dealt),
        probes in prop::collection::vec(-10 * MINUTE..700 * MINUTE, 4),
        settled in any::<bool>(),
    ) {
        let mut answers = answers_of(&parts);
        if settled {
            answers.settle();
        }
        let turns = |told: &Told| {
            let fresh = i64::from(told.ttl) * 1_000 + 300_000;
            [-5_001, -5_000, 0, 2_000, fresh, fresh + 1].map(|by| told.at + by)
        };
        for when in all.iter().flat_map(turns).chain(probes) {
            for pod in PODS {
                for address in TARGETS {
                    let workload = if pod == PODS[0] { "cart" } else { "other" };
                    let found = answers.named("shop", pod, workload, ip(address), at(when));
                    let naive = naive_named(&all, pod, address, when);
                    prop_assert!(same(&found, naive.as_ref(), !settled), "{found:?}\n{naive:?} at {when} {pod} {address}");
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_crowded_log_that_is_joined_while_it_learns_says_the_same(seed in any::<u64>()) {
        // Two names that a pod asks for by turns, for five hours, in order of time.
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut all, mut now) = (Vec::new(), 0);
        for _ in 0..1_500 {
            now += rng.i64(0..12_000);
            let name = NAMES[usize::from(rng.u8(0..10) == 0)];
            all.push(Told {
                pod: Some(PODS[0]), at: now, name, cname: None, addresses: vec![TARGETS[0]], ttl: rng.u32(0..30),
            });
        }
        let answers = answers_of(std::slice::from_ref(&all));
        prop_assert!(answers.counts().kept < 1_100, "{} kept", answers.counts().kept);
        for _ in 0..50 {
            let when = rng.i64(0..now + 700_000);
            let found = answers.named("shop", PODS[0], "cart", ip(TARGETS[0]), at(when));
            let naive = naive_named(&all, PODS[0], TARGETS[0], when);
            prop_assert!(same(&found, naive.as_ref(), false), "{found:?}\n{naive:?} at {when}");
        }
    }
}

// Edges.

#[derive(Clone, Debug)]
struct Record {
    at: i64,
    lasts: i64,
    pod: &'static str,
    /// What the other end is: a place in `OTHERS`.
    other: usize,
    direction: Option<Direction>,
    outcome: Outcome,
    reply: Option<bool>,
    port: u16,
    flows: u64,
    source_names: Vec<&'static str>,
}

fn window() -> Window {
    Window { from: at(0), to: at(480 * MINUTE) }
}

fn others() -> Vec<(Side<'static>, Peer)> {
    let address = |raw: &str| Side { address: Some(ip(raw)), ..Side::default() };
    let mut out: Vec<_> = TARGETS.iter().map(|raw| (address(raw), Peer::Address(ip(raw)))).collect();
    let world = Side { entity: Some(Entity::World), ..address(TARGETS[0]) };
    out.push((world, Peer::Address(ip(TARGETS[0]))));
    let host = Side { entity: Some(Entity::Host), ..address("192.0.2.1") };
    out.push((host, Peer::Entity(Entity::Host)));
    let web = Workload::new("Deployment", "web");
    let pod = Side {
        ns: Some("front"),
        pod: Some("web-6c9f7d8b5-4zxcv"),
        workload: Some(("Deployment", "web")),
        ..address("10.0.3.3")
    };
    out.push((pod, Peer::Pods { ns: NsName::parse("front").expect("a name"), workload: web }));
    let class = Side { class: Some("pub"), ..Side::default() };
    out.push((class, Peer::Unsaid("pub".into())));
    out
}

fn record() -> impl Strategy<Value = Record> {
    let direction =
        prop_oneof![6 => Just(Some(Direction::Egress)), 3 => Just(Some(Direction::Ingress)), 1 => Just(None)];
    let reply = prop_oneof![6 => Just(Some(false)), 1 => Just(Some(true)), 1 => Just(None)];
    let source_names =
        prop_oneof![3 => Just(vec![]), 1 => prop::sample::subsequence(vec!["a.example", "b.example"], 1..=2)];
    (
        (-10 * MINUTE..490 * MINUTE, 0..90 * MINUTE, select(&PODS[..2]), 0..others().len()),
        (direction, select(&Outcome::ALL[..]), reply),
        (select(vec![443_u16, 53]), 1..4_u64, source_names),
    )
        .prop_map(
            |((at, lasts, pod, other), (direction, outcome, reply), (port, flows, source_names))| Record {
                at,
                lasts,
                pod,
                other,
                direction,
                outcome,
                reply,
                port,
                flows,
                source_names,
            },
        )
}

fn sighting<'a>(record: &'a Record, other: &Side<'a>) -> Sighting<'a> {
    let own = Side { ns: Some("shop"), pod: Some(record.pod), ..Side::default() };
    let ingress = record.direction == Some(Direction::Ingress);
    let mut names = [None; Sighting::NAMES];
    names.iter_mut().zip(&record.source_names).for_each(|(slot, name)| *slot = Some(*name));
    Sighting {
        at: at(record.at),
        until: at(record.at + record.lasts),
        node: None,
        direction: record.direction,
        outcome: record.outcome,
        protocol: Protocol::Tcp,
        source: if ingress { *other } else { own },
        destination: if ingress { own } else { *other },
        source_port: 40_000,
        port: record.port,
        reply: record.reply,
        flows: record.flows,
        names,
    }
}

/// The key and the one-record edge that a record stands for, or nothing.
fn naive_edge(record: &Record, all: &[Told]) -> Option<(EdgeKey, Edge)> {
    let inside = (0..480 * MINUTE).contains(&record.at);
    let counts =
        record.reply == Some(false) || (record.reply.is_none() && record.outcome != Outcome::Allowed);
    let direction = record.direction.filter(|_| inside && counts)?;
    let peer = others()[record.other].1.clone();
    let named = match (&peer, direction) {
        (Peer::Address(address), Direction::Egress) => {
            let target = TARGETS.into_iter().find(|raw| ip(raw) == *address).expect("a target");
            let own = naive_named(all, record.pod, target, record.at);
            own.or_else(|| {
                let (first, rest) = record.source_names.split_first()?;
                let grade = if rest.is_empty() { Grade::Fresh } else { Grade::Ambiguous };
                Some(Naive { name: first, also: rest.to_vec(), chain: vec![], grade, ttl: u32::MAX })
            })
        }
        _ => None,
    };
    let until = (record.at + record.lasts).min(480 * MINUTE);
    let last = if until == 480 * MINUTE { at(until) - chrono::TimeDelta::nanoseconds(1) } else { at(until) };
    let flows_if = |grade| if named.as_ref().is_some_and(|it| it.grade == grade) { record.flows } else { 0 };
    let parse = |names: &[&str]| names.iter().filter_map(|name| DnsName::parse(name)).collect::<Vec<_>>();
    let edge = Edge {
        flows: record.flows,
        first: at(record.at),
        last,
        hours: (hour_of(at(record.at))..=hour_of(last)).collect(),
        fresh: flows_if(Grade::Fresh),
        stale: flows_if(Grade::Stale),
        ambiguous: flows_if(Grade::Ambiguous),
        also: named.as_ref().map(|it| parse(&it.also)).unwrap_or_default(),
        chain: named.as_ref().map(|it| parse(&it.chain)).unwrap_or_default(),
        ttl_secs: named.as_ref().map(|it| it.ttl).filter(|ttl| *ttl != u32::MAX),
    };
    let workload = if record.pod == PODS[0] { "cart" } else { "db" };
    let key = EdgeKey {
        ns: NsName::parse("shop").expect("a name"),
        workload: Workload::new("", workload),
        direction,
        peer,
        name: named.and_then(|it| DnsName::parse(it.name)),
        protocol: Protocol::Tcp,
        port: record.port,
        outcome: record.outcome,
    };
    Some((key, edge))
}

proptest! {
    #[test]
    fn edges_are_as_a_walk_over_everything_says(
        all in prop::collection::vec(told(), 0..20),
        (records, parts) in prop::collection::vec(record(), 1..40).prop_flat_map(dealt),
    ) {
        let mut naive: BTreeMap<EdgeKey, Edge> = BTreeMap::new();
        let mut counted = 0;
        for (key, edge) in records.iter().filter_map(|record| naive_edge(record, &all)) {
            counted += 1;
            naive.entry(key).and_modify(|held| held.merge(&edge)).or_insert(edge);
        }
        let (answers, book) = (answers_of(std::slice::from_ref(&all)), AddressBook::default());
        let others = others();
        let mut whole = Ledger::new(Some(window()));
        for part in &parts {
            let mut ledger = Ledger::new(Some(window()));
            for record in part {
                ledger.sight(&answers, &book, &sighting(record, &others[record.other].0));
            }
            whole.merge(ledger);
        }
        let left_out: u64 = whole.left_out().map(|(_, count)| count).sum();
        prop_assert_eq!(left_out + counted, records.len() as u64);
        prop_assert_eq!(whole.into_edges(), naive.into_iter().collect::<Vec<_>>());
    }
}

/// By name, as what comes at one moment is; the second of the repeats must not forget it.
#[test]
fn repeats_at_the_moment_of_another_name_do_not_win_over_it() {
    let told =
        |at, name, ttl| Told { pod: Some(PODS[0]), at, name, cname: None, addresses: vec![TARGETS[1]], ttl };
    let mut answers = answers_of(&[vec![
        told(60_000, "api.payments.example", 0),
        told(60_000, "cdn.example", 60),
        told(60_000, "cdn.example", 5),
        told(120_000, "cdn.example", 60),
    ]]);
    answers.settle();
    let found = answers.named("shop", PODS[0], "cart", ip(TARGETS[1]), at(60_000));
    assert_eq!(found.name.map(DnsName::as_str), Some("api.payments.example"));
}
