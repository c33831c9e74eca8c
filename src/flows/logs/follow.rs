//! Records out of pods' logs: finds the pods that print them, one a node, keeps a task for each, and
//! tells what they read under one source. How pods are found and their logs opened is handed in.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use chrono::TimeDelta;
use futures::{future::BoxFuture, stream::BoxStream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Duration, Instant, MissedTickBehavior, interval, sleep_until},
};

use super::node::{self, Piece, Report, What};
use crate::{
    cockpit::ports::{Fact, Link, Trouble},
    domain::{
        addresses::AddressBook,
        names::{ClusterName, NodeName, NsName, Text},
        sighting::Outcome,
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        baseline::{
            gather::{Input, Owner},
            owned::Heard,
            store::Id,
        },
        outlet::{Outlet, Took},
        records::Format,
        source::{Closed, FarClock, Health},
    },
};

/// Between two looks for pods.
const FIND: Duration = Duration::from_secs(30);
/// How long the first look waits until it is known whose addresses are.
const HOLD: Duration = Duration::from_secs(10);
/// A node that nobody prints for this long is taken for gone: nobody waits for it any more.
const GONE: Duration = Duration::from_secs(3_600);
/// Nodes kept; more than any cluster Kubernetes supports.
const NODES: usize = 6_000;
/// Pieces that wait; their readers wait with them.
const REPORTS: usize = 256;

/// A pod whose log carries records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printer {
    pub ns: Text,
    pub pod: Text,
    /// Another pod of the same name is another one.
    pub uid: Text,
    /// `None`: it has but one.
    pub container: Option<Text>,
    /// The node it runs on, and whose records it prints.
    pub node: NodeName,
    pub format: Format,
    /// Of kernel-log: what became of packets that reached the `Log` rule, as whoever set the printer
    /// up says.
    pub logged: Option<Outcome>,
}

impl Printer {
    pub fn object(&self) -> String {
        format!("log of pod {}/{}", self.ns, self.pod)
    }
}

/// From where on a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Time(Timestamp),
    /// So many lines before its end. An empty log is opened with its first line.
    Last(u32),
}

/// A log that was opened.
pub struct Opened {
    /// The clock of whoever opened it.
    pub at: Option<Timestamp>,
    /// Lines, each with the time at which it was printed before it; cut anywhere.
    pub bytes: BoxStream<'static, Result<Bytes, Trouble>>,
}

/// Whose an address is, from the API.
pub enum Owned {
    Is(IpAddr, Owner),
    /// All that are known by now were told: what is read before could not be given to anybody.
    Complete,
}

pub type Find = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<Printer>, Trouble>> + Send + Sync>;
pub type Open = Arc<dyn Fn(Printer, Since) -> BoxFuture<'static, Result<Opened, Trouble>> + Send + Sync>;

/// The way to the logs, and what is looked for in them.
#[derive(Clone)]
pub struct Logs {
    pub find: Find,
    pub open: Open,
    /// In this order: the first that somebody prints is the one that is read, for two of them would
    /// count everything twice.
    pub formats: Vec<(Format, SourceKind)>,
}

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody prints anything that is looked for.
    Nobody,
    /// Nobody listens.
    Closed,
}

/// For the cockpit. `owners`: whose an address is, from the API, for records that have addresses alone.
pub async fn run(
    cluster: ClusterName,
    logs: Logs,
    wanted: watch::Receiver<Vec<NsName>>,
    owners: mpsc::Receiver<Owned>,
    inbox: mpsc::Sender<Fact>,
) -> Ended {
    let outlet = Outlet::denials(cluster, wanted, inbox);
    Follower::new(logs, outlet, None, HashSet::new()).until_ended(Some(owners)).await
}

/// Where the collector reads, and what it has read before.
pub struct Gathering {
    pub cluster: ClusterName,
    /// What the source is called in positions and ids.
    pub source: Text,
    pub logs: Logs,
    pub position: Option<Timestamp>,
    /// Committed ids that reading from the position could repeat, oldest first.
    pub known: Vec<Id>,
}

/// The same for the collector, which finds owners of addresses itself.
pub async fn gather(gathering: Gathering, inputs: mpsc::Sender<Input>) -> Ended {
    let Gathering { cluster, source, logs, position, known } = gathering;
    let ids = known.iter().map(|(id, _)| *id).collect();
    let outlet = Outlet::edges(cluster, source, inputs, &known);
    Follower::new(logs, outlet, position, ids).until_ended(None).await
}

struct Follower {
    logs: Logs,
    outlet: Outlet,
    /// What is read, once that is known.
    format: Option<Format>,
    health: Health,
    clock: FarClock,
    book: AddressBook,
    nodes: BTreeMap<NodeName, Node>,
    tasks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    reporting: mpsc::Sender<Report>,
    /// Why pods could not be looked for.
    unfound: Option<Trouble>,
    position: Option<Timestamp>,
    known: Arc<HashSet<u64>>,
}

