//! One rollout's soak as people see it: the one projection that screen and `-o json` read. Worked out
//! from evidence and time whenever somebody asks; keeps nothing.

use std::collections::BTreeMap;

use crate::{
    cockpit::discoveries::Discoveries,
    domain::{
        denial::{Denials, Peer},
        eval::verdict::Verdict::Denied,
        evidence::{Cause, Evidence, Restart, Verdicts},
        expected::{Asked, Closings},
        fleet::{Cluster, Pod},
        flow::Protocol,
        journal::{Act, Entry},
        names::{NodeName, Text, Workload},
        policy::Labels,
        rollout::Target,
        soak::{Context, Judged, Reason, Verdict, judge, unproved},
        source::SourceKind,
        spans::minute_start,
        time::Timestamp,
    },
};

use super::{
    Around, Soaks, Unseen,
    live::{Live, Telling},
    place::{Place, Rollout, is_cron_only},
};

/// A soak as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct SoakRow {
    /// Twelve digits of what soaks.
    pub digest: Text,
    pub judged: Judged,
    /// Wall time in cells, oldest first, as glyphs.
    pub bar: Text,
    /// What the credit rests on, in a sentence.
    pub rests: Text,
    /// Whose evidence is joined with ours, and up to when; `None`: nobody's.
    pub joined: Option<(Text, Timestamp)>,
    /// What voided earlier credit, oldest first.
    pub restarts: Vec<Restart>,
    pub allowed: u64,
    pub denied: u64,
    /// Destinations of the week seen again, of all; `None`: no week is known here.
    pub exercised: Option<(usize, usize)>,
    /// CronJobs that ran under the bytes; `None`: its CronJobs are not known.
    pub jobs: Option<(usize, usize)>,
    /// Denials at the other end, in rows that drop what this one sends or is sent.
    pub caused: Vec<CausedRow>,
    /// Seen before the bytes and not since, and the live set would refuse it when it reconnects, or that
    /// is not known; at most [`SoakRow::UNSEEN`], what would be refused first.
    pub unseen: Vec<Unseen>,
    pub more_unseen: usize,
    /// Of all of them: so many would be refused; of the rest it is not known.
    pub refused: usize,
    /// What the list above rests on.
    pub unseen_rests: &'static str,
    /// Nodes of which the newest probe showed nothing, and why.
    pub unproved: Vec<(NodeName, Text)>,
}

impl SoakRow {
    pub const CELLS: usize = 24;
    pub const UNSEEN: usize = 50;
}

/// Denials of another row that concern this one.
#[derive(Clone, Debug, PartialEq)]
pub struct CausedRow {
    /// The row that drops.
    pub by: Target,
    /// Ours.
    pub workload: Option<Workload>,
    pub port: u16,
    pub protocol: Protocol,
    pub count: u64,
    pub last: Timestamp,
}

/// Evidence of this run joined with what others wrote.
pub fn evidence(soaks: &Soaks, target: &Target, around: &Around<'_>) -> Option<Evidence> {
    let place = soaks.place(&target.cluster)?;
    let rollout = place.rollout(&target.ns, target.direction)?;
    let live = rollout.live.as_ref()?;
    let uid = place.uid.as_ref()?;
    let holder = around.shared.observer(&target.cluster).filter(|observer| observer.is_us);
    let telling = Telling {
        target,
        uid,
        observer: holder.map_or_else(|| Text::new("this cockpit"), |observer| observer.holder.clone()),
        restarts: &rollout.restarts,
        ground: &place.ground,
        jobs: ran(around.discoveries, target, live),
    };
    let ours =
        live.evidence(telling, (&place.sight, &place.telemetry), &place.judge_pauses(around.now), around.now);
    let Some(base) = rollout.base.as_ref().filter(|base| base.is_of_same(&ours)) else { return Some(ours) };
    let unwatched = [
        moved(base, place, live),
        revived(base, rollout, live),
        reapplied(base, target, around),
        rolled_back(base, target, around),
    ];
    let mut whole = ours.union_normal(base)?;
    whole.ground = ours.ground;
    whole.observer = ours.observer;
    for restart in unwatched.into_iter().flatten() {
        // Who saw it has said so already.
        let is_told = |known: &Restart| known.cause == restart.cause && known.at >= restart.at;
        if !whole.restarts.iter().any(is_told) {
            whole.restarts.push(restart);
            whole.restarts.sort();
        }
    }
    Some(whole)
}

