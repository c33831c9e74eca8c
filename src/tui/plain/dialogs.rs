//! What lies over a page, as lines that end in what may be typed: the same texts, words and buttons
//! as on the screen.

use super::{
    super::{
        chooser::{Choice, Chooser, Kind},
        dialog::{ApplyDialog, Overlay, RollbackDialog, Scrolled},
        form::{Entry, Field, Form},
        masks,
        model::Model,
        proposal::ProposalDialog,
        renewal::RenewDialog,
        view::frame::band,
        widgets::plural,
    },
    words::say,
};
use crate::{
    cockpit::{commands::CommandId, orders::OrderId, world::World},
    domain::fleet::Environment,
};

/// Entries of a list that are printed at once: all commands, and of a palette the first targets.
const MOST: usize = 80;

/// Which dialog it is, and what of it changes while it is open.
pub fn sign(overlay: &Overlay) -> (String, String) {
    let own = |kind: &str, title: &str, rest: String| (format!("{kind} {title}"), rest);
    match overlay {
        Overlay::Chooser(chooser) => {
            own("chooser", &format!("{:?}", chooser.kind), chooser.input.value().to_owned())
        }
        Overlay::Waiting(ids) => own("waiting", &format!("{ids:?}"), String::new()),
        Overlay::Apply(dialog) => own("apply", &dialog.title, dialog.reasons.join("\n")),
        Overlay::RollBack(dialog) => own("rollback", &dialog.title, dialog.reasons.join("\n")),
        Overlay::Proposal(dialog) => own("proposal", &dialog.title, format!("{:?}", dialog.yaml)),
        Overlay::Renew(dialog) => own("renew", &dialog.title, String::new()),
        Overlay::Form(form) => {
            let fields: Vec<_> = form.fields.iter().map(value).collect();
            own("form", form.title, [fields.join("\n"), form.reasons.join("\n")].concat())
        }
        Overlay::Reasons { title, reasons } => own("reasons", title, reasons.join("\n")),
        Overlay::Quit => own("quit", "", String::new()),
    }
}

/// `again`: it was told before, and something of it changed.
pub fn tell(world: &World, model: &Model, overlay: &Overlay, again: bool) -> Vec<String> {
    let lines = match overlay {
        Overlay::Chooser(chooser) => choosing(model, chooser),
        Overlay::Waiting(ids) => waiting(world, ids),
        Overlay::Apply(dialog) => applying(model, dialog, again),
        Overlay::RollBack(dialog) => rolling_back(model, dialog),
        Overlay::Proposal(dialog) => proposing(dialog),
        Overlay::Renew(dialog) => renewing(dialog),
        Overlay::Form(form) => filling(form, again),
        Overlay::Reasons { title, reasons } => {
            let reasons = reasons.iter().map(|reason| format!("- {reason}"));
            let way_out = "return closes it; y prints it as a message".to_owned();
            std::iter::once(format!("{title}:")).chain(reasons).chain([way_out]).collect()
        }
        Overlay::Quit => quitting(world),
    };
    let hidden = lines.into_iter().map(|line| match model.settings.masks.shown() {
        Some(masks) => masks.hide(&line),
        None => line,
    });
    hidden.map(|line| say(&line, model.settings.ascii)).collect()
}

fn choosing(model: &Model, chooser: &Chooser) -> Vec<String> {
    let own = |text: &str| match model.settings.masks.shown() {
        Some(_) => masks::own(text),
        None => text.to_owned(),
    };
    let mut out = vec![match (chooser.kind, chooser.input.value()) {
        (Kind::Help, "") => "what can be typed on this page, as a word or as a key:".to_owned(),
        (Kind::Menu, "") => "what can be done with the chosen row:".to_owned(),
        (Kind::Views, "") => "saved views:".to_owned(),
        (Kind::Palette, "") => "commands, clusters, namespaces:".to_owned(),
        (_, text) => format!("what matches {text:?}:"),
    }];
    out.extend(chooser.shown.iter().take(MOST).enumerate().map(|(nth, at)| {
        let item = &chooser.items[*at];
        // What has no key goes by its name.
        let has_key = !item.key.is_empty() && item.key != item.label;
        let key = if has_key { format!(" ({})", item.key) } else { String::new() };
        let head = format!("{}. {}{key}: ", nth + 1, item.label);
        // Of a command all but the reasons against it is the program's own.
        let is_own = matches!(item.choice, Choice::Command(_) | Choice::Keep);
        let said = |text: &str| if is_own { own(text) } else { text.to_owned() };
        match item.off.first() {
            Some(reason) => format!("{}off: {reason}", said(&head)),
            None => said(&head) + &said(&item.doc),
        }
    }));
    let more = chooser.shown.len().saturating_sub(MOST);
    if more > 0 {
        out.push(format!("and {more} more"));
    }
    if chooser.shown.is_empty() {
        out.push("nothing matches".to_owned());
    }
    out.push("a number runs one, other words search among them, return closes the list".to_owned());
    out
}

