//! The monthly review on screen: the open end, what changed since, and the confirmation of writing it.
//! Nothing leaves but by the keys that the dialog names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::TimeDelta;

use crate::{
    cockpit::{
        decide::Command,
        monthly::{
            Compared, ComparedPart, DocumentFact, DocumentFile, GONE, Newer, Prepared, Reviewed, Stamp,
        },
        ports::{Fact, Trouble},
        world::World,
    },
    domain::{
        destination::Category,
        edge::Window,
        flow::Direction,
        names::Text,
        renewal::{Changed, Cover, Difference},
    },
    tui::{
        Ask,
        fixture::{Player, cluster, now, ns, reviews::reviewed},
        model::View,
    },
};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn file(name: &str, reviewed: Option<&str>, parts: &[(&str, i64)]) -> DocumentFile {
    let parts: BTreeMap<_, _> =
        parts.iter().map(|(name, days)| (cluster(name), now() - TimeDelta::days(*days))).collect();
    let reviewed = reviewed
        .map(|day| Reviewed { day: day.parse().expect("a day"), by: Some(Text::new("ann@example.com")) });
    let generated = parts.values().max().copied().unwrap_or(now());
    let due = "2026-12-20".parse().expect("a day");
    DocumentFile {
        ns: ns(name),
        path: Text::from(format!("network-policies/discovery/{name}.md")),
        is_written: true,
        stamp: Ok(Stamp { generated, due, reviewed, is_edited: false }),
        parts: Ok(parts),
    }
}

/// Two are due, one of them of a namespace that is gone; one is not.
fn told() -> World {
    let mut world = reviewed();
    world.absorb(Fact::Document(DocumentFact::Asked));
    world.absorb(Fact::Document(DocumentFact::Read(vec![
        file("payments", Some("2026-10-12"), &[("prod-eu-1", 41), ("prod-us-2", 2)]),
        file("loyalty", None, &[("prod-eu-1", 75)]),
        file("shop", Some("2026-11-20"), &[("prod-eu-1", 3)]),
    ])));
    world.settle();
    world
}

fn changed(direction: Direction, title: &str, differences: Vec<Difference>, cover: Option<Cover>) -> Changed {
    let (title, category, last) = (Text::new(title), Category::Vendor, now());
    Changed { direction, title, category, differences, last, cover }
}

fn compared(reviewer: Option<&str>) -> Compared {
    let changes = vec![
        changed(
            Direction::Egress,
            "hooks.chat.example",
            vec![Difference::New, Difference::Flagged(vec!["webhook".into()])],
            Some(Cover::Denied(vec!["443/TCP of Deployment checkout".into()])),
        ),
        changed(
            Direction::Egress,
            "api.vendor.example",
            vec![Difference::Ports { more: vec!["8443/TCP".into()], less: vec!["80/TCP".into()] }],
            Some(Cover::Covered),
        ),
        changed(Direction::Ingress, "monitoring/prometheus", vec![Difference::New], Some(Cover::NotIsolated)),
        changed(Direction::Egress, "old.vendor.example", vec![Difference::Gone], None),
    ];
    let newer = Newer {
        window: Window { from: now() - TimeDelta::days(7), to: now() },
        doubts: vec!["1 gap in which nothing was recorded, 20m in all".into()],
        destinations: 13,
        changes,
    };
    let part = |name: &str, days, now_| ComparedPart {
        cluster: cluster(name),
        before: Some(now() - TimeDelta::days(days)),
        now: now_,
    };
    let marked = |by: &str| (Text::new(by), Arc::from("one\ntwo\nthree\n"));
    Compared {
        ns: ns("payments"),
        at: now() - TimeDelta::seconds(20),
        parts: vec![
            part("prod-eu-1", 41, Ok(newer)),
            part("prod-us-2", 2, Err("its collector is being connected".into())),
        ],
        prepared: Ok(Prepared {
            ns: ns("payments"),
            path: "network-policies/discovery/payments.md".into(),
            beside: "network-policies/discovery/payments.edges.jsonl".into(),
            document: Arc::from("one\ntwo\n"),
            edges: Arc::from("head\nedge\n"),
            reviewed: reviewer.map(marked),
            was: [Some(Arc::from("one\n")), None],
            notes: 3,
            lines: 41,
        }),
    }
}

