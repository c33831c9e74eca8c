//! Turns signs of nodes and losses into coverage: which hours of which node were seen whole. Silence is
//! never credited, and a loss voids the hours it touches. No clock; `readiness` judges the result.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap};

use super::{
    coverage::{Coverage, Hole},
    edge::{Hours, Window, hour_of, hour_start},
    names::{NodeName, Text},
    sighting::Lost,
    time::Timestamp,
};

pub use super::readiness::{CronFinding, CronSeen, NEEDED, NamespaceCoverage, NamespaceFacts, readiness};

/// Why an hour without any sign is a hole.
pub const NO_SIGN: &str = "no sign of the node";

/// Signs and losses in the making. The order of telling does not matter. Times are taken as they are:
/// what a wrong clock says of the far future must be held back by the caller.
#[derive(Clone, Debug, Default)]
pub struct Credit {
    nodes: IndexMap<NodeName, Hours, RandomState>,
    /// Of sources that cannot name the node.
    unnamed: Hours,
    /// By node, cause and hour.
    losses: BTreeMap<(Option<NodeName>, Text, i64), Loss>,
    doubts: BTreeSet<Text>,
}

/// What was lost within one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loss {
    from: Timestamp,
    until: Timestamp,
    count: Option<u64>,
}

struct NodeRef<'a>(&'a str);

impl Credit {
    /// Most nodes kept; further ones are never credited.
    pub const NODES: usize = 20_000;
    /// Most hours with a loss kept, over all nodes and causes; beyond it losses are of all nodes and of one cause.
    pub const LOSSES: usize = 200_000;

    /// The node's telemetry was alive. `None`: the source cannot name nodes. A name with the cluster
    /// before it (`east/worker-1`) is the node's.
    pub fn sign(&mut self, node: Option<&str>, at: Timestamp) {
        let hour = hour_of(at);
        let Some(node) = node else { return mark(&mut self.unnamed, hour) };
        let node = bare(node);
        if let Some(hours) = self.nodes.get_mut(&NodeRef(node)) {
            return mark(hours, hour);
        }
        if let Ok(node) = NodeName::parse(node)
            && self.nodes.len() < Self::NODES
        {
            mark(self.nodes.entry(node).or_default(), hour);
        }
    }

    /// Something was lost: every hour that the loss touches is void. Without a node, or with one that
    /// cannot be: on all nodes.
    pub fn lost(&mut self, loss: &Lost<'_>) {
        let node = loss.node.and_then(|node| NodeName::parse(bare(node)).ok());
        let until = loss.until.max(loss.from);
        self.void(node.as_ref(), &Text::new(loss.why), (loss.from, until), loss.count);
    }

    /// Something is missing for the whole window.
    pub fn doubt(&mut self, why: Text) {
        self.doubts.insert(why);
    }

    /// Goes on from what was stored.
    pub fn resume(&mut self, coverage: &Coverage) {
        for (node, hours) in &coverage.credited {
            match node {
                Some(node) => self.nodes.entry(node.clone()).or_default().union(hours),
                None => self.unnamed.union(hours),
            }
        }
        for hole in coverage.gaps.iter().filter(|hole| hole.why.as_str() != NO_SIGN) {
            self.void(hole.node.as_ref(), &hole.why, (hole.from, hole.to), hole.lost);
        }
        self.doubts.extend(coverage.doubts.iter().cloned());
    }

    /// Takes in what another thread was told.
    pub fn merge(&mut self, other: Self) {
        for (node, hours) in other.nodes {
            self.nodes.entry(node).or_default().union(&hours);
        }
        self.unnamed.union(&other.unnamed);
        for (key, loss) in other.losses {
            self.put(key, loss);
        }
        self.doubts.extend(other.doubts);
    }

