//! What people see of the world: one projection that the screen and `-o json` both read (law 10).
//! Every figure that can be unknown is an `Option`; every row has the time of its last good read.

use crate::domain::{
    denial::{Class, Denials, Group, Minutes},
    fleet::{Cluster, Enforcement, Environment, Health, Isolation, Listed, Namespace, Part, Presence},
    flow::Direction,
    names::{ClusterName, NsName, Text},
    policy::{Pinned, PolicyKind},
    source::SourceKind,
    time::Timestamp,
};

use super::{
    discovery::{self, CollectionRow, CollectorRow},
    kept_clean,
    open_ends::taken_back,
    orders::{OrderId, OrderKind, OrderState, Origin, Preview, Target},
    ports::{Link, Trouble},
    shadow::{self, Shadow},
    soaks::SoakRow,
    steady,
    world::{Source, World},
};

/// A cluster as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRow {
    pub name: ClusterName,
    pub context: Text,
    pub environment: Environment,
    pub health: Health,
    /// Last good answer of the API server.
    pub last_good: Option<Timestamp>,
    pub uid: Option<Text>,
    pub version: Option<Text>,
    pub cni: CniRow,
    pub user: Option<Text>,
    /// What we may do here, in words.
    pub may: Vec<&'static str>,
    /// `None` until namespaces are listed.
    pub namespaces: Option<usize>,
    pub pods: Option<usize>,
    /// Rollouts with a complete, closed set, and how many there could be.
    pub tight: Option<usize>,
    /// Denials a minute; `None` without a live source.
    pub denials_per_minute: Option<f64>,
    pub source: SourceRow,
    pub collector: CollectorRow,
}

/// The CNI as a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CniRow {
    /// Kind and version, in words; `unknown` until it is recognised.
    pub words: Text,
    pub enforcement: Enforcement,
    pub evidence: Option<Text>,
}

/// A flow source as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRow {
    pub name: Text,
    /// `None`: no source has said anything yet, or there is none.
    pub kind: Option<SourceKind>,
    /// `none`, `connecting`, `live`, `broken`.
    pub link: &'static str,
    pub reason: Option<Text>,
    pub at: Option<Timestamp>,
    pub history_from: Option<Timestamp>,
    pub lag_ms: Option<i64>,
    pub flows: u64,
    /// Events lost, as far as counted, and gaps noted; `None`: nothing was ever read of it.
    pub lost: Option<u64>,
    pub gaps: Option<usize>,
    pub malformed: u64,
    pub repeats: u64,
    pub nodes_connected: Option<u32>,
    pub nodes_unavailable: Option<u32>,
}

impl SourceRow {
    /// What its kind of source cannot say.
    pub fn limits(&self) -> &'static [&'static str] {
        self.kind.map_or(&[], |kind| kind.ability().limits)
    }
}

/// A namespace as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceRow {
    pub cluster: ClusterName,
    pub name: NsName,
    pub excluded: bool,
    pub terminating: bool,
    pub owner: Option<Text>,
    pub contact: Option<Text>,
    pub pods: Option<usize>,
    pub collection: CollectionRow,
    pub egress: RolloutRow,
    pub ingress: RolloutRow,
}

impl NamespaceRow {
    pub fn rollout(&self, direction: Direction) -> &RolloutRow {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not all lists are read.
    Unknown,
    Excluded,
    /// No policy files and nothing live.
    Discovery,
    /// Policy files are there, nothing is live.
    Authored,
    /// Some of the set is live, or the valve is open.
    Partial,
    /// The whole set is live and closed; not clean yet, or not clean any more.
    Soaking,
    /// These bytes soaked clean, and are kept. They are watched on.
    Steady,
    /// Taken back, in this run or by the team's record.
    RolledBack,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Excluded => "excluded",
            Self::Discovery => "discovery",
            Self::Authored => "authored",
            Self::Partial => "partial",
            Self::Soaking => "soaking",
            Self::Steady => "steady",
            Self::RolledBack => "rolled back",
        }
    }
}

/// How sure it is that the set is enforced. Never called enforced before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    None,
    Accepted,
    /// The data plane was seen judging by it, but not on every node that runs its pods.
    OnSome(Nodes),
    /// … on each of them.
    InForce,
}

