//! What no screen and no line may show: characters that a terminal of ASCII lacks, names that are
//! masked, ornaments where there are only lines; and law 5 for what is typed by lines.

use proptest::prelude::*;

use super::{screens, team};
use crate::{
    cockpit::{
        decide::Command,
        ports::{Change, ClusterFact, Fact},
        shared::SharedFact,
        world::World,
    },
    domain::{
        fleet::NamespaceSeen,
        hold::{Hold, HoldKind, Scope},
        names::{Text, is_hostile},
        policy::Labels,
        rollout::{Kept, Stamp},
    },
    tui::{
        Ask,
        dialog::Overlay,
        fixture::{Player, cluster, lead, now, ns, reviews::reviewed, world},
        plain::answer::Plain,
        preferences,
    },
};

/// Pages and dialogs that the lists of the other tests do not open.
const MORE: &[(&str, &str)] = &[
    ("timeline", "enter j j j l j i"),
    ("preflight", "F"),
    ("prediction", "enter j j j l j b"),
    ("proposal", "2 enter n"),
    ("hold", "p tab tab"),
    ("apply_waits", "enter j j j l j j a"),
    ("reasons", "enter j j a"),
    ("theme", "T"),
];
const LEAD: &[(&str, &str)] =
    &[("plan", "7"), ("ingress", "7 tab j j"), ("wave", "7 w"), ("hold", "7 j p"), ("exclude", "7 j x")];

/// Pages by the keys that lead to them, and the world they are seen in.
type Set = (&'static [(&'static str, &'static str)], fn() -> World);

/// Every view and dialog that a test knows, with what it is opened on.
fn everywhere() -> Vec<(String, Player)> {
    let sets: [Set; 4] =
        [(screens::SCREENS, world), (team::SCREENS, reviewed), (MORE, world), (LEAD, lead::world)];
    let mut out = Vec::new();
    for size in [(80, 24), (200, 60)] {
        for (screens, world) in sets {
            for (name, keys) in screens {
                let mut player = Player::new(world(), size);
                player.keys(keys);
                out.push((format!("{name} {size:?}"), player));
            }
        }
        let mut player = Player::new(world(), size);
        player.keys("enter j j j l j j a").previews_come();
        out.push((format!("apply {size:?}"), player));
    }
    out
}

#[test]
fn where_only_ascii_can_be_shown_nothing_else_is() {
    for (name, mut player) in everywhere() {
        player.model.settings.ascii = true;
        let screen = player.screen();
        let odd: Vec<_> = screen.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "{odd:?} in {name}:\n{screen}");
    }
}

/// Names and addresses of the fixtures, as they are written there.
const SECRETS: &[&str] = &[
    "prod-eu-1",
    "prod-us-2",
    "prod-ap-3",
    "stage-1",
    "stage-2",
    "edge-9",
    "payments",
    "ledger",
    "checkout",
    "reconcile",
    "stripe",
    "slack",
    "ngrok",
    "acme",
    "partner.example",
    "bank.example",
    "169.254.169.254",
    "203.0.113.7",
    "192.0.2.44",
    "Team Pay",
    "pay-oncall",
    "mara@",
    "lead@",
    "example.org",
    "node-1",
    "ghcr",
];

fn leaked(text: &str) -> Vec<&'static str> {
    SECRETS.iter().copied().filter(|secret| text.contains(secret)).collect()
}

#[test]
fn the_secrets_are_on_the_screens_that_are_not_masked() {
    let all: String = everywhere().iter().map(|(_, player)| player.screen()).collect();
    let missing: Vec<_> = SECRETS.iter().filter(|secret| !all.contains(**secret)).collect();
    assert!(missing.is_empty(), "what no screen shows proves nothing: {missing:?}");
}

#[test]
fn masked_no_screen_shows_a_name_or_an_address() {
    for (name, mut player) in everywhere() {
        player.model.settings.masks.on = true;
        player.model.settings.masks.salt = 7;
        player.settle();
        let screen = player.screen();
        // A name that was broken at the end of a line too.
        let joined: String = screen.lines().map(str::trim).collect();
        assert!(leaked(&screen).is_empty(), "{:?} in {name}:\n{screen}", leaked(&screen));
        assert!(
            leaked(&joined).is_empty(),
            "{:?} over the end of a line in {name}:\n{screen}",
            leaked(&joined)
        );
        assert!(screen.contains("MASKED") || player.model.overlay.is_some(), "{name}:\n{screen}");
    }
}

