//! Where the workloads of a namespace talk: one row a destination, suspects first, with the hours of
//! the week in which it was seen. Where there is no row, what would fill the list.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        commands::CommandId,
        discovery::{self, CollectionRow, Progress},
        dossier,
        ports::Link,
        world::World,
    },
    domain::{
        destination::{Destination, Severity},
        edge::{Grade, Hours, Window},
        fleet::Environment,
        flow::Direction,
        names::{ClusterName, NsName},
        sighting::Outcome,
        time::{age, span},
    },
};

use super::{
    super::{
        destinations,
        masks::Shown,
        model::{Model, Order, Sheet, Zoom},
        theme::Role,
        widgets::{Align, Cells, Pen, count, fit, highlight, plural, put, strip},
    },
    denials::arrow,
    dossier as full,
    frame::{About, Areas, band, note},
};

type Place<'a> = (&'a ClusterName, &'a NsName);

pub fn draw(world: &World, model: &Model, place: Place<'_>, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    if areas.head.height == 0 {
        return;
    }
    top(world, model, place, pen, areas, buf);
    let wide = Widths::of(areas.list.width);
    put(buf, line(areas.head, 2), &head(pen, wide, areas.head.width));
    let week = Watched::of(world, place);
    for (nth, (at, _)) in model.found.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + nth as u16, height: 1, ..areas.list };
        if let Some(one) = destinations::at(model, world, at) {
            put(buf, area, &row(pen, one, &week, wide, area.width));
        }
        if at == model.found.list.at() && !model.found.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.found.list.rows().is_empty() {
        let (role, text) = empty(world, model, place, pen);
        note(pen, &text, role, areas.list, buf);
    }
}

fn line(area: Rect, nth: u16) -> Rect {
    Rect { y: area.y + nth.min(area.height.saturating_sub(1)), height: 1, ..area }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, place: Place<'_>, pen: &Pen<'_>) -> Option<About> {
    let one = destinations::chosen(model, world)?;
    let whole = model.settings.zoom == Zoom::Details || model.settings.size.1 >= 50;
    let text = if whole { full::text(world, pen, place, one) } else { full::short(world, pen, place, one) };
    Some((full::title(one), text))
}

/// What the collector can answer for, and what of it was watched.
pub struct Watched {
    pub window: Option<Window>,
    pub credited: Hours,
}

impl Watched {
    pub fn of(world: &World, (cluster, ns): Place<'_>) -> Self {
        let judged = world.discoveries().judged(cluster, ns);
        let answered = world.discoveries().opened(cluster, ns).and_then(|opened| opened.answer.as_ref());
        let window = match (judged, answered) {
            (Some(judged), _) => Some(judged.window),
            // Before the collector said what it watched, nothing is credited.
            (None, Some(answer)) => Some(answer.baseline.window),
            (None, None) => None,
        };
        Self { window, credited: judged.map(|judged| judged.credited.clone()).unwrap_or_default() }
    }

    /// Its newest part, which strips show.
    pub fn newest(&self) -> Option<Window> {
        self.window.map(discovery::week)
    }
}

/// Band, place and direction; below it how far the collection is.
fn top(world: &World, model: &Model, place: Place<'_>, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let (cluster, ns) = place;
    let directions = match model.page.focus.direction() {
        Some(direction) => direction.as_str(),
        None => "egress and ingress",
    };
    banner(world, place, &format!("{directions} (tab)"), pen, line(areas.head, 0), buf);
    let row = discovery::collection_row(world, cluster, ns);
    let mut spans = vec![pen.span(" ", Role::Text)];
    let (role, words) = readiness(&row, model.page.focus.direction().unwrap_or(Direction::Egress));
    spans.push(pen.span(pen.own(&words), role));
    if let Some(all) = row.destinations {
        spans.push(pen.span(format!("  {}, ", plural(all, "destination")), Role::Text));
        spans.push(match row.suspects {
            None => pen.span("? suspects", Role::Unknown),
            Some(0) => pen.span("0 suspects", Role::Text),
            Some(some) => pen.span(plural(some, "suspect"), Role::Denied),
        });
    }
    spans.push(pen.span(format!("  {}", read(world, place, pen)), Role::Dim));
    if model.found.order != Order::Suspects || model.found.reversed {
        let turned = if model.found.reversed { ", turned" } else { "" };
        spans.push(pen.span(format!("  by {}{turned} (s)", model.found.order.word()), Role::Key));
    }
    put(buf, line(areas.head, 1), &Line::from(spans));
}

