//! Whoever holds a cluster's Lease publishes its evidence: at most once a minute, once more when its
//! clock stops, and a last time when it ends. On a simulated fleet whose first cluster keeps the state.

use std::{collections::BTreeMap, time::Duration};

use sluice::{
    cockpit::{
        settings::StatePlace,
        shared::{Share, ShareId},
        world::World,
    },
    domain::{
        evidence::{Cause, Evidence, Exercised, Ground, Pause, Trail, Verdicts},
        flow::Direction,
        names::{ClusterName, NodeName},
        policy::PolicyDigest,
        rollout::Target,
        spans::{Spans, inside, minute_of},
    },
    engine::{Claims, Engine, Soaks},
    k8s::lease::Role,
    sim::fleet::{people::Person, running::Fleet, scenario::Scenario},
};

use crate::support;

use super::{name, ns, run_for, run_until, start};

/// One rollout a cluster, seen by a clock that stands still from the fifth minute on.
const SOAKS: Soaks = Soaks { targets, evidence };

fn targets(_: &World, cluster: &ClusterName) -> Vec<Target> {
    vec![Target { cluster: cluster.clone(), ns: ns("shop"), direction: Direction::Egress }]
}

pub fn evidence(world: &World, target: &Target) -> Option<Evidence> {
    let minutes = || Spans::of([inside(start(), world.now())]);
    let stopped = minute_of(world.now()) >= minute_of(start()) + 5;
    let pause = || Pause {
        cause: Cause::SourceSilent,
        spans: Spans::of(std::iter::once(minute_of(start()) + 5..minute_of(start()) + 600)),
        why: "silent".into(),
    };
    Some(Evidence {
        target: target.clone(),
        uid: "uid".into(),
        digest: PolicyDigest::of([]),
        since: start(),
        until: world.now(),
        observer: "nobody".into(),
        ground: Ground::default(),
        looked: minutes(),
        nodes: BTreeMap::from([(
            NodeName::parse("worker-1").expect("a name"),
            Trail { ran: minutes(), heard: minutes(), void: Vec::new() },
        )]),
        pauses: stopped.then(pause).into_iter().collect(),
        restarts: Vec::new(),
        verdicts: Verdicts::default(),
        groups: Vec::new(),
        more_groups: 0,
        jobs: BTreeMap::new(),
        exercised: Exercised::default(),
    })
}

fn fleet() -> Fleet {
    let mut scenario = Scenario::named("two").expect("built in");
    scenario.clusters[0].state = true;
    support::fleet_of(&scenario, 7)
}

fn engine(fleet: &Fleet, person: Person, role: Role) -> Engine {
    let mut plan = support::fleet_file(fleet);
    let state = fleet.clusters()[0].name();
    plan.settings.state = Some(StatePlace { cluster: name(state), ns: ns("sluice") });
    let mut engine = support::engine(fleet, person, plan, Default::default());
    let claims =
        Claims { role: Some(role), host: "host".into(), nonce: person.name().into(), ..Claims::default() };
    engine.observe(claims, SOAKS);
    engine
}

fn stored(engine: &Engine) -> Vec<String> {
    let all = engine.world().shared().all_evidence();
    all.map(|kept| format!("{} by {}", kept.value.target, kept.value.observer)).collect()
}

/// Writes of the state cluster's Evidence objects: their versions, as they came.
fn writes(engine: &Engine) -> usize {
    engine.world().shared().wrote().iter().filter(|written| written.what.as_str() == "write evidence").count()
}

