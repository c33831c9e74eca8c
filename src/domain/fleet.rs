//! The fleet as it was last seen: clusters, namespaces, pods and the policies on them, each with
//! the time of its last good read. Facts go in through methods; nothing here asks anybody.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    few::Few,
    flow::{Direction, End},
    names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
    policy::{Labels, Pinned, Policy, PolicyDigest, PolicyKey, PolicyKind},
    preflight::{
        reading::{Known, Measured},
        report::Report,
    },
    probe,
    resolver::DnsPath,
    shadow::{Staged, StagedSet},
    steady::Kyverno,
    time::Timestamp,
};

pub use super::cni::{Cni, CniKind, Enforcement};

/// Which kind of use a cluster serves. Production has a band and a word on every screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Environment {
    Staging,
    Production,
    /// Not said in `sluice.yaml`. Treated with the care of production.
    #[default]
    Unknown,
}

impl Environment {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
            Self::Unknown => "unknown",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        [Self::Staging, Self::Production, Self::Unknown].into_iter().find(|e| e.as_str() == raw)
    }
}

/// Who the API server says we are (SelfSubjectReview).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: Text,
    pub groups: Vec<Text>,
}

/// What we may do in a cluster (SelfSubjectAccessReview over all namespaces). `None`: not known yet
/// or the review failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub read: Option<bool>,
    pub create: Option<bool>,
    pub patch: Option<bool>,
    pub delete: Option<bool>,
    pub portforward: Option<bool>,
    /// The same of single namespaces, asked where the answer for all of them is no: a RoleBinding gives
    /// rights in its own namespace only. Those that are missing were not asked.
    pub within: BTreeMap<NsName, Within>,
}

/// What we may do with the policies of one namespace, by a review there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    pub create: Option<bool>,
    pub patch: Option<bool>,
    pub delete: Option<bool>,
}

impl Within {
    pub fn may_apply(self) -> Option<bool> {
        all([self.create, self.patch])
    }

    /// A rollback opens the valve by patch and deletes; either alone already helps.
    pub fn may_roll_back(self) -> Option<bool> {
        match (self.patch, self.delete) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (None, Some(false) | None) | (Some(false), None) => None,
        }
    }
}

impl Rights {
    /// By the reviews over all namespaces.
    pub fn everywhere(&self) -> Within {
        Within { create: self.create, patch: self.patch, delete: self.delete }
    }

    /// What may be done in this namespace. A no to all of them together is none to this one.
    pub fn within(&self, ns: &NsName) -> Within {
        let here = self.within.get(ns).copied().unwrap_or_default();
        let known = |all: Option<bool>, one: Option<bool>| if all == Some(false) { one } else { all };
        Within {
            create: known(self.create, here.create),
            patch: known(self.patch, here.patch),
            delete: known(self.delete, here.delete),
        }
    }

    /// Each right with what people call it, for the whole cluster or, where it is known of some
    /// namespaces only, for those.
    pub fn words(&self) -> [(Option<bool>, &'static str); 4] {
        let told = |may: fn(Within) -> Option<bool>, word, some| match may(self.everywhere()) {
            Some(false) if self.within.values().any(|one| may(*one) == Some(true)) => (Some(true), some),
            all => (all, word),
        };
        [
            (self.read, "read"),
            told(Within::may_apply, "apply", "apply in some namespaces"),
            told(Within::may_roll_back, "roll back", "roll back in some namespaces"),
            (self.portforward, "watch flows"),
        ]
    }
}

fn all<const N: usize>(parts: [Option<bool>; N]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// How a cluster is doing, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Asked, no answer yet.
    Connecting,
    Up,
    /// Answers, but late or in part; the reason says what.
    Degraded(Text),
    /// No answer or a refusal; the reason says what was tried and what to do.
    Down(Text),
}

impl Health {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Degraded(_) => "degraded",
            Self::Down(_) => "down",
        }
    }

    pub fn reason(&self) -> Option<&Text> {
        match self {
            Self::Connecting | Self::Up => None,
            Self::Degraded(reason) | Self::Down(reason) => Some(reason),
        }
    }
}

