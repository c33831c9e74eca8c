//! Judges coverage for one namespace and direction: 7 days of credited time on every node that runs
//! its pods, jobs that ran inside the window, workloads that spoke. Ingress needs no DNS answers, but
//! jobs of other namespaces may be callers. Unknown never passes. Pure.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    coverage::{Coverage, CronJob, Hole, Readiness},
    edge::{Hours, Window, hour_of, hour_start},
    flow::Direction,
    names::{NodeName, NsName, Text, Workload},
    time::span,
};

/// Credited time that a policy may be written from.
pub const NEEDED: TimeDelta = TimeDelta::days(7);

/// What must be known of a namespace to judge it.
#[derive(Clone, Debug)]
pub struct NamespaceFacts<'a> {
    pub ns: &'a NsName,
    /// Nodes that run its pods; `None` (or none at all) where that is not known: all nodes seen count.
    pub nodes: Option<&'a [NodeName]>,
    /// Of the whole cluster: those of other namespaces may call this one.
    pub crons: &'a [CronJob],
    /// Jobs of the namespace that somebody takes upon himself, by name.
    pub waived: &'a [Text],
    /// Jobs of any namespace that somebody takes upon himself.
    pub waived_callers: &'a [(NsName, Text)],
    /// Workloads of which somebody takes it upon himself that nothing was seen.
    pub excused: &'a [Workload],
    /// All workloads, and whether any edge is theirs.
    pub workloads: &'a BTreeMap<Workload, bool>,
}

/// What the window has seen of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceCoverage {
    pub needed: TimeDelta,
    /// Of the node with the least.
    pub credited: TimeDelta,
    /// The node with the least; `None` where no node gave a sign or the source cannot name it.
    pub worst: Option<NodeName>,
    /// Of its nodes and of all nodes, sorted.
    pub holes: Vec<Hole>,
    /// Sorted by name.
    pub crons: Vec<CronFinding>,
    /// Workloads without any traffic: no evidence, which is not the same as needing nothing. Waived
    /// ones, too.
    pub silent: Vec<Workload>,
    /// For egress.
    pub readiness: Readiness,
    pub ingress: Readiness,
}

impl NamespaceCoverage {
    pub fn readiness(&self, direction: Direction) -> &Readiness {
        match direction {
            Direction::Egress => &self.readiness,
            Direction::Ingress => &self.ingress,
        }
    }
}

/// One scheduled job and what the window has seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFinding {
    pub job: CronJob,
    pub seen: CronSeen,
    pub waived: bool,
}

/// Did the window see the job run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CronSeen {
    /// It ran inside, and runs more often than the window is long.
    Ran,
    /// Its last run is not inside the window, or it never ran.
    NotInside,
    /// It runs rarely, and its last run fell into a hole.
    InHole,
    /// It ran inside, but may pause as long as the window or longer: one run at most was seen.
    Rare,
    /// It ran inside, but how long it may pause cannot be told from its schedule.
    Unreadable,
}

impl CronSeen {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::NotInside => "not inside",
            Self::InHole => "in a hole",
            Self::Rare => "rare",
            Self::Unreadable => "unreadable",
        }
    }
}

impl CronFinding {
    /// Why it stands in the way, in one sentence with the next step; `None` where it does not.
    pub fn reason(&self, window: Window) -> Option<Text> {
        let CronJob { ns, name, schedule, longest_pause, suspended, .. } = &self.job;
        let ran = last_run(&self.job, window);
        let why = match self.seen {
            CronSeen::Ran => return None,
            CronSeen::NotInside if self.job.last_run.is_none() => ran,
            CronSeen::NotInside => format!("{ran}, not inside the window"),
            CronSeen::InHole => format!("{ran}, in a stretch that was not seen"),
            CronSeen::Rare => {
                let pause = longest_pause.map_or_else(|| "?".to_owned(), span);
                format!(
                    "{ran}; it may pause {pause}, and the window is {} long",
                    span(window.to - window.from)
                )
            }
            CronSeen::Unreadable => format!("{ran}; how often it runs cannot be told from its schedule"),
        };
        let rest = if *suspended { " It is suspended." } else { "" };
        let text =
            format!("CronJob {ns}/{name} ({schedule}): {why}.{rest} Waive it, or take a longer window.");
        (!self.waived).then(|| Text::from(text))
    }
}

