//! One cluster as the soak clock sees it: its source, its lists, what its credit rests on, and its
//! rollouts. Takes facts as they come; another digest, cluster, network plugin or DNS mode is a restart.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cockpit::discoveries::Discoveries,
    domain::{
        evidence::{Cause, Evidence, Ground, Pause, Restart},
        fleet::{Cluster, Cni, Enforcement, Namespace, Presence},
        flow::Direction,
        names::{NodeName, NsName, Text},
        resolver::DnsPath,
        soak::Judged,
        spans::{Minute, Spans, touched},
        time::{Timestamp, age, span},
    },
};

use super::{
    live::Live,
    sight::Sight,
    telemetry::{Blots, Telemetry},
};

/// Namespaces that a fact concerned.
#[derive(Clone, Debug, Default)]
pub enum Touched {
    #[default]
    None,
    Some(BTreeSet<NsName>),
    All,
}

impl Touched {
    pub fn add(&mut self, ns: &NsName) {
        match self {
            Self::All => {}
            Self::Some(all) => drop(all.insert(ns.clone())),
            Self::None => *self = Self::Some(BTreeSet::from([ns.clone()])),
        }
    }

    /// Most facts concern none, so all that are known are listed only where they are asked for.
    fn take(&mut self, known: impl FnOnce() -> BTreeSet<NsName>) -> BTreeSet<NsName> {
        match std::mem::take(self) {
            Self::None => BTreeSet::new(),
            Self::Some(all) => all,
            Self::All => known(),
        }
    }
}

/// One rollout: what is live, what came before, and what others observed.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    pub live: Option<Live>,
    /// The set was live and closed until then.
    missing: Option<(Timestamp, Text)>,
    /// When this run last saw that it was not live and closed.
    pub absent: Option<Timestamp>,
    pub restarts: Vec<Restart>,
    /// Evidence of another observer, or of an earlier run of this program.
    pub base: Option<Box<Evidence>>,
    /// Denials of others that ours caused, by group.
    pub caused: BTreeSet<crate::domain::denial::GroupId>,
    pub clean: bool,
    /// The minute for which it was judged last, and what came of it.
    pub judged: Minute,
    pub last: Option<Box<Judged>>,
}

impl Rollout {
    const CAUSED: usize = 200;

    fn restart(&mut self, cause: Cause, why: Text, now: Timestamp) {
        self.restarts.push(Restart { at: now, cause, why });
        let over = self.restarts.len().saturating_sub(Evidence::RESTARTS);
        self.restarts.drain(..over);
        self.clean = false;
        self.judged = 0;
    }

    pub fn note_caused(&mut self, id: crate::domain::denial::GroupId) {
        self.caused.insert(id);
        if self.caused.len() > Self::CAUSED {
            self.caused.pop_first();
        }
    }

    /// The watch shows the set: `closed` with its digest, or not.
    fn see(&mut self, closed: Option<crate::domain::policy::PolicyDigest>, missing: &str, now: Timestamp) {
        if closed.is_none() {
            self.absent = Some(now);
        }
        match (self.live.take(), closed) {
            (None, None) => {}
            (None, Some(digest)) => {
                if let Some((since, what)) = self.missing.take() {
                    let why = format!("{what} for {}", span(age(since, now)));
                    self.restart(Cause::PolicyMissing, Text::from(why), now);
                }
                self.live = Some(Live::new(digest, now, now));
                self.judged = 0;
            }
            (Some(_), None) => {
                self.missing = Some((now, Text::new(missing)));
                self.clean = false;
            }
            (Some(live), Some(digest)) if live.digest == digest => self.live = Some(live),
            (Some(live), Some(digest)) => {
                let why = format!("{} became {}", live.digest.short(), digest.short());
                self.restart(Cause::Digest, Text::from(why), now);
                self.live = Some(live.anew(digest, now));
            }
        }
    }
}

