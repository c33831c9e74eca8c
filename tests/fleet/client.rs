//! A kube client and a relay client on in-memory connections of a simulated fleet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Uri, header::AUTHORIZATION};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use kube::client::Body;
use sluice::{
    pb::observer::observer_client::ObserverClient,
    sim::fleet::{people::Person, running::Fleet},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

/// A kube client that signs in as `person`.
pub fn kube_client(fleet: &Fleet, cluster: &str, person: Person) -> kube::Client {
    client_as(fleet, cluster, person, None)
}

/// A kube client of the admin that acts as a ServiceAccount: `system:serviceaccount:NAMESPACE:NAME`.
pub fn account_client(fleet: &Fleet, cluster: &str, account: &'static str) -> kube::Client {
    client_as(fleet, cluster, Person::Admin, Some(HeaderValue::from_static(account)))
}

fn client_as(fleet: &Fleet, cluster: &str, person: Person, account: Option<HeaderValue>) -> kube::Client {
    let member = fleet.cluster(cluster).expect("a cluster of the scenario").clone();
    let token = member.token(person);
    let connector = tower::service_fn(move |_: Uri| {
        std::future::ready(member.connect().map(|stream| TokioIo::new(Pipe(stream))))
    });
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let signed = http.map_request(move |mut request: Request<Body>| {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        *request.uri_mut() = format!("http://cluster{path}").parse().expect("a uri");
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        request.headers_mut().insert(AUTHORIZATION, value);
        if let Some(account) = &account {
            request.headers_mut().insert("impersonate-user", account.clone());
        }
        request
    });
    kube::Client::new(signed, "default")
}

/// The relay through the API server's port-forward, as the product reaches it.
pub async fn relay_client(client: kube::Client) -> ObserverClient<Channel> {
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, "kube-system");
    let wanted = kube::api::ListParams::default().labels("k8s-app=hubble-relay");
    let found = pods.list(&wanted).await.expect("the relay's pod");
    let name = found.items[0].metadata.name.clone().expect("a name");
    let mut forward = pods.portforward(&name, &[4245]).await.expect("a port-forward");
    let stream = forward.take_stream(4245).expect("a stream");
    over(stream).await
}

/// gRPC over any stream.
pub async fn over<S>(stream: S) -> ObserverClient<Channel>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::other("used up")) }
    });
    let channel = Endpoint::from_static("http://relay").connect_with_connector(connector).await;
    ObserverClient::new(channel.expect("a channel"))
}

struct Pipe(DuplexStream);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
