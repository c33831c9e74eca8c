//! Keys to asks: what leaves the screen, after which keys, and how the cursor behaves.

use crate::{
    cockpit::{
        decide::Command,
        orders::{OrderId, Outcome},
        ports::{Change, ClusterFact, Fact},
    },
    domain::{fleet::Isolation, flow::Direction},
    tui::{
        Ask,
        fixture::{Player, cluster, ns, target, world},
        model::{Main, RowKey, View},
    },
};

fn player(keys: &str) -> Player {
    let mut player = Player::new(world(), (80, 24));
    player.keys(keys);
    player
}

#[test]
fn an_apply_takes_a_preview_the_exact_word_and_enter() {
    let mut player = player("enter j j j l j j a");
    let payments = target("prod-eu-1", "payments", Direction::Ingress);
    assert_eq!(player.asks, [Ask::Command(Command::Preview(vec![payments]))]);
    player.previews_come();
    player.keys("\"payment\" enter");
    assert_eq!(player.asks.len(), 1, "a part of the word does not do");
    player.keys("\"s\" enter");
    assert_eq!(player.asks[1], Ask::Command(Command::Apply(vec![OrderId(1)])));
}

#[test]
fn enter_alone_cancels_every_dialog() {
    for keys in ["enter j j j l j j a", "j j j enter j a"] {
        let mut player = player(keys);
        player.previews_come();
        let asked = player.asks.len();
        player.keys("enter enter enter");
        assert_eq!(player.asks.len(), asked, "{keys}");
    }
    let mut player = player("enter j j j ctrl-r enter");
    assert!(player.model.overlay.is_none() && player.asks.is_empty());
    player.keys("ctrl-r esc");
    assert!(player.model.overlay.is_none() && player.asks.is_empty());
}

#[test]
fn staging_takes_a_yes_and_a_wave_of_production_its_number() {
    let mut player = player("j j j enter j a");
    player.previews_come().keys("\"yes\" enter");
    assert_eq!(player.asks[1], Ask::Command(Command::Apply(vec![OrderId(1), OrderId(2)])));

    let mut player = self::player("enter j j j l j j space space a");
    player.previews_come().keys("\"yes\" enter");
    assert_eq!(player.asks.len(), 1);
    for _ in 0..3 {
        player.keys("backspace");
    }
    player.keys("\"apply_2\" enter");
    assert_eq!(player.asks[1], Ask::Command(Command::Apply(vec![OrderId(1), OrderId(2)])));
    assert!(player.model.fleet.marks.is_empty(), "marks go when their wave starts");
}

#[test]
fn a_rollback_takes_the_same_key_twice() {
    let both = |ns| Direction::ALL.map(|direction| target("prod-eu-1", ns, direction)).to_vec();
    let mut namespace = player("enter j j j ctrl-r");
    assert!(namespace.asks.is_empty());
    namespace.keys("ctrl-r");
    assert_eq!(namespace.asks, [Ask::Command(Command::RollBack(both("payments")))]);

    let one = player("enter j j j l j ctrl-r ctrl-r");
    let egress = target("prod-eu-1", "payments", Direction::Egress);
    assert_eq!(one.asks, [Ask::Command(Command::RollBack(vec![egress.clone()]))]);

    let whole = player("ctrl-r ctrl-r");
    let shop = target("prod-eu-1", "shop", Direction::Egress);
    assert_eq!(whole.asks, [Ask::Command(Command::RollBack(vec![egress.clone(), shop]))]);

    let from_a_denial = player("2 ctrl-r ctrl-r");
    assert_eq!(from_a_denial.asks, [Ask::Command(Command::RollBack(vec![egress]))]);
}

/// Law 6: also with the cluster down, a filter half typed, a palette open, an apply asked for.
#[test]
fn rollback_and_abort_work_in_every_state() {
    let billing = target("prod-us-2", "billing", Direction::Egress);
    let down = player("j ctrl-r ctrl-r");
    assert_eq!(down.asks, [Ask::Command(Command::RollBack(vec![billing]))]);
    for state in
        ["/ \"pay\"", ": \"x\"", "?", "m", "enter j j j a", "2", "2 enter", "3", "enter j j j enter", "2 f"]
    {
        let mut player = player(state);
        player.asks.clear();
        player.keys("ctrl-r ctrl-r");
        assert!(matches!(player.asks[..], [Ask::Command(Command::RollBack(_))]), "{state}");
    }
    for state in ["", "/ \"pay\"", ": \"x\"", "4", "ctrl-r"] {
        let mut player = player("enter j j j l j j a");
        player.previews_come().keys("\"payments\" enter").keys(state);
        player.asks.clear();
        player.keys("ctrl-x");
        assert_eq!(player.asks, [Ask::Command(Command::Abort(Vec::new()))], "{state}");
    }
}

