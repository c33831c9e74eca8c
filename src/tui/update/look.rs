//! Commands that only change where the operator looks: views, cursors, folds, marks, filters,
//! freezing.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyEvent};
use tui_input::Input as LineInput;

use crate::{
    cockpit::{commands::CommandId, foresights, orders::Target, world::World},
    domain::{
        denial::GroupId,
        flow::Direction,
        names::{ClusterName, NsName, Text},
    },
};

use super::super::{
    cursor,
    ends::End,
    keys,
    model::{Focus, Frozen, Main, Model, RowKey, Sheet, Tone, View, Zoom},
    offer,
    plan::PlanKey,
    settle::shown,
    view,
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
        CommandId::Reviews => go(model, Main::Reviews),
        CommandId::OpenEnds => go(model, Main::OpenEnds),
        CommandId::Plan => go(model, Main::Plan),
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
        CommandId::Zoom | CommandId::ZoomList => zoom_by(model, id),
        CommandId::Focus => focus(model),
        CommandId::Down
        | CommandId::Up
        | CommandId::PageDown
        | CommandId::PageUp
        | CommandId::Top
        | CommandId::Bottom => {
            walk(model, world, id);
        }
        CommandId::Mark => mark(model),
        CommandId::Unmark => match model.view() {
            View::Main(Main::Reviews) => model.team.reviews.marks.clear(),
            _ => model.fleet.marks.clear(),
        },
        CommandId::Filter => start_filter(model),
        CommandId::ClearFilter => {
            if let Some(sheet) = model.view().sheet() {
                model.filters.texts.remove(&sheet);
            }
        }
        CommandId::Freeze => freeze(model, world),
        CommandId::Destinations => open_discovery(model, world, View::Destinations),
        CommandId::Coverage => open_discovery(model, world, View::Coverage),
        CommandId::Timeline => open_timeline(model, world),
        CommandId::Predict => open_prediction(model, world),
        CommandId::Preflight => open_preflight(model, world),
        CommandId::Document => open_document(model, world),
        CommandId::Sort => {
            match model.view() {
                View::Main(Main::Reviews) => {
                    model.team.reviews.order = model.team.reviews.order.next();
                }
                _ => model.found.order = model.found.order.next(),
            }
            sorted(model);
        }
        CommandId::Reverse => {
            match model.view() {
                View::Main(Main::Reviews) => model.team.reviews.reversed = !model.team.reviews.reversed,
                _ => model.found.reversed = !model.found.reversed,
            }
            sorted(model);
        }
        CommandId::Times => model.settings.clock = !model.settings.clock,
        _ => {}
    }
}

fn go(model: &mut Model, main: Main) {
    model.settings.zoom = Zoom::No;
    model.views.go(View::Main(main));
}

/// One level back, never out.
pub fn back(model: &mut Model) {
    if !model.told.toasts.is_empty() {
        model.told.toasts.clear();
        return;
    }
    if model.settings.zoom != Zoom::No {
        model.settings.zoom = Zoom::No;
        return;
    }
    match model.view() {
        View::Main(Main::Fleet) => {
            let quit = model.settings.keys.last(CommandId::Quit);
            model.told.say(format!("this is the top; {quit} leaves sluice"), Tone::Plain);
        }
        View::Main(_) => go(model, Main::Fleet),
        View::Namespace(..)
        | View::Group(_)
        | View::Destinations(..)
        | View::Dossier(..)
        | View::Coverage(..)
        | View::Timeline(_)
        | View::Prediction(_)
        | View::Document(_)
        | View::Preflight(_)
        | View::Review(_) => {
            if !model.views.older() {
                go(model, Main::Fleet);
            }
        }
    }
}

fn open_preflight(model: &mut Model, world: &World) {
    let Some(cluster) = offer::subject(world, model).map(|row| row.cluster().clone()) else { return };
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(View::Preflight(cluster));
}

fn zoom_by(model: &mut Model, id: CommandId) {
    zoom(model, if id == CommandId::Zoom { Zoom::Details } else { Zoom::List });
}

/// What has the whole screen goes back to its place.
fn zoom(model: &mut Model, what: Zoom) {
    model.settings.zoom = if model.settings.zoom == what { Zoom::No } else { what };
    model.page.scroll = 0;
    // The list of this page is that of its denials, and the walking keys are for what one sees.
    if model.settings.zoom == Zoom::List && matches!(model.view(), View::Namespace(..)) {
        model.page.focus = Focus::Denials;
    }
}

