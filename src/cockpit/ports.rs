//! The border: what the outside may tell us (`Fact`) and what we may ask of it (`Effect`).
//! Both are plain data: printable, comparable, recordable. No traits, no callbacks.

use std::sync::Arc;

use chrono::{FixedOffset, TimeDelta};

use crate::domain::{
    coverage::{Coverage, CronJob},
    discovery::Rules,
    edge::{Edge, EdgeKey, Parties, Tally, Window},
    evidence::Cause,
    fleet::{Cni, Identity, NamespaceSeen, Part, Pod, Rights},
    flow::{Direction, Flow},
    names::{ClusterName, NodeName, NsName, PodName, Text},
    policy::{Policy, PolicyKey, PolicyKind},
    preflight::{
        reading::{Known, Measured},
        report::Report,
    },
    probe,
    resolver::DnsPath,
    shadow::Staged,
    source::SourceKind,
    steady::Kyverno,
    time::{Timestamp, age, span},
};

use super::{
    foresights::{Foretold, Question},
    monthly::{self, DocumentFact},
    orders::{
        ApplyOrder, OrderId, OrderKind, Outcome, Preview, PreviewOrder, Receipt, RollbackOrder, Target,
    },
    plan::{FlaggedFiles, FleetFile, PolicyFiles},
    shared::{Share, ShareId, SharedFact},
    waves::Waves,
};

pub use super::plan::{RelayAddress, TlsFiles};

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The time is now this. The engine sends it before each batch.
    Tick(Timestamp),
    /// The zone that the operator's clock shows.
    Zone(FixedOffset),
    /// `--read-only`: neither apply nor rollback.
    ReadOnly,
    /// `sluice.yaml` was read, or the contexts of the kubeconfig stand in for it.
    Fleet(FleetFile),
    /// The policy files of the workspace were read.
    Files(PolicyFiles),
    /// The companions of the discovery documents were read and judged.
    Flagged(FlaggedFiles),
    /// Of the discovery documents.
    Document(DocumentFact),
    /// By what destinations are judged: built-in lists and those of the workspace.
    Rules(Arc<Rules>),
    /// Something in files or settings is wrong; the rest goes on.
    Notice(Trouble),
    /// A plan that [`super::world::World::take_draft`] gave out is worked out; `None`: that failed.
    Plan(Option<Box<Waves>>),
    Cluster(ClusterName, ClusterFact),
    Order(OrderId, OrderFact),
    /// Of the state cluster: what the team shares.
    Shared(SharedFact),
}

/// What one cluster, or an adapter that talks to it, told.
#[derive(Clone, Debug)]
pub enum ClusterFact {
    /// The API server answered who it is.
    Met {
        uid: Option<Text>,
        version: Text,
        kinds: Vec<PolicyKind>,
    },
    Identity(Identity),
    Rights(Rights),
    Cni(Cni),
    /// Any good answer came: the row's age starts anew.
    Answered,
    /// It could not be reached, refused us, or answered something else than Kubernetes.
    Away(Trouble),
    /// One part is missing or old, the rest goes on (a list refused, a watch broken, answers late).
    /// Without a trouble: it is well again.
    Partial {
        what: Part,
        trouble: Option<Trouble>,
    },
    Namespaces(Change<NamespaceSeen, NsName>),
    Policies(PolicyKind, Change<Policy, PolicyKey>),
    /// Policies that are only staged; `None`: the cluster serves none.
    Staged(Option<Change<Staged, PolicyKey>>),
    Pods(Change<Pod, (NsName, PodName)>),
    /// Flows in the order they should be read, never repeated.
    Flows(Vec<Flow>),
    /// Sign of life of a node's telemetry: everything that it had to say between these two moments, by
    /// its own clock, was read, but for the gaps told of it. A sign without anything before it that it
    /// could follow on has no length (`from` is `until`).
    Heard {
        node: NodeName,
        from: Timestamp,
        until: Timestamp,
    },
    /// The heartbeat: a probe of this namespace and direction tried what this node must deny. Denied
    /// only when the flow source told so; then `at` is that moment, else when the probe began.
    Probed {
        ns: NsName,
        direction: Direction,
        node: NodeName,
        at: Timestamp,
        outcome: probe::Outcome,
    },
    Gap(Gap),
    Source(SourceState),
    CronJobs(Change<CronJob, (NsName, Text)>),
    /// How lookups of pods reach the DNS server.
    Dns(DnsPath),
    /// Who enforces, what is recorded, what a policy would cut: looked at now and then.
    Preflight(Box<Report>),
    /// How far back the records of its flow source reach, measured on them.
    Week(Known<Measured>),
    /// What its Kyverno asserts and has found.
    Kyverno(Box<Kyverno>),
    /// How the cluster's collector is doing.
    Collector(Box<CollectorState>),
    /// Its collector is being asked for the edges of this namespace.
    Asked(NsName),
    /// Edges of one namespace, as asked for by [`Effect::ReadEdges`].
    Baseline(Box<Baseline>),
    /// The same from the workspace, because no collector answers.
    Documented(Box<Documented>),
    /// The workspace's policies of this row are being held against the recorded week.
    Foreseeing(Target),
    Foretold(Box<Foretold>),
}

