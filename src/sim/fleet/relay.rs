//! Hubble Relay of one cluster: the observer service over the rings of all nodes it hears of.
//! Follows, replays, filters, masks, and reports losses as the real one does, its traps included.
//! Served on any byte stream; events are made only while somebody reads.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{Stream, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    sync::watch,
};
use tonic::{Request, Response, Status};

use crate::{
    pb::{
        observer::{
            GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest, GetDebugEventsResponse,
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest,
            GetNodesResponse, Namespace, Node, ServerStatusRequest, ServerStatusResponse, Tls,
            observer_server::{Observer, ObserverServer},
        },
        relay::NodeState,
    },
    sim::{
        api::clock::Clock,
        fleet::{
            agents::{Agents, RING},
            door,
            event::{Place, What},
            flows,
            reader::{Reader, Turn},
        },
    },
};

pub const VERSION: &str = "cilium v1.19.4+gsimulated";
/// How long a reader that follows waits between two looks, at least.
const LOOK: Duration = Duration::from_millis(200);
/// The same while there is much to read.
const BUSY_LOOK: Duration = Duration::from_millis(10);

/// One cluster's relay. Clones are the same relay.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    agents: Mutex<Agents>,
    clock: Clock,
    speed: f64,
    /// Turns true while the relay is away: streams break.
    away: watch::Sender<bool>,
    readers: watch::Sender<usize>,
}

impl Relay {
    pub fn new(agents: Agents, clock: Clock, speed: f64) -> Self {
        let (away, _) = watch::channel(false);
        let (readers, _) = watch::channel(0);
        Self(Arc::new(Inner { agents: Mutex::new(agents), clock, speed, away, readers }))
    }

