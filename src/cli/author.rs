//! `sluice author`: evidence of the workspace, facts of the clusters and reviews of the state cluster
//! -> policy files, each set written whole or not at all. What it decides stands in `domain::author`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{
    args::{self, Format, Global},
    author_live, author_write,
    exit::Exit,
    print::Printer,
    session::{self, NoStart},
};
use crate::{
    cockpit::{plan::FleetFile, ports::Trouble},
    documents::author::{self as document, Outcome, Row},
    domain::{
        author::facts::Facts,
        destination::Destination,
        discovery::{Everywhere, Rules, assemble},
        flagged::{Flagged, flagged},
        flow::Direction,
        grant::Review,
        names::{ClusterName, NsName, Text, plural},
        rollout::{Kept, Target},
        time::Timestamp,
    },
    workspace::{
        self, discovery,
        evidence::{self, Seen},
        facts,
        root::{self, Place, Workspace},
    },
};

#[derive(Clone, Debug, Args)]
#[command(after_long_help = super::help::AUTHOR)]
pub struct Author {
    /// The namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = args::namespace,
          required_unless_present = "all", conflicts_with = "all")]
    pub namespaces: Vec<NsName>,
    /// Every namespace that has evidence in the workspace
    #[arg(long)]
    pub all: bool,
    /// Which direction; left out: both
    #[arg(long, value_parser = args::direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take over what people wrote into policy files: their rules go into the extra file, and the
    /// rest of their edits is given up
    #[arg(long)]
    pub adopt: bool,
    /// Show what would be rewritten if Harbor had landed or not; writes nothing
    #[arg(long, value_enum, value_name = "WHICH")]
    pub harbor: Option<Flip>,
    /// Take the facts of clusters from this file instead of asking them
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
    /// Write the facts that were read to this file
    #[arg(long, value_name = "FILE")]
    pub save_facts: Option<PathBuf>,
    /// Ask no cluster: facts only from --facts, and nothing flagged is opened
    #[arg(long)]
    pub offline: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for clusters and the state cluster
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = args::duration)]
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flip {
    Landed,
    NotLanded,
}

/// What was told by clusters, or by nobody.
#[derive(Default)]
pub(super) struct Told {
    pub facts: BTreeMap<ClusterName, Facts>,
    pub uids: BTreeMap<ClusterName, Text>,
    /// `None`: not known.
    pub reviews: Option<Vec<Kept<Review>>>,
    pub now: Option<Timestamp>,
    pub troubles: Vec<Trouble>,
}

/// What a run works with.
pub(super) struct Run<'a> {
    pub args: &'a Author,
    pub place: Place,
    pub fleet: FleetFile,
    pub rules: Rules,
    pub told: Told,
    pub namespaces: BTreeMap<NsName, Meant>,
}

/// What a namespace showed, by cluster, with what it means.
pub(super) type Meant = BTreeMap<ClusterName, Part>;

pub(super) struct Part {
    pub seen: Seen,
    pub destinations: Vec<Destination>,
    pub flagged: Vec<Flagged>,
}

/// Without any cluster.
pub fn offline(global: &Global, args: &Author, printer: &mut Printer<'_>) -> Exit {
    match begin(global) {
        Ok((place, workspace)) => finish(args, place, workspace, Told::default(), printer),
        Err(stopped) => {
            stopped.troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
            stopped.exit
        }
    }
}

/// With what the clusters and the state cluster say.
pub async fn run(global: &Global, args: &Author, printer: &mut Printer<'_>) -> Result<Exit, NoStart> {
    let (place, workspace) = begin(global)?;
    let told = author_live::ask(global, args, &workspace.fleet).await?;
    Ok(finish(args, place, workspace, told, printer))
}

fn begin(global: &Global) -> Result<(Place, Workspace), NoStart> {
    let usage = |trouble| NoStart { exit: Exit::Usage, troubles: vec![trouble] };
    let Some(place) = session::place(global).map_err(usage)? else {
        let next = "Change into the folder that holds sluice.yaml, or name it with --workspace.";
        return Err(usage(Trouble::new("sluice.yaml", "there is no workspace to write into", next)));
    };
    let read = root::read(&place);
    let workspace = read.map_err(|troubles| NoStart { exit: Exit::Failed, troubles })?;
    Ok((place, workspace))
}

fn finish(
    args: &Author,
    place: Place,
    workspace: Workspace,
    mut told: Told,
    printer: &mut Printer<'_>,
) -> Exit {
    if let Err(trouble) = from_file(args, &mut told) {
        printer.say(&format!("{trouble}\n"));
        return Exit::Failed;
    }
    if args.harbor.is_some() && workspace.fleet.settings.author.harbor.is_empty() {
        let next = "Write author.harbor with its names and networks, and `landed: false` until it has.";
        printer.say(&format!("{}\n", Trouble::new("sluice.yaml", "it does not say where Harbor is", next)));
        return Exit::Usage;
    }
    let (rules, troubles) = workspace::rules_of(&workspace.fleet, Some(&place.root));
    let (namespaces, bad) = meant(&place, &workspace.fleet, &rules);
    for trouble in told.troubles.iter().chain(&troubles).chain(&bad) {
        printer.say(&format!("{trouble}\n"));
    }
    let is_whole = bad.is_empty() && told.troubles.is_empty();
    let run = Run { args, place, fleet: workspace.fleet, rules, told, namespaces };
    let targets = targets(&run);
    let rows: Vec<Row> = targets.iter().map(|target| author_write::row(&run, target)).collect();
    print(args, &rows, printer);
    exit(&rows, is_whole)
}

