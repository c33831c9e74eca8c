//! The soak report as one JSON document. A field is added, never renamed; `null` means unknown.

use chrono::{Offset, Utc};
use serde::Serialize;

use crate::{
    cockpit::{
        ports::Gap,
        recording,
        report::{GrantUsed, SoakReport},
    },
    documents::{
        soak::SoakOut,
        wire::{OverrideOut, StampOut, TargetOut, pretty, time},
    },
    domain::{hold::Waiver, journal::Entry, names::Text, rollout::Kept},
};

#[derive(Debug, Serialize)]
struct ReportOut {
    target: TargetOut,
    at: String,
    environment: &'static str,
    cluster_uid: Option<String>,
    /// Of what is live and closed.
    digest: Option<String>,
    /// `-`, `accepted`, `in force`.
    standing: &'static str,
    soak: Option<SoakOut>,
    record: Option<RecordOut>,
    grants: Vec<GrantOut>,
    /// Live and flagged without a valid grant, a sentence each.
    ungranted: Vec<String>,
    waivers: Vec<WaiverOut>,
    overrides: Vec<OverrideOut>,
    watched: WatchedOut,
    journal: Vec<EntryOut>,
    /// What this does not prove, a sentence each.
    limits: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RecordOut {
    wave: Option<u32>,
    applied: Option<AppliedOut>,
    overridden: bool,
    drift: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AppliedOut {
    digest: String,
    #[serde(flatten)]
    stamp: StampOut,
}

#[derive(Debug, Serialize)]
struct GrantOut {
    review: String,
    opens: String,
    standing: &'static str,
    requested_by: String,
    decision: Option<DecisionOut>,
}

#[derive(Debug, Serialize)]
struct DecisionOut {
    verdict: &'static str,
    #[serde(flatten)]
    stamp: StampOut,
    reason: String,
    ticket: Option<String>,
    expires: Option<String>,
}

#[derive(Debug, Serialize)]
struct WaiverOut {
    waives: String,
    /// It counts for the cluster with this UID and for no other.
    cluster_uid: Option<String>,
    reason: String,
    #[serde(flatten)]
    stamp: StampOut,
    expires: String,
}

#[derive(Debug, Serialize)]
struct WatchedOut {
    observer: Option<String>,
    lease_renewed: Option<String>,
    source: Option<String>,
    gaps: Vec<GapOut>,
    /// As far as the source counts them.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct GapOut {
    node: Option<String>,
    from: String,
    until: Option<String>,
    lost: Option<u64>,
    why: String,
}

#[derive(Debug, Serialize)]
struct EntryOut {
    number: u64,
    #[serde(flatten)]
    stamp: StampOut,
    act: &'static str,
    object: String,
    facts: Vec<String>,
    hash: String,
}

pub fn json(report: &SoakReport) -> String {
    let watched = &report.watched;
    pretty(&ReportOut {
        target: (&report.target).into(),
        at: time(report.at),
        environment: report.environment.as_str(),
        cluster_uid: report.uid.as_ref().map(ToString::to_string),
        digest: report.digest.as_ref().map(ToString::to_string),
        standing: report.standing.as_str(),
        soak: report.soak.as_ref().map(Into::into),
        record: report.record.as_ref().map(|record| RecordOut {
            wave: record.wave,
            applied: record.applied.as_ref().map(|applied| AppliedOut {
                digest: applied.digest.to_string(),
                stamp: StampOut::from(&applied.stamp),
            }),
            overridden: record.overridden,
            drift: words(&record.drift),
        }),
        grants: report.grants.iter().map(grant).collect(),
        ungranted: report.ungranted.iter().filter_map(|one| one.reason(&report.target, Utc.fix())).collect(),
        waivers: report.waivers.iter().map(waiver).collect(),
        overrides: report.overrides.iter().map(OverrideOut::from).collect(),
        watched: WatchedOut {
            observer: watched.observer.as_ref().map(|observer| observer.holder.to_string()),
            lease_renewed: watched.observer.as_ref().map(|observer| time(observer.renewed)),
            source: (!watched.source.is_empty()).then(|| watched.source.to_string()),
            gaps: watched.gaps.iter().map(gap).collect(),
            lost: watched.lost,
        },
        journal: report.acts.iter().map(entry).collect(),
        limits: words(&report.limits),
    })
}

fn words(all: &[Text]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn grant(used: &GrantUsed) -> GrantOut {
    GrantOut {
        review: used.review.to_string(),
        opens: recording::grant_words(&used.grant),
        standing: used.standing.as_str(),
        requested_by: used.requested_by.to_string(),
        decision: used.decision.as_ref().map(|decision| DecisionOut {
            verdict: decision.verdict.as_str(),
            stamp: StampOut::from(&decision.stamp),
            reason: decision.reason.to_string(),
            ticket: decision.ticket.as_ref().map(ToString::to_string),
            expires: decision.expires.map(time),
        }),
    }
}

fn waiver(kept: &Kept<Waiver>) -> WaiverOut {
    let waiver = &kept.value;
    WaiverOut {
        waives: recording::subject_words(&waiver.subject),
        cluster_uid: waiver.uid.as_ref().map(ToString::to_string),
        reason: waiver.reason.to_string(),
        stamp: StampOut::from(&waiver.stamp),
        expires: time(waiver.expires),
    }
}

fn gap(gap: &Gap) -> GapOut {
    GapOut {
        node: gap.node.as_ref().map(ToString::to_string),
        from: time(gap.from),
        until: gap.until.map(time),
        lost: gap.lost,
        why: gap.why.to_string(),
    }
}

fn entry(entry: &Entry) -> EntryOut {
    EntryOut {
        number: entry.number,
        stamp: StampOut::from(&entry.stamp),
        act: entry.act.as_str(),
        object: entry.object.to_string(),
        facts: words(&entry.facts),
        hash: entry.hash().to_string(),
    }
}
