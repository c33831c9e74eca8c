//! `sluice apply`, `sluice advance` and `sluice revert`: read the cluster, preview on the server, ask, apply row by row,
//! and say how it ended. `--dry-run` ends after the preview; `--to-git` writes files instead.

use std::{path::Path, time::Duration};

use super::{
    args::{Advance, Apply, Revert},
    change::{Changing, Result},
    exit::Exit,
    plan,
    session::Waited,
    to_git, wait,
};
use crate::{
    cockpit::{
        decide::{self, Command, Reason, Refusal},
        orders::{OrderId, OrderState, Outcome, Target},
        planned,
        ports::Trouble,
        world::World,
    },
    documents::orders::preview_text,
    domain::{
        fleet::{Enforcement, Environment},
        flow::Direction,
        names::{ClusterName, NsName, Text},
    },
};

/// How long the other clusters and the team's state are waited for.
const REST: Duration = Duration::from_secs(20);

/// What is wanted of the rows.
#[derive(Clone, Copy)]
struct Wish<'a> {
    name: &'static str,
    preview: fn(Vec<Target>) -> Command,
    /// Where the files of the next commit go, instead of into the cluster.
    to_git: Option<&'a Path>,
    /// A row that is refused does not keep the others from going.
    each: bool,
}

pub async fn run(changing: Changing<'_, '_>, args: &Apply) -> Exit {
    let (name, preview): (_, fn(Vec<Target>) -> Command) =
        if args.shadow { ("shadow", Command::Shadow) } else { ("apply", Command::Preview) };
    let wish = Wish { name, preview, to_git: args.to_git.as_deref(), each: false };
    let named = |world: &World, clusters: &[ClusterName]| targets(world, clusters, args);
    wished(changing, wish, named).await
}

pub async fn revert(changing: Changing<'_, '_>, args: &Revert) -> Exit {
    let wish = Wish { name: "revert", preview: Command::Revert, to_git: None, each: false };
    let direction = args.direction;
    let named = |_: &World, clusters: &[ClusterName]| {
        let of = |cluster: &ClusterName, ns: &NsName| Target {
            cluster: cluster.clone(),
            ns: ns.clone(),
            direction,
        };
        Ok(clusters
            .iter()
            .flat_map(|cluster| args.namespaces.iter().map(move |ns| of(cluster, ns)))
            .collect())
    };
    wished(changing, wish, named).await
}

/// All rows of the present wave that may go now: the same rows as on the plan page, decided by the same
/// function, each with a result of its own.
pub async fn advance(mut changing: Changing<'_, '_>, args: &Advance) -> Exit {
    let wish = Wish { name: "advance", preview: Command::Preview, to_git: None, each: true };
    let has_all = |world: &World| plan::has_everything(world) && plan::has_gates(world);
    if changing.session.until(changing.change.deadline, has_all).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let (world, only) = (changing.session.world(), &changing.only);
    let mut targets = planned::may_go(world, args.direction);
    targets.retain(|target| only.is_empty() || only.contains(&target.cluster));
    if !targets.is_empty() {
        return previewed(changing, wish, targets, Result::default()).await;
    }
    match nothing_goes(world, args.direction, only) {
        Some(refusal) => refused(&mut changing, wish, Result::default(), refusal),
        None => {
            changing.printer.say(&format!("No row of {} is left to apply.\n", args.direction));
            changing.report(wish.name, Exit::Done, Result::default())
        }
    }
}

