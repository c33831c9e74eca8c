//! Times and spans as the domain uses them. Time is always an argument: nothing here reads a clock.

use chrono::{DateTime, TimeDelta, Utc};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_at_a_glance() {
        for (secs, text) in [(-5, "0s"), (59, "59s"), (60, "1m"), (3_900, "1h05m"), (187_200, "2d04h")] {
            assert_eq!(span(TimeDelta::seconds(secs)), text);
        }
    }
}