/// Nodes on which a set was seen in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nodes {
    /// Which nodes run its pods is not known.
    Unknown,
    Of(usize, usize),
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Accepted => "accepted",
            Self::OnSome(_) => "in force in part",
            Self::InForce => "in force",
        }
    }

    /// The same with how many nodes it is about: `in force on 1 of 2 nodes`.
    pub fn words(self) -> String {
        match self {
            Self::OnSome(Nodes::Unknown) => "in force on ? nodes".to_owned(),
            Self::OnSome(Nodes::Of(on, of)) => format!("in force on {on} of {of} nodes"),
            Self::None | Self::Accepted | Self::InForce => self.as_str().to_owned(),
        }
    }

    /// For a narrow column: `1/2 nodes`.
    pub fn short(self) -> String {
        match self {
            Self::OnSome(Nodes::Unknown) => "? nodes".to_owned(),
            Self::OnSome(Nodes::Of(on, of)) => format!("{on}/{of} nodes"),
            Self::None | Self::Accepted | Self::InForce => self.as_str().to_owned(),
        }
    }
}

/// One rollout as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRow {
    pub target: Target,
    pub phase: Phase,
    pub standing: Standing,
    /// Each pinned policy and whether it is live; optional ones only where live.
    pub policies: Vec<(&'static str, bool)>,
    pub foreign: usize,
    /// `None` until pods and policies are listed.
    pub isolation: Option<Isolation>,
    /// Denials by the minute, oldest first; `None` without a live source.
    pub minutes: Option<[u32; Minutes::LEN]>,
    pub denials_per_minute: Option<f64>,
    /// An order under way.
    pub order: Option<OrderId>,
    /// Missing, changed against the workspace, or still isolating after a rollback, in words; also of a
    /// namespace that came after its wave.
    pub drift: Vec<Text>,
    /// The soak clock; `None` while the set is not live and closed, or its cluster's UID is not known.
    pub soak: Option<Box<SoakRow>>,
    /// What is only staged of it; `None`: nothing.
    pub shadow: Option<Shadow>,
}

/// All clusters in the order of the fleet file.
pub fn clusters(world: &World) -> impl Iterator<Item = ClusterRow> {
    world.clusters().map(|cluster| cluster_row(world, cluster))
}

pub fn cluster_row(world: &World, cluster: &Cluster) -> ClusterRow {
    let source = world.source(&cluster.name);
    let listed = cluster.listed.contains(&Listed::Namespaces);
    let entry = world.plan().clusters.iter().find(|entry| entry.name == cluster.name);
    let tight = |ns: &Namespace| {
        Direction::ALL.into_iter().filter(|direction| ns.presence(*direction) == Presence::Tight).count()
    };
    ClusterRow {
        name: cluster.name.clone(),
        context: entry.map(|entry| entry.context.clone()).unwrap_or_default(),
        environment: cluster.environment,
        health: cluster.health.clone(),
        last_good: cluster.last_good,
        uid: cluster.uid.clone(),
        version: cluster.version.clone(),
        cni: CniRow {
            words: cni_words(cluster),
            enforcement: cluster.enforcement(),
            evidence: cluster.cni.as_ref().map(|cni| cni.evidence.clone()),
        },
        user: cluster.identity.as_ref().map(|identity| identity.user.clone()),
        may: may(cluster),
        namespaces: listed.then_some(cluster.namespaces.len()),
        pods: cluster
            .listed
            .contains(&Listed::Pods)
            .then(|| cluster.namespaces.values().map(|ns| ns.pods.len()).sum()),
        tight: cluster.is_complete().then(|| cluster.namespaces.values().map(tight).sum()),
        denials_per_minute: live(source).then(|| denials_per_minute(world, cluster)),
        source: source_of(world, cluster),
        collector: discovery::collector_row(world, &cluster.name),
    }
}

/// Of a group of denials, now; `None`: its cluster's flows are not seen now, and so neither is an end.
pub fn group_rate(world: &World, group: &Group, now: Timestamp) -> Option<f64> {
    live(world.source(&group.key.cluster)).then(|| group.minutes.per_minute(now))
}

fn denials_per_minute(world: &World, cluster: &Cluster) -> f64 {
    let rate = |ns: &NsName, direction| {
        world
            .denials()
            .minutes(&cluster.name, ns, direction)
            .map_or(0.0, |minutes| minutes.per_minute(world.now()))
    };
    cluster.namespaces.keys().flat_map(|ns| Direction::ALL.map(|direction| rate(ns, direction))).sum()
}