struct Node {
    /// To the task that reads it; `None`: the node is gone.
    task: Option<watch::Sender<Option<Printer>>>,
    /// Since when nobody prints it.
    absent: Option<Instant>,
    link: Option<Result<(), Trouble>>,
    printed: Option<Timestamp>,
}

/// What the select loop woke up for.
enum Wake {
    Found(Result<Vec<Printer>, Trouble>),
    Report(Report),
    Owner(Option<Owned>),
    Hold,
    BatchDue,
    Second,
    Find,
}

impl Follower {
    fn new(logs: Logs, outlet: Outlet, position: Option<Timestamp>, known: HashSet<u64>) -> Self {
        let (reporting, reports) = mpsc::channel(REPORTS);
        Self {
            logs,
            outlet,
            format: None,
            health: Health::new("pods' logs", SourceKind::Unknown),
            clock: FarClock::default(),
            book: AddressBook::default(),
            nodes: BTreeMap::new(),
            tasks: JoinSet::new(),
            reports,
            reporting,
            unfound: None,
            position,
            known: Arc::new(known),
        }
    }

    async fn until_ended(mut self, mut owners: Option<mpsc::Receiver<Owned>>) -> Ended {
        let ended = self.follow(&mut owners).await;
        // What a task still had to tell is told by the next stream's overlap.
        self.tasks.abort_all();
        ended
    }

    async fn follow(&mut self, owners: &mut Option<mpsc::Receiver<Owned>>) -> Ended {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut finding = Some((self.logs.find)());
        let mut find_at = Instant::now();
        let mut hold = owners.is_some().then(|| Instant::now() + HOLD);
        loop {
            let due = self.outlet.due();
            let wake = tokio::select! {
                biased;
                () = self.outlet.closed() => return Ended::Closed,
                owner = next(owners) => Wake::Owner(owner),
                () = sleep_until(hold.unwrap_or_else(Instant::now)), if hold.is_some() => Wake::Hold,
                found = pending(&mut finding), if hold.is_none() => Wake::Found(found),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Wake::BatchDue,
                _ = second.tick() => Wake::Second,
                () = sleep_until(find_at), if finding.is_none() => Wake::Find,
                Some(report) = self.reports.recv() => Wake::Report(report),
            };
            let done = match wake {
                Wake::Hold | Wake::Owner(Some(Owned::Complete)) => {
                    hold = None;
                    Ok(())
                }
                Wake::Owner(None) => {
                    (*owners, hold) = (None, None);
                    Ok(())
                }
                Wake::Owner(Some(Owned::Is(address, owner))) => {
                    self.own(address, owner);
                    Ok(())
                }
                Wake::Found(found) => {
                    (finding, find_at) = (None, Instant::now() + FIND);
                    if self.found(found).is_none() {
                        return Ended::Nobody;
                    }
                    self.tell_health().await
                }
                Wake::Find => {
                    finding = Some((self.logs.find)());
                    Ok(())
                }
                Wake::BatchDue => self.flush().await,
                Wake::Second => self.second().await,
                Wake::Report(report) => self.report(report).await,
            };
            if done.is_err() {
                return Ended::Closed;
            }
        }
    }

    fn own(&mut self, address: IpAddr, owner: Owner) {
        match owner {
            Owner::Pod { ns, pod, from, until } => {
                self.book.owns(address, ns.as_str(), pod.as_str(), from, until);
            }
            Owner::Node => self.book.node(address),
        }
    }

    /// `None`: nobody prints anything.
    fn found(&mut self, found: Result<Vec<Printer>, Trouble>) -> Option<()> {
        let printers = match found {
            Ok(printers) => printers,
            Err(trouble) => {
                self.unfound = Some(trouble);
                return Some(());
            }
        };
        self.unfound = None;
        let is_printed =
            |(format, _): &&(Format, SourceKind)| printers.iter().any(|one| one.format == *format);
        if self.format.is_none() {
            let (format, kind) = *self.logs.formats.iter().find(is_printed)?;
            self.format = Some(format);
            self.health.state.kind = kind;
            self.health.state.name = Text::from(format!("{}, from pods' logs", format.called()));
        }
        let ours = printers.into_iter().filter(|printer| Some(printer.format) == self.format);
        let mut by_node: BTreeMap<NodeName, Vec<Printer>> = BTreeMap::new();
        for printer in ours.take(NODES * 2) {
            by_node.entry(printer.node.clone()).or_default().push(printer);
        }
        for (name, node) in self.nodes.iter_mut().filter(|(name, _)| !by_node.contains_key(*name)) {
            tracing::debug!(%name, "no pod prints this node's records");
            node.miss(Instant::now());
        }
        for (name, printers) in by_node {
            self.put(name, printers);
        }
        Some(())
    }

