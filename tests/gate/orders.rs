//! Asking and deciding: what is sent, and every reason against it.

use std::sync::Arc;

use sluice::{
    cockpit::{
        decide::{Asking, Command, Deciding, Reason, Shown, decide},
        ports::{Change, Effect, Fact, Link},
        shared::{Share, SharedFact, SharedRights},
        world::World,
    },
    domain::{
        flow::Direction,
        grant::{Decision, DecisionVerdict, Grant, Review},
        names::Text,
        policy::Selector,
        rollout::{Kept, Stamp},
    },
    workspace,
};

use super::story::{at, ns, opening, span, world as bare};

/// Sam (here) and kim decide, ann asks; sam is also sam@corp.
fn world(reviews: Vec<Kept<Review>>) -> World {
    let rules = Arc::new(workspace::rules(None).0);
    let mut world = bare(at("2026-01-01"), &[&["sam", "sam@corp"]], Some(&rules));
    for fact in [
        SharedFact::Link(Link::Live),
        SharedFact::Clock(at("2026-03-02")),
        SharedFact::Reviews(Change::Reset(reviews)),
    ] {
        world.absorb(Fact::Shared(fact));
    }
    world
}

fn grant(destination: &str) -> Grant {
    Grant {
        clusters: ["uid-east", "uid-west"].map(Text::new).into(),
        ns: ns("shop"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: opening(destination),
        ports: vec![span("TCP/443")],
        expires: at("2026-06-01"),
    }
}

fn review(name: &str, by: &str) -> Kept<Review> {
    let value = Review {
        requested_by: Text::new(by),
        aliases: vec![Text::new("root")],
        grant: grant("a.ngrok.io"),
        findings: Vec::new(),
        purpose: Text::new("tests"),
        decisions: Vec::new(),
    };
    Kept { name: Text::new(name), version: Text::new("7"), created: at("2026-02-01"), value }
}

fn decided(mut kept: Kept<Review>, verdict: DecisionVerdict) -> Kept<Review> {
    kept.value.decisions.push(Decision {
        verdict,
        stamp: Stamp { by: Text::new("kim"), at: at("2026-02-02") },
        reason: Text::new("looked at it"),
        ticket: None,
        clusters: kept.value.grant.clusters.clone(),
        expires: None,
    });
    kept
}

fn deciding(names: &[&str]) -> Deciding {
    let shown = |name: &&str| Shown { name: Text::new(name), version: Text::new("7") };
    Deciding {
        reviews: names.iter().map(shown).collect(),
        verdict: DecisionVerdict::Approved,
        reason: Text::new("the vendor's own tunnel"),
        ticket: Some(Text::new("SEC-7")),
        expires: None,
        clusters: None,
    }
}

fn refused(world: &World, deciding: Deciding) -> Vec<String> {
    match decide(world, &Command::DecideReview(Box::new(deciding))) {
        Ok(orders) => panic!("{orders:?}"),
        Err(refusal) => refusal.reasons.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_decision_is_written_for_each_review_that_was_shown() {
    let world = world(vec![review("r-1", "ann"), review("r-2", "ann")]);
    let command = Command::DecideReview(Box::new(deciding(&["r-1", "r-2"])));
    let orders = decide(&world, &command).expect("decided");
    let written: Vec<_> = orders
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Share(id, Share::Decide { review, version, decision }) => {
                (id.0, review, version, decision)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(written.len(), 2);
    assert_ne!(written[0].0, written[1].0);
    assert_eq!((written[0].1.as_str(), written[1].1.as_str()), ("r-1", "r-2"));
    for (_, _, version, decision) in written {
        let expected = Decision {
            verdict: DecisionVerdict::Approved,
            // The API server's time, not ours.
            stamp: Stamp { by: Text::new("sam"), at: at("2026-03-02") },
            reason: Text::new("the vendor's own tunnel"),
            ticket: Some(Text::new("SEC-7")),
            clusters: ["uid-east", "uid-west"].map(Text::new).into(),
            expires: None,
        };
        assert_eq!((version.as_str(), &**decision), ("7", &expected));
    }
}

#[test]
fn every_reason_against_a_decision_is_told() {
    let all = || {
        vec![
            review("r-ann", "ann"),
            review("r-own", "sam"),
            review("r-alias", "sam@corp"),
            decided(review("r-yes", "ann"), DecisionVerdict::Approved),
            decided(review("r-no", "ann"), DecisionVerdict::Rejected),
        ]
    };
    let world = world(all());
    let one = |change: &dyn Fn(&mut Deciding)| {
        let mut deciding = deciding(&["r-ann"]);
        change(&mut deciding);
        refused(&world, deciding).join("\n")
    };
    let named = |names: &[&str]| refused(&world, deciding(names)).join("\n");
    let mut out = vec![
        ("own request", named(&["r-own"])),
        ("own request by another name", named(&["r-alias"])),
        ("not there", named(&["r-none"])),
        ("none named", named(&[])),
        ("changed since it was shown", one(&|d| d.reviews[0].version = Text::new("6"))),
        ("no reason", one(&|d| d.reason = Text::new(" \t"))),
        ("expiry in the past", one(&|d| d.expires = Some(at("2026-03-02")))),
        ("expiry beyond the grant", one(&|d| d.expires = Some(at("2026-06-01T00:00:01")))),
        ("another cluster", one(&|d| d.clusters = Some([Text::new("uid-north")].into()))),
        ("no cluster", one(&|d| d.clusters = Some([].into()))),
        ("revoked before it was approved", one(&|d| d.verdict = DecisionVerdict::Revoked)),
        ("bulk", named(&["r-ann", "r-own", "r-none"])),
    ];
    let mut revoke = deciding(&["r-no"]);
    revoke.verdict = DecisionVerdict::Revoked;
    out.push(("revoked after it was rejected", refused(&world, revoke).join("\n")));
    out.push(("read-only", {
        let mut world = self::world(all());
        world.absorb(Fact::ReadOnly);
        refused(&world, deciding(&["r-ann"])).join("\n")
    }));
    out.push(("no right", {
        let mut world = self::world(all());
        let rights = SharedRights { decide_review: Some(false), ..SharedRights::default() };
        world.absorb(Fact::Shared(SharedFact::Rights(rights)));
        refused(&world, deciding(&["r-ann"])).join("\n")
    }));
    out.push(("grant over", {
        let mut world = self::world(all());
        world.absorb(Fact::Shared(SharedFact::Clock(at("2026-06-01"))));
        refused(&world, deciding(&["r-ann"])).join("\n")
    }));
    out.push(("nothing known", refused(&bare(at("2026-03-02"), &[], None), deciding(&["r-ann"])).join("\n")));
    let text: Vec<_> = out.iter().map(|(what, said)| format!("{what}:\n{said}\n")).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn what_is_approved_can_be_revoked_and_decided_again() {
    let world = world(vec![
        decided(review("r-yes", "ann"), DecisionVerdict::Approved),
        decided(review("r-no", "ann"), DecisionVerdict::Rejected),
    ]);
    for (name, verdict) in [
        ("r-yes", DecisionVerdict::Revoked),
        ("r-yes", DecisionVerdict::Rejected),
        ("r-no", DecisionVerdict::Approved),
    ] {
        let deciding = Deciding { verdict, ..deciding(&[name]) };
        assert!(decide(&world, &Command::DecideReview(Box::new(deciding))).is_ok(), "{name} {verdict:?}");
    }
}

#[test]
fn asking_tells_why_it_is_flagged() {
    let world = world(Vec::new());
    let asking = Asking { grants: vec![grant("a.ngrok.io")], purpose: Text::new("a vendor's hook") };
    let orders = decide(&world, &Command::AskReview(Box::new(asking))).expect("asked");
    let [Effect::Share(_, Share::AskReview { grant: asked, findings, purpose })] = orders.effects.as_slice()
    else {
        panic!("{:?}", orders.effects)
    };
    assert_eq!((&**asked, purpose.as_str()), (&grant("a.ngrok.io"), "a vendor's hook"));
    assert!(findings.len() == 1 && findings[0].as_str().starts_with("a.ngrok.io (ngrok"), "{findings:?}");
}

#[test]
fn every_reason_against_asking_is_told() {
    let asked = world(vec![review("r-1", "ann")]);
    let refused = |world: &World, change: &dyn Fn(&mut Grant)| {
        let mut grant = grant("a.ngrok.io");
        change(&mut grant);
        let asking = Asking { grants: vec![grant], purpose: Text::new("why") };
        let refusal = decide(world, &Command::AskReview(Box::new(asking))).expect_err("refused");
        refusal.reasons.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = [
        refused(&asked, &|_| {}),
        refused(&asked, &|grant| grant.expires = at("2026-07-01")),
        refused(&asked, &|grant| grant.expires = at("2026-03-02")),
        refused(&asked, &|grant| {
            grant.clusters.clear();
            grant.ports.clear();
            grant.destination = sluice::domain::grant::Opening::Networks(Vec::new());
        }),
        refused(&bare(at("2026-03-02"), &[], None), &|_| {}),
    ];
    insta::assert_snapshot!(said.map(|lines| lines.join("\n")).join("\n\n"));
    // A wider or another one may be asked for beside it.
    let wider = Grant { ports: vec![span("TCP")], ..grant("a.ngrok.io") };
    let asking = Asking { grants: vec![wider], purpose: Text::new("why") };
    assert!(decide(&asked, &Command::AskReview(Box::new(asking))).is_ok());
    let empty = Asking { grants: vec![grant("b.ngrok.io")], purpose: Text::new("") };
    let refusal = decide(&asked, &Command::AskReview(Box::new(empty))).expect_err("no purpose");
    assert!(matches!(refusal.reasons.as_slice(), [Reason::Review(_)]), "{refusal}");
}
