//! Commands that only change where the operator looks: views, cursors, folds, marks, filters,
//! freezing.

use crossterm::event::{KeyCode, KeyEvent};
use tui_input::Input as LineInput;

use crate::{
    cockpit::{commands::CommandId, world::World},
    domain::{
        denial::GroupId,
        flow::Direction,
        names::{ClusterName, NsName},
    },
};

use super::super::{
    keys,
    model::{Focus, Frozen, Main, Model, RowKey, Tone, View},
};

/// Looks elsewhere. Commands that ask for something are not for here and change nothing.
pub fn look(model: &mut Model, world: &World, id: CommandId) {
    match id {
        CommandId::Fleet => go(model, Main::Fleet),
        CommandId::Denials => go(model, Main::Denials),
        CommandId::Live => go(model, Main::Live),
        CommandId::Activity => go(model, Main::Activity),
        CommandId::Sources => go(model, Main::Sources),
        CommandId::Notices => go(model, Main::Notices),
        CommandId::Last => model.views.swap(),
        CommandId::Older => {
            model.views.older();
        }
        CommandId::Newer => {
            model.views.newer();
        }
        CommandId::Open => open(model, world),
        CommandId::Unfold => unfold(model, world),
        CommandId::Fold => fold(model),
        CommandId::Back => back(model),
        CommandId::Zoom => model.settings.zoomed = !model.settings.zoomed,
        CommandId::Focus => focus(model),
        CommandId::Down
        | CommandId::Up
        | CommandId::PageDown
        | CommandId::PageUp
        | CommandId::Top
        | CommandId::Bottom => {
            walk(model, id);
        }
        CommandId::Mark => mark(model),
        CommandId::Unmark => model.fleet.marks.clear(),
        CommandId::Filter => start_filter(model),
        CommandId::ClearFilter => {
            if let View::Main(main) = model.view().clone() {
                model.filters.texts.remove(&main);
            }
        }
        CommandId::Freeze => freeze(model, world),
        CommandId::Times => model.settings.clock = !model.settings.clock,
        _ => {}
    }
}

fn go(model: &mut Model, main: Main) {
    model.settings.zoomed = false;
    model.views.go(View::Main(main));
}

/// One level back, never out.
pub fn back(model: &mut Model) {
    if !model.told.toasts.is_empty() {
        model.told.toasts.clear();
        return;
    }
    if model.settings.zoomed {
        model.settings.zoomed = false;
        return;
    }
    match model.view() {
        View::Main(Main::Fleet) => model.told.say("this is the top; q leaves sluice", Tone::Plain),
        View::Main(_) => go(model, Main::Fleet),
        View::Namespace(..) | View::Group(_) => {
            if !model.views.older() {
                go(model, Main::Fleet);
            }
        }
    }
}

fn open(model: &mut Model, world: &World) {
    match model.view().clone() {
        View::Main(Main::Fleet) => match model.fleet.list.chosen().cloned() {
            Some(RowKey::Cluster(name)) => {
                if !model.fleet.unfolded.remove(&name) {
                    model.fleet.unfolded.insert(name);
                }
            }
            Some(RowKey::Namespace(cluster, ns)) => open_namespace(model, cluster, ns, Focus::Both),
            Some(RowKey::Rollout(t)) => open_namespace(model, t.cluster, t.ns, Focus::One(t.direction)),
            None => {}
        },
        View::Main(Main::Denials) => open_group(model, model.denials.chosen().copied()),
        View::Main(Main::Live) => {
            open_group(model, model.live.chosen().and_then(|n| Some(model.attempt(world, *n)?.group)))
        }
        View::Main(Main::Activity | Main::Sources | Main::Notices) => {
            model.settings.zoomed = !model.settings.zoomed;
        }
        View::Namespace(..) if model.page.focus == Focus::Denials => {
            open_group(model, model.page.denials.chosen().copied());
        }
        View::Namespace(..) => model.settings.zoomed = !model.settings.zoomed,
        View::Group(id) => {
            if let Some(key) = model.group(world, id).map(|group| group.key.clone()) {
                open_namespace(model, key.cluster, key.ns, Focus::One(key.direction));
            }
        }
    }
}

/// Opens the page of a namespace.
pub fn open_namespace(model: &mut Model, cluster: ClusterName, ns: NsName, focus: Focus) {
    model.settings.zoomed = false;
    model.page.focus = focus;
    model.page.scroll = 0;
    model.page.denials.restart();
    model.views.go(View::Namespace(cluster, ns));
}

/// Shows a cluster in the fleet, unfolded.
pub fn open_cluster(model: &mut Model, cluster: ClusterName) {
    go(model, Main::Fleet);
    model.filters.texts.remove(&Main::Fleet);
    model.fleet.unfolded.insert(cluster.clone());
    model.fleet.list.choose(RowKey::Cluster(cluster));
}

fn open_group(model: &mut Model, id: Option<GroupId>) {
    if let Some(id) = id {
        model.settings.zoomed = false;
        model.page.scroll = 0;
        model.views.go(View::Group(id));
    }
}

