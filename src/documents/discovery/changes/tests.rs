//! Pages written as edges by hand, and what changed between them.

use std::collections::BTreeMap;

use super::{Live, of};
use crate::{
    documents::discovery::{
        companion,
        page::{self, Page, Shown},
    },
    domain::{
        discovery::{Everywhere, Rules},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        renewal::{Changed, Cover, summary},
    },
};

const HEADER: &str = r#"{"schema":"sluice.edges/1","namespace":"shop","clusters":[{"cluster":"east","from":"2026-11-16T00:00:00Z","to":"2026-11-23T00:00:00Z","generatedAt":"2026-11-23T00:05:00Z","edges":1,"readiness":"ready","credited":[],"gaps":[],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}]}"#;

/// `direction workload peer port`; a peer with a dot is a name, else pods of that namespace.
fn page(edges: &[&str]) -> Page {
    let mut text = format!("{HEADER}\n");
    for edge in edges {
        let mut words = edge.split(' ');
        let mut next = || words.next().expect("four words");
        let (direction, workload, peer, port) = (next(), next(), next(), next());
        let to = match peer.contains('.') {
            true => format!(r#""peer":{{"address":"203.0.113.7"}},"name":"{peer}","fresh":5"#),
            false => format!(
                r#""peer":{{"pods":{{"namespace":"{peer}","workload":{{"kind":"Deployment","name":"api"}}}}}}"#
            ),
        };
        text.push_str(&format!(
            r#"{{"cluster":"east","namespace":"shop","workload":{{"kind":"Deployment","name":"{workload}"}},"direction":"{direction}",{to},"protocol":"TCP","port":{port},"outcome":"allowed","flows":5,"first":"2026-11-17T08:00:00Z","last":"2026-11-22T21:30:00Z","hours":[498560]}}"#
        ));
        text.push('\n');
    }
    let (found, bad) = companion::from_text(&text).expect("a companion");
    assert_eq!(bad, []);
    let cluster = ClusterName::parse("east").expect("valid");
    let ns = NsName::parse("shop").expect("valid");
    let part = found.parts.get(&cluster).expect("there");
    page::of(&cluster, &ns, part, &Rules::default(), &Everywhere::default(), Shown::Passed)
}

fn said(changes: &[Changed]) -> Vec<String> {
    let words = |one: &Changed| {
        let differences: Vec<_> = one.differences.iter().map(ToString::to_string).collect();
        let cover = one.cover.as_ref().map_or("-", Cover::as_str);
        format!("{} {}: {} [{cover}]", one.direction, one.title, differences.join("; "))
    };
    changes.iter().map(words).collect()
}

#[test]
fn what_is_new_gone_or_otherwise_is_said_once_a_place() {
    let before = page(&[
        "egress cart api.vendor.example 443",
        "egress cart old.vendor.example 443",
        "ingress cart web 8080",
        "egress cart same.vendor.example 443",
    ]);
    let now = page(&[
        "egress cart api.vendor.example 443",
        "egress cart api.vendor.example 8443",
        "egress pay api.vendor.example 443",
        "egress cart new.vendor.example 443",
        "ingress cart monitoring 9090",
        "egress cart same.vendor.example 443",
    ]);
    let live = BTreeMap::from([
        (Direction::Egress, Live::NotIsolated),
        (Direction::Ingress, Live::Unknown(Text::new("it did not answer"))),
    ]);
    let changes = of(&before, &now, &live);
    assert_eq!(
        said(&changes),
        [
            "ingress monitoring/api: new [unknown]",
            "egress api.vendor.example: ports + 8443/TCP; workloads + Deployment pay [not-isolated]",
            "egress new.vendor.example: new [not-isolated]",
            "egress old.vendor.example: gone [-]",
            "ingress web/api: gone [-]",
        ]
    );
    assert_eq!(summary(&changes), "5 differences: 2 new, 2 gone, 1 changed, 1 of unknown cover");
    assert_eq!(of(&now, &now, &live), []);
    assert_eq!(summary(&[]), "nothing changed");
}

#[test]
fn a_direction_that_nobody_looked_at_is_unknown() {
    let changes = of(&page(&[]), &page(&["egress cart api.vendor.example 443"]), &BTreeMap::new());
    assert_eq!(said(&changes), ["egress api.vendor.example: new [unknown]"]);
}
