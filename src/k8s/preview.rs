//! What an apply would do: the server's own dry run, the diff, whom it isolates, the commands, and
//! what a careful person would want to know. Changes nothing.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::{
    cockpit::{
        orders::{DiffLine, Origin, Preview, PreviewOrder, Sign},
        ports::Trouble,
    },
    domain::{
        self,
        eval::plugin::{Holds, Traits},
        fleet::{Cni, CniKind, Enforcement, Isolation, Pod},
        flow::Direction,
        manifest::Manifest,
        names::Text,
        policy::{Pinned, Policy, PolicyDigest, PolicyKind, Role, Spec},
        preflight::cni,
        valve::{self, Set, Step},
    },
    manifest,
};

use super::{
    connect::Access,
    decode::Meta,
    failure::Failure,
    place::{Mode, Place, Unread, isolation, opened, pinned_set, sendable},
    preflight::look,
    shadow, staged,
    wire::Call,
};

/// Reads what is live and asks the server what the wanted set would become.
pub async fn preview(access: &Access, order: &PreviewOrder, context: &str) -> Result<Preview, Trouble> {
    let place =
        Place { server: access.server().await?, target: order.target.clone(), context: context.to_owned() };
    let namespace = async {
        place.server.ask::<Value>(Call::metadata(format!("/api/v1/namespaces/{}", place.ns()))).await
    };
    let (namespace, policies, pods, cni) =
        tokio::join!(namespace, place.policies(), place.pods(), find_cni(&place));
    let namespace = match namespace {
        Ok(namespace) => Some(namespace),
        // Without a right to read namespaces the dry run itself tells whether it is there.
        Err(failure) if failure.code() == Some(403) => None,
        Err(failure) => return Err(failure.trouble(&format!("namespace {}", place.ns()))),
    };
    let (policies, unread) =
        policies.map_err(|failure| failure.trouble(&format!("network policies of {}", place.ns())))?;
    let direction = order.target.direction;
    if order.origin == Origin::Shadow {
        let now = isolation(pods.as_deref().unwrap_or_default(), policies.iter(), direction);
        return shadow::preview(&place, order, Isolation { unread, ..now }).await;
    }
    let live = pinned_set(&policies, direction);
    let (set, mut refusals, said) = dry_run_told(&place, order).await;
    refusals.extend(hidden(&place, &unread));
    // Steps of an incomplete answer are only to look at: it cannot be applied.
    let wanted = if refusals.is_empty() { &set } else { &order.wanted };
    let mut steps = valve::apply_steps(&live, wanted, direction);
    // What was staged before has had its time; where none can be, or none may be read, none is.
    let staged = staged::live(&place, direction).await.unwrap_or_default();
    steps.extend(domain::shadow::removal(&staged, direction));
    refusals.extend(dry_run_opening(&place, order, &steps).await);
    refusals.extend(wanted.values().filter_map(|policy| other_direction(&place, policy)));
    let (before, after) = change(&policies, pods.as_deref().unwrap_or_default(), wanted, direction);
    let before = Isolation { unread: unread.clone(), ..before };
    let after = Isolation { unread, ..after };
    let notes = Notes { place: &place, policies: &policies, live: &live, before: &before, steps: &steps };
    let mut warnings = notes.all(namespace.as_ref(), &pods, &cni, wanted);
    warnings.extend(said.iter().map(|said| Text::from(format!("the API server warns: {said}"))));
    Ok(Preview {
        target: order.target.clone(),
        origin: order.origin,
        digest: PolicyDigest::of(set.values()),
        manifests: order.manifests.clone(),
        diff: diff(direction, &live, wanted, |pinned| place.object(pinned)),
        commands: steps.iter().map(|step| command(&place, order, &live, step)).collect(),
        set,
        live,
        steps,
        before,
        after,
        warnings,
        refusals,
        prediction: Err(Text::new("because nobody looked at the cluster")),
        untold: None,
    })
}

/// The wanted set as the server would have it, and every reason why it would refuse. The error is that
/// it did not answer at all.
pub async fn dry_run_only(
    access: &Access,
    order: &PreviewOrder,
    context: &str,
) -> Result<(Set, Vec<Trouble>), Trouble> {
    let place =
        Place { server: access.server().await?, target: order.target.clone(), context: context.to_owned() };
    Ok(dry_run(&place, order).await)
}

async fn find_cni(place: &Place) -> Cni {
    cni::cni(&look::agents(&place.server).await)
}

