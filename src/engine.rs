//! Spawns the adapters, owns the world, the inbox and the clock, performs effects. The cockpit and
//! the headless commands both drive it by [`Engine::turn`] and [`Engine::command`]. It never draws.

mod clock;
mod collectors;
mod documents;
mod foresight;
pub mod logs;
mod notifier;
mod observer;
pub mod papers;
mod performer;
mod planning;
mod prober;
mod recorder;
mod renewal;
mod sources;
mod state;
pub mod week;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::FixedOffset;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::Instant,
};

pub use self::{
    clock::Clock,
    notifier::Secrets,
    observer::Soaks,
    recorder::Records,
    sources::{goldmane_of, relay_of},
};
use self::{
    collectors::Collectors,
    notifier::Notifier,
    observer::Observer,
    performer::Performer,
    prober::Prober,
    recorder::Recorder,
    renewal::{Desk, Look},
    sources::Sources,
    state::State,
};
pub use crate::k8s::lease::Claims;
use crate::{
    cockpit::{
        alerts::Alert,
        decide::{self, Command, Refusal},
        monthly::{self, DocumentFact},
        orders::OrderId,
        plan::{ClusterEntry, FleetFile, PolicyFiles},
        ports::{ClusterFact, Effect, Fact, OrderFact, Trouble},
        settings::StatePlace,
        shared::{Share, ShareId, SharedFact},
        world::World,
    },
    domain::{fleet::Cluster, names::ClusterName},
    k8s::{self, connect::Access},
    workspace::{self, root::Place},
};

/// How to reach a cluster of the fleet file. Tests reach simulated ones in memory.
pub type Reach = Arc<dyn Fn(&ClusterEntry) -> Access + Send + Sync>;

/// What an engine starts from.
pub struct Setup {
    pub fleet: FleetFile,
    pub files: PolicyFiles,
    /// What was wrong with them.
    pub notices: Vec<Trouble>,
    pub reach: Reach,
    pub clock: Clock,
    pub zone: FixedOffset,
    /// `--read-only`.
    pub read_only: bool,
    /// Follow the flow sources. Commands that only write do not need them.
    pub follow_flows: bool,
    /// Where `sluice.yaml` stands, to read it again.
    pub workspace: Option<Place>,
    /// Where acts wait until the journal has them; `None`: in memory only.
    pub records: Option<Records>,
    /// Tell people of what is worth waking them for; `None`: this run tells nobody.
    pub notify: Option<Secrets>,
}

/// One running sluice without a screen.
pub struct Engine {
    world: World,
    clock: Clock,
    reach: Reach,
    desk: Desk,
    /// Facts wait here when the world is busy; adapters wait with them.
    inbox: mpsc::Receiver<Fact>,
    sender: mpsc::Sender<Fact>,
    batch: Vec<Fact>,
    /// Spent on the plan that is being gathered.
    planning: Duration,
    watches: Watches,
    sources: Option<Sources>,
    collectors: Option<Collectors>,
    performer: Performer,
    recorder: Recorder,
    notifier: Option<Notifier>,
    state: State,
    /// `None`: this process writes no evidence, and runs no probes.
    observer: Option<(Observer, Prober)>,
}

/// Who watches, and the bodies of policies that they share.
#[derive(Default)]
struct Watches {
    of: BTreeMap<ClusterName, Watching>,
    bodies: k8s::watch::SharedBodies,
}

/// The tasks that watch one cluster's API server.
struct Watching {
    again: Arc<Notify>,
    asks: watch::Sender<k8s::watch::Asks>,
    task: AbortHandle,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Facts that may wait. A batch of flows is one fact of at most 512 flows.
    const INBOX: usize = 1024;
    /// Facts absorbed in one turn, so that keys and frames get their turn under flood.
    const BATCH: usize = 256;
    /// Absorbing and planning go on so long at most before keys are asked for again.
    const BUDGET: Duration = Duration::from_millis(8);

