//! What `sluice author` asks of clusters: facts of each, labels of workloads, and the reviews of the
//! state cluster. What does not answer stays unknown and is told. Changes nothing.

use super::{
    args::Global,
    author::{Author, Told},
    plan,
    session::{self, Need, NoStart, Session, Waited},
    wait,
};
use crate::{
    cockpit::{gate, plan::FleetFile, ports::Trouble, world::World},
    domain::{
        author::facts,
        fleet::{Cluster, Health, Listed},
        names::ClusterName,
    },
    engine::Engine,
    k8s::surroundings,
};

/// The clusters of `fleet`, and the state cluster wherever it is.
pub(super) async fn ask(global: &Global, args: &Author, fleet: &FleetFile) -> Result<Told, NoStart> {
    let whole = Global { contexts: Vec::new(), ..global.clone() };
    let setup = session::setup(&whole, Need::Workspace, false)?;
    let reach = setup.reach.clone();
    let mut session = Session::new(Engine::start(setup));
    let wanted: Vec<ClusterName> = fleet.clusters.iter().map(|entry| entry.name.clone()).collect();
    let is_there = |world: &World| {
        wanted.iter().filter_map(|name| world.cluster(name)).all(is_known) && plan::has_state(world)
    };
    let mut told = Told::default();
    if session.until(args.deadline, is_there).await == Waited::Interrupted {
        let trouble = Trouble::new("sluice author", "the reading was interrupted", "Run it again.");
        told.troubles.push(trouble);
        return Ok(told);
    }
    for entry in &fleet.clusters {
        let Some(cluster) = session.world().cluster(&entry.name) else { continue };
        if let Health::Down(why) = &cluster.health {
            let next = "Bring it back, or name its facts with --facts.";
            told.troubles.push(Trouble::new(
                entry.name.as_str(),
                &format!("it does not answer ({why})"),
                next,
            ));
            continue;
        }
        let (mut facts, troubles) = surroundings::read(&reach(entry)).await;
        facts.workloads = workloads(cluster);
        tracing::info!(cluster = %entry.name, facts = %surroundings::words(&facts), "facts read");
        told.troubles.extend(troubles.iter().map(|it| of_cluster(&entry.name, it)));
        told.uids.extend(cluster.uid.clone().map(|uid| (entry.name.clone(), uid)));
        told.facts.insert(entry.name.clone(), facts);
    }
    let world = session.world();
    if world.shared().is_live() {
        told.reviews = Some(world.shared().reviews().cloned().collect());
        told.now = gate::time(world);
    } else {
        told.troubles.push(no_reviews(world));
    }
    Ok(told)
}

fn is_known(cluster: &Cluster) -> bool {
    matches!(cluster.health, Health::Down(_))
        || (wait::is_read(cluster) && cluster.listed.contains(&Listed::Pods))
}

fn workloads(cluster: &Cluster) -> Option<facts::Workloads> {
    let pods = cluster.namespaces.values().flat_map(|ns| ns.pods.values());
    cluster.listed.contains(&Listed::Pods).then(|| facts::workloads(pods))
}

fn of_cluster(cluster: &ClusterName, trouble: &Trouble) -> Trouble {
    Trouble::new(&format!("{cluster}: {}", trouble.object), trouble.fact.as_str(), trouble.next.as_str())
}

fn no_reviews(world: &World) -> Trouble {
    let (object, fact, next) = match &world.plan().settings.state {
        Some(state) => (
            state.cluster.to_string(),
            "the state cluster does not tell its reviews, so nothing flagged is opened",
            "Run `sluice install` if that was not done yet; else wait until it answers, and run it again.",
        ),
        None => (
            "sluice.yaml".to_owned(),
            "it names no state cluster, so there are no reviews and nothing flagged is opened",
            "Write `state:` with the cluster that holds the team's state.",
        ),
    };
    Trouble::new(&object, fact, next)
}
