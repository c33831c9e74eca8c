//! The collector's edges on disk: one transaction holds edges, where each source stands, coverage
//! and the ids that a second reading would repeat, so that being killed neither loses nor counts
//! twice what was committed. Blocking: call it from a blocking task. Decides nothing about flows.

mod open;
mod page;
#[cfg(test)]
pub(super) mod tests;
mod tidy;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

pub use self::{
    open::Opener,
    page::{Page, Reader},
};
use super::{encode, owned::HeardAnswer};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        coverage::{Coverage, Hole},
        edge::{Edge, EdgeKey, Parties, Tally},
        names::{NodeName, NsName, Text},
        time::Timestamp,
    },
};

/// Form of the tables. A higher one was written by a newer sluice.
const SCHEMA: u64 = 1;
pub const FILE: &str = "edges.redb";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const EDGES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("edges");
const POSITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("positions");
/// Ids of committed flows that reading again from a position could bring back, by source and commit.
const IDS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("ids");
/// Hours credited; the node without a name is the empty text.
const HOURS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("hours");
/// By where it begins, on which node and why.
const HOLES: TableDefinition<'_, (i64, &str, &str), &[u8]> = TableDefinition::new("holes");
const ANSWERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("answers");

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub keep: TimeDelta,
    /// Beyond, new edges are left out and counted; known ones go on.
    pub edges: u64,
    /// Answers, one for each (client, name, address).
    pub answers: u64,
    pub holes: u64,
}

impl Limits {
    pub fn new(keep: TimeDelta) -> Self {
        Self { keep, edges: 1_000_000, answers: 1_000_000, holes: 5_000 }
    }
}

/// Where reading a source goes on after a restart: everything before it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// A stream that can be read again from a moment on.
    Time(Timestamp),
    /// A file, by what its tail says.
    File(String),
}

impl Position {
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Time(at) => Some(*at),
            Self::File(_) => None,
        }
    }
}

/// A flow's id as the sources remember it: a hash, and when the flow was.
pub type Id = (u64, Timestamp);

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub edges: HashMap<EdgeKey, Edge>,
    pub positions: BTreeMap<Text, Position>,
    pub ids: BTreeMap<Text, Vec<Id>>,
    pub answers: HashMap<Vec<u8>, HeardAnswer>,
    /// All that is known of it; takes the place of what stood there.
    pub coverage: Option<Coverage>,
    /// Flows that became no edge, by reason.
    pub left_out: BTreeMap<Text, u64>,
    /// Newest moment that any source was read up to.
    pub until: Option<Timestamp>,
}

impl Batch {
    /// What waits while the disk takes nothing.
    pub const EDGES: usize = 200_000;
    const ANSWERS: usize = 200_000;
    const IDS: usize = 1 << 19;

    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
            && self.positions.is_empty()
            && self.answers.is_empty()
            && self.coverage.is_none()
            && self.left_out.is_empty()
    }

    /// Takes a later batch in: what could not be written waits with what came since. Answers how
    /// many flows were lost for want of room.
    pub fn absorb(&mut self, later: Self) -> u64 {
        let mut lost = 0;
        for (key, edge) in later.edges {
            let room = self.edges.len() < Self::EDGES;
            match self.edges.entry(key) {
                Entry::Occupied(mut old) => old.get_mut().merge(&edge),
                Entry::Vacant(place) if room => drop(place.insert(edge)),
                Entry::Vacant(_) => lost += edge.flows,
            }
        }
        self.positions.extend(later.positions);
        for (source, new) in later.ids {
            let ids = self.ids.entry(source).or_default();
            ids.extend(new);
            let over = ids.len().saturating_sub(Self::IDS);
            ids.drain(..over);
        }
        for (key, answer) in later.answers {
            if self.answers.len() < Self::ANSWERS || self.answers.contains_key(&key) {
                self.answers.insert(key, answer);
            }
        }
        self.coverage = later.coverage.or(self.coverage.take());
        for (why, count) in later.left_out {
            *self.left_out.entry(why).or_default() += count;
        }
        self.until = self.until.max(later.until);
        lost
    }

    /// Keeps an answer to be written.
    pub fn learn(&mut self, answer: &HeardAnswer) {
        for address in &answer.addresses {
            let key = encode::answer_key(answer, *address);
            if self.answers.len() < Self::ANSWERS || self.answers.contains_key(&key) {
                let one = HeardAnswer { addresses: vec![*address], ..answer.clone() };
                self.answers.insert(key, one);
            }
        }
    }
}

/// What a start finds.
#[derive(Debug, Default)]
pub struct Resume {
    pub positions: BTreeMap<Text, Position>,
    pub ids: BTreeMap<Text, Vec<Id>>,
    /// Oldest first.
    pub answers: Vec<HeardAnswer>,
    pub coverage: Coverage,
    pub left_out: BTreeMap<Text, u64>,
    /// From the first to the last commit's moment.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    pub edges: usize,
    pub refused: u64,
}

