//! Antrea's flow aggregator of one cluster: makes records of what the nodes saw, keeps the newest in a
//! buffer, and serves FlowStreamService over TLS without client authentication. Reading begins at the
//! oldest record; a reader that is too slow is told how many were overwritten; a restart empties it.

pub mod tls;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{io::DuplexStream, sync::watch};
use tonic::{Request, Response, Status};

use crate::{
    pb::{
        antrea::{
            Flow, GetFlowsRequest, GetFlowsResponse, Ip, Kubernetes, NetworkPolicyRuleAction as Action,
            NetworkPolicyType, Transport,
            flow_stream_service_server::{FlowStreamService, FlowStreamServiceServer},
        },
        flow::{self as seen, TrafficDirection, Verdict},
    },
    sim::fleet::{
        door,
        event::What,
        flows::{self, EVENT_TRACE, EVENT_VERDICT, mix},
        plan::Plan,
        printer::layer4,
        relay::{Counted, Relay},
    },
};

use tls::Certificates;

pub const NAMESPACE: &str = "flow-aggregator";
pub const NAME: &str = "flow-aggregator";
pub const PORT: u16 = 14740;

/// Records kept, as `recordBufferSize` is by default, and sent at once.
const BUFFER: usize = 8_192;
const BATCH: usize = 100;
const LOOK: Duration = Duration::from_millis(200);
const SECOND: i64 = 1_000_000_000;

/// One cluster's aggregator. Clones are the same.
#[derive(Clone)]
pub struct Aggregator(Arc<Inner>);

struct Inner {
    relay: Relay,
    certificates: Certificates,
    kept: Mutex<Kept>,
    /// Turns true while its pod is away: streams break, and what it kept is gone.
    away: watch::Sender<bool>,
    /// Counts restarts: streams end properly.
    restarts: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    /// Number of the next event to read of each node.
    positions: Vec<u64>,
    /// The first one has number `first`.
    records: VecDeque<Flow>,
    first: u64,
    /// Which node a pod's address is on.
    nodes: HashMap<String, String>,
}

impl Aggregator {
    pub fn new(relay: Relay, certificates: Certificates) -> Self {
        let (away, _) = watch::channel(false);
        let (restarts, _) = watch::channel(0);
        Self(Arc::new(Inner { relay, certificates, kept: Mutex::default(), away, restarts }))
    }

    /// Nobody gets there; `gone`: because its pod is, and what it kept with it.
    pub fn set_away(&self, away: bool, gone: bool) {
        if gone {
            self.forget();
        }
        self.0.away.send_if_modified(|was| std::mem::replace(was, away) != away);
    }

    /// Its process starts again: what it kept is gone, and streams end with a proper goodbye.
    pub fn restart(&self) {
        self.forget();
        self.0.restarts.send_modify(|count| *count += 1);
    }

