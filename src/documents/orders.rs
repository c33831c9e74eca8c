//! Previews, applies and rollbacks as `sluice apply` and `sluice rollback` print them, in JSON and
//! text: what would be done, what was done call by call, and how it ended.

use serde::Serialize;

use super::wire::{IsolationOut, RefusalOut, TargetOut, TroubleOut, refusal_text, time};
use crate::{
    cockpit::{
        decide::Refusal,
        orders::{Answer, Entry, Order, OrderId, OrderState, Origin, Outcome, Preview, Sign, Target},
        ports::Trouble,
        rows, shadow,
        world::World,
    },
    domain::{fleet::Isolation, names::Text, predict::words},
};

/// What a command did, all of it.
#[derive(Clone, Debug)]
pub struct Report<'w> {
    pub command: &'static str,
    /// The word of the exit code.
    pub result: &'static str,
    pub dry_run: bool,
    pub previews: Vec<&'w Preview>,
    pub rollbacks: Vec<RollbackPlan>,
    pub orders: Vec<OrderId>,
    pub refusals: Vec<Refusal>,
    /// What was waited for in vain, or failed before an order was made.
    pub troubles: Vec<Trouble>,
}

/// What a rollback would do.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackPlan {
    pub target: Target,
    /// Pinned policies that are live; `None`: not known.
    pub live: Option<Vec<&'static str>>,
    /// Some of it is staged, which goes too.
    pub staged: bool,
    pub isolation: Option<Isolation>,
    /// What speaks against it and does not hinder it.
    pub warning: Option<Text>,
    pub commands: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ReportOut {
    command: &'static str,
    result: &'static str,
    dry_run: bool,
    previews: Vec<PreviewOut>,
    rollbacks: Vec<RollbackOut>,
    orders: Vec<OrderOut>,
    refusals: Vec<RefusalOut>,
    troubles: Vec<TroubleOut>,
}

#[derive(Debug, Serialize)]
struct PreviewOut {
    target: TargetOut,
    headline: String,
    digest: String,
    before: IsolationOut,
    after: IsolationOut,
    steps: Vec<StepOut>,
    diff: Vec<DiffOut>,
    commands: Vec<String>,
    warnings: Vec<String>,
    /// What a shadow of the row says of these bytes, or that it was for others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<String>,
    refusals: Vec<TroubleOut>,
}

#[derive(Debug, Serialize)]
struct StepOut {
    verb: &'static str,
    policy: &'static str,
}

