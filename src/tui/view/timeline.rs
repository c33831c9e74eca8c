//! What changed around a rollout over the last day and what was denied, newest first; each group of
//! denials with the change nearest before it, which is no proof of cause.

use chrono::TimeDelta;
use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        orders::Target,
        timeline::{self, GroupMark, MarkKind, TimelineRow},
        world::World,
    },
    domain::{
        fleet::Environment,
        time::{Timestamp, span},
    },
};

use super::{
    super::{
        model::Settings,
        theme::{Role, Theme},
        widgets::{Pen, put},
    },
    frame::{Areas, Pane, band},
};

/// How far back the page goes.
const BACK: TimeDelta = TimeDelta::hours(24);

type Text = Vec<(Role, String)>;

pub fn draw(world: &World, target: &Target, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let environment = world.cluster(&target.cluster).map_or(Environment::Unknown, |c| c.environment);
    let (word, role) = band(environment);
    let width = usize::from(areas.body.width);
    let line = format!(" {word}  {target}, the last {}   tab: the other direction", span(BACK));
    put(buf, Rect { height: 1, ..areas.body }, &pen.line(format!("{line:width$}"), role));
}

pub fn pane(world: &World, target: &Target, pen: &Pen<'_>, areas: &Areas) -> Pane {
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    Pane {
        title: "changes and denials, newest first".to_owned(),
        text: text(world, target, pen),
        area,
        scrolls: true,
    }
}

/// The page as a message.
pub fn message(world: &World, target: &Target, settings: &Settings) -> String {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let lines = text(world, target, &pen).into_iter().map(|(_, line)| line);
    std::iter::once(target.to_string()).chain(lines).collect::<Vec<_>>().join("\n")
}

fn text(world: &World, target: &Target, pen: &Pen<'_>) -> Text {
    let row = timeline::row(world, target, BACK);
    let mut lines: Vec<(Timestamp, Role, String)> = Vec::new();
    for mark in &row.marks {
        let by = mark.by.as_ref().map_or_else(String::new, |by| format!(", by {by}"));
        let long = mark.until - mark.at;
        let long = if long.num_seconds() > 0 { format!(", over {}", span(long)) } else { String::new() };
        let role = match mark.kind {
            MarkKind::Apply | MarkKind::Rollback => Role::Key,
            MarkKind::Act => Role::Dim,
            MarkKind::Deploy
            | MarkKind::Cni
            | MarkKind::Dns
            | MarkKind::Node
            | MarkKind::Policy
            | MarkKind::Preflight => Role::Text,
        };
        let kind = mark.kind.as_str();
        lines.push((mark.at, role, format!("{kind:9} {}{by}{long}", mark.words)));
    }
    lines.extend(row.groups.iter().map(|group| (group.first, Role::Denied, denied(pen, &row, group))));
    lines.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let clock = |at: Timestamp| at.with_timezone(&pen.zone).format("%m-%d %H:%M:%S");
    let mut out: Text =
        lines.into_iter().map(|(at, role, words)| (role, format!("{}  {words}", clock(at)))).collect();
    if out.is_empty() {
        out.push((Role::Dim, "nothing changed and nothing was denied, as far as is known".to_owned()));
    }
    out.push(match row.noticed_since {
        Some(since) => (
            Role::Dim,
            format!(
                "changes are noticed since {} {}; what was before is known from start times and the journal",
                clock(since),
                pen.zone
            ),
        ),
        None => (Role::Unknown, "changes of this cluster are not noticed yet".to_owned()),
    });
    out
}

fn denied(pen: &Pen<'_>, row: &TimelineRow, group: &GroupMark) -> String {
    let times = if group.count == 1 { "once".to_owned() } else { format!("{} times", group.count) };
    let last = pen.ago(Some(group.last));
    let before = match group.before.and_then(|(at, gap)| Some((row.marks.get(at)?, gap))) {
        Some((mark, gap)) => format!("; {} after: {}", span(gap), mark.words),
        None => "; no change is known before it".to_owned(),
    };
    format!("DENIED    {} {}, {times}, last {last}{before}", group.class.word(), group.words)
}
