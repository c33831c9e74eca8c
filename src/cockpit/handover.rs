//! A shift in one value: what is live, what hurts, what is wrong, what changed, what ends soon, and
//! what the next person does first. Screen, text, markdown and JSON are made of it. Pure.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::domain::{
    denial::{Class, Group},
    fleet::{Health, Presence},
    flow::Direction,
    journal::Entry,
    names::{ClusterName, Text, plural},
    rollout::Target,
    soak::Verdict,
    time::{Timestamp, age, span},
};

use super::{
    gate,
    monthly::{self, DocumentRow},
    open_ends::{EndKind, NOT_RECOVERED, OpenEnd, open_ends},
    orders::{OrderKind, OrderState, Outcome},
    ports::Link,
    rows::{self, Standing},
    soaks::SoakRow,
    spot::Spot,
    world::{Source, World},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    pub at: Timestamp,
    /// What changed since then is listed.
    pub since: Timestamp,
    pub todo: Vec<Todo>,
    pub running: Vec<Running>,
    /// Hurting groups, at most [`Handover::GROUPS`].
    pub hurting: Vec<Hurting>,
    pub more_hurting: usize,
    pub incidents: Vec<Wrong>,
    /// `None`: the state cluster never answered.
    pub open_ends: Option<Vec<OpenEnd>>,
    /// Newest first.
    pub changes: Vec<Entry>,
    /// The journal holds more than was kept: `changes` may begin later than `since`.
    pub changes_cut: bool,
    /// Acts of this machine that the journal does not have yet.
    pub waiting: usize,
    pub ends_soon: Vec<Ending>,
    /// What could not be seen, a sentence each.
    pub unknown: Vec<Text>,
    /// Clusters whose denials are counted from a moment on only; `None`: from when is not known.
    pub counted: Vec<(ClusterName, Option<Timestamp>)>,
    pub escalation: Vec<Text>,
    /// Discovery documents that need somebody; `None`: they were not read.
    pub documents: Option<Vec<DocumentRow>>,
}

impl Handover {
    pub const GROUPS: usize = 30;
    /// What ends within this time is listed.
    pub const SOON: TimeDelta = TimeDelta::days(3);
}

/// One step for the next person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todo {
    pub what: Text,
    pub command: String,
}

/// A rollout that is not as it was applied, or opens what nobody granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub target: Target,
    /// Sentences, the gravest first.
    pub what: Vec<Text>,
}

/// A rollout whose set is live.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    pub target: Target,
    pub standing: Standing,
    pub soak: Option<SoakRow>,
    pub owner: Option<Text>,
    pub contact: Option<Text>,
    pub overridden: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hurting {
    pub target: Target,
    pub words: Text,
    pub count: u64,
    /// There may have been more before the history of its source begins.
    pub at_least: bool,
    /// `None`: flows are not seen now.
    pub per_minute: Option<f64>,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Is the row's set live? Else others' policies deny it.
    pub is_live: bool,
    pub owner: Option<Text>,
    pub contact: Option<Text>,
}

/// Something that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub at: Timestamp,
    pub what: Text,
}

/// The shift of the last `span`.
pub fn handover(world: &World, span: TimeDelta) -> Handover {
    let at = world.shared().now(world.now()).unwrap_or(world.now());
    let since = at - span;
    let (hurting, more_hurting) = hurting(world);
    let kept: Vec<_> = world.shared().journal().rev().collect();
    let changes: Vec<_> =
        kept.iter().map(|kept| &kept.value).filter(|entry| entry.stamp.at >= since).cloned().collect();
    let oldest = kept.last().map(|kept| &kept.value);
    let mut out = Handover {
        at,
        since,
        todo: Vec::new(),
        running: running(world),
        hurting,
        more_hurting,
        incidents: all_incidents(world),
        open_ends: open_ends(world),
        changes_cut: oldest.is_some_and(|oldest| oldest.number > 1 && oldest.stamp.at >= since),
        changes,
        waiting: world.shared().waiting(),
        ends_soon: Vec::new(),
        unknown: unknown(world),
        counted: Vec::new(),
        escalation: world.plan().settings.escalation.clone(),
        documents: monthly::due(world),
    };
    out.counted = counted(world, &out.hurting);
    out.ends_soon = ends_soon(world, &out);
    out.todo = todo(world, &out);
    out
}

fn running(world: &World) -> Vec<Running> {
    let mut out = Vec::new();
    for cluster in world.clusters() {
        for ns in cluster.namespaces.values() {
            for direction in Direction::ALL {
                let row = rows::rollout_row(world, cluster, ns, direction);
                if ns.presence(direction) == Presence::None {
                    continue;
                }
                let (owner, contact) = rows::owner(world, ns);
                let record = world.shared().record(&row.target);
                out.push(Running {
                    standing: row.standing,
                    soak: world.soaks().row(&row.target, world),
                    owner,
                    contact,
                    overridden: record.is_some_and(|kept| kept.value.overridden),
                    target: row.target,
                });
            }
        }
    }
    out
}

