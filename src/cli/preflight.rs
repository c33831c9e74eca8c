//! `sluice preflight`: looks at every cluster side by side, or reads manifest files instead, and prints
//! each check with its evidence and its fix. Changes nothing; needs no `sluice.yaml`.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use futures::future::join_all;
use tokio::time::timeout;

use super::{
    args::{Format, Global, Preflight},
    exit::Exit,
    print::Printer,
    run::with_runtime,
    session::{self, Need},
};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::Trouble,
    },
    documents::preflight::{self, Flight},
    domain::{
        names::Text,
        preflight::{
            check::Verdict,
            reading::{Probing, Reading},
            report::{self, Report},
        },
    },
    engine::week,
    flows::baseline::serve,
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
        Ok(run(&setup.fleet, &*setup.reach, args, printer).await)
    })
}

/// Pre-flights of all these clusters at once; one that is slow or dead never delays the others' rows
/// beyond the deadline.
pub async fn run(
    fleet: &FleetFile,
    reach: &(dyn Fn(&ClusterEntry) -> Access + Send + Sync),
    args: &Preflight,
    printer: &mut Printer<'_>,
) -> Exit {
    let flights = join_all(fleet.clusters.iter().map(|entry| {
        let (access, probes) = (reach(entry), fleet.probing(&entry.name));
        async move {
            let name = entry.name.as_str();
            let looking = Box::pin(look(entry, &access, (probes, args.deadline / 2)));
            let result = match timeout(args.deadline, looking).await {
                Ok(looked) => looked,
                Err(_) => Err(late(name, args.deadline)),
            };
            Flight { name: Text::new(name), result }
        }
    }));
    print(&flights.await, args, printer)
}

/// One cluster. Its collector is asked while the rest is read, and has a little longer; whether there is
/// one, the reading says.
async fn look(
    entry: &ClusterEntry,
    access: &Access,
    (probes, patience): (Option<Probing>, Duration),
) -> Result<Report, Trouble> {
    let patience = patience.min(week::ANSWER);
    let mut looking = pin!(look::preflight(access, probes));
    let mut asking = pin!(week::collector(entry, access));
    let (reading, early) = tokio::select! {
        reading = &mut looking => (reading?, None),
        week = &mut asking => (looking.await?, Some(week)),
    };
    let report = report::run(&reading);
    let measured = if entry.collector.is_none() && !has_collector(&reading) {
        week::source(entry, access, &report, patience).await
    } else if let Some(early) = early {
        Some(early)
    } else {
        Some(timeout(patience, asking).await.unwrap_or_else(|_| week::late(patience)))
    };
    Ok(match measured {
        Some(measured) => report.measured(&measured),
        None => report,
    })
}

fn has_collector(reading: &Reading) -> bool {
    let is_label =
        |key: &String, value: &String| serve::LABEL.split_once('=') == Some((key.as_str(), value.as_str()));
    let mut all = reading.workloads.list().iter();
    all.any(|one| one.pod_labels.iter().any(|(key, value)| is_label(key, value)))
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
