//! What was put off and must not be forgotten: rollouts taken back, held, left out, waived or
//! overridden, aged, with who answers for them and until when; and default denies that must be there by
//! now and are not. One list for screen and command line.

use chrono::TimeDelta;

use crate::domain::{
    hold::{HoldKind, Scope},
    names::Text,
    rollout::{Record, RolledBack, Stamp, Target},
    time::{Timestamp, minute},
};

use super::{
    recording, rows,
    spot::Spot,
    steady::{self, Check},
    waiving,
    world::World,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndKind {
    RolledBack,
    Held,
    Excluded,
    Waived,
    Overridden,
    /// A default deny that must be there by now, and is not as it must be.
    Missing,
}

impl EndKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled back",
            Self::Held => "held",
            Self::Excluded => "excluded",
            Self::Waived => "waived",
            Self::Overridden => "overridden",
            Self::Missing => "missing",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpenEnd {
    pub kind: EndKind,
    pub scope: Scope,
    /// What it is for, where the kind does not say all.
    pub what: Text,
    pub reason: Option<Text>,
    /// By whom and when; `None`: nobody put it off.
    pub stamp: Option<Stamp>,
    /// When it ends by itself, and somebody must have decided before; `None`: never.
    pub due: Option<Timestamp>,
    pub is_overdue: bool,
    /// Who answers for the namespace; of what concerns several, nobody.
    pub owner: Option<Text>,
    pub contact: Option<Text>,
}

impl OpenEnd {
    /// Since when it is put off.
    pub fn since(&self) -> Option<Timestamp> {
        self.stamp.as_ref().map(|stamp| stamp.at)
    }

    /// Where it can be looked at; `None`: it is of the whole fleet.
    pub fn spot(&self) -> Option<Spot> {
        match &self.scope {
            Scope::Fleet => None,
            Scope::Cluster(cluster) => Some(Spot { cluster: cluster.clone(), ns: None, direction: None }),
            Scope::Namespace(cluster, ns) => {
                Some(Spot { cluster: cluster.clone(), ns: Some(ns.clone()), direction: None })
            }
            Scope::Rollout(target) => Some(target.into()),
        }
    }
}

/// What is said of a rollback whose recovery was not seen.
pub const NOT_RECOVERED: &str = "not recovered";

/// What ended by itself is shown for so long after.
const SHOWN: TimeDelta = TimeDelta::days(14);

/// Overdue ones first, then by due date, then those without one, the oldest first. `None`: the state
/// cluster never answered, so nobody knows.
pub fn open_ends(world: &World) -> Option<Vec<OpenEnd>> {
    let shared = world.shared();
    let now = shared.now(world.now())?;
    let mut out: Vec<_> = shared.records().filter_map(|kept| rolled_back(world, &kept.value)).collect();
    for kept in shared.holds() {
        let hold = &kept.value;
        let kind = match hold.kind {
            HoldKind::Hold => EndKind::Held,
            HoldKind::Exclusion => EndKind::Excluded,
        };
        let what = (Text::default(), Some(hold.reason.clone()));
        out.push(end(world, kind, hold.scope.clone(), what, Some(&hold.stamp), hold.expires));
    }
    for kept in shared.waivers() {
        let waiver = &kept.value;
        let aside = waiving::aside(world, &waiver.target, waiver.uid.as_ref());
        let words = Text::from(recording::subject_words(&waiver.subject) + &aside);
        let what = (words, Some(waiver.reason.clone()));
        let scope = Scope::Rollout(waiver.target.clone());
        out.push(end(world, EndKind::Waived, scope, what, Some(&waiver.stamp), Some(waiver.expires)));
    }
    for kept in shared.overrides() {
        let over = &kept.value;
        let covers: Vec<_> = over.covers.iter().map(|covers| covers.as_str()).collect();
        let confirmed = match &over.confirmed {
            Some(stamp) => format!("confirmed by {}", stamp.by),
            None => "not confirmed, so not in effect".to_owned(),
        };
        let aside = waiving::aside(world, &over.target, over.uid.as_ref());
        let what = (
            Text::from(format!("{} for {}; {confirmed}{aside}", covers.join(", "), over.digest.short())),
            Some(over.reason.clone()),
        );
        let scope = Scope::Rollout(over.target.clone());
        out.push(end(world, EndKind::Overridden, scope, what, Some(&over.stamp), Some(over.expires)));
    }
    out.extend(steady::checks(world).into_iter().filter(Check::is_open).map(|check| missing(world, check)));
    out.retain(|end| end.due.is_none_or(|due| now - due < SHOWN));
    for end in &mut out {
        end.is_overdue = end.kind == EndKind::Missing || end.due.is_some_and(|due| due <= now);
    }
    let order = |end: &OpenEnd| (!end.is_overdue, end.due.is_none(), end.due, end.since(), end.scope.clone());
    out.sort_by_key(|end| (order(end), end.kind));
    Some(out)
}

/// Both words, since one of them alone may be old.
fn missing(world: &World, check: Check) -> OpenEnd {
    let own = check.own.why().map_or("sluice sees it as it must be", Text::as_str);
    let what = match check.kyverno.why() {
        None => format!("{own}; Kyverno passes it"),
        Some(why) => format!("{own}; Kyverno: {}, {why}", check.kyverno.as_str()),
    };
    let what = (Text::from(what), None);
    end(world, EndKind::Missing, Scope::Rollout(check.target), what, None, None)
}

/// The rollback of a row, unless something was applied after it.
pub fn taken_back(record: &Record) -> Option<&RolledBack> {
    let applied = record.applied.as_ref().map(|applied| applied.stamp.at);
    record.rolled_back.as_ref().filter(|back| applied.is_none_or(|applied| applied <= back.stamp.at))
}

fn rolled_back(world: &World, record: &Record) -> Option<OpenEnd> {
    let back = taken_back(record)?;
    let what = match back.recovered {
        Some(at) => format!("recovered {}", minute(at, world.zone())),
        None => NOT_RECOVERED.to_owned(),
    };
    let what = (Text::from(what), back.reason.clone());
    let scope = Scope::Rollout(record.target.clone());
    Some(end(world, EndKind::RolledBack, scope, what, Some(&back.stamp), None))
}

fn end(
    world: &World,
    kind: EndKind,
    scope: Scope,
    (what, reason): (Text, Option<Text>),
    stamp: Option<&Stamp>,
    due: Option<Timestamp>,
) -> OpenEnd {
    let (owner, contact) = match &scope {
        Scope::Fleet | Scope::Cluster(_) => (None, None),
        Scope::Namespace(cluster, ns) | Scope::Rollout(Target { cluster, ns, .. }) => {
            match (world.namespace(cluster, ns), world.plan().owner_of(ns)) {
                (Some(ns), _) => rows::owner(world, ns),
                (None, Some(entry)) => (Some(entry.owner.clone()), entry.contact.clone()),
                (None, None) => (None, None),
            }
        }
    };
    OpenEnd { kind, scope, what, reason, stamp: stamp.cloned(), due, is_overdue: false, owner, contact }
}
