//! What lies over a page: palette, help and menu; previews under way; confirmations by risk; why
//! not. The way out stands in each of them, and Cancel has the focus.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::Line,
    widgets::{Block, Clear, Widget},
};

use crate::{
    cockpit::{
        orders::{Order, OrderId},
        world::World,
    },
    domain::fleet::Environment,
};

use super::{
    super::{
        chooser::{Chooser, Kind},
        dialog::{ApplyDialog, BodyLine, Button, Overlay, RollbackDialog},
        model::Model,
        theme::Role,
        widgets::{Align, Cells, Pen, fit, highlight, lines, put, wrap},
    },
    frame::band,
};

pub fn draw(world: &World, _: &Model, overlay: &Overlay, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    match overlay {
        Overlay::Chooser(chooser) => choosing(chooser, pen, area, buf),
        Overlay::Waiting(ids) => waiting(world, ids, pen, area, buf),
        Overlay::Apply(dialog) => applying(dialog, pen, area, buf),
        Overlay::RollBack(dialog) => rolling_back(dialog, pen, area, buf),
        Overlay::Reasons { title, reasons } => why_not(title, reasons, pen, area, buf),
        Overlay::Quit => quitting(world, pen, area, buf),
    }
}

/// A cleared box in the middle; what is inside its border.
fn window(
    title: &str,
    (width, height): (u16, u16),
    role: Role,
    pen: &Pen<'_>,
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let outer =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(outer, buf);
    let title = fit(title, title.chars().count().min(usize::from(width).saturating_sub(6)), Align::Left);
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
    put(buf, area, &pen.line(fit(&format!(" {word}  {text}"), width, Align::Left), role));
}

fn choosing(chooser: &Chooser, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let title = match chooser.kind {
        Kind::Palette => "commands, clusters, namespaces",
        Kind::Help => "keys of this view",
        Kind::Menu => "what can be done with this row",
    };
    let size = (area.width.saturating_sub(4).min(100), area.height.saturating_sub(2).min(40));
    let inner = window(title, size, Role::Title, pen, area, buf);
    let head = match chooser.kind {
        Kind::Menu => vec![pen.span("a key, or enter on a row; esc closes", Role::Dim)],
        Kind::Palette | Kind::Help => vec![
            pen.span("> ", Role::Key),
            pen.span(chooser.input.value().to_owned(), Role::Input),
            pen.span("▌", Role::Key),
            pen.span("  type to search, enter runs it, esc closes", Role::Dim),
        ],
    };
    put(buf, line_at(inner, 0), &Line::from(head));
    let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let height = usize::from(list.height).max(1);
    let first = chooser.at.saturating_sub(height - 1);
    let name = if chooser.kind == Kind::Palette { usize::from(inner.width) / 2 } else { 16 };
    for (line, at) in chooser.shown.iter().skip(first).take(height).enumerate() {
        let item = &chooser.items[*at];
        let (text, role) = match item.off.first() {
            Some(reason) => (format!("off: {reason}"), Role::Dim),
            None => (item.doc.clone(), Role::Text),
        };
        let label = if item.off.is_empty() { Role::Text } else { Role::Dim };
        let key = if item.off.is_empty() { Role::Key } else { Role::Dim };
        let row = Cells::new(pen, inner.width).left(&item.label, name, label).left(&item.key, 13, key);
        let row_area = Rect { y: list.y + line as u16, height: 1, ..list };
        put(buf, row_area, &row.rest(&text, role).line());
        if first + line == chooser.at {
            highlight(buf, row_area, pen.style(Role::Selected));
        }
    }
    if chooser.shown.is_empty() {
        put(buf, list, &pen.line("nothing matches; backspace widens the search", Role::Warn));
    }
}

