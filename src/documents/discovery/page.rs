//! What one cluster says of one namespace: its destinations and what the window has not seen. Every
//! form of a discovery reads this and nothing else. Decides nothing: categories, findings and
//! readiness come in.

use std::{cmp::Reverse, collections::BTreeMap};

use super::companion::Part;
use crate::domain::{
    coverage::{Coverage, Readiness},
    destination::Destination,
    discovery::{Everywhere, Rules, assemble},
    edge::{Hours, Peer, Window},
    flow::Direction,
    names::{ClusterName, NsName, Text, Workload},
    readiness::{CronFinding, CronSeen},
    sighting::Outcome,
    time::Timestamp,
};

/// One namespace of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub cluster: ClusterName,
    pub ns: NsName,
    pub window: Window,
    /// When this was taken together.
    pub generated: Timestamp,
    /// As [`sort`] puts them.
    pub destinations: Vec<Destination>,
    pub evidence: Evidence,
}

/// What the window has seen and what not. `None` is unknown and is said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub coverage: Coverage,
    /// For egress.
    pub readiness: Readiness,
    /// For ingress; `None`: as for egress.
    pub ingress: Option<Readiness>,
    pub crons: Option<Vec<CronFinding>>,
    /// Workloads that were there and had no traffic.
    pub silent: Option<Vec<Workload>>,
    /// What else must be known: a waiver asked for, records that name no pod.
    pub remarks: Vec<Text>,
}

impl Evidence {
    pub fn readiness(&self, direction: Direction) -> &Readiness {
        match (direction, &self.ingress) {
            (Direction::Ingress, Some(ingress)) => ingress,
            (Direction::Egress | Direction::Ingress, _) => &self.readiness,
        }
    }
}

/// Which attempts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What passed: destinations.
    Passed,
    /// Denied attempts too, marked by their outcome.
    All,
}

/// A page from what was kept, by the rules as they are now.
pub fn of(
    cluster: &ClusterName,
    ns: &NsName,
    part: &Part,
    rules: &Rules,
    everywhere: &Everywhere,
    shown: Shown,
) -> Page {
    let edges = part.edges.iter().filter(|(key, _)| shown == Shown::All || key.outcome != Outcome::Denied);
    let edges = edges.map(|(key, edge)| (key, edge));
    let mut destinations = joined(assemble(edges, rules, everywhere, part.window));
    sort(&mut destinations);
    Page {
        cluster: cluster.clone(),
        ns: ns.clone(),
        window: part.window,
        generated: part.generated,
        destinations,
        evidence: part.evidence.clone(),
    }
}

/// One for each workload, direction, place, port and protocol: what passed under audit joins what was
/// plainly allowed, and pods that were reached by several names are one place.
fn joined(destinations: Vec<Destination>) -> Vec<Destination> {
    let mut at = BTreeMap::new();
    let mut out: Vec<Destination> = Vec::new();
    for destination in destinations {
        let is_denied = destination.outcome == Outcome::Denied;
        let place = (kind(&destination), title(&destination), destination.port, destination.protocol);
        let who = (destination.workload.clone(), destination.direction, is_denied);
        match *at.entry((who, place)).or_insert(out.len()) {
            same if same < out.len() => absorb(&mut out[same], destination),
            _ => out.push(destination),
        }
    }
    out
}

fn absorb(into: &mut Destination, other: Destination) {
    let named = other.name.filter(|name| into.name.as_ref() != Some(name));
    into.also.extend(named.into_iter().chain(other.also));
    into.also.sort();
    into.also.dedup();
    into.chain.extend(other.chain);
    into.chain.sort();
    into.chain.dedup();
    into.addresses.extend(other.addresses);
    into.addresses.sort();
    into.addresses.dedup();
    into.addresses.truncate(Destination::ADDRESSES);
    into.addresses_total = into.addresses_total.max(other.addresses_total).max(into.addresses.len());
    into.outcome = into.outcome.min(other.outcome);
    if other.seen.flows > into.seen.flows {
        into.grade = other.grade;
    }
    let (seen, more) = (&mut into.seen, other.seen);
    seen.flows = seen.flows.saturating_add(more.flows);
    seen.first = seen.first.min(more.first);
    seen.last = seen.last.max(more.last);
    seen.hours.union(&more.hours);
    seen.churn.addresses_a_day = seen.churn.addresses_a_day.max(more.churn.addresses_a_day);
    seen.churn.new_share = seen.churn.new_share.max(more.churn.new_share);
    let findings = &mut into.meaning.findings;
    findings.extend(other.meaning.findings);
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    findings.dedup();
}

/// Suspects first, most severe first; then by category, direction, destination, workload and port.
pub fn sort(destinations: &mut [Destination]) {
    destinations.sort_by_cached_key(|destination| {
        (
            Reverse(destination.suspect().map(|finding| finding.severity)),
            destination.meaning.category,
            destination.direction,
            kind(destination),
            title(destination),
            destination.workload.clone(),
            destination.port,
            destination.protocol,
            destination.outcome,
            destination.peer.clone(),
        )
    });
}

/// What sort of end a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Pod,
    Name,
    Ip,
    Entity,
    Unknown,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Name => "name",
            Self::Ip => "ip",
            Self::Entity => "entity",
            Self::Unknown => "unknown",
        }
    }
}

