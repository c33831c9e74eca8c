//! Parts that several documents share, as they are written in JSON. These types are the documented
//! format: a field is added, never renamed. `null` means unknown, never zero.

use chrono::SecondsFormat;
use serde::Serialize;

use crate::{
    cockpit::{
        decide::{Reason, Refusal},
        gates::Gate,
        orders::Target,
        ports::Trouble,
        rows::SourceRow,
        why::Why,
    },
    domain::{
        fleet::Isolation,
        hold::Override,
        names::{Text, plural},
        rollout::{Kept, Stamp},
        time::Timestamp,
    },
};

/// RFC 3339 in UTC, to the millisecond.
pub fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A rate as people write it: one digit behind the point.
pub fn rate(per_minute: f64) -> f64 {
    (per_minute * 10.0).round() / 10.0
}

/// The same as text; unknown is not zero.
pub fn rate_word(per_minute: Option<f64>) -> String {
    per_minute.map_or("?".to_owned(), |rate| format!("{rate:.1}"))
}

#[derive(Debug, Serialize)]
pub struct TroubleOut {
    pub object: String,
    pub fact: String,
    pub next: String,
}

impl From<&Trouble> for TroubleOut {
    fn from(trouble: &Trouble) -> Self {
        let text = |text: &Text| text.to_string();
        Self { object: text(&trouble.object), fact: text(&trouble.fact), next: text(&trouble.next) }
    }
}

#[derive(Debug, Serialize)]
pub struct TargetOut {
    pub cluster: String,
    pub namespace: String,
    pub direction: &'static str,
}

impl From<&Target> for TargetOut {
    fn from(target: &Target) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            namespace: target.ns.to_string(),
            direction: target.direction.as_str(),
        }
    }
}

/// Which pods are isolated, and by what.
#[derive(Debug, Serialize)]
pub struct IsolationOut {
    pub pods: usize,
    pub isolated: usize,
    /// Selected, but opened by a rule that allows everything.
    pub open: usize,
    pub by: Vec<String>,
    /// Policies that cannot be evaluated or read and may isolate too.
    pub unknown: Vec<String>,
}

impl From<&Isolation> for IsolationOut {
    fn from(isolation: &Isolation) -> Self {
        Self {
            pods: isolation.pods,
            isolated: isolation.isolated,
            open: isolation.open_selected,
            by: isolation.by.iter().map(ToString::to_string).collect(),
            unknown: isolation.unknowns(),
        }
    }
}

/// A flow source and what it lost.
#[derive(Debug, Serialize)]
pub struct SourceOut {
    pub name: Option<String>,
    /// `none`, `connecting`, `live`, `broken`.
    pub link: &'static str,
    pub reason: Option<String>,
    pub history_from: Option<String>,
    pub lag_ms: Option<i64>,
    pub flows: u64,
    /// Events lost, as far as the source counts them; `null`: nothing was ever read of it.
    pub lost: Option<u64>,
    pub gaps: Option<usize>,
    pub malformed: u64,
    pub repeats: u64,
    pub nodes_connected: Option<u32>,
    pub nodes_unavailable: Option<u32>,
    /// What it cannot say; absent where nothing is known to be missing.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub limits: &'static [&'static str],
}

impl From<&SourceRow> for SourceOut {
    fn from(row: &SourceRow) -> Self {
        Self {
            name: (!row.name.is_empty()).then(|| row.name.to_string()),
            link: row.link,
            reason: row.reason.as_ref().map(ToString::to_string),
            history_from: row.history_from.map(time),
            lag_ms: row.lag_ms,
            flows: row.flows,
            lost: row.lost,
            gaps: row.gaps,
            malformed: row.malformed,
            repeats: row.repeats,
            nodes_connected: row.nodes_connected,
            nodes_unavailable: row.nodes_unavailable,
            limits: row.limits(),
        }
    }
}

/// A source in one line of text.
pub fn source_line(row: &SourceRow, now: Timestamp, zone: chrono::FixedOffset) -> String {
    use crate::domain::time::{age, span};
    let mut parts = vec![match (row.name.is_empty(), &row.reason) {
        (true, None) => row.link.to_owned(),
        (true, Some(reason)) => format!("{}: {reason}", row.link),
        (false, None) => format!("{} {}", row.name, row.link),
        (false, Some(reason)) => format!("{} {}: {reason}", row.name, row.link),
    }];
    if let (Some(lost), Some(gaps)) = (row.lost, row.gaps) {
        let begins = row.history_from.map_or("unknown".to_owned(), |from| {
            let clock = from.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %:z");
            format!("{clock} ({} ago)", span(age(from, now)))
        });
        parts.push(format!("history from {begins}"));
        parts.push(row.lag_ms.map_or("lag unknown".to_owned(), |lag| format!("lag {lag} ms")));
        parts.push(format!("{} flows", row.flows));
        parts.push(format!("{lost} lost in {}", plural(gaps, "gap")));
    }
    if let Some(away) = row.nodes_unavailable.filter(|away| *away > 0) {
        parts.push(format!("{} not heard", plural(away as usize, "node")));
    }
    if row.malformed > 0 {
        parts.push(format!("{} messages not understood", row.malformed));
    }
    if !row.limits().is_empty() {
        parts.push(format!("limits: {}", row.limits().join("; ")));
    }
    parts.join(", ")
}

/// Our own no, with every reason.
#[derive(Debug, Serialize)]
pub struct RefusalOut {
    pub what: String,
    pub reasons: Vec<ReasonOut>,
}

