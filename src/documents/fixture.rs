//! The small fleet of `tests` with what a team shares of it: a rollout that soaks, one taken back,
//! holds, waivers, reviews, a journal. Hostile words in every place that takes words.

use std::collections::BTreeSet;

use chrono::{Duration, TimeDelta};

use super::tests::{cluster, now, ns, target, world};
use crate::{
    cockpit::{
        ports::{Change, Fact, Link},
        shared::{Observer, SharedFact},
        world::World,
    },
    domain::{
        edge::DnsName,
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
        hold::{Covers, DenialKey, Hold, HoldKind, Override, Scope, Subject, Waiver},
        journal::{Act, Chain, Entry},
        names::{Text, Workload},
        policy::{PolicyDigest, Selector},
        rollout::{Applied, Kept, Record, RolledBack, Stamp, Target},
        time::Timestamp,
    },
};

/// What an attacker would like a reader's terminal or browser to do.
pub(crate) const HOSTILE: &str = "see\u{1b}[2J|`x`|\n# <img src=x> \u{202e}[a](b)";

pub(crate) fn ago(hours: i64) -> Timestamp {
    now() - Duration::hours(hours)
}

pub(crate) fn by(who: &str, hours: i64) -> Stamp {
    Stamp { by: Text::new(who), at: ago(hours) }
}

pub(crate) fn kept<T>(name: &str, hours: i64, value: T) -> Kept<T> {
    Kept { name: Text::new(name), version: Text::new("1"), created: ago(hours), value }
}

pub(crate) fn other() -> Target {
    Target { cluster: cluster("prod-eu"), ns: ns("pay"), direction: Direction::Egress }
}

pub(crate) fn tell(world: &mut World, fact: SharedFact) {
    world.absorb(Fact::Shared(fact));
}

/// The digest of what is live in `shop`.
pub(crate) fn live_digest(world: &World) -> PolicyDigest {
    let cluster = world.cluster(&cluster("prod-eu")).expect("there");
    cluster.digest(&cluster.namespaces[&ns("shop")], Direction::Egress)
}

pub(crate) fn record(world: &World) -> Record {
    Record {
        target: target(),
        uid: Text::new("uid-1"),
        wave: Some(3),
        applied: Some(Applied { digest: live_digest(world), stamp: by("lead@example.net", 30) }),
        clean: None,
        rolled_back: None,
        overridden: false,
    }
}

pub(crate) fn rolled_back(hours: i64) -> Record {
    Record {
        target: other(),
        uid: Text::new("uid-1"),
        wave: Some(2),
        applied: Some(Applied { digest: PolicyDigest::of([]), stamp: by("lead@example.net", hours + 5) }),
        clean: None,
        rolled_back: Some(RolledBack {
            stamp: by("oncall@example.net", hours),
            reason: Some(Text::new("payments failed")),
            recovered: None,
        }),
        overridden: true,
    }
}

fn holds() -> Vec<Kept<Hold>> {
    let hold = |scope, kind, reason: &str, hours, expires| Hold {
        scope,
        kind,
        reason: Text::new(reason),
        stamp: by("lead@example.net", hours),
        expires,
    };
    let rollout = Target { direction: Direction::Ingress, ..target() };
    vec![
        kept("hold-1", 50, hold(Scope::Cluster(cluster("stage")), HoldKind::Hold, "CNI migration", 50, None)),
        kept("hold-2", 400, hold(Scope::Rollout(rollout), HoldKind::Exclusion, HOSTILE, 400, Some(ago(2)))),
        kept("hold-3", 3, hold(Scope::Fleet, HoldKind::Hold, "freeze", 3, Some(ago(-20)))),
    ]
}

