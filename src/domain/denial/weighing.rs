//! Our evaluator's word on the newest denial of each group: who was not asked yet, by cluster.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{Denials, Group, GroupId};
use crate::domain::{eval, names::ClusterName, opinion::Opinion, time::Timestamp};

/// Our evaluator's word on the newest denial of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    pub opinion: Opinion,
    /// The policies that it rests on were seen to be live when that denial happened.
    pub of_then: bool,
    /// When it was asked.
    pub at: Timestamp,
}

/// With when each was asked last.
pub(super) type Unweighed = BTreeMap<ClusterName, BTreeSet<(Option<Timestamp>, GroupId)>>;

pub(super) fn ask(unweighed: &mut Unweighed, group: &Group) {
    let one = (group.ours.as_ref().map(|ours| ours.at), group.id);
    match unweighed.get_mut(&group.key.cluster) {
        Some(waiting) => drop(waiting.insert(one)),
        None => drop(unweighed.insert(group.key.cluster.clone(), BTreeSet::from([one]))),
    }
}

pub(super) fn ask_no_more(unweighed: &mut Unweighed, group: &Group) {
    if let Some(waiting) = unweighed.get_mut(&group.key.cluster) {
        waiting.remove(&(group.ours.as_ref().map(|ours| ours.at), group.id));
    }
}

impl Denials {
    /// At most so many groups of whose newest denial our evaluator was not asked yet, those first of which
    /// it was asked longest ago: a flood in one cluster takes no other its turn. `rest` is how long it is
    /// not asked again of a group; `None`: it cannot be asked of that cluster.
    pub fn unweighed(
        &self,
        most: usize,
        now: Timestamp,
        rest: impl Fn(&ClusterName) -> Option<TimeDelta>,
    ) -> Vec<GroupId> {
        let may = self.unweighed.iter().filter_map(|(cluster, waiting)| Some((rest(cluster)?, waiting)));
        let due = may.flat_map(|(rest, waiting)| {
            let is_due = move |asked: &Option<Timestamp>| asked.is_none_or(|asked| now - asked >= rest);
            waiting.iter().take(most).take_while(move |(asked, _)| is_due(asked))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        due.into_iter().take(most).map(|(_, id)| *id).collect()
    }

    pub fn weigh(&mut self, id: GroupId, ours: Weighed) {
        if let Some(group) = self.groups.get_mut(&id) {
            ask_no_more(&mut self.unweighed, group);
            group.ours = Some(ours);
        }
    }

    /// More is known of a cluster: what our evaluator did not know there is asked again.
    pub fn weigh_again(&mut self, cluster: &ClusterName) {
        let is_known = |ours: &Weighed| ours.opinion.verdict != eval::verdict::Verdict::Unknown;
        let unknown = self
            .groups
            .values()
            .filter(|group| group.key.cluster == *cluster && !group.ours.as_ref().is_some_and(is_known));
        unknown.for_each(|group| ask(&mut self.unweighed, group));
    }
}
