//! The conditions behind alerts, read from the world at one moment, and which of them cannot be seen.
//! A condition that cannot be seen is unknown: it is neither raised nor over.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{AlertKey, AlertKind, Condition};
use crate::{
    cockpit::{
        gate, kept_clean,
        open_ends::taken_back,
        recovery::{Recovery, recovery},
        spot::Spot,
        world::World,
    },
    domain::{
        denial::{Class, Group},
        fleet::{Cluster, Health, Presence},
        flow::Direction,
        gate::Cover,
        names::Text,
        rollout::Target,
        soak::{Judged, Reason, Verdict},
        spans::{Spans, minute_of, minute_start},
        time::{age, minute, span},
    },
};

/// A group hurts for as long after its last denial.
const HURTS: TimeDelta = TimeDelta::minutes(15);
/// A rollback that is well again is so by then.
const RECOVERY: TimeDelta = TimeDelta::minutes(10);
/// A soak that stands still for longer is worth a look.
const PAUSE: TimeDelta = TimeDelta::minutes(30);
/// A Lease that was not renewed for so long is nobody's.
const LEASE: TimeDelta = TimeDelta::minutes(5);

pub(super) fn conditions(world: &World) -> Vec<Condition> {
    let mut out = hurting(world);
    out.extend(disagreement(world));
    out.extend(incident(world));
    out.extend(not_recovered(world));
    out.extend(observer_gone(world));
    out
}

/// The same of what costs more to find out.
pub(super) fn slow(world: &World) -> Vec<Condition> {
    let mut out: Vec<_> = world.soaks().targets().filter_map(|target| paused(world, &target)).collect();
    out.extend(world.soaks().targets().filter_map(|target| leaks(world, &target)));
    out.extend(world.soaks().targets().filter_map(|target| not_clean_any_more(world, &target)));
    out.extend(grant_expired(world));
    out.extend(world.soaks().targets().filter_map(|target| ungranted(world, &target)));
    out
}

/// It cannot be told at the moment whether this is still so.
pub(super) fn is_hidden(world: &World, key: &AlertKey) -> bool {
    let Some(cluster) = world.cluster(&key.spot.cluster) else { return false };
    match key.kind {
        AlertKind::Hurting | AlertKind::Disagreement => {
            !world.source(&cluster.name).is_some_and(crate::cockpit::world::Source::is_live)
        }
        AlertKind::Incident => !cluster.is_complete() || matches!(cluster.health, Health::Down(_)),
        // Nothing heard is what a pause is.
        AlertKind::Paused => false,
        AlertKind::NotRecovered | AlertKind::GrantExpired | AlertKind::ObserverGone => {
            !world.shared().is_live()
        }
    }
}

fn is_live(world: &World, target: &Target) -> bool {
    world
        .namespace(&target.cluster, &target.ns)
        .is_some_and(|ns| ns.presence(target.direction) == Presence::Tight)
}

fn hurting(world: &World) -> Vec<Condition> {
    let now = world.now();
    let hurts = |group: &&Group| group.class == Class::Hurting && age(group.last, now) < HURTS;
    let groups = world.denials().groups().take_while(|group| group.class == Class::Hurting).filter(hurts);
    groups
        .filter_map(|group| {
            let key = &group.key;
            let target =
                Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
            is_live(world, &target).then(|| {
                let who = key.workload.as_ref().map_or("-", |workload| workload.name.as_str());
                let what = Text::from(format!("{who} {}:{}/{}", key.peer, key.port, key.protocol));
                let rate = group.minutes.per_minute(now);
                let attempts = if group.count == 1 { "attempt" } else { "attempts" };
                let words = format!(
                    "{who} is denied {} on {}/{} ({}): {} {attempts}, the first {} ago, {rate:.0} a minute now",
                    key.peer,
                    key.port,
                    key.protocol,
                    group.said,
                    group.count,
                    span(age(group.first, now)),
                );
                let within = age(group.first, group.last);
                let within =
                    if within.is_zero() { String::new() } else { format!(" in {}", span(within)) };
                let was = format!(
                    "{who} was denied {} on {}/{}, {} {attempts}{within}",
                    key.peer, key.port, key.protocol, group.count,
                );
                Condition {
                    key: AlertKey { kind: AlertKind::Hurting, spot: (&target).into(), detail: what },
                    level: level(rate),
                    words: Text::from(words),
                    was: Text::from(was),
                }
            })
        })
        .collect()
}

