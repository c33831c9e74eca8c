//! Two operators, ann and bob, each with a sluice of their own. They drive the rollout by what their
//! sluice shows, at the same time, and while faults last they also try what they should not.

use chrono::TimeDelta;
use sluice::{
    cockpit::{
        decide::{Asking, Command, Deciding, Reason, Shown},
        gates,
        holding::Wanted,
        incidents::Drift,
        orders::{OrderId, OrderState},
        waiving::{Overriding, Waiving},
    },
    domain::{
        flow::{Direction, Protocol},
        grant::{DecisionVerdict, Grant, Opening, PortSpan, Standing},
        hold::{Covers, HoldKind, Scope, Subject},
        names::{NsName, Text},
        policy::Selector,
        rollout::Target,
        wave::{RowState, Since, Verdict},
    },
};

use super::{
    laws,
    layout::{self, CLUSTERS, DAY, FLAGGED, FLAGGED_PORT, Row, VENDOR_A, VENDOR_B, flagged_network},
    outside::place_name,
    state::State,
    story::Story,
};

pub fn act(story: &mut Story, who: usize) {
    if !story.sluices[who].alive {
        return;
    }
    apply_previews(story, who);
    incidents(story, who);
    decide_reviews(story, who);
    release(story, who);
    confirm(story, who);
    for direction in Direction::ALL {
        drive(story, who, direction);
    }
    if story.calm {
        authored(story, who);
    } else {
        meddle(story, who);
    }
    // What was previewed just now may be confirmed at once, or later, when much has changed.
    if story.calm || story.rng.bool() {
        apply_previews(story, who);
    }
}

/// Does, or counts why not.
fn order(story: &mut Story, who: usize, command: &Command) -> Result<Vec<OrderId>, Vec<Reason>> {
    story.sluices[who].command(command).map_err(|refusal| {
        story.counts.refusals += 1;
        story.say(|| format!("sluice {who}: {refusal}"));
        refusal.reasons
    })
}

fn apply_previews(story: &mut Story, who: usize) {
    let ids: Vec<_> = std::mem::take(&mut story.sluices[who].previews).into_iter().collect();
    for id in ids {
        let orders = story.sluices[who].world.orders();
        let Some(OrderState::Previewed(preview)) = orders.get(id).map(|order| &order.state) else { continue };
        let preview = preview.clone();
        match order(story, who, &Command::Apply(vec![id])) {
            Ok(_) => laws::advances(story, who, &preview),
            Err(reasons) => turned_away(story, who, id, &preview.target, &reasons),
        }
    }
}

/// What an operator does about a refusal.
fn turned_away(story: &mut Story, who: usize, id: OrderId, target: &Target, reasons: &[Reason]) {
    let row = Row::of(target);
    if reasons.iter().any(|reason| matches!(reason, Reason::OwnerGate { .. })) {
        ask(story, who, row);
    }
    let opens = |reason: &Reason| match reason {
        Reason::Gate(gate) => gate.covers,
        _ => None,
    };
    let covers: Vec<Covers> = reasons.iter().filter_map(opens).collect();
    let foolish = !story.calm && story.rng.u8(0..6) == 0;
    if covers.len() == reasons.len() && foolish {
        let expires = expiry(story, who, 3);
        let reason = Text::new("the release cannot wait");
        let over = Overriding { preview: id, covers, reason, expires };
        let _ = order(story, who, &Command::Override(Box::new(over)));
    }
}

fn expiry(story: &Story, who: usize, days: i64) -> sluice::domain::time::Timestamp {
    story.sluices[who].world.now() + TimeDelta::days(days)
}

/// Asks for what the workspace's bytes open.
fn ask(story: &mut Story, who: usize, row: Row) {
    let uid = story.clusters[row.cluster].uid;
    let grant = Grant {
        clusters: State::uids(row.cluster, uid),
        ns: layout::ns_name(row.name()),
        selector: Selector::default(),
        direction: row.direction,
        destination: Opening::Networks(vec![flagged_network()]),
        ports: vec![PortSpan { protocol: Protocol::Tcp, from: FLAGGED_PORT, to: FLAGGED_PORT }],
        expires: expiry(story, who, 90),
    };
    let asking = Asking { grants: vec![grant], purpose: Text::new("the shop needs it") };
    let _ = order(story, who, &Command::AskReview(Box::new(asking)));
}

