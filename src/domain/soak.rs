//! The soak clock of proven time: judges one rollout's evidence at a moment. A minute counts only if
//! somebody watched, some node ran the namespace's pods, every such node was heard in it, and nothing
//! of it was lost. Silence is never credited. Pure: time is an argument, and nothing is stored.

use std::collections::BTreeMap;

use chrono::{Datelike, TimeDelta};

use super::{
    evidence::{Cause, Evidence, OpenGroup, Pause, Restart, Verdicts},
    hold::DenialKey,
    merged::withholds,
    names::{NodeName, Text},
    source::SourceKind,
    spans::{Minute, Spans, minute_of, minute_start},
    time::{Timestamp, span},
};

/// What must be known beside the evidence.
pub struct Context<'a> {
    pub now: Timestamp,
    /// Credited time that makes a soak clean.
    pub needed: TimeDelta,
    /// Credit older than this no longer counts.
    pub lapses: TimeDelta,
    /// Is exactly this denial expected by now?
    pub expected: &'a dyn Fn(&DenialKey) -> bool,
    /// Somebody takes it upon himself that nothing was judged.
    pub quiet_waived: bool,
    /// Of a namespace of CronJobs only: the jobs that must run and that nobody waived.
    pub jobs: Option<&'a [Text]>,
    pub source: Source,
}

/// What tells the flows of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing was told of it yet.
    Unknown,
    /// There is none.
    None,
    Known(SourceKind),
}

impl Source {
    pub fn needs_heartbeat(self) -> bool {
        matches!(self, Self::Known(kind) if kind.needs_heartbeat())
    }
}

/// Where a soak stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The set is not live and closed, or the cluster did not say who it is.
    NotStarted,
    /// No pods: no credit, and its wave does not wait for it.
    Idle,
    /// Credit still grows; what would withhold clean already stands beside it.
    Soaking { left: TimeDelta, reasons: Vec<Reason> },
    /// Not clean, and time alone does not help.
    Withheld { reasons: Vec<Reason> },
    /// Since the minute that completed it.
    Clean { since: Timestamp },
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Idle => "idle",
            Self::Soaking { .. } => "soaking",
            Self::Withheld { .. } => "withheld",
            Self::Clean { .. } => "clean",
        }
    }

    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Soaking { reasons, .. } | Self::Withheld { reasons } => reasons,
            Self::NotStarted | Self::Idle | Self::Clean { .. } => &[],
        }
    }

    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Clean { .. })
    }
}

/// Why it is not clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Denied groups that hurt and that nobody closed.
    Hurting(usize),
    /// Denials that policies of others made, undecided.
    Unattributed(usize),
    /// Groups that found no room in the evidence.
    MoreGroups(u64),
    /// Accepted by the API server, but not seen judging on these nodes.
    NotInForce(Vec<NodeName>),
    /// The newest probe on these nodes got through.
    Leaks(Vec<NodeName>),
    /// Nothing was judged at all.
    Quiet,
    /// CronJobs that did not run under these bytes.
    JobsNotRun(Vec<Text>),
    /// No source tells flows here.
    NoSource,
    /// The source cannot prove that it lives, and no probe does in its place.
    NoHeartbeat,
}