#[test]
fn a_second_rollback_of_a_row_that_is_being_rolled_back_takes_only_the_rest() {
    let mut player = player("enter j j j l j ctrl-r ctrl-r k ctrl-r ctrl-r");
    let ingress = target("prod-eu-1", "payments", Direction::Ingress);
    assert_eq!(player.asks[1], Ask::Command(Command::RollBack(vec![ingress])));
    player.keys("j ctrl-r ctrl-r");
    assert_eq!(player.asks.len(), 2, "nothing is left to begin");
}

#[test]
fn the_cursor_stays_on_its_object_when_rows_come_and_go() {
    let mut player = player("enter j j j");
    let payments = RowKey::Namespace(cluster("prod-eu-1"), ns("payments"));
    assert_eq!(player.model.fleet.list.chosen(), Some(&payments));
    let gone = |name: &str| {
        let change = Change::Gone(ns(name));
        Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Namespaces(change))
    };
    player.world.absorb(gone("ledger"));
    player.settle();
    assert_eq!(player.model.fleet.list.chosen(), Some(&payments));
    player.world.absorb(gone("payments"));
    player.settle();
    assert_eq!(player.model.fleet.list.chosen(), None);
    player.keys("a ctrl-r ctrl-r");
    assert!(player.asks.is_empty(), "nothing acts on a row that slid under the cursor");
}

#[test]
fn esc_steps_back_and_never_leaves_and_q_goes_back_first() {
    let mut player = player("2 enter enter esc esc esc esc esc");
    assert_eq!(*player.model.view(), View::Main(Main::Fleet));
    assert!(player.asks.is_empty());
    player.keys("2 enter q q");
    assert_eq!(*player.model.view(), View::Main(Main::Fleet));
    player.keys("q");
    assert_eq!(player.asks, [Ask::Quit]);
}

#[test]
fn leaving_asks_while_orders_run() {
    let mut player = player("enter j j j ctrl-r ctrl-r");
    player.asks.clear();
    player.keys("ctrl-c esc ctrl-c enter q enter");
    assert!(player.asks.is_empty());
    player.keys("ctrl-c ctrl-c");
    assert_eq!(player.asks, [Ask::Quit]);
}

#[test]
fn views_have_a_history() {
    let mut player = player("2 3 -");
    assert_eq!(*player.model.view(), View::Main(Main::Denials));
    player.keys("-");
    assert_eq!(*player.model.view(), View::Main(Main::Live));
    player.keys("[ [");
    assert_eq!(*player.model.view(), View::Main(Main::Live));
    player.keys("[ [ ]");
    assert_eq!(*player.model.view(), View::Main(Main::Denials));
}

#[test]
fn filters_survive_other_views_and_one_key_clears_them() {
    let mut player = player("/ \"payments\" enter 2 1");
    assert_eq!(player.model.filter(Main::Fleet), "payments");
    assert_eq!(player.model.fleet.list.rows().len(), 2);
    player.keys("/ \"xyz\" esc");
    assert_eq!(player.model.filter(Main::Fleet), "payments", "esc leaves it as it was");
    player.keys("ctrl-u");
    assert_eq!(player.model.fleet.list.rows().len(), 6);
}

#[test]
fn frozen_denials_stay_and_what_arrives_is_counted() {
    use crate::tui::fixture::{Denied, denied};
    let mut player = player("2 f");
    let new = Denied {
        cluster: "prod-eu-1",
        ns: "shop",
        workload: "cart",
        direction: Direction::Egress,
        peer: "example.org",
        port: 80,
        secs_ago: 0,
    };
    denied(&mut player.world, &new);
    player.settle();
    assert_eq!(player.model.denials.rows().len(), 2);
    assert!(player.screen().contains("FROZEN +1 denials"));
    player.keys("f");
    assert_eq!(player.model.denials.rows().len(), 3);
}

#[test]
fn copies_are_messages_and_commands() {
    let mut player = player("2 y Y");
    let [Ask::Copy(message), Ask::Copy(command)] = &player.asks[..] else { panic!("{:?}", player.asks) };
    insta::assert_snapshot!("copied_denial", message);
    insta::assert_snapshot!("copied_command", command);
    player.asks.clear();
    player.keys("enter Y 6 y");
    assert_eq!(player.asks.len(), 2);
}

