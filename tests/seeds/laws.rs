//! What must hold, judged by the model's own truth: the laws at each write and each decision, and at
//! the end that everything has come to rest.

use std::collections::HashMap;

use sluice::{
    cockpit::{
        decide::{self, Command, Reason},
        gates,
        orders::{OrderKind, Origin, Preview},
        shared::Share,
        waves,
    },
    domain::{
        flow::Direction,
        hold::{Covers, HoldKind},
        journal::{Act, verify},
        policy::PolicyDigest,
        rollout::Record,
        valve::Step,
        wave::{RowState, Verdict},
    },
};

use super::{
    layout::{CAP_PERCENT, DAY, FLAGGED, MINUTE, Row, VENDOR_A, VENDOR_B},
    one::{Sluice, opens_flagged},
    outside::{Api, place_name},
    state::State,
    story::Story,
};

const NEEDED: i64 = 48 * 60;
const LAPSES: i64 = 14 * DAY;

/// What was found out so far.
#[derive(Default)]
pub struct Laws {
    /// Our own bytes of which 48 hours were truly seen, beside whatever policies of others, and when that
    /// was known.
    proved: HashMap<(Row, PolicyDigest), i64>,
    /// When the observer was last told that workloads of a row are denied this.
    denied: HashMap<(Row, u8), i64>,
    /// Applies that were decided, and when.
    advanced: HashMap<Row, i64>,
}

/// Minutes that may count for these bytes, at most.
fn truth(story: &Story, row: Row, digest: PolicyDigest) -> i64 {
    // A clock that is behind lets credit lapse later.
    let behind = story.sluices.iter().map(|sluice| -sluice.skew).max().unwrap_or(0).max(0);
    let window = (story.now - LAPSES - behind, story.now);
    let bits = story.clusters[row.cluster].truth(row.ns, row.direction, digest, window);
    bits.count(0, story.now / MINUTE)
}

/// Were 48 hours of these bytes seen, and nothing since that voids them: no rollback, no other digest, no
/// other ground? What soaks are all policies of the direction; ours are what a row is known by.
fn is_proved(story: &mut Story, row: Row, ours: PolicyDigest) -> bool {
    let is_live = story.clusters[row.cluster].digests(row.ns, row.direction).ours == ours;
    if let Some(all) = live_digest(story, row).filter(|_| is_live)
        && truth(story, row, all) >= NEEDED
    {
        story.laws.proved.insert((row, ours), story.now);
    }
    let void = story.clusters[row.cluster].void_before(row.ns, row.direction);
    story.laws.proved.get(&(row, ours)).is_some_and(|at| *at >= void)
}

/// The observer was told what is denied in this cluster.
pub fn denied(story: &mut Story, cluster: usize) {
    for row in Row::all().filter(|row| row.cluster == cluster) {
        let lacks = story.needs[&row] & !story.clusters[cluster].may(row.ns, row.direction);
        for bit in [VENDOR_A, VENDOR_B, FLAGGED].into_iter().filter(|bit| lacks & bit != 0) {
            story.laws.denied.insert((row, bit), story.now);
        }
    }
}

/// A write is about to land in the state cluster.
pub fn will_write(story: &mut Story, who: usize, share: &Share) {
    let Share::Record { record, .. } = share else { return };
    let row = Row::of(&record.target);
    let known = story.state.records.get(&row).map(|kept| &kept.value);
    if known.and_then(|known| known.wave) != record.wave {
        story.say(|| format!("sluice {who} records {row} in wave {:?}", record.wave));
    }
    let before = story.state.records.get(&row).and_then(|kept| kept.value.clean.as_ref());
    let before = before.map(|clean| (clean.digest, clean.at));
    let Some(clean) = record.clean.as_ref().filter(|clean| before != Some((clean.digest, clean.at))) else {
        return;
    };
    story.counts.cleans += 1;
    story.say(|| format!("sluice {who} records {row} as clean"));
    // Laws 2 and 3.
    if !is_proved(story, row, clean.digest) {
        let seen = live_digest(story, row).map_or(0, |digest| truth(story, row, digest));
        let said = format!("{row} is recorded as clean with {seen} of 2880 minutes seen");
        story.break_law("3: no unobserved minute counts", said);
    }
    let may = story.clusters[row.cluster].may(row.ns, row.direction);
    let since =
        story.clusters[row.cluster].closed[row.ns][row.direction as usize].last().map_or(0, |it| it.0);
    let (lacks, uid) = (story.needs[&row] & !may, story.clusters[row.cluster].uid);
    for bit in [VENDOR_A, VENDOR_B, FLAGGED].into_iter().filter(|bit| lacks & bit != 0) {
        let told = story.laws.denied.get(&(row, bit)).is_some_and(|at| *at >= since);
        if told && !story.state.waives((row, uid), place_name(bit), story.latest(who)) {
            story.break_law("2: clean without an open hurting group", format!("{row}: {}", place_name(bit)));
        }
    }
}

