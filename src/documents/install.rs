//! What `sluice install` would do or did, in text and JSON. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::wire::{TroubleOut, pretty};
use crate::{
    cockpit::{
        orders::{DiffLine, Sign},
        ports::Trouble,
    },
    domain::names::{ClusterName, NsName, Text},
};

/// All of it.
#[derive(Clone, Debug)]
pub struct Report {
    pub result: &'static str,
    pub dry_run: bool,
    pub cluster: ClusterName,
    pub ns: NsName,
    /// The same with kubectl.
    pub command: String,
    pub steps: Vec<Step>,
    pub troubles: Vec<Trouble>,
    /// Commands for Roles that nobody is bound to; `None`: not known.
    pub unbound: Option<Vec<Text>>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub object: Text,
    /// `new`, `unchanged`, `changes`, `refused`.
    pub change: &'static str,
    pub diff: Vec<DiffLine>,
}

#[derive(Serialize)]
struct ReportOut<'r> {
    command: &'static str,
    result: &'static str,
    dry_run: bool,
    cluster: &'r str,
    namespace: &'r str,
    kubectl: &'r str,
    steps: Vec<StepOut<'r>>,
    troubles: Vec<TroubleOut>,
    unbound: Option<Vec<&'r str>>,
}

#[derive(Serialize)]
struct StepOut<'r> {
    object: &'r str,
    change: &'static str,
    diff: Vec<String>,
}

pub fn json(report: &Report) -> String {
    let out = ReportOut {
        command: "install",
        result: report.result,
        dry_run: report.dry_run,
        cluster: report.cluster.as_str(),
        namespace: report.ns.as_str(),
        kubectl: &report.command,
        steps: report.steps.iter().map(step_out).collect(),
        troubles: report.troubles.iter().map(TroubleOut::from).collect(),
        unbound: report.unbound.as_ref().map(|all| all.iter().map(Text::as_str).collect()),
    };
    pretty(&out)
}

fn step_out(step: &Step) -> StepOut<'_> {
    StepOut { object: step.object.as_str(), change: step.change, diff: step.diff.iter().map(line).collect() }
}

/// What is shown before the question: every object and what would change of it.
pub fn preview(report: &Report) -> String {
    let mut out = format!("install into {}, namespace {}\n", report.cluster, report.ns);
    for step in &report.steps {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<9} {}", step.change, step.object);
        for it in &step.diff {
            let _ = writeln!(out, "            {}", line(it));
        }
    }
    let _ = writeln!(out, "the same with kubectl:\n  {}", report.command);
    out
}

/// The whole report: the preview, how it ended, and what is left to do.
pub fn text(report: &Report) -> String {
    let mut out = preview(report);
    for trouble in &report.troubles {
        let _ = writeln!(out, "{trouble}");
    }
    let _ = writeln!(
        out,
        "{}{}",
        report.result,
        if report.dry_run { " (dry run: nothing was written)" } else { "" }
    );
    match &report.unbound {
        None => out.push_str("who has which role could not be read\n"),
        Some(commands) if commands.is_empty() => {}
        Some(commands) => {
            out.push_str("roles that nobody has yet (GROUP or --user is yours to choose):\n");
            commands.iter().for_each(|command| {
                let _ = writeln!(out, "  {command}");
            });
        }
    }
    out
}

fn line(line: &DiffLine) -> String {
    let sign = match line.sign {
        Sign::Object => "==",
        Sign::Same => " ",
        Sign::Added => "+",
        Sign::Removed => "-",
    };
    format!("{sign} {}", line.text)
}
