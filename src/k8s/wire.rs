//! Requests to one API server, each with a deadline, and its answers as bytes or lines. Does not
//! know what the objects mean. Nothing is retried here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::{NsName, Text},
        policy::PolicyKind,
        time::Timestamp,
    },
};

use super::{
    door::{Door, Ready},
    failure::Failure,
};

/// Every request but a watch is answered within this, or counts as unanswered. Renewing credentials
/// has a longer time of its own before it.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// A larger answer is not taken in.
const ANSWER_LIMIT: usize = 64 << 20;
/// More warnings of one answer are not taken in.
const WARNINGS: usize = 16;
/// A longer line of a watch is not taken in.
const LINE_LIMIT: usize = 8 << 20;

pub const JSON: &str = "application/json";
pub const APPLY: &str = "application/apply-patch+yaml";
/// Metadata only, of one object and of a list.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// One API server, as one person.
#[derive(Clone)]
pub struct Server {
    link: Link,
}

#[derive(Clone)]
enum Link {
    /// For good.
    Standing(kube::Client),
    /// For as long as its credentials serve, then one with others.
    Renewed(Arc<Renewed>),
}

struct Renewed {
    door: Arc<Door>,
    /// With the number of what it was made from.
    client: Mutex<(u64, kube::Client)>,
}

/// What one request goes by.
struct Way<'a> {
    client: kube::Client,
    /// Who is told when the server does not accept its credentials, and of which.
    door: Option<(&'a Door, u64)>,
}

impl Way<'_> {
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        self.client.send(request).await.map_err(|error| Failure::of_client(&error))
    }

    fn heed<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if let (Err(failure), Some((door, number))) = (&answer, self.door)
            && failure.code() == Some(401)
        {
            door.refuse(number);
        }
        answer
    }
}

/// One request.
pub struct Call {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub accept: &'static str,
    /// Media type and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), accept: JSON, body: None }
    }

    pub fn metadata(path: impl Into<String>) -> Self {
        Self { accept: METADATA, ..Self::get(path) }
    }

    pub fn post(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path: path.into(), accept: JSON, body: Some((JSON, body)) }
    }

    /// A body of its own media type, such as a server-side apply.
    pub fn send(method: Method, path: impl Into<String>, kind: &'static str, body: &Value) -> Self {
        Self { method, path: path.into(), accept: JSON, body: Some((kind, body.to_string().into())) }
    }

    fn request(self, watch: bool) -> Result<Request<Body>, Failure> {
        let mut request =
            Request::builder().method(self.method).uri(self.path).header(header::ACCEPT, self.accept);
        if watch {
            // Compressed watches come one member an event, which the client below cannot undo.
            request = request.header(header::ACCEPT_ENCODING, "identity");
        }
        let body = match self.body {
            Some((kind, bytes)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                Body::from(bytes)
            }
            None => Body::from(Vec::new()),
        };
        request.body(body).map_err(|_| Failure::Unreached {
            fact: Text::new("the request could not be formed"),
            next: "Check the names in it.",
        })
    }
}

impl Server {
    pub fn new(client: kube::Client) -> Self {
        Self { link: Link::Standing(client) }
    }

    /// Through this door, with a client of its own.
    pub async fn enter(door: &Arc<Door>) -> Result<Self, Trouble> {
        let ready = door.enter().await?;
        let client = Mutex::new((ready.number, ready.client().await?));
        Ok(Self { link: Link::Renewed(Arc::new(Renewed { door: door.clone(), client })) })
    }

    /// The client whose credentials serve now.
    pub async fn client(&self) -> Result<kube::Client, Failure> {
        self.way().await.map(|way| way.client)
    }

