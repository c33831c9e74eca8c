//! What security and on-call do: the queue and a dossier, decisions one by one and together, reviews
//! asked for, waivers, open ends. What leaves is compared to the word.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use unicode_width::UnicodeWidthStr;

use crate::{
    cockpit::{
        decide::{Asking, Command, Deciding, Shown},
        ports::{Change, Fact, Link, Trouble},
        shared::{SharedFact, SharedRights},
        waiving::Waiving,
        world::World,
    },
    domain::{
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant, Review},
        hold::{DenialKey, Hold, HoldKind, Scope, Subject},
        names::{Text, Workload},
        policy::Selector,
        rollout::Stamp,
    },
    tui::{
        Ask,
        dialog::Overlay,
        fixture::{
            Player, cluster, now, ns,
            reviews::{dns, kept, review, reviewed, tcp},
            target, world,
        },
        model::{Focus, Main, View},
        offer::{self, Offer},
    },
};

/// What is seen after some keys, and its name.
pub const SCREENS: &[(&str, &str)] = &[
    ("reviews", "8"),
    ("reviews_marked", "8 space space"),
    ("reviews_filtered", "8 / \"state:open\" enter"),
    ("reviews_by_destination", "8 s s s s esc"),
    ("review", "8 enter"),
    ("review_scrolled", "8 enter G"),
    ("review_own", "8 j enter"),
    ("approve", "8 A"),
    ("approve_filled", "8 A tab \"needed_for_alerts\" tab tab \"30d\" tab"),
    ("reject_marked", "8 space j space X tab"),
    ("revoke", "8 j j V"),
    ("ask_review", "1 enter j j j d e"),
    ("ask_review_of_policies", "1 enter j j j l j e tab tab"),
    ("waive_denial", "2 W"),
    ("waive_evidence", "1 enter j j j v W tab"),
    ("open_ends", "9"),
    ("open_ends_grant", "9 / \"kind:grant\" enter"),
    ("denials_closed", "2"),
    ("group_waived", "2 G enter"),
    ("incident", "1 enter j j j enter tab"),
    ("badge_on_the_fleet", "1"),
];

fn player(keys: &str) -> Player {
    let mut player = Player::new(reviewed(), (80, 24));
    player.keys(keys);
    player
}

fn on(what: &str) -> String {
    format!("team_{what}")
}

#[test]
fn pages_and_forms_of_security_and_on_call() {
    for size in [(80, 24), (120, 40)] {
        for (view, keys) in SCREENS {
            let mut player = Player::new(reviewed(), size);
            player.keys(keys);
            let name = on(&format!("{view}_{}x{}", size.0, size.1));
            insta::assert_snapshot!(name, player.screen());
        }
    }
}

#[test]
fn what_is_not_known_is_said_and_never_shown_as_empty() {
    let mut none = Player::new(World::new(now()), (80, 24));
    none.keys("8");
    insta::assert_snapshot!(on("no_state_cluster"), none.screen());
    none.keys("9");
    insta::assert_snapshot!(on("no_state_cluster_ends"), none.screen());

    let mut nobody = Player::new(world(), (80, 24));
    nobody.keys("8");
    insta::assert_snapshot!(on("nobody_asked"), nobody.screen());
    nobody.keys("9 / \"nothing\" enter");
    assert!(nobody.screen().contains("No row passes the filter"), "{}", nobody.screen());

    let mut away = player("8");
    let trouble = Trouble::new("the state cluster", "no answer within 5 s", "Check the VPN.");
    away.world.absorb(Fact::Shared(SharedFact::Link(Link::Broken(trouble))));
    away.settle();
    insta::assert_snapshot!(on("state_cluster_away"), away.screen());
    away.keys("A");
    assert!(refused(&away).starts_with("the state cluster is not connected"), "{}", refused(&away));
}

fn deciding(verdict: DecisionVerdict, names: &[&str], reason: &str) -> Deciding {
    let shown = |name: &&str| Shown { name: Text::new(name), version: Text::new("7") };
    Deciding {
        reviews: names.iter().map(shown).collect(),
        verdict,
        reason: Text::new(reason),
        ticket: None,
        expires: None,
        clusters: None,
    }
}

