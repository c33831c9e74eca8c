//! One connection's requests: who asks, may they, what do they ask, and the answer on the wire.
//! The order of these checks is that of a real server. It never opens a socket.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use serde_json::Value;

use crate::sim::api::cluster::{Cluster, Peer, PodPort};
use crate::sim::api::delete;
use crate::sim::api::discovery;
use crate::sim::api::faults::{Faults, Reach};
use crate::sim::api::forms::{self, EventShape};
use crate::sim::api::negotiate::{self, Accepted, Form, Media, Offer};
use crate::sim::api::portforward;
use crate::sim::api::query::Query;
use crate::sim::api::read;
use crate::sim::api::reply::{self, Body, Content, Reply};
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::route::{Route, Target};
use crate::sim::api::select::Selection;
use crate::sim::api::status::Status;
use crate::sim::api::store::Key;
use crate::sim::api::watch::{self, WatchOptions};
use crate::sim::api::write::{Write, Written};

/// Larger bodies are refused.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// Larger answers are sent in chunks, as the real server's buffer makes it do.
const CHUNK_FROM: usize = 2048;

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

/// One request, read.
struct Call {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    body: Result<Bytes, Status>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Call {
    async fn read(mut request: Request<Incoming>) -> Self {
        let asks_upgrade = request.headers().contains_key("upgrade");
        let upgrade = asks_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let too_large = || {
            let message = format!("Request entity too large: limit is {BODY_LIMIT}");
            Status::new(413, "RequestEntityTooLarge", message)
        };
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body: body.map(|b| b.to_bytes()).map_err(|_| too_large()),
            upgrade,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Service {
    pub(super) fn new(cluster: Cluster, peer: Peer) -> Self {
        Self { cluster, peer }
    }

    async fn handle(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let faults = self.cluster.faults();
        self.suffer(&faults).await?;
        let mut call = Call::read(request).await;
        if faults.garbage {
            return render(&self.cluster, garbage(), Media::Json);
        }
        let accepted = self.negotiate(&call);
        let answer = self.answer(&mut call).await;
        let writes = !matches!(call.method, Method::GET | Method::HEAD);
        if faults.lose_write_answers && writes && answer.is_ok() {
            return Err(io::Error::other("the scenario loses this answer"));
        }
        let media = accepted.map_or(Media::Json, |a| a.media);
        match answer {
            Ok(reply) => render(&self.cluster, reply, media),
            Err(status) => render(&self.cluster, of_status(&status), Media::Json),
        }
    }

    async fn suffer(&self, faults: &Faults) -> io::Result<()> {
        if !faults.latency.is_zero() {
            tokio::time::sleep(faults.latency).await;
        }
        match faults.reach {
            Reach::Answers => Ok(()),
            Reach::Silent => std::future::pending().await,
            Reach::Breaks => Err(io::Error::other("the scenario breaks this connection")),
        }
    }

    fn negotiate(&self, call: &Call) -> Result<Accepted, Status> {
        negotiate::accept(call.header("accept"), Offer::Objects)
    }

    async fn answer(&self, call: &mut Call) -> Result<Reply, Status> {
        self.authenticate(call)?;
        match Route::of(&call.method, &call.path, &call.query) {
            Route::Path { path, .. } => self.answer_path(call, &path),
            Route::Resource(target) => self.answer_resource(call, &target).await,
        }
    }

    /// A placeholder until the rules of sign-in are merged: a known token or certificate.
    fn authenticate(&self, call: &Call) -> Result<(), Status> {
        let unauthorized = || Status::new(401, "Unauthorized", "Unauthorized");
        match call.header("authorization").and_then(|h| h.strip_prefix("Bearer ")) {
            Some(token) => {
                let known = self.cluster.accounts().iter().any(|a| a.token == token);
                if known { Ok(()) } else { Err(unauthorized()) }
            }
            None if self.peer.certificate.is_some() => Ok(()),
            None => Err(unauthorized()),
        }
    }

    fn answer_path(&self, call: &Call, path: &str) -> Result<Reply, Status> {
        let catalog = self.cluster.catalog();
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let document = match segments.as_slice() {
            [] => discovery::root(),
            ["version"] => discovery::version(),
            ["livez" | "readyz" | "healthz"] => {
                return Ok(Reply::text(200, discovery::health(path, call.query.has("verbose"))));
            }
            ["api"] | ["apis"] => return self.discover(call, segments[0] == "api"),
            ["api", version] if catalog.has_version("", version) => {
                discovery::resources(catalog, "", version)
            }
            ["api", _] => return Err(no_route()),
            ["apis", group] if catalog.has_group(group) => discovery::group(catalog, group),
            ["apis", group, version] if catalog.has_version(group, version) => {
                discovery::resources(catalog, group, version)
            }
            ["apis", group, _] if catalog.has_group(group) => return Err(no_route()),
            _ => return Err(Status::text(404, "404 page not found\n")),
        };
        negotiate::accept(call.header("accept"), Offer::Plain)?;
        Ok(Reply::json(200, document))
    }

    fn discover(&self, call: &Call, core: bool) -> Result<Reply, Status> {
        let catalog = self.cluster.catalog();
        let accepted = negotiate::accept(call.header("accept"), Offer::Discovery)?;
        let document = match accepted.form {
            Form::Discovery => discovery::aggregated(catalog, core),
            _ if core => discovery::core_versions(self.cluster.address()),
            _ => discovery::groups(catalog),
        };
        Ok(Reply::json(200, document))
    }

    async fn answer_resource(&self, call: &mut Call, target: &Target) -> Result<Reply, Status> {
        let catalog = self.cluster.catalog();
        if !catalog.has_group(&target.group) {
            return Err(Status::text(404, "404 page not found\n"));
        }
        let id = catalog.find(&target.group, &target.version, &target.resource).ok_or_else(no_route)?;
        let resource = self.cluster.resource(id).clone();
        check_route(&resource, target)?;
        if target.subresource == "portforward" {
            return self.forward(call, id, target);
        }
        let namespace = if resource.namespaced { target.namespace.as_str() } else { "" };
        let key = Key::new(id, namespace, &target.name);
        let offer = if target.verb == "watch" { Offer::Watch } else { Offer::Objects };
        let form = negotiate::accept(call.header("accept"), offer)?.form;
        match target.verb.as_str() {
            "get" => {
                let object = read::get(&self.cluster, id, &key, &call.query).await?;
                shaped(200, Value::clone(&object), form, false, &resource)
            }
            "list" => {
                let selection = Selection::parse(id, &resource, target, &call.query)?;
                let list = read::list(&self.cluster, &selection, &call.query).await?;
                shaped(200, list, form, true, &resource)
            }
            "watch" => {
                let selection = Selection::parse(id, &resource, target, &call.query)?;
                let options = WatchOptions::parse(&call.query)?;
                let shape = EventShape::new(form);
                Ok(Reply::lines(watch::open(&self.cluster, selection, options, shape)))
            }
            "delete" => Ok(Reply::json(200, delete::delete(&self.cluster, id, &key)?)),
            "create" | "update" | "patch" => {
                let written = self.write(call, id, target)?;
                shaped(written.code, written.object, form, false, &resource)
            }
            _ => Err(no_method()),
        }
    }

    fn write(&self, call: &Call, id: ResourceId, target: &Target) -> Result<Written, Status> {
        let body = call.body.as_ref().map_err(Clone::clone)?;
        let write = Write {
            cluster: &self.cluster,
            id,
            target,
            query: &call.query,
            body,
            content_type: call.header("content-type").unwrap_or_default(),
            manager: call.query.get("fieldManager").to_owned(),
        };
        match target.verb.as_str() {
            "create" => write.create(),
            "update" => write.replace(),
            _ => write.patch(),
        }
    }

    fn forward(&self, call: &mut Call, id: ResourceId, target: &Target) -> Result<Reply, Status> {
        let key = Key::new(id, &target.namespace, &target.name);
        let pod = self.cluster.store().get(&key).cloned();
        pod.ok_or_else(|| read::not_found(self.cluster.resource(id), &target.name))?;
        let key = call.header("sec-websocket-key").unwrap_or_default().to_owned();
        let upgrade = call.upgrade.take().filter(|_| portforward::is_websocket_key(&key));
        let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
        let answer = self.cluster.portforward().unwrap_or_else(portforward::nobody);
        let numbers = call.query.all("ports").flat_map(|p| p.split(','));
        let ports = numbers
            .filter_map(|number| number.parse().ok())
            .map(|port| PodPort { namespace: target.namespace.clone(), pod: target.name.clone(), port })
            .collect();
        tokio::spawn(portforward::run(upgrade, ports, answer));
        Ok(portforward::switching(&key))
    }
}

/// Which methods a path takes.
fn check_route(resource: &Resource, target: &Target) -> Result<(), Status> {
    let named = target.named_in_path;
    let needs_namespace = resource.namespaced && target.namespace.is_empty();
    let known_sub =
        target.subresource.is_empty() || resource.subresources.iter().any(|s| s.name == target.subresource);
    if target.too_deep || !known_sub || (needs_namespace && named) {
        return Err(no_route());
    }
    let allowed = match target.verb.as_str() {
        "list" | "watch" => !named || target.watch_prefix,
        "create" => (!named && !needs_namespace) || !target.subresource.is_empty(),
        "deletecollection" => resource.serves("deletecollection") && !needs_namespace,
        "get" | "update" | "patch" | "delete" => named,
        _ => false,
    };
    if allowed { Ok(()) } else { Err(no_method()) }
}

fn no_route() -> Status {
    Status::new(404, "NotFound", "the server could not find the requested resource")
        .with_details(serde_json::json!({}))
}

fn no_method() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::new(405, "MethodNotAllowed", message).with_details(serde_json::json!({}))
}

fn shaped(code: u16, value: Value, form: Form, list: bool, resource: &Resource) -> Result<Reply, Status> {
    Ok(Reply::json(code, forms::shape(value, form, list, resource)?))
}

fn of_status(status: &Status) -> Reply {
    let mut reply = if status.plain {
        Reply::text(status.code, status.message.clone()).with_header("x-content-type-options", "nosniff")
    } else {
        Reply::json(status.code, status.to_value())
    };
    reply.headers.extend(status.headers.iter().cloned());
    reply
}

fn garbage() -> Reply {
    let page = "<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";
    let content = Content::Bytes("text/html", Bytes::from_static(page.as_bytes()));
    Reply { code: 200, headers: Vec::new(), content }
}

/// Puts an answer on the wire.
fn render(cluster: &Cluster, reply: Reply, media: Media) -> io::Result<Response<Body>> {
    let mut builder = Response::builder().status(reply.code).header("audit-id", cluster.new_uid());
    if reply.code != 101 {
        builder = builder.header("cache-control", "no-cache, private");
    }
    for (name, value) in &reply.headers {
        builder = builder.header(*name, value);
    }
    let (content_type, body) = match reply.content {
        Content::Json(value) => body_of(&value, media)?,
        Content::Bytes(content_type, bytes) => (content_type, sized(bytes)),
        Content::Lines(lines) => ("application/json", reply::streamed(lines)),
        Content::Nothing => ("", reply::empty()),
    };
    if !content_type.is_empty() {
        builder = builder.header("content-type", content_type);
    }
    builder.body(body).map_err(io::Error::other)
}

fn body_of(value: &Value, media: Media) -> io::Result<(&'static str, Body)> {
    match media {
        Media::Json => Ok(("application/json", sized(Bytes::from(format!("{value}\n"))))),
        Media::Yaml => {
            let text = serde_yaml::to_string(value).map_err(io::Error::other)?;
            Ok(("application/yaml", sized(Bytes::from(text))))
        }
    }
}

fn sized(bytes: Bytes) -> Body {
    if bytes.len() > CHUNK_FROM { reply::chunked(bytes) } else { reply::whole(bytes) }
}