/// One cluster.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub uid: Option<Text>,
    pub ground: Ground,
    pub telemetry: Telemetry,
    pub sight: Sight,
    pub rollouts: BTreeMap<NsName, Box<[Rollout; 2]>>,
    judge: Blots,
    judge_gone: Option<(Timestamp, Text)>,
    /// When the network plugin was last seen to enforce.
    judge_seen: Option<Timestamp>,
    /// Since when this run knows what is live: what it does not know of was not live then.
    known: Option<Timestamp>,
    pub policies: Touched,
    pub pods: Touched,
    /// Something restarted all its rollouts.
    pub restarted: bool,
}

impl Place {
    pub fn rollout(&self, ns: &NsName, direction: Direction) -> Option<&Rollout> {
        self.rollouts.get(ns).map(|both| &both[direction as usize])
    }

    pub fn rollout_mut(&mut self, ns: &NsName, direction: Direction) -> Option<&mut Rollout> {
        self.rollouts.get_mut(ns).map(|both| &mut both[direction as usize])
    }

    pub fn live_mut(&mut self, ns: &NsName, direction: Direction) -> Option<&mut Live> {
        self.rollout_mut(ns, direction)?.live.as_mut()
    }

    fn restart_all(&mut self, cause: Cause, why: &Text, now: Timestamp) {
        self.restarted = true;
        for rollout in self.rollouts.values_mut().flat_map(|both| both.iter_mut()) {
            let Some(live) = rollout.live.take() else { continue };
            let digest = live.digest;
            rollout.restart(cause, why.clone(), now);
            rollout.live = Some(live.anew(digest, now));
        }
    }

    pub fn met(&mut self, uid: Option<&Text>, now: Timestamp) {
        let Some(uid) = uid else { return };
        match self.uid.replace(uid.clone()) {
            Some(old) if old != *uid => {
                let why = Text::from(format!("the cluster with the UID {old} is now {uid}"));
                self.restart_all(Cause::ClusterUid, &why, now);
            }
            Some(_) => {}
            None => self.policies = Touched::All,
        }
    }

    /// Only a network plugin that enforces is a ground; while it is not sure of, the judge is gone.
    pub fn cni(&mut self, cni: &Cni, now: Timestamp) {
        if cni.enforcement != Enforcement::Enforces {
            let from = self.judge_seen.unwrap_or(now);
            self.judge_gone.get_or_insert_with(|| (from, cni.evidence.clone()));
            return;
        }
        self.judge_seen = Some(now);
        if let Some((from, why)) = self.judge_gone.take() {
            self.judge.note(Cause::JudgeGone, touched(from, now), &why);
        }
        let kind = cni.kind.as_str();
        let words = match (&cni.version, &self.ground.cni) {
            (Some(version), _) => Text::from(format!("{kind} {version}")),
            // That its version cannot be read just now does not make it another.
            (None, Some(known)) if known.as_str().starts_with(kind) => known.clone(),
            (None, _) => Text::new(kind),
        };
        let old = self.ground.cni.replace(words.clone());
        let is_finer = |old: &Text| old.as_str() == kind;
        if let Some(old) = old.filter(|old| *old != words && !is_finer(old)) {
            self.restart_all(Cause::Cni, &Text::from(format!("{old} became {words}")), now);
        }
    }

    pub fn dns(&mut self, path: &DnsPath, now: Timestamp) {
        let Some(mode) = path.mode().map(Text::new) else { return };
        let old = self.ground.dns.replace(mode.clone());
        if let Some(old) = old.filter(|old| *old != mode) {
            self.restart_all(Cause::DnsMode, &Text::from(format!("{old} became {mode}")), now);
        }
    }

    /// Minutes in which nothing is known to have judged.
    pub fn judge_pauses(&self, now: Timestamp) -> Vec<Pause> {
        let open = self.judge_gone.as_ref().map(|(from, why)| Pause {
            cause: Cause::JudgeGone,
            spans: Spans::of([touched(*from, now.max(*from))]),
            why: why.clone(),
        });
        self.judge.pauses().chain(open).collect()
    }

