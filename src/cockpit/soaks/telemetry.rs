//! What one cluster's flow source proved of each node: minutes that were read whole, and minutes that
//! were lost. "Connected" is never a sign. Facts may come late, repeated or in any order; that can cost
//! credit and never gives any.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::{
    cockpit::ports::{Gap, Link, SourceState},
    domain::{
        evidence::{Cause, Pause},
        names::{NodeName, Text},
        soak::Source,
        source::SourceKind,
        spans::{Minute, Spans, inside, minute_of, touched},
        time::Timestamp,
    },
};

/// A clock may be this much ahead of ours; what it says beyond that is not believed.
pub const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// Minutes kept: credit lapses long before.
pub const KEPT: i64 = 31 * 24 * 60;
/// Stretches kept of one node and kind. Beyond, credit is forgotten and losses grow together.
pub const STRETCHES: usize = 2_000;

/// Minutes that do not count, by cause, with one example in words.
#[derive(Clone, Debug, Default)]
pub struct Blots(BTreeMap<Cause, (Spans, Text)>);

impl Blots {
    pub fn note(&mut self, cause: Cause, minutes: std::ops::Range<Minute>, why: &Text) {
        let (spans, words) = self.0.entry(cause).or_default();
        spans.insert(minutes);
        spans.fuse_oldest(STRETCHES);
        words.clone_from(why);
    }

    pub fn pauses(&self) -> impl Iterator<Item = Pause> + '_ {
        self.0.iter().map(|(cause, (spans, why))| Pause {
            cause: *cause,
            spans: spans.clone(),
            why: why.clone(),
        })
    }

    /// Those of these minutes, without a copy of the others.
    pub fn within<'b>(&'b self, window: &'b Spans) -> impl Iterator<Item = Pause> + 'b {
        self.0.iter().filter_map(|(cause, (spans, why))| {
            let spans = spans.intersection(window);
            (!spans.is_empty()).then(|| Pause { cause: *cause, spans, why: why.clone() })
        })
    }

    pub fn forget_before(&mut self, oldest: Minute) {
        self.0.values_mut().for_each(|(spans, _)| spans.remove(i64::MIN..oldest));
        self.0.retain(|_, (spans, _)| !spans.is_empty());
    }
}

/// One node.
#[derive(Clone, Debug, Default)]
struct Life {
    /// Read without a break between these two.
    read: Option<(Timestamp, Timestamp)>,
    heard: Spans,
    void: Blots,
}

/// The flow source of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    nodes: BTreeMap<NodeName, Life>,
    /// Of the whole source.
    whole: Blots,
    /// Not closed yet, at most [`Telemetry::OPEN`].
    open: Vec<Gap>,
    kind: SourceKind,
    link: Option<Link>,
    /// Of a source that tells no gaps of its own: since when it is not live.
    dead: Option<Timestamp>,
}

impl Telemetry {
    /// More than any cluster Kubernetes supports has nodes.
    const NODES: usize = 6_000;
    const OPEN: usize = 12_000;

    pub fn source(&self) -> Source {
        match &self.link {
            None => Source::Unknown,
            Some(Link::None(_)) => Source::None,
            Some(Link::Connecting | Link::Live | Link::Broken(_)) => Source::Known(self.kind),
        }
    }

    /// Why there is no source here.
    pub fn missing(&self) -> Option<&Text> {
        match &self.link {
            Some(Link::None(why)) => Some(why),
            Some(Link::Connecting | Link::Live | Link::Broken(_)) | None => None,
        }
    }

    /// Nodes that ever gave a sign and were not lost since.
    pub fn nodes(&self, now: Timestamp) -> impl Iterator<Item = &NodeName> {
        let recent = minute_of(now) - 24 * 60;
        self.nodes
            .iter()
            .filter(move |(_, life)| life.heard.last().is_some_and(|last| last >= recent))
            .map(|(node, _)| node)
    }

    /// Everything of this node between these two moments was read.
    pub fn heard(&mut self, node: &NodeName, (from, until): (Timestamp, Timestamp), now: Timestamp) {
        if until > now + AHEAD || from > until {
            return;
        }
        if self.nodes.len() >= Self::NODES && !self.nodes.contains_key(node) {
            return;
        }
        let life = self.nodes.entry(node.clone()).or_default();
        let (first, last) = match life.read {
            Some((first, last)) if from <= last && until >= first => (first.min(from), last.max(until)),
            Some(_) | None => (from, until),
        };
        // What is forgotten by now stays so: its losses are, too.
        let joined = (first.max(now - TimeDelta::minutes(KEPT)), last);
        // Of a stretch told late the newer one goes on.
        if life.read.is_none_or(|(_, last)| joined.1 >= last) {
            life.read = Some(joined);
        }
        life.heard.insert(inside(joined.0, joined.1));
        life.heard.keep_newest(STRETCHES);
    }

