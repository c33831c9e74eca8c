//! When the plan is worked out anew. That of a small fleet at once; that of a large one is gathered in
//! steps between facts, and made outside the world, so that neither keys nor facts wait for it.

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        soaks::Around,
        waves::{Draft, RowNow, Waves},
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
    /// Rows of a large fleet that are to be stated anew before the next plan.
    pub concerned: BTreeSet<(ClusterName, NsName)>,
    /// Those that were since the draft was begun, which may have older ones.
    restated: BTreeSet<(ClusterName, NsName)>,
    /// The plan before: freeing a large one takes long, so somebody else does.
    old: Option<Box<Waves>>,
}

impl Planning {
    /// Namespaces stated anew before the next plan; of more, it is waited for.
    const CONCERNED: usize = 64;

    pub fn new(waves: Waves) -> Self {
        Self {
            waves,
            drafting: Drafting::No,
            concerned: BTreeSet::new(),
            restated: BTreeSet::new(),
            old: None,
        }
    }

    pub fn concern(&mut self, row: (ClusterName, NsName)) {
        if self.concerned.len() < Self::CONCERNED {
            self.concerned.insert(row);
        }
    }
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

    /// The plan is being gathered: [`World::plan_anew`] takes a step more.
    pub fn is_drafting(&self) -> bool {
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

    /// A plan that is no longer needed. Freeing it may take long.
    pub fn take_old_plan(&mut self) -> Option<Box<Waves>> {
        self.planning.old.take()
    }

    /// Takes one bounded step towards the next plan, if one is due.
    pub fn plan_anew(&mut self) {
        let namespaces: usize = self.clusters.values().map(|cluster| cluster.namespaces.len()).sum();
        match std::mem::replace(&mut self.planning.drafting, Drafting::No) {
            Drafting::No
                if namespaces <= Waves::AT_ONCE && self.policies.files.sets.len() <= 2 * Waves::AT_ONCE =>
            {
                if self.planning.waves.is_due(self.now) {
                    self.planning.concerned.clear();
                    self.planning.waves = Waves::of(self);
                }
            }
            Drafting::No if self.planning.waves.is_due_again(self.now) => {
                self.planning.waves.begun();
                self.planning.restated.clear();
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
        self.restate();
    }

    /// Rows of orders, records and policies that changed do not wait for the plan of a large fleet.
    fn restate(&mut self) {
        if self.planning.concerned.is_empty() {
            return;
        }
        let rows: Vec<_> = std::mem::take(&mut self.planning.concerned).into_iter().collect();
        self.judge(&rows);
        for (cluster, ns) in rows {
            for direction in Direction::ALL {
                let target = Target { cluster: cluster.clone(), ns: ns.clone(), direction };
                let now = RowNow::of(self, &target);
                self.planning.waves.restate(&target, now);
            }
            let is_away = !matches!(self.planning.drafting, Drafting::No);
            if is_away && self.planning.restated.len() < Planning::CONCERNED {
                self.planning.restated.insert((cluster, ns));
            }
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
        if let Some(mut waves) = waves {
            self.planning.waves.follow(&mut waves);
            self.planning.old = Some(waves);
        }
        let mut again = std::mem::take(&mut self.planning.restated);
        self.planning.concerned.append(&mut again);
    }
}
