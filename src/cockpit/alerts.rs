//! What is worth waking somebody for, and no more: each thing once, again only if it got worse or came
//! back an hour later, and once when it is over. What cannot be seen at the moment is neither raised
//! nor called over. Pure: reads the world, time is the world's.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{FixedOffset, TimeDelta};

use crate::domain::{
    names::Text,
    time::{Timestamp, zone_word},
};

use super::{spot::Spot, world::World};

mod memory;
mod watched;

/// The kinds of things that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A group of denials that hurts in a row whose set is live.
    Hurting,
    /// The data plane denies what the live policies allow by our evaluator: one of them is wrong.
    Disagreement,
    /// What is live is not what was applied.
    Incident,
    /// A soak whose clock stands still.
    Paused,
    /// A rollback after which it is not well again.
    NotRecovered,
    /// A live policy opens what its grant no longer covers.
    GrantExpired,
    /// Nobody writes the evidence of a cluster with live rows.
    ObserverGone,
}

impl AlertKind {
    const ALL: [Self; 7] = [
        Self::Hurting,
        Self::Disagreement,
        Self::Incident,
        Self::Paused,
        Self::NotRecovered,
        Self::GrantExpired,
        Self::ObserverGone,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hurting => "hurting",
            Self::Disagreement => "disagreement",
            Self::Incident => "incident",
            Self::Paused => "soak-paused",
            Self::NotRecovered => "not-recovered",
            Self::GrantExpired => "grant-expired",
            Self::ObserverGone => "observer-gone",
        }
    }

    /// 0 is the worst: what breaks workloads now, then what may, then what only stands still.
    pub fn severity(self) -> u8 {
        match self {
            Self::Hurting | Self::NotRecovered => 0,
            Self::Disagreement | Self::Incident => 1,
            Self::GrantExpired => 2,
            Self::Paused | Self::ObserverGone => 3,
        }
    }

    /// It has to last so long before it counts; a change of observers takes a while.
    fn patience(self) -> TimeDelta {
        match self {
            Self::ObserverGone => TimeDelta::minutes(5),
            // A data plane is late with a change of policies, of labels, of a pod's identity.
            Self::Disagreement => TimeDelta::minutes(2),
            // A watch may show an apply object by object.
            Self::Incident => TimeDelta::seconds(30),
            Self::Hurting | Self::Paused | Self::NotRecovered | Self::GrantExpired => TimeDelta::zero(),
        }
    }
}

/// One thing, the same for as long as it lasts; receivers may join messages by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    pub kind: AlertKind,
    pub spot: Spot,
    /// What tells it from others in the same row.
    pub detail: Text,
}

/// What is so at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: AlertKey,
    /// Grows as it gets worse.
    level: u32,
    words: Text,
    /// The same once it is over: no word in it is of the moment.
    was: Text,
}

/// What changed about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    Raised,
    Worse,
    Recovered,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Worse => "worse",
            Self::Recovered => "recovered",
        }
    }
}

/// A message for whoever is on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub key: AlertKey,
    pub state: AlertState,
    pub at: Timestamp,
    pub since: Timestamp,
    pub words: Text,
}

impl Alert {
    /// Where and what, in a few words.
    pub fn title(&self) -> String {
        let state = match self.state {
            AlertState::Raised => "",
            AlertState::Worse => " (worse)",
            AlertState::Recovered => " (over)",
        };
        format!("{}: {}{state}", self.key.spot, self.kind())
    }

    fn kind(&self) -> &'static str {
        match self.key.kind {
            AlertKind::Hurting => "denials hurt",
            AlertKind::Disagreement => "verdicts disagree",
            AlertKind::Incident => "incident",
            AlertKind::Paused => "soak paused",
            AlertKind::NotRecovered => "rollback not recovered",
            AlertKind::GrantExpired => "grant expired",
            AlertKind::ObserverGone => "nobody observes",
        }
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        match self.state {
            // Its words begin with that it is over.
            AlertState::Recovered => format!("{}: {}: {}", self.key.spot, self.kind(), self.words),
            AlertState::Raised | AlertState::Worse => format!("{}: {}", self.title(), self.words),
        }
    }

    /// The command that opens the row.
    pub fn command(&self) -> String {
        self.key.spot.command()
    }
}

/// What was said, so that it is not said again.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    things: BTreeMap<AlertKey, Thing>,
    /// What costs more to find out, and when it was.
    slow: (Option<Timestamp>, Vec<Condition>),
}

