//! The rollout lead's commands. Advance and revert ask for previews; what is written to the state
//! cluster opens its form.

use crate::{
    cockpit::{commands::CommandId, decide::Command, orders::OrderId, waiving, world::World},
    domain::hold::{HoldKind, Scope},
};

use super::{
    super::{
        dialog::Overlay,
        form::Form,
        model::Model,
        offer::{apply_scope, lead},
    },
    Ask,
};

pub fn run(model: &mut Model, world: &World, id: CommandId) -> Vec<Ask> {
    let form = match id {
        CommandId::Advance => return vec![Ask::Command(Command::Preview(model.plan.may_go()))],
        CommandId::Revert => {
            return vec![Ask::Command(Command::Revert(lead::revert_targets(world, model)))];
        }
        CommandId::Shadow => {
            return vec![Ask::Command(Command::Shadow(apply_scope(world, model).targets))];
        }
        CommandId::Hold => {
            let mut scopes = lead::scopes(world, model);
            scopes.push(Scope::Fleet);
            Form::hold(world, HoldKind::Hold, scopes)
        }
        CommandId::Exclude => Form::hold(world, HoldKind::Exclusion, lead::scopes(world, model)),
        CommandId::Release => Form::release(world, lead::releasable(world, model)),
        CommandId::ConfirmOverride => {
            let names: Vec<_> = waiving::unconfirmed(world).map(|kept| kept.name.clone()).collect();
            Form::confirm(world, &names)
        }
        _ => return overrule(model, world, &lead::overridable(world, model)),
    };
    model.overlay = Some(Overlay::Form(Box::new(form)));
    Vec::new()
}

/// Asks for an override of what these previews wait for.
pub fn overrule(model: &mut Model, world: &World, previews: &[OrderId]) -> Vec<Ask> {
    model.overlay = Some(Overlay::Form(Box::new(Form::overrule(world, previews))));
    Vec::new()
}
