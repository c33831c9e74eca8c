//! Where flows and answers meet: address book, answers, ledger and credit of one cluster, and what
//! of it has not been committed yet. Pure but for the runtime's time, which is an argument.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use tokio::time::{Duration, Instant};

use super::{Input, Owner};
use crate::{
    cockpit::ports::Gap,
    domain::{
        addresses::{AddressBook, Owner as Whose},
        answers::{Answers, Counts},
        coverage::{Coverage, Hole},
        credit::Credit,
        edge::{Hours, Window},
        ledger::{Ledger, LeftOut},
        names::{NodeName, Text},
        sighting::Lost,
        time::Timestamp,
    },
    flows::baseline::{
        hold::{Held, Hold},
        owned::{Heard, HeardAnswer, HeardClient, HeardFlow, HeardSide},
        store::{Batch, Resume},
    },
};

/// Coverage is worked out this often, and at once after a loss.
const COVERAGE: Duration = Duration::from_secs(60);
/// Names are known for a window of discovery, and a day more.
const NAMES_KEPT: TimeDelta = TimeDelta::days(8);
/// A record further ahead of the clock says that its machine's clock is wrong. It is not counted: its
/// hour would push those that were seen out of an edge, and its answer would be the latest for years.
const AHEAD: TimeDelta = TimeDelta::hours(1);
/// One that is older has no hour that an edge keeps: a machine that started without a clock.
const BEHIND: TimeDelta = TimeDelta::hours(Hours::SPAN);
/// Why the hours of such a machine are not credited.
const WRONG_CLOCK: &str = "records with the time of a wrong clock";
/// Most open gaps, and holes of answers, that are kept.
const GAPS: usize = 5_000;
/// How a hole begins that cost names and no flows.
const NAMES: &str = "DNS answers: ";

#[derive(Debug)]
pub struct Desk {
    flows: Hold,
    answers_held: Hold,
    book: AddressBook,
    answers: Answers,
    ledger: Ledger,
    /// What the ledger had left out when it was last asked.
    left_out: BTreeMap<LeftOut, u64>,
    credit: Credit,
    open: BTreeMap<(Option<NodeName>, Timestamp), Text>,
    /// Where answers are missing.
    nameless: Vec<Hole>,
    window: Option<Window>,
    coverage: Coverage,
    /// When coverage was worked out; `None`: something changed since.
    covered_at: Option<Instant>,
    batch: Batch,
    batch_at: Instant,
    told: Figures,
}

/// Since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub flows: u64,
    pub answers: u64,
    pub lost_in_memory: u64,
    /// Flows and answers whose time cannot be.
    pub wrong_clock: u64,
}

impl Desk {
    /// Goes on from what was stored.
    pub fn new(resume: Resume, now: Timestamp) -> Self {
        let mut coverage = resume.coverage;
        let (nameless, gaps) =
            coverage.gaps.into_iter().partition(|hole| hole.why.as_str().starts_with(NAMES));
        coverage.gaps = gaps;
        let mut credit = Credit::default();
        credit.resume(&coverage);
        let mut desk = Self {
            flows: Hold::of_flows(),
            answers_held: Hold::of_answers(),
            book: AddressBook::default(),
            answers: Answers::new(),
            ledger: Ledger::new(None),
            left_out: BTreeMap::new(),
            credit,
            open: BTreeMap::new(),
            nameless,
            window: resume.window.map(|(from, to)| Window { from, to: to.min(now) }),
            coverage,
            covered_at: None,
            batch: Batch::default(),
            batch_at: Instant::now(),
            told: Figures::default(),
        };
        for answer in resume.answers {
            answer.lend(|answer| desk.answers.learn(answer, &desk.book));
        }
        desk
    }

