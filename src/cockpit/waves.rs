//! The rows of the fleet as candidates of waves, and the plan of both directions made of them. Worked
//! out once facts changed that it rests on, never while drawing; that of a large fleet in steps, so that
//! keys do not wait for it. Asks nobody.

mod draft;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    calendar::Calendar,
    cni::Cni,
    fleet::{Cluster, Environment, Health, Listed, Namespace},
    flow::Direction,
    forecast::Forecast,
    hold::{Hold, HoldKind},
    names::{ClusterName, NsName, Text},
    resolver::DnsPath,
    risk::Risk,
    rollout::{Applied, Kept, Record, Target},
    soak::{Reason, Verdict},
    time::Timestamp,
    wave::{Pace, RowState, Since, WavePlan},
};

use super::{
    gate, kept_clean,
    ports::{Change, ClusterFact, Fact, OrderFact},
    preflight,
    rows::{self, Phase},
    shared::SharedFact,
    world::World,
};

pub use draft::Draft;

/// The plan of both directions, as it was last worked out.
#[derive(Clone, Debug)]
pub struct Waves {
    pub egress: WavePlan,
    pub ingress: WavePlan,
    pub egress_forecast: Forecast,
    pub ingress_forecast: Forecast,
    /// Clusters whose lists are not read: rows of theirs may be missing here.
    pub unread: Vec<ClusterName>,
    pub at: Timestamp,
    /// When something that was counted in runs out.
    expires: Option<Timestamp>,
    /// Facts came that it rests on.
    touched: bool,
    /// How long the world worked for it.
    cost: TimeDelta,
}

impl Waves {
    /// Ages, credits and dates are never older than this, and the time that a large plan takes.
    const FRESH: TimeDelta = TimeDelta::seconds(60);
    /// Namespaces whose rows are worked out at once; those of a larger fleet are gathered in steps.
    pub(super) const AT_ONCE: usize = 2_500;
    /// Namespaces of one step.
    pub(super) const STEP: usize = 32;
    /// A large plan is not begun anew before this, whatever came.
    const PAUSE: TimeDelta = TimeDelta::seconds(5);
    /// Of the time that a large plan takes, so many times as long is waited before the next one.
    const SPARE: i32 = 20;

    /// Without a row.
    pub fn empty(now: Timestamp) -> Self {
        let plan =
            |direction| WavePlan::of(direction, &super::settings::Settings::default().egress, Vec::new());
        let none = Forecast { pace: None, waves: Vec::new(), end: None, earliest: None, delays: Vec::new() };
        Self {
            egress: plan(Direction::Egress),
            ingress: plan(Direction::Ingress),
            egress_forecast: none.clone(),
            ingress_forecast: none,
            unread: Vec::new(),
            at: now,
            expires: None,
            touched: true,
            cost: TimeDelta::zero(),
        }
    }

    pub fn plan(&self, direction: Direction) -> &WavePlan {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    pub fn forecast(&self, direction: Direction) -> &Forecast {
        match direction {
            Direction::Egress => &self.egress_forecast,
            Direction::Ingress => &self.ingress_forecast,
        }
    }

    /// Something came that it rests on.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.touched || now - self.at >= Self::FRESH || self.expires.is_some_and(|expires| expires <= now)
    }

    /// A large one.
    pub(super) fn is_due_again(&self, now: Timestamp) -> bool {
        let pause = Self::PAUSE.max(self.cost * Self::SPARE).min(Self::FRESH);
        self.is_due(now) && (now - self.at >= pause || self.plan(Direction::Egress).waves.is_empty())
    }

    /// How long a large one kept the loop busy.
    pub fn took(&mut self, time: TimeDelta) {
        self.cost = time;
    }

    /// A person's write came: the next one is not put off for what this one took.
    pub(super) fn hurry(&mut self) {
        self.cost = TimeDelta::zero();
    }

    /// A row of a large plan, as it is now. It stays in its wave until the next plan.
    pub(super) fn restate(&mut self, target: &Target, now: RowNow) {
        let plan = match target.direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        plan.restate(target, now.state, now.since, now.recorded);
    }

    /// A draft was begun: what comes from now on is not in it for sure.
    pub(super) fn begun(&mut self) {
        self.touched = false;
    }

    /// Takes the place of the one before, and keeps what came since it was begun. What is left in `next`
    /// is the one before.
    pub(super) fn follow(&mut self, next: &mut Self) {
        let touched = self.touched;
        std::mem::swap(self, next);
        self.touched = touched;
    }

