//! A relay of the tests' own: rings, counters and streams under the test's hand, over memory.
//! It knows nothing of sluice but the protocol.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt, Stream, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use sluice::{
    flows::source::{BoxIo, Dial},
    pb::{
        flow as pb,
        observer::{
            GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest, GetDebugEventsResponse,
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest,
            GetNodesResponse, Node, ServerStatusRequest, ServerStatusResponse,
            get_flows_response::ResponseTypes,
            observer_server::{Observer, ObserverServer},
        },
        relay::{NodeState, NodeStatusEvent},
    },
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::Instant,
};
use tonic::{Request, Response, Status};

pub const START: &str = "2026-03-02T09:00:00Z";

#[derive(Clone)]
pub struct Relay {
    start: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<String, Ring>,
    followers: Vec<UnboundedSender<Result<GetFlowsResponse, Status>>>,
    requests: Vec<GetFlowsRequest>,
    /// New connections fail.
    away: bool,
    /// Masks with policy lists are refused, as an old server does.
    old: bool,
    /// Connections are taken and nothing is said on them.
    mute: bool,
    connections: Vec<tokio::task::AbortHandle>,
    dials: usize,
}

pub struct Ring {
    flows: Vec<pb::Flow>,
    /// The newest event of any kind.
    newest: Option<pb::Flow>,
    pub held: usize,
    pub seen: u64,
    pub born: DateTime<Utc>,
    /// Its events reach no follow stream any more, and the relay does not notice.
    pub lost: bool,
    /// Its counters stand still, too.
    pub frozen: Option<(u64, i64)>,
    pub state: NodeState,
}

impl Relay {
    pub fn new(nodes: &[&str]) -> Self {
        let relay = Self { start: Instant::now(), inner: Arc::default() };
        let born = relay.now() - TimeDelta::hours(5);
        let ring = |node: &&str| {
            let ring = Ring {
                flows: Vec::new(),
                newest: None,
                held: 100,
                seen: 10_000,
                born,
                lost: false,
                frozen: None,
                state: NodeState::NodeConnected,
            };
            ((*node).to_owned(), ring)
        };
        relay.lock().nodes = nodes.iter().map(ring).collect();
        relay
    }

    pub fn now(&self) -> DateTime<Utc> {
        let start: DateTime<Utc> = START.parse().expect("a time");
        start + TimeDelta::from_std(self.start.elapsed()).expect("in range")
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    pub fn ring<T>(&self, node: &str, change: impl FnOnce(&mut Ring) -> T) -> T {
        change(self.lock().nodes.get_mut(node).expect("a node of this relay"))
    }

    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    pub fn set_old(&self) {
        self.lock().old = true;
    }

    pub fn set_mute(&self) {
        self.lock().mute = true;
    }

    pub fn dials(&self) -> usize {
        self.lock().dials
    }

    pub fn requests(&self) -> Vec<GetFlowsRequest> {
        self.lock().requests.clone()
    }

    /// A denied flow happens on a node, some milliseconds ago.
    pub fn deny(&self, node: &str, uuid: &str, ago: i64) -> pb::Flow {
        let at = self.now() - TimeDelta::milliseconds(ago);
        let flow = denied(node, uuid, at);
        let live = {
            let mut inner = self.lock();
            let ring = inner.nodes.get_mut(node).expect("a node of this relay");
            ring.seen += 1;
            ring.flows.push(flow.clone());
            ring.newest = Some(flow.clone());
            let surplus = ring.flows.len().saturating_sub(ring.held);
            ring.flows.drain(..surplus);
            !ring.lost
        };
        if live {
            self.send(&answer(ResponseTypes::Flow(flow.clone()), node, at));
        }
        flow
    }

    /// Traffic that no filter of ours lets through.
    pub fn other_traffic(&self, node: &str, count: u64) {
        let flow = denied(node, "", self.now());
        self.ring(node, |ring| {
            ring.seen += count;
            ring.newest = Some(flow);
            let surplus = (ring.flows.len() + count as usize).saturating_sub(ring.held).min(ring.flows.len());
            ring.flows.drain(..surplus);
        });
    }

    /// Any message, to all who follow.
    pub fn send(&self, message: &GetFlowsResponse) {
        self.lock().followers.retain(|follower| follower.send(Ok(message.clone())).is_ok());
    }

    pub fn say(&self, state: NodeState, node: &str, message: &str) {
        self.send(&status(state, vec![node.to_owned()], message, self.now()));
    }

    /// All streams end with an error; the connections stay.
    pub fn break_streams(&self) {
        for follower in self.lock().followers.drain(..) {
            let _ = follower.send(Err(Status::unavailable("the relay is shutting down")));
        }
    }

    /// All connections are cut.
    pub fn cut(&self) {
        let mut inner = self.lock();
        inner.followers.clear();
        for connection in inner.connections.drain(..) {
            connection.abort();
        }
    }

    pub fn dial(&self) -> Dial {
        let relay = self.clone();
        Arc::new(move || {
            let relay = relay.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let (away, mute) = {
                    let mut inner = relay.lock();
                    inner.dials += 1;
                    (inner.away, inner.mute)
                };
                if away {
                    return Err(sluice::cockpit::ports::Trouble::new("relay", "connection refused", "Wait."));
                }
                let serving = relay.clone();
                let task = tokio::spawn(async move {
                    if mute {
                        let _keep = theirs;
                        return std::future::pending().await;
                    }
                    let service = TowerToHyperService::new(ObserverServer::new(serving));
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(theirs), service)
                        .await;
                });
                relay.lock().connections.push(task.abort_handle());
                Ok(Box::pin(Cut { stream: ours, task }) as BoxIo)
            }
            .boxed()
        })
    }
}