/// The page of payments after everything was compared.
fn opened(reviewer: Option<&str>, size: (u16, u16)) -> Player {
    let mut player = Player::new(told(), size);
    let waiting = BTreeSet::from([cluster("prod-eu-1")]);
    player.world.absorb(Fact::Document(DocumentFact::Begun { ns: ns("payments"), waiting }));
    let done = DocumentFact::Compared(Arc::new(compared(reviewer)));
    player.world.absorb(Fact::Document(done));
    player.settle();
    player.keys("9 / \"kind:document\" enter G k enter");
    player
}

fn renewals(player: &Player) -> Vec<bool> {
    let reviewed = |ask: &Ask| match ask {
        Ask::Command(Command::Renew { ns: of, reviewed }) if *of == ns("payments") => Some(*reviewed),
        _ => None,
    };
    player.asks.iter().filter_map(reviewed).collect()
}

/// Who we are is what an identity provider says.
#[test]
fn the_command_of_a_review_has_the_reviewer_as_one_word() {
    let screen = opened(Some("ann o'neil"), (120, 40)).keys("N").screen();
    let command = r"sluice documents payments --write --reviewed-by 'ann o'\''neil'";
    assert!(screen.contains(command), "{screen}");
}

#[test]
fn documents_that_are_due_stand_in_the_open_ends_and_open_their_page() {
    for size in SIZES {
        let name = |what: &str| format!("documents_{what}_{}x{}", size.0, size.1);
        let mut player = Player::new(told(), size);
        player.keys("9 / \"kind:document\" enter");
        insta::assert_snapshot!(name("open_ends"), player.screen());
        let mut player = opened(Some("lead@example.net"), size);
        assert_eq!(*player.model.view(), View::Document(ns("payments")));
        insta::assert_snapshot!(name("page"), player.screen());
        player.keys("N");
        insta::assert_snapshot!(name("confirm"), player.screen());
    }
}

#[test]
fn only_the_keys_that_the_dialog_names_write() {
    let mut player = opened(Some("lead@example.net"), (80, 24));
    player.keys("N enter N esc N q N x esc");
    assert!(renewals(&player).is_empty(), "nothing was confirmed");
    player.keys("N N");
    assert_eq!(renewals(&player), [true]);
    let mut player = opened(Some("lead@example.net"), (80, 24));
    player.keys("N w");
    assert_eq!(renewals(&player), [false]);
    // Without a name there is no review to write down.
    let mut player = opened(None, (80, 24));
    player.keys("N N");
    assert!(renewals(&player).is_empty());
    player.keys("w");
    assert_eq!(renewals(&player), [false]);
}

#[test]
fn a_page_says_what_it_waits_for_and_why_nothing_can_be_written() {
    let mut player = Player::new(told(), (80, 24));
    let waiting = BTreeSet::from([cluster("prod-eu-1")]);
    player.world.absorb(Fact::Document(DocumentFact::Begun { ns: ns("payments"), waiting }));
    player.settle();
    player.keys("9 / \"kind:document\" enter G k enter");
    let screen = player.screen();
    assert!(screen.contains("not answered yet: prod-eu-1"), "{screen}");
    player.keys("N");
    assert!(player.model.overlay.is_some(), "why not is a dialog");
    player.keys("esc");
    let gone = ComparedPart {
        cluster: cluster("prod-eu-1"),
        before: Some(now() - TimeDelta::days(75)),
        now: Err(GONE.into()),
    };
    let trouble =
        Trouble::new("payments.md", "no cluster that it covers has the namespace any more", "Take it out.");
    let compared = Compared { parts: vec![gone], prepared: Err(trouble), ..compared(None) };
    player.world.absorb(Fact::Document(DocumentFact::Compared(Arc::new(compared))));
    player.settle();
    let screen = player.screen();
    assert!(screen.contains("it cannot be written"), "{screen}");
    assert!(screen.contains("no cluster has the namespace any more"), "{screen}");
    assert!(!screen.contains("no collector answered"), "nobody was asked: {screen}");
    let done = DocumentFact::Written(ns("payments"), Ok("both files are written".into()));
    player.world.absorb(Fact::Document(done));
    player.settle();
    assert!(player.screen().contains("both files are written"), "{}", player.screen());
}
