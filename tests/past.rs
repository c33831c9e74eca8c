//! The past of the demo's fleet, held to the product: what the simulation left in the state cluster is
//! read without a complaint, is of the very bytes that are live, and is judged as the scenario means it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use sluice::{
    cockpit::{
        planned::{self, Ask},
        world::World,
    },
    domain::{
        flow::Direction,
        journal,
        policy::PolicyDigest,
        rollout::Target,
        wave::{Left, Verdict},
    },
    k8s::shared::{evidence, hold, journal as entries, review, rollout},
    manifest,
    sim::fleet::{
        companions,
        people::Person,
        running::{Fleet, Member},
        workspace,
    },
    workspace::root::{self, Place},
};

use crate::support;

fn state(fleet: &Fleet) -> &Member {
    fleet.clusters().iter().find(|member| member.spec().state).expect("the demo has a state cluster")
}

fn all(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let found = state(fleet).server().objects("sluice.dev/v1alpha1", kind);
    found.iter().map(|object| Value::clone(object)).collect()
}

/// The digest of what the API server of a cluster holds of a row, as the product computes it.
fn live_digest(fleet: &Fleet, target: &Target) -> PolicyDigest {
    let policies = fleet.cluster(target.cluster.as_str()).expect("a cluster").server().policies();
    let is_ours = |policy: &Value| {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        policy["metadata"]["namespace"] == target.ns.as_str() && name.contains(target.direction.as_str())
    };
    let ours = policies.iter().filter(|policy| is_ours(policy));
    let read: Vec<_> = ours.map(|policy| manifest::policy(policy).expect("a policy")).collect();
    let expected = match target.direction {
        Direction::Egress => 3,
        Direction::Ingress => 2,
    };
    assert_eq!(read.len(), expected, "{target}");
    PolicyDigest::of(&read)
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_of_the_bytes_that_are_live() {
    let fleet = support::fleet("demo", 1);
    let (mut live, mut back) = (0, 0);
    for object in all(&fleet, "Rollout") {
        let record = rollout::decode(&object).expect("a record").value;
        let target = &record.target;
        if record.rolled_back.is_some() {
            back += 1;
            continue;
        }
        live += 1;
        let digest = live_digest(&fleet, target);
        assert_eq!(record.applied.expect("it was applied").digest, digest, "{target}");
        assert!(record.clean.is_none_or(|clean| clean.digest == digest), "{target}");
    }
    assert_eq!((live, back), (10, 1), "7 of egress and 3 of ingress");
    for object in all(&fleet, "Evidence") {
        let evidence = evidence::decode(&object).expect("evidence").value;
        let target = &evidence.target;
        let digest = live_digest(&fleet, target);
        assert_eq!(evidence.digest, digest, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn reviews_holds_and_the_journals_chain_are_read() {
    let fleet = support::fleet("demo", 1);
    let mut standing: Vec<_> = all(&fleet, "Review")
        .iter()
        .map(|object| review::decode(object).expect("a review").value)
        .map(|review| {
            let last = review.decisions.last().map_or("open", |decision| decision.verdict.as_str());
            (review.grant.ns.to_string(), last)
        })
        .collect();
    standing.sort();
    let expected =
        [("notifications", "rejected"), ("partners", "approved"), ("shipping", "open"), ("support", "open")];
    assert_eq!(standing, expected.map(|(ns, verdict)| (ns.to_owned(), verdict)));
    for object in all(&fleet, "Hold") {
        hold::decode(&object).expect("a hold");
    }
    for object in all(&fleet, "Exclusion") {
        hold::decode_exclusion(&object).expect("an exclusion");
    }
    let mut journal: Vec<_> = all(&fleet, "JournalEntry")
        .iter()
        .map(|object| entries::decode(object).expect("an entry").value)
        .collect();
    journal.sort_by_key(|entry| entry.number);
    assert_eq!(journal.len(), 16, "11 applies, 1 rollback, 2 decisions, a hold and an exclusion");
    journal::verify(&journal).expect("the chain holds");
    assert!(journal.windows(2).all(|two| two[0].stamp.at <= two[1].stamp.at), "in the order of time");
}

fn is_read(world: &World) -> bool {
    world.shared().is_live() && world.clusters().all(|cluster| cluster.is_complete() && cluster.cni.is_some())
}

/// One line a row of a direction that is not simply waiting.
fn rows(world: &World, direction: Direction) -> BTreeSet<String> {
    let told = planned::plan_rows(world, direction).filter(|row| row.wave <= 2);
    let told = told.filter(|row| row.ask != Ask::Waits || row.is_again());
    told.map(|row| {
        let target = &row.row.target;
        let word = match row.row.left() {
            Some(Left::Excluded) => "excluded",
            _ => row.row.state.word(),
        };
        format!("{} {}/{} {word}", row.wave, target.cluster, target.ns)
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn the_real_soak_clock_judges_the_past_as_it_is_meant() {
    let fleet = support::fleet("demo", 1);
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("it is written");
    companions::write(&fleet, folder.path()).expect("it is written");
    let place = Place { root: folder.path().to_owned(), only: Vec::new() };
    let mut read = root::read(&place).expect("the demo's workspace is valid");
    let (rules, _) = sluice::workspace::rules(Some(&place));
    let (flagged, troubles) = sluice::workspace::evidence::read(folder.path(), &read.fleet, &rules);
    assert_eq!(troubles, [], "the evidence beside the documents is read whole");
    let suspects = |cluster: &str, ns: &str| {
        let found = flagged.iter().find(|((on, of), _)| on.as_str() == cluster && of.as_str() == ns);
        found.map(|(_, flagged)| flagged.len())
    };
    // Where push sends its failures to, the tunnel of the support desk, and nothing that shop calls.
    let known = [("staging-us", "notifications"), ("prod-tools", "support"), ("staging-us", "shop")];
    assert_eq!(known.map(|(cluster, ns)| suspects(cluster, ns)), [Some(1), Some(1), Some(0)]);
    read.files.flagged = Some(flagged);
    let mut engine = support::engine(&fleet, Person::Lead, read.fleet, read.files);
    support::run_until(&mut engine, "everything is read", Duration::from_secs(60), is_read).await;
    support::run_for(&mut engine, Duration::from_secs(150)).await;
    let world = engine.world();
    let expected = [
        "1 staging-us/accounts clean",
        "2 staging-eu/inventory clean",
        "2 staging-eu/search clean",
        "2 staging-us/checkout clean",
        "2 staging-us/ci-runners excluded",
        "2 staging-us/data clean",
        "2 staging-us/media rolled back",
        "2 staging-us/notifications clean",
        "2 staging-us/payments soaking",
    ];
    assert_eq!(rows(world, Direction::Egress), expected.map(str::to_owned).into());
    let expected = [
        "1 staging-us/accounts clean",
        "2 staging-us/checkout soaking",
        "2 staging-us/ci-runners excluded",
        "2 staging-us/notifications soaking",
    ];
    assert_eq!(rows(world, Direction::Ingress), expected.map(str::to_owned).into());
    let verdicts = |direction| -> Vec<_> {
        world.waves().plan(direction).waves.iter().take(3).map(|wave| wave.verdict).collect()
    };
    assert_eq!(verdicts(Direction::Egress), [Verdict::Done, Verdict::Held, Verdict::Ahead]);
    assert_eq!(verdicts(Direction::Ingress), [Verdict::Done, Verdict::Open, Verdict::Ahead]);
    for target in world.soaks().targets().filter(|target| target.cluster.as_str().starts_with("staging")) {
        let soak = world.soaks().row(&target, world).expect("it soaks");
        let (ns, direction) = (target.ns.as_str(), target.direction);
        let is_clean = match direction {
            Direction::Egress => ns != "payments",
            Direction::Ingress => ns == "accounts",
        };
        assert_eq!(soak.judged.verdict.is_clean(), is_clean, "{target}: {:?}", soak.judged.verdict);
        assert_eq!(soak.restarts, [], "{target}");
        // 27 hours less the four minutes before the demo, and the newest minutes.
        if direction == Direction::Ingress && !is_clean {
            assert!((1_612..=1_620).contains(&soak.judged.credited), "{}", soak.judged.credited);
            assert_eq!(soak.judged.open, [], "{target}");
        }
        // 31 hours less 95 minutes of silence, those four, and the newest ones.
        if direction == Direction::Egress && !is_clean {
            assert!((1_757..=1_765).contains(&soak.judged.credited), "{}", soak.judged.credited);
            assert_eq!(soak.judged.open.len(), 1, "fraud and its risk scores");
        }
    }
}
