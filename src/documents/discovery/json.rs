//! Destinations as JSON lines: one object for each namespace, workload, direction, destination, port
//! and protocol. The documented format: a field is added, never renamed; `null` is unknown.

use chrono::SecondsFormat;
use serde::Serialize;

use super::page::{self, Page};
use crate::{
    documents::wire::line,
    domain::{
        destination::{Destination, Finding},
        edge::{DnsName, Window},
        names::ClusterName,
        time::Timestamp,
    },
};

#[derive(Debug, Serialize)]
struct Line {
    cluster: String,
    namespace: String,
    workload: String,
    workload_kind: Option<String>,
    direction: &'static str,
    destination: Party,
    port: u16,
    protocol: &'static str,
    outcome: &'static str,
    #[serde(flatten)]
    meaning: MeaningOut,
    grade: &'static str,
    #[serde(flatten)]
    names: Names,
    #[serde(flatten)]
    seen: SeenOut,
}

#[derive(Debug, Serialize)]
struct Party {
    kind: &'static str,
    name: Option<String>,
    addresses: Vec<String>,
    /// Of which `addresses` are the first.
    addresses_total: usize,
}

#[derive(Debug, Serialize)]
struct MeaningOut {
    category: &'static str,
    category_by: String,
    suspect: Option<Suspect>,
    /// All findings, most severe first.
    suspects: Vec<Suspect>,
}

#[derive(Clone, Debug, Serialize)]
struct Suspect {
    class: String,
    severity: &'static str,
    reason: String,
    source: String,
    party: Option<String>,
}

#[derive(Debug, Serialize)]
struct Names {
    also: Vec<String>,
    chain: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SeenOut {
    first: String,
    last: String,
    flows: u64,
    /// Hours of the window with traffic.
    hours: usize,
    churn: ChurnOut,
}

#[derive(Debug, Serialize)]
struct ChurnOut {
    addresses_a_day: u32,
    new_share: f64,
}

/// A line for each destination of the page.
pub fn lines(page: &Page) -> String {
    page.destinations.iter().map(|destination| line(&of(&page.cluster, &page.window, destination))).collect()
}

fn of(cluster: &ClusterName, window: &Window, destination: &Destination) -> Line {
    let kind = destination.workload.kind.as_str();
    Line {
        cluster: cluster.to_string(),
        namespace: destination.ns.to_string(),
        workload: destination.workload.name.to_string(),
        workload_kind: (!kind.is_empty()).then(|| kind.to_owned()),
        direction: destination.direction.as_str(),
        destination: Party {
            kind: page::kind(destination).as_str(),
            name: page::name(destination),
            addresses: destination.addresses.iter().map(ToString::to_string).collect(),
            addresses_total: destination.addresses_total,
        },
        port: destination.port,
        protocol: destination.protocol.as_str(),
        outcome: destination.outcome.as_str(),
        meaning: MeaningOut {
            category: destination.meaning.category.as_str(),
            category_by: destination.meaning.category_by.to_string(),
            suspect: destination.suspect().map(suspect),
            suspects: destination.meaning.findings.iter().map(suspect).collect(),
        },
        grade: destination.grade.as_str(),
        names: Names { also: strings(&destination.also), chain: strings(&destination.chain) },
        seen: SeenOut {
            first: time(destination.seen.first),
            last: time(destination.seen.last),
            flows: destination.seen.flows,
            hours: page::hours(&destination.seen.hours, window),
            churn: ChurnOut {
                addresses_a_day: destination.seen.churn.addresses_a_day,
                new_share: (f64::from(destination.seen.churn.new_share) * 100.0).round() / 100.0,
            },
        },
    }
}

fn suspect(finding: &Finding) -> Suspect {
    Suspect {
        class: finding.class.to_string(),
        severity: finding.severity.as_str(),
        reason: finding.reason.to_string(),
        source: finding.source.to_string(),
        party: finding.party.as_ref().map(ToString::to_string),
    }
}

fn strings(names: &[DnsName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// RFC 3339 in UTC, with every digit that the source gave.
fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