fn hurting(world: &World) -> (Vec<Hurting>, usize) {
    let groups = world.denials().groups().filter(|group| group.class == Class::Hurting);
    let all: Vec<_> = groups.map(|group| hurting_of(world, group)).collect();
    let more = all.len().saturating_sub(Handover::GROUPS);
    (all.into_iter().take(Handover::GROUPS).collect(), more)
}

fn hurting_of(world: &World, group: &Group) -> Hurting {
    let key = &group.key;
    let who = key.workload.as_ref().map_or("-", |workload| workload.name.as_str());
    let ns = world.namespace(&key.cluster, &key.ns);
    let (owner, contact) = ns.map_or((None, None), |ns| rows::owner(world, ns));
    Hurting {
        target: Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction },
        words: Text::from(format!("{who} to {} ({})", key.peer_words(), group.said)),
        count: group.count,
        at_least: may_be_more(world, group),
        per_minute: rows::group_rate(world, group, world.now()),
        first: group.first,
        last: group.last,
        is_live: ns.is_some_and(|ns| ns.presence(key.direction) == Presence::Tight),
        owner,
        contact,
    }
}

/// Where its source's history begins after its row was applied, or one of the two is not known, what was
/// denied before is not in the count.
fn may_be_more(world: &World, group: &Group) -> bool {
    let key = &group.key;
    let target = Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
    let record = world.shared().record(&target).map(|kept| &kept.value);
    let applied = record.and_then(|record| record.applied.as_ref()).map(|applied| applied.stamp.at);
    match (rows::source_row(world.source(&key.cluster)).history_from, applied) {
        (Some(begins), Some(applied)) => begins > applied,
        (None, _) | (_, None) => true,
    }
}

/// From when on the counts of these groups are.
fn counted(world: &World, hurting: &[Hurting]) -> Vec<(ClusterName, Option<Timestamp>)> {
    let mut out: Vec<(ClusterName, Option<Timestamp>)> = Vec::new();
    for cluster in hurting.iter().filter(|group| group.at_least).map(|group| &group.target.cluster) {
        if !out.iter().any(|(known, _)| known == cluster) {
            out.push((cluster.clone(), rows::source_row(world.source(cluster)).history_from));
        }
    }
    out
}

/// Drift, and what is open without a grant.
fn all_incidents(world: &World) -> Vec<Wrong> {
    let mut rows: BTreeMap<Target, Vec<Text>> = BTreeMap::new();
    for (target, incident) in world.incidents().iter() {
        rows.entry(target.clone()).or_default().push(Text::from(incident.words()));
    }
    for incident in gate::incidents(world) {
        let said = incident.opening.reason(&incident.target, world.zone()).map_or(incident.said, Text::from);
        rows.entry(incident.target).or_default().push(said);
    }
    rows.into_iter().map(|(target, what)| Wrong { target, what }).collect()
}

fn ends_soon(world: &World, handover: &Handover) -> Vec<Ending> {
    let limit = handover.at + Handover::SOON;
    let ends = handover.open_ends.iter().flatten().filter(|end| !end.is_overdue);
    let mut out: Vec<_> = ends
        .filter_map(|end| {
            let at = end.due.filter(|due| *due <= limit)?;
            let what = format!("{} of {}", kind_noun(end), end.scope);
            Some(Ending { at, what: Text::from(what) })
        })
        .collect();
    for due in gate::due(world).into_iter().filter(|due| due.until <= limit) {
        let name = world.clusters().find(|one| one.uid.as_ref() == Some(&due.cluster)).map(|one| &one.name);
        let cluster = name.map_or_else(|| due.cluster.to_string(), ToString::to_string);
        let word = if due.is_over { "ended" } else { "ends" };
        let used = match due.rollouts.len() {
            0 => "nothing uses it".to_owned(),
            1 => format!("{} uses it", due.rollouts[0]),
            more => format!("{more} rollouts use it"),
        };
        let what = Text::from(format!("the grant of review {} on {cluster} {word}; {used}", due.review));
        out.push(Ending { at: due.until, what });
    }
    out.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    out
}

fn kind_noun(end: &OpenEnd) -> &'static str {
    match end.kind {
        EndKind::RolledBack => "rollback",
        EndKind::Held => "hold",
        EndKind::Excluded => "exclusion",
        EndKind::Waived => "waiver",
        EndKind::Overridden => "override",
        EndKind::Missing => "default deny",
    }
}