    /// Looks again at the namespaces that the last fact concerned; whether there were any.
    pub fn look(&mut self, cluster: &Cluster, discoveries: &Discoveries, now: Timestamp) -> bool {
        let mut looked = false;
        if self.uid.is_some() && self.sight.knows_policies() {
            let (seen, rollouts) = (&cluster.namespaces, &self.rollouts);
            for ns in self.policies.take(|| seen.keys().chain(rollouts.keys()).cloned().collect()) {
                looked = true;
                self.look_at_policies(cluster, &ns, now);
            }
            self.known.get_or_insert(now);
        }
        if self.sight.is_whole() {
            for ns in self.pods.take(|| self.rollouts.keys().cloned().collect()) {
                looked = true;
                self.look_at_pods(cluster, discoveries, &ns, now);
            }
        }
        looked
    }

    fn look_at_policies(&mut self, cluster: &Cluster, ns: &NsName, now: Timestamp) {
        let seen = cluster.namespaces.get(ns);
        for direction in Direction::ALL {
            let presence = seen.map_or(Presence::None, |seen| seen.presence(direction));
            let closed = match (&presence, seen) {
                (Presence::Tight, Some(seen)) => Some(cluster.digest(seen, direction)),
                _ => None,
            };
            if closed.is_none() && !self.rollouts.contains_key(ns) {
                continue;
            }
            let missing = match presence {
                Presence::None => "the set was gone".to_owned(),
                Presence::Partial { missing } => format!("{} was missing", missing.join(", ")),
                Presence::Open => "the valve was open".to_owned(),
                Presence::Tight => String::new(),
            };
            let absent = self.known;
            let rollout = &mut self.rollouts.entry(ns.clone()).or_default()[direction as usize];
            if rollout.live.is_none() {
                rollout.absent = rollout.absent.or(absent);
            }
            rollout.see(closed, &missing, now);
        }
        self.pods.add(ns);
    }

    fn look_at_pods(&mut self, cluster: &Cluster, discoveries: &Discoveries, ns: &NsName, now: Timestamp) {
        if !self.rollouts.get(ns).is_some_and(|both| both.iter().any(|one| one.live.is_some())) {
            return;
        }
        let nodes = match cluster.namespaces.get(ns) {
            None => BTreeMap::new(),
            Some(seen) if is_cron_only(cluster, discoveries, seen) => self.all_nodes(cluster, now),
            Some(seen) => nodes_of(std::iter::once(seen)),
        };
        for rollout in self.rollouts.get_mut(ns).into_iter().flat_map(|both| both.iter_mut()) {
            if let Some(live) = &mut rollout.live {
                live.runs_on(&nodes, now);
            }
        }
    }

    /// Where a job may run: everywhere.
    fn all_nodes(&self, cluster: &Cluster, now: Timestamp) -> BTreeMap<NodeName, Option<Timestamp>> {
        let mut nodes = nodes_of(cluster.namespaces.values());
        nodes.values_mut().for_each(|started| *started = None);
        nodes.extend(self.telemetry.nodes(now).map(|node| (node.clone(), None)));
        nodes
    }

    pub fn forget_before(&mut self, oldest: Minute) {
        self.telemetry.forget_before(oldest);
        self.sight.forget_before(oldest);
        self.judge.forget_before(oldest);
    }
}

/// Nodes that run pods on which policies act, with when the oldest of them started.
fn nodes_of<'a>(all: impl Iterator<Item = &'a Namespace>) -> BTreeMap<NodeName, Option<Timestamp>> {
    let mut out = BTreeMap::new();
    for pod in all.flat_map(Namespace::subjects) {
        let Some(node) = &pod.node else { continue };
        let oldest = out.entry(node.clone()).or_insert(pod.started);
        *oldest = match (*oldest, pod.started) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    out
}

/// Its pods are those of CronJobs only, and it has some: between two runs nothing runs there.
pub fn is_cron_only(cluster: &Cluster, discoveries: &Discoveries, ns: &Namespace) -> bool {
    let mut crons = discoveries.crons(&cluster.name, &ns.seen.name).into_iter().flatten();
    let of_job = |kind: &str| matches!(kind, "CronJob" | "Job");
    crons.next().is_some() && ns.subjects().all(|pod| of_job(pod.workload.kind.as_str()))
}