fn cni_words(cluster: &Cluster) -> Text {
    match &cluster.cni {
        None => Text::new("unknown"),
        Some(cni) => match &cni.version {
            Some(version) => Text::from(format!("{} {version}", cni.kind.as_str())),
            None => Text::new(cni.kind.as_str()),
        },
    }
}

fn may(cluster: &Cluster) -> Vec<&'static str> {
    let words = cluster.rights.words().into_iter();
    words.filter_map(|(right, word)| (right == Some(true)).then_some(word)).collect()
}

fn live(source: Option<&Source>) -> bool {
    source.is_some_and(Source::is_live)
}

/// It told something at some time: else that it lost nothing is not known.
fn was_read(source: &Source) -> bool {
    source.is_live() || source.flows > 0 || !source.gaps.is_empty() || !source.heard.is_empty()
}

/// A cluster's flow source as a row. That of a cluster which is down is not "none" without a word.
pub fn source_of(world: &World, cluster: &Cluster) -> SourceRow {
    let source = world.source(&cluster.name);
    let mut row = source_row(source);
    if source.is_none_or(|source| source.state.is_none())
        && let Health::Down(reason) = &cluster.health
    {
        row.reason = Some(Text::from(format!("the cluster is down: {reason}")));
    }
    row
}

pub fn source_row(source: Option<&Source>) -> SourceRow {
    let state = source.and_then(|source| source.state.as_ref());
    let (link, reason) = match state.map(|state| &state.link) {
        None => ("none", None),
        Some(Link::None(why)) => ("none", Some(why.clone())),
        Some(Link::Connecting) => ("connecting", None),
        Some(Link::Live) => ("live", None),
        Some(Link::Broken(trouble)) => ("broken", Some(Text::from(trouble.to_string()))),
    };
    let read = source.filter(|source| was_read(source));
    SourceRow {
        name: state.map(|state| state.name.clone()).unwrap_or_default(),
        kind: state.filter(|state| !matches!(state.link, Link::None(_))).map(|state| state.kind),
        link,
        reason,
        at: source.and_then(|source| source.at),
        history_from: state.and_then(|state| state.history_from),
        lag_ms: state.and_then(|state| state.lag).map(|lag| lag.num_milliseconds()),
        flows: source.map_or(0, |source| source.flows),
        lost: read.map(|source| source.lost),
        gaps: read.map(|source| source.gaps.len()),
        malformed: state.map_or(0, |state| state.malformed),
        repeats: state.map_or(0, |state| state.repeats),
        nodes_connected: state.and_then(|state| state.nodes_connected),
        nodes_unavailable: state.and_then(|state| state.nodes_unavailable),
    }
}

/// The namespaces of a cluster by name.
pub fn namespaces<'w>(world: &'w World, cluster: &'w Cluster) -> impl Iterator<Item = NamespaceRow> + 'w {
    cluster.namespaces.values().map(|ns| namespace_row(world, cluster, ns))
}

pub fn namespace_row(world: &World, cluster: &Cluster, ns: &Namespace) -> NamespaceRow {
    let (owner, contact) = owner(world, ns);
    NamespaceRow {
        cluster: cluster.name.clone(),
        name: ns.seen.name.clone(),
        excluded: world.plan().excludes(&ns.seen.name),
        terminating: ns.seen.terminating,
        owner,
        contact,
        pods: cluster.listed.contains(&Listed::Pods).then_some(ns.pods.len()),
        collection: discovery::collection_row(world, &cluster.name, &ns.seen.name),
        egress: rollout_row(world, cluster, ns, Direction::Egress),
        ingress: rollout_row(world, cluster, ns, Direction::Ingress),
    }
}

/// Owner and contact: `sluice.yaml` first, else the namespace's annotations.
pub fn owner(world: &World, ns: &Namespace) -> (Option<Text>, Option<Text>) {
    match world.plan().owner_of(&ns.seen.name) {
        Some(entry) => (Some(entry.owner.clone()), entry.contact.clone().or_else(|| ns.seen.contact.clone())),
        None => (ns.seen.owner.clone(), ns.seen.contact.clone()),
    }
}

