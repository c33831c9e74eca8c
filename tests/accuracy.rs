//! Every edge right, none extra: generated weeks with every hard case, read by the product's own
//! decoders, answers and ledger, and held against what the generator knows. Each format is held to
//! what it has words for; what it cannot say stands at its test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use chrono::DateTime;
use sluice::{
    domain::{
        addresses::AddressBook,
        answers::Answers,
        edge::{DnsName, Edge, EdgeKey, Peer, Window},
        ledger::Ledger,
        names::{NodeName, Workload},
        sighting::{Side, Told},
    },
    flows::{
        dnstap::{decode::decode, frames},
        records::{Context, Decoder, Format},
    },
    sim::week::{
        cases::{self, Case, Settings, Size},
        files::{self, Form, Written},
        truth::{self, Seen},
    },
};

/// Monday, 2 March 2026.
const START: i64 = 1_772_409_600 * 1_000_000_000;
const DAYS: i64 = 7;
/// Differences that a failure shows.
const SHOWN: usize = 12;

fn settings(seed: u64, without: &[Case]) -> Settings {
    let cases = Case::ALL.into_iter().filter(|case| !without.contains(case)).collect();
    Settings { seed, start: START, days: DAYS, size: Size::SMALL, cases }
}

/// Writes a week in one form, reads it with the product, and compares.
fn check(form: Form, seed: u64, without: &[Case]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(seed, without);
    let written = files::write(cases::week(&settings), form, folder.path(), seed).expect("it can be written");
    let known: BTreeMap<String, Row> =
        written.truth.edges(&written.inventory).iter().map(|(key, seen)| expected(form, key, seen)).collect();
    let found: BTreeMap<String, Row> =
        read(form, &written).iter().map(|(key, edge)| row(form, key, edge)).collect();
    let wrong = differences(&known, &found);
    assert!(
        wrong.is_empty(),
        "{form:?}, seed {seed}: {} of {} edges differ; the first:\n{}",
        wrong.len(),
        known.len(),
        wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(known.len() > 250, "{form:?}: only {} edges are no week", known.len());
}

fn differences(known: &BTreeMap<String, Row>, found: &BTreeMap<String, Row>) -> Vec<String> {
    let keys: BTreeSet<&String> = known.keys().chain(found.keys()).collect();
    let one = |key: &&String| match (known.get(*key), found.get(*key)) {
        (Some(known), Some(found)) => (known != found)
            .then(|| format!("  {key}\n    should be {}\n    is        {}", known.show(), found.show())),
        (Some(known), None) => Some(format!("  {key}\n    is missing: {}", known.show())),
        (None, Some(found)) => Some(format!("  {key}\n    is extra: {}", found.show())),
        (None, None) => None,
    };
    keys.iter().filter_map(one).collect()
}

/// What is compared of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    flows: u64,
    /// Nanoseconds since 1970.
    first: i64,
    last: i64,
    hours: BTreeSet<i64>,
    /// Flows with a fresh, a stale, an ambiguous name.
    grades: [u64; 3],
    also: BTreeSet<String>,
    chain: BTreeSet<String>,
    ttl: Option<u32>,
}

impl Row {
    fn show(&self) -> String {
        let at = |nanos| DateTime::from_timestamp_nanos(nanos).to_rfc3339();
        let [fresh, stale, ambiguous] = self.grades;
        format!(
            "{} flows ({fresh} fresh, {stale} stale, {ambiguous} ambiguous), {} to {}, {} hours {:?}, also {:?}, chain {:?}, ttl {:?}",
            self.flows,
            at(self.first),
            at(self.last),
            self.hours.len(),
            self.hours.iter().take(4).collect::<Vec<_>>(),
            self.also,
            self.chain,
            self.ttl
        )
    }
}

fn expected(form: Form, key: &truth::Key, seen: &Seen) -> (String, Row) {
    let peer = match &key.peer {
        truth::Peer::Pods { ns, workload } => format!("{ns}/{}/{}", workload.0, workload.1),
        truth::Peer::Entity(entity) => (*entity).to_owned(),
        truth::Peer::Address(address) => address.to_string(),
    };
    let name = key.name.as_deref().unwrap_or("-");
    let shown = format!(
        "{}/{}/{} {} {peer} {name} {}:{} {}",
        key.ns, key.workload.0, key.workload.1, key.direction, key.protocol, key.port, key.outcome
    );
    let row = Row {
        flows: seen.flows,
        first: seen.first,
        last: seen.last,
        hours: seen.hours.clone(),
        grades: [seen.fresh, seen.stale, seen.ambiguous],
        also: seen.also.clone(),
        chain: seen.chain.clone(),
        // Calico gives no lifetime.
        ttl: seen.ttl.filter(|_| form != Form::Calico),
    };
    (shown, row)
}

