//! The handover as one JSON document. A field is added, never renamed; `null` means unknown.

use chrono::{Offset, Utc};
use serde::Serialize;

use crate::{
    cockpit::handover::{Handover, Hurting, Running},
    documents::{
        monthly::{DocumentOut, out as documents},
        open_ends::OpenEndOut,
        soak::SoakOut,
        wire::{TargetOut, pretty, rate, time},
    },
    domain::{journal::Entry, names::Text},
};

#[derive(Debug, Serialize)]
struct HandoverOut {
    at: String,
    since: String,
    /// In the order in which to do them.
    todo: Vec<TodoOut>,
    /// What could not be seen, a sentence each.
    unknown: Vec<String>,
    hurting: Vec<HurtingOut>,
    more_hurting: usize,
    incidents: Vec<IncidentOut>,
    running: Vec<RunningOut>,
    /// `null`: the state cluster never answered.
    open_ends: Option<Vec<OpenEndOut>>,
    ends_soon: Vec<EndOut>,
    /// Newest first.
    changes: Vec<ChangeOut>,
    /// The journal holds older ones of this time.
    changes_cut: bool,
    /// Acts of this machine that the journal does not have yet.
    waiting: usize,
    escalation: Vec<String>,
    /// Discovery documents that need somebody; `null`: they were not read.
    documents: Option<Vec<DocumentOut>>,
}

#[derive(Debug, Serialize)]
struct TodoOut {
    what: String,
    command: String,
}

#[derive(Debug, Serialize)]
struct HurtingOut {
    target: TargetOut,
    text: String,
    count: u64,
    /// There may have been more, before what is counted.
    at_least: bool,
    per_minute: Option<f64>,
    first: String,
    last: String,
    /// Is our set live there? Else others' policies deny it.
    set_is_live: bool,
    owner: Option<String>,
    contact: Option<String>,
}

#[derive(Debug, Serialize)]
struct IncidentOut {
    target: TargetOut,
    what: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RunningOut {
    target: TargetOut,
    /// `-`, `accepted`, `in force`.
    standing: &'static str,
    soak: Option<SoakOut>,
    overridden: bool,
    owner: Option<String>,
    contact: Option<String>,
}

#[derive(Debug, Serialize)]
struct EndOut {
    at: String,
    what: String,
}

#[derive(Debug, Serialize)]
struct ChangeOut {
    number: u64,
    at: String,
    by: String,
    act: &'static str,
    object: String,
    facts: Vec<String>,
}

pub fn json(handover: &Handover) -> String {
    pretty(&HandoverOut {
        at: time(handover.at),
        since: time(handover.since),
        todo: handover
            .todo
            .iter()
            .map(|todo| TodoOut { what: todo.what.to_string(), command: todo.command.clone() })
            .collect(),
        unknown: super::unknown(handover, Utc.fix()),
        hurting: handover.hurting.iter().map(hurting).collect(),
        more_hurting: handover.more_hurting,
        incidents: handover
            .incidents
            .iter()
            .map(|incident| IncidentOut { target: (&incident.target).into(), what: words(&incident.what) })
            .collect(),
        running: handover.running.iter().map(running).collect(),
        open_ends: handover.open_ends.as_ref().map(|ends| ends.iter().map(Into::into).collect()),
        ends_soon: handover
            .ends_soon
            .iter()
            .map(|end| EndOut { at: time(end.at), what: end.what.to_string() })
            .collect(),
        changes: handover.changes.iter().map(change).collect(),
        changes_cut: handover.changes_cut,
        waiting: handover.waiting,
        escalation: words(&handover.escalation),
        documents: handover.documents.as_deref().map(documents),
    })
}

fn words(all: &[Text]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn hurting(group: &Hurting) -> HurtingOut {
    HurtingOut {
        target: (&group.target).into(),
        text: group.words.to_string(),
        count: group.count,
        at_least: group.at_least,
        per_minute: group.per_minute.map(rate),
        first: time(group.first),
        last: time(group.last),
        set_is_live: group.is_live,
        owner: group.owner.as_ref().map(ToString::to_string),
        contact: group.contact.as_ref().map(ToString::to_string),
    }
}

fn running(row: &Running) -> RunningOut {
    RunningOut {
        target: (&row.target).into(),
        standing: row.standing.as_str(),
        soak: row.soak.as_ref().map(Into::into),
        overridden: row.overridden,
        owner: row.owner.as_ref().map(ToString::to_string),
        contact: row.contact.as_ref().map(ToString::to_string),
    }
}

fn change(entry: &Entry) -> ChangeOut {
    ChangeOut {
        number: entry.number,
        at: time(entry.stamp.at),
        by: entry.stamp.by.to_string(),
        act: entry.act.as_str(),
        object: entry.object.to_string(),
        facts: words(&entry.facts),
    }
}
