//! Does what the team recorded as clean still count? Only for the apply that is recorded, and only while
//! nothing voided the credit since: another digest, CNI or DNS mode, or a set that was not live. That
//! credit lapses by age alone takes nothing from it. Cheap: nothing is judged for it.

use crate::domain::{
    evidence::Restart,
    names::Text,
    rollout::Target,
    time::{Timestamp, minute},
};

use super::{waves::record, world::World};

/// Since when the applied bytes of a row are clean by the record, where that counts.
pub fn since(world: &World, target: &Target) -> Option<Timestamp> {
    let at = record(world, target)?.value.clean_since()?;
    void(world, target, at).is_none().then_some(at)
}

/// Why a row that was recorded as clean soaks again; `None`: it does not, or was applied anew since.
pub fn lost(world: &World, target: &Target) -> Option<Text> {
    let at = record(world, target)?.value.clean_since()?;
    let Restart { at: then, cause, why } = void(world, target, at)?;
    Some(Text::from(format!(
        "it was clean, and soaks again since {}: {} ({why})",
        minute(*then, world.zone()),
        cause.as_str(),
    )))
}

/// What voided the credit after this moment.
pub fn void<'w>(world: &'w World, target: &Target, clean: Timestamp) -> Option<&'w Restart> {
    world.soaks().restarted(target).filter(|restart| restart.at > clean)
}
