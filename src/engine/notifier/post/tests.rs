//! A webhook that answers as told: in memory under a paused clock, and once over loopback.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use http::Response;
use hyper::{body::Incoming, server, service::service_fn};
use tokio::{net::TcpListener, time::Instant};

use super::*;

/// What came in, and when.
type Heard = Arc<Mutex<Vec<(u64, String)>>>;

async fn answer(
    request: Request<Incoming>,
    heard: Heard,
    start: Instant,
    status: StatusCode,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let header =
        |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let words = format!(
        "{} {} host {} type {} authorization {} {}",
        parts.method,
        parts.uri,
        header(header::HOST),
        header(header::CONTENT_TYPE),
        header(header::AUTHORIZATION),
        String::from_utf8_lossy(&body)
    );
    heard.lock().unwrap_or_else(PoisonError::into_inner).push((start.elapsed().as_secs(), words));
    let mut response = Response::new(Full::new(Bytes::from_static(b"anything")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::LOCATION, header::HeaderValue::from_static("http://elsewhere.example/"));
    response
}

async fn serve(stream: BoxIo, heard: Heard, start: Instant, status: StatusCode) {
    let service = service_fn(move |request| {
        let heard = heard.clone();
        async move { Ok::<_, Infallible>(answer(request, heard, start, status).await) }
    });
    let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Answers with these, one an attempt; `None`: takes the connection and never answers. After the last
/// one nobody listens.
fn in_memory(heard: &Heard, answers: Vec<Option<u16>>) -> Connect {
    let (heard, start) = (heard.clone(), Instant::now());
    let answers = Mutex::new(answers.into_iter());
    Arc::new(move |_| {
        let next = answers.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (heard, (ours, theirs)) = (heard.clone(), tokio::io::duplex(64 * 1024));
        async move {
            match next {
                None => return Err("connection refused".to_owned()),
                Some(None) => {
                    tokio::spawn(async move {
                        let _open = theirs;
                        std::future::pending::<()>().await;
                    });
                }
                Some(Some(status)) => {
                    let status = StatusCode::from_u16(status).expect("a status");
                    tokio::spawn(serve(Box::pin(theirs), heard, start, status));
                }
            }
            Ok(Box::pin(ours) as BoxIo)
        }
        .boxed()
    })
}

fn message(url: &str, token: Option<&str>) -> Message {
    let url = Url::parse(url, token).expect("it can be used");
    Message { url: Arc::new(url), body: r#"{"text":"x"}"#.to_owned() }
}

fn heard(heard: &Heard) -> Vec<(u64, String)> {
    heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

const SAID: &str =
    r#"POST /hook?a=b host hooks.example:8443 type application/json authorization Bearer t0k {"text":"x"}"#;

#[tokio::test(start_paused = true)]
async fn what_fails_for_now_is_tried_again_with_growing_pauses() {
    let requests = Heard::default();
    let connect = in_memory(&requests, vec![Some(503), Some(429), None, Some(204)]);
    let message = message("https://hooks.example:8443/hook?a=b", Some("t0k"));
    assert_eq!(deliver(&message, &connect).await, Ok(()));
    // 5 s and 30 s of pause; then 10 s without an answer and 120 s of pause.
    let expected = [0, 5, 165].map(|secs| (secs, SAID.to_owned()));
    assert_eq!(heard(&requests), expected);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_not_tried_again() {
    for status in [400, 401, 404, 302] {
        let requests = Heard::default();
        let connect = in_memory(&requests, vec![Some(status), Some(200)]);
        let said = deliver(&message("http://hooks.example/", None), &connect).await.expect_err("refused");
        assert!(said.starts_with(&format!("HTTP {status}")), "{said}");
        assert_eq!(heard(&requests).len(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_said_once_and_the_next_message_goes_out_when_it_is_back() {
    let requests = Heard::default();
    // Four attempts each: the first message is refused, the second never answered, the third taken.
    let mut answers = vec![Some(500), Some(500), Some(500), Some(500)];
    answers.extend([None; 4]);
    answers.push(Some(200));
    let connect = in_memory(&requests, answers);
    let (queue, messages) = mpsc::channel(8);
    let (facts, mut told) = mpsc::channel(8);
    for _ in 0..3 {
        queue.send(message("http://hooks.example/secret-path", None)).await.expect("room");
    }
    drop(queue);
    run(messages, connect, facts).await;
    let Some(Fact::Notice(trouble)) = told.recv().await else { panic!("nothing was said") };
    insta::assert_snapshot!(trouble.to_string());
    assert!(told.recv().await.is_none(), "it is said once");
    assert_eq!(heard(&requests).len(), 5);
}

#[tokio::test]
async fn it_speaks_http_over_a_real_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let requests = Heard::default();
    let server = {
        let requests = requests.clone();
        async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            serve(Box::pin(stream), requests, Instant::now(), StatusCode::OK).await;
        }
    };
    let message = message(&format!("http://{address}/hook"), Some("t0k"));
    let connect = connect();
    let (sent, ()) = tokio::join!(deliver(&message, &connect), server);
    assert_eq!(sent, Ok(()));
    let said =
        format!(r#"POST /hook host {address} type application/json authorization Bearer t0k {{"text":"x"}}"#);
    assert_eq!(heard(&requests).into_iter().map(|(_, words)| words).collect::<Vec<_>>(), [said]);
}

#[test]
fn urls_that_would_give_a_secret_away_are_refused() {
    for (raw, token, said) in [
        ("/x", None, "it does not begin with http:// or https://"),
        ("ftp://hooks.example/x", None, "it does not begin with http:// or https://"),
        ("https://ann:secret@hooks.example/", None, "it holds a user or a password"),
        ("http://hooks.example/", Some("t"), "a token would go there in the clear"),
        ("", None, "it is no URL"),
        ("http://a b/", None, "it is no URL"),
    ] {
        assert_eq!(Url::parse(raw, token).err().as_deref(), Some(said), "{raw}");
    }
    for (raw, host, port) in [
        ("https://hooks.example/x", "hooks.example", 443),
        ("http://[::1]:9/x", "::1", 9),
        ("http://127.0.0.1", "127.0.0.1", 80),
    ] {
        let url = Url::parse(raw, None).expect(raw);
        assert_eq!((url.host(), url.port), (host, port));
    }
}