fn waivers() -> Vec<Kept<Waiver>> {
    let key = DenialKey {
        workload: Some(Workload::new("Deployment", "web")),
        destination: Text::new("198.51.100.1"),
        port: 443,
        protocol: Protocol::Tcp,
    };
    let waiver = |subject, reason: &str, expires| Waiver {
        target: target(),
        uid: Some(Text::new("uid-1")),
        subject,
        reason: Text::new(reason),
        stamp: by("security@example.net", 10),
        expires,
    };
    vec![
        kept("waiver-1", 10, waiver(Subject::Denial(key), "telemetry that nobody needs", ago(-100))),
        kept("waiver-2", 10, waiver(Subject::CronJob(Text::new("nightly")), HOSTILE, ago(-500))),
    ]
}

pub(crate) fn review() -> Review {
    Review {
        requested_by: Text::new("lead@example.net"),
        aliases: Vec::new(),
        grant: Grant {
            clusters: BTreeSet::from([Text::new("uid-1")]),
            ns: ns("shop"),
            selector: Selector::default(),
            direction: Direction::Egress,
            destination: Opening::Name(DnsName::parse("hooks.example.com").expect("a name")),
            ports: vec![PortSpan { protocol: Protocol::Tcp, from: 443, to: 443 }],
            expires: ago(-24 * 60),
        },
        findings: vec![Text::new("a webhook receiver")],
        purpose: Text::new(HOSTILE),
        decisions: vec![Decision {
            verdict: DecisionVerdict::Approved,
            stamp: by("security@example.net", 40),
            reason: Text::new("the vendor's contract covers it"),
            ticket: Some(Text::new("SEC-7")),
            clusters: BTreeSet::from([Text::new("uid-1")]),
            expires: Some(ago(-24 * 6)),
        }],
    }
}

fn over() -> Override {
    Override {
        target: other(),
        uid: Some(Text::new("uid-1")),
        digest: PolicyDigest::of([]),
        covers: vec![Covers::Soak, Covers::Order],
        reason: Text::new("a fix for an outage"),
        stamp: by("lead@example.net", 12),
        confirmed: Some(by("second@example.net", 11)),
        expires: ago(-12),
    }
}

pub(crate) fn journal() -> Vec<Entry> {
    let acts: [(i64, Act, &str, &[&str]); 4] = [
        (30, Act::Apply, "prod-eu/shop egress", &["digest: sha256:1f2e", "outcome: done"]),
        (9, Act::Rollback, "prod-eu/pay egress", &["command: kubectl delete networkpolicy", "outcome: done"]),
        (3, Act::Hold, "the fleet", &["kind: hold", "reason: freeze"]),
        (1, Act::Incident, "prod-eu/shop egress", &[HOSTILE]),
    ];
    let mut chain = Chain::default();
    let entry = |(hours, act, object, facts): (i64, Act, &str, &[&str])| {
        let facts = facts.iter().map(|fact| Text::new(fact)).collect();
        let entry = Entry {
            number: chain.number,
            previous: chain.previous,
            stamp: by("lead@example.net", hours),
            act,
            object: Text::new(object),
            facts,
        };
        chain = Chain::after(&entry);
        entry
    };
    acts.into_iter().map(entry).collect()
}

/// Without the state cluster's answer everything of it is unknown.
pub(crate) fn team_world() -> World {
    let mut world = world();
    let entries = journal().into_iter();
    let entries = entries.map(|entry| kept(&format!("entry-{:09}", entry.number), 0, entry)).collect();
    let records = vec![kept("shop", 30, record(&world)), kept("pay", 14, rolled_back(9))];
    let observer =
        Observer { holder: Text::new("watch-0"), renewed: now() - TimeDelta::seconds(10), is_us: false };
    for fact in [
        SharedFact::Link(Link::Live),
        SharedFact::Clock(now()),
        SharedFact::Records(Change::Reset(records)),
        SharedFact::Holds(Change::Reset(holds())),
        SharedFact::Waivers(Change::Reset(waivers())),
        SharedFact::Reviews(Change::Reset(vec![kept("review-1", 60, review())])),
        SharedFact::Overrides(Change::Reset(vec![kept("override-1", 12, over())])),
        SharedFact::Journal(Change::Reset(entries)),
        SharedFact::Observer(cluster("prod-eu"), Some(observer)),
    ] {
        tell(&mut world, fact);
    }
    world.settle();
    world
}
