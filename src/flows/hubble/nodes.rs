//! What is known of each node behind a relay: up to when its events were read, and where not.
//!
//! "Connected" is never a sign of life. Signs are an event of the node, or a seen-flows counter that
//! rose with unbroken uptime together with a re-read that came back whole. Pure: times are arguments.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use compact_str::CompactString;
use tokio::time::{Duration, Instant};

use crate::{
    cockpit::ports::{ClusterFact, Gap},
    domain::{
        evidence::Cause,
        names::{NodeName, Text},
        time::Timestamp,
    },
    pb::{observer::Node as Listed, relay::NodeState},
};

use super::decode::{Loss, Node, NodeWord, node_of};

/// Both clocks: the relay's, and the runtime's.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub there: Timestamp,
    pub here: Instant,
}

/// A node to be read again, because only its counter says that it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    pub name: NodeName,
    pub raw: CompactString,
    pub since: Timestamp,
    /// Its ring buffer did not turn over since then.
    covered: bool,
}

#[derive(Debug, Default)]
pub struct Nodes {
    table: BTreeMap<NodeName, Entry>,
    /// Signs not told yet: from where on, and up to when, the node was read.
    signs: BTreeMap<NodeName, (Timestamp, Timestamp)>,
}

#[derive(Debug)]
struct Entry {
    raw: CompactString,
    /// Everything of this node up to here was read, its gaps aside.
    read: Option<Timestamp>,
    /// First heard of at this relay time.
    known: Timestamp,
    sign_at: Instant,
    /// An event came since the last survey.
    spoke: bool,
    counters: Option<Counters>,
    /// Counters not later than `read`.
    mark: Option<Counters>,
    /// What `read` was when counters came last.
    surveyed: Option<Timestamp>,
    gap: Option<Open>,
    /// Surveys in a row that did not list it.
    missing: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    seen: u64,
    held: u64,
    uptime: Duration,
    /// When they were asked for.
    asked: Instant,
}

impl Counters {
    /// A relay may hand out what it heard long ago: then uptime stands still, too.
    const STALE: Duration = Duration::from_secs(10);

    fn is_stale(&self, old: &Self) -> bool {
        let passed = self.asked.saturating_duration_since(old.asked);
        self.uptime.saturating_sub(old.uptime) + Self::STALE < passed
    }
}

/// Invariant: `from <= told`.
#[derive(Debug)]
struct Open {
    from: Timestamp,
    told: Timestamp,
    why: Text,
}

impl Nodes {
    /// A node without a sign for so long is a gap.
    pub const SILENT: Duration = Duration::from_secs(120);
    /// A node that spoke this recently needs no re-read.
    const RECENT: Duration = Duration::from_secs(20);
    /// An event this much older than our first look is a replay, not a wrong clock.
    const REPLAYED: TimeDelta = TimeDelta::minutes(10);
    /// Nodes kept; more than any cluster Kubernetes supports.
    const LEN: usize = 6_000;

    /// An event of this node came on the stream.
    pub fn event(&mut self, node: &Node, at: Timestamp, here: Instant) -> Option<Gap> {
        let entry = self.entry(node, Moment { there: at, here })?;
        entry.sign_at = here;
        entry.spoke = true;
        let closed = match &entry.gap {
            Some(open) if at > open.told => entry.gap.take().map(|open| open.closed(node, at)),
            Some(_) | None => None,
        };
        if entry.known - at > Self::REPLAYED {
            // From before we were here: says nothing about what was read since.
            entry.heard(entry.known);
            return closed;
        }
        let from = entry.read.map_or(at, |read| read.min(at));
        entry.heard(at);
        self.sign(&node.name, from, at);
        closed
    }

    /// Signs that follow on one another become one.
    fn sign(&mut self, node: &NodeName, from: Timestamp, until: Timestamp) {
        let sign = self.signs.entry(node.clone()).or_insert((from, until));
        let follows = from <= sign.1 && until >= sign.0;
        *sign = if follows { (sign.0.min(from), sign.1.max(until)) } else { (from, until) };
    }

    /// Signs since the last call, one a node.
    pub fn signs(&mut self) -> impl Iterator<Item = ClusterFact> + use<> {
        std::mem::take(&mut self.signs).into_iter().map(|(node, (from, until))| ClusterFact::Heard {
            node,
            from,
            until,
        })
    }

