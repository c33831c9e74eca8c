//! The shift handover as markdown, as text and as JSON: first what is to be done, then what it rests
//! on. All three are made of [`handover::Handover`]. Strings from outside stay text (law 9).

use chrono::{FixedOffset, Offset, Utc};

use super::{
    journal,
    markdown::{Rows, code, md},
    open_ends,
    report::{Page, moment},
    table::Table,
    wire::rate_word,
};
use crate::{
    cockpit::{
        handover::{Handover, Hurting, Running, waiting_words},
        monthly,
    },
    domain::{
        names::Text,
        time::{Timestamp, age, second, span},
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
    let unknown = unknown(handover, Utc.fix());
    if !unknown.is_empty() {
        out.para("## Not known");
        out.list(&unknown, |what| md(what));
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
    let documents = documents(handover);
    if !documents.is_empty() {
        out.para("## Documents to review");
        out.list(&documents, |line| md(line));
    }
    out.para("## What changed");
    changes(handover, &mut out);
    if !handover.escalation.is_empty() {
        out.para("## Escalation");
        out.list(&handover.escalation, |step| md(step.as_str()));
    }
    out.text.trim_end().to_owned() + "\n"
}

/// What could not be seen, and from when on denials are counted.
fn unknown(handover: &Handover, zone: FixedOffset) -> Vec<String> {
    let counted = handover.counted.iter().map(|(cluster, from)| match from {
        Some(from) => format!("denials of {cluster} are counted from {} on", second(*from, zone)),
        None => format!("from when on denials of {cluster} are counted is not known"),
    });
    handover.unknown.iter().map(ToString::to_string).chain(counted).collect()
}

/// How often, as far as it is known.
fn count_words(group: &Hurting) -> String {
    if group.at_least { format!("{} or more", group.count) } else { group.count.to_string() }
}

/// No work of a night, so they stand by themselves and after it.
fn documents(handover: &Handover) -> Vec<String> {
    const SHOWN: usize = 5;
    let Some(all) = &handover.documents else {
        return vec!["which ones are due is not known: they were not read".to_owned()];
    };
    let (rows, unwritten) = monthly::folded(all.clone());
    let mut out: Vec<_> = rows.iter().take(SHOWN).map(|row| monthly::line(row, handover.at)).collect();
    if rows.len() > SHOWN {
        out.push(format!("and {} more: sluice documents --due", rows.len() - SHOWN));
    }
    out.extend(unwritten.map(|one| one.line()));
    out
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
            count_words(group),
            rate_word(group.per_minute),
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
            row.standing.words(),
            md(&soak_words(row, Utc.fix())),
            md(&owner(row.owner.as_ref(), row.contact.as_ref())),
        ]);
    }
    out.para(&table.out);
}

