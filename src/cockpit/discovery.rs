//! What people see of discovery: destinations, how far the collection is, what the window has not
//! seen. One projection that the screen and `-o json` both read (law 10). Unknown is a value of its
//! own: never zero, never ready.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    coverage::{Coverage, CronJob, Readiness},
    edge::{Hours, Window},
    fleet::{Cluster, Listed, Namespace},
    flow::Direction,
    names::{ClusterName, NodeName, NsName, Text, Workload},
    readiness::{NEEDED, NamespaceCoverage, NamespaceFacts, readiness},
    time::{Timestamp, span},
};

use super::{discoveries::Discoveries, ports::Link, world::World};

/// How long is collected before a policy is written.
pub const WANTED: TimeDelta = NEEDED;

/// The newest week of what a collector can answer for: what strips and counts of hours show.
pub fn week(window: Window) -> Window {
    Window { from: window.to - WANTED, to: window.to }
}

/// What somebody takes upon himself of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waived {
    /// Names of CronJobs.
    pub jobs: Vec<Text>,
    pub workloads: Vec<Workload>,
}

/// The scheduled jobs of a whole cluster.
#[derive(Clone, Copy, Debug)]
pub struct Jobs<'a> {
    pub all: &'a [CronJob],
    /// Those that somebody takes upon himself.
    pub waived: &'a [(NsName, Text)],
}

/// How far a namespace is.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Everything that its collector can answer for.
    pub window: Window,
    pub coverage: NamespaceCoverage,
    /// Credited hours of each node that counts for it, worst first.
    pub nodes: Vec<(Option<NodeName>, usize)>,
    /// Hours in which all of them were credited.
    pub credited: Hours,
}

/// How far the collection is, in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was told of a collector, or it has not said what it saw.
    Unknown,
    NoCollector,
    /// So much of the week is proved to have been watched.
    Collecting {
        credited: TimeDelta,
    },
    /// Something else than time stands in the way.
    Blocked {
        credited: TimeDelta,
    },
    Ready {
        credited: TimeDelta,
    },
}

impl Progress {
    /// `4d06h of 7d`.
    pub fn words(self) -> String {
        match self {
            Self::Unknown => "?".to_owned(),
            Self::NoCollector => "no collector".to_owned(),
            Self::Collecting { credited } => format!("{} of {}d", span(credited), WANTED.num_days()),
            Self::Blocked { .. } => "blocked".to_owned(),
            Self::Ready { .. } => "ready".to_owned(),
        }
    }

    /// Six columns at most.
    pub fn short(self) -> String {
        match self {
            Self::NoCollector => "none".to_owned(),
            Self::Collecting { credited } => span(credited),
            Self::Blocked { .. } => "block".to_owned(),
            Self::Unknown | Self::Ready { .. } => self.words(),
        }
    }

    /// Proved time of the node with the least; `None` where it is not known.
    pub fn credited(self) -> Option<TimeDelta> {
        match self {
            Self::Unknown | Self::NoCollector => None,
            Self::Collecting { credited } | Self::Blocked { credited } | Self::Ready { credited } => {
                Some(credited)
            }
        }
    }

    fn of(coverage: &NamespaceCoverage, direction: Direction) -> Self {
        let credited = coverage.credited;
        match coverage.readiness(direction) {
            Readiness::Ready => Self::Ready { credited },
            Readiness::NotYet { .. } => Self::Collecting { credited },
            Readiness::Blocked { .. } => Self::Blocked { credited },
        }
    }
}

/// A cluster's collector as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorRow {
    /// `unknown`, `none`, `connecting`, `live`, `broken`.
    pub link: &'static str,
    pub reason: Option<Text>,
    /// When it was heard of last.
    pub at: Option<Timestamp>,
    pub version: Option<Text>,
    pub window: Option<Window>,
    /// That of the namespace that is furthest behind.
    pub progress: Progress,
    /// Namespaces that are ready, of those it can judge.
    pub ready: Option<(usize, usize)>,
    /// What it reads, in words, with lag and losses.
    pub sources: Vec<Text>,
    pub troubles: Vec<Text>,
}

