//! Holds flows back for a few seconds, so that an answer that is reported late still names them.
//! First in, first out: what stands behind a flow (a source's position, a node's sign) comes out
//! behind it. Bounded: when it is full, the oldest leave early. Time is an argument.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::{
    owned::{HeardAnswer, HeardFlow},
    store::Position,
};
use crate::domain::{
    names::{NodeName, Text},
    time::Timestamp,
};

/// What waits.
#[derive(Debug)]
pub enum Held {
    Flow {
        source: Text,
        flow: Box<HeardFlow>,
        /// What a repeat of it would be known by.
        id: Option<u64>,
    },
    Answer(Box<HeardAnswer>),
    /// Everything of this source before here has been told.
    Position(Text, Position),
    /// Everything of this node up to here has been told; a source without nodes says `None`.
    Sign(Option<NodeName>, Timestamp),
}

#[derive(Debug)]
pub struct Hold {
    time: Duration,
    room: usize,
    waiting: VecDeque<(Instant, Held)>,
    /// Flows and answers among them.
    told: usize,
    /// What came together leaves together: a position stands behind the flows that it is of.
    leaving: Option<Instant>,
}

impl Held {
    fn is_told(&self) -> bool {
        match self {
            Self::Flow { .. } | Self::Answer(_) => true,
            Self::Position(..) | Self::Sign(..) => false,
        }
    }
}

impl Hold {
    /// Flows wait for answers: CoreDNS flushes once a second and a relay sorts for another; twice
    /// that, and some.
    pub fn of_flows() -> Self {
        Self::new(Duration::from_secs(5), 100_000)
    }

    /// Answers to an address wait for the first flow that says whose it is.
    pub fn of_answers() -> Self {
        Self::new(Duration::from_secs(2), 50_000)
    }

    fn new(time: Duration, room: usize) -> Self {
        Self { time, room, waiting: VecDeque::new(), told: 0, leaving: None }
    }

    pub fn push(&mut self, held: Held, here: Instant) {
        self.told += usize::from(held.is_told());
        self.waiting.push_back((here, held));
    }

    /// The oldest, if its time has come or there is no room for it. With `all`: whatever is left.
    pub fn pop(&mut self, here: Instant, all: bool) -> Option<Held> {
        let (since, _) = self.waiting.front()?;
        let due = *since + self.time <= here;
        let crowded = self.told > self.room || self.leaving == Some(*since);
        if !(due || crowded || all) {
            return None;
        }
        let (since, held) = self.waiting.pop_front()?;
        self.leaving = Some(since);
        if held.is_told() {
            self.told -= 1;
        }
        Some(held)
    }

    /// When the oldest is due.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(since, _)| *since + self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(n: i64) -> Held {
        let at = Timestamp::from_timestamp(n, 0).expect("in range");
        Held::Position(Text::new("x"), Position::Time(at))
    }

    fn seconds(held: &Option<Held>) -> Option<i64> {
        match held {
            Some(Held::Position(_, Position::Time(at))) => Some(at.timestamp()),
            Some(_) | None => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_comes_out_in_order_and_in_time() {
        let mut hold = Hold::of_flows();
        let time = Duration::from_secs(5);
        let start = Instant::now();
        hold.push(sign(1), start);
        hold.push(sign(2), start + Duration::from_secs(1));
        assert_eq!(hold.due(), Some(start + time));
        assert!(hold.pop(start + Duration::from_secs(4), false).is_none());
        assert_eq!(seconds(&hold.pop(start + time, false)), Some(1));
        assert!(hold.pop(start + time, false).is_none());
        assert_eq!(seconds(&hold.pop(start + time, true)), Some(2));
        assert_eq!(hold.due(), None);
    }
}
