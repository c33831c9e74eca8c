//! Pre-flights as `sluice preflight` prints them: JSON for scripts, text for people. The screen shows
//! the same checks from the same report. Pure.

use serde::Serialize;

use super::wire::{TroubleOut, pretty};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::Text,
        preflight::{
            check::{Check, Evidence, Stops, Verdict},
            report::{Counts, Report},
        },
    },
};

/// One cluster (or a set of manifests) and what was found, or why it could not be looked at.
#[derive(Clone, Debug)]
pub struct Flight {
    pub name: Text,
    pub result: Result<Report, Trouble>,
}

#[derive(Debug, Serialize)]
struct FlightsOut {
    clusters: Vec<FlightOut>,
}

#[derive(Debug, Serialize)]
struct FlightOut {
    name: String,
    /// `pass`, `fail`, `unknown`: the worst of what stops rollout or discovery.
    verdict: &'static str,
    /// Why it could not be looked at.
    trouble: Option<TroubleOut>,
    engine: Option<String>,
    dns_mode: Option<String>,
    checks: Vec<CheckOut>,
}

#[derive(Debug, Serialize)]
struct CheckOut {
    id: &'static str,
    title: &'static str,
    /// `pass`, `fail`, `unknown`, `not applicable`.
    verdict: &'static str,
    /// What it stops unless it passes: `rollout`, `discovery`, `nothing`.
    stops: &'static str,
    why: String,
    evidence: Vec<EvidenceOut>,
    fix: Option<FixOut>,
}

#[derive(Debug, Serialize)]
struct EvidenceOut {
    kind: String,
    namespace: Option<String>,
    name: String,
    field: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct FixOut {
    text: String,
    commands: Vec<String>,
}

pub fn json(flights: &[Flight]) -> String {
    let out = FlightsOut { clusters: flights.iter().map(flight_out).collect() };
    pretty(&out)
}

fn flight_out(flight: &Flight) -> FlightOut {
    let report = flight.result.as_ref().ok();
    let said = |text: Option<&Text>| text.map(ToString::to_string);
    FlightOut {
        name: flight.name.to_string(),
        verdict: verdict(flight).as_str(),
        trouble: flight.result.as_ref().err().map(TroubleOut::from),
        engine: said(report.and_then(|report| report.engine.as_ref())),
        dns_mode: said(report.and_then(|report| report.dns_mode.as_ref())),
        checks: report.map(|report| report.checks.iter().map(check_out).collect()).unwrap_or_default(),
    }
}

fn check_out(check: &Check) -> CheckOut {
    CheckOut {
        id: check.id.as_str(),
        title: check.id.title(),
        verdict: check.verdict.as_str(),
        stops: check.stops().as_str(),
        why: check.why.to_string(),
        evidence: check.evidence.iter().map(evidence_out).collect(),
        fix: check.fix.as_ref().map(|fix| FixOut {
            text: fix.text.to_string(),
            commands: fix.commands.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn evidence_out(evidence: &Evidence) -> EvidenceOut {
    let object = &evidence.object;
    EvidenceOut {
        kind: object.kind.to_string(),
        namespace: (!object.ns.is_empty()).then(|| object.ns.to_string()),
        name: object.name.to_string(),
        field: evidence.field.to_string(),
        value: evidence.value.to_string(),
    }
}

/// A cluster that could not be looked at is unknown.
pub fn verdict(flight: &Flight) -> Verdict {
    flight.result.as_ref().map_or(Verdict::Unknown, Report::verdict)
}

pub fn text(flights: &[Flight]) -> String {
    let parts: Vec<String> = flights.iter().map(one).collect();
    parts.join("\n")
}

fn one(flight: &Flight) -> String {
    match &flight.result {
        Err(trouble) => format!("{}: unknown\n  {trouble}\n", flight.name),
        Ok(report) => {
            let mut out = format!("{}: {}\n", flight.name, summary(report));
            for check in &report.checks {
                lines(check).into_iter().for_each(|line| {
                    out.push_str(line.trim_end());
                    out.push('\n');
                });
            }
            out
        }
    }
}

/// What it comes to, in one line.
pub fn summary(report: &Report) -> String {
    let Counts { passed, failed, unknown, not_applicable } = report.counts();
    let mut parts = Vec::new();
    for (count, word) in
        [(failed, "failed"), (unknown, "unknown"), (passed, "passed"), (not_applicable, "not applicable")]
    {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let stopped: Vec<&str> = [Stops::Rollout, Stops::Discovery]
        .into_iter()
        .filter(|stops| report.open(*stops).next().is_some())
        .map(Stops::as_str)
        .collect();
    let stopped = match stopped.as_slice() {
        [] => "nothing is stopped".to_owned(),
        some => format!("{} stopped", some.join(" and ")),
    };
    format!("{stopped} ({})", parts.join(", "))
}

/// One check as people read it: the verdict and the sentence, then the evidence, then the fix.
fn lines(check: &Check) -> Vec<String> {
    let word = match check.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Unknown => "UNKNOWN",
        Verdict::NotApplicable => "n/a",
    };
    let stops = match (check.is_open(), check.stops()) {
        (true, Stops::Rollout | Stops::Discovery) => format!(" Stops {}.", check.stops().as_str()),
        _ => String::new(),
    };
    let mut out = vec![format!("  {word:<8} {:<17} {}{stops}", check.id.as_str(), check.why)];
    let indent = " ".repeat(29);
    out.extend(check.evidence.iter().map(|evidence| format!("{indent}{evidence}")));
    if let Some(fix) = &check.fix {
        out.push(format!("{indent}fix: {}", fix.text));
        out.extend(fix.commands.iter().map(|command| format!("{indent}$ {command}")));
    }
    out
}
