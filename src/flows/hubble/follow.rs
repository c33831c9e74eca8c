//! Follows one cluster's Hubble Relay for ever: connects, reads, resumes, and tells facts. Decides
//! nothing: `aim` knows what for, `decode` understands messages, `nodes` judges signs and gaps.
//! Waiting for a full inbox is right here, because Hubble counts what it overwrites meanwhile.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tonic::{Code, Status};

use crate::{
    cockpit::ports::{self, ClusterFact, Fact, Gap, Trouble},
    domain::{
        evidence::Cause,
        names::{ClusterName, NsName, Text},
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        baseline::{gather::Input, store::Id},
        batch::Pushed,
        source::{Backoff, Closed, Dial, FarClock, Health},
    },
    pb::{
        observer::{GetFlowsRequest, ServerStatusResponse},
        relay::NodeState,
    },
};

use super::{
    aim::{Aim, Edges},
    decode::{Malformed, Node, Seen, depth},
    link::{self, Again, Item, Link, Survey},
    nodes::{Moment, Nodes, Quiet},
    request::{self, From, Mask},
    restart::{self, Stopped},
};

/// A new stream begins this much before the last thing read.
const OVERLAP: TimeDelta = TimeDelta::seconds(5);
/// And never further back than this: beyond, it is a gap.
const FARTHEST: TimeDelta = TimeDelta::minutes(10);
/// A relay that lost a node's stream asks it again only in a new one.
const REOPEN: Duration = Duration::from_secs(3_600);
const REOPEN_SILENT: Duration = Duration::from_secs(300);
const SURVEY: Duration = Duration::from_secs(30);
const FIRST_SURVEY: Duration = Duration::from_secs(3);
/// Surveys in a row that may fail before the connection counts as broken.
const PATIENCE: u8 = 3;
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Nodes named in one re-read; more are asked for without names.
const NAMED: usize = 200;

/// Follows until the inbox closes.
pub async fn run(
    cluster: ClusterName,
    dial: Dial,
    wanted: watch::Receiver<Vec<NsName>>,
    inbox: mpsc::Sender<Fact>,
) {
    let closed = inbox.clone();
    let mut follower = Follower::new(Aim::denials(cluster, wanted, inbox), None);
    tokio::select! {
        () = closed.closed() => {}
        _ = follower.for_ever(&dial) => {}
    }
}

/// Where the collector reads, and what it has read before.
pub struct Gathering {
    pub cluster: ClusterName,
    /// What the source is called in positions and ids.
    pub source: Text,
    pub dial: Dial,
    pub position: Option<Timestamp>,
    /// The time now.
    pub now: Timestamp,
    /// Committed ids that reading from the position could repeat, oldest first.
    pub known: Vec<Id>,
}

/// The same for the collector: all that edges are made from, until its inputs close.
pub async fn gather(gathering: Gathering, inputs: mpsc::Sender<Input>) {
    let Gathering { cluster, source, dial, position, now, known } = gathering;
    let closed = inputs.clone();
    let mut here = FarClock::default();
    here.told(now, Instant::now());
    let stopped = position.map(|position| (position, here));
    let mut follower = Follower::new(Aim::Edges(Edges::new(cluster, source, inputs, &known)), stopped);
    tokio::select! {
        () = closed.closed() => {}
        _ = follower.for_ever(&dial) => {}
    }
}

/// Why a session ended.
enum End {
    Closed,
    Broken(Trouble),
}

