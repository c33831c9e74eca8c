//! What our evaluator says of single connections of a row, by what the watches show of its cluster now:
//! it stands beside the data plane's own word. Addresses of pods, Services and named ports are not
//! watched; a word that hangs on them, or on policies that are not evaluated, is unknown. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
};

use super::{
    denial::Peer,
    eval::{
        around::Around,
        cluster::{self as evaluated, Foreign, Namespaces, NetworkPolicy, Reach, Weight},
        judge::Question,
        model::{Model, Party, PodId},
        plugin::{Plugin, Traits},
        verdict::{Decision, Doubt, Verdict},
    },
    fleet::{Cluster, Part, Pod},
    flow::{Direction, Entity, Protocol},
    names::{NsName, PodName, Text, Workload},
    policy::{PolicyKind, Selector},
    preflight::check::{self, CheckId},
};

/// Our evaluator's word on one connection, at the end that is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    pub verdict: Verdict,
    /// By which policies, or why it is not known.
    pub why: Text,
}

/// A connection of a row.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `None`, or one that is gone: any pod of the workload.
    pub pod: Option<&'a PodName>,
    pub workload: Option<&'a Workload>,
    pub peer: &'a Peer,
    /// The peer's.
    pub address: Option<IpAddr>,
    pub port: u16,
    pub protocol: Protocol,
}

impl Opinion {
    fn unknown(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, why: Text::from(why.into()) }
    }

    /// `denied: no rule of egress-allowlist lets it pass`.
    pub fn words(&self) -> String {
        format!("{}: {}", self.verdict.as_str(), self.why)
    }

    /// Of several ways that one connection may stand for: what is denied weighs most, then what is
    /// unknown.
    pub fn heaviest(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        let weight = |verdict| match verdict {
            Verdict::Denied => 0,
            Verdict::Unknown => 1,
            Verdict::Allowed => 2,
        };
        all.into_iter().min_by_key(|opinion| weight(opinion.verdict))
    }
}

/// One word for each of what is asked, in its order.
pub fn opinions(cluster: &Cluster, ns: &NsName, direction: Direction, asked: &[Asked<'_>]) -> Vec<Opinion> {
    let mut bench = Bench { cluster, pods: Vec::new(), places: BTreeMap::new(), kin: BTreeMap::new() };
    let ends: Vec<_> = asked.iter().map(|one| (bench.own(ns, one), bench.other(one))).collect();
    let small = bench.evaluated(ns);
    let model = Model::new(&small);
    let told = |(one, ends): (&Asked<'_>, (Vec<usize>, Other))| match ends {
        (own, _) if own.is_empty() => {
            let who = one.workload.map_or_else(|| "it".to_owned(), ToString::to_string);
            Opinion::unknown(format!("no pod of {who} is seen now, so which policies select it is not known"))
        }
        (_, Other::Unsaid(why)) => Opinion::unknown(why),
        (own, other) => judged(&model, direction, one, &own, &other),
    };
    asked.iter().zip(ends).map(told).collect()
}

/// The other end as far as it is known.
enum Other {
    Pods(Vec<usize>),
    OwnNode,
    NodeElsewhere,
    /// On a node of the cluster, or somewhere else: the provider's choice.
    ApiServer,
    Outside,
    Unsaid(String),
}

/// What of a cluster the questions are about.
struct Bench<'c> {
    cluster: &'c Cluster,
    pods: Vec<&'c Pod>,
    places: BTreeMap<(&'c NsName, &'c PodName), usize>,
    /// Pods of a workload that policies can tell apart, one of each.
    kin: BTreeMap<(NsName, Workload), Vec<usize>>,
}

