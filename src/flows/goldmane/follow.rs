//! Follows one cluster's Goldmane for ever: connects, reads, resumes, and tells facts. Goldmane drops
//! in silence and streams nothing that comes late, so each minute the newest buckets are read again;
//! what it forgot over a restart is a gap. It knows no nodes, so it never gives a sign of one.

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
        flow::{Flow, Verdict},
        names::{ClusterName, NsName, Text},
        source::SourceKind,
        time::Timestamp,
    },
    flows::{
        batch::{Batch, Pushed},
        source::{Backoff, Closed, Dial, Health, Inbox},
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
/// Goldmane hangs up on a reader this slow, and drops in silence before that.
const SLOW: Duration = Duration::from_secs(30);
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// Follows until the inbox closes.
pub async fn run(
    cluster: ClusterName,
    dial: Dial,
    wanted: watch::Receiver<Vec<NsName>>,
    inbox: mpsc::Sender<Fact>,
) {
    let closed = inbox.clone();
    let mut follower = Follower {
        inbox: Inbox::new(cluster, inbox),
        wanted,
        health: Health::new("Goldmane", SourceKind::Goldmane),
        batch: Batch::default(),
        noticed: BTreeSet::new(),
        newest: None,
        broken: None,
    };
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

impl From<Closed> for End {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// What outlives a connection.
struct Follower {
    inbox: Inbox,
    wanted: watch::Receiver<Vec<NsName>>,
    health: Health,
    batch: Batch,
    /// Kinds of malformed messages that were told as a notice.
    noticed: BTreeSet<Malformed>,
    /// The newest bucket of which something was read.
    newest: Option<Bucket>,
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
    async fn for_ever(&mut self, dial: &Dial) -> Result<(), Closed> {
        let mut backoff = Backoff::default();
        self.inbox.send_all(self.health.news()).await?;
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
        let link = Link::connect(self.inbox.cluster(), dial).await.map_err(End::Broken)?;
        self.answered(link.greet().await)?;
        let forgot = match self.newest.filter(|_| self.broken.is_some()) {
            Some(newest) => self.answered(link.bucket(newest).await)?.is_empty(),
            None => false,
        };
        if !forgot {
            self.close_gap(None, "read again from its hour of history").await?;
        }
        self.health.state.link = ports::Link::Live;
        self.inbox.send_all(self.health.news()).await?;
        let mut session = Session {
            stream: link.follow(self.newest.map(|newest| newest.from)),
            link,
            next_again: Instant::now() + AGAIN,
            again: None,
            forgot,
        };
        loop {
            let due = self.batch.due();
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
            Wake::Flows(None) => return Err(End::Broken(link::ended(self.inbox.cluster()))),
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
                self.inbox.send(self.health.tell()).await?;
            }
        }
        Ok(())
    }

    fn answered<T>(&self, answer: Result<T, Status>) -> Result<T, End> {
        answer.map_err(|status| End::Broken(link::trouble(self.inbox.cluster(), &status)))
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
        if !self.is_asked_for(&seen.flow) {
            return Ok(());
        }
        if self.batch.push_alone(seen.flow, Instant::now()) == Pushed::Repeat {
            // What is read again is known already, save what came late.
            self.health.state.repeats += u64::from(live);
        }
        if self.batch.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Allowed ones only of namespaces with something of ours: the rest is most of what there is.
    fn is_asked_for(&self, flow: &Flow) -> bool {
        match flow.verdict {
            Verdict::Denied { .. } | Verdict::Audit { .. } => true,
            Verdict::Allowed { .. } => {
                flow.judged().ns.as_ref().is_some_and(|ns| self.wanted.borrow().contains(ns))
            }
        }
    }

    async fn malformed(&mut self, malformed: Malformed) -> Result<(), Closed> {
        self.health.state.malformed += 1;
        if !self.noticed.insert(malformed) {
            return Ok(());
        }
        let trouble = Trouble::new(
            &link::object(self.inbox.cluster()),
            &malformed.to_string(),
            "The stream goes on and such messages are counted; compare Calico's release with what sluice knows.",
        );
        self.inbox.notice(trouble).await
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        let flows = self.batch.close();
        if flows.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.inbox.send(ClusterFact::Flows(flows)).await?;
        if let Some(newest) = self.newest.filter(|_| began.elapsed() >= SLOW) {
            let why = "sluice was slow to read, and Goldmane drops what a slow reader misses without a word";
            let from = newest.from;
            let until = Some(newest.until + TimeDelta::from_std(began.elapsed()).unwrap_or_default());
            let why = Text::new(why);
            self.gap(Gap { node: None, from, until, lost: None, cause: Cause::Loss, why }).await?;
        }
        self.inbox.send_all(self.health.news()).await
    }

    async fn gap(&self, gap: Gap) -> Result<(), Closed> {
        self.inbox.send(ClusterFact::Gap(gap)).await
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
        self.inbox.send_all(self.health.news()).await
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