/// The same bytes again, after this run saw that they were not live: what others credited before that
/// is void, also where nobody watched them go.
fn revived(base: &Evidence, rollout: &Rollout, live: &Live) -> Option<Restart> {
    let absent = rollout.absent.filter(|absent| base.until <= *absent && *absent <= live.began)?;
    let why = Text::from(format!("the set was not live at {}", absent.format("%Y-%m-%d %H:%M UTC")));
    Some(Restart { at: live.began, cause: Cause::PolicyMissing, why })
}

/// The team's records say that it was applied after others had looked for the last time: it was taken
/// back in between, also where none of those who saw that lived to write it down.
fn reapplied(base: &Evidence, target: &Target, around: &Around<'_>) -> Option<Restart> {
    let record = &around.shared.record(target)?.value;
    let at = record.applied.as_ref().filter(|_| record.uid == base.uid)?.stamp.at;
    // Asked for every row: words only where there is something to say.
    (base.since < at && base.until <= at).then(|| {
        let why = Text::from(format!("the set was applied again at {}", at.format("%Y-%m-%d %H:%M UTC")));
        Restart { at, cause: Cause::PolicyMissing, why }
    })
}

/// The journal has a rollback after others had looked for the last time: commands that end do not observe, and
/// what took it back may have been undone before anybody looked again.
fn rolled_back(base: &Evidence, target: &Target, around: &Around<'_>) -> Option<Restart> {
    let object = target.to_string();
    let is_of_it = |entry: &&Entry| {
        let uid = entry.facts.iter().find_map(|fact| fact.as_str().strip_prefix("cluster uid: "));
        entry.act == Act::Rollback
            && entry.object.as_str() == object
            && uid.is_none_or(|uid| uid == base.uid.as_str())
            && may_have_landed(entry)
    };
    let back = around.shared.journal().rev().map(|kept| &kept.value).find(is_of_it)?;
    let (at, by) = (back.stamp.at, &back.stamp.by);
    let why = Text::from(format!("{by} rolled it back at {}", at.format("%Y-%m-%d %H:%M UTC")));
    (base.since < at && base.until <= at).then_some(Restart { at, cause: Cause::PolicyMissing, why })
}

/// One that was refused as a whole changed nothing.
fn may_have_landed(entry: &Entry) -> bool {
    let mut answers = entry.facts.iter().filter_map(|fact| fact.as_str().strip_prefix("answer: ")).peekable();
    answers.peek().is_none() || answers.any(|answer| !answer.starts_with("refused"))
}

/// The ground changed while nobody watched: what others credited before is void.
fn moved(base: &Evidence, place: &Place, live: &Live) -> Option<Restart> {
    let differs = |a: &Option<Text>, b: &Option<Text>| match (a, b) {
        (Some(a), Some(b)) if a != b => Some(Text::from(format!("{a} became {b} while nobody watched"))),
        _ => None,
    };
    let at = live.began;
    if base.until > at {
        // Both watched when it changed, and both told.
        return None;
    }
    let cni = differs(&base.ground.cni, &place.ground.cni).map(|why| Restart { at, cause: Cause::Cni, why });
    cni.or_else(|| {
        differs(&base.ground.dns, &place.ground.dns).map(|why| Restart { at, cause: Cause::DnsMode, why })
    })
}

/// CronJobs that ran under the bytes.
fn ran(discoveries: &Discoveries, target: &Target, live: &Live) -> BTreeMap<Text, Timestamp> {
    let crons = discoveries.crons(&target.cluster, &target.ns).into_iter().flatten();
    crons
        .filter_map(|cron| Some((cron.name.clone(), cron.last_run.filter(|ran| *ran >= live.began)?)))
        .collect()
}

