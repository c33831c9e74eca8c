//! Asks our evaluator about groups of denials, a bounded part a batch: by what is live as the watches
//! show it, and says whether that was seen to be live when the newest denial happened.

use chrono::TimeDelta;
use indexmap::IndexMap;

use crate::domain::{
    denial::{Denials, Weighed},
    fleet::{Cluster, Listed},
    names::ClusterName,
    opinion::opinions,
    rollout::Target,
};

use super::soaks::Soaks;

/// Groups weighed in one batch.
const AT_ONCE: usize = 64;
/// A data plane may be this late with a change of policies, and its node's clock off by as much.
const LATE: TimeDelta = TimeDelta::seconds(30);

pub(super) fn form(clusters: &IndexMap<ClusterName, Cluster>, soaks: &Soaks, denials: &mut Denials) {
    let is_read = |name: &ClusterName| {
        clusters.get(name).is_some_and(|cluster| {
            cluster.is_complete() && cluster.listed.contains(&Listed::Pods) && cluster.cni.is_some()
        })
    };
    for id in denials.unweighed(AT_ONCE, is_read) {
        let Some(group) = denials.group(id) else { continue };
        let Some(cluster) = clusters.get(&group.key.cluster) else { continue };
        let target = Target {
            cluster: group.key.cluster.clone(),
            ns: group.key.ns.clone(),
            direction: group.key.direction,
        };
        let of_then = soaks.seen_since(&target).is_some_and(|since| group.last >= since + LATE);
        let said = opinions(cluster, &target.ns, target.direction, &[group.asked()]).pop();
        if let Some(opinion) = said {
            denials.weigh(id, Weighed { opinion, of_then });
        }
    }
}
