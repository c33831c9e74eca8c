//! The soak clock in the whole product: API server and relay are simulated, the rest is not. Credit
//! grows while every node that runs the namespace's pods is heard, and stands still for each fault.

use std::time::Duration;

use crate::support::{engine, fleet, fleet_file, run_for};
use serde_json::json;
use sluice::{
    cockpit::{plan::PolicyFiles, soaks::SoakRow},
    domain::{
        evidence::Cause,
        flow::Direction,
        names::{ClusterName, NsName},
        rollout::Target,
    },
    engine::Engine,
    sim::fleet::{faults::Fault, people::Person, running::Fleet},
};

const MINUTE: Duration = Duration::from_secs(60);

fn target() -> Target {
    Target {
        cluster: ClusterName::parse("east").expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    }
}

/// Closed, and its allowlist lets everything through: nothing is denied.
fn seed(fleet: &Fleet) {
    let everything = json!([{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }]);
    for (name, egress) in [
        ("default-deny-egress", json!([])),
        ("egress-baseline-allow", everything.clone()),
        ("egress-allowlist", everything),
    ] {
        fleet.cluster("east").expect("it is there").server().seed(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": egress },
        }));
    }
}

/// Lets time pass: credited minutes of these, and how it stands then.
async fn pass(engine: &mut Engine, minutes: u32, before: &mut i64) -> (i64, SoakRow) {
    run_for(engine, MINUTE * minutes).await;
    let row = engine.world().soaks().row(&target(), engine.world()).expect("its set is live and closed");
    let credited = row.judged.credited - *before;
    *before = row.judged.credited;
    (credited, row)
}

fn minutes_of(row: &SoakRow, cause: Cause) -> i64 {
    row.judged.pauses.iter().filter(|pause| pause.cause == cause).map(|pause| pause.spans.minutes()).sum()
}

#[tokio::test(start_paused = true)]
async fn credit_grows_with_signs_of_every_node_and_stands_still_for_each_fault() {
    let fleet = fleet("two", 1);
    seed(&fleet);
    let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
    let before = &mut 0;
    // The first minute is not whole, and the last one waits for its signs.
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!((8..=9).contains(&credited), "{credited}: {:?}", row.judged);
    assert_eq!(row.judged.in_force, row.judged.nodes, "{:?}", row.judged);

    // The relay lists it as connected, and hears nothing of it.
    fleet.fault("east", Fault::NodeLost { node: "worker-1".to_owned() });
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!(credited <= 1, "{credited}: {:?}", row.judged);
    assert!(minutes_of(&row, Cause::SourceSilent) >= 9, "{:?}", row.judged);
    // What the node still had in its ring buffer was read again in full.
    fleet.heal("east");
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!((8..=20).contains(&credited), "{credited}: {:?}", row.judged);

    // No relay: nothing counts until the nodes' history was read again, and then all of it does.
    fleet.fault("east", Fault::RelayAway);
    let (credited, row) = pass(&mut engine, 4, before).await;
    assert!(credited <= 1, "{credited}: {:?}", row.judged);
    fleet.heal("east");
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!(credited >= 12, "{credited}: {:?}", row.judged);

    // Nobody knows which bytes were live, or what ran where.
    fleet.fault("east", Fault::Dead);
    let (credited, row) = pass(&mut engine, 5, before).await;
    assert!(credited <= 1, "{credited}: {:?}", row.judged);
    fleet.heal("east");
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!((7..=10).contains(&credited), "{credited}: {:?}", row.judged);
    assert!((5..=8).contains(&minutes_of(&row, Cause::WatchBroken)), "{:?}", row.judged);

    // Each minute in which something was lost is void, and no other.
    fleet.fault("east", Fault::LostEvents { count: 60 });
    let (credited, row) = pass(&mut engine, 5, before).await;
    assert!(credited <= 1, "{credited}: {:?}", row.judged);
    fleet.heal("east");
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!((8..=10).contains(&credited), "{credited}: {:?}", row.judged);
    assert!((5..=6).contains(&minutes_of(&row, Cause::Loss)), "{:?}", row.judged);

    // A node whose clock is an hour ahead is not believed.
    fleet.fault("east", Fault::ClockSkew { node: "worker-1".to_owned(), seconds: 3_600 });
    let (credited, row) = pass(&mut engine, 10, before).await;
    assert!(credited <= 1, "{credited}: {:?}", row.judged);
}
