//! Draws the world as the model looks at it. Reads only; builds only rows that can be seen.

pub mod activity;
pub mod denials;
pub mod detail;
pub mod fleet;
pub mod frame;
pub mod live;
pub mod namespace;
pub mod notices;
pub mod overlays;
pub mod sources;

use ratatui::{Frame, buffer::Buffer, layout::Rect};

use crate::cockpit::world::World;

use super::{
    model::{Main, Model, View},
    theme::{Role, Theme},
    widgets::{self, Pen, put},
};

use frame::Areas;

/// The smallest terminal that is drawn on.
const LEAST: (u16, u16) = (60, 14);

/// One frame.
pub fn draw(world: &World, model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let pen = Pen { theme, now: world.now(), zone: world.zone(), clock: model.settings.clock };
    let buf = frame.buffer_mut();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("sluice needs {} columns and {} lines", LEAST.0, LEAST.1);
        put(buf, area, &pen.line(text, Role::Warn));
        return;
    }
    page(world, model, &pen, area, buf);
    if let Some(overlay) = &model.overlay {
        overlays::draw(world, model, overlay, &pen, area, buf);
    }
    if model.settings.ascii {
        widgets::to_ascii(buf);
    }
}

fn page(world: &World, model: &Model, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let areas = Areas::of((area.width, area.height), model);
    buf.set_style(area, pen.style(Role::Text));
    frame::header(world, model, pen, &areas, buf);
    match model.view() {
        View::Main(Main::Fleet) => fleet::draw(world, model, pen, &areas, buf),
        View::Main(Main::Denials) => denials::draw(world, model, pen, &areas, buf),
        View::Main(Main::Live) => live::draw(world, model, pen, &areas, buf),
        View::Main(Main::Activity) => activity::draw(world, model, pen, &areas, buf),
        View::Main(Main::Sources) => sources::draw(world, model, pen, &areas, buf),
        View::Main(Main::Notices) => notices::draw(model, pen, &areas, buf),
        View::Namespace(cluster, ns) => namespace::draw(world, model, (cluster, ns), pen, &areas, buf),
        View::Group(id) => detail::group_page(world, model, *id, pen, &areas, buf),
    }
    frame::footer(world, model, pen, &areas, buf);
}
