//! One connection's requests in the order of a real server's checks: who asks, for whom, is there
//! room, may they, and only then what. It never opens a socket.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use crate::sim::api::access::Caller;
use crate::sim::api::call::Call;
use crate::sim::api::cluster::{Cluster, Peer};
use crate::sim::api::dispatch;
use crate::sim::api::faults::{Faults, Reach};
use crate::sim::api::negotiate::{self, Media, Offer};
use crate::sim::api::render::{self, Wire};
use crate::sim::api::reply::{Body, Content, Reply};
use crate::sim::api::route::Route;
use crate::sim::api::status::Status;

/// Serves the requests of one connection.
#[derive(Clone)]
pub struct Service {
    cluster: Cluster,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.handle(request).await })
    }
}

impl Service {
    pub(super) fn new(cluster: Cluster, peer: Peer) -> Self {
        Self { cluster, peer }
    }

    async fn handle(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let faults = self.cluster.faults();
        suffer(&faults).await?;
        let mut call = Call::read(request).await;
        let mut wire = wire_of(&call);
        if faults.garbage {
            return render::render(&self.cluster, garbage(), wire);
        }
        let answer = self.answer(&mut call, &faults, &mut wire.admitted).await;
        let writes = !matches!(call.method, Method::GET | Method::HEAD);
        if faults.lose_write_answers && writes && answer.is_ok() {
            return Err(io::Error::other("the scenario loses this answer"));
        }
        let reply = answer.unwrap_or_else(|status| {
            wire.media = Media::Json;
            render::of_status(&status)
        });
        render::render(&self.cluster, reply, wire)
    }

    async fn answer(&self, call: &mut Call, faults: &Faults, admitted: &mut bool) -> Result<Reply, Status> {
        let caller = Caller::of(&self.cluster, &self.peer, call, faults)?;
        *admitted = !is_long_running(&call.route);
        refuse(&call.route, &caller.user.name, faults)?;
        caller.check(&call.route)?;
        dispatch::answer(&self.cluster, call, &caller).await
    }
}

async fn suffer(faults: &Faults) -> io::Result<()> {
    if !faults.latency.is_zero() {
        tokio::time::sleep(faults.latency).await;
    }
    match faults.reach {
        Reach::Answers => Ok(()),
        Reach::Silent => std::future::pending().await,
        Reach::Breaks => Err(io::Error::other("the scenario breaks this connection")),
    }
}

fn wire_of(call: &Call) -> Wire {
    let accepted = negotiate::accept(call.header("accept"), Offer::Objects);
    Wire {
        media: accepted.map_or(Media::Json, |a| a.media),
        pretty: call.query.flag("pretty"),
        gzip: call.header("accept-encoding").is_some_and(|e| e.contains("gzip")),
        admitted: false,
    }
}

/// Streams into pods are not counted by priority and fairness.
fn is_long_running(route: &Route) -> bool {
    let Route::Resource(target) = route else { return false };
    matches!(target.subresource.as_str(), "portforward" | "exec" | "attach" | "log" | "proxy")
}

/// Too many requests of a user, as the scenario has it.
fn refuse(route: &Route, user: &str, faults: &Faults) -> Result<(), Status> {
    if matches!(route, Route::Path { .. }) {
        return Ok(());
    }
    let hit = faults.refusals.iter().find(|r| r.user.is_empty() || r.user == user);
    let Some(refusal) = hit else { return Ok(()) };
    let message = "Too many requests, please try again later.\n";
    Err(Status::text(429, message).with_header("retry-after", refusal.retry_after_secs.to_string()))
}

fn garbage() -> Reply {
    let page = "<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";
    let content = Content::Bytes("text/html", Bytes::from_static(page.as_bytes()));
    Reply { code: 200, headers: Vec::new(), content }
}