/// A pod, slim: what isolation, denials and start-up noise need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub ns: NsName,
    pub name: PodName,
    pub labels: Labels,
    pub workload: Workload,
    pub node: Option<NodeName>,
    pub host_network: bool,
    /// Succeeded or Failed: no policy matters to it any more.
    pub finished: bool,
    pub started: Option<Timestamp>,
    /// Since when it is ready; `None` while it is not.
    pub ready: Option<Timestamp>,
}

impl Pod {
    pub fn is_probe(&self) -> bool {
        probe::is_named(&self.name) && self.labels.get(probe::LABEL) == Some(probe::NAME)
    }
}

/// A namespace as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSeen {
    pub name: NsName,
    pub labels: Labels,
    /// Owner and contact from annotations, if somebody wrote them.
    pub owner: Option<Text>,
    pub contact: Option<Text>,
    pub terminating: bool,
}

/// One namespace with everything seen in it.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub seen: NamespaceSeen,
    pub policies: Few<PolicyKey, Policy>,
    /// Those of our names that are only staged: they isolate nobody and are no part of any digest.
    staged: StagedSet,
    pub pods: Few<PodName, Pod>,
    /// Directions in which the data plane was seen judging by our policies, with when last.
    pub in_force: BTreeMap<Direction, Timestamp>,
    /// By direction, as of the last change of `policies`: plans over many rows ask for it all the time.
    digests: [PolicyDigest; 2],
}

impl Namespace {
    fn new(seen: NamespaceSeen) -> Self {
        Self {
            seen,
            policies: Few::new(),
            staged: StagedSet::new(),
            pods: Few::new(),
            in_force: BTreeMap::new(),
            digests: [PolicyDigest::of([]); 2],
        }
    }

    /// Digest over what is live of the pinned set: what a row is recorded by. Policies of others do not
    /// count here.
    pub fn pinned_digest(&self, direction: Direction) -> PolicyDigest {
        self.digests[direction as usize]
    }

    fn digest_anew(&mut self) {
        let of = |direction| PolicyDigest::of(Pinned::of(direction).filter_map(|one| self.pinned(one)));
        self.digests = Direction::ALL.map(of);
    }

    /// Pods that policies can act on: not finished and not on the host's network.
    pub fn subjects(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().filter(|pod| !pod.finished && !pod.host_network)
    }

    /// What of a direction is only staged.
    pub fn staged(&self, direction: Direction) -> StagedSet {
        let of = Pinned::of(direction).filter_map(|pinned| self.staged.get_key_value(pinned.name));
        of.map(|(name, staged)| (*name, staged.clone())).collect()
    }

    pub fn is_staged(&self, direction: Direction) -> bool {
        Pinned::of(direction).any(|pinned| self.staged.contains_key(pinned.name))
    }

    /// The pinned policy, if it is there.
    pub fn pinned(&self, pinned: &Pinned) -> Option<&Policy> {
        self.policies.values().find(|p| p.key.kind == pinned.kind && p.key.name.as_str() == pinned.name)
    }

    /// How much of the pinned set of a direction is live.
    pub fn presence(&self, direction: Direction) -> Presence {
        let required = Pinned::of(direction).filter(|pinned| pinned.is_required());
        let missing: Vec<_> =
            required.clone().filter(|pinned| self.pinned(pinned).is_none()).map(|p| p.name).collect();
        if missing.len() == required.count()
            && Pinned::of(direction).all(|pinned| self.pinned(pinned).is_none())
        {
            return Presence::None;
        }
        if !missing.is_empty() {
            return Presence::Partial { missing };
        }
        match self.pinned(Pinned::valve(direction)) {
            Some(valve) if valve.is_open(direction) => Presence::Open,
            Some(_) | None => Presence::Tight,
        }
    }

    /// How many of the pods that count are isolated in this direction, and by which policies.
    pub fn isolation(&self, direction: Direction) -> Isolation {
        Isolation::of(self.subjects(), self.policies.values(), direction)
    }
}

/// How much of the pinned set of a direction is live in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    None,
    Partial {
        missing: Vec<&'static str>,
    },
    /// Complete, but the valve lets everything through.
    Open,
    /// Complete and closed: accepted by the API server.
    Tight,
}

