//! One task that turns what sources tell into edges on disk: it holds flows back for late answers,
//! joins, counts, commits every few seconds, and says how it goes. Bounded; a disk that takes
//! nothing is a trouble in the state, and the latest edges wait in memory until it does.

mod desk;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{desk::Desk, state::Sources};
use super::{
    owned::Heard,
    store::{Batch, Committed, Position, Resume, Store},
};
use crate::{
    cockpit::ports::{CollectorState, Gap, SourceState, Trouble},
    domain::{
        names::{NodeName, Text},
        time::Timestamp,
    },
};

/// Domain time, from whoever may read a clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Between two commits.
const COMMIT: Duration = Duration::from_secs(5);
/// So many edges are committed sooner.
const MANY: usize = 50_000;
/// What is older than the time kept is dropped this often.
const FORGET: Duration = Duration::from_secs(6 * 3_600);
/// Pauses after a failed commit.
const AGAIN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];
/// Inputs that wait; a source that counts its own losses waits with them.
pub const INPUTS: usize = 1_024;
/// Inputs taken at once.
const CHUNK: usize = 64;

/// What sources tell. One source's inputs keep their order.
#[derive(Debug)]
pub enum Input {
    /// Each with what a repeat of it would be known by. `position`: reading may go on behind them
    /// after a restart; both are committed together.
    Told { source: Text, told: Vec<(Heard, Option<u64>)>, position: Option<Position> },
    /// Everything told so far is from before here: reading may go on there after a restart.
    Position(Text, Position),
    /// A node was alive and read up to here. `None`: the source does not know nodes.
    Sign(Option<NodeName>, Timestamp),
    /// Flows were lost, or not: see [`Gap`].
    Gap(Gap),
    /// DNS answers were lost: names may be missing, flows are not.
    AnswersLost(Gap),
    /// How a source is doing, under its own name.
    State(Text, Box<SourceState>),
    /// From the API: whose an address is.
    Owns { address: std::net::IpAddr, owner: Owner },
    /// Something a person should know, by what it is about; `None`: it is well again.
    Trouble(Text, Option<Trouble>),
    /// What is known to be missing for the whole window.
    Doubt(Text),
}

/// Whose an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Pod { ns: Text, pod: Text, from: Timestamp, until: Option<Timestamp> },
    Node,
}

pub struct Setup {
    pub store: Store,
    pub resume: Resume,
    pub now: Now,
    pub version: &'static str,
    pub inputs: mpsc::Receiver<Input>,
    pub state: watch::Sender<Arc<CollectorState>>,
    /// Turns true when it should commit and end.
    pub stop: watch::Receiver<bool>,
}

/// Gathers until it is stopped or all sources are gone, and commits. The error is that of the last
/// commit: what it says was not written.
pub async fn run(setup: Setup) -> Result<(), Trouble> {
    let Setup { store, resume, now, version, mut inputs, state, mut stop } = setup;
    let mut gather = Gather {
        sources: Sources::new(version, store.counts(), &resume),
        desk: Desk::new(resume, now()),
        store: Some(store),
        writing: None,
        unsaved: None,
        failures: 0,
        not_before: Instant::now(),
        forget_at: Instant::now() + Duration::from_secs(60),
        now,
        state,
    };
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let due = gather.desk.due();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            written = written(&mut gather.writing) => gather.written(written),
            _ = second.tick() => gather.second(),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            count = inputs.recv_many(&mut chunk, CHUNK) => {
                if count == 0 {
                    break;
                }
                chunk.drain(..).for_each(|input| gather.take(input));
            }
        }
        gather.desk.release(Instant::now(), (gather.now)(), false);
    }
    // What waits in the queue was told before the end.
    while let Ok(input) = inputs.try_recv() {
        gather.take(input);
    }
    gather.finish().await
}

type Written = (Store, Batch, Result<Committed, Trouble>);

