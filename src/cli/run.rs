//! Where the binary begins: arguments to a command, a command to an exit code. Errors are printed
//! once, here.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use super::{
    apply,
    args::{Change, Cli, Command, Global},
    ask::{self, Asker},
    change::Changing,
    cockpit, collect, demo, denials, discover,
    exit::Exit,
    explain, hold, info, init, install, log, plan,
    print::Printer,
    probe, report, review_gate, rollback,
    session::{self, Need, NoStart, Session},
    status, watch,
};
use crate::engine::Engine;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help into a pipe that closed is help all the same.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return ExitCode::from(exit.code());
        }
    };
    let _ = color_eyre::install();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut printer = Printer::standard();
    let exit = run(&cli, &mut printer);
    if let Some(error) = printer.failure() {
        let said = format!("The output could not be written: {error}\n");
        printer.say(&said);
        return ExitCode::from(exit.max(Exit::Failed).code());
    }
    ExitCode::from(exit.code())
}

fn run(cli: &Cli, printer: &mut Printer<'_>) -> Exit {
    let global = &cli.global;
    match &cli.command {
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sluice", &mut script);
            printer.out(&String::from_utf8_lossy(&script));
            Exit::Done
        }
        Some(Command::Info) => {
            printer.out(&info::text(global));
            Exit::Done
        }
        Some(Command::Collect(args)) => {
            with_runtime(printer, async |printer| Box::pin(collect::run(global, args, printer)).await)
        }
        None => with_runtime(printer, async |_| {
            let setup = session::setup(global, Need::Clusters, true)?;
            cockpit::run(global, setup, cli.open.as_deref()).await
        }),
        Some(Command::Demo(args)) => {
            with_runtime(printer, async |printer| Box::pin(demo::run(global, args, printer)).await)
        }
        Some(Command::Status(_) | Command::Denials(_) | Command::Watch(_)) => {
            with_runtime(printer, async |printer| looks(cli, printer).await)
        }
        Some(Command::Install(args)) => {
            let mut asker = Asker::of(args.change.yes);
            if let Some(said) = install::nobody(&asker, args) {
                printer.say(said);
                return Exit::Usage;
            }
            with_runtime(printer, async |printer| {
                Box::pin(install::run(global, args, &mut asker, printer)).await
            })
        }
        Some(Command::Discover(args)) if !args.flows.is_empty() => discover::run(global, args, printer),
        Some(Command::Discover(args)) => {
            with_runtime(printer, async |printer| discover::run_live(global, args, printer).await)
        }
        Some(Command::Plan(_) | Command::Hold(_) | Command::Exclude(_) | Command::Release(_)) => {
            with_runtime(printer, async |printer| team(cli, printer).await)
        }
        Some(Command::Probe(args)) => probe::run(args, printer),
        Some(Command::Explain(args)) => explain::main(global, args, printer),
        Some(Command::Init(args)) => init::run(global, args, printer),
        Some(Command::Apply(args)) => {
            change(global, &args.change, Need::Workspace, printer, async |changing| {
                apply::run(changing, args).await
            })
        }
        Some(Command::Revert(args)) => {
            change(global, &args.change, Need::Workspace, printer, async |changing| {
                apply::revert(changing, args).await
            })
        }
        Some(Command::Report(args)) => report::main(global, args, printer),
        Some(Command::Review(args)) => review_gate::main(global, args, printer),
        Some(Command::Rollback(args)) => {
            change(global, &args.change, Need::Clusters, printer, async |changing| {
                rollback::run(changing, args).await
            })
        }
    }
}

/// Commands that look at clusters for a while.
async fn looks(cli: &Cli, printer: &mut Printer<'_>) -> Result<Exit, NoStart> {
    let global = &cli.global;
    match &cli.command {
        Some(Command::Status(args)) => {
            Ok(status::run(&mut start(global, Need::Clusters, true)?, args, printer).await)
        }
        Some(Command::Denials(args)) => {
            Ok(denials::run(&mut start(global, Need::Clusters, true)?, args, printer).await)
        }
        Some(Command::Watch(args)) => {
            let mut setup = session::setup(global, Need::Workspace, true)?;
            setup.notify = Some(cockpit::secrets());
            Ok(watch::run(&mut Session::new(Engine::start(setup)), args, printer).await)
        }
        _ => Ok(Exit::Usage),
    }
}

/// Commands on the plan and what the team puts on it: of the whole fleet.
async fn team(cli: &Cli, printer: &mut Printer<'_>) -> Result<Exit, NoStart> {
    let (global, fleet) = (&cli.global, whole(&cli.global));
    let follows = matches!(cli.command, Some(Command::Plan(_)));
    let mut session = start(&fleet, Need::Workspace, follows)?;
    Ok(match &cli.command {
        Some(Command::Plan(args)) => plan::run(&mut session, global, args, printer).await,
        Some(Command::Hold(args)) => hold::hold(&mut session, global, args, printer).await,
        Some(Command::Exclude(args)) => hold::exclude(&mut session, global, args, printer).await,
        Some(Command::Release(args)) => hold::release(&mut session, args, printer).await,
        _ => Exit::Usage,
    })
}

/// The same, with every cluster: waves are those of the whole fleet, and the state cluster need not be
/// among those that are meant.
fn whole(global: &Global) -> Global {
    Global { contexts: Vec::new(), ..global.clone() }
}

/// A command that changes clusters: first of all, can it be confirmed?
fn change(
    global: &Global,
    change: &Change,
    need: Need,
    printer: &mut Printer<'_>,
    command: impl AsyncFnOnce(Changing<'_, '_>) -> Exit,
) -> Exit {
    let mut asker = Asker::of(change.yes);
    if let Some(said) = ask::nobody(&asker, change) {
        printer.say(said);
        return Exit::Usage;
    }
    with_runtime(printer, async |printer| {
        // Waves and the team's state are of the whole fleet; a rollback needs its target and nothing else.
        let is_gated = need == Need::Workspace;
        let fleet = if is_gated { whole(global) } else { global.clone() };
        let mut session = start(&fleet, need, false)?;
        let is_named = !global.contexts.is_empty();
        let only = match is_gated.then(|| plan::named(session.world(), global)).transpose() {
            Ok(only) => only.unwrap_or_default(),
            Err(trouble) => return Err(NoStart { exit: Exit::Usage, troubles: vec![trouble] }),
        };
        let changing = Changing { session: &mut session, change, asker: &mut asker, printer, is_named, only };
        Ok(command(changing).await)
    })
}

pub(super) fn start(global: &Global, need: Need, follow_flows: bool) -> Result<Session, NoStart> {
    let setup = session::setup(global, need, follow_flows)?;
    Ok(Session::new(Engine::start(setup)))
}

/// Runs a command to its end and says why it could not start.
pub(super) fn with_runtime<'p>(
    printer: &mut Printer<'p>,
    command: impl AsyncFnOnce(&mut Printer<'p>) -> Result<Exit, NoStart>,
) -> Exit {
    let _log = log::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.say(&format!("sluice could not start its runtime: {error}\n"));
            return Exit::Failed;
        }
    };
    let ended = runtime.block_on(command(printer));
    // A read that still blocks must not hold up the end.
    runtime.shutdown_background();
    ended.unwrap_or_else(|stopped| {
        for trouble in &stopped.troubles {
            printer.say(&format!("{trouble}\n"));
        }
        stopped.exit
    })
}
