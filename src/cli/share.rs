//! What every command shares that writes to the state cluster: decide, write, wait for its answer,
//! report. Nothing of it changes a policy.

use std::time::Duration;

use super::{
    args::{Format, Sharing},
    exit::Exit,
    plan::has_state,
    print::Printer,
    session::{Session, Waited},
};
use crate::{
    cockpit::{
        decide::{Command, Refusal},
        ports::Trouble,
        shared::{ShareId, Written},
        world::World,
    },
    documents::orders::{self, Report},
};

/// Decides and writes one after the other, waits for the answers, and reports.
pub async fn write(
    session: &mut Session,
    name: &'static str,
    commands: impl FnOnce(&World) -> Vec<Command>,
    args: &Sharing,
    printer: &mut Printer<'_>,
) -> Exit {
    if session.until(args.deadline, has_state).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let (mut refusals, mut asked) = (Vec::new(), Vec::new());
    for command in commands(session.world()) {
        let id = session.world().shared().next_id();
        match session.engine().command(&command) {
            Ok(_) => asked.push(id),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let waited =
        session.until(args.deadline, |world| asked.iter().all(|id| answer(world, *id).is_some())).await;
    let world = session.world();
    let mut troubles: Vec<Trouble> = Vec::new();
    let mut parts: Vec<Exit> = refusals.iter().map(|_: &Refusal| Exit::Refused).collect();
    for id in &asked {
        match answer(world, *id).map(|written| &written.result) {
            Some(Ok(())) => parts.push(Exit::Done),
            Some(Err(trouble)) => {
                troubles.push(trouble.clone());
                parts.push(Exit::Failed);
            }
            None => {
                troubles.push(unanswered(name, waited, args.deadline));
                parts.push(Exit::Failed);
            }
        }
    }
    let done = parts.iter().filter(|part| **part == Exit::Done).count();
    let exit = Exit::all(parts);
    report(world, name, exit, (refusals, troubles), args.output, printer);
    if args.output == Format::Text && done > 0 {
        printer.out(&format!("{name}: {done} written. `sluice plan` shows what it changes.\n"));
    }
    exit
}

/// What stood against it and what went wrong.
pub fn report(
    world: &World,
    command: &'static str,
    exit: Exit,
    (refusals, troubles): (Vec<Refusal>, Vec<Trouble>),
    output: Format,
    printer: &mut Printer<'_>,
) {
    let report = Report {
        command,
        result: exit.word(),
        dry_run: false,
        previews: Vec::new(),
        rollbacks: Vec::new(),
        orders: Vec::new(),
        refusals,
        troubles,
    };
    printer.out(&match output {
        Format::Json => orders::json(world, &report),
        Format::Text => orders::text(world, &report),
    });
}

fn answer(world: &World, id: ShareId) -> Option<&Written> {
    world.shared().wrote().iter().rev().find(|written| written.id == id)
}

fn unanswered(name: &str, waited: Waited, deadline: Duration) -> Trouble {
    let why = match waited {
        Waited::Interrupted => "it was interrupted before the answer came".to_owned(),
        Waited::Deadline | Waited::Reached => format!("no answer came within {} s", deadline.as_secs()),
    };
    Trouble::new(name, &why, "It may have landed: look with `sluice plan`.")
}