/// Why no row may go: every reason of the first wave in which rows wait, once each. `None`: none waits.
fn nothing_goes(world: &World, direction: Direction, only: &[ClusterName]) -> Option<Refusal> {
    let rows = planned::plan_rows(world, direction).filter(|row| row.ask == planned::Ask::Waits);
    let rows: Vec<_> = rows.filter(|row| only.is_empty() || only.contains(&row.row.target.cluster)).collect();
    let first = rows.iter().map(|row| row.wave).min()?;
    let mut reasons: Vec<Reason> = Vec::new();
    for gate in rows.into_iter().filter(|row| row.wave == first).flat_map(|row| row.missing) {
        let reason = Reason::Gate(Box::new(gate));
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Some(Refusal { what: Text::new("advance"), reasons })
}

async fn wished(
    mut changing: Changing<'_, '_>,
    wish: Wish<'_>,
    named: impl Fn(&World, &[ClusterName]) -> std::result::Result<Vec<Target>, String>,
) -> Exit {
    let clusters = match changing.clusters() {
        Ok(clusters) => clusters,
        Err(said) => return changing.usage(&said),
    };
    let targets = match named(changing.session.world(), &clusters) {
        Ok(targets) => targets,
        Err(said) => return changing.usage(&said),
    };
    let waited = changing.session.until(changing.change.deadline, |w| wait::are_read(w, &clusters)).await;
    if waited == Waited::Interrupted {
        return Exit::Failed;
    }
    let mut result = Result::default();
    // A cluster that is down is refused with its reason; one that is silent is not guessed at.
    if waited == Waited::Deadline {
        result.troubles = wait::unread(changing.session.world());
        return changing.report(wish.name, Exit::Failed, result);
    }
    // Gates rest on the rest of the fleet too; what is not read by then is a reason of its own.
    let rest = changing.change.deadline.min(REST);
    let has_rest = |world: &World| {
        world.clusters().all(wait::is_read)
            && plan::has_gates(world)
            && clusters.iter().all(|name| plan::has_collector(world, name))
    };
    changing.session.until(rest, has_rest).await;
    previewed(changing, wish, targets, result).await
}

/// From the rows on.
async fn previewed(
    mut changing: Changing<'_, '_>,
    wish: Wish<'_>,
    targets: Vec<Target>,
    mut result: Result,
) -> Exit {
    let previews = match changing.session.engine().command(&(wish.preview)(targets)) {
        Ok(previews) => previews,
        Err(refusal) => return refused(&mut changing, wish, result, refusal),
    };
    result.previews.clone_from(&previews);
    let is_told = |world: &World| wait::have_ended(world, &previews) && wait::are_looked_at(world, &previews);
    changing.session.until(changing.change.deadline, is_told).await;
    let world = changing.session.world();
    result.troubles = failures(world, &previews);
    let made: Vec<_> = previews.into_iter().filter(|id| world.orders().preview(*id).is_some()).collect();
    if !result.troubles.is_empty() && (!wish.each || made.is_empty()) {
        return changing.report(wish.name, Exit::Failed, result);
    }
    confirmed(changing, wish, made, result).await
}

/// From finished previews on.
async fn confirmed(
    mut changing: Changing<'_, '_>,
    wish: Wish<'_>,
    previews: Vec<OrderId>,
    mut result: Result,
) -> Exit {
    let world = changing.session.world();
    let mut wanted: Vec<_> = previews.into_iter().filter(|id| differs(world, *id)).collect();
    if wish.each {
        let row = |id: &OrderId| world.orders().get(*id).map(|order| order.target.to_string());
        let name = |id: &OrderId| format!("{} of {}", wish.name, row(id).unwrap_or_default());
        let refusals = |id: &OrderId| against(world, &name(id), &[*id]);
        result.refusals.extend(wanted.iter().filter_map(refusals));
        wanted.retain(|id| refusals(id).is_none());
        if wanted.is_empty() && !result.refusals.is_empty() {
            return changing.report(wish.name, Exit::Refused, result);
        }
    } else if let Some(refusal) = against(world, wish.name, &wanted) {
        return refused(&mut changing, wish, result, refusal);
    }
    let whole = result.refusals.is_empty() && result.troubles.is_empty();
    let done = if whole { Exit::Done } else { Exit::Partial };
    if changing.change.dry_run {
        return changing.report(wish.name, done, result);
    }
    if wanted.is_empty() {
        let there = if wish.name == "shadow" { "staged" } else { "live" };
        changing.printer.say(&format!("Nothing differs from what is {there}: nothing was written.\n"));
        return changing.report(wish.name, Exit::Done, result);
    }
    if let Some(folder) = wish.to_git {
        let exit = match to_git::write(world, &wanted, folder) {
            Ok(said) => {
                changing.printer.say(&said);
                Exit::Done
            }
            Err(troubles) => {
                result.troubles = troubles;
                Exit::Failed
            }
        };
        return changing.report(wish.name, exit, result);
    }
    for id in &wanted {
        if !ask_for(&mut changing, wish.name, *id).await {
            changing.printer.say("Not confirmed: nothing was written.\n");
            return changing.report(wish.name, Exit::Failed, result);
        }
    }
    // The world went on while a person read: the same function decides again.
    match changing.session.engine().command(&Command::Apply(wanted)) {
        Err(refusal) => refused(&mut changing, wish, result, refusal),
        Ok(orders) => {
            changing.drive(&orders).await;
            let exit = Exit::all([changing.exit_of(&orders), done]);
            result.orders = orders;
            changing.report(wish.name, exit, result)
        }
    }
}

fn refused(changing: &mut Changing<'_, '_>, wish: Wish<'_>, mut result: Result, refusal: Refusal) -> Exit {
    result.refusals.push(refusal);
    changing.report(wish.name, Exit::Refused, result)
}

/// The rows that are meant. A direction may be left out where only one is authored; where none is,
/// the refusal will say so.
fn targets(
    world: &World,
    clusters: &[ClusterName],
    args: &Apply,
) -> std::result::Result<Vec<Target>, String> {
    let mut out = Vec::new();
    for cluster in clusters {
        for ns in &args.namespaces {
            let direction = args.direction.map_or_else(|| only_direction(world, cluster, ns), Ok)?;
            out.push(Target { cluster: cluster.clone(), ns: ns.clone(), direction });
        }
    }
    Ok(out)
}

fn only_direction(
    world: &World,
    cluster: &ClusterName,
    ns: &NsName,
) -> std::result::Result<Direction, String> {
    let is_authored =
        |direction: &Direction| world.files().sets.contains_key(&(cluster.clone(), ns.clone(), *direction));
    let mut authored = Direction::ALL.into_iter().filter(is_authored);
    match (authored.next(), authored.next()) {
        (Some(_), Some(_)) => Err(format!(
            "Both directions of {cluster}/{ns} are authored: add --direction egress (which goes first) or --direction ingress.\n"
        )),
        (only, _) => Ok(only.unwrap_or(Direction::Egress)),
    }
}

fn differs(world: &World, id: OrderId) -> bool {
    world
        .orders()
        .preview(id)
        .is_some_and(|preview| !preview.steps.is_empty() || !preview.refusals.is_empty())
}

/// Every reason against, of all rows.
fn against(world: &World, name: &str, previews: &[OrderId]) -> Option<Refusal> {
    let reasons: Vec<_> = previews
        .iter()
        .flat_map(|id| decide::confirm_reasons(world, *id))
        .filter(|reason| !matches!(reason, Reason::NothingToDo))
        .collect();
    (!reasons.is_empty()).then(|| Refusal { what: Text::new(name), reasons })
}

/// Previews that could not be made.
fn failures(world: &World, previews: &[OrderId]) -> Vec<Trouble> {
    let orders = previews.iter().filter_map(|id| world.orders().get(*id));
    orders
        .filter_map(|order| match &order.state {
            OrderState::Previewed(_) => None,
            OrderState::Ended(Outcome::Failed(trouble) | Outcome::Unsettled(trouble)) => {
                Some(trouble.clone())
            }
            OrderState::Running | OrderState::Ended(_) => Some(Trouble::new(
                &format!("preview of {}", order.target),
                "it did not end in time",
                "Nothing was written: try again, or wait longer with --deadline.",
            )),
        })
        .collect()
}

/// Shows the preview and asks for the word that its environment demands.
async fn ask_for(changing: &mut Changing<'_, '_>, name: &str, id: OrderId) -> bool {
    let world = changing.session.world();
    let Some(preview) = world.orders().preview(id) else { return false };
    let (word, target) = (wait::word(world, &preview.target), preview.target.clone());
    if changing.asker.is_person() {
        let shown = format!("{}{}", preview_text(world, preview), band(world, &target));
        changing.printer.say(&shown);
    }
    changing.asker.asks_for(&word, &format!("{name} {target}"), changing.printer).await
}

/// What a person must not overlook before the word.
fn band(world: &World, target: &Target) -> String {
    let Some(cluster) = world.cluster(&target.cluster) else { return String::new() };
    let mut out = match cluster.environment {
        Environment::Production => "*** PRODUCTION ***\n".to_owned(),
        Environment::Unknown => "*** environment unknown: treated as production ***\n".to_owned(),
        Environment::Staging => String::new(),
    };
    if cluster.enforcement() == Enforcement::Unknown {
        out.push_str("It is not known whether this cluster enforces NetworkPolicies at all.\n");
    }
    out
}
