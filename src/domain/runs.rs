//! The answers one client got, in 24 bytes each: when, for how long, which address, which name.
//! Repeats of one name are joined to runs in a way that changes no verdict. Knows names as numbers only.

use std::cmp::Ordering;

/// An answer, or a run of them: same client, address, name and chain, each while the one before it
/// was still fresh, and no other name between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Milliseconds since 1970 of the last answer, then its lifetime in the low [`TTL_BITS`].
    last: u64,
    /// Milliseconds from the first answer to the last.
    span: u32,
    pub address: u32,
    /// Name and chain.
    pub told: u32,
    /// Lowest lifetime of all, seconds.
    pub ttl_low_secs: u32,
}

/// 48 days; longer lifetimes count as that.
const TTL_BITS: u32 = 22;
/// How long after its lifetime an answer still counts as fresh, milliseconds.
const GRACE: u64 = 300_000;
/// How far ahead of the flow the answer may be: clocks differ, and reports come late. Milliseconds.
const SKEW: u64 = 5_000;

impl Run {
    /// `None` for a time beyond the year 2109.
    pub fn new(at: u64, address: u32, told: u32, ttl_secs: u32) -> Option<Self> {
        let ttl = ttl_secs.min((1 << TTL_BITS) - 1);
        (at >> (64 - TTL_BITS) == 0).then_some(Self {
            last: at << TTL_BITS | u64::from(ttl),
            span: 0,
            address,
            told,
            ttl_low_secs: ttl,
        })
    }

    /// With the numbers of other tables.
    pub fn renumbered(self, addresses: &[u32], told: &[u32]) -> Self {
        Self { address: addresses[self.address as usize], told: told[self.told as usize], ..self }
    }

    /// Of the last answer, milliseconds since 1970.
    pub fn at(&self) -> u64 {
        self.last >> TTL_BITS
    }

    fn began(&self) -> u64 {
        self.at() - u64::from(self.span)
    }

    /// The last moment that the last answer is fresh.
    fn fresh_until(&self) -> u64 {
        self.at() + (self.last & ((1 << TTL_BITS) - 1)) * 1_000 + GRACE
    }

    /// The two as one, if every moment between them is as the earlier one says. `later` sorts after.
    fn joined(&self, later: &Self) -> Option<Self> {
        let same = self.address == later.address && self.told == later.told;
        let span = u32::try_from(later.at() - self.began().min(later.began()));
        match span {
            Ok(span) if same && later.began() <= self.fresh_until() => Some(Self {
                last: later.last,
                span,
                ttl_low_secs: self.ttl_low_secs.min(later.ttl_low_secs),
                ..*self
            }),
            Ok(_) | Err(_) => None,
        }
    }
}

/// What one run says of an address at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Of the latest answer before the moment; the moment itself inside a run.
    pub at: u64,
    pub told: u32,
    pub fresh: bool,
    pub ttl_low_secs: u32,
}

/// All answers of one client: a sorted part and a short unsorted tail.
///
/// Invariant: `runs[..sorted]` is sorted by [`order`].
#[derive(Clone, Debug, Default)]
pub struct Log {
    runs: Vec<Run>,
    sorted: usize,
}

impl Log {
    /// Entries of one client before repeats are joined while still learning.
    const CROWDED: usize = 1_024;
    /// Age from which repeats are joined while still learning, milliseconds: later ones may still be overtaken.
    const QUIET: u64 = 900_000;

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn push(&mut self, run: Run, ties: impl Fn(u32, u32) -> Ordering) {
        self.runs.push(run);
        if self.runs.len() - self.sorted >= (self.sorted / 32).max(64) {
            self.sort(&ties);
            if self.runs.len() >= Self::CROWDED {
                self.join_old();
            }
        }
    }

    /// Without order: for what is only kept until it is given away.
    pub fn keep(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Other numbers for addresses and names.
    pub fn renumber(&mut self, moved: impl Fn(Run) -> Run, ties: impl Fn(u32, u32) -> Ordering) {
        self.runs.iter_mut().for_each(|run| *run = moved(*run));
        self.sorted = 0;
        self.sort(&ties);
    }

    pub fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    /// Sorts and joins everything.
    pub fn settle(&mut self, ties: impl Fn(u32, u32) -> Ordering) {
        self.sort(&ties);
        self.join_until(u64::MAX);
        self.runs.shrink_to_fit();
    }

    /// Forgets what was last heard before; joins what is old.
    pub fn forget_before(&mut self, at: u64, ties: impl Fn(u32, u32) -> Ordering) {
        self.sort(&ties);
        self.runs.retain(|run| run.at() >= at);
        self.sorted = self.runs.len();
        self.join_old();
        if self.runs.capacity() > self.runs.len() * 2 {
            self.runs.shrink_to_fit();
        }
    }

    /// What was heard of the address up to a moment, not in order of time, a name perhaps repeatedly.
    pub fn heard(&self, address: u32, at: u64) -> impl Iterator<Item = Heard> + '_ {
        let reach = at.saturating_add(SKEW);
        let (sorted, tail) = self.runs.split_at(self.sorted);
        let from = sorted.partition_point(|run| run.address < address);
        sorted[from..]
            .iter()
            .take_while(move |run| run.address == address)
            .chain(tail.iter().filter(move |run| run.address == address))
            .filter(move |run| run.began() <= reach)
            .map(move |run| Heard {
                at: run.at().min(reach),
                told: run.told,
                fresh: run.at() > reach || at <= run.fresh_until(),
                ttl_low_secs: run.ttl_low_secs,
            })
    }

    fn sort(&mut self, ties: &impl Fn(u32, u32) -> Ordering) {
        if self.sorted < self.runs.len() {
            self.runs.sort_by(|a, b| order(a, b, ties));
            self.sorted = self.runs.len();
        }
    }

    fn join_old(&mut self) {
        let newest = self.runs.iter().map(Run::at).max().unwrap_or(0);
        self.join_until(newest.saturating_sub(Self::QUIET));
    }

    /// Joins neighbours last heard up to a moment. Needs a sorted log. One that came at the same
    /// moment as another name stays alone: its run would win over that name.
    fn join_until(&mut self, until: u64) {
        let mut alone = false;
        self.runs.dedup_by(|later, run| {
            let joined = run.joined(later).filter(|joined| !alone && joined.at() <= until);
            if let Some(joined) = joined {
                *run = joined;
                return true;
            }
            let is_same_moment = (run.address, run.at()) == (later.address, later.at());
            alone = is_same_moment && (alone || run.told != later.told);
            false
        });
        self.sorted = self.runs.len();
    }
}

/// By address, then time; what came at the same moment by its name, so that no order of learning shows.
fn order(a: &Run, b: &Run, ties: impl Fn(u32, u32) -> Ordering) -> Ordering {
    (a.address, a.at()).cmp(&(b.address, b.at())).then_with(|| {
        let told = if a.told == b.told { Ordering::Equal } else { ties(a.told, b.told) };
        told.then_with(|| (a.last, a.span).cmp(&(b.last, b.span)))
    })
}
