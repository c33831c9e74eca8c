//! Whether a cluster's lists of policies and pods are watched whole, by the minute. Between two good
//! answers nothing was missed: a watch goes on from the version it had. Where one broke, or the
//! cluster was away, nobody knows what ran where and which bytes were live.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    evidence::{Cause, Pause},
    fleet::Part,
    names::Text,
    policy::PolicyKind,
    spans::{Minute, Spans, inside, touched},
    time::Timestamp,
};

use super::telemetry::{Blots, KEPT, STRETCHES, cut};

/// How one cluster is seen.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Lists of this session that are not read yet.
    unread: BTreeSet<Part>,
    troubles: BTreeMap<Part, Text>,
    away: Option<Text>,
    /// Watched whole since then.
    whole: Option<Timestamp>,
    /// Not watched whole since then, although it was before.
    blind: Option<(Timestamp, Text)>,
    answered: Option<Timestamp>,
    looked: Spans,
    blots: Blots,
}

impl Default for Sight {
    fn default() -> Self {
        Self {
            unread: BTreeSet::from([Part::Pods, Part::Policies(PolicyKind::NetworkPolicy)]),
            troubles: BTreeMap::new(),
            away: None,
            whole: None,
            blind: None,
            answered: None,
            looked: Spans::default(),
            blots: Blots::default(),
        }
    }
}

impl Sight {
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// The live bytes are known, whatever is known of pods.
    pub fn knows_policies(&self) -> bool {
        let policies = |part: &Part| matches!(part, Part::Policies(_));
        self.away.is_none() && !self.unread.iter().any(policies) && !self.troubles.keys().any(policies)
    }

    /// A session began: its lists come anew.
    pub fn met(&mut self, kinds: &[PolicyKind], now: Timestamp) {
        self.away = None;
        self.troubles.clear();
        self.unread = [Part::Pods, Part::Policies(PolicyKind::NetworkPolicy)]
            .into_iter()
            .chain(kinds.iter().map(|kind| Part::Policies(*kind)))
            .collect();
        self.settle(now, &Text::new("the lists were read anew"));
        self.answered(now);
    }

    pub fn away(&mut self, why: &Text, now: Timestamp) {
        self.away = Some(why.clone());
        self.settle(now, why);
    }

    /// A list was read whole.
    pub fn read(&mut self, part: Part, now: Timestamp) {
        self.unread.remove(&part);
        self.settle(now, &Text::default());
        self.answered(now);
    }

    pub fn trouble(&mut self, part: Part, trouble: Option<Text>, now: Timestamp) {
        if !matches!(part, Part::Pods | Part::Policies(_) | Part::Uid) {
            return;
        }
        let why = trouble.clone().unwrap_or_default();
        match trouble {
            Some(trouble) => self.troubles.insert(part, trouble),
            None => self.troubles.remove(&part),
        };
        self.settle(now, &why);
    }

    /// A good answer came: up to here nothing was missed.
    pub fn answered(&mut self, now: Timestamp) {
        self.answered = Some(now);
        if let Some(from) = self.whole {
            self.looked.insert(inside(from.max(now - TimeDelta::minutes(KEPT)), now));
            self.looked.keep_newest(STRETCHES);
        }
    }

    fn settle(&mut self, now: Timestamp, why: &Text) {
        let is_whole = self.away.is_none() && self.unread.is_empty() && self.troubles.is_empty();
        match (is_whole, self.whole) {
            (true, None) => {
                self.whole = Some(now);
                if let Some((from, why)) = self.blind.take() {
                    self.blots.note(Cause::WatchBroken, touched(from, now), &why);
                }
            }
            (false, Some(_)) => {
                self.whole = None;
                // Nobody knows when it broke; it was well when the last answer came.
                self.blind = Some((self.answered.unwrap_or(now).min(now), why.clone()));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    pub fn looked(&self) -> &Spans {
        &self.looked
    }

    /// Those of these minutes in which nobody knew what runs where.
    pub fn pauses(&self, window: &Spans, now: Timestamp) -> Vec<Pause> {
        let blind = self.blind.as_ref().map(|(from, why)| Pause {
            cause: Cause::WatchBroken,
            spans: Spans::of([touched(*from, now.max(*from))]),
            why: why.clone(),
        });
        self.blots.within(window).chain(blind.and_then(|pause| cut(pause, window))).collect()
    }

    pub fn forget_before(&mut self, oldest: Minute) {
        self.looked.remove(i64::MIN..oldest);
        self.blots.forget_before(oldest);
    }
}