/// A stream that ends when its server task is gone, as a socket does.
struct Cut {
    stream: tokio::io::DuplexStream,
    task: tokio::task::JoinHandle<()>,
}

impl tokio::io::AsyncRead for Cut {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if !self.task.is_finished() && self.task.poll_unpin(context).is_pending() {
            return std::pin::Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

impl tokio::io::AsyncWrite for Cut {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

pub fn denied(node: &str, uuid: &str, at: DateTime<Utc>) -> pb::Flow {
    let port = 1024 + uuid.bytes().fold(0_u32, |sum, b| (sum * 31 + u32::from(b)) % 60_000);
    pb::Flow {
        time: Some(wire_time(at)),
        uuid: uuid.to_owned(),
        verdict: pb::Verdict::Dropped as i32,
        drop_reason_desc: 133,
        ip: Some(pb::Ip { source: "10.0.0.1".into(), destination: "203.0.113.9".into(), ip_version: 1 }),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: port,
                destination_port: 443,
                flags: None,
            })),
        }),
        source: Some(pb::Endpoint {
            namespace: "shop".into(),
            pod_name: "cart-0".into(),
            ..Default::default()
        }),
        node_name: node.to_owned(),
        event_type: Some(pb::CiliumEventType { r#type: 5, sub_type: 0 }),
        traffic_direction: pb::TrafficDirection::Egress as i32,
        ..pb::Flow::default()
    }
}

pub fn answer(types: ResponseTypes, node: &str, at: DateTime<Utc>) -> GetFlowsResponse {
    GetFlowsResponse { node_name: node.to_owned(), time: Some(wire_time(at)), response_types: Some(types) }
}

fn status(state: NodeState, node_names: Vec<String>, message: &str, at: DateTime<Utc>) -> GetFlowsResponse {
    let event = NodeStatusEvent { state_change: state as i32, node_names, message: message.to_owned() };
    answer(ResponseTypes::NodeStatus(event), "relay", at)
}

pub fn wire_time(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 }
}

type Answers<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Observer for Relay {
    type GetFlowsStream = Answers<GetFlowsResponse>;
    type GetAgentEventsStream = Answers<GetAgentEventsResponse>;
    type GetDebugEventsStream = Answers<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        let now = self.now();
        let mut inner = self.lock();
        inner.requests.push(request.clone());
        let paths = request.field_mask.iter().flat_map(|mask| &mask.paths);
        if inner.old && paths.into_iter().any(|path| path.ends_with("denied_by")) {
            return Err(Status::invalid_argument("invalid fieldmask"));
        }
        let named: Vec<_> = request.whitelist.iter().flat_map(|filter| filter.node_name.clone()).collect();
        let since = request.since.map(|since| (since.seconds, since.nanos));
        let mut replay: Vec<_> = inner
            .nodes
            .iter()
            .filter(|(node, _)| named.is_empty() || named.contains(node))
            .flat_map(|(_, ring)| {
                let newest = (!request.follow && request.number == 1).then_some(&ring.newest);
                newest.map_or(&*ring.flows, |newest| newest.as_slice())
            })
            .filter(|flow| {
                let at = flow.time.map(|time| (time.seconds, time.nanos));
                since.map_or(request.number > 0, |since| at >= Some(since))
            })
            .cloned()
            .collect();
        replay.sort_by_key(|flow| flow.time.map(|time| (time.seconds, time.nanos)));
        let listed = inner.nodes.iter().filter(|(_, ring)| ring.state == NodeState::NodeConnected);
        let connected = listed.map(|(node, _)| node.clone()).collect();
        let (sender, receiver) = unbounded_channel();
        let _ = sender.send(Ok(status(NodeState::NodeConnected, connected, "", now)));
        for flow in replay {
            let node = flow.node_name.clone();
            let at = flow.time;
            let types = ResponseTypes::Flow(flow);
            let _ = sender.send(Ok(GetFlowsResponse { time: at, ..answer(types, &node, now) }));
        }
        if request.follow {
            inner.followers.push(sender);
        }
        let answers = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|message| (message, receiver))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("GetAgentEvents"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("GetDebugEvents"))
    }

    async fn get_nodes(&self, _: Request<GetNodesRequest>) -> Result<Response<GetNodesResponse>, Status> {
        let now = self.now();
        let inner = self.lock();
        let nodes = inner.nodes.iter().map(|(name, ring)| {
            let uptime = (now - ring.born).num_nanoseconds().expect("in range");
            let (seen, uptime) = ring.frozen.unwrap_or((ring.seen, uptime));
            Node {
                name: name.clone(),
                state: ring.state as i32,
                uptime_ns: uptime as u64,
                num_flows: ring.held as u64,
                max_flows: ring.held as u64,
                seen_flows: seen,
                ..Node::default()
            }
        });
        Ok(Response::new(GetNodesResponse { nodes: nodes.collect() }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        Err(Status::unimplemented("GetNamespaces"))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(Response::new(ServerStatusResponse {
            num_flows: 100,
            max_flows: 100,
            seen_flows: 10_000,
            uptime_ns: 18_000_000_000_000,
            num_connected_nodes: Some(self.lock().nodes.len() as u32),
            num_unavailable_nodes: Some(0),
            version: "v1.19.4".into(),
            flows_rate: 0.5,
            ..ServerStatusResponse::default()
        }))
    }
}
