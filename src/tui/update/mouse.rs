//! The mouse: a click chooses, the wheel walks, a click on a tab opens its page. Never required, and
//! never enough to change a cluster.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use crate::cockpit::{commands::CommandId, world::World};

use super::{
    super::{
        dialog::Overlay,
        model::{Focus, Main, Model, View},
        view::frame::{Areas, tab_at},
    },
    look, overlay,
};

pub fn on_mouse(model: &mut Model, world: &World, event: MouseEvent) {
    match event.kind {
        MouseEventKind::ScrollDown => wheel(model, world, CommandId::Down),
        MouseEventKind::ScrollUp => wheel(model, world, CommandId::Up),
        MouseEventKind::Down(MouseButton::Left) if model.overlay.is_none() => {
            click(model, world, event.column, event.row);
        }
        _ => {}
    }
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

fn click(model: &mut Model, world: &World, x: u16, y: u16) {
    let areas = Areas::of(model.settings.size, model);
    if y == areas.tabs.y {
        if let Some(main) = tab_at(world, model, x) {
            model.settings.zoomed = false;
            model.views.go(View::Main(main));
        }
        return;
    }
    let inside =
        (areas.list.x..areas.list.right()).contains(&x) && (areas.list.y..areas.list.bottom()).contains(&y);
    if !inside {
        return;
    }
    let line = usize::from(y - areas.list.y);
    macro_rules! choose {
        ($list:expr) => {
            if let Some(at) = $list.at_line(line) {
                $list.step(0);
                $list.choose_at(at);
            }
        };
    }
    match model.view() {
        View::Main(Main::Fleet) => choose!(model.fleet.list),
        View::Main(Main::Denials) => choose!(model.denials),
        View::Main(Main::Live) => choose!(model.live),
        View::Main(Main::Activity) => choose!(model.activity.list),
        View::Main(Main::Sources) => choose!(model.sources),
        View::Main(Main::Notices) => choose!(model.notices.list),
        View::Main(Main::Reviews) => choose!(model.team.reviews.list),
        View::Main(Main::OpenEnds) => choose!(model.team.ends.list),
        View::Main(Main::Plan) => choose!(model.plan.list),
        View::Namespace(..) => {
            model.page.focus = Focus::Denials;
            choose!(model.page.denials);
        }
        View::Destinations(..) => choose!(model.found.list),
        View::Group(_)
        | View::Dossier(..)
        | View::Coverage(..)
        | View::Timeline(_)
        | View::Prediction(_)
        | View::Document(_)
        | View::Review(_)
        | View::Preflight(_) => {}
    }
}