/// The collector of one cluster: what it has, how sure it is of it, and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorState {
    pub link: Link,
    pub version: Option<Text>,
    /// What it reads, each with its lag and its losses.
    pub sources: Vec<SourceState>,
    /// The window that it can answer for, and what of it was seen.
    pub window: Option<Window>,
    pub coverage: Coverage,
    /// Edges by namespace.
    pub edges: Vec<(NsName, Tally)>,
    /// Told of the collector itself: full disk, malformed input.
    pub troubles: Vec<Trouble>,
}

impl CollectorState {
    /// What it holds of a namespace; `None`: it has not said what it holds at all.
    pub fn tally(&self, ns: &NsName) -> Option<Tally> {
        self.window?;
        let told = self.edges.iter().find(|(name, _)| name == ns);
        Some(told.map_or(Tally { edges: 0, parties: Some(Parties::default()) }, |(_, tally)| *tally))
    }
}

/// What a collector answered for one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    pub ns: NsName,
    pub window: Window,
    pub edges: Vec<(EdgeKey, Edge)>,
    /// Edges that did not fit into the answer.
    pub left_out: u64,
    /// Not everything could be read.
    pub trouble: Option<Trouble>,
}

/// The companion of a namespace's discovery document, as one cluster's part of it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// From the root of the workspace on.
    pub path: Text,
    pub written: Timestamp,
    /// Why it does not suffice as a whole, for egress.
    pub doubts: Vec<Text>,
    pub ingress_doubts: Vec<Text>,
    /// What it has not seen, though it may suffice.
    pub uncovered: Vec<Text>,
}

impl Document {
    pub fn doubts(&self, direction: Direction) -> &[Text] {
        match direction {
            Direction::Egress => &self.doubts,
            Direction::Ingress => &self.ingress_doubts,
        }
    }

    /// Where it lies, how old it is, and why it is read at all.
    pub fn words(&self, now: Timestamp) -> String {
        let written = span(age(self.written, now));
        format!("the workspace's {}, written {written} ago: no collector answers", self.path)
    }
}

/// What a document told in place of a collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Documented {
    pub baseline: Baseline,
    pub document: Document,
}

/// A watched list: everything anew, one object, or one gone.
#[derive(Clone, Debug)]
pub enum Change<T, K> {
    Reset(Vec<T>),
    Put(T),
    Gone(K),
}

/// Time or events that a source lost. A loss is a fact, never smoothed over. An open one is told
/// again, with the same node and `from`, when it closes; one that turned out to have no length
/// (`until` is `from`) was read again in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// `None`: the whole source.
    pub node: Option<NodeName>,
    pub from: Timestamp,
    /// `None`: it is still open.
    pub until: Option<Timestamp>,
    /// Events lost, where the source counts them.
    pub lost: Option<u64>,
    /// What kind of gap it is: silence, a loss, or a restart of what was to tell.
    pub cause: Cause,
    pub why: Text,
}

/// How a flow source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// What it can say at all.
    pub kind: SourceKind,
    /// `Hubble Relay`, with its version where known.
    pub name: Text,
    pub link: Link,
    /// Where its history begins; `None` where it does not say.
    pub history_from: Option<Timestamp>,
    /// Time between the newest event and its arrival here.
    pub lag: Option<TimeDelta>,
    pub nodes_connected: Option<u32>,
    pub nodes_unavailable: Option<u32>,
    /// Messages that were not what they claim, since start.
    pub malformed: u64,
    /// Repeats dropped, since start.
    pub repeats: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// No source is known for this cluster's CNI; the reason says what would be needed.
    None(Text),
    Connecting,
    Live,
    Broken(Trouble),
}

/// The outside failed. Says what was tried, on which object, and what the operator can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {fact}. {next}")]
pub struct Trouble {
    /// Cluster, file, or Kubernetes object.
    pub object: Text,
    pub fact: Text,
    /// The next step for the operator, a whole sentence.
    pub next: Text,
}

impl Trouble {
    pub fn new(object: &str, fact: &str, next: &str) -> Self {
        Self { object: Text::new(object), fact: Text::new(fact), next: Text::new(next) }
    }
}

/// What happened to one order.
#[derive(Clone, Debug)]
pub enum OrderFact {
    /// We asked for it: from here on it is in flight.
    Started {
        kind: OrderKind,
        target: Target,
    },
    Previewed(Box<Preview>),
    /// One write was answered, refused, or left without an answer.
    Wrote(Receipt),
    /// The performer is through, or stopped.
    Ended(Outcome),
}

/// Everything we may ask of the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Preview(PreviewOrder),
    Apply(ApplyOrder),
    Rollback(RollbackOrder),
    /// Stop this order before its next write.
    Abort(OrderId),
    /// Try this cluster again now instead of waiting for its backoff.
    Reconnect(ClusterName),
    /// Ask the cluster's collector for the edges of this namespace.
    ReadEdges(ClusterName, NsName),
    /// Hold these policies against the recorded week.
    Foresee(Box<Question>),
    /// Read what the discovery documents say of themselves.
    ReadDocuments,
    /// Hold a discovery document against what the collectors hold now.
    Compare(Box<monthly::Question>),
    /// Write a discovery document of the workspace.
    Renew {
        prepared: Box<monthly::Prepared>,
        reviewed: bool,
    },
    /// Write this to the state cluster.
    Share(ShareId, Share),
    /// Read `sluice.yaml` and the policy files again.
    Reload,
}