fn row(form: Form, key: &EdgeKey, edge: &Edge) -> (String, Row) {
    let owner = |it: &Workload| format!("{}/{}", it.kind.as_str(), it.name.as_str());
    let peer = match &key.peer {
        Peer::Pods { ns, workload } => format!("{ns}/{}", owner(workload)),
        Peer::Entity(entity) => entity.as_str().to_owned(),
        Peer::Address(address) => address.to_string(),
        Peer::Unsaid(class) => format!("class {class:?}"),
    };
    let name = key.name.as_ref().map_or("-", DnsName::as_str);
    let shown = format!(
        "{}/{} {} {peer} {name} {}:{} {}",
        key.ns,
        owner(&key.workload),
        key.direction,
        key.protocol,
        key.port,
        key.outcome.as_str()
    );
    let names = |names: &[DnsName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    let nanos = |at: DateTime<chrono::Utc>| at.timestamp_nanos_opt().expect("within the calendar");
    let row = Row {
        flows: edge.flows,
        first: nanos(edge.first),
        last: nanos(edge.last),
        hours: edge.hours.iter().collect(),
        grades: [edge.fresh, edge.stale, edge.ambiguous],
        also: names(&edge.also),
        chain: names(&edge.chain),
        ttl: edge.ttl_secs.filter(|_| form != Form::Calico),
    };
    (shown, row)
}

/// The product's way: whose address was whose and the answers first, then the flows.
fn read(form: Form, written: &Written) -> Vec<(EdgeKey, Edge)> {
    let (mut book, mut answers) = (AddressBook::default(), Answers::new());
    for (path, node) in &written.flows {
        lines(form, path, node.as_deref(), &mut |told| match told {
            Told::Flow(flow) => {
                let ends: [(&Side<'_>, _); 2] = [(&flow.source, flow.at), (&flow.destination, flow.at)];
                for (side, at) in ends {
                    if let (Some(address), Some(ns), Some(pod)) = (side.address, side.ns, side.pod) {
                        book.seen(address, ns, pod, at);
                    }
                }
            }
            Told::Answer(answer) => answers.hold(&answer),
            Told::Lost(_) | Told::Other { .. } => {}
        });
    }
    for (path, node) in &written.dns {
        if form == Form::Calico {
            lines(form, path, node.as_deref(), &mut |told| {
                if let Told::Answer(answer) = told {
                    answers.hold(&answer);
                }
            });
            continue;
        }
        let file = fs::File::open(path).expect("it was written");
        for frame in frames::File::new(file) {
            decode(&frame.expect("a whole frame"), &mut |told| {
                if let Told::Answer(answer) = told {
                    answers.hold(&answer);
                }
            })
            .expect("a good frame");
        }
    }
    book.settle();
    answers.assign(&book);
    answers.settle();
    let at = DateTime::from_timestamp_nanos;
    let window = Window { from: at(START), to: at(START + DAYS * 86_400_000_000_000) };
    let mut ledger = Ledger::new(Some(window));
    for (path, node) in &written.flows {
        lines(form, path, node.as_deref(), &mut |told| {
            if let Told::Flow(flow) = told {
                ledger.sight(&answers, &book, &flow);
            }
        });
    }
    ledger.into_edges()
}

fn lines(form: Form, path: &Path, node: Option<&str>, tell: &mut impl FnMut(Told<'_>)) {
    let format = match form {
        Form::Hubble | Form::HubbleAndDnstap => Format::HubbleJson,
        Form::Calico => Format::CalicoJson,
        Form::AntreaAndDnstap => Format::AntreaCsv,
        Form::AntreaLogAndDnstap => Format::AntreaLog,
    };
    let node = node.map(|node| NodeName::parse(node).expect("a node's name"));
    let mut decoder = Decoder::new(format, Context { node, ..Context::default() });
    for line in fs::read(path).expect("it was written").split(|byte| *byte == b'\n') {
        let said = decoder.line(line, tell);
        assert!(said.is_ok(), "{}: {said:?}\n{}", path.display(), String::from_utf8_lossy(line));
    }
}

#[test]
fn hubble_alone() {
    (1..=3).for_each(|seed| check(Form::Hubble, seed, &[]));
}

#[test]
fn hubble_with_the_resolvers_dnstap() {
    (1..=3).for_each(|seed| check(Form::HubbleAndDnstap, seed, &[]));
}

/// Records of five minutes do not say what came first within them: two names for one address have no
/// latest, and an answer reported late may stand in the next interval.
#[test]
fn calico_with_its_own_answers() {
    (1..=3).for_each(|seed| check(Form::Calico, seed, &[Case::AmbiguousAddress, Case::LateAnswer]));
}

/// Flow records have no ICMP, no kinds of workloads, and no losses; whole seconds.
#[test]
fn antrea_with_the_resolvers_dnstap() {
    (1..=3).for_each(|seed| check(Form::AntreaAndDnstap, seed, &[]));
}

/// A line names the enforcing pod only; SCTP has no port there.
#[test]
fn antrea_audit_logs_with_the_resolvers_dnstap() {
    check(Form::AntreaLogAndDnstap, 1, &[]);
}