    /// Of what is told with the time of a wrong clock only the count is kept.
    pub fn take(&mut self, input: Input, here: Instant, now: Timestamp) {
        match input {
            Input::Told { source, mut told, position } => {
                told.retain(|(heard, _)| self.is_timely(heard, now));
                for (heard, id) in told {
                    self.hear(&source, heard, id, here);
                }
                if let Some(position) = position {
                    self.flows.push(Held::Position(source, position), here);
                }
            }
            Input::Position(source, position) => self.flows.push(Held::Position(source, position), here),
            Input::Sign(node, until) => self.flows.push(Held::Sign(node, until), here),
            Input::Gap(gap) => self.gap(gap),
            Input::AnswersLost(gap) => self.nameless(&gap, now),
            Input::Owns { address, owner } => match owner {
                Owner::Pod { ns, pod, from, until } => {
                    self.book.owns(address, ns.as_str(), pod.as_str(), from, until);
                }
                Owner::Node => self.book.node(address),
            },
            Input::Doubt(why) => {
                self.covered_at = None;
                self.credit.doubt(why);
            }
            Input::State(..) | Input::Trouble(..) => {}
        }
    }

    /// May the time of this be right? A flow of a wrong clock is a loss of its node now.
    fn is_timely(&mut self, heard: &Heard, now: Timestamp) -> bool {
        let (at, node) = match heard {
            Heard::Flow(flow) => (flow.at, Some(flow.node.as_deref())),
            Heard::Answer(answer) => (answer.at, None),
            Heard::Lost(_) | Heard::Other { .. } => return true,
        };
        let is_timely = now - BEHIND <= at && at <= now + AHEAD;
        self.told.wrong_clock += u64::from(!is_timely);
        if let (false, Some(node)) = (is_timely, node) {
            self.credit.lost(&Lost { node, from: now, until: now, count: Some(1), why: WRONG_CLOCK });
        }
        is_timely
    }

    fn hear(&mut self, source: &Text, heard: Heard, id: Option<u64>, here: Instant) {
        match heard {
            Heard::Flow(flow) => {
                self.told.flows += 1;
                for side in [&flow.source, &flow.destination] {
                    meet(&mut self.book, side, flow.at);
                }
                self.flows.push(Held::Flow { source: source.clone(), flow, id }, here);
            }
            Heard::Answer(answer) => {
                self.told.answers += 1;
                match answer.client {
                    HeardClient::Address(_) => self.answers_held.push(Held::Answer(answer), here),
                    HeardClient::Pod { .. } | HeardClient::Workload { .. } => self.learn(&answer),
                }
            }
            Heard::Lost(lost) => self.lost(&lost.lend()),
            Heard::Other { at, .. } => {
                if let Some(id) = id.zip(at) {
                    self.batch.ids.entry(source.clone()).or_default().push(id);
                }
            }
        }
    }

    /// An answer to an address is written under the pod that had it: the book is not written.
    fn learn(&mut self, answer: &HeardAnswer) {
        answer.lend(|answer| self.answers.learn(answer, &self.book));
        let HeardClient::Address(address) = answer.client else { return self.batch.learn(answer) };
        if let Whose::Pod { ns, pod } = self.book.owner(address, answer.at) {
            let client = HeardClient::Pod { ns: ns.into(), pod: pod.into() };
            self.batch.learn(&HeardAnswer { client, ..answer.clone() });
        }
    }

    /// Lets go what has waited long enough; with `all`, whatever waits.
    pub fn release(&mut self, here: Instant, now: Timestamp, all: bool) {
        while let Some(held) = self.answers_held.pop(here, all) {
            self.let_go(held, now);
        }
        while let Some(held) = self.flows.pop(here, all) {
            self.let_go(held, now);
        }
    }

    fn let_go(&mut self, held: Held, now: Timestamp) {
        match held {
            Held::Flow { source, flow, id } => self.sight(source, &flow, id, now),
            Held::Answer(answer) => self.learn(&answer),
            Held::Position(source, position) => drop(self.batch.positions.insert(source, position)),
            Held::Sign(node, until) => self.sign(node.as_ref(), until.min(now)),
        }
    }

    fn sight(&mut self, source: Text, flow: &HeardFlow, id: Option<u64>, now: Timestamp) {
        self.ledger.sight(&self.answers, &self.book, &flow.lend());
        if let Some(id) = id {
            self.batch.ids.entry(source).or_default().push((id, flow.at));
        }
        self.saw(flow.at.min(now));
    }

    fn saw(&mut self, at: Timestamp) {
        let window = self.window.get_or_insert(Window { from: at, to: at });
        window.from = window.from.min(at);
        window.to = window.to.max(at);
        self.batch.until = self.batch.until.max(Some(at));
    }

