//! The soak report of one rollout as markdown and as JSON: what soaked, what it rests on, what was
//! denied, who decided, and what it does not prove. Both are made of [`report::SoakReport`]. Strings
//! from outside stay text (law 9).

use chrono::{DateTime, Offset, Utc};

use super::markdown::{Rows, code, md};
use crate::{
    cockpit::{
        recording,
        report::{GrantUsed, SoakReport},
        rows::Standing,
        soaks::SoakRow,
    },
    domain::{
        evidence::OpenGroup, hold::not_for, names::Text, soak::hours, spans::minute_start, time::Timestamp,
    },
};

mod json;

pub use json::json;

/// Most lines of one list; the rest is counted.
const LISTED: usize = 100;

pub fn markdown(report: &SoakReport) -> String {
    let mut out = Page::default();
    out.para(&format!("# Soak report: {}", code(&report.target.to_string())));
    out.para("Written by `sluice report soak`. Times are UTC. What is not known is said, never left out.");
    head(report, &mut out);
    match &report.soak {
        Some(row) => soak(row, &mut out),
        None => {
            out.para(
                "## Soak\n\nNone: the set is not live and closed here, or the cluster has not been read.",
            );
        }
    }
    denials(report, &mut out);
    decisions(report, &mut out);
    watched(report, &mut out);
    acts(report, &mut out);
    out.para("## What this does not prove");
    for limit in &report.limits {
        out.line(&format!("- {}", md(limit.as_str())));
    }
    out.text
}

#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A block with an empty line after it.
    pub(super) fn para(&mut self, block: &str) {
        self.line(block.trim_end_matches('\n'));
        self.line("");
    }

    /// As many lines as are shown one by one, then how many more there are.
    pub(super) fn list<T>(&mut self, all: &[T], line: impl Fn(&T) -> String) {
        for one in all.iter().take(LISTED) {
            self.line(&format!("- {}", line(one)));
        }
        let more = all.len().saturating_sub(LISTED);
        if more > 0 {
            self.line(&format!("- and {more} more"));
        }
        self.line("");
    }
}

pub(super) fn moment(at: Timestamp) -> String {
    let at: DateTime<Utc> = at;
    at.format("%Y-%m-%d %H:%M").to_string()
}

fn head(report: &SoakReport, out: &mut Page) {
    let unknown = || "unknown".to_owned();
    let mut table = Rows::new(&["", ""]);
    table.row(["Written".to_owned(), moment(report.at)]);
    let cluster = format!("{} ({})", code(report.target.cluster.as_str()), report.environment.as_str());
    table.row(["Cluster".to_owned(), cluster]);
    table.row(["Cluster UID".to_owned(), report.uid.as_ref().map_or_else(unknown, |uid| code(uid.as_str()))]);
    table.row(["Namespace".to_owned(), code(report.target.ns.as_str())]);
    table.row(["Direction".to_owned(), report.target.direction.to_string()]);
    let digest = report.digest.as_ref().map_or_else(
        || "the set is not live and closed, or not read".to_owned(),
        |digest| code(digest.as_str()),
    );
    table.row(["Digest".to_owned(), digest]);
    table.row(["State".to_owned(), state(report)]);
    if let Some(shadow) = &report.shadow {
        table.row(["Shadow".to_owned(), shadow.words(report.at, Utc.fix())]);
    }
    match &report.record {
        None => table.row(["Recorded".to_owned(), "nothing is recorded of it, or it is not read".to_owned()]),
        Some(record) => {
            let wave = record.wave.map_or("in no wave".to_owned(), |wave| format!("in wave {wave}"));
            let applied = record.applied.as_ref().map_or("never applied".to_owned(), |applied| {
                let (by, at) = (md(applied.stamp.by.as_str()), moment(applied.stamp.at));
                format!("applied {wave} by {by} at {at}")
            });
            let over = if record.overridden { "; **a gate was overridden**" } else { "" };
            table.row(["Recorded".to_owned(), format!("{applied}{over}")]);
            for drift in &record.drift {
                table.row(["**Drift**".to_owned(), md(drift.as_str())]);
            }
        }
    }
    out.para(&table.out);
}

