//! Has a rolled-back row recovered? Only when nothing of it isolates any more, its denials have ended
//! and its pods are ready again. Before that it is never called recovered; unknown stays unknown.

use chrono::TimeDelta;

use crate::domain::{
    fleet::Listed,
    names::Text,
    rollout::Target,
    time::{Timestamp, age, span},
};

use super::world::World;

/// So long without a denial, and they have ended.
pub const QUIET: TimeDelta = TimeDelta::minutes(5);

/// How far the recovery of a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Pods are still isolated, by these policies.
    Isolated {
        pods: usize,
        by: Vec<Text>,
    },
    /// Still denied; the newest denial.
    Denied {
        last: Timestamp,
    },
    NotReady {
        ready: usize,
        of: usize,
    },
    /// Nothing is denied, but not for long enough.
    Watching {
        left: TimeDelta,
    },
    /// What cannot be seen.
    Unknown(Text),
    Recovered,
}

impl Recovery {
    pub fn words(&self, now: Timestamp) -> String {
        match self {
            Self::Isolated { pods, by } => {
                let by: Vec<_> = by.iter().map(Text::as_str).collect();
                format!("{pods} pods are still isolated, by {}", by.join(", "))
            }
            Self::Denied { last } => format!("still denied, {} ago", span(age(*last, now))),
            Self::NotReady { ready, of } => format!("{ready} of {of} pods are ready"),
            Self::Watching { left } => {
                format!("nothing is denied; recovered in {} if it stays so", span(*left))
            }
            Self::Unknown(why) => format!("whether it recovered is unknown: {why}"),
            Self::Recovered => "recovered: no denials, all pods ready".to_owned(),
        }
    }
}

/// Judges a row that was taken back at this time.
pub fn recovery(world: &World, target: &Target, rolled_back: Timestamp) -> Recovery {
    let Some(cluster) = world.cluster(&target.cluster) else {
        return Recovery::Unknown(Text::new("the cluster is not in the fleet"));
    };
    if let Some(why) = cluster.health.reason() {
        return Recovery::Unknown(why.clone());
    }
    if !cluster.is_complete() || !cluster.listed.contains(&Listed::Pods) {
        return Recovery::Unknown(Text::new("its policies and pods are not all read"));
    }
    let Some(ns) = cluster.namespaces.get(&target.ns) else { return Recovery::Recovered };
    let isolation = ns.isolation(target.direction);
    if isolation.isolated > 0 {
        let by = isolation.by.iter().map(|key| Text::from(key.to_string())).collect();
        return Recovery::Isolated { pods: isolation.isolated, by };
    }
    if !world.source(&target.cluster).is_some_and(super::world::Source::is_live) {
        return Recovery::Unknown(Text::new("no flow source is live there, so denials cannot be seen"));
    }
    let now = world.now();
    let last = last_denial(world, target);
    match last {
        Some(last) if last > rolled_back && age(last, now) < QUIET => return Recovery::Denied { last },
        Some(_) | None => {}
    }
    let (ready, of) = (ns.subjects().filter(|pod| pod.ready.is_some()).count(), ns.subjects().count());
    if ready < of {
        return Recovery::NotReady { ready, of };
    }
    let quiet = age(last.unwrap_or(rolled_back).max(rolled_back), now);
    if quiet < QUIET { Recovery::Watching { left: QUIET - quiet } } else { Recovery::Recovered }
}

fn last_denial(world: &World, target: &Target) -> Option<Timestamp> {
    let ours = |key: &crate::domain::denial::GroupKey| {
        key.cluster == target.cluster && key.ns == target.ns && key.direction == target.direction
    };
    world.denials().groups().filter(|group| ours(&group.key)).map(|group| group.last).max()
}
