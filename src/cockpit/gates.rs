//! Why a row may not be applied today, beside what `decide` asks by itself: the team's state, waves,
//! holds, the calendar, dependencies, evidence. Every reason is named, each with who can clear it and
//! which override would open it. Rollback and abort never come here.

use chrono::TimeDelta;

use crate::domain::{
    calendar::Closed,
    eval::verdict::Verdict,
    flow::Direction,
    hold::{Covers, HoldKind},
    names::{NsName, Text},
    policy::PolicyDigest,
    predict::{prediction::Prediction, stories::Weight, words},
    rollout::Target,
    time::span,
    wave::{Candidate, RowState, Wave, WavePlan},
};

use super::{
    decide::{self, Reason},
    discovery::{Progress, collection_row},
    gate,
    orders::{Origin, Preview},
    ports::Link,
    preflight, waiving,
    waves::{calendar, holds, record},
    why::{Rows, Why},
    world::World,
};

/// One reason against, and what would clear it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Gate {
    pub reason: Why,
    pub who: Who,
    /// The override that would open it; `None`: none does.
    pub covers: Option<Covers>,
}

impl Gate {
    fn new(reason: Why, who: Who, covers: Option<Covers>) -> Self {
        Self { reason, who, covers }
    }
}

/// Who can clear a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    Lead,
    Security,
    OnCall,
    Admin,
    Time,
    Nobody,
}

impl Who {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Security => "security",
            Self::OnCall => "on-call",
            Self::Admin => "admin",
            Self::Time => "time",
            Self::Nobody => "nobody",
        }
    }
}

/// Everything that keeps the workspace's bytes of a row from being applied now, what `decide` asks by
/// itself included, less what a confirmed override for exactly these bytes opens. The owner gate, which
/// costs more to ask, is asked where nothing else is in the way.
pub fn missing(world: &World, target: &Target) -> Vec<Gate> {
    let mut out = everything(world, target);
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let Some(authored) = world.files().sets.get(&key) else { return out };
    if world.shared().overrides().any(|kept| kept.value.target == *target) {
        let digest = PolicyDigest::of(authored.set.values());
        let is_open = |covers| waiving::is_overridden(world, target, digest, covers);
        out.retain(|gate| !gate.covers.is_some_and(is_open));
    }
    if out.is_empty() {
        out.extend(gate::owner_gate(world, target, &authored.set).into_iter().map(of_reason));
    }
    out
}

fn of_reason(reason: Reason) -> Gate {
    Gate { who: who(&reason), reason: Why::Other(Box::new(reason)), covers: None }
}

fn everything(world: &World, target: &Target) -> Vec<Gate> {
    let own = decide::apply_reasons(world, target).into_iter().map(|reason| match reason {
        Reason::Gate(gate) => *gate,
        reason => of_reason(reason),
    });
    let mut out: Vec<Gate> = Vec::new();
    for gate in own.chain(gates(world, target)) {
        if !out.contains(&gate) {
            out.push(gate);
        }
    }
    out
}

/// Who can clear what `decide` asks by itself.
fn who(reason: &Reason) -> Who {
    match reason {
        Reason::Unreachable { .. }
        | Reason::NoRight { .. }
        | Reason::NotEnforced { .. }
        | Reason::Preflight { .. } => Who::Admin,
        Reason::OwnerGate { code, .. } => who_opens(code),
        Reason::InFlight { .. } | Reason::NoPreflight { .. } | Reason::Unidentified(_) => Who::Time,
        Reason::Terminating(_) => Who::Nobody,
        _ => Who::Lead,
    }
}

/// What nobody read, the lead lets be read; the rest is a decision.
fn who_opens(code: &str) -> Who {
    match code {
        "evidence-unread" => Who::Lead,
        "catalogue-unread" | "cluster-unknown" | "state-away" | "time-unknown" => Who::Time,
        _ => Who::Security,
    }
}