/// What soaks: the digest over everything that selects the pods, foreign policies too.
fn live_digest(story: &Story, row: Row) -> Option<PolicyDigest> {
    story.clusters[row.cluster].tight(row.ns, row.direction)
}

/// An order wrote: law 1.
pub fn wrote(story: &mut Story, (who, at): (usize, usize), step: &Step, (before, after): (u8, u8)) {
    if before & !after == 0 {
        return;
    }
    let running = &story.sluices[who].running[at];
    let steps = running.steps.as_deref().unwrap_or_default();
    let opened = steps.first().is_some_and(|first| matches!(first, Step::Open(_)));
    let is_last = steps.last() == Some(step) && matches!(step, Step::Tighten(_));
    if opened && !is_last {
        let said = format!("{} {:?}: {step:?} took {:#b} away", running.row, running.kind, before & !after);
        story.break_law("1: nothing closes before the last write", said);
    }
}

/// An apply was decided; `preview` is what will be written. Laws 2 and 4.
pub fn advances(story: &mut Story, who: usize, preview: &Preview) {
    let row = Row::of(&preview.target);
    story.counts.applies += 1;
    story.say(|| format!("sluice {who} applies {row}"));
    let cluster = &story.clusters[row.cluster];
    let (uid, enforces, known) = (cluster.uid, cluster.enforces, cluster.seen[who].api == Api::Up);
    if !story.sluices[who].linked {
        story.break_law("2: nothing advances without the team's state", format!("{row}"));
    }
    if known && !enforces {
        story.break_law("2: nothing is applied where nothing enforces", format!("{row}"));
    }
    if opens_flagged(preview) && !story.state.is_granted(row, uid, story.latest(who)) {
        story
            .break_law("4: a flagged destination needs a grant", format!("{row}: {:?}", story.state.reviews));
    }
    let held: Vec<_> = [HoldKind::Hold, HoldKind::Exclusion]
        .into_iter()
        .flat_map(|kind| story.state.holds_on(row, kind, story.latest(who)))
        .map(|hold| hold.reason.to_string())
        .collect();
    if !held.is_empty() {
        story.break_law("2: what is held does not advance", format!("{row}: {held:?}"));
    }
    if preview.origin == Origin::Workspace {
        waves_before(story, who, row, preview.digest);
        egress_first(story, who, row, preview.digest);
    }
    story.laws.advanced.insert(row, story.now);
}

/// Wave order by the plain words of the product: one of staging, all of staging, one of production;
/// then never more at once than the cap, and no wave before the one ahead of it.
fn waves_before(story: &mut Story, who: usize, row: Row, digest: PolicyDigest) {
    let here = (row, story.clusters[row.cluster].uid);
    let over = [Covers::Soak, Covers::Order]
        .map(|gate| story.state.is_overridden(here, digest, gate, story.latest(who)));
    let number = |row: Row| {
        let plan = story.sluices[who].world.waves().plan(row.direction);
        plan.row(&row.target()).map(|(wave, _)| wave.number)
    };
    let Some(mine) = number(row) else {
        return story.break_law("2: wave order", format!("{row} is in no wave"));
    };
    let others = Row::all().filter(|other| other.direction == row.direction && *other != row);
    let mut ahead: Vec<Row> = Vec::new();
    let mut beside = 0;
    for other in others {
        let recorded = record(story, who, other).and_then(|record| record.wave);
        let first = recorded == Some(if row.is_staging() { 1 } else { 3 });
        let goes_first = if row.is_staging() { first } else { other.is_staging() || first };
        if goes_first || number(other).is_some_and(|number| number < mine) {
            ahead.push(other);
        } else if number(other) == Some(mine) && recorded.is_some() && !other.is_staging() {
            beside += 1;
        }
    }
    let production = Row::all().filter(|one| one.direction == row.direction && !one.is_staging()).count();
    let cap = (production * usize::from(CAP_PERCENT) / 100).max(1);
    if !row.is_staging() && beside >= cap {
        story.break_law("2: wave order", format!("{row} goes with {beside} others of its wave"));
    }
    for other in ahead {
        let why = stands(story, who, other);
        let opened = |why: &Standing| match why {
            Standing::Soaks(_) => over[0],
            Standing::Else(_) => over[1],
        };
        if let Some(why) = why.filter(|why| !opened(why)) {
            let said = format!("{row} of wave {mine} goes before {other} has left its wave: {why:?}");
            story.break_law("2: wave order", said);
        }
    }
}

