//! Drift that is an incident: a set that was applied and is not live as it was applied, with who wrote
//! it last. What an order of ours is changing right now is none. Pure; what is not read is not judged.

use crate::domain::{
    fleet::{Cluster, Health, Namespace, Presence},
    names::Text,
    policy::{Pinned, Policy},
    rollout::{Record, RolledBack, Target},
};

use super::world::World;

/// One rollout that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub target: Target,
    /// Sentences, the gravest first.
    pub what: Vec<Text>,
}

/// In the order of the records.
pub fn all(world: &World) -> impl Iterator<Item = Incident> + '_ {
    world.shared().records().filter_map(|kept| of(world, &kept.value))
}

/// `None`: it is as it was applied, was never applied or was taken back, or cannot be seen.
pub fn of(world: &World, record: &Record) -> Option<Incident> {
    let target = &record.target;
    let applied = record.applied.as_ref()?;
    let cluster = world.cluster(&target.cluster).filter(|cluster| is_seen(cluster))?;
    if rolled_back(record).is_some() || world.orders().in_flight(&target.cluster, &target.ns).is_some() {
        return None;
    }
    let mut what = Vec::new();
    if let Some(uid) = cluster.uid.as_ref().filter(|uid| **uid != record.uid) {
        what.push(Text::from(format!(
            "this is another cluster ({uid}) than it was applied to ({})",
            record.uid
        )));
    }
    match cluster.namespaces.get(&target.ns) {
        None => what.push(Text::new("the namespace is gone, and its policies with it")),
        Some(ns) => {
            what.extend(absent(ns, target));
            let live = cluster.digest(ns, target.direction);
            if what.is_empty() && live != applied.digest {
                let (live, applied) = (live.short(), applied.digest.short());
                what.push(Text::from(format!(
                    "live is {live}, applied was {applied}{}",
                    writers(ns, target)
                )));
            }
        }
    }
    (!what.is_empty()).then(|| Incident { target: target.clone(), what })
}

/// Policies are read, and not from a cluster that went away.
pub fn is_seen(cluster: &Cluster) -> bool {
    cluster.is_complete() && !matches!(cluster.health, Health::Down(_))
}

/// The rollback, unless something was applied after it.
pub fn rolled_back(record: &Record) -> Option<&RolledBack> {
    let applied = record.applied.as_ref().map(|applied| applied.stamp.at);
    record.rolled_back.as_ref().filter(|back| applied.is_none_or(|applied| applied <= back.stamp.at))
}

fn absent(ns: &Namespace, target: &Target) -> Vec<Text> {
    match ns.presence(target.direction) {
        Presence::Tight => Vec::new(),
        Presence::None => vec![Text::new("no policy of the set is live any more")],
        Presence::Open => {
            vec![Text::from(format!("the valve is open: nothing is denied{}", writers(ns, target)))]
        }
        Presence::Partial { missing } => {
            missing.into_iter().map(|name| Text::from(format!("{name} is missing"))).collect()
        }
    }
}

/// Who wrote the set's objects last, and whose they are.
fn writers(ns: &Namespace, target: &Target) -> String {
    let live = Pinned::of(target.direction).filter_map(|pinned| ns.pinned(pinned));
    let said = |policy: &Policy| {
        let by = policy.managers.first().map(|by| format!("{} last by {by}", policy.key.name));
        let owner = policy.owner.as_ref().map(|owner| format!("owned by {owner}"));
        let parts: Vec<_> = by.into_iter().chain(owner).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let said: Vec<_> = live.filter_map(said).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}
