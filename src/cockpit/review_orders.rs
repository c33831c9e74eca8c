//! Asking for grants and deciding on them: pure, with every reason against. What comes of it is a
//! write to the state cluster, where admission checks again who asked and who decides (law 4).

use std::collections::BTreeSet;

use crate::domain::{
    gate::clock,
    grant::{Decision, DecisionVerdict, Grant, Review, Standing},
    names::Text,
    rollout::{Kept, Stamp},
    time::Timestamp,
};

use super::{
    decide::{Orders, Reason, Refusal, refuse_if},
    gate,
    ports::{Effect, Link},
    reviews,
    shared::{Share, ShareId},
    world::World,
};

/// Grants that are asked for, each by a review of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    pub grants: Vec<Grant>,
    /// Why it is needed.
    pub purpose: Text,
}

/// One decision on several reviews.
#[derive(Clone, Debug, PartialEq)]
pub struct Deciding {
    pub reviews: Vec<Shown>,
    pub verdict: DecisionVerdict,
    pub reason: Text,
    pub ticket: Option<Text>,
    /// Of approvals: earlier than the grant's own. Of rejections: how long denials are expected.
    pub expires: Option<Timestamp>,
    /// UIDs; `None`: all that each grant names.
    pub clusters: Option<BTreeSet<Text>>,
}

/// A review as somebody looked at it: one that changed since is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub name: Text,
    pub version: Text,
}

/// One reason against asking or deciding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewReason {
    #[error("no state cluster is named: write `state:` into sluice.yaml and run `sluice install` there")]
    NoState,
    #[error("the state cluster is not connected ({0}), and reviews are kept there: wait until it is")]
    Away(Text),
    #[error("the time of the state cluster is not known, and by it grants expire: wait until it answers")]
    NoTime,
    #[error("who you are in the state cluster is not known: wait until it answers")]
    Nobody,
    #[error("you may not {0} in the state cluster (RBAC); ask its admin for the right")]
    NoRight(&'static str),
    #[error("the {0} is empty: write one for those who read it later")]
    Empty(&'static str),
    #[error("the grant names no {0}")]
    Grantless(&'static str),
    #[error("{} has passed already: name a later time", clock(*.0))]
    Past(Timestamp),
    #[error("review {review} asks until {}: a decision may shorten that, never lengthen it", clock(*.until))]
    Beyond { review: Text, until: Timestamp },
    #[error("review {review} asked until {}, which has passed: it is asked for anew with `sluice review ask`", clock(*.until))]
    Over { review: Text, until: Timestamp },
    #[error("there is no review {0}: `sluice review list` shows them")]
    Unknown(Text),
    #[error("review {0} changed since it was shown: look at it again with `sluice review show {0}`")]
    Changed(Text),
    #[error("review {review} was asked for by {by}, which is you: somebody else decides")]
    Own { review: Text, by: Text },
    #[error("review {review} is not for cluster {cluster}: ask for it with `sluice review ask`")]
    OtherCluster { review: Text, cluster: Text },
    #[error("review {0} names no cluster of those: nothing would be decided")]
    NoCluster(Text),
    #[error("review {review} is {standing}, not approved: there is nothing to revoke")]
    NotApproved { review: Text, standing: &'static str },
    #[error("review {0} asks for exactly this already and is not decided")]
    Asked(Text),
}

impl ReviewReason {
    /// Stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoState => "no-state",
            Self::Away(_) => "state-away",
            Self::NoTime => "time-unknown",
            Self::Nobody => "identity-unknown",
            Self::NoRight(_) => "no-right",
            Self::Empty(_) => "empty",
            Self::Grantless(_) => "empty-grant",
            Self::Past(_) => "expiry-past",
            Self::Beyond { .. } => "expiry-beyond",
            Self::Over { .. } => "expired",
            Self::Unknown(_) => "unknown-review",
            Self::Changed(_) => "changed",
            Self::Own { .. } => "own-request",
            Self::OtherCluster { .. } => "other-cluster",
            Self::NoCluster(_) => "no-cluster",
            Self::NotApproved { .. } => "not-approved",
            Self::Asked(_) => "asked",
        }
    }
}

/// What holds for every write of reviews.
fn common(world: &World, right: Option<bool>, what: &'static str) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if world.is_read_only() {
        reasons.push(Reason::ReadOnly);
    }
    reasons.extend(away(world).map(Reason::Review));
    if gate::time(world).is_none() {
        reasons.push(ReviewReason::NoTime.into());
    }
    if right == Some(false) {
        reasons.push(ReviewReason::NoRight(what).into());
    }
    reasons
}