pub fn rollout_row(world: &World, cluster: &Cluster, ns: &Namespace, direction: Direction) -> RolloutRow {
    let target = Target { cluster: cluster.name.clone(), ns: ns.seen.name.clone(), direction };
    let presence = ns.presence(direction);
    let listed = cluster.listed.contains(&Listed::Pods) && cluster.listed.contains(&Listed::Policies);
    let minutes = world.denials().minutes(&cluster.name, &ns.seen.name, direction);
    let is_live = live(world.source(&cluster.name));
    let soak = world.soaks().row(&target, world).map(Box::new);
    // A verdict that names a policy shows that it is judged; where it is only audited, no more.
    let is_off = cluster.enforcement().is_off();
    RolloutRow {
        phase: phase(world, cluster, &target, &presence),
        standing: match presence {
            Presence::None | Presence::Partial { .. } | Presence::Open => Standing::None,
            Presence::Tight if is_off => Standing::Accepted,
            Presence::Tight => standing(ns.in_force.contains_key(&direction), soak.as_deref()),
        },
        policies: Pinned::of(direction)
            .map(|pinned| (pinned, ns.pinned(pinned).is_some()))
            .filter(|(pinned, live)| pinned.is_required() || *live)
            .map(|(pinned, live)| (pinned.name, live))
            .collect(),
        foreign: ns
            .policies
            .values()
            .filter(|policy| policy.pinned().is_none() && policy.isolates(direction) != Some(false))
            .count(),
        isolation: listed.then(|| ns.isolation(direction)),
        minutes: is_live.then(|| minutes.map_or([0; Minutes::LEN], |minutes| minutes.at(world.now()))),
        denials_per_minute: is_live.then(|| minutes.map_or(0.0, |minutes| minutes.per_minute(world.now()))),
        order: world.orders().in_flight(&cluster.name, &ns.seen.name).map(|order| order.id),
        drift: drift(world, cluster, ns, &target, &presence),
        soak,
        shadow: shadow::of(world, &target),
        target,
    }
}

/// Where a rollout stands, without the rest of its row.
pub fn rollout_phase(world: &World, cluster: &Cluster, ns: &Namespace, direction: Direction) -> Phase {
    let target = Target { cluster: cluster.name.clone(), ns: ns.seen.name.clone(), direction };
    phase(world, cluster, &target, &ns.presence(direction))
}

fn phase(world: &World, cluster: &Cluster, target: &Target, presence: &Presence) -> Phase {
    if world.plan().excludes(&target.ns) {
        return Phase::Excluded;
    }
    if !cluster.is_complete() {
        return Phase::Unknown;
    }
    match presence {
        Presence::Partial { .. } | Presence::Open => Phase::Partial,
        Presence::Tight if is_steady(world, cluster, target) => Phase::Steady,
        Presence::Tight => Phase::Soaking,
        Presence::None if rolled_back(world, cluster, target) => Phase::RolledBack,
        Presence::None if world.files().pending => Phase::Unknown,
        Presence::None => {
            let key = (target.cluster.clone(), target.ns.clone(), target.direction);
            if world.files().sets.contains_key(&key) { Phase::Authored } else { Phase::Discovery }
        }
    }
}

/// Clean by now, or recorded as clean: the very bytes that are live.
fn is_steady(world: &World, cluster: &Cluster, target: &Target) -> bool {
    let recorded = || {
        kept_clean::since(world, target)?;
        let clean = world.shared().record(target)?.value.clean.as_ref()?;
        let ns = cluster.namespaces.get(&target.ns).filter(|_| cluster.uid.is_some())?;
        Some(clean.digest == ns.pinned_digest(target.direction))
    };
    world.soaks().is_clean(target) || recorded().unwrap_or(false)
}

/// What was seen on each node; a verdict alone does not say that it was seen on all.
fn standing(is_seen: bool, soak: Option<&SoakRow>) -> Standing {
    match soak.map(|soak| (soak.judged.in_force, soak.judged.nodes)) {
        None | Some((_, 0)) if is_seen => Standing::OnSome(Nodes::Unknown),
        None | Some((0, _)) => Standing::Accepted,
        Some((on, of)) if on == of => Standing::InForce,
        Some((on, of)) => Standing::OnSome(Nodes::Of(on, of)),
    }
}

fn drift(
    world: &World,
    cluster: &Cluster,
    ns: &Namespace,
    target: &Target,
    presence: &Presence,
) -> Vec<Text> {
    let mut out = Vec::new();
    match presence {
        Presence::None => {
            out.extend(still_isolated(world, cluster, ns, target));
            out.extend(steady::missing(world, cluster, target));
            return out;
        }
        Presence::Partial { missing } => {
            out.extend(missing.iter().map(|name| Text::from(format!("{name} is missing"))));
        }
        Presence::Open => out.push(Text::new("the valve is open: nothing is denied")),
        Presence::Tight => out.extend(kept_clean::lost(world, target)),
    }
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    if let Some(authored) = world.files().sets.get(&key) {
        for (name, wanted) in &authored.set {
            let live = Pinned::of(target.direction).find(|p| p.name == *name).and_then(|p| ns.pinned(p));
            if live.is_some_and(|live| live.spec != wanted.spec) {
                out.push(Text::from(format!("{name} differs from the workspace")));
            }
        }
    }
    out
}

