//! What surrounds every page: tabs, where we are, what narrows it, messages, the keys that work
//! here. Also where things stand on the screen, which drawing and clicks share.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};
use unicode_width::UnicodeWidthStr;

use crate::{
    cockpit::{
        commands::{CommandId, row},
        world::World,
    },
    domain::{
        denial::{Class, Group},
        fleet::Environment,
    },
};

use super::{
    super::{
        masks::Shown,
        model::{Focus, Main, Model, RowKey, Sheet, View, Zoom},
        offer::{self, Offer},
        theme::Role,
        widgets::{Pen, heading, lines, plural, put, wrap},
    },
    messages, path,
};

/// Where things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Areas {
    pub tabs: Rect,
    pub crumbs: Rect,
    /// Everything between the header and the footer.
    pub body: Rect,
    /// Headings of columns.
    pub head: Rect,
    pub list: Rect,
    /// With its heading; may be empty.
    pub detail: Rect,
    pub hints: Rect,
}

impl Areas {
    /// Two panes stand side by side from here on.
    const WIDE: u16 = 160;

    pub fn of((width, height): (u16, u16), model: &Model) -> Self {
        let line = |y: u16| Rect { x: 0, y: y.min(height.saturating_sub(1)), width, height: 1 };
        let body = Rect { x: 0, y: 2, width, height: height.saturating_sub(3) };
        let mut areas = Self {
            tabs: line(0),
            crumbs: line(1),
            body,
            head: Rect { height: 0, ..body },
            list: body,
            detail: Rect { height: 0, ..body },
            hints: line(height.saturating_sub(1)),
        };
        let whole = model.settings.zoom == Zoom::List;
        if model.settings.zoom == Zoom::Details {
            areas.list.height = 0;
            areas.detail = body;
            return areas;
        }
        match model.view() {
            // Whose it is stays in sight.
            View::Namespace(..) if whole => {
                areas.split_bottom(body.height.saturating_sub(super::namespace::TOP));
            }
            View::Namespace(..) => areas.split_bottom(Self::denials_lines(body.height, model)),
            View::Group(_)
            | View::Dossier(..)
            | View::Coverage(..)
            | View::Timeline(_)
            | View::Prediction(_)
            | View::Document(_)
            | View::Review(_)
            | View::Preflight(_) => {}
            View::Destinations(..) => {
                let lines = if whole { 0 } else { detail_lines(Main::Denials, body.height) };
                areas.split_bottom(lines);
                std::mem::swap(&mut areas.list, &mut areas.detail);
                areas.take_head(DESTINATIONS_HEAD);
            }
            View::Main(main) => {
                let head = head_lines(*main, model);
                if whole {
                    areas.detail.height = 0;
                } else if width >= Self::WIDE {
                    areas.split_right();
                } else {
                    areas.split_bottom(detail_lines(*main, body.height));
                    std::mem::swap(&mut areas.list, &mut areas.detail);
                }
                areas.take_head(head);
            }
        }
        areas
    }

    fn denials_lines(height: u16, model: &Model) -> u16 {
        if model.page.focus == Focus::Denials { height / 2 } else { (height / 4).clamp(3, 12) }
    }

    /// The list at the bottom, the rest as detail above it.
    fn split_bottom(&mut self, lines: u16) {
        let lines = lines.min(self.body.height);
        let above = self.body.height - lines;
        self.detail = Rect { height: above, ..self.body };
        self.list = Rect { y: self.body.y + above, height: lines, ..self.body };
    }

    fn split_right(&mut self) {
        let right = self.body.width * 2 / 5;
        let left = self.body.width - right;
        self.list.width = left - 1;
        self.detail = Rect { x: left, width: right, ..self.body };
    }

    fn take_head(&mut self, lines: u16) {
        let lines = lines.min(self.list.height);
        self.head = Rect { height: lines, ..self.list };
        self.list.y += lines;
        self.list.height -= lines;
    }
}

