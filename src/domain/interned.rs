//! Names as small numbers: what a million records a second say about a hundred thousand pods is kept
//! once. Looked up by borrowed strings, without a copy. Numbers mean something to their table only.

use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexSet};

use super::time::Timestamp;

/// Two strings as one key: namespace and pod, or namespace and workload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair(CompactString, CompactString);

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.as_str(), self.1.as_str()).hash(state);
    }
}

#[derive(Hash)]
struct PairRef<'a>(&'a str, &'a str);

impl Equivalent<Pair> for PairRef<'_> {
    fn equivalent(&self, key: &Pair) -> bool {
        self.1 == key.1 && self.0 == key.0
    }
}

/// A table of pairs; numbers count up from 0 in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Pairs(IndexSet<Pair, RandomState>);

impl Pairs {
    pub fn find(&self, ns: &str, name: &str) -> Option<u32> {
        self.0.get_index_of(&PairRef(ns, name)).map(|id| id as u32)
    }

    pub fn put(&mut self, ns: &str, name: &str) -> u32 {
        self.find(ns, name).unwrap_or_else(|| self.0.insert_full(Pair(ns.into(), name.into())).0 as u32)
    }

    pub fn get(&self, id: u32) -> (&str, &str) {
        self.0.get_index(id as usize).map_or(("", ""), |pair| (&pair.0, &pair.1))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|pair| (pair.0.as_str(), pair.1.as_str()))
    }
}

/// Milliseconds since 1970; earlier ones are 1970.
pub fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}
