//! What can go wrong with a simulated cluster, and when. Only says which faults hold at a moment;
//! the API server, the relay and the traffic act them out. Input: scenario files and tests.

use std::time::Duration;

/// One thing that is wrong with one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing listens, nothing answers.
    Dead,
    /// Every answer of the API server takes this long.
    Slow { answer: Duration },
    /// The relay no longer hears of this node and does not say so.
    NodeLost { node: String },
    /// The relay has lost this node and says so.
    NodeDown { node: String },
    /// This node's clock is ahead (or behind, if negative).
    ClockSkew { node: String, seconds: i64 },
    /// Some flows lack fields, hold hostile text or numbers that nobody knows.
    OddFlows,
    /// Flows come twice and out of order.
    Disorder,
    /// Each node loses this many events a minute between kernel and agent.
    LostEvents { count: u64 },
    /// The pod of the relay or of Goldmane does not answer, and its streams break. Goldmane comes back
    /// empty.
    RelayAway,
    /// Goldmane loses one in so many flows without a word.
    SilentLoss { one_in: u64 },
    /// One in so many flows reaches Goldmane when its bucket is streamed already.
    LateFlows { one_in: u64 },
    /// The kubelet of this node is gone: logs of its pods break and cannot be opened.
    LogAway { node: String },
    /// The logs of this node's printers were rotated: what they held is gone (an event, not a state).
    LogRotated { node: String },
    /// Watches expire soon after they begin.
    WatchExpiry,
    /// The API server answers 429, in storms.
    TooManyRequests,
    /// The server's certificate is out of date.
    ExpiredCertificate,
    /// Nobody but the admin may write policies or reach the relay.
    MissingRights,
    /// This namespace is being deleted and does not get there.
    StuckTerminating { namespace: String },
    /// Writes land, their answers do not arrive.
    AnswersLost,
    /// A web page instead of an API: a proxy in the way.
    Garbage,
    /// The pods of this workload start again (an event, not a state).
    Restart { namespace: String, workload: String },
}

/// A fault of a scenario: from `at` after the start, for `lasts` or for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFault {
    pub at: Duration,
    pub lasts: Option<Duration>,
    pub fault: Fault,
}

/// Which faults of a cluster hold now: those of the scenario by time, and those set by hand.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    timed: Vec<TimedFault>,
    by_hand: Vec<Fault>,
}

impl Schedule {
    pub fn new(timed: Vec<TimedFault>) -> Self {
        Self { timed, by_hand: Vec::new() }
    }

    pub fn set(&mut self, fault: Fault) {
        if !self.by_hand.contains(&fault) {
            self.by_hand.push(fault);
        }
    }

    /// Ends every fault that was set by hand and every one of the scenario.
    pub fn clear(&mut self) {
        self.timed.clear();
        self.by_hand.clear();
    }

    pub fn at(&self, elapsed: Duration) -> Vec<&Fault> {
        let holds = |f: &&TimedFault| f.at <= elapsed && f.lasts.is_none_or(|lasts| elapsed < f.at + lasts);
        self.timed.iter().filter(holds).map(|f| &f.fault).chain(&self.by_hand).collect()
    }

    /// When the set of faults changes next.
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        let ends = self.timed.iter().filter_map(|f| f.lasts.map(|lasts| f.at + lasts));
        self.timed.iter().map(|f| f.at).chain(ends).filter(|at| *at > elapsed).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_holds_from_its_beginning_to_its_end() {
        let secs = Duration::from_secs;
        let mut schedule = Schedule::new(vec![
            TimedFault { at: secs(10), lasts: Some(secs(5)), fault: Fault::Garbage },
            TimedFault { at: secs(20), lasts: None, fault: Fault::Dead },
        ]);
        let at = |s: &Schedule, t| s.at(secs(t)).into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(at(&schedule, 9), []);
        assert_eq!(at(&schedule, 10), [Fault::Garbage]);
        assert_eq!(at(&schedule, 15), []);
        assert_eq!(at(&schedule, 4000), [Fault::Dead]);
        assert_eq!(schedule.next_change(secs(0)), Some(secs(10)));
        assert_eq!(schedule.next_change(secs(10)), Some(secs(15)));
        assert_eq!(schedule.next_change(secs(20)), None);
        schedule.set(Fault::AnswersLost);
        assert_eq!(at(&schedule, 0), [Fault::AnswersLost]);
        schedule.clear();
        assert_eq!(at(&schedule, 4000), []);
    }
}
