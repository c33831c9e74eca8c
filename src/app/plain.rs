//! The program by lines, for a dumb terminal, a pipe or a screen reader: standard input is read line
//! by line, what happened is appended to standard output. No escape sequence is ever written.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    thread,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{AGES, Chosen, Options, leave, terminal, ticking};
use crate::{
    domain::names::Text,
    engine::{Engine, Setup},
    tui::{
        plain::answer::Plain,
        update::{self, Ask},
    },
};

/// Lines that were typed ahead, or that a pipe holds.
const AHEAD: usize = 16;

/// Runs until the operator leaves, or until there is nothing more to read and nothing runs.
pub async fn run(setup: Setup, options: Options) -> color_eyre::Result<()> {
    let mut engine = Engine::start(setup);
    if let Some((claims, soaks)) = options.observes {
        engine.observe(claims, soaks);
    }
    let mut plain = Plain::new(options.ascii);
    plain.model.settings.masks.salt = options.salt;
    plain.model.settings.masks.on = options.masked;
    let Chosen { preferences, troubles, changed, .. } = options.chosen;
    let told = plain.prefer(engine.world(), preferences, troubles, &changed);
    if let Some(spot) = options.open {
        update::open(&mut plain.model, spot);
    }
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut session = Session { plain, engine, is_terminal, is_prompted: false };
    let ended = session.run(told).await;
    leave(&mut session.engine).await;
    ended
}

struct Session {
    plain: Plain,
    engine: Engine,
    /// Somebody types; else lines come from a pipe, wait for what they need, and are echoed.
    is_terminal: bool,
    is_prompted: bool,
}

impl Session {
    /// `told`: of the user's own file.
    async fn run(&mut self, told: Vec<String>) -> color_eyre::Result<()> {
        let mut lines = typed();
        let mut ages = ticking(AGES);
        let mut stop = Box::pin(terminal::told_to_stop());
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (mut is_over, mut held) = (false, true);
        let first = self.plain.begin(self.engine.world());
        self.print(&first)?;
        self.print(&told)?;
        loop {
            let holds = self.plain.holds(self.engine.world());
            if held && !holds {
                // What was waited for is told before the next line is read.
                let said = self.plain.say(self.engine.world());
                self.print(&said)?;
            }
            held = holds;
            if is_over && !holds {
                let last = self.plain.say(self.engine.world());
                return self.print(&last).map_err(Into::into);
            }
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                _ = interrupt.recv() => {
                    if self.answer("ctrl-c")? {
                        return Ok(());
                    }
                }
                line = lines.recv(), if !is_over && (self.is_terminal || !holds) => match line {
                    Some(line) => {
                        self.is_prompted = false;
                        if !self.is_terminal {
                            let shown = if self.plain.model.settings.masks.on { Text::new("***") } else { Text::new(&line) };
                            self.print(&[format!("> {shown}")])?;
                        }
                        if self.answer(&line)? {
                            return Ok(());
                        }
                    }
                    None => {
                        is_over = true;
                        self.plain.end(self.engine.world());
                    }
                },
                _ = ages.tick() => {
                    self.engine.tick();
                    for alert in self.engine.take_alerts() {
                        update::note_alert(&mut self.plain.model, &alert);
                    }
                    if let Some(command) = update::follow(&self.plain.model, self.engine.world()) {
                        // What the page lacks is said on the page.
                        let _ = self.engine.command(&command);
                    }
                    let said = self.plain.say(self.engine.world());
                    self.print(&said)?;
                }
                () = self.engine.turn() => {}
            }
        }
    }

    /// True: the operator leaves.
    fn answer(&mut self, line: &str) -> color_eyre::Result<bool> {
        let mut leaves = false;
        for ask in self.plain.line(self.engine.world(), line) {
            match ask {
                Ask::Command(command) => {
                    update::note_answer(&mut self.plain.model, self.engine.command(&command));
                }
                Ask::Copy(text) => {
                    let said = self.plain.copied(&text);
                    self.print(&said)?;
                }
                Ask::Theme(_) => {}
                Ask::Suspend => terminal::stop()?,
                Ask::Quit => leaves = true,
            }
        }
        let said = self.plain.say(self.engine.world());
        self.print(&said)?;
        if !leaves {
            self.prompt()?;
        }
        Ok(leaves)
    }

    fn print(&mut self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if std::mem::take(&mut self.is_prompted) {
            writeln!(out)?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    fn prompt(&mut self) -> io::Result<()> {
        if self.is_terminal {
            let mut out = io::stdout().lock();
            write!(out, "> ")?;
            self.is_prompted = true;
            return out.flush();
        }
        Ok(())
    }
}

/// Bytes of a line; the rest of a longer one is read as the next.
const LINE: u64 = 64 << 10;

/// Lines of standard input; closed at its end. A read cannot be given up, so a thread of its own reads.
fn typed() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while input.by_ref().take(LINE).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if lines.blocking_send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    typed
}
