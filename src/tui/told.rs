//! What the operator was told: messages with their tone, alerts among them, and what was asked last.
//! How long a message stands is decided here; when a second passed is told from outside.

use std::collections::BTreeSet;

use crate::{
    cockpit::{alerts::AlertKey, orders::OrderId},
    domain::time::Timestamp,
};

/// A message about what just happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub text: String,
    pub tone: Tone,
    pub at: Timestamp,
    /// What somebody must know who is on call: how severe it is, 0 the worst, and which thing it is.
    pub alert: Option<(u8, AlertKey)>,
    /// Keys pressed since it came.
    pub seen: u8,
    /// Seconds of the wall it stood for.
    pub stood: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Plain,
    Bad,
}

/// What the operator was told, and which orders are still to be told about.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub toasts: Vec<Toast>,
    pub waiting: BTreeSet<OrderId>,
    /// The world's time when it was last looked at.
    pub now: Timestamp,
    /// Orders up to here were noticed.
    pub upto: Option<OrderId>,
    /// What was asked last, until it is known whether it began.
    pub asked: Option<Asked>,
    /// Answers of the state cluster up to here were noticed.
    pub wrote: Option<Timestamp>,
}

impl Told {
    /// A message goes after this many keys, or by `esc`.
    const KEYS: u8 = 8;
    const KEPT: usize = 4;
    const ALERTS: usize = 20;

    pub fn say(&mut self, text: impl Into<String>, tone: Tone) {
        let (text, at) = (text.into(), self.now);
        self.toasts.retain(|toast| toast.text != text);
        let oldest = self.toasts.iter().position(|toast| toast.alert.is_none());
        let messages = self.toasts.iter().filter(|toast| toast.alert.is_none()).count();
        if let Some(oldest) = oldest.filter(|_| messages == Self::KEPT) {
            self.toasts.remove(oldest);
        }
        self.toasts.push(Toast { text, tone, at, alert: None, seen: 0, stood: 0 });
    }

    /// The same of an alert, in place of what was said of the thing before. Messages never push one
    /// out; of too many alerts the mildest goes.
    pub fn alert(&mut self, text: String, tone: Tone, severity: u8, key: AlertKey) {
        self.toasts.retain(|toast| toast.alert.as_ref().is_none_or(|(_, of)| *of != key));
        self.toasts.push(Toast { text, tone, at: self.now, alert: Some((severity, key)), seen: 0, stood: 0 });
        if self.toasts.iter().filter(|toast| toast.alert.is_some()).count() > Self::ALERTS {
            let severity = |toast: &Toast| toast.alert.as_ref().map(|(severity, _)| *severity);
            let mildest = self.toasts.iter().enumerate().max_by_key(|(_, toast)| severity(toast));
            if let Some(at) = mildest.map(|(at, _)| at) {
                self.toasts.remove(at);
            }
        }
    }

    /// A second of the wall went by: what only answers a key fades by itself. What went wrong and what
    /// an order came to stays until a key. True: something went.
    pub fn second_passed(&mut self) -> bool {
        const STANDS: u8 = 20;
        let before = self.toasts.len();
        for toast in &mut self.toasts {
            toast.stood = toast.stood.saturating_add(1);
        }
        self.toasts
            .retain(|toast| toast.tone != Tone::Plain || toast.alert.is_some() || toast.stood < STANDS);
        self.toasts.len() < before
    }

    pub fn key_pressed(&mut self) {
        for toast in &mut self.toasts {
            toast.seen += 1;
        }
        self.toasts.retain(|toast| toast.seen < Self::KEYS);
    }
}

/// What was asked of `decide` and not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Preview,
    Apply,
    RollBack,
    Abort,
    /// A write to the state cluster.
    Share,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fade_and_what_went_wrong_stays() {
        let mut told = Told::default();
        told.say("copied", Tone::Plain);
        told.say("apply #1: done", Tone::Good);
        told.say("refused", Tone::Bad);
        let gone: Vec<_> = (1..=60).filter(|_| told.second_passed()).collect();
        assert_eq!(gone, [20]);
        let left: Vec<_> = told.toasts.iter().map(|toast| toast.text.as_str()).collect();
        assert_eq!(left, ["apply #1: done", "refused"]);
    }
}
