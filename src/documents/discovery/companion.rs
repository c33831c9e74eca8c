//! The machine-readable companion of a discovery document: a header line, then one edge a line, of
//! every cluster that the document covers. Authoring and prediction read it. Pure, both ways; a
//! line that cannot be read is told with its number, and the others still count.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::page::Evidence;
use crate::{
    documents::wire,
    domain::{
        coverage::{Coverage, CronJob, Hole, Readiness},
        edge::{Edge, EdgeKey, Hours, Window},
        names::{ClusterName, NodeName, NsName, Text, Workload},
        readiness::{CronFinding, CronSeen},
        time::Timestamp,
    },
    edges,
};

/// What stands in the companion for one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub window: Window,
    pub generated: Timestamp,
    pub evidence: Evidence,
    /// Of all outcomes; sorted by key.
    pub edges: Vec<(EdgeKey, Edge)>,
}

/// A namespace's evidence, by cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Companion {
    pub ns: NsName,
    pub parts: BTreeMap<ClusterName, Part>,
}

/// A line of a companion that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    pub line: usize,
    pub why: String,
}

const SCHEMA: &str = "sluice.edges/1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    schema: String,
    namespace: String,
    clusters: Vec<WirePart>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    cluster: String,
    from: String,
    to: String,
    generated_at: String,
    edges: usize,
    readiness: WireReady,
    /// Where it is another for callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ingress: Option<WireReady>,
    /// Credited hours as ranges of epoch hours, the end not included. Without a node: the source
    /// does not say.
    credited: Vec<WireNode>,
    gaps: Vec<WireHole>,
    doubts: Vec<String>,
    /// `null`: unknown.
    cron_jobs: Option<Vec<WireCron>>,
    without_traffic: Option<Vec<[String; 2]>>,
    remarks: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WireReady {
    Ready,
    NotYet { secs: i64 },
    Blocked { why: Vec<String> },
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    node: Option<String>,
    hours: Vec<[i64; 2]>,
}

#[derive(Serialize, Deserialize)]
struct WireHole {
    from: String,
    to: String,
    node: Option<String>,
    lost: Option<u64>,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCron {
    name: String,
    schedule: String,
    zone: Option<String>,
    suspended: bool,
    last_run: Option<String>,
    longest_pause_secs: Option<i64>,
    seen: String,
    waived: bool,
}

/// The whole file.
pub fn to_text(companion: &Companion) -> String {
    let clusters = companion.parts.iter().map(|(cluster, part)| part_out(cluster, part)).collect();
    let header = Header { schema: SCHEMA.to_owned(), namespace: companion.ns.to_string(), clusters };
    let mut out = wire::line(&header);
    for (cluster, part) in &companion.parts {
        let cluster = Value::String(cluster.to_string());
        for (key, edge) in &part.edges {
            let line = edges::to_line(key, edge);
            out.push_str(&format!("{{\"cluster\":{cluster},{}\n", &line[1..]));
        }
    }
    out
}

/// Reads a companion. The error is for a file of which nothing can be used; single bad lines come
/// beside what was read.
pub fn from_text(text: &str) -> Result<(Companion, Vec<BadLine>), BadLine> {
    let mut lines = text.lines().enumerate();
    let first = lines.next().map_or("", |(_, line)| line);
    let mut companion = header(first).map_err(|why| BadLine { line: 1, why })?;
    let mut bad = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        if let Err(why) = take_edge(&mut companion, line) {
            bad.push(BadLine { line: at + 1, why });
        }
    }
    Ok((companion, bad))
}

/// When the evidence of each cluster was taken, by the first line alone.
pub fn taken(ns: &NsName, first: &str) -> Result<BTreeMap<ClusterName, Timestamp>, BadLine> {
    let bad = |why| BadLine { line: 1, why };
    let companion = header(first).map_err(bad)?;
    if companion.ns != *ns {
        return Err(bad(format!("it is of namespace {}", companion.ns)));
    }
    Ok(companion.parts.into_iter().map(|(cluster, part)| (cluster, part.generated)).collect())
}

