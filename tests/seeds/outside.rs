//! One cluster of the modelled outside: its objects, its nodes, and for each sluice how far that is
//! connected and what it was told. Beside it the truth: which minutes nobody saw.

use std::{collections::BTreeMap, rc::Rc};

use sluice::{
    cockpit::{
        ports::{Change, ClusterFact, Gap, Link, SourceState, Trouble},
        shared::ShareId,
    },
    domain::{
        evidence::Cause,
        fleet::{Cni, CniKind, Enforcement, Identity, NamespaceSeen, Part, Pod, Rights},
        flow::{Direction, End, Flow, FlowId, PolicyRef, Protocol, Verdict},
        names::{PodName, PolicyName, Text, Workload},
        policy::{Labels, Pinned, Policy, PolicyDigest, PolicyKey, PolicyKind},
        preflight::report::Report,
        resolver::DnsPath,
        source::SourceKind,
    },
};

use super::{
    bits::Bits,
    layout::{CLUSTERS, EVERYTHING, FLAGGED, HOUR, Made, VENDOR_A, VENDOR_B, at, node_name, ns_name, set},
};

/// So many sluices look at it.
pub const SLUICES: usize = 3;
/// How long a node keeps what nobody has read.
pub const RING: i64 = HOUR;

/// From when to when (seconds; none: still), with which digest.
type Stretch = (i64, Option<i64>, PolicyDigest);

/// Something that voids what was counted before, and that only those know who saw it.
struct Unsaid {
    ns: usize,
    direction: Direction,
    at: i64,
    watched: [bool; SLUICES],
    /// Evidence of theirs that says it, and has not landed yet.
    under_way: Vec<(usize, ShareId)>,
}

/// What is live in one direction of a namespace.
#[derive(Clone, Copy)]
pub struct Digests {
    /// Of all that selects its pods, where our whole set is live and closed.
    pub tight: Option<PolicyDigest>,
    /// Of the pinned ones.
    pub ours: PolicyDigest,
}

impl Digests {
    fn of_nothing() -> [Self; 2] {
        [Self { tight: None, ours: PolicyDigest::of([]) }; 2]
    }
}

/// A live policy.
#[derive(Clone)]
pub struct Live {
    pub made: Rc<Made>,
    pub version: u64,
    pub by: &'static str,
}

/// How far one sluice is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Up,
    /// It answers nothing, and nobody has noticed.
    Mute,
    Down,
}

pub struct Seen {
    pub api: Api,
    /// Its watch of pods broke.
    pub partial: bool,
    /// Its lists are whole since then.
    whole: i64,
    /// What its watch will tell once it goes on.
    pub late: Vec<ClusterFact>,
    /// It has begun to follow flows here since it was started.
    pub follows: bool,
    /// Its telemetry broke then.
    pub relay_lost: Option<i64>,
    /// By node: read from, up to, and an open gap told of it.
    read: Vec<(i64, i64, Option<i64>)>,
    pub looked: Bits,
    pub heard: Vec<Bits>,
}

pub struct Node {
    /// Its agent is not heard since then.
    pub lost: Option<i64>,
    /// When it last lost what it had kept.
    pub forgot: i64,
    pub skew: i64,
    pub losses: Vec<i64>,
    pub void: Bits,
}

pub struct Cluster {
    pub number: usize,
    pub uid: u32,
    /// Its API server answers.
    pub alive: bool,
    pub enforces: bool,
    /// It does not enforce since then.
    pub unjudged: Option<i64>,
    pub cni: u32,
    pub policies: BTreeMap<(usize, String), Live>,
    /// By namespace the nodes that run its pods, and where they ran.
    pub runs: Vec<u8>,
    /// When those pods started.
    started: Vec<[i64; 2]>,
    ran: Vec<[Bits; 2]>,
    ran_noted: i64,
    /// By namespace and direction: stretches in which the whole set was live and closed, the newest
    /// perhaps open, each with its digest.
    pub closed: Vec<[Vec<Stretch>; 2]>,
    /// The digests of what is live.
    digests: Vec<[Digests; 2]>,
    /// What was counted before is void; and what becomes void once one of those who saw it has said so.
    void_before: Vec<[i64; 2]>,
    unsaid: Vec<Unsaid>,
    pub nodes: Vec<Node>,
    pub seen: Vec<Seen>,
    versions: u64,
    pub flows: u64,
}

