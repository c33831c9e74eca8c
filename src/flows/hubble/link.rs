//! The gRPC side of a Hubble Relay: one channel over a byte stream, calls with deadlines, and what
//! their failures mean to a person. Keeps no state of what was read.

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Duration, Instant, timeout, timeout_at};
use tonic::{Code, Response, Status, transport::Channel};

use crate::{
    cockpit::ports::Trouble,
    domain::{names::ClusterName, time::Timestamp},
    flows::{channel, source::Dial},
    pb::observer::{
        GetFlowsRequest, GetFlowsResponse, GetNodesRequest, GetNodesResponse, ServerStatusRequest,
        ServerStatusResponse, observer_client::ObserverClient,
    },
};

use super::{
    decode::{Node, stamp},
    request,
};

type Client = ObserverClient<Channel>;

/// How long a unary call, or a re-read, may take; hubble's own CLI waits as long.
const ANSWER: Duration = Duration::from_secs(12);
/// Messages taken at once from a stream.
const CHUNK: usize = 128;
/// Messages of one re-read.
const AGAIN: usize = 50_000;

/// What a follow stream yields.
#[derive(Debug)]
pub enum Item {
    /// The server accepted the request.
    Opened,
    Message(Box<GetFlowsResponse>),
}

/// Two answers asked for together.
#[derive(Debug)]
pub struct Survey {
    pub status: Result<ServerStatusResponse, Status>,
    pub nodes: Result<GetNodesResponse, Status>,
    /// When it was asked for.
    pub asked: Instant,
}

/// What a re-read returned.
#[derive(Debug)]
pub struct Again {
    pub messages: Vec<GetFlowsResponse>,
    /// It came to its end in time.
    pub whole: bool,
    /// The newest event of each node, of any kind: that the node answers at all.
    pub newest: Vec<(Node, Timestamp)>,
    pub asked: Instant,
}

/// A connection to one relay; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    client: Client,
}

impl Link {
    pub async fn connect(cluster: &ClusterName, dial: &Dial) -> Result<Self, Trouble> {
        let channel = channel::connect(dial, "http://hubble-relay", |fact| slow(cluster, fact)).await?;
        Ok(Self { client: Client::new(channel).max_decoding_message_size(channel::MESSAGE) })
    }

    pub async fn survey(self) -> Survey {
        let asked = Instant::now();
        let (mut a, mut b) = (self.client.clone(), self.client);
        let status = timeout(ANSWER, async move { a.server_status(ServerStatusRequest {}).await });
        let nodes = timeout(ANSWER, async move { b.get_nodes(GetNodesRequest {}).await });
        let (status, nodes) = tokio::join!(status, nodes);
        Survey { status: answer(status), nodes: answer(nodes), asked }
    }

    /// The server sends headers with its first message only, so opening is part of the stream.
    /// What is there already comes together.
    pub fn follow(&self, request: GetFlowsRequest) -> BoxStream<'static, Vec<Result<Item, Status>>> {
        let mut client = self.client.clone();
        stream::once(async move { client.get_flows(request).await })
            .flat_map(|answer| match answer {
                Ok(answer) => {
                    let messages = answer.into_inner().map_ok(|message| Item::Message(Box::new(message)));
                    stream::once(async { Ok(Item::Opened) }).chain(messages).boxed()
                }
                Err(status) => stream::once(async { Err(status) }).boxed(),
            })
            .ready_chunks(CHUNK)
            .boxed()
    }

    /// Reads once more, and then asks each node for its newest event.
    pub async fn again(mut self, request: GetFlowsRequest, newest: GetFlowsRequest) -> Again {
        let asked = Instant::now();
        let deadline = asked + ANSWER;
        let (messages, whole) = self.read(request, deadline).await;
        let newest = if whole { self.read(newest, deadline).await.0 } else { Vec::new() };
        Again { messages, whole, newest: newest.iter().filter_map(stamp).collect(), asked }
    }

    /// The oldest event that each node still has; `None`: no whole answer.
    pub async fn oldest(&self) -> Option<Vec<(Node, Timestamp)>> {
        let (oldest, whole) = self.clone().read(request::oldest(), Instant::now() + ANSWER).await;
        whole.then(|| oldest.iter().filter_map(stamp).collect())
    }

    /// What a stream holds, and whether it came to its end.
    async fn read(&mut self, request: GetFlowsRequest, deadline: Instant) -> (Vec<GetFlowsResponse>, bool) {
        let mut messages = Vec::new();
        let Ok(Ok(answer)) = timeout_at(deadline, self.client.get_flows(request)).await else {
            return (messages, false);
        };
        let mut stream = answer.into_inner();
        while messages.len() < AGAIN {
            match timeout_at(deadline, stream.message()).await {
                Ok(Ok(Some(message))) => messages.push(message),
                Ok(Ok(None)) => return (messages, true),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        (messages, false)
    }
}

/// How far back each node's events reach, and its newest one, asked once.
pub async fn reach(cluster: &ClusterName, dial: &Dial) -> Result<Vec<(Node, Timestamp, Timestamp)>, Trouble> {
    let mut link = Link::connect(cluster, dial).await?;
    let deadline = Instant::now() + ANSWER;
    let (oldest, is_whole) = link.read(request::oldest(), deadline).await;
    let (newest, is_all) = link.read(request::newest(&[]), deadline).await;
    if !(is_whole && is_all) {
        return Err(slow(cluster, "it did not tell the events of each node to the end"));
    }
    let newest: Vec<(Node, Timestamp)> = newest.iter().filter_map(stamp).collect();
    let with_newest = |(node, from): (Node, Timestamp)| {
        let to = newest.iter().find(|(one, _)| *one == node).map_or(from, |(_, at)| *at);
        (node, from, to.max(from))
    };
    Ok(oldest.iter().filter_map(stamp).map(with_newest).collect())
}

fn answer<T>(result: Result<Result<Response<T>, Status>, tokio::time::error::Elapsed>) -> Result<T, Status> {
    match result {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer within 12 s")),
    }
}

/// A failed call in words.
pub fn trouble(cluster: &ClusterName, status: &Status) -> Trouble {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    let next = match status.code() {
        Code::Unimplemented => "Check the relay's address: what answers there is no Hubble observer.",
        Code::Unauthenticated | Code::PermissionDenied => {
            "Check the relay's TLS settings in sluice.yaml: it wants to know who asks."
        }
        Code::InvalidArgument => "This relay is older than sluice knows; check the versions of both.",
        Code::DeadlineExceeded | Code::ResourceExhausted => {
            "Check the relay's load and its nodes: kubectl -n kube-system top pod -l k8s-app=hubble-relay"
        }
        _ => "Nothing to do if it comes back; else see: kubectl -n kube-system logs deploy/hubble-relay",
    };
    Trouble::new(&object(cluster), said, next)
}

/// The stream ended though it should go on.
pub fn ended(cluster: &ClusterName) -> Trouble {
    Trouble::new(
        &object(cluster),
        "the relay ended the stream",
        "Nothing to do if it comes back; else see: kubectl -n kube-system logs deploy/hubble-relay",
    )
}

pub fn object(cluster: &ClusterName) -> String {
    format!("Hubble Relay of {cluster}")
}

pub fn slow(cluster: &ClusterName, fact: &str) -> Trouble {
    let next = "Check that it runs: kubectl -n kube-system get pods -l k8s-app=hubble-relay";
    Trouble::new(&object(cluster), fact, next)
}
