//! What the team shares: custom resources of the state cluster, as values. Filled by its watch,
//! never by our own writes (their answers only end the waiting). Away is a state of its own: then
//! reading and rollback go on and nothing advances.

use std::collections::BTreeMap;

use crate::domain::{
    evidence::Evidence,
    flow::Direction,
    grant::{Decision, Grant, Review},
    hold::{Covers, Hold, HoldKind, Override, Scope, Subject, Waiver},
    journal::Entry,
    names::{ClusterName, NsName, Text},
    policy::PolicyDigest,
    rollout::{Kept, Record, Target},
    time::Timestamp,
};

use super::ports::{Change, Link, Trouble};

/// One write of sluice's own bookkeeping, for receipts and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId(pub u64);

impl ShareId {
    /// Of the nth write that is decided at this moment.
    pub fn new(now: Timestamp, nth: u64) -> Self {
        Self(now.timestamp_micros().unsigned_abs().wrapping_add(nth))
    }
}

/// Told of the state cluster.
#[derive(Clone, Debug)]
pub enum SharedFact {
    Link(Link),
    /// Its API server's clock, from an answer's `Date` header: expiry is judged by it.
    Clock(Timestamp),
    /// What we may do there, by verb and kind; unknown until asked.
    Rights(SharedRights),
    Records(Change<Kept<Record>, Text>),
    Evidence(Change<Kept<Evidence>, Text>),
    Reviews(Change<Kept<Review>, Text>),
    Holds(Change<Kept<Hold>, Text>),
    Waivers(Change<Kept<Waiver>, Text>),
    Overrides(Change<Kept<Override>, Text>),
    /// Newest entries only; the chain is read whole by `sluice report`.
    Journal(Change<Kept<Entry>, Text>),
    /// Who writes evidence for a cluster, by its Lease; `None`: nobody.
    Observer(ClusterName, Option<Observer>),
    /// What whoever observes the cluster has told people of it, as its Lease keeps it
    /// ([`super::alerts`] wrote it).
    Alerted(ClusterName, Box<str>),
    /// So many acts wait here until the journal has them.
    Waiting(usize),
    /// We are about to ask for this write.
    Asked(ShareId),
    /// A write of ours was taken, refused, or left without an answer.
    Wrote {
        id: ShareId,
        what: Text,
        result: Result<(), Trouble>,
    },
}

/// The holder of a cluster's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// `watch` or the user's name, with the host.
    pub holder: Text,
    pub renewed: Timestamp,
    /// It is this process.
    pub is_us: bool,
}

/// What we may write in the state cluster. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedRights {
    pub ask_review: Option<bool>,
    pub decide_review: Option<bool>,
    pub hold: Option<bool>,
    pub exclude: Option<bool>,
    pub waive: Option<bool>,
    pub overrule: Option<bool>,
    /// The second person's yes.
    pub confirm: Option<bool>,
    pub record: Option<bool>,
}

/// A write to the state cluster, decided and ready. The author is never part of it: the API server
/// stamps who it was, and admission compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Share {
    AskReview {
        grant: Box<Grant>,
        findings: Vec<Text>,
        purpose: Text,
    },
    /// Appends to the review's decisions; `version` is the one it was decided on.
    Decide {
        review: Text,
        version: Text,
        decision: Box<Decision>,
    },
    Hold {
        scope: Scope,
        kind: HoldKind,
        reason: Text,
        expires: Option<Timestamp>,
    },
    Release {
        hold: Text,
        version: Text,
    },
    Waive {
        target: Target,
        /// Of the cluster's kube-system namespace.
        uid: Text,
        subject: Subject,
        reason: Text,
        expires: Timestamp,
    },
    Override {
        target: Target,
        /// Of the cluster's kube-system namespace.
        uid: Text,
        digest: PolicyDigest,
        covers: Vec<Covers>,
        reason: Text,
        expires: Timestamp,
    },
    Confirm {
        over: Text,
        version: Text,
    },
    /// Whole value; `version` is that of the object it replaces, `None` where there is none yet.
    Record {
        record: Box<Record>,
        version: Option<Text>,
    },
    Evidence {
        evidence: Box<Evidence>,
        version: Option<Text>,
    },
    Journal(Box<Entry>),
    /// Evidence of a rollout whose namespace is gone, and whose credit has lapsed: that very version.
    Forget {
        evidence: Text,
        version: Text,
    },
}