    pub fn gap(&mut self, gap: &Gap, now: Timestamp) {
        self.open.retain(|open| open.node != gap.node || open.from != gap.from);
        let Some(until) = gap.until else {
            // More at once than there can be nodes: then it is the source that is lost.
            let node = gap.node.clone().filter(|_| self.open.len() < Self::OPEN);
            self.open.truncate(Self::OPEN);
            self.open.push(Gap { node, ..gap.clone() });
            return;
        };
        // Read again in full; a loss or a restart is one at whatever moment.
        if until <= gap.from && gap.lost.is_none() && gap.cause == Cause::SourceSilent {
            return;
        }
        self.void(gap.node.as_ref(), gap.cause, (gap.from, until.max(gap.from)), &gap.why, now);
    }

    pub fn told(&mut self, state: &SourceState, now: Timestamp) {
        self.kind = state.kind;
        let is_live = state.link == Link::Live;
        // Where there is none, nothing is interrupted.
        let is_there = !matches!(state.link, Link::None(_));
        self.link = Some(state.link.clone());
        if !self.kind.needs_heartbeat() {
            self.dead = None;
        } else if is_there && !is_live {
            self.dead.get_or_insert(now);
        } else if let Some(from) = self.dead.take() {
            self.whole.note(
                Cause::SourceSilent,
                touched(from, now),
                &Text::new("the source was not connected"),
            );
        }
    }

    fn void(
        &mut self,
        node: Option<&NodeName>,
        cause: Cause,
        (from, until): (Timestamp, Timestamp),
        why: &Text,
        now: Timestamp,
    ) {
        let kept = now - TimeDelta::minutes(KEPT);
        let minutes = touched(from.clamp(kept, now + AHEAD), until.clamp(kept, now + AHEAD));
        match node {
            None => self.whole.note(cause, minutes, why),
            Some(node) if self.nodes.len() < Self::NODES || self.nodes.contains_key(node) => {
                self.nodes.entry(node.clone()).or_default().void.note(cause, minutes, why);
            }
            // A node beyond all limits is never credited.
            Some(_) => {}
        }
    }

    /// Minutes of which everything of this node was read.
    pub fn proved(&self, node: &NodeName) -> Option<&Spans> {
        self.nodes.get(node).map(|life| &life.heard)
    }

    /// What was lost of this node in these minutes; an open gap reaches up to now.
    pub fn lost(&self, node: &NodeName, window: &Spans, now: Timestamp) -> Vec<Pause> {
        let open = self.open.iter().filter(|gap| gap.node.as_ref() == Some(node));
        let closed = self.nodes.get(node).into_iter().flat_map(|life| life.void.within(window));
        closed.chain(open.filter_map(|gap| cut(still_open(gap, now), window))).collect()
    }

    /// Those of these minutes of which nothing was read of any node.
    pub fn pauses(&self, window: &Spans, now: Timestamp) -> Vec<Pause> {
        let open = self.open.iter().filter(|gap| gap.node.is_none()).map(|gap| still_open(gap, now));
        let dead = self.dead.map(|from| Pause {
            cause: Cause::SourceSilent,
            spans: Spans::of([touched(from, now.max(from))]),
            why: Text::new("the source is not connected"),
        });
        self.whole.within(window).chain(open.chain(dead).filter_map(|pause| cut(pause, window))).collect()
    }

    pub fn forget_before(&mut self, oldest: Minute) {
        for life in self.nodes.values_mut() {
            life.heard.remove(i64::MIN..oldest);
            life.void.forget_before(oldest);
        }
        self.nodes.retain(|_, life| !life.heard.is_empty() || !life.void.0.is_empty() || life.read.is_some());
        self.whole.forget_before(oldest);
    }
}

/// A pause inside these minutes.
pub fn cut(pause: Pause, window: &Spans) -> Option<Pause> {
    let spans = pause.spans.intersection(window);
    (!spans.is_empty()).then_some(Pause { spans, ..pause })
}

fn still_open(gap: &Gap, now: Timestamp) -> Pause {
    let from = gap.from.clamp(now - TimeDelta::minutes(KEPT), now);
    // The minute that runs now cannot be whole either.
    let spans = Spans::of([touched(from, now)]);
    Pause { cause: gap.cause, spans, why: gap.why.clone() }
}
