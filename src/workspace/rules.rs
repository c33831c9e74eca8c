//! The rules of meaning as a whole: the built-in catalogue and categories, and before them what the
//! workspace's `categories:` and `feeds:` say. Whatever cannot be read is told and left out; the
//! built-in rules always stand.

use std::path::Path;

use super::{catalogue, categories, feeds, fleet_file, root};
use crate::{
    cockpit::{plan::FleetFile, ports::Trouble},
    domain::discovery::Rules,
};

/// The rules at a place, or the built-in ones. Read once: the catalogue is large.
pub fn rules(place: Option<&root::Place>) -> (Rules, Vec<Trouble>) {
    let Some(place) = place else { return rules_of(&FleetFile::default(), None) };
    match root::read_fleet(&place.root) {
        Ok(fleet_file::Parsed { fleet, .. }) => rules_of(&fleet, Some(&place.root)),
        Err(troubles) => (rules_of(&FleetFile::default(), None).0, troubles),
    }
}

/// The rules of a `sluice.yaml` that was read already. Without a root its feeds are left out.
pub fn rules_of(fleet: &FleetFile, root: Option<&Path>) -> (Rules, Vec<Trouble>) {
    let mut rules =
        Rules { categories: categories::built_in(), catalogue: catalogue::built_in(), ..Rules::default() };
    categories::add(&mut rules.categories, &fleet.categories);
    let troubles = root.map(|root| feeds::add(&mut rules.catalogue, root, &fleet.feeds)).unwrap_or_default();
    (rules, troubles)
}