    /// What was seen of the window. An hour is credited on a node that gave a sign in it, where
    /// nothing of it was lost. Hours of a known node without a sign are holes too.
    pub fn coverage(&self, window: Window) -> Coverage {
        let mut out = Coverage { doubts: self.doubts.iter().cloned().collect(), ..Coverage::default() };
        let named = self.nodes.iter().map(|(node, hours)| (Some(node), hours));
        let unnamed = (!self.unnamed.is_empty()).then_some((None, &self.unnamed));
        for (node, signed) in named.chain(unnamed) {
            let (mut credited, mut silent) = (Hours::default(), Hours::default());
            let void = self.voided(node);
            for hour in newest(window) {
                match (signed.contains(hour), void.contains(&hour)) {
                    (_, true) => {}
                    (true, false) => credited.insert(hour),
                    (false, false) => silent.insert(hour),
                }
            }
            out.credited.insert(node.cloned(), credited);
            out.gaps.extend(silent_holes(&silent, node, window));
        }
        out.gaps.extend(self.loss_holes(window));
        out.gaps.sort();
        out
    }

    /// Hours in which something of this node, or of all, was lost.
    fn voided(&self, node: Option<&NodeName>) -> BTreeSet<i64> {
        let touches = |of: &Option<NodeName>| of.is_none() || of.as_ref() == node;
        self.losses.keys().filter(|(of, _, _)| touches(of)).map(|(_, _, hour)| *hour).collect()
    }

    /// Losses of neighbouring hours, of one node and cause, as one hole.
    fn loss_holes(&self, window: Window) -> Vec<Hole> {
        let mut out: Vec<(i64, Hole)> = Vec::new();
        for ((node, why, hour), loss) in &self.losses {
            if !newest(window).contains(hour) {
                continue;
            }
            match out.last_mut() {
                Some((before, hole)) if *before + 1 == *hour && hole.node == *node && hole.why == *why => {
                    *before = *hour;
                    hole.to = hole.to.max(loss.until);
                    hole.lost = sum(hole.lost, loss.count);
                }
                Some(_) | None => {
                    let (node, why) = (node.clone(), why.clone());
                    out.push((*hour, Hole { from: loss.from, to: loss.until, node, lost: loss.count, why }));
                }
            }
        }
        out.into_iter().map(|(_, hole)| hole).collect()
    }

    fn void(
        &mut self,
        node: Option<&NodeName>,
        why: &Text,
        (from, until): (Timestamp, Timestamp),
        count: Option<u64>,
    ) {
        let touched = Window { from, to: until }.hours();
        let newest = touched.end.max(touched.start + 1);
        for hour in touched.start.max(newest - Hours::SPAN)..newest {
            let (begins, ends) = (hour_start(hour), hour_start(hour + 1));
            // The count is known for the whole only: it stands at the beginning.
            let count = count.filter(|_| begins <= from);
            let loss = Loss { from: from.max(begins), until: until.min(ends).max(from.max(begins)), count };
            self.put((node.cloned(), why.clone(), hour), loss);
        }
    }

    fn put(&mut self, key: (Option<NodeName>, Text, i64), loss: Loss) {
        let full = self.losses.len() >= Self::LOSSES && !self.losses.contains_key(&key);
        let key = if full { (None, Text::new("too many losses to tell apart"), key.2) } else { key };
        let known = self.losses.entry(key).or_insert_with(|| Loss { count: None, ..loss });
        known.from = known.from.min(loss.from);
        known.until = known.until.max(loss.until);
        known.count = sum(known.count, loss.count);
    }
}

/// The hours of a window, as many as are kept.
fn newest(window: Window) -> std::ops::Range<i64> {
    let hours = window.hours();
    hours.start.max(hours.end - Hours::SPAN)..hours.end
}

/// Hours in a row as one hole, cut to the window.
fn silent_holes(silent: &Hours, node: Option<&NodeName>, window: Window) -> Vec<Hole> {
    let mut out: Vec<Hole> = Vec::new();
    for hour in silent.iter() {
        let (from, to) = (hour_start(hour).max(window.from), hour_start(hour + 1).min(window.to));
        match out.last_mut() {
            Some(hole) if hole.to == from => hole.to = to,
            Some(_) | None => {
                out.push(Hole { from, to, node: node.cloned(), lost: None, why: Text::new(NO_SIGN) });
            }
        }
    }
    out
}

fn mark(hours: &mut Hours, hour: i64) {
    if !hours.contains(hour) {
        hours.insert(hour);
    }
}

