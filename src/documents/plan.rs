//! The plan as `sluice plan` prints it as text: what may go now, how each wave stands, when it ends,
//! and for every row that waits each missing reason with who can clear it. Rows with the same reasons
//! stand together. JSON is in `plan_json`.

use std::collections::BTreeMap;

use super::table::Table;
use crate::{
    cockpit::{
        decide::Reason,
        gates::Gate,
        planned::{Ask, PlanRow, plan_rows},
        waiving,
        waves::calendar,
        why::{Why, clock},
        world::World,
    },
    domain::{
        flow::Direction,
        forecast::{ASSUMES, Forecast},
        names::ClusterName,
        soak::length,
        time::{Timestamp, span},
        wave::{Candidate, Left, RowState, Verdict, Wave, WavePlan},
    },
};

/// Rows that are printed of a plan; waves are always those of the whole fleet.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Empty: all.
    pub clusters: Vec<ClusterName>,
    pub direction: Option<Direction>,
}

impl Shown {
    pub(super) fn directions(&self) -> impl Iterator<Item = Direction> {
        let only = self.direction;
        Direction::ALL.into_iter().filter(move |direction| only.is_none_or(|only| only == *direction))
    }

    pub(super) fn has(&self, row: &Candidate) -> bool {
        self.clusters.is_empty() || self.clusters.contains(&row.target.cluster)
    }

    /// The rows that are shown, in the order in which they should go.
    pub fn rows<'w>(&self, world: &'w World, direction: Direction) -> Vec<PlanRow<'w>> {
        plan_rows(world, direction).filter(|row| self.has(row.row)).collect()
    }
}

/// The whole plan.
pub fn text(world: &World, shown: &Shown) -> String {
    let mut out = format!("Plan of {}\n", moment(world, world.now()));
    if world.plan().path.is_none() {
        out.push_str(&format!("  nothing is planned: {}\n", Reason::NoWorkspace));
        return out;
    }
    let unread: Vec<_> = world.waves().unread.iter().map(ToString::to_string).collect();
    if !unread.is_empty() {
        out.push_str(&format!("  not read, rows may be missing: {}\n", unread.join(", ")));
    }
    for direction in shown.directions() {
        out.push('\n');
        direction_text(&mut out, world, shown, direction);
    }
    out
}

fn direction_text(out: &mut String, world: &World, shown: &Shown, direction: Direction) {
    let (plan, rows) = (world.waves().plan(direction), shown.rows(world, direction));
    if rows.is_empty() {
        out.push_str(&format!("{direction}: no row\n"));
        return;
    }
    let of = |ask: Ask| rows.iter().filter(move |row| row.ask == ask);
    let (go, wait) = (of(Ask::MayGo).count(), of(Ask::Waits).count());
    let (work, left) = (of(Ask::AtWork).count(), of(Ask::Left).count());
    out.push_str(&format!(
        "{direction}: {go} may go now, {wait} wait, {work} at work, {left} have left their wave\n"
    ));
    if go > 0 {
        out.push_str("  may go now\n");
        for row in of(Ask::MayGo) {
            let state = if row.row.state == RowState::Waiting {
                String::new()
            } else {
                state_words(row.row, world.now())
            };
            out.push_str(format!("    wave {}  {}  {state}", row.wave, place(row.row)).trim_end());
            out.push('\n');
        }
    }
    out.push_str("  waves\n");
    out.push_str(&waves_text(world, plan));
    for wave in plan.waves.iter().filter(|wave| matches!(wave.verdict, Verdict::Open | Verdict::Held)) {
        out.push_str(&format!("  wave {} is {}; in it stand\n", wave.number, wave.verdict.as_str()));
        for row in wave.standing().filter(|row| shown.has(row)) {
            out.push_str(&format!("    {}  {}\n", place(row), state_words(row, world.now())));
        }
    }
    excluded_text(out, world, plan, shown);
    for (row, shadow) in rows.iter().filter_map(|row| Some((row.row, row.shadow.as_ref()?))) {
        out.push_str(&format!("  {}: {}\n", place(row), shadow.words(world.now(), world.zone())));
    }
    overridden_text(out, world, &rows);
    for group in &plan.cycles {
        let names: Vec<_> = group.iter().map(|target| format!("{}/{}", target.cluster, target.ns)).collect();
        out.push_str(&format!("  these wait for each other: {}\n", names.join(", ")));
    }
    forecast_text(out, world, world.waves().forecast(direction));
    if wait > 0 {
        out.push_str("  wait\n");
        waiting_text(out, &of(Ask::Waits).collect::<Vec<_>>());
    }
}

fn place(row: &Candidate) -> String {
    format!("{}/{}", row.target.cluster, row.target.ns)
}

/// A state with what stands behind it, and for how long.
pub fn state_words(row: &Candidate, now: Timestamp) -> String {
    let since = row.since.words(now).map_or(String::new(), |since| format!(", for {since}"));
    match &row.state {
        RowState::Soaking { credited, needed, .. } => {
            let credited =
                credited.map_or("? credited".to_owned(), |credited| format!("{} credited", span(credited)));
            format!("soaking: {credited} of {}{since}", length(needed.num_minutes()))
        }
        state => match state.why() {
            Some(why) => format!("{}: {why}{since}", state.word()),
            None => format!("{}{since}", state.word()),
        },
    }
}

/// In the zone of working hours.
fn moment(world: &World, at: Timestamp) -> String {
    clock(at, calendar(world).zone(at))
}

