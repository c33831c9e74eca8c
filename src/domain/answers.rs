//! DNS answers by the pod that got them: which name an address had for that pod at a moment, and how
//! sure that is. Keyed by pod, so an IPv6 flow meets an answer asked over IPv4, and no pod is given
//! another's answers. Whose an address was comes from the address book; nothing here reads a clock.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap, IndexSet};

use super::{
    addresses::{AddressBook, Owner},
    edge::{DnsName, Edge, Grade},
    interned::{Pairs, millis},
    runs::{Heard, Log, Run},
    sighting::{Answer, Client},
    time::Timestamp,
};

/// What an address was called by one pod. Borrows from [`Answers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Of the latest answer that is fresh, or where none is, of the latest.
    pub name: Option<&'a DnsName>,
    /// The other names of an ambiguous one, sorted, from the front.
    pub also: [Option<&'a DnsName>; Edge::NAMES],
    /// Owner names on the CNAME chain of that answer, in order.
    pub chain: &'a [DnsName],
    pub grade: Grade,
    /// Lifetime of that answer; the lowest where many repeats were joined.
    pub ttl_secs: Option<u32>,
}

impl Named<'_> {
    /// No answer: the address is all there is.
    pub const NONE: Self =
        Self { name: None, also: [None; Edge::NAMES], chain: &[], grade: Grade::None, ttl_secs: None };
}

/// What was learned and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers told.
    pub answers: u64,
    /// Of which the client was a node: NodeLocal DNSCache, or pods on the host's network.
    pub from_nodes: u64,
    /// Of which the client's address was nobody's then.
    pub from_nobody: u64,
    /// Of which the name asked cannot be a host's, or the time is beyond the calendar.
    pub unusable: u64,
    /// Of which nothing more was kept because a limit was reached.
    pub over_limit: u64,
    /// Entries kept now: one for each run of answers of one name with one address to one client.
    pub kept: u64,
}

/// All answers of a window, by the pod that asked.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    told: Table<Told>,
    addresses: Table<IpAddr>,
    pods: Logs,
    workloads: Logs,
    /// By the client's address, until the book is complete.
    waiting: IndexMap<IpAddr, Log, RandomState>,
    counts: Counts,
}

/// Logs by (namespace, name).
#[derive(Clone, Debug, Default)]
struct Logs {
    clients: Pairs,
    logs: Vec<Log>,
}

/// A name and the CNAME chain after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    name: DnsName,
    chain: Box<[DnsName]>,
}

type Table<T> = IndexSet<T, RandomState>;

struct ToldRef<'a> {
    name: &'a str,
    chain: &'a [&'a str],
}

impl Answers {
    /// Most entries kept: about 400 MB.
    pub const LIMIT: u64 = 16_000_000;
    /// Most names (with their chains) kept.
    pub const NAMES: usize = 2_000_000;

    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps an answer for the pod that asked. An answer to an address goes to the pod that has it
    /// by the book as it is now.
    pub fn learn(&mut self, answer: &Answer<'_>, book: &AddressBook) {
        self.counts.answers += 1;
        let Some(told) = self.told_of(answer) else { return };
        let log = match answer.client {
            Client::Pod { ns, pod } => self.pods.log(ns, pod),
            Client::Workload { ns, name } => self.workloads.log(ns, name),
            Client::Address(client) => {
                match given(&mut self.counts, book.owner_at(client, millis(answer.at))) {
                    Some((ns, pod)) => self.pods.log(ns, pod),
                    None => return,
                }
            }
        };
        let names = &self.told;
        let kept = |log: &mut Log, run| log.push(run, |a, b| compare(names, a, b));
        note(log, (answer, told), &mut self.addresses, &mut self.counts, kept);
    }

    /// Keeps an answer; one to an address waits for [`Answers::assign`]. For files, where the book
    /// is complete only after all of them were read.
    pub fn hold(&mut self, answer: &Answer<'_>) {
        let Client::Address(client) = answer.client else {
            return self.learn(answer, &AddressBook::default());
        };
        self.counts.answers += 1;
        let Some(told) = self.told_of(answer) else { return };
        let log = self.waiting.entry(client).or_default();
        note(log, (answer, told), &mut self.addresses, &mut self.counts, Log::keep);
    }