#[tokio::test(start_paused = true)]
async fn evidence_is_written_once_a_minute_at_each_stop_and_at_the_end() {
    let fleet = fleet();
    let clusters: Vec<_> = fleet.clusters().iter().map(|member| member.name().to_owned()).collect();
    let mut lead = engine(&fleet, Person::Lead, Role::Cockpit);
    let both = |world: &World| world.shared().all_evidence().count() == 2;
    run_until(&mut lead, "both clusters have evidence", Duration::from_secs(40), both).await;
    let expected: Vec<_> =
        clusters.iter().map(|cluster| format!("{cluster}/shop egress by lead on host")).collect();
    assert_eq!(stored(&lead), expected);
    let results: Vec<_> =
        lead.world().shared().wrote().iter().filter_map(|it| it.result.clone().err()).collect();
    assert_eq!(results, []);
    // Up to the fifth minute nothing stops.
    let at = writes(&lead);
    assert_eq!(at, 2);
    let elapsed = (lead.world().now() - start()).num_seconds();
    run_for(&mut lead, Duration::from_secs(u64::try_from(295 - elapsed).expect("early"))).await;
    let regular = writes(&lead);
    assert!((8..=10).contains(&regular), "{regular} writes of two rollouts in five minutes");
    // Then both clocks stop, which is written at once.
    run_for(&mut lead, Duration::from_secs(20)).await;
    assert!((regular + 2..=regular + 4).contains(&writes(&lead)), "{} after {regular}", writes(&lead));
    let kept = lead.world().shared().all_evidence().next().expect("it").value.clone();
    assert_eq!(kept.pauses.len(), 1);
    // And a last time, after which the Leases are free.
    while lead.leave() {
        lead.turn().await;
    }
    let last = lead.world().shared().all_evidence().next().expect("it").value.until;
    assert!(lead.world().now() - last < chrono::TimeDelta::seconds(5), "{last}");
    let lease = &fleet.clusters()[0].server().objects("coordination.k8s.io/v1", "Lease")[0];
    assert_eq!(lease["spec"]["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn whoever_observes_may_forget_evidence_in_the_version_that_was_seen_and_no_other() {
    let fleet = fleet();
    let mut lead = engine(&fleet, Person::Lead, Role::Cockpit);
    let both = |world: &World| world.shared().all_evidence().count() == 2;
    run_until(&mut lead, "both clusters have evidence", Duration::from_secs(40), both).await;
    let kept = lead.world().shared().all_evidence().next().expect("it").clone();
    let forget = |version: &str| Share::Forget { evidence: kept.name.clone(), version: version.into() };
    let answers = |engine: &Engine| {
        let wrote = engine.world().shared().wrote().iter();
        let forgot = wrote.filter(|it| it.what.as_str() == "forget evidence");
        forgot.map(|it| it.result.is_ok()).collect::<Vec<_>>()
    };
    lead.share(ShareId(1), forget("1"));
    run_for(&mut lead, Duration::from_secs(2)).await;
    assert_eq!(answers(&lead), [false]);
    lead.share(ShareId(2), forget(kept.version.as_str()));
    run_for(&mut lead, Duration::from_secs(2)).await;
    assert_eq!(answers(&lead), [false, true]);
    assert_eq!(lead.world().shared().all_evidence().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_observer_continues_what_the_first_one_wrote() {
    let fleet = fleet();
    let mut lead = engine(&fleet, Person::Lead, Role::Cockpit);
    let both = |world: &World| world.shared().all_evidence().count() == 2;
    run_until(&mut lead, "both clusters have evidence", Duration::from_secs(40), both).await;
    run_for(&mut lead, Duration::from_secs(200)).await;
    let seen = lead.world().shared().all_evidence().next().expect("it").value.clone();
    drop(lead);
    let mut oncall = engine(&fleet, Person::OnCall, Role::Watch);
    // Each engine of a test begins at the same moment: the second one has to get past the first.
    run_for(&mut oncall, Duration::from_secs(400)).await;
    assert_eq!(stored(&oncall).len(), 2);
    assert!(stored(&oncall).iter().all(|it| it.ends_with("by watch on host")), "{:?}", stored(&oncall));
    let joined = oncall.world().shared().all_evidence().next().expect("it").value.clone();
    let node = NodeName::parse("worker-1").expect("a name");
    let mut lost = seen.nodes[&node].heard.clone();
    lost.subtract(&joined.nodes[&node].heard);
    assert!(lost.is_empty() && seen.until <= joined.until, "what the first one saw is still there");
}

#[tokio::test(start_paused = true)]
async fn a_read_only_cockpit_and_a_viewer_publish_nothing() {
    let fleet = fleet();
    let mut viewer = engine(&fleet, Person::Viewer, Role::Cockpit);
    run_for(&mut viewer, Duration::from_secs(120)).await;
    assert_eq!((super::link(&viewer).as_str(), stored(&viewer).len()), ("live", 0));
}
