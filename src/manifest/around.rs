//! What stands around pods, out of the same objects: which Service serves lookups, where the API server
//! is and what it calls, and what a pod's own spec says of meshes, lookups and tokens. Pure and total:
//! what is missing or of another shape says nothing.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

use super::cluster::{name_of, ns_of};
use crate::domain::{
    eval::around::{Hook, Marks, Mesh},
    names::{NsName, Text},
};

/// Kinds by which the API server is told whom to call.
pub const HOOKS: [(&str, &str, &str); 3] = [
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("apiregistration.k8s.io", "APIService", "apiservices"),
];

pub(super) fn is_hook(group: &str, kind: &str) -> bool {
    HOOKS.iter().any(|(its, name, _)| (*its, *name) == (group, kind))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The callbacks of one object into the cluster; those to a URL lead outside.
pub fn hooks(kind: &str, value: &Value) -> Vec<Hook> {
    let object = Text::from(format!("{kind} {}", Text::new(name_of(value))));
    let hook = |name: &str, service: &Value, policy: &str| {
        Some(Hook {
            object: object.clone(),
            name: Text::new(name),
            ns: NsName::parse(service["namespace"].as_str()?).ok()?,
            service: Text::new(service["name"].as_str()?),
            port: service["port"].as_u64().map_or(Some(443), |port| u16::try_from(port).ok())?,
            ignores_failure: policy == "Ignore",
        })
    };
    if kind == "APIService" {
        return hook("aggregated API", &value["spec"]["service"], "Fail").into_iter().collect();
    }
    let one = |webhook: &Value| {
        let policy = webhook["failurePolicy"].as_str().unwrap_or("Fail");
        hook(webhook["name"].as_str().unwrap_or_default(), &webhook["clientConfig"]["service"], policy)
    };
    list(&value["webhooks"]).filter_map(one).collect()
}

/// How surely a Service serves the cluster's lookups, by UDP and TCP on 53: kube-dns' own label says
/// so best. `None`: it does not.
pub(super) fn serves_lookups(value: &Value) -> Option<u8> {
    let ns = ns_of(value);
    let serves = |protocol: &str| {
        list(&value["spec"]["ports"])
            .any(|port| port["port"] == 53 && port["protocol"].as_str().unwrap_or("TCP") == protocol)
    };
    if !serves("UDP") || !serves("TCP") {
        return None;
    }
    let is_marked = value["metadata"]["labels"]["k8s-app"] == "kube-dns";
    match ns {
        "kube-system" if is_marked => Some(0),
        "kube-system" => Some(1),
        "openshift-dns" => Some(2),
        _ => None,
    }
}

/// Endpoints of the API server, of the slices of `default/kubernetes`.
pub(super) fn api(value: &Value) -> Vec<(IpAddr, u16)> {
    let is_api = ns_of(value) == "default"
        && value["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes";
    if !is_api {
        return Vec::new();
    }
    let ports: Vec<u16> =
        list(&value["ports"]).filter_map(|port| u16::try_from(port["port"].as_u64()?).ok()).collect();
    let addresses = list(&value["endpoints"]).flat_map(|endpoint| list(&endpoint["addresses"]));
    let addresses = addresses.filter_map(|raw| raw.as_str()?.parse::<IpAddr>().ok());
    addresses.flat_map(|address| ports.iter().map(move |port| (address.to_canonical(), *port))).collect()
}

/// `gce` of `gce://project/zone/name`.
pub(super) fn cloud(node: &Value) -> Option<Text> {
    node["spec"]["providerID"].as_str()?.split_once("://").map(|(scheme, _)| Text::new(scheme))
}

/// The mesh whose sidecars a namespace asks for.
pub(super) fn injected(namespace: &Value) -> Option<Mesh> {
    let meta = &namespace["metadata"];
    let label = |key: &str| meta["labels"][key].as_str();
    let is_istio = label("istio-injection") == Some("enabled") || label("istio.io/rev").is_some();
    if is_istio {
        return Some(Mesh::Istio);
    }
    let inject = meta["annotations"]["linkerd.io/inject"].as_str();
    matches!(inject, Some("enabled" | "ingress")).then_some(Mesh::Linkerd)
}

/// What a pod's spec says.
pub(super) fn marks(spec: Option<&Value>) -> Marks {
    let Some(spec) = spec else { return Marks::default() };
    let containers = || list(&spec["containers"]).chain(list(&spec["initContainers"]));
    let has = |name: &str| containers().any(|container| container["name"] == name);
    let envs = || containers().flat_map(|container| list(&container["env"]));
    let token = |env: &Value| match env["name"].as_str() {
        Some("AWS_CONTAINER_CREDENTIALS_FULL_URI") => place(env["value"].as_str()?),
        _ => None,
    };
    let caches = list(&spec["containers"]).filter(|container| container["name"] == "node-cache");
    Marks {
        mesh: [Mesh::Istio, Mesh::Linkerd].into_iter().find(|mesh| has(mesh.sidecar())),
        own_dns: matches!(spec["dnsPolicy"].as_str(), Some("Default" | "None")),
        tokens: envs().filter_map(token).collect(),
        listens: caches.flat_map(local).collect(),
    }
}

/// `169.254.170.23` and 80 of `http://169.254.170.23/v1/credentials`.
fn place(url: &str) -> Option<(IpAddr, u16)> {
    let rest = url.strip_prefix("http://")?;
    let host = rest.split(['/', '?']).next()?;
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some((address, 80));
    }
    let at: std::net::SocketAddr = host.parse().ok()?;
    Some((at.ip(), at.port()))
}

/// Addresses after `-localip`, of NodeLocal DNSCache.
fn local(container: &Value) -> BTreeSet<IpAddr> {
    let words: Vec<&str> =
        list(&container["command"]).chain(list(&container["args"])).filter_map(Value::as_str).collect();
    let said = words.iter().enumerate().find_map(|(at, word)| match word.trim_start_matches('-') {
        "localip" => words.get(at + 1).copied(),
        word => word.strip_prefix("localip="),
    });
    said.into_iter().flat_map(|raw| raw.split(',')).filter_map(|raw| raw.trim().parse().ok()).collect()
}

/// Keys of `cilium-config` that change what policies do, where it is that ConfigMap.
pub(super) fn switches(value: &Value) -> Option<crate::domain::eval::plugin::Switches> {
    let data = (name_of(value) == "cilium-config").then(|| value["data"].as_object())??;
    let get = |key: &str| data.get(key).and_then(Value::as_str);
    Some(crate::domain::eval::plugin::Switches::of_cilium(get))
}
