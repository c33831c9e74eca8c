//! Finds the workspace and reads it: `sluice.yaml` in a given folder, or upwards from the current
//! one. Without one, the contexts of the kubeconfig stand in for the fleet: then nothing can be
//! applied, and rollback works.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    fleet_file::{self, Parsed},
    policy_files,
};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, PolicyFiles},
        ports::Trouble,
    },
    domain::{
        fleet::Environment,
        names::{ClusterName, Text},
    },
};

/// Name of the fleet file.
pub const FILE: &str = "sluice.yaml";

/// Largest `sluice.yaml` that is read.
const FILE_LIMIT: u64 = 4 << 20;

/// Everything that the workspace says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workspace {
    pub fleet: FleetFile,
    pub files: PolicyFiles,
    pub notices: Vec<Trouble>,
}

/// The root of the workspace. A folder that was asked for must hold a `sluice.yaml`; else it is
/// looked for from `current` upwards, and there may be none.
pub fn find(asked: Option<&Path>, current: &Path) -> Result<Option<PathBuf>, Trouble> {
    if let Some(root) = asked {
        if root.join(FILE).is_file() {
            return Ok(Some(root.to_owned()));
        }
        return Err(Trouble::new(
            &root.to_string_lossy(),
            "there is no sluice.yaml in this folder",
            "Name the folder that holds it, or leave --workspace out to use the kubeconfig's contexts.",
        ));
    }
    Ok(current.ancestors().find(|folder| folder.join(FILE).is_file()).map(Path::to_owned))
}

/// A workspace, and the clusters of it that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub root: PathBuf,
    /// Contexts or names of clusters; empty: all.
    pub only: Vec<String>,
}

/// Reads a workspace. The error holds everything that is wrong with `sluice.yaml`; what is wrong
/// with policy files is among the notices.
pub fn read(place: &Place) -> Result<Workspace, Vec<Trouble>> {
    let mut workspace = read_fleet_of(place)?;
    let (files, troubles) = read_files(place, &workspace.fleet);
    workspace.files = files;
    workspace.notices.extend(troubles);
    Ok(workspace)
}

/// The same without the policy files, of which there may be a hundred thousand: they are pending.
pub fn read_fleet_of(place: &Place) -> Result<Workspace, Vec<Trouble>> {
    let root = place.root.as_path();
    let Parsed { mut fleet, notices } = read_fleet(root)?;
    for relay in fleet.clusters.iter_mut().filter_map(|entry| entry.relay.as_mut()) {
        for file in relay.files_mut() {
            *file = Text::new(&root.join(file.as_str()).to_string_lossy());
        }
    }
    subset(&mut fleet, &place.only).map_err(|unknown| vec![unknown])?;
    let files = PolicyFiles { pending: true, ..PolicyFiles::default() };
    Ok(Workspace { fleet, files, notices })
}

/// The policy files alone, of all clusters of the fleet that was read, and what is wrong with them.
pub fn read_files(place: &Place, fleet: &FleetFile) -> (PolicyFiles, Vec<Trouble>) {
    let mut whole = fleet.clone();
    whole.clusters.append(&mut whole.beside);
    policy_files::read(&place.root, &whole)
}

/// `sluice.yaml` alone.
pub(super) fn read_fleet(root: &Path) -> Result<Parsed, Vec<Trouble>> {
    let path = root.join(FILE);
    let shown = path.to_string_lossy();
    let text = read_limited(&path).map_err(|error| {
        vec![Trouble::new(&shown, &format!("cannot be read ({error})"), "Correct the file or its rights.")]
    })?;
    fleet_file::parse(&shown, &text)
}

fn read_limited(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > FILE_LIMIT {
        return Err(io::Error::other(format!("it has {length} bytes, the limit is {FILE_LIMIT}")));
    }
    fs::read_to_string(path)
}

/// The fleet where there is no `sluice.yaml`: one cluster a context, called like it. Contexts whose
/// name cannot be shown are left out and told.
pub fn stand_in<'c>(contexts: impl IntoIterator<Item = &'c str>) -> Workspace {
    let mut workspace = Workspace::default();
    for context in contexts {
        match ClusterName::parse(context) {
            Ok(name) => workspace.fleet.clusters.push(ClusterEntry {
                name,
                context: Text::new(context),
                environment: Environment::Unknown,
                relay: None,
                flows: Default::default(),
                collector: None,
            }),
            Err(bad) => workspace.notices.push(Trouble::new(
                "kubeconfig",
                &bad.to_string(),
                "Rename the context, or give the cluster a name in sluice.yaml.",
            )),
        }
    }
    workspace
}

/// Only these contexts or cluster names, in the order of the fleet. The error names the unknown
/// ones and says what there is.
pub fn subset(fleet: &mut FleetFile, wanted: &[String]) -> Result<(), Trouble> {
    if wanted.is_empty() {
        return Ok(());
    }
    let names =
        |entry: &ClusterEntry, word: &String| entry.context.as_str() == word || entry.name.as_str() == word;
    let unknown: Vec<_> = wanted
        .iter()
        .filter(|word| !fleet.clusters.iter().any(|entry| names(entry, word)))
        .map(|word| format!("{:?}", Text::new(word)))
        .collect();
    if unknown.is_empty() {
        let all = std::mem::take(&mut fleet.clusters);
        (fleet.clusters, fleet.beside) =
            all.into_iter().partition(|entry| wanted.iter().any(|word| names(entry, word)));
        return Ok(());
    }
    let known: Vec<_> = fleet.clusters.iter().map(|entry| entry.context.to_string()).collect();
    let next = if known.is_empty() {
        "The kubeconfig has no contexts: name another one with --kubeconfig.".to_owned()
    } else {
        format!("Known contexts: {}.", known.join(", "))
    };
    let fact = format!("there is no context or cluster {}", unknown.join(" and no "));
    Err(Trouble::new("--context", &fact, &next))
}
