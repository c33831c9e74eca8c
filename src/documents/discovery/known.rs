//! What the world knows of a cluster beside its collector's edges, for a document: window, coverage,
//! CronJobs, workloads, nodes, waivers. What the cluster did not tell stays unknown. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::Known;
use crate::{
    cockpit::{
        discoveries::{self, Collected},
        discovery::{self, Waived},
        ports::Trouble,
        world::World,
    },
    domain::{
        coverage::CronJob,
        edge::Window,
        fleet::{Cluster, Listed, Namespace},
        names::{ClusterName, NodeName, NsName, Text, Workload},
        resolver::DnsPath,
    },
};

/// What a reader must know who sees no waiver.
fn without_waivers(world: &World) -> Option<Text> {
    let is_away = world.plan().settings.state.is_some() && !world.shared().is_live();
    is_away.then(|| Text::new("the team's state is away: waivers of CronJobs are not counted"))
}

/// Over the window that was asked for, else the newest week.
pub fn of_cluster(
    world: &World,
    cluster: &ClusterName,
    collected: &Collected,
    asked: Option<Window>,
) -> Result<Known, Trouble> {
    let state = &collected.state;
    let Some(has) = state.window else {
        let next = "Wait until flows have come in, then run it again.";
        return Err(Trouble::new(cluster.as_str(), "its collector has seen nothing yet", next));
    };
    let window = asked.unwrap_or_else(|| discovery::week(has));
    let early = (window.from < has.from).then(|| {
        let from = has.from.format("%Y-%m-%d %H:%M UTC");
        Text::from(format!("the collector's edges begin at {from}, after the window does"))
    });
    let seen = world.cluster(cluster);
    let mut coverage = state.coverage.clone();
    // What the cockpit's coverage page says too.
    coverage.doubts.extend(seen.and_then(|seen| seen.looked.dns.as_ref()).and_then(DnsPath::doubt));
    Ok(Known {
        window,
        generated: world.now(),
        coverage,
        crons: crons(world, cluster, seen),
        waived: waived(world, seen),
        workloads: seen.filter(|seen| seen.listed.contains(&Listed::Pods)).map(workloads),
        nodes: seen.filter(|seen| seen.listed.contains(&Listed::Pods)).map(nodes),
        remarks: early.into_iter().chain(without_waivers(world)).collect(),
    })
}

fn waived(world: &World, seen: Option<&Cluster>) -> BTreeMap<NsName, Waived> {
    let all = seen.into_iter().flat_map(|seen| seen.namespaces.keys().map(move |ns| (seen, ns)));
    let of = |seen: &Cluster, ns: &NsName| discoveries::waived(world.shared(), seen, ns, world.now());
    all.map(|(seen, ns)| (ns.clone(), of(seen, ns))).collect()
}

/// CronJobs of all namespaces; `None` where the cluster did not tell them.
fn crons(world: &World, cluster: &ClusterName, seen: Option<&Cluster>) -> Option<Vec<CronJob>> {
    let mut out = Vec::new();
    for ns in seen?.namespaces.keys() {
        out.extend(world.discoveries().crons(cluster, ns)?.cloned());
    }
    Some(out)
}

fn by_namespace<T: Ord>(
    cluster: &Cluster,
    of: impl Fn(&Namespace) -> BTreeSet<T>,
) -> BTreeMap<NsName, BTreeSet<T>> {
    cluster.namespaces.values().map(|ns| (ns.seen.name.clone(), of(ns))).collect()
}

fn workloads(cluster: &Cluster) -> BTreeMap<NsName, BTreeSet<Workload>> {
    by_namespace(cluster, |ns| {
        ns.pods.values().filter(|pod| !pod.finished).map(|pod| pod.workload.clone()).collect()
    })
}

fn nodes(cluster: &Cluster) -> BTreeMap<NsName, BTreeSet<NodeName>> {
    by_namespace(cluster, |ns| ns.subjects().filter_map(|pod| pod.node.clone()).collect())
}