/// The data plane and our evaluator differ on the newest denial, and go on to.
fn disagreement(world: &World) -> Vec<Condition> {
    let now = world.now();
    let goes_on = |group: &&Group| group.disagrees() && age(group.last, now) < HURTS;
    let condition = |group: &Group| {
        let (key, ours) = (&group.key, group.ours.as_ref()?);
        let target = Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
        let who = key.workload.as_ref().map_or("-", |workload| workload.name.as_str());
        is_live(world, &target).then(|| Condition {
            key: AlertKey {
                kind: AlertKind::Disagreement,
                spot: (&target).into(),
                detail: Text::from(format!("{who} {}:{}/{}", key.peer, key.port, key.protocol)),
            },
            level: 0,
            words: Text::from(format!(
                "{who} is denied {} on {}/{} ({}), and by the live policies it is {} ({}): one of the two is wrong",
                key.peer,
                key.port,
                key.protocol,
                group.said,
                ours.opinion.verdict.as_str(),
                ours.opinion.why,
            )),
            was: Text::from(format!(
                "{who} was denied {} on {}/{}, and by the live policies it was {} ({})",
                key.peer,
                key.port,
                key.protocol,
                ours.opinion.verdict.as_str(),
                ours.opinion.why,
            )),
        })
    };
    world.denials().groups().filter(goes_on).filter_map(condition).collect()
}

/// Tenfold is worse; below ten a minute it is all the same, as one attempt is one a minute or less by
/// the second of the minute.
fn level(per_minute: f64) -> u32 {
    [10.0, 100.0, 1_000.0, 10_000.0].into_iter().filter(|step| per_minute >= *step).count() as u32
}

fn incident(world: &World) -> Vec<Condition> {
    let mut rows: BTreeMap<&Target, Vec<(String, String)>> = BTreeMap::new();
    for (target, incident) in world.incidents().iter() {
        rows.entry(target).or_default().push((incident.words(), incident.said()));
    }
    let condition = |(target, what): (&Target, Vec<(String, String)>)| Condition {
        key: AlertKey { kind: AlertKind::Incident, spot: target.into(), detail: Text::default() },
        // Something was added to it: that is worse.
        level: u32::try_from(what.len()).unwrap_or(u32::MAX),
        words: Text::from(what.iter().map(|(words, _)| words.as_str()).collect::<Vec<_>>().join("; ")),
        was: Text::from(what.iter().map(|(_, said)| said.as_str()).collect::<Vec<_>>().join("; ")),
    };
    rows.into_iter().map(condition).collect()
}

fn not_recovered(world: &World) -> Vec<Condition> {
    let shared = world.shared();
    if !shared.is_live() {
        return Vec::new();
    }
    let now = shared.now(world.now()).unwrap_or(world.now());
    shared
        .records()
        .filter_map(|kept| {
            let record = &kept.value;
            let back = taken_back(record)?;
            if back.recovered.is_some() || now - back.stamp.at <= RECOVERY {
                return None;
            }
            let how = recovery(world, &record.target, back.stamp.at);
            // Not yet recorded, and well all the same.
            (how != Recovery::Recovered).then(|| {
                let ago = span(age(back.stamp.at, now));
                let how = how.words(world.now());
                Condition {
                    key: AlertKey {
                        kind: AlertKind::NotRecovered,
                        spot: (&record.target).into(),
                        detail: Text::default(),
                    },
                    level: 0,
                    words: Text::from(format!("rolled back {ago} ago by {}: {how}", back.stamp.by)),
                    was: Text::from(format!(
                        "rolled back at {} by {}, and not recovered",
                        minute(back.stamp.at, world.zone()),
                        back.stamp.by
                    )),
                }
            })
        })
        .collect()
}

fn observer_gone(world: &World) -> Vec<Condition> {
    let shared = world.shared();
    if !shared.is_live() {
        return Vec::new();
    }
    let now = shared.now(world.now()).unwrap_or(world.now());
    let has_live_row = |cluster: &Cluster| {
        cluster
            .namespaces
            .values()
            .any(|ns| Direction::ALL.into_iter().any(|direction| ns.presence(direction) == Presence::Tight))
    };
    world
        .clusters()
        .filter(|cluster| has_live_row(cluster))
        .filter_map(|cluster| {
            let (words, was) = match shared.observer(&cluster.name) {
                None => (
                    "nobody writes its evidence: soaks stand still".to_owned(),
                    "nobody wrote its evidence, and soaks stood still".to_owned(),
                ),
                Some(observer) if now - observer.renewed > LEASE => (
                    format!(
                        "{} has not renewed its Lease for {}: soaks stand still",
                        observer.holder,
                        span(age(observer.renewed, now))
                    ),
                    format!("{} did not renew its Lease, and soaks stood still", observer.holder),
                ),
                Some(_) => return None,
            };
            let spot = Spot { cluster: cluster.name.clone(), ns: None, direction: None };
            Some(Condition {
                key: AlertKey { kind: AlertKind::ObserverGone, spot, detail: Text::default() },
                level: 0,
                words: Text::from(words),
                was: Text::from(was),
            })
        })
        .collect()
}