impl std::convert::From<Closed> for End {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// What outlives a connection.
struct Follower {
    aim: Aim,
    health: Health,
    nodes: Nodes,
    clock: FarClock,
    mask: Mask,
    /// Kinds of malformed messages that were told as a notice.
    noticed: BTreeSet<Malformed>,
    /// When the last message came.
    heard: Option<Instant>,
    /// Nothing was read since then, because there is no connection.
    broken: Option<(Timestamp, Text)>,
    /// Where an earlier run of the program stopped reading, until that was caught up with; and our
    /// own clock, for that alone.
    stopped: Option<(Timestamp, FarClock)>,
}

/// What one connection keeps.
struct Session {
    link: Link,
    /// Messages that came together: under a flood, waking up costs more than reading.
    stream: BoxStream<'static, Vec<Result<Item, Status>>>,
    opened: Instant,
    reopen: Instant,
    next_survey: Instant,
    /// At most one question beside the stream.
    question: Option<BoxFuture<'static, Answer>>,
    failed_surveys: u8,
}

enum Answer {
    Survey(Box<Survey>),
    Again(Again, Vec<Quiet>),
}

/// What the select loop woke up for.
enum Wake {
    Items(Option<Vec<Result<Item, Status>>>),
    Answer(Answer),
    BatchDue,
    Second,
    Survey,
    Reopen,
}

impl Follower {
    fn new(aim: Aim, stopped: Option<(Timestamp, FarClock)>) -> Self {
        Self {
            aim,
            health: Health::new("Hubble Relay", SourceKind::Hubble),
            nodes: Nodes::default(),
            clock: FarClock::default(),
            mask: Mask::Full,
            noticed: BTreeSet::new(),
            heard: None,
            broken: None,
            stopped,
        }
    }

    async fn for_ever(&mut self, dial: &Dial) -> Result<(), Closed> {
        let mut backoff = Backoff::default();
        self.aim.send_all(self.health.news()).await?;
        loop {
            let start = Instant::now();
            match self.session(dial).await {
                Ok(never) => match never {},
                Err(End::Closed) => return Err(Closed),
                Err(End::Broken(trouble)) => self.broke(trouble).await?,
            }
            if start.elapsed() >= GOOD {
                backoff.reset();
            }
            sleep(backoff.pause()).await;
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self, dial: &Dial) -> Result<std::convert::Infallible, End> {
        let link = Link::connect(self.aim.cluster(), dial).await.map_err(End::Broken)?;
        let survey = link.clone().survey().await;
        if let Err(status) = &survey.status
            && status.code() != Code::Unimplemented
        {
            return Err(End::Broken(link::trouble(self.aim.cluster(), status)));
        }
        let from = self.resume_from(survey.asked);
        self.note_survey(&survey).await?;
        self.resumed(from).await?;
        self.restarted(&link, &survey).await?;
        let now = Instant::now();
        // Without a word of the relay's clock the counters above could not be placed in time.
        let next_survey = now + if self.clock.now(now).is_some() { SURVEY } else { FIRST_SURVEY };
        let mut session = Session {
            stream: link.follow(self.request(from)),
            link,
            opened: now,
            reopen: now + REOPEN,
            next_survey,
            question: None,
            failed_surveys: 0,
        };
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.aim.due();
            let wake = tokio::select! {
                biased;
                answer = question(&mut session.question) => Wake::Answer(answer),
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => Wake::BatchDue,
                _ = second.tick() => Wake::Second,
                () = sleep_until(session.next_survey), if session.question.is_none() => Wake::Survey,
                () = sleep_until(session.reopen) => Wake::Reopen,
                () = self.aim.changed() => Wake::Reopen,
                items = session.stream.next() => Wake::Items(items),
            };
            self.wake(&mut session, wake).await?;
        }
    }

    async fn wake(&mut self, session: &mut Session, wake: Wake) -> Result<(), End> {
        match wake {
            Wake::Items(Some(items)) => {
                for item in items {
                    self.take_item(session, item).await?;
                }
            }
            Wake::Items(None) => return Err(End::Broken(link::ended(self.aim.cluster()))),
            Wake::Answer(Answer::Survey(survey)) => self.surveyed(session, &survey).await?,
            Wake::Answer(Answer::Again(again, quiet)) => self.read_again(session, again, &quiet).await?,
            Wake::BatchDue => self.flush().await?,
            Wake::Second => self.second(session).await?,
            Wake::Survey => {
                session.next_survey = Instant::now() + SURVEY;
                let survey = session.link.clone().survey();
                session.question = Some(survey.map(|survey| Answer::Survey(Box::new(survey))).boxed());
            }
            Wake::Reopen => self.reopen(session).await?,
        }
        Ok(())
    }

    async fn take_item(&mut self, session: &mut Session, item: Result<Item, Status>) -> Result<(), End> {
        match item {
            Ok(Item::Opened) => {
                self.health.state.link = ports::Link::Live;
                self.aim.send_all(self.health.news()).await?;
            }
            Ok(Item::Message(message)) => {
                self.heard = Some(Instant::now());
                self.take(self.aim.decode(*message), true).await?;
            }
            Err(status) => self.refused(session, &status)?,
        }
        Ok(())
    }

