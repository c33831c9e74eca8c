//! May a row, a cluster, the fleet be held, taken out of its wave, or let go again? Decided here, as
//! `decide` decides the rest: every reason against, or the write to the state cluster. A hold stops
//! advances only: abort and rollback never ask for it.

use crate::domain::{
    hold::{Hold, HoldKind, Scope},
    names::Text,
    rollout::Kept,
    time::Timestamp,
};

use super::{decide::Reason, gates, ports::Effect, shared::Share, world::World};

/// What is asked for: a hold, or with [`HoldKind::Exclusion`] that the wave goes on without the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub scope: Scope,
    pub kind: HoldKind,
    pub reason: Text,
    /// An exclusion must have one.
    pub expires: Option<Timestamp>,
}

/// Every reason why this cannot be put on now.
pub fn hold_reasons(world: &World, wanted: &Wanted) -> Vec<Reason> {
    let mut reasons = may_write(world, wanted.kind);
    reasons.extend(scope_reasons(world, &wanted.scope));
    if wanted.reason.as_str().trim().is_empty() {
        reasons.push(Reason::NoReason);
    }
    let now = world.shared().now(world.now());
    match (wanted.kind, wanted.expires) {
        (HoldKind::Exclusion, None) => reasons.push(Reason::NoExpiry),
        (HoldKind::Hold, None) => {}
        (_, Some(expires)) => match now {
            Some(now) if expires > now => {}
            Some(_) => reasons.push(Reason::Past(expires)),
            None => reasons.push(Reason::NoClock),
        },
    }
    if wanted.kind == HoldKind::Exclusion && wanted.scope == Scope::Fleet {
        reasons.push(Reason::TooWide);
    }
    let runs = |hold: &Hold| hold.expires.is_none_or(|expires| now.is_none_or(|now| expires > now));
    let same = |kept: &&Kept<Hold>| {
        kept.value.scope == wanted.scope && kept.value.kind == wanted.kind && runs(&kept.value)
    };
    reasons.extend(world.shared().holds().find(same).map(|kept| Reason::AlreadyHeld {
        kind: wanted.kind.as_str(),
        name: kept.name.clone(),
        by: kept.value.stamp.by.clone(),
    }));
    reasons
}

pub(super) fn hold(world: &World, wanted: &Wanted) -> Effect {
    let Wanted { scope, kind, reason, expires } = wanted.clone();
    Effect::Share(world.shared().next_id(), Share::Hold { scope, kind, reason, expires })
}

/// Every reason why this hold cannot be ended now.
pub fn release_reasons(world: &World, name: &Text) -> Vec<Reason> {
    let kind = find(world, name).map_or(HoldKind::Hold, |kept| kept.value.kind);
    let mut reasons = may_write(world, kind);
    if find(world, name).is_none() {
        let known = world.shared().holds().map(|kept| kept.name.to_string()).collect::<Vec<_>>();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        reasons.push(Reason::UnknownHold { name: name.clone(), known: Text::from(known) });
    }
    reasons
}

pub(super) fn release(world: &World, name: &Text) -> Option<Effect> {
    let kept = find(world, name)?;
    let share = Share::Release { hold: kept.name.clone(), version: kept.version.clone() };
    Some(Effect::Share(world.shared().next_id(), share))
}

fn find<'w>(world: &'w World, name: &Text) -> Option<&'w Kept<Hold>> {
    world.shared().holds().find(|kept| kept.name == *name)
}

/// Why we may not put such a thing on, nor end one; empty: we may. Whoever may make them may end them:
/// both verbs stand in one rule of the roles.
pub fn may_write(world: &World, kind: HoldKind) -> Vec<Reason> {
    let (right, verb) = match kind {
        HoldKind::Hold => (world.shared().rights.hold, "hold"),
        HoldKind::Exclusion => (world.shared().rights.exclude, "exclude"),
    };
    write_reasons(world, right, verb)
}

/// What is against any small write of ours to the state cluster. A right that nobody has told of yet is
/// left to the API server.
pub(super) fn write_reasons(world: &World, right: Option<bool>, verb: &'static str) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if world.is_read_only() {
        reasons.push(Reason::ReadOnly);
    }
    reasons.extend(gates::state(world).map(|gate| Reason::Gate(Box::new(gate))));
    if right == Some(false) {
        reasons.push(Reason::NoShareRight(verb));
    }
    reasons
}

/// Is there such a place, as far as the cluster told?
pub(super) fn scope_reasons(world: &World, scope: &Scope) -> Option<Reason> {
    let (cluster, ns) = match scope {
        Scope::Fleet => return None,
        Scope::Cluster(cluster) => (cluster, None),
        Scope::Namespace(cluster, ns) => (cluster, Some(ns)),
        Scope::Rollout(target) => (&target.cluster, Some(&target.ns)),
    };
    let Some(seen) = world.cluster(cluster) else { return Some(Reason::UnknownCluster(cluster.clone())) };
    let is_strange = |ns: &&_| seen.is_complete() && !seen.namespaces.contains_key(*ns);
    ns.filter(is_strange).map(|ns| Reason::UnknownNamespace(cluster.clone(), ns.clone()))
}
