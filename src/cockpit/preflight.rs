//! What a cluster's pre-flight means for the rest: which checks stop rollout and discovery, and the
//! report with what the collector has measured since. One place that screen, gates and lists read.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::domain::{
    edge::Hours,
    fleet::{Cluster, CniKind, Health, Listed, Looked, Pod},
    flow::Direction,
    names::{ClusterName, NodeName, NsName, Text},
    preflight::{
        check::{Check, CheckId, Reach, Stops},
        reading::{COLLECTOR, Known, Measured, Object},
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

/// Checks that keep rows from being applied, all or some, by the last report; before the first see
/// [`untold`].
pub fn stops_rollout(cluster: &Cluster) -> impl Iterator<Item = &Check> {
    cluster.looked.preflight.iter().flat_map(|(report, _)| report.open(Stops::Rollout))
}

/// Those of them that keep this row from being applied: one that concerns nodes stops rows that run
/// there, or may. What is not known of a pod or a node counts against the row.
pub fn stops_row<'w>(
    world: &'w World,
    cluster: &'w Cluster,
    ns: &'w NsName,
) -> impl Iterator<Item = &'w Check> {
    stops_rollout(cluster).filter(move |check| match &check.reach {
        Reach::Cluster => true,
        Reach::Nodes(nodes) => {
            runs_on(world, cluster, ns, |node| nodes.iter().any(|one| one.as_str() == node.as_str()))
        }
        Reach::Unready(agent) => {
            let ready = ready_nodes(cluster, agent);
            runs_on(world, cluster, ns, |node| !ready.contains(node))
        }
    })
}

/// Does the namespace run something on such a node, as far as is known? Where a job of a CronJob goes,
/// its last runs say; one that left no pod may go anywhere.
fn runs_on(world: &World, cluster: &Cluster, ns: &NsName, is_such: impl Fn(&NodeName) -> bool) -> bool {
    let Some(seen) = cluster.namespaces.get(ns).filter(|_| cluster.listed.contains(&Listed::Pods)) else {
        return true;
    };
    let mut pods = seen.pods.values().filter(|pod| !pod.host_network).peekable();
    if pods.peek().is_none() {
        return world.discoveries().crons(&cluster.name, ns).is_none_or(|mut crons| crons.next().is_some());
    }
    pods.any(|pod| pod.node.as_ref().is_none_or(&is_such))
}

/// Nodes on which a pod of this DaemonSet is ready.
fn ready_nodes<'w>(cluster: &'w Cluster, agent: &Object) -> BTreeSet<&'w NodeName> {
    let home = cluster.namespaces.iter().find(|(ns, _)| ns.as_str() == agent.ns.as_str());
    let pods = home.into_iter().flat_map(|(_, ns)| ns.pods.values());
    let is_agent = |pod: &&Pod| {
        pod.workload.kind.as_str() == "DaemonSet"
            && pod.workload.name.as_str() == agent.name.as_str()
            && pod.ready.is_some()
            && !pod.finished
    };
    pods.filter(is_agent).filter_map(|pod| pod.node.as_ref()).collect()
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

/// A pre-flight that follows the last one within this is a hurried one.
const SOON: TimeDelta = TimeDelta::minutes(5);

