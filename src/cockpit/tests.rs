//! What is seen of discovery, on one namespace made of facts: expected values are written down.

use std::sync::Arc;

use chrono::{TimeDelta, TimeZone, Utc};

use super::{
    coverage::coverage_row,
    discovery::{CollectionRow, Progress, collection_row, collector_row},
    dossier::{self, DestinationKey, Heat},
    plan::{ClusterEntry, FleetFile},
    ports::{Baseline, Change, ClusterFact, CollectorState, Fact, Link},
    shared::SharedFact,
    world::World,
};
use crate::domain::{
    coverage::{Coverage, CronJob},
    discovery::Rules,
    edge::{DnsName, Edge, EdgeKey, Hours, Peer, Tally, Window, hour_of, hour_start},
    fleet::{Environment, NamespaceSeen, Pod},
    flow::{Direction, Protocol},
    hold::{Subject, Waiver},
    names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
    policy::Labels,
    readiness::CronSeen,
    rollout::{Kept, Stamp, Target},
    sighting::Outcome,
    time::Timestamp,
};

fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).single().expect("a time")
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("valid")
}

fn ns() -> NsName {
    NsName::parse("shop").expect("valid")
}

fn tell(world: &mut World, name: &str, fact: ClusterFact) {
    world.absorb(Fact::Cluster(cluster(name), fact));
    world.settle();
}

fn pod(workload: &str, node: &str) -> Pod {
    Pod {
        ns: ns(),
        name: PodName::parse(&format!("{workload}-1")).expect("valid"),
        labels: Labels::default(),
        workload: Workload::new("Deployment", workload),
        node: NodeName::parse(node).ok(),
        host_network: false,
        finished: false,
        started: None,
        ready: None,
    }
}

