//! What lies over a page: palette, help and menu; previews under way; confirmations by risk; why
//! not. The way out stands in each of them, and Cancel has the focus.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::Line,
    widgets::{Block, Clear, Widget},
};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    cockpit::{
        commands::CommandId,
        orders::{Order, OrderId},
        world::World,
    },
    domain::fleet::Environment,
};

use super::{
    super::{
        chooser::{Choice, Chooser, Item, Kind},
        dialog::{ApplyDialog, Button, Overlay, RollbackDialog, Scrolled, columns},
        masks::Shown,
        model::Model,
        proposal::ProposalDialog,
        renewal::RenewDialog,
        theme::Role,
        widgets::{Align, Cells, Pen, fit, highlight, lines, plural, put},
    },
    frame::band,
};

/// Lines of a chooser's entry in full, with the line above it.
const FOOT: u16 = 3;

pub fn draw(world: &World, _: &Model, overlay: &Overlay, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    match overlay {
        Overlay::Chooser(chooser) => choosing(chooser, pen, area, buf),
        Overlay::Waiting(ids) => waiting(world, ids, pen, area, buf),
        Overlay::Apply(dialog) => applying(dialog, pen, area, buf),
        Overlay::RollBack(dialog) => rolling_back(dialog, pen, area, buf),
        Overlay::Proposal(dialog) => proposing(dialog, pen, area, buf),
        Overlay::Renew(dialog) => renewing(dialog, pen, area, buf),
        Overlay::Form(form) => super::form::draw(form, pen, area, buf),
        Overlay::Reasons { title, reasons } => why_not(title, reasons, pen, area, buf),
        Overlay::Quit => quitting(world, pen, area, buf),
    }
}

