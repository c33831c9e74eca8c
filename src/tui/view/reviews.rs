//! The queue of reviews: what waits for security first, then grants that run out, then what was
//! decided. What is marked is decided together.

use chrono::TimeDelta;
use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        commands::CommandId,
        ports::Link,
        reviews::{Queue, ReviewRow},
        world::World,
    },
    domain::time::{age, span},
};

use super::{
    super::{
        masks::Shown,
        model::{Main, Model},
        reviews::{self, Order},
        theme::Role,
        widgets::{Cells, Pen, highlight, plural, put},
    },
    frame::{About, Areas, note},
    review,
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    if areas.head.height == 0 {
        return;
    }
    put(buf, Rect { height: 1, ..areas.head }, &top(world, model, pen));
    let wide = Widths::of(areas.list.width);
    put(buf, Rect { y: areas.head.y + 1, height: 1, ..areas.head }, &head(pen, wide, areas.head.width));
    let desk = &model.team.reviews;
    for (line, (at, name)) in desk.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        if let Some(one) = desk.row(name) {
            put(buf, area, &row(pen, one, desk.marks.contains(name), wide, area.width));
        }
        if at == desk.list.at() && !desk.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if desk.list.rows().is_empty() {
        let (role, text) = empty(world, model, pen);
        note(pen, &text, role, areas.list, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    let row = model.team.reviews.list.chosen().and_then(|name| model.team.reviews.row(name))?;
    Some((format!("review {}", row.name), review::asked(world, pen, row)))
}

/// How many there are, of what age the list is, and what it is sorted by.
fn top(world: &World, model: &Model, pen: &Pen<'_>) -> Line<'static> {
    let desk = &model.team.reviews;
    let waits = desk.waits();
    let some = |n: usize, role| if n == 0 { Role::Text } else { role };
    let mut spans = match state(world) {
        Some((role, words)) => vec![pen.span(format!(" {words}"), role)],
        None => vec![
            pen.span(format!(" {} to decide", waits.open), some(waits.open, Role::Warn)),
            pen.span(
                format!(
                    ", {} end{} within two weeks",
                    waits.ending,
                    if waits.ending == 1 { "s" } else { "" }
                ),
                some(waits.ending, Role::Warn),
            ),
            pen.span(format!(", {} in all", desk.rows().len()), Role::Text),
        ],
    };
    if desk.order != Order::Queue || desk.reversed {
        let turned = if desk.reversed { ", turned" } else { "" };
        spans.push(pen.span(format!("  by {}{turned} (s)", desk.order.word()), Role::Key));
    }
    Line::from(spans)
}

/// Why the queue may not be what is there; `None`: it is.
pub fn state(world: &World) -> Option<(Role, String)> {
    let since = world
        .shared()
        .since()
        .map_or_else(String::new, |since| format!(" (as it was {} ago)", span(age(since, world.now()))));
    match world.shared().link() {
        None => Some((Role::Unknown, "no state cluster is named, so reviews are unknown".to_owned())),
        Some(Link::Connecting) => Some((Role::Unknown, "the state cluster is being connected".to_owned())),
        Some(Link::None(why)) => Some((Role::Bad, format!("the state cluster is away: {why}{since}"))),
        Some(Link::Broken(trouble)) => {
            Some((Role::Bad, format!("the state cluster is away: {trouble}{since}")))
        }
        Some(Link::Live) => None,
    }
}

fn empty(world: &World, model: &Model, pen: &Pen<'_>) -> (Role, String) {
    if !model.filter(Main::Reviews).is_empty() && !model.team.reviews.rows().is_empty() {
        return (Role::Warn, super::frame::none_passes(pen));
    }
    match world.shared().link() {
        None => (
            Role::Unknown,
            "Reviews are kept in a state cluster and none is named: write `state:` into sluice.yaml and run `sluice install` there."
                .to_owned(),
        ),
        Some(Link::Live) => (
            Role::Dim,
            format!(
                "Nobody asked for a review. {} asks for one, on a flagged destination ({}) or on a direction whose policies open one.",
                model.settings.keys.first(CommandId::AskReview),
                model.settings.keys.first(CommandId::Destinations)
            ),
        ),
        Some(_) => (
            Role::Unknown,
            "Whether reviews wait is unknown until the state cluster answers. Rollback goes on without it.".to_owned(),
        ),
    }
}

#[derive(Clone, Copy)]
struct Widths {
    state: usize,
    cluster: usize,
    ns: usize,
    destination: usize,
    ports: usize,
    by: usize,
    flagged: usize,
}

const AGE: usize = 7;
const ENDS: usize = 5;

impl Widths {
    fn of(width: u16) -> Self {
        // What a few letters cannot say is left to the pane below.
        let narrow = Self { state: 8, cluster: 12, ns: 8, destination: 0, ports: 7, by: 5, flagged: 0 };
        let out = match width {
            0..76 => Self { cluster: 0, ..narrow },
            76..110 => narrow,
            110..150 => Self { state: 9, cluster: 14, ns: 12, ports: 12, by: 12, flagged: 16, ..narrow },
            _ => Self { state: 13, cluster: 18, ns: 16, ports: 16, by: 20, flagged: 36, ..narrow },
        };
        let cells = [AGE, out.state, out.cluster, out.ns, out.ports, out.by, out.flagged, ENDS];
        let used: usize = cells.iter().filter(|cell| **cell > 0).map(|cell| cell + 1).sum();
        Self { destination: usize::from(width).saturating_sub(used), ..out }
    }
}

fn cells(pen: &Pen<'_>, wide: Widths, width: u16, texts: [(Shown<'_>, Role); 9]) -> Line<'static> {
    let [age, state, cluster, ns, destination, ports, by, flagged, ends] = texts;
    Cells::new(pen, width)
        .left(age.0, AGE, age.1)
        .left(state.0, wide.state, state.1)
        .left(cluster.0, wide.cluster, cluster.1)
        .left(ns.0, wide.ns, ns.1)
        .left(destination.0, wide.destination.saturating_sub(1), destination.1)
        .left(ports.0, wide.ports, ports.1)
        .left(by.0, wide.by, by.1)
        .left(flagged.0, wide.flagged, flagged.1)
        .right(ends.0, ENDS, ends.1)
        .line()
}

