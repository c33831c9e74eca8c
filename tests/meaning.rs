//! What destinations mean: each file of `tests/cases/suspect` and `tests/cases/category` asks about
//! one destination a line, and after it stands what is found (`=>`). Everything goes through
//! [`assemble`], with the built-in rules and those of the workspace in `tests/cases/meaning`.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path};

use chrono::{DateTime, TimeDelta};
use sluice::{
    domain::{
        destination::Destination,
        discovery::{Everywhere, Rules, assemble},
        edge::{DnsName, Edge, EdgeKey, Peer, Window, hour_of},
        flow::{Direction, Entity, Protocol},
        names::{NsName, Workload},
        sighting::Outcome,
    },
    workspace::{self, root::Place},
};

#[test]
fn suspects_are_found_as_written() {
    check("suspect", &rules(), |destination| {
        let findings = &destination.meaning.findings;
        let mut out = if findings.is_empty() { "=> nothing\n".to_owned() } else { String::new() };
        for finding in findings {
            let party = finding.party.as_ref().map(|party| format!(" of {party}")).unwrap_or_default();
            let _ = writeln!(
                out,
                "=> {} {}{party} by {}: {}",
                finding.severity.as_str(),
                finding.class,
                finding.source,
                finding.reason
            );
        }
        out
    });
}

#[test]
fn categories_are_given_as_written() {
    check("category", &rules(), |destination| {
        let meaning = &destination.meaning;
        format!("=> {}: {}\n", meaning.category.as_str(), meaning.category_by)
    });
}

fn rules() -> Rules {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/meaning");
    let (rules, troubles) = workspace::rules(Some(&Place { root, only: Vec::new() }));
    assert_eq!(troubles, []);
    rules
}

fn check(folder: &str, rules: &Rules, say: impl Fn(&Destination) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = play(&text, rules, &say);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(4).header("written", "found").to_string();
        assert!(text == actual, "{} differs:\n{diff}", file.display());
    }
}

fn play(text: &str, rules: &Rules, say: impl Fn(&Destination) -> String) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("=>")) {
        let _ = writeln!(out, "{line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let edges = edges(line);
        let edges = edges.iter().map(|(key, edge)| (key, edge));
        let found = assemble(edges, rules, &Everywhere::default(), window());
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        out.push_str(&say(&found[0]));
    }
    out
}

fn window() -> Window {
    let from = DateTime::from_timestamp(1_772_409_600, 0).expect("a time");
    Window { from, to: from + TimeDelta::days(7) }
}

/// `NAME|- [at ADDRESS,…|NS/WORKLOAD|said CLASS|entity WORD] [port N] [udp|icmp] [via NAME,…]
/// [also NAME,…] [ingress]`; without `at` it is a public address, without `port` 443.
fn edges(line: &str) -> Vec<(EdgeKey, Edge)> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| *name != "-").map(dns);
    let mut peers = vec![Peer::Address("93.184.215.14".parse().expect("an address"))];
    let (mut port, mut protocol, mut direction) = (443, Protocol::Tcp, Direction::Egress);
    let (mut chain, mut also) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_else(|| panic!("{line}: something after {word}"));
        match word {
            "at" => peers = next().split(',').map(peer).collect(),
            "said" => peers = vec![Peer::Unsaid(next().into())],
            "entity" => peers = vec![Peer::Entity(Entity::parse(next()).expect("an entity"))],
            "port" => port = next().parse().expect("a port"),
            "udp" => protocol = Protocol::Udp,
            "icmp" => protocol = Protocol::Icmp,
            "via" => chain = next().split(',').map(dns).collect(),
            "also" => also = next().split(',').map(dns).collect(),
            "ingress" => direction = Direction::Ingress,
            other => panic!("{line}: {other}"),
        }
    }
    let first = window().from;
    let edge = Edge {
        flows: 3,
        first,
        last: first,
        hours: [hour_of(first)].into_iter().collect(),
        fresh: u64::from(name.is_some()) * 3,
        stale: 0,
        ambiguous: 0,
        also,
        chain,
        ttl_secs: None,
    };
    let key = |peer| EdgeKey {
        ns: NsName::parse("shop").expect("a name"),
        workload: Workload::new("Deployment", "cart"),
        direction,
        peer,
        name: name.clone(),
        protocol,
        port,
        outcome: Outcome::Allowed,
    };
    peers.into_iter().map(|peer| (key(peer), edge.clone())).collect()
}

fn peer(raw: &str) -> Peer {
    let pods = |(ns, workload)| Peer::Pods {
        ns: NsName::parse(ns).expect("a namespace"),
        workload: Workload::new("Deployment", workload),
    };
    let address = raw.parse::<IpAddr>().ok().map(Peer::Address);
    address.or_else(|| raw.split_once('/').map(pods)).unwrap_or_else(|| panic!("{raw} is no peer"))
}

fn dns(raw: &str) -> DnsName {
    DnsName::parse(raw).unwrap_or_else(|| panic!("{raw} is no name"))
}
