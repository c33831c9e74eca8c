//! Publishes the evidence of the clusters whose Lease this process holds: at most one write a minute
//! a rollout, and one more at each stop of its clock. What was written last is joined, never lost;
//! what was not written before a crash is a gap. In runtime time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    cockpit::{
        ports::Link,
        records,
        shared::{Share, ShareId},
        world::World,
    },
    domain::{
        evidence::Evidence,
        fleet::{Cluster, Health},
        names::ClusterName,
        rollout::{Kept, Target},
    },
};

/// Between two writes of one rollout.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks at whether a clock has stopped.
const LOOK: Duration = Duration::from_secs(5);
/// Rollouts looked at in one batch.
const AT_ONCE: usize = 128;
/// An answer that does not come is not waited for longer.
const ANSWER: Duration = Duration::from_secs(30);
/// A record of another's cluster that was not taken is tried again after this: who may not write it today
/// may not a moment later either.
const AGAIN: Duration = Duration::from_secs(600);
/// Ids of our writes; a person's count from 1.
const FIRST: u64 = 1 << 62;

/// What is observed: given by whoever keeps the soak clocks.
#[derive(Clone, Copy)]
pub struct Soaks {
    /// Rollouts of a cluster that soak, or that are watched after it.
    pub targets: fn(&World, &ClusterName) -> Vec<Target>,
    pub evidence: fn(&World, &Target) -> Option<Evidence>,
}

pub(super) struct Observer {
    soaks: Soaks,
    looked: Option<Instant>,
    /// What is left of this round.
    clusters: VecDeque<ClusterName>,
    targets: VecDeque<Target>,
    last: BTreeMap<Target, Last>,
    /// Written for the last time, because the program ends.
    ended: BTreeSet<Target>,
    /// Records written lately, whose answer is awaited.
    recorded: BTreeMap<Target, Last>,
    /// The same of evidence that was deleted.
    forgotten: BTreeMap<Target, Last>,
    next: u64,
}

/// The newest write of one rollout.
struct Last {
    at: Instant,
    stops: usize,
    id: ShareId,
}

impl Observer {
    pub(super) fn new(soaks: Soaks) -> Self {
        Self {
            soaks,
            looked: None,
            clusters: VecDeque::new(),
            targets: VecDeque::new(),
            last: BTreeMap::new(),
            ended: BTreeSet::new(),
            recorded: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            next: FIRST,
        }
    }

    /// Clusters whose telemetry reaches us: a Lease without it would keep others from watching. Where
    /// there is none to be had, whoever sees the cluster may observe it: what is live and what probes
    /// show is recorded all the same.
    pub(super) fn wanted(world: &World) -> BTreeSet<ClusterName> {
        // Evidence is of a cluster, by its UID.
        let known = world.clusters().filter(|cluster| cluster.uid.is_some());
        let wants = |cluster: &&Cluster| {
            let source = world.source(&cluster.name);
            let has_none = source
                .and_then(|source| source.state.as_ref())
                .is_some_and(|s| matches!(s.link, Link::None(_)));
            let is_seen = cluster.is_complete() && !matches!(cluster.health, Health::Down(_));
            source.is_some_and(|source| source.is_live()) || (has_none && is_seen)
        };
        known.filter(wants).map(|cluster| cluster.name.clone()).collect()
    }