/// Which pods a set of policies isolates in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    pub pods: usize,
    pub isolated: usize,
    /// Pods that are selected, but by a policy with a rule that allows everything.
    pub open_selected: usize,
    /// Policies that isolate at least one pod.
    pub by: BTreeSet<PolicyKey>,
    /// Policies of kinds that we cannot evaluate and that may isolate too.
    pub unknown: BTreeSet<PolicyKey>,
    /// Kinds that the cluster serves and that may not be read: any of them may isolate too.
    pub unread: BTreeSet<PolicyKind>,
}

impl Isolation {
    /// Kubernetes semantics: any policy of the direction isolates the pods it selects; one rule
    /// that allows everything opens them again.
    pub fn of<'a>(
        pods: impl Iterator<Item = &'a Pod>,
        policies: impl Iterator<Item = &'a Policy> + Clone,
        direction: Direction,
    ) -> Self {
        let mut out = Self::default();
        out.unknown
            .extend(policies.clone().filter(|p| p.isolates(direction).is_none()).map(|p| p.key.clone()));
        let isolating: Vec<_> = policies.filter(|p| p.isolates(direction) == Some(true)).collect();
        for pod in pods {
            out.pods += 1;
            let mut selecting = isolating.iter().filter(|p| p.selects(&pod.labels) == Some(true)).peekable();
            if selecting.peek().is_none() {
                continue;
            }
            let keys: Vec<_> = selecting.clone().map(|p| p.key.clone()).collect();
            if selecting.any(|p| p.is_open(direction)) {
                out.open_selected += 1;
            } else {
                out.isolated += 1;
                out.by.extend(keys);
            }
        }
        out
    }

    /// How many pods are isolated and by what, in words.
    pub fn words(&self, direction: Direction) -> String {
        let names =
            |keys: &BTreeSet<PolicyKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut out = if self.isolated == 0 {
            format!("no pod of {} is isolated in {direction}", self.pods)
        } else {
            let (isolated, pods) = (self.isolated, self.pods);
            format!("{isolated} of {pods} pods are isolated in {direction} by {}", names(&self.by))
        };
        let unknown = self.unknowns();
        if !unknown.is_empty() {
            out.push_str(&format!("; perhaps by {} too", unknown.join(", ")));
        }
        out
    }

    /// What may isolate too, in words.
    pub fn unknowns(&self) -> Vec<String> {
        let unread = self.unread.iter().map(|kind| format!("any {kind} (not readable)"));
        self.unknown.iter().map(ToString::to_string).chain(unread).collect()
    }
}

/// One cluster with everything seen in it.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: ClusterName,
    pub environment: Environment,
    pub health: Health,
    /// Last time any answer came, in domain time.
    pub last_good: Option<Timestamp>,
    /// UID of the kube-system namespace: tells clusters apart for good. `None`: this session could not
    /// read it, whatever an earlier one read.
    pub uid: Option<Text>,
    pub version: Option<Text>,
    pub identity: Option<Identity>,
    pub rights: Rights,
    pub cni: Option<Cni>,
    pub looked: Looked,
    /// Kinds of policy that the API server serves beside NetworkPolicy.
    pub kinds: BTreeSet<PolicyKind>,
    pub namespaces: BTreeMap<NsName, Namespace>,
    /// Cluster-wide policies, which may concern every namespace.
    pub clusterwide: BTreeMap<PolicyKey, Policy>,
    /// Lists that are complete: before that, "none" is unknown.
    pub listed: BTreeSet<Listed>,
    /// Grows with every fact about this cluster, so that readers can keep what they computed.
    pub revision: u64,
    /// What is missing or old at the moment, each with its sentence.
    pub troubles: BTreeMap<Part, Text>,
}

/// What was found by looking at a cluster now and then; `None` until it was looked at.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// When it first answered.
    pub since: Option<Timestamp>,
    /// How its pods reach the DNS server.
    pub dns: Option<DnsPath>,
    /// Its last pre-flight, and when that was.
    pub preflight: Option<(Report, Timestamp)>,
    /// How far back the records of its flow source reach.
    pub week: Option<Known<Measured>>,
    /// What its Kyverno asserts and found.
    pub kyverno: Option<Kyverno>,
    /// Does it serve policies that are only staged? What is staged is known as soon as this is.
    pub stages: Option<bool>,
}

