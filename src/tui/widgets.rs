//! Small pieces every page is made of: cells that never overflow, ages, rates, sparklines, wrapped
//! text. All take their text as given (already safe, see `domain::names::Text`) and cut by the
//! width a terminal gives it.

use chrono::FixedOffset;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    cockpit::{commands::CommandId, dossier::Heat, world::World},
    domain::time::{Timestamp, age, span},
};

use super::{
    bindings::Bindings,
    masks::{Masks, Shown, own},
    model::Settings,
    theme::{Role, Theme},
};

pub use crate::domain::names::plural;

/// What every page draws with.
#[derive(Clone, Copy)]
pub struct Pen<'a> {
    pub theme: &'a Theme,
    pub now: Timestamp,
    pub zone: FixedOffset,
    /// Clock times instead of ages.
    pub clock: bool,
    pub keys: &'a Bindings,
    /// What stands for names and addresses; `None`: themselves.
    pub masks: Option<&'a Masks>,
    /// Cells are neither padded nor cut: they stand one behind the other, with [`CELL`] between them.
    pub plain: bool,
}

/// Between two cells of a plain row. Of private use; where a cluster says it, a space stands for it.
pub const CELL: char = '\u{e000}';

impl<'a> Pen<'a> {
    /// Nothing masked.
    pub fn new(theme: &'a Theme, world: &World, settings: &'a Settings) -> Self {
        let (now, zone) = (world.now(), world.zone());
        Self { theme, now, zone, clock: settings.clock, keys: &settings.keys, masks: None, plain: false }
    }

    /// The key that hints show for a command.
    pub fn key(&self, id: CommandId) -> String {
        self.keys.first(id)
    }

    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// The text as it may be shown. What is cut or broken into lines is hidden first.
    pub fn hide<'t>(&self, text: impl Into<Shown<'t>>) -> String {
        match (text.into(), self.masks) {
            (Shown::Own(text), _) => self.own(text),
            (Shown::Value(text), Some(masks)) => masks.hide(&text),
            (Shown::Value(text), None) => text.into_owned(),
        }
    }

    /// Words of the program that were put together: no mask hides them.
    pub fn own(&self, text: &str) -> String {
        if self.masks.is_some() { own(text) } else { text.to_owned() }
    }

    /// As [`wrap`], of what may be shown.
    pub fn wrap<'t>(&self, text: impl Into<Shown<'t>>, width: usize) -> Vec<String> {
        wrap(&self.hide(text), width)
    }

    pub fn span<'t>(&self, text: impl Into<Shown<'t>>, role: Role) -> Span<'static> {
        Span::styled(self.hide(text), self.style(role))
    }

    /// A whole line in one role.
    pub fn line<'t>(&self, text: impl Into<Shown<'t>>, role: Role) -> Line<'static> {
        Line::from(self.span(text, role))
    }

    /// `label value` with the label dimmed.
    pub fn pair<'t>(
        &self,
        label: &'static str,
        value: impl Into<Shown<'t>>,
        role: Role,
    ) -> Vec<Span<'static>> {
        let label = self.own(&format!("{label} "));
        vec![self.span(label, Role::Dim), self.span(value, role), self.span("  ", Role::Text)]
    }

    /// Age or clock time, as the operator chose. `never` is not an age.
    pub fn when(&self, then: Option<Timestamp>) -> String {
        match then {
            None => "never".to_owned(),
            Some(then) if self.clock => self.clock(then),
            Some(then) => span(age(then, self.now)),
        }
    }

    /// In a sentence: `12s ago`, or `at 14:02:05`.
    pub fn ago(&self, then: Option<Timestamp>) -> String {
        match then {
            None => "never".to_owned(),
            Some(then) if self.clock => format!("at {}", self.clock(then)),
            Some(then) => format!("{} ago", span(age(then, self.now))),
        }
    }

    /// Local time; the day too where it is not today's.
    pub fn clock(&self, then: Timestamp) -> String {
        let (then, now) = (then.with_timezone(&self.zone), self.now.with_timezone(&self.zone));
        let format = if then.date_naive() == now.date_naive() { "%H:%M:%S" } else { "%m-%d %H:%M" };
        then.format(format).to_string()
    }

    /// As [`Pen::clock`], without seconds.
    pub fn minute(&self, then: Timestamp) -> String {
        let full = self.clock(then);
        match full.rsplit_once(':') {
            Some((minute, _)) if full.matches(':').count() == 2 => minute.to_owned(),
            Some(_) | None => full,
        }
    }

    /// Both forms of a moment to come or gone.
    pub fn both_ways(&self, at: Timestamp) -> String {
        if at <= self.now {
            return self.both(at);
        }
        let local = at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M");
        format!("{local} {} (in {})", self.zone, span(at - self.now))
    }

    /// Both forms, for details.
    pub fn both(&self, then: Timestamp) -> String {
        format!(
            "{} {} ({} ago)",
            then.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S"),
            self.zone,
            span(age(then, self.now))
        )
    }
}