/// Every reason why a row that was confirmed, and waited for the one before it, must not be written any
/// more: a hold, a grant that was revoked, a wave that is not done after all. That its own order runs is none.
pub fn turn_reasons(world: &World, preview: &Preview) -> Vec<Reason> {
    let mut reasons = match preview.origin {
        Origin::Workspace | Origin::LastClean => decide::write_reasons(world, &preview.target),
        Origin::Shadow => decide::stage_reasons(world, &preview.target),
    };
    reasons.retain(|reason| !matches!(reason, Reason::InFlight { .. }));
    reasons.extend(decide::gate_reasons(world, preview));
    reasons
}

/// What the plan has against an apply of this row now; empty: nothing.
pub fn gates(world: &World, target: &Target) -> Vec<Gate> {
    let plan = world.waves().plan(target.direction);
    let mut out = always(world, target);
    match plan.row(target) {
        Some((wave, row)) => {
            out.extend(unknown(row));
            out.extend(incident(world, row));
            out.extend(waves_before(plan, wave));
            out.extend(dependencies(plan, row));
        }
        None => out.push(Gate::new(Why::NoWave, Who::Lead, None)),
    }
    out.extend(cycle(plan, target));
    out.extend(other_direction(world, target));
    out.extend(closed(world));
    out.extend(evidence(world, target));
    out
}

/// What stands against any apply, also of bytes that soaked clean before: no state, and holds.
pub fn always(world: &World, target: &Target) -> Vec<Gate> {
    state(world).into_iter().chain(held(world, target)).collect()
}

/// Nothing advances without the team's state.
pub fn state(world: &World) -> Option<Gate> {
    if world.plan().settings.state.is_none() {
        return Some(Gate::new(Why::NoState, Who::Lead, None));
    }
    let away = match world.shared().link() {
        Some(Link::Live) => return None,
        Some(Link::None(why)) => why.clone(),
        Some(Link::Broken(trouble)) => Text::from(trouble.to_string()),
        Some(Link::Connecting) | None => Text::new("it is being connected"),
    };
    Some(Gate::new(Why::StateAway(away), Who::Admin, None))
}

fn held(world: &World, target: &Target) -> Vec<Gate> {
    let of = |kind| holds(world, target, kind);
    let all = of(HoldKind::Hold).chain(of(HoldKind::Exclusion));
    all.map(|kept| {
        let (name, hold) = (kept.name.clone(), Box::new(kept.value.clone()));
        Gate::new(Why::Held { name, hold, zone: world.zone() }, Who::Lead, None)
    })
    .collect()
}

fn unknown(row: &Candidate) -> Option<Gate> {
    match &row.state {
        RowState::Unknown(why) => Some(Gate::new(Why::Unknown(why.clone()), Who::Time, None)),
        _ => None,
    }
}

/// A row that was in force and no longer is as it was. One whose first apply stopped half-way is
/// carried on by another apply.
fn incident(world: &World, row: &Candidate) -> Option<Gate> {
    let was_applied = record(world, &row.target).is_some_and(|kept| kept.value.applied.is_some());
    match &row.state {
        RowState::Incident(why) if was_applied => {
            Some(Gate::new(Why::Incident(why.clone()), Who::OnCall, None))
        }
        _ => None,
    }
}