/// The wanted set as the server would have it, and every reason why it would refuse.
pub(super) async fn dry_run(place: &Place, order: &PreviewOrder) -> (Set, Vec<Trouble>) {
    let (set, refusals, _) = dry_run_told(place, order).await;
    (set, refusals)
}

/// The same, with what the server warns of, each once.
async fn dry_run_told(place: &Place, order: &PreviewOrder) -> (Set, Vec<Trouble>, Vec<Text>) {
    let wanted = Pinned::of(order.target.direction).filter(|pinned| order.wanted.contains_key(pinned.name));
    let answers = futures::future::join_all(wanted.map(async |pinned| {
        let Some(manifest) = order.manifests.get(pinned.name).and_then(parse) else {
            let next = "Read the workspace's files again.";
            return (pinned, Err(Trouble::new(&place.object(pinned), "its file was not read", next)));
        };
        let answer = place.apply(pinned, &sendable(&manifest, place.ns(), None), Mode::DryRun).await;
        (pinned, answer.map_err(|failure| refusal(place, pinned, &failure)))
    }))
    .await;
    let (mut set, mut refusals, mut warnings) = (Set::new(), Vec::new(), Vec::new());
    for (pinned, answer) in answers {
        match answer {
            Ok(live) => {
                let new = live.warnings.into_iter().filter(|one| !warnings.contains(one));
                let new: Vec<_> = new.collect();
                warnings.extend(new);
                set.insert(pinned.name, live.policy);
            }
            Err(trouble) => refusals.push(trouble),
        }
    }
    refusals.sort_by(|a, b| a.object.cmp(&b.object));
    (set, refusals, warnings)
}

fn refusal(place: &Place, pinned: &Pinned, failure: &Failure) -> Trouble {
    if failure.code() == Some(404) && pinned.kind != PolicyKind::NetworkPolicy {
        return Trouble::new(
            &place.object(pinned),
            "this cluster does not serve the kind",
            "Take the file away: its CNI has no policies by name.",
        );
    }
    place.trouble(pinned, failure)
}

/// One of ours that may be there and may not be read: what an apply would have to do about it is not
/// known, so that it would stop at it.
fn hidden(place: &Place, unread: &Unread) -> Option<Trouble> {
    let pinned = Pinned::of(place.target.direction).find(|pinned| unread.contains(&pinned.kind))?;
    let next = "Ask the cluster's admin for get and list on its kind.";
    Some(Trouble::new(&place.object(pinned), "whether it is there may not be read", next))
}

/// A rule that allows everything may be what an admission policy refuses: better known before.
async fn dry_run_opening(place: &Place, order: &PreviewOrder, steps: &[Step]) -> Option<Trouble> {
    let valve = steps.iter().find_map(|step| match step {
        Step::Open(pinned) if pinned.role == Role::Valve => Some(*pinned),
        Step::Open(_)
        | Step::Put(_)
        | Step::Widen(_)
        | Step::Tighten(_)
        | Step::Delete(_)
        | Step::Stage(_)
        | Step::Unstage(_) => None,
    })?;
    let manifest = order.manifests.get(valve.name).and_then(parse);
    let open = opened(valve, place.ns(), manifest.as_ref());
    let answer = place.apply(valve, &open, Mode::DryRun).await;
    answer.err().map(|failure| {
        let trouble = refusal(place, valve, &failure);
        Trouble { fact: Text::from(format!("opening it first: {}", trouble.fact)), ..trouble }
    })
}

/// A file of one direction must not isolate the other: without `policyTypes` the server adds Ingress.
fn other_direction(place: &Place, policy: &Policy) -> Option<Trouble> {
    let pinned = policy.pinned()?;
    let other = match pinned.direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    };
    (policy.isolates(other) == Some(true)).then(|| {
        Trouble::new(
            &place.object(pinned),
            &format!("it would isolate {other} as well"),
            &format!("Write policyTypes with {} only.", pinned.direction),
        )
    })
}

/// Whom the policies isolate now, and whom with the wanted set in place of ours.
fn change(policies: &[Policy], pods: &[Pod], wanted: &Set, direction: Direction) -> (Isolation, Isolation) {
    let ours = |policy: &&Policy| policy.pinned().is_some_and(|pinned| pinned.direction == direction);
    let foreign = policies.iter().filter(|policy| !ours(policy));
    let before = isolation(pods, policies.iter(), direction);
    let after = isolation(pods, foreign.chain(wanted.values()), direction);
    (before, after)
}

