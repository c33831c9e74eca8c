//! What becomes of a form: each purpose reads its own fields and makes the one command of them, or
//! says what is missing. Whether it may be done is asked of `decide`, never judged here.

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        decide::{Asking, Command, Deciding, Shown},
        holding::Wanted,
        orders::{OrderId, Target},
        waiving::{Overriding, Waiving},
        world::World,
    },
    domain::{
        grant::{DecisionVerdict, Grant},
        hold::{Covers, HoldKind, Scope, Subject},
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
    /// On all of these; `uids` are those of field `clusters`, none where there is no such field.
    Decide { verdict: DecisionVerdict, reviews: Vec<Shown>, uids: Vec<Text> },
    /// For one of these grants (field `what`).
    AskReview { grants: Vec<Grant>, uids: Vec<Text> },
    /// One of these (field `what`).
    Waive(Vec<(Target, Subject)>),
}

/// The clusters that were picked; `None`: nobody was asked.
fn picked(form: &Form, uids: &[Text]) -> Option<BTreeSet<Text>> {
    let picked = || form.picked("clusters").into_iter().filter_map(|at| uids.get(at).cloned());
    (!uids.is_empty()).then(|| picked().collect())
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
        Purpose::Decide { verdict, reviews, uids } => Ok(Command::DecideReview(Box::new(Deciding {
            reviews: reviews.clone(),
            verdict: *verdict,
            reason: reason(),
            ticket: Some(Text::new(form.text("ticket"))).filter(|ticket| !ticket.is_empty()),
            expires: form.until("until", world)?,
            clusters: picked(form, uids),
        }))),
        Purpose::AskReview { grants, uids } => {
            let mut grant = grants.get(form.chosen("what")).cloned().ok_or_else(none)?;
            let missing = || vec!["a grant ends one day: say when".to_owned()];
            grant.expires = form.until("until", world)?.ok_or_else(missing)?;
            grant.clusters = picked(form, uids).unwrap_or(grant.clusters);
            let purpose = Text::new(form.text("purpose"));
            Ok(Command::AskReview(Box::new(Asking { grants: vec![grant], purpose })))
        }
        Purpose::Waive(whats) => {
            let (target, subject) = whats.get(form.chosen("what")).cloned().ok_or_else(none)?;
            let missing = || vec!["a waiver ends one day: say when".to_owned()];
            let expires = form.until("until", world)?.ok_or_else(missing)?;
            Ok(Command::Waive(Box::new(Waiving { target, subject, reason: reason(), expires })))
        }
    }
}
