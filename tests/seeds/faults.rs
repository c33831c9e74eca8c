//! What goes wrong, from the seed: when, where, for how long; and how it ends. After the last day of
//! faults everything that broke is mended, and nothing new breaks.

use sluice::domain::{
    flow::Direction,
    grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
    names::Text,
    policy::{Pinned, Selector},
    rollout::Stamp,
};

use super::{
    layout::{
        self, CLUSTERS, DAY, EVERYTHING, FLAGGED, FLAGGED_PORT, HOUR, MINUTE, Row, VENDOR_A, VENDOR_B, at,
        flagged_network, foreign, make,
    },
    outside::{Api, SLUICES},
    state::State,
    story::Story,
};

/// Everything that can happen at a moment.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// An operator sits down.
    Act(usize),
    NodeLost(usize, usize),
    /// Its agent is back; `true`: with nothing of what it had kept.
    NodeBack(usize, usize, bool),
    RelayLost(usize, Option<usize>),
    RelayBack(usize, Option<usize>),
    /// An API server dies for everybody, is slow for one, is unreachable for one.
    Dead(usize),
    Alive(usize),
    Mute(usize, usize),
    Slow(usize, usize),
    Unreachable(usize, usize),
    Reachable(usize, usize),
    PodsUnwatched(usize, usize),
    PodsWatched(usize, usize),
    Loss(usize, usize),
    Kill(usize),
    Start(usize),
    Skew(usize, usize, i64),
    StateLost(Option<usize>),
    StateBack,
    StateClock(i64),
    Drift(Row, Drift),
    Cni(usize),
    Judge(usize, bool),
    Moves(usize, usize, u8),
    Rebuilt(usize),
    Needs(Row),
    Hostile(Hostile),
    Calm,
}

impl Event {
    /// All that there are, a bit each; an operator who sits down is no fault.
    pub const KINDS: u64 = (1 << 38) - 1;

    fn kind(self) -> u64 {
        let nth = match self {
            Self::Act(_) => return 0,
            Self::NodeLost(..) => 0,
            Self::NodeBack(..) => 1,
            Self::RelayLost(..) => 2,
            Self::RelayBack(..) => 3,
            Self::Dead(_) => 4,
            Self::Alive(_) => 5,
            Self::Mute(..) => 6,
            Self::Slow(..) => 7,
            Self::Unreachable(..) => 8,
            Self::Reachable(..) => 9,
            Self::PodsUnwatched(..) => 10,
            Self::PodsWatched(..) => 11,
            Self::Loss(..) => 12,
            Self::Kill(_) => 13,
            Self::Start(_) => 14,
            Self::Skew(..) => 15,
            Self::StateLost(_) => 16,
            Self::StateBack => 17,
            Self::StateClock(_) => 18,
            Self::Cni(_) => 19,
            Self::Judge(..) => 20,
            Self::Moves(..) => 21,
            Self::Rebuilt(_) => 22,
            Self::Needs(_) => 23,
            Self::Calm => 24,
            Self::Drift(_, drift) => 25 + drift as u64,
            Self::Hostile(hostile) => 32 + hostile as u64,
        };
        1 << nth
    }
}

/// Third parties with kubectl.
#[derive(Clone, Copy, Debug)]
pub enum Drift {
    Deleted,
    Changed,
    Renamed,
    Opened,
    /// And back, a minute later.
    Flickers,
    Flagged,
    /// A policy of their own.
    Foreign,
}

/// Ways past the gate, tried with kubectl in the state cluster.
#[derive(Clone, Copy, Debug)]
pub enum Hostile {
    OwnApproval,
    ForgedAuthor,
    ForgedRequest,
    OtherCluster,
    Expired,
    Rewritten,
}

pub fn schedule(story: &mut Story) {
    let faults = story.rng.usize(60..140);
    for _ in 0..faults {
        let time = story.rng.i64(2 * HOUR..Story::CALM - HOUR);
        plan(story, time);
    }
    story.at(Story::CALM, Event::Calm);
}

