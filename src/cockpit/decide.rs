//! May it be done now, and what exactly? Pure: reads the world, answers with effects or with every
//! reason against. The screen, the headless commands and the tests call the same function.

use std::fmt;

use crate::domain::{
    fleet::Health,
    hold::HoldKind,
    manifest::Manifests,
    names::{ClusterName, NsName, Text},
    policy::{Pinned, PolicyDigest},
    preflight::check::{CheckId, Verdict},
    time::{Timestamp, age, span},
    valve::{self, Set},
};

use super::{
    allowed, foresights,
    gates::{self, Gate},
    holding::{self, Wanted},
    monthly,
    orders::{ApplyOrder, Order, OrderId, OrderKind, Origin, Preview, PreviewOrder, RollbackOrder, Target},
    ports::Effect,
    preflight, reading, review_orders, shadow,
    waiving::{self, Overriding, Waiving},
    world::World,
};

pub use super::reading::read_reasons;
pub use super::review_orders::{Asking, Deciding, ReviewReason, Shown, may_ask, may_decide};

/// What the operator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// What would an apply of these rows do? Changes nothing.
    Preview(Vec<Target>),
    /// What would going back to the newest clean bytes of these rows do? Changes nothing.
    Revert(Vec<Target>),
    /// What would staging the workspace's policies of these rows do? Changes nothing.
    Shadow(Vec<Target>),
    /// Apply what these previews showed, one after the other.
    Apply(Vec<OrderId>),
    RollBack(Vec<Target>),
    /// Stop these orders before their next write; empty: all that run.
    Abort(Vec<OrderId>),
    Reconnect(ClusterName),
    /// Ask the collector for the edges of this namespace.
    ReadEdges(ClusterName, NsName),
    /// What would the workspace's policies of this row do to the recorded week? Needs no right to write.
    Foresee(Target),
    /// Read what the discovery documents say of themselves.
    ReadDocuments,
    /// What changed since the discovery document of this namespace was written? In whose name it would be
    /// reviewed; `None`: ours.
    Compare(NsName, Option<Text>),
    /// Write what was compared into the workspace, with or without a review.
    Renew {
        ns: NsName,
        reviewed: bool,
    },
    /// Nothing of this scope advances, or its wave goes on without it.
    Hold(Wanted),
    /// End a hold or an exclusion, by its name.
    Release(Text),
    Waive(Box<Waiving>),
    Override(Box<Overriding>),
    /// The second person's yes to an override, by its name.
    Confirm(Text),
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
    #[error(
        "no policy files: put the pinned set into network-policies/{0}/{1}/; `sluice author` writes it from evidence"
    )]
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
    #[error("{user} may not {verb} network policies in {place} (RBAC); ask its admin for the right")]
    NoRight { user: Text, verb: &'static str, place: Text },
    #[error("{cluster} does not enforce NetworkPolicies ({evidence}): {next}")]
    NotEnforced { cluster: ClusterName, evidence: Text, next: &'static str },
    #[error("{cluster} has no shadow: {why}")]
    NoShadow { cluster: ClusterName, why: Text },
    #[error("pre-flight of {cluster}, {} {}: {why} See `sluice preflight --cluster {cluster}`", .check.as_str(), .verdict.as_str())]
    Preflight { cluster: ClusterName, check: CheckId, verdict: Verdict, why: Text },
    #[error("pre-flight of {cluster} is unknown: {since}; look with `sluice preflight --cluster {cluster}`")]
    NoPreflight { cluster: ClusterName, since: Text },
    #[error("order {order} ({kind} {target}) has been running for {since}: wait for it or abort it")]
    InFlight { order: OrderId, kind: &'static str, target: Target, since: String },
    #[error("{0} never soaked clean, so there is nothing to go back to: roll it back instead")]
    NeverClean(Target),
    #[error(
        "{0} is another cluster than the one that was recorded (its kube-system namespace has another UID)"
    )]
    OtherCluster(ClusterName),
    #[error(
        "which cluster {0} is, is not known: its kube-system namespace could not be read, and is asked for again each half minute"
    )]
    Unidentified(ClusterName),
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
    /// What the plan has against it.
    #[error("{0}")]
    Gate(Box<Gate>),
    #[error("say why: the reason is kept with it (--reason)")]
    NoReason,
    #[error("an override says what it covers: soak, coverage or order (--covers)")]
    NothingCovered,
    #[error("there is no override {name}; there are: {known}")]
    UnknownOverride { name: Text, known: Text },
    /// Of a digest that somebody typed.
    #[error("the bytes are {} by now: look at them with `sluice apply --dry-run`, then name that digest", .now.short())]
    OtherBytes { now: PolicyDigest },
    /// What is to be waived and is not there.
    #[error("{0}")]
    NothingToWaive(Text),
    #[error(
        "which cluster {0} is, is not known (the UID of its kube-system namespace): wait until it answers"
    )]
    NoUid(ClusterName),
    /// It opens nothing, confirmed or not.
    #[error("override {name} {why}")]
    OtherOverride { name: Text, why: &'static str },
    #[error("{0} is confirmed already")]
    ConfirmedAlready(Text),
    #[error("you asked for it yourself, as {0}: a second person has to confirm it")]
    OwnOverride(Text),
    #[error("an exclusion ends one day: say when (--until)")]
    NoExpiry,
    #[error("{} is past by the state cluster's clock: give a later end (--until)", .0.format("%Y-%m-%d %H:%M UTC"))]
    Past(Timestamp),
    #[error("the state cluster has not told the time yet: try again")]
    NoClock,
    #[error("an exclusion is of a cluster, a namespace or a rollout, never of the fleet")]
    TooWide,
    #[error("there is a {kind} on exactly that already: {name}, by {by}")]
    AlreadyHeld { kind: &'static str, name: Text, by: Text },
    #[error("there is no hold {name}; there are: {known}")]
    UnknownHold { name: Text, known: Text },
    #[error("you may not {0} rollouts (RBAC of the state cluster); ask its admin for the right")]
    NoShareRight(&'static str),
    /// A flagged peer is opened without a valid grant, or it is not known whether one is. `code` is a
    /// stable word.
    #[error("{said}")]
    OwnerGate { code: &'static str, said: Text },
    /// Of a discovery document of the workspace.
    #[error("{0}")]
    Document(Text),
    #[error("{0}")]
    Review(#[from] ReviewReason),
}

/// The one function that decides.
pub fn decide(world: &World, command: &Command) -> Result<Orders, Refusal> {
    match command {
        Command::Preview(targets) => preview(world, targets, Origin::Workspace),
        Command::Revert(targets) => preview(world, targets, Origin::LastClean),
        Command::Shadow(targets) => preview(world, targets, Origin::Shadow),
        Command::Apply(previews) => apply(world, previews),
        Command::RollBack(targets) => roll_back(world, targets),
        Command::Abort(orders) => abort(world, orders),
        Command::Reconnect(cluster) => Ok(just(Effect::Reconnect(cluster.clone()))),
        Command::ReadEdges(cluster, ns) => reading::read_edges(world, cluster, ns),
        Command::Foresee(target) => foresee(world, target),
        Command::ReadDocuments => Ok(just(Effect::ReadDocuments)),
        Command::Compare(ns, by) => monthly::compare(world, ns, by.as_ref()),
        Command::Renew { ns, reviewed } => monthly::renew(world, ns, *reviewed),
        Command::Hold(wanted) => hold(world, wanted),
        Command::Release(name) => release(world, name),
        Command::Waive(waiving) => waive(world, waiving),
        Command::Override(overriding) => overrule(world, overriding),
        Command::Confirm(name) => confirm(world, name),
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
    let mut reasons = write_reasons(world, target);
    reasons.extend(file_reasons(world, target));
    reasons
}

/// Every reason why the newest clean bytes of this row cannot be applied again now.
pub fn revert_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = write_reasons(world, target);
    match world.shared().record(target).and_then(|kept| kept.value.clean.as_ref()) {
        None => reasons.push(Reason::NeverClean(target.clone())),
        Some(_) => reasons.extend(other_cluster(world, target)),
    }
    reasons
}

/// What soaked in another cluster of that name proves nothing for this one.
fn other_cluster(world: &World, target: &Target) -> Option<Reason> {
    let uid = world.cluster(&target.cluster)?.uid.as_ref();
    let known = &world.shared().record(target)?.value.uid;
    match uid {
        None => Some(Reason::Unidentified(target.cluster.clone())),
        Some(uid) => (uid != known).then(|| Reason::OtherCluster(target.cluster.clone())),
    }
}

/// Gates are bound to a cluster: while nobody knows which one answers, none of them is passed.
fn unidentified(world: &World, target: &Target) -> Option<Reason> {
    let cluster = world.cluster(&target.cluster)?;
    let is_met = cluster.version.is_some();
    (is_met && cluster.uid.is_none()).then(|| Reason::Unidentified(target.cluster.clone()))
}

/// Every reason why nothing can be written into this row now, whatever the bytes.
pub(super) fn write_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = place_reasons(world, target);
    let Some(cluster) = world.cluster(&target.cluster) else { return reasons };
    reasons.extend(preflight::not_enforced(cluster));
    reasons.extend(preflight::stops_row(world, cluster, &target.ns).map(|check| Reason::Preflight {
        cluster: target.cluster.clone(),
        check: check.id,
        verdict: check.verdict,
        why: check.why.clone(),
    }));
    reasons.extend(in_flight(world, target));
    reasons
}

/// Every reason of place and person why nothing can be written into this row, enforced or not.
fn place_reasons(world: &World, target: &Target) -> Vec<Reason> {
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
    reasons.extend(allowed::against_apply(cluster, target));
    reasons
}

/// Every reason why this row's policies cannot be staged now. What a shadow enforces is nothing, so
/// neither the plan nor the pre-flight's word on enforcement stands against it.
pub(super) fn stage_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = place_reasons(world, target);
    reasons.extend(in_flight(world, target));
    reasons.extend(file_reasons(world, target));
    reasons
}

pub(super) fn file_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let Some(authored) = world.files().sets.get(&key) else {
        if world.files().pending {
            let why = "the policy files of the workspace are still being read; ask again in a moment";
            return vec![Reason::BadFile(Text::new(why))];
        }
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

fn preview(world: &World, targets: &[Target], origin: Origin) -> Result<Orders, Refusal> {
    let (word, against): (_, fn(&World, &Target) -> Vec<Reason>) = match origin {
        Origin::Workspace => ("apply", apply_reasons),
        Origin::LastClean => ("revert", revert_reasons),
        Origin::Shadow => ("shadow", shadow::reasons),
    };
    let reasons: Vec<_> = targets.iter().flat_map(|target| against(world, target)).collect();
    refuse_if(word, targets, reasons)?;
    let mut orders = Orders { started: Vec::new(), effects: Vec::new() };
    for target in targets {
        let Some((wanted, manifests)) = bytes(world, target, origin) else { continue };
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        orders.started.push((id, OrderKind::Preview, target.clone()));
        let (target, wanted, manifests) = (target.clone(), wanted.clone(), manifests.clone());
        orders.effects.push(Effect::Preview(PreviewOrder { id, target, origin, wanted, manifests }));
    }
    Ok(orders)
}

/// The set that is wanted, and its manifests.
fn bytes<'w>(world: &'w World, target: &Target, origin: Origin) -> Option<(&'w Set, &'w Manifests)> {
    match origin {
        Origin::Workspace | Origin::Shadow => {
            let key = (target.cluster.clone(), target.ns.clone(), target.direction);
            world.files().sets.get(&key).map(|authored| (&authored.set, &authored.manifests))
        }
        Origin::LastClean => {
            let clean = world.shared().record(target)?.value.clean.as_ref()?;
            Some((&clean.set, &clean.manifests))
        }
    }
}

/// The gates of exactly these bytes (law 2): what the plan has against the row, less what an override
/// for this digest opens, and flagged destinations without a grant. Going back to what soaked clean
/// waits for no wave, day or evidence.
pub(super) fn gate_reasons(world: &World, preview: &Preview) -> Vec<Reason> {
    let target = &preview.target;
    let gates = match preview.origin {
        Origin::Workspace => {
            let mut gates = gates::gates(world, target);
            gates.extend(gates::predicted(world, preview));
            gates
        }
        Origin::LastClean => gates::always(world, target),
        // It opens nothing and enforces nothing: no gate is asked, and none is passed by it.
        Origin::Shadow => return Vec::new(),
    };
    let is_open = |gate: &Gate| {
        gate.covers.is_some_and(|covers| waiving::is_overridden(world, target, preview.digest, covers))
    };
    let missing = gates.into_iter().filter(|gate| !is_open(gate));
    let mut reasons: Vec<_> = missing.map(|gate| Reason::Gate(Box::new(gate))).collect();
    reasons.extend(super::gate::owner_gate(world, target, &preview.set));
    reasons.extend(unidentified(world, target));
    reasons
}

/// Every reason why what a preview showed cannot be applied now. It is bound to the bytes in the
/// workspace and to the live objects that it was computed against.
pub fn confirm_reasons(world: &World, id: OrderId) -> Vec<Reason> {
    let Some(preview) = world.orders().preview(id) else {
        return vec![Reason::NoPreview(id)];
    };
    let target = &preview.target;
    let mut reasons = match preview.origin {
        Origin::Workspace => apply_reasons(world, target),
        Origin::LastClean => revert_reasons(world, target),
        Origin::Shadow => shadow::reasons(world, target),
    };
    reasons.extend(preflight::untold(world, preview));
    reasons.extend(gate_reasons(world, preview));
    if preview.steps.is_empty() {
        reasons.push(Reason::NothingToDo);
    }
    reasons.extend(preview.refusals.iter().map(|trouble| Reason::Server(Text::from(trouble.to_string()))));
    if bytes(world, target, preview.origin).is_some_and(|(_, manifests)| *manifests != preview.manifests) {
        reasons.push(Reason::Stale(Text::new(match preview.origin {
            Origin::Workspace | Origin::Shadow => "the workspace's policy",
            Origin::LastClean => "what soaked clean last",
        })));
    }
    if let Some(ns) = world.namespace(&target.cluster, &target.ns) {
        let live = match preview.origin {
            Origin::Workspace | Origin::LastClean => valve::live_set(ns, target.direction),
            Origin::Shadow => crate::domain::shadow::set(&ns.staged(target.direction)),
        };
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
    for preview in previews.iter().filter_map(|id| world.orders().preview(*id)) {
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        let kind = match preview.origin {
            Origin::Workspace => OrderKind::Apply,
            Origin::LastClean => OrderKind::Revert,
            Origin::Shadow => OrderKind::Shadow,
        };
        orders.started.push((id, kind, preview.target.clone()));
        orders.effects.push(Effect::Apply(ApplyOrder { id, preview: Box::new(preview.clone()), after }));
        after = Some(id);
    }
    Ok(orders)
}

/// Law 6: refuses only what cannot be sent. No workspace, gate, source or other cluster is asked, and
/// no review of our rights either: the server says what we may do ([`allowed::rollback_warning`]).
pub fn rollback_reasons(world: &World, target: &Target) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if world.is_read_only() {
        reasons.push(Reason::ReadOnly);
    }
    if world.cluster(&target.cluster).is_none() {
        reasons.push(Reason::UnknownCluster(target.cluster.clone()));
    }
    // A rollback under way is not started a second time; a running apply is stopped instead.
    reasons
        .extend(running(world, target, |kind| kind == OrderKind::Rollback).map(|order| busy(world, order)));
    reasons
}

/// The order of such a kind that runs on exactly this rollout.
fn running<'w>(world: &'w World, target: &Target, is_kind: impl Fn(OrderKind) -> bool) -> Option<&'w Order> {
    let here = world.orders().running_in(&target.cluster, &target.ns);
    here.into_iter().find(|order| is_kind(order.kind) && order.target == *target)
}

