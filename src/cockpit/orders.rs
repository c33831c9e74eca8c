//! Orders: what is to be written, what came back, and how it ended. One order at a time for a
//! (cluster, namespace). A write's answer only settles its order; the rows move by the watch.

use std::{collections::BTreeMap, fmt};

use compact_str::CompactString;

use crate::domain::{
    fleet::{Isolation, Namespace, Presence},
    manifest::Manifests,
    names::{ClusterName, NsName, Text},
    policy::PolicyDigest,
    predict::prediction::Prediction,
    shadow,
    time::Timestamp,
    valve::{Set, Step},
};

use super::ports::Trouble;

pub use crate::domain::rollout::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Ask the server what an apply would do, without doing it.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewOrder {
    pub id: OrderId,
    pub target: Target,
    pub origin: Origin,
    /// What is wanted.
    pub wanted: Set,
    /// The same as JSON text, by pinned name.
    pub manifests: Manifests,
}

/// Where the bytes of an apply come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Workspace,
    /// The newest that soaked clean, as the state cluster keeps them: a revert.
    LastClean,
    /// The workspace, to be staged only: judged by, and never enforced.
    Shadow,
}

/// What an apply would do: everything the confirmation shows and is bound to.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub target: Target,
    pub origin: Origin,
    /// Digest of the pinned set as the server's dry run returned it.
    pub digest: PolicyDigest,
    /// The set as the server's dry run returned it.
    pub set: Set,
    /// Manifests as they will be sent, by pinned name.
    pub manifests: Manifests,
    /// The live pinned objects that this was computed against, with their versions; of a shadow what is
    /// staged.
    pub live: Set,
    pub steps: Vec<Step>,
    pub before: Isolation,
    pub after: Isolation,
    /// Unified diff of live against wanted, as YAML, one line an entry.
    pub diff: Vec<DiffLine>,
    /// The equivalent kubectl commands, in order.
    pub commands: Vec<String>,
    /// What a careful person would want to know before saying yes.
    pub warnings: Vec<Text>,
    /// Why the server would refuse it. Not empty: it cannot be applied.
    pub refusals: Vec<Trouble>,
    /// What one look at the cluster and, unless that is `untold`, the recorded week say of it. The error:
    /// why nobody looked.
    pub prediction: Result<Box<Prediction>, Text>,
    /// Why nobody told the recorded week: then the prediction speaks of the cluster as it is, no more.
    pub untold: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    pub sign: Sign,
    pub text: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Heading: the object the lines below belong to.
    Object,
    Same,
    Added,
    Removed,
}

/// Write what was previewed and confirmed, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyOrder {
    pub id: OrderId,
    pub preview: Box<Preview>,
    /// The order of the same wave that has to end well first.
    pub after: Option<OrderId>,
}

/// Take a direction of a namespace back. Needs nothing but the target's API server: what is live is
/// read there and then.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackOrder {
    pub id: OrderId,
    pub target: Target,
    /// An apply on the same namespace that is to stop before its next write; the rollback starts
    /// as soon as it has, or after a short while whatever it does.
    pub aborts: Option<OrderId>,
}

/// One mutating call, as it went out and what came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub order: OrderId,
    pub target: Target,
    pub step: Step,
    /// The equivalent kubectl command, verbatim.
    pub command: String,
    pub result: Answer,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The server took it; the object's new version, if it has one.
    Done {
        version: Option<CompactString>,
    },
    /// Nothing to do: it was so already.
    Unchanged,
    Refused(Trouble),
    /// No answer came: the write may have landed. The watch settles it.
    Unsettled(Trouble),
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything was written and read back.
    Done { isolation: Isolation },
    /// Stopped before the end; what is live now is said.
    Stopped { trouble: Trouble, isolation: Option<Isolation> },
    /// Stopped because somebody said so.
    Aborted { isolation: Option<Isolation> },
    /// A write was left without an answer and reading back failed too.
    Unsettled(Trouble),
    /// The preview could not be made.
    Failed(Trouble),
}

impl Outcome {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Stopped { .. } => "stopped",
            Self::Aborted { .. } => "aborted",
            Self::Unsettled(_) => "unsettled",
            Self::Failed(_) => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    Preview,
    Apply,
    /// An apply of the newest bytes that soaked clean.
    Revert,
    /// Stages a set, and enforces nothing.
    Shadow,
    Rollback,
}

impl OrderKind {
    /// Does it write a set, so that it can be aborted?
    pub fn applies(self) -> bool {
        matches!(self, Self::Apply | Self::Revert | Self::Shadow)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Apply => "apply",
            Self::Revert => "revert",
            Self::Shadow => "shadow",
            Self::Rollback => "rollback",
        }
    }
}

#[derive(Clone, Debug)]
pub enum OrderState {
    /// Asked for and not ended; the receipts tell how far it is.
    Running,
    /// A preview that waits for a yes.
    Previewed(Box<Preview>),
    Ended(Outcome),
}

/// An order and all that is known of it.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: OrderId,
    pub kind: OrderKind,
    pub target: Target,
    pub since: Timestamp,
    pub ended: Option<Timestamp>,
    pub state: OrderState,
    /// Answers so far.
    pub receipts: usize,
    /// Of the set that it writes; `None` of a rollback, and of a preview until it is there.
    pub digest: Option<PolicyDigest>,
}

