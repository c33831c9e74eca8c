//! Follows one cluster's Goldmane for ever: connects, reads, resumes, and tells facts. Goldmane drops
//! in silence and streams nothing that comes late, so each minute the newest buckets are read again;
//! what it forgot over a restart is a gap. It knows no nodes, so it never gives a sign of one.
//! Who listens, the cockpit or the collector, is the outlet's affair.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep, sleep_until},
};
use tonic::Status;

use crate::{
    cockpit::ports::{self, ClusterFact, Fact, Gap, Trouble},
    domain::{
        evidence::Cause,
        names::{ClusterName, NsName, Text},
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        baseline::gather::Input,
        outlet::{Gathering, Outlet, Took},
        source::{Backoff, Closed, Dial, Health},
    },
    pb::goldmane::FlowResult,
};

use super::{
    decode::{Bucket, Malformed, decode},
    link::{self, Link},
};

/// How often late flows are asked for, and how many buckets back.
const AGAIN: Duration = Duration::from_secs(60);
const BUCKETS: i32 = 12;
const WIDTH: TimeDelta = TimeDelta::seconds(15);
/// Goldmane hangs up on a reader this slow, and drops in silence before that.
const SLOW: Duration = Duration::from_secs(30);
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// Why no hour of these edges is proved whole. Told to the collector, which keeps it with them. A soak may
/// rest on the heartbeat, for what is denied is tried again; a flow that was seen once and lost is a rule
/// that is missing, and before a policy there is nothing that a probe would be denied.
const DOUBT: &str = "Goldmane names no node and does not tell what it loses, so a flow may be missing without \
                     a word; a probe shows that it lives, not that every flow came. Gather from a source \
                     that tells its losses, or count what Goldmane dropped (metric \
                     goldmane_aggr_dropped_flows_total of its pod) and let a second person confirm an \
                     override of coverage.";

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

/// The same for the collector, until its inputs close. Its position is [`BUCKETS`] before the end of the
/// newest bucket that was committed.
pub async fn gather(gathering: Gathering, inputs: mpsc::Sender<Input>) {
    let Gathering { cluster, source, dial, position, known } = gathering;
    if inputs.send(Input::Doubt(Text::new(DOUBT))).await.is_err() {
        return;
    }
    let outlet = Outlet::edges(cluster, source, inputs.clone(), &known);
    let newest = position.map(|from| from + WIDTH * BUCKETS);
    let newest = newest.map(|until| Bucket { from: until - WIDTH, until });
    until_closed(Follower::new(outlet, newest), &dial, inputs.closed()).await;
}

async fn until_closed(mut follower: Follower, dial: &Dial, closed: impl Future<Output = ()>) {
    tokio::select! {
        () = closed => {}
        _ = follower.for_ever(dial) => {}
    }
}

/// Why a session ended.
enum End {
    Closed,
    Broken(Trouble),
}

impl From<Closed> for End {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// What outlives a connection.
struct Follower {
    outlet: Outlet,
    health: Health,
    /// Kinds of malformed messages that were told as a notice.
    noticed: BTreeSet<Malformed>,
    /// The newest bucket of which something was read.
    newest: Option<Bucket>,
    /// Up to where it was told that there was something.
    told: Option<Timestamp>,
    /// Nothing was read since then, because there is no connection.
    broken: Option<(Timestamp, Text)>,
}

/// What one connection keeps.
struct Session {
    link: Link,
    stream: BoxStream<'static, Vec<Result<FlowResult, Status>>>,
    next_again: Instant,
    /// Buckets that are being read again.
    again: Option<BoxFuture<'static, Result<Vec<FlowResult>, Status>>>,
    /// Goldmane has forgotten what it had told before the break.
    forgot: bool,
}

enum Wake {
    Flows(Option<Vec<Result<FlowResult, Status>>>),
    Late(Result<Vec<FlowResult>, Status>),
    BatchDue,
    Again,
}

impl Follower {
    /// `newest`: what was read before. Nobody read while this program did not run.
    fn new(outlet: Outlet, newest: Option<Bucket>) -> Self {
        Self {
            outlet,
            health: Health::new("Goldmane", SourceKind::Goldmane),
            noticed: BTreeSet::new(),
            newest,
            told: None,
            broken: newest.map(|newest| (newest.until, Text::new("nobody read it"))),
        }
    }

    async fn for_ever(&mut self, dial: &Dial) -> Result<(), Closed> {
        let mut backoff = Backoff::default();
        self.outlet.send_all(self.health.news()).await?;
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
        let link = Link::connect(self.outlet.cluster(), dial).await.map_err(End::Broken)?;
        self.answered(link.greet().await)?;
        let forgot = match self.newest.filter(|_| self.broken.is_some()) {
            Some(newest) => self.answered(link.bucket(newest).await)?.is_empty(),
            None => false,
        };
        if !forgot {
            self.close_gap(None, "read again from its hour of history").await?;
        }
        self.health.state.link = ports::Link::Live;
        self.outlet.send_all(self.health.news()).await?;
        let again = link.clone();
        let mut session = Session {
            stream: link.follow(self.newest.map(|newest| newest.from)),
            link,
            next_again: Instant::now() + AGAIN,
            // What came late of the time before is read now: a minute on, nobody asks for it any more.
            again: self.newest.map(|newest| read_again(again, Some(newest)).boxed()),
            forgot,
        };
        loop {
            let due = self.outlet.due();
            let wake = tokio::select! {
                biased;
                answer = late(&mut session.again) => Wake::Late(answer),
                () = sleep_until(due.unwrap_or(session.next_again)), if due.is_some() => Wake::BatchDue,
                () = sleep_until(session.next_again), if session.again.is_none() => Wake::Again,
                flows = session.stream.next() => Wake::Flows(flows),
            };
            self.wake(&mut session, wake).await?;
        }
    }

