//! A small week, written by hand: one namespace, a few workloads, every kind of destination.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use sluice::{
    documents::discovery::page::{self, Evidence, Page},
    domain::{
        coverage::{Coverage, CronJob, Hole, Readiness},
        credit::{CronFinding, CronSeen},
        destination::{Category, Churn, Destination, Finding, Meaning, Seen, Severity},
        edge::{DnsName, Edge, EdgeKey, Grade, Hours, Peer, Window, hour_of},
        flow::{Direction, Entity, Protocol},
        names::{ClusterName, NodeName, NsName, Text, Workload},
        sighting::Outcome,
        time::Timestamp,
    },
};

pub fn start() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 3, 2, 0, 0, 0).single().expect("a time")
}

pub fn at(day: i64, hour: i64) -> Timestamp {
    start() + TimeDelta::days(day) + TimeDelta::hours(hour)
}

pub fn window() -> Window {
    Window { from: start(), to: at(7, 0) }
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("valid")
}

pub fn shop() -> NsName {
    NsName::parse("shop").expect("valid")
}

pub fn name(raw: &str) -> DnsName {
    DnsName::parse(raw).expect("valid")
}

fn ip(raw: &str) -> IpAddr {
    raw.parse().expect("an address")
}

fn hours(days: &[(i64, i64)]) -> Hours {
    let first = hour_of(start());
    days.iter().flat_map(|(day, count)| (0..*count).map(move |hour| first + day * 24 + hour)).collect()
}

/// A destination of `cart`, allowed, 443/TCP.
fn to(peer: Peer, name: Option<DnsName>, category: Category, days: &[(i64, i64)]) -> Destination {
    let addresses: Vec<_> = match &peer {
        Peer::Address(address) => vec![*address],
        Peer::Pods { .. } | Peer::Entity(_) | Peer::Unsaid(_) => Vec::new(),
    };
    let hours = hours(days);
    let epoch = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).expect("valid");
    let (first, last) = (hours.iter().next().expect("some"), hours.iter().last().expect("some"));
    Destination {
        ns: shop(),
        workload: Workload::new("Deployment", "cart"),
        direction: Direction::Egress,
        grade: if name.is_some() { Grade::Fresh } else { Grade::None },
        peer,
        name,
        also: Vec::new(),
        chain: Vec::new(),
        addresses_total: addresses.len(),
        addresses,
        protocol: Protocol::Tcp,
        port: 443,
        outcome: Outcome::Allowed,
        seen: Seen {
            flows: hours.len() as u64 * 10,
            first: epoch(first) + TimeDelta::milliseconds(120),
            last: epoch(last) + TimeDelta::minutes(59),
            hours,
            churn: Churn::default(),
        },
        meaning: Meaning { category, category_by: Text::new("built-in rule"), findings: Vec::new() },
    }
}

fn finding(severity: Severity, class: &str, reason: &str) -> Finding {
    let (class, reason, source) = (Text::new(class), Text::new(reason), Text::new("built-in catalogue"));
    Finding { severity, class, reason, source, party: None }
}

pub fn destinations() -> Vec<Destination> {
    let mut payments = to(
        Peer::Address(ip("203.0.113.80")),
        Some(name("api.payments.example")),
        Category::Vendor,
        &[(0, 24), (1, 24), (2, 12), (4, 1), (6, 6)],
    );
    payments.addresses.push(ip("203.0.113.81"));
    payments.addresses_total = 9;
    payments.also = vec![name("cdn.example")];
    payments.chain = vec![name("edge.payments.example")];
    payments.seen.churn = Churn { addresses_a_day: 4, new_share: 0.25 };
    let mut other = payments.clone();
    other.workload = Workload::new("", "worker");
    other.grade = Grade::Stale;
    let mut hook =
        to(Peer::Address(ip("198.51.100.7")), Some(name("webhook.site")), Category::Unknown, &[(3, 2)]);
    hook.meaning.findings = vec![
        finding(Severity::High, "webhook-receiver", "webhook.site keeps whatever is sent to it."),
        finding(Severity::Low, "one-workload", "Only cart talks to it in the whole fleet."),
    ];
    let mut metadata = to(Peer::Address(ip("169.254.169.254")), None, Category::Infra, &[(0, 1)]);
    metadata.port = 80;
    metadata.meaning.findings = vec![finding(Severity::Critical, "metadata", "It hands out credentials.")];
    let ns = NsName::parse("monitoring").expect("valid");
    let workload = Workload::new("StatefulSet", "prometheus");
    let mut scraped = to(Peer::Pods { ns, workload }, None, Category::Internal, &[(0, 24), (1, 24)]);
    scraped.direction = Direction::Ingress;
    scraped.port = 9090;
    let api = to(Peer::Entity(Entity::KubeApiserver), None, Category::Infra, &[(0, 3)]);
    let mut class = to(Peer::Unsaid(Text::new("pub | <b>`x`</b> --> ")), None, Category::Unknown, &[(5, 1)]);
    class.outcome = Outcome::Audit;
    class.protocol = Protocol::Icmp;
    class.port = 0;
    vec![payments, other, hook, metadata, scraped, api, class]
}

pub fn evidence() -> Evidence {
    let first = hour_of(start());
    let node = |name: &str| Some(NodeName::parse(name).expect("valid"));
    let job = CronJob {
        ns: shop(),
        name: Text::new("monthly | report"),
        schedule: Text::new("0 3 1 * *"),
        zone: Some(Text::new("Europe/Berlin")),
        suspended: false,
        last_run: Some(at(-1, 3)),
        longest_pause: Some(TimeDelta::days(31)),
    };
    Evidence {
        coverage: Coverage {
            credited: [
                (node("node-1"), (first..first + 168).collect()),
                (node("node-2"), (first..first + 100).chain(first + 104..first + 120).collect()),
            ]
            .into(),
            gaps: vec![Hole {
                from: at(4, 4),
                to: at(4, 8),
                node: node("node-2"),
                lost: Some(1_204),
                why: Text::new("the agent's ring buffer was overrun"),
            }],
            doubts: vec![Text::new("answers: the clients are node addresses")],
        },
        readiness: Readiness::NotYet { left: TimeDelta::hours(52) },
        ingress: None,
        crons: Some(vec![CronFinding { job, seen: CronSeen::NotInside, waived: false }]),
        silent: Some(vec![Workload::new("Deployment", "idle")]),
        remarks: vec![Text::new("2 files could not be read")],
    }
}

pub fn page() -> Page {
    let mut destinations = destinations();
    page::sort(&mut destinations);
    Page {
        cluster: cluster("prod-eu"),
        ns: shop(),
        window: window(),
        generated: at(7, 6),
        destinations,
        evidence: evidence(),
    }
}

/// One edge of `cart`.
pub fn edge() -> (EdgeKey, Edge) {
    let key = EdgeKey {
        ns: shop(),
        workload: Workload::new("Deployment", "cart"),
        direction: Direction::Egress,
        peer: Peer::Address(ip("203.0.113.80")),
        name: Some(name("api.payments.example")),
        protocol: Protocol::Tcp,
        port: 443,
        outcome: Outcome::Allowed,
    };
    let edge = Edge {
        flows: 12,
        first: at(0, 9),
        last: at(6, 10),
        hours: hours(&[(0, 24), (6, 2)]),
        fresh: 12,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: Some(30),
    };
    (key, edge)
}
