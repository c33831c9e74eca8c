//! The soak clocks of all rollouts: absorbs what the world is told and keeps evidence in minutes, in
//! memory, bounded. Rows are worked out when somebody reads them; nothing is counted anew a tick. What
//! another observer or an earlier run wrote is joined by union. Asks nobody.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use indexmap::IndexMap;

use crate::domain::{
    denial::{Denials, Group, GroupId, Peer},
    evidence::{Evidence, Restart},
    fleet::{Cluster, Part},
    flow::{Direction, Flow},
    names::{ClusterName, NodeName, NsName, Text},
    rollout::Target,
    soak::{Judged, Verdict},
    spans::{Minute, minute_of},
    time::Timestamp,
};

use super::{
    discoveries::Discoveries,
    plan::FleetFile,
    ports::{Change, ClusterFact},
    probing,
    shared::{Shared, SharedFact},
    world::World,
};

mod exercise;
mod live;
mod place;
mod row;
mod sight;
mod telemetry;
mod words;

pub use exercise::Unseen;
pub(super) use row::labels;
pub use row::{CausedRow, SoakRow};

use live::Live;
use place::{Place, Rollout, Touched};
use telemetry::KEPT;

/// What the tracker reads beside itself.
#[derive(Clone, Copy)]
pub struct Around<'w> {
    pub now: Timestamp,
    pub clusters: &'w IndexMap<ClusterName, Cluster>,
    pub plan: &'w FleetFile,
    pub shared: &'w Shared,
    pub discoveries: &'w Discoveries,
}

/// All soak clocks.
#[derive(Clone, Debug)]
pub struct Soaks {
    started: Timestamp,
    places: BTreeMap<ClusterName, Place>,
    /// Whose `clean` was looked at last, in turn.
    turn: Option<(ClusterName, NsName)>,
    /// Namespaces that are still to be looked at in this round.
    left: usize,
    /// Rollouts of which something came.
    again: BTreeSet<Target>,
    /// Something came on which `clean` of many rollouts rests.
    due: bool,
    /// The minute of this round.
    passed: Minute,
    /// Destinations as they were last taken note of.
    weeks: u64,
    /// Waivers or reviews changed.
    people: bool,
    /// When the first thing that people closed is open again, by the API server's clock.
    opens: Option<Timestamp>,
    /// Namespaces of which a rollout was judged to stand otherwise than before.
    turned: BTreeSet<(ClusterName, NsName)>,
    trimmed: Minute,
    expected: Minute,
}

impl Soaks {
    /// Rollouts judged anew at most in one batch.
    const AT_ONCE: usize = 32;
    /// Namespaces looked through at most in one batch for those that are to be judged.
    const LOOKED: usize = 1_000;

    pub fn new(now: Timestamp) -> Self {
        Self {
            started: now,
            places: BTreeMap::new(),
            turn: None,
            left: 0,
            again: BTreeSet::new(),
            due: true,
            passed: 0,
            weeks: 0,
            people: false,
            opens: None,
            turned: BTreeSet::new(),
            trimmed: minute_of(now),
            expected: 0,
        }
    }

    /// Everything that a screen or `-o json` shows; `None` while its set is not live and closed.
    pub fn row(&self, target: &Target, world: &World) -> Option<SoakRow> {
        row::row(self, target, &world.around(), world.denials())
    }

    /// What is known of these bytes by now, ready to be published; `None`: nothing.
    pub fn evidence(&self, target: &Target, world: &World) -> Option<Evidence> {
        row::evidence(self, target, &world.around())
    }

    /// Its evidence judged now; `None` while its set is not live and closed.
    pub fn judged(&self, target: &Target, world: &World) -> Option<Judged> {
        row::judged(self, target, &world.around())
    }

    /// Where its soak stands now.
    pub fn verdict(&self, target: &Target, world: &World) -> Verdict {
        self.judged(target, world).map_or(Verdict::NotStarted, |judged| judged.verdict)
    }