/// Two clusters with the namespace `shop`, whose pods run on two nodes.
fn world() -> World {
    let mut world = World::new(now());
    let entry = |name: &str| ClusterEntry {
        name: cluster(name),
        context: Text::new(name),
        environment: Environment::Production,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let fleet = FleetFile { clusters: vec![entry("eu"), entry("us")], ..FleetFile::default() };
    world.absorb(Fact::Fleet(fleet));
    for name in ["eu", "us"] {
        let uid = Some(Text::from(format!("uid-{name}")));
        tell(&mut world, name, ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() });
        let seen = NamespaceSeen {
            name: ns(),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        tell(&mut world, name, ClusterFact::Namespaces(Change::Reset(vec![seen])));
        let pods = vec![pod("web", "a"), pod("batch", "b")];
        tell(&mut world, name, ClusterFact::Pods(Change::Reset(pods)));
    }
    world
}

fn window() -> Window {
    Window { from: now() - TimeDelta::days(9), to: now() }
}

fn last(hours: i64) -> Hours {
    (1..=hours).map(|ago| hour_of(now()) - ago).collect()
}

/// A collector that credits so many of the last hours on each node.
fn collector(hours: &[(&str, i64)]) -> ClusterFact {
    let credited = hours.iter().map(|(node, hours)| (NodeName::parse(node).ok(), last(*hours)));
    ClusterFact::Collector(Box::new(CollectorState {
        link: Link::Live,
        version: None,
        sources: Vec::new(),
        window: Some(window()),
        coverage: Coverage { credited: credited.collect(), ..Coverage::default() },
        edges: vec![(ns(), Tally { edges: 2, parties: None })],
        troubles: Vec::new(),
    }))
}

fn edge(workload: &str, name: &str, address: &str, hours: &[i64]) -> (EdgeKey, Edge) {
    let key = EdgeKey {
        ns: ns(),
        workload: Workload::new("", workload),
        direction: Direction::Egress,
        peer: Peer::Address(address.parse().expect("an address")),
        name: DnsName::parse(name),
        protocol: Protocol::Tcp,
        port: 443,
        outcome: Outcome::Allowed,
    };
    let hours: Hours = hours.iter().map(|ago| hour_of(now()) - ago).collect();
    let at = |hour: Option<i64>| hour_start(hour.expect("not empty"));
    let (first, last) = (at(hours.iter().next()), at(hours.iter().last()));
    let edge = Edge {
        flows: 3,
        first,
        last,
        hours,
        fresh: 3,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    (key, edge)
}

fn baseline(edges: Vec<(EdgeKey, Edge)>) -> ClusterFact {
    ClusterFact::Baseline(Box::new(Baseline {
        ns: ns(),
        window: window(),
        edges,
        left_out: 0,
        trouble: None,
    }))
}

fn row(world: &World) -> CollectionRow {
    collection_row(world, &cluster("eu"), &ns())
}

#[test]
fn what_no_collector_told_is_unknown_and_never_zero() {
    let mut world = world();
    let unknown = row(&world);
    assert_eq!((unknown.progress, unknown.edges, unknown.destinations), (Progress::Unknown, None, None));
    assert_eq!(unknown.progress.words(), "?");
    assert_eq!(collector_row(&world, &cluster("eu")).link, "unknown");

    let none = CollectorState {
        link: Link::None(Text::new("no pod")),
        version: None,
        sources: Vec::new(),
        window: None,
        coverage: Coverage::default(),
        edges: Vec::new(),
        troubles: Vec::new(),
    };
    tell(&mut world, "eu", ClusterFact::Collector(Box::new(none)));
    assert_eq!((row(&world).progress.words(), row(&world).edges), ("no collector".to_owned(), None));
    assert_eq!(row(&world).progress.short(), "none");
}

#[test]
fn the_week_is_as_far_as_the_node_with_the_least() {
    for (hours, words, short) in [
        (&[("a", 168), ("b", 168)][..], "ready", "ready"),
        (&[("a", 168), ("b", 102)], "4d06h of 7d", "4d06h"),
        (&[("a", 5), ("b", 102)], "5h00m of 7d", "5h00m"),
        // A node that runs pods and was never heard counts as nothing proved.
        (&[("a", 168)], "0s of 7d", "0s"),
        // One that runs none of them does not matter.
        (&[("a", 168), ("b", 168), ("c", 1)], "ready", "ready"),
    ] {
        let mut world = world();
        tell(&mut world, "eu", collector(hours));
        assert_eq!(row(&world).progress.words(), words, "{hours:?}");
        assert_eq!(row(&world).progress.short(), short, "{hours:?}");
        assert_eq!(row(&world).edges, Some(2));
    }
}

/// A pod on its node's network sends as the node: what is heard there says nothing of its namespace.
#[test]
fn a_node_that_runs_none_but_pods_on_its_own_network_has_nothing_to_prove() {
    let mut world = world();
    let exporter = Pod { host_network: true, ..pod("exporter", "control-plane") };
    let pods = vec![pod("web", "a"), pod("batch", "b"), exporter];
    tell(&mut world, "eu", ClusterFact::Pods(Change::Reset(pods)));
    tell(&mut world, "eu", collector(&[("a", 168), ("b", 168)]));
    assert_eq!(row(&world).progress.words(), "ready");
}

#[test]
fn a_job_that_the_window_has_not_seen_stands_in_the_way() {
    let job = |name: &str, last_run: Option<i64>, pause: Option<i64>| CronJob {
        ns: ns(),
        name: Text::new(name),
        schedule: Text::new("@x"),
        zone: None,
        suspended: false,
        last_run: last_run.map(|hours| now() - TimeDelta::hours(hours)),
        longest_pause: pause.map(TimeDelta::days),
    };
    let cases = [
        (job("a-daily", Some(5), Some(1)), CronSeen::Ran, false),
        (job("b-monthly", Some(24 * 22), Some(31)), CronSeen::NotInside, true),
        (job("c-silent", None, Some(1)), CronSeen::NotInside, true),
        (job("d-odd", Some(5), None), CronSeen::Unreadable, true),
    ];
    let mut world = world();
    let panel = |world: &World| {
        let eu = cluster("eu");
        coverage_row(world, world.cluster(&eu).expect("one"), world.namespace(&eu, &ns()).expect("one"))
    };
    let jobs = cases.iter().map(|(job, ..)| job.clone()).collect();
    tell(&mut world, "eu", ClusterFact::CronJobs(Change::Reset(jobs)));
    let before = panel(&world).crons.expect("told");
    assert!(before.iter().all(|row| row.seen.is_none()), "without a window nothing is claimed");
    tell(&mut world, "eu", collector(&[("a", 168), ("b", 168)]));
    for (row, (job, seen, blocks)) in panel(&world).crons.expect("told").iter().zip(cases) {
        assert_eq!((row.seen, row.blocks), (Some(seen), blocks), "{}", job.name);
    }
    assert_eq!((row(&world).progress.words(), row(&world).why.len()), ("blocked".to_owned(), 3));
    // Somebody takes one of them upon himself, until an hour from now by the state cluster's clock.
    let waiver = Waiver {
        target: Target { cluster: cluster("eu"), ns: ns(), direction: Direction::Egress },
        uid: Some(Text::new("uid-eu")),
        subject: Subject::CronJob(Text::new("b-monthly")),
        reason: Text::new("it only writes to the cluster's own database"),
        stamp: Stamp { by: Text::new("lead"), at: now() },
        expires: now() + TimeDelta::hours(1),
    };
    let kept = Kept { name: Text::new("w"), version: Text::new("1"), created: now(), value: waiver };
    for fact in [SharedFact::Clock(now()), SharedFact::Waivers(Change::Put(kept))] {
        world.absorb(Fact::Shared(fact));
    }
    world.settle();
    assert_eq!(row(&world).why.len(), 2, "the others stand in the way as before");
    // Built anew under the same name: nobody took anything of that one upon himself.
    let met = |uid: &str| {
        let uid = Some(Text::new(uid));
        ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() }
    };
    tell(&mut world, "eu", met("uid-of-the-next"));
    assert_eq!(row(&world).why.len(), 3);
    tell(&mut world, "eu", met("uid-eu"));
    assert_eq!(row(&world).why.len(), 2);
    world.absorb(Fact::Tick(now() + TimeDelta::hours(2)));
    tell(&mut world, "eu", collector(&[("a", 168), ("b", 168)]));
    assert_eq!(row(&world).why.len(), 3, "it ran out");
}

#[test]
fn no_evidence_is_not_the_same_as_not_read() {
    let mut world = world();
    tell(&mut world, "eu", collector(&[("a", 168), ("b", 168)]));
    let eu = cluster("eu");
    let panel = |world: &World| {
        coverage_row(world, world.cluster(&eu).expect("one"), world.namespace(&eu, &ns()).expect("one"))
    };
    assert!(
        panel(&world).workloads.is_none() && panel(&world).churned.is_none() && panel(&world).crons.is_none()
    );
    tell(&mut world, "eu", baseline(vec![edge("web", "a.example", "203.0.113.1", &[2])]));
    let rows = panel(&world).workloads.expect("read");
    let short: Vec<_> = rows.iter().map(|row| (row.workload.name.as_str(), row.pods, row.egress)).collect();
    assert_eq!(short, [("batch", 1, 0), ("web", 1, 1)], "what has no evidence comes first");
    assert_eq!(panel(&world).churned, Some(Vec::new()));
}

#[test]
fn without_rules_nothing_is_called_harmless() {
    let mut world = world();
    tell(&mut world, "eu", collector(&[("a", 168)]));
    tell(&mut world, "eu", baseline(vec![edge("web", "a.example", "203.0.113.1", &[2])]));
    assert_eq!((row(&world).destinations, row(&world).suspects), (Some(1), None));
    world.absorb(Fact::Rules(Arc::new(Rules::default())));
    world.settle();
    assert!(row(&world).suspects.is_some());
}

#[test]
fn a_name_is_one_destination_and_is_found_again_in_other_clusters() {
    let mut world = world();
    let two = vec![
        edge("web", "api.example", "203.0.113.1", &[2, 3]),
        edge("web", "api.example", "203.0.113.2", &[3, 200]),
    ];
    tell(&mut world, "eu", baseline(two));
    tell(&mut world, "us", baseline(vec![edge("cart", "api.example", "203.0.113.9", &[1])]));
    let all = world.discoveries().destinations(&cluster("eu"), &ns()).expect("read");
    let [one] = all else { panic!("{all:?}") };
    assert_eq!((dossier::label(one).as_str(), dossier::more(one)), ("api.example", 1));
    let week = Window { from: now() - TimeDelta::days(7), to: now() };
    assert_eq!(dossier::hours_in(one, week), (2, 168), "the hour before the week does not count");
    let everywhere = dossier::everywhere(world.discoveries(), (&cluster("eu"), &ns()), one);
    let places: Vec<_> =
        everywhere.iter().map(|row| (row.cluster.as_str(), row.destination.workload.name.as_str())).collect();
    assert_eq!(places, [("eu", "web"), ("us", "cart")]);
    assert_eq!(dossier::unread(&world), 0);

    // More addresses come: it is the same row.
    let key = DestinationKey::of(one);
    tell(&mut world, "eu", baseline(vec![edge("web", "api.example", "203.0.113.0", &[1])]));
    let again = &world.discoveries().destinations(&cluster("eu"), &ns()).expect("read")[0];
    assert!(key.is(again));
}

#[test]
fn heat_tells_quiet_from_not_watched() {
    let window = Window { from: now() - TimeDelta::hours(8), to: now() };
    let hours: Hours = [8, 2, 1].into_iter().map(|ago| hour_of(now()) - ago).collect();
    let busy = |hours| Heat::Busy { hours, of: 2 };
    for (credited, want) in [
        (last(8), [busy(1), Heat::Quiet, Heat::Quiet, busy(2)]),
        (last(3), [busy(1), Heat::Unknown, Heat::Unknown, busy(2)]),
        (last(4), [busy(1), Heat::Unknown, Heat::Quiet, busy(2)]),
        (Hours::default(), [busy(1), Heat::Unknown, Heat::Unknown, busy(2)]),
    ] {
        assert_eq!(dossier::heat(&hours, &credited, window, 4), want);
    }
}