#[test]
fn the_palette_reaches_namespaces_and_commands_by_name() {
    let found = player(": \"eu1pay\" enter");
    assert_eq!(*found.model.view(), View::Namespace(cluster("prod-eu-1"), ns("payments")));
    let command = player(": \"rollback\" enter");
    assert!(matches!(command.model.overlay, Some(crate::tui::dialog::Overlay::RollBack(_))));
    assert!(command.asks.is_empty());
    let cluster_ = player(": \"stage-1\" enter");
    assert_eq!(cluster_.model.fleet.list.chosen(), Some(&RowKey::Cluster(cluster("stage-1"))));
    let help = player("? \"theme\" enter");
    assert_eq!(help.asks, [Ask::Theme("sluice-light")]);
}

#[test]
fn a_result_is_told_where_ever_the_operator_looks() {
    let mut player = player("enter j j j l j ctrl-r ctrl-r 5");
    player.ended(OrderId(1), Outcome::Done { isolation: Isolation::default() });
    assert!(player.screen().contains("rollback #1 prod-eu-1/payments egress: done"));
    player.keys("esc");
    assert!(!player.screen().contains("rollback #1"));
}

#[test]
fn a_preview_can_be_dropped_and_comes_to_nothing() {
    let mut player = player("enter j j j l j j a esc");
    player.previews_come();
    assert!(player.model.overlay.is_none());
    player.keys("\"payments\" enter");
    assert_eq!(player.asks.iter().filter(|ask| matches!(ask, Ask::Command(Command::Apply(_)))).count(), 0);
}

#[test]
fn a_click_chooses_and_the_wheel_walks() {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let mouse = |kind, column, row| {
        crate::tui::Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let mut player = player("");
    let send = |player: &mut Player, kind, column, row| {
        let asks = crate::tui::update(&mut player.model, &player.world, mouse(kind, column, row));
        assert!(asks.is_empty());
    };
    send(&mut player, MouseEventKind::Down(MouseButton::Left), 30, 5);
    assert_eq!(player.model.fleet.list.chosen(), Some(&RowKey::Cluster(cluster("prod-ap-3"))));
    send(&mut player, MouseEventKind::ScrollDown, 30, 5);
    assert_eq!(player.model.fleet.list.chosen(), Some(&RowKey::Cluster(cluster("edge-9"))));
    let tabs = player.screen().lines().next().unwrap().to_owned();
    let column = tabs.find("5 src").unwrap() as u16 + 3;
    send(&mut player, MouseEventKind::Down(MouseButton::Left), column, 0);
    assert_eq!(*player.model.view(), View::Main(Main::Sources));
}

#[test]
fn a_dialog_fits_again_after_a_resize() {
    let mut player = player("enter j j j ctrl-r");
    for (width, height) in [(60, 14), (200, 60), (80, 24)] {
        assert!(
            crate::tui::update(&mut player.model, &player.world, crate::tui::Input::Resize(width, height))
                .is_empty()
        );
        let screen = player.screen();
        assert!(screen.contains("ctrl-r again") && screen.contains("[ Cancel ]"), "{width}x{height}");
    }
}

#[test]
fn a_held_key_does_not_confirm_a_rollback() {
    let mut player = player("enter j j j ctrl-r");
    let mut held = crate::tui::fixture::key("ctrl-r");
    held.kind = crossterm::event::KeyEventKind::Repeat;
    player.press(&held);
    assert!(player.asks.is_empty());
}

/// Where it is unknown whether policies are enforced, staging too takes more than a yes.
#[test]
fn an_unknown_cni_asks() {
    use crate::domain::{
        fleet::{Cni, CniKind, Enforcement},
        names::Text,
    };
    let cni = Cni {
        kind: CniKind::Other,
        version: None,
        enforcement: Enforcement::Unknown,
        evidence: Text::new("DaemonSet weird-net"),
    };
    let mut world = world();
    world.absorb(Fact::Cluster(cluster("stage-1"), ClusterFact::Cni(cni)));
    let mut player = Player::new(world, (80, 24));
    player.keys("j j j enter j l j a").previews_come();
    assert!(player.screen().contains("whether stage-1 enforces policies is unknown (DaemonSet weird-net)"));
    player.keys("\"yes\" enter");
    assert_eq!(player.asks.len(), 1);
    for _ in 0..3 {
        player.keys("backspace");
    }
    player.keys("\"api\" enter");
    assert_eq!(player.asks.len(), 2);
}

/// Law 6 on a cluster of which nothing was ever read: not "nothing is live", but what to do.
#[test]
fn a_cluster_that_never_answered_is_not_said_to_hold_nothing() {
    let mut player = player("j j j j j ctrl-r");
    assert!(player.asks.is_empty());
    let screen = player.screen();
    assert!(screen.contains("no namespace of edge-9 is known yet"), "{screen}");
    player.keys("esc k k k ctrl-r");
    assert!(player.screen().contains("nothing of ours is live in prod-ap-3"), "{}", player.screen());
}
