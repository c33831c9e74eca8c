//! Evidence of one rollout, as it is stored: nodes by their place in one list, and those with equal
//! minutes written once. [`super::fit`] makes it small enough. Pure and total.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    denial::Class,
    evidence::{Cause, Evidence, Exercised, Ground, OpenGroup, Pause, Restart, Trail, Verdicts},
    names::{NodeName, Text},
    rollout::Kept,
    spans::Spans,
    time::Timestamp,
};

use super::{
    kind::EVIDENCE,
    object::{Seen, bounded, need_time, stamp},
    parts::{DenialWire, TargetWire, digest},
    spans,
};

/// Longest lists that are read.
const NODES: usize = 6_000;
const PAUSES: usize = 100;
const JOBS: usize = 1_000;
/// Why probes showed nothing.
const REASONS: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecWire {
    #[serde(flatten)]
    pub target: TargetWire,
    pub cluster_uid: String,
    pub digest: String,
    #[serde(flatten)]
    pub watched: WatchedWire,
    #[serde(default)]
    pub ground: GroundWire,
    /// Sorted; everything below names nodes by their place here, from 0.
    #[serde(default)]
    pub nodes: Vec<String>,
    #[serde(default)]
    pub trails: Vec<TrailWire>,
    #[serde(default)]
    pub pauses: Vec<PauseWire>,
    #[serde(default)]
    pub restarts: Vec<RestartWire>,
    #[serde(default)]
    pub verdicts: VerdictsWire,
    #[serde(default)]
    pub groups: Vec<GroupWire>,
    #[serde(default)]
    pub more_groups: u64,
    #[serde(default)]
    pub jobs: BTreeMap<String, String>,
    #[serde(default)]
    pub exercised: ExercisedWire,
}

/// By whom and when it was watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchedWire {
    since: String,
    until: String,
    observer: String,
    /// Minutes in which the lists of policies and pods were watched.
    #[serde(default)]
    looked: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroundWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    cni: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<String>,
}

