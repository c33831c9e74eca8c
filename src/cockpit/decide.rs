//! May it be done now, and what exactly? Pure: reads the world, answers with effects or with every
//! reason against. The screen, the headless commands and the tests call the same function.

use std::fmt;

use crate::domain::{
    fleet::{Enforcement, Health},
    names::{ClusterName, NsName, Text},
    policy::Pinned,
    time::{age, span},
    valve,
};

use super::{
    orders::{ApplyOrder, Order, OrderId, OrderKind, OrderState, PreviewOrder, RollbackOrder, Target},
    ports::{Effect, Link},
    review_orders,
    world::World,
};

pub use super::review_orders::{Asking, Deciding, ReviewReason, Shown, against};

/// What the operator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// What would an apply of these rows do? Changes nothing.
    Preview(Vec<Target>),
    /// Apply what these previews showed, one after the other.
    Apply(Vec<OrderId>),
    RollBack(Vec<Target>),
    /// Stop these orders before their next write; empty: all that run.
    Abort(Vec<OrderId>),
    Reconnect(ClusterName),
    /// Ask the collector for the edges of this namespace.
    ReadEdges(ClusterName, NsName),
    AskReview(Box<Asking>),
    /// Approve, reject or revoke.
    DecideReview(Box<Deciding>),
    Reload,
}

/// What to start: each with the fact that makes it known, so that our own acts enter like any other.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    pub started: Vec<(OrderId, OrderKind, Target)>,
    pub effects: Vec<Effect>,
}

/// Our own rules say no. Holds every reason, not the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    pub what: Text,
    pub reasons: Vec<Reason>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused:", self.what)?;
        self.reasons
            .iter()
            .enumerate()
            .try_for_each(|(i, reason)| write!(f, "{} {reason}", if i == 0 { "" } else { ";" }))
    }
}