#[derive(Debug, Serialize)]
struct DiffOut {
    /// `object`, `same`, `added`, `removed`.
    sign: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct RollbackOut {
    target: TargetOut,
    live: Option<Vec<&'static str>>,
    isolation: Option<IsolationOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    commands: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OrderOut {
    id: u64,
    kind: &'static str,
    target: TargetOut,
    outcome: OutcomeOut,
    calls: Vec<CallOut>,
}

#[derive(Debug, Serialize)]
struct OutcomeOut {
    /// `running`, `done`, `stopped`, `aborted`, `unsettled`, `failed`.
    state: &'static str,
    trouble: Option<TroubleOut>,
    /// As read back; `null`: not known.
    isolation: Option<IsolationOut>,
}

#[derive(Debug, Serialize)]
struct CallOut {
    at: String,
    verb: &'static str,
    policy: &'static str,
    command: String,
    /// `done`, `unchanged`, `refused`, `unsettled`.
    result: &'static str,
    trouble: Option<TroubleOut>,
}

pub fn json(world: &World, report: &Report<'_>) -> String {
    super::wire::pretty(&ReportOut {
        command: report.command,
        result: report.result,
        dry_run: report.dry_run,
        previews: report.previews.iter().map(|preview| preview_out(world, preview)).collect(),
        rollbacks: report.rollbacks.iter().map(rollback_out).collect(),
        orders: orders(world, report).map(|order| order_out(world, order)).collect(),
        refusals: report.refusals.iter().map(Into::into).collect(),
        troubles: report.troubles.iter().map(Into::into).collect(),
    })
}

fn orders<'w>(world: &'w World, report: &Report<'_>) -> impl Iterator<Item = &'w Order> {
    report.orders.iter().filter_map(|id| world.orders().get(*id))
}

fn preview_out(world: &World, preview: &Preview) -> PreviewOut {
    PreviewOut {
        target: (&preview.target).into(),
        headline: rows::headline(preview),
        digest: preview.digest.to_string(),
        before: (&preview.before).into(),
        after: (&preview.after).into(),
        steps: preview.steps.iter().map(|s| StepOut { verb: s.verb(), policy: s.pinned().name }).collect(),
        diff: preview
            .diff
            .iter()
            .map(|line| DiffOut { sign: sign_word(line.sign), text: line.text.to_string() })
            .collect(),
        commands: preview.commands.clone(),
        warnings: preview.warnings.iter().map(ToString::to_string).collect(),
        shadow: shadow::notes(world, preview),
        refusals: preview.refusals.iter().map(Into::into).collect(),
    }
}

fn sign_word(sign: Sign) -> &'static str {
    match sign {
        Sign::Object => "object",
        Sign::Same => "same",
        Sign::Added => "added",
        Sign::Removed => "removed",
    }
}

fn rollback_out(plan: &RollbackPlan) -> RollbackOut {
    RollbackOut {
        target: (&plan.target).into(),
        live: plan.live.clone(),
        isolation: plan.isolation.as_ref().map(Into::into),
        warning: plan.warning.as_ref().map(ToString::to_string),
        commands: plan.commands.clone(),
    }
}

fn order_out(world: &World, order: &Order) -> OrderOut {
    OrderOut {
        id: order.id.0,
        kind: order.kind.as_str(),
        target: (&order.target).into(),
        outcome: outcome_out(&order.state),
        calls: calls(world, order).map(call_out).collect(),
    }
}

fn calls<'w>(world: &'w World, order: &Order) -> impl Iterator<Item = &'w Entry> + use<'w> {
    let id = order.id;
    world.orders().activity().iter().filter(move |entry| entry.receipt.order == id)
}

fn call_out(entry: &Entry) -> CallOut {
    let (result, trouble) = answer(&entry.receipt.result);
    CallOut {
        at: time(entry.at),
        verb: entry.receipt.step.verb(),
        policy: entry.receipt.step.pinned().name,
        command: entry.receipt.command.clone(),
        result,
        trouble: trouble.map(Into::into),
    }
}

fn answer(answer: &Answer) -> (&'static str, Option<&Trouble>) {
    match answer {
        Answer::Done { .. } => ("done", None),
        Answer::Unchanged => ("unchanged", None),
        Answer::Refused(trouble) => ("refused", Some(trouble)),
        Answer::Unsettled(trouble) => ("unsettled", Some(trouble)),
    }
}

fn outcome_out(state: &OrderState) -> OutcomeOut {
    let (state, trouble, isolation) = outcome(state);
    OutcomeOut { state, trouble: trouble.map(Into::into), isolation: isolation.map(Into::into) }
}

fn outcome(state: &OrderState) -> (&'static str, Option<&Trouble>, Option<&Isolation>) {
    match state {
        OrderState::Running => ("running", None, None),
        OrderState::Previewed(preview) => ("done", None, Some(&preview.before)),
        OrderState::Ended(Outcome::Done { isolation }) => ("done", None, Some(isolation)),
        OrderState::Ended(Outcome::Stopped { trouble, isolation }) => {
            ("stopped", Some(trouble), isolation.as_ref())
        }
        OrderState::Ended(Outcome::Aborted { isolation }) => ("aborted", None, isolation.as_ref()),
        OrderState::Ended(Outcome::Unsettled(trouble)) => ("unsettled", Some(trouble), None),
        OrderState::Ended(Outcome::Failed(trouble)) => ("failed", Some(trouble), None),
    }
}

/// The report for people: previews and plans first, then the orders, then what stood against it.
pub fn text(world: &World, report: &Report<'_>) -> String {
    let mut out = String::new();
    if report.dry_run {
        out.extend(report.previews.iter().map(|preview| preview_text(world, preview)));
        out.extend(report.rollbacks.iter().map(rollback_text));
    }
    out.extend(orders(world, report).map(|order| order_text(world, order)));
    out.extend(report.refusals.iter().map(refusal_text));
    out.extend(report.troubles.iter().map(|trouble| format!("{trouble}\n")));
    out
}