fn waiting(world: &World, ids: &[OrderId], pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let orders: Vec<&Order> = ids.iter().filter_map(|id| world.orders().get(*id)).collect();
    let running: Vec<_> = orders.iter().filter(|order| order.is_running()).collect();
    let height = (running.len() as u16 + 5).min(area.height);
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

/// The middle of a dialog, scrolled; says how much is below.
fn body(text: &[BodyLine], scroll: usize, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let all: Vec<_> = text
        .iter()
        .flat_map(|line| wrap(&line.text, width).into_iter().map(|part| (line.role, part)))
        .collect();
    let height = usize::from(area.height);
    let from = scroll.min(all.len().saturating_sub(height));
    let drawn: Vec<_> =
        all.iter().skip(from).take(height).map(|(role, part)| pen.line(part.clone(), *role)).collect();
    lines(buf, area, &drawn);
}

fn more(text: &[BodyLine], scroll: usize, area: Rect) -> String {
    let width = usize::from(area.width);
    let all: usize = text.iter().map(|line| wrap(&line.text, width).len()).sum();
    let height = usize::from(area.height);
    let from = scroll.min(all.saturating_sub(height));
    match all.saturating_sub(from + height) {
        0 if from == 0 => String::new(),
        0 => "── end ──".to_owned(),
        below => format!("── {below} more lines: down, pgdn ──"),
    }
}

fn applying(dialog: &ApplyDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let size = (area.width.saturating_sub(2).min(120), area.height.saturating_sub(1));
    let inner = window("confirm: apply", size, Role::Title, pen, area, buf);
    banner(dialog.environment, &dialog.title, pen, line_at(inner, 0), buf);
    let reasons: Vec<_> = dialog
        .reasons
        .iter()
        .flat_map(|reason| wrap(&format!("cannot be applied: {reason}"), usize::from(inner.width)))
        .collect();
    let foot = 3 + reasons.len().min(6) as u16;
    let middle = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1 + foot), ..inner };
    body(&dialog.body, dialog.scroll, pen, middle, buf);
    let mut text = vec![pen.line(more(&dialog.body, dialog.scroll, middle), Role::Dim)];
    text.extend(reasons.iter().take(6).map(|reason| pen.line(reason.clone(), Role::Bad)));
    text.extend(apply_foot(dialog, pen));
    let bottom = Rect { y: middle.bottom(), height: inner.bottom().saturating_sub(middle.bottom()), ..inner };
    lines(buf, bottom, &text);
}

fn apply_foot(dialog: &ApplyDialog, pen: &Pen<'_>) -> [Line<'static>; 2] {
    let cancel = if dialog.button == Button::Cancel { Role::Selected } else { Role::Text };
    let button = vec![pen.span("[ Cancel ]", cancel), pen.span("  ", Role::Text)];
    if !dialog.reasons.is_empty() {
        let hint = pen.line("enter or esc closes; Y copies the commands", Role::Dim);
        return [Line::from(button), hint];
    }
    let mut line = button;
    line.extend([
        pen.span("to apply, type ", Role::Text),
        pen.span(dialog.word.clone(), Role::Key),
        pen.span(" : ", Role::Text),
        pen.span(dialog.input.value().to_owned(), Role::Input),
        pen.span("▌", Role::Key),
    ]);
    let hint = if dialog.may_confirm() && dialog.button == Button::Word {
        pen.line("enter applies now; esc cancels", Role::Warn)
    } else if dialog.input.value().is_empty() {
        pen.line("enter and esc cancel; Y copies the commands instead", Role::Dim)
    } else {
        pen.line("not the word yet; esc cancels", Role::Dim)
    };
    [Line::from(line), hint]
}

fn rolling_back(dialog: &RollbackDialog, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let wanted = dialog.body.len() as u16 * 2 + 6 + dialog.reasons.len() as u16 * 2;
    let size = (area.width.saturating_sub(2).min(120), wanted.min(area.height.saturating_sub(2)));
    let inner = window("confirm: roll back", size, Role::Title, pen, area, buf);
    banner(dialog.environment, &dialog.title, pen, line_at(inner, 0), buf);
    let reasons: Vec<_> = dialog
        .reasons
        .iter()
        .flat_map(|reason| wrap(&format!("will be refused: {reason}"), usize::from(inner.width)))
        .collect();
    let foot = 2 + reasons.len().min(5) as u16;
    let middle = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1 + foot), ..inner };
    body(&dialog.body, dialog.scroll, pen, middle, buf);
    let mut text = vec![pen.line(more(&dialog.body, dialog.scroll, middle), Role::Dim)];
    text.extend(reasons.iter().take(5).map(|reason| pen.line(reason.clone(), Role::Bad)));
    text.push(Line::from(vec![
        pen.span("[ Cancel ]", Role::Selected),
        pen.span("  ctrl-r again", Role::Key),
        pen.span(" rolls back now; enter and esc cancel; Y copies the commands", Role::Text),
    ]));
    let bottom = Rect { y: middle.bottom(), height: inner.bottom().saturating_sub(middle.bottom()), ..inner };
    lines(buf, bottom, &text);
}

fn why_not(title: &str, reasons: &[String], pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let width = area.width.saturating_sub(4).min(90);
    let text: Vec<_> = reasons
        .iter()
        .flat_map(|reason| {
            let mut parts = wrap(reason, usize::from(width).saturating_sub(6)).into_iter();
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
        (area.width.min(78), orders.len() as u16 + 6),
        Role::Bad,
        pen,
        area,
        buf,
    );
    let mut text: Vec<_> = orders
        .iter()
        .map(|order| {
            let words = format!(
                "{} {} {}, {} calls answered",
                order.kind.as_str(),
                order.id,
                order.target,
                order.receipts
            );
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
