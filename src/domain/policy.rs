//! Policies as rules about pods: the pinned set, what a policy object isolates, and digests.
//!
//! A policy here is already parsed; `crate::manifest` turns JSON and YAML into it and back.
//! What a set of policies does with a flow is the word of `domain::eval`.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use compact_str::CompactString;
use sha2::{Digest as _, Sha256};

use super::{
    eval::rule::Network,
    flow::Direction,
    names::{NsName, PolicyName},
    opened::Opened,
    owner::Marks,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    NetworkPolicy,
    CiliumNetworkPolicy,
    CiliumClusterwideNetworkPolicy,
}

impl PolicyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        [Self::NetworkPolicy, Self::CiliumNetworkPolicy, Self::CiliumClusterwideNetworkPolicy]
            .into_iter()
            .find(|kind| kind.as_str() == raw)
    }

    /// As kubectl takes it on a command line.
    pub fn resource(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "networkpolicy",
            Self::CiliumNetworkPolicy => "ciliumnetworkpolicy",
            Self::CiliumClusterwideNetworkPolicy => "ciliumclusterwidenetworkpolicy",
        }
    }

    pub fn api_version(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::CiliumNetworkPolicy | Self::CiliumClusterwideNetworkPolicy => "cilium.io/v2",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a pinned policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The default-deny object: written open first, tightened last, deleted last.
    Valve,
    Baseline,
    Allowlist,
    /// Optional, only where the CNI has the kind.
    Fqdn,
}

/// One row of the pinned set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pinned {
    pub kind: PolicyKind,
    pub name: &'static str,
    pub direction: Direction,
    pub role: Role,
}

/// The pinned set: the one table that writing, rollback, drift and digest iterate.
/// The names are part of the product's promise and never change.
pub const PINNED: [Pinned; 6] = [
    pinned(PolicyKind::NetworkPolicy, "default-deny-egress", Direction::Egress, Role::Valve),
    pinned(PolicyKind::NetworkPolicy, "egress-baseline-allow", Direction::Egress, Role::Baseline),
    pinned(PolicyKind::NetworkPolicy, "egress-allowlist", Direction::Egress, Role::Allowlist),
    pinned(PolicyKind::CiliumNetworkPolicy, "egress-allowlist-fqdn", Direction::Egress, Role::Fqdn),
    pinned(PolicyKind::NetworkPolicy, "default-deny-ingress", Direction::Ingress, Role::Valve),
    pinned(PolicyKind::NetworkPolicy, "ingress-allowlist", Direction::Ingress, Role::Allowlist),
];

const fn pinned(kind: PolicyKind, name: &'static str, direction: Direction, role: Role) -> Pinned {
    Pinned { kind, name, direction, role }
}

impl Pinned {
    /// The set of one direction, valve first.
    pub fn of(direction: Direction) -> impl Iterator<Item = &'static Self> + Clone {
        PINNED.iter().filter(move |pinned| pinned.direction == direction)
    }

    pub fn find(kind: PolicyKind, name: &str) -> Option<&'static Self> {
        PINNED.iter().find(|pinned| pinned.kind == kind && pinned.name == name)
    }

    pub fn valve(direction: Direction) -> &'static Self {
        match direction {
            Direction::Egress => &PINNED[0],
            Direction::Ingress => &PINNED[4],
        }
    }

    /// A set without it is not complete.
    pub fn is_required(&self) -> bool {
        !matches!(self.role, Role::Fqdn)
    }

    /// Name of the file in the workspace.
    pub fn file_name(&self) -> String {
        format!("{}.yaml", self.name)
    }
}

/// A rule as canonical JSON (sorted keys, no spaces, the server's defaults filled in where the
/// server wrote it). `{}` is the rule that allows everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(pub Box<str>);

impl Rule {
    pub fn everything() -> Self {
        Self("{}".into())
    }

    pub fn is_everything(&self) -> bool {
        &*self.0 == "{}"
    }
}

/// One requirement of a label selector. `matchLabels` are `In` with one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    In { key: CompactString, values: Vec<CompactString> },
    NotIn { key: CompactString, values: Vec<CompactString> },
    Exists { key: CompactString },
    DoesNotExist { key: CompactString },
}

/// A label selector: all requirements hold. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(pub Vec<Requirement>);

/// Labels of an object, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<[(CompactString, CompactString)]>);

impl Labels {
    pub fn new(mut pairs: Vec<(CompactString, CompactString)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup_by(|a, b| a.0 == b.0);
        Self(pairs.into_boxed_slice())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(have, _)| have.as_str().cmp(key)).ok()?;
        Some(self.0[at].1.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Selector {
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Kubernetes semantics: `NotIn` and `DoesNotExist` match objects without the key.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In { key, values } => {
                labels.get(key).is_some_and(|have| values.iter().any(|value| value == have))
            }
            Requirement::NotIn { key, values } => {
                labels.get(key).is_none_or(|have| values.iter().all(|value| value != have))
            }
            Requirement::Exists { key } => labels.get(key).is_some(),
            Requirement::DoesNotExist { key } => labels.get(key).is_none(),
        })
    }
}

/// What a policy object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A NetworkPolicy, understood as far as this slice needs. `None` rules: the direction is not
    /// among the effective policyTypes, so the policy says nothing about it.
    Network { selector: Selector, egress: Option<Vec<Rule>>, ingress: Option<Vec<Rule>> },
    /// A kind we do not evaluate: whom it selects and isolates is unknown.
    Opaque,
}

