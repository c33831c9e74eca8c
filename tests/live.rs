//! The product on a simulated fleet: what it sees, and that one bad cluster harms no other (laws 7, 8).

use std::time::Duration;

use crate::support::{engine, engine_with_workspace, fleet, fleet_file, run_for, run_until};
use sluice::{
    cockpit::{
        decide::Command,
        foresights::{self, DryRun},
        orders::Target,
        plan::PolicyFiles,
        ports::Link,
        rows,
    },
    domain::{
        fleet::Enforcement,
        flow::Direction,
        names::{ClusterName, NsName},
    },
    sim::fleet::{faults::Fault, people::Person},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn two_clusters_are_seen_whole_with_who_i_am_and_what_enforces() {
    let fleet = fleet("two", 1);
    let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
    run_until(&mut engine, "all clusters are complete", 30 * SECOND, |world| {
        world
            .clusters()
            .all(|cluster| cluster.is_complete() && cluster.cni.is_some() && cluster.identity.is_some())
    })
    .await;
    for row in rows::clusters(engine.world()) {
        let member = fleet.cluster(row.name.as_str()).expect("in the fleet");
        assert_eq!(row.namespaces, Some(member.server().objects("v1", "Namespace").len()), "{}", row.name);
        assert_eq!(row.user.expect("known").as_str(), "lead");
        assert_eq!(row.cni.enforcement, Enforcement::Enforces, "{:?}", row.cni);
    }
    run_until(&mut engine, "flows are followed", 30 * SECOND, |world| {
        world.clusters().all(|cluster| {
            world
                .source(&cluster.name)
                .and_then(|source| source.state.as_ref())
                .is_some_and(|s| s.link == Link::Live)
        })
    })
    .await;
}

/// Law 7: beside a dead, a slow, a lying and eleven other sick clusters, the well one is whole as
/// soon as on its own, and each sick one says what is wrong with it.
#[tokio::test(start_paused = true)]
async fn sick_clusters_delay_hide_and_colour_no_other() {
    let fleet = fleet("faults", 1);
    let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
    run_until(&mut engine, "the well cluster is whole", 3 * SECOND, |world| {
        world.clusters().any(|cluster| cluster.name.as_str() == "well" && cluster.is_complete())
    })
    .await;
    run_for(&mut engine, 60 * SECOND).await;
    for row in rows::clusters(engine.world()) {
        let word = match row.name.as_str() {
            "dead" | "expired-certificate" | "garbage" => "down",
            "slow" => "degraded",
            "well" | "node-lost" | "lost-events" | "relay-away" | "restarts" => "up",
            _ => continue,
        };
        assert_eq!(row.health.word(), word, "{}: {:?}", row.name, row.health);
        assert_eq!(row.health.reason().is_some(), word != "up", "{}", row.name);
        // What was never read is unknown, not zero.
        assert_eq!(row.namespaces.is_none(), word == "down", "{}", row.name);
        assert!(word == "down" || row.last_good.is_some(), "{} has an age", row.name);
    }
}

/// Law 8: what a source lost is counted, and a broken source makes its figures unknown.
#[tokio::test(start_paused = true)]
async fn losses_are_shown_and_a_broken_source_makes_rates_unknown() {
    let fleet = fleet("two", 1);
    let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
    fleet.fault("east", Fault::LostEvents { count: 120 });
    run_for(&mut engine, 180 * SECOND).await;
    fleet.fault("west", Fault::RelayAway);
    run_for(&mut engine, 60 * SECOND).await;
    let rows: Vec<_> = rows::clusters(engine.world()).collect();
    let (east, west) = (&rows[0], &rows[1]);
    assert!(east.source.lost > Some(0) && east.source.gaps > Some(0), "{:?}", east.source);
    assert_eq!((west.source.lost, west.denials_per_minute), (Some(0), None), "{:?}", west.source);
    assert_eq!(west.source.link, "broken");
    assert!(west.source.gaps > Some(0), "a break is a gap: {:?}", west.source);
}

/// A cluster without a collector says so at once and is not asked for one.
#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_collector_says_how_to_get_one() {
    let fleet = fleet("two", 1);
    let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
    run_until(&mut engine, "the missing collector is told", 30 * SECOND, |world| {
        world.clusters().all(|cluster| {
            let row = sluice::cockpit::discovery::collector_row(world, &cluster.name);
            format!("{row:?}").contains("sluice-collect.yaml")
        })
    })
    .await;
}

/// A reader is foretold what the workspace's bytes do, whoever may write also what the server makes of
/// them; neither changes anything.
#[tokio::test(start_paused = true)]
async fn who_may_not_write_is_foretold_without_a_dry_run_and_told_why() {
    let row = Target {
        cluster: ClusterName::parse("east").expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    };
    for (person, not_asked) in [
        (
            Person::Viewer,
            Some("viewer may not create network policies in east (RBAC); ask its admin for the right"),
        ),
        (Person::Lead, None),
    ] {
        let fleet = fleet("two", 1);
        let workspace = tempfile::tempdir().expect("a folder");
        let mut engine = engine_with_workspace(&fleet, person, workspace.path());
        run_until(&mut engine, "the cluster is seen, with its rights", 30 * SECOND, |world| {
            let east = world.cluster(&row.cluster);
            east.is_some_and(|east| east.is_complete() && east.rights.everywhere().may_apply().is_some())
        })
        .await;
        let policies = || fleet.cluster("east").expect("in the fleet").server().policies().len();
        let before = policies();
        engine.command(&Command::Foresee(row.clone())).expect("nothing is against it");
        run_until(&mut engine, "it is foretold", 60 * SECOND, |world| {
            foresights::current(world, &row).is_some()
        })
        .await;
        let (told, _) = foresights::current(engine.world(), &row).expect("told");
        let why = match &told.dry_run {
            DryRun::Passed => None,
            DryRun::NotAsked(why) => Some(why.as_str()),
            DryRun::Refused(_) | DryRun::Failed(_) => panic!("{:?}", told.dry_run),
        };
        assert_eq!(why, not_asked, "{person:?}");
        let it = told.told.as_ref().expect("the cluster was looked at");
        assert!(told.closing.isolated.pods > 0, "{:?}", told.closing);
        assert_eq!(told.closing.isolated.v4, told.closing.isolated.pods, "the pods have IPv4 alone");
        assert_eq!(it.turned.len(), told.closing.isolated.pods);
        assert!(told.teller.is_err(), "no collector runs there, and there is no document");
        assert_eq!(policies(), before);
    }
}
