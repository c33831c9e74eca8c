//! A zone as a table of its offsets from UTC: fixed, or with every change of daylight saving that is
//! known. Whoever reads `sluice.yaml` makes the table; nothing here knows a place or reads a clock.

use chrono::{FixedOffset, NaiveDateTime, Offset as _, TimeDelta, Utc};

use super::time::Timestamp;

/// Invariant: the changes ascend, and every offset lies within a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of UTC before the first change.
    first: i32,
    /// From when on, and to what, in seconds east.
    changes: Vec<(Timestamp, i32)>,
}

impl Zone {
    pub fn fixed(secs_east: i32) -> Self {
        Self { first: secs_east, changes: Vec::new() }
    }

    /// `first` holds before the first change.
    pub fn of(first: i32, mut changes: Vec<(Timestamp, i32)>) -> Self {
        changes.sort_unstable();
        Self { first, changes }
    }

    /// What clocks there show at a moment.
    pub fn offset(&self, at: Timestamp) -> FixedOffset {
        let newest = self.changes.partition_point(|(from, _)| *from <= at).checked_sub(1);
        let secs = newest.map_or(self.first, |nth| self.changes[nth].1);
        FixedOffset::east_opt(secs).unwrap_or_else(|| Utc.fix())
    }

    /// The first moment at which clocks there show this time or, where it is skipped, a later one.
    pub fn moment(&self, local: NaiveDateTime) -> Option<Timestamp> {
        // No zone is further from UTC than a day, and none changes twice within two.
        let day = TimeDelta::days(1);
        let before = self.offset(local.checked_sub_signed(day)?.and_utc());
        let after = self.offset(local.checked_add_signed(day)?.and_utc());
        let by = |offset: FixedOffset| {
            let at = local.and_utc() - TimeDelta::seconds(offset.local_minus_utc().into());
            (self.offset(at) == offset).then_some(at)
        };
        by(before).or_else(|| by(after)).or_else(|| {
            let late = local.and_utc() - TimeDelta::seconds(before.local_minus_utc().into());
            self.changes.iter().rev().map(|(from, _)| *from).find(|from| *from <= late)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Berlin's year of 2026 by hand (Directive 2000/84/EC): from +1 to +2 on 29 March, back on
    /// 25 October, both at 01:00 UTC.
    fn berlin() -> Zone {
        Zone::of(3_600, vec![(at("2026-03-29T01:00:00Z"), 7_200), (at("2026-10-25T01:00:00Z"), 3_600)])
    }

    #[test]
    fn clocks_show_what_holds_at_the_moment() {
        for (moment, shown) in [
            ("2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"),
            ("2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"),
            ("2026-10-25T00:59:59Z", "2026-10-25T02:59:59+02:00"),
            ("2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00"),
        ] {
            let local = at(moment).with_timezone(&berlin().offset(at(moment)));
            assert_eq!(local.to_rfc3339(), shown);
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first_and_one_that_is_skipped_the_change() {
        for (local, moment) in [
            ("2026-03-29T01:30:00", "2026-03-29T00:30:00Z"),
            ("2026-03-29T02:30:00", "2026-03-29T01:00:00Z"),
            ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
            ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
        ] {
            let local: NaiveDateTime = local.parse().expect("a time");
            assert_eq!(berlin().moment(local), Some(at(moment)), "{local}");
        }
        let local = "2026-07-01T09:00:00".parse().expect("a time");
        assert_eq!(Zone::fixed(-12_600).moment(local), Some(at("2026-07-01T12:30:00Z")));
    }
}
