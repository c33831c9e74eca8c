//! `sluice preflight`: looks at every cluster side by side, or reads manifest files instead, and prints
//! each check with its evidence and its fix. Changes nothing; needs no `sluice.yaml`.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
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
            reading::{Known, Reading, Said},
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
        let (access, said) = (reach(entry), fleet.said(entry));
        async move {
            let name = entry.name.as_str();
            let looking = Box::pin(look(entry, &access, (said, args.deadline / 2)));
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
    (said, patience): (Said, Duration),
) -> Result<Report, Trouble> {
    let patience = patience.min(week::ANSWER);
    let mut looking = pin!(look::preflight(access, said));
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
        Some(timeout(patience, asking).await.unwrap_or_else(|_| week::late(COLLECTOR, patience)))
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

/// As it is called where it does not answer, with what shows it.
const COLLECTOR: &str = "its collector (kubectl get pods -A -l app.kubernetes.io/name=sluice-collect)";

/// The same from files.
pub fn offline(args: &Preflight, printer: &mut Printer<'_>) -> Exit {
    let mut found = Found::default();
    for path in &args.manifests {
        if let Err(trouble) = found.named(path) {
            printer.say(&format!("{trouble}\n"));
            return Exit::Usage;
        }
    }
    let (reading, complaints) =
        manifests::read(found.texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    for trouble in &found.left_out {
        printer.say(&format!("{trouble}\n"));
    }
    for complaint in &complaints {
        printer.say(&format!("{}: {}. Correct the file, or leave it out.\n", complaint.file, complaint.why));
    }
    let is_whole = complaints.is_empty() && found.left_out.is_empty();
    // An empty folder is no cluster in which nothing stands in the way.
    if is_whole && matches!(&reading.groups, Known::Read(groups) if groups.is_empty()) {
        printer.say(
            "No Kubernetes object is in these files. Name manifests, or folders with .yaml, .yml or .json.\n",
        );
        return Exit::Usage;
    }
    let flight = Flight { name: Text::new("manifests"), result: Ok(report::run(&reading)) };
    let exit = print(&[flight], args, printer);
    if is_whole { exit } else { exit.max(Exit::Partial) }
}

/// Texts of manifests with the names of their files, and what could not be read of folders.
#[derive(Default)]
struct Found {
    texts: Vec<(String, String)>,
    left_out: Vec<Trouble>,
    /// Folders that were gone through: a link may lead back into one.
    folders: BTreeSet<PathBuf>,
}

impl Found {
    /// What a person named must be there: a file, a folder, a pipe, or `-` for what is piped in.
    fn named(&mut self, path: &Path) -> Result<(), Trouble> {
        let shown = path.display().to_string();
        if shown == "-" {
            let text = read("what is piped in", std::io::stdin().lock())?;
            self.texts.push((shown, text));
            return Ok(());
        }
        if fs::metadata(path).map_err(|error| unread(&shown, &error))?.is_dir() {
            return self.folder(path);
        }
        self.file(path)
    }

    /// Every manifest below a folder, in the order of their paths. One that is bad costs itself only.
    fn folder(&mut self, path: &Path) -> Result<(), Trouble> {
        let shown = path.display().to_string();
        let real = fs::canonicalize(path).map_err(|error| unread(&shown, &error))?;
        if !self.folders.insert(real) {
            return Ok(());
        }
        let entries = fs::read_dir(path).map_err(|error| unread(&shown, &error))?;
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        below.sort();
        for path in below {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let is_manifest = matches!(ending, "yaml" | "yml" | "json");
            let read = match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => self.folder(&path),
                Ok(meta) if meta.is_file() && is_manifest => self.file(&path),
                Err(error) if is_manifest => Err(unread(&path.display().to_string(), &error)),
                Ok(_) | Err(_) => Ok(()),
            };
            if let Err(trouble) = read {
                self.left_out.push(trouble);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Trouble> {
        let shown = path.display().to_string();
        if self.texts.len() >= FILES {
            let next = "Name the manifests of the cluster's own parts.";
            return Err(Trouble::new(&shown, "it is one file too many (10000 are read)", next));
        }
        let file = fs::File::open(path).map_err(|error| unread(&shown, &error))?;
        let text = read(&shown, file)?;
        self.texts.push((shown, text));
        Ok(())
    }
}

fn unread(shown: &str, error: &std::io::Error) -> Trouble {
    Trouble::new(shown, &format!("it cannot be read ({error})"), "Name files or folders.")
}

/// A pipe tells no length beforehand, so as much is read as may be and no more.
fn read(shown: &str, from: impl Read) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    from.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| unread(shown, &error))?;
    if bytes.len() as u64 > FILE_LIMIT {
        let next = "Name the manifests of the cluster's own parts.";
        return Err(Trouble::new(shown, "it is larger than 64 MiB", next));
    }
    let no_text = |_| Trouble::new(shown, "it is no text in UTF-8", "Leave it out, or name text.");
    String::from_utf8(bytes).map_err(no_text)
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
