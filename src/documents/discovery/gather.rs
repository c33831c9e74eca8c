//! Edges and coverage of a cluster -> what is kept of each namespace. Pure. What nobody said (which
//! CronJobs and workloads there are) stays unknown, and unknown is never ready.

use std::collections::{BTreeMap, BTreeSet};

use super::{companion::Part, page::Evidence};
use crate::{
    cockpit::discovery::Waived,
    domain::{
        coverage::{Coverage, CronJob, Readiness},
        edge::{Edge, EdgeKey, Window},
        names::{NodeName, NsName, Text, Workload},
        readiness::{NamespaceFacts, readiness},
        time::Timestamp,
    },
};

/// What is known of a cluster.
#[derive(Clone, Debug)]
pub struct Known {
    pub window: Window,
    pub generated: Timestamp,
    pub coverage: Coverage,
    /// `None`: nobody asked the cluster.
    pub crons: Option<Vec<CronJob>>,
    /// What somebody takes upon himself, by namespace.
    pub waived: BTreeMap<NsName, Waived>,
    /// All workloads by namespace; `None`: nobody asked the cluster.
    pub workloads: Option<BTreeMap<NsName, BTreeSet<Workload>>>,
    /// Nodes that run a namespace's pods; `None`: nobody asked, all nodes count.
    pub nodes: Option<BTreeMap<NsName, BTreeSet<NodeName>>>,
    pub remarks: Vec<Text>,
}

/// A part for each namespace that is wanted; all that have edges where none is named.
pub fn parts(edges: Vec<(EdgeKey, Edge)>, known: &Known, wanted: &[NsName]) -> BTreeMap<NsName, Part> {
    let mut by_ns: BTreeMap<NsName, Vec<(EdgeKey, Edge)>> =
        wanted.iter().map(|ns| (ns.clone(), Vec::new())).collect();
    for (key, edge) in edges {
        if wanted.is_empty() || wanted.contains(&key.ns) {
            by_ns.entry(key.ns.clone()).or_default().push((key, edge));
        }
    }
    by_ns.into_iter().map(|(ns, edges)| (ns.clone(), part(&ns, edges, known))).collect()
}

fn part(ns: &NsName, mut edges: Vec<(EdgeKey, Edge)>, known: &Known) -> Part {
    edges.sort_by(|(a, _), (b, _)| a.cmp(b));
    let all = known.workloads.as_ref().map(|all| all.get(ns).cloned().unwrap_or_default());
    let mut workloads: BTreeMap<Workload, bool> =
        all.iter().flatten().map(|workload| (workload.clone(), false)).collect();
    for (key, _) in &edges {
        // Where a source did not say the kind, the name alone tells whose traffic it was.
        let same = |workload: &&Workload| **workload == key.workload || is_kindless(&key.workload, workload);
        let owner = workloads.keys().find(same).unwrap_or(&key.workload).clone();
        workloads.insert(owner, true);
    }
    let nodes = known.nodes.as_ref().and_then(|all| all.get(ns));
    let nodes: Option<Vec<NodeName>> = nodes.map(|nodes| nodes.iter().cloned().collect());
    let waived = known.waived.get(ns);
    let of_jobs = |(ns, waived): (&NsName, &Waived)| -> Vec<(NsName, Text)> {
        waived.jobs.iter().map(|job| (ns.clone(), job.clone())).collect()
    };
    let waived_callers: Vec<_> = known.waived.iter().flat_map(of_jobs).collect();
    let facts = NamespaceFacts {
        ns,
        nodes: nodes.as_deref(),
        crons: known.crons.as_deref().unwrap_or_default(),
        waived: waived.map_or(&[], |waived| waived.jobs.as_slice()),
        waived_callers: &waived_callers,
        excused: waived.map_or(&[], |waived| waived.workloads.as_slice()),
        workloads: &workloads,
    };
    let judged = readiness(&known.coverage, known.window, &facts);
    let (readiness, ingress) = (not_unknown(judged.readiness, known), not_unknown(judged.ingress, known));
    let evidence = Evidence {
        coverage: known.coverage.clone(),
        ingress: (ingress != readiness).then_some(ingress),
        readiness,
        crons: known.crons.is_some().then_some(judged.crons),
        silent: all.is_some().then_some(judged.silent),
        remarks: known.remarks.clone(),
    };
    Part { window: known.window, generated: known.generated, evidence, edges }
}

fn is_kindless(said: &Workload, workload: &Workload) -> bool {
    said.kind.is_empty() && said.name == workload.name
}

/// Unknown never passes.
fn not_unknown(readiness: Readiness, known: &Known) -> Readiness {
    match readiness {
        Readiness::Ready if known.crons.is_none() => Readiness::Blocked {
            why: vec![Text::new(
                "which CronJobs there are is unknown: files of flows do not say it, the cluster does",
            )],
        },
        readiness @ (Readiness::Ready | Readiness::NotYet { .. } | Readiness::Blocked { .. }) => readiness,
    }
}
