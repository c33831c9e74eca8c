//! Port-forward as kube speaks it: a WebSocket whose frames carry a channel number, two channels a
//! port. It never looks into the bytes; the fleet answers them.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::sim::api::cluster::{PodPort, PortForward};
use crate::sim::api::reply::Reply;

/// The only protocol a kubelet speaks over a WebSocket.
pub const PROTOCOL: &str = "v4.channel.k8s.io";
/// Bytes read from a pod at once.
const CHUNK: usize = 32 * 1024;
/// Frames waiting to be sent before the pod's side has to wait.
const QUEUE: usize = 64;

type Sink = SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>;

/// The 101 that turns the connection into a WebSocket.
pub fn switching(key: &str) -> Reply {
    Reply::nothing(101)
        .with_header("connection", "Upgrade")
        .with_header("upgrade", "websocket")
        .with_header("sec-websocket-accept", derive_accept_key(key.as_bytes()))
        .with_header("sec-websocket-protocol", PROTOCOL)
}

/// Whether a key is what a WebSocket client sends: sixteen bytes.
pub fn is_websocket_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// Carries the ports until either side goes away.
pub async fn run(upgrade: OnUpgrade, ports: Vec<PodPort>, answer: PortForward) {
    let Ok(upgraded) = upgrade.await else { return };
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (sink, mut frames) = socket.split();
    let (tx, rx) = mpsc::channel::<Message>(QUEUE);
    let sender = tokio::spawn(send_frames(sink, rx));
    let mut writers = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        writers.push(open_port(index, port, &answer, &tx).await);
    }
    while let Some(Ok(message)) = frames.next().await {
        match message {
            Message::Binary(frame) => pass_on(&frame, &mut writers).await,
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_) => {}
        }
    }
    drop(writers);
    drop(tx);
    sender.abort();
}

async fn send_frames(mut sink: Sink, mut frames: mpsc::Receiver<Message>) {
    while let Some(frame) = frames.recv().await {
        if sink.send(frame).await.is_err() {
            return;
        }
    }
    // Failing to say goodbye to a peer that is gone is no loss.
    let _ = sink.close().await;
}

type Writer = Option<tokio::io::WriteHalf<DuplexStream>>;

/// Announces a port on both its channels and connects it to the pod.
async fn open_port(index: usize, port: PodPort, answer: &PortForward, tx: &mpsc::Sender<Message>) -> Writer {
    let (data, error) = (channel(2 * index), channel(2 * index + 1));
    for number in [data, error] {
        let frame = frame(number, &port.port.to_le_bytes());
        tx.send(frame).await.ok()?;
    }
    let Some(stream) = answer(port.clone()) else {
        let text = format!(
            "error forwarding port {} to pod {}: failed to connect to localhost:{}: connection refused",
            port.port, port.pod, port.port
        );
        tx.send(frame(error, text.as_bytes())).await.ok()?;
        return None;
    };
    let (read, write) = tokio::io::split(stream);
    tokio::spawn(read_pod(read, data, tx.clone()));
    Some(write)
}

async fn read_pod(mut pod: ReadHalf<DuplexStream>, data: u8, tx: mpsc::Sender<Message>) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        buffer.clear();
        buffer.reserve(CHUNK);
        let read = pod.read_buf(&mut buffer).await?;
        let closed = read == 0 || tx.send(frame(data, &buffer)).await.is_err();
        if closed {
            // The channels have no half-close: a pod that ends ends the whole WebSocket.
            let _ = tx.send(Message::Close(None)).await;
            return Ok(());
        }
    }
}

async fn pass_on(frame: &Bytes, writers: &mut [Writer]) {
    let Some((&number, bytes)) = frame.split_first() else { return };
    let is_data = number % 2 == 0;
    let Some(slot) = writers.get_mut(usize::from(number / 2)).filter(|_| is_data) else { return };
    let Some(writer) = slot else { return };
    if writer.write_all(bytes).await.is_err() {
        *slot = None;
    }
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
    frame.extend_from_slice(&[channel]);
    frame.extend_from_slice(bytes);
    Message::Binary(frame.freeze())
}

/// A channel number; a request never names so many ports that it would not fit.
fn channel(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// A hook that answers nothing, for clusters whose pods do not listen.
pub fn nobody() -> PortForward {
    Arc::new(|_| None)
}
