//! Goldens of what is handed over, from the small fleet and what its team shares: soak report,
//! handover, open ends, and what the journal is told of acts.

use chrono::{FixedOffset, TimeDelta};

use super::{
    fixture::{HOSTILE, team_world},
    handover, open_ends, report,
    tests::{cluster, denial, now, ns, pod, target, world, world_with_orders},
};
use crate::{
    cockpit::{
        handover::handover as shift,
        open_ends::open_ends as ends,
        ports::{Change, ClusterFact, Effect, Fact},
        recording,
        report::soak_report,
        shared::Share,
        world::World,
    },
    domain::{
        fleet::Pod,
        grant::Decision,
        hold::{HoldKind, Scope, Subject},
        names::{NodeName, Text, is_hostile},
    },
    workspace,
};

fn zone() -> FixedOffset {
    FixedOffset::east_opt(3_600).expect("in range")
}

/// The fleet two hours later: one node heard for all but twenty minutes, another never.
fn later() -> World {
    let mut world = team_world();
    let (rules, _) = workspace::rules_of(&Default::default(), None);
    world.absorb(Fact::Rules(std::sync::Arc::new(rules)));
    let tell = |world: &mut World, fact| {
        world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
        world.settle();
    };
    let node = |n: usize| NodeName::parse(&format!("node-{n}")).ok();
    let pods = ["web-1", "web-2"].iter().enumerate().map(|(n, name)| Pod { node: node(n + 1), ..pod(name) });
    tell(&mut world, ClusterFact::Pods(Change::Reset(pods.collect())));
    let denied = [
        denial(90, [192, 0, 2, 9], now() + TimeDelta::minutes(5)),
        denial(91, [198, 51, 100, 1], now() + TimeDelta::minutes(6)),
    ];
    for minute in 1..=120 {
        let at = now() + TimeDelta::minutes(minute);
        world.absorb(Fact::Tick(at));
        tell(&mut world, ClusterFact::Answered);
        if minute == 10 {
            tell(&mut world, ClusterFact::Flows(denied.to_vec()));
        }
        if !(60..80).contains(&minute) {
            for n in [1, 2] {
                let heard = ClusterFact::Heard {
                    node: node(n).expect("valid"),
                    from: at - TimeDelta::minutes(1),
                    until: at,
                };
                tell(&mut world, heard);
            }
        }
    }
    world
}

#[test]
fn the_soak_report_of_a_rollout() {
    let report = soak_report(&later(), &target()).expect("there");
    insta::assert_snapshot!("soak-report.md", report::markdown(&report));
    insta::assert_snapshot!("soak-report.json", report::json(&report));
}

/// Nothing is live, and nothing of the team is read: the report says so and claims nothing.
#[test]
fn the_report_of_what_is_not_known() {
    let mut other = target();
    other.ns = ns("pay");
    let report = soak_report(&world(), &other).expect("there");
    insta::assert_snapshot!("soak-report-unknown.md", report::markdown(&report));
    other.cluster = cluster("far");
    assert_eq!(soak_report(&world(), &other), None);
}

#[test]
fn the_handover_of_a_shift() {
    let handed = shift(&later(), TimeDelta::hours(12));
    insta::assert_snapshot!("handover.md", handover::markdown(&handed));
    insta::assert_snapshot!("handover.txt", handover::text(&handed, zone()));
    insta::assert_snapshot!("handover.json", handover::json(&handed));
}

/// Without a state cluster, and with orders of this run that did not end well.
#[test]
fn the_handover_without_a_team() {
    let handed = shift(&world_with_orders(), TimeDelta::hours(8));
    insta::assert_snapshot!("handover-alone.txt", handover::text(&handed, zone()));
}

#[test]
fn open_ends_are_one_list_with_age_owner_and_due_date() {
    let world = team_world();
    let all = ends(&world);
    insta::assert_snapshot!("open-ends.txt", open_ends::text(all.as_deref(), now()));
    insta::assert_snapshot!("open-ends.md", open_ends::markdown(all.as_deref(), now()));
    insta::assert_snapshot!("open-ends.json", open_ends::json(all.as_deref()));
    assert_eq!(
        open_ends::text(None, now()),
        "Open ends are not known: the state cluster has not answered.\n"
    );
    assert_eq!(open_ends::json(None), "null\n");
    assert_eq!(ends(&super::tests::world()), None);
}

