//! The owner gate: which peers that policies open are flagged, and whether valid grants cover each.
//! What is not known or not understood never passes. Every answer is one sentence with the next
//! step. Asks nobody; the reviews, the evidence and the API server's time come in.

use std::collections::BTreeSet;

use chrono::{FixedOffset, Offset, Utc};

use super::{
    destination::Finding,
    edge::DnsName,
    flagged::Flagged,
    flow::{Direction, Protocol},
    grant::{Beyond, PortSpan, Review, Standing},
    names::{NsName, Text},
    opened::{Opened, What},
    policy::{Policy, Role},
    rollout::{Kept, Target},
    suspect::{self, Catalogue},
    time::{Timestamp, minute},
};

/// What must be known to judge the policies of one rollout. `None`: not known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub target: &'a Target,
    /// UID of the cluster's kube-system namespace.
    pub uid: Option<&'a Text>,
    pub catalogue: Option<&'a Catalogue>,
    pub evidence: Option<&'a [&'a Flagged]>,
    /// Reviews as the state cluster holds them; `None`: it is not there.
    pub reviews: Option<&'a [&'a Kept<Review>]>,
    pub people: &'a [Vec<Text>],
    /// The API server's time.
    pub now: Option<Timestamp>,
}

/// What came of it. It passes if nothing is missing and every opening is covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Flagged openings, and those that are not understood, in the order of policies and rules.
    pub openings: Vec<Gated>,
    /// What had to be known and is not.
    pub missing: BTreeSet<Missing>,
}

/// One opening that needs a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gated {
    /// Name of the policy.
    pub policy: Text,
    pub opened: Opened,
    /// Why it is flagged, most severe first; empty where it is not understood.
    pub findings: Vec<Finding>,
    pub cover: Cover,
}

/// What keeps the gate from judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    Catalogue,
    Evidence,
    Cluster,
    Reviews,
    Time,
}

/// Does a valid grant cover it? Where none does, by the review that comes closest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    Covered {
        review: Text,
        until: Timestamp,
    },
    None,
    Undecided {
        review: Text,
    },
    Rejected {
        review: Text,
        by: Text,
    },
    Revoked {
        review: Text,
        by: Text,
    },
    Expired {
        review: Text,
        at: Timestamp,
    },
    SelfApproved {
        review: Text,
        by: Text,
    },
    OtherCluster {
        review: Text,
    },
    /// A valid grant is for less.
    Wider {
        review: Text,
        beyond: Vec<Beyond>,
    },
    /// A port has a name instead of a number.
    NamedPort(Text),
    NotUnderstood,
    /// Reviews, cluster or time are not known.
    Unknown,
}

impl Cover {
    /// Stable word for scripts.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Covered { .. } => "covered",
            Self::None => "not-granted",
            Self::Undecided { .. } => "undecided",
            Self::Rejected { .. } => "rejected",
            Self::Revoked { .. } => "revoked",
            Self::Expired { .. } => "expired",
            Self::SelfApproved { .. } => "self-approved",
            Self::OtherCluster { .. } => "other-cluster",
            Self::Wider { .. } => "wider-than-granted",
            Self::NamedPort(_) => "named-port",
            Self::NotUnderstood => "not-understood",
            Self::Unknown => "unknown",
        }
    }

    pub fn is_covered(&self) -> bool {
        matches!(self, Self::Covered { .. })
    }

    /// The review that it speaks of.
    pub fn review(&self) -> Option<&Text> {
        match self {
            Self::Covered { review, .. }
            | Self::Undecided { review }
            | Self::Rejected { review, .. }
            | Self::Revoked { review, .. }
            | Self::Expired { review, .. }
            | Self::SelfApproved { review, .. }
            | Self::OtherCluster { review }
            | Self::Wider { review, .. } => Some(review),
            Self::None | Self::NamedPort(_) | Self::NotUnderstood | Self::Unknown => None,
        }
    }
}

impl Gate {
    pub fn passes(&self) -> bool {
        self.missing.is_empty() && self.openings.iter().all(|opening| opening.cover.is_covered())
    }
}

/// Judges what these policies open in the target's direction.
pub fn judge<'p>(policies: impl Iterator<Item = &'p Policy>, known: &Known<'_>) -> Gate {
    let mut gate = Gate::default();
    for policy in policies {
        let ours = policy.opens.iter().filter(|opened| opened.direction == known.target.direction);
        for opened in ours.filter(|opened| !is_clock(policy, opened)) {
            take(&mut gate, policy.key.name.as_str(), opened, known);
        }
    }
    gate
}

/// Judges one opening, before there is a policy that holds it.
pub fn judge_opening(policy: &str, opened: &Opened, known: &Known<'_>) -> Gate {
    let mut gate = Gate::default();
    take(&mut gate, policy, opened, known);
    gate
}

