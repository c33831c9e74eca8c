//! Incidents: a pinned policy that is missing, renamed, changed or owned by another tool although the
//! team recorded it as applied. Each keeps when it was first seen. Worked out once a batch for the
//! clusters of which something came, never while drawing.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::domain::{
    fleet::{Cluster, Namespace},
    flow::Direction,
    names::{ClusterName, NsName, Text},
    policy::{Pinned, Policy},
    rollout::{Record, Target},
    time::Timestamp,
    valve,
};

use super::{
    ports::Change,
    shared::{Shared, SharedFact},
};

/// What is wrong with a rollout that is meant to be live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    Missing(&'static str),
    /// It is gone, and a policy with the same spec has another name.
    Renamed(&'static str, Text),
    /// The default-deny object lets everything through.
    Opened(&'static str),
    /// The set is not the one that was applied.
    Changed,
    /// A tool took the object over and may undo a rollback.
    Owned(&'static str, Text),
}

/// One incident of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub drift: Drift,
    pub since: Timestamp,
    /// Who wrote the object last, by its managedFields; `None`: they do not say.
    pub writer: Option<Text>,
    /// What keeps the tool from undoing a rollback.
    pub suspend: Option<String>,
}

impl Incident {
    /// What happened.
    pub fn said(&self) -> String {
        let by =
            self.writer.as_ref().map_or_else(String::new, |writer| format!(", last written by {writer}"));
        match &self.drift {
            Drift::Missing(name) => format!("{name} is missing"),
            Drift::Renamed(name, to) => format!("{name} is gone, and {to} has its rules{by}"),
            Drift::Opened(name) => format!("{name} lets everything through{by}"),
            Drift::Changed => format!("the live set is not the one that was applied{by}"),
            Drift::Owned(name, owner) => format!("{name} belongs to {owner}{by}"),
        }
    }

    /// What happened and what to do next, in one sentence.
    pub fn words(&self) -> String {
        let said = self.said();
        match &self.suspend {
            Some(suspend) => format!("{said}; before a rollback: `{suspend}`"),
            None => format!("{said}; apply again, or roll back"),
        }
    }
}

/// The incidents of the fleet.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    open: BTreeMap<Target, Vec<Incident>>,
    touched: BTreeSet<ClusterName>,
    everything: bool,
}

impl Incidents {
    /// Clusters looked at in one batch: of a hundred, the others wait for the next one.
    const AT_ONCE: usize = 16;

    /// Of one row, worst first.
    pub fn of(&self, target: &Target) -> &[Incident] {
        self.open.get(target).map_or(&[], Vec::as_slice)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Incident)> {
        self.open.iter().flat_map(|(target, all)| all.iter().map(move |one| (target, one)))
    }

    /// Of a cluster that left the fleet nothing is known any more.
    pub(super) fn retain(&mut self, clusters: &IndexMap<ClusterName, Cluster>) {
        self.open.retain(|target, _| clusters.contains_key(&target.cluster));
    }

    /// Its policies or namespaces changed, or are complete now.
    pub(super) fn touch(&mut self, cluster: &ClusterName) {
        if !self.touched.contains(cluster) {
            self.touched.insert(cluster.clone());
        }
    }

    /// What the team recorded changed, perhaps.
    pub(super) fn note(&mut self, fact: &SharedFact) {
        match fact {
            SharedFact::Records(Change::Put(kept)) => self.touch(&kept.value.target.cluster),
            SharedFact::Records(Change::Reset(_) | Change::Gone(_)) => self.everything = true,
            _ => {}
        }
    }