/// Accepted, in force, proved: never one for the other.
fn state(report: &SoakReport) -> String {
    match (report.standing, &report.soak) {
        (Standing::None, _) => "not live".to_owned(),
        (Standing::Accepted, None) => "accepted by the API server".to_owned(),
        (Standing::InForce | Standing::OnSome(_), None) => {
            "accepted by the API server, and seen in force on ? nodes".to_owned()
        }
        (Standing::Accepted | Standing::InForce | Standing::OnSome(_), Some(row)) => {
            let judged = &row.judged;
            format!(
                "accepted by the API server; of {} nodes in force on {}, proved by a probe on {}",
                judged.nodes, judged.in_force, judged.proved
            )
        }
    }
}

fn soak(row: &SoakRow, out: &mut Page) {
    let judged = &row.judged;
    out.para("## Soak");
    out.para(&format!("**{}**", md(&row.headline(Utc.fix()))));
    if !row.reasons().is_empty() {
        out.line("Not clean, because:");
        out.line("");
        out.list(&row.reasons(), |reason| md(reason));
    }
    let mut table = Rows::new(&["", ""]);
    table.row(["Counted from".to_owned(), moment(judged.begins)]);
    table.row(["Wall time".to_owned(), hours(judged.wall)]);
    table.row(["Credited".to_owned(), judged.words()]);
    for (word, minutes) in [
        ("Without pods, not credited", judged.idle),
        ("Credited once, too old now", judged.lapsed),
        ("Newest, not proved yet", judged.pending),
    ] {
        if minutes > 0 {
            table.row([word.to_owned(), hours(minutes)]);
        }
    }
    let days = judged.weekday_words();
    table.row(["Weekdays covered".to_owned(), if days.is_empty() { "none".to_owned() } else { days }]);
    table.row(["Nodes that run its pods".to_owned(), judged.nodes.to_string()]);
    table.row(["Rests on".to_owned(), md(row.rests.as_str())]);
    let exercised = match row.exercised {
        Some((again, of)) => format!("{again} of {of} destinations of the recorded week"),
        None => "unknown: the recorded week is not read here".to_owned(),
    };
    table.row(["Exercised".to_owned(), exercised]);
    if let Some((ran, of)) = row.jobs.filter(|(_, of)| *of > 0) {
        table.row(["CronJobs that ran".to_owned(), format!("{ran} of {of}")]);
    }
    out.para(&table.out);
    out.para(&format!(
        "```text\n{}\n```\n\nOldest first: █ credited, ▒ in part, - without pods, · not credited.",
        row.bar
    ));
    pauses(row, out);
    unseen(row, out);
}

fn pauses(row: &SoakRow, out: &mut Page) {
    out.para("### Pauses and restarts");
    if row.judged.pauses.is_empty() && row.restarts.is_empty() {
        out.para("None.");
        return;
    }
    if !row.judged.pauses.is_empty() {
        let mut table = Rows::new(&["Cause", "Time", "Stretches", "First", "Example"]);
        for pause in row.judged.pauses.iter().take(LISTED) {
            let first = pause.spans.iter().next().map(|range| moment(minute_start(range.start)));
            table.row([
                pause.cause.as_str().to_owned(),
                hours(pause.spans.minutes()),
                pause.spans.stretches().to_string(),
                first.unwrap_or_default(),
                md(pause.why.as_str()),
            ]);
        }
        out.para(&table.out);
    }
    if !row.restarts.is_empty() {
        out.list(&row.restarts, |restart| {
            format!(
                "{}: all credit void, {}: {}",
                moment(restart.at),
                restart.cause.as_str(),
                md(restart.why.as_str())
            )
        });
    }
}

