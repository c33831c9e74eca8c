//! Lets a week happen, an hour at a time: scripts become connections and lookups in order of time,
//! each with what must be made of it. Seeded; never looks at a clock; keeps only what the scripts
//! must remember.

use std::{collections::HashMap, net::IpAddr, ops::Range};

use fastrand::Rng;

use super::{
    event::{Connection, Event, Expect, Fate, Grade, Lookup, Place, Question, What},
    inventory::{DAY, HOUR, Inventory, Kind, MINUTE, SECOND},
    script::{Manner, Party, Protocol, Rhythm, Script},
};

/// A pod that asked once has a stale answer after this, whatever its lifetime here.
const STALE_AFTER: i64 = 2 * HOUR;
/// Nothing is new so close to the ends of the week: clocks are off by seconds.
const MARGIN: i64 = 10 * SECOND;

pub struct Week {
    pub inventory: Inventory,
    pub scripts: Vec<Script>,
    pub window: Range<i64>,
    /// Nothing happens after it, where that is before the window's end.
    pub until: i64,
    /// A node's agent loses some events about so many times a day.
    pub losses_a_day: f64,
    /// Pods ask a cache on their node, which asks the resolver: only the node's address is seen there.
    pub node_cache: bool,
    /// Of the connections, so many are reported with their answering packets.
    pub replies: f64,
    rng: Rng,
    hour: i64,
    source_port: u16,
    /// When a pod asked for a script's name, where it asks once.
    asked: HashMap<(usize, usize), i64>,
}

impl Week {
    /// The window's ends are whole hours.
    pub fn new(inventory: Inventory, scripts: Vec<Script>, window: Range<i64>, seed: u64) -> Self {
        Self {
            inventory,
            scripts,
            hour: window.start,
            until: window.end,
            window,
            losses_a_day: 0.0,
            node_cache: false,
            replies: 0.2,
            rng: Rng::with_seed(seed),
            source_port: 32_768,
            asked: HashMap::new(),
        }
    }

    /// Appends the next hour's events, in order of time. False when the week is over.
    pub fn next_hour(&mut self, events: &mut Vec<Event>) -> bool {
        if self.hour >= self.window.end {
            return false;
        }
        let first = events.len();
        for script in 0..self.scripts.len() {
            for at in self.visits(script) {
                self.visit(script, at, events);
            }
        }
        self.losses(events);
        // Stable: of two events at the same moment the one made first stays first.
        events[first..].sort_by_key(|event| event.at);
        self.hour += HOUR;
        true
    }

    /// When a script's visits of this hour are, in order.
    fn visits(&mut self, script: usize) -> Vec<i64> {
        let it = &self.scripts[script];
        if it.active.end <= self.hour || self.hour + HOUR <= it.active.start {
            return Vec::new();
        }
        if let (Party::Workload(workload), Rhythm::WithPods) = (it.from, it.rhythm) {
            return self.runs(workload);
        }
        let expected = it.visits_a_day / 24.0 * it.rhythm.weight(self.hour / HOUR);
        let count = expected as usize + usize::from(self.rng.f64() < expected.fract());
        // Whoever asks for the other name asks at the end of the hour before.
        let early = if matches!(it.manner, Manner::AsksBoth { .. }) { 20 * MINUTE } else { MARGIN };
        let (from, until) = (self.hour + early, self.hour + HOUR - 50 * SECOND);
        let mut all: Vec<i64> = (0..count).map(|_| self.rng.i64(from..until)).collect();
        let active = self.scripts[script].active.clone();
        all.retain(|at| active.contains(at));
        all.sort_unstable();
        all
    }

    /// One visit for each run of a CronJob that begins in this hour.
    fn runs(&mut self, workload: usize) -> Vec<i64> {
        let hour = self.hour..self.hour + HOUR;
        let pods = &self.inventory.workloads[workload].pods;
        let starts = pods.iter().map(|pod| self.inventory.pods[*pod].life.start);
        starts.filter(|start| hour.contains(start)).map(|start| start + 4 * SECOND).collect()
    }

    fn visit(&mut self, script: usize, at: i64, events: &mut Vec<Event>) {
        let it = self.scripts[script].clone();
        let Some(from) = self.caller(it.from, at) else { return };
        if self.is_silent(from, at) {
            return;
        }
        let Some((expect, ready)) = self.find(script, &it, from, at, events) else { return };
        let addresses = match it.to {
            Party::Site(site) => self.inventory.sites[site].at(at).to_vec(),
            Party::Workload(_) | Party::Api | Party::Nodes => Vec::new(),
        };
        let mut next = ready;
        for _ in 0..it.connections {
            let Some(to) = self.callee(it.to, from, next, &addresses) else { return };
            let connection = self.connection(&it, from, to, expect);
            self.push(events, next, What::Connection(connection));
            next += SECOND + self.rng.i64(0..3 * SECOND / i64::from(it.connections.max(1)));
        }
    }

