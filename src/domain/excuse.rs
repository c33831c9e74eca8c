//! Whether denials hurt. Hurting is the default, also for a single attempt; each rule that excuses
//! one is named here and nowhere else. What cannot be followed any more stays hurting.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    flow::{Flow, Protocol, Verdict},
    names::PodName,
    policy::Pinned,
    time::Timestamp,
};

/// The named rules by which a denial is noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noise {
    Icmp,
    /// Tail of a connection that is over, or a reply to one.
    Closing,
    /// A lone attempt, and the same pod reached the same destination within the minute after it: a
    /// retry beside an allowed twin.
    AllowedTwin,
}

impl Noise {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Closing => "closing",
            Self::AllowedTwin => "allowed twin",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Hurting,
    /// The data plane names policies, and none of them is ours. Undecided until somebody waives it.
    Unattributed,
    StartUp,
    Noisy(Noise),
    /// Somebody waived exactly this, or it was reviewed and rejected.
    Expected,
    /// It passed: policies that are only staged, or an agent that only audits, would have denied it.
    /// Never counted among denials.
    Would,
}

impl Class {
    pub const ALL: [Self; 5] = [
        Self::Hurting,
        Self::StartUp,
        Self::Noisy(Noise::Icmp),
        Self::Noisy(Noise::Closing),
        Self::Noisy(Noise::AllowedTwin),
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Hurting => "hurting",
            Self::Unattributed => "unattributed",
            Self::StartUp => "start-up",
            Self::Noisy(_) => "noisy",
            Self::Expected => "expected",
            Self::Would => "would deny",
        }
    }
}

/// What is known of the judged pod when a denial arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct PodAge {
    pub started: Option<Timestamp>,
    pub ready: Option<Timestamp>,
}

/// Counts the denials of one group by what excuses them.
///
/// Invariant: `hurting` includes the denials that still wait for their pod's recovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Excuses {
    hurting: u64,
    start_up: u64,
    /// Denied by policies that are not ours.
    foreign: u64,
    /// The rule of the newest noise.
    noise: Option<Noise>,
    /// Pods whose denials may still be excused, at most [`Excuses::PODS`].
    pods: BTreeMap<PodName, Attempts>,
}

#[derive(Clone, Copy, Debug)]
struct Attempts {
    /// Newest attempt that was no noise.
    last: Timestamp,
    /// `last` had no other within the minute before it, and waits for its allowed twin.
    lone: bool,
    /// Attempts soon after the start, and the newest of them.
    waiting: Option<(u64, Timestamp)>,
}

impl Excuses {
    const PODS: usize = 64;
    /// A denial this soon after a pod's start may be start-up noise.
    const START: TimeDelta = TimeDelta::seconds(60);
    /// The pod's start is told to the second, the flow's time by another clock.
    const SKEW: TimeDelta = TimeDelta::seconds(5);
    const TWIN: TimeDelta = TimeDelta::seconds(60);