fn sent(player: &Player) -> Vec<&Command> {
    let share = |ask: &'_ &Ask| {
        matches!(ask, Ask::Command(Command::DecideReview(_) | Command::AskReview(_) | Command::Waive(_)))
    };
    let commands = player.asks.iter().filter(share);
    commands.filter_map(|ask| if let Ask::Command(command) = ask { Some(command) } else { None }).collect()
}

#[test]
fn an_approval_leaves_from_its_button_with_everything_that_was_filled_in() {
    let mut player = player("8 A enter");
    assert!(sent(&player).is_empty() && player.model.overlay.is_none(), "Cancel has the focus");
    // Reason, ticket, end; then clusters, of which the second is taken out.
    player.keys("A tab \"needed\" enter \"SEC-7\" enter \"30d\" enter right space enter");
    assert!(sent(&player).is_empty());
    player.keys("enter");
    let want = Deciding {
        ticket: Some(Text::new("SEC-7")),
        expires: Some(now() + TimeDelta::days(30)),
        clusters: Some(BTreeSet::from([Text::new("uid-1")])),
        ..deciding(DecisionVerdict::Approved, &["rv-01"], "needed")
    };
    assert_eq!(sent(&player), [&Command::DecideReview(Box::new(want))]);
    assert!(player.screen().contains("sent to the state cluster"), "{}", player.screen());
}

#[test]
fn nothing_leaves_while_a_reason_is_against_it() {
    let mut player = player("8 A tab tab tab \"200d\" tab tab");
    let [second, first] = against(&player) else { panic!("{:?}", against(&player)) };
    assert_eq!(first, "the reason is empty: write one for those who read it later");
    assert!(second.ends_with("a decision may shorten that, never lengthen it"), "{second}");
    player.keys("enter");
    assert!(sent(&player).is_empty());
    player.world.absorb(Fact::Shared(SharedFact::Rights(SharedRights {
        decide_review: Some(false),
        ..SharedRights::default()
    })));
    player.settle();
    assert!(against(&player)[0].starts_with("you may not decide reviews"), "{:?}", against(&player));
}

#[test]
fn who_asked_does_not_decide_and_the_key_says_why() {
    let mut player = player("8 j A");
    let own = "review rv-02 was asked for by mara@example.org, which is you: somebody else decides";
    assert_eq!(refused(&player), own);
    let offered = offer::offer(&player.world, &player.model, crate::cockpit::commands::CommandId::Reject);
    assert!(matches!(offered, Offer::Off(_)), "{offered:?}");
    player.keys("esc k V");
    assert_eq!(refused(&player), "review rv-01 is open, not approved: there is nothing to revoke");
}

#[test]
fn marked_reviews_are_decided_together_after_all_of_them_were_listed() {
    let mut player = player("8 space j space X");
    let Some(Overlay::Form(form)) = &player.model.overlay else { panic!("{}", player.screen()) };
    assert_eq!(form.name, "2 reviews");
    player.keys("tab \"over\" tab tab tab enter");
    let want = deciding(DecisionVerdict::Rejected, &["rv-01", "rv-03"], "over");
    assert_eq!(sent(&player), [&Command::DecideReview(Box::new(want))]);
    player.keys("u");
    assert!(player.model.team.reviews.marks.is_empty());
}

#[test]
fn a_decision_on_a_review_that_changed_meanwhile_is_refused() {
    let mut player = player("8 A tab \"needed\"");
    let name = Text::new("rv-01");
    let mut changed = player.world.shared().review(&name).expect("a review").clone();
    changed.version = Text::new("8");
    player.world.absorb(Fact::Shared(SharedFact::Reviews(Change::Put(changed))));
    player.settle();
    assert!(
        against(&player)[0].starts_with("review rv-01 changed since it was shown"),
        "{:?}",
        against(&player)
    );
    player.keys("tab tab tab tab enter");
    assert!(sent(&player).is_empty());
}

