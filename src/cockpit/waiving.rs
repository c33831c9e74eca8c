//! May something be waived or overridden? Decided here, as `decide` decides the rest: every reason
//! against, or the write to the state cluster. An override covers soak, coverage and order only (law 2),
//! is for exactly the bytes of one preview, and counts only once a second person confirmed it.

use chrono::TimeDelta;

use crate::domain::{
    hold::{Covers, Override, Scope, Subject, not_for},
    names::{ClusterName, Text},
    policy::PolicyDigest,
    rollout::{Applied, Kept, Target},
    time::{Timestamp, age, span},
};

use super::{
    coverage::{WorkloadRow, coverage_row},
    decide::Reason,
    holding::{scope_reasons, write_reasons},
    orders::OrderId,
    ports::Effect,
    shared::Share,
    world::World,
};

/// What somebody takes upon himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiving {
    pub target: Target,
    pub subject: Subject,
    pub reason: Text,
    pub expires: Timestamp,
}

/// What the lead wants to go on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overriding {
    /// The preview whose bytes it is for.
    pub preview: OrderId,
    pub covers: Vec<Covers>,
    pub reason: Text,
    pub expires: Timestamp,
}

/// Why we may not waive anything; empty: we may.
pub fn may_waive(world: &World) -> Vec<Reason> {
    write_reasons(world, world.shared().rights.waive, "waive denials of")
}

/// Every reason why this cannot be waived now.
pub fn waive_reasons(world: &World, waiving: &Waiving) -> Vec<Reason> {
    let mut reasons = may_waive(world);
    reasons.extend(words(world, &waiving.reason, waiving.expires));
    let of_place = scope_reasons(world, &Scope::Rollout(waiving.target.clone()));
    reasons.extend(of_place.is_none().then(|| no_uid(world, &waiving.target.cluster)).flatten());
    reasons.extend(of_place);
    reasons.extend(nothing_to_waive(world, waiving));
    reasons
}

/// A name that the cluster does not know waives nothing: it was mistyped. Denials are not asked for,
/// since whoever waives them may have seen them elsewhere.
fn nothing_to_waive(world: &World, waiving: &Waiving) -> Option<Reason> {
    let Target { cluster, ns, .. } = &waiving.target;
    let (what, is_there) = match &waiving.subject {
        Subject::Denial(_) | Subject::Quiet => return None,
        Subject::CronJob(name) => {
            let mut crons = world.discoveries().crons(cluster, ns)?;
            (format!("CronJob {name}"), crons.any(|cron| cron.name == *name))
        }
        Subject::NoEvidence(workload) => {
            let row = coverage_row(world, world.cluster(cluster)?, world.namespace(cluster, ns)?);
            let is_it = |one: &WorkloadRow| one.workload == *workload;
            (format!("workload {}/{}", workload.kind, workload.name), row.workloads?.iter().any(is_it))
        }
    };
    (!is_there).then(|| Reason::NothingToWaive(Text::from(format!("{cluster}/{ns} has no {what}"))))
}

pub(super) fn waive(world: &World, waiving: &Waiving) -> Option<Effect> {
    let Waiving { target, subject, reason, expires } = waiving.clone();
    let uid = uid(world, &target.cluster)?.clone();
    Some(Effect::Share(world.shared().next_id(), Share::Waive { target, uid, subject, reason, expires }))
}

/// UID of what has this name now.
fn uid<'w>(world: &'w World, cluster: &ClusterName) -> Option<&'w Text> {
    world.cluster(cluster)?.uid.as_ref()
}

/// Nothing is waived or overridden for a cluster of which nobody knows which one it is.
fn no_uid(world: &World, cluster: &ClusterName) -> Option<Reason> {
    uid(world, cluster).is_none().then(|| Reason::NoUid(cluster.clone()))
}

/// Every reason why this cannot be overridden now.
pub fn override_reasons(world: &World, overriding: &Overriding) -> Vec<Reason> {
    let mut reasons = may_override(world);
    reasons.extend(words(world, &overriding.reason, overriding.expires));
    if overriding.covers.is_empty() {
        reasons.push(Reason::NothingCovered);
    }
    match world.orders().preview(overriding.preview) {
        None => reasons.push(Reason::NoPreview(overriding.preview)),
        Some(preview) => reasons.extend(no_uid(world, &preview.target.cluster)),
    }
    reasons
}

pub(super) fn overrule(world: &World, overriding: &Overriding) -> Option<Effect> {
    let preview = world.orders().preview(overriding.preview)?;
    let share = Share::Override {
        target: preview.target.clone(),
        uid: uid(world, &preview.target.cluster)?.clone(),
        digest: preview.digest,
        covers: overriding.covers.clone(),
        reason: overriding.reason.clone(),
        expires: overriding.expires,
    };
    Some(Effect::Share(world.shared().next_id(), share))
}

/// Why we may not confirm anything; empty: we may.
pub fn may_confirm(world: &World) -> Vec<Reason> {
    write_reasons(world, world.shared().rights.confirm, "confirm overrides of")
}

/// Why we may not override anything; empty: we may.
pub fn may_override(world: &World) -> Vec<Reason> {
    write_reasons(world, world.shared().rights.overrule, "override gates of")
}