/// One reason against, with the next step in its sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("this run is read-only (--read-only)")]
    ReadOnly,
    #[error("there is no sluice.yaml: start sluice in a workspace, or see `sluice init`")]
    NoWorkspace,
    #[error("{0} is not a cluster of this fleet")]
    UnknownCluster(ClusterName),
    #[error("cluster {0} has no namespace {1}")]
    UnknownNamespace(ClusterName, NsName),
    #[error("no policy files: put the pinned set into network-policies/{0}/{1}/")]
    NotAuthored(ClusterName, NsName),
    #[error("{0}")]
    BadFile(Text),
    #[error("{0} is missing from the workspace")]
    MissingFile(&'static str),
    #[error("namespace {0} is excluded in sluice.yaml")]
    Excluded(NsName),
    #[error("namespace {0} is being deleted")]
    Terminating(NsName),
    #[error("cluster {cluster} cannot be reached: {why}")]
    Unreachable { cluster: ClusterName, why: Text },
    #[error("{user} may not {verb} network policies in {cluster} (RBAC); ask its admin for the right")]
    NoRight { user: Text, verb: &'static str, cluster: ClusterName },
    #[error(
        "{cluster} does not enforce NetworkPolicies ({evidence}): migrate its CNI to Calico or Cilium first"
    )]
    NotEnforced { cluster: ClusterName, evidence: Text },
    #[error("order {order} ({kind} {target}) has been running for {since}: wait for it or abort it")]
    InFlight { order: OrderId, kind: &'static str, target: Target, since: String },
    #[error("nothing differs from what is live")]
    NothingToDo,
    #[error("the preview {0} is gone or was not finished: preview again")]
    NoPreview(OrderId),
    #[error("{0} changed since the preview: preview again")]
    Stale(Text),
    #[error("{0}")]
    Server(Text),
    #[error("nothing runs that could be stopped")]
    NothingRuns,
    #[error(
        "no collector is known in {cluster}{why}: install it there with assets/collect/sluice-collect.yaml"
    )]
    NoCollector { cluster: ClusterName, why: Text },
    #[error("the collector of {cluster} cannot be reached: {why}")]
    CollectorAway { cluster: ClusterName, why: Text },
    #[error("the collector of {cluster} was asked {since} ago and has not answered yet")]
    Asked { cluster: ClusterName, since: String },
    #[error("no row was named")]
    NoTarget,
    /// A flagged peer is opened without a valid grant, or it is not known whether one is. `code` is a
    /// stable word.
    #[error("{said}")]
    OwnerGate { code: &'static str, said: Text },
    #[error("{0}")]
    Review(#[from] ReviewReason),
}

/// The one function that decides.
pub fn decide(world: &World, command: &Command) -> Result<Orders, Refusal> {
    match command {
        Command::Preview(targets) => preview(world, targets),
        Command::Apply(previews) => apply(world, previews),
        Command::RollBack(targets) => roll_back(world, targets),
        Command::Abort(orders) => abort(world, orders),
        Command::Reconnect(cluster) => Ok(just(Effect::Reconnect(cluster.clone()))),
        Command::ReadEdges(cluster, ns) => read_edges(world, cluster, ns),
        Command::AskReview(asking) => review_orders::ask(world, asking),
        Command::DecideReview(deciding) => review_orders::decide(world, deciding),
        Command::Reload => Ok(just(Effect::Reload)),
    }
}

fn just(effect: Effect) -> Orders {
    Orders { started: Vec::new(), effects: vec![effect] }
}

/// Every reason why this row cannot be applied now, before any preview.
pub fn apply_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if world.is_read_only() {
        reasons.push(Reason::ReadOnly);
    }
    if world.plan().path.is_none() {
        reasons.push(Reason::NoWorkspace);
    }
    let Some(cluster) = world.cluster(&target.cluster) else {
        reasons.push(Reason::UnknownCluster(target.cluster.clone()));
        return reasons;
    };
    if let Health::Down(why) = &cluster.health {
        reasons.push(Reason::Unreachable { cluster: target.cluster.clone(), why: why.clone() });
    }
    if world.plan().excludes(&target.ns) {
        reasons.push(Reason::Excluded(target.ns.clone()));
    }
    match cluster.namespaces.get(&target.ns) {
        None if cluster.is_complete() => {
            reasons.push(Reason::UnknownNamespace(target.cluster.clone(), target.ns.clone()));
        }
        Some(ns) if ns.seen.terminating => reasons.push(Reason::Terminating(target.ns.clone())),
        None | Some(_) => {}
    }
    let user =
        || cluster.identity.as_ref().map_or_else(|| Text::new("you"), |identity| identity.user.clone());
    for (right, verb) in [(cluster.rights.create, "create"), (cluster.rights.patch, "patch")] {
        if right == Some(false) {
            reasons.push(Reason::NoRight { user: user(), verb, cluster: target.cluster.clone() });
        }
    }
    if cluster.enforcement() == Enforcement::DoesNot {
        let evidence = cluster.cni.as_ref().map_or_else(Text::default, |cni| cni.evidence.clone());
        reasons.push(Reason::NotEnforced { cluster: target.cluster.clone(), evidence });
    }
    reasons.extend(file_reasons(world, target));
    reasons.extend(in_flight(world, target));
    reasons
}

fn file_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let Some(authored) = world.files().sets.get(&key) else {
        return vec![Reason::NotAuthored(target.cluster.clone(), target.ns.clone())];
    };
    let bad = authored.complaints.iter().cloned().map(Reason::BadFile);
    let missing = Pinned::of(target.direction)
        .filter(|pinned| pinned.is_required() && !authored.set.contains_key(pinned.name))
        .map(|pinned| Reason::MissingFile(pinned.name));
    bad.chain(missing).collect()
}

fn in_flight(world: &World, target: &Target) -> Option<Reason> {
    world.orders().in_flight(&target.cluster, &target.ns).map(|order| busy(world, order))
}

