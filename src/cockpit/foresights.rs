//! What the workspace's policies of a row would do to the recorded week, as it was last told: each
//! with what it was made from, and how old that is. Changes nothing and needs no right to write; the
//! server's dry run is asked only where the operator may.

use std::collections::BTreeMap;

use crate::domain::{
    names::Text,
    policy::PolicyDigest,
    predict::{families::Closing, prediction::Prediction},
    time::{Timestamp, age},
};

use super::{
    decide::{self, Reason},
    orders::{OrderId, Origin, PreviewOrder, Target},
    ports::{Document, Trouble},
    world::World,
};

/// What is to be held against the week.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Bytes and row, as a dry run takes them. It is no order: nothing waits for it.
    pub order: PreviewOrder,
    /// Why the server's dry run is not asked.
    pub not_asked: Option<Text>,
}

/// Who told the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The cluster's collector, at that time.
    Collector { at: Timestamp },
    /// The workspace, because no collector answered.
    Document(Document),
}

/// What the API server says of the bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum DryRun {
    /// It would take them.
    Passed,
    Refused(Vec<Trouble>),
    /// It did not answer.
    Failed(Trouble),
    NotAsked(Text),
}

/// What would come of the workspace's policies of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Foretold {
    pub target: Target,
    /// Of the workspace's bytes that it was asked for.
    pub asked: PolicyDigest,
    pub dry_run: DryRun,
    /// Who told what was recorded, or why nobody did.
    pub teller: Result<Teller, Text>,
    /// What the recording has not seen, though it may suffice.
    pub uncovered: Vec<Text>,
    /// Parts of the cluster that could not be read.
    pub unread: Vec<Trouble>,
    /// Pods that change between open and isolated, by family.
    pub closing: Closing,
    /// The error is why the cluster could not be looked at.
    pub told: Result<Box<Prediction>, Text>,
}

/// One row's.
#[derive(Clone, Debug)]
pub struct Foresight {
    pub since: Timestamp,
    /// The last answer, and when it came.
    pub answer: Option<(Foretold, Timestamp)>,
}

impl Foresight {
    pub fn is_waiting(&self) -> bool {
        self.answer.as_ref().is_none_or(|(_, at)| *at < self.since)
    }
}

/// The rows that somebody looked at lately.
#[derive(Clone, Debug, Default)]
pub struct Foresights {
    kept: BTreeMap<Target, Foresight>,
}

impl Foresights {
    /// Rows kept; beyond, the one that was asked for longest ago goes.
    const KEPT: usize = 32;
    /// An answer older than this is made anew while its page is open.
    const FRESH_SECS: i64 = 300;
    /// One that did not come for this long is asked for again.
    const PATIENCE_SECS: i64 = 60;

    pub fn get(&self, target: &Target) -> Option<&Foresight> {
        self.kept.get(target)
    }

    pub(super) fn ask(&mut self, target: Target, now: Timestamp) {
        let answer = self.kept.remove(&target).and_then(|kept| kept.answer);
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.since).map(|(target, _)| target.clone());
        if let Some(oldest) = oldest.filter(|_| self.kept.len() >= Self::KEPT) {
            self.kept.remove(&oldest);
        }
        self.kept.insert(target, Foresight { since: now, answer });
    }

    /// What nobody waits for any more is dropped.
    pub(super) fn answer(&mut self, told: Foretold, now: Timestamp) {
        if let Some(kept) = self.kept.get_mut(&told.target) {
            kept.answer = Some((told, now));
        }
    }
}

/// Digest of the workspace's bytes of a row; `None`: there are none.
pub fn wanted(world: &World, target: &Target) -> Option<PolicyDigest> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let authored = world.files().sets.get(&key).filter(|authored| !authored.set.is_empty())?;
    Some(PolicyDigest::of(authored.set.values()))
}

/// The newest answer for the bytes as they are in the workspace now.
pub fn current<'w>(world: &'w World, target: &Target) -> Option<(&'w Foretold, Timestamp)> {
    let (told, at) = world.discoveries().foresights().get(target)?.answer.as_ref()?;
    (wanted(world, target) == Some(told.asked)).then_some((told, *at))
}

/// Should it be asked for (again), now that somebody looks at it?
pub fn is_due(world: &World, target: &Target) -> bool {
    if !reasons(world, target).is_empty() {
        return false;
    }
    let Some(kept) = world.discoveries().foresights().get(target) else { return true };
    let since = age(kept.since, world.now()).num_seconds();
    match kept.is_waiting() {
        true => since >= Foresights::PATIENCE_SECS,
        false => current(world, target).is_none() || since >= Foresights::FRESH_SECS,
    }
}

/// Every reason why nothing can be foretold of this row. A right to write is none of them.
pub fn reasons(world: &World, target: &Target) -> Vec<Reason> {
    let writes = decide::write_reasons(world, target).into_iter();
    let sees = |reason: &Reason| matches!(reason, Reason::UnknownCluster(_) | Reason::Unreachable { .. });
    writes.filter(sees).chain(decide::file_reasons(world, target)).collect()
}

/// What is asked; `None`: there are no bytes.
pub fn question(world: &World, target: &Target) -> Option<Question> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let authored = world.files().sets.get(&key)?;
    let order = PreviewOrder {
        id: OrderId(0),
        target: target.clone(),
        origin: Origin::Workspace,
        wanted: authored.set.clone(),
        manifests: authored.manifests.clone(),
    };
    Some(Question { order, not_asked: not_asked(world, target) })
}

/// Why the operator may not ask the server for a dry run, which wants the right to write.
fn not_asked(world: &World, target: &Target) -> Option<Text> {
    let rights = |reason: &Reason| matches!(reason, Reason::ReadOnly | Reason::NoRight { .. });
    let mut against = decide::write_reasons(world, target).into_iter().filter(rights);
    if let Some(reason) = against.next() {
        return Some(Text::from(reason.to_string()));
    }
    let cluster = world.cluster(&target.cluster);
    let may = cluster.and_then(|cluster| cluster.rights.within(&target.ns).may_apply());
    may.is_none().then(|| Text::new("whether you may write there is not known"))
}
