//! A page as lines: where we are, its facts, its rows with their numbers, and what is said about the
//! chosen one. The pages draw themselves, on paper wide enough that nothing is cut; the columns'
//! names go to the figures, which say nothing alone.

use ratatui::{buffer::Buffer, layout::Rect};
use unicode_width::UnicodeWidthStr;

use super::{
    super::{
        model::{Model, View},
        theme::Theme,
        view::{
            self,
            frame::{self, Areas},
        },
        widgets::{CELL, Pen},
    },
    rows::{RowId, Rows, rows},
    words::say,
};
use crate::cockpit::world::World;

/// Columns and lines of the paper: for about forty rows.
pub const SIZE: (u16, u16) = (1000, 46);

/// A page that was drawn and is not told yet.
struct Paper {
    crumbs: String,
    facts: Vec<String>,
    heads: Vec<Vec<String>>,
    rows: Vec<(usize, Vec<String>)>,
    panes: Vec<(String, Vec<String>)>,
}

/// The whole page.
pub fn page(world: &World, model: &Model) -> Vec<String> {
    let rows = rows(model);
    let paper = draw(world, model, &rows);
    let mut out = vec![paper.crumbs.clone()];
    out.extend(paper.facts.iter().cloned());
    let shown: Vec<_> = paper.rows.iter().map(|(at, cells)| numbered(&paper, *at, cells, &rows)).collect();
    let (from, until) = (rows.first, rows.first + shown.len());
    out.extend(shown);
    if from > 0 || until < rows.all.len() {
        let all = rows.all.len();
        out.push(format!("rows {} to {until} of {all}; pgdn and pgup print the others", from + 1));
    }
    out.extend(told(&paper));
    out
}

/// The chosen row and what is said about it.
pub fn chosen(world: &World, model: &Model) -> Vec<String> {
    let rows = rows(model);
    let paper = draw(world, model, &rows);
    let here = paper.rows.iter().find(|(at, _)| Some(*at) == rows.at);
    let mut out: Vec<_> = here.map(|(at, cells)| numbered(&paper, *at, cells, &rows)).into_iter().collect();
    out.extend(told(&paper));
    out
}

fn told(paper: &Paper) -> impl Iterator<Item = String> + '_ {
    paper.panes.iter().flat_map(|(title, text)| {
        std::iter::once(format!("{title}:")).chain(text.iter().map(|line| format!("  {line}")))
    })
}

/// `3. up, staging, east, CNI Cilium enforces, ns 7`: figures with their column's name.
fn numbered(paper: &Paper, at: usize, cells: &[String], rows: &Rows) -> String {
    let head = paper.heads.iter().min_by_key(|head| head.len().abs_diff(cells.len()));
    // A direction's row and a wave's have columns of their own, without names.
    let is_own = rows.all.get(at).is_some_and(RowId::has_own_columns);
    let head = head.filter(|head| !is_own && head.len().abs_diff(cells.len()) <= 1);
    let from_end = |nth: usize| cells.len() - nth;
    let words = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()).map(|(nth, cell)| {
        let label = head.and_then(|head| head.len().checked_sub(from_end(nth)).and_then(|at| head.get(at)));
        match label {
            Some(label) if !label.is_empty() && is_bare(cell, label) => format!("{label} {cell}"),
            Some(_) | None => cell.clone(),
        }
    });
    let here = if rows.at == Some(at) { " (chosen)" } else { "" };
    format!("{}. {}{here}", at + 1, words.collect::<Vec<_>>().join(", "))
}

/// Says nothing without its column's name.
fn is_bare(cell: &str, label: &str) -> bool {
    matches!(label, "egress" | "ingress" | "week" | "week seen")
        || cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '?' | '-' | '+'))
        || matches!(cell, "never" | "now")
}

fn draw(world: &World, model: &Model, rows: &Rows) -> Paper {
    let theme = Theme::plain();
    let bare = Pen { masks: model.settings.masks.shown(), ..Pen::new(&theme, world, &model.settings) };
    let pen = Pen { plain: true, ..bare };
    let areas = Areas::of(SIZE, model);
    let mut buf = Buffer::empty(Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 });
    frame::header(world, model, &pen, &areas, &mut buf);
    view::content(world, model, &pen, &areas, &mut buf);
    let panes = view::panes(world, model, &bare, &areas);
    let ascii = model.settings.ascii;
    let mut paper = Paper {
        crumbs: format!("{} {}", pen.clock(world.now()), say(line(&buf, areas.crumbs).trim(), ascii)),
        facts: Vec::new(),
        heads: Vec::new(),
        rows: Vec::new(),
        panes: Vec::new(),
    };
    if let View::Namespace(..) = model.view() {
        // The last cell ends in a mark too, as it does in heads that are drawn.
        let head = ["class", "workload", "", "peer", "count", "/min", "last", ""];
        paper.heads.push(head.map(str::to_owned).to_vec());
    }
    let is_pane = |y: u16| panes.iter().any(|pane| (pane.area.y..pane.area.bottom()).contains(&y));
    let list = first_row(model, &areas);
    for y in areas.body.y..areas.body.bottom() {
        let here = Rect { y, height: 1, ..areas.list };
        let at = rows.first + usize::from(y.saturating_sub(list.y));
        let is_row = (list.y..list.bottom()).contains(&y);
        if is_row && at < rows.all.len() {
            let cells = line(&buf, here);
            paper.rows.push((at, cells.split(CELL).map(|cell| say(cell.trim(), ascii)).collect()));
        } else if (areas.head.y..areas.head.bottom()).contains(&y)
            || (areas.list.y..areas.list.bottom()).contains(&y)
        {
            let text = line(&buf, here);
            if text.contains(CELL) {
                paper.heads.push(text.split(CELL).map(|cell| say(cell.trim(), ascii)).collect());
            } else {
                paper.facts.push(say(&text, ascii));
            }
        } else if !is_pane(y) {
            paper.facts.push(say(&line(&buf, Rect { y, height: 1, ..areas.body }), ascii));
        }
    }
    paper.facts.retain(|fact| !fact.trim().is_empty());
    for fact in &mut paper.facts {
        *fact = fact.trim_start().to_owned();
    }
    for pane in panes {
        let text = pane.text.iter().map(|(_, text)| say(text, ascii)).filter(|text| !text.is_empty());
        paper.panes.push((say(&pen.hide(pane.title), ascii), text.collect()));
    }
    paper
}

/// Where the rows of the list begin: on a namespace's page below their heading.
fn first_row(model: &Model, areas: &Areas) -> Rect {
    let above = u16::from(matches!(model.view(), View::Namespace(..))).min(areas.list.height);
    Rect { y: areas.list.y + above, height: areas.list.height - above, ..areas.list }
}

/// What stands on a line, without the space behind it.
fn line(buf: &Buffer, area: Rect) -> String {
    let (mut out, mut skip) = (String::new(), 0);
    for x in area.x..area.right() {
        if skip == 0 {
            let symbol = buf[(x, area.y)].symbol();
            out.push_str(symbol);
            skip = symbol.width().max(1);
        }
        skip -= 1;
    }
    out.truncate(out.trim_end().len());
    out
}
