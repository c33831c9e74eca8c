//! Denied flows, grouped by who was denied what, classed, counted by the minute, and bounded.
//!
//! *Hurting* is the default, also for a single attempt. *Noisy* only by a named rule. *Start-up*
//! only if the same pod later reached that destination or became ready. Nothing is forgotten in
//! silence: what no longer fits is counted.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

use chrono::TimeDelta;

use super::{
    flow::{Direction, End, Entity, Flow, Protocol, Verdict},
    names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
    time::Timestamp,
};

/// The other side of a denied flow, as precisely as the source can say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    Workload { ns: NsName, workload: Workload },
    Name(Text),
    Address(IpAddr),
    Entity(Entity),
    Unknown,
}

impl Peer {
    /// Pod before name before address before entity: an address of `world` says more than `world`.
    pub fn of(end: &End) -> Self {
        if let (Some(ns), Some(workload)) = (&end.ns, &end.workload) {
            return Self::Workload { ns: ns.clone(), workload: workload.clone() };
        }
        if let Some(name) = end.names.first() {
            return Self::Name(name.clone());
        }
        match (end.entity, end.address) {
            (Some(entity), _) if entity != Entity::World => Self::Entity(entity),
            (_, Some(address)) => Self::Address(address),
            (Some(entity), None) => Self::Entity(entity),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload { ns, workload } => write!(f, "{ns}/{workload}"),
            Self::Name(name) => write!(f, "{}", name.as_str().trim_end_matches('.')),
            Self::Address(address) => write!(f, "{address}"),
            Self::Entity(entity) => f.write_str(entity.as_str()),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What makes denials one group. The row is that of the endpoint that dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    pub cluster: ClusterName,
    pub ns: NsName,
    /// `None` where the source names no workload and no pod.
    pub workload: Option<Workload>,
    pub direction: Direction,
    pub peer: Peer,
    pub port: u16,
    pub protocol: Protocol,
}

/// A group's place for as long as it lives: a selection holds it and survives sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// The named rules by which a denial is noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noise {
    Icmp,
    /// Tail of a connection that is over.
    Closing,
    /// The same pod reached the same destination within the minute: a retry beside an allowed twin.
    AllowedTwin,
}

impl Noise {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Closing => "closing",
            Self::AllowedTwin => "allowed twin",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Hurting,
    StartUp,
    Noisy(Noise),
}

impl Class {
    pub fn word(self) -> &'static str {
        match self {
            Self::Hurting => "hurting",
            Self::StartUp => "start-up",
            Self::Noisy(_) => "noisy",
        }
    }
}

/// Counts of the last [`Minutes::LEN`] minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minutes {
    counts: [u32; Self::LEN],
    /// Minute of the newest slot, since the epoch.
    newest: i64,
}

impl Default for Minutes {
    fn default() -> Self {
        Self { counts: [0; Self::LEN], newest: i64::MIN }
    }
}

impl Minutes {
    pub const LEN: usize = 30;

    pub fn add(&mut self, at: Timestamp) {
        let minute = at.timestamp().div_euclid(60);
        if minute > self.newest {
            let passed = minute.saturating_sub(self.newest);
            for step in 1..=passed.min(Self::LEN as i64) {
                self.counts[Self::slot(minute - passed.min(Self::LEN as i64) + step)] = 0;
            }
            self.newest = minute;
        }
        if self.newest - minute < Self::LEN as i64 {
            let slot = &mut self.counts[Self::slot(minute)];
            *slot = slot.saturating_add(1);
        }
    }

    /// Oldest first, ending with the minute of `now`.
    pub fn at(&self, now: Timestamp) -> [u32; Self::LEN] {
        let last = now.timestamp().div_euclid(60);
        let mut out = [0; Self::LEN];
        for (i, slot) in out.iter_mut().enumerate() {
            let minute = last - (Self::LEN - 1 - i) as i64;
            if minute <= self.newest && self.newest.saturating_sub(minute) < Self::LEN as i64 {
                *slot = self.counts[Self::slot(minute)];
            }
        }
        out
    }

    /// Denials a minute: the mean of the last full minute and the running one, by elapsed time.
    pub fn per_minute(&self, now: Timestamp) -> f64 {
        let counts = self.at(now);
        let running = now.timestamp().rem_euclid(60) as f64;
        let sum = f64::from(counts[Self::LEN - 1]) + f64::from(counts[Self::LEN - 2]);
        sum * 60.0 / (60.0 + running)
    }

    fn slot(minute: i64) -> usize {
        minute.rem_euclid(Self::LEN as i64) as usize
    }
}

