//! A fleet that runs: one simulated API server and one relay for each cluster of a scenario, kept
//! in step with each other, with the scenario's faults coming and going. In memory; `serve` puts it
//! on loopback. All its time is the runtime's, so a paused clock drives it.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::sim::{
    api::{
        clock::Clock,
        cluster::{Cluster, ClusterSetup, Peer, PodPort, Stop},
    },
    fleet::{
        agents::Agents,
        aggregator::{self, Aggregator},
        faults::{Fault, Schedule},
        flows::seed_of,
        generate,
        goldmane::{self, Goldmane, tls::Certificates},
        guests, jobs, kyverno,
        manners::Troubles,
        past,
        people::{self, Person},
        plan::Plan,
        printer::Printer,
        reach::{self, Closed},
        relay::Relay,
        scenario::{ClusterSpec, Cni, Records, Scenario},
        seeding::{extra_resources, of_server, seed_objects},
        staged,
        verdict::Enforcement,
        views::Views,
    },
};

/// Above this speed traffic is thinned, so that a scenario's two days fit into minutes.
const FULL_TRAFFIC_SPEED: f64 = 30.0;
const RELAY_PORT: u16 = 4245;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Scenario time runs this many times as fast as the runtime's.
    pub speed: f64,
    /// What the clusters' clocks show at the beginning.
    pub start: DateTime<Utc>,
}

/// A running fleet. Clones are the same fleet; the last one to go stops it.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    options: Options,
    members: Vec<Member>,
    /// Keeps views and faults in step; aborted with the fleet.
    _tasks: JoinSet<()>,
}

/// One cluster of the fleet. Clones are the same cluster.
#[derive(Clone)]
pub struct Member {
    spec: Arc<ClusterSpec>,
    plan: Arc<Plan>,
    server: Cluster,
    relay: Relay,
    goldmane: Option<Goldmane>,
    aggregator: Option<Aggregator>,
    printer: Option<Printer>,
    clock: Clock,
    options: Options,
    state: Arc<State>,
    has_past: bool,
}

struct State {
    schedule: Mutex<Schedule>,
    schedule_changed: Notify,
    /// The faults that were in force at the last look.
    felt: Mutex<Vec<Fault>>,
    reach: watch::Sender<Reachable>,
    listeners: Listeners,
}

/// What answers at ports of pods: a handler hands out the near end of a stream for each connection.
type Listeners = Arc<Mutex<HashMap<(String, u16), Listener>>>;

pub type Listener = Arc<dyn Fn() -> Option<DuplexStream> + Send + Sync>;

/// Whether a connection to the API server can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachable {
    Yes,
    /// Nothing listens.
    Dead,
    /// The server shows a certificate that is out of date.
    Expired,
}

impl Fleet {
    /// Starts a scenario. Must be called within a runtime.
    pub fn new(scenario: &Scenario, options: Options) -> Self {
        let clock = Clock::new(options.start, options.speed);
        let members: Vec<Member> = (0..scenario.clusters.len())
            .map(|index| Member::new(scenario, index, options, clock.clone()))
            .collect();
        past::shared::seed(scenario, &members, options.start);
        let mut tasks = JoinSet::new();
        for member in &members {
            tasks.spawn(member.clone().keep_view());
            tasks.spawn(member.clone().keep_faults());
            tasks.spawn(member.clone().keep_jobs());
            tasks.spawn(member.clone().keep_guests());
            tasks.spawn(member.clone().keep_kyverno());
        }
        Self(Arc::new(Inner { options, members, _tasks: tasks }))
    }

    /// The clusters, in the scenario's order.
    pub fn clusters(&self) -> &[Member] {
        &self.0.members
    }

    pub fn cluster(&self, name: &str) -> Option<&Member> {
        self.0.members.iter().find(|m| m.name() == name)
    }

    pub fn options(&self) -> Options {
        self.0.options
    }

    /// Lets something go wrong with a cluster, until [`Fleet::heal`].
    ///
    /// # Panics
    /// If there is no such cluster: that is a mistake of the test.
    pub fn fault(&self, cluster: &str, fault: Fault) {
        self.cluster(cluster).expect("a test names clusters of its scenario").fault(fault);
    }

