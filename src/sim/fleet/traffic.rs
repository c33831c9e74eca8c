//! Who calls whom, when: turns a plan and the passing of time into events on nodes. Seeded, and
//! made only as far as somebody asks: an idle fleet costs nothing. It asks the naive evaluator
//! what becomes of each connection and never looks at a clock; time comes with each call.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use chrono::DateTime;
use fastrand::Rng;

use crate::sim::fleet::{
    event::{Direction, Event, Packet, Place, What},
    plan::{Edge, End, Plan, Protocol},
    scenario::Kind,
    verdict::{Peer, PodPeer, Ruling, Side, View},
};

pub const SECOND: i64 = 1_000_000_000;
/// How far back the past is made up when somebody looks after a long silence.
pub const HISTORY: i64 = 60 * SECOND;
/// How long a CronJob's pod runs.
const JOB: i64 = 90 * SECOND;
/// A denied connection is tried again after these pauses, as TCP does.
const RETRIES: [i64; 3] = [SECOND, 2 * SECOND, 4 * SECOND];
/// From this rate on a caller's own next call stands for the retries.
const BUSY_PER_SECOND: f64 = 5.0;
/// How long after its start a pod's traffic may meet rules that are not ready.
const STARTING: i64 = 4 * SECOND;

pub struct Traffic {
    plan: Arc<Plan>,
    view: View,
    rng: Rng,
    /// Calls happen this many times as often as the plan says.
    rate: f64,
    now: i64,
    due: BinaryHeap<Reverse<(i64, u64, Due)>>,
    order: u64,
    /// What the evaluator said, until anything it looks at changes.
    rulings: HashMap<(Place, Place, u16, Protocol), Arc<Ruling>>,
    /// Long-lived connections, by edge and calling pod.
    open: HashMap<(usize, Place), Packet>,
    /// Pods that have just started, until when.
    starting: HashMap<usize, i64>,
    /// For each edge of a CronJob: until when its pod runs.
    running: HashMap<usize, i64>,
    source_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Call {
        edge: usize,
    },
    /// A call out of turn: no other follows from it.
    Once {
        edge: usize,
    },
    Retry {
        edge: usize,
        source: Place,
        target: Place,
        count: usize,
    },
}

/// Takes events: the node that saw it, and what it saw.
pub type Sink<'a> = &'a mut dyn FnMut(usize, Event);