#[derive(Clone, Debug)]
struct Thing {
    since: Timestamp,
    /// The newest message that raised it, and the level it was raised at.
    told: Option<(Timestamp, u32)>,
    /// It was raised, and its end was not told.
    is_open: bool,
    /// Since when it is not so any more.
    absent: Option<Timestamp>,
    /// As it was when it was last seen, to be told when it is over.
    was: Text,
}

impl Alerts {
    /// The same thing is not raised again within this time, unless it got worse.
    const AGAIN: TimeDelta = TimeDelta::hours(1);
    /// It has to be gone so long before it is called over.
    const CALM: TimeDelta = TimeDelta::minutes(5);
    /// Soaks and grants of all rows are looked through this often.
    const SLOW: TimeDelta = TimeDelta::minutes(1);
    /// Things remembered; beyond, new ones are told once more rather than never.
    const THINGS: usize = 5_000;
    /// Messages of one look: a fleet that breaks at once must not flood a phone.
    pub const AT_ONCE: usize = 10;

    /// Everything that is to be said now. Called at least once a minute.
    pub fn look(&mut self, world: &World) -> Vec<Alert> {
        let now = world.now();
        let mut out = Vec::new();
        let mut present = BTreeSet::new();
        if self.slow.0.is_none_or(|at| now - at >= Self::SLOW) {
            self.slow = (Some(now), watched::slow(world));
        }
        for condition in watched::conditions(world).into_iter().chain(self.slow.1.clone()) {
            out.extend(self.is_so(&condition, now));
            present.insert(condition.key);
        }
        for (key, thing) in self.things.iter_mut().filter(|(key, _)| !present.contains(*key)) {
            if watched::is_hidden(world, key) {
                thing.absent = None;
            } else {
                out.extend(is_gone(key, thing, now, world.zone()));
            }
        }
        let is_remembered = |thing: &Thing| {
            let told_lately = thing.told.is_some_and(|(at, _)| now - at < Self::AGAIN);
            thing.is_open || thing.absent.is_none() || told_lately
        };
        self.things.retain(|_, thing| is_remembered(thing));
        few(out)
    }

    fn is_so(&mut self, condition: &Condition, now: Timestamp) -> Option<Alert> {
        let key = &condition.key;
        if self.things.len() >= Self::THINGS && !self.things.contains_key(key) {
            self.things.pop_first();
        }
        let thing = self.things.entry(key.clone()).or_insert_with(|| Thing {
            since: now,
            told: None,
            is_open: false,
            absent: None,
            was: condition.was.clone(),
        });
        thing.was.clone_from(&condition.was);
        if thing.absent.take().is_some() && !thing.is_open {
            thing.since = now;
        }
        if now - thing.since < key.kind.patience() {
            return None;
        }
        let state = match thing.told {
            Some((_, level)) if condition.level > level => AlertState::Worse,
            Some(_) if thing.is_open => return None,
            Some((at, _)) if now - at < Self::AGAIN => return None,
            Some(_) | None => AlertState::Raised,
        };
        // What was over is raised anew, however bad it was before.
        let state = if thing.is_open { state } else { AlertState::Raised };
        thing.told = Some((now, condition.level));
        thing.is_open = true;
        Some(Alert { key: key.clone(), state, at: now, since: thing.since, words: condition.words.clone() })
    }
}

fn is_gone(key: &AlertKey, thing: &mut Thing, now: Timestamp, zone: FixedOffset) -> Option<Alert> {
    let absent = *thing.absent.get_or_insert(now);
    if !thing.is_open || now - absent < Alerts::CALM {
        return None;
    }
    thing.is_open = false;
    let (since, zone) = (absent.with_timezone(&zone).format("%H:%M"), zone_word(zone));
    let words = Text::from(format!("over since {since} {zone}. Before that: {}", thing.was));
    Some(Alert { key: key.clone(), state: AlertState::Recovered, at: now, since: thing.since, words })
}

/// New and worse ones before what is over; of too many, the last message counts the rest.
fn few(mut alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.sort_by(|a, b| (a.state, &a.key).cmp(&(b.state, &b.key)));
    let more = alerts.len().saturating_sub(Alerts::AT_ONCE);
    if more > 0 {
        alerts.truncate(Alerts::AT_ONCE);
        if let Some(last) = alerts.last_mut() {
            last.words = Text::from(format!("{} (and {more} more at the same time)", last.words));
        }
    }
    alerts
}

#[cfg(test)]
mod tests;
