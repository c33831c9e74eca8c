//! `sluice kyverno`: the policies that assert every default deny which must be there by now, printed or
//! written into the workspace; and the check itself, by sluice's own eyes and by Kyverno's reports.
//! Applies nothing: who runs Kyverno in a cluster applies them there.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    args::{self, Format, Global},
    exit::Exit,
    plan,
    print::Printer,
    session::{self, Session, Waited},
    wait,
};
use crate::{
    cockpit::{ports::Trouble, steady, world::World},
    documents,
    domain::{
        fleet::{Cluster, Health},
        flow::Direction,
        steady::{Generation, Word, policy_name},
    },
    manifest::written::{self, Origin, Writer},
    workspace::{discovery, root::Place},
};

#[derive(Clone, Debug, Args)]
pub struct Kyverno {
    #[command(subcommand)]
    pub command: KyvernoCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum KyvernoCommand {
    /// Print what sluice and Kyverno each say of every default deny that must be there by now
    ///
    /// Exit code 0: sluice sees all of them, and Kyverno contradicts none; 3: one is missing or changed;
    /// 4: one is not known.
    Check(Check),
    /// Print the Kyverno policies of each cluster, or write them to kyverno/CLUSTER/ of the workspace
    ///
    /// A ValidatingPolicy where the cluster serves policies.kyverno.io, else a ClusterPolicy. They name the
    /// namespaces whose wave the rollout has reached: write them again after each wave.
    Policies(Policies),
}

#[derive(Clone, Debug, Args)]
pub struct Check {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for clusters that have not answered
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = args::duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
pub struct Policies {
    /// Write them into the workspace instead of printing
    #[arg(long)]
    pub write: bool,
    /// With --write: give up what people changed in these files
    #[arg(long, requires = "write")]
    pub force: bool,
    /// How long to wait for clusters that have not answered
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = args::duration)]
    pub deadline: Duration,
}

pub async fn run(session: &mut Session, global: &Global, args: &Kyverno, printer: &mut Printer<'_>) -> Exit {
    let clusters = match plan::named(session.world(), global) {
        Ok(clusters) => clusters,
        Err(unknown) => {
            printer.say(&format!("{unknown}\n"));
            return Exit::Usage;
        }
    };
    let deadline = match &args.command {
        KyvernoCommand::Check(args) => args.deadline,
        KyvernoCommand::Policies(args) => args.deadline,
    };
    if session.until(deadline, |world| plan::has_state(world) && were_asked(world)).await
        == Waited::Interrupted
    {
        return Exit::Failed;
    }
    for trouble in wait::unread(session.world()) {
        printer.say(&format!("{trouble}\n"));
    }
    let world = session.world();
    let meant = |cluster: &&Cluster| clusters.is_empty() || clusters.contains(&cluster.name);
    match &args.command {
        KyvernoCommand::Check(args) => check(world, meant, args.output, printer),
        KyvernoCommand::Policies(args) => {
            let exits: Vec<_> = world
                .clusters()
                .filter(meant)
                .map(|one| policies(world, one, global, args, printer))
                .collect();
            Exit::all(exits)
        }
    }
}

/// Collectors are not waited for: what they saw moves no row that the rollout has reached.
fn were_asked(world: &World) -> bool {
    let was_asked = |one: &Cluster| wait::is_read(one) && one.looked.kyverno.is_some();
    world.clusters().all(|one| matches!(one.health, Health::Down(_)) || was_asked(one))
}

fn check(
    world: &World,
    meant: impl Fn(&&Cluster) -> bool,
    output: Format,
    printer: &mut Printer<'_>,
) -> Exit {
    let mut checks = steady::checks(world);
    checks.retain(|check| world.cluster(&check.target.cluster).is_some_and(|cluster| meant(&cluster)));
    printer.out(&match output {
        Format::Text => documents::kyverno::text(&checks, world.now()),
        Format::Json => documents::kyverno::json(&checks),
    });
    let is_down = |cluster: &Cluster| !wait::is_read(cluster) || matches!(cluster.health, Health::Down(_));
    if checks.iter().any(steady::Check::is_open) {
        Exit::Refused
    } else if checks.iter().any(|check| matches!(check.own, Word::Unknown(_)))
        || world.clusters().filter(|cluster| meant(cluster)).any(is_down)
    {
        Exit::Partial
    } else {
        Exit::Done
    }
}

/// Both policies of one cluster.
fn policies(
    world: &World,
    cluster: &Cluster,
    global: &Global,
    args: &Policies,
    printer: &mut Printer<'_>,
) -> Exit {
    let generation = match &cluster.looked.kyverno {
        Some(kyverno) => kyverno.generation.clone(),
        None => Generation::Unknown("it was not asked".into()),
    };
    match &generation {
        Generation::Absent => {
            printer.say(&format!("{}: no Kyverno; `sluice kyverno check` looks itself\n", cluster.name));
            return Exit::Done;
        }
        Generation::Unknown(why) => {
            printer.say(&format!("{}: which Kyverno it has is not known: {why}\n", cluster.name));
            return Exit::Failed;
        }
        Generation::Validating(_) | Generation::Legacy => {}
    }
    let mut exits = Vec::new();
    for direction in Direction::ALL {
        let scope = steady::scope(world, cluster, direction);
        let Some(text) = documents::kyverno::policy(&generation, direction, &scope) else {
            printer.say(&format!("{} {direction}: the rollout has reached no namespace\n", cluster.name));
            continue;
        };
        if !args.write {
            printer.out(&format!("---\n# cluster {}\n{text}", cluster.name));
            continue;
        }
        exits.push(match write(cluster, direction, &text, global, args.force) {
            Ok(said) => {
                printer.out(&said);
                Exit::Done
            }
            Err(trouble) => {
                printer.say(&format!("{trouble}\n"));
                Exit::Failed
            }
        });
    }
    if exits.is_empty() { Exit::Done } else { Exit::all(exits) }
}

fn write(
    cluster: &Cluster,
    direction: Direction,
    text: &str,
    global: &Global,
    is_forced: bool,
) -> Result<String, Trouble> {
    let next = "Change into the folder that holds sluice.yaml, or name it with --workspace.";
    let Some(Place { root, .. }) = session::place(global)? else {
        return Err(Trouble::new("--write", "there is no workspace to write into", next));
    };
    let name = format!("{}.yaml", policy_name(direction));
    let path = root.join("kyverno").join(cluster.name.as_str()).join(name);
    let shown = discovery::shown(&root, &path);
    let text = written::signed(Writer::Kyverno, text);
    let old = discovery::read_text(&root, &path)?;
    match old.as_deref() {
        Some(old) if old == text => return Ok(format!("{shown}: nothing changed\n")),
        Some(old) if written::origin(old) != Origin::Ours && !is_forced => {
            let fact = "somebody else wrote or changed it, and writing it again would lose that";
            let next = "Bring it back from version control, or give the edit up with --force.";
            return Err(Trouble::new(&shown, fact, next));
        }
        Some(_) | None => {}
    }
    discovery::write(&root, &path, &text)?;
    Ok(format!("{shown}: written\n"))
}