/// Each decides what the other asked for. Sometimes one tries his own.
fn decide_reviews(story: &mut Story, who: usize) {
    let sluice = &story.sluices[who];
    let open: Vec<(Shown, String, NsName, bool)> = sluice
        .world
        .shared()
        .reviews()
        .filter_map(|kept| {
            let uid = kept.value.grant.clusters.first()?;
            let standing = kept.value.standing(uid, Some(sluice.world.now()), &[]);
            let is_open = standing == Standing::Open;
            let is_approved = matches!(standing, Standing::Approved { .. });
            (is_open || is_approved).then(|| {
                let shown = Shown { name: kept.name.clone(), version: kept.version.clone() };
                (shown, kept.value.requested_by.to_string(), kept.value.grant.ns.clone(), is_open)
            })
        })
        .collect();
    for (shown, by, _, is_open) in open {
        let is_own = by.starts_with(story.sluices[who].user);
        // What others ask for waits, and is turned down once there is time for it.
        let is_of_team = matches!(by.as_str(), "ann" | "bob");
        let sane = is_open && !is_own && (is_of_team || story.calm);
        let foolish = !story.calm && story.rng.u8(0..12) == 0;
        if !sane && !foolish {
            continue;
        }
        let verdict = match (is_open, story.rng.u8(0..3)) {
            (false, _) => DecisionVerdict::Revoked,
            (true, _) if !is_of_team && story.calm => DecisionVerdict::Rejected,
            (true, 0) => DecisionVerdict::Rejected,
            (true, _) => DecisionVerdict::Approved,
        };
        let days = story.rng.i64(20..80);
        let deciding = Deciding {
            reviews: vec![shown],
            verdict,
            reason: Text::new("looked at"),
            ticket: None,
            expires: story.rng.bool().then(|| expiry(story, who, days)),
            clusters: None,
        };
        let _ = order(story, who, &Command::DecideReview(Box::new(deciding)));
    }
}

/// Rows of one direction: the first wave that is not done.
fn drive(story: &mut Story, who: usize, direction: Direction) {
    let world = &story.sluices[who].world;
    let plan = world.waves().plan(direction);
    let Some(wave) = plan.waves.iter().find(|wave| wave.verdict != Verdict::Done) else { return };
    let rows: Vec<_> = wave
        .standing()
        .map(|row| (Row::of(&row.target), row.state.clone(), row.since, row.recorded.is_some()))
        .collect();
    let now = world.now();
    for (row, state, since, _) in rows {
        let since = match since {
            Since::Unknown => 0,
            Since::At(at) | Since::Before(at) => (now - at).num_seconds(),
        };
        match state {
            RowState::Waiting | RowState::RolledBack => preview(story, who, row),
            RowState::Withheld(_) | RowState::Soaking { .. } => withheld(story, who, row),
            RowState::Unreachable(_) | RowState::Blocked(_) | RowState::Unknown(_) if since > DAY / 2 => {
                exclude(story, who, row);
            }
            RowState::Incident(_) => mend(story, who, row, true),
            RowState::Unreachable(_)
            | RowState::Blocked(_)
            | RowState::Unknown(_)
            | RowState::Idle
            | RowState::Clean => {}
        }
    }
}

/// What waits in the workspace for rows that were applied once.
fn authored(story: &mut Story, who: usize) {
    rejected(story);
    for row in Row::all() {
        let applied = story.state.records.get(&row).is_some_and(|kept| kept.value.applied.is_some());
        if applied && !story.clusters[row.cluster].has(row, story.allowlists[&row]) {
            preview(story, who, row);
        }
    }
}

fn preview(story: &mut Story, who: usize, row: Row) {
    let _ = order(story, who, &Command::Preview(vec![row.target()]));
}

/// Denied groups are waived, or the bytes are written anew with what the workloads need.
fn withheld(story: &mut Story, who: usize, row: Row) {
    let world = &story.sluices[who].world;
    let Some(judged) = world.soaks().judged(&row.target(), world) else { return };
    let keys: Vec<_> = judged.open.iter().map(|group| group.key.clone()).collect();
    for key in keys {
        if story.rng.bool() {
            let waiving = Waiving {
                target: row.target(),
                subject: Subject::Denial(key),
                reason: Text::new("nobody needs it"),
                expires: expiry(story, who, if story.calm { 90 } else { 6 }),
            };
            let _ = order(story, who, &Command::Waive(Box::new(waiving)));
        } else if let Some(bit) =
            [VENDOR_A, VENDOR_B].into_iter().find(|bit| place_name(*bit) == key.destination.as_str())
        {
            author(story, row, |opens| opens | bit);
        }
    }
    // Bytes that wait in the workspace.
    let live = story.clusters[row.cluster].has(row, story.allowlists[&row]);
    if !live {
        preview(story, who, row);
    }
}

fn author(story: &mut Story, row: Row, change: impl Fn(u8) -> u8) {
    let opens = story.allowlists[&row];
    let wanted = change(opens);
    if wanted == opens {
        return;
    }
    story.say(|| format!("{row} is authored anew: {wanted:#b}"));
    story.allowlists.insert(row, wanted);
    let files = layout::files(&story.allowlists);
    for sluice in story.sluices.iter_mut().filter(|sluice| sluice.alive) {
        sluice.tell(sluice::cockpit::ports::Fact::Files(files.clone()));
    }
}

