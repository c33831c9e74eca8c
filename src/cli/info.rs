//! `sluice info`: every path that is read or written, with what was found there. Changes nothing.

use std::path::PathBuf;

use directories::ProjectDirs;
use sha2::{Digest as _, Sha256};

use super::{args::Global, collect, preferences, session};
use crate::{
    documents::table::Table,
    workspace::{policy_files, root::Place},
};

/// Folder of the log files; `None` where there is no home.
pub fn log_folder() -> Option<PathBuf> {
    let dirs = ProjectDirs::from("", "", "sluice")?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned())
}

/// Where acts wait, below the folder of the log files.
const ACTS: &str = "acts";

/// Folder in which acts wait until the journal has them; `None` where there is no home. One for each
/// workspace (or kubeconfig, where there is none), so that acts never reach another fleet's journal.
pub fn records_folder(global: &Global, place: Option<&Place>) -> Option<PathBuf> {
    let fleet = place.map_or_else(|| kubeconfig_path(global), |place| shown(&place.root));
    let digest = Sha256::digest(fleet.as_bytes());
    let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Some(log_folder()?.join(ACTS).join(name))
}

pub fn text(global: &Global) -> String {
    let mut table = Table::new(&["WHAT", "PATH", "FOUND"]);
    let mut line = |what: &str, path: String, found: String| table.row([what.to_owned(), path, found]);
    let found = session::contexts(global.kubeconfig.as_deref())
        .map_or_else(|trouble| trouble.to_string(), |contexts| format!("{} contexts", contexts.all().len()));
    line("kubeconfig", kubeconfig_path(global), found);
    match session::place(global) {
        Ok(Some(place)) => {
            let found = crate::workspace::root::read(&place).map_or_else(
                |errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                |read| format!("{} clusters, {} notices", read.fleet.clusters.len(), read.notices.len()),
            );
            line("sluice.yaml", shown(&place.root.join(crate::workspace::root::FILE)), found);
            let folder = place.root.join(policy_files::FOLDER);
            line("policies", shown(&folder), if folder.is_dir() { "there" } else { "not there" }.to_owned());
        }
        Ok(None) => {
            line(
                "sluice.yaml",
                "-".to_owned(),
                "none here or above: kubeconfig contexts stand in".to_owned(),
            );
        }
        Err(trouble) => line("sluice.yaml", "-".to_owned(), trouble.to_string()),
    }
    let own = preferences::file();
    let found = match &own {
        None => "no home folder: keys, theme and views are as they ship".to_owned(),
        Some(path) if !path.is_file() => "not there: keys, theme and views are as they ship".to_owned(),
        Some(_) => match preferences::read().1 {
            troubles if troubles.is_empty() => "read".to_owned(),
            troubles => troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        },
    };
    line("preferences", own.as_deref().map_or("-".to_owned(), shown), found);
    let kept = log_folder().map(|folder| folder.join(preferences::KEYS));
    let found = kept.as_ref().map_or("no home folder: changed keys are not told", |path| {
        if path.is_file() { "there" } else { "made when the cockpit opens" }
    });
    line("keys of the last run", kept.as_deref().map_or("-".to_owned(), shown), found.to_owned());
    let data = collect::data_folder(None);
    let found = data.as_ref().map_or("no home folder: sluice collect needs --data", |folder| {
        if folder.is_dir() { "there" } else { "made by sluice collect" }
    });
    line("collected edges", data.as_deref().map_or("-".to_owned(), shown), found.to_owned());
    let acts = log_folder().map(|folder| folder.join(ACTS));
    let found = acts.as_ref().map_or("no home folder: acts wait in memory only", |folder| {
        if folder.is_dir() { "there" } else { "made when something is applied or rolled back" }
    });
    line("acts for the journal", acts.as_deref().map_or("-".to_owned(), shown), found.to_owned());
    let log = log_folder();
    let found = log.as_ref().map_or("no home folder: nothing is logged", |folder| {
        if folder.is_dir() { "there" } else { "made when something is logged" }
    });
    line("log", log.as_deref().map_or("-".to_owned(), shown), found.to_owned());
    format!("sluice {}\n{}", env!("CARGO_PKG_VERSION"), table.text(""))
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the environment and passes it on")]
fn kubeconfig_path(global: &Global) -> String {
    if let Some(path) = &global.kubeconfig {
        return shown(path);
    }
    match std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        Some(paths) => std::env::split_paths(&paths).map(|path| shown(&path)).collect::<Vec<_>>().join(", "),
        None => "~/.kube/config".to_owned(),
    }
}

fn shown(path: &std::path::Path) -> String {
    crate::domain::names::Text::new(&path.to_string_lossy()).to_string()
}