/// What somebody wrote down has a name too where no cluster has it, not yet or not any more.
#[test]
fn masked_a_namespace_that_no_cluster_has_is_hidden_too() {
    let mut player = Player::new(lead::world(), (120, 40));
    let held = Hold {
        scope: Scope::Namespace(cluster("prod-eu-1"), ns("loyalty")),
        kind: HoldKind::Hold,
        reason: Text::new("it is not there yet"),
        stamp: Stamp { by: Text::new("zoe@example.org"), at: now() },
        expires: None,
    };
    let kept = Kept { name: Text::new("h"), version: Text::new("1"), created: now(), value: held };
    player.world.absorb(Fact::Shared(SharedFact::Holds(Change::Put(kept))));
    player.keys("9");
    assert!(player.screen().contains("loyalty"), "{}", player.screen());
    player.keys("ctrl-p");
    assert!(!player.screen().contains("loyalty"), "{}", player.screen());
    assert!(!lines(&player, true, false).contains("loyalty"));
}

/// Words of the program; namespaces are called so here.
const SAME: &[&str] = &["collector", "copy", "egress", "health", "open", "reviews", "staging"];

fn with_namespaces(names: impl Iterator<Item = String>) -> Player {
    let mut player = Player::new(world(), (120, 40));
    for name in names {
        let seen = NamespaceSeen {
            name: ns(&name),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        let change = ClusterFact::Namespaces(Change::Put(seen));
        player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), change));
    }
    player.model.settings.masks.on = true;
    player.settle();
    player
}

/// A masked page by the keys that lead to it, on the screen and by lines; namespaces are called as words
/// of the program, with this behind each.
fn masked(keys: &str, end: &str) -> [String; 2] {
    let mut player = with_namespaces(SAME.iter().map(|name| format!("{name}{end}")));
    player.keys(keys);
    let mut plain = Plain::new(false);
    let size = plain.model.settings.size;
    plain.model = player.model.clone();
    plain.model.settings.size = size;
    if plain.model.overlay.is_none() {
        plain.line(&player.world, "");
    }
    [player.screen(), plain.say(&player.world).join("\n")]
}

/// How often a word stands in a text by itself.
fn count(text: &str, word: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && !"-_.#@".contains(c)).filter(|one| *one == word).count()
}

/// The same fleet twice: its namespaces are called as words of the program, or so that no word of ours
/// is. Where the second shows a mask the first shows no name: no word stands there more often.
#[test]
fn masked_no_name_leaks_because_it_is_a_word_of_the_program_too() {
    for keys in [
        "",
        "enter",
        "enter G",
        "enter j",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "?",
        ":",
        "m",
        "0",
        "enter j m",
        "enter j enter",
        "enter j p",
        "enter j ctrl-r",
        "enter / \"ns\"",
        "enter j j j d",
        "F",
        ": \"reviews\"",
        ": \"coll\"",
        "enter j Z",
    ] {
        for (same, other) in masked(keys, "").iter().zip(masked(keys, "-1")) {
            for word in SAME {
                let (ours, theirs) = (count(same, word), count(&other, word));
                assert!(ours <= theirs, "{word} {ours} times, not {theirs}, in {keys:?}\n{same}\n{other}");
                assert_eq!(count(&other, &format!("{word}-1")), 0, "{keys:?}\n{other}");
            }
        }
    }
    let [screen, lines] = masked("enter j", "");
    assert!(count(&screen, "collector") + count(&lines, "collector") > 0, "there is something to tell apart");
    assert!(screen.contains("ns#5") && lines.contains("ns#5"), "{screen}\n{lines}");
}

