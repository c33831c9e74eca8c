//! What is wrong with files and settings: object, fact, next step. The rest goes on meanwhile.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::cockpit::world::World;

use super::{
    super::{
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, highlight, put},
    },
    frame::{Areas, pane},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let width = areas.list.width;
    let object = usize::from(width) / 3;
    let head = Cells::new(pen, width).left(" time", 9, Role::Title).left("object", object, Role::Title);
    put(buf, areas.head, &head.rest("what is wrong", Role::Title).line());
    for (line, (at, notice)) in model.notices.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let Some(notice) = world.notices().get(*notice) else { continue };
        let row = Cells::new(pen, width)
            .left(&format!(" {}", pen.when(Some(notice.at))), 9, Role::Dim)
            .left(notice.trouble.object.as_str(), object, Role::Text)
            .rest(notice.trouble.fact.as_str(), Role::Warn);
        put(buf, area, &row.line());
        if at == model.notices.at() && !model.notices.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.notices.rows().is_empty() {
        let text = if model.filter(Main::Notices).is_empty() {
            " Nothing is wrong with files and settings. Troubles of clusters stand on their rows (1 fleet)."
        } else {
            " No row passes the filter. ctrl-u shows all rows again."
        };
        put(buf, areas.list, &pen.line(text, Role::Dim));
    }
    let text = match model.notices.chosen().and_then(|at| world.notices().get(*at)) {
        None => Vec::new(),
        Some(notice) => vec![
            (Role::Warn, format!("{}: {}", notice.trouble.object, notice.trouble.fact)),
            (Role::Text, format!("next: {}", notice.trouble.next)),
            (Role::Dim, pen.both(notice.at)),
        ],
    };
    pane(pen, "in full", &text, 0, areas.detail, buf);
}
