//! Counts by the minute in a ring, for sparklines and rates. Time is an argument; what is older than
//! the ring is not counted, and what is ahead of the caller's clock must be held back by the caller.

use super::time::Timestamp;

/// Counts of the last [`Minutes::LEN`] minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minutes {
    counts: [u32; Self::LEN],
    /// Minute of the newest slot, since the epoch.
    newest: i64,
}

impl Default for Minutes {
    fn default() -> Self {
        Self { counts: [0; Self::LEN], newest: i64::MIN }
    }
}

impl Minutes {
    pub const LEN: usize = 30;

    pub fn newest(&self) -> i64 {
        self.newest
    }

    pub fn add(&mut self, at: Timestamp) {
        let minute = at.timestamp().div_euclid(60);
        if minute > self.newest {
            let passed = minute.saturating_sub(self.newest);
            for step in 1..=passed.min(Self::LEN as i64) {
                self.counts[Self::slot(minute - passed.min(Self::LEN as i64) + step)] = 0;
            }
            self.newest = minute;
        }
        if self.newest - minute < Self::LEN as i64 {
            let slot = &mut self.counts[Self::slot(minute)];
            *slot = slot.saturating_add(1);
        }
    }

    /// Oldest first, ending with the minute of `now`.
    pub fn at(&self, now: Timestamp) -> [u32; Self::LEN] {
        let last = now.timestamp().div_euclid(60);
        let mut out = [0; Self::LEN];
        for (i, slot) in out.iter_mut().enumerate() {
            let minute = last - (Self::LEN - 1 - i) as i64;
            if minute <= self.newest && self.newest.saturating_sub(minute) < Self::LEN as i64 {
                *slot = self.counts[Self::slot(minute)];
            }
        }
        out
    }

    /// Denials a minute: the mean of the last full minute and the running one, by elapsed time.
    pub fn per_minute(&self, now: Timestamp) -> f64 {
        let counts = self.at(now);
        let running = now.timestamp().rem_euclid(60) as f64;
        let sum = f64::from(counts[Self::LEN - 1]) + f64::from(counts[Self::LEN - 2]);
        sum * 60.0 / (60.0 + running)
    }

    fn slot(minute: i64) -> usize {
        minute.rem_euclid(Self::LEN as i64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64, second: i64) -> Timestamp {
        Timestamp::from_timestamp(minute * 60 + second, 0).expect("in range")
    }

    /// Minutes that are not zero, counted back from `now`.
    fn seen(minutes: &Minutes, now: i64) -> Vec<(usize, u32)> {
        let counts = minutes.at(at(now, 0)).into_iter().rev().enumerate();
        counts.filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn counts_fall_into_their_minute_in_any_order() {
        let mut minutes = Minutes::default();
        for (minute, second) in [(100, 0), (100, 59), (98, 3), (101, 0), (72, 1)] {
            minutes.add(at(minute, second));
        }
        assert_eq!(seen(&minutes, 101), [(0, 1), (1, 2), (3, 1), (29, 1)]);
        assert_eq!(seen(&minutes, 103), [(2, 1), (3, 2), (5, 1)], "the oldest has left");
        assert_eq!(seen(&minutes, 131), [], "all have");
        assert_eq!(seen(&minutes, 99), [(1, 1), (27, 1)], "an earlier look does not see what came later");
    }

    #[test]
    fn what_is_older_than_the_ring_is_left_out_and_a_leap_clears_it() {
        let mut minutes = Minutes::default();
        minutes.add(at(100, 0));
        minutes.add(at(70, 0));
        assert_eq!(seen(&minutes, 100), [(0, 1)]);
        minutes.add(at(100 + 30, 0));
        assert_eq!(seen(&minutes, 130), [(0, 1)], "the slot of minute 100 is used anew");
        minutes.add(at(5_000_000, 0));
        assert_eq!(seen(&minutes, 5_000_000), [(0, 1)]);
        minutes.add(Timestamp::MIN_UTC);
        minutes.add(Timestamp::MAX_UTC);
        assert_eq!(minutes.at(Timestamp::MIN_UTC), [0; Minutes::LEN]);
    }

    #[test]
    fn the_rate_does_not_fall_at_each_full_minute() {
        let mut minutes = Minutes::default();
        for second in 0..60 {
            minutes.add(at(99, second));
        }
        assert_eq!(minutes.per_minute(at(100, 0)), 60.0);
        for second in 0..30 {
            minutes.add(at(100, second));
        }
        assert_eq!(minutes.per_minute(at(100, 30)), 60.0);
        assert_eq!(minutes.per_minute(at(102, 0)), 0.0);
    }
}
