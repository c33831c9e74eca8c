//! Keys while something lies over the page. Here, and nowhere else, `Apply` and `RollBack` leave:
//! the first after the exact word was typed, the second on ctrl-r pressed again. What is written to
//! the state cluster leaves from the button of its form, once nothing is against it.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::cockpit::{commands::CommandId, decide::Command, world::World};

use super::{
    super::{
        as_command,
        chooser::{Choice, Chooser, Kind},
        dialog::{ApplyDialog, Button, Overlay, RollbackDialog, Scrolled},
        form::{At, Form},
        keys,
        model::{Focus, Model, Tone},
        proposal::ProposalDialog,
        renewal::RenewDialog,
        views,
    },
    Ask, lead, look, run,
};

pub fn on_key(model: &mut Model, world: &World, key: &KeyEvent) -> Vec<Ask> {
    let Some(overlay) = model.overlay.take() else { return Vec::new() };
    let close = key.code == KeyCode::Esc || is_ctrl(key, 'c');
    // A key that is held down is not pressed twice.
    let held = key.kind == KeyEventKind::Repeat;
    let command = model.settings.keys.command(key);
    match overlay {
        Overlay::Quit if is_ctrl(key, 'c') => return vec![Ask::Quit],
        Overlay::Quit if matches!(key.code, KeyCode::Esc | KeyCode::Enter) => {}
        Overlay::Waiting(_) if close || key.code == KeyCode::Enter => {
            model.told.say("the preview was dropped; nothing was changed", Tone::Plain);
        }
        _ if close => {}
        Overlay::Chooser(chooser) => return choosing(model, world, *chooser, key),
        Overlay::Apply(dialog) => return applying(model, world, dialog, key),
        Overlay::RollBack(dialog) => {
            let command = command.filter(|id| !held || *id != CommandId::RollBack);
            return rolling_back(model, world, dialog, command);
        }
        Overlay::Proposal(dialog) => return proposing(model, dialog, key.code, command),
        Overlay::Renew(dialog) if held => model.overlay = Some(Overlay::Renew(dialog)),
        Overlay::Renew(dialog) => return renewing(model, dialog, key.code, command),
        Overlay::Form(form) => return filling(model, world, form, key),
        Overlay::Reasons { title, reasons } => match key.code {
            KeyCode::Enter | KeyCode::Char('q') => {}
            KeyCode::Char('y') => {
                model.told.say("copied the reasons", Tone::Plain);
                return vec![Ask::Copy(format!("{title}:\n{}", reasons.join("\n")))];
            }
            _ => model.overlay = Some(Overlay::Reasons { title, reasons }),
        },
        overlay @ (Overlay::Waiting(_) | Overlay::Quit) => model.overlay = Some(overlay),
    }
    Vec::new()
}

/// A command by its name, where a dialog knows what to do with it.
pub fn on_command(model: &mut Model, world: &World, id: CommandId) -> Vec<Ask> {
    match model.overlay.take() {
        Some(Overlay::RollBack(dialog)) => rolling_back(model, world, dialog, Some(id)),
        Some(Overlay::Proposal(dialog)) => proposing(model, dialog, KeyCode::Null, Some(id)),
        Some(Overlay::Renew(dialog)) => renewing(model, dialog, KeyCode::Null, Some(id)),
        overlay => {
            model.overlay = overlay;
            Vec::new()
        }
    }
}