fn unknown(world: &World) -> Vec<Text> {
    let mut out = Vec::new();
    for cluster in world.clusters() {
        let name = &cluster.name;
        match &cluster.health {
            Health::Down(why) => {
                out.push(format!("{name} is down, and its denials are not seen: {why}"));
                continue;
            }
            Health::Connecting => out.push(format!("{name} has not answered yet")),
            Health::Degraded(why) => out.push(format!("{name} is read in part: {why}")),
            Health::Up => {}
        }
        if !world.source(name).is_some_and(Source::is_live) {
            let row = rows::source_of(world, cluster);
            let why = row.reason.map_or_else(String::new, |why| format!(": {why}"));
            out.push(format!("denials of {name} are not seen: its flow source is {}{why}", row.link));
        }
    }
    match world.shared().link() {
        None => {
            out.push("no state cluster is named: records, holds and the journal are not known".to_owned());
        }
        Some(Link::Live) => {}
        Some(Link::None(why)) => out.push(format!("the state cluster is not read: {why}")),
        Some(Link::Connecting) => out.push("the state cluster has not answered yet".to_owned()),
        Some(Link::Broken(trouble)) => out.push(format!("the state cluster is away: {trouble}")),
    }
    out.into_iter().map(Text::from).collect()
}

/// In the order in which a careful person would do it.
fn todo(world: &World, handover: &Handover) -> Vec<Todo> {
    let mut out = Steps::default();
    under_way(world, &mut out);
    for incident in &handover.incidents {
        let first = incident.what.first().map_or("", Text::as_str);
        out.row(format!("incident on {}: {first}", incident.target), &incident.target);
    }
    let mut rows: Vec<&Target> = Vec::new();
    for hurting in handover.hurting.iter().filter(|hurting| hurting.is_live) {
        let target = &hurting.target;
        if !rows.contains(&target) {
            rows.push(target);
            let owner = hurting.contact.as_ref().or(hurting.owner.as_ref());
            let owner = owner.map_or_else(String::new, |owner| format!("; its owner is {owner}"));
            out.row(format!("denials hurt {target}: triage them, or roll back{owner}"), target);
        }
    }
    for end in handover.open_ends.iter().flatten() {
        let is_ill = end.kind == EndKind::RolledBack && end.what.as_str() == NOT_RECOVERED;
        if end.kind == EndKind::Missing {
            let words = format!("{} must have its default deny by now: {}", end.scope, end.what);
            out.add(words, end.spot().as_ref());
        } else if end.is_overdue {
            let words = format!("the {} of {} ran out: renew or settle it", kind_noun(end), end.scope);
            out.add(words, end.spot().as_ref());
        } else if is_ill {
            out.add(format!("{} was rolled back and is not recovered", end.scope), end.spot().as_ref());
        }
    }
    for cluster in clusters_unobserved(world) {
        let spot = Spot { cluster: cluster.clone(), ns: None, direction: None };
        out.add(format!("nobody observes {cluster}: its soaks stand still"), Some(&spot));
    }
    for running in &handover.running {
        if let Some(row) = &running.soak
            && let Verdict::Withheld { .. } = row.judged.verdict
        {
            let (target, first) = (&running.target, row.reasons().into_iter().next().unwrap_or_default());
            out.row(format!("{target} does not become clean by waiting: {first}"), target);
        }
    }
    if handover.waiting > 0 {
        out.add(format!("{} for the journal: leave sluice open", waiting_words(handover.waiting)), None);
    }
    out.0
}

/// `1 act of this machine waits`.
pub fn waiting_words(acts: usize) -> String {
    let verb = if acts == 1 { "waits" } else { "wait" };
    format!("{} of this machine {verb}", plural(acts, "act"))
}

#[derive(Default)]
struct Steps(Vec<Todo>);

impl Steps {
    fn add(&mut self, what: String, spot: Option<&Spot>) {
        let command = spot.map_or_else(|| "sluice".to_owned(), Spot::command);
        self.0.push(Todo { what: Text::from(what), command });
    }

    fn row(&mut self, what: String, target: &Target) {
        self.add(what, Some(&target.into()));
    }
}

/// Orders of this run that are not over, or did not end well.
fn under_way(world: &World, out: &mut Steps) {
    for order in world.running() {
        let (kind, since) = (order.kind.as_str(), span(age(order.since, world.now())));
        let words = format!("{kind} of {} has been running for {since}: see it through", order.target);
        out.row(words, &order.target);
    }
    for order in world.orders().iter().filter(|order| order.kind != OrderKind::Preview) {
        if let OrderState::Ended(Outcome::Unsettled(_) | Outcome::Stopped { .. }) = &order.state {
            let kind = order.kind.as_str();
            out.row(
                format!("{kind} of {} did not end well: look at what is live", order.target),
                &order.target,
            );
        }
    }
}

/// Clusters with live rows whose evidence nobody writes, as far as that is known.
fn clusters_unobserved(world: &World) -> impl Iterator<Item = &ClusterName> {
    let is_known = world.shared().is_live();
    let has_live = |ns: &crate::domain::fleet::Namespace| {
        Direction::ALL.into_iter().any(|direction| ns.presence(direction) == Presence::Tight)
    };
    world
        .clusters()
        .filter(move |cluster| is_known && cluster.namespaces.values().any(has_live))
        .map(|cluster| &cluster.name)
        .filter(|name| world.shared().observer(name).is_none())
}