/// The only writer of one database.
#[derive(Debug)]
pub struct Store {
    opener: Opener,
    limits: Limits,
    shared: Reader,
    counts: BTreeMap<NsName, (u64, Parties)>,
    total: u64,
    answers: u64,
    commits: u64,
    /// How far back ids are needed, by source.
    horizon: BTreeMap<Text, Timestamp>,
}

impl Store {
    /// Why flows of edges beyond the limit are left out.
    pub const NO_ROOM: &str = "no room for another edge";

    /// Opens or makes the database in this folder.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Self, Resume), Trouble> {
        let object = folder.display().to_string();
        std::fs::create_dir_all(folder).map_err(|error| {
            Trouble::new(
                &object,
                &format!("the folder cannot be made: {error}"),
                "Give a folder of your own as --data.",
            )
        })?;
        Self::open_with(Opener::file(folder.join(FILE)), limits)
    }

    /// The same on storage of another kind; tests use storage that fails.
    pub fn open_with(opener: Opener, limits: Limits) -> Result<(Self, Resume), Trouble> {
        let mut store = Self {
            shared: Reader::default(),
            opener,
            limits,
            counts: BTreeMap::new(),
            total: 0,
            answers: 0,
            commits: 0,
            horizon: BTreeMap::new(),
        };
        let resume = store.reopen()?;
        Ok((store, resume))
    }

    /// Opens the database again; after a failed write nothing else helps.
    pub fn reopen(&mut self) -> Result<Resume, Trouble> {
        self.shared.set(None);
        let database = self.opener.open()?;
        let resume = self.load(&database)?;
        self.shared.set(Some(database));
        Ok(resume)
    }

    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// A door for readers, which never waits for a commit.
    pub fn reader(&self) -> Reader {
        self.shared.clone()
    }

    pub fn path(&self) -> Option<PathBuf> {
        self.opener.path()
    }

    /// Edges by namespace, and what they add up to.
    pub fn counts(&self) -> Vec<(NsName, Tally)> {
        let tally = |edges: u64, parties: Parties| Tally { edges, parties: Some(parties) };
        self.counts.iter().map(|(ns, (edges, parties))| (ns.clone(), tally(*edges, *parties))).collect()
    }

    fn count(&mut self, ns: NsName, edges: u64, parties: Parties) {
        let count = self.counts.entry(ns).or_default();
        *count = (count.0 + edges, count.1.plus(parties));
        self.total += edges;
    }

    /// Writes a batch, whole or not at all. After an error the database is closed: see [`Store::reopen`].
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, Trouble> {
        let shared = self.shared.clone();
        let done = shared.with(|database| self.write(database, batch));
        match done {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) => {
                self.shared.set(None);
                Err(self.opener.trouble(&error))
            }
            None => Err(self.opener.trouble(&redb::Error::DatabaseClosed)),
        }
    }

    fn write(&mut self, database: &Database, batch: &Batch) -> Result<Committed, redb::Error> {
        let transaction = database.begin_write()?;
        let mut fresh = BTreeMap::new();
        let mut done = Committed::default();
        self.write_edges(&transaction, batch, &mut fresh, &mut done)?;
        let new_answers = self.write_answers(&transaction, batch)?;
        self.write_places(&transaction, batch)?;
        write_coverage(&transaction, batch, self.limits.holes)?;
        self.write_meta(&transaction, batch, done.refused)?;
        transaction.commit()?;
        self.commits += 1;
        self.answers += new_answers;
        for (ns, (edges, parties)) in fresh {
            self.count(ns, edges, parties);
        }
        done.edges = batch.edges.len();
        Ok(done)
    }

    fn write_edges(
        &self,
        transaction: &WriteTransaction,
        batch: &Batch,
        fresh: &mut BTreeMap<NsName, (u64, Parties)>,
        done: &mut Committed,
    ) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(EDGES)?;
        let mut room = self.limits.edges.saturating_sub(self.total);
        let mut rows: Vec<_> = batch.edges.iter().map(|(key, edge)| (encode::key(key), key, edge)).collect();
        // Neighbours together: a tree is written a page at a time.
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (row, key, edge) in rows {
            let old = table.get(row.as_slice())?.and_then(|row| encode::edge_of(row.value()));
            let (mut parties, is_new) = (Parties::of(key), old.is_none());
            let bytes = match old {
                Some(mut old) => {
                    old.merge(edge);
                    encode::edge(&old)
                }
                None if room == 0 => {
                    done.refused += edge.flows;
                    continue;
                }
                None => {
                    room -= 1;
                    encode::edge(edge)
                }
            };
            table.insert(row.as_slice(), bytes.as_slice())?;
            if !is_new {
                parties = Parties::default();
            }
            parties.flows = if Parties::of(key).is_none() { 0 } else { edge.flows };
            let count = fresh.entry(key.ns.clone()).or_default();
            *count = (count.0 + u64::from(is_new), count.1.plus(parties));
        }
        Ok(())
    }

    fn write_answers(&self, transaction: &WriteTransaction, batch: &Batch) -> Result<u64, redb::Error> {
        let mut table = transaction.open_table(ANSWERS)?;
        let mut room = self.limits.answers.saturating_sub(self.answers);
        let mut new = 0;
        for (key, answer) in &batch.answers {
            let known = table.get(key.as_slice())?.map(|row| encode::answered(row.value()));
            match known {
                Some(Some(at)) if at >= answer.at => continue,
                Some(_) => {}
                None if room == 0 => continue,
                None => {
                    room -= 1;
                    new += 1;
                }
            }
            table.insert(key.as_slice(), encode::answer(answer).as_slice())?;
        }
        Ok(new)
    }

    /// Where each source stands, and the ids that reading from there could repeat.
    fn write_places(&mut self, transaction: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
        let mut positions = transaction.open_table(POSITIONS)?;
        for (source, position) in &batch.positions {
            positions.insert(source.as_str(), open::position_to_bytes(position).as_slice())?;
            if let Some(at) = position.time() {
                self.horizon.insert(source.clone(), at);
            }
        }
        let mut ids = transaction.open_table(IDS)?;
        for (source, new) in &batch.ids {
            ids.insert((source.as_str(), self.commits), open::ids_to_bytes(new).as_slice())?;
        }
        for (source, horizon) in &self.horizon {
            let needed = *horizon - open::OVERLAP;
            let old = |key: &(&str, u64), value: &[u8]| {
                key.0 == source.as_str() && open::newest(value).is_some_and(|newest| newest < needed)
            };
            ids.retain(|key, value| !old(&key, value))?;
        }
        Ok(())
    }

    fn write_meta(
        &self,
        transaction: &WriteTransaction,
        batch: &Batch,
        refused: u64,
    ) -> Result<(), redb::Error> {
        let mut meta = transaction.open_table(META)?;
        let refused = (refused > 0).then(|| (Text::new(Self::NO_ROOM), refused));
        for (why, count) in batch.left_out.iter().map(|(why, count)| (why.clone(), *count)).chain(refused) {
            let key = format!("left out/{why}");
            let old = meta.get(key.as_str())?.map_or(0, |row| open::number(row.value()));
            meta.insert(key.as_str(), old.saturating_add(count).to_be_bytes().as_slice())?;
        }
        if let Some(until) = batch.until {
            let old = meta.get("window")?.and_then(|row| encode::times_of::<2>(row.value()));
            let [from, last] = old.unwrap_or([until, until]);
            meta.insert("window", encode::times(&[from.min(until), last.max(until)]).as_slice())?;
        }
        Ok(())
    }
}

