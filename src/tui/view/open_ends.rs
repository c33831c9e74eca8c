//! What was put off and must not be forgotten, overdue first: rows taken back, held, left out, waived
//! or overridden, grants that end, and default denies that must be there by now and are not, each with
//! who answers for it and until when.

use chrono::{FixedOffset, TimeDelta};
use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{commands::CommandId, monthly::Standing, open_ends::EndKind, world::World},
    domain::time::{Timestamp, minute, span},
};

use super::{
    super::{
        ends::End,
        masks::Shown,
        model::Model,
        theme::Role,
        widgets::{Cells, Pen, highlight, put},
    },
    frame::{About, Areas, note},
    reviews::state,
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    if areas.head.height == 0 {
        return;
    }
    let wide = Widths::of(areas.list.width);
    put(buf, areas.head, &head(pen, wide, areas.head.width));
    for (line, (at, key)) in model.team.ends.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        if let Some(end) = model.team.ends.find(key) {
            put(buf, area, &row(pen, end, wide, area.width));
        }
        if at == model.team.ends.list.at() && !model.team.ends.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.team.ends.list.rows().is_empty() {
        let (role, text) = empty(world, model, pen);
        note(pen, &text, role, areas.list, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    let end = model.team.ends.chosen()?;
    let mut out: Vec<_> = state(world).into_iter().collect();
    let owner = end.owner().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let contact = match end {
        End::Open(open) => {
            open.contact.as_ref().map_or_else(String::new, |contact| format!(", contact {contact}"))
        }
        End::Grant { .. } | End::Unwritten(_) => String::new(),
        End::Document(row) => {
            row.contact.as_ref().map_or_else(String::new, |contact| format!(", contact {contact}"))
        }
    };
    out.push((Role::Text, end.what()));
    if !matches!(end, End::Unwritten(_)) {
        let role = if end.owner().is_none() { Role::Unknown } else { Role::Text };
        out.push((role, format!("owner {owner}{contact}")));
    }
    if let (Some(written), End::Document(row)) = (end.since(), end) {
        out.push((Role::Text, format!("{} was written {}", row.path, pen.both(written))));
    } else if let (Some(since), by) = (end.since(), end.by()) {
        out.push((Role::Text, format!("by {by}, {}", pen.both(since))));
    }
    out.push(match end.due() {
        Some(due) if matches!(end, End::Document(_)) => {
            let role = if end.is_overdue() { Role::Bad } else { Role::Text };
            (role, format!("its monthly review is due {}", due.format("%Y-%m-%d")))
        }
        None if matches!(end, End::Document(_)) => {
            (Role::Unknown, "when its monthly review is due is not known".to_owned())
        }
        None if matches!(end, End::Unwritten(_)) => {
            (Role::Warn, "what policies open must be traceable to a document that people review".to_owned())
        }
        None if end.is_overdue() => {
            (Role::Bad, "the rollout has reached this namespace: it must be there by now".to_owned())
        }
        None => (Role::Warn, "it never ends by itself".to_owned()),
        Some(due) if end.is_overdue() => (Role::Bad, format!("overdue: it ended {}", pen.both(due))),
        Some(due) => (Role::Text, format!("ends {}", pen.both_ways(due))),
    });
    let next = match end {
        End::Open(open) if open.kind == EndKind::Missing => {
            format!(
                "next: enter opens the row; apply it, or leave the namespace out with a reason ({})",
                pen.key(CommandId::Exclude)
            )
        }
        End::Open(_) => "next: enter opens the row".to_owned(),
        End::Document(row) if row.standing == Standing::Vanished => {
            "next: take both files out of the workspace (git rm); its history keeps them".to_owned()
        }
        End::Unwritten(one) => format!("next: run `{}`, then review what it writes", one.command()),
        End::Document(_) => {
            format!(
                "next: enter shows what changed since; {} there writes it anew",
                pen.key(CommandId::Renew)
            )
        }
        End::Grant { .. } => format!(
            "next: enter opens its review; {} on the row asks for a new grant",
            pen.key(CommandId::AskReview)
        ),
    };
    out.push((Role::Dim, next));
    Some((format!("{} {}", end.kind(), end.scope()), out))
}

fn empty(world: &World, model: &Model, pen: &Pen<'_>) -> (Role, String) {
    match (&model.team.ends.all, state(world)) {
        (Some(all), _) if !all.is_empty() => {
            (Role::Warn, super::frame::none_passes(pen))
        }
        (_, Some((role, words))) => (role, format!("What was put off is not known: {words}.")),
        (None, None) => (
            Role::Unknown,
            "What was put off is not known: the state cluster has not told the time yet.".to_owned(),
        ),
        (Some(_), None) => (
            Role::Good,
            "Nothing is rolled back, held, left out, waived or overridden, and no grant ends within two weeks."
                .to_owned(),
        ),
    }
}

#[derive(Clone, Copy)]
struct Widths {
    kind: usize,
    place: usize,
    owner: usize,
    by: usize,
}

const AGE: usize = 6;
const DUE: usize = 7;

impl Widths {
    fn of(width: u16) -> Self {
        match width {
            0..100 => Self { kind: 12, place: 24, owner: 10, by: 0 },
            100..150 => Self { kind: 12, place: 30, owner: 14, by: 12 },
            _ => Self { kind: 12, place: 40, owner: 20, by: 20 },
        }
    }
}

fn cells(pen: &Pen<'_>, wide: Widths, width: u16, texts: [(Shown<'_>, Role); 7]) -> Line<'static> {
    let [due, kind, place, age, owner, by, what] = texts;
    Cells::new(pen, width)
        .left(due.0, DUE + 1, due.1)
        .left(kind.0, wide.kind, kind.1)
        .left(place.0, wide.place, place.1)
        .right(age.0, AGE, age.1)
        .left(owner.0, wide.owner, owner.1)
        .left(by.0, wide.by, by.1)
        .rest(what.0, what.1)
        .line()
}