fn busy(world: &World, order: &Order) -> Reason {
    Reason::InFlight {
        order: order.id,
        kind: order.kind.as_str(),
        target: order.target.clone(),
        since: span(age(order.since, world.now())),
    }
}

fn preview(world: &World, targets: &[Target]) -> Result<Orders, Refusal> {
    let reasons: Vec<_> = targets.iter().flat_map(|target| apply_reasons(world, target)).collect();
    refuse_if("apply", targets, reasons)?;
    let mut orders = Orders { started: Vec::new(), effects: Vec::new() };
    for target in targets {
        let key = (target.cluster.clone(), target.ns.clone(), target.direction);
        let Some(authored) = world.files().sets.get(&key) else { continue };
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        orders.started.push((id, OrderKind::Preview, target.clone()));
        orders.effects.push(Effect::Preview(PreviewOrder {
            id,
            target: target.clone(),
            wanted: authored.set.clone(),
            manifests: authored.manifests.clone(),
        }));
    }
    Ok(orders)
}

/// Every reason why what a preview showed cannot be applied now. It is bound to the bytes in the
/// workspace and to the live objects that it was computed against.
pub fn confirm_reasons(world: &World, id: OrderId) -> Vec<Reason> {
    let Some(Order { state: OrderState::Previewed(preview), .. }) = world.orders().get(id) else {
        return vec![Reason::NoPreview(id)];
    };
    let target = &preview.target;
    let mut reasons = apply_reasons(world, target);
    if preview.steps.is_empty() {
        reasons.push(Reason::NothingToDo);
    }
    reasons.extend(preview.refusals.iter().map(|trouble| Reason::Server(Text::from(trouble.to_string()))));
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    if world.files().sets.get(&key).is_some_and(|authored| authored.manifests != preview.manifests) {
        reasons.push(Reason::Stale(Text::new("the workspace's policy")));
    }
    if let Some(ns) = world.namespace(&target.cluster, &target.ns) {
        let live = valve::live_set(ns, target.direction);
        let same = live.len() == preview.live.len()
            && live.iter().all(|(name, policy)| {
                preview.live.get(name).is_some_and(|then| then.canonical == policy.canonical)
            });
        if !same {
            reasons.push(Reason::Stale(Text::new("a live policy")));
        }
    }
    reasons
}

fn apply(world: &World, previews: &[OrderId]) -> Result<Orders, Refusal> {
    let reasons: Vec<_> = previews.iter().flat_map(|id| confirm_reasons(world, *id)).collect();
    refuse_if("apply", previews, reasons)?;
    let mut orders = Orders { started: Vec::new(), effects: Vec::new() };
    let mut after = None;
    for preview in previews {
        let Some(Order { state: OrderState::Previewed(preview), .. }) = world.orders().get(*preview) else {
            continue;
        };
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        orders.started.push((id, OrderKind::Apply, preview.target.clone()));
        orders.effects.push(Effect::Apply(ApplyOrder { id, preview: preview.clone(), after }));
        after = Some(id);
    }
    Ok(orders)
}

/// Law 6: refuses only what cannot be sent. No workspace, gate, source or other cluster is asked.
pub fn rollback_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if world.is_read_only() {
        reasons.push(Reason::ReadOnly);
    }
    let Some(cluster) = world.cluster(&target.cluster) else {
        reasons.push(Reason::UnknownCluster(target.cluster.clone()));
        return reasons;
    };
    if cluster.rights.may_roll_back() == Some(false) {
        let user =
            cluster.identity.as_ref().map_or_else(|| Text::new("you"), |identity| identity.user.clone());
        reasons.push(Reason::NoRight { user, verb: "patch or delete", cluster: target.cluster.clone() });
    }
    // A rollback under way is not started a second time; a running apply is stopped instead.
    reasons.extend(running(world, target, OrderKind::Rollback).map(|order| busy(world, order)));
    reasons
}

