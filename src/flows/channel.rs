//! One gRPC channel over one byte stream, with the deadlines and keepalives every source needs. What
//! is called on it is each source's own.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use hyper_util::rt::TokioIo;
use tokio::time::{Duration, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::cockpit::ports::Trouble;

use super::source::{BoxIo, Dial};

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Go's gRPC servers hang up on pings more often than every 5 minutes, unless they sent something in
/// between: a question at least every minute sees to that.
const PING: Duration = Duration::from_secs(60);
const PONG: Duration = Duration::from_secs(20);
const WINDOW: u32 = 1 << 20;
/// A message larger than this breaks the stream instead of the memory.
pub const MESSAGE: usize = 8 << 20;

/// Dials and greets. `origin` is only a word for the HTTP/2 headers; `slow` makes trouble of a fact.
pub async fn connect(
    dial: &Dial,
    origin: &'static str,
    slow: impl Fn(&str) -> Trouble,
) -> Result<Channel, Trouble> {
    connect_pinging(dial, origin, PING, slow).await
}

/// The same with other keepalives, for a source that is asked nothing while it has nothing to say.
pub async fn connect_pinging(
    dial: &Dial,
    origin: &'static str,
    ping: Duration,
    slow: impl Fn(&str) -> Trouble,
) -> Result<Channel, Trouble> {
    let stream = match timeout(CONNECT, dial()).await {
        Ok(stream) => stream?,
        Err(_) => return Err(slow("opening the connection took longer than 10 s")),
    };
    let endpoint = Endpoint::from_static(origin)
        .http2_keep_alive_interval(ping)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 2);
    match timeout(CONNECT, endpoint.connect_with_connector(once(stream))).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(_)) => Err(slow("it does not speak HTTP/2, as gRPC does")),
        Err(_) => Err(slow("it accepted the connection and then said nothing for 10 s")),
    }
}

/// Hands out one stream, once: a channel that lost it must not dial behind our back.
fn once(
    stream: BoxIo,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<BoxIo>,
    Error = std::io::Error,
    Future = futures::future::BoxFuture<'static, Result<TokioIo<BoxIo>, std::io::Error>>,
> + Send
+ 'static {
    let stream = Arc::new(Mutex::new(Some(stream)));
    tower::service_fn(move |_: http::Uri| {
        let taken = stream.lock().ok().and_then(|mut stream| stream.take());
        async move { taken.map(TokioIo::new).ok_or_else(|| std::io::ErrorKind::NotConnected.into()) }.boxed()
    })
}
