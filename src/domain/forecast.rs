//! When each wave, and the whole direction, ends at the present pace: credited time of rows that soak
//! now against wall time. A forecast is a sum, not a promise; what it takes for granted is said with
//! it. Nothing here reads a clock.

use chrono::TimeDelta;

use super::{
    calendar::Calendar,
    rollout::Target,
    time::Timestamp,
    wave::{Candidate, Pace, RowState, Verdict, WavePlan},
};

/// What is taken for granted, with each forecast.
pub const ASSUMES: [&str; 5] = [
    "each row goes as soon as its wave may and working hours allow, and none is rolled back again",
    "what is blocked, unreachable, unknown, withheld or an incident is cleared or excluded before its wave",
    "ingress of a namespace starts once its egress is clean",
    "a row without a pace of its own soaks at that of all rows together",
    "policies are authored and evidence is ready by then",
];

/// Dates of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Of all rows that soak now; `None`: none does, or none was credited anything.
    pub pace: Option<Pace>,
    /// One a wave that is not done.
    pub waves: Vec<Dates>,
    /// `None`: not known.
    pub end: Option<Timestamp>,
    /// If every minute from now on counted; `None`: the calendar does not open within years.
    pub earliest: Option<Timestamp>,
    /// Rows that delay it most: those without a date first, then the longest.
    pub delays: Vec<Delay>,
}

/// One wave. `None`: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    pub number: u32,
    /// When its next row may be applied.
    pub starts: Option<Timestamp>,
    pub ends: Option<Timestamp>,
    /// Rows that somebody must clear before that date means anything.
    pub stuck: usize,
}

/// A row that others wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    pub target: Target,
    pub wave: u32,
    pub state: RowState,
    /// Wall time that it still takes; `None`: no date can be given.
    pub left: Option<TimeDelta>,
}

/// Delays that are told.
const DELAYS: usize = 8;

/// What a forecast is made from, beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Given<'s> {
    pub now: Timestamp,
    /// Credited time that a row needs.
    pub needed: TimeDelta,
    /// Of all rows of both directions that soak now.
    pub pace: Option<Pace>,
    pub calendar: Calendar<'s>,
    /// For a plan of ingress that of egress: a row of it goes before the one of its namespace here.
    pub egress: Option<&'s WavePlan>,
}

/// The dates of a plan.
pub fn forecast(plan: &WavePlan, given: &Given<'_>) -> Forecast {
    let pace = given.pace.filter(|pace| pace.credited > TimeDelta::zero());
    let waves = dates(plan, given, &|row| row_pace(row).or(pace), true);
    let at_best = dates(plan, given, &|_| Some(Pace::FULL), false);
    let end = |dates: &[Dates]| dates.last().map_or(Some(given.now), |last| last.ends);
    Forecast { pace, end: end(&waves), earliest: end(&at_best), delays: delays(plan, given, pace), waves }
}

/// The pace of these rows together.
pub fn pace_of<'p>(plans: impl IntoIterator<Item = &'p WavePlan>) -> Option<Pace> {
    let rows = plans.into_iter().flat_map(|plan| &plan.waves).flat_map(|wave| &wave.rows);
    let paces = rows.filter(|row| row.exclusion.is_none()).filter_map(row_pace);
    paces.reduce(|a, b| Pace { credited: a.credited + b.credited, wall: a.wall + b.wall })
}

fn row_pace(row: &Candidate) -> Option<Pace> {
    match row.state {
        RowState::Soaking { day, .. } => day.filter(|day| day.wall > TimeDelta::zero()),
        RowState::Waiting
        | RowState::Idle
        | RowState::Clean
        | RowState::Withheld(_)
        | RowState::RolledBack
        | RowState::Incident(_)
        | RowState::Blocked(_)
        | RowState::Unreachable(_)
        | RowState::Unknown(_) => None,
    }
}

type PaceOf<'f> = &'f dyn Fn(&Candidate) -> Option<Pace>;

