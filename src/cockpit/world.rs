//! The world as it is known: the only mutable state of the core, with one door. `absorb` is a
//! dispatch; the owner of each field does the work. Nothing here asks anybody or reads a clock.

mod planning;

use std::collections::{BTreeMap, VecDeque};

use chrono::FixedOffset;
use indexmap::IndexMap;

use crate::domain::{
    denial::{Denials, PodAge},
    fleet::{Cluster, Environment, Health, Namespace, Pod},
    flow::{Direction, Flow, Verdict},
    names::{ClusterName, NodeName, NsName, PodName, Text},
    policy::{Policy, PolicyDigest, PolicyKey, PolicyKind},
    preflight::report::Report,
    shadow::Staged,
    time::Timestamp,
};

use super::{
    discoveries::Discoveries,
    incidents::Incidents,
    opinions,
    orders::{OrderId, OrderKind, Orders, Target},
    plan::{FleetFile, PolicyFiles},
    ports::{Change, ClusterFact, Fact, Gap, Link, OrderFact, SourceState, Trouble},
    preflight,
    shared::{Shared, SharedFact},
    soaks::{Around, Soaks},
    strangers::Strangers,
    timeline::Timelines,
    waves::{self, Waves},
};

use planning::{Drafting, Planning};

/// A cluster's flow source as it was last heard of.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub state: Option<SourceState>,
    /// When `state` was told.
    pub at: Option<Timestamp>,
    /// Since when it is live without a break; `None` while it is not.
    pub live_since: Option<Timestamp>,
    /// Newest last, at most [`Source::GAPS`].
    pub gaps: VecDeque<Gap>,
    /// Events that were lost, as far as the source counts them.
    pub lost: u64,
    /// Flows taken in.
    pub flows: u64,
    /// Last sign of life of each node.
    pub heard: BTreeMap<NodeName, Timestamp>,
}

impl Source {
    pub const GAPS: usize = 100;

    fn gap(&mut self, gap: Gap) {
        self.lost = self.lost.saturating_add(gap.lost.unwrap_or(0));
        let same = |open: &&mut Gap| open.until.is_none() && open.node == gap.node && open.from == gap.from;
        if let Some(open) = self.gaps.iter_mut().rev().find(same) {
            *open = gap;
            return;
        }
        if self.gaps.len() == Self::GAPS {
            // What is still open stays in sight.
            let oldest = self.gaps.iter().position(|gap| gap.until.is_some()).unwrap_or(0);
            self.gaps.remove(oldest);
        }
        self.gaps.push_back(gap);
    }

    fn heard(&mut self, node: NodeName, until: Timestamp) {
        let heard = self.heard.entry(node).or_insert(until);
        *heard = until.max(*heard);
    }

    fn told(&mut self, state: SourceState, now: Timestamp) {
        let since = self.live_since.unwrap_or(now);
        self.live_since = (state.link == Link::Live).then_some(since);
        (self.state, self.at) = (Some(state), Some(now));
    }

    pub fn is_live(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.link == Link::Live)
    }
}

/// What a person should know and that belongs to no row.
#[derive(Clone, Debug)]
pub struct Notice {
    pub at: Timestamp,
    pub trouble: Trouble,
}

/// Files of policies, and those of them that stand nowhere.
#[derive(Clone, Debug, Default)]
struct KnownPolicies {
    files: PolicyFiles,
    strangers: Strangers,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct World {
    now: Timestamp,
    zone: Option<FixedOffset>,
    read_only: bool,
    plan: FleetFile,
    policies: KnownPolicies,
    clusters: IndexMap<ClusterName, Cluster>,
    sources: BTreeMap<ClusterName, Source>,
    denials: Denials,
    discoveries: Discoveries,
    orders: Orders,
    shared: Shared,
    timelines: Timelines,
    incidents: Incidents,
    planning: Planning,
    soaks: Soaks,
    notices: VecDeque<Notice>,
}

impl World {
    const NOTICES: usize = 200;

    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            zone: None,
            read_only: false,
            plan: FleetFile::default(),
            policies: KnownPolicies::default(),
            clusters: IndexMap::new(),
            sources: BTreeMap::new(),
            denials: Denials::default(),
            discoveries: Discoveries::default(),
            orders: Orders::default(),
            shared: Shared::default(),
            timelines: Timelines::default(),
            incidents: Incidents::default(),
            planning: Planning::new(Waves::empty(now)),
            soaks: Soaks::new(now),
            notices: VecDeque::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The operator's zone; UTC until it is told.
    pub fn zone(&self) -> FixedOffset {
        self.zone.unwrap_or_else(|| chrono::Offset::fix(&chrono::Utc))
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub fn plan(&self) -> &FleetFile {
        &self.plan
    }

    pub fn files(&self) -> &PolicyFiles {
        &self.policies.files
    }

    /// In the order of the fleet file.
    pub fn clusters(&self) -> impl ExactSizeIterator<Item = &Cluster> {
        self.clusters.values()
    }

    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.get(name)
    }

