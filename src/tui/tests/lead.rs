//! The rollout lead's pages and forms: what they look like, and what leaves them after which keys.

use chrono::TimeDelta;

use crate::{
    cockpit::{decide::Command, holding::Wanted, orders::OrderId, waiving::Overriding, world::World},
    domain::{
        flow::Direction,
        hold::{Covers, HoldKind, Scope},
        names::Text,
    },
    tui::{
        Ask,
        dialog::Overlay,
        fixture::{Player, cluster, lead, now, ns, target},
        form::At,
        plan::{self, PlanKey},
    },
};

/// On the plan page, at a row.
fn at(mut player: Player, cluster: &str, ns: &str, direction: Direction) -> Player {
    player.keys(if direction == Direction::Egress { "7" } else { "7 tab" });
    let row = target(cluster, ns, direction);
    let wave = player.world.waves().plan(direction).row(&row).map(|(wave, _)| wave.clone());
    if let Some(wave) = wave.filter(|wave| !plan::is_open(&player.model, &player.world, wave)) {
        player.model.plan.turn(wave.number);
        player.settle();
    }
    player.model.plan.list.choose(PlanKey::Row(row));
    player
}

fn player(world: World) -> Player {
    Player::new(world, (120, 40))
}

fn open_form(player: &Player) -> &crate::tui::form::Form {
    match &player.model.overlay {
        Some(Overlay::Form(form)) => form,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages() {
    type Build = fn() -> World;
    let screens: [(&str, Build, &str); 12] = [
        ("plan", lead::world, "7"),
        ("plan_ingress", lead::world, "7 tab j j"),
        ("plan_wave", lead::world, "7 G"),
        ("plan_filtered", lead::world, "7 / \"state:rolled\" enter"),
        ("plan_state_away", lead::without_state, "7 j"),
        ("lead_fleet", lead::world, "enter"),
        ("lead_namespace", lead::world, "enter j j j enter tab"),
        ("lead_namespace_rolled_back", lead::world, "j j j enter j enter tab"),
        ("lead_namespace_proved", lead::proved, "enter j j j enter tab z"),
        ("lead_namespace_unproved", lead::unproved, "enter j j j enter tab z"),
        ("lead_namespace_leaking", lead::leaking, "enter j j j enter tab z"),
        ("timeline", lead::world, "enter j j j i"),
    ];
    for size in [(80, 24), (120, 40)] {
        for (name, build, keys) in screens {
            let mut player = Player::new(build(), size);
            player.keys(keys);
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), player.screen());
        }
        for (name, ns, direction) in [
            ("plan_row_soaks", "payments", Direction::Egress),
            ("plan_row_waits", "payments", Direction::Ingress),
        ] {
            let mut player = at(Player::new(lead::world(), size), "prod-eu-1", ns, direction);
            player.keys("z");
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), player.screen());
        }
    }
    let mut widest = at(Player::new(lead::world(), (200, 60)), "prod-eu-1", "payments", Direction::Egress);
    widest.settle();
    insta::assert_snapshot!("plan_200x60", widest.screen());
}

#[test]
fn forms() {
    for size in [(80, 24), (120, 40)] {
        let name = |form: &str| format!("form_{form}_{}x{}", size.0, size.1);
        let row = || at(Player::new(lead::world(), size), "prod-eu-1", "payments", Direction::Egress);
        let mut player = row();
        player.keys("p");
        insta::assert_snapshot!(name("hold"), player.screen());
        player.keys("tab right tab \"audit\" tab \"7d\" tab");
        insta::assert_snapshot!(name("hold_filled"), player.screen());
        let mut player = row();
        player.keys("x tab tab tab \"yesterday\"");
        insta::assert_snapshot!(name("exclude_refused"), player.screen());
        let mut player = row();
        player.keys("P");
        insta::assert_snapshot!(name("release"), player.screen());
        let mut player = row();
        player.keys("C");
        insta::assert_snapshot!(name("confirm_override"), player.screen());
        let mut player = at(Player::new(lead::world(), size), "prod-eu-1", "payments", Direction::Ingress);
        player.keys("a").previews_come();
        insta::assert_snapshot!(name("apply_with_gates"), player.screen());
        player.keys("O");
        insta::assert_snapshot!(name("override"), player.screen());
        player.keys("esc w");
        insta::assert_snapshot!(name("advance_refused"), player.screen());
    }
}