fn unfold(model: &mut Model, world: &World) {
    if *model.view() != View::Main(Main::Fleet) {
        return open(model, world);
    }
    match model.fleet.list.chosen().cloned() {
        Some(RowKey::Cluster(name)) => {
            if !model.fleet.unfolded.insert(name) {
                model.fleet.list.step(1);
            }
        }
        Some(RowKey::Namespace(cluster, ns)) => {
            if !model.fleet.unfolded_ns.insert((cluster, ns)) {
                model.fleet.list.step(1);
            }
        }
        Some(RowKey::Rollout(_)) => open(model, world),
        None => {}
    }
}

fn fold(model: &mut Model) {
    if *model.view() != View::Main(Main::Fleet) {
        return back(model);
    }
    match model.fleet.list.chosen().cloned() {
        Some(RowKey::Cluster(name)) => {
            model.fleet.unfolded.remove(&name);
        }
        Some(RowKey::Namespace(cluster, ns)) => {
            if !model.fleet.unfolded_ns.remove(&(cluster.clone(), ns)) {
                model.fleet.list.choose(RowKey::Cluster(cluster));
            }
        }
        Some(RowKey::Rollout(t)) => model.fleet.list.choose(RowKey::Namespace(t.cluster, t.ns)),
        None => {}
    }
}

fn focus(model: &mut Model) {
    if matches!(model.view(), View::Namespace(..)) {
        model.page.scroll = 0;
        model.page.focus = match model.page.focus {
            Focus::Both => Focus::One(Direction::Egress),
            Focus::One(Direction::Egress) => Focus::One(Direction::Ingress),
            Focus::One(Direction::Ingress) => Focus::Denials,
            Focus::Denials => Focus::Both,
        };
    }
}

/// Moves the cursor of the page, or scrolls where there is none.
pub fn walk(model: &mut Model, id: CommandId) {
    macro_rules! list {
        ($list:expr) => {
            match id {
                CommandId::Down => $list.step(1),
                CommandId::Up => $list.step(-1),
                CommandId::PageDown => $list.page(1),
                CommandId::PageUp => $list.page(-1),
                CommandId::Bottom => $list.bottom(),
                _ => $list.top(false),
            }
        };
    }
    match model.view() {
        View::Main(Main::Fleet) => list!(model.fleet.list),
        View::Main(Main::Denials) => list!(model.denials),
        View::Main(Main::Live) if id == CommandId::Top => model.live.top(true),
        View::Main(Main::Activity) if id == CommandId::Top => model.activity.top(true),
        View::Main(Main::Live) => list!(model.live),
        View::Main(Main::Activity) => list!(model.activity),
        View::Main(Main::Sources) => list!(model.sources),
        View::Main(Main::Notices) => list!(model.notices.list),
        View::Namespace(..) if model.page.focus == Focus::Denials => list!(model.page.denials),
        View::Namespace(..) | View::Group(_) => scroll(&mut model.page.scroll, id),
    }
}

/// Moves a text by lines.
pub fn scroll(at: &mut usize, id: CommandId) {
    const PAGE: usize = 10;
    // A long text ends somewhere; drawing stops at its last line.
    const MOST: usize = 100_000;
    *at = match id {
        CommandId::Down => *at + 1,
        CommandId::Up => at.saturating_sub(1),
        CommandId::PageDown => *at + PAGE,
        CommandId::PageUp => at.saturating_sub(PAGE),
        CommandId::Bottom => MOST,
        _ => 0,
    }
    .min(MOST);
}

fn mark(model: &mut Model) {
    let Some(key) = model.fleet.list.chosen().cloned() else { return };
    if !model.fleet.marks.remove(&key) {
        model.fleet.marks.insert(key);
    }
    model.fleet.list.step(1);
}

fn start_filter(model: &mut Model) {
    if let View::Main(main) = model.view() {
        let text = model.filters.texts.get(main).cloned().unwrap_or_default();
        model.filters.editing = Some(LineInput::from(text));
    }
}

/// Keys while a filter is typed: rows narrow with each of them.
pub fn edit_filter(model: &mut Model, key: &KeyEvent) {
    let View::Main(main) = *model.view() else {
        model.filters.editing = None;
        return;
    };
    match key.code {
        KeyCode::Esc => model.filters.editing = None,
        KeyCode::Enter => {
            if let Some(input) = model.filters.editing.take() {
                let text = input.value().trim().to_owned();
                if text.is_empty() {
                    model.filters.texts.remove(&main);
                } else {
                    model.filters.texts.insert(main, text);
                }
            }
        }
        KeyCode::Down => walk(model, CommandId::Down),
        KeyCode::Up => walk(model, CommandId::Up),
        _ => {
            if let (Some(input), Some(request)) = (&mut model.filters.editing, keys::edit(key)) {
                input.handle(request);
            }
        }
    }
}

/// Holds the denials pages still; again: back to now.
fn freeze(model: &mut Model, world: &World) {
    if model.frozen.take().is_some() {
        model.told.say("back to now", Tone::Plain);
        return;
    }
    let denials = world.denials();
    model.frozen = Some(Frozen {
        at: world.now(),
        total: denials.total(),
        groups: denials.groups().map(|group| (group.id, group.clone())).collect(),
        order: denials.groups().map(|group| group.id).collect(),
        live: denials.live().iter().cloned().collect(),
    });
}