/// Judges it now; `None` while its set is not live and closed.
pub fn judged(soaks: &Soaks, target: &Target, around: &Around<'_>) -> Option<Judged> {
    let evidence = evidence(soaks, target, around)?;
    Some(judge_here(soaks, &evidence, around))
}

fn judge_here(soaks: &Soaks, evidence: &Evidence, around: &Around<'_>) -> Judged {
    let target = &evidence.target;
    let closings = closings(target, around);
    let expected = |key: &crate::domain::hold::DenialKey| {
        let cluster = around.clusters.get(&target.cluster);
        closings.expects(key, || labels(cluster, target, key.workload.as_ref()))
    };
    let settings = &around.plan.settings.soak;
    let jobs = jobs(around, target)
        .map(|jobs| jobs.into_iter().filter(|job| !closings.waives_job(job)).collect::<Vec<_>>());
    let source = soaks
        .place(&target.cluster)
        .map_or(crate::domain::soak::Source::Unknown, |place| place.telemetry.source());
    judge(
        evidence,
        &Context {
            now: around.now,
            needed: settings.needed,
            lapses: settings.lapses,
            expected: &expected,
            quiet_waived: closings.waives_quiet(),
            jobs: jobs.as_deref(),
            source,
        },
    )
}

/// Is it clean, is something against it that hurts, is it idle: what the plan must hear of at once.
pub fn stands(judged: &Judged) -> (bool, bool, bool) {
    let hurts = judged.verdict.reasons().iter().any(Reason::is_harm);
    (judged.verdict.is_clean(), hurts, judged.verdict == crate::domain::soak::Verdict::Idle)
}

/// What people closed of a rollout, by the API server's clock; before that spoke, nothing is closed.
pub fn closings<'w>(target: &Target, around: &Around<'w>) -> Closings<'w> {
    let Around { shared, clusters, now, .. } = *around;
    let uid = clusters.get(&target.cluster).and_then(|cluster| cluster.uid.as_ref());
    let (Some(uid), Some(now)) = (uid, shared.now(now)) else { return Closings::default() };
    let (waivers, reviews) = (shared.waivers().map(|one| &one.value), shared.reviews().map(|one| &one.value));
    let people = &around.plan.settings.people;
    Closings::of(Asked { target, uid, people, now }, waivers, reviews)
}

/// Labels of each of a workload's pods that are there now.
pub fn labels<'c>(
    cluster: Option<&'c Cluster>,
    target: &Target,
    workload: Option<&Workload>,
) -> Vec<&'c Labels> {
    let pods = cluster.and_then(|cluster| cluster.namespaces.get(&target.ns)).map(|ns| ns.pods.values());
    let is_of_it = |pod: &&Pod| Some(&pod.workload) == workload;
    pods.into_iter().flatten().filter(is_of_it).map(|pod| &pod.labels).collect()
}

/// CronJobs of a namespace that has nothing else.
fn jobs(around: &Around<'_>, target: &Target) -> Option<Vec<Text>> {
    let cluster = around.clusters.get(&target.cluster)?;
    let ns = cluster.namespaces.get(&target.ns)?;
    if !is_cron_only(cluster, around.discoveries, ns) {
        return None;
    }
    let crons = around.discoveries.crons(&target.cluster, &target.ns)?;
    Some(crons.map(|cron| cron.name.clone()).collect())
}

