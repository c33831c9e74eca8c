//! The list of open ends as markdown, as text and as JSON, all made of one list of
//! [`open_ends::OpenEnd`]. Strings from outside stay text.

use serde::Serialize;

use super::{
    markdown::{Rows, code, md},
    report::moment,
    table::Table,
    wire::{pretty, time},
};
use crate::{
    cockpit::open_ends::OpenEnd,
    domain::{
        names::Text,
        time::{Timestamp, age, span},
    },
};

#[derive(Debug, Serialize)]
pub(super) struct OpenEndOut {
    /// `rolled back`, `held`, `excluded`, `waived`, `overridden`, `missing`.
    kind: &'static str,
    scope: String,
    /// What opens it, as `sluice --open` takes it; `null`: the whole fleet.
    spot: Option<String>,
    what: Option<String>,
    reason: Option<String>,
    /// `null`: nobody put it off.
    by: Option<String>,
    since: Option<String>,
    /// `null`: it never ends by itself.
    due: Option<String>,
    overdue: bool,
    owner: Option<String>,
    contact: Option<String>,
}

impl From<&OpenEnd> for OpenEndOut {
    fn from(end: &OpenEnd) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
        Self {
            kind: end.kind.as_str(),
            scope: end.scope.to_string(),
            spot: end.spot().map(|spot| spot.to_string()),
            what: (!end.what.is_empty()).then(|| end.what.to_string()),
            reason: text(&end.reason),
            by: end.stamp.as_ref().map(|stamp| stamp.by.to_string()),
            since: end.since().map(time),
            due: end.due.map(time),
            overdue: end.is_overdue,
            owner: text(&end.owner),
            contact: text(&end.contact),
        }
    }
}

/// `null`: the state cluster never answered.
pub fn json(ends: Option<&[OpenEnd]>) -> String {
    pretty(&ends.map(|ends| ends.iter().map(OpenEndOut::from).collect::<Vec<_>>()))
}

const UNKNOWN: &str = "Open ends are not known: the state cluster has not answered.\n";
const NONE: &str = "Nothing is rolled back, held, excluded, waived, overridden or missing.\n";

pub fn text(ends: Option<&[OpenEnd]>, now: Timestamp) -> String {
    let Some(ends) = ends else { return UNKNOWN.to_owned() };
    if ends.is_empty() {
        return NONE.to_owned();
    }
    let mut table = Table::new(&["KIND", "WHERE", "AGE", "DUE", "OWNER", "BY", "WHAT"]);
    for end in ends {
        table.row([
            end.kind.as_str().to_owned(),
            end.scope.to_string(),
            aged(end, now),
            due(end, now),
            owner(end),
            by(end).to_owned(),
            what(end),
        ]);
    }
    table.text("")
}

pub fn markdown(ends: Option<&[OpenEnd]>, now: Timestamp) -> String {
    format!(
        "# Open ends\n\nWritten by `sluice report open-ends` at {} UTC.\n\n{}",
        moment(now),
        rows(ends, now)
    )
}

/// The table alone.
pub(super) fn rows(ends: Option<&[OpenEnd]>, now: Timestamp) -> String {
    let Some(ends) = ends else { return UNKNOWN.to_owned() };
    if ends.is_empty() {
        return NONE.to_owned();
    }
    let mut table = Rows::new(&["Kind", "Where", "Age", "Due", "Owner", "By", "What"]);
    for end in ends {
        table.row([
            end.kind.as_str().to_owned(),
            code(&end.scope.to_string()),
            aged(end, now),
            due(end, now),
            md(&owner(end)),
            md(by(end)),
            md(&what(end)),
        ]);
    }
    table.out
}

fn aged(end: &OpenEnd, now: Timestamp) -> String {
    end.since().map_or("-".to_owned(), |since| span(age(since, now)))
}

fn by(end: &OpenEnd) -> &str {
    end.stamp.as_ref().map_or("-", |stamp| stamp.by.as_str())
}

fn due(end: &OpenEnd, now: Timestamp) -> String {
    match end.due {
        None if end.is_overdue => "now".to_owned(),
        None => "no date".to_owned(),
        Some(due) if end.is_overdue => format!("OVERDUE {}", span(age(due, now))),
        Some(due) => format!("in {}", span(due - now)),
    }
}

fn owner(end: &OpenEnd) -> String {
    match (&end.owner, &end.contact) {
        (None, None) => "-".to_owned(),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (Some(owner), Some(contact)) => format!("{owner} {contact}"),
    }
}

fn what(end: &OpenEnd) -> String {
    match (end.what.is_empty(), &end.reason) {
        (true, None) => "-".to_owned(),
        (true, Some(reason)) => reason.to_string(),
        (false, None) => end.what.to_string(),
        (false, Some(reason)) => format!("{}: {reason}", end.what),
    }
}
