//! Commands that ask something of the world outside the screen. None of them changes a cluster:
//! apply asks for a preview, rollback opens its dialog; the dialogs go on from there.

use crate::{
    cockpit::{decide::Command, orders::Target, reviews::dossier, rows, world::World},
    domain::{denial::GroupId, grant::DecisionVerdict, names::Text, valve::shell_word},
};

use super::{
    super::{
        copy, desk, destinations,
        dialog::{Overlay, RollbackDialog},
        form::Form,
        model::{ActKey, Main, Model, RowKey, Tone, View},
        offer,
        proposal::ProposalDialog,
        renewal::RenewDialog,
        reviews, settle,
        view::{
            coverage, document, dossier as destination, open_ends, plan, prediction, preflight, review,
            timeline,
        },
        widgets::plural,
    },
    Ask, look,
};

pub fn apply(model: &Model, world: &World) -> Vec<Ask> {
    vec![Ask::Command(Command::Preview(offer::apply_scope(world, model).targets))]
}

/// Opens the dialog; the same key again confirms in it.
pub fn roll_back(model: &mut Model, world: &World) -> Vec<Ask> {
    let scope = offer::rollback_scope(world, model);
    if scope.targets.is_empty() {
        let why = match offer::subject(world, model) {
            Some(RowKey::Cluster(name)) => offer::nothing_to_roll_back(world, &name),
            Some(RowKey::Namespace(..) | RowKey::Rollout(_)) | None => "no row is chosen".to_owned(),
        };
        model.told.say(format!("rollback: {why}"), Tone::Plain);
        return Vec::new();
    }
    model.overlay = Some(Overlay::RollBack(Box::new(RollbackDialog::open(world, &scope))));
    Vec::new()
}

pub fn reconnect(model: &mut Model, world: &World) -> Vec<Ask> {
    let Some(key) = offer::subject(world, model) else { return Vec::new() };
    let cluster = key.cluster().clone();
    model.told.say(format!("{cluster}: trying again now"), Tone::Plain);
    vec![Ask::Command(Command::Reconnect(cluster))]
}

/// Asks the collector for the namespace on screen.
pub fn refresh(model: &mut Model) -> Vec<Ask> {
    if let View::Prediction(target) = model.view().clone() {
        model.told.say(format!("{} is looked at anew", target.cluster), Tone::Plain);
        return vec![Ask::Command(Command::Foresee(target))];
    }
    if let View::Document(ns) = model.view().clone() {
        model.told.say(format!("the collectors are asked for {ns}"), Tone::Plain);
        return vec![Ask::Command(Command::Compare(ns, None))];
    }
    let Some((cluster, ns)) = model.view().place() else { return Vec::new() };
    let command = Command::ReadEdges(cluster.clone(), ns.clone());
    let text = format!("the collector of {cluster} is asked for {ns}");
    model.told.say(text, Tone::Plain);
    vec![Ask::Command(command)]
}

/// Shows the narrowest rule for the denial under the cursor.
pub fn propose(model: &mut Model, world: &World) -> Vec<Ask> {
    let group = offer::denial(world, model).and_then(|id| model.group(world, id));
    let Some(dialog) = group.map(|group| ProposalDialog::open(world, group)) else { return Vec::new() };
    let (cluster, ns) = dialog.place();
    // What was recorded is a part of it: the dialog takes it in when it comes.
    let is_due = world.discoveries().is_due(cluster, ns, world.now());
    let ask = is_due.then(|| Ask::Command(Command::ReadEdges(cluster.clone(), ns.clone())));
    model.overlay = Some(Overlay::Proposal(Box::new(dialog)));
    ask.into_iter().collect()
}

/// Shows what writing the document on screen would do; the same key again writes.
pub fn renew(model: &mut Model, world: &World) -> Vec<Ask> {
    if let View::Document(ns) = model.view().clone()
        && let Some(dialog) = RenewDialog::open(world, &ns)
    {
        model.overlay = Some(Overlay::Renew(Box::new(dialog)));
    }
    Vec::new()
}

/// Opens the form of a decision on the reviews at the cursor.
pub fn decide(model: &mut Model, world: &World, verdict: DecisionVerdict) -> Vec<Ask> {
    let form = Form::decide(world, verdict, &reviews::meant(model));
    model.overlay = Some(Overlay::Form(Box::new(form)));
    Vec::new()
}

