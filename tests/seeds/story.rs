//! One seed: 13 clusters, a state cluster and three sluices over weeks. Steps go from event to event;
//! between two events nothing happens but what nodes say. First faults, then none.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sluice::{
    cockpit::{
        orders::{OrderKind, Outcome},
        plan::FleetFile,
        ports::{ClusterFact, Fact, Link, OrderFact, Trouble},
        shared::{Observer, Share, SharedFact, SharedRights},
    },
    domain::{fleet::Isolation, names::Text},
};

use super::{
    faults::{self, Event},
    laws::{self, Laws},
    layout::{
        self, CAP_PERCENT, CLUSTERS, DAY, FLAGGED, HOUR, MINUTE, Row, VENDOR_A, VENDOR_B, cluster_name,
    },
    one::{Fate, Sluice, stopped},
    outside::{Api, Cluster, SLUICES},
    people,
    state::State,
};

/// Law, and what broke it.
#[derive(Clone, Debug)]
pub struct Broken {
    pub law: &'static str,
    pub said: String,
}

/// What a seed went through, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub steps: u64,
    pub faults: u64,
    pub applies: u64,
    pub refusals: u64,
    pub rollbacks: u64,
    pub cleans: u64,
    /// Writes without an answer.
    pub unsaid: u64,
    pub rest_day: i64,
    /// Kinds of faults, a bit each.
    pub kinds: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.faults += other.faults;
        self.applies += other.applies;
        self.refusals += other.refusals;
        self.rollbacks += other.rollbacks;
        self.cleans += other.cleans;
        self.unsaid += other.unsaid;
        self.rest_day = self.rest_day.max(other.rest_day);
        self.kinds |= other.kinds;
    }

    /// Did everything happen that a set of seeds is there for?
    pub fn is_whole(&self) -> bool {
        let each = [self.applies, self.refusals, self.rollbacks, self.cleans, self.unsaid];
        each.iter().all(|count| *count > 0) && self.kinds == Event::KINDS
    }
}

pub struct Story {
    pub rng: fastrand::Rng,
    pub now: i64,
    pub clusters: Vec<Cluster>,
    pub state: State,
    pub sluices: Vec<Sluice>,
    /// Who writes evidence of each cluster.
    pub holders: Vec<Option<usize>>,
    /// What the workspace's allowlists open, and what workloads need.
    pub allowlists: HashMap<Row, u8>,
    pub needs: HashMap<Row, u8>,
    pub fleet: FleetFile,
    pub events: BTreeMap<(i64, u64), Event>,
    nth: u64,
    /// Nothing goes wrong any more, and nobody does anything foolish.
    pub calm: bool,
    pub laws: Laws,
    pub counts: Counts,
    pub broken: Option<Broken>,
    /// What happened last, if anybody wants to know.
    trace: Option<VecDeque<String>>,
    flushed: i64,
}

impl Story {
    /// Faults stop on this day.
    pub const CALM: i64 = 15 * DAY;
    /// And so long after it everything has come to rest.
    pub const REST: i64 = 60 * DAY;
    /// Nodes are read, and observers write, so often; and where nothing happens any more.
    const FLUSH: i64 = 4 * HOUR;
    const CALM_FLUSH: i64 = 12 * HOUR;

