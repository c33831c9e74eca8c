//! Who the API server says we are, and what it says we may do: SelfSubjectReview, and
//! SelfSubjectAccessReview over all namespaces or, where that is a no, in single ones. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::domain::{
    fleet::{Identity, Rights, Within},
    names::{NsName, Text},
};

use super::{
    failure::Failure,
    wire::{Call, Server},
};

/// Who we are. `None` where the server is too old to say.
pub async fn who(server: &Server) -> Result<Option<Identity>, Failure> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let call = Call::post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body.to_string().into());
    match server.ask::<Review>(call).await {
        Ok(review) => Ok(Some(Identity {
            user: Text::new(&review.status.user_info.username),
            groups: review.status.user_info.groups.iter().flatten().map(|group| Text::new(group)).collect(),
        })),
        Err(failure) if failure.code() == Some(404) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Where Hubble Relay runs unless its owner moved it (facts: cilium's chart).
const RELAY_NAMESPACE: &str = "kube-system";

const POLICIES: (&str, &str, &str) = ("networking.k8s.io", "networkpolicies", "");

/// Namespaces that are asked at a time.
const AT_ONCE: usize = 8;

/// What we may do: with policies, and by port-forward where the relay runs. What may not be done in all
/// namespaces is asked for in each of these. A review that fails leaves its right unknown; the first
/// failure is told beside.
pub async fn rights(server: &Server, namespaces: &BTreeSet<NsName>) -> (Rights, Option<Failure>) {
    const FORWARD: (&str, &str, &str) = ("", "pods", "portforward");
    let answers = futures::future::join_all([
        may(server, "list", POLICIES),
        may(server, "create", POLICIES),
        may(server, "patch", POLICIES),
        may(server, "delete", POLICIES),
        may(server, "create", FORWARD),
        // A port-forward over WebSocket is a GET, and newer servers ask for both.
        may(server, "get", FORWARD),
    ])
    .await;
    let known: Vec<Option<bool>> = answers.iter().map(|answer| answer.as_ref().ok().copied()).collect();
    let mut failure = answers.into_iter().find_map(Result::err);
    let portforward = match (known[4], known[5]) {
        (Some(create), Some(get)) => Some(create && get),
        (Some(false), None) | (None, Some(false)) => Some(false),
        (Some(true), None) | (None, Some(true)) | (None, None) => None,
    };
    let (read, create, patch, delete) = (known[0], known[1], known[2], known[3]);
    let mut rights = Rights { read, create, patch, delete, portforward, within: BTreeMap::new() };
    let everywhere = rights.everywhere();
    if [create, patch, delete].contains(&Some(false)) {
        let each = namespaces.iter().cloned();
        let each = each.map(|ns| within(server, ns, everywhere));
        let each: Vec<_> = futures::stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        for (ns, here, failed) in each {
            rights.within.insert(ns, here);
            failure = failure.or(failed);
        }
    }
    (rights, failure)
}

/// What we may do in one namespace, of what we may not do in all of them.
async fn within(server: &Server, ns: NsName, all: Within) -> (NsName, Within, Option<Failure>) {
    let ask = async |all: Option<bool>, verb: &str| match all {
        Some(false) => may_in(server, ns.as_str(), verb, POLICIES).await.map(Some),
        known => Ok(known),
    };
    let (create, patch, delete) =
        tokio::join!(ask(all.create, "create"), ask(all.patch, "patch"), ask(all.delete, "delete"));
    let known = |answer: &Result<Option<bool>, Failure>| answer.as_ref().ok().copied().flatten();
    let here = Within { create: known(&create), patch: known(&patch), delete: known(&delete) };
    (ns, here, [create, patch, delete].into_iter().find_map(Result::err))
}

async fn may(server: &Server, verb: &str, what: (&str, &str, &str)) -> Result<bool, Failure> {
    let ns = if what.2 == "portforward" { RELAY_NAMESPACE } else { "" };
    may_in(server, ns, verb, what).await
}

/// May we do this, in this namespace or, where it is empty, in all? What is meant is an API group, a
/// resource and a subresource or nothing.
pub async fn may_in(
    server: &Server,
    ns: &str,
    verb: &str,
    (group, resource, subresource): (&str, &str, &str),
) -> Result<bool, Failure> {
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "namespace": ns,
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        }},
    });
    let call = Call::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body.to_string().into());
    Ok(server.ask::<Review>(call).await?.status.allowed)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    allowed: bool,
    user_info: UserInfo,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo {
    username: String,
    groups: Option<Vec<String>>,
}