#[test]
fn masked_the_programs_own_words_stay_where_a_namespace_is_called_the_same() {
    for (keys, words) in [
        ("", &["8 reviews", "health", "no collector", "staging"][..]),
        ("enter", &["namespace", "egress", "ingress", "set", "enter open"]),
        ("2", &["class", "y copy", "enter open"]),
        ("5", &["flows", "lag", "8 reviews"]),
        ("7", &["egress", "ingress", "8 reviews"]),
        ("8", &["8 reviews", " reviews "]),
        ("9", &["open ends"]),
        ("?", &["reviews       8", "open          enter", "Open a namespace"]),
        (": \"copy\"", &["copy", "copy-command"]),
        ("enter j m", &["copy", "open", "Copy this row as a ready message."]),
        ("enter j enter", &["── egress", "── ingress"]),
        ("ctrl-r", &["confirm: roll back", "[ Cancel ]"]),
    ] {
        let [screen, _] = masked(keys, "");
        let tabs = masked(keys, "-1")[0].lines().next().map(str::to_owned);
        assert_eq!(screen.lines().next(), tabs.as_deref(), "{keys:?}");
        for word in words {
            assert!(screen.contains(word), "{word:?} is not in {keys:?}:\n{screen}");
        }
    }
    for (keys, words) in [
        ("", &["no collector", "up, staging"][..]),
        ("?", &["reviews", "copy", "open (enter)"]),
        ("enter j j j j j j j j", &["egress: soaking", "egress 0m/48h"]),
    ] {
        let [_, lines] = masked(keys, "");
        for word in words {
            assert!(lines.contains(word), "{word:?} is not in {keys:?}:\n{lines}");
        }
    }
}

/// The same by lines.
fn lines(player: &Player, masked: bool, ascii: bool) -> String {
    let mut plain = Plain::new(ascii);
    let (size, keys) = (plain.model.settings.size, plain.model.settings.keys.clone());
    plain.model = player.model.clone();
    (plain.model.settings.size, plain.model.settings.keys) = (size, keys);
    plain.model.settings.ascii = ascii;
    plain.model.settings.masks.on = masked;
    plain.model.settings.masks.salt = 7;
    if plain.model.overlay.is_none() {
        plain.line(&player.world, "");
    }
    plain.say(&player.world).join("\n")
}

#[test]
fn lines_hold_no_ornament_and_masked_no_name() {
    let ornament =
        |c: char| matches!(c, '\u{2500}'..='\u{28ff}' | '\u{e000}') || (c != '\n' && is_hostile(c));
    for (name, player) in everywhere() {
        let told = lines(&player, false, false);
        let odd: Vec<_> = told.chars().filter(|c| ornament(*c)).collect();
        assert!(odd.is_empty(), "{odd:?} in {name}:\n{told}");
        assert!(!told.trim().is_empty(), "{name}");
        let told = lines(&player, true, true);
        assert!(leaked(&told).is_empty(), "{:?} in {name}:\n{told}", leaked(&told));
        assert!(told.is_ascii(), "{name}:\n{told}");
    }
}

#[test]
fn a_masked_name_is_not_the_word_that_confirms() {
    let mut player = Player::new(world(), (120, 40));
    player.keys("enter j j j l j j a").previews_come().keys("ctrl-p \"payments\" enter");
    assert!(
        !player.asks.iter().any(|ask| matches!(ask, Ask::Command(Command::Apply(_)))),
        "it was not typed"
    );
    player.keys("ctrl-p enter j j a");
    let mut player = Player::new(world(), (120, 40));
    player.keys("enter j j j l j j a").previews_come().keys("ctrl-p ctrl-p \"payments\" enter");
    assert!(
        player.asks.iter().any(|ask| matches!(ask, Ask::Command(Command::Apply(_)))),
        "shown again, it is"
    );
    // Taking back needs no name, so no mask stands in its way (law 6).
    let mut player = Player::new(world(), (120, 40));
    player.keys("ctrl-p enter j j j ctrl-r ctrl-r");
    assert!(player.asks.iter().any(|ask| matches!(ask, Ask::Command(Command::RollBack(_)))));
}

fn preferring(text: &str, world: &World) -> (Plain, Vec<String>) {
    let mut plain = Plain::new(false);
    let (read, troubles) = preferences::read(text);
    let changed = vec!["gone: paint, it was on p P".to_owned()];
    let said = plain.prefer(world, read, troubles, &changed);
    (plain, said)
}

