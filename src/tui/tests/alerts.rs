//! What an alert looks like over a page: one line each, the most severe first, the rest counted.

use crate::{
    cockpit::{
        alerts::{Alert, AlertKey, AlertKind, AlertState},
        spot::Spot,
    },
    domain::{flow::Direction, names::Text},
    tui::{
        fixture::{Player, cluster, now, ns, world},
        model::Tone,
        update::note_alert,
    },
};

fn alert(kind: AlertKind, name: &str, words: &str) -> Alert {
    let spot = Spot { cluster: cluster("prod-eu-1"), ns: Some(ns(name)), direction: Some(Direction::Egress) };
    let key = AlertKey { kind, spot, detail: Text::default() };
    Alert { key, state: AlertState::Raised, at: now(), since: now(), words: Text::new(words) }
}

/// The lines that end with the way to be rid of them.
fn shown(player: &mut Player) -> Vec<String> {
    let screen = player.screen();
    screen.lines().filter(|line| line.contains("; esc)")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn alerts_take_one_line_each_in_whole_words_and_the_worst_is_not_pushed_out() {
    let mut player = Player::new(world(), (80, 24));
    player.keys("1");
    let denied = "fraud is denied 203.0.113.14 on 443/TCP (POLICY_DENIED): 23 attempts, 17 a minute now";
    for alert in [
        alert(AlertKind::Paused, "billing", "the source is silent for 40m"),
        alert(AlertKind::Hurting, "payments", denied),
        alert(AlertKind::Incident, "shop", "egress-allowlist is missing"),
    ] {
        note_alert(&mut player.model, &alert);
    }
    let expected = [
        "! prod-eu-1/payments/egress: denials hurt: fraud is denied … (0s ago; esc)",
        "! prod-eu-1/shop/egress: incident: … (0s ago; and 1 more; esc)",
    ];
    assert_eq!(shown(&mut player), expected);
    // Its end takes the place of its beginning, below what goes on.
    let over = Alert { state: AlertState::Recovered, ..alert(AlertKind::Hurting, "payments", "it is over") };
    let mut calm = player.model.clone();
    note_alert(&mut calm, &over);
    let mut calmer = Player { model: calm, ..Player::new(world(), (80, 24)) };
    assert_eq!(
        shown(&mut calmer),
        [
            "! prod-eu-1/shop/egress: incident: egress-allowlist is missing (0s ago; esc)",
            "! prod-eu-1/billing/egress: soak paused: the … (0s ago; and 1 more; esc)",
        ]
    );
    // Messages come and go beside them.
    for nth in 0..6 {
        player.model.told.say(format!("{nth} rows were read"), Tone::Plain);
    }
    assert_eq!(shown(&mut player)[..2], expected);
}

/// What is denied is what an on-call needs at three in the morning.
#[test]
fn a_lone_alert_has_two_lines_where_one_is_too_short() {
    let mut player = Player::new(world(), (80, 24));
    player.keys("1");
    let denied = "fraud is denied 203.0.113.14 on 443/TCP (POLICY_DENIED): 23 attempts, the first 2m ago, 17 a minute now";
    note_alert(&mut player.model, &alert(AlertKind::Hurting, "payments", denied));
    let screen = player.screen();
    let lines: Vec<_> = screen.lines().map(str::trim).collect();
    let first = "! prod-eu-1/payments/egress: denials hurt: fraud is denied 203.0.113.14 on";
    let at = lines.iter().position(|line| *line == first).expect(&screen);
    assert_eq!(lines[at + 1], "443/TCP (POLICY_DENIED): 23 attempts, the first 2m ago, 17 a … (0s ago; esc)");
}
