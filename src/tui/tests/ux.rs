//! The points of `tests/ux/points.toml` that had no test elsewhere: help that runs, keys bound anew on
//! every screen, undo, saved views, badges, times, copies, the mouse in lists of commands.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;

use crate::{
    cockpit::{
        commands::CommandId,
        decide,
        ports::{Change, ClusterFact, Fact, Trouble},
    },
    domain::{denial::Class, fleet::NamespaceSeen, flow::Direction, policy::Labels},
    tui::{
        Ask, Input,
        bindings::Bindings,
        dialog::Overlay,
        fixture::{Player, cluster, lead, ns, reviews::reviewed, world},
        form::At,
        model::{Main, RowKey, View, Zoom},
        plain::rows,
        preferences, update,
        update::{begin, note_changed_keys},
        view::frame::Areas,
    },
};

fn player(keys: &str) -> Player {
    let mut player = Player::new(world(), (120, 40));
    player.keys(keys);
    player
}

fn click(player: &mut Player, column: usize, row: usize) -> Vec<Ask> {
    let kind = MouseEventKind::Down(MouseButton::Left);
    let event = MouseEvent { kind, column: column as u16, row: row as u16, modifiers: KeyModifiers::NONE };
    update(&mut player.model, &player.world, Input::Mouse(event))
}

/// Where these words stand on the screen: column and line.
fn place(player: &Player, words: &str) -> (usize, usize) {
    let screen = player.screen();
    let found = screen
        .lines()
        .enumerate()
        // Below the tabs.
        .skip(1)
        .find_map(|(row, line)| line.find(words).map(|at| (line[..at].chars().count(), row)));
    found.unwrap_or_else(|| panic!("{words:?} is not on\n{screen}"))
}

#[test]
fn help_is_searched_and_an_entry_runs_from_it() {
    let mut found = player("? \"sources\"");
    assert!(found.screen().contains("sources"));
    found.keys("enter");
    assert_eq!(*found.model.view(), View::Main(Main::Sources));
    assert!(found.model.overlay.is_none());
}

/// Every command that may have another key gets one that no screen says by itself.
fn rebound() -> Bindings {
    use CommandId as Id;
    let changes = [
        (Id::RollBack, "ctrl-b"),
        (Id::PageUp, "("),
        (Id::Abort, "ctrl-e"),
        (Id::ClearFilter, "f2"),
        (Id::Reload, "f3"),
        (Id::Palette, "f4"),
        (Id::Help, "f5"),
        (Id::Freeze, "f6"),
        (Id::Copy, "f7"),
        (Id::Suspend, "ctrl-g"),
    ];
    let changes: Vec<_> = changes.iter().map(|(id, key)| (*id, vec![(*key).to_owned()])).collect();
    let (keys, refused) = Bindings::changed(&changes);
    assert_eq!(refused, []);
    keys
}

#[test]
fn screens_name_the_users_own_keys_and_obey_them() {
    for (keys, old, new) in [
        ("enter j j j", "ctrl-r", "ctrl-b rollback"),
        ("j", "ctrl-r", "ctrl-b rolls back all the same"),
        ("2 enter", "ctrl-r", "to take it back: ctrl-b"),
        ("enter j j j enter", "ctrl-r", "a and ctrl-b mean both directions"),
        ("4", "ctrl-r", "rollbacks (ctrl-b)"),
        ("/ \"nothing_of_it\" enter", "ctrl-u", "f2 shows all rows"),
        ("enter j j j ctrl-b", "ctrl-r", "ctrl-b again"),
        ("enter j j j ctrl-b ctrl-b", "ctrl-r", "rollback started"),
        ("2 f6", "f: now", "f6: now"),
        ("f5 \"rollback\"", "ctrl-r", "ctrl-b"),
        ("f4 \"reload\"", "ctrl-l", "f3"),
        ("enter j j j m", "ctrl-r", "ctrl-b"),
    ] {
        let mut player = Player::new(world(), (120, 40));
        player.model.settings.keys = rebound();
        player.keys(keys);
        let screen = player.screen();
        assert!(screen.contains(new), "{keys}: {new:?} is not on\n{screen}");
        assert!(!screen.contains(old), "{keys}: {old:?} is on\n{screen}");
    }
    let mut player = Player::new(world(), (120, 40));
    player.model.settings.keys = rebound();
    player.keys("enter j j j ctrl-r ctrl-r");
    assert!(player.asks.is_empty() && player.model.overlay.is_none(), "the old key is nothing any more");
}

