//! `sluice rollback`: takes our policies back. Needs the target's API server and nothing else; what
//! it can find out quickly it uses to refuse a namespace that does not exist, and what it cannot it
//! does not wait for. A row or a cluster that cannot be taken back keeps no other one back.

use std::time::Duration;

use super::{
    args::Rollback,
    change::{Changing, Result},
    exit::Exit,
    session::Waited,
    wait,
};
use crate::{
    cockpit::{
        allowed,
        decide::{self, Command, Reason, Refusal},
        orders::Target,
        world::World,
    },
    documents::orders::{RollbackPlan, rollback_text},
    domain::{
        fleet::{Cluster, Listed},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        policy::PolicyKind,
        shadow, valve,
    },
};

const NAME: &str = "rollback";

/// How long the lists of the clusters may take before it goes on without them.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where they say what there is to take back, from the first cluster on that is listed.
const LISTS: Duration = Duration::from_secs(10);

pub async fn run(mut changing: Changing<'_, '_>, args: &Rollback) -> Exit {
    let clusters = match changing.clusters() {
        Ok(clusters) => clusters,
        Err(said) => return changing.usage(&said),
    };
    if listed(&mut changing, &clusters, args).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let world = changing.session.world();
    let mut result = Result::default();
    let (targets, strangers) = targets(world, &clusters, args);
    if args.all_namespaces {
        let unread = clusters.iter().filter_map(|name| world.cluster(name)).filter(|it| !it.is_complete());
        result.troubles = unread.filter_map(wait::missing).collect();
    }
    result.refusals.extend(strangers);
    result.rollbacks = targets.iter().map(|target| plan(world, target)).collect();
    if targets.is_empty() {
        if is_whole(&result) {
            changing.printer.say("None of our policies is live there: nothing to take back.\n");
        }
        let exit = exit(None, &result);
        return changing.report(NAME, exit, result);
    }
    if changing.change.dry_run {
        let exit = exit(Some(Exit::Done), &result);
        return changing.report(NAME, exit, result);
    }
    if changing.asker.is_person() {
        let shown: String = result.rollbacks.iter().map(rollback_text).collect();
        let left_out = result.refusals.iter().map(|refusal| format!("{refusal}\n"));
        let left_out = left_out.chain(result.troubles.iter().map(|trouble| format!("{trouble}\n")));
        let shown: String = std::iter::once(shown).chain(left_out).collect();
        changing.printer.say(&shown);
    }
    // One short word, whatever the environment: taking back must be easier than applying.
    if !changing.asker.asks_for("yes", "roll back", changing.printer).await {
        changing.printer.say("Not confirmed: nothing was written.\n");
        return changing.report(NAME, Exit::Failed, result);
    }
    send(changing, targets, result).await
}

/// What can be sent is sent; the rest is reported beside it.
async fn send(mut changing: Changing<'_, '_>, targets: Vec<Target>, mut result: Result) -> Exit {
    let world = changing.session.world();
    let refused = |target: &Target| {
        let reasons = decide::rollback_reasons(world, target);
        let what = Text::from(format!("{NAME} {target}"));
        (!reasons.is_empty()).then_some(Refusal { what, reasons })
    };
    let refusals: Vec<_> = targets.iter().filter_map(refused).collect();
    match changing.session.engine().command(&Command::RollBack(targets)) {
        Err(refusal) => {
            result.refusals.push(refusal);
            let exit = exit(None, &result);
            changing.report(NAME, exit, result)
        }
        Ok(orders) => {
            result.refusals.extend(refusals);
            changing.drive(&orders).await;
            let exit = exit(Some(changing.exit_of(&orders)), &result);
            result.orders = orders;
            changing.report(NAME, exit, result)
        }
    }
}

fn is_whole(result: &Result) -> bool {
    result.refusals.is_empty() && result.troubles.is_empty()
}

/// How the orders ended, with what was left out. `None`: there was none.
fn exit(orders: Option<Exit>, result: &Result) -> Exit {
    match orders {
        Some(exit) if is_whole(result) => exit,
        Some(Exit::Done | Exit::Partial) => Exit::Partial,
        Some(Exit::Failed | Exit::Usage | Exit::Refused) => Exit::Failed,
        None if is_whole(result) => Exit::Done,
        None if result.troubles.is_empty() => Exit::Refused,
        None => Exit::Failed,
    }
}

