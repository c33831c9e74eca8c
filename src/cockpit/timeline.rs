//! What changed around a rollout, on one axis: applies and rollbacks, pods replaced, restarts of CNI
//! and DNS server, nodes, policies, what a pre-flight found changed, denials. Made of facts that are absorbed anyway, bounded, and told
//! so where it begins. Names the change nearest before a group of denials; that is no proof of cause.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::TimeDelta;

use crate::domain::{
    denial::{Class, GroupId},
    fleet::{Cluster, Cni, Enforcement, Listed, Pod},
    journal::Act,
    names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
    policy::{Policy, PolicyKey, PolicyKind},
    preflight::{
        check::{CheckId, Verdict},
        report::Report,
    },
    resolver::DnsPath,
    rollout::Target,
    time::Timestamp,
};

use super::{
    orders::{Order, OrderKind, OrderState},
    ports::{Change, ClusterFact},
    recording,
    world::World,
};

mod kind;

pub use kind::MarkKind;

/// Changes of all clusters as they were noticed.
#[derive(Clone, Debug, Default)]
pub struct Timelines {
    clusters: BTreeMap<ClusterName, Track>,
}

#[derive(Clone, Debug, Default)]
struct Track {
    /// Of the cluster as a whole, in the order noticed.
    wide: VecDeque<Event>,
    of_ns: BTreeMap<NsName, VecDeque<Event>>,
    /// Pods on each node.
    nodes: BTreeMap<NodeName, u32>,
    /// Kinds of policy whose list is known.
    kinds: BTreeSet<PolicyKind>,
    /// Since when changes are noticed.
    since: Option<Timestamp>,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    at: Timestamp,
    /// Of a change that goes on for a while: its newest part.
    until: Timestamp,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// So many pods of a workload started.
    Started {
        role: Role,
        workload: Workload,
        pods: u32,
    },
    /// A pod of CNI or DNS server stopped being ready, or is ready anew.
    Restarted {
        role: Role,
        pod: PodName,
    },
    Cni {
        from: Text,
        to: Text,
    },
    /// Policies take effect no more, or again, or nobody knows; with the evidence.
    Enforcement {
        words: &'static str,
        evidence: Text,
    },
    /// How lookups travel.
    Dns {
        from: &'static str,
        to: &'static str,
    },
    /// A check of the pre-flight ended otherwise than the time before.
    Check {
        check: CheckId,
        from: Verdict,
        to: Verdict,
    },
    NodeCame(NodeName),
    NodeWent(NodeName),
    Policy {
        key: PolicyKey,
        change: &'static str,
    },
}

/// What a pod is to everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Workload,
    Cni,
    Dns,
}

impl Timelines {
    /// Changes kept of a namespace, and of a cluster as a whole.
    const OF_NS: usize = 100;
    const WIDE: usize = 400;
    /// Namespaces kept of a cluster; more than any has.
    const NAMESPACES: usize = 5_000;
    /// Nodes followed in a cluster.
    const NODES: usize = 10_000;
    /// Pods of a workload that start within so long of one another are one change.
    const TOGETHER: TimeDelta = TimeDelta::minutes(10);
    /// How far back the pods of the first list tell.
    const LOOK_BACK: TimeDelta = TimeDelta::hours(24);

    /// Takes note of a fact that is about to be absorbed by `cluster`.
    pub(super) fn note(&mut self, cluster: &Cluster, fact: &ClusterFact, now: Timestamp) {
        match fact {
            ClusterFact::Pods(change) => self.track(cluster, now).pods(cluster, change, now),
            ClusterFact::Policies(kind, change) => {
                self.track(cluster, now).policies(cluster, *kind, change, now);
            }
            ClusterFact::Cni(cni) => self.track(cluster, now).cni(cluster.cni.as_ref(), cni, now),
            ClusterFact::Dns(path) => {
                let old = cluster.looked.dns.as_ref().and_then(DnsPath::mode);
                if let (Some(from), Some(to)) = (old, path.mode())
                    && from != to
                {
                    self.track(cluster, now).wide(now, now, What::Dns { from, to });
                }
            }
            ClusterFact::Preflight(report) => self.track(cluster, now).preflight(cluster, report, now),
            // Flows and signs of life come in floods and change nothing by themselves.
            _ => {}
        }
    }

    fn track(&mut self, cluster: &Cluster, now: Timestamp) -> &mut Track {
        let track = self.clusters.entry(cluster.name.clone()).or_default();
        track.since.get_or_insert(now);
        track
    }

