//! Hands out pieces of the inputs to workers: whole lines of a few MiB, or whole frames. A worker
//! reads its own piece and decodes it outside the lock, so nothing waits in queues. Decodes nothing.

use std::{
    io::{ErrorKind, Read},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::{
    Pace,
    complaints::{self, Complaint, Why},
    input::Good,
};
use crate::{
    domain::names::Text,
    flows::{
        dnstap::frames,
        records::{Decoder, Format, Malformed},
    },
};

/// Bytes of a piece, unless a line is longer. Large enough that the lock costs nothing, small enough to
/// stay near the core (a megabyte took a fifth more time).
const PIECE: usize = 256 << 10;

/// What a worker got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Index of the input.
    pub input: usize,
    /// Number of the first line or frame, from 1.
    pub first: u64,
    pub end: End,
}

/// How the last line of a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// Without an end of line: the file ends there, and it may be a half.
    File,
    /// The file broke off within it, which is told already.
    Broken,
}

/// Inputs that are read one after the other: one file, or, where the decoder must remember what it
/// saw, all files of its format.
pub(super) struct Lane<'g> {
    /// Still to be opened, the next one last.
    waiting: Vec<(usize, &'g Good)>,
    open: Option<Open<'g>>,
    /// Kept here where lines must be decoded in their order.
    pub decoder: Option<Decoder>,
    pub complaints: Vec<Complaint>,
}

struct Open<'g> {
    input: usize,
    good: &'g Good,
    next: u64,
    from: From<'g>,
}

enum From<'g> {
    Lines {
        reader: Box<dyn Read + Send + 'g>,
        /// The beginning of a line whose end is still to be read.
        rest: Vec<u8>,
        is_over: bool,
        /// Inside a line that is longer than any record: it is thrown away up to its end.
        is_skipping: bool,
    },
    Frames(frames::File<Box<dyn Read + Send + 'g>>),
}

pub(super) struct Feed<'g> {
    lanes: Vec<Mutex<Lane<'g>>>,
    pace: &'g Pace,
}

/// Must the lines of a file be decoded one after the other?
fn is_ordered(format: Format) -> bool {
    match format {
        Format::AntreaCsv | Format::AntreaLog => true,
        Format::HubbleJson | Format::CalicoJson | Format::KernelLog | Format::Dnstap => false,
    }
}

impl<'g> Feed<'g> {
    /// The inputs that are wanted, in lanes.
    pub(super) fn new(inputs: &'g [Good], wanted: impl Fn(&Good) -> bool, pace: &'g Pace) -> Self {
        let mut lanes: Vec<Lane<'g>> = Vec::new();
        for (at, good) in inputs.iter().enumerate().filter(|(_, good)| wanted(good)) {
            Pace::add(&pace.of, good.size);
            let same = |lane: &&mut Lane<'g>| {
                let like = |other: &Good| other.format == good.format && other.node == good.node;
                is_ordered(good.format) && lane.waiting.iter().all(|(_, other)| like(other))
            };
            match lanes.iter_mut().find(same) {
                Some(lane) => lane.waiting.insert(0, (at, good)),
                None => lanes.push(Lane {
                    waiting: vec![(at, good)],
                    open: None,
                    decoder: is_ordered(good.format).then(|| good.decoder()),
                    complaints: Vec::new(),
                }),
            }
        }
        Self { lanes: lanes.into_iter().map(Mutex::new).collect(), pace }
    }

    /// Runs a worker until nothing is left. A lane with a decoder of its own is decoded under its
    /// lock; else `work` gets the bytes and no decoder.
    pub(super) fn work(&self, mut work: impl FnMut(Piece, &[u8], Option<&mut Decoder>)) {
        let mut buffer = Vec::with_capacity(PIECE);
        while let Some(mut lane) = self.free_lane() {
            let Some(piece) = lane.fill(&mut buffer, self.pace) else { continue };
            match lane.decoder.take() {
                Some(mut decoder) => {
                    work(piece, &buffer, Some(&mut decoder));
                    lane.decoder = Some(decoder);
                }
                None => {
                    drop(lane);
                    work(piece, &buffer, None);
                }
            }
        }
    }

    /// A lane that has something left; waits where all of those are in use.
    fn free_lane(&self) -> Option<MutexGuard<'_, Lane<'g>>> {
        loop {
            let mut busy = None;
            for lane in &self.lanes {
                match lane.try_lock() {
                    Ok(guard) if guard.is_over() => {}
                    Ok(guard) => return Some(guard),
                    Err(TryLockError::Poisoned(poisoned)) if poisoned.get_ref().is_over() => {}
                    Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                    Err(TryLockError::WouldBlock) => busy = busy.or(Some(lane)),
                }
            }
            let guard = busy?.lock().unwrap_or_else(PoisonError::into_inner);
            if !guard.is_over() {
                return Some(guard);
            }
        }
    }

    /// What went wrong with the files themselves.
    pub(super) fn complaints(self) -> Vec<Complaint> {
        let lanes = self.lanes.into_iter();
        let all = lanes.flat_map(|lane| lane.into_inner().unwrap_or_else(PoisonError::into_inner).complaints);
        complaints::summed(all)
    }
}

