//! What a cluster's pre-flight means for the rest: which checks stop rollout and discovery, and the
//! report with what the collector has measured since. One place that screen, gates and lists read.

use chrono::TimeDelta;

use crate::domain::{
    edge::Hours,
    fleet::{Cluster, CniKind, Health},
    flow::Direction,
    names::{ClusterName, Text},
    preflight::{
        check::{Check, CheckId, Stops},
        reading::{COLLECTOR, Known, Measured},
        report::Report,
    },
    readiness::{NEEDED, credited},
    time::{Timestamp, age, span},
};

use super::{
    decide::Reason,
    orders::{Origin, Preview},
    ports::CollectorState,
    world::World,
};

/// Checks that keep anything from being applied, by the last report; before the first see [`untold`].
pub fn stops_rollout(cluster: &Cluster) -> impl Iterator<Item = &Check> {
    cluster.looked.preflight.iter().flat_map(|(report, _)| report.open(Stops::Rollout))
}

/// What was recognised of the CNI says that policies do nothing there.
pub fn not_enforced(cluster: &Cluster) -> Option<Reason> {
    let cni = cluster.cni.as_ref().filter(|cni| cni.enforcement.is_off())?;
    let next = match cni.kind {
        CniKind::Flannel | CniKind::Other => "migrate its CNI to Calico or Cilium first",
        CniKind::Cilium
        | CniKind::Calico
        | CniKind::Antrea
        | CniKind::NetworkPolicies
        | CniKind::KubeRouter
        | CniKind::K3s
        | CniKind::Weave
        | CniKind::Aws
        | CniKind::AzureNpm
        | CniKind::OvnKubernetes
        | CniKind::Kindnet => "put that right first, as its pre-flight says",
    };
    Some(Reason::NotEnforced { cluster: cluster.name.clone(), evidence: cni.evidence.clone(), next })
}

/// Unknown is no yes: before the first report of a cluster nothing that was previewed is enforced there.
/// One that is down says so already.
pub fn untold(world: &World, preview: &Preview) -> Option<Reason> {
    let cluster = world.cluster(&preview.target.cluster)?;
    let is_told = cluster.looked.preflight.is_some() || matches!(cluster.health, Health::Down(_));
    if is_told || preview.origin == Origin::Shadow {
        return None;
    }
    let since = cluster.looked.since.map(|at| span(age(at, world.now())));
    let since = since.map_or("the cluster has not answered yet".to_owned(), |since| {
        format!("no report in the {since} since the cluster first answered")
    });
    Some(Reason::NoPreflight { cluster: cluster.name.clone(), since: Text::from(since) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::{
            plan::{ClusterEntry, FleetFile},
            ports::{ClusterFact, Fact},
        },
        domain::preflight::check::Verdict,
    };

    /// Where the source does not answer after a later pre-flight, nothing is told of the week.
    #[test]
    fn a_week_that_was_measured_once_does_not_pass_for_ever() {
        let name = ClusterName::parse("east").expect("a name");
        let entry = ClusterEntry {
            name: name.clone(),
            context: Text::new("east"),
            environment: Default::default(),
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let now = Timestamp::default();
        let mut world = World::new(now);
        world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        let checks = vec![Check::fail(CheckId::Week, "Hubble keeps minutes.")];
        let told = Report { checks, engine: None, dns_mode: None, offers: Vec::new(), printing: None };
        let source = Text::new("Hubble");
        let week =
            Measured { source, from: now - TimeDelta::days(8), to: now, empty_hours: 0, only_denials: false };
        let mut verdict = |fact| {
            world.absorb(Fact::Cluster(name.clone(), fact));
            report(&world, &name).map(|(report, _)| report.checks[0].verdict)
        };
        let looked = || ClusterFact::Preflight(Box::new(told.clone()));
        assert_eq!(verdict(looked()), Some(Verdict::Fail));
        assert_eq!(verdict(ClusterFact::Week(Known::Read(week))), Some(Verdict::Pass));
        assert_eq!(verdict(looked()), Some(Verdict::Fail));
    }
}