fn waves_text(world: &World, plan: &WavePlan) -> String {
    let dates = &world.waves().forecast(plan.direction).waves;
    let headings =
        ["WAVE", "ENVIRONMENT", "VERDICT", "ROWS", "AT MOST", "CLEAN", "SOAKING", "OTHERS", "STARTS", "ENDS"];
    let mut table = Table::new(&headings);
    for wave in &plan.waves {
        let date = dates.iter().find(|dates| dates.number == wave.number);
        let when = |at: Option<Timestamp>| at.map_or("?".to_owned(), |at| moment(world, at));
        let stuck = date.map_or(0, |date| date.stuck);
        let (starts, ends) = match (wave.verdict, date) {
            (Verdict::Done, _) | (_, None) => ("-".to_owned(), "-".to_owned()),
            (Verdict::Open | Verdict::Held, Some(date)) => ("started".to_owned(), when(date.ends)),
            (Verdict::Ahead, Some(date)) => (when(date.starts), when(date.ends)),
        };
        let ends = if stuck > 0 { format!("{ends}, {stuck} to clear") } else { ends };
        let [clean, soaking, others] = counts(wave);
        table.row([
            wave.number.to_string(),
            wave.environment.as_str().to_owned(),
            wave.verdict.as_str().to_owned(),
            wave.rows.len().to_string(),
            wave.size.map_or("rest".to_owned(), |size| size.to_string()),
            clean.to_string(),
            soaking.to_string(),
            others.to_string(),
            starts,
            ends,
        ]);
    }
    table.text("    ")
}

/// Clean, soaking, and all others.
fn counts(wave: &Wave) -> [usize; 3] {
    let clean = wave.rows.iter().filter(|row| row.left() == Some(Left::Clean)).count();
    let soaking = wave.standing().filter(|row| matches!(row.state, RowState::Soaking { .. })).count();
    [clean, soaking, wave.rows.len() - clean - soaking]
}

fn excluded_text(out: &mut String, world: &World, plan: &WavePlan, shown: &Shown) {
    let rows = plan.waves.iter().flat_map(|wave| &wave.rows).filter(|row| shown.has(row));
    for (row, hold) in rows.filter_map(|row| Some((row, row.exclusion.as_ref()?))) {
        let until =
            hold.expires.map_or(String::new(), |expires| format!(" until {}", moment(world, expires)));
        out.push_str(&format!("  excluded: {} by {}{until}: {}\n", place(row), hold.stamp.by, hold.reason));
    }
}

/// Overrides, those that wait with the name that a second person confirms.
fn overridden_text(out: &mut String, world: &World, rows: &[PlanRow<'_>]) {
    for kept in rows.iter().flat_map(|row| waiving::marks(world, &row.row.target)) {
        let stands = match &kept.value.confirmed {
            Some(stamp) => format!("confirmed by {}", stamp.by),
            None => format!("waits for a second person: `sluice override confirm {}`", kept.name),
        };
        out.push_str(&format!("  override {}; {stands}\n", waiving::override_words(world, kept)));
    }
}

fn forecast_text(out: &mut String, world: &World, forecast: &Forecast) {
    let when = |at: Option<Timestamp>| at.map_or("unknown".to_owned(), |at| moment(world, at));
    let pace = forecast.pace.and_then(|pace| pace.percent());
    let pace = pace.map_or("no row is being credited now".to_owned(), |percent| {
        format!("{percent} % of wall time is credited")
    });
    out.push_str(&format!(
        "  forecast\n    end {} ({pace}); at best {}\n",
        when(forecast.end),
        when(forecast.earliest)
    ));
    for delay in &forecast.delays {
        let left = delay.left.map_or("no date".to_owned(), |left| format!("{} left", span(left)));
        let (cluster, ns) = (&delay.target.cluster, &delay.target.ns);
        out.push_str(&format!(
            "    delays it: {cluster}/{ns} (wave {}, {}), {left}\n",
            delay.wave,
            delay.state.word()
        ));
    }
    out.push_str("    it assumes that\n");
    out.extend(ASSUMES.iter().map(|what| format!("      - {what}\n")));
}

/// What is in the way of all is said once; rows with the same reasons stand together, in the order of
/// the first of them.
fn waiting_text(out: &mut String, rows: &[&PlanRow<'_>]) {
    let Some(first) = rows.first() else { return };
    let is_common = |gate: &&Gate| rows.len() > 1 && rows.iter().all(|row| row.missing.contains(gate));
    let common: Vec<&Gate> = first.missing.iter().filter(is_common).collect();
    if !common.is_empty() {
        out.push_str("    all of these\n");
        out.extend(common.iter().map(|gate| reason_line(gate)));
    }
    let mut groups: Vec<(String, BTreeMap<u32, Vec<String>>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        // The waves between are to be seen by the numbers.
        let own = row.missing.iter().filter(|gate| !matches!(gate.reason, Why::WavesBetween(_)));
        let mut reasons: String = own.filter(|gate| !common.contains(gate)).map(reason_line).collect();
        if reasons.is_empty() {
            reasons.push_str("      - nothing else\n");
        }
        let at = *known.entry(reasons.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((reasons, BTreeMap::new()));
        }
        groups[at].1.entry(row.wave).or_default().push(place(row.row));
    }
    for (reasons, waves) in groups {
        for (wave, rows) in waves {
            out.push_str(&format!("    wave {wave}  {}\n", rows.join(" ")));
        }
        out.push_str(&reasons);
    }
}

fn reason_line(gate: &Gate) -> String {
    let opens =
        gate.covers.map_or(String::new(), |covers| format!("; an override of {} opens it", covers.as_str()));
    format!("      - {gate} [{}{opens}]\n", gate.who.as_str())
}