#[test]
fn a_hold_leaves_only_from_its_button() {
    let mut player = at(player(lead::world()), "prod-eu-1", "payments", Direction::Egress);
    player.keys("p enter");
    assert!(player.model.overlay.is_none() && player.asks.is_empty(), "cancel has the focus");
    player.keys("p tab enter enter enter enter");
    assert_eq!(open_form(&player).at, At::Send, "enter in a field goes on to the next");
    assert!(player.asks.is_empty(), "without a reason it is not sent");
    assert_eq!(open_form(&player).reasons, ["say why: the reason is kept with it (--reason)"]);
    player.keys("esc p tab right tab \"audit_week\" tab \"7d\" tab enter");
    let wanted = Wanted {
        scope: Scope::Namespace(cluster("prod-eu-1"), ns("payments")),
        kind: HoldKind::Hold,
        reason: Text::new("audit week"),
        expires: Some(now() + TimeDelta::days(7)),
    };
    assert_eq!(player.asks, [Ask::Command(Command::Hold(wanted))]);
    assert!(player.model.overlay.is_none());
}

#[test]
fn rollback_goes_before_a_form() {
    let mut player = at(player(lead::world()), "prod-eu-1", "payments", Direction::Egress);
    player.keys("p tab tab \"half_typed\" ctrl-r");
    assert!(matches!(player.model.overlay, Some(Overlay::RollBack(_))));
    player.keys("ctrl-r");
    let row = target("prod-eu-1", "payments", Direction::Egress);
    assert_eq!(player.asks, [Ask::Command(Command::RollBack(vec![row]))]);
}

#[test]
fn an_override_is_for_the_previewed_bytes() {
    let mut player = at(player(lead::world()), "prod-eu-1", "payments", Direction::Ingress);
    player.keys("O");
    assert!(matches!(player.model.overlay, Some(Overlay::Reasons { .. })), "nothing was previewed");
    player.keys("esc a").previews_come();
    player.keys("O tab tab \"it_cannot_wait\" tab tab enter");
    let Some(Ask::Command(Command::Override(over))) = player.asks.last() else { panic!("{:?}", player.asks) };
    let Overriding { preview, covers, reason, expires } = over.as_ref();
    assert_eq!(
        (*preview, covers.as_slice(), reason.as_str()),
        (OrderId(1), &[Covers::Order][..], "it cannot wait")
    );
    assert_eq!(*expires, now() + TimeDelta::days(1));
}

#[test]
fn release_and_confirm_name_what_they_are_about() {
    let mut player = at(player(lead::world()), "prod-eu-1", "ledger", Direction::Egress);
    player.keys("P tab enter");
    assert_eq!(player.asks, [Ask::Command(Command::Release(Text::new("hold-ledger")))]);
    player.keys("C tab enter");
    assert_eq!(player.asks.last(), Some(&Ask::Command(Command::Confirm(Text::new("over-audit")))));
}

#[test]
fn advance_leaves_out_what_was_taken_back_and_says_so() {
    let wanted = target("stage-1", "api", Direction::Egress);
    // What was taken back goes alone, when somebody asks for that row.
    let mut again = self::player(lead::world());
    again.keys("7 w");
    assert!(again.asks.is_empty());
    assert!(matches!(again.model.overlay, Some(Overlay::Reasons { .. })));
    again.keys("esc a");
    assert_eq!(again.asks, [Ask::Command(Command::Preview(vec![wanted]))]);

    let mut away = self::player(lead::without_state());
    away.keys("7 w");
    assert!(away.asks.is_empty(), "nothing advances without the team's state");
    assert!(matches!(away.model.overlay, Some(Overlay::Reasons { .. })));
}

/// Of several rows those that pass go; the rest stay, by name and with their reasons, and are no part of
/// what the word is typed for.
#[test]
fn of_several_rows_those_that_pass_go_and_the_rest_stay() {
    let goes = target("stage-1", "api", Direction::Egress);
    let stays = target("prod-eu-1", "payments", Direction::Ingress);
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(lead::world(), size);
        player.ask(Command::Preview(vec![stays.clone(), goes.clone()])).previews_come();
        insta::assert_snapshot!(format!("apply_some_go_{}x{}", size.0, size.1), player.screen());
        player.keys("enter");
        assert!(!player.asks.iter().any(|ask| matches!(ask, Ask::Command(Command::Apply(_)))), "cancel");
    }
    let mut player = self::player(lead::world());
    player.ask(Command::Preview(vec![stays.clone(), goes.clone()])).previews_come();
    player.keys("\"yes\" enter");
    let preview = |row: &crate::domain::rollout::Target| {
        player.world.orders().iter().find(|order| order.target == *row).map(|order| order.id)
    };
    let goes = preview(&goes).expect("its preview");
    assert_eq!(player.asks.last(), Some(&Ask::Command(Command::Apply(vec![goes]))));

    // A row that is held while the dialog is open leaves it; then nothing is left that could go.
    let mut player = self::player(lead::world());
    player.ask(Command::Preview(vec![stays])).previews_come();
    assert!(matches!(&player.model.overlay, Some(Overlay::Apply(dialog)) if !dialog.may_confirm()));
}