/// What a cluster's rows are made of, each filled by a watch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listed {
    Namespaces,
    Policies,
    Pods,
}

/// What may be missing or old of a cluster while the rest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Namespaces,
    Policies(PolicyKind),
    Pods,
    /// Which cluster it is.
    Uid,
    /// Who am I and what may I do.
    Rights,
    Cni,
    /// It answers, but late.
    Answers,
    /// Policies that are only staged.
    Staged,
    /// Last: of several troubles the first one is shown, and this one costs least.
    CronJobs,
}

impl Cluster {
    /// A source that knows pods by their workload only does not say what kind that is, and one that
    /// knows them by their name says nothing of a workload; the pods do.
    pub fn complete(&self, end: &mut End) {
        if let (None, Some(ns), Some(pod)) = (&end.workload, &end.ns, &end.pod) {
            let known = self.namespaces.get(ns).and_then(|ns| ns.pods.get(pod));
            end.workload = known.map(|pod| pod.workload.clone());
            return;
        }
        let Some(workload) = end.workload.as_mut().filter(|workload| workload.kind.is_empty()) else {
            return;
        };
        let ns = end.ns.as_ref().and_then(|ns| self.namespaces.get(ns));
        let mut pods = ns.into_iter().flat_map(|ns| ns.pods.values());
        if let Some(pod) = pods.find(|pod| pod.workload.name == workload.name) {
            workload.clone_from(&pod.workload);
        }
    }

    pub fn new(name: ClusterName, environment: Environment) -> Self {
        Self {
            name,
            environment,
            health: Health::Connecting,
            last_good: None,
            uid: None,
            version: None,
            identity: None,
            rights: Rights::default(),
            cni: None,
            looked: Looked::default(),
            kinds: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            clusterwide: BTreeMap::new(),
            listed: BTreeSet::new(),
            revision: 0,
            troubles: BTreeMap::new(),
        }
    }

    /// A part went missing or came back. Says nothing about whether the cluster answers.
    pub(crate) fn set_trouble(&mut self, part: Part, trouble: Option<Text>) {
        match trouble {
            Some(trouble) => self.troubles.insert(part, trouble),
            None => self.troubles.remove(&part),
        };
        if matches!(self.health, Health::Up | Health::Degraded(_)) {
            self.health = self.answering();
        }
    }

    /// Health of a cluster that answers: degraded while any part is missing.
    pub(crate) fn answering(&self) -> Health {
        let Some(first) = self.troubles.values().next() else { return Health::Up };
        match self.troubles.len() - 1 {
            0 => Health::Degraded(first.clone()),
            more => Health::Degraded(Text::from(format!("{first} (and {more} more)"))),
        }
    }

    /// Has everything that a row shows been read at least once?
    pub fn is_complete(&self) -> bool {
        [Listed::Namespaces, Listed::Policies].into_iter().all(|what| self.listed.contains(&what))
    }

    /// It is known that there is no such namespace: all were read, they are watched, and it is not
    /// among them. A cluster that cannot be reached, or a list that is broken, says nothing.
    pub fn knows_gone(&self, ns: &NsName) -> bool {
        self.listed.contains(&Listed::Namespaces)
            && matches!(self.health, Health::Up | Health::Degraded(_))
            && !self.troubles.contains_key(&Part::Namespaces)
            && !self.namespaces.contains_key(ns)
    }

    /// Digest over every policy that concerns a namespace in this direction, ours and foreign,
    /// cluster-wide ones included: whom those select is not known, so they all count.
    pub fn digest(&self, ns: &Namespace, direction: Direction) -> PolicyDigest {
        let all = ns.policies.values().chain(self.clusterwide.values());
        PolicyDigest::of_direction(all, direction)
    }

    pub fn enforcement(&self) -> Enforcement {
        self.cni.as_ref().map_or(Enforcement::Unknown, |cni| cni.enforcement)
    }

    pub(crate) fn reset_namespaces(&mut self, seen: Vec<NamespaceSeen>) {
        let mut old = std::mem::take(&mut self.namespaces);
        for ns in seen {
            let kept = old.remove(&ns.name);
            self.put_namespace_with(ns, kept);
        }
        // Policies can be listed before their namespace is: they wait under a namespace not yet seen.
        self.listed.insert(Listed::Namespaces);
    }