/// The first wave that is not done, told apart by what stands in it: time clears a soak, a person the
/// rest. A soak of a later one is told too: who overrides the order alone waits for it all the same. So
/// is one that nobody can look at: with its cluster away a soak is not over, and the order not kept.
fn waves_before(plan: &WavePlan, wave: &Wave) -> Vec<Gate> {
    let mut before = plan.unfinished_before(wave.number);
    let Some(first) = before.next() else { return Vec::new() };
    let later = before.clone().count();
    let soaks_in = |wave: &Wave| {
        let rows = wave.standing().filter(|row| row.soaks());
        Some((wave.number, Rows::of(rows)?))
    };
    let soaking = soaks_in(first).or_else(|| before.find_map(soaks_in));
    let is_seen = |row: &&Candidate| matches!(row.state, RowState::Soaking { .. });
    let rest = Rows::of(first.standing().filter(|row| !is_seen(row)));
    let mut out = Vec::new();
    if let Some((wave, rows)) = soaking {
        out.push(Gate::new(Why::Soaking { wave, rows }, Who::Time, Some(Covers::Soak)));
    }
    if let Some(rows) = rest {
        let why = Why::WaveBefore { wave: first.number, rows };
        out.push(Gate::new(why, Who::Lead, Some(Covers::Order)));
    }
    if later > 0 {
        out.push(Gate::new(Why::WavesBetween(later), Who::Time, Some(Covers::Order)));
    }
    out
}

fn dependencies(plan: &WavePlan, row: &Candidate) -> Vec<Gate> {
    let others = row.after.iter().filter_map(|ns| {
        let other = Target { ns: ns.clone(), ..row.target.clone() };
        plan.row(&other).map(|(_, other)| other)
    });
    let waits = others.filter(|other| !matches!(other.state, RowState::Clean | RowState::Idle));
    waits
        .map(|other| {
            let soaks = matches!(other.state, RowState::Soaking { .. });
            let who = if soaks { Who::Time } else { Who::Lead };
            let why = Why::Dependency { ns: other.target.ns.clone(), state: other.state.word() };
            Gate::new(why, who, Some(Covers::Order))
        })
        .collect()
}

fn cycle(plan: &WavePlan, target: &Target) -> Option<Gate> {
    let group = plan.cycles.iter().find(|group| group.contains(target))?;
    let names: Vec<NsName> = group.iter().map(|target| target.ns.clone()).collect();
    Some(Gate::new(Why::Cycle(names), Who::Lead, Some(Covers::Order)))
}

/// One direction of a namespace at a time, and egress first.
fn other_direction(world: &World, target: &Target) -> Option<Gate> {
    let other = Target { direction: target.direction.other(), ..target.clone() };
    if let Some(wave) = world.waves().plan(other.direction).stands_applied(&other) {
        let why = Why::OtherDirection { direction: other.direction, wave };
        return Some(Gate::new(why, Who::Time, Some(Covers::Order)));
    }
    egress_first(world, target)
}

/// Ingress of a namespace starts once its egress is clean. What is live already may be corrected whatever
/// became of egress: else each could wait for the other.
pub fn egress_first(world: &World, target: &Target) -> Option<Gate> {
    let other = Target { direction: Direction::Egress, ..target.clone() };
    let (_, row) = world.waves().plan(target.direction).row(target)?;
    let (_, egress) = world.waves().plan(other.direction).row(&other)?;
    let is_over = matches!(egress.state, RowState::Clean | RowState::Idle);
    if target.direction == Direction::Egress || is_over || row.state.is_live() {
        return None;
    }
    let who = if egress.soaks() { Who::Time } else { Who::Lead };
    let why = Why::EgressFirst { state: egress.state.clone(), is_out: egress.exclusion.is_some() };
    Some(Gate::new(why, who, Some(Covers::Order)))
}

fn closed(world: &World) -> Vec<Gate> {
    let (calendar, now) = (calendar(world), world.now());
    let opens = calendar.opens(now);
    calendar
        .closed(now)
        .into_iter()
        .map(|closed| {
            let zone = calendar.zone(opens.unwrap_or(now));
            let why = match closed {
                Closed::Hours(_) => Why::Hours { opens, zone },
                Closed::Blocked(days) => Why::BlockedDay { why: days.why.clone(), opens, zone },
            };
            Gate::new(why, Who::Time, None)
        })
        .collect()
}

