//! `sluice rollback`: takes our policies back. Needs the target's API server and nothing else; what
//! it can find out quickly it uses to refuse a namespace that does not exist, and what it cannot it
//! does not wait for.

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
        decide::{Command, Reason, Refusal},
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

/// How long the lists of the cluster may take before it goes on without them.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn run(mut changing: Changing<'_, '_>, args: &Rollback) -> Exit {
    let clusters = match changing.clusters() {
        Ok(clusters) => clusters,
        Err(said) => return changing.usage(&said),
    };
    let mut result = Result::default();
    // A whole cluster needs to know what is live; a named namespace does not.
    let needs_lists = args.all_namespaces || changing.change.dry_run;
    let patience =
        if needs_lists { changing.change.deadline } else { PATIENCE.min(changing.change.deadline) };
    let waited = changing.session.until(patience, |world| are_listed(world, &clusters)).await;
    if waited == Waited::Interrupted {
        return Exit::Failed;
    }
    let world = changing.session.world();
    if args.all_namespaces
        && !clusters.iter().all(|name| world.cluster(name).is_some_and(Cluster::is_complete))
    {
        result.troubles = wait::unread(world);
        return changing.report(NAME, Exit::Failed, result);
    }
    if let Some(refusal) = strangers(world, &clusters, args) {
        result.refusals.push(refusal);
        return changing.report(NAME, Exit::Refused, result);
    }
    let targets = targets(world, &clusters, args);
    result.rollbacks = targets.iter().map(|target| plan(world, target)).collect();
    if targets.is_empty() {
        changing.printer.say("None of our policies is live there: nothing to take back.\n");
        return changing.report(NAME, Exit::Done, result);
    }
    if changing.change.dry_run {
        return changing.report(NAME, Exit::Done, result);
    }
    if changing.asker.is_person() {
        let shown: String = result.rollbacks.iter().map(rollback_text).collect();
        changing.printer.say(&shown);
    }
    // One short word, whatever the environment: taking back must be easier than applying.
    if !changing.asker.asks_for("yes", "roll back", changing.printer).await {
        changing.printer.say("Not confirmed: nothing was written.\n");
        return changing.report(NAME, Exit::Failed, result);
    }
    match changing.session.engine().command(&Command::RollBack(targets)) {
        Err(refusal) => {
            result.refusals.push(refusal);
            changing.report(NAME, Exit::Refused, result)
        }
        Ok(orders) => {
            changing.drive(&orders).await;
            let exit = changing.exit_of(&orders);
            result.orders = orders;
            changing.report(NAME, exit, result)
        }
    }
}

/// Namespaces and policies, or a reason why they will not come.
fn are_listed(world: &World, clusters: &[ClusterName]) -> bool {
    clusters
        .iter()
        .all(|name| world.cluster(name).is_none_or(|cluster| cluster.is_complete() || wait::is_read(cluster)))
}

/// A mistyped namespace must not be reported as taken back.
fn strangers(world: &World, clusters: &[ClusterName], args: &Rollback) -> Option<Refusal> {
    let mut reasons = Vec::new();
    for cluster in clusters.iter().filter_map(|name| world.cluster(name)) {
        let is_listed = cluster.listed.contains(&Listed::Namespaces);
        let unknown = args.namespaces.iter().filter(|ns| is_listed && !cluster.namespaces.contains_key(*ns));
        reasons.extend(unknown.map(|ns| Reason::UnknownNamespace(cluster.name.clone(), ns.clone())));
    }
    (!reasons.is_empty()).then(|| Refusal { what: Text::new(NAME), reasons })
}

fn targets(world: &World, clusters: &[ClusterName], args: &Rollback) -> Vec<Target> {
    let directions = args.direction.map_or(Direction::ALL.to_vec(), |direction| vec![direction]);
    let mut out = Vec::new();
    for name in clusters {
        let Some(cluster) = world.cluster(name) else { continue };
        let namespaces = if args.all_namespaces { with_ours(cluster) } else { args.namespaces.clone() };
        for ns in namespaces {
            for direction in &directions {
                let target = Target { cluster: name.clone(), ns: ns.clone(), direction: *direction };
                let staged = world.namespace(name, &target.ns).is_some_and(|ns| ns.is_staged(*direction));
                let may_be_live = || live(world, &target).is_none_or(|live| !live.is_empty());
                if !args.all_namespaces || staged || may_be_live() {
                    out.push(target);
                }
            }
        }
    }
    out
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
        isolation: ns.filter(|_| are_pods_listed).map(|ns| ns.isolation(target.direction)),
        commands,
    }
}
