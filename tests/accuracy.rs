//! Every edge right, none extra: generated weeks with every hard case, read as `sluice discover` reads
//! files, and held against what the generator knows. Each format is held to
//! what it has words for; what it cannot say stands at its test.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use chrono::DateTime;
use sluice::{
    domain::{
        edge::{DnsName, Edge, EdgeKey, Peer, Window},
        names::{NodeName, Workload},
    },
    flows::{
        offline::{self, Found, Input, Job},
        records::Format,
    },
    sim::week::{
        cases::{self, Case, Settings, Size},
        files::{self, Form, Paths, Written},
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
    let read = read(form, &written);
    if matches!(form, Form::Hubble | Form::HubbleAndDnstap) {
        check_coverage(&written, &read);
    }
    let found: BTreeMap<String, Row> =
        read.ledger.into_edges().iter().map(|(key, edge)| row(form, key, edge)).collect();
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

/// The product's way.
fn read(form: Form, written: &Written) -> Found {
    let (flows, dns) = match form {
        Form::Hubble => (Format::HubbleJson, Format::HubbleJson),
        Form::HubbleAndDnstap => (Format::HubbleJson, Format::Dnstap),
        Form::Calico => (Format::CalicoJson, Format::CalicoJson),
        Form::AntreaAndDnstap => (Format::AntreaCsv, Format::Dnstap),
        Form::AntreaLogAndDnstap => (Format::AntreaLog, Format::Dnstap),
    };
    let answers = if form == Form::Hubble { &written.flows } else { &written.dns };
    let job = Job {
        flows: inputs(&written.flows, flows),
        dns: inputs(answers, dns),
        window: Some(window()),
        now: window().to,
        threads: 2,
    };
    let found = offline::run(&job, &mut |_| {});
    // The control plane's node had no pods to tell of.
    let lost: Vec<_> = found.complaints.iter().filter(|complaint| complaint.is_loss()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    found
}

fn inputs(paths: &Paths, format: Format) -> Vec<Input> {
    let node = |node: &String| NodeName::parse(node).expect("a node's name");
    let input = |(path, of): &(PathBuf, Option<String>)| Input {
        format: Some(format),
        path: path.clone(),
        node: of.as_ref().map(node),
        logged: None,
    };
    paths.iter().map(input).collect()
}

fn window() -> Window {
    let at = DateTime::from_timestamp_nanos;
    Window { from: at(START), to: at(START + DAYS * 86_400_000_000_000) }
}

/// Credited are the hours in which a node wrote something and said nothing of losses.
fn check_coverage(written: &Written, found: &Found) {
    let coverage = found.credit.coverage(window());
    for (index, node) in written.inventory.nodes.iter().enumerate() {
        let mut known = written.truth.heard(index);
        for hole in written.truth.holes.iter().filter(|hole| hole.node == node.name) {
            known.remove(&hole.from.div_euclid(3_600_000_000_000));
        }
        let name = NodeName::parse(&node.name).expect("a node's name");
        let credited: Option<BTreeSet<i64>> =
            coverage.credited.get(&Some(name)).map(|hours| hours.iter().collect());
        assert_eq!(credited.unwrap_or_default(), known, "{}", node.name);
    }
    let lost: u64 = coverage.gaps.iter().filter_map(|gap| gap.lost).sum();
    assert_eq!(lost, written.truth.holes.iter().filter_map(|hole| hole.lost).sum::<u64>());
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
