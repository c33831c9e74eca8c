//! Denied flows as they come, the newest first. The cursor follows the newest until it moves.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::cockpit::world::World;

use super::{
    super::{
        copy,
        masks::Shown,
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, highlight, put},
    },
    denials::{arrow, empty, sources_line, title},
    detail,
    frame::{About, Areas},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    sources_line(world, pen, areas.head, buf);
    let width = areas.list.width;
    let wide = width >= 110;
    let cluster = if wide { 20 } else { 11 };
    let class = if wide { 9 } else { 0 };
    let left = usize::from(width).saturating_sub(10 + cluster + 1 + 2 + class);
    let pod = left * 2 / 5;
    let peer = left - pod - 1;
    if areas.head.height > 1 {
        let mode = if model.live.is_following() { "newest first" } else { "g: newest" };
        let head = Cells::new(pen, width)
            .left(" time", 9, Role::Title)
            .left("cluster", cluster, Role::Title)
            .left("ns/pod", pod, Role::Title)
            .left("", 1, Role::Title)
            .left(format!("peer, address ({mode})"), peer, Role::Title)
            .rest(if wide { "class" } else { "" }, Role::Title);
        put(buf, Rect { y: areas.head.y + 1, height: 1, ..areas.head }, &head.line());
    }
    for (line, (at, number)) in model.live.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let found = model.attempt(world, *number).and_then(|d| Some((d, model.group(world, d.group)?)));
        let Some((denial, group)) = found else { continue };
        let who = denial.pod.as_ref().map_or_else(|| copy::workload(&group.key), ToString::to_string);
        let address = denial.address.map_or_else(String::new, |address| format!(" {address}"));
        let row = Cells::new(pen, width)
            .left(format!(" {}", pen.when(Some(denial.at))), 9, Role::Dim)
            .left(Shown::value(group.key.cluster.as_str()), cluster, Role::Text)
            .left(format!("{}/{who}", group.key.ns), pod, detail::class_role(group))
            .left(arrow(group.key.direction), 1, Role::Dim)
            .left(format!("{}{address}", copy::peer(&group.key)), peer, Role::Text)
            .rest(if wide { group.class.word() } else { "" }, detail::class_role(group));
        put(buf, area, &row.line());
        if at == model.live.at() && !model.live.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.live.rows().is_empty() {
        empty(world, model, Main::Live, pen, areas, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    let group = model.live.chosen().and_then(|n| model.group(world, model.attempt(world, *n)?.group))?;
    Some((title(world, group), detail::group_pane(world, model, pen, group)))
}
