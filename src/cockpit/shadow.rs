//! The shadow of a row: its policies judged by the CNI and not enforced, because they are only staged
//! (Calico), or live while the agents only audit (Cilium). Whether it may be had, since when it stands,
//! for which bytes, and what it would deny; the same words for screen, JSON and documents. It is no
//! isolation: no soak is credited by it, and no gate passed.

use chrono::FixedOffset;

use crate::domain::{
    fleet::{Cluster, CniKind, Enforcement, Part},
    names::Text,
    policy::{Pinned, PolicyDigest},
    shadow,
    source::SourceKind,
    time::{Timestamp, age, minute, span},
    valve::{self, shell_word},
};

use super::{
    decide::{self, Reason},
    foresights,
    orders::{Origin, Preview, Target},
    ports::Link,
    world::World,
};

/// A row's shadow as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    pub how: How,
    /// Since when exactly these bytes are staged, by the API server's clock; `None`: not known.
    pub since: Option<Timestamp>,
    /// Of the bytes as an apply would have it.
    pub digest: PolicyDigest,
    /// Are they the workspace's? `None`: the workspace has none.
    pub of_workspace: Option<bool>,
    pub would: Would,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Staged,
    /// Live, and the agents only say what they would drop.
    Audited,
}

/// What was heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Would {
    /// Groups of flows that it would have denied, and since when this run listens.
    Deny { groups: usize, heard: Timestamp },
    /// Nothing tells it here, and why.
    Unknown(&'static str),
}

/// `None`: nothing of it is judged without being enforced.
pub fn of(world: &World, target: &Target) -> Option<Shadow> {
    let ns = world.namespace(&target.cluster, &target.ns)?;
    let staged = ns.staged(target.direction);
    let (how, since, digest) = if staged.is_empty() {
        // An audit of single endpoints shows nowhere.
        if world.cluster(&target.cluster)?.enforcement() != Enforcement::Audits {
            return None;
        }
        let live = valve::live_set(ns, target.direction);
        if live.is_empty() {
            return None;
        }
        (How::Audited, None, PolicyDigest::of(live.values()))
    } else {
        (How::Staged, shadow::since(&staged), shadow::digest(&staged))
    };
    Some(Shadow {
        how,
        since,
        digest,
        of_workspace: foresights::wanted(world, target).map(|wanted| wanted == digest),
        would: would(world, target, how, since),
    })
}

/// Only Goldmane tells what staged policies would do, and only Hubble what an audit would. What was
/// told before they stood is not theirs.
fn would(world: &World, target: &Target, how: How, since: Option<Timestamp>) -> Would {
    let source = world.source(&target.cluster);
    let kind = source.and_then(|source| source.state.as_ref()).map(|state| state.kind);
    let (wanted, other, silent) = match how {
        How::Staged => (
            SourceKind::Goldmane,
            "only Goldmane tells of staged policies, and none is read here",
            "Goldmane is not heard now",
        ),
        How::Audited => (
            SourceKind::Hubble,
            "only Hubble tells what an audit would deny, and none is read here",
            "Hubble is not heard now",
        ),
    };
    if kind != Some(wanted) {
        return Would::Unknown(other);
    }
    let Some(live) = source.and_then(|source| source.live_since) else { return Would::Unknown(silent) };
    let groups = world.denials().would().filter(|group| {
        let key = &group.key;
        let here = key.cluster == target.cluster && key.ns == target.ns && key.direction == target.direction;
        here && since.is_none_or(|since| group.last >= since)
    });
    Would::Deny { groups: groups.count(), heard: since.map_or(live, |since| since.max(live)) }
}

impl Shadow {
    /// For a cell: `shadow: 3`, the groups that it would deny.
    pub fn short(&self) -> String {
        match &self.would {
            Would::Deny { groups, .. } => format!("shadow: {groups}"),
            Would::Unknown(_) => "shadow: ?".to_owned(),
        }
    }

    /// `shadow since 2026-03-02 09:00 UTC (2h00m), would deny 3 groups; …`.
    pub fn words(&self, now: Timestamp, zone: FixedOffset) -> String {
        let since = match (self.how, self.since) {
            (How::Audited, _) => "by policy-audit-mode, in which Cilium only audits".to_owned(),
            (How::Staged, None) => "since an unknown time".to_owned(),
            (How::Staged, Some(since)) => {
                format!("since {} ({})", minute(since, zone), span(age(since, now)))
            }
        };
        let bytes = match self.of_workspace {
            Some(true) => "",
            Some(false) => "; for other bytes than the workspace's",
            None => "; the workspace has no policies of this row",
        };
        format!("shadow {since}, {}{bytes}; nothing is enforced by it", self.would_words(now))
    }

    fn would_words(&self, now: Timestamp) -> String {
        let (groups, heard) = match &self.would {
            Would::Deny { groups, heard } => (groups, heard),
            Would::Unknown(why) => return format!("would deny unknown: {why}"),
        };
        let groups = if *groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
        // What was not heard is not none.
        let missed = self.how == How::Audited || self.since.is_some_and(|since| since < *heard);
        let of = if missed { format!(" in the {} heard", span(age(*heard, now))) } else { String::new() };
        format!("would deny {groups}{of}")
    }
}