impl Order {
    pub fn is_running(&self) -> bool {
        matches!(self.state, OrderState::Running)
    }
}

/// One line of the activity page.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Timestamp,
    pub receipt: Receipt,
}

/// All orders of this run, and every mutating call they made. Old previews are forgotten.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    orders: BTreeMap<OrderId, Order>,
    activity: Vec<Entry>,
    next: u64,
}

impl Orders {
    /// Calls kept on the activity page; older ones are in the log file.
    const ACTIVITY_LIMIT: usize = 10_000;
    /// Orders kept after they ended.
    const ENDED_LIMIT: usize = 1_000;

    pub fn get(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// The preview that an order made; `None`: it made none, or not yet.
    pub fn preview(&self, id: OrderId) -> Option<&Preview> {
        match &self.get(id)?.state {
            OrderState::Previewed(preview) => Some(preview),
            OrderState::Running | OrderState::Ended(_) => None,
        }
    }

    /// Newest last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders.values()
    }

    /// Newest last.
    pub fn activity(&self) -> &[Entry] {
        &self.activity
    }

    /// Applies and rollbacks under way in a namespace, whatever their direction, newest first.
    pub fn running_in(&self, cluster: &ClusterName, ns: &NsName) -> impl Iterator<Item = &Order> {
        self.orders.values().rev().filter(move |order| {
            order.kind != OrderKind::Preview
                && order.is_running()
                && order.target.cluster == *cluster
                && order.target.ns == *ns
        })
    }

    /// The newest apply or rollback under way in a namespace.
    pub fn in_flight(&self, cluster: &ClusterName, ns: &NsName) -> Option<&Order> {
        self.running_in(cluster, ns).next()
    }

    /// The newest order of a rollout that may have changed what is enforced.
    pub fn latest(&self, target: &Target) -> Option<&Order> {
        let counts = |kind| !matches!(kind, OrderKind::Preview | OrderKind::Shadow);
        self.orders.values().rev().find(|order| counts(order.kind) && order.target == *target)
    }

    /// The id that the next order takes.
    pub fn next_id(&self) -> OrderId {
        OrderId(self.next + 1)
    }

    pub(super) fn start(&mut self, id: OrderId, kind: OrderKind, target: Target, now: Timestamp) {
        self.next = self.next.max(id.0);
        // What an apply writes is what the newest preview of the row showed: `decide` saw to it.
        let previewed = self.orders.values().rev().filter(|order| order.target == target).find_map(|order| {
            let OrderState::Previewed(preview) = &order.state else { return None };
            Some(preview.digest)
        });
        let digest = previewed.filter(|_| kind.applies());
        let order = Order {
            id,
            kind,
            target,
            since: now,
            ended: None,
            state: OrderState::Running,
            receipts: 0,
            digest,
        };
        self.orders.insert(id, order);
        self.forget_old();
    }

    pub(super) fn previewed(&mut self, id: OrderId, preview: Box<Preview>) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.state = OrderState::Previewed(preview);
        }
    }

    pub(super) fn wrote(&mut self, receipt: Receipt, now: Timestamp) {
        if let Some(order) = self.orders.get_mut(&receipt.order) {
            order.receipts += 1;
        }
        if self.activity.len() == Self::ACTIVITY_LIMIT {
            self.activity.drain(..Self::ACTIVITY_LIMIT / 10);
        }
        self.activity.push(Entry { at: now, receipt });
    }

    pub(super) fn end(&mut self, id: OrderId, outcome: Outcome, now: Timestamp) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.ended = Some(now);
            order.state = OrderState::Ended(outcome);
        }
    }

    pub(super) fn has_unsettled(&self) -> bool {
        self.orders.values().any(|order| matches!(order.state, OrderState::Ended(Outcome::Unsettled(_))))
    }

    /// A write that was left without an answer is settled by what the watch shows: the set is live
    /// and closed after an apply, or gone after a rollback.
    pub(super) fn settle_by_watch(
        &mut self,
        cluster: &ClusterName,
        ns: &NsName,
        seen: &Namespace,
        now: Timestamp,
    ) {
        for order in self.orders.values_mut() {
            let is_here = order.target.cluster == *cluster && order.target.ns == *ns;
            if !is_here || !matches!(order.state, OrderState::Ended(Outcome::Unsettled(_))) {
                continue;
            }
            let direction = order.target.direction;
            let is_staged = || order.digest == Some(shadow::digest(&seen.staged(direction)));
            let settled = match (order.kind, seen.presence(direction)) {
                (OrderKind::Shadow, _) => is_staged(),
                (OrderKind::Apply | OrderKind::Revert, Presence::Tight)
                | (OrderKind::Rollback, Presence::None) => true,
                (
                    OrderKind::Apply | OrderKind::Revert,
                    Presence::None | Presence::Partial { .. } | Presence::Open,
                )
                | (OrderKind::Rollback, Presence::Partial { .. } | Presence::Open | Presence::Tight)
                | (OrderKind::Preview, _) => false,
            };
            if settled {
                order.state = OrderState::Ended(Outcome::Done { isolation: seen.isolation(direction) });
                order.ended = Some(now);
            }
        }
    }

    fn forget_old(&mut self) {
        while self.orders.len() > Self::ENDED_LIMIT {
            let Some(id) = self.orders.values().find(|order| !order.is_running()).map(|order| order.id)
            else {
                return;
            };
            self.orders.remove(&id);
        }
    }
}