/// One fault, and its end.
fn plan(story: &mut Story, time: i64) {
    let c = story.rng.usize(0..CLUSTERS.len());
    let node = story.rng.usize(0..CLUSTERS[c].1);
    let ns = story.rng.usize(0..CLUSTERS[c].2.len());
    let who = story.rng.usize(0..SLUICES);
    let one = story.rng.bool().then_some(who);
    let row = Row { cluster: c, ns, direction: *story.rng.choice(&Direction::ALL).expect("two") };
    let short = time + story.rng.i64(20..20 * MINUTE);
    let long = time + story.rng.i64(MINUTE..8 * HOUR);
    let (begins, ends) = match story.rng.u8(0..44) {
        0..=4 => (Event::NodeLost(c, node), Some((short, Event::NodeBack(c, node, story.rng.bool())))),
        5..=6 => (Event::NodeLost(c, node), Some((long, Event::NodeBack(c, node, story.rng.bool())))),
        7..=10 => (
            Event::RelayLost(c, one),
            Some((if time % 2 == 0 { short } else { long }, Event::RelayBack(c, one))),
        ),
        11..=12 => (
            Event::Dead(c),
            Some((long + story.rng.i64(0..2 * DAY) * i64::from(time % 5 == 0), Event::Alive(c))),
        ),
        13..=14 => (Event::Mute(c, who), Some((time + story.rng.i64(20..300), Event::Slow(c, who)))),
        15..=16 => (Event::Unreachable(c, who), Some((long, Event::Reachable(c, who)))),
        17..=18 => (Event::PodsUnwatched(c, who), Some((short, Event::PodsWatched(c, who)))),
        19..=21 => (Event::Loss(c, node), None),
        22..=25 => (Event::Kill(who), Some((short, Event::Start(who)))),
        26..=27 => {
            let skew = *story.rng.choice(&[45, -90, 3_600, -600]).expect("some");
            (Event::Skew(c, node, skew), Some((long, Event::Skew(c, node, 0))))
        }
        28..=29 => (Event::StateLost(one), Some((long, Event::StateBack))),
        30 => (Event::StateClock(story.rng.i64(-7_200..7_200)), None),
        31..=34 => (Event::Drift(row, drift(story)), None),
        35 => (Event::Cni(c), None),
        36 => (Event::Judge(c, false), Some((long, Event::Judge(c, true)))),
        37..=39 => {
            let on = story.rng.u8(0..1 << CLUSTERS[c].1);
            (Event::Moves(c, ns, on), Some((long + DAY, Event::Moves(c, ns, (1 << CLUSTERS[c].1) - 1))))
        }
        40 if time % 4 == 0 => (Event::Rebuilt(c), None),
        40..=41 => (Event::Needs(row), None),
        _ => (Event::Hostile(hostile(story)), None),
    };
    story.at(time, begins);
    if let Some((time, end)) = ends {
        story.at(time.min(Story::CALM - 1), end);
    }
}

fn drift(story: &mut Story) -> Drift {
    let all = [
        Drift::Deleted,
        Drift::Changed,
        Drift::Renamed,
        Drift::Opened,
        Drift::Flickers,
        Drift::Flagged,
        Drift::Foreign,
    ];
    *story.rng.choice(&all).expect("some")
}

fn hostile(story: &mut Story) -> Hostile {
    let all = [
        Hostile::OwnApproval,
        Hostile::ForgedAuthor,
        Hostile::ForgedRequest,
        Hostile::OtherCluster,
        Hostile::Expired,
        Hostile::Rewritten,
    ];
    *story.rng.choice(&all).expect("some")
}