    pub fn namespace(&self, cluster: &ClusterName, ns: &NsName) -> Option<&Namespace> {
        self.clusters.get(cluster)?.namespaces.get(ns)
    }

    pub fn source(&self, cluster: &ClusterName) -> Option<&Source> {
        self.sources.get(cluster)
    }

    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    pub fn discoveries(&self) -> &Discoveries {
        &self.discoveries
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    pub fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    /// Files for namespaces that are not there.
    pub fn strangers(&self) -> impl Iterator<Item = &Trouble> {
        self.policies.strangers.iter()
    }

    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// The plan, as of the last batch in which something changed that it rests on.
    pub fn waves(&self) -> &Waves {
        &self.planning.waves
    }

    pub fn soaks(&self) -> &Soaks {
        &self.soaks
    }

    /// What the soak clocks read beside themselves.
    pub(super) fn around(&self) -> Around<'_> {
        Around {
            now: self.now,
            clusters: &self.clusters,
            plan: &self.plan,
            shared: &self.shared,
            discoveries: &self.discoveries,
        }
    }

    /// Newest last.
    pub fn notices(&self) -> &VecDeque<Notice> {
        &self.notices
    }

    /// The only way in. Facts come in batches; call [`World::settle`] after each.
    pub fn absorb(&mut self, fact: Fact) {
        let rests = waves::Rests::on(&fact);
        let before = rests.shape(self);
        if let Some(row) = waves::concerned(self, &fact) {
            self.planning.concern(row);
        }
        if matches!(fact, Fact::Fleet(_) | Fact::Files(_) | Fact::Shared(SharedFact::Holds(_))) {
            self.planning.waves.hurry();
        }
        self.take_in(fact);
        if rests.changed(before.as_ref(), self) {
            self.planning.waves.touch();
        }
    }

    fn take_in(&mut self, fact: Fact) {
        match fact {
            Fact::Tick(now) => self.now = self.now.max(now),
            Fact::Zone(zone) => self.zone = Some(zone),
            Fact::ReadOnly => self.read_only = true,
            Fact::Fleet(plan) => self.replan(plan),
            Fact::Files(files) => self.refile(files),
            Fact::Flagged(flagged) => {
                self.discoveries.document(flagged.keys().cloned().collect());
                self.policies.files.flagged = Some(flagged);
            }
            Fact::Document(fact) => self.discoveries.tell(fact, self.now),
            Fact::Rules(rules) => self.discoveries.rule(rules),
            Fact::Notice(trouble) => self.notice(trouble),
            Fact::Plan(waves) => self.planned(waves),
            Fact::Cluster(name, fact) => self.absorb_cluster(&name, fact),
            Fact::Order(id, fact) => self.absorb_order(id, fact),
            Fact::Shared(fact) => self.absorb_shared(fact),
        }
    }

    /// Brings what views read in order, once a batch.
    pub fn settle(&mut self) {
        self.discoveries.settle(&self.clusters, &self.shared, self.now);
        let changed = self.denials.take_changed();
        let around = Around {
            now: self.now,
            clusters: &self.clusters,
            plan: &self.plan,
            shared: &self.shared,
            discoveries: &self.discoveries,
        };
        self.soaks.expect(&mut self.denials, &around, &changed);
        self.soaks.settle(&around, &self.denials, &changed);
        opinions::form(&self.clusters, &self.soaks, &mut self.denials, self.now);
        self.denials.settle();
        let orders = &self.orders;
        let is_busy = |target: &Target| orders.in_flight(&target.cluster, &target.ns).is_some();
        self.incidents.settle(&self.clusters, &self.shared, is_busy, self.now);
        self.policies.strangers.settle(&self.clusters);
        // The plan says so before anybody acts on it.
        self.soaks.take_turned().into_iter().for_each(|row| self.planning.concern(row));
        self.plan_anew();
    }

