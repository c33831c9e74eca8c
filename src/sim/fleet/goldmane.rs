//! Goldmane of one Calico cluster: sums up what its nodes saw in buckets of 15 s, keeps an hour of them
//! in memory, and serves them over mutual TLS. Streams the bucket two behind the one that fills, never
//! what came late; loses in silence; a restart empties it. Knows workloads and no addresses.

mod keys;
pub mod tls;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{io::DuplexStream, sync::watch};
use tonic::{Request, Response, Status};

use crate::{
    pb::goldmane::{
        Flow, FlowListRequest, FlowListResult, FlowResult, FlowStreamRequest, ListMetadata,
        flows_server::{Flows, FlowsServer},
    },
    sim::fleet::{
        door,
        faults::Fault,
        flows::mix,
        plan::hash64,
        relay::{Counted, Relay},
        verdict::View,
    },
};

use keys::{Seen, keys_of};
use tls::Certificates;

pub const NAMESPACE: &str = "calico-system";
pub const NAME: &str = "goldmane";
pub const PORT: u16 = 7443;

/// Seconds of a bucket, and how many are kept.
pub const BUCKET: i64 = 15;
const KEPT: i64 = 240;
const STREAMS: usize = 100;
const SECOND: i64 = 1_000_000_000;

/// One cluster's Goldmane. Clones are the same.
#[derive(Clone)]
pub struct Goldmane(Arc<Inner>);

struct Inner {
    relay: Relay,
    speed: f64,
    kept: Mutex<Kept>,
    certificates: Certificates,
    /// Turns true while its pod is away: streams break, and what it kept is gone.
    away: watch::Sender<bool>,
    streams: watch::Sender<usize>,
}

/// What was summed up so far.
#[derive(Default)]
struct Kept {
    /// Number of the next event to read of each node.
    positions: Vec<u64>,
    /// By the bucket's first second and the key's bytes.
    buckets: BTreeMap<i64, BTreeMap<Vec<u8>, Summed>>,
    ids: HashMap<Vec<u8>, i64>,
    /// Of so many flows one is lost without a word; 0: none.
    lost_one_in: u64,
    /// Of so many flows one comes when its bucket is streamed already; 0: none.
    late_one_in: u64,
    /// What policies would do if the staged ones were enforced, where there are any.
    staged: Option<View>,
}

struct Summed {
    flow: Flow,
    /// It is there, but came too late to be streamed.
    late: bool,
}

impl Goldmane {
    pub fn new(relay: Relay, speed: f64, certificates: Certificates) -> Self {
        let (away, _) = watch::channel(false);
        let (streams, _) = watch::channel(0);
        let kept = Mutex::default();
        Self(Arc::new(Inner { relay, speed, kept, certificates, away, streams }))
    }

    pub fn certificates(&self) -> &Certificates {
        &self.0.certificates
    }

    pub fn feel(&self, faults: &[Fault]) {
        let is_away = faults.iter().any(|fault| matches!(fault, Fault::RelayAway | Fault::Dead));
        let mut kept = self.lock();
        (kept.lost_one_in, kept.late_one_in) = (0, 0);
        for fault in faults {
            if let Fault::SilentLoss { one_in } = fault {
                kept.lost_one_in = *one_in;
            }
            if let Fault::LateFlows { one_in } = fault {
                kept.late_one_in = *one_in;
            }
        }
        if is_away {
            (kept.buckets, kept.ids) = Default::default();
        }
        drop(kept);
        self.0.away.send_if_modified(|was| std::mem::replace(was, is_away) != is_away);
    }

    pub fn stage(&self, staged: Option<View>) {
        self.collect();
        self.lock().staged = staged;
    }

