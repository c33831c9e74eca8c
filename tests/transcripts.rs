//! Transcripts: the whole program on a simulated fleet under virtual time, keys typed, the screen
//! as text. Each file of `tests/transcripts` tells a story; `UPDATE_GOLDEN=1` rewrites its screens.
//!
//! ```text
//! fleet NAME  seed N  person WHO  workspace NAME     first line
//! # what the reader should notice
//! wait 30s                                           let virtual time pass
//! until TEXT                                         … until the screen shows it (at most 2 minutes)
//! keys a j ctrl-r                                    as the help writes them
//! type payments                                      letters
//! fault CLUSTER KIND [ARG]   ·   heal CLUSTER
//! screen 100x30
//! | what it shows
//! ```

mod support;

use std::{env, fmt::Write as _, fs, path::Path, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};
use sluice::{
    engine::Engine,
    sim::fleet::{faults::Fault, running::Fleet},
    tui::{
        model::{Model, Options},
        settle::settle,
        theme::Theme,
        update::{self, Ask, Input},
        view,
    },
};

#[test]
fn transcripts_read_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut wrong = String::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "txt")) {
        let text = fs::read_to_string(file).expect("text");
        let told = play(&text);
        if update_goldens() {
            fs::write(file, &told).expect("written");
        } else if told != text {
            let diff = similar::TextDiff::from_lines(&text, &told);
            let _ = writeln!(wrong, "{}\n{}", file.display(), diff.unified_diff().context_radius(2));
        }
    }
    assert!(
        wrong.is_empty(),
        "transcripts differ; look, then `UPDATE_GOLDEN=1 cargo test --test transcripts`\n{wrong}"
    );
}

#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn update_goldens() -> bool {
    env::var_os("UPDATE_GOLDEN").is_some()
}

/// Plays one transcript and answers it with the screens as they came out.
fn play(text: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut lines = text.lines();
        let first = lines.next().expect("a first line");
        let mut told = format!("{first}\n");
        let mut player = Player::start(first);
        for line in lines {
            if line.starts_with('|') {
                continue;
            }
            let _ = writeln!(told, "{line}");
            player.act(line, &mut told).await;
        }
        told
    })
}

struct Player {
    fleet: Fleet,
    engine: Engine,
    model: Model,
    theme: Theme,
    copied: Option<String>,
    left: bool,
    // Lives as long as the engine reads it.
    _workspace: tempfile::TempDir,
}

impl Player {
    fn start(first: &str) -> Self {
        let words: Vec<_> = first.split_whitespace().collect();
        let option = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let seed = option("seed").map_or(1, |seed| seed.parse().expect("a number"));
        let fleet = support::fleet(option("fleet").expect("fleet NAME"), seed);
        let person = support::person(option("person").unwrap_or("lead"));
        let workspace = tempfile::tempdir().expect("a temporary folder");
        let engine = support::engine_with_workspace(&fleet, person, workspace.path());
        let options = Options { theme: "mono", ascii: false, size: (100, 30) };
        Self {
            fleet,
            engine,
            model: Model::new(options),
            theme: Theme::load("mono").expect("ships"),
            copied: None,
            left: false,
            _workspace: workspace,
        }
    }

    async fn act(&mut self, line: &str, told: &mut String) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" | "#" => {}
            "wait" => support::run_for(&mut self.engine, duration(rest)).await,
            "until" => self.until(rest).await,
            "keys" => rest.split_whitespace().for_each(|key| self.key(parse_key(key))),
            "type" => {
                rest.chars().for_each(|c| self.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
            }
            "fault" => self.fault(rest),
            "heal" => self.fleet.heal(rest),
            "screen" => self.screen(rest, told),
            "copied" => {
                for line in self.copied.as_deref().unwrap_or("nothing").lines() {
                    let _ = writeln!(told, "| {line}");
                }
            }
            "left" => assert!(self.left, "the program was not left"),
            other => panic!("{other:?} is no verb of a transcript"),
        }
        settle(&mut self.model, self.engine.world());
    }

    fn key(&mut self, key: KeyEvent) {
        settle(&mut self.model, self.engine.world());
        for ask in update::update(&mut self.model, self.engine.world(), Input::Key(key)) {
            match ask {
                Ask::Command(command) => match self.engine.command(&command) {
                    Ok(orders) => update::note_started(&mut self.model, orders),
                    Err(refusal) => update::note_refusal(&mut self.model, &refusal),
                },
                Ask::Copy(text) => self.copied = Some(text),
                Ask::Quit => self.left = true,
                Ask::Theme(_) | Ask::Suspend => {}
            }
        }
    }

    async fn until(&mut self, wanted: &str) {
        for _ in 0..240 {
            settle(&mut self.model, self.engine.world());
            if self.text(200, 60).contains(wanted) {
                return;
            }
            support::run_for(&mut self.engine, Duration::from_millis(500)).await;
        }
        panic!("after 2 minutes the screen still does not show {wanted:?}:\n{}", self.text(200, 60));
    }

    fn fault(&self, rest: &str) {
        let words: Vec<_> = rest.split_whitespace().collect();
        let fault = match words[1..] {
            ["dead"] => Fault::Dead,
            ["slow", secs] => Fault::Slow { answer: duration(secs) },
            ["relay-away"] => Fault::RelayAway,
            ["node-lost", node] => Fault::NodeLost { node: node.to_owned() },
            ["lost-events", count] => Fault::LostEvents { count: count.parse().expect("a number") },
            ["answers-lost"] => Fault::AnswersLost,
            ["garbage"] => Fault::Garbage,
            _ => panic!("{rest:?} is no fault of a transcript"),
        };
        self.fleet.fault(words[0], fault);
    }

    fn screen(&mut self, size: &str, told: &mut String) {
        let (columns, rows) = size.split_once('x').expect("COLUMNSxROWS");
        let (columns, rows) = (columns.parse().expect("a number"), rows.parse().expect("a number"));
        update::update(&mut self.model, self.engine.world(), Input::Resize(columns, rows));
        settle(&mut self.model, self.engine.world());
        for line in self.text(columns, rows).lines() {
            let _ = writeln!(told, "{}", format!("| {line}").trim_end());
        }
    }

    fn text(&self, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a test backend");
        terminal
            .draw(|frame| view::draw(self.engine.world(), &self.model, &self.theme, frame))
            .expect("drawn");
        let buffer = terminal.backend().buffer();
        let mut out = String::new();
        for y in 0..rows {
            for x in 0..columns {
                out.push_str(buffer[(x, y)].symbol());
            }
            out.push('\n');
        }
        out
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number and a unit");
    Duration::from_secs(match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        other => panic!("{other:?} is no unit"),
    })
}

fn parse_key(word: &str) -> KeyEvent {
    let (modifiers, name) = match word.strip_prefix("ctrl-") {
        Some(name) => (KeyModifiers::CONTROL, name),
        None => (KeyModifiers::NONE, word),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "backspace" => KeyCode::Backspace,
        "pgdn" => KeyCode::PageDown,
        "pgup" => KeyCode::PageUp,
        one if one.chars().count() == 1 => KeyCode::Char(one.chars().next().expect("one")),
        other => panic!("{other:?} is no key"),
    };
    KeyEvent::new(code, modifiers)
}