fn open(model: &mut Model, world: &World) {
    match model.view().clone() {
        View::Main(Main::Fleet) => match model.fleet.list.chosen().cloned() {
            Some(RowKey::Cluster(name)) => toggle(&mut model.fleet.unfolded, name),
            Some(RowKey::Namespace(cluster, ns)) => open_namespace(model, cluster, ns, Focus::Both),
            Some(RowKey::Rollout(t)) => open_namespace(model, t.cluster, t.ns, Focus::One(t.direction)),
            None => {}
        },
        View::Main(Main::Denials) => open_group(model, model.denials.chosen().copied()),
        View::Main(Main::Live) => {
            let chosen = model.live.chosen().and_then(|n| model.attempt(world, *n));
            open_group(model, chosen.map(|attempt| attempt.group));
        }
        View::Main(Main::Activity | Main::Sources | Main::Notices) => zoom(model, Zoom::Details),
        View::Main(Main::Reviews) => {
            if let Some(name) = model.team.reviews.list.chosen().cloned() {
                open_review(model, name);
            }
        }
        View::Main(Main::OpenEnds) => open_end(model),
        View::Review(_) | View::Preflight(_) | View::Document(_) => zoom(model, Zoom::Details),
        View::Main(Main::Plan) => match model.plan.list.chosen().cloned() {
            Some(PlanKey::Wave(wave)) => model.plan.turn(wave),
            Some(PlanKey::Row(t)) => open_namespace(model, t.cluster, t.ns, Focus::One(t.direction)),
            None => {}
        },
        View::Namespace(..) if model.page.focus == Focus::Denials => {
            open_group(model, model.page.denials.chosen().copied());
        }
        View::Namespace(..) => zoom(model, Zoom::Details),
        View::Group(id) => {
            if let Some(key) = model.group(world, id).map(|group| group.key.clone()) {
                open_namespace(model, key.cluster, key.ns, Focus::One(key.direction));
            }
        }
        View::Destinations(cluster, ns) => {
            if let Some(key) = model.found.list.chosen().cloned() {
                model.settings.zoom = Zoom::No;
                model.page.scroll = 0;
                model.views.go(View::Dossier(cluster, ns, Box::new(key)));
            }
        }
        View::Dossier(cluster, ns, key) => open_namespace(model, cluster, ns, Focus::One(key.direction)),
        View::Coverage(..) => open_discovery(model, world, View::Destinations),
        View::Timeline(t) | View::Prediction(t) => {
            open_namespace(model, t.cluster, t.ns, Focus::One(t.direction));
        }
    }
}

fn open_document(model: &mut Model, world: &World) {
    let Some(row) = offer::subject(world, model) else { return };
    if let Some(ns) = row.ns() {
        show_document(model, ns.clone());
    }
}

fn show_document(model: &mut Model, ns: NsName) {
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(View::Document(ns));
}

fn open_review(model: &mut Model, name: Text) {
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(View::Review(name));
}

/// Opens the row that was put off, or the review of a grant.
fn open_end(model: &mut Model) {
    let Some(end) = model.team.ends.chosen().cloned() else { return };
    match (&end, end.row()) {
        (End::Document(row), _) => show_document(model, row.ns.clone()),
        (End::Grant { due, .. }, _) => open_review(model, due.review.clone()),
        (End::Open(_) | End::Unwritten(_), Some(RowKey::Cluster(cluster))) => open_cluster(model, cluster),
        (End::Open(_) | End::Unwritten(_), Some(RowKey::Namespace(cluster, ns))) => {
            open_namespace(model, cluster, ns, Focus::Both);
        }
        (End::Open(_) | End::Unwritten(_), Some(RowKey::Rollout(t))) => {
            open_namespace(model, t.cluster, t.ns, Focus::One(t.direction));
        }
        (End::Open(_) | End::Unwritten(_), None) => go(model, Main::Fleet),
    }
}

/// Opens a page about the namespace of the row under the cursor.
fn open_discovery(model: &mut Model, world: &World, page: fn(ClusterName, NsName) -> View) {
    let (cluster, ns, direction) = match offer::subject(world, model) {
        Some(RowKey::Namespace(cluster, ns)) => (cluster, ns, None),
        Some(RowKey::Rollout(target)) => (target.cluster, target.ns, Some(target.direction)),
        Some(RowKey::Cluster(_)) | None => return,
    };
    // A dossier or a denial is about one direction, its namespace's list about both.
    let is_one = matches!(
        model.view(),
        View::Main(Main::Fleet) | View::Namespace(..) | View::Destinations(..) | View::Coverage(..)
    );
    model.page.focus = direction.filter(|_| is_one).map_or(Focus::Both, Focus::One);
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(page(cluster, ns));
}

