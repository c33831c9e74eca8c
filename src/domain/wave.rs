//! The plan of one direction: which row goes in which wave, and how each wave stands. Lowest risk
//! first, shared services and the largest cluster last, dependencies before their dependants. The
//! same rows give the same plan, in whatever order they come. No clock.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{
    dependencies::{Before, cycles},
    fleet::Environment,
    flow::Direction,
    hold::Hold,
    names::{NsName, Text},
    risk::Risk,
    rollout::Target,
    time::{Timestamp, age, span},
};

/// How one direction is cut into waves. Sizes count rows; the last size repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveSettings {
    /// The last one is [`WaveSize::Rest`], so that the number of production's first wave never moves.
    pub staging: Vec<WaveSize>,
    pub production: Vec<WaveSize>,
    /// Most of all production rows in one wave, in percent (1 to 100).
    pub at_most_percent: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveSize {
    Rows(u32),
    /// All that are left; in production no more than the cap.
    Rest,
}

/// Credited time against wall time, of a row over at most the last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub credited: TimeDelta,
    pub wall: TimeDelta,
}

impl Pace {
    /// Every minute counts.
    pub const FULL: Self = Self { credited: TimeDelta::seconds(1), wall: TimeDelta::seconds(1) };

    /// Wall time until this much more is credited; `None`: never, at this pace.
    pub fn wall_for(self, left: TimeDelta) -> Option<TimeDelta> {
        let secs = |delta: TimeDelta| i128::from(delta.num_seconds());
        let wall = (secs(left) * secs(self.wall)).checked_div(secs(self.credited))?;
        TimeDelta::try_seconds(i64::try_from(wall).ok()?)
    }

    /// Credited of wall, in percent, rounded down.
    pub fn percent(self) -> Option<u8> {
        let share = (self.credited.num_seconds() * 100).checked_div(self.wall.num_seconds())?;
        Some(share.clamp(0, 100) as u8)
    }
}

/// How far a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Not applied.
    Waiting,
    /// Live, and its clock counts; `None`: how much is credited is not known.
    Soaking {
        credited: Option<TimeDelta>,
        needed: TimeDelta,
        day: Option<Pace>,
    },
    /// Live without a pod: no credit, and it does not hold its wave.
    Idle,
    Clean,
    /// Live, and not clean for a reason that time alone does not clear.
    Withheld(Text),
    RolledBack,
    /// Live, and not as it should be.
    Incident(Text),
    /// It cannot be applied for a reason of its cluster.
    Blocked(Text),
    Unreachable(Text),
    Unknown(Text),
}

impl RowState {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Soaking { .. } => "soaking",
            Self::Idle => "idle",
            Self::Clean => "clean",
            Self::Withheld(_) => "withheld",
            Self::RolledBack => "rolled back",
            Self::Incident(_) => "incident",
            Self::Blocked(_) => "blocked",
            Self::Unreachable(_) => "unreachable",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Its whole set is seen to be live and closed.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Soaking { .. } | Self::Withheld(_) | Self::Idle | Self::Clean => true,
            Self::Waiting
            | Self::RolledBack
            | Self::Incident(_)
            | Self::Blocked(_)
            | Self::Unreachable(_)
            | Self::Unknown(_) => false,
        }
    }

    /// Nobody can move it by time alone or by an apply.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::Blocked(_) | Self::Unreachable(_) | Self::Unknown(_))
    }

    /// What stands behind the word.
    pub fn why(&self) -> Option<&Text> {
        match self {
            Self::Withheld(why)
            | Self::Incident(why)
            | Self::Blocked(why)
            | Self::Unreachable(why)
            | Self::Unknown(why) => Some(why),
            Self::Waiting | Self::Soaking { .. } | Self::Idle | Self::Clean | Self::RolledBack => None,
        }
    }
}

/// A row before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub target: Target,
    /// Unknown is treated as production.
    pub environment: Environment,
    pub risk: Risk,
    /// 1 goes first within its risk; `None`: after those that have one.
    pub priority: Option<u32>,
    /// Used by many: goes last.
    pub shared: bool,
    /// In the largest cluster of its environment: goes last.
    pub largest: bool,
    /// Namespaces of its cluster that must be clean first; those that are not there are passed over.
    pub after: Vec<NsName>,
    /// The wave that it was applied in, as recorded: it stays there.
    pub recorded: Option<u32>,
    pub state: RowState,
    /// Since when `state` is so.
    pub since: Since,
    /// The lead took it out of its wave.
    pub exclusion: Option<Box<Hold>>,
}

/// Since when a row is in its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    #[default]
    Unknown,
    At(Timestamp),
    /// It was so when this run began to look, and who knows for how long before.
    Before(Timestamp),
}

