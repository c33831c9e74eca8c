//! The reviews a client asks about itself and others: nothing is stored, the answer is computed.

use crate::sim::api::access::User;
use crate::sim::api::call::Call;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::dispatch::no_route;
use crate::sim::api::reply::Reply;
use crate::sim::api::resources::Resource;
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;

/// Whether a resource is answered here.
pub fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a review.
pub fn answer(_cluster: &Cluster, _call: &Call, _user: &User, _target: &Target) -> Result<Reply, Status> {
    Err(no_route())
}