    pub(super) fn retain(&mut self, is_there: impl Fn(&ClusterName) -> bool) {
        self.clusters.retain(|name, _| is_there(name));
    }
}

impl Track {
    fn pods(&mut self, cluster: &Cluster, change: &Change<Pod, (NsName, PodName)>, now: Timestamp) {
        match change {
            Change::Reset(pods) => self.all_pods(cluster, pods, now),
            Change::Put(pod) if pod.is_probe() => {}
            Change::Put(pod) => {
                let old = known(cluster, &pod.ns, &pod.name);
                self.pod(old, pod, now);
                if let (Some(node), None) = (&pod.node, old.and_then(|old| old.node.as_ref())) {
                    self.on_node(node, now);
                }
            }
            Change::Gone((ns, name)) => {
                let Some(node) = known(cluster, ns, name).and_then(|old| old.node.as_ref()) else { return };
                let Some(pods) = self.nodes.get_mut(node) else { return };
                *pods = pods.saturating_sub(1);
                if *pods == 0 {
                    self.nodes.remove(node);
                    self.wide(now, now, What::NodeWent(node.clone()));
                }
            }
        }
    }

    fn all_pods(&mut self, cluster: &Cluster, pods: &[Pod], now: Timestamp) {
        let is_first = !cluster.listed.contains(&Listed::Pods);
        let mut sorted: Vec<_> = pods.iter().filter(|pod| !pod.is_probe()).collect();
        sorted.sort_by_key(|pod| pod.started);
        for pod in sorted {
            let is_old = pod.started.is_none_or(|started| started < now - Timelines::LOOK_BACK);
            if !(is_first && is_old) {
                self.pod(known(cluster, &pod.ns, &pod.name), pod, now);
            }
        }
        let mut nodes: BTreeMap<NodeName, u32> = BTreeMap::new();
        for node in pods.iter().filter(|pod| !pod.is_probe()).filter_map(|pod| pod.node.as_ref()) {
            if nodes.len() < Timelines::NODES || nodes.contains_key(node) {
                *nodes.entry(node.clone()).or_default() += 1;
            }
        }
        let old = std::mem::replace(&mut self.nodes, nodes);
        if is_first {
            return;
        }
        let came: Vec<_> = self.nodes.keys().filter(|node| !old.contains_key(node)).cloned().collect();
        let went: Vec<_> = old.into_keys().filter(|node| !self.nodes.contains_key(node)).collect();
        came.into_iter().for_each(|node| self.wide(now, now, What::NodeCame(node)));
        went.into_iter().for_each(|node| self.wide(now, now, What::NodeWent(node)));
    }

    fn pod(&mut self, old: Option<&Pod>, pod: &Pod, now: Timestamp) {
        let role = role_of(pod);
        let Some(old) = old else {
            // A job's pods come and go by its schedule: nothing changed.
            if !pod.finished && !matches!(pod.workload.kind.as_str(), "Job" | "CronJob") {
                let at = pod.started.unwrap_or(now).min(now);
                self.started(role, pod, at);
            }
            return;
        };
        if role == Role::Workload {
            return;
        }
        let what = || What::Restarted { role, pod: pod.name.clone() };
        match (old.ready, pod.ready) {
            (Some(_), None) => self.wide(now, now, what()),
            (Some(before), Some(since)) if since > before => self.wide(since.min(now), now, what()),
            (Some(_), Some(_)) | (None, _) => {}
        }
    }

    fn started(&mut self, role: Role, pod: &Pod, at: Timestamp) {
        let queue = match role {
            Role::Workload => match self.queue_of(&pod.ns) {
                Some(queue) => queue,
                None => return,
            },
            Role::Cni | Role::Dns => &mut self.wide,
        };
        let same = queue.iter_mut().rev().find(|event| {
            let is_same = matches!(&event.what, What::Started { workload, role: of, .. }
                if *workload == pod.workload && *of == role);
            is_same && at - event.until <= Timelines::TOGETHER && event.at - at <= Timelines::TOGETHER
        });
        match same {
            Some(event) => {
                event.at = event.at.min(at);
                event.until = event.until.max(at);
                if let What::Started { pods, .. } = &mut event.what {
                    *pods = pods.saturating_add(1);
                }
            }
            None => {
                let what = What::Started { role, workload: pod.workload.clone(), pods: 1 };
                let limit = if role == Role::Workload { Timelines::OF_NS } else { Timelines::WIDE };
                push(queue, limit, Event { at, until: at, what });
            }
        }
    }

