//! A row that Goldmane tells of: it names no node and tells no loss, so flows prove nothing by
//! themselves; probes that were denied do. What would be denied counts nowhere.

use chrono::TimeDelta;
use sluice::{
    cockpit::ports::{ClusterFact, Fact},
    documents::denials,
    domain::{
        denial::Class,
        flow::{Direction, End, Entity, Flow, PolicyRef, Verdict},
        names::{PolicyName, Text, Workload},
        policy::PolicyKind,
        probe,
        source::SourceKind,
    },
};

use super::scene::{Scene, at, flow, node, shop};

/// A flow as Goldmane tells it: by workload, to nobody in particular, on no node.
fn told(secs: i64, verdict: Verdict) -> Flow {
    let source = End { ns: Some(shop()), workload: Some(Workload::new("", "cart")), ..End::default() };
    let destination = End { entity: Some(Entity::World), ..End::default() };
    Flow { node: None, source, destination, verdict, ..flow(secs, "a", "-", false) }
}

fn by() -> Vec<PolicyRef> {
    let name = PolicyName::parse("egress-allowlist").expect("a name");
    vec![PolicyRef { kind: PolicyKind::NetworkPolicy, ns: Some(shop()), name }]
}

fn ten_minutes() -> Scene {
    let mut scene = Scene::new(SourceKind::Goldmane, &["a"]);
    let mut plan = scene.world.plan().clone();
    plan.settings.soak.needed = TimeDelta::minutes(10);
    scene.world.absorb(Fact::Fleet(plan));
    scene.world.settle();
    scene
}

#[test]
fn a_row_of_goldmane_soaks_by_its_heartbeat_and_only_by_it() {
    let mut scene = ten_minutes();
    for secs in (60..=720).step_by(60) {
        scene.at(secs).tell(ClusterFact::Answered);
        scene.tell(ClusterFact::Flows(vec![told(secs, Verdict::Allowed { by: by() })]));
    }
    let row = scene.row();
    assert_eq!((row.judged.credited, row.judged.in_force), (0, 0), "its flows are on no node");
    assert_eq!(
        row.reasons(),
        [
            "accepted, not yet seen in force on a",
            "the source cannot prove that it lives: switch the probe on, else only an override passes it",
        ]
    );
    for secs in [720, 1_020, 1_320, 1_620] {
        scene.at(secs).tell(ClusterFact::Answered);
        scene.tell(ClusterFact::Probed {
            ns: shop(),
            direction: Direction::Egress,
            node: node("a"),
            at: at(secs),
            outcome: probe::Outcome::Denied,
        });
    }
    let row = scene.row();
    assert_eq!(scene.credit(), (12..27).collect::<Vec<_>>());
    assert!(row.judged.verdict.is_clean(), "{:?}", row.judged.verdict);
    assert_eq!(
        row.rests.as_str(),
        "probes that were denied on each node, as Goldmane alone proves nothing; in force on 1 of 1 nodes, \
         proved by a probe on 1; verdicts: 12 allowed, 0 denied"
    );
}

/// It knows workloads by name only; their kind comes from the pods, so that one workload is one group.
#[test]
fn what_would_be_denied_withholds_nothing_and_credits_nothing() {
    let mut scene = ten_minutes();
    let audit = Verdict::Audit { said: Text::new("staged: end of tier default"), by: by() };
    scene.at(60).tell(ClusterFact::Flows(vec![told(60, audit)]));
    let seen = scene.world.denials();
    assert_eq!((seen.total(), seen.groups().len()), (0, 0));
    let would: Vec<_> = seen.would().collect();
    assert_eq!((would.len(), would[0].class, would[0].count), (1, Class::Would, 1));
    assert_eq!(would[0].key.workload, Some(Workload::new("Deployment", "cart")));
    assert_eq!(would[0].said.as_str(), "staged: end of tier default");
    let row = scene.row();
    assert_eq!((row.judged.credited, row.judged.in_force), (0, 0));
    let verdicts = row.rests.as_str();
    assert!(verdicts.ends_with("verdicts: 0 allowed, 0 denied"), "{verdicts}");
    let wanted = denials::Wanted::default();
    let text = denials::text(&scene.world, &wanted);
    assert!(text.starts_with("No denials were seen.\n"), "{text}");
    assert!(text.contains("\nwould deny  -     1"), "{text}");
    let json = denials::json_lines(&scene.world, &wanted);
    assert!(
        json.contains("\"class\":\"would deny\"") && json.contains("\"limits\":[\"no addresses"),
        "{json}"
    );
    let denied = Verdict::Denied { said: Text::new("end of tier default"), by: by() };
    scene.at(120).tell(ClusterFact::Flows(vec![told(120, denied)]));
    let seen = scene.world.denials();
    assert_eq!((seen.groups().len(), seen.would().len()), (1, 1), "the same, really denied, is another");
}
