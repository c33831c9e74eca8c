//! Denied flows, grouped by who was denied what, classed, counted by the minute, and bounded.
//!
//! *Hurting* is the default, also for a single attempt. *Noisy* only by a named rule. *Start-up*
//! only if the same pod later reached that destination or became ready. Nothing is forgotten in
//! silence: what no longer fits is counted.

mod recovery;
mod weighing;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
};

use super::{
    eval,
    excuse::Excuses,
    flow::{Direction, End, Entity, Flow, Protocol, Verdict},
    hold::DenialKey,
    names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
    opinion::Asked,
    probe,
    time::Timestamp,
};
pub use weighing::Weighed;
use weighing::{Unweighed, ask, ask_no_more};

pub use super::{
    excuse::{Class, Noise, PodAge},
    minutes::Minutes,
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
        if let (Some(ns), Some(workload)) = (&end.ns, workload_of(end)) {
            return Self::Workload { ns: ns.clone(), workload };
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

impl GroupKey {
    /// The other end with the port, as far as they were told: `api.stripe.com:443/TCP`.
    pub fn peer_words(&self) -> String {
        let Self { peer, port, protocol, .. } = self;
        match protocol {
            Protocol::Icmp => format!("{peer} ICMP"),
            Protocol::Unknown if *port == 0 => format!("{peer}, port not told"),
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp | Protocol::Unknown => {
                format!("{peer}:{port}/{protocol}")
            }
        }
    }
}

/// A group's place for as long as it lives: a selection holds it and survives sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

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
    /// What our evaluator says of its newest denial; `None`: it was not asked yet.
    pub ours: Option<Weighed>,
    excuses: Excuses,
    /// Waived or rejected, exactly this.
    expected: bool,
}

/// By what groups are shown: hurting first, then the newest.
type Place = (Class, Reverse<Timestamp>, GroupId);

impl Group {
    pub const PODS: usize = 8;

    fn place(&self) -> Place {
        (self.class, Reverse(self.last), self.id)
    }

    /// As people close it.
    pub fn denial_key(&self) -> DenialKey {
        DenialKey {
            workload: self.key.workload.clone(),
            destination: Text::from(self.key.peer.to_string()),
            port: self.key.port,
            protocol: self.key.protocol,
        }
    }

    /// The newest denial, as our evaluator is asked of it.
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            pod: self.pods.iter().max_by_key(|(_, at)| **at).map(|(pod, _)| pod),
            workload: self.key.workload.as_ref(),
            peer: &self.key.peer,
            address: self.address,
            port: self.key.port,
            protocol: self.key.protocol,
        }
    }

    /// The data plane denied what the policies of that moment allow. Noise of a connection that is over and
    /// of a pod that starts is none: there the data plane is only late.
    pub fn disagrees(&self) -> bool {
        let is_real = match self.told_class() {
            Class::Hurting | Class::Unattributed => true,
            Class::StartUp | Class::Noisy(_) | Class::Expected | Class::Would => false,
        };
        let is_real = is_real && self.class != Class::Would;
        let allows = |ours: &Weighed| ours.of_then && ours.opinion.verdict == eval::verdict::Verdict::Allowed;
        is_real && self.ours.as_ref().is_some_and(allows)
    }

    /// What the data plane told, whatever people said of it.
    pub fn told_class(&self) -> Class {
        self.excuses.class()
    }

    fn class_now(&self) -> Class {
        if self.class == Class::Would {
            return Class::Would;
        }
        if self.expected { Class::Expected } else { self.excuses.class() }
    }

    fn note_pod(&mut self, pod: &PodName, at: Timestamp) {
        if self.pods.len() < Self::PODS || self.pods.contains_key(pod) {
            let newest = self.pods.entry(pod.clone()).or_insert(at);
            *newest = at.max(*newest);
        } else {
            self.more_pods = true;
        }
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

/// All denials of this run.
#[derive(Clone, Debug, Default)]
pub struct Denials {
    groups: HashMap<GroupId, Group>,
    ids: HashMap<GroupKey, GroupId>,
    /// Groups of what would have been denied, by the same keys; at most [`Denials::WOULD`].
    would_ids: HashMap<GroupKey, GroupId>,
    /// The same, newest first; kept by [`Denials::settle`].
    would: Vec<GroupId>,
    /// Hurting first, then newest; kept by [`Denials::settle`].
    sorted: BTreeSet<Place>,
    /// Groups that changed since then, each with the place that it still has there.
    moved: BTreeMap<GroupId, Place>,
    live: VecDeque<Denial>,
    rows: HashMap<(ClusterName, NsName, Direction), Minutes>,
    /// Groups with denials that a pod's recovery would excuse.
    waiting: BTreeSet<GroupId>,
    next: u32,
    total: u64,
    /// Denials whose group was dropped because there were too many.
    forgotten: u64,
    /// Denials of endpoints outside all namespaces, which have no row here (host policies).
    outside: u64,
    would_changed: bool,
    /// Groups that changed since the last time somebody took note.
    changed: BTreeSet<GroupId>,
    /// Groups of whose newest denial our evaluator was not asked yet, with when it was asked last.
    unweighed: Unweighed,
}

impl Denials {
    /// Groups kept; beyond, the one that was quiet longest goes and is counted.
    pub const GROUPS: usize = 5_000;
    /// Groups kept of what would have been denied; beyond, the longest quiet one goes.
    pub const WOULD: usize = 1_000;
    /// Attempts kept in the live list.
    pub const LIVE: usize = 2_000;
    /// Rows (cluster, namespace, direction) whose minutes are kept; more than any fleet has.
    pub const ROWS: usize = 40_000;

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// Sorted: hurting first, then the newest.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.sorted.iter().map(|(_, _, id)| &self.groups[id])
    }

    /// What would have been denied, newest first. Apart from [`Denials::groups`]: nothing of it was.
    pub fn would(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.would.iter().map(|id| &self.groups[id])
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

    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// Counts by the minute of one row; `None`: nothing was denied there.
    pub fn minutes(&self, cluster: &ClusterName, ns: &NsName, direction: Direction) -> Option<&Minutes> {
        self.rows.get(&(cluster.clone(), ns.clone(), direction))
    }

    /// Takes a denied flow. Other verdicts are ignored here. A flow from the future, as a node with a
    /// wrong clock tells it, counts as of `now`.
    pub fn note(&mut self, cluster: &ClusterName, flow: &Flow, pod: PodAge, now: Timestamp) {
        let Verdict::Denied { said, .. } = &flow.verdict else { return };
        let Some(key) = key_of(cluster, flow) else {
            self.outside += 1;
            return;
        };
        let at = flow.at.min(now);
        self.total += 1;
        self.note_row(&key, at);
        let id = self.ids.get(&key).copied().unwrap_or_else(|| self.open(key, flow, said, at));
        self.changed.insert(id);
        if let Some(group) = self.groups.get_mut(&id) {
            ask(&mut self.unweighed, group);
            self.moved.entry(id).or_insert_with(|| group.place());
            add(group, flow, pod, at);
            if group.excuses.is_waiting() {
                self.waiting.insert(id);
            }
        }
        if self.live.len() == Self::LIVE {
            self.live.pop_front();
        }
        let (pod, address) = (flow.judged().pod.clone(), flow.peer().address);
        self.live.push_back(Denial { number: self.total, at, group: id, pod, address });
    }

    /// Takes a flow that passed and would have been denied, audited or staged. It counts nowhere.
    pub fn note_would(&mut self, cluster: &ClusterName, flow: &Flow, now: Timestamp) {
        let Verdict::Audit { said, .. } = &flow.verdict else { return };
        let Some(key) = key_of(cluster, flow) else { return };
        let at = flow.at.min(now);
        let known = self.would_ids.get(&key).copied();
        let id = known.unwrap_or_else(|| {
            if self.would_ids.len() >= Self::WOULD {
                self.forget_oldest_would();
            }
            let group = self.new_group(key.clone(), flow, said, at);
            let id = group.id;
            self.groups.insert(id, Group { class: Class::Would, ..group });
            self.would_ids.insert(key, id);
            self.would.push(id);
            id
        });
        if let Some(group) = self.groups.get_mut(&id) {
            add(group, flow, PodAge::default(), at);
        }
        self.would_changed = true;
    }

    fn forget_oldest_would(&mut self) {
        let oldest = self.would().min_by_key(|group| (group.last, group.id)).map(|group| group.id);
        let Some(group) = oldest.and_then(|id| self.groups.remove(&id)) else { return };
        self.would_ids.remove(&group.key);
        self.would.retain(|id| *id != group.id);
    }

    /// Puts what changed since the last time where it belongs. Called once a batch, so that views need not.
    pub fn settle(&mut self) {
        for (id, before) in std::mem::take(&mut self.moved) {
            if self.sorted.remove(&before) {
                self.sorted.extend(self.groups.get(&id).map(Group::place));
            }
        }
        if std::mem::take(&mut self.would_changed) {
            let groups = &self.groups;
            self.would.sort_by_cached_key(|id| (Reverse(groups[id].last), *id));
        }
    }

    fn reclass(&mut self, id: Option<GroupId>) {
        let Some(group) = id.and_then(|id| self.groups.get_mut(&id)) else { return };
        if !group.excuses.is_waiting() {
            self.waiting.remove(&group.id);
        }
        let class = group.class_now();
        if class != group.class {
            self.moved.entry(group.id).or_insert_with(|| group.place());
            self.changed.insert(group.id);
        }
        group.class = class;
    }

    /// Groups that changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<GroupId> {
        std::mem::take(&mut self.changed)
    }

    /// Which of these groups people expect by now.
    pub fn expect(&mut self, ids: impl Iterator<Item = GroupId>, is_expected: impl Fn(&Group) -> bool) {
        for id in ids {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.expected = is_expected(group);
            self.reclass(Some(id));
        }
    }

    pub fn ids(&self) -> Vec<GroupId> {
        self.ids.values().copied().collect()
    }

    fn note_row(&mut self, key: &GroupKey, at: Timestamp) {
        let row = (key.cluster.clone(), key.ns.clone(), key.direction);
        if self.rows.len() >= Self::ROWS && !self.rows.contains_key(&row) {
            // Namespaces without end: somebody makes them up. The quiet ones go.
            let mut newest: Vec<_> = self.rows.values().map(Minutes::newest).collect();
            let (_, median, _) = newest.select_nth_unstable(Self::ROWS / 2);
            let median = *median;
            let mut surplus = Self::ROWS / 10;
            self.rows.retain(|_, minutes| {
                let goes = surplus > 0 && minutes.newest() <= median;
                surplus -= usize::from(goes);
                !goes
            });
        }
        self.rows.entry(row).or_default().add(at);
    }

    fn open(&mut self, key: GroupKey, flow: &Flow, said: &Text, at: Timestamp) -> GroupId {
        if self.ids.len() >= Self::GROUPS {
            self.forget_quietest();
        }
        let group = self.new_group(key.clone(), flow, said, at);
        let id = group.id;
        self.sorted.insert(group.place());
        self.groups.insert(id, group);
        self.ids.insert(key, id);
        id
    }

    fn new_group(&mut self, key: GroupKey, flow: &Flow, said: &Text, at: Timestamp) -> Group {
        self.next = self.next.wrapping_add(1);
        Group {
            id: GroupId(self.next),
            key,
            class: Class::Hurting,
            count: 0,
            first: at,
            last: at,
            minutes: Minutes::default(),
            said: said.clone(),
            node: flow.node.clone(),
            address: None,
            pods: BTreeMap::new(),
            more_pods: false,
            ours: None,
            excuses: Excuses::default(),
            expected: false,
        }
    }

    /// Drops a tenth of the groups, noise before what hurts and the longest quiet first, so that a
    /// flood of new ones costs one pass for many.
    fn forget_quietest(&mut self) {
        let value = |group: &Group| (Reverse(group.class), group.last, group.id);
        let denied = self.groups.values().filter(|group| group.class != Class::Would);
        let mut by_value: Vec<_> = denied.map(value).collect();
        by_value.sort_unstable();
        for (_, _, id) in by_value.into_iter().take(Self::GROUPS / 10) {
            if let Some(group) = self.groups.remove(&id) {
                self.forgotten += group.count;
                self.waiting.remove(&id);
                self.changed.remove(&id);
                self.moved.remove(&id);
                ask_no_more(&mut self.unweighed, &group);
                self.ids.remove(&group.key);
            }
        }
        let groups = &self.groups;
        self.sorted.retain(|(_, _, id)| groups.contains_key(id));
        self.live.retain(|denial| groups.contains_key(&denial.group));
    }
}