fn waiting(world: &World, ids: &[OrderId]) -> Vec<String> {
    let orders = ids.iter().filter_map(|id| world.orders().get(*id));
    let waits: Vec<_> =
        orders.filter(|order| order.is_running()).map(|order| order.target.to_string()).collect();
    vec![
        format!("the API server is asked what an apply would do (dry run): {}", waits.join(", ")),
        "nothing is changed; esc drops the preview".to_owned(),
    ]
}

fn head(title: &str, environment: Environment, body: &Scrolled) -> Vec<String> {
    let mut out = vec![format!("{}: {title}", band(environment).0)];
    out.extend(body.all().iter().map(|line| line.text.clone()));
    out
}

fn applying(model: &Model, dialog: &ApplyDialog, again: bool) -> Vec<String> {
    let mut out = if again { Vec::new() } else { head(&dialog.title, dialog.environment, &dialog.body) };
    out.extend(
        dialog.reasons.iter().map(|reason| {
            format!("cannot be {}: {reason}", if dialog.stages { "staged" } else { "applied" })
        }),
    );
    out.push(if !dialog.reasons.is_empty() {
        "return closes it; Y prints the commands".to_owned()
    } else if dialog.is_veiled(model.settings.masks.shown()) {
        let key = model.settings.keys.first(CommandId::Mask);
        format!("names are masked: {key} shows them, then the name is typed; return cancels")
    } else {
        let what = if dialog.stages { "stage" } else { "apply" };
        format!("to {what}, type {} and return; return alone cancels; Y prints the commands", dialog.word)
    });
    out
}

fn rolling_back(model: &Model, dialog: &RollbackDialog) -> Vec<String> {
    let mut out = head(&dialog.title, dialog.environment, &dialog.body);
    out.extend(dialog.reasons.iter().map(|reason| format!("will be refused: {reason}")));
    let key = model.settings.keys.first(CommandId::RollBack);
    out.push(format!(
        "to roll back now, type {key} or rollback again; return alone cancels; Y prints the commands"
    ));
    out
}

fn proposing(dialog: &ProposalDialog) -> Vec<String> {
    let mut out = head(&dialog.title, dialog.environment, &dialog.body);
    let yaml = if dialog.yaml.is_some() { "y prints the YAML alone; " } else { "" };
    out.push(format!("{yaml}return closes it; nothing is applied here"));
    out
}

fn renewing(dialog: &RenewDialog) -> Vec<String> {
    let mut out = vec![format!("{}:", dialog.title)];
    out.extend(dialog.body.all().iter().map(|line| line.text.clone()));
    if let Some(reviewer) = &dialog.reviewer {
        out.push(format!("to write it, reviewed by {reviewer}, type renew again"));
    }
    out.push(
        "w and return writes it without a review; return alone cancels; no cluster is touched".to_owned(),
    );
    out
}

/// What a field holds, as it is typed.
fn value(field: &Field) -> String {
    match &field.entry {
        Entry::Line(input) | Entry::When(input) => input.value().to_owned(),
        Entry::One { words, at } => words.get(*at).cloned().unwrap_or_default(),
        Entry::Several { words, on, .. } => {
            let on: Vec<_> = on.iter().filter_map(|at| words.get(*at)).map(String::as_str).collect();
            on.join(", ")
        }
    }
}

fn filling(form: &Form, again: bool) -> Vec<String> {
    let title =
        if form.name.is_empty() { form.title.to_owned() } else { format!("{}, {}", form.title, form.name) };
    let mut out = if again { Vec::new() } else { head(&title, form.environment, &form.body) };
    out.extend(form.fields.iter().enumerate().map(|(nth, field)| {
        let hint = match &field.entry {
            Entry::Line(_) | Entry::When(_) if field.hint.is_empty() => String::new(),
            Entry::Line(_) | Entry::When(_) => format!(" ({})", field.hint),
            Entry::One { words, .. } => format!(" (one of: {})", words.join(", ")),
            Entry::Several { words, .. } => format!(" (any of: {})", words.join(", ")),
        };
        let value = Some(value(field)).filter(|value| !value.is_empty());
        format!("{}. {}: {}{hint}", nth + 1, field.label, value.as_deref().unwrap_or("empty"))
    }));
    out.extend(form.reasons.iter().map(|reason| format!("not yet: {reason}")));
    let fill = if form.fields.is_empty() { "" } else { "a number and a text fill a field; " };
    let send = send_word(form);
    out.push(format!("{fill}{send} and return sends it; Y prints it as a command; esc cancels"));
    out
}

/// What is typed to send a form: the word on its button.
pub fn send_word(form: &Form) -> String {
    form.verb.to_lowercase()
}

fn quitting(world: &World) -> Vec<String> {
    let mut out = vec!["leave while orders run?".to_owned()];
    out.extend(world.running().map(|order| {
        let calls = plural(order.receipts, "call");
        format!("{} {} {}, {calls} answered", order.kind.as_str(), order.id, order.target)
    }));
    out.push("leaving stops them where they are; nothing stays more closed than it was".to_owned());
    out.push("quit again leaves; return stays".to_owned());
    out
}