impl<'g> Lane<'g> {
    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    /// Puts the next piece into the buffer. `None`: a file ended, there may be another.
    fn fill(&mut self, buffer: &mut Vec<u8>, pace: &'g Pace) -> Option<Piece> {
        if self.open.is_none() {
            let (input, good) = self.waiting.pop()?;
            self.open = self.opened(input, good, pace);
        }
        let open = self.open.as_mut()?;
        let (input, first) = (open.input, open.next);
        let got = match &mut open.from {
            From::Lines { reader, rest, is_over, is_skipping } => {
                let got = lines(reader, rest, is_over, buffer);
                got.without_long_line(buffer, *is_over, is_skipping)
            }
            From::Frames(file) => {
                buffer.clear();
                frames(file, buffer)
            }
        };
        open.next += got.count;
        if let Some(why) = got.complaint {
            self.complaints.push(Complaint::file(&open.good.path, why));
        }
        if got.has_long {
            let why = Why::Line(Malformed::Long);
            self.complaints.push(Complaint { first, ..Complaint::file(&open.good.path, why) });
        }
        if got.is_over {
            self.open = None;
        }
        (!buffer.is_empty()).then_some(Piece { input, first: first + got.skipped, end: got.end })
    }

    fn opened(&mut self, input: usize, good: &'g Good, pace: &'g Pace) -> Option<Open<'g>> {
        match good.open(pace) {
            Ok(reader) if good.format == Format::Dnstap => {
                Some(Open { input, good, next: 1, from: From::Frames(frames::File::new(reader)) })
            }
            Ok(reader) => {
                let from = From::Lines { reader, rest: Vec::new(), is_over: false, is_skipping: false };
                Some(Open { input, good, next: 1, from })
            }
            Err(why) => {
                self.complaints.push(Complaint::file(&good.path, why));
                None
            }
        }
    }
}

/// What one read gave.
struct Got {
    /// Lines or frames, also those that are thrown away.
    count: u64,
    /// Of those, thrown away at the beginning.
    skipped: u64,
    is_over: bool,
    end: End,
    complaint: Option<Why>,
    /// A line that does not fit begins here.
    has_long: bool,
}

impl Got {
    /// Takes the parts of a line that does not fit out of the buffer.
    fn without_long_line(mut self, buffer: &mut Vec<u8>, is_over: bool, is_skipping: &mut bool) -> Self {
        if *is_skipping {
            let end = memchr(b'\n', buffer).map(|at| at + 1);
            self.skipped = u64::from(end.is_some());
            *is_skipping = end.is_none() && !is_over;
            buffer.drain(..end.unwrap_or(buffer.len()));
        } else if !is_over && !buffer.ends_with(b"\n") && !buffer.is_empty() {
            (self.has_long, *is_skipping) = (true, true);
            buffer.clear();
        }
        self
    }
}

/// Whole lines; what is behind the last end of line waits for the next call.
fn lines(reader: &mut dyn Read, rest: &mut Vec<u8>, is_over: &mut bool, buffer: &mut Vec<u8>) -> Got {
    let mut filled = rest.len();
    let mut room = PIECE.max(filled + 1);
    let mut complaint = None;
    loop {
        // All of the buffer is written before it is read; what it held before spares clearing it.
        buffer.resize(room, 0);
        buffer[..rest.len()].copy_from_slice(rest);
        rest.clear();
        while filled < room && !*is_over {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) => *is_over = true,
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    *is_over = true;
                    complaint = Some(cut_short(&error));
                }
            }
        }
        if *is_over || room > Decoder::LINE || memrchr(b'\n', &buffer[..filled]).is_some() {
            break;
        }
        room = Decoder::LINE + 1;
    }
    buffer.truncate(filled);
    let end = memrchr(b'\n', buffer).map_or(0, |at| at + 1);
    let end_of_last = match (*is_over && end < buffer.len(), &complaint) {
        (false, _) => End::Whole,
        (true, None) => End::File,
        (true, Some(_)) => End::Broken,
    };
    if !*is_over && end > 0 {
        let end = before_denials(buffer, end);
        rest.extend_from_slice(&buffer[end..]);
        buffer.truncate(end);
    }
    let count = memchr_iter(b'\n', buffer).count() as u64 + u64::from(end_of_last != End::Whole);
    Got { count, skipped: 0, is_over: *is_over, end: end_of_last, complaint, has_long: false }
}

/// Where to cut instead, so that the two events of one denied packet come to one decoder: before the
/// denials that the lines end with, unless those are more than a few.
fn before_denials(lines: &[u8], end: usize) -> usize {
    let mut cut = end;
    for _ in 0..64 {
        let start = memrchr(b'\n', &lines[..cut - 1]).map_or(0, |at| at + 1);
        if memmem::find(&lines[start..cut], b"\"DROPPED\"").is_none() {
            return cut;
        }
        if start == 0 {
            break;
        }
        cut = start;
    }
    end
}

fn cut_short(error: &std::io::Error) -> Why {
    let said = Text::from(error.to_string());
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => Why::CutShort(said),
        _ => Why::Unreadable(said),
    }
}

/// Whole frames, each with its length before it.
fn frames(file: &mut frames::File<Box<dyn Read + Send + '_>>, buffer: &mut Vec<u8>) -> Got {
    let mut got =
        Got { count: 0, skipped: 0, is_over: false, end: End::Whole, complaint: None, has_long: false };
    while buffer.len() < PIECE {
        match file.next() {
            Some(Ok(frame)) => {
                buffer.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
                buffer.extend_from_slice(&frame);
                got.count += 1;
            }
            Some(Err(cut)) => got.complaint = Some(Why::Frames(Text::from(cut.to_string()))),
            None => {
                got.is_over = true;
                break;
            }
        }
    }
    got
}

/// The frames of a piece.
pub(super) fn each_frame(mut piece: &[u8], mut take: impl FnMut(&[u8])) {
    while let Some((length, rest)) = piece.split_first_chunk() {
        let (frame, rest) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        take(frame);
        piece = rest;
    }
}
