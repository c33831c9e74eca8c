//! The steady state on paper: the two Kyverno policies of a cluster as YAML, and what sluice and Kyverno
//! each say of every default deny, as text and JSON. Pure: same plan, same bytes.

use serde::Serialize;

use super::{
    table::Table,
    wire::{pretty, time},
};
use crate::{
    cockpit::steady::{Check, Scope},
    domain::{
        flow::Direction,
        names::NsName,
        policy::Pinned,
        steady::{Generation, Word, policy_name},
        time::{Timestamp, age, span},
    },
};

const VALIDATING: &str = include_str!("../../assets/kyverno/validatingpolicy.yaml");
const LEGACY: &str = include_str!("../../assets/kyverno/clusterpolicy.yaml");

/// Names a line, in the lists that people review.
const A_LINE: usize = 8;

/// The policy that asserts the default deny of one direction. `None`: this cluster has no Kyverno, or the
/// rollout has reached none of its namespaces in this direction.
pub fn policy(generation: &Generation, direction: Direction, scope: &Scope) -> Option<String> {
    let (template, version) = match generation {
        Generation::Validating(version) => (VALIDATING, version.as_str()),
        Generation::Legacy => (LEGACY, "v1"),
        Generation::Absent | Generation::Unknown(_) => return None,
    };
    if scope.reached.is_empty() {
        return None;
    }
    let indent = if template == VALIDATING { 8 } else { 14 };
    let exempt: String = scope
        .exempt
        .iter()
        .map(|(ns, why)| format!("# Not asserted: {ns} ({})\n", line(why.as_str())))
        .collect();
    let kind = match direction {
        Direction::Egress => "Egress",
        Direction::Ingress => "Ingress",
    };
    let fields = [
        ("%POLICY%", policy_name(direction)),
        ("%DIRECTION%", direction.as_str()),
        ("%TYPE%", kind),
        ("%VALVE%", Pinned::valve(direction).name),
        ("%VERSION%", version),
        ("%GENERATION%", &generation.to_string()),
        ("%NAMES%", &names(&scope.reached, indent)),
        ("%EXEMPT%", &exempt),
    ];
    Some(fields.iter().fold(template.to_owned(), |text, (place, value)| text.replace(place, value)))
}

/// Quoted, because a namespace may be called `true` or `1e3`.
fn names(all: &[NsName], indent: usize) -> String {
    let quoted: Vec<_> = all.iter().map(|ns| format!("\"{ns}\"")).collect();
    let lines: Vec<_> = quoted.chunks(A_LINE).map(|some| some.join(", ")).collect();
    lines.join(&format!(",\n{:indent$}", ""))
}

/// A part of a comment: a `Text` has no end of line, and what is long is cut.
fn line(raw: &str) -> String {
    raw.chars().take(120).collect()
}

#[derive(Debug, Serialize)]
struct CheckOut {
    cluster: String,
    namespace: String,
    direction: &'static str,
    /// `pass`, `fail`, `exempt`, `unknown`: by the watch, now.
    sluice: &'static str,
    sluice_why: Option<String>,
    /// The same words: by Kyverno's last scan.
    kyverno: &'static str,
    kyverno_why: Option<String>,
    /// When Kyverno scanned it; `null`: it did not.
    scanned: Option<String>,
}

/// One object a default deny.
pub fn json(checks: &[Check]) -> String {
    let why = |word: &Word| word.why().map(ToString::to_string);
    let out = |check: &Check| CheckOut {
        cluster: check.target.cluster.to_string(),
        namespace: check.target.ns.to_string(),
        direction: check.target.direction.as_str(),
        sluice: check.own.as_str(),
        sluice_why: why(&check.own),
        kyverno: check.kyverno.as_str(),
        kyverno_why: why(&check.kyverno),
        scanned: check.scanned.map(time),
    };
    pretty(&checks.iter().map(out).collect::<Vec<_>>())
}

/// What does not pass first, then the rest by name.
pub fn text(checks: &[Check], now: Timestamp) -> String {
    if checks.is_empty() {
        return "No namespace has been reached by the rollout yet: there is nothing to assert.\n".to_owned();
    }
    let mut table = Table::new(&["CLUSTER", "NAMESPACE", "DIRECTION", "SLUICE", "KYVERNO", "SCANNED", "WHY"]);
    for check in checks {
        let scanned = check.scanned.map_or("-".to_owned(), |at| format!("{} ago", span(age(at, now))));
        let whys = [("", &check.own), ("Kyverno: ", &check.kyverno)];
        let whys = whys.iter().filter_map(|(who, word)| Some(format!("{who}{}", word.why()?)));
        table.row([
            check.target.cluster.to_string(),
            check.target.ns.to_string(),
            check.target.direction.to_string(),
            check.own.as_str().to_owned(),
            check.kyverno.as_str().to_owned(),
            scanned,
            whys.collect::<Vec<_>>().join("; "),
        ]);
    }
    let count = |word: &str| checks.iter().filter(|check| check.own.as_str() == word).count();
    let told = checks.iter().filter(|check| check.kyverno == Word::Pass).count();
    format!(
        "{}\n{} default denies asserted: {} there, {} missing or changed, {} unknown, {} exempt; Kyverno confirms {told}.\n",
        table.text(""),
        checks.len(),
        count("pass"),
        count("fail"),
        count("unknown"),
        count("exempt"),
    )
}