impl Traffic {
    /// Traffic from `begin` on. Long-lived connections that `view` allows are open already.
    pub fn new(plan: Arc<Plan>, view: View, begin: i64, rate: f64) -> Self {
        let rng = Rng::with_seed(plan.seed);
        let mut traffic = Self {
            plan,
            view,
            rng,
            rate,
            now: begin,
            due: BinaryHeap::new(),
            order: 0,
            rulings: HashMap::new(),
            open: HashMap::new(),
            starting: HashMap::new(),
            running: HashMap::new(),
            source_port: 32_768,
        };
        traffic.open_all();
        traffic.plan_calls();
        traffic
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Policies or labels changed. What happened before `now` should have been made already.
    pub fn set_view(&mut self, view: View) {
        self.view = view;
        self.rulings.clear();
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    /// When something happens next.
    pub fn next(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Makes everything up to `now`. With `whole` nothing is left out; else a long silence is
    /// skipped, save the last minute of it.
    pub fn run_until(&mut self, now: i64, whole: bool, sink: Sink<'_>) {
        if !whole && now - self.now > HISTORY {
            self.now = now - HISTORY;
            self.due.clear();
            self.running.clear();
            self.plan_calls();
        }
        while let Some(Reverse((at, _, due))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            self.now = at;
            match due {
                Due::Call { edge } => {
                    self.plan_next(edge);
                    self.call(edge, sink);
                }
                Due::Once { edge } => self.call(edge, sink),
                Due::Retry { edge, source, target, count } => self.connect(edge, source, target, count, sink),
            }
        }
        self.now = self.now.max(now);
    }

    /// The pods of a workload have just started again: they call at once, and for some seconds
    /// their agents may not have their rules.
    pub fn restart(&mut self, namespace: &str, workload: &str) {
        let Some(workload) = self.plan.workload(namespace, workload) else { return };
        for pod in self.plan.workloads[workload].pods.clone() {
            self.starting.insert(pod, self.now + STARTING);
        }
        let plan = self.plan.clone();
        for (edge, it) in plan.edges.iter().enumerate().filter(|(_, e)| e.from == End::Workload(workload)) {
            self.open.retain(|(open, _), _| *open != edge);
            let soon = self.now + SECOND + self.rng.i64(0..SECOND);
            if it.protocol != Protocol::Icmp {
                self.push(soon, Due::Once { edge });
            }
        }
    }

    /// Long-lived connections that are open now: caller, callee, port.
    pub fn open_connections(&self) -> impl Iterator<Item = &Packet> {
        self.open.values()
    }

    /// What the evaluator says of a connection between two places now.
    pub fn ruling(&mut self, source: Place, target: Place, port: u16, protocol: Protocol) -> Arc<Ruling> {
        if let Some(known) = self.rulings.get(&(source, target, port, protocol)) {
            return known.clone();
        }
        let ruling = self.view.judge(&peer(&self.plan, source), &peer(&self.plan, target), port, protocol);
        let ruling = Arc::new(ruling);
        self.rulings.insert((source, target, port, protocol), ruling.clone());
        ruling
    }

    /// The first call of every edge after now.
    fn plan_calls(&mut self) {
        for edge in 0..self.plan.edges.len() {
            self.plan_next(edge);
        }
    }

    fn plan_next(&mut self, edge: usize) {
        let plan = self.plan.clone();
        let it = &plan.edges[edge];
        let pause = self.pause(&plan, it);
        let at = match cron_of(&plan, it) {
            None => self.now + pause,
            Some(cron) if self.running.get(&edge).is_none_or(|end| self.now + pause > *end) => {
                let Some(run) = cron.next(DateTime::from_timestamp_nanos(self.now)) else { return };
                let Some(run) = run.timestamp_nanos_opt() else { return };
                self.running.insert(edge, run + JOB);
                run + pause % (10 * SECOND)
            }
            Some(_) => self.now + pause,
        };
        self.push(at, Due::Call { edge });
    }

    /// Time to the next call: exponential, as callers that know nothing of each other make it.
    fn pause(&mut self, plan: &Plan, edge: &Edge) -> i64 {
        let callers = match edge.from {
            End::Workload(w) => plan.workloads[w].pods.len(),
            End::External(_) | End::Api | End::Nodes => 1,
        };
        let per_second = edge.per_second * self.rate * callers.max(1) as f64;
        let seconds = -(1.0 - self.rng.f64()).ln() / per_second;
        (seconds.min(1e8) * SECOND as f64) as i64 + 1
    }

    fn push(&mut self, at: i64, due: Due) {
        self.order += 1;
        self.due.push(Reverse((at, self.order, due)));
    }

    fn call(&mut self, edge: usize, sink: Sink<'_>) {
        let plan = self.plan.clone();
        let it = &plan.edges[edge];
        let (Some(source), Some(target)) = (self.pick(it.from), self.pick(it.to)) else {
            return;
        };
        if source != target {
            self.connect(edge, source, target, 0, sink);
        }
    }

    /// One end of a call; `None` if its namespace is gone.
    fn pick(&mut self, end: End) -> Option<Place> {
        let plan = self.plan.clone();
        match end {
            End::Workload(w) => {
                let workload = &plan.workloads[w];
                if workload.pods.is_empty() || !self.view.namespaces.contains_key(&workload.namespace) {
                    return None;
                }
                Some(Place::Pod(workload.pods[self.rng.usize(..workload.pods.len())]))
            }
            End::External(external) => {
                let it = &plan.externals[external];
                let count = it.addresses.len();
                if count == 0 {
                    return None;
                }
                let turn = (self.now / (300 * SECOND)) as usize;
                let address = match it.churns {
                    true => (turn + self.rng.usize(0..2)) % count,
                    false => self.rng.usize(..count),
                };
                Some(Place::External { external, address })
            }
            End::Api => Some(Place::Node(0)),
            End::Nodes => Some(Place::Node(self.rng.usize(..plan.nodes.len()))),
        }
    }

    /// One connection, or one more packet of a long-lived one, or one more try.
    fn connect(&mut self, edge: usize, source: Place, target: Place, tries: usize, sink: Sink<'_>) {
        let plan = self.plan.clone();
        let it = &plan.edges[edge];
        if it.keep && self.go_on(edge, source, sink) {
            return;
        }
        let packet = self.packet(source, target, it.port, it.protocol);
        if tries == 0 && !self.resolves(it, source, sink) {
            return;
        }
        let ruling = self.ruling(source, target, it.port, it.protocol);
        let allowed = self.show(packet, &ruling, sink);
        if allowed && it.keep {
            self.open.insert((edge, source), packet);
        }
        if !allowed {
            self.try_again(edge, it, packet, tries);
        }
    }

    /// A packet of a connection that is open already. False if there is none, or it was cut.
    fn go_on(&mut self, edge: usize, source: Place, sink: Sink<'_>) -> bool {
        let Some(packet) = self.open.get(&(edge, source)).copied() else { return false };
        let ruling = self.ruling(packet.source, packet.target, packet.port, packet.protocol);
        if !ruling.allowed() && self.view.enforcement.cuts_established {
            self.open.remove(&(edge, source));
            return false;
        }
        self.trace(packet, sink);
        true
    }

    /// Asks the resolver first where the call is by name. False if that is denied: then there is no
    /// connection at all, only a denied question.
    fn resolves(&mut self, edge: &Edge, source: Place, sink: Sink<'_>) -> bool {
        let plan = self.plan.clone();
        let by_name = match edge.to {
            End::External(e) => plan.externals[e].host.is_some(),
            End::Workload(w) => plan.workloads[w].service.is_some() && Some(w) != plan.resolver(),
            End::Api | End::Nodes => false,
        };
        let (Place::Pod(_), Some(resolver), true) = (source, plan.resolver(), by_name) else { return true };
        let Some(server) = self.pick(End::Workload(resolver)) else { return true };
        let ruling = self.ruling(source, server, 53, Protocol::Udp);
        let packet = self.packet(source, server, 53, Protocol::Udp);
        if !ruling.allowed() {
            self.show(packet, &ruling, sink);
            return false;
        }
        if let (End::External(external), true, Some(node)) =
            (edge.to, plan.dns_visibility, node_of(&plan, source))
        {
            for answer in [false, true] {
                sink(node, Event { at: self.now, what: What::Dns { answer, external }, packet });
            }
        }
        true
    }

    fn packet(&mut self, source: Place, target: Place, port: u16, protocol: Protocol) -> Packet {
        self.source_port = if self.source_port >= 60_990 { 32_768 } else { self.source_port + 1 };
        Packet { source, target, source_port: self.source_port, port, protocol }
    }

    /// Puts a first packet's verdicts and traces where they are seen. False if it was denied.
    fn show(&mut self, packet: Packet, ruling: &Arc<Ruling>, sink: Sink<'_>) -> bool {
        let plan = self.plan.clone();
        let starting = matches!(packet.source, Place::Pod(pod) if self.starting(pod));
        let sides = [
            (Direction::Egress, &ruling.egress, packet.source),
            (Direction::Ingress, &ruling.ingress, packet.target),
        ];
        for (direction, side, at) in sides {
            let Some(node) = endpoint_node(&plan, at) else { continue };
            let dropped = match side {
                Side::Open => continue,
                Side::Allowed(_) => starting && direction == Direction::Egress,
                Side::Denied(_) => true,
            };
            let what = What::Verdict { direction, ruling: ruling.clone(), dropped };
            sink(node, Event { at: self.now, what, packet });
            if dropped {
                sink(node, Event { at: self.now, what: What::Drop { direction }, packet });
                return false;
            }
        }
        self.trace(packet, sink);
        true
    }

    fn trace(&self, packet: Packet, sink: Sink<'_>) {
        let one = |direction, reply| Event { at: self.now, what: What::Trace { direction, reply }, packet };
        if let Some(node) = endpoint_node(&self.plan, packet.source) {
            sink(node, one(Direction::Egress, false));
        }
        if let Some(node) = endpoint_node(&self.plan, packet.target) {
            sink(node, one(Direction::Ingress, false));
        }
    }

    fn starting(&mut self, pod: usize) -> bool {
        match self.starting.get(&pod) {
            Some(until) if *until > self.now => true,
            Some(_) => {
                self.starting.remove(&pod);
                false
            }
            None => false,
        }
    }

    fn try_again(&mut self, edge: usize, it: &Edge, packet: Packet, tries: usize) {
        if let (Some(pause), true) = (RETRIES.get(tries), it.per_second * self.rate < BUSY_PER_SECOND) {
            let (source, target) = (packet.source, packet.target);
            self.push(self.now + pause, Due::Retry { edge, source, target, count: tries + 1 });
        }
    }

    /// Opens what is kept open, as if it had been for long.
    fn open_all(&mut self) {
        let plan = self.plan.clone();
        for (edge, it) in plan.edges.iter().enumerate().filter(|(_, e)| e.keep) {
            let End::Workload(from) = it.from else { continue };
            for pod in plan.workloads[from].pods.clone() {
                let source = Place::Pod(pod);
                let Some(target) = self.pick(it.to).filter(|t| *t != source) else { continue };
                if self.ruling(source, target, it.port, it.protocol).allowed() {
                    let packet = self.packet(source, target, it.port, it.protocol);
                    self.open.insert((edge, source), packet);
                }
            }
        }
    }
}

/// The schedule that an edge's caller runs by.
fn cron_of<'a>(plan: &'a Plan, edge: &Edge) -> Option<&'a crate::sim::fleet::cron::Cron> {
    let End::Workload(from) = edge.from else { return None };
    let workload = &plan.workloads[from];
    workload.schedule.as_ref().filter(|_| workload.kind == Kind::CronJob)
}

/// The node a place is on, if it is in the cluster.
fn node_of(plan: &Plan, place: Place) -> Option<usize> {
    match place {
        Place::Pod(pod) => Some(plan.pods[pod].node),
        Place::Node(node) => Some(node),
        Place::External { .. } => None,
    }
}

/// The node whose agent sees this end: only pods with an address of their own are endpoints.
fn endpoint_node(plan: &Plan, place: Place) -> Option<usize> {
    match place {
        Place::Pod(pod) if !plan.pod_workload(pod).host_network => Some(plan.pods[pod].node),
        Place::Pod(_) | Place::Node(_) | Place::External { .. } => None,
    }
}

fn peer(plan: &Plan, place: Place) -> Peer<'_> {
    match place {
        Place::Pod(pod) => {
            let (it, workload) = (&plan.pods[pod], plan.pod_workload(pod));
            Peer::Pod(PodPeer {
                namespace: &workload.namespace,
                labels: &workload.labels,
                ports: &workload.ports,
                address: it.address.into(),
                node: &plan.nodes[it.node].name,
                host_network: workload.host_network,
            })
        }
        Place::Node(node) => {
            Peer::Node { name: &plan.nodes[node].name, address: plan.nodes[node].address.into() }
        }
        Place::External { external, address } => {
            let it = &plan.externals[external];
            Peer::External { address: it.addresses[address], host: it.host.as_deref() }
        }
    }
}