/// How far a namespace is, as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionRow {
    /// For egress.
    pub progress: Progress,
    /// Why it is not ready, every reason.
    pub why: Vec<Text>,
    /// The same for ingress.
    pub ingress: Progress,
    pub ingress_why: Vec<Text>,
    /// What the collector holds of it.
    pub edges: Option<u64>,
    /// As far as its edges are read here.
    pub destinations: Option<usize>,
    pub suspects: Option<usize>,
    pub at: Option<Timestamp>,
}

impl CollectionRow {
    pub fn of(&self, direction: Direction) -> (Progress, &[Text]) {
        match direction {
            Direction::Egress => (self.progress, &self.why),
            Direction::Ingress => (self.ingress, &self.ingress_why),
        }
    }

    /// Is ingress where egress is, for the same reasons?
    pub fn is_alike(&self) -> bool {
        self.of(Direction::Egress) == self.of(Direction::Ingress)
    }
}

pub fn collector_row(world: &World, cluster: &ClusterName) -> CollectorRow {
    let Some(collected) = world.discoveries().collected(cluster) else {
        return CollectorRow {
            link: "unknown",
            reason: None,
            at: None,
            version: None,
            window: None,
            progress: Progress::Unknown,
            ready: None,
            sources: Vec::new(),
            troubles: Vec::new(),
        };
    };
    let state = &collected.state;
    let (link, reason) = match &state.link {
        Link::None(why) => ("none", Some(why.clone())),
        Link::Connecting => ("connecting", None),
        Link::Live => ("live", None),
        Link::Broken(trouble) => ("broken", Some(Text::from(trouble.to_string()))),
    };
    let all: Vec<_> = in_scope(world, cluster).collect();
    let of = |judged| progress(judged, &state.link, Direction::Egress);
    let behind = all.iter().map(|judged| of(Some(judged)));
    CollectorRow {
        link,
        reason,
        at: Some(collected.at),
        version: state.version.clone(),
        window: state.window,
        progress: behind.min_by_key(|progress| rank(*progress)).unwrap_or(of(None)),
        ready: (!all.is_empty()).then(|| {
            let ready = all.iter().filter(|judged| judged.coverage.readiness == Readiness::Ready).count();
            (ready, all.len())
        }),
        sources: state.sources.iter().map(source_words).collect(),
        troubles: state.troubles.iter().map(|trouble| Text::from(trouble.to_string())).collect(),
    }
}

/// Namespaces that a policy may ever be written for.
fn in_scope<'w>(world: &'w World, cluster: &'w ClusterName) -> impl Iterator<Item = &'w Judged> {
    let all = world.cluster(cluster).into_iter().flat_map(|cluster| cluster.namespaces.keys());
    all.filter(|ns| !world.plan().excludes(ns)).filter_map(|ns| world.discoveries().judged(cluster, ns))
}

/// Furthest behind first; what is not known is behind all.
fn rank(progress: Progress) -> (u8, TimeDelta) {
    let class = match progress {
        Progress::Unknown => 0,
        Progress::NoCollector => 1,
        Progress::Collecting { .. } => 2,
        Progress::Blocked { .. } => 3,
        Progress::Ready { .. } => 4,
    };
    (class, progress.credited().unwrap_or_default())
}

fn progress(judged: Option<&Judged>, link: &Link, direction: Direction) -> Progress {
    match (judged, link) {
        (Some(judged), _) => Progress::of(&judged.coverage, direction),
        (None, Link::None(_)) => Progress::NoCollector,
        (None, Link::Connecting | Link::Live | Link::Broken(_)) => Progress::Unknown,
    }
}

fn source_words(source: &super::ports::SourceState) -> Text {
    let lag = source.lag.map_or_else(|| "lag unknown".to_owned(), |lag| format!("lag {}", span(lag)));
    let link = match &source.link {
        Link::None(why) => format!("none: {why}"),
        Link::Connecting => "connecting".to_owned(),
        Link::Live => "live".to_owned(),
        Link::Broken(trouble) => format!("broken: {trouble}"),
    };
    Text::from(format!("{} {link}, {lag}, {} not understood", source.name, source.malformed))
}

