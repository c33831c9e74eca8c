//! What a review that was turned down closes of a soak: exactly what was asked for, never what lies
//! inside of it.

use chrono::TimeDelta;
use sluice::{
    cockpit::{
        ports::{Change, ClusterFact, Fact},
        shared::SharedFact,
    },
    domain::{
        denial::Class,
        flow::Protocol,
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
        names::Text,
        policy::Selector,
        rollout::{Kept, Stamp},
        source::SourceKind,
    },
};

use super::scene::{Scene, at, flow, node, shop, target};

fn turned_down(network: &str, (from, to): (u16, u16)) -> Kept<Review> {
    let grant = Grant {
        clusters: [Text::new("uid-1")].into(),
        ns: shop(),
        selector: Selector::default(),
        direction: target().direction,
        destination: Opening::Networks(vec![network.parse().expect("a network")]),
        ports: vec![PortSpan { protocol: Protocol::Tcp, from, to }],
        expires: at(86_400),
    };
    let decision = Decision {
        verdict: DecisionVerdict::Rejected,
        stamp: Stamp { by: Text::new("sec"), at: at(60) },
        reason: Text::new("nobody needs all of it"),
        ticket: None,
        clusters: grant.clusters.clone(),
        expires: None,
    };
    let value = Review {
        requested_by: Text::new("lead"),
        aliases: Vec::new(),
        grant,
        findings: Vec::new(),
        purpose: Text::new("it was proposed"),
        decisions: vec![decision],
    };
    Kept { name: Text::new("r"), version: Text::new("1"), created: at(0), value }
}

/// Ten minutes of soak are needed and watched; in them 203.0.113.9:443 was denied.
fn soaked(review: Kept<Review>) -> Scene {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let mut plan = scene.world.plan().clone();
    plan.settings.soak.needed = TimeDelta::minutes(10);
    scene.world.absorb(Fact::Fleet(plan));
    scene.world.absorb(Fact::Shared(SharedFact::Reviews(Change::Reset(vec![review]))));
    scene.world.absorb(Fact::Shared(SharedFact::Clock(at(0))));
    let mut denied = flow(90, "a", "x", true);
    denied.destination.names.clear();
    denied.destination.address = "203.0.113.9".parse().ok();
    scene.at(100).tell(ClusterFact::Flows(vec![denied, flow(95, "a", "fine.example", false)]));
    scene.at(12 * 60).tell(ClusterFact::Answered);
    scene.tell(ClusterFact::Heard { node: node("a"), from: at(0), until: at(12 * 60) });
    scene
}

#[test]
fn a_wide_review_that_was_turned_down_closes_no_denial_inside_of_it() {
    let open = "1 hurting group is open: waive it, reject it in review, or write new bytes";
    let class = |scene: &Scene| scene.world.denials().groups().next().expect("one").class;
    for (network, ports) in [("0.0.0.0/0", (1, 65_535)), ("203.0.113.0/28", (443, 443))] {
        let scene = soaked(turned_down(network, ports));
        let judged = scene.row().judged;
        assert_eq!((judged.verdict.word(), class(&scene)), ("withheld", Class::Hurting), "{network}");
        assert_eq!(scene.row().reasons(), [open], "{network}");
    }
    let scene = soaked(turned_down("203.0.113.9/32", (443, 443)));
    assert_eq!((scene.row().judged.verdict.word(), class(&scene)), ("clean", Class::Expected));
}
