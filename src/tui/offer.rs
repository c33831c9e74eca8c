//! What can be done with the row under the cursor, and why not: the subject of an action, the rows
//! it would take, the reasons against (asked of `decide`, never judged here), the next step.

pub mod lead;

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        commands::{CommandId, Risk, row},
        decide::{self, Reason},
        foresights, monthly,
        orders::{OrderKind, Target},
        world::World,
    },
    domain::{
        fleet::{Cluster, Environment, Listed, Namespace, Presence},
        flow::Direction,
        grant::DecisionVerdict,
        names::{ClusterName, NsName},
        valve::shell_word,
    },
};

use super::{
    copy, desk,
    ends::End,
    model::{ActKey, Focus, Main, Model, RowKey, Sheet, View},
    plan::PlanKey,
};

/// Whether a command can be run here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    Ready,
    /// Stays in its place, dimmed, with every reason.
    Off(Vec<String>),
    /// Means nothing in this view.
    Absent,
}

/// The rows an action would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub targets: Vec<Target>,
    /// How many marks they come from; none: the row under the cursor.
    pub marks: usize,
}

/// What the view is about at the cursor.
pub fn subject(world: &World, model: &Model) -> Option<RowKey> {
    match model.view() {
        View::Main(Main::Fleet) => model.fleet.list.chosen().cloned(),
        View::Main(Main::Denials) => rollout_of(world, model, model.denials.chosen().copied()),
        View::Main(Main::Live) => {
            rollout_of(world, model, model.live.chosen().and_then(|n| Some(model.attempt(world, *n)?.group)))
        }
        View::Main(Main::Activity) => {
            let id = match model.activity.list.chosen()? {
                ActKey::Order(id) | ActKey::Call { order: id, .. } => *id,
            };
            let order = world.orders().get(id)?;
            Some(RowKey::Rollout(order.target.clone()))
        }
        View::Main(Main::Sources) => model.sources.chosen().cloned().map(RowKey::Cluster),
        View::Main(Main::OpenEnds) => model.team.ends.chosen().and_then(End::row),
        View::Main(Main::Notices | Main::Reviews) | View::Review(_) | View::Document(_) => None,
        View::Main(Main::Plan) => match model.plan.list.chosen()? {
            PlanKey::Row(target) => Some(RowKey::Rollout(target.clone())),
            PlanKey::Wave(_) => None,
        },
        View::Namespace(cluster, ns) => {
            let target = |direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction };
            match model.page.focus {
                Focus::Both => Some(RowKey::Namespace(cluster.clone(), ns.clone())),
                Focus::One(direction) => Some(RowKey::Rollout(target(direction))),
                Focus::Denials => rollout_of(world, model, model.page.denials.chosen().copied()),
            }
        }
        View::Group(id) => rollout_of(world, model, Some(*id)),
        View::Timeline(target) | View::Prediction(target) => Some(RowKey::Rollout(target.clone())),
        View::Preflight(cluster) => Some(RowKey::Cluster(cluster.clone())),
        View::Destinations(cluster, ns) | View::Coverage(cluster, ns) => {
            let target = |direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction };
            Some(match model.page.focus.direction() {
                Some(direction) => RowKey::Rollout(target(direction)),
                None => RowKey::Namespace(cluster.clone(), ns.clone()),
            })
        }
        View::Dossier(cluster, ns, key) => {
            let (cluster, ns) = (cluster.clone(), ns.clone());
            Some(RowKey::Rollout(Target { cluster, ns, direction: key.direction }))
        }
    }
}

/// The denial under the cursor.
pub fn denial(world: &World, model: &Model) -> Option<crate::domain::denial::GroupId> {
    match model.view() {
        View::Main(Main::Denials) => model.denials.chosen().copied(),
        View::Main(Main::Live) => model.live.chosen().and_then(|nth| Some(model.attempt(world, *nth)?.group)),
        View::Group(id) => Some(*id),
        View::Namespace(..) if model.page.focus == Focus::Denials => model.page.denials.chosen().copied(),
        _ => None,
    }
}

/// Is there a list on the page?
fn zoom_offer(model: &Model) -> Offer {
    match model.view() {
        View::Main(_) | View::Namespace(..) | View::Destinations(..) => Offer::Ready,
        _ => Offer::Absent,
    }
}

fn propose_offer(world: &World, model: &Model) -> Offer {
    let is_here = match model.view() {
        View::Main(Main::Denials | Main::Live) | View::Group(_) => true,
        View::Namespace(..) => model.page.focus == Focus::Denials,
        _ => false,
    };
    match denial(world, model).and_then(|id| model.group(world, id)) {
        Some(_) => Offer::Ready,
        None if is_here => off("no denial is chosen"),
        None => Offer::Absent,
    }
}

