//! `sluice discover` without files: the edges of a cluster's collector, read through its door, with
//! what the cluster itself says of CronJobs, workloads and nodes. Changes nothing anywhere.

use std::time::Duration;

use super::{
    print::Printer,
    session::{Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        decide::Command,
        discoveries::Collected,
        ports::{Baseline, Link, Trouble},
        world::World,
    },
    documents::discovery::{gather::Known, known},
    domain::{
        edge::{Edge, EdgeKey, Window},
        names::{ClusterName, NsName},
        time::Timestamp,
    },
};

/// What a collector and its cluster told.
pub(super) struct Told {
    pub edges: Vec<(EdgeKey, Edge)>,
    pub known: Known,
    /// What could not be read.
    pub troubles: Vec<Trouble>,
}

/// Longest wait for the team's waivers: without them jobs that nobody waived are named, no more.
const WAIVERS: Duration = Duration::from_secs(20);
/// Longest wait for one namespace's edges.
const ANSWER: Duration = Duration::from_secs(60);

/// Everything that the collector has: what one namespace means depends on what all others do.
pub(super) async fn read(
    session: &mut Session,
    cluster: &ClusterName,
    asked: Option<Window>,
    deadline: Duration,
    printer: &mut Printer<'_>,
) -> Result<Told, Trouble> {
    let waited = session.until(deadline, |world| is_ready(world, cluster)).await;
    if waited == Waited::Interrupted {
        return Err(Trouble::new(cluster.as_str(), "the reading was interrupted", "Run it again."));
    }
    let collected = live(session.world(), cluster)?.clone();
    session.until(deadline.min(WAIVERS), team_has_spoken).await;
    let mut told = Told {
        edges: Vec::new(),
        known: known::of_cluster(session.world(), cluster, &collected, asked)?,
        troubles: collected.state.troubles.clone(),
    };
    for (ns, tally) in &collected.state.edges {
        match namespace(session, cluster, ns).await {
            Ok(baseline) => {
                told.edges.extend(baseline.edges);
                told.troubles.extend(baseline.trouble);
                if baseline.left_out > 0 {
                    told.troubles.push(left_out(cluster, ns, baseline.left_out));
                }
            }
            Err(trouble) => told.troubles.push(trouble),
        }
        if printer.is_closed() {
            break;
        }
        tracing::debug!(%cluster, %ns, count = tally.edges, "edges read");
    }
    Ok(told)
}

fn left_out(cluster: &ClusterName, ns: &NsName, count: u64) -> Trouble {
    let fact = format!("{count} edges did not fit into the collector's answer");
    Trouble::new(&format!("{cluster}/{ns}"), &fact, "Run `sluice discover` on the records themselves.")
}

/// The collector spoke, and what the cluster says of its pods and jobs is there or is refused.
fn is_ready(world: &World, cluster: &ClusterName) -> bool {
    let Some(seen) = world.cluster(cluster) else { return true };
    let spoke = world.discoveries().collected(cluster).is_some_and(|c| c.state.link != Link::Connecting);
    spoke && wait::is_read(seen)
}

/// What the team waived is read, or there is nobody to say it.
fn team_has_spoken(world: &World) -> bool {
    let link = world.shared().link();
    world.plan().settings.state.is_none() || !matches!(link, None | Some(Link::Connecting))
}

fn live<'w>(world: &'w World, cluster: &ClusterName) -> Result<&'w Collected, Trouble> {
    let next = "Start one (`sluice collect`), or name files: --flows FORMAT:PATH.";
    let refuse = |fact: String| Err(Trouble::new(cluster.as_str(), &fact, next));
    let Some(collected) = world.discoveries().collected(cluster) else {
        return refuse("its collector has not answered yet".to_owned());
    };
    match &collected.state.link {
        Link::Live => Ok(collected),
        Link::None(why) => refuse(format!("it has no collector ({why})")),
        Link::Connecting => refuse("its collector has not answered yet".to_owned()),
        Link::Broken(trouble) => Err(trouble.clone()),
    }
}

async fn namespace(session: &mut Session, cluster: &ClusterName, ns: &NsName) -> Result<Baseline, Trouble> {
    let object = format!("{cluster}/{ns}");
    let asked: Timestamp = session.world().now();
    session.engine().command(&Command::ReadEdges(cluster.clone(), ns.clone())).map_err(|refusal| {
        let reasons: Vec<_> = refusal.reasons.iter().map(ToString::to_string).collect();
        Trouble::new(&object, &reasons.join("; "), "Run it again.")
    })?;
    let answer = |world: &World| {
        let opened = world.discoveries().opened(cluster, ns).filter(|opened| !opened.is_waiting());
        opened.and_then(|opened| opened.answer.as_ref()).filter(|answer| answer.at >= asked).is_some()
    };
    let waited = session.until(ANSWER, answer).await;
    let found = session.world().discoveries().opened(cluster, ns).and_then(|opened| opened.answer.as_ref());
    match (waited, found) {
        (Waited::Reached, Some(answer)) => Ok(answer.baseline.clone()),
        (Waited::Reached | Waited::Deadline | Waited::Interrupted, _) => {
            Err(Trouble::new(&object, "the collector did not answer for its edges", "Run it again."))
        }
    }
}
