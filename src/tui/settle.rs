//! Brings the model in line with a world that moved on: row lists, kept sums, dialogs that waited,
//! results of orders. Called after each batch of facts and after each key; only the page on screen
//! is brought up to date.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    cockpit::{
        discovery,
        orders::{Order, OrderId, OrderKind, OrderState, Outcome, Target},
        rows::{self, ClusterRow},
        shared::{Share, Written},
        world::World,
    },
    domain::{
        denial::{Denial, Group, GroupId},
        fleet::{Cluster, Namespace},
        flow::Direction,
        names::{ClusterName, NsName},
    },
};

use super::{
    cursor, destinations,
    dialog::{ApplyDialog, Overlay, outcome_words},
    ends,
    filter::{Columns, Filter},
    model::{ActKey, Calls, Kept, Main, Model, RowKey, Sheet, Tone, View},
    plan, reviews,
    view::frame::Areas,
};

/// What filters of the fleet page can ask.
pub const FLEET: Columns = Columns {
    plain: &["cluster", "env", "ns", "owner"],
    keys: &["cluster", "env", "health", "cni", "ns", "owner", "phase", "collected", "label"],
    alone: &["owner"],
};
/// What filters of the denials page can ask.
pub const DENIALS: Columns = Columns {
    plain: &["cluster", "ns", "workload", "peer", "port"],
    keys: &["class", "cluster", "env", "ns", "owner", "workload", "dir", "peer", "port", "proto", "label"],
    alone: &[],
};
/// What filters of the live page can ask.
pub const LIVE: Columns = Columns {
    plain: &["cluster", "ns", "workload", "peer", "port", "pod"],
    keys: &[
        "class", "cluster", "env", "ns", "owner", "workload", "dir", "peer", "port", "proto", "pod", "label",
    ],
    alone: &[],
};
/// What filters of the activity page can ask.
pub const ACTIVITY: Columns = Columns {
    plain: &["cluster", "ns", "order", "kind"],
    keys: &["cluster", "ns", "dir", "order", "kind", "state"],
    alone: &[],
};
/// What filters of the sources page can ask.
pub const SOURCES: Columns = Columns { plain: &["cluster"], keys: &["cluster", "link", "env"], alone: &[] };
/// What filters of the notices page can ask.
pub const NOTICES: Columns = Columns { plain: &["object", "fact"], keys: &["object", "fact"], alone: &[] };

/// The columns of a page.
pub fn columns(sheet: Sheet) -> &'static Columns {
    match sheet {
        Sheet::Main(Main::Fleet) => &FLEET,
        Sheet::Main(Main::Denials) => &DENIALS,
        Sheet::Main(Main::Live) => &LIVE,
        Sheet::Main(Main::Activity) => &ACTIVITY,
        Sheet::Main(Main::Sources) => &SOURCES,
        Sheet::Main(Main::Notices) => &NOTICES,
        Sheet::Main(Main::Plan) => &plan::COLUMNS,
        Sheet::Main(Main::Reviews) => &reviews::COLUMNS,
        Sheet::Main(Main::OpenEnds) => &ends::COLUMNS,
        Sheet::Destinations => &destinations::COLUMNS,
    }
}

/// After facts: rows, dialogs, results.
pub fn settle(model: &mut Model, world: &World) {
    model.notices.all = rows::notices(world);
    let own = model.settings.troubles.iter();
    model.notices.all.extend(own.map(|trouble| (None, trouble.clone())));
    reviews::keep(model, world);
    refresh(model, world);
    tell_results(model, world);
    tell_written(model, world);
    let ready = match &mut model.overlay {
        Some(Overlay::Waiting(ids)) => ids.iter().all(|id| !is_running(world, *id)),
        Some(Overlay::Apply(dialog)) => {
            dialog.check(world);
            false
        }
        Some(Overlay::Proposal(dialog)) => {
            dialog.check(world);
            false
        }
        Some(Overlay::Form(form)) => {
            form.check(world);
            false
        }
        _ => false,
    };
    if ready && let Some(Overlay::Waiting(ids)) = model.overlay.take() {
        model.overlay = Some(Overlay::Apply(Box::new(ApplyDialog::open(world, &ids))));
    }
    fit_overlay(model);
}