    /// Clusters wait to be looked at.
    pub(super) fn has_more(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(super) fn settle(
        &mut self,
        clusters: &IndexMap<ClusterName, Cluster>,
        shared: &Shared,
        is_busy: impl Fn(&Target) -> bool,
        now: Timestamp,
    ) {
        if std::mem::take(&mut self.everything) {
            self.touched.extend(clusters.keys().cloned());
        }
        for _ in 0..Self::AT_ONCE {
            let Some(name) = self.touched.pop_first() else { break };
            let Some(cluster) = clusters.get(&name) else { continue };
            // Of a record that is gone nothing is kept.
            let mut old = self.take(&name);
            for record in shared.records_of(&name).map(|kept| &kept.value) {
                let before = old.remove(&record.target).unwrap_or_default();
                // An order under way is no incident; what cannot be read keeps what was seen.
                let found = if cluster.is_complete() && !is_busy(&record.target) {
                    keep_ages(find(cluster, record), &before, now)
                } else {
                    before
                };
                if !found.is_empty() {
                    self.open.insert(record.target.clone(), found);
                }
            }
        }
    }

    /// What was open of one cluster.
    fn take(&mut self, cluster: &ClusterName) -> BTreeMap<Target, Vec<Incident>> {
        let from = Target { cluster: cluster.clone(), ns: NsName::first(), direction: Direction::Egress };
        let open = self.open.range(from..).take_while(|(target, _)| target.cluster == *cluster);
        let targets: Vec<_> = open.map(|(target, _)| target.clone()).collect();
        targets.into_iter().filter_map(|target| self.open.remove_entry(&target)).collect()
    }
}

fn keep_ages(found: Vec<Incident>, before: &[Incident], now: Timestamp) -> Vec<Incident> {
    found
        .into_iter()
        .map(|incident| {
            let known = before.iter().find(|other| other.drift == incident.drift);
            Incident { since: known.map_or(now, |other| other.since), ..incident }
        })
        .collect()
}

/// Everything that is wrong with a row that was applied and not taken back.
fn find(cluster: &Cluster, record: &Record) -> Vec<Incident> {
    let Some(applied) = record.applied.as_ref().filter(|_| record.rolled_back.is_none()) else {
        return Vec::new();
    };
    // A rebuilt cluster never had it: its row begins anew.
    if cluster.uid.as_ref().is_some_and(|uid| *uid != record.uid) {
        return Vec::new();
    }
    let target = &record.target;
    let Some(ns) = cluster.namespaces.get(&target.ns) else { return Vec::new() };
    let live = valve::live_set(ns, target.direction);
    let mut out: Vec<Incident> = Pinned::of(target.direction)
        .filter(|pinned| pinned.is_required() && !live.contains_key(pinned.name))
        .map(|pinned| gone(ns, record, pinned))
        .collect();
    let valve = Pinned::valve(target.direction);
    if let Some(policy) = live.get(valve.name).filter(|policy| policy.is_open(target.direction)) {
        out.push(incident(Drift::Opened(valve.name), Some(policy)));
    }
    if out.is_empty() && ns.pinned_digest(target.direction) != applied.digest {
        let newest = changed(&live, record).or_else(|| live.values().next());
        out.push(incident(Drift::Changed, newest));
    }
    for (name, policy) in &live {
        if let Some(owner) = &policy.marks.owner {
            out.push(incident(Drift::Owned(name, Text::from(owner.to_string())), Some(policy)));
        }
    }
    out
}

/// The policy that differs from what soaked clean, where that is what was applied.
fn changed<'l>(live: &'l valve::Set, record: &Record) -> Option<&'l Policy> {
    let clean = record.clean.as_ref()?;
    let differs = |name: &&'static str, policy: &Policy| {
        clean.set.get(name).is_none_or(|then| then.canonical != policy.canonical)
    };
    live.iter().find(|(name, policy)| differs(name, policy)).map(|(_, policy)| policy)
}

/// A pinned policy that is not there: was it renamed?
fn gone(ns: &Namespace, record: &Record, pinned: &'static Pinned) -> Incident {
    let then = record.clean.as_ref().and_then(|clean| clean.set.get(pinned.name));
    let twin = then.and_then(|then| {
        let mut foreign = ns.policies.values().filter(|policy| policy.pinned().is_none());
        foreign.find(|policy| policy.key.kind == pinned.kind && policy.canonical == then.canonical)
    });
    match twin {
        Some(twin) => incident(Drift::Renamed(pinned.name, Text::new(twin.key.name.as_str())), Some(twin)),
        None => incident(Drift::Missing(pinned.name), None),
    }
}

fn incident(drift: Drift, policy: Option<&Policy>) -> Incident {
    Incident {
        drift,
        since: Timestamp::UNIX_EPOCH,
        writer: policy.and_then(|policy| policy.marks.managers.first().cloned()),
        suspend: policy.and_then(|policy| policy.marks.owner.as_ref()?.suspend()),
    }
}
