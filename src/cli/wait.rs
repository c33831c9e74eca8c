//! What a command waits for, as pure questions to the world, and what to say of a cluster that did
//! not get there before the deadline.

use crate::{
    cockpit::{
        orders::{OrderId, Target},
        ports::{Link, Trouble},
        rows::parts,
        world::World,
    },
    domain::{
        fleet::{Cluster, Health},
        names::{ClusterName, Text},
    },
};

pub use crate::cockpit::rows::is_read;

/// Has the cluster's flow source said whether it works?
pub fn has_source_spoken(world: &World, cluster: &Cluster) -> bool {
    if matches!(cluster.health, Health::Down(_)) {
        return true;
    }
    let state = world.source(&cluster.name).and_then(|source| source.state.as_ref());
    state.is_some_and(|state| match state.link {
        Link::Connecting => false,
        Link::None(_) | Link::Live | Link::Broken(_) => true,
    })
}

pub fn are_read(world: &World, clusters: &[ClusterName]) -> bool {
    clusters.iter().all(|name| world.cluster(name).is_none_or(is_read))
}

pub fn have_ended(world: &World, orders: &[OrderId]) -> bool {
    orders.iter().all(|id| world.orders().get(*id).is_none_or(|order| !order.is_running()))
}

/// Did the cluster of every order have its first pre-flight, or is it down?
pub fn are_looked_at(world: &World, orders: &[OrderId]) -> bool {
    let clusters = orders.iter().filter_map(|id| world.cluster(&world.orders().get(*id)?.target.cluster));
    let is_told =
        |cluster: &Cluster| cluster.looked.preflight.is_some() || matches!(cluster.health, Health::Down(_));
    clusters.into_iter().all(is_told)
}

/// Clusters that are not fully read, each with what is missing and what it last said.
pub fn unread(world: &World) -> Vec<Trouble> {
    world.clusters().filter_map(missing).collect()
}

/// What is missing of one cluster; `None`: nothing.
pub fn missing(cluster: &Cluster) -> Option<Trouble> {
    if let Health::Down(reason) = &cluster.health {
        return Some(Trouble::new(cluster.name.as_str(), "it is down", reason.as_str()));
    }
    let absent: Vec<_> = parts(cluster).into_iter().filter(|(_, is_there, _)| !is_there).collect();
    if absent.is_empty() {
        return None;
    }
    let why: Vec<_> =
        absent.iter().filter_map(|(part, ..)| cluster.troubles.get(part)).map(Text::as_str).collect();
    let next = match (why.is_empty(), &cluster.health) {
        (false, _) => why.join(" "),
        (true, Health::Connecting) => {
            "It has not answered yet: check its address, or wait longer with --deadline.".to_owned()
        }
        (true, Health::Up | Health::Degraded(_) | Health::Down(_)) => {
            "Wait longer with --deadline.".to_owned()
        }
    };
    let words: Vec<_> = absent.iter().map(|(_, _, word)| *word).collect();
    Some(Trouble::new(cluster.name.as_str(), &format!("not read: {}", words.join(", ")), &next))
}

/// Orders that still run, as troubles for the report.
pub fn unended(world: &World, orders: &[OrderId]) -> Vec<Trouble> {
    let running = orders.iter().filter_map(|id| world.orders().get(*id)).filter(|order| order.is_running());
    running
        .map(|order| {
            Trouble::new(
                &format!("{} {}", order.kind.as_str(), order.target),
                "it had not ended at the deadline",
                "Look with `sluice status` at what is live; `sluice rollback` takes it back.",
            )
        })
        .collect()
}

/// The word that confirms a change: the namespace's name where it may hurt, `yes` in staging.
pub fn word(world: &World, target: &Target) -> String {
    use crate::domain::fleet::Environment;
    match world.cluster(&target.cluster).map_or(Environment::Unknown, |cluster| cluster.environment) {
        Environment::Staging => "yes".to_owned(),
        Environment::Production | Environment::Unknown => target.ns.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::ports::{ClusterFact, Fact},
        documents::tests::{cluster, target, world, world_with_orders},
        domain::fleet::{Part, Rights},
    };

    #[test]
    fn a_cluster_is_read_when_all_lists_are_there_or_it_is_down() {
        let world = world();
        let read: Vec<_> =
            world.clusters().map(|cluster| (cluster.name.to_string(), is_read(cluster))).collect();
        let expected = [("prod-eu", true), ("stage", false), ("far", true)];
        assert_eq!(read, expected.map(|(name, read)| (name.to_owned(), read)));
        assert!(are_read(&world, &[cluster("prod-eu"), cluster("far")]));
        let said: Vec<_> = unread(&world).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "stage: not read: pods, rights. Wait longer with --deadline.",
                "far: it is down. far: connection refused (10.0.0.1:6443). Check the address in the kubeconfig.",
            ]
        );
    }

    /// A viewer who may not list pods is not made to wait for ever.
    #[test]
    fn a_list_that_is_refused_is_not_waited_for() {
        let mut world = world();
        let refused = Trouble::new("stage", "pods: HTTP 403", "Ask its admin.");
        let partial = ClusterFact::Partial { what: Part::Pods, trouble: Some(refused) };
        world.absorb(Fact::Cluster(cluster("stage"), partial));
        let rights = Rights { patch: Some(false), ..Rights::default() };
        world.absorb(Fact::Cluster(cluster("stage"), ClusterFact::Rights(rights)));
        assert!(are_read(&world, &[cluster("stage")]));
    }

    #[test]
    fn sources_and_orders_are_waited_for_until_they_speak() {
        let world = world_with_orders();
        let spoken = |name: &str| has_source_spoken(&world, world.cluster(&cluster(name)).expect("there"));
        assert!(spoken("prod-eu") && spoken("far") && !spoken("stage"));
        assert!(have_ended(&world, &[OrderId(2), OrderId(3)]));
        assert_eq!(unended(&world, &[OrderId(2)]), []);
    }

    #[test]
    fn production_and_unknown_environments_take_the_namespaces_name() {
        let (world, mut target) = (world(), target());
        assert_eq!(word(&world, &target), "shop");
        target.cluster = cluster("stage");
        assert_eq!(word(&world, &target), "yes");
        target.cluster = cluster("far");
        assert_eq!(word(&world, &target), "shop");
    }
}