pub fn happen(story: &mut Story, event: Event) {
    story.counts.faults += 1;
    story.counts.kinds |= event.kind();
    story.say(|| format!("{event:?}"));
    let now = story.now;
    match event {
        Event::Act(_) => {}
        Event::NodeLost(..) | Event::NodeBack(..) | Event::Loss(..) | Event::Skew(..) => {
            of_node(story, event);
        }
        Event::RelayLost(..) | Event::RelayBack(..) => of_relay(story, event),
        Event::Dead(_)
        | Event::Alive(_)
        | Event::Mute(..)
        | Event::Slow(..)
        | Event::Unreachable(..)
        | Event::Reachable(..)
        | Event::PodsUnwatched(..)
        | Event::PodsWatched(..) => of_api(story, event),
        Event::Kill(who) => {
            if story.sluices[who].alive {
                story.kill(who);
            }
        }
        Event::Start(who) => {
            if !story.sluices[who].alive {
                story.start(who);
            }
        }
        Event::StateLost(one) => match one {
            Some(who) => story.unlink(who),
            None => {
                story.state.alive = false;
                (0..SLUICES).for_each(|who| story.unlink(who));
            }
        },
        Event::StateBack => {
            story.state.alive = true;
            (0..SLUICES)
                .filter(|who| !story.sluices[*who].linked)
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|who| story.link(who));
        }
        Event::StateClock(skew) => story.state.skew = skew,
        Event::Drift(row, drift) => drifts(story, row, drift),
        Event::Cni(c) => {
            story.hear(c);
            story.clusters[c].cni += 1;
            let fact = story.clusters[c].cni_fact();
            story.tell(c, &fact);
            story.clusters[c].restart(now);
        }
        Event::Judge(c, enforces) => judge(story, c, enforces),
        Event::Moves(c, ns, on) => {
            story.hear(c);
            for fact in story.clusters[c].run_on(ns, on, now) {
                story.tell(c, &fact);
            }
        }
        Event::Rebuilt(c) => rebuilt(story, c),
        Event::Needs(row) => {
            story.needs.entry(row).and_modify(|needs| *needs |= VENDOR_B);
        }
        Event::Hostile(hostile) => attempt(story, hostile),
        Event::Calm => calm(story),
    }
}

fn of_node(story: &mut Story, event: Event) {
    let now = story.now;
    let (Event::NodeLost(c, _) | Event::NodeBack(c, ..) | Event::Loss(c, _) | Event::Skew(c, ..)) = event
    else {
        return;
    };
    story.hear(c);
    match event {
        Event::NodeLost(_, node) => {
            story.clusters[c].nodes[node].lost.get_or_insert(now);
        }
        Event::NodeBack(_, node, forgot) if story.clusters[c].nodes[node].lost.take().is_some() => {
            if forgot {
                story.clusters[c].nodes[node].forgot = now;
            }
            for who in followers(story) {
                let fact = story.clusters[c].node_back(who, node, now);
                fact.into_iter().for_each(|fact| story.sluices[who].tell_of(c, fact));
            }
        }
        Event::Loss(_, node) => {
            let fact = story.clusters[c].lose(node, now);
            for who in followers(story) {
                let seen = &story.clusters[c].seen[who];
                if seen.follows && seen.relay_lost.is_none() {
                    story.sluices[who].tell_of(c, fact.clone());
                }
            }
        }
        Event::Skew(_, node, skew) => story.clusters[c].nodes[node].skew = skew,
        _ => {}
    }
}

fn followers(story: &Story) -> Vec<usize> {
    (0..SLUICES).filter(|who| story.sluices[*who].alive && story.sluices[*who].follows_flows).collect()
}

fn of_relay(story: &mut Story, event: Event) {
    let now = story.now;
    let (Event::RelayLost(c, one) | Event::RelayBack(c, one)) = event else { return };
    story.hear(c);
    for who in followers(story).into_iter().filter(|who| one.is_none_or(|one| one == *who)) {
        if !story.clusters[c].seen[who].follows {
            continue;
        }
        let is_lost = story.clusters[c].seen[who].relay_lost.is_some();
        let facts = match event {
            Event::RelayLost(..) if !is_lost => story.clusters[c].relay_breaks(who, now),
            Event::RelayBack(..) if is_lost => story.clusters[c].relay_back(who, now),
            _ => Vec::new(),
        };
        facts.into_iter().for_each(|fact| story.sluices[who].tell_of(c, fact));
    }
}