/// `waits`: a wave in which nothing but stuck rows stands has no date, because somebody must act first;
/// otherwise it is taken to end with the one before it.
fn dates(plan: &WavePlan, given: &Given<'_>, pace: PaceOf<'_>, waits: bool) -> Vec<Dates> {
    let ahead = given
        .egress
        .map(|plan| Ahead { plan, dates: dates(plan, &Given { egress: None, ..*given }, pace, waits) });
    let may_start = |row: &Candidate| match &ahead {
        Some(ahead) => ahead.is_over(row, given, pace),
        None => Some(given.now),
    };
    let mut before = Some(given.now);
    let mut out = Vec::new();
    for wave in plan.waves.iter().filter(|wave| wave.verdict != Verdict::Done) {
        let mut next = wave.standing().filter(|row| has_date(row) && !soaks(row)).peekable();
        let first = if next.peek().is_none() { Some(given.now) } else { next.filter_map(may_start).min() };
        let opens = |from: Option<Timestamp>| given.calendar.opens(before.zip(from).map(|(a, b)| a.max(b))?);
        let starts = opens(first);
        let is_stuck_whole = wave.standing().next().is_some() && !wave.standing().any(has_date);
        let mut ends = before.filter(|_| !(waits && is_stuck_whole));
        for row in wave.standing().filter(|row| has_date(row)) {
            let end = row_end(row, opens(may_start(row)), given, pace);
            ends = ends.zip(end).map(|(a, b)| a.max(b));
        }
        let stuck = wave.standing().filter(|row| is_stuck(row)).count();
        out.push(Dates { number: wave.number, starts, ends, stuck });
        before = ends;
    }
    out
}

/// When a row is clean that soaks, or that starts then.
fn row_end(
    row: &Candidate,
    starts: Option<Timestamp>,
    given: &Given<'_>,
    pace: PaceOf<'_>,
) -> Option<Timestamp> {
    let from = if soaks(row) { Some(given.now) } else { starts };
    let (from, pace) = from.zip(pace(row))?;
    from.checked_add_signed(pace.wall_for(left(row, given))?)
}

/// The rows that go before those of the same namespace, with the dates of their waves.
struct Ahead<'p> {
    plan: &'p WavePlan,
    dates: Vec<Dates>,
}

impl Ahead<'_> {
    /// When the row is over that goes before this one; `None`: not known.
    fn is_over(&self, row: &Candidate, given: &Given<'_>, pace: PaceOf<'_>) -> Option<Timestamp> {
        let other = Target { direction: row.target.direction.other(), ..row.target.clone() };
        let Some((wave, other)) = self.plan.row(&other) else { return Some(given.now) };
        let at = self.dates.binary_search_by_key(&wave.number, |dates| dates.number);
        let dates = at.ok().and_then(|at| self.dates.get(at));
        match dates {
            _ if matches!(other.state, RowState::Clean | RowState::Idle) => Some(given.now),
            // Only an override opens the gate of its ingress, and nobody knows when.
            _ if other.exclusion.is_some() => None,
            Some(dates) if has_date(other) => row_end(other, dates.starts, given, pace),
            Some(dates) => dates.ends,
            None => None,
        }
    }
}

fn soaks(row: &Candidate) -> bool {
    matches!(row.state, RowState::Soaking { .. })
}

/// Credited time that is missing.
fn left(row: &Candidate, given: &Given<'_>) -> TimeDelta {
    match row.state {
        RowState::Soaking { credited, needed, .. } => {
            (needed - credited.unwrap_or_default()).max(TimeDelta::zero())
        }
        RowState::Waiting
        | RowState::Idle
        | RowState::Clean
        | RowState::Withheld(_)
        | RowState::RolledBack
        | RowState::Incident(_)
        | RowState::Blocked(_)
        | RowState::Unreachable(_)
        | RowState::Unknown(_) => given.needed,
    }
}

/// What was rolled back is applied anew and soaks anew.
fn has_date(row: &Candidate) -> bool {
    matches!(row.state, RowState::Waiting | RowState::Soaking { .. } | RowState::RolledBack)
}

/// Somebody must do something about it first.
fn is_stuck(row: &Candidate) -> bool {
    !matches!(row.state, RowState::Waiting | RowState::Soaking { .. })
}

fn delays(plan: &WavePlan, given: &Given<'_>, pace: Option<Pace>) -> Vec<Delay> {
    let unfinished = plan.waves.iter().filter(|wave| wave.verdict != Verdict::Done);
    let mut out: Vec<(bool, Delay)> = Vec::new();
    for (nth, wave) in unfinished.enumerate() {
        // Rows that are stuck delay from wherever they stand; others only where the work is now.
        for row in wave.standing().filter(|row| nth == 0 || is_stuck(row)) {
            let own = row_pace(row).or(pace).filter(|_| has_date(row));
            let left = own.and_then(|pace| pace.wall_for(left(row, given)));
            let delay =
                Delay { target: row.target.clone(), wave: wave.number, state: row.state.clone(), left };
            out.push((is_stuck(row), delay));
        }
    }
    // Stuck first, then without a date, then the longest.
    out.sort_by_key(|(is_stuck, delay)| {
        let longest = std::cmp::Reverse(delay.left);
        (!is_stuck, delay.wave, delay.left.is_some(), longest, delay.target.clone())
    });
    out.into_iter().take(DELAYS).map(|(_, delay)| delay).collect()
}
