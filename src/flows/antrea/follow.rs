//! Follows one cluster's flow aggregator for ever: connects, reads, resumes with an overlap, tells.
//! Waiting for a full inbox is right here: the aggregator counts what its buffer overwrites meanwhile.

use chrono::TimeDelta;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tonic::{Code, Status};

use super::decode::{Decoder, Seen};
use crate::{
    cockpit::ports::{ClusterFact, Fact, Gap, Link, Trouble},
    domain::{
        addresses::AddressBook,
        evidence::Cause,
        names::{ClusterName, NodeName, NsName, Text},
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        baseline::gather::Input,
        channel::{self, MESSAGE},
        memory::Memory,
        outlet::{Gathering, Outlet, Took},
        source::{Backoff, Closed, Dial, FarClock, Health},
        thread::Thread,
    },
    pb::antrea::{
        GetFlowsRequest, GetFlowsResponse, flow_stream_service_client::FlowStreamServiceClient as Client,
    },
};

/// A record of two nodes waits in the aggregator for its other half, three active timeouts at most,
/// and has an old end when it comes: a new stream begins this much before the last thing read.
const OVERLAP: TimeDelta = TimeDelta::seconds(200);
const REOPEN: Duration = Duration::from_secs(3_600);
/// Go's gRPC servers hang up on those who ask more often while nothing is sent.
const PING: Duration = Duration::from_secs(330);
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Ids remembered: four times what the aggregator's buffer holds.
const REMEMBERED: usize = 32_768;
const NEXT: &str = "Check that it runs: kubectl -n flow-aggregator get pods -l app=flow-aggregator";

/// For the cockpit: follows until the inbox closes.
pub async fn run(
    cluster: ClusterName,
    dial: Dial,
    wanted: watch::Receiver<Vec<NsName>>,
    inbox: mpsc::Sender<Fact>,
) {
    let outlet = Outlet::denials(cluster, wanted, inbox.clone());
    until_closed(Follower::new(outlet, None), &dial, inbox.closed()).await;
}

/// The same for the collector, until its inputs close. Its position is [`OVERLAP`] before what was read.
pub async fn gather(gathering: Gathering, inputs: mpsc::Sender<Input>) {
    let Gathering { cluster, source, dial, position, known } = gathering;
    let outlet = Outlet::edges(cluster, source, inputs.clone(), &known);
    let read = position.map(|from| from + OVERLAP);
    until_closed(Follower::new(outlet, read), &dial, inputs.closed()).await;
}

async fn until_closed(mut follower: Follower, dial: &Dial, closed: impl Future<Output = ()>) {
    tokio::select! {
        () = closed => {}
        _ = follower.for_ever(dial) => {}
    }
}

/// When the oldest and the newest record of its buffer ended; `None`: it has none. Asked once.
pub async fn reach(cluster: &ClusterName, dial: &Dial) -> Result<Option<(Timestamp, Timestamp)>, Trouble> {
    let object = object(cluster);
    let slow = |fact: &str| Trouble::new(&object, fact, NEXT);
    let channel = channel::connect_pinging(dial, "http://flow-aggregator", PING, slow).await?;
    let mut client = Client::new(channel).max_decoding_message_size(MESSAGE);
    let request = GetFlowsRequest { since: None, follow: false };
    let failed = |status: Status| trouble(cluster, &status);
    let mut answer = client.get_flows(request).await.map_err(failed)?.into_inner();
    let mut reach: Option<(Timestamp, Timestamp)> = None;
    while let Some(message) = answer.message().await.map_err(failed)? {
        let ends = message.flows.iter().filter_map(|flow| flow.end_ts.as_ref());
        for at in ends.filter_map(|at| Timestamp::from_timestamp(at.seconds, at.nanos.try_into().ok()?)) {
            let (from, to) = reach.unwrap_or((at, at));
            reach = Some((from.min(at), to.max(at)));
        }
    }
    Ok(reach)
}

/// A failed call in words.
fn trouble(cluster: &ClusterName, status: &Status) -> Trouble {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    let next = match status.code() {
        Code::Unimplemented => {
            "FlowStreamService came with Antrea 2.7 and is off by default: set flowStreamService.enable."
        }
        _ => NEXT,
    };
    Trouble::new(&object(cluster), said, next)
}

enum End {
    Closed,
    Broken(Trouble, Cause),
}

