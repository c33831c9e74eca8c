//! Opening the database: what a start finds in it, and each way of failing as a sentence with file,
//! fact and next step. Bounded in memory; a row that cannot be read is left out, never guessed.

use std::{fmt, io::ErrorKind, path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use redb::{Builder, Database, DatabaseError, Error, ReadableDatabase, ReadableTable};

use super::{ANSWERS, EDGES, HOLES, HOURS, IDS, Id, META, POSITIONS, Position, Resume, SCHEMA, Store};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        coverage::Hole,
        edge::Parties,
        names::{NodeName, NsName, Text},
        time::Timestamp,
    },
    flows::baseline::encode,
};

/// Pages kept in memory; the crate's own default is a gigabyte.
const CACHE: usize = 32 << 20;
/// A stream is read again from this much before its position.
pub const OVERLAP: TimeDelta = TimeDelta::seconds(10);

type Open = dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync;

/// How the database is opened, and what people call it.
#[derive(Clone)]
pub struct Opener {
    name: Text,
    path: Option<PathBuf>,
    open: Arc<Open>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").field(&self.name).finish()
    }
}

impl Opener {
    pub fn file(path: PathBuf) -> Self {
        let name = Text::new(&path.to_string_lossy());
        let at = path.clone();
        Self { name, path: Some(path), open: Arc::new(move |builder| builder.create(&at)) }
    }

    /// Storage of another kind than a file.
    pub fn with(
        name: &str,
        open: impl Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: Text::new(name), path: None, open: Arc::new(open) }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    pub(super) fn open(&self) -> Result<Database, Trouble> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        (self.open)(&builder).map_err(|error| self.trouble(&error.into()))
    }

    /// A failure in words.
    pub(super) fn trouble(&self, error: &Error) -> Trouble {
        let (fact, next) = match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => (
                "another sluice collect has it open".to_owned(),
                "Stop the other one, or give this one a folder of its own with --data.",
            ),
            Error::Io(io) => return self.io_trouble(io),
            Error::UpgradeRequired(_) => (
                "its file format is older than this sluice reads".to_owned(),
                "Move the file away: collecting starts anew.",
            ),
            Error::PreviousIo | Error::DatabaseClosed => (
                "it was closed after a failed write".to_owned(),
                "It is opened again by itself; look at the disk if this stays.",
            ),
            other => (
                format!("it is damaged: {other}"),
                "Bring back a copy of the file, or move it away: collecting starts anew.",
            ),
        };
        Trouble::new(self.name.as_str(), &fact, next)
    }

    fn io_trouble(&self, error: &std::io::Error) -> Trouble {
        let (fact, next) = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => (
                "the disk is full".to_owned(),
                "Make room; until then the latest edges are kept in memory and written by themselves later.",
            ),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => (
                format!("it is no database of edges, or damaged: {error}"),
                "Bring back a copy of the file, or move it away: collecting starts anew.",
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
                format!("it cannot be written: {error}"),
                "Let this user write there, or give another folder with --data.",
            ),
            _ => (format!("the disk failed: {error}"), "Look at the disk; writing is tried again by itself."),
        };
        Trouble::new(self.name.as_str(), &fact, next)
    }

    fn newer(&self, schema: u64) -> Trouble {
        Trouble::new(
            self.name.as_str(),
            &format!("its form is version {schema}, and this sluice knows {SCHEMA}"),
            "Use the newer sluice that wrote it, or give another folder with --data.",
        )
    }
}

impl Store {
    /// Checks the form, makes what is missing, and reads what a start needs.
    pub(super) fn load(&mut self, database: &Database) -> Result<Resume, Trouble> {
        let found = prepare(database).map_err(|error| self.opener.trouble(&error))?;
        if found > SCHEMA {
            return Err(self.opener.newer(found));
        }
        let mut resume = Resume::default();
        let read = self.read(database, &mut resume);
        read.map_err(|error| self.opener.trouble(&error))?;
        Ok(resume)
    }

    fn read(&mut self, database: &Database, resume: &mut Resume) -> Result<(), Error> {
        let read = database.begin_read()?;
        self.counts.clear();
        self.total = 0;
        for row in read.open_table(EDGES)?.iter()? {
            let (key, value) = row?;
            if let Some((ns, parties)) = parties(key.value(), value.value()) {
                self.count(ns, 1, parties);
            }
        }
        self.read_places(&read, resume)?;
        read_coverage(&read, resume)?;
        for row in read.open_table(ANSWERS)?.iter()? {
            let (key, value) = row?;
            resume.answers.extend(encode::answer_of(key.value(), value.value()));
        }
        self.answers = resume.answers.len() as u64;
        resume.answers.sort_by_key(|answer| answer.at);
        Ok(())
    }