/// The full-width band of the cluster's environment.
pub fn banner(world: &World, place: Place<'_>, text: &str, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let environment = world.cluster(place.0).map_or(Environment::Unknown, |cluster| cluster.environment);
    let (word, role) = band(environment);
    let words = format!(" {word}  {} / {}   {text}", place.0, place.1);
    put(buf, area, &pen.line(fit(&pen.hide(words), usize::from(area.width), Align::Left), role));
}

/// When edges were read, and what went wrong with it.
fn read(world: &World, (cluster, ns): Place<'_>, pen: &Pen<'_>) -> String {
    let Some(opened) = world.discoveries().opened(cluster, ns) else { return String::new() };
    let waiting = if opened.is_waiting() { ", asked again" } else { "" };
    match &opened.answer {
        None => format!("asked {}", pen.ago(Some(opened.asked))),
        Some(answer) => {
            let left_out = match answer.baseline.left_out {
                0 => String::new(),
                some => format!(", {} edges left out", count(some)),
            };
            match &answer.document {
                // No collector answers, so the workspace does.
                Some(document) => {
                    let written = pen.ago(Some(document.written));
                    format!("from the document, written {written}{waiting}")
                }
                None => format!("read {}{waiting}{left_out}", pen.ago(Some(answer.at))),
            }
        }
    }
}

/// May a policy of a direction be written from it, in words.
pub fn readiness(row: &CollectionRow, direction: Direction) -> (Role, String) {
    let (progress, why) = row.of(direction);
    match progress {
        Progress::Ready { .. } => (Role::Good, "ready".to_owned()),
        Progress::Collecting { credited } => {
            (Role::Warn, format!("not yet: {} left", span(discovery::WANTED - credited)))
        }
        Progress::Blocked { .. } => (Role::Bad, format!("blocked for {}", plural(why.len(), "reason"))),
        Progress::NoCollector => (Role::Unknown, "no collector".to_owned()),
        Progress::Unknown => (Role::Unknown, "how far it is: unknown".to_owned()),
    }
}

/// What would fill the list.
fn empty(world: &World, model: &Model, place: Place<'_>, pen: &Pen<'_>) -> (Role, String) {
    let (cluster, ns) = place;
    let narrowed = !model.filter(Sheet::Destinations).is_empty() || model.page.focus.direction().is_some();
    let answer = world.discoveries().opened(cluster, ns).and_then(|opened| opened.answer.as_ref());
    if let Some(answer) = answer {
        if let Some(trouble) = &answer.baseline.trouble {
            return (
                Role::Bad,
                format!(
                    "Not everything could be read. {trouble} {} asks again.",
                    pen.key(CommandId::Refresh)
                ),
            );
        }
        if narrowed && !answer.destinations.is_empty() {
            let all = pen.key(CommandId::ClearFilter);
            let text = format!("No row passes the filter. {all} shows all rows again, tab both directions.");
            return (Role::Warn, text);
        }
        let direction = model.page.focus.direction().unwrap_or(Direction::Egress);
        let (_, words) = readiness(&discovery::collection_row(world, cluster, ns), direction);
        let text = format!(
            "No flow of {ns} was seen so far ({words}). That is no evidence, not the absence of traffic; {} shows what was watched.",
            pen.key(CommandId::Coverage)
        );
        return (Role::Warn, text);
    }
    unread(world, place, pen)
}

