//! What the window of one namespace has seen and what not, as people look at it: nodes, holes,
//! CronJobs, workloads without traffic, names whose addresses change. What was not read stays
//! unknown; it is never an empty list.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::domain::{
    coverage::{CronJob, Hole},
    destination::Destination,
    edge::Window,
    fleet::{Cluster, Listed, Namespace},
    flow::Direction,
    names::{NodeName, Text, Workload},
    sighting::Outcome,
    time::span,
};

use super::{
    discoveries::Answer,
    discovery::{CollectionRow, WANTED, collection_row},
    world::World,
};

/// The whole panel.
#[derive(Clone, Debug)]
pub struct CoverageRow {
    pub collection: CollectionRow,
    pub window: Option<Window>,
    /// Hours of the window, 168 as a rule.
    pub hours: usize,
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

/// Whether a job ran while it was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fell {
    Inside,
    Before,
    /// No run is known at all.
    Never,
    /// There is no window yet.
    Unknown,
}

impl Fell {
    pub fn words(self) -> &'static str {
        match self {
            Self::Inside => "in the window",
            Self::Before => "before the window",
            Self::Never => "never, as far as known",
            Self::Unknown => "?",
        }
    }
}

#[derive(Clone, Debug)]
pub struct CronRow {
    pub cron: CronJob,
    pub fell: Fell,
    /// What it takes before a policy may rest on this window.
    pub wants: Option<String>,
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
    let window = judged.and_then(|judged| judged.window);
    let coverage = discoveries.collected(&cluster.name).map(|collected| &collected.state.coverage);
    let nodes = judged.map(|judged| judged.nodes.clone()).unwrap_or_default();
    let answer = discoveries.opened(&cluster.name, name).and_then(|opened| opened.answer.as_ref());
    let listed = cluster.listed.contains(&Listed::Pods);
    CoverageRow {
        collection: collection_row(world, &cluster.name, name),
        hours: window.map_or(0, |window| window.hours().count()),
        holes: window.zip(coverage).map(|(window, c)| holes(&c.gaps, &nodes, window)).unwrap_or_default(),
        doubts: coverage.map(|coverage| coverage.doubts.clone()).unwrap_or_default(),
        crons: discoveries
            .crons(&cluster.name, name)
            .map(|crons| crons.map(|cron| cron_row(cron, window)).collect()),
        workloads: answer.filter(|_| listed).map(|answer| workloads(ns, answer)),
        churned: answer.map(|answer| answer.churned.clone()),
        left_out: answer.map_or(0, |answer| answer.baseline.left_out),
        window,
        nodes,
    }
}

fn holes(gaps: &[Hole], nodes: &[(Option<NodeName>, usize)], window: Window) -> Vec<Hole> {
    let ours = |gap: &&Hole| {
        let concerns = gap.node.is_none() || nodes.iter().any(|(node, _)| *node == gap.node);
        concerns && gap.from < window.to && window.from < gap.to
    };
    let mut out: Vec<_> = gaps.iter().filter(ours).cloned().collect();
    out.sort_by(|a, b| b.cmp(a));
    out
}

fn cron_row(cron: &CronJob, window: Option<Window>) -> CronRow {
    let fell = match (cron.last_run, window) {
        (_, None) => Fell::Unknown,
        (None, Some(_)) => Fell::Never,
        (Some(run), Some(window)) if run < window.from => Fell::Before,
        (Some(_), Some(_)) => Fell::Inside,
    };
    CronRow { wants: wants(cron, fell), cron: cron.clone(), fell }
}

fn wants(cron: &CronJob, fell: Fell) -> Option<String> {
    if cron.suspended {
        return Some("suspended: what it needs when it runs again is not known".to_owned());
    }
    match (cron.longest_pause, fell) {
        (_, Fell::Inside) => None,
        (None, Fell::Before | Fell::Never | Fell::Unknown) => {
            Some("its schedule cannot be read: check by hand that a run was watched".to_owned())
        }
        (Some(pause), Fell::Before | Fell::Never | Fell::Unknown) if pause >= WANTED => {
            Some(format!("runs every {}: needs a longer window or a waiver", days(pause)))
        }
        (Some(pause), Fell::Before | Fell::Never) => {
            Some(format!("should run every {}, and no run was watched: find out why", span(pause)))
        }
        (Some(_), Fell::Unknown) => None,
    }
}

fn days(pause: TimeDelta) -> String {
    format!("{} days", pause.num_days())
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
