//! One edge against one model: every pair of pods that it may stand for, both families apart. A pair
//! that is denied weighs more than one that is unknown, and that more than one that passes. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use foldhash::fast::FixedState;

use super::{place::Placed, prediction::Family, replay::Wanted};
use crate::domain::{
    edge::{DnsName, Edge, EdgeKey, Peer},
    eval::{
        cluster::Cluster,
        judge::Question,
        model::{Model, Party, PodId},
        plugin::{Plugin, ServiceView},
        rule,
        verdict::{Decision, Doubt, Verdict},
    },
    flow::{Direction, Entity, Protocol},
    names::{NsName, Text, Workload},
    opened::{Opened, What},
    policy::Policy,
    wildcard::Wildcard,
};

/// What is decided of an edge in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weighed {
    pub family: Family,
    pub verdict: Verdict,
    /// Not all pairs of pods are alike.
    pub is_part: bool,
    pub why: Option<Why>,
}

/// Why it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Doubt(Doubt),
    Said(Text),
}

/// A model, and what else an edge is weighed with.
pub(super) struct Scales<'s> {
    cluster: &'s Cluster,
    pub model: &'s Model,
    placed: &'s Placed<'s>,
    direction: Direction,
    /// Policies by name among the wanted ones.
    names: Vec<&'s Policy>,
    /// Pods of the row's own workloads, one of each class.
    own: HashMap<(&'s str, &'s str), Vec<(usize, PodId)>, FixedState>,
    /// Every pod of the namespace is in one class.
    only: Option<PodId>,
    /// Addresses of caches on the nodes: as peers they are hosts.
    caches: BTreeSet<IpAddr>,
}

/// One end of a question.
#[derive(Clone, Copy)]
struct Way {
    party: Party,
    family: Family,
    port: u16,
    through: Option<(IpAddr, u16)>,
}

impl<'s> Scales<'s> {
    /// `names`: the policies by name that count beside NetworkPolicies.
    pub fn new(
        cluster: &'s Cluster,
        model: &'s Model,
        placed: &'s Placed<'s>,
        wanted: Wanted<'s>,
        names: Vec<&'s Policy>,
    ) -> Self {
        let direction = wanted.direction;
        let mut own: HashMap<_, Vec<(usize, PodId)>, FixedState> = HashMap::default();
        for (pod, place) in
            cluster.pods.iter().zip(0..).filter(|(pod, _)| pod.ns == *wanted.ns && !pod.finished)
        {
            let (Some(workload), Some(id)) = (&pod.workload, model.pod_at(place)) else { continue };
            let known = own.entry((workload.kind.as_str(), workload.name.as_str())).or_default();
            let class = model.class_of(id, direction);
            if known.iter().all(|(_, other)| model.class_of(*other, direction) != class) {
                known.push((place, id));
            }
        }
        // What selects every pod selects those of a workload that is not running, too.
        let is_all = cluster.foreign.iter().all(|foreign| !foreign.has(direction))
            && cluster.policies.iter().all(|policy| {
                policy.ns != *wanted.ns
                    || policy.rules.rules(direction).is_none()
                    || policy.rules.selector.is_everything()
            });
        let first = own.values().flatten().min_by_key(|(place, _)| *place).map(|(_, id)| *id);
        let caches = caches(cluster);
        Self { cluster, model, placed, direction, names, own, only: first.filter(|_| is_all), caches }
    }

    /// Is every pod of the namespace selected by the same policies?
    pub fn is_uniform(&self) -> bool {
        let mut opened = self.names.iter().flat_map(|policy| &policy.opens);
        self.only.is_some() && opened.all(|opened| opened.selector.is_everything())
    }