    /// An old server refuses a mask with a field it does not know: ask for less.
    fn refused(&mut self, session: &mut Session, status: &Status) -> Result<(), End> {
        let simpler = self.mask.simpler().filter(|_| status.code() == Code::InvalidArgument);
        let Some(simpler) = simpler else {
            return Err(End::Broken(link::trouble(self.aim.cluster(), status)));
        };
        self.mask = simpler;
        session.stream = session.link.follow(self.request(self.resume_from(session.opened)));
        Ok(())
    }

    /// A new stream over the same connection; the overlap is dropped as repeats.
    async fn reopen(&mut self, session: &mut Session) -> Result<(), End> {
        self.flush().await?;
        let now = Instant::now();
        session.stream = session.link.follow(self.request(self.resume_from(now)));
        session.opened = now;
        session.reopen = now + REOPEN;
        Ok(())
    }

    fn request(&mut self, from: From) -> GetFlowsRequest {
        self.aim.follow(from, self.mask)
    }

    /// The oldest moment at which some node was read, less an overlap; never before what would be
    /// counted twice.
    fn resume_from(&self, here: Instant) -> From {
        let broke = self.broken.as_ref().map(|(from, _)| *from).or(self.stopped.map(|(at, _)| at));
        let Some(now) = broke.or_else(|| self.clock.now(here)) else { return From::Recent };
        let farthest = now - FARTHEST;
        From::Since((self.unread(now) - OVERLAP).max(self.aim.remembers_since().unwrap_or(farthest)))
    }

    /// From where on some node was not read; no further back than is read again.
    fn unread(&self, now: Timestamp) -> Timestamp {
        let unread = self.nodes.unread_since().map_or(now, |read| read.min(now));
        unread.max(now - FARTHEST)
    }

    async fn take(&mut self, seen: Result<Seen, Malformed>, live: bool) -> Result<(), Closed> {
        match seen {
            Ok(Seen::Flow(seen)) => {
                let stamp = Stamp { node: seen.node.clone(), at: seen.flow.at, flaw: seen.flaw };
                let pushed = self.aim.push_flow(*seen, Instant::now());
                self.took(stamp, pushed, live).await
            }
            Ok(Seen::Edge(seen)) => {
                let stamp = Stamp { node: seen.node.clone(), at: seen.at, flaw: seen.flaw };
                let pushed = self.aim.push_edge(*seen, Instant::now());
                self.took(stamp, pushed, live).await
            }
            Ok(Seen::Nodes(word)) => {
                let here = Instant::now();
                if let Some(at) = word.at {
                    self.clock.told(at, here);
                }
                let Some(there) = self.clock.now(here) else { return Ok(()) };
                // A re-read reports on its own streams only.
                let gaps = if live { self.nodes.word(&word, Moment { there, here }) } else { Vec::new() };
                self.gaps(gaps).await
            }
            Ok(Seen::Lost(loss)) => {
                let now = loss.last.or_else(|| self.clock.now(Instant::now())).unwrap_or_default();
                let gap = self.nodes.lost(&loss, now);
                self.gaps([gap]).await
            }
            Ok(Seen::Unasked { .. }) if !live => Ok(()),
            Ok(Seen::Unasked { node, at }) => {
                let gap = node.zip(at).and_then(|(node, at)| self.nodes.event(&node, at, Instant::now()));
                self.gaps(gap).await
            }
            Err(malformed) => self.malformed(malformed).await,
        }
    }

    /// A flow was taken in: what it says of its node and of the time.
    async fn took(&mut self, stamp: Stamp, pushed: Pushed, live: bool) -> Result<(), Closed> {
        let Stamp { node, at, flaw } = stamp;
        if let Some(flaw) = flaw {
            self.malformed(flaw).await?;
        }
        if pushed == Pushed::Repeat {
            self.health.state.repeats += 1;
            return Ok(());
        }
        let here = Instant::now();
        self.clock.event(at, here);
        // What a re-read proves is judged when it is whole.
        let node = node.filter(|_| live);
        let closed = node.and_then(|node| self.nodes.event(&node, at, here));
        if self.aim.is_full() {
            self.flush().await?;
        }
        self.gaps(closed).await
    }

