//! The plan as JSON, from the same rows as the text. `null` means unknown, never zero.

use serde::Serialize;

use super::{
    plan::Shown,
    shadow::ShadowOut,
    wire::{OverrideOut, gate_code, pretty, time},
};
use crate::{
    cockpit::{
        gates::{self, Gate},
        planned::{Ask, PlanRow},
        waiving,
        world::World,
    },
    domain::{
        flow::Direction,
        forecast::{ASSUMES, Dates, Delay, Forecast},
        names::Text,
        rollout::Target,
        time::Timestamp,
        wave::{Left, RowState, Since, Wave},
    },
};

#[derive(Debug, Serialize)]
struct PlanOut {
    at: String,
    /// Why nothing can advance at all; `null`: the team's state is there.
    state: Option<ReasonOut>,
    /// Clusters whose rows may be missing.
    unread: Vec<String>,
    directions: Vec<DirectionOut>,
}

#[derive(Debug, Serialize)]
struct DirectionOut {
    direction: &'static str,
    may_go: usize,
    waits: usize,
    at_work: usize,
    left: usize,
    waves: Vec<WaveOut>,
    /// Rows that wait for each other.
    cycles: Vec<Vec<String>>,
    forecast: ForecastOut,
}

#[derive(Debug, Serialize)]
struct WaveOut {
    number: u32,
    environment: &'static str,
    /// `ahead`, `open`, `held`, `done`.
    verdict: &'static str,
    /// `null`: all that are left.
    at_most: Option<u32>,
    starts: Option<String>,
    ends: Option<String>,
    /// Rows that somebody must clear before that end means anything.
    stuck: usize,
    rows: Vec<RowOut>,
}

#[derive(Debug, Serialize)]
struct RowOut {
    cluster: String,
    namespace: String,
    /// `may go`, `waits`, `at work`, `left`.
    ask: &'static str,
    state: StateOut,
    /// By what it left its wave: `clean`, `idle`, `excluded`.
    left: Option<&'static str>,
    exclusion: Option<ExclusionOut>,
    /// Confirmed ones for good, those that wait until they end; absent: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<OverrideOut>,
    risk: RiskOut,
    after: Vec<String>,
    missing: Vec<ReasonOut>,
    /// What is only staged of it, which stands for nothing that is missing; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowOut>,
}