fn rollout_of(world: &World, model: &Model, id: Option<crate::domain::denial::GroupId>) -> Option<RowKey> {
    let key = &model.group(world, id?)?.key;
    let (cluster, ns) = (key.cluster.clone(), key.ns.clone());
    Some(RowKey::Rollout(Target { cluster, ns, direction: key.direction }))
}

/// Marks count only on the fleet page, where they can be seen.
fn chosen(world: &World, model: &Model) -> (Vec<RowKey>, usize) {
    if *model.view() == View::Main(Main::Fleet) && !model.fleet.marks.is_empty() {
        return (model.fleet.marks.iter().cloned().collect(), model.fleet.marks.len());
    }
    (subject(world, model).into_iter().collect(), 0)
}

/// What an apply would take: of a namespace the directions that have policy files.
pub fn apply_scope(world: &World, model: &Model) -> Scope {
    let (keys, marks) = chosen(world, model);
    let mut targets = BTreeSet::new();
    for key in keys {
        match key {
            RowKey::Cluster(_) => {}
            RowKey::Rollout(target) => {
                targets.insert(target);
            }
            RowKey::Namespace(cluster, ns) => {
                let both = both(&cluster, &ns);
                let authored = |t: &Target| {
                    world.files().sets.contains_key(&(t.cluster.clone(), t.ns.clone(), t.direction))
                };
                let any = both.iter().any(authored);
                targets.extend(both.into_iter().filter(|target| !any || authored(target)));
            }
        }
    }
    Scope { targets: targets.into_iter().collect(), marks }
}

/// What a rollback would take: of a cluster everything of ours that is live in it.
pub fn rollback_scope(world: &World, model: &Model) -> Scope {
    let (keys, marks) = chosen(world, model);
    let mut targets = BTreeSet::new();
    for key in keys {
        match key {
            RowKey::Cluster(name) => targets.extend(all_of(world, &name)),
            RowKey::Namespace(cluster, ns) => targets.extend(both(&cluster, &ns)),
            RowKey::Rollout(target) => {
                targets.insert(target);
            }
        }
    }
    Scope { targets: targets.into_iter().collect(), marks }
}

fn both(cluster: &ClusterName, ns: &NsName) -> [Target; 2] {
    Direction::ALL.map(|direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction })
}

/// Every rollout of a cluster with something of ours live in it. While its policies are not listed,
/// every namespace that is known or has policy files: too many rather than too few.
fn all_of<'w>(world: &'w World, name: &'w ClusterName) -> impl Iterator<Item = Target> + 'w {
    world.cluster(name).into_iter().flat_map(move |cluster| {
        let name = &cluster.name;
        let listed = is_listed(cluster);
        let live = move |target: &Target| {
            let ns = cluster.namespaces.get(&target.ns);
            let ours = |ns: &Namespace| {
                ns.presence(target.direction) != Presence::None || ns.is_staged(target.direction)
            };
            !listed || ns.is_some_and(ours)
        };
        let authored = world.files().sets.keys().filter(move |(c, ..)| c == name).map(|(_, ns, _)| ns);
        let unseen = authored.filter(move |ns| !listed && !cluster.namespaces.contains_key(*ns));
        cluster.namespaces.keys().chain(unseen).flat_map(move |ns| both(name, ns)).filter(live)
    })
}

/// Why a rollback of a cluster has no rows: nothing is there, or nothing is known.
pub fn nothing_to_roll_back(world: &World, name: &ClusterName) -> String {
    if world.cluster(name).is_some_and(is_listed) {
        return format!("nothing of ours is live in {name}");
    }
    let context = shell_word(&copy::context(world, name));
    format!(
        "no namespace of {name} is known yet; `sluice rollback --context {context} -n NAMESPACE` needs no list"
    )
}

/// Are the policies of a cluster known completely?
pub fn is_listed(cluster: &Cluster) -> bool {
    cluster.listed.contains(&Listed::Policies)
}

/// The environment whose care an action on these rows takes: one production row makes all of it so,
/// and a cluster whose environment is not known is treated like production.
pub fn environment(world: &World, targets: &[Target]) -> Environment {
    let of = |target: &Target| {
        world.cluster(&target.cluster).map_or(Environment::Unknown, |cluster| cluster.environment)
    };
    let all: BTreeSet<_> = targets.iter().map(of).collect();
    [Environment::Production, Environment::Unknown, Environment::Staging]
        .into_iter()
        .find(|environment| all.contains(environment))
        .unwrap_or(Environment::Unknown)
}

/// Every reason against an apply of these rows, each said once.
pub fn apply_reasons(world: &World, targets: &[Target]) -> Vec<String> {
    sentences(targets.iter().flat_map(|target| decide::apply_reasons(world, target)))
}