/// Band and facts of the namespace, and the columns' names.
const DESTINATIONS_HEAD: u16 = 3;

fn head_lines(main: Main, model: &Model) -> u16 {
    match main {
        Main::Fleet => {
            let folded = model.fleet.unfolded.is_empty() && model.filter(Main::Fleet).is_empty();
            if folded { 1 } else { 2 }
        }
        Main::Denials | Main::Live | Main::Reviews => 2,
        Main::Activity | Main::Sources | Main::Notices | Main::OpenEnds => 1,
        Main::Plan => super::plan::HEAD,
    }
}

fn detail_lines(main: Main, height: u16) -> u16 {
    let wanted = match main {
        Main::Fleet | Main::Denials | Main::Activity | Main::Sources | Main::Reviews | Main::OpenEnds => 6,
        Main::Plan => 8,
        Main::Live | Main::Notices => 4,
    };
    match height {
        0..14 => 0,
        14..30 => wanted,
        _ => wanted + height / 6,
    }
}

/// Each tab with its text. A badge is the number of rows behind it.
///
/// Names are short where the clock would not fit beside long ones.
fn tabs(world: &World, model: &Model) -> Vec<(Main, String)> {
    let long = named(world, model, false);
    let used: usize = long.iter().map(|(_, text)| text.width() + 2).sum();
    if used + CLOCK <= usize::from(model.settings.size.0) { long } else { named(world, model, true) }
}

/// Columns of the time with its zone, and one before the first tab.
const CLOCK: usize = 17;

fn named(world: &World, model: &Model, narrow: bool) -> Vec<(Main, String)> {
    let denied = |group: &&Group| group.class != Class::Would;
    let groups = match &model.frozen {
        None => world.denials().groups().len(),
        Some(frozen) => frozen.groups.values().filter(denied).count(),
    };
    Main::ALL
        .into_iter()
        .map(|(number, main)| {
            let badge = match main {
                Main::Denials => groups,
                Main::Notices => model.notices.all.len(),
                Main::Reviews => model.team.reviews.rows().len(),
                Main::Fleet | Main::Live | Main::Activity | Main::Sources | Main::Plan | Main::OpenEnds => 0,
            };
            let badge = if badge == 0 { String::new() } else { format!("({badge})") };
            let word = if narrow { main.short() } else { main.word() };
            (main, format!("{number} {word}{badge}"))
        })
        .collect()
}

/// Columns between two tabs.
fn gap(model: &Model) -> u16 {
    if model.settings.size.0 < 100 { 1 } else { 2 }
}

/// The tab at a column.
pub fn tab_at(world: &World, model: &Model, x: u16) -> Option<Main> {
    let mut from = 1;
    let gap = gap(model);
    for (main, text) in tabs(world, model) {
        let until = from + text.width() as u16;
        if (from..until).contains(&x) {
            return Some(main);
        }
        from = until + gap;
    }
    None
}

pub fn header(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let mut spans = vec![pen.span(" ", Role::Text)];
    for (main, text) in tabs(world, model) {
        let role = if *model.view() == View::Main(main) { Role::Selected } else { Role::Dim };
        spans.extend([pen.span(pen.own(&text), role), pen.span(" ".repeat(gap(model).into()), Role::Text)]);
    }
    put(buf, areas.tabs, &Line::from(spans));
    let zone = if pen.zone.local_minus_utc() == 0 { "UTC".to_owned() } else { pen.zone.to_string() };
    let format = if areas.tabs.width < 100 { "%H:%M" } else { "%H:%M:%S" };
    // What there is room for beside the tabs.
    let time = pen.now.with_timezone(&pen.zone).format(format);
    let used: usize = tabs(world, model).iter().map(|(_, text)| text.width() + usize::from(gap(model))).sum();
    let room = usize::from(areas.tabs.width).saturating_sub(used + 1);
    // A time without its zone is none: where there is no room for both there is neither.
    let short = zone.replace("UTC", "Z").replace(":00", "");
    let clock = [format!(" {time} {zone}"), format!(" {time}{short}")]
        .into_iter()
        .find(|clock| clock.width() <= room);
    right(buf, areas.tabs, &pen.line(clock.unwrap_or_default(), Role::Dim));
    crumbs(world, model, pen, areas.crumbs, buf);
}