    /// Does what the caller does to learn the address. Says what a reader can know of it and when
    /// the first packet goes; nothing if there is no connection this time.
    fn find(
        &mut self,
        script: usize,
        it: &Script,
        from: Place,
        at: i64,
        events: &mut Vec<Event>,
    ) -> Option<(Expect, i64)> {
        let soon = at + MINUTE / 1000 + self.rng.i64(0..SECOND / 2);
        let site = match it.to {
            Party::Site(site) => site,
            Party::Workload(workload) => {
                if it.manner == Manner::Asks && self.inventory.workloads[workload].service.is_some() {
                    self.ask(events, from, Question::Service { workload }, at, 0);
                }
                return Some((Expect::default(), soon));
            }
            Party::Api | Party::Nodes => return Some((Expect::default(), soon)),
        };
        let fresh = self.expect(Grade::Fresh, site);
        let plain = Question::Site { site, v6: false };
        match it.manner {
            Manner::Asks => self.ask(events, from, plain, at, 0),
            Manner::Searches => {
                for suffix in 0..3 {
                    self.ask(events, from, Question::Miss { site, suffix }, at, 0);
                }
                self.ask(events, from, Question::Empty { site }, at + SECOND / 100, 0);
                self.ask(events, from, plain, at + SECOND / 100, 0);
            }
            Manner::AsksLate => {
                let late = self.rng.i64(SECOND / 2..SECOND);
                self.ask(events, from, plain, at, late);
                return Some((fresh, at + SECOND / 1000));
            }
            Manner::AsksForV6 => self.ask(events, from, Question::Site { site, v6: true }, at, 0),
            Manner::AsksBoth { other } => {
                if (at / HOUR) % 2 == 0 {
                    self.ask(events, from, Question::Site { site: other, v6: false }, at - 10 * SECOND, 0);
                    self.ask(events, from, plain, at, 0);
                    let expect = self.expect(Grade::Ambiguous, site);
                    return Some((Expect { also: expect.site.map(|_| other), ..expect }, soon));
                }
                self.ask(events, from, plain, at, 0);
            }
            Manner::AsksOnce | Manner::AsksLongBefore => return self.ask_once(script, it, from, at, events),
            Manner::SomeAsk => match from {
                Place::Pod(pod) if pod % 2 == 0 => self.ask(events, from, plain, at, 0),
                Place::Pod(_) | Place::Node(_) | Place::Outside(_) => return Some((Expect::default(), soon)),
            },
            Manner::Never | Manner::DeniedLeaving | Manner::DeniedArriving | Manner::Unclear => {
                return Some((Expect::default(), soon));
            }
        }
        match from {
            Place::Pod(_) => Some((fresh, soon)),
            Place::Node(_) | Place::Outside(_) => Some((Expect::default(), soon)),
        }
    }

    fn ask_once(
        &mut self,
        script: usize,
        it: &Script,
        from: Place,
        at: i64,
        events: &mut Vec<Event>,
    ) -> Option<(Expect, i64)> {
        let (Place::Pod(pod), Party::Site(site)) = (from, it.to) else { return None };
        let Some(asked) = self.asked.get(&(script, pod)).copied() else {
            self.asked.insert((script, pod), at);
            self.ask(events, from, Question::Site { site, v6: false }, at, 0);
            let fresh = self.expect(Grade::Fresh, site);
            return (it.manner == Manner::AsksOnce).then_some((fresh, at + SECOND / 10));
        };
        let stale = self.expect(Grade::Stale, site);
        (at - asked > STALE_AFTER).then_some((stale, at))
    }

    /// Behind a cache on the node nobody can say which pod asked.
    fn expect(&self, grade: Grade, site: usize) -> Expect {
        if self.node_cache { Expect::default() } else { Expect { grade, site: Some(site), also: None } }
    }

    fn ask(&mut self, events: &mut Vec<Event>, asker: Place, question: Question, at: i64, late: i64) {
        if self.inventory.resolvers.is_empty() {
            return;
        }
        let resolver = self.inventory.resolvers[self.rng.usize(..self.inventory.resolvers.len())];
        let source_port = self.port();
        let asker = match asker {
            Place::Pod(pod) if self.node_cache => Place::Node(self.inventory.pods[pod].node),
            Place::Pod(_) | Place::Node(_) | Place::Outside(_) => asker,
        };
        self.push(events, at, What::Lookup(Lookup { asker, question, resolver, source_port, late }));
    }