/// By the window's ends, which everybody reads in the same way.
fn last_run(job: &CronJob, window: Window) -> String {
    match job.last_run {
        None => "no run of it is known".to_owned(),
        Some(at) if at < window.from => {
            format!("its last run was {} before the window begins", span(window.from - at))
        }
        Some(at) if at <= window.to => {
            format!("its last run was {} before the window ends", span(window.to - at))
        }
        Some(at) => format!("its last run was {} after the window ends", span(at - window.to)),
    }
}

/// Judges one namespace.
pub fn readiness(coverage: &Coverage, window: Window, facts: &NamespaceFacts<'_>) -> NamespaceCoverage {
    let rows = rows(coverage, facts.nodes);
    let time = |hours: Option<&Hours>| hours.map_or(TimeDelta::zero(), |hours| credited(hours, window));
    let least = rows.iter().map(|(node, hours)| (time(*hours), *node)).min();
    let (credited, worst) = least.unwrap_or((TimeDelta::zero(), None));
    let left = (NEEDED - credited).max(TimeDelta::zero());
    let crons = crons(window, facts, &rows);
    let mut why: Vec<Text> = crons
        .iter()
        .filter(|finding| left.is_zero() || !may_still_run(&finding.job, finding.seen))
        .filter_map(|finding| finding.reason(window))
        .collect();
    let silent: Vec<Workload> =
        facts.workloads.iter().filter(|(_, spoke)| !**spoke).map(|(name, _)| name.clone()).collect();
    // While the window still grows, it may speak yet.
    let unexcused = silent.iter().filter(|workload| left.is_zero() && !facts.excused.contains(workload));
    why.extend(unexcused.map(|workload| {
        Text::from(format!(
            "{workload}: no traffic of it was seen, which is not the same as needing none. Exercise it, or waive it."
        ))
    }));
    let of = |direction, callers: Vec<Text>| {
        let doubts = coverage.doubts_of(direction).cloned();
        verdict(why.iter().cloned().chain(doubts).chain(callers).collect(), left)
    };
    let ours = |hole: &&Hole| hole.node.is_none() || rows.iter().any(|(node, _)| *node == hole.node.as_ref());
    NamespaceCoverage {
        needed: NEEDED,
        credited,
        worst: worst.cloned(),
        holes: coverage.gaps.iter().filter(ours).cloned().collect(),
        crons,
        silent,
        readiness: of(Direction::Egress, Vec::new()),
        ingress: of(Direction::Ingress, callers(window, facts, &rows, left.is_zero())),
    }
}

fn verdict(mut why: Vec<Text>, left: TimeDelta) -> Readiness {
    match (why.is_empty(), left.is_zero()) {
        (true, true) => Readiness::Ready,
        (true, false) => Readiness::NotYet { left },
        (false, true) => Readiness::Blocked { why },
        (false, false) => {
            why.push(Text::from(format!("{} of credited time is missing.", span(left))));
            Readiness::Blocked { why }
        }
    }
}

/// So many jobs of other namespaces are named one by one.
const CALLERS: usize = 3;

/// Jobs of other namespaces that did not run where the window could see whom they call. A suspended
/// one calls nobody.
fn callers(window: Window, facts: &NamespaceFacts<'_>, rows: &[Row<'_>], is_full: bool) -> Vec<Text> {
    let others = facts.crons.iter().filter(|job| job.ns != *facts.ns && !job.suspended);
    let is_waived =
        |job: &CronJob| facts.waived_callers.iter().any(|(ns, name)| *ns == job.ns && *name == job.name);
    let mut all: Vec<&CronJob> = others
        .filter(|job| {
            let seen = seen(job, window, rows);
            let is_unseen = matches!(seen, CronSeen::NotInside | CronSeen::InHole);
            is_unseen && (is_full || !may_still_run(job, seen)) && !is_waived(job)
        })
        .collect();
    all.sort_by_key(|job| (&job.ns, &job.name));
    let more = all.len().saturating_sub(CALLERS);
    let mut out: Vec<Text> = all.iter().take(CALLERS).map(|job| unseen_caller(job, window)).collect();
    out.extend((more > 0).then(|| Text::from(format!("And {more} more CronJobs may call it so."))));
    out
}

type Row<'a> = (Option<&'a NodeName>, Option<&'a Hours>);