/// Against exactly the bytes of a preview. Checks that block, by name, stand against them whatever was
/// recorded, and no override opens them; neither one for other bytes or another cluster, nor none at
/// all: unknown never passes. What the recorded week says is of coverage.
pub fn predicted(world: &World, preview: &Preview) -> Vec<Gate> {
    let prediction = match &preview.prediction {
        Ok(prediction) => prediction,
        // What the server refuses stands against itself.
        Err(_) if !preview.refusals.is_empty() => return Vec::new(),
        Err(why) => {
            let why = why.as_str().trim_end_matches('.');
            let what = format!("unknown {why}. Preview again once sluice can look at the cluster");
            return vec![foretold(preview, &what, None)];
        }
    };
    let uid = world.cluster(&preview.target.cluster).and_then(|cluster| cluster.uid.as_ref());
    let is_other = uid.is_some_and(|uid| prediction.bound.cluster.as_ref() != Some(uid));
    if is_other || prediction.bound.digest != preview.digest {
        let what = "it was made for other bytes or another cluster; preview again";
        return vec![foretold(preview, what, None)];
    }
    let mut out = week(world, preview, prediction);
    let checks = words::against(prediction).into_iter().filter(|(weight, ..)| *weight == Weight::Blocks);
    out.extend(checks.map(|(.., what)| foretold(preview, &what, None)));
    out
}

/// An apply may be of several rows: each names its own.
fn foretold(preview: &Preview, what: &str, covers: Option<Covers>) -> Gate {
    let said = Text::from(format!("{}: {what}", preview.target));
    Gate::new(Why::Predicted(said), Who::Lead, covers)
}

/// Where evidence is wanted: what passed in the recorded week and would be denied, what is unknown of it,
/// and that nobody told it where a collector could. Without a recording [`Why::Evidence`] stands there.
fn week(world: &World, preview: &Preview, prediction: &Prediction) -> Vec<Gate> {
    if world.plan().settings.baseline <= TimeDelta::zero() {
        return Vec::new();
    }
    let gate = |what: &str| foretold(preview, what, Some(Covers::Coverage));
    let told = words::summary(prediction, world.now()).into_iter();
    let told = told.filter(|(verdict, _)| *verdict != Verdict::Allowed).map(|(_, what)| gate(&what));
    let collected = world.discoveries().collected(&preview.target.cluster);
    let could_tell = collected.is_some_and(|it| !matches!(it.state.link, Link::None(_)));
    let untold = preview.untold.as_ref().filter(|_| could_tell && evidence(world, &preview.target).is_none());
    told.chain(untold.map(|why| gate(&format!("unknown {why}")))).collect()
}

/// Asked for before the first apply.
fn evidence(world: &World, target: &Target) -> Option<Gate> {
    let wanted = world.plan().settings.baseline;
    let was_applied = record(world, target).is_some_and(|kept| kept.value.applied.is_some());
    if wanted <= TimeDelta::zero() || was_applied {
        return None;
    }
    let row = collection_row(world, &target.cluster, &target.ns);
    let (progress, why) = row.of(target.direction);
    let doubts = preflight::stops_discovery(world, &target.cluster, target.direction, progress.credited());
    let have = |credited: TimeDelta| Text::from(format!("{} of {}", span(credited), span(wanted)));
    let (have, who) = match progress {
        Progress::Ready { credited } | Progress::Collecting { credited } if credited >= wanted => {
            if doubts.is_empty() {
                return None;
            }
            (have(credited), Who::Admin)
        }
        Progress::Ready { credited } | Progress::Collecting { credited } => (have(credited), Who::Time),
        Progress::Blocked { credited } => (have(credited), Who::Lead),
        Progress::NoCollector => (Text::new("no collector"), Who::Admin),
        Progress::Unknown => (Text::new("unknown"), Who::Admin),
    };
    let mut why = if who == Who::Lead { why.to_vec() } else { Vec::new() };
    why.extend(doubts);
    Some(Gate::new(Why::Evidence { have, why }, who, Some(Covers::Coverage)))
}