/// Of a namespace the direction that comes first; tab turns to the other.
fn open_timeline(model: &mut Model, world: &World) {
    let target = match offer::subject(world, model) {
        Some(RowKey::Namespace(cluster, ns)) => Target { cluster, ns, direction: Direction::Egress },
        Some(RowKey::Rollout(target)) => target,
        Some(RowKey::Cluster(_)) | None => return,
    };
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(View::Timeline(target));
}

/// Of a namespace the direction that comes first and has policies; tab turns to the other.
fn open_prediction(model: &mut Model, world: &World) {
    let target = match offer::subject(world, model) {
        Some(RowKey::Namespace(cluster, ns)) => {
            let of = |direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction };
            let has = |target: &Target| foresights::wanted(world, target).is_some();
            Direction::ALL.map(of).into_iter().find(has).unwrap_or_else(|| of(Direction::Egress))
        }
        Some(RowKey::Rollout(target)) => target,
        Some(RowKey::Cluster(_)) | None => return,
    };
    model.settings.zoom = Zoom::No;
    model.page.scroll = 0;
    model.views.go(View::Prediction(target));
}

/// Says by what, where the columns are too narrow to show it.
fn sorted(model: &mut Model) {
    let (order, reversed) = match model.view() {
        View::Main(Main::Reviews) => (model.team.reviews.order.word(), model.team.reviews.reversed),
        _ => (model.found.order.word(), model.found.reversed),
    };
    let turned = if reversed { ", turned round" } else { "" };
    let keys = &model.settings.keys;
    let (next, turns) = (keys.first(CommandId::Sort), keys.first(CommandId::Reverse));
    model.told.say(format!("sorted by {order}{turned}; {next} next, {turns} turns"), Tone::Plain);
}

/// Opens the page of a namespace.
pub fn open_namespace(model: &mut Model, cluster: ClusterName, ns: NsName, focus: Focus) {
    model.settings.zoom = Zoom::No;
    model.page.focus = focus;
    model.page.scroll = 0;
    model.page.denials.restart();
    model.views.go(View::Namespace(cluster, ns));
}

/// Shows a cluster in the fleet, unfolded.
pub fn open_cluster(model: &mut Model, cluster: ClusterName) {
    go(model, Main::Fleet);
    model.filters.texts.remove(&Sheet::Main(Main::Fleet));
    model.fleet.unfolded.insert(cluster.clone());
    model.fleet.list.choose(RowKey::Cluster(cluster));
}

fn open_group(model: &mut Model, id: Option<GroupId>) {
    if let Some(id) = id {
        model.settings.zoom = Zoom::No;
        model.page.scroll = 0;
        model.views.go(View::Group(id));
    }
}

fn unfold(model: &mut Model, world: &World) {
    if *model.view() != View::Main(Main::Fleet) {
        return open(model, world);
    }
    match model.fleet.list.chosen().cloned() {
        // One that is unfolded already is gone into.
        Some(RowKey::Cluster(name)) => {
            let is_open = !model.fleet.unfolded.insert(name);
            model.fleet.list.step(isize::from(is_open));
        }
        Some(RowKey::Namespace(cluster, ns)) => {
            let is_open = !model.fleet.unfolded_ns.insert((cluster, ns));
            model.fleet.list.step(isize::from(is_open));
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
            let was_open = model.fleet.unfolded_ns.remove(&(cluster.clone(), ns));
            if !was_open {
                model.fleet.list.choose(RowKey::Cluster(cluster));
            }
        }
        Some(RowKey::Rollout(t)) => model.fleet.list.choose(RowKey::Namespace(t.cluster, t.ns)),
        None => {}
    }
}

