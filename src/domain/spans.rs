//! Sets of minutes: what a soak counts in. A minute is in or out, never in part; who turns moments
//! into minutes rounds against the clock's favour (`inside` for what was seen, `touched` for what was
//! lost). Pure arithmetic on minutes since 1970.

use std::ops::Range;

use super::time::Timestamp;

/// Minutes since 1970-01-01T00:00Z.
pub type Minute = i64;

/// The minute that a moment falls into.
pub fn minute_of(at: Timestamp) -> Minute {
    at.timestamp().div_euclid(60)
}

/// The beginning of a minute; 1970 where the number is beyond the calendar.
pub fn minute_start(minute: Minute) -> Timestamp {
    Timestamp::from_timestamp(minute.saturating_mul(60), 0).unwrap_or_default()
}

/// Whole minutes that lie entirely between two moments: what may be credited.
pub fn inside(from: Timestamp, until: Timestamp) -> Range<Minute> {
    let whole = from.timestamp().rem_euclid(60) == 0 && from.timestamp_subsec_nanos() == 0;
    let first = minute_of(from) + i64::from(!whole);
    first..minute_of(until).max(first)
}

/// Minutes that two moments and all between them touch: what is void. At least one.
pub fn touched(from: Timestamp, until: Timestamp) -> Range<Minute> {
    let whole = until.timestamp().rem_euclid(60) == 0 && until.timestamp_subsec_nanos() == 0;
    let first = minute_of(from);
    let end = minute_of(until) + i64::from(!whole);
    first..end.max(first + 1)
}

/// A set of minutes.
///
/// Invariant: sorted, disjoint, not touching one another, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Range<Minute>>);

impl Spans {
    pub fn of(ranges: impl IntoIterator<Item = Range<Minute>>) -> Self {
        let mut out = Self::default();
        ranges.into_iter().for_each(|range| out.insert(range));
        out
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<Minute>> + '_ {
        self.0.iter().cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many stretches it is made of.
    pub fn stretches(&self) -> usize {
        self.0.len()
    }

    /// How many minutes are in it.
    pub fn minutes(&self) -> i64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    pub fn contains(&self, minute: Minute) -> bool {
        let at = self.0.partition_point(|range| range.end <= minute);
        self.0.get(at).is_some_and(|range| range.start <= minute)
    }

    pub fn insert(&mut self, range: Range<Minute>) {
        if range.is_empty() {
            return;
        }
        // What touches the new stretch becomes part of it.
        let from = self.0.partition_point(|other| other.end < range.start);
        let to = self.0.partition_point(|other| other.start <= range.end);
        let joined = match self.0.get(from..to) {
            Some([first, .., last]) => first.start.min(range.start)..last.end.max(range.end),
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            Some([]) | None => range,
        };
        self.0.splice(from..to, [joined]);
    }

    pub fn remove(&mut self, range: Range<Minute>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|other| other.end <= range.start);
        let to = self.0.partition_point(|other| other.start < range.end);
        if from >= to {
            return;
        }
        let before = self.0[from].start..range.start;
        let after = range.end..self.0[to - 1].end;
        self.0.splice(from..to, [before, after].into_iter().filter(|rest| !rest.is_empty()));
    }