    /// Gives the answers that wait to the pods that had the addresses then.
    pub fn assign(&mut self, book: &AddressBook) {
        for (client, log) in std::mem::take(&mut self.waiting) {
            for run in log.into_runs() {
                let owner = book.owner_at(client, run.at());
                if let Some((ns, pod)) = given(&mut self.counts, owner) {
                    self.pods.log(ns, pod).push(run, |a, b| compare(&self.told, a, b));
                }
            }
        }
        self.recount();
    }

    /// What this pod called the address when it went there. Answers to all pods of its workload
    /// count where there is none to the pod itself.
    pub fn named(&self, ns: &str, pod: &str, workload: &str, address: IpAddr, at: Timestamp) -> Named<'_> {
        let Some(address) = self.addresses.get_index_of(&address) else { return Named::NONE };
        let (address, at) = (address as u32, millis(at));
        let heard = |log: Option<&Log>| {
            log.map_or(Named::NONE, |log| self.decide(&self.candidates(log.heard(address, at))))
        };
        let named = heard(self.pods.find(ns, pod));
        if named.name.is_none() && !self.workloads.logs.is_empty() {
            return heard(self.workloads.find(ns, workload));
        }
        named
    }

    /// Takes in what another thread learned. Exact before [`Answers::settle`]; after it, where repeats
    /// were joined and another name comes between them, which of the two is the latest is not known
    /// any more (both are shown, as ambiguous).
    pub fn merge(&mut self, other: Self) {
        let told: Vec<u32> =
            other.told.into_iter().map(|told| self.told.insert_full(told).0 as u32).collect();
        let addresses: Vec<u32> =
            other.addresses.into_iter().map(|address| self.addresses.insert_full(address).0 as u32).collect();
        let moved = |run: Run| run.renumbered(&addresses, &told);
        let names = &self.told;
        self.pods.merge(other.pods, moved, names);
        self.workloads.merge(other.workloads, moved, names);
        for (client, log) in other.waiting {
            let into = self.waiting.entry(client).or_default();
            log.into_runs().into_iter().for_each(|run| into.keep(moved(run)));
        }
        let (ours, theirs) = (&mut self.counts, &other.counts);
        ours.answers += theirs.answers;
        ours.from_nodes += theirs.from_nodes;
        ours.from_nobody += theirs.from_nobody;
        ours.unusable += theirs.unusable;
        ours.over_limit += theirs.over_limit;
        self.recount();
    }

    /// Sorts, joins repeats and gives memory back.
    pub fn settle(&mut self) {
        for log in self.pods.logs.iter_mut().chain(&mut self.workloads.logs) {
            log.settle(|a, b| compare(&self.told, a, b));
        }
        self.recount();
    }

    /// Forgets answers sent before, joins repeats older than a quarter of an hour, and drops names,
    /// addresses and pods that nothing speaks of any more.
    pub fn forget_before(&mut self, at: Timestamp) {
        for log in self.pods.logs.iter_mut().chain(&mut self.workloads.logs).chain(self.waiting.values_mut())
        {
            log.forget_before(millis(at), |a, b| compare(&self.told, a, b));
        }
        self.waiting.retain(|_, log| log.len() > 0);
        *self = std::mem::take(self).gathered();
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Without what no log needs.
    fn gathered(mut self) -> Self {
        self.pods = self.pods.gathered();
        self.workloads = self.workloads.gathered();
        let (mut told, mut addresses) = (vec![false; self.told.len()], vec![false; self.addresses.len()]);
        let logs = self.pods.logs.iter().chain(&self.workloads.logs).chain(self.waiting.values());
        for run in logs.flat_map(Log::runs) {
            told[run.told as usize] = true;
            addresses[run.address as usize] = true;
        }
        let (told, addresses) = (thin(&mut self.told, &told), thin(&mut self.addresses, &addresses));
        let moved = |run: Run| run.renumbered(&addresses, &told);
        let names = &self.told;
        for log in self.pods.logs.iter_mut().chain(&mut self.workloads.logs).chain(self.waiting.values_mut())
        {
            log.renumber(moved, |a, b| compare(names, a, b));
        }
        self.recount();
        self
    }

    /// The number of a name with its chain; counts what has none.
    fn told_of(&mut self, answer: &Answer<'_>) -> Option<u32> {
        let chain = &answer.cnames[..answer.cnames.len().min(Edge::NAMES)];
        if let Some(told) = self.told.get_index_of(&ToldRef { name: answer.query, chain }) {
            return Some(told as u32);
        }
        let Some(name) = DnsName::parse(answer.query) else {
            self.counts.unusable += 1;
            return None;
        };
        let told = Told { name, chain: chain.iter().filter_map(|name| DnsName::parse(name)).collect() };
        if self.told.len() >= Self::NAMES && !self.told.contains(&told) {
            self.counts.over_limit += 1;
            return None;
        }
        Some(self.told.insert_full(told).0 as u32)
    }

    fn recount(&mut self) {
        let logs = self.pods.logs.iter().chain(&self.workloads.logs).chain(self.waiting.values());
        self.counts.kept = logs.map(|log| log.len() as u64).sum();
    }

    /// The latest answer of each name.
    fn candidates(&self, heard: impl Iterator<Item = Heard>) -> Candidates {
        let mut out = Candidates { list: [Heard::default(); CANDIDATES], len: 0 };
        for heard in heard {
            let list = &mut out.list[..out.len];
            let same = |other: &&mut Heard| {
                other.told == heard.told || self.name(other.told) == self.name(heard.told)
            };
            let rival = match list.iter_mut().find(same) {
                None if out.len < CANDIDATES => {
                    out.list[out.len] = heard;
                    out.len += 1;
                    continue;
                }
                None => list.iter_mut().max_by(|a, b| self.rank(a, b)),
                rival => rival,
            };
            if let Some(rival) = rival.filter(|rival| self.rank(&heard, rival).is_lt()) {
                *rival = heard;
            }
        }
        out
    }

    fn decide(&self, found: &Candidates) -> Named<'_> {
        let all = &found.list[..found.len];
        let any_fresh = all.iter().any(|heard| heard.fresh);
        let counted = || all.iter().filter(|heard| heard.fresh == any_fresh);
        let Some(latest) = counted().min_by(|a, b| self.rank(a, b)) else { return Named::NONE };
        let mut also = [None; Edge::NAMES];
        for other in counted().filter(|other| other.told != latest.told) {
            insert_sorted(&mut also, self.name(other.told));
        }
        let grade = match (also[0], any_fresh) {
            (Some(_), _) => Grade::Ambiguous,
            (None, true) => Grade::Fresh,
            (None, false) => Grade::Stale,
        };
        let told = &self.told[latest.told as usize];
        Named { name: Some(&told.name), also, chain: &told.chain, grade, ttl_secs: Some(latest.ttl_low_secs) }
    }

    fn name(&self, told: u32) -> &DnsName {
        &self.told[told as usize].name
    }

    /// The latest first; what came at the same moment by name, so that no order of learning shows.
    fn rank(&self, a: &Heard, b: &Heard) -> Ordering {
        b.at.cmp(&a.at)
            .then_with(|| compare(&self.told, a.told, b.told))
            .then_with(|| (b.fresh, a.ttl_low_secs).cmp(&(a.fresh, b.ttl_low_secs)))
    }
}

