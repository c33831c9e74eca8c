//! What the team's records should say, by what the watch shows: a row that was closed, taken back, or
//! soaked clean. So a colleague's apply, one from git, a lost answer and a restart are one case.
//! Whoever observes a cluster writes them; written twice they say the same.

use crate::domain::{
    fleet::{Cluster, Namespace, Presence},
    flow::Direction,
    journal::Act,
    manifest::Manifest,
    names::Text,
    policy::{Policy, PolicyDigest},
    rollout::{Applied, Clean, Kept, Record, RolledBack, Stamp, Target},
    soak::Verdict,
    time::Timestamp,
    valve,
};

use super::{
    kept_clean,
    orders::{OrderKind, OrderState},
    recovery::{Recovery, recovery},
    shared::Share,
    waiving,
    world::World,
};

/// Records of one cluster that are to be written now. `wave` says in which wave a row of the plan is.
pub fn due(world: &World, cluster: &Cluster, wave: impl Fn(&Target) -> Option<u32>) -> Vec<Share> {
    let (true, Some(uid)) = (cluster.is_complete() && world.shared().is_live(), cluster.uid.as_ref()) else {
        return Vec::new();
    };
    let rows = cluster.namespaces.values().flat_map(|ns| Direction::ALL.map(|direction| (ns, direction)));
    rows.filter_map(|(ns, direction)| {
        let target = Target { cluster: cluster.name.clone(), ns: ns.seen.name.clone(), direction };
        let kept = world.shared().record(&target);
        let known = kept.map(|kept| &kept.value).filter(|record| record.uid == *uid);
        let record = wanted(world, ns, &target, uid, known, &wave)?;
        let version = kept.map(|kept| kept.version.clone());
        (Some(&record) != known).then(|| Share::Record { record: Box::new(record), version })
    })
    .collect()
}

/// Records of rows that were applied, written by somebody who did not know their wave, with it. Whoever
/// observes the cluster by now: that may be us, after a watch of it ended. A wave that is recorded stays.
pub fn unplaced(world: &World, wave: impl Fn(&Target) -> Option<u32>) -> Vec<Share> {
    let lacks = |kept: &&Kept<Record>| {
        let Record { target, uid, applied, rolled_back, wave, .. } = &kept.value;
        let is_live = applied.is_some() && rolled_back.is_none() && wave.is_none();
        let cluster = is_live.then(|| world.cluster(&target.cluster)).flatten();
        cluster.is_some_and(|cluster| cluster.uid.as_ref() == Some(uid))
    };
    let placed = |kept: &Kept<Record>| {
        let wave = Some(wave(&kept.value.target)?);
        let record = Box::new(Record { wave, ..kept.value.clone() });
        Some(Share::Record { record, version: Some(kept.version.clone()) })
    };
    world.shared().records().filter(lacks).filter_map(placed).collect()
}

/// What the record should be; `None`: there is nothing to record.
fn wanted(
    world: &World,
    ns: &Namespace,
    target: &Target,
    uid: &Text,
    known: Option<&Record>,
    wave: &impl Fn(&Target) -> Option<u32>,
) -> Option<Record> {
    // While an order runs, what is live is on its way to something else.
    if world.orders().in_flight(&target.cluster, &target.ns).is_some() {
        return None;
    }
    let presence = ns.presence(target.direction);
    match (presence, known) {
        (Presence::Tight, known) => Some(closed(world, ns, target, uid, known, wave)),
        (Presence::None, Some(known)) => taken_back(world, target, known),
        // An incident: what was recorded stays.
        (Presence::Partial { .. } | Presence::Open, _) | (Presence::None, None) => None,
    }
}

