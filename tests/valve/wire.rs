//! The wire between the product and the simulated API server, in memory, on which one request of
//! choice goes wrong. Notes after every answer what the namespace allows.

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use sluice::sim::api::cluster::{CertName, Cluster, Peer};
use tokio::sync::Notify;

use super::naive::{Allowed, allowed};

/// What happens to the chosen request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// sluice dies before it arrives.
    DiesBefore,
    /// It lands, and sluice dies before the answer.
    DiesAfter,
    /// The connection breaks before it arrives.
    Unsent,
    /// It lands, but the answer is lost.
    AnswerLost,
    /// The server refuses.
    Refused,
    /// It is held up on the way, counts as lost, and arrives when all else is over.
    Late,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::DiesBefore, Self::DiesAfter, Self::Unsent, Self::AnswerLost, Self::Refused, Self::Late];
}

/// Rights that a person lacks, over what the server itself checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    Lead,
    /// May patch and delete, not create.
    OnCall,
    /// May delete, not patch: a valve that cannot be opened.
    Deleter,
}

#[derive(Clone)]
pub struct Wire(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    person: Person,
    fault: Option<(usize, Fault)>,
    state: Mutex<State>,
    died: Notify,
}

#[derive(Default)]
struct State {
    requests: usize,
    late: Option<Request<Full<Bytes>>>,
    /// What was allowed after each answer, with the request.
    history: Vec<(String, Allowed)>,
}

impl Wire {
    pub fn new(cluster: &Cluster, person: Person, fault: Option<(usize, Fault)>) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(Inner { cluster: cluster.clone(), person, fault, state, died: Notify::new() }))
    }

    pub fn client(&self) -> kube::Client {
        let wire = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let wire = wire.clone();
            async move { wire.carry(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// The faults worth trying on a request, by what it was when all went well: one that changes
    /// nothing cannot land.
    pub fn faults(&self, at: usize) -> Vec<Fault> {
        let history = self.history();
        let (request, _) = &history[at - 1];
        if request.starts_with("GET") || request.contains("dryRun") {
            return vec![Fault::DiesBefore, Fault::AnswerLost, Fault::Refused];
        }
        Fault::ALL.to_vec()
    }

    /// Requests sent so far.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    pub fn history(&self) -> Vec<(String, Allowed)> {
        self.state().history.clone()
    }

    /// Waits until a fault kills the product.
    pub async fn died(&self) {
        self.0.died.notified().await;
    }

    /// Lets the request arrive that was held up. Did one?
    pub async fn arrive_late(&self) -> bool {
        let late = self.state().late.take();
        let Some(request) = late else { return false };
        let _ = deliver(&self.0.cluster, request).await;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no test panics with it")
    }

    async fn carry(&self, request: Request<Body>) -> io::Result<Response<Full<Bytes>>> {
        let request = whole(request).await;
        let count = {
            let mut state = self.state();
            state.requests += 1;
            state.requests
        };
        let what = format!("{} {}", request.method(), request.uri());
        let fault = self.0.fault.and_then(|(at, fault)| (at == count).then_some(fault));
        let answer = self.suffer(request, fault).await;
        let now = allowed(&self.0.cluster);
        self.state().history.push((what, now));
        answer
    }

    async fn suffer(
        &self,
        request: Request<Full<Bytes>>,
        fault: Option<Fault>,
    ) -> io::Result<Response<Full<Bytes>>> {
        if self.lacks_right(&request) {
            return Ok(forbidden());
        }
        match fault {
            None => deliver(&self.0.cluster, request).await,
            Some(Fault::DiesBefore) => {
                self.0.died.notify_one();
                pending().await
            }
            Some(Fault::DiesAfter) => {
                let _ = deliver(&self.0.cluster, request).await;
                self.0.died.notify_one();
                pending().await
            }
            Some(Fault::Unsent) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::AnswerLost) => {
                let _ = deliver(&self.0.cluster, request).await;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::Refused) => Ok(forbidden()),
            Some(Fault::Late) => {
                self.state().late = Some(request);
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }

    fn lacks_right(&self, request: &Request<Full<Bytes>>) -> bool {
        let path = request.uri().path();
        let is_patch = request.method() == Method::PATCH && path.contains("networkpolicies/");
        let name = path.rsplit('/').next().unwrap_or_default();
        match self.0.person {
            Person::Lead => false,
            Person::OnCall => {
                let policies = self.0.cluster.policies();
                is_patch && !policies.iter().any(|policy| policy["metadata"]["name"] == name)
            }
            Person::Deleter => is_patch,
        }
    }
}

async fn whole(request: Request<Body>) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", "127.0.0.1:6443".parse().expect("a header value"));
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Request::from_parts(parts, Full::new(body))
}

async fn deliver(cluster: &Cluster, request: Request<Full<Bytes>>) -> io::Result<Response<Full<Bytes>>> {
    let groups = vec!["system:masters".to_owned()];
    let peer = Peer { certificate: Some(CertName { user: "lead".to_owned(), groups }) };
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
    });
    let broken = |error: hyper::Error| io::Error::other(error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(broken)?;
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let body = body.collect().await.map_err(broken)?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

fn forbidden() -> Response<Full<Bytes>> {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"forbidden: you may not","reason":"Forbidden","code":403}"#;
    Response::builder()
        .status(403)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(status.as_bytes())))
        .expect("a response")
}
