//! `sluice predict`: what the workspace's policies of a namespace would have denied in the recorded week,
//! were they applied now. Reads the policy files, the discovery companion, and the live cluster or
//! manifests. Changes nothing.

use std::path::PathBuf;

use clap::Args;

use super::{
    args::{Format, Global, direction, namespace},
    exit::Exit,
    explain::{self, complain},
    print::Printer,
    run::with_runtime,
    session::{self, NoStart},
};
use crate::{
    cockpit::{
        plan::{Authored, ClusterEntry},
        ports::Trouble,
    },
    documents::{
        discovery::companion::{self, Part},
        predict::{self, Shown},
    },
    domain::{
        eval::{cluster::Cluster, plugin::Plugin, verdict::Verdict},
        flow::Direction,
        names::NsName,
        predict::{
            families,
            replay::{self, Recorded, Wanted},
        },
    },
    k8s::snapshot::Need,
    manifest::cluster::Gathering,
    workspace::{
        discovery, manifests,
        root::{self, Place, Workspace},
    },
};

pub const HELP: &str = "\
Reads network-policies/CLUSTER/NAMESPACE/ (what would be applied), the edges beside the discovery
document (network-policies/discovery/NAMESPACE.edges.jsonl, by `sluice discover --write`), and what
is live: the cluster itself, or --manifests.

Beside what was recorded, every check of what is easily forgotten is told by its name: DNS,
webhooks, token addresses, meshes, dead selectors and more. Those that block count for the exit
code.

Exit codes: 0 nothing recorded would be denied, 3 something would, or a check that blocks fails,
4 that is unknown (every reason is printed), 2 usage, 1 something could not be read.";

#[derive(Clone, Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Predict {
    /// The namespace
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: NsName,
    /// Only this direction; left out: every one that the workspace has policies of
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    /// Files, and folders of files, that hold what is live, instead of the cluster itself
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub manifests: Vec<PathBuf>,
    /// The network plugin; left out: the one of the live cluster, or for manifests what the API says
    #[arg(long, value_name = "NAME", value_parser = explain::plugin)]
    pub cni: Option<Plugin>,
    /// How to print; json: one object a direction, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Everything but the cluster.
struct Given {
    entry: ClusterEntry,
    wanted: Vec<(Direction, Authored)>,
    part: Part,
}

pub fn main(global: &Global, args: &Predict, printer: &mut Printer<'_>) -> Exit {
    let given = match given(global, args) {
        Ok(given) => given,
        Err(stopped) => {
            stopped.troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
            return stopped.exit;
        }
    };
    if args.manifests.is_empty() {
        return with_runtime(printer, async |printer| {
            let cluster = explain::look(global, args.cni, Need::Checks, printer).await?;
            Ok(print(args, &given, &cluster, printer))
        });
    }
    let mut gathering = Gathering::new(args.cni.unwrap_or(Plugin::Reference).traits());
    let read = manifests::read(&args.manifests, &mut gathering);
    let (cluster, complaints) = gathering.done();
    complain(&complaints, printer);
    if let Err(troubles) = read {
        troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
        return Exit::Failed;
    }
    print(args, &given, &cluster, printer)
}