fn take_edge(companion: &mut Companion, line: &str) -> Result<(), String> {
    let (cluster, key, edge) = edges::from_companion_line(line)?;
    if key.ns != companion.ns {
        return Err(format!("it is an edge of namespace {}", key.ns));
    }
    let part = companion.parts.get_mut(&cluster);
    let part = part.ok_or_else(|| format!("the header has no cluster {:?}", cluster.as_str()))?;
    part.edges.push((key, edge));
    Ok(())
}

fn header(line: &str) -> Result<Companion, String> {
    let header: Header = serde_json::from_str(line).map_err(|bad| format!("it is no header ({bad})"))?;
    if header.schema != SCHEMA {
        return Err(format!("its schema is {:?}, not {SCHEMA:?}", Text::new(&header.schema)));
    }
    let ns = NsName::parse(&header.namespace).map_err(|bad| bad.to_string())?;
    let mut parts = BTreeMap::new();
    for part in &header.clusters {
        let name = ClusterName::parse(&part.cluster).map_err(|bad| bad.to_string())?;
        parts.insert(name, part_in(&ns, part)?);
    }
    Ok(Companion { ns, parts })
}

fn part_out(cluster: &ClusterName, part: &Part) -> WirePart {
    let evidence = &part.evidence;
    let strings = |texts: &[Text]| texts.iter().map(ToString::to_string).collect();
    WirePart {
        cluster: cluster.to_string(),
        from: time(part.window.from),
        to: time(part.window.to),
        generated_at: time(part.generated),
        edges: part.edges.len(),
        readiness: ready_out(&evidence.readiness),
        ingress: evidence.ingress.as_ref().map(ready_out),
        credited: evidence.coverage.credited.iter().map(node_out).collect(),
        gaps: evidence.coverage.gaps.iter().map(hole_out).collect(),
        doubts: strings(&evidence.coverage.doubts),
        cron_jobs: evidence.crons.as_ref().map(|crons| crons.iter().map(cron_out).collect()),
        without_traffic: evidence.silent.as_ref().map(|silent| {
            silent.iter().map(|workload| [workload.kind.to_string(), workload.name.to_string()]).collect()
        }),
        remarks: strings(&evidence.remarks),
    }
}

fn ready_out(readiness: &Readiness) -> WireReady {
    match readiness {
        Readiness::Ready => WireReady::Ready,
        Readiness::NotYet { left } => WireReady::NotYet { secs: left.num_seconds() },
        Readiness::Blocked { why } => {
            WireReady::Blocked { why: why.iter().map(ToString::to_string).collect() }
        }
    }
}

fn ready_in(wire: &WireReady) -> Readiness {
    match wire {
        WireReady::Ready => Readiness::Ready,
        WireReady::NotYet { secs } => Readiness::NotYet { left: seconds(*secs) },
        WireReady::Blocked { why } => {
            Readiness::Blocked { why: why.iter().map(|raw| Text::new(raw)).collect() }
        }
    }
}

fn node_out((node, hours): (&Option<NodeName>, &Hours)) -> WireNode {
    let mut ranges: Vec<[i64; 2]> = Vec::new();
    for hour in hours.iter() {
        match ranges.last_mut() {
            Some(range) if range[1] == hour => range[1] = hour + 1,
            Some(_) | None => ranges.push([hour, hour + 1]),
        }
    }
    WireNode { node: node.as_ref().map(ToString::to_string), hours: ranges }
}

fn hole_out(hole: &Hole) -> WireHole {
    WireHole {
        from: time(hole.from),
        to: time(hole.to),
        node: hole.node.as_ref().map(ToString::to_string),
        lost: hole.lost,
        why: hole.why.to_string(),
    }
}

fn cron_out(finding: &CronFinding) -> WireCron {
    let cron = &finding.job;
    WireCron {
        name: cron.name.to_string(),
        schedule: cron.schedule.to_string(),
        zone: cron.zone.as_ref().map(ToString::to_string),
        suspended: cron.suspended,
        last_run: cron.last_run.map(time),
        longest_pause_secs: cron.longest_pause.map(|pause| pause.num_seconds()),
        seen: seen_out(finding.seen).to_owned(),
        waived: finding.waived,
    }
}

