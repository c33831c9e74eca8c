//! Times and spans as the domain uses them. Time is always an argument: nothing here reads a clock.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};

/// A moment in domain time, which a demo may run faster than the wall.
pub type Timestamp = DateTime<Utc>;

/// Age of `then` at `now`, never negative: clocks of nodes and of this machine differ.
pub fn age(then: Timestamp, now: Timestamp) -> TimeDelta {
    (now - then).max(TimeDelta::zero())
}

/// A span in at most two units, whole words at a glance: `4s`, `12m`, `3h05m`, `2d04h`.
pub fn span(delta: TimeDelta) -> String {
    let secs = delta.num_seconds().max(0);
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m", secs / 60),
        3600..86_400 => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// A moment as people of this zone read it: `2026-03-02 10:00 +01:00`, `2026-03-02 09:00 UTC`.
pub fn minute(at: Timestamp, zone: FixedOffset) -> String {
    format!("{} {}", at.with_timezone(&zone).format("%Y-%m-%d %H:%M"), zone_word(zone))
}

/// The same without the day, to the second: `03:00:11 +01:00`.
pub fn second(at: Timestamp, zone: FixedOffset) -> String {
    format!("{} {}", at.with_timezone(&zone).format("%H:%M:%S"), zone_word(zone))
}

/// `+01:00`, `UTC`.
pub fn zone_word(zone: FixedOffset) -> String {
    if zone.local_minus_utc() == 0 { "UTC".to_owned() } else { zone.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_at_a_glance() {
        for (secs, text) in [(-5, "0s"), (59, "59s"), (60, "1m"), (3_900, "1h05m"), (187_200, "2d04h")] {
            assert_eq!(span(TimeDelta::seconds(secs)), text);
        }
    }

    #[test]
    fn a_moment_has_its_zone_beside_it() {
        let at = DateTime::from_timestamp(1_772_418_611, 0).expect("in range");
        let zone = |hours: i32| FixedOffset::east_opt(hours * 3_600).expect("in range");
        assert_eq!(minute(at, zone(0)), "2026-03-02 02:30 UTC");
        assert_eq!(minute(at, zone(1)), "2026-03-02 03:30 +01:00");
        assert_eq!(second(at, zone(-5)), "21:30:11 -05:00");
    }
}
