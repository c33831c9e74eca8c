//! What the window of one namespace has seen and what not, as people look at it: nodes, holes,
//! CronJobs, workloads without traffic, names whose addresses change. What was not read stays
//! unknown; it is never an empty list.

use std::collections::BTreeMap;

use crate::domain::{
    coverage::{CronJob, Hole},
    destination::Destination,
    edge::Window,
    fleet::{Cluster, Listed, Namespace},
    flow::Direction,
    names::{NodeName, Text, Workload},
    readiness::{CronFinding, CronSeen, NamespaceCoverage},
    resolver::DnsPath,
    sighting::Outcome,
};

use super::{
    discoveries::Answer,
    discovery::{CollectionRow, Judged, collection_row},
    world::World,
};

/// The whole panel.
#[derive(Clone, Debug)]
pub struct CoverageRow {
    pub collection: CollectionRow,
    pub window: Option<Window>,
    /// Credited hours by node, worst first.
    pub nodes: Vec<(Option<NodeName>, usize)>,
    /// Those of its nodes and of all nodes, newest first.
    pub holes: Vec<Hole>,
    pub doubts: Vec<Text>,
    /// `None`: the cluster has not told them.
    pub crons: Option<Vec<CronRow>>,
    /// `None`: pods or edges were not read yet.
    pub workloads: Option<Vec<WorkloadRow>>,
    /// `None`: edges were not read yet.
    pub churned: Option<Vec<ChurnRow>>,
    /// Edges that did not fit into the answer, where there was one.
    pub left_out: u64,
}

#[derive(Clone, Debug)]
pub struct CronRow {
    pub cron: CronJob,
    /// Did the window see it run? `None`: there is no window yet.
    pub seen: Option<CronSeen>,
    /// It stands in the way until it is waived or the window is longer.
    pub blocks: bool,
}

/// A workload that runs now, and how many destinations and callers were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRow {
    pub workload: Workload,
    pub pods: usize,
    pub egress: usize,
    pub ingress: usize,
}

impl WorkloadRow {
    pub fn has_evidence(&self) -> bool {
        self.egress + self.ingress > 0
    }
}

/// A name whose addresses change, so that no list of addresses proves it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChurnRow {
    pub name: Text,
    pub addresses_a_day: u32,
    /// Of the hours with traffic, in percent.
    pub new_percent: u32,
}

pub fn coverage_row(world: &World, cluster: &Cluster, ns: &Namespace) -> CoverageRow {
    let discoveries = world.discoveries();
    let name = &ns.seen.name;
    let judged = discoveries.judged(&cluster.name, name);
    let window = judged.map(|judged| judged.window);
    let coverage = discoveries.collected(&cluster.name).map(|collected| &collected.state.coverage);
    let nodes = judged.map(|judged| judged.nodes.clone()).unwrap_or_default();
    let answer = discoveries.opened(&cluster.name, name).and_then(|opened| opened.answer.as_ref());
    let listed = cluster.listed.contains(&Listed::Pods);
    let told = discoveries.crons(&cluster.name, name);
    CoverageRow {
        collection: collection_row(world, &cluster.name, name),
        holes: judged.map(holes).unwrap_or_default(),
        doubts: cluster
            .looked
            .dns
            .iter()
            .filter_map(DnsPath::doubt)
            .chain(coverage.into_iter().flat_map(|coverage| coverage.doubts.iter().cloned()))
            .collect(),
        crons: told.map(|told| match judged {
            Some(judged) => crons(&judged.coverage, judged.window),
            None => told.map(|cron| CronRow { cron: cron.clone(), seen: None, blocks: false }).collect(),
        }),
        workloads: answer.filter(|_| listed).map(|answer| workloads(ns, answer)),
        churned: answer.map(|answer| answer.churned.clone()),
        left_out: answer.map_or(0, |answer| answer.baseline.left_out),
        window,
        nodes,
    }
}

/// Newest first.
fn holes(judged: &Judged) -> Vec<Hole> {
    let mut out = judged.coverage.holes.clone();
    out.sort_by(|a, b| b.cmp(a));
    out
}

fn crons(found: &NamespaceCoverage, window: Window) -> Vec<CronRow> {
    let row = |finding: &CronFinding| CronRow {
        cron: finding.job.clone(),
        seen: Some(finding.seen),
        blocks: finding.reason(window).is_some(),
    };
    found.crons.iter().map(row).collect()
}

/// Workloads of pods that run now; those without evidence first.
fn workloads(ns: &Namespace, answer: &Answer) -> Vec<WorkloadRow> {
    let mut pods: BTreeMap<&Workload, usize> = BTreeMap::new();
    for pod in ns.pods.values().filter(|pod| !pod.finished) {
        *pods.entry(&pod.workload).or_default() += 1;
    }
    let mut out: Vec<_> = pods
        .into_iter()
        .map(|(workload, pods)| {
            let [egress, ingress] = answer.evidence.get(&workload.name).copied().unwrap_or_default();
            WorkloadRow { workload: workload.clone(), pods, egress, ingress }
        })
        .collect();
    out.sort_by_key(WorkloadRow::has_evidence);
    out
}

/// Destinations and callers of each workload, by its name: a source may not know its kind.
pub(super) fn evidence(destinations: &[Destination]) -> BTreeMap<Text, [usize; 2]> {
    let mut out: BTreeMap<Text, [usize; 2]> = BTreeMap::new();
    for destination in destinations.iter().filter(|one| one.outcome != Outcome::Denied) {
        let counts = out.entry(destination.workload.name.clone()).or_default();
        match destination.direction {
            Direction::Egress => counts[0] += 1,
            Direction::Ingress => counts[1] += 1,
        }
    }
    out
}

/// Names whose addresses change within the window, the most restless first.
pub(super) fn churned(destinations: &[Destination]) -> Vec<ChurnRow> {
    let mut by_name: BTreeMap<Text, (u32, u32)> = BTreeMap::new();
    for destination in destinations {
        let churn = &destination.seen.churn;
        let Some(name) = destination.name.as_ref().filter(|_| churn.new_share > 0.0) else { continue };
        let percent = (churn.new_share * 100.0).round() as u32;
        let most = by_name.entry(Text::new(name.as_str())).or_default();
        *most = (most.0.max(churn.addresses_a_day), most.1.max(percent));
    }
    let row = |(name, (addresses_a_day, new_percent))| ChurnRow { name, addresses_a_day, new_percent };
    let mut out: Vec<_> = by_name.into_iter().map(row).collect();
    out.sort_by_key(|row| std::cmp::Reverse(row.new_percent));
    out
}
