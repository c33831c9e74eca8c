//! When the plan is worked out anew. That of a small fleet at once; that of a large one is gathered in
//! steps between facts, and made outside the world, so that neither keys nor facts wait for it.

use crate::{
    cockpit::{
        soaks::Around,
        waves::{Draft, Waves},
    },
    domain::{
        flow::Direction,
        names::{ClusterName, NsName},
        rollout::Target,
    },
};

use super::World;

/// The plan, and the one after it.
#[derive(Clone, Debug)]
pub(super) struct Planning {
    pub waves: Waves,
    pub drafting: Drafting,
}

/// The next plan of a large fleet.
#[derive(Clone, Debug)]
pub(super) enum Drafting {
    No,
    Gathering(Box<Draft>),
    /// All its rows are gathered.
    Gathered(Box<Draft>),
    /// Given out.
    Away,
}

impl World {
    /// More can be brought in order without a fact: call [`World::settle`] again.
    pub fn has_more(&self) -> bool {
        self.is_drafting() || self.discoveries.has_more() || self.incidents.has_more()
    }

    pub(super) fn is_drafting(&self) -> bool {
        matches!(self.planning.drafting, Drafting::Gathering(_))
    }

    /// A plan to work out elsewhere, because it takes long. Tell it by `Fact::Plan`.
    pub fn take_draft(&mut self) -> Option<Box<Draft>> {
        match std::mem::replace(&mut self.planning.drafting, Drafting::Away) {
            Drafting::Gathered(draft) => Some(draft),
            other => {
                self.planning.drafting = other;
                None
            }
        }
    }

    pub(super) fn plan_anew(&mut self) {
        let namespaces: usize = self.clusters.values().map(|cluster| cluster.namespaces.len()).sum();
        match std::mem::replace(&mut self.planning.drafting, Drafting::No) {
            Drafting::No
                if namespaces <= Waves::AT_ONCE && self.policies.files.sets.len() <= 2 * Waves::AT_ONCE =>
            {
                if self.planning.waves.is_due(self.now) {
                    self.planning.waves = Waves::of(self);
                }
            }
            Drafting::No if self.planning.waves.is_due_again(self.now) => {
                self.planning.waves.begun();
                self.planning.drafting = Drafting::Gathering(Box::new(Draft::begin(self)));
            }
            Drafting::Gathering(mut draft) => {
                let next = draft.next(self, Waves::STEP);
                self.judge(&next);
                draft.gather(self, &next);
                let is_last = next.len() < Waves::STEP;
                self.planning.drafting =
                    if is_last { Drafting::Gathered(draft) } else { Drafting::Gathering(draft) };
            }
            other => self.planning.drafting = other,
        }
    }

    /// Judges the soaks of these namespaces that were not judged in this minute, once for all readers.
    fn judge(&mut self, namespaces: &[(ClusterName, NsName)]) {
        let around = Around {
            now: self.now,
            clusters: &self.clusters,
            plan: &self.plan,
            shared: &self.shared,
            discoveries: &self.discoveries,
        };
        let both = |(cluster, ns): &(ClusterName, NsName)| {
            Direction::ALL.map(|direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction })
        };
        self.soaks.judge(namespaces.iter().flat_map(both), &around);
    }

    pub(super) fn planned(&mut self, waves: Option<Box<Waves>>) {
        self.planning.drafting = Drafting::No;
        if let Some(waves) = waves {
            self.planning.waves.follow(*waves);
        }
    }
}
