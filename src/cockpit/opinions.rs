//! Asks our evaluator about groups of denials, a bounded part a batch: by what is live as the watches
//! show it, and says whether that was seen to be live when the newest denial happened.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use indexmap::IndexMap;

use crate::domain::{
    denial::{Denials, GroupId, Weighed},
    fleet::{Cluster, Listed},
    names::ClusterName,
    opinion::opinions,
    rollout::Target,
    time::Timestamp,
};

use super::soaks::Soaks;

/// Groups weighed in one batch.
const AT_ONCE: usize = 64;
/// A cluster of more namespaces may have thousands of groups: there each is weighed again after
/// [`REST`] at the earliest.
const SMALL: usize = 100;
const REST: TimeDelta = TimeDelta::seconds(60);
/// A data plane may be this late with a change of policies, and its node's clock off by as much.
const LATE: TimeDelta = TimeDelta::seconds(30);

pub(super) fn form(
    clusters: &IndexMap<ClusterName, Cluster>,
    soaks: &Soaks,
    denials: &mut Denials,
    now: Timestamp,
) {
    let rest = |name: &ClusterName| {
        let cluster = clusters.get(name)?;
        let is_read =
            cluster.is_complete() && cluster.listed.contains(&Listed::Pods) && cluster.cni.is_some();
        is_read.then(|| if cluster.namespaces.len() <= SMALL { TimeDelta::zero() } else { REST })
    };
    let mut rows: BTreeMap<Target, Vec<GroupId>> = BTreeMap::new();
    for id in denials.unweighed(AT_ONCE, now, rest) {
        let Some(key) = denials.group(id).map(|group| &group.key) else { continue };
        let (cluster, ns) = (key.cluster.clone(), key.ns.clone());
        rows.entry(Target { cluster, ns, direction: key.direction }).or_default().push(id);
    }
    for (target, ids) in rows {
        let Some(cluster) = clusters.get(&target.cluster) else { continue };
        let groups: Vec<_> = ids.iter().filter_map(|id| denials.group(*id)).collect();
        let asked: Vec<_> = groups.iter().map(|group| group.asked()).collect();
        let since = soaks.seen_since(&target);
        let said = opinions(cluster, &target.ns, target.direction, &asked).into_iter().zip(groups);
        let weighed: Vec<_> = said
            .map(|(opinion, group)| {
                let of_then = since.is_some_and(|since| group.last >= since + LATE);
                (group.id, Weighed { opinion, of_then, at: now })
            })
            .collect();
        weighed.into_iter().for_each(|(id, ours)| denials.weigh(id, ours));
    }
}