    /// The relay says something about its connections.
    pub fn word(&mut self, word: &NodeWord, now: Moment) -> Vec<Gap> {
        let what = match word.state {
            NodeState::NodeUnavailable => "the relay cannot reach this node",
            NodeState::NodeGone => "the relay says this node is gone",
            NodeState::NodeError => "the relay's stream from this node broke",
            NodeState::NodeConnected | NodeState::UnknownNodeState => {
                for node in &word.nodes {
                    self.entry(node, now);
                }
                return Vec::new();
            }
        };
        let why = if word.message.is_empty() { what.to_owned() } else { format!("{what}: {}", word.message) };
        word.nodes.iter().filter_map(|node| self.entry(node, now)?.open(node, now, &why)).collect()
    }

    /// Events of a node were lost on the way.
    pub fn lost(&self, loss: &Loss, now: Timestamp) -> Gap {
        let read = loss.node.as_ref().and_then(|node| self.table.get(&node.name)?.read);
        let until = loss.last.unwrap_or(now);
        Gap {
            node: loss.node.as_ref().map(|node| node.name.clone()),
            from: loss.first.or(read).unwrap_or(until).min(until),
            until: Some(until),
            lost: Some(loss.count),
            cause: Cause::Loss,
            why: Text::new(loss.why),
        }
    }

    /// The relay's list with counters. Gaps that follow from it, and the nodes to read again.
    pub fn survey(&mut self, listed: &[Listed], now: Moment) -> (Vec<Gap>, Vec<Quiet>) {
        let mut gaps = Vec::new();
        let mut quiet = Vec::new();
        for entry in self.table.values_mut() {
            entry.missing = entry.missing.saturating_add(1);
        }
        for listed in listed.iter().take(Self::LEN) {
            let Some(node) = node_of(&listed.name) else { continue };
            let Some(entry) = self.entry(&node, now) else { continue };
            entry.missing = 0;
            if listed.state != NodeState::NodeConnected as i32 {
                gaps.extend(entry.open(&node, now, "the relay lists this node as unavailable"));
                continue;
            }
            let counters = Counters {
                seen: listed.seen_flows,
                held: listed.num_flows,
                uptime: Duration::from_nanos(listed.uptime_ns),
                asked: now.here,
            };
            let (gap, next) = entry.count(&node, counters, now);
            gaps.extend(gap);
            quiet.extend(next);
        }
        self.table.retain(|name, entry| {
            let stays = entry.missing < 3 || listed.is_empty();
            if !stays && let Some(open) = entry.gap.take() {
                gaps.push(open.ended(name, now.there));
            }
            stays
        });
        (gaps, quiet)
    }

    /// These nodes were read again from `since` up to a moment, without a loss.
    pub fn read_again(&mut self, quiet: &[(Quiet, Timestamp)], here: Instant) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (node, until) in quiet {
            let Some(entry) = self.table.get_mut(&node.name) else { continue };
            if *until <= node.since {
                continue;
            }
            // Only what its ring buffer still held was read without a break.
            let from = entry.read.filter(|_| node.covered).map_or(*until, |read| read.min(*until));
            if let Some(open) = entry.gap.take() {
                gaps.push(if node.covered {
                    open.healed(&node.name)
                } else {
                    open.ended(&node.name, *until)
                });
            } else if let (false, Some(read)) = (node.covered, entry.read) {
                gaps.push(turned_over(&node.name, read, *until));
            }
            entry.heard(*until);
            entry.sign_at = here;
            entry.mark = entry.counters;
            self.sign(&node.name, from, *until);
        }
        gaps
    }

    /// Nodes that gave no sign for too long, once each.
    pub fn silent(&mut self, now: Moment) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (name, entry) in &mut self.table {
            if !entry.is_unused()
                && entry.gap.is_none()
                && now.here.saturating_duration_since(entry.sign_at) >= Self::SILENT
            {
                let node = Node { raw: entry.raw.clone(), name: name.clone() };
                let why = format!("node {name} is silent though the relay lists it as connected");
                gaps.extend(entry.open(&node, now, &why));
            }
        }
        gaps
    }

    /// From where a new stream must read so that nothing between the two is missed.
    pub fn unread_since(&self) -> Option<Timestamp> {
        self.table.values().filter_map(|entry| entry.read).min()
    }

    /// After a break, read again from `since`: what the ring buffers do not hold any more is a gap.
    /// Call after [`Nodes::survey`]. `None`: the counters do not say.
    pub fn resumed(&mut self, since: Timestamp, now: Moment) -> Option<Vec<Gap>> {
        if self.table.values().all(|entry| entry.counters.is_none()) {
            return None;
        }
        let mut gaps = Vec::new();
        for (name, entry) in &mut self.table {
            // A new start for the silence clock: nobody could give a sign during the break.
            entry.sign_at = now.here;
            let (Some(read), None) = (entry.read, &entry.gap) else { continue };
            let covered = entry.covered().unwrap_or(false);
            if !covered || read < since {
                let until = if covered { since } else { now.there };
                gaps.push(turned_over(name, read, until));
                entry.heard(until);
                entry.mark = entry.counters;
            }
        }
        Some(gaps)
    }

    fn entry(&mut self, node: &Node, now: Moment) -> Option<&mut Entry> {
        if self.table.len() >= Self::LEN && !self.table.contains_key(&node.name) {
            return None;
        }
        Some(self.table.entry(node.name.clone()).or_insert_with(|| Entry {
            raw: node.raw.clone(),
            read: None,
            known: now.there,
            sign_at: now.here,
            spoke: false,
            counters: None,
            mark: None,
            surveyed: None,
            gap: None,
            missing: 0,
        }))
    }
}