    /// Every family that the edge can have been of, each once.
    pub fn weigh(&self, key: &EdgeKey, edge: &Edge) -> Vec<Weighed> {
        let own = self.own_pods(&key.workload, &key.ns);
        if own.is_empty() {
            let fact = format!(
                "no pod of {} runs now, so which policies would select its pods is not known",
                key.workload
            );
            return vec![unknown(Family::of(&key.peer), fact)];
        }
        let open = |id: &PodId| self.model.class_of(*id, self.direction).is_none() && self.names.is_empty();
        if own.iter().all(open) {
            let (verdict, family) = (Verdict::Allowed, Family::of(&key.peer));
            return vec![Weighed { family, verdict, is_part: false, why: None }];
        }
        let mut sums: Vec<(Family, Sum)> = Vec::new();
        for id in own {
            let ways = match self.ways(key, id) {
                Ok(ways) => ways,
                Err(fact) => {
                    let decision = self.somebody(key, id);
                    if decision == Verdict::Allowed {
                        add(&mut sums, Family::of(&key.peer), Verdict::Allowed, None);
                    } else {
                        let why = Some(Why::Said(Text::from(fact)));
                        add(&mut sums, Family::of(&key.peer), Verdict::Unknown, why);
                    }
                    continue;
                }
            };
            for way in ways {
                let (verdict, why) = self.one(key, edge, id, way);
                add(&mut sums, way.family, verdict, why);
            }
        }
        summed(sums)
    }

    fn own_pods(&self, workload: &Workload, ns: &NsName) -> Vec<PodId> {
        if let Some(pods) = self.own.get(&(workload.kind.as_str(), workload.name.as_str())) {
            return pods.iter().map(|(_, id)| *id).collect();
        }
        // The source does not say the kind.
        let places = self.placed.of(ns, workload);
        let mut out: Vec<PodId> = Vec::new();
        for id in places.iter().filter_map(|place| self.model.pod_at(*place)) {
            let class = self.model.class_of(id, self.direction);
            if out.iter().all(|other| self.model.class_of(*other, self.direction) != class) {
                out.push(id);
            }
        }
        if out.is_empty() { self.only.into_iter().collect() } else { out }
    }

    /// Were the peer anybody at all: only a rule for everybody lets it pass.
    fn somebody(&self, key: &EdgeKey, own: PodId) -> Verdict {
        let party = Party::outside(None);
        let way = Way { party, family: Family::Unsaid, port: key.port, through: None };
        let decision = self.ask(key.protocol, own, way);
        match decision {
            Decision::Unknown(Doubt::Protocol) => Verdict::Unknown,
            decision => decision.verdict(),
        }
    }

    fn ways(&self, key: &EdgeKey, own: PodId) -> Result<Vec<Way>, String> {
        let way = |party, family| Way { party, family, port: key.port, through: None };
        match &key.peer {
            Peer::Address(address) => {
                let address = address.to_canonical();
                let family = Family::of(&key.peer);
                if self.caches.contains(&address) {
                    return Ok(vec![way(Party::host(address), family)]);
                }
                if self.direction == Direction::Egress
                    && let Some(behind) = self.model.behind(address, key.protocol, key.port)
                {
                    if behind.is_err() && self.model.is_service(address, "default", "kubernetes") {
                        let api = self.cluster.around.api.iter();
                        let api = api.filter(|(one, _)| one.is_ipv4() == address.is_ipv4());
                        let one = |(address, port): &(IpAddr, u16)| Way {
                            port: *port,
                            ..way(self.model.party(*address), family)
                        };
                        let ways: Vec<Way> = api.map(one).collect();
                        if !ways.is_empty() && self.model.traits().service == ServiceView::Backend {
                            return Ok(ways);
                        }
                    }
                    let one = |way: crate::domain::eval::parties::Behind| Way {
                        party: way.party,
                        family,
                        port: way.port,
                        through: way.through,
                    };
                    return Ok(behind?.into_iter().map(one).collect());
                }
                Ok(vec![way(self.model.party(address), family)])
            }
            Peer::Pods { ns, workload } => {
                let places = self.placed.of(ns, workload);
                if places.is_empty() {
                    return self.absent(key, &format!("{ns}/{workload}"));
                }
                let mut out = Vec::new();
                for (place, id) in places.iter().filter_map(|at| Some((at, self.model.pod_at(*at)?))) {
                    let addresses = &self.cluster.pods[*place].addresses;
                    if addresses.is_empty() {
                        out.push(way(self.model.party_of(id, None), Family::Unsaid));
                    }
                    out.extend(addresses.iter().map(|address| {
                        way(self.model.party_of(id, Some(*address)), Family::of_address(*address))
                    }));
                }
                Ok(out)
            }
            Peer::Entity(entity) => self
                .entity(*entity, own)
                .map(|parties| parties.into_iter().map(|party| way(party, Family::Unsaid)).collect()),
            Peer::Unsaid(class) if class.as_str().is_empty() => {
                Err("the source does not say who the other end is".to_owned())
            }
            Peer::Unsaid(class) => Err(format!("all that the source says of the other end is {class}")),
        }
    }