impl Cluster {
    pub fn new(number: usize) -> Self {
        let (_, nodes, names) = CLUSTERS[number];
        let seen = || Seen {
            api: Api::Down,
            partial: false,
            whole: 0,
            late: Vec::new(),
            follows: false,
            relay_lost: None,
            read: vec![(0, 0, None); nodes],
            looked: Bits::default(),
            heard: vec![Bits::default(); nodes],
        };
        let node = || Node { lost: None, forgot: 0, skew: 0, losses: Vec::new(), void: Bits::default() };
        Self {
            number,
            uid: 1,
            alive: true,
            enforces: true,
            unjudged: None,
            cni: 1,
            policies: BTreeMap::new(),
            runs: vec![(1 << nodes) - 1; names.len()],
            started: names.iter().map(|_| [0; 2]).collect(),
            ran: names.iter().map(|_| Default::default()).collect(),
            ran_noted: 0,
            closed: names.iter().map(|_| Default::default()).collect(),
            digests: names.iter().map(|_| Digests::of_nothing()).collect(),
            void_before: names.iter().map(|_| [0; 2]).collect(),
            unsaid: Vec::new(),
            nodes: (0..nodes).map(|_| node()).collect(),
            seen: (0..SLUICES).map(|_| seen()).collect(),
            versions: 0,
            flows: 0,
        }
    }