fn given(global: &Global, args: &Predict) -> Result<Given, NoStart> {
    let usage = |trouble| NoStart { exit: Exit::Usage, troubles: vec![trouble] };
    let failed = |trouble| NoStart { exit: Exit::Failed, troubles: vec![trouble] };
    let Some(place) = session::place(global).map_err(usage)? else {
        let next = "Run it there, or name it with --workspace.";
        return Err(usage(Trouble::new("--workspace", "no folder with a sluice.yaml was found", next)));
    };
    let workspace = workspace(&place, global)?;
    let [entry] = workspace.fleet.clusters.as_slice() else {
        let fact = format!("{} clusters are meant", workspace.fleet.clusters.len());
        return Err(usage(Trouble::new("--cluster", &fact, "Name one with --cluster.")));
    };
    let wanted = wanted(&workspace, entry, args)?;
    let path = discovery::companion_path(&place.root, &args.namespace);
    let shown = discovery::shown(&place.root, &path);
    let files = discovery::read(&place.root, &args.namespace).map_err(failed)?;
    let record =
        format!("Write it with `sluice discover --cluster {} -n {} --write`.", entry.name, args.namespace);
    let Some(text) = files.companion else {
        return Err(failed(Trouble::new(&shown, "it is not there, so nothing recorded is known", &record)));
    };
    let correct = "Correct it, or write it anew with `sluice discover --write`.";
    let bad_line =
        |bad: companion::BadLine| Trouble::new(&format!("{shown}:{}", bad.line), &bad.why, correct);
    let (mut companion, bad) = companion::from_text(&text).map_err(|bad| failed(bad_line(bad)))?;
    if !bad.is_empty() {
        let troubles = bad.into_iter().map(bad_line).collect();
        return Err(NoStart { exit: Exit::Failed, troubles });
    }
    let Some(part) = companion.parts.remove(&entry.name) else {
        let fact = format!("it holds nothing of cluster {}", entry.name);
        return Err(failed(Trouble::new(&shown, &fact, &record)));
    };
    Ok(Given { entry: entry.clone(), wanted, part })
}

fn workspace(place: &Place, global: &Global) -> Result<Workspace, NoStart> {
    root::read(place).map_err(|errors| session::usage_if_context(errors, global))
}

/// The files of each direction; one that is wrong ends the command, for it would not be applied either.
fn wanted(
    workspace: &Workspace,
    entry: &ClusterEntry,
    args: &Predict,
) -> Result<Vec<(Direction, Authored)>, NoStart> {
    let asked = Direction::ALL.into_iter().filter(|one| args.direction.is_none_or(|only| only == *one));
    let mut out = Vec::new();
    let mut troubles = Vec::new();
    for direction in asked {
        let key = (entry.name.clone(), args.namespace.clone(), direction);
        let Some(authored) = workspace.files.sets.get(&key) else { continue };
        let is_here =
            |trouble: &&Trouble| authored.complaints.iter().any(|said| said.as_str() == trouble.to_string());
        troubles.extend(workspace.notices.iter().filter(is_here).cloned());
        if !authored.set.is_empty() {
            out.push((direction, authored.clone()));
        }
    }
    if troubles.is_empty() && out.is_empty() {
        let folder = format!("network-policies/{}/{}", entry.name, args.namespace);
        let next = "Write the policies first, or name another namespace or direction.";
        troubles.push(Trouble::new(&folder, "it holds no policies to predict for", next));
    }
    if troubles.is_empty() { Ok(out) } else { Err(NoStart { exit: Exit::Failed, troubles }) }
}

fn print(args: &Predict, given: &Given, cluster: &Cluster, printer: &mut Printer<'_>) -> Exit {
    let mut worst = Verdict::Allowed;
    for (direction, authored) in &given.wanted {
        let wanted = Wanted { ns: &args.namespace, direction: *direction, set: &authored.set };
        let recorded = Recorded {
            window: given.part.window,
            edges: &given.part.edges,
            doubts: predict::doubts(&given.part, *direction),
        };
        let mut prediction = replay::predict(cluster, wanted, recorded);
        families::retain_running(&cluster.pods, &mut prediction.turned);
        let shown = Shown {
            cluster: given.entry.name.clone(),
            closing: families::closing(&cluster.pods, &prediction.turned),
            prediction,
            uncovered: predict::uncovered(&given.part),
        };
        printer.out(&match args.output {
            Format::Text => predict::text(&shown),
            Format::Json => predict::json(&shown),
        });
        worst = match (worst, shown.prediction.verdict()) {
            (Verdict::Denied, _) | (_, Verdict::Denied) => Verdict::Denied,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
            (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
        };
    }
    match worst {
        Verdict::Allowed => Exit::Done,
        Verdict::Denied => Exit::Refused,
        Verdict::Unknown => Exit::Partial,
    }
}
