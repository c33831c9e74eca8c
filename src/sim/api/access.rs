//! Who asks and whether they may: sign-in, impersonation and rights, with the roles and bindings
//! that stand in the cluster's own store, and what a scenario takes away.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::sim::api::call::Call;
use crate::sim::api::cluster::{CertName, Cluster, Peer};
use crate::sim::api::faults::{Denial, Faults};
use crate::sim::api::route::{Route, Target};
use crate::sim::api::status::Status;
use crate::sim::rules::auth::{self, Certificate};
use crate::sim::rules::rbac::{self, Attributes, Rights, User};

/// The user behind a request, after impersonation, and what they may do.
pub struct Caller {
    pub user: User,
    pub rights: Arc<Rights>,
    denials: Vec<Denial>,
    cluster: Cluster,
}

/// What somebody once asked for, and whether it was allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub user: String,
    pub verb: String,
    pub group: String,
    /// With its subresource, if there is one: `pods/portforward`.
    pub resource: String,
    pub name: String,
    pub allowed: bool,
}

impl Caller {
    /// Signs the request in.
    pub fn of(cluster: &Cluster, peer: &Peer, call: &Call, faults: &Faults) -> Result<Self, Status> {
        if peer.certificate.is_some() && faults.expired_certificates {
            return Err(Status::new(401, "Unauthorized", "Unauthorized"));
        }
        let certificate = peer.certificate.as_ref().map(certificate);
        let by_token = |token: &str| user_of(cluster, token);
        let user = auth::authenticate(call.header("authorization"), certificate.as_ref(), by_token)?;
        let rights = cluster.rights();
        let headers =
            call.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let user = auth::impersonate(user, headers, &attributes(&call.route), &rights).map_err(unsniffed)?;
        Ok(Self { user, rights, denials: faults.denials.clone(), cluster: cluster.clone() })
    }

    /// Whether they may do what a route asks; refused before anything else is looked at.
    pub fn check(&self, route: &Route) -> Result<(), Status> {
        self.check_attributes(&attributes(route)).map_err(unsniffed)
    }

    /// Whether they may create what an apply of `target` would.
    pub fn check_create(&self, target: &Target) -> Result<(), Status> {
        self.check_attributes(&of_target(target, "create"))
    }

    /// The newer servers want both rights for a WebSocket into a pod, and say no without a word.
    pub fn check_stream(&self, target: &Target) -> Result<(), Status> {
        self.check_attributes(&of_target(target, "create"))
            .map_err(|_| rbac::refusal(&target.group, &target.resource, &target.name, ""))
    }

    fn check_attributes(&self, what: &Attributes) -> Result<(), Status> {
        let allowed = rbac::authorize(&self.user, what, &self.rights).is_allowed();
        let taken = self.denials.iter().any(|denial| denial.hits(&self.user.name, what));
        let allowed = allowed && !taken;
        self.note(what, allowed);
        if allowed { Ok(()) } else { Err(rbac::forbidden(&self.user, what)) }
    }

    fn note(&self, what: &Attributes, allowed: bool) {
        let is_by_name = what.resource == "configmaps";
        self.cluster.note_asked(Asked {
            user: self.user.name.clone(),
            verb: what.verb.clone(),
            group: what.group.clone(),
            resource: full_resource(what),
            name: if is_by_name { what.name.clone() } else { String::new() },
            allowed,
        });
    }
}

impl Denial {
    fn hits(&self, user: &str, what: &Attributes) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        what.path.is_empty()
            && fits(&self.user, user)
            && fits(&self.verb, &what.verb)
            && fits(&self.resource, &full_resource(what))
            && fits(&self.namespace, &what.namespace)
    }
}

/// `pods`, `pods/log`, as roles name it.
fn full_resource(what: &Attributes) -> String {
    match what.subresource.as_str() {
        "" => what.resource.clone(),
        name => format!("{}/{name}", what.resource),
    }
}

fn unsniffed(status: Status) -> Status {
    status.with_header("x-content-type-options", "nosniff")
}

/// A certificate's hash is told to its user; here it is one of the name.
fn certificate(name: &CertName) -> Certificate {
    let digest = Sha256::digest(format!("{}/{}", name.user, name.groups.join(",")).as_bytes());
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Certificate { name: name.user.clone(), groups: name.groups.clone(), hash }
}

fn user_of(cluster: &Cluster, token: &str) -> Option<User> {
    let account = cluster.accounts().iter().find(|a| !a.token.is_empty() && a.token == token)?;
    Some(User {
        name: account.name.clone(),
        uid: account.uid.clone(),
        groups: account.groups.clone(),
        ..User::default()
    })
}

fn attributes(route: &Route) -> Attributes {
    match route {
        Route::Path { path, verb } => {
            Attributes { verb: verb.clone(), path: path.clone(), ..Attributes::default() }
        }
        Route::Resource(target) => of_target(target, &target.verb),
    }
}

fn of_target(target: &Target, verb: &str) -> Attributes {
    Attributes {
        verb: verb.to_owned(),
        group: target.group.clone(),
        resource: target.resource.clone(),
        subresource: target.subresource.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        path: String::new(),
    }
}