fn print(args: &Author, rows: &[Row], printer: &mut Printer<'_>) {
    match args.output {
        Format::Json => printer.out(&document::json(rows)),
        Format::Text => {
            rows.iter().for_each(|row| printer.out(&document::text(row)));
            printer.out(&document::summary(rows));
            let changed = rows.iter().filter(|row| !row.change.is_nothing()).count();
            if let Some(flip) = args.harbor {
                let word = match flip {
                    Flip::Landed => "landed",
                    Flip::NotLanded => "not landed",
                };
                printer.out(&format!(
                    "With Harbor {word}, {} would be rewritten; each that is in soak or steady would soak anew. Set \
                     author.harbor in sluice.yaml to do it.\n",
                    plural(changed, "rollout")
                ));
            }
        }
    }
}

/// The worst of the rows; in part where something of the input was not read.
fn exit(rows: &[Row], is_whole: bool) -> Exit {
    if rows.is_empty() {
        return Exit::Failed;
    }
    let each = rows.iter().map(|row| match row.result {
        Outcome::Written | Outcome::Shown | Outcome::Unchanged => Exit::Done,
        Outcome::Refused => Exit::Refused,
        Outcome::Failed => Exit::Failed,
    });
    let lacks = rows.iter().any(|row| row.draft.as_ref().is_some_and(|draft| !draft.missing.is_empty()));
    match Exit::all(each) {
        Exit::Done if lacks || !is_whole => Exit::Partial,
        exit => exit,
    }
}

fn from_file(args: &Author, told: &mut Told) -> Result<(), Trouble> {
    if let Some(path) = &args.facts {
        let shown = Text::new(&path.to_string_lossy()).to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            Trouble::new(&shown, &format!("cannot be read ({error})"), "Correct the path or its rights.")
        })?;
        told.facts.extend(facts::parse(&shown, &text)?);
    }
    if let Some(path) = &args.save_facts {
        fs::write(path, facts::to_text(&told.facts)).map_err(|error| {
            let shown = path.to_string_lossy();
            Trouble::new(
                &shown,
                &format!("could not be written ({error})"),
                "Correct the path or its rights.",
            )
        })?;
    }
    Ok(())
}

/// What the workspace's evidence means. What one namespace means depends on what all others do.
fn meant(place: &Place, fleet: &FleetFile, rules: &Rules) -> (BTreeMap<NsName, Meant>, Vec<Trouble>) {
    let (mut all, mut troubles) = (Vec::new(), Vec::new());
    let mut everywhere = Everywhere::default();
    for ns in discovery::namespaces(&place.root) {
        match evidence::parts(&place.root, &ns) {
            Ok(parts) => {
                for (cluster, seen) in &parts {
                    everywhere.note(cluster, seen.edges.iter().map(|(key, edge)| (key, edge)));
                }
                all.push((ns, parts));
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    let part = |(cluster, seen): (ClusterName, Seen)| {
        let edges = || seen.edges.iter().map(|(key, edge)| (key, edge));
        let destinations = assemble(edges(), rules, &everywhere, seen.window);
        let flagged = flagged(edges(), &destinations, rules);
        (cluster, Part { seen, destinations, flagged })
    };
    let ours = |(cluster, _): &(ClusterName, Seen)| fleet.clusters.iter().any(|entry| entry.name == *cluster);
    let namespaces =
        all.into_iter().map(|(ns, parts)| (ns, parts.into_iter().filter(ours).map(part).collect()));
    (namespaces.collect(), troubles)
}

/// The rollouts that are meant, by cluster, namespace and direction; those without evidence too, where
/// they were named.
fn targets(run: &Run<'_>) -> BTreeSet<Target> {
    let directions =
        Direction::ALL.into_iter().filter(|it| run.args.direction.is_none_or(|only| only == *it));
    let directions: Vec<_> = directions.collect();
    let mut out = BTreeSet::new();
    let mut add = |cluster: &ClusterName, ns: &NsName| {
        out.extend(directions.iter().map(|direction| Target {
            cluster: cluster.clone(),
            ns: ns.clone(),
            direction: *direction,
        }));
    };
    for entry in &run.fleet.clusters {
        if run.args.all {
            let seen = run.namespaces.iter().filter(|(_, meant)| meant.contains_key(&entry.name));
            let wanted = seen.filter(|(ns, _)| !run.fleet.excludes(ns));
            wanted.for_each(|(ns, _)| add(&entry.name, ns));
        } else {
            // Of several clusters only those in which the namespace showed something.
            let is_alone = run.fleet.clusters.len() == 1;
            let has =
                |ns: &NsName| run.namespaces.get(ns).is_some_and(|meant| meant.contains_key(&entry.name));
            run.args.namespaces.iter().filter(|ns| is_alone || has(ns)).for_each(|ns| add(&entry.name, ns));
        }
    }
    out
}