/// Names of one address that are weighed against each other; of more, the latest ones.
const CANDIDATES: usize = 16;

struct Candidates {
    list: [Heard; CANDIDATES],
    len: usize,
}

/// Whose answer it is by the book; counts what is nobody's.
fn given<'a>(counts: &mut Counts, owner: Owner<'a>) -> Option<(&'a str, &'a str)> {
    match owner {
        Owner::Pod { ns, pod } => return Some((ns, pod)),
        Owner::Node => counts.from_nodes += 1,
        Owner::Nobody => counts.from_nobody += 1,
    }
    None
}

/// One entry for each address of the answer.
fn note(
    log: &mut Log,
    (answer, told): (&Answer<'_>, u32),
    addresses: &mut Table<IpAddr>,
    counts: &mut Counts,
    keep: impl Fn(&mut Log, Run),
) {
    let before = log.len() as u64;
    for address in answer.addresses {
        if counts.kept + (log.len() as u64).saturating_sub(before) >= Answers::LIMIT {
            counts.over_limit += 1;
            break;
        }
        let address = addresses.insert_full(address.to_canonical()).0 as u32;
        match Run::new(millis(answer.at), address, told, answer.ttl_secs) {
            Some(run) => keep(log, run),
            None => {
                counts.unusable += 1;
                break;
            }
        }
    }
    counts.kept = (counts.kept + log.len() as u64).saturating_sub(before);
}

fn compare(told: &Table<Told>, a: u32, b: u32) -> Ordering {
    if a == b { Ordering::Equal } else { told[a as usize].cmp(&told[b as usize]) }
}

/// Among the sorted first few; the last falls off.
fn insert_sorted<'a>(into: &mut [Option<&'a DnsName>; Edge::NAMES], name: &'a DnsName) {
    let at = into.iter().position(|held| held.is_none_or(|held| name < held));
    if let Some(at) = at {
        into[at..].rotate_right(1);
        into[at] = Some(name);
    }
}

