//! What becomes of a form: each purpose reads its own fields and makes the one command of them, or
//! says what is missing. Whether it may be done is asked of `decide`, never judged here.

use crate::{
    cockpit::{decide::Command, holding::Wanted, orders::OrderId, waiving::Overriding, world::World},
    domain::{
        hold::{Covers, HoldKind, Scope},
        names::Text,
    },
};

use super::Form;

/// What is sent, with what it is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// One of these scopes (field `what`).
    Hold(HoldKind, Vec<Scope>),
    /// One of these holds and exclusions (field `what`), by name.
    Release(Vec<Text>),
    /// For the bytes of one of these previews (field `what`).
    Override(Vec<OrderId>),
    /// One of these overrides (field `what`), by name.
    Confirm(Vec<Text>),
}

pub(super) fn command(form: &Form, world: &World) -> Result<Command, Vec<String>> {
    let none = || vec!["there is nothing to choose from".to_owned()];
    let reason = || Text::new(form.text("reason"));
    match &form.purpose {
        Purpose::Hold(kind, scopes) => {
            let scope = scopes.get(form.chosen("what")).cloned().ok_or_else(none)?;
            let expires = form.until("until", world)?;
            Ok(Command::Hold(Wanted { scope, kind: *kind, reason: reason(), expires }))
        }
        Purpose::Release(names) => {
            names.get(form.chosen("what")).cloned().map(Command::Release).ok_or_else(none)
        }
        Purpose::Override(previews) => {
            let preview = *previews.get(form.chosen("what")).ok_or_else(none)?;
            let covers = form.picked("covers").into_iter().filter_map(|at| Covers::ALL.get(at).copied());
            let missing = || vec!["an override ends one day: say when".to_owned()];
            let expires = form.until("until", world)?.ok_or_else(missing)?;
            let covers = covers.collect();
            Ok(Command::Override(Box::new(Overriding { preview, covers, reason: reason(), expires })))
        }
        Purpose::Confirm(names) => {
            names.get(form.chosen("what")).cloned().map(Command::Confirm).ok_or_else(none)
        }
    }
}