fn is_running(world: &World, id: OrderId) -> bool {
    world.orders().get(id).is_some_and(Order::is_running)
}

/// After keys: the rows of the page on screen.
pub fn refresh(model: &mut Model, world: &World) {
    model.told.now = world.now();
    model.settings.masks.learn(world);
    let height = usize::from(Areas::of(model.settings.size, model).list.height);
    match model.view().clone() {
        View::Main(Main::Fleet) => {
            keep_clusters(model, world);
            let rows = fleet_rows(model, world);
            model.fleet.list.set(rows);
        }
        View::Main(Main::Denials) => {
            let rows = group_rows(model, world);
            model.denials.set(rows);
        }
        View::Main(Main::Live) => {
            let rows = live_rows(model, world);
            model.live.set(rows);
        }
        View::Main(Main::Activity) => {
            model.activity.calls = calls(world);
            let rows = activity_rows(model, world);
            model.activity.list.set(rows);
        }
        View::Main(Main::Sources) => {
            let rows = source_rows(model, world);
            model.sources.set(rows);
        }
        View::Main(Main::Notices) => {
            let rows = notice_rows(model);
            model.notices.list.set(rows);
        }
        View::Main(Main::Plan) => plan::refresh(model, world),
        View::Namespace(cluster, ns) => {
            let rows = groups_of(model, world, &cluster, &ns);
            model.page.denials.set(rows);
        }
        View::Destinations(cluster, ns) => destinations::refresh(model, world, &cluster, &ns),
        View::Main(Main::Reviews) => reviews::refresh(model, world),
        View::Main(Main::OpenEnds) => ends::refresh(model, world),
        View::Review(name) => reviews::open(model, world, &name),
        View::Group(_)
        | View::Dossier(..)
        | View::Coverage(..)
        | View::Timeline(_)
        | View::Prediction(_)
        | View::Document(_)
        | View::Preflight(_) => {}
    }
    if let Some(list) = cursor::of_mut(model) {
        list.set_height(height);
    }
    fit_overlay(model);
}

/// Part of the page is still to come: refresh it again.
pub fn is_behind(model: &Model) -> bool {
    matches!(model.view(), View::Main(Main::Plan)) && model.plan.is_behind()
}

fn fit_overlay(model: &mut Model) {
    let size = model.settings.size;
    if let Some(overlay) = &mut model.overlay {
        overlay.fit(size, model.settings.masks.shown());
    }
}

/// Cluster rows count over all namespaces: computed when a fact came or time moved, not per frame. Of
/// many clusters the oldest rows come first, so that no frame waits for all of them; those of a large
/// fleet wait a while whatever came, but for the clusters in which an order runs.
fn keep_clusters(model: &mut Model, world: &World) {
    const FRESH_SECS: i64 = 5;
    /// Namespaces counted over in one frame, or those of one cluster.
    const AT_ONCE: usize = 1_500;
    /// Namespaces of a fleet for each second that its rows wait.
    const A_SECOND: usize = 5_000;
    let total: usize = world.clusters().map(|cluster| cluster.namespaces.len()).sum();
    let rest = i64::try_from(total / A_SECOND).unwrap_or(FRESH_SECS);
    let busy: BTreeSet<&ClusterName> = world.running().map(|order| &order.target.cluster).collect();
    let mut old = std::mem::take(&mut model.fleet.clusters);
    let now = world.now();
    let mut stale = Vec::new();
    for (nth, cluster) in world.clusters().enumerate() {
        // Most often they are the same clusters in the same order.
        let is_it = |kept: &Kept| kept.row.name == cluster.name;
        let kept = old.iter().position(is_it).map(|at| old.remove(at));
        if kept.as_ref().is_some_and(|kept| {
            let age = (now - kept.at).num_seconds();
            let waits = age < rest && !busy.contains(&cluster.name);
            (kept.revision != cluster.revision && !waits) || age >= FRESH_SECS.max(rest)
        }) {
            stale.push((kept.as_ref().map(|kept| kept.at), nth, cluster.namespaces.len()));
        }
        model.fleet.clusters.push(kept.unwrap_or_else(|| kept_now(world, cluster)));
    }
    stale.sort_unstable();
    let mut counted = 0;
    let due: Vec<usize> = stale
        .into_iter()
        .take_while(|(_, _, namespaces)| {
            counted += namespaces;
            counted <= AT_ONCE || counted == *namespaces
        })
        .map(|(_, nth, _)| nth)
        .collect();
    for (nth, cluster) in world.clusters().enumerate().filter(|(nth, _)| due.contains(nth)) {
        model.fleet.clusters[nth] = kept_now(world, cluster);
    }
}