    pub(super) fn class(&self) -> Class {
        match (self.hurting, self.foreign, self.start_up, self.noise) {
            (1.., _, _, _) | (0, 0, 0, None) => Class::Hurting,
            (0, 1.., _, _) => Class::Unattributed,
            (0, 0, 1.., _) => Class::StartUp,
            (0, 0, 0, Some(noise)) => Class::Noisy(noise),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.pods.values().any(|attempts| attempts.waiting.is_some())
    }

    pub(super) fn denied(&mut self, flow: &Flow, age: PodAge, at: Timestamp) {
        if let Some(noise) = noise_of(flow) {
            self.noise = Some(noise);
            return;
        }
        if is_foreign(flow) {
            self.foreign += 1;
            return;
        }
        let starting = age.started.is_some_and(|started| {
            let since = at - started;
            -Self::SKEW <= since && since <= Self::START
        });
        if starting && age.ready.is_some_and(|ready| ready >= at) {
            self.start_up += 1;
            return;
        }
        self.hurting += 1;
        let Some(pod) = &flow.judged().pod else { return };
        let attempts = self.attempts(pod, at);
        attempts.last = at.max(attempts.last);
        if starting {
            let (count, newest) = attempts.waiting.unwrap_or((0, at));
            attempts.waiting = Some((count + 1, at.max(newest)));
            attempts.lone = false;
        }
    }

    /// This pod reached the destination.
    pub(super) fn reached(&mut self, pod: &PodName, at: Timestamp) {
        self.recovered(pod, at);
        let Some(attempts) = self.pods.get_mut(pod) else { return };
        let since = at - attempts.last;
        if attempts.lone && TimeDelta::zero() <= since && since <= Self::TWIN {
            attempts.lone = false;
            self.hurting = self.hurting.saturating_sub(1);
            self.noise = Some(Noise::AllowedTwin);
        }
    }

    /// This pod is ready since then.
    pub(super) fn ready(&mut self, pod: &PodName, since: Timestamp) {
        self.recovered(pod, since);
    }

    /// Is there a denial that a later success could excuse?
    pub(super) fn may_recover(&self) -> bool {
        !self.pods.is_empty()
    }

    /// No later success excuses anything of until now.
    pub(super) fn stand(&mut self) {
        self.pods.clear();
    }

    /// What the pod tried before this moment was part of its start.
    fn recovered(&mut self, pod: &PodName, at: Timestamp) {
        let Some(attempts) = self.pods.get_mut(pod) else { return };
        if let Some((count, _)) = attempts.waiting.take_if(|(_, newest)| *newest <= at) {
            self.hurting = self.hurting.saturating_sub(count);
            self.start_up += count;
        }
    }

    /// The pod's record, with `lone` judged for an attempt at `at`.
    fn attempts(&mut self, pod: &PodName, at: Timestamp) -> &mut Attempts {
        if self.pods.len() >= Self::PODS && !self.pods.contains_key(pod) {
            let oldest = self.pods.iter().min_by_key(|(_, attempts)| attempts.last);
            if let Some(oldest) = oldest.map(|(pod, _)| pod.clone()) {
                self.pods.remove(&oldest);
            }
        }
        let mut fresh = false;
        let attempts = self.pods.entry(pod.clone()).or_insert_with(|| {
            fresh = true;
            Attempts { last: at, lone: true, waiting: None }
        });
        if !fresh {
            attempts.lone = at - attempts.last > Self::TWIN;
        }
        attempts
    }
}

/// The data plane says which policies denied it, and ours are not among them.
fn is_foreign(flow: &Flow) -> bool {
    match &flow.verdict {
        Verdict::Denied { by, .. } => {
            !by.is_empty() && by.iter().all(|by| Pinned::find(by.kind, by.name.as_str()).is_none())
        }
        Verdict::Allowed { .. } | Verdict::Audit { .. } => false,
    }
}

fn noise_of(flow: &Flow) -> Option<Noise> {
    if flow.protocol == Protocol::Icmp {
        Some(Noise::Icmp)
    } else if flow.closing || flow.reply == Some(true) {
        Some(Noise::Closing)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flow::{Direction, End, FlowId};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(secs, 0).expect("in range")
    }

    fn pod(n: i64) -> PodName {
        PodName::parse(&format!("cart-{n}")).expect("a name")
    }

    fn denied(n: i64) -> Flow {
        Flow {
            id: FlowId("a".into()),
            at: at(n),
            node: None,
            direction: Direction::Egress,
            verdict: Verdict::Denied { said: Default::default(), by: Vec::new() },
            source: End { pod: Some(pod(n)), ..End::default() },
            destination: End::default(),
            protocol: Protocol::Tcp,
            source_port: 1,
            port: 443,
            reply: None,
            closing: false,
        }
    }

    #[test]
    fn pods_that_are_not_followed_any_more_stay_hurting() {
        let mut excuses = Excuses::default();
        for n in 0..100 {
            excuses.denied(&denied(n), PodAge { started: Some(at(n)), ready: None }, at(n));
        }
        assert_eq!(excuses.pods.len(), Excuses::PODS);
        for n in 0..100 {
            excuses.ready(&pod(n), at(200));
        }
        assert_eq!((excuses.hurting, excuses.start_up), (36, 64));
        assert_eq!(excuses.class(), Class::Hurting);
        assert!(!excuses.is_waiting());
    }
}