/// Why there are no edges of this namespace here.
pub fn unread(world: &World, (cluster, ns): Place<'_>, pen: &Pen<'_>) -> (Role, String) {
    const INSTALL: &str = "Install it: kubectl apply -f assets/collect/sluice-collect.yaml, or name its address as `collector:` in sluice.yaml. Files can be read without it: sluice discover --help.";
    let link = world.discoveries().collected(cluster).map(|collected| &collected.state.link);
    match link {
        None => {
            let text = format!(
                "Nothing is known of where {ns} talks: no collector of {cluster} told anything. {INSTALL}"
            );
            (Role::Unknown, text)
        }
        Some(Link::None(why)) => (Role::Unknown, format!("{cluster} has no collector: {why}. {INSTALL}")),
        Some(Link::Connecting) => (
            Role::Unknown,
            format!("The collector of {cluster} is being connected; rows come by themselves."),
        ),
        Some(Link::Broken(trouble)) => {
            (Role::Bad, format!("The collector of {cluster} cannot be reached. {trouble}"))
        }
        Some(Link::Live) => match world.discoveries().opened(cluster, ns) {
            Some(opened) => {
                let since = span(age(opened.asked, pen.now));
                (
                    Role::Unknown,
                    format!(
                        "The collector of {cluster} was asked {since} ago. Rows come by themselves; without an answer it is asked again after a minute."
                    ),
                )
            }
            None => (Role::Unknown, format!("The collector of {cluster} is being asked.")),
        },
    }
}

#[derive(Clone, Copy)]
struct Widths {
    suspect: usize,
    category: usize,
    workload: usize,
    label: usize,
    port: usize,
    grade: usize,
    flows: usize,
    hours: usize,
    first: usize,
    strip: usize,
}

const LAST: usize = 6;

impl Widths {
    /// What matters least goes first: how many flows, since when, the category of what is no suspect.
    fn of(width: u16) -> Self {
        let narrow = Self {
            suspect: 13,
            category: 0,
            workload: 10,
            label: 0,
            port: 7,
            grade: 5,
            flows: 0,
            hours: 3,
            first: 0,
            strip: 7,
        };
        let wide = Self { category: 8, port: 9, flows: 6, first: 6, ..narrow };
        let out = match width {
            0..76 => Self { suspect: 10, workload: 8, hours: 0, strip: 0, ..narrow },
            76..110 => narrow,
            110..150 => Self { suspect: 18, workload: 14, ..wide },
            150..180 => Self { suspect: 22, workload: 18, grade: 9, hours: 7, strip: 14, ..wide },
            180..210 => Self { suspect: 26, workload: 24, grade: 9, hours: 7, strip: 28, ..wide },
            _ => Self { suspect: 26, workload: 24, grade: 9, hours: 7, strip: 56, ..wide },
        };
        let cells = [
            out.suspect,
            out.category,
            1,
            out.workload,
            out.port,
            out.grade,
            out.flows,
            out.hours,
            out.first,
            LAST,
            out.strip,
        ];
        let used: usize = cells.iter().filter(|cell| **cell > 0).map(|cell| cell + 1).sum();
        Self { label: usize::from(width).saturating_sub(used), ..out }
    }
}

fn head(pen: &Pen<'_>, wide: Widths, width: u16) -> Line<'static> {
    let hours = if wide.hours > 3 { "hours" } else { "hrs" };
    let suspect = if wide.category > 0 { " suspect" } else { " suspect/cat" };
    cells(
        pen,
        wide,
        width,
        [
            suspect,
            "category",
            "",
            "workload",
            "destination",
            "port",
            "grade",
            "flows",
            hours,
            "first",
            "last",
            "7 days",
        ]
        .map(|name| (Shown::Own(name), Role::Title)),
    )
}

fn cells(pen: &Pen<'_>, wide: Widths, width: u16, texts: [(Shown<'_>, Role); 12]) -> Line<'static> {
    let [suspect, category, way, workload, label, port, grade, flows, hours, first, last, strip] = texts;
    Cells::new(pen, width)
        .left(suspect.0, wide.suspect, suspect.1)
        .left(category.0, wide.category, category.1)
        .left(way.0, 1, way.1)
        .left(workload.0, wide.workload, workload.1)
        .left(label.0, wide.label.saturating_sub(1), label.1)
        .left(port.0, wide.port, port.1)
        .left(grade.0, wide.grade, grade.1)
        .right(flows.0, wide.flows, flows.1)
        .right(hours.0, wide.hours, hours.1)
        .right(first.0, wide.first, first.1)
        .right(last.0, LAST, last.1)
        .left(strip.0, wide.strip, strip.1)
        .line()
}

