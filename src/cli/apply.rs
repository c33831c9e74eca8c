//! `sluice apply`: reads the cluster, previews on the server, asks, applies row by row, and says how
//! it ended. `--dry-run` ends after the preview.

use super::{
    args::Apply,
    change::{Changing, Result, preview},
    exit::Exit,
    session::Waited,
    wait,
};
use crate::{
    cockpit::{
        decide::{self, Command, Reason, Refusal},
        orders::{OrderId, OrderState, Outcome, Target},
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

const NAME: &str = "apply";

pub async fn run(mut changing: Changing<'_, '_>, args: &Apply) -> Exit {
    let clusters = match changing.clusters() {
        Ok(clusters) => clusters,
        Err(said) => return changing.usage(&said),
    };
    let targets = match targets(changing.session.world(), &clusters, args) {
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
        return changing.report(NAME, Exit::Failed, result);
    }
    let previews = match changing.session.engine().command(&Command::Preview(targets)) {
        Ok(previews) => previews,
        Err(refusal) => return refused(&mut changing, result, refusal),
    };
    result.previews.clone_from(&previews);
    changing.session.until(changing.change.deadline, |w| wait::have_ended(w, &previews)).await;
    result.troubles = failures(changing.session.world(), &previews);
    if !result.troubles.is_empty() {
        return changing.report(NAME, Exit::Failed, result);
    }
    confirmed(changing, previews, result).await
}

/// From finished previews on.
async fn confirmed(mut changing: Changing<'_, '_>, previews: Vec<OrderId>, mut result: Result) -> Exit {
    let world = changing.session.world();
    let wanted: Vec<_> = previews.into_iter().filter(|id| differs(world, *id)).collect();
    if let Some(refusal) = against(world, &wanted) {
        return refused(&mut changing, result, refusal);
    }
    if changing.change.dry_run {
        return changing.report(NAME, Exit::Done, result);
    }
    if wanted.is_empty() {
        changing.printer.say("Nothing differs from what is live: nothing was written.\n");
        return changing.report(NAME, Exit::Done, result);
    }
    for id in &wanted {
        if !ask_for(&mut changing, *id).await {
            changing.printer.say("Not confirmed: nothing was written.\n");
            return changing.report(NAME, Exit::Failed, result);
        }
    }
    // The world went on while a person read: the same function decides again.
    match changing.session.engine().command(&Command::Apply(wanted)) {
        Err(refusal) => refused(&mut changing, result, refusal),
        Ok(orders) => {
            changing.drive(&orders).await;
            let exit = changing.exit_of(&orders);
            result.orders = orders;
            changing.report(NAME, exit, result)
        }
    }
}

fn refused(changing: &mut Changing<'_, '_>, mut result: Result, refusal: Refusal) -> Exit {
    result.refusals.push(refusal);
    changing.report(NAME, Exit::Refused, result)
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
    preview(world, id).is_some_and(|preview| !preview.steps.is_empty() || !preview.refusals.is_empty())
}

/// Every reason against, of all rows.
fn against(world: &World, previews: &[OrderId]) -> Option<Refusal> {
    let reasons: Vec<_> = previews
        .iter()
        .flat_map(|id| decide::confirm_reasons(world, *id))
        .filter(|reason| !matches!(reason, Reason::NothingToDo))
        .collect();
    (!reasons.is_empty()).then(|| Refusal { what: Text::new(NAME), reasons })
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
async fn ask_for(changing: &mut Changing<'_, '_>, id: OrderId) -> bool {
    let world = changing.session.world();
    let Some(preview) = preview(world, id) else { return false };
    let (word, target) = (wait::word(world, &preview.target), preview.target.clone());
    if changing.asker.is_person() {
        let shown = format!("{}{}", preview_text(preview), band(world, &target));
        changing.printer.say(&shown);
    }
    changing.asker.asks_for(&word, &format!("apply {target}"), changing.printer).await
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
