//! Colours in the words that the terminal knows. The backend writes the sixteen names as numbers of
//! the 256-colour table and themes as 24 bits; a terminal of less gets the nearest it has, and one of
//! sixteen colours only the sequences of ECMA-48 and aixterm (30-37, 90-97, 40-47, 100-107).

use std::io::{self, Write};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Sixteen,
    Indexed,
    True,
}

/// Rewrites `ESC [ … m` on its way; everything else passes as it is.
pub(super) struct Colours<W> {
    out: W,
    depth: Depth,
    /// A sequence that has not ended yet.
    held: Vec<u8>,
}

/// Longer is no sequence of ours.
const LONGEST: usize = 64;

impl<W: Write> Colours<W> {
    pub(super) fn new(out: W, depth: Depth) -> Self {
        Self { out, depth, held: Vec::new() }
    }

    fn release(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.out.write_all(&held)
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        self.held.push(byte);
        match (self.held.len(), byte) {
            (1, 0x1b) | (2, b'[') => Ok(()),
            (3..LONGEST, b'0'..=b'9' | b';') => Ok(()),
            (3.., b'm') => {
                let held = std::mem::take(&mut self.held);
                let params = String::from_utf8_lossy(&held[2..held.len() - 1]).into_owned();
                match rewritten(&params, self.depth) {
                    // Without a number it would take back all that is set.
                    rest if rest.is_empty() => Ok(()),
                    rest => write!(self.out, "\x1b[{rest}m"),
                }
            }
            _ => self.release(),
        }
    }
}