    /// The pod that is read stays the one as long as it is there.
    fn put(&mut self, name: NodeName, mut printers: Vec<Printer>) {
        let known = self.nodes.get_mut(&name);
        let printed = known.as_ref().and_then(|node| node.printed);
        if let Some(node) = known {
            node.absent = None;
            if let Some(task) = &node.task {
                task.send_if_modified(|have| {
                    if have.as_ref().is_some_and(|have| printers.contains(have)) {
                        return false;
                    }
                    *have = printers.pop();
                    true
                });
                return;
            }
        } else if self.nodes.len() >= NODES {
            let gone = self.nodes.iter().find(|(_, node)| node.task.is_none());
            let Some(gone) = gone.map(|(name, _)| name.clone()) else { return };
            self.nodes.remove(&gone);
        }
        let Some(format) = self.format else { return };
        let (task, printer) = watch::channel(printers.pop());
        self.tasks.spawn(node::run(node::Setup {
            node: name.clone(),
            format,
            printer,
            open: Arc::clone(&self.logs.open),
            to: self.reporting.clone(),
            position: printed.or(self.position),
            known: Arc::clone(&self.known),
        }));
        self.nodes.insert(name, Node { task: Some(task), absent: None, link: None, printed });
    }

    /// Nodes that are there, or were an hour ago.
    fn present(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.task.is_some())
    }

    async fn report(&mut self, report: Report) -> Result<(), Closed> {
        let Report { node, what } = report;
        match what {
            What::Clock(at) => self.clock.told(at, Instant::now()),
            What::Link(link) => {
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.link = Some(link);
                }
                return self.tell_health().await;
            }
            What::Piece(piece) => return self.piece(&node, piece).await,
        }
        Ok(())
    }

    /// Flows before the signs that they stand for.
    async fn piece(&mut self, node: &NodeName, mut piece: Piece) -> Result<(), Closed> {
        self.health.state.repeats += piece.repeats;
        self.health.state.malformed += piece.malformed;
        for record in std::mem::take(&mut piece.records) {
            let node::Record { heard, id, word, at } = record;
            let took = match &heard {
                Heard::Flow(flow) => self.outlet.push(&flow.lend(), id, || word, &self.book),
                Heard::Answer(answer) => answer.lend(|answer| {
                    self.outlet.push_other(&crate::domain::sighting::Told::Answer(*answer), &id, at)
                }),
                Heard::Lost(loss) => {
                    self.outlet.push_other(&crate::domain::sighting::Told::Lost(loss.lend()), &id, at)
                }
                Heard::Other { .. } => Took::Left,
            };
            self.health.state.malformed += u64::from(took == Took::Malformed);
            if self.outlet.is_full() {
                self.flush().await?;
            }
        }
        if let Some(known) = self.nodes.get_mut(node) {
            known.printed = known.printed.max(piece.printed);
        }
        let facts = piece.facts(node);
        if facts.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        self.outlet.send_all(facts).await
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        if let Some(newest) = self.outlet.flush().await? {
            let now = self.clock.now(Instant::now());
            self.health.state.lag = now.map(|now| (now - newest).max(TimeDelta::zero()));
        }
        Ok(())
    }

    async fn second(&mut self) -> Result<(), Closed> {
        self.flush().await?;
        // Every node is read again from here after a restart.
        if let Some(read) = self.present().filter_map(|node| node.printed).min() {
            self.outlet.position(read).await?;
        }
        self.tell_health().await
    }

    async fn tell_health(&mut self) -> Result<(), Closed> {
        let (all, live) = self
            .present()
            .fold((0, 0), |(all, live), node| (all + 1, live + u32::from(matches!(node.link, Some(Ok(()))))));
        let broken = self.present().find_map(|node| node.link.as_ref()?.as_ref().err());
        let link = match broken.or(self.unfound.as_ref()) {
            _ if live > 0 => Link::Live,
            Some(trouble) => Link::Broken(trouble.clone()),
            None => Link::Connecting,
        };
        let state = &mut self.health.state;
        (state.nodes_connected, state.nodes_unavailable, state.link) = (Some(live), Some(all - live), link);
        self.outlet.send_all(self.health.news()).await
    }
}

impl Node {
    /// Nobody prints it now.
    fn miss(&mut self, now: Instant) {
        let since = *self.absent.get_or_insert(now);
        if now.duration_since(since) >= GONE {
            // Its task ends with its channel; where it had read to is kept, in case it comes back.
            (self.task, self.link) = (None, None);
        } else if let Some(task) = &self.task {
            task.send_if_modified(|printer| printer.take().is_some());
        }
    }
}

async fn next(owners: &mut Option<mpsc::Receiver<Owned>>) -> Option<Owned> {
    match owners {
        Some(owners) => owners.recv().await,
        None => std::future::pending().await,
    }
}

async fn pending<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
