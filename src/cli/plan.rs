//! `sluice plan`: waits until every cluster, its collector and the team's state have answered or the
//! deadline passed, and prints what may go today and why the rest may not.

use super::{
    args::{Format, Global, Plan},
    exit::Exit,
    print::Printer,
    session::{Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        planned::Ask,
        ports::{Link, Trouble},
        world::World,
    },
    documents::{
        plan::{self, Shown},
        plan_json,
    },
    domain::{fleet::Health, flow::Direction, names::ClusterName},
    workspace::root,
};

pub async fn run(session: &mut Session, global: &Global, args: &Plan, printer: &mut Printer<'_>) -> Exit {
    let clusters = match named(session.world(), global) {
        Ok(clusters) => clusters,
        Err(unknown) => {
            printer.say(&format!("{unknown}\n"));
            return Exit::Usage;
        }
    };
    let shown = Shown { clusters, direction: args.direction };
    if session.until(args.deadline, has_everything).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let world = session.world();
    printer.out(&match args.output {
        Format::Text => plan::text(world, &shown),
        Format::Json => plan_json::json(world, &shown),
    });
    for trouble in wait::unread(world) {
        printer.say(&format!("{trouble}\n"));
    }
    exit(world, &shown)
}

/// The clusters that --context names; empty: all.
pub fn named(world: &World, global: &Global) -> Result<Vec<ClusterName>, Trouble> {
    if global.contexts.is_empty() {
        return Ok(Vec::new());
    }
    let mut fleet = world.plan().clone();
    root::subset(&mut fleet, &global.contexts)?;
    Ok(fleet.clusters.into_iter().map(|entry| entry.name).collect())
}

/// Is everything there that the plan rests on, as far as it ever will be?
pub fn has_everything(world: &World) -> bool {
    world.clusters().all(|cluster| wait::is_read(cluster) && has_collector(world, &cluster.name))
        && has_state(world)
}

/// Has a cluster's collector spoken, or is it known that nobody will?
pub fn has_collector(world: &World, name: &ClusterName) -> bool {
    let is_down = world.cluster(name).is_none_or(|cluster| matches!(cluster.health, Health::Down(_)));
    let told = world.discoveries().collected(name);
    is_down || told.is_some_and(|told| told.state.link != Link::Connecting)
}

/// Has the state cluster spoken, where there is one?
pub fn has_state(world: &World) -> bool {
    world.plan().settings.state.is_none()
        || world.shared().link().is_some_and(|link| *link != Link::Connecting)
}

/// Is everything there that an apply's gates rest on beside the clusters themselves?
pub fn has_gates(world: &World) -> bool {
    let has_rules = world.discoveries().rules().is_some() && world.files().flagged.is_some();
    has_state(world) && (world.plan().settings.state.is_none() || has_rules)
}

/// Refused if rows wait and none may go; in part if rows may be missing.
fn exit(world: &World, shown: &Shown) -> Exit {
    let mut asks = Direction::ALL
        .into_iter()
        .filter(|direction| shown.direction.is_none_or(|only| only == *direction))
        .flat_map(|direction| shown.rows(world, direction))
        .map(|row| row.ask);
    let (mut goes, mut waits) = (false, false);
    asks.by_ref().for_each(|ask| {
        goes |= ask == Ask::MayGo;
        waits |= ask == Ask::Waits;
    });
    let matters = |name: &&ClusterName| shown.clusters.is_empty() || shown.clusters.contains(name);
    match (goes, waits) {
        (false, true) => Exit::Refused,
        _ if world.waves().unread.iter().any(|name| matters(&name)) => Exit::Partial,
        _ => Exit::Done,
    }
}
