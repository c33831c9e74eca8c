//! The rows of the list of destinations: which of a namespace's destinations are shown, in which
//! order, and where each of them stands. Made anew only when something changed.

use std::{borrow::Cow, cmp::Reverse};

use crate::{
    cockpit::{
        dossier::{self, DestinationKey},
        world::World,
    },
    domain::{
        destination::Destination,
        flow::Direction,
        names::{ClusterName, NsName},
        sighting::Outcome,
    },
};

use super::{
    filter::{Columns, Filter},
    model::{Made, Model, Order, Sheet, View},
};

/// What filters of the list of destinations can ask.
pub const COLUMNS: Columns = Columns {
    plain: &["name", "addr", "workload", "cat", "suspect", "port"],
    keys: &["suspect", "sev", "cat", "dir", "workload", "name", "addr", "port", "proto", "grade", "verdict"],
    alone: &["suspect", "name"],
};

/// Brings the rows up to date.
pub fn refresh(model: &mut Model, world: &World, cluster: &ClusterName, ns: &NsName) {
    let direction = model.page.focus.direction();
    let made = Made {
        place: (cluster.clone(), ns.clone()),
        revision: world.discoveries().revision(),
        filter: model.filter(Sheet::Destinations).to_owned(),
        order: (model.found.order, model.found.reversed),
        direction,
    };
    if model.found.made.as_ref() == Some(&made) {
        return;
    }
    if model.found.made.as_ref().is_some_and(|before| before.place != made.place) {
        model.found.list.restart();
    }
    let all = world.discoveries().destinations(cluster, ns).unwrap_or_default();
    let places = places(all, &made.filter, direction, made.order);
    model.found.list.set(places.iter().map(|at| DestinationKey::of(&all[*at])).collect());
    model.found.places = places;
    model.found.made = Some(made);
}

/// The destination of a row, as long as it is known.
pub fn at<'w>(model: &Model, world: &'w World, row: usize) -> Option<&'w Destination> {
    let View::Destinations(cluster, ns) = model.view() else { return None };
    let found = world.discoveries().destinations(cluster, ns)?.get(*model.found.places.get(row)?)?;
    model.found.list.rows().get(row).is_some_and(|key| key.is(found)).then_some(found)
}

/// The destination under the cursor.
pub fn chosen<'w>(model: &Model, world: &'w World) -> Option<&'w Destination> {
    model.found.list.chosen()?;
    at(model, world, model.found.list.at())
}

/// The destination that a dossier is about.
pub fn find<'w>(
    world: &'w World,
    cluster: &ClusterName,
    ns: &NsName,
    key: &DestinationKey,
) -> Option<&'w Destination> {
    world.discoveries().destinations(cluster, ns)?.iter().find(|one| key.is(one))
}

fn places(
    all: &[Destination],
    filter: &str,
    direction: Option<Direction>,
    (order, reversed): (Order, bool),
) -> Vec<usize> {
    let filter = Filter::parse(filter, &COLUMNS);
    let passes = |one: &Destination| {
        direction.is_none_or(|direction| one.direction == direction)
            && (filter.is_empty() || filter.passes(&COLUMNS, |key: &str| field(one, key)))
    };
    let mut out: Vec<usize> = (0..all.len()).filter(|at| passes(&all[*at])).collect();
    // By what they mean first: whatever is sorted by, equal rows keep that order.
    out.sort_by_cached_key(|at| {
        let one = &all[*at];
        let severity = one.suspect().map(|finding| finding.severity);
        let denied = one.outcome == Outcome::Denied;
        (denied, Reverse(severity), one.meaning.category, dossier::label(one), one.workload.clone(), one.port)
    });
    match order {
        Order::Suspects => {}
        Order::Name => out.sort_by_cached_key(|at| dossier::label(&all[*at])),
        Order::Workload => out.sort_by(|a, b| all[*a].workload.name.cmp(&all[*b].workload.name)),
        Order::Flows => out.sort_by_key(|at| Reverse(all[*at].seen.flows)),
        Order::Hours => out.sort_by_cached_key(|at| Reverse(all[*at].seen.hours.len())),
        Order::First => out.sort_by_key(|at| Reverse(all[*at].seen.first)),
        Order::Last => out.sort_by_key(|at| Reverse(all[*at].seen.last)),
    }
    if reversed {
        out.reverse();
    }
    out
}

fn field<'a>(one: &'a Destination, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "suspect" => {
            let classes = one.meaning.findings.iter().map(|finding| finding.class.as_str());
            let classes: Vec<_> = classes.collect();
            (!classes.is_empty()).then(|| classes.join(" ").into())
        }
        "sev" => one.suspect().map(|finding| finding.severity.as_str().into()),
        "cat" => Some(one.meaning.category.as_str().into()),
        "dir" => Some(one.direction.as_str().into()),
        "workload" => Some(one.workload.name.as_str().into()),
        "name" => names(one),
        "addr" => {
            let all: Vec<_> = one.addresses.iter().map(ToString::to_string).collect();
            (!all.is_empty()).then(|| all.join(" ").into())
        }
        "port" => Some(one.port.to_string().into()),
        "proto" => Some(one.protocol.as_str().into()),
        "grade" => Some(one.grade.as_str().into()),
        "verdict" => Some(one.outcome.as_str().into()),
        _ => None,
    }
}

/// Every name it goes by; none for a bare address.
fn names(one: &Destination) -> Option<Cow<'_, str>> {
    if one.name.is_none() && dossier::raw_address(one).is_some() {
        return None;
    }
    let mut out = dossier::label(one);
    for name in one.also.iter().chain(&one.chain) {
        out.push(' ');
        out.push_str(name.as_str());
    }
    Some(out.into())
}
