//! The generated week is the same for the same settings, has every hard case in it, and grows.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{
    cases::{self, Case, Settings, Size},
    dnstap::Dnstap,
    event::What,
    history,
    hubble::Hubble,
    truth::{Key, Seen},
};
use crate::sim::fleet::{generate, scenario::Scenario};

/// Monday, 2 March 2026.
const START: i64 = 1_772_409_600 * 1_000_000_000;

fn settings(seed: u64, cases: &[Case]) -> Settings {
    Settings { seed, start: START, days: 7, size: Size::SMALL, cases: cases.iter().copied().collect() }
}

struct Written {
    hubble: Vec<Vec<u8>>,
    dnstap: Vec<Vec<u8>>,
    edges: std::collections::BTreeMap<Key, Seen>,
}

fn write(settings: &Settings) -> Written {
    let mut week = cases::week(settings);
    let mut hubble = Hubble::new(&week.inventory, week.window.clone(), settings.seed, true);
    let mut dnstap = Dnstap::new(&week.inventory);
    let mut events = Vec::new();
    while week.next_hour(&mut events) {
        for event in events.drain(..) {
            hubble.write(&week.inventory, &event);
            dnstap.write(&week.inventory, &event);
        }
    }
    dnstap.finish();
    let edges = hubble.truth.edges(&week.inventory);
    Written { hubble: hubble.lines, dnstap: dnstap.streams, edges }
}

fn digest(written: &Written) -> String {
    let mut hash = Sha256::new();
    written.hubble.iter().chain(&written.dnstap).for_each(|bytes| hash.update(bytes));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let all = |seed| digest(&write(&settings(seed, &Case::ALL)));
    assert_eq!(all(1), all(1));
    assert_ne!(all(1), all(2));
}

#[test]
fn every_line_is_json_with_the_documented_members() {
    let written = write(&settings(3, &Case::ALL));
    let (mut flows, mut answers, mut lost) = (0, 0, 0);
    for line in written.hubble.iter().flat_map(|bytes| bytes.split(|b| *b == b'\n')).filter(|l| !l.is_empty())
    {
        let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        assert!(value["time"].is_string() && value["node_name"].is_string(), "{value}");
        if value["lost_events"].is_object() {
            lost += 1;
            continue;
        }
        let flow = &value["flow"];
        assert!(flow["IP"]["source"].is_string() && flow["source"].is_object(), "{value}");
        flows += 1;
        answers += u32::from(flow["l7"]["dns"]["ips"].is_array());
    }
    assert!(flows > 4_000 && answers > 500 && lost > 3, "{flows} flows, {answers} answers, {lost} losses");
}

#[test]
fn each_case_leaves_its_mark_in_the_truth() {
    let written = write(&settings(1, &Case::ALL));
    let of = |workload: &str| -> Vec<(&Key, &Seen)> {
        written.edges.iter().filter(|(key, _)| key.workload.1 == workload && key.port != 53).collect()
    };
    let count = |workload: &str, check: fn(&Key, &Seen) -> bool| {
        of(workload).into_iter().filter(|(key, seen)| check(key, seen)).count()
    };
    assert_eq!(count("search-list", |key, seen| key.name.is_some() && seen.fresh == seen.flows), 2);
    assert!(count("chain", |_, seen| seen.chain.contains("b3f1-desk.ngrok-free.app")) > 0);
    assert_eq!(count("shares-unasked", |key, _| key.name.is_none()), 1);
    assert_eq!(
        count("both-names", |_, seen| seen.ambiguous > 0 && seen.fresh > 0 && seen.also.len() == 1),
        1
    );
    assert_eq!((count("borrower", |key, _| key.name.is_some()), of("borrower").len()), (2, 4));
    assert_eq!(count("second-owner", |key, _| key.name.is_some()), 0);
    assert_eq!(count("long-lived", |_, seen| seen.fresh > 0 && seen.stale > seen.fresh), 1);
    assert_eq!(count("asked-long-before", |_, seen| seen.fresh == 0 && seen.stale > 0), 1);
    assert!(count("churns", |key, _| key.name.is_some()) > 60);
    assert_eq!(count("guarded", |key, _| key.outcome == "denied"), 2);
    assert_eq!(count("front-door", |key, _| key.direction == "ingress" && key.name.is_none()), 5);
    assert!(of("idle").is_empty() && of("unclear").is_empty() && of("node-agent").is_empty());
    let hours: BTreeSet<i64> = of("report").into_iter().flat_map(|(_, seen)| seen.hours.clone()).collect();
    assert_eq!(hours.len(), 56, "a run every three hours");
}

#[test]
fn events_come_in_order_of_time_within_the_window() {
    let settings = settings(5, &Case::ALL);
    let mut week = cases::week(&settings);
    let (mut events, mut last, mut lookups) = (Vec::new(), settings.start, 0);
    while week.next_hour(&mut events) {
        events.sort_by_key(|event| event.at);
        for event in events.drain(..) {
            assert!(event.at >= settings.start && event.at < week.window.end);
            last = last.max(event.at);
            lookups += u32::from(matches!(event.what, What::Lookup(_)));
        }
    }
    assert!(last > week.window.end - 3600 * 1_000_000_000 && lookups > 500, "{lookups}");
}

/// The names in the egress of a cluster's history, and how many lines it has.
fn history_of(scenario: &Scenario, index: usize, now: &str) -> (BTreeSet<String>, usize) {
    let plan = generate::plan(scenario, index, 1);
    let spec = scenario.clusters[index].collector.as_ref().expect("it has a collector");
    let mut week = history::week(&plan, spec, now.parse().expect("a time"));
    let mut hubble = Hubble::new(&week.inventory, week.window.clone(), 1, true);
    let (mut events, mut lines) = (Vec::new(), 0);
    while week.next_hour(&mut events) {
        events.drain(..).for_each(|event| hubble.write(&week.inventory, &event));
        for written in &mut hubble.lines {
            lines += written.iter().filter(|byte| **byte == b'\n').count();
            written.clear();
        }
    }
    let edges = hubble.truth.edges(&week.inventory);
    let mut words: BTreeSet<String> = edges.keys().filter_map(|key| key.name.clone()).collect();
    words.extend(edges.keys().map(|key| format!("{}/{}", key.ns, key.workload.1)));
    words.extend(edges.keys().map(|key| format!("{:?}", key.peer)));
    (words, lines)
}

#[test]
fn the_demos_history_is_small_and_has_something_to_find() {
    let demo = Scenario::named("demo").expect("it parses");
    let (mut words, mut lines) = (BTreeSet::new(), 0);
    for index in (0..demo.clusters.len()).filter(|index| demo.clusters[*index].collector.is_some()) {
        let (more, count) = history_of(&demo, index, "2026-03-10T12:20:00Z");
        assert!((10_000..80_000).contains(&count), "{}: {count} lines", demo.clusters[index].name);
        words.extend(more);
        lines += count;
    }
    assert!((100_000..400_000).contains(&lines), "{lines} lines");
    for wanted in [
        "b3f1-desk.ngrok-free.app",
        "webhook.site",
        "branch-nas.duckdns.org",
        "Address(169.254.169.254)",
        "ghcr.io",
        "api.cardpay.example",
        "sftp.northwind.example",
        "objects.cloud.example",
        "Address(198.51.100.240)",
        "payments/settlement",
    ] {
        assert!(words.contains(wanted), "nobody went to {wanted}");
    }
    // Of the two monthly jobs one at least did not run, whatever the day.
    assert!(!words.contains("billing/statements") && !words.contains("analytics/monthly-report"));
}