    /// Works it out anew, at once.
    pub(super) fn of(world: &World) -> Self {
        let mut draft = Draft::begin(world);
        let all = draft.next(world, usize::MAX);
        draft.gather(world, &all);
        draft.finish()
    }

    /// Since when a row is in a state of which nobody recorded when it began: what this run saw change it
    /// knows, of all else only that it was so before.
    fn seen_since(&self, target: &Target, state: &RowState, now: Timestamp) -> Since {
        match self.plan(target.direction).row(target).map(|(_, row)| row) {
            Some(row) if row.state.word() == state.word() && row.since != Since::Unknown => row.since,
            Some(row) if !matches!(row.state, RowState::Unknown(_) | RowState::Unreachable(_)) => {
                Since::At(now)
            }
            Some(_) | None => Since::Before(now),
        }
    }
}

/// When rows may be applied.
pub fn calendar(world: &World) -> Calendar<'_> {
    let settings = &world.plan().settings;
    Calendar { hours: settings.hours.as_ref(), blocked: &settings.blocked }
}

/// How a row stands.
pub(super) struct RowNow {
    pub state: RowState,
    pub since: Since,
    pub recorded: Option<u32>,
}

impl RowNow {
    pub(super) fn of(world: &World, target: &Target) -> Self {
        let (state, since) = row_state(world, target);
        let since = since_when(world, target, &state, since);
        Self { state, since, recorded: record(world, target).and_then(|kept| kept.value.wave) }
    }
}

/// By the record where there is one, else by what this run saw.
fn since_when(world: &World, target: &Target, state: &RowState, known: Option<Timestamp>) -> Since {
    known.map_or_else(|| world.waves().seen_since(target, state, world.now()), Since::At)
}

/// The rows that a fact is about and that must not wait for the next plan: those of an order, of a
/// record, and of a policy.
pub(super) fn concerned(world: &World, fact: &Fact) -> Option<(ClusterName, NsName)> {
    let of = |target: &Target| Some((target.cluster.clone(), target.ns.clone()));
    match fact {
        Fact::Order(id, fact) => match fact {
            OrderFact::Started { target, .. } => of(target),
            OrderFact::Ended(_) => of(&world.orders().get(*id)?.target),
            OrderFact::Previewed(_) | OrderFact::Wrote(_) => None,
        },
        Fact::Shared(SharedFact::Records(Change::Put(kept))) => of(&kept.value.target),
        Fact::Cluster(name, ClusterFact::Policies(_, change)) => {
            let ns = match change {
                Change::Put(policy) => policy.key.ns.as_ref(),
                Change::Gone(key) => key.ns.as_ref(),
                Change::Reset(_) => None,
            };
            Some((name.clone(), ns?.clone()))
        }
        _ => None,
    }
}

/// Whether the plan rests on a fact: always, by what it changes of its cluster, or never. A flood of
/// flows and of pods that come and go costs nothing here.
pub(super) enum Rests {
    Always,
    /// What may change with any answer of the API server.
    Shape(ClusterName),
    /// What is found out again every few minutes, most often as it was.
    Looked(ClusterName),
    Never,
}

