//! The shift handover as markdown, as text and as JSON: first what is to be done, then what it rests
//! on. All three are made of [`handover::Handover`]. Strings from outside stay text (law 9).

use chrono::FixedOffset;

use super::{
    journal,
    markdown::{Rows, code, md},
    open_ends,
    report::{Page, moment},
    table::Table,
};
use crate::{
    cockpit::handover::{Handover, Hurting, Running},
    domain::{
        names::Text,
        time::{Timestamp, age, span},
    },
};

mod json;

pub use json::json;

pub fn markdown(handover: &Handover) -> String {
    let at = handover.at;
    let mut out = Page::default();
    out.para("# Shift handover");
    out.para(&format!(
        "Written by `sluice report handover` at {} UTC; what changed since {} UTC is listed.",
        moment(at),
        moment(handover.since)
    ));
    out.para("## First");
    if handover.todo.is_empty() {
        out.para("Nothing has to be done at once, as far as is known.");
    } else {
        for (n, todo) in handover.todo.iter().enumerate() {
            out.line(&format!("{}. {} ({})", n + 1, md(todo.what.as_str()), code(&todo.command)));
        }
        out.line("");
    }
    if !handover.unknown.is_empty() {
        out.para("## Not known");
        out.list(&handover.unknown, |what| md(what.as_str()));
    }
    out.para(&format!("## What hurts ({})", handover.hurting.len() + handover.more_hurting));
    hurting(handover, &mut out);
    out.para(&format!("## Incidents ({})", handover.incidents.len()));
    if handover.incidents.is_empty() {
        out.para("None is known.");
    } else {
        out.list(&handover.incidents, |incident| {
            let what: Vec<_> = incident.what.iter().map(|what| md(what.as_str())).collect();
            format!("{}: {}", code(&incident.target.to_string()), what.join("; "))
        });
    }
    out.para(&format!("## What runs ({})", handover.running.len()));
    running(handover, &mut out);
    out.para("## Open ends");
    out.para(&open_ends::rows(handover.open_ends.as_deref(), at));
    out.para("## Ends soon");
    if handover.ends_soon.is_empty() {
        out.para("Nothing within three days, as far as is known.");
    } else {
        out.list(&handover.ends_soon, |end| format!("{}: {}", moment(end.at), md(end.what.as_str())));
    }
    out.para("## What changed");
    changes(handover, &mut out);
    if !handover.escalation.is_empty() {
        out.para("## Escalation");
        out.list(&handover.escalation, |step| md(step.as_str()));
    }
    out.text.trim_end().to_owned() + "\n"
}

fn hurting(handover: &Handover, out: &mut Page) {
    if handover.hurting.is_empty() {
        out.para("No denial that hurts is known.");
        return;
    }
    let mut table = Rows::new(&["Row", "Denied", "Attempts", "A minute", "First", "Last", "Owner"]);
    for group in &handover.hurting {
        table.row([
            code(&group.target.to_string()) + live_word(group),
            md(group.words.as_str()),
            group.count.to_string(),
            format!("{:.1}", group.per_minute),
            moment(group.first),
            moment(group.last),
            md(&owner(group.owner.as_ref(), group.contact.as_ref())),
        ]);
    }
    out.para(&table.out);
    if handover.more_hurting > 0 {
        out.para(&format!("And {} more.", handover.more_hurting));
    }
}

fn live_word(group: &Hurting) -> &'static str {
    if group.is_live { "" } else { " (our set is not live)" }
}

fn running(handover: &Handover, out: &mut Page) {
    if handover.running.is_empty() {
        out.para("No set of ours is live, as far as is known.");
        return;
    }
    let mut table = Rows::new(&["Row", "State", "Soak", "Owner"]);
    for row in &handover.running {
        table.row([
            code(&row.target.to_string()),
            row.standing.as_str().to_owned(),
            md(&soak_words(row)),
            md(&owner(row.owner.as_ref(), row.contact.as_ref())),
        ]);
    }
    out.para(&table.out);
}

fn soak_words(row: &Running) -> String {
    let soak = row.soak.as_ref().map_or("not complete and closed".to_owned(), |soak| soak.headline());
    if row.overridden { format!("{soak}; a gate was overridden") } else { soak }
}

