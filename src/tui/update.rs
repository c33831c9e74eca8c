//! Keys, clicks, pastes and words in; asks out. Changes where the operator looks and nothing else: what is
//! to be done to a cluster leaves as an [`Ask`], and only from a dialog that went its whole way.

mod act;
mod lead;
mod look;
mod mouse;
mod overlay;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseEvent};

use crate::{
    cockpit::{
        alerts::{Alert, AlertState},
        commands::{CommandId, On, Risk, row},
        decide::{self, Refusal},
        foresights, monthly,
        orders::OrderId,
        ports::Trouble,
        spot::Spot,
        world::World,
    },
    domain::{grant::DecisionVerdict, names::Text},
};

use super::{
    chooser::{Chooser, Kind},
    dialog::Overlay,
    keys,
    model::{Asked, Focus, Main, Model, Tone, View, Zoom},
    offer::{self, Offer},
    past::{self, Before},
    preferences::Preferences,
    settle, theme, views,
};

/// What the operator does.
#[derive(Clone, Debug)]
pub enum Input {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    /// A command by its name, where words are typed.
    Command(CommandId),
    /// Columns and lines.
    Resize(u16, u16),
}

/// What the screen asks of the program around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Command(decide::Command),
    /// Into the clipboard.
    Copy(String),
    /// Load this theme.
    Theme(&'static str),
    Suspend,
    Quit,
}

/// Begins somewhere else than with the fleet.
pub fn open(model: &mut Model, spot: Spot) {
    match spot.ns {
        None => look::open_cluster(model, spot.cluster),
        Some(ns) => {
            let focus = spot.direction.map_or(Focus::Both, Focus::One);
            look::open_namespace(model, spot.cluster, ns, focus);
        }
    }
}

/// Takes the user's own choices; what is wrong with them stands among the notices too.
pub fn begin(model: &mut Model, world: &World, chosen: Preferences, troubles: Vec<Trouble>) {
    model.told.now = world.now();
    model.settings.keys = chosen.keys;
    model.settings.views = chosen.views;
    if let Some(start) = &chosen.start {
        views::open(model, start);
    }
    if let Some(first) = troubles.first() {
        let more = match troubles.len() - 1 {
            0 => String::new(),
            more => format!(" ({more} more under {})", model.settings.keys.first(CommandId::Notices)),
        };
        model.told.say(format!("{first}{more}"), Tone::Bad);
    }
    model.settings.troubles = troubles;
}

/// After an upgrade that changed keys: which, once.
pub fn note_changed_keys(model: &mut Model, mut changed: Vec<String>) {
    /// Lines that a small screen has room for.
    const MOST: usize = 12;
    let more = changed.len().saturating_sub(MOST);
    if more > 0 {
        changed.truncate(MOST);
        let help = model.settings.keys.first(CommandId::Help);
        changed.push(format!("and {more} more: {help} lists all keys of a view"));
    }
    if !changed.is_empty() {
        let title = "keys that changed since you used sluice last".to_owned();
        model.overlay = Some(Overlay::Reasons { title, reasons: changed });
    }
}

/// Something worth waking somebody for: said until the next key.
pub fn note_alert(model: &mut Model, alert: &Alert) {
    let tone = match alert.state {
        AlertState::Raised | AlertState::Worse => Tone::Bad,
        AlertState::Recovered => Tone::Good,
    };
    let over = u8::from(alert.state == AlertState::Recovered);
    // What is over comes after everything that is not.
    let severity = alert.key.kind.severity() + 4 * over;
    model.told.alert(alert.line(), tone, severity, alert.key.clone());
}

