//! `sluice preflight`: looks at every cluster side by side, or reads manifest files instead, and prints
//! each check with its evidence and its fix. Changes nothing; needs no `sluice.yaml`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use tokio::time::timeout;

use super::{
    args::{Format, Global, Preflight},
    exit::Exit,
    preflight_week,
    print::Printer,
    run::with_runtime,
    session::{self, Need},
};
use crate::{
    cockpit::{plan::ClusterEntry, ports::Trouble},
    documents::preflight::{self, Flight},
    domain::{
        names::Text,
        preflight::{check::Verdict, report},
    },
    k8s::{
        connect::Access,
        preflight::{look, manifests},
    },
};

/// A larger file is no manifest.
const FILE_LIMIT: u64 = 64 << 20;
/// Files read at the most.
const FILES: usize = 10_000;

pub fn main(global: &Global, args: &Preflight, printer: &mut Printer<'_>) -> Exit {
    if !args.manifests.is_empty() {
        return offline(args, printer);
    }
    with_runtime(printer, async |printer| {
        let setup = session::setup(global, Need::Clusters, false)?;
        setup.notices.iter().for_each(|notice| printer.say(&format!("note: {notice}\n")));
        Ok(run(&setup.fleet.clusters, &*setup.reach, args, printer).await)
    })
}

/// Pre-flights of all these clusters at once; one that is slow or dead never delays the others' rows
/// beyond the deadline.
pub async fn run(
    clusters: &[ClusterEntry],
    reach: &(dyn Fn(&ClusterEntry) -> Access + Send + Sync),
    args: &Preflight,
    printer: &mut Printer<'_>,
) -> Exit {
    let flights = join_all(clusters.iter().map(|entry| {
        let access = reach(entry);
        async move {
            let name = entry.name.as_str();
            let looked = async {
                let mut reading = look::preflight(&access).await?;
                reading.measured = preflight_week::measure(entry, &access, &reading, args.deadline / 2).await;
                Ok(report::run(&reading))
            };
            let result = match timeout(args.deadline, looked).await {
                Ok(looked) => looked,
                Err(_) => Err(late(name, args.deadline)),
            };
            Flight { name: Text::new(name), result }
        }
    }));
    print(&flights.await, args, printer)
}

fn late(name: &str, deadline: Duration) -> Trouble {
    let fact = format!("it was not read within {} s", deadline.as_secs());
    Trouble::new(name, &fact, "Try a longer --deadline.")
}

/// The same from files.
pub fn offline(args: &Preflight, printer: &mut Printer<'_>) -> Exit {
    let mut texts = Vec::new();
    for path in &args.manifests {
        if let Err(trouble) = gather(path, true, &mut texts) {
            printer.say(&format!("{trouble}\n"));
            return Exit::Usage;
        }
    }
    let (reading, complaints) =
        manifests::read(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    for complaint in &complaints {
        printer.say(&format!("{}: {}. Correct the file, or leave it out.\n", complaint.file, complaint.why));
    }
    let flight = Flight { name: Text::new("manifests"), result: Ok(report::run(&reading)) };
    let exit = print(&[flight], args, printer);
    match complaints.is_empty() {
        true => exit,
        false => exit.max(Exit::Partial),
    }
}

/// A file, or every manifest below a folder, in the order of their paths.
fn gather(path: &Path, named: bool, out: &mut Vec<(String, String)>) -> Result<(), Trouble> {
    let shown = path.display().to_string();
    let failed = |error: &std::io::Error| {
        Trouble::new(&shown, &format!("it cannot be read ({error})"), "Name files or folders.")
    };
    let meta = fs::metadata(path).map_err(|error| failed(&error))?;
    if meta.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| failed(&error))?;
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        below.sort();
        return below.iter().try_for_each(|path| gather(path, false, out));
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !named && !matches!(ending, "yaml" | "yml" | "json") {
        return Ok(());
    }
    if meta.len() > FILE_LIMIT || out.len() >= FILES {
        return Err(Trouble::new(
            &shown,
            "it is larger than 64 MiB, or there are too many files",
            "Name the manifests of the cluster's own parts.",
        ));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    out.push((shown, text));
    Ok(())
}

fn print(flights: &[Flight], args: &Preflight, printer: &mut Printer<'_>) -> Exit {
    printer.out(&match args.output {
        Format::Text => preflight::text(flights),
        Format::Json => preflight::json(flights),
    });
    exit(flights)
}

/// Refused where something fails that stops rollout or discovery, in part where something of it is
/// unknown, failed where no cluster could be looked at.
pub fn exit(flights: &[Flight]) -> Exit {
    if flights.iter().all(|flight| flight.result.is_err()) {
        return Exit::Failed;
    }
    let has = |verdict| flights.iter().any(|flight| preflight::verdict(flight) == verdict);
    if has(Verdict::Fail) {
        Exit::Refused
    } else if has(Verdict::Unknown) {
        Exit::Partial
    } else {
        Exit::Done
    }
}