    /// What has to be written now. `last`: the program ends, so everything new is.
    pub(super) fn due(&mut self, world: &World, now: Instant, last: bool) -> Vec<(ShareId, Share)> {
        let mut out = Vec::new();
        if last {
            self.clusters.clear();
            self.targets.clear();
        }
        if !world.shared().is_live() {
            self.clusters.clear();
            self.targets.clear();
            return Vec::new();
        }
        if self.clusters.is_empty() && self.targets.is_empty() {
            if !last && self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
                return out;
            }
            self.looked = Some(now);
            out.extend(self.begin(world, now));
        }
        // Of many rollouts some at a time: keys do not wait for them.
        let mut room = if last { usize::MAX } else { AT_ONCE };
        while room > 0 {
            if let Some(target) = self.targets.pop_front() {
                room -= 1;
                out.extend(self.write(world, target, now, last));
            } else if let Some(cluster) = self.clusters.pop_front() {
                room = room.saturating_sub(AT_ONCE / 4);
                out.extend(self.turn_to(world, &cluster, now));
            } else {
                break;
            }
        }
        out
    }

    /// A new round over the clusters whose Lease is ours.
    fn begin(&mut self, world: &World, now: Instant) -> Vec<(ShareId, Share)> {
        let is_ours =
            |name: &ClusterName| world.shared().observer(name).is_some_and(|observer| observer.is_us);
        let names = world.clusters().map(|cluster| &cluster.name);
        self.clusters = names.filter(|name| is_ours(name)).cloned().collect();
        self.last.retain(|target, _| is_ours(&target.cluster));
        if !world.plan().is_whole() {
            return Vec::new();
        }
        // A watch of one cluster records rows without their wave.
        let mut unplaced = records::unplaced(world, wave(world));
        unplaced.retain(|share| {
            let Share::Record { record, .. } = share else { return true };
            let last = self.recorded.get(&record.target);
            last.is_none_or(|last| now.duration_since(last.at) >= AGAIN)
        });
        // The next round takes the rest: those just written are not tried again so soon.
        unplaced.truncate(AT_ONCE);
        self.record(world, unplaced, now)
    }

    fn turn_to(&mut self, world: &World, cluster: &ClusterName, now: Instant) -> Vec<(ShareId, Share)> {
        self.targets = (self.soaks.targets)(world, cluster).into();
        let there: BTreeSet<&Target> = self.targets.iter().collect();
        self.last.retain(|target, _| target.cluster != *cluster || there.contains(target));
        let mut out = self.records(world, cluster, now);
        out.extend(self.forget(world, cluster, now));
        out
    }

    /// Records of a cluster's rows that do not say what its watch shows.
    fn records(&mut self, world: &World, cluster: &ClusterName, now: Instant) -> Vec<(ShareId, Share)> {
        let Some(cluster) = world.cluster(cluster) else { return Vec::new() };
        self.record(world, records::due(world, cluster, wave(world)), now)
    }

    fn record(&mut self, world: &World, shares: Vec<Share>, now: Instant) -> Vec<(ShareId, Share)> {
        let mut out = Vec::new();
        for share in shares {
            let Share::Record { record, .. } = &share else { continue };
            if self.recorded.get(&record.target).is_some_and(|last| is_under_way(world, last, now)) {
                continue;
            }
            let id = ShareId(self.next);
            self.next += 1;
            self.recorded.insert(record.target.clone(), Last { at: now, stops: 0, id });
            out.push((id, share));
        }
        out
    }

    /// Evidence of namespaces that are gone, once all its credit has lapsed: it can count for nothing.
    fn forget(&mut self, world: &World, cluster: &ClusterName, now: Instant) -> Vec<(ShareId, Share)> {
        let shared = world.shared();
        let (Some(cluster), Some(time)) = (world.cluster(cluster), shared.now(world.now())) else {
            return Vec::new();
        };
        let lapses = world.plan().settings.soak.lapses;
        let is_over = |kept: &&Kept<Evidence>| {
            let Evidence { target, uid, until, .. } = &kept.value;
            target.cluster == cluster.name
                && cluster.uid.as_ref() == Some(uid)
                && cluster.knows_gone(&target.ns)
                && time - *until > lapses
        };
        let mut out = Vec::new();
        for kept in shared.all_evidence().filter(is_over) {
            let target = &kept.value.target;
            if self.forgotten.get(target).is_some_and(|last| is_under_way(world, last, now)) {
                continue;
            }
            let id = ShareId(self.next);
            self.next += 1;
            self.forgotten.insert(target.clone(), Last { at: now, stops: 0, id });
            out.push((id, Share::Forget { evidence: kept.name.clone(), version: kept.version.clone() }));
        }
        self.forgotten.retain(|_, last| now.duration_since(last.at) < ANSWER);
        out
    }

    fn write(&mut self, world: &World, target: Target, now: Instant, last: bool) -> Option<(ShareId, Share)> {
        if self.last.get(&target).is_some_and(|written| is_under_way(world, written, now)) {
            return None;
        }
        let mut evidence = (self.soaks.evidence)(world, &target)?;
        let stops = stops(&evidence);
        let due = self
            .last
            .get(&target)
            .is_none_or(|written| last || stops > written.stops || now.duration_since(written.at) >= EVERY);
        if !due {
            return None;
        }
        if last && !self.ended.insert(target.clone()) {
            return None;
        }
        if let Some(observer) = world.shared().observer(&target.cluster) {
            evidence.observer = observer.holder.clone();
        }
        let stored = world.shared().evidence(&target);
        if let Some(stored) = stored {
            // Of other bytes or of another cluster nothing is taken.
            evidence = evidence.union(&stored.value).unwrap_or(evidence);
            if evidence == stored.value {
                return None;
            }
        }
        let id = ShareId(self.next);
        self.next += 1;
        let version = stored.map(|stored| stored.version.clone());
        self.last.insert(target, Last { at: now, stops, id });
        Some((id, Share::Evidence { evidence: Box::new(evidence), version }))
    }

    /// Is an answer still awaited?
    pub(super) fn is_writing(&self, world: &World, now: Instant) -> bool {
        self.last.values().any(|written| is_under_way(world, written, now))
    }
}