/// Where owners said no, the destination is taken out of the bytes.
fn rejected(story: &mut Story) {
    let rows: Vec<_> = Row::all().filter(|row| story.allowlists[row] & FLAGGED != 0).collect();
    for row in rows {
        let uid = story.clusters[row.cluster].uid;
        let own = State::uids(row.cluster, uid);
        let turned_down = story.state.reviews.values().any(|kept| {
            kept.value.grant.ns.as_str() == row.name()
                && kept.value.grant.clusters == own
                && kept.value.decisions.last().is_some_and(|last| last.verdict != DecisionVerdict::Approved)
        });
        if turned_down && !story.state.is_granted(row, uid, story.latest(1)) {
            author(story, row, |opens| opens & !FLAGGED);
        }
    }
}

fn exclude(story: &mut Story, who: usize, row: Row) {
    let wanted = Wanted {
        scope: Scope::Rollout(row.target()),
        kind: HoldKind::Exclusion,
        reason: Text::new("its cluster is away"),
        expires: Some(expiry(story, who, 2)),
    };
    let _ = order(story, who, &Command::Hold(wanted));
}

/// What is live is not what was applied: back to the clean bytes, else to the workspace's, else out.
fn mend(story: &mut Story, who: usize, row: Row, is_broken: bool) {
    let target = row.target();
    let busy = story.sluices[who].world.orders().in_flight(&target.cluster, &target.ns).is_some();
    if busy {
        return;
    }
    let clean =
        story.sluices[who].world.shared().record(&target).is_some_and(|kept| kept.value.clean.is_some());
    let ours = story.clusters[row.cluster].has(row, story.allowlists[&row]);
    if clean && story.rng.bool() && order(story, who, &Command::Revert(vec![target.clone()])).is_ok() {
        return;
    }
    if is_broken {
        roll_back(story, who, &target);
    } else if !ours {
        preview(story, who, row);
    }
}

fn roll_back(story: &mut Story, who: usize, target: &Target) {
    if let Ok(started) = order(story, who, &Command::RollBack(vec![target.clone()])) {
        story.counts.rollbacks += started.len() as u64;
        story.say(|| format!("sluice {who} rolls {target} back"));
    }
}

fn incidents(story: &mut Story, who: usize) {
    let world = &story.sluices[who].world;
    let found: Vec<_> = world
        .incidents()
        .iter()
        .map(|(target, incident)| (Row::of(target), !matches!(incident.drift, Drift::Changed)))
        .collect();
    for (row, is_broken) in found {
        // Noticed by one of the two, not always at once.
        if story.calm || story.rng.bool() {
            mend(story, who, row, is_broken);
        }
    }
    // Policies of others are taken away again by their owners.
    if story.calm {
        for row in Row::all().filter(|row| row.direction == Direction::Egress) {
            for name in ["theirs", "mine"] {
                let fact = story.clusters[row.cluster].write((row.ns, name), None, "kubectl-edit", story.now);
                fact.into_iter().for_each(|fact| story.tell(row.cluster, &fact));
            }
        }
    }
}

/// Holds that nobody needs any more.
fn release(story: &mut Story, who: usize) {
    let world = &story.sluices[who].world;
    let kept = world.shared().holds().filter(|kept| kept.value.kind == HoldKind::Hold);
    let age = if story.calm { 0 } else { 20 };
    let old = kept.filter(|kept| world.now() - kept.created > TimeDelta::hours(age));
    let names: Vec<_> = old.map(|kept| kept.name.clone()).collect();
    for name in names {
        let _ = order(story, who, &Command::Release(name));
    }
}

fn confirm(story: &mut Story, who: usize) {
    let open: Vec<_> = story.sluices[who]
        .world
        .shared()
        .overrides()
        .filter(|kept| kept.value.confirmed.is_none())
        .map(|kept| (kept.name.clone(), kept.value.target.clone()))
        .collect();
    for (name, target) in open {
        // Also one's own, which must not do.
        if story.rng.u8(0..3) == 0 {
            let _ = order(story, who, &Command::Confirm(name));
            preview(story, who, Row::of(&target));
        }
    }
}

/// What a tired operator tries: rows whose turn it is not, holds, rollbacks, aborts.
fn meddle(story: &mut Story, who: usize) {
    let all: Vec<_> = Row::all().collect();
    let row = *story.rng.choice(&all).expect("some");
    match story.rng.u8(0..24) {
        0..=5 => preview(story, who, row),
        6 => roll_back(story, who, &row.target()),
        7 => {
            let _ = order(story, who, &Command::Abort(Vec::new()));
        }
        8 => {
            let scope = match story.rng.u8(0..4) {
                0 => Scope::Fleet,
                1 => Scope::Cluster(layout::cluster_name(CLUSTERS[row.cluster].0)),
                _ => Scope::Rollout(row.target()),
            };
            let expires = story.rng.bool().then(|| expiry(story, who, 1));
            let reason = Text::new("the vendor is told");
            let wanted = Wanted { scope, kind: HoldKind::Hold, reason, expires };
            let _ = order(story, who, &Command::Hold(wanted));
        }
        9 => exclude(story, who, row),
        10 => {
            let _ = order(story, who, &Command::Revert(vec![row.target()]));
        }
        // Reads only: every reason must be sayable.
        11 => drop(gates::missing(&story.sluices[who].world, &row.target())),
        _ => {}
    }
}
