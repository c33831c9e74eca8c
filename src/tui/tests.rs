//! The screen as people see it and as keys drive it: goldens of every view and dialog, keys to asks.

use super::fixture::{Player, world};

fn at(size: (u16, u16), keys: &str) -> String {
    let mut player = Player::new(world(), size);
    player.keys(keys);
    player.screen()
}

#[test]
fn look() {
    for keys in [
        "",
        "enter",
        "enter j j j",
        "2",
        "2 enter",
        "3",
        "5",
        "6",
        "enter j j j enter",
        "enter j j j ctrl-r",
        "?",
        ":",
        "m",
        "4",
    ] {
        println!("=== {keys}\n{}", at((80, 24), keys));
    }
    let mut player = Player::new(world(), (80, 24));
    player.keys("j j j enter j a").previews_come();
    println!("{}", player.screen());
}
