//! One node's records, out of the log of the pod that prints them there: opens, reads, opens again
//! with an overlap, through rotations, restarts and replacements of the pod. Waits for whoever takes
//! what it reads: the log lies in a file of its node meanwhile, and what that loses shows in the overlap.

use std::{collections::HashSet, sync::Arc};

use chrono::TimeDelta;
use futures::StreamExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep, sleep_until},
};

use super::{
    follow::{Open, Opened, Printer, Since},
    line,
};
use crate::{
    cockpit::ports::{ClusterFact, Gap, Trouble},
    domain::{
        evidence::Cause,
        flow::FlowId,
        names::{NodeName, Text},
        sighting::Told,
        time::Timestamp,
    },
    flows::{
        baseline::owned::{Heard, HeardFlow},
        judged::Word,
        memory::Memory,
        records::{Context, Decoder, Format},
        source::{Backoff, Closed},
        thread::Thread,
    },
};

/// A log is opened again this much before the last line that was read.
const OVERLAP: TimeDelta = TimeDelta::seconds(2);
/// How many lines back the first look goes.
const FIRST: u32 = 1_000;
/// A follow may stand still without a word after a rotation: then this finds what it missed.
const REOPEN: Duration = Duration::from_secs(600);
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Lines remembered of one node.
const REMEMBERED: usize = 16_384;

/// What a node's task tells.
pub struct Report {
    pub node: NodeName,
    pub what: What,
}

pub enum What {
    Piece(Piece),
    Link(Result<(), Trouble>),
    /// The API server's clock, when it opened the log.
    Clock(Timestamp),
}

/// What was read at once.
#[derive(Default)]
pub struct Piece {
    pub records: Vec<Record>,
    pub gaps: Vec<Gap>,
    /// From where to where everything was read.
    pub sign: Option<(Timestamp, Timestamp)>,
    /// The newest line was printed then.
    pub printed: Option<Timestamp>,
    pub malformed: u64,
    pub repeats: u64,
}

pub struct Record {
    pub heard: Heard,
    pub id: FlowId,
    pub word: Word,
    pub at: Timestamp,
}

/// What a node's task starts from.
pub struct Setup {
    pub node: NodeName,
    pub format: Format,
    /// The pod that prints, as long as there is one.
    pub printer: watch::Receiver<Option<Printer>>,
    pub open: Open,
    pub to: mpsc::Sender<Report>,
    /// Where an earlier run of the program stopped, and the lines that it committed.
    pub position: Option<Timestamp>,
    pub known: Arc<HashSet<u64>>,
}

/// Follows until nobody listens.
pub async fn run(setup: Setup) {
    let mut place = Place::new(setup);
    // Both ways out mean that nobody is there any more.
    let _ = place.for_ever().await;
}

struct Place {
    setup: Setup,
    decoder: Decoder,
    memory: Memory,
    thread: Thread,
    /// When the newest line was printed.
    last: Option<Timestamp>,
    half: Vec<u8>,
    passing_over: bool,
}

/// Why a session ended.
enum Stop {
    Closed,
    /// To be opened again, without a fault.
    Again(&'static str),
    Broken(Trouble),
}

impl std::convert::From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl Place {
    fn new(setup: Setup) -> Self {
        let mut thread = Thread::new(Some(setup.node.clone()), setup.position);
        thread.doubt("nobody read this node's log");
        Self {
            decoder: Decoder::new(setup.format, Context::default()),
            memory: Memory::new(REMEMBERED),
            thread,
            last: setup.position,
            half: Vec::new(),
            passing_over: false,
            setup,
        }
    }

    async fn for_ever(&mut self) -> Result<std::convert::Infallible, Closed> {
        let mut backoff = Backoff::default();
        loop {
            let printer = self.setup.printer.borrow_and_update().clone();
            let start = Instant::now();
            let stop = match printer {
                Some(printer) => self.until_replaced(&printer).await,
                None => Stop::Broken(nobody(&self.setup.node)),
            };
            match stop {
                Stop::Closed => return Err(Closed),
                Stop::Again(why) => {
                    if self.last.is_some() {
                        self.thread.doubt(why);
                    }
                    continue;
                }
                Stop::Broken(trouble) => self.broke(trouble).await?,
            }
            if start.elapsed() >= GOOD {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.pause()) => {}
                changed = self.setup.printer.changed() => changed.map_err(|_| Closed)?,
            }
        }
    }