/// Keeps what is marked; the new number of each old one.
fn thin<T: Hash + Eq>(table: &mut Table<T>, keep: &[bool]) -> Vec<u32> {
    let old = std::mem::take(table);
    let renumbered = old
        .into_iter()
        .zip(keep)
        .map(|(entry, keep)| if *keep { table.insert_full(entry).0 as u32 } else { u32::MAX });
    renumbered.collect()
}

impl Logs {
    fn log(&mut self, ns: &str, name: &str) -> &mut Log {
        let id = self.clients.put(ns, name) as usize;
        if id == self.logs.len() {
            self.logs.push(Log::default());
        }
        &mut self.logs[id]
    }

    fn find(&self, ns: &str, name: &str) -> Option<&Log> {
        self.logs.get(self.clients.find(ns, name)? as usize)
    }

    fn merge(&mut self, other: Self, moved: impl Fn(Run) -> Run, told: &Table<Told>) {
        for ((ns, name), log) in other.clients.iter().zip(other.logs) {
            let into = self.log(ns, name);
            for run in log.into_runs() {
                into.push(moved(run), |a, b| compare(told, a, b));
            }
        }
    }

    /// Without clients that have nothing.
    fn gathered(self) -> Self {
        let mut out = Self::default();
        for ((ns, name), log) in self.clients.iter().zip(self.logs).filter(|(_, log)| log.len() > 0) {
            *out.log(ns, name) = log;
        }
        out
    }
}

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.as_str().hash(state);
        self.chain.iter().for_each(|name| name.as_str().hash(state));
    }
}

impl Hash for ToldRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.chain.iter().for_each(|name| name.hash(state));
    }
}