/// Why reviews cannot be read; `None`: they can.
pub(super) fn away(world: &World) -> Option<ReviewReason> {
    match world.shared().link() {
        None => Some(ReviewReason::NoState),
        Some(Link::None(why)) => Some(ReviewReason::Away(why.clone())),
        Some(Link::Connecting) => Some(ReviewReason::Away(Text::new("it is being connected"))),
        Some(Link::Broken(trouble)) => Some(ReviewReason::Away(Text::from(trouble.to_string()))),
        Some(Link::Live) => None,
    }
}

/// Who we are where reviews are kept.
pub(super) fn me(world: &World) -> Option<&Text> {
    let place = world.plan().settings.state.as_ref()?;
    Some(&world.cluster(&place.cluster)?.identity.as_ref()?.user)
}

/// Nothing that anybody could read.
fn is_blank(text: &Text) -> bool {
    !text.as_str().chars().any(char::is_alphanumeric)
}

fn shares(world: &World, shares: Vec<Share>) -> Orders {
    let share = |(share, nth)| Effect::Share(ShareId::new(world.now(), nth), share);
    Orders { started: Vec::new(), effects: shares.into_iter().zip(0..).map(share).collect() }
}

/// Why we may not ask for reviews at all; empty: we may.
pub fn may_ask(world: &World) -> Vec<Reason> {
    common(world, world.shared().rights.ask_review, "ask for reviews")
}

pub(super) fn ask(world: &World, asking: &Asking) -> Result<Orders, Refusal> {
    let mut reasons = may_ask(world);
    if is_blank(&asking.purpose) {
        reasons.push(ReviewReason::Empty("purpose").into());
    }
    for grant in &asking.grants {
        reasons.extend(against_asking(world, grant).into_iter().map(Reason::Review));
    }
    let what: Vec<_> = asking.grants.iter().map(|grant| &grant.destination).collect();
    refuse_if("ask for", &what, reasons)?;
    let share = |grant: &Grant| Share::AskReview {
        grant: Box::new(grant.clone()),
        findings: reviews::findings(world, grant).into_iter().map(|finding| finding.reason).collect(),
        purpose: asking.purpose.clone(),
    };
    Ok(shares(world, asking.grants.iter().map(share).collect()))
}

fn against_asking(world: &World, grant: &Grant) -> Vec<ReviewReason> {
    let nothing = match &grant.destination {
        crate::domain::grant::Opening::Networks(networks) => networks.is_empty(),
        crate::domain::grant::Opening::Name(_) => false,
    };
    let parts =
        [("cluster", grant.clusters.is_empty()), ("port", grant.ports.is_empty()), ("destination", nothing)];
    let mut out: Vec<_> = parts
        .into_iter()
        .filter(|(_, lacks)| *lacks)
        .map(|(what, _)| ReviewReason::Grantless(what))
        .collect();
    let now = gate::time(world);
    out.extend(now.filter(|now| grant.expires <= *now).map(|_| ReviewReason::Past(grant.expires)));
    let people = &world.plan().settings.people;
    let open = |kept: &&Kept<Review>| {
        let same = Grant { expires: grant.expires, ..kept.value.grant.clone() };
        same == *grant
            && grant.clusters.iter().all(|uid| kept.value.standing(uid, now, people) == Standing::Open)
    };
    let asked = world.shared().reviews().find(open);
    out.extend(asked.map(|kept| ReviewReason::Asked(kept.name.clone())));
    out
}

/// Why we may not decide this review, whatever the decision; empty: we may.
pub(super) fn against_us(world: &World, kept: &Kept<Review>) -> Vec<Reason> {
    let mut reasons = against_any(world);
    reasons.extend(own(world, kept).map(Reason::Review));
    reasons
}

fn against_any(world: &World) -> Vec<Reason> {
    let mut reasons = common(world, world.shared().rights.decide_review, "decide reviews");
    reasons.extend(me(world).is_none().then_some(Reason::Review(ReviewReason::Nobody)));
    reasons
}