impl Since {
    /// For how long: `1m`, or `at least 1m (since this run began)`.
    pub fn words(self, now: Timestamp) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::At(at) => Some(span(age(at, now))),
            Self::Before(at) => Some(format!("at least {} (since this run began)", span(age(at, now)))),
        }
    }
}

/// By what a row left its wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Clean,
    Idle,
    Excluded,
}

impl Candidate {
    /// `None`: it stands in its wave.
    pub fn left(&self) -> Option<Left> {
        match self.state {
            _ if self.exclusion.is_some() => Some(Left::Excluded),
            RowState::Clean => Some(Left::Clean),
            RowState::Idle => Some(Left::Idle),
            RowState::Waiting
            | RowState::Soaking { .. }
            | RowState::Withheld(_)
            | RowState::RolledBack
            | RowState::Incident(_)
            | RowState::Blocked(_)
            | RowState::Unreachable(_)
            | RowState::Unknown(_) => None,
        }
    }

    /// It was applied and its soak is not over, whether or not anybody can look at it now.
    pub fn soaks(&self) -> bool {
        match self.state {
            RowState::Soaking { .. } => true,
            RowState::Unreachable(_) | RowState::Unknown(_) => self.recorded.is_some(),
            RowState::Waiting
            | RowState::Idle
            | RowState::Clean
            | RowState::Withheld(_)
            | RowState::RolledBack
            | RowState::Incident(_)
            | RowState::Blocked(_) => false,
        }
    }

    /// Recorded, or seen to be live before anybody recorded it.
    fn was_applied(&self) -> bool {
        self.recorded.is_some() || self.state.is_live()
    }

    /// Rows that cannot go take no place of one that can. One that is live takes its own, also once it
    /// is excluded: else more would be at work at once than the cap allows.
    fn takes_a_place(&self) -> bool {
        self.was_applied() || !(self.state.is_dead() || self.exclusion.is_some())
    }

    /// Ascending: who goes first; of equals by cluster and namespace.
    fn rank(&self) -> impl Ord + use<> {
        let last = u8::from(self.shared) + 2 * u8::from(self.largest);
        let (score, evidence) = (self.risk.score(), self.risk.evidence());
        let late = |score: Option<u8>| (score.is_none(), score);
        let priority = (self.priority.is_none(), self.priority);
        (last, late(score), priority, late(evidence))
    }
}

/// How a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of it was applied.
    Ahead,
    /// Some of it was applied, and rows stand in it.
    Open,
    /// A row was rolled back: nothing after it goes on until that is cleared.
    Held,
    /// Every row has left it.
    Done,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Open => "open",
            Self::Held => "held",
            Self::Done => "done",
        }
    }
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Counted from 1 over staging and production.
    pub number: u32,
    /// Staging, or production.
    pub environment: Environment,
    /// Most rows that are put into it; `None`: all that are left.
    pub size: Option<u32>,
    /// In the order in which they should go.
    pub rows: Vec<Candidate>,
    pub verdict: Verdict,
}

impl Wave {
    /// Rows that have not left it.
    pub fn standing(&self) -> impl Iterator<Item = &Candidate> + Clone {
        self.rows.iter().filter(|row| row.left().is_none())
    }

    fn judge(rows: &[Candidate]) -> Verdict {
        let mut standing = rows.iter().filter(|row| row.left().is_none()).peekable();
        if standing.peek().is_none() {
            Verdict::Done
        } else if standing.any(|row| row.state == RowState::RolledBack) {
            Verdict::Held
        } else if rows.iter().any(Candidate::was_applied) {
            Verdict::Open
        } else {
            Verdict::Ahead
        }
    }
}

/// The waves of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavePlan {
    pub direction: Direction,
    /// Ascending; numbers without a row are left out.
    pub waves: Vec<Wave>,
    /// Rows that wait for each other: none of them can go before that is corrected.
    pub cycles: Vec<Vec<Target>>,
    /// Where each row is: index of its wave, and in it.
    places: BTreeMap<Target, (usize, usize)>,
}