fn head(pen: &Pen<'_>, wide: Widths, width: u16) -> Line<'static> {
    let by = if wide.by < 8 { "by" } else { "asked by" };
    let names = [" age", "state", "cluster", "ns", "destination", "ports", by, "flagged", "ends"];
    cells(pen, wide, width, names.map(|name| (Shown::Own(name), Role::Title)))
}

pub fn role(row: &ReviewRow) -> Role {
    match (row.queue, reviews::state(row)) {
        (Queue::Open | Queue::Expiring, _) => Role::Warn,
        (Queue::Decided, "approved") => Role::Good,
        (Queue::Decided, "self-approved" | "time-unknown" | "mixed") => Role::Bad,
        (Queue::Decided, _) => Role::Dim,
    }
}

/// How many more clusters there are stays whole, whatever the first one is called.
fn cluster(row: &ReviewRow, width: usize) -> String {
    let all = reviews::cluster(row);
    let Some((name, more)) = all.rsplit_once(" +").filter(|_| all.chars().count() > width) else {
        return all;
    };
    let room = width.saturating_sub(more.chars().count() + 3);
    format!("{}… +{more}", name.chars().take(room).collect::<String>())
}

fn row(pen: &Pen<'_>, row: &ReviewRow, marked: bool, wide: Widths, width: u16) -> Line<'static> {
    let plain = match (marked, row.queue) {
        (true, _) => Role::Marked,
        (false, Queue::Open | Queue::Expiring) => Role::Text,
        (false, Queue::Decided) => Role::Dim,
    };
    let mark = if marked { "*" } else { " " };
    let flagged = row.findings.first().map_or("-", |finding| finding.as_str());
    let flag = if row.findings.is_empty() || row.queue == Queue::Decided { plain } else { Role::Denied };
    let until = reviews::ends(row);
    let ends = match until - pen.now {
        _ if pen.clock => pen.clock(until).chars().take(ENDS).collect(),
        left if left <= TimeDelta::zero() => "ended".to_owned(),
        left => days(left),
    };
    let old = match pen.clock {
        true => pen.clock(row.created).chars().take(AGE - 1).collect(),
        false => days(age(row.created, pen.now)),
    };
    // The part before the `@` says who; the page says all.
    let by = row.requested_by.as_str();
    let by = if wide.by < 8 { by.split('@').next().unwrap_or(by) } else { by };
    cells(
        pen,
        wide,
        width,
        [
            (format!("{mark}{old}").into(), if marked { Role::Marked } else { Role::Dim }),
            (reviews::state(row).into(), role(row)),
            (cluster(row, wide.cluster).into(), plain),
            (Shown::value(row.grant.ns.as_str()), plain),
            (row.grant.destination.to_string().into(), plain),
            (row.grant.ports().to_string().into(), plain),
            (Shown::value(by), plain),
            (Shown::value(flagged), flag),
            (ends.into(), if row.queue == Queue::Expiring { Role::Warn } else { Role::Dim }),
        ],
    )
}

/// Whole days where hours do not matter.
fn days(long: TimeDelta) -> String {
    if long.num_days() >= 3 { format!("{}d", long.num_days()) } else { span(long) }
}

/// What the header says on every page; empty: nothing waits.
pub fn badge(model: &Model, pen: &Pen<'_>) -> String {
    let waits = model.team.reviews.waits();
    let open = match waits.open {
        0 => String::new(),
        1 => "1 review waits".to_owned(),
        some => format!("{} wait", plural(some, "review")),
    };
    let left = waits.first.map(|first| match first - pen.now {
        left if left.num_days() >= 1 => format!("{}d", left.num_days()),
        left => span(left),
    });
    let ending = match (waits.ending, left) {
        (0, _) | (_, None) => String::new(),
        (1, Some(left)) => format!("1 grant ends in {left}"),
        (some, Some(left)) => format!("{some} grants end, first in {left}"),
    };
    let between = if open.is_empty() || ending.is_empty() { "" } else { ", " };
    format!("{open}{between}{ending}")
}
