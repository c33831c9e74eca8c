//! Discovery documents in the workspace: what is there is read, joined with what was found, and
//! written. Refuses where something that a person wrote would be lost; then that file stays as it is.

use super::{
    discover::{Discovered, Run},
    exit::Exit,
    print::Printer,
};
use crate::{
    cockpit::{plan::FleetFile, ports::Trouble},
    documents::{
        discovery::companion::{self, Companion, Part},
        notes::{Kind, Notes},
    },
    domain::{
        discovery::Everywhere,
        names::{ClusterName, NsName, plural},
        time::Timestamp,
    },
    engine::papers::{self, Drawn},
    workspace::{
        discovery::{self, Files},
        root::{self, Place},
    },
};

/// The cluster as `sluice.yaml` calls it. What is written must be of a cluster of the fleet.
pub(super) fn name_in(
    place: Option<&Place>,
    said: ClusterName,
    is_written: bool,
) -> Result<ClusterName, Trouble> {
    let Some(place) = place else {
        let next = "Change into the folder that holds sluice.yaml, or name it with --workspace.";
        let refusal = Trouble::new("--write", "there is no workspace to write into", next);
        return if is_written { Err(refusal) } else { Ok(said) };
    };
    let Ok(workspace) = root::read(place) else {
        let fact = "it cannot be read, so nothing is written";
        let refusal = Trouble::new("sluice.yaml", fact, "`sluice info` says what is wrong with it.");
        return if is_written { Err(refusal) } else { Ok(said) };
    };
    let known = workspace.fleet.clusters.iter();
    let mut named = known.filter(|entry| entry.name == said || entry.context.as_str() == said.as_str());
    match named.next() {
        Some(entry) => Ok(entry.name.clone()),
        None if !is_written => Ok(said),
        None => {
            let fact = format!("sluice.yaml has no cluster {said}");
            let names: Vec<_> = workspace.fleet.clusters.iter().map(|c| c.name.to_string()).collect();
            Err(Trouble::new("--cluster", &fact, &format!("Known: {}.", names.join(", "))))
        }
    }
}

/// Takes what the workspace holds of other clusters into the fleet's view. What cannot be read is told.
pub(super) fn note_others(place: &Place, ours: &ClusterName, everywhere: &mut Everywhere) -> Vec<String> {
    let mut said = Vec::new();
    for ns in discovery::namespaces(&place.root) {
        let text = match discovery::read(&place.root, &ns) {
            Ok(Files { companion: Some(text), .. }) => text,
            Ok(Files { companion: None, .. }) => continue,
            Err(trouble) => {
                said.push(trouble.to_string());
                continue;
            }
        };
        let Ok((companion, _)) = companion::from_text(&text) else { continue };
        for (cluster, part) in companion.parts.iter().filter(|(cluster, _)| *cluster != ours) {
            everywhere.note(cluster, part.edges.iter().map(|(key, edge)| (key, edge)));
        }
    }
    said
}

/// Writes the documents of all namespaces found; those of the fleet's excluded ones only if named.
pub(super) fn write(run: &Run<'_>, found: Discovered, exit: Exit, printer: &mut Printer<'_>) -> Exit {
    let Some(place) = &run.place else { return Exit::Failed };
    let fleet = root::read(place).map(|workspace| workspace.fleet).unwrap_or_default();
    let mut exits = Vec::new();
    let Discovered { parts, everywhere } = found;
    for (ns, part) in parts {
        if is_left_out(&fleet, run, &ns) {
            printer.say(&format!("{ns}: sluice.yaml leaves it out; -n {ns} writes it all the same\n"));
            continue;
        }
        match write_one(run, place, &ns, part, &everywhere) {
            Ok(said) => {
                printer.out(&said);
                exits.push(exit);
            }
            Err(trouble) => {
                printer.say(&format!("{trouble}\n"));
                exits.push(Exit::Failed);
            }
        }
    }
    if exits.is_empty() { exit } else { Exit::all(exits) }
}

fn is_left_out(fleet: &FleetFile, run: &Run<'_>, ns: &NsName) -> bool {
    fleet.excludes(ns) && !run.args.namespaces.contains(ns)
}

/// Both files of one namespace. Says what was done.
fn write_one(
    run: &Run<'_>,
    place: &Place,
    ns: &NsName,
    part: Part,
    everywhere: &Everywhere,
) -> Result<String, Trouble> {
    let path = discovery::document_path(&place.root, ns);
    let companion_path = discovery::companion_path(&place.root, ns);
    let shown = discovery::shown(&place.root, &path);
    let files = discovery::read(&place.root, ns)?;
    let old = papers::kept(Kind::Discovery, files.document.as_deref(), &shown, run.args.force)?;
    let beside = discovery::shown(&place.root, &companion_path);
    let mut companion = papers::companion_of(&files, &beside, ns, run.args.force)?;
    let before = companion.parts.insert(run.cluster.clone(), part);
    // The same evidence as before makes the same bytes: then only the times would differ.
    if let (Some(old), Some(before)) = (&old, before) {
        let mut same = companion.clone();
        if let Some(part) = same.parts.get_mut(&run.cluster) {
            part.generated = before.generated;
        }
        let before = Drawn { notes: &old.notes, due: Some(old.due), generated: old.generated };
        let texts = papers::texts(&run.rules, &same, before, everywhere);
        if files.document.as_ref() == Some(&texts.0) && files.companion.as_ref() == Some(&texts.1) {
            return Ok(format!("{shown}: nothing changed\n"));
        }
    }
    let none = Notes::new();
    let drawn = Drawn {
        notes: old.as_ref().map_or(&none, |old| &old.notes),
        due: old.as_ref().map(|old| old.due),
        generated: generated(&companion),
    };
    let (document, edges) = papers::texts(&run.rules, &companion, drawn, everywhere);
    discovery::write(&place.root, &companion_path, &edges)?;
    discovery::write(&place.root, &path, &document)?;
    let many = plural(edges.lines().count().saturating_sub(1), "edge");
    Ok(format!("{shown}: written, with {many} in {beside}\n"))
}

fn generated(companion: &Companion) -> Timestamp {
    companion.parts.values().map(|part| part.generated).max().unwrap_or_default()
}