fn is_ctrl(key: &KeyEvent, c: char) -> bool {
    key.code == KeyCode::Char(c) && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Lines up and down, by arrows and pages.
fn walked(key: &KeyEvent) -> Option<CommandId> {
    match key.code {
        KeyCode::Down => Some(CommandId::Down),
        KeyCode::Up => Some(CommandId::Up),
        KeyCode::PageDown => Some(CommandId::PageDown),
        KeyCode::PageUp => Some(CommandId::PageUp),
        _ => None,
    }
}

fn choosing(model: &mut Model, world: &World, mut chooser: Chooser, key: &KeyEvent) -> Vec<Ask> {
    const PAGE: isize = 10;
    let menu = chooser.kind == Kind::Menu;
    match (key.code, walked(key)) {
        (KeyCode::Enter, _) => return choose(model, world, &chooser),
        (_, Some(CommandId::Down)) | (KeyCode::Tab, _) => chooser.step(1),
        (_, Some(CommandId::Up)) | (KeyCode::BackTab, _) => chooser.step(-1),
        (_, Some(CommandId::PageDown)) => chooser.step(PAGE),
        (_, Some(CommandId::PageUp)) => chooser.step(-PAGE),
        (KeyCode::Char('j'), _) if menu => chooser.step(1),
        (KeyCode::Char('k'), _) if menu => chooser.step(-1),
        (KeyCode::Char('q' | 'm'), _) if menu => return Vec::new(),
        _ if menu => {
            if let Some(id) = model.settings.keys.command(key) {
                return run(model, world, id);
            }
        }
        _ => {
            if let Some(request) = keys::edit(key) {
                chooser.input.handle(request);
                chooser.search();
            }
        }
    }
    model.overlay = Some(Overlay::Chooser(Box::new(chooser)));
    Vec::new()
}

pub fn choose(model: &mut Model, world: &World, chooser: &Chooser) -> Vec<Ask> {
    let Some(item) = chooser.chosen() else { return Vec::new() };
    match &item.choice {
        Choice::Command(_) if !item.off.is_empty() => {
            let title = format!("{} is off here", item.label);
            model.overlay = Some(Overlay::Reasons { title, reasons: item.off.clone() });
            Vec::new()
        }
        Choice::Command(id) => run(model, world, *id),
        Choice::Cluster(cluster) => {
            look::open_cluster(model, cluster.clone());
            Vec::new()
        }
        Choice::Namespace(cluster, ns) => {
            look::open_namespace(model, cluster.clone(), ns.clone(), Focus::Both);
            Vec::new()
        }
        Choice::View(at) => {
            if let Some(saved) = model.settings.views.get(*at).cloned() {
                views::open(model, &saved);
            }
            Vec::new()
        }
        Choice::Keep => views::as_lines(model).map_or_else(Vec::new, |lines| {
            model.told.say("copied as lines of preferences.toml", Tone::Plain);
            vec![Ask::Copy(lines)]
        }),
    }
}

/// Goes up or down in a text.
fn moves(id: CommandId) -> bool {
    matches!(
        id,
        CommandId::Down
            | CommandId::Up
            | CommandId::PageDown
            | CommandId::PageUp
            | CommandId::Top
            | CommandId::Bottom
    )
}

/// Moves the text of a dialog by lines.
pub fn scroll(text: &mut Scrolled, id: CommandId) {
    let limit = text.limit();
    look::scroll(&mut text.at, id, limit);
}

fn applying(model: &mut Model, world: &World, mut dialog: Box<ApplyDialog>, key: &KeyEvent) -> Vec<Ask> {
    let mut asks = Vec::new();
    let is_veiled = dialog.is_veiled(model.settings.masks.shown());
    match (key.code, walked(key)) {
        // Cancel has the focus until a word is typed.
        (KeyCode::Enter, _) if dialog.button == Button::Cancel => {
            model.told.say("nothing was changed", Tone::Plain);
            return asks;
        }
        (KeyCode::Enter, _) => {
            dialog.check(world);
            if dialog.may_confirm() && !is_veiled {
                return vec![Ask::Command(Command::Apply(dialog.previews))];
            }
        }
        (_, Some(id)) => scroll(&mut dialog.body, id),
        (KeyCode::Tab | KeyCode::BackTab, _) => {
            dialog.button = match dialog.button {
                Button::Cancel => Button::Word,
                Button::Word => Button::Cancel,
            };
        }
        // No word to type has an upper-case letter, so these keys are free.
        (KeyCode::Char('O'), _) if dialog.overridable => {
            return lead::overrule(model, world, &dialog.overrulable());
        }
        (KeyCode::Char('Y'), _) => {
            model.told.say("copied the commands", Tone::Plain);
            asks.push(Ask::Copy(dialog.commands.clone()));
        }
        _ => {
            if let Some(request) = keys::edit(key).filter(|_| dialog.reasons.is_empty() && !is_veiled) {
                dialog.input.handle(request);
                let empty = dialog.input.value().is_empty();
                dialog.button = if empty { Button::Cancel } else { Button::Word };
            }
        }
    }
    model.overlay = Some(Overlay::Apply(dialog));
    asks
}

fn rolling_back(
    model: &mut Model,
    world: &World,
    mut dialog: Box<RollbackDialog>,
    command: Option<CommandId>,
) -> Vec<Ask> {
    let mut asks = Vec::new();
    match command {
        Some(CommandId::RollBack) => {
            // One that began elsewhere meanwhile is not begun again.
            dialog.targets.retain(|target| !super::super::offer::already(world, target));
            if dialog.targets.is_empty() {
                model.told.say("every row of it is being rolled back already", Tone::Plain);
                return asks;
            }
            return vec![Ask::Command(Command::RollBack(dialog.targets))];
        }
        Some(CommandId::Open | CommandId::Quit) => {
            model.told.say("nothing was changed", Tone::Plain);
            return asks;
        }
        Some(id) if moves(id) => scroll(&mut dialog.body, id),
        Some(CommandId::Copy | CommandId::CopyCommand) => {
            model.told.say("copied the commands", Tone::Plain);
            asks.push(Ask::Copy(dialog.commands.clone()));
        }
        _ => {}
    }
    model.overlay = Some(Overlay::RollBack(dialog));
    asks
}

/// Nothing leaves but the text.
fn proposing(
    model: &mut Model,
    mut dialog: Box<ProposalDialog>,
    code: KeyCode,
    command: Option<CommandId>,
) -> Vec<Ask> {
    let mut asks = Vec::new();
    match (code, command) {
        (KeyCode::Enter | KeyCode::Char('q'), _) => return asks,
        (_, Some(CommandId::Copy)) => match &dialog.yaml {
            Some(yaml) => {
                model.told.say("copied the YAML; its file is named above", Tone::Plain);
                asks.push(Ask::Copy(yaml.clone()));
            }
            None => model.told.say("there is no rule to copy", Tone::Plain),
        },
        (_, Some(id)) if moves(id) => scroll(&mut dialog.body, id),
        _ => {}
    }
    model.overlay = Some(Overlay::Proposal(dialog));
    asks
}

/// The same key again writes with a review, `w` without one; nothing else does.
fn renewing(
    model: &mut Model,
    mut dialog: Box<RenewDialog>,
    code: KeyCode,
    command: Option<CommandId>,
) -> Vec<Ask> {
    let ns = dialog.ns.clone();
    let write = |reviewed| vec![Ask::Command(Command::Renew { ns, reviewed })];
    match (code, command) {
        (_, Some(CommandId::Renew)) if dialog.reviewer.is_some() => return write(true),
        (_, Some(CommandId::Renew)) => {
            model.told.say("who reviews it is not known here; w writes it without a review", Tone::Plain);
        }
        (KeyCode::Char('w'), _) => return write(false),
        (KeyCode::Enter | KeyCode::Char('q'), _) => {
            model.told.say("nothing was written", Tone::Plain);
            return Vec::new();
        }
        (_, Some(id)) if moves(id) => scroll(&mut dialog.body, id),
        _ => {}
    }
    model.overlay = Some(Overlay::Renew(dialog));
    Vec::new()
}

/// Only Enter on the button sends.
fn filling(model: &mut Model, world: &World, mut form: Box<Form>, key: &KeyEvent) -> Vec<Ask> {
    let mut asks = Vec::new();
    match (key.code, walked(key)) {
        (KeyCode::Enter, _) if form.at == At::Cancel => {
            model.told.say("nothing was sent", Tone::Plain);
            return Vec::new();
        }
        (KeyCode::Enter, _) if form.at == At::Send => {
            form.check(world);
            match form.command(world) {
                Ok(command) if form.may_send() => return vec![Ask::Command(command)],
                Ok(_) | Err(_) => model.told.say("not sent: see what is missing", Tone::Bad),
            }
        }
        (_, Some(id)) => scroll(&mut form.body, id),
        (KeyCode::Char('Y'), _) if matches!(form.at, At::Send | At::Cancel) => {
            let text = form.command(world).ok().and_then(|wanted| as_command::command(world, &wanted));
            match text {
                Some(text) => {
                    model.told.say("copied as a command; nothing was sent", Tone::Plain);
                    asks.push(Ask::Copy(text));
                }
                None if form.may_send() => {
                    model.told.say("no command does this: only this form", Tone::Plain);
                }
                None => model.told.say("fill it in first: see what is missing", Tone::Plain),
            }
        }
        _ => form.press(world, key),
    }
    model.overlay = Some(Overlay::Form(form));
    asks
}
