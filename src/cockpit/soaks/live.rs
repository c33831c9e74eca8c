//! One rollout whose set is live and closed: which nodes run its pods, what the data plane was seen to
//! decide, which groups were denied. Counts minutes only where pods come and go; nothing is done a tick.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    denial::{Class, Group},
    evidence::{Evidence, OpenGroup, Pause, Restart, Trail, Verdicts},
    few::Few,
    flow::{Flow, Verdict},
    hold::DenialKey,
    merged::withholds,
    names::{NodeName, Text},
    policy::PolicyDigest,
    probe::{self, Outcome},
    rollout::Target,
    soak::Source,
    spans::{Minute, Spans, inside, minute_of},
    time::Timestamp,
};

use super::{
    exercise::Exercise,
    sight::Sight,
    telemetry::{AHEAD, STRETCHES, Telemetry, cut},
};

/// Bytes that are live.
#[derive(Clone, Debug)]
pub struct Live {
    pub digest: PolicyDigest,
    /// Since when the bytes are live, and since when what is below is counted.
    pub since: Timestamp,
    pub began: Timestamp,
    ran: BTreeMap<NodeName, Spans>,
    /// Nodes that run its pods now, with the first minute.
    running: Few<NodeName, Minute>,
    beats: BTreeMap<NodeName, Beat>,
    verdicts: Verdicts,
    groups: BTreeMap<DenialKey, OpenGroup>,
    /// Groups without room, by key; they are counted while this has room.
    left_out: BTreeSet<DenialKey>,
    pub exercise: Exercise,
}

/// Probes of one node that were denied.
#[derive(Clone, Debug, Default)]
struct Beat {
    /// From the first to the last of those that followed on one another.
    run: Option<(Timestamp, Timestamp)>,
    heard: Spans,
}

impl Live {
    /// A probe proves its node up to the next one, if that comes in time: every five minutes, and one
    /// for being late.
    const BEAT: TimeDelta = TimeDelta::minutes(6);
    const LEFT_OUT: usize = 2_000;

    pub fn new(digest: PolicyDigest, since: Timestamp, now: Timestamp) -> Self {
        Self {
            digest,
            since,
            began: now,
            ran: BTreeMap::new(),
            running: Few::new(),
            beats: BTreeMap::new(),
            verdicts: Verdicts::default(),
            groups: BTreeMap::new(),
            left_out: BTreeSet::new(),
            exercise: Exercise::default(),
        }
    }

    /// Counts anew: what was seen under other bytes, or on other ground, says nothing.
    pub fn anew(self, digest: PolicyDigest, now: Timestamp) -> Self {
        let since = if digest == self.digest { self.since } else { now };
        let running = self.running.into_keys().map(|node| (node, minute_of(now))).collect();
        // The bytes did not change: what they denied still stands.
        let groups = if digest == self.digest { self.groups } else { BTreeMap::new() };
        Self { running, groups, exercise: self.exercise.anew(), ..Self::new(digest, since, now) }
    }

    /// The nodes that run its pods from now on, each with when its oldest pod started.
    pub fn runs_on(&mut self, nodes: &BTreeMap<NodeName, Option<Timestamp>>, now: Timestamp) {
        let gone: Vec<_> = self.running.keys().filter(|node| !nodes.contains_key(*node)).cloned().collect();
        for node in gone {
            let Some(from) = self.running.remove(&node) else { continue };
            let spans = self.ran.entry(node).or_default();
            // A minute that begins as they go is one in which none of them ran.
            spans.insert(from..inside(now, now).start);
            spans.fuse_oldest(STRETCHES);
        }
        for (node, started) in nodes {
            // What is told late ran before.
            let from = started.unwrap_or(now).clamp(self.began.min(now), now);
            if !self.running.contains_key(node) {
                self.running.insert(node.clone(), minute_of(from));
            }
        }
    }

    pub fn flow(&mut self, flow: &Flow, in_force: bool, now: Timestamp) {
        if flow.at < self.began || flow.at > now + AHEAD {
            return;
        }
        // That a probe was judged says nothing of what the workloads do.
        let is_probe = probe::is_at_an_end_of(flow);
        match flow.verdict {
            Verdict::Audit { .. } => return,
            Verdict::Allowed { .. } | Verdict::Denied { .. } if is_probe => {}
            Verdict::Allowed { .. } => {
                self.verdicts.allowed += 1;
                self.exercise.allowed(flow);
            }
            Verdict::Denied { .. } => self.verdicts.denied += 1,
        }
        if let (true, Some(node)) = (in_force, &flow.node) {
            newest(&mut self.verdicts.in_force, node, flow.at);
        }
    }

    pub fn nodes_now(&self) -> impl Iterator<Item = &NodeName> {
        self.running.keys()
    }

