//! Law 5, whatever is typed: nothing that changes a cluster leaves the screen without its ceremony.

use proptest::prelude::*;

use crate::{
    cockpit::{decide::Command, orders::OrderId, world::World},
    tui::{
        Ask, Input,
        dialog::{Button, Overlay},
        fixture::{Player, key, world},
        form::At,
        model::Model,
        update,
    },
};

const KEYS: &[&str] = &[
    "j",
    "k",
    "l",
    "h",
    "enter",
    "esc",
    "a",
    "d",
    "v",
    "S",
    "r",
    "ctrl-r",
    "ctrl-x",
    "space",
    "u",
    "m",
    "?",
    ":",
    "/",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "i",
    "8",
    "9",
    "A",
    "X",
    "V",
    "W",
    "w",
    "P",
    "x",
    "O",
    "C",
    "R",
    "tab",
    "f",
    "y",
    "Y",
    "z",
    "t",
    "T",
    "-",
    "[",
    "]",
    "g",
    "G",
    "pgdn",
    "pgup",
    "U",
    "0",
    "ctrl-y",
    "c",
    "q",
    "ctrl-c",
    "p",
    "e",
    "s",
    "n",
    "!",
    "backspace",
    "ctrl-u",
    "up",
    "down",
    "left",
    "right",
];

/// What the dialog on screen allows to leave by this key.
fn allowed(model: &Model, world: &World, key: &str) -> Option<&'static str> {
    match &model.overlay {
        Some(Overlay::Apply(dialog)) if key == "enter" && dialog.button == Button::Word => {
            let mut dialog = dialog.clone();
            dialog.check(world);
            dialog.may_confirm().then_some("apply")
        }
        Some(Overlay::RollBack(_)) if key == "ctrl-r" => Some("rollback"),
        Some(Overlay::Renew(_)) if key == "N" || key == "w" => Some("document"),
        Some(Overlay::Form(form)) if key == "enter" && form.at == At::Send => {
            let mut form = form.clone();
            form.check(world);
            form.may_send().then_some("share")
        }
        _ => None,
    }
}

fn press(player: &mut Player, name: &str) -> Result<(), TestCaseError> {
    let allowed = allowed(&player.model, &player.world, name);
    let from = player.asks.len();
    player.press(&key(name));
    for ask in &player.asks[from..] {
        let left = match ask {
            Ask::Command(Command::Apply(_)) => Some("apply"),
            Ask::Command(Command::RollBack(_)) => Some("rollback"),
            Ask::Command(Command::Renew { .. }) => Some("document"),
            Ask::Command(
                Command::Hold(_)
                | Command::Release(_)
                | Command::Waive(_)
                | Command::Override(_)
                | Command::Confirm(_)
                | Command::AskReview(_)
                | Command::DecideReview(_),
            ) => Some("share"),
            Ask::Command(
                Command::Preview(_)
                | Command::Revert(_)
                | Command::Shadow(_)
                | Command::Abort(_)
                | Command::Reconnect(_)
                | Command::ReadEdges(..)
                | Command::Foresee(_)
                | Command::ReadDocuments
                | Command::Compare(..)
                | Command::Reload,
            )
            | Ask::Copy(_)
            | Ask::Theme(_)
            | Ask::Suspend
            | Ask::Quit => None,
        };
        prop_assert!(left.is_none() || left == allowed, "{left:?} left by {name}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_keys_never_panic_and_never_change_a_cluster_by_themselves(
        keys in prop::collection::vec(0..KEYS.len(), 1..120),
        size in prop::sample::select(vec![(80_u16, 24_u16), (60, 14), (120, 40)]),
    ) {
        let mut player = Player::new(world(), size);
        for (nth, at) in keys.into_iter().enumerate() {
            press(&mut player, KEYS[at])?;
            if nth % 7 == 0 {
                player.previews_come();
            }
            if nth % 5 == 0 {
                let _ = player.buffer();
            }
        }
        let _ = player.buffer();
    }

    #[test]
    fn a_click_or_a_paste_never_changes_a_cluster(x in 0_u16..80, y in 0_u16..24, wheel in any::<bool>()) {
        use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
        let mut player = Player::new(world(), (80, 24));
        player.keys("enter j j j l j j a").previews_come();
        let kind = if wheel { MouseEventKind::ScrollDown } else { MouseEventKind::Down(MouseButton::Left) };
        let click = MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE };
        prop_assert!(update(&mut player.model, &player.world, Input::Mouse(click)).is_empty());
        let paste = Input::Paste("payments".to_owned());
        prop_assert!(update(&mut player.model, &player.world, paste).is_empty());
        player.asks.clear();
        player.keys("enter");
        prop_assert!(player.asks.is_empty(), "a pasted word does not confirm");
        player.keys("esc esc");
        // A hint or a tab that is clicked does what its key does: here that previews or reads at most.
        let harmless = |ask: &Ask| {
            matches!(ask, Ask::Copy(_) | Ask::Command(Command::Preview(_) | Command::ReadDocuments))
        };
        prop_assert!(update(&mut player.model, &player.world, Input::Mouse(click)).iter().all(harmless));
    }
}

#[test]
fn the_only_way_to_an_apply_is_its_preview() {
    let mut player = Player::new(world(), (80, 24));
    player.keys("enter j j j l j j a \"payments\" enter");
    assert!(!player.asks.contains(&Ask::Command(Command::Apply(vec![OrderId(1)]))), "nothing was shown yet");
}
