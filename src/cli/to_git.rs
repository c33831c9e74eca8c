//! `sluice apply --to-git DIR`: for namespaces that a tool runs from git. Writes the files of the next
//! safe commit and says what to do; the cluster is not touched, and the soak starts when the watch
//! sees the objects, whoever applied them.

use std::path::Path;

use serde_json::Value;

use crate::{
    cockpit::{
        orders::{OrderId, Preview},
        ports::Trouble,
        world::World,
    },
    domain::{
        policy::Pinned,
        valve::{self, Step, shell_word},
    },
    manifest, workspace,
};

/// Writes the next commit of each previewed row. Answers what to print.
pub fn write(world: &World, previews: &[OrderId], folder: &Path) -> Result<String, Vec<Trouble>> {
    let (mut out, mut troubles) = (String::new(), Vec::new());
    for preview in previews.iter().filter_map(|id| world.orders().preview(*id)) {
        let into = folder.join(preview.target.cluster.as_str()).join(preview.target.ns.as_str());
        match row(preview, &into) {
            Ok(said) => out.push_str(&said),
            Err(trouble) => troubles.push(trouble),
        }
    }
    if troubles.is_empty() { Ok(out) } else { Err(troubles) }
}

fn row(preview: &Preview, folder: &Path) -> Result<String, Trouble> {
    let target = &preview.target;
    let steps = valve::commit_steps(&preview.live, &preview.set, target.direction);
    if steps.is_empty() {
        return Ok(format!("{target}: what is live is what the workspace wants; nothing to commit.\n"));
    }
    let shown = shell_word(&folder.to_string_lossy());
    let mut out = format!("{target}: the next commit, written to {shown}\n");
    for step in &steps {
        let pinned = step.pinned();
        let path = folder.join(pinned.file_name());
        match content(preview, step) {
            Some(text) => workspace::discovery::write(folder, &path, &text)?,
            None => remove(&path)?,
        }
        out.push_str(&format!("  {} {}\n", step.verb(), pinned.file_name()));
    }
    let is_last = matches!(steps.last(), Some(Step::Tighten(_)))
        || steps.iter().all(|step| matches!(step, Step::Put(_) | Step::Delete(_))) && is_closed(preview);
    out.push_str(&format!(
        "  git -C {shown} add --all . && git -C {shown} commit -m {}\n",
        shell_word(&format!("{target}: {}", words(&steps)))
    ));
    out.push_str(if is_last {
        "  This is the last commit: the soak starts when the cluster shows the objects.\n"
    } else {
        "  When the tool has synced it, run the same command again for the next commit.\n"
    });
    Ok(out)
}

fn is_closed(preview: &Preview) -> bool {
    let direction = preview.target.direction;
    let valve = preview.live.get(Pinned::valve(direction).name);
    valve.is_some_and(|valve| !valve.is_open(direction))
}

fn words(steps: &[Step]) -> &'static str {
    match steps.first() {
        Some(Step::Open(_)) => "open the valve before the allows",
        Some(Step::Tighten(_)) => "close the valve",
        Some(Step::Widen(_)) => "widen before narrowing",
        Some(Step::Put(_) | Step::Delete(_) | Step::Stage(_) | Step::Unstage(_)) | None => "the allows",
    }
}

/// The file of a step as YAML; `None`: it is to be gone.
fn content(preview: &Preview, step: &Step) -> Option<String> {
    let (pinned, ns) = (step.pinned(), &preview.target.ns);
    let manifest: Option<Value> =
        preview.manifests.get(pinned.name).and_then(|sent| serde_json::from_str(&sent.to_string()).ok());
    let value = match step {
        Step::Open(_) => manifest::opened(pinned, ns, manifest.as_ref()),
        Step::Put(_) | Step::Tighten(_) => manifest?,
        Step::Widen(_) => {
            let (live, wanted) = (preview.live.get(pinned.name)?, preview.set.get(pinned.name)?);
            let rules = valve::widened(live, wanted, pinned.direction);
            manifest::with_rules(&manifest?, pinned.direction, &rules)
        }
        Step::Delete(_) | Step::Stage(_) | Step::Unstage(_) => return None,
    };
    Some(manifest::yaml(&value))
}

fn remove(path: &Path) -> Result<(), Trouble> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Trouble::new(
            &path.to_string_lossy(),
            &format!("could not be removed ({error})"),
            "Remove it by hand, then commit.",
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}