fn kept_now(world: &World, cluster: &Cluster) -> Kept {
    Kept { row: rows::cluster_row(world, cluster), revision: cluster.revision, at: world.now() }
}

fn fleet_rows(model: &Model, world: &World) -> Vec<RowKey> {
    let filter = Filter::parse(model.filter(Main::Fleet), &FLEET);
    let owners = if filter.is_empty() { BTreeMap::new() } else { world.plan().owners_by_ns() };
    let mut out = Vec::new();
    for (cluster, kept) in world.clusters().zip(&model.fleet.clusters) {
        let outer = |key: &str| cluster_field(&kept.row, key);
        let own = filter.passes(&FLEET, outer);
        let at = out.len();
        let unfolded = model.fleet.unfolded.contains(&cluster.name);
        if unfolded || !filter.is_empty() {
            for ns in cluster.namespaces.values() {
                let inner = |key: &str| match key {
                    "owner" => match owners.get(&ns.seen.name) {
                        Some(entry) => Some(entry.owner.as_str().into()),
                        None => ns.seen.owner.as_ref().map(|owner| owner.as_str().into()),
                    },
                    _ => ns_field(world, cluster, ns, key),
                };
                match filter.passes_inside(&FLEET, outer, inner) {
                    Some(true) => push_namespace(model, &mut out, &cluster.name, &ns.seen.name),
                    Some(false) if unfolded => push_namespace(model, &mut out, &cluster.name, &ns.seen.name),
                    Some(false) | None => {}
                }
            }
        }
        if own || out.len() > at {
            out.insert(at, RowKey::Cluster(cluster.name.clone()));
        }
    }
    out
}

fn push_namespace(model: &Model, out: &mut Vec<RowKey>, cluster: &ClusterName, ns: &NsName) {
    out.push(RowKey::Namespace(cluster.clone(), ns.clone()));
    let folded = model.fleet.unfolded_ns.is_empty()
        || !model.fleet.unfolded_ns.contains(&(cluster.clone(), ns.clone()));
    if !folded {
        out.extend(Direction::ALL.map(|direction| {
            RowKey::Rollout(Target { cluster: cluster.clone(), ns: ns.clone(), direction })
        }));
    }
}

fn cluster_field<'a>(row: &'a ClusterRow, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "cluster" => Some(row.name.as_str().into()),
        "env" => Some(row.environment.as_str().into()),
        "health" => Some(row.health.word().into()),
        "cni" => Some(row.cni.words.as_str().into()),
        "collected" => Some(row.collector.progress.words().into()),
        _ => None,
    }
}

fn ns_field<'a>(world: &'a World, cluster: &Cluster, ns: &'a Namespace, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "ns" => Some(ns.seen.name.as_str().into()),
        "owner" | "label" => seen_field(world, ns, key),
        "phase" => {
            let phases = Direction::ALL.map(|direction| rows::rollout_phase(world, cluster, ns, direction));
            Some(format!("{} {}", phases[0].as_str(), phases[1].as_str()).into())
        }
        "collected" => {
            let row = discovery::collection_row(world, &cluster.name, &ns.seen.name);
            Some(row.progress.words().into())
        }
        _ => None,
    }
}

/// What a namespace says of itself.
fn seen_field<'a>(world: &'a World, ns: &'a Namespace, key: &str) -> Option<Cow<'a, str>> {
    if key == "label" {
        let labels = ns.seen.labels.iter().map(|(key, value)| format!("{key}={value}"));
        return Some(labels.collect::<Vec<_>>().join(" ").into());
    }
    match world.plan().owner_of(&ns.seen.name) {
        Some(entry) => Some(entry.owner.as_str().into()),
        None => ns.seen.owner.as_ref().map(|owner| owner.as_str().into()),
    }
}