/// Views, the page to begin with and keys are the user's own; a command without a key goes by its name,
/// and a digit is a row whatever it is on the screen.
#[test]
fn what_the_user_chose_holds_by_lines_too() {
    let world = world();
    let text = "start = \"mine\"\ncolour = 3\nclipboard = \n[keys]\nrollback = \"ctrl-b\"\npage-up = []\n\
                mark = \"v\"\ncoverage = []\nquit = \"E\"\nhelp = \"K\"\nnotices = [\"6\", \"f6\"]\n\
                [[views]]\nname = \"mine\"\npage = \"fleet\"\nfilter = \"ns:/^pay/\"\n";
    let (mut plain, said) = preferring(text, &world);
    let lines: Vec<_> = said.iter().map(String::as_str).collect();
    assert_eq!(
        lines,
        [
            "attention: preferences.toml line 2: `colour` is not known and is not read. There are theme, \
             clipboard, start, keys, views.",
            "attention: preferences.toml line 3: string values must be quoted, expected literal string. It \
             is not read; the lines that are right are.",
            "keys that changed since the last time:",
            "gone: paint, it was on p P",
        ]
    );
    let mut shared = Plain::new(false);
    shared.model.settings.masks.on = true;
    let (read, troubles) =
        preferences::read("[[views]]\nname = \"payments\"\npage = \"fleet\"\nfilter = \"/(\"\n");
    let masked = shared.prefer(&world, read, troubles, &[]).join("\n");
    assert!(masked.contains("preferences.toml line 1") && leaked(&masked).is_empty(), "{masked}");
    let begins = plain.begin(&world).join("\n");
    assert!(begins.contains("type K for what can be typed") && begins.contains("E to leave"), "{begins}");
    let mut typed = |line: &str| {
        let asks = plain.line(&world, line);
        let told = plain.say(&world).join("\n");
        (asks, told)
    };
    let (_, page) = typed("");
    assert!(page.contains("filter ns:/^pay/"), "{page}");
    let (_, marked) = typed("2 v");
    assert!(marked.contains("1 marked"), "{marked}");
    typed("u");
    let (_, opened) = typed("2 coverage");
    assert!(opened.contains("> coverage"), "{opened}");
    typed("esc");
    for (line, want) in [
        ("space", "not understood: space; K lists what can be typed"),
        ("ctrl-r", "not understood: ctrl-r; K lists what can be typed"),
        ("q", "not understood: q; K lists what can be typed"),
        ("6", "there is no row 6"),
    ] {
        let (asks, told) = typed(line);
        assert!(asks.is_empty() && told.contains(want), "{line}: {told}");
    }
    let (_, keys) = typed("K");
    for line in ["rollback (ctrl-b)", "notices (f6)", "mark (v)", "page-up (pgup)"] {
        assert!(keys.contains(line), "{line}:\n{keys}");
    }
    assert!(keys.contains("coverage: ") && keys.contains("denials: "), "{keys}");
    typed("esc");
    let (asks, told) = typed("2 ctrl-b");
    assert!(asks.is_empty() && told.contains("type ctrl-b or rollback again"), "{told}");
    let (asks, _) = typed("ctrl-b");
    assert!(matches!(asks[..], [Ask::Command(Command::RollBack(_))]), "{asks:?}");
}

#[test]
fn a_page_by_lines() {
    for (name, keys) in [
        ("fleet", "enter j j j l"),
        ("denials", "2"),
        ("namespace", "enter j j j enter"),
        ("destinations", "enter j j j d"),
        ("rollback", "enter j j j ctrl-r"),
    ] {
        let mut player = Player::new(world(), (120, 40));
        player.keys(keys);
        insta::assert_snapshot!(format!("lines_{name}"), lines(&player, false, false));
    }
    let mut player = Player::new(world(), (120, 40));
    player.model.settings.keys = player.model.settings.keys.clone().by_lines();
    player.keys("?");
    insta::assert_snapshot!("lines_help", lines(&player, false, false));
    let mut player = Player::new(world(), (120, 40));
    player.keys("enter j j j l j j a").previews_come();
    insta::assert_snapshot!("lines_apply", lines(&player, false, false));
    let mut player = Player::new(reviewed(), (120, 40));
    player.keys("8 A");
    insta::assert_snapshot!("lines_approve", lines(&player, false, false));
    let mut player = Player::new(lead::world(), (120, 40));
    player.keys("7");
    insta::assert_snapshot!("lines_plan", lines(&player, false, false));
    let mut player = Player::new(world(), (120, 40));
    player.keys("enter j j j l");
    insta::assert_snapshot!("lines_fleet_masked", lines(&player, true, false));
}