/// A row that cannot be sent keeps no other one back: it is left out, and is refused only where no row
/// is left. Whoever asks for several reads [`rollback_reasons`] of each.
fn roll_back(world: &World, targets: &[Target]) -> Result<Orders, Refusal> {
    let (sent, refused): (Vec<&Target>, Vec<_>) =
        targets.iter().partition(|target| rollback_reasons(world, target).is_empty());
    if sent.is_empty() {
        let reasons = refused.into_iter().flat_map(|target| rollback_reasons(world, target)).collect();
        refuse_if("rollback", targets, reasons)?;
    }
    let mut orders = Orders { started: Vec::new(), effects: Vec::new() };
    for target in sent {
        let aborts = running(world, target, OrderKind::applies).map(|order| order.id);
        let id = OrderId(world.orders().next_id().0 + orders.started.len() as u64);
        orders.started.push((id, OrderKind::Rollback, target.clone()));
        orders.effects.push(Effect::Rollback(RollbackOrder { id, target: target.clone(), aborts }));
    }
    Ok(orders)
}

fn abort(world: &World, orders: &[OrderId]) -> Result<Orders, Refusal> {
    let effects: Vec<_> = world
        .running()
        .filter(|order| order.kind.applies() && (orders.is_empty() || orders.contains(&order.id)))
        .map(|order| Effect::Abort(order.id))
        .collect();
    if effects.is_empty() {
        return Err(Refusal { what: Text::new("abort"), reasons: vec![Reason::NothingRuns] });
    }
    Ok(Orders { started: Vec::new(), effects })
}

