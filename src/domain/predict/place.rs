//! Where the pods of a workload are in a cluster, and stand-ins for workloads that run now and then: a
//! finished pod's labels still say which policies select its like. Edges name workloads, policies
//! select pods; this is what lies between. Pure.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::domain::{
    eval::cluster::{Cluster, Pod},
    names::{NsName, Workload},
};

/// Pods by namespace and name of the workload.
pub(super) struct Placed<'c> {
    by_ns: HashMap<&'c str, HashMap<&'c str, Alike<'c>, FixedState>, FixedState>,
}

/// Pods whose workloads have the same name.
#[derive(Default)]
struct Alike<'c> {
    all: Vec<usize>,
    by_kind: Vec<(&'c str, Vec<usize>)>,
}

impl<'c> Placed<'c> {
    pub fn new(pods: &'c [Pod]) -> Self {
        let mut by_ns: HashMap<_, HashMap<_, Alike<'c>, FixedState>, FixedState> = HashMap::default();
        for (at, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.finished) {
            let Some(workload) = &pod.workload else { continue };
            let of_ns = by_ns.entry(pod.ns.as_str()).or_default();
            let alike = of_ns.entry(workload.name.as_str()).or_default();
            alike.all.push(at);
            let kind = workload.kind.as_str();
            match alike.by_kind.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, places)) => places.push(at),
                None => alike.by_kind.push((kind, vec![at])),
            }
        }
        Self { by_ns }
    }

    /// Pods that run now: of the same kind where there are any, else of the same name, for not every
    /// source says the kind.
    pub fn of(&self, ns: &NsName, workload: &Workload) -> &[usize] {
        let of_ns = self.by_ns.get(ns.as_str());
        let Some(alike) = of_ns.and_then(|all| all.get(workload.name.as_str())) else { return &[] };
        let same = alike.by_kind.iter().find(|(kind, _)| *kind == workload.kind.as_str());
        same.map_or(&alike.all, |(_, places)| places)
    }
}

/// The cluster with a running pod for each workload of which only finished ones are there.
pub(super) fn with_stand_ins(cluster: &Cluster) -> Cluster {
    let mut out = cluster.clone();
    let running = Placed::new(&cluster.pods);
    let mut missing: HashMap<(&str, &Workload), &Pod, FixedState> = HashMap::default();
    for pod in cluster.pods.iter().filter(|pod| pod.finished && !pod.host_network) {
        let Some(workload) = &pod.workload else { continue };
        if running.of(&pod.ns, workload).is_empty() {
            missing.insert((pod.ns.as_str(), workload), pod);
        }
    }
    let mut missing: Vec<&Pod> = missing.into_values().collect();
    missing.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
    for pod in missing {
        if let Some(place) = out.pods.iter().position(|one| one.ns == pod.ns && one.name == pod.name) {
            // Its address is another's by now.
            out.pods[place].finished = false;
            out.pods[place].addresses.clear();
            out.pods[place].node = None;
        }
    }
    out
}