    /// The same as of this minute, where it was judged in it already: for plans over many rows.
    pub fn judged_lately<'s>(&'s self, target: &Target, world: &World) -> Option<Cow<'s, Judged>> {
        let rollout = self.rollout(target)?;
        let last = rollout.last.as_deref().filter(|_| rollout.judged == minute_of(world.now()));
        last.map(Cow::Borrowed).or_else(|| self.judged(target, world).map(Cow::Owned))
    }

    /// As it was judged when its last turn came, a minute or few ago; `None`: it had none yet, or none
    /// since something of it changed.
    pub fn judged_last(&self, target: &Target) -> Option<&Judged> {
        let rollout = self.rollout(target).filter(|rollout| rollout.judged > 0)?;
        rollout.last.as_deref()
    }

    /// What voided its credit last, as far as that is known without judging it anew.
    pub fn restarted(&self, target: &Target) -> Option<&Restart> {
        let place = self.places.get(&target.cluster)?;
        let rollout = place.rollout(&target.ns, target.direction)?;
        let is_same = |base: &&Evidence| place.uid.as_ref().is_none_or(|uid| *uid == base.uid);
        let base = rollout.base.as_deref().filter(is_same).and_then(|base| base.restarts.last());
        let judged = rollout.last.as_ref().and_then(|judged| judged.restart.as_ref());
        rollout.restarts.last().into_iter().chain(judged).chain(base).max_by_key(|restart| restart.at)
    }

    /// Namespaces of which a rollout stands otherwise since this was asked last.
    pub(super) fn take_turned(&mut self) -> BTreeSet<(ClusterName, NsName)> {
        std::mem::take(&mut self.turned)
    }

    /// As of the last minute, without judging anew: for lists of many rows.
    pub fn is_clean(&self, target: &Target) -> bool {
        self.rollout(target).is_some_and(|rollout| rollout.clean)
    }

    /// Rollouts whose set is live and closed.
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        self.places.iter().flat_map(|(cluster, place)| {
            place.rollouts.iter().flat_map(move |(ns, both)| {
                let live =
                    Direction::ALL.into_iter().filter(|direction| both[*direction as usize].live.is_some());
                live.map(move |direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction })
            })
        })
    }

    /// The same of one cluster.
    pub fn targets_of(&self, cluster: &ClusterName) -> impl Iterator<Item = Target> {
        self.places.get(cluster).into_iter().flat_map(|place| place.rollouts.iter()).flat_map(
            move |(ns, both)| {
                let live = Direction::ALL.into_iter().filter(|one| both[*one as usize].live.is_some());
                let of = |direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction };
                live.map(of).collect::<Vec<_>>()
            },
        )
    }

    /// Since when this run has seen the policies that are live; `None` while its set is not live and closed.
    pub fn seen_since(&self, target: &Target) -> Option<Timestamp> {
        self.rollout(target)?.live.as_ref().map(|live| live.began)
    }

    /// The nodes that run its pods now.
    pub fn nodes(&self, target: &Target) -> impl Iterator<Item = &NodeName> {
        self.rollout(target).and_then(|rollout| rollout.live.as_ref()).into_iter().flat_map(Live::nodes_now)
    }

    fn place(&self, cluster: &ClusterName) -> Option<&Place> {
        self.places.get(cluster)
    }

    fn rollout(&self, target: &Target) -> Option<&Rollout> {
        self.places.get(&target.cluster)?.rollout(&target.ns, target.direction)
    }

    /// A fact about a cluster, before the cluster itself has taken it in.
    pub(super) fn hear(&mut self, cluster: &ClusterName, fact: &ClusterFact, now: Timestamp) {
        let place = self.places.entry(cluster.clone()).or_default();
        match fact {
            ClusterFact::Met { uid, kinds, .. } => {
                place.met(uid.as_ref(), now);
                place.sight.met(kinds, now);
                // Of the same cluster it goes on once that is known again; until then nothing counts.
                let unknown = uid.is_none().then(|| Text::new("which cluster this is was not known"));
                place.sight.trouble(Part::Uid, unknown, now);
            }
            ClusterFact::Answered => place.sight.answered(now),
            ClusterFact::Away(trouble) => place.sight.away(&Text::from(trouble.to_string()), now),
            ClusterFact::Partial { what, trouble } => {
                let trouble = trouble.as_ref().map(|trouble| Text::from(trouble.to_string()));
                place.sight.trouble(*what, trouble, now);
            }
            ClusterFact::Cni(cni) => place.cni(cni, now),
            ClusterFact::Dns(path) => place.dns(path, now),
            ClusterFact::Namespaces(change) => {
                place.sight.answered(now);
                touch(&mut place.policies, change, |seen| Some(&seen.name), Some);
            }
            ClusterFact::Policies(kind, change) => {
                list(place, Part::Policies(*kind), matches!(change, Change::Reset(_)), now);
                touch(&mut place.policies, change, |policy| policy.key.ns.as_ref(), |key| key.ns.as_ref());
            }
            ClusterFact::Pods(change) => {
                list(place, Part::Pods, matches!(change, Change::Reset(_)), now);
                touch(&mut place.pods, change, |pod| Some(&pod.ns), |(ns, _)| Some(ns));
            }
            ClusterFact::CronJobs(change) => {
                touch(&mut place.pods, change, |cron| Some(&cron.ns), |(ns, _)| Some(ns));
            }
            ClusterFact::Heard { node, from, until } => place.telemetry.heard(node, (*from, *until), now),
            ClusterFact::Probed { ns, direction, node, at, outcome } => {
                if let Some(rollout) = place.rollout_mut(ns, *direction)
                    && let Some(live) = rollout.live.as_mut()
                {
                    live.probed(node, *at, outcome, now);
                    rollout.judged = 0;
                    self.again.insert(Target {
                        cluster: cluster.clone(),
                        ns: ns.clone(),
                        direction: *direction,
                    });
                }
            }
            ClusterFact::Gap(gap) => place.telemetry.gap(gap, now),
            ClusterFact::Source(state) => place.telemetry.told(state, now),
            ClusterFact::Identity(_)
            | ClusterFact::Rights(_)
            | ClusterFact::Flows(_)
            // What is only staged is neither credit nor a restart.
            | ClusterFact::Staged(_)
            | ClusterFact::Collector(_)
            | ClusterFact::Preflight(_)
            | ClusterFact::Week(_)
            | ClusterFact::Kyverno(_)
            | ClusterFact::Asked(_)
            | ClusterFact::Baseline(_)
            | ClusterFact::Documented(_)
            | ClusterFact::Foreseeing(_)
            | ClusterFact::Foretold(_) => {}
        }
    }

    /// After the cluster has taken the fact in.
    pub(super) fn look(&mut self, cluster: &Cluster, discoveries: &Discoveries, now: Timestamp) {
        if let Some(place) = self.places.get_mut(&cluster.name) {
            let is_anew = std::mem::take(&mut place.restarted);
            self.due |= is_anew | place.look(cluster, discoveries, now);
            if is_anew {
                let all: Vec<_> = self.targets_of(&cluster.name).collect();
                self.again.extend(all);
            }
        }
    }

    /// A judged flow; `in_force`: it shows that our policies judge.
    pub(super) fn flow(&mut self, cluster: &ClusterName, flow: &Flow, in_force: bool, now: Timestamp) {
        let Some(ns) = &flow.judged().ns else { return };
        let live = self.places.get_mut(cluster).and_then(|place| place.live_mut(ns, flow.direction));
        if let Some(live) = live {
            live.flow(flow, in_force, now);
        }
    }

    /// What the team shares, before it is taken in. Our own writing comes back as an echo, and is not
    /// joined with what it was made from: what we take back must stay taken back.
    pub(super) fn stored(&mut self, fact: &SharedFact, shared: &Shared) {
        let SharedFact::Evidence(change) = fact else {
            self.people |= matches!(fact, SharedFact::Waivers(_) | SharedFact::Reviews(_));
            return;
        };
        let is_echo = |evidence: &Evidence| {
            evidence.until >= self.started
                && shared
                    .observer(&evidence.target.cluster)
                    .is_some_and(|observer| observer.is_us && observer.holder == evidence.observer)
        };
        let fresh: Vec<Evidence> = match change {
            Change::Reset(all) => {
                all.iter().map(|kept| &kept.value).filter(|one| !is_echo(one)).cloned().collect()
            }
            Change::Put(kept) if !is_echo(&kept.value) => vec![kept.value.clone()],
            Change::Put(_) | Change::Gone(_) => Vec::new(),
        };
        for evidence in fresh {
            self.again.insert(evidence.target.clone());
            let Target { cluster, ns, direction } = evidence.target.clone();
            let place = self.places.entry(cluster).or_default();
            let rollout = &mut place.rollouts.entry(ns).or_default()[direction as usize];
            rollout.base = Some(Box::new(evidence.normal()));
            rollout.judged = 0;
        }
    }

    /// Brings what lists read up to date, once a batch and a bounded part at a time.
    pub(super) fn settle(&mut self, around: &Around<'_>, denials: &Denials, changed: &BTreeSet<GroupId>) {
        for group in changed.iter().filter_map(|id| denials.group(*id)) {
            self.note_group(group, around.plan);
        }
        self.note_weeks(around);
        let minute = minute_of(around.now);
        if minute - self.trimmed >= 60 {
            self.trimmed = minute;
            self.places.values_mut().for_each(|place| place.forget_before(minute - KEPT));
            self.forget_gone(around);
        }
        self.judge_some(around, minute);
    }

    /// Rollouts of namespaces that are known to be gone. As long as the team keeps evidence of one, what
    /// voided it must be known, in case the namespace comes back.
    fn forget_gone(&mut self, around: &Around<'_>) {
        for (name, place) in &mut self.places {
            let Some(cluster) = around.clusters.get(name) else { continue };
            let is_kept = |ns: &NsName, direction| {
                let target = Target { cluster: name.clone(), ns: ns.clone(), direction };
                around.shared.evidence(&target).is_some()
            };
            place.rollouts.retain(|ns, both| {
                !cluster.knows_gone(ns)
                    || both.iter().any(|rollout| rollout.live.is_some())
                    || Direction::ALL.into_iter().any(|direction| is_kept(ns, direction))
            });
        }
    }

    fn note_group(&mut self, group: &Group, plan: &FleetFile) {
        let key = &group.key;
        if probing::is_meant(plan, group) {
            return;
        }
        let Some(place) = self.places.get_mut(&key.cluster) else { return };
        if let Some(rollout) = place.rollout_mut(&key.ns, key.direction)
            && let Some(live) = rollout.live.as_mut()
        {
            live.note(group);
            rollout.judged = 0;
            self.again.insert(Target {
                cluster: key.cluster.clone(),
                ns: key.ns.clone(),
                direction: key.direction,
            });
        }
        // The row is that of the endpoint that dropped; its peer's row says by whom it was caused.
        if let Peer::Workload { ns, .. } = &key.peer {
            let other = match key.direction {
                Direction::Egress => Direction::Ingress,
                Direction::Ingress => Direction::Egress,
            };
            if let Some(rollout) = place.rollout_mut(ns, other) {
                rollout.note_caused(group.id);
            }
        }
    }

    fn note_weeks(&mut self, around: &Around<'_>) {
        if self.weeks == around.discoveries.revision() {
            return;
        }
        self.weeks = around.discoveries.revision();
        self.due = true;
        for (cluster, place) in &mut self.places {
            for (ns, both) in &mut place.rollouts {
                for direction in Direction::ALL {
                    let rollout = &mut both[direction as usize];
                    let Some(live) = rollout.live.as_mut() else { continue };
                    rollout.judged = 0;
                    let week = around.discoveries.destinations(cluster, ns);
                    live.exercise.know(week.map(|all| (all, direction)));
                    live.exercise.settle(live.began);
                }
            }
        }
    }

    /// Finds out anew which rollouts are clean: those of which something came, then those in turn that
    /// were not judged this minute. Of many, a bounded part is looked through.
    fn judge_some(&mut self, around: &Around<'_>, minute: Minute) {
        let due = self.next_due(minute);
        self.judge_all(due.into_iter(), around, minute);
    }

    fn next_due(&mut self, minute: Minute) -> Vec<Target> {
        if std::mem::take(&mut self.due) || self.passed != minute {
            self.passed = minute;
            self.left = self.places.values().map(|place| place.rollouts.len()).sum();
        }
        let mut due = Vec::new();
        // Under a flood there are always some of which something came: the others get their turn too.
        while due.len() < Self::AT_ONCE / 2
            && let Some(target) = self.again.pop_first()
        {
            due.push(target);
        }
        let mut looked = 0;
        let mut last = None;
        for (cluster, ns, both) in self.behind(self.turn.as_ref()).take(self.left.min(Self::LOOKED)) {
            if due.len() >= Self::AT_ONCE {
                break;
            }
            looked += 1;
            last = Some((cluster.clone(), ns.clone()));
            for direction in Direction::ALL {
                let rollout = &both[direction as usize];
                if rollout.live.is_some() && rollout.judged != minute {
                    due.push(Target { cluster: cluster.clone(), ns: ns.clone(), direction });
                }
            }
        }
        // Where nobody else has a turn in this minute, all of it is theirs.
        while due.len() < Self::AT_ONCE
            && let Some(target) = self.again.pop_first()
        {
            due.push(target);
        }
        self.left -= looked;
        self.turn = last.or(self.turn.take());
        due
    }

    /// Judges those of these rollouts that were not judged in this minute.
    pub(super) fn judge(&mut self, targets: impl Iterator<Item = Target>, around: &Around<'_>) {
        let minute = minute_of(around.now);
        let is_due = |rollout: &Rollout| rollout.live.is_some() && rollout.judged != minute;
        let due: Vec<_> = targets.filter(|target| self.rollout(target).is_some_and(is_due)).collect();
        self.judge_all(due.into_iter(), around, minute);
    }

    fn judge_all(&mut self, due: impl Iterator<Item = Target>, around: &Around<'_>, minute: Minute) {
        for target in due {
            let place = self.places.get_mut(&target.cluster);
            if let Some(live) = place.and_then(|place| place.live_mut(&target.ns, target.direction)) {
                live.exercise.settle(live.began);
                live.exercise.weigh(around.clusters.get(&target.cluster), &target, live.began);
            }
            let judged = row::judged(self, &target, around);
            let place = self.places.get_mut(&target.cluster);
            if let Some(rollout) = place.and_then(|place| place.rollout_mut(&target.ns, target.direction)) {
                let before = rollout.last.as_deref().map(row::stands).unwrap_or_default();
                rollout.clean = judged.as_ref().is_some_and(|judged| judged.verdict.is_clean());
                rollout.last = judged.map(Box::new);
                rollout.judged = minute;
                if before != rollout.last.as_deref().map(row::stands).unwrap_or_default() {
                    self.turned.insert((target.cluster, target.ns));
                }
            }
        }
    }

    /// All namespaces in turn, once around and on: first those behind this one.
    fn behind<'s>(
        &'s self,
        turn: Option<&'s (ClusterName, NsName)>,
    ) -> impl Iterator<Item = (&'s ClusterName, &'s NsName, &'s [Rollout; 2])> + 's {
        let from = turn.map_or(Bound::Unbounded, |(cluster, _)| Bound::Included(cluster));
        let behind = self.places.range::<ClusterName, _>((from, Bound::Unbounded));
        let behind = behind.flat_map(move |(cluster, place)| {
            let here = turn.filter(|(last, _)| last == cluster);
            let from = here.map_or(Bound::Unbounded, |(_, ns)| Bound::Excluded(ns));
            let rollouts = place.rollouts.range::<NsName, _>((from, Bound::Unbounded));
            rollouts.map(move |(ns, both)| (cluster, ns, &**both))
        });
        let all = self
            .places
            .iter()
            .flat_map(|(cluster, place)| place.rollouts.iter().map(move |(ns, both)| (cluster, ns, &**both)));
        behind.chain(all)
    }

    /// Denied groups that people closed, or closed no longer.
    pub(super) fn expect(&mut self, denials: &mut Denials, around: &Around<'_>, changed: &BTreeSet<GroupId>) {
        let minute = minute_of(around.now);
        let someone = around.shared.waivers().len() + around.shared.reviews().len() > 0;
        let now = around.shared.now(around.now);
        let is_over = self.opens.is_some_and(|opens| now.is_some_and(|now| opens <= now));
        let changed_by_people = std::mem::take(&mut self.people) || is_over;
        if changed_by_people || self.expected != minute {
            self.opens = now.and_then(|now| around.shared.next_end(now));
        }
        if changed_by_people {
            let places = self.places.values_mut();
            places
                .flat_map(|place| place.rollouts.values_mut().flat_map(|both| both.iter_mut()))
                .for_each(|one| one.judged = 0);
            self.due = true;
        }
        let all = changed_by_people || (someone && self.expected != minute);
        let has_probes = !around.plan.settings.probes.is_empty();
        if !all && (changed.is_empty() || !(someone || has_probes)) {
            return;
        }
        self.expected = minute;
        let ids = if all { denials.ids() } else { changed.iter().copied().collect() };
        denials.expect(ids.into_iter(), |group| {
            let key = &group.key;
            if probing::is_meant(around.plan, group) {
                return true;
            }
            let target =
                Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
            let cluster = around.clusters.get(&target.cluster);
            row::closings(&target, around)
                .expects(&group.denial_key(), || labels(cluster, &target, key.workload.as_ref()))
        });
    }

    /// Forgets clusters that left the plan.
    pub(super) fn retain(&mut self, clusters: &IndexMap<ClusterName, Cluster>) {
        self.places.retain(|name, _| clusters.contains_key(name));
    }
}