fn centred((width, height): (u16, u16), area: Rect) -> Rect {
    // On a narrow screen nothing of the page looks out at the sides.
    let width = if area.width < 100 { area.width } else { width.min(area.width) };
    let height = height.min(area.height);
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// Which of a chooser's shown entries stands at a place of the screen.
pub fn entry_at(chooser: &Chooser, screen: (u16, u16), (x, y): (u16, u16)) -> Option<usize> {
    let area = Rect { x: 0, y: 0, width: screen.0, height: screen.1 };
    let outer = centred(chooser_size(chooser, area), area);
    let (top, foot) = (outer.y + 2, FOOT.min(outer.height.saturating_sub(4)));
    let below = outer.bottom().saturating_sub(1 + foot);
    if !(top..below).contains(&y) || !(outer.x + 1..outer.right() - 1).contains(&x) {
        return None;
    }
    let height = usize::from(below - top).max(1);
    let at = chooser.at.saturating_sub(height - 1) + usize::from(y - top);
    (at < chooser.shown.len()).then_some(at)
}

/// A menu is as tall as it is long; what is searched keeps its height.
fn chooser_size(chooser: &Chooser, area: Rect) -> (u16, u16) {
    let tall = match chooser.kind {
        Kind::Menu => chooser.items.len() as u16 + 3 + FOOT,
        Kind::Palette | Kind::Help | Kind::Views => 40,
    };
    (area.width.saturating_sub(4).min(100), area.height.saturating_sub(2).min(tall))
}

/// A cleared box in the middle; what is inside its border.
fn window<'t>(
    title: impl Into<Shown<'t>>,
    (width, height): (u16, u16),
    role: Role,
    pen: &Pen<'_>,
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    let outer = centred((width, height), area);
    let width = outer.width;
    Clear.render(outer, buf);
    let title = pen.hide(title);
    let title = fit(&title, title.width().min(usize::from(width).saturating_sub(6)), Align::Left);
    let block = Block::bordered().border_style(pen.style(Role::Rule)).title(Line::from(vec![
        pen.span(" ", Role::Text),
        pen.span(title, role),
        pen.span(" ", Role::Text),
    ]));
    let inner = block.inner(outer);
    block.render(outer, buf);
    buf.set_style(inner, pen.style(Role::Text));
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

fn line_at(area: Rect, from_top: u16) -> Rect {
    Rect { y: (area.y + from_top).min(area.bottom().saturating_sub(1)), height: area.height.min(1), ..area }
}

/// The full-width band of an environment.
fn banner(environment: Environment, text: &str, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let (word, role) = band(environment);
    let width = usize::from(area.width);
    put(buf, area, &pen.line(fit(&pen.hide(format!(" {word}  {text}")), width, Align::Left), role));
}

fn choosing(chooser: &Chooser, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let title = match chooser.kind {
        Kind::Palette => "commands, clusters, namespaces",
        Kind::Help => "keys of this view",
        Kind::Menu => "what can be done with this row",
        Kind::Views => "saved views",
    };
    let inner = window(title, chooser_size(chooser, area), Role::Title, pen, area, buf);
    let head = match chooser.kind {
        Kind::Menu => vec![pen.span("a key, or enter on a row; esc closes", Role::Dim)],
        Kind::Palette | Kind::Help | Kind::Views => vec![
            pen.span("> ", Role::Key),
            pen.span(chooser.input.value().to_owned(), Role::Input),
            pen.span("▌", Role::Key),
            pen.span("  type to search, enter runs it, esc closes", Role::Dim),
        ],
    };
    put(buf, line_at(inner, 0), &Line::from(head));
    // The chosen entry in full stands below the list.
    let foot = FOOT.min(inner.height.saturating_sub(2));
    let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1 + foot), ..inner };
    in_full(chooser, pen, Rect { y: list.bottom(), height: foot, ..inner }, buf);
    let height = usize::from(list.height).max(1);
    let first = chooser.at.saturating_sub(height - 1);
    let name = if matches!(chooser.kind, Kind::Palette | Kind::Views) {
        usize::from(inner.width) * 2 / 5
    } else {
        13
    };
    for (line, at) in chooser.shown.iter().skip(first).take(height).enumerate() {
        let item = &chooser.items[*at];
        let (text, role) = match item.off.first() {
            Some(reason) => (format!("off: {reason}"), Role::Dim),
            None => (said(item, &item.doc, pen), Role::Text),
        };
        let label = if item.off.is_empty() { Role::Text } else { Role::Dim };
        let key = if item.off.is_empty() { Role::Key } else { Role::Dim };
        let row = Cells::new(pen, inner.width).left(said(item, &item.label, pen), name, label);
        let row = row.left(said(item, &item.key, pen), 13, key);
        let row_area = Rect { y: list.y + line as u16, height: 1, ..list };
        put(buf, row_area, &row.rest(text, role).line());
        if first + line == chooser.at {
            highlight(buf, row_area, pen.style(Role::Selected));
        }
    }
    if chooser.shown.is_empty() {
        put(buf, list, &pen.line("nothing matches; backspace widens the search", Role::Warn));
    }
}

/// Of a command all is the program's own.
fn said(item: &Item, text: &str, pen: &Pen<'_>) -> String {
    match item.choice {
        Choice::Command(_) | Choice::Keep => pen.own(text),
        Choice::Cluster(_) | Choice::Namespace(..) | Choice::View(_) => pen.hide(Shown::value(text)),
    }
}

fn in_full(chooser: &Chooser, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let Some(item) = chooser.chosen() else { return };
    let (text, role) = match item.off.as_slice() {
        [] => (said(item, &item.doc, pen), Role::Text),
        reasons => (format!("off: {}", reasons.join("; ")), Role::Warn),
    };
    let mut out = vec![pen.line("─".repeat(area.width.into()), Role::Rule)];
    out.extend(pen.wrap(&text, area.width.into()).into_iter().map(|line| pen.line(line, role)));
    lines(buf, area, &out);
}

fn waiting(world: &World, ids: &[OrderId], pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let orders: Vec<&Order> = ids.iter().filter_map(|id| world.orders().get(*id)).collect();
    let running: Vec<_> = orders.iter().filter(|order| order.is_running()).collect();
    let height = (running.len() as u16 + 4).min(area.height);
    let title = format!("preview: {} of {} answered", orders.len() - running.len(), ids.len());
    let inner = window(&title, (area.width.min(78), height), Role::Title, pen, area, buf);
    let mut text = vec![
        pen.line("Asking the API server what an apply would do (dry run). Nothing is changed.", Role::Text),
    ];
    text.extend(running.iter().map(|order| {
        pen.line(format!("  waits for {}, asked {}", order.target, pen.ago(Some(order.since))), Role::Warn)
    }));
    text.push(pen.line("esc drops the preview; a slow cluster is given up after its deadline", Role::Dim));
    lines(buf, inner, &text);
}