#[test]
fn rows_keep_their_cursor_whatever_they_are_sorted_by() {
    let names = |player: &Player| {
        player.model.team.reviews.list.rows().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut player = player("8 j");
    assert_eq!(names(&player), ["rv-01", "rv-02", "rv-03", "rv-04", "rv-05"]);
    for order in [
        ["rv-05", "rv-03", "rv-04", "rv-01", "rv-02"],
        ["rv-02", "rv-03", "rv-04", "rv-05", "rv-01"],
        ["rv-01", "rv-02", "rv-03", "rv-04", "rv-05"],
        ["rv-04", "rv-01", "rv-03", "rv-05", "rv-02"],
        ["rv-01", "rv-03", "rv-04", "rv-05", "rv-02"],
        ["rv-05", "rv-03", "rv-02", "rv-04", "rv-01"],
    ] {
        player.keys("s");
        assert_eq!(names(&player), order, "{:?}", player.model.team.reviews.order);
        assert_eq!(player.model.team.reviews.list.chosen(), Some(&Text::new("rv-02")));
    }
    player.keys("S");
    assert_eq!(names(&player)[0], "rv-01");
}

#[test]
fn filters_look_in_columns() {
    for (filter, left) in [
        ("state:open", 2),
        ("state:ending", 1),
        ("state:expiring", 1),
        ("state:rejected", 1),
        ("slack", 1),
        ("cluster:stage", 1),
        ("by:mara", 1),
        ("!flagged:", 2),
        ("port:443", 3),
        ("name:rv-05", 1),
    ] {
        let player = player(&format!("8 / \"{filter}\" enter"));
        assert_eq!(player.model.team.reviews.list.rows().len(), left, "{filter}");
    }
}

#[test]
fn a_review_is_asked_for_exactly_what_is_under_the_cursor() {
    // The tunnel is flagged, and no policy opens it: its name stands first.
    let mut asking = player("enter j j j d e");
    assert!(matches!(asking.model.overlay, Some(Overlay::Form(_))), "{}", asking.screen());
    asking.keys("tab tab \"debugging\" tab tab enter");
    let grant = Grant {
        clusters: BTreeSet::from([Text::new("uid-1")]),
        ns: ns("payments"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: dns("acme-debug.ngrok.io"),
        ports: vec![tcp(443)],
        expires: now() + TimeDelta::days(90),
    };
    let want = Asking { grants: vec![grant], purpose: Text::new("debugging") };
    let sent_now: Vec<_> = sent(&asking);
    assert_eq!(sent_now, [&Command::AskReview(Box::new(want))], "{}", asking.screen());

    let mut asked = self::player("enter j j j d e tab right tab \"x\" tab tab enter");
    assert!(sent(&asked).is_empty());
    assert_eq!(against(&asked), ["review rv-02 asks for exactly this already and is not decided"]);
    asked.keys("esc esc / \"ghcr\" enter e");
    assert_eq!(refused(&asked), "it is not flagged, so no review is needed");
    asked.keys("esc ctrl-u / \"dir:ingress\" enter j e");
    assert_eq!(refused(&asked), "who may call is not a question of destinations: no review is needed");
}

/// Why a key is off, as its dialog says.
fn refused(player: &Player) -> String {
    match &player.model.overlay {
        Some(Overlay::Reasons { reasons, .. }) => reasons.join("; "),
        other => panic!("no reasons: {other:?}"),
    }
}

/// What the form on screen has against being sent.
fn against(player: &Player) -> &[String] {
    match &player.model.overlay {
        Some(Overlay::Form(form)) => &form.reasons,
        other => panic!("no form: {other:?}"),
    }
}

#[test]
fn a_waiver_is_for_exactly_that_denial_and_a_closed_one_says_by_what() {
    let mut closed = player("2 G W");
    assert!(closed.screen().contains("it is closed already"), "{}", closed.screen());
    closed.keys("esc g");
    // Without its rejected review the denials of Stripe hurt again.
    closed.world.absorb(Fact::Shared(SharedFact::Reviews(Change::Gone(Text::new("rv-04")))));
    closed.settle();
    closed.keys("2 g W tab \"known\" tab tab enter");
    let want = Waiving {
        target: target("prod-eu-1", "payments", Direction::Egress),
        subject: Subject::Denial(DenialKey {
            workload: Some(Workload::new("Deployment", "checkout")),
            destination: Text::new("api.stripe.com"),
            port: 443,
            protocol: Protocol::Tcp,
        }),
        reason: Text::new("known"),
        expires: now() + TimeDelta::days(14),
    };
    assert_eq!(sent(&closed), [&Command::Waive(Box::new(want))], "{}", closed.screen());
}

#[test]
fn missing_evidence_is_waived_from_the_coverage_page() {
    let mut player = player("enter j j j v W tab tab \"runs_monthly\" tab tab enter");
    let want = Waiving {
        target: target("prod-eu-1", "payments", Direction::Egress),
        subject: Subject::CronJob(Text::new("month-end")),
        reason: Text::new("runs monthly"),
        expires: now() + TimeDelta::days(14),
    };
    assert_eq!(sent(&player), [&Command::Waive(Box::new(want))], "{}", player.screen());
    player.keys("esc esc 1 g W");
    assert!(player.screen().contains("it is about one namespace"), "{}", player.screen());
}

#[test]
fn enter_on_an_open_end_opens_what_it_is_about_and_esc_comes_back() {
    let mut player = player("9 / \"rolled\" enter enter");
    assert_eq!(*player.model.view(), View::Namespace(cluster("prod-eu-1"), ns("payments")));
    assert_eq!(player.model.page.focus, Focus::One(Direction::Ingress));
    player.keys("esc ctrl-u / \"kind:grant_bank\" enter enter");
    assert_eq!(*player.model.view(), View::Review(Text::new("rv-03")));
    player.keys("esc");
    assert_eq!(*player.model.view(), View::Main(Main::OpenEnds));
}

/// Every free text of the team, hostile and long.
fn hostile() -> World {
    let evil = "\u{1b}[2J\u{202e}x\r\n\u{9b}31m日本語語語語語語語語語語語\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}👩‍👩‍👧‍👦";
    let long = evil.repeat(30);
    let mut world = reviewed();
    let stamp = || Stamp { by: Text::new(&long), at: now() };
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let evil_one = |name: &str, decided: bool| {
        let mut one = Review {
            findings: vec![Text::new(&long); 3],
            purpose: Text::new(&long),
            aliases: vec![Text::new(&long)],
            ..review(&long, &["uid-1", &long], (dns(&longest), 65_535), 5)
        };
        let decision = Decision {
            verdict: DecisionVerdict::Approved,
            stamp: Stamp { by: Text::new("x"), at: now() },
            reason: Text::new(&long),
            ticket: Some(Text::new(&long)),
            clusters: one.grant.clusters.clone(),
            expires: None,
        };
        one.decisions.extend(decided.then_some(decision));
        kept(name, now() - TimeDelta::days(400), one)
    };
    let names = [format!("a{long}"), format!("b{long}")];
    let hold = Hold {
        scope: Scope::Namespace(cluster("prod-eu-1"), ns("payments")),
        kind: HoldKind::Hold,
        reason: Text::new(&long),
        stamp: stamp(),
        expires: None,
    };
    for fact in [
        SharedFact::Reviews(Change::Put(evil_one(&names[0], false))),
        SharedFact::Reviews(Change::Put(evil_one(&names[1], true))),
        SharedFact::Holds(Change::Put(kept(&long, now(), hold))),
    ] {
        world.absorb(Fact::Shared(fact));
    }
    world.settle();
    world
}

#[test]
fn hostile_strings_never_reach_a_cell_raw_and_never_overflow_it() {
    for (width, height) in [(60, 14), (80, 24), (120, 40), (200, 60)] {
        let more = [("first", "8 g enter"), ("bulk", "8 space space space A"), ("last", "8 G enter pgdn")];
        for (view, keys) in SCREENS.iter().chain(&more) {
            let mut player = Player::new(hostile(), (width, height));
            player.keys(keys);
            for (at, cell) in player.buffer().content.iter().enumerate() {
                let symbol = cell.symbol();
                assert!(!symbol.chars().any(crate::domain::names::is_hostile), "{view}: {symbol:?} at {at}");
                let column = at % usize::from(width);
                assert!(
                    column + symbol.width() <= usize::from(width),
                    "{view}: {symbol:?} leaves the screen"
                );
                assert!(symbol.chars().count() <= 4, "{view}: {symbol:?} is a heap");
            }
        }
    }
}

#[test]
fn ascii_screens_hold_nothing_but_ascii() {
    for (view, keys) in SCREENS {
        let mut player = Player::new(reviewed(), (80, 24));
        player.model.settings.ascii = true;
        player.keys(keys);
        let screen = player.screen();
        assert!(screen.is_ascii(), "{view}: {:?}", screen.chars().find(|c| !c.is_ascii()));
    }
}