fn head(pen: &Pen<'_>, wide: Widths, width: u16) -> Line<'static> {
    cells(
        pen,
        wide,
        width,
        [" due", "kind", "where", "age", "owner", "by", "why"].map(|name| (Shown::Own(name), Role::Title)),
    )
}

fn due(pen: &Pen<'_>, at: Option<Timestamp>) -> String {
    match at.map(|at| (at, at - pen.now)) {
        None => " never".to_owned(),
        Some((at, _)) if pen.clock => format!(" {}", pen.clock(at).chars().take(DUE).collect::<String>()),
        Some((_, left)) if left <= TimeDelta::zero() => format!("-{}", span(-left)),
        Some((_, left)) => format!(" {}", span(left)),
    }
}

fn row(pen: &Pen<'_>, end: &End, wide: Widths, width: u16) -> Line<'static> {
    let when = match end.due() {
        None if matches!(end, End::Unwritten(_)) => " -".to_owned(),
        None if matches!(end, End::Document(_)) => " ?".to_owned(),
        None if end.is_overdue() => " now".to_owned(),
        at => due(pen, at),
    };
    let (role, kind) = if end.is_overdue() { (Role::Bad, Role::Bad) } else { (Role::Text, Role::Warn) };
    let (owner, owner_role) = match (end, end.owner()) {
        (_, Some(owner)) => (owner.as_str(), Role::Text),
        (End::Unwritten(_), None) => ("-", Role::Dim),
        (_, None) => ("?", Role::Unknown),
    };
    let age = end.since().map_or_else(|| "-".to_owned(), |since| pen.when(Some(since)));
    cells(
        pen,
        wide,
        width,
        [
            (when.into(), role),
            (end.kind().into(), kind),
            (end.scope().into(), Role::Text),
            (age.into(), Role::Dim),
            (Shown::value(owner), owner_role),
            (Shown::value(end.by()), Role::Dim),
            (end.what().into(), Role::Text),
        ],
    )
}

/// The row as a line.
pub fn message(end: &End, zone: FixedOffset) -> String {
    let owner = end.owner().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let due = end.due().map_or_else(
        || {
            match end {
                End::Unwritten(_) => "not written",
                End::Open(_) | End::Grant { .. } | End::Document(_) if end.is_overdue() => "due now",
                End::Document(_) => "when it is due is not known",
                End::Open(_) | End::Grant { .. } => "never ends by itself",
            }
            .to_owned()
        },
        |due| format!("{} {}", if end.is_overdue() { "ended" } else { "ends" }, minute(due, zone)),
    );
    format!("{} {} (owner {owner}; {due}): {}", end.kind(), end.scope(), end.what())
}