    /// Ends all faults of a cluster, those of the scenario too.
    ///
    /// # Panics
    /// If there is no such cluster: that is a mistake of the test.
    pub fn heal(&self, cluster: &str) {
        self.cluster(cluster).expect("a test names clusters of its scenario").heal();
    }

    /// A connection in memory to a cluster's API server: HTTP/1.1 with upgrades, no TLS. Who asks is
    /// told by the bearer token of each request, see [`Member::token`].
    pub fn connect(&self, cluster: &str) -> io::Result<DuplexStream> {
        let member = self.cluster(cluster);
        member.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such cluster"))?.connect()
    }
}

impl Member {
    fn new(scenario: &Scenario, index: usize, options: Options, clock: Clock) -> Self {
        let spec = Arc::new(scenario.clusters[index].clone());
        let plan = Arc::new(generate::plan(scenario, index, options.seed));
        let server = Cluster::new(ClusterSetup {
            accounts: people::accounts(&spec.name, options.seed),
            extra_resources: extra_resources(&spec),
            controllers: true,
            clock: clock.clone(),
            seed: seed_of(options.seed, &spec.name),
            address: format!("{}:6443", plan.nodes[0].address),
        });
        seed_objects(&server, &plan, (&spec, &scenario.past), options.start);
        let mut views = Views::new(Enforcement::of(spec.cni));
        views.refresh(&server);
        let now = clock.now().timestamp_nanos_opt().unwrap_or_default();
        let rate = (FULL_TRAFFIC_SPEED / options.speed).min(1.0);
        let agents = Agents::new(plan.clone(), views.view.clone(), now, rate);
        let relay = Relay::new(agents, clock.clone(), options.speed);
        let goldmane = (spec.cni == Cni::CalicoOperator).then(|| {
            let certificates = Certificates::new().expect("certificates of names written here can be made");
            let created = clock.stamp();
            certificates.objects(&created).into_iter().for_each(|object| server.seed(object));
            Goldmane::new(relay.clone(), options.speed, certificates)
        });
        let aggregator = (spec.agent.records == Some(Records::FlowStream)).then(|| {
            let certificates =
                aggregator::tls::Certificates::new().expect("certificates of names written here can be made");
            server.seed(certificates.object(&clock.stamp()));
            Aggregator::new(relay.clone(), certificates)
        });
        let printer = spec
            .agent
            .records
            .filter(|records| *records != Records::FlowStream)
            .map(|records| Printer::new(records, relay.clone()));
        let (reach, _) = watch::channel(Reachable::Yes);
        let schedule = Mutex::new(Schedule::new(spec.faults.clone()));
        let state = Arc::new(State {
            schedule,
            schedule_changed: Notify::new(),
            felt: Mutex::default(),
            reach,
            listeners: Listeners::default(),
        });
        let has_past = scenario.past.rows.iter().any(|row| row.cluster == spec.name);
        let member = Self {
            spec,
            plan,
            server,
            relay,
            goldmane,
            aggregator,
            printer,
            clock,
            options,
            state,
            has_past,
        };
        member.answer_portforwards();
        if let Some(printer) = &member.printer {
            member.server.set_logs(printer.logs());
        }
        member.apply_faults();
        member
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Something was applied here before the scenario begins.
    pub fn has_past(&self) -> bool {
        self.has_past
    }

    /// The API server, to seed, inspect or restart.
    pub fn server(&self) -> &Cluster {
        &self.server
    }

    /// The relay, where the plugin has one.
    pub fn relay(&self) -> Option<&Relay> {
        (self.spec.cni == Cni::Cilium).then_some(&self.relay)
    }

    /// Goldmane, where the operator runs one.
    pub fn goldmane(&self) -> Option<&Goldmane> {
        self.goldmane.as_ref()
    }

    /// Antrea's flow aggregator, where it serves its stream.
    pub fn aggregator(&self) -> Option<&Aggregator> {
        self.aggregator.as_ref()
    }

    /// Agents, traffic and evaluator: there is one in each cluster, with or without a relay.
    pub fn agents(&self) -> MutexGuard<'_, Agents> {
        self.relay.agents()
    }

    /// Every connection that the cluster's policies deny as they are at this moment.
    pub fn closed(&self) -> BTreeSet<Closed> {
        let mut views = Views::new(Enforcement::of(self.spec.cni));
        views.refresh(&self.server);
        reach::closed(&self.plan, &views.view)
    }