    fn entity(&self, entity: Entity, own: PodId) -> Result<Vec<Party>, String> {
        match entity {
            Entity::World => Err("all that the source says of the other end is world".to_owned()),
            Entity::Host | Entity::Health => Ok(vec![self.model.node_of(own)]),
            Entity::RemoteNode => Ok(vec![Party::other_node()]),
            // On a node of the cluster, or somewhere else: the provider's choice.
            Entity::KubeApiserver => Ok(vec![Party::other_node(), Party::outside(None)]),
            Entity::Ingress | Entity::Unmanaged => {
                Err(format!("which rules mean {} is not known", entity.as_str()))
            }
        }
    }

    /// A peer of which no pod runs: a rule that takes every pod of its namespace takes it too.
    fn absent(&self, key: &EdgeKey, named: &str) -> Result<Vec<Way>, String> {
        let Peer::Pods { ns, .. } = &key.peer else { return Ok(Vec::new()) };
        let fact = format!("no pod of {named} runs now, so which rules mean it is not known");
        let namespace = self.cluster.namespaces.iter().find(|one| one.name == *ns);
        let takes_all = |pods: &rule::Pods, own: bool| {
            pods.pods.as_ref().is_none_or(|selector| selector.is_everything())
                && match &pods.namespaces {
                    None => own,
                    Some(selector) => {
                        selector.is_everything() || namespace.is_some_and(|one| selector.matches(&one.labels))
                    }
                }
        };
        let opens = |rule: &rule::Rule| {
            let ports = rule.ports.is_empty()
                || rule.ports.iter().any(|port| match port {
                    rule::PortMatch::Protocol(protocol) => *protocol == key.protocol,
                    rule::PortMatch::Span(span) => {
                        span.protocol == key.protocol && (span.from..=span.to).contains(&key.port)
                    }
                    rule::PortMatch::Named { .. } => false,
                });
            ports
                && rule.peers.iter().any(|peer| match peer {
                    rule::Peer::Pods(pods) => takes_all(pods, *ns == key.ns),
                    rule::Peer::Block { .. } => false,
                })
        };
        let policies = self.cluster.policies.iter().filter(|policy| policy.ns == key.ns);
        let mut whole = policies.filter(|policy| policy.rules.selector.is_everything());
        let passes = whole
            .any(|policy| policy.rules.rules(self.direction).unwrap_or_default().iter().flatten().any(opens));
        // Nobody is asked about, so nothing stands against it.
        if passes { Ok(Vec::new()) } else { Err(fact) }
    }

    fn ask(&self, protocol: Protocol, own: PodId, way: Way) -> Decision {
        let own = self.model.party_of(own, None);
        let (from, to) = match self.direction {
            Direction::Egress => (own, way.party),
            Direction::Ingress => (way.party, own),
        };
        let question = Question { from, to, protocol, port: way.port, through: way.through };
        self.model.judge(&question).of(self.direction)
    }

