//! Which default denies must be there by now, and are they? Of every namespace in scope whose wave the
//! rollout has reached, also of one that was created an hour ago; what sluice sees and what Kyverno says
//! stand beside each other. One list for the cockpit and for `sluice kyverno`.

use crate::domain::{
    fleet::Cluster,
    flow::Direction,
    names::{NsName, Text},
    rollout::Target,
    steady::{self, Word},
    time::Timestamp,
    wave::{Candidate, RowState, Verdict, Wave, WavePlan},
};

use super::world::World;

/// One default deny that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub target: Target,
    /// By the watch, as of its age.
    pub own: Word,
    /// By Kyverno's last scan.
    pub kyverno: Word,
    pub scanned: Option<Timestamp>,
}

impl Check {
    /// Somebody has to do something: sluice does not see it, or Kyverno says that it fails.
    pub fn is_open(&self) -> bool {
        matches!(self.own, Word::Fail(_)) || matches!(self.kyverno, Word::Fail(_))
    }
}

/// The namespaces of one cluster and direction, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub reached: Vec<NsName>,
    /// In the cluster, and not asserted: with the reason.
    pub exempt: Vec<(NsName, Text)>,
}

/// What is asserted of a cluster in one direction.
pub fn scope(world: &World, cluster: &Cluster, direction: Direction) -> Scope {
    let mut out = Scope::default();
    for ns in cluster.namespaces.keys() {
        let target = Target { cluster: cluster.name.clone(), ns: ns.clone(), direction };
        match exempt(world, &target) {
            None => out.reached.push(ns.clone()),
            Some(why) => out.exempt.push((ns.clone(), why)),
        }
    }
    out
}

/// Why nothing is asserted of a row; `None`: its default deny must be there.
fn exempt(world: &World, target: &Target) -> Option<Text> {
    if world.plan().excludes(&target.ns) {
        return Some(Text::new("left out by sluice.yaml"));
    }
    let Some((wave, row)) = world.waves().plan(target.direction).row(target) else {
        return Some(Text::new("in no wave of the plan"));
    };
    if let Some(exclusion) = &row.exclusion {
        return Some(Text::from(format!("left out of its wave: {}", exclusion.reason)));
    }
    if row.state == RowState::RolledBack {
        return Some(Text::new("taken back"));
    }
    let plan = world.waves().plan(target.direction);
    (!was_applied(row) && !is_over(plan, wave))
        .then(|| Text::from(format!("waits in wave {}, which is not over", wave.number)))
}

fn was_applied(row: &Candidate) -> bool {
    row.state.is_live() || matches!(row.state, RowState::Incident(_)) || row.recorded.is_some()
}

/// The rollout has gone past this wave, so that a row which still waits in it came late: a later wave has
/// begun, or this is the last one, some of it is clean and nothing of it soaks.
fn is_over(plan: &WavePlan, wave: &Wave) -> bool {
    let mut later = plan.waves.iter().filter(|one| one.number > wave.number).peekable();
    if later.peek().is_some() {
        return later.any(|one| one.verdict != Verdict::Ahead);
    }
    // Not looked through row by row for each of its rows.
    if wave.verdict == Verdict::Ahead {
        return false;
    }
    let soaks = |row: &Candidate| matches!(row.state, RowState::Soaking { .. });
    wave.rows.iter().any(|row| row.state == RowState::Clean) && !wave.rows.iter().any(soaks)
}

/// What is wrong with the default deny of a row that the rollout has reached, as far as sluice sees it.
/// Without the team's state nobody knows what is left out.
pub fn missing(world: &World, cluster: &Cluster, target: &Target) -> Option<Text> {
    let seen = cluster.namespaces.get(&target.ns).filter(|_| world.shared().now(world.now()).is_some())?;
    match steady::own(cluster, seen, target.direction) {
        Word::Fail(why) if exempt(world, target).is_none() => {
            Some(Text::from(format!("{why}, and the rollout has reached this namespace")))
        }
        Word::Fail(_) | Word::Pass | Word::Exempt(_) | Word::Unknown(_) => None,
    }
}

/// Every default deny that must be there: what does not pass first, then by name.
pub fn checks(world: &World) -> Vec<Check> {
    let mut out: Vec<_> = world.clusters().flat_map(|cluster| of_cluster(world, cluster)).collect();
    out.sort_by_key(|check| (!check.is_open(), check.own == Word::Pass, check.target.clone()));
    out
}

fn of_cluster<'w>(world: &'w World, cluster: &'w Cluster) -> impl Iterator<Item = Check> + 'w {
    Direction::ALL.into_iter().flat_map(move |direction| {
        scope(world, cluster, direction).reached.into_iter().filter_map(move |ns| {
            let seen = cluster.namespaces.get(&ns)?;
            let kyverno = cluster.looked.kyverno.as_ref();
            let scanned = kyverno.and_then(|it| it.findings.get(&(ns.clone(), direction))?.at);
            Some(Check {
                own: steady::own(cluster, seen, direction),
                kyverno: steady::word(kyverno, &ns, direction, world.now()),
                scanned,
                target: Target { cluster: cluster.name.clone(), ns, direction },
            })
        })
    })
}