    /// Must be called inside a tokio runtime: it spawns the adapters and returns at once.
    pub fn start(setup: Setup) -> Self {
        let (sender, inbox) = mpsc::channel(Self::INBOX);
        let mut engine = Self {
            world: World::new(setup.clock.now()),
            clock: setup.clock,
            performer: Performer::new(sender.clone(), setup.reach.clone()),
            recorder: Recorder::new(setup.records),
            notifier: setup.notify.map(|secrets| Notifier::new(secrets, sender.clone())),
            sources: setup.follow_flows.then(|| Sources::new(sender.clone())),
            collectors: setup.follow_flows.then(|| Collectors::new(sender.clone())),
            state: State::new(sender.clone()),
            observer: None,
            reach: setup.reach,
            desk: Desk { place: setup.workspace, has_rules: false, look: None },
            inbox,
            sender,
            batch: Vec::with_capacity(Self::BATCH),
            planning: Duration::ZERO,
            watches: Watches::default(),
        };
        let pending = setup.files.pending;
        engine.batch.push(Fact::Zone(setup.zone));
        if setup.read_only {
            engine.batch.push(Fact::ReadOnly);
        }
        engine.batch.extend([Fact::Fleet(setup.fleet), Fact::Files(setup.files)]);
        engine.batch.extend(setup.notices.into_iter().map(Fact::Notice));
        while !engine.batch.is_empty() {
            engine.absorb_batch();
        }
        if pending {
            engine.read_files();
        }
        engine
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The way to the state cluster, for what is read once.
    pub fn state_access(&self, state: &StatePlace) -> Access {
        (self.reach)(&state::entry(self.world.plan(), &state.cluster))
    }

    /// Waits for facts and absorbs a batch of them. Can be dropped while it waits; nothing is lost.
    pub async fn turn(&mut self) {
        // The engine keeps a sender, so the channel never closes.
        let is_behind = !self.batch.is_empty() || self.world.has_more();
        let room = Self::BATCH.saturating_sub(self.batch.len());
        let facts = self.inbox.recv_many(&mut self.batch, room);
        if is_behind {
            // A large fleet is brought in order in steps, whether or not a fact comes.
            tokio::select! {
                biased;
                _ = facts => {}
                () = tokio::task::yield_now() => {}
            }
        } else {
            facts.await;
        }
        self.absorb_batch();
    }

    /// Moves the time on without a fact: ages grow on a quiet fleet too.
    pub fn tick(&mut self) {
        self.world.absorb(Fact::Tick(self.clock.now()));
        self.observe_now(false);
        self.record();
        self.notify();
        self.look_through();
    }

    /// Alerts since the last call, oldest first, for whoever looks at this engine.
    pub fn take_alerts(&mut self) -> Vec<Alert> {
        self.notifier.as_mut().map(Notifier::take_fresh).unwrap_or_default()
    }

    fn notify(&mut self) {
        let Some(notifier) = &mut self.notifier else { return };
        for trouble in notifier.follow(&self.world) {
            self.world.absorb(Fact::Notice(trouble));
        }
        if let Some(memory) = notifier.take_memory() {
            self.state.remember(memory);
        }
    }

    /// Acts go to the journal as soon as the state cluster takes them.
    fn record(&mut self) {
        let orders = self.recorder.follow(&self.world);
        orders.facts.into_iter().for_each(|fact| self.world.absorb(fact));
        for (id, share) in orders.shares {
            self.share(id, share);
        }
    }

    /// From now on this process observes: it takes Leases of clusters that nobody observes and writes
    /// their evidence. A read-only one never does.
    pub fn observe(&mut self, claims: Claims, soaks: Soaks) {
        if !self.world.is_read_only() {
            self.state.claim(claims);
            self.observer = Some((Observer::new(soaks), Prober::new(self.sender.clone())));
        }
    }

    /// The program ends: evidence is written once more, and the Leases are given back after it.
    /// Answers whether something is still under way.
    pub fn leave(&mut self) -> bool {
        self.observe_now(true);
        let Some((observer, _)) = &self.observer else { return false };
        if observer.is_writing(&self.world, Instant::now()) {
            return true;
        }
        self.state.leave();
        let is_us = |cluster: &Cluster| {
            self.world.shared().observer(&cluster.name).is_some_and(|observer| observer.is_us)
        };
        self.world.clusters().any(is_us)
    }

    fn observe_now(&mut self, last: bool) {
        let Some((observer, prober)) = &mut self.observer else { return };
        self.state.want(Observer::wanted(&self.world));
        let now = Instant::now();
        if !last {
            let facts = prober.follow(&self.world, &self.reach, now);
            facts.into_iter().for_each(|fact| self.world.absorb(fact));
        }
        for (id, share) in observer.due(&self.world, now, last) {
            self.share(id, share);
        }
    }

    /// Decides and, if it may be done, does. Answers the orders it started.
    pub fn command(&mut self, command: &Command) -> Result<Vec<OrderId>, Refusal> {
        Ok(self.begin(command)?.0)
    }

    /// The same for what is written to the state cluster: answers the writes it started.
    pub fn share_by(&mut self, command: &Command) -> Result<Vec<ShareId>, Refusal> {
        Ok(self.begin(command)?.1)
    }

    fn begin(&mut self, command: &Command) -> Result<(Vec<OrderId>, Vec<ShareId>), Refusal> {
        self.tick();
        let orders = decide::decide(&self.world, command)?;
        let ids = orders.started.iter().map(|(id, _, _)| *id).collect();
        for (id, kind, target) in orders.started {
            self.world.absorb(Fact::Order(id, OrderFact::Started { kind, target }));
        }
        let share = |effect: &Effect| match effect {
            Effect::Share(id, _) => Some(*id),
            _ => None,
        };
        let shares = orders.effects.iter().filter_map(share).collect();
        for effect in orders.effects {
            self.perform(effect);
        }
        Ok((ids, shares))
    }

    fn perform(&mut self, effect: Effect) {
        self.recorder.begin(&self.world, &effect);
        match effect {
            Effect::Preview(order) => {
                self.performer.preview(&self.world, order);
                self.look_back();
            }
            Effect::Apply(order) => self.performer.apply(&self.world, order),
            Effect::Rollback(order) => self.performer.rollback(&self.world, order),
            Effect::Abort(id) => self.performer.abort(id),
            Effect::Reconnect(cluster) => {
                self.state.reconnect(&cluster);
                if let Some(watching) = self.watches.of.get(&cluster) {
                    watching.again.notify_one();
                }
            }
            Effect::ReadEdges(cluster, ns) => {
                let stands_in = self.world.discoveries().rests_on_document(&cluster, &ns);
                self.world.absorb(Fact::Cluster(cluster.clone(), ClusterFact::Asked(ns.clone())));
                if stands_in {
                    self.read_document(cluster, ns);
                } else if let Some(collectors) = &self.collectors {
                    collectors.ask(&cluster, ns);
                }
            }
            Effect::Foresee(question) => {
                let target = question.order.target.clone();
                let fact = ClusterFact::Foreseeing(target.clone());
                self.world.absorb(Fact::Cluster(target.cluster, fact));
                self.performer.foresee(&self.world, *question);
                self.look_back();
            }
            Effect::ReadDocuments => self.read_documents(),
            Effect::Compare(question) => self.compare(*question),
            Effect::Renew { prepared, reviewed } => self.renew(*prepared, reviewed),
            Effect::Share(id, share) => {
                self.world.absorb(Fact::Shared(SharedFact::Asked(id)));
                self.share(id, share);
            }
            Effect::Reload => self.reload(),
        }
    }

    /// Writes to the state cluster: sluice's own bookkeeping, decided by whoever calls.
    pub fn share(&mut self, id: ShareId, share: Share) {
        if let Some(refused) = self.state.share(id, share) {
            self.world.absorb(Fact::Shared(refused));
        }
    }

    fn absorb_batch(&mut self) {
        self.tick();
        let (mut replanned, mut refiled, mut wants_rules) = (false, false, false);
        let began = Instant::now();
        let mut facts = std::mem::take(&mut self.batch).into_iter();
        while began.elapsed() < Self::BUDGET
            && let Some(fact) = facts.next()
        {
            let fact = self.desk.take(&self.world, &fact).unwrap_or(fact);
            match &fact {
                Fact::Fleet(plan) => {
                    replanned = true;
                    // The owner gate asks for them, with or without a collector.
                    wants_rules |= !self.desk.has_rules && plan.settings.state.is_some();
                }
                Fact::Files(_) => refiled = true,
                Fact::Cluster(_, ClusterFact::Collector(_)) => wants_rules |= !self.desk.has_rules,
                Fact::Cluster(
                    name,
                    fact @ (ClusterFact::Cni(_) | ClusterFact::Policies(..) | ClusterFact::Preflight(_)),
                ) => {
                    if let Some(sources) = &mut self.sources {
                        sources.note(name, fact);
                    }
                }
                Fact::Cluster(name, ClusterFact::Pods(change)) => {
                    if let Some(collectors) = &mut self.collectors {
                        collectors.see(name, change);
                    }
                }
                Fact::Cluster(name, fact @ (ClusterFact::Flows(_) | ClusterFact::Probed { .. })) => {
                    if let Some((_, prober)) = &mut self.observer {
                        prober.note(name, fact);
                    }
                }
                Fact::Order(id, OrderFact::Ended(_)) => self.performer.ended(*id),
                Fact::Document(DocumentFact::Written(..)) => wants_rules = true,
                _ => {}
            }
            self.recorder.note(&self.world, &fact);
            self.world.absorb(fact);
        }
        self.batch = facts.collect();
        self.record();
        if replanned || refiled {
            self.watch_fleet();
        }
        if replanned {
            if let Some(sources) = &mut self.sources {
                sources.touch_all();
            }
            self.state.follow(self.world.plan(), &self.reach);
        }
        if replanned || wants_rules {
            self.read_documents();
        }
        if wants_rules || (replanned && self.desk.has_rules) {
            self.read_rules();
        }
        if let Some(sources) = &mut self.sources {
            sources.follow(&self.world, &self.reach);
        }
        if let Some(collectors) = &mut self.collectors {
            collectors.follow(self.world.plan(), replanned, &self.reach);
        }
        self.world.settle();
        self.plan();
        self.look_back();
        self.look_through();
    }

    /// Previews are told what was recorded; what was not read yet is asked for.
    fn look_back(&mut self) {
        for target in self.performer.follow(&self.world) {
            self.perform(Effect::ReadEdges(target.cluster, target.ns));
        }
    }

    /// One watch task for each cluster of the plan, none for others.
    fn watch_fleet(&mut self) {
        let plan = self.world.plan();
        self.watches.of.retain(|name, _| plan.clusters.iter().any(|entry| entry.name == *name));
        let mut authored = self.world.files().namespaces(k8s::watch::Asks::NAMESPACES);
        for entry in &plan.clusters {
            let namespaces = authored.remove(&entry.name).unwrap_or_default();
            let asks = k8s::watch::Asks { said: plan.said(entry), namespaces };
            if let Some(watching) = self.watches.of.get(&entry.name) {
                watching.asks.send_if_modified(|known| std::mem::replace(known, asks.clone()) != asks);
                continue;
            }
            let again = Arc::new(Notify::new());
            let (asks, asked) = watch::channel(asks);
            let bodies = self.watches.bodies.clone();
            let wishes = k8s::watch::Wishes { again: again.clone(), asks: asked, bodies };
            let run = k8s::watch::run(entry.name.clone(), (self.reach)(entry), self.sender.clone(), wishes);
            let last_words = ClusterFact::Away(own_fault(&entry.name, "its watch"));
            let task = guard(run, entry.name.clone(), last_words, self.sender.clone());
            self.watches.of.insert(entry.name.clone(), Watching { again, asks, task });
        }
    }

    /// In the background: what is on screen does not wait for it.
    fn read_rules(&mut self) {
        self.desk.has_rules = true;
        let (fleet, sender) = (self.world.plan().clone(), self.sender.clone());
        let root = self.desk.root();
        tokio::spawn(async move {
            let read = move || {
                let (rules, mut troubles) = workspace::rules_of(&fleet, root.as_deref());
                // Without a workspace there are no documents to read.
                let flagged = root.map(|root| {
                    let (flagged, bad) = workspace::evidence::read(&root, &fleet, &rules);
                    troubles.extend(bad);
                    flagged
                });
                (rules, flagged, troubles)
            };
            let (rules, flagged, troubles) = match tokio::task::spawn_blocking(read).await {
                Ok(read) => read,
                Err(stopped) => {
                    tracing::error!(%stopped, "reading the rules stopped");
                    return;
                }
            };
            let read = std::iter::once(Fact::Rules(Arc::new(rules))).chain(flagged.map(Fact::Flagged));
            for fact in read.chain(troubles.into_iter().map(Fact::Notice)) {
                let _ = sender.send(fact).await;
            }
        });
    }

    /// In the background: what the discovery documents say of themselves.
    fn read_documents(&mut self) {
        let Some(root) = self.desk.root() else { return };
        self.world.absorb(Fact::Document(DocumentFact::Asked));
        let (today, sender) = (self.world.now().date_naive(), self.sender.clone());
        tokio::spawn(async move {
            match tokio::task::spawn_blocking(move || papers::files(&root, today)).await {
                Ok(files) => drop(sender.send(Fact::Document(DocumentFact::Read(files))).await),
                Err(stopped) => tracing::error!(%stopped, "reading the documents stopped"),
            }
        });
    }

    /// In the background: there may be a hundred thousand, and nothing on screen waits for them.
    fn read_files(&self) {
        let Some(place) = self.desk.place.clone() else { return };
        let (fleet, sender) = (self.world.plan().clone(), self.sender.clone());
        tokio::spawn(async move {
            let read = move || workspace::root::read_files(&place, &fleet);
            match tokio::task::spawn_blocking(read).await {
                Ok((files, troubles)) => {
                    let _ = sender.send(Fact::Files(files)).await;
                    for trouble in troubles {
                        let _ = sender.send(Fact::Notice(trouble)).await;
                    }
                }
                Err(stopped) => tracing::error!(%stopped, "reading the policy files stopped"),
            }
        });
    }

    /// Asks the collectors; what they answer is compared once all have, or have taken too long.
    fn compare(&mut self, question: monthly::Question) {
        let (ns, waiting) = (question.ns.clone(), question.asked.clone());
        self.world.absorb(Fact::Document(DocumentFact::Begun { ns: ns.clone(), waiting: waiting.clone() }));
        if let Some(collectors) = &self.collectors {
            waiting.iter().for_each(|cluster| collectors.ask(cluster, ns.clone()));
        }
        self.desk.look = Some(Look::begin(question, Instant::now()));
        self.look_through();
    }

    fn look_through(&mut self) {
        let Some(look) = self.desk.over(Instant::now()) else { return };
        let Some(root) = self.desk.root() else { return };
        look.compare(&self.world, root, &self.reach, self.sender.clone());
    }

    /// Writes into the workspace; what is judged by its documents is read again.
    fn renew(&mut self, prepared: monthly::Prepared, reviewed: bool) {
        let Some(root) = self.desk.root() else { return };
        self.world.absorb(Fact::Document(DocumentFact::Writing(prepared.ns.clone())));
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let (path, beside) = (prepared.path.clone(), prepared.beside.clone());
            let ns = prepared.ns.clone();
            let write = tokio::task::spawn_blocking(move || renewal::write(&root, &prepared, reviewed));
            let result = write.await.unwrap_or_else(|stopped| {
                tracing::error!(%stopped, "writing a document stopped");
                let fact = format!("writing it and {beside} stopped on a fault of sluice");
                Err(Trouble::new(path.as_str(), &fact, "Look at both files, and see the log file."))
            });
            let _ = sender.send(Fact::Document(DocumentFact::Written(ns, result))).await;
        });
    }

    fn reload(&self) {
        let Some(place) = self.desk.place.clone() else { return };
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let facts = match tokio::task::spawn_blocking(move || workspace::root::read(&place)).await {
                Ok(Ok(read)) => vec![Fact::Fleet(read.fleet), Fact::Files(read.files)]
                    .into_iter()
                    .chain(read.notices.into_iter().map(Fact::Notice))
                    .collect(),
                // What was read before stays in force.
                Ok(Err(troubles)) => troubles.into_iter().map(Fact::Notice).collect::<Vec<_>>(),
                Err(stopped) => {
                    tracing::error!(%stopped, "reading the workspace stopped");
                    return;
                }
            };
            for fact in facts {
                let _ = sender.send(fact).await;
            }
        });
    }
}

/// Runs an adapter; one that panics says so in its own cluster's row and harms nothing else.
fn guard(
    run: impl Future<Output = ()> + Send + 'static,
    cluster: ClusterName,
    last_words: ClusterFact,
    sender: mpsc::Sender<Fact>,
) -> AbortHandle {
    let inner = tokio::spawn(run);
    let handle = inner.abort_handle();
    tokio::spawn(async move {
        if let Err(stopped) = inner.await
            && stopped.is_panic()
        {
            tracing::error!(%cluster, %stopped, "an adapter stopped");
            let _ = sender.send(Fact::Cluster(cluster, last_words)).await;
        }
    });
    handle
}

fn own_fault(cluster: &ClusterName, what: &str) -> Trouble {
    let fact = format!("{what} stopped on a fault of sluice");
    let next = "Rollback still works; restart sluice to see this again, and report the log file.";
    Trouble::new(cluster.as_str(), &fact, next)
}