pub fn ask_review(model: &mut Model, world: &World) -> Vec<Ask> {
    match desk::drafts(world, model) {
        Ok(drafts) => model.overlay = Some(Overlay::Form(Box::new(Form::ask(world, &drafts)))),
        Err(why) => model.told.say(format!("ask-review: {why}"), Tone::Plain),
    }
    Vec::new()
}

pub fn waive(model: &mut Model, world: &World) -> Vec<Ask> {
    match desk::waivables(world, model) {
        Ok(all) => model.overlay = Some(Overlay::Form(Box::new(Form::waive(world, &all)))),
        Err(why) => model.told.say(format!("waive: {why}"), Tone::Plain),
    }
    Vec::new()
}

/// Hides names and addresses, or shows them again.
pub fn mask(model: &mut Model, world: &World) -> Vec<Ask> {
    let masks = &mut model.settings.masks;
    masks.on = !masks.on;
    masks.learn(world);
    let said = if masks.on {
        "names and addresses are masked on this screen; what is copied, written or sent stays true"
    } else {
        "names and addresses are shown again"
    };
    model.told.say(said, Tone::Plain);
    Vec::new()
}

/// Leaves at once, unless orders run.
pub fn quit(model: &mut Model, world: &World) -> Vec<Ask> {
    if world.running().next().is_none() {
        return vec![Ask::Quit];
    }
    model.overlay = Some(Overlay::Quit);
    Vec::new()
}

pub fn copy(model: &mut Model, world: &World) -> Vec<Ask> {
    let text = message(model, world);
    taken(model, text, "a message")
}

/// Every row of the page one after the other, each as its message.
pub fn copy_all(model: &mut Model, world: &World) -> Vec<Ask> {
    /// Bytes; terminals take little more.
    const MOST: usize = 70_000;
    let mut walker = model.clone();
    let (mut out, mut rows, mut left) = (String::new(), 0, 0);
    for at in 0.. {
        if !look::stand_at(&mut walker, at) {
            break;
        }
        // A call stands in the message of its order.
        if matches!(
            (walker.view(), walker.activity.list.chosen()),
            (View::Main(Main::Activity), Some(ActKey::Call { .. }))
        ) {
            continue;
        }
        let Some(text) = message(&walker, world) else { continue };
        if out.len() + text.len() > MOST {
            left += 1;
            continue;
        }
        rows += 1;
        out.push_str(&text);
        out.push_str("\n\n");
    }
    if rows == 0 {
        return taken(model, None, "");
    }
    let rest = if left == 0 {
        String::new()
    } else {
        format!("; {} did not fit: narrow the page", plural(left, "row"))
    };
    model.told.say(format!("copied {}{rest}", plural(rows, "row")), Tone::Plain);
    vec![Ask::Copy(out.trim_end().to_owned())]
}

/// The row under the cursor, ready to be sent to somebody.
fn message(model: &Model, world: &World) -> Option<String> {
    match model.view() {
        View::Main(Main::Denials) => denial(model, world, model.denials.chosen().copied()),
        View::Main(Main::Live) => {
            denial(model, world, model.live.chosen().and_then(|n| Some(model.attempt(world, *n)?.group)))
        }
        View::Group(id) => denial(model, world, Some(*id)),
        View::Main(Main::Activity) => activity(model, world),
        View::Main(Main::Plan) => plan::message(world, model, &model.settings),
        View::Main(Main::Notices) => {
            let notice = model.notices.list.chosen().and_then(|at| model.notices.all.get(*at));
            notice.map(|(_, trouble)| trouble.to_string())
        }
        View::Destinations(cluster, ns) => destinations::chosen(model, world)
            .map(|one| destination::message(world, &model.settings, (cluster, ns), one)),
        View::Dossier(cluster, ns, key) => destinations::find(world, cluster, ns, key)
            .map(|one| destination::message(world, &model.settings, (cluster, ns), one)),
        View::Preflight(cluster) => preflight::message(world, cluster, &model.settings),
        View::Prediction(target) => Some(prediction::message(world, target, &model.settings)),
        View::Document(ns) => Some(document::message(world, ns, &model.settings)),
        View::Timeline(target) => Some(timeline::message(world, target, &model.settings)),
        View::Coverage(cluster, ns) => coverage::message(world, &model.settings, (cluster, ns)),
        View::Main(Main::Reviews) => review(model, world, model.team.reviews.list.chosen()),
        View::Review(name) => review(model, world, Some(name)),
        View::Main(Main::OpenEnds) => {
            model.team.ends.chosen().map(|end| open_ends::message(end, world.zone()))
        }
        View::Main(Main::Fleet | Main::Sources) | View::Namespace(..) => match model.page.denials.chosen() {
            Some(id) if in_denials_pane(model) => denial(model, world, Some(*id)),
            Some(_) | None => offer::subject(world, model).map(|key| row(world, &key)),
        },
    }
}