fn focus(model: &mut Model) {
    if *model.view() == View::Main(Main::Plan) {
        model.plan.direction = model.plan.direction.other();
        model.plan.list.restart();
        return;
    }
    if let View::Timeline(target) = model.view().clone() {
        model.page.scroll = 0;
        model.views.go(View::Timeline(Target { direction: target.direction.other(), ..target }));
        return;
    }
    if let View::Prediction(target) = model.view().clone() {
        model.page.scroll = 0;
        model.views.go(View::Prediction(Target { direction: target.direction.other(), ..target }));
        return;
    }
    if matches!(model.view(), View::Destinations(..)) {
        model.page.focus = match model.page.focus {
            Focus::Both | Focus::Denials => Focus::One(Direction::Egress),
            Focus::One(Direction::Egress) => Focus::One(Direction::Ingress),
            Focus::One(Direction::Ingress) => Focus::Both,
        };
        return;
    }
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
pub fn walk(model: &mut Model, world: &World, id: CommandId) {
    let is_text = match model.view() {
        View::Main(_) | View::Destinations(..) => model.settings.zoom == Zoom::Details,
        View::Namespace(..) => model.page.focus != Focus::Denials,
        _ => false,
    };
    // The newest stand on top there, and the cursor stays with them.
    let follows = matches!(model.view(), View::Main(Main::Live | Main::Activity));
    let Some(list) = cursor::of_mut(model).filter(|_| !is_text) else {
        return scroll_page(model, world, id);
    };
    match id {
        CommandId::Down => list.step(1),
        CommandId::Up => list.step(-1),
        CommandId::PageDown => list.page(1),
        CommandId::PageUp => list.page(-1),
        CommandId::Bottom => list.bottom(),
        _ => list.top(follows),
    }
}

fn scroll_page(model: &mut Model, world: &World, id: CommandId) {
    let limit = view::scroll_limit(world, model);
    scroll(&mut model.page.scroll, id, limit);
}

/// Moves a text by lines, not beyond its end.
pub fn scroll(at: &mut usize, id: CommandId, limit: usize) {
    const PAGE: usize = 10;
    let to = match id {
        CommandId::Down => *at + 1,
        CommandId::Up => at.saturating_sub(1),
        CommandId::PageDown => *at + PAGE,
        CommandId::PageUp => at.saturating_sub(PAGE),
        CommandId::Bottom => limit,
        _ => 0,
    };
    *at = to.min(limit);
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, item: T) {
    if !set.remove(&item) {
        set.insert(item);
    }
}

fn mark(model: &mut Model) {
    if *model.view() == View::Main(Main::Reviews) {
        let Some(name) = model.team.reviews.list.chosen().cloned() else { return };
        toggle(&mut model.team.reviews.marks, name);
        model.team.reviews.list.step(1);
        return;
    }
    let Some(key) = model.fleet.list.chosen().cloned() else { return };
    toggle(&mut model.fleet.marks, key);
    model.fleet.list.step(1);
}

fn start_filter(model: &mut Model) {
    if let Some(sheet) = model.view().sheet() {
        let text = model.filters.texts.get(&sheet).cloned().unwrap_or_default();
        model.filters.editing = Some(LineInput::from(text));
    }
}

/// Keys while a filter is typed: rows narrow with each of them.
pub fn edit_filter(model: &mut Model, world: &World, key: &KeyEvent) {
    let Some(sheet) = model.view().sheet() else {
        model.filters.editing = None;
        return;
    };
    match key.code {
        KeyCode::Esc => model.filters.editing = None,
        KeyCode::Enter => {
            if let Some(input) = model.filters.editing.take() {
                let text = input.value().trim().to_owned();
                if text.is_empty() {
                    model.filters.texts.remove(&sheet);
                } else {
                    model.filters.texts.insert(sheet, text);
                }
            }
        }
        KeyCode::Down => walk(model, world, CommandId::Down),
        KeyCode::Up => walk(model, world, CommandId::Up),
        _ => {
            if let (Some(input), Some(request)) = (&mut model.filters.editing, keys::edit(key)) {
                input.handle(request);
            }
        }
    }
}

/// Puts the cursor of the page on its nth row; false: there is none. A page of one thing is its own
/// only row.
pub fn stand_at(model: &mut Model, at: usize) -> bool {
    let Some(list) = cursor::of_mut(model) else { return at == 0 };
    let is_there = at < list.count();
    list.step(0);
    list.choose_at(at);
    if matches!(model.view(), View::Namespace(..)) {
        model.page.focus = Focus::Denials;
    }
    is_there
}

/// A row that the operator's own filter hid is not gone: the cursor goes to the first that is left.
pub fn land(model: &mut Model) {
    if let Some(list) = cursor::of_mut(model).filter(|list| list.is_gone()) {
        list.choose_at(0);
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
        groups: shown(world).map(|group| (group.id, group.clone())).collect(),
        order: shown(world).map(|group| group.id).collect(),
        live: denials.live().iter().cloned().collect(),
    });
}