    pub fn probed(&mut self, node: &NodeName, at: Timestamp, outcome: &Outcome, now: Timestamp) {
        if at < self.began || at > now + AHEAD {
            return;
        }
        let beat = self.beats.entry(node.clone()).or_default();
        match outcome {
            Outcome::Unknown(why) => {
                let newer = (at, why.clone());
                let known = self.verdicts.unproved.entry(node.clone()).or_insert_with(|| newer.clone());
                if newer > *known {
                    *known = newer;
                }
                return;
            }
            Outcome::GotThrough => {
                beat.run = None;
                newest(&mut self.verdicts.breached, node, at);
                return;
            }
            Outcome::Denied => {}
        }
        newest(&mut self.verdicts.proved, node, at);
        let first = match beat.run {
            // Told late: it proves nothing new.
            Some((_, last)) if at < last => return,
            Some((first, last)) if at - last <= Self::BEAT => first,
            Some(_) | None => at,
        };
        beat.run = Some((first, at));
        beat.heard.insert(inside(first, at));
        beat.heard.keep_newest(STRETCHES);
    }

    /// A group was denied something under these bytes.
    pub fn note(&mut self, group: &Group) {
        let (key, class) = (group.denial_key(), group.told_class());
        if group.last < self.began && !self.groups.contains_key(&key) {
            return;
        }
        let open = OpenGroup {
            key: key.clone(),
            class,
            count: group.count,
            first: group.first,
            last: group.last,
            said: group.said.clone(),
        };
        let is_known = self.groups.contains_key(&key);
        if !is_known && self.groups.len() >= Evidence::GROUPS && !self.make_room(class) {
            if withholds(class) && self.left_out.len() < Self::LEFT_OUT {
                self.left_out.insert(key);
            }
            return;
        }
        self.left_out.remove(&key);
        self.groups.insert(key, open);
    }

    /// What hurts goes before what does not.
    fn make_room(&mut self, class: Class) -> bool {
        let least = self.groups.values().max_by_key(|group| (group.class, group.key.clone()));
        let Some(least) = least.filter(|least| least.class > class).map(|least| least.key.clone()) else {
            return false;
        };
        if let Some(gone) = self.groups.remove(&least)
            && withholds(gone.class)
        {
            self.left_out.insert(least);
        }
        true
    }

    fn nodes(&self, telemetry: &Telemetry, now: Timestamp) -> BTreeMap<NodeName, Trail> {
        let mut ran = self.ran.clone();
        for (node, from) in &self.running {
            ran.entry(node.clone()).or_default().insert(*from..minute_of(now) + 1);
        }
        // Without any source nobody would have told a denial: a probe alone credits nothing.
        let by_probe = telemetry.source().needs_heartbeat();
        let has_source = telemetry.source() != Source::None;
        let trail = |(node, ran): (NodeName, Spans)| {
            let proved = if by_probe {
                self.beats.get(&node).map(|beat| &beat.heard)
            } else {
                telemetry.proved(&node).filter(|_| has_source)
            };
            let heard = proved.map(|proved| proved.intersection(&ran)).unwrap_or_default();
            let void = telemetry.lost(&node, &ran, now);
            (node, Trail { heard, ran, void })
        };
        ran.into_iter().map(trail).collect()
    }
}

/// The whole as evidence.
pub struct Telling<'a> {
    pub target: &'a Target,
    pub uid: &'a Text,
    pub observer: Text,
    pub restarts: &'a [Restart],
    pub ground: &'a crate::domain::evidence::Ground,
    pub jobs: BTreeMap<Text, Timestamp>,
}

impl Live {
    /// Everything as it is to be judged and published.
    pub fn evidence(
        &self,
        telling: Telling<'_>,
        (sight, telemetry): (&Sight, &Telemetry),
        others: &[Pause],
        now: Timestamp,
    ) -> Evidence {
        let window = Spans::of([minute_of(self.began)..minute_of(now) + 1]);
        let whole = Spans::of([inside(self.began, self.began).start..minute_of(now)]);
        let others = others.iter().filter_map(|pause| cut(pause.clone(), &window));
        let pauses = sight.pauses(&window, now).into_iter().chain(telemetry.pauses(&window, now));
        let mut groups: Vec<_> = self.groups.values().cloned().collect();
        groups.sort_by(|a, b| (a.class, &a.key).cmp(&(b.class, &b.key)));
        Evidence {
            target: telling.target.clone(),
            uid: telling.uid.clone(),
            digest: self.digest,
            ground: telling.ground.clone(),
            since: self.since,
            until: now,
            observer: telling.observer,
            looked: sight.looked().intersection(&whole),
            nodes: self.nodes(telemetry, now),
            pauses: pauses.chain(others).collect(),
            restarts: telling.restarts.to_vec(),
            verdicts: self.verdicts.clone(),
            groups,
            more_groups: self.left_out.len() as u64,
            jobs: telling.jobs,
            exercised: self.exercise.exercised.clone(),
        }
        .normal()
    }
}

fn newest(all: &mut BTreeMap<NodeName, Timestamp>, node: &NodeName, at: Timestamp) {
    let known = all.entry(node.clone()).or_insert(at);
    *known = at.max(*known);
}