/// The baseline's one rule for time: the product's own promise, not a destination of the namespace.
fn is_clock(policy: &Policy, opened: &Opened) -> bool {
    let ntp = PortSpan { protocol: Protocol::Udp, from: 123, to: 123 };
    policy.pinned().is_some_and(|pinned| pinned.role == Role::Baseline)
        && opened.ports.spans() == [ntp]
        && opened.ports.named().is_empty()
}

fn take(gate: &mut Gate, policy: &str, opened: &Opened, known: &Known<'_>) {
    let mut add = |findings: Vec<Finding>, cover: Cover| {
        let policy = Text::new(policy);
        gate.openings.push(Gated { policy, opened: opened.clone(), findings, cover });
    };
    if let What::Unknown(_) = opened.what {
        add(Vec::new(), Cover::NotUnderstood);
        return;
    }
    // Who may call is not a question of destinations.
    if !opened.what.is_outside() || opened.direction == Direction::Ingress {
        return;
    }
    let findings = findings(opened, known);
    if !findings.is_empty() {
        add(findings, cover(opened, known));
        gate.missing.extend(known.lacks_for_grants());
    }
    gate.missing.extend(known.lacks_for_flags());
}

/// Why an opening is flagged, as far as it is known.
fn findings(opened: &Opened, known: &Known<'_>) -> Vec<Finding> {
    let mut out = known.catalogue.map(|all| all.opens(&opened.what, &opened.ports)).unwrap_or_default();
    let addresses = opened.what.addresses().map(|ranges| ranges.meant());
    for flagged in known.evidence.unwrap_or_default() {
        if flagged.lies_in(&opened.what, addresses.as_ref(), &opened.ports) {
            out.extend(flagged.findings.iter().cloned());
        }
    }
    suspect::sort(&mut out);
    out
}

impl Known<'_> {
    fn lacks_for_flags(&self) -> impl Iterator<Item = Missing> {
        let parts =
            [(Missing::Catalogue, self.catalogue.is_none()), (Missing::Evidence, self.evidence.is_none())];
        parts.into_iter().filter_map(|(what, lacks)| lacks.then_some(what))
    }

    fn lacks_for_grants(&self) -> impl Iterator<Item = Missing> {
        let parts = [
            (Missing::Cluster, self.uid.is_none()),
            (Missing::Reviews, self.reviews.is_none()),
            (Missing::Time, self.now.is_none()),
        ];
        parts.into_iter().filter_map(|(what, lacks)| lacks.then_some(what))
    }
}

/// The best that the reviews have for this opening.
fn cover(opened: &Opened, known: &Known<'_>) -> Cover {
    if let Some(name) = opened.ports.named().first() {
        return Cover::NamedPort(name.clone());
    }
    let (Some(uid), Some(reviews), Some(now)) = (known.uid, known.reviews, known.now) else {
        return Cover::Unknown;
    };
    let ns: &NsName = &known.target.ns;
    let all = reviews.iter().map(|kept| of_review(kept, ns, opened, uid, now, known.people));
    all.max_by(|a, b| rank(a).cmp(&rank(b))).unwrap_or(Cover::None)
}

fn of_review(
    kept: &Kept<Review>,
    ns: &NsName,
    opened: &Opened,
    uid: &Text,
    now: Timestamp,
    people: &[Vec<Text>],
) -> Cover {
    let review = kept.name.clone();
    let beyond = kept.value.grant.beyond(ns, opened);
    let standing = kept.value.standing(uid, Some(now), people);
    if !beyond.is_empty() {
        let near = kept.value.grant.ns == *ns && kept.value.grant.destination.meets(&opened.what);
        return match standing {
            Standing::Approved { .. } if near => Cover::Wider { review, beyond },
            _ => Cover::None,
        };
    }
    match standing {
        Standing::Approved { until } => Cover::Covered { review, until },
        Standing::Open => Cover::Undecided { review },
        Standing::Rejected(stamp) => Cover::Rejected { review, by: stamp.by },
        Standing::Revoked(stamp) => Cover::Revoked { review, by: stamp.by },
        Standing::Expired(at) => Cover::Expired { review, at },
        Standing::SelfApproved(stamp) => Cover::SelfApproved { review, by: stamp.by },
        Standing::OtherCluster => Cover::OtherCluster { review },
        Standing::TimeUnknown => Cover::Unknown,
    }
}

/// Which answer says most. Of two grants the longer one; else the newer review, which sorts later.
fn rank(cover: &Cover) -> (u8, Option<Timestamp>) {
    match cover {
        Cover::Covered { until, .. } => (9, Some(*until)),
        Cover::SelfApproved { .. } => (8, None),
        Cover::Revoked { .. } => (7, None),
        Cover::Rejected { .. } => (6, None),
        Cover::Expired { at, .. } => (5, Some(*at)),
        Cover::Undecided { .. } => (4, None),
        Cover::Wider { .. } => (3, None),
        Cover::OtherCluster { .. } => (2, None),
        Cover::None => (1, None),
        Cover::NamedPort(_) | Cover::NotUnderstood | Cover::Unknown => (0, None),
    }
}