    fn absorb_shared(&mut self, fact: SharedFact) {
        if matches!(fact, SharedFact::Waivers(_)) {
            self.clusters.keys().for_each(|name| self.discoveries.touch(name));
        }
        self.incidents.note(&fact);
        self.soaks.stored(&fact, &self.shared);
        self.shared.absorb(fact, self.now);
    }

    fn replan(&mut self, plan: FleetFile) {
        let mut old = std::mem::take(&mut self.clusters);
        for entry in &plan.clusters {
            let mut cluster = old
                .shift_remove(&entry.name)
                .unwrap_or_else(|| Cluster::new(entry.name.clone(), Environment::default()));
            cluster.environment = entry.environment;
            cluster.revision += 1;
            self.clusters.insert(entry.name.clone(), cluster);
        }
        self.discoveries.retain(&self.clusters);
        self.timelines.retain(|name| self.clusters.contains_key(name));
        self.soaks.retain(&self.clusters);
        self.incidents.retain(&self.clusters);
        self.policies.strangers.touch_all();
        if self.is_drafting() {
            self.planning.drafting = Drafting::No;
        }
        self.plan = plan;
    }

    /// What the companions said stands until they are read again.
    fn refile(&mut self, files: PolicyFiles) {
        let before = std::mem::replace(&mut self.policies.files, files).flagged;
        self.policies.files.flagged = self.policies.files.flagged.take().or(before);
        self.policies.strangers.read(&self.policies.files);
    }

    fn notice(&mut self, trouble: Trouble) {
        if self.notices.back().is_some_and(|last| last.trouble == trouble) {
            return;
        }
        if self.notices.len() == Self::NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(Notice { at: self.now, trouble });
    }

    fn absorb_order(&mut self, id: OrderId, fact: OrderFact) {
        match fact {
            OrderFact::Started { kind, target } => self.orders.start(id, kind, target, self.now),
            OrderFact::Previewed(preview) => self.orders.previewed(id, preview),
            OrderFact::Wrote(receipt) => self.orders.wrote(receipt, self.now),
            OrderFact::Ended(outcome) => {
                if let Some(order) = self.orders.get(id) {
                    self.incidents.touch(&order.target.cluster);
                }
                self.orders.end(id, outcome, self.now);
            }
        }
    }

