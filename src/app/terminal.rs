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
use ratatui::{Frame, Terminal, backend::CrosstermBackend, buffer::Buffer};
use unicode_width::UnicodeWidthStr as _;

use super::depth::{Colours, Depth};
use crate::domain::names::Text;

/// Longest text put on the clipboard, in bytes: terminals cut or refuse longer ones.
const CLIPBOARD_LIMIT: usize = 74_000;

/// How the terminal is used.
#[derive(Clone, Copy)]
pub(super) struct Looks {
    pub mouse: bool,
    /// The last screen stays behind.
    pub keep: bool,
    pub depth: Depth,
}

type Backend = CrosstermBackend<Colours<BufWriter<Stdout>>>;

pub(super) struct Screen {
    terminal: Terminal<Backend>,
    mouse: bool,
    depth: Depth,
    open: bool,
    /// The last screen as text, where it is to stay behind.
    last: Option<String>,
}

impl Screen {
    pub(super) fn open(Looks { mouse, keep, depth }: Looks) -> io::Result<Self> {
        restore_on_panic();
        enter(mouse)?;
        Ok(Self { terminal: fresh(depth)?, mouse, depth, open: true, last: keep.then(String::new) })
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(draw)?;
        if let Some(last) = &mut self.last {
            *last = text(drawn.buffer);
        }
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
        stop()?;
        enter(self.mouse)?;
        // Clearing would ask the terminal where its cursor is, and nobody reads the answer by now.
        self.terminal = fresh(self.depth)?;
        Ok(())
    }

    pub(super) fn close(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            self.terminal.show_cursor()?;
            leave(self.mouse)?;
            if let Some(last) = self.last.take() {
                let mut out = stdout().lock();
                out.write_all(last.as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// Knows of nothing that is drawn yet.
fn fresh(depth: Depth) -> io::Result<Terminal<Backend>> {
    // Standard output is line buffered: without a buffer of its own a frame is dozens of writes.
    let buffered = BufWriter::with_capacity(64 * 1024, stdout());
    Terminal::new(CrosstermBackend::new(Colours::new(buffered, depth)))
}

/// Stops this program, as ctrl-z does; comes back when the shell continues it.
pub(super) fn stop() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?)
}

/// What stands on a screen, without its colours.
fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let (mut line, mut skip) = (String::new(), 0);
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = cell.symbol().width().max(1);
            }
            skip -= 1;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
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
    use std::{env, io::Read as _};

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    use super::*;

    /// Set where this test runs again, on a terminal of its own.
    const AGAIN: &str = "SLUICE_TEST_PANICS_ON_A_TERMINAL";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how it knows that it runs on a terminal of its own")]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        if env::var_os(AGAIN).is_some() {
            let looks = Looks { mouse: true, keep: false, depth: Depth::True };
            let mut screen = Screen::open(looks).unwrap();
            screen.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            panic!("as it was asked to");
        }
        let pty = native_pty_system()
            .openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 })
            .unwrap();
        let name = "app::terminal::tests::a_panic_gives_the_terminal_back_before_it_is_reported";
        let test = env::current_exe().unwrap();
        let script = format!("'{}' --exact {name} --nocapture; stty -a", test.display());
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", &script]);
        command.env(AGAIN, "1");
        let mut child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let (mut out, mut bytes) = (pty.master.try_clone_reader().unwrap(), [0; 4096]);
        let mut sent = Vec::new();
        // The end of a terminal is an error on Linux, and nothing more to read elsewhere.
        while let Ok(n @ 1..) = out.read(&mut bytes) {
            sent.extend_from_slice(&bytes[..n]);
        }
        child.wait().unwrap();
        let sent = String::from_utf8_lossy(&sent).into_owned();
        let at = |text: &str| sent.find(text).unwrap_or_else(|| panic!("no {text:?} in {sent:?}"));
        let (taken, drawn, back) = (at("\x1b[?1049h"), at("drawn"), at("\x1b[?1049l"));
        assert!(taken < drawn && drawn < back && back < at("as it was asked to"), "{sent:?}");
        assert!(sent.contains("\x1b[?25h") && sent.contains("\x1b[?1000l"), "cursor and mouse: {sent:?}");
        let modes = &sent[at("as it was asked to")..];
        let is_on = |mode: &&str| modes.split_whitespace().any(|word| word == *mode);
        assert!(["icanon", "echo", "isig"].iter().all(is_on), "{modes}");
    }

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