fn of_api(story: &mut Story, event: Event) {
    match event {
        Event::Dead(c) => {
            story.hear(c);
            story.clusters[c].alive = false;
            (0..SLUICES).for_each(|who| away(story, c, who));
            if c == 0 {
                (0..SLUICES).for_each(|who| story.unlink(who));
            }
        }
        Event::Alive(c) => {
            story.clusters[c].alive = true;
            (0..SLUICES).for_each(|who| reached(story, c, who));
            if c == 0 && story.state.alive {
                (0..SLUICES).for_each(|who| story.link(who));
            }
        }
        Event::Mute(c, who) => {
            story.hear(c);
            let seen = &mut story.clusters[c].seen[who];
            if seen.api == Api::Up && !seen.partial {
                seen.api = Api::Mute;
            }
        }
        // It was only slow: what happened meanwhile is told now.
        Event::Slow(c, who) if story.clusters[c].seen[who].api == Api::Mute => {
            let alive = story.clusters[c].alive;
            if alive && story.sluices[who].alive && story.rng.bool() {
                story.clusters[c].seen[who].api = Api::Up;
                for fact in std::mem::take(&mut story.clusters[c].seen[who].late) {
                    story.sluices[who].tell_of(c, fact);
                }
            } else {
                away(story, c, who);
                reached(story, c, who);
            }
        }
        Event::Unreachable(c, who) => {
            story.hear(c);
            away(story, c, who);
        }
        Event::Reachable(c, who) => reached(story, c, who),
        Event::PodsUnwatched(c, who) => {
            story.hear(c);
            if story.sluices[who].alive && story.clusters[c].seen[who].api == Api::Up {
                let fact = story.clusters[c].break_pods(who);
                story.sluices[who].tell_of(c, fact);
            }
        }
        Event::PodsWatched(c, who) if story.sluices[who].alive && story.clusters[c].seen[who].partial => {
            let facts = story.clusters[c].mend_pods(who, story.now);
            facts.into_iter().for_each(|fact| story.sluices[who].tell_of(c, fact));
        }
        _ => {}
    }
}

fn away(story: &mut Story, c: usize, who: usize) {
    let fact = story.clusters[c].away(who);
    if story.sluices[who].alive {
        story.sluices[who].tell_of(c, fact);
    }
}

fn reached(story: &mut Story, c: usize, who: usize) {
    if story.sluices[who].alive && story.clusters[c].alive && story.clusters[c].seen[who].api != Api::Up {
        story.connect(c, who);
    }
}

/// The network plugin stops or begins to enforce, and everybody is told.
fn judge(story: &mut Story, c: usize, enforces: bool) {
    story.hear(c);
    let cluster = &mut story.clusters[c];
    if enforces {
        let from = cluster.unjudged.take().unwrap_or(story.now);
        cluster.nodes.iter_mut().for_each(|node| node.void.mark_touched(from, story.now));
    } else {
        cluster.unjudged.get_or_insert(story.now);
    }
    cluster.enforces = enforces;
    let fact = cluster.cni_fact();
    story.tell(c, &fact);
}

fn rebuilt(story: &mut Story, c: usize) {
    // The team's state would be gone with it.
    if c == 0 {
        return;
    }
    story.hear(c);
    story.clusters[c].rebuild(story.now);
    for who in 0..SLUICES {
        if story.clusters[c].seen[who].api == Api::Up {
            away(story, c, who);
            reached(story, c, who);
        }
    }
}

fn drifts(story: &mut Story, row: Row, drift: Drift) {
    let now = story.now;
    let c = row.cluster;
    // Third parties meddle with what is there.
    if story.clusters[c].tight(row.ns, row.direction).is_none() {
        return;
    }
    story.hear(c);
    let allowlist = Pinned::of(row.direction).find(|one| one.name.ends_with("-allowlist")).expect("one");
    let valve = Pinned::valve(row.direction);
    let write = |story: &mut Story, name: &str, made| {
        let fact = story.clusters[c].write((row.ns, name), made, "kubectl-edit", now);
        fact.into_iter().for_each(|fact| story.tell(c, &fact));
    };
    let other = make(row.name(), allowlist, VENDOR_A | VENDOR_B);
    match drift {
        Drift::Deleted => write(story, allowlist.name, None),
        Drift::Changed => write(story, allowlist.name, Some(other)),
        Drift::Renamed => {
            let made = foreign(row.name(), "mine", row.direction, VENDOR_A);
            write(story, "mine", Some(made));
            write(story, allowlist.name, None);
        }
        Drift::Opened => write(story, valve.name, Some(make(row.name(), valve, EVERYTHING))),
        Drift::Flickers => {
            let before = story.clusters[c].policies[&(row.ns, allowlist.name.to_owned())].made.clone();
            write(story, allowlist.name, None);
            write(story, allowlist.name, Some(before));
        }
        Drift::Flagged => write(story, allowlist.name, Some(make(row.name(), allowlist, VENDOR_A | FLAGGED))),
        Drift::Foreign => {
            let made = foreign(row.name(), "theirs", row.direction, VENDOR_B);
            write(story, "theirs", Some(made));
        }
    }
}