    fn read_places(&mut self, read: &redb::ReadTransaction, resume: &mut Resume) -> Result<(), Error> {
        for row in read.open_table(META)?.iter()? {
            let (key, value) = row?;
            if key.value() == "window" {
                resume.window = encode::times_of::<2>(value.value()).map(|[from, to]| (from, to));
            } else if let Some(why) = key.value().strip_prefix("left out/") {
                resume.left_out.insert(Text::new(why), number(value.value()));
            }
        }
        for row in read.open_table(POSITIONS)?.iter()? {
            let (source, position) = row?;
            let Some(position) = position_of(position.value()) else { continue };
            let source = Text::new(source.value());
            if let Some(at) = position.time() {
                self.horizon.insert(source.clone(), at);
            }
            resume.positions.insert(source, position);
        }
        for row in read.open_table(IDS)?.iter()? {
            let (key, value) = row?;
            let (source, commit) = key.value();
            self.commits = self.commits.max(commit + 1);
            resume.ids.entry(Text::new(source)).or_default().extend(ids_of(value.value()));
        }
        Ok(())
    }
}

/// The form that was found. Makes the tables where they are missing; else writes nothing, so that
/// a full disk can be read.
fn prepare(database: &Database) -> Result<u64, Error> {
    let read = database.begin_read()?;
    if let Ok(meta) = read.open_table(META)
        && let Some(found) = meta.get("schema")?
    {
        return Ok(number(found.value()));
    }
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("schema", SCHEMA.to_be_bytes().as_slice())?;
    transaction.open_table(EDGES)?;
    transaction.open_table(POSITIONS)?;
    transaction.open_table(IDS)?;
    transaction.open_table(HOURS)?;
    transaction.open_table(HOLES)?;
    transaction.open_table(ANSWERS)?;
    transaction.commit()?;
    Ok(SCHEMA)
}

fn read_coverage(read: &redb::ReadTransaction, resume: &mut Resume) -> Result<(), Error> {
    let node_of = |raw: &str| (!raw.is_empty()).then(|| NodeName::parse(raw).ok()).flatten();
    for row in read.open_table(HOURS)?.iter()? {
        let (node, hours) = row?;
        let Some(hours) = encode::hours_of(hours.value()) else { continue };
        resume.coverage.credited.insert(node_of(node.value()), hours);
    }
    for row in read.open_table(HOLES)?.iter()? {
        let (key, value) = row?;
        let (_, node, why) = key.value();
        let Some([from, to]) = encode::times_of::<2>(value.value()) else { continue };
        let lost = value.value().get(24..33).filter(|lost| lost[0] == 1).map(|lost| number(&lost[1..]));
        resume.coverage.gaps.push(Hole { from, to, node: node_of(node), lost, why: Text::new(why) });
    }
    Ok(())
}

/// The namespace of an edge's row, and what the row adds to its parties.
pub(super) fn parties(key: &[u8], value: &[u8]) -> Option<(NsName, Parties)> {
    let Some(key) = encode::key_of(key) else {
        // Not understood, and counted all the same: it takes room.
        let ns = NsName::parse(std::str::from_utf8(encode::namespace(key)?).ok()?).ok()?;
        return Some((ns, Parties::default()));
    };
    let mut parties = Parties::of(&key);
    if !parties.is_none() {
        parties.flows = encode::flows_of(value).unwrap_or(0);
    }
    Some((key.ns, parties))
}

pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

pub(super) fn position_to_bytes(position: &Position) -> Vec<u8> {
    match position {
        Position::Time(at) => [&[0], encode::times(&[*at]).as_slice()].concat(),
        Position::File(place) => [&[1], place.as_bytes()].concat(),
    }
}

fn position_of(bytes: &[u8]) -> Option<Position> {
    match bytes.split_first()? {
        (0, rest) => encode::times_of::<1>(rest).map(|[at]| Position::Time(at)),
        (1, rest) => Some(Position::File(std::str::from_utf8(rest).ok()?.to_owned())),
        _ => None,
    }
}

/// The newest moment first, then hash and seconds of each.
pub(super) fn ids_to_bytes(ids: &[Id]) -> Vec<u8> {
    let newest = ids.iter().map(|(_, at)| *at).max().unwrap_or_default();
    let mut out = encode::times(&[newest]);
    for (hash, at) in ids {
        out.extend(hash.to_be_bytes());
        out.extend(u32::try_from(at.timestamp()).unwrap_or(0).to_be_bytes());
    }
    out
}

pub(super) fn newest(bytes: &[u8]) -> Option<Timestamp> {
    encode::times_of::<1>(bytes).map(|[at]| at)
}

fn ids_of(bytes: &[u8]) -> Vec<Id> {
    let rows = bytes.get(12..).unwrap_or_default().chunks_exact(12);
    rows.map(|row| {
        let secs = row[8..].iter().fold(0, |secs: i64, byte| secs << 8 | i64::from(*byte));
        (number(&row[..8]), Timestamp::from_timestamp(secs, 0).unwrap_or_default())
    })
    .collect()
}
