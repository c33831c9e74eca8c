//! By what people closed a group of denials: the waiver or the rejected review that speaks of exactly
//! it, judged by the same rule that makes the group expected.

use crate::domain::{
    denial::Group,
    expected::Closings,
    grant::Review,
    hold::Waiver,
    rollout::{Kept, Target},
};

use super::world::World;

/// One thing that makes a group expected.
#[derive(Clone, Copy, Debug)]
pub enum ClosedBy<'w> {
    Waiver(&'w Kept<Waiver>),
    Review(&'w Kept<Review>),
}

/// Everything that closes a group now, waivers first. By the API server's clock; before that spoke,
/// nothing does.
pub fn closed_by<'w>(world: &'w World, group: &Group) -> Vec<ClosedBy<'w>> {
    let key = &group.key;
    let target = Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
    let cluster = world.cluster(&key.cluster);
    let uid = cluster.and_then(|cluster| cluster.uid.as_ref());
    let (Some(uid), Some(now)) = (uid, world.shared().now(world.now())) else { return Vec::new() };
    let pods = world.namespace(&key.cluster, &key.ns).into_iter().flat_map(|ns| ns.pods.values());
    let labels =
        pods.filter(|pod| Some(&pod.workload) == key.workload.as_ref()).map(|pod| &pod.labels).next();
    let denial = group.denial_key();
    let waives = |kept: &&Kept<Waiver>| {
        let one = std::iter::once(&kept.value);
        Closings::of(&target, uid, one, std::iter::empty(), now).expects(&denial, labels)
    };
    let rejects = |kept: &&Kept<Review>| {
        let one = std::iter::once(&kept.value);
        Closings::of(&target, uid, std::iter::empty(), one, now).expects(&denial, labels)
    };
    let waivers = world.shared().waivers().filter(waives).map(ClosedBy::Waiver);
    waivers.chain(world.shared().reviews().filter(rejects).map(ClosedBy::Review)).collect()
}
