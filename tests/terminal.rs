//! The cockpit on a terminal of its own, under a shell with job control: what it leaves behind when it
//! is left, stopped and continued, and what it never sends to a terminal that can do nothing.

use std::time::Duration;

use tempfile::TempDir;

use crate::support::terminal::{SLUICE, Terminal};

const LIMIT: Duration = Duration::from_secs(120);

fn see(screen: &Terminal, what: &[&str]) {
    let seen = screen.wait(|text| what.iter().all(|word| text.contains(word)), LIMIT);
    assert!(
        seen.is_some() && what.iter().all(|word| screen.text().contains(word)),
        "{what:?} did not come:\n{}",
        screen.text()
    );
}

/// `DEMO` in the script is the demo with two clusters, whose files lie in a folder of their own.
fn shell(script: &str, term: &str) -> (Terminal, TempDir) {
    let home = tempfile::tempdir().expect("a folder");
    let demo = format!("'{SLUICE}' demo --scenario two --directory demo");
    let screen = Terminal::shell(&script.replace("DEMO", &demo), term, home.path(), (100, 30));
    (screen, home)
}

/// The terminal's modes as `stty -g` printed them after `word`.
fn modes(screen: &Terminal, word: &str) -> String {
    let text = screen.bytes();
    let (_, after) = text.split_once(word).unwrap_or_else(|| panic!("no {word} in {text:?}"));
    after.lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn left_it_gives_the_terminal_back_as_it_was() {
    let (screen, _home) = shell(
        "echo modes-before $(stty -g); DEMO; code=$?; echo modes-after $(stty -g); echo left $code",
        "xterm-256color",
    );
    see(&screen, &["fleet", "up"]);
    assert!(screen.is_taken());
    screen.send("?");
    see(&screen, &["keys of this view"]);
    screen.send("\u{1b}");
    // Two keys sent at once would be one, with alt.
    let closed = screen.wait(|text| !text.contains("keys of this view"), LIMIT);
    assert!(closed.is_some(), "help stays:\n{}", screen.text());
    screen.send("\u{3}");
    see(&screen, &["left 0"]);
    assert!(!screen.is_taken());
    assert!(!screen.text().contains("enter open"), "nothing of it is left:\n{}", screen.text());
    assert_eq!(modes(&screen, "modes-before"), modes(&screen, "modes-after"));
    // Nothing is asked of the terminal: an answer that comes late over ssh would be read as keys.
    let sent = screen.bytes();
    for question in ["\u{1b}[6n", "\u{1b}[c", "\u{1b}[0c", "\u{1b}[?u", "\u{1b}]11;?", "\u{1b}[>"] {
        assert!(!sent.contains(question), "{question:?} is sent");
    }
}

#[test]
fn stopped_it_gives_the_terminal_to_the_shell_and_continued_it_takes_it_again() {
    let script = "set -m; DEMO; echo stopped $?; read line; fg; echo left $?";
    let (screen, _home) = shell(script, "xterm-256color");
    see(&screen, &["fleet", "up"]);
    screen.send("\u{1a}");
    // 128 and SIGTSTP.
    see(&screen, &["stopped 148"]);
    assert!(!screen.is_taken());
    screen.send("\n");
    see(&screen, &["fleet", "enter open"]);
    assert!(screen.is_taken());
    screen.send("2");
    see(&screen, &["denials", "freeze"]);
    screen.send("\u{3}");
    see(&screen, &["left 0"]);
    assert!(!screen.is_taken());
}

#[test]
fn the_last_screen_stays_behind_where_that_is_wanted() {
    let (screen, _home) = shell("DEMO --keep-screen; echo left $?", "xterm-256color");
    see(&screen, &["fleet", "up"]);
    screen.send("\u{3}");
    see(&screen, &["left 0", "enter open", "staging"]);
    assert!(!screen.is_taken());
}

#[test]
fn a_terminal_of_sixteen_colours_gets_no_more_and_a_console_gets_ascii() {
    let (screen, _home) = shell("DEMO; echo left $?", "linux");
    see(&screen, &["fleet", "up"]);
    screen.send("\u{3}");
    see(&screen, &["left 0"]);
    let sent = screen.bytes();
    assert!(!sent.contains("38;") && !sent.contains("48;"), "{sent:?}");
    assert!(sent.is_ascii(), "{sent:?}");
}

#[test]
fn a_dumb_terminal_gets_lines_and_no_escape_sequence() {
    let (screen, _home) = shell("DEMO; echo left $?", "dumb");
    see(&screen, &["by lines", "chosen"]);
    screen.send("?\n");
    see(&screen, &["what can be typed"]);
    screen.send("\n");
    screen.send("fleet\n");
    screen.send("q\n");
    see(&screen, &["left 0"]);
    let sent = screen.bytes();
    assert!(!sent.contains('\u{1b}'), "{sent:?}");
}
