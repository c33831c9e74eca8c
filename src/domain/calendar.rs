//! When rows may be applied: working hours and blocked days of `sluice.yaml`. Rollback asks nobody.
//! Days and hours are those of one zone, through its changes of daylight saving; nothing here reads a
//! clock.

use chrono::{Datelike as _, Days, FixedOffset, NaiveDate, NaiveTime, Offset as _, Utc, Weekday};

use super::{names::Text, time::Timestamp, zone::Zone};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingHours {
    pub zone: Zone,
    pub days: Vec<Weekday>,
    pub from: NaiveTime,
    /// Not included; after `from`.
    pub until: NaiveTime,
}

/// From and to, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedDays {
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub why: Text,
}

/// Both together.
#[derive(Clone, Copy, Debug)]
pub struct Calendar<'s> {
    /// `None`: always.
    pub hours: Option<&'s WorkingHours>,
    /// Days in the zone of `hours`, else in UTC.
    pub blocked: &'s [BlockedDays],
}

/// Why nothing is applied at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed<'s> {
    Hours(&'s WorkingHours),
    Blocked(&'s BlockedDays),
}

impl<'s> Calendar<'s> {
    /// Closed stretches that are looked over for the next opening.
    const STEPS: usize = 2_000;

    /// Everything that closes this moment, blocked days first.
    pub fn closed(&self, at: Timestamp) -> Vec<Closed<'s>> {
        let local = at.with_timezone(&self.zone(at));
        let blocked = self.blocking(local.date_naive()).map(Closed::Blocked);
        let off = |hours: &&WorkingHours| {
            let time = local.time();
            !(hours.days.contains(&local.weekday()) && hours.from <= time && time < hours.until)
        };
        blocked.into_iter().chain(self.hours.filter(off).map(Closed::Hours)).collect()
    }

    /// The first moment from this one on at which something may be applied; `None`: not within years.
    pub fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        let mut at = at;
        for _ in 0..Self::STEPS {
            let local = at.with_timezone(&self.zone(at));
            let (date, time) = (local.date_naive(), local.time());
            if let Some(days) = self.blocking(date) {
                at = self.midnight_after(days.to)?;
                continue;
            }
            let Some(hours) = self.hours else { return Some(at) };
            if !hours.days.contains(&date.weekday()) || time >= hours.until {
                at = self.midnight_after(date)?;
            } else if time < hours.from {
                let opens = self.at(date, hours.from)?;
                // Where the whole of them is skipped, it does not open that day.
                if self.closed(opens).is_empty() {
                    return Some(opens);
                }
                at = opens;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn blocking(&self, date: NaiveDate) -> Option<&'s BlockedDays> {
        self.blocked.iter().find(|days| days.from <= date && date <= days.to)
    }

    /// What clocks of its zone show at a moment; UTC where no hours are given.
    pub fn zone(&self, at: Timestamp) -> FixedOffset {
        self.hours.map_or_else(|| Utc.fix(), |hours| hours.zone.offset(at))
    }

    fn midnight_after(&self, date: NaiveDate) -> Option<Timestamp> {
        self.at(date.checked_add_days(Days::new(1))?, NaiveTime::MIN)
    }

    fn at(&self, date: NaiveDate, time: NaiveTime) -> Option<Timestamp> {
        let local = date.and_time(time);
        self.hours.map_or_else(|| Some(local.and_utc()), |hours| hours.zone.moment(local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn hours() -> WorkingHours {
        use Weekday::{Mon, Thu, Tue, Wed};
        let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time");
        WorkingHours { zone: Zone::fixed(3_600), days: vec![Mon, Tue, Wed, Thu], from: at(9), until: at(16) }
    }

    fn freeze(from: &str, to: &str) -> BlockedDays {
        BlockedDays {
            from: from.parse().expect("a day"),
            to: to.parse().expect("a day"),
            why: "freeze".into(),
        }
    }

    /// 2026-11-23 is a Monday.
    #[test]
    fn it_opens_in_working_hours_of_days_that_are_not_blocked() {
        let (hours, blocked) =
            (hours(), [freeze("2026-11-25", "2026-11-26"), freeze("2026-11-30", "2026-12-01")]);
        let calendar = Calendar { hours: Some(&hours), blocked: &blocked };
        for (at, opens) in [
            ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z"), // nine there
            ("2026-11-23T07:59:59Z", "2026-11-23T08:00:00Z"),
            ("2026-11-23T14:59:59Z", "2026-11-23T14:59:59Z"),
            ("2026-11-23T15:00:00Z", "2026-11-24T08:00:00Z"),
            ("2026-11-22T23:30:00Z", "2026-11-23T08:00:00Z"), // Monday there already
            // Blocked, then a weekend that begins on Friday, then blocked again.
            ("2026-11-24T15:00:00Z", "2026-12-02T08:00:00Z"),
        ] {
            assert_eq!(calendar.opens(moment(at)), Some(moment(opens)), "{at}");
            assert_eq!(calendar.closed(moment(at)).is_empty(), at == opens, "{at}");
        }
        let both = calendar.closed(moment("2026-11-26T23:30:00Z"));
        assert_eq!(both, [Closed::Hours(&hours)], "the 27th there, a Friday");
        let both = calendar.closed(moment("2026-11-26T20:00:00Z"));
        assert_eq!(both, [Closed::Blocked(&blocked[0]), Closed::Hours(&hours)]);
    }

    #[test]
    fn without_hours_only_blocked_days_of_utc_close_it() {
        let blocked = [freeze("2026-12-18", "2027-01-03")];
        let calendar = Calendar { hours: None, blocked: &blocked };
        assert_eq!(calendar.opens(moment("2026-12-17T23:59:59Z")), Some(moment("2026-12-17T23:59:59Z")));
        assert_eq!(calendar.opens(moment("2026-12-18T00:00:00Z")), Some(moment("2027-01-04T00:00:00Z")));
        let never = [freeze("2026-01-01", "9999-12-31"), freeze("1000-01-01", "+262142-12-31")];
        let calendar = Calendar { hours: None, blocked: &never };
        assert_eq!(calendar.opens(moment("2026-12-18T00:00:00Z")), None);
    }

    /// Nine in Berlin is 08:00 UTC in winter and 07:00 in summer. 2026-03-29, a Sunday, and 2026-10-25 are
    /// the days of the changes, both at 01:00 UTC.
    #[test]
    fn hours_are_those_of_the_clocks_there_also_over_a_change() {
        use Weekday::{Fri, Mon, Sun};
        let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time");
        let changes = vec![(moment("2026-03-29T01:00:00Z"), 7_200), (moment("2026-10-25T01:00:00Z"), 3_600)];
        let zone = Zone::of(3_600, changes);
        let hours = WorkingHours { zone: zone.clone(), days: vec![Mon, Fri], from: at(9), until: at(16) };
        let calendar = Calendar { hours: Some(&hours), blocked: &[] };
        for (at, opens) in [
            ("2026-03-27T07:30:00Z", "2026-03-27T08:00:00Z"),
            ("2026-03-27T15:00:00Z", "2026-03-30T07:00:00Z"),
            ("2026-10-23T14:00:00Z", "2026-10-26T08:00:00Z"),
        ] {
            assert_eq!(calendar.opens(moment(at)), Some(moment(opens)), "{at}");
        }
        // From two to three, which the Sunday of March does not have.
        let night = WorkingHours { zone, days: vec![Sun], from: at(2), until: at(3) };
        let calendar = Calendar { hours: Some(&night), blocked: &[] };
        let opens = calendar.opens(moment("2026-03-28T12:00:00Z"));
        assert_eq!(opens, Some(moment("2026-04-05T00:00:00Z")));
        // In October it comes twice.
        for (at, is_open) in [
            ("2026-10-24T23:59:59Z", false),
            ("2026-10-25T00:00:00Z", true),
            ("2026-10-25T01:30:00Z", true),
            ("2026-10-25T02:00:00Z", false),
        ] {
            assert_eq!(calendar.closed(moment(at)).is_empty(), is_open, "{at}");
        }
    }
}