    async fn wake(&mut self, session: &mut Session, wake: Wake) -> Result<(), End> {
        match wake {
            Wake::Flows(None) => return Err(End::Broken(link::ended(self.outlet.cluster()))),
            Wake::Flows(Some(flows)) => {
                for flow in flows {
                    let flow = self.answered(flow)?;
                    self.take(session, flow, true).await?;
                }
            }
            Wake::Late(flows) => {
                session.again = None;
                for flow in self.answered(flows)? {
                    self.take(session, flow, false).await?;
                }
            }
            Wake::BatchDue => self.flush().await?,
            Wake::Again => {
                session.next_again = Instant::now() + AGAIN;
                session.again = Some(read_again(session.link.clone(), self.newest).boxed());
                // Figures have an age, also where nothing happens.
                self.outlet.send(self.health.tell()).await?;
            }
        }
        Ok(())
    }

    fn answered<T>(&self, answer: Result<T, Status>) -> Result<T, End> {
        answer.map_err(|status| End::Broken(link::trouble(self.outlet.cluster(), &status)))
    }

    async fn take(&mut self, session: &mut Session, flow: FlowResult, live: bool) -> Result<(), Closed> {
        let seen = match decode(flow) {
            Ok(seen) => seen,
            Err(malformed) => return self.malformed(malformed).await,
        };
        if let Some(flaw) = seen.flaw {
            self.malformed(flaw).await?;
        }
        if live {
            if std::mem::take(&mut session.forgot) {
                let why = "it restarted, or more than its hour passed: what it had is forgotten";
                self.close_gap(Some(seen.bucket.from), why).await?;
            }
            self.newest = self.newest.max(Some(seen.bucket));
        }
        let took = self.outlet.push_judged(&seen.told(), &seen.flow);
        // What is read again is known already, save what came late.
        self.health.state.repeats += u64::from(live && took == Took::Repeat);
        if self.outlet.is_full() { self.flush().await } else { Ok(()) }
    }

    async fn malformed(&mut self, malformed: Malformed) -> Result<(), Closed> {
        self.health.state.malformed += 1;
        if !self.noticed.insert(malformed) {
            return Ok(());
        }
        let trouble = Trouble::new(
            &link::object(self.outlet.cluster()),
            &malformed.to_string(),
            "The stream goes on and such messages are counted; compare Calico's release with what sluice knows.",
        );
        self.outlet.notice(trouble).await
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        let began = Instant::now();
        if self.outlet.flush().await?.is_none() {
            return Ok(());
        }
        if let Some(newest) = self.newest.filter(|_| began.elapsed() >= SLOW) {
            let why = "sluice was slow to read, and Goldmane drops what a slow reader misses without a word";
            let from = newest.from;
            let until = Some(newest.until + TimeDelta::from_std(began.elapsed()).unwrap_or_default());
            let why = Text::new(why);
            self.gap(Gap { node: None, from, until, lost: None, cause: Cause::Loss, why }).await?;
        }
        let until = self.newest.map(|newest| newest.until);
        if let Some(until) = until.filter(|until| self.told < Some(*until)) {
            self.told = Some(until);
            self.outlet.alive(until).await?;
            self.outlet.position(until - WIDTH * BUCKETS).await?;
        }
        self.outlet.send_all(self.health.news()).await
    }

    async fn gap(&self, gap: Gap) -> Result<(), Closed> {
        self.outlet.send(ClusterFact::Gap(gap)).await
    }

    /// The connection is gone: what happens from here on is not read.
    async fn broke(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.flush().await?;
        if self.broken.is_none()
            && let Some(newest) = self.newest
        {
            let (from, why) = (newest.until, Text::new(&format!("no connection: {}", trouble.fact)));
            self.broken = Some((from, why.clone()));
            let cause = Cause::SourceSilent;
            self.gap(Gap { node: None, from, until: None, lost: None, cause, why }).await?;
        }
        self.health.state.link = ports::Link::Broken(trouble);
        self.outlet.send_all(self.health.news()).await
    }

    /// Reads on: the gap ends at `until`, or had no length.
    async fn close_gap(&mut self, until: Option<Timestamp>, said: &str) -> Result<(), Closed> {
        let Some((from, why)) = self.broken.take() else { return Ok(()) };
        let cause = if until.is_some() { Cause::AgentRestart } else { Cause::SourceSilent };
        let until = Some(until.map_or(from, |until| until.max(from)));
        let why = Text::new(&format!("{why}; {said}"));
        self.gap(Gap { node: None, from, until, lost: None, cause, why }).await
    }
}

/// The newest buckets, oldest first.
async fn read_again(link: Link, newest: Option<Bucket>) -> Result<Vec<FlowResult>, Status> {
    let Some(newest) = newest else {
        link.greet().await?;
        return Ok(Vec::new());
    };
    let width = newest.until - newest.from;
    let mut flows = Vec::new();
    for back in (0..BUCKETS).rev() {
        let from = newest.from - width * back;
        flows.extend(link.bucket(Bucket { from, until: from + width }).await?);
    }
    Ok(flows)
}

async fn late(
    again: &mut Option<BoxFuture<'static, Result<Vec<FlowResult>, Status>>>,
) -> Result<Vec<FlowResult>, Status> {
    match again {
        Some(again) => again.await,
        None => std::future::pending().await,
    }
}