    fn sign(&mut self, node: Option<&NodeName>, until: Timestamp) {
        self.credit.sign(node.map(NodeName::as_str), until);
        self.saw(until);
    }

    /// An open gap is counted when it closes; until then it stands in the coverage as it is.
    fn gap(&mut self, gap: Gap) {
        self.covered_at = None;
        let key = (gap.node.clone(), gap.from);
        match gap.until {
            None if self.open.len() < GAPS => drop(self.open.insert(key, gap.why)),
            None => {}
            Some(until) => {
                self.open.remove(&key);
                if until > gap.from || gap.lost.is_some() {
                    let node = gap.node.as_ref().map(NodeName::as_str);
                    let why = gap.why.as_str();
                    self.lost(&Lost { node, from: gap.from, until, count: gap.lost, why });
                }
            }
        }
    }

    /// Its times are of the DNS server's clock: none is later than now.
    fn nameless(&mut self, gap: &Gap, now: Timestamp) {
        self.covered_at = None;
        if self.nameless.len() == GAPS {
            self.nameless.remove(0);
        }
        let why = Text::new(&format!("{NAMES}{}", gap.why));
        let (from, to) = (gap.from.min(now), gap.until.unwrap_or(gap.from).min(now));
        self.nameless.push(Hole { from, to, node: gap.node.clone(), lost: gap.lost, why });
    }

    fn lost(&mut self, lost: &Lost<'_>) {
        self.covered_at = None;
        self.credit.lost(lost);
    }

    /// Edges were dropped, because the disk took nothing and memory is full.
    pub fn lost_in_memory(&mut self, flows: u64, now: Timestamp) {
        if flows > 0 {
            self.told.lost_in_memory += flows;
            let why = "the disk took nothing, and there was no room left in memory";
            self.lost(&Lost { node: None, from: now, until: now, count: Some(flows), why });
        }
    }

    /// What has not been committed, and an empty desk for what comes.
    pub fn batch(&mut self, now: Timestamp, here: Instant) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch_at = here;
        batch.edges = self.ledger.drain().into_iter().collect();
        for (why, count) in self.ledger.left_out() {
            let before = self.left_out.insert(why, count).unwrap_or(0);
            if count > before {
                batch.left_out.insert(Text::new(why.as_str()), count - before);
            }
        }
        if self.is_stale(here) {
            self.cover(now, here);
            batch.coverage = Some(self.coverage.clone());
            self.answers.forget_before(now - NAMES_KEPT);
        }
        batch
    }

    fn is_stale(&self, here: Instant) -> bool {
        self.window.is_some() && self.covered_at.is_none_or(|at| here - at >= COVERAGE)
    }

    fn cover(&mut self, now: Timestamp, here: Instant) {
        let Some(window) = self.window else { return };
        // An open gap costs credit as long as it is open; it may turn out to have no length.
        let mut credit = self.credit.clone();
        for ((node, from), why) in &self.open {
            let (node, why) = (node.as_ref().map(NodeName::as_str), why.as_str());
            credit.lost(&Lost { node, from: *from, until: now.max(*from), count: None, why });
        }
        let mut coverage = credit.coverage(window);
        coverage.gaps.extend(self.nameless.iter().cloned());
        coverage.gaps.sort();
        coverage.gaps.dedup();
        self.coverage = coverage;
        self.covered_at = Some(here);
    }

    /// When something that waits is due.
    pub fn due(&self) -> Option<Instant> {
        [self.flows.due(), self.answers_held.due()].into_iter().flatten().min()
    }

    pub fn since_batch(&self, here: Instant) -> Duration {
        here.saturating_duration_since(self.batch_at)
    }

    pub fn edges(&self) -> usize {
        self.ledger.len()
    }

    pub fn window(&self) -> Option<Window> {
        self.window
    }

    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub fn figures(&self) -> Figures {
        self.told
    }

    pub fn names(&self) -> Counts {
        self.answers.counts()
    }
}

/// A flow names the pod beside its address.
fn meet(book: &mut AddressBook, side: &HeardSide, at: Timestamp) {
    if let (Some(address), Some(ns), Some(pod)) = (side.address, &side.ns, &side.pod) {
        book.seen(address, ns, pod, at);
    }
}