impl Gated {
    /// What is opened, for people: `egress-allowlist rule 2 opens 203.0.113.7/32 on TCP/443 to all pods`.
    pub fn subject(&self) -> String {
        let Opened { rule, selector, what, ports, .. } = &self.opened;
        match what {
            What::Unknown(why) => format!("{} rule {rule} is not understood ({why})", self.policy),
            What::Everything | What::Block { .. } | What::Name(_) | What::Inside => {
                format!("{} rule {rule} opens {what} on {ports} to {selector}", self.policy)
            }
        }
    }

    /// The same without saying what is opened, for who has said that.
    pub fn clause(&self, target: &Target, zone: FixedOffset) -> Option<String> {
        let next = self.next(target, zone)?;
        let flagged = self.findings.first();
        let flagged = flagged
            .map(|it| format!("flagged as {} ({}): ", it.class, it.severity.as_str()))
            .unwrap_or_default();
        Some(format!("{flagged}{next}"))
    }

    /// Why it does not pass, with the next step; `None` where it does.
    pub fn reason(&self, target: &Target, zone: FixedOffset) -> Option<String> {
        let next = self.next(target, zone)?;
        let more = match self.findings.len() {
            0 | 1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        let flagged = self.findings.first().map(|finding| {
            format!(", which is flagged as {} ({}){more}", finding.class, finding.severity.as_str())
        });
        Some(format!("{}{}: {next}", self.subject(), flagged.unwrap_or_default()))
    }

    fn next(&self, target: &Target, zone: FixedOffset) -> Option<String> {
        let ask = self.ask(target);
        Some(match &self.cover {
            Cover::Covered { .. } => return None,
            Cover::None => format!("no review grants it; ask for one with `{ask}`"),
            Cover::Undecided { review } => format!(
                "review {review} asks for it and is not decided; security decides with `sluice review approve {review}` or `reject`"
            ),
            Cover::Rejected { review, by } => {
                format!(
                    "{by} rejected it (review {review}); take it out of the policy, or ask anew with `{ask}`"
                )
            }
            Cover::Revoked { review, by } => {
                format!(
                    "{by} revoked it (review {review}); take it out of the policy, or ask anew with `{ask}`"
                )
            }
            Cover::Expired { review, at } => {
                format!(
                    "the grant of review {review} expired at {}; ask for a new one with `{ask}`",
                    minute(*at, zone)
                )
            }
            Cover::SelfApproved { review, by } => format!(
                "review {review} was approved by {by}, who asked for it under this or another name; somebody else decides with `sluice review approve {review}`"
            ),
            Cover::OtherCluster { review } => {
                format!(
                    "review {review} grants it for other clusters only; ask for {} with `{ask}`",
                    target.cluster
                )
            }
            Cover::Wider { review, beyond } => {
                let words: Vec<_> = beyond.iter().map(|beyond| beyond.as_str()).collect();
                format!(
                    "it goes beyond the grant of review {review} ({}); narrow it, or ask for the wider one with `{ask}`",
                    words.join(", ")
                )
            }
            Cover::NamedPort(name) => {
                format!("which port {name} is, is the word of the pods behind it; write its number")
            }
            Cover::NotUnderstood => {
                "what is not understood never passes; write the rule in another way".to_owned()
            }
            Cover::Unknown => "whether it is granted is not known".to_owned(),
        })
    }

    /// The command that asks for it.
    fn ask(&self, target: &Target) -> String {
        let destination = match &self.opened.what {
            What::Block { network, .. } => network.to_string(),
            What::Name(name) => quoted(name),
            What::Everything | What::Inside | What::Unknown(_) => "everything".to_owned(),
        };
        let cluster = super::valve::shell_word(target.cluster.as_str());
        format!("sluice review ask -n {} --for {cluster} --destination {destination}", target.ns)
    }
}

/// A shell would take the `*` of a pattern for files.
fn quoted(name: &DnsName) -> String {
    super::valve::shell_word(name.as_str())
}

impl Missing {
    /// Why nothing can be said, with the next step.
    pub fn reason(self, target: &Target) -> String {
        let Target { cluster, ns, .. } = target;
        match self {
            Self::Catalogue => "the catalogue of suspects is not read yet: wait a moment".to_owned(),
            Self::Evidence => format!(
                "no evidence of {cluster}/{ns} is read, so nobody knows which of its destinations are flagged: run `sluice discover -n {ns} --cluster {cluster} --write`"
            ),
            Self::Cluster => format!("the identity of cluster {cluster} is not known: wait until it answers"),
            Self::Reviews => "reviews cannot be read: wait until the state cluster is connected".to_owned(),
            Self::Time => {
                "the time of the state cluster is not known, and by it grants expire: wait until it answers"
                    .to_owned()
            }
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue-unread",
            Self::Evidence => "evidence-unread",
            Self::Cluster => "cluster-unknown",
            Self::Reviews => "state-away",
            Self::Time => "time-unknown",
        }
    }
}

/// A time as reviews show it to scripts and in files.
pub fn clock(at: Timestamp) -> String {
    minute(at, Utc.fix())
}
