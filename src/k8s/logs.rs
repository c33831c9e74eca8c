//! Logs of pods that print flow records: which pods say that they do, and the bytes of their logs as
//! they grow. Knows nothing of what the lines say.
//!
//! A pod says it by a label, `sluice.dev/prints: FORMAT`. Records lie in files of the nodes, which the
//! API server does not serve; a DaemonSet that prints the file to its own log does
//! (`assets/printers`). Reading it needs `get` on `pods/log`, and no right to run anything anywhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;

use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::{NodeName, Text},
        time::Timestamp,
    },
};

use super::{
    connect::Access,
    decode::Meta,
    failure::Failure,
    follow::escaped,
    wire::{Call, DEADLINE, METADATA_LIST, Server},
};

/// Its value is the form of the records.
pub const PRINTS: &str = "sluice.dev/prints";
/// Of a kernel log: `denied` or `allowed`, what becomes of packets that reach the `Log` rule.
pub const LOGGED: &str = "sluice.dev/logged";
/// Which of several containers prints; kubectl's own annotation.
const CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// A running pod that prints records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPod {
    pub ns: Text,
    pub pod: Text,
    pub uid: Text,
    pub container: Option<Text>,
    pub node: NodeName,
    pub prints: Text,
    pub logged: Option<Text>,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Time(Timestamp),
    /// So many lines before its end.
    Last(u32),
}

pub struct Log {
    /// The API server's clock.
    pub at: Option<Timestamp>,
    pub bytes: BoxStream<'static, Result<Bytes, Trouble>>,
}

/// All pods that print and run, on nodes that are known.
pub async fn printers(access: &Access) -> Result<Vec<LogPod>, Trouble> {
    let running = running(access, &format!("/api/v1/pods?labelSelector={}", escaped(PRINTS))).await?;
    Ok(running.into_iter().filter_map(Pod::read).collect())
}

/// Cilium's agents in this namespace: where Hubble exports to their logs, they print its records.
pub async fn agents(access: &Access, ns: &str) -> Result<Vec<LogPod>, Trouble> {
    let path = format!("/api/v1/namespaces/{}/pods?labelSelector={}", escaped(ns), escaped("k8s-app=cilium"));
    let running = running(access, &path).await?;
    Ok(running
        .into_iter()
        .filter_map(|pod| pod.prints(Text::new("hubble-json"), Some("cilium-agent")))
        .collect())
}

async fn running(access: &Access, path: &str) -> Result<impl Iterator<Item = Pod> + use<>, Trouble> {
    let server = access.server().await?;
    let list = server.ask::<List>(Call::get(path)).await;
    let list = list.map_err(|failure| failure.trouble("pods that print flow records"))?;
    Ok(list.items.unwrap_or_default().into_iter().filter(Pod::runs))
}

/// All nodes, and which of them are control planes, where workloads do not run as a rule.
pub async fn nodes(access: &Access) -> Result<BTreeMap<NodeName, bool>, Trouble> {
    let server = access.server().await?;
    let call = Call { accept: METADATA_LIST, ..Call::get("/api/v1/nodes") };
    let list = server.ask::<List>(call).await.map_err(|failure| failure.trouble("nodes"))?;
    let node = |Pod { metadata, .. }| {
        let is_control_plane = of(&metadata.labels, "node-role.kubernetes.io/control-plane").is_some();
        Some((NodeName::parse(&metadata.name).ok()?, is_control_plane))
    };
    Ok(list.items.unwrap_or_default().into_iter().filter_map(node).collect())
}

/// A piece of a log that is read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// From the oldest line that the kubelet still has: those before its last rotation it does not give.
    Beginning,
    End,
}

/// Bytes of a beginning: a Cilium agent says some of its own before its first record.
const BEGINNING: u32 = 1 << 18;
/// Lines of an end: an agent says something of its own between its records.
const END: u32 = 200;

/// Reads a piece of a pod's log, each line with the time at which it was printed before it. The last
/// line of a beginning may be cut.
pub async fn piece(access: &Access, pod: &LogPod, piece: Piece) -> Result<Bytes, Trouble> {
    let server = access.server().await?;
    let options = match piece {
        Piece::Beginning => format!("limitBytes={BEGINNING}"),
        Piece::End => format!("tailLines={END}"),
    };
    let call = Call { accept: "*/*", ..Call::get(path(pod, &options)) };
    let object = format!("log of pod {}/{}", pod.ns, pod.pod);
    server.bytes(call).await.map_err(|failure| refused(&failure, &object, pod))
}

