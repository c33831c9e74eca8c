//! What the rollout lead can do here and now, and why not: advance, revert, hold, exclude, release,
//! override.

use crate::{
    cockpit::{
        commands::CommandId,
        decide::{self, Reason},
        gates::Gate,
        holding,
        orders::{OrderId, OrderState, Target},
        planned::plan_row_of,
        shadow, waiving,
        world::World,
    },
    domain::{
        hold::{Hold, HoldKind, Scope},
        names::Text,
        rollout::Kept,
        wave::{RowState, Verdict},
    },
};

use super::{
    super::{
        model::{Main, Model, RowKey, View},
        plan::gate_words,
    },
    Offer, apply_scope, off, rollback_scope, sentences, subject,
};

pub fn offer(world: &World, model: &Model, id: CommandId) -> Offer {
    match id {
        CommandId::Advance => advance(world, model),
        CommandId::Revert => {
            let targets = revert_targets(world, model);
            let reasons =
                || sentences(targets.iter().flat_map(|target| decide::revert_reasons(world, target)));
            match (targets.as_slice(), subject(world, model)) {
                ([], None | Some(RowKey::Cluster(_))) => off("revert takes a namespace or a direction"),
                ([], Some(_)) => off("nothing of it ever soaked clean: roll it back instead"),
                _ => ready_unless(reasons()),
            }
        }
        CommandId::Shadow => {
            let targets = apply_scope(world, model).targets;
            match targets.as_slice() {
                [] => off("shadow takes a namespace or a direction"),
                many => ready_unless(sentences(many.iter().flat_map(|one| shadow::reasons(world, one)))),
            }
        }
        CommandId::Hold => if_allowed(holding::may_write(world, HoldKind::Hold)),
        CommandId::Exclude if subject(world, model).is_none() => off("no row is chosen"),
        CommandId::Exclude => if_allowed(holding::may_write(world, HoldKind::Exclusion)),
        CommandId::Release if releasable(world, model).is_empty() => off("nothing is held or excluded"),
        CommandId::Override if overridable(world, model).is_empty() => {
            off("preview it first, with apply: an override is for exactly the bytes of a preview")
        }
        CommandId::Override => if_allowed(waiving::may_override(world)),
        CommandId::ConfirmOverride if waiving::unconfirmed(world).next().is_none() => {
            off("no override waits for a second person")
        }
        CommandId::ConfirmOverride => if_allowed(waiving::may_confirm(world)),
        _ => Offer::Ready,
    }
}

/// Off where the state cluster says that we have no right to it; all else its form says.
fn if_allowed(reasons: Vec<Reason>) -> Offer {
    let refused = reasons.into_iter().filter(|reason| matches!(reason, Reason::NoShareRight(_)));
    ready_unless(sentences(refused))
}

fn ready_unless(reasons: Vec<String>) -> Offer {
    if reasons.is_empty() { Offer::Ready } else { Offer::Off(reasons) }
}

fn advance(world: &World, model: &Model) -> Offer {
    if *model.view() != View::Main(Main::Plan) {
        return Offer::Absent;
    }
    if model.plan.may_go().is_empty() { Offer::Off(why_none(world, model)) } else { Offer::Ready }
}

/// Why nothing may go: what stands in the first wave that is not done.
fn why_none(world: &World, model: &Model) -> Vec<String> {
    const MOST: usize = 20;
    let plan = world.waves().plan(model.plan.direction);
    let Some(wave) = plan.waves.iter().find(|wave| wave.verdict != Verdict::Done) else {
        return vec![format!("no row of {} is left to apply", model.plan.direction)];
    };
    let mut gates: Vec<(Gate, Vec<String>)> = Vec::new();
    let mut out = Vec::new();
    for row in wave.standing() {
        let place = format!("{}/{}", row.target.cluster, row.target.ns);
        let missing = plan_row_of(world, &row.target).map(|row| row.missing).unwrap_or_default();
        if missing.is_empty() {
            let why = row.state.why().map_or_else(String::new, |why| format!(": {why}"));
            let next = if row.state == RowState::RolledBack { ": a applies it again, alone" } else { "" };
            out.push(format!("{place} is {} in wave {}{why}{next}", row.state.word(), wave.number));
        }
        for gate in missing {
            match gates.iter_mut().find(|(known, _)| *known == gate) {
                Some((_, places)) => places.push(place.clone()),
                None => gates.push((gate, vec![place.clone()])),
            }
        }
    }
    out.splice(
        0..0,
        gates.iter().map(|(gate, places)| {
            let more = match places.len() {
                1 => places[0].clone(),
                many => format!("{} and {} more", places[0], many - 1),
            };
            format!("{} ({more})", gate_words(gate))
        }),
    );
    let more = out.len().saturating_sub(MOST);
    out.truncate(MOST);
    out.extend((more > 0).then(|| format!("and {more} more")));
    out
}

/// Rows of the subject that soaked clean once.
pub fn revert_targets(world: &World, model: &Model) -> Vec<Target> {
    if matches!(subject(world, model), Some(RowKey::Cluster(_)) | None) {
        return Vec::new();
    }
    let mut targets = rollback_scope(world, model).targets;
    targets.retain(|target| world.shared().record(target).is_some_and(|kept| kept.value.clean.is_some()));
    targets
}

/// From the row under the cursor outwards.
pub fn scopes(world: &World, model: &Model) -> Vec<Scope> {
    let (rollout, ns, cluster) = match subject(world, model) {
        None => (None, None, None),
        Some(RowKey::Cluster(name)) => (None, None, Some(name)),
        Some(RowKey::Namespace(name, ns)) => (None, Some((name.clone(), ns)), Some(name)),
        Some(RowKey::Rollout(target)) => {
            let (name, ns) = (target.cluster.clone(), target.ns.clone());
            (Some(target), Some((name.clone(), ns)), Some(name))
        }
    };
    let rollout = rollout.map(Scope::Rollout);
    let ns = ns.map(|(cluster, ns)| Scope::Namespace(cluster, ns));
    rollout.into_iter().chain(ns).chain(cluster.map(Scope::Cluster)).collect()
}

/// Holds and exclusions that concern the row under the cursor; where none does, all.
pub fn releasable(world: &World, model: &Model) -> Vec<Text> {
    let all: Vec<&Kept<Hold>> = world.shared().holds().collect();
    let inner: Vec<_> = scopes(world, model);
    let concerns = |hold: &Hold| match subject(world, model) {
        Some(RowKey::Rollout(target)) => hold.scope.holds(&target),
        Some(_) | None => inner.contains(&hold.scope),
    };
    let ours: Vec<_> =
        all.iter().filter(|kept| concerns(&kept.value)).map(|kept| kept.name.clone()).collect();
    if ours.is_empty() { all.iter().map(|kept| kept.name.clone()).collect() } else { ours }
}

/// The newest finished preview of each row that an apply would take.
pub fn overridable(world: &World, model: &Model) -> Vec<OrderId> {
    let newest = |target: &Target| {
        let mut orders = world.orders().iter().rev();
        let is_it = |order: &&crate::cockpit::orders::Order| {
            order.target == *target && matches!(order.state, OrderState::Previewed(_))
        };
        orders.find(is_it).map(|order| order.id)
    };
    apply_scope(world, model).targets.iter().filter_map(newest).collect()
}
