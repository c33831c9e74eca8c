//! May a cluster's collector be asked for a namespace's edges now? Pure; part of [`super::decide`].

use super::{
    decide::{Orders, Reason, Refusal, refuse_if},
    ports::{Effect, Link},
    world::World,
};
use crate::domain::{
    names::{ClusterName, NsName, Text},
    time::{age, span},
};

/// Every reason why a collector cannot be asked for edges now.
pub fn read_reasons(world: &World, cluster: &ClusterName, ns: &NsName) -> Vec<Reason> {
    if world.cluster(cluster).is_none() {
        return vec![Reason::UnknownCluster(cluster.clone())];
    }
    let link = world.discoveries().collected(cluster).map(|collected| &collected.state.link);
    let name = || cluster.clone();
    // The workspace's document stands in for a collector that is not there.
    if world.discoveries().rests_on_document(cluster, ns) {
        return Vec::new();
    }
    match link {
        None => vec![Reason::NoCollector { cluster: name(), why: Text::default() }],
        Some(Link::None(why)) => {
            vec![Reason::NoCollector { cluster: name(), why: Text::from(format!(" ({why})")) }]
        }
        Some(Link::Broken(trouble)) => {
            vec![Reason::CollectorAway { cluster: name(), why: Text::from(trouble.to_string()) }]
        }
        Some(Link::Connecting) => {
            vec![Reason::CollectorAway { cluster: name(), why: Text::new("it is being connected") }]
        }
        Some(Link::Live) => {
            let asked = world.discoveries().opened(cluster, ns).filter(|opened| opened.is_waiting());
            let waits = asked.filter(|_| !world.discoveries().is_due(cluster, ns, world.now()));
            let since = waits.map(|opened| span(age(opened.asked, world.now())));
            since.map(|since| Reason::Asked { cluster: name(), since }).into_iter().collect()
        }
    }
}

pub(super) fn read_edges(world: &World, cluster: &ClusterName, ns: &NsName) -> Result<Orders, Refusal> {
    refuse_if("refresh", &[format!("{cluster}/{ns}")], read_reasons(world, cluster, ns))?;
    let effects = vec![Effect::ReadEdges(cluster.clone(), ns.clone())];
    Ok(Orders { started: Vec::new(), effects })
}