    /// With everything that goes wrong, and two operators.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut story = Self::quiet(seed, trace);
        story.at(HOUR, Event::Act(1));
        story.at(HOUR + 20 * MINUTE, Event::Act(2));
        faults::schedule(&mut story);
        story
    }

    /// Nothing is planned: three sluices look at a fleet in which nothing is live.
    pub fn quiet(seed: u64, trace: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let skew = rng.i64(-600..600);
        let state = State::new(rng.u8(0..4) > 0, rng.i64(-300..300));
        let mut allowlists = HashMap::new();
        let mut needs = HashMap::new();
        for row in Row::all() {
            let flagged = if row.direction == sluice::domain::flow::Direction::Egress && rng.u8(0..6) == 0 {
                FLAGGED
            } else {
                0
            };
            allowlists.insert(row, VENDOR_A | flagged);
            needs.insert(row, VENDOR_A | if rng.u8(0..8) == 0 { VENDOR_B } else { 0 });
        }
        let mut story = Self {
            now: 0,
            clusters: (0..CLUSTERS.len()).map(Cluster::new).collect(),
            state,
            sluices: vec![
                Sluice::new("watch", true, 0),
                Sluice::new("ann", true, 0),
                Sluice::new("bob", false, skew),
            ],
            holders: vec![None; CLUSTERS.len()],
            allowlists,
            needs,
            fleet: layout::fleet_file(CAP_PERCENT),
            events: BTreeMap::new(),
            nth: 0,
            calm: false,
            laws: Laws::default(),
            counts: Counts::default(),
            broken: None,
            trace: trace.then(VecDeque::new),
            flushed: 0,
            rng,
        };
        for who in 0..SLUICES {
            story.start(who);
        }
        story
    }

    pub fn at(&mut self, time: i64, event: Event) {
        self.nth += 1;
        self.events.insert((time, self.nth), event);
    }

    pub fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == 20_000 {
                trace.pop_front();
            }
            let (day, rest) = (self.now.div_euclid(DAY), self.now.rem_euclid(DAY));
            trace.push_back(format!(
                "day {day} {:02}:{:02}:{:02} {}",
                rest / HOUR,
                rest / 60 % 60,
                rest % 60,
                words()
            ));
        }
    }

    pub fn trace(&self) -> impl Iterator<Item = &String> {
        self.trace.iter().flatten()
    }

    /// The time by which things expire for this sluice.
    pub fn latest(&self, who: usize) -> i64 {
        self.sluices[who].latest(self.now)
    }

    pub fn break_law(&mut self, law: &'static str, said: String) {
        self.broken.get_or_insert(Broken { law, said });
    }

    /// Runs it to its end: the fleet is at rest, or a law is broken.
    pub fn run(&mut self) {
        while self.broken.is_none() {
            self.step();
            if self.calm && self.flushed == self.now {
                self.settle(0);
                if laws::is_at_rest(self) {
                    self.counts.rest_day = self.now / DAY;
                    laws::at_rest(self);
                    return;
                }
            }
            if self.now > Self::CALM + Self::REST {
                (0..SLUICES).for_each(|who| self.settle(who));
                let said = laws::what_stands(self);
                self.break_law("rest", said);
            }
        }
    }

    pub fn step(&mut self) {
        self.counts.steps += 1;
        let flush = self.flushed + if self.calm { Self::CALM_FLUSH } else { Self::FLUSH };
        let next = self.events.first_key_value().map_or(flush, |((at, _), _)| *at);
        let busy = self.sluices.iter().any(|one| !one.running.is_empty() || !one.shares.is_empty());
        self.now = next.min(flush).min(if busy { self.now + MINUTE } else { i64::MAX }).max(self.now);
        for sluice in self.sluices.iter_mut().filter(|sluice| sluice.alive) {
            sluice.tick(self.now);
        }
        if self.now >= flush {
            self.flush();
        }
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            if let Event::Act(who) = event {
                self.share_all();
                self.settle(who);
                people::act(self, who);
                laws::spot(self, who);
                let pause = self.rng.i64(2 * HOUR..7 * HOUR) * if self.calm { 2 } else { 1 };
                self.at(self.now + pause, Event::Act(who));
            } else {
                faults::happen(self, event);
            }
        }
        self.carry_on();
        self.share_all();
        self.observe();
        for sluice in self.sluices.iter_mut().filter(|sluice| sluice.alive) {
            sluice.journal();
        }
    }

    /// Facts come in batches: a world is settled before somebody reads it.
    pub fn settle(&mut self, who: usize) {
        let sluice = &mut self.sluices[who];
        if sluice.alive && sluice.touched {
            sluice.settle();
        }
    }

    // Starting, connecting.

    pub fn start(&mut self, who: usize) {
        self.say(|| format!("sluice {who} starts"));
        let files = layout::files(&self.allowlists);
        self.sluices[who].start(self.fleet.clone(), files, self.now);
        self.sluices[who].tick(self.now);
        for cluster in 0..CLUSTERS.len() {
            self.connect(cluster, who);
        }
        self.link(who);
        self.elect();
    }

    pub fn kill(&mut self, who: usize) {
        self.say(|| format!("sluice {who} is killed"));
        self.sluices[who].kill();
        for cluster in &mut self.clusters {
            cluster.forgotten(who);
        }
        for holder in &mut self.holders {
            *holder = holder.filter(|holder| *holder != who);
        }
        self.elect();
    }

    pub fn connect(&mut self, cluster: usize, who: usize) {
        if !self.sluices[who].alive || self.clusters[cluster].seen[who].api == Api::Up {
            return;
        }
        if !self.clusters[cluster].alive {
            let fact = self.clusters[cluster].away(who);
            self.sluices[who].tell_of(cluster, fact);
            return;
        }
        let user = self.sluices[who].user;
        for fact in self.clusters[cluster].connect(who, user, self.now) {
            self.sluices[who].tell_of(cluster, fact);
        }
        // The first time since it was started; from then on its flows break and mend on their own.
        if self.sluices[who].follows_flows && !self.clusters[cluster].seen[who].follows {
            let fact = self.clusters[cluster].follow(who, self.now);
            self.sluices[who].tell_of(cluster, fact);
        }
    }

    /// A fact of a cluster reaches whoever is connected to it and does not look away.
    pub fn tell(&mut self, cluster: usize, fact: &ClusterFact) {
        for who in 0..SLUICES {
            let seen = &mut self.clusters[cluster].seen[who];
            let hidden = seen.partial && matches!(fact, ClusterFact::Pods(_));
            match seen.api {
                Api::Up if self.sluices[who].alive && !hidden => {
                    self.sluices[who].tell_of(cluster, fact.clone());
                }
                Api::Mute => seen.late.push(fact.clone()),
                Api::Up | Api::Down => {}
            }
        }
    }

    /// What the nodes of a cluster had to say so far reaches who follows it.
    pub fn hear(&mut self, cluster: usize) {
        self.clusters[cluster].note_ran(self.now);
        for who in 0..SLUICES {
            let sluice = &mut self.sluices[who];
            if !sluice.alive {
                continue;
            }
            let here = &mut self.clusters[cluster];
            let answered = here.answer(who, self.now);
            let heard = if sluice.follows_flows { here.hear(who, self.now) } else { Vec::new() };
            answered.into_iter().chain(heard).for_each(|fact| sluice.tell_of(cluster, fact));
        }
    }

    fn flush(&mut self) {
        self.flushed = self.now;
        let refresh = self.now.rem_euclid(12 * HOUR) < Self::FLUSH;
        for (cluster, layout) in CLUSTERS.iter().enumerate() {
            self.hear(cluster);
            let row = |ns, direction| Row { cluster, ns, direction };
            let needs: Vec<[u8; 2]> = (0..layout.2.len())
                .map(|ns| {
                    sluice::domain::flow::Direction::ALL.map(|direction| self.needs[&row(ns, direction)])
                })
                .collect();
            let flows = self.clusters[cluster].judged(&needs, self.now);
            for who in 0..SLUICES {
                let sluice = &mut self.sluices[who];
                let follows = sluice.alive && sluice.follows_flows;
                let seen = &self.clusters[cluster].seen[who];
                let lost = !seen.follows || seen.relay_lost.is_some();
                if let Some(flows) = flows.as_ref().filter(|_| follows && !lost) {
                    sluice.tell_of(cluster, flows.clone());
                    if self.holders[cluster] == Some(who) {
                        laws::denied(self, cluster);
                    }
                }
            }
            if refresh {
                let fact = self.clusters[cluster].cni_fact();
                self.tell(cluster, &fact);
            }
        }
    }

    // The state cluster.

    pub fn is_state_up(&self) -> bool {
        self.state.alive && self.clusters[0].alive
    }

    pub fn link(&mut self, who: usize) {
        if !self.sluices[who].alive || !self.is_state_up() {
            return;
        }
        let lists = self.state.lists();
        let sluice = &mut self.sluices[who];
        let yes = Some(true);
        let rights = SharedRights {
            ask_review: yes,
            decide_review: yes,
            hold: yes,
            waive: yes,
            overrule: yes,
            record: yes,
            exclude: yes,
            confirm: yes,
        };
        (sluice.linked, sluice.told) = (true, self.state.changes.len());
        sluice.show(self.now + self.state.skew, self.now);
        lists.into_iter().for_each(|fact| sluice.share(fact));
        sluice.share(SharedFact::Rights(rights));
        sluice.share(SharedFact::Link(Link::Live));
        self.tell_observers();
    }

    pub fn unlink(&mut self, who: usize) {
        let sluice = &mut self.sluices[who];
        if sluice.alive && std::mem::replace(&mut sluice.linked, false) {
            let trouble = Trouble::new("stg-1", "no answer within 5 s", "Check the network.");
            sluice.share(SharedFact::Link(Link::Broken(trouble)));
        }
    }

    /// Who watches a cluster: the watcher if it lives, else a cockpit.
    pub fn elect(&mut self) {
        for cluster in 0..CLUSTERS.len() {
            let fits = |who: &usize| {
                let sluice = &self.sluices[*who];
                sluice.alive && sluice.follows_flows
            };
            let kept = self.holders[cluster].filter(fits);
            self.holders[cluster] = kept.or_else(|| (0..SLUICES).find(fits));
        }
        self.tell_observers();
    }

    pub fn holder_name(&self, who: usize) -> Text {
        Text::new(["watch@host", "ann@laptop", "bob@laptop"][who])
    }

    fn tell_observers(&mut self) {
        for who in 0..SLUICES {
            if !self.sluices[who].alive || !self.sluices[who].linked {
                continue;
            }
            for (cluster, layout) in CLUSTERS.iter().enumerate() {
                let observer = self.holders[cluster].map(|holder| Observer {
                    holder: self.holder_name(holder),
                    renewed: layout::at(self.now),
                    is_us: holder == who,
                });
                let fact = SharedFact::Observer(cluster_name(layout.0), observer);
                self.sluices[who].share(fact);
            }
        }
    }

    /// Writes of all sluices reach the state cluster, in an order of chance, and its watches tell.
    fn share_all(&mut self) {
        let first = self.rng.usize(0..SLUICES);
        for who in (0..SLUICES).map(|nth| (first + nth) % SLUICES) {
            for (id, share) in std::mem::take(&mut self.sluices[who].shares) {
                let what = Text::new(share.words());
                let reaches = self.is_state_up() && self.sluices[who].linked;
                let fate = self.fate();
                let landed = match (reaches, fate) {
                    (true, Fate::Answered | Fate::LandedUnsaid) => {
                        laws::will_write(self, who, &share);
                        let of = match &share {
                            Share::Evidence { evidence, .. } => Some(Row::of(&evidence.target).cluster),
                            _ => None,
                        };
                        let landed = self.state.write(self.sluices[who].user, share, self.now);
                        if let (Some(cluster), Ok(())) = (of, &landed) {
                            self.clusters[cluster].said(who, id);
                        }
                        landed
                    }
                    _ => Err(Trouble::new("state", "no answer within 5 s", "Try again.")),
                };
                let result = match fate {
                    Fate::Answered => landed,
                    _ => Err(Trouble::new("state", "no answer within 5 s", "Try again.")),
                };
                self.sluices[who].share(SharedFact::Wrote { id, what, result });
            }
        }
        let clock = self.now + self.state.skew;
        for sluice in self.sluices.iter_mut().filter(|sluice| sluice.alive && sluice.linked) {
            sluice.show(clock, self.now);
            for nth in sluice.told..self.state.changes.len() {
                sluice.share(self.state.changes[nth].clone());
            }
            sluice.told = self.state.changes.len();
        }
    }

    pub fn fate(&mut self) -> Fate {
        if self.calm {
            return Fate::Answered;
        }
        let fate = match self.rng.u8(0..40) {
            0 => Fate::LandedUnsaid,
            1 => Fate::LostUnsaid,
            _ => Fate::Answered,
        };
        self.counts.unsaid += u64::from(fate != Fate::Answered);
        fate
    }

    /// Observers write what they saw: at every flush, and at once where something restarted.
    fn observe(&mut self) {
        let is_flush = self.flushed == self.now;
        for cluster in 0..CLUSTERS.len() {
            let Some(who) = self.holders[cluster] else { continue };
            if !self.sluices[who].linked || !self.is_state_up() {
                continue;
            }
            let name = self.holder_name(who);
            if is_flush || self.clusters[cluster].has_unsaid(who) {
                self.settle(who);
                for (row, id) in self.sluices[who].publish(cluster, &name) {
                    self.clusters[cluster].says(who, (row.ns, row.direction), id);
                }
            }
        }
    }

    // Orders.

    /// Every order goes one write further.
    fn carry_on(&mut self) {
        for who in 0..SLUICES {
            let ids: Vec<_> = self.sluices[who].running.iter().map(|running| running.id).collect();
            if !ids.is_empty() {
                laws::abort_works(self, who);
            }
            for id in ids {
                if let Some(outcome) = self.order_step(who, id) {
                    self.say(|| format!("sluice {who}: order {id} ends: {}", outcome.word()));
                    self.sluices[who].end(id, outcome);
                }
            }
        }
    }

    fn order_step(&mut self, who: usize, id: sluice::cockpit::orders::OrderId) -> Option<Outcome> {
        let at = self.sluices[who].running.iter().position(|running| running.id == id)?;
        let waits = self.sluices[who].running[at].after;
        if waits.is_some_and(|after| self.sluices[who].running.iter().any(|other| other.id == after)) {
            return None;
        }
        let fate = self.fate();
        let running = &mut self.sluices[who].running[at];
        let (row, kind) = (running.row, running.kind);
        if running.aborted && kind != OrderKind::Rollback {
            return Some(Outcome::Aborted { isolation: None });
        }
        let cluster = &mut self.clusters[row.cluster];
        if !cluster.alive || cluster.seen[who].api == Api::Down {
            return Some(stopped("no answer within 5 s"));
        }
        if running.steps.is_none()
            && let Err(outcome) = running.prepare(cluster)
        {
            return Some(outcome);
        }
        if running.is_done() {
            return Some(Outcome::Done { isolation: Isolation::default() });
        }
        let before = cluster.ours_open(row.ns, row.direction);
        let step = running.steps.as_ref().expect("prepared")[running.done].clone();
        let (seen, receipt, goes_on) = running.step(cluster, fate, self.now);
        let after = self.clusters[row.cluster].ours_open(row.ns, row.direction);
        self.say(|| {
            format!("sluice {who}: {kind:?} {row}: {} {} ({fate:?})", step.verb(), step.pinned().name)
        });
        laws::wrote(self, (who, at), &step, (before, after));
        if let Some(seen) = &seen {
            self.tell(row.cluster, seen);
        }
        self.sluices[who].tell(Fact::Order(id, OrderFact::Wrote(receipt)));
        let unsettled = || Outcome::Unsettled(Trouble::new("policies", "no answer", "The watch will tell."));
        match fate {
            _ if !goes_on => Some(stopped("it changed")),
            Fate::Answered => None,
            // Read back: it is there.
            Fate::LandedUnsaid => self.rng.bool().then(unsettled),
            Fate::LostUnsaid => Some(unsettled()),
        }
    }
}
