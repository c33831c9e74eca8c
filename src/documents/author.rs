//! What `sluice author` did or would do, as text and as JSON: files, what the change opens and closes,
//! and what was left out with the reason. Pure.

use serde::Serialize;
use serde_json::json;

use crate::{
    cockpit::ports::Trouble,
    domain::{
        author::{
            change::Change,
            draft::{Draft, LeftOut},
        },
        names::Text,
        rollout::Target,
    },
};

/// One rollout.
#[derive(Clone, Debug)]
pub struct Row {
    pub target: Target,
    pub result: Outcome,
    pub files: Vec<File>,
    pub change: Change,
    /// `None`: nothing could be drafted.
    pub draft: Option<Draft>,
    pub troubles: Vec<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// Only shown.
    Shown,
    Unchanged,
    Refused,
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Shown => "not written",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One file and what becomes of it.
#[derive(Clone, Debug)]
pub struct File {
    pub shown: String,
    pub step: &'static str,
}

pub fn text(row: &Row) -> String {
    let mut out = format!("{}: {}\n", row.target, row.result.as_str());
    for file in row.files.iter().filter(|file| file.step != "unchanged") {
        out.push_str(&format!("  {:9} {}\n", file.step, file.shown));
    }
    for line in row.change.to_string().lines() {
        out.push_str(&format!("  {line}\n"));
    }
    if let Some(draft) = &row.draft {
        listed(&mut out, "left out", &draft.left_out.iter().map(ToString::to_string).collect::<Vec<_>>());
        listed(&mut out, "to be known before it is applied", &strings(&draft.warnings));
        listed(&mut out, "to be moved to Harbor", &strings(&draft.work));
        listed(&mut out, "not known of the cluster", &strings(&draft.missing));
    }
    listed(&mut out, "troubles", &row.troubles.iter().map(ToString::to_string).collect::<Vec<_>>());
    out
}

fn strings(all: &[Text]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn listed(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        out.push_str(&format!("  {title} ({}):\n", lines.len()));
        lines.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
    }
}

/// How many rows became what, in a line.
pub fn summary(rows: &[Row]) -> String {
    let all = [Outcome::Written, Outcome::Shown, Outcome::Unchanged, Outcome::Refused, Outcome::Failed];
    let count = |outcome: Outcome| rows.iter().filter(|row| row.result == outcome).count();
    let words: Vec<_> = all
        .into_iter()
        .filter(|outcome| count(*outcome) > 0)
        .map(|outcome| format!("{} {}", count(outcome), outcome.as_str()))
        .collect();
    match words.is_empty() {
        true => "No namespace has evidence: run `sluice discover --write` first.\n".to_owned(),
        false => format!("{}.\n", words.join(", ")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowOut {
    cluster: String,
    namespace: String,
    direction: &'static str,
    result: &'static str,
    files: Vec<FileOut>,
    opens: Vec<String>,
    closes: Vec<String>,
    left_out: Vec<LeftOutOut>,
    warnings: Vec<String>,
    to_harbor: Vec<String>,
    unknown: Vec<String>,
    troubles: Vec<String>,
}

#[derive(Serialize)]
struct FileOut {
    path: String,
    step: &'static str,
}

#[derive(Serialize)]
struct LeftOutOut {
    cause: &'static str,
    what: String,
    why: String,
}

pub fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().map(row_out).collect();
    format!("{:#}\n", json!({ "schema": "sluice.author/1", "rollouts": rows }))
}

fn row_out(row: &Row) -> RowOut {
    let draft = row.draft.as_ref();
    let of = |part: fn(&Draft) -> &[Text]| draft.map(|it| strings(part(it))).unwrap_or_default();
    RowOut {
        cluster: row.target.cluster.to_string(),
        namespace: row.target.ns.to_string(),
        direction: row.target.direction.as_str(),
        result: row.result.as_str(),
        files: row.files.iter().map(|file| FileOut { path: file.shown.clone(), step: file.step }).collect(),
        opens: strings(&row.change.opens),
        closes: strings(&row.change.closes),
        left_out: draft.iter().flat_map(|draft| &draft.left_out).map(left_out).collect(),
        warnings: of(|draft| &draft.warnings),
        to_harbor: of(|draft| &draft.work),
        unknown: of(|draft| &draft.missing),
        troubles: row.troubles.iter().map(ToString::to_string).collect(),
    }
}

fn left_out(one: &LeftOut) -> LeftOutOut {
    LeftOutOut { cause: one.cause.as_str(), what: one.what.to_string(), why: one.why.to_string() }
}