/// One input: the model changes, and what is asked comes back.
pub fn update(model: &mut Model, world: &World, input: Input) -> Vec<Ask> {
    model.told.now = world.now();
    let filtering = model.filters.editing.is_some();
    let before = Before::of(model);
    let mut asks = match input {
        Input::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Input::Key(key) => {
            model.told.key_pressed();
            on_key(model, world, &key)
        }
        Input::Mouse(event) => mouse::on_mouse(model, world, event),
        Input::Paste(text) => {
            paste(model, &text);
            Vec::new()
        }
        Input::Command(id) => {
            model.told.key_pressed();
            on_command(model, world, id)
        }
        Input::Resize(width, height) => {
            model.settings.size = (width, height);
            Vec::new()
        }
    };
    let sent = asks.iter().any(|ask| matches!(ask, Ask::Command(_)));
    before.note(model, sent);
    settle::refresh(model, world);
    if filtering || model.filters.editing.is_some() {
        look::land(model);
    }
    let is_read = |ask: &Ask| {
        matches!(
            ask,
            Ask::Command(
                decide::Command::ReadEdges(..)
                    | decide::Command::Foresee(_)
                    | decide::Command::ReadDocuments
                    | decide::Command::Compare(..)
            )
        )
    };
    if !asks.iter().any(is_read) {
        asks.extend(follow(model, world).map(Ask::Command));
    }
    note_asked(model, &asks);
    asks
}

/// What the page on screen wants to be asked now, also when no key was pressed.
pub fn follow(model: &Model, world: &World) -> Option<decide::Command> {
    if let View::Prediction(target) = model.view() {
        return foresights::is_due(world, target).then(|| decide::Command::Foresee(target.clone()));
    }
    let looks = matches!(model.view(), View::Document(_) | View::Main(Main::OpenEnds));
    if looks && world.plan().path.is_some() && world.discoveries().monthly().is_due(world.now()) {
        return Some(decide::Command::ReadDocuments);
    }
    if let View::Document(ns) = model.view() {
        let is_due = world.discoveries().monthly().renewal(ns).is_none()
            && monthly::compare_reasons(world, ns).is_empty();
        return is_due.then(|| decide::Command::Compare(ns.clone(), None));
    }
    let (cluster, ns) = model.view().place()?;
    let is_due = world.discoveries().is_due(cluster, ns, world.now());
    is_due.then(|| decide::Command::ReadEdges(cluster.clone(), ns.clone()))
}

/// What became of a command, as the engine answered it.
pub fn note_answer(model: &mut Model, answer: Result<Vec<OrderId>, Refusal>) {
    match answer {
        Ok(orders) => note_started(model, orders),
        Err(refusal) => note_refusal(model, &refusal),
    }
}

/// `decide` said no: every reason, in a dialog; for a stray abort a message is enough.
pub fn note_refusal(model: &mut Model, refusal: &Refusal) {
    let title = Text::from(format!("{} is refused", refusal.what)).to_string();
    let reasons: Vec<_> = refusal.reasons.iter().map(ToString::to_string).collect();
    match model.told.asked.take() {
        Some(Asked::Abort | Asked::Other) => {
            model.told.say(format!("{title}: {}", reasons.join("; ")), Tone::Bad);
        }
        Some(Asked::Preview | Asked::Apply | Asked::RollBack | Asked::Share) | None => {
            model.overlay = Some(Overlay::Reasons { title, reasons });
        }
    }
}

/// What was asked for is under way.
pub fn note_started(model: &mut Model, ids: Vec<OrderId>) {
    let numbers: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let asked = model.told.asked.take();
    if let Some(asked) = asked {
        past::sent(model, asked);
    }
    let what = match asked {
        Some(Asked::Preview) => {
            model.overlay = Some(Overlay::Waiting(ids));
            return;
        }
        Some(Asked::Apply) => "apply started",
        Some(Asked::RollBack) => "rollback started",
        Some(Asked::Abort) => {
            model.told.say("abort asked for: running applies stop before their next write", Tone::Plain);
            return;
        }
        Some(Asked::Share) => {
            model.told.say("sent to the state cluster; its answer is told here", Tone::Plain);
            return;
        }
        Some(Asked::Other) | None => return,
    };
    model.fleet.marks.clear();
    let list = if numbers.len() > 4 { format!("{} orders", numbers.len()) } else { numbers.join(" ") };
    let abort = model.settings.keys.first(CommandId::Abort);
    let stop = if what.starts_with("apply") { format!("; {abort} stops it") } else { String::new() };
    model.told.say(
        format!("{what}: {list}; {} shows every call{stop}", model.settings.keys.first(CommandId::Activity)),
        Tone::Plain,
    );
}

