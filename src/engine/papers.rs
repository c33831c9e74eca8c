//! Discovery documents of the workspace, read and drawn whole: what people wrote is kept, and what
//! would lose something of theirs is refused with the reason. For the command line and for the monthly
//! review in the cockpit.

use std::{collections::BTreeMap, path::Path};

use chrono::NaiveDate;

use crate::{
    cockpit::{
        monthly::{DocumentFile, Stamp},
        ports::Trouble,
    },
    documents::{
        discovery::{
            companion::{self, Companion},
            markdown,
            page::{self, Shown},
        },
        notes::{self, Broken, Kind, Notes, Old},
    },
    domain::{
        discovery::{Everywhere, Rules},
        names::{NsName, Text},
        time::Timestamp,
    },
    workspace::discovery::{self, Files},
};

/// With what a document is drawn beside its evidence.
#[derive(Clone, Copy, Debug)]
pub struct Drawn<'d> {
    pub notes: &'d Notes,
    /// The due date that it had before.
    pub due: Option<NaiveDate>,
    pub generated: Timestamp,
}

/// Document and companion.
pub fn texts(
    rules: &Rules,
    companion: &Companion,
    drawn: Drawn<'_>,
    everywhere: &Everywhere,
) -> (String, String) {
    let page = |(cluster, part)| page::of(cluster, &companion.ns, part, rules, everywhere, Shown::Passed);
    let pages: Vec<_> = companion.parts.iter().map(page).collect();
    let document = markdown::text(&markdown::Document {
        ns: &companion.ns,
        pages: &pages,
        notes: drawn.notes,
        due: drawn.due,
        generated: drawn.generated,
    });
    (document, companion::to_text(companion))
}

/// What every document of the workspace says of itself.
/// Reviews of days after this one do not count.
pub fn files(root: &Path, today: NaiveDate) -> Vec<DocumentFile> {
    discovery::documented(root).into_iter().map(|ns| file(root, ns, today)).collect()
}

fn file(root: &Path, ns: NsName, today: NaiveDate) -> DocumentFile {
    let path = discovery::document_path(root, &ns);
    let shown = discovery::shown(root, &path);
    let beside = discovery::companion_path(root, &ns);
    let missing = |shown: &str| Text::from(format!("{shown} is not there"));
    let said = |trouble: Trouble| Text::from(trouble.to_string());
    let read = discovery::read_text(root, &path);
    let is_written = !matches!(read, Ok(None));
    let stamp = match read {
        Err(trouble) => Err(said(trouble)),
        Ok(None) => Err(missing(&shown)),
        Ok(Some(text)) => notes::read(Kind::Discovery, &text)
            .map(|old| stamp(&old, today))
            .map_err(|bad| Text::from(format!("{shown}: {bad}"))),
    };
    let parts = match discovery::first_line(root, &beside) {
        Err(trouble) => Err(said(trouble)),
        Ok(None) => Err(missing(&discovery::shown(root, &beside))),
        Ok(Some(first)) => companion::taken(&ns, first.trim_end())
            .map_err(|bad| Text::from(format!("{}: {bad}", discovery::shown(root, &beside)))),
    };
    DocumentFile { ns, path: Text::from(shown), is_written, stamp, parts }
}

fn stamp(old: &Old, today: NaiveDate) -> Stamp {
    Stamp {
        generated: old.generated,
        due: old.due,
        reviewed: notes::reviewed(&old.notes, today),
        is_edited: old.is_edited,
    }
}

/// What people wrote, if nothing else was edited.
pub fn kept(kind: Kind, text: Option<&str>, shown: &str, is_forced: bool) -> Result<Option<Old>, Trouble> {
    let Some(text) = text else { return Ok(None) };
    let old = notes::read(kind, text).map_err(|bad| {
        let next = match &bad {
            Broken::NotOurs => "Move the file away, or bring its first line back from version control.",
            Broken::Form(_) => "Use the version of sluice that wrote it, or move the file away.",
            Broken::Marker { .. } => {
                "Bring the marker back as it was; nothing is written until then, also with --force."
            }
        };
        Trouble::new(shown, &bad.to_string(), next)
    })?;
    if old.is_edited && !is_forced {
        let fact = "it was edited outside its notes, and writing it again would lose that";
        let next = "Move what you wrote between the lines `notes` and `end of notes`, or give it up with \
                    --force.";
        return Err(Trouble::new(shown, fact, next));
    }
    Ok(Some(old))
}

/// What is kept of all clusters.
pub fn companion_of(files: &Files, shown: &str, ns: &NsName, is_forced: bool) -> Result<Companion, Trouble> {
    let fresh = || Companion { ns: ns.clone(), parts: BTreeMap::new() };
    let refuse = |fact: String| {
        let next = "Bring it back from version control, or give what it held of other clusters up with \
                    --force.";
        Trouble::new(shown, &fact, next)
    };
    let Some(text) = &files.companion else {
        return match files.document.is_some() && !is_forced {
            true => Err(refuse("it is not there, and the document beside it is".to_owned())),
            false => Ok(fresh()),
        };
    };
    match companion::from_text(text) {
        Ok((companion, _)) if companion.ns != *ns && !is_forced => {
            Err(refuse(format!("it is of namespace {}", companion.ns)))
        }
        Ok((companion, bad)) if (bad.is_empty() || is_forced) && companion.ns == *ns => Ok(companion),
        Ok((_, bad)) if !is_forced => Err(refuse(bad.first().map(ToString::to_string).unwrap_or_default())),
        Err(bad) if !is_forced => Err(refuse(bad.to_string())),
        Ok(_) | Err(_) => Ok(fresh()),
    }
}
