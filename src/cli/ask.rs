//! The question before a change. Without a terminal there is none to ask on, which is told before
//! anything else is done.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::{args::Change, print::Printer};

/// Where answers come from.
#[derive(Debug)]
pub enum Asker {
    /// `--yes`.
    Yes,
    Terminal,
    /// No terminal: nobody can be asked.
    Nobody,
    /// Answers given in advance: tests.
    Given(Vec<String>),
}

impl Asker {
    pub fn of(yes: bool) -> Self {
        if yes {
            Self::Yes
        } else if io::stdin().is_terminal() && io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Nobody
        }
    }

    pub fn can_ask(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// Must something be shown before the answer?
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Terminal | Self::Given(_))
    }

    /// Asks for this word; anything else is a no.
    pub async fn asks_for(&mut self, word: &str, what: &str, printer: &mut Printer<'_>) -> bool {
        let question = format!("Type {word} to {what}, anything else to leave it: ");
        match self {
            Self::Yes => true,
            Self::Nobody => false,
            Self::Terminal => {
                printer.say(&question);
                // Reading blocks, and a signal has to get through meanwhile.
                let read = tokio::task::spawn_blocking(|| {
                    let mut line = String::new();
                    io::stdin().lock().read_line(&mut line).map(|_| line)
                });
                tokio::select! {
                    line = read => matches!(line, Ok(Ok(line)) if line.trim() == word),
                    _ = tokio::signal::ctrl_c() => false,
                }
            }
            Self::Given(answers) => {
                printer.say(&question);
                printer.say("\n");
                !answers.is_empty() && answers.remove(0) == word
            }
        }
    }
}

/// What to say where a change needs an answer and nobody can be asked.
pub fn nobody(asker: &Asker, change: &Change) -> Option<&'static str> {
    (!change.dry_run && !asker.can_ask()).then_some(
        "There is no terminal to ask on: add --yes to go on without a question, or --dry-run to look first.\n",
    )
}