/// Mallory's part: what a person with kubectl and rights on reviews may try.
fn attempt(story: &mut Story, hostile: Hostile) {
    if !story.is_state_up() {
        return;
    }
    let now = story.now;
    // Mostly where it would open something.
    let is_flagged = |row: &Row| story.allowlists[row] & FLAGGED != 0;
    let all: Vec<_> = Row::all().filter(|row| row.direction == Direction::Egress).collect();
    let flagged: Vec<_> = all.iter().copied().filter(is_flagged).collect();
    let anywhere = flagged.is_empty() || story.rng.u8(0..4) == 0;
    let row = *story.rng.choice(if anywhere { &all } else { &flagged }).expect("some");
    let grant = |cluster: usize, uid: u32, expires: i64| Grant {
        clusters: State::uids(cluster, uid),
        ns: layout::ns_name(row.name()),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: Opening::Networks(vec![flagged_network()]),
        ports: vec![PortSpan {
            protocol: sluice::domain::flow::Protocol::Tcp,
            from: FLAGGED_PORT,
            to: FLAGGED_PORT,
        }],
        expires: at(expires),
    };
    let uid = story.clusters[row.cluster].uid;
    let review = |by: &str, grant: Grant| Review {
        requested_by: Text::new(by),
        aliases: Vec::new(),
        grant,
        findings: Vec::new(),
        purpose: Text::new("needed"),
        decisions: Vec::new(),
    };
    let decision = |by: &str, grant: &Grant, at_time: i64| Decision {
        verdict: DecisionVerdict::Approved,
        stamp: Stamp { by: Text::new(by), at: at(at_time) },
        reason: Text::new("fine"),
        ticket: None,
        clusters: grant.clusters.clone(),
        expires: None,
    };
    let long = grant(row.cluster, uid, now + 300 * DAY);
    let (asked, by, user) = match hostile {
        // The same person under another name where admission does not know of it.
        Hostile::OwnApproval => {
            (review("ann", long), *story.rng.choice(&["ann", "ann@corp"]).expect("two"), "")
        }
        Hostile::ForgedAuthor => (review("mallory", long), "bob", "mallory"),
        Hostile::ForgedRequest => (review("ann", long), "mallory", "mallory"),
        Hostile::OtherCluster => {
            (review("mallory", grant((row.cluster + 1) % 13, 1, now + 300 * DAY)), "bob", "")
        }
        Hostile::Expired => (review("mallory", grant(row.cluster, uid, now + HOUR)), "bob", ""),
        Hostile::Rewritten => (review("mallory", long), "mallory", ""),
    };
    let asks =
        if matches!(hostile, Hostile::ForgedRequest) { "mallory" } else { asked.requested_by.as_str() }
            .to_owned();
    let user = if user.is_empty() { by } else { user };
    let decided = decision(by, &asked.grant, now);
    if story.state.ask(&asks, asked, now).is_err() {
        return;
    }
    let Some(kept) = story.state.reviews.values().next_back().cloned() else { return };
    let answer = story.state.decide(user, &kept.name, &kept.version, decided);
    story.say(|| format!("{hostile:?} of {row}: {answer:?}"));
    if matches!(hostile, Hostile::Rewritten) {
        // Mallory's own approval, and then in another's name.
        let forged = story.state.rewrite(&kept.name, |one| one.stamp.by = Text::new("bob"));
        story.say(|| format!("rewritten: {forged:?}"));
    }
}

/// Everything that broke is mended.
fn calm(story: &mut Story) {
    story.calm = true;
    let broken: Vec<_> =
        story.events.values().copied().filter(|event| !matches!(event, Event::Act(_))).collect();
    story.events.retain(|_, event| matches!(event, Event::Act(_)));
    broken.into_iter().for_each(|event| happen(story, event));
    for (c, cluster) in CLUSTERS.iter().enumerate() {
        happen(story, Event::Alive(c));
        for node in 0..cluster.1 {
            happen(story, Event::NodeBack(c, node, false));
            happen(story, Event::Skew(c, node, 0));
        }
        happen(story, Event::RelayBack(c, None));
        if !story.clusters[c].enforces {
            happen(story, Event::Judge(c, true));
        }
        for who in 0..SLUICES {
            happen(story, Event::PodsWatched(c, who));
            happen(story, Event::Slow(c, who));
            happen(story, Event::Reachable(c, who));
        }
    }
    (0..SLUICES).for_each(|who| happen(story, Event::Start(who)));
    story.state.skew = 0;
    happen(story, Event::StateBack);
}
