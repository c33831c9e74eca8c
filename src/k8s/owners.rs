//! Whose an address is, from the API: pods with their addresses and the time they had them, and the
//! addresses of nodes. For the collector; the cockpit's own lists of pods leave addresses out.

use std::{net::IpAddr, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    cockpit::ports::Trouble,
    domain::{names::Text, time::Timestamp},
};

use super::{connect::Access, failure::Failure};

/// What the API says of an address, or why it does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Pod {
        address: IpAddr,
        ns: Text,
        pod: Text,
        from: Timestamp,
        until: Option<Timestamp>,
    },
    Node(IpAddr),
    /// A list that cannot be read, by its name; `None`: it can again.
    Trouble(&'static str, Option<Trouble>),
}

/// Between two attempts to get a client.
const AGAIN: Duration = Duration::from_secs(15);
const PAGE: u32 = 500;

/// Follows pods and nodes until nobody listens.
pub async fn run(access: Access, to: mpsc::Sender<Said>) {
    let closed = to.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = for_ever(&access, &to) => {}
    }
}

async fn for_ever(access: &Access, to: &mpsc::Sender<Said>) {
    loop {
        let began = Instant::now();
        match access.client().await {
            Ok(client) => {
                let _ = to.send(Said::Trouble("API server", None)).await;
                tokio::select! {
                    () = follow::<core::Pod>("pods", Api::all(client.clone()), to, of_pod) => {}
                    () = follow::<core::Node>("nodes", Api::all(client), to, of_node) => {}
                }
                access.refuse();
            }
            Err(trouble) => {
                let _ = to.send(Said::Trouble("API server", Some(trouble))).await;
            }
        }
        // Credentials that have ended by now are got anew at once.
        if began.elapsed() < AGAIN {
            sleep(AGAIN).await;
        }
    }
}

/// Until the credentials are not accepted any more, or nobody listens.
async fn follow<K>(name: &'static str, api: Api<K>, to: &mpsc::Sender<Said>, read: fn(&K) -> Vec<Said>)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = watcher(api, config).default_backoff().into_stream().boxed();
    let mut troubled = false;
    while let Some(event) = events.next().await {
        let is_refused = event.as_ref().is_err_and(|error| failure(error).code() == Some(401));
        let said = match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => read(&object),
            Ok(Event::Init) => Vec::new(),
            Ok(Event::InitDone) => {
                troubled = false;
                vec![Said::Trouble(name, None)]
            }
            Err(error) if !troubled => {
                troubled = true;
                vec![Said::Trouble(name, Some(trouble(name, &error)))]
            }
            Err(_) => Vec::new(),
        };
        for said in said {
            if to.send(said).await.is_err() {
                return;
            }
        }
        if is_refused {
            return;
        }
    }
}

fn failure(error: &watcher::Error) -> Failure {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Failure::of_client(error),
        other => Failure::Foreign(Text::new(&other.to_string())),
    }
}

fn trouble(name: &str, error: &watcher::Error) -> Trouble {
    let failed = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Failure::of_client(error).trouble(name),
        other => Trouble::new(name, &other.to_string(), "It is tried again by itself."),
    };
    Trouble {
        next: Text::new("Without it, names are found by flows alone; give list and watch on it."),
        ..failed
    }
}

/// A pod of the host's network has its node's address, which is nobody's own.
fn of_pod(pod: &core::Pod) -> Vec<Said> {
    let (Some(name), Some(ns)) = (&pod.metadata.name, &pod.metadata.namespace) else { return Vec::new() };
    let host = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    let Some(status) = pod.status.as_ref().filter(|_| !host) else { return Vec::new() };
    let Some(from) = status.start_time.as_ref().and_then(|at| moment(at.0)) else { return Vec::new() };
    let addresses = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let all: Vec<&str> = addresses.chain(status.pod_ip.as_deref()).collect();
    let mut known: Vec<IpAddr> = all.iter().filter_map(|raw| address(raw)).collect();
    known.sort();
    known.dedup();
    let until = ended(pod, status);
    let said = |address| Said::Pod { address, ns: Text::new(ns), pod: Text::new(name), from, until };
    known.into_iter().map(said).collect()
}

/// When a pod that ran to its end gave its address back.
fn ended(pod: &core::Pod, status: &core::PodStatus) -> Option<Timestamp> {
    if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let states = status.container_statuses.iter().flatten().filter_map(|container| container.state.as_ref());
    let finished = states.filter_map(|state| state.terminated.as_ref()?.finished_at.as_ref());
    let last = finished.filter_map(|at| moment(at.0)).max();
    last.or_else(|| pod.metadata.deletion_timestamp.as_ref().and_then(|at| moment(at.0)))
}

fn of_node(node: &core::Node) -> Vec<Said> {
    let addresses = node.status.iter().filter_map(|status| status.addresses.as_ref()).flatten();
    addresses.filter_map(|it| address(&it.address)).map(Said::Node).collect()
}

fn address(raw: &str) -> Option<IpAddr> {
    raw.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn moment(at: k8s_openapi::jiff::Timestamp) -> Option<Timestamp> {
    Timestamp::from_timestamp(at.as_second(), u32::try_from(at.subsec_nanosecond()).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(pod: serde_json::Value) -> String {
        let pod: core::Pod = serde_json::from_value(pod).expect("a pod");
        let line = |said: &Said| match said {
            Said::Pod { address, ns, pod, from, until } => {
                let until = until.map(|until| (until - *from).num_seconds());
                format!("{address} {ns}/{pod} {until:?};")
            }
            Said::Node(_) | Said::Trouble(..) => String::new(),
        };
        of_pod(&pod).iter().map(line).collect()
    }

    #[test]
    fn a_pod_has_its_addresses_from_its_start_to_its_end() {
        let pod = |status: serde_json::Value, host: bool| {
            json!({ "metadata": { "name": "p", "namespace": "shop" },
                "spec": { "containers": [], "hostNetwork": host }, "status": status })
        };
        let start = "2026-03-02T09:00:00Z";
        let two = json!({ "phase": "Running", "startTime": start, "podIP": "10.0.0.7",
            "podIPs": [{ "ip": "10.0.0.7" }, { "ip": "fd00::7" }] });
        assert_eq!(said(pod(two.clone(), false)), "10.0.0.7 shop/p None;fd00::7 shop/p None;");
        assert_eq!(said(pod(two, true)), "");
        let over = json!({ "phase": "Succeeded", "startTime": start, "podIP": "10.0.0.7", "containerStatuses": [
            { "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
              "state": { "terminated": { "exitCode": 0, "finishedAt": "2026-03-02T09:01:30Z" } } }] });
        assert_eq!(said(pod(over, false)), "10.0.0.7 shop/p Some(90);");
        assert_eq!(said(pod(json!({ "phase": "Pending", "podIP": "x", "startTime": start }), false)), "");
    }
}
