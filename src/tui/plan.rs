//! The rows of the plan page: what may go now first, then wave by wave. Reasons are asked for when
//! facts changed that they rest on, not for every frame.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    cockpit::{
        gates::Gate,
        planned::{self, Ask},
        world::World,
    },
    domain::{
        flow::Direction,
        rollout::Target,
        time::Timestamp,
        wave::{Candidate, RowState, Verdict, Wave},
    },
};

use super::{
    filter::{Columns, Filter},
    list::List,
    model::{Main, Model},
};

/// What filters of the plan page can ask.
pub const COLUMNS: Columns = Columns {
    plain: &["cluster", "ns"],
    keys: &["cluster", "ns", "env", "wave", "state", "ask"],
    alone: &[],
};

/// A line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanKey {
    Wave(u32),
    Row(Target),
}

/// A row, and whether something is to be applied.
#[derive(Clone, Debug)]
pub struct Planned {
    pub target: Target,
    pub wave: u32,
    pub ask: Ask,
    /// It was taken back.
    pub again: bool,
}

/// The plan page.
#[derive(Clone, Debug)]
pub struct PlanPage {
    /// Whose waves are listed.
    pub direction: Direction,
    pub list: List<PlanKey>,
    /// Of both directions, in the order in which they should go.
    pub rows: [Vec<Planned>; 2],
    /// Waves that the operator folded or unfolded.
    pub turned: BTreeSet<(u8, u32)>,
    made: Option<Made>,
    making: Option<Making>,
}

/// The rows of a large plan, of which each frame makes some.
#[derive(Clone, Debug)]
struct Making {
    made: Made,
    rows: [Vec<Planned>; 2],
}

/// What the rows were made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    worked_out: Timestamp,
    /// They rest on the clock too, which goes on.
    moment: i64,
    orders: (u64, usize),
    holds: usize,
    state: bool,
}

impl Default for PlanPage {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanPage {
    /// Seconds for which reasons are kept.
    const FRESH: i64 = 2;
    /// Rows of a plan for each second more.
    const A_SECOND: usize = 5_000;
    /// Rows made in one frame.
    const AT_ONCE: usize = 2_000;

    pub fn new() -> Self {
        Self {
            direction: Direction::Egress,
            list: List::default(),
            rows: [Vec::new(), Vec::new()],
            turned: BTreeSet::new(),
            made: None,
            making: None,
        }
    }

    /// Some of its rows are still being made.
    pub fn is_behind(&self) -> bool {
        self.making.is_some()
    }

    pub fn of(&self, direction: Direction) -> &[Planned] {
        &self.rows[direction as usize]
    }

    /// As [`planned::may_go`].
    pub fn may_go(&self) -> Vec<Target> {
        let rows = || self.of(self.direction).iter().filter(|row| row.ask == Ask::MayGo && !row.again);
        let first = rows().map(|row| row.wave).min();
        rows().filter(|row| Some(row.wave) == first).map(|row| row.target.clone()).collect()
    }