pub fn kind(destination: &Destination) -> Kind {
    match (&destination.peer, &destination.name) {
        (Peer::Pods { .. }, _) => Kind::Pod,
        (Peer::Address(_) | Peer::Entity(_) | Peer::Unsaid(_), Some(_)) => Kind::Name,
        (Peer::Address(_), None) => Kind::Ip,
        (Peer::Entity(_), None) => Kind::Entity,
        (Peer::Unsaid(_), None) => Kind::Unknown,
    }
}

/// The destination's name: `namespace/workload`, a DNS name, the data plane's word or the source's
/// class. `None` where an address is all there is.
pub fn name(destination: &Destination) -> Option<String> {
    match (&destination.peer, &destination.name) {
        (Peer::Pods { ns, workload }, _) => Some(format!("{ns}/{workload}")),
        (Peer::Address(_) | Peer::Entity(_) | Peer::Unsaid(_), Some(name)) => Some(name.to_string()),
        (Peer::Address(_), None) => None,
        (Peer::Entity(entity), None) => Some(entity.as_str().to_owned()),
        (Peer::Unsaid(class), None) => (!class.is_empty()).then(|| class.to_string()),
    }
}

/// What a person calls the destination: its name, else its address.
pub fn title(destination: &Destination) -> String {
    name(destination).unwrap_or_else(|| match &destination.peer {
        Peer::Address(address) => address.to_string(),
        Peer::Pods { .. } | Peer::Entity(_) | Peer::Unsaid(_) => "unknown".to_owned(),
    })
}

/// `443/TCP`, with the outcome where it was not plainly allowed. ICMP has no port.
pub fn port(destination: &Destination) -> String {
    let mut out = match destination.port {
        0 => destination.protocol.to_string(),
        port => format!("{port}/{}", destination.protocol),
    };
    match destination.outcome {
        Outcome::Allowed => {}
        Outcome::Denied | Outcome::Audit => out.push_str(&format!(" ({})", destination.outcome.as_str())),
    }
    out
}

/// `Deployment cart`; the name alone where no source said the kind.
pub fn workload(workload: &Workload) -> String {
    match (workload.kind.as_str(), workload.name.as_str()) {
        ("", "") => "unknown".to_owned(),
        ("", name) => name.to_owned(),
        (kind, name) => format!("{kind} {name}"),
    }
}

/// How many hours of the window had traffic.
pub fn hours(hours: &Hours, window: &Window) -> usize {
    hours.count_in(window.hours())
}

/// Days that a heat strip shows.
const DAYS: i64 = 7;

/// The last seven days of the window, a character a day: how many hours of it had traffic. A day
/// without traffic that nobody watched is `?`.
pub fn heat(hours: &Hours, page: &Page) -> String {
    let all = page.window.hours();
    let is_watched = |hour: i64| page.evidence.coverage.credited.values().any(|seen| seen.contains(hour));
    let days = ((all.end - all.start + 23) / 24).min(DAYS);
    (0..days)
        .rev()
        .map(|day| {
            let mut day = (all.end - (day + 1) * 24).max(all.start)..all.end - day * 24;
            match hours.count_in(day.clone()) {
                0 if day.any(is_watched) => '·',
                0 => '?',
                count => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(count - 1) / 3 % 8],
            }
        })
        .collect()
}

/// How many nodes told anything, and the hours that all of them were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    pub nodes: usize,
    /// Hours credited on every node.
    pub everywhere: usize,
    /// Hours of the window.
    pub of: usize,
}

pub fn credit(page: &Page) -> Credit {
    let hours = page.window.hours();
    let of = usize::try_from(hours.end - hours.start).unwrap_or(0);
    let credited = &page.evidence.coverage.credited;
    let everywhere = match credited.is_empty() {
        true => 0,
        false => hours.filter(|hour| credited.values().all(|seen| seen.contains(*hour))).count(),
    };
    Credit { nodes: credited.len(), everywhere, of }
}

/// What may be done with this evidence, in words.
pub fn readiness(readiness: &Readiness) -> (&'static str, Vec<String>) {
    match readiness {
        Readiness::Ready => ("ready", Vec::new()),
        Readiness::NotYet { left } => {
            ("not yet", vec![format!("{} of credited time is missing", crate::domain::time::span(*left))])
        }
        Readiness::Blocked { why } => ("blocked", why.iter().map(ToString::to_string).collect()),
    }
}

/// Did the window see the job run, in words.
pub fn ran(finding: &CronFinding) -> String {
    let said = match finding.seen {
        CronSeen::Ran => "yes",
        CronSeen::NotInside => "no",
        CronSeen::InHole => "in a gap",
        CronSeen::Rare => "once at most: it may pause as long as the window",
        CronSeen::Unreadable => "yes, but its schedule cannot be read",
    };
    format!("{said}{}", if finding.waived { ", waived" } else { "" })
}

/// The schedule with its zone, and whether it is switched off.
pub fn schedule(finding: &CronFinding) -> String {
    let job = &finding.job;
    let zone = job.zone.as_ref().map_or(String::new(), |zone| format!(" {zone}"));
    format!("{}{zone}{}", job.schedule, if job.suspended { " (suspended)" } else { "" })
}

/// The minute, in UTC, as people read it.
pub fn minute(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}
