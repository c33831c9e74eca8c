//! Which probes are due: of clusters that `sluice.yaml` names and that this process observes, each row
//! that is not clean yet, from each node that runs its pods. Decides what each aims at, or says why it
//! can prove nothing. Pure: asks nobody and keeps nothing.

use crate::domain::{
    denial::{Group, Peer},
    fleet::{Cluster, Namespace, Pod},
    flow::{Direction, Entity, PRIVATE_NETWORK, Protocol},
    names::{ClusterName, NodeName, Text},
    probe::{self, Aim, To},
    rollout::Target,
};

use super::{plan::FleetFile, settings::ProbeEntry, world::World};

/// Clusters in which probes are on and evidence is ours to write.
pub fn held(world: &World) -> impl Iterator<Item = (&ProbeEntry, &Cluster)> {
    let entries = world.plan().settings.probes.iter();
    let is_ours = |name: &ClusterName| world.shared().observer(name).is_some_and(|observer| observer.is_us);
    entries
        .filter(move |entry| is_ours(&entry.cluster))
        .filter_map(|entry| Some((entry, world.cluster(&entry.cluster)?)))
}

/// Rows of a cluster that need a proof, each with the nodes that run its pods.
pub fn needed<'w>(
    world: &'w World,
    cluster: &'w ClusterName,
) -> impl Iterator<Item = (Target, NodeName)> + 'w {
    let soaks = world.soaks();
    let rows = soaks.targets().filter(move |target| target.cluster == *cluster && !soaks.is_clean(target));
    rows.flat_map(move |target| {
        let nodes: Vec<NodeName> = soaks.nodes(&target).cloned().collect();
        nodes.into_iter().map(move |node| (target.clone(), node))
    })
}

/// What a probe of this row goes for on this node, or why none can prove anything.
pub fn aim(cluster: &Cluster, entry: &ProbeEntry, target: &Target, node: &NodeName) -> Result<Aim, Text> {
    let ns = cluster.namespaces.get(&target.ns).ok_or_else(|| Text::new("its namespace is not seen"))?;
    let (from, to) = match target.direction {
        Direction::Egress => (target.ns.clone(), To::Address(entry.destination.addr())),
        Direction::Ingress => {
            let from = entry.from.clone().ok_or_else(|| {
                Text::new("sluice.yaml names no namespace to knock from: write `from:` under `probes:`")
            })?;
            if from == target.ns {
                return Err(Text::from(format!("probes come from {from} itself: write another `from:`")));
            }
            let pod = reachable(ns, node).ok_or_else(|| Text::new("no running pod to knock at"))?;
            (from, To::Pod(pod.name.clone()))
        }
    };
    let (ns_name, direction) = (target.ns.clone(), target.direction);
    let aim = Aim { ns: ns_name, direction, node: node.clone(), from, to, port: entry.port };
    match aim.may_be_allowed(ns.policies.values().chain(cluster.clusterwide.values())) {
        Some(why) => Err(why),
        None => Ok(aim),
    }
}

/// A pod on the node that something could answer from: a ready one first.
fn reachable<'n>(ns: &'n Namespace, node: &NodeName) -> Option<&'n Pod> {
    let mut here: Vec<_> = ns.subjects().filter(|pod| pod.node.as_ref() == Some(node)).collect();
    here.sort_by_key(|pod| pod.ready.is_none());
    here.into_iter().find(|pod| pod.started.is_some())
}

/// Are these the denials that probes of the plan are for? By where they went, not only by a pod's name,
/// which anybody may give: what goes there is meant to be denied.
pub fn is_meant(plan: &FleetFile, group: &Group) -> bool {
    let key = &group.key;
    let Some(entry) = plan.settings.probes.iter().find(|entry| entry.cluster == key.cluster) else {
        return false;
    };
    if key.protocol != Protocol::Tcp || key.port != entry.port {
        return false;
    }
    let is_prober = key.workload.as_ref() == Some(&probe::workload());
    match key.direction {
        Direction::Egress => {
            let goes_there = match &key.peer {
                Peer::Address(address) => *address == entry.destination.addr(),
                // All that a source without addresses says of it.
                Peer::Entity(entity) => *entity == Entity::World,
                Peer::Name(name) => name.as_str() == PRIVATE_NETWORK,
                Peer::Workload { .. } | Peer::Unknown => false,
            };
            is_prober && (goes_there || entry.from.as_ref() == Some(&key.ns))
        }
        Direction::Ingress => matches!(
            &key.peer,
            Peer::Workload { ns, workload } if entry.from.as_ref() == Some(ns) && *workload == probe::workload()
        ),
    }
}