#[derive(Debug, Serialize)]
pub struct ReasonOut {
    /// Stable word for scripts.
    pub code: &'static str,
    pub text: String,
}

impl From<&Refusal> for RefusalOut {
    fn from(refusal: &Refusal) -> Self {
        let reasons =
            refusal.reasons.iter().map(|reason| ReasonOut { code: code(reason), text: reason.to_string() });
        Self { what: refusal.what.to_string(), reasons: reasons.collect() }
    }
}

/// A refusal as text: what, then one reason a line.
pub fn refusal_text(refusal: &Refusal) -> String {
    let reasons: String = refusal.reasons.iter().map(|reason| format!("  - {reason}\n")).collect();
    format!("{} is refused:\n{reasons}", refusal.what)
}

/// Stable word of what the plan has against a row.
pub fn gate_code(gate: &Gate) -> &'static str {
    match &gate.reason {
        Why::Other(reason) => code(reason),
        why => why.code().unwrap_or("other"),
    }
}

fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::ReadOnly => "read-only",
        Reason::NoWorkspace => "no-workspace",
        Reason::UnknownCluster(_) => "unknown-cluster",
        Reason::UnknownNamespace(..) => "unknown-namespace",
        Reason::NotAuthored(..) => "not-authored",
        Reason::BadFile(_) => "bad-file",
        Reason::Document(_) => "document",
        Reason::MissingFile(_) => "missing-file",
        Reason::Excluded(_) => "excluded",
        Reason::Terminating(_) => "terminating",
        Reason::Unreachable { .. } => "unreachable",
        Reason::NoRight { .. } => "no-right",
        Reason::NoShadow { .. } => "no-shadow",
        Reason::NotEnforced { .. } => "not-enforced",
        Reason::Preflight { .. } => "preflight",
        Reason::NoPreflight { .. } => "preflight-unknown",
        Reason::InFlight { .. } => "in-flight",
        Reason::NeverClean(_) => "never-clean",
        Reason::OtherCluster(_) => "other-cluster",
        Reason::Unidentified(_) => "unidentified-cluster",
        Reason::NothingToDo => "nothing-to-do",
        Reason::NoPreview(_) => "no-preview",
        Reason::Stale(_) => "stale",
        Reason::Server(_) => "server",
        Reason::NothingRuns => "nothing-runs",
        Reason::NoCollector { .. } => "no-collector",
        Reason::CollectorAway { .. } => "collector-away",
        Reason::Asked { .. } => "asked",
        Reason::NoTarget => "no-target",
        Reason::Gate(gate) => gate_code(gate),
        Reason::NoReason => "no-reason",
        Reason::NothingCovered => "nothing-covered",
        Reason::UnknownOverride { .. } => "unknown-override",
        Reason::OtherBytes { .. } => "other-bytes",
        Reason::NothingToWaive(_) => "nothing-to-waive",
        Reason::NoUid(_) => "cluster-unknown",
        Reason::OtherOverride { .. } => "other-override",
        Reason::ConfirmedAlready(_) => "confirmed-already",
        Reason::OwnOverride(_) => "own-override",
        Reason::NoExpiry => "no-expiry",
        Reason::Past(_) => "past",
        Reason::NoClock => "no-clock",
        Reason::TooWide => "too-wide",
        Reason::AlreadyHeld { .. } => "already-held",
        Reason::UnknownHold { .. } => "unknown-hold",
        Reason::NoShareRight(_) => "no-right",
        Reason::OwnerGate { code, .. } => code,
        Reason::Review(reason) => reason.code(),
    }
}

/// Whose word it is, by the API server, and since when.
#[derive(Debug, Serialize)]
pub struct StampOut {
    by: String,
    at: String,
}

impl From<&Stamp> for StampOut {
    fn from(stamp: &Stamp) -> Self {
        Self { by: stamp.by.to_string(), at: time(stamp.at) }
    }
}

/// Somebody goes on without these gates, once a second person confirmed it.
#[derive(Debug, Serialize)]
pub struct OverrideOut {
    name: String,
    covers: Vec<&'static str>,
    /// It counts for the cluster with this UID and for no other.
    cluster_uid: Option<String>,
    digest: String,
    reason: String,
    #[serde(flatten)]
    stamp: StampOut,
    confirmed: Option<StampOut>,
    expires: String,
}

impl From<&Kept<Override>> for OverrideOut {
    fn from(kept: &Kept<Override>) -> Self {
        let over = &kept.value;
        Self {
            name: kept.name.to_string(),
            covers: over.covers.iter().map(|covers| covers.as_str()).collect(),
            cluster_uid: over.uid.as_ref().map(ToString::to_string),
            digest: over.digest.to_string(),
            reason: over.reason.to_string(),
            stamp: (&over.stamp).into(),
            confirmed: over.confirmed.as_ref().map(StampOut::from),
            expires: time(over.expires),
        }
    }
}

/// One JSON document for a person's eye too, with a newline at its end.
pub fn pretty<T: Serialize>(value: &T) -> String {
    let mut out = serde_json::to_string_pretty(value).expect("plain data without maps of odd keys");
    out.push('\n');
    out
}

/// One JSON document on one line, with a newline at its end.
pub fn line<T: Serialize>(value: &T) -> String {
    let mut out = serde_json::to_string(value).expect("plain data without maps of odd keys");
    out.push('\n');
    out
}