    fn put_namespace_with(&mut self, seen: NamespaceSeen, kept: Option<Namespace>) {
        let name = seen.name.clone();
        let mut ns = kept.unwrap_or_else(|| Namespace::new(seen.clone()));
        ns.seen = seen;
        self.namespaces.insert(name, ns);
    }

    pub(crate) fn put_namespace(&mut self, seen: NamespaceSeen) {
        let kept = self.namespaces.remove(&seen.name);
        self.put_namespace_with(seen, kept);
    }

    pub(crate) fn drop_namespace(&mut self, name: &NsName) {
        self.namespaces.remove(name);
    }

    /// Entry of a namespace; one that only its policies or pods told of so far has no labels yet.
    fn entry(&mut self, name: &NsName) -> &mut Namespace {
        self.namespaces.entry(name.clone()).or_insert_with(|| {
            Namespace::new(NamespaceSeen {
                name: name.clone(),
                labels: Labels::default(),
                owner: None,
                contact: None,
                terminating: false,
            })
        })
    }

    pub(crate) fn reset_policies(&mut self, kind: PolicyKind, policies: Vec<Policy>) {
        for ns in self.namespaces.values_mut() {
            ns.policies.retain(|key, _| key.kind != kind);
        }
        self.clusterwide.retain(|key, _| key.kind != kind);
        for policy in policies {
            self.insert_policy(policy);
        }
        self.namespaces.values_mut().for_each(Namespace::digest_anew);
        if kind == PolicyKind::NetworkPolicy {
            self.listed.insert(Listed::Policies);
        }
    }

    pub(crate) fn put_policy(&mut self, policy: Policy) {
        let ns = policy.key.ns.clone();
        self.insert_policy(policy);
        if let Some(ns) = ns {
            self.entry(&ns).digest_anew();
        }
    }

    fn insert_policy(&mut self, policy: Policy) {
        match policy.key.ns.clone() {
            Some(ns) => self.entry(&ns).policies.insert(policy.key.clone(), policy),
            None => self.clusterwide.insert(policy.key.clone(), policy),
        };
    }

    pub(crate) fn drop_policy(&mut self, key: &PolicyKey) {
        match &key.ns {
            Some(ns) => {
                if let Some(ns) = self.namespaces.get_mut(ns) {
                    ns.policies.remove(key);
                    ns.digest_anew();
                }
            }
            None => drop(self.clusterwide.remove(key)),
        }
    }

    /// `None`: it serves none.
    pub(crate) fn reset_staged(&mut self, all: Option<Vec<Staged>>) {
        self.looked.stages = Some(all.is_some());
        self.namespaces.values_mut().for_each(|ns| ns.staged.clear());
        all.into_iter().flatten().for_each(|staged| self.put_staged(staged));
    }

    /// Other names are not ours to tell of.
    pub(crate) fn put_staged(&mut self, staged: Staged) {
        if let (Some(pinned), Some(ns)) = (staged.policy.pinned(), staged.policy.key.ns.clone()) {
            self.entry(&ns).staged.insert(pinned.name, staged);
        }
    }

    pub(crate) fn drop_staged(&mut self, key: &PolicyKey) {
        if let Some(ns) = key.ns.as_ref().and_then(|ns| self.namespaces.get_mut(ns)) {
            ns.staged.remove(key.name.as_str());
        }
    }

    pub(crate) fn reset_pods(&mut self, pods: Vec<Pod>) {
        for ns in self.namespaces.values_mut() {
            ns.pods.clear();
        }
        for pod in pods {
            self.put_pod(pod);
        }
        self.listed.insert(Listed::Pods);
    }

    /// A probe comes and goes, and is none of the namespace's own.
    pub(crate) fn put_pod(&mut self, pod: Pod) {
        if pod.is_probe() {
            return;
        }
        let ns = pod.ns.clone();
        self.entry(&ns).pods.insert(pod.name.clone(), pod);
    }

    pub(crate) fn drop_pod(&mut self, ns: &NsName, name: &PodName) {
        if let Some(ns) = self.namespaces.get_mut(ns) {
            ns.pods.remove(name);
        }
    }
}