    fn on_node(&mut self, node: &NodeName, now: Timestamp) {
        if let Some(pods) = self.nodes.get_mut(node) {
            *pods = pods.saturating_add(1);
        } else if self.nodes.len() < Timelines::NODES {
            self.nodes.insert(node.clone(), 1);
            self.wide(now, now, What::NodeCame(node.clone()));
        }
    }

    fn policies(
        &mut self,
        cluster: &Cluster,
        kind: PolicyKind,
        change: &Change<Policy, PolicyKey>,
        now: Timestamp,
    ) {
        match change {
            Change::Reset(all) => {
                if self.kinds.insert(kind) {
                    return;
                }
                all.iter().for_each(|policy| self.policy(cluster, policy, now));
                let there: BTreeSet<_> = all.iter().map(|policy| &policy.key).collect();
                let of_ns = cluster.namespaces.values().flat_map(|ns| ns.policies.keys());
                let gone = of_ns.chain(cluster.clusterwide.keys()).filter(|key| key.kind == kind);
                gone.filter(|key| !there.contains(key))
                    .for_each(|key| self.policy_event(key, "deleted", now));
            }
            Change::Put(policy) => self.policy(cluster, policy, now),
            Change::Gone(key) => self.policy_event(key, "deleted", now),
        }
    }

    fn policy(&mut self, cluster: &Cluster, policy: &Policy, now: Timestamp) {
        let key = &policy.key;
        let old = match &key.ns {
            Some(ns) => cluster.namespaces.get(ns).and_then(|ns| ns.policies.get(key)),
            None => cluster.clusterwide.get(key),
        };
        match old {
            None => self.policy_event(key, "created", now),
            Some(old) if old.canonical != policy.canonical => self.policy_event(key, "changed", now),
            Some(_) => {}
        }
    }

    fn policy_event(&mut self, key: &PolicyKey, change: &'static str, now: Timestamp) {
        let event = Event { at: now, until: now, what: What::Policy { key: key.clone(), change } };
        match &key.ns {
            None => push(&mut self.wide, Timelines::WIDE, event),
            Some(ns) => {
                if let Some(queue) = self.queue_of(ns) {
                    push(queue, Timelines::OF_NS, event);
                }
            }
        }
    }

    fn cni(&mut self, old: Option<&Cni>, cni: &Cni, now: Timestamp) {
        let words = |cni: &Cni| match &cni.version {
            Some(version) => Text::from(format!("{} {version}", cni.kind.as_str())),
            None => Text::new(cni.kind.as_str()),
        };
        if let Some(old) = old.filter(|old| (old.kind, &old.version) != (cni.kind, &cni.version)) {
            self.wide(now, now, What::Cni { from: words(old), to: words(cni) });
        }
        if old.is_some_and(|old| old.enforcement != cni.enforcement) {
            let words = match cni.enforcement {
                Enforcement::Enforces => "policies take effect again",
                Enforcement::DoesNot => "policies take effect no more",
                Enforcement::Audits => "policies are judged and take effect no more",
                Enforcement::Unknown => "whether policies take effect is not known any more",
            };
            self.wide(now, now, What::Enforcement { words, evidence: cni.evidence.clone() });
        }
    }

    fn preflight(&mut self, cluster: &Cluster, report: &Report, now: Timestamp) {
        let Some((old, _)) = &cluster.looked.preflight else { return };
        for check in &report.checks {
            if let Some(before) = old.check(check.id).filter(|before| before.verdict != check.verdict) {
                let what = What::Check { check: check.id, from: before.verdict, to: check.verdict };
                self.wide(now, now, what);
            }
        }
    }

    fn wide(&mut self, at: Timestamp, until: Timestamp, what: What) {
        push(&mut self.wide, Timelines::WIDE, Event { at, until, what });
    }

    fn queue_of(&mut self, ns: &NsName) -> Option<&mut VecDeque<Event>> {
        if self.of_ns.len() >= Timelines::NAMESPACES && !self.of_ns.contains_key(ns) {
            return None;
        }
        Some(self.of_ns.entry(ns.clone()).or_default())
    }
}

fn push(queue: &mut VecDeque<Event>, limit: usize, event: Event) {
    if queue.len() == limit {
        queue.pop_front();
    }
    queue.push_back(event);
}

