//! The monthly review of discovery documents as text and JSON: which are due, and what changed since one
//! was written. From the rows of the screen (law 10); unknown is `null`, never fresh. Pure.

use serde::Serialize;

use super::{
    table::Table,
    wire::{pretty, time},
};
use crate::{
    cockpit::monthly::{self, Compared, ComparedPart, DocumentRow, Newer, Prepared, Reviewed},
    domain::{
        names::{Text, plural},
        renewal::{Changed, Cover, Difference},
        time::Timestamp,
    },
};

#[derive(Debug, Serialize)]
pub(super) struct DocumentOut {
    namespace: String,
    path: String,
    /// `vanished`, `due`, `unknown`, `new`, `current`.
    standing: &'static str,
    why: String,
    /// `null`: not known.
    due: Option<String>,
    reviewed: Option<ReviewedOut>,
    generated: Option<String>,
    clusters: Vec<PartOut>,
    owner: Option<String>,
    contact: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReviewedOut {
    day: String,
    by: Option<String>,
}

#[derive(Debug, Serialize)]
struct PartOut {
    cluster: String,
    /// When its evidence was taken.
    generated: String,
    /// `null`: whether the cluster has the namespace is not known.
    namespace_there: Option<bool>,
}

impl From<&DocumentRow> for DocumentOut {
    fn from(row: &DocumentRow) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
        let reviewed = |it: &Reviewed| ReviewedOut { day: it.day.to_string(), by: text(&it.by) };
        Self {
            namespace: row.ns.to_string(),
            path: row.path.to_string(),
            standing: row.standing.as_str(),
            why: row.words(),
            due: row.due.map(|day| day.to_string()),
            reviewed: row.reviewed.as_ref().map(reviewed),
            generated: row.generated.map(time),
            clusters: row
                .parts
                .iter()
                .map(|part| PartOut {
                    cluster: part.cluster.to_string(),
                    generated: time(part.generated),
                    namespace_there: part.is_there,
                })
                .collect(),
            owner: text(&row.owner),
            contact: text(&row.contact),
        }
    }
}

pub(super) fn out(rows: &[DocumentRow]) -> Vec<DocumentOut> {
    rows.iter().map(DocumentOut::from).collect()
}

/// `null`: the documents could not be read.
pub fn json(rows: Option<&[DocumentRow]>) -> String {
    pretty(&rows.map(out))
}

const UNKNOWN: &str = "Discovery documents are not known: they were not read.\n";

/// A line a document, what is open first.
pub fn text(rows: Option<&[DocumentRow]>, now: Timestamp) -> String {
    let Some(rows) = rows else { return UNKNOWN.to_owned() };
    if rows.is_empty() {
        return "No discovery document needs anybody.\n".to_owned();
    }
    let mut table = Table::new(&["DOCUMENT", "STANDING", "DUE", "CLUSTERS", "OWNER", "WHY"]);
    for row in rows {
        table.row([
            row.ns.to_string(),
            row.standing.as_str().to_owned(),
            monthly::due_words(row, now),
            row.parts.len().to_string(),
            row.owner.as_ref().map_or("-".to_owned(), ToString::to_string),
            row.words(),
        ]);
    }
    let open = rows.iter().filter(|row| row.standing.is_open()).count();
    format!(
        "{}\n{}, {open} of them open. `sluice documents NAMESPACE` says what changed since.\n",
        table.text(""),
        plural(rows.len(), "document")
    )
}

#[derive(Debug, Serialize)]
struct ComparedOut<'c> {
    namespace: String,
    at: String,
    summary: String,
    clusters: Vec<ComparedPartOut<'c>>,
    /// What would be written; `null`: nothing can be.
    would_write: Option<PreparedOut>,
    cannot_write: Option<String>,
    /// What was written, with `--write`.
    written: Option<String>,
    failed: Option<String>,
}

#[derive(Debug, Serialize)]
struct PreparedOut {
    document: String,
    companion: String,
    edges: usize,
    notes_kept: usize,
    /// In whose name it would be reviewed.
    reviewer: Option<String>,
}

#[derive(Debug, Serialize)]
struct ComparedPartOut<'c> {
    cluster: String,
    /// When the document's evidence was taken; `null`: it has none.
    document_taken: Option<String>,
    /// Why nothing newer is known, and the part stays as it is.
    not_read: Option<String>,
    from: Option<String>,
    to: Option<String>,
    destinations: Option<usize>,
    /// Why what is called gone may only not have been seen.
    doubts: Vec<String>,
    /// `null`: not known.
    changes: Option<Vec<ChangedOut<'c>>>,
}

#[derive(Debug, Serialize)]
struct ChangedOut<'c> {
    direction: &'static str,
    name: String,
    category: &'static str,
    differences: Vec<DifferenceOut<'c>>,
    last_seen: String,
    /// `covered`, `denied`, `unknown`, `not-isolated`; `null`: it is gone.
    cover: Option<&'static str>,
    cover_words: Option<String>,
}