const TYPED: &[&str] = &[
    "",
    "",
    "a",
    "1",
    "2",
    "3",
    "4",
    "5",
    "3 a",
    "4 open",
    "open",
    "enter",
    "esc",
    "cancel",
    "fleet",
    "denials",
    "plan",
    "reviews",
    "live",
    "ctrl-r",
    "rollback",
    "ctrl-x",
    "abort",
    "yes",
    "payments",
    "ledger",
    "shop",
    "apply 2",
    "y",
    "Y",
    "O",
    "p",
    "hold",
    "1 because",
    "2 7d",
    "waive",
    "W",
    "A",
    "approve",
    "?",
    ":",
    ":pay",
    "/pay",
    "/",
    "m",
    "mark",
    "space",
    "j",
    "k",
    "tab",
    "d",
    "n",
    "i",
    "q",
    "wait",
    "wait 5m",
    "ctrl-p",
    "zzz",
    "x",
    "exclude",
    "w",
    "advance",
];

/// Namespaces are called like answers, too: what the dialog asks to type confirms it.
#[test]
fn by_lines_a_namespace_called_cancel_can_be_applied() {
    for word in ["cancel", "q", "esc", "rollback", "y"] {
        let mut player = Player::new(world(), (120, 40));
        player.keys("enter j j j l j j a").previews_come();
        let mut plain = Plain::new(false);
        std::mem::swap(&mut player.model, &mut plain.model);
        let Some(Overlay::Apply(dialog)) = &mut plain.model.overlay else { panic!("no preview") };
        dialog.word = word.to_owned();
        let asks = plain.line(&player.world, word);
        assert!(asks.iter().any(|ask| matches!(ask, Ask::Command(Command::Apply(_)))), "{word}: {asks:?}");
    }
}

fn type_line(player: &mut Player, plain: &mut Plain, typed: &str) -> Result<(), TestCaseError> {
    let allowed = match &plain.model.overlay {
        Some(Overlay::Apply(dialog)) if dialog.word == typed && dialog.reasons.is_empty() => Some("apply"),
        Some(Overlay::RollBack(_)) if matches!(typed, "ctrl-r" | "rollback") => Some("rollback"),
        Some(Overlay::Form(form)) if form.verb.to_lowercase() == typed => Some("share"),
        _ => None,
    };
    for ask in plain.line(&player.world, typed) {
        let Ask::Command(command) = ask else { continue };
        let left = match &command {
            Command::Apply(_) => Some("apply"),
            Command::RollBack(_) => Some("rollback"),
            Command::Preview(_)
            | Command::Revert(_)
            | Command::Abort(_)
            | Command::Reconnect(_)
            | Command::ReadEdges(..)
            | Command::Foresee(_)
            | Command::Shadow(_)
            | Command::ReadDocuments
            | Command::Compare(..)
            | Command::Reload => None,
            _ => Some("share"),
        };
        prop_assert!(left.is_none() || left == allowed, "{left:?} left by {typed:?}");
        std::mem::swap(&mut player.model, &mut plain.model);
        player.ask(&command);
        std::mem::swap(&mut player.model, &mut plain.model);
    }
    plain.say(&player.world);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_lines_never_change_a_cluster_without_the_word(
        typed in prop::collection::vec(0..TYPED.len(), 1..60),
    ) {
        let mut player = Player::new(world(), (120, 40));
        let mut plain = Plain::new(false);
        plain.say(&player.world);
        for (nth, at) in typed.into_iter().enumerate() {
            type_line(&mut player, &mut plain, TYPED[at])?;
            if nth % 7 == 0 {
                player.previews_come();
                plain.say(&player.world);
            }
        }
    }
}
