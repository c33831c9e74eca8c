//! Cron schedules as far as scenarios need them: five fields of `*`, `*/N` or one number, in UTC.
//! Pure: the moment is an argument.

use std::fmt;

use chrono::{DateTime, Datelike, Duration, Timelike, Utc};

#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    text: String,
    fields: [Field; 5],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Any,
    Every(u32),
    Is(u32),
}

impl Field {
    fn parse(raw: &str) -> Option<Self> {
        match raw.strip_prefix("*/") {
            Some(step) => step.parse().ok().filter(|n| *n > 0).map(Self::Every),
            None if raw == "*" => Some(Self::Any),
            None => raw.parse().ok().map(Self::Is),
        }
    }

    fn matches(self, value: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Every(step) => value.is_multiple_of(step),
            Self::Is(wanted) => value == wanted,
        }
    }
}

impl Cron {
    pub fn parse(text: &str) -> Option<Self> {
        let parsed: Option<Vec<Field>> = text.split_whitespace().map(Field::parse).collect();
        let fields = <[Field; 5]>::try_from(parsed?).ok()?;
        Some(Self { text: text.to_owned(), fields })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first run after `now`, within 32 days.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let minute = now.with_second(0)?.with_nanosecond(0)?;
        (1..32 * 24 * 60).map(|n| minute + Duration::minutes(n)).find(|at| self.matches(*at))
    }

    /// The last run up to `now`, within 32 days.
    pub fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let minute = now.with_second(0)?.with_nanosecond(0)?;
        (0..32 * 24 * 60).map(|n| minute - Duration::minutes(n)).find(|at| self.matches(*at))
    }

    fn matches(&self, at: DateTime<Utc>) -> bool {
        let [minute, hour, day, month, weekday] = self.fields;
        minute.matches(at.minute())
            && hour.matches(at.hour())
            && day.matches(at.day())
            && month.matches(at.month())
            && weekday.matches(at.weekday().num_days_from_sunday())
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_is_the_latest_matching_minute() {
        let now: DateTime<Utc> = "2026-03-02T09:15:04Z".parse().expect("a time");
        for (cron, last) in [
            ("*/15 * * * *", "2026-03-02T09:15:00Z"),
            ("10 2 * * *", "2026-03-02T02:10:00Z"),
            ("0 3 1 * *", "2026-03-01T03:00:00Z"),
        ] {
            let last: DateTime<Utc> = last.parse().expect("a time");
            assert_eq!(Cron::parse(cron).expect(cron).last(now), Some(last), "{cron}");
        }
    }

    #[test]
    fn the_next_run_is_the_next_matching_minute() {
        let now: DateTime<Utc> = "2026-03-02T09:15:04Z".parse().expect("a time");
        for (cron, next) in [
            ("*/15 * * * *", "2026-03-02T09:30:00Z"),
            ("20 * * * *", "2026-03-02T09:20:00Z"),
            ("10 2 * * *", "2026-03-03T02:10:00Z"),
            ("0 3 1 * *", "2026-04-01T03:00:00Z"),
        ] {
            let next: DateTime<Utc> = next.parse().expect("a time");
            assert_eq!(Cron::parse(cron).expect(cron).next(now), Some(next), "{cron}");
        }
        for bad in ["", "* * * *", "a * * * *", "*/0 * * * *"] {
            assert_eq!(Cron::parse(bad), None, "{bad}");
        }
    }
}
