//! The terminal: opened, drawn on in one write a frame, suspended, and always restored, also when
//! the program stops on a panic. Only the thread that opened it restores it.

use std::{
    io::{self, BufWriter, Stdout, Write as _, stdout},
    thread,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crossterm::{
    cursor,
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

use crate::domain::names::Text;

/// Longest text put on the clipboard, in bytes: terminals cut or refuse longer ones.
const CLIPBOARD_LIMIT: usize = 74_000;

pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    mouse: bool,
    open: bool,
}

impl Screen {
    pub(super) fn open(mouse: bool) -> io::Result<Self> {
        restore_on_panic();
        enter(mouse)?;
        // Standard output is line buffered: without a buffer of its own a frame is dozens of writes.
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, stdout()));
        Ok(Self { terminal: Terminal::new(backend)?, mouse, open: true })
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(draw)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Puts a text on the clipboard by OSC 52, which also works over ssh.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut end = text.len().min(CLIPBOARD_LIMIT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let out = self.terminal.backend_mut();
        write!(out, "\x1b]52;c;{}\x07", BASE64_STANDARD.encode(&text[..end]))?;
        out.flush()
    }

    /// A bell, and a desktop notification (OSC 9) where the terminal can.
    pub(super) fn ring(&mut self, text: &str) -> io::Result<()> {
        let out = self.terminal.backend_mut();
        out.write_all(bell(text).as_bytes())?;
        out.flush()
    }

    /// To the shell by SIGTSTP; comes back when the shell continues us.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        leave(self.mouse)?;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        enter(self.mouse)?;
        self.terminal.clear()
    }

    pub(super) fn close(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            self.terminal.show_cursor()?;
            leave(self.mouse)?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that went away.
        let _ = self.close();
    }
}

/// The words before the text keep it from being a command of ConEmu's, which begin with a digit.
fn bell(text: &str) -> String {
    format!("\x07\x1b]9;sluice: {}\x07", Text::new(text))
}

fn enter(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse {
        execute!(stdout(), EnableMouseCapture)?;
    }
    Ok(())
}

fn leave(mouse: bool) -> io::Result<()> {
    if mouse {
        execute!(stdout(), DisableMouseCapture)?;
    }
    execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show)?;
    disable_raw_mode()
}

/// A panic on this thread restores the terminal before it is reported. One on another thread is an
/// adapter's: it is logged, its row says so, and the screen goes on.
fn restore_on_panic() {
    let screen_thread = thread::current().id();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().id() == screen_thread {
            let _ = leave(true);
            report(panic);
        } else {
            tracing::error!(%panic, "a task panicked");
        }
    }));
}

/// Ends when the system asks the program to stop.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut hup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law 9: nothing that a cluster says ends the sequence early.
    #[test]
    fn a_bell_is_one_sequence_whatever_the_text() {
        assert_eq!(bell("east/shop: denied"), "\x07\x1b]9;sluice: east/shop: denied\x07");
        let rung = bell("a\x07\x1b]52;c;eA==\x07\u{9c}\nb");
        assert_eq!(rung.matches('\x07').count(), 2);
        assert_eq!(rung.matches('\x1b').count(), 1);
        assert!(!rung.contains('\u{9c}') && !rung.contains('\n'));
    }
}