/// Every reason against a rollback of these rows. A rollback that runs already is not one: it is
/// left out instead (see [`already`]).
pub fn rollback_reasons(world: &World, targets: &[Target]) -> Vec<String> {
    sentences(
        targets
            .iter()
            .flat_map(|target| decide::rollback_reasons(world, target))
            .filter(|reason| !matches!(reason, Reason::InFlight { .. })),
    )
}

/// Is this row being rolled back now?
pub fn already(world: &World, target: &Target) -> bool {
    let mut running = world.orders().running_in(&target.cluster, &target.ns);
    running.any(|order| order.kind == OrderKind::Rollback && order.target == *target)
}

pub fn sentences(reasons: impl Iterator<Item = Reason>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for reason in reasons {
        let sentence = reason.to_string();
        if !out.contains(&sentence) {
            out.push(sentence);
        }
    }
    out
}

/// Can this command be run here and now?
pub fn offer(world: &World, model: &Model, id: CommandId) -> Offer {
    let main = match model.view().sheet() {
        Some(Sheet::Main(main)) => Some(main),
        Some(Sheet::Destinations) | None => None,
    };
    match id {
        CommandId::Apply => apply_offer(world, model),
        CommandId::RollBack => rollback_offer(world, model),
        CommandId::Advance
        | CommandId::Revert
        | CommandId::Shadow
        | CommandId::Hold
        | CommandId::Release
        | CommandId::Exclude
        | CommandId::Override
        | CommandId::ConfirmOverride => lead::offer(world, model, id),
        CommandId::Abort => {
            let runs = world.running().any(|order| order.kind.applies());
            if runs { Offer::Ready } else { off("no apply is running") }
        }
        CommandId::Freeze => freeze_offer(model, main),
        CommandId::Mark => mark_offer(model, main),
        CommandId::Approve => desk::decide_offer(world, model, DecisionVerdict::Approved),
        CommandId::Reject => desk::decide_offer(world, model, DecisionVerdict::Rejected),
        CommandId::Revoke => desk::decide_offer(world, model, DecisionVerdict::Revoked),
        CommandId::AskReview => desk::ask_offer(world, model),
        CommandId::Waive => desk::waive_offer(world, model),
        CommandId::Unmark if marks(model) == 0 => off("no row is marked"),
        CommandId::Undo if model.views.past.is_empty() => off("there is nothing to undo"),
        CommandId::Filter => model.view().sheet().map_or(Offer::Absent, |_| Offer::Ready),
        CommandId::ClearFilter => match model.view().sheet() {
            None => Offer::Absent,
            Some(sheet) if model.filter(sheet).is_empty() => off("no filter is set"),
            Some(_) => Offer::Ready,
        },
        CommandId::ZoomList => zoom_offer(model),
        CommandId::Propose => propose_offer(world, model),
        CommandId::Destinations | CommandId::Coverage | CommandId::Timeline | CommandId::Predict => {
            discovery_offer(world, model, id)
        }
        CommandId::Document | CommandId::Renew => document_offer(world, model, id),
        CommandId::Preflight => preflight_offer(world, model),
        CommandId::Sort | CommandId::Reverse => sort_offer(model),
        CommandId::Refresh => refresh_offer(world, model),
        CommandId::Reconnect => {
            if subject(world, model).is_some() {
                Offer::Ready
            } else {
                off("no row is chosen")
            }
        }
        CommandId::Focus
            if matches!(
                model.view(),
                View::Namespace(..)
                    | View::Destinations(..)
                    | View::Timeline(_)
                    | View::Prediction(_)
                    | View::Main(Main::Plan)
            ) =>
        {
            Offer::Ready
        }
        CommandId::Focus => Offer::Absent,
        // What only looks always works; what acts has its own line above or is not offered.
        _ if matches!(row(id).risk, Risk::Looks | Risk::Asks) => Offer::Ready,
        _ => Offer::Absent,
    }
}

fn discovery_offer(world: &World, model: &Model, id: CommandId) -> Offer {
    match (model.view(), id) {
        (View::Destinations(..), CommandId::Destinations)
        | (View::Coverage(..), CommandId::Coverage)
        | (View::Timeline(_), CommandId::Timeline)
        | (View::Prediction(_), CommandId::Predict) => off("this is the page"),
        _ => match subject(world, model) {
            Some(RowKey::Namespace(..) | RowKey::Rollout(_)) => Offer::Ready,
            Some(RowKey::Cluster(_)) => off(&one_namespace(model)),
            None => off("no row is chosen"),
        },
    }
}

fn preflight_offer(world: &World, model: &Model) -> Offer {
    match (model.view(), subject(world, model)) {
        (View::Preflight(_), _) => off("this is the page"),
        (_, Some(_)) => Offer::Ready,
        (_, None) => off("no row is chosen"),
    }
}