    pub fn connect(&self) -> Option<DuplexStream> {
        let server = FlowStreamServiceServer::new(self.clone());
        door::connect(server, self.0.certificates.server.clone(), &self.0.away)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What the agents exported while it was away is lost too.
    fn forget(&self) {
        self.collect();
        let mut kept = self.lock();
        kept.first += kept.records.len() as u64;
        kept.records.clear();
    }

    /// Takes in what the nodes have seen since the last time.
    fn collect(&self) {
        let agents = self.0.relay.agents();
        let plan = agents.plan().clone();
        let mut kept = self.lock();
        kept.positions.resize(plan.nodes.len(), 0);
        if kept.nodes.is_empty() {
            let place = |pod: &crate::sim::fleet::plan::Pod| {
                (pod.address.to_string(), plan.nodes[pod.node].name.clone())
            };
            kept.nodes = plan.pods.iter().map(place).collect();
        }
        let mut fresh = Vec::new();
        for node in 0..plan.nodes.len() {
            let ring = agents.ring(node);
            for number in kept.positions[node].max(ring.first())..ring.end() {
                let Some(event) = ring.get(number) else { continue };
                if !matches!(event.what, What::Lost { .. }) {
                    let flow = flows::spell_out(&plan, node, number, event);
                    fresh.extend(
                        record(&plan, &kept.nodes, (node, number, event.at), &flow).map(|it| (event.at, it)),
                    );
                }
            }
            kept.positions[node] = ring.end();
        }
        fresh.sort_by_key(|(at, _)| *at);
        for (_, record) in fresh {
            if kept.records.len() == BUFFER {
                kept.records.pop_front();
                kept.first += 1;
            }
            kept.records.push_back(record);
        }
    }
}

/// Denials by the verdict, which the agents export at once; what passed, once, where it left.
fn record(
    plan: &Plan,
    nodes: &HashMap<String, String>,
    (node, number, at): (usize, u64, i64),
    flow: &seen::Flow,
) -> Option<Flow> {
    let (kind, egress) =
        (flow.event_type?.r#type, flow.traffic_direction == i32::from(TrafficDirection::Egress));
    let dropped = flow.verdict == i32::from(Verdict::Dropped);
    let told =
        (kind == EVENT_VERDICT && dropped) || (kind == EVENT_TRACE && egress && flow.is_reply != Some(true));
    let (protocol, source_port, destination_port) = layer4(flow);
    let protocol_number = match protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        // A ping is in no flow record.
        _ => return None,
    };
    if !told {
        return None;
    }
    let ip = flow.ip.as_ref()?;
    let bytes = |raw: &str| match raw.parse::<IpAddr>().ok() {
        Some(IpAddr::V4(it)) => it.octets().to_vec(),
        Some(IpAddr::V6(it)) => it.octets().to_vec(),
        None => Vec::new(),
    };
    let pod = |end: &Option<seen::Endpoint>| {
        end.as_ref().map(|end| (end.namespace.clone(), end.pod_name.clone())).unwrap_or_default()
    };
    let (source, destination) = (pod(&flow.source), pod(&flow.destination));
    let node_of = |address: &str, pod: &str, is_here: bool| match (pod.is_empty(), is_here) {
        (true, _) => String::new(),
        (false, true) => plan.nodes[node].name.clone(),
        (false, false) => nodes.get(address).cloned().unwrap_or_default(),
    };
    let denied = |here: bool| {
        if dropped && here { (Action::Drop, NetworkPolicyType::K8s) } else { Default::default() }
    };
    let ((egress_action, egress_type), (ingress_action, ingress_type)) = (denied(egress), denied(!egress));
    let stamp = |at: i64| prost_types::Timestamp { seconds: at / SECOND, nanos: (at % SECOND) as i32 };
    Some(Flow {
        id: format!("{:016x}{:016x}", mix(plan.seed ^ node as u64), mix(number)),
        start_ts: Some(stamp(at)),
        end_ts: Some(stamp(at)),
        ip: Some(Ip { source: bytes(&ip.source), destination: bytes(&ip.destination) }),
        transport: Some(Transport { protocol_number, source_port, destination_port }),
        k8s: Some(Kubernetes {
            source_node_name: node_of(&ip.source, &source.1, egress),
            destination_node_name: node_of(&ip.destination, &destination.1, !egress),
            source_pod_namespace: source.0,
            source_pod_name: source.1,
            destination_pod_namespace: destination.0,
            destination_pod_name: destination.1,
            egress_network_policy_type: egress_type.into(),
            egress_network_policy_rule_action: egress_action.into(),
            ingress_network_policy_type: ingress_type.into(),
            ingress_network_policy_rule_action: ingress_action.into(),
            ..Kubernetes::default()
        }),
    })
}

type Answers = Pin<Box<dyn Stream<Item = Result<GetFlowsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl FlowStreamService for Aggregator {
    type GetFlowsStream = Answers;

    async fn get_flows(&self, request: Request<GetFlowsRequest>) -> Result<Response<Answers>, Status> {
        let request = request.into_inner();
        self.collect();
        let state = Following {
            since: request.since.map_or(i64::MIN, |at| at.seconds * SECOND + i64::from(at.nanos)),
            follow: request.follow,
            next: self.lock().first,
            dropped: 0,
            restarts: self.0.restarts.subscribe(),
            _reads: Counted::new(self.0.relay.clone()),
            aggregator: self.clone(),
        };
        Ok(Response::new(Box::pin(stream::unfold(state, Following::next)) as Answers))
    }
}

/// A stream on its way.
struct Following {
    aggregator: Aggregator,
    since: i64,
    follow: bool,
    /// Number of the record that comes next.
    next: u64,
    dropped: u64,
    restarts: watch::Receiver<u64>,
    /// Held for its drop.
    _reads: Counted,
}

impl Following {
    async fn next(mut self) -> Option<(Result<GetFlowsResponse, Status>, Self)> {
        loop {
            if self.restarts.has_changed().unwrap_or(true) {
                return None;
            }
            self.aggregator.collect();
            let flows = self.take();
            if !flows.is_empty() {
                let dropped_count = self.dropped;
                return Some((Ok(GetFlowsResponse { flows, dropped_count }), self));
            }
            if !self.follow {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn take(&mut self) -> Vec<Flow> {
        let kept = self.aggregator.lock();
        let lost = kept.first.saturating_sub(self.next);
        (self.dropped, self.next) = (self.dropped + lost, self.next + lost);
        let mut out = Vec::new();
        while out.len() < BATCH {
            let Some(flow) = kept.records.get((self.next - kept.first) as usize) else { break };
            self.next += 1;
            let end = flow.end_ts.map_or(i64::MIN, |at| at.seconds * SECOND + i64::from(at.nanos));
            if end >= self.since {
                out.push(flow.clone());
            }
        }
        out
    }
}