/// Opens a pod's log and stays on it. Each line has the time before it at which it was printed.
pub async fn open(access: &Access, pod: &LogPod, from: From) -> Result<Log, Trouble> {
    let server = access.server().await?;
    let object = format!("log of pod {}/{}", pod.ns, pod.pod);
    // A kubelet begins to answer with the first line, and an empty log has none. From a time at which
    // there was a line, that line comes at once.
    let deadline = matches!(from, From::Time(_)).then_some(DEADLINE);
    let answer = server.stream(following(pod, from), "*/*", deadline).await;
    let (body, at) = answer.map_err(|failure| refused(&failure, &object, pod))?;
    Ok(Log { at, bytes: bytes(server, body, object).boxed() })
}

fn following(pod: &LogPod, from: From) -> String {
    let from = match from {
        // The parameter is read to the second.
        From::Time(at) => {
            format!("sinceTime={}", escaped(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)))
        }
        From::Last(lines) => format!("tailLines={lines}"),
    };
    path(pod, &format!("follow=true&{from}"))
}

fn path(pod: &LogPod, options: &str) -> String {
    let container = pod.container.as_ref().map(|name| format!("&container={}", escaped(name.as_str())));
    format!(
        "/api/v1/namespaces/{}/pods/{}/log?timestamps=true&{options}{}",
        escaped(pod.ns.as_str()),
        escaped(pod.pod.as_str()),
        container.unwrap_or_default()
    )
}

/// The server stays with the stream: its connection is the stream's.
fn bytes(
    server: Server,
    body: Body,
    object: String,
) -> impl futures::Stream<Item = Result<Bytes, Trouble>> + Send + 'static {
    futures::stream::unfold(Some((server, body, object)), |state| async move {
        let (server, mut body, object) = state?;
        loop {
            match body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), Some((server, body, object))));
                    }
                }
                Err(error) => return Some((Err(Failure::of_client(&error).trouble(&object)), None)),
            }
        }
    })
}

fn refused(failure: &Failure, object: &str, pod: &LogPod) -> Trouble {
    let trouble = failure.trouble(object);
    let next = match failure.code() {
        Some(403) => format!(
            "Ask the cluster's admin for get on pods/log there: kubectl -n {} create rolebinding sluice-target-watch --clusterrole=sluice-target-watch --user=YOU",
            pod.ns
        ),
        Some(400) => {
            format!("It is tried again by itself; see: kubectl -n {} describe pod {}", pod.ns, pod.pod)
        }
        Some(500 | 502..=504) => {
            format!(
                "The kubelet of node {} may be away; sluice tries again, and reads the other nodes.",
                pod.node
            )
        }
        Some(_) | None => return trouble,
    };
    Trouble { next: Text::from(next), ..trouble }
}

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Pod>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: String,
}

impl Pod {
    /// It has started, and nobody ends it.
    fn runs(&self) -> bool {
        self.status.phase == "Running" && self.metadata.deletion_timestamp.is_none()
    }

    /// By what its labels say.
    fn read(self) -> Option<LogPod> {
        let prints = of(&self.metadata.labels, PRINTS)?;
        self.prints(prints, None)
    }

    fn prints(self, prints: Text, container: Option<&str>) -> Option<LogPod> {
        let Meta { name, namespace, uid, labels, annotations, .. } = self.metadata;
        Some(LogPod {
            ns: Text::new(&namespace),
            pod: Text::new(&name),
            uid: Text::new(&uid),
            container: container.map(Text::new).or_else(|| of(&annotations, CONTAINER)),
            node: NodeName::parse(&self.spec.node_name).ok()?,
            prints,
            logged: of(&labels, LOGGED),
        })
    }
}

fn of(map: &Option<BTreeMap<String, String>>, key: &str) -> Option<Text> {
    map.as_ref()?.get(key).map(|value| Text::new(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, node: &str) -> Option<LogPod> {
        let pod = json!({
            "metadata": {
                "name": "printer-x7", "namespace": "sluice", "uid": "u-1",
                "labels": { "sluice.dev/prints": "kernel-log", "sluice.dev/logged": "denied" },
                "annotations": { "kubectl.kubernetes.io/default-container": "print" },
            },
            "spec": { "nodeName": node }, "status": { "phase": phase },
        });
        Some(serde_json::from_value::<Pod>(pod).expect("a pod")).filter(Pod::runs)?.read()
    }

    #[test]
    fn a_running_pod_says_what_it_prints_and_where() {
        let found = pod("Running", "worker-3").expect("it runs");
        assert_eq!((found.prints.as_str(), found.node.as_str()), ("kernel-log", "worker-3"));
        assert_eq!(found.logged.as_ref().map(Text::as_str), Some("denied"));
        assert_eq!((pod("Pending", "worker-3"), pod("Running", "")), (None, None));
        let at = Timestamp::from_timestamp(1_772_442_905, 120_000_000).expect("in range");
        assert_eq!(
            following(&found, From::Time(at)),
            "/api/v1/namespaces/sluice/pods/printer-x7/log?timestamps=true&follow=true&sinceTime=2026-03-02T09%3A15%3A05Z&container=print"
        );
        assert!(following(&found, From::Last(1_000)).contains("&tailLines=1000&"));
    }
}
