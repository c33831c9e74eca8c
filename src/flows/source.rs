//! What every flow source shares: a way to a byte stream, growing pauses between attempts, and the
//! figures of its health. What a source knows of the other side's time lives here too: adapters
//! read no clock, so "now" is what the other side last said, moved on by the runtime's timer.

use std::{pin::Pin, sync::Arc};

use chrono::TimeDelta;
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    cockpit::ports::{ClusterFact, Fact, Link, SourceState, Trouble},
    domain::{
        names::{ClusterName, Text},
        source::SourceKind,
        time::Timestamp,
    },
};

pub use super::dial::dial_address;

pub trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// A byte stream to a source, whatever it runs through.
pub type BoxIo = Pin<Box<dyn Io>>;

/// Opens a new byte stream. Called for each attempt.
pub type Dial = Arc<dyn Fn() -> BoxFuture<'static, Result<BoxIo, Trouble>> + Send + Sync>;

/// Pauses between attempts: 1 s, doubled up to 30 s.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Backoff {
    pub const FIRST: Duration = Duration::from_secs(1);
    pub const LONGEST: Duration = Duration::from_secs(30);

    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
    }

    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

/// The other side's clock as far as it can be known from here.
#[derive(Clone, Copy, Debug, Default)]
pub struct FarClock {
    anchor: Option<(Timestamp, Instant)>,
}

impl FarClock {
    /// An event this far ahead of the clock says that its node's clock is wrong, not ours.
    const CREDIBLE: TimeDelta = TimeDelta::hours(1);

    pub fn now(&self, here: Instant) -> Option<Timestamp> {
        let (told, at) = self.anchor?;
        let passed = TimeDelta::from_std(here.saturating_duration_since(at)).ok()?;
        told.checked_add_signed(passed)
    }

    /// The other side stamped a message just now.
    pub fn told(&mut self, time: Timestamp, here: Instant) {
        self.anchor = Some((time, here));
    }

    /// An event happened at `time`: now cannot be earlier.
    pub fn event(&mut self, time: Timestamp, here: Instant) {
        match self.now(here) {
            None => self.anchor = Some((time, here)),
            Some(now) if time > now && time - now <= Self::CREDIBLE => self.anchor = Some((time, here)),
            Some(_) => {}
        }
    }
}

/// Sends the facts of one cluster. Waiting is right where the sender counts its own losses.
#[derive(Clone, Debug)]
pub struct Inbox {
    cluster: ClusterName,
    facts: mpsc::Sender<Fact>,
}

/// Nobody listens any more: the task ends.
#[derive(Debug)]
pub struct Closed;

impl Inbox {
    pub fn new(cluster: ClusterName, facts: mpsc::Sender<Fact>) -> Self {
        Self { cluster, facts }
    }

    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Until nobody listens any more.
    pub async fn closed(&self) {
        self.facts.closed().await;
    }

    pub async fn send(&self, fact: ClusterFact) -> Result<(), Closed> {
        self.facts.send(Fact::Cluster(self.cluster.clone(), fact)).await.map_err(|_| Closed)
    }

    pub async fn send_all(&self, facts: impl IntoIterator<Item = ClusterFact>) -> Result<(), Closed> {
        for fact in facts {
            self.send(fact).await?;
        }
        Ok(())
    }

    pub async fn notice(&self, trouble: Trouble) -> Result<(), Closed> {
        self.facts.send(Fact::Notice(trouble)).await.map_err(|_| Closed)
    }
}

/// The figures of one source, told when they changed.
#[derive(Debug)]
pub struct Health {
    pub state: SourceState,
    told: Option<SourceState>,
}

impl Health {
    pub fn new(name: &str, kind: SourceKind) -> Self {
        let state = SourceState {
            kind,
            name: Text::new(name),
            link: Link::Connecting,
            history_from: None,
            lag: None,
            nodes_connected: None,
            nodes_unavailable: None,
            malformed: 0,
            repeats: 0,
        };
        Self { state, told: None }
    }

    /// The state, if it is news.
    pub fn news(&mut self) -> Option<ClusterFact> {
        if self.told.as_ref() == Some(&self.state) {
            return None;
        }
        Some(self.tell())
    }

    /// The state, news or not: figures have an age.
    pub fn tell(&mut self) -> ClusterFact {
        self.told = Some(self.state.clone());
        ClusterFact::Source(self.state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.pause().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_node_with_a_wrong_clock_does_not_move_now_by_years() {
        let t = |secs| Timestamp::from_timestamp(secs, 0).expect("in range");
        let start = Instant::now();
        let mut clock = FarClock::default();
        assert_eq!(clock.now(start), None);
        clock.told(t(1_000), start);
        clock.event(t(900), start);
        assert_eq!(clock.now(start), Some(t(1_000)), "an old event says nothing");
        clock.event(t(1_007), start);
        assert_eq!(clock.now(start + Duration::from_secs(5)), Some(t(1_012)));
        clock.event(t(4_000_000_000), start);
        assert_eq!(clock.now(start), Some(t(1_007)), "the year 2096 is not believed");
    }
}