/// The order of this kind that runs on exactly this rollout.
fn running<'w>(world: &'w World, target: &Target, kind: OrderKind) -> Option<&'w Order> {
    let here = world.orders().running_in(&target.cluster, &target.ns);
    here.into_iter().find(|order| order.kind == kind && order.target == *target)
}

fn roll_back(world: &World, targets: &[Target]) -> Result<Orders, Refusal> {
    let reasons: Vec<_> = targets.iter().flat_map(|target| rollback_reasons(world, target)).collect();
    refuse_if("rollback", targets, reasons)?;
    let mut orders = Orders { started: Vec::new(), effects: Vec::new() };
    for target in targets {
        let aborts = running(world, target, OrderKind::Apply).map(|order| order.id);
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        orders.started.push((id, OrderKind::Rollback, target.clone()));
        orders.effects.push(Effect::Rollback(RollbackOrder { id, target: target.clone(), aborts }));
    }
    Ok(orders)
}

fn abort(world: &World, orders: &[OrderId]) -> Result<Orders, Refusal> {
    let effects: Vec<_> = world
        .running()
        .filter(|order| order.kind == OrderKind::Apply && (orders.is_empty() || orders.contains(&order.id)))
        .map(|order| Effect::Abort(order.id))
        .collect();
    if effects.is_empty() {
        return Err(Refusal { what: Text::new("abort"), reasons: vec![Reason::NothingRuns] });
    }
    Ok(Orders { started: Vec::new(), effects })
}

/// Every reason why a collector cannot be asked for edges now.
pub fn read_reasons(world: &World, cluster: &ClusterName, ns: &NsName) -> Vec<Reason> {
    if world.cluster(cluster).is_none() {
        return vec![Reason::UnknownCluster(cluster.clone())];
    }
    let link = world.discoveries().collected(cluster).map(|collected| &collected.state.link);
    let name = || cluster.clone();
    match link {
        None => vec![Reason::NoCollector { cluster: name(), why: Text::default() }],
        Some(Link::None(why)) => {
            vec![Reason::NoCollector { cluster: name(), why: Text::from(format!(" ({why})")) }]
        }
        Some(Link::Broken(trouble)) => {
            vec![Reason::CollectorAway { cluster: name(), why: Text::from(trouble.to_string()) }]
        }
        Some(Link::Connecting) => {
            vec![Reason::CollectorAway { cluster: name(), why: Text::new("it is being connected") }]
        }
        Some(Link::Live) => {
            let asked = world.discoveries().opened(cluster, ns).filter(|opened| opened.is_waiting());
            let waits = asked.filter(|_| !world.discoveries().is_due(cluster, ns, world.now()));
            let since = waits.map(|opened| span(age(opened.asked, world.now())));
            since.map(|since| Reason::Asked { cluster: name(), since }).into_iter().collect()
        }
    }
}

fn read_edges(world: &World, cluster: &ClusterName, ns: &NsName) -> Result<Orders, Refusal> {
    refuse_if("refresh", &[format!("{cluster}/{ns}")], read_reasons(world, cluster, ns))?;
    Ok(just(Effect::ReadEdges(cluster.clone(), ns.clone())))
}

pub(super) fn refuse_if<T: fmt::Display>(
    what: &str,
    of: &[T],
    mut reasons: Vec<Reason>,
) -> Result<(), Refusal> {
    if of.is_empty() {
        reasons.push(Reason::NoTarget);
    }
    // Several rows share reasons such as read-only: each is said once.
    let mut once: Vec<Reason> = Vec::new();
    for reason in reasons {
        if !once.contains(&reason) {
            once.push(reason);
        }
    }
    if once.is_empty() {
        return Ok(());
    }
    let what = match of {
        [one] => format!("{what} {one}"),
        [] => what.to_owned(),
        many => format!("{what} of {} rows", many.len()),
    };
    Err(Refusal { what: Text::from(what), reasons: once })
}