const SEEN: [CronSeen; 5] =
    [CronSeen::Ran, CronSeen::NotInside, CronSeen::InHole, CronSeen::Rare, CronSeen::Unreadable];

fn seen_out(seen: CronSeen) -> &'static str {
    match seen {
        CronSeen::Ran => "ran",
        CronSeen::NotInside => "notInside",
        CronSeen::InHole => "inHole",
        CronSeen::Rare => "rare",
        CronSeen::Unreadable => "unreadable",
    }
}

fn part_in(ns: &NsName, part: &WirePart) -> Result<Part, String> {
    let texts = |raw: &[String]| raw.iter().map(|raw| Text::new(raw)).collect();
    let evidence = Evidence {
        coverage: Coverage {
            credited: part.credited.iter().map(node_in).collect::<Result<_, _>>()?,
            gaps: part.gaps.iter().map(hole_in).collect::<Result<_, _>>()?,
            doubts: texts(&part.doubts),
        },
        readiness: ready_in(&part.readiness),
        ingress: part.ingress.as_ref().map(ready_in),
        crons: match &part.cron_jobs {
            None => None,
            Some(crons) => Some(crons.iter().map(|cron| cron_in(ns, cron)).collect::<Result<_, String>>()?),
        },
        silent: part
            .without_traffic
            .as_ref()
            .map(|silent| silent.iter().map(|[kind, name]| Workload::new(kind, name)).collect()),
        remarks: texts(&part.remarks),
    };
    Ok(Part {
        window: Window { from: time_in(&part.from)?, to: time_in(&part.to)? },
        generated: time_in(&part.generated_at)?,
        evidence,
        edges: Vec::new(),
    })
}

fn node_in(wire: &WireNode) -> Result<(Option<NodeName>, Hours), String> {
    let node = node_name(wire.node.as_deref())?;
    let is_sane = |range: &[i64; 2]| range[0] <= range[1] && range[1] - range[0] <= Hours::SPAN;
    if !wire.hours.iter().all(is_sane) {
        return Err("`credited` holds a range of hours that ends before it begins or never".to_owned());
    }
    Ok((node, wire.hours.iter().flat_map(|range| range[0]..range[1]).collect()))
}

fn node_name(raw: Option<&str>) -> Result<Option<NodeName>, String> {
    raw.map(|raw| NodeName::parse(raw).map_err(|bad| bad.to_string())).transpose()
}

fn hole_in(wire: &WireHole) -> Result<Hole, String> {
    Ok(Hole {
        from: time_in(&wire.from)?,
        to: time_in(&wire.to)?,
        node: node_name(wire.node.as_deref())?,
        lost: wire.lost,
        why: Text::new(&wire.why),
    })
}

fn cron_in(ns: &NsName, wire: &WireCron) -> Result<CronFinding, String> {
    let job = CronJob {
        ns: ns.clone(),
        name: Text::new(&wire.name),
        schedule: Text::new(&wire.schedule),
        zone: wire.zone.as_deref().map(Text::new),
        suspended: wire.suspended,
        last_run: wire.last_run.as_deref().map(time_in).transpose()?,
        longest_pause: wire.longest_pause_secs.map(seconds),
    };
    let seen = SEEN.into_iter().find(|seen| seen_out(*seen) == wire.seen);
    let seen = seen.ok_or_else(|| format!("`seen` is {:?}", Text::new(&wire.seen)))?;
    Ok(CronFinding { job, seen, waived: wire.waived })
}

fn seconds(secs: i64) -> TimeDelta {
    TimeDelta::try_seconds(secs).unwrap_or(TimeDelta::MAX)
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn time_in(raw: &str) -> Result<Timestamp, String> {
    DateTime::parse_from_rfc3339(raw)
        .map(|at| at.to_utc())
        .map_err(|_| format!("{:?} is not a time", Text::new(raw)))
}
