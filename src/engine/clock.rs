//! Domain time: a start plus the runtime's elapsed time, times the demo's speed. One of the few
//! files that may read the system's clock. Under a paused runtime clock hours pass in milliseconds.

#![expect(clippy::disallowed_methods, reason = "the one place where the system's clock is read")]

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::time::Instant;

use crate::domain::time::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    started: Instant,
    speed: f64,
    /// Follow the system's clock across a suspend, which the runtime's clock does not count.
    follows_system: bool,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { start: Utc::now(), started: Instant::now(), speed: 1.0, follows_system: true }
    }

    /// A simulated clock: `start` now, `speed` domain seconds a second.
    pub fn simulated(start: Timestamp, speed: f64) -> Self {
        Self { start, started: Instant::now(), speed, follows_system: false }
    }

    pub fn now(&self) -> Timestamp {
        let elapsed = self.started.elapsed().mul_f64(self.speed.max(0.0));
        let counted = self.start + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX);
        if !self.follows_system {
            return counted;
        }
        // A clock set back must not make time run backwards: the later of both counts, once the
        // difference is more than the two clocks' drift.
        let system = Utc::now();
        if system - counted > TimeDelta::seconds(2) { system } else { counted }
    }

    /// Runtime time that passes while this much domain time does.
    pub fn runtime(&self, domain: Duration) -> Duration {
        if self.speed > 0.0 { domain.div_f64(self.speed) } else { domain }
    }
}
