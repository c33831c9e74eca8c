//! The product on a simulated fleet: what it sees, and that one bad cluster harms no other (laws 7, 8).

mod support;

use std::time::Duration;

use sluice::{
    cockpit::{plan::PolicyFiles, ports::Link, rows},
    domain::fleet::Enforcement,
    sim::fleet::people::Person,
};
use support::{engine, fleet, fleet_file, run_until};

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