    fn names(&self) -> &'static [&'static str] {
        CLUSTERS[self.number].2
    }

    // What is there.

    fn policy(&self, live: &Live) -> Policy {
        let mut policy = live.made.policy.clone();
        policy.version = Some(live.version.to_string().into());
        std::sync::Arc::make_mut(&mut policy.marks).managers = vec![Text::new(live.by)];
        policy
    }

    fn pod(&self, ns: usize, node: usize) -> Pod {
        Pod {
            ns: ns_name(self.names()[ns]),
            name: PodName::parse(["web-0", "web-1"][node]).expect("a name"),
            labels: Labels::default(),
            workload: Workload::new("Deployment", "web"),
            node: Some(node_name(node)),
            host_network: false,
            finished: false,
            started: Some(at(self.started[ns][node])),
            ready: Some(at(self.started[ns][node])),
        }
    }

    fn pods(&self) -> Vec<Pod> {
        let all = self.runs.iter().enumerate();
        all.flat_map(|(ns, on)| {
            (0..self.nodes.len()).filter(move |node| on >> node & 1 == 1).map(move |node| self.pod(ns, node))
        })
        .collect()
    }

    /// The pinned objects of one direction.
    pub fn live_set(
        &self,
        ns: usize,
        direction: Direction,
    ) -> impl Iterator<Item = (&'static Pinned, &Live)> {
        Pinned::of(direction)
            .filter_map(move |pinned| Some((pinned, self.policies.get(&(ns, pinned.name.to_owned()))?)))
    }

    /// What our own policies leave open: everything while none of them is there.
    pub fn ours_open(&self, ns: usize, direction: Direction) -> u8 {
        let all = self.live_set(ns, direction).map(|(_, live)| live.made.opens);
        all.reduce(|all, one| all | one).unwrap_or(EVERYTHING)
    }

    /// What pods of the namespace may reach (or be reached by): everything while no policy selects
    /// them, else what any of them opens.
    pub fn may(&self, ns: usize, direction: Direction) -> u8 {
        let here = self.policies.range((ns, String::new())..(ns + 1, String::new()));
        let judging = here.filter(|(_, live)| live.made.policy.isolates(direction) == Some(true));
        judging.map(|(_, live)| live.made.opens).reduce(|all, one| all | one).unwrap_or(EVERYTHING)
    }

    pub fn digests(&self, ns: usize, direction: Direction) -> Digests {
        self.digests[ns][direction as usize]
    }

    /// The digest of the whole set where all of it is live and closed.
    pub fn tight(&self, ns: usize, direction: Direction) -> Option<PolicyDigest> {
        self.digests(ns, direction).tight
    }

    fn digest_anew(&mut self, ns: usize) {
        self.digests[ns] = Direction::ALL.map(|direction| Digests {
            tight: self.find_tight(ns, direction),
            ours: PolicyDigest::of(self.live_set(ns, direction).map(|(_, live)| &live.made.policy)),
        });
    }

    fn find_tight(&self, ns: usize, direction: Direction) -> Option<PolicyDigest> {
        let set: Vec<_> = self.live_set(ns, direction).collect();
        let required = Pinned::of(direction).filter(|pinned| pinned.is_required()).count();
        let is_open = |(pinned, live): &(&Pinned, &Live)| {
            pinned.name.starts_with("default-deny") && live.made.opens == EVERYTHING
        };
        if set.len() < required || set.iter().any(is_open) {
            return None;
        }
        let all = self.policies.range((ns, String::new())..(ns + 1, String::new()));
        let of = all.map(|(_, live)| &live.made.policy).filter(|one| one.isolates(direction) != Some(false));
        Some(PolicyDigest::of(of))
    }

    // What changes.

    /// Somebody writes a policy, or with `None` deletes it.
    pub fn write(
        &mut self,
        (ns, name): (usize, &str),
        made: Option<Rc<Made>>,
        by: &'static str,
        now: i64,
    ) -> Option<ClusterFact> {
        let key = (ns, name.to_owned());
        let fact = match made {
            None => {
                self.policies.remove(&key)?;
                Change::Gone(PolicyKey {
                    ns: Some(ns_name(self.names()[ns])),
                    kind: PolicyKind::NetworkPolicy,
                    name: PolicyName::parse(name).expect("a name"),
                })
            }
            Some(made) => {
                self.versions += 1;
                let live = Live { made, version: self.versions, by };
                let fact = Change::Put(self.policy(&live));
                self.policies.insert(key, live);
                fact
            }
        };
        self.note_closed(ns, now);
        Some(ClusterFact::Policies(PolicyKind::NetworkPolicy, fact))
    }

    fn note_closed(&mut self, ns: usize, now: i64) {
        self.digest_anew(ns);
        let watched = self.watched();
        for direction in Direction::ALL {
            let digest = self.tight(ns, direction);
            let stretches = &mut self.closed[ns][direction as usize];
            if let Some((_, until @ None, then)) = stretches.last_mut() {
                if Some(*then) == digest {
                    continue;
                }
                *until = Some(now);
                self.unsaid.push(Unsaid { ns, direction, at: now, watched, under_way: Vec::new() });
            }
            stretches.extend(digest.map(|digest| (now, None, digest)));
        }
    }

    /// Who looks at its lists now.
    fn watched(&self) -> [bool; SLUICES] {
        std::array::from_fn(|who| self.seen[who].api == Api::Up && !self.seen[who].partial)
    }

    /// All of its credit is void, once somebody who saw why has published it.
    pub fn restart(&mut self, now: i64) {
        let watched = self.watched();
        let rows = (0..self.names().len()).flat_map(|ns| Direction::ALL.map(|direction| (ns, direction)));
        let live: Vec<_> = rows.filter(|(ns, direction)| self.tight(*ns, *direction).is_some()).collect();
        self.unsaid.extend(live.into_iter().map(|(ns, direction)| Unsaid {
            ns,
            direction,
            at: now,
            watched,
            under_way: Vec::new(),
        }));
    }

    /// This sluice sends its evidence of a row.
    pub fn says(&mut self, who: usize, (ns, direction): (usize, Direction), id: ShareId) {
        let known = self.unsaid.iter_mut().filter(|it| (it.ns, it.direction) == (ns, direction));
        known.filter(|it| it.watched[who]).for_each(|it| it.under_way.push((who, id)));
    }

    /// And it was written.
    pub fn said(&mut self, who: usize, id: ShareId) {
        for it in self.unsaid.extract_if(.., |it| it.under_way.contains(&(who, id))) {
            let before = &mut self.void_before[it.ns][it.direction as usize];
            *before = it.at.max(*before);
        }
    }

    /// Of rows that are not live nothing is written until they are again.
    pub fn has_unsaid(&self, who: usize) -> bool {
        self.unsaid.iter().any(|it| it.watched[who] && self.tight(it.ns, it.direction).is_some())
    }

    /// It stopped without a word: what only it knew is lost.
    pub fn forgotten(&mut self, who: usize) {
        self.unsaid.iter_mut().for_each(|it| it.watched[who] = false);
        self.seen[who].api = Api::Down;
        self.seen[who].follows = false;
        self.seen[who].late.clear();
    }

    /// Another cluster of the same name, in which nothing is.
    pub fn rebuild(&mut self, now: i64) {
        self.uid += 1;
        self.policies.clear();
        self.digests.fill(Digests::of_nothing());
        self.closed.iter_mut().flatten().for_each(Vec::clear);
        self.void_before.iter_mut().flatten().for_each(|before| *before = now);
    }

    /// Pods of the namespace run on these nodes from now on.
    pub fn run_on(&mut self, ns: usize, on: u8, now: i64) -> Vec<ClusterFact> {
        self.note_ran(now);
        let before = std::mem::replace(&mut self.runs[ns], on);
        for node in 0..self.nodes.len() {
            if (before | on) >> node & 1 == 1 {
                self.ran[ns][node].mark_touched(now, now);
            }
        }
        let mut facts = Vec::new();
        for node in 0..self.nodes.len() {
            let change = (before >> node & 1, on >> node & 1);
            if change == (0, 1) {
                self.started[ns][node] = now;
            }
            let pod = self.pod(ns, node);
            match change {
                (0, 1) => facts.push(ClusterFact::Pods(Change::Put(pod))),
                (1, 0) => facts.push(ClusterFact::Pods(Change::Gone((pod.ns, pod.name)))),
                _ => {}
            }
        }
        facts
    }

    pub fn note_ran(&mut self, now: i64) {
        let from = self.ran_noted;
        self.ran_noted = now;
        for (ns, on) in self.runs.iter().enumerate() {
            for node in (0..self.nodes.len()).filter(|node| on >> node & 1 == 1) {
                self.ran[ns][node].mark_touched(from, now);
            }
        }
    }

    pub fn cni_fact(&self) -> ClusterFact {
        ClusterFact::Cni(Cni {
            kind: CniKind::Cilium,
            version: Some(Text::from(format!("1.16.{}", self.cni))),
            enforcement: if self.enforces { Enforcement::Enforces } else { Enforcement::DoesNot },
            evidence: Text::new("DaemonSet kube-system/cilium"),
        })
    }

    // What one sluice is told.

    /// A session begins: everything anew.
    pub fn connect(&mut self, who: usize, user: &str, now: i64) -> Vec<ClusterFact> {
        let seen = &mut self.seen[who];
        (seen.api, seen.partial, seen.whole) = (Api::Up, false, now);
        let yes = Some(true);
        let rights =
            Rights { read: yes, create: yes, patch: yes, delete: yes, portforward: yes, ..Rights::default() };
        let uid = Some(Text::from(format!("uid-{}-{}", self.number, self.uid)));
        let nothing_open =
            Report { checks: Vec::new(), engine: None, dns_mode: None, offers: Vec::new(), printing: None };
        vec![
            ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() },
            ClusterFact::Preflight(Box::new(nothing_open)),
            ClusterFact::Identity(Identity { user: Text::new(user), groups: Vec::new() }),
            ClusterFact::Rights(rights),
            self.cni_fact(),
            ClusterFact::Dns(DnsPath::Direct { evidence: Text::new("no cache") }),
            self.namespaces(),
            self.list_policies(),
            ClusterFact::Pods(Change::Reset(self.pods())),
        ]
    }

    fn namespaces(&self) -> ClusterFact {
        let seen = |name: &&str| NamespaceSeen {
            name: ns_name(name),
            labels: Labels::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        ClusterFact::Namespaces(Change::Reset(self.names().iter().map(seen).collect()))
    }

    fn list_policies(&self) -> ClusterFact {
        let all = self.policies.values().map(|live| self.policy(live)).collect();
        ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(all))
    }

    /// Its API server does not answer this sluice any more, and that was noticed.
    pub fn away(&mut self, who: usize) -> ClusterFact {
        self.seen[who].api = Api::Down;
        self.seen[who].late.clear();
        ClusterFact::Away(self.trouble("no answer within 5 s"))
    }

    pub fn break_pods(&mut self, who: usize) -> ClusterFact {
        self.seen[who].partial = true;
        ClusterFact::Partial { what: Part::Pods, trouble: Some(self.trouble("the watch broke")) }
    }

    pub fn mend_pods(&mut self, who: usize, now: i64) -> Vec<ClusterFact> {
        let seen = &mut self.seen[who];
        (seen.partial, seen.whole) = (false, now);
        vec![
            ClusterFact::Partial { what: Part::Pods, trouble: None },
            ClusterFact::Pods(Change::Reset(self.pods())),
        ]
    }

    fn trouble(&self, fact: &str) -> Trouble {
        Trouble::new(CLUSTERS[self.number].0, fact, "Check the network.")
    }

    /// A good answer; up to here this sluice missed nothing.
    pub fn answer(&mut self, who: usize, now: i64) -> Option<ClusterFact> {
        let seen = &mut self.seen[who];
        if seen.api != Api::Up {
            return None;
        }
        if !seen.partial {
            seen.looked.mark_inside(seen.whole, now);
        }
        Some(ClusterFact::Answered)
    }

    pub fn source(&self, link: Link) -> ClusterFact {
        ClusterFact::Source(SourceState {
            kind: SourceKind::Hubble,
            name: Text::new("Hubble Relay"),
            link,
            history_from: None,
            lag: None,
            nodes_connected: None,
            nodes_unavailable: None,
            malformed: 0,
            repeats: 0,
        })
    }

    /// A sluice begins to follow its flows.
    pub fn follow(&mut self, who: usize, now: i64) -> ClusterFact {
        let skews: Vec<_> = self.nodes.iter().map(|node| now + node.skew).collect();
        let seen = &mut self.seen[who];
        (seen.follows, seen.relay_lost) = (true, None);
        seen.read = skews.into_iter().map(|own| (own, own, None)).collect();
        self.source(Link::Live)
    }

    /// Everything that the nodes had to say up to now.
    pub fn hear(&mut self, who: usize, now: i64) -> Vec<ClusterFact> {
        let seen = &mut self.seen[who];
        let mut out = Vec::new();
        if !seen.follows || seen.relay_lost.is_some() {
            return out;
        }
        for (at_node, node) in self.nodes.iter().enumerate() {
            let (begun, read, gap) = &mut seen.read[at_node];
            if let Some(lost) = node.lost {
                // Found out late.
                if now - lost > 180 && gap.is_none() {
                    *gap = Some(*read);
                    out.push(gap_of(Some(at_node), (*read, None), Cause::SourceSilent, None));
                }
                continue;
            }
            let until = now - 1 + node.skew;
            if until <= *read {
                continue;
            }
            out.push(ClusterFact::Heard { node: node_name(at_node), from: at(*read), until: at(until) });
            // A clock that is far ahead is not believed.
            if node.skew <= 60 {
                seen.heard[at_node].mark_inside((*begun).max(*read - 120), until);
                *read = until;
            }
        }
        out
    }

    /// A node's agent is heard again. What nobody read is read again, if the node still has it.
    pub fn node_back(&mut self, who: usize, node: usize, now: i64) -> Option<ClusterFact> {
        let Node { lost, forgot, skew, .. } = self.nodes[node];
        let seen = &mut self.seen[who];
        if !seen.follows || seen.relay_lost.is_some() || lost.is_some() {
            return None;
        }
        let (begun, read, gap) = &mut seen.read[node];
        let unread = *read - skew;
        if now - unread <= RING && forgot <= unread {
            return gap.take().map(|from| gap_of(Some(node), (from, Some(from)), Cause::SourceSilent, None));
        }
        let from = gap.take().unwrap_or(*read);
        (*begun, *read) = (now + skew, now + skew);
        Some(gap_of(Some(node), (from, Some(now + skew.clamp(0, 60))), Cause::AgentRestart, None))
    }

    pub fn relay_breaks(&mut self, who: usize, now: i64) -> Vec<ClusterFact> {
        let mut out = self.hear(who, now);
        self.seen[who].relay_lost = Some(now);
        out.push(self.source(Link::Broken(self.trouble("connection refused"))));
        out.push(gap_of(None, (now, None), Cause::SourceSilent, None));
        out
    }

    /// It is back: what the nodes still have is read again, with what they lost meanwhile.
    pub fn relay_back(&mut self, who: usize, now: i64) -> Vec<ClusterFact> {
        let Some(from) = self.seen[who].relay_lost.take() else { return Vec::new() };
        let until = if now - from <= RING { from } else { now };
        let mut out =
            vec![self.source(Link::Live), gap_of(None, (from, Some(until)), Cause::SourceSilent, None)];
        for node in 0..self.nodes.len() {
            out.extend(self.node_back(who, node, now));
            let losses = self.nodes[node].losses.iter().filter(|at| **at >= from);
            out.extend(losses.map(|at| gap_of(Some(node), (at - 30, Some(*at)), Cause::Loss, Some(7))));
        }
        out
    }

    /// A node lost events just now; who follows is told at once.
    pub fn lose(&mut self, node: usize, now: i64) -> ClusterFact {
        self.nodes[node].losses.push(now);
        self.nodes[node].void.mark_touched(now - 30, now);
        gap_of(Some(node), (now - 30, Some(now)), Cause::Loss, Some(7))
    }

    /// What the data plane judged lately: in each closed row something passed on each node, and what
    /// its workloads need and may not is denied.
    pub fn judged(&mut self, needs: &[[u8; 2]], now: i64) -> Option<ClusterFact> {
        let mut flows = Vec::new();
        for (ns, needs) in needs.iter().enumerate() {
            for direction in Direction::ALL {
                if self.tight(ns, direction).is_none() {
                    continue;
                }
                let may = self.may(ns, direction);
                for node in (0..self.nodes.len()).filter(|node| self.runs[ns] >> node & 1 == 1) {
                    if self.nodes[node].lost.is_some() {
                        continue;
                    }
                    self.flows += 1;
                    flows.push(self.flow((ns, node), direction, VENDOR_A, true, now));
                    let lacks = needs[direction as usize] & !may;
                    for bit in [VENDOR_A, VENDOR_B, FLAGGED].into_iter().filter(|bit| lacks & bit != 0) {
                        self.flows += 1;
                        flows.push(self.flow((ns, node), direction, bit, false, now));
                    }
                }
            }
        }
        (!flows.is_empty()).then_some(ClusterFact::Flows(flows))
    }

    fn flow(&self, (ns, node): (usize, usize), direction: Direction, to: u8, passes: bool, now: i64) -> Flow {
        let name = match direction {
            Direction::Egress => "egress-allowlist",
            Direction::Ingress => "ingress-allowlist",
        };
        let pod = self.pod(ns, node);
        let by = PolicyRef {
            kind: PolicyKind::NetworkPolicy,
            ns: Some(pod.ns.clone()),
            name: PolicyName::parse(name).expect("a name"),
        };
        let verdict = match passes {
            true => Verdict::Allowed { by: vec![by] },
            false => Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        };
        let ours =
            End { ns: Some(pod.ns), pod: Some(pod.name), workload: Some(pod.workload), ..End::default() };
        let other = End { names: vec![Text::new(place_name(to))], ..End::default() };
        let (source, destination) = match direction {
            Direction::Egress => (ours, other),
            Direction::Ingress => (other, ours),
        };
        Flow {
            id: FlowId(format!("{}-{}", self.number, self.flows).into()),
            at: at(now - 2),
            node: Some(node_name(node)),
            direction,
            verdict,
            source,
            destination,
            protocol: Protocol::Tcp,
            source_port: 40_000,
            port: 443,
            reply: None,
            closing: false,
        }
    }

    // The truth.

    /// All credit from before then is void, and somebody has published why.
    pub fn void_before(&self, ns: usize, direction: Direction) -> i64 {
        self.void_before[ns][direction as usize]
    }

    /// Minutes that may count at most for these bytes: closed all through, not void, seen by somebody,
    /// and every node that ran a pod was heard whole by somebody.
    pub fn truth(
        &self,
        ns: usize,
        direction: Direction,
        digest: PolicyDigest,
        (from, until): (i64, i64),
    ) -> Bits {
        let from = from.max(self.void_before[ns][direction as usize]);
        let mut closed = Bits::default();
        for (begun, end, then) in &self.closed[ns][direction as usize] {
            if *then == digest {
                closed.mark_inside((*begun).max(from), end.unwrap_or(until).min(until));
            }
        }
        let mut out = Bits::default();
        let words = from.div_euclid(3_840).max(0) as usize..until.div_euclid(3_840) as usize + 1;
        for word in words {
            let looked = self.seen.iter().fold(0, |all, seen| all | seen.looked.word(word));
            let mut counts = closed.word(word) & looked;
            let mut ran = 0;
            for (node, it) in self.nodes.iter().enumerate() {
                let here = self.ran[ns][node].word(word);
                let heard = self.seen.iter().fold(0, |all, seen| all | seen.heard[node].word(word));
                ran |= here;
                counts &= !here | (heard & !it.void.word(word));
            }
            out.set_word(word, counts & ran);
        }
        out
    }

    /// What of the workspace's bytes is live as it should be.
    pub fn has(&self, row: super::layout::Row, allowlist: u8) -> bool {
        set(row, allowlist).all(|(name, made)| {
            self.policies
                .get(&(row.ns, name.to_owned()))
                .is_some_and(|live| live.made.policy.canonical == made.policy.canonical)
        })
    }
}

pub fn place_name(bit: u8) -> &'static str {
    match bit {
        VENDOR_A => "a.example.com",
        VENDOR_B => "b.example.com",
        _ => "tunnel.example.org",
    }
}

fn gap_of(
    node: Option<usize>,
    (from, until): (i64, Option<i64>),
    cause: Cause,
    lost: Option<u64>,
) -> ClusterFact {
    ClusterFact::Gap(Gap {
        node: node.map(node_name),
        from: at(from),
        until: until.map(at),
        lost,
        cause,
        why: Text::new("told by the source"),
    })
}