/// It was asked for by us, under this or another name.
fn own(world: &World, kept: &Kept<Review>) -> Option<ReviewReason> {
    let is_ours = me(world).is_some_and(|me| kept.value.is_by(me, &world.plan().settings.people));
    let (review, by) = (kept.name.clone(), kept.value.requested_by.clone());
    is_ours.then_some(ReviewReason::Own { review, by })
}

/// Every reason against a decision, those of single reviews included.
fn against(world: &World, deciding: &Deciding) -> Vec<Reason> {
    let blank = is_blank(&deciding.reason).then_some(Reason::Review(ReviewReason::Empty("reason")));
    may_decide(world, deciding).into_iter().chain(blank).collect()
}

/// The same before anybody wrote a reason.
pub fn may_decide(world: &World, deciding: &Deciding) -> Vec<Reason> {
    let mut reasons = against_any(world);
    let now = gate::time(world);
    if let (Some(now), Some(expires)) = (now, deciding.expires)
        && expires <= now
    {
        reasons.push(ReviewReason::Past(expires).into());
    }
    for shown in &deciding.reviews {
        reasons.extend(against_one(world, deciding, shown).into_iter().map(Reason::Review));
    }
    reasons
}

fn against_one(world: &World, deciding: &Deciding, shown: &Shown) -> Vec<ReviewReason> {
    let Some(kept) = world.shared().review(&shown.name) else {
        return vec![ReviewReason::Unknown(shown.name.clone())];
    };
    let (review, name) = (&kept.value, || kept.name.clone());
    let people = &world.plan().settings.people;
    let mut out = Vec::new();
    if kept.version != shown.version {
        out.push(ReviewReason::Changed(name()));
    }
    out.extend(own(world, kept));
    let clusters = named(deciding, review);
    if clusters.is_empty() {
        out.push(ReviewReason::NoCluster(name()));
    }
    for cluster in clusters.difference(&review.grant.clusters) {
        out.push(ReviewReason::OtherCluster { review: name(), cluster: cluster.clone() });
    }
    let (now, until) = (gate::time(world), review.grant.expires);
    match deciding.verdict {
        DecisionVerdict::Approved => {
            if now.is_some_and(|now| until <= now) {
                out.push(ReviewReason::Over { review: name(), until });
            }
            if deciding.expires.is_some_and(|own| own > until) {
                out.push(ReviewReason::Beyond { review: name(), until });
            }
        }
        DecisionVerdict::Rejected => {}
        DecisionVerdict::Revoked => {
            let not = |uid: &Text| {
                let standing = review.standing(uid, now, people);
                let approved =
                    review.decided(uid).is_some_and(|one| one.verdict == DecisionVerdict::Approved);
                (!approved).then_some(standing.as_str())
            };
            let standing = clusters.intersection(&review.grant.clusters).find_map(not);
            out.extend(standing.map(|standing| ReviewReason::NotApproved { review: name(), standing }));
        }
    }
    out
}

fn named(deciding: &Deciding, review: &Review) -> BTreeSet<Text> {
    deciding.clusters.clone().unwrap_or_else(|| review.grant.clusters.clone())
}

pub(super) fn decide(world: &World, deciding: &Deciding) -> Result<Orders, Refusal> {
    let what = match deciding.verdict {
        DecisionVerdict::Approved => "approve",
        DecisionVerdict::Rejected => "reject",
        DecisionVerdict::Revoked => "revoke",
    };
    let names: Vec<_> = deciding.reviews.iter().map(|shown| &shown.name).collect();
    refuse_if(what, &names, against(world, deciding))?;
    let (Some(me), Some(now)) = (me(world), gate::time(world)) else { return Ok(shares(world, Vec::new())) };
    let share = |shown: &Shown| {
        let kept = world.shared().review(&shown.name)?;
        let decision = Decision {
            verdict: deciding.verdict,
            stamp: Stamp { by: me.clone(), at: now },
            reason: deciding.reason.clone(),
            ticket: deciding.ticket.clone(),
            clusters: named(deciding, &kept.value),
            expires: deciding.expires,
        };
        let (review, version) = (kept.name.clone(), kept.version.clone());
        Some(Share::Decide { review, version, decision: Box::new(decision) })
    };
    Ok(shares(world, deciding.reviews.iter().filter_map(share).collect()))
}
