//! The collector's state as JSON, both ways: what `/v1/state` serves and what the cockpit reads.
//! Pure. What comes in is hostile: every list is bounded, every string becomes a `Text` or a parsed
//! name, and what cannot be read is left out and counted.

use chrono::{SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::{
    cockpit::ports::{CollectorState, Link, SourceState, Trouble},
    domain::{
        coverage::{Coverage, Hole},
        edge::{Hours, Parties, Tally, Window},
        names::{NodeName, NsName, Text},
        source::SourceKind,
        time::Timestamp,
    },
};

/// Version of this form. A reader refuses a higher one by name.
pub const SCHEMA: u32 = 1;
/// What a reader takes of each list; a cluster has fewer.
const NODES: usize = 6_000;
const GAPS: usize = 2_000;
const SOURCES: usize = 256;
const NAMESPACES: usize = 20_000;
const TROUBLES: usize = 100;

/// Why a text is not the state of a collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    #[error("it is not the JSON of a collector's state: {0}")]
    Json(Text),
    #[error("its form is version {0}, which is newer than this sluice knows ({SCHEMA})")]
    Newer(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema: u32,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<WireWindow>,
    #[serde(default)]
    sources: Vec<WireSource>,
    #[serde(default)]
    coverage: WireCoverage,
    #[serde(default)]
    edges: Vec<WireCount>,
    #[serde(default)]
    troubles: Vec<WireTrouble>,
}

#[derive(Serialize, Deserialize)]
struct WireWindow {
    from: String,
    to: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource {
    name: String,
    link: WireLink,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lag_millis: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes_connected: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes_unavailable: Option<u32>,
    #[serde(default)]
    malformed: u64,
    #[serde(default)]
    repeats: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WireLink {
    None(String),
    Connecting,
    Live,
    Broken(WireTrouble),
}

#[derive(Default, Serialize, Deserialize)]
struct WireCoverage {
    #[serde(default)]
    credited: Vec<WireNode>,
    #[serde(default)]
    gaps: Vec<WireHole>,
    #[serde(default)]
    doubts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Stretches of epoch hours, the end not included.
    hours: Vec<(i64, i64)>,
}

#[derive(Serialize, Deserialize)]
struct WireHole {
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    why: String,
}

#[derive(Serialize, Deserialize)]
struct WireCount {
    namespace: String,
    edges: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parties: Option<WireParties>,
}

#[derive(Serialize, Deserialize)]
struct WireParties {
    callers: u64,
    callees: u64,
    webhooks: u64,
    flows: u64,
}

#[derive(Serialize, Deserialize)]
struct WireTrouble {
    object: String,
    fact: String,
    next: String,
}

/// The state as JSON, without its link: that is the reader's to know.
pub fn to_json(state: &CollectorState) -> String {
    let wire = Wire {
        schema: SCHEMA,
        version: state.version.as_ref().map(ToString::to_string).unwrap_or_default(),
        window: state.window.map(|window| WireWindow { from: time(window.from), to: time(window.to) }),
        sources: state.sources.iter().map(source_out).collect(),
        coverage: coverage_out(&state.coverage),
        edges: state
            .edges
            .iter()
            .map(|(ns, tally)| WireCount {
                namespace: ns.to_string(),
                edges: tally.edges,
                parties: tally.parties.map(parties_out),
            })
            .collect(),
        troubles: state.troubles.iter().map(trouble_out).collect(),
    };
    serde_json::to_string(&wire).expect("strings and numbers only: it cannot fail")
}

/// A state out of JSON, with its link live.
pub fn from_json(text: &[u8]) -> Result<CollectorState, BadState> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let bad = |error: serde_json::Error| BadState::Json(Text::new(&error.to_string()));
    let Schema { schema } = serde_json::from_slice(text).map_err(bad)?;
    if schema > SCHEMA {
        return Err(BadState::Newer(schema));
    }
    let wire: Wire = serde_json::from_slice(text).map_err(bad)?;
    let window = wire.window.as_ref().and_then(|window| {
        let (from, to) = (timestamp(&window.from)?, timestamp(&window.to)?);
        (from <= to).then_some(Window { from, to })
    });
    let counts = wire.edges.iter().take(NAMESPACES);
    Ok(CollectorState {
        link: Link::Live,
        version: (!wire.version.is_empty()).then(|| Text::new(&wire.version)),
        sources: wire.sources.iter().take(SOURCES).map(source_in).collect(),
        window,
        coverage: coverage_in(wire.coverage),
        edges: counts
            .filter_map(|count| Some((NsName::parse(&count.namespace).ok()?, tally_in(count))))
            .collect(),
        troubles: wire.troubles.iter().take(TROUBLES).map(trouble_in).collect(),
    })
}

fn parties_out(parties: Parties) -> WireParties {
    let Parties { callers, callees, webhooks, flows } = parties;
    WireParties { callers, callees, webhooks, flows }
}

fn tally_in(count: &WireCount) -> Tally {
    let parties = count.parties.as_ref().map(|wire| Parties {
        callers: wire.callers,
        callees: wire.callees,
        webhooks: wire.webhooks,
        flows: wire.flows,
    });
    Tally { edges: count.edges, parties }
}

fn source_out(state: &SourceState) -> WireSource {
    WireSource {
        name: state.name.to_string(),
        link: match &state.link {
            Link::None(why) => WireLink::None(why.to_string()),
            Link::Connecting => WireLink::Connecting,
            Link::Live => WireLink::Live,
            Link::Broken(trouble) => WireLink::Broken(trouble_out(trouble)),
        },
        history_from: state.history_from.map(time),
        lag_millis: state.lag.map(|lag| lag.num_milliseconds()),
        nodes_connected: state.nodes_connected,
        nodes_unavailable: state.nodes_unavailable,
        malformed: state.malformed,
        repeats: state.repeats,
    }
}

fn source_in(wire: &WireSource) -> SourceState {
    SourceState {
        kind: SourceKind::Unknown,
        name: Text::new(&wire.name),
        link: match &wire.link {
            WireLink::None(why) => Link::None(Text::new(why)),
            WireLink::Connecting => Link::Connecting,
            WireLink::Live => Link::Live,
            WireLink::Broken(trouble) => Link::Broken(trouble_in(trouble)),
        },
        history_from: wire.history_from.as_deref().and_then(timestamp),
        lag: wire.lag_millis.and_then(TimeDelta::try_milliseconds),
        nodes_connected: wire.nodes_connected,
        nodes_unavailable: wire.nodes_unavailable,
        malformed: wire.malformed,
        repeats: wire.repeats,
    }
}

fn coverage_out(coverage: &Coverage) -> WireCoverage {
    WireCoverage {
        credited: coverage
            .credited
            .iter()
            .map(|(node, hours)| WireNode {
                node: node.as_ref().map(ToString::to_string),
                hours: stretches(hours),
            })
            .collect(),
        gaps: coverage
            .gaps
            .iter()
            .map(|hole| WireHole {
                from: time(hole.from),
                to: time(hole.to),
                node: hole.node.as_ref().map(ToString::to_string),
                lost: hole.lost,
                why: hole.why.to_string(),
            })
            .collect(),
        doubts: coverage.doubts.iter().map(ToString::to_string).collect(),
    }
}

fn coverage_in(wire: WireCoverage) -> Coverage {
    let node_of = |raw: &Option<String>| match raw {
        None => Some(None),
        Some(raw) => NodeName::parse(raw).ok().map(Some),
    };
    let mut coverage = Coverage::default();
    for node in wire.credited.iter().take(NODES) {
        let Some(name) = node_of(&node.node) else { continue };
        coverage.credited.entry(name).or_default().union(&hours_in(&node.hours));
    }
    for hole in wire.gaps.into_iter().take(GAPS) {
        let times = timestamp(&hole.from).zip(timestamp(&hole.to)).filter(|(from, to)| from <= to);
        let (Some((from, to)), Some(node)) = (times, node_of(&hole.node)) else { continue };
        coverage.gaps.push(Hole { from, to, node, lost: hole.lost, why: Text::new(&hole.why) });
    }
    coverage.doubts = wire.doubts.iter().take(TROUBLES).map(|doubt| Text::new(doubt)).collect();
    coverage
}

/// Hours that follow each other as one pair.
fn stretches(hours: &Hours) -> Vec<(i64, i64)> {
    let mut out: Vec<(i64, i64)> = Vec::new();
    for hour in hours.iter() {
        match out.last_mut() {
            Some((_, end)) if *end == hour => *end += 1,
            Some(_) | None => out.push((hour, hour + 1)),
        }
    }
    out
}

/// A pair may claim any span: no more than what the set can hold is walked.
fn hours_in(stretches: &[(i64, i64)]) -> Hours {
    const EPOCH_HOURS: std::ops::Range<i64> = 0..10_000_000;
    let mut hours = Hours::default();
    for (from, to) in stretches.iter().take(Hours::SPAN as usize) {
        if EPOCH_HOURS.contains(from) && EPOCH_HOURS.contains(to) {
            (*(from.max(&(to - Hours::SPAN)))..*to).for_each(|hour| hours.insert(hour));
        }
    }
    hours
}

fn trouble_out(trouble: &Trouble) -> WireTrouble {
    WireTrouble {
        object: trouble.object.to_string(),
        fact: trouble.fact.to_string(),
        next: trouble.next.to_string(),
    }
}

fn trouble_in(wire: &WireTrouble) -> Trouble {
    Trouble::new(&wire.object, &wire.fact, &wire.next)
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn timestamp(raw: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(raw).ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r##"{"schema":1,"version":"0.1.0","window":{"from":"2026-03-02T09:00:00Z","to":"2026-03-09T09:00:00Z"},"sources":[{"name":"Hubble Relay","link":"live","historyFrom":"2026-03-09T08:50:00Z","lagMillis":1200,"nodesConnected":2,"nodesUnavailable":0,"malformed":3,"repeats":7},{"name":"dnstap unix:/run/d","link":{"broken":{"object":"dnstap","fact":"nobody connects","next":"Look."}},"malformed":0,"repeats":0}],"coverage":{"credited":[{"hours":[[492345,492346]]},{"node":"worker-1","hours":[[492345,492400],[492401,492402]]}],"gaps":[{"from":"2026-03-03T00:00:00Z","to":"2026-03-03T01:00:00Z","node":"worker-2","lost":7,"why":"silent"}],"doubts":["answers: none"]},"edges":[{"namespace":"shop","edges":12}],"troubles":[{"object":"a","fact":"b","next":"c"}]}"##;

    #[test]
    fn a_state_survives_both_ways() {
        let state = from_json(STATE.as_bytes()).expect("a state");
        assert_eq!(state.coverage.credited.values().map(Hours::len).sum::<usize>(), 57);
        assert_eq!(to_json(&state), STATE);
    }

    #[test]
    fn hostile_states_are_bounded_and_safe_to_show() {
        for (from, to) in [
            ("[492345,492400]", "[-9223372036854775808,9223372036854775807]"),
            ("[492345,492400]", "[0,9999999]"),
            ("\"worker-1\"", "\"worker\\u001b[2J\""),
            ("\"shop\"", "\"\\u202eshop\""),
            ("1200", "9223372036854775807"),
            ("2026-03-02T09:00:00Z", "then"),
        ] {
            let state = from_json(STATE.replacen(from, to, 1).as_bytes()).expect("still a state");
            assert!(!format!("{state:?}").contains('\u{1b}'), "{to}");
            assert!(state.coverage.credited.values().all(|hours| hours.len() <= Hours::SPAN as usize));
        }
        let newer = STATE.replacen("\"schema\":1", "\"schema\":2", 1);
        assert_eq!(from_json(newer.as_bytes()), Err(BadState::Newer(2)));
        for bad in ["", "{", "[]", "{\"schema\":1}", "null"] {
            assert!(matches!(from_json(bad.as_bytes()), Err(BadState::Json(_))), "{bad}");
        }
    }
}