pub(super) fn note_asked(model: &mut Model, asks: &[Ask]) {
    for ask in asks {
        if let Ask::Command(command) = ask {
            model.told.asked = Some(match command {
                decide::Command::Preview(_) | decide::Command::Revert(_) | decide::Command::Shadow(_) => {
                    Asked::Preview
                }
                decide::Command::Apply(_) => Asked::Apply,
                decide::Command::RollBack(_) => Asked::RollBack,
                decide::Command::Abort(_) => Asked::Abort,
                decide::Command::Hold(_)
                | decide::Command::Release(_)
                | decide::Command::Waive(_)
                | decide::Command::Override(_)
                | decide::Command::Confirm(_)
                | decide::Command::AskReview(_)
                | decide::Command::DecideReview(_) => Asked::Share,
                decide::Command::Renew { .. } => Asked::Other,
                decide::Command::Reconnect(_) | decide::Command::Reload => Asked::Other,
                // Asked beside other things, also without a key; the page itself shows what came of it.
                decide::Command::ReadEdges(..)
                | decide::Command::Foresee(_)
                | decide::Command::ReadDocuments
                | decide::Command::Compare(..) => continue,
            });
        }
    }
}

fn on_key(model: &mut Model, world: &World, key: &KeyEvent) -> Vec<Ask> {
    let command = model.settings.keys.command(key);
    if let Some(asks) = command.and_then(|id| in_every_state(model, world, id)) {
        return asks;
    }
    if model.overlay.is_some() {
        return overlay::on_key(model, world, key);
    }
    if model.filters.editing.is_some() {
        look::edit_filter(model, world, key);
        return Vec::new();
    }
    match command {
        Some(CommandId::Quit) if key.code == KeyCode::Char('q') && !at_top(model) => {
            look::back(model);
            Vec::new()
        }
        Some(id) => run(model, world, id),
        None => Vec::new(),
    }
}

fn on_command(model: &mut Model, world: &World, id: CommandId) -> Vec<Ask> {
    match in_every_state(model, world, id) {
        Some(asks) => asks,
        None if model.overlay.is_some() => overlay::on_command(model, world, id),
        None => run(model, world, id),
    }
}

/// Stopping, taking back, going to the shell and masks work in every state (law 6).
fn in_every_state(model: &mut Model, world: &World, id: CommandId) -> Option<Vec<Ask>> {
    match id {
        CommandId::Abort | CommandId::Suspend | CommandId::Mask => Some(run(model, world, id)),
        CommandId::RollBack if !matches!(model.overlay, Some(Overlay::RollBack(_))) => {
            model.filters.editing = None;
            Some(run(model, world, id))
        }
        _ => None,
    }
}

fn at_top(model: &Model) -> bool {
    *model.view() == View::Main(Main::Fleet) && model.settings.zoom == Zoom::No
}

fn paste(model: &mut Model, text: &str) {
    let clean: String = text.chars().filter(|c| !crate::domain::names::is_hostile(*c)).take(200).collect();
    let type_in = |input: &mut tui_input::Input| {
        for c in clean.chars() {
            input.handle(tui_input::InputRequest::InsertChar(c));
        }
    };
    match &mut model.overlay {
        Some(Overlay::Chooser(chooser)) => {
            type_in(&mut chooser.input);
            chooser.search();
        }
        Some(Overlay::Form(form)) => form.paste(&clean),
        // A confirmation is typed, not pasted.
        Some(_) => {}
        None => {
            if let Some(input) = &mut model.filters.editing {
                type_in(input);
            }
        }
    }
}