    fn connection(&mut self, it: &Script, from: Place, to: Place, expect: Expect) -> Connection {
        let fate = match it.manner {
            Manner::DeniedLeaving => Fate::DeniedLeaving,
            Manner::DeniedArriving => Fate::DeniedArriving,
            Manner::Unclear => Fate::Unclear,
            Manner::Asks
            | Manner::Searches
            | Manner::AsksLate
            | Manner::AsksForV6
            | Manner::AsksBoth { .. }
            | Manner::AsksOnce
            | Manner::AsksLongBefore
            | Manner::SomeAsk
            | Manner::Never => Fate::Passes,
        };
        let ported = it.protocol != Protocol::Icmp;
        Connection {
            from,
            to,
            v6: matches!(to, Place::Outside(IpAddr::V6(_))),
            source_port: if ported { self.port() } else { 0 },
            port: if ported { it.port } else { 0 },
            protocol: it.protocol,
            fate,
            replies: fate == Fate::Passes && self.rng.f64() < self.replies,
            expect,
        }
    }

    fn caller(&mut self, party: Party, at: i64) -> Option<Place> {
        match party {
            Party::Workload(workload) => {
                let alive: Vec<usize> = self.inventory.alive(workload, at).collect();
                // A run's own pod: the youngest.
                let pod = match self.inventory.workloads[workload].kind {
                    Kind::CronJob => alive.last().copied(),
                    _ if alive.is_empty() => None,
                    Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                        Some(alive[self.rng.usize(..alive.len())])
                    }
                };
                pod.map(|pod| self.place_of(pod))
            }
            Party::Site(site) => {
                let addresses = self.inventory.sites[site].at(at);
                Some(Place::Outside(addresses[self.rng.usize(..addresses.len())]))
            }
            Party::Api => Some(Place::Node(0)),
            Party::Nodes => Some(Place::Node(self.rng.usize(..self.inventory.nodes.len()))),
        }
    }

    fn callee(&mut self, party: Party, from: Place, at: i64, addresses: &[IpAddr]) -> Option<Place> {
        match party {
            Party::Site(_) if addresses.is_empty() => None,
            Party::Site(_) => Some(Place::Outside(addresses[self.rng.usize(..addresses.len())])),
            // The kubelet asks the pods of its own node.
            Party::Workload(workload) if matches!(from, Place::Node(_)) => {
                let Place::Node(node) = from else { return None };
                let own =
                    self.inventory.alive(workload, at).find(|pod| self.inventory.pods[*pod].node == node);
                own.or_else(|| self.inventory.alive(workload, at).next()).map(|pod| self.place_of(pod))
            }
            Party::Workload(_) | Party::Api | Party::Nodes => self.caller(party, at).filter(|to| *to != from),
        }
    }

    fn place_of(&self, pod: usize) -> Place {
        if self.inventory.is_host(pod) { Place::Node(self.inventory.pods[pod].node) } else { Place::Pod(pod) }
    }

    /// Nothing begins on a node that reports nothing: what would be made of the rest is not asked here.
    fn is_silent(&self, from: Place, at: i64) -> bool {
        let node = match from {
            Place::Pod(pod) => self.inventory.pods[pod].node,
            Place::Node(node) => node,
            Place::Outside(_) => return false,
        };
        let silent = self.inventory.nodes[node].silent.as_ref();
        silent.is_some_and(|silent| (silent.start - MINUTE..silent.end + MINUTE).contains(&at))
    }

    fn losses(&mut self, events: &mut Vec<Event>) {
        for node in 0..self.inventory.nodes.len() {
            if self.rng.f64() >= self.losses_a_day * HOUR as f64 / DAY as f64 {
                continue;
            }
            let at = self.rng.i64(self.hour + MINUTE..self.hour + HOUR - MINUTE);
            if at < self.until && !self.is_silent(Place::Node(node), at) {
                let count = self.rng.u64(1..5_000);
                events.push(Event { at, what: What::Lost { node, count } });
            }
        }
    }

    /// Events of the last seconds of the week would leave it on a clock that is ahead.
    fn push(&self, events: &mut Vec<Event>, at: i64, what: What) {
        if at > self.until {
            return;
        }
        events.push(Event { at: at.clamp(self.window.start + MARGIN, self.window.end - MARGIN), what });
    }

    fn port(&mut self) -> u16 {
        self.source_port = if self.source_port >= 60_990 { 32_768 } else { self.source_port + 1 };
        self.source_port
    }
}