/// The middle of a dialog, and the line that says how much is below it.
fn body(text: &Scrolled, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let (seen, below) = text.seen();
    let mut drawn: Vec<_> = seen.iter().map(|line| pen.line(line.text.clone(), line.role)).collect();
    drawn.push(match below {
        0 if text.at == 0 => pen.line("", Role::Dim),
        0 => pen.line("── end ──", Role::Dim),
        below => pen.line(format!("── {} below: down, pgdn ──", plural(below, "more line")), Role::Dim),
    });
    lines(buf, area, &drawn);
}

/// Band, text and foot of a confirmation.
pub fn confirmation(
    (title, environment, name): (Shown<'_>, Environment, &str),
    text: &Scrolled,
    foot: &[Line<'_>],
    pen: &Pen<'_>,
    area: Rect,
    buf: &mut Buffer,
) {
    let shown = text.seen().0.len() as u16 + 1;
    let height = (shown + foot.len() as u16 + 3).min(area.height);
    let inner = window(title, (columns(area.width) + 4, height), Role::Title, pen, area, buf);
    banner(environment, name, pen, line_at(inner, 0), buf);
    let below = inner.height.saturating_sub(1 + foot.len() as u16);
    let middle = Rect { y: inner.y + 1, height: below, ..inner };
    body(text, pen, middle, buf);
    let bottom = Rect { y: middle.bottom(), height: inner.bottom().saturating_sub(middle.bottom()), ..inner };
    lines(buf, bottom, foot);
}

fn applying(dialog: &ApplyDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let mut foot: Vec<_> = dialog.why.iter().map(|reason| pen.line(reason.clone(), Role::Bad)).collect();
    foot.extend(apply_foot(dialog, pen));
    let what = if dialog.stages { "confirm: shadow" } else { "confirm: apply" };
    let head = (what.into(), dialog.environment, dialog.title.as_str());
    confirmation(head, &dialog.body, &foot, pen, area, buf);
}

fn apply_foot(dialog: &ApplyDialog, pen: &Pen<'_>) -> [Line<'static>; 2] {
    let cancel = if dialog.button == Button::Cancel { Role::Selected } else { Role::Text };
    let button = vec![pen.span("[ Cancel ]", cancel), pen.span("  ", Role::Text)];
    if dialog.is_veiled(pen.masks) && dialog.reasons.is_empty() {
        let hint = pen.line("enter and esc cancel; Y copies the commands, with the true names", Role::Dim);
        let words =
            format!("names are masked: {} shows them, then the name is typed", pen.key(CommandId::Mask));
        return [Line::from([button, vec![pen.span(words, Role::Warn)]].concat()), hint];
    }
    if !dialog.reasons.is_empty() {
        let hint = pen.line("enter or esc closes; Y copies the commands", Role::Dim);
        return [Line::from(button), hint];
    }
    let mut line = button;
    line.extend([
        pen.span(if dialog.stages { "to stage, type " } else { "to apply, type " }, Role::Text),
        pen.span(dialog.word.clone(), Role::Key),
        pen.span(" : ", Role::Text),
        pen.span(dialog.input.value().to_owned(), Role::Input),
        pen.span("▌", Role::Key),
    ]);
    let hint = if dialog.may_confirm() && dialog.button == Button::Word {
        let now = if dialog.stages { "enter stages now" } else { "enter applies now" };
        pen.line(format!("{now}; esc cancels"), Role::Warn)
    } else if dialog.input.value().is_empty() {
        pen.line("enter and esc cancel; Y copies the commands instead", Role::Dim)
    } else {
        pen.line("not the word yet; esc cancels", Role::Dim)
    };
    [Line::from(line), hint]
}

fn rolling_back(dialog: &RollbackDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let mut foot: Vec<_> = dialog.why.iter().map(|reason| pen.line(reason.clone(), Role::Bad)).collect();
    foot.push(Line::from(vec![
        pen.span("[ Cancel ]", Role::Selected),
        pen.span(format!("  {} again", pen.key(CommandId::RollBack)), Role::Key),
        pen.span(" rolls back now; enter, esc: cancel; Y: copy", Role::Text),
    ]));
    let head = ("confirm: roll back".into(), dialog.environment, dialog.title.as_str());
    confirmation(head, &dialog.body, &foot, pen, area, buf);
}

fn proposing(dialog: &ProposalDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let mut foot = vec![pen.span("[ Close ]", Role::Selected)];
    if dialog.yaml.is_some() {
        foot.push(pen.span("  y", Role::Key));
        foot.push(pen.span(" copies the YAML;", Role::Text));
    }
    foot.push(pen.span(" enter, esc close; nothing is applied here", Role::Text));
    let head = ("the narrowest rule".into(), dialog.environment, dialog.title.as_str());
    confirmation(head, &dialog.body, &[Line::from(foot)], pen, area, buf);
}

fn renewing(dialog: &RenewDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let mut cancel = vec![pen.span("[ Cancel ]", Role::Selected)];
    if let Some(reviewer) = &dialog.reviewer {
        cancel.push(pen.span(format!("  {} again", pen.key(CommandId::Renew)), Role::Key));
        cancel.push(pen.span(format!(" writes it, reviewed by {reviewer}"), Role::Text));
    }
    let other = vec![
        pen.span("w", Role::Key),
        pen.span(" writes it without a review; enter, esc: cancel; no cluster is touched", Role::Text),
    ];
    let shown = dialog.body.seen().0.len() as u16 + 1;
    let height = (shown + 4).min(area.height);
    let inner = window(&dialog.title, (columns(area.width) + 4, height), Role::Title, pen, area, buf);
    let middle = Rect { height: inner.height.saturating_sub(2), ..inner };
    body(&dialog.body, pen, middle, buf);
    let foot = Rect { y: middle.bottom(), height: inner.bottom().saturating_sub(middle.bottom()), ..inner };
    lines(buf, foot, &[Line::from(cancel), Line::from(other)]);
}

fn why_not(title: &String, reasons: &[String], pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let width = area.width.saturating_sub(4).min(90);
    let text: Vec<_> = reasons
        .iter()
        .flat_map(|reason| {
            let mut parts = pen.wrap(reason, usize::from(width).saturating_sub(6)).into_iter();
            let first = parts.next().map(|part| format!("- {part}"));
            first.into_iter().chain(parts.map(|part| format!("  {part}"))).collect::<Vec<_>>()
        })
        .collect();
    let inner = window(title, (width, text.len() as u16 + 3), Role::Bad, pen, area, buf);
    let room = usize::from(inner.height.saturating_sub(1));
    let mut drawn: Vec<_> = text.iter().take(room).map(|line| pen.line(line.clone(), Role::Text)).collect();
    drawn.push(pen.line("enter or esc closes, y copies", Role::Dim));
    lines(buf, inner, &drawn);
}

fn quitting(world: &World, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let orders: Vec<_> = world.running().collect();
    let inner = window(
        "leave while orders run?",
        (area.width.min(78), orders.len() as u16 + 5),
        Role::Bad,
        pen,
        area,
        buf,
    );
    let mut text: Vec<_> = orders
        .iter()
        .map(|order| {
            let calls = plural(order.receipts, "call");
            let words = format!("{} {} {}, {calls} answered", order.kind.as_str(), order.id, order.target);
            pen.line(words, Role::Warn)
        })
        .collect();
    text.truncate(usize::from(inner.height.saturating_sub(3)));
    text.push(
        pen.line("Leaving stops them where they are. Nothing stays more closed than it was,", Role::Text),
    );
    text.push(pen.line("but a rollout may be left open or in part.", Role::Text));
    text.push(Line::from(vec![
        pen.span("[ Stay ]", Role::Selected),
        pen.span("  ctrl-c again", Role::Key),
        pen.span(" leaves; enter and esc stay", Role::Text),
    ]));
    lines(buf, inner, &text);
}
