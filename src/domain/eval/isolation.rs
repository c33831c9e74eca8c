//! Which pods are isolated, by direction and by which policies, and what a change of policies would
//! do to that. A pod is isolated as soon as one policy of the direction selects it.

use std::collections::BTreeMap;

use super::model::{Model, PodId};
use crate::domain::{
    flow::Direction,
    names::{NsName, PodName, PolicyName},
};

/// How a pod stands in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    /// No policy selects it.
    Open,
    Isolated,
    /// Only policies that are not evaluated may select it.
    Unknown,
    /// A pod of the host's network, or one that has finished: policies do not apply.
    Exempt,
}

/// A pod whose isolation differs between two models.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turned {
    pub ns: NsName,
    pub pod: PodName,
    pub direction: Direction,
    /// `None`: the pod was not there.
    pub before: Option<Isolation>,
    pub after: Option<Isolation>,
}

impl Model {
    pub fn isolates(&self, pod: PodId, direction: Direction) -> Isolation {
        let cell = &self.cells[pod.0 as usize];
        if cell.host_network || cell.finished {
            return Isolation::Exempt;
        }
        match self.class(pod, direction) {
            None => Isolation::Open,
            Some(class) if class.policies.is_empty() => Isolation::Unknown,
            Some(_) => Isolation::Isolated,
        }
    }

    /// The NetworkPolicies that isolate a pod, by name.
    pub fn isolated_by(
        &self,
        pod: PodId,
        direction: Direction,
    ) -> impl Iterator<Item = &(NsName, PolicyName)> {
        let policies = self.class(pod, direction).map_or(&[][..], |class| &class.policies);
        policies.iter().map(|policy| &self.policies[*policy as usize])
    }

    /// Pods whose isolation changes from this model to the other, by name.
    pub fn turned(&self, after: &Self) -> Vec<Turned> {
        let mut all: BTreeMap<(&NsName, &PodName), [Option<PodId>; 2]> = BTreeMap::new();
        for (at, model) in [self, after].into_iter().enumerate() {
            for (id, ns, name, _) in model.pods() {
                all.entry((ns, name)).or_default()[at] = Some(id);
            }
        }
        let mut out = Vec::new();
        for ((ns, pod), [was, is]) in all {
            for direction in Direction::ALL {
                let before = was.map(|id| self.isolates(id, direction));
                let after = is.map(|id| after.isolates(id, direction));
                if before != after {
                    out.push(Turned { ns: ns.clone(), pod: pod.clone(), direction, before, after });
                }
            }
        }
        out
    }
}