    pub fn token(&self, person: Person) -> String {
        person.token(&self.spec.name, self.options.seed)
    }

    pub fn reachable(&self) -> watch::Receiver<Reachable> {
        self.state.reach.subscribe()
    }

    pub fn fault(&self, fault: Fault) {
        self.schedule().set(fault);
        self.apply_faults();
        self.state.schedule_changed.notify_one();
    }

    pub fn heal(&self) {
        self.schedule().clear();
        self.apply_faults();
        self.state.schedule_changed.notify_one();
    }

    /// See [`Fleet::connect`].
    pub fn connect(&self) -> io::Result<DuplexStream> {
        match *self.state.reach.borrow() {
            Reachable::Yes => {}
            Reachable::Dead => {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused"));
            }
            Reachable::Expired => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate: Expired"));
            }
        }
        let (near, far) = tokio::io::duplex(256 * 1024);
        tokio::spawn(self.clone().serve(far, Peer::default()));
        Ok(near)
    }

    /// Serves one connection to the API server until it ends or the server dies.
    pub async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut reach = self.reachable();
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), self.server.service(peer))
            .with_upgrades();
        tokio::select! {
            // How a client leaves is its own affair.
            _ = connection => {}
            _ = reach.wait_for(|reach| *reach == Reachable::Dead) => {}
        }
    }

    /// Lets something answer at a port of a workload's pods, in place of what stood there.
    pub fn listen(&self, namespace: &str, workload: &str, port: u16, listener: &Listener) {
        let Some(index) = self.plan.workload(namespace, workload) else { return };
        let mut known = self.state.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for pod in &self.plan.workloads[index].pods {
            let pod = format!("{namespace}/{}", self.plan.pods[*pod].name);
            known.insert((pod, port), listener.clone());
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.state.schedule.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answer_portforwards(&self) {
        let (relay, plan, goldmane) = (self.relay.clone(), self.plan.clone(), self.goldmane.clone());
        let (listeners, aggregator) = (self.state.listeners.clone(), self.aggregator.clone());
        self.server.set_portforward(Arc::new(move |asked: PodPort| {
            let pod = format!("{}/{}", asked.namespace, asked.pod);
            let known = listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(listener) = known.get(&(pod, asked.port)).cloned() {
                drop(known);
                return listener();
            }
            let is_of = |namespace: &str, workload: &str| {
                let pods = plan.workload(namespace, workload).map(|index| &plan.workloads[index].pods);
                let mut pods = pods.into_iter().flatten();
                asked.namespace == namespace && pods.any(|pod| plan.pods[*pod].name == asked.pod)
            };
            if let (Some(goldmane), goldmane::PORT) = (&goldmane, asked.port) {
                return is_of(goldmane::NAMESPACE, goldmane::NAME).then(|| goldmane.connect()).flatten();
            }
            if let (Some(aggregator), aggregator::PORT) = (&aggregator, asked.port) {
                return is_of(aggregator::NAMESPACE, aggregator::NAME)
                    .then(|| aggregator.connect())
                    .flatten();
            }
            let is_relay = asked.port == RELAY_PORT && is_of("kube-system", "hubble-relay");
            is_relay.then(|| relay.connect()).flatten()
        }));
    }

    /// Tells the evaluator of every change to policies and namespaces.
    async fn keep_view(self) {
        let mut changes = self.server.subscribe();
        let mut views = Views::new(Enforcement::of(self.spec.cni));
        loop {
            if views.refresh(&self.server) {
                let now = self.relay.now();
                self.relay.agents().set_view(views.view.clone(), now);
            }
            if let Some(goldmane) = &self.goldmane {
                goldmane.stage(staged::view(&views.view, &self.server));
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn keep_jobs(self) {
        jobs::keep(&self.plan, &self.server, &self.clock, self.options.speed).await;
    }

    async fn keep_guests(self) {
        guests::keep(self.plan, self.server, self.relay, self.clock, self.options.speed).await;
    }

    async fn keep_kyverno(self) {
        if let Some(kyverno) = self.spec.kyverno {
            kyverno::keep(kyverno, &self.server, &self.clock, self.options.speed).await;
        }
    }

    /// Lets the scenario's faults come and go.
    async fn keep_faults(self) {
        loop {
            self.apply_faults();
            let next = self.schedule().next_change(self.elapsed());
            let pause = next.map(|at| (at - self.elapsed()).div_f64(self.options.speed));
            let changed = self.state.schedule_changed.notified();
            match pause {
                Some(pause) => {
                    let _ = tokio::time::timeout(pause + Duration::from_millis(1), changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn elapsed(&self) -> Duration {
        (self.clock.now() - self.options.start).to_std().unwrap_or_default()
    }

    /// Makes the faults that hold now felt.
    fn apply_faults(&self) {
        let faults: Vec<Fault> = self.schedule().at(self.elapsed()).into_iter().cloned().collect();
        let has = |fault: &Fault| faults.contains(fault);
        let reach = match (has(&Fault::Dead), has(&Fault::ExpiredCertificate)) {
            (true, _) => Reachable::Dead,
            (false, true) => Reachable::Expired,
            (false, false) => Reachable::Yes,
        };
        self.state.reach.send_if_modified(|was| std::mem::replace(was, reach) != reach);
        self.server.set_faults(of_server(&faults));
        self.relay.set_away(has(&Fault::RelayAway) || has(&Fault::Dead));
        self.relay.agents().set_troubles(Troubles::of(&faults, &self.plan));
        if let Some(goldmane) = &self.goldmane {
            goldmane.feel(&faults);
        }
        if let Some(aggregator) = &self.aggregator {
            let gone = has(&Fault::RelayAway);
            aggregator.set_away(gone || has(&Fault::Dead), gone);
        }
        if let Some(printer) = &self.printer {
            printer.feel(&faults);
        }
        let begun = {
            let mut felt = self.state.felt.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let before = std::mem::replace(&mut *felt, faults.clone());
            faults.into_iter().filter(move |fault| !before.contains(fault))
        };
        begun.for_each(|fault| self.begin(&fault));
    }

    /// What happens once, when a fault begins.
    fn begin(&self, fault: &Fault) {
        match fault {
            Fault::WatchExpiry => self.server.restart(Stop::Clean),
            Fault::LogRotated { node } => {
                if let Some(printer) = &self.printer {
                    printer.rotate(node);
                }
            }
            Fault::StuckTerminating { namespace } => self.stick(namespace),
            Fault::Restart { namespace, workload } => self.restart(namespace, workload),
            Fault::Dead
            | Fault::Slow { .. }
            | Fault::NodeLost { .. }
            | Fault::NodeDown { .. }
            | Fault::ClockSkew { .. }
            | Fault::OddFlows
            | Fault::Disorder
            | Fault::LostEvents { .. }
            | Fault::RelayAway
            | Fault::LogAway { .. }
            | Fault::SilentLoss { .. }
            | Fault::LateFlows { .. }
            | Fault::TooManyRequests
            | Fault::ExpiredCertificate
            | Fault::MissingRights
            | Fault::AnswersLost
            | Fault::Garbage => {}
        }
    }

    /// A namespace that is being deleted and waits for somebody who never comes.
    fn stick(&self, name: &str) {
        let found =
            self.server.objects("v1", "Namespace").into_iter().find(|ns| ns["metadata"]["name"] == name);
        let Some(found) = found else { return };
        let mut namespace = Value::clone(&found);
        namespace["metadata"]["deletionTimestamp"] = self.clock.stamp().into();
        namespace["metadata"]["finalizers"] = serde_json::json!(["storage.example.com/volumes"]);
        namespace["status"]["phase"] = "Terminating".into();
        self.server.seed(namespace);
    }

    /// The containers of a workload start again, in the same pods.
    fn restart(&self, namespace: &str, workload: &str) {
        let Some(index) = self.plan.workload(namespace, workload) else { return };
        let names: Vec<&str> =
            self.plan.workloads[index].pods.iter().map(|pod| self.plan.pods[*pod].name.as_str()).collect();
        let is_one = |pod: &Value| pod["metadata"]["name"].as_str().is_some_and(|name| names.contains(&name));
        for found in self.server.objects("v1", "Pod").into_iter().filter(|pod| is_one(pod)) {
            let mut pod = Value::clone(&found);
            for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
                status["restartCount"] = (status["restartCount"].as_u64().unwrap_or(0) + 1).into();
                status["state"]["running"]["startedAt"] = self.clock.stamp().into();
            }
            self.server.seed(pod);
        }
        self.relay.agents().traffic().restart(namespace, workload);
    }
}