/// What of a cluster is compared before and after a fact.
#[derive(PartialEq)]
pub(super) enum Shape {
    Answers(std::mem::Discriminant<Health>, bool, bool, usize),
    Looked(Option<Cni>, Option<&'static str>, Option<Text>),
}

impl Rests {
    pub(super) fn on(fact: &Fact) -> Self {
        match fact {
            Fact::Fleet(_) | Fact::Files(_) | Fact::Order(..) => Self::Always,
            Fact::Tick(_)
            | Fact::Plan(_)
            | Fact::Zone(_)
            | Fact::ReadOnly
            | Fact::Rules(_)
            | Fact::Flagged(_)
            | Fact::Document(_)
            | Fact::Notice(_) => Self::Never,
            Fact::Shared(fact) => match fact {
                SharedFact::Records(_)
                | SharedFact::Holds(_)
                | SharedFact::Evidence(_)
                | SharedFact::Reviews(_)
                | SharedFact::Waivers(_) => Self::Always,
                SharedFact::Link(_)
                | SharedFact::Clock(_)
                | SharedFact::Rights(_)
                | SharedFact::Overrides(_)
                | SharedFact::Journal(_)
                | SharedFact::Observer(..)
                | SharedFact::Alerted(..)
                | SharedFact::Asked(_)
                | SharedFact::Waiting(_)
                | SharedFact::Wrote { .. } => Self::Never,
            },
            Fact::Cluster(name, fact) => match fact {
                ClusterFact::Cni(_) | ClusterFact::Dns(_) | ClusterFact::Preflight(_) => {
                    Self::Looked(name.clone())
                }
                ClusterFact::Met { .. }
                | ClusterFact::Namespaces(_)
                | ClusterFact::Policies(..)
                | ClusterFact::Collector(_) => Self::Always,
                ClusterFact::Answered
                | ClusterFact::Away(_)
                | ClusterFact::Partial { .. }
                | ClusterFact::Pods(_) => Self::Shape(name.clone()),
                ClusterFact::Identity(_)
                | ClusterFact::Rights(_)
                | ClusterFact::Flows(_)
                | ClusterFact::Heard { .. }
                | ClusterFact::Gap(_)
                | ClusterFact::Source(_)
                | ClusterFact::CronJobs(_)
                | ClusterFact::Week(_)
                | ClusterFact::Kyverno(_)
                | ClusterFact::Staged(_)
                | ClusterFact::Asked(_)
                | ClusterFact::Probed { .. }
                | ClusterFact::Baseline(_)
                | ClusterFact::Documented(_)
                | ClusterFact::Foreseeing(_)
                | ClusterFact::Foretold(_) => Self::Never,
            },
        }
    }

    pub(super) fn shape(&self, world: &World) -> Option<Shape> {
        match self {
            Self::Shape(name) => world.cluster(name).map(shape),
            Self::Looked(name) => world.cluster(name).map(|cluster| {
                let stop = preflight::stops_rollout(cluster).next().map(|check| check.why.clone());
                let dns = cluster.looked.dns.as_ref().and_then(DnsPath::mode);
                Shape::Looked(cluster.cni.clone(), dns, stop)
            }),
            Self::Always | Self::Never => None,
        }
    }

    pub(super) fn changed(&self, before: Option<&Shape>, world: &World) -> bool {
        match self {
            Self::Always => true,
            Self::Shape(_) | Self::Looked(_) => self.shape(world).as_ref() != before,
            Self::Never => false,
        }
    }
}

fn shape(cluster: &Cluster) -> Shape {
    let with_pods = cluster.namespaces.values().filter(|ns| ns.subjects().next().is_some()).count();
    let pods = cluster.listed.contains(&Listed::Pods);
    Shape::Answers(std::mem::discriminant(&cluster.health), cluster.is_complete(), pods, with_pods)
}

/// Which cluster of staging, or of the others, has the most namespaces in scope? Of equals the last one
/// of the file; one cluster alone is not the largest.
fn largest<'w>(
    world: &'w World,
    staging: bool,
    sizes: &BTreeMap<&ClusterName, usize>,
) -> Option<&'w ClusterName> {
    let alike = world.clusters().filter(|one| (one.environment == Environment::Staging) == staging);
    let sizes: Vec<_> = alike.map(|one| (sizes.get(&one.name).copied().unwrap_or(0), &one.name)).collect();
    let largest = sizes.iter().max_by_key(|(size, _)| *size)?;
    (sizes.len() > 1 && largest.0 > 0).then_some(largest.1)
}

fn after(world: &World, ns: &NsName) -> Vec<NsName> {
    let entries = world.plan().settings.dependencies.iter().filter(|entry| entry.ns == *ns);
    entries.flat_map(|entry| entry.after.iter().cloned()).collect()
}

/// What is known of the harm that a namespace can do. It rests only on what every cockpit sees alike:
/// the file, the collector's figures, and labels by which controllers are known.
pub fn risk(
    world: &World,
    cluster: &Cluster,
    ns: &NsName,
    seen: Option<&Namespace>,
    configured: Option<u8>,
) -> Risk {
    let listed = cluster.listed.contains(&Listed::Pods);
    let collected = world.discoveries().collected(&cluster.name);
    let parties = collected.and_then(|collected| collected.state.tally(ns)?.parties);
    Risk {
        configured,
        callers: parties.map(|parties| parties.callers),
        callees: parties.map(|parties| parties.callees),
        flows: parties.map(|parties| parties.flows),
        controllers: seen.filter(|_| listed).map(controllers),
        webhooks: parties.map(|parties| parties.webhooks),
        inward: false,
    }
}