/// A pre-flight came. With each the source is asked anew, since what it answered before is no word on
/// now; but for a hurried one that found the same sources.
pub(super) fn take(looked: &mut Looked, report: Report, now: Timestamp) {
    let is_hurried = looked.preflight.as_ref().is_some_and(|(last, at)| {
        now - *at < SOON && (&last.offers, &last.printing) == (&report.offers, &report.printing)
    });
    if !is_hurried {
        looked.week = None;
    }
    looked.preflight = Some((report, now));
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
            ports::{Change, ClusterFact, Fact},
        },
        domain::{
            coverage::CronJob,
            fleet::NamespaceSeen,
            names::{PodName, Workload},
            preflight::check::Verdict,
            source::SourceKind,
        },
    };

    fn ns(name: &str) -> NsName {
        NsName::parse(name).expect("a name")
    }

    fn pod(ns_name: &str, workload: (&str, &str), node: Option<&str>, ready: bool) -> Pod {
        let (kind, workload) = workload;
        let name = format!("{workload}-{}", node.unwrap_or("none"));
        Pod {
            ns: ns(ns_name),
            name: PodName::parse(&name).expect("a name"),
            labels: Default::default(),
            workload: Workload::new(kind, workload),
            node: node.map(|node| NodeName::parse(node).expect("a name")),
            host_network: kind == "DaemonSet",
            finished: kind == "CronJob",
            started: None,
            ready: ready.then(Timestamp::default),
        }
    }

    /// `web` runs on a, `api` on a and b, `new` waits for a node, `nightly` ran on b and `weekly` has left
    /// no pod; nothing runs in `empty`. The agent of b is not ready.
    fn rows() -> (World, ClusterName) {
        let name = ClusterName::parse("east").expect("a name");
        let entry = ClusterEntry {
            name: name.clone(),
            context: Text::new("east"),
            environment: Default::default(),
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let mut world = World::new(Timestamp::default());
        world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        let seen = |name: &&str| NamespaceSeen {
            name: ns(name),
            labels: Default::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        let deployed = |ns: &str, node| pod(ns, ("Deployment", "app"), node, true);
        let agent = |node, ready| pod("kube-system", ("DaemonSet", "cilium"), Some(node), ready);
        let cron = |ns_name: &str| CronJob {
            ns: ns(ns_name),
            name: Text::new("job"),
            schedule: Text::new("@daily"),
            zone: None,
            suspended: false,
            longest_pause: None,
            last_run: None,
        };
        for fact in [
            ClusterFact::Namespaces(Change::Reset(
                ["kube-system", "web", "api", "new", "nightly", "weekly", "empty"].iter().map(seen).collect(),
            )),
            ClusterFact::Pods(Change::Reset(vec![
                agent("a", true),
                agent("b", false),
                deployed("web", Some("a")),
                deployed("api", Some("a")),
                deployed("api", Some("b")),
                deployed("new", None),
                pod("nightly", ("CronJob", "job"), Some("b"), false),
            ])),
            ClusterFact::CronJobs(Change::Reset(vec![cron("nightly"), cron("weekly")])),
        ] {
            world.absorb(Fact::Cluster(name.clone(), fact));
        }
        (world, name)
    }

    fn stopped(reach: Reach) -> Vec<&'static str> {
        let (mut world, name) = rows();
        let checks = vec![Check::fail(CheckId::Agents, "Not everywhere.").reaching(reach)];
        let told = Report { checks, engine: None, dns_mode: None, offers: Vec::new(), printing: None };
        world.absorb(Fact::Cluster(name.clone(), ClusterFact::Preflight(Box::new(told))));
        let cluster = world.cluster(&name).expect("it is followed");
        let all = ["web", "api", "new", "nightly", "weekly", "empty"];
        let is_stopped = |row: &&str| stops_row(&world, cluster, &ns(row)).next().is_some();
        all.into_iter().filter(is_stopped).collect()
    }

    /// One node without an agent, or with one that is not ready, stops the rows that run there, and those
    /// of which it is not known; an agent that nobody sees is ready nowhere.
    #[test]
    fn a_node_without_an_agent_stops_the_rows_that_may_run_there() {
        let all = ["web", "api", "new", "nightly", "weekly", "empty"];
        let there = ["api", "new", "nightly", "weekly"];
        let agent = |name: &str| Reach::Unready(Object::new("DaemonSet", "kube-system", name));
        assert_eq!(stopped(Reach::Cluster), all);
        assert_eq!(stopped(Reach::Nodes(vec![Text::new("b")])), there);
        assert_eq!(stopped(agent("cilium")), there);
        assert_eq!(stopped(agent("calico-node")), ["web", "api", "new", "nightly", "weekly"]);
    }

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
        let mut verdict = |minutes, fact| {
            world.absorb(Fact::Tick(now + TimeDelta::minutes(minutes)));
            world.absorb(Fact::Cluster(name.clone(), fact));
            report(&world, &name).map(|(report, _)| report.checks[0].verdict)
        };
        let looked = || ClusterFact::Preflight(Box::new(told.clone()));
        let other = Report { offers: vec![SourceKind::Goldmane], ..told.clone() };
        let week = || ClusterFact::Week(Known::Read(week.clone()));
        assert_eq!(verdict(0, looked()), Some(Verdict::Fail));
        assert_eq!(verdict(0, week()), Some(Verdict::Pass));
        assert_eq!(verdict(1, looked()), Some(Verdict::Pass), "a hurried one");
        assert_eq!(verdict(31, looked()), Some(Verdict::Fail));
        assert_eq!(verdict(31, week()), Some(Verdict::Pass));
        assert_eq!(verdict(32, ClusterFact::Preflight(Box::new(other))), Some(Verdict::Fail));
    }
}
