//! A byte stream to a cluster's Hubble Relay, or to a pod by its label: a ready pod, port-forward
//! through the API server. Nothing listens on this machine, and nothing is known of what flows through.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    time::timeout,
};

use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::Text,
        preflight::relay::{TLS_NEXT, speaks_tls},
    },
};

use super::{
    connect::Access,
    decode::{Condition, Meta},
    failure::Failure,
    follow::escaped,
    wire::{Call, DEADLINE, Server},
};

/// A stream to a port of a pod.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub type BoxStream = Box<dyn Io>;

const NAME: &str = "hubble-relay";
const PORT: u16 = 4245;

/// Does sluice.yaml tell the way to a relay?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    Something,
}

/// Opens a stream to the relay. Each call is a new port-forward: a broken one cannot be mended.
pub async fn relay(access: &Access, said: Said) -> Result<BoxStream, Trouble> {
    let server = access.server().await?;
    let service = find_service(&server).await?;
    let mut ports = service.spec.ports.iter().flatten();
    if said == Said::Nothing && ports.any(|port| speaks_tls(port.port, &port.name)) {
        return Err(Trouble::new(
            &service.object(),
            "it is served with TLS, of which sluice.yaml says nothing",
            TLS_NEXT,
        ));
    }
    let next = "Look at the relay's pods: `kubectl -n kube-system get pods -l k8s-app=hubble-relay`.";
    through(&server, &service, PORT, next).await
}

/// Opens a stream to a ready pod of the Service of this name. `port`: where its pods listen unless
/// the Service says otherwise.
pub(super) async fn service(
    server: &Server,
    (ns, name): (&str, &str),
    port: u16,
) -> Result<BoxStream, Trouble> {
    let path = format!("/api/v1/namespaces/{ns}/services/{name}");
    let found = server.ask::<Service>(Call::get(path)).await;
    let service = found.map_err(|failure| failure.trouble(&format!("Service {ns}/{name}")))?;
    let next = format!("Look at its pods: `kubectl -n {ns} get pods`.");
    through(server, &service, port, &next).await
}

/// Has the Service of this name that port? One that is not there has none.
pub(super) async fn has_port(server: &Server, (ns, name): (&str, &str), port: u16) -> Result<bool, Trouble> {
    let path = format!("/api/v1/namespaces/{ns}/services/{name}");
    match server.ask::<Service>(Call::get(path)).await {
        Ok(service) => Ok(service.spec.ports.iter().flatten().any(|one| one.port == port)),
        Err(failure) if failure.code() == Some(404) => Ok(false),
        Err(failure) => Err(failure.trouble(&format!("Service {ns}/{name}"))),
    }
}

/// The same as [`service`], to one of several ports of the Service.
pub(super) async fn service_port(
    server: &Server,
    (ns, name): (&str, &str),
    port: u16,
) -> Result<BoxStream, Trouble> {
    let path = format!("/api/v1/namespaces/{ns}/services/{name}");
    let found = server.ask::<Service>(Call::get(path)).await;
    let mut service = found.map_err(|failure| failure.trouble(&format!("Service {ns}/{name}")))?;
    if let Some(ports) = &mut service.spec.ports {
        ports.retain(|one| one.port == port);
    }
    let next = format!("Look at its pods: `kubectl -n {ns} get pods`.");
    through(server, &service, port, &next).await
}

async fn through(server: &Server, service: &Service, port: u16, next: &str) -> Result<BoxStream, Trouble> {
    let pods = ready_pods(server, service).await?;
    let mut trouble = None;
    for pod in &pods {
        match open(server, pod, service.target_port(pod, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| Trouble::new(&service.object(), "it has no ready pod", next)))
}

/// A pod to be found by a label, and its port.
#[derive(Clone, Copy, Debug)]
pub struct Labelled {
    /// `key=value`.
    pub label: &'static str,
    pub port: u16,
    /// What people call it.
    pub name: &'static str,
    /// Where it stands by default: those there come first.
    pub ns: &'static str,
}

/// Opens a stream to a ready pod with this label, in whatever namespace.
pub async fn labelled(access: &Access, wanted: Labelled) -> Result<BoxStream, Trouble> {
    let server = access.server().await?;
    let path = format!("/api/v1/pods?labelSelector={}", escaped(wanted.label));
    let list = server.ask::<List<Pod>>(Call::get(path)).await;
    let list = list.map_err(|failure| failure.trouble(&format!("pods of {}", wanted.name)))?;
    let mut pods: Vec<_> = list.items.unwrap_or_default().into_iter().filter(Pod::is_ready).collect();
    pods.sort_by_key(|pod| pod.metadata.namespace != wanted.ns);
    let mut trouble = None;
    for pod in &pods {
        match open(&server, pod, wanted.port).await {
            Ok(stream) => return Ok(stream),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| {
        let next = format!("Look at its pods: `kubectl get pods -A -l {}`.", wanted.label);
        Trouble::new(wanted.name, "it has no ready pod", &next)
    }))
}

async fn find_service(server: &Server) -> Result<Service, Trouble> {
    let path = format!("/api/v1/namespaces/kube-system/services/{NAME}");
    match server.ask::<Service>(Call::get(path)).await {
        Ok(service) => return Ok(service),
        Err(failure) if matches!(failure.code(), Some(403 | 404)) => {}
        Err(failure) => return Err(failure.trouble("Service kube-system/hubble-relay")),
    }
    let path = format!("/api/v1/services?labelSelector={}", escaped(&format!("k8s-app={NAME}")));
    let list = server.ask::<List<Service>>(Call::get(path)).await;
    let found = list.map_err(|failure| failure.trouble("Service hubble-relay"))?;
    found.items.unwrap_or_default().into_iter().next().ok_or_else(|| {
        Trouble::new(
            "Service hubble-relay",
            "there is none in this cluster",
            "Switch Hubble Relay on (Helm value hubble.relay.enabled), or give its address in sluice.yaml.",
        )
    })
}

async fn ready_pods(server: &Server, service: &Service) -> Result<Vec<Pod>, Trouble> {
    let selector: Vec<_> =
        service.spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    if selector.is_empty() {
        let next = "Give it the selector of its pods.";
        return Err(Trouble::new(&service.object(), "it selects no pods", next));
    }
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}",
        service.metadata.namespace,
        escaped(&selector.join(","))
    );
    let list = server.ask::<List<Pod>>(Call::get(path)).await;
    let list = list.map_err(|failure| failure.trouble(&format!("pods of {}", service.object())))?;
    Ok(list.items.unwrap_or_default().into_iter().filter(Pod::is_ready).collect())
}

