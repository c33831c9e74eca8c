//! The port of a simulated gRPC server behind TLS, in memory: one connection, served until it ends or the
//! server's pod goes away. Who is let in is the affair of the certificates.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{io::DuplexStream, sync::watch};
use tokio_rustls::TlsAcceptor;

/// A connection to it; `None` while it is away.
pub fn connect<S>(server: S, config: Arc<ServerConfig>, away: &watch::Sender<bool>) -> Option<DuplexStream>
where
    S: tower::Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    if *away.borrow() {
        return None;
    }
    let (near, far) = tokio::io::duplex(256 * 1024);
    let mut away = away.subscribe();
    let connection = async move {
        // Who shows no certificate that is taken is let go, as the real ones do.
        let Ok(stream) = TlsAcceptor::from(config).accept(far).await else { return };
        // How a client leaves is its own affair.
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(server))
            .await;
    };
    tokio::spawn(async move {
        tokio::select! {
            () = connection => {}
            _ = away.wait_for(|away| *away) => {}
        }
    });
    Some(near)
}