fn workload_of(end: &End) -> Option<Workload> {
    if end.pod.as_ref().is_some_and(probe::is_named) {
        return Some(probe::workload());
    }
    end.workload.clone().or_else(|| end.pod.as_ref().map(|pod| Workload::new("Pod", pod.as_str())))
}

/// `None`: the judged endpoint is in no namespace.
fn key_of(cluster: &ClusterName, flow: &Flow) -> Option<GroupKey> {
    Some(GroupKey {
        cluster: cluster.clone(),
        ns: flow.judged().ns.clone()?,
        workload: workload_of(flow.judged()),
        direction: flow.direction,
        peer: Peer::of(flow.peer()),
        port: if flow.protocol == Protocol::Icmp { 0 } else { flow.port },
        protocol: flow.protocol,
    })
}

fn add(group: &mut Group, flow: &Flow, age: PodAge, at: Timestamp) {
    group.count += 1;
    group.first = group.first.min(at);
    group.last = group.last.max(at);
    group.minutes.add(at);
    group.node.clone_from(&flow.node);
    group.address = flow.peer().address;
    if let Some(pod) = &flow.judged().pod {
        group.note_pod(pod, at);
    }
    group.excuses.denied(flow, age, at);
    group.class = group.class_now();
}

#[cfg(test)]
mod tests;