    async fn malformed(&mut self, malformed: Malformed) -> Result<(), Closed> {
        self.health.state.malformed += 1;
        if !self.noticed.insert(malformed) {
            return Ok(());
        }
        let trouble = Trouble::new(
            &link::object(self.aim.cluster()),
            &malformed.to_string(),
            "The stream goes on and such messages are counted; look at this cluster's agents with: cilium status",
        );
        self.aim.notice(trouble).await
    }

    async fn gaps(&mut self, gaps: impl IntoIterator<Item = Gap>) -> Result<(), Closed> {
        self.aim.send_all(gaps.into_iter().map(ClusterFact::Gap)).await
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        if let Some(newest) = self.aim.flush().await? {
            let now = self.clock.now(Instant::now());
            self.health.state.lag = now.map(|now| (now - newest).max(TimeDelta::zero()));
        }
        Ok(())
    }

    /// Once a second: signs (after the flows they stand for), silence, figures.
    async fn second(&mut self, session: &mut Session) -> Result<(), Closed> {
        self.flush().await?;
        self.aim.send_all(self.nodes.signs()).await?;
        let here = Instant::now();
        if let Some(there) = self.clock.now(here) {
            let silent = self.nodes.silent(Moment { there, here });
            if !silent.is_empty() && here.saturating_duration_since(session.opened) >= REOPEN_SILENT {
                session.reopen = here;
            }
            self.gaps(silent).await?;
            self.aim.position(self.unread(there)).await?;
        }
        self.aim.send_all(self.health.news()).await
    }

    async fn surveyed(&mut self, session: &mut Session, survey: &Survey) -> Result<(), End> {
        session.question = None;
        match &survey.status {
            Err(status) if status.code() != Code::Unimplemented => {
                session.failed_surveys += 1;
                if session.failed_surveys >= PATIENCE {
                    return Err(End::Broken(link::trouble(self.aim.cluster(), status)));
                }
            }
            Ok(_) | Err(_) => session.failed_surveys = 0,
        }
        let quiet = self.note_survey(survey).await?;
        if let Some(since) = quiet.iter().map(|node| node.since).min() {
            let names: Vec<_> = quiet.iter().map(|node| node.raw.to_string()).collect();
            let names = if names.len() > NAMED { &[][..] } else { &names };
            let request = self.aim.again(since - OVERLAP, names, self.mask);
            let again = session.link.clone().again(request, request::newest(names));
            session.question = Some(again.map(move |again| Answer::Again(again, quiet)).boxed());
        }
        Ok(())
    }

    /// Takes figures and counters. The nodes that only their counter speaks for.
    async fn note_survey(&mut self, survey: &Survey) -> Result<Vec<Quiet>, Closed> {
        let now = self.clock.now(survey.asked);
        if let Ok(status) = &survey.status {
            self.note_status(status, now);
        }
        let quiet = match (&survey.nodes, now) {
            (Ok(nodes), Some(there)) => {
                let (gaps, quiet) = self.nodes.survey(&nodes.nodes, Moment { there, here: survey.asked });
                self.gaps(gaps).await?;
                quiet
            }
            (Ok(_), None) | (Err(_), _) => Vec::new(),
        };
        self.aim.send(self.health.tell()).await?;
        Ok(quiet)
    }

    fn note_status(&mut self, status: &ServerStatusResponse, now: Option<Timestamp>) {
        let state = &mut self.health.state;
        if !status.version.is_empty() {
            state.name = Text::new(&format!("Hubble Relay {}", status.version));
        }
        state.nodes_connected = status.num_connected_nodes;
        state.nodes_unavailable = status.num_unavailable_nodes;
        let depth = depth(status.num_flows, status.max_flows, status.flows_rate, status.uptime_ns);
        state.history_from = now.zip(depth).and_then(|(now, depth)| now.checked_sub_signed(depth));
    }