/// Denials of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: GroupId,
    pub key: GroupKey,
    pub class: Class,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub minutes: Minutes,
    /// The data plane's own word, such as `POLICY_DENIED`.
    pub said: Text,
    pub node: Option<NodeName>,
    /// Address of the peer in the newest denial.
    pub address: Option<IpAddr>,
    /// Pods denied, at most [`Group::PODS`]; the newest attempt of each.
    pub pods: BTreeMap<PodName, Timestamp>,
    pub more_pods: bool,
    /// Enough noise marks: all denials so far fell under this rule.
    noise: Option<Noise>,
    /// Pods that were denied soon after they started and have not recovered yet.
    waiting: BTreeMap<PodName, Timestamp>,
    /// At least one denial was not within a pod's start.
    beyond_start: bool,
}

impl Group {
    pub const PODS: usize = 8;

    fn classify(&self) -> Class {
        if let Some(noise) = self.noise {
            return Class::Noisy(noise);
        }
        if !self.beyond_start && self.waiting.is_empty() { Class::StartUp } else { Class::Hurting }
    }
}

/// One denied attempt, for the live list.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Counted from 1 since the start of this run, so that a reader knows what it has not seen.
    pub number: u64,
    pub at: Timestamp,
    pub group: GroupId,
    pub pod: Option<PodName>,
    pub address: Option<IpAddr>,
}

/// What is known of the judged pod when a denial arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct PodAge {
    pub started: Option<Timestamp>,
    pub ready: Option<Timestamp>,
}

/// All denials of this run.
#[derive(Clone, Debug, Default)]
pub struct Denials {
    groups: HashMap<GroupId, Group>,
    ids: HashMap<GroupKey, GroupId>,
    /// Hurting first, then newest; kept by [`Denials::settle`].
    sorted: Vec<GroupId>,
    live: VecDeque<Denial>,
    rows: HashMap<(ClusterName, NsName, Direction), Minutes>,
    next: u32,
    total: u64,
    /// Denials whose group was dropped because there were too many.
    forgotten: u64,
    dirty: bool,
}

