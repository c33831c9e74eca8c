//! Denied flows as they come, the newest first. The cursor follows the newest until it moves.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::cockpit::world::World;

use super::{
    super::{
        copy,
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, highlight, put},
    },
    denials::{arrow, empty, sources_line},
    detail,
    frame::{Areas, pane},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    sources_line(world, pen, areas.head, buf);
    let width = areas.list.width;
    let left = usize::from(width).saturating_sub(10 + 13 + 2 + 8);
    let (pod, peer) = (left / 2, left - left / 2);
    if areas.head.height > 1 {
        let mode = if model.live.is_following() { "newest first, following" } else { "g follows the newest" };
        let head = Cells::new(pen, width)
            .left(" time", 9, Role::Title)
            .left("cluster", 12, Role::Title)
            .left("ns/pod", pod, Role::Title)
            .left("", 1, Role::Title)
            .left(&format!("peer ({mode})"), peer, Role::Title)
            .rest("class", Role::Title);
        put(buf, Rect { y: areas.head.y + 1, height: 1, ..areas.head }, &head.line());
    }
    for (line, (at, number)) in model.live.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let found = model.attempt(world, *number).and_then(|d| Some((d, model.group(world, d.group)?)));
        let Some((denial, group)) = found else {
            continue;
        };
        let who = denial.pod.as_ref().map_or_else(|| copy::workload(&group.key), ToString::to_string);
        let address = denial.address.map_or_else(String::new, |address| format!(" {address}"));
        let when = pen.when(Some(denial.at));
        let row = Cells::new(pen, width)
            .left(&format!(" {when}"), 9, Role::Dim)
            .left(group.key.cluster.as_str(), 12, Role::Text)
            .left(&format!("{}/{who}", group.key.ns), pod, Role::Text)
            .left(arrow(group.key.direction), 1, Role::Dim)
            .left(&format!("{}{address}", copy::peer(&group.key)), peer, Role::Text)
            .rest(group.class.word(), detail::class_role(group));
        put(buf, area, &row.line());
        if at == model.live.at() && !model.live.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.live.rows().is_empty() {
        empty(world, model, Main::Live, pen, areas, buf);
    }
    let chosen = model.live.chosen().and_then(|n| model.group(world, model.attempt(world, *n)?.group));
    match chosen {
        Some(group) => {
            let text = detail::group_text(world, model, pen, group);
            pane(pen, &copy::headline(&group.key), &text, 0, areas.detail, buf);
        }
        None => pane(pen, "nothing chosen", &[], 0, areas.detail, buf),
    }
}
