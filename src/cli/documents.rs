//! `sluice documents`: the monthly review of discovery documents. Which are due, what changed since one
//! was written, and the one command that writes it anew: files of the workspace, no cluster.

use std::time::Duration;

use clap::Args;

use super::{
    args::{self, Format, Global},
    exit::Exit,
    plan,
    print::Printer,
    run,
    session::{Need, Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        decide::Command,
        monthly::{self, Compared, DocumentRow, Standing, State},
        world::World,
    },
    documents::monthly as pages,
    domain::{
        fleet::{Cluster, Health, Part},
        names::{NsName, Text},
    },
};

pub const HELP: &str = "\
Without a namespace: every document, what is open first. Exit code 0: none is open; 3: one is due,
was never written, or its namespace vanished; 4: of one it is not known.
With a namespace: what its destinations and callers do differently since its document was written,
and whether the live policies cover it. Exit code 0: all of its clusters were read; 4: some were not,
and keep what the document has of them; 1: nothing could be read or written.";

#[derive(Clone, Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Documents {
    /// Hold the document of this namespace against what the collectors have now
    #[arg(value_parser = args::namespace)]
    pub namespace: Option<NsName>,
    /// Only those that are open
    #[arg(long, conflicts_with = "namespace")]
    pub due: bool,
    /// Write the document and its companion anew; every note is kept, and edits elsewhere are refused
    #[arg(long, requires = "namespace")]
    pub write: bool,
    /// With --write: write the review down, in the name that the state cluster knows you by
    #[arg(long, requires = "write")]
    pub reviewed: bool,
    /// With --write: the same in this name
    #[arg(long, value_name = "NAME", requires = "write", conflicts_with = "reviewed")]
    pub reviewed_by: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for clusters and collectors that have not answered
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = args::duration)]
    pub deadline: Duration,
}

/// Longest wait for what was asked: a little more than collectors are given.
const ANSWER: Duration = Duration::from_secs(120);

pub fn main(fleet: &Global, args: &Documents, printer: &mut Printer<'_>) -> Exit {
    run::with_runtime(printer, async |printer| {
        let mut session = run::start(fleet, Need::Workspace, true)?;
        Ok(in_session(&mut session, args, printer).await)
    })
}

/// The command on an engine that runs.
pub async fn in_session(session: &mut Session, args: &Documents, printer: &mut Printer<'_>) -> Exit {
    let is_one = args.namespace.is_some();
    let done = move |world: &World| {
        let has_collector = |name| !is_one || plan::has_collector(world, name);
        let read = |cluster: &Cluster| wait::is_read(cluster) && (!is_one || has_jobs(world, cluster));
        monthly::documents(world).is_some()
            && world.clusters().all(|cluster| read(cluster) && has_collector(&cluster.name))
            && (!is_one || plan::has_state(world))
    };
    if session.until(args.deadline, done).await == Waited::Interrupted {
        return Exit::Failed;
    }
    for trouble in wait::unread(session.world()) {
        printer.say(&format!("{trouble}\n"));
    }
    match &args.namespace {
        None => list(session.world(), args, printer),
        Some(ns) => one(session, ns, args, printer).await,
    }
}

/// A document says which CronJobs ran; those that are refused never come.
fn has_jobs(world: &World, cluster: &Cluster) -> bool {
    let told = |ns| world.discoveries().crons(&cluster.name, ns).is_some();
    matches!(cluster.health, Health::Down(_))
        || cluster.troubles.contains_key(&Part::CronJobs)
        || cluster.namespaces.keys().next().is_none_or(told)
}

fn list(world: &World, args: &Documents, printer: &mut Printer<'_>) -> Exit {
    let rows = if args.due { monthly::due(world) } else { monthly::documents(world) };
    printer.out(&match args.output {
        Format::Text => pages::text(rows.as_deref(), world.now()),
        Format::Json => pages::json(rows.as_deref()),
    });
    let Some(rows) = rows else { return Exit::Failed };
    let is = |passes: fn(&DocumentRow) -> bool| rows.iter().any(passes);
    if is(|row| matches!(row.standing, Standing::Due | Standing::Vanished | Standing::Unwritten)) {
        Exit::Refused
    } else if is(|row| matches!(row.standing, Standing::Unknown(_))) {
        Exit::Partial
    } else {
        Exit::Done
    }
}

async fn one(session: &mut Session, ns: &NsName, args: &Documents, printer: &mut Printer<'_>) -> Exit {
    let by = args.reviewed_by.as_deref().map(Text::new);
    if let Err(refusal) = session.engine().command(&Command::Compare(ns.clone(), by)) {
        printer.say(&format!("{refusal}\n"));
        return Exit::Failed;
    }
    let is_done = |world: &World| state(world, ns).is_some_and(|state| !matches!(state, State::Reading(_)));
    if session.until(ANSWER, is_done).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let Some(State::Compared(compared)) = state(session.world(), ns).cloned() else {
        printer.say(&format!("the document of {ns} could not be compared in time\n"));
        return Exit::Failed;
    };
    let written = match args.write {
        true => Some(write(session, ns, args).await),
        false => None,
    };
    let shown = written.as_ref().map(|result| result.as_ref().map_err(Clone::clone));
    printer.out(&match args.output {
        Format::Text => pages::compared_text(&compared, &shown),
        Format::Json => pages::compared_json(&compared, &shown),
    });
    exit(&compared, written.as_ref())
}

fn state<'w>(world: &'w World, ns: &NsName) -> Option<&'w State> {
    world.discoveries().monthly().renewal(ns).map(|renewal| &renewal.state)
}

async fn write(session: &mut Session, ns: &NsName, args: &Documents) -> Result<Text, String> {
    let reviewed = args.reviewed || args.reviewed_by.is_some();
    let command = Command::Renew { ns: ns.clone(), reviewed };
    session.engine().command(&command).map_err(|refusal| refusal.to_string())?;
    let is_done = |world: &World| matches!(state(world, ns), Some(State::Written { .. }));
    session.until(ANSWER, is_done).await;
    match state(session.world(), ns) {
        Some(State::Written { result: Ok(said), .. }) => Ok(said.clone()),
        Some(State::Written { result: Err(trouble), .. }) => Err(trouble.to_string()),
        _ => Err(format!("whether the document of {ns} was written is not known: look at it")),
    }
}

fn exit(compared: &Compared, written: Option<&Result<Text, String>>) -> Exit {
    let unread = compared.parts.iter().filter(|part| part.now.is_err()).count();
    match written {
        Some(Err(_)) => Exit::Failed,
        _ if unread == compared.parts.len() => Exit::Failed,
        _ if unread > 0 => Exit::Partial,
        Some(Ok(_)) | None => Exit::Done,
    }
}