fn group_field<'a>(world: &'a World, group: &'a Group, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "env" => world.cluster(&group.key.cluster).map(|cluster| cluster.environment.as_str().into()),
        "owner" | "label" => seen_field(world, world.namespace(&group.key.cluster, &group.key.ns)?, key),
        "class" => Some(group.class.word().into()),
        "cluster" => Some(group.key.cluster.as_str().into()),
        "ns" => Some(group.key.ns.as_str().into()),
        "workload" => group.key.workload.as_ref().map(|workload| workload.name.as_str().into()),
        "dir" => Some(group.key.direction.as_str().into()),
        "peer" => Some(group.key.peer.to_string().into()),
        "port" => Some(group.key.port.to_string().into()),
        "proto" => Some(group.key.protocol.as_str().into()),
        _ => None,
    }
}

fn group_rows(model: &Model, world: &World) -> Vec<GroupId> {
    let filter = Filter::parse(model.filter(Main::Denials), &DENIALS);
    let passes = |group: &Group| {
        filter.is_empty() || filter.passes(&DENIALS, |key: &str| group_field(world, group, key))
    };
    match &model.frozen {
        Some(frozen) => {
            frozen.order.iter().filter(|id| frozen.groups.get(id).is_some_and(passes)).copied().collect()
        }
        None => shown(world).filter(|group| passes(group)).map(|group| group.id).collect(),
    }
}

fn groups_of(model: &Model, world: &World, cluster: &ClusterName, ns: &NsName) -> Vec<GroupId> {
    let ours = |group: &&Group| group.key.ns == *ns && group.key.cluster == *cluster;
    match &model.frozen {
        Some(frozen) => frozen
            .order
            .iter()
            .filter_map(|id| frozen.groups.get(id))
            .filter(ours)
            .map(|group| group.id)
            .collect(),
        None => shown(world).filter(ours).map(|group| group.id).collect(),
    }
}

/// Denials, and after all of them what would have been denied.
pub fn shown(world: &World) -> impl Iterator<Item = &Group> {
    world.denials().groups().chain(world.denials().would())
}

fn live_rows(model: &Model, world: &World) -> Vec<u64> {
    let filter = Filter::parse(model.filter(Main::Live), &LIVE);
    let passes = |denial: &Denial| {
        filter.is_empty()
            || model.group(world, denial.group).is_some_and(|group| {
                filter.passes(&LIVE, |key: &str| match key {
                    "pod" => denial.pod.as_ref().map(|pod| pod.as_str().into()),
                    _ => group_field(world, group, key),
                })
            })
    };
    let keep = |denial: &&Denial| passes(denial);
    match &model.frozen {
        Some(frozen) => frozen.live.iter().rev().filter(keep).map(|denial| denial.number).collect(),
        None => world.denials().live().iter().rev().filter(keep).map(|denial| denial.number).collect(),
    }
}

fn calls(world: &World) -> Calls {
    let mut calls = Calls::new();
    for (at, entry) in world.orders().activity().iter().enumerate() {
        calls.entry(entry.receipt.order).or_default().push(at);
    }
    calls
}

fn activity_rows(model: &Model, world: &World) -> Vec<ActKey> {
    let filter = Filter::parse(model.filter(Main::Activity), &ACTIVITY);
    let mut out = Vec::new();
    for order in world.orders().iter().rev().filter(|order| order.kind != OrderKind::Preview) {
        if !filter.passes(&ACTIVITY, |key: &str| order_field(order, key)) {
            continue;
        }
        out.push(ActKey::Order(order.id));
        let count = model.activity.calls.get(&order.id).map_or(0, Vec::len);
        out.extend((0..count).rev().map(|nth| ActKey::Call { order: order.id, nth }));
    }
    out
}

fn order_field<'a>(order: &'a Order, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "cluster" => Some(order.target.cluster.as_str().into()),
        "ns" => Some(order.target.ns.as_str().into()),
        "dir" => Some(order.target.direction.as_str().into()),
        "order" => Some(order.id.to_string().into()),
        "kind" => Some(order.kind.as_str().into()),
        "state" => Some(order_word(order).into()),
        _ => None,
    }
}

