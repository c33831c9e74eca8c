//! What an API server serves beside the kinds that all have: Cilium's policies, and Calico's staged ones.
//! One that cannot be asked is not one that serves none of them.

use serde::Deserialize;

use crate::domain::{
    fleet::Part,
    policy::PolicyKind,
    shadow::{API_VERSION, KIND},
};

use super::{
    failure::Failure,
    wire::{Call, Server},
};

/// What is served; an error: that could not be asked.
pub struct Served {
    /// Kinds of policy beside NetworkPolicy.
    pub kinds: Result<Vec<PolicyKind>, Failure>,
    /// Policies that are only staged.
    pub stages: Result<bool, Failure>,
}

impl Served {
    pub async fn by(server: &Server) -> Self {
        let (kinds, calico) = tokio::join!(of_cilium(server), kinds(server, API_VERSION));
        Self { kinds, stages: calico.map(|kinds| kinds.iter().any(|one| one == KIND)) }
    }

    /// Each part that could not be asked for, with what people call it.
    pub fn unasked(&self) -> impl Iterator<Item = (Part, &'static str, &Failure)> {
        let kinds = self.kinds.as_ref().err();
        let kinds = kinds.map(|why| {
            (Part::Policies(PolicyKind::CiliumNetworkPolicy), "kinds of Cilium network policies", why)
        });
        let stages = self.stages.as_ref().err().map(|why| (Part::Staged, "kinds of staged policies", why));
        kinds.into_iter().chain(stages)
    }

    /// Is this told otherwise now? What cannot be asked now is told as before.
    pub fn differs(&self, now: &Self) -> bool {
        let kinds = now.kinds.as_ref().is_ok_and(|kinds| self.kinds.as_ref() != Ok(kinds));
        let stages = now.stages.as_ref().is_ok_and(|stages| self.stages.as_ref() != Ok(stages));
        kinds || stages
    }
}

/// Cilium's kinds of policy that are served. Open to all who are signed in, so that it tells what is not
/// there from what may not be read: a right is asked for before whether there is such a kind.
pub async fn of_cilium(server: &Server) -> Result<Vec<PolicyKind>, Failure> {
    const CILIUM: [PolicyKind; 2] =
        [PolicyKind::CiliumNetworkPolicy, PolicyKind::CiliumClusterwideNetworkPolicy];
    let served = kinds(server, "cilium.io/v2").await?;
    Ok(CILIUM.into_iter().filter(|kind| served.iter().any(|one| one == kind.as_str())).collect())
}

/// Kinds of one version of a group; none where there is no such group.
async fn kinds(server: &Server, version: &str) -> Result<Vec<String>, Failure> {
    #[derive(Deserialize)]
    struct Resources {
        resources: Vec<Resource>,
    }
    #[derive(Deserialize)]
    struct Resource {
        #[serde(default)]
        kind: String,
    }
    match server.ask::<Resources>(Call::get(format!("/apis/{version}"))).await {
        Ok(served) => Ok(served.resources.into_iter().map(|resource| resource.kind).collect()),
        Err(failure) if failure.code() == Some(404) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}
