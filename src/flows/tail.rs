//! Follows a file that grows and is rotated by others: renamed and created anew, copied and
//! truncated, compressed. No clock and no notification: whoever owns it calls [`Tail::step`] now and
//! then (file I/O, so not on an async task), and keeps [`Tail::position`] beside what the lines gave.
//!
//! What was told up to a position is never told again from there, whatever the file is called by
//! then. What went away unread is said as [`Missed`], never passed over.

mod reading;
mod rotated;

use std::{
    io,
    path::{Path, PathBuf},
};

use reading::{Likeness, Reading};

/// A place in a file that may be renamed or compressed meanwhile: who it was, how it begins, and the
/// first byte that was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub device: u64,
    pub inode: u64,
    /// In the text, not in its compressed form.
    pub offset: u64,
    pub head: Head,
}

/// How a file begins, as far as it was told: a copy of it or its compressed form begins the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub len: u16,
    /// FNV-1a of so many bytes: the same in every version, for it is stored.
    pub hash: u64,
}

impl Head {
    /// Records have their time and addresses in their first bytes.
    pub const LEN: usize = 512;

    pub fn of(first: &[u8]) -> Self {
        let first = &first[..first.len().min(Self::LEN)];
        let fnv = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
        Self { len: first.len() as u16, hash: first.iter().fold(0xcbf2_9ce4_8422_2325, fnv) }
    }

    fn begins(self, first: &[u8]) -> bool {
        first.get(..usize::from(self.len)).is_some_and(|first| Self::of(first) == self)
    }
}

/// Something that is lost for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missed {
    /// The file that was being read is neither there nor among the rotated ones.
    Rotated,
    /// Emptied before all of it was read, and there is no copy.
    Truncated,
    /// A line beyond the limit.
    Long,
    /// A compressed file that is cut or no such file.
    Damaged,
}

impl Missed {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "the file was rotated away before it was read to its end",
            Self::Truncated => "the file was emptied, and what was not read of it by then is gone",
            Self::Long => "a line was longer than 1 MiB",
            Self::Damaged => "a rotated file is cut or not what its name says",
        }
    }
}

/// What a step brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Without its end. The last line of a file that is done may be half of one.
    Line(&'a [u8]),
    Missed(Missed),
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub read_bytes: u64,
    /// Still to be read, as far as is known (a compressed file counts as it lies there).
    pub behind_bytes: u64,
}

#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    from: Option<Position>,
    reading: Option<Reading>,
    /// Steps at the end of a file that another one has replaced: its writer may not know yet.
    replaced_steps: u8,
}

impl Tail {
    /// Steps that a replaced file is still watched, unless the new one is written to before.
    const WATCHED: u8 = 3;

    /// From where another one stopped, or from the oldest rotated file.
    pub fn new(path: &Path, from: Option<Position>) -> Self {
        Self { path: path.to_owned(), from, reading: None, replaced_steps: 0 }
    }

    /// Where to go on after a restart: behind the last line that was told.
    pub fn position(&self) -> Option<Position> {
        self.reading.as_ref().map(Reading::position).or(self.from)
    }

    /// Reads about `budget` bytes and tells the lines that are whole. A file that is not there yet is
    /// no error: nothing is read.
    pub fn step(&mut self, budget: u64, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<Step> {
        if self.reading.is_none() {
            self.start(hear)?;
        }
        let Some(reading) = &mut self.reading else { return Ok(Step::default()) };
        let (read_bytes, at_end) = reading.read(budget, hear)?;
        if at_end {
            self.at_end(hear)?;
        }
        Ok(Step { read_bytes, behind_bytes: self.behind()? })
    }

    fn start(&mut self, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<()> {
        let files = rotated::all(&self.path)?;
        if let Some(from) = self.from {
            for file in files.iter().rev() {
                if let Some(reading) = Reading::resume(file, from)? {
                    self.reading = Some(reading);
                    return Ok(());
                }
            }
            if !files.is_empty() {
                hear(Heard::Missed(Missed::Rotated));
                self.from = None;
            }
        }
        self.reading = first_that_opens(&files)?;
        Ok(())
    }

    /// The end of a file is the end of it only if something else stands at the path.
    fn at_end(&mut self, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<()> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let Some(live) = rotated::identity(&self.path)? else { return Ok(()) };
        if reading.is(live.device, live.inode) {
            self.replaced_steps = 0;
            return if reading.was_emptied(live.len)? { self.emptied(hear) } else { Ok(()) };
        }
        self.replaced_steps = self.replaced_steps.saturating_add(1);
        let still_watched = live.len == 0 && self.replaced_steps < Self::WATCHED;
        if still_watched && !reading.is_compressed() {
            return Ok(());
        }
        self.replaced_steps = 0;
        reading.finish(hear);
        let done = reading.position();
        self.next(done, hear)
    }

    /// Copied and truncated: the copy has the rest.
    fn emptied(&mut self, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<()> {
        let Some(position) = self.reading.take().map(|reading| reading.position()) else { return Ok(()) };
        let files = rotated::all(&self.path)?;
        for file in files.iter().rev().filter(|file| **file != self.path) {
            if let Some(reading) = Reading::resume(file, position)? {
                self.reading = Some(reading);
                return Ok(());
            }
        }
        hear(Heard::Missed(Missed::Truncated));
        self.from = None;
        self.reading = Reading::open(&self.path)?;
        Ok(())
    }

    /// The file that was rotated after the one that is done, or the live one.
    fn next(&mut self, done: Position, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<()> {
        let files = rotated::all(&self.path)?;
        let mut place = None;
        for (at, file) in files.iter().enumerate() {
            match reading::likeness(file, done)? {
                Likeness::Same => {
                    place = Some(at);
                    break;
                }
                // A copy or a compressed form; the latest, should two files begin alike.
                Likeness::Alike => place = Some(at),
                Likeness::Other => {}
            }
        }
        // Where ours is gone and others are there, the oldest of them were rotated after it.
        let rotated = files.iter().filter(|file| **file != self.path).count();
        if place.is_none() && rotated > 0 {
            hear(Heard::Missed(Missed::Rotated));
        }
        let rest = match place {
            Some(at) => &files[at + 1..],
            None => &files,
        };
        self.from = Some(done);
        if let Some(reading) = first_that_opens(rest)? {
            self.reading = Some(reading);
        }
        Ok(())
    }

    fn behind(&self) -> io::Result<u64> {
        let Some(reading) = &self.reading else { return Ok(0) };
        let own = reading.behind()?;
        let live = rotated::identity(&self.path)?;
        if live.is_none_or(|live| reading.is(live.device, live.inode)) {
            return Ok(own);
        }
        let files = rotated::all(&self.path)?;
        let mut after = 0;
        for file in files.iter().rev() {
            let Some(other) = rotated::identity(file)? else { continue };
            if reading.is(other.device, other.inode) {
                break;
            }
            after += other.len;
        }
        Ok(own + after)
    }
}

/// A file may vanish between the listing and the opening: then the next one is the oldest.
fn first_that_opens(files: &[PathBuf]) -> io::Result<Option<Reading>> {
    for file in files {
        if let Some(reading) = Reading::open(file)? {
            return Ok(Some(reading));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