fn right(buf: &mut Buffer, area: Rect, line: &Line<'_>) {
    let width = (line.width() as u16).min(area.width);
    put(buf, Rect { x: area.right() - width, width, ..area }, line);
}

/// Where we are, what narrows it, and what must not be overlooked.
fn crumbs(world: &World, model: &Model, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let mut spans = vec![pen.span(" ", Role::Text)];
    let mut path = path::path(world, model);
    if area.width < 100 && matches!(model.view(), View::Destinations(..)) {
        // The band below says the cluster; a filter needs the room.
        path.drain(..2);
    }
    for (nth, crumb) in path.into_iter().enumerate() {
        if nth > 0 {
            spans.push(pen.span(" › ", Role::Dim));
        }
        spans.push(pen.span(crumb, Role::Title));
    }
    if let View::Main(_) = model.view() {
        spans.extend(place(world, model, pen));
    }
    if let Some(sheet) = model.view().sheet() {
        spans.extend(filter(model, sheet, pen));
    }
    let badges = badges(world, model, pen);
    let left = area.width.saturating_sub(badges.width() as u16 + 1);
    put(buf, Rect { width: left, ..area }, &Line::from(spans));
    right(buf, area, &badges);
}

/// The cluster that actions mean now and its band, always at the same place.
fn place(world: &World, model: &Model, pen: &Pen<'_>) -> Vec<ratatui::text::Span<'static>> {
    let Some(key) = offer::subject(world, model) else { return Vec::new() };
    let environment = world.cluster(key.cluster()).map_or(Environment::Unknown, |c| c.environment);
    let (word, role) = match environment {
        Environment::Unknown => ("environment unknown", Role::Unknown),
        known @ (Environment::Production | Environment::Staging) => band(known),
    };
    vec![
        pen.span(" › ", Role::Dim),
        pen.span(key.cluster().to_string(), Role::Text),
        pen.span(" ", Role::Text),
        pen.span(word, role),
    ]
}

fn filter(model: &Model, sheet: Sheet, pen: &Pen<'_>) -> Vec<ratatui::text::Span<'static>> {
    let text = model.filter(sheet);
    if let Some(input) = &model.filters.editing {
        let (before, after) = input.value().split_at(byte_at(input.value(), input.cursor()));
        return vec![
            pen.span("  /", Role::Key),
            pen.span(before.to_owned(), Role::Input),
            pen.span("▌", Role::Key),
            pen.span(after.to_owned(), Role::Input),
        ];
    }
    if text.is_empty() {
        return Vec::new();
    }
    let rows = shown(model, sheet);
    vec![
        pen.span("  filter ", Role::Dim),
        // What narrows the rows may be a part of a name.
        pen.span(if pen.masks.is_some() { "***".to_owned() } else { text.to_owned() }, Role::Input),
        pen.span(
            pen.own(&format!(
                "  {} left, {} shows all",
                plural(rows, "row"),
                pen.key(CommandId::ClearFilter)
            )),
            Role::Warn,
        ),
    ]
}

fn byte_at(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

fn shown(model: &Model, sheet: Sheet) -> usize {
    match sheet {
        Sheet::Main(Main::Fleet) => model.fleet.list.rows().len(),
        Sheet::Main(Main::Denials) => model.denials.rows().len(),
        Sheet::Main(Main::Live) => model.live.rows().len(),
        Sheet::Main(Main::Activity) => model.activity.list.rows().len(),
        Sheet::Main(Main::Sources) => model.sources.rows().len(),
        Sheet::Main(Main::Notices) => model.notices.list.rows().len(),
        Sheet::Main(Main::Reviews) => model.team.reviews.list.rows().len(),
        Sheet::Main(Main::OpenEnds) => model.team.ends.list.rows().len(),
        Sheet::Main(Main::Plan) => model.plan.list.rows().len(),
        Sheet::Destinations => model.found.list.rows().len(),
    }
}

fn badges(world: &World, model: &Model, pen: &Pen<'_>) -> Line<'static> {
    let mut spans = Vec::new();
    let mut badge = |text: String, role: Role| {
        spans.extend([pen.span(" ", Role::Text), pen.span(pen.own(&format!(" {text} ")), role)]);
    };
    if world.is_read_only() {
        badge("READ-ONLY".into(), Role::Toast);
    }
    if model.settings.masks.on {
        badge("MASKED".into(), Role::Toast);
    }
    if let Some(text) = state_away(world, pen, model.settings.size.0) {
        badge(text, Role::Bad);
    }
    if let Some(text) = waiting(world, model.settings.size.0) {
        badge(text, Role::Warn);
    }
    if let Some(frozen) = &model.frozen {
        let since = world.denials().total().saturating_sub(frozen.total);
        badge(format!("FROZEN +{since} denials, {}: now", pen.key(CommandId::Freeze)), Role::Toast);
    }
    let waits = super::reviews::badge(model, pen);
    if !waits.is_empty() {
        badge(waits, Role::Warn);
    }
    let marks = offer::marks(model);
    if marks > 0 {
        badge(format!("{marks} marked, {}: none", pen.key(CommandId::Unmark)), Role::Marked);
    }
    let running = world.running().count();
    if running > 0 {
        let applies = world.running().any(|order| order.kind.applies());
        let stop = if applies { format!(", {}: stop", pen.key(CommandId::Abort)) } else { String::new() };
        badge(format!("{running} running{stop}"), Role::Warn);
    }
    Line::from(spans)
}

/// The team's state is away, and since when; `None`: it is there, or none is named.
fn state_away(world: &World, pen: &Pen<'_>, width: u16) -> Option<String> {
    let shared = world.shared();
    if world.plan().settings.state.is_none() || shared.is_live() {
        return None;
    }
    let since = shared.since().map_or_else(String::new, |since| format!(" {}", pen.when(Some(since))));
    Some(if width < 100 {
        format!("state away{since}: nothing advances")
    } else {
        format!("state away{since}: reading and rollback go on, nothing advances")
    })
}

/// Acts that are done and that the team cannot see yet; `None`: there are none.
fn waiting(world: &World, width: u16) -> Option<String> {
    let acts = world.shared().waiting();
    let of = if width < 120 { "unrecorded" } else { "not in the journal yet" };
    (acts > 0).then(|| format!("{} {of}", plural(acts, "act")))
}

/// The band of an environment: a colour and a word.
pub fn band(environment: Environment) -> (&'static str, Role) {
    match environment {
        Environment::Production => ("PRODUCTION", Role::Production),
        Environment::Staging => ("staging", Role::Staging),
        Environment::Unknown => ("unknown", Role::Unknown),
    }
}

/// Messages over the last lines of the page, and the keys that work here.
pub fn footer(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    messages::draw(model, pen, areas, buf);
    let mut line = vec![pen.span(" ", Role::Text)];
    for (nth, hint) in hint_line(world, model, areas.hints.width).into_iter().enumerate() {
        let (role, key_role) = if hint.ready { (Role::Text, Role::Key) } else { (Role::Dim, Role::Dim) };
        let gap = if nth == 0 { "" } else { GAP };
        let (key, name) = (pen.own(&hint.key), pen.own(&format!(" {}", row(hint.id).name)));
        line.extend([pen.span(gap, role), pen.span(key, key_role), pen.span(name, role)]);
    }
    put(buf, areas.hints, &Line::from(line));
}

/// Between two hints.
const GAP: &str = "  ";

struct Hint {
    id: CommandId,
    key: String,
    ready: bool,
    /// Columns.
    from: u16,
    until: u16,
}

/// As many as there is room for.
fn hint_line(world: &World, model: &Model, width: u16) -> Vec<Hint> {
    let mut out: Vec<Hint> = Vec::new();
    for id in hints(world, model) {
        let ready = match offer::offer(world, model, id) {
            Offer::Ready => true,
            Offer::Off(_) => false,
            Offer::Absent => continue,
        };
        let key = model.settings.keys.first(id);
        let from = out.last().map_or(1, |last| last.until + GAP.width() as u16);
        let until = from + (key.width() + 1 + row(id).name.width()) as u16;
        if until > width {
            break;
        }
        out.push(Hint { id, key, ready, from, until });
    }
    out
}

/// The command whose hint stands at a column of the last line.
pub fn hint_at(world: &World, model: &Model, x: u16) -> Option<CommandId> {
    let hints = hint_line(world, model, model.settings.size.0);
    hints.into_iter().find(|hint| (hint.from..hint.until).contains(&x)).map(|hint| hint.id)
}

/// The most important first.
fn hints(world: &World, model: &Model) -> Vec<CommandId> {
    use CommandId as Id;
    if model.filters.editing.is_some() {
        return Vec::new();
    }
    let mut out = match model.view() {
        View::Main(Main::Fleet) => match offer::subject(world, model) {
            Some(RowKey::Cluster(_)) => vec![Id::Open, Id::RollBack, Id::Denials, Id::Filter, Id::Reconnect],
            Some(RowKey::Namespace(..) | RowKey::Rollout(_)) | None => {
                vec![Id::Open, Id::Apply, Id::RollBack, Id::Mark, Id::Filter]
            }
        },
        View::Main(Main::Denials | Main::Live) => {
            vec![Id::Open, Id::Freeze, Id::Copy, Id::RollBack, Id::Waive, Id::Propose]
        }
        View::Main(Main::Activity) => vec![Id::Open, Id::Copy, Id::CopyCommand, Id::Filter, Id::RollBack],
        View::Main(Main::Sources) => vec![Id::Open, Id::Reconnect, Id::Filter],
        View::Main(Main::Reviews) => {
            vec![Id::Open, Id::Approve, Id::Reject, Id::Revoke, Id::Mark, Id::Sort, Id::Filter]
        }
        View::Review(_) => vec![Id::Approve, Id::Reject, Id::Revoke, Id::Copy, Id::Back],
        View::Main(Main::OpenEnds) => vec![Id::Open, Id::Filter, Id::Copy, Id::Reviews],
        View::Main(Main::Notices) => vec![Id::Reload, Id::Copy, Id::Filter],
        View::Main(Main::Plan) => {
            vec![Id::Focus, Id::Advance, Id::Apply, Id::Open, Id::Hold, Id::RollBack, Id::Exclude]
        }
        View::Namespace(..) => {
            vec![Id::Focus, Id::Apply, Id::RollBack, Id::Predict, Id::Hold, Id::Destinations]
        }
        View::Group(_) => {
            vec![Id::Copy, Id::RollBack, Id::Waive, Id::Propose, Id::Open, Id::Timeline]
        }
        View::Destinations(..) => {
            vec![
                Id::Open,
                Id::AskReview,
                Id::Filter,
                Id::Sort,
                Id::Coverage,
                Id::Copy,
                Id::Focus,
                Id::Refresh,
            ]
        }
        View::Dossier(..) => vec![Id::AskReview, Id::Copy, Id::Destinations, Id::Coverage, Id::Back],
        View::Coverage(..) => vec![Id::Waive, Id::Destinations, Id::Copy, Id::Refresh, Id::Back],
        View::Preflight(_) => vec![Id::Copy, Id::Reconnect, Id::RollBack, Id::Back],
        View::Prediction(_) => vec![Id::Focus, Id::Refresh, Id::Copy, Id::Apply, Id::Open, Id::Back],
        View::Document(_) => vec![Id::Renew, Id::Refresh, Id::Copy, Id::Zoom, Id::OpenEnds, Id::Back],
        View::Timeline(_) => vec![Id::Focus, Id::Copy, Id::RollBack, Id::Open, Id::Back],
    };
    out.extend([Id::Menu, Id::Help, Id::Palette]);
    // Where there is room.
    out.extend(match model.view() {
        View::Main(Main::Denials | Main::Live) => Some(Id::Filter),
        View::Namespace(..) => Some(Id::Zoom),
        View::Group(_) => Some(Id::Destinations),
        _ => None,
    });
    if world.running().any(|order| order.kind.applies()) {
        out.insert(0, Id::Abort);
    }
    out
}

/// A sentence in place of rows that are not there.
pub fn note<'t>(pen: &Pen<'_>, text: impl Into<Shown<'t>>, role: Role, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width).saturating_sub(2);
    let text: Vec<_> = pen.wrap(text, width).iter().map(|line| pen.line(format!(" {line}"), role)).collect();
    lines(buf, area, &text);
}

/// In place of rows that the filter leaves out.
pub fn none_passes(pen: &Pen<'_>) -> String {
    pen.own(&format!("No row passes the filter. {} shows all rows again.", pen.key(CommandId::ClearFilter)))
}

/// What is said about a row: a title and lines.
pub type About = (String, Vec<(Role, String)>);

/// A pane of text under a heading.
pub struct Pane {
    pub title: String,
    pub text: Vec<(Role, String)>,
    pub area: Rect,
    /// The walking keys scroll it.
    pub scrolls: bool,
}

/// Below the last line of what had to be scrolled.
const END: &str = "── end ──";

impl Pane {
    fn rows(&self) -> usize {
        usize::from(self.area.height.saturating_sub(1))
    }

    fn wrapped(&self) -> Vec<(Role, String)> {
        let width = usize::from(self.area.width).saturating_sub(2);
        let lines = |(role, text): &(Role, String)| {
            let role = *role;
            wrap(text, width).into_iter().map(move |line| (role, line))
        };
        let mut all: Vec<_> = self.text.iter().flat_map(lines).collect();
        if self.scrolls && all.len() > self.rows() {
            all.push((Role::Dim, END.to_owned()));
        }
        all
    }

    /// The furthest it can be scrolled.
    pub fn limit(&self) -> usize {
        if self.scrolls { self.wrapped().len().saturating_sub(self.rows()) } else { 0 }
    }

    pub fn draw(&self, pen: &Pen<'_>, from: usize, buf: &mut Buffer) {
        if self.area.height == 0 {
            return;
        }
        let (all, rows) = (self.wrapped(), self.rows());
        let from = if self.scrolls { from.min(all.len().saturating_sub(rows)) } else { 0 };
        let above =
            if from > 0 { pen.own(&format!(" ({} above)", plural(from, "line"))) } else { String::new() };
        let title = format!("{}{above}", self.title);
        put(buf, Rect { height: 1, ..self.area }, &heading(pen, &title, self.area.width));
        // The mark of the end is no line that is missed.
        let more = all.len().saturating_sub(from + rows + usize::from(self.scrolls));
        let seen = all.iter().skip(from).take(rows);
        let mut drawn: Vec<_> = seen.map(|(role, text)| pen.line(format!(" {text}"), *role)).collect();
        if all.len() > from + rows
            && let Some(last) = drawn.last_mut()
        {
            let key = if self.scrolls {
                format!("{} and {} scroll", pen.key(CommandId::Down), pen.key(CommandId::Up))
            } else {
                format!("{}: all", pen.key(CommandId::Zoom))
            };
            *last = pen.line(format!(" … {} ({key})", plural(more + 1, "more line")), Role::Dim);
        }
        let below = Rect { y: self.area.y + 1, height: self.area.height - 1, ..self.area };
        lines(buf, below, &drawn);
    }
}
