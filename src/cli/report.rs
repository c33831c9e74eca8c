//! `sluice report`: waits until what a report rests on is read, prints it or writes it into the
//! workspace, and says what could not be read. Verifying a copy of the journal needs nothing but it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    time::Duration,
};

use chrono::TimeDelta;

use self::args::{
    PaperFormat, Report, ReportCommand, ReportHandover, ReportJournal, ReportOpenEnds, ReportRow, ReportSoak,
    ReportTimeline, ReportVerify,
};
use super::{
    args::{DiscoverFormat, Format, Global},
    exit::Exit,
    print::Printer,
    run,
    session::{self, Need, Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        handover::handover,
        open_ends::open_ends,
        ports::{Link, Trouble},
        report::soak_report,
        timeline,
        world::World,
    },
    documents,
    domain::{
        names::{ClusterName, Text},
        rollout::Target,
        time::Timestamp,
    },
    k8s::shared::chain,
    workspace,
};

pub mod args;

pub fn main(global: &Global, args: &Report, printer: &mut Printer<'_>) -> Exit {
    if let ReportCommand::Verify(args) = &args.command {
        return verify(args, printer);
    }
    run::with_runtime(printer, async |printer| {
        let mut session =
            run::start(global, Need::Clusters, !matches!(args.command, ReportCommand::Journal(_)))?;
        Ok(in_session(&mut session, global, &args.command, printer).await)
    })
}

/// The command on an engine that runs.
pub async fn in_session(
    session: &mut Session,
    global: &Global,
    command: &ReportCommand,
    printer: &mut Printer<'_>,
) -> Exit {
    match command {
        ReportCommand::Soak(args) => soak(session, global, args, printer).await,
        ReportCommand::Handover(args) => shift(session, global, args, printer).await,
        ReportCommand::OpenEnds(args) => ends(session, args, printer).await,
        ReportCommand::Timeline(args) => axis(session, args, printer).await,
        ReportCommand::Journal(args) => journal(session, args, printer).await,
        ReportCommand::Verify(args) => verify(args, printer),
    }
}

/// The state cluster has been read, or it will not be.
fn is_state_settled(world: &World) -> bool {
    let settled = matches!(world.shared().link(), Some(Link::Live | Link::Broken(_) | Link::None(_)));
    settled || world.plan().settings.state.is_none()
}

/// Waits; what is missing after that is said beside the report, and in it.
async fn read(session: &mut Session, patience: Duration, printer: &mut Printer<'_>) -> Waited {
    let waited = session
        .until(patience, |world| {
            is_state_settled(world)
                && world.clusters().all(|one| wait::is_read(one) && wait::has_source_spoken(world, one))
        })
        .await;
    for trouble in wait::unread(session.world()).into_iter().chain(state_trouble(session.world())) {
        printer.say(&format!("{trouble}\n"));
    }
    waited
}

fn state_trouble(world: &World) -> Option<Trouble> {
    match world.shared().link() {
        Some(Link::Live) => None,
        Some(Link::Broken(trouble)) => Some(trouble.clone()),
        Some(Link::None(why)) => {
            Some(Trouble::new("the state cluster", why.as_str(), "Name it under `state:` in sluice.yaml."))
        }
        Some(Link::Connecting) => {
            Some(Trouble::new("the state cluster", "it has not answered", "Wait longer with --deadline."))
        }
        None => Some(Trouble::new(
            "the state cluster",
            "none is named, so records, waivers and the journal are not known",
            "Name it under `state:` in sluice.yaml.",
        )),
    }
}

/// The one row that is meant.
fn target(session: &Session, row: &ReportRow) -> Result<Target, String> {
    let names: Vec<ClusterName> = session.world().clusters().map(|cluster| cluster.name.clone()).collect();
    match names.as_slice() {
        [cluster] => Ok(Target { cluster: cluster.clone(), ns: row.ns.clone(), direction: row.direction }),
        _ => {
            let known: Vec<_> = names.iter().map(ToString::to_string).collect();
            Err(format!("Name the cluster with --context; there are: {}\n", known.join(", ")))
        }
    }
}

async fn soak(session: &mut Session, global: &Global, args: &ReportSoak, printer: &mut Printer<'_>) -> Exit {
    let target = match target(session, &args.row) {
        Ok(target) => target,
        Err(said) => {
            printer.say(&said);
            return Exit::Usage;
        }
    };
    if read(session, args.row.deadline, printer).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let Some(report) = soak_report(session.world(), &target) else {
        printer.say(&format!("{target}: no such namespace is known.\n"));
        return Exit::Failed;
    };
    let (text, end) = match args.output {
        PaperFormat::Md => (documents::report::markdown(&report), "md"),
        PaperFormat::Json => (documents::report::json(&report), "json"),
    };
    if args.write {
        let name =
            format!("soak-{}-{}-{}-{}.{end}", target.cluster, target.ns, target.direction, day(report.at));
        return written(global, &name, &text, printer);
    }
    printer.out(&text);
    Exit::Done
}

async fn shift(
    session: &mut Session,
    global: &Global,
    args: &ReportHandover,
    printer: &mut Printer<'_>,
) -> Exit {
    if read(session, args.deadline, printer).await == Waited::Interrupted
        || session.until(args.watch, |_| false).await == Waited::Interrupted
    {
        return Exit::Failed;
    }
    let world = session.world();
    let handed = handover(world, delta(args.since));
    let text = match (args.output, args.write) {
        (DiscoverFormat::Json, _) => documents::handover::json(&handed),
        (DiscoverFormat::Md, _) | (DiscoverFormat::Text, true) => documents::handover::markdown(&handed),
        (DiscoverFormat::Text, false) => documents::handover::text(&handed, world.zone()),
    };
    if args.write {
        let end = if args.output == DiscoverFormat::Json { "json" } else { "md" };
        let name = format!("handover-{}.{end}", handed.at.format("%Y-%m-%dT%H%MZ"));
        return written(global, &name, &text, printer);
    }
    printer.out(&text);
    Exit::Done
}