/// After a rollback: what isolates pods all the same, shown until nothing does.
fn still_isolated(world: &World, cluster: &Cluster, ns: &Namespace, target: &Target) -> Vec<Text> {
    if !rolled_back(world, cluster, target) {
        return Vec::new();
    }
    let isolation = ns.isolation(target.direction);
    let by = isolation.by.iter().map(|key| format!("still isolated by {key}"));
    let maybe = isolation.unknown.iter().map(|key| format!("perhaps still isolated by {key}"));
    by.chain(maybe).map(Text::from).collect()
}

/// In this run, or by the team's record of this very cluster.
fn rolled_back(world: &World, cluster: &Cluster, target: &Target) -> bool {
    let here = world.orders().latest(target);
    let here = here.is_some_and(|order| {
        order.kind == OrderKind::Rollback && matches!(order.state, OrderState::Ended(_))
    });
    here || world.shared().record(target).is_some_and(|kept| {
        Some(&kept.value.uid) == cluster.uid.as_ref() && taken_back(&kept.value).is_some()
    })
}

/// What an apply does to pods, in one line: the headline of every preview.
pub fn headline(preview: &Preview) -> String {
    let (before, after) = (&preview.before, &preview.after);
    let direction = preview.target.direction;
    if preview.origin == Origin::Shadow {
        return format!("nobody becomes isolated: {direction} is judged by these policies, and not enforced");
    }
    let pods = |count: usize| if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
    let become_isolated = after.isolated.saturating_sub(before.isolated);
    let freed = before.isolated.saturating_sub(after.isolated);
    let said = match (become_isolated, freed) {
        _ if after.pods == 0 => {
            format!("no pods run there now; those that come will be isolated in {direction}")
        }
        (0, 0) => format!("no change: {} of {} isolated in {direction}", after.isolated, pods(after.pods)),
        (0, freed) => format!("{} no longer isolated in {direction}", pods(freed)),
        (1, _) => format!("1 pod becomes isolated in {direction}, of {}", after.pods),
        (more, _) => format!("{more} pods become isolated in {direction}, of {}", after.pods),
    };
    if before.unknown.is_empty() {
        return said;
    }
    format!("{said} (as far as known: {} policies there cannot be evaluated)", before.unknown.len())
}

/// What a person should know and that belongs to no row: what was noticed, with when, and policy
/// files for namespaces that their cluster does not have.
pub fn notices(world: &World) -> Vec<(Option<Timestamp>, Trouble)> {
    let noticed = world.notices().iter().map(|notice| (Some(notice.at), notice.trouble.clone()));
    noticed.chain(world.strangers().map(|trouble| (None, trouble.clone()))).collect()
}

/// Denials of one class, for badges: the number equals the rows behind it.
pub fn count_of(denials: &Denials, class: fn(Class) -> bool) -> usize {
    denials.groups().filter(|group| class(group.class)).count()
}

/// Is everything read that a row of this cluster shows, as far as it can be read? What is refused
/// never comes and is not waited for.
pub fn is_read(cluster: &Cluster) -> bool {
    match cluster.health {
        Health::Down(_) => true,
        Health::Connecting => false,
        Health::Up | Health::Degraded(_) => {
            parts(cluster).iter().all(|(part, is_there, _)| *is_there || cluster.troubles.contains_key(part))
        }
    }
}

/// Each part of a row: whether it is there, and what people call it.
pub fn parts(cluster: &Cluster) -> [(Part, bool, &'static str); 6] {
    let listed = |list| cluster.listed.contains(&list);
    [
        (Part::Namespaces, listed(Listed::Namespaces), "namespaces"),
        (Part::Policies(PolicyKind::NetworkPolicy), listed(Listed::Policies), "network policies"),
        (Part::Pods, listed(Listed::Pods), "pods"),
        (Part::Rights, cluster.rights.patch.is_some(), "rights"),
        (Part::Cni, cluster.cni.is_some(), "the CNI"),
        (Part::Staged, cluster.looked.stages.is_some(), "staged policies"),
    ]
}