fn bare(node: &str) -> &str {
    node.rsplit_once('/').map_or(node, |(_, node)| node)
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

impl Hash for NodeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<NodeName> for NodeRef<'_> {
    fn equivalent(&self, key: &NodeName) -> bool {
        self.0 == key.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes after a Monday at midnight.
    fn at(minute: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_409_600 + minute * 60, 0).expect("in range")
    }

    fn hour(n: i64) -> i64 {
        hour_of(at(0)) + n
    }

    fn window(hours: i64) -> Window {
        Window { from: at(0), to: at(hours * 60) }
    }

    fn lost(node: Option<&'static str>, from: i64, until: i64, count: Option<u64>) -> Lost<'static> {
        Lost { node, from: at(from), until: at(until), count, why: "ring buffer" }
    }

    fn hole(node: Option<&str>, from: i64, to: i64, lost: Option<u64>, why: &str) -> Hole {
        let node = node.map(|node| NodeName::parse(node).expect("a name"));
        Hole { from: at(from), to: at(to), node, lost, why: Text::new(why) }
    }

    fn credited(coverage: &Coverage, node: Option<&str>) -> Vec<i64> {
        let node = node.map(|node| NodeName::parse(node).expect("a name"));
        coverage.credited[&node].iter().map(|at| at - hour(0)).collect()
    }

    #[test]
    fn an_hour_counts_with_a_sign_and_without_a_loss() {
        let mut credit = Credit::default();
        for minute in [5, 65, 130, 190, 250] {
            credit.sign(Some("east/worker-1"), at(minute));
        }
        credit.sign(Some("worker-2"), at(70));
        credit.lost(&lost(Some("worker-1"), 100, 130, Some(7)));
        credit.lost(&lost(Some("worker-1"), 185, 185, Some(2)));
        let coverage = credit.coverage(window(5));
        assert_eq!(credited(&coverage, Some("worker-1")), [0, 4]);
        assert_eq!(credited(&coverage, Some("worker-2")), [1]);
        let expected = [
            hole(Some("worker-2"), 0, 60, None, NO_SIGN),
            hole(Some("worker-1"), 100, 185, Some(9), "ring buffer"),
            hole(Some("worker-2"), 120, 300, None, NO_SIGN),
        ];
        assert_eq!(coverage.gaps, expected);
    }

    #[test]
    fn a_loss_that_ends_with_the_hour_leaves_the_next_one_alone() {
        let mut credit = Credit::default();
        (0..4).for_each(|n| credit.sign(None, at(n * 60)));
        credit.lost(&lost(None, 60, 120, None));
        let coverage = credit.coverage(window(4));
        assert_eq!(credited(&coverage, None), [0, 2, 3]);
        assert_eq!(coverage.gaps, [hole(None, 60, 120, None, "ring buffer")]);
    }

    #[test]
    fn a_loss_of_an_unknown_node_voids_all_of_them() {
        let mut credit = Credit::default();
        for node in [None, Some("worker-1")] {
            (0..3).for_each(|n| credit.sign(node, at(n * 60)));
        }
        credit.lost(&lost(Some("no such\u{1b}node"), 70, 71, None));
        let coverage = credit.coverage(window(3));
        assert_eq!(credited(&coverage, None), [0, 2]);
        assert_eq!(credited(&coverage, Some("worker-1")), [0, 2]);
    }

    #[test]
    fn what_was_told_in_parts_or_stored_between_is_the_same() {
        let (mut one, mut other) = (Credit::default(), Credit::default());
        (0..9).for_each(|n| one.sign(Some("worker-1"), at(n * 60)));
        (9..24).for_each(|n| other.sign(Some("worker-1"), at(n * 60)));
        other.lost(&lost(Some("worker-1"), 60, 200, Some(3)));
        one.lost(&lost(None, 1_200, 1_201, None));
        other.doubt("answers: the clients are node addresses".into());
        let (mut a, mut b) = (one.clone(), other.clone());
        a.merge(other.clone());
        b.merge(one.clone());
        let whole = a.coverage(window(24));
        assert_eq!(credited(&whole, Some("worker-1")).len(), 24 - 3 - 1);
        assert_eq!(b.coverage(window(24)), whole);
        let mut resumed = Credit::default();
        resumed.resume(&one.coverage(window(24)));
        resumed.merge(other);
        assert_eq!(resumed.coverage(window(24)), whole);
    }
}