fn write_coverage(transaction: &WriteTransaction, batch: &Batch, limit: u64) -> Result<(), redb::Error> {
    let Some(coverage) = &batch.coverage else { return Ok(()) };
    let mut table = transaction.open_table(HOURS)?;
    for (node, hours) in &coverage.credited {
        let node = node.as_ref().map_or("", NodeName::as_str);
        let hours = encode::hours(hours);
        let same = table.get(node)?.is_some_and(|old| old.value() == hours);
        if !same {
            table.insert(node, hours.as_slice())?;
        }
    }
    let mut holes = transaction.open_table(HOLES)?;
    let mut gone: BTreeSet<_> = BTreeSet::new();
    for row in holes.iter()? {
        let (key, _) = row?;
        let (from, node, why) = key.value();
        gone.insert((from, node.to_owned(), why.to_owned()));
    }
    // The newest are kept: hours that lie further back stay without credit all the same.
    let over = coverage.gaps.len().saturating_sub(limit as usize);
    for hole in coverage.gaps.iter().skip(over) {
        let (from, node, why, value) = hole_row(hole);
        gone.remove(&(from, node.to_owned(), why.to_owned()));
        holes.insert((from, node, why), value.as_slice())?;
    }
    for (from, node, why) in &gone {
        holes.remove((*from, node.as_str(), why.as_str()))?;
    }
    Ok(())
}

fn hole_row(hole: &Hole) -> (i64, &str, &str, Vec<u8>) {
    let node = hole.node.as_ref().map_or("", NodeName::as_str);
    let mut value = encode::times(&[hole.from, hole.to]);
    value.push(u8::from(hole.lost.is_some()));
    value.extend(hole.lost.unwrap_or(0).to_be_bytes());
    (hole.from.timestamp_nanos_opt().unwrap_or(i64::MAX), node, hole.why.as_str(), value)
}
