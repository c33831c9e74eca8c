//! What a cluster's pre-flight means for the rest: which checks stop rollout and discovery, and the
//! report with what the collector has measured since. One place that screen, gates and lists read.

use chrono::TimeDelta;

use crate::domain::{
    edge::Hours,
    fleet::Cluster,
    flow::Direction,
    names::{ClusterName, Text},
    preflight::{
        check::{Check, CheckId, Stops},
        reading::{COLLECTOR, Known, Measured},
        report::Report,
    },
    readiness::{NEEDED, credited},
    time::Timestamp,
};

use super::{ports::CollectorState, world::World};

/// Checks that keep anything from being applied. None before the first pre-flight: until then what
/// was recognised of the CNI decides alone.
pub fn stops_rollout(cluster: &Cluster) -> impl Iterator<Item = &Check> {
    cluster.looked.preflight.iter().flat_map(|(report, _)| report.open(Stops::Rollout))
}

/// Why evidence of a direction is not ready, by the pre-flight. Once the collector has a week, its own
/// records prove that flows are recorded; that answers are exported and can be given to pods they do
/// not. Callers need no answers.
pub fn stops_discovery(
    world: &World,
    cluster: &ClusterName,
    direction: Direction,
    credited: Option<TimeDelta>,
) -> Vec<Text> {
    let has_week = credited.is_some_and(|credited| credited >= NEEDED);
    let by_records = |id| matches!(id, CheckId::Flows | CheckId::Allowed | CheckId::Week | CheckId::Resolver);
    let by_answers = |id| matches!(id, CheckId::Resolver | CheckId::Answers | CheckId::Cache);
    let report = report(world, cluster).map(|(report, _)| report);
    let open = report.iter().flat_map(|report| report.open(Stops::Discovery));
    open.filter(|check| !(has_week && by_records(check.id)))
        .filter(|check| direction == Direction::Egress || !by_answers(check.id))
        .map(|check| {
            // One of several sentences: whoever joins them writes the full stop.
            let why = check.why.as_str().trim_end_matches('.');
            Text::from(format!("Pre-flight, {}: {why}", check.id.as_str()))
        })
        .collect()
}

/// The last pre-flight with when it was, and the week as records prove it by now: those of the
/// collector, else those that the cluster's source still has.
pub fn report(world: &World, name: &ClusterName) -> Option<(Report, Timestamp)> {
    let cluster = world.cluster(name)?;
    let (report, at) = cluster.looked.preflight.as_ref()?;
    let collected = world.discoveries().collected(name).and_then(|one| measured(&one.state));
    let measured = collected.map(Known::Read).or_else(|| cluster.looked.week.clone());
    let report = match measured {
        None => report.clone(),
        Some(measured) => report.clone().measured(&measured),
    };
    Some((report, *at))
}

/// How far back a collector's records reach; `None`: it has gathered nothing yet. Holes of single nodes
/// are told of the namespaces that run there.
pub fn measured(state: &CollectorState) -> Option<Measured> {
    let window = state.window?;
    let mut seen = Hours::default();
    state.coverage.credited.values().for_each(|hours| seen.union(hours));
    let missing = window.to - window.from - credited(&seen, window);
    Some(Measured {
        source: Text::new(COLLECTOR),
        from: window.from,
        to: window.to,
        empty_hours: u32::try_from(missing.num_hours()).unwrap_or(0),
        only_denials: false,
    })
}