/// How an order stands, in a word.
pub fn order_word(order: &Order) -> &'static str {
    match &order.state {
        OrderState::Running => "running",
        OrderState::Previewed(_) => "previewed",
        OrderState::Ended(Outcome::Done { .. }) => "done",
        OrderState::Ended(Outcome::Stopped { .. }) => "stopped",
        OrderState::Ended(Outcome::Aborted { .. }) => "aborted",
        OrderState::Ended(Outcome::Unsettled(_)) => "unsettled",
        OrderState::Ended(Outcome::Failed(_)) => "failed",
    }
}

fn source_rows(model: &Model, world: &World) -> Vec<ClusterName> {
    let filter = Filter::parse(model.filter(Main::Sources), &SOURCES);
    let passes = |cluster: &&Cluster| {
        filter.passes(&SOURCES, |key: &str| match key {
            "cluster" => Some(cluster.name.as_str().into()),
            "env" => Some(cluster.environment.as_str().into()),
            "link" => Some(rows::source_row(world.source(&cluster.name)).link.into()),
            _ => None,
        })
    };
    world.clusters().filter(passes).map(|cluster| cluster.name.clone()).collect()
}

fn notice_rows(model: &Model) -> Vec<usize> {
    let filter = Filter::parse(model.filter(Main::Notices), &NOTICES);
    let passes = |at: &usize| {
        let (_, trouble) = &model.notices.all[*at];
        filter.passes(&NOTICES, |key: &str| match key {
            "object" => Some(trouble.object.as_str().into()),
            "fact" => Some(trouble.fact.as_str().into()),
            _ => None,
        })
    };
    (0..model.notices.all.len()).rev().filter(passes).collect()
}

/// Says how each apply and rollback ended, wherever its row is.
fn tell_results(model: &mut Model, world: &World) {
    let told = &mut model.told;
    let new = world.orders().iter().rev().take_while(|order| told.upto.is_none_or(|upto| order.id > upto));
    let ids: Vec<_> = new.filter(|order| order.kind != OrderKind::Preview).map(|order| order.id).collect();
    told.waiting.extend(ids);
    told.upto = world.orders().iter().next_back().map(|order| order.id).max(told.upto);
    let ended: Vec<_> = told.waiting.iter().copied().filter(|id| !is_running(world, *id)).collect();
    for id in ended {
        told.waiting.remove(&id);
        let Some(order) = world.orders().get(id) else { continue };
        let OrderState::Ended(outcome) = &order.state else { continue };
        let tone = match outcome {
            // Taken back, and yet something isolates: that is not what was wanted.
            Outcome::Done { isolation } if order.kind == OrderKind::Rollback && isolation.isolated > 0 => {
                Tone::Bad
            }
            Outcome::Done { .. } => Tone::Good,
            Outcome::Aborted { .. } => Tone::Plain,
            Outcome::Stopped { .. } | Outcome::Unsettled(_) | Outcome::Failed(_) => Tone::Bad,
        };
        told.say(format!("{} {id} {}: {}", order.kind.as_str(), order.target, outcome_words(outcome)), tone);
    }
}

/// Says how each write to the state cluster ended that a person asked for.
fn tell_written(model: &mut Model, world: &World) {
    let told = &mut model.told;
    let is_new = |written: &&Written| told.wrote.is_none_or(|upto| written.at > upto);
    let new: Vec<_> = world.shared().wrote().iter().filter(is_new).collect();
    for written in new.iter().filter(|written| !Share::UNASKED.contains(&written.what.as_str())) {
        match &written.result {
            Ok(()) => told.say(format!("{}: done", written.what), Tone::Good),
            Err(trouble) => told.say(format!("{}: {trouble}", written.what), Tone::Bad),
        }
    }
    told.wrote = new.last().map(|written| written.at).max(told.wrote);
}

/// The commands of an order's calls that are still kept.
pub fn commands_of(model: &Model, world: &World, order: OrderId) -> Vec<String> {
    let entries = world.orders().activity();
    let places = model.activity.calls.get(&order).map_or(&[][..], Vec::as_slice);
    places.iter().filter_map(|at| entries.get(*at)).map(|entry| entry.receipt.command.clone()).collect()
}

/// A call's entry.
pub fn entry<'w>(
    model: &Model,
    world: &'w World,
    order: OrderId,
    nth: usize,
) -> Option<&'w crate::cockpit::orders::Entry> {
    let at = model.activity.calls.get(&order)?.get(nth)?;
    world.orders().activity().get(*at).filter(|entry| entry.receipt.order == order)
}