impl<'c> Bench<'c> {
    fn place(&mut self, pod: &'c Pod) -> usize {
        match self.places.entry((&pod.ns, &pod.name)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                self.pods.push(pod);
                *free.insert(self.pods.len() - 1)
            }
        }
    }

    fn own(&mut self, ns: &NsName, asked: &Asked<'_>) -> Vec<usize> {
        let cluster = self.cluster;
        let pods = cluster.namespaces.get(ns).map(|ns| &ns.pods);
        let named = asked.pod.and_then(|pod| pods?.get(pod)).filter(|pod| !pod.finished);
        match (named, asked.workload) {
            (Some(pod), _) => vec![self.place(pod)],
            (None, Some(workload)) => self.of_workload(ns, workload),
            (None, None) => Vec::new(),
        }
    }

    /// Not every source says a workload's kind: where none is of it, those of the same name.
    fn of_workload(&mut self, ns: &NsName, workload: &Workload) -> Vec<usize> {
        let key = (ns.clone(), workload.clone());
        if let Some(known) = self.kin.get(&key) {
            return known.clone();
        }
        let cluster = self.cluster;
        let all = || {
            let pods = cluster.namespaces.get(ns).into_iter().flat_map(|ns| ns.pods.values());
            pods.filter(move |pod| !pod.finished && pod.workload.name == workload.name)
        };
        let is_of_kind = all().any(|pod| pod.workload.kind == workload.kind);
        let mut alike = BTreeMap::new();
        for pod in all().filter(|pod| !is_of_kind || pod.workload.kind == workload.kind) {
            alike.entry((&pod.labels, pod.host_network)).or_insert(pod);
        }
        let places: Vec<_> = alike.into_values().map(|pod| self.place(pod)).collect();
        self.kin.insert(key, places.clone());
        places
    }

    fn other(&mut self, asked: &Asked<'_>) -> Other {
        let said = |what: &str| Other::Unsaid(format!("all that the source says of the other end is {what}"));
        match asked.peer {
            Peer::Workload { ns, workload } => match self.of_workload(ns, workload) {
                none if none.is_empty() => Other::Unsaid(format!("no pod of {ns}/{workload} is seen now")),
                pods => Other::Pods(pods),
            },
            Peer::Name(_) | Peer::Address(_) => Other::Outside,
            Peer::Entity(Entity::Host | Entity::Health) => Other::OwnNode,
            Peer::Entity(Entity::RemoteNode) => Other::NodeElsewhere,
            Peer::Entity(Entity::KubeApiserver) => Other::ApiServer,
            Peer::Entity(Entity::World) if asked.address.is_some() => Other::Outside,
            Peer::Entity(entity @ (Entity::World | Entity::Ingress | Entity::Unmanaged)) => {
                said(entity.as_str())
            }
            Peer::Unknown => Other::Unsaid("the source does not say who the other end is".to_owned()),
        }
    }

    /// These pods, and the policies of the row's namespace.
    fn evaluated(&self, ns: &NsName) -> evaluated::Cluster {
        let cluster = self.cluster;
        let pod = |pod: &&Pod| evaluated::Pod {
            ns: pod.ns.clone(),
            name: pod.name.clone(),
            labels: pod.labels.clone(),
            workload: Some(pod.workload.clone()),
            addresses: Vec::new(),
            node: pod.node.clone(),
            host_network: pod.host_network,
            finished: pod.finished,
            ports: None,
        };
        // Of the hundreds that there may be, those in which somebody stands.
        let here: BTreeSet<&NsName> = self.pods.iter().map(|pod| &pod.ns).chain([ns]).collect();
        let namespaces = here.into_iter().filter_map(|ns| cluster.namespaces.get(ns)).map(|ns| &ns.seen);
        let of_ns = cluster.namespaces.get(ns).into_iter().flat_map(|ns| ns.policies.values());
        evaluated::Cluster {
            uid: cluster.uid.clone(),
            traits: cluster.cni.as_ref().map_or_else(|| Plugin::Unknown.traits(), Traits::of),
            namespaces: namespaces
                .map(|seen| evaluated::Namespace { name: seen.name.clone(), labels: seen.labels.clone() })
                .collect(),
            pods: self.pods.iter().map(pod).collect(),
            nodes: Vec::new(),
            services: Vec::new(),
            policies: of_ns.filter_map(NetworkPolicy::of).collect(),
            foreign: foreign(cluster, ns),
            around: Around::default(),
        }
    }
}