/// Where a policy object stands: cluster-wide kinds have no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    pub ns: Option<NsName>,
    pub kind: PolicyKind,
    pub name: PolicyName,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ns {
            Some(ns) => write!(f, "{} {ns}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A policy object, live or from the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub key: PolicyKey,
    /// What it says: read as if it were here. Many objects say the same, and share it.
    pub body: Arc<Body>,
    /// Only of live objects: `metadata.resourceVersion`, opaque.
    pub version: Option<CompactString>,
    /// Who else has to do with it: shared as bodies are.
    pub marks: Arc<Marks>,
}

impl Deref for Policy {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

impl DerefMut for Policy {
    fn deref_mut(&mut self) -> &mut Body {
        Arc::make_mut(&mut self.body)
    }
}

/// The spec of a policy object, in all forms in which it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub spec: Spec,
    /// The whole `spec` as canonical JSON: what digests and diffs are made of.
    pub canonical: Box<str>,
    /// What it opens, of both directions, in the order of its rules.
    pub opens: Vec<Opened>,
    /// Its rules as values, for `domain::eval`. `None`: a kind that is not evaluated.
    pub network: Option<Network>,
}

/// Bodies of equal text are equal or of different kinds.
impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

/// Every body once: the default denies of a fleet all say the same, and the same tool wrote them.
#[derive(Debug, Default)]
pub struct Bodies {
    all: Shared<Body>,
    marks: Shared<Marks>,
}

impl Bodies {
    /// Lets this policy share what it has in common with others.
    pub fn share(&mut self, policy: &mut Policy) {
        self.all.share(&mut policy.body);
        self.marks.share(&mut policy.marks);
    }
}

/// Equal values, each kept once for as long as somebody has it.
#[derive(Debug)]
pub struct Shared<T> {
    all: HashSet<Arc<T>>,
    /// How many there were when those that nobody has any more were put away last.
    tidied: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { all: HashSet::new(), tidied: 0 }
    }
}

impl<T: Eq + Hash> Shared<T> {
    pub fn share(&mut self, one: &mut Arc<T>) {
        if let Some(same) = self.all.get(one) {
            one.clone_from(same);
            return;
        }
        if self.all.len() >= 2 * self.tidied + 1024 {
            self.all.retain(|kept| Arc::strong_count(kept) > 1);
            self.tidied = self.all.len();
        }
        self.all.insert(one.clone());
    }
}

impl Policy {
    /// The rules of a direction, `None` where it says nothing about it or is not understood.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match (&self.spec, direction) {
            (Spec::Network { egress, .. }, Direction::Egress) => egress.as_deref(),
            (Spec::Network { ingress, .. }, Direction::Ingress) => ingress.as_deref(),
            (Spec::Opaque, _) => None,
        }
    }

    /// Does it isolate the pods that it selects in this direction? `None`: unknown.
    pub fn isolates(&self, direction: Direction) -> Option<bool> {
        match &self.spec {
            Spec::Network { .. } => Some(self.rules(direction).is_some()),
            Spec::Opaque => None,
        }
    }

    /// Some rule of this direction allows everything, so the pods it selects are open.
    pub fn is_open(&self, direction: Direction) -> bool {
        self.rules(direction).is_some_and(|rules| rules.iter().any(Rule::is_everything))
    }

    /// Does it select a pod with these labels? `None`: unknown.
    pub fn selects(&self, labels: &Labels) -> Option<bool> {
        match &self.spec {
            Spec::Network { selector, .. } => Some(selector.matches(labels)),
            Spec::Opaque => None,
        }
    }

    /// Its canonical spec; of one that says something of both directions only selector and rules of this.
    fn said_of(&self, direction: Direction) -> Cow<'_, str> {
        match (&self.spec, self.rules(direction), self.rules(direction.other())) {
            (Spec::Network { selector, .. }, Some(rules), Some(_)) => {
                let rules: Vec<_> = rules.iter().map(|rule| &*rule.0).collect();
                Cow::Owned(format!("{selector} {direction} [{}]", rules.join(",")))
            }
            _ => Cow::Borrowed(&*self.canonical),
        }
    }

    pub fn pinned(&self) -> Option<&'static Pinned> {
        Pinned::find(self.key.kind, self.key.name.as_str())
    }
}

/// SHA-256 (FIPS 180-4) of the canonical kind, name and spec of a set of policies, in order of
/// kind and name. Comments and metadata do not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let parts = policies.into_iter().map(|p| (p.key.kind, &p.key.name, Cow::Borrowed(&*p.canonical)));
        Self::of_parts(parts.collect())
    }

    /// The same of what these policies say of one direction: of one that says something of both, rules of
    /// the other do not count.
    pub fn of_direction<'a>(policies: impl IntoIterator<Item = &'a Policy>, direction: Direction) -> Self {
        let of_it = policies.into_iter().filter(|policy| policy.isolates(direction) != Some(false));
        let parts = of_it.map(|p| (p.key.kind, &p.key.name, p.said_of(direction)));
        Self::of_parts(parts.collect())
    }

    fn of_parts(mut parts: Vec<(PolicyKind, &PolicyName, Cow<'_, str>)>) -> Self {
        parts.sort_unstable();
        let mut hash = Sha256::new();
        for (kind, name, spec) in &parts {
            // Length prefixes keep two different sets from having the same bytes.
            for part in [kind.as_str(), name.as_str(), &**spec] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// As it is printed: `sha256:` and 64 hexadecimal digits.
    pub fn parse(raw: &str) -> Option<Self> {
        super::journal::Hash::parse(raw.strip_prefix("sha256:")?).map(|hash| Self(hash.bytes()))
    }

    /// Twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.0[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
