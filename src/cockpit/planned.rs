//! The plan as people see it: what may go now, and for all the rest every reason why not. One
//! projection that the plan page and `sluice plan` both read (law 10).

use crate::domain::{
    flow::Direction,
    rollout::Target,
    wave::{Candidate, RowState, Wave},
};

use super::{
    gates::{Gate, missing},
    shadow::{self, Shadow},
    world::World,
};

/// One row of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow<'w> {
    pub wave: u32,
    pub row: &'w Candidate,
    pub ask: Ask,
    /// Every reason against an apply; empty where nothing is to be applied.
    pub missing: Vec<Gate>,
    /// What is only staged of it; it stands for nothing that is missing.
    pub shadow: Option<Shadow>,
}

/// Is something to be applied?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It may be applied now.
    MayGo,
    /// It is to be applied, and something is in the way.
    Waits,
    /// It is live and stands in its wave: its clock, or a person, moves it.
    AtWork,
    /// It left its wave.
    Left,
}

impl Ask {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MayGo => "may go",
            Self::Waits => "waits",
            Self::AtWork => "at work",
            Self::Left => "left",
        }
    }
}

/// Every row of one direction, in the order in which they should go.
pub fn plan_rows(world: &World, direction: Direction) -> impl Iterator<Item = PlanRow<'_>> {
    plan_rows_behind(world, direction, 0)
}

/// The same without the first ones, which are not asked about.
pub fn plan_rows_behind(
    world: &World,
    direction: Direction,
    first: usize,
) -> impl Iterator<Item = PlanRow<'_>> {
    let waves = &world.waves().plan(direction).waves;
    let rows = waves.iter().flat_map(|wave| wave.rows.iter().map(move |row| (wave, row)));
    rows.skip(first).map(move |(wave, row)| plan_row(world, wave, row))
}

impl PlanRow<'_> {
    /// It was taken back: somebody applies it again alone, never with the rest of its wave.
    pub fn is_again(&self) -> bool {
        self.row.state == RowState::RolledBack
    }
}

/// Rows of the first wave of which something may go now, without those that were taken back.
pub fn may_go(world: &World, direction: Direction) -> Vec<Target> {
    let goes = |row: &PlanRow<'_>| row.ask == Ask::MayGo && !row.is_again();
    let rows: Vec<_> = plan_rows(world, direction).filter(goes).collect();
    let first = rows.iter().map(|row| row.wave).min();
    rows.iter().filter(|row| Some(row.wave) == first).map(|row| row.row.target.clone()).collect()
}

/// One row by its target; `None`: the plan does not know it.
pub fn plan_row_of<'w>(world: &'w World, target: &Target) -> Option<PlanRow<'w>> {
    let (wave, row) = world.waves().plan(target.direction).row(target)?;
    Some(plan_row(world, wave, row))
}

fn plan_row<'w>(world: &'w World, wave: &Wave, row: &'w Candidate) -> PlanRow<'w> {
    let is_to_be_applied = match row.state {
        RowState::Waiting
        | RowState::RolledBack
        | RowState::Incident(_)
        | RowState::Blocked(_)
        | RowState::Unreachable(_)
        | RowState::Unknown(_) => true,
        RowState::Soaking { .. } | RowState::Idle | RowState::Clean | RowState::Withheld(_) => false,
    };
    let missing = if is_to_be_applied { missing(world, &row.target) } else { Vec::new() };
    let ask = match (row.left().is_some(), is_to_be_applied, missing.is_empty()) {
        (true, ..) => Ask::Left,
        (false, true, true) => Ask::MayGo,
        (false, true, false) => Ask::Waits,
        (false, false, _) => Ask::AtWork,
    };
    PlanRow { wave: wave.number, row, ask, missing, shadow: shadow::of(world, &row.target) }
}