    async fn way(&self) -> Result<Way<'_>, Failure> {
        let renewed = match &self.link {
            Link::Standing(client) => return Ok(Way { client: client.clone(), door: None }),
            Link::Renewed(renewed) => renewed,
        };
        let no_credentials = |trouble: Trouble| Failure::Unreached {
            fact: trouble.fact,
            next: "Sign in again, or run the context's exec plugin by hand to see its message.",
        };
        let ready = renewed.door.stay().await.map_err(no_credentials)?;
        let client = renewed.client(&ready).await.map_err(no_credentials)?;
        Ok(Way { client, door: Some((&renewed.door, ready.number)) })
    }

    /// Sends a request and decodes the answer.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        json(&self.bytes(call).await?)
    }

    /// Sends a request; the answer's body, whole.
    pub async fn bytes(&self, call: Call) -> Result<Bytes, Failure> {
        self.answer(call).await.map(|answer| answer.body)
    }

    /// The same, with what the server says beside.
    pub async fn answer(&self, call: Call) -> Result<Answer, Failure> {
        let request = call.request(false)?;
        let mut way = self.way().await?;
        let answer = timeout(DEADLINE, exchange(&mut way, request)).await;
        way.heed(answer.unwrap_or_else(|_| Err(Failure::deadline(DEADLINE))))
    }

    /// The same, with the server's clock at that moment, from the `Date` header to the second.
    pub async fn dated(&self, call: Call) -> Result<(Bytes, Option<Timestamp>), Failure> {
        self.answer(call).await.map(|answer| (answer.body, answer.date))
    }

    /// Opens a watch: the first answer has to come within the deadline, the lines take their time.
    pub async fn watch(&self, path: String, accept: &'static str) -> Result<Lines, Failure> {
        let (body, _) = self.stream(path, accept, Some(DEADLINE)).await?;
        Ok(Lines { body, buffer: BytesMut::new() })
    }

    /// An answer that goes on: its body, and the server's clock when it began. Without a deadline it
    /// may begin whenever there is something to say.
    pub async fn stream(
        &self,
        path: String,
        accept: &'static str,
        deadline: Option<Duration>,
    ) -> Result<(Body, Option<Timestamp>), Failure> {
        let call = Call { accept, ..Call::get(path) };
        let request = call.request(true)?;
        let mut way = self.way().await?;
        let open = async {
            let response = way.send(request).await?;
            let (parts, body) = response.into_parts();
            if parts.status == StatusCode::OK && !is_foreign(&parts.headers) {
                return Ok((body, date(&parts.headers)));
            }
            let body = Limited::new(body, 1 << 20).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            check(parts.status, &parts.headers, &body)?;
            Err(Failure::Foreign(Text::new("the answer is not a stream")))
        };
        let opened = match deadline {
            Some(deadline) => {
                timeout(deadline, open).await.unwrap_or_else(|_| Err(Failure::deadline(deadline)))
            }
            None => open.await,
        };
        way.heed(opened)
    }
}

impl Renewed {
    async fn client(&self, ready: &Ready) -> Result<kube::Client, Trouble> {
        let held = || self.client.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let held = held();
            if held.0 == ready.number {
                return Ok(held.1.clone());
            }
        }
        let client = ready.client().await?;
        *held() = (ready.number, client.clone());
        Ok(client)
    }
}

/// What a server answered.
pub struct Answer {
    pub body: Bytes,
    /// The server's clock at that moment, to the second.
    pub date: Option<Timestamp>,
    /// What it warns of: a deprecated version, a policy whose action is to warn.
    pub warnings: Vec<Text>,
}

async fn exchange(way: &mut Way<'_>, request: Request<Body>) -> Result<Answer, Failure> {
    let response = way.send(request).await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|error| {
        let next = "The connection broke in the middle of the answer; try again.";
        match error.downcast::<kube::Error>() {
            Ok(error) => Failure::of_client(&error),
            Err(_) => Failure::Silent { fact: Text::new("the answer is larger than 64 MiB"), next },
        }
    })?;
    let body = body.to_bytes();
    check(parts.status, &parts.headers, &body)?;
    Ok(Answer { body, date: date(&parts.headers), warnings: warnings(&parts.headers) })
}

/// The lines of a watch.
pub struct Lines {
    body: Body,
    buffer: BytesMut,
}