fn closed(
    world: &World,
    ns: &Namespace,
    target: &Target,
    uid: &Text,
    known: Option<&Record>,
    wave: &impl Fn(&Target) -> Option<u32>,
) -> Record {
    let live = valve::live_set(ns, target.direction);
    let digest = ns.pinned_digest(target.direction);
    let blank = || Record {
        target: target.clone(),
        uid: uid.clone(),
        wave: None,
        applied: None,
        clean: None,
        rolled_back: None,
        overridden: false,
    };
    let mut record = known.cloned().unwrap_or_else(blank);
    let again = record.applied.as_ref().and_then(|then| applied_again(world, target, then.stamp.at));
    let is_again = record.rolled_back.take().is_some() || again.is_some();
    let is_new = is_again || record.applied.is_none();
    // Changed by other means than an apply of ours, or to other bytes than git has, it is an incident
    // and not a new apply.
    let ours = latest_apply(world, target, &digest);
    let is_meant = ours.is_some() || is_authored(world, target, &live);
    if is_new || (is_meant && record.applied.as_ref().is_some_and(|then| then.digest != digest)) {
        let stamp = match (ours, again) {
            (Some(at), _) => Stamp { by: author(world, target), at },
            (None, Some(stamp)) => stamp,
            (None, None) => Stamp { by: writer(&live), at: world.now() },
        };
        record.applied = Some(Applied { digest, stamp });
        record.wave = record.wave.or_else(|| wave(target));
    }
    let by_override = |then: &Applied| waiving::was_overridden(world, target, uid, then);
    record.overridden |= record.applied.as_ref().is_some_and(by_override);
    // Bytes that nobody applied are nothing to go back to, however long they were there.
    let is_applied = record.applied.as_ref().is_some_and(|then| then.digest == digest);
    let counts = record.clean_since().is_some_and(|at| kept_clean::void(world, target, at).is_none());
    // Most rows are not: they need not be judged here. What was applied again must first be seen so.
    if is_applied
        && !is_again
        && !counts
        && world.soaks().is_clean(target)
        && let Some(applied) = &record.applied
        && let Some(judged) = world.soaks().judged_lately(target, world)
        && let Verdict::Clean { since } = judged.verdict
    {
        let manifests = live.iter().map(|(name, policy)| (*name, text(policy, target))).collect();
        // Of a row that nobody could record while it soaked, the record begins later.
        let at = since.max(applied.stamp.at);
        record.clean = Some(Clean { digest, at, set: live, manifests });
    }
    record
}

/// Is what is live what the workspace has, whoever wrote it?
fn is_authored(world: &World, target: &Target, live: &valve::Set) -> bool {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    world.files().sets.get(&key).is_some_and(|authored| {
        authored.set.len() == live.len()
            && authored
                .set
                .iter()
                .all(|(name, wanted)| live.get(name).is_some_and(|is| is.spec == wanted.spec))
    })
}

