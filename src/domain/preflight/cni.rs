//! What the rest of sluice takes from a reading: who enforces and which version, and how lookups
//! travel. Soak restarts, authoring, evaluation and the pre-flight's checks rest on the same
//! recognition. Only a probe proves enforcement: this is a finding with its evidence. Pure.

use crate::domain::{
    eval::plugin::Switches,
    fleet::{Cni, CniKind, Enforcement},
    names::Text,
    resolver::DnsPath,
};

use super::{
    check::{Evidence, Verdict},
    dns, enforcement,
    engines::{self, AUDIT, Engine, EngineKind, Found},
    reading::{Known, Reading},
};

/// Who enforces, as far as the reading tells.
pub fn cni(reading: &Reading) -> Cni {
    let sets = match &reading.daemonsets {
        Known::Read(sets) => sets,
        Known::Unknown(why) => {
            return unknown(format!("DaemonSets of all namespaces cannot be read ({why})"));
        }
    };
    let found = engines::recognise(reading);
    match found.engines.as_slice() {
        [] => nobody(reading, &found, sets.len()),
        [engine] => Cni {
            kind: engine.kind.cni(),
            version: engine.version.clone(),
            enforcement: enforcement(engine),
            evidence: Text::from(told(engine)),
        },
        several => Cni {
            kind: several[0].kind.cni(),
            version: several[0].version.clone(),
            enforcement: Enforcement::Unknown,
            evidence: Text::from(format!(
                "{} policy engines at once: {}",
                several.len(),
                several.iter().map(told).collect::<Vec<_>>().join("; ")
            )),
        },
    }
}

fn unknown(evidence: String) -> Cni {
    Cni {
        kind: CniKind::Other,
        version: None,
        enforcement: Enforcement::Unknown,
        evidence: Text::from(evidence),
    }
}

/// No engine: what connects pods says whether that is sure.
fn nobody(reading: &Reading, found: &Found, sets: usize) -> Cni {
    let check = enforcement::engine(reading, found);
    let enforcement = match check.verdict {
        Verdict::Fail => Enforcement::DoesNot,
        Verdict::Pass | Verdict::Unknown | Verdict::NotApplicable => Enforcement::Unknown,
    };
    let Some(connection) = found.connects.first() else {
        let evidence = match check.evidence.first() {
            Some(seen) => said(seen),
            None => format!("no known agent among {sets} DaemonSets"),
        };
        return Cni { enforcement, ..unknown(evidence) };
    };
    Cni {
        kind: if connection.what == engines::FLANNEL { CniKind::Flannel } else { CniKind::Other },
        version: connection.version.clone(),
        enforcement,
        evidence: Text::from(format!(
            "{}, no policy engine beside it: policies are ignored",
            said(&connection.evidence)
        )),
    }
}

/// Nodes without a running agent do not enforce.
fn enforcement(engine: &Engine) -> Enforcement {
    let is_whole = match (engine.ready, engine.desired) {
        (Some(ready), Some(desired)) => ready == desired,
        // It runs inside each k3s process, which no count shows.
        _ => engine.kind == EngineKind::K3s,
    };
    let is_audit = |seen: &Evidence| seen.field.as_str() == AUDIT;
    if !engine.off.is_empty() {
        if engine.off.iter().all(is_audit) { Enforcement::Audits } else { Enforcement::DoesNot }
    } else if engine.doubt.is_none() && is_whole {
        Enforcement::Enforces
    } else {
        Enforcement::Unknown
    }
}

fn said(evidence: &Evidence) -> String {
    format!("{}: {} {}", evidence.object, evidence.field, evidence.value)
}

fn told(engine: &Engine) -> String {
    let mut out = said(&engine.evidence);
    if let (Some(ready), Some(desired)) = (engine.ready, engine.desired) {
        out.push_str(&format!(", {ready} of {desired} ready"));
    }
    if let Some(why) = &engine.doubt {
        out.push_str(&format!(", {why}"));
    } else if let Some(seen) = engine.off.first().or(engine.on.first()) {
        out.push_str(&format!(", {}: {}={}", seen.object, seen.field, seen.value));
    }
    out
}

/// Settings that change what policies do; nothing of a ConfigMap that could not be read.
pub fn switches(reading: &Reading) -> Switches {
    let found = engines::recognise(reading);
    let Some(engine) = found.only().filter(|engine| engine.kind == EngineKind::Cilium) else {
        return Switches::default();
    };
    match reading.config_maps.get(engine.object.ns.as_str(), "cilium-config") {
        Known::Read(Some(map)) => Switches::of_cilium(|key| map.get(key)),
        Known::Read(None) | Known::Unknown(_) => Switches::default(),
    }
}

/// How lookups travel.
pub fn dns_path(reading: &Reading) -> DnsPath {
    let sets = match &reading.daemonsets {
        Known::Read(sets) => sets,
        Known::Unknown(why) => {
            let evidence = format!("DaemonSets of all namespaces cannot be read ({why})");
            return DnsPath::Unknown { evidence: Text::from(evidence) };
        }
    };
    match dns::caches(reading).next() {
        None => {
            let evidence = format!("no node-local-dns among {} DaemonSets", sets.len());
            DnsPath::Direct { evidence: Text::from(evidence) }
        }
        Some(set) => {
            let mut evidence = set.object.to_string();
            if let Some(container) = set.container("node-cache").or(set.containers.first()) {
                evidence.push_str(&format!(": container {}", container.name));
            }
            if let Some(address) = dns::listens_on(set) {
                evidence.push_str(&format!(", -localip={address}"));
            }
            DnsPath::NodeCache { evidence: Text::from(evidence) }
        }
    }
}