impl WavePlan {
    /// Cuts the rows of one direction into waves.
    pub fn of(direction: Direction, sizes: &WaveSettings, rows: Vec<Candidate>) -> Self {
        let ours = rows.into_iter().filter(|row| row.target.direction == direction);
        // Worked out once a row: there may be fifty thousand.
        let mut rows: Vec<_> = ours.map(|row| (row.rank(), row)).collect();
        rows.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.target.cmp(&other.target)));
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        let mut before = dependencies(&rows);
        let cycles = cycles(&before);
        unwind(&mut before, &cycles);
        let order = sequence(&rows, &before);
        let mut placed: BTreeMap<Target, u32> = BTreeMap::new();
        for staging in [true, false] {
            let cut = Cut::new(sizes, staging, &rows);
            cut.place(order.iter().map(|at| &rows[*at]), &before, &mut placed);
        }
        let mut waves: BTreeMap<u32, Vec<Candidate>> = BTreeMap::new();
        let mut rows: Vec<Option<Candidate>> = rows.into_iter().map(Some).collect();
        for at in order {
            let Some(row) = rows[at].take() else { continue };
            let number = placed.get(&row.target).copied().unwrap_or(LAST);
            waves.entry(number).or_default().push(row);
        }
        let total = waves.values().flatten().filter(|row| !is_staging(row)).count();
        let waves: Vec<_> =
            waves.into_iter().map(|(number, rows)| wave(sizes, total, number, rows)).collect();
        let places = waves.iter().enumerate().flat_map(|(at, wave)| {
            wave.rows.iter().enumerate().map(move |(nth, row)| (row.target.clone(), (at, nth)))
        });
        Self { direction, places: places.collect(), waves, cycles }
    }

    /// Says anew how a row stands, and by that its wave. The row keeps its place.
    pub fn restate(&mut self, target: &Target, state: RowState, since: Since, recorded: Option<u32>) {
        let Some((at, nth)) = self.places.get(target).copied() else { return };
        let Some(wave) = self.waves.get_mut(at) else { return };
        let Some(row) = wave.rows.get_mut(nth) else { return };
        (row.state, row.since, row.recorded) = (state, since, recorded);
        wave.verdict = Wave::judge(&wave.rows);
    }

    /// A row with its wave.
    pub fn row(&self, target: &Target) -> Option<(&Wave, &Candidate)> {
        let (wave, nth) = self.places.get(target)?;
        let wave = self.waves.get(*wave)?;
        Some((wave, wave.rows.get(*nth)?))
    }

    /// Waves before this one in which rows still stand.
    pub fn unfinished_before(&self, number: u32) -> impl Iterator<Item = &Wave> + Clone {
        self.waves.iter().filter(move |wave| wave.number < number && wave.verdict != Verdict::Done)
    }

    /// The wave in which this row was applied and still stands. Once it has left or was taken back, what
    /// stands beside it says nothing of it: to wait for that could go round in a circle over both
    /// directions.
    pub fn stands_applied(&self, target: &Target) -> Option<u32> {
        let (wave, row) = self.row(target)?;
        let stands = row.left().is_none() && row.state != RowState::RolledBack;
        (row.recorded.is_some() && stands).then_some(wave.number)
    }
}

/// Numbers beyond are not believed, whoever recorded them.
const LAST: u32 = 100_000;

fn is_staging(row: &Candidate) -> bool {
    row.environment == Environment::Staging
}

/// Most of all production rows in one wave; one may always go.
fn cap(total: usize, percent: u8) -> usize {
    (total * usize::from(percent) / 100).max(1)
}

/// The size of a wave by its number; `None`: all that are left.
fn size_of(sizes: &WaveSettings, total: usize, number: u32) -> Option<usize> {
    let first = sizes.staging.len() as u32 + 1;
    let (list, nth) = match number.checked_sub(first) {
        Some(nth) => (&sizes.production, nth),
        None => (&sizes.staging, number.saturating_sub(1)),
    };
    let size = list.get(nth as usize).or(list.last()).copied().unwrap_or(WaveSize::Rest);
    let rows = match size {
        WaveSize::Rows(rows) => Some((rows as usize).max(1)),
        WaveSize::Rest => None,
    };
    if number < first {
        return rows;
    }
    let cap = cap(total, sizes.at_most_percent);
    Some(rows.map_or(cap, |rows| rows.min(cap)))
}

fn wave(sizes: &WaveSettings, total: usize, number: u32, mut rows: Vec<Candidate>) -> Wave {
    // Tens of thousands, kept until the next plan: no room for more.
    rows.shrink_to_fit();
    let is_staging = number <= sizes.staging.len() as u32;
    Wave {
        number,
        environment: if is_staging { Environment::Staging } else { Environment::Production },
        size: size_of(sizes, total, number).map(|size| size as u32),
        verdict: Wave::judge(&rows),
        rows,
    }
}

/// For each row that waits for others of the plan, those others.
fn dependencies(rows: &[Candidate]) -> Before<Target> {
    let all: BTreeSet<&Target> = rows.iter().map(|row| &row.target).collect();
    let mut out = Before::new();
    for row in rows {
        let others = row.after.iter().map(|ns| Target { ns: ns.clone(), ..row.target.clone() });
        let there: BTreeSet<_> = others.filter(|other| all.contains(other)).collect();
        if !there.is_empty() {
            out.insert(row.target.clone(), there);
        }
    }
    out
}