    /// One pass over both.
    pub fn union(&mut self, other: &Self) {
        match (self.0.last(), other.0.first()) {
            (_, None) => return,
            (None, Some(_)) => return self.0.clone_from(&other.0),
            // What goes on where this ends is the usual case.
            (Some(last), Some(first)) if last.end < first.start => {
                return self.0.extend(other.iter());
            }
            (Some(_), Some(_)) => {}
        }
        let mine = std::mem::take(&mut self.0);
        let mut out: Vec<Range<Minute>> = Vec::with_capacity(mine.len() + other.0.len());
        let (mut mine, mut theirs) = (mine.into_iter().peekable(), other.iter().peekable());
        loop {
            let next = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a.start <= b.start => mine.next(),
                (_, Some(_)) => theirs.next(),
                (_, None) => mine.next(),
            };
            let Some(next) = next else { break };
            match out.last_mut() {
                Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
                Some(_) | None => out.push(next),
            }
        }
        self.0 = out;
    }

    /// One pass over both.
    pub fn subtract(&mut self, other: &Self) {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return };
        let (from, until) = (first.start, last.end);
        let begin = other.0.partition_point(|cut| cut.end <= from);
        let mut cuts = other.0[begin..].iter().take_while(|cut| cut.start < until).peekable();
        if cuts.peek().is_none() {
            return;
        }
        let mut out: Vec<Range<Minute>> = Vec::with_capacity(self.0.len());
        for range in &self.0 {
            let mut start = range.start;
            while let Some(cut) = cuts.peek().copied() {
                if cut.start >= range.end {
                    break;
                }
                if cut.start > start {
                    out.push(start..cut.start);
                }
                start = start.max(cut.end);
                if cut.end > range.end {
                    // It may reach into the next stretch.
                    break;
                }
                cuts.next();
            }
            if start < range.end {
                out.push(start..range.end);
            }
        }
        self.0 = out;
    }

    /// The newest minute.
    pub fn last(&self) -> Option<Minute> {
        self.0.last().map(|range| range.end - 1)
    }

    /// Forgets the oldest stretches until so many are left.
    pub fn keep_newest(&mut self, stretches: usize) {
        let over = self.0.len().saturating_sub(stretches);
        self.0.drain(..over);
    }

    /// Makes neighbours one, closest to the oldest first, until so many are left: it grows.
    pub fn fuse_oldest(&mut self, stretches: usize) {
        let over = self.0.len().saturating_sub(stretches.max(1));
        if over > 0 {
            let joined = self.0[0].start..self.0[over].end;
            self.0.splice(..=over, [joined]);
        }
    }

    /// Minutes that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut out = Vec::new();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let both = a.start.max(b.start)..a.end.min(b.end);
            if !both.is_empty() {
                out.push(both);
            }
            if a.end <= b.end {
                mine.next()
            } else {
                theirs.next()
            };
        }
        Self(out)
    }

    /// Only what lies in `window`.
    pub fn clip(&mut self, window: Range<Minute>) {
        self.remove(i64::MIN..window.start);
        self.remove(window.end..i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(secs, 0).expect("in range")
    }

    #[test]
    fn what_was_seen_rounds_inwards_and_what_was_lost_outwards() {
        assert_eq!(inside(at(0), at(120)), 0..2);
        assert_eq!(inside(at(1), at(119)), 1..1);
        assert_eq!(inside(at(30), at(40)), 1..1);
        assert_eq!(touched(at(0), at(120)), 0..2);
        assert_eq!(touched(at(59), at(61)), 0..2);
        assert_eq!(touched(at(60), at(60)), 1..2);
        assert_eq!(touched(at(-1), at(-1)), -1..0);
    }

    #[test]
    fn neighbours_become_one_stretch() {
        let mut spans = Spans::of([0..5, 10..15]);
        spans.insert(5..10);
        assert_eq!(spans, Spans::of([0..15, 0..1]));
        spans.remove(3..4);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [0..3, 4..15]);
        assert_eq!(spans.minutes(), 14);
    }

    /// The second opinion: minutes one by one.
    fn minutes(spans: &Spans) -> BTreeSet<i64> {
        spans.iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_minutes(steps in prop::collection::vec((any::<bool>(), 0i64..60, 0i64..12), 0..40), other in prop::collection::vec((0i64..60, 0i64..12), 0..8)) {
            let (mut spans, mut naive) = (Spans::default(), BTreeSet::new());
            for (adds, from, len) in steps {
                if adds {
                    spans.insert(from..from + len);
                    naive.extend(from..from + len);
                } else {
                    spans.remove(from..from + len);
                    naive.retain(|minute| !(from..from + len).contains(minute));
                }
                prop_assert_eq!(&minutes(&spans), &naive);
                let stretches: Vec<_> = spans.iter().collect();
                prop_assert!(stretches.iter().all(|range| !range.is_empty()));
                prop_assert!(stretches.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            let other = Spans::of(other.into_iter().map(|(from, len)| from..from + len));
            let both: BTreeSet<_> = naive.intersection(&minutes(&other)).copied().collect();
            prop_assert_eq!(minutes(&spans.intersection(&other)), both);
            let mut rest = spans.clone();
            rest.subtract(&other);
            prop_assert_eq!(minutes(&rest), naive.difference(&minutes(&other)).copied().collect());
            let mut all = spans.clone();
            all.union(&other);
            prop_assert_eq!(minutes(&all), naive.union(&minutes(&other)).copied().collect());
            for spans in [rest, all] {
                let stretches: Vec<_> = spans.iter().collect();
                prop_assert!(stretches.iter().all(|range| !range.is_empty()));
                prop_assert!(stretches.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
