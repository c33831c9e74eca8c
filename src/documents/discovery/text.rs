//! Destinations and callers of a namespace for a person at a terminal: suspects first, each with its
//! sentence, then all others, then who calls, then what the window has not seen. Aligned, without
//! colours.

use super::page::{self, Page};
use crate::{
    documents::table::Table,
    domain::{destination::Destination, flow::Direction, names::plural, time::span},
};

/// Most gaps that are listed; the document and the JSON companion have more.
const GAPS: usize = 20;

/// One namespace.
pub fn text(page: &Page) -> String {
    let mut out = head(page);
    let (callers, all): (Vec<&Destination>, Vec<&Destination>) =
        page.destinations.iter().partition(|destination| destination.direction == Direction::Ingress);
    let (suspect, rest): (Vec<&Destination>, Vec<&Destination>) =
        all.iter().copied().partition(|destination| destination.suspect().is_some());
    if all.is_empty() {
        out.push_str("No destinations were seen in this window.\n");
    }
    if !suspect.is_empty() {
        out.push_str("\nSuspects, for their owner to decide on\n");
        out.push_str(&with_sentences(page, &suspect));
    }
    if !rest.is_empty() {
        out.push_str("\nDestinations (egress)\n");
        out.push_str(&table(page, &rest));
    }
    if callers.is_empty() {
        out.push_str("No callers were seen in this window.\n");
    } else {
        out.push_str("\nCallers (ingress)\n");
        out.push_str(&table(page, &callers));
    }
    out.push('\n');
    out.push_str(&coverage(page));
    out
}

fn head(page: &Page) -> String {
    let (word, why) = page::readiness(&page.evidence.readiness);
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    let callers = page.evidence.ingress.as_ref().map_or(String::new(), |ingress| {
        let (word, why) = page::readiness(ingress);
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
        format!("for callers {word}{why}\n")
    });
    let suspects = page.destinations.iter().filter(|destination| destination.suspect().is_some()).count();
    let count = |direction| page.destinations.iter().filter(|one| one.direction == direction).count();
    format!(
        "{}/{}  {} to {} UTC, {}\n{word}{why}\n{callers}{}, {}, {}\n",
        page.cluster,
        page.ns,
        page::minute(page.window.from),
        page::minute(page.window.to),
        plural(page::credit(page).of, "hour"),
        plural(count(Direction::Egress), "destination"),
        plural(count(Direction::Ingress), "caller"),
        plural(suspects, "suspect"),
    )
}

/// The table with the sentence of each finding below its row.
fn with_sentences(page: &Page, suspects: &[&Destination]) -> String {
    let table = table(page, suspects);
    let mut lines = table.lines();
    let mut out = format!("{}\n", lines.next().unwrap_or_default());
    for (line, destination) in lines.zip(suspects) {
        out.push_str(line);
        out.push('\n');
        for finding in &destination.meaning.findings {
            out.push_str(&format!(
                "  {} {}: {} ({})\n",
                finding.severity.as_str(),
                finding.class,
                finding.reason,
                finding.source
            ));
        }
    }
    out
}

fn table(page: &Page, destinations: &[&Destination]) -> String {
    let is_called = destinations.first().is_some_and(|one| one.direction == Direction::Ingress);
    let mut table = Table::new(&[
        "WORKLOAD",
        if is_called { "CALLER" } else { "DESTINATION" },
        "PORT",
        "CATEGORY",
        "GRADE",
        "FLOWS",
        "HOURS",
        "7 DAYS",
        "LAST",
    ]);
    let flows = |destination: &Destination| destination.seen.flows.to_string();
    let width = destinations.iter().map(|destination| flows(destination).len()).max().unwrap_or(0).max(5);
    for destination in destinations {
        table.row([
            page::workload(&destination.workload),
            page::title(destination),
            page::port(destination),
            destination.meaning.category.as_str().to_owned(),
            destination.grade.as_str().to_owned(),
            format!("{:>width$}", destination.seen.flows),
            format!("{:>5}", page::hours(&destination.seen.hours, &page.window)),
            page::heat(&destination.seen.hours, page),
            page::minute(destination.seen.last),
        ]);
    }
    table.text("")
}

/// What was watched, what was not, and what did not run.
fn coverage(page: &Page) -> String {
    let credit = page::credit(page);
    let mut out = match credit.nodes {
        0 => "Coverage: unknown, no node gave a sign\n".to_owned(),
        nodes => format!(
            "Coverage: {} of {} credited on {}\n",
            credit.everywhere,
            plural(credit.of, "hour"),
            if nodes == 1 { "the one node heard".to_owned() } else { format!("all {nodes} nodes heard") },
        ),
    };
    let evidence = &page.evidence;
    for hole in evidence.coverage.gaps.iter().take(GAPS) {
        out.push_str(&format!(
            "  gap  {} to {}, {}{}: {}\n",
            page::minute(hole.from),
            page::minute(hole.to),
            hole.node.as_ref().map_or("all nodes".to_owned(), |node| format!("node {node}")),
            hole.lost.map_or(String::new(), |lost| format!(", {lost} events lost")),
            hole.why
        ));
    }
    let more = evidence.coverage.gaps.len().saturating_sub(GAPS);
    if more > 0 {
        out.push_str(&format!("  and {}\n", plural(more, "more gap")));
    }
    for doubt in evidence.coverage.doubts.iter().chain(&evidence.remarks) {
        out.push_str(&format!("  note  {doubt}\n"));
    }
    out.push_str(&crons(page));
    match &evidence.silent {
        None => out.push_str("Workloads without traffic: unknown, nobody said which there are\n"),
        Some(silent) if silent.is_empty() => out.push_str("Workloads without traffic: none\n"),
        Some(silent) => {
            let names: Vec<_> = silent.iter().map(page::workload).collect();
            out.push_str(&format!("Workloads without traffic (no evidence): {}\n", names.join(", ")));
        }
    }
    out
}

fn crons(page: &Page) -> String {
    let Some(crons) = &page.evidence.crons else {
        return "CronJobs: unknown, nobody said which there are\n".to_owned();
    };
    if crons.is_empty() {
        return "CronJobs: none\n".to_owned();
    }
    let mut table = Table::new(&["CRONJOB", "SCHEDULE", "LAST RUN", "IN THE WINDOW", "LONGEST PAUSE"]);
    for cron in crons {
        table.row([
            cron.job.name.to_string(),
            page::schedule(cron),
            cron.job.last_run.map_or("never".to_owned(), page::minute),
            page::ran(cron),
            cron.job.longest_pause.map_or("unknown".to_owned(), span),
        ]);
    }
    table.text("")
}
