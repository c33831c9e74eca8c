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
    let here = cluster.rights.within(&target.ns);
    [(here.create, "create"), (here.patch, "patch")]
        .into_iter()
        .filter(|(right, _)| *right == Some(false))
        .map(|(_, verb)| Reason::NoRight { user: user(cluster), verb, place: place(cluster, target) })
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

/// Where somebody may write in some namespaces, the no is of this one.
fn place(cluster: &Cluster, target: &Target) -> Text {
    let may = |one: &Within| [one.create, one.patch, one.delete].contains(&Some(true));
    if cluster.rights.within.values().any(may) {
        Text::from(format!("{}/{}", target.cluster, target.ns))
    } else {
        Text::new(target.cluster.as_str())
    }
}