    /// A cluster that left the plan may still have answers under way.
    fn absorb_cluster(&mut self, name: &ClusterName, fact: ClusterFact) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        cluster.revision += 1;
        self.timelines.note(cluster, &fact, self.now);
        self.soaks.hear(name, &fact, self.now);
        match fact {
            ClusterFact::Met { uid, version, kinds } => {
                (cluster.uid, cluster.version, cluster.kinds) =
                    (uid, Some(version), kinds.into_iter().collect());
                cluster.looked.since.get_or_insert(self.now);
                // What is missing will be told again; what was waived for another of its name counts no more.
                cluster.troubles.clear();
                self.discoveries.touch(name);
                answered(cluster, self.now);
            }
            ClusterFact::Identity(identity) => cluster.identity = Some(identity),
            ClusterFact::Rights(rights) => cluster.rights = rights,
            ClusterFact::Cni(cni) => cluster.cni = Some(cni),
            ClusterFact::Answered => answered(cluster, self.now),
            ClusterFact::Away(trouble) => cluster.health = Health::Down(Text::from(trouble.to_string())),
            ClusterFact::Partial { what, trouble } => {
                cluster.set_trouble(what, trouble.map(|trouble| Text::from(trouble.to_string())));
            }
            ClusterFact::Namespaces(change) => {
                answered(cluster, self.now);
                self.discoveries.touch(name);
                self.incidents.touch(name);
                self.policies.strangers.touch(name);
                match change {
                    Change::Reset(seen) => cluster.reset_namespaces(seen),
                    Change::Put(seen) => cluster.put_namespace(seen),
                    Change::Gone(ns) => cluster.drop_namespace(&ns),
                }
            }
            ClusterFact::Policies(kind, change) => {
                answered(cluster, self.now);
                self.absorb_policies(name, kind, change);
            }
            ClusterFact::Staged(change) => {
                change_staged(cluster, change);
                self.settle_orders(name);
            }
            ClusterFact::Pods(change) => {
                answered(cluster, self.now);
                self.discoveries.touch(name);
                change_pods(cluster, &mut self.denials, change);
            }
            ClusterFact::Flows(flows) => self.absorb_flows(name, flows),
            ClusterFact::Heard { node, until, .. } => {
                self.sources.entry(name.clone()).or_default().heard(node, until);
            }
            ClusterFact::Probed { .. } => {}
            ClusterFact::Gap(gap) => self.sources.entry(name.clone()).or_default().gap(gap),
            ClusterFact::Source(state) => self.sources.entry(name.clone()).or_default().told(state, self.now),
            ClusterFact::CronJobs(change) => self.discoveries.schedule(name, change),
            ClusterFact::Collector(state) => self.discoveries.collect(name, *state, self.now),
            ClusterFact::Asked(ns) => self.discoveries.ask(name, &ns, self.now),
            ClusterFact::Baseline(baseline) => self.discoveries.answer(name, *baseline, self.now),
            ClusterFact::Documented(told) => self.discoveries.documented(name, *told, self.now),
            ClusterFact::Foreseeing(target) => self.discoveries.foresee(target, self.now),
            ClusterFact::Foretold(told) => self.discoveries.foretold(*told, self.now),
            ClusterFact::Dns(path) => cluster.looked.dns = Some(path),
            ClusterFact::Kyverno(kyverno) => cluster.looked.kyverno = Some(*kyverno),
            ClusterFact::Preflight(report) => self.looked(name, *report),
            ClusterFact::Week(week) => cluster.looked.week = Some(week),
        }
        if let Some(cluster) = self.clusters.get(name) {
            self.soaks.look(cluster, &self.discoveries, self.now);
        }
    }

    fn absorb_policies(&mut self, name: &ClusterName, kind: PolicyKind, change: Change<Policy, PolicyKey>) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        self.incidents.touch(name);
        // What is listed for the first time is no change.
        let was_known = cluster.is_complete()
            && (kind == PolicyKind::NetworkPolicy || !matches!(change, Change::Reset(_)));
        let undecided = if was_known { undecided(&self.denials, cluster) } else { BTreeMap::new() };
        match change {
            Change::Reset(policies) => {
                self.policies.strangers.touch(name);
                cluster.reset_policies(kind, policies);
            }
            Change::Put(policy) => cluster.put_policy(policy),
            Change::Gone(key) => cluster.drop_policy(&key),
        }
        for ((ns, direction), before) in undecided {
            if digest(cluster, &ns, direction) != before {
                self.denials.stand(name, &ns, direction);
            }
        }
        self.settle_orders(name);
    }

    fn looked(&mut self, name: &ClusterName, report: Report) {
        if let Some(cluster) = self.clusters.get_mut(name) {
            preflight::take(&mut cluster.looked, report, self.now);
        }
        self.denials.weigh_again(name);
    }

    /// The watch settles what a write's answer left open.
    fn settle_orders(&mut self, name: &ClusterName) {
        if !self.orders.has_unsettled() {
            return;
        }
        let Some(cluster) = self.clusters.get(name) else { return };
        for (ns, seen) in &cluster.namespaces {
            self.orders.settle_by_watch(name, ns, seen, self.now);
        }
    }

    fn absorb_flows(&mut self, name: &ClusterName, flows: Vec<Flow>) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        self.sources.entry(name.clone()).or_default().flows += flows.len() as u64;
        for mut flow in flows {
            [&mut flow.source, &mut flow.destination].into_iter().for_each(|end| cluster.complete(end));
            let in_force = note_in_force(cluster, &flow);
            self.soaks.flow(name, &flow, in_force, self.now);
            match &flow.verdict {
                Verdict::Denied { .. } => {
                    self.denials.note(name, &flow, pod_age(cluster, &flow), self.now);
                }
                Verdict::Allowed { .. } => self.denials.reached(name, &flow),
                Verdict::Audit { .. } => self.denials.note_would(name, &flow, self.now),
            }
        }
    }

    /// Orders that run now, newest last.
    pub fn running(&self) -> impl Iterator<Item = &super::orders::Order> {
        self.orders.iter().filter(|order| order.is_running() && order.kind != OrderKind::Preview)
    }

    pub fn target_exists(&self, target: &Target) -> bool {
        self.namespace(&target.cluster, &target.ns).is_some()
    }
}