/// The nodes that count, each with its credited hours. A source that names no nodes speaks for all.
fn rows<'a>(coverage: &'a Coverage, nodes: Option<&'a [NodeName]>) -> Vec<Row<'a>> {
    let names_nodes = coverage.credited.keys().any(Option::is_some);
    match nodes {
        Some(nodes) if names_nodes && !nodes.is_empty() => {
            nodes.iter().map(|node| (Some(node), coverage.credited.get(&Some(node.clone())))).collect()
        }
        Some(_) | None => {
            coverage.credited.iter().map(|(node, hours)| (node.as_ref(), Some(hours))).collect()
        }
    }
}

/// Credited time inside the window: hours at its ends count with the part that is inside.
/// Time of the window that these hours prove.
pub fn credited(hours: &Hours, window: Window) -> TimeDelta {
    let inside = |hour| hour_start(hour + 1).min(window.to) - hour_start(hour).max(window.from);
    hours.iter().map(inside).filter(|part| *part > TimeDelta::zero()).sum()
}

fn crons(window: Window, facts: &NamespaceFacts<'_>, rows: &[Row<'_>]) -> Vec<CronFinding> {
    let ours = facts.crons.iter().filter(|job| job.ns == *facts.ns);
    let mut out: Vec<CronFinding> = ours
        .map(|job| CronFinding {
            job: job.clone(),
            seen: seen(job, window, rows),
            waived: facts.waived.contains(&job.name),
        })
        .collect();
    out.sort_by(|a, b| a.job.name.cmp(&b.job.name));
    out
}