/// What may decide beside the namespace's NetworkPolicies: kinds that are watched and not evaluated,
/// those that the pre-flight found, and lists that are not known.
fn foreign(cluster: &Cluster, ns: &NsName) -> Vec<Foreign> {
    let one = |kind: &str, name: &str, only: Option<Direction>| Foreign {
        kind: Text::new(kind),
        ns: None,
        name: Text::new(name),
        weight: Weight::Overrides,
        egress: only != Some(Direction::Ingress),
        ingress: only != Some(Direction::Egress),
        reach: vec![Reach { namespaces: Namespaces::All, pods: Selector::default() }],
    };
    let of_ns = cluster.namespaces.get(ns).into_iter().flat_map(|ns| ns.policies.values());
    let watched = of_ns.chain(cluster.clusterwide.values()).filter(|policy| policy.network.is_none());
    let mut out: Vec<_> = watched
        .map(|policy| {
            let only = policy.pinned().map(|pinned| pinned.direction);
            one(policy.key.kind.as_str(), policy.key.name.as_str(), only)
        })
        .collect();
    let lists = |part: &Part| matches!(part, Part::Policies(_) | Part::Pods | Part::Namespaces);
    out.extend(
        cluster.troubles.keys().any(lists).then(|| one("what", "cannot be listed at the moment", None)),
    );
    let report = cluster.looked.preflight.as_ref().map(|(report, _)| report);
    let Some(check) = report.and_then(|report| report.checks.iter().find(|one| one.id == CheckId::Foreign))
    else {
        out.push(one("another kind of policy", "(the pre-flight has not looked yet)", None));
        return out;
    };
    match check.verdict {
        check::Verdict::Pass | check::Verdict::NotApplicable => {}
        check::Verdict::Unknown => {
            out.push(one("another kind of policy", "(the pre-flight cannot list them all)", None));
        }
        check::Verdict::Fail => {
            let is_watched =
                |kind: &str| PolicyKind::parse(kind).is_some_and(|it| cluster.kinds.contains(&it));
            let objects = check.evidence.iter().map(|evidence| &evidence.object);
            let here = |object: &&super::preflight::reading::Object| {
                object.ns.is_empty() || object.ns.as_str() == ns.as_str()
            };
            let theirs = objects.filter(here).filter(|object| !is_watched(object.kind.as_str()));
            out.extend(theirs.map(|object| one(object.kind.as_str(), object.name.as_str(), None)));
        }
    }
    out
}

fn judged(model: &Model, direction: Direction, asked: &Asked<'_>, own: &[usize], other: &Other) -> Opinion {
    let mut all = Vec::new();
    for own in own.iter().filter_map(|place| model.pod_at(*place)) {
        for party in parties(model, own, other, asked.address) {
            let own_party = model.party_of(own, None);
            let (from, to) = match direction {
                Direction::Egress => (own_party, party),
                Direction::Ingress => (party, own_party),
            };
            let question = Question { from, to, protocol: asked.protocol, port: asked.port, through: None };
            let decision = model.judge(&question).of(direction);
            all.push(Opinion { verdict: decision.verdict(), why: why(model, own, direction, decision) });
        }
    }
    Opinion::heaviest(all).unwrap_or_else(|| Opinion::unknown("no pod of it is seen now"))
}

fn parties(model: &Model, own: PodId, other: &Other, address: Option<IpAddr>) -> Vec<Party> {
    match other {
        Other::Pods(places) => {
            let pods = places.iter().filter_map(|place| model.pod_at(*place));
            pods.map(|pod| model.party_of(pod, address)).collect()
        }
        Other::OwnNode => vec![model.node_of(own).at(address)],
        Other::NodeElsewhere => vec![Party::other_node().at(address)],
        Other::ApiServer => vec![Party::other_node().at(address), Party::outside(address)],
        Other::Outside => vec![Party::outside(address)],
        Other::Unsaid(_) => Vec::new(),
    }
}

fn why(model: &Model, own: PodId, direction: Direction, decision: Decision) -> Text {
    Text::from(match decision {
        Decision::Allowed(rule) => format!("rule {} of {} lets it pass", rule.rule, model.policy(rule).1),
        Decision::Denied => {
            let names: Vec<_> = model.isolated_by(own, direction).map(|(_, name)| name.to_string()).collect();
            format!("no rule of {} lets it pass", names.join(", "))
        }
        Decision::NotIsolated => format!("no policy isolates it in {direction}"),
        Decision::HostNetwork => "it is on its node's network, where no policy selects it".to_owned(),
        Decision::OwnNode => "what comes from its own node passes".to_owned(),
        Decision::Itself => "a pod always reaches itself".to_owned(),
        Decision::NoPod => "no pod of the cluster is judged".to_owned(),
        Decision::Unknown(Doubt::Foreign(at)) => {
            format!("{} may decide otherwise, which sluice does not evaluate", model.foreign_name(at))
        }
        Decision::Unknown(doubt) => model.doubt(doubt),
    })
}