#[derive(Debug, Serialize)]
struct DifferenceOut<'c> {
    what: &'static str,
    more: Vec<&'c str>,
    less: Vec<&'c str>,
}

/// How writing it ended; `None`: nobody asked for it.
pub type Written<'w> = Option<Result<&'w Text, String>>;

pub fn compared_json(compared: &Compared, written: &Written<'_>) -> String {
    let prepared = |it: &Prepared| PreparedOut {
        document: it.path.to_string(),
        companion: it.beside.to_string(),
        edges: it.lines,
        notes_kept: it.notes,
        reviewer: it.reviewed.as_ref().map(|(by, _)| by.to_string()),
    };
    pretty(&ComparedOut {
        namespace: compared.ns.to_string(),
        at: time(compared.at),
        summary: compared.summary(),
        clusters: compared.parts.iter().map(part_out).collect(),
        would_write: compared.prepared.as_ref().ok().map(prepared),
        cannot_write: compared.prepared.as_ref().err().map(ToString::to_string),
        written: written.as_ref().and_then(|it| it.as_ref().ok()).map(ToString::to_string),
        failed: written.as_ref().and_then(|it| it.as_ref().err()).cloned(),
    })
}

fn part_out(part: &ComparedPart) -> ComparedPartOut<'_> {
    let newer = part.now.as_ref().ok();
    ComparedPartOut {
        cluster: part.cluster.to_string(),
        document_taken: part.before.map(time),
        not_read: part.now.as_ref().err().map(ToString::to_string),
        from: newer.map(|newer| time(newer.window.from)),
        to: newer.map(|newer| time(newer.window.to)),
        destinations: newer.map(|newer| newer.destinations),
        doubts: newer.iter().flat_map(|newer| &newer.doubts).map(ToString::to_string).collect(),
        changes: newer.map(|newer| newer.changes.iter().map(changed_out).collect()),
    }
}

fn changed_out(changed: &Changed) -> ChangedOut<'_> {
    fn strs(all: &[Text]) -> Vec<&str> {
        all.iter().map(Text::as_str).collect()
    }
    let difference = |one| {
        let (more, less) = match one {
            &Difference::New | &Difference::Gone => (Vec::new(), Vec::new()),
            Difference::Ports { more, less } | Difference::Workloads { more, less } => (strs(more), strs(less)),
            Difference::Category { was, is } => (vec![is.as_str()], vec![was.as_str()]),
            Difference::Flagged(classes) => (strs(classes), Vec::new()),
            Difference::Cleared(classes) => (Vec::new(), strs(classes)),
        };
        DifferenceOut { what: one.as_str(), more, less }
    };
    ChangedOut {
        direction: changed.direction.as_str(),
        name: changed.title.to_string(),
        category: changed.category.as_str(),
        differences: changed.differences.iter().map(difference).collect(),
        last_seen: time(changed.last),
        cover: changed.cover.as_ref().map(Cover::as_str),
        cover_words: changed.cover.as_ref().map(ToString::to_string),
    }
}

pub fn compared_text(compared: &Compared, written: &Written<'_>) -> String {
    let mut out = format!("Document of {}: {}.\n", compared.ns, compared.summary());
    for part in &compared.parts {
        out.push_str(&format!("\n{}\n", monthly::heading(part, compared.at)));
        if let Ok(newer) = &part.now {
            out.push_str(&changes(newer));
        }
    }
    out.push('\n');
    match (written, &compared.prepared) {
        (Some(Ok(said)), _) => out.push_str(&format!("{said}\n")),
        (Some(Err(why)), _) => out.push_str(&format!("{why}\n")),
        (None, Ok(prepared)) => out.push_str(&format!("{}\n", would(prepared))),
        (None, Err(trouble)) => out.push_str(&format!("It cannot be written: {trouble}\n")),
    }
    out
}

fn changes(newer: &Newer) -> String {
    let mut out = monthly::doubt(newer).map_or_else(String::new, |doubt| format!("  note: {doubt}\n"));
    if newer.changes.is_empty() {
        out.push_str("  nothing changed\n");
        return out;
    }
    let mut table = Table::new(&["DIRECTION", "WHERE", "CATEGORY", "WHAT CHANGED", "LIVE POLICIES"]);
    for changed in &newer.changes {
        table.row([
            changed.direction.to_string(),
            changed.title.to_string(),
            changed.category.as_str().to_owned(),
            monthly::differences(changed),
            changed.cover.as_ref().map_or("-".to_owned(), ToString::to_string),
        ]);
    }
    out.push_str(&table.text("  "));
    out
}

/// What a write would do.
pub fn would(prepared: &Prepared) -> String {
    let reviewed = match &prepared.reviewed {
        Some((by, _)) => format!("; --reviewed writes the review down, by {by}"),
        None => "; --reviewed-by NAME writes the review down".to_owned(),
    };
    format!(
        "--write writes {} and {} ({}); {} kept{reviewed}",
        prepared.path,
        prepared.beside,
        plural(prepared.lines, "edge"),
        plural(prepared.notes, "note")
    )
}