impl<W: Write> Write for Colours<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let free = if self.held.is_empty() { rest.iter().position(|b| *b == 0x1b) } else { Some(0) };
            let free = free.unwrap_or(rest.len());
            self.out.write_all(&rest[..free])?;
            rest = &rest[free..];
            if let Some((first, after)) = rest.split_first() {
                self.byte(*first)?;
                rest = after;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn rewritten(params: &str, depth: Depth) -> String {
    let mut numbers = params.split(';').map(|raw| raw.parse::<u32>().unwrap_or(0));
    let mut out: Vec<String> = Vec::new();
    while let Some(first) = numbers.next() {
        if !matches!(first, 38 | 48 | 58) {
            out.push(first.to_string());
            continue;
        }
        let mut channel = || numbers.next().map_or(0, |n| n.min(255) as u8);
        match channel() {
            5 => {
                let index = channel();
                out.push(indexed(first, index, depth));
            }
            2 => {
                let rgb = (channel(), channel(), channel());
                out.push(mixed(first, rgb, depth));
            }
            _ => {}
        }
    }
    // Underlines in a colour of their own are not among sixteen: nothing is left of them.
    out.retain(|part| !part.is_empty());
    out.join(";")
}

fn indexed(kind: u32, index: u8, depth: Depth) -> String {
    match (depth, index) {
        (_, 0..16) if kind != 58 => named(kind, index),
        (Depth::Sixteen, _) => named(kind, nearest(rgb_of(index), 0..16)),
        (Depth::Indexed | Depth::True, _) => format!("{kind};5;{index}"),
    }
}

fn mixed(kind: u32, (r, g, b): (u8, u8, u8), depth: Depth) -> String {
    match depth {
        Depth::Sixteen => named(kind, nearest((r, g, b), 0..16)),
        // The first sixteen are whatever the terminal's owner made of them.
        Depth::Indexed => format!("{kind};5;{}", nearest((r, g, b), 16..256)),
        Depth::True => format!("{kind};2;{r};{g};{b}"),
    }
}

fn named(kind: u32, index: u8) -> String {
    let base = match (kind, index) {
        (38, 0..8) => 30,
        (38, _) => 90 - 8,
        (48, 0..8) => 40,
        (48, _) => 100 - 8,
        _ => return String::new(),
    };
    (base + u32::from(index)).to_string()
}

fn nearest(rgb: (u8, u8, u8), among: std::ops::Range<u16>) -> u8 {
    let far = |index: u8| {
        let (r, g, b) = rgb_of(index);
        let part = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        part(r, rgb.0) + part(g, rgb.1) + part(b, rgb.2)
    };
    among.map(|index| index as u8).min_by_key(|index| far(*index)).unwrap_or(7)
}

/// xterm's table: sixteen names, a cube of six steps, greys.
fn rgb_of(index: u8) -> (u8, u8, u8) {
    const NAMES: [(u8, u8, u8); 16] = [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229, 229, 229),
        (127, 127, 127),
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255, 255, 255),
    ];
    let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    match index {
        0..16 => NAMES[usize::from(index)],
        16..232 => (step((index - 16) / 36), step((index - 16) / 6 % 6), step((index - 16) % 6)),
        232.. => (8 + 10 * (index - 232), 8 + 10 * (index - 232), 8 + 10 * (index - 232)),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{
        Terminal, TerminalOptions, Viewport,
        backend::CrosstermBackend,
        layout::Rect,
        text::{Line, Span},
    };

    use super::*;
    use crate::tui::{
        Theme,
        theme::{self, Role},
    };

    fn through(depth: Depth, bytes: &str, pieces: usize) -> String {
        let mut colours = Colours::new(Vec::new(), depth);
        for piece in bytes.as_bytes().chunks(pieces) {
            colours.write_all(piece).unwrap();
        }
        String::from_utf8(colours.out).unwrap()
    }

    #[test]
    fn sequences_of_other_kinds_pass_and_colours_are_put_in_the_terminals_words() {
        for (depth, bytes, want) in [
            (Depth::Sixteen, "a\x1b[38;5;1mb\x1b[0m", "a\x1b[31mb\x1b[0m"),
            (Depth::Sixteen, "\x1b[38;5;9;48;5;0m", "\x1b[91;40m"),
            (Depth::Sixteen, "\x1b[38;5;15;48;5;12m", "\x1b[97;104m"),
            (Depth::Sixteen, "\x1b[1;38;2;250;10;10m", "\x1b[1;91m"),
            (Depth::Sixteen, "\x1b[38;5;196m", "\x1b[91m"),
            (Depth::Indexed, "\x1b[38;2;255;0;0m", "\x1b[38;5;196m"),
            (Depth::Indexed, "\x1b[38;5;200;49m", "\x1b[38;5;200;49m"),
            (Depth::True, "\x1b[38;2;1;2;3m", "\x1b[38;2;1;2;3m"),
            (Depth::Sixteen, "a\x1b[31m\x1b[58;5;3mb\x1b[m", "a\x1b[31mb\x1b[0m"),
            (Depth::Sixteen, "\x1b[2J\x1b[?1049h\x1b[3;4Hx", "\x1b[2J\x1b[?1049h\x1b[3;4Hx"),
            (Depth::Sixteen, "\x1b]52;c;eA==\x07", "\x1b]52;c;eA==\x07"),
        ] {
            for pieces in [1, 3, 100] {
                assert_eq!(through(depth, bytes, pieces), want, "{bytes:?} in pieces of {pieces}");
            }
        }
    }

    /// A frame in every role, as the terminal gets it.
    fn frame(theme: &str, depth: Depth) -> String {
        let theme = Theme::load(theme).unwrap();
        let mut out = Vec::new();
        let backend = CrosstermBackend::new(Colours::new(&mut out, depth));
        let viewport = Viewport::Fixed(Rect::new(0, 0, 20, Role::ALL.len() as u16));
        let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
        let draw = |frame: &mut ratatui::Frame<'_>| {
            for (y, role) in Role::ALL.iter().enumerate() {
                let line = Line::from(Span::styled(role.name(), theme.style(*role)));
                frame.buffer_mut().set_line(0, y as u16, &line, 20);
            }
        };
        terminal.draw(draw).unwrap();
        drop(terminal);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_of_sixteen_colours_is_never_sent_more() {
        for theme in theme::names() {
            let sent = frame(theme, Depth::Sixteen);
            assert!(!sent.contains("38;") && !sent.contains("48;"), "{theme}: {sent:?}");
            let sent = frame(theme, Depth::Indexed);
            assert!(!sent.contains("38;2;") && !sent.contains("48;2;"), "{theme}: {sent:?}");
        }
    }

    #[test]
    fn mono_sends_no_colour_at_all() {
        let sent = frame("mono", Depth::True);
        let is_colour = |n: u32| matches!(n, 30..=38 | 40..=48 | 90..=107);
        let codes = sent.split("\x1b[").filter_map(|part| part.split_once('m')).flat_map(|(params, _)| {
            params.split(';').filter_map(|raw| raw.parse().ok()).collect::<Vec<u32>>()
        });
        let colours: Vec<_> = codes.filter(|code| is_colour(*code)).collect();
        assert!(colours.is_empty(), "{colours:?} in {sent:?}");
    }
}