/// Every reason why this row's policies cannot be staged now.
pub fn reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = decide::stage_reasons(world, target);
    let missing = world.cluster(&target.cluster).and_then(|cluster| missing(world, cluster, target));
    reasons.extend(
        missing.map(|why| Reason::NoShadow { cluster: target.cluster.clone(), why: Text::from(why) }),
    );
    reasons
}

/// Why its CNI has no shadow, and what to do instead.
fn missing(world: &World, cluster: &Cluster, target: &Target) -> Option<String> {
    let Some(cni) = &cluster.cni else {
        return Some("which CNI it runs is not known yet: see `sluice preflight`".to_owned());
    };
    let instead = "`sluice predict` holds the recorded week against the policies instead";
    match (cni.kind, cluster.looked.stages) {
        (CniKind::Calico, Some(true)) => None,
        (CniKind::Calico, None) => {
            let why = cluster.troubles.get(&Part::Staged).map_or("try again", Text::as_str);
            Some(format!("whether it serves Calico's staged policies is not known yet: {why}"))
        }
        (CniKind::Calico, Some(false)) => Some(format!(
            "its API server does not serve {} ({}): install Calico 3.30 or later with its API server",
            shadow::KIND,
            shadow::API_VERSION
        )),
        (CniKind::Cilium, _) if cni.enforcement == Enforcement::Audits => Some(format!(
            "its agents only audit (policy-audit-mode), so what is live there is the shadow, and sluice \
             writes nothing where nothing is enforced. Apply the files yourself, and roll back before that \
             mode is switched off, which enforces all of them at once: {}",
            by_hand(world, target).unwrap_or_else(|| "author them first (sluice author)".to_owned())
        )),
        (CniKind::Cilium, _) => Some(format!(
            "Cilium audits by agent or endpoint (policy-audit-mode), never by policy, and sluice does not \
             switch that ({}). Where it is on, policies that are live are in the shadow already: their AUDIT \
             verdicts are shown as would deny. Elsewhere {instead}",
            cni.evidence
        )),
        (kind, _) => {
            Some(format!("{} has no policies that are judged and not enforced; {instead}", kind.as_str()))
        }
    }
}

/// What a person would type to put the workspace's files of a row there; `None`: it has none.
fn by_hand(world: &World, target: &Target) -> Option<String> {
    let Target { cluster, ns, direction } = target;
    let authored = world.files().sets.get(&(cluster.clone(), ns.clone(), *direction))?;
    let entry = world.plan().clusters.iter().find(|entry| entry.name == *cluster);
    let context = shell_word(entry.map_or(cluster.as_str(), |entry| entry.context.as_str()));
    let pinned = Pinned::of(*direction).filter(|pinned| authored.set.contains_key(pinned.name));
    let file = |pinned: &Pinned| shell_word(&format!("{}/{}", authored.folder, pinned.file_name()));
    let mut files: Vec<_> = pinned.map(|pinned| format!(" -f {}", file(pinned))).collect();
    // What allows goes first, in case that mode ends meanwhile.
    files.reverse();
    (!files.is_empty()).then(|| format!("kubectl --context {context} apply{}", files.concat()))
}

/// What is to be known of a shadow before this is confirmed.
pub fn notes(world: &World, preview: &Preview) -> Vec<String> {
    let shadow = of(world, &preview.target);
    match (preview.origin, shadow) {
        (Origin::Shadow, _) => match would(world, &preview.target, How::Staged, None) {
            Would::Unknown(why) if has_spoken(world, &preview.target) => {
                vec![format!("what it would deny will not be shown: {why}")]
            }
            // One that has only just been asked may be heard in a moment.
            Would::Unknown(_) | Would::Deny { .. } => Vec::new(),
        },
        (Origin::Workspace | Origin::LastClean, None) => Vec::new(),
        (Origin::Workspace | Origin::LastClean, Some(shadow)) => {
            let now = world.now();
            let soaked = match (shadow.how, shadow.since) {
                (How::Audited, _) => "in policy-audit-mode".to_owned(),
                (How::Staged, since) => {
                    since.map_or("an unknown time".to_owned(), |since| span(age(since, now)))
                }
            };
            if shadow.digest == preview.digest {
                return vec![format!("shadow soaked {soaked}: {}", shadow.would_words(now))];
            }
            vec![format!(
                "its shadow was for other bytes ({}, not {}), so it says nothing of these",
                shadow.digest.short(),
                preview.digest.short()
            )]
        }
    }
}

/// Has the cluster's flow source said whether it works?
fn has_spoken(world: &World, target: &Target) -> bool {
    let state = world.source(&target.cluster).and_then(|source| source.state.as_ref());
    state.is_some_and(|state| state.link != Link::Connecting)
}
