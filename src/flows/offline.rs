//! Files of records and answers -> edges, on all cores. Two passes: the first learns the DNS answers
//! (and, where answers name clients by address only, whose address that was), the second counts the
//! flows. Memory is bounded by edges and answers, never by the size of the files. Writes nothing and
//! asks no clock but for the progress it tells.

use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{
        addresses::AddressBook, answers::Answers, credit::Credit, edge::Window, ledger::Ledger,
        names::NodeName, sighting::Outcome, time::Timestamp,
    },
    flows::records::Format,
};

mod complaints;
mod count;
mod feed;
mod input;
mod learn;

pub use complaints::{Complaint, Why};

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub flows: Vec<Input>,
    pub dns: Vec<Input>,
    /// `None`: whatever the files hold.
    pub window: Option<Window>,
    /// Records from later than an hour after it have a wrong clock.
    pub now: Timestamp,
    pub threads: usize,
}

/// One file, or standard input (`-`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// `None`: by its first bytes.
    pub format: Option<Format>,
    pub path: PathBuf,
    /// Whose file it is, where its lines do not say.
    pub node: Option<NodeName>,
    /// Of kernel-log: what became of the packets that reached the `Log` rule.
    pub logged: Option<Outcome>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Answers,
    Flows,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// Bytes of files, as they lie on the disk.
    pub bytes: u64,
    pub of: u64,
    /// Flow records and answers so far, in this stage.
    pub records: u64,
    pub elapsed: Duration,
}

impl Progress {
    /// Time that is left at this pace; `None` where nothing can be said yet.
    pub fn left(&self) -> Option<Duration> {
        let done = self.bytes as f64 / self.of.max(1) as f64;
        let secs = self.elapsed.as_secs_f64() * (1.0 - done).max(0.0) / done;
        (done > 0.01 && secs.is_finite()).then(|| Duration::from_secs_f64(secs))
    }
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    pub ledger: Ledger,
    pub credit: Credit,
    /// First and last time of a flow that was counted or left out for its window.
    pub span: Option<(Timestamp, Timestamp)>,
    pub counts: Counts,
    /// By file in the order given, then by what is wrong.
    pub complaints: Vec<Complaint>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes on the disk, in the pass over the flows.
    pub bytes: u64,
    pub lines: u64,
    pub flows: u64,
    pub answers: u64,
    /// Of the answers: to node addresses, and to addresses of nobody known.
    pub from_nodes: u64,
    pub from_nobody: u64,
}

/// Clocks may differ by this much and be right.
const AHEAD: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

/// Reads everything. Blocks; `progress` is called on this thread, a few times a second.
pub fn run(job: &Job, progress: &mut dyn FnMut(Progress)) -> Found {
    let threads = job.threads.clamp(1, 64);
    let inputs = input::check(job);
    let mut complaints = inputs.complaints;
    let clock = Clock::new();
    let learned = clock.watch(Stage::Answers, progress, |pace| learn::run(job, &inputs.good, threads, pace));
    complaints.extend(learned.complaints);
    let (book, answers) = (learned.book, learned.answers);
    let counted = clock.watch(Stage::Flows, progress, |pace| {
        count::run(job, &inputs.good, count::Known { book: &book, answers: &answers }, threads, pace)
    });
    complaints.extend(counted.complaints);
    let known = answers.counts();
    Found {
        ledger: counted.ledger,
        credit: counted.credit,
        span: counted.span,
        counts: Counts {
            answers: known.answers,
            from_nodes: known.from_nodes,
            from_nobody: known.from_nobody,
            ..counted.counts
        },
        complaints: complaints::in_order(complaints::joined(complaints), job),
    }
}

/// What the workers of a pass have done so far.
#[derive(Debug, Default)]
struct Pace {
    bytes: AtomicU64,
    of: AtomicU64,
    records: AtomicU64,
}

impl Pace {
    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

struct Clock {
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Runs a pass on a thread of its own and tells how far it is meanwhile.
    fn watch<T: Send>(
        &self,
        stage: Stage,
        progress: &mut dyn FnMut(Progress),
        pass: impl FnOnce(&Pace) -> T + Send,
    ) -> T {
        let pace = Pace::default();
        let begun = self.start.elapsed();
        let mut tell = || {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            progress(Progress {
                stage,
                bytes: read(&pace.bytes),
                of: read(&pace.of),
                records: read(&pace.records),
                elapsed: self.start.elapsed().saturating_sub(begun),
            });
        };
        std::thread::scope(|scope| {
            let (done, ended) = mpsc::sync_channel::<()>(1);
            let pace = &pace;
            let worker = scope.spawn(move || {
                let out = pass(pace);
                drop(done);
                out
            });
            while matches!(ended.recv_timeout(TELL), Err(mpsc::RecvTimeoutError::Timeout)) {
                tell();
            }
            tell();
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// What the first pass leaves for the second.
struct Learned {
    book: AddressBook,
    answers: Answers,
    complaints: Vec<Complaint>,
}