impl Share {
    /// Words of what is written without anybody asking for it.
    pub const UNASKED: [&str; 4] =
        ["record a rollout", "write evidence", "write the journal", "forget evidence"];

    /// What it does, in words for messages.
    pub fn words(&self) -> &'static str {
        match self {
            Self::AskReview { .. } => "ask for a review",
            Self::Decide { .. } => "decide a review",
            Self::Hold { kind, .. } => match kind {
                HoldKind::Hold => "hold",
                HoldKind::Exclusion => "exclude",
            },
            Self::Release { .. } => "release",
            Self::Waive { .. } => "waive",
            Self::Override { .. } => "override",
            Self::Confirm { .. } => "confirm an override",
            Self::Record { .. } => "record a rollout",
            Self::Evidence { .. } => "write evidence",
            Self::Journal(_) => "write the journal",
            Self::Forget { .. } => "forget evidence",
        }
    }
}

/// Everything the team shares, as it was last seen.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    link: Option<Link>,
    /// Since when `link` is so.
    since: Option<Timestamp>,
    /// The API server's clock, and ours at that moment.
    clock: Option<(Timestamp, Timestamp)>,
    pub rights: SharedRights,
    records: BTreeMap<Target, Kept<Record>>,
    evidence: BTreeMap<Target, Kept<Evidence>>,
    reviews: BTreeMap<Text, Kept<Review>>,
    holds: BTreeMap<Text, Kept<Hold>>,
    waivers: BTreeMap<Text, Kept<Waiver>>,
    overrides: BTreeMap<Text, Kept<Override>>,
    journal: BTreeMap<Text, Kept<Entry>>,
    leases: BTreeMap<ClusterName, Seat>,
    /// Our writes that were answered lately, newest last.
    wrote: Vec<Written>,
    waiting: usize,
    /// The id of the newest write of ours.
    asked: u64,
    /// Counts what came and may change what is shown.
    revision: u64,
}

/// A cluster's Lease, as far as it concerns others than its keeper.
#[derive(Clone, Debug, Default)]
struct Seat {
    observer: Option<Observer>,
    alerted: Option<Box<str>>,
}

/// How a write of ours ended.
#[derive(Clone, Debug)]
pub struct Written {
    pub id: ShareId,
    pub at: Timestamp,
    pub what: Text,
    pub result: Result<(), Trouble>,
}

impl Shared {
    /// Answers of our own writes kept.
    const WROTE: usize = 200;
    /// Journal entries kept for screens.
    pub const JOURNAL: usize = 500;

    /// `None`: no state cluster is named in `sluice.yaml`.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Its watch stands: what is here is what is there.
    pub fn is_live(&self) -> bool {
        matches!(self.link, Some(Link::Live))
    }

    /// Now by the state cluster's API server, carried on by our own clock and never set back: what
    /// expiry is judged by. `None` until it answered.
    pub fn now(&self, ours: Timestamp) -> Option<Timestamp> {
        let (server, then) = self.clock?;
        Some(server + (ours - then).max(chrono::TimeDelta::zero()))
    }

