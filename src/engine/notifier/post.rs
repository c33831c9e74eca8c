//! Posts bodies to a webhook, one after the other: a connection each, a deadline each, few retries.
//! Never follows a redirect and never shows the URL beyond its host: it may be a secret.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{
    cockpit::ports::{Fact, Trouble},
    flows::source::BoxIo,
};

/// One message, ready to send.
pub(super) struct Message {
    pub(super) url: Arc<Url>,
    pub(super) body: String,
}

/// Where messages go, and what proves that we may send there.
pub(super) struct Url {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
    token: Option<String>,
}

impl Url {
    /// An http or https URL without a user in it.
    pub(super) fn parse(raw: &str, token: Option<&str>) -> Result<Self, String> {
        let uri: Uri = raw.parse().map_err(|_| "it is no URL".to_owned())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("it does not begin with http:// or https://".to_owned()),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user or a password".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if token.is_some() && !tls && !is_loopback(&host) {
            return Err("a token would go there in the clear".to_owned());
        }
        Ok(Self { host, port, tls, token: token.map(str::to_owned), uri })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// How a connection is made; tests make it in memory.
pub(super) type Connect = Arc<dyn Fn(Arc<Url>) -> BoxFuture<'static, Result<BoxIo, String>> + Send + Sync>;

/// For one attempt, from the connection to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses before further attempts.
const RETRIES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Sends what comes until nobody can send any more.
pub(super) async fn run(mut messages: mpsc::Receiver<Message>, connect: Connect, facts: mpsc::Sender<Fact>) {
    let mut failing = false;
    while let Some(message) = messages.recv().await {
        let host = message.url.host().to_owned();
        match deliver(&message, &connect).await {
            Ok(()) => failing = false,
            // One notice for as long as it fails.
            Err(_) if failing => {}
            Err(fact) => {
                failing = true;
                let next =
                    "Check `notify:` in sluice.yaml and the receiver; the message is on no other way to you.";
                let trouble = Trouble::new(&format!("webhook at {host}"), &fact, next);
                tracing::warn!(%trouble, "a notification was not delivered");
                let _ = facts.send(Fact::Notice(trouble)).await;
            }
        }
    }
}

enum Failed {
    /// Another attempt may help.
    ForNow(String),
    ForGood(String),
}

async fn deliver(message: &Message, connect: &Connect) -> Result<(), String> {
    let mut pauses = RETRIES.into_iter();
    loop {
        let attempt = timeout(PATIENCE, attempt(message, connect)).await;
        match attempt.unwrap_or_else(|_| Err(Failed::ForNow("no answer within 10 s".to_owned()))) {
            Ok(()) => return Ok(()),
            Err(Failed::ForGood(fact)) => return Err(fact),
            Err(Failed::ForNow(fact)) => match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => return Err(format!("{fact}, {} times", RETRIES.len() + 1)),
            },
        }
    }
}

async fn attempt(message: &Message, connect: &Connect) -> Result<(), Failed> {
    let for_now = |error: hyper::Error| Failed::ForNow(error.to_string());
    let stream = connect(Arc::clone(&message.url)).await.map_err(Failed::ForNow)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(for_now)?;
    let request = request(message)?;
    // The connection lives for as long as the answer takes.
    let answered = async {
        let answer = sender.send_request(request).await.map_err(for_now)?;
        let status = answer.status();
        // Read, so that the other side sees an orderly end; what it says may be anything.
        let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
        Ok(status)
    };
    let status = tokio::select! {
        biased;
        status = answered => status?,
        ended = connection => {
            let why = ended.err().map_or("the connection ended".to_owned(), |error| error.to_string());
            return Err(Failed::ForNow(why));
        }
    };
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(Failed::ForNow(format!("HTTP {status}")))
        }
        status if status.is_server_error() => Err(Failed::ForNow(format!("HTTP {status}"))),
        status => Err(Failed::ForGood(format!("HTTP {status}"))),
    }
}

fn request(message: &Message) -> Result<Request<Full<Bytes>>, Failed> {
    let url = &message.url;
    let path = url.uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("sluice/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = &url.token {
        let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failed::ForGood("the token holds a byte that no header can".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request
        .body(Full::new(Bytes::from(message.body.clone())))
        .map_err(|error| Failed::ForGood(format!("the request could not be made ({error})")))
}

/// Over TCP, with TLS by the system's certificate authorities.
pub(super) fn connect() -> Connect {
    Arc::new(|url| {
        async move {
            let open = TcpStream::connect((url.host.as_str(), url.port));
            let stream = open.await.map_err(|error| error.to_string())?;
            if !url.tls {
                return Ok(Box::pin(stream) as BoxIo);
            }
            let config = rustls::ClientConfig::builder()
                .with_platform_verifier()
                .map_err(|error| format!("the system's certificate authorities cannot be read ({error})"))?
                .with_no_client_auth();
            let name = rustls::pki_types::ServerName::try_from(url.host.clone())
                .map_err(|_| "its host is no name that a certificate can have".to_owned())?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            Ok(Box::pin(stream.map_err(|error| error.to_string())?) as BoxIo)
        }
        .boxed()
    })
}

#[cfg(test)]
mod tests;
