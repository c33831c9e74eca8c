//! The wall time a simulated cluster shows: a start plus the runtime's elapsed time, scaled.
//! It never asks the system, so a paused runtime drives it. Time-outs do not use it: they run in
//! runtime time and are never scaled.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use tokio::time::Instant;

/// Wall time as one simulated cluster tells it.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    start: DateTime<Utc>,
    speed: f64,
}

impl Clock {
    /// A clock that shows `start` now and runs `speed` times as fast as the runtime.
    pub fn new(start: DateTime<Utc>, speed: f64) -> Self {
        Self { origin: Instant::now(), start, speed }
    }

    /// What the clock showed when it was made.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// What the clock shows now.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = self.origin.elapsed().as_secs_f64() * self.speed * 1e6;
        self.start + Duration::microseconds(micros as i64)
    }

    /// Now as RFC 3339 to the second, the form of every time in metadata.
    pub fn stamp(&self) -> String {
        self.now().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}