fn document_offer(world: &World, model: &Model, id: CommandId) -> Offer {
    match (model.view(), id) {
        (View::Document(ns), CommandId::Renew) => reasons(monthly::renew_reasons(world, ns, false)),
        (_, CommandId::Renew) => Offer::Absent,
        (View::Document(_), _) => off("this is the page"),
        (_, _) => match subject(world, model) {
            Some(RowKey::Namespace(..) | RowKey::Rollout(_)) => Offer::Ready,
            Some(RowKey::Cluster(_)) => off("it is about one namespace: unfold with l"),
            None => off("no row is chosen"),
        },
    }
}

fn sort_offer(model: &Model) -> Offer {
    match model.view() {
        View::Destinations(..) | View::Main(Main::Reviews) => Offer::Ready,
        _ => Offer::Absent,
    }
}

/// Rows that are marked on the page on screen; elsewhere those of the fleet.
pub fn marks(model: &Model) -> usize {
    match model.view() {
        View::Main(Main::Reviews) => model.team.reviews.marks.len(),
        _ => model.fleet.marks.len(),
    }
}

fn refresh_offer(world: &World, model: &Model) -> Offer {
    let against = match (model.view(), model.view().place()) {
        (View::Document(ns), _) => monthly::compare_reasons(world, ns),
        (View::Prediction(target), _) => foresights::reasons(world, target),
        (_, Some((cluster, ns))) => decide::read_reasons(world, cluster, ns),
        (_, None) => return Offer::Absent,
    };
    reasons(against)
}

/// Ready, if nothing is against it.
fn reasons(against: Vec<Reason>) -> Offer {
    match sentences(against.into_iter()) {
        reasons if reasons.is_empty() => Offer::Ready,
        reasons => Offer::Off(reasons),
    }
}

fn freeze_offer(model: &Model, main: Option<Main>) -> Offer {
    match main {
        Some(Main::Denials | Main::Live) => Offer::Ready,
        Some(_) | None if model.frozen.is_some() => Offer::Ready,
        Some(
            Main::Fleet
            | Main::Activity
            | Main::Sources
            | Main::Notices
            | Main::Plan
            | Main::Reviews
            | Main::OpenEnds,
        )
        | None => Offer::Absent,
    }
}

fn mark_offer(model: &Model, main: Option<Main>) -> Offer {
    match (main, model.fleet.list.chosen()) {
        (Some(Main::Fleet), Some(RowKey::Namespace(..) | RowKey::Rollout(_))) => Offer::Ready,
        (Some(Main::Fleet), Some(RowKey::Cluster(_)) | None) => {
            off("marks are for namespaces and directions")
        }
        (Some(Main::Reviews), _) => match model.team.reviews.list.chosen() {
            Some(_) => Offer::Ready,
            None => off("no review is chosen"),
        },
        (Some(_) | None, _) => Offer::Absent,
    }
}

/// Why nothing of it can be done with a cluster.
pub fn one_namespace(model: &Model) -> String {
    format!("it is about one namespace: unfold with {}", model.settings.keys.first(CommandId::Unfold))
}

fn off(reason: &str) -> Offer {
    Offer::Off(vec![reason.to_owned()])
}

fn apply_offer(world: &World, model: &Model) -> Offer {
    let scope = apply_scope(world, model);
    if scope.targets.is_empty() {
        return match subject(world, model) {
            Some(RowKey::Cluster(_)) => {
                let keys = &model.settings.keys;
                let (unfold, mark) = (keys.first(CommandId::Unfold), keys.first(CommandId::Mark));
                off(&format!(
                    "apply takes a namespace or a direction: unfold with {unfold}, mark several with {mark}"
                ))
            }
            Some(RowKey::Namespace(..) | RowKey::Rollout(_)) | None => off("no row is chosen"),
        };
    }
    match apply_reasons(world, &scope.targets) {
        reasons if reasons.is_empty() => Offer::Ready,
        reasons => Offer::Off(reasons),
    }
}

fn rollback_offer(world: &World, model: &Model) -> Offer {
    // Only a sample: a cluster has hundreds of rows and they share their reasons.
    let sample = match chosen(world, model) {
        (keys, 0) => match keys.first() {
            None => return off("no row is chosen"),
            Some(RowKey::Cluster(name)) => all_of(world, name).take(1).collect(),
            Some(RowKey::Namespace(cluster, ns)) => both(cluster, ns).to_vec(),
            Some(RowKey::Rollout(target)) => vec![target.clone()],
        },
        (_, _) => rollback_scope(world, model).targets,
    };
    if sample.is_empty() {
        return match subject(world, model) {
            Some(key) => Offer::Off(vec![nothing_to_roll_back(world, key.cluster())]),
            None => off("no row is chosen"),
        };
    }
    match rollback_reasons(world, &sample) {
        reasons if reasons.is_empty() => Offer::Ready,
        reasons => Offer::Off(reasons),
    }
}