    /// When the next waiver, grant or decision ends after this moment of the server's clock.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let waivers = self.waivers().map(|kept| kept.value.expires);
        let of_review = |review: &Review| {
            let decided = review.decisions.iter().filter_map(|decision| decision.expires);
            decided.chain([review.grant.expires]).filter(|end| *end > now).min()
        };
        let reviews = self.reviews().filter_map(|kept| of_review(&kept.value));
        waivers.chain(reviews).filter(|end| *end > now).min()
    }

    pub fn record(&self, target: &Target) -> Option<&Kept<Record>> {
        self.records.get(target)
    }

    /// Of one cluster.
    pub fn records_of<'s>(&'s self, cluster: &ClusterName) -> impl Iterator<Item = &'s Kept<Record>> {
        let from = Target { cluster: cluster.clone(), ns: NsName::first(), direction: Direction::Egress };
        let cluster = cluster.clone();
        let range = self.records.range(from..);
        range.take_while(move |(target, _)| target.cluster == cluster).map(|(_, kept)| kept)
    }

    pub fn records(&self) -> impl Iterator<Item = &Kept<Record>> {
        self.records.values()
    }

    pub fn evidence(&self, target: &Target) -> Option<&Kept<Evidence>> {
        self.evidence.get(target)
    }

    pub fn all_evidence(&self) -> impl Iterator<Item = &Kept<Evidence>> {
        self.evidence.values()
    }

    /// By name, which sorts by age.
    pub fn reviews(&self) -> impl ExactSizeIterator<Item = &Kept<Review>> {
        self.reviews.values()
    }

    pub fn review(&self, name: &Text) -> Option<&Kept<Review>> {
        self.reviews.get(name)
    }

    pub fn holds(&self) -> impl ExactSizeIterator<Item = &Kept<Hold>> {
        self.holds.values()
    }

    pub fn waivers(&self) -> impl ExactSizeIterator<Item = &Kept<Waiver>> {
        self.waivers.values()
    }

    pub fn overrides(&self) -> impl ExactSizeIterator<Item = &Kept<Override>> {
        self.overrides.values()
    }

    /// Oldest first.
    pub fn journal(&self) -> impl DoubleEndedIterator<Item = &Kept<Entry>> {
        self.journal.values()
    }

    pub fn observer(&self, cluster: &ClusterName) -> Option<&Observer> {
        self.leases.get(cluster)?.observer.as_ref()
    }

    /// What people were told of a cluster; `None`: its Lease does not say.
    pub fn alerted(&self, cluster: &ClusterName) -> Option<&str> {
        self.leases.get(cluster)?.alerted.as_deref()
    }

    /// Newest last.
    pub fn wrote(&self) -> &[Written] {
        &self.wrote
    }

    /// Acts that wait here until the journal has them.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The id that the next write of ours takes.
    pub fn next_id(&self) -> ShareId {
        ShareId(self.asked + 1)
    }

    /// Changes when anything but the clock does.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn absorb(&mut self, fact: SharedFact, now: Timestamp) {
        self.revision += u64::from(!matches!(fact, SharedFact::Clock(_) | SharedFact::Alerted(..)));
        match fact {
            SharedFact::Link(link) => {
                if self.link.as_ref() != Some(&link) {
                    self.since = Some(now);
                }
                self.link = Some(link);
            }
            SharedFact::Clock(server) => {
                // A server whose clock is set back does not make a grant valid again.
                let known = self.now(now);
                self.clock = Some((known.map_or(server, |known| known.max(server)), now));
            }
            SharedFact::Rights(rights) => self.rights = rights,
            SharedFact::Records(change) => by_target(&mut self.records, change, |record| &record.target),
            SharedFact::Evidence(change) => {
                by_target(&mut self.evidence, change, |evidence| &evidence.target);
            }
            SharedFact::Reviews(change) => by_name(&mut self.reviews, change),
            SharedFact::Holds(change) => by_name(&mut self.holds, change),
            SharedFact::Waivers(change) => by_name(&mut self.waivers, change),
            SharedFact::Overrides(change) => by_name(&mut self.overrides, change),
            SharedFact::Journal(change) => {
                by_name(&mut self.journal, change);
                while self.journal.len() > Self::JOURNAL {
                    self.journal.pop_first();
                }
            }
            SharedFact::Observer(cluster, observer) => {
                self.leases.entry(cluster).or_default().observer = observer;
            }
            SharedFact::Alerted(cluster, told) => {
                self.leases.entry(cluster).or_default().alerted = Some(told);
            }
            SharedFact::Waiting(count) => self.waiting = count,
            SharedFact::Asked(ShareId(id)) => self.asked = self.asked.max(id),
            SharedFact::Wrote { id, what, result } => {
                if self.wrote.len() == Self::WROTE {
                    self.wrote.remove(0);
                }
                self.wrote.push(Written { id, at: now, what, result });
            }
        }
    }
}

fn by_name<T>(all: &mut BTreeMap<Text, Kept<T>>, change: Change<Kept<T>, Text>) {
    match change {
        Change::Reset(kept) => *all = kept.into_iter().map(|kept| (kept.name.clone(), kept)).collect(),
        Change::Put(kept) => {
            all.insert(kept.name.clone(), kept);
        }
        Change::Gone(name) => {
            all.remove(&name);
        }
    }
}

/// One object a rollout; by its name one goes.
fn by_target<T>(
    all: &mut BTreeMap<Target, Kept<T>>,
    change: Change<Kept<T>, Text>,
    target: fn(&T) -> &Target,
) {
    match change {
        Change::Reset(kept) => {
            *all = kept.into_iter().map(|kept| (target(&kept.value).clone(), kept)).collect();
        }
        Change::Put(kept) => {
            all.insert(target(&kept.value).clone(), kept);
        }
        Change::Gone(name) => all.retain(|_, kept| kept.name != name),
    }
}