/// Runs a command as its key does. One that is off shows every reason why.
pub(super) fn run(model: &mut Model, world: &World, id: CommandId) -> Vec<Ask> {
    if !may_run(model, world, id) {
        return Vec::new();
    }
    match id {
        CommandId::Apply => act::apply(model, world),
        CommandId::RollBack => act::roll_back(model, world),
        CommandId::Advance
        | CommandId::Revert
        | CommandId::Shadow
        | CommandId::Hold
        | CommandId::Release
        | CommandId::Exclude
        | CommandId::Override
        | CommandId::ConfirmOverride => lead::run(model, world, id),
        CommandId::Abort => vec![Ask::Command(decide::Command::Abort(Vec::new()))],
        CommandId::Approve => act::decide(model, world, DecisionVerdict::Approved),
        CommandId::Reject => act::decide(model, world, DecisionVerdict::Rejected),
        CommandId::Revoke => act::decide(model, world, DecisionVerdict::Revoked),
        CommandId::AskReview => act::ask_review(model, world),
        CommandId::Waive => act::waive(model, world),
        CommandId::Propose => act::propose(model, world),
        CommandId::Renew => act::renew(model, world),
        CommandId::Reconnect => act::reconnect(model, world),
        CommandId::Reload => vec![Ask::Command(decide::Command::Reload)],
        CommandId::Refresh => act::refresh(model),
        CommandId::Copy => act::copy(model, world),
        CommandId::CopyCommand => act::copy_command(model, world),
        CommandId::CopyAll => act::copy_all(model, world),
        CommandId::Theme => {
            model.settings.theme = theme::after(model.settings.theme);
            vec![Ask::Theme(model.settings.theme)]
        }
        CommandId::Mask => act::mask(model, world),
        CommandId::Suspend => vec![Ask::Suspend],
        CommandId::Quit => act::quit(model, world),
        CommandId::Undo => {
            past::undo(model);
            Vec::new()
        }
        CommandId::Palette | CommandId::Help | CommandId::Menu | CommandId::Views => {
            let kind = match id {
                CommandId::Palette => Kind::Palette,
                CommandId::Help => Kind::Help,
                CommandId::Views => Kind::Views,
                _ => Kind::Menu,
            };
            let chooser = Chooser::open(kind, world, model);
            model.overlay = Some(Overlay::Chooser(Box::new(chooser)));
            Vec::new()
        }
        _ => {
            look::look(model, world, id);
            Vec::new()
        }
    }
}

/// Says why where it may not.
fn may_run(model: &mut Model, world: &World, id: CommandId) -> bool {
    match offer::offer(world, model, id) {
        Offer::Ready => true,
        Offer::Absent => {
            let row = row(id);
            let on = match row.on {
                On::Anywhere => "has no meaning on this page".to_owned(),
                on => format!("works on: {}", keys::place(on)),
            };
            model.told.say(format!("{} {on}", row.name), Tone::Plain);
            false
        }
        // The dialog of a rollback also helps who may not do it: it shows the commands.
        Offer::Off(_) if id == CommandId::RollBack => true,
        Offer::Off(reasons) => {
            refuse(model, id, reasons);
            false
        }
    }
}

/// A plain nudge for what only looks; a dialog for what acts.
fn refuse(model: &mut Model, id: CommandId, reasons: Vec<String>) {
    let name = row(id).name;
    match row(id).risk {
        Risk::Writes | Risk::Records | Risk::Files => {
            model.overlay = Some(Overlay::Reasons { title: format!("{name} is off here"), reasons });
        }
        Risk::Looks | Risk::Asks | Risk::TakesBack => {
            model.told.say(format!("{name}: {}", reasons.join("; ")), Tone::Plain);
        }
    }
}
