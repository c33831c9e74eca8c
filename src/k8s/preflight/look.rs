//! A pre-flight's reading from a live API server: every list in parallel, each with its own deadline.
//! One that is refused or late is one unknown with its reason; the rest goes on. Only reads.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, join_all, join3, join4};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::Text,
        preflight::{
            around,
            reading::{
                CUSTOM, ConfigMaps, CustomKind, Hook, Known, Object, Reading, Record, Right, Said, Workload,
            },
            rights::{self, ASKED, PROBES, right_ns},
        },
    },
};

use super::{
    super::{
        connect::Access,
        failure::Failure,
        follow::escaped,
        identity, listed,
        wire::{Call, METADATA_LIST, Server},
    },
    objects,
};

/// Looks at a cluster; an error only where no API server answers at all.
pub async fn preflight(access: &Access, said: Said) -> Result<Reading, Trouble> {
    let server = access.server().await?;
    match server.ask::<Version>(Call::get("/version")).await {
        Err(failure) if failure.code().is_none() => Err(failure.trouble("API server")),
        Ok(_) | Err(_) => Ok(look(&server, said).await),
    }
}

/// Who enforces and how lookups travel, and nothing else: asked for every few minutes.
pub async fn agents(server: &Server) -> Reading {
    let (version, daemonsets) =
        join(get::<Version>(server, "/version"), workloads(server, &["daemonsets"])).await;
    let mut reading = Reading {
        version: version.map(|version| version.git_version),
        daemonsets,
        ..Reading::unknown(&Text::new("not asked for"))
    };
    // k3s tells of its own controller on the nodes.
    let is_k3s = matches!(&reading.version, Known::Read(version) if version.contains("+k3s"));
    let nodes = async {
        if !is_k3s {
            return None;
        }
        Some(marks(server, "/api/v1/nodes", objects::node).await)
    };
    let wanted = wanted(&reading).into_iter().filter(|(_, name)| name == CILIUM).collect();
    let (nodes, maps) = join(nodes, config_maps(server, wanted)).await;
    if let Some(nodes) = nodes {
        reading.nodes = nodes;
    }
    reading.config_maps = maps;
    reading
}

/// The same, with Services and nodes: what authoring rests on.
pub async fn surroundings(server: &Server) -> Reading {
    let lists = join3(
        agents(server),
        items(server, "/api/v1/services", objects::service),
        items(server, "/api/v1/nodes", objects::node),
    );
    let (reading, services, nodes) = lists.await;
    Reading { services, nodes, ..reading }
}

const CILIUM: &str = "cilium-config";