/// Workloads that reconcile or route for others, by the labels that their charts set (kubebuilder's
/// `control-plane`, and `app.kubernetes.io/component: controller` of ingress controllers).
fn controllers(ns: &Namespace) -> u64 {
    let is_controller = |key: &str, value: &str| match key {
        "control-plane" => true,
        "app.kubernetes.io/component" => value == "controller",
        _ => false,
    };
    let pods = ns.subjects().filter(|pod| pod.labels.iter().any(|(key, value)| is_controller(key, value)));
    pods.map(|pod| &pod.workload).collect::<BTreeSet<_>>().len() as u64
}

/// What is recorded of a row, unless the record is of another cluster that had its name before.
pub fn record<'w>(world: &'w World, target: &Target) -> Option<&'w Kept<Record>> {
    let uid = world.cluster(&target.cluster)?.uid.as_ref();
    world.shared().record(target).filter(|kept| uid.is_none_or(|uid| *uid == kept.value.uid))
}

/// Holds of one kind that concern a row and have not run out, by the state cluster's clock. While that
/// is not known, a hold holds and an exclusion does not exclude.
pub fn holds<'w>(world: &'w World, target: &Target, kind: HoldKind) -> impl Iterator<Item = &'w Kept<Hold>> {
    let target = target.clone();
    running(world, kind).filter(move |kept| kept.value.scope.holds(&target))
}

/// Holds of one kind that have not run out, of whatever row.
fn running(world: &World, kind: HoldKind) -> impl Iterator<Item = &Kept<Hold>> {
    let now = world.shared().now(world.now());
    world.shared().holds().filter(move |kept| {
        let runs = match (kept.value.expires, now) {
            (None, _) => kind == HoldKind::Hold,
            (Some(expires), Some(now)) => expires > now,
            (Some(_), None) => kind == HoldKind::Hold,
        };
        kept.value.kind == kind && runs
    })
}

/// Of these exclusions the one of this row that lasts longest.
fn exclusion<'h>(all: &'h [Hold], target: &Target) -> Option<&'h Hold> {
    let ours = all.iter().filter(|hold| hold.scope.holds(target));
    ours.max_by_key(|hold| (hold.expires, &hold.stamp))
}

/// How far a row is, and since when, where that is known. The one place that asks for it: what the
/// soak's tracker knows of a live row comes in by [`live`].
pub fn row_state(world: &World, target: &Target) -> (RowState, Option<Timestamp>) {
    let Some(cluster) = world.cluster(&target.cluster) else {
        return (RowState::Unknown(Text::new("it is not a cluster of this fleet")), None);
    };
    let recorded = record(world, target).map(|kept| &kept.value);
    let applied = recorded.and_then(|record| record.applied.as_ref());
    let taken_back = recorded.and_then(|record| record.rolled_back.as_ref());
    if let Some(back) =
        taken_back.filter(|back| applied.is_none_or(|applied| back.stamp.at >= applied.stamp.at))
    {
        return (RowState::RolledBack, Some(back.stamp.at));
    }
    let clean = kept_clean::since(world, target);
    let ns = match (&cluster.health, cluster.namespaces.get(&target.ns)) {
        // What was clean has left its wave, whether or not its cluster answers now.
        (Health::Down(_), _) | (_, None) if clean.is_some() => return (RowState::Clean, clean),
        (Health::Down(why), _) => return (RowState::Unreachable(why.clone()), cluster.last_good),
        (Health::Connecting, _) => {
            return (RowState::Unknown(Text::new("its cluster has not answered yet")), cluster.last_good);
        }
        (Health::Up | Health::Degraded(_), _) if !cluster.is_complete() => {
            return (RowState::Unknown(Text::new("its cluster's lists are not read")), cluster.last_good);
        }
        (Health::Up | Health::Degraded(_), None) => {
            return (RowState::Unknown(Text::new("its namespace is not there")), cluster.last_good);
        }
        (Health::Up | Health::Degraded(_), Some(ns)) => ns,
    };
    let since = applied.map(|applied| applied.stamp.at);
    // However long they soak: bytes that nobody applied do not let their wave go on.
    let is_other = |applied: &Applied| ns.pinned_digest(target.direction) != applied.digest;
    match rows::rollout_phase(world, cluster, ns, target.direction) {
        Phase::Soaking | Phase::Steady if applied.is_some_and(is_other) => {
            (RowState::Withheld(Text::new("its policies are not those that were applied")), since)
        }
        Phase::Soaking | Phase::Steady => live(world, target, (since, clean)),
        Phase::Partial if world.orders().in_flight(&target.cluster, &target.ns).is_some() => {
            (RowState::Waiting, None)
        }
        Phase::Partial => {
            (RowState::Incident(Text::new("some of its policies are live, or its valve is open")), None)
        }
        Phase::RolledBack => (RowState::RolledBack, None),
        Phase::Unknown => (RowState::Unknown(Text::new("its policy files are still being read")), None),
        Phase::Authored | Phase::Discovery | Phase::Excluded if applied.is_some() => {
            (RowState::Incident(Text::new("its policies were applied and are gone")), since)
        }
        Phase::Authored | Phase::Discovery | Phase::Excluded => (not_applied(world, cluster, ns), None),
    }
}

