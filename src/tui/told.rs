//! Messages: what just happened, what somebody must know who is on call, and which orders are still
//! to be told about. Each message goes by itself after some keys.

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
        self.toasts.push(Toast { text, tone, at, alert: None, seen: 0 });
    }

    /// The same of an alert, in place of what was said of the thing before. Messages never push one
    /// out; of too many alerts the mildest goes.
    pub fn alert(&mut self, text: String, tone: Tone, severity: u8, key: AlertKey) {
        self.toasts.retain(|toast| toast.alert.as_ref().is_none_or(|(_, of)| *of != key));
        self.toasts.push(Toast { text, tone, at: self.now, alert: Some((severity, key)), seen: 0 });
        if self.toasts.iter().filter(|toast| toast.alert.is_some()).count() > Self::ALERTS {
            let severity = |toast: &Toast| toast.alert.as_ref().map(|(severity, _)| *severity);
            let mildest = self.toasts.iter().enumerate().max_by_key(|(_, toast)| severity(toast));
            if let Some(at) = mildest.map(|(at, _)| at) {
                self.toasts.remove(at);
            }
        }
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