fn soak_words(row: &Running, zone: FixedOffset) -> String {
    let soak = row.soak.as_ref().map_or("not complete and closed".to_owned(), |soak| soak.headline(zone));
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
        out.para(&format!("{} for the journal.", waiting_words(handover.waiting)));
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
    part("NOT KNOWN", list(unknown(handover, zone)), "everything was read");
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
            row.standing.words(),
            soak_words(row, zone),
            owner(row.owner.as_ref(), row.contact.as_ref()),
        ]);
    }
    let running = if running.is_empty() { String::new() } else { running.text("  ") };
    part("RUNS", running, "no set of ours is live, as far as is known");
    let ends = open_ends::text(handover.open_ends.as_deref(), handover.at);
    part("OPEN ENDS", ends.lines().map(|line| format!("  {line}\n")).collect(), "");
    let soon = handover.ends_soon.iter().map(|end| format!("{}  {}", clock(end.at), end.what));
    part("ENDS SOON", list(soon.collect()), "nothing within three days, as far as is known");
    let documents = documents(handover);
    if !documents.is_empty() {
        part("DOCUMENTS TO REVIEW", list(documents), "");
    }
    let mut changes: String =
        handover.changes.iter().map(|entry| journal::entry_text(entry, zone)).collect::<String>();
    changes = changes.lines().map(|line| format!("  {line}\n")).collect();
    if handover.changes_cut {
        changes.push_str("  older entries: sluice report journal\n");
    }
    if handover.waiting > 0 {
        changes.push_str(&format!("  {} for the journal\n", waiting_words(handover.waiting)));
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
            count_words(group),
            rate_word(group.per_minute),
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

#[cfg(test)]
mod tests {
    //! Goldens of what is handed over, from the small fleet and what its team shares: soak report, handover, open ends, and what the journal is told of acts.

    use chrono::{FixedOffset, TimeDelta};

    use super::super::{
        fixture::{HOSTILE, team_world},
        handover, open_ends, report,
        tests::{cluster, denial, now, ns, pod, source, target, world, world_with_orders},
    };
    use crate::{
        cockpit::{
            handover::handover as shift,
            open_ends::open_ends as ends,
            ports::{Change, ClusterFact, Effect, Fact, Link, SourceState},
            recording,
            report::soak_report,
            shared::Share,
            world::World,
        },
        domain::{
            fleet::Pod,
            grant::Decision,
            hold::{HoldKind, Scope, Subject},
            names::{NodeName, Text, is_hostile},
        },
        workspace,
    };

    fn zone() -> FixedOffset {
        FixedOffset::east_opt(3_600).expect("in range")
    }

    /// The fleet two hours later: one node heard for all but twenty minutes, another never.
    fn later() -> World {
        let mut world = team_world();
        let (rules, _) = workspace::rules_of(&Default::default(), None);
        world.absorb(Fact::Rules(std::sync::Arc::new(rules)));
        let tell = |world: &mut World, fact| {
            world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
            world.settle();
        };
        let node = |n: usize| NodeName::parse(&format!("node-{n}")).ok();
        let pods =
            ["web-1", "web-2"].iter().enumerate().map(|(n, name)| Pod { node: node(n + 1), ..pod(name) });
        tell(&mut world, ClusterFact::Pods(Change::Reset(pods.collect())));
        let denied = [
            denial(90, [192, 0, 2, 9], now() + TimeDelta::minutes(5)),
            denial(91, [198, 51, 100, 1], now() + TimeDelta::minutes(6)),
        ];
        for minute in 1..=120 {
            let at = now() + TimeDelta::minutes(minute);
            world.absorb(Fact::Tick(at));
            tell(&mut world, ClusterFact::Answered);
            if minute == 10 {
                tell(&mut world, ClusterFact::Flows(denied.to_vec()));
            }
            if !(60..80).contains(&minute) {
                for n in [1, 2] {
                    let heard = ClusterFact::Heard {
                        node: node(n).expect("valid"),
                        from: at - TimeDelta::minutes(1),
                        until: at,
                    };
                    tell(&mut world, heard);
                }
            }
        }
        world
    }

    #[test]
    fn the_soak_report_of_a_rollout() {
        let report = soak_report(&later(), &target()).expect("there");
        insta::assert_snapshot!("soak-report.md", report::markdown(&report));
        insta::assert_snapshot!("soak-report.json", report::json(&report));
    }

    /// Nothing is live, and nothing of the team is read: the report says so and claims nothing.
    #[test]
    fn the_report_of_what_is_not_known() {
        let mut other = target();
        other.ns = ns("pay");
        let report = soak_report(&world(), &other).expect("there");
        insta::assert_snapshot!("soak-report-unknown.md", report::markdown(&report));
        other.cluster = cluster("far");
        assert_eq!(soak_report(&world(), &other), None);
    }

    #[test]
    fn the_handover_of_a_shift() {
        let handed = shift(&later(), TimeDelta::hours(12));
        insta::assert_snapshot!("handover.md", handover::markdown(&handed));
        insta::assert_snapshot!("handover.txt", handover::text(&handed, zone()));
        insta::assert_snapshot!("handover.json", handover::json(&handed));
    }

    /// The row was applied 30 hours before: a history of two hours does not reach back to it.
    #[test]
    fn a_count_is_the_least_where_the_history_begins_after_the_apply() {
        let mut world = later();
        let handed = shift(&world, TimeDelta::hours(12));
        assert!(handed.hurting.iter().all(|group| group.at_least), "{:?}", handed.hurting);
        assert_eq!(handed.counted, [(cluster("prod-eu"), Some(now() - TimeDelta::hours(2)))]);
        let whole = SourceState { history_from: Some(now() - TimeDelta::hours(40)), ..source(Link::Live) };
        world.absorb(Fact::Cluster(cluster("prod-eu"), ClusterFact::Source(whole)));
        let handed = shift(&world, TimeDelta::hours(12));
        assert!(!handed.hurting.is_empty() && handed.hurting.iter().all(|group| !group.at_least));
        assert!(handed.counted.is_empty());
    }

    /// Without a state cluster, and with orders of this run that did not end well.
    #[test]
    fn the_handover_without_a_team() {
        let handed = shift(&world_with_orders(), TimeDelta::hours(8));
        insta::assert_snapshot!("handover-alone.txt", handover::text(&handed, zone()));
    }

    #[test]
    fn open_ends_are_one_list_with_age_owner_and_due_date() {
        let world = team_world();
        let all = ends(&world);
        insta::assert_snapshot!("open-ends.txt", open_ends::text(all.as_deref(), now()));
        insta::assert_snapshot!("open-ends.md", open_ends::markdown(all.as_deref(), now()));
        insta::assert_snapshot!("open-ends.json", open_ends::json(all.as_deref()));
        assert_eq!(
            open_ends::text(None, now()),
            "Open ends are not known: the state cluster has not answered.\n"
        );
        assert_eq!(open_ends::json(None), "null\n");
        assert_eq!(ends(&super::super::tests::world()), None);
    }

    /// Law 9: no control byte reaches a reader, no cell is left, nothing becomes markup.
    #[test]
    fn hostile_words_stay_text_in_everything_that_is_handed_over() {
        let world = later();
        let report = soak_report(&world, &target()).expect("there");
        let handed = shift(&world, TimeDelta::hours(12));
        let all = ends(&world);
        let pages = [
            report::markdown(&report),
            handover::markdown(&handed),
            open_ends::markdown(all.as_deref(), now()),
        ];
        for page in &pages {
            assert!(
                page.contains(
                    "see\u{fffd}\\[2J\\|\\`x\\`\\|\u{fffd}\\# &lt;img src=x&gt; \u{fffd}\\[a\\](b)"
                ),
                "{page}"
            );
            assert!(!page.contains("<img"), "{page}");
            let mut columns = None;
            for line in page.lines() {
                let is_row = line.starts_with('|');
                let bars = line.replace("\\|", "").matches('|').count();
                assert!(!is_row || *columns.get_or_insert(bars) == bars, "{line}");
                if !is_row {
                    columns = None;
                }
            }
        }
        let text = [
            pages.concat(),
            report::json(&report),
            handover::text(&handed, zone()),
            handover::json(&handed),
            open_ends::text(all.as_deref(), now()),
            open_ends::json(all.as_deref()),
        ]
        .concat();
        assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)));
    }

    fn words(draft: &recording::Draft) -> String {
        let facts: String = draft.facts.iter().map(|fact| format!("    {fact}\n")).collect();
        format!("{} by {}: {}\n{facts}", draft.act.as_str(), draft.stamp.by, draft.object)
    }

    /// What the journal is told, act by act.
    #[test]
    fn acts_as_the_journal_tells_them() {
        let world = team_world();
        let long = "x".repeat(900);
        let shares = [
            Share::Decide {
                review: Text::new("review-1"),
                version: Text::new("1"),
                decision: Box::new(Decision {
                    reason: Text::new(HOSTILE),
                    ..crate::documents::fixture::review().decisions[0].clone()
                }),
            },
            Share::Hold {
                scope: Scope::Cluster(cluster("prod-eu")),
                kind: HoldKind::Exclusion,
                reason: Text::new(&long),
                expires: Some(now()),
            },
            Share::Release { hold: Text::new("hold-1"), version: Text::new("1") },
            Share::Waive {
                target: target(),
                uid: Text::new("uid-1"),
                subject: Subject::Quiet,
                reason: Text::new("nothing runs at night"),
                expires: now(),
            },
            Share::Confirm { over: Text::new("override-1"), version: Text::new("1") },
        ];
        let mut said: String =
            shares.iter().map(|share| words(&recording::shared(&world, share).expect("an act"))).collect();
        let ordered = world_with_orders();
        said.push_str(&words(
            &recording::at_once(&ordered, &Effect::Abort(crate::cockpit::orders::OrderId(2)))
                .expect("an act"),
        ));
        let receipts = ordered.orders().activity().iter().flat_map(|entry| recording::called(&entry.receipt));
        said.extend(receipts.map(|fact| format!("    {fact}\n")));
        let rows = [
            (target(), Text::new("done")),
            (crate::documents::fixture::other(), Text::new("stopped: HTTP 403")),
        ];
        said.push_str(&words(&recording::advance(&ordered, &rows)));
        said.push_str(&words(&recording::incident(
            &ordered,
            &target(),
            &[Text::new("egress-allowlist is missing")],
        )));
        insta::assert_snapshot!("acts.txt", said);
        let bookkeeping = Share::Journal(Box::new(crate::documents::fixture::journal().remove(0)));
        assert_eq!(recording::shared(&world, &bookkeeping), None);
    }

    /// A command is told verbatim however long it is.
    #[test]
    fn a_long_command_goes_on_in_the_next_fact() {
        let command = format!("kubectl delete networkpolicy {} -n shop", "é".repeat(700));
        let facts = recording::said("command", &command);
        assert_eq!(facts.len(), 2);
        let parts = [("command: ", &facts[0]), ("command, goes on: ", &facts[1])];
        let whole: String = parts.map(|(lead, fact)| fact.as_str().strip_prefix(lead).expect(lead)).concat();
        assert_eq!(whole, command);
    }
}
