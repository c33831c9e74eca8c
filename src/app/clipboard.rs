//! The system's clipboard, by its own tools. They run beside the screen and never hold it up; where
//! none can be started the terminal is asked instead.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

/// A program that takes text from its standard input, and its arguments.
pub type Tool = (&'static str, &'static [&'static str]);

/// Hands the text to the first tool that starts. False: none does.
pub(super) fn copy(tools: &[Tool], text: &str) -> bool {
    tools.iter().any(|tool| {
        let (name, args) = *tool;
        let started = Command::new(name)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else { return false };
        let text = text.to_owned();
        thread::spawn(move || {
            // Dropped when written, which ends the tool's input.
            let written = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
            let ended = child.wait();
            if !matches!(written, Some(Ok(()))) || !ended.as_ref().is_ok_and(|status| status.success()) {
                tracing::warn!(?written, ?ended, name, "the clipboard tool failed");
            }
        });
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tool_that_starts_takes_it() {
        assert!(!copy(&[], "x"));
        assert!(!copy(&[("sluice-has-no-such-tool", &[])], "x"));
        assert!(copy(&[("sluice-has-no-such-tool", &[]), ("cat", &[])], "x"));
    }
}