/// What a person would type for this step.
fn command(place: &Place, order: &PreviewOrder, live: &Set, step: &Step) -> String {
    let manifest = |pinned: &Pinned| order.manifests.get(pinned.name).and_then(parse);
    match step {
        Step::Open(pinned) => {
            place.exact_command(&opened(pinned, place.ns(), manifest(pinned).as_ref()), Mode::Real)
        }
        Step::Put(pinned) | Step::Tighten(pinned) => place.file_command(pinned),
        Step::Widen(pinned) => {
            let wide = widened(pinned, live, &order.wanted, manifest(pinned).as_ref());
            place.exact_command(&sendable(&wide, place.ns(), None), Mode::Real)
        }
        Step::Delete(pinned) => place.delete_command(pinned),
        Step::Stage(pinned) | Step::Unstage(pinned) => staged::delete_command(place, pinned),
    }
}

/// The manifest that [`Step::Widen`] writes.
pub(super) fn widened(pinned: &Pinned, live: &Set, wanted: &Set, manifest: Option<&Value>) -> Value {
    let manifest = manifest.cloned().unwrap_or_default();
    match (live.get(pinned.name), wanted.get(pinned.name)) {
        (Some(live), Some(wanted)) => {
            let rules = valve::widened(live, wanted, pinned.direction);
            manifest::with_rules(&manifest, pinned.direction, &rules)
        }
        (None, _) | (_, None) => manifest,
    }
}

pub(super) fn parse(manifest: &Manifest) -> Option<Value> {
    serde_json::from_str(&manifest.to_string()).ok()
}

/// The live objects against what the server would make of the wanted ones, as YAML.
pub(super) fn diff(
    direction: Direction,
    live: &Set,
    wanted: &Set,
    object: impl Fn(&Pinned) -> String,
) -> Vec<DiffLine> {
    let mut out = Vec::new();
    for pinned in Pinned::of(direction) {
        let old = live.get(pinned.name).map(manifest::spec_yaml).unwrap_or_default();
        let new = wanted.get(pinned.name).map(manifest::spec_yaml).unwrap_or_default();
        if old == new {
            continue;
        }
        let word = match (old.is_empty(), new.is_empty()) {
            (true, _) => "new",
            (_, true) => "deleted",
            (false, false) => "changed",
        };
        let heading = format!("{} ({word})", object(pinned));
        out.push(DiffLine { sign: Sign::Object, text: Text::from(heading) });
        let diff = TextDiff::from_lines(old.as_str(), new.as_str());
        for change in diff.grouped_ops(3).iter().flatten().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => Sign::Same,
                ChangeTag::Insert => Sign::Added,
                ChangeTag::Delete => Sign::Removed,
            };
            out.push(DiffLine { sign, text: Text::new(change.value().trim_end_matches('\n')) });
        }
    }
    out
}

/// What the warnings are made from.
struct Notes<'a> {
    place: &'a Place,
    policies: &'a [Policy],
    live: &'a Set,
    before: &'a Isolation,
    steps: &'a [Step],
}