#[test]
fn marks_filters_and_orders_are_undone_one_by_one() {
    let mut player = player("enter j j j space / \"pay\" enter");
    assert_eq!(player.model.fleet.marks.len(), 1);
    assert_eq!(player.model.filter(Main::Fleet), "pay");
    player.keys("U");
    assert_eq!((player.model.filter(Main::Fleet), player.model.fleet.marks.len()), ("", 1));
    player.keys("u");
    assert_eq!(player.model.fleet.marks.len(), 0);
    player.keys("U");
    assert_eq!(player.model.fleet.marks.len(), 1, "marks that were cleared are back");
    player.keys("U");
    assert_eq!(player.model.fleet.marks.len(), 0, "and the mark itself goes");
    player.keys("U");
    assert!(player.screen().contains("there is nothing to undo"));
    let mut sorted = Player::new(reviewed(), (120, 40));
    let first = sorted.keys("8").model.team.reviews.order;
    sorted.keys("s s U U");
    assert_eq!(sorted.model.team.reviews.order, first);
}

#[test]
fn a_form_that_was_left_comes_back_as_it_was() {
    let mut player = Player::new(lead::world(), (120, 40));
    player.keys("enter j j j p tab tab \"audit_week\" esc");
    assert!(player.model.overlay.is_none());
    player.keys("U");
    assert!(matches!(player.model.overlay, Some(Overlay::Form(_))));
    assert!(player.screen().contains("audit week"), "{}", player.screen());
    assert!(player.asks.is_empty());
    // A verdict that was not submitted is such a form.
    let mut verdict = Player::new(reviewed(), (120, 40));
    verdict.keys("8 A tab \"needed\" esc U");
    assert!(verdict.screen().contains("needed"));
    // One in which nothing was filled in is none.
    let mut empty = Player::new(lead::world(), (120, 40));
    empty.keys("enter j j j p esc U");
    assert!(empty.model.overlay.is_none());
}

#[test]
fn what_was_sent_says_that_it_cannot_be_undone_and_what_helps() {
    let mut player = player("enter j j j space u ctrl-r ctrl-r U");
    assert!(player.screen().contains("a rollback cannot be undone: apply (a) previews it again"));
    player.keys("U");
    assert_eq!(player.model.fleet.marks.len(), 1, "what was before it is undone next");
    let mut sent = Player::new(lead::world(), (120, 40));
    sent.keys("enter j j j p tab tab \"audit\" tab \"7d\" tab enter U");
    assert!(sent.screen().contains("cannot be undone"), "{}", sent.screen());
    assert!(sent.model.overlay.is_none(), "what went out does not come back as a draft");
}

#[test]
fn saved_views_are_listed_by_role_and_opened_by_name() {
    let mut player = player("0");
    insta::assert_snapshot!("saved_views_120x40", player.screen());
    player.keys("\"hurting\" enter");
    assert_eq!(*player.model.view(), View::Main(Main::Denials));
    assert_eq!(player.model.filter(Main::Denials), "env:production class:hurting");
    assert!(!player.model.denials.rows().is_empty());
    player.keys("U");
    assert_eq!(player.model.filter(Main::Denials), "");
    player.keys(": \"not_well\" enter");
    assert_eq!(player.model.filter(Main::Fleet), "!health:/^up$/");
    assert!(player.model.fleet.list.rows().contains(&RowKey::Cluster(cluster("prod-us-2"))));
    player.asks.clear();
    player.keys("2 / \"peer:\\\"x\" enter 0 \"copy_this\" enter");
    let [Ask::Copy(lines)] = &player.asks[..] else { panic!("{:?}", player.asks) };
    let (read, troubles) = preferences::read(lines);
    assert_eq!(troubles, []);
    let mine = read.views.last().expect("it reads back");
    assert_eq!((mine.page, mine.filter.as_str()), (Main::Denials, "peer:\\\"x"));
}

#[test]
fn every_saved_view_that_ships_finds_rows_in_some_world() {
    for (name, build) in [
        ("hurting in production", world as fn() -> crate::cockpit::world::World),
        ("clusters that are not well", world),
        ("what may go now", lead::world),
        ("what waits", lead::world),
        ("reviews that wait", reviewed),
        ("grants that end", reviewed),
    ] {
        let mut player = Player::new(build(), (120, 40));
        player.keys(&format!("0 \"{}\" enter", name.replace(' ', "_")));
        let screen = player.screen();
        assert!(!screen.contains("No row passes"), "{name}\n{screen}");
    }
}

