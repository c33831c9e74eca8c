//! `sluice status`: waits until every cluster has answered or the deadline passed, prints what is
//! known and says what is not.

use super::{
    args::{Format, Status},
    exit::Exit,
    print::Printer,
    session::{Session, Waited},
    wait,
};
use crate::{cockpit::world::World, documents::status, domain::fleet::Health};

pub async fn run(session: &mut Session, args: &Status, printer: &mut Printer<'_>) -> Exit {
    let waited = session
        .until(args.deadline, |world| {
            world.clusters().all(|cluster| wait::is_read(cluster) && wait::has_source_spoken(world, cluster))
        })
        .await;
    if waited == Waited::Interrupted {
        return Exit::Failed;
    }
    let world = session.world();
    printer.out(&match args.output {
        Format::Text => status::text(world),
        Format::Json => status::json(world),
    });
    for trouble in wait::unread(world) {
        printer.say(&format!("{trouble}\n"));
    }
    exit(world)
}

/// Done if every cluster was read, failed if none answered.
fn exit(world: &World) -> Exit {
    Exit::all(world.clusters().map(|cluster| match cluster.health {
        Health::Down(_) | Health::Connecting => Exit::Failed,
        Health::Up | Health::Degraded(_) if wait::missing(cluster).is_none() => Exit::Done,
        Health::Up | Health::Degraded(_) => Exit::Partial,
    }))
}