/// Every reason why this override cannot be confirmed by us now.
pub fn confirm_reasons(world: &World, name: &Text) -> Vec<Reason> {
    let mut reasons = may_confirm(world);
    match find(world, name) {
        None => {
            let known: Vec<_> = world.shared().overrides().map(|kept| kept.name.to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            reasons.push(Reason::UnknownOverride { name: name.clone(), known: Text::from(known) });
        }
        Some(kept) => {
            let by = &kept.value.stamp.by;
            if kept.value.confirmed.is_some() {
                reasons.push(Reason::ConfirmedAlready(name.clone()));
            }
            if user(world).is_some_and(|user| is_same_person(world, user, by)) {
                reasons.push(Reason::OwnOverride(by.clone()));
            }
            reasons.extend(past(world, kept.value.expires));
            let Override { target, uid: made, .. } = &kept.value;
            let why = not_for(made.as_ref(), uid(world, &target.cluster));
            reasons.extend(why.map(|why| Reason::OtherOverride { name: name.clone(), why }));
        }
    }
    reasons
}

pub(super) fn confirm(world: &World, name: &Text) -> Option<Effect> {
    let kept = find(world, name)?;
    let share = Share::Confirm { over: kept.name.clone(), version: kept.version.clone() };
    Some(Effect::Share(world.shared().next_id(), share))
}

/// Does a confirmed override that has not run out open this gate, for these bytes in this very cluster?
/// Confirmed by the same person under another name it does not count.
pub fn is_overridden(world: &World, target: &Target, digest: PolicyDigest, gate: Covers) -> bool {
    let Some(now) = world.shared().now(world.now()) else { return false };
    let counts = |over: &Override| {
        over.target == *target
            && not_for(over.uid.as_ref(), uid(world, &target.cluster)).is_none()
            && over.digest == digest
            && over.covers.contains(&gate)
            && over.expires > now
            && over.confirmed.as_ref().is_some_and(|other| !is_same_person(world, &other.by, &over.stamp.by))
    };
    world.shared().overrides().any(|kept| counts(&kept.value))
}

/// The clocks of the state cluster and of whoever records an apply may differ by so much.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Was what is recorded as applied in this very cluster applied under a confirmed override? That marks
/// the row for good (law 2).
pub fn was_overridden(world: &World, target: &Target, uid: &Text, applied: &Applied) -> bool {
    let at = applied.stamp.at;
    let counted = |over: &Override| {
        over.target == *target
            && over.uid.as_ref() == Some(uid)
            && over.digest == applied.digest
            && at - SKEW < over.expires
            && over.confirmed.as_ref().is_some_and(|other| {
                other.at <= at + SKEW && !is_same_person(world, &other.by, &over.stamp.by)
            })
    };
    world.shared().overrides().any(|kept| counted(&kept.value))
}

/// Overrides of a row: a confirmed one marks it for good, one that waits is shown until it ends.
pub fn marks<'w>(world: &'w World, target: &Target) -> impl Iterator<Item = &'w Kept<Override>> {
    let now = now(world);
    let is_shown = move |over: &Override| over.confirmed.is_some() || over.expires > now;
    world.shared().overrides().filter(move |kept| kept.value.target == *target && is_shown(&kept.value))
}

/// Those that wait for a second person and have not ended.
pub fn unconfirmed(world: &World) -> impl Iterator<Item = &Kept<Override>> {
    let now = now(world);
    world.shared().overrides().filter(move |kept| kept.value.confirmed.is_none() && kept.value.expires > now)
}

/// The state cluster's, where it has told it.
fn now(world: &World) -> Timestamp {
    world.shared().now(world.now()).unwrap_or(world.now())
}

/// What it opens, by whose word, until when.
pub fn override_words(world: &World, kept: &Kept<Override>) -> String {
    let over = &kept.value;
    let covers: Vec<_> = over.covers.iter().map(|covers| covers.as_str()).collect();
    format!(
        "{}: opens {} for bytes {}, asked by {} {} ago, until {}: {}",
        over.target,
        covers.join(", "),
        over.digest.short(),
        over.stamp.by,
        span(age(over.stamp.at, world.now())),
        over.expires.with_timezone(&world.zone()).format("%Y-%m-%d %H:%M"),
        over.reason
    ) + &aside(world, &over.target, over.uid.as_ref())
}

/// `; does not count: …` after what was made for another cluster; else nothing.
pub fn aside(world: &World, target: &Target, made: Option<&Text>) -> String {
    not_for(made, uid(world, &target.cluster)).map(|why| format!("; {why}")).unwrap_or_default()
}

/// One person may have several user names: `people` of `sluice.yaml` says which.
pub fn is_same_person(world: &World, a: &Text, b: &Text) -> bool {
    a == b || world.plan().settings.people.iter().any(|names| names.contains(a) && names.contains(b))
}

/// Who the state cluster says we are.
fn user(world: &World) -> Option<&Text> {
    let state = world.plan().settings.state.as_ref()?;
    Some(&world.cluster(&state.cluster)?.identity.as_ref()?.user)
}

fn find<'w>(world: &'w World, name: &Text) -> Option<&'w Kept<Override>> {
    world.shared().overrides().find(|kept| kept.name == *name)
}

fn words(world: &World, reason: &Text, expires: Timestamp) -> Vec<Reason> {
    let empty = reason.as_str().trim().is_empty().then_some(Reason::NoReason);
    empty.into_iter().chain(past(world, expires)).collect()
}

fn past(world: &World, expires: Timestamp) -> Option<Reason> {
    match world.shared().now(world.now()) {
        Some(now) if expires > now => None,
        Some(_) => Some(Reason::Past(expires)),
        None => Some(Reason::NoClock),
    }
}
