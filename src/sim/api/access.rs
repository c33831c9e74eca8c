//! Who asks and whether they may: sign-in, impersonation and rights, with the roles and bindings
//! that stand in the cluster's own store.

use crate::sim::api::call::Call;
use crate::sim::api::cluster::{Cluster, Peer};
use crate::sim::api::faults::Faults;
use crate::sim::api::route::{Route, Target};
use crate::sim::api::status::Status;

/// Stands in until the rules of sign-in are merged.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

/// The user behind a request, after impersonation.
pub fn sign_in(cluster: &Cluster, peer: &Peer, call: &Call, faults: &Faults) -> Result<User, Status> {
    let unauthorized = || Status::new(401, "Unauthorized", "Unauthorized");
    if let Some(name) = &peer.certificate {
        if faults.expired_certificates {
            return Err(unauthorized());
        }
        return Ok(User { name: name.user.clone(), groups: name.groups.clone() });
    }
    match call.header("authorization").and_then(|h| h.strip_prefix("Bearer ")) {
        Some(token) => {
            let known = cluster.accounts().iter().find(|a| a.token == token);
            known.map(|a| User { name: a.name.clone(), groups: a.groups.clone() }).ok_or_else(unauthorized)
        }
        None => Ok(User { name: "system:anonymous".to_owned(), groups: Vec::new() }),
    }
}

/// Whether a user may do what a route asks.
pub fn authorize(_cluster: &Cluster, _user: &User, _route: &Route, _faults: &Faults) -> Result<(), Status> {
    Ok(())
}

/// Whether a user may create what an apply would.
pub fn may_create(_cluster: &Cluster, _user: &User, _target: &Target) -> Result<(), Status> {
    Ok(())
}