#[test]
fn what_is_wrong_with_the_preferences_is_said_at_the_start_and_kept_among_the_notices() {
    let mut player = player("");
    let (read, troubles) = preferences::read("[keys]\nrollback = \"r\"\ncolour = \"x\"\n");
    begin(&mut player.model, &player.world, read, troubles);
    player.settle();
    let screen = player.screen().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(screen.contains("only ctrl- and a letter will do, no plain key"), "{screen}");
    assert!(screen.contains("1 more under 6"), "{screen}");
    player.keys("6");
    assert!(player.screen().contains("preferences.toml line 3"), "{}", player.screen());
    let trouble = |trouble: &Trouble| trouble.object.as_str().starts_with("preferences.toml");
    assert_eq!(player.model.notices.all.iter().filter(|(_, one)| trouble(one)).count(), 2);
}

#[test]
fn the_cockpit_begins_with_the_view_of_ones_own() {
    let mut player = player("");
    let (read, troubles) = preferences::read("start = \"reviews that wait\"\n");
    begin(&mut player.model, &player.world, read, troubles);
    player.settle();
    assert_eq!(*player.model.view(), View::Main(Main::Reviews));
    assert_eq!(player.model.filter(Main::Reviews), "state:open");
}

/// At 3 a.m. too: the note is in nobody's way.
#[test]
fn the_note_of_changed_keys_goes_with_a_key_and_rollback_works_over_it() {
    let mut player = player("enter j j j");
    let before = preferences::shipped_keys().replace("rollback ctrl-r\n", "rollback ctrl-k\n");
    let changed = preferences::changed_keys(&before, &Bindings::default());
    note_changed_keys(&mut player.model, changed.clone());
    insta::assert_snapshot!("changed_keys_120x40", player.screen());
    player.keys("esc");
    assert!(player.model.overlay.is_none());
    note_changed_keys(&mut player.model, changed);
    player.keys("ctrl-r");
    assert!(matches!(player.model.overlay, Some(Overlay::RollBack(_))));
    let mut none = self::player("");
    note_changed_keys(&mut none.model, Vec::new());
    assert!(none.model.overlay.is_none());
}

/// One key gives the whole screen to the list and one to the details; the same key, or esc, gives it back.
#[test]
fn any_list_fills_the_screen_and_goes_back() {
    for size in [(80, 24), (120, 40), (200, 50)] {
        for keys in ["enter", "2", "3", "5", "7", "9", "enter j j j d", "enter j j j enter tab tab"] {
            let mut player = Player::new(world(), size);
            player.keys(keys);
            let (before, room) = (player.screen(), Areas::of(size, &player.model).list);
            player.keys("Z");
            let whole = Areas::of(size, &player.model);
            assert_eq!(whole.list.bottom(), whole.body.bottom(), "{keys} {size:?}");
            assert_eq!(whole.list.width, size.0, "{keys} {size:?}");
            let grown = whole.list.width > room.width || whole.list.height > room.height;
            assert!(grown, "{keys} {size:?}: {:?} is not more than {room:?}", whole.list);
            let drawn = player.screen();
            // The details are gone, and nothing stands in their place.
            let headings = |screen: &str| screen.lines().filter(|line| line.contains("── ")).count();
            assert!(headings(&drawn) < headings(&before), "{keys} {size:?}:\n{drawn}");
            player.keys("Z");
            let is_page = matches!(player.model.view(), View::Namespace(..));
            assert!(is_page || player.screen() == before, "{keys} {size:?}:\n{}", player.screen());
            player.keys("Z esc");
            assert_eq!(player.model.settings.zoom, Zoom::No);
            player.keys("z Z");
            assert_eq!(player.model.settings.zoom, Zoom::List, "one goes over into the other");
        }
    }
    // Walking means the list that one sees.
    let mut player = player("enter j j j enter");
    let first = player.keys("Z").model.page.denials.at();
    assert_eq!(player.keys("j").model.page.denials.at(), first + 1);
    // Where there is no list it says so.
    let mut alone = self::player("2 enter Z");
    assert_eq!(alone.model.settings.zoom, Zoom::No);
    assert!(alone.keys("").screen().contains("zoom-list has no meaning on this page"));
}