fn hold(world: &World, wanted: &Wanted) -> Result<Orders, Refusal> {
    let what = match wanted.kind {
        HoldKind::Hold => "hold",
        HoldKind::Exclusion => "exclude",
    };
    refuse_if(what, &[&wanted.scope], holding::hold_reasons(world, wanted))?;
    Ok(just(holding::hold(world, wanted)))
}

fn waive(world: &World, waiving: &Waiving) -> Result<Orders, Refusal> {
    refuse_if("waive", &[&waiving.target], waiving::waive_reasons(world, waiving))?;
    Ok(Orders { started: Vec::new(), effects: waiving::waive(world, waiving).into_iter().collect() })
}

fn overrule(world: &World, overriding: &Overriding) -> Result<Orders, Refusal> {
    refuse_if("override", &[overriding.preview], waiving::override_reasons(world, overriding))?;
    Ok(Orders { started: Vec::new(), effects: waiving::overrule(world, overriding).into_iter().collect() })
}

fn confirm(world: &World, name: &Text) -> Result<Orders, Refusal> {
    refuse_if("confirm", &[name], waiving::confirm_reasons(world, name))?;
    Ok(Orders { started: Vec::new(), effects: waiving::confirm(world, name).into_iter().collect() })
}

fn release(world: &World, name: &Text) -> Result<Orders, Refusal> {
    refuse_if("release", &[name], holding::release_reasons(world, name))?;
    Ok(Orders { started: Vec::new(), effects: holding::release(world, name).into_iter().collect() })
}

fn foresee(world: &World, target: &Target) -> Result<Orders, Refusal> {
    refuse_if("predict", &[target], foresights::reasons(world, target))?;
    let question = foresights::question(world, target);
    let effects = question.into_iter().map(|question| Effect::Foresee(Box::new(question))).collect();
    Ok(Orders { started: Vec::new(), effects })
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