    /// A connection to its port in memory; `None` while it is away.
    pub fn connect(&self) -> Option<DuplexStream> {
        let server = FlowsServer::new(self.clone());
        door::connect(server, self.0.certificates.server.clone(), &self.0.away)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Seconds, scenario time.
    fn now(&self) -> i64 {
        self.0.relay.now() / SECOND
    }

    /// Takes in what the nodes have seen since the last time.
    fn collect(&self) {
        let now = self.now();
        let mut agents = self.0.relay.agents();
        let mut kept = self.lock();
        kept.positions.resize(agents.plan().nodes.len(), 0);
        let mut seen: Vec<Seen> = Vec::new();
        for node in 0..agents.plan().nodes.len() {
            let ring = agents.ring(node);
            let from = kept.positions[node].max(ring.first());
            let events: Vec<_> = (from..ring.end()).filter_map(|number| ring.get(number).cloned()).collect();
            kept.positions[node] = ring.end();
            for event in events {
                seen.extend(keys_of(&mut agents, &event, kept.staged.as_ref()));
            }
        }
        drop(agents);
        seen.into_iter().for_each(|seen| kept.add(seen));
        let oldest = now - KEPT * BUCKET;
        kept.buckets.retain(|from, _| *from >= oldest);
    }

    /// The flows of a bucket that has ended, as they are streamed.
    fn bucket(&self, from: i64) -> VecDeque<FlowResult> {
        self.collect();
        let kept = self.lock();
        let flows = kept.buckets.get(&from).into_iter().flatten();
        let told = flows.filter(|(_, summed)| !summed.late);
        told.map(|(key, summed)| FlowResult {
            id: kept.ids.get(key).copied().unwrap_or(0),
            flow: Some(summed.flow.clone()),
        })
        .collect()
    }

    fn absolute(&self, asked: i64) -> i64 {
        if asked <= 0 { self.now() + asked } else { asked }
    }

    /// One flow a key, summed over the window, newest first.
    fn window(&self, from: i64, until: i64) -> Vec<FlowResult> {
        self.collect();
        let kept = self.lock();
        let mut all: BTreeMap<&Vec<u8>, Flow> = BTreeMap::new();
        for (key, summed) in kept.buckets.range(from..until.max(from)).flat_map(|(_, flows)| flows) {
            all.entry(key).and_modify(|flow| add(flow, &summed.flow)).or_insert_with(|| summed.flow.clone());
        }
        let id = |key: &Vec<u8>| kept.ids.get(key).copied().unwrap_or(0);
        let mut flows: Vec<_> =
            all.into_iter().map(|(key, flow)| FlowResult { id: id(key), flow: Some(flow) }).collect();
        flows.sort_by_key(|result| {
            (std::cmp::Reverse(result.flow.as_ref().map_or(0, |flow| flow.start_time)), result.id)
        });
        flows
    }
}

impl Kept {
    fn add(&mut self, seen: Seen) {
        let from = (seen.at / SECOND).div_euclid(BUCKET) * BUCKET;
        let draw = mix(hash64(&format!("{from}")) ^ hash_of(&seen.key));
        if self.lost_one_in > 0 && draw.is_multiple_of(self.lost_one_in) {
            return;
        }
        let late = self.late_one_in > 0 && (draw >> 7).is_multiple_of(self.late_one_in);
        let next = self.ids.len() as i64 + 1;
        self.ids.entry(seen.key.clone()).or_insert(next);
        let flow = Flow { start_time: from, end_time: from + BUCKET, ..seen.flow };
        let flows = self.buckets.entry(from).or_default();
        flows
            .entry(seen.key)
            .and_modify(|summed| add(&mut summed.flow, &flow))
            .or_insert(Summed { flow, late });
    }
}

fn hash_of(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| mix(hash ^ u64::from(*byte)))
}

fn add(sum: &mut Flow, other: &Flow) {
    sum.start_time = sum.start_time.min(other.start_time);
    sum.end_time = sum.end_time.max(other.end_time);
    sum.packets_out += other.packets_out;
    sum.bytes_out += other.bytes_out;
    sum.num_connections_started += other.num_connections_started;
}

type Answers = Pin<Box<dyn Stream<Item = Result<FlowResult, Status>> + Send>>;

#[tonic::async_trait]
impl Flows for Goldmane {
    type StreamStream = Answers;

    async fn list(&self, request: Request<FlowListRequest>) -> Result<Response<FlowListResult>, Status> {
        let asked = request.into_inner();
        let from = if asked.start_time_gte == 0 { 0 } else { self.absolute(asked.start_time_gte) };
        let flows = self.window(from, self.absolute(asked.start_time_lt));
        let total = flows.len() as i64;
        let size = if asked.page_size <= 0 { total.max(1) } else { asked.page_size };
        let skip = usize::try_from(asked.page.saturating_mul(size)).unwrap_or(usize::MAX);
        let flows = flows.into_iter().skip(skip).take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let meta = ListMetadata { total_pages: (total + size - 1) / size, total_results: total };
        Ok(Response::new(FlowListResult { meta: Some(meta), flows }))
    }

    async fn stream(
        &self,
        request: Request<FlowStreamRequest>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        if *self.0.streams.borrow() >= STREAMS {
            return Err(Status::resource_exhausted("too many streams"));
        }
        let next = self.absolute(request.into_inner().start_time_gte).div_euclid(BUCKET) * BUCKET;
        self.0.streams.send_modify(|streams| *streams += 1);
        let following = Following {
            next: next.max(self.now() - KEPT * BUCKET),
            queue: VecDeque::new(),
            _reads: Counted::new(self.0.relay.clone()),
            goldmane: self.clone(),
        };
        Ok(Response::new(Box::pin(stream::unfold(following, Following::next)) as Self::StreamStream))
    }
}

/// A stream on its way.
struct Following {
    goldmane: Goldmane,
    /// The bucket that is told next.
    next: i64,
    queue: VecDeque<FlowResult>,
    /// Held for its drop.
    _reads: Counted,
}

impl Following {
    async fn next(mut self) -> Option<(Result<FlowResult, Status>, Self)> {
        loop {
            if let Some(result) = self.queue.pop_front() {
                return Some((Ok(result), self));
            }
            // Two behind the bucket that fills.
            let wait = self.next + 2 * BUCKET - self.goldmane.now();
            if wait <= 0 {
                self.queue = self.goldmane.bucket(self.next);
                self.next += BUCKET;
                continue;
            }
            // Rings hold little: what is due is taken in as it comes.
            self.goldmane.collect();
            let pause = (wait.min(5) as f64 / self.goldmane.0.speed).max(0.01);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.goldmane.0.streams.send_modify(|streams| *streams -= 1);
    }
}