/// What a confirmation shows: headline, warnings, diff, commands, and how to undo it.
pub fn preview_text(world: &World, preview: &Preview) -> String {
    let target = &preview.target;
    let (verb, live) = match preview.origin {
        Origin::Workspace | Origin::LastClean => ("apply", "live"),
        Origin::Shadow => ("shadow", "staged"),
    };
    let mut out = format!("{verb} {target}: {}\n", rows::headline(preview));
    out.push_str(&format!("  digest {}\n", preview.digest.short()));
    out.extend(preview.warnings.iter().map(|warning| format!("  warning: {warning}\n")));
    out.extend(shadow::notes(world, preview).iter().map(|note| format!("  {note}\n")));
    out.extend(foreseen(world, preview));
    out.extend(preview.refusals.iter().map(|trouble| format!("  the server refuses: {trouble}\n")));
    if preview.steps.is_empty() {
        out.push_str(&format!("  nothing differs from what is {live}\n"));
        return out;
    }
    out.push_str(&format!("diff of {live} against wanted:\n"));
    for line in &preview.diff {
        let sign = match line.sign {
            Sign::Object => "==",
            Sign::Same => " ",
            Sign::Added => "+",
            Sign::Removed => "-",
        };
        out.push_str(format!("  {sign} {}", line.text).trim_end());
        out.push('\n');
    }
    out.push_str("equivalent commands, in this order:\n");
    out.extend(preview.commands.iter().map(|command| format!("  {command}\n")));
    let (cluster, ns, direction) = (&target.cluster, &target.ns, target.direction);
    out.push_str(&format!(
        "undo: sluice rollback --cluster {} -n {ns} --direction {direction}\n",
        crate::domain::valve::shell_word(cluster.as_str())
    ));
    out
}

/// What it would have denied in the recorded week; of an apply `sluice predict` says more.
fn foreseen(world: &World, preview: &Preview) -> Vec<String> {
    if preview.origin != Origin::Shadow {
        return Vec::new();
    }
    match (&preview.prediction, &preview.untold) {
        (Err(why), _) | (Ok(_), Some(why)) => {
            vec![format!("  what it would have denied: unknown {why}\n")]
        }
        (Ok(prediction), None) => {
            let said = words::summary(prediction, world.now());
            said.into_iter().map(|(_, text)| format!("  of the recorded week it {text}\n")).collect()
        }
    }
}

pub fn rollback_text(plan: &RollbackPlan) -> String {
    let mut out = format!("rollback {}\n", plan.target);
    out.push_str(&match &plan.live {
        None => "  live: unknown, read when it runs\n".to_owned(),
        Some(live) if live.is_empty() => "  live: none of our policies\n".to_owned(),
        Some(live) => format!("  live: {}\n", live.join(", ")),
    });
    if plan.staged {
        out.push_str("  staged: goes too, after everything that is enforced\n");
    }
    if let Some(isolation) = &plan.isolation {
        out.push_str(&format!("  now: {}\n", isolation.words(plan.target.direction)));
    }
    out.extend(plan.warning.iter().map(|warning| format!("  warning: {warning}\n")));
    out.push_str("  by hand, the whole set (the default-deny alone does not suffice):\n");
    out.extend(plan.commands.iter().map(|command| format!("    {command}\n")));
    out
}

fn order_text(world: &World, order: &Order) -> String {
    let mut out = String::new();
    for entry in calls(world, order) {
        let (result, trouble) = answer(&entry.receipt.result);
        out.push_str(&format!("  {}\n    {result}", entry.receipt.command));
        out.push_str(&trouble.map_or("\n".to_owned(), |trouble| format!(": {trouble}\n")));
    }
    let (state, trouble, isolation) = outcome(&order.state);
    let direction = order.target.direction;
    let words = isolation
        .map_or("what is isolated now is not known".to_owned(), |isolation| isolation.words(direction));
    let because = trouble.map_or(String::new(), |trouble| format!(": {trouble}"));
    format!("{} {} {state}{because}\n{out}  {words}\n", order.kind.as_str(), order.target)
}
