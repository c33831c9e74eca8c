//! One look at a cluster for verdicts: Namespaces, Pods, NetworkPolicies, and what else decides, each
//! listed once. A list that may not be read is told, and where it could change a verdict, verdicts
//! become unknown. Changes nothing and follows nothing.

use serde::Deserialize;
use serde_json::Value;

use super::{
    connect::Access,
    failure::Failure,
    follow::escaped,
    listed,
    preflight::look,
    wire::{Call, Server},
};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        eval::{cluster::Cluster, plugin::Traits},
        fleet::Cni,
        names::Text,
        preflight::cni,
    },
    manifest::{
        around,
        cluster::{Complaint, Gathering},
        foreign,
    },
};

const PAGE: usize = 500;

/// What was seen.
pub struct Snapshot {
    pub cluster: Cluster,
    pub cni: Cni,
    /// Objects that could not be read.
    pub complaints: Vec<Complaint>,
    /// Lists that are missing.
    pub troubles: Vec<Trouble>,
}

/// What it is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Verdicts,
    /// Verdicts, and the checks of `domain::predict::stories`.
    Checks,
}

/// Looks once. `name` is the cluster's, for complaints. The error is a list without which nothing can be
/// said.
pub async fn look(access: &Access, name: &str, need: Need) -> Result<Snapshot, Trouble> {
    let server = access.server().await?;
    let _: Value = server.ask(Call::get("/version")).await.map_err(|failure| failure.trouble(name))?;
    let reading = look::agents(&server).await;
    let cni = cni::cni(&reading);
    let traits = Traits::of(&cni).switched(cni::switches(&reading));
    let mut looking = Looking { server, name, into: Gathering::new(traits), troubles: Vec::new() };
    looking.needed("", "Namespace", "/api/v1/namespaces").await?;
    looking.needed("", "Pod", "/api/v1/pods").await?;
    let policies = "/apis/networking.k8s.io/v1/networkpolicies";
    looking.needed("networking.k8s.io", "NetworkPolicy", policies).await?;
    looking.wanted("Node", "/api/v1/nodes").await;
    looking.wanted("Service", "/api/v1/services").await;
    looking.foreign().await;
    if need == Need::Checks {
        looking.around().await;
    }
    let (cluster, complaints) = looking.into.done();
    Ok(Snapshot { cluster, cni, complaints, troubles: looking.troubles })
}

struct Looking<'l> {
    server: Server,
    name: &'l str,
    into: Gathering,
    troubles: Vec<Trouble>,
}

impl Looking<'_> {
    async fn all(&mut self, group: &str, kind: &str, path: &str) -> Result<(), Failure> {
        let mut next = String::new();
        loop {
            let page = format!("{path}?limit={PAGE}{next}");
            let body = self.server.bytes(Call::get(page)).await?;
            let take = |item: Value| self.into.object_of(group, kind, self.name, &item);
            let (metadata, _) = listed::each(&body, take)?;
            if metadata.r#continue.is_empty() {
                return Ok(());
            }
            // Opaque, and may have what a query must not.
            next = format!("&continue={}", escaped(&metadata.r#continue));
        }
    }

    /// A list without which no verdict is sound.
    async fn needed(&mut self, group: &str, kind: &str, path: &str) -> Result<(), Trouble> {
        let object = format!("{kind}s of {}", self.name);
        self.all(group, kind, path).await.map_err(|failure| failure.trouble(&object))
    }

    /// A list that only makes more addresses known.
    async fn wanted(&mut self, kind: &str, path: &str) {
        if let Err(failure) = self.all("", kind, path).await {
            let object = format!("{kind}s of {}", self.name);
            let next =
                format!("Their addresses are taken for ones outside the cluster; allow list on {kind}s.");
            self.troubles.push(Trouble { next: Text::new(&next), ..failure.trouble(&object) });
        }
    }

    /// What no verdict rests on, but checks of what is easily forgotten do.
    async fn around(&mut self) {
        const API: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        let next = "Checks that rest on it are unknown; allow list on it.";
        let mut failed = self.all("discovery.k8s.io", "EndpointSlice", API).await.err();
        if let Some(failure) = failed.take() {
            let object = format!("EndpointSlices of default in {}", self.name);
            self.troubles.push(Trouble { next: Text::new(next), ..failure.trouble(&object) });
        }
        for (group, kind, plural) in around::HOOKS {
            if let Err(failure) = self.all(group, kind, &format!("/apis/{group}/v1/{plural}")).await {
                let object = format!("{kind}s of {}", self.name);
                self.troubles.push(Trouble { next: Text::new(next), ..failure.trouble(&object) });
                failed = Some(failure);
            }
        }
        match failed {
            None => self.into.hooked(),
            Some(_) => self.into.unhooked(),
        }
    }

    /// Policies of kinds that are not evaluated, where the cluster serves them.
    async fn foreign(&mut self) {
        let mut groups: Vec<&str> = foreign::KINDS.iter().map(|(group, ..)| *group).collect();
        groups.dedup();
        for group in groups {
            if let Err((kind, failure)) = self.foreign_group(group).await {
                let object = format!("{kind} of {}", self.name);
                let next = "Verdicts that it could change are unknown; allow list on it.";
                self.troubles.push(Trouble { next: Text::new(next), ..failure.trouble(&object) });
                self.into.unread(group, kind);
            }
        }
    }

    async fn foreign_group(&mut self, group: &'static str) -> Result<(), (&'static str, Failure)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Group {
            versions: Vec<Served>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Served {
            group_version: String,
        }
        #[derive(Deserialize)]
        struct Resources {
            resources: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            name: String,
        }
        let served: Group = match self.server.ask(Call::get(format!("/apis/{group}"))).await {
            Ok(served) => served,
            Err(failure) if failure.code() == Some(404) => return Ok(()),
            Err(failure) => return Err((group, failure)),
        };
        let mut left: Vec<_> = foreign::KINDS.iter().filter(|(its, ..)| *its == group).collect();
        for version in served.versions {
            let path = format!("/apis/{}", version.group_version);
            let resources: Resources =
                self.server.ask(Call::get(path.clone())).await.map_err(|failure| (group, failure))?;
            let is_served = |plural: &str| resources.resources.iter().any(|one| one.name == plural);
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, plural, _)| is_served(plural));
            left = later;
            for (_, plural, kind) in now {
                self.all(group, kind, &format!("{path}/{plural}"))
                    .await
                    .map_err(|failure| (*kind, failure))?;
            }
        }
        Ok(())
    }
}