/// A probe got through: what the row says is denied is not.
fn leaks(world: &World, target: &Target) -> Option<Condition> {
    let is_probed = world.plan().settings.probes.iter().any(|entry| entry.cluster == target.cluster);
    let judged = is_probed.then(|| world.soaks().judged_last(target))??;
    let leak = judged.verdict.reasons().iter().find(|reason| matches!(reason, Reason::Leaks(_)))?;
    let key = AlertKey {
        kind: AlertKind::Incident,
        spot: target.into(),
        detail: Text::new("the probe got through"),
    };
    let words = Text::from(leak.to_string());
    Some(Condition { key, level: 0, was: words.clone(), words })
}

/// What it was clean by is void: it soaks again, and its wave with it.
fn not_clean_any_more(world: &World, target: &Target) -> Option<Condition> {
    let words = kept_clean::lost(world, target)?;
    let key =
        AlertKey { kind: AlertKind::Incident, spot: target.into(), detail: Text::new("not clean any more") };
    Some(Condition { key, level: 0, was: words.clone(), words })
}

fn paused(world: &World, target: &Target) -> Option<Condition> {
    // Of a hundred thousand rows: none is judged anew for it.
    let judged = world.soaks().judged_last(target)?;
    match judged.verdict {
        Verdict::Soaking { .. } | Verdict::Withheld { .. } => {}
        Verdict::NotStarted | Verdict::Idle | Verdict::Clean { .. } => return None,
    }
    let mut still = Spans::default();
    judged.pauses.iter().for_each(|pause| still.union(&pause.spans));
    let last = still.iter().next_back()?;
    // The newest minutes wait for their signs and are no pause yet.
    let is_now = last.end + Judged::PENDING + 1 >= minute_of(world.now());
    let long = TimeDelta::minutes(last.end - last.start);
    if !is_now || long <= PAUSE {
        return None;
    }
    let cause = judged.pauses.iter().find(|pause| pause.spans.contains(last.end - 1));
    let why = cause.map_or_else(String::new, |pause| format!(": {} ({})", pause.cause.as_str(), pause.why));
    let since = minute(minute_start(last.start), world.zone());
    Some(Condition {
        key: AlertKey { kind: AlertKind::Paused, spot: target.into(), detail: Text::default() },
        level: 0,
        words: Text::from(format!("nothing is credited since {since}{why}; {} so far", judged.words())),
        was: Text::from(format!("nothing was credited from {since} on{why}")),
    })
}

fn grant_expired(world: &World) -> Vec<Condition> {
    let over = gate::due(world).into_iter().filter(|due| due.is_over);
    over.flat_map(|due| {
        let live = due.rollouts.into_iter().filter(|target| is_live(world, target));
        live.map(move |target| Condition {
            key: AlertKey {
                kind: AlertKind::GrantExpired,
                spot: (&target).into(),
                detail: due.review.clone(),
            },
            level: 0,
            words: Text::from(format!(
                "the grant of review {} ended {} and the policy still opens it",
                due.review,
                minute(due.until, world.zone())
            )),
            was: Text::from(format!(
                "the grant of review {} had ended {} and the policy still opened it",
                due.review,
                minute(due.until, world.zone())
            )),
        })
        .collect::<Vec<_>>()
    })
    .collect()
}

/// Live by other means, without a grant.
fn ungranted(world: &World, target: &Target) -> Option<Condition> {
    let mut incidents = gate::incidents_of(world, target);
    // An expired grant is a thing of its own.
    incidents.retain(|incident| !matches!(incident.opening.cover, Cover::Expired { .. }));
    let first = incidents.first()?;
    let said = first.opening.reason(target, world.zone())?;
    let more = incidents.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(Condition {
        key: AlertKey {
            kind: AlertKind::Incident,
            spot: target.into(),
            detail: Text::new("opens without a grant"),
        },
        level: u32::try_from(incidents.len()).unwrap_or(u32::MAX),
        words: Text::from(format!("{said}{more}")),
        was: Text::from(format!("{} without a grant{more}", first.opening.subject())),
    })
}
