//! Every apply and rollback of this session and every changing call they made, verbatim, newest
//! first, with result and time.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::cockpit::{
    commands::CommandId,
    orders::{Answer, Order, OrderState, Outcome},
    world::World,
};

use super::{
    super::{
        copy,
        model::{ActKey, Main, Model},
        settle::{self, order_word},
        theme::Role,
        widgets::{Cells, Pen, highlight, plural, put},
    },
    detail,
    frame::{About, Areas, note},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let head = Cells::new(pen, areas.list.width).left(" time", 9, Role::Title).left("result", 9, Role::Title);
    let head = match waiting(world) {
        Some(text) => head.rest(&text, Role::Warn),
        None => head.rest("order, and the calls it made", Role::Title),
    };
    put(buf, areas.head, &head.line());
    for (line, (at, key)) in model.activity.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        if let Some(row) = row(world, model, pen, key, area.width) {
            put(buf, area, &row);
        }
        if at == model.activity.list.at() && !model.activity.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.activity.list.rows().is_empty() {
        let text = if model.filter(Main::Activity).is_empty() {
            &format!(
                "Nothing was changed in this session. Applies ({}) and rollbacks ({}) will be listed here, call by call.",
                pen.key(CommandId::Apply),
                pen.key(CommandId::RollBack)
            )
        } else {
            &super::frame::none_passes(pen)
        };
        note(pen, text, Role::Dim, areas.list, buf);
    }
}

/// Acts that the team's journal does not have yet, and why.
fn waiting(world: &World) -> Option<String> {
    let acts = world.shared().waiting();
    let why = match (world.plan().settings.state.is_some(), world.shared().is_live()) {
        (false, _) => "no state cluster is named, they are kept on this machine (6 says where)",
        (true, false) => "the state cluster is away, they are kept on this machine until it is back",
        (true, true) => "they are being written",
    };
    (acts > 0).then(|| format!("{} not in the journal yet: {why}", plural(acts, "act")))
}

fn row(world: &World, model: &Model, pen: &Pen<'_>, key: &ActKey, width: u16) -> Option<Line<'static>> {
    match key {
        ActKey::Order(id) => {
            let order = world.orders().get(*id)?;
            let what = format!("{} {} {}", order.kind.as_str(), order.id, order.target);
            Some(
                Cells::new(pen, width)
                    .left(format!(" {}", pen.when(Some(order.ended.unwrap_or(order.since)))), 9, Role::Dim)
                    .left(order_word(order), 9, order_role(order))
                    .rest(&what, Role::Title)
                    .line(),
            )
        }
        ActKey::Call { order, nth } => {
            let entry = settle::entry(model, world, *order, *nth)?;
            let result = &entry.receipt.result;
            Some(
                Cells::new(pen, width)
                    .left(format!(" {}", pen.when(Some(entry.at))), 9, Role::Dim)
                    .left(copy::answer_word(result), 9, answer_role(result))
                    .rest(
                        format!(
                            "  {:7} {:21} {}",
                            entry.receipt.step.verb(),
                            entry.receipt.step.pinned().name,
                            entry.receipt.command
                        ),
                        Role::Text,
                    )
                    .line(),
            )
        }
    }
}

fn order_role(order: &Order) -> Role {
    match &order.state {
        OrderState::Running | OrderState::Previewed(_) => Role::Warn,
        OrderState::Ended(Outcome::Done { .. }) => Role::Good,
        OrderState::Ended(Outcome::Aborted { .. }) => Role::Dim,
        OrderState::Ended(Outcome::Stopped { .. } | Outcome::Unsettled(_) | Outcome::Failed(_)) => Role::Bad,
    }
}

fn answer_role(answer: &Answer) -> Role {
    match answer {
        Answer::Done { .. } => Role::Good,
        Answer::Unchanged => Role::Dim,
        Answer::Refused(_) => Role::Bad,
        Answer::Unsettled(_) => Role::Warn,
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    Some(match model.activity.list.chosen()? {
        ActKey::Order(id) => {
            let order = world.orders().get(*id)?;
            let mut text = vec![(order_role(order), detail::order_words(pen, order))];
            text.push((Role::Dim, format!("started {}", pen.both(order.since))));
            if let OrderState::Ended(Outcome::Stopped { .. } | Outcome::Unsettled(_)) = &order.state {
                text.push((
                    Role::Warn,
                    format!(
                        "next: {} takes this row back; what is live is shown on its page",
                        pen.key(CommandId::RollBack)
                    ),
                ));
            }
            (format!("{} {} {}", order.kind.as_str(), order.id, order.target), text)
        }
        ActKey::Call { order, nth } => {
            let entry = settle::entry(model, world, *order, *nth)?;
            let text = vec![
                (Role::Text, entry.receipt.command.clone()),
                (answer_role(&entry.receipt.result), copy::answer(&entry.receipt.result)),
                (Role::Dim, pen.both(entry.at)),
            ];
            (format!("{} of {order}, {}", entry.receipt.step.verb(), entry.receipt.target), text)
        }
    })
}
