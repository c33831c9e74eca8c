//! A form: its band, what will happen, its fields with the one that takes the keys, every reason why it
//! cannot be sent yet, and the two buttons.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        form::{At, Entry, Field, Form, until},
        theme::Role,
        widgets::{Align, Pen, fit},
    },
    overlays::confirmation,
};

/// Columns of a label.
const LABEL: usize = 12;

pub fn draw(form: &Form, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let width = usize::from(super::super::dialog::columns(area.width));
    let mut foot: Vec<_> = form
        .fields
        .iter()
        .enumerate()
        .map(|(at, field)| field_line(field, form.at == At::Field(at), pen, width))
        .collect();
    foot.extend(form.why.iter().map(|reason| pen.line(reason.clone(), Role::Bad)));
    foot.extend(buttons(form, pen));
    let title = format!("confirm: {}", form.title);
    confirmation((pen.own(&title).into(), form.environment, &form.name), &form.body, &foot, pen, area, buf);
}

fn field_line(field: &Field, is_here: bool, pen: &Pen<'_>, width: usize) -> Line<'static> {
    let label = if is_here { Role::Key } else { Role::Dim };
    let mark = if is_here { "› " } else { "  " };
    let mut out = vec![pen.span(fit(&pen.own(&format!("{mark}{}", field.label)), LABEL, Align::Left), label)];
    let room = width.saturating_sub(LABEL + 1);
    match &field.entry {
        Entry::Line(input) | Entry::When(input) => {
            let shown = match &field.entry {
                Entry::When(_) => resolved(field, input.value(), pen),
                _ if input.value().is_empty() => format!("  {}", field.hint),
                _ => String::new(),
            };
            let scroll = if is_here { input.visual_scroll(room.saturating_sub(1)) } else { 0 };
            let text: String = input.value().chars().skip(scroll).collect();
            let text = fit(text.trim_end(), text.trim_end().chars().count().min(room), Align::Left);
            let used = text.chars().count();
            let empty = text.is_empty() && !is_here;
            out.push(pen.span(if empty { "-".to_owned() } else { text }, Role::Input));
            out.extend(is_here.then(|| pen.span("▌", Role::Key)));
            let left = room.saturating_sub(used + 1);
            out.push(pen.span(fit(&shown, left.min(shown.chars().count()), Align::Left), Role::Dim));
        }
        Entry::One { words, at } => {
            let word = words.get(*at).map_or("", String::as_str);
            let count = format!("  {} of {}: left, right", at + 1, words.len());
            let word = pen.hide(format!("< {word} >"));
            let room = room.saturating_sub(if is_here { count.len() } else { 0 });
            out.push(pen.span(fit(&word, word.width().min(room), Align::Left), Role::Input));
            out.extend(is_here.then(|| pen.span(count, Role::Dim)));
        }
        Entry::Several { words, on, at } => {
            for (nth, word) in words.iter().enumerate() {
                let mark = if on.contains(&nth) { "x" } else { " " };
                let role = if is_here && nth == *at { Role::Selected } else { Role::Input };
                out.push(pen.span(format!("[{mark}] {word}"), role));
                out.push(pen.span("  ", Role::Text));
            }
            out.extend(is_here.then(|| pen.span("space, left, right", Role::Dim)));
        }
    }
    Line::from(out)
}

/// What a moment that was typed means, by the operator's clock.
fn resolved(field: &Field, raw: &str, pen: &Pen<'_>) -> String {
    match until(raw, pen.now) {
        Ok(Some(at)) => {
            format!("  {} {}", at.with_timezone(&pen.zone).format("%a %Y-%m-%d %H:%M"), pen.zone)
        }
        Ok(None) | Err(_) => format!("  {}", field.hint),
    }
}

fn buttons(form: &Form, pen: &Pen<'_>) -> [Line<'static>; 2] {
    let role = |at| if form.at == at { Role::Selected } else { Role::Text };
    let send = match (form.may_send(), form.at) {
        (false, At::Field(_) | At::Cancel) => Role::Dim,
        _ => role(At::Send),
    };
    let line = vec![
        pen.span("[ Cancel ]", role(At::Cancel)),
        pen.span("  ", Role::Text),
        pen.span(pen.own(&format!("[ {} ]", form.verb)), send),
    ];
    let hint = match form.at {
        At::Cancel if form.fields.is_empty() => {
            pen.line("enter and esc cancel; tab goes to the button", Role::Dim)
        }
        At::Cancel => pen.line("enter and esc cancel; tab: the first field; Y: copy as a command", Role::Dim),
        At::Field(_) => pen.line("tab and enter: next; shift-tab: back; esc cancels", Role::Dim),
        At::Send if form.may_send() => {
            pen.line("enter sends now; esc cancels; Y: copy as a command", Role::Warn)
        }
        At::Send => pen.line("off: see above; esc cancels", Role::Dim),
    };
    [Line::from(line), hint]
}