impl Reason {
    /// Something is denied or leaks, which is worse than something that was not seen.
    pub fn is_harm(&self) -> bool {
        match self {
            Self::Hurting(_) | Self::Unattributed(_) | Self::MoreGroups(_) | Self::Leaks(_) => true,
            Self::NotInForce(_) | Self::Quiet | Self::JobsNotRun(_) | Self::NoSource | Self::NoHeartbeat => {
                false
            }
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, before: &str, all: &[String], after: &str| {
            let shown = all.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = all.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(f, "{before}{shown}{more}{after}")
        };
        let nodes = |nodes: &[NodeName]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self {
            Self::Hurting(1) => {
                f.write_str("1 hurting group is open: waive it, reject it in review, or write new bytes")
            }
            Self::Hurting(n) => {
                write!(
                    f,
                    "{n} hurting groups are open: waive them, reject them in review, or write new bytes"
                )
            }
            Self::Unattributed(n) => {
                write!(f, "{n} denied by policies that are not ours: decide by a waiver, or change those")
            }
            Self::MoreGroups(n) => write!(f, "{n} more denied groups found no room in the evidence"),
            Self::NotInForce(all) => list(f, "accepted, not yet seen in force on ", &nodes(all), ""),
            Self::Leaks(all) => list(f, "the probe got through on ", &nodes(all), ": not enforced there"),
            Self::Quiet => f.write_str("nothing was judged at all: needs a probe, a trigger or a waiver"),
            Self::JobsNotRun(jobs) => {
                let jobs: Vec<_> = jobs.iter().map(ToString::to_string).collect();
                list(f, "CronJobs that did not run under these bytes: ", &jobs, "; trigger or waive them")
            }
            Self::NoSource => {
                f.write_str("no source tells flows here: it cannot soak, only an override passes it")
            }
            Self::NoHeartbeat => f.write_str(
                "the source cannot prove that it lives: switch the probe on, else only an override passes it",
            ),
        }
    }
}

/// An evidence judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub verdict: Verdict,
    /// From where on credit counts: the bytes went live, or a restart.
    pub begins: Timestamp,
    /// Whole minutes since then. All below are minutes and add up to it.
    pub wall: i64,
    pub credited: i64,
    /// Credited once, and too old by now.
    pub lapsed: i64,
    pub idle: i64,
    /// The newest minutes, of which no sign can be here yet.
    pub pending: i64,
    /// What did not count, a cause each, with one example in words.
    pub pauses: Vec<Pause>,
    pub needed: i64,
    /// What voided credit last.
    pub restart: Option<Restart>,
    /// Groups that are open, worst first, and those that people expect.
    pub open: Vec<OpenGroup>,
    pub expected: Vec<OpenGroup>,
    /// Nodes that run its pods now, and on how many of them it was seen in force and probed.
    pub nodes: usize,
    pub in_force: usize,
    pub proved: usize,
    /// Credited ones, and idle ones.
    minutes: [Spans; 2],
}

/// One cell of the bar, in minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub credited: i64,
    pub idle: i64,
    pub of: i64,
}

impl Cell {
    /// Whole, in part, idle, nothing: told apart without colour.
    pub fn glyph(self) -> char {
        match self {
            Self { of: 0, .. } => ' ',
            Self { credited, of, .. } if credited == of => '█',
            Self { credited: 1.., .. } => '▄',
            Self { idle, of, .. } if idle == of => '-',
            Self { .. } => '·',
        }
    }
}

impl Judged {
    /// The newest minutes may wait for their signs so long before they count as a pause.
    pub const PENDING: i64 = 3;

    /// The wall time as a bar of so many cells, oldest first: gaps can be seen.
    pub fn bar(&self, cells: usize) -> Vec<Cell> {
        let from = first_whole(self.begins);
        let cut = |nth: usize| from + self.wall * nth as i64 / cells.max(1) as i64;
        let part = |spans: &Spans, nth| {
            let cell = cut(nth)..cut(nth + 1);
            spans.intersection(&Spans::of([cell])).minutes()
        };
        let cell = |nth| Cell {
            credited: part(&self.minutes[0], nth),
            idle: part(&self.minutes[1], nth),
            of: cut(nth + 1) - cut(nth),
        };
        (0..cells).map(cell).collect()
    }

    /// Credited time against wall time over the last day, or since it began where that is later; the
    /// newest minutes, which are still waited for, do not count against it.
    pub fn last_day(&self) -> (TimeDelta, TimeDelta) {
        let until = first_whole(self.begins) + self.wall - self.pending;
        let day = until.saturating_sub(24 * 60).max(first_whole(self.begins))..until;
        let credited = self.minutes[0].intersection(&Spans::of([day.clone()])).minutes();
        (TimeDelta::minutes(credited), TimeDelta::minutes((day.end - day.start).max(0)))
    }

    /// Credited minutes by weekday in UTC, Monday first.
    pub fn weekdays(&self) -> [i64; 7] {
        weekdays(&self.minutes[0])
    }