fn unseen(row: &SoakRow, out: &mut Page) {
    if row.unseen.is_empty() {
        return;
    }
    out.para("### Connections older than the policy");
    out.para(&format!("They would be judged when they reconnect. {}", md(row.unseen_rests)));
    let mut table = Rows::new(&["Workload", "Destination", "Port", "Last seen"]);
    for unseen in &row.unseen {
        table.row([
            code(&unseen.workload.to_string()),
            code(unseen.destination.to_string().as_str()),
            format!("{}/{}", unseen.port, unseen.protocol),
            moment(unseen.last),
        ]);
    }
    out.para(&table.out);
    if row.more_unseen > 0 {
        out.para(&format!("And {} more.", row.more_unseen));
    }
}

fn denials(report: &SoakReport, out: &mut Page) {
    out.para("## Denials");
    let Some(row) = &report.soak else {
        out.para("Not judged: no soak runs.");
        return;
    };
    out.para(&format!("{} verdicts allowed and {} denied were seen.", row.allowed, row.denied));
    out.para(&format!("### Open ({})", row.judged.open.len()));
    groups(&row.judged.open, out);
    out.para(&format!("### Expected ({})", row.judged.expected.len()));
    groups(&row.judged.expected, out);
    if !row.caused.is_empty() {
        out.para("### Denied at the other end");
        out.list(&row.caused, |caused| {
            let who =
                caused.workload.as_ref().map_or("-".to_owned(), |workload| code(workload.name.as_str()));
            let (by, last) = (code(&caused.by.to_string()), moment(caused.last));
            format!("{by} drops {who} on port {}, {} times, last {last}", caused.port, caused.count)
        });
    }
}

fn groups(groups: &[OpenGroup], out: &mut Page) {
    if groups.is_empty() {
        out.para("None.");
        return;
    }
    let mut table = Rows::new(&[
        "Class",
        "Workload",
        "Destination",
        "Port",
        "Count",
        "First",
        "Last",
        "The data plane said",
    ]);
    for group in groups.iter().take(LISTED) {
        let key = &group.key;
        table.row([
            group.class.word().to_owned(),
            key.workload.as_ref().map_or("-".to_owned(), |workload| code(workload.name.as_str())),
            code(key.destination.as_str()),
            format!("{}/{}", key.port, key.protocol),
            group.count.to_string(),
            moment(group.first),
            moment(group.last),
            md(group.said.as_str()),
        ]);
    }
    out.para(&table.out);
    let more = groups.len().saturating_sub(LISTED);
    if more > 0 {
        out.para(&format!("And {more} more."));
    }
}

fn decisions(report: &SoakReport, out: &mut Page) {
    out.para("## Decisions");
    out.para(&format!("### Grants that the live policies use ({})", report.grants.len()));
    if report.grants.is_empty() {
        out.para("None.");
    } else {
        out.list(&report.grants, grant_line);
    }
    if !report.ungranted.is_empty() {
        out.para(&format!("### Open without a grant ({})", report.ungranted.len()));
        out.list(&report.ungranted, |one| {
            let why = one.reason(&report.target, Utc.fix()).unwrap_or_default();
            md(&why)
        });
    }
    out.para(&format!("### Waivers ({})", report.waivers.len()));
    if report.waivers.is_empty() {
        out.para("None.");
    } else {
        out.list(&report.waivers, |kept| {
            let waiver = &kept.value;
            let over = if waiver.expires <= report.at { " (ran out)" } else { "" };
            let aside = aside(report, waiver.uid.as_ref());
            format!(
                "{}: {}. By {} at {}, until {}{over}{aside}",
                md(&recording::subject_words(&waiver.subject)),
                md(waiver.reason.as_str()),
                md(waiver.stamp.by.as_str()),
                moment(waiver.stamp.at),
                moment(waiver.expires)
            )
        });
    }
    if !report.overrides.is_empty() {
        out.para(&format!("### Overrides ({})", report.overrides.len()));
        out.list(&report.overrides, |kept| {
            let over = &kept.value;
            let covers: Vec<_> = over.covers.iter().map(|covers| covers.as_str()).collect();
            let confirmed = over.confirmed.as_ref().map_or("not confirmed".to_owned(), |stamp| {
                format!("confirmed by {} at {}", md(stamp.by.as_str()), moment(stamp.at))
            });
            let aside = aside(report, over.uid.as_ref());
            format!(
                "{} for {}: {}. By {} at {}, {confirmed}{aside}",
                covers.join(", "),
                code(&over.digest.short()),
                md(over.reason.as_str()),
                md(over.stamp.by.as_str()),
                moment(over.stamp.at)
            )
        });
    }
}