impl Entry {
    fn heard(&mut self, at: Timestamp) {
        self.read = self.read.max(Some(at));
    }

    /// Nothing was ever seen on this node: there is nothing to interrupt.
    fn is_unused(&self) -> bool {
        self.read.is_none() && self.counters.is_some_and(|counters| counters.seen == 0)
    }

    /// Opens a gap, unless one is open.
    fn open(&mut self, node: &Node, now: Moment, why: &str) -> Option<Gap> {
        if self.gap.is_some() {
            return None;
        }
        let from = self.read.unwrap_or(self.known).min(now.there);
        let open = Open { from, told: now.there, why: Text::new(why) };
        let gap = open.gap(&node.name, None);
        self.gap = Some(open);
        Some(gap)
    }

    /// Takes new counters. A restart is a gap; a rise without an event asks for a re-read.
    fn count(&mut self, node: &Node, new: Counters, now: Moment) -> (Option<Gap>, Option<Quiet>) {
        let surveyed = std::mem::replace(&mut self.surveyed, self.read);
        let Some(old) = self.counters.replace(new) else {
            self.mark = Some(new);
            return (None, None);
        };
        if new.uptime < old.uptime || new.seen < old.seen {
            return (self.restarted(node, new, surveyed, now), None);
        }
        if new.is_stale(&old) {
            self.counters = Some(old);
            return (None, None);
        }
        if std::mem::take(&mut self.spoke) {
            self.mark = Some(old);
        }
        let recent = now.here.saturating_duration_since(self.sign_at) < Nodes::RECENT;
        if new.seen == old.seen || (recent && self.gap.is_none()) {
            return (None, None);
        }
        let quiet = Quiet {
            name: node.name.clone(),
            raw: self.raw.clone(),
            since: self.gap.as_ref().map(|open| open.from).or(self.read).unwrap_or(self.known),
            covered: self.covered().unwrap_or(false),
        };
        (None, Some(quiet))
    }

    /// The ring buffer died with the agent: what was not read until then is lost.
    fn restarted(
        &mut self,
        node: &Node,
        new: Counters,
        surveyed: Option<Timestamp>,
        now: Moment,
    ) -> Option<Gap> {
        self.mark = Some(new);
        self.spoke = false;
        let up = TimeDelta::from_std(new.uptime).unwrap_or(TimeDelta::MAX);
        let start = now.there.checked_sub_signed(up).unwrap_or(now.there);
        let read =
            self.read.map(|read| if read > start { surveyed.unwrap_or(read).min(start) } else { read });
        // What came after the start says nothing about what was not read before it.
        let from = self.gap.take().map(|open| open.from).or(read)?;
        let until = start.max(from);
        self.heard(until);
        Some(Gap {
            node: Some(node.name.clone()),
            from,
            until: Some(until),
            lost: None,
            cause: Cause::AgentRestart,
            why: Text::new("the agent on this node restarted and forgot what was not read"),
        })
    }

    /// Whether the ring buffer still holds all since `mark`. Other events share the buffer, hence
    /// the margin. `None`: the counters do not say.
    fn covered(&self) -> Option<bool> {
        let (mark, new) = (self.mark?, self.counters?);
        Some(
            new.uptime >= mark.uptime
                && new.seen.checked_sub(mark.seen).is_some_and(|rise| rise <= new.held / 10 * 9),
        )
    }
}

