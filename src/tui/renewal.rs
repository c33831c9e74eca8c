//! The confirmation of writing a discovery document anew: which files, what of them changes, whose
//! review it is, how to take it back. No cluster is touched from here.

use crate::{
    cockpit::{
        monthly::{self, Prepared},
        world::World,
    },
    domain::{
        names::{NsName, plural},
        valve::shell_word,
    },
};

use super::{
    dialog::{BodyLine, Scrolled, body},
    theme::Role,
};

/// What lies over the page.
#[derive(Clone, Debug)]
pub struct RenewDialog {
    pub title: String,
    pub ns: NsName,
    pub body: Scrolled,
    /// Whose review it would be; `None`: nobody knows who we are.
    pub reviewer: Option<String>,
}

impl RenewDialog {
    /// `None`: nothing was compared that could be written.
    pub fn open(world: &World, ns: &NsName) -> Option<Self> {
        let compared = monthly::ready(world.discoveries(), ns)?;
        let prepared = compared.prepared.as_ref().ok()?;
        let mut lines = vec![body(Role::Text, format!("what changed: {}", compared.summary()))];
        for part in &compared.parts {
            lines.push(match &part.now {
                Ok(newer) => body(
                    Role::Text,
                    format!(
                        "  {}: from its collector, {}",
                        part.cluster,
                        plural(newer.destinations, "destination")
                    ),
                ),
                Err(why) => body(Role::Unknown, format!("  {}: stays as it is: {why}", part.cluster)),
            });
        }
        lines.extend(files(prepared));
        let reviewer = prepared.reviewed.as_ref().map(|(by, _)| by.to_string());
        let title = format!("write the document of {ns} anew");
        Some(Self { title, ns: ns.clone(), body: Scrolled::new(lines), reviewer })
    }
}

fn files(prepared: &Prepared) -> Vec<BodyLine> {
    let [document, edges] = &prepared.was;
    let size = |was: Option<&str>, now: &str| {
        let lines = |text: &str| plural(text.lines().count(), "line");
        match was {
            None => format!("{}, not there before", lines(now)),
            Some(was) if was == now => format!("{}, the same", lines(now)),
            Some(was) => format!("{}, {} before", lines(now), was.lines().count()),
        }
    };
    let file = |path: &str, size: String| body(Role::Added, format!("  {path}: {size}"));
    let reviewer = prepared
        .reviewed
        .as_ref()
        .map_or_else(String::new, |(by, _)| format!(" --reviewed-by {}", shell_word(by.as_str())));
    vec![
        body(Role::Title, "written, each whole or not at all"),
        file(prepared.beside.as_str(), size(edges.as_deref(), &prepared.edges)),
        file(prepared.path.as_str(), size(document.as_deref(), &prepared.document)),
        body(Role::Text, format!("  {} of yours kept", plural(prepared.notes, "note"))),
        body(Role::Title, "the same by hand, and the way back"),
        body(Role::Text, format!("  sluice documents {} --write{reviewer}", prepared.ns)),
        body(Role::Text, format!("  git checkout -- {}", prepared.beside)),
        body(Role::Text, format!("  git checkout -- {}", prepared.path)),
    ]
}