impl Denials {
    /// Groups kept; beyond, the one that was quiet longest goes and is counted.
    pub const GROUPS: usize = 5_000;
    /// Attempts kept in the live list.
    pub const LIVE: usize = 2_000;
    /// A denial this soon after a pod's start may be start-up noise.
    pub const START: TimeDelta = TimeDelta::seconds(60);

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// Sorted: hurting first, then the newest.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.sorted.iter().map(|id| &self.groups[id])
    }

    /// Newest last.
    pub fn live(&self) -> &VecDeque<Denial> {
        &self.live
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Counts by the minute of one row; `None`: nothing was denied there.
    pub fn minutes(&self, cluster: &ClusterName, ns: &NsName, direction: Direction) -> Option<&Minutes> {
        self.rows.get(&(cluster.clone(), ns.clone(), direction))
    }

    /// Takes a denied flow. Other verdicts are ignored here.
    pub fn note(&mut self, cluster: &ClusterName, flow: &Flow, pod: PodAge) {
        let Verdict::Denied { said, .. } = &flow.verdict else { return };
        let Some(ns) = flow.judged().ns.clone() else { return };
        self.total += 1;
        let row = (cluster.clone(), ns.clone(), flow.direction);
        self.rows.entry(row).or_default().add(flow.at);
        let key = GroupKey {
            cluster: cluster.clone(),
            ns,
            workload: workload_of(flow.judged()),
            direction: flow.direction,
            peer: Peer::of(flow.peer()),
            port: if flow.protocol == Protocol::Icmp { 0 } else { flow.port },
            protocol: flow.protocol,
        };
        let id = self.ids.get(&key).copied().unwrap_or_else(|| self.open(key, flow, said));
        if let Some(group) = self.groups.get_mut(&id) {
            add(group, flow, pod);
        }
        if self.live.len() == Self::LIVE {
            self.live.pop_front();
        }
        let (pod, address) = (flow.judged().pod.clone(), flow.peer().address);
        self.live.push_back(Denial { number: self.total, at: flow.at, group: id, pod, address });
        self.dirty = true;
    }

    /// An allowed flow: the same pod reached the same destination, so its start-up denials are over.
    pub fn reached(&mut self, cluster: &ClusterName, flow: &Flow) {
        let (Some(ns), Some(pod)) = (flow.judged().ns.clone(), flow.judged().pod.as_ref()) else { return };
        if self.ids.is_empty() {
            return;
        }
        let key = GroupKey {
            cluster: cluster.clone(),
            ns,
            workload: workload_of(flow.judged()),
            direction: flow.direction,
            peer: Peer::of(flow.peer()),
            port: flow.port,
            protocol: flow.protocol,
        };
        let Some(group) = self.ids.get(&key).and_then(|id| self.groups.get_mut(id)) else { return };
        group.waiting.remove(pod);
        let twin =
            group.pods.get(pod).is_some_and(|denied| (flow.at - *denied).abs() <= TimeDelta::seconds(60));
        if twin && group.noise.is_none() && group.count == 1 {
            group.noise = Some(Noise::AllowedTwin);
        }
        self.reclass(&key);
    }

    /// A pod became ready: its start-up denials hurt nobody.
    pub fn ready(&mut self, cluster: &ClusterName, ns: &NsName, pod: &PodName, since: Timestamp) {
        let mut changed = false;
        for group in self.groups.values_mut() {
            if group.key.cluster == *cluster
                && group.key.ns == *ns
                && group.waiting.get(pod).is_some_and(|denied| *denied <= since)
            {
                group.waiting.remove(pod);
                group.class = group.classify();
                changed = true;
            }
        }
        self.dirty |= changed;
    }

    /// Sorts what changed since the last time. Called once a batch, so that views need not.
    pub fn settle(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let groups = &self.groups;
        self.sorted.sort_by_cached_key(|id| {
            let group = &groups[id];
            (group.class, std::cmp::Reverse(group.last), *id)
        });
    }

    fn reclass(&mut self, key: &GroupKey) {
        if let Some(group) = self.ids.get(key).and_then(|id| self.groups.get_mut(id)) {
            let class = group.classify();
            self.dirty |= class != group.class;
            group.class = class;
        }
    }

    fn open(&mut self, key: GroupKey, flow: &Flow, said: &Text) -> GroupId {
        if self.groups.len() >= Self::GROUPS {
            self.forget_quietest();
        }
        self.next = self.next.wrapping_add(1);
        let id = GroupId(self.next);
        let group = Group {
            id,
            key: key.clone(),
            class: Class::Hurting,
            count: 0,
            first: flow.at,
            last: flow.at,
            minutes: Minutes::default(),
            said: said.clone(),
            node: flow.node.clone(),
            address: None,
            pods: BTreeMap::new(),
            more_pods: false,
            noise: noise_of(flow),
            waiting: BTreeMap::new(),
            beyond_start: false,
        };
        self.groups.insert(id, group);
        self.ids.insert(key, id);
        self.sorted.push(id);
        id
    }

    /// Drops a tenth of the groups, the longest quiet first, so that a flood of new ones costs one
    /// pass for many.
    fn forget_quietest(&mut self) {
        let mut by_age: Vec<_> = self.groups.values().map(|group| (group.last, group.id)).collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(Self::GROUPS / 10) {
            if let Some(group) = self.groups.remove(&id) {
                self.forgotten += group.count;
                self.ids.remove(&group.key);
            }
        }
        let groups = &self.groups;
        self.sorted.retain(|id| groups.contains_key(id));
        self.live.retain(|denial| groups.contains_key(&denial.group));
    }
}

fn workload_of(end: &End) -> Option<Workload> {
    end.workload.clone().or_else(|| end.pod.as_ref().map(|pod| Workload::new("Pod", pod.as_str())))
}

fn noise_of(flow: &Flow) -> Option<Noise> {
    if flow.protocol == Protocol::Icmp {
        Some(Noise::Icmp)
    } else if flow.closing {
        Some(Noise::Closing)
    } else {
        None
    }
}

fn add(group: &mut Group, flow: &Flow, age: PodAge) {
    group.count += 1;
    group.first = group.first.min(flow.at);
    group.last = group.last.max(flow.at);
    group.minutes.add(flow.at);
    group.node.clone_from(&flow.node);
    group.address = flow.peer().address;
    // A group stays noise only while every denial in it falls under the same rule.
    if group.noise != noise_of(flow) {
        group.noise = None;
    }
    let soon = age.started.is_some_and(|started| flow.at - started <= Denials::START);
    match &flow.judged().pod {
        Some(pod) => {
            if group.pods.len() < Group::PODS || group.pods.contains_key(pod) {
                group.pods.insert(pod.clone(), flow.at);
            } else {
                group.more_pods = true;
            }
            if !soon {
                group.beyond_start = true;
            } else if age.ready.is_none_or(|ready| ready < flow.at) && group.waiting.len() < 64 {
                group.waiting.insert(pod.clone(), flow.at);
            }
        }
        None => group.beyond_start = true,
    }
    group.class = group.classify();
}
