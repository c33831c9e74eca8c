//! Draws the world as the model looks at it. Reads only; builds only rows that can be seen.

pub mod activity;
pub mod coverage;
pub mod denials;
pub mod destinations;
pub mod detail;
pub mod document;
pub mod dossier;
mod enforced;
pub mod fleet;
pub mod form;
pub mod frame;
pub mod live;
mod messages;
pub mod namespace;
pub mod next;
pub mod notices;
pub mod open_ends;
pub mod overlays;
mod path;
pub mod plan;
pub mod prediction;
pub mod preflight;
pub mod review;
pub mod reviews;
pub mod soak;
pub mod sources;
pub mod timeline;

use ratatui::{Frame, buffer::Buffer, layout::Rect};

use crate::cockpit::world::World;

use super::{
    model::{Main, Model, View, Zoom},
    theme::{Role, Theme},
    widgets::{self, Pen, put},
};

use frame::{Areas, Pane};

/// The smallest terminal that is drawn on.
const LEAST: (u16, u16) = (60, 14);

/// One frame.
pub fn draw(world: &World, model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let pen = Pen { masks: model.settings.masks.shown(), ..Pen::new(theme, world, &model.settings) };
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
    widgets::flatten(buf);
    if let Some(masks) = pen.masks {
        masks.sweep(buf);
    }
    if model.settings.ascii {
        widgets::to_ascii(buf);
    }
}

fn page(world: &World, model: &Model, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let areas = Areas::of((area.width, area.height), model);
    buf.set_style(area, pen.style(Role::Text));
    frame::header(world, model, pen, &areas, buf);
    content(world, model, pen, &areas, buf);
    for pane in panes(world, model, pen, &areas) {
        pane.draw(pen, model.page.scroll, buf);
    }
    frame::footer(world, model, pen, &areas, buf);
}

/// What a page shows beside its panes of text: bands, facts, columns, rows.
pub fn content(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    match model.view() {
        View::Main(Main::Fleet) => fleet::draw(world, model, pen, areas, buf),
        View::Main(Main::Denials) => denials::draw(world, model, pen, areas, buf),
        View::Main(Main::Live) => live::draw(world, model, pen, areas, buf),
        View::Main(Main::Activity) => activity::draw(world, model, pen, areas, buf),
        View::Main(Main::Sources) => sources::draw(world, model, pen, areas, buf),
        View::Main(Main::Notices) => notices::draw(model, pen, areas, buf),
        View::Main(Main::Reviews) => reviews::draw(world, model, pen, areas, buf),
        View::Main(Main::OpenEnds) => open_ends::draw(world, model, pen, areas, buf),
        View::Review(name) => review::draw(world, model, name, pen, areas, buf),
        View::Main(Main::Plan) => plan::draw(world, model, pen, areas, buf),
        View::Namespace(cluster, ns) => namespace::draw(world, model, (cluster, ns), pen, areas, buf),
        View::Group(id) => detail::group_page(world, model, *id, pen, areas, buf),
        View::Destinations(cluster, ns) => {
            destinations::draw(world, model, (cluster, ns), pen, areas, buf);
        }
        View::Dossier(cluster, ns, key) => {
            dossier::draw(world, (cluster, ns), key, pen, areas, buf);
        }
        View::Preflight(cluster) => preflight::draw(world, cluster, pen, areas, buf),
        View::Document(ns) => document::draw(world, ns, pen, areas, buf),
        View::Timeline(target) => timeline::draw(world, target, pen, areas, buf),
        View::Prediction(target) => prediction::draw(world, target, pen, areas, buf),
        View::Coverage(cluster, ns) => coverage::draw(world, (cluster, ns), pen, areas, buf),
    }
}

/// The panes of text on a page, as they may be shown.
pub fn panes(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas) -> Vec<Pane> {
    let mut panes = bare(world, model, pen, areas);
    if let Some(masks) = pen.masks {
        for pane in &mut panes {
            pane.text.iter_mut().for_each(|(_, text)| *text = masks.hide(text));
        }
    }
    panes
}

fn bare(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas) -> Vec<Pane> {
    let about = match model.view() {
        View::Main(Main::Fleet) => (!model.fleet.list.rows().is_empty())
            .then(|| detail::fleet_row(world, model, pen, model.fleet.list.chosen())),
        View::Main(Main::Denials) => denials::about(world, model, pen),
        View::Main(Main::Live) => live::about(world, model, pen),
        View::Main(Main::Activity) => activity::about(world, model, pen),
        View::Main(Main::Sources) => sources::about(world, model, pen),
        View::Main(Main::Notices) => notices::about(model, pen),
        View::Main(Main::Reviews) => reviews::about(world, model, pen),
        View::Main(Main::OpenEnds) => open_ends::about(world, model, pen),
        View::Review(name) => return review::panes(world, model, name, pen, areas),
        View::Main(Main::Plan) => plan::about(world, model, pen),
        View::Namespace(cluster, ns) => return namespace::panes(world, model, (cluster, ns), pen, areas),
        View::Group(id) => {
            return detail::group_evidence(world, model, *id, pen, areas).into_iter().collect();
        }
        View::Destinations(cluster, ns) => destinations::about(world, model, (cluster, ns), pen),
        View::Dossier(cluster, ns, key) => {
            return dossier::pane(world, (cluster, ns), key, pen, areas).into_iter().collect();
        }
        View::Preflight(cluster) => return vec![preflight::pane(world, cluster, areas)],
        View::Document(ns) => return vec![document::pane(world, ns, pen, areas)],
        View::Timeline(target) => return vec![timeline::pane(world, target, pen, areas)],
        View::Prediction(target) => return vec![prediction::pane(world, target, pen, areas)],
        View::Coverage(cluster, ns) => return coverage::panes(world, (cluster, ns), pen, areas),
    };
    let pane = |(title, text)| Pane {
        title,
        text,
        area: areas.detail,
        scrolls: model.settings.zoom == Zoom::Details,
    };
    about.map(pane).into_iter().collect()
}

/// How far the text of the page on screen can be scrolled.
pub fn scroll_limit(world: &World, model: &Model) -> usize {
    let theme = Theme::plain();
    let masks = model.settings.masks.shown();
    let pen = Pen { masks, ..Pen::new(&theme, world, &model.settings) };
    let areas = Areas::of(model.settings.size, model);
    panes(world, model, &pen, &areas).iter().map(Pane::limit).max().unwrap_or(0)
}