/// The policy as JSON text, ready to send: what the server has of it, without what is only of the live
/// object. Names need no escaping.
fn text(policy: &Policy, target: &Target) -> Manifest {
    let (kind, name) = (policy.key.kind, &policy.key.name);
    let head = format!(
        r#"{{"apiVersion":"{}","kind":"{kind}","metadata":{{"name":"{name}","namespace":"{}"}},"#,
        kind.api_version(),
        target.ns
    );
    // Of kinds with several specs the canonical text is the object's own part.
    let spec = match policy.canonical.strip_prefix('{') {
        Some(own) if own.starts_with(r#""spec""#) || own.starts_with(r#""specs""#) => own.to_owned(),
        Some(_) | None => format!(r#""spec":{}}}"#, policy.canonical),
    };
    Manifest::new(&(head + &spec), &target.ns)
}

/// When our own apply of exactly these bytes ended well.
fn latest_apply(world: &World, target: &Target, digest: &PolicyDigest) -> Option<Timestamp> {
    let order = world.orders().latest(target).filter(|order| order.kind.applies())?;
    let OrderState::Ended(super::orders::Outcome::Done { .. }) = &order.state else { return None };
    (order.digest == Some(*digest)).then_some(order.ended).flatten()
}

/// Who we are in that cluster, as its API server says.
fn author(world: &World, target: &Target) -> Text {
    let identity = world.cluster(&target.cluster).and_then(|cluster| cluster.identity.as_ref());
    identity.map_or_else(|| Text::new("unknown"), |identity| identity.user.clone())
}

/// Who wrote the valve last, by its managedFields.
fn writer(live: &valve::Set) -> Text {
    let mut managers = live.values().rev().filter_map(|policy| policy.marks.managers.first());
    managers.next().cloned().unwrap_or_else(|| Text::new("unknown"))
}

fn taken_back(world: &World, target: &Target, known: &Record) -> Option<Record> {
    let applied = known.applied.as_ref()?;
    let mut record = known.clone();
    match &mut record.rolled_back {
        Some(rolled_back) => {
            if rolled_back.recovered.is_none()
                && recovery(world, target, rolled_back.stamp.at) == Recovery::Recovered
            {
                rolled_back.recovered = Some(world.now());
            }
        }
        None => {
            let ours = world.orders().latest(target).filter(|order| {
                order.kind == OrderKind::Rollback && order.ended.is_some_and(|at| at >= applied.stamp.at)
            });
            let ours =
                ours.map(|order| Stamp { by: author(world, target), at: order.ended.unwrap_or(world.now()) });
            // Gone without a rollback of ours or of a colleague: an incident, until somebody decides.
            let stamp = ours.or_else(|| by_a_colleague(world, target, applied.stamp.at))?;
            record.rolled_back = Some(RolledBack { stamp, reason: None, recovered: None });
        }
    }
    Some(record)
}

/// The newest act on this row that the journal has, if it is a rollback of what was applied: whoever
/// observes a cluster records what others took back.
fn by_a_colleague(world: &World, target: &Target, applied: Timestamp) -> Option<Stamp> {
    let object = target.to_string();
    let is_act = |act: Act| matches!(act, Act::Apply | Act::Revert | Act::Rollback);
    let mut entries = world.shared().journal().rev().map(|kept| &kept.value);
    let last = entries.find(|entry| is_act(entry.act) && entry.object.as_str() == object)?;
    (last.act == Act::Rollback && last.stamp.at >= applied).then(|| last.stamp.clone())
}

/// The newest act on this row that the journal has, if it applied anew what was taken back since the apply
/// that is recorded: both may have been done while nobody observed.
fn applied_again(world: &World, target: &Target, applied: Timestamp) -> Option<Stamp> {
    let object = target.to_string();
    let entries = world.shared().journal().rev().map(|kept| &kept.value);
    let mut acts = entries.filter(|entry| {
        matches!(entry.act, Act::Apply | Act::Revert | Act::Rollback) && entry.object.as_str() == object
    });
    let last = acts.next().filter(|last| last.act != Act::Rollback)?;
    let was_taken_back = acts.any(|entry| entry.act == Act::Rollback && entry.stamp.at >= applied);
    was_taken_back.then(|| last.stamp.clone())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        cockpit::{
            ports::{Change, ClusterFact, Fact},
            shared::SharedFact,
        },
        documents::{
            fixture::{by, kept, record, team_world, tell},
            tests::{cluster, now, ns, target},
        },
        domain::{
            hold::{Covers, Override},
            journal::{Chain, Entry},
            policy::PolicyKind,
        },
    };

    fn taken_back_by(world: &World) -> Vec<Text> {
        let due = due(world, world.cluster(&cluster("prod-eu")).expect("there"), |_| None);
        let records = due.into_iter().filter_map(|share| match share {
            Share::Record { record, .. } if record.target == target() => record.rolled_back,
            _ => None,
        });
        records.map(|back| back.stamp.by).collect()
    }

    /// A watch of one cluster recorded shop and billing, and knows of no wave.
    #[test]
    fn a_row_that_was_recorded_without_its_wave_gets_it_once_and_keeps_it() {
        let mut world = team_world();
        let of = |name: &str, change: fn(&mut Record)| {
            let target = Target { ns: ns(name), ..target() };
            let mut record = Record { target, wave: None, ..record(&team_world()) };
            change(&mut record);
            record
        };
        let taken_back: fn(&mut Record) = |it| {
            it.rolled_back = Some(RolledBack { stamp: by("oncall", 1), reason: None, recovered: None });
        };
        let elsewhere: fn(&mut Record) = |it| it.target.cluster = cluster("left-the-fleet");
        let records = vec![
            kept("shop", 30, of("shop", |_| {})),
            kept("billing", 30, of("billing", |_| {})),
            kept("placed", 30, of("placed", |it| it.wave = Some(1))),
            kept("unplanned", 30, of("unplanned", |_| {})),
            kept("blank", 30, of("blank", |it| it.applied = None)),
            kept("back", 30, of("back", taken_back)),
            kept("rebuilt", 30, of("rebuilt", |it| it.uid = Text::new("uid-of-the-one-before"))),
            kept("elsewhere", 30, of("elsewhere", elsewhere)),
        ];
        tell(&mut world, SharedFact::Records(Change::Reset(records)));
        let wave = |target: &Target| match target.ns.as_str() {
            "unplanned" => None,
            "billing" => Some(5),
            _ => Some(4),
        };
        let told = |world: &World| {
            let shares = unplaced(world, wave).into_iter();
            let records = shares.map(|share| match share {
                Share::Record { record, version } => (*record, version.map(|it| it.to_string())),
                other => panic!("{other:?}"),
            });
            let mut out: Vec<_> = records.collect();
            out.sort_by_key(|(record, _)| record.wave);
            out
        };
        let placed = |name, wave| Record { wave: Some(wave), ..of(name, |_| {}) };
        let version = || Some("1".to_owned());
        assert_eq!(told(&world), [(placed("shop", 4), version()), (placed("billing", 5), version())]);

        // It was written. The plan changes later: the row stays in the wave that it was applied in.
        tell(&mut world, SharedFact::Records(Change::Put(kept("shop", 30, placed("shop", 4)))));
        let names: Vec<_> = told(&world).into_iter().map(|(record, _)| record.target.ns).collect();
        assert_eq!(names, [ns("billing")]);
        let moved = unplaced(&world, |_| Some(9));
        let of_shop =
            |share: &&Share| matches!(share, Share::Record { record, .. } if record.target == target());
        assert_eq!(moved.iter().find(of_shop), None);
        assert_eq!(unplaced(&world, |_| None), [], "nobody knows it yet");
    }

    /// Law 2: for good, so also once the override has run out and its object is gone.
    #[test]
    fn an_apply_under_a_confirmed_override_marks_its_row_for_good() {
        let (confirmed, another) = (Some(by("second@example.net", 31)), PolicyDigest::of([]));
        let marked = |change: &dyn Fn(&mut Override)| {
            let mut world = team_world();
            let live = record(&world);
            let mut over = Override {
                target: target(),
                uid: Some(Text::new("uid-1")),
                digest: live.applied.clone().expect("applied").digest,
                covers: vec![Covers::Order],
                reason: Text::new("the release cannot wait"),
                stamp: by("lead@example.net", 32),
                confirmed: confirmed.clone(),
                expires: now() - TimeDelta::hours(20),
            };
            change(&mut over);
            tell(&mut world, SharedFact::Records(Change::Reset(vec![kept("shop", 30, live)])));
            tell(&mut world, SharedFact::Overrides(Change::Reset(vec![kept("over", 32, over)])));
            let mut due =
                due(&world, world.cluster(&cluster("prod-eu")).expect("there"), |_| None).into_iter();
            let record = due.find_map(|share| match share {
                Share::Record { record, .. } if record.target == target() => Some(*record),
                _ => None,
            });
            (world, record)
        };
        let (mut world, first) = marked(&|_| {});
        let first = first.expect("to be written");
        assert!(first.overridden);
        tell(&mut world, SharedFact::Records(Change::Put(kept("shop", 30, first))));
        tell(&mut world, SharedFact::Overrides(Change::Reset(Vec::new())));
        let report = crate::cockpit::report::soak_report(&world, &target()).expect("there");
        let said: Vec<_> = report.limits.iter().map(Text::as_str).collect();
        assert!(
            said.contains(&"A gate was overridden for this rollout once; the journal says which."),
            "{said:?}"
        );
        let due = due(&world, world.cluster(&cluster("prod-eu")).expect("there"), |_| None);
        let unmarks =
            |share: &Share| matches!(share, Share::Record { record, .. } if record.target == target());
        assert!(!due.iter().any(unmarks), "it stays");
        for change in [
            (&|over: &mut Override| over.confirmed = None) as &dyn Fn(&mut Override),
            &|over| over.confirmed = Some(over.stamp.clone()),
            &|over| over.confirmed = Some(by("second@example.net", 29)),
            &|over| over.expires = now() - TimeDelta::hours(31),
            &|over| over.digest = another,
            &|over| over.uid = Some(Text::new("uid-of-the-one-before")),
            &|over| over.target.ns = ns("billing"),
        ] {
            assert_eq!(marked(change).1, None);
        }
    }

    /// `sluice watch` observes, and orders nothing itself.
    #[test]
    fn what_a_colleague_took_back_is_recorded_by_whoever_observes() {
        let mut world = team_world();
        let live = record(&world);
        tell(&mut world, SharedFact::Records(Change::Reset(vec![kept("shop", 30, live)])));
        let gone = ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new()));
        world.absorb(Fact::Cluster(cluster("prod-eu"), gone));
        world.settle();
        assert!(taken_back_by(&world).is_empty(), "an incident");
        let place = Chain::default();
        let entry = |number: u64, act: Act, minutes: i64| {
            let stamp = Stamp { at: now() + TimeDelta::minutes(minutes), ..by("oncall@example.net", 0) };
            let object = Text::from(target().to_string());
            let entry = Entry { number, previous: place.previous, stamp, act, object, facts: Vec::new() };
            SharedFact::Journal(Change::Put(kept(&format!("entry-{number:09}"), 0, entry)))
        };
        tell(&mut world, entry(900, Act::Rollback, 1));
        assert_eq!(taken_back_by(&world), [Text::new("oncall@example.net")]);
        // Applied again since, and gone by other means.
        tell(&mut world, entry(901, Act::Apply, 2));
        assert!(taken_back_by(&world).is_empty());
    }

    /// Both were done by commands that end, while nobody observed: the record says what is so now.
    #[test]
    fn what_was_taken_back_and_applied_again_unwatched_is_recorded_as_applied_then() {
        let mut world = team_world();
        let live = record(&world);
        let first = live.applied.clone().expect("it was applied").stamp.at;
        tell(&mut world, SharedFact::Records(Change::Reset(vec![kept("shop", 30, live)])));
        let applied = |world: &World| {
            let due = due(world, world.cluster(&cluster("prod-eu")).expect("there"), |_| None);
            let records = due.into_iter().filter_map(|share| match share {
                Share::Record { record, .. } if record.target == target() => record.applied,
                _ => None,
            });
            records.map(|applied| (applied.stamp.by.to_string(), applied.stamp.at)).collect::<Vec<_>>()
        };
        assert_eq!(applied(&world), []);
        let entry = |number: u64, act: Act, minutes: i64| {
            let stamp = Stamp { at: first + TimeDelta::minutes(minutes), ..by("lead@example.net", 0) };
            let object = Text::from(target().to_string());
            let previous = Chain::default().previous;
            let entry = Entry { number, previous, stamp, act, object, facts: Vec::new() };
            SharedFact::Journal(Change::Put(kept(&format!("entry-{number:09}"), 0, entry)))
        };
        tell(&mut world, entry(900, Act::Rollback, 1));
        assert_eq!(applied(&world), [], "it is live: who applied it is not known yet");
        tell(&mut world, entry(901, Act::Revert, 2));
        assert_eq!(applied(&world), [("lead@example.net".to_owned(), first + TimeDelta::minutes(2))]);
    }
}