    fn one(&self, key: &EdgeKey, edge: &Edge, own: PodId, way: Way) -> (Verdict, Option<Why>) {
        let decision = match key.protocol {
            // A source that does not say the protocol: it is known if both say the same.
            Protocol::Unknown => {
                let both = [Protocol::Tcp, Protocol::Udp].map(|protocol| self.ask(protocol, own, way));
                let alike = both[0].verdict() == both[1].verdict();
                if alike { both[0] } else { Decision::Unknown(Doubt::Protocol) }
            }
            protocol => self.ask(protocol, own, way),
        };
        match decision {
            Decision::Denied | Decision::NotIsolated if !self.names.is_empty() => {
                self.by_name(key, edge, own, (decision, way))
            }
            Decision::Unknown(doubt) => (Verdict::Unknown, Some(Why::Doubt(doubt))),
            decision => (decision.verdict(), None),
        }
    }

    /// What NetworkPolicies deny, a policy by name may open.
    fn by_name(
        &self,
        key: &EdgeKey,
        edge: &Edge,
        own: PodId,
        (decision, way): (Decision, Way),
    ) -> (Verdict, Option<Why>) {
        let labels = self.model.labels(own);
        let (mut isolates, mut unsure) = (decision == Decision::Denied, None);
        let mut entities = Vec::new();
        for opened in self.names.iter().flat_map(|policy| &policy.opens) {
            if opened.direction != self.direction || !opened.selector.matches(labels) {
                continue;
            }
            isolates = true;
            if !opened.ports.may_hold(key.protocol, way.port) {
                continue;
            }
            match self.meant(key, edge, opened) {
                Some(Ok(())) => return (Verdict::Allowed, None),
                Some(Err(fact)) => unsure = Some(fact),
                None => entities.extend(opened.entity),
            }
        }
        match self.by_entity(key, way, &entities) {
            Some(Ok(())) => return (Verdict::Allowed, None),
            Some(Err(fact)) => unsure = Some(fact),
            None => {}
        }
        match (isolates, unsure) {
            (false, _) => (Verdict::Allowed, None),
            (true, Some(fact)) => (Verdict::Unknown, Some(Why::Said(Text::from(fact)))),
            (true, None) => (Verdict::Denied, None),
        }
    }

    /// Does one peer of a policy by name mean the other end? `None`: it does not, the error says why it
    /// perhaps does.
    fn meant(&self, key: &EdgeKey, edge: &Edge, opened: &Opened) -> Option<Result<(), String>> {
        match &opened.what {
            What::Everything => Some(Ok(())),
            What::Name(pattern) if key.name.as_ref().is_some_and(|name| is_named(pattern, name)) => {
                Some(Ok(()))
            }
            What::Name(pattern) => {
                let mut names = key.name.iter().chain(&edge.also).chain(&edge.chain);
                let is_one = names.any(|name| is_named(pattern, name));
                is_one.then(|| Err(format!("{pattern} is one of several names that the address had")))
            }
            What::Block { .. } => {
                let Peer::Address(address) = &key.peer else { return None };
                let ranges = opened.what.addresses()?;
                ranges.contains(address.to_canonical()).then_some(Ok(()))
            }
            What::Inside if opened.entity.is_none() && !matches!(key.peer, Peer::Address(_)) => {
                Some(Err("a policy by name opens pods, which sluice does not evaluate".to_owned()))
            }
            What::Inside => None,
            What::Unknown(why) => Some(Err(format!("a policy by name is not understood: {why}"))),
        }
    }

