//! The collector's read-only door: HTTP/1.1 with `/healthz`, `/v1/state` and `/v1/edges`. Bounded in
//! connections, answers and time, and never in the way of gathering: state is a copy, edges are
//! read a page at a time. Anything else is refused in a sentence. Input: connections of anybody.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Duration, sleep, timeout},
};

use super::{
    store::{Page, Reader},
    wire,
};
use crate::{
    cockpit::ports::CollectorState,
    domain::{
        edge::Window,
        names::{NsName, Text},
        time::Timestamp,
    },
    edges,
};

/// Where the collector listens unless told otherwise; the manifest and the cockpit name the same.
pub const PORT: u16 = 7117;
/// The label of a collector's pods.
pub const LABEL: &str = "app.kubernetes.io/name=sluice-collect";

const CONNECTIONS: usize = 64;
/// Answers of edges that are written at the same time.
const ANSWERS: usize = 4;
/// How long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a client may take for one piece of an answer.
const SLOW: Duration = Duration::from_secs(30);

/// What a connection may look at. Clones share their limits.
#[derive(Clone)]
pub struct Door {
    state: watch::Receiver<Arc<CollectorState>>,
    edges: Reader,
    connections: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer that could not be finished: the connection ends, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the edges could not be read to their end: {0}")]
struct Broken(Text);

impl Door {
    pub fn new(state: watch::Receiver<Arc<CollectorState>>, edges: Reader) -> Self {
        Self {
            state,
            edges,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            answers: Arc::new(Semaphore::new(ANSWERS)),
        }
    }
}

/// Opens the port; a taken one is an error at once, not later. Told with the address that it is: of
/// port 0 the one that was free.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves for ever.
pub async fn listen(listener: TcpListener, door: Door) -> Infallible {
    loop {
        let Ok(permit) = door.connections.clone().acquire_owned().await else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    connection(stream, door).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, mostly: others close in time.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Serves one connection until it ends.
pub async fn connection<S>(stream: S, door: Door)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(answer(&door, &request)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a reader's connection ended");
    }
}

fn answer(door: &Door, request: &Request<Incoming>) -> Response<Body> {
    if request.method() != Method::GET {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "This door is for reading: use GET.\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/v1/state" => {
            let state = door.state.borrow().clone();
            typed(StatusCode::OK, "application/json", full(wire::to_json(&state)))
        }
        "/v1/edges" => match Wanted::of(request.uri().query().unwrap_or_default()) {
            Ok(wanted) => edges_of(door, wanted),
            Err(why) => text(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "There is nothing here. Known: /healthz, /v1/state, /v1/edges?namespace=NS&from=TIME&to=TIME.\n",
        ),
    }
}

fn edges_of(door: &Door, wanted: Wanted) -> Response<Body> {
    let Ok(permit) = door.answers.clone().try_acquire_owned() else {
        let mut busy = text(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many answers are being written; try again in a few seconds.\n",
        );
        busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return busy;
    };
    let (pieces, body) = mpsc::channel(2);
    tokio::spawn(write_edges(door.edges.clone(), wanted, pieces, permit));
    let frames = futures::stream::unfold(body, async |mut body| {
        let piece: Result<Bytes, Broken> = body.recv().await?;
        Some((piece.map(Frame::data), body))
    });
    typed(StatusCode::OK, "application/jsonl", StreamBody::new(frames.boxed()).boxed_unsync())
}

/// Hands the answer over piece by piece, and gives up on a client that does not take them.
async fn write_edges(
    reader: Reader,
    wanted: Wanted,
    pieces: mpsc::Sender<Result<Bytes, Broken>>,
    _permit: OwnedSemaphorePermit,
) {
    let wanted = Arc::new(wanted);
    let mut after = None;
    loop {
        let page = read(reader.clone(), wanted.clone(), after).await;
        let (piece, next) = match page {
            Ok(page) => (Ok(lines(&page)), page.next),
            Err(why) => (Err(Broken(why)), None),
        };
        let sent = timeout(SLOW, pieces.send(piece)).await;
        after = next;
        if after.is_none() || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read(reader: Reader, wanted: Arc<Wanted>, after: Option<Vec<u8>>) -> Result<Page, Text> {
    let page = move || reader.page(wanted.ns.as_ref(), wanted.window, after.as_deref());
    match tokio::task::spawn_blocking(page).await {
        Ok(page) => page.map_err(|unreadable| unreadable.0),
        Err(_) => Err(Text::new("reading stopped on a fault of sluice")),
    }
}

fn lines(page: &Page) -> Bytes {
    let mut out = String::new();
    for (key, edge) in &page.edges {
        out.push_str(&edges::to_line(key, edge));
        out.push('\n');
    }
    out.into()
}

/// Which edges are asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    ns: Option<NsName>,
    window: Option<Window>,
}

impl Wanted {
    fn of(query: &str) -> Result<Self, String> {
        let (mut ns, mut from, mut to) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "namespace" => ns = Some(NsName::parse(value).map_err(|bad| format!("{bad}."))?),
                "from" => from = Some(moment(key, value)?),
                "to" => to = Some(moment(key, value)?),
                _ => {
                    let key = Text::new(key);
                    return Err(format!("{key:?} is not known here. Known: namespace, from, to."));
                }
            }
        }
        let window = match (from, to) {
            (None, None) => None,
            (from, to) => Some(Window {
                from: from.unwrap_or(Timestamp::UNIX_EPOCH),
                to: to.unwrap_or(Timestamp::MAX_UTC),
            }),
        };
        if window.is_some_and(|window| window.from >= window.to) {
            return Err("`from` must be before `to`.".to_owned());
        }
        Ok(Self { ns, window })
    }
}

fn moment(key: &str, value: &str) -> Result<Timestamp, String> {
    let value = value.replace("%3A", ":").replace("%3a", ":");
    let at = chrono::DateTime::parse_from_rfc3339(&value);
    at.map(|at| at.to_utc()).map_err(|_| {
        format!("`{key}` must be a time such as 2026-03-02T09:00:00Z, not {:?}.", Text::new(&value))
    })
}

fn text(status: StatusCode, said: &str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", full(said.to_owned()))
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_wrong_ones_are_told() {
        let at = |secs| Timestamp::from_timestamp(secs, 0).expect("in range");
        let ns = NsName::parse("shop").ok();
        assert_eq!(Wanted::of(""), Ok(Wanted { ns: None, window: None }));
        let window = Window { from: at(1_772_442_000), to: at(1_772_445_600) };
        assert_eq!(
            Wanted::of("namespace=shop&from=2026-03-02T09:00:00Z&to=2026-03-02T10%3A00%3A00Z"),
            Ok(Wanted { ns, window: Some(window) })
        );
        for (query, said) in [
            (
                "namespace=Shop",
                "namespace \"Shop\" is not valid: it must start and end with a lower-case letter or digit.",
            ),
            ("from=now", "`from` must be a time such as 2026-03-02T09:00:00Z, not \"now\"."),
            ("a\u{1b}=1", "\"a\u{fffd}\" is not known here. Known: namespace, from, to."),
            ("from=2026-03-02T09:00:00Z&to=2026-03-02T09:00:00Z", "`from` must be before `to`."),
        ] {
            assert_eq!(Wanted::of(query), Err(said.to_owned()));
        }
    }
}