fn seen(job: &CronJob, window: Window, rows: &[Row<'_>]) -> CronSeen {
    let length = (window.to - window.from).max(NEEDED);
    let Some(last) = job.last_run.filter(|last| window.contains(*last)) else { return CronSeen::NotInside };
    let whole = rows.iter().all(|(_, hours)| hours.is_some_and(|hours| hours.contains(hour_of(last))));
    match job.longest_pause {
        // Of a frequent job, other runs were seen.
        pause if !whole && pause.is_none_or(|pause| pause * 2 > length) => CronSeen::InHole,
        None => CronSeen::Unreadable,
        Some(pause) if pause >= length => CronSeen::Rare,
        Some(_) => CronSeen::Ran,
    }
}

/// Why a job of another namespace stands in the way.
fn unseen_caller(job: &CronJob, window: Window) -> Text {
    let CronJob { ns, name, schedule, .. } = job;
    let ran = last_run(job, window);
    Text::from(format!(
        "CronJob {ns}/{name} ({schedule}): {ran}, so whether it calls this namespace was not seen. Waive it \
         in {ns}, or take a longer window."
    ))
}

/// While the window still grows, a job that runs often enough is not yet overdue.
fn may_still_run(job: &CronJob, seen: CronSeen) -> bool {
    let often = job.longest_pause.is_some_and(|pause| pause < NEEDED);
    match seen {
        CronSeen::NotInside | CronSeen::InHole => often && !job.suspended,
        CronSeen::Ran | CronSeen::Rare | CronSeen::Unreadable => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn at(hour: i64) -> Timestamp {
        hour_start(hour_of("2026-03-02T00:00:00Z".parse().expect("a time")) + hour)
    }

    fn days(days: i64) -> Window {
        Window { from: at(0), to: at(days * 24) }
    }

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).expect("a name")
    }

    /// From one hour to another.
    type Ranges<'a> = &'a [(i64, i64)];

    fn coverage(rows: &[(Option<&str>, Ranges<'_>)]) -> Coverage {
        let hours = |ranges: Ranges<'_>| {
            ranges.iter().flat_map(|(from, to)| *from..*to).map(|hour| hour_of(at(hour))).collect()
        };
        let credited = rows.iter().map(|(name, ranges)| (name.map(node), hours(ranges))).collect();
        Coverage { credited, ..Coverage::default() }
    }

    fn job(last_run: Option<i64>, pause_hours: Option<i64>) -> CronJob {
        CronJob {
            ns: NsName::parse("shop").expect("a name"),
            name: "report".into(),
            schedule: "0 3 1 * *".into(),
            zone: None,
            suspended: false,
            last_run: last_run.map(at),
            longest_pause: pause_hours.map(TimeDelta::hours),
        }
    }

    fn judge(
        coverage: &Coverage,
        window: Window,
        nodes: Option<&[NodeName]>,
        crons: &[CronJob],
        waived: &[Text],
    ) -> NamespaceCoverage {
        judge_excused(coverage, window, (nodes, crons), waived, &[idle()])
    }

    fn idle() -> Workload {
        Workload::new("Deployment", "idle")
    }

    fn judge_excused(
        coverage: &Coverage,
        window: Window,
        (nodes, crons): (Option<&[NodeName]>, &[CronJob]),
        waived: &[Text],
        excused: &[Workload],
    ) -> NamespaceCoverage {
        let ns = NsName::parse("shop").expect("a name");
        let workloads = BTreeMap::from([(Workload::new("Deployment", "cart"), true), (idle(), false)]);
        let facts = NamespaceFacts {
            ns: &ns,
            nodes,
            crons,
            waived,
            waived_callers: &[],
            excused,
            workloads: &workloads,
        };
        readiness(coverage, window, &facts)
    }

    #[test]
    fn a_workload_without_evidence_stands_in_the_way_until_somebody_waives_exactly_it() {
        let seen = coverage(&[(Some("a"), &[(0, 192)])]);
        let of = |window, excused: &[Workload]| judge_excused(&seen, window, (None, &[]), &[], excused);
        let said = "idle: no traffic of it was seen, which is not the same as needing none. Exercise it, or waive it.";
        let blocked = Readiness::Blocked { why: vec![said.into()] };
        assert_eq!(of(days(8), &[]).readiness, blocked);
        assert_eq!(of(days(8), &[Workload::new("StatefulSet", "idle")]).readiness, blocked);
        assert_eq!(of(days(8), &[idle()]).readiness, Readiness::Ready);
        assert_eq!(of(days(8), &[idle()]).silent, [idle()], "it is still said");
        let young = of(days(6), &[]).readiness;
        assert_eq!(young, Readiness::NotYet { left: TimeDelta::days(1) }, "it may speak yet");
    }

    #[test]
    fn the_worst_node_decides() {
        let seen = coverage(&[(Some("a"), &[(0, 192)]), (Some("b"), &[(0, 100), (120, 150)])]);
        let all = judge(&seen, days(8), None, &[], &[]);
        assert_eq!((all.credited, all.worst), (TimeDelta::hours(130), Some(node("b"))));
        assert_eq!(all.readiness, Readiness::NotYet { left: TimeDelta::hours(38) });
        assert_eq!(all.silent, [Workload::new("Deployment", "idle")]);
        let on_a = judge(&seen, days(8), Some(&[node("a")]), &[], &[]);
        assert_eq!((on_a.readiness, on_a.credited), (Readiness::Ready, TimeDelta::hours(192)));
        let on_c = judge(&seen, days(8), Some(&[node("a"), node("c")]), &[], &[]);
        assert_eq!(on_c.readiness, Readiness::NotYet { left: NEEDED }, "a node that never gave a sign");
        assert_eq!(
            judge(&coverage(&[]), days(8), None, &[], &[]).readiness,
            Readiness::NotYet { left: NEEDED }
        );
    }

    #[test]
    fn seven_days_from_half_past_to_half_past_are_seven_days() {
        let half = TimeDelta::minutes(30);
        let window = Window { from: at(0) + half, to: at(168) + half };
        let seen = coverage(&[(None, &[(0, 169)])]);
        assert_eq!(judge(&seen, window, Some(&[node("a")]), &[], &[]).readiness, Readiness::Ready);
        let short = Window { to: at(168), ..window };
        assert_eq!(judge(&seen, short, None, &[], &[]).readiness, Readiness::NotYet { left: half });
    }

    #[test]
    fn jobs_that_the_window_cannot_have_seen_stand_in_the_way() {
        let whole = coverage(&[(Some("a"), &[(0, 192)])]);
        let torn = coverage(&[(Some("a"), &[(0, 20), (21, 192)])]);
        for (seen, window, job, expected) in [
            (&whole, days(7), job(Some(20), Some(24)), CronSeen::Ran),
            (&whole, days(7), job(Some(-1), Some(24)), CronSeen::NotInside),
            (&whole, days(7), job(Some(168), Some(24)), CronSeen::NotInside),
            (&whole, days(7), job(None, Some(24)), CronSeen::NotInside),
            (&whole, days(7), job(Some(20), Some(168)), CronSeen::Rare),
            (&whole, days(8), job(Some(20), Some(168)), CronSeen::Ran),
            (&whole, days(8), job(Some(20), Some(744)), CronSeen::Rare),
            (&whole, days(7), job(Some(20), None), CronSeen::Unreadable),
            (&torn, days(8), job(Some(20), Some(168)), CronSeen::InHole),
            (&torn, days(8), job(Some(20), Some(24)), CronSeen::Ran),
        ] {
            let found = judge(seen, window, None, std::slice::from_ref(&job), &[]);
            assert_eq!(found.crons[0].seen, expected, "{job:?}");
            let waived = judge(seen, window, None, std::slice::from_ref(&job), &["report".into()]);
            assert_eq!(waived.readiness, Readiness::Ready, "{job:?}");
            match (expected, found.readiness) {
                (CronSeen::Ran, readiness) => assert_eq!(readiness, Readiness::Ready),
                (_, Readiness::Blocked { why }) => assert_eq!(why.len(), 1),
                (_, other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn ingress_needs_no_names_but_to_have_seen_whom_jobs_of_others_call() {
        let mut seen = coverage(&[(Some("a"), &[(0, 192)])]);
        seen.doubts.push("answers: the clients are node addresses".into());
        let of = |jobs: &[CronJob]| {
            let found = judge(&seen, days(8), None, jobs, &[]);
            (found.crons.len(), found.ingress)
        };
        assert_eq!(of(&[]), (0, Readiness::Ready));
        let theirs = |name: &str, last_run, suspended| {
            let ns = NsName::parse("billing").expect("a name");
            CronJob { ns, name: name.into(), suspended, ..job(last_run, Some(744)) }
        };
        let monthly = theirs("statements", Some(-1), false);
        let fine = [theirs("a", Some(20), false), theirs("b", None, true)];
        assert_eq!(of(&fine), (0, Readiness::Ready), "its one run was seen; a suspended one calls nobody");
        let said = "CronJob billing/statements (0 3 1 * *): its last run was 1h00m before the window begins, so whether it \
                    calls this namespace was not seen. Waive it in billing, or take a longer window.";
        assert_eq!(of(&[monthly]), (0, Readiness::Blocked { why: vec![said.into()] }));
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| theirs(name, None, false)).into();
        let Readiness::Blocked { why } = of(&many).1 else { panic!("five were not seen") };
        assert_eq!((why.len(), why[3].as_str()), (4, "And 2 more CronJobs may call it so."));
    }

    #[test]
    fn a_reason_names_the_job_its_schedule_and_its_last_run() {
        let seen = coverage(&[(None, &[(0, 168)])]);
        let of = |job: CronJob| match judge(&seen, days(7), None, &[job], &[]).readiness {
            Readiness::Blocked { why } => why[0].to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            of(job(Some(-21), Some(744))),
            "CronJob shop/report (0 3 1 * *): its last run was 21h00m before the window begins, not inside the window. Waive it, or take a longer window."
        );
        assert_eq!(
            of(CronJob { suspended: true, ..job(None, None) }),
            "CronJob shop/report (0 3 1 * *): no run of it is known. It is suspended. Waive it, or take a longer window."
        );
        assert_eq!(
            of(job(Some(3), Some(744))),
            "CronJob shop/report (0 3 1 * *): its last run was 6d21h before the window ends; it may pause 31d00h, and the window is 7d00h long. Waive it, or take a longer window."
        );
    }

    #[test]
    fn a_young_window_waits_for_a_daily_job_and_not_for_a_monthly_one() {
        let seen = coverage(&[(None, &[(0, 24)])]);
        let daily = judge(&seen, days(1), None, &[job(Some(-3), Some(24))], &[]);
        assert_eq!(daily.readiness, Readiness::NotYet { left: TimeDelta::days(6) });
        let monthly = judge(&seen, days(1), None, &[job(Some(-3), Some(744))], &[]);
        match monthly.readiness {
            Readiness::Blocked { why } => assert_eq!(why[1].as_str(), "6d00h of credited time is missing."),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_doubt_never_passes() {
        let mut seen = coverage(&[(None, &[(0, 168)])]);
        seen.doubts.push("answers: the clients are node addresses".into());
        let why = vec!["answers: the clients are node addresses".into()];
        assert_eq!(judge(&seen, days(7), None, &[], &[]).readiness, Readiness::Blocked { why });
    }
}