    async fn until_replaced(&mut self, printer: &Printer) -> Stop {
        let mut replaced = self.setup.printer.clone();
        tokio::select! {
            stop = self.session(printer) => match stop {
                Ok(never) => match never {},
                Err(stop) => stop,
            },
            changed = replaced.changed() => match changed {
                Ok(()) => Stop::Again("the pod that prints this node's records was replaced"),
                Err(_) => Stop::Closed,
            },
        }
    }

    async fn session(&mut self, printer: &Printer) -> Result<std::convert::Infallible, Stop> {
        let context =
            Context { node: Some(self.setup.node.clone()), logged: printer.logged, ..Context::default() };
        self.decoder = Decoder::new(self.setup.format, context);
        self.half.clear();
        self.passing_over = false;
        let since = self.last.map_or(Since::Last(FIRST), |last| Since::Time(last - OVERLAP));
        let Opened { at, mut bytes } =
            (self.setup.open)(printer.clone(), since).await.map_err(Stop::Broken)?;
        if let Some(at) = at {
            self.thread.begins(at);
            self.tell(What::Clock(at)).await?;
        }
        self.tell(What::Link(Ok(()))).await?;
        let reopen = Instant::now() + REOPEN;
        loop {
            tokio::select! {
                biased;
                () = sleep_until(reopen) => return Err(Stop::Again("its log was opened again")),
                chunk = bytes.next() => match chunk {
                    Some(Ok(chunk)) => {
                        let (piece, complaint) = self.chunk(&chunk);
                        self.tell(What::Piece(piece)).await?;
                        if let Some(complaint) = complaint {
                            return Err(Stop::Broken(complaint));
                        }
                    }
                    Some(Err(trouble)) => return Err(Stop::Broken(trouble)),
                    None => return Err(Stop::Broken(ended(printer))),
                },
            }
        }
    }

    /// With it, what the kubelet itself says of not being able to read on.
    fn chunk(&mut self, chunk: &[u8]) -> (Piece, Option<Trouble>) {
        let (mut piece, mut complaint) = (Piece::default(), None);
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            if std::mem::take(&mut self.passing_over) {
                continue;
            }
            if self.half.is_empty() {
                complaint = self.line(line, &mut piece).or(complaint);
            } else {
                let mut whole = std::mem::take(&mut self.half);
                whole.extend_from_slice(line);
                complaint = self.line(&whole, &mut piece).or(complaint);
            }
        }
        if !self.passing_over {
            self.half.extend_from_slice(rest);
        }
        if self.half.len() > Decoder::LINE {
            piece.malformed += 1;
            self.half.clear();
            self.passing_over = true;
        }
        piece.printed = self.last;
        (piece, complaint)
    }

    fn line(&mut self, raw: &[u8], piece: &mut Piece) -> Option<Trouble> {
        let Some(line) = line::split(raw) else { return foreign(&self.setup.node, raw) };
        let (node, format) = (&self.setup.node, self.setup.format);
        self.last = self.last.max(Some(line.printed));
        let id = line.id(format, node);
        let record = line.record(format, node);
        let (mut at, mut records) = (None, Vec::new());
        let decoded = self.decoder.line(&record, &mut |told| {
            let until = time_of(&told);
            at = at.max(until);
            let word = match &told {
                Told::Flow(flow) => line::word(format, flow.outcome, &record),
                Told::Answer(_) | Told::Lost(_) | Told::Other { .. } => Word::default(),
            };
            let heard = of_node(Heard::of(&told), node, format);
            records.push((heard, word, until));
        });
        let at = at.unwrap_or(line.printed);
        let hash = Memory::hash(&id);
        // What was committed is known by its first record.
        let was_committed =
            |all: &HashSet<u64>| !all.is_empty() && all.contains(&Memory::hash(&part(&id, 0)));
        let known = was_committed(&self.setup.known) || !self.memory.note(hash, at);
        if known || self.memory.forgotten_until().is_some_and(|forgotten| at < forgotten) {
            piece.repeats += 1;
            piece.gaps.extend(self.thread.again().filter(|_| known));
            return None;
        }
        // A printer that started again may begin with what was read long ago.
        let is_old = self.thread.is_broken() && self.thread.read().is_some_and(|read| at <= read);
        if !is_old {
            let (gap, from) = self.thread.fresh(at);
            piece.gaps.extend(gap);
            piece.sign = Some(match piece.sign {
                Some((first, last)) if from <= last => (first.min(from), last.max(at)),
                Some(_) | None => (from, at),
            });
        }
        piece.malformed += u64::from(decoded.is_err());
        for (number, (heard, word, until)) in records.into_iter().enumerate() {
            piece.records.push(Record { heard, id: part(&id, number), word, at: until.unwrap_or(at) });
        }
        None
    }

    async fn broke(&mut self, trouble: Trouble) -> Result<(), Closed> {
        let gap = self.thread.broke(&format!("{}: {}", trouble.object, trouble.fact), Cause::SourceSilent);
        let piece = Piece { gaps: gap.into_iter().collect(), ..Piece::default() };
        self.tell(What::Piece(piece)).await?;
        self.tell(What::Link(Err(trouble))).await
    }

    async fn tell(&self, what: What) -> Result<(), Closed> {
        let report = Report { node: self.setup.node.clone(), what };
        self.setup.to.send(report).await.map_err(|_| Closed)
    }
}

