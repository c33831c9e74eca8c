//! Companions of the discovery documents -> which destinations of each namespace are flagged, by the
//! rules as they are now. A companion of which any line cannot be read counts as none, and is told:
//! the line may be the one that matters. Asks no cluster.

use std::{collections::BTreeMap, path::Path};

use chrono::DateTime;
use serde::Deserialize;

use super::discovery::{self, Files};
use crate::{
    cockpit::{
        plan::{FlaggedFiles, FleetFile},
        ports::Trouble,
    },
    domain::{
        discovery::{Everywhere, Rules, assemble},
        edge::{Edge, EdgeKey, Window},
        flagged::flagged,
        names::{ClusterName, NsName, Text},
    },
    edges,
};

const SCHEMA: &str = "sluice.edges/1";

/// What of the header is needed here; `documents` writes it whole.
#[derive(Deserialize)]
struct Header {
    schema: String,
    namespace: String,
    clusters: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    cluster: String,
    from: String,
    to: String,
    edges: usize,
}

/// What one cluster saw of a namespace.
#[derive(Clone, Debug)]
pub struct Seen {
    pub window: Window,
    /// By the header.
    count: usize,
    pub edges: Vec<(EdgeKey, Edge)>,
}

pub type Parts = BTreeMap<ClusterName, Seen>;

/// Reads every companion. What one namespace means depends on what all others do, so all are read
/// before the first is judged.
pub fn read(root: &Path, fleet: &FleetFile, rules: &Rules) -> (FlaggedFiles, Vec<Trouble>) {
    let (mut all, mut troubles) = (Vec::new(), Vec::new());
    let mut everywhere = Everywhere::default();
    for ns in discovery::namespaces(root) {
        match parts(root, &ns) {
            Ok(parts) => {
                for (cluster, seen) in &parts {
                    everywhere.note(cluster, seen.edges.iter().map(|(key, edge)| (key, edge)));
                }
                all.push((ns, parts));
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    let mut out = FlaggedFiles::new();
    for (ns, parts) in all {
        for (cluster, seen) in parts {
            if fleet.clusters.iter().any(|entry| entry.name == cluster) {
                let edges = || seen.edges.iter().map(|(key, edge)| (key, edge));
                let destinations = assemble(edges(), rules, &everywhere, seen.window);
                out.insert((cluster, ns.clone()), flagged(edges(), &destinations, rules));
            }
        }
    }
    (out, troubles)
}

/// What each cluster saw of a namespace, if all of its companion can be read.
pub fn parts(root: &Path, ns: &NsName) -> Result<Parts, Trouble> {
    let Files { companion, .. } = discovery::read(root, ns)?;
    of_text(ns, &companion.unwrap_or_default()).map_err(|(line, why)| {
        let shown = discovery::shown(root, &discovery::companion_path(root, ns));
        let fact = format!("line {line}: {why}, so the file counts as no evidence");
        Trouble::new(&shown, &fact, "Write it again with `sluice discover --write`.")
    })
}

/// The error is the number of the line, counted from 1, and what is wrong with it.
fn of_text(ns: &NsName, text: &str) -> Result<Parts, (usize, String)> {
    let mut lines = text.lines().zip(1..);
    let (first, _) = lines.next().unwrap_or_default();
    let mut parts = header(ns, first).map_err(|why| (1, why))?;
    for (line, at) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let (cluster, key, edge) = edges::from_companion_line(line).map_err(|why| (at, why))?;
        let part = parts.get_mut(&cluster).filter(|_| key.ns == *ns);
        let seen = part.ok_or_else(|| (at, "it is of another cluster or namespace".to_owned()))?;
        seen.edges.push((key, edge));
    }
    // A file that was cut off at the end of a line reads well, and may lack the line that matters.
    match parts.iter().find(|(_, seen)| seen.count != seen.edges.len()) {
        Some((cluster, Seen { count, edges, .. })) => {
            Err((1, format!("it says {count} edges of {cluster}, and {} stand there", edges.len())))
        }
        None => Ok(parts),
    }
}

fn header(ns: &NsName, line: &str) -> Result<Parts, String> {
    let header: Header = serde_json::from_str(line).map_err(|bad| format!("it is no header ({bad})"))?;
    if header.schema != SCHEMA || header.namespace != ns.as_str() {
        return Err(format!("it is not {SCHEMA} of namespace {ns}"));
    }
    let part = |part: Part| {
        let cluster = ClusterName::parse(&part.cluster).map_err(|bad| bad.to_string())?;
        let time = |raw: &str| {
            let at = DateTime::parse_from_rfc3339(raw).map(|at| at.to_utc());
            at.map_err(|_| format!("{:?} is not a time", Text::new(raw)))
        };
        let window = Window { from: time(&part.from)?, to: time(&part.to)? };
        Ok((cluster, Seen { window, count: part.edges, edges: Vec::new() }))
    };
    header.clusters.into_iter().map(part).collect()
}
