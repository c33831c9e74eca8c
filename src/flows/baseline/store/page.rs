//! Reading edges while they are collected: a page at a time, each in a transaction of its own, so
//! that a slow reader neither holds up the writer nor makes the file grow. Never writes.

use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadableDatabase};

use super::EDGES;
use crate::{
    domain::{
        edge::{Edge, EdgeKey, Window},
        names::{NsName, Text},
    },
    flows::baseline::encode,
};

/// The edges could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub Text);

/// A door to the database for readers. Clones are the same door.
#[derive(Clone, Debug, Default)]
pub struct Reader(Arc<RwLock<Option<Database>>>);

/// Some edges, and where to go on.
#[derive(Debug, Default)]
pub struct Page {
    pub edges: Vec<(EdgeKey, Edge)>,
    /// Pass it to the next call; `None`: that was all.
    pub next: Option<Vec<u8>>,
}

impl Reader {
    /// Rows looked at for one page.
    const ROWS: usize = 1_000;

    pub(super) fn set(&self, database: Option<Database>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = database;
    }

    pub fn is_open(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&Database) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(act)
    }

    /// The next edges of a namespace (or of all) with an hour inside the window (or any hour).
    pub fn page(
        &self,
        ns: Option<&NsName>,
        window: Option<Window>,
        after: Option<&[u8]>,
    ) -> Result<Page, Unreadable> {
        match self.with(|database| read_page(database, ns, window, after)) {
            Some(Ok(page)) => Ok(page),
            Some(Err(error)) => Err(Unreadable(Text::new(&error.to_string()))),
            None => Err(Unreadable(Text::new("the database is closed after a failed write"))),
        }
    }
}

fn read_page(
    database: &Database,
    ns: Option<&NsName>,
    window: Option<Window>,
    after: Option<&[u8]>,
) -> Result<Page, redb::Error> {
    let first = ns.map(encode::prefix).unwrap_or_default();
    let from = after.map_or_else(|| first.clone(), |after| [after, &[0]].concat());
    let table = database.begin_read()?.open_table(EDGES)?;
    let mut edges = Vec::new();
    let mut last = Vec::new();
    for (looked, row) in table.range(from.as_slice()..)?.enumerate() {
        if looked == Reader::ROWS {
            return Ok(Page { edges, next: Some(last) });
        }
        let (key, value) = row?;
        if !key.value().starts_with(&first) {
            break;
        }
        let edge = encode::key_of(key.value()).zip(encode::edge_of(value.value()));
        edges.extend(edge.and_then(|(key, edge)| inside(key, edge, window)));
        key.value().clone_into(&mut last);
    }
    Ok(Page { edges, next: None })
}

/// The edge with the hours that fall into the window, if there are any.
fn inside(key: EdgeKey, mut edge: Edge, window: Option<Window>) -> Option<(EdgeKey, Edge)> {
    if let Some(window) = window {
        let wanted = window.hours();
        edge.hours = edge.hours.iter().filter(|hour| wanted.contains(hour)).collect();
        if edge.hours.is_empty() {
            return None;
        }
    }
    Some((key, edge))
}
