//! What people were told of a cluster, as lines that whoever observes it next reads: a restart of the
//! watch tells nobody twice, and what is over is told as over. Read leniently: lines that are not
//! understood cost a message more, never one less.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{AlertKey, AlertKind, Alerts, Thing};
use crate::{
    cockpit::spot::Spot,
    domain::{
        names::{ClusterName, Text},
        time::Timestamp,
    },
};

impl Alerts {
    /// Lines kept of a cluster, and their bytes.
    const LINES: usize = 200;
    const BYTES: usize = 48 * 1024;
    /// A successor has to see for so long that something is gone before it counts as gone: denials
    /// come back with the next attempt only.
    const BLIND: TimeDelta = TimeDelta::minutes(15);

    /// Everything told of this cluster that is open, or that would be told again too soon.
    pub fn memory(&self, cluster: &ClusterName, now: Timestamp) -> Box<str> {
        let lately = |thing: &Thing| thing.told.is_some_and(|(at, _)| now - at < Self::AGAIN);
        let of = self.things.iter().filter(|(key, thing)| {
            key.spot.cluster == *cluster && thing.told.is_some() && (thing.is_open || lately(thing))
        });
        let mut all: Vec<_> = of.collect();
        all.sort_by_key(|(_, thing)| (!thing.is_open, std::cmp::Reverse(thing.told)));
        let mut out = String::new();
        for line in all.into_iter().take(Self::LINES).filter_map(|(key, thing)| line(key, thing)) {
            if out.len() + line.len() <= Self::BYTES {
                out.push_str(&line);
            }
        }
        out.into()
    }

    /// From now on this process tells of the cluster. Answers what its predecessor had told.
    pub fn take_over(&mut self, cluster: &ClusterName, memory: &str, now: Timestamp) -> BTreeSet<AlertKey> {
        let mut told = BTreeSet::new();
        for (key, known) in memory.lines().take(Self::LINES).filter_map(|line| read(line, cluster)) {
            // A time that is not yet is nobody's word.
            if known.told.is_none_or(|(at, _)| at > now) {
                continue;
            }
            told.insert(key.clone());
            match self.things.get_mut(&key) {
                Some(thing) => {
                    thing.told = thing.told.max(known.told);
                    thing.is_open |= known.is_open;
                    thing.since = thing.since.min(known.since);
                }
                None => {
                    let absent = known.is_open.then(|| now + Self::BLIND);
                    self.things.insert(key, Thing { absent, ..known });
                }
            }
        }
        told
    }

    /// Was it raised, and its end not told?
    pub fn is_open(&self, key: &AlertKey) -> bool {
        self.things.get(key).is_some_and(|thing| thing.is_open)
    }
}

fn line(key: &AlertKey, thing: &Thing) -> Option<String> {
    let (at, level) = thing.told?;
    // No text of ours holds a control character.
    Some(format!(
        "{}\t{level}\t{}\t{}\t{}\t{}\t{}\t{}\n",
        key.kind.as_str(),
        at.timestamp(),
        thing.since.timestamp(),
        if thing.is_open { "open" } else { "over" },
        key.spot,
        key.detail,
        thing.was,
    ))
}

fn read(line: &str, cluster: &ClusterName) -> Option<(AlertKey, Thing)> {
    let fields: Vec<_> = line.split('\t').collect();
    let [kind, level, at, since, open, spot, detail, was] = fields.as_slice() else { return None };
    let time = |raw: &str| Timestamp::from_timestamp(raw.parse().ok()?, 0);
    let key = AlertKey {
        kind: AlertKind::ALL.into_iter().find(|one| one.as_str() == *kind)?,
        spot: Spot::find(spot, |name| name == cluster)?,
        detail: Text::new(detail),
    };
    let thing = Thing {
        since: time(since)?,
        told: Some((time(at)?, level.parse().ok()?)),
        is_open: *open == "open",
        absent: None,
        was: Text::new(was),
    };
    Some((key, thing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::tests::{cluster, now, target};

    fn key(detail: &str) -> AlertKey {
        AlertKey { kind: AlertKind::Hurting, spot: (&target()).into(), detail: Text::new(detail) }
    }

    fn thing(is_open: bool, minutes: i64) -> Thing {
        Thing {
            since: now(),
            told: Some((now() - TimeDelta::minutes(minutes), 2)),
            is_open,
            absent: None,
            was: Text::new("web was denied db on 5432/TCP"),
        }
    }

    #[test]
    fn what_was_told_is_read_back_and_the_rest_is_left_out() {
        let mut alerts = Alerts::default();
        alerts.things.insert(key("open long ago"), thing(true, 500));
        alerts.things.insert(key("over lately"), thing(false, 10));
        alerts.things.insert(key("over long ago"), thing(false, 61));
        alerts.things.insert(key("never told"), Thing { told: None, ..thing(false, 0) });
        let memory = alerts.memory(&cluster("prod-eu"), now());
        assert_eq!(alerts.memory(&cluster("prod-us"), now()).as_ref(), "");
        let mut successor = Alerts::default();
        let told = successor.take_over(&cluster("prod-eu"), &memory, now());
        assert_eq!(told, BTreeSet::from([key("open long ago"), key("over lately")]));
        assert!(successor.is_open(&key("open long ago")) && !successor.is_open(&key("over lately")));
        assert_eq!(successor.memory(&cluster("prod-eu"), now()), memory);
    }

    #[test]
    fn lines_of_another_kind_another_cluster_or_from_the_future_are_nothing() {
        let mut alerts = Alerts::default();
        alerts.things.insert(key("a"), thing(true, 5));
        let good = alerts.memory(&cluster("prod-eu"), now());
        for bad in [
            String::new(),
            "hurting".to_owned(),
            good.replace("hurting", "happy"),
            good.replace('\t', " "),
            good.replace("prod-eu", "prod-us"),
        ] {
            assert_eq!(Alerts::default().take_over(&cluster("prod-eu"), &bad, now()).len(), 0, "{bad:?}");
        }
        let early = now() - TimeDelta::hours(1);
        assert_eq!(Alerts::default().take_over(&cluster("prod-eu"), &good, early).len(), 0);
    }

    #[test]
    fn a_fleet_that_broke_at_once_fits() {
        let mut alerts = Alerts::default();
        for n in 0..1_000 {
            let long = Thing { was: Text::from("x".repeat(500)), ..thing(true, n) };
            alerts.things.insert(key(&format!("{n} {}", "y".repeat(400))), long);
        }
        let memory = alerts.memory(&cluster("prod-eu"), now());
        assert!(memory.len() <= Alerts::BYTES, "{}", memory.len());
        assert!(memory.lines().count() > 40);
    }
}