impl std::convert::From<Closed> for End {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

type Channel = Client<tonic::transport::Channel>;

enum Item {
    /// The server accepted the request.
    Opened,
    Message(GetFlowsResponse),
}

/// What outlives a connection.
struct Follower {
    outlet: Outlet,
    health: Health,
    thread: Thread,
    decoder: Decoder,
    /// Of all records, also of those that nobody takes: what tells a repeat from news.
    seen: Memory,
    clock: FarClock,
    /// Records name the pods of both ends: nothing is looked up.
    book: AddressBook,
    noticed: bool,
}

/// What one connection keeps.
struct Session {
    client: Channel,
    stream: BoxStream<'static, Result<Item, Status>>,
    reopen: Instant,
    /// As the stream counts it.
    dropped: u64,
}

impl Follower {
    fn new(outlet: Outlet, position: Option<Timestamp>) -> Self {
        let mut thread = Thread::new(None, position);
        // Nobody read while this program did not run. The collector knows that gap by its position.
        let _told_when_it_ends = thread.broke("nobody read it", Cause::SourceSilent);
        Self {
            outlet,
            health: Health::new("Antrea flow aggregator", SourceKind::AntreaFlows),
            thread,
            decoder: Decoder::default(),
            seen: Memory::new(REMEMBERED),
            clock: FarClock::default(),
            book: AddressBook::default(),
            noticed: false,
        }
    }

    async fn for_ever(&mut self, dial: &Dial) -> Result<std::convert::Infallible, Closed> {
        let mut backoff = Backoff::default();
        self.outlet.send_all(self.health.news()).await?;
        loop {
            let start = Instant::now();
            match self.session(dial).await {
                Ok(never) => match never {},
                Err(End::Closed) => return Err(Closed),
                Err(End::Broken(trouble, cause)) => self.broke(trouble, cause).await?,
            }
            if start.elapsed() >= GOOD {
                backoff.reset();
            }
            sleep(backoff.pause()).await;
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self, dial: &Dial) -> Result<std::convert::Infallible, End> {
        let object = object(self.outlet.cluster());
        let slow = |fact: &str| Trouble::new(&object, fact, NEXT);
        let channel = channel::connect_pinging(dial, "http://flow-aggregator", PING, slow)
            .await
            .map_err(|trouble| End::Broken(trouble, Cause::SourceSilent))?;
        let client = Client::new(channel).max_decoding_message_size(MESSAGE);
        let stream = self.open(&client);
        let mut session = Session { client, stream, reopen: Instant::now() + REOPEN, dropped: 0 };
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.outlet.due();
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush().await?,
                _ = second.tick() => self.second().await?,
                () = sleep_until(session.reopen) => {
                    self.flush().await?;
                    session.stream = self.open(&session.client);
                    (session.reopen, session.dropped) = (Instant::now() + REOPEN, 0);
                }
                item = session.stream.next() => self.take(&mut session, item).await?,
            }
        }
    }

