//! The discovery documents of the demo's workspace: written in the background from the evidence that
//! the simulation left beside them, by the product's own code. Nothing waits for them.

use std::path::Path;

use crate::{
    cockpit::ports::Trouble,
    documents::{
        discovery::{
            companion,
            markdown::{self, Document},
            page::{self, Shown},
        },
        notes::Notes,
    },
    domain::{
        discovery::{Everywhere, Rules},
        names::NsName,
    },
    workspace::{discovery, root::Place, rules},
};

/// Writes them all; what cannot be is logged, and the others are still written.
pub fn write(root: &Path) {
    let (rules, _) = rules(Some(&Place { root: root.to_owned(), only: Vec::new() }));
    let namespaces = discovery::namespaces(root);
    let mut all = Vec::new();
    let mut everywhere = Everywhere::default();
    for ns in namespaces {
        let text = discovery::read(root, &ns).ok().and_then(|files| files.companion);
        let Some((found, _)) = text.and_then(|text| companion::from_text(&text).ok()) else { continue };
        for (cluster, part) in &found.parts {
            everywhere.note(cluster, part.edges.iter().map(|(key, edge)| (key, edge)));
        }
        all.push((ns, found));
    }
    for (ns, found) in all {
        if let Err(trouble) = write_one(root, &ns, &found, (&rules, &everywhere)) {
            tracing::warn!(%trouble, "a document of the demo is missing");
        }
    }
}

fn write_one(
    root: &Path,
    ns: &NsName,
    found: &companion::Companion,
    (rules, everywhere): (&Rules, &Everywhere),
) -> Result<(), Trouble> {
    let pages: Vec<_> = found
        .parts
        .iter()
        .map(|(cluster, part)| page::of(cluster, ns, part, rules, everywhere, Shown::Passed))
        .collect();
    let generated = found.parts.values().map(|part| part.generated).max().unwrap_or_default();
    let text = markdown::text(&Document { ns, pages: &pages, notes: &Notes::new(), due: None, generated });
    discovery::write(root, &discovery::document_path(root, ns), &text)
}