/// Reads what the checks need, and no more. Rights of probes only where sluice.yaml has them on.
pub async fn look(server: &Server, said: Said) -> Reading {
    let lists = join3(
        join3(
            get::<Version>(server, "/version"),
            get::<Groups>(server, "/apis"),
            rights(server, said.probes.is_some()),
        ),
        join3(
            workloads(server, &["daemonsets"]),
            workloads(server, &["deployments", "statefulsets"]),
            hooks(server),
        ),
        join4(
            items(server, "/api/v1/services", objects::service),
            items(server, "/api/v1/nodes", objects::node),
            items(server, "/api/v1/namespaces", |one| objects::marks("Namespace", one)),
            marks(server, "/api/v1/serviceaccounts", |one| objects::marks("ServiceAccount", one)),
        ),
    );
    let (
        (version, groups, rights),
        (daemonsets, workloads, (hooks, unread_hooks)),
        (services, nodes, namespaces, accounts),
    ) = lists.await;
    let mut reading = Reading {
        version: version.map(|version| version.git_version),
        groups: groups.as_ref().map(|groups| groups.groups.iter().map(|one| one.name.clone()).collect()),
        daemonsets,
        workloads,
        config_maps: ConfigMaps::default(),
        services,
        nodes,
        namespaces,
        accounts,
        hooks,
        unread_hooks,
        custom: BTreeMap::new(),
        rights: Known::Read(rights),
        said,
        measured: None,
    };
    let served = match &groups {
        Known::Read(groups) => groups.groups.as_slice(),
        Known::Unknown(_) => &[],
    };
    let wanted = wanted(&reading);
    let (custom, maps, rights) =
        join3(custom(server, served), config_maps(server, wanted), rights_of_probes(server, &reading)).await;
    reading.custom = custom;
    reading.config_maps = maps;
    reading.rights = reading.rights.map(|known| known.into_iter().chain(rights).collect());
    reading
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

async fn get<T: serde::de::DeserializeOwned>(server: &Server, path: &str) -> Known<T> {
    answered(server.ask::<T>(Call::get(path)).await)
}

fn answered<T>(answer: Result<T, Failure>) -> Known<T> {
    match answer {
        Ok(answer) => Known::Read(answer),
        Err(failure) => Known::Unknown(said(&failure)),
    }
}

/// What is kept of each object of a list.
async fn items<T>(server: &Server, path: &str, keep: impl Fn(&Value) -> T) -> Known<Vec<T>> {
    answered(listed(server, Call::get(path), keep).await)
}

/// The same of the metadata of a list.
async fn marks<T>(server: &Server, path: &str, keep: impl Fn(&Value) -> T) -> Known<Vec<T>> {
    let call = Call { accept: METADATA_LIST, ..Call::get(path) };
    answered(listed(server, call, keep).await)
}

async fn listed<T>(server: &Server, call: Call, keep: impl Fn(&Value) -> T) -> Result<Vec<T>, Failure> {
    let body = server.bytes(call).await?;
    listed::each(&body, |one: Value| keep(&one)).map(|(_, items)| items)
}

/// In few words: the whole answer of the server may name many things.
fn said(failure: &Failure) -> Text {
    match failure {
        Failure::Refused(refused) => match refused.code {
            403 => Text::new("forbidden (HTTP 403)"),
            404 => Text::new("not served (HTTP 404)"),
            code => Text::from(format!("refused (HTTP {code})")),
        },
        Failure::Unreached { fact, .. } | Failure::Silent { fact, .. } | Failure::Foreign(fact) => {
            fact.clone()
        }
    }
}

async fn workloads(server: &Server, plurals: &[&str]) -> Known<Vec<Workload>> {
    let lists = plurals.iter().map(|plural| async move {
        let kind = match *plural {
            "daemonsets" => "DaemonSet",
            "deployments" => "Deployment",
            _ => "StatefulSet",
        };
        items(server, &format!("/apis/apps/v1/{plural}"), |one| objects::workload(kind, one)).await
    });
    joined(join_all(lists).await)
}

/// All of them, or the first reason why not.
fn joined<T>(lists: Vec<Known<Vec<T>>>) -> Known<Vec<T>> {
    let mut all = Vec::new();
    for list in lists {
        match list {
            Known::Read(items) => all.extend(items),
            Known::Unknown(why) => return Known::Unknown(why),
        }
    }
    Known::Read(all)
}

/// Objects of a page: definitions have up to a mebibyte each.
const PAGE: usize = 50;
/// Pages read of one list.
const PAGES: usize = 200;

/// The same as [`items`], page by page, each with its own deadline and bound.
async fn paged<T>(server: &Server, path: &str, keep: impl Fn(&Value) -> T) -> Known<Vec<T>> {
    let (mut all, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let body = match server.bytes(Call::get(format!("{path}?limit={PAGE}{next}"))).await {
            Ok(body) => body,
            Err(failure) => return Known::Unknown(said(&failure)),
        };
        let (metadata, items) = match listed::each(&body, |one: Value| keep(&one)) {
            Ok(page) => page,
            Err(failure) => return Known::Unknown(said(&failure)),
        };
        all.extend(items);
        if metadata.r#continue.is_empty() {
            return Known::Read(all);
        }
        next = format!("&continue={}", escaped(&metadata.r#continue));
    }
    Known::Unknown(Text::from(format!("more than {} of them", PAGE * PAGES)))
}

/// What the API server calls, and why some of it could not be read. Unknown only where none could.
async fn hooks(server: &Server) -> (Known<Vec<Hook>>, Option<Text>) {
    const KINDS: [(&str, &str); 4] = [
        (
            "ValidatingWebhookConfiguration",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        ),
        (
            "MutatingWebhookConfiguration",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        ),
        ("APIService", "/apis/apiregistration.k8s.io/v1/apiservices"),
        ("CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
    ];
    let lists = KINDS.iter().map(|(kind, path)| async move {
        match paged(server, path, |one| objects::hooks(kind, one)).await {
            Known::Read(all) => Ok(all.into_iter().flatten()),
            Known::Unknown(why) => Err(Text::from(format!("{kind}: {why}"))),
        }
    });
    let (mut read, mut unread) = (None, None);
    for list in join_all(lists).await {
        match list {
            Ok(all) => read.get_or_insert_with(Vec::new).extend(all),
            Err(why) => unread = unread.or(Some(why)),
        }
    }
    match (read, unread) {
        (Some(all), unread) => (Known::Read(all), unread),
        (None, why) => (Known::Unknown(why.unwrap_or_default()), None),
    }
}

async fn rights(server: &Server, probes: bool) -> Vec<Right> {
    let of_probes = PROBES.iter().filter(|_| probes);
    join_all(ASKED.iter().chain(of_probes).map(|(verb, what)| right(server, (verb, what), ""))).await
}

async fn right(server: &Server, (verb, what): (&'static str, &'static str), ns: &str) -> Right {
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let place = if ns.is_empty() { right_ns(what) } else { ns };
    let allowed = identity::may_in(server, place, verb, (group, resource, sub)).await.ok();
    Right { verb, what, ns: Text::new(ns), allowed }
}

/// Namespaces asked one by one; of the others nothing is known.
const SINGLE: usize = 100;

/// Where probes may not run everywhere: may they in each namespace of the rollout? Their role has all
/// three verbs, so one stands for it.
async fn rights_of_probes(server: &Server, reading: &Reading) -> Vec<Right> {
    let (Some(probing), Known::Read(rights)) = (&reading.said.probes, &reading.rights) else {
        return Vec::new();
    };
    if !rights::asks_namespaces(rights) {
        return Vec::new();
    }
    let create = ("create", "pods");
    let unasked = |ns: Text| Right { verb: create.0, what: create.1, ns, allowed: None };
    let Known::Read(namespaces) = &reading.namespaces else {
        return vec![unasked(Text::new("namespaces, which cannot be listed"))];
    };
    let names = namespaces.iter().map(|one| one.object.name.as_str());
    let names: Vec<&str> = names.filter(|ns| !around::is_system(ns) && probing.reaches(ns)).collect();
    let mut all = join_all(names.iter().take(SINGLE).map(|ns| right(server, create, ns))).await;
    if names.len() > SINGLE {
        all.push(unasked(Text::from(format!("{} more namespaces", names.len() - SINGLE))));
    }
    all
}

async fn custom(server: &Server, served: &[Group]) -> BTreeMap<&'static str, Known<Vec<Record>>> {
    // Calico serves its kinds under one of two groups.
    let group_of = |kind: &CustomKind| {
        let own = |name: &str| served.iter().find(|group| group.name == name);
        own(kind.group)
            .or_else(|| (kind.group == "crd.projectcalico.org").then(|| own("projectcalico.org"))?)
    };
    let lists =
        CUSTOM.iter().filter_map(|kind| Some((kind, group_of(kind)?))).map(|(kind, group)| async move {
            let wanted = group.versions.iter().find(|one| one.version == kind.version);
            let version = wanted.or(group.versions.first()).map_or(kind.version, |one| one.version.as_str());
            let plural = kind.id.split('.').next().unwrap_or(kind.id);
            let path = format!("/apis/{}/{version}/{plural}", group.name);
            match listed(server, Call::get(path), |one| objects::record(kind.kind, one)).await {
                Ok(all) => Some((kind.id, Known::Read(all))),
                // The group is there without this kind of it.
                Err(failure) if failure.code() == Some(404) => None,
                Err(failure) => Some((kind.id, Known::Unknown(said(&failure)))),
            }
        });
    join_all(lists).await.into_iter().flatten().collect()
}

/// ConfigMaps asked for at the most.
const MAPS: usize = 40;

/// ConfigMaps that some check reads: those that agents and resolvers mount, and Cilium's own.
fn wanted(reading: &Reading) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    for set in reading.daemonsets.list() {
        let ns = set.object.ns.to_string();
        let is_agent = |name: &str| set.container(name).is_some();
        if is_agent("cilium-agent") || set.containers.iter().any(|one| one.path().ends_with("cilium/cilium"))
        {
            out.insert((ns.clone(), CILIUM.to_owned()));
        }
        if is_agent("antrea-agent") {
            out.extend(set.config_maps.iter().map(|name| (ns.clone(), name.clone())));
        }
    }
    for one in reading.workloads.list() {
        let is_dns = one.containers.iter().any(|container| {
            container.name == "coredns"
                || container.path().rsplit('/').next().is_some_and(|tail| tail.contains("coredns"))
        });
        if is_dns {
            let ns = one.object.ns.to_string();
            out.extend(one.config_maps.iter().map(|name| (ns.clone(), name.clone())));
            if one.config_maps.is_empty() {
                out.insert((ns, one.object.name.to_string()));
            }
        }
    }
    out.into_iter().take(MAPS).collect()
}

async fn config_maps(server: &Server, wanted: BTreeSet<(String, String)>) -> ConfigMaps {
    let asked = wanted.iter().map(|(ns, name)| async move {
        let path = format!("/api/v1/namespaces/{ns}/configmaps/{name}");
        match server.ask::<Value>(Call::get(path)).await {
            Ok(value) => Ok(Some(objects::config_map(&value))),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) => Err((Object::new("ConfigMap", ns, name), said(&failure))),
        }
    });
    let mut maps = ConfigMaps::default();
    for answer in join_all(asked).await {
        match answer {
            Ok(found) => maps.read.extend(found),
            Err(refused) => maps.refused.push(refused),
        }
    }
    maps
}

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;

    /// Definitions in two pages, no APIServices for us, and nothing else.
    fn server() -> Server {
        let service = tower::service_fn(|request: http::Request<Body>| {
            let crd = |name: &str| {
                format!(
                    r#"{{"metadata":{{"name":"{name}"}},"spec":{{"conversion":{{"webhook":{{"clientConfig":
                       {{"service":{{"namespace":"{name}","name":"hook"}}}}}}}}}}}}"#
                )
            };
            let list = |next: &str, item: &str| {
                (200, format!(r#"{{"metadata":{{"continue":"{next}"}},"items":[{item}]}}"#))
            };
            let path = request.uri().path_and_query().map_or("", |path| path.as_str());
            let path = path.rsplit('/').next().unwrap_or_default();
            let (code, body) = match path {
                "customresourcedefinitions?limit=50" => list("a+b", &crd("one")),
                "customresourcedefinitions?limit=50&continue=a%2Bb" => list("", &crd("two")),
                "apiservices?limit=50" => (403, r#"{"message":"no"}"#.to_owned()),
                _ => list("", ""),
            };
            let answer = http::Response::builder().status(code).body(Body::from(body.into_bytes()));
            std::future::ready(answer)
        });
        Server::new(kube::Client::new(service, "default"))
    }

    #[tokio::test]
    async fn definitions_come_in_pages_and_a_refused_list_costs_only_itself() {
        let (hooks, unread) = hooks(&server()).await;
        let Known::Read(hooks) = hooks else { panic!("read") };
        let namespaces: Vec<_> = hooks.iter().map(|hook| hook.ns.as_str()).collect();
        assert_eq!(namespaces, ["one", "two"]);
        assert_eq!(unread.as_ref().map(Text::as_str), Some("APIService: forbidden (HTTP 403)"));
    }
}