    /// The server may send its headers with the first record only, so opening is part of the stream.
    fn open(&self, client: &Channel) -> BoxStream<'static, Result<Item, Status>> {
        let since = self.thread.read().map(|read| {
            let since = read - OVERLAP;
            prost_types::Timestamp {
                seconds: since.timestamp(),
                nanos: since.timestamp_subsec_nanos() as i32,
            }
        });
        let mut client = client.clone();
        stream::once(async move { client.get_flows(GetFlowsRequest { since, follow: true }).await })
            .flat_map(|answer| match answer {
                Ok(answer) => {
                    let messages = answer.into_inner().map_ok(Item::Message);
                    stream::once(async { Ok(Item::Opened) }).chain(messages).boxed()
                }
                Err(status) => stream::once(async { Err(status) }).boxed(),
            })
            .boxed()
    }

    async fn take(&mut self, session: &mut Session, item: Option<Result<Item, Status>>) -> Result<(), End> {
        let response = match item {
            Some(Ok(Item::Opened)) => {
                self.health.state.link = Link::Live;
                return Ok(self.outlet.send_all(self.health.news()).await?);
            }
            Some(Ok(Item::Message(response))) => response,
            Some(Err(status)) => {
                let trouble = trouble(self.outlet.cluster(), &status);
                return Err(End::Broken(trouble, Cause::SourceSilent));
            }
            // It says goodbye properly when it restarts, and its buffer is empty then.
            None => {
                let fact = "it ended the stream, as it does when it restarts";
                let next = "Nothing to do if it comes back; else see: kubectl -n flow-aggregator logs deploy/flow-aggregator";
                let trouble = Trouble::new(&object(self.outlet.cluster()), fact, next);
                return Err(End::Broken(trouble, Cause::AgentRestart));
            }
        };
        self.lost(session, response.dropped_count).await?;
        for flow in &response.flows {
            self.record(flow).await?;
            if self.outlet.is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// The buffer overwrote what this reader did not get in time.
    async fn lost(&mut self, session: &mut Session, dropped: u64) -> Result<(), Closed> {
        let lost = dropped.saturating_sub(std::mem::replace(&mut session.dropped, dropped));
        let Some(read) = self.thread.read().filter(|_| lost > 0) else { return Ok(()) };
        let until = self.clock.now(Instant::now()).unwrap_or(read).max(read);
        let why = Text::new("the aggregator's buffer overwrote records before they were read");
        let cause = Cause::Loss;
        self.outlet
            .send(ClusterFact::Gap(Gap {
                node: None,
                from: read,
                until: Some(until),
                lost: Some(lost),
                cause,
                why,
            }))
            .await
    }

    async fn record(&mut self, flow: &crate::pb::antrea::Flow) -> Result<(), Closed> {
        let Self { outlet, decoder, seen, book, health, .. } = self;
        let (mut node, mut until, mut known) = (None, None, false);
        let mut malformed = false;
        let decoded = decoder.decode(flow, &mut |Seen { sighting, id, word }| {
            until = until.max(Some(sighting.until));
            node = node.take().or_else(|| sighting.node.and_then(|node| NodeName::parse(node).ok()));
            if !seen.note(Memory::hash(&id), sighting.until) {
                known = true;
                return;
            }
            match outlet.push(&sighting, id, || word, book) {
                Took::Repeat => known = true,
                Took::Malformed => malformed = true,
                Took::Fresh | Took::Left => {}
            }
        });
        if known {
            health.state.repeats += 1;
        }
        if decoded.is_err() || malformed {
            let why =
                decoded.err().map_or_else(|| "a name in a record is none".to_owned(), |why| why.to_string());
            self.malformed(&why).await?;
        }
        let Some(at) = until else { return Ok(()) };
        self.clock.event(at, Instant::now());
        let history = self.health.state.history_from;
        self.health.state.history_from = history.min(Some(at)).or(Some(at));
        let healed = if known { self.thread.again() } else { self.new_of(at) };
        self.outlet.send_all(healed.map(ClusterFact::Gap)).await?;
        match node.filter(|_| !known) {
            // A record of two nodes may come late: it says that its node lives, and no more.
            Some(node) => self.outlet.send(ClusterFact::Heard { node, from: at, until: at }).await,
            None => Ok(()),
        }
    }

    /// While a gap is open, only something newer than what was read says that the rest is gone.
    fn new_of(&mut self, at: Timestamp) -> Option<Gap> {
        let is_older = self.thread.is_broken() && self.thread.read().is_some_and(|read| at <= read);
        if is_older { None } else { self.thread.fresh(at).0 }
    }

    async fn malformed(&mut self, why: &str) -> Result<(), Closed> {
        self.health.state.malformed += 1;
        if std::mem::replace(&mut self.noticed, true) {
            return Ok(());
        }
        let next = "The stream goes on and such records are counted; check the versions of Antrea's agents.";
        self.outlet.notice(Trouble::new(&object(self.outlet.cluster()), why, next)).await
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
        if let Some(read) = self.thread.read().filter(|_| !self.thread.is_broken()) {
            self.outlet.position(read - OVERLAP).await?;
        }
        self.outlet.send_all(self.health.news()).await
    }

    async fn broke(&mut self, trouble: Trouble, cause: Cause) -> Result<(), Closed> {
        self.flush().await?;
        let gap = self.thread.broke(&format!("no connection: {}", trouble.fact), cause);
        self.outlet.send_all(gap.map(ClusterFact::Gap)).await?;
        self.health.state.link = Link::Broken(trouble);
        self.health.state.lag = None;
        self.outlet.send_all(self.health.news()).await
    }
}

fn object(cluster: &ClusterName) -> String {
    format!("flow aggregator of {cluster}")
}