/// A rate a minute; unknown is not zero.
pub fn rate(per_minute: Option<f64>) -> String {
    match per_minute {
        None => "?".to_owned(),
        Some(rate) if rate < 0.05 => "0".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) if rate < 9_999.5 => format!("{rate:.0}"),
        Some(rate) => format!("{:.0}k", rate / 1000.0),
    }
}

/// A count, shortened where it is long.
pub fn count(n: u64) -> String {
    match n {
        0..100_000 => n.to_string(),
        100_000..10_000_000 => format!("{}k", n / 1000),
        _ => format!("{}M", n / 1_000_000),
    }
}

/// A number that may be unknown.
pub fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

/// The counts themselves, newest first, as far as they are not zero.
pub fn by_minute(counts: &[u32]) -> String {
    let parts: Vec<_> = counts
        .iter()
        .rev()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .take(8)
        .map(|(ago, count)| if ago == 0 { format!("now {count}") } else { format!("-{ago}m {count}") })
        .collect();
    if parts.is_empty() { "none in this time".to_owned() } else { parts.join(", ") }
}

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest counts as bars, one a minute. The scale is the same everywhere (each step doubles:
/// 1, 3, 7, 15, 31, 63, 127, more), so that two rows can be compared. A dot is a counted zero.
pub fn sparkline(minutes: Option<&[u32]>, width: usize) -> String {
    let Some(minutes) = minutes else { return "?".to_owned() };
    minutes[minutes.len().saturating_sub(width)..]
        .iter()
        .map(|count| match count.saturating_add(1).next_power_of_two().trailing_zeros() {
            0 => '·',
            level => LEVELS[(level as usize - 1).min(LEVELS.len() - 1)],
        })
        .collect()
}

/// Parts of a window as cells: how much of each had traffic. A dot was watched and quiet, `?` was
/// not wholly watched and shows nothing.
pub fn strip(parts: &[Heat]) -> String {
    let cell = |part: &Heat| match part {
        Heat::Unknown => '?',
        Heat::Quiet => '·',
        Heat::Busy { hours, of } => LEVELS[(hours * LEVELS.len()).div_ceil((*of).max(1)).clamp(1, 8) - 1],
    };
    parts.iter().map(cell).collect()
}

/// Which side of its cell a text keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Exactly `width` columns: padded, or cut with an ellipsis, never in the middle of a wide
/// character. Character heaps (many marks on one letter) become U+FFFD.
pub fn fit(text: &str, width: usize, align: Align) -> String {
    if width == 0 {
        return String::new();
    }
    let (mut out, used) =
        if text.is_ascii() && text.len() <= width { (text.to_owned(), text.len()) } else { cut(text, width) };
    let pad = width - used;
    match align {
        Align::Left => out.extend(std::iter::repeat_n(' ', pad)),
        Align::Right => out.insert_str(0, &" ".repeat(pad)),
    }
    out
}

fn cut(text: &str, width: usize) -> (String, usize) {
    let (mut out, mut used) = (String::new(), 0);
    // Where an ellipsis still fits, in case the rest does not.
    let (mut short, mut short_used) = (0, 0);
    for part in graphemes(text) {
        let wide = part.width();
        if used + wide > width {
            out.truncate(short);
            out.push('…');
            return (out, short_used + 1);
        }
        out.push_str(&part);
        used += wide;
        if used < width {
            (short, short_used) = (out.len(), used);
        }
    }
    (out, used)
}

/// What a reader sees as one character each, with heaps of marks taken away.
fn graphemes(text: &str) -> impl Iterator<Item = String> {
    let parts: Vec<String> = Span::raw(text)
        .styled_graphemes(Style::new())
        .map(|part| match part.symbol {
            symbol if symbol.chars().count() > 4 => "\u{fffd}".to_owned(),
            symbol => symbol.to_owned(),
        })
        .collect();
    parts.into_iter()
}

/// Lines of at most `width` columns, broken between words where there is room to.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    if text.is_ascii() && text.len() <= width {
        return vec![text.to_owned()];
    }
    for (nth, word) in text.split(' ').enumerate() {
        let wide = word.width();
        let mut space = nth > 0;
        if used > 0 && used + 1 + wide > width {
            lines.push(std::mem::take(&mut line));
            (used, space) = (0, false);
        }
        // Leading spaces are kept: they are the shape of YAML.
        if space {
            line.push(' ');
            used += 1;
        }
        for part in graphemes(word) {
            if used + part.width() > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            used += part.width();
            line.push_str(&part);
        }
    }
    lines.push(line);
    lines
}