    /// `Mon Tue`: days of which something was credited.
    pub fn weekday_words(&self) -> String {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let covered = names.into_iter().zip(self.weekdays()).filter(|(_, minutes)| *minutes > 0);
        covered.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }

    /// `17h40m of 48h`.
    pub fn words(&self) -> String {
        format!("{} of {}", hours(self.credited), length(self.needed))
    }
}

/// How long a soak takes, in minutes: `48h`.
pub fn length(minutes: i64) -> String {
    if minutes >= 60 && minutes % 60 == 0 { format!("{}h", minutes / 60) } else { hours(minutes) }
}

/// Minutes as hours and minutes, however many: `55h00m`.
pub fn hours(minutes: i64) -> String {
    if minutes < 60 {
        span(TimeDelta::minutes(minutes))
    } else {
        format!("{}h{:02}m", minutes / 60, minutes % 60)
    }
}

/// Judges evidence.
pub fn judge(evidence: &Evidence, context: &Context<'_>) -> Judged {
    let restart = evidence.restarts.iter().max_by_key(|restart| restart.at);
    let begins = restart.map_or(evidence.since, |restart| restart.at.max(evidence.since));
    let from = first_whole(begins);
    let window = from..minute_of(context.now).max(from);
    let minutes = Minutes::sort_out(evidence, window.clone(), context);
    let needed = context.needed.num_minutes();
    let (open, expected): (Vec<_>, Vec<_>) = evidence
        .groups
        .iter()
        .filter(|group| withholds(group.class))
        .cloned()
        .partition(|group| !(context.expected)(&group.key));
    let current = current_nodes(evidence);
    let verdicts = evidence.verdicts.since(begins);
    let on = |is: &dyn Fn(&NodeName) -> bool| current.iter().filter(|node| is(node)).count();
    let credited = minutes.credit.minutes();
    let mut judged = Judged {
        verdict: Verdict::Idle,
        begins,
        wall: window.end - window.start,
        credited,
        lapsed: minutes.lapsed,
        idle: minutes.idle.minutes(),
        pending: minutes.pending,
        needed,
        restart: restart.cloned(),
        open,
        expected,
        nodes: current.len(),
        in_force: on(&|node| verdicts.is_in_force(node)),
        proved: on(&|node| verdicts.proved.contains_key(node)),
        pauses: minutes.pauses,
        minutes: [minutes.credit, minutes.idle],
    };
    judged.verdict = verdict((evidence, &verdicts), context, &judged, &current);
    judged
}

fn verdict(
    of: (&Evidence, &Verdicts),
    context: &Context<'_>,
    judged: &Judged,
    current: &[&NodeName],
) -> Verdict {
    let reasons = reasons(of, context, judged, current);
    let left = judged.needed - judged.credited;
    if left <= 0 {
        return match nth_minute(&judged.minutes[0], judged.needed) {
            Some(last) if reasons.is_empty() => Verdict::Clean { since: minute_start(last + 1) },
            Some(_) | None => Verdict::Withheld { reasons },
        };
    }
    let is_idle = current.is_empty() && judged.idle > 0 && judged.open.is_empty();
    if is_idle {
        return Verdict::Idle;
    }
    let is_stuck = reasons.iter().any(|reason| matches!(reason, Reason::NoSource | Reason::NoHeartbeat));
    if is_stuck {
        Verdict::Withheld { reasons }
    } else {
        Verdict::Soaking { left: TimeDelta::minutes(left), reasons }
    }
}