struct Gather {
    desk: Desk,
    sources: Sources,
    /// Away while it writes.
    store: Option<Store>,
    writing: Option<JoinHandle<Written>>,
    /// What could not be written.
    unsaved: Option<Batch>,
    failures: usize,
    /// No commit before then.
    not_before: Instant,
    forget_at: Instant,
    now: Now,
    state: watch::Sender<Arc<CollectorState>>,
}

impl Gather {
    fn take(&mut self, input: Input) {
        let here = Instant::now();
        match input {
            Input::State(source, state) => self.sources.put(source, *state),
            Input::Trouble(about, trouble) => self.sources.trouble(about, trouble),
            Input::Told { .. }
            | Input::Position(..)
            | Input::Sign(..)
            | Input::Gap(_)
            | Input::AnswersLost(_)
            | Input::Owns { .. }
            | Input::Doubt(_) => self.desk.take(input, here, (self.now)()),
        }
    }

    /// Once a second: figures out, edges in.
    fn second(&mut self) {
        let here = Instant::now();
        let many = self.desk.edges() >= MANY;
        if here >= self.not_before && (many || self.desk.since_batch(here) >= COMMIT) {
            self.commit();
        }
        self.publish();
    }

    fn publish(&mut self) {
        let state = self.sources.state(&self.desk, (self.now)());
        self.state.send_replace(Arc::new(state));
    }

    /// Hands a batch to the disk, unless it is still busy with the last one.
    fn commit(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        let fresh = self.desk.batch((self.now)(), Instant::now());
        let batch = match self.unsaved.take() {
            Some(mut batch) => {
                let lost = batch.absorb(fresh);
                self.desk.lost_in_memory(lost, (self.now)());
                batch
            }
            None => fresh,
        };
        if batch.is_empty() && store.is_open() {
            self.store = Some(store);
            return;
        }
        let forget = (Instant::now() >= self.forget_at).then(|| (self.now)());
        if forget.is_some() {
            self.forget_at = Instant::now() + FORGET;
        }
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let result = write(&mut store, &batch, forget);
            (store, batch, result)
        }));
    }

    fn written(&mut self, written: Option<Written>) {
        let Some((store, batch, result)) = written else {
            // A panic took the store with it: only a restart brings it back.
            self.sources.trouble(Text::new("database"), Some(state::writer_gone()));
            return;
        };
        match result {
            Ok(done) => {
                if self.failures > 0 {
                    tracing::info!(edges = done.edges, "the database takes edges again");
                }
                self.failures = 0;
                self.sources.trouble(Text::new("database"), None);
                self.sources.committed(&store, done);
            }
            Err(trouble) => {
                if self.failures == 0 {
                    tracing::warn!(%trouble, "a commit failed");
                }
                self.not_before = Instant::now() + AGAIN[self.failures.min(AGAIN.len() - 1)];
                self.failures += 1;
                self.sources.trouble(Text::new("database"), Some(trouble));
                self.unsaved = Some(batch);
            }
        }
        self.store = Some(store);
    }

    /// Counts what still waits, and writes it.
    async fn finish(mut self) -> Result<(), Trouble> {
        if self.writing.is_some() {
            let done = written(&mut self.writing).await;
            self.written(done);
        }
        self.desk.release(Instant::now(), (self.now)(), true);
        self.commit();
        match self.writing.take() {
            None => Ok(()),
            Some(writing) => match writing.await {
                Ok((_, _, result)) => result.map(|_| ()),
                Err(_) => Err(state::writer_gone()),
            },
        }
    }
}

fn write(store: &mut Store, batch: &Batch, forget: Option<Timestamp>) -> Result<Committed, Trouble> {
    if !store.is_open() {
        store.reopen()?;
    }
    let done = store.commit(batch)?;
    if let Some(now) = forget {
        // What was committed stays committed; forgetting is tried again another time.
        if let Err(trouble) = store.forget(now) {
            tracing::warn!(%trouble, "old hours could not be dropped");
        }
    }
    Ok(done)
}

/// The end of a commit that runs; never, while none does.
async fn written(writing: &mut Option<JoinHandle<Written>>) -> Option<Written> {
    let done = match writing {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    };
    *writing = None;
    done
}