fn row(pen: &Pen<'_>, one: &Destination, week: &Watched, wide: Widths, width: u16) -> Line<'static> {
    let denied = one.outcome == Outcome::Denied;
    let plain = if denied { Role::Dim } else { Role::Text };
    let (suspect, suspect_role) = suspect(one, wide);
    let (way, way_role) = if denied { ("✖", Role::Denied) } else { (arrow(one.direction), Role::Dim) };
    let grade = if wide.grade < 9 { grade(one.grade) } else { one.grade.as_str() };
    let newest = week.newest();
    let hours = newest.map(|window| dossier::hours_in(one, window));
    let hours = match hours {
        None => "?".to_owned(),
        Some((seen, all)) if wide.hours > 3 => format!("{seen}/{all}"),
        Some((seen, _)) => seen.to_string(),
    };
    let parts = newest.map(|window| dossier::heat(&one.seen.hours, &week.credited, window, wide.strip));
    let strip = parts.map_or_else(|| "?".to_owned(), |parts| strip(&parts));
    cells(
        pen,
        wide,
        width,
        [
            (pen.own(&format!(" {suspect}")).into(), suspect_role),
            (one.meaning.category.as_str().into(), plain),
            (way.into(), way_role),
            (Shown::value(one.workload.name.as_str()), plain),
            (label(pen, one, wide.label.saturating_sub(1)).into(), plain),
            (dossier::port(one).into(), plain),
            (grade.into(), grade_role(one)),
            (count(one.seen.flows).into(), plain),
            (hours.into(), plain),
            (pen.when(Some(one.seen.first)).into(), Role::Dim),
            (pen.when(Some(one.seen.last)).into(), Role::Dim),
            (strip.into(), Role::Text),
        ],
    )
}

/// Marks and class; of what is no suspect the category, where that has no column.
fn suspect(one: &Destination, wide: Widths) -> (String, Role) {
    match dossier::suspect_words(one) {
        Some((severity, class)) => {
            let (marks, role) = marks(severity);
            (format!("{marks} {class}"), role)
        }
        None if one.outcome == Outcome::Denied => ("denied".to_owned(), Role::Dim),
        None if wide.category == 0 => (one.meaning.category.as_str().to_owned(), Role::Dim),
        None => ("-".to_owned(), Role::Dim),
    }
}

/// How urgent, without a colour: the more marks.
pub fn marks(severity: Severity) -> (&'static str, Role) {
    match severity {
        Severity::Critical => ("!!!", Role::Denied),
        Severity::High => ("!!", Role::Denied),
        Severity::Medium => ("!", Role::Warn),
        Severity::Low => ("·", Role::Text),
    }
}

/// The number of further addresses is never cut off: a long name gives way.
fn label(pen: &Pen<'_>, one: &Destination, width: usize) -> String {
    let text = pen.hide(dossier::label(one));
    match dossier::more(one) {
        0 => text,
        more => {
            let more = format!(" +{more}");
            let room = width.saturating_sub(more.len());
            format!(
                "{}{more}",
                fit(&text, room.min(unicode_width::UnicodeWidthStr::width(text.as_str())), Align::Left)
            )
        }
    }
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Ambiguous => "ambig",
        Grade::Fresh | Grade::Stale | Grade::None => grade.as_str(),
    }
}

/// A missing name is a doubt only where the data plane has no other word for it.
pub fn grade_role(one: &Destination) -> Role {
    match one.grade {
        Grade::Fresh => Role::Text,
        Grade::Stale | Grade::Ambiguous => Role::Warn,
        Grade::None if dossier::raw_address(one).is_some() => Role::Unknown,
        Grade::None => Role::Dim,
    }
}