/// Ingress of a namespace that is not live starts after its egress, unless the order was overridden.
fn egress_first(story: &mut Story, who: usize, row: Row, digest: PolicyDigest) {
    let is_live = story.clusters[row.cluster].tight(row.ns, row.direction).is_some();
    let here = (row, story.clusters[row.cluster].uid);
    let is_over = story.state.is_overridden(here, digest, Covers::Order, story.latest(who));
    if row.direction == Direction::Egress || is_live || is_over {
        return;
    }
    let egress = Row { direction: Direction::Egress, ..row };
    if let Some(why) = stands(story, who, egress) {
        story.break_law("2: egress goes first", format!("{row} starts, and {egress}: {why:?}"));
    }
}

/// What is recorded of a row. Who sees that its cluster was built anew counts nothing of the old one.
fn record(story: &Story, who: usize, row: Row) -> Option<&Record> {
    let cluster = &story.clusters[row.cluster];
    let record = &story.state.records.get(&row)?.value;
    let is_known = cluster.seen[who].api == Api::Up;
    (!is_known || State::uids(row.cluster, cluster.uid).contains(&record.uid)).then_some(record)
}

/// Why a row has not left its wave.
#[derive(Debug)]
#[expect(dead_code, reason = "printed where a seed fails")]
enum Standing {
    Soaks(i64),
    Else(&'static str),
}

/// `None`: it has left its wave.
fn stands(story: &mut Story, who: usize, row: Row) -> Option<Standing> {
    if story.state.holds_on(row, HoldKind::Exclusion, story.latest(who)).next().is_some() {
        return None;
    }
    // No pods, as far as this sluice can know.
    let cluster = &story.clusters[row.cluster];
    if cluster.runs[row.ns] == 0 || cluster.seen[who].api != Api::Up || cluster.seen[who].partial {
        let seen = story.sluices[who].world.namespace(&row.target().cluster, &row.target().ns);
        if seen.is_some_and(|ns| ns.subjects().next().is_none()) && live_digest(story, row).is_some() {
            return None;
        }
    }
    let Some(record) = record(story, who, row).cloned() else {
        return Some(Standing::Else("never applied"));
    };
    let (Some(applied), None) = (&record.applied, &record.rolled_back) else {
        return Some(Standing::Else("taken back"));
    };
    let cluster = &story.clusters[row.cluster];
    if cluster.seen[who].api == Api::Up && cluster.digests(row.ns, row.direction).ours != applied.digest {
        return Some(Standing::Else("other bytes are live than were applied"));
    }
    let digest = live_digest(story, row).unwrap_or(applied.digest);
    (!is_proved(story, row, applied.digest)).then(|| Standing::Soaks(truth(story, row, digest)))
}

/// What must hold at any moment, looked at in one place.
pub fn spot(story: &mut Story, who: usize) {
    if !story.sluices[who].alive {
        return;
    }
    let all: Vec<_> = Row::all().collect();
    let row = *story.rng.choice(&all).expect("some");
    rollback_works(story, who, row);
    let row = *story.rng.choice(&all).expect("some");
    counts_no_more_than_was_seen(story, who, row);
    flagged_is_shown(story, who, row);
}

/// Law 6.
fn rollback_works(story: &mut Story, who: usize, row: Row) {
    let world = &story.sluices[who].world;
    let against = decide::rollback_reasons(world, &row.target());
    let is_under_way = |reason: &Reason| matches!(reason, Reason::InFlight { kind: "rollback", .. });
    let refused = !against.iter().all(is_under_way);
    if refused {
        story.break_law("6: rollback works in every state", format!("{row}: {against:?}"));
    }
}

/// Law 6, of what runs: looked at before each of its writes.
pub fn abort_works(story: &mut Story, who: usize) {
    let world = &story.sluices[who].world;
    let applies = world.running().any(|order| order.kind.applies());
    if let Err(refusal) = decide::decide(world, &Command::Abort(Vec::new()))
        && applies
    {
        story.break_law("6: abort works in every state", refusal.to_string());
    }
}

/// Law 3.
fn counts_no_more_than_was_seen(story: &mut Story, who: usize, row: Row) {
    let world = &story.sluices[who].world;
    let Some(judged) = world.soaks().judged(&row.target(), world) else { return };
    let Some(digest) = live_digest(story, row) else { return };
    let seen = truth(story, row, digest);
    // One that is not connected may believe in bytes that are no more, or in what was taken back since.
    let knows = story.clusters[row.cluster].seen[who].api == Api::Up && story.sluices[who].linked;
    if knows && judged.credited > seen {
        let said = format!("{row}: sluice {who} counts {} minutes, {seen} were seen", judged.credited);
        story.break_law("3: no unobserved minute counts", said);
    }
}

/// Law 4, of what went live by other means.
fn flagged_is_shown(story: &mut Story, who: usize, row: Row) {
    let cluster = &story.clusters[row.cluster];
    let sluice = &story.sluices[who];
    let known = sluice.linked && cluster.seen[who].api == Api::Up && row.direction == Direction::Egress;
    let busy = sluice.world.orders().in_flight(&row.target().cluster, &row.target().ns).is_some();
    let opens =
        cluster.tight(row.ns, row.direction).is_some() && cluster.may(row.ns, row.direction) & FLAGGED != 0;
    if known && opens && !busy && !story.state.is_granted(row, cluster.uid, story.latest(who)) {
        let told = sluice::cockpit::gate::incidents_of(&sluice.world, &row.target());
        if told.is_empty() {
            story.break_law("4: what is flagged and live is an incident", format!("{row}"));
        }
    }
}

// Rest.

/// Why a row is not at rest; `None`: it is steady.
fn unrest(story: &Story, row: Row) -> Option<String> {
    let sluice = &story.sluices[0];
    let target = row.target();
    let (state, _) = waves::row_state(&sluice.world, &target);
    let recorded = story.state.records.get(&row).and_then(|kept| kept.value.clean.as_ref());
    let live = story.clusters[row.cluster].has(row, story.allowlists[&row]);
    let excluded = story.state.holds_on(row, HoldKind::Exclusion, story.latest(0)).next().is_some();
    if excluded || (state == RowState::Clean && recorded.is_some() && live) {
        return None;
    }
    let missing: Vec<_> = gates::missing(&sluice.world, &target).iter().map(ToString::to_string).collect();
    Some(format!("{row}: {state:?}, live {live}, recorded {}; {missing:?}", recorded.is_some()))
}

pub fn is_at_rest(story: &Story) -> bool {
    let clean = story.state.records.values().filter(|kept| kept.value.clean.is_some()).count();
    let quiet = story.sluices.iter().all(|sluice| sluice.running.is_empty());
    let written = story.sluices.iter().all(|sluice| sluice.waits_for_journal() == 0);
    clean * 2 >= Row::all().count() && quiet && written && Row::all().all(|row| unrest(story, row).is_none())
}

/// Everything that is not at rest, in words.
pub fn what_stands(story: &Story) -> String {
    let rows: Vec<_> = Row::all().filter_map(|row| unrest(story, row)).collect();
    let waiting: Vec<_> = story.sluices.iter().map(|sluice| sluice.waits_for_journal()).collect();
    let waves: Vec<_> = story.sluices.iter().map(open_waves).collect();
    let words = [rows.join("\n"), waves.join("\n")].join("\n");
    format!("{} rows, journals wait {waiting:?}:\n{words}", rows.len())
}

/// Rows that stand in the first wave that is not done, as one sluice sees them.
fn open_waves(sluice: &Sluice) -> String {
    let open = Direction::ALL.into_iter().flat_map(|direction| {
        let mut waves = sluice.world.waves().plan(direction).waves.iter();
        let wave = waves.find(|wave| wave.verdict != Verdict::Done);
        wave.into_iter().flat_map(|wave| wave.standing().map(move |row| (wave.number, row)))
    });
    let rows: Vec<_> = open
        .map(|(wave, row)| format!("  {} of wave {wave}: {:?} since {:?}", row.target, row.state, row.since))
        .collect();
    format!("{} sees:\n{}", sluice.user, rows.join("\n"))
}

/// Law 5, at the end: every order that wrote is in the journal, and its chain holds.
pub fn at_rest(story: &mut Story) {
    let entries: Vec<_> = story.state.journal.values().map(|kept| kept.value.clone()).collect();
    if let Err(broken) = verify(&entries) {
        story.break_law("5: the journal holds together", broken.to_string());
    }
    let applied = entries.iter().filter(|entry| matches!(entry.act, Act::Apply | Act::Revert)).count() as u64;
    let back = entries.iter().filter(|entry| entry.act == Act::Rollback).count() as u64;
    if (applied, back) != (story.counts.applies, story.counts.rollbacks) {
        let said = format!(
            "{applied} applies and {back} rollbacks of {} and {}",
            story.counts.applies, story.counts.rollbacks
        );
        story.break_law("5: every act is recorded", said);
    }
    for who in 0..story.sluices.len() {
        let rolled =
            story.sluices[who].world.running().filter(|order| order.kind == OrderKind::Rollback).count();
        if rolled > 0 {
            story.break_law("rest", format!("sluice {who} still rolls back"));
        }
    }
}