    /// Cilium's words for what has no pod: the API server, nodes, and what it calls by the word itself.
    fn by_entity(&self, key: &EdgeKey, way: Way, opened: &[Entity]) -> Option<Result<(), String>> {
        let has = |entity: Entity| opened.contains(&entity);
        let is_api = match &key.peer {
            Peer::Entity(entity) if has(*entity) => return Some(Ok(())),
            Peer::Entity(entity) => *entity == Entity::KubeApiserver,
            Peer::Address(address) => {
                self.cluster.around.api.iter().any(|(one, _)| *one == address.to_canonical())
            }
            Peer::Pods { .. } | Peer::Unsaid(_) => false,
        };
        if is_api && has(Entity::KubeApiserver) {
            return Some(Ok(()));
        }
        if !way.party.is_host() || is_api {
            return None;
        }
        // On which of the nodes the pods run is the scheduler's word.
        match (has(Entity::Host), has(Entity::RemoteNode)) {
            (true, true) => Some(Ok(())),
            (false, false) => None,
            (true, false) => Some(Err("only the pod's own node is opened by name".to_owned())),
            (false, true) => {
                Some(Err("only nodes that the pod does not run on are opened by name".to_owned()))
            }
        }
    }
}

/// Addresses on which a cache on each node listens. Cilium leads what goes to a Service's address on to
/// its pods before any node sees it.
fn caches(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let running = cluster.pods.iter().filter(|pod| !pod.finished && pod.host_network);
    let marks = running.filter_map(|pod| cluster.around.marks.get(&(pod.ns.clone(), pod.name.clone())));
    let mut out: BTreeSet<IpAddr> = marks.flat_map(|marks| &marks.listens).copied().collect();
    if cluster.traits.plugin == Plugin::Cilium {
        out.retain(|one| !cluster.services.iter().any(|service| service.addresses.contains(one)));
    }
    out
}

fn is_named(pattern: &DnsName, name: &DnsName) -> bool {
    match Wildcard::of(pattern) {
        Some(wildcard) => wildcard.matches(name.as_str()),
        None => pattern == name,
    }
}

fn unknown(family: Family, fact: String) -> Weighed {
    let why = Some(Why::Said(Text::from(fact)));
    Weighed { family, verdict: Verdict::Unknown, is_part: false, why }
}

impl Family {
    pub(super) fn of_address(address: IpAddr) -> Self {
        if address.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Address(address) => Self::of_address(*address),
            Peer::Pods { .. } | Peer::Entity(_) | Peer::Unsaid(_) => Self::Unsaid,
        }
    }
}

/// Pairs of pods of one family.
#[derive(Default)]
struct Sum {
    allowed: bool,
    denied: bool,
    unknown: bool,
    why: Option<Why>,
}

fn add(sums: &mut Vec<(Family, Sum)>, family: Family, verdict: Verdict, why: Option<Why>) {
    let at = match sums.iter().position(|(known, _)| *known == family) {
        Some(at) => at,
        None => {
            sums.push((family, Sum::default()));
            sums.len() - 1
        }
    };
    let sum = &mut sums[at].1;
    match verdict {
        Verdict::Allowed => sum.allowed = true,
        Verdict::Denied => sum.denied = true,
        Verdict::Unknown => sum.unknown = true,
    }
    if sum.why.is_none() {
        sum.why = why;
    }
}

/// Families that are alike become one.
fn summed(sums: Vec<(Family, Sum)>) -> Vec<Weighed> {
    let one = |(family, sum): (Family, Sum)| {
        let (verdict, why) = match (sum.denied, sum.unknown) {
            (true, _) => (Verdict::Denied, None),
            (false, true) => (Verdict::Unknown, sum.why),
            (false, false) => (Verdict::Allowed, None),
        };
        Weighed { family, verdict, is_part: sum.denied && sum.allowed, why }
    };
    let mut out: Vec<Weighed> = sums.into_iter().map(one).collect();
    out.sort_by_key(|one| one.family);
    if let [v4, v6] = out.as_slice()
        && (v4.family, v6.family) == (Family::V4, Family::V6)
        && (v4.verdict, v4.is_part) == (v6.verdict, v6.is_part)
    {
        out.truncate(1);
        out[0].family = Family::Both;
    }
    out
}

impl Why {
    pub(super) fn words(&self, model: &Model) -> Text {
        match self {
            Self::Doubt(doubt) => Text::from(model.doubt(*doubt)),
            Self::Said(text) => text.clone(),
        }
    }
}