async fn open(server: &Server, pod: &Pod, port: u16) -> Result<BoxStream, Trouble> {
    let ns = &pod.metadata.namespace;
    let object = format!("port-forward to pod {ns}/{}", pod.metadata.name);
    let client = server.client().await.map_err(|failure| failure.trouble(&object))?;
    let api: Api<core::Pod> = Api::namespaced(client, ns);
    let ports = [port];
    let forward = timeout(DEADLINE, api.portforward(&pod.metadata.name, &ports)).await;
    let mut forward = match forward {
        Ok(Ok(forward)) => forward,
        Ok(Err(error)) => return Err(refused(&Failure::of_client(&error), &object)),
        Err(_) => return Err(Failure::deadline(DEADLINE).trouble(&object)),
    };
    let error = forward.take_error(port);
    let stream = forward.take_stream(port).ok_or_else(|| {
        Trouble::new(&object, &format!("port {port} was not opened"), "Look at the pod's log.")
    })?;
    let error: BoxFuture<'static, Option<String>> = match error {
        Some(error) => Box::pin(error),
        None => Box::pin(std::future::pending()),
    };
    Ok(Box::new(Forwarded { stream, error: Some(error) }))
}

fn refused(failure: &Failure, object: &str) -> Trouble {
    let trouble = failure.trouble(object);
    match failure.code() {
        Some(403) => Trouble {
            next: Text::new("Ask the cluster's admin for get and create on pods/portforward."),
            ..trouble
        },
        Some(500) => Trouble {
            next: Text::new("The node of this pod may be away; sluice tries the next pod, then again."),
            ..trouble
        },
        Some(_) | None => trouble,
    }
}

/// A forwarded port that says, at its end, what the other side gave as the reason.
struct Forwarded {
    stream: DuplexStream,
    error: Option<BoxFuture<'static, Option<String>>>,
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before
            && buf.remaining() > 0
            && let Some(mut error) = self.error.take()
            && let Poll::Ready(Some(said)) = error.as_mut().poll(cx)
        {
            return Poll::Ready(Err(io::Error::other(Text::new(&said).to_string())));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Deserialize)]
struct List<T> {
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    metadata: Meta,
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServicePort {
    name: String,
    port: u16,
    /// A number, or the name of a container's port.
    target_port: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerPort {
    name: String,
    container_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    conditions: Option<Vec<Condition>>,
}

impl Service {
    fn object(&self) -> String {
        format!("Service {}/{}", Text::new(&self.metadata.namespace), Text::new(&self.metadata.name))
    }

    fn target_port(&self, pod: &Pod, usual: u16) -> u16 {
        let Some(port) = self.spec.ports.iter().flatten().next() else { return usual };
        match &port.target_port {
            Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(usual),
            Value::String(name) => pod.port_named(name).unwrap_or(usual),
            Value::Null => port.port,
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => usual,
        }
    }
}

impl Pod {
    fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        self.metadata.deletion_timestamp.is_none()
            && conditions.any(|condition| condition.r#type == "Ready" && condition.status == "True")
    }

    fn port_named(&self, name: &str) -> Option<u16> {
        let mut ports = self.spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        ports.find(|port| port.name == name).map(|port| port.container_port)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_target_port_is_found_by_number_and_by_name() {
        let pod: Pod = serde_json::from_value(json!({ "spec": { "containers": [
            { "ports": [{ "name": "grpc", "containerPort": 4222 }] }] } }))
        .expect("a pod");
        for (ports, found) in [
            (json!([{ "port": 80, "targetPort": 4245 }]), 4245),
            (json!([{ "port": 80, "targetPort": "grpc" }]), 4222),
            (json!([{ "port": 80, "targetPort": "other" }]), 4245),
            (json!([{ "port": 80 }]), 80),
            (json!(null), 4245),
        ] {
            let service: Service =
                serde_json::from_value(json!({ "spec": { "ports": ports } })).expect("a service");
            assert_eq!(service.target_port(&pod, PORT), found, "{ports}");
        }
    }
}