fn known<'c>(cluster: &'c Cluster, ns: &NsName, pod: &PodName) -> Option<&'c Pod> {
    cluster.namespaces.get(ns)?.pods.get(pod)
}

/// By the labels that the plugins' own manifests give their pods.
fn role_of(pod: &Pod) -> Role {
    let has = |key, value| pod.labels.get(key) == Some(value);
    let cni = ["cilium", "calico-node", "canal", "flannel", "kube-router"];
    if has("component", "antrea-agent")
        || has("app", "flannel")
        || cni.into_iter().any(|name| has("k8s-app", name))
    {
        return Role::Cni;
    }
    let is_dns = has("k8s-app", "kube-dns")
        || has("k8s-app", "node-local-dns")
        || has("dns.operator.openshift.io/daemonset-dns", "default");
    if is_dns { Role::Dns } else { Role::Workload }
}

/// One rollout's axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineRow {
    pub target: Target,
    pub from: Timestamp,
    pub until: Timestamp,
    /// Since when changes of this cluster are noticed; what was before is known from pods' start times
    /// and the journal only. `None`: nothing was noticed yet.
    pub noticed_since: Option<Timestamp>,
    /// Oldest first.
    pub marks: Vec<Mark>,
    /// Groups of denials, the oldest first.
    pub groups: Vec<GroupMark>,
}

/// A change on the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: Timestamp,
    pub until: Timestamp,
    pub kind: MarkKind,
    pub words: Text,
    /// Who did it, where that is known.
    pub by: Option<Text>,
}

/// A group of denials on the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMark {
    pub id: GroupId,
    pub class: Class,
    pub words: Text,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The change nearest before its first denial, by its place in `marks`, and the time between.
    pub before: Option<(usize, TimeDelta)>,
}

/// The axis of a rollout over the last `span`.
pub fn row(world: &World, target: &Target, span: TimeDelta) -> TimelineRow {
    let (until, from) = (world.now(), world.now() - span);
    let track = world.timelines().clusters.get(&target.cluster);
    let mut marks = acts(world, target);
    let ours: Vec<_> = marks
        .iter()
        .filter(|mark| matches!(mark.kind, MarkKind::Apply | MarkKind::Rollback))
        .map(|mark| (mark.at, mark.until))
        .collect();
    let of_ns = track.and_then(|track| track.of_ns.get(&target.ns)).into_iter().flatten();
    let wide = track.map(|track| &track.wide).into_iter().flatten();
    marks.extend(of_ns.chain(wide).filter(|event| concerns(event, target, &ours)).map(mark));
    marks.retain(|mark| mark.until >= from && mark.at <= until);
    marks.sort_by(|a, b| (a.at, a.kind.as_str(), &a.words).cmp(&(b.at, b.kind.as_str(), &b.words)));
    let groups = groups(world, target, from, &marks);
    let noticed_since = track.and_then(|track| track.since);
    TimelineRow { target: target.clone(), from, until, noticed_since, marks, groups }
}

/// Leaves out policies of the other direction, and those that an apply or rollback of ours wrote.
fn concerns(event: &Event, target: &Target, ours: &[(Timestamp, Timestamp)]) -> bool {
    const LATE: TimeDelta = TimeDelta::seconds(10);
    let What::Policy { key, .. } = &event.what else { return true };
    let pinned = crate::domain::policy::Pinned::find(key.kind, key.name.as_str());
    let is_ours = |(from, until): &(Timestamp, Timestamp)| event.at >= *from && event.at <= *until + LATE;
    match pinned {
        Some(pinned) => pinned.direction == target.direction && !ours.iter().any(is_ours),
        None => true,
    }
}