pub fn row(soaks: &Soaks, target: &Target, around: &Around<'_>, denials: &Denials) -> Option<SoakRow> {
    let rollout = soaks.rollout(target)?;
    let live = rollout.live.as_ref()?;
    let evidence = evidence(soaks, target, around)?;
    let judged = judge_here(soaks, &evidence, around);
    let old = live.exercise.old();
    let crons = around.discoveries.crons(&target.cluster, &target.ns);
    Some(SoakRow {
        digest: Text::from(evidence.digest.short()),
        bar: judged
            .bar(SoakRow::CELLS.min(judged.wall.unsigned_abs() as usize))
            .into_iter()
            .map(|cell| cell.glyph())
            .collect::<String>()
            .into(),
        rests: rests(soaks, &evidence, &judged, around),
        joined: joined(rollout, &evidence),
        restarts: evidence.restarts.clone(),
        allowed: evidence.verdicts.allowed,
        denied: evidence.verdicts.denied,
        exercised: live.exercise.figures().or_else(|| {
            let Evidence { exercised, .. } = &evidence;
            (exercised.of > 0).then_some((exercised.again.len(), exercised.of as usize))
        }),
        jobs: crons.map(|crons| (evidence.jobs.len(), crons.count())),
        caused: caused(rollout, target, denials, live.began),
        unseen: old.iter().take(SoakRow::UNSEEN).cloned().collect(),
        more_unseen: old.len().saturating_sub(SoakRow::UNSEEN),
        refused: old.iter().filter(|one| one.ours.verdict == Denied).count(),
        unseen_rests: live.exercise.rests_on(),
        unproved: unproved(&evidence, judged.begins),
        judged,
    })
}

fn joined(rollout: &Rollout, evidence: &Evidence) -> Option<(Text, Timestamp)> {
    let base = rollout.base.as_ref().filter(|base| base.is_of_same(evidence))?;
    Some((base.observer.clone(), minute_start(crate::domain::spans::minute_of(base.until))))
}

fn rests(soaks: &Soaks, evidence: &Evidence, judged: &Judged, around: &Around<'_>) -> Text {
    use crate::domain::soak::Source;
    let place = soaks.place(&evidence.target.cluster);
    let source = place.map(|place| place.telemetry.source());
    let signs = match source {
        Some(Source::Known(SourceKind::Unknown)) => "probes that were denied on each node".to_owned(),
        Some(Source::Known(kind)) if kind.needs_heartbeat() => {
            format!("probes that were denied on each node, as {} alone proves nothing", kind.as_str())
        }
        Some(Source::Known(kind)) => format!("{} signs of each node", kind.as_str()),
        Some(Source::None) => {
            let why = place.and_then(|place| place.telemetry.missing());
            format!("nothing: {}", why.map_or("no source tells flows here", Text::as_str))
        }
        Some(Source::Unknown) | None => "nothing yet: no source has told anything".to_owned(),
    };
    let is_probed = around.plan.settings.probes.iter().any(|entry| entry.cluster == evidence.target.cluster);
    let probed = match (judged.proved, is_probed) {
        (0, true) => "not proved by a probe yet".to_owned(),
        (0, false) => "not proved by a probe".to_owned(),
        (proved, _) => format!("proved by a probe on {proved}"),
    };
    let in_force = match (&judged.verdict, judged.nodes) {
        (Verdict::Idle, 0) => "no node runs its pods now".to_owned(),
        (_, 0) => "in force on ? nodes: which nodes run its pods is not known yet".to_owned(),
        (_, nodes) => format!("in force on {} of {nodes} nodes", judged.in_force),
    };
    let Verdicts { allowed, denied, .. } = &evidence.verdicts;
    Text::from(format!("{signs}; {in_force}, {probed}; verdicts: {allowed} allowed, {denied} denied"))
}

fn caused(rollout: &Rollout, target: &Target, denials: &Denials, began: Timestamp) -> Vec<CausedRow> {
    let groups =
        rollout.caused.iter().filter_map(|id| denials.group(*id)).filter(|group| group.last >= began);
    let mut out: Vec<_> = groups
        .map(|group| CausedRow {
            by: Target {
                cluster: target.cluster.clone(),
                ns: group.key.ns.clone(),
                direction: group.key.direction,
            },
            workload: match &group.key.peer {
                Peer::Workload { workload, .. } => Some(workload.clone()),
                Peer::Name(_) | Peer::Address(_) | Peer::Entity(_) | Peer::Unknown => None,
            },
            port: group.key.port,
            protocol: group.key.protocol,
            count: group.count,
            last: group.last,
        })
        .collect();
    out.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.by.cmp(&b.by)));
    out
}
