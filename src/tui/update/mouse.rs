//! The mouse: a click chooses, the wheel walks, a click on a tab opens its page, one on a
//! hint runs it as its key does, two on an entry of a list of commands run that. Never required, and
//! never enough to change a cluster.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use crate::cockpit::{commands::CommandId, world::World};

use super::{
    super::{
        chooser::Chooser,
        cursor,
        dialog::Overlay,
        model::{Model, View, Zoom},
        view::{
            frame::{Areas, hint_at, tab_at},
            overlays,
        },
    },
    Ask, look, overlay, run,
};

pub fn on_mouse(model: &mut Model, world: &World, event: MouseEvent) -> Vec<Ask> {
    let (x, y) = (event.column, event.row);
    match (event.kind, model.overlay.take()) {
        (MouseEventKind::Down(MouseButton::Left), Some(Overlay::Chooser(chooser))) => {
            return in_chooser(model, world, chooser, (x, y));
        }
        (MouseEventKind::Down(MouseButton::Left), None) => return click(model, world, x, y),
        (kind, overlay) => {
            model.overlay = overlay;
            match kind {
                MouseEventKind::ScrollDown => wheel(model, world, CommandId::Down),
                MouseEventKind::ScrollUp => wheel(model, world, CommandId::Up),
                _ => {}
            }
        }
    }
    Vec::new()
}

/// The first click on an entry chooses it, the second runs it.
fn in_chooser(model: &mut Model, world: &World, mut chooser: Box<Chooser>, at: (u16, u16)) -> Vec<Ask> {
    match overlays::entry_at(&chooser, model.settings.size, at) {
        Some(at) if at == chooser.at => return overlay::choose(model, world, &chooser),
        Some(at) => chooser.at = at,
        None => {}
    }
    model.overlay = Some(Overlay::Chooser(chooser));
    Vec::new()
}

fn wheel(model: &mut Model, world: &World, id: CommandId) {
    const LINES: usize = 3;
    for _ in 0..LINES {
        match &mut model.overlay {
            None => look::walk(model, world, id),
            Some(Overlay::Apply(dialog)) => overlay::scroll(&mut dialog.body, id),
            Some(Overlay::RollBack(dialog)) => overlay::scroll(&mut dialog.body, id),
            Some(Overlay::Form(form)) => overlay::scroll(&mut form.body, id),
            Some(Overlay::Proposal(dialog)) => overlay::scroll(&mut dialog.body, id),
            Some(Overlay::Renew(dialog)) => overlay::scroll(&mut dialog.body, id),
            Some(Overlay::Chooser(chooser)) => chooser.step(if id == CommandId::Down { 1 } else { -1 }),
            Some(Overlay::Waiting(_) | Overlay::Reasons { .. } | Overlay::Quit) => {}
        }
    }
}

fn click(model: &mut Model, world: &World, x: u16, y: u16) -> Vec<Ask> {
    let areas = Areas::of(model.settings.size, model);
    if y == areas.tabs.y {
        if let Some(main) = tab_at(world, model, x) {
            model.settings.zoom = Zoom::No;
            model.views.go(View::Main(main));
        }
        return Vec::new();
    }
    if y == areas.hints.y {
        // What stops an order takes a key.
        let hint = hint_at(world, model, x).filter(|id| *id != CommandId::Abort);
        return hint.map_or_else(Vec::new, |id| run(model, world, id));
    }
    choose_row(model, &areas, x, y);
    Vec::new()
}

fn choose_row(model: &mut Model, areas: &Areas, x: u16, y: u16) {
    let inside =
        (areas.list.x..areas.list.right()).contains(&x) && (areas.list.y..areas.list.bottom()).contains(&y);
    if !inside {
        return;
    }
    let line = usize::from(y - areas.list.y);
    let first = cursor::of(model).and_then(|list| list.at_line(line));
    if let Some(at) = first {
        look::stand_at(model, at);
    }
}