/// A whole cluster needs to know what is live; a named namespace does not. None waits long for another.
async fn listed(changing: &mut Changing<'_, '_>, clusters: &[ClusterName], args: &Rollback) -> Waited {
    let deadline = changing.change.deadline;
    let all = |world: &World| clusters.iter().all(|name| is_listed(world, name));
    if !args.all_namespaces && !changing.change.dry_run {
        return changing.session.until(PATIENCE.min(deadline), all).await;
    }
    let is_complete = |world: &World, name| world.cluster(name).is_some_and(Cluster::is_complete);
    let first = |world: &World| all(world) || clusters.iter().any(|name| is_complete(world, name));
    match changing.session.until(deadline, first).await {
        Waited::Reached => changing.session.until(LISTS.min(deadline), all).await,
        waited => waited,
    }
}

/// Namespaces and policies, or a reason why they will not come.
fn is_listed(world: &World, name: &ClusterName) -> bool {
    world.cluster(name).is_none_or(|cluster| cluster.is_complete() || wait::is_read(cluster))
}

/// The rows that are meant, and a refusal of namespaces that are not there: one that was mistyped must
/// not be reported as taken back.
fn targets(world: &World, clusters: &[ClusterName], args: &Rollback) -> (Vec<Target>, Option<Refusal>) {
    let (mut targets, mut reasons) = (Vec::new(), Vec::new());
    for cluster in clusters.iter().filter_map(|name| world.cluster(name)) {
        if args.all_namespaces {
            if cluster.is_complete() {
                let both = with_ours(cluster).into_iter().flat_map(|ns| rows(cluster, &ns, args));
                targets.extend(both.filter(|target| is_there(world, target)));
            }
            continue;
        }
        for ns in &args.namespaces {
            if cluster.listed.contains(&Listed::Namespaces) && !cluster.namespaces.contains_key(ns) {
                reasons.push(Reason::UnknownNamespace(cluster.name.clone(), ns.clone()));
            } else {
                targets.extend(rows(cluster, ns, args));
            }
        }
    }
    (targets, (!reasons.is_empty()).then(|| Refusal { what: Text::new(NAME), reasons }))
}

fn rows(cluster: &Cluster, ns: &NsName, args: &Rollback) -> Vec<Target> {
    let directions = args.direction.map_or(Direction::ALL.to_vec(), |direction| vec![direction]);
    let row = |direction| Target { cluster: cluster.name.clone(), ns: ns.clone(), direction };
    directions.into_iter().map(row).collect()
}

/// Something of ours is live or staged in it, or may be.
fn is_there(world: &World, target: &Target) -> bool {
    let staged =
        world.namespace(&target.cluster, &target.ns).is_some_and(|ns| ns.is_staged(target.direction));
    staged || live(world, target).is_none_or(|live| !live.is_empty())
}

fn with_ours(cluster: &Cluster) -> Vec<NsName> {
    let has_ours = |ns: &&crate::domain::fleet::Namespace| {
        let staged = Direction::ALL.into_iter().any(|direction| ns.is_staged(direction));
        staged || ns.policies.values().any(|p| p.pinned().is_some())
    };
    cluster.namespaces.values().filter(has_ours).map(|ns| ns.seen.name.clone()).collect()
}

/// Names of our policies that are live; `None`: not known.
fn live(world: &World, target: &Target) -> Option<Vec<&'static str>> {
    let cluster = world.cluster(&target.cluster)?;
    if !cluster.listed.contains(&Listed::Policies) {
        return None;
    }
    let ns = cluster.namespaces.get(&target.ns);
    Some(ns.map_or_else(Vec::new, |ns| valve::live_set(ns, target.direction).into_keys().collect()))
}

fn plan(world: &World, target: &Target) -> RollbackPlan {
    let cluster = world.cluster(&target.cluster);
    let entry = world.plan().clusters.iter().find(|entry| entry.name == target.cluster);
    let context = entry.map_or(target.cluster.as_str(), |entry| entry.context.as_str());
    // Where it is not known whether the kind is served, the command for it is shown too.
    let with_fqdn = cluster.is_none_or(|cluster| {
        cluster.version.is_none() || cluster.kinds.contains(&PolicyKind::CiliumNetworkPolicy)
    });
    let ns = world.namespace(&target.cluster, &target.ns);
    let are_pods_listed = cluster.is_some_and(|cluster| cluster.listed.contains(&Listed::Pods));
    let mut commands = valve::by_hand(context, &target.ns, target.direction, with_fqdn);
    let staged = ns.is_some_and(|ns| ns.is_staged(target.direction));
    commands.extend(staged.then(|| shadow::removal_command(context, &target.ns, target.direction)));
    RollbackPlan {
        target: target.clone(),
        live: live(world, target),
        staged,
        warning: allowed::rollback_warning(world, target),
        isolation: ns.filter(|_| are_pods_listed).map(|ns| ns.isolation(target.direction)),
        commands,
    }
}