impl Notes<'_> {
    fn all(
        &self,
        namespace: Option<&Value>,
        pods: &Result<Vec<Pod>, Failure>,
        cni: &Cni,
        wanted: &Set,
    ) -> Vec<Text> {
        let mut out = self.namespace(namespace);
        out.extend(self.owners());
        out.extend(self.foreign(pods.as_deref().unwrap_or_default()));
        match pods {
            Err(failure) => {
                let trouble = failure.trouble(&format!("pods of {}", self.place.ns()));
                out.push(format!("how many pods become isolated is unknown: {trouble}"));
            }
            Ok(pods) if pods.is_empty() => {
                out.push("the namespace has no pods now; those to come will be isolated".to_owned());
            }
            Ok(_) => {}
        }
        for kind in &self.before.unread {
            out.push(format!("{kind} may not be read: whether one isolates too is unknown"));
        }
        if self.opens_for_a_moment() {
            out.push(format!(
                "while this runs, the {} pods that are isolated now are open for a moment",
                self.before.isolated
            ));
        }
        out.extend(cni_notes(cni, wanted));
        out.extend(valve_notes(self.place.target.direction, wanted));
        out.into_iter().map(Text::from).collect()
    }

    fn namespace(&self, namespace: Option<&Value>) -> Vec<String> {
        let ns = self.place.ns();
        let Some(metadata) = namespace.and_then(|namespace| namespace.get("metadata")) else {
            return Vec::new();
        };
        let meta: Meta = serde_json::from_value(metadata.clone()).unwrap_or_default();
        let owner = metadata.as_object().and_then(manifest::owner_mark);
        let owner = owner.map(|owner| {
            let git = "prefer a change where that takes its objects from (`sluice apply --to-git`)";
            match owner.suspend() {
                Some(suspend) => {
                    format!("namespace {ns} belongs to {owner}: {git}; before a rollback: `{suspend}`")
                }
                None => format!("namespace {ns} belongs to {owner}: {git}"),
            }
        });
        let ending = meta.deletion_timestamp.map(|_| format!("namespace {ns} is being deleted"));
        owner.into_iter().chain(ending).collect()
    }

    /// Marks on the live pinned objects: a tool that would undo the write, a person who wrote last.
    fn owners(&self) -> Vec<String> {
        let mut out = Vec::new();
        for policy in self.live.values() {
            if let Some(owner) = &policy.marks.owner {
                let suspend =
                    owner.suspend().map_or_else(String::new, |it| format!("; before a rollback: `{it}`"));
                out.push(format!("{} belongs to {owner}, which may undo this change{suspend}", policy.key));
            }
            match policy.marks.managers.first() {
                Some(manager) if manager.as_str() != super::place::MANAGER => {
                    out.push(format!("{} was last written by {manager}", policy.key));
                }
                Some(_) | None => {}
            }
        }
        out
    }

    /// Policies that are not ours and isolate too: they stay, whatever we do.
    fn foreign(&self, pods: &[Pod]) -> Vec<String> {
        let direction = self.place.target.direction;
        let mut out = Vec::new();
        for policy in self.policies.iter().filter(|policy| policy.pinned().is_none()) {
            match policy.isolates(direction) {
                Some(true) => {
                    let selected =
                        pods.iter().filter(|pod| policy.selects(&pod.labels) == Some(true)).count();
                    out.push(format!(
                        "{} is not ours and isolates for {direction} too; pods it selects: {selected}",
                        policy.key
                    ));
                }
                None => {
                    out.push(format!("{} may isolate too; sluice does not judge its kind yet", policy.key));
                }
                Some(false) => {}
            }
        }
        out
    }

    fn opens_for_a_moment(&self) -> bool {
        let opens = self.steps.iter().any(|step| matches!(step, Step::Open(_)));
        opens && self.before.isolated > 0
    }
}

fn cni_notes(cni: &Cni, wanted: &Set) -> Vec<String> {
    let mut out = Vec::new();
    match cni.enforcement {
        Enforcement::Enforces => {}
        Enforcement::DoesNot => {
            out.push(format!("this cluster does not enforce network policies: {}", cni.evidence));
        }
        Enforcement::Audits => {
            out.push(format!("this cluster judges network policies and enforces none: {}", cni.evidence));
        }
        Enforcement::Unknown => {
            out.push(format!("whether this cluster enforces network policies is unknown: {}", cni.evidence));
        }
    }
    let ranges = wanted.values().any(|policy| policy.canonical.contains("\"endPort\""));
    match Traits::of(cni).end_port {
        Holds::No if cni.kind == CniKind::Cilium && ranges => {
            out.push("this Cilium is older than 1.16 and silently ignores endPort".to_owned());
        }
        Holds::No if ranges => out.push(format!("{} ignores endPort", cni.kind.as_str())),
        Holds::No | Holds::Yes | Holds::Unsure => {}
    }
    out
}

/// A default-deny that does not deny, or not everybody.
fn valve_notes(direction: Direction, wanted: &Set) -> Vec<String> {
    let valve = Pinned::valve(direction);
    let Some(policy) = wanted.get(valve.name) else { return Vec::new() };
    let Spec::Network { selector, .. } = &policy.spec else { return Vec::new() };
    let mut out = Vec::new();
    if !selector.is_everything() {
        out.push(format!("{} of the workspace does not select every pod", valve.name));
    }
    if policy.rules(direction).is_some_and(|rules| !rules.is_empty()) {
        out.push(format!("{} of the workspace has rules: it is no default deny", valve.name));
    }
    out
}

/// The manifests of a preview as an order of their own, to dry-run them again.
pub(super) fn as_order(preview: &Preview, id: crate::cockpit::orders::OrderId) -> PreviewOrder {
    let manifests = preview.manifests.clone();
    PreviewOrder {
        id,
        target: preview.target.clone(),
        origin: preview.origin,
        wanted: preview.set.clone(),
        manifests,
    }
}
