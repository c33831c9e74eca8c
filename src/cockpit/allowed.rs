//! What the reviews of our rights say on writing into a namespace. Against an apply they are reasons;
//! against a rollback only a warning: it is sent all the same, and the API server decides (law 6).

use crate::domain::{
    fleet::{Cluster, Within},
    names::Text,
};

use super::{decide::Reason, orders::Target, world::World};

/// Every right that an apply of this row needs and that we are known to lack. What is not known is
/// left to the server's dry run.
pub(super) fn against_apply(cluster: &Cluster, target: &Target) -> Vec<Reason> {
    let rights = &cluster.rights;
    let here = rights.within(&target.ns);
    let may = |has: fn(&Within) -> Option<bool>| rights.within.values().any(|one| has(one) == Some(true));
    [(here.create, "create", may(|one| one.create)), (here.patch, "patch", may(|one| one.patch))]
        .into_iter()
        .filter(|(right, ..)| *right == Some(false))
        .map(|(_, verb, elsewhere)| {
            // Where somebody may do it in some namespaces, the no is of this one.
            let place = if elsewhere {
                Text::from(format!("{}/{}", target.cluster, target.ns))
            } else {
                Text::new(target.cluster.as_str())
            };
            Reason::NoRight { user: user(cluster), verb, place }
        })
        .collect()
}

/// What a person should know before a rollback of this row is sent; `None`: nothing speaks against it.
pub fn rollback_warning(world: &World, target: &Target) -> Option<Text> {
    let cluster = world.cluster(&target.cluster)?;
    let rights = &cluster.rights;
    let by = match (rights.within(&target.ns).may_roll_back(), rights.everywhere().may_roll_back()) {
        (Some(false), _) => format!("namespace {}", target.ns),
        (None, Some(false)) => "the whole cluster".to_owned(),
        (Some(true), _) | (None, Some(true) | None) => return None,
    };
    let (user, cluster) = (user(cluster), &target.cluster);
    Some(Text::from(format!(
        "{cluster}: by a review of {by} {user} may neither patch nor delete network policies; it is tried all the same"
    )))
}

fn user(cluster: &Cluster) -> Text {
    cluster.identity.as_ref().map_or_else(|| Text::new("you"), |identity| identity.user.clone())
}