impl Lines {
    /// The next whole line; `None` at the end. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                return Ok(Some(line.freeze()));
            }
            if self.buffer.len() > LINE_LIMIT {
                return Err(Failure::Silent {
                    fact: Text::new("an event is larger than 8 MiB"),
                    next: "Look for an object of that size in this cluster.",
                });
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Failure::of_client(&error)),
                None => return Ok(None),
            }
        }
    }
}

pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let foreign = |_| Failure::Foreign(Text::new("the answer is not the JSON that Kubernetes sends"));
    serde_json::from_slice(body).map_err(foreign)
}

fn check(status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Result<(), Failure> {
    if status.is_success() && !is_foreign(headers) {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or("");
    Err(Failure::of_answer(status.as_u16(), kind, text(header::RETRY_AFTER), body))
}

fn date(headers: &http::HeaderMap) -> Option<Timestamp> {
    let raw = headers.get(header::DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(raw).ok()?.with_timezone(&Utc))
}

/// The texts of `Warning: 299 - "text"` (RFC 7234, which Kubernetes goes by), at most [`WARNINGS`].
fn warnings(headers: &http::HeaderMap) -> Vec<Text> {
    let values = headers.get_all(header::WARNING).iter();
    values.flat_map(|value| warned(&String::from_utf8_lossy(value.as_bytes()))).take(WARNINGS).collect()
}

/// One header may have several, each `299 agent "text"`, perhaps with a date in quotes behind it.
fn warned(raw: &str) -> Vec<Text> {
    let (mut out, mut rest) = (Vec::new(), raw);
    while let Some((head, tail)) = rest.split_once('"') {
        let (mut text, mut end, mut is_escaped) = (String::new(), tail.len(), false);
        for (at, letter) in tail.char_indices() {
            match letter {
                '\\' if !is_escaped => is_escaped = true,
                '"' if !is_escaped => {
                    end = at + 1;
                    break;
                }
                letter => {
                    text.push(letter);
                    is_escaped = false;
                }
            }
        }
        if head.trim_start_matches([',', ' ']).starts_with("299 ") && !text.is_empty() {
            out.push(Text::new(&text));
        }
        rest = &tail[end..];
    }
    out
}

fn is_foreign(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// Where the policies of a kind stand: of a namespace, or of all.
pub fn policies_path(kind: PolicyKind, ns: Option<&NsName>) -> String {
    let (group, plural) = match kind {
        PolicyKind::NetworkPolicy => ("networking.k8s.io/v1", "networkpolicies"),
        PolicyKind::CiliumNetworkPolicy => ("cilium.io/v2", "ciliumnetworkpolicies"),
        PolicyKind::CiliumClusterwideNetworkPolicy => ("cilium.io/v2", "ciliumclusterwidenetworkpolicies"),
    };
    match ns {
        Some(ns) => format!("/apis/{group}/namespaces/{ns}/{plural}"),
        None => format!("/apis/{group}/{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_as_servers_write_them() {
        for (raw, told) in [
            (r#"299 - "policy is deprecated""#, &["policy is deprecated"][..]),
            (r#"299 - "one", 299 apiserver "two, \"quoted\"""#, &["one", "two, \"quoted\""]),
            (r#"299 - "dated" "Sat, 25 Aug 2012 23:34:45 GMT", 299 - "next""#, &["dated", "next"]),
            (r#"110 - "stale", 299 - "ours""#, &["ours"]),
            (r#"299 - "unfinished"#, &["unfinished"]),
            (r#"299 - """#, &[]),
            ("299 -", &[]),
            ("", &[]),
        ] {
            let texts: Vec<_> = warned(raw).iter().map(ToString::to_string).collect();
            assert_eq!(texts, told, "{raw}");
        }
        let mut headers = http::HeaderMap::new();
        for number in 0..40 {
            let value = format!("299 - \"number {number}\"");
            headers.append(header::WARNING, value.parse().expect("a header"));
        }
        let texts = warnings(&headers);
        assert_eq!((texts.len(), texts[15].as_str()), (16, "number 15"));
    }
}