pub fn copy_command(model: &mut Model, world: &World) -> Vec<Ask> {
    let text = match (model.view(), model.activity.list.chosen()) {
        (View::Main(Main::Activity), Some(ActKey::Order(id))) => {
            Some(settle::commands_of(model, world, *id).join("\n")).filter(|text| !text.is_empty())
        }
        (View::Main(Main::Activity), Some(ActKey::Call { order, nth })) => {
            settle::entry(model, world, *order, *nth).map(|entry| entry.receipt.command.clone())
        }
        (View::Main(Main::Reviews), _) => model.team.reviews.list.chosen().map(show_command),
        (View::Review(name), _) => Some(show_command(name)),
        _ => {
            let targets = offer::rollback_scope(world, model).targets;
            let all: Vec<_> = targets.iter().flat_map(|t| copy::rollback_commands(world, t)).collect();
            (!all.is_empty()).then(|| all.join("\n"))
        }
    };
    taken(model, text, "the command")
}

fn review(model: &Model, world: &World, name: Option<&Text>) -> Option<String> {
    let kept = world.shared().review(name?)?;
    Some(review::message(world, &model.settings, &dossier(world, kept)))
}

fn show_command(name: &Text) -> String {
    format!("sluice review show {}", shell_word(name.as_str()))
}

fn in_denials_pane(model: &Model) -> bool {
    matches!(model.view(), View::Namespace(..)) && model.page.focus == super::super::model::Focus::Denials
}

fn taken(model: &mut Model, text: Option<String>, what: &str) -> Vec<Ask> {
    match text {
        Some(text) => {
            let lines = text.lines().count();
            let names = if model.settings.masks.on { ", with the true names" } else { "" };
            let said = format!("copied {what}: {lines} line{}{names}", if lines == 1 { "" } else { "s" });
            model.told.say(said, Tone::Plain);
            vec![Ask::Copy(text)]
        }
        None => {
            model.told.say("there is nothing to copy on this row", Tone::Plain);
            Vec::new()
        }
    }
}

fn denial(model: &Model, world: &World, id: Option<GroupId>) -> Option<String> {
    model.group(world, id?).map(|group| copy::denial(world, group))
}

fn activity(model: &Model, world: &World) -> Option<String> {
    match model.activity.list.chosen()? {
        ActKey::Order(id) => {
            let order = world.orders().get(*id)?;
            let mut lines = vec![format!(
                "{} {} {}: {}",
                order.kind.as_str(),
                order.id,
                order.target,
                settle::order_word(order)
            )];
            let places = model.activity.calls.get(id).map_or(&[][..], Vec::as_slice);
            let entries = places.iter().filter_map(|at| world.orders().activity().get(*at));
            lines.extend(entries.map(|entry| copy::call(world, entry)));
            Some(lines.join("\n"))
        }
        ActKey::Call { order, nth } => {
            settle::entry(model, world, *order, *nth).map(|entry| copy::call(world, entry))
        }
    }
}

/// A row of the fleet as lines.
fn row(world: &World, key: &RowKey) -> String {
    let targets: Vec<Target> = match key {
        RowKey::Cluster(name) => {
            let Some(cluster) = world.cluster(name) else { return name.to_string() };
            let row = rows::cluster_row(world, cluster);
            let reason = row.health.reason().map_or_else(String::new, |reason| format!(": {reason}"));
            return format!("{name} ({}): {}{reason}", row.environment.as_str(), row.health.word());
        }
        RowKey::Namespace(cluster, ns) => crate::domain::flow::Direction::ALL
            .map(|direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction })
            .to_vec(),
        RowKey::Rollout(target) => vec![target.clone()],
    };
    let mut out = Vec::new();
    for target in &targets {
        if let Some((cluster, ns)) =
            world.cluster(&target.cluster).zip(world.namespace(&target.cluster, &target.ns))
        {
            let row = rows::rollout_row(world, cluster, ns, target.direction);
            out.push(format!("{target}: {}, {}", row.phase.as_str(), row.standing.as_str()));
        }
        out.extend(
            copy::rollback_commands(world, target).into_iter().map(|c| format!("  to take it back: {c}")),
        );
    }
    out.join("\n")
}