/// A row of cells, one column apart.
pub struct Cells<'p> {
    pen: &'p Pen<'p>,
    spans: Vec<Span<'static>>,
    left: usize,
}

impl<'p> Cells<'p> {
    pub fn new(pen: &'p Pen<'p>, width: u16) -> Self {
        Self { pen, spans: Vec::new(), left: usize::from(width) }
    }

    pub fn left<'t>(self, text: impl Into<Shown<'t>>, width: usize, role: Role) -> Self {
        self.push(text, width, Align::Left, role, 1)
    }

    pub fn right<'t>(self, text: impl Into<Shown<'t>>, width: usize, role: Role) -> Self {
        self.push(text, width, Align::Right, role, 1)
    }

    /// Without the column between it and the next one.
    pub fn tight<'t>(self, text: impl Into<Shown<'t>>, width: usize, role: Role) -> Self {
        self.push(text, width, Align::Left, role, 0)
    }

    /// All that is left of the row.
    pub fn rest<'t>(self, text: impl Into<Shown<'t>>, role: Role) -> Self {
        let width = self.left;
        self.push(text, width, Align::Left, role, 0)
    }

    pub fn line(self) -> Line<'static> {
        Line::from(self.spans)
    }

    fn push<'t>(
        mut self,
        text: impl Into<Shown<'t>>,
        width: usize,
        align: Align,
        role: Role,
        gap: usize,
    ) -> Self {
        if self.pen.plain {
            self.spans.push(self.pen.span(format!("{}{CELL}", self.pen.hide(text).replace(CELL, " ")), role));
            return self;
        }
        let width = width.min(self.left);
        if width == 0 {
            return self;
        }
        self.spans.push(self.pen.span(fit(&self.pen.hide(text), width, align), role));
        self.left -= width;
        let gap = gap.min(self.left);
        self.spans.push(Span::raw(" ".repeat(gap)));
        self.left -= gap;
        self
    }
}

/// Draws lines from the top; what does not fit ends in an ellipsis.
pub fn lines(buf: &mut Buffer, area: Rect, lines: &[Line<'_>]) {
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        put(buf, Rect { y, height: 1, ..area }, line);
    }
}

/// Draws one line; one that is too long ends in an ellipsis.
pub fn put(buf: &mut Buffer, area: Rect, line: &Line<'_>) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    buf.set_line(area.x, area.y, line, area.width);
    if line.width() > usize::from(area.width) {
        let style = buf[(area.right() - 1, area.y)].style();
        buf.set_string(area.right() - 1, area.y, "…", style);
    }
}

/// Lays a style over a row without hiding the bands that are in it.
pub fn highlight(buf: &mut Buffer, area: Rect, style: Style) {
    for x in area.x..area.right() {
        let cell = &mut buf[(x, area.y)];
        if cell.bg == Color::Reset && !cell.modifier.contains(Modifier::REVERSED) {
            cell.set_style(style);
        }
    }
}