fn changes(handover: &Handover, out: &mut Page) {
    if handover.changes.is_empty() {
        out.para("Nothing is in the journal, as far as it is read.");
    } else {
        out.list(&handover.changes, |entry| {
            let outcome = entry.facts.iter().find(|fact| fact.as_str().starts_with("outcome: "));
            let outcome = outcome.map_or(String::new(), |outcome| format!(", {}", md(outcome.as_str())));
            let (at, act, object) = (moment(entry.stamp.at), entry.act.as_str(), code(entry.object.as_str()));
            format!("#{} {at} {act} {object} by {}{outcome}", entry.number, md(entry.stamp.by.as_str()))
        });
    }
    if handover.changes_cut {
        out.para("Older entries of this time are in the journal: `sluice report journal`.");
    }
    if handover.waiting > 0 {
        out.para(&format!("{} acts of this machine wait for the journal.", handover.waiting));
    }
}

fn owner(owner: Option<&Text>, contact: Option<&Text>) -> String {
    match (owner, contact) {
        (None, None) => "-".to_owned(),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (Some(owner), Some(contact)) => format!("{owner} {contact}"),
    }
}

/// For a terminal.
pub fn text(handover: &Handover, zone: FixedOffset) -> String {
    let clock = |at: Timestamp| at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string();
    let mut out =
        format!("Handover at {} {zone}, changes since {}\n", clock(handover.at), clock(handover.since));
    let mut part = |title: &str, body: String, none: &str| {
        let body = if body.is_empty() { format!("  {none}\n") } else { body };
        out.push_str(&format!("\n{title}\n{body}"));
    };
    let list = |lines: Vec<String>| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
    let todo = handover.todo.iter().enumerate();
    let todo = todo.map(|(n, todo)| format!("{}. {}\n     {}", n + 1, todo.what, todo.command));
    part("FIRST", list(todo.collect()), "nothing has to be done at once, as far as is known");
    let unknown = handover.unknown.iter().map(ToString::to_string).collect();
    part("NOT KNOWN", list(unknown), "everything was read");
    part("HURTS", hurting_table(handover), "no denial that hurts is known");
    let incidents = handover.incidents.iter().map(|incident| {
        let what: Vec<_> = incident.what.iter().map(Text::as_str).collect();
        format!("{}: {}", incident.target, what.join("; "))
    });
    part("INCIDENTS", list(incidents.collect()), "none is known");
    let mut running = Table::new(&["ROW", "STATE", "SOAK", "OWNER"]);
    for row in &handover.running {
        running.row([
            row.target.to_string(),
            row.standing.as_str().to_owned(),
            soak_words(row),
            owner(row.owner.as_ref(), row.contact.as_ref()),
        ]);
    }
    let running = if running.is_empty() { String::new() } else { running.text("  ") };
    part("RUNS", running, "no set of ours is live, as far as is known");
    let ends = open_ends::text(handover.open_ends.as_deref(), handover.at);
    part("OPEN ENDS", ends.lines().map(|line| format!("  {line}\n")).collect(), "");
    let soon = handover.ends_soon.iter().map(|end| format!("{}  {}", clock(end.at), end.what));
    part("ENDS SOON", list(soon.collect()), "nothing within three days, as far as is known");
    let mut changes: String =
        handover.changes.iter().map(|entry| journal::entry_text(entry, zone)).collect::<String>();
    changes = changes.lines().map(|line| format!("  {line}\n")).collect();
    if handover.changes_cut {
        changes.push_str("  older entries: sluice report journal\n");
    }
    if handover.waiting > 0 {
        changes.push_str(&format!("  {} acts of this machine wait for the journal\n", handover.waiting));
    }
    part("CHANGED", changes, "nothing is in the journal, as far as it is read");
    if !handover.escalation.is_empty() {
        let steps = handover.escalation.iter().map(ToString::to_string).collect();
        part("ESCALATION", list(steps), "");
    }
    out
}

fn hurting_table(handover: &Handover) -> String {
    let mut table = Table::new(&["ROW", "DENIED", "COUNT", "/MIN", "LAST", "OWNER"]);
    for group in &handover.hurting {
        table.row([
            format!("{}{}", group.target, live_word(group)),
            group.words.to_string(),
            group.count.to_string(),
            format!("{:.1}", group.per_minute),
            format!("{} ago", span(age(group.last, handover.at))),
            owner(group.owner.as_ref(), group.contact.as_ref()),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let more = match handover.more_hurting {
        0 => String::new(),
        more => format!("  and {more} more\n"),
    };
    table.text("  ") + &more
}