fn list(place: &mut Place, part: Part, is_whole: bool, now: Timestamp) {
    if !is_whole {
        return place.sight.answered(now);
    }
    let was_whole = place.sight.is_whole();
    place.sight.read(part, now);
    if place.sight.is_whole() && !was_whole {
        place.pods = Touched::All;
    }
}

fn touch<'f, T, K>(
    touched: &mut Touched,
    change: &'f Change<T, K>,
    of: impl Fn(&'f T) -> Option<&'f NsName>,
    of_key: impl Fn(&'f K) -> Option<&'f NsName>,
) {
    let ns = match change {
        Change::Reset(_) => None,
        Change::Put(one) => of(one),
        Change::Gone(key) => of_key(key),
    };
    match ns {
        Some(ns) => touched.add(ns),
        None => *touched = Touched::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::PolicyDigest;

    fn target(nth: usize) -> Target {
        Target {
            cluster: ClusterName::parse("east").expect("a name"),
            ns: NsName::parse(&format!("ns-{nth:03}")).expect("a name"),
            direction: Direction::Egress,
        }
    }

    /// Denials come without an end in the first forty; the last one is quiet and only grows older.
    #[test]
    fn a_quiet_rollout_is_judged_also_while_others_are_flooded() {
        let mut soaks = Soaks::new(Timestamp::default());
        let place = soaks.places.entry(target(0).cluster).or_default();
        for nth in 0..=40 {
            let live = Live::new(PolicyDigest::of([]), Timestamp::default(), Timestamp::default());
            let mut both = Box::new([Rollout::default(), Rollout::default()]);
            both[Direction::Egress as usize].live = Some(live);
            place.rollouts.insert(target(nth).ns, both);
        }
        let is_judged = (0..8).any(|_| {
            soaks.again.extend((0..40).map(target));
            soaks.next_due(1).contains(&target(40))
        });
        assert!(is_judged);
    }
}
