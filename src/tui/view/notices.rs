//! What is wrong with files and settings: object, fact, next step. The rest goes on meanwhile.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    super::{
        masks::Shown,
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, highlight, put},
    },
    frame::{About, Areas, note},
};

pub fn draw(model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let width = areas.list.width;
    let object = usize::from(width) / 3;
    let head = Cells::new(pen, width).left(" time", 9, Role::Title).left("object", object, Role::Title);
    put(buf, areas.head, &head.rest("what is wrong", Role::Title).line());
    for (line, (at, notice)) in model.notices.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let Some((when, trouble)) = model.notices.all.get(*notice) else { continue };
        let row = Cells::new(pen, width)
            .left(
                format!(" {}", when.map_or_else(|| "now".to_owned(), |at| pen.when(Some(at)))),
                9,
                Role::Dim,
            )
            .left(Shown::value(trouble.object.as_str()), object, Role::Text)
            .rest(Shown::value(trouble.fact.as_str()), Role::Warn);
        put(buf, area, &row.line());
        if at == model.notices.list.at() && !model.notices.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.notices.list.rows().is_empty() {
        let text: Shown<'_> = if model.filter(Main::Notices).is_empty() {
            "Nothing is wrong with files and settings. Troubles of clusters stand on their rows (fleet)."
                .into()
        } else {
            super::frame::none_passes(pen).into()
        };
        note(pen, text, Role::Dim, areas.list, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(model: &Model, pen: &Pen<'_>) -> Option<About> {
    let (when, trouble) = model.notices.all.get(*model.notices.list.chosen()?)?;
    let text = vec![
        (Role::Warn, format!("{}: {}", trouble.object, trouble.fact)),
        (Role::Text, format!("next: {}", trouble.next)),
        (Role::Dim, when.map_or_else(|| "it is so now".to_owned(), |at| pen.both(at))),
    ];
    Some(("in full".to_owned(), text))
}
