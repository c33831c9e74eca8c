//! Where the binary begins: arguments to a command, a command to an exit code. Errors are printed
//! once, here.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use super::{
    apply,
    args::{Change, Cli, Command, Global, Install, Watch},
    ask::{self, Asker},
    author,
    change::Changing,
    cockpit, collect, demo, denials, discover, documents,
    exit::Exit,
    explain, hold, info, init, install, kyverno, log, manual, overrule, plan, predict, preflight,
    print::Printer,
    probe, report, review_gate, rollback, runbook,
    session::{self, Need, NoStart, Session},
    status, waive, watch,
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
    if cli.shown.is_any() && !matches!(cli.command, None | Some(Command::Demo(_))) {
        // A switch that hides names must not do nothing in silence.
        printer.say("--plain, --mask and --keep-screen are the cockpit's: leave them out here.\n");
        return Exit::Usage;
    }
    match &cli.command {
        None => with_runtime(printer, async |_| {
            let setup = session::setup(global, Need::AtOnce, true)?;
            Box::pin(cockpit::run(global, cli.shown, setup, cli.open.as_deref())).await
        }),
        Some(command) => subcommand(cli, command, printer),
    }
}

fn subcommand(cli: &Cli, command: &Command, printer: &mut Printer<'_>) -> Exit {
    let global = &cli.global;
    match command {
        Command::Completions { shell } => printed(&completions(*shell), printer),
        Command::Man => printed(&manual::roff(), printer),
        Command::Info => printed(&info::text(global), printer),
        Command::Collect(args) => {
            with_runtime(printer, async |printer| Box::pin(collect::run(global, args, printer)).await)
        }
        Command::Demo(args) => with_runtime(printer, async |printer| {
            Box::pin(demo::run(global, cli.shown.or(args.shown), args, printer)).await
        }),
        Command::Status(args) => look(global, printer, async |s, p| status::run(s, args, p).await),
        Command::Denials(args) => look(global, printer, async |s, p| denials::run(s, args, p).await),
        Command::Watch(args) => with_runtime(printer, async |p| watch_all(global, args, p).await),
        Command::Preflight(args) => preflight::main(global, args, printer),
        Command::Install(args) => put_in(global, args, printer),
        Command::Discover(args) if !args.flows.is_empty() => discover::run(global, args, printer),
        Command::Discover(args) => {
            with_runtime(printer, async |printer| discover::run_live(global, args, printer).await)
        }
        Command::Plan(args) => with_runtime(printer, async |p| {
            Ok(plan::run(&mut start(&whole(global), Need::Workspace, true)?, global, args, p).await)
        }),
        Command::Hold(args) => team(global, printer, async |s, p| hold::hold(s, global, args, p).await),
        Command::Exclude(args) => team(global, printer, async |s, p| hold::exclude(s, global, args, p).await),
        Command::Release(args) => team(global, printer, async |s, p| hold::release(s, args, p).await),
        Command::Waive(args) => team(global, printer, async |s, p| waive::run(s, global, args, p).await),
        Command::Override(args) => {
            team(global, printer, async |s, p| overrule::run(s, global, &args.command, p).await)
        }
        Command::Author(args) if args.offline => author::offline(global, args, printer),
        Command::Author(args) => {
            with_runtime(printer, async |printer| Box::pin(author::run(global, args, printer)).await)
        }
        Command::Kyverno(args) => with_runtime(printer, async |p| {
            let mut session = start(&whole(global), Need::Workspace, false)?;
            Ok(kyverno::run(&mut session, global, args, p).await)
        }),
        Command::Documents(args) => documents::main(&whole(global), args, printer),
        Command::Runbook(args) => runbook::run(global, args, printer),
        Command::Probe(args) => probe::run(args, printer),
        Command::Explain(args) => explain::main(global, args, printer),
        Command::Predict(args) => predict::main(global, args, printer),
        Command::Init(args) => init::run(global, args, printer),
        Command::Apply(args) => {
            change(global, &args.change, Need::Workspace, printer, async |it| apply::run(it, args).await)
        }
        Command::Advance(args) => {
            change(global, &args.change, Need::Workspace, printer, async |it| apply::advance(it, args).await)
        }
        Command::Revert(args) => {
            change(global, &args.change, Need::Workspace, printer, async |it| apply::revert(it, args).await)
        }
        Command::Report(args) => report::main(global, args, printer),
        Command::Review(args) => review_gate::main(global, args, printer),
        Command::Rollback(args) => {
            change(global, &args.change, Need::AtOnce, printer, async |it| rollback::run(it, args).await)
        }
    }
}

fn printed(text: &str, printer: &mut Printer<'_>) -> Exit {
    printer.out(text);
    Exit::Done
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// An install, if there is somebody to ask.
fn put_in(global: &Global, args: &Install, printer: &mut Printer<'_>) -> Exit {
    let mut asker = Asker::of(args.change.yes);
    if let Some(said) = install::nobody(&asker, args) {
        printer.say(said);
        return Exit::Usage;
    }
    with_runtime(printer, async |printer| Box::pin(install::run(global, args, &mut asker, printer)).await)
}

/// A command that looks at clusters for a while.
fn look(
    global: &Global,
    printer: &mut Printer<'_>,
    command: impl AsyncFnOnce(&mut Session, &mut Printer<'_>) -> Exit,
) -> Exit {
    with_runtime(printer, async |printer| {
        Ok(command(&mut start(global, Need::Clusters, true)?, printer).await)
    })
}

/// A command on what the team puts on the plan: of the whole fleet.
fn team(
    global: &Global,
    printer: &mut Printer<'_>,
    command: impl AsyncFnOnce(&mut Session, &mut Printer<'_>) -> Exit,
) -> Exit {
    with_runtime(printer, async |printer| {
        Ok(command(&mut start(&whole(global), Need::Workspace, false)?, printer).await)
    })
}

async fn watch_all(global: &Global, args: &Watch, printer: &mut Printer<'_>) -> Result<Exit, NoStart> {
    let mut setup = session::setup(global, Need::Workspace, true)?;
    setup.notify = Some(cockpit::secrets());
    Ok(watch::run(&mut Session::new(Engine::start(setup)), args, printer).await)
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
        // Evidence before a first apply is what the collectors say.
        let mut session = start(&fleet, need, is_gated)?;
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