/// Law 9: no control byte reaches a reader, no cell is left, nothing becomes markup.
#[test]
fn hostile_words_stay_text_in_everything_that_is_handed_over() {
    let world = later();
    let report = soak_report(&world, &target()).expect("there");
    let handed = shift(&world, TimeDelta::hours(12));
    let all = ends(&world);
    let pages =
        [report::markdown(&report), handover::markdown(&handed), open_ends::markdown(all.as_deref(), now())];
    for page in &pages {
        assert!(
            page.contains("see\u{fffd}\\[2J\\|\\`x\\`\\|\u{fffd}\\# &lt;img src=x&gt; \u{fffd}\\[a\\](b)"),
            "{page}"
        );
        assert!(!page.contains("<img"), "{page}");
        let mut columns = None;
        for line in page.lines() {
            let is_row = line.starts_with('|');
            let bars = line.replace("\\|", "").matches('|').count();
            assert!(!is_row || *columns.get_or_insert(bars) == bars, "{line}");
            if !is_row {
                columns = None;
            }
        }
    }
    let text = [
        pages.concat(),
        report::json(&report),
        handover::text(&handed, zone()),
        handover::json(&handed),
        open_ends::text(all.as_deref(), now()),
        open_ends::json(all.as_deref()),
    ]
    .concat();
    assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)));
}

fn words(draft: &recording::Draft) -> String {
    let facts: String = draft.facts.iter().map(|fact| format!("    {fact}\n")).collect();
    format!("{} by {}: {}\n{facts}", draft.act.as_str(), draft.stamp.by, draft.object)
}

/// What the journal is told, act by act.
#[test]
fn acts_as_the_journal_tells_them() {
    let world = team_world();
    let long = "x".repeat(900);
    let shares = [
        Share::Decide {
            review: Text::new("review-1"),
            version: Text::new("1"),
            decision: Box::new(Decision {
                reason: Text::new(HOSTILE),
                ..super::fixture::review().decisions[0].clone()
            }),
        },
        Share::Hold {
            scope: Scope::Cluster(cluster("prod-eu")),
            kind: HoldKind::Exclusion,
            reason: Text::new(&long),
            expires: Some(now()),
        },
        Share::Release { hold: Text::new("hold-1"), version: Text::new("1") },
        Share::Waive {
            target: target(),
            subject: Subject::Quiet,
            reason: Text::new("nothing runs at night"),
            expires: now(),
        },
        Share::Confirm { over: Text::new("override-1"), version: Text::new("1") },
    ];
    let mut said: String =
        shares.iter().map(|share| words(&recording::shared(&world, share).expect("an act"))).collect();
    let ordered = world_with_orders();
    said.push_str(&words(
        &recording::at_once(&ordered, &Effect::Abort(crate::cockpit::orders::OrderId(2))).expect("an act"),
    ));
    let receipts = ordered.orders().activity().iter().flat_map(|entry| recording::called(&entry.receipt));
    said.extend(receipts.map(|fact| format!("    {fact}\n")));
    let commands = vec!["kubectl apply -f crds.yaml".to_owned()];
    said.push_str(&words(&recording::install(&ordered, &cluster("prod-eu"), &commands, "done")));
    let rows = [(target(), Text::new("done")), (super::fixture::other(), Text::new("stopped: HTTP 403"))];
    said.push_str(&words(&recording::advance(&ordered, &rows)));
    said.push_str(&words(&recording::incident(
        &ordered,
        &target(),
        &[Text::new("egress-allowlist is missing")],
    )));
    insta::assert_snapshot!("acts.txt", said);
    let bookkeeping = Share::Journal(Box::new(super::fixture::journal().remove(0)));
    assert_eq!(recording::shared(&world, &bookkeeping), None);
}

/// A command is told verbatim however long it is.
#[test]
fn a_long_command_goes_on_in_the_next_fact() {
    let command = format!("kubectl delete networkpolicy {} -n shop", "é".repeat(700));
    let facts = recording::said("command", &command);
    assert_eq!(facts.len(), 2);
    let parts = [("command: ", &facts[0]), ("command, goes on: ", &facts[1])];
    let whole: String = parts.map(|(lead, fact)| fact.as_str().strip_prefix(lead).expect(lead)).concat();
    assert_eq!(whole, command);
}
