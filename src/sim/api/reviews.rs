//! The reviews a client asks about itself and others: nothing is stored, the answer is computed.

use serde_json::{Value, json};

use crate::sim::api::access::Caller;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::resources::Resource;
use crate::sim::api::status::Status;
use crate::sim::api::write::Write;
use crate::sim::rules::apply::UpdateOptions;
use crate::sim::rules::reviews;

/// Whether a resource is answered here.
pub fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
}

/// The answer to a review.
pub fn answer(cluster: &Cluster, caller: &Caller, write: &Write<'_>) -> Result<Value, Status> {
    let (review, options, kind) = write.read_review()?;
    let now = cluster.clock().stamp();
    match kind.kind.as_str() {
        "SelfSubjectReview" => Ok(reviews::who_am_i(&caller.user, &now)),
        "SelfSubjectRulesReview" => reviews::what_may_i(&review, &caller.user, &caller.rights),
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let manager = write.manager(&options);
            let update = UpdateOptions { manager, subresource: "", now: &now };
            reviews::may(review, &kind, &caller.user, &caller.rights, &update)
        }
        _ => {
            // Tokens are not reviewed here: no user of the simulation asks for that.
            let details = json!({});
            let message = "the server could not find the requested resource";
            Err(Status::new(404, "NotFound", message).with_details(details))
        }
    }
}
