//! One open file, plain or compressed: reads on, cuts lines, knows how it began. Keeps half a line
//! until it is whole, within a limit. Does not know about rotation.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use memchr::memchr;

use super::{Head, Heard, Missed, Position};

/// Longer lines are passed over.
const LINE: usize = 1 << 20;
const CHUNK: u64 = 256 << 10;

enum Source {
    Plain(File),
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

pub struct Reading {
    source: Source,
    device: u64,
    inode: u64,
    /// Of the first byte of `half`.
    offset: u64,
    /// The file's first bytes, as far as they were told: at most [`Head::LEN`].
    first: Vec<u8>,
    half: Vec<u8>,
    /// Within a line beyond the limit.
    passing_over: bool,
    /// A compressed file that broke off.
    is_broken: bool,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// What a file has of the one that a position is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// It is the same one, whatever it is called now.
    Same,
    /// It begins the same: a copy, or its compressed form.
    Alike,
    Other,
}

pub fn likeness(path: &Path, position: Position) -> io::Result<Likeness> {
    let Some(reading) = Reading::open(path)? else { return Ok(Likeness::Other) };
    let is_same = reading.is(position.device, position.inode);
    Ok(match (reading.begins_as(position)?, is_same) {
        (true, true) => Likeness::Same,
        (true, false) => Likeness::Alike,
        (false, _) => Likeness::Other,
    })
}

impl Reading {
    /// From its beginning. `None`: it is not there.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        let source = if path.extension().is_some_and(|end| end == "gz") {
            Source::Compressed(Box::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Source::Plain(file)
        };
        Ok(Some(Self {
            source,
            device: meta.dev(),
            inode: meta.ino(),
            offset: 0,
            first: Vec::new(),
            half: Vec::new(),
            passing_over: false,
            is_broken: false,
        }))
    }

    /// `None`: this is not the file of that position, or not as long.
    pub fn resume(path: &Path, from: Position) -> io::Result<Option<Self>> {
        let Some(probe) = Self::open(path)? else { return Ok(None) };
        if !probe.begins_as(from)? {
            return Ok(None);
        }
        let Some(mut reading) = Self::open(path)? else { return Ok(None) };
        Ok(reading.skip_to(from.offset)?.then_some(reading))
    }

    pub fn position(&self) -> Position {
        Position { device: self.device, inode: self.inode, offset: self.offset, head: Head::of(&self.first) }
    }

    pub fn is(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    pub fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Compressed(_))
    }

    /// The same file shorter than what was read of it, or beginning otherwise.
    pub fn was_emptied(&self, len: u64) -> io::Result<bool> {
        let Source::Plain(file) = &self.source else { return Ok(false) };
        if len < self.offset + self.half.len() as u64 {
            return Ok(true);
        }
        let mut first = vec![0; self.first.len()];
        let found = read_at(file, &mut first, 0)?;
        Ok(first[..found] != self.first)
    }

    pub fn behind(&self) -> io::Result<u64> {
        match &self.source {
            Source::Plain(file) => Ok(file.metadata()?.len().saturating_sub(self.offset)),
            Source::Compressed(_) => Ok(0),
        }
    }

    /// Bytes read, and whether the file has no more now.
    pub fn read(&mut self, budget: u64, hear: &mut impl FnMut(Heard<'_>)) -> io::Result<(u64, bool)> {
        let mut total = 0;
        while total < budget {
            let mut chunk = vec![0; (budget - total).min(CHUNK) as usize];
            let found = self.more(&mut chunk, hear)?;
            if found == 0 {
                return Ok((total, true));
            }
            total += found as u64;
            self.take(&chunk[..found], hear);
        }
        Ok((total, false))
    }

    /// The file is done: what is left is its last line, whole or not; of a cut file it is none.
    pub fn finish(&mut self, hear: &mut impl FnMut(Heard<'_>)) {
        let half = std::mem::take(&mut self.half);
        if !half.is_empty() && !self.passing_over && !self.is_broken {
            hear(Heard::Line(&half));
        }
        self.told(&half);
    }

    fn more(&mut self, chunk: &mut [u8], hear: &mut impl FnMut(Heard<'_>)) -> io::Result<usize> {
        match &mut self.source {
            Source::Plain(file) => read_at(file, chunk, self.offset + self.half.len() as u64),
            Source::Compressed(_) if self.is_broken => Ok(0),
            Source::Compressed(text) => match text.read(chunk) {
                Err(error) if is_damage(&error) => {
                    self.is_broken = true;
                    hear(Heard::Missed(Missed::Damaged));
                    Ok(0)
                }
                other => other,
            },
        }
    }

    fn take(&mut self, mut chunk: &[u8], hear: &mut impl FnMut(Heard<'_>)) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end + 1);
            if self.half.is_empty() {
                if !self.passing_over {
                    hear(Heard::Line(&line[..end]));
                }
                self.told(line);
            } else {
                let mut whole = std::mem::take(&mut self.half);
                whole.extend_from_slice(line);
                hear(Heard::Line(&whole[..whole.len() - 1]));
                self.told(&whole);
            }
            self.passing_over = false;
            chunk = rest;
        }
        if self.passing_over {
            self.told(chunk);
        } else {
            self.half.extend_from_slice(chunk);
        }
        if self.half.len() > LINE {
            hear(Heard::Missed(Missed::Long));
            self.passing_over = true;
            let half = std::mem::take(&mut self.half);
            self.told(&half);
        }
    }

    fn told(&mut self, bytes: &[u8]) {
        let missing = Head::LEN.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        self.offset += bytes.len() as u64;
    }

    fn begins_as(mut self, position: Position) -> io::Result<bool> {
        if position.head.len == 0 {
            return Ok(self.is(position.device, position.inode));
        }
        let mut first = vec![0; usize::from(position.head.len)];
        let mut found = 0;
        while found < first.len() {
            match self.source.read_from(&mut first[found..], found as u64) {
                Ok(0) => break,
                Ok(more) => found += more,
                Err(error) if is_damage(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(position.head.begins(&first[..found]))
    }

    /// False: the file ends before.
    fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK as usize];
        if let Source::Plain(file) = &self.source
            && file.metadata()?.len() < offset
        {
            return Ok(false);
        }
        while self.offset < offset {
            let want = (offset - self.offset).min(CHUNK) as usize;
            match self.source.read_from(&mut chunk[..want], self.offset) {
                Ok(0) => return Ok(false),
                Ok(found) => self.told(&chunk[..found]),
                Err(error) if is_damage(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.first.len() == Head::LEN && !self.is_compressed() {
                self.offset = offset;
            }
        }
        Ok(true)
    }
}

impl Source {
    /// The offset is where a compressed text stands anyway.
    fn read_from(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => read_at(file, into, offset),
            Self::Compressed(text) => text.read(into),
        }
    }
}

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Not a fault of the disk: the bytes are not what the name says.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