/// A heading with a line to the end of the row.
pub fn heading<'t>(pen: &Pen<'_>, title: impl Into<Shown<'t>>, width: u16) -> Line<'static> {
    let title = pen.hide(title);
    let title = fit(&title, title.width().min(usize::from(width).saturating_sub(4)), Align::Left);
    let rest = usize::from(width).saturating_sub(title.width() + 4);
    Line::from(vec![
        pen.span("── ", Role::Rule),
        pen.span(title, Role::Title),
        pen.span(format!(" {}", "─".repeat(rest)), Role::Rule),
    ])
}

/// Every ornament we draw, with what stands for it where only ASCII can be shown.
pub const ASCII: &[(&str, &str)] = &[
    ("·", "."),
    ("▁", "_"),
    ("▂", ":"),
    ("▃", "-"),
    ("▄", "="),
    ("▅", "+"),
    ("▆", "*"),
    ("▇", "%"),
    ("█", "#"),
    ("▒", "/"),
    ("…", "~"),
    ("─", "-"),
    ("│", "|"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("●", "*"),
    ("◌", "o"),
    ("▲", "!"),
    ("✖", "x"),
    ("▸", ">"),
    ("▾", "v"),
    ("›", ">"),
    ("→", ">"),
    ("←", "<"),
    ("▌", "|"),
    ("✓", "+"),
    ("\u{fffd}", "?"),
];

/// A heap of marks on one letter stays in its cell in the buffer, but not on every terminal.
pub fn flatten(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if cell.symbol().len() > 4 && cell.symbol().chars().count() > 4 {
            cell.set_symbol("\u{fffd}");
        }
    }
}

/// Replaces our ornaments where only ASCII can be shown; of what others say, what is not ASCII is `?`.
pub fn to_ascii(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if !cell.symbol().is_ascii() {
            let plain = ASCII.iter().find(|(ornament, _)| cell.symbol() == *ornament);
            cell.set_symbol(plain.map_or("?", |(_, plain)| plain));
        }
    }
}

/// A character of [`sparkline`] or [`strip`].
pub fn is_bar(c: char) -> bool {
    c == '·' || LEVELS.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_exactly_as_wide_as_it_was_given() {
        for (text, width, want) in [
            ("shop", 6, "shop  "),
            ("payments", 6, "payme…"),
            ("payments", 8, "payments"),
            ("日本語", 4, "日… "),
            ("日本語", 5, "日本…"),
            ("日本語", 6, "日本語"),
            ("", 3, "   "),
            ("x", 0, ""),
        ] {
            let have = fit(text, width, Align::Left);
            assert_eq!(have, want, "{text} in {width}");
            assert_eq!(have.width(), width);
        }
        assert_eq!(fit("12", 4, Align::Right), "  12");
    }

    #[test]
    fn heaps_of_marks_do_not_climb_out_of_their_cell() {
        let heap = format!("a{}b", "\u{301}".repeat(40));
        assert_eq!(fit(&heap, 4, Align::Left), "\u{fffd}b  ");
    }

    #[test]
    fn a_sparkline_tells_zero_from_unknown_and_rows_can_be_compared() {
        assert_eq!(sparkline(None, 5), "?");
        assert_eq!(sparkline(Some(&[0, 0, 0]), 5), "···");
        assert_eq!(sparkline(Some(&[9, 0, 1, 2, 3, 7, 8, 200, 5_000]), 8), "·▁▂▂▃▄██");
    }

    #[test]
    fn a_strip_tells_quiet_from_not_watched_and_little_from_much() {
        let busy = |hours| Heat::Busy { hours, of: 24 };
        let parts = [Heat::Unknown, Heat::Quiet, busy(1), busy(12), busy(23), busy(24)];
        assert_eq!(strip(&parts), "?·▁▄██");
    }

    #[test]
    fn rates_are_short_and_unknown_is_not_zero() {
        for (rate_, want) in
            [(None, "?"), (Some(0.0), "0"), (Some(0.4), "0.4"), (Some(12.3), "12"), (Some(50_000.0), "50k")]
        {
            assert_eq!(rate(rate_), want);
        }
    }

    #[test]
    fn text_breaks_between_words_and_long_words_break_anyway() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghijkl mn", 8), ["abcdefgh", "ijkl mn"]);
        assert_eq!(wrap("    - port: 443 and more", 14), ["    - port:", "443 and more"]);
    }
}
