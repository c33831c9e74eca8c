//! What excuses denials after the fact: their pod reached the destination later, or became ready. Under
//! the same policies, that is: what passes once they were changed or taken back says nothing of before.

use std::collections::BTreeSet;

use super::{Denials, key_of};
use crate::domain::{
    flow::{Direction, Flow},
    names::{ClusterName, NsName, PodName},
    time::Timestamp,
};

impl Denials {
    /// An allowed flow: the same pod reached the same destination.
    pub fn reached(&mut self, cluster: &ClusterName, flow: &Flow) {
        let Some(pod) = flow.judged().pod.as_ref() else { return };
        if self.ids.is_empty() {
            return;
        }
        let id = key_of(cluster, flow).and_then(|key| self.ids.get(&key).copied());
        let Some(group) = id.and_then(|id| self.groups.get_mut(&id)) else { return };
        group.excuses.reached(pod, flow.at);
        self.reclass(id);
    }

    /// A pod became ready: its start-up denials hurt nobody.
    pub fn ready(&mut self, cluster: &ClusterName, ns: &NsName, pod: &PodName, since: Timestamp) {
        let waiting: Vec<_> = self.waiting.iter().copied().collect();
        for id in waiting {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.key.cluster == *cluster && group.key.ns == *ns {
                group.excuses.ready(pod, since);
                self.reclass(Some(id));
            }
        }
    }

    /// Rows of the cluster with denials that may still be excused.
    pub fn undecided(&self, cluster: &ClusterName) -> BTreeSet<(NsName, Direction)> {
        let open =
            self.groups.values().filter(|group| group.key.cluster == *cluster && group.excuses.may_recover());
        open.map(|group| (group.key.ns.clone(), group.key.direction)).collect()
    }

    /// The policies of the row changed: whatever was denied before stays what it is.
    pub fn stand(&mut self, cluster: &ClusterName, ns: &NsName, direction: Direction) {
        let is_of_row =
            |key: &super::GroupKey| (&key.cluster, &key.ns, key.direction) == (cluster, ns, direction);
        for group in self.groups.values_mut().filter(|group| is_of_row(&group.key)) {
            group.excuses.stand();
            self.waiting.remove(&group.id);
        }
    }
}
