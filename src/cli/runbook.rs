//! `sluice runbook`: the workspace's files -> `SECURITY-RUNBOOK.md`, printed or written. Asks nobody:
//! it must work when nothing else does.

use clap::Args;

use super::{
    args::Global,
    exit::Exit,
    print::Printer,
    session::{self, NoStart},
};
use crate::{
    cockpit::ports::Trouble,
    documents::{
        notes::{Kind, Notes},
        runbook::{self, FILE},
    },
    engine::{Clock, papers},
    workspace::{
        discovery,
        root::{self, Place},
    },
};

#[derive(Clone, Debug, Args)]
pub struct Runbook {
    /// Write it to the root of the workspace; what people wrote into the notes is kept
    #[arg(long)]
    pub write: bool,
    /// With --write: give up edits outside the notes
    #[arg(long, requires = "write")]
    pub force: bool,
}

pub fn run(global: &Global, args: &Runbook, printer: &mut Printer<'_>) -> Exit {
    match written(global, args, printer) {
        Ok(()) => Exit::Done,
        Err(stopped) => {
            stopped.troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
            stopped.exit
        }
    }
}

fn written(global: &Global, args: &Runbook, printer: &mut Printer<'_>) -> Result<(), NoStart> {
    let usage = |trouble| NoStart { exit: Exit::Usage, troubles: vec![trouble] };
    let failed = |trouble| NoStart { exit: Exit::Failed, troubles: vec![trouble] };
    let Some(place) = session::place(global).map_err(usage)? else {
        let next = "Change into the folder that holds sluice.yaml, or name it with --workspace.";
        return Err(usage(Trouble::new("sluice.yaml", "there is no workspace to write a runbook of", next)));
    };
    // Always of the whole fleet: a runbook without some of the clusters would be read as if it had all.
    let place = Place { only: Vec::new(), ..place };
    let workspace = root::read(&place).map_err(|troubles| NoStart { exit: Exit::Usage, troubles })?;
    workspace.notices.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
    let path = place.root.join(FILE);
    let before = discovery::read_text(&place.root, &path).map_err(failed)?;
    // Printed, it takes over what can be read of the old one; only a write may lose anything.
    let forced = args.force || !args.write;
    let old = papers::kept(Kind::Runbook, before.as_deref(), FILE, forced).map_err(failed)?;
    let none = Notes::new();
    let text = |generated| {
        runbook::text(&runbook::Runbook {
            fleet: &workspace.fleet,
            files: &workspace.files,
            notes: old.as_ref().map_or(&none, |old| &old.notes),
            due: old.as_ref().map(|old| old.due),
            generated,
        })
    };
    if !args.write {
        printer.out(&text(Clock::system().now()));
        return Ok(());
    }
    if old.as_ref().is_some_and(|old| before.as_deref() == Some(text(old.generated).as_str())) {
        printer.out(&format!("{FILE}: nothing changed\n"));
        return Ok(());
    }
    discovery::write(&place.root, &path, &text(Clock::system().now())).map_err(failed)?;
    printer.out(&format!("{FILE}: written\n"));
    Ok(())
}
