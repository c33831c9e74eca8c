//! What a pre-flight says: checks with their verdict, the evidence it rests on (object, field, value),
//! a sentence, and what would put it right, as text and as commands. Order and words are fixed.

use crate::domain::names::Text;

use super::reading::{Known, NOT_IN_MANIFESTS, Object};

/// The fix where files do not say what a running cluster would.
pub const ASK_CLUSTER: &str = "Ask the cluster itself: run the pre-flight without --manifests.";

/// How one check ended. Unknown never passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Pass,
    Fail,
    Unknown,
    /// There is nothing here that it could be about.
    NotApplicable,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// What a check that does not pass stops in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stops {
    /// Nothing is applied or advanced.
    Rollout,
    /// No week of evidence is ready to be written from.
    Discovery,
    /// Said, and stops nothing: it has to be minded while policies are written.
    Nothing,
}

impl Stops {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Discovery => "discovery",
            Self::Nothing => "nothing",
        }
    }
}

macro_rules! checks {
    ($($id:ident $name:literal $stops:ident $title:literal;)*) => {
        /// Every check, in the order in which they are told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CheckId { $($id),* }

        impl CheckId {
            pub const ALL: &[Self] = &[$(Self::$id),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$id => $name),* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Self::$id => $title),* }
            }

            pub fn stops(self) -> Stops {
                match self { $(Self::$id => Stops::$stops),* }
            }
        }
    };
}

checks! {
    Engine "engine" Rollout "Exactly one component enforces NetworkPolicies";
    Switches "switches" Rollout "No setting switches enforcement off";
    Agents "agents" Rollout "Its agent is ready on every node";
    Gaps "gaps" Nothing "It enforces what the API says";
    OwnNode "own-node" Nothing "Traffic between a pod and its own node passes as usual";
    Families "families" Nothing "Every address family in use is enforced";
    Flows "flows" Discovery "Flows are recorded";
    Allowed "allowed-flows" Discovery "Allowed flows are kept, with time, addresses and ports";
    Week "week" Discovery "Seven days of flows can be read";
    Resolver "resolver" Discovery "The resolver of the pods is known";
    Answers "dns-answers" Discovery "DNS answers are exported";
    Cache "dns-cache" Discovery "No cache hides the pods from the resolver";
    Lookups "lookup-rules" Nothing "Live rules for lookups find the resolver";
    Hooks "api-callbacks" Nothing "No default deny cuts off what the API server calls";
    Scrapers "scrapers" Nothing "No default deny blinds what fetches metrics";
    HostNetwork "host-network" Nothing "Pods on the host's network can be named as peers";
    Identity "cloud-identity" Nothing "No default deny cuts workloads off from the cloud's tokens";
    Mesh "mesh" Nothing "No sidecar stands between workloads and policies";
    Owners "owners" Nothing "Nobody else writes what sluice would write";
    Foreign "foreign-policies" Nothing "No other kind of policy changes what NetworkPolicy means";
    Rights "rights" Nothing "You have the rights of every role";
}

/// One thing seen: which object, which field of it, which value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Evidence {
    pub object: Object,
    pub field: Text,
    pub value: Text,
}

impl Evidence {
    pub fn new(object: &Object, field: &str, value: &str) -> Self {
        Self { object: object.clone(), field: Text::new(field), value: Text::new(value) }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} = {}", self.object, self.field, self.value)
    }
}

/// Which rows of its cluster a check stops that does not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    #[default]
    Cluster,
    /// Those with pods on these nodes, for which no agent is made.
    Nodes(Vec<Text>),
    /// Those with pods on a node where no pod of this DaemonSet is ready.
    Unready(Object),
}

/// What would put it right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    pub text: Text,
    pub commands: Vec<Text>,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub id: CheckId,
    pub verdict: Verdict,
    /// Why the verdict is what it is, in one or two sentences.
    pub why: Text,
    pub evidence: Vec<Evidence>,
    /// Only of a check that does not pass.
    pub fix: Option<Fix>,
    pub reach: Reach,
}

/// Evidence beyond this many is counted, not listed.
const EVIDENCE_LIMIT: usize = 12;

impl Check {
    pub fn new(id: CheckId, verdict: Verdict, why: impl Into<String>) -> Self {
        Self {
            id,
            verdict,
            why: Text::from(why.into()),
            evidence: Vec::new(),
            fix: None,
            reach: Reach::Cluster,
        }
    }

    pub fn pass(id: CheckId, why: impl Into<String>) -> Self {
        Self::new(id, Verdict::Pass, why)
    }

    pub fn fail(id: CheckId, why: impl Into<String>) -> Self {
        Self::new(id, Verdict::Fail, why)
    }

    pub fn unknown(id: CheckId, why: impl Into<String>) -> Self {
        const READ: &str =
            "Let the pre-flight read what it needs (assets/crds/roles-target.yaml), then run it again.";
        Self::new(id, Verdict::Unknown, why).fixed(READ, &[])
    }

    pub fn not_applicable(id: CheckId, why: impl Into<String>) -> Self {
        Self::new(id, Verdict::NotApplicable, why)
    }

    /// Unknown because a list could not be read.
    pub fn unread<T>(id: CheckId, what: &str, list: &Known<T>) -> Self {
        let why = list.why().map_or("", Text::as_str);
        if why.starts_with(NOT_IN_MANIFESTS) {
            return Self::unknown(id, format!("{what} cannot be read: {why}")).fixed(ASK_CLUSTER, &[]);
        }
        Self::unknown(id, format!("{what} cannot be read: {why}"))
            .fixed("Give the reader of this cluster get and list on it, then run the pre-flight again.", &[])
    }

    pub fn seen(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        let all = self.evidence.len();
        if all > EVIDENCE_LIMIT {
            self.evidence.truncate(EVIDENCE_LIMIT - 1);
            let more = (all - self.evidence.len()).to_string();
            self.evidence.push(Evidence::new(&Object::new("more", "", "objects"), "count", &more));
        }
        self
    }

    pub fn fixed(mut self, text: impl Into<String>, commands: &[String]) -> Self {
        let commands = commands.iter().map(|command| Text::new(command)).collect();
        self.fix = Some(Fix { text: Text::from(text.into()), commands });
        self
    }

    pub fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Neither passed nor without an object.
    pub fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Fail | Verdict::Unknown)
    }

    pub fn stops(&self) -> Stops {
        self.id.stops()
    }
}
