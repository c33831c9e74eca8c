//! Sessions by lines: the whole program on a simulated fleet under virtual time, lines typed, what is
//! said in answer and by itself. Each file of this folder tells a story; `UPDATE_GOLDEN=1` rewrites
//! what is said.
//!
//! ```text
//! fleet NAME  seed N  person WHO                     first line
//! # what the reader should notice
//! wait 30s                                           let virtual time pass
//! until TEXT                                         … until it is said (at most 2 minutes)
//! > 2 a                                              a line is typed
//! fault CLUSTER dead   ·   heal CLUSTER
//! | what is said
//! ```

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use sluice::{
    engine::Engine,
    sim::fleet::{faults::Fault, running::Fleet},
    tui::{
        plain::answer::Plain,
        update::{self, Ask},
    },
};

use crate::support::{self, goldens};

#[test]
fn sessions_read_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plain");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|end| end == "txt"));
    let told = files.into_iter().map(|file| {
        let told = play(&fs::read_to_string(&file).expect("text"));
        (file, told)
    });
    let wrong = goldens::compare(told);
    assert!(
        wrong.is_empty(),
        "sessions differ; look, then `UPDATE_GOLDEN=1 cargo test --test people plain::`\n{wrong}"
    );
}

fn play(text: &str) -> String {
    goldens::paused(async {
        let mut lines = text.lines();
        let first = lines.next().expect("a first line");
        let mut session = Session::start(first);
        for line in lines.filter(|line| !line.starts_with('|')) {
            let _ = writeln!(session.told, "{line}");
            session.act(line).await;
        }
        session.told
    })
}

struct Session {
    fleet: Fleet,
    engine: Engine,
    plain: Plain,
    told: String,
    left: bool,
    // Lives as long as the engine reads it.
    _workspace: tempfile::TempDir,
}

impl Session {
    fn start(first: &str) -> Self {
        let words: Vec<_> = first.split_whitespace().collect();
        let option = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let seed = option("seed").map_or(1, |seed| seed.parse().expect("a number"));
        let fleet = support::fleet(option("fleet").expect("fleet NAME"), seed);
        let workspace = tempfile::tempdir().expect("a temporary folder");
        let person = support::person(option("person").unwrap_or("lead"));
        let engine = support::engine_with_workspace(&fleet, person, workspace.path());
        let plain = Plain::new(false);
        let told = format!("{first}\n");
        let mut session = Self { fleet, engine, plain, told, left: false, _workspace: workspace };
        let first = session.plain.begin(session.engine.world());
        session.tell(first);
        session
    }

    fn tell(&mut self, lines: Vec<String>) {
        for line in lines {
            let _ = writeln!(self.told, "{}", format!("| {line}").trim_end());
        }
    }

    async fn act(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" | "#" => {}
            "wait" => {
                for _ in 0..duration(rest).as_secs() {
                    self.second().await;
                }
            }
            "until" => self.until(rest).await,
            ">" => self.typed(rest),
            "fault" => self.fleet.fault(rest.trim_end_matches(" dead"), Fault::Dead),
            "heal" => self.fleet.heal(rest),
            "left" => assert!(self.left, "the program was not left"),
            other => panic!("{other:?} is no verb of a session"),
        }
    }

    async fn second(&mut self) {
        support::run_for(&mut self.engine, Duration::from_secs(1)).await;
        for alert in self.engine.take_alerts() {
            update::note_alert(&mut self.plain.model, &alert);
        }
        let said = self.plain.say(self.engine.world());
        self.tell(said);
    }

    async fn until(&mut self, wanted: &str) {
        let from = self.told.len();
        for _ in 0..120 {
            if self.told[from..].contains(wanted) {
                return;
            }
            self.second().await;
        }
        panic!("after 2 minutes it is still not said: {wanted:?}\n{}", self.told);
    }

    fn typed(&mut self, line: &str) {
        for ask in self.plain.line(self.engine.world(), line) {
            match ask {
                Ask::Command(command) => {
                    update::note_answer(&mut self.plain.model, self.engine.command(&command));
                }
                Ask::Copy(text) => {
                    let said = self.plain.copied(&text);
                    self.tell(said);
                }
                Ask::Quit => self.left = true,
                Ask::Theme(_) | Ask::Suspend => {}
            }
        }
        let said = self.plain.say(self.engine.world());
        self.tell(said);
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number and a unit");
    Duration::from_secs(match unit {
        "s" => number,
        "m" => number * 60,
        other => panic!("{other:?} is no unit"),
    })
}