pub fn collection_row(world: &World, cluster: &ClusterName, ns: &NsName) -> CollectionRow {
    let discoveries = world.discoveries();
    let Some(collected) = discoveries.collected(cluster) else {
        return CollectionRow {
            progress: Progress::Unknown,
            why: Vec::new(),
            ingress: Progress::Unknown,
            ingress_why: Vec::new(),
            edges: None,
            destinations: None,
            suspects: None,
            at: None,
        };
    };
    let judged = discoveries.judged(cluster, ns);
    let answer = discoveries.opened(cluster, ns).and_then(|opened| opened.answer.as_ref());
    // Without a window it has not said what it holds.
    let edges = collected.state.tally(ns).map(|tally| tally.edges);
    let of = |direction| progress(judged, &collected.state.link, direction);
    CollectionRow {
        progress: of(Direction::Egress),
        why: why(judged, Direction::Egress),
        ingress: of(Direction::Ingress),
        ingress_why: why(judged, Direction::Ingress),
        edges,
        destinations: answer.map(|answer| answer.destinations.len()),
        // Without rules nothing was looked for.
        suspects: discoveries.rules().and(answer).map(|answer| answer.suspects),
        at: Some(collected.at),
    }
}

fn why(judged: Option<&Judged>, direction: Direction) -> Vec<Text> {
    match judged.map(|judged| judged.coverage.readiness(direction)) {
        Some(Readiness::Blocked { why }) => why.clone(),
        Some(Readiness::NotYet { left }) => {
            vec![Text::from(format!("{} of proved time is missing, at least", span(*left)))]
        }
        Some(Readiness::Ready) | None => Vec::new(),
    }
}

/// `None`: no collector told what it can answer for.
pub fn judge(
    discoveries: &Discoveries,
    cluster: &Cluster,
    ns: &Namespace,
    waived: &Waived,
    jobs: &Jobs<'_>,
) -> Option<Judged> {
    let state = &discoveries.collected(&cluster.name)?.state;
    let window = state.window?;
    // A pod on its node's network is not the namespace's in any flow, so its node has nothing to prove.
    let running: BTreeSet<NodeName> = ns.subjects().filter_map(|pod| pod.node.clone()).collect();
    let running: Vec<_> = running.into_iter().collect();
    let known = cluster.listed.contains(&Listed::Pods).then_some(running.as_slice());
    let (nodes, credited) = nodes_of(&state.coverage, known, window);
    let facts = NamespaceFacts {
        ns: &ns.seen.name,
        nodes: known,
        crons: jobs.all,
        waived: &waived.jobs,
        waived_callers: jobs.waived,
        excused: &waived.workloads,
        workloads: &spoke(discoveries, cluster, ns),
    };
    Some(Judged { window, coverage: readiness(&state.coverage, window, &facts), nodes, credited })
}

/// Workloads that run now, and whether any edge is theirs. Empty until edges were read: nobody is
/// called silent on a guess.
fn spoke(discoveries: &Discoveries, cluster: &Cluster, ns: &Namespace) -> BTreeMap<Workload, bool> {
    let answer = discoveries.opened(&cluster.name, &ns.seen.name).and_then(|opened| opened.answer.as_ref());
    let Some(answer) = answer else { return BTreeMap::new() };
    ns.subjects()
        .map(|pod| (pod.workload.clone(), answer.evidence.contains_key(&pod.workload.name)))
        .collect()
}

/// Credited hours of the nodes that count, worst first, and those of all of them together. A source
/// that names no node speaks for all.
fn nodes_of(
    coverage: &Coverage,
    nodes: Option<&[NodeName]>,
    window: Window,
) -> (Vec<(Option<NodeName>, usize)>, Hours) {
    let hours = window.hours();
    let empty = Hours::default();
    let names_nodes = coverage.credited.keys().any(Option::is_some);
    let counted: BTreeMap<Option<NodeName>, &Hours> = match nodes {
        Some(nodes) if names_nodes && !nodes.is_empty() => nodes
            .iter()
            .map(|node| (Some(node.clone()), coverage.credited.get(&Some(node.clone())).unwrap_or(&empty)))
            .collect(),
        Some(_) | None => coverage.credited.iter().map(|(node, seen)| (node.clone(), seen)).collect(),
    };
    let whole = |hour: &i64| !counted.is_empty() && counted.values().all(|seen| seen.contains(*hour));
    let all = hours.clone().filter(whole).collect();
    let mut rows: Vec<_> =
        counted.into_iter().map(|(node, seen)| (node, seen.count_in(hours.clone()))).collect();
    rows.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    (rows, all)
}