/// `verdicts`: those since credit counts.
fn reasons(
    (evidence, verdicts): (&Evidence, &Verdicts),
    context: &Context<'_>,
    judged: &Judged,
    current: &[&NodeName],
) -> Vec<Reason> {
    let mut out = Vec::new();
    let unattributed =
        judged.open.iter().filter(|group| group.class == super::denial::Class::Unattributed).count();
    let hurting = judged.open.len() - unattributed;
    out.extend((hurting > 0).then_some(Reason::Hurting(hurting)));
    out.extend((unattributed > 0).then_some(Reason::Unattributed(unattributed)));
    out.extend((evidence.more_groups > 0).then_some(Reason::MoreGroups(evidence.more_groups)));
    let where_not = |is: &dyn Fn(&NodeName) -> bool| -> Vec<NodeName> {
        current.iter().filter(|node| is(node)).map(|node| (*node).clone()).collect()
    };
    let leaks: Vec<NodeName> =
        verdicts.breached.keys().filter(|node| verdicts.is_breached(node)).cloned().collect();
    let not_in_force = where_not(&|node| !verdicts.is_in_force(node) && !verdicts.is_breached(node));
    let is_quiet = verdicts.allowed == 0 && verdicts.denied == 0 && verdicts.proved.is_empty();
    // Jobs run where they like: that it was in force somewhere is all that can be asked for.
    let anywhere = !verdicts.in_force.is_empty() || !verdicts.proved.is_empty();
    let is_excused = (is_quiet && context.quiet_waived) || (context.jobs.is_some() && anywhere);
    if !not_in_force.is_empty() && !is_excused {
        out.push(Reason::NotInForce(not_in_force));
    }
    out.extend((!leaks.is_empty()).then_some(Reason::Leaks(leaks)));
    out.extend((is_quiet && !context.quiet_waived).then_some(Reason::Quiet));
    let missing: Vec<Text> = context
        .jobs
        .unwrap_or(&[])
        .iter()
        .filter(|job| !has_run(evidence, job, judged.begins))
        .cloned()
        .collect();
    out.extend((!missing.is_empty()).then_some(Reason::JobsNotRun(missing)));
    if judged.credited < judged.needed {
        let has_beat = judged.nodes > 0 && judged.proved == judged.nodes;
        if context.source == Source::None {
            out.push(Reason::NoSource);
        } else if context.source.needs_heartbeat() && !has_beat {
            out.push(Reason::NoHeartbeat);
        }
    }
    out
}

fn has_run(evidence: &Evidence, job: &Text, begins: Timestamp) -> bool {
    evidence.jobs.get(job).is_some_and(|ran| *ran >= begins)
}

/// Nodes that run its pods as far as anybody looked.
fn current_nodes(evidence: &Evidence) -> Vec<&NodeName> {
    let Some(last) = evidence.observed().last() else { return Vec::new() };
    evidence.nodes.iter().filter(|(_, trail)| trail.ran.contains(last)).map(|(node, _)| node).collect()
}

/// Nodes that run its pods and of which the newest probe showed nothing, and why.
pub fn unproved(evidence: &Evidence, begins: Timestamp) -> Vec<(NodeName, Text)> {
    let verdicts = evidence.verdicts.since(begins);
    let of = |node: &NodeName| Some((node.clone(), verdicts.unproved(node)?.clone()));
    current_nodes(evidence).into_iter().filter_map(of).collect()
}

/// The window's minutes, each in exactly one place.
struct Minutes {
    credit: Spans,
    lapsed: i64,
    idle: Spans,
    pending: i64,
    pauses: Vec<Pause>,
}

impl Minutes {
    fn sort_out(evidence: &Evidence, window: std::ops::Range<Minute>, context: &Context<'_>) -> Self {
        let whole = Spans::of([window.clone()]);
        let observed = evidence.observed().intersection(&whole);
        let mut ran = Spans::default();
        evidence.nodes.values().for_each(|trail| ran.union(&trail.ran));
        let mut idle = observed.clone();
        idle.subtract(&ran);
        let mut credit = observed.intersection(&ran);
        let mut left = whole;
        let mut causes = Causes::default();
        // In this order: what was paused for two reasons stands under the first.
        evidence.pauses.iter().for_each(|pause| causes.note(pause.cause, &pause.spans, &pause.why));
        for (node, trail) in &evidence.nodes {
            let mut proved = trail.heard.clone();
            trail.void.iter().for_each(|pause| proved.subtract(&pause.spans));
            let mut missing = trail.ran.intersection(&observed);
            missing.subtract(&proved);
            credit.subtract(&missing);
            for pause in &trail.void {
                causes.note(pause.cause, &pause.spans.intersection(&missing), &pause.why);
            }
            let silent =
                if context.source.needs_heartbeat() { Cause::NoHeartbeat } else { Cause::SourceSilent };
            causes.silent(silent, node, &missing);
        }
        left.subtract(&credit);
        left.subtract(&idle);
        let (pauses, pending) = causes.pauses(left, &observed, window.end);
        let lapsed = credit.minutes();
        let oldest = context.now.checked_sub_signed(context.lapses).map_or(i64::MIN, first_whole);
        credit.clip(oldest..i64::MAX);
        Self { lapsed: lapsed - credit.minutes(), credit, idle, pending, pauses }
    }
}