/// A row whose whole set is live and closed: what its soak clock says. One that was clean and kept its
/// bytes stays so when its credit lapses, unless something is against it.
fn live(
    world: &World,
    target: &Target,
    (since, clean): (Option<Timestamp>, Option<Timestamp>),
) -> (RowState, Option<Timestamp>) {
    let Some(judged) = world.soaks().judged_lately(target, world) else {
        return (RowState::Unknown(Text::new("its soak has not begun")), since);
    };
    let hurts = judged.verdict.reasons().iter().any(Reason::is_harm);
    // What voided it may be known since it was judged just now.
    let voided = |at: &Timestamp| judged.restart.as_ref().is_some_and(|restart| restart.at > *at);
    if let Some(at) = clean.filter(|at| !hurts && !voided(at)) {
        return (RowState::Clean, Some(at));
    }
    // Nothing live is touched by it, and other bytes may be applied; but it does not become clean.
    if let Some(why) = ungranted(world, target) {
        return (RowState::Withheld(why), since);
    }
    let state = match &judged.verdict {
        Verdict::NotStarted => RowState::Unknown(Text::new("its soak has not begun")),
        // Its first pod came, and its first minute was not watched to the end yet.
        Verdict::Idle if !has_pods(world, target) => RowState::Idle,
        // That its pods are gone does not mend what was denied.
        Verdict::Soaking { .. } if judged.credited == 0 && !hurts && is_empty(world, target) => {
            RowState::Idle
        }
        Verdict::Soaking { .. } | Verdict::Idle => {
            let (credited, wall) = judged.last_day();
            RowState::Soaking {
                credited: Some(TimeDelta::minutes(judged.credited)),
                needed: TimeDelta::minutes(judged.needed),
                day: (!wall.is_zero()).then_some(Pace { credited, wall }),
            }
        }
        Verdict::Withheld { reasons } => {
            let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
            RowState::Withheld(Text::from(reasons.join("; ")))
        }
        Verdict::Clean { since } => return (RowState::Clean, Some(*since)),
    };
    (state, since)
}

/// It opens what nobody granted, or what was granted until a day that is over.
fn ungranted(world: &World, target: &Target) -> Option<Text> {
    let first = gate::incidents_of(world, target).into_iter().next()?;
    Some(Text::from(format!("incident: {}", first.opening.reason(target, world.zone())?)))
}

/// Pods are known to be there.
fn has_pods(world: &World, target: &Target) -> bool {
    world.namespace(&target.cluster, &target.ns).is_some_and(|ns| ns.subjects().next().is_some())
}

/// No pods, and no CronJob that would bring one: also before the first minute was watched.
fn is_empty(world: &World, target: &Target) -> bool {
    let has_pods = |cluster: &Cluster| {
        let ns = cluster.namespaces.get(&target.ns);
        !cluster.listed.contains(&Listed::Pods) || ns.is_some_and(|ns| ns.subjects().next().is_some())
    };
    let mut crons = world.discoveries().crons(&target.cluster, &target.ns).into_iter().flatten();
    !world.cluster(&target.cluster).is_none_or(has_pods) && crons.next().is_none()
}

/// Can it be applied at all?
fn not_applied(world: &World, cluster: &Cluster, ns: &Namespace) -> RowState {
    if cluster.enforcement().is_off() {
        return RowState::Blocked(Text::new("its cluster does not enforce NetworkPolicies"));
    }
    if let Some(check) = preflight::stops_row(world, cluster, &ns.seen.name).next() {
        return RowState::Blocked(Text::from(format!("pre-flight: {}", check.why)));
    }
    if ns.seen.terminating {
        return RowState::Blocked(Text::new("its namespace is being deleted"));
    }
    RowState::Waiting
}
