//! The axis of a rollout as JSON and as text: changes and denials in one order, each group with the
//! change nearest before it. Both are made of [`timeline::row`], which the screen reads too.

use serde::Serialize;

use super::{
    table::Table,
    wire::{TargetOut, pretty, time},
};
use crate::{
    cockpit::timeline::{GroupMark, Mark, TimelineRow},
    domain::time::{Timestamp, age, span},
};

#[derive(Debug, Serialize)]
struct TimelineOut {
    target: TargetOut,
    from: String,
    until: String,
    /// Since when changes of this cluster are noticed; `null`: not yet.
    noticed_since: Option<String>,
    marks: Vec<MarkOut>,
    denials: Vec<GroupOut>,
}

#[derive(Debug, Serialize)]
struct MarkOut {
    at: String,
    until: String,
    /// `apply`, `rollback`, `deploy`, `cni`, `dns`, `node`, `policy`, `act`.
    kind: &'static str,
    text: String,
    by: Option<String>,
}

#[derive(Debug, Serialize)]
struct GroupOut {
    class: &'static str,
    text: String,
    count: u64,
    first: String,
    last: String,
    /// The change nearest before the first denial: not always its cause.
    nearest_change: Option<NearestOut>,
}

#[derive(Debug, Serialize)]
struct NearestOut {
    /// Its place in `marks`, counted from 0.
    mark: usize,
    seconds_before: i64,
}

pub fn json(row: &TimelineRow) -> String {
    pretty(&TimelineOut {
        target: (&row.target).into(),
        from: time(row.from),
        until: time(row.until),
        noticed_since: row.noticed_since.map(time),
        marks: row.marks.iter().map(mark_out).collect(),
        denials: row.groups.iter().map(group_out).collect(),
    })
}

fn mark_out(mark: &Mark) -> MarkOut {
    MarkOut {
        at: time(mark.at),
        until: time(mark.until),
        kind: mark.kind.as_str(),
        text: mark.words.to_string(),
        by: mark.by.as_ref().map(ToString::to_string),
    }
}

fn group_out(group: &GroupMark) -> GroupOut {
    GroupOut {
        class: group.class.word(),
        text: group.words.to_string(),
        count: group.count,
        first: time(group.first),
        last: time(group.last),
        nearest_change: group
            .before
            .map(|(mark, gap)| NearestOut { mark, seconds_before: gap.num_seconds() }),
    }
}

/// Changes and denials in one list, oldest first.
pub fn text(row: &TimelineRow, zone: chrono::FixedOffset) -> String {
    let clock = |at: Timestamp| at.with_timezone(&zone).format("%m-%d %H:%M:%S").to_string();
    let mut lines: Vec<(Timestamp, [String; 3])> = Vec::new();
    for mark in &row.marks {
        let by = mark.by.as_ref().map_or(String::new(), |by| format!(", by {by}"));
        let long = mark.until - mark.at;
        let long = if long.num_seconds() > 0 { format!(", over {}", span(long)) } else { String::new() };
        let words = format!("{}{by}{long}", mark.words);
        lines.push((mark.at, [clock(mark.at), mark.kind.as_str().to_owned(), words]));
    }
    for group in &row.groups {
        let ago = span(age(group.last, row.until));
        let times = if group.count == 1 { "once".to_owned() } else { format!("{} times", group.count) };
        let mut words = format!("{} {}, {times}, last {ago} ago", group.class.word(), group.words);
        words.push_str(&match group.before {
            Some((mark, gap)) => format!("; {} after: {}", span(gap), row.marks[mark].words),
            None => "; no change is known before it".to_owned(),
        });
        lines.push((group.first, [clock(group.first), "DENIED".to_owned(), words]));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut table = Table::new(&["TIME", "WHAT", ""]);
    lines.into_iter().for_each(|(_, cells)| table.row(cells));
    let known = match row.noticed_since {
        Some(since) => format!(
            "Changes are noticed since {} ({} ago); what was before is known from start times and the journal.\n",
            clock(since),
            span(age(since, row.until))
        ),
        None => "Changes of this cluster are not noticed yet.\n".to_owned(),
    };
    let (from, until) = (clock(row.from), clock(row.until));
    let mut out = format!("{} from {from} to {until} {zone}\n", row.target);
    if table.is_empty() {
        out.push_str("Nothing changed and nothing was denied, as far as is known.\n");
    } else {
        out.push_str(&table.text(""));
    }
    out + &known
}
