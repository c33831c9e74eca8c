//! Incidents on their way to the journal: noticed by whoever observes the cluster, once each, when they
//! have lasted a moment. What the journal says of a row last is not said again, also by a later run.
//! Pure; asks nobody.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::domain::{journal::Act, names::Text, rollout::Target, time::Timestamp};

use super::{
    gate,
    recording::{self, Draft},
    world::World,
};

/// What stands, by row.
#[derive(Clone, Debug, Default)]
pub struct Noticed {
    rows: BTreeMap<Target, Row>,
    looked: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Row {
    words: Vec<Text>,
    since: Timestamp,
    is_told: bool,
}

impl Noticed {
    /// A watch may show an apply object by object.
    const PATIENCE: TimeDelta = TimeDelta::seconds(30);
    /// Between two looks.
    const EVERY: TimeDelta = TimeDelta::seconds(10);

    /// What is to be written now.
    pub fn due(&mut self, world: &World) -> Vec<Draft> {
        let now = world.now();
        if self.looked.is_some_and(|looked| now - looked < Self::EVERY) || !world.shared().is_live() {
            return Vec::new();
        }
        self.looked = Some(now);
        let standing = standing(world);
        // What cannot be seen is not over.
        self.rows.retain(|target, _| standing.contains_key(target) || !is_seen(world, target));
        let mut out = Vec::new();
        for (target, words) in standing {
            let row = self.rows.entry(target.clone()).or_insert_with(|| Row {
                words: words.clone(),
                since: now,
                is_told: false,
            });
            if row.words != words {
                *row = Row { words, since: now, is_told: false };
            }
            if !row.is_told && now - row.since >= Self::PATIENCE {
                row.is_told = true;
                let draft = recording::incident(world, &target, &row.words);
                out.extend((!is_recorded(world, &draft)).then_some(draft));
            }
        }
        out
    }
}

/// Incidents of the clusters that we observe, each row's in words, worst first.
fn standing(world: &World) -> BTreeMap<Target, Vec<Text>> {
    let is_ours =
        |target: &Target| world.shared().observer(&target.cluster).is_some_and(|observer| observer.is_us);
    let mut out: BTreeMap<Target, Vec<Text>> = BTreeMap::new();
    for (target, incident) in world.incidents().iter().filter(|(target, _)| is_ours(target)) {
        out.entry(target.clone()).or_default().push(Text::from(incident.words()));
    }
    for target in world.soaks().targets().filter(is_ours) {
        let ungranted = gate::incidents_of(world, &target).into_iter().map(|incident| incident.said);
        let mut ungranted = ungranted.peekable();
        if ungranted.peek().is_some() {
            out.entry(target).or_default().extend(ungranted);
        }
    }
    out
}

fn is_seen(world: &World, target: &Target) -> bool {
    let cluster = world.cluster(&target.cluster).filter(|cluster| cluster.is_complete());
    cluster.is_some_and(|cluster| !matches!(cluster.health, crate::domain::fleet::Health::Down(_)))
}

/// The newest entry of the row says just this.
fn is_recorded(world: &World, draft: &Draft) -> bool {
    let last = world.shared().journal().rev().find(|kept| kept.value.object == draft.object);
    last.is_some_and(|kept| kept.value.act == Act::Incident && kept.value.facts == draft.facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::{
            ports::{Change, ClusterFact, Fact},
            shared::SharedFact,
        },
        documents::{
            fixture::{kept, team_world, tell},
            tests::{cluster, now, policy},
        },
        domain::{
            journal::{Chain, Entry},
            policy::PolicyKind,
        },
    };

    /// The small fleet, of which this process observes prod-eu.
    fn observing() -> World {
        let mut world = team_world();
        let mut observer = world.shared().observer(&cluster("prod-eu")).cloned().expect("one");
        observer.is_us = true;
        tell(&mut world, SharedFact::Observer(cluster("prod-eu"), Some(observer)));
        world
    }

    fn at(world: &mut World, minute: i64) {
        world.absorb(Fact::Tick(now() + TimeDelta::minutes(minute)));
        world.settle();
    }

    fn put(world: &mut World, names: &[&str]) {
        let all = names.iter().map(|name| policy(name)).collect();
        let fact = ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(all));
        world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
        world.settle();
    }

    const WHOLE: [&str; 3] = ["egress-allowlist", "egress-baseline-allow", "default-deny-egress"];

    fn of_shop(drafts: &[Draft]) -> Vec<String> {
        let of = drafts.iter().filter(|draft| draft.object.as_str() == "prod-eu/shop egress");
        of.flat_map(|draft| draft.facts.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn an_incident_is_written_once_after_a_moment_and_again_when_it_is_another() {
        let mut world = observing();
        let mut noticed = Noticed::default();
        put(&mut world, &WHOLE);
        at(&mut world, 30);
        noticed.due(&world);
        at(&mut world, 32);
        // Whatever stood before is said by now.
        noticed.due(&world);
        put(&mut world, &WHOLE[1..]);
        at(&mut world, 33);
        assert_eq!(of_shop(&noticed.due(&world)), [""; 0], "it may be on its way");
        at(&mut world, 34);
        let said = of_shop(&noticed.due(&world));
        assert!(said[0].starts_with("noticed: egress-allowlist is missing"), "{said:?}");
        at(&mut world, 60);
        assert_eq!(of_shop(&noticed.due(&world)), [""; 0], "once");
        put(&mut world, &WHOLE[2..]);
        at(&mut world, 61);
        noticed.due(&world);
        at(&mut world, 62);
        assert!(!of_shop(&noticed.due(&world)).is_empty(), "it is another");
    }

    #[test]
    fn what_the_journal_says_last_of_a_row_is_not_said_again_by_a_later_run() {
        let mut world = observing();
        put(&mut world, &WHOLE[1..]);
        let mut noticed = Noticed::default();
        at(&mut world, 30);
        noticed.due(&world);
        at(&mut world, 31);
        let drafts = noticed.due(&world);
        let draft = drafts.iter().find(|draft| draft.object.as_str() == "prod-eu/shop egress").expect("one");
        let place = Chain::default();
        let entry = Entry {
            number: 900,
            previous: place.previous,
            stamp: draft.stamp.clone(),
            act: draft.act,
            object: draft.object.clone(),
            facts: draft.facts.clone(),
        };
        tell(&mut world, SharedFact::Journal(Change::Put(kept("entry-000000900", 900, entry))));
        let mut again = Noticed::default();
        at(&mut world, 40);
        again.due(&world);
        at(&mut world, 42);
        assert_eq!(of_shop(&again.due(&world)), [""; 0]);
    }

    #[test]
    fn who_does_not_observe_writes_nothing() {
        let mut world = team_world();
        put(&mut world, &WHOLE[1..]);
        let mut noticed = Noticed::default();
        for minute in 30..40 {
            at(&mut world, minute);
            assert_eq!(noticed.due(&world), Vec::new());
        }
    }
}
