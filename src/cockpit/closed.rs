//! By what people closed a group of denials: the waiver or the rejected review that speaks of exactly
//! it, judged by the same rule that makes the group expected.

use crate::domain::{
    denial::Group,
    expected::{Asked, Closings},
    grant::Review,
    hold::{DenialKey, Waiver},
    rollout::{Kept, Target},
};

use super::{soaks, world::World};

/// One thing that makes a group expected.
#[derive(Clone, Copy, Debug)]
pub enum ClosedBy<'w> {
    Waiver(&'w Kept<Waiver>),
    Review(&'w Kept<Review>),
}

/// Everything that closes a group now, waivers first.
pub fn closed_by<'w>(world: &'w World, group: &Group) -> Vec<ClosedBy<'w>> {
    let key = &group.key;
    let target = Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
    closings_of(world, &target, &group.denial_key())
}

/// Everything that closes denials of exactly this in a rollout now. By the API server's clock; before
/// that spoke, nothing does.
pub fn closings_of<'w>(world: &'w World, target: &Target, denial: &DenialKey) -> Vec<ClosedBy<'w>> {
    let cluster = world.cluster(&target.cluster);
    let uid = cluster.and_then(|cluster| cluster.uid.as_ref());
    let (Some(uid), Some(now)) = (uid, world.shared().now(world.now())) else { return Vec::new() };
    let labels = || soaks::labels(cluster, target, denial.workload.as_ref());
    let asked = Asked { target, uid, people: &world.plan().settings.people, now };
    let waives = |kept: &&Kept<Waiver>| {
        let one = std::iter::once(&kept.value);
        Closings::of(asked, one, std::iter::empty()).expects(denial, labels)
    };
    let rejects = |kept: &&Kept<Review>| {
        let one = std::iter::once(&kept.value);
        Closings::of(asked, std::iter::empty(), one).expects(denial, labels)
    };
    let waivers = world.shared().waivers().filter(waives).map(ClosedBy::Waiver);
    waivers.chain(world.shared().reviews().filter(rejects).map(ClosedBy::Review)).collect()
}
