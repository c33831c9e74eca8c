//! The subresources of pods that a kubelet answers: port-forwards and logs go to the fleet's hooks, the
//! rest finds no kubelet (scene 86).

use std::sync::Arc;

use serde_json::Value;

use crate::sim::api::access::Caller;
use crate::sim::api::call::Call;
use crate::sim::api::cluster::{Cluster, PodPort};
use crate::sim::api::controllers::core;
use crate::sim::api::object;
use crate::sim::api::podlog::{self, PodContainer};
use crate::sim::api::portforward;
use crate::sim::api::read::not_found;
use crate::sim::api::reply::Reply;
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;
use crate::sim::api::store::Key;

/// Whether a target is a stream into a pod.
pub fn is_stream(target: &Target) -> bool {
    target.group.is_empty()
        && target.resource == "pods"
        && matches!(target.subresource.as_str(), "portforward" | "exec" | "attach" | "log" | "proxy")
}

/// Answers a request that a kubelet would.
pub async fn answer(
    cluster: &Cluster,
    call: &mut Call,
    caller: &Caller,
    target: &Target,
) -> Result<Reply, Status> {
    let websocket = call.header("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket"));
    if websocket && target.verb == "get" && target.subresource != "log" {
        caller.check_stream(target)?;
    }
    let ports = ports(call, target)?;
    let pod = find(cluster, "pods", target, &target.name)?;
    if target.subresource == "proxy" {
        return Err(Status::bad_request("address not allowed"));
    }
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() && target.subresource == "log" {
        return Ok(Reply::nothing(204));
    }
    if node.is_empty() {
        let message = format!("pod {} does not have a host assigned", target.name);
        return Err(Status::bad_request(message));
    }
    if let (Some(hook), "portforward") = (cluster.portforward(), target.subresource.as_str()) {
        return forward(call, ports, hook);
    }
    let kubelet = kubelet(cluster, node)?;
    let refused = format!("dial tcp {kubelet}: connect: connection refused");
    if target.subresource == "log"
        && let Some(logs) = cluster.logs()
    {
        let container = podlog::container(call, target, &pod)?;
        podlog::check_started(target, &pod, &container)?;
        let asked = PodContainer { namespace: target.namespace.clone(), pod: target.name.clone(), container };
        if let Some(log) = logs(&asked) {
            let gone = Status::internal(format!(
                "Get \"https://{kubelet}/containerLogs/{}/{}/{}?follow=true\": {refused}",
                asked.namespace, asked.pod, asked.container
            ));
            return podlog::answer(call, &target.name, cluster.clock().now(), &log, gone);
        }
    }
    if target.subresource == "log" {
        let container = pod.pointer("/spec/containers/0/name").and_then(Value::as_str).unwrap_or_default();
        return Err(Status::internal(format!(
            "Get \"https://{kubelet}/containerLogs/{}/{}/{container}\": {refused}",
            target.namespace, target.name
        )));
    }
    if !call.asks_upgrade() {
        return Err(Status::bad_request("Upgrade request required"));
    }
    Err(Status::internal(format!("error dialing backend: {refused}")))
}

fn forward(
    call: &mut Call,
    ports: Vec<PodPort>,
    hook: crate::sim::api::cluster::PortForward,
) -> Result<Reply, Status> {
    let key = call.header("sec-websocket-key").unwrap_or_default().to_owned();
    let offered = call.header("sec-websocket-protocol").unwrap_or_default();
    let speaks = offered.split(',').any(|p| p.trim() == portforward::PROTOCOL);
    let upgrade = call.upgrade.take().filter(|_| speaks && portforward::is_websocket_key(&key));
    let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    tokio::spawn(portforward::run(upgrade, ports, hook));
    Ok(portforward::switching(&key))
}

fn ports(call: &Call, target: &Target) -> Result<Vec<PodPort>, Status> {
    let numbers = call.query.all("ports").flat_map(|ports| ports.split(','));
    numbers
        .map(|number| {
            let port = number.parse().map_err(|_| {
                Status::bad_request(format!(
                    "cannot convert to []int32: strconv.ParseUint: parsing \"{number}\": invalid syntax"
                ))
            })?;
            Ok(PodPort { namespace: target.namespace.clone(), pod: target.name.clone(), port })
        })
        .collect()
}

fn find(cluster: &Cluster, plural: &str, target: &Target, name: &str) -> Result<Arc<Value>, Status> {
    let id = core(cluster, plural).ok_or_else(|| Status::internal("the core group is not served"))?;
    let found = cluster.store().get(&Key::new(id, &target.namespace, name)).cloned();
    found.ok_or_else(|| not_found(&cluster.resource(id), name))
}

/// Host and port of a node's kubelet. A node that is not there is blamed on the pods resource.
fn kubelet(cluster: &Cluster, node: &str) -> Result<String, Status> {
    let lost = || {
        let message = format!("pods \"{node}\" not found");
        let details = serde_json::json!({ "name": node, "kind": "pods" });
        Status::new(404, "NotFound", message).with_details(details)
    };
    let id = core(cluster, "nodes").ok_or_else(lost)?;
    let found = cluster.store().get(&Key::new(id, "", node)).cloned().ok_or_else(lost)?;
    let addresses = found.pointer("/status/addresses").and_then(Value::as_array);
    let address = addresses
        .and_then(|all| all.first())
        .and_then(|a| a["address"].as_str())
        .unwrap_or(object::name(&found));
    let port = found.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_i64);
    Ok(format!("{address}:{}", port.unwrap_or(10250)))
}