impl Open {
    fn gap(&self, node: &NodeName, until: Option<Timestamp>) -> Gap {
        Gap {
            node: Some(node.clone()),
            from: self.from,
            until,
            lost: None,
            cause: Cause::SourceSilent,
            why: self.why.clone(),
        }
    }

    fn closed(self, node: &Node, at: Timestamp) -> Gap {
        self.gap(&node.name, Some(at.max(self.from)))
    }

    fn ended(self, node: &NodeName, at: Timestamp) -> Gap {
        self.gap(node, Some(at.max(self.from)))
    }

    /// Nothing is missing after all: an interval without length.
    fn healed(self, node: &NodeName) -> Gap {
        let why = format!("{}; read again from history, nothing is missing", self.why);
        Gap { why: Text::new(&why), ..self.gap(node, Some(self.from)) }
    }
}

fn turned_over(node: &NodeName, from: Timestamp, until: Timestamp) -> Gap {
    Gap {
        node: Some(node.clone()),
        from,
        until: Some(until.max(from)),
        lost: None,
        cause: Cause::Loss,
        why: Text::new("the node's history does not reach back to where reading stopped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_772_409_600;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(START + secs, 0).expect("in range")
    }

    fn moment(start: Instant, secs: u64) -> Moment {
        Moment { there: at(secs as i64), here: start + Duration::from_secs(secs) }
    }

    fn event(nodes: &mut Nodes, start: Instant, secs: u64) {
        let node = node_of("east/a").expect("a node");
        nodes.event(&node, at(secs as i64), start + Duration::from_secs(secs));
    }

    /// What was told since the last call, in seconds.
    fn signs(nodes: &mut Nodes) -> Vec<(i64, i64)> {
        let secs = |at: Timestamp| at.timestamp() - START;
        let sign = |fact| match fact {
            ClusterFact::Heard { from, until, .. } => (secs(from), secs(until)),
            other => panic!("{other:?}"),
        };
        nodes.signs().map(sign).collect()
    }

    fn listed(seen: u64, uptime: u64) -> Listed {
        Listed {
            name: "east/a".to_owned(),
            state: NodeState::NodeConnected as i32,
            seen_flows: seen,
            num_flows: 4_095,
            max_flows: 4_095,
            uptime_ns: uptime * 1_000_000_000,
            ..Listed::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_says_from_where_on_the_node_was_read() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        event(&mut nodes, start, 10);
        assert_eq!(signs(&mut nodes), [(10, 10)], "the first one follows on nothing");
        for secs in [40, 70, 60] {
            event(&mut nodes, start, secs);
        }
        assert_eq!(signs(&mut nodes), [(10, 70)]);
        // Read again after its counter rose: from the last event on, as its ring still holds it.
        nodes.survey(&[listed(100, 1_000)], moment(start, 75));
        let (gaps, quiet) = nodes.survey(&[listed(200, 1_030)], moment(start, 105));
        let again: Vec<_> = quiet.into_iter().map(|quiet| (quiet, at(100))).collect();
        assert_eq!((gaps.len(), again.len()), (0, 1));
        nodes.read_again(&again, start + Duration::from_secs(105));
        assert_eq!(signs(&mut nodes), [(70, 100)]);
        // Its ring turned over: what came before is a gap, and the sign says nothing of it.
        let (_, quiet) = nodes.survey(&[listed(9_000, 1_060)], moment(start, 135));
        let again: Vec<_> = quiet.into_iter().map(|quiet| (quiet, at(130))).collect();
        let gaps = nodes.read_again(&again, start + Duration::from_secs(135));
        assert_eq!(gaps.len(), 1);
        assert_eq!(signs(&mut nodes), [(130, 130)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_is_noticed_after_new_events_still_is_a_gap_before_them() {
        let (mut nodes, start) = (Nodes::default(), Instant::now());
        event(&mut nodes, start, 20);
        nodes.survey(&[listed(100, 1_000)], moment(start, 30));
        event(&mut nodes, start, 34);
        nodes.survey(&[listed(120, 1_030)], moment(start, 60));
        // The agent starts anew at 70 and is heard before its counters are.
        event(&mut nodes, start, 80);
        let (gaps, _) = nodes.survey(&[listed(5, 20)], moment(start, 90));
        let said: Vec<_> = gaps.iter().map(|gap| (gap.cause, gap.from, gap.until)).collect();
        assert_eq!(said, [(Cause::AgentRestart, at(34), Some(at(70)))]);
    }
}
