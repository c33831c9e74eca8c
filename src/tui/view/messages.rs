//! Messages over the last lines of a page: alerts first, one line each, then what just happened, each
//! with its age until a key or `esc` takes it away.

use ratatui::{buffer::Buffer, layout::Rect};
use unicode_width::UnicodeWidthStr;

use super::{
    super::{
        cursor,
        filter::Filter,
        model::{Model, Sheet, Toast, Tone},
        settle,
        theme::Role,
        widgets::{Align, Pen, fit, lines, wrap},
    },
    frame::Areas,
};

pub fn draw(model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    const MOST: usize = 5;
    let mut out = Vec::new();
    let width = usize::from(areas.body.width).saturating_sub(2);
    if let (Some(_), Some(sheet)) = (&model.filters.editing, model.view().sheet()) {
        out.push((
            Role::Toast,
            "word, ~word its letters, /pattern/; !… leaves out; key:… one column".to_owned(),
        ));
        out.push((Role::Toast, format!("keys {}", keyed(sheet))));
        let typed = Filter::parse(model.filter(sheet), settle::columns(sheet));
        out.extend(typed.wrong.into_iter().take(1).map(|why| (Role::Toast, why)));
        out.push((Role::Toast, "enter keeps it, esc leaves it as it was, ctrl-u empties it".to_owned()));
    }
    if cursor::of(model).is_some_and(|list| list.is_gone()) {
        out.push((Role::Toast, "the row you were on is gone; move to choose another".to_owned()));
    }
    out.extend(alerts(model, pen, width).map(|line| (Role::Toast, line)));
    let mut said = Vec::new();
    for toast in model.told.toasts.iter().filter(|toast| toast.alert.is_none()) {
        let word = match toast.tone {
            Tone::Good | Tone::Plain => "",
            Tone::Bad => "! ",
        };
        let text = format!("{word}{} ({}; esc)", toast.text, pen.ago(Some(toast.at)));
        said.extend(pen.wrap(&text, width).into_iter().map(|line| (Role::Toast, line)));
    }
    let room = MOST.saturating_sub(out.len());
    out.extend(said.drain(said.len().saturating_sub(room)..));
    let height = (out.len() as u16).min(areas.body.height);
    let area = Rect { y: areas.body.bottom() - height, height, ..areas.body };
    let drawn: Vec<_> = out
        .iter()
        .map(|(role, text)| pen.line(format!(" {} ", fit(&pen.hide(text), width, Align::Left)), *role))
        .collect();
    lines(buf, area, &drawn);
}

/// One line each, a lone one two, whole words, the most severe first; what there is no room for is counted.
fn alerts(model: &Model, pen: &Pen<'_>, width: usize) -> impl Iterator<Item = String> {
    const LINES: usize = 2;
    let mut all: Vec<_> =
        model.told.toasts.iter().filter_map(|toast| Some((toast.alert.as_ref()?.0, toast))).collect();
    all.sort_by_key(|(severity, toast)| (*severity, std::cmp::Reverse(toast.at)));
    if let [(_, toast)] = all.as_slice() {
        return alone(toast, pen, width).into_iter();
    }
    let more = all.len().saturating_sub(LINES);
    let shown: Vec<_> = all.into_iter().take(LINES).map(|(_, toast)| toast).collect();
    let last = shown.len().saturating_sub(1);
    let lines = shown.into_iter().enumerate().map(move |(nth, toast)| {
        let word = if toast.tone == Tone::Bad { "! " } else { "" };
        let rest = if nth == last && more > 0 { format!("; and {more} more") } else { String::new() };
        let after = format!(" ({}{rest}; esc)", pen.ago(Some(toast.at)));
        let room = width.saturating_sub(after.width());
        format!("{}{after}", whole_words(&pen.hide(format!("{word}{}", toast.text)), room))
    });
    lines.collect::<Vec<_>>().into_iter()
}

fn alone(toast: &Toast, pen: &Pen<'_>, width: usize) -> Vec<String> {
    let word = if toast.tone == Tone::Bad { "! " } else { "" };
    let text = pen.hide(format!("{word}{}", toast.text));
    let after = format!(" ({}; esc)", pen.ago(Some(toast.at)));
    if text.width() + after.width() <= width {
        return vec![format!("{text}{after}")];
    }
    let mut parts = wrap(&text, width).into_iter();
    let first = parts.next().unwrap_or_default();
    let rest = parts.collect::<Vec<_>>().join(" ");
    let room = width.saturating_sub(after.width() + 2);
    let second = format!("{}{after}", whole_words(&rest, room));
    vec![first, format!("  {}", second.trim_start())]
}

/// As many whole words as there is room for; that some were left out is shown.
fn whole_words(text: &str, width: usize) -> String {
    match wrap(text, width.saturating_sub(2)).into_iter().next() {
        _ if text.width() <= width => text.to_owned(),
        Some(first) => format!("{first} …"),
        None => String::new(),
    }
}

fn keyed(sheet: Sheet) -> String {
    let keys: Vec<_> = settle::columns(sheet).keys.iter().map(|key| format!("{key}:")).collect();
    keys.join(" ")
}