/// Rows of one cycle do not wait for each other when places are given; they are named instead.
fn unwind(before: &mut Before<Target>, cycles: &[Vec<Target>]) {
    for group in cycles {
        for target in group {
            if let Some(others) = before.get_mut(target) {
                others.retain(|other| !group.contains(other));
            }
        }
    }
}

/// The order in which rows get their places: by rank, each after those that it waits for.
fn sequence(rows: &[Candidate], before: &Before<Target>) -> Vec<usize> {
    let index: BTreeMap<&Target, usize> =
        rows.iter().enumerate().map(|(at, row)| (&row.target, at)).collect();
    let mut waits = vec![0_usize; rows.len()];
    let mut opens: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    for (target, others) in before {
        for other in others {
            if let (Some(at), Some(first)) = (index.get(target), index.get(other)) {
                waits[*at] += 1;
                opens[*first].push(*at);
            }
        }
    }
    let mut ready: BTreeSet<usize> = (0..rows.len()).filter(|at| waits[*at] == 0).collect();
    let mut out = Vec::with_capacity(rows.len());
    while let Some(at) = ready.pop_first() {
        out.push(at);
        for opened in &opens[at] {
            waits[*opened] -= 1;
            if waits[*opened] == 0 {
                ready.insert(*opened);
            }
        }
    }
    out
}

/// Cutting the rows of one environment into waves.
///
/// Places are given in one direction only: a row never goes into a wave before that of the row ahead
/// of it. So a larger cap, or a row that needs no place, never moves another row to a later wave.
struct Cut<'s> {
    sizes: &'s WaveSettings,
    staging: bool,
    total: usize,
    first: u32,
}

impl<'s> Cut<'s> {
    fn new(sizes: &'s WaveSettings, staging: bool, rows: &[Candidate]) -> Self {
        let total = rows.iter().filter(|row| !is_staging(row)).count();
        let first = if staging { 1 } else { sizes.staging.len() as u32 + 1 };
        Self { sizes, staging, total, first }
    }

    fn place<'r>(
        &self,
        rows: impl Iterator<Item = &'r Candidate> + Clone,
        before: &Before<Target>,
        placed: &mut BTreeMap<Target, u32>,
    ) {
        let ours = rows.filter(|row| is_staging(row) == self.staging);
        let mut used: BTreeMap<u32, usize> = BTreeMap::new();
        for row in ours.clone() {
            if let Some(number) = row.recorded.map(|number| number.clamp(1, LAST)) {
                *used.entry(number).or_default() += 1;
                placed.insert(row.target.clone(), number);
            }
        }
        // Waves that were passed are not filled up again: what is at work at once stays within the cap.
        let newest = used.keys().next_back().copied().unwrap_or(0).max(self.first);
        let mut cursor = if self.staging { newest.min(self.sizes.staging.len() as u32) } else { newest };
        for row in ours.filter(|row| row.recorded.is_none()) {
            let others = before.get(&row.target).into_iter().flatten().filter_map(|other| placed.get(other));
            let earliest = others.map(|number| self.after(*number)).max().unwrap_or(0);
            let mut number = cursor.max(earliest);
            while self.is_full(number, &used) {
                number += 1;
            }
            if row.takes_a_place() {
                cursor = number;
                *used.entry(number).or_default() += 1;
            }
            placed.insert(row.target.clone(), number);
        }
    }

    /// The first wave in which a dependant of a row of this wave may be.
    fn after(&self, number: u32) -> u32 {
        if self.staging { (number + 1).min(self.sizes.staging.len() as u32) } else { number + 1 }
    }

    fn is_full(&self, number: u32, used: &BTreeMap<u32, usize>) -> bool {
        self.size(number).is_some_and(|size| used.get(&number).copied().unwrap_or(0) >= size)
    }

    /// Rows of staging never run on into the waves of production.
    fn size(&self, number: u32) -> Option<usize> {
        let number = if self.staging { number.min(self.sizes.staging.len() as u32) } else { number };
        size_of(self.sizes, self.total, number)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// A run that has just begun does not know for how long it has been so.
    #[test]
    fn since_a_run_began_is_only_the_least() {
        let then = Timestamp::UNIX_EPOCH;
        let now = then + TimeDelta::minutes(1);
        for (since, words) in [
            (Since::Unknown, None),
            (Since::At(then), Some("1m")),
            (Since::Before(then), Some("at least 1m (since this run began)")),
        ] {
            assert_eq!(since.words(now).as_deref(), words);
        }
    }
}