    pub fn turn(&mut self, wave: u32) {
        let key = (self.direction as u8, wave);
        if !self.turned.remove(&key) {
            self.turned.insert(key);
        }
    }
}

pub fn refresh(model: &mut Model, world: &World) {
    let total: usize = model.plan.rows.iter().map(Vec::len).sum();
    let fresh = PlanPage::FRESH.max(i64::try_from(total / PlanPage::A_SECOND).unwrap_or(PlanPage::FRESH));
    let made = Made {
        worked_out: world.waves().at,
        moment: world.now().timestamp() / fresh,
        orders: (world.orders().next_id().0, world.running().count()),
        holds: world.shared().holds().len(),
        state: world.shared().is_live(),
    };
    let page = &mut model.plan;
    if page.making.as_ref().is_some_and(|making| making.made.worked_out != made.worked_out) {
        page.making = None;
    }
    if page.making.is_none() && page.made != Some(made) {
        page.making = Some(Making { made, rows: [Vec::new(), Vec::new()] });
    }
    if let Some(mut making) = page.making.take() {
        let mut room = PlanPage::AT_ONCE;
        for direction in Direction::ALL {
            let rows = &mut making.rows[direction as usize];
            let before = rows.len();
            let next = planned::plan_rows_behind(world, direction, before).take(room);
            rows.extend(next.map(|row| Planned {
                target: row.row.target.clone(),
                wave: row.wave,
                ask: row.ask,
                again: row.is_again(),
            }));
            room -= rows.len() - before;
        }
        if room == 0 {
            page.making = Some(making);
        } else {
            (page.rows, page.made) = (making.rows, Some(making.made));
        }
    }
    let rows = rows(model, world);
    model.plan.list.set(rows);
}

fn rows(model: &Model, world: &World) -> Vec<PlanKey> {
    let filter = Filter::parse(model.filter(Main::Plan), &COLUMNS);
    let plan = world.waves().plan(model.plan.direction);
    let passes = |row: &&Planned| {
        filter.is_empty()
            || plan.row(&row.target).is_some_and(|(wave, candidate)| {
                filter.passes(&COLUMNS, |key: &str| field(row, wave, candidate, key))
            })
    };
    let all: Vec<_> = model.plan.of(model.plan.direction).iter().filter(passes).collect();
    // What was taken back comes after what goes for the first time.
    let mut goes: Vec<_> = all.iter().filter(|row| row.ask == Ask::MayGo).collect();
    goes.sort_by_key(|row| row.again);
    let mut out: Vec<_> = goes.into_iter().map(|row| key(row)).collect();
    for wave in &plan.waves {
        let of_wave = || all.iter().filter(|row| row.wave == wave.number);
        if filter.is_empty() || of_wave().next().is_some() {
            out.push(PlanKey::Wave(wave.number));
        }
        if !filter.is_empty() || is_open(model, world, wave) {
            out.extend(of_wave().filter(|row| row.ask != Ask::MayGo).map(|row| key(row)));
        }
    }
    out
}

fn key(row: &Planned) -> PlanKey {
    PlanKey::Row(row.target.clone())
}

fn field<'a>(row: &Planned, wave: &Wave, candidate: &'a Candidate, key: &str) -> Option<Cow<'a, str>> {
    match key {
        "cluster" => Some(candidate.target.cluster.as_str().into()),
        "ns" => Some(candidate.target.ns.as_str().into()),
        "env" => Some(wave.environment.as_str().into()),
        "wave" => Some(row.wave.to_string().into()),
        "state" => Some(candidate.state.word().into()),
        "ask" => Some(row.ask.as_str().into()),
        _ => None,
    }
}

/// Waves at work are unfolded, and the first that is not done.
pub fn is_open(model: &Model, world: &World, wave: &Wave) -> bool {
    let plan = world.waves().plan(model.plan.direction);
    let first = plan.waves.iter().find(|wave| wave.verdict != Verdict::Done).map(|wave| wave.number);
    let is_at_work = matches!(wave.verdict, Verdict::Open | Verdict::Held) || Some(wave.number) == first;
    is_at_work != model.plan.turned.contains(&(model.plan.direction as u8, wave.number))
}

/// `17h40m/48h`, as narrow as it goes.
pub fn soak_short(credited: i64, needed: i64) -> String {
    let short = |minutes: i64| match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes:02}m"),
    };
    format!("{}/{}", short(credited), short(needed))
}

/// The state of a row in a cell.
pub fn state_short(row: &Candidate) -> String {
    match &row.state {
        RowState::Soaking { credited, needed, .. } => match credited {
            Some(credited) => soak_short(credited.num_minutes(), needed.num_minutes()),
            None => "soaking ?".to_owned(),
        },
        state => state.word().to_owned(),
    }
}

/// A reason with who clears it, and the override that would open it.
pub fn gate_words(gate: &Gate) -> String {
    let opens = gate.covers.map_or_else(String::new, |covers| format!(" [override: {}]", covers.as_str()));
    format!("{}: {gate}{opens}", gate.who.as_str())
}

#[cfg(test)]
mod tests {
    use super::soak_short;

    #[test]
    fn credited_of_needed_in_a_cell() {
        for (credited, needed, want) in [
            (1_060, 2_880, "17h40m/48h"),
            (0, 2_880, "0m/48h"),
            (60, 90, "1h/1h30m"),
            (2_879, 2_880, "47h59m/48h"),
        ] {
            assert_eq!(soak_short(credited, needed), want);
        }
    }
}