#[derive(Debug, Serialize)]
struct StateOut {
    word: &'static str,
    why: Option<String>,
    since: Option<String>,
    /// It was so when this run began to look, so `since` is only the latest that it can be.
    since_at_least: bool,
    credited_hours: Option<f64>,
    needed_hours: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ExclusionOut {
    by: String,
    reason: String,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct RiskOut {
    /// 0 to 100.
    score: Option<u8>,
    /// `sluice.yaml` says so.
    configured: bool,
    priority: Option<u32>,
    shared: bool,
    largest_cluster: bool,
    parts: Vec<PartOut>,
}

#[derive(Debug, Serialize)]
struct PartOut {
    name: &'static str,
    figure: Option<u64>,
    points: Option<u8>,
    of: u8,
}

#[derive(Debug, Serialize)]
struct ReasonOut {
    /// Stable word for scripts.
    code: &'static str,
    text: String,
    /// `lead`, `security`, `on-call`, `admin`, `time`, `nobody`.
    who: &'static str,
    /// `soak`, `coverage`, `order`: the override that would open it.
    r#override: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ForecastOut {
    /// Credited of wall time, of the rows that soak now.
    pace_percent: Option<u8>,
    end: Option<String>,
    /// If every minute counted.
    earliest: Option<String>,
    delays: Vec<DelayOut>,
    assumes: [&'static str; 5],
}

#[derive(Debug, Serialize)]
struct DelayOut {
    cluster: String,
    namespace: String,
    wave: u32,
    state: &'static str,
    left_hours: Option<f64>,
}

pub fn json(world: &World, shown: &Shown) -> String {
    let unread = world.waves().unread.iter().map(ToString::to_string).collect();
    let directions = shown.directions().map(|direction| direction_out(world, shown, direction)).collect();
    let state = gates::state(world).as_ref().map(reason_out);
    pretty(&PlanOut { at: time(world.now()), state, unread, directions })
}

fn direction_out(world: &World, shown: &Shown, direction: Direction) -> DirectionOut {
    let (plan, forecast) = (world.waves().plan(direction), world.waves().forecast(direction));
    let rows = shown.rows(world, direction);
    let count = |ask: Ask| rows.iter().filter(|row| row.ask == ask).count();
    let name = |target: &Target| format!("{}/{}", target.cluster, target.ns);
    DirectionOut {
        direction: direction.as_str(),
        may_go: count(Ask::MayGo),
        waits: count(Ask::Waits),
        at_work: count(Ask::AtWork),
        left: count(Ask::Left),
        waves: plan.waves.iter().map(|wave| wave_out(world, wave, &rows, &forecast.waves)).collect(),
        cycles: plan.cycles.iter().map(|group| group.iter().map(name).collect()).collect(),
        forecast: forecast_out(forecast),
    }
}

fn wave_out(world: &World, wave: &Wave, rows: &[PlanRow<'_>], dates: &[Dates]) -> WaveOut {
    let date = dates.iter().find(|dates| dates.number == wave.number);
    let when = |at: Option<Timestamp>| at.map(time);
    WaveOut {
        number: wave.number,
        environment: wave.environment.as_str(),
        verdict: wave.verdict.as_str(),
        at_most: wave.size,
        starts: date.and_then(|date| when(date.starts)),
        ends: date.and_then(|date| when(date.ends)),
        stuck: date.map_or(0, |date| date.stuck),
        rows: rows.iter().filter(|row| row.wave == wave.number).map(|row| row_out(world, row)).collect(),
    }
}

fn row_out(world: &World, plan: &PlanRow<'_>) -> RowOut {
    let now = world.now();
    let row = plan.row;
    let (credited, needed) = match row.state {
        RowState::Soaking { credited, needed, .. } => (credited.map(hours), Some(hours(needed))),
        _ => (None, None),
    };
    RowOut {
        cluster: row.target.cluster.to_string(),
        namespace: row.target.ns.to_string(),
        ask: plan.ask.as_str(),
        state: StateOut {
            word: row.state.word(),
            why: row.state.why().map(Text::to_string),
            since: match row.since {
                Since::Unknown => None,
                Since::At(at) | Since::Before(at) => Some(time(at)),
            },
            since_at_least: matches!(row.since, Since::Before(_)),
            credited_hours: credited,
            needed_hours: needed,
        },
        left: row.left().map(|left| match left {
            Left::Clean => "clean",
            Left::Idle => "idle",
            Left::Excluded => "excluded",
        }),
        exclusion: row.exclusion.as_ref().map(|hold| ExclusionOut {
            by: hold.stamp.by.to_string(),
            reason: hold.reason.to_string(),
            until: hold.expires.map(time),
        }),
        overrides: waiving::marks(world, &row.target).map(OverrideOut::from).collect(),
        risk: RiskOut {
            score: row.risk.score(),
            configured: row.risk.configured.is_some(),
            priority: row.priority,
            shared: row.shared,
            largest_cluster: row.largest,
            parts: row
                .risk
                .parts()
                .iter()
                .map(|part| PartOut {
                    name: part.name,
                    figure: part.figure,
                    points: part.points,
                    of: part.of,
                })
                .collect(),
        },
        after: row.after.iter().map(ToString::to_string).collect(),
        missing: plan.missing.iter().map(reason_out).collect(),
        shadow: plan.shadow.as_ref().map(|shadow| ShadowOut::of(shadow, now)),
    }
}

fn reason_out(gate: &Gate) -> ReasonOut {
    ReasonOut {
        code: gate_code(gate),
        text: gate.to_string(),
        who: gate.who.as_str(),
        r#override: gate.covers.map(|covers| covers.as_str()),
    }
}

fn forecast_out(forecast: &Forecast) -> ForecastOut {
    let delay = |delay: &Delay| DelayOut {
        cluster: delay.target.cluster.to_string(),
        namespace: delay.target.ns.to_string(),
        wave: delay.wave,
        state: delay.state.word(),
        left_hours: delay.left.map(hours),
    };
    ForecastOut {
        pace_percent: forecast.pace.and_then(|pace| pace.percent()),
        end: forecast.end.map(time),
        earliest: forecast.earliest.map(time),
        delays: forecast.delays.iter().map(delay).collect(),
        assumes: ASSUMES,
    }
}

/// One digit behind the point.
fn hours(delta: chrono::TimeDelta) -> f64 {
    (delta.num_minutes() as f64 / 6.0).round() / 10.0
}