#[test]
fn environments_and_patterns_narrow_denials() {
    for (filter, rows) in [
        ("env:production", 2),
        ("env:staging", 0),
        ("!env:staging", 2),
        ("ns:/^pay/", 2),
        ("ns:/^shop/", 0),
        ("ns:~pmts", 2),
    ] {
        let mut player = player("2");
        player.keys(&format!("/ \"{filter}\" enter"));
        assert_eq!(player.model.denials.rows().len(), rows, "{filter}");
    }
}

#[test]
fn labels_narrow_the_fleet_and_its_denials() {
    let mut player = player("");
    let seen = |name: &str, labels: &[(&str, &str)]| NamespaceSeen {
        name: ns(name),
        labels: Labels::new(labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
        owner: None,
        contact: None,
        terminating: false,
    };
    let change = Change::Put(seen("payments", &[("tier", "gold"), ("team", "pay")]));
    player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Namespaces(change)));
    player.settle();
    player.keys("/ \"label:tier=gold\" enter");
    let row = RowKey::Namespace(cluster("prod-eu-1"), ns("payments"));
    assert_eq!(player.model.fleet.list.rows(), [RowKey::Cluster(cluster("prod-eu-1")), row]);
    player.keys("2 / \"label:/team=p/\" enter");
    assert_eq!(player.model.denials.rows().len(), 2);
    player.keys("ctrl-u / \"!label:tier=gold\" enter");
    assert_eq!(player.model.denials.rows().len(), 0);
}

#[test]
fn a_pattern_that_is_none_says_why_on_the_line() {
    let player = player("/ \"ns:/(\"");
    let screen = player.screen();
    assert!(screen.contains("ns:/( does not narrow: unclosed group"), "{screen}");
    assert!(screen.contains("word, ~word its letters, /pattern/"), "{screen}");
}

#[test]
fn one_key_turns_ages_into_local_times_with_their_zone() {
    let mut player = player("2 enter");
    let (ages, zone) = (player.screen(), "+01:00");
    assert!(ages.contains(zone), "{ages}");
    player.keys("esc 5 z");
    let before = player.screen();
    player.keys("t");
    let after = player.screen();
    assert_ne!(before, after);
    let clock = |screen: &str| {
        screen
            .lines()
            .skip(2)
            .flat_map(|line| line.split_whitespace())
            .filter(|word| word.matches(':').count() == 2)
            .count()
    };
    assert!(clock(&after) > clock(&before), "{before}\n{after}");
}

#[test]
fn all_of_a_page_is_copied_at_once() {
    let mut player = player("enter j j j ctrl-r ctrl-r 4 ctrl-y");
    let Some(Ask::Copy(text)) = player.asks.last() else { panic!("{:?}", player.asks) };
    assert_eq!(text.matches("rollback #").count(), 2, "{text}");
    player.asks.clear();
    player.keys("2 ctrl-y");
    let [Ask::Copy(text)] = &player.asks[..] else { panic!("{:?}", player.asks) };
    assert_eq!(text.matches("Denied by network policy").count(), 2);
    assert!(player.screen().contains("copied 2 rows"));
    player.asks.clear();
    player.keys("/ \"nothing\" enter ctrl-y");
    assert!(player.asks.is_empty(), "what is narrowed away is not copied");
}

#[test]
fn what_a_form_would_send_can_be_copied_as_a_command() {
    let mut hold = Player::new(lead::world(), (120, 40));
    hold.keys("7");
    hold.model.plan.list.choose(crate::tui::plan::PlanKey::Row(crate::tui::fixture::target(
        "prod-eu-1",
        "payments",
        Direction::Egress,
    )));
    hold.keys("p tab right tab \"audit_week\" tab \"7d\" tab Y esc");
    assert_eq!(
        hold.asks,
        [Ask::Copy(
            "sluice hold --context ctx-prod-eu-1 -n payments --reason 'audit week' --until 2026-11-30T13:02:30Z"
                .into()
        )]
    );
    let mut reject = Player::new(reviewed(), (120, 40));
    reject.keys("8 X tab \"no\"");
    while !matches!(&reject.model.overlay, Some(Overlay::Form(form)) if form.at == At::Send) {
        reject.keys("tab");
    }
    reject.keys("Y");
    let said = format!("{:?}", reject.asks);
    assert!(
        said.contains("sluice review reject ") && said.contains("--reason no"),
        "{said}\n{}",
        reject.screen()
    );
}