    /// The agents, for whoever changes what they know. What is due has been made.
    pub fn agents(&self) -> MutexGuard<'_, Agents> {
        let now = self.now();
        let mut agents = self.lock();
        agents.advance(now, self.is_read());
        agents
    }

    pub fn set_away(&self, away: bool) {
        self.0.away.send_if_modified(|was| std::mem::replace(was, away) != away);
    }

    pub fn is_away(&self) -> bool {
        *self.0.away.borrow()
    }

    pub fn now(&self) -> i64 {
        self.0.clock.now().timestamp_nanos_opt().unwrap_or(i64::MAX)
    }

    /// A connection to the relay's port in memory; `None` while it is away.
    pub fn connect(&self) -> Option<DuplexStream> {
        if self.is_away() {
            return None;
        }
        let (near, far) = tokio::io::duplex(256 * 1024);
        tokio::spawn(self.clone().serve(far));
        Some(near)
    }

    /// The same with TLS, as these certificates have it.
    pub fn connect_tls(&self, config: Arc<ServerConfig>) -> Option<DuplexStream> {
        door::connect(ObserverServer::new(self.clone()), config, &self.0.away)
    }

    /// Serves one connection until it ends or the relay goes away.
    pub async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut away = self.0.away.subscribe();
        let service = TowerToHyperService::new(ObserverServer::new(self));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            // How a client leaves is its own affair.
            _ = connection => {}
            _ = away.wait_for(|away| *away) => {}
        }
    }

    fn is_read(&self) -> bool {
        *self.0.readers.borrow() > 0
    }

    fn lock(&self) -> MutexGuard<'_, Agents> {
        self.0.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How long until there may be something new to read.
    fn until_next(&self, busy: bool) -> Duration {
        let least = if busy { BUSY_LOOK } else { LOOK };
        let wait = self.lock().next().map(|at| at.saturating_sub(self.now()));
        let scaled = wait.map(|nanos| Duration::from_nanos((nanos.max(0) as f64 / self.0.speed) as u64));
        scaled.unwrap_or(Duration::from_secs(60)).clamp(least, Duration::from_secs(60))
    }

    fn status(&self) -> ServerStatusResponse {
        let agents = self.agents();
        let (mut held, mut seen) = (0, 0);
        for (_, ring) in agents.heard() {
            held += ring.end() - ring.first();
            seen += ring.end();
        }
        let nodes = agents.plan().nodes.len() as u64;
        let down = &agents.troubles().down;
        let unavailable_nodes: Vec<String> =
            down.iter().map(|node| flows::node_name(agents.plan(), *node)).collect();
        let uptime = self.now() - agents.started();
        ServerStatusResponse {
            num_flows: held,
            max_flows: nodes * RING as u64,
            seen_flows: seen,
            uptime_ns: uptime as u64,
            num_connected_nodes: Some((nodes - down.len() as u64) as u32),
            num_unavailable_nodes: Some(down.len() as u32),
            unavailable_nodes,
            version: VERSION.to_owned(),
            flows_rate: seen as f64 / (uptime as f64 / 1e9).max(1.0),
        }
    }

    /// A node that has gone silent is told as connected.
    fn nodes(&self) -> Vec<Node> {
        let agents = self.agents();
        let plan = agents.plan();
        let uptime_ns = (self.now() - agents.started()) as u64;
        let node = |(index, it): (usize, &crate::sim::fleet::plan::Node)| {
            let ring = agents.ring(index);
            Node {
                name: flows::node_name(plan, index),
                version: VERSION.to_owned(),
                address: format!("{}:4244", it.address),
                state: if agents.troubles().down.contains(&index) {
                    NodeState::NodeUnavailable.into()
                } else {
                    NodeState::NodeConnected.into()
                },
                tls: Some(Tls {
                    enabled: true,
                    server_name: format!(
                        "{}.{}.hubble-grpc.cilium.io",
                        it.name,
                        plan.cluster.replace('.', "-")
                    ),
                }),
                uptime_ns,
                num_flows: ring.end() - ring.first(),
                max_flows: RING as u64,
                seen_flows: ring.end(),
            }
        };
        plan.nodes.iter().enumerate().map(node).collect()
    }

    fn namespaces(&self) -> Vec<Namespace> {
        let agents = self.agents();
        let plan = agents.plan();
        let mut pods = BTreeSet::new();
        for (_, ring) in agents.heard() {
            let events = (ring.first()..ring.end()).filter_map(|number| ring.get(number));
            for event in events.filter(|e| !matches!(e.what, What::Lost { .. })) {
                pods.extend([event.packet.source, event.packet.target]);
            }
        }
        let names: BTreeSet<&str> = pods
            .into_iter()
            .filter_map(|place| match place {
                Place::Pod(pod) => Some(plan.pod_workload(pod).namespace.as_str()),
                Place::Node(_) | Place::External { .. } => None,
            })
            .collect();
        let name =
            |namespace: &str| Namespace { cluster: plan.cluster.clone(), namespace: namespace.to_owned() };
        names.into_iter().map(name).collect()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

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
        if request.follow && request.first {
            return Err(Status::invalid_argument("first cannot be specified with follow"));
        }
        let reader = Reader::new(request, &self.agents(), self.now());
        let state = Following { relay: self.clone(), reader, _reads: Counted::new(self.clone()) };
        Ok(answer(Box::pin(stream::unfold(state, Following::next)) as Self::GetFlowsStream))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("GetAgentEvents not implemented"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("GetDebugEvents not implemented"))
    }

    async fn get_nodes(&self, _: Request<GetNodesRequest>) -> Result<Response<GetNodesResponse>, Status> {
        Ok(answer(GetNodesResponse { nodes: self.nodes() }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        Ok(answer(GetNamespacesResponse { namespaces: self.namespaces() }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(answer(self.status()))
    }
}

/// An answer with the headers that tell a relay from an agent.
fn answer<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    for name in ["hubble-server-version", "hubble-relay-version"] {
        if let Ok(value) = VERSION.parse() {
            response.metadata_mut().insert(name, value);
        }
    }
    response
}

/// A stream of flows on its way.
struct Following {
    relay: Relay,
    reader: Reader,
    /// Held for its drop.
    _reads: Counted,
}

impl Following {
    async fn next(mut self) -> Option<(Result<GetFlowsResponse, Status>, Self)> {
        loop {
            if let Some(response) = self.reader.take() {
                return Some((Ok(response), self));
            }
            let now = self.relay.now();
            let turn = {
                let mut agents = self.relay.lock();
                agents.advance(now, true);
                self.reader.look(&agents, now)
            };
            match turn {
                Turn::Found => {}
                Turn::Done => return None,
                Turn::Nothing { busy } => tokio::time::sleep(self.relay.until_next(busy)).await,
            }
        }
    }
}

/// Keeps the number of those who read; while there is one, nothing is left out.
pub(super) struct Counted(Relay);

impl Counted {
    pub(super) fn new(relay: Relay) -> Self {
        relay.0.readers.send_modify(|readers| *readers += 1);
        Self(relay)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.readers.send_modify(|readers| *readers -= 1);
    }
}