impl Piece {
    /// What it says of its node, for whoever takes facts.
    pub fn facts(&mut self, node: &NodeName) -> Vec<ClusterFact> {
        let gaps = std::mem::take(&mut self.gaps).into_iter().map(ClusterFact::Gap);
        let sign =
            self.sign.take().map(|(from, until)| ClusterFact::Heard { node: node.clone(), from, until });
        gaps.chain(sign).collect()
    }
}

/// The id of one record of a line.
fn part(line: &FlowId, number: usize) -> FlowId {
    FlowId(compact_str::format_compact!("{}/{number}", line.0))
}

pub(super) fn time_of(told: &Told<'_>) -> Option<Timestamp> {
    match told {
        Told::Flow(flow) => Some(flow.until),
        Told::Answer(answer) => Some(answer.at),
        Told::Lost(lost) => Some(lost.until),
        Told::Other { at, .. } => *at,
    }
}

/// The pod's node is Kubernetes' own word; a line may call it otherwise. Only the aggregator's
/// records are of other nodes than the one they are printed on.
fn of_node(heard: Heard, node: &NodeName, format: Format) -> Heard {
    let name = || Some(node.as_str().into());
    match heard {
        Heard::Flow(flow) if format != Format::AntreaCsv => {
            Heard::Flow(Box::new(HeardFlow { node: name(), ..*flow }))
        }
        Heard::Lost(lost) => Heard::Lost(crate::flows::baseline::owned::HeardLoss { node: name(), ..lost }),
        other => other,
    }
}

/// Empty lines are nothing; all else without a time is the kubelet's own complaint.
fn foreign(node: &NodeName, raw: &[u8]) -> Option<Trouble> {
    if raw.trim_ascii().is_empty() {
        return None;
    }
    let said = Text::new(&String::from_utf8_lossy(&raw[..raw.len().min(300)]));
    Some(Trouble::new(
        &format!("node {node}"),
        &format!("its kubelet cannot read the log on: {said}"),
        "Nothing to do if it comes back; else look at the node's disk and kubelet.",
    ))
}

fn ended(printer: &Printer) -> Trouble {
    let next = format!(
        "Nothing to do if it comes back; else see: kubectl -n {} describe pod {}",
        printer.ns, printer.pod
    );
    Trouble::new(&printer.object(), "its stream ended", &next)
}

fn nobody(node: &NodeName) -> Trouble {
    Trouble::new(
        &format!("node {node}"),
        "no pod prints its records any more",
        "Look at the printers: kubectl get pods -A -l sluice.dev/prints -o wide",
    )
}