/// What a review is asked for with is the same as the grant of the form, or there is no command for it.
#[test]
fn asking_for_a_review_can_be_copied_as_a_command() {
    for (keys, wanted) in [
        // No policy opens it yet: the grant is for all pods, with its port.
        (
            "1 enter j j j d e tab tab \"debug_agent\" tab tab Y",
            "sluice review ask -n payments --destination acme-debug.ngrok.io --port TCP/443 --for prod-eu-1 \
             --purpose 'debug agent' --expires 2027-02-21T13:02:30Z",
        ),
        // As the policies open it.
        (
            "1 enter j j j l j e tab tab \"alerts\" tab tab Y",
            "sluice review ask -n payments --destination hooks.slack.com --for prod-eu-1 --purpose alerts \
             --expires 2027-02-21T13:02:30Z",
        ),
    ] {
        let mut player = Player::new(reviewed(), (120, 40));
        player.keys(keys);
        assert_eq!(player.asks.last(), Some(&Ask::Copy(wanted.into())), "{}", player.screen());
    }
}

#[test]
fn waivers_and_overrides_can_be_copied_as_commands() {
    let mut coverage = Player::new(reviewed(), (120, 40));
    coverage.keys("1 enter j j j v W tab tab \"known\" tab tab Y");
    let mut denial = Player::new(lead::world(), (120, 40));
    denial.keys("2 W tab \"it's_off\" tab tab Y");
    let row = crate::tui::fixture::target("prod-eu-1", "payments", Direction::Ingress);
    let mut over = Player::new(lead::world(), (120, 40));
    over.keys("7");
    over.model.plan.direction = Direction::Ingress;
    over.settle();
    over.model.plan.list.choose(crate::tui::plan::PlanKey::Row(row));
    over.keys("a").previews_come();
    over.keys("O tab tab \"it_cannot_wait\" tab tab Y");
    let mut confirm = Player::new(lead::world(), (120, 40));
    confirm.keys("1 C tab Y");
    let copied = |player: &Player| match player.asks.last() {
        Some(Ask::Copy(text)) => text.to_string(),
        other => panic!("{other:?}\n{}", player.screen()),
    };
    let all: Vec<_> = [&coverage, &denial, &over, &confirm].into_iter().map(copied).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// Arrows and letters, pages and ends: on every page with rows the same keys walk alike.
#[test]
fn the_walking_keys_mean_the_same_on_every_list() {
    let fleet = |keys: &str| player(keys);
    let lead = |keys: &str| {
        let mut player = Player::new(lead::world(), (120, 40));
        player.keys(keys);
        player
    };
    let team = |keys: &str| {
        let mut player = Player::new(reviewed(), (120, 40));
        player.keys(keys);
        player
    };
    for (mut player, what) in [
        (fleet("enter g"), "fleet"),
        (fleet("2 g"), "denials"),
        (fleet("3 g"), "live"),
        (fleet("5 g"), "sources"),
        (fleet("enter j j j d g"), "destinations"),
        (fleet("enter j j j enter tab tab tab g"), "denials of a namespace"),
        (lead("7 g"), "plan"),
        (team("8 g"), "reviews"),
        (team("9 g"), "open ends"),
    ] {
        let last = rows::rows(&player.model).all.len() - 1;
        assert!(last > 0, "{what} has one row");
        let mut at = |keys: &str| {
            player.keys(keys);
            rows::rows(&player.model).at
        };
        assert_eq!(at(""), Some(0), "{what}");
        for (down, up) in [("j", "k"), ("down", "up")] {
            assert_eq!((at(down), at(up)), (Some(1), Some(0)), "{what}: {down} {up}");
        }
        for (bottom, top) in [("G", "g"), ("end", "home")] {
            assert_eq!((at(bottom), at(top)), (Some(last), Some(0)), "{what}: {bottom} {top}");
        }
        for (down, up) in [("pgdn", "pgup"), ("ctrl-f", "ctrl-b")] {
            let page = at(down);
            assert!(page > Some(0) && page <= Some(last), "{what}: {down}");
            assert_eq!(at(up), Some(0), "{what}: {up}");
        }
        assert_eq!(at("k"), Some(0), "{what}: it does not go round");
    }
}

/// Neither apply nor roll back, and every page says so.
#[test]
fn read_only_is_said_on_every_page_and_nothing_leaves() {
    for (_, main) in Main::ALL {
        let mut world = world();
        world.absorb(Fact::ReadOnly);
        let mut player = Player::new(world, (80, 24));
        player.model.views.go(View::Main(main));
        player.settle();
        assert!(player.screen().contains("READ-ONLY"), "{main:?}\n{}", player.screen());
    }
    let mut world = world();
    world.absorb(Fact::ReadOnly);
    let mut player = Player::new(world, (80, 24));
    player.keys("enter j j j a");
    assert!(player.screen().contains("read-only"), "{}", player.screen());
    player.keys("esc ctrl-r");
    assert!(player.screen().contains("kubectl"), "what a person may type stays: {}", player.screen());
    player.keys("ctrl-r");
    let world = &player.world;
    let leaves = |ask: &Ask| matches!(ask, Ask::Command(command) if decide::decide(world, command).is_ok());
    assert!(!player.asks.iter().any(leaves), "{:?}", player.asks);
}

#[test]
fn clicks_choose_and_run_entries_and_hints() {
    let mut player = player(":");
    let (x, y) = place(&player, "sources");
    assert!(click(&mut player, x, y).is_empty());
    assert!(matches!(player.model.overlay, Some(Overlay::Chooser(_))), "the first click only chooses");
    let (x, y) = place(&player, "sources");
    assert!(click(&mut player, x, y).is_empty());
    assert_eq!(*player.model.view(), View::Main(Main::Sources));
    let (x, y) = place(&player, "? help");
    click(&mut player, x, y);
    assert!(matches!(player.model.overlay, Some(Overlay::Chooser(_))));
}

/// The number on a badge is the number of rows behind it, wherever one looks from and whatever was
/// pressed before.
fn badges_agree(mut player: Player) -> Result<(), TestCaseError> {
    player.keys("esc esc esc esc");
    for main in [Main::Denials, Main::Notices, Main::Reviews] {
        player.model.views.go(View::Main(main));
        player.model.filters.texts.clear();
        player.model.overlay = None;
        player.model.filters.editing = None;
        player.settle();
        let tabs = player.screen().lines().next().unwrap_or_default().to_owned();
        let at =
            tabs.find(&format!("{} ", Main::ALL.iter().find(|(_, m)| *m == main).expect("its number").0));
        let word = tabs[at.expect("its tab")..].split_whitespace().nth(1).unwrap_or_default();
        let badge =
            word.split_once('(').map_or(0, |(_, rest)| rest.trim_end_matches(')').parse().expect("a number"));
        let rows = match main {
            Main::Denials => {
                let would = |id: &&crate::domain::denial::GroupId| {
                    player.model.group(&player.world, **id).is_some_and(|group| group.class != Class::Would)
                };
                player.model.denials.rows().iter().filter(would).count()
            }
            Main::Notices => player.model.notices.list.rows().len(),
            _ => player.model.team.reviews.list.rows().len(),
        };
        prop_assert_eq!(badge, rows, "{:?}: {}", main, tabs);
    }
    Ok(())
}

const PRESSED: &[&str] = &[
    "j", "enter", "2", "f", "3", "8", "6", "space", "G", "/", "x", "esc", "s", "5", "z", "1", "d", "U", "0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_number_on_a_badge_is_the_number_of_rows_behind_it(
        keys in prop::collection::vec(0..PRESSED.len(), 0..30),
        shared in any::<bool>(),
        wide in any::<bool>(),
    ) {
        let build = if shared { reviewed } else { world };
        let mut player = Player::new(build(), if wide { (160, 40) } else { (80, 24) });
        for at in keys {
            player.keys(PRESSED[at]);
        }
        badges_agree(player)?;
    }
}

#[test]
fn numbers_open_main_views_and_the_path_says_where_one_is() {
    for (number, main) in Main::ALL {
        let player = player(&number.to_string());
        assert_eq!(*player.model.view(), View::Main(main));
        let path = player.screen().lines().nth(1).unwrap_or_default().to_owned();
        assert!(path.trim_start().starts_with(main.word()), "{path}");
    }
    let deep = player("enter j j j enter");
    assert!(deep.screen().contains("fleet › prod-eu-1 › payments"));
    assert_eq!(*deep.model.view(), View::Namespace(cluster("prod-eu-1"), ns("payments")));
}