fn answered(cluster: &mut Cluster, now: Timestamp) {
    cluster.last_good = Some(now);
    cluster.health = cluster.answering();
}

/// `None`: the cluster serves none.
fn change_staged(cluster: &mut Cluster, change: Option<Change<Staged, PolicyKey>>) {
    match change {
        None => cluster.reset_staged(None),
        Some(Change::Reset(all)) => cluster.reset_staged(Some(all)),
        Some(Change::Put(staged)) => cluster.put_staged(staged),
        Some(Change::Gone(key)) => cluster.drop_staged(&key),
    }
}

fn change_pods(cluster: &mut Cluster, denials: &mut Denials, change: Change<Pod, (NsName, PodName)>) {
    match change {
        Change::Reset(pods) => {
            pods.iter().for_each(|pod| ready(denials, &cluster.name, pod));
            cluster.reset_pods(pods);
        }
        Change::Put(pod) => {
            ready(denials, &cluster.name, &pod);
            cluster.put_pod(pod);
        }
        Change::Gone((ns, pod)) => cluster.drop_pod(&ns, &pod),
    }
}

fn digest(cluster: &Cluster, ns: &NsName, direction: Direction) -> Option<PolicyDigest> {
    cluster.namespaces.get(ns).map(|ns| cluster.digest(ns, direction))
}

/// By which policies the rows were denied something that may still be excused.
fn undecided(denials: &Denials, cluster: &Cluster) -> BTreeMap<(NsName, Direction), Option<PolicyDigest>> {
    let rows = denials.undecided(&cluster.name).into_iter();
    rows.map(|row| (row.clone(), digest(cluster, &row.0, row.1))).collect()
}

fn ready(denials: &mut Denials, cluster: &ClusterName, pod: &Pod) {
    if let Some(since) = pod.ready {
        denials.ready(cluster, &pod.ns, &pod.name, since);
    }
}

fn pod_age(cluster: &Cluster, flow: &Flow) -> PodAge {
    let end = flow.judged();
    let pod =
        end.ns.as_ref().zip(end.pod.as_ref()).and_then(|(ns, pod)| cluster.namespaces.get(ns)?.pods.get(pod));
    pod.map_or_else(PodAge::default, |pod| PodAge { started: pod.started, ready: pod.ready })
}

/// A verdict that names one of our policies, or a denial on a pod that only ours isolate, is a sign
/// that they are in force.
fn note_in_force(cluster: &mut Cluster, flow: &Flow) -> bool {
    let (by, denied) = match &flow.verdict {
        Verdict::Allowed { by } => (by, false),
        Verdict::Denied { by, .. } => (by, true),
        Verdict::Audit { .. } => return false,
    };
    let direction: Direction = flow.direction;
    let end = flow.judged();
    let Some(ns) = end.ns.as_ref().and_then(|ns| cluster.namespaces.get_mut(ns)) else { return false };
    if ns.policies.is_empty() {
        return false;
    }
    let named = by.iter().any(|by| {
        crate::domain::policy::Pinned::find(by.kind, by.name.as_str())
            .is_some_and(|pinned| pinned.direction == direction)
    });
    let ours_only = || {
        denied
            && end.pod.as_ref().and_then(|pod| ns.pods.get(pod)).is_some_and(|pod| {
                let mut selecting = ns
                    .policies
                    .values()
                    .filter(|policy| {
                        policy.isolates(direction) != Some(false)
                            && policy.selects(&pod.labels) != Some(false)
                    })
                    .peekable();
                selecting.peek().is_some() && selecting.all(|policy| policy.pinned().is_some())
            })
    };
    let in_force = named || ours_only();
    if in_force {
        let seen = ns.in_force.entry(direction).or_insert(flow.at);
        *seen = flow.at.max(*seen);
    }
    in_force
}

/// What a target's namespace is called by people who read `cluster/namespace`.
pub fn address(cluster: &ClusterName, ns: &NsName) -> String {
    format!("{cluster}/{ns}")
}
