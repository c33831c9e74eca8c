//! Which of the named files can be read, as what, and how: plain or gzip by their first bytes,
//! whatever they are called. Opens files and reads their beginnings; decodes nothing.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    Input, Job, Pace,
    complaints::{Complaint, Why},
};
use crate::{
    domain::{
        names::{NodeName, Text},
        sighting::Outcome,
    },
    flows::records::{Context, Decoder, Format, sniff},
};

/// A file that can be read.
pub(super) struct Good {
    pub path: PathBuf,
    pub format: Format,
    /// What its first bytes look like.
    pub looks: Option<Format>,
    pub node: Option<NodeName>,
    pub logged: Option<Outcome>,
    pub role: Role,
    /// The first input of this format, node and outcome: one decoder serves them all, so that its memory
    /// does not grow with the number of files.
    pub kin: usize,
    /// Bytes on the disk; 0 where that is not known.
    pub size: u64,
    /// First bytes of what can be read only once.
    head: std::sync::Mutex<Option<Box<dyn Read + Send>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Flows,
    Answers,
}

pub(super) struct Checked {
    pub good: Vec<Good>,
    pub complaints: Vec<Complaint>,
}

/// Bytes by which a format is told.
const HEAD: usize = 64 * 1024;

/// Looks at every input once.
pub(super) fn check(job: &Job) -> Checked {
    let mut out = Checked { good: Vec::new(), complaints: Vec::new() };
    let mut has_standard = false;
    let roles = job.dns.iter().map(|input| (Role::Answers, input));
    for (role, input) in job.flows.iter().map(|input| (Role::Flows, input)).chain(roles) {
        let is_standard = input.path == Path::new("-");
        let is_again = is_standard && has_standard;
        has_standard |= is_standard;
        let looked = if is_again { Err(Why::Again) } else { look(input, role) };
        match looked {
            Ok(good) => out.good.push(good),
            Err(why) => out.complaints.push(Complaint::file(&input.path, why)),
        }
    }
    let needs_book = needs_book(&out.good);
    let (good, twice): (Vec<_>, Vec<_>) = out.good.into_iter().partition(|good| {
        let is_twice = good.role == Role::Flows && (needs_book || good.format == Format::HubbleJson);
        good.can_reopen() || !is_twice
    });
    out.complaints.extend(twice.iter().map(|good| Complaint::file(&good.path, Why::Once)));
    out.good = good;
    for at in 0..out.good.len() {
        let kind = |good: &Good| (good.format, good.node.clone(), good.logged);
        let like = |other: &Good| kind(other) == kind(&out.good[at]);
        out.good[at].kin = out.good.iter().position(like).unwrap_or(at);
    }
    out
}

/// Answers that name their client by address only are given to pods by a book of addresses, which
/// comes from the flows.
pub(super) fn needs_book(inputs: &[Good]) -> bool {
    let by_address = |format| matches!(format, Format::Dnstap | Format::CalicoJson);
    inputs.iter().any(|good| good.role == Role::Answers && by_address(good.format))
}

impl Good {
    fn can_reopen(&self) -> bool {
        self.head.lock().is_ok_and(|head| head.is_none())
    }

    pub(super) fn decoder(&self) -> Decoder {
        Decoder::new(
            self.format,
            Context { node: self.node.clone(), logged: self.logged, ..Context::default() },
        )
    }

    /// The file's content, unpacked. Counts bytes of the disk.
    pub(super) fn open<'p>(&self, pace: &'p Pace) -> Result<Box<dyn Read + Send + 'p>, Why> {
        let kept = self.head.lock().ok().and_then(|mut head| head.take());
        let raw: Box<dyn Read + Send> = match kept {
            Some(raw) => raw,
            None => Box::new(File::open(&self.path).map_err(|error| unreadable(&error))?),
        };
        unpacked(Counted { raw, bytes: &pace.bytes }).map(|(reader, _)| reader)
    }
}

fn unreadable(error: &io::Error) -> Why {
    Why::Unreadable(Text::from(error.to_string()))
}

fn look(input: &Input, role: Role) -> Result<Good, Why> {
    let is_standard = input.path == Path::new("-");
    let (raw, size): (Box<dyn Read + Send>, u64) = if is_standard {
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(&input.path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if metadata.is_dir() {
            return Err(Why::NoFile);
        }
        (Box::new(file), if metadata.is_file() { metadata.len() } else { 0 })
    };
    let can_reopen = !is_standard && std::fs::metadata(&input.path).is_ok_and(|found| found.is_file());
    let mut raw = raw;
    let head = first(&mut raw, HEAD).map_err(|error| unreadable(&error))?;
    if head.is_empty() {
        return Err(Why::Empty);
    }
    let (mut plain, _) = unpacked(Cursor::new(head.clone()))?;
    // A beginning of packed data ends in the middle; what came out by then suffices.
    let mut start = Vec::new();
    let _ = plain.by_ref().take(HEAD as u64).read_to_end(&mut start);
    let looks = sniff(&start);
    let format = input.format.or(looks).ok_or(Why::NoFormat)?;
    match (role, format) {
        (Role::Flows, Format::Dnstap) => return Err(Why::NoFlows(format)),
        (Role::Answers, Format::AntreaCsv | Format::AntreaLog | Format::KernelLog) => {
            return Err(Why::NoAnswers(format));
        }
        (Role::Flows, _) | (Role::Answers, Format::HubbleJson | Format::CalicoJson | Format::Dnstap) => {}
    }
    let head: Option<Box<dyn Read + Send>> =
        if can_reopen { None } else { Some(Box::new(Cursor::new(head).chain(raw))) };
    let (path, node, logged) = (input.path.clone(), input.node.clone(), input.logged);
    Ok(Good { path, format, looks, node, logged, role, kin: 0, size, head: head.into() })
}

fn first(raw: &mut dyn Read, most: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    raw.take(most as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Unpacks gzip, also of several members; `true` where it was packed.
fn unpacked<'r>(raw: impl Read + Send + 'r) -> Result<(Box<dyn Read + Send + 'r>, bool), Why> {
    let mut raw = BufReader::with_capacity(64 * 1024, raw);
    let head = raw.fill_buf().map_err(|error| unreadable(&error))?;
    let packed = [
        (&b"\x28\xb5\x2f\xfd"[..], "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    if let Some((_, with)) = packed.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Why::Packed(with));
    }
    Ok(match head.starts_with(b"\x1f\x8b") {
        true => (Box::new(MultiGzDecoder::new(raw)), true),
        false => (Box::new(raw), false),
    })
}

/// Counts what is read of the disk.
struct Counted<'p, R> {
    raw: R,
    bytes: &'p AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buf)?;
        Pace::add(self.bytes, count as u64);
        Ok(count)
    }
}