/// In which wave a row of the plan is. A part of the fleet says nothing of its waves.
fn wave(world: &World) -> impl Fn(&Target) -> Option<u32> {
    move |target| {
        let plan = world.plan().is_whole().then(|| world.waves().plan(target.direction))?;
        plan.row(target).map(|(wave, _)| wave.number)
    }
}

fn is_under_way(world: &World, written: &Last, now: Instant) -> bool {
    let answered = world.shared().wrote().iter().rev().any(|it| it.id == written.id);
    !answered && now.duration_since(written.at) < ANSWER
}

/// How often the clock has stopped, as far as the evidence tells.
fn stops(evidence: &Evidence) -> usize {
    let pauses: usize = evidence.pauses.iter().map(|pause| pause.spans.stretches()).sum();
    pauses + evidence.restarts.len()
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone as _, Utc};

    use super::*;
    use crate::{
        cockpit::{
            plan::{ClusterEntry, FleetFile},
            ports::{Change, ClusterFact, Fact, Trouble},
            shared::{Observer as Holder, SharedFact},
        },
        domain::{
            evidence::{Exercised, Ground, Verdicts},
            fleet::{Environment, NamespaceSeen, Part},
            flow::Direction,
            names::{NsName, Text},
            policy::{Labels, PolicyDigest, PolicyKind},
            rollout::{Applied, Record, Stamp},
            spans::Spans,
            time::Timestamp,
        },
    };

    const NOBODY: Soaks = Soaks { targets: |_, _| Vec::new(), evidence: |_, _| None };

    fn now() -> Timestamp {
        Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).single().expect("a time")
    }

    fn east() -> ClusterName {
        ClusterName::parse("east").expect("a name")
    }

    fn kept(ns: &str, uid: &str, days_old: i64) -> Kept<Evidence> {
        let until = now() - TimeDelta::days(days_old);
        let value = Evidence {
            target: Target {
                cluster: east(),
                ns: NsName::parse(ns).expect("a name"),
                direction: Direction::Egress,
            },
            uid: Text::new(uid),
            digest: PolicyDigest::of([]),
            ground: Ground::default(),
            since: until,
            until,
            observer: Text::new("watch"),
            looked: Spans::default(),
            nodes: BTreeMap::new(),
            pauses: Vec::new(),
            restarts: Vec::new(),
            verdicts: Verdicts::default(),
            groups: Vec::new(),
            more_groups: 0,
            jobs: BTreeMap::new(),
            exercised: Exercised::default(),
        };
        Kept { name: Text::from(format!("east.{ns}.egress")), version: Text::new("7"), created: until, value }
    }

    fn world() -> World {
        let mut world = World::new(now());
        let entry = ClusterEntry {
            name: east(),
            context: Text::new("east"),
            environment: Environment::Staging,
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let seen = NamespaceSeen {
            name: NsName::parse("shop").expect("a name"),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        let met = ClusterFact::Met { uid: Some("uid-1".into()), version: "1".into(), kinds: Vec::new() };
        let holder = Holder { holder: "watch".into(), renewed: now(), is_us: true };
        let evidence = vec![
            kept("gone", "uid-1", 15),
            kept("gone-lately", "uid-1", 13),
            kept("gone-elsewhere", "uid-2", 15),
            kept("shop", "uid-1", 15),
        ];
        for fact in [
            Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }),
            Fact::Cluster(east(), met),
            Fact::Cluster(east(), ClusterFact::Namespaces(Change::Reset(vec![seen]))),
            Fact::Shared(SharedFact::Link(Link::Live)),
            Fact::Shared(SharedFact::Clock(now())),
            Fact::Shared(SharedFact::Observer(east(), Some(holder))),
            Fact::Shared(SharedFact::Evidence(Change::Reset(evidence))),
        ] {
            world.absorb(fact);
        }
        world
    }

    fn forgotten(world: &World) -> Vec<Share> {
        let due = Observer::new(NOBODY).due(world, Instant::now(), false);
        due.into_iter().map(|(_, share)| share).collect()
    }

    /// Law 3's other side: what may still count, or of which nobody knows whether it is gone, stays.
    #[tokio::test(start_paused = true)]
    async fn only_lapsed_evidence_of_namespaces_that_are_known_to_be_gone_is_forgotten() {
        let world = world();
        let gone = Share::Forget { evidence: "east.gone.egress".into(), version: "7".into() };
        assert_eq!(forgotten(&world), [gone]);
        let trouble = || Trouble::new("east", "no answer", "Wait.");
        let doubts = [
            ClusterFact::Away(trouble()),
            ClusterFact::Partial { what: Part::Namespaces, trouble: Some(trouble()) },
            ClusterFact::Met { uid: Some("uid-3".into()), version: "1".into(), kinds: Vec::new() },
        ];
        for doubt in doubts {
            let mut unsure = world.clone();
            unsure.absorb(Fact::Cluster(east(), doubt.clone()));
            assert_eq!(forgotten(&unsure), [], "{doubt:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_under_way_is_not_sent_again() {
        let world = world();
        let mut observer = Observer::new(NOBODY);
        assert_eq!(observer.due(&world, Instant::now(), true).len(), 1);
        assert_eq!(observer.due(&world, Instant::now(), true).len(), 0);
    }

    /// A row that a watch of one cluster recorded, so without its wave; the Lease is that watch's.
    #[tokio::test(start_paused = true)]
    async fn who_may_not_write_a_record_does_not_try_each_moment() {
        let mut world = world();
        let target = kept("shop", "uid-1", 0).value.target;
        let applied = Applied { digest: PolicyDigest::of([]), stamp: Stamp { by: "lead".into(), at: now() } };
        let record = Record {
            target,
            uid: "uid-1".into(),
            wave: None,
            applied: Some(applied),
            clean: None,
            rolled_back: None,
            overridden: false,
        };
        let record =
            Kept { name: "east.shop.egress".into(), version: "3".into(), created: now(), value: record };
        let holder = Holder { holder: "watch".into(), renewed: now(), is_us: false };
        for fact in [
            Fact::Cluster(
                east(),
                ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())),
            ),
            Fact::Cluster(east(), ClusterFact::Pods(Change::Reset(Vec::new()))),
            Fact::Shared(SharedFact::Observer(east(), Some(holder))),
            Fact::Shared(SharedFact::Records(Change::Put(record))),
        ] {
            world.absorb(fact);
        }
        world.settle();
        let mut observer = Observer::new(NOBODY);
        let begun = Instant::now();
        let mut sent = Vec::new();
        for secs in (0..=660).step_by(6) {
            for (id, _) in observer.due(&world, begun + Duration::from_secs(secs), false) {
                sent.push(secs);
                let result = Err(Trouble::new("rollouts", "refused with HTTP 403", "Ask the admin."));
                world.absorb(Fact::Shared(SharedFact::Wrote { id, what: "record".into(), result }));
            }
        }
        assert_eq!(sent, [0, 600]);
    }
}
