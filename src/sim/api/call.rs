//! One request as it was read from the connection. It never judges; handlers do.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request};

use crate::sim::api::protobuf;
use crate::sim::api::query::Query;
use crate::sim::api::route::Route;
use crate::sim::api::status::Status;

/// Larger bodies are refused.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: Query,
    pub route: Route,
    pub headers: HeaderMap,
    /// The whole body, or the refusal of one that is too large.
    pub body: Result<Bytes, Status>,
    /// There if the client asks to speak another protocol from here on.
    pub upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Call {
    pub async fn read(mut request: Request<Incoming>) -> Self {
        let asks_upgrade = request.headers().contains_key("upgrade");
        let upgrade = asks_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path().to_owned();
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        let mut call = Self {
            route: Route::of(&parts.method, &path, &query),
            method: parts.method,
            path,
            query,
            headers: parts.headers,
            body: body.map(|b| b.to_bytes()).map_err(|_| too_large()),
            upgrade,
        };
        call.translate();
        call
    }

    /// Turns a protobuf body into JSON, where this server knows its kind.
    fn translate(&mut self) {
        if self.header("content-type") != Some(protobuf::CONTENT_TYPE) {
            return;
        }
        if let Some(json) = self.body.as_ref().ok().and_then(protobuf::to_json) {
            self.body = Ok(json);
            self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, or why there is none.
    pub fn body(&self) -> Result<&Bytes, Status> {
        self.body.as_ref().map_err(Clone::clone)
    }

    /// Whether the client asks for a WebSocket or the older SPDY.
    pub fn asks_upgrade(&self) -> bool {
        self.upgrade.is_some()
            && self.header("connection").is_some_and(|c| c.to_lowercase().contains("upgrade"))
    }
}

fn too_large() -> Status {
    let message = format!("Request entity too large: limit is {BODY_LIMIT}");
    Status::new(413, "RequestEntityTooLarge", message)
}
