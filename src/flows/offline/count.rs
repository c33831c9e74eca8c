//! The second pass: flows, with the names of the first, into one ledger a worker, joined at the end.
//! Everything that is no flow of the window is counted by reason.

use memchr::memchr;

use super::{
    Counts, Job, Pace,
    complaints::{Complaint, Tally, Why},
    feed::{End, Feed, Piece},
    input::{Good, Role},
};
use crate::{
    domain::{
        addresses::AddressBook, answers::Answers, credit::Credit, ledger::Ledger, sighting::Told,
        time::Timestamp,
    },
    flows::records::{Decoder, Format},
};

/// What the first pass learned.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub book: &'k AddressBook,
    pub answers: &'k Answers,
}

pub(super) struct Counted {
    pub ledger: Ledger,
    pub credit: Credit,
    pub span: Option<(Timestamp, Timestamp)>,
    pub counts: Counts,
    pub complaints: Vec<Complaint>,
}

/// One worker's share.
struct Worker {
    sums: Sums,
    decoders: Vec<Option<Decoder>>,
    tally: Tally,
}

struct Sums {
    ledger: Ledger,
    credit: Credit,
    span: Option<(Timestamp, Timestamp)>,
    counts: Counts,
}

pub(super) fn run(job: &Job, inputs: &[Good], known: Known<'_>, threads: usize, pace: &Pace) -> Counted {
    let feed = Feed::new(inputs, |good| good.role == Role::Flows, pace);
    let pass = Pass { job, inputs, known };
    let mut workers = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut worker = Worker::new(job, inputs.len());
                    feed.work(|piece, bytes, decoder| pass.piece(&mut worker, piece, bytes, decoder, pace));
                    worker
                })
            })
            .collect();
        spawned
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut all = workers.pop().unwrap_or_else(|| Worker::new(job, 0));
    for worker in workers {
        all.tally.merge(worker.tally);
        all.sums.merge(worker.sums);
    }
    all.sums.counts.bytes = pace.bytes.load(std::sync::atomic::Ordering::Relaxed);
    let mut complaints = feed.complaints();
    complaints.extend(all.tally.complaints(inputs));
    let Sums { ledger, credit, span, counts } = all.sums;
    Counted { ledger, credit, span, counts, complaints }
}

impl Worker {
    fn new(job: &Job, inputs: usize) -> Self {
        Self {
            sums: Sums {
                ledger: Ledger::new(job.window),
                credit: Credit::default(),
                span: None,
                counts: Counts::default(),
            },
            decoders: (0..inputs).map(|_| None).collect(),
            tally: Tally::default(),
        }
    }
}

impl Sums {
    fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.credit.merge(other.credit);
        self.span = match (self.span, other.span) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (span, None) | (None, span) => span,
        };
        self.counts.lines += other.counts.lines;
        self.counts.flows += other.counts.flows;
    }

    /// `true` where its time cannot be.
    fn take(&mut self, told: &Told<'_>, known: Known<'_>, latest: Timestamp) -> bool {
        match told {
            Told::Flow(flow) if flow.at > latest => return true,
            Told::Flow(flow) => {
                self.counts.flows += 1;
                self.credit.sign(flow.node, flow.at);
                let (first, last) = self.span.get_or_insert((flow.at, flow.at));
                *first = flow.at.min(*first);
                *last = flow.at.max(*last);
                self.ledger.sight(known.answers, known.book, flow);
            }
            Told::Lost(lost) => self.credit.lost(lost),
            Told::Other { node, at: Some(at) } if *at <= latest => self.credit.sign(*node, *at),
            Told::Answer(answer) if answer.at > latest => return true,
            Told::Other { .. } | Told::Answer(_) => {}
        }
        false
    }
}

struct Pass<'j> {
    job: &'j Job,
    inputs: &'j [Good],
    known: Known<'j>,
}

impl Pass<'_> {
    fn piece(
        &self,
        worker: &mut Worker,
        piece: Piece,
        bytes: &[u8],
        ordered: Option<&mut Decoder>,
        pace: &Pace,
    ) {
        let good = &self.inputs[piece.input];
        let mut own = worker.decoders[good.kin].take();
        let decoder = ordered.unwrap_or_else(|| {
            let own = own.get_or_insert_with(|| good.decoder());
            own.starts_elsewhere();
            own
        });
        let Worker { sums, tally, .. } = worker;
        let latest = self.job.now + super::AHEAD;
        let is_kernel = good.format == Format::KernelLog && good.logged.is_none();
        let (before, mut whole) = (sums.counts.flows, 0);
        each_line(piece, bytes, |number, line, half| {
            sums.counts.lines += 1;
            let (mut is_ahead, mut is_unjudged) = (false, false);
            let read = decoder.line(line, &mut |told| {
                is_unjudged |= is_kernel && matches!(told, Told::Other { .. });
                is_ahead |= sums.take(&told, self.known, latest);
            });
            match read {
                Ok(()) => whole += 1,
                Err(_) if half == End::File => tally.bad(piece.input, Why::HalfLine, number),
                Err(_) if half == End::Broken => {}
                Err(bad) => tally.bad(piece.input, Why::Line(bad), number),
            }
            if is_ahead {
                tally.bad(piece.input, Why::Ahead, number);
            }
            if is_unjudged {
                tally.bad(piece.input, Why::Unjudged, number);
            }
        });
        tally.good(piece.input, whole);
        Pace::add(&pace.records, sums.counts.flows - before);
        worker.decoders[good.kin] = own;
    }
}

/// Lines with their numbers; the last one may be a half.
pub(super) fn each_line(piece: Piece, bytes: &[u8], mut take: impl FnMut(u64, &[u8], End)) {
    let (mut rest, mut number) = (bytes, piece.first);
    while !rest.is_empty() {
        match memchr(b'\n', rest) {
            Some(end) => {
                take(number, &rest[..end], End::Whole);
                rest = &rest[end + 1..];
            }
            None => {
                take(number, rest, piece.end);
                rest = &[];
            }
        }
        number += 1;
    }
}