    /// Quiet nodes were read again. A sign of them is a whole answer without loss, and an event of any
    /// kind that shows that they answered: a relay may list a node that it does not hear.
    async fn read_again(&mut self, session: &mut Session, again: Again, quiet: &[Quiet]) -> Result<(), End> {
        session.question = None;
        let mut listed = BTreeSet::new();
        let mut doubtful = BTreeSet::new();
        let mut until = self.clock.now(again.asked);
        let mut lost = false;
        for message in again.messages {
            let seen = self.aim.decode(message);
            match &seen {
                Ok(Seen::Nodes(word)) if word.state == NodeState::NodeConnected => {
                    until = word.at.or(until);
                    listed.extend(word.nodes.iter().map(|node| node.name.clone()));
                }
                Ok(Seen::Nodes(word)) => doubtful.extend(word.nodes.iter().map(|node| node.name.clone())),
                Ok(Seen::Lost(loss)) => match &loss.node {
                    Some(node) => drop(doubtful.insert(node.name.clone())),
                    None => lost = true,
                },
                Ok(Seen::Flow(_) | Seen::Edge(_) | Seen::Unasked { .. }) | Err(_) => {}
            }
            self.take(seen, false).await?;
        }
        let Some(there) = until else { return Ok(()) };
        if !again.whole || lost {
            return Ok(());
        }
        self.flush().await?;
        let sure: Vec<_> = quiet
            .iter()
            .filter(|node| listed.contains(&node.name) && !doubtful.contains(&node.name))
            .filter_map(|node| {
                let (_, newest) = again.newest.iter().find(|(newest, _)| newest.name == node.name)?;
                Some((node.clone(), there.min(*newest)))
            })
            .collect();
        let gaps = self.nodes.read_again(&sure, Instant::now());
        self.gaps(gaps).await?;
        Ok(())
    }

    /// An earlier run stopped reading at some moment: what the nodes have overwritten since is a gap.
    async fn restarted(&mut self, link: &Link, survey: &Survey) -> Result<(), End> {
        let Some((at, clock)) = self.stopped else { return Ok(()) };
        let Some(oldest) = link.oldest().await else {
            let ended = "it did not say how far back its nodes remember";
            return Err(End::Broken(link::slow(self.aim.cluster(), ended)));
        };
        self.stopped = None;
        let listed = survey.nodes.as_ref().map_or(&[][..], |answer| &answer.nodes);
        let now = clock.now(Instant::now()).unwrap_or(at);
        let gaps = restart::missed(listed, &oldest, Stopped { at, now });
        Ok(self.gaps(gaps).await?)
    }

    /// The connection is gone: what happens from here on is not read.
    async fn broke(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.flush().await?;
        self.aim.send_all(self.nodes.signs()).await?;
        if self.broken.is_none()
            && let Some(from) = self.heard.and_then(|heard| self.clock.now(heard))
        {
            let why = Text::new(&format!("no connection: {}", trouble.fact));
            self.broken = Some((from, why.clone()));
            self.gaps([Gap { node: None, from, until: None, lost: None, cause: Cause::SourceSilent, why }])
                .await?;
        }
        self.health.state.link = ports::Link::Broken(trouble);
        self.health.state.lag = None;
        self.aim.send_all(self.health.news()).await
    }

    /// The connection is back and will be read again from `from`. Closes the gap: in full where the
    /// nodes' history reaches back, else node by node.
    async fn resumed(&mut self, from: From) -> Result<(), Closed> {
        let Some((broke, why)) = self.broken.take() else { return Ok(()) };
        let here = Instant::now();
        let Some(now) = self.clock.now(here) else { return Ok(()) };
        let now = now.max(broke);
        let since = match from {
            From::Since(since) => since,
            From::Recent => now,
        };
        let missing = self.nodes.resumed(since, Moment { there: now, here });
        let (until, said) = match &missing {
            Some(_) => (broke, "read again from history"),
            None if self.health.state.history_from.is_some_and(|history| history <= since) => {
                (broke, "read again from history")
            }
            None => (now, "history may not reach back so far"),
        };
        self.gaps(missing.into_iter().flatten()).await?;
        let why = Text::new(&format!("{why}; {said}"));
        let cause = Cause::SourceSilent;
        self.gaps([Gap { node: None, from: broke, until: Some(until), lost: None, cause, why }]).await
    }
}

/// When and where a flow was, and what was wrong with it.
struct Stamp {
    node: Option<Node>,
    at: Timestamp,
    flaw: Option<Malformed>,
}

async fn question(question: &mut Option<BoxFuture<'static, Answer>>) -> Answer {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}