/// Causes as they are told, to be given out to minutes.
#[derive(Default)]
struct Causes<'e> {
    told: BTreeMap<Cause, (Spans, &'e Text)>,
    /// With the first such node.
    silent: BTreeMap<Cause, (Spans, &'e NodeName)>,
}

impl<'e> Causes<'e> {
    fn note(&mut self, cause: Cause, spans: &Spans, why: &'e Text) {
        if !spans.is_empty() {
            let (known, words) = self.told.entry(cause).or_insert_with(|| (Spans::default(), why));
            known.union(spans);
            if words.is_empty() {
                *words = why;
            }
        }
    }

    fn silent(&mut self, cause: Cause, node: &'e NodeName, spans: &Spans) {
        if !spans.is_empty() {
            self.silent.entry(cause).or_insert_with(|| (Spans::default(), node)).0.union(spans);
        }
    }

    /// Each minute of `left` under its first cause, and how many of the newest are not due yet.
    fn pauses(self, mut left: Spans, observed: &Spans, end: Minute) -> (Vec<Pause>, i64) {
        let mut out: BTreeMap<Cause, (Spans, Text)> = BTreeMap::new();
        // Words are made only for what is shown.
        let mut take = |left: &mut Spans, cause, spans: &Spans, why: &dyn Fn() -> Text| {
            let spans = spans.intersection(left);
            left.subtract(&spans);
            if !spans.is_empty() {
                out.entry(cause).or_insert_with(|| (Spans::default(), why())).0.union(&spans);
            }
        };
        for (cause, (spans, why)) in self.told {
            take(&mut left, cause, &spans, &|| why.clone());
        }
        let newest = left.intersection(&Spans::of([end - Judged::PENDING..end]));
        let pending = trailing(&newest, end);
        left.remove(end - pending..end);
        for (cause, (spans, node)) in self.silent {
            take(&mut left, cause, &spans, &|| no_sign(cause, node));
        }
        let mut unseen = left.clone();
        unseen.subtract(observed);
        take(&mut left, Cause::ObserverGone, &unseen, &|| Text::new("nobody watched"));
        let rest = left.clone();
        take(&mut left, Cause::SourceSilent, &rest, &Text::default);
        let pauses = out.into_iter().map(|(cause, (spans, why))| Pause { cause, spans, why });
        (pauses.collect(), pending)
    }
}

fn no_sign(cause: Cause, node: &NodeName) -> Text {
    match cause {
        Cause::NoHeartbeat => Text::from(format!("node {node}: no probe was denied in time")),
        _ => Text::from(format!("node {node} gave no sign")),
    }
}

/// How many minutes without a break end at `end`.
fn trailing(spans: &Spans, end: Minute) -> i64 {
    spans.iter().next_back().filter(|range| range.end == end).map_or(0, |range| range.end - range.start)
}

/// The first minute that lies wholly after a moment.
fn first_whole(at: Timestamp) -> Minute {
    super::spans::inside(at, at).start
}

/// The nth minute of a set, counted from 1.
fn nth_minute(spans: &Spans, nth: i64) -> Option<Minute> {
    let mut before = 0;
    spans.iter().find_map(|range| {
        let length = range.end - range.start;
        before += length;
        (before >= nth).then(|| range.end - 1 - (before - nth))
    })
}

fn weekdays(spans: &Spans) -> [i64; 7] {
    const DAY: i64 = 24 * 60;
    let mut out = [0; 7];
    for range in spans.iter() {
        let mut at = range.start;
        while at < range.end {
            let next = (at.div_euclid(DAY) + 1).saturating_mul(DAY).min(range.end);
            out[minute_start(at).weekday().num_days_from_monday() as usize] += next - at;
            at = next;
        }
    }
    out
}