/// Nodes whose minutes are the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrailWire {
    pub nodes: String,
    #[serde(default)]
    pub ran: String,
    #[serde(default)]
    pub heard: String,
    #[serde(default)]
    pub void: Vec<PauseWire>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PauseWire {
    pub cause: String,
    pub minutes: String,
    pub why: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestartWire {
    at: String,
    cause: String,
    why: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VerdictsWire {
    allowed: u64,
    denied: u64,
    in_force: Vec<SignWire>,
    proved: Vec<SignWire>,
    breached: Vec<SignWire>,
    unproved: Vec<UnprovedWire>,
}

/// Nodes that gave a sign at the same second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignWire {
    at: String,
    nodes: String,
}

/// Nodes of which a probe showed nothing, for the same reason.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnprovedWire {
    at: String,
    nodes: String,
    why: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupWire {
    #[serde(flatten)]
    key: DenialWire,
    class: String,
    count: u64,
    first: String,
    last: String,
    said: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExercisedWire {
    of: u32,
    pub again: Vec<String>,
}

/// The whole of it. Texts are cut to what a person reads; nothing that decides is left out.
pub fn spec(evidence: &Evidence) -> SpecWire {
    let Verdicts { allowed, denied, in_force, proved, breached, unproved } = &evidence.verdicts;
    let signed = in_force.keys().chain(proved.keys()).chain(breached.keys()).chain(unproved.keys());
    let named = evidence.nodes.keys().chain(signed);
    let nodes: BTreeSet<&NodeName> = named.collect();
    let places: BTreeMap<&NodeName, usize> =
        nodes.iter().enumerate().map(|(place, node)| (*node, place)).collect();
    let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
    SpecWire {
        target: TargetWire::of(&evidence.target),
        cluster_uid: evidence.uid.to_string(),
        digest: evidence.digest.to_string(),
        watched: WatchedWire {
            since: stamp(evidence.since),
            until: stamp(evidence.until),
            observer: evidence.observer.to_string(),
            looked: spans::text(&evidence.looked),
        },
        ground: GroundWire { cni: text(&evidence.ground.cni), dns: text(&evidence.ground.dns) },
        trails: trails(&evidence.nodes, &places),
        pauses: evidence.pauses.iter().map(pause).collect(),
        restarts: evidence.restarts.iter().rev().take(Evidence::RESTARTS).rev().map(restart).collect(),
        verdicts: VerdictsWire {
            allowed: *allowed,
            denied: *denied,
            in_force: signs(in_force, &places),
            proved: signs(proved, &places),
            breached: signs(breached, &places),
            unproved: unproved_wire(unproved, &places),
        },
        groups: evidence.groups.iter().map(group).collect(),
        more_groups: evidence.more_groups,
        jobs: evidence.jobs.iter().map(|(name, at)| (name.to_string(), stamp(*at))).collect(),
        exercised: ExercisedWire {
            of: evidence.exercised.of,
            again: evidence.exercised.again.iter().map(ToString::to_string).collect(),
        },
        nodes: nodes.into_iter().map(ToString::to_string).collect(),
    }
}

fn trails(nodes: &BTreeMap<NodeName, Trail>, places: &BTreeMap<&NodeName, usize>) -> Vec<TrailWire> {
    let mut groups: BTreeMap<Texts, BTreeSet<usize>> = BTreeMap::new();
    for (node, trail) in nodes {
        groups.entry(texts(trail)).or_default().insert(places[node]);
    }
    let trails = groups.into_iter().map(|((ran, heard, void), nodes)| TrailWire {
        nodes: spans::places(&nodes),
        ran,
        heard,
        void,
    });
    trails.collect()
}

/// Minutes run and heard, and what was lost.
pub type Texts = (String, String, Vec<PauseWire>);

/// A trail as it is written: equal ones are written once.
pub fn texts(trail: &Trail) -> Texts {
    (spans::text(&trail.ran), spans::text(&trail.heard), trail.void.iter().map(pause).collect())
}

/// Whole seconds, rounded down: nothing becomes younger than it is.
fn signs(signs: &BTreeMap<NodeName, Timestamp>, places: &BTreeMap<&NodeName, usize>) -> Vec<SignWire> {
    let mut by_time: BTreeMap<i64, BTreeSet<usize>> = BTreeMap::new();
    for (node, at) in signs {
        by_time.entry(at.timestamp()).or_default().insert(places[node]);
    }
    let signs = by_time.into_iter().map(|(at, nodes)| SignWire {
        at: stamp(Timestamp::from_timestamp(at, 0).unwrap_or_default()),
        nodes: spans::places(&nodes),
    });
    signs.collect()
}

/// The newest reasons, nodes with the same one together as of the oldest of them.
fn unproved_wire(
    all: &BTreeMap<NodeName, (Timestamp, Text)>,
    places: &BTreeMap<&NodeName, usize>,
) -> Vec<UnprovedWire> {
    let mut by_why: BTreeMap<&str, (Timestamp, BTreeSet<usize>)> = BTreeMap::new();
    for (node, (at, why)) in all {
        let (since, nodes) = by_why.entry(why.as_str()).or_insert_with(|| (*at, BTreeSet::new()));
        *since = (*since).min(*at);
        nodes.insert(places[node]);
    }
    let mut newest: Vec<_> = by_why.into_iter().collect();
    newest.sort_by_key(|(_, (at, _))| std::cmp::Reverse(*at));
    newest.truncate(REASONS);
    newest
        .into_iter()
        .map(|(why, (at, nodes))| UnprovedWire {
            at: stamp(at),
            nodes: spans::places(&nodes),
            why: why.to_owned(),
        })
        .collect()
}

fn pause(pause: &Pause) -> PauseWire {
    PauseWire {
        cause: pause.cause.as_str().to_owned(),
        minutes: spans::text(&pause.spans),
        why: pause.why.to_string(),
    }
}

fn restart(restart: &Restart) -> RestartWire {
    RestartWire {
        at: stamp(restart.at),
        cause: restart.cause.as_str().to_owned(),
        why: restart.why.to_string(),
    }
}

fn group(group: &OpenGroup) -> GroupWire {
    GroupWire {
        key: DenialWire::of(&group.key),
        class: class_words(group.class),
        count: group.count,
        first: stamp(group.first),
        last: stamp(group.last),
        said: group.said.to_string(),
    }
}

fn class_words(class: Class) -> String {
    match class {
        Class::Hurting | Class::StartUp | Class::Unattributed | Class::Expected | Class::Would => {
            class.word().to_owned()
        }
        Class::Noisy(noise) => format!("{}: {}", class.word(), noise.as_str()),
    }
}

pub fn decode(value: &Value) -> Result<Kept<Evidence>, Text> {
    let seen = Seen::of(&EVIDENCE, value)?;
    let evidence = read(&seen.spec()?).map_err(|why| seen.bad(why))?;
    Ok(seen.keep(evidence))
}

pub fn read(spec: &SpecWire) -> Result<Evidence, String> {
    bounded("nodes", &spec.nodes, NODES)?;
    bounded("pauses", &spec.pauses, PAUSES)?;
    bounded("restarts", &spec.restarts, Evidence::RESTARTS)?;
    bounded("groups", &spec.groups, Evidence::GROUPS)?;
    bounded("verdicts.unproved", &spec.verdicts.unproved, REASONS)?;
    bounded("exercised.again", &spec.exercised.again, Exercised::KEPT)?;
    if spec.jobs.len() > JOBS {
        return Err(format!("jobs has {} entries, at most {JOBS} are read", spec.jobs.len()));
    }
    let nodes = spec.nodes.iter().map(|raw| NodeName::parse(raw).map_err(|bad| bad.to_string()));
    let nodes: Vec<NodeName> = nodes.collect::<Result<_, _>>()?;
    let jobs = spec.jobs.iter().map(|(name, at)| Ok((Text::new(name), need_time("jobs", at)?)));
    Ok(Evidence {
        target: spec.target.read()?,
        uid: Text::new(&spec.cluster_uid),
        digest: digest(&spec.digest)?,
        since: need_time("since", &spec.watched.since)?,
        until: need_time("until", &spec.watched.until)?,
        observer: Text::new(&spec.watched.observer),
        ground: Ground {
            cni: spec.ground.cni.as_deref().map(Text::new),
            dns: spec.ground.dns.as_deref().map(Text::new),
        },
        looked: spans::read(&spec.watched.looked).ok_or_else(|| bad_minutes("looked"))?,
        nodes: read_trails(&spec.trails, &nodes)?,
        pauses: spec.pauses.iter().map(read_pause).collect::<Result<_, _>>()?,
        restarts: spec.restarts.iter().map(read_restart).collect::<Result<_, _>>()?,
        verdicts: Verdicts {
            allowed: spec.verdicts.allowed,
            denied: spec.verdicts.denied,
            in_force: read_signs(&spec.verdicts.in_force, &nodes)?,
            proved: read_signs(&spec.verdicts.proved, &nodes)?,
            breached: read_signs(&spec.verdicts.breached, &nodes)?,
            unproved: read_unproved(&spec.verdicts.unproved, &nodes)?,
        },
        groups: spec.groups.iter().map(read_group).collect::<Result<_, _>>()?,
        more_groups: spec.more_groups,
        jobs: jobs.collect::<Result<_, String>>()?,
        exercised: Exercised {
            of: spec.exercised.of,
            again: spec.exercised.again.iter().map(|raw| Text::new(raw)).collect(),
        },
    })
}

fn read_trails(wire: &[TrailWire], nodes: &[NodeName]) -> Result<BTreeMap<NodeName, Trail>, String> {
    let mut out = BTreeMap::new();
    for trail in wire {
        let minutes = |field: &str, raw: &str| spans::read(raw).ok_or_else(|| bad_minutes(field));
        bounded("trails.void", &trail.void, PAUSES)?;
        let read = Trail {
            ran: minutes("ran", &trail.ran)?,
            heard: minutes("heard", &trail.heard)?,
            void: trail.void.iter().map(read_pause).collect::<Result<_, _>>()?,
        };
        for place in places(&trail.nodes, nodes)? {
            if out.insert(nodes[place].clone(), read.clone()).is_some() {
                return Err(format!("trails names {} twice", nodes[place]));
            }
        }
    }
    Ok(out)
}

fn places(raw: &str, nodes: &[NodeName]) -> Result<BTreeSet<usize>, String> {
    spans::read_places(raw, nodes.len()).ok_or_else(|| format!("nodes are named by {}", Text::new(raw)))
}

fn bad_minutes(field: &str) -> String {
    format!("{field} is no set of minutes")
}

fn read_signs(wire: &[SignWire], nodes: &[NodeName]) -> Result<BTreeMap<NodeName, Timestamp>, String> {
    let mut out = BTreeMap::new();
    for sign in wire {
        let at = need_time("verdicts", &sign.at)?;
        out.extend(places(&sign.nodes, nodes)?.into_iter().map(|place| (nodes[place].clone(), at)));
    }
    Ok(out)
}

fn read_unproved(
    wire: &[UnprovedWire],
    nodes: &[NodeName],
) -> Result<BTreeMap<NodeName, (Timestamp, Text)>, String> {
    let mut out = BTreeMap::new();
    for one in wire {
        let (at, why) = (need_time("verdicts", &one.at)?, Text::new(&one.why));
        let named = places(&one.nodes, nodes)?.into_iter();
        out.extend(named.map(|place| (nodes[place].clone(), (at, why.clone()))));
    }
    Ok(out)
}

fn cause(raw: &str) -> Result<Cause, String> {
    Cause::parse(raw).ok_or_else(|| format!("cause is none that is known: {}", Text::new(raw)))
}

fn read_pause(wire: &PauseWire) -> Result<Pause, String> {
    let spans: Spans = spans::read(&wire.minutes).ok_or_else(|| bad_minutes("pauses"))?;
    Ok(Pause { cause: cause(&wire.cause)?, spans, why: Text::new(&wire.why) })
}

fn read_restart(wire: &RestartWire) -> Result<Restart, String> {
    Ok(Restart {
        at: need_time("restarts.at", &wire.at)?,
        cause: cause(&wire.cause)?,
        why: Text::new(&wire.why),
    })
}

fn read_group(wire: &GroupWire) -> Result<OpenGroup, String> {
    let class = Class::ALL.into_iter().find(|class| class_words(*class) == wire.class);
    Ok(OpenGroup {
        key: wire.key.read()?,
        class: class.ok_or_else(|| format!("class is none that is known: {}", Text::new(&wire.class)))?,
        count: wire.count,
        first: need_time("groups.first", &wire.first)?,
        last: need_time("groups.last", &wire.last)?,
        said: Text::new(&wire.said),
    })
}