/// Acts of this run and those of the journal, each once.
fn acts(world: &World, target: &Target) -> Vec<Mark> {
    let own = world.orders().iter().filter(|order| order.target == *target).filter_map(own_act);
    let mut marks: Vec<_> = own.collect();
    for kept in world.shared().journal().filter(|kept| recording::concerns(&kept.value, target)) {
        let entry = &kept.value;
        let kind = match entry.act {
            Act::Apply | Act::Revert | Act::Advance => MarkKind::Apply,
            Act::Rollback => MarkKind::Rollback,
            Act::Abort
            | Act::Install
            | Act::Decision
            | Act::Hold
            | Act::Waiver
            | Act::Override
            | Act::Shadow
            | Act::Incident => MarkKind::Act,
        };
        let at = recording::begun_at(entry).unwrap_or(entry.stamp.at).min(entry.stamp.at);
        let is_own =
            |mark: &Mark| mark.kind == kind && (mark.until - entry.stamp.at).abs() <= TimeDelta::seconds(2);
        if kind == MarkKind::Act || !marks.iter().any(is_own) {
            let outcome = entry.facts.iter().find_map(|fact| fact.as_str().strip_prefix("outcome: "));
            let words = outcome.map_or_else(
                || entry.act.as_str().to_owned(),
                |outcome| format!("{}, {outcome}", entry.act.as_str()),
            );
            let by = Some(entry.stamp.by.clone());
            marks.push(Mark { at, until: entry.stamp.at, kind, words: Text::from(words), by });
        }
    }
    marks
}

fn own_act(order: &Order) -> Option<Mark> {
    let kind = match order.kind {
        // The journal tells of a shadow: it is no mark of a change to what is enforced.
        OrderKind::Preview | OrderKind::Shadow => return None,
        OrderKind::Apply | OrderKind::Revert => MarkKind::Apply,
        OrderKind::Rollback => MarkKind::Rollback,
    };
    let state = match &order.state {
        OrderState::Running | OrderState::Previewed(_) => "running",
        OrderState::Ended(outcome) => outcome.word(),
    };
    let words = Text::from(format!("{}, {state}", order.kind.as_str()));
    Some(Mark { at: order.since, until: order.ended.unwrap_or(order.since), kind, words, by: None })
}

fn mark(event: &Event) -> Mark {
    let (kind, words) = match &event.what {
        What::Started { role, workload, pods } => {
            let pods = if *pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
            let of = match role {
                Role::Workload => String::new(),
                Role::Cni => " (CNI)".to_owned(),
                Role::Dns => " (DNS)".to_owned(),
            };
            (kind_of(*role), format!("{pods} of {workload}{of} started"))
        }
        What::Restarted { role, pod } => (kind_of(*role), format!("{pod} restarted")),
        What::Cni { from, to } => (MarkKind::Cni, format!("{from} became {to}")),
        What::Enforcement { words, evidence } => (MarkKind::Cni, format!("{words} ({evidence})")),
        What::Dns { from, to } => (MarkKind::Dns, format!("lookups: {from} became {to}")),
        What::Check { check, from, to } => {
            (MarkKind::Preflight, format!("{} was {}, is {}", check.as_str(), from.as_str(), to.as_str()))
        }
        What::NodeCame(node) => (MarkKind::Node, format!("node {node} came")),
        What::NodeWent(node) => (MarkKind::Node, format!("node {node} went")),
        What::Policy { key, change } => (MarkKind::Policy, format!("{} {} {change}", key.kind, key.name)),
    };
    Mark { at: event.at, until: event.until, kind, words: Text::from(words), by: None }
}

fn kind_of(role: Role) -> MarkKind {
    match role {
        Role::Workload => MarkKind::Deploy,
        Role::Cni => MarkKind::Cni,
        Role::Dns => MarkKind::Dns,
    }
}

fn groups(world: &World, target: &Target, from: Timestamp, marks: &[Mark]) -> Vec<GroupMark> {
    let of_row = world.denials().groups().filter(|group| {
        let key = &group.key;
        key.cluster == target.cluster && key.ns == target.ns && key.direction == target.direction
    });
    let mut groups: Vec<_> = of_row
        .filter(|group| group.last >= from)
        .map(|group| {
            let key = &group.key;
            let who = key.workload.as_ref().map_or("-", |workload| workload.name.as_str());
            GroupMark {
                id: group.id,
                class: group.class,
                words: Text::from(format!("{who} to {}", key.peer_words())),
                count: group.count,
                first: group.first,
                last: group.last,
                before: nearest(marks, group.first),
            }
        })
        .collect();
    groups.sort_by_key(|group| (group.first, group.id));
    groups
}

/// The change that was over, or under way, last before a moment; the time since.
fn nearest(marks: &[Mark], moment: Timestamp) -> Option<(usize, TimeDelta)> {
    let end = |mark: &Mark| if mark.until <= moment { mark.until } else { mark.at };
    let before = marks.iter().enumerate().filter(|(_, mark)| mark.at <= moment && mark.kind.may_cause());
    before.max_by_key(|(_, mark)| end(mark)).map(|(at, mark)| (at, moment - end(mark)))
}