/// What was made for another cluster counts here for nothing.
fn aside(report: &SoakReport, made: Option<&Text>) -> String {
    not_for(made, report.uid.as_ref()).map(|why| format!("; {why}")).unwrap_or_default()
}

fn grant_line(used: &GrantUsed) -> String {
    let decision = used.decision.as_ref().map_or("not decided".to_owned(), |decision| {
        let ticket =
            decision.ticket.as_ref().map_or(String::new(), |ticket| format!(", {}", md(ticket.as_str())));
        format!(
            "{} by {} at {}{ticket}: {}",
            decision.verdict.as_str(),
            md(decision.stamp.by.as_str()),
            moment(decision.stamp.at),
            md(decision.reason.as_str())
        )
    });
    format!(
        "{}: {}. Now {}. Asked by {}; {decision}",
        code(used.review.as_str()),
        md(&recording::grant_words(&used.grant)),
        used.standing.as_str(),
        md(used.requested_by.as_str())
    )
}

fn watched(report: &SoakReport, out: &mut Page) {
    out.para("## Who watched");
    let watched = &report.watched;
    let observer = match &watched.observer {
        Some(observer) => {
            format!("{}, its Lease renewed at {}", md(observer.holder.as_str()), moment(observer.renewed))
        }
        None => "nobody writes the evidence of this cluster now, or it is not known who".to_owned(),
    };
    let mut table = Rows::new(&["", ""]);
    table.row(["Observer".to_owned(), observer]);
    let source =
        if watched.source.is_empty() { "none is known".to_owned() } else { md(watched.source.as_str()) };
    table.row(["Source of flows".to_owned(), source]);
    let joined = report.soak.as_ref().and_then(|row| row.joined_words(Utc.fix()));
    let joined = joined.map_or("no other".to_owned(), |joined| md(&joined));
    table.row(["Joined with the evidence of".to_owned(), joined]);
    table.row(["Events lost, as far as counted".to_owned(), watched.lost.to_string()]);
    out.para(&table.out);
    if !watched.gaps.is_empty() {
        out.para("Gaps that the source told, newest last:");
        out.list(&watched.gaps, |gap| {
            let until = gap.until.map_or("now".to_owned(), moment);
            let node = gap.node.as_ref().map_or("the whole source".to_owned(), |node| code(node.as_str()));
            let lost = gap.lost.map_or("not counted".to_owned(), |lost| format!("{lost} events"));
            format!("{} to {until}, {node}, {lost}: {}", moment(gap.from), md(gap.why.as_str()))
        });
    }
}

fn acts(report: &SoakReport, out: &mut Page) {
    out.para("## Journal");
    if report.acts.is_empty() {
        out.para("No entry concerns it among those that are kept here.");
        return;
    }
    out.list(&report.acts, |entry| {
        let outcome = entry.facts.iter().find(|fact| fact.as_str().starts_with("outcome: "));
        let outcome = outcome.map_or(String::new(), |outcome| format!(", {}", md(outcome.as_str())));
        format!(
            "#{} {} {} by {}{outcome} (hash {})",
            entry.number,
            moment(entry.stamp.at),
            entry.act.as_str(),
            md(entry.stamp.by.as_str()),
            code(&entry.hash().to_string())
        )
    });
}
