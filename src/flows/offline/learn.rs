//! The first pass: who was told which address for which name, and, where answers name their client by
//! address only, whose address that was. Lines without answers are passed over at the memory's speed.

use memchr::{memchr, memmem, memrchr};

use super::{
    Job, Learned, Pace,
    complaints::{Tally, Why},
    feed::{End, Feed, Piece, each_frame},
    input::{Good, Role, needs_book},
};
use crate::{
    domain::{
        addresses::AddressBook,
        answers::Answers,
        sighting::{Side, Sighting, Told},
    },
    flows::{
        dnstap,
        records::{Decoder, Format},
    },
};

/// One worker's share.
struct Worker {
    book: AddressBook,
    answers: Answers,
    decoders: Vec<Option<Decoder>>,
    tally: Tally,
}

pub(super) fn run(job: &Job, inputs: &[Good], threads: usize, pace: &Pace) -> Learned {
    let has_book = needs_book(inputs);
    let wanted =
        |good: &Good| good.role == Role::Answers || has_book || answer_word(good.format, good.role).is_some();
    let feed = Feed::new(inputs, wanted, pace);
    let pass = Pass { job, inputs, has_book };
    let mut workers = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut worker = Worker::new(inputs.len());
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
    let mut all = workers.pop().unwrap_or_else(|| Worker::new(0));
    for worker in workers {
        all.book.merge(worker.book);
        all.answers.merge(worker.answers);
        all.tally.merge(worker.tally);
    }
    all.book.settle();
    all.answers.assign(&all.book);
    all.answers.settle();
    let mut complaints = feed.complaints();
    complaints.extend(all.tally.complaints(inputs));
    Learned { book: all.book, answers: all.answers, complaints }
}

/// A word that stands in every line with addresses in an answer, where lines of the format can have
/// answers.
fn answer_word(format: Format, role: Role) -> Option<&'static [u8]> {
    match (format, role) {
        // Of a file of answers each line that has to do with DNS is told when it is damaged.
        (Format::HubbleJson, Role::Answers) => Some(b"\"dns\""),
        // An answer without an address names nothing; the pass over the flows reads every line.
        (Format::HubbleJson, Role::Flows) => Some(b"\"ips\""),
        (Format::CalicoJson, _) => Some(b"\"qname\""),
        (Format::AntreaCsv | Format::AntreaLog | Format::KernelLog | Format::Dnstap, _) => None,
    }
}

struct Pass<'j> {
    job: &'j Job,
    inputs: &'j [Good],
    has_book: bool,
}

impl Worker {
    fn new(inputs: usize) -> Self {
        Self {
            book: AddressBook::default(),
            answers: Answers::new(),
            decoders: (0..inputs).map(|_| None).collect(),
            tally: Tally::default(),
        }
    }
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
        let before = worker.answers.counts().answers;
        if good.format == Format::Dnstap {
            self.frames(worker, piece, bytes);
        } else {
            let mut own = worker.decoders[good.kin].take();
            let decoder = ordered.unwrap_or_else(|| own.get_or_insert_with(|| good.decoder()));
            let is_skimmed = good.role == Role::Answers || !self.has_book;
            match answer_word(good.format, good.role).filter(|_| is_skimmed) {
                Some(word) => self.answers_only(worker, piece, bytes, (decoder, word)),
                None => self.all_lines(worker, piece, bytes, decoder),
            }
            worker.decoders[good.kin] = own;
        }
        Pace::add(&pace.records, worker.answers.counts().answers.saturating_sub(before));
    }

    fn frames(&self, worker: &mut Worker, piece: Piece, bytes: &[u8]) {
        let Worker { book, answers, tally, .. } = worker;
        let mut frame_no = piece.first;
        each_frame(bytes, |frame| {
            let mut is_ahead = false;
            let read = dnstap::decode::decode(frame, &mut |told| is_ahead |= self.take(book, answers, &told));
            match read {
                Ok(()) => tally.good(piece.input, 1),
                Err(bad) => tally.bad(piece.input, Why::Frame(bad), frame_no),
            }
            if is_ahead {
                tally.bad(piece.input, Why::FrameAhead, frame_no);
            }
            frame_no += 1;
        });
    }

    /// Only lines with the word in them can be answers.
    fn answers_only(
        &self,
        worker: &mut Worker,
        piece: Piece,
        bytes: &[u8],
        (decoder, word): (&mut Decoder, &[u8]),
    ) {
        let finder = memmem::Finder::new(word);
        let mut from = 0;
        while let Some(found) = finder.find(&bytes[from..]) {
            let at = from + found;
            let start = memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1);
            let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
            let Worker { book, answers, tally, .. } = &mut *worker;
            // What is wrong with a line is told by the pass over the flows, which reads them all.
            let mut is_ahead = false;
            let read =
                decoder.line(&bytes[start..end], &mut |told| is_ahead |= self.take(book, answers, &told));
            tally.good(piece.input, u64::from(read.is_ok()));
            let why = read.err().map(Why::Line).or(is_ahead.then_some(Why::Ahead));
            if let Some(why) = why.filter(|_| self.inputs[piece.input].role == Role::Answers) {
                let line = piece.first + memchr::memchr_iter(b'\n', &bytes[..start]).count() as u64;
                tally.bad(piece.input, why, line);
            }
            from = end;
        }
    }

    fn all_lines(&self, worker: &mut Worker, piece: Piece, bytes: &[u8], decoder: &mut Decoder) {
        let is_flows = self.inputs[piece.input].role == Role::Flows;
        let Worker { book, answers, tally, .. } = worker;
        super::count::each_line(piece, bytes, |number, line, half| {
            let mut is_ahead = false;
            let read = decoder.line(line, &mut |told| is_ahead |= self.take(book, answers, &told));
            match read {
                Ok(()) => tally.good(piece.input, 1),
                Err(_) if is_flows => {}
                Err(_) if half == End::File => tally.bad(piece.input, Why::HalfLine, number),
                Err(_) if half == End::Broken => {}
                Err(bad) => tally.bad(piece.input, Why::Line(bad), number),
            }
            if is_ahead && !is_flows {
                tally.bad(piece.input, Why::Ahead, number);
            }
        });
    }

    /// `true` where it is an answer whose time cannot be.
    fn take(&self, book: &mut AddressBook, answers: &mut Answers, told: &Told<'_>) -> bool {
        let latest = self.job.now + super::AHEAD;
        match told {
            Told::Answer(answer) if answer.at > latest => return true,
            Told::Answer(answer) => answers.hold(answer),
            Told::Flow(flow) if self.has_book && flow.at <= latest => seen(book, flow),
            Told::Flow(_) | Told::Lost(_) | Told::Other { .. } => {}
        }
        false
    }
}

/// Both ends of a flow are signs of who has an address.
fn seen(book: &mut AddressBook, flow: &Sighting<'_>) {
    for side in [&flow.source, &flow.destination] {
        if let Side { address: Some(address), ns: Some(ns), pod: Some(pod), .. } = side {
            book.seen(*address, ns, pod, flow.at);
        }
    }
}
