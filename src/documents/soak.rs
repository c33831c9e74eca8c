//! A soak clock as JSON: the same row that the screen shows. Minutes are whole numbers; `null` means
//! unknown, never zero.

use chrono::{Offset, Utc};
use serde::Serialize;

use super::wire::{TargetOut, time};
use crate::{
    cockpit::soaks::{CausedRow, SoakRow, Unseen},
    domain::{
        evidence::{Pause, Restart},
        names::{NodeName, Text},
        soak::Verdict,
        spans::minute_start,
    },
};

#[derive(Debug, Serialize)]
pub struct SoakOut {
    /// `not started`, `idle`, `soaking`, `withheld`, `clean`.
    verdict: &'static str,
    clean_since: Option<String>,
    /// Why it is not clean.
    reasons: Vec<String>,
    digest: String,
    begins: String,
    minutes: MinutesOut,
    pauses: Vec<PauseOut>,
    restarts: Vec<RestartOut>,
    /// Oldest first: `█` credited, `▄` in part, `-` idle, `·` not.
    bar: String,
    rests_on: String,
    joined_with: Option<String>,
    /// Credited minutes by weekday in UTC, Monday first.
    weekdays: [i64; 7],
    nodes: NodesOut,
    verdicts_allowed: u64,
    verdicts_denied: u64,
    details: DetailsOut,
}

#[derive(Debug, Serialize)]
struct MinutesOut {
    /// All since `begins`; the others add up to it.
    wall: i64,
    credited: i64,
    needed: i64,
    idle: i64,
    lapsed: i64,
    /// The newest, not proved yet.
    pending: i64,
}

#[derive(Debug, Serialize)]
struct NodesOut {
    running: usize,
    in_force: usize,
    proved: usize,
    /// Those of which the newest probe showed nothing.
    unproved: Vec<UnprovedOut>,
}

#[derive(Debug, Serialize)]
struct UnprovedOut {
    node: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct DetailsOut {
    exercised: Option<ExercisedOut>,
    cron_jobs_ran: Option<usize>,
    open: Vec<GroupOut>,
    expected: Vec<GroupOut>,
    caused_by: Vec<CausedOut>,
    /// What the live set would refuse on reconnecting, or perhaps.
    unseen: Vec<UnseenOut>,
    more_unseen: usize,
    refused_on_reconnecting: usize,
    unseen_rests_on: &'static str,
}

#[derive(Debug, Serialize)]
struct ExercisedOut {
    again: usize,
    of: usize,
}

#[derive(Debug, Serialize)]
struct PauseOut {
    cause: &'static str,
    minutes: i64,
    why: String,
    from: Option<String>,
}

#[derive(Debug, Serialize)]
struct RestartOut {
    at: String,
    cause: &'static str,
    why: String,
}

#[derive(Debug, Serialize)]
struct GroupOut {
    class: &'static str,
    workload: Option<String>,
    destination: String,
    port: u16,
    protocol: &'static str,
    count: u64,
    first: String,
    last: String,
    said: String,
}

#[derive(Debug, Serialize)]
struct CausedOut {
    by: TargetOut,
    workload: Option<String>,
    port: u16,
    count: u64,
    last: String,
}

#[derive(Debug, Serialize)]
struct UnseenOut {
    workload: String,
    destination: String,
    port: u16,
    protocol: &'static str,
    last: String,
    /// Our evaluator's word: `denied` or `unknown`, and why.
    ours: &'static str,
    why: String,
}

impl From<&SoakRow> for SoakOut {
    fn from(row: &SoakRow) -> Self {
        let judged = &row.judged;
        Self {
            verdict: judged.verdict.word(),
            clean_since: match &judged.verdict {
                Verdict::Clean { since } => Some(time(*since)),
                Verdict::NotStarted | Verdict::Idle | Verdict::Soaking { .. } | Verdict::Withheld { .. } => {
                    None
                }
            },
            reasons: row.reasons(),
            digest: row.digest.to_string(),
            begins: time(judged.begins),
            minutes: MinutesOut {
                wall: judged.wall,
                credited: judged.credited,
                needed: judged.needed,
                idle: judged.idle,
                lapsed: judged.lapsed,
                pending: judged.pending,
            },
            pauses: judged.pauses.iter().map(pause_out).collect(),
            restarts: row.restarts.iter().map(restart_out).collect(),
            bar: row.bar.to_string(),
            rests_on: row.rests.to_string(),
            joined_with: row.joined_words(Utc.fix()),
            weekdays: judged.weekdays(),
            nodes: NodesOut {
                running: judged.nodes,
                in_force: judged.in_force,
                proved: judged.proved,
                unproved: row.unproved.iter().map(unproved_out).collect(),
            },
            verdicts_allowed: row.allowed,
            verdicts_denied: row.denied,
            details: DetailsOut {
                exercised: row.exercised.map(|(again, of)| ExercisedOut { again, of }),
                cron_jobs_ran: row.jobs.map(|(ran, _)| ran),
                open: judged.open.iter().map(group_out).collect(),
                expected: judged.expected.iter().map(group_out).collect(),
                caused_by: row.caused.iter().map(caused_out).collect(),
                unseen: row.unseen.iter().map(unseen_out).collect(),
                more_unseen: row.more_unseen,
                refused_on_reconnecting: row.refused,
                unseen_rests_on: row.unseen_rests,
            },
        }
    }
}

fn unproved_out((node, why): &(NodeName, Text)) -> UnprovedOut {
    UnprovedOut { node: node.to_string(), why: why.to_string() }
}

fn pause_out(pause: &Pause) -> PauseOut {
    PauseOut {
        cause: pause.cause.as_str(),
        minutes: pause.spans.minutes(),
        why: pause.why.to_string(),
        from: pause.spans.iter().next().map(|range| time(minute_start(range.start))),
    }
}

fn restart_out(restart: &Restart) -> RestartOut {
    RestartOut { at: time(restart.at), cause: restart.cause.as_str(), why: restart.why.to_string() }
}

fn group_out(group: &crate::domain::evidence::OpenGroup) -> GroupOut {
    GroupOut {
        class: group.class.word(),
        workload: group.key.workload.as_ref().map(ToString::to_string),
        destination: group.key.destination.to_string(),
        port: group.key.port,
        protocol: group.key.protocol.as_str(),
        count: group.count,
        first: time(group.first),
        last: time(group.last),
        said: group.said.to_string(),
    }
}

fn caused_out(caused: &CausedRow) -> CausedOut {
    CausedOut {
        by: (&caused.by).into(),
        workload: caused.workload.as_ref().map(ToString::to_string),
        port: caused.port,
        count: caused.count,
        last: time(caused.last),
    }
}

fn unseen_out(unseen: &Unseen) -> UnseenOut {
    UnseenOut {
        workload: unseen.workload.to_string(),
        destination: unseen.destination.to_string(),
        port: unseen.port,
        protocol: unseen.protocol.as_str(),
        last: time(unseen.last),
        ours: unseen.ours.verdict.as_str(),
        why: unseen.ours.why.to_string(),
    }
}