async fn ends(session: &mut Session, args: &ReportOpenEnds, printer: &mut Printer<'_>) -> Exit {
    // What is missing is known once the clusters are read.
    let is_read = |world: &World| is_state_settled(world) && world.clusters().all(wait::is_read);
    if session.until(args.deadline, is_read).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let world = session.world();
    let unread = wait::unread(world);
    for trouble in &unread {
        printer.say(&format!("{trouble}\n"));
    }
    let all = open_ends(world);
    let now = world.shared().now(world.now()).unwrap_or(world.now());
    printer.out(&match args.output {
        DiscoverFormat::Json => documents::open_ends::json(all.as_deref()),
        DiscoverFormat::Md => documents::open_ends::markdown(all.as_deref(), now),
        DiscoverFormat::Text => documents::open_ends::text(all.as_deref(), now),
    });
    if let Some(trouble) = state_trouble(world) {
        printer.say(&format!("{trouble}\n"));
    }
    match (all.is_some(), unread.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Partial,
        (true, true) => Exit::Done,
    }
}

async fn axis(session: &mut Session, args: &ReportTimeline, printer: &mut Printer<'_>) -> Exit {
    let target = match target(session, &args.row) {
        Ok(target) => target,
        Err(said) => {
            printer.say(&said);
            return Exit::Usage;
        }
    };
    if read(session, args.row.deadline, printer).await == Waited::Interrupted
        || session.until(args.watch, |_| false).await == Waited::Interrupted
    {
        return Exit::Failed;
    }
    let world = session.world();
    let row = timeline::row(world, &target, delta(args.since));
    printer.out(&match args.output {
        Format::Text => documents::timeline::text(&row, world.zone()),
        Format::Json => documents::timeline::json(&row),
    });
    Exit::Done
}

/// Reads the whole chain, which the watch does not keep, and checks it before it is handed out.
async fn journal(session: &mut Session, args: &ReportJournal, printer: &mut Printer<'_>) -> Exit {
    let Some(state) = session.world().plan().settings.state.clone() else {
        if let Some(trouble) = state_trouble(session.world()) {
            printer.say(&format!("{trouble}\n"));
        }
        return Exit::Failed;
    };
    let access = session.engine().state_access(&state);
    let entries = match chain::read(&access, &state.ns).await {
        Ok(entries) => entries,
        Err(trouble) => {
            printer.say(&format!("{trouble}\n"));
            return Exit::Failed;
        }
    };
    printer.out(&match args.output {
        Format::Json => entries.iter().map(documents::journal::json_line).collect::<String>(),
        Format::Text => documents::journal::text(&entries, session.world().zone()),
    });
    match crate::domain::journal::verify(&entries) {
        Ok(_) => Exit::Done,
        Err(broken) => {
            printer.say(&format!("The journal does not hold together: {broken}.\n"));
            Exit::Failed
        }
    }
}

/// Offline: the file is all that is needed.
fn verify(args: &ReportVerify, printer: &mut Printer<'_>) -> Exit {
    match check(&args.file, args) {
        Ok(verified) => {
            printer.out(&documents::journal::verified_text(&verified));
            Exit::Done
        }
        Err(said) => {
            printer.say(&format!("{}: {said}\n", Text::new(&args.file.to_string_lossy())));
            Exit::Failed
        }
    }
}

fn check(file: &Path, args: &ReportVerify) -> Result<documents::journal::Verified, String> {
    let file = std::fs::File::open(file).map_err(|error| format!("it cannot be read ({error})"))?;
    let mut reader = BufReader::new(file);
    let mut check = documents::journal::Check::default();
    let mut raw = Vec::new();
    for number in 1.. {
        raw.clear();
        // A line that is too long is refused by its length, not read to its end.
        let most = documents::journal::LINE as u64 + 2;
        let read = reader.by_ref().take(most).read_until(b'\n', &mut raw);
        if read.map_err(|error| format!("it cannot be read ({error})"))? == 0 {
            break;
        }
        let line = std::str::from_utf8(&raw).map_err(|_| format!("line {number} is not UTF-8"))?;
        check.line(number, line.trim_end_matches(['\n', '\r'])).map_err(|fault| fault.to_string())?;
    }
    check.end(args.head).map_err(|fault| fault.to_string())
}

/// Into `reports/` of the workspace, whole or not at all.
fn written(global: &Global, name: &str, text: &str, printer: &mut Printer<'_>) -> Exit {
    let place = match session::place(global) {
        Ok(Some(place)) => place,
        Ok(None) => {
            printer
                .say("--write needs a workspace: run it below sluice.yaml, or name one with --workspace.\n");
            return Exit::Usage;
        }
        Err(trouble) => {
            printer.say(&format!("{trouble}\n"));
            return Exit::Usage;
        }
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let path = place.root.join("reports").join(&name);
    match workspace::discovery::write(&place.root, &path, text) {
        Ok(()) => {
            printer.out(&format!("reports/{name}\n"));
            Exit::Done
        }
        Err(trouble) => {
            printer.say(&format!("{trouble}\n"));
            Exit::Failed
        }
    }
}

fn day(at: Timestamp) -> String {
    at.format("%Y-%m-%d").to_string()
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}