impl Equivalent<Told> for ToldRef<'_> {
    fn equivalent(&self, key: &Told) -> bool {
        self.name == key.name.as_str()
            && self.chain.len() == key.chain.len()
            && self.chain.iter().zip(&key.chain).all(|(a, b)| *a == b.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_409_600 + secs, 0).expect("in range")
    }

    fn ip(raw: &str) -> IpAddr {
        raw.parse().expect("an address")
    }

    fn answer<'a>(secs: i64, client: Client<'a>, query: &'a str, addresses: &'a [IpAddr]) -> Answer<'a> {
        Answer {
            at: at(secs),
            client,
            query,
            cnames: &["edge.cdn.example", "not a name"],
            addresses,
            ttl_secs: 30,
        }
    }

    /// An address that went from `old` to `new`, and a node's.
    fn book() -> AddressBook {
        let mut book = AddressBook::default();
        for (pod, secs) in [("old", 0), ("old", 100), ("new", 1_000), ("new", 2_000)] {
            book.seen(ip("10.0.0.7"), "shop", pod, at(secs));
        }
        book.node(ip("10.9.9.9"));
        book
    }

    fn name<'a>(answers: &'a Answers, pod: &str, raw: &str, secs: i64) -> (&'a str, Grade) {
        let named = answers.named("shop", pod, "cart", ip(raw), at(secs));
        (named.name.map_or("", DnsName::as_str), named.grade)
    }

    #[test]
    fn an_answer_goes_to_the_pod_that_had_the_address_then_now_or_later() {
        let (target, client) = ([ip("203.0.113.1")], Client::Address(ip("10.0.0.7")));
        let told = [(50, "old.example"), (500, "nobody.example"), (975, "new.example")];
        let (mut now, mut later) = (Answers::new(), Answers::new());
        for (secs, query) in told {
            now.learn(&answer(secs, client, query, &target), &book());
            later.hold(&answer(secs, client, query, &target));
        }
        later.assign(&book());
        for answers in [&now, &later] {
            assert_eq!(name(answers, "old", "203.0.113.1", 600), ("old.example", Grade::Stale));
            assert_eq!(name(answers, "new", "203.0.113.1", 1_000), ("new.example", Grade::Fresh));
            let expected = Counts { answers: 3, from_nobody: 1, kept: 2, ..Counts::default() };
            assert_eq!(answers.counts(), expected);
        }
    }

    #[test]
    fn a_flow_over_ipv6_meets_the_answer_asked_over_ipv4() {
        let mut answers = Answers::new();
        let target = [ip("203.0.113.1"), ip("2001:db8::1"), ip("::ffff:203.0.113.2")];
        answers.learn(&answer(0, Client::Address(ip("10.0.0.7")), "api.example", &target), &book());
        for raw in ["203.0.113.1", "2001:db8::1", "203.0.113.2"] {
            assert_eq!(name(&answers, "old", raw, 10), ("api.example", Grade::Fresh), "{raw}");
        }
        let named = answers.named("shop", "old", "cart", target[0], at(10));
        assert_eq!(named.chain.iter().map(DnsName::as_str).collect::<Vec<_>>(), ["edge.cdn.example"]);
        assert_eq!(named.ttl_secs, Some(30));
        assert_eq!(answers.named("bank", "old", "cart", target[0], at(10)), Named::NONE, "another namespace");
    }

    #[test]
    fn what_cannot_be_kept_is_counted() {
        let mut answers = Answers::new();
        let target = [ip("203.0.113.1")];
        let pod = Client::Pod { ns: "shop", pod: "old" };
        answers.learn(&answer(0, Client::Address(ip("10.9.9.9")), "a.example", &target), &book());
        answers.learn(&answer(0, pod, "no name", &target), &book());
        answers.learn(&Answer { at: Timestamp::MAX_UTC, ..answer(0, pod, "a.example", &target) }, &book());
        answers.learn(&Answer { at: Timestamp::MIN_UTC, ..answer(0, pod, "b.example", &target) }, &book());
        let expected = Counts { answers: 4, from_nodes: 1, unusable: 2, kept: 1, ..Counts::default() };
        assert_eq!(answers.counts(), expected);
    }

    #[test]
    fn what_is_forgotten_takes_its_names_with_it() {
        let mut answers = Answers::new();
        let waiting = Client::Address(ip("10.0.0.8"));
        for (n, client) in
            [Client::Pod { ns: "shop", pod: "old" }, Client::Pod { ns: "shop", pod: "new" }, waiting]
                .into_iter()
                .cycle()
                .take(300)
                .enumerate()
        {
            let query = format!("n{n}.example");
            answers.hold(&answer(n as i64, client, &query, &[IpAddr::from([203, 0, 113, n as u8])]));
        }
        answers.forget_before(at(298));
        assert_eq!((answers.counts().kept, answers.told.len(), answers.addresses.len()), (2, 2, 2));
        assert_eq!(name(&answers, "new", "203.0.113.42", 300), ("n298.example", Grade::Fresh));
        assert_eq!(name(&answers, "old", "203.0.113.41", 300), ("", Grade::None));
    }

    #[test]
    fn repeats_cost_one_entry() {
        let mut answers = Answers::new();
        for n in 0..10_000 {
            let client = Client::Pod { ns: "shop", pod: "old" };
            answers
                .learn(&answer(n * 20, client, "api.example", &[ip("203.0.113.1")]), &AddressBook::default());
        }
        assert!(answers.counts().kept < 1_200, "{} while learning", answers.counts().kept);
        answers.settle();
        assert_eq!(answers.counts().kept, 1);
        assert_eq!(name(&answers, "old", "203.0.113.1", 100_007), ("api.example", Grade::Fresh));
    }
}
